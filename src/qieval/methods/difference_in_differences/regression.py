"""The two-way regression behind the average effect: unit (or group) and period effects, covariates."""

from __future__ import annotations

import numpy as np

from qieval.errors import DataError, EstimationError
from qieval.methods.difference_in_differences.design import DifferenceInDifferences
from qieval.numerics.absorb import Fit, TwoWay, fit_static, two_way, within
from qieval.shapes import Panel
from qieval.text import Count, Counted, plural


def groups(design: DifferenceInDifferences, panel: Panel) -> np.ndarray:
    """The factor whose effects are removed: units, or the two groups when people are sampled anew."""
    return panel.treated.astype(np.intp) if design.data == "repeated cross-sections" else panel.unit


def covariates(design: DifferenceInDifferences, panel: Panel) -> np.ndarray | None:
    """Covariates (n, k): as they are, and each baseline covariate once per period but the first."""
    columns = [panel.x]
    for j, name in enumerate(panel.baseline_names):
        if not design.repeats:
            _require_fixed(panel, j, name)
        columns += [
            np.where(panel.time == t, panel.baseline[:, j], 0.0)[:, None] for t in range(1, panel.n_periods)
        ]
    stacked = np.hstack(columns) if len(columns) > 1 else columns[0]
    return stacked if stacked.shape[1] else None


def _require_fixed(panel: Panel, j: int, name: str) -> None:
    column = panel.baseline[:, j]
    first = np.zeros(len(panel.units))
    first[panel.unit[::-1]] = column[::-1]
    changing = np.unique(panel.unit[first[panel.unit] != column]).size
    if changing:
        raise DataError(
            f"baseline_covariates: '{name}' changes over time in {plural(changing, 'unit')}, but a baseline"
            " covariate is fixed before the start. Use its value before the start, or list it under"
            " covariates."
        )


def without_anticipation(design: DifferenceInDifferences, panel: Panel, notes: list[str]) -> Panel:
    """The rows that count as before or after."""
    anticipated = (panel.time < panel.start) & (panel.time >= panel.start - design.anticipation)
    if not anticipated.any():
        return panel
    notes.append(
        f"anticipation: the {plural(design.anticipation, 'period')} before the start count neither as before"
        " nor as after."
    )
    return panel.where(~anticipated)


def fit_average(design: DifferenceInDifferences, rows: Panel, notes: list[str]) -> Fit:
    """The regression for the average effect."""
    effects = two_way(groups(design, rows), rows.time, rows.weights)
    fit = fit_static(
        within(effects, rows.outcome, covariates(design, rows)), (rows.treated & rows.after).astype(float)
    )
    _require_identified(fit, effects)
    if effects.n_singletons:
        said = (
            "{rows} rows that are alone in their unit or period say nothing about change and were not used."
        )
        notes.append(Counted(said, rows=Count(effects.n_singletons)))
    constant = [name for name, gone in zip(rows.x_names, fit.base.dropped, strict=False) if gone]
    notes += [
        f"covariates: '{name}' does not change within units (or repeats other covariates), so the unit"
        " effects already adjust for it and it was left out. To let its association with the outcome change,"
        " use baseline_covariates."
        for name in constant
    ]
    return fit


def _require_identified(fit: Fit, effects: TwoWay) -> None:
    if fit.collinear[0]:
        raise EstimationError(
            "treated, start: being treated after the start cannot be told apart from the unit effects, the"
            " period effects and the covariates, so there is no estimate. Look for a covariate that equals"
            " it, or for units seen only before or only after the start."
        )
    if effects.n <= effects.n_units + effects.n_times + fit.n_slopes - 1:
        raise EstimationError(
            f"data: {plural(effects.n, 'row')} cannot carry {plural(effects.n_units, 'unit')},"
            f" {plural(effects.n_times, 'period')} and {plural(fit.n_slopes, 'coefficient')}; nothing is left"
            " to judge uncertainty by. Add units or use fewer covariates."
        )
