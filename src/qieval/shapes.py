"""Data parsed once into arrays and trusted afterwards. All problems are collected and raised together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from qieval.design import PanelDesign
from qieval.errors import DataError, nearest
from qieval.periods import Periods, read_periods
from qieval.text import Count, Counted, listed, plural

MOST_CATEGORIES = 50
"""More levels than this in a covariate made of text are almost always an identifier."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """Rows of a unit-by-period data set, sorted by unit and period, as arrays of length n.

    unit, time: codes into `units` and `periods.labels`. treated, after: bool. y is None where outcomes may
    not be seen (see `blind`). x (n, k) with `x_names`; baseline (n, b) with `baseline_names`. cluster:
    codes of `n_clusters` clusters. start: code of the first period with the intervention. losses: rows left
    out, by reason. row: the position of each row in the frame it came from.
    """

    units: pd.Index[Any]
    periods: Periods
    unit: np.ndarray
    time: np.ndarray
    treated: np.ndarray
    start: int
    x: np.ndarray
    x_names: tuple[str, ...]
    baseline: np.ndarray
    baseline_names: tuple[str, ...]
    cluster: np.ndarray
    n_clusters: int
    weights: np.ndarray | None
    y: np.ndarray | None
    losses: pd.DataFrame
    notes: tuple[str, ...]
    row: np.ndarray

    @property
    def after(self) -> np.ndarray:
        """Which rows lie at or after the start (n,)."""
        return self.time >= self.start

    @property
    def outcome(self) -> np.ndarray:
        """The outcome (n,), where it may be seen."""
        if self.y is None:
            raise RuntimeError("the outcome of a blind panel was asked for")
        return self.y

    @property
    def n_periods(self) -> int:
        """The number of periods T."""
        return len(self.periods.labels)

    def unit_treated(self) -> np.ndarray:
        """Which units are treated (units,)."""
        found = np.zeros(len(self.units), dtype=bool)
        found[self.unit] = self.treated
        return found

    def where(self, keep: np.ndarray) -> Panel:
        """The rows at which `keep` (n,) is true; codes of units and clusters stay as they are."""
        cut: dict[str, Any] = {
            name: getattr(self, name)[keep]
            for name in ("unit", "time", "treated", "x", "baseline", "cluster", "row")
        }
        cut["weights"] = None if self.weights is None else self.weights[keep]
        cut["y"] = None if self.y is None else self.y[keep]
        cut["periods"] = replace(self.periods, code=self.periods.code[keep])
        return replace(self, **cut)


def panel(design: PanelDesign, frame: pd.DataFrame, *, repeats: bool = False) -> Panel:
    """Parse a frame for a panel design. DataError lists everything that does not fit, each problem with its
    column.

    `repeats` allows several rows of a unit in a period (repeated cross-sections) and treatment that differs
    inside a unit. Missing values are refused or their rows left out and counted, as the design says.
    """
    return _parse(design, frame, repeats=repeats, blind=False)


def blind(design: PanelDesign, frame: pd.DataFrame, *, repeats: bool = False, anticipation: int = 0) -> Panel:
    """Parse a frame without reading any outcome at or after the start (less `anticipation` periods).

    The result's `y` is NaN there, whatever the frame holds; those cells are never touched.
    """
    parsed = _parse(design, frame, repeats=repeats, blind=True)
    y = np.full(len(parsed.unit), np.nan)
    before = parsed.time < parsed.start - anticipation
    seen = frame[design.outcome].iloc[parsed.row[before]]
    issues: list[str] = []
    y[before] = _numbers(seen.infer_objects(), "outcome", design.outcome, issues)
    if issues:
        raise DataError(issues)
    return replace(parsed, y=y)


def _parse(design: PanelDesign, frame: pd.DataFrame, *, repeats: bool, blind: bool) -> Panel:
    _require_columns(design, frame)
    issues: list[str] = []
    notes: list[str] = []
    losses: list[dict[str, Any]] = [_loss("read", "rows in the data", frame, design)]
    rows = _complete(design, frame, blind, issues, losses)
    rows = _chosen_groups(design, rows, issues, losses)
    periods = _periods(design, rows, issues)
    if periods is None:
        raise DataError(issues)
    rows, periods = _window(design, rows, periods, issues, losses)
    ordered = _ordered(design, rows, periods)
    arrays = _arrays(design, ordered.rows, blind, issues, notes)
    arrays["treated"] = _treated(design, ordered, issues, repeats)
    if not repeats:
        issues += _repeated(design, ordered)
    start = _start(design, periods, issues, notes)
    issues += _one_period_only(design, ordered, repeats)
    issues += _events(design, periods)
    if issues:
        raise DataError(issues)
    if missing := periods.gaps():
        notes.append(f"time: {plural(missing, 'period')} between the first and the last have no rows at all.")
    time_sorted = replace(periods, code=ordered.time)
    return Panel(
        units=ordered.units,
        periods=time_sorted,
        unit=ordered.unit,
        time=ordered.time,
        start=start,
        losses=pd.DataFrame(losses),
        notes=tuple(notes) + tuple(_loss_notes(losses)),
        row=ordered.position,
        **arrays,
    )


@dataclass(frozen=True, eq=False)
class _Ordered:
    rows: pd.DataFrame
    position: np.ndarray
    units: pd.Index[Any]
    unit: np.ndarray
    time: np.ndarray


def _require_columns(design: PanelDesign, frame: pd.DataFrame) -> None:
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


def _loss(step: str, reason: str, rows: pd.DataFrame, design: PanelDesign) -> dict[str, Any]:
    units = rows[design.unit].nunique() if step == "read" or len(rows) else 0
    counted = Count if design.units_are == "people" else int
    return {"step": step, "reason": reason, "rows": Count(len(rows)), "units": counted(units)}


def _loss_notes(losses: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    for before, now in pairwise(losses):
        if lost := before["rows"] - now["rows"]:
            gone = before["units"] - now["units"]
            text = "{rows} rows were left out: " + now["reason"].replace("{", "(").replace("}", ")")
            if isinstance(now["units"], Count):
                text += "; {units} units were lost entirely."
                found.append(Counted(text, rows=Count(lost), units=Count(gone)))
            else:
                text += f"; {plural(gone, 'organisation')} lost entirely."
                found.append(Counted(text, rows=Count(lost)))
    return found


def _complete(
    design: PanelDesign, frame: pd.DataFrame, blind: bool, issues: list[str], losses: list[dict[str, Any]]
) -> pd.DataFrame:
    """The rows without missing values in the used columns (outcomes are not looked at when blind)."""
    used = [name for name in design.used_columns() if not (blind and name == design.outcome)]
    frame = frame[list(design.used_columns())].assign(**{_POSITION: np.arange(len(frame))})
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
    losses.append(_loss("complete cases", f"missing values in {said}", kept, design))
    if kept.empty:
        issues.append(
            f"data: no row is complete in all used columns; missing values in {said}. Use fewer columns."
        )
    return kept


_POSITION = "__qieval_position__"


def _role(design: PanelDesign, name: str) -> str:
    for role, spec in design._declared():
        held = getattr(design, role)
        if (spec.role == "column" and held == name) or (spec.role == "columns" and name in held):
            return role
    return "data"


def _chosen_groups(
    design: PanelDesign, rows: pd.DataFrame, issues: list[str], losses: list[dict[str, Any]]
) -> pd.DataFrame:
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
    losses.append(_loss("comparison groups", reason, kept, design))
    return kept


def _periods(design: PanelDesign, rows: pd.DataFrame, issues: list[str]) -> Periods | None:
    if rows.empty:
        return None
    try:
        return read_periods(rows[design.time])
    except ValueError as cause:
        issues.append(f"time: '{design.time}' cannot be used as time: {_sentence(cause)}")
        return None


def _window(
    design: PanelDesign, rows: pd.DataFrame, periods: Periods, issues: list[str], losses: list[dict[str, Any]]
) -> tuple[pd.DataFrame, Periods]:
    if design.first_period is None and design.last_period is None:
        return rows, periods
    first, last = 0, len(periods.labels) - 1
    try:
        first = first if design.first_period is None else periods.first_at_or_after(design.first_period)
        last = last if design.last_period is None else periods.last_at_or_before(design.last_period)
    except ValueError as cause:
        issues.append(f"first_period, last_period: {_sentence(cause)}")
        return rows, periods
    inside = (periods.code >= first) & (periods.code <= last)
    if not inside.any():
        issues.append("first_period, last_period: no row lies between them. Widen the window.")
        return rows, periods
    kept = rows[inside]
    if not inside.all():
        losses.append(
            _loss(
                "window", f"periods outside {periods.labels[first]} to {periods.labels[last]}", kept, design
            )
        )
    return kept, Periods(periods.labels[first : last + 1], periods.code[inside] - first, periods.kind)


def _ordered(design: PanelDesign, rows: pd.DataFrame, periods: Periods) -> _Ordered:
    unit, units = pd.factorize(rows[design.unit], sort=True)
    key = unit * np.int64(len(periods.labels)) + periods.code
    position = rows[_POSITION].to_numpy()
    if (np.diff(key) < 0).any():
        order = np.argsort(key, kind="stable")
        rows, unit, position = rows.iloc[order], unit[order], position[order]
        return _Ordered(rows, position, pd.Index(units), unit, periods.code[order])
    return _Ordered(rows, position, pd.Index(units), unit, periods.code)


def _repeated(design: PanelDesign, ordered: _Ordered) -> list[str]:
    same = (np.diff(ordered.unit) == 0) & (np.diff(ordered.time) == 0)
    if not same.any():
        return []
    return [
        f"unit, time: {plural(int(same.sum()), 'row')} repeat an earlier pair of '{design.unit}' and"
        f" '{design.time}'. Each unit needs one row per period: aggregate first (qe.data.panel), or choose"
        " data='repeated cross-sections' if other people are sampled in each period."
    ]


def _arrays(
    design: PanelDesign, rows: pd.DataFrame, blind: bool, issues: list[str], notes: list[str]
) -> dict[str, Any]:
    y = None if blind else _numbers(rows[design.outcome], "outcome", design.outcome, issues)
    x, x_names = _covariates(rows, design.covariates, "covariates", issues)
    baseline, baseline_names = _covariates(rows, design.baseline_covariates, "baseline_covariates", issues)
    cluster, labels = pd.factorize(rows[design.cluster or design.unit], sort=True)
    weights = None
    if design.weights is not None:
        weights = _numbers(rows[design.weights], "weights", design.weights, issues)
        if (weights <= 0).any():
            issues.append(
                f"weights: '{design.weights}' holds {plural(int((weights <= 0).sum()), 'value')} of zero or"
                " less; a weight says how much a row counts and must be positive. Leave those rows out."
            )
    return {
        "y": y,
        "x": x,
        "x_names": x_names,
        "baseline": baseline,
        "baseline_names": baseline_names,
        "cluster": cluster,
        "n_clusters": len(labels),
        "weights": weights,
    }


def _numbers(column: pd.Series[Any], role: str, name: str, issues: list[str]) -> np.ndarray:
    """A numeric column as floats; problems are added to `issues` and the array is then not meaningful."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        held = column.to_numpy(dtype=float, na_value=np.nan)
        if np.isinf(held).any():
            issues.append(
                f"{role}: '{name}' holds {plural(int(np.isinf(held).sum()), 'infinite value')}, often from a"
                " division by zero; no mean can be taken. Correct them or set them to missing."
            )
        return held
    read = pd.to_numeric(column, errors="coerce")
    bad = column[read.isna() & column.notna()]
    if bad.empty:
        issues.append(
            f"{role}: '{name}' holds numbers stored as text. Convert it first: pd.to_numeric(data['{name}'])."
        )
    else:
        issues.append(
            f"{role}: '{name}' must hold numbers but holds text in {plural(len(bad), 'row')} (suppressed"
            " values such as '*' are a common cause). Convert the column, and decide what the text means."
        )
    return np.zeros(len(column))


