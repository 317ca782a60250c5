"""Which effects by cohort and period exist, and which two periods and which units each of them compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.group_time_cells import Floats, Rules


@dataclass(frozen=True)
class Cell:
    """One comparison: the cohort's start, positions of its two periods in `times`, and its controls' start.

    time and base are positions; base is None where the cohort has no period before its start. Controls start
    after `cutoff` and are not of the cohort.
    """

    cohort: float
    time: int
    base: int | None
    cutoff: float

    @property
    def earlier(self) -> int:
        """Position of the earlier of the two periods: its covariates and weights are used."""
        return self.time if self.base is None else min(self.time, self.base)


def plan(times: NDArray[np.int64], first: Floats, rules: Rules) -> list[Cell]:
    """The cells, ordered by cohort, then time.

    times (T,) increasing; first (n,) starts. As in R did: cohorts are the starts within the data; never
    treated are those that start more than `anticipation` after the last period, so that nobody who may
    anticipate counts as never treated. The last period before the start less anticipation is the base of
    every period from the start on. Before the start a varying base compares with the period before
    (anticipation or not), and the first period has no cell; a universal base has a cell at every period.
    Where controls are "not yet" treated and nobody is never treated, the last cohort is only a control, and
    periods from its start less anticipation on have no cells: nobody is untreated there.
    """
    last = float(times[-1])
    starts = np.unique(first)
    kept = np.ones(times.size, dtype=np.bool_)
    cohorts = starts[starts <= last]
    if rules.control_group == "not yet" and starts.size and starts[-1] <= last + rules.anticipation:
        kept = times < starts[-1] - rules.anticipation
        cohorts = cohorts[cohorts < starts[-1]]
    begin = 0 if rules.base_period == "universal" else 1
    return [
        _cell(times, float(cohort), time, rules)
        for cohort in cohorts
        for time in range(begin, times.size)
        if kept[time]
    ]


def _cell(times: NDArray[np.int64], cohort: float, time: int, rules: Rules) -> Cell:
    """The comparison of one cohort at one period."""
    before = int(np.count_nonzero(times + rules.anticipation < cohort))
    base: int | None = before - 1 if before else None
    if rules.base_period == "varying" and times[time] < cohort:
        base = time - 1
    later = time if base is None else max(time, base)
    start = times[-1] if rules.control_group == "never" else times[later]
    return Cell(cohort, time, base, float(start + rules.anticipation))
