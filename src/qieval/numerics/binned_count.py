"""How many bins? Data-driven numbers for the picture of a regression discontinuity.

Calonico, Cattaneo and Titiunik (2015, JASA 110): evenly spaced or quantile-spaced bins, whose number either
makes the integrated mean squared error small or lets the spread of the bin means mimic that of the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.edge_polynomials import inverse_or_none, legendre_columns, legendre_powers
from qieval.numerics.two_way import Floats

ORDER = 4
"""Of the preliminary polynomial (the paper's k); lower where a side has too few different scores."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the cutoff: u (n,) ascending, with the range of the side as [0, 1], and y (n,)."""

    u: Floats
    y: Floats


@dataclass(frozen=True)
class Numbers:
    """Bins on one side: least integrated mean squared error, and mimicking variance."""

    imse: int
    mimicking: int


def numbers(side: Side, n: int, quantiles: bool, spacings: bool) -> Numbers:
    """Numbers of bins for one side (paper, section 4 and its supplement); n rows on both sides.

    spacings estimates the variance from neighbours' differences, otherwise the polynomial regression of y and
    y^2 gives it. Neighbours with equal scores count with the mean over their orders, so that the order of
    the rows does not matter (rdplot takes the order of the file; without ties the two are equal).
    1 where y does not vary, and never more than the rows of the side.
    """
    rows = side.u.size
    spread = float(side.y.var(ddof=1)) if rows > 1 else 0.0
    if not spread > 0 or side.u[0] == side.u[-1]:
        return Numbers(1, 1)
    mean, square = _polynomials(side)
    slope = np.polynomial.polynomial.polyder(mean)
    gaps, middles = np.diff(side.u), (side.u[1:] + side.u[:-1]) / 2
    if quantiles:
        bias = (
            rows**2 / (24 * n) * float(np.sum((gaps * np.polynomial.polynomial.polyval(middles, slope)) ** 2))
        )
        points, weights = side.u, np.full(rows, 1 / rows)
    else:
        bias = float(np.sum(np.polynomial.polynomial.polyval(side.u, slope) ** 2)) / (12 * n)
        points, weights = middles, gaps
    if spacings:
        steps = _squared_steps(side)
        variance = float(np.sum(steps) / (2 * rows)) if quantiles else 0.5 * float(gaps @ steps)
    else:
        around = (
            np.polynomial.polynomial.polyval(points, square)
            - np.polynomial.polynomial.polyval(points, mean) ** 2
        )
        variance = float(weights @ np.where(around < 0, spread, around))
    if not variance > 0:
        return Numbers(1, 1)
    imse, mimicking = np.ceil([(2 * bias / variance * n) ** (1 / 3), spread / variance * n / np.log(n) ** 2])
    return Numbers(int(np.clip(imse, 1, rows)), int(np.clip(mimicking, 1, rows)))


def _polynomials(side: Side) -> tuple[Floats, Floats]:
    """Coefficients of 1, u, u^2, ... for y and for y^2."""
    order = min(ORDER, np.unique(side.u).size - 1)
    inverse = None
    while inverse is None:
        columns = legendre_columns(side.u, order)
        inverse = inverse_or_none(columns.T @ columns)
        order -= 1
    powers = legendre_powers(columns.shape[1] - 1)
    first, second = (powers @ (inverse @ (columns.T @ values)) for values in (side.y, side.y**2))
    return np.asarray(first), np.asarray(second)


def _squared_steps(side: Side) -> Floats:
    """Squared difference from each row's predecessor, expected over the orders of equal scores (n - 1,)."""
    new = np.r_[True, side.u[1:] != side.u[:-1]]
    if new.all():
        return np.asarray(np.diff(side.y) ** 2)
    starts = np.flatnonzero(new)
    size = np.diff(starts, append=side.u.size)
    mean = np.add.reduceat(side.y, starts) / size
    group = np.repeat(np.arange(size.size), size)
    around = np.add.reduceat((side.y - mean[group]) ** 2, starts)
    inside = np.zeros(size.size)
    np.divide(2 * around, size - 1, out=inside, where=size > 1)
    between = np.diff(mean) ** 2 + (around / size)[1:] + (around / size)[:-1]
    return np.asarray(np.where(new[1:], between[group[1:] - 1], inside[group[1:]]))
