"""Counts of a score by cell, and how many rows a smooth density would put into some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

Counts = np.ndarray[tuple[int, ...], np.dtype[np.intp]]
FILLED = 0.3
"""Values on a regular grid count cell by cell if at least this share of the grid is filled."""
REPEATED = 5.0
"""Rows per value from which on a score without a regular grid counts value by value."""
PARTS = 20
"""A step of a continuous score is cut into this many cells at most; the first holds the round value."""
FINE = 1e4
"""A step of more grid points than this is cut as if there were no grid."""
SAME = 1e-12
"""Values closer than this, relative to the largest distance from zero, are the same value."""
CLOSE = 1e-6
"""A value is a multiple of a step if it misses one by less than this share of the step."""


@dataclass(frozen=True, eq=False)
class Around:
    """Rows near the cutoff by value: values (k,) ascending with their counts, between the ends low and high.

    kind says how they are counted: "grid" (regular, step `grid`), "values" (few values, no regular grid) or
    "continuous"; grid is NaN unless every gap between values is a multiple of the smallest.
    """

    values: Floats
    counts: Counts
    cutoff: float
    low: float
    high: float
    kind: Literal["grid", "values", "continuous"]
    grid: float


@dataclass(frozen=True, eq=False)
class Cells:
    """start (k,) of each cell, ascending, the rows in it, and whether it starts at a multiple of the step.

    width is that of a cell; 0 where cells are single values.
    """

    start: Floats
    counts: Counts
    round: Mask
    width: float

    def places(self, values: Floats) -> Counts:
        """Which cell holds each value; -1 for none."""
        slack = CLOSE * float(np.diff(self.start).min(initial=np.inf)) if self.start.size > 1 else 0.0
        place = np.searchsorted(self.start, values + slack, side="right") - 1
        beyond = values - self.start[place] >= max(self.width - slack, 2 * slack)
        return np.where((place < 0) | beyond, -1, place)


@dataclass(frozen=True, eq=False)
class Expected:
    """Rows in some cells (observed) and what the smooth density of the others predicts, left and right (2,).

    variance (2,) is that of observed minus expected: Poisson, times the overdispersion of the other cells if
    above one, plus the error of the fit. A side without enough other cells has zeros throughout.
    """

    observed: Floats
    expected: Floats
    variance: Floats

    @property
    def p_value(self) -> float:
        """One-sided chance of so many rows, from a Poisson distribution scaled to the variance."""
        sums = (np.array([part.sum()]) for part in (self.observed, self.expected, self.variance))
        return float(scaled_poisson(*sums)[0])


def scaled_poisson(observed: Floats, expected: Floats, variance: Floats) -> Floats:
    """One-sided chance of `observed` or more, Poisson with counts in units of variance / expected; any shape.

    1 where no more than expected were observed, or nothing is expected.

    >>> scaled_poisson(np.array([3.0]), np.array([1.0]), np.array([1.0])).round(4)
    array([0.0803])
    """
    possible = (expected > 0) & (observed > expected)
    scale = np.maximum(variance / np.where(expected > 0, expected, 1.0), 1.0)
    chance = scipy.special.gammainc(np.where(possible, observed, 1.0) / scale, expected / scale)
    return np.asarray(np.where(possible, chance, 1.0))


def around(score: Floats, cutoff: float, window: float) -> Around:
    """The rows within `window` of the cutoff, and how to count them."""
    near = score[np.abs(score - cutoff) <= window * (1 + CLOSE)]
    values, counts = _distinct(near)
    low, high = max(float(score.min()), cutoff - window), min(float(score.max()), cutoff + window)
    gaps = np.diff(values)
    if gaps.size < 4:
        return Around(values, counts, cutoff, low, high, "values", float(gaps.min()) if gaps.size else np.nan)
    grid = _common_gap(gaps)
    places = (values[-1] - values[0]) / grid + 1
    if np.isfinite(grid) and values.size >= FILLED * places:
        return Around(values, counts, cutoff, low, high, "grid", grid)
    kind: Literal["values", "continuous"] = "values" if near.size >= REPEATED * values.size else "continuous"
    return Around(values, counts, cutoff, low, high, kind, grid)


def multiples(values: Floats, step: float) -> Mask:
    """Which values are multiples of the step, up to rounding error."""
    ratio = values / step
    return np.asarray(np.abs(ratio - np.round(ratio)) < CLOSE * np.maximum(1.0, 1e-3 * np.abs(ratio)))


def cells(near: Around, step: float) -> Cells:
    """Cells for one step: grid points, values, or parts of the step (without those that the cutoff cuts)."""
    if near.kind == "values":
        return Cells(near.values, near.counts, multiples(near.values, step), 0.0)
    if near.kind == "grid":
        place = np.round((near.values - near.values[0]) / near.grid).astype(np.intp)
        counts = np.bincount(place, near.counts).astype(np.intp)
        start = near.values[0] + near.grid * np.arange(counts.size)
        return Cells(start, counts, multiples(start, step), 0.0)
    pieces = parts(step, near.grid)
    width = step / pieces
    index = np.floor(near.values / width + CLOSE).astype(np.intp)
    counts = np.bincount(index - index[0], near.counts).astype(np.intp)
    number = index[0] + np.arange(counts.size)
    start = number * width
    whole = (start >= near.low - CLOSE * width) & (start + width <= near.high + CLOSE * width)
    cut = (start < near.cutoff - CLOSE * width) & (start + width > near.cutoff + CLOSE * width)
    kept = whole & ~cut
    return Cells(start[kept], counts[kept], (number % pieces == 0)[kept], width)


def expect(held: Cells, cutoff: float, asked: Mask, others: Mask) -> Expected:
    """What the density of the other cells, smooth on each side of the cutoff, predicts for those asked."""
    out = np.zeros((3, 2))
    for side, mine in enumerate(_sides(held, cutoff)):
        fit = _smooth(held, cutoff, mine, others) if (mine & asked).any() else None
        if fit is not None:
            mean, columns = fit.at(held.start[mine & asked] - cutoff)
            gradient = mean @ columns
            error = float(gradient @ fit.covariance @ gradient)
            out[:, side] = held.counts[mine & asked].sum(), mean.sum(), fit.dispersion * (mean.sum() + error)
    return Expected(*out)


def each(held: Cells, cutoff: float, others: Mask) -> tuple[Floats, Floats]:
    """The same for every cell by itself: expected rows and variance (k,); zero where there is no fit."""
    expected, variance = np.zeros(held.start.size), np.zeros(held.start.size)
    for mine in _sides(held, cutoff):
        fit = _smooth(held, cutoff, mine, others)
        if fit is not None:
            mean, columns = fit.at(held.start[mine] - cutoff)
            error = mean**2 * np.einsum("ij,jk,ik->i", columns, fit.covariance, columns)
            expected[mine], variance[mine] = mean, fit.dispersion * (mean + error)
    return expected, variance


def _sides(held: Cells, cutoff: float) -> tuple[Mask, Mask]:
    slack = CLOSE * float(np.diff(held.start).min(initial=np.inf)) if held.start.size > 1 else 0.0
    right: Mask = held.start >= cutoff - slack
    return ~right, right


@dataclass(frozen=True, eq=False)
class _Fit:
    """Log of the rows per cell as a polynomial in the distance over `scale`."""

    coefficients: Floats
    covariance: Floats
    dispersion: float
    scale: float

    def at(self, distance: Floats) -> tuple[Floats, Floats]:
        """Expected rows (k,) and the columns that they come from (k, order + 1)."""
        columns = np.vander(distance / self.scale, self.coefficients.size)
        return np.asarray(np.exp(np.clip(columns @ self.coefficients, -30, 30))), columns


def _smooth(held: Cells, cutoff: float, mine: Mask, others: Mask) -> _Fit | None:
    """Quadratic (below 12 cells a line, below 6 a constant); None with fewer than three cells or no rows."""
    used = mine & others
    distance, counts = held.start[used] - cutoff, held.counts[used]
    if distance.size < 3 or not counts.any():
        return None
    order = 2 if distance.size >= 12 else 1 if distance.size >= 6 else 0
    scale = float(np.abs(held.start[mine] - cutoff).max()) or 1.0
    fit = _poisson(np.vander(distance / scale, order + 1), counts.astype(np.float64))
    return None if fit is None else _Fit(*fit, scale)


def _poisson(columns: Floats, y: Floats, most: int = 50) -> tuple[Floats, Floats, float] | None:
    """Poisson regression with a log link: coefficients, inverse information, dispersion; None: not converged.

    The dispersion is Pearson's, at least one.
    """
    fitted = np.log(np.maximum(y, 0.1) * 0.5 + 0.5 * y.mean())
    for _ in range(most):
        mean = np.exp(np.clip(fitted, -30, 30))
        inverse = np.linalg.pinv((columns.T * mean) @ columns, hermitian=True)
        coefficients = inverse @ (columns.T @ (mean * fitted + y - mean))
        before, fitted = fitted, columns @ coefficients
        if float(np.abs(fitted - before).max()) < 1e-8:
            mean = np.exp(np.clip(fitted, -30, 30))
            pearson = float(np.sum((y - mean) ** 2 / mean)) / max(y.size - columns.shape[1], 1)
            return coefficients, inverse, max(pearson, 1.0)
    return None


def _distinct(near: Floats) -> tuple[Floats, Counts]:
    """Values and their counts; those that differ by rounding error only are one."""
    values, counts = np.unique(near, return_counts=True)
    if not values.size:
        return values, counts
    new = np.diff(values, prepend=-np.inf) > SAME * float(np.abs(values).max())
    return values[new], np.add.reduceat(counts, np.flatnonzero(new))


def _common_gap(gaps: Floats) -> float:
    """The smallest gap if all others are multiples of it, otherwise NaN."""
    smallest = float(gaps.min())
    ratio = gaps / smallest
    return smallest if float(np.abs(ratio - np.round(ratio)).max()) < 0.01 else np.nan


def parts(step: float, grid: float) -> int:
    """Cells per step of a continuous score, each with as many grid points as the others; 0: impossible."""
    if not np.isfinite(grid) or step / grid > FINE:
        return PARTS
    points = round(step / grid)
    if points < 2 or abs(step / grid - points) > 0.01:
        return 0
    return max((k for k in range(2, PARTS + 1) if points % k == 0), default=points)
