"""Rate ratios by cohort and period for staggered roll-outs of counts, and the events prevented.

Wooldridge (2023), extended two-way Poisson regression: log E(y / exposure) = cohort (or unit) effect +
period effect + covariates + one effect for every treated cohort and period. The counterfactual rate comes
from never-treated rows and from rows not yet treated, both; with `leads` periods before the start have
their own effects too (the last one before is the reference), and then the never-treated rows alone carry
the period effects. Without covariates, cohort effects need only the sums by cohort and period.

The mean must be right, the counts need not be Poisson: errors come from scores summed by unit. Checked
against R's glm with sandwich, and fixest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.absorb import partial_out
from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.poisson_interactions import (
    averaged,
    cell_columns,
    not_estimable,
    parameter_influence,
)
from qieval.numerics.poisson_two_way import CountRows, PoissonFit, poisson_event
from qieval.numerics.two_way import Codes, Floats, Mask, sums, table

Effects = Literal["cohort", "unit"]

_NO_ROWS = (
    "No row of this cohort was observed in this period. Check the extract for missing periods, or leave the "
    "cell out."
)
_NO_COUNT = (
    "There is not one event in this cohort and period, so the rate ratio is zero and its logarithm has no "
    "value. Use longer periods or larger cohorts."
)
_ALWAYS = (
    "This cohort has no row before its start, so its rate without the change is unknown. Leave the cohort "
    "out or bring earlier periods."
)
_NO_EVENTS_BEFORE = (
    "This cohort has no event before its start, so its rate without the change cannot be estimated. "
    "Use a longer time before the start or combine cohorts."
)
_NO_CONTROLS = (
    "No untreated unit with events was observed in this period, so there is nothing to compare with. "
    "Bring units treated later or never."
)
_APART = (
    "No untreated rows link this period with the time before this cohort's start, so there is nothing to "
    "compare with. Bring units that are observed in both."
)
_TIED = (
    "This effect cannot be told apart from others, because no unit of its cohort has informative rows both "
    "before its start and in this period. Use cohort effects or a longer time before the start."
)


@dataclass(frozen=True)
class CellRules:
    """effects: 'cohort' effects, or 'unit' effects. leads: effects for periods before the start as well.

    anticipation: periods before the start, in the units of time, in which an effect is allowed; they
    become cells, not comparison rows. interact: the log rate ratio of a cell may depend on the covariates
    (cohort effects only); its estimate is then the log of observed over expected events of the cell. Takes
    cells x covariates columns of memory.
    """

    effects: Effects = "cohort"
    leads: bool = False
    anticipation: int = 0
    interact: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class PoissonCells:
    """Log rate ratios of cells (m,) with what absolute effects need; n units.

    cells: log rate ratios with influence per unit (n, m); base is the last period before the start.
    observed, exposure (m,): weighted sums; n_rows (m,); with unit effects they include rows that are alone
    in their unit and take no part in the fit. residual (n, m) sparse: each unit's weighted count
    less its fitted count within each cell. dispersion: Pearson's chi squared per degree of freedom (1 for
    Poisson counts). n_fitted: rows that took part; n_slopes: cells and covariates estimated; group (n,):
    codes of each unit's absorbed effect, n_groups of them; n_times periods. n_zero_units: units without a
    single count. problem: why nothing was estimated, or ''.
    """

    cells: GroupTime
    observed: Floats
    exposure: Floats
    n_rows: Floats
    residual: scipy.sparse.csr_array
    group: Codes
    dispersion: float
    n_fitted: int
    n_slopes: int
    n_groups: int
    n_times: int
    n_zero_units: int
    converged: bool
    problem: str

    @property
    def expected(self) -> Floats:
        """Events expected without the change (m,), NaN where the log rate ratio is."""
        return self.observed * np.exp(-self.cells.estimate)


def poisson_cells(
    rows: CountRows, times: Floats, first: Floats, rules: CellRules | None = None
) -> PoissonCells:
    """Fit the model of this module; rows in long form, several rows per unit and period allowed.

    times (T,) increasing, `rows.time` are codes into it. first (N,): the start of the row's unit in units
    of times, np.inf (or beyond the last period) for never. Cells that cannot be estimated have NaN, zero
    influence and a reason; units without any count stay in n and have zero influence under unit effects.

    >>> unit, time = np.repeat([0, 1], 2), np.tile([0, 1], 2)
    >>> rows = CountRows(unit, time, np.array([10.0, 10, 30, 60]), np.ones(4))
    >>> found = poisson_cells(rows, np.array([2020.0, 2021]), np.repeat([2021.0, np.inf], 2))
    >>> found.cells.estimate.round(8) == -np.log(2).round(8), found.expected.round(6)
    (array([ True]), array([20.]))
    """
    rules = rules or CellRules()
    layout = _layout(rows, np.asarray(times, dtype=float), first, rules)
    if rules.interact and rules.effects == "unit":
        raise ValueError("covariates can change the effect of a cell under cohort effects only")
    if rules.effects == "cohort" and (rows.x is None or not rows.x.shape[1]):
        return _from_sums(rows, layout)
    return _from_rows(rows, layout, rules)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Cohorts, cells and which rows take part.

    group (N,): cohort codes of rows, the last one never treated; code (groups, T): cell, -1 for comparison
    rows; cohort, time (m,) indices of cells; base (m,); reason (m,); used (groups, T): where rows enter.
    """

    starts: Floats
    times: Floats
    group: Codes
    code: Codes
    cohort: Codes
    time: Codes
    base: NDArray[np.int64]
    reason: tuple[str, ...]
    used: Mask
    n_units: int

    @property
    def m(self) -> int:
        """Number of cells."""
        return int(self.cohort.size)


