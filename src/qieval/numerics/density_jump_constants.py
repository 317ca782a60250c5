"""Exact constants of one-sided local polynomial density estimators: kernel moments as fractions.

Notation of Cattaneo, Jansson and Ma (2020, JASA), on the boundary [0, 1] with K a polynomial there:
S_ij = int K(u) u^(i+j), C_i = int K(u) u^(i+k), G_ij = int int K(u) K(v) min(u, v) u^i v^j.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np

from qieval.numerics.two_way import Floats

Kernel = Literal["triangular", "uniform", "epanechnikov"]

POLYNOMIALS: dict[str, tuple[Fraction, ...]] = {
    "triangular": (Fraction(1), Fraction(-1)),
    "uniform": (Fraction(1, 2),),
    "epanechnikov": (Fraction(3, 4), Fraction(0), Fraction(-3, 4)),
}
"""Coefficients of K(u) on [0, 1], lowest power first; K is even."""


def kernel_weights(u: Floats, kernel: Kernel) -> Floats:
    """K(u) for |u| <= 1 (not checked), same shape as u.

    >>> kernel_weights(np.array([-0.5, 0.0, 1.0]), "triangular")
    array([0.5, 1. , 0. ])
    """
    if kernel == "uniform":
        return np.full(u.shape, 0.5)
    return 1 - np.abs(u) if kernel == "triangular" else 0.75 * (1 - u * u)


def moments(kernel: Kernel, order: int) -> Floats:
    """S (order + 1, order + 1)."""
    return _floats(_moments(kernel, order))


def next_moments(kernel: Kernel, order: int) -> Floats:
    """C (order + 1,): the moments with power order + 1."""
    return _floats(_next_moments(kernel, order))


def double_moments(kernel: Kernel, order: int) -> Floats:
    """G (order + 1, order + 1)."""
    return _floats(_double_moments(kernel, order))


@lru_cache(maxsize=128)
def constants(kernel: Kernel, order: int, coefficient: int) -> tuple[float, float]:
    """Variance and bias constants of one coefficient of a one-sided fit: e' S^-1 G S^-1 e and e' S^-1 C.

    A fit of this order estimates `coefficient` (1 is the density) with variance V f / (n h^(2 c - 1)) and
    bias B h^(order + 1 - c) F^(order + 1) / (order + 1)!.

    >>> constants("uniform", 1, 1)
    (1.2, 1.0)
    """
    unit = [Fraction(int(i == coefficient)) for i in range(order + 1)]
    row = _solve(_moments(kernel, order), unit)
    spread = _double_moments(kernel, order)
    variance = _dot(row, [_dot(row, line) for line in spread])
    bias = _dot(row, _next_moments(kernel, order))
    return float(variance), float(bias)


def _moments(kernel: Kernel, order: int) -> list[list[Fraction]]:
    powers = range(order + 1)
    return [[_moment(kernel, i + j) for j in powers] for i in powers]


def _next_moments(kernel: Kernel, order: int) -> list[Fraction]:
    return [_moment(kernel, i + order + 1) for i in range(order + 1)]


def _double_moments(kernel: Kernel, order: int) -> list[list[Fraction]]:
    powers = range(order + 1)
    return [[_double_moment(kernel, i, j) for j in powers] for i in powers]


def _moment(kernel: Kernel, power: int) -> Fraction:
    return sum((c / (power + a + 1) for a, c in enumerate(POLYNOMIALS[kernel])), Fraction(0))


def _double_moment(kernel: Kernel, i: int, j: int) -> Fraction:
    """The triangle u < v gives 1 / ((i + a + 2) (i + j + a + b + 3)), the other the same with j, b."""
    terms = (
        c * d * (Fraction(1, i + a + 2) + Fraction(1, j + b + 2)) / (i + j + a + b + 3)
        for a, c in enumerate(POLYNOMIALS[kernel])
        for b, d in enumerate(POLYNOMIALS[kernel])
    )
    return sum(terms, Fraction(0))


def _solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss-Jordan elimination; the moment matrices are positive definite, so no pivot is zero."""
    table = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(len(table)):
        table[i] = [value / table[i][i] for value in table[i]]
        for k in range(len(table)):
            if k != i:
                table[k] = [x - table[k][i] * y for x, y in zip(table[k], table[i], strict=True)]
    return [line[-1] for line in table]


def _dot(left: list[Fraction], right: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def _floats(values: list[Fraction] | list[list[Fraction]]) -> Floats:
    return np.array(values, dtype=np.float64)
