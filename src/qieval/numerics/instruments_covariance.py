"""Covariance of sums of scores: homoskedastic, robust, and clustered in one or two ways."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qieval.numerics.two_way import Codes, Floats, sums

Kind = Literal["unadjusted", "debiased", "hc0", "hc1", "cr0", "cr1"]
"""unadjusted: residual variance over n; debiased: over n - p. hc0, cr0: no small-sample factor. hc1:
n / (n - p). cr1: G / (G - 1) * (n - 1) / (n - p) with G clusters. p counts the coefficients of the
regression at hand, controls included."""


def is_clustered(kind: Kind) -> bool:
    """Whether this kind needs clusters."""
    return kind in ("cr0", "cr1")


def is_homoskedastic(kind: Kind) -> bool:
    """Whether this kind assumes errors of equal variance."""
    return kind in ("unadjusted", "debiased")


def score_covariance(scores: Floats, clusters: tuple[Codes, ...], kind: Kind, n_parameters: int) -> Floats:
    """Covariance (p, p) of the sum of scores (n, p), robust kinds only.

    Two ways are combined as in Cameron, Gelbach and Miller (2011): first + second - both, each with its
    own number of clusters in the factor of cr1; the result need not be positive definite.
    """
    n = len(scores)
    if kind == "hc0":
        return np.asarray(scores.T @ scores)
    if kind == "hc1":
        return np.asarray(n / (n - n_parameters) * (scores.T @ scores))
    if not is_clustered(kind):
        raise ValueError(f"{kind} is not a robust kind")
    return clustered(scores, clusters, (n - 1) / (n - n_parameters) if kind == "cr1" else None)


def clustered(scores: Floats, clusters: tuple[Codes, ...], factor: float | None = None) -> Floats:
    """Covariance of the sum of scores (n, p) by clusters; factor times G / (G - 1) if one is given."""
    if not clusters:
        raise ValueError("a clustered covariance needs clusters")
    if len(clusters) == 1:
        return _one_way(scores, clusters[0], factor)
    first, second = clusters
    both = np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1]
    parts = [_one_way(scores, codes, factor) for codes in (first, second, both)]
    return np.asarray(parts[0] + parts[1] - parts[2])


def _one_way(scores: Floats, codes: Codes, factor: float | None) -> Floats:
    n_clusters = int(codes.max()) + 1
    totals = np.column_stack([sums(codes, column, n_clusters) for column in scores.T])
    small = 1.0 if factor is None else factor * n_clusters / (n_clusters - 1)
    return np.asarray(small * (totals.T @ totals))


def denominator_df(clusters: tuple[Codes, ...], kind: Kind, df: int) -> int:
    """Degrees of freedom of an F test: df, or the smaller number of clusters less one."""
    if not is_clustered(kind):
        return df
    return min(int(codes.max()) for codes in clusters)