def _covariates(
    rows: pd.DataFrame, names: tuple[str, ...], role: str, issues: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns as floats; text and categories become one 0/1 column per level but the first."""
    columns: list[np.ndarray] = []
    made: list[str] = []
    for name in names:
        column = rows[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            columns.append(_numbers(column, role, name, issues))
            made.append(name)
            continue
        codes, levels = pd.factorize(column, sort=True)
        if len(levels) > MOST_CATEGORIES:
            issues.append(
                f"{role}: '{name}' is text with {len(levels):,} different values. That many groups cannot be"
                f" adjusted for one by one (at most {MOST_CATEGORIES}). Group them, or use the column as unit"
                " or cluster."
            )
            continue
        for code in range(1, len(levels)):
            columns.append((codes == code).astype(float))
            made.append(f"{name}: {levels[code]}")
    stacked = np.column_stack(columns) if columns else np.empty((len(rows), 0))
    return stacked, tuple(made)


def _treated(design: PanelDesign, ordered: _Ordered, issues: list[str], repeats: bool) -> np.ndarray:
    column = ordered.rows[design.treated]
    held = pd.to_numeric(column, errors="coerce")
    if held.isna().any() or not held.isin([0, 1]).all():
        found = column[~held.isin([0, 1])]
        shown = (
            listed(map(repr, found.unique()[:3].tolist()))
            if found.nunique() <= MOST_CATEGORIES
            else "many values"
        )
        issues.append(
            f"treated: '{design.treated}' must be 1 (ever receives the intervention) or 0, but holds other"
            f" values ({shown}) in {plural(len(found), 'row')}. Recode it to 0 and 1."
        )
        return np.zeros(len(column), dtype=bool)
    treated: np.ndarray = held.to_numpy(dtype=float) == 1
    if treated.all() or not treated.any():
        whose = "All units are" if treated.all() else "No unit is"
        issues.append(
            f"treated: {whose} treated ('{design.treated}'), so there is nobody to compare. "
            + (
                "Add comparison units that never receive the intervention."
                if treated.all()
                else "Check the coding."
            )
        )
    elif not repeats and (mixed := _mixed_units(ordered.unit, treated)):
        issues.append(
            f"treated: '{design.treated}' changes over time within {plural(mixed, 'unit')}. It must say who"
            " EVER receives the intervention (1 in all rows of such a unit, also before the start); `start`"
            " says from when. If units start at different times, evaluate one wave at a time."
        )
    return treated


def _mixed_units(unit: np.ndarray, treated: np.ndarray) -> int:
    rows = np.bincount(unit)
    ones = np.bincount(unit, weights=treated)
    return int(((ones > 0) & (ones < rows)).sum())


def _start(design: PanelDesign, periods: Periods, issues: list[str], notes: list[str]) -> int:
    """The code of the first period with the intervention; 0 when a problem was found."""
    try:
        start = periods.first_at_or_after(design.start)
        inside = periods.inside(design.start)
    except ValueError as cause:
        issues.append(f"start: {_sentence(cause)}")
        return 0
    first, last = periods.labels[0], periods.labels[-1]
    if len(periods.labels) == 1:
        issues.append(
            f"time: '{design.time}' holds a single period ({first}); a change needs a time before and a time"
            " after. Add earlier and later periods."
        )
    elif start == 0:
        issues.append(
            f"start: no period lies before {design.start} (the data begin at {first}), so the change cannot"
            " be seen. Add earlier periods or correct the start."
        )
    elif start >= len(periods.labels):
        issues.append(
            f"start: no period lies at or after {design.start} (the data end at {last}), so there is no"
            " effect to see yet. Add later periods or correct the start."
        )
    if inside is not None:
        notes.append(
            f"start: {design.start} lies inside the period {inside}, which counts as before the intervention."
        )
    return start


def _events(design: PanelDesign, periods: Periods) -> list[str]:
    found = []
    for moment in design.events:
        try:
            periods.last_at_or_before(moment)
        except ValueError as cause:
            found.append(f"events: {_sentence(cause)}")
    return found


def _one_period_only(design: PanelDesign, ordered: _Ordered, repeats: bool) -> list[str]:
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


def _sentence(cause: ValueError) -> str:
    said = str(cause)
    return said if said.endswith(".") else said + "."
