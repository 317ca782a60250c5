"""Effects by cohort and period of a staggered roll-out from repeated cross-sections, or from an unbalanced
panel whose rows are taken as such (Callaway and Sant'Anna 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.group_time import NO_BASE
from qieval.numerics.group_time_aggregate import Members
from qieval.numerics.group_time_cells import Codes, Floats, GroupTime, Mask, Rules, WidePanel
from qieval.numerics.group_time_design import Slices, SortedPanel, joined, sorted_panel
from qieval.numerics.group_time_plan import Cell, plan
from qieval.numerics.two_period_arms import Contrast, Model, contrast
from qieval.numerics.two_period_weights import Group
from qieval.progress import progress

MODELS = {
    "doubly robust": Model("both", "likelihood"),
    "ipw": Model("none", "likelihood"),
    "regression": Model("controls", "none"),
}

NO_TREATED = (
    "Nobody of the cohort was recorded in one of the two periods of the comparison. Look for gaps in its "
    "data, or join it with a neighbouring cohort."
)
NO_NEVER = (
    "Nobody who is never treated was recorded in one of the two periods of the comparison. Use controls that "
    "are not yet treated."
)
NO_NOT_YET = (
    "Nobody who is not yet treated was recorded in one of the two periods of the comparison. This effect "
    "cannot be estimated from these data."
)


@dataclass(frozen=True, eq=False)
class Rows:
    """One row per person and period, in any order.

    y (N,); time (N,): the period, a whole number; first (N,): when treatment starts where the row belongs, in
    the same units, np.inf for never; rows that start in the first period (less anticipation) or earlier must
    have been left out. x (N, k) without an intercept, k may be 0. weights (N,) or None. unit (N,): codes from
    0, the same for rows of the same unit, or None for repeated cross-sections. Rows with a value that is
    missing or not finite, or a weight that is not positive, take no part.
    """

    y: Floats
    time: NDArray[np.int64]
    first: Floats
    x: Floats
    weights: Floats | None = None
    unit: Codes | None = None

    @property
    def known(self) -> Mask:
        """Which rows take part (N,)."""
        known = np.isfinite(self.y) & np.isfinite(self.x).all(axis=1) & ~np.isnan(self.first)
        if self.weights is not None:
            known &= np.isfinite(self.weights) & (self.weights > 0)
        return known

    @property
    def n(self) -> int:
        """How many units, or rows where there are none."""
        if self.unit is None:
            return len(self.y)
        return int(self.unit.max()) + 1 if self.unit.size else 0

    def members(self) -> Members:
        """Where averages of `group_time_rows` count the sizes of cohorts: the rows that take part."""
        known = np.flatnonzero(self.known)
        weights = None if self.weights is None else np.asarray(self.weights, dtype=np.float64)[known]
        unit = known if self.unit is None else np.asarray(self.unit, dtype=np.intp)[known]
        return Members(np.asarray(self.first, dtype=np.float64)[known], weights, unit)


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Rows by period, then start: the rows of a cohort in a period are neighbours.

    starts (c,) are the distinct starts; rows holds covariates, outcomes and weights in that order, as a panel
    of one period whose units "start" at period * c + cohort; unit (N,): whose influence a row counts to.
    """

    starts: Floats
    rows: SortedPanel
    unit: Codes

    def between(self, period: int, low: int, high: int) -> tuple[int, int]:
        """Rows of a period whose start is one of starts[low:high]."""
        at = np.array([low, high], dtype=np.float64) + period * self.starts.size
        begin, end = np.searchsorted(self.rows.first, at)
        return int(begin), int(end)

    def cohort(self, period: int, cohort: float) -> Slices:
        """Rows of a cohort in a period."""
        rank = int(np.searchsorted(self.starts, cohort))
        return (self.between(period, rank, rank + 1),)

    def controls(self, period: int, cell: Cell) -> Slices:
        """Rows of a cell's controls in a period."""
        rank = int(np.searchsorted(self.starts, cell.cohort))
        low, high = int(np.searchsorted(self.starts, cell.cutoff, "right")), self.starts.size
        both = ((low, max(rank, low)), (max(rank + 1, low), high))
        found = (self.between(period, *part) for part in both)
        return tuple(part for part in found if part[0] < part[1])

    def units(self, before: Slices, after: Slices) -> Codes:
        """Units of the rows of two periods."""
        return np.concatenate([self.unit[start:stop] for start, stop in before + after])

    def group(self, before: Slices, after: Slices) -> Group:
        """Covariates, weights and outcomes of rows of two periods."""
        parts = before + after
        weights = self.rows.weights(0)[0]
        n = _size(parts)
        return Group(
            joined(self.rows.design(0)[0], parts),
            np.ones(n) if weights is None else joined(weights, parts),
            joined(self.rows.y[0], parts),
            _size(before),
        )


