"""The same people before and after as arrays; values after the start stay closed until asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import numbers, positive
from qieval.errors import DataError
from qieval.periods import read_periods
from qieval.rows import complete_rows, loss, loss_notes, require_columns, sentence
from qieval.text import plural

FEWEST = 2
"""With fewer people nothing is known about how much changes differ."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Paired:
    """One value before and one after for each of n people, in the order of their names.

    Rates where there is person-time: before and after are then events, with time_before and time_after.
    after, time_after: None when blind. earlier (n, k): the k single periods before, as rates where there is
    person-time (NaN where empty); one column where there is one value before. picked (n,): the measurement
    that people were picked by. cluster: codes, or None. labels: the periods before and after, in words.
    """

    before: np.ndarray
    after: np.ndarray | None
    time_before: np.ndarray | None
    time_after: np.ndarray | None
    earlier: np.ndarray
    picked: np.ndarray
    cluster: np.ndarray | None
    n_clusters: int
    losses: pd.DataFrame
    notes: tuple[str, ...]
    labels: tuple[str, str]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def rate_before(self) -> np.ndarray:
        """The value before (n,), per person-time where that is known."""
        return self.before if self.time_before is None else self.before / self.time_before

    @property
    def rate_after(self) -> np.ndarray:
        """The value after (n,), per person-time where that is known."""
        if self.after is None:
            raise RuntimeError("the values after of blind data were asked for")
        return self.after if self.time_after is None else self.after / self.time_after

    @property
    def kind(self) -> str:
        """Whether the outcome is a mean, a risk (0 and 1) or a rate."""
        if self.time_before is not None:
            return "rate"
        both = self.before if self.after is None else np.concatenate([self.before, self.after])
        return "risk" if np.isin(both, (0.0, 1.0)).all() else "mean"


def read_paired(design: Any, frame: pd.DataFrame, *, blind: bool = False) -> Paired:
    """Parse a frame for a before-and-after design. DataError lists everything that does not fit.

    blind: no value after the start is read, not even to see whether it is empty.
    """
    require_columns(design, frame)
    issues: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, _RowsOnly)]
    rows = complete_rows(design, frame, blind or not design.wide, issues, losses, counted=_RowsOnly)
    if issues:
        raise DataError(issues)
    made = _wide(design, rows, blind, issues) if design.wide else _long(design, rows, blind, issues, losses)
    if issues:
        raise DataError(issues)
    n = len(made["before"])
    if n < FEWEST:
        raise DataError(
            f"data: {plural(n, 'person', 'people')} {'has' if n == 1 else 'have'} a value on both sides,"
            " and how much changes"
            " differ cannot be told from that. Check the start, the unit and the filters."
        )
    codes, n_clusters = None, 0
    if design.cluster is not None:
        code, labels = pd.factorize(made.pop("clusters"), sort=True)
        codes, n_clusters = np.asarray(code), len(labels)
    return Paired(
        **made,
        cluster=codes,
        n_clusters=n_clusters,
        losses=pd.DataFrame(losses),
        notes=tuple(loss_notes(losses)),
    )


class _RowsOnly:
    """Stands for a design whose rows alone are counted."""


def _wide(design: Any, rows: pd.DataFrame, blind: bool, issues: list[str]) -> dict[str, Any]:
    before = numbers(rows[design.before], "before", design.before, issues)
    made: dict[str, Any] = {
        "before": before,
        "after": None if blind else numbers(rows[design.outcome], "outcome", design.outcome, issues),
        "time_before": None,
        "time_after": None,
        "labels": (design.before, design.outcome),
    }
    if design.person_time_before is not None:
        made["time_before"] = _time(rows, "person_time_before", design.person_time_before, issues)
        made["time_after"] = None if blind else _time(rows, "person_time", design.person_time, issues)
    rate = before if made["time_before"] is None else before / made["time_before"]
    made["earlier"] = rate[:, None]
    made["picked"] = _picked(design, rows, rate, issues)
    if design.cluster is not None:
        made["clusters"] = rows[design.cluster]
    if design.unit is not None and (repeated := int(rows.duplicated(design.unit).sum())):
        issues.append(
            f"unit: {plural(repeated, 'row')} repeat an earlier '{design.unit}'; each person needs one row."
        )
    return made


def _time(rows: pd.DataFrame, role: str, name: str, issues: list[str]) -> np.ndarray:
    held = numbers(rows[name], role, name, issues)
    return positive(held, role, name, "nobody can have an event in no time", issues)


def _picked(design: Any, rows: pd.DataFrame, rate: np.ndarray, issues: list[str]) -> np.ndarray:
    if design.selected_on is None:
        return rate
    return numbers(rows[design.selected_on], "selected_on", design.selected_on, issues)


