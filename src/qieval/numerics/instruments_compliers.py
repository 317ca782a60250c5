"""Whom does an instrument speak for? Shares, characteristics and mean outcomes of the compliers.

For a 0/1 instrument that raises the uptake of a 0/1 treatment and never lowers it: compliers take the
treatment if and only if the instrument says so, always-takers and never-takers whatever it says. Everything
is a function of means within the two arms of the instrument, weighted by the inverse of the estimated
probability of that arm given the controls (weights normalised to one in each arm). These are Abadie's (2003)
kappa weights with both inverse probabilities normalised, so that the answers do not change if a constant is
added to an outcome (Sloczynski, Uysal and Wooldridge 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.means import Clusters, crossproduct, rows_used
from qieval.numerics.two_way import Floats, Mask
from qieval.numerics.weighted_regression import Regression, weighted_regression


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampling:
    """What counts how much and what belongs together: weights (n,) not negative, codes of clusters."""

    weights: Floats | None = None
    clusters: Clusters = None


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    std_error: float


@dataclass(frozen=True, eq=False)
class Estimates:
    """Numbers (q,), one per characteristic, and their standard errors (q,)."""

    value: Floats
    std_error: Floats


@dataclass(frozen=True, eq=False)
class Compliers:
    """Shares of the three groups, their characteristics, and the mean outcomes of compliers.

    overall, complier, always, never: mean characteristics (q,) of everybody and of each group (NaN for a
    group of which there is nobody). difference is complier - overall, ratio complier / overall: for a 0/1
    characteristic how many times as likely compliers are to have it. y1, y0: mean outcome of compliers with
    and without treatment, effect their difference (the local average treatment effect); NaN without an
    outcome. probability (n,) of instrument 1 given the controls; extreme (2,) the least and the greatest.
    Standard errors allow for its estimation and for characteristics being a sample, with the factor
    G/(G-1), G the clusters or else the rows.
    """

    share: Estimate
    share_always: Estimate
    share_never: Estimate
    overall: Estimates
    complier: Estimates
    always: Estimates
    never: Estimates
    difference: Estimates
    ratio: Estimates
    y1: Estimate
    y0: Estimate
    effect: Estimate
    probability: Floats

    @property
    def extreme(self) -> tuple[float, float]:
        """Least and greatest probability of instrument 1."""
        return float(self.probability.min()), float(self.probability.max())


@dataclass(frozen=True, eq=False)
class _Number:
    """Numbers (q,) with what each row contributes to them (n, q), closed under arithmetic."""

    value: Floats
    influence: Floats

    def __sub__(self, other: _Number) -> _Number:
        return _Number(self.value - other.value, self.influence - other.influence)

    def __rsub__(self, one: float) -> _Number:
        return _Number(one - self.value, -self.influence)

    def __truediv__(self, other: _Number) -> _Number:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(other.value != 0, self.value / other.value, np.nan)
            influence = (self.influence - value * other.influence) / other.value
        return _Number(value, np.where(np.isfinite(value), influence, np.nan))


@dataclass(frozen=True, eq=False)
class _Arms:
    """Weighted means within the arms of the instrument."""

    z: Mask
    weight: Floats
    fit: Regression

    def mean(self, values: Floats, arm: bool | None = None) -> _Number:
        """Mean of values (n, q) in an arm, reweighted to everybody; None: in all rows."""
        if arm is None:
            share = self.weight / self.weight.sum()
            centre = share @ values
            return _Number(centre, share[:, None] * (values - centre))
        probability = self.fit.fitted if arm else 1 - self.fit.fitted
        here = (self.z == arm) & (self.weight > 0)
        share = np.where(here, self.weight / np.where(here, probability, 1.0), 0.0)
        share /= share.sum()
        centre = share @ values
        own = share[:, None] * (values - centre)
        turn = (1.0 if arm else -1.0) * (1 - probability)
        by_beta = -(self.fit.design * turn[:, None]).T @ own
        return _Number(centre, own + self.fit.influence(by_beta.T))


def _several(sampling: Sampling, used: Mask, number: _Number) -> Estimates:
    """Numbers with their standard errors."""
    if not number.value.size:
        return Estimates(number.value, number.value)
    variance = np.diag(crossproduct(number.influence, sampling.clusters, used, adjust=True))
    return Estimates(number.value, np.sqrt(variance))


def _one(sampling: Sampling, used: Mask, number: _Number) -> Estimate:
    """A single number with its standard error."""
    found = _several(sampling, used, number)
    return Estimate(float(found.value[0]), float(found.std_error[0]))


def compliers(
    x: Floats,
    z: Floats,
    profile: Floats,
    w: Floats | None = None,
    y: Floats | None = None,
    sampling: Sampling | None = None,
) -> Compliers:
    """Compliers with treatment x (n,) and instrument z (n,), both 0/1, and their characteristics (n, q).

    w (n, c), constant included, are the controls given which the instrument is as good as random: its
    probability is a logistic regression on them. None: it is random outright, its probability the share of
    ones, and effect is the Wald ratio. With w the effect is the ratio of the two normalised inverse
    probability weighted differences. EstimationError for values other than 0/1, an arm without rows,
    controls that tell the arm without error, and an instrument that lowers uptake or leaves it as it is.

    >>> z = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
    >>> x = np.array([1.0, 1, 1, 0, 1, 0, 0, 0])
    >>> old = np.array([[1.0], [0], [0], [1], [0], [0], [1], [1]])
    >>> found = compliers(x, z, old)
    >>> found.share.value, found.share_always.value, found.share_never.value, found.complier.value
    (0.5, 0.25, 0.25, array([0.5]))
    """
    sampling = sampling or Sampling()
    arms = _arms(x, z, w, sampling.weights)
    used = arms.weight > 0
    treated = np.where(used, x, 0.0)[:, None]
    profile = np.where(used[:, None], profile, 0.0)
    always, takers = arms.mean(treated, False), arms.mean(treated, True)
    share, never = takers - always, 1.0 - takers
    if not share.value[0] > 0:
        raise EstimationError(
            "the instrument does not raise uptake, so that there are no compliers to describe "
            "(if 1 stands for less encouragement, swap its values)"
        )
    overall = arms.mean(profile)
    of_always, of_never = arms.mean(treated * profile, False), arms.mean((1 - treated) * profile, True)
    complier = (overall - of_always - of_never) / share
    outcome = np.full((len(x), 1), np.nan) if y is None else np.where(used, y, 0.0)[:, None]
    with_treatment = arms.mean(treated * outcome, True) - arms.mean(treated * outcome, False)
    without = arms.mean((1 - treated) * outcome, False) - arms.mean((1 - treated) * outcome, True)
    y1, y0 = with_treatment / share, without / share

    several, one = partial(_several, sampling, used), partial(_one, sampling, used)
    return Compliers(
        share=one(share),
        share_always=one(always),
        share_never=one(never),
        overall=several(overall),
        complier=several(complier),
        always=several(of_always / always),
        never=several(of_never / never),
        difference=several(complier - overall),
        ratio=several(complier / overall),
        y1=one(y1),
        y0=one(y0),
        effect=one(y1 - y0),
        probability=arms.fit.fitted,
    )


def _arms(x: Floats, z: Floats, w: Floats | None, weights: Floats | None) -> _Arms:
    weight = np.ones(len(z)) if weights is None else np.asarray(weights, dtype=float)
    used = rows_used(weight)
    for values, name in ((x, "treatment"), (z, "instrument")):
        if not np.isin(values[used], (0.0, 1.0)).all():
            raise EstimationError(f"the {name} must be 0 or 1 for complier shares")
    high = np.asarray(z == 1)
    if not (high & used).any() or not (~high & used).any():
        raise EstimationError("the instrument does not vary")
    design = np.ones((len(z), 1)) if w is None else w
    fit = weighted_regression(design, high.astype(float), weight, "logistic")
    if fit.separated or not fit.converged:
        raise EstimationError("the controls tell the value of the instrument without error for some rows")
    return _Arms(high, weight, fit)
