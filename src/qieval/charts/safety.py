"""The safety cross: a calendar with a mark for each day with an event, which feeds a g chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.columns import numbers
from qieval.errors import DataError, DesignError, nearest
from qieval.text import listed, plural

EVENT, NONE, UNKNOWN = "event", "no event", "not recorded"
MOST_MONTHS = 12


@dataclass(frozen=True, eq=False, repr=False)
class SafetyCross:
    """Days with and without an event.

    days: one row per day with date, events (NaN where nothing was recorded) and status ('event', 'no event',
    'not recorded'). It is ready for a g chart:
    `qe.ControlChart(outcome="events", time="date", kind="g", intervals="between dates of events")`.
    Draw it with `qe.plot`.
    """

    what: str
    days: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def since_last(self) -> int | None:
        """Days without an event at the end of the recorded days; None when there was none at all."""
        seen = self.days[self.days["status"] != UNKNOWN]
        at = np.flatnonzero(seen["status"] == EVENT)
        if not len(at):
            return None
        return int((seen["date"].iloc[-1] - seen["date"].iloc[at[-1]]).days)

    def __repr__(self) -> str:
        return "\n".join([self._said(), *(f"Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        body = markup.paragraph(self._said(), "qieval-headline") + markup.bullets(self.notes)
        return markup.card("Safety cross", body)

    def _said(self) -> str:
        counted = self.days["status"].value_counts()
        first, last = self.days["date"].iloc[0], self.days["date"].iloc[-1]
        said = (
            f"{self.what}: {plural(int(counted.get(EVENT, 0)), 'day')} with an event and"
            f" {int(counted.get(NONE, 0)):,} without, {first.date()} to {last.date()}."
        )
        if self.since_last:
            said += f" {plural(self.since_last, 'day')} since the last event."
        return said


def safety_cross(
    data: pd.DataFrame,
    time: str,
    events: str | None = None,
    *,
    what: str = "Events",
    first: Any = None,
    last: Any = None,
) -> SafetyCross:
    """The days of a ward or team with and without an event.

    data: one row per event, or, with `events` (a column of counts), one row per day: days without a row are
    then 'not recorded'. time: the column of dates; times of day are cut off. first, last: the days that were
    observed (by default the first and last row); without `events` days inside them that have no row had no
    event. what: the event in a word. DataError for dates that cannot be read, for counts that are negative
    or no whole numbers, and when no row lies in the window.

    >>> falls = pd.DataFrame({"date": ["2024-04-03", "2024-04-03", "2024-04-19"]})
    >>> safety_cross(falls, "date", what="Falls", first="2024-04-01", last="2024-04-30")
    Falls: 2 days with an event and 28 without, 2024-04-01 to 2024-04-30. 11 days since the last event.
    """
    for name in filter(None, (time, events)):
        if name not in data.columns:
            role = "time" if name == time else "events"
            raise DataError(f"{role}: there is no column '{name}' in the data.{nearest(name, data.columns)}")
    dates = _dates(data[time], time)
    begin, end = _edge(first, dates.min(), "first"), _edge(last, dates.max(), "last")
    if begin > end:
        raise DesignError([f"first, last: {begin.date()} lies after {end.date()}. Exchange them."])
    inside = ((dates >= begin) & (dates <= end)).to_numpy()
    if events is not None and not inside.any():
        raise DataError(
            f"first, last: no row lies between {begin.date()} and {end.date()}, so nothing was recorded then."
            " Widen the window."
        )
    counts = np.ones(len(data)) if events is None else _counts(data[events], events)
    by_day = pd.Series(counts[inside]).groupby(dates[inside].to_numpy()).sum(min_count=1)
    calendar = pd.date_range(begin, end, freq="D")
    found = by_day.reindex(calendar)
    held = (found.fillna(0.0) if events is None else found).to_numpy(dtype=float)
    status = np.where(np.isnan(held), UNKNOWN, np.where(held > 0, EVENT, NONE))
    days = pd.DataFrame({"date": calendar, "events": held, "status": status})
    return SafetyCross(what, days, _notes(inside, status))


def _dates(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    if column.empty or column.isna().any():
        said = (
            "holds no date at all"
            if column.empty
            else f"is empty in {plural(int(column.isna().sum()), 'row')}"
        )
        raise DataError(
            f"time: '{name}' {said}, so these events have no day. Fill the dates in or leave the rows out."
        )
    if pd.api.types.is_datetime64_any_dtype(column):
        days: pd.Series[Any] = column.dt.tz_localize(None).dt.normalize()
        return days
    if isinstance(column.dtype, pd.PeriodDtype):
        if str(column.dtype) != "period[D]":
            raise DataError(f"time: '{name}' holds periods longer than a day. Give the dates of the events.")
        begins: pd.Series[Any] = column.dt.start_time
        return begins
    text = column.astype(str)
    bad = text[~text.str.match(r"^\d{4}-\d{2}-\d{2}([T ].*)?$")]
    read = pd.to_datetime(text.str[:10], format="%Y-%m-%d", errors="coerce")
    bad = pd.concat([bad, text[read.isna()]])
    if len(bad):
        raise DataError(
            f"time: {listed(map(repr, dict.fromkeys(bad)), 3)} in '{name}' cannot be read as a date, and day"
            " and month could be mistaken. Write dates like 2024-04-01."
        )
    return read


def _edge(stated: Any, otherwise: pd.Timestamp, role: str) -> pd.Timestamp:
    if stated is None:
        return otherwise
    return pd.Timestamp(_dates(pd.Series([str(stated)[:10]]), role).iloc[0])


def _counts(column: pd.Series[Any], name: str) -> np.ndarray:
    issues: list[str] = []
    held = numbers(column, "events", name, issues)
    seen = held[~np.isnan(held)]
    if not issues and ((seen < 0).any() or (seen != np.round(seen)).any()):
        issues.append(
            f"events: '{name}' holds negative numbers or fractions, which no count of events can be. Correct"
            " them."
        )
    if issues:
        raise DataError(issues)
    return held


def _notes(inside: np.ndarray, status: np.ndarray) -> tuple[str, ...]:
    found = []
    if outside := int((~inside).sum()):
        found.append(f"{plural(outside, 'row')} outside the window are not shown.")
    if unknown := int((status == UNKNOWN).sum()):
        found.append(
            f"Nothing was recorded on {plural(unknown, 'day')}; they are not counted as days without."
        )
    return tuple(found)
