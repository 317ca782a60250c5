"""Compiled linear programme of the branch and bound: the support that contradicts donor weights least.

minimise r'u + (what u_k r_k < 0 costs) over u with d_i'u >= 1 for all donors, = 1 for those on the face, and
u_k on the side decided. Solved through its dual, maximise sum(y) over |(d y)_k| <= |r_k|, only from the side
decided where there is one: "by how much can other weights bring all discrepancies down together?" It has k
rows, and y = 0 is feasible. Primal simplex method with bounds (Chvatal 1983, chapter 8); u are its prices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

OPEN, OUT, FACE = 0, 1, 2
"""What a node decided of a donor: nothing, no weight, or d_i'u = 1."""

SHIFT = 1e-11
"""Discrepancies of zero are moved by this, each by another amount, so that the method cannot circle."""

PIVOT = 1e-11
REDUCED = 1e-10


class Tableau(NamedTuple):
    """cells (k + 1, 2 j + k + 1): donors, slacks, negative copies of donors on the face, right-hand side; the
    last row holds costs. basic (k,); upper bounds and whether a variable counts down from its (2 j + k,)."""

    cells: Any
    basic: Any
    upper: Any
    turned: Any


@njit(cache=True, nogil=True, error_model="numpy")
def tableau(k: int, j: int) -> Tableau:
    """Room for k predictors and j donors."""
    n = 2 * j + k
    return Tableau(np.empty((k + 1, n + 1)), np.empty(k, np.int64), np.empty(n), np.empty(n, np.bool_))


@njit(cache=True, nogil=True, error_model="numpy")
def prices(held: Tableau, d: Any, r: Any, side: Any, place: Any, support: Any) -> bool:
    """Fill support (k,) with u; False if there is no u at all.

    d (k, j), r (k,), side (k,) in -1, 0 (not decided), 1, place (j,) FACE or not. An r on the wrong side of a
    decision counts as zero.
    """
    n = _fill(held, d, r, side, place)
    k, j = d.shape
    cells = held.cells
    limit = 50 * (k + 5)
    for steps in range(limit):
        entering, least = -1, -REDUCED
        for c in range(n):
            if cells[k, c] < least:
                entering, least = c, cells[k, c]
                if steps > limit // 2:
                    break
        if entering < 0:
            break
        if not _pivot(held, entering, n):
            return False
    for b in range(k):
        price = _towards(r, side, b) * cells[k, j + b]
        support[b] = -price if held.turned[j + b] else price
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _towards(r: Any, side: Any, b: int) -> float:
    if side[b] != 0:
        return float(side[b])
    return 1.0 if r[b] >= 0 else -1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(held: Tableau, d: Any, r: Any, side: Any, place: Any) -> Any:
    """The first tableau, slacks basic; the number of its columns before the right-hand side."""
    k, j = d.shape
    cells, n = held.cells, j + k
    for i in range(j):
        n += place[i] == FACE
    for c in range(n + 1):
        for b in range(k + 1):
            cells[b, c] = 0.0
        if c < n:
            held.upper[c], held.turned[c] = np.inf, False
            cells[k, c] = -1.0 if c < j else (0.0 if c < j + k else 1.0)
    for b in range(k):
        towards = _towards(r, side, b)
        size = max(towards * r[b], 0.0) + SHIFT * (1 + 0.618 * b)
        copy = j + k
        for i in range(j):
            cells[b, i] = towards * d[b, i]
            if place[i] == FACE:
                cells[b, copy] = -cells[b, i]
                copy += 1
        cells[b, j + b], cells[b, n], held.basic[b] = 1.0, size, j + b
        if side[b] == 0:
            held.upper[j + b] = 2 * size
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _pivot(held: Tableau, entering: int, n: int) -> bool:
    """One exchange, or a step of the entering variable to its other bound; False if nothing stops it."""
    cells, basic, upper = held.cells, held.basic, held.upper
    k = basic.size
    step, row, pivot = upper[entering], -1, 0.0
    for b in range(k):
        rate, ratio = cells[b, entering], np.inf
        if rate > PIVOT:
            ratio = cells[b, n] / rate
        elif rate < -PIVOT and upper[basic[b]] < np.inf:
            ratio = (cells[b, n] - upper[basic[b]]) / rate
        if ratio < step or (ratio == step and row >= 0 and abs(rate) > abs(pivot)):
            step, row, pivot = ratio, b, rate
    if step == np.inf:
        return False
    if row < 0:
        held.turned[entering] = not held.turned[entering]
        for b in range(k + 1):
            cells[b, n] -= step * cells[b, entering]
            cells[b, entering] = -cells[b, entering]
        return True
    if pivot < 0:
        leaving = basic[row]
        held.turned[leaving] = not held.turned[leaving]
        for c in range(n):
            cells[row, c] = -cells[row, c]
        cells[row, n], cells[row, leaving] = upper[leaving] - cells[row, n], 1.0
    pivot = cells[row, entering]
    for c in range(n + 1):
        cells[row, c] /= pivot
    for b in range(k + 1):
        rate = cells[b, entering]
        if b != row and rate != 0.0:
            for c in range(n + 1):
                cells[b, c] -= rate * cells[row, c]
            cells[b, entering] = 0.0
    basic[row] = entering
    return True
