"""The two means that every effect is made of, with influence functions, and their covariance.

An estimator hands over what each row contributes to the error of its two means. Clusters, ratios, subgroups
and small-sample factors then need no knowledge of the estimator: the covariance is the sum over independent
groups of rows of the outer product of their total contribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Codes, Floats, Mask, compact, sums

Clusters = Codes | tuple[Codes, Codes] | None
"""Rows that belong together: None (each row by itself), codes (n,), or two ways of codes that may cross.

Codes are non-negative integers; a negative code is for rows that are not used.
"""


@dataclass(frozen=True, eq=False)
class Means:
    """Mean outcome (risk, rate) with and without treatment in one target population.

    influence (n, 2) are the contributions of each row to mean1 and mean0, already divided by the sample
    size or sum of weights: estimate - truth is about their column sums, and without clusters the covariance
    is influence' influence. No small-sample factor is inside. used (n,) marks the rows that took part (None:
    all); the others have influence 0, and clusters without a used row are not counted.
    """

    mean1: float
    mean0: float
    influence: Floats
    used: Mask | None = None


def covariance(means: Means, cluster: Clusters = None, factor: float = 1.0, adjust: bool = False) -> Floats:
    """Covariance (2, 2) of (mean1, mean0), multiplied by factor.

    adjust multiplies each way of clustering by G/(G-1), G its clusters (NaN with one cluster); without
    clusters every row counts as one. So factor (n-1)/(n-k) and adjust, with n rows used and k coefficients,
    are HC1 without and sandwich::vcovCL(type = "HC1", cadjust = TRUE) with clusters.

    >>> means = Means(2.0, 1.0, np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.25], [0.0, -0.25]]))
    >>> print(covariance(means))
    [[0.5   0.   ]
     [0.    0.125]]
    >>> print(covariance(means, np.array([0, 1, 0, 1])))
    [[0.5   0.25 ]
     [0.25  0.125]]
    """
    return factor * crossproduct(means.influence, cluster, means.used, adjust)


def crossproduct(
    influence: Floats, cluster: Clusters = None, used: Mask | None = None, adjust: bool = False
) -> Floats:
    """Sum over clusters of the outer product of their total influence; influence (n, q) -> (q, q).

    Two ways a, b give V(a) + V(b) - V(a and b) (Cameron, Gelbach and Miller 2011); with few clusters that
    may have a negative variance, which is handed back as it is. NaN in a column of influence makes its row
    and column NaN. ValueError where a row that is used belongs to no cluster.
    """
    taking_part = np.ones(len(influence), dtype=bool) if used is None else used
    if not isinstance(cluster, tuple):
        return _one_way(influence, cluster, taking_part, adjust)
    first, second = cluster
    both = np.where((first < 0) | (second < 0), -1, first * (np.max(second, initial=0) + 1) + second)
    both[taking_part] = np.unique(both[taking_part], return_inverse=True)[1]
    total = np.zeros((influence.shape[1], influence.shape[1]))
    for codes, sign in ((first, 1.0), (second, 1.0), (both, -1.0)):
        total += sign * _one_way(influence, codes, taking_part, adjust)
    return total


def n_clusters(cluster: Clusters, used: Mask) -> int:
    """Number of clusters with a used row: the smaller number of two ways, the used rows without clusters."""
    if cluster is None:
        return int(np.count_nonzero(used))
    if isinstance(cluster, tuple):
        return min(n_clusters(way, used) for way in cluster)
    return int(np.unique(cluster[used]).size)


def rows_used(weights: Floats) -> Mask:
    """Rows of positive weight (n,). ValueError for a weight that is negative or not finite."""
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and 0 or more")
    return np.asarray(weights > 0)


def weighted_means(y: Floats, treated: Mask, weights: Floats, jackknife: bool = False) -> Means:
    """Weighted mean of y in each arm; the weights are taken as fixed.

    y, weights (n,), treated (n,) bool; rows of weight 0 are not used and their y may be NaN. The difference
    is the coefficient of treatment in weighted least squares and the covariance its HC0 sandwich; jackknife
    divides each contribution by 1 - leverage (HC3), which is NaN for an arm with one used row.
    An arm without weight has no mean: ValueError.

    >>> treated = np.array([True, True, False, False])
    >>> means = weighted_means(np.array([1.0, 3.0, 0.0, 1.0]), treated, np.ones(4))
    >>> means.mean1, means.mean0
    (2.0, 0.5)
    """
    used = rows_used(weights)
    influence = np.zeros((len(y), 2))
    found = []
    for column, arm in enumerate((used & treated, used & ~treated)):
        if not arm.any():
            raise ValueError("an arm has no row of positive weight")
        share = weights[arm] / weights[arm].sum()
        found.append(float(share @ y[arm]))
        left = 1.0 - share if jackknife else 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            influence[arm, column] = share * (y[arm] - found[-1]) / left
    return Means(found[0], found[1], influence, used)


def _one_way(influence: Floats, cluster: Codes | None, used: Mask, adjust: bool) -> Floats:
    if cluster is None:
        total, groups = influence, int(np.count_nonzero(used))
    else:
        if (cluster[used] < 0).any():
            raise ValueError("a row that is used belongs to no cluster")
        codes, groups = compact(cluster[used])
        total = np.column_stack([sums(codes, column[used], groups) for column in influence.T])
    product = np.asarray(total.T @ total)
    if not adjust:
        return product
    return product * (groups / (groups - 1) if groups > 1 else np.nan)
