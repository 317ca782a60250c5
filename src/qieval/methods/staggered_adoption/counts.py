"""Counts and rates: ratios by cohort and period, events prevented, and the single ratio of two-way
regression."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.regressions import no_cells
from qieval.methods.staggered_adoption.rows import (
    cell_weights,
    regressors,
    require,
    unit_clusters,
    used_rows,
    without_anticipation,
)
from qieval.numerics.covariance import t_interval
from qieval.numerics.poisson_cells import CellRules, PoissonCells, poisson_cells
from qieval.numerics.poisson_effects import (
    CellSmallSample,
    CountEffects,
    cell_covariance,
    cell_sets,
    count_effects,
)
from qieval.numerics.poisson_two_way import (
    CountRows,
    poisson_covariance,
    poisson_event,
    poisson_static,
    relative_codes,
)
from qieval.rollout.effects import Average, Effects
from qieval.rollout.panel import Rollout
from qieval.text import plural

By = {"group": "cohort", "dynamic": "event time", "calendar": "period"}


def count_rows(rollout: Rollout) -> CountRows:
    """The rows as Poisson regressions read them; without an exposure each row counts alike."""
    if (rollout.outcome < 0).any():
        raise DataError(
            "outcome: a count cannot be negative, but some rows are below 0. Check the column, or use an"
            " approach for continuous outcomes."
        )
    exposure = np.ones(len(rollout)) if rollout.exposure is None else rollout.exposure
    x = regressors(rollout)
    return CountRows(rollout.unit, rollout.time, rollout.outcome, exposure, x, rollout.weights)


def cells_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """A ratio of rates for each cohort and period from the start on (Wooldridge 2023)."""
    used = used_rows(design.unbalanced, rollout)
    rows, times = count_rows(used), used.times.astype(float)
    found = poisson_cells(rows, times, used.first, CellRules(anticipation=design.anticipation))
    require(found.problem)
    leads = poisson_cells(rows, times, used.first, CellRules(leads=True, anticipation=design.anticipation))
    clusters = unit_clusters(design, used, used.cluster)
    factor: CellSmallSample = "none" if design.small_sample == "none" else "clusters"

    def covariance(influence: np.ndarray) -> np.ndarray:
        return cell_covariance(found, influence, clusters, factor)

    cells = found.cells
    matrix = covariance(cells.influence)
    variance = np.diag(matrix)
    total = count_effects(found, cell_sets(cells, "overall")[1])
    weight = cell_weights(used, cells.cohort, cells.time, found.n_rows)
    return Effects(
        cohort=cells.cohort,
        time=cells.time,
        estimate=cells.estimate,
        std_error=np.sqrt(np.where(variance > 0, variance, np.nan)),
        n_treated=cells.n_treated,
        n_control=cells.n_control,
        reason=cells.reason,
        averages=_averages(found, leads, covariance, total, weight),
        df=np.inf,
        clusters=len(np.unique(clusters)),
        label="ratio of rates by cohort and period (Poisson)"
        if rollout.exposure is not None
        else "ratio of counts by cohort and period (Poisson)",
        reference=-1 - design.anticipation,
        ratio=True,
        notes=_without_events(found),
        cells=cells,
        overall=_absolute(design, total, covariance),
    )


def _averages(
    found: PoissonCells, leads: PoissonCells, covariance: Any, total: CountEffects, size: np.ndarray
) -> dict[str, Average]:
    """Log ratios by cohort, time since the start and period; 'simple' is observed over expected events of all
    treated rows, the others average the logarithms of their parts."""
    cells = found.cells
    made = {
        "simple": Average(
            at=np.empty(0),
            estimate=np.empty(0),
            covariance=np.empty((0, 0)),
            overall=float(total.log_ratio[0]),
            overall_error=_root(covariance(total.log_ratio_influence)[0, 0]),
        )
    }
    for kind, by in By.items():
        at, sets = cell_sets(cells, by)  # type: ignore[arg-type]
        parts = count_effects(found, sets)
        known = np.isfinite(parts.log_ratio)
        weight = _shares(size, kind, at, sets) * known
        weight = weight / weight.sum() if weight.sum() > 0 else weight
        influence = np.where(known, parts.log_ratio_influence, 0.0)
        made[kind] = Average(
            at=at,
            estimate=parts.log_ratio,
            covariance=covariance(influence),
            overall=float(weight @ np.where(known, parts.log_ratio, 0.0)) if known.any() else np.nan,
            overall_error=_root(covariance((influence @ weight)[:, None])[0, 0]),
        )
    made["dynamic"] = _with_leads(made["dynamic"], found, leads, covariance)
    return made


def _shares(size: np.ndarray, kind: str, at: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """How the parts are averaged: cohorts by the size of their cells, others plainly from the start on."""
    if kind == "group":
        return np.array([size[inside].mean() for inside in sets.T])
    return (at >= 0).astype(float) if kind == "dynamic" else np.ones(len(at))


def _with_leads(after: Average, found: PoissonCells, leads: PoissonCells, covariance: Any) -> Average:
    """Ratios by time since the start, with those before it from the model that has them too."""
    at, sets = cell_sets(leads.cells, "event time")
    before = at < 0
    early = count_effects(leads, sets[:, before])
    parts = count_effects(found, cell_sets(found.cells, "event time")[1])
    known = np.isfinite(early.log_ratio)
    first = np.where(known, early.log_ratio_influence, 0.0)
    late = np.where(np.isfinite(parts.log_ratio), parts.log_ratio_influence, 0.0)
    kept = ~np.isin(after.at, at[before])
    return replace(
        after,
        at=np.append(at[before], after.at[kept]),
        estimate=np.append(early.log_ratio, after.estimate[kept]),
        covariance=covariance(np.column_stack([first, late[:, kept]])),
    )


def _root(variance: float) -> float:
    return float(np.sqrt(variance)) if variance > 0 else float("nan")


def _absolute(design: StaggeredAdoption, total: CountEffects, covariance: Any) -> pd.DataFrame:
    """Events prevented and the difference of rates in the treated rows, by the delta method."""
    error = _root(covariance(total.prevented_influence)[0, 0])
    rows = [("events prevented", float(total.prevented[0]), error)]
    if design.exposure is not None:
        exposure = float(total.exposure[0])
        rows.append(("rate difference", float(total.rate_difference[0]), error / exposure))
    found = []
    for term, estimate, spread in rows:
        interval = t_interval(np.array([estimate]), np.array([spread]), np.inf, design.level)
        found.append(
            {
                "term": term,
                "at": np.nan,
                "estimate": estimate,
                "std_error": spread,
                "conf_low": float(interval.low[0]),
                "conf_high": float(interval.high[0]),
                "p_value": float(interval.p_value[0]),
            }
        )
    return pd.DataFrame(found)


def _without_events(found: PoissonCells) -> tuple[str, ...]:
    """What counts of zero do to ratios."""
    notes = []
    if found.n_zero_units:
        notes.append(f"{found.n_zero_units:,} units without a single event say nothing about ratios.")
    nothing = int((found.cells.post & (found.observed == 0)).sum())
    if nothing:
        notes.append(
            f"In {plural(nothing, 'comparison')} by cohort and period nobody treated had an event. A ratio"
            " of 0"
            " has no logarithm, so these are left out of every average and of the events prevented: the"
            " effect"
            " is understated. Use longer periods, or the rate as outcome of another approach."
        )
    return tuple(notes)


def two_way_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """One ratio of rates with unit and period effects, and its event study."""
    used = used_rows(design.unbalanced, rollout)
    rows = count_rows(used)
    part = without_anticipation(design, used)
    found = poisson_static(count_rows(part), (part.since >= 0).astype(float))
    require(found.problem or found.reason[0])
    code, at = relative_codes(used.since, -1 - design.anticipation)
    events = poisson_event(rows, code, len(at))
    static = poisson_covariance(found, "cluster", part.cluster)
    by_time = poisson_covariance(events, "cluster", used.cluster)
    m = len(at)
    known = np.isfinite(events.beta[:m])
    average = Average(
        at=at,
        estimate=events.beta[:m],
        covariance=np.where(np.outer(known, known), np.nan_to_num(by_time.matrix[:m, :m]), 0.0),
        overall=float(found.beta[0]),
        overall_error=_root(static.matrix[0, 0]),
    )
    return Effects(
        averages={"dynamic": average},
        df=np.inf,
        clusters=len(np.unique(used.cluster)),
        label="two-way fixed effects Poisson regression",
        reference=-1 - design.anticipation,
        ratio=True,
        **no_cells(),
    )
