"""The same chart in many places at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.compute import FEWEST
from qieval.columns import numbers
from qieval.errors import DataError
from qieval.numerics.chart_many import many_charts
from qieval.periods import read_periods
from qieval.text import plural

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
    if missing := int(frame[design.time].isna().sum()):
        raise DataError(
            f"time: '{design.time}' is empty in {plural(missing, 'row')}, so they have no place in time. Fill"
            " it in, or leave those rows out."
        )
    place, places = pd.factorize(frame[by], sort=True)
    try:
        periods = read_periods(frame[design.time])
    except ValueError as cause:
        raise DataError(f"time: '{design.time}' cannot be used as time: {cause}") from cause
    shape = (len(places), len(periods.labels))
    known = place >= 0
    cells = place[known] * np.int64(shape[1]) + periods.code[known]
    if repeated := len(cells) - len(np.unique(cells)):
        raise DataError(
            f"time, by: {plural(repeated, 'row')} repeat an earlier pair of '{by}' and '{design.time}', and a"
            " chart has one value a period. Aggregate first (qe.data.time_series)."
        )
    y = _scattered(frame, design.outcome, (place[known], periods.code[known]), known, shape)
    size = None
    if design.denominator is not None and design.chart in ON_DENOMINATORS:
        size = _scattered(frame, design.denominator, (place[known], periods.code[known]), known, shape)
        y = np.where(size > 0, y, np.nan)
        size = np.where(size > 0, size, 1.0) / (design.per if design.chart in RATES else 1.0)
    elif design.denominator is not None and design.chart in MEASURED:
        below = _scattered(frame, design.denominator, (place[known], periods.code[known]), known, shape)
        y = np.divide(y * design.per, below, out=np.full(shape, np.nan), where=below > 0)
    bad = _impossible(design.chart, y, size)
    y = np.where(bad[:, None], np.nan, y)
    used = np.ones(shape[1], dtype=bool)
    if design.baseline_until is not None:
        try:
            used = np.arange(shape[1]) <= periods.last_at_or_before(design.baseline_until)
        except ValueError as cause:
            raise DataError(f"baseline_until: {cause}.") from cause
    found = many_charts(
        design.chart, y, size, used=used, constants="rounded" if design.rounded_constants else "exact"
    )
    points = np.isfinite(found.value).sum(axis=1)
    enough = points >= FEWEST
    with np.errstate(invalid="ignore"):
        outside = np.where(enough, found.outside.sum(axis=1), 0)
    centre: Any = pd.DataFrame(found.centre).ffill(axis=1).iloc[:, -1].to_numpy()
    shown = centre * (design.per if design.chart in PROPORTIONS else 1.0)
    return pd.DataFrame(
        {
            by: places,
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


def _scattered(
    frame: pd.DataFrame,
    name: str,
    cells: tuple[np.ndarray, np.ndarray],
    known: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """A column as places by periods, NaN where there is no row."""
    issues: list[str] = []
    values = numbers(frame[name], "data", name, issues)
    if issues:
        raise DataError(issues)
    found = np.full(shape, np.nan)
    found[cells] = values[known]
    return found
