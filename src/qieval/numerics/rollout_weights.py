"""The overall effect of a roll-out as weights on the outcomes of a balanced panel, without covariates.

Each estimator here is a sum of weight times outcome, and the weights depend on the roll-out alone. That makes
permutation of a roll-out, and power of a planned one, a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.two_way import Codes, Floats, Mask

Aggregation = Literal["simple", "group", "dynamic", "calendar"]
Controls = Literal["never", "not yet"]
LinearEstimator = Literal["group-time", "imputation", "two-way"]

NO_EFFECT = (
    "No period after a start can be compared with a period before it and with units that have not started; "
    "add periods, leave some units out of the roll-out, or space out the starts."
)
RANK = 1e-10
ESTIMABLE = 1e-8
"""A treated cell whose counterfactual misses the span of the untreated ones by more is left out."""


@dataclass(frozen=True, eq=False)
class RolloutWeights:
    """weights (n, T): the estimate is the sum of weights * y; zero everywhere if `reason` says why not."""

    weights: Floats
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RolloutRules:
    """Which overall effect.

    estimator: "group-time" (Callaway and Sant'Anna 2021; each period after a start less the last one before
    it, against `control_group`, averaged by `aggregation`), "imputation" (Borusyak, Jaravel and Spiess 2024:
    plain mean over treated rows of outcome less two-way effects fitted to untreated rows) or "two-way" (the
    coefficient of treatment given unit and period effects, right only for one constant effect).
    anticipation: periods before the start that may already be affected (not for "two-way").
    """

    estimator: LinearEstimator = "group-time"
    control_group: Controls = "not yet"
    aggregation: Aggregation = "simple"
    anticipation: int = 0


@dataclass(frozen=True, eq=False)
class _Cohorts:
    """starts (C,) increasing, inf last if any; sizes (C,); code (n,), -1 for units that started too early."""

    starts: Floats
    sizes: Floats
    code: Codes

    def after(self, times: Floats) -> Mask:
        """Which periods lie at or after the start (C, T)."""
        return np.asarray(times >= self.starts[:, None])


def rollout_weights(
    first: Floats, times: Floats, rules: RolloutRules | None = None, sizes: Floats | None = None
) -> RolloutWeights:
    """Weights (n, T) of the overall effect of a roll-out.

    first (n,): starts in the units of times, np.inf (or beyond the last period) for never; times (T,)
    increasing; sizes (n,): people or units behind each row, None for one each (a sampling weight). Units that
    start without a period before (less anticipation) get no weight. Cells without controls are left out, as R
    did does; weights of cohorts count as known.

    >>> first = np.array([2.0, np.inf])
    >>> rollout_weights(first, np.array([1.0, 2.0])).weights
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    rules = rules or RolloutRules()
    mass = np.ones(len(first)) if sizes is None else np.asarray(sizes, dtype=float)
    cohorts = _cohorts(np.asarray(first, dtype=float), np.asarray(times, dtype=float), mass, rules)
    estimators = {"group-time": _group_time, "imputation": _imputation, "two-way": _two_way}
    table = estimators[rules.estimator](cohorts, np.asarray(times, dtype=float), rules)
    if table is None:
        return RolloutWeights(np.zeros((len(first), len(times))), NO_EFFECT)
    per_unit = np.vstack([table / cohorts.sizes[:, None], np.zeros(len(times))])
    return RolloutWeights(per_unit[cohorts.code] * mass[:, None])


def _cohorts(first: Floats, times: Floats, mass: Floats, rules: RolloutRules) -> _Cohorts:
    start = np.where(first > times[-1], np.inf, first)
    ahead = 0 if rules.estimator == "two-way" else rules.anticipation
    usable = start > times[0] + ahead
    starts, code = np.unique(start[usable], return_inverse=True)
    codes = np.full(start.size, -1, dtype=np.intp)
    codes[usable] = code
    sizes = np.bincount(code, mass[usable], minlength=starts.size)
    return _Cohorts(starts, sizes.astype(float), codes)


def _group_time(cohorts: _Cohorts, times: Floats, rules: RolloutRules) -> Floats | None:
    """Weights on cohort means (C, T)."""
    starts, sizes, ahead = cohorts.starts, cohorts.sizes, rules.anticipation
    cells = []
    for g in np.flatnonzero(np.isfinite(starts)).tolist():
        base = int(np.searchsorted(times, starts[g] - ahead)) - 1
        for t in np.flatnonzero(times >= starts[g]).tolist():
            controls = np.isinf(starts) if rules.control_group == "never" else starts > times[t] + ahead
            if controls.any():
                cells.append((g, t, base, controls))
    if not cells:
        return None
    share = _shares([(starts[g], times[t], sizes[g]) for g, t, _, _ in cells], rules.aggregation)
    table = np.zeros((starts.size, times.size))
    for (g, t, base, controls), one in zip(cells, share, strict=True):
        step = -one * np.where(controls, sizes, 0.0) / sizes[controls].sum()
        step[g] += one
        table[:, t] += step
        table[:, base] -= step
    return table


def _shares(cells: list[tuple[float, float, float]], aggregation: Aggregation) -> Floats:
    """Weight of each cell (start, period, size of its cohort) in the overall effect."""
    start, time, size = np.array(cells).T
    keys = {"simple": np.zeros_like(start), "group": start, "dynamic": time - start, "calendar": time}
    _, key = np.unique(keys[aggregation], return_inverse=True)
    within = size / np.bincount(key, size)[key]
    if aggregation == "group":
        _, once = np.unique(key, return_index=True)
        return np.asarray(within * size / size[once].sum())
    return np.asarray(within / (key.max() + 1))


def _two_way(cohorts: _Cohorts, times: Floats, rules: RolloutRules) -> Floats | None:
    del rules
    treated, sizes = cohorts.after(times).astype(float), cohorts.sizes[:, None]
    if not sizes.size:
        return None
    column = treated - treated.mean(axis=1, keepdims=True)
    column -= (sizes * column).sum(axis=0) / sizes.sum()
    square = float(np.sum(sizes * column**2))
    return sizes * column / square if square > RANK * sizes.sum() else None


def _imputation(cohorts: _Cohorts, times: Floats, rules: RolloutRules) -> Floats | None:
    n_cohorts, n_times = cohorts.starts.size, times.size
    cohort, time = (index.ravel() for index in np.indices((n_cohorts, n_times)))
    if not n_cohorts:
        return None
    design = np.zeros((cohort.size, n_cohorts + n_times))
    design[np.arange(cohort.size), cohort] = 1.0
    design[np.arange(cohort.size), n_cohorts + time] = 1.0
    treated = cohorts.after(times).ravel()
    free = ~cohorts.after(times + rules.anticipation).ravel()
    mass = cohorts.sizes[cohort] / cohorts.sizes.sum()
    root = np.sqrt(mass[free])[:, None]
    inverse = np.linalg.pinv(root * design[free], rcond=RANK)
    missed = design[treated] - design[treated] @ inverse @ (root * design[free])
    known = np.abs(missed).max(axis=1) < ESTIMABLE
    if not known.any():
        return None
    table = np.zeros(cohort.size)
    table[np.flatnonzero(treated)[known]] = mass[treated][known] / mass[treated][known].sum()
    table[free] -= (table[treated] @ design[treated]) @ inverse * root[:, 0]
    return table.reshape(n_cohorts, n_times)