def group_time_rows(rows: Rows, rules: Rules) -> GroupTime:
    """Effects by cohort and period from rows that need not be the same people in each period.

    Each cell compares the change in the mean of a cohort between two periods with that of its controls by the
    estimators for repeated cross-sections of `two_period_rows`: "doubly robust" is the locally efficient one,
    "ipw" has weights of sum 1. Covariates and weights are those of each row. All rows of the two periods are
    used, also those of units seen in one of them only; so changes in who is observed count as effects unless
    covariates explain them. Cells, bases and controls as in `plan` (R did).

    influence (n, m) is summed within units, so that standard errors allow for rows of the same unit; without
    units there is one per row. n_treated and n_control count rows of both periods. R did: panel=FALSE, and
    allow_unbalanced_panel=TRUE if there are units. Where DRDID up to 1.2.3 has a wrong sign in the influence
    of the doubly robust estimator, here it is right. Checked against R did 2.5.1 with that corrected, csdid
    0.4.3 and the jackknife.

    >>> y, time = np.array([1.0, 4.0, 2.0, 3.0]), np.array([1, 2, 1, 2])
    >>> first = np.array([2.0, 2.0, np.inf, np.inf])
    >>> group_time_rows(Rows(y, time, first, np.zeros((4, 0))), Rules()).estimate
    array([2.])
    """
    known = rows.known
    times = np.unique(np.asarray(rows.time, dtype=np.int64)[known])
    cells = plan(times, np.asarray(rows.first, dtype=np.float64)[known], rules) if times.size else []
    store = _Store(len(cells), rows)
    if cells:
        _estimate(cells, _sorted(rows, known, times), rules, store)
    return GroupTime(
        cohort=np.array([cell.cohort for cell in cells], dtype=np.float64),
        time=times[_positions(cell.time for cell in cells)],
        base=times[_positions(cell.time if cell.base is None else cell.base for cell in cells)],
        estimate=store.estimate,
        n_treated=store.counts[0],
        n_control=store.counts[1],
        reason=tuple(store.reason),
        influence=store.influence.T,
    )


Parts = tuple[tuple[Slices, Slices], tuple[Slices, Slices]]


class _Store:
    """Results of m cells, filled one by one."""

    def __init__(self, m: int, rows: Rows) -> None:
        self.estimate = np.full(m, np.nan)
        self.counts = np.zeros((2, m), dtype=np.intp)
        self.reason = [""] * m
        self.influence = np.zeros((m, rows.n))
        self.summed = rows.unit is not None

    def keep(self, cell: int, units: tuple[Codes, Codes], found: Contrast) -> None:
        """The result of a cell; units of the treated and of the control rows."""
        self.estimate[cell], self.reason[cell] = found.effect, found.reason
        if found.reason:
            return
        influence, n = self.influence[cell], self.influence.shape[1]
        for unit, values in zip(units, (found.treated, found.control), strict=True):
            if self.summed:
                influence += np.bincount(unit, n * values, n)
            else:
                influence[unit] = n * values


def _estimate(cells: list[Cell], data: _Sorted, rules: Rules, store: _Store) -> None:
    """All cells; the logistic model of a cohort starts from its last one."""
    starts: dict[float, Floats] = {}
    for at, cell in enumerate(progress(cells, "effects by cohort and period")):
        parts = _parts(data, cell)
        store.counts[:, at] = [_size(before + after) for before, after in parts]
        if cell.base == cell.time:
            store.estimate[at] = 0.0
            continue
        store.reason[at] = _empty(cell, parts, rules)
        if store.reason[at]:
            continue
        groups = [data.group(*part) for part in parts]
        found = contrast(groups[0], groups[1], MODELS[rules.estimator], starts.get(cell.cohort))
        if found.beta is not None:
            starts[cell.cohort] = found.beta
        store.keep(at, (data.units(*parts[0]), data.units(*parts[1])), found)


def _positions(values: Iterable[int]) -> Codes:
    """Whole numbers as an index, also if there are none."""
    return np.fromiter(values, dtype=np.intp)


def _size(parts: Slices) -> int:
    """How many rows."""
    return sum(stop - start for start, stop in parts)


def _sorted(rows: Rows, known: Mask, times: NDArray[np.int64]) -> _Sorted:
    """The rows that take part, by period and start."""
    at = np.flatnonzero(known)
    first, y = np.asarray(rows.first, dtype=np.float64)[at], np.asarray(rows.y, dtype=np.float64)[at]
    starts, cohort = np.unique(first, return_inverse=True)
    key = (np.searchsorted(times, rows.time[at]) * starts.size + cohort).astype(np.float64)
    weights = None if rows.weights is None else np.asarray(rows.weights, dtype=np.float64)[at]
    panel = WidePanel(np.array([0]), key, y[:, None], np.asarray(rows.x, dtype=np.float64)[at], weights)
    ordered = sorted_panel(panel)
    unit = at if rows.unit is None else np.asarray(rows.unit, dtype=np.intp)[at]
    return _Sorted(starts, ordered, unit[ordered.order])


def _parts(data: _Sorted, cell: Cell) -> Parts:
    """Rows of the cohort and of the controls, each before and after; before is the base, also if later."""
    base = cell.time if cell.base is None else cell.base
    return (
        (data.cohort(base, cell.cohort), data.cohort(cell.time, cell.cohort)),
        (data.controls(base, cell), data.controls(cell.time, cell)),
    )


def _empty(cell: Cell, parts: Parts, rules: Rules) -> str:
    """Why there is nothing to compare, or ''."""
    if cell.base is None:
        return NO_BASE
    treated, control = (min(_size(before), _size(after)) for before, after in parts)
    if not treated:
        return NO_TREATED
    if not control:
        return NO_NEVER if rules.control_group == "never" else NO_NOT_YET
    return ""
