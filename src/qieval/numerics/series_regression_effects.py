"""What a model says would have happened otherwise: differences and ratios, per period and added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.series_regression_families import Link, inverse_link
from qieval.numerics.two_way import Floats

DRAWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Contrast:
    """Two versions of the same m periods, in time order: regressors (m, k) with and without the change.

    offset (m,) on the scale of the link; weight (m,) multiplies the means (the trials of a binomial outcome,
    for expected successes); both may be left out.
    """

    factual: Floats
    counterfactual: Floats
    link: Link
    offset: Floats | None = None
    weight: Floats | None = None

    def means(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Expected values (..., m) with and without the change, for coefficients (..., k)."""
        offset = 0.0 if self.offset is None else self.offset
        weight = 1.0 if self.weight is None else self.weight
        with_change = inverse_link(offset + coefficients @ self.factual.T, self.link)
        without = inverse_link(offset + coefficients @ self.counterfactual.T, self.link)
        return weight * with_change, weight * without

    def gradients(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Derivatives (m, k) of the two means by the coefficients (k,)."""
        offset = 0.0 if self.offset is None else self.offset
        weight = np.ones(len(self.factual)) if self.weight is None else self.weight
        sides = []
        for x in (self.factual, self.counterfactual):
            linear = offset + x @ coefficients
            slope = np.ones(len(x)) if self.link == "identity" else inverse_link(linear, self.link)
            if self.link == "logit":
                slope = slope * inverse_link(-linear, "logit")
            sides.append((weight * slope)[:, None] * x)
        return sides[0], sides[1]


@dataclass(frozen=True, eq=False)
class Estimated:
    """Estimates (m,) and their standard errors (m,)."""

    value: Floats
    error: Floats


@dataclass(frozen=True, eq=False)
class Track:
    """Expected values with and without the change, and what lies between them, (m,) each.

    difference is fitted - counterfactual, ratio fitted / counterfactual. log_ratio is NaN unless both are
    positive, and ratio is NaN where counterfactual is 0.
    """

    fitted: Estimated
    counterfactual: Estimated
    difference: Estimated
    ratio: Estimated
    log_ratio: Estimated


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects in each period, and added up from the first to each; the last of cumulative is the total.

    mean_difference is the total difference per period (1,).
    """

    by_period: Track
    cumulative: Track
    mean_difference: Estimated


@dataclass(frozen=True, eq=False)
class EffectDraws:
    """Totals over the periods, one for each draw of the coefficients (draws,)."""

    fitted: Floats
    counterfactual: Floats

    @property
    def difference(self) -> Floats:
        """Draws of the total difference."""
        return self.fitted - self.counterfactual

    @property
    def log_ratio(self) -> Floats:
        """Draws of the log ratio of totals; NaN unless both totals are positive."""
        return _log_ratio(self.fitted, self.counterfactual)


def contrast_effects(coefficients: Floats, covariance: Floats, contrast: Contrast) -> Effects:
    """Effects with delta-method errors from coefficients (k,) and their covariance (k, k), any kind of it.

    The errors are those of the expected values: the scatter of single observations is not in them. Count time
    from a moment within the series: with years such as 2005 as a column the covariance itself loses digits.
    """
    means = contrast.means(coefficients)
    slopes = contrast.gradients(coefficients)
    added = (np.cumsum(means[0]), np.cumsum(means[1]))
    added_slopes = (np.cumsum(slopes[0], axis=0), np.cumsum(slopes[1], axis=0))
    cumulative = _track(added, added_slopes, covariance)
    m = len(means[0])
    last = cumulative.difference
    return Effects(
        by_period=_track(means, slopes, covariance),
        cumulative=cumulative,
        mean_difference=Estimated(last.value[-1:] / m, last.error[-1:] / m),
    )


def contrast_draws(
    coefficients: Floats, covariance: Floats, contrast: Contrast, draws: int, generator: np.random.Generator
) -> EffectDraws:
    """Totals for coefficients drawn from the normal distribution: a check of the delta method.

    Draws are those of correlated standard normals scaled by the standard errors, so that units do not matter.
    """
    scale = np.sqrt(np.diag(covariance))
    held = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(held, held))
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T * held
    fitted, counterfactual = np.empty(draws), np.empty(draws)
    for start in range(0, draws, DRAWS_AT_ONCE):
        rows = slice(start, min(start + DRAWS_AT_ONCE, draws))
        normal = generator.standard_normal((rows.stop - start, coefficients.size))
        means = contrast.means(coefficients + normal @ root)
        fitted[rows], counterfactual[rows] = means[0].sum(axis=1), means[1].sum(axis=1)
    return EffectDraws(fitted, counterfactual)


def _track(means: tuple[Floats, Floats], slopes: tuple[Floats, Floats], covariance: Floats) -> Track:
    (fitted, other), (up, down) = means, slopes
    some = other != 0
    held = np.where(some, other, 1.0)
    ratio = np.where(some, fitted / held, np.nan)
    log_ratio = _log_ratio(fitted, other)
    safe = np.where(np.isnan(log_ratio), np.nan, fitted)
    return Track(
        fitted=Estimated(fitted, _error(up, covariance)),
        counterfactual=Estimated(other, _error(down, covariance)),
        difference=Estimated(fitted - other, _error(up - down, covariance)),
        ratio=Estimated(ratio, _error((up - ratio[:, None] * down) / held[:, None], covariance)),
        log_ratio=Estimated(log_ratio, _error(up / safe[:, None] - down / held[:, None], covariance)),
    )


def _log_ratio(fitted: Floats, other: Floats) -> Floats:
    positive = (fitted > 0) & (other > 0)
    logs = np.log(np.where(positive, fitted, 1.0)) - np.log(np.where(positive, other, 1.0))
    return np.where(positive, logs, np.nan)


def _error(gradient: Floats, covariance: Floats) -> Floats:
    """Standard errors (m,) from gradients (m, k)."""
    return np.asarray(np.sqrt(np.maximum(((gradient @ covariance) * gradient).sum(axis=1), 0.0)))
