"""Weighted sums of products for the likelihood of autoregressive errors, with derivatives.

R is the correlation matrix of the errors, a function of their partial autocorrelations (p,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy

from qieval.numerics.series_autoregression import (
    Ints,
    autocorrelation_derivatives,
    autocorrelations,
    coefficient_slopes,
    coefficients_from_partial,
    consecutive,
    innovation_share,
)
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class Weighed:
    """products (m, m) is Z' R^(-1) Z, logdet that of R; slopes (p, m, m) and (p,) are their derivatives."""

    products: Floats
    logdet: float
    product_slopes: Floats
    logdet_slopes: Floats


class Weighing(Protocol):
    """Z' R^(-1) Z and log det R as functions of the partial autocorrelations, for Z (n, m) given once."""

    def __call__(self, partial: Floats) -> tuple[Floats, float]:
        """Both."""

    def with_slopes(self, partial: Floats) -> Weighed:
        """Both, with their derivatives in the partial autocorrelations."""


def weighing(z: Floats, at: Ints, order: int) -> Weighing:
    """The quickest way for this order and these times at (n,)."""
    if order == 1:
        return FirstOrder.of(z, at)
    return Consecutive.of(z, order) if consecutive(at) else Dense(z, at)


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """Order 1, which needs three sums of products for each distance between neighbours that occurs."""

    first: Floats
    sums: Floats
    distances: Floats
    counts: Floats

    @classmethod
    def of(cls, z: Floats, at: Ints) -> FirstOrder:
        """sums (3 d, m m): of the later of neighbours, of both crosswise, of the earlier."""
        steps = np.diff(at)
        distances, counts = np.unique(steps, return_counts=True)
        later, crossed, earlier = [], [], []
        for distance in distances:
            here = np.flatnonzero(steps == distance)
            before, after = z[here], z[here + 1]
            cross = after.T @ before
            later.append(after.T @ after)
            crossed.append(cross + cross.T)
            earlier.append(before.T @ before)
        sums = np.array([*later, *crossed, *earlier]).reshape(3 * distances.size, -1)
        return cls(z[:1].T @ z[:1], sums, distances.astype(np.float64), counts.astype(np.float64))

    def __call__(self, partial: Floats) -> tuple[Floats, float]:
        """Both."""
        products, logdet = self.on_grid(partial)
        return products[0], float(logdet[0])

    def on_grid(self, rho: Floats) -> tuple[Floats, Floats]:
        """Both for many values (g,) of the autocorrelation: (g, m, m) and (g,)."""
        carried = rho[:, None] ** self.distances
        left = 1 - carried**2
        weights = np.concatenate([1 / left, -carried / left, carried**2 / left], axis=1)
        products = (weights @ self.sums).reshape(rho.size, *self.first.shape)
        return self.first + products, np.log(left) @ self.counts

    def with_slopes(self, partial: Floats) -> Weighed:
        """Both, with their derivatives."""
        products, logdet = self.on_grid(partial)
        d, rho = self.distances, float(partial[0])
        carried, slope = rho**d, d * rho ** (d - 1)
        left = 1 - carried**2
        factor = slope / left**2
        both = 2 * carried * factor
        weights = np.concatenate([both, -(1 + carried**2) * factor, both])
        changes = (weights @ self.sums).reshape(1, *self.first.shape)
        return Weighed(
            products[0], float(logdet[0]), changes, np.array([(-2 * carried * slope / left) @ self.counts])
        )


@dataclass(frozen=True, eq=False)
class Consecutive:
    """No gaps: the inverse of R is a short band, and Z enters by p + 1 squared sums of products.

    Box, Jenkins and Reinsel (Time Series Analysis, appendix A7.4).
    """

    sums: Floats
    n: int

    @classmethod
    def of(cls, z: Floats, order: int) -> Consecutive:
        """sums (p+1, p+1, m, m) of z_(t+i) z_(t+j)' over the n - i - j terms that the band holds."""
        n, m = z.shape
        sums = np.zeros((order + 1, order + 1, m, m))
        for i in range(order + 1):
            for j in range(order + 1):
                length = max(n - i - j, 0)
                sums[i, j] = z[i : i + length].T @ z[j : j + length]
        return cls(sums, n)

    def __call__(self, partial: Floats) -> tuple[Floats, float]:
        """Both."""
        weights = np.append(1.0, -coefficients_from_partial(partial))
        half = np.tensordot(weights, self.sums, (0, 0))
        products = np.tensordot(weights, half, (0, 0)) / innovation_share(partial)
        order = np.arange(1, partial.size + 1)
        return products, float((self.n - order) @ np.log1p(-(partial**2)))

    def with_slopes(self, partial: Floats) -> Weighed:
        """Both, with their derivatives."""
        share, order = innovation_share(partial), np.arange(1, partial.size + 1)
        weights = np.append(1.0, -coefficients_from_partial(partial))
        half = np.tensordot(weights, self.sums, (0, 0))
        products = np.tensordot(weights, half, (0, 0)) / share
        changes = -(half[1:] + half[1:].transpose(0, 2, 1)) / share
        rate = 2 * partial / (1 - partial**2)
        turned = np.tensordot(coefficient_slopes(partial), changes, (1, 0))
        return Weighed(
            products=products,
            logdet=float((self.n - order) @ np.log1p(-(partial**2))),
            product_slopes=turned + rate[:, None, None] * products,
            logdet_slopes=rate * (order - self.n),
        )


@dataclass(frozen=True, eq=False)
class Dense:
    """Higher orders with gaps: the whole matrix, n cubed operations each time."""

    z: Floats
    at: Ints

    def __call__(self, partial: Floats) -> tuple[Floats, float]:
        """Both."""
        root = self._root(coefficients_from_partial(partial))
        white = scipy.linalg.solve_triangular(root, self.z, lower=True)
        return white.T @ white, 2 * float(np.log(np.diag(root)).sum())

    def with_slopes(self, partial: Floats) -> Weighed:
        """Both, with their derivatives."""
        phi = coefficients_from_partial(partial)
        distance = np.abs(np.subtract.outer(self.at, self.at))
        moved = coefficient_slopes(partial) @ autocorrelation_derivatives(phi, int(distance.max()))[0]
        root = self._root(phi)
        whitener = scipy.linalg.solve_triangular(root, np.eye(len(self.z)), lower=True)
        turned = whitener @ moved[:, distance] @ whitener.T
        white = whitener @ self.z
        return Weighed(
            products=white.T @ white,
            logdet=2 * float(np.log(np.diag(root)).sum()),
            product_slopes=-white.T @ turned @ white,
            logdet_slopes=np.trace(turned, axis1=1, axis2=2),
        )

    def _root(self, phi: Floats) -> Floats:
        rho = autocorrelations(phi, int(self.at[-1] - self.at[0]))
        return np.asarray(np.linalg.cholesky(rho[np.abs(np.subtract.outer(self.at, self.at))]))
