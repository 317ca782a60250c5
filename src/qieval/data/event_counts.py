"""The aggregation behind `panel`: in pandas for frames, one ibis expression for tables and Parquet files."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qieval.errors import DataError, DependencyError, nearest
from qieval.text import listed, plural

TRUNCATE = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}


@dataclass(frozen=True)
class Counted:
    """Events by unit and period: `cells` has the unit, period (first day), events and one column a sum.

    `rows` events were looked at; `no_unit` had no unit and `no_time` a unit but no date. `first` and `last`
    period.
    """

    cells: pd.DataFrame
    rows: int
    no_unit: int
    no_time: int
    notes: tuple[str, ...]

    @property
    def first(self) -> Any:
        """The first day of the first period in which anything happened."""
        return self.cells["period"].min()

    @property
    def last(self) -> Any:
        """The first day of the last period in which anything happened."""
        return self.cells["period"].max()


def count_frame(frame: pd.DataFrame, unit: str, time: str, frequency: str, sums: dict[str, str]) -> Counted:
    """Count the rows of a frame. `frequency` is a pandas period frequency."""
    _require(list(frame.columns), unit, time, sums)
    _require_dates(time, pd.api.types.is_datetime64_any_dtype(frame[time].dtype), str(frame[time].dtype))
    _require_numbers([name for name in sums.values() if not pd.api.types.is_numeric_dtype(frame[name].dtype)])
    no_unit = frame[unit].isna()
    no_time = frame[time].isna() & ~no_unit
    placed = frame[~no_unit & ~no_time]
    dates = placed[time].dt.tz_localize(None)
    period = dates.dt.to_period(frequency).dt.start_time.rename("period")
    grouped = placed.groupby([placed[unit], period], observed=True)
    cells = pd.DataFrame({"events": grouped.size()} | {new: grouped[old].sum() for new, old in sums.items()})
    missing = {old: int(placed[old].isna().sum()) for old in dict.fromkeys(sums.values())}
    return Counted(
        cells=cells.reset_index(),
        rows=len(frame),
        no_unit=int(no_unit.sum()),
        no_time=int(no_time.sum()),
        notes=_missing_notes(missing),
    )


def count_table(events: Any, unit: str, time: str, every: str, sums: dict[str, str]) -> tuple[Counted, str]:
    """Count the rows of an ibis table or a Parquet file without loading them; also where they came from."""
    table, source = _table(events)
    schema = table.schema()
    _require(list(schema.names), unit, time, sums)
    _require_dates(time, schema[time].is_temporal(), str(schema[time]))
    _require_numbers([name for name in sums.values() if not schema[name].is_numeric()])
    placed = table.filter(table[unit].notnull() & table[time].notnull())
    period = placed[time].cast("date").truncate(TRUNCATE[every]).name("period")
    added = {new: placed[old].cast("float64").sum().coalesce(0) for new, old in sums.items()}
    missing = {
        f"missing_{at}": placed[old].isnull().sum() for at, old in enumerate(dict.fromkeys(sums.values()))
    }
    counts = placed.group_by([placed[unit], period]).aggregate(events=placed.count(), **added, **missing)
    totals = table.aggregate(
        rows=table.count(),
        no_unit=table[unit].isnull().sum(),
        no_time=(table[unit].notnull() & table[time].isnull()).sum(),
    )
    cells, facts = _executed(counts), _executed(totals).fillna(0).iloc[0]
    absent = {old: int(cells[f"missing_{at}"].sum()) for at, old in enumerate(dict.fromkeys(sums.values()))}
    cells = cells.drop(columns=list(missing)).assign(period=pd.to_datetime(cells["period"]))
    return (
        Counted(
            cells, int(facts["rows"]), int(facts["no_unit"]), int(facts["no_time"]), _missing_notes(absent)
        ),
        source,
    )


def _optional(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as cause:
        raise _absent(package) from cause


def _absent(package: str) -> DependencyError:
    return DependencyError(
        f"Counting tables and Parquet files where they are needs the package {package}, which is not "
        "installed. "
        "Install it with pip install 'qieval[big]', or read the file with qe.data.read and give the Extract."
    )


def _executed(expression: Any) -> pd.DataFrame:
    """The rows of an ibis expression. ibis imports some of what it needs only now."""
    try:
        return pd.DataFrame(expression.execute())
    except ModuleNotFoundError as cause:
        raise _absent(str(cause.name)) from cause


def _table(events: Any) -> tuple[Any, str]:
    """The ibis table to count, and its name. A path is opened with DuckDB."""
    ibis = _optional("ibis")
    if isinstance(events, ibis.Table):
        return events, f"table {events.get_name()}" if hasattr(events.op(), "name") else "an ibis expression"
    if not isinstance(events, (str, Path)):
        raise DataError(
            f"events: a frame, an Extract, an ibis table or the path of a Parquet file is needed, not "
            f"{type(events).__name__}."
        )
    path = Path(events)
    if path.suffix != ".parquet":
        raise DataError(
            f"events: '{path.name}' is not a Parquet file. Read it with qe.data.read and give the Extract."
        )
    if not path.is_file():
        beside = [item.name for item in path.parent.glob("*.parquet")]
        raise DataError(f"events: there is no file '{path.name}'.{nearest(path.name, beside)}")
    _optional("duckdb")
    return ibis.duckdb.connect().read_parquet(path), path.name


def _require(columns: list[str], unit: str, time: str, sums: dict[str, str]) -> None:
    wanted = [("unit", unit), ("time", time), *(("values", name) for name in sums.values())]
    problems = [
        f"{role}: the events have no column '{name}'.{nearest(name, columns)} They have "
        f"{listed(columns, 20)}."
        for role, name in wanted
        if name not in columns
    ]
    taken = [name for name in sums if name in (unit, "period", "events")]
    problems += [
        f"values: a sum cannot be called '{name}', which is another column. Rename it." for name in taken
    ]
    if problems:
        raise DataError(problems)


def _require_dates(time: str, dated: bool, kind: str) -> None:
    if not dated:
        raise DataError(
            f"time: '{time}' holds {kind}, but the date of each event is needed. Convert it, such as with "
            "pd.to_datetime."
        )


def _require_numbers(texts: list[str]) -> None:
    if texts:
        raise DataError([f"values: '{name}' is not numeric, so it cannot be summed." for name in texts])


def _missing_notes(missing: dict[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {plural(count, 'event')} without a value add nothing to its sum."
        for name, count in missing.items()
        if count
    )