def _layout(rows: CountRows, times: Floats, first: Floats, rules: CellRules) -> _Layout:
    never = ~(first <= times[-1])
    starts = np.unique(first[~never])
    group = np.where(never, starts.size, np.searchsorted(starts, first))
    shape = (starts.size + 1, times.size)
    begins = starts - rules.anticipation
    treated: Mask = np.asarray(times >= begins[:, None])
    last = np.searchsorted(times, begins) - 1
    if rules.leads:
        treated |= np.arange(times.size) != last[:, None]
    code = np.full(shape, -1, dtype=np.intp)
    code[:-1][treated] = np.arange(np.count_nonzero(treated))
    cohort, time = np.nonzero(treated)
    place = group * times.size + rows.time
    size = shape[0] * shape[1]
    counts = sums(place, rows.mass * rows.y, size).reshape(shape)
    seen = sums(place, None, size).reshape(shape) > 0
    reason = _why_not(counts, seen, code, (cohort, time))
    used = seen & (code < 0)
    used[cohort, time] = [not words for words in reason]
    base = times[np.maximum(last[cohort], 0)].astype(np.int64)
    n_units = int(rows.unit.max(initial=-1)) + 1
    return _Layout(starts, times, group, code, cohort, time, base, reason, used, n_units)


def _why_not(counts: Floats, seen: Mask, code: Codes, at: tuple[Codes, Codes]) -> tuple[str, ...]:
    """Why cells (m,) cannot be estimated, '' where they can; counts, seen, code are cohorts x periods."""
    untreated = seen & (code < 0)
    before = np.where(untreated, counts, 0.0)
    by_cohort, by_time = before.sum(axis=1) > 0, before.sum(axis=0) > 0
    linked = _links(np.asarray(untreated & by_cohort[:, None] & by_time))
    has_before = np.asarray(untreated.any(axis=1))
    cohort, time = at
    checks = (
        (~seen[cohort, time], _NO_ROWS),
        (~has_before[cohort], _ALWAYS),
        (~by_cohort[cohort], _NO_EVENTS_BEFORE),
        (~by_time[time], _NO_CONTROLS),
        (~linked[cohort, time], _APART),
        (counts[cohort, time] == 0, _NO_COUNT),
    )
    reason = np.full(cohort.size, "", dtype=object)
    for fails, words in reversed(checks):
        reason[fails] = words
    return tuple(reason)


def _links(untreated: Mask) -> Mask:
    """Which cohorts and periods are in one connected block of untreated rows (cohorts, T)."""
    n_groups, n_times = untreated.shape
    cohort, time = np.nonzero(untreated)
    edges = (np.ones(cohort.size), (cohort, time + n_groups))
    graph = scipy.sparse.coo_array(edges, shape=(n_groups + n_times,) * 2)
    block = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return np.asarray(block[:n_groups, None] == block[None, n_groups:])


