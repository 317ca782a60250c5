"""From a frame to people around a cutoff: which scores, which side, who is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import numbers
from qieval.discontinuous.local import DAY, Discontinuous
from qieval.errors import DataError
from qieval.row_data import RowData, read_rows
from qieval.text import listed, number, plural

RIGHT_IS_TREATED = ("at or above", "at or below")
MIRRORED = ("at or below", "above")
"""Sides whose rule takes people at the cutoff itself to the left: the score is counted backwards."""


def read(design: Any, frame: pd.DataFrame, *, blind: bool = False) -> Discontinuous:
    """Parse a frame for a regression discontinuity. DataError lists everything that does not fit."""
    data = read_rows(design, frame, blind=blind)
    issues: list[str] = []
    score, dates = _amounts(data.rows[design.score], design.score, issues)
    received = None
    if design.received is not None:
        received = numbers(data.rows[design.received], "received", design.received, issues)
    cutoff = _cutoffs(design, data, dates, issues)
    if issues:
        raise DataError(issues)
    toward = -1 if design.treated_side in MIRRORED else 1
    s = toward * (score - cutoff)
    cutoffs, at = np.unique(cutoff, return_inverse=True)
    kept, notes = _kept(design, score, s, dates, issues)
    if issues:
        raise DataError(issues)
    made = Discontinuous(
        data=data,
        score=score,
        s=s,
        toward=toward,
        sign=1 if design.treated_side in RIGHT_IS_TREATED else -1,
        kink=bool(design.derivative),
        kept=kept,
        received=received,
        cutoffs=cutoffs,
        at=at,
        dates=dates,
        notes=(*data.notes, *notes),
    )
    issues += _both_sides(design, made)
    if issues:
        raise DataError(issues)
    return made


def _amounts(column: pd.Series[Any], name: str, issues: list[str]) -> tuple[np.ndarray, bool]:
    """A score as numbers (dates in days), and whether it is dates."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.start_time
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    if pd.api.types.is_datetime64_any_dtype(column):
        return (column - pd.Timestamp(0)).dt.total_seconds().to_numpy(dtype=float) / DAY, True
    if not pd.api.types.is_numeric_dtype(column):
        read = pd.to_datetime(column, format="ISO8601", errors="coerce")
        if (
            column.notna().any()
            and read.notna().all()
            and pd.to_numeric(column, errors="coerce").isna().all()
        ):
            return (read - pd.Timestamp(0)).dt.total_seconds().to_numpy(dtype=float) / DAY, True
        if pd.to_numeric(column, errors="coerce").isna().all():
            issues.append(
                f"score: '{name}' holds text. If these are dates, convert them, saying which number is the"
                " day:"
                f" pd.to_datetime(data['{name}'], dayfirst=True). A score must be a number or a date."
            )
            return np.zeros(len(column)), False
    return numbers(column, "score", name, issues), False


def _cutoffs(design: Any, data: RowData, dates: bool, issues: list[str]) -> Any:
    """The cutoff of every row (a single one as an array of one)."""
    if issues:
        return np.zeros(len(data))
    if design.cutoff_column is not None:
        if dates:
            issues.append(
                "score, cutoff_column: cutoffs of their own are for scores that are numbers, not dates."
            )
        return numbers(data.rows[design.cutoff_column], "cutoff_column", design.cutoff_column, issues)
    held = _placed(design.cutoff, dates)
    if held is None:
        issues.append(
            f"cutoff: the score '{design.score}' holds dates, but {design.cutoff!r} is no date. Write it as"
            " 2019-04-01."
            if dates
            else f"cutoff: {design.cutoff!r} is not a number, but the score '{design.score}' is. Give a"
            " number."
        )
    return np.full(len(data), held or 0.0)


def _placed(held: Any, dates: bool) -> float | None:
    """A stated score as the data count it; None where it is no number, or no date where scores are dates."""
    amount = isinstance(held, (int, float)) and not isinstance(held, bool)
    if not dates:
        return float(held) if amount else None
    moment = pd.to_datetime(str(held), format="ISO8601", errors="coerce")
    if amount or not isinstance(moment, pd.Timestamp):
        return None
    return float((moment - pd.Timestamp(0)).total_seconds() / DAY)


def _kept(
    design: Any, score: np.ndarray, s: np.ndarray, dates: bool, issues: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Rows outside the donut and not at a score that is left out."""
    inside = np.abs(s) < design.donut if design.donut else np.zeros(len(s), dtype=bool)
    stated = [_placed(item, dates) for item in design.leave_out]
    if None in stated:
        issues.append(
            f"leave_out: {listed(map(repr, design.leave_out))}"
            f" {'are no dates' if dates else 'are not numbers'},"
            f" as the score '{design.score}' is. Give scores as the column holds them."
        )
        return np.ones(len(s), dtype=bool), []
    named = np.isin(score, np.array(stated, dtype=float)) if stated else inside & False
    notes = []
    if design.donut:
        notes.append(
            f"donut: left out nearer to the cutoff than {design.donut:g}: {plural(int(inside.sum()), 'row')}."
        )
    if stated:
        notes.append(
            f"leave_out: left out at the scores {listed(design.leave_out)}:"
            f" {plural(int(named.sum()), 'row')}."
        )
    return ~(inside | named), notes


def _both_sides(design: Any, made: Discontinuous) -> list[str]:
    """The problem that one side of the cutoff is empty, in words."""
    right = made.s[made.kept] >= 0
    if right.any() and not right.all():
        return []
    if (made.s >= 0).any() and not (made.s >= 0).all():
        return [
            "donut, leave_out: nobody is left on one side of the cutoff, so there is nobody to compare."
            " Leave out fewer scores."
        ]
    low, high = np.nanmin(made.score), np.nanmax(made.score)
    asked = f"{made.cutoff}"
    if made.dates:
        low, high = (str(pd.Timestamp(value * DAY, unit="s").date()) for value in (low, high))
    else:
        low, high = number(float(low), 6), number(float(high), 6)
    return [
        f"cutoff: all people are on one side of {asked} ('{design.score}' runs from {low} to {high}), so"
        " there"
        " is nobody to compare. Check the cutoff, its units, and the filters that made these data."
    ]
