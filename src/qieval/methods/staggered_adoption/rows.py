"""What regressions read of a roll-out: rows, covariates, clusters."""

from __future__ import annotations

import numpy as np

from qieval.errors import DataError, EstimationError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.numerics.roll_out_rows import RollOutRows
from qieval.rollout.panel import Rollout
from qieval.rollout.starts import fixed_in_units
from qieval.text import plural


def unit_clusters(design: StaggeredAdoption, rollout: Rollout, codes: np.ndarray) -> np.ndarray:
    """The cluster of each unit. DataError where units move between clusters."""
    held, moving = fixed_in_units(codes, rollout.unit, len(rollout.units))
    if moving:
        raise DataError(
            f"cluster: {plural(moving, 'unit')} of '{design.unit}' lie in several clusters over time, and"
            f" approach='{design.approach}' needs one for each. Use the cluster that the intervention was"
            " assigned to (as it was before the start), or approach='interaction-weighted'."
        )
    return held


def without_anticipation(design: StaggeredAdoption, rollout: Rollout) -> Rollout:
    """The rows that count as before or after; those just before the start that may be affected are left
    out."""
    if not design.anticipation:
        return rollout
    return rollout.where((rollout.since >= 0) | (rollout.since < -design.anticipation))


def used_rows(unbalanced: str, rollout: Rollout) -> Rollout:
    """All rows, or those of units seen in every period."""
    return rollout.whole() if unbalanced == "drop" and rollout.began is not None else rollout


def regressors(rollout: Rollout) -> np.ndarray | None:
    """Covariates of a regression (n, k): as they are where they change within units; those that do not, once
    for each period but the first, because unit effects take up everything else about them."""
    changing, fixed = split_covariates(rollout)
    by_period = [
        np.where(rollout.time == t, column, 0.0) for column in fixed.T for t in range(1, rollout.n_periods)
    ]
    columns = [*changing.T, *by_period]
    return np.column_stack(columns) if columns else None


def split_covariates(rollout: Rollout) -> tuple[np.ndarray, np.ndarray]:
    """Covariates that change within units (n, k), and those that do not (n, f)."""
    fixed = np.array(
        [
            rollout.began is not None and bool((column == rollout.of_units(column)[rollout.unit]).all())
            for column in rollout.x.T
        ],
        dtype=bool,
    )
    return rollout.x[:, ~fixed], rollout.x[:, fixed]


def roll_out_rows(rollout: Rollout, *, clusters: bool = True) -> RollOutRows:
    """The rows as regressions of roll-outs read them."""
    return RollOutRows(
        times=rollout.times,
        unit=rollout.unit,
        time=rollout.time,
        first=rollout.first,
        y=rollout.outcome,
        x=regressors(rollout),
        weights=rollout.weights,
        clusters=rollout.cluster if clusters else None,
    )


def cell_weights(rollout: Rollout, cohort: np.ndarray, time: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
    """The weights of the rows of each cohort in each period (m,)."""
    if rollout.weights is None:
        return np.asarray(n_rows, dtype=float)
    when = rollout.times[rollout.time]
    return np.array(
        [
            rollout.weights[(rollout.first == start) & (when == moment)].sum()
            for start, moment in zip(cohort, time, strict=True)
        ]
    )


def treated_and_control(
    rollout: Rollout, cohort: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each cohort in each period, and rows not yet treated then (m,)."""
    when = rollout.times[rollout.time]
    place = np.searchsorted(rollout.starts, rollout.first)
    n_starts = len(rollout.starts) + 1
    counts = np.bincount(place * rollout.n_periods + rollout.time, minlength=n_starts * rollout.n_periods)
    counts = counts.reshape(n_starts, rollout.n_periods)
    control = np.bincount(rollout.time[when < rollout.first], minlength=rollout.n_periods)
    at = np.searchsorted(rollout.times, time)
    return counts[np.searchsorted(rollout.starts, cohort), at], control[at]


def require(problem: str) -> None:
    """Raise EstimationError where an estimator says why it has no estimate."""
    if problem:
        raise EstimationError(f"data: {problem[0].lower()}{problem[1:]}")