def _from_sums(rows: CountRows, layout: _Layout) -> PoissonCells:
    """Cohort effects without covariates: everything from the sums by cohort and period."""
    shape = layout.used.shape
    size = shape[0] * shape[1]
    place = layout.group * shape[1] + rows.time
    counts = sums(place, rows.mass * rows.y, size)
    exposure = sums(place, rows.mass * rows.exposure, size)
    inside = np.flatnonzero(layout.used.ravel())
    small = CountRows(inside // shape[1], inside % shape[1], counts[inside], exposure[inside])
    code = layout.code.ravel()[inside]
    found = poisson_event(small, code, layout.m)
    rate, pull = np.zeros(size), np.zeros((size, layout.m))
    if found.fit is not None:
        kept = inside[found.kept]
        rate[kept] = found.mean / exposure[kept]
        ours = code[found.kept][:, None] == np.arange(layout.m)
        seen = ~found.fit.collinear
        pull[np.ix_(kept, seen)] = partial_out(found.fit.base, ours[:, seen].astype(float)) @ found.fit.bread
    error = rows.mass * (rows.y - rate[place] * rows.exposure) * layout.used.ravel()[place]
    influence = table((rows.unit, place), (layout.n_units, size), error) @ pull * layout.n_units
    fitted = rate[place] * rows.exposure
    chi2 = float(np.sum(error**2 / np.where(fitted > 0, fitted * rows.mass, 1.0)))
    n_fitted = int(np.count_nonzero((rate > 0)[place]))
    return _finish(rows, layout, found, influence, _Residual(error, chi2, n_fitted, layout.group))


def _from_rows(rows: CountRows, layout: _Layout, rules: CellRules) -> PoissonCells:
    """Covariates or unit effects: a regression on the rows."""
    keep = layout.used[layout.group, rows.time]
    used = rows.take(keep)
    absorbed = used.unit if rules.effects == "unit" else layout.group[keep]
    code = layout.code[layout.group, rows.time][keep]
    k = 0 if used.x is None else used.x.shape[1]
    x = used.x
    if rules.interact and used.x is not None:
        x = np.hstack([used.x, cell_columns(used.x, code, layout.m)])
    found = poisson_event(replace(used, unit=absorbed, x=x), code, layout.m)
    influence = np.zeros((layout.n_units, layout.m))
    error, chi2 = np.zeros(len(rows.y)), float("nan")
    if found.fit is not None:
        at = np.flatnonzero(keep)[found.kept]
        error[at] = found.score
        chi2 = found.fit.sum_of_squares
        estimate, turn = (
            np.where(np.isfinite(found.beta), found.beta, 0.0),
            np.eye(layout.m + k)[:, : layout.m],
        )
        if rules.interact and x is not None:
            estimate, turn = averaged(found, used.mass[found.kept], x[found.kept], code[found.kept])
        by_unit = parameter_influence(found.fit, rows.unit[at], layout.n_units)
        influence = by_unit @ turn[found.fit.identified]
        lost = found.fit.collinear | not_estimable(found.fit)
        reason = tuple(
            words or (_TIED if gone else "") for words, gone in zip(found.reason, lost, strict=True)
        )
        found = replace(found, beta=np.where(lost, np.nan, estimate), reason=reason)
    absorbed = rows.unit if rules.effects == "unit" else layout.group
    n_fitted = int(np.count_nonzero(found.kept))
    return _finish(rows, layout, found, influence, _Residual(error, chi2, n_fitted, absorbed))


@dataclass(frozen=True, eq=False)
class _Residual:
    """weight * (y - fitted) of all rows (N,), Pearson's chi squared, rows used, absorbed effect (N,)."""

    error: Floats
    chi2: float
    n_fitted: int
    absorbed: Codes


def _finish(
    rows: CountRows, layout: _Layout, found: PoissonFit, influence: Floats, residual: _Residual
) -> PoissonCells:
    code = layout.code[layout.group, rows.time]
    inside = code >= 0
    group = np.zeros(layout.n_units, dtype=np.intp)
    group[rows.unit] = residual.absorbed
    counts = (0, 0, 0)
    if found.fit is not None:
        counts = found.fit.n_slopes, found.fit.base.rows.n_units, found.fit.base.rows.n_times
    left = residual.n_fitted - sum(counts) + 1
    in_cell = (rows.unit[inside], code[inside])
    return PoissonCells(
        cells=_cells(rows, layout, found, influence),
        observed=sums(code[inside], (rows.mass * rows.y)[inside], layout.m),
        exposure=sums(code[inside], (rows.mass * rows.exposure)[inside], layout.m),
        n_rows=sums(code[inside], None, layout.m),
        residual=table(in_cell, (layout.n_units, layout.m), residual.error[inside]),
        group=group,
        dispersion=residual.chi2 / left if left > 0 else float("nan"),
        n_fitted=residual.n_fitted,
        n_slopes=counts[0],
        n_groups=counts[1],
        n_times=counts[2],
        n_zero_units=int(np.count_nonzero(sums(rows.unit, rows.y, layout.n_units) == 0)),
        converged=found.converged,
        problem=found.problem,
    )


def _cells(rows: CountRows, layout: _Layout, found: PoissonFit, influence: Floats) -> GroupTime:
    estimated = np.isfinite(found.beta)
    influence[:, ~estimated] = 0.0
    code = layout.code[layout.group, rows.time]
    inside = code >= 0
    n_control = _members(rows.unit[~inside], rows.time[~inside], layout.times.size)
    words = zip(layout.reason, estimated, found.reason, strict=True)
    return GroupTime(
        cohort=layout.starts[layout.cohort],
        time=layout.times[layout.time].astype(np.int64),
        base=layout.base,
        estimate=found.beta,
        n_treated=_members(rows.unit[inside], code[inside], layout.m),
        n_control=n_control[layout.time],
        reason=tuple(own or ("" if good else fitted) for own, good, fitted in words),
        influence=influence,
    )


def _members(unit: Codes, code: Codes, n_codes: int) -> Codes:
    """How many different units each code holds (n_codes,)."""
    shape = (n_codes, int(unit.max(initial=-1)) + 1)
    ends = table((code, unit), shape, np.ones(code.size)).indptr
    return np.asarray(np.diff(ends), dtype=np.intp)
