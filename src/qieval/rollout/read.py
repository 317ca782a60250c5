"""From a frame to a roll-out. All problems are collected and raised together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import covariates, numbers, positive
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rollout.left_out import flags, with_a_before, without_neighbours
from qieval.rollout.panel import Rollout
from qieval.rollout.refusals import comparable
from qieval.rollout.starts import Clock, clock_of, fixed_in_units, starts_from_treatment, starts_stated
from qieval.rollout_design import RolloutDesign
from qieval.rows import (
    POSITION,
    complete_rows,
    in_window,
    loss,
    loss_notes,
    periods_in,
    require_columns,
)
from qieval.text import plural


def read(design: RolloutDesign, frame: pd.DataFrame) -> Rollout:
    """Parse a frame for a roll-out. DataError lists everything that does not fit, each problem with its
    column.

    Units without a time before their start are left out and counted; starts after the last period count as
    never. Missing values are refused or their rows left out and counted, as the design says.
    """
    return _parse(design, frame, blind=False)


def blind(design: RolloutDesign, frame: pd.DataFrame) -> Rollout:
    """The same without reading any outcome from the earliest start on (less the anticipation).

    y is NaN there, whatever the frame holds; those cells are never touched.
    """
    parsed = _parse(design, frame, blind=True)
    y = np.full(len(parsed), np.nan)
    before = parsed.times[parsed.time] < parsed.starts.min(initial=np.inf) - design.anticipation
    issues: list[str] = []
    seen = frame[design.outcome].iloc[parsed.row[before]]
    y[before] = numbers(seen.infer_objects(), "outcome", design.outcome, issues)
    if issues:
        raise DataError(issues)
    return replace(parsed, y=y)


def _parse(design: RolloutDesign, frame: pd.DataFrame, *, blind: bool) -> Rollout:
    require_columns(design, frame)
    issues: list[str] = []
    notes: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows = complete_rows(design, frame, blind, issues, losses)
    periods = periods_in(design, rows, issues)
    if periods is None:
        raise DataError(issues or ["data: no row is left to read. Look at the missing values."])
    rows, periods = in_window(design, rows, periods, issues, losses)
    rows, periods = without_neighbours(design, rows, periods, issues, losses)
    if issues:
        raise DataError(issues)
    made = _arranged(design, rows, periods, blind, issues, notes)
    if issues:
        raise DataError(issues)
    made = with_a_before(design, made, rows, losses, notes)
    issues += comparable(design, made, notes)
    if issues:
        raise DataError(issues)
    return replace(made, losses=pd.DataFrame(losses), notes=(*notes, *loss_notes(losses)))


def _arranged(
    design: RolloutDesign,
    rows: pd.DataFrame,
    periods: Periods,
    blind: bool,
    issues: list[str],
    notes: list[str],
) -> Rollout:
    """The rows sorted by unit and period, as arrays."""
    unit, units = _codes(rows[design.unit])
    key = unit * np.int64(len(periods.labels)) + periods.code
    code = periods.code
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        rows, unit, code, key = rows.iloc[order], unit[order], code[order], key[order]
    if design.data == "panel":
        issues += _repeated(design, key)
    clock = clock_of(design, periods, notes)
    if clock.gaps:
        notes.append(
            f"time: {plural(clock.gaps, 'period')} between the first and the last have no rows at all."
        )
    began, row_began = _starts(design, rows, clock, (unit, code), issues, notes)
    return Rollout(
        units=units,
        periods=replace(periods, code=code),
        times=clock.times,
        names=clock.names,
        unit=unit,
        time=code,
        began=began,
        row_began=row_began,
        losses=pd.DataFrame(),
        notes=(),
        row=rows[POSITION].to_numpy(),
        **_columns(design, rows, unit, blind, issues),
    )


def _codes(column: pd.Series[Any]) -> tuple[np.ndarray, pd.Index[Any]]:
    """Codes in sorted order and the labels; quick where whole numbers are sorted already."""
    held = column.to_numpy()
    if held.dtype.kind in "iu" and len(held) and (held[1:] >= held[:-1]).all():
        new = np.empty(len(held), dtype=bool)
        new[0], new[1:] = True, held[1:] != held[:-1]
        return np.cumsum(new) - 1, pd.Index(held[new])
    code, labels = pd.factorize(column, sort=True)
    return np.asarray(code), pd.Index(labels)


def _repeated(design: RolloutDesign, key: np.ndarray) -> list[str]:
    same = int((key[1:] == key[:-1]).sum())
    if not same:
        return []
    return [
        f"unit, time: {plural(same, 'row')} repeat an earlier pair of '{design.unit}' and '{design.time}'."
        " Each"
        " unit needs one row per period: aggregate first (qe.data.panel), or choose data='repeated"
        " cross-sections' if other people are sampled in each period."
    ]


def _starts(
    design: RolloutDesign,
    rows: pd.DataFrame,
    clock: Clock,
    codes: tuple[np.ndarray, np.ndarray],
    issues: list[str],
    notes: list[str],
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """When each unit begins, or each row in repeated cross-sections, on the scale of the clock; codes: of the
    unit and of the period of each row."""
    unit, row_code = codes
    times = clock.times
    n_units = int(unit[-1]) + 1 if len(unit) else 0
    if design.treatment is not None:
        held = numbers(rows[design.treatment], "treatment", design.treatment, issues)
        code = starts_from_treatment(held, unit, row_code, n_units, design.treatment, issues)
        never = np.isinf(code)
        return np.where(never, np.inf, times[np.where(never, 0, code).astype(int)]), None
    assert design.first_treated is not None
    column = rows[design.first_treated]
    quick = design.data == "panel" and column.dtype.kind in "iuf" and _same_in_units(column.to_numpy(), unit)
    if quick:
        column = column.iloc[np.searchsorted(unit, np.arange(n_units))]
    stated, inside = starts_stated(column, clock, design.first_treated, issues)
    stated = np.where(stated > times[-1] + design.anticipation, np.inf, stated)
    if clock.calendar.kind == "number" and clock.calendar.labels[0] <= 0 and (column == 0).any():
        notes.append(
            f"first_treated: 0 is one of the periods of '{design.time}', so units with 0 begin in it. If 0"
            " stands for never, leave it empty."
        )
    if inside.any():
        notes.append(
            f"first_treated: some starts lie inside a period of '{design.time}'. That period counts as the"
            " first"
            " with the intervention, although it had it only in part, so that the periods before it are"
            " untouched."
        )
    if design.data != "panel":
        return None, stated
    began, changing = (stated, 0) if quick else fixed_in_units(stated, unit, n_units)
    if changing:
        issues.append(
            f"first_treated: '{design.first_treated}' changes over time within {plural(changing, 'unit')}. It"
            " must hold the unit's first period with the intervention in all its rows. If it is a 0/1 column"
            " of when the intervention was there, name it as `treatment` instead; if units begin twice,"
            " decide"
            " which start counts."
        )
    return began, None


def _same_in_units(held: np.ndarray, unit: np.ndarray) -> bool:
    """Whether neighbouring rows of a unit hold the same number, or none; rows sorted by unit."""
    now, before = held[1:], held[:-1]
    return bool(((now == before) | (unit[1:] != unit[:-1]) | ((now != now) & (before != before))).all())


def _columns(
    design: RolloutDesign, rows: pd.DataFrame, unit: np.ndarray, blind: bool, issues: list[str]
) -> dict[str, Any]:
    x, x_names = covariates(rows, design.covariates, "covariates", issues)
    cluster, n_clusters = unit, int(unit[-1]) + 1 if len(unit) else 0
    if design.cluster is not None and design.cluster != design.unit:
        cluster, labels = pd.factorize(rows[design.cluster], sort=True)
        n_clusters = len(labels)
    second = pd.factorize(rows[design.second_cluster], sort=True)[0] if design.second_cluster else None
    return {
        "y": None if blind else numbers(rows[design.outcome], "outcome", design.outcome, issues),
        "x": x,
        "x_names": x_names,
        "weights": _above_zero(design, rows, "weights", "a weight says how much a row counts", issues),
        "exposure": _above_zero(design, rows, "exposure", "nothing can happen in no exposure", issues),
        "eligible": _eligible(design, rows, issues),
        "cluster": cluster,
        "n_clusters": n_clusters,
        "second": second,
    }


def _above_zero(
    design: RolloutDesign, rows: pd.DataFrame, role: str, why: str, issues: list[str]
) -> np.ndarray | None:
    name = getattr(design, role)
    if name is None:
        return None
    known = len(issues)
    held = numbers(rows[name], role, name, issues)
    return held if len(issues) > known else positive(held, role, name, why, issues)


def _eligible(design: RolloutDesign, rows: pd.DataFrame, issues: list[str]) -> np.ndarray | None:
    return None if design.eligible is None else flags(rows, "eligible", design.eligible, issues)