def _long(
    design: Any, rows: pd.DataFrame, blind: bool, issues: list[str], losses: list[dict[str, Any]]
) -> dict[str, Any]:
    code, shown, first = _periods(design, rows)
    unit, names = pd.factorize(rows[design.unit], sort=True)
    if repeated := int(pd.DataFrame({"unit": unit, "time": code}).duplicated().sum()):
        raise DataError(
            f"unit, time: {plural(repeated, 'row')} repeat an earlier pair of '{design.unit}' and"
            f" '{design.time}'. Each unit needs one row per period: aggregate first (qe.data.panel)."
        )
    early = code < first
    y, time = _values(design, rows, early if blind else np.ones(len(rows), dtype=bool), issues, losses)
    known = np.isfinite(y)
    there = known if not blind else known | ~early
    seen = (np.bincount(unit[early & there], minlength=len(names)) > 0) & (
        np.bincount(unit[~early & there], minlength=len(names)) > 0
    )
    if not seen.all():
        losses.append(loss("both sides", "units without a value on both sides", rows[seen[unit]], _RowsOnly))
    before, time_before = _totals(unit, y, time, early & known, seen)
    earlier = np.full((len(names), first), np.nan)
    earlier[unit[early & known], code[early & known]] = (y / time)[early & known]
    _require_constant(design, rows[early & known], issues)
    base = rows.iloc[_last(unit, early & known, len(names))[seen]]
    rates = design.person_time is not None
    made: dict[str, Any] = {
        "before": before if rates else before / time_before,
        "after": None,
        "time_before": time_before if rates else None,
        "time_after": None,
        "earlier": earlier[seen],
        "picked": _picked(design, base, before / time_before, issues),
        "labels": (_span(shown[:first]), _span(shown[first:])),
    }
    if not blind:
        after, time_after = _totals(unit, y, time, ~early & known, seen)
        made["after"] = after if rates else after / time_after
        made["time_after"] = time_after if rates else None
    if design.cluster is not None:
        made["clusters"] = base[design.cluster]
    return made


def _periods(design: Any, rows: pd.DataFrame) -> tuple[np.ndarray, list[str], int]:
    """The code of each row's period, the periods in words, and how many lie before the start."""
    try:
        periods = read_periods(rows[design.time])
        first = periods.first_at_or_after(design.start)
    except ValueError as cause:
        raise DataError(f"time, start: '{design.time}' cannot be used: {sentence(cause)}") from None
    shown = periods.shown()
    if not 0 < first < len(shown):
        raise DataError(
            f"start: {design.start} leaves no period {'before' if first == 0 else 'after'} it"
            f" ('{design.time}' runs from {shown[0]} to {shown[-1]}). Both sides are needed."
        )
    return periods.code, shown, first


def _values(
    design: Any, rows: pd.DataFrame, readable: np.ndarray, issues: list[str], losses: list[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Outcome and person-time of the readable rows (n,); NaN elsewhere and where left out."""
    names = design.outcome_columns()
    held = rows.loc[readable, list(names)]
    empty = {name: int(count) for name, count in held.isna().sum().items() if count}
    y, time = np.full(len(rows), np.nan), np.ones(len(rows))
    if empty and design.missing == "refuse":
        issues += [
            f"outcome: '{name}' is empty in {plural(count, 'row')}, and whoever is lost may differ from the"
            " others. Fill them in, or set missing='complete cases' to leave these rows out and have them"
            " counted."
            for name, count in empty.items()
        ]
        raise DataError(issues)
    full = held.notna().all(axis=1).to_numpy()
    known = readable.copy()
    known[readable] = full
    if empty:
        losses.append(
            loss("complete cases", "missing values of the outcome", rows[known | ~readable], _RowsOnly)
        )
    y[known] = numbers(rows.loc[known, design.outcome].infer_objects(), "outcome", design.outcome, issues)
    if design.person_time is not None:
        time[known] = _time(rows[known].infer_objects(), "person_time", design.person_time, issues)
    if issues:
        raise DataError(issues)
    return y, time


def _totals(
    unit: np.ndarray, y: np.ndarray, time: np.ndarray, rows: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of outcome and of time of the units that are seen on both sides."""
    size = len(seen)
    return (
        np.bincount(unit[rows], y[rows], size)[seen],
        np.bincount(unit[rows], time[rows], size)[seen],
    )


def _last(unit: np.ndarray, rows: np.ndarray, units: int) -> np.ndarray:
    """The position of a row of each unit among the given rows (-1: none)."""
    found = np.full(units, -1)
    at = np.flatnonzero(rows)
    found[unit[at]] = at
    return found


def _require_constant(design: Any, rows: pd.DataFrame, issues: list[str]) -> None:
    """The problem that what should say one thing about a unit says several."""
    for role in ("cluster", "selected_on"):
        name = getattr(design, role)
        if name is None:
            continue
        mixed = int((rows.groupby(design.unit, observed=True)[name].nunique() > 1).sum())
        if mixed:
            issues.append(
                f"{role}: '{name}' differs between the rows before the start of {plural(mixed, 'unit')}, so"
                " it is unclear which value holds. Give each unit one value."
            )


def _span(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
