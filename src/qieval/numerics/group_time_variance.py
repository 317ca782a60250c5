"""Covariance of estimates from influence functions: independent units, or one or two ways of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy

from qieval.numerics.group_time_cells import Codes, Floats
from qieval.numerics.two_way import compact

Clusters: TypeAlias = Codes | tuple[Codes, Codes] | None
SmallSample = Literal["none", "clusters"]

ROUNDING = 1e-12
"""An eigenvalue is negative only beyond this share of the largest."""

NO_VARIANCE = 1e-18
"""A variance below this share of the one without clusters is rounding (1e-9 in its root)."""


@dataclass(frozen=True, eq=False)
class InfluenceCovariance:
    """Covariance (k, k) of estimates.

    n_clusters is None without clusters and the smaller number of the two with two ways; n the number of
    units; factor the small-sample factor applied. repaired: the two-way covariance had negative eigenvalues,
    which were set to zero.
    """

    matrix: Floats
    n: int
    n_clusters: int | None
    factor: float
    repaired: bool = False

    @property
    def df(self) -> int:
        """Degrees of freedom: clusters, or units without clusters, less one."""
        return (self.n if self.n_clusters is None else self.n_clusters) - 1

    @property
    def std_error(self) -> Floats:
        """Standard errors (k,), NaN where there is no variance."""
        variance = np.diag(self.matrix)
        return np.asarray(np.sqrt(np.where(variance > 0, variance, np.nan)))


def influence_covariance(
    influence: Floats, clusters: Clusters = None, small_sample: SmallSample = "none"
) -> InfluenceCovariance:
    """Covariance of estimates from influence functions (n, k): sum over clusters of s s' / n**2.

    s is the sum of influence functions within a cluster; without clusters every unit is its own. clusters:
    codes (n,), or two of them. Two ways (Cameron, Gelbach and Miller 2011): the covariances by each way
    added, less that by their intersection; where this is not positive semidefinite its negative eigenvalues
    are set to zero (of all k estimates at once, so that it may matter which are computed together).
    small_sample "none" is what R did and csdid do; "clusters" multiplies by G/(G-1) (as diff-diff), G being
    the smaller number of clusters of the two ways, or n without clusters. With one cluster everything is NaN.
    Where the sums of all clusters vanish (each arm of a comparison lies in one cluster) variance and
    covariances are 0: no inference is possible.

    >>> influence_covariance(np.array([[1.0], [2.0], [-3.0]]), np.array([0, 0, 1])).matrix
    array([[2.]])
    """
    n = len(influence)
    matrix, n_clusters, repaired = _products(influence, clusters)
    if clusters is not None:
        alone = np.diag(matrix) <= NO_VARIANCE * np.einsum("ij,ij->j", influence, influence)
        matrix[alone] = matrix[:, alone] = 0.0
    factor = n_clusters / (n_clusters - 1) if small_sample == "clusters" and n_clusters > 1 else 1.0
    return InfluenceCovariance(
        matrix=matrix * (factor / n**2 if n_clusters > 1 else np.nan),
        n=n,
        n_clusters=None if clusters is None else n_clusters,
        factor=factor,
        repaired=repaired,
    )


def _products(influence: Floats, clusters: Clusters) -> tuple[Floats, int, bool]:
    """Sum of products (k, k), the number of clusters (units without clusters), whether it was repaired."""
    if clusters is None:
        return _squared(influence), len(influence), False
    if not isinstance(clusters, tuple):
        codes, n_clusters = compact(clusters)
        return _squared(cluster_sums(influence, codes, n_clusters)), n_clusters, False
    (first, n_first), (second, n_second) = (compact(one) for one in clusters)
    both, n_both = compact(first * n_second + second)
    matrix = _squared(cluster_sums(influence, first, n_first))
    matrix += _squared(cluster_sums(influence, second, n_second))
    matrix -= _squared(cluster_sums(influence, both, n_both))
    matrix, repaired = _semidefinite(matrix)
    return matrix, min(n_first, n_second), repaired


def cluster_sums(influence: Floats, codes: Codes, n_clusters: int) -> Floats:
    """Sums of the rows of each cluster (n_clusters, k); codes (n,) from 0 to n_clusters - 1."""
    out = np.empty((influence.shape[1], n_clusters))
    for row, column in zip(out, influence.T, strict=True):
        row[:] = np.bincount(codes, column, n_clusters)
    return out.T


def _squared(scores: Floats) -> Floats:
    return np.asarray(scores.T @ scores)


def _semidefinite(matrix: Floats) -> tuple[Floats, bool]:
    """The matrix with negative eigenvalues set to zero, and whether there were any."""
    if not matrix.size:
        return matrix, False
    values, vectors = scipy.linalg.eigh(matrix)
    if values[0] >= -ROUNDING * max(float(values[-1]), 0.0):
        return matrix, False
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T), True
