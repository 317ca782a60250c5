"""Runs analysis after Anhoej: an unusually long run, or unusually few crossings of the centre line.

Limits of Anhoej and Olesen (2014): the longest run allowed is round(log2 n) + 3 (Schilling 2012), the fewest
crossings needed is the 5% point of a binomial with n - 1 trials of one half (Chen 2010); n is the number of
points that are not on the line. With fewer than about 10 such points the rules say little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from qieval.numerics.chart_formulas import Booleans, Integers
from qieval.numerics.chart_patterns import side
from qieval.numerics.two_way import Floats

__all__ = ["Runs", "RunsOfRows", "runs", "runs_allowed", "runs_of_rows", "side"]


@dataclass(frozen=True)
class Runs:
    """What the runs analysis of one phase found.

    useful is the number of points not on the centre line. signal: longest > longest_allowed or crossings <
    crossings_needed. Without any useful point all numbers are 0 and there is no signal.
    """

    longest: int
    longest_allowed: int
    crossings: int
    crossings_needed: int
    useful: int
    signal: bool


class RunsOfRows(NamedTuple):
    """`Runs` of many charts: (s,) each."""

    longest: Integers
    longest_allowed: Integers
    crossings: Integers
    crossings_needed: Integers
    useful: Integers
    signal: Booleans


@lru_cache(maxsize=4096)
def runs_allowed(n: int) -> tuple[int, int]:
    """Longest run allowed and fewest crossings needed among n points that are not on the centre line.

    >>> runs_allowed(24)
    (8, 8)
    """
    if n < 1:
        return 0, 0
    trials, below, term = n - 1, 1, 1
    needed = 0
    while 20 * below < 2**trials:
        needed += 1
        term = term * (trials - needed + 1) // needed
        below += term
    return round(float(np.log2(n))) + 3, needed


def runs(value: Floats, centre: Floats, *, counted: Booleans) -> Runs:
    """Runs analysis of one phase; all arguments (n,) in time order.

    counted marks the points that take part: those of one phase, without points left out on purpose. Points
    that do not count, have no value or lie on the centre line neither end nor lengthen a run, as in
    qicharts2. Points after a frozen baseline count like the others. A chart with several phases is analysed
    phase by phase: pass `counted & (part == code)`. Not meant for mr charts, where neighbours share a value.

    >>> import numpy as np
    >>> runs(np.array([1.0, 2, 3, 2, 9, 8, 7]), np.full(7, 3.0), counted=np.ones(7, dtype=bool))
    Runs(longest=3, longest_allowed=6, crossings=1, crossings_needed=1, useful=6, signal=False)
    """
    found = runs_of_rows(value[None, :], centre[None, :], counted=counted)
    longest, allowed, crossings, needed, useful, signal = (one[0] for one in found)
    return Runs(int(longest), int(allowed), int(crossings), int(needed), int(useful), bool(signal))


def runs_of_rows(value: Floats, centre: Floats, *, counted: Booleans) -> RunsOfRows:
    """`runs` of many charts: value and centre (s, n), counted (n,) or (s, n)."""
    sides = np.where(counted, side(value, centre), 0)
    last = np.zeros(len(sides), dtype=np.int64)
    length, longest, crossings, useful = (np.zeros_like(last) for _ in range(4))
    for now in sides.T:
        on_a_side = now != 0
        useful += on_a_side
        same = now == last
        crossings += on_a_side & ~same & (last != 0)
        length = np.where(on_a_side, np.where(same, length + 1, 1), length)
        np.maximum(longest, length, out=longest)
        last = np.where(on_a_side, now, last)
    limits = np.array([runs_allowed(n) for n in range(int(useful.max(initial=0)) + 1)], dtype=np.int64)
    allowed, needed = limits[useful].T
    return RunsOfRows(longest, allowed, crossings, needed, useful, (longest > allowed) | (crossings < needed))
