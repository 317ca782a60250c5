"""Synthetic controls of several treated units, each with its own start, partly pooled.

Ben-Michael, Feller and Rothstein (2022), "Synthetic controls with staggered adoption", JRSS B 84 (R augsynth,
multisynth). Every treated unit gets its own weights on the simplex. They are chosen together, so that both
each unit's gaps before its start and the average of these gaps, lined up by time to start, are small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.pooled_simplex import TIGHT, Imbalance, PooledProblem, solve_pooled
from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats

Integers = NDArray[np.int64]

PERFECT = 1e-14
"""Imbalance (squared) below this share of that of equal weights counts as none."""


@dataclass(frozen=True, eq=False)
class PartialPooling:
    """Weights (n, k) of all n units for the k treated ones, and the gaps that they leave.

    treated (k,) are the columns of the treated units. Each column of weights adds up to one and is zero for
    units that are no donors. nu is the weight on the pooled fit. gaps (t, k) = treated - synthetic by
    calendar row, NaN beyond the horizon; by_event (lags + horizon, k) the same at event_time (0 is the first
    treated row), NaN where a unit has no such row; average (lags + horizon,) over the units that have one;
    effect the mean over units of their mean later gap. imbalance is that of these weights;
    imbalance_separate (nu = 0) and imbalance_equal (equal weights) are there to compare. gap is the duality
    gap, where separate weights have the objective 1; converged tells whether it is at most 1e-10.
    """

    weights: Floats
    treated: Integers
    nu: float
    gaps: Floats
    event_time: Integers
    by_event: Floats
    average: Floats
    effect: float
    imbalance: Imbalance
    imbalance_separate: Imbalance
    imbalance_equal: Imbalance
    gap: float
    iterations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _Unit:
    """A treated unit, its start, the columns of its donors (m,), and donors less treated (t, m)."""

    column: int
    start: int
    donors: Integers
    differences: Floats


def partially_pooled(
    outcomes: Floats,
    starts: Integers,
    *,
    nu: float | None = None,
    fixed_effects: bool = True,
    lags: int | None = None,
    horizon: int | None = None,
) -> PartialPooling:
    """Partially pooled synthetic controls from outcomes (t, n) and first treated rows starts (n,); t: never.

    nu = 0 fits each unit by itself, nu = 1 only the average (weights are then seldom unique). None takes the
    paper's choice: at separate weights, the size of the average gap relative to the average size of gaps.
    Both parts are measured relative to the separate fit. fixed_effects takes every unit's mean before the
    start of the treated unit off (intercept-shifted weights, the default of multisynth). lags is how many
    rows before the start are balanced (all), horizon how many from the start on are looked at (as many as
    the last treated unit has). Donors of a unit start at least `horizon` rows after it, as in the paper;
    multisynth asks for one row more. Errors: ValueError if nobody is treated, a unit is treated from the
    first row on or has no donor.

    >>> path = np.array([0.0, 1, 3, 2, 5, 4])
    >>> outcomes = np.column_stack([path + [0, 0, 0, 0, 7, 7], path, path**2, -path])
    >>> fit = partially_pooled(outcomes, np.array([4, 6, 6, 6]))
    >>> fit.weights.round(9)[:, 0] + 0, round(fit.effect, 9)
    (array([0., 1., 0., 0.]), 7.0)
    """
    treated = np.flatnonzero(starts < len(outcomes))
    if treated.size == 0 or starts[treated].min() < 1:
        raise ValueError("partial pooling needs treated units with at least one row before their start")
    if not (nu is None or 0 <= nu <= 1) or min(lags or 1, horizon or 1) < 1:
        raise ValueError("nu lies between 0 and 1; lags and horizon are positive")
    last = int(starts[treated].max())
    kept, ahead = min(lags or last, last), horizon or len(outcomes) - last
    units = [_unit(outcomes, starts, int(column), ahead, fixed_effects) for column in treated]
    early = [unit.differences[max(unit.start - kept, 0) : unit.start][::-1] for unit in units]
    scale = max(float(np.abs(rows).max()) for rows in early) or 1.0
    alone = PooledProblem([rows / scale for rows in early], pooled=0.0, separate=1 / len(units))
    fits = [simplex_least_squares(rows, np.zeros(len(rows))) for rows in alone.differences]
    separate = [fit.weights for fit in fits]
    equal = [np.full(unit.donors.size, 1 / unit.donors.size) for unit in units]
    share = _heuristic(alone.gaps(separate)) if nu is None else float(nu)
    joint = _jointly(alone, alone.imbalance(separate), alone.imbalance(equal), share)
    weights, gap, sweeps = solve_pooled(joint, separate)
    found = [alone.imbalance(w).times(scale) for w in (weights, separate, equal)]
    return PartialPooling(
        weights=_in_columns(units, weights, outcomes.shape[1]),
        treated=treated,
        nu=share,
        **_effects(units, weights, kept, ahead)._asdict(),
        imbalance=found[0],
        imbalance_separate=found[1],
        imbalance_equal=found[2],
        gap=gap,
        iterations=sweeps,
        converged=gap <= TIGHT and all(bool(fit.converged) for fit in fits),
    )


def _unit(outcomes: Floats, starts: Integers, column: int, horizon: int, fixed_effects: bool) -> _Unit:
    start = int(starts[column])
    donors = np.flatnonzero(starts >= min(start + horizon, len(outcomes)))
    if donors.size == 0:
        raise ValueError("a treated unit has no donor: everybody else starts within its horizon")
    differences = outcomes[:, donors] - outcomes[:, [column]]
    if fixed_effects:
        differences = differences - differences[:start].mean(axis=0)
    return _Unit(column, start, donors, differences)


def _heuristic(gaps: Floats) -> float:
    """Share of the pooled part: |mean gap| / mean |gap|, between 0 and 1 by the triangle inequality."""
    size = float(np.linalg.norm(gaps, axis=0).mean())
    return float(np.linalg.norm(gaps.mean(axis=1))) / size if size > 0 else 0.0


def _jointly(alone: PooledProblem, separate: Imbalance, equal: Imbalance, nu: float) -> PooledProblem:
    """The problem with both parts relative to the separate fit; a perfect separate fit stays as it is."""
    if separate.separate**2 <= PERFECT * equal.separate**2:
        return alone
    rows = max(map(len, alone.differences))
    pooled = max(separate.pooled**2, PERFECT * separate.separate**2)
    share = (1 - nu) / (len(alone.differences) * separate.separate**2)
    return PooledProblem(alone.differences, pooled=nu / (rows * pooled), separate=share)


def _in_columns(units: list[_Unit], weights: list[Floats], n_units: int) -> Floats:
    out = np.zeros((n_units, len(units)))
    for place, (unit, w) in enumerate(zip(units, weights, strict=True)):
        out[unit.donors, place] = w
    return out


class _Effects(NamedTuple):
    gaps: Floats
    event_time: Integers
    by_event: Floats
    average: Floats
    effect: float


def _effects(units: list[_Unit], weights: list[Floats], lags: int, horizon: int) -> _Effects:
    """Gaps by calendar row and by event time, up to the horizon."""
    n_rows = len(units[0].differences)
    event_time = np.arange(-lags, horizon)
    gaps = np.full((n_rows, len(units)), np.nan)
    by_event = np.full((event_time.size, len(units)), np.nan)
    for place, (unit, w) in enumerate(zip(units, weights, strict=True)):
        end = min(unit.start + horizon, n_rows)
        gaps[:end, place] = -unit.differences[:end] @ w
        rows = event_time + unit.start
        seen = (rows >= 0) & (rows < n_rows)
        by_event[seen, place] = gaps[rows[seen], place]
    counts = np.count_nonzero(~np.isnan(by_event), axis=1)
    average = np.nansum(by_event, axis=1) / np.where(counts > 0, counts, np.nan)
    effect = float(np.mean(np.nanmean(by_event[event_time >= 0], axis=0)))
    return _Effects(gaps, event_time, by_event, average, effect)
