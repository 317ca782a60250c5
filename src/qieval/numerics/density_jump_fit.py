"""Local polynomial fit of the distribution function on each side of a cutoff: the density there.

Cattaneo, Jansson and Ma (2020, JASA, section 2): the empirical distribution function is regressed on powers
of the distance with kernel weights; the coefficient of the first power is the density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.density_jump_constants import (
    Kernel,
    constants,
    double_moments,
    kernel_weights,
    moments,
)
from qieval.numerics.edge_polynomials import inverse_or_none, legendre_columns, legendre_powers
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class Sorted:
    """The score as the fits need it.

    x (n,) is the distance to the cutoff in ascending order; f (n,) its empirical distribution function
    (rank - 1) / (n - 1); tied says that equal values share the rank of their last, and one tail sum.
    """

    x: Floats
    f: Floats
    tied: bool

    @property
    def n_left(self) -> int:
        """Rows below the cutoff."""
        return int(np.searchsorted(self.x, 0.0))

    @property
    def values(self) -> Floats:
        """Values that differ, ascending."""
        return np.asarray(self.x[np.r_[True, self.x[1:] != self.x[:-1]]])


@dataclass(frozen=True)
class Fit:
    """What a fit estimates: its order, and the coefficient `derivative` besides the density."""

    order: int
    kernel: Kernel
    restricted: bool
    jackknife: bool
    derivative: int = 1


@dataclass(frozen=True, eq=False)
class Sides:
    """Estimates left and right of the cutoff, each (2,), and the covariance (2, 2) of the two densities.

    derivative is the coefficient of x^k in the distribution function (F^(k) / k!). NaN where there are too
    few values to fit. n counts the rows used.
    """

    density: Floats
    derivative: Floats
    covariance: Floats
    n: tuple[int, int]

    @property
    def variances(self) -> Floats:
        """Variance of left, right, difference and sum (4,)."""
        left, right = np.diag(self.covariance)
        both = 2 * self.covariance[0, 1]
        return np.array([left, right, left + right - both, left + right + both])


def arrange(score: Floats, cutoff: float, mass_points: bool) -> Sorted:
    """Sort the distances and rank them; with mass_points equal values share the rank of their last."""
    x = np.sort(score) - cutoff
    rank = np.arange(x.size, dtype=np.float64)
    ends = np.flatnonzero(np.r_[x[1:] != x[:-1], True])
    tied = mass_points and ends.size < x.size
    if tied:
        rank = np.repeat(ends.astype(np.float64), np.diff(ends, prepend=-1))
    return Sorted(x, rank / (x.size - 1), tied)


def fit_sides(data: Sorted, h: tuple[float, float], how: Fit) -> Sides:
    """Fit within h[0] below and h[1] above the cutoff (edges included).

    The unrestricted model fits the sides apart; the restricted one shares every power above the first (in
    units of the bandwidth), and needs one bandwidth for both. The jackknife variance is the sum of squared
    tail sums of the weighted columns (Cattaneo, Jansson, Ma 2018, Stata Journal 18, section 2); the plug-in
    variance comes from the constants.
    """
    if how.restricted and h[0] != h[1]:
        raise ValueError("the restricted model needs one bandwidth for both sides")
    below, middle = np.searchsorted(data.x, [-h[0], 0.0])
    above = int(np.searchsorted(data.x, h[1], side="right"))
    rows = slice(int(below), int(middle)), slice(int(middle), above)
    n = (int(middle - below), int(above - middle))
    found = _together(data, rows, h, how) if how.restricted else _apart(data, rows, h, how)
    density, derivative, covariance = found
    if not how.jackknife:
        covariance = _plug_in(density, h, data.x.size, how)
    return Sides(density, derivative, covariance, n)


Found = tuple[Floats, Floats, Floats]


def _apart(data: Sorted, rows: tuple[slice, slice], h: tuple[float, float], how: Fit) -> Found:
    """The two densities are uncorrelated: the tail sums of one side are zero on the other."""
    density, derivative, variance = np.full(2, np.nan), np.full(2, np.nan), np.full(2, np.nan)
    basis = legendre_powers(how.order)
    for side, (sign, width) in enumerate(zip((-1.0, 1.0), h, strict=True)):
        x = data.x[rows[side]]
        u = np.abs(x) / width
        weights = kernel_weights(u, how.kernel)
        columns = legendre_columns(u, how.order)
        inverse = inverse_or_none((columns.T * weights) @ columns)
        if inverse is None:
            continue
        monomials = basis @ inverse @ (columns.T @ (weights * data.f[rows[side]]))
        density[side] = monomials[1] * sign / width
        derivative[side] = monomials[how.derivative] * (sign / width) ** how.derivative
        if how.jackknife:
            tails = _tails(weights * (columns @ (inverse @ basis[1])), x, data.tied)
            variance[side] = tails @ tails / ((data.x.size - 1) * width) ** 2
    return density, derivative, np.diag(variance)


def _together(data: Sorted, rows: tuple[slice, slice], h: tuple[float, float], how: Fit) -> Found:
    nothing = np.full(2, np.nan)
    x = data.x[rows[0].start : rows[1].stop]
    u = x / h[0]
    weights = kernel_weights(u, how.kernel)
    columns = np.stack(
        [np.ones_like(u), np.minimum(u, 0), np.maximum(u, 0), *(u**k for k in range(2, how.order + 1))],
        axis=1,
    )
    inverse = inverse_or_none((columns.T * weights) @ columns)
    if inverse is None:
        return nothing, nothing, np.full((2, 2), np.nan)
    values = inverse @ (columns.T @ (weights * data.f[rows[0].start : rows[1].stop]))
    density = values[1:3] / h[0]
    shared = how.derivative + 1
    derivative = density if how.derivative == 1 else np.full(2, values[shared] / h[0] ** how.derivative)
    tails = np.stack([_tails(weights * (columns @ inverse[k]), x, data.tied) for k in (1, 2)])
    return density, derivative, tails @ tails.T / ((data.x.size - 1) * h[0]) ** 2


def _plug_in(density: Floats, h: tuple[float, float], n: int, how: Fit) -> Floats:
    if not how.restricted:
        return np.diag(density * constants(how.kernel, how.order, 1)[0] / (n * np.array(h)))
    left, right = density
    turn = mirror(how.order)
    s, g = (widen(make(how.kernel, how.order)) for make in (moments, double_moments))
    inverse = np.linalg.inv(left * turn @ s @ turn + right * s)
    whole = inverse @ (left**3 * turn @ g @ turn + right**3 * g) @ inverse
    return np.asarray(whole[1:3, 1:3] / (n * h[0]))


def widen(right: Floats) -> Floats:
    """Moments of the right side in the restricted model: zeros for the left slope (row and column 1)."""
    for axis in range(right.ndim):
        right = np.insert(right, 1, 0.0, axis=axis)
    return right


def mirror(order: int) -> Floats:
    """Maps moments of the right side to those of the left in the restricted model, u to -u."""
    turn = np.diag([1.0, 0.0, 0.0, *((-1.0) ** k for k in range(2, order + 1))])
    turn[1, 2] = turn[2, 1] = -1.0
    return turn


def _tails(terms: Floats, x: Floats, tied: bool) -> Floats:
    """Sum of the terms after each row; where equal values are tied, after the first of them."""
    after = np.cumsum(terms[::-1])[::-1] - terms
    if not tied or not x.size:
        return np.asarray(after)
    starts = np.flatnonzero(np.r_[True, x[1:] != x[:-1]])
    return np.repeat(after[starts], np.diff(starts, append=x.size))
