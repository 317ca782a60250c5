"""Mahalanobis distances as Euclidean ones: covariates turned so that their spread is one all round."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy

from qieval.numerics.pairs import Floats, Mask

Kind = Literal["mahalanobis", "robust mahalanobis", "scaled euclidean", "euclidean"]

RANK = 1e-8
"""Directions with less variance than this share of the largest are left out (generalised inverse)."""


def whiten(x: Floats, treated: Mask, kind: Kind = "mahalanobis", usable: Mask | None = None) -> Floats:
    """Vectors (n, p) whose squared Euclidean distance is the squared distance of that kind; p <= k.

    x (n, k) covariates; a categorical one enters as a dummy for every level (the inverse is a generalised
    one, so that nothing depends on a reference level). treated (n,). usable (n,): rows that decide the
    scale, all if None. The definitions are those of R's MatchIt 4.7:

    - "mahalanobis": pooled covariance within arms, divisor n - 2 (Rubin 1980), of standardised covariates.
    - "robust mahalanobis": mid-ranks; their covariance (both arms together, divisor n - 1) is rescaled so
      that every variance is that of untied ranks (Rosenbaum 2010, chapter 8). Unusable rows get rank 0.
    - "scaled euclidean": covariates divided by their pooled standard deviation within arms.
    - "euclidean": as they are; the only kind that depends on units.

    Constant covariates are left out; if all are constant every distance is 0. Rows with equal covariates
    get exactly equal vectors. Turned by the Cholesky factor of the inverse with pivoting (largest diagonal
    first), because the first coordinate decides ties in `nearest`.
    """
    usable = np.ones(len(x), dtype=bool) if usable is None else usable
    x = np.asarray(x, dtype=np.float64)
    spread = np.ptp(x[usable], axis=0)
    x = x[:, spread > 1e-12 * np.abs(x[usable]).max(axis=0)]
    if not x.shape[1]:
        return np.zeros((len(x), 1))
    if kind == "euclidean":
        return x
    if kind == "robust mahalanobis":
        return _robust(x, usable)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    within = _pooled(x[usable], treated[usable])
    if kind == "scaled euclidean":
        deviation = np.sqrt(np.diag(within))
        return x[:, deviation > 0] / deviation[deviation > 0]
    return _turned(x, within)


def _pooled(x: Floats, treated: Mask) -> Floats:
    """Covariance within arms, divisor n minus the number of arms present."""
    centred = x.copy()
    arms = [arm for arm in (treated, ~treated) if arm.any()]
    for arm in arms:
        centred[arm] -= x[arm].mean(axis=0)
    covariance: Floats = centred.T @ centred / max(len(x) - len(arms), 1)
    return covariance


def _robust(x: Floats, usable: Mask) -> Floats:
    """Ranks turned by the inverse of their covariance, variances made those of untied ranks."""
    from scipy.stats import rankdata

    ranks = np.zeros(x.shape)
    ranks[usable] = rankdata(x[usable], axis=0)
    n = np.count_nonzero(usable)
    correlation = np.atleast_2d(np.corrcoef(ranks[usable], rowvar=False))
    return _turned(ranks, correlation * (n * (n + 1) / 12))


def _turned(x: Floats, covariance: Floats) -> Floats:
    """x times the transposed Cholesky factor of the generalised inverse, summed column by column.

    Column by column because a matrix product may round equal rows differently.
    """
    values, directions = np.linalg.eigh(covariance)
    kept = values > RANK * values.max(initial=0.0)
    inverse = (directions[:, kept] / values[kept]) @ directions[:, kept].T
    factor, pivots, _, _ = scipy.linalg.lapack.dpstrf((inverse + inverse.T) / 2, lower=0)
    turned = np.zeros((len(x), np.count_nonzero(kept)))
    for row in range(turned.shape[1]):
        for column in range(row, x.shape[1]):
            turned[:, row] += factor[row, column] * x[:, pivots[column] - 1]
    return turned
