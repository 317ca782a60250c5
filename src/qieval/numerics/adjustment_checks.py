"""Can the outcome regression be believed: range, extrapolation, shape, dispersion, single rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_families import LOG_LINK, Family
from qieval.numerics.adjustment_outcome import OutcomeFit, solved
from qieval.numerics.estimated_weights import RANK, Standardised, standardise
from qieval.numerics.joint import WaldTest, wald
from qieval.numerics.means import Clusters, Means, crossproduct
from qieval.numerics.two_way import Codes, Floats
from qieval.numerics.weighted_regression import Family as Quasi
from qieval.numerics.weighted_regression import sandwich, weighted_regression

OUTSIDE = 1e-5
"""Distance, in standard deviations, from the covariate values of an arm that counts as leaving their span."""
NOTHING_NEW = 1e-8
"""A power of the linear predictor of which the columns leave less than this share of variance is left out."""


@dataclass(frozen=True)
class ImpossiblePredictions:
    """Weighted share of people predicted outside the range as treated and as untreated, and the extremes."""

    treated: float
    untreated: float
    lowest: float
    highest: float


def impossible_predictions(fit: OutcomeFit, low: float = 0.0, high: float = 1.0) -> ImpossiblePredictions:
    """Predictions outside low..high, such as a linear regression makes for risks and for lengths of stay."""
    weight = fit.sample.weight / fit.sample.weight.sum()
    outside = weight @ ((fit.rates < low) | (fit.rates > high))
    used = fit.rates[weight > 0]
    return ImpossiblePredictions(float(outside[0]), float(outside[1]), float(used.min()), float(used.max()))


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """How far people are from the covariates of the other arm, whose regression predicts their outcome.

    distance (n,) is a row's leverage in the other arm's regression over the largest leverage in that arm:
    above 1 the row lies outside the smallest ellipsoid of this shape around the arm, and therefore outside
    its convex hull; infinite if it has a covariate value that is constant in the other arm. treated and
    control are the weighted shares above 1. Within the ellipsoid a row may still be outside the hull (King
    and Zeng 2006). range_treated and range_control (k,): shares outside the other arm's range, by covariate.
    """

    distance: Floats
    treated: float
    control: float
    range_treated: Floats
    range_control: Floats


def extrapolation(sample: Sample) -> Extrapolation:
    """Leverage and range of each arm's covariates under the other arm's.

    >>> x, treated = np.array([[0.0], [1.0], [2.0], [0.0], [1.0], [5.0]]), np.arange(6) < 3
    >>> found = extrapolation(Sample(y=np.zeros(6), treated=treated, x=x))
    >>> round(found.control, 6), found.treated, found.range_control.round(6)
    (0.333333, 0.0, array([0.333333]))
    """
    design = standardise(sample.x, sample.weight)
    distance = np.empty(sample.y.size)
    shares, ranges = [], []
    for rows, other in (sample.arms, sample.arms[::-1]):
        those = other[sample.weight[other] > 0]
        distance[rows] = _distances(design, rows, those, sample.weight[those])
        share = sample.weight[rows] / sample.weight[rows].sum()
        shares.append(float(share @ (distance[rows] > 1)))
        low, high = sample.x[those].min(axis=0), sample.x[those].max(axis=0)
        ranges.append(share @ ((sample.x[rows] < low) | (sample.x[rows] > high)))
    return Extrapolation(distance, shares[0], shares[1], ranges[0], ranges[1])


def _distances(design: Standardised, rows: Codes, those: Codes, weights: Floats) -> Floats:
    """Leverage of rows in the design of those, over the largest of their own."""
    held, own = (
        Standardised(design.x[some], design.columns, design.centre, design.scale) for some in (rows, those)
    )
    values, vectors = scipy.linalg.eigh(own.gram(weights / weights.sum()))
    flat = values <= RANK * values[-1]
    root = vectors[:, ~flat] / np.sqrt(values[~flat])
    leverage, limit = (np.square(part.times(root)).sum(axis=1) for part in (held, own))
    off = np.abs(held.times(vectors[:, flat])).max(axis=1, initial=0.0) > OUTSIDE
    ratio = leverage / limit.max()
    ratio[ratio <= 1 + 1e-9] = np.minimum(ratio[ratio <= 1 + 1e-9], 1.0)
    return np.where(off, np.inf, ratio)


def shape_test(fit: OutcomeFit, treated: bool, cluster: Clusters = None) -> WaldTest | None:
    """Score test of the regression's shape within one arm: do powers of the linear predictor add anything?

    Square and cube of the linear predictor of the arm's rows are tried as further columns (Ramsey's RESET as
    a score test, robust to heteroscedasticity; Wooldridge 1991); chi-squared. A small p-value says that link
    or terms do not fit this arm. None if the powers are combinations of the columns, as with one yes/no
    covariate. The theta of a negative binomial is taken as known.
    """
    weight = fit.sample.weight * (fit.sample.treated == treated)
    linear = fit.design.linear(fit.beta)
    share = weight / weight.sum()
    spread = linear - share @ linear
    size = float(np.sqrt(share @ np.square(spread)))
    if size <= 1e-10 * max(1.0, float(np.abs(linear).max())):
        return None
    powers = np.column_stack([spread**power for power in (2, 3)]) / size ** np.array([2.0, 3.0])
    extra = powers * (fit.sample.treated == treated)[:, None]
    curved = fit.sample.weight * fit.law.curvature(fit.sample.y, fit.mean)
    slopes = solved(fit.information, fit.design.totals(curved[:, None] * extra))
    left = extra - fit.design.linear(slopes)
    kept = curved @ np.square(left) > NOTHING_NEW * (curved @ np.square(extra))
    if not kept.any():
        return None
    contributions = fit.psi[:, None] * left[:, kept]
    used = fit.sample.weight > 0
    return wald(contributions.sum(axis=0), crossproduct(contributions, cluster, used))


@dataclass(frozen=True)
class Calibration:
    """Slope of outcomes on the linear predictor (below 1: predictions are too extreme), and mean values."""

    slope: float
    std_error: float
    observed: float
    expected: float


def calibration(
    y: Floats, predicted: Floats, family: Family, weights: Floats | None = None, cluster: Clusters = None
) -> Calibration:
    """Calibration slope of predicted means (n,) for outcomes y (n,), robust standard error.

    Predictions have to be made without the row (cross-fitted, or by the regression of another arm): maximum
    likelihood predictions of the rows themselves have slope 1 by construction. Counts: predicted includes the
    exposure. ValueError where a prediction has no finite link or all predictions agree.
    """
    weight = np.ones(y.size) if weights is None else weights
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = np.log(predicted) if family in LOG_LINK else predicted
        linear = scipy.special.logit(predicted) if family == "binomial" else linear
    used = weight > 0
    if not np.isfinite(linear[used]).all() or np.ptp(linear[used]) == 0:
        raise ValueError("predictions must have a finite link and must differ")
    quasi: Quasi = "linear" if family == "gaussian" else "logistic" if family == "binomial" else "poisson"
    fit = weighted_regression(np.column_stack([np.ones(y.size), linear]), y, weight, quasi)
    error = float(np.sqrt(sandwich(fit, "HC0", cluster)[1, 1]))
    share = weight / weight.sum()
    return Calibration(float(fit.beta[1]), error, float(share @ y), float(share @ predicted))


@dataclass(frozen=True)
class Overdispersion:
    """pearson: Pearson's statistic over its degrees of freedom, 1 if the variance is that of the family.

    excess: estimated a in variance = mean + a mean^2, std_error robust, p_value one-sided for a > 0; NaN
    unless the regression is a Poisson one.
    """

    pearson: float
    excess: float
    std_error: float
    p_value: float


def overdispersion(fit: OutcomeFit) -> Overdispersion:
    """Do outcomes vary more than the family says? Test of Cameron and Trivedi (1990) for Poisson.

    The effect's standard errors do not rely on the family's variance; the estimate is only less precise.
    """
    if fit.law.family != "poisson":
        return Overdispersion(fit.dispersion, np.nan, np.nan, np.nan)
    weight, mean = fit.sample.weight, fit.mean
    beyond = np.square(fit.sample.y - mean) - fit.sample.y
    size = float(weight @ np.square(mean))
    excess = float(weight @ beyond) / size
    error = float(np.linalg.norm(weight * (beyond - excess * np.square(mean)))) / size
    tail = float(scipy.special.ndtr(-excess / error)) if error > 0 else np.nan
    return Overdispersion(fit.dispersion, excess, error, tail)


@dataclass(frozen=True, eq=False)
class InfluentialRows:
    """The rows that move the difference most: by how much it changes without them, to first order.

    rows are positions, change (m,) in units of the outcome and in_errors (m,) in standard errors, largest
    first. top_share: part of the variance that comes from the one per cent of rows with most influence.
    """

    rows: Codes
    change: Floats
    in_errors: Floats
    top_share: float


def influential_rows(means: Means, count: int = 10) -> InfluentialRows:
    """From influence functions of any estimator; the `count` rows of largest influence.

    >>> means = Means(1.0, 0.0, np.array([[0.3, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1]]))
    >>> found = influential_rows(means, 1)
    >>> found.rows, found.change
    (array([0]), array([-0.3]))
    """
    own = means.influence[:, 0] - means.influence[:, 1]
    order = np.argsort(-np.abs(own), kind="stable")
    error = float(np.linalg.norm(own))
    many = own.size if means.used is None else int(np.count_nonzero(means.used))
    top = float(np.linalg.norm(own[order[: int(np.ceil(many / 100))]]))
    rows = order[:count]
    with np.errstate(divide="ignore", invalid="ignore"):
        return InfluentialRows(
            rows, -own[rows], -own[rows] / np.float64(error), float(np.float64(top) ** 2 / error**2)
        )
