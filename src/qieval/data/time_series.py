"""From one row a record to one row a period: a complete calendar of counts, sums, means and shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from qieval.calendar import days_in_period
from qieval.data.coverage import Coverage, covered
from qieval.data.extract import Extract, attrition_row
from qieval.data.series_columns import columns_of
from qieval.errors import DataError, nearest
from qieval.text import listed, plural

Every = Literal["day", "week", "month", "quarter", "year"]
FREQUENCY = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}
MOST_PERIODS = 20_000
WAYS = ("sum", "mean", "share")
TAKEN = ("events", "days")


@dataclass(frozen=True, eq=False)
class _Placed:
    """Records that have a place: their rows (n,), the code of the group and the period of each (n,).

    `cell` is group * periods + period. `groups` are the names of the series; one nameless one without `by`.
    """

    frame: pd.DataFrame
    cell: np.ndarray
    groups: list[Any]
    calendar: pd.PeriodIndex

    @property
    def cells(self) -> int:
        """How many rows the series have together."""
        return len(self.groups) * len(self.calendar)


def time_series(  # noqa: PLR0913 - seven roles, most of them optional
    records: pd.DataFrame | Extract,
    time: str,
    *,
    every: Every = "month",
    by: str | None = None,
    values: Mapping[str, tuple[str, str]] | None = None,
    denominators: pd.DataFrame | None = None,
    covers: tuple[str, str] | None = None,
) -> Extract:
    """Count records by period; periods without records get zeros, so that the calendar is complete.

    time: a column of dates. every: length of a period; it names the period's column, whose values are text
    that sorts: "2022-04" for a month, "2022Q2", "2022", the day, and the Monday for a week. by: one series
    for each of its values. values: {new column: (way, column)} with the ways "sum", "mean" (missing where
    nothing was measured) and "share", which makes one column for each category, such as sex_female: the share
    of the period's records, for seeing whether those who are counted change. denominators: a table with
    `every` or "year" (and `by`), and numeric columns to join, such as population or bed days. covers: the
    first and the last day, month or year that the records cover, such as ("2019-04", "2023-03-17").

    The frame has `by`, `every`, events, the values, days (of the period) and the denominators, sorted by `by`
    and period. Only whole periods are kept: what lies in one that is partly covered is a row of the attrition
    table and a note. Without `covers` the records cover what lies between the first and the last of them,
    and a first or last period is partly covered if the stretch without records at its outer end is longer
    than any between two records. Missing values add nothing to sums and means, which a note counts. No row
    is about one person, but counts can be small.

    Raises DataError for columns that do not fit, records without any date and calendars beyond reason.

    >>> days = pd.to_datetime(["2022-04-01", "2022-04-30", "2022-06-01", "2022-06-29"])
    >>> falls = pd.DataFrame({"day": days, "harm": [0, 1, 1, 1]})
    >>> made = time_series(falls, "day", values={"harmful": ("mean", "harm")})
    >>> made.frame[["month", "events", "harmful", "days"]].values.tolist()
    [['2022-04', 2, 0.5, 30], ['2022-05', 0, nan, 31], ['2022-06', 2, 1.0, 30]]
    """
    start = records if isinstance(records, Extract) else Extract(frame=records, source="a frame of records")
    wanted = dict(values or {})
    _require(start.frame, time, every, by, wanted)
    dated, lost = _dated(start.frame, time, by)
    stretch = covered(_days(dated[time]), FREQUENCY[every], covers)
    placed = _placed(dated, _days(dated[time]), by, stretch)
    frame, notes = _table(placed, every, by, wanted)
    if denominators is not None:
        frame, more = _joined(frame, denominators, every, by)
        notes += more
    lost += [("outside the stated period", stretch.outside), ("in a partly covered period", stretch.partly)]
    attrition = _attrition(start.attrition, lost, frame, f"counted by {every}" + (f" and {by}" if by else ""))
    known = [*start.notes, *stretch.notes, *(["Weeks begin on Monday."] if every == "week" else [])]
    return replace(start, frame=frame, person=None, attrition=attrition, notes=(*known, *notes))


def _require(
    frame: pd.DataFrame, time: str, every: str, by: str | None, wanted: dict[str, tuple[str, str]]
) -> None:
    if every not in FREQUENCY:
        known = ", ".join(FREQUENCY)
        raise DataError(f"every: {every!r} is not one of {known}.{nearest(str(every), FREQUENCY)}")
    stated = {new: item for new, item in wanted.items() if _is_way(item)}
    problems = [
        f"values: {new} is {wanted[new]!r}, but a way ({', '.join(WAYS)}) and a column are needed, such as "
        '("sum", "nights").'
        for new in wanted
        if new not in stated
    ]
    named = [("time", time), *([("by", by)] if by else []), *(("values", old) for _, old in stated.values())]
    problems += [
        f"{role}: the records have no column '{name}'.{nearest(name, frame.columns)} They have "
        f"{listed(frame.columns, 20)}."
        for role, name in named
        if name not in frame.columns
    ]
    problems += [
        f"values: '{old}' is not numeric, so it has no {way}."
        for way, old in stated.values()
        if way != "share" and old in frame.columns and not pd.api.types.is_numeric_dtype(frame[old].dtype)
    ]
    problems += [
        f"{role}: a column cannot be called '{name}', which is another one of the series. Rename it."
        for role, name in [("by", by), *(("values", new) for new in stated)]
        if name in (every, *TAKEN) or (role == "values" and name == by)
    ]
    if time in frame.columns and not pd.api.types.is_datetime64_any_dtype(frame[time].dtype):
        problems.append(
            f"time: '{time}' holds {frame[time].dtype}, but the date of each record is needed. Convert it, "
            "such as with pd.to_datetime."
        )
    if problems:
        raise DataError(problems)


def _is_way(item: object) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and item[0] in WAYS


def _dated(frame: pd.DataFrame, time: str, by: str | None) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """The records with a date and a group, and how many have none."""
    undated = frame[time].isna()
    nowhere = frame[by].isna() & ~undated if by else pd.Series(False, index=frame.index)
    lost = [("date is missing", int(undated.sum())), (f"{by} is missing", int(nowhere.sum()))]
    kept = frame[~undated & ~nowhere] if any(count for _, count in lost) else frame
    if not len(kept):
        raise DataError(
            f"time: no record has a date in '{time}'{f' and a value of {by}' if by else ''}, so there is "
            "nothing to count. Look at how it was read."
        )
    return kept, lost


def _days(dates: pd.Series[Any]) -> np.ndarray:
    """Days since 1970 by the clock that the dates were written with."""
    return np.asarray(dates.dt.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64))


def _placed(frame: pd.DataFrame, days: np.ndarray, by: str | None, stretch: Coverage) -> _Placed:
    calendar = stretch.calendar
    if len(calendar) > MOST_PERIODS:
        raise DataError(
            f"time: the records lie between {calendar[0]} and {calendar[-1]}, which makes {len(calendar):,} "
            "periods. Some dates are probably wrong; say in `covers` which are right."
        )
    period = np.repeat(np.arange(len(calendar)), days_in_period(calendar))
    at = days - stretch.first
    inside = (at >= 0) & (at < len(period))
    code = np.zeros(len(frame), dtype=np.int64)
    groups: list[Any] = [None]
    if by is not None:
        code, names = pd.factorize(frame[by], sort=True)
        groups = list(names)
    kept = frame if inside.all() else frame[inside]
    return _Placed(kept, code[inside] * len(calendar) + period[at[inside]], groups, calendar)


def _table(
    placed: _Placed, every: str, by: str | None, wanted: dict[str, tuple[str, str]]
) -> tuple[pd.DataFrame, list[str]]:
    """One row a group and period, and what has to be said about it."""
    calendar = placed.calendar
    labels = calendar.start_time.strftime("%Y-%m-%d") if every == "week" else calendar.astype("str")
    held: dict[str, Any] = {}
    if by is not None:
        held[by] = pd.Series(placed.groups).repeat(len(calendar)).to_numpy()
    held[every] = pd.Series(np.tile(np.asarray(labels, dtype=object), len(placed.groups)), dtype="str")
    events = np.bincount(placed.cell, minlength=placed.cells)
    held["events"] = events
    notes = []
    if empty := int((events == 0).sum()):
        notes.append(
            f"{plural(empty, every)} without any record count as 0: see that none is a gap in the records."
        )
    made, more = columns_of(placed.frame, placed.cell, events, wanted)
    held |= made
    held["days"] = np.tile(days_in_period(calendar), len(placed.groups))
    return pd.DataFrame(held), notes + more


def _joined(
    frame: pd.DataFrame, table: pd.DataFrame, every: str, by: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """The series with the denominators of their periods, or of their years."""
    length = next((name for name in (every, "year") if name in table.columns), None)
    if length is None:
        raise DataError(f"denominators: the table has neither a column '{every}' nor a column 'year'.")
    keys = [length, *([by] if by is not None and by in table.columns else [])]
    amounts = [str(name) for name in table.columns if name not in keys]
    numeric = [name for name in amounts if pd.api.types.is_numeric_dtype(table[name].dtype)]
    problems = []
    if not amounts or numeric != amounts:
        problems.append(
            f"denominators: besides {' and '.join(keys)} the table must have numeric columns only; it has "
            f"{listed(amounts) or 'none'}. Select the columns to use."
        )
    if repeated := int(table.duplicated(keys).sum()):
        problems.append(
            f"denominators: {plural(repeated, 'row')} repeat an earlier {' and '.join(keys)}. Keep one of "
            "each."
        )
    if clash := [name for name in amounts if name in frame.columns]:
        problems.append(f"denominators: {listed(clash)} is also a column of the series. Rename it.")
    if problems:
        raise DataError(problems)
    right = table.assign(**{length: _as_labels(table[length], length)})
    left = frame if length == every else frame.assign(year=frame[every].str.slice(0, 4))
    joined = left.merge(right, on=keys, how="left", validate="many_to_one")[[*frame.columns, *amounts]]
    gaps = {name: int(joined[name].isna().sum()) for name in amounts}
    return joined, [
        f"{name}: unknown for {plural(count, every)} of the series." for name, count in gaps.items() if count
    ]


def _as_labels(column: pd.Series[Any], length: str) -> pd.Series[Any]:
    """Periods of a table as the text that the series have."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        starts = column.dt.tz_localize(None).dt.to_period(FREQUENCY[length])
        column = starts.dt.start_time.dt.strftime("%Y-%m-%d") if length == "week" else starts
    text: pd.Series[Any] = column.astype("str")
    return text


def _attrition(
    table: pd.DataFrame, steps: list[tuple[str, int]], frame: pd.DataFrame, done: str
) -> pd.DataFrame:
    """The table with one row for each step that lost records, and one for the series."""
    for reason, lost in steps:
        if lost:
            row = attrition_row(len(table), reason, frame, None)
            row["rows"] = int(table["rows"].iloc[-1]) - lost
            table = pd.concat([table, row], ignore_index=True)
    return pd.concat([table, attrition_row(len(table), done, frame, None)], ignore_index=True)
