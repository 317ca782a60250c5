"""Which rows a design uses: columns that are there, complete rows, comparison groups, the window of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from qieval.design import Design, PanelDesign
from qieval.errors import DataError, nearest
from qieval.periods import Periods, read_periods
from qieval.rollout_design import RolloutDesign
from qieval.series_design import SeriesDesign
from qieval.text import Count, Counted, listed, plural

POSITION = "__qieval_position__"
Timed = PanelDesign | SeriesDesign | RolloutDesign
"""Designs with a time column."""


def require_columns(design: Design, frame: pd.DataFrame) -> None:
    """Raise DataError unless every named column is there, once, in a frame that has rows."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"data: a pandas DataFrame is needed, not {type(frame).__name__}. Read the file with"
            " qe.data.read."
        )
    lacking = []
    for role, spec in design._declared():
        held = getattr(design, role)
        names = held if spec.role == "columns" else (held,) if spec.role == "column" and held else ()
        lacking += [
            f"{role}: there is no column '{name}' in the data.{nearest(name, frame.columns)} "
            f"The columns are: {listed(frame.columns, 12)}."
            for name in names
            if name not in frame.columns
        ]
    if lacking:
        raise DataError(lacking)
    twice = [str(name) for name in dict.fromkeys(frame.columns[frame.columns.duplicated()])]
    if clash := [name for name in twice if name in design.used_columns()]:
        raise DataError(
            f"data: the column name '{clash[0]}' occurs twice, so it is unclear which is meant. Rename one."
        )
    if frame.empty:
        raise DataError(
            "data: the table has no rows, so there is nothing to estimate. Check the filter that made it."
        )


def loss(step: str, reason: str, rows: pd.DataFrame, design: Any) -> dict[str, Any]:
    """One row of the attrition table: what is left after a step; units only where rows are not the units."""
    if not hasattr(design, "unit"):
        return {"step": step, "reason": reason, "rows": Count(len(rows))}
    units = rows[design.unit].nunique() if step == "read" or len(rows) else 0
    counted = Count if design.units_are == "people" else int
    return {"step": step, "reason": reason, "rows": Count(len(rows)), "units": counted(units)}


def loss_notes(losses: list[dict[str, Any]]) -> list[str]:
    """A sentence for each step that lost rows."""
    found: list[str] = []
    for before, now in pairwise(losses):
        if lost := before["rows"] - now["rows"]:
            if "units" not in now:
                found.append(
                    Counted("{rows} rows were left out: " + _plain(now["reason"]) + ".", rows=Count(lost))
                )
                continue
            gone = before["units"] - now["units"]
            text = "{rows} rows were left out: " + _plain(now["reason"])
            if isinstance(now["units"], Count):
                text += "; {units} units were lost entirely."
                found.append(Counted(text, rows=Count(lost), units=Count(gone)))
            else:
                text += f"; {plural(gone, 'organisation')} lost entirely."
                found.append(Counted(text, rows=Count(lost)))
    return found


def _plain(reason: str) -> str:
    """Words without the braces of a template."""
    return reason.replace("{", "(").replace("}", ")")


def complete_rows(
    design: Design,
    frame: pd.DataFrame,
    blind: bool,
    issues: list[str],
    losses: list[dict[str, Any]],
    counted: Any = None,
) -> pd.DataFrame:
    """The rows without missing values in the used columns (outcomes are not looked at when blind).

    counted: what `loss` counts by, where that is not the design.
    """
    used = [name for name in design.required_columns() if not (blind and name in design.outcome_columns())]
    frame = _without_copying(frame, design.used_columns())
    empty = {str(name): int(count) for name, count in frame[used].isna().sum().items() if count}
    if not empty:
        return frame
    said = listed((f"'{name}' ({plural(count, 'row')})" for name, count in empty.items()), 8)
    if design.missing == "refuse":
        issues += [
            f"{_role(design, name)}: '{name}' is empty in {plural(count, 'row')}, and an estimate cannot use"
            " them. Fill them in, or set missing='complete cases' to leave these rows out and have them"
            " counted."
            for name, count in empty.items()
        ]
        return frame.dropna(subset=used)
    kept = frame.dropna(subset=used)
    losses.append(loss("complete cases", f"missing values in {said}", kept, counted or design))
    if kept.empty:
        issues.append(
            f"data: no row is complete in all used columns; missing values in {said}. Use fewer columns."
        )
    return kept


