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

SHARED = ("run", "i", "mr", "p", "p'", "u", "u'", "c", "g", "t")
PROPORTIONS, RATES = ("p", "p'"), ("u", "u'")
ON_DENOMINATORS = PROPORTIONS + RATES


def can_share(design: ChartDesign) -> bool:
    """Whether all places can be charted together: a stated chart without phases or points left out."""
    plain = not (design.rebase or design.left_out or design.from_dates)
    window = design.first_period is None and design.last_period is None
    return plain and window and design.screened and design.chart in SHARED


def many(design: ChartDesign, frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """One row per place: place, term, estimate (the centre line), points, points_outside, runs_signal, signal
    and note. frame: one row per place and period; places may lack periods.

    DataError where a place has two rows in a period, or a column cannot be read.
    """
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
    used = np.ones(shape[1], dtype=bool)
    if design.baseline_until is not None:
        used = np.arange(shape[1]) <= periods.last_at_or_before(design.baseline_until)
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
            "note": np.where(enough, "", f"fewer than {FEWEST} points: no rule is applied"),
        }
    )


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
