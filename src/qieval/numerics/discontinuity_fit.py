"""Regression discontinuity, one weighted polynomial on one side of the cutoff, and the variance of its parts.

Every number wanted from such a fit is linear in the outcome: sum_i omega_i a_i, with weights omega (m,) that
depend on the scores alone. Its variance comes from residuals e through the same weights. The polynomials are
shifted Legendre polynomials of distance / bandwidth, so that the normal equations stay well conditioned at
any order and in any unit; only the answers are turned into powers of score - cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.discontinuity_rows import Side
from qieval.numerics.two_way import Codes, Floats

FULL = 1e-8
"""A leverage nearer to 1 than this counts as this near: its residual is zero anyway."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A polynomial of `order` fitted to the rows of a side within `bandwidth`.

    basis (order + 1, m) holds the polynomials at the first m rows and weight (m,) the kernel weights, zero
    beyond the bandwidth; m may exceed the rows within it.
    """

    side: Side
    order: int
    bandwidth: float
    basis: Floats
    weight: Floats

    @property
    def m(self) -> int:
        """Rows held."""
        return int(self.weight.size)

    @cached_property
    def weighted(self) -> Floats:
        """The basis times the weights (order + 1, m)."""
        return np.asarray(self.basis * self.weight)

    @cached_property
    def factor(self) -> Floats:
        """Lower Cholesky factor of the normal equations."""
        try:
            return np.asarray(np.linalg.cholesky(self.weighted @ self.basis.T))
        except np.linalg.LinAlgError:
            raise EstimationError(
                f"A polynomial of order {self.order} cannot be fitted on the {self.side.name} of the cutoff: "
                "the scores there are too few, too close together, or one of them lies far off (a mistake?). "
                "Choose a wider bandwidth or a lower order."
            ) from None

    def solve(self, right: Floats) -> Floats:
        """The normal equations solved for right (order + 1, ...)."""
        return np.asarray(scipy.linalg.cho_solve((self.factor, True), right))

    def powers(self, coefficients: Floats) -> Floats:
        """Coefficients of the basis (order + 1, ...) as coefficients of powers of score - cutoff."""
        return np.asarray((_legendre(self.order).T @ coefficients).T * self._scales).T

    @property
    def _scales(self) -> Floats:
        return np.asarray((self.side.sign / self.bandwidth) ** np.arange(self.order + 1))

    def omega(self, power: int) -> Floats:
        """Weights (m,) with omega @ a = the coefficient of (score - cutoff) ** power."""
        wanted = _legendre(self.order)[:, power] * self._scales[power]
        return np.asarray(self.solve(wanted) @ self.weighted)

    def coefficients(self, a: Floats) -> Floats:
        """Coefficients of powers of score - cutoff (order + 1, ...) for outcomes a (m, ...)."""
        return self.powers(self.solve(self.weighted @ a))

    def residuals(self, a: Floats) -> Floats:
        """a (m, c) less the fitted polynomials."""
        return np.asarray(a - self.basis.T @ self.solve(self.weighted @ a))

    @cached_property
    def orthonormal(self) -> Floats:
        """The basis turned so that its weighted cross-product is the identity (order + 1, m)."""
        return np.asarray(scipy.linalg.solve_triangular(self.factor, self.basis, lower=True))


def fit(side: Side, order: int, bandwidth: float, kernel: str, m: int | None = None) -> Fit:
    """Prepare the fit of one side; m keeps more rows than lie within the bandwidth."""
    inside = side.within(bandwidth, kernel)
    rows = inside if m is None else m
    u = side.distance[:rows] / bandwidth
    weight = _kernel(u, kernel) / bandwidth
    weight[inside:] = 0.0
    if side.weights is not None:
        weight *= side.weights[:rows]
    return Fit(side, order, bandwidth, _basis(u, order), weight)


def _kernel(u: Floats, kernel: str) -> Floats:
    if kernel == "triangular":
        return 1 - u
    return np.full(u.size, 0.5) if kernel == "uniform" else np.asarray(0.75 * (1 - u**2))


def _basis(u: Floats, order: int) -> Floats:
    """Shifted Legendre polynomials of degree 0 to order at u: (k+1) P = (2k+1) (2u-1) P - k P."""
    held = np.empty((order + 1, u.size))
    held[0] = 1.0
    if order:
        t = np.subtract(2 * u, 1.0, out=held[1])
    for k in range(1, order):
        np.multiply(t, held[k], out=held[k + 1])
        held[k + 1] *= (2 * k + 1) / (k + 1)
        held[k + 1] -= k / (k + 1) * held[k - 1]
    return held


def _legendre(order: int) -> Floats:
    """Row k: the coefficients of powers of u of the k-th shifted Legendre polynomial."""
    held = np.zeros((order + 1, order + 1))
    held[0, 0] = 1.0
    if order:
        held[1, :2] = -1.0, 2.0
    for k in range(1, order):
        times = -held[k]
        times[1:] += 2 * held[k, :-1]
        held[k + 1] = ((2 * k + 1) * times - k * held[k - 1]) / (k + 1)
    return held


def covariance(fitted: Fit, omega: Floats, a: Floats, variance: str, neighbours: int) -> Floats:
    """Covariance (c, c) of omega @ a, for outcomes a (m, c) and the weights omega (m,) of an estimate.

    Residuals and leverages are those of `fitted`, whose order + 1 coefficients k the small-sample factors
    count: m / (m - k) for hc1, (m - 1) / (m - k) G / (G - 1) for cr1. cr2 and cr3 take each cluster's block
    of the hat matrix of `fitted` (Bell and McCaffrey 2002; Pustejovsky and Tipton 2018), whatever the weights
    omega; where a cluster alone carries a direction, its residual along it is zero and so is the correction.
    """
    if variance == "nn":
        near = fitted.side.neighbours
        e = np.column_stack([near.residuals(column, fitted.m, neighbours) for column in a.T])
    else:
        e = fitted.residuals(a)
    if variance.startswith("cr"):
        return _clustered(fitted, omega, e, variance)
    e *= _inflation(fitted, omega, variance)[:, None]
    return np.asarray(e.T @ e)


def _inflation(fitted: Fit, omega: Floats, variance: str) -> Floats:
    """omega times what the heteroskedasticity-consistent variants multiply residuals by."""
    k = fitted.order + 1
    if variance == "hc1":
        if fitted.m <= k:
            raise EstimationError(_few_rows(fitted, variance))
        return np.asarray(omega * np.sqrt(fitted.m / (fitted.m - k)))
    if variance in ("nn", "hc0"):
        return omega
    free = np.maximum(1 - fitted.weight * np.sum(fitted.orthonormal**2, axis=0), FULL)
    return np.asarray(omega / (np.sqrt(free) if variance == "hc2" else free))


def _few_rows(fitted: Fit, variance: str) -> str:
    return (
        f"Only {fitted.m} rows on the {fitted.side.name} of the cutoff for a polynomial of order "
        f"{fitted.order}: the {variance} variance does not exist. Choose a wider bandwidth."
    )


def _clustered(fitted: Fit, omega: Floats, e: Floats, variance: str) -> Floats:
    codes = fitted.side.clusters
    assert codes is not None
    codes = codes[: fitted.m]
    groups, k = fitted.side.groups(fitted.m), fitted.order + 1
    if groups < 2:
        raise EstimationError(
            f"All rows on the {fitted.side.name} of the cutoff within the bandwidth belong to one cluster: "
            "their variance cannot be estimated. Choose a wider bandwidth or other clusters."
        )
    if fitted.m <= k:
        raise EstimationError(_few_rows(fitted, variance))
    if variance != "cr1":
        kept = np.unique(codes, return_inverse=True)[1]
        scores = _sums(kept, (omega * e.T)) + _leverage(fitted, omega, e, kept, variance)
        return np.asarray(scores @ scores.T)
    scores = _sums(codes, omega * e.T)
    return np.asarray(scores @ scores.T * ((fitted.m - 1) / (fitted.m - k) * groups / (groups - 1)))


def _sums(codes: Codes, values: Floats) -> Floats:
    """Sums by cluster of values (r, m): (r, clusters)."""
    return np.array([np.bincount(codes, weights=row) for row in values])


def _leverage(fitted: Fit, omega: Floats, e: Floats, codes: Codes, variance: str) -> Floats:
    """What cr2 and cr3 add to the clusters' scores (c, clusters)."""
    r, k = fitted.orthonormal, fitted.order + 1
    weighted = r * fitted.weight
    upper = [(i, j) for i in range(k) for j in range(i, k)]
    blocks = np.empty((int(codes.max()) + 1, k, k))
    for i, j in upper:
        blocks[:, i, j] = blocks[:, j, i] = np.bincount(codes, weights=weighted[i] * r[j])
    share, vectors = np.linalg.eigh(blocks)
    free = 1 - share
    open_ = (free > FULL) & (share > 1e-14)
    safe, mine = np.where(open_, free, 1.0), np.where(open_, share, 1.0)
    gain = np.where(open_, 1 / safe if variance == "cr3" else (1 / np.sqrt(safe) - 1) / mine, 0.0)
    ours = np.einsum("gij,ig->gj", vectors, _sums(codes, r * omega)) * gain
    return np.array(
        [np.einsum("gj,gij,ig->g", ours, vectors, _sums(codes, weighted * column)) for column in e.T]
    )
