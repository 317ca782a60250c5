"""What was known about people before their index dates: events counted, added up, or the last of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError, nearest
from qieval.text import listed, plural

TAKES = ("count", "any", "sum", "last")


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup:
    """One characteristic to look up in a table of events, one row an event of a person.

    The window is [index date - `days`, index date - `until`), so the index date itself never counts. days
    None: all time before. until: the days just before the index date that are left out, for records that the
    treatment may already have caused (a referral). take: "count" of events, "any" (0/1), "sum" of `value`
    (0 without an event), or the "last" of `value` (missing without an event; of several on one day the one
    furthest down). Events without a date, and for sum and last without a value, are left out and counted.

    Raises DataError for a window that would reach the index date, and for columns that are not there.
    """

    events: pd.DataFrame
    date: str
    days: int | None = 365
    take: str = "count"
    value: str | None = None
    until: int = 0

    def __post_init__(self) -> None:
        found = []
        columns = list(getattr(self.events, "columns", ()))
        for role, name in (("date", self.date), ("value", self.value)):
            if name is not None and name not in columns:
                hint = nearest(str(name), columns)
                found.append(
                    f"{role}: the events have no column '{name}'.{hint} They have {listed(columns)}."
                )
        if self.take not in TAKES:
            found.append(f"take: {self.take!r} is not one of {', '.join(TAKES)}.")
        if (self.take in ("sum", "last")) != (self.value is not None):
            found.append(
                "value: name the column to use for 'sum' and 'last', and none for 'count' and 'any'."
            )
        if self.until < 0:
            found.append(
                "until: a baseline window ends before the index date. What happens on that date or later may "
                "be an effect of the treatment, so it is no baseline."
            )
        elif self.days is not None and self.days <= self.until:
            found.append(
                f"days: the window of {self.days} days ends {self.until} days before the index date."
            )
        if found:
            raise DataError(found)


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Usable events sorted by person and day: key = person x span + (day - origin), and their values."""

    key: np.ndarray
    values: pd.Series[Any] | None
    origin: int
    span: int

    def position(self, person: np.ndarray, day: np.ndarray) -> np.ndarray:
        """How many events lie before that day of that person, or belong to people before."""
        within = np.clip(day - self.origin, 0, self.span)
        return np.asarray(np.searchsorted(self.key, person * (self.span + 1) + within, side="left"))


def look_up(
    lookup: Lookup, people: pd.Index[Any], name: str, row: np.ndarray, index_day: np.ndarray
) -> tuple[pd.Series[Any], list[str]]:
    """The characteristic for each row, with notes.

    people: distinct ids, their name the column of ids in the events. row (n,): position in `people`;
    index_day (n,): days since 1970.
    """
    events, notes = _sorted(lookup, people, name)
    low = events.origin if lookup.days is None else index_day - lookup.days
    first = events.position(row, np.broadcast_to(low, index_day.shape))
    last = np.maximum(events.position(row, index_day - lookup.until), first)
    count = last - first
    if lookup.take == "count":
        return pd.Series(count), notes
    if lookup.take == "any":
        return pd.Series((count > 0).astype(np.int64)), notes
    assert events.values is not None
    if lookup.take == "last":
        return events.values.reindex(np.where(count > 0, last - 1, -1)).reset_index(drop=True), notes
    from qieval.numerics.kernels.risk_sets import window_sums

    return pd.Series(window_sums(events.values.to_numpy(dtype=float), first, last)), notes


def _sorted(lookup: Lookup, people: pd.Index[Any], name: str) -> tuple[_Sorted, list[str]]:
    if people.name not in lookup.events.columns:
        hint = nearest(str(people.name), lookup.events.columns)
        raise DataError(f"{name}: the events have no column '{people.name}' to tell people apart.{hint}")
    if lookup.take == "sum" and not pd.api.types.is_numeric_dtype(lookup.events[lookup.value]):
        raise DataError(f"{name}: '{lookup.value}' is not numeric, so it cannot be summed.")
    day = whole_days(lookup.events[lookup.date], name)
    code = people.get_indexer(pd.Index(lookup.events[people.name]))
    ours = code >= 0
    dated = ~np.isnan(day)
    filled = np.ones(len(day), dtype=bool)
    if lookup.value is not None:
        filled = lookup.events[lookup.value].notna().to_numpy()
    notes = [
        f"{name}: {plural(lost, 'event')} without a {what} left out."
        for what, lost in (
            ("date", int((ours & ~dated).sum())),
            ("value", int((ours & dated & ~filled).sum())),
        )
        if lost
    ]
    used = np.flatnonzero(ours & dated & filled)
    days = day[used].astype(np.int64)
    origin = int(days.min()) if days.size else 0
    span = int(days.max()) - origin + 1 if days.size else 1
    key = code[used].astype(np.int64) * (span + 1) + days - origin
    order = np.argsort(key, kind="stable")
    values = None
    if lookup.value is not None:
        values = lookup.events[lookup.value].iloc[used[order]].reset_index(drop=True)
    return _Sorted(key[order], values, origin, span), notes


def not_before(frame: pd.DataFrame, name: str, date: str, index_day: np.ndarray) -> list[str]:
    """What is wrong with a characteristic that was not measured before the index date in every row."""
    day = whole_days(frame[date], "baseline")
    late = int((day >= index_day).sum())
    undated = int((np.isnan(day) & frame[name].notna().to_numpy()).sum())
    found = []
    if late:
        found.append(
            f"baseline: '{name}' was measured on or after the index date in {plural(late, 'row')} (its date "
            f"is '{date}'). The treatment may have changed it. Give the measurements as events, "
            f'Lookup(events=..., date=..., take="last", value="{name}"), so that the last one before each '
            "index date is used."
        )
    if undated:
        found.append(
            f"baseline: '{name}' has no date in {plural(undated, 'row')} ('{date}' is missing), so it may "
            "have been measured after the index date. Complete the date, or empty the value."
        )
    return found


def unseen(name: str, lookup: Lookup, entry: np.ndarray, index_day: np.ndarray) -> list[str]:
    """A note if windows begin before people came under observation."""
    if lookup.days is None or not (short := int((entry > index_day - lookup.days).sum())):
        return []
    return [
        f"{name}: in {plural(short, 'row')} the window of {lookup.days} days begins before the person was at "
        "risk, so events may be missing. history asks for longer observation."
    ]


def whole_days(dates: pd.Series[Any], role: str) -> np.ndarray:
    """Days since 1970 as floats, NaN where the date is missing; times of day and zones are dropped."""
    if not pd.api.types.is_datetime64_any_dtype(dates.dtype):
        raise DataError(
            f"{role}: '{dates.name}' holds {dates.dtype}, but dates are needed. Convert it, such as with "
            "pd.to_datetime."
        )
    days = dates.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(days), np.nan, days.astype(np.int64).astype(float))
