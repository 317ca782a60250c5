"""Signals of a chart: which points or stretches chance would hardly make, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qieval.charts.points import Points
from qieval.numerics.chart_limits import ChartLimits
from qieval.numerics.chart_patterns import side
from qieval.numerics.chart_perla import PerlaSignals
from qieval.numerics.chart_runs import Runs
from qieval.text import plural

OUTSIDE = "outside the limits"
LONG_RUN = "long run"
FEW_CROSSINGS = "few crossings"
RISING = "rising"
"""In the names of rules about trends, whose points may lie on either side of the centre line."""
TOO_FEW_RUNS, TOO_MANY_RUNS = "too few runs", "too many runs"
WHOLE_PHASE = (FEW_CROSSINGS, TOO_FEW_RUNS, TOO_MANY_RUNS)
"""Rules about all points of a phase together, which mark no point of their own."""


@dataclass(frozen=True)
class Signal:
    """One signal: the rule, what it saw in words, the first and last point, the phase and the side.

    side: +1 above the centre line (or rising), -1 below it, 0 neither.
    """

    rule: str
    words: str
    first: int
    last: int
    phase: int
    side: int


def outside(points: Points, limits: ChartLimits, ruled: np.ndarray) -> list[Signal]:
    """Points beyond the limits; neighbours on one side make one signal."""
    above = side(limits.value, limits.upper) > 0
    below = side(limits.value, limits.lower) < 0
    beyond = np.where(ruled & points.counted, above.astype(int) - below.astype(int), 0)
    found = []
    for first, last in stretches(beyond, points.part):
        where = "above the upper limit" if beyond[first] > 0 else "below the lower limit"
        words = f"{plural(last - first + 1, 'point')} {where}"
        found.append(_signal(OUTSIDE, words, points, first, last, int(beyond[first])))
    return found


def anhoej(points: Points, limits: ChartLimits, found: dict[int, Runs]) -> list[Signal]:
    """Runs that are too long and crossings that are too few, phase by phase."""
    signals = []
    for phase, seen in found.items():
        at = np.flatnonzero((points.part == phase) & points.counted)
        if seen.longest > seen.longest_allowed:
            first, last, way = _longest(side(limits.value, limits.centre)[at])
            words = (
                f"{seen.longest} points in a row {'above' if way > 0 else 'below'} the centre line (chance"
                f" alone hardly makes more than {seen.longest_allowed})"
            )
            signals.append(_signal(LONG_RUN, words, points, int(at[first]), int(at[last]), way))
        if seen.crossings < seen.crossings_needed:
            words = (
                f"the centre line is crossed {_times(seen.crossings)} (chance alone hardly makes fewer than"
                f" {seen.crossings_needed})"
            )
            signals.append(_signal(FEW_CROSSINGS, words, points, int(at[0]), int(at[-1]), 0))
    return signals


def patterns(
    points: Points, value: np.ndarray, centre: np.ndarray, flags: dict[str, np.ndarray]
) -> list[Signal]:
    """Signals from named patterns: which points each of the rules marks; neighbours on one side make one."""
    sides = side(value, centre)
    signals = []
    for rule, hit in flags.items():
        steps = np.diff(value, prepend=value[0])
        marked = np.where(hit, np.where(sides == 0, 1, sides), 0)
        for first, last in stretches(hit.astype(int) if RISING in rule else marked, points.part):
            if RISING in rule:
                way = int(np.sign(np.nansum(steps[first + 1 : last + 1])))
                where = "rising" if way > 0 else "falling"
            else:
                way = int(marked[first])
                where = "above the centre line" if way > 0 else "below the centre line"
            words = f"{plural(last - first + 1, 'point')} by the rule '{rule}', {where}"
            signals.append(_signal(rule, words, points, first, last, way))
    return sorted(signals, key=lambda signal: signal.first)


def perla_rules(points: Points, phase: int, found: PerlaSignals) -> list[Signal]:
    """Shifts, trends and the number of runs in one phase; `found` is about its counted points."""
    at = np.flatnonzero((points.part == phase) & points.counted)
    signals = []
    for rule, marks, words in (
        ("shift", found.shift, "6 or more points in a row on one side of the median"),
        ("trend", found.trend, "5 or more points that all rise or all fall"),
    ):
        for first, last in stretches(np.asarray(marks).astype(int), np.zeros(len(at))):
            signals.append(_signal(rule, words, points, int(at[first]), int(at[last]), 0))
    for rule, hit in ((TOO_FEW_RUNS, found.too_few_runs), (TOO_MANY_RUNS, found.too_many_runs)):
        if hit:
            words = (
                f"{found.n_runs} runs above and below the median, {rule.removesuffix(' runs')} for chance"
                f" alone ({found.fewest} to {found.most})"
            )
            signals.append(_signal(rule, words, points, int(at[0]), int(at[-1]), 0))
    return signals


def stretches(marked: np.ndarray, part: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of equal marks other than 0, within one phase."""
    first = None
    for at in range(len(marked) + 1):
        ends = at == len(marked) or (
            first is not None and (marked[at] != marked[first] or part[at] != part[first])
        )
        if first is not None and ends:
            yield first, at - 1
            first = None
        if first is None and at < len(marked) and marked[at] != 0:
            first = at


def _longest(sides: np.ndarray) -> tuple[int, int, int]:
    """First and last point of the longest run and its side; points on the line do not matter."""
    useful = np.flatnonzero(sides)
    best = (0, 0, 0)
    start = 0
    for at in range(1, len(useful) + 1):
        if at == len(useful) or sides[useful[at]] != sides[useful[start]]:
            if at - start > best[0]:
                best = (at - start, start, at - 1)
            start = at
    _, first, last = best
    return int(useful[first]), int(useful[last]), int(sides[useful[first]])


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _signal(rule: str, words: str, points: Points, first: int, last: int, way: int) -> Signal:
    return Signal(rule, words, first, last, int(points.part[first]), way)
