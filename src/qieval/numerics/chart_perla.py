"""Rules for run charts after Perla, Provost and Murray (2011): shift, trend, and number of runs.

The fourth rule of the paper, an astronomical point, is judged by eye and not computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from qieval.numerics.chart_formulas import Booleans, Integers
from qieval.numerics.chart_patterns import side
from qieval.numerics.two_way import Floats

SHIFT = 6
TREND = 5
TAIL = Fraction(1, 40)


@dataclass(frozen=True, eq=False)
class PerlaSignals:
    """shift and trend (n,) mark the points of six or more on one side, and of five or more in one direction.

    n_runs counts runs above and below the median among the `useful` points, those not on it; fewest and most
    are the numbers that chance leaves plausible. signal: any rule holds.
    """

    shift: Booleans
    trend: Booleans
    n_runs: int
    fewest: int
    most: int
    useful: int
    too_few_runs: bool
    too_many_runs: bool
    signal: bool


def perla(value: Floats, median: Floats) -> PerlaSignals:
    """Apply the rules to one phase of a run chart; value and median (n,), NaN where there is no value.

    Points on the median neither belong to a shift nor break it; a repeated value neither lengthens nor breaks
    a trend. Meant for ten points or more that are not on the median.

    >>> import numpy as np
    >>> y = np.array([5.0, 9, 5, 8, 4, 6, 9, 10, 11, 12, 13, 14])
    >>> found = perla(y, np.full(12, 8.5))
    >>> int(found.shift.sum()), int(found.trend.sum()), found.n_runs, found.fewest
    (6, 8, 4, 4)
    """
    at = np.flatnonzero(~np.isnan(value))
    sides, steps = side(value[at], median[at]), side(value[at][1:], value[at][:-1])
    shift, trend = np.zeros(len(value), dtype=bool), np.zeros(len(value), dtype=bool)
    runs = _same_sign(sides)
    for run in runs:
        if run.size >= SHIFT:
            shift[at[run]] = True
    for run in _same_sign(steps):
        if run.size >= TREND - 1:
            trend[at[run[0] : run[-1] + 2]] = True
    above, below = int((sides > 0).sum()), int((sides < 0).sum())
    fewest, most = plausible_runs(above, below)
    few, many = len(runs) < fewest, len(runs) > most
    signal = bool(shift.any() or trend.any() or few or many)
    return PerlaSignals(shift, trend, len(runs), fewest, most, above + below, few, many, signal)


def _same_sign(signs: Integers) -> list[Integers]:
    """Positions of each stretch of equal signs; zeros are passed over."""
    at = np.flatnonzero(signs)
    if not at.size:
        return []
    return np.split(at, np.flatnonzero(np.diff(signs[at])) + 1)


@lru_cache(maxsize=1024)
def plausible_runs(above: int, below: int, tail: Fraction = TAIL) -> tuple[int, int]:
    """Fewest and most runs that are not unusual for so many points above and below the median.

    A number is unusual if the chance of as few, or of as many, is at most `tail`, all orders being equally
    likely (the test of Wald and Wolfowitz 1940; Swed and Eisenhart 1943 print the numbers next to the range,
    which are the first unusual ones). Computed exactly from the distribution.

    >>> plausible_runs(10, 10)
    (7, 15)
    """
    if not above or not below:
        only = 1 if above or below else 0
        return only, only
    ways = [_orders(runs, above, below) for runs in range(2, above + below + 1)]
    total = math.comb(above + below, above)
    fewest = _first_usual(ways, tail * total) + 2
    most = above + below - _first_usual(ways[::-1], tail * total)
    return fewest, most


def _orders(runs: int, above: int, below: int) -> int:
    """Number of orders of the points that make so many runs."""
    half, odd = divmod(runs, 2)
    first = math.comb(above - 1, half - 1) * math.comb(below - 1, half - 1 + odd)
    return first + math.comb(above - 1, half - 1 + odd) * math.comb(below - 1, half - 1)


def _first_usual(ways: list[int], most_ways: Fraction) -> int:
    """Position of the first count at which the running sum exceeds `most_ways`."""
    so_far = 0
    for position, count in enumerate(ways):
        so_far += count
        if so_far > most_ways:
            return position
    return len(ways)
