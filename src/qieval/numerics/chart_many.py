"""Thousands of charts of equal length at once, with the same numbers as one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.chart_formulas import Booleans, Integers
from qieval.numerics.chart_limits import ChartValues, Constants, limits_of_rows
from qieval.numerics.chart_patterns import side
from qieval.numerics.chart_rules import making_data_count
from qieval.numerics.chart_runs import runs_of_rows
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class ManyCharts:
    """Lines and signals of s charts with n points.

    value, centre, lower, upper (s, n) as in `ChartLimits`; outside (s, n): points beyond their limits;
    special_cause (s, n): points of any rule of Making Data Count. runs_signal (s,): an unusually long run or
    too few crossings in some phase (Anhoej). signal (s,): runs_signal, or a point outside. Among many charts
    some signal by chance alone: of simulated charts of 120 unchanging values 6% had a runs signal, up to a
    third some point outside or a runs signal, and about two thirds a point of some Making Data Count rule.
    """

    value: Floats
    centre: Floats
    lower: Floats
    upper: Floats
    outside: Booleans
    special_cause: Booleans
    runs_signal: Booleans
    signal: Booleans


def many_charts(
    kind: str,
    y: Floats,
    n: Floats | None = None,
    part: Integers | None = None,
    used: Booleans | None = None,
    constants: Constants = "exact",
) -> ManyCharts:
    """Charts of one kind for every row: y and n (s, n_points); part and used (n_points,) hold for all rows.

    As `chart_limits` with moving ranges screened; xbar and s charts are not offered. used False (a frozen
    baseline) keeps a point out of the lines, not out of the rules; NaN in y keeps it out of everything.
    """
    n_points = y.shape[1]
    part = np.zeros(n_points, dtype=np.int64) if part is None else part
    used = np.ones(n_points, dtype=bool) if used is None else used
    lines = limits_of_rows(kind, ChartValues(y, n), part=part, used=used, constants=constants)
    outside = (side(lines.value, lines.upper) > 0) | (side(lines.value, lines.lower) < 0)
    dots = making_data_count(lines.value, lines.centre, lines.lower, lines.upper, 0, part)
    runs_signal = np.zeros(len(y), dtype=bool)
    for code in np.unique(part):
        runs_signal |= runs_of_rows(lines.value, lines.centre, counted=part == code).signal
    return ManyCharts(
        value=lines.value,
        centre=lines.centre,
        lower=lines.lower,
        upper=lines.upper,
        outside=outside,
        special_cause=dots.special_cause > 0,
        runs_signal=runs_signal,
        signal=runs_signal | outside.any(axis=1),
    )