def _without_copying(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Some columns and the position of each row; the columns share the memory of the frame."""
    held: dict[str, Any] = {name: frame[name] for name in names}
    held[POSITION] = pd.Series(np.arange(len(frame)), index=frame.index)
    return pd.DataFrame(held, index=frame.index, copy=False)


def _role(design: Design, name: str) -> str:
    for role, spec in design._declared():
        held = getattr(design, role)
        if (spec.role == "column" and held == name) or (spec.role == "columns" and name in held):
            return role
    return "data"


def chosen_groups(
    design: PanelDesign, rows: pd.DataFrame, issues: list[str], losses: list[dict[str, Any]]
) -> pd.DataFrame:
    """The treated rows and those of the comparison groups that the design names."""
    if design.comparison is None or not design.comparison_groups:
        return rows
    group = rows[design.comparison]
    wanted = {str(item) for item in design.comparison_groups}
    known = set(group.astype(str).unique())
    for item in sorted(wanted - known):
        issues.append(
            f"comparison_groups: {item!r} does not occur in '{design.comparison}'.{nearest(item, known)} "
            f"It holds {listed(sorted(known))}."
        )
    is_treated = pd.to_numeric(rows[design.treated], errors="coerce") == 1
    kept = rows[is_treated | group.astype(str).isin(wanted)]
    reason = f"comparison units only from {design.comparison} = {listed(design.comparison_groups)}"
    losses.append(loss("comparison groups", reason, kept, design))
    return kept


def periods_in(design: Timed, rows: pd.DataFrame, issues: list[str]) -> Periods | None:
    """The periods of the time column; None, with the reason among the issues, when it cannot be read."""
    if rows.empty:
        return None
    try:
        return read_periods(rows[design.time])
    except ValueError as cause:
        issues.append(f"time: '{design.time}' cannot be used as time: {sentence(cause)}")
        return None


def in_window(
    design: Timed, rows: pd.DataFrame, periods: Periods, issues: list[str], losses: list[dict[str, Any]]
) -> tuple[pd.DataFrame, Periods]:
    """The rows between `first_period` and `last_period`, and their periods."""
    if design.first_period is None and design.last_period is None:
        return rows, periods
    first, last = 0, len(periods.labels) - 1
    try:
        first = first if design.first_period is None else periods.first_at_or_after(design.first_period)
        last = last if design.last_period is None else periods.last_at_or_before(design.last_period)
    except ValueError as cause:
        issues.append(f"first_period, last_period: {sentence(cause)}")
        return rows, periods
    inside = (periods.code >= first) & (periods.code <= last)
    if not inside.any():
        issues.append("first_period, last_period: no row lies between them. Widen the window.")
        return rows, periods
    kept = rows[inside]
    if not inside.all():
        losses.append(
            loss("window", f"periods outside {periods.labels[first]} to {periods.labels[last]}", kept, design)
        )
    return kept, Periods(periods.labels[first : last + 1], periods.code[inside] - first, periods.kind)


def sentence(cause: ValueError) -> str:
    """The text of an error, ended by a full stop."""
    said = str(cause)
    return said if said.endswith(".") else said + "."


@dataclass(frozen=True, eq=False)
class Ordered:
    """Rows sorted by unit and period: the rows, their positions in the frame, and codes of both."""

    rows: pd.DataFrame
    position: np.ndarray
    units: pd.Index[Any]
    unit: np.ndarray
    time: np.ndarray


def ordered_rows(design: PanelDesign, rows: pd.DataFrame, periods: Periods) -> Ordered:
    """The rows sorted by unit and period; rows that are sorted already are not copied."""
    unit, units = pd.factorize(rows[design.unit], sort=True)
    key = unit * np.int64(len(periods.labels)) + periods.code
    position = rows[POSITION].to_numpy()
    if (np.diff(key) < 0).any():
        order = np.argsort(key, kind="stable")
        rows, unit, position = rows.iloc[order], unit[order], position[order]
        return Ordered(rows, position, pd.Index(units), unit, periods.code[order])
    return Ordered(rows, position, pd.Index(units), unit, periods.code)


def repeated_rows(design: PanelDesign, ordered: Ordered) -> list[str]:
    """The problem of units with several rows in a period, in words."""
    same = (np.diff(ordered.unit) == 0) & (np.diff(ordered.time) == 0)
    if not same.any():
        return []
    return [
        f"unit, time: {plural(int(same.sum()), 'row')} repeat an earlier pair of '{design.unit}' and"
        f" '{design.time}'. Each unit needs one row per period: aggregate first (qe.data.panel), or choose"
        " data='repeated cross-sections' if other people are sampled in each period."
    ]


def one_period_only(design: PanelDesign, ordered: Ordered, repeats: bool) -> list[str]:
    """The problem that no unit is seen in more than one period, in words."""
    if (
        repeats
        or len(ordered.unit) == 0
        or np.bincount(ordered.unit).max() > 1
        or len(set(ordered.time)) == 1
    ):
        return []
    return [
        f"unit: no unit of '{design.unit}' is observed in more than one period, so no change can be seen. "
        "Check the unit and the time columns (exact dates must be grouped into months first), "
        "or choose data='repeated cross-sections'."
    ]
