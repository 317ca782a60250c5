"""Days or cases from one event to the next, for charts of rare events."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.periods import Periods
from qieval.text import number

SECONDS_A_DAY = 86400


def between_events(seen: pd.DataFrame, periods: Periods, unit: str) -> tuple[pd.DataFrame, list[str]]:
    """Intervals from each event to the next: columns code (of the later event), since (of the earlier), y and
    size (NaN); and notes.

    seen: rows sorted by period with columns code, y (number of events) and size. Where sizes are given an
    interval is their sum after one event up to and with the row of the next, else the days (or whole numbers
    of the time column) between them; `unit` is that in words. Events of one row lie 0 apart.
    DataError for periods longer than a day.
    """
    by_day = seen.groupby("code")[["y", "size"]].sum().reset_index()
    cases = seen["size"].notna().all()
    at = by_day["size"].cumsum().to_numpy() if cases else _moments(periods)[by_day["code"].to_numpy()]
    times = np.repeat(np.arange(len(by_day)), by_day["y"].to_numpy().astype(int))
    if len(times) == 0:
        raise DataError(
            "outcome: there is no event in the data, so there are no intervals between events. Time without"
            " events is told by qe.charts.safety_cross."
        )
    waits = np.diff(at[times])
    codes = by_day["code"].to_numpy()
    table = pd.DataFrame({"code": codes[times[1:]], "since": codes[times[:-1]], "y": waits, "size": np.nan})
    open_end = float(at[-1] - at[times[-1]])
    notes = [f"Points are the {unit} from one event to the next; the wait for the first event is not known."]
    if open_end > 0:
        notes.append(
            f"Since the last event {number(open_end)} {unit} have passed without another; that wait is not"
            " over and has no point."
        )
    return table, notes


def _moments(periods: Periods) -> np.ndarray:
    """The labels in days, or as they are when they are whole numbers."""
    labels = periods.labels
    if periods.kind == "number":
        return labels.to_numpy(dtype=float)
    if isinstance(labels, pd.PeriodIndex) and labels.freqstr != "D":
        raise DataError(
            f"time: intervals between events need the dates of events, but the periods are longer than a day"
            f" (such as {labels[0]}). Give one row an event or a day, or draw the counts by period"
            " (kind='c')."
        )
    dates = labels.to_timestamp() if isinstance(labels, pd.PeriodIndex) else pd.DatetimeIndex(labels)
    return np.asarray((dates - dates[0]) / pd.Timedelta(seconds=SECONDS_A_DAY), dtype=float)
