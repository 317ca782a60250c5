"""Data-driven bandwidths for the density at a cutoff: Cattaneo, Jansson and Ma (2020, section 4.2; 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Literal

import numpy as np

from qieval.numerics.density_jump_constants import Kernel, constants, moments, next_moments
from qieval.numerics.density_jump_fit import Fit, Sides, Sorted, fit_sides, mirror, widen
from qieval.numerics.two_way import Floats

Rule = Literal["comb", "each", "diff", "sum"]
EXTRA = 20
"""A window holds at least 20 rows and values more than the fit has powers."""


@dataclass(frozen=True)
class DensityChoices:
    """How the density is estimated; the defaults are those of rddensity 3.0.

    p is the order for the bandwidth, q (None: p + 1) that of the test. rule: one bandwidth per side (each),
    that for the difference or the sum, or (comb) the median of the three per side; restricted: the smaller
    of the last two.
    restricted shares the curvature between the sides. mass_points lets equal scores share a rank. regularise
    keeps bandwidths within the data and wide enough for min_rows rows and min_values different values a
    side (None: 21 + p; 0: no minimum).
    """

    p: int = 2
    q: int | None = None
    kernel: Kernel = "triangular"
    rule: Rule = "comb"
    restricted: bool = False
    variance: Literal["jackknife", "plugin"] = "jackknife"
    mass_points: bool = True
    regularise: bool = True
    min_rows: int | None = None
    min_values: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.p <= 7 or (self.q is not None and self.q < self.p):
            raise ValueError("p must be 1 to 7 and q not below p")
        if self.restricted and self.rule == "each":
            raise ValueError("the restricted model has one bandwidth: the rule cannot be 'each'")

    @property
    def order(self) -> int:
        """Order of the test."""
        return self.p + 1 if self.q is None else self.q

    def fit(self, order: int, derivative: int = 1) -> Fit:
        """These choices for a fit of one order."""
        return Fit(order, self.kernel, self.restricted, self.variance == "jackknife", derivative)


@dataclass(frozen=True, eq=False)
class Bandwidths:
    """h, and the variance and squared bias that it balances; left, right, difference and sum (4,) each."""

    h: Floats
    variance: Floats
    squared_bias: Floats


def bandwidths(data: Sorted, choices: DensityChoices) -> Bandwidths:
    """Bandwidths that minimise the asymptotic mean squared error of the densities at the cutoff.

    Two pilot fits: order p for the variance, order p + 2 for the derivative in the bias; their widths come
    from a normal reference with the exact constants of the uniform kernel. rddensity stores these with
    rounding error (relative 1e-8 up to p = 4, 2e-2 at p = 7), so that bandwidths differ a little for p > 4.
    """
    p, n = choices.p, data.x.size
    wide, narrow = _pilots(data, choices)
    curved = fit_sides(data, (wide, wide), choices.fit(p + 2, derivative=p + 1))
    level = fit_sides(data, (narrow, narrow), choices.fit(p))
    variance = n * narrow * level.variances
    bias = _bias(curved, level, choices)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = (variance / (2 * p * n * bias**2)) ** (1 / (2 * p + 1))
    h[np.isnan(h)] = 0.0
    if choices.regularise:
        h = _regularised(h, data, choices)
    return Bandwidths(h, variance, bias**2)


def choose(found: Bandwidths, choices: DensityChoices) -> tuple[float, float]:
    """The bandwidths left and right by the rule of these choices; both must come out positive and finite."""
    left, right, difference, total = found.h
    if choices.rule == "comb" and choices.restricted:
        h = (min(difference, total),) * 2
    elif choices.rule == "comb":
        h = (float(np.median([left, difference, total])), float(np.median([right, difference, total])))
    elif choices.rule == "each":
        h = (left, right)
    else:
        h = (difference,) * 2 if choices.rule == "diff" else (total,) * 2
    return float(h[0]), float(h[1])


def _pilots(data: Sorted, choices: DensityChoices) -> tuple[float, float]:
    """Pilot widths for the derivative (order p + 2) and for the density (order p)."""
    p, n = choices.p, data.x.size
    mean, spread = float(data.x.mean()), float(data.x.std(ddof=1))
    z = mean / spread
    out = []
    for order, coefficient, power in ((p + 2, p + 1, (2 * p + 1) / 4), (p, 1, 1 / (2 * p))):
        variance, bias = constants("uniform", order, coefficient)
        hermite = np.polynomial.hermite_e.hermeval(z, [0] * order + [1])
        with np.errstate(divide="ignore", over="ignore"):
            reference = np.sqrt(2 * np.pi) * np.exp(z * z / 2) / hermite**2
        width = power * reference * factorial(order + 1) ** 2 * variance / bias**2 / n
        out.append(spread * float(width) ** (1 / (2 * order + 1)))
    if choices.regularise:
        values = data.values
        furthest = float(np.abs(data.x[[0, -1]]).max())
        rows, different = _least(choices)
        for k, count in enumerate((p + 3, p + 1)):
            out[k] = min(out[k], furthest)
            out[k] = max(out[k], *(_reach(data.x, EXTRA + count) if rows else ()))
            out[k] = max(out[k], *(_reach(values, EXTRA + count) if different else ()))
    return out[0], out[1]


def _bias(curved: Sides, level: Sides, choices: DensityChoices) -> Floats:
    """Leading bias over h^p of left, right, difference and sum (4,)."""
    p = choices.p
    if choices.restricted:
        turn = mirror(p)
        s, c = widen(moments(choices.kernel, p)), widen(next_moments(choices.kernel, p))
        left, right = level.density
        if not np.isfinite([left, right]).all():
            return np.full(4, np.nan)
        slopes = curved.derivative[0] * np.linalg.solve(
            right * s + left * turn @ s @ turn, right * c + (-1) ** (p + 1) * left * turn @ c
        )
        below, above = slopes[1], slopes[2]
    else:
        constant = constants(choices.kernel, p, 1)[1]
        below = curved.derivative[0] * constant * (-1) ** p
        above = curved.derivative[1] * constant
    return np.array([below, above, above - below, above + below])


def _regularised(h: Floats, data: Sorted, choices: DensityChoices) -> Floats:
    values = data.values
    ends = np.abs(values[[0, -1]])
    h = np.minimum(h, [ends[0], ends[1], ends.max(), ends.max()])
    for held, count in zip((data.x, values), _least(choices), strict=True):
        if count:
            left, right = _reach(held, count)
            h = np.maximum(h, [left, right, max(left, right), max(left, right)])
    return h


def _least(choices: DensityChoices) -> tuple[int, int]:
    usual = EXTRA + choices.p + 1
    rows, values = choices.min_rows, choices.min_values
    return usual if rows is None else rows, usual if values is None else values


def _reach(x: Floats, count: int) -> tuple[float, float]:
    """Distance to the count-th closest of the ascending x on each side, or to the last there is."""
    middle = int(np.searchsorted(x, 0.0))
    left = float(-x[max(middle - count, 0)])
    right = float(x[min(middle + count, x.size) - 1])
    return left, right
