"""Profile-likelihood intervals of single coefficients, and comparison of nested models of a series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.series_regression import SeriesFit
from qieval.numerics.series_regression_steps import iterate, orthonormal
from qieval.numerics.two_way import Floats

GROWTHS = 60
"""An end is searched up to 1.5 to this power normal half-widths away."""


@dataclass(frozen=True)
class ProfileInterval:
    """Ends of an interval on the scale of the coefficient.

    Where a finite estimate exists so do both ends. converged is False if there is no estimate, or a model on
    the way could not be fitted; the end concerned is then NaN.
    """

    low: float
    high: float
    converged: bool


@dataclass(frozen=True)
class ModelComparison:
    """Test that the extra coefficients of a larger model are zero: F with (df1, df2), or chi2 with df1.

    df2 is infinite for chi2.
    """

    statistic: float
    df1: int
    df2: float
    p_value: float
    kind: Literal["F", "chi2"]


def profile_interval(
    fit: SeriesFit, x: Floats, column: int, level: float = 0.95, df: float = np.inf
) -> ProfileInterval:
    """Values of one coefficient at which the deviance, the others refitted, is not too far above its minimum.

    (D(b) - D) / dispersion <= q^2, with q the normal quantile, or that of t with df degrees of freedom. The
    normal is what R's confint.glm takes, for quasi families too; df=fit.df widens it for short series and
    is exact for gaussian. theta is held, as in MASS. x (n, k) are the columns of the fit, column one of them.
    Ends are exact roots (Brent). R interpolates a spline through a coarse grid: in the Sicilian smoking ban
    its ends lie up to 4e-6 standard errors (7e-8 of a rate ratio) away. Source: Venables and Ripley (2002),
    section 7.2.

    >>> from qieval.numerics.series_regression import fit_series
    >>> x = np.ones((4, 1))
    >>> ends = profile_interval(fit_series(np.array([4.0, 6, 9, 11]), x, "poisson"), x, 0)
    >>> round(float(np.exp(ends.low)), 4), round(float(np.exp(ends.high)), 4)
    (5.1263, 10.513)
    """
    if not fit.converged:
        return ProfileInterval(np.nan, np.nan, False)
    tail = (1 - level) / 2
    cut = float(-scipy.special.ndtri(tail) if np.isinf(df) else -scipy.special.stdtrit(df, tail))
    excess = _excess(fit, x, column, cut)
    width = cut * float(fit.std_error[column])
    ends = [float(fit.coefficients[column]) + _end(excess, side * width) for side in (-1, 1)]
    return ProfileInterval(ends[0], ends[1], converged=not np.isnan(ends).any())


def f_test(small: SeriesFit, large: SeriesFit) -> ModelComparison:
    """Compare nested models of the same series, as R's anova: F where the dispersion is estimated, else chi2.

    F is the difference of deviances per coefficient over the dispersion of the larger model; chi2 is twice
    the difference of log-likelihoods, each negative binomial with its own theta. That the columns of the
    small model lie within those of the large one is for the caller to know.
    """
    df1 = large.coefficients.size - small.coefficients.size
    if small.family != large.family or df1 < 1 or not np.array_equal(small.outcome.y, large.outcome.y):
        raise ValueError("the models must be of one family and series, and the second must have more columns")
    if np.isinf(large.df):
        statistic = 2 * (large.log_likelihood - small.log_likelihood)
        return ModelComparison(statistic, df1, np.inf, float(scipy.special.chdtrc(df1, statistic)), "chi2")
    statistic = (small.deviance - large.deviance) / df1 / large.dispersion
    p_value = float(scipy.special.fdtrc(df1, large.df, statistic)) if large.df > 0 else np.nan
    return ModelComparison(statistic, df1, large.df, p_value, "F")


def _excess(fit: SeriesFit, x: Floats, column: int, cut: float) -> Callable[[float], float]:
    """Root of the rise of the deviance less the cut, by the distance of a coefficient from its estimate.

    Only the part of the column that is orthogonal to the others moves: each refit starts near its end.
    """
    q = orthonormal(np.delete(x, column, axis=1)).q
    centred = x[:, column] - x[:, column].mean() if _has_constant(q) else x[:, column]
    own = centred - q @ (q.T @ centred)
    start = np.zeros(q.shape[1])

    def excess(distance: float) -> float:
        moved = replace(fit.outcome, offset=fit.linear + distance * own)
        steps = iterate(moved, q, start)
        if not steps.converged:
            return np.nan
        return float(np.sqrt(max(steps.deviance - fit.deviance, 0.0) / fit.dispersion)) - cut

    return excess


def _has_constant(q: Floats) -> bool:
    """Whether a constant lies in the span of orthonormal columns."""
    return bool(np.abs(1 - q @ q.sum(axis=0)).max() < 1e-9)


def _end(excess: Callable[[float], float], width: float) -> float:
    """Distance at which the excess is zero, on the side that the sign of width names."""
    inside, outside = 0.0, width
    for _ in range(GROWTHS):
        reached = excess(outside)
        if np.isnan(reached):
            return np.nan
        if reached > 0:
            return float(scipy.optimize.brentq(excess, inside, outside, xtol=abs(width) * 1e-13, rtol=1e-14))
        inside, outside = outside, 1.5 * outside
    return np.nan
