"""Bias and variance of a local line on one side at any bandwidth, from sums of powers of the distance."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.honest_fit import COEFFICIENTS, Curvature, Kernel
from qieval.numerics.honest_rows import Side
from qieval.numerics.two_way import Floats

SMALL = 16
"""Windows of so many support points are worked out point by point."""


@dataclass(frozen=True, eq=False)
class At:
    """At each bandwidth (m,): is there a fit; the weights' sum with squared distance; their sum of squares;
    the value at the cutoff (m, p), only where it is needed (zeros in a sharp design)."""

    fits: NDArray[np.bool_]
    bend: Floats
    squares: Floats
    level: Floats


class Moments:
    """Sums of row weights (and their squares) times powers of the distance, cumulated from the cutoff.

    Distances are taken from the nearest support point, so that little cancels. Windows of a few support
    points are taken from the points themselves.
    """

    def __init__(self, side: Side, kernel: Kernel, curvature: Curvature, tie: float) -> None:
        self.kernel: Kernel = kernel
        self.taylor, self.tie, self.points = curvature == "taylor", tie, side.points
        self.shape = COEFFICIENTS[kernel]
        degree, apart = len(self.shape) - 1, self.points - self.points[0]
        self.mass = np.add.reduceat(side.weights, side.first)
        self.mass_squared = np.add.reduceat(side.weights**2, side.first)
        self.plain = _cumulated(self.mass, apart, degree + 4)
        self.squared = _cumulated(self.mass_squared, apart, 2 * degree + 3)
        self.n_outcomes = side.outcomes.shape[1]
        columns = side.outcomes.T if self.n_outcomes > 1 else side.outcomes.T[:0]
        self.value_sums = [np.add.reduceat(side.weights * column, side.first) for column in columns]
        self.values = [_cumulated(each, apart, degree + 2) for each in self.value_sums]

    def at(self, h: Floats) -> At:
        """Everything the criterion needs at bandwidths h (m,)."""
        reach = self.tie if self.kernel == "uniform" else -self.tie
        cut = np.searchsorted(self.points, h + reach, side="right" if reach > 0 else "left")
        made = At(
            fits=cut >= 2,
            bend=np.zeros(h.size),
            squares=np.zeros(h.size),
            level=np.zeros((h.size, self.n_outcomes)),
        )
        small = cut <= SMALL
        for chosen, way in ((small, self._one_by_one), (~small, self._from_sums)):
            if np.any(chosen):
                made.bend[chosen], made.squares[chosen], made.level[chosen] = way(h[chosen], cut[chosen])
        return made

    def _one_by_one(self, h: Floats, cut: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """From the support points themselves, (m, SMALL) at a time: exact when the last has hardly weight."""
        points, mass = self.points[:SMALL], self.mass[:SMALL]
        distance = points / h[:, None]
        inside = np.arange(points.size) < cut[:, None]
        shape = np.where(inside, np.polynomial.polynomial.polyval(distance, self.shape), 0.0)
        weights = shape * mass
        total = weights.sum(axis=1, keepdims=True)
        centre = (weights * distance).sum(axis=1, keepdims=True) / np.where(total > 0, total, 1.0)
        apart = np.where(inside, distance - centre, 0.0)
        spread = (weights * apart**2).sum(axis=1, keepdims=True)
        good = (cut >= 2)[:, None] & (spread > 0)
        per_row = np.where(good, shape / np.where(good, total, 1.0), 0.0)
        per_row -= np.where(good, shape * apart * (centre / np.where(good, spread, 1.0)), 0.0)
        size = np.abs(per_row) if self.taylor else per_row
        bend = (size * mass * distance**2).sum(axis=1) * h**2
        level = np.zeros((h.size, self.n_outcomes))
        for column, sums in enumerate(self.value_sums):
            level[:, column] = per_row @ sums[:SMALL]
        return bend, per_row**2 @ self.mass_squared[:SMALL], level

    def _from_sums(self, h: Floats, cut: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """From the cumulated sums; distances are in bandwidths, from the nearest point (`start`)."""
        start = self.points[0] / h
        shape = self._expanded(start)
        s0, s1, s2, s3 = _sums(self.plain, shape, cut, h, 4)
        v0, v1, v2 = _sums(self.squared, _product(shape), cut, h, 3)
        determinant = s0 * s2 - s1**2
        # A row's weight in the value at the cutoff is its kernel times (constant + slope x distance).
        constant, slope = (s2 + start * s1) / determinant, -(s1 + start * s0) / determinant
        bend = constant * s2 + slope * s3 - start**2
        if self.taylor:
            until = np.searchsorted(self.points, self.points[0] - constant / slope * h)
            n0, n1, n2, n3 = _sums(self.plain, shape, np.minimum(cut, until), h, 4)
            near = constant * (n2 + 2 * start * n1 + start**2 * n0)
            near += slope * (n3 + 2 * start * n2 + start**2 * n1)
            bend = 2 * near - bend
        level = np.zeros((h.size, self.n_outcomes))
        for column, cumulated in enumerate(self.values):
            t0, t1 = _sums(cumulated, shape, cut, h, 2)
            level[:, column] = constant * t0 + slope * t1
        squares = constant**2 * v0 + 2 * constant * slope * v1 + slope**2 * v2
        return bend * h**2, squares, level

    def _expanded(self, start: Floats) -> list[Floats]:
        """Coefficients (m,) of the kernel as a polynomial in the distance from the nearest point."""
        return [
            np.asarray(sum(self.shape[a] * comb(a, b) * start ** (a - b) for a in range(b, len(self.shape))))
            for b in range(len(self.shape))
        ]


def _product(shape: list[Floats]) -> list[Floats]:
    """Coefficients of the square of a polynomial."""
    made = [np.zeros_like(shape[0]) for _ in range(2 * len(shape) - 1)]
    for a, one in enumerate(shape):
        for b, other in enumerate(shape):
            made[a + b] = made[a + b] + one * other
    return made


def _sums(
    cumulated: list[Floats], shape: list[Floats], cut: NDArray[np.intp], h: Floats, n: int
) -> list[Floats]:
    """Sums of kernel times (distance / h)^j for j < n, from the sums of powers up to `cut`."""
    powers = [cumulated[j][cut] / h**j for j in range(n + len(shape) - 1)]
    return [np.asarray(sum(c * powers[j + b] for b, c in enumerate(shape))) for j in range(n)]


def _cumulated(mass: Floats, points: Floats, n: int) -> list[Floats]:
    """n arrays (G + 1,): sums of mass x point^j over the nearest 0, 1, ... G support points."""
    made, term = [], mass.copy()
    for _ in range(n):
        made.append(np.concatenate([[0.0], np.cumsum(term)]))
        term = term * points
    return made
