"""What is wrong with data for a kind of chart, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.kinds import CHOSEN, COUNTS, INTERVALS, PROPORTIONS, SUBGROUPS
from qieval.periods import Periods
from qieval.text import listed, plural

SINGLE = ("i", "mr", *COUNTS)
"""Charts with one row a period."""


def impossible(design: ChartDesign, kind: str, seen: pd.DataFrame) -> np.ndarray:
    """Which rows (columns y, size) hold what a chart of this kind cannot show."""
    y = seen["y"].to_numpy()
    bad = np.zeros(len(seen), dtype=bool)
    if _counts(design, kind):
        bad |= (y < 0) | (y != np.round(y))
    if kind == "t":
        bad |= y < 0
    if design.denominator is not None:
        size = seen["size"].to_numpy()
        bad |= (size < 0) if kind in INTERVALS else (size <= 0)
        if kind in PROPORTIONS:
            bad |= y > size
    return bad


def _counts(design: ChartDesign, kind: str) -> bool:
    """Whether the outcome must hold counts."""
    from_dates = kind in INTERVALS and (design.from_dates or design.chart == CHOSEN)
    return kind in COUNTS or kind == "g" or from_dates


def problems_of(design: ChartDesign, kind: str, periods: Periods, seen: pd.DataFrame) -> list[str]:
    """Every problem of the rows (columns code, y, size); empty when there is none."""

    def where(bad: Any) -> str:
        names = np.array(periods.shown(), dtype=object)[seen["code"].to_numpy()[np.asarray(bad)]]
        return listed(dict.fromkeys(names), 3)

    found = _repeated(design, kind, periods, seen)
    y = seen["y"].to_numpy()
    counting = _counts(design, kind)
    if counting and (bad := y < 0).any():
        found.append(
            f"outcome: '{design.outcome}' is negative ({where(bad)}), which no count of events can be."
            " Correct it, or draw the measurements on an i chart."
        )
    elif kind == "t" and (bad := y < 0).any():
        found.append(
            f"outcome: '{design.outcome}' holds a negative time between events ({where(bad)}). Sort the"
            " events by date before the differences are taken."
        )
    if counting and (bad := y != np.round(y)).any():
        found.append(
            f"outcome: '{design.outcome}' holds fractions ({where(bad)}), but a {kind} chart counts events."
            " Give the counts (and the denominator beside them), or draw measurements on an i chart"
            + (" and times on a t chart." if kind == "g" else ".")
        )
    if design.denominator is not None:
        found += _denominators(design, kind, seen, where)
    if kind in SUBGROUPS and not (seen["code"].value_counts() > 1).any():
        found.append(
            f"time: a {kind} chart needs several rows a period, and every period has one. Choose an i chart."
        )
    return found


def _repeated(design: ChartDesign, kind: str, periods: Periods, seen: pd.DataFrame) -> list[str]:
    counts = seen["code"].value_counts()
    single = kind in SINGLE or (kind == "run" and design.denominator is not None)
    if not single or counts.max() <= 1:
        return []
    twice = [periods.shown()[code] for code in sorted(counts.index[counts > 1])]
    return [
        f"time: {plural(len(twice), 'period')} of '{design.time}' occur in several rows"
        f" ({listed(twice, 3)}), and this chart has one point a period. Add the rows up first"
        " (qe.data.time_series), keep one place, or draw several measurements a period on an xbar chart."
    ]


def _denominators(design: ChartDesign, kind: str, seen: pd.DataFrame, where: Any) -> list[str]:
    y, size = seen["y"].to_numpy(), seen["size"].to_numpy()
    if (bad := size < 0).any() or (kind not in INTERVALS and (bad := size <= 0).any()):
        return [
            f"denominator: '{design.denominator}' is zero or less in {where(bad)}, so there is no rate. Leave"
            " these periods out (left_out) or correct the number."
        ]
    if kind in PROPORTIONS and (bad := y > size).any():
        return [
            f"outcome, denominator: '{design.outcome}' exceeds '{design.denominator}' in {where(bad)}, and a"
            " proportion cannot be more than all. Check the two columns, or choose a u chart if a person can"
            " count more than once."
        ]
    return []
