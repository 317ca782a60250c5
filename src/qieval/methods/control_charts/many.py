"""The same chart in many places at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.compute import FEWEST
from qieval.errors import DataError
from qieval.numerics.chart_limits import Constants
from qieval.numerics.chart_many import many_charts
from qieval.periods import Periods, read_periods
from qieval.places import Places, amounts, by_place, require_times

SHARED = ("run", "i", "p", "p'", "u", "u'", "c", "g", "t")
PROPORTIONS, RATES = ("p", "p'"), ("u", "u'")
ON_DENOMINATORS = PROPORTIONS + RATES
MEASURED = ("run", "i")
IMPOSSIBLE = "no chart: a value is negative, infinite or larger than its denominator"


def can_share(design: ChartDesign) -> bool:
    """Whether all places can be charted together: a stated chart by the rules of Anhoej, without phases or
    points left out."""
    plain = not (design.rebase or design.left_out or design.from_dates)
    window = design.first_period is None and design.last_period is None
    usual = design.screened and design.signal_rules == "Anhoej"
    return plain and window and usual and design.chart in SHARED


def many(design: ChartDesign, frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """One row per place: place, term, estimate (the centre line), points, points_outside, runs_signal, signal
    and note. frame: one row per place and period; places may lack periods.

    A place whose values cannot be charted (negative counts, more cases than the denominator) keeps its row
    with the reason. DataError where a place has two rows in a period, a time is missing, or a column cannot
    be read.
    """
    require_times(design, frame)
    try:
        periods = read_periods(frame[design.time])
    except ValueError as cause:
        raise DataError(f"time: '{design.time}' cannot be used as time: {cause}.") from cause
    places = by_place(design, frame, by, periods.code, len(periods.labels))
    y, size = _values(design, frame, places)
    bad = _impossible(design.chart, y, size)
    y = np.where(bad[:, None], np.nan, y)
    constants: Constants = "rounded" if design.rounded_constants else "exact"
    found = many_charts(design.chart, y, size, used=_baseline(design, periods), constants=constants)
    points = np.isfinite(found.value).sum(axis=1)
    enough = points >= FEWEST
    with np.errstate(invalid="ignore"):
        outside = np.where(enough, found.outside.sum(axis=1), 0)
    centre: Any = pd.DataFrame(found.centre).ffill(axis=1).iloc[:, -1].to_numpy()
    shown = centre * (design.per if design.chart in PROPORTIONS else 1.0)
    return pd.DataFrame(
        {
            by: places.names,
            "term": "centre line",
            "estimate": shown,
            "points": points,
            "points_outside": outside,
            "runs_signal": found.runs_signal & enough,
            "signal": found.signal & enough,
            "note": np.select(
                [bad, ~enough], [IMPOSSIBLE, f"fewer than {FEWEST} points: no rule is applied"], ""
            ),
        }
    )


def _impossible(kind: str, y: np.ndarray, size: np.ndarray | None) -> np.ndarray:
    """Which places (s,) hold values that their chart cannot have."""
    with np.errstate(invalid="ignore"):
        bad = np.isinf(y)
        if kind not in MEASURED:
            bad |= y < 0
        if kind in PROPORTIONS and size is not None:
            bad |= y > size
    found: np.ndarray = bad.any(axis=1)
    return found


def _values(design: ChartDesign, frame: pd.DataFrame, places: Places) -> tuple[np.ndarray, np.ndarray | None]:
    """Values (s, T), and the denominators that the chart's limits take account of."""
    y = places.table(amounts(frame, design.outcome))
    if design.denominator is None or design.chart not in (*ON_DENOMINATORS, *MEASURED):
        return y, None
    size = places.table(amounts(frame, design.denominator))
    if design.chart in MEASURED:
        return np.divide(y * design.per, size, out=np.full(y.shape, np.nan), where=size > 0), None
    kept = np.where(size > 0, y, np.nan)
    return kept, np.where(size > 0, size, 1.0) / (design.per if design.chart in RATES else 1.0)


def _baseline(design: ChartDesign, periods: Periods) -> np.ndarray:
    """Which periods (T,) set the lines."""
    at = np.arange(len(periods.labels))
    if design.baseline_until is None:
        return np.ones(len(at), dtype=bool)
    try:
        found: np.ndarray = at <= periods.last_at_or_before(design.baseline_until)
    except ValueError as cause:
        raise DataError(f"baseline_until: {cause}.") from cause
    return found
