"""Which whole periods a set of dated records covers, and what lies outside of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.errors import DataError


@dataclass(frozen=True, eq=False)
class Coverage:
    """The periods that are wholly covered, the first day of the first of them (since 1970), and the rest.

    `outside` records lie outside what was stated, `partly` in a period that is covered in part.
    """

    calendar: pd.PeriodIndex
    first: int
    outside: int
    partly: int
    notes: tuple[str, ...]


def covered(days: np.ndarray, frequency: str, stated: tuple[str, str] | None) -> Coverage:
    """The whole periods of a rhythm that records cover.

    days (n,): of the records, since 1970. stated: the first and last day (or month, or year) covered; without
    it, what lies between the first and the last record, and the stretch to the end of their periods unless it
    is longer than any between two records. Raises DataError when no whole period is covered.
    """
    begin, end = _stated(stated) if stated is not None else (int(days.min()), int(days.max()))
    inside = (days >= begin) & (days <= end)
    if not inside.any():
        raise DataError(f"covers: no record lies from {_date(begin)} to {_date(end)}.")
    first, last = pd.Period(_date(begin), freq=frequency), pd.Period(_date(end), freq=frequency)
    before, after = begin - _first(first), _last(last) - end
    longest = _longest(days) if stated is None else 0
    notes = []
    if before > longest:
        notes.append(_left_out(first, f"begin on {_date(begin)}"))
        first = first + 1
    if after > longest:
        if last >= first:
            notes.append(_left_out(last, f"end on {_date(end)}"))
        last = last - 1
    if first > last:
        raise DataError(
            f"time: the records from {_date(begin)} to {_date(end)} cover no whole period. Use shorter "
            "periods, or say in `covers` from when to when the records are complete."
        )
    calendar = pd.period_range(first, last, freq=frequency)
    kept = (days >= _first(first)) & (days <= _last(last))
    notes.append(f"Complete periods: {_named(first)} to {_named(last)}.")
    outside = int((~inside).sum())
    return Coverage(calendar, _first(first), outside, int((inside & ~kept).sum()), tuple(notes))


def _stated(stated: tuple[str, str]) -> tuple[int, int]:
    try:
        begin, end = (pd.Period(str(moment)) for moment in stated)
    except ValueError as cause:
        raise DataError(
            f"covers: {stated!r} is not a first and a last day, month or year. Write them like "
            '("2019-04", "2023-03-17").'
        ) from cause
    if begin.start_time > end.end_time:
        raise DataError(f"covers: the first, {begin}, lies after the last, {end}. Turn them round.")
    return _first(begin), _last(end)


def _first(period: pd.Period) -> int:
    return int(period.asfreq("D", how="start").ordinal)


def _last(period: pd.Period) -> int:
    return int(period.asfreq("D", how="end").ordinal)


def _longest(days: np.ndarray) -> int:
    """The longest distance between two records that follow one another, in days."""
    present = np.zeros(int(days.max() - days.min()) + 1, dtype=bool)
    present[days - days.min()] = True
    return int(np.diff(np.flatnonzero(present)).max(initial=0))


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def _named(period: pd.Period) -> str:
    """The period as text; a week by its first day."""
    return _date(_first(period)) if "/" in str(period) else str(period)


def _left_out(period: pd.Period, why: str) -> str:
    return (
        f"{_named(period)}: left out, since the records {why} and cover it only in part. If they cover "
        "it, say so in `covers`."
    )
