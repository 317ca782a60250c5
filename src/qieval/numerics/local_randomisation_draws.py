"""Assignments that could have been: which rows would lie right of the cutoff if chance had fallen otherwise.

Fixed margins: every set of as many units as were observed on the right is equally likely. Independent chances
("Bernoulli"): every unit lies on the right with its own probability; assignments that leave a side empty are
left out. A unit is a row, or a whole cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np

from qieval.numerics.two_way import Floats, Mask
from qieval.progress import progress

BLOCK = 2_000_000
"""Assignments are made in blocks of about this many cells."""

TIES = 1e-9
"""Two statistics closer than this share of the largest one count as equal."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How many assignments are drawn, and from which seed; all are used if there are at most all_up_to."""

    draws: int = 9999
    seed: int = 0
    all_up_to: int = 20_000


@dataclass(frozen=True, eq=False)
class Assignments:
    """The observed assignment on_right (g,) of g units; probability (g,) or None for fixed margins."""

    on_right: Mask
    probability: Floats | None = None

    @property
    def count(self) -> int:
        """How many assignments there are."""
        n = self.on_right.size
        return comb(n, int(self.on_right.sum())) if self.probability is None else 2**n

    def enumerated(self, drawing: Drawing) -> bool:
        """All assignments are used, so that nothing is left to chance."""
        return self.count <= drawing.all_up_to

    def blocks(self, drawing: Drawing) -> Iterator[tuple[Floats, Floats]]:
        """Blocks of assignments (m, g) of zeros and ones, and how much each counts (m,).

        Drawn ones count one each; enumerated ones count their probability. The observed assignment is among
        the enumerated ones and not added to the drawn ones.
        """
        n = self.on_right.size
        if self.enumerated(drawing):
            yield from self._all(max(1, BLOCK // n))
            return
        generator = np.random.default_rng(drawing.seed)
        step = max(1, BLOCK // n)
        starts = range(0, drawing.draws, step)
        for start in progress(starts, "drawing assignments"):
            size = min(step, drawing.draws - start)
            yield self._drawn(generator, size), np.ones(size)

    def _all(self, step: int) -> Iterator[tuple[Floats, Floats]]:
        n, m = self.on_right.size, int(self.on_right.sum())
        if self.probability is not None:
            for start in range(0, 2**n, step):
                codes = np.arange(start, min(start + step, 2**n))
                block = (codes[:, None] >> np.arange(n) & 1).astype(np.float64)
                chance = np.where(block == 1, self.probability, 1 - self.probability).prod(axis=1)
                yield block, chance
            return
        sets = combinations(range(n), m)
        while chosen := list(islice(sets, step)):
            block = np.zeros((len(chosen), n))
            np.put_along_axis(block, np.array(chosen, dtype=np.intp).reshape(len(chosen), m), 1.0, axis=1)
            yield block, np.full(len(chosen), 1.0 / self.count)

    def _drawn(self, generator: np.random.Generator, size: int) -> Floats:
        n, m = self.on_right.size, int(self.on_right.sum())
        uniform = generator.random((size, n))
        if self.probability is not None:
            return (uniform < self.probability).astype(np.float64)
        block = np.zeros((size, n))
        if 0 < m < n:
            chosen = np.argpartition(uniform, m, axis=1)[:, :m]
            np.put_along_axis(block, chosen, 1.0, axis=1)
        else:
            block += m > 0
        return block


@dataclass(frozen=True, eq=False)
class Distribution:
    """Statistics (m,) or (m, q) under other assignments, what each counts (m,), and how they came about.

    how is "enumerated" (every assignment), "drawn", or "exact" (the distribution was calculated).
    """

    values: Floats
    weight: Floats
    how: str

    def p_value(self, observed: float | Floats) -> Floats:
        """Chance of a statistic at least as large in absolute value as the observed one, per column.

        Drawn assignments: (1 + extreme) / (1 + draws), which never rejects too often (Phipson and Smyth
        2010); rdlocrand gives extreme / draws, which can be zero.
        """
        usable = np.isfinite(self.values)
        size = np.where(usable, np.abs(self.values), 0.0)
        limit = np.abs(observed) - TIES * np.maximum(size.max(axis=0), np.abs(observed))
        weight = self.weight if size.ndim == 1 else self.weight[:, None]
        extra = 1.0 if self.how == "drawn" else 0.0
        extreme = np.sum(np.where(usable & (size >= limit), weight, 0.0), axis=0)
        total = np.sum(np.where(usable, weight, 0.0), axis=0)
        share = (extra + extreme) / (extra + total)
        return np.asarray(np.minimum(share, 1.0))

    def p_error(self, p_value: float) -> float:
        """Monte Carlo standard error of a p-value; 0 if nothing was drawn."""
        draws = float(np.sum(self.weight))
        return float(np.sqrt(p_value * (1 - p_value) / draws)) if self.how == "drawn" else 0.0


def distribution(
    assignments: Assignments, drawing: Drawing, statistic: Callable[[Floats], Floats]
) -> Distribution:
    """The statistic of every assignment: statistic maps a block (m, g) to (m,) or (m, q).

    A statistic that does not exist for an assignment (an empty side) is NaN and left out.
    """
    values, weights = [], []
    for block, weight in assignments.blocks(drawing):
        values.append(statistic(block))
        weights.append(weight)
    how = "enumerated" if assignments.enumerated(drawing) else "drawn"
    return Distribution(np.concatenate(values), np.concatenate(weights), how)
