"""The model of untreated outcomes: unit and period effects and covariates, fitted to untreated rows.

Source: Borusyak, Jaravel and Spiess (2024), "Revisiting Event-Study Designs: Robust and Efficient
Estimation", Review of Economic Studies 91(6), steps 1 and 2 of their theorem 2. The same model is the first
stage of Gardner (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.absorb import Within, within
from qieval.numerics.two_way import Codes, Floats, Mask, TwoWay, compact, cross_products

OUTSIDE = 1e-7
"""A covariate dropped as collinear may miss its prediction on a treated row by this share of its range."""

REASONS = (
    "",
    "the unit has no untreated period, so its own level is unknown; start the data earlier or leave it out",
    "no unit is still untreated in this period, so the change over time is unknown; end the data earlier",
    "no chain of untreated units and periods links this unit to this period; choose data that overlap more",
    "a covariate takes values that untreated rows say nothing about; leave this covariate out or simplify it",
)
"""Why a treated row has no imputed outcome, by the code in `Imputed.missing`."""


@dataclass(frozen=True, eq=False)
class ImputationRows:
    """Rows of a staggered roll-out in long form, in any order.

    unit, time (N,) non-negative integer codes; time points into times (T,), increasing whole numbers, perhaps
    with gaps. first (N,): start of treatment in the units of times, np.inf for never. y (N,). x (N, k): time-
    varying covariates, or characteristics interacted with the period; None for none. weights (N,) positive,
    or None. No missing values. Rows from `anticipation` periods before the start count as treated in the
    sense that they do not enter the model of untreated outcomes. Several rows may share a unit and a period
    (repeated cross-sections, where `unit` is the group that starts together).
    """

    unit: Codes
    time: Codes
    times: NDArray[np.int64]
    first: Floats
    y: Floats
    x: Floats | None = None
    weights: Floats | None = None
    anticipation: int = 0

    @property
    def when(self) -> NDArray[np.int64]:
        """The period of each row in the units of times (N,)."""
        return np.asarray(self.times)[self.time]

    @property
    def n_units(self) -> int:
        """One more than the largest unit code."""
        return int(self.unit.max(initial=-1)) + 1


@dataclass(frozen=True, eq=False, repr=False)
class Imputed:
    """Outcomes less the untreated outcomes that the model predicts; made by `impute`.

    untreated (N,) marks the rows behind the model, in the order of `model`. difference (N,): residual of an
    untreated row, effect on a treated one (y minus imputed), 0 where `missing` (N,), a place in REASONS, is
    not 0. unit, time (N,) are the model's codes, -1 for units and periods without untreated rows. x
    (kept covariates, N): residuals of the covariates on the effects, continued to treated rows. base holds
    the covariates' cross-products (None without covariates). gamma (k,): coefficients, NaN where a covariate
    was dropped as collinear.
    """

    rows: ImputationRows
    untreated: Mask
    difference: Floats
    missing: NDArray[np.int8]
    model: TwoWay
    unit: Codes
    time: Codes
    x: Floats
    base: Within | None
    gamma: Floats


@dataclass(frozen=True, eq=False)
class _Places:
    """Where rows lie in the model of untreated rows: its codes (N,), -1 outside; reason codes (N,)."""

    unit: Codes
    time: Codes
    missing: NDArray[np.int8]


def impute(rows: ImputationRows) -> Imputed | str:
    """Fit the model to untreated rows and take its predictions from all rows; a sentence if it cannot.

    Units with a single untreated row are kept: they fix their own effect. Covariates that the effects or
    earlier covariates explain are dropped; rows where the dropped one would have mattered cannot be imputed.

    >>> made = impute(ImputationRows(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([2019, 2020]),
    ...     np.array([2020, 2020, np.inf, np.inf]), np.array([1.0, 4.0, 2.0, 3.0])))
    >>> made.difference.round(12) + 0
    array([0., 2., 0., 0.])
    """
    untreated = rows.when < rows.first - rows.anticipation
    if not untreated.any():
        return "Every row is treated, so there is nothing to impute from; add periods before the start."
    model = _model(rows, untreated)
    places = _places(rows, untreated, model)
    x, base, gamma, adjusted = _covariates(rows, untreated, model, places)
    difference = _less_effects(adjusted, adjusted[untreated], model, places)
    difference[places.missing > 0] = 0.0
    return Imputed(
        rows, untreated, difference, places.missing, model, places.unit, places.time, x, base, gamma
    )


def _covariates(
    rows: ImputationRows, untreated: Mask, model: TwoWay, places: _Places
) -> tuple[Floats, Within | None, Floats, Floats]:
    """The parts x, base and gamma of `Imputed`, and the outcomes less gamma times the covariates (N,).

    Rows that need a dropped covariate get reason 4 in `places`.
    """
    if rows.x is None or not rows.x.shape[1]:
        return np.zeros((0, rows.y.size)), None, np.zeros(0), rows.y
    base = within(model, rows.y[untreated], rows.x[untreated])
    kept = rows.x[:, ~base.dropped]
    x = _residual_covariates(kept, untreated, base, places)
    _mark_outside(rows.x, x, untreated, base, places)
    gamma = np.full(base.dropped.size, np.nan)
    gamma[~base.dropped] = _slopes(base, base.y)
    return x, base, gamma, rows.y - kept @ gamma[~base.dropped]


def _model(rows: ImputationRows, untreated: Mask) -> TwoWay:
    """The bookkeeping of the untreated rows, with singletons."""
    unit, n_units = compact(rows.unit[untreated])
    time, n_times = compact(rows.time[untreated])
    everything = np.ones(unit.size, dtype=bool)
    return TwoWay(
        positive=everything,
        used=everything,
        unit=unit,
        time=time,
        n_units=n_units,
        n_times=n_times,
        weights=None if rows.weights is None else rows.weights[untreated],
        balanced=False,
        n_units_before=n_units,
        n_times_before=n_times,
    )


def _places(rows: ImputationRows, untreated: Mask, model: TwoWay) -> _Places:
    unit_map = _map(rows.unit, untreated, model.unit)
    time_map = _map(rows.time, untreated, model.time)
    unit, time = unit_map[rows.unit], time_map[rows.time]
    missing = np.zeros(unit.size, dtype=np.int8)
    missing[time < 0] = 2
    missing[unit < 0] = 1
    if model.time_solver.n_components > 1:
        of_time, of_unit = _components(model)
        missing[(missing == 0) & (of_unit[unit] != of_time[time])] = 3
    return _Places(unit, time, missing)


def _map(codes: Codes, untreated: Mask, compacted: Codes) -> Codes:
    """Model code of each input code, -1 where it has no untreated row."""
    to_model = np.full(int(codes.max()) + 1, -1, dtype=np.intp)
    to_model[codes[untreated]] = compacted
    return to_model


def _components(model: TwoWay) -> tuple[Codes, Codes]:
    """Connected block of each period and each unit, among untreated rows."""
    across = cross_products([model.cells], [model.cells], np.ones(model.n_units))
    labels = scipy.sparse.csgraph.connected_components(scipy.sparse.csr_array(across), directed=False)[1]
    of_unit = np.empty(model.n_units, dtype=np.intp)
    of_unit[model.unit] = labels[model.time]
    return labels, of_unit


def _less_effects(column: Floats, own: Floats, model: TwoWay, places: _Places) -> Floats:
    """Column (N,) less the effects fitted to its untreated rows `own`; numbers without meaning outside.

    The second pass removes what rounding left of large levels.
    """
    centre = own.mean()
    out, rest = column - centre, own - centre
    for _ in range(2):
        level = model.unit_sums(rest) / model.unit_weight
        rest -= level[model.unit]
        change = model.time_solver.solve(model.time_sums(rest))
        shift = (model.cells @ change) / model.unit_weight
        level -= shift
        rest += shift[model.unit]
        rest -= change[model.time]
        out -= level[places.unit]
        out -= change[places.time]
    return np.asarray(out)


def _slopes(base: Within, column: Floats) -> Floats:
    """Coefficients of the kept covariates for a column (n,) of untreated rows, corrected once."""
    total = np.zeros(base.x.shape[0])
    rest = column.copy()
    for _ in range(2 if total.size else 0):
        step = scipy.linalg.cho_solve((base.gram_factor, True), base.covariate_moments(rest))
        total += step
        rest -= step @ base.x
    return total


def _residual_covariates(kept: Floats, untreated: Mask, base: Within, places: _Places) -> Floats:
    out = np.empty((kept.shape[1], untreated.size))
    for j, line in enumerate(out):
        line[:] = _less_effects(kept[:, j], kept[untreated, j], base.rows, places)
        line[places.missing > 0] = 0.0
        line[untreated] = base.x[j]
    return out


def _mark_outside(x: Floats, residual: Floats, untreated: Mask, base: Within, places: _Places) -> None:
    """Give treated rows reason 4 IN PLACE where a dropped covariate is not what untreated rows predict."""
    for j in np.flatnonzero(base.dropped):
        column = x[:, j]
        line = _less_effects(column, column[untreated], base.rows, places)
        own = line[untreated]
        line -= _slopes(base, own) @ residual
        far = np.abs(line) > OUTSIDE * np.ptp(column)
        places.missing[far & (places.missing == 0) & ~untreated] = 4
