"""Regression discontinuity with several cutoffs: which rows serve which, and one number from many.

Cattaneo, Titiunik and Vazquez-Bare (2020), rdmulti. Either every row has a cutoff of its own (regions,
years): scores are then counted from it and pooled, or the estimates by cutoff are averaged. Or one score
runs through several cutoffs (doses that rise in steps): each is estimated on the rows between its
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.local_randomisation_rows import normal_tail
from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class SeveralCutoffs:
    """Average over cutoffs, and how far they differ.

    weights (k,), sum one, zero for a cutoff without an estimate. estimate, std_error, low, high, p_value:
    of the weighted average. q is Cochran's statistic of the hypothesis that all effects are the same, df
    its degrees of freedom, i2 the share of the variation beyond chance; NaN with fewer than two estimates.
    used (k,).
    """

    estimate: float
    std_error: float
    low: float
    high: float
    p_value: float
    weights: Floats
    q: float
    df: int
    p_heterogeneity: float
    i2: float
    used: Mask


def several_cutoffs(
    estimates: Floats,
    std_errors: Floats,
    n_window: Floats,
    level: float = 0.95,
    covariance: Floats | None = None,
) -> SeveralCutoffs:
    """Average of estimates (k,) by cutoff, weighted by the rows within their bandwidths (k,), as rdmc does.

    Cutoffs whose estimate or error is NaN, or error not positive, get no weight. The estimates must come from
    different rows; where the same rows serve two cutoffs give their covariance (k, k), whose diagonal then
    replaces std_errors. q is the Wald statistic of equality. All NaN if there is no estimate.

    >>> found = several_cutoffs(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([300, 100]))
    >>> found.estimate, round(found.std_error, 4), found.q
    (1.5, 0.7906, 2.0)
    """
    errors = std_errors if covariance is None else np.sqrt(np.diag(covariance))
    used = np.isfinite(estimates) & np.isfinite(errors) & (errors > 0) & (n_window > 0)
    weights = np.where(used, n_window, 0.0).astype(np.float64)
    if not used.any():
        nan = np.nan
        return SeveralCutoffs(nan, nan, nan, nan, nan, weights, nan, 0, nan, nan, used)
    weights /= weights.sum()
    b, w = estimates[used], weights[used]
    v = np.diag(errors[used] ** 2) if covariance is None else covariance[np.ix_(used, used)]
    estimate, error = float(w @ b), float(np.sqrt(w @ v @ w))
    reach = float(scipy.special.ndtri((1 + level) / 2)) * error
    q, df = _heterogeneity(b, v)
    return SeveralCutoffs(
        estimate=estimate,
        std_error=error,
        low=estimate - reach,
        high=estimate + reach,
        p_value=normal_tail(estimate / error),
        weights=weights,
        q=q,
        df=df,
        p_heterogeneity=float(scipy.special.chdtrc(df, q)) if df else np.nan,
        i2=max(0.0, 1 - df / q) if df and q > 0 else (0.0 if df else np.nan),
        used=used,
    )


def _heterogeneity(b: Floats, v: Floats) -> tuple[float, int]:
    """Distance of the estimates from their generalised least-squares mean, and the degrees of freedom."""
    if b.size < 2:
        return np.nan, 0
    scale = np.sqrt(np.diag(v))
    inverse = scipy.linalg.pinvh(v / np.outer(scale, scale)) / np.outer(scale, scale)
    ones = np.ones(b.size)
    centre = ones @ inverse @ b / (ones @ inverse @ ones)
    return float((b - centre) @ inverse @ (b - centre)), b.size - 1


def normalised_score(score: Floats, own_cutoff: Floats) -> Floats:
    """Score (n,) counted from each row's own cutoff (n,), to pool rows at a cutoff of zero.

    The pooled jump is the average of the effects by cutoff, weighted by how many rows of each lie at it.
    """
    return np.asarray(score - own_cutoff)


def rows_between(score: Floats, cutoffs: Floats) -> Mask:
    """Rows (k, n) that serve each of k ascending cutoffs of one score: from the one before to below the next.

    On either side of a cutoff there is then one treatment only. Rows between two cutoffs serve both, so that
    neighbouring estimates are correlated unless their bandwidths do not meet. Raises ValueError if the
    cutoffs do not ascend.

    >>> rows_between(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0])).astype(int)
    array([[1, 1, 1, 0],
           [0, 1, 1, 1]])
    """
    if np.any(np.diff(cutoffs) <= 0):
        raise ValueError("cutoffs must ascend")
    before = np.concatenate([[-np.inf], cutoffs[:-1]])
    after = np.concatenate([cutoffs[1:], [np.inf]])
    return np.asarray((score >= before[:, None]) & (score < after[:, None]))
