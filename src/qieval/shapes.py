"""Data parsed once into arrays and trusted afterwards. All problems are collected and raised together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import covariates, numbers, treated_rows
from qieval.design import PanelDesign
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import (
    chosen_groups,
    complete_rows,
    in_window,
    loss,
    loss_notes,
    one_period_only,
    ordered_rows,
    periods_in,
    repeated_rows,
    require_columns,
    sentence,
)
from qieval.text import plural


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
    y[before] = numbers(seen.infer_objects(), "outcome", design.outcome, issues)
    if issues:
        raise DataError(issues)
    return replace(parsed, y=y)


def _parse(design: PanelDesign, frame: pd.DataFrame, *, repeats: bool, blind: bool) -> Panel:
    require_columns(design, frame)
    issues: list[str] = []
    notes: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows = complete_rows(design, frame, blind, issues, losses)
    rows = chosen_groups(design, rows, issues, losses)
    periods = periods_in(design, rows, issues)
    if periods is None:
        raise DataError(issues)
    rows, periods = in_window(design, rows, periods, issues, losses)
    ordered = ordered_rows(design, rows, periods)
    arrays = _arrays(design, ordered.rows, blind, issues, notes)
    arrays["treated"] = treated_rows(design, ordered.rows[design.treated], ordered.unit, issues, repeats)
    if not repeats:
        issues += repeated_rows(design, ordered)
    start = _start(design, periods, issues, notes)
    issues += one_period_only(design, ordered, repeats)
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
        notes=tuple(notes) + tuple(loss_notes(losses)),
        row=ordered.position,
        **arrays,
    )


def _arrays(
    design: PanelDesign, rows: pd.DataFrame, blind: bool, issues: list[str], notes: list[str]
) -> dict[str, Any]:
    y = None if blind else numbers(rows[design.outcome], "outcome", design.outcome, issues)
    x, x_names = covariates(rows, design.covariates, "covariates", issues)
    baseline, baseline_names = covariates(rows, design.baseline_covariates, "baseline_covariates", issues)
    cluster, labels = pd.factorize(rows[design.cluster or design.unit], sort=True)
    weights = None
    if design.weights is not None:
        weights = numbers(rows[design.weights], "weights", design.weights, issues)
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


def _start(design: PanelDesign, periods: Periods, issues: list[str], notes: list[str]) -> int:
    """The code of the first period with the intervention; 0 when a problem was found."""
    try:
        start = periods.first_at_or_after(design.start)
        inside = periods.inside(design.start)
    except ValueError as cause:
        issues.append(f"start: {sentence(cause)}")
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
            found.append(f"events: {sentence(cause)}")
    return found
