"""Covariance of any estimator by leaving out one cluster at a time: CV3, dependable with few clusters.

Source: MacKinnon, Nielsen and Webb (2023), Fast and reliable jackknife and bootstrap methods for
cluster-robust inference, Journal of Applied Econometrics 38(5), equations 7 and 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask
from qieval.progress import progress

FEW = (
    "There are fewer than two clusters, so nothing can be left out; name smaller clusters or use an interval "
    "that needs none."
)
NO_ESTIMATE = "There is no estimate from all clusters together, so there is nothing to compare with."
NEEDED = (
    "Without {count} of the {n_clusters} clusters (one at a time) this estimate cannot be made, so the "
    "jackknife cannot tell how uncertain it is; permute the roll-out instead, or join cohorts that rest on "
    "one cluster."
)


@dataclass(frozen=True, eq=False)
class ClusterJackknife:
    """Estimates with CV3 standard errors and t intervals with G - 1 degrees of freedom.

    estimate (k,) from all clusters, left_out (G, k) without each of them (NaN where it could not be made);
    covariance (k, k); std_error, statistic, p_value, low, high (k,). reason (k,): '' or why there is no
    standard error (NaN then).
    """

    estimate: Floats
    left_out: Floats
    covariance: Floats
    std_error: Floats
    statistic: Floats
    p_value: Floats
    low: Floats
    high: Floats
    df: int
    n_clusters: int
    reason: tuple[str, ...]

    @property
    def influence(self) -> Floats:
        """How far each cluster moves the estimates (G, k): with it less without it."""
        return np.asarray(self.estimate - self.left_out)


def cluster_jackknife(
    refit: Callable[[Mask], Floats],
    estimate: Floats,
    n_clusters: int,
    *,
    level: float = 0.95,
    centre: Literal["estimate", "mean"] = "estimate",
) -> ClusterJackknife:
    """CV3 = (G - 1)/G sum over clusters of (b_g - b)(b_g - b)', b_g the estimates without cluster g.

    refit: given which clusters are kept (G,), the estimates (k,), NaN where they cannot be made; estimate
    (k,): b, from all of them. centre "mean" takes deviations from the mean of the b_g (CV3J, never larger). A
    coefficient that some cluster is needed for gets no standard error but a reason. Agrees with the formula
    for least squares; pyfixest 0.60 sums the squares without (G - 1)/G, so that its CRV3 standard errors are
    larger by (G/(G - 1))^(1/2), or with its own factor for few clusters by G/(G - 1).

    >>> y = np.array([1.0, 2.0, 6.0])
    >>> found = cluster_jackknife(lambda kept: y[kept].mean(keepdims=True), y.mean(keepdims=True), 3)
    >>> bool(np.isclose(found.std_error[0], y.std(ddof=1) / np.sqrt(3)))
    True
    """
    everyone = np.ones(n_clusters, dtype=bool)
    estimate = np.array(estimate, dtype=float)
    left_out = np.empty((n_clusters, estimate.size))
    for g in progress(range(n_clusters), "leaving out clusters"):
        kept = everyone.copy()
        kept[g] = False
        left_out[g] = refit(kept) if n_clusters > 1 else np.nan
    reason = tuple(_reason(estimate[j], left_out[:, j]) for j in range(estimate.size))
    middle = estimate if centre == "estimate" else left_out.mean(axis=0)
    deviation = left_out - middle
    deviation[:, [bool(text) for text in reason]] = np.nan
    covariance = (n_clusters - 1) / max(n_clusters, 1) * deviation.T @ deviation
    return _with_intervals(estimate, left_out, covariance, reason, level)


def _reason(estimate: float, left_out: Floats) -> str:
    missing = int(np.count_nonzero(~np.isfinite(left_out)))
    if left_out.size < 2:
        return FEW
    if not np.isfinite(estimate):
        return NO_ESTIMATE
    return NEEDED.format(count=missing, n_clusters=left_out.size) if missing else ""


def _with_intervals(
    estimate: Floats, left_out: Floats, covariance: Floats, reason: tuple[str, ...], level: float
) -> ClusterJackknife:
    df = len(left_out) - 1
    error = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / error
    critical = -float(scipy.special.stdtrit(df, (1 - level) / 2)) if df > 0 else np.nan
    return ClusterJackknife(
        estimate=estimate,
        left_out=left_out,
        covariance=covariance,
        std_error=error,
        statistic=statistic,
        p_value=2 * scipy.special.stdtr(df, -np.abs(statistic)) if df > 0 else np.full_like(error, np.nan),
        low=estimate - critical * error,
        high=estimate + critical * error,
        df=df,
        n_clusters=len(left_out),
        reason=reason,
    )
