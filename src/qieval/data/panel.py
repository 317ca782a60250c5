"""From one row an event to one row a unit and period, zeros filled and denominators joined."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from qieval.data.event_counts import Counted, count_frame, count_table
from qieval.data.extract import Extract, attrition_row
from qieval.errors import DataError, nearest
from qieval.text import listed, plural

Every = Literal["week", "month", "quarter", "year"]
FREQUENCY = {"week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}
PER = 1000


@dataclass(frozen=True)
class _Roles:
    unit: str
    every: str
    population: str | None
    by_period: bool


def panel(
    events: Any,
    *,
    unit: str,
    time: str,
    every: Every = "month",
    population: pd.DataFrame | None = None,
    values: Mapping[str, str] | None = None,
) -> Extract:
    """Count event rows by unit and period; periods without events get zeros.

    events: a frame, an Extract, an ibis table (DuckDB, Spark, ...), or the path of a Parquet file, which
    DuckDB reads without loading it. Tables and files are counted where they are, and give the same panel as
    a frame. time: a column of dates. every: length of a period; it names the period's column, whose values
    are text that sorts: "2022-04" for a month, "2022Q2", "2022", and the Monday for a week. population: one
    row a unit, or one a unit and period (a column named as `every`), and one column with the number of
    people. It says which units and periods there are, so units without any event are in the panel too;
    without it only units that occur are known. values: {new column: column to sum}, such as {"bed_days":
    "nights"}; missing values add nothing and are counted in a note.

    The frame has unit, `every`, events, the sums, and with a population its column and events_per_1000,
    sorted by unit and period. Events that cannot be placed (no unit, no date, unit or period not in the
    population) are rows of the attrition table. Raises DataError for columns that do not fit,
    DependencyError when ibis or DuckDB is needed and absent.

    >>> days = pd.to_datetime(["2022-04-01", "2022-06-30", "2022-04-09"])
    >>> events = pd.DataFrame({"ward": ["A", "A", "B"], "day": days})
    >>> panel(events, unit="ward", time="day").frame["events"].tolist()
    [1, 0, 1, 1, 0, 0]
    """
    if every not in FREQUENCY:
        raise DataError(
            f"every: {every!r} is not one of {', '.join(FREQUENCY)}.{nearest(str(every), FREQUENCY)}"
        )
    sums = dict(values or {})
    if isinstance(events, (pd.DataFrame, Extract)):
        start = events if isinstance(events, Extract) else Extract(frame=events, source="a frame of events")
        counted = count_frame(start.frame, unit, time, FREQUENCY[every], sums)
    else:
        counted, source = count_table(events, unit, time, every, sums)
        start = Extract(
            frame=pd.DataFrame(index=range(0)), source=source, attrition=_first(counted.rows, source)
        )
    roles = _roles(unit, every, population, [*sums, "events"])
    return _completed(counted, start, population, roles)


def _first(rows: int, source: str) -> pd.DataFrame:
    return attrition_row(0, f"read from {source}", pd.DataFrame(), None).assign(rows=rows)


def _roles(unit: str, every: str, population: pd.DataFrame | None, taken: list[str]) -> _Roles:
    """Which column of the population is which; DataError when that is not clear."""
    if population is None:
        return _Roles(unit, every, None, by_period=False)
    if unit not in population.columns:
        hint = nearest(unit, population.columns)
        raise DataError(
            f"population: it has no column '{unit}' to join by.{hint} Rename its column of units."
        )
    by_period = every in population.columns
    keys = [unit, every] if by_period else [unit]
    others = [str(name) for name in population.columns if name not in keys]
    if len(others) != 1 or not pd.api.types.is_numeric_dtype(population[others[0]].dtype):
        raise DataError(
            f"population: besides {' and '.join(keys)} it must have exactly one numeric column, the number "
            "of people; it "
            f"has {listed(others) or 'none'}. Select the columns to use."
        )
    if others[0] in taken:
        raise DataError(f"population: its column '{others[0]}' is also a name of the counts. Rename it.")
    problems = []
    if missing := int(population[keys].isna().any(axis=1).sum()):
        problems.append(
            f"population: {plural(missing, 'row')} without {' or '.join(keys)}. Drop or complete them."
        )
    if repeated := int(population.duplicated(keys).sum()):
        problems.append(
            f"population: {plural(repeated, 'row')} repeat an earlier {' and '.join(keys)}, so events would "
            "be counted "
            "twice. Keep one of each."
        )
    if problems:
        raise DataError(problems)
    return _Roles(unit, every, others[0], by_period)


def _completed(counted: Counted, start: Extract, population: pd.DataFrame | None, roles: _Roles) -> Extract:
    """Fill zeros, join the population, and account for events that found no place."""
    if counted.cells.empty:
        raise DataError(
            "events: none has both a unit and a date, so there is nothing to count. Look at how they were "
            "read."
        )
    keys = [roles.unit, roles.every]
    cells = counted.cells.assign(**{roles.every: _labels(counted.cells["period"], roles.every)}).drop(
        columns="period"
    )
    places = _places(counted, cells, population, roles)
    unknown = ~cells[roles.unit].isin(places[roles.unit])
    inside = cells.merge(places[keys], on=keys, how="inner")
    lost_unit = int(cells.loc[unknown, "events"].sum())
    lost_period = int(cells["events"].sum()) - lost_unit - int(inside["events"].sum())
    frame = places.merge(inside, on=keys, how="left", validate="one_to_one")
    amounts = [name for name in inside.columns if name not in keys]
    frame[amounts] = frame[amounts].fillna(0)
    frame[amounts] = frame[amounts].apply(_whole)
    frame = frame.sort_values(keys, ignore_index=True)
    notes = [*start.notes, *counted.notes]
    if roles.population is not None:
        frame, more = _with_rate(frame, roles)
        notes += more
    steps = [
        ("unit is missing", counted.no_unit),
        ("date is missing", counted.no_time),
        ("unit is not in the population", lost_unit),
        ("period is not in the population", lost_period),
    ]
    attrition = _attrition(start.attrition, steps)
    done = attrition_row(len(attrition), f"counted by {roles.unit} and {roles.every}", frame, None)
    attrition = pd.concat([attrition, done], ignore_index=True)
    return replace(start, frame=frame, person=None, attrition=attrition, notes=tuple(notes))


def _places(
    counted: Counted, cells: pd.DataFrame, population: pd.DataFrame | None, roles: _Roles
) -> pd.DataFrame:
    """All pairs of unit and period that the panel has, with the population if there is one."""
    if population is not None and roles.by_period:
        return population.assign(**{roles.every: population[roles.every].astype("str")}).reset_index(
            drop=True
        )
    periods = pd.period_range(counted.first, counted.last, freq=FREQUENCY[roles.every])
    labels = _labels(pd.Series(periods.start_time), roles.every)
    units = cells[[roles.unit]].drop_duplicates() if population is None else population
    return units.merge(pd.DataFrame({roles.every: labels}), how="cross")


def _labels(starts: "pd.Series[Any]", every: str) -> "pd.Series[Any]":
    """Text for the periods that begin at `starts`."""
    if every == "week":
        return pd.Series(starts.dt.strftime("%Y-%m-%d"), dtype="str")
    return pd.Series(starts.dt.to_period(FREQUENCY[every]).astype("str"))


def _whole(amount: "pd.Series[Any]") -> "pd.Series[Any]":
    """Sums as integers when all of them are whole, whatever the engine returned."""
    values = amount.astype("float64")
    return values.astype("int64") if bool((values == np.round(values)).all()) else values


def _with_rate(frame: pd.DataFrame, roles: _Roles) -> tuple[pd.DataFrame, list[str]]:
    people = frame[str(roles.population)].astype("float64")
    unusable = int((people.isna() | (people <= 0)).sum())
    rate = PER * frame["events"] / people.where(people > 0)
    note = (
        f"{roles.population}: {plural(unusable, 'row')} of the panel have no people or an unknown number of "
        "them, so "
        "their rate is missing."
    )
    return frame.assign(events_per_1000=rate), [note] if unusable else []


def _attrition(table: pd.DataFrame, steps: list[tuple[str, int]]) -> pd.DataFrame:
    """Add one row for each step that lost events."""
    for reason, lost in steps:
        if lost:
            row = attrition_row(len(table), reason, pd.DataFrame(), None)
            table = pd.concat([table, row.assign(rows=int(table["rows"].iloc[-1]) - lost)], ignore_index=True)
    return table
