"""Exact distribution of a sum over the units right of the cutoff, when the values lie on a lattice.

Ranks, counts, yes or no, and measurements rounded to a step lie on a lattice. Units are gone through one by
one; the state is (how many so far on the right, their sum), so that all assignments are counted without
listing them.
"""

from __future__ import annotations

import numpy as np
import scipy

from qieval.numerics.local_randomisation_draws import Distribution
from qieval.numerics.two_way import Codes, Floats

WORK = 3e8
"""Most additions spent on an exact distribution (about a second)."""

LATTICE = 1e-9


def exact_difference(
    values: Floats, n_right: int, probability: Floats | None = None, work: float = WORK
) -> Distribution | None:
    """Exact distribution of mean on the right minus mean on the left; None if too long or not on a lattice.

    values (n,), n_right of them on the right (fixed margins), or each with its probability (n,).

    >>> found = exact_difference(np.array([0.0, 0.0, 1.0, 1.0]), 2)
    >>> found.values, found.weight.round(4)
    (array([-1.,  0.,  1.]), array([0.1667, 0.6667, 0.1667]))
    """
    lattice = _lattice(values)
    if lattice is None:
        return None
    steps, unit = lattice
    n, total = values.size, int(steps.sum())
    if probability is None and steps.max(initial=0) <= 1:
        sums, chance = _hypergeometric(n, total, n_right)
        return Distribution(_difference(sums, n_right, n, total) * unit, chance, "exact")
    rows = n_right if probability is None else n
    width = int(np.sort(steps)[n - rows :].sum())
    if float(n) * (rows + 1) * (width + 1) > work:
        return None
    table = _table(steps, rows, width, probability)
    if probability is None:
        table[:-1] = 0.0
    table[0] = 0.0
    table[n:] = 0.0
    count, found = np.nonzero(table)
    chance = table[count, found]
    values = _difference(found.astype(np.float64), count.astype(np.float64), n, total)
    return Distribution(values * unit, chance / chance.sum(), "exact")


def _difference(sums: Floats, counts: Floats | float, n: int, total: int) -> Floats:
    return np.asarray(sums / counts - (total - sums) / (n - counts), dtype=np.float64)


def _lattice(values: Floats) -> tuple[Codes, float] | None:
    """Values as whole numbers of steps above the smallest, and the step; None if they have no common step."""
    low = float(values.min())
    distinct = np.unique(values)
    gaps = np.diff(distinct)
    spread = float(distinct[-1] - distinct[0])
    gaps = gaps[gaps > LATTICE * spread]
    if gaps.size == 0:
        return np.zeros(values.size, dtype=np.intp), 1.0
    unit = _common_step(gaps, spread)
    if unit is None:
        return None
    return np.rint((values - low) / unit).astype(np.intp), unit


def _common_step(gaps: Floats, spread: float) -> float | None:
    """Greatest common step of the gaps by Euclid's algorithm; None below 1e-5 of the spread."""
    step = float(gaps[0])
    for gap in gaps[1:]:
        a, b = float(gap), step
        while b > LATTICE * spread:
            left = abs(a - b * round(a / b))
            a, b = b, left
        step = a
        if step < 1e-5 * spread:
            return None
    multiples = gaps / step
    return step if np.all(np.abs(multiples - np.rint(multiples)) < 1e-8) else None


def _hypergeometric(n: int, ones: int, drawn: int) -> tuple[Floats, Floats]:
    low, high = max(0, drawn - (n - ones)), min(ones, drawn)
    k = np.arange(low, high + 1, dtype=np.float64)
    log = -scipy.special.betaln(k + 1, ones - k + 1)
    log -= scipy.special.betaln(drawn - k + 1, n - ones - drawn + k + 1)
    chance = np.exp(log - log.max())
    return k, chance / chance.sum()


def _table(steps: Codes, rows: int, width: int, probability: Floats | None) -> Floats:
    """Chances (rows + 1, width + 1) of how many are on the right and what they sum to."""
    n = steps.size
    table = np.zeros((rows + 1, width + 1))
    table[0, 0] = 1.0
    taken = np.arange(rows + 1, dtype=np.float64)
    for i, step in enumerate(steps):
        if probability is None:
            chance = np.clip((rows - taken) / (n - i), 0.0, 1.0)[:, None]
        else:
            chance = np.full((rows + 1, 1), probability[i])
        moved = (table * chance)[:-1, : width + 1 - step]
        table *= 1 - chance
        table[1:, step:] += moved
    return table
