"""Unit and time effects: the bookkeeping of two-way regressions, and exact removal of both from a column.

The unit effects are eliminated by weighted demeaning; the (few) time effects by one exact solve of their
normal equations. There is no iteration, so there is nothing to converge, and no rows x periods array is
ever formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Mask = NDArray[np.bool_]

BLOCK = 400_000
"""Largest number of values in a temporary dense block (3 MB, so that it stays in cache)."""

DENSE_ENOUGH = 0.03
"""Above this share of filled cells a dense block product beats scipy's sparse product."""


@dataclass(frozen=True, eq=False, repr=False)
class TimeSolver:
    """Normal equations of the time effects after the unit effects: one reference period per connected block.

    kept are the other periods; the effect of a reference period is zero. factor is a Cholesky factor (lower).
    """

    kept: Codes
    factor: Floats
    n_times: int
    n_components: int

    def solve(self, right: Floats) -> Floats:
        """Time effects b with A b = right; right (n_times,) or (n_times, m), the same shape comes back."""
        effects = np.zeros(right.shape)
        if self.kept.size:
            effects[self.kept] = scipy.linalg.cho_solve(
                (self.factor, True), right[self.kept], check_finite=False
            )
        return effects

    def half_solve(self, right: Floats) -> Floats:
        """H with H'H = right' A^-1 right; right (n_times, m) -> (kept, m)."""
        if not self.kept.size:
            return np.zeros((0, right.shape[1]))
        half: Floats = scipy.linalg.solve_triangular(
            self.factor, right[self.kept], lower=True, check_finite=False
        )
        return half


@dataclass(frozen=True, eq=False, repr=False)
class TwoWay:
    """Rows that belong to units and periods, prepared once for any number of regressions; made by `two_way`.

    unit, time (n,) are codes 0..n_units-1 and 0..n_times-1 of the rows used; weights (n,) or None for ones.
    positive (n_input,) marks input rows of positive weight, used (n_input,) those that take part:
    singletons do not.
    """

    positive: Mask
    used: Mask
    unit: Codes
    time: Codes
    n_units: int
    n_times: int
    weights: Floats | None
    balanced: bool
    n_units_before: int
    n_times_before: int

    @property
    def n(self) -> int:
        """Rows used."""
        return int(self.unit.size)

    @property
    def n_singletons(self) -> int:
        """Rows left out because they are alone in their unit or period."""
        return int(np.count_nonzero(self.positive)) - self.n

    @property
    def n_zero_weights(self) -> int:
        """Rows left out because their weight is zero."""
        return self.n_input - int(np.count_nonzero(self.positive))

    @property
    def n_input(self) -> int:
        """Rows given."""
        return int(self.used.size)

    @cached_property
    def unit_weight(self) -> Floats:
        """Sum of the weights of each unit (n_units,)."""
        return self.unit_sums(None)

    @cached_property
    def cells(self) -> scipy.sparse.csr_array:
        """Sum of the weights in each unit-period cell, sparse (n_units, n_times)."""
        if not self.balanced:
            return self.unit_by_time(np.ones(self.n) if self.weights is None else self.weights)
        starts = np.arange(self.n_units + 1, dtype=np.int32) * np.int32(self.n_times)
        places = self.time.astype(np.int32)
        return scipy.sparse.csr_array((np.ones(self.n), places, starts), shape=(self.n_units, self.n_times))

    def unit_by_time(self, values: Floats) -> scipy.sparse.csr_array:
        """Sum of values (n,) in each unit-period cell; a balanced panel's values are used where they lie."""
        if self.balanced:
            pattern = (values, self.cells.indices, self.cells.indptr)
            return scipy.sparse.csr_array(pattern, shape=self.cells.shape)
        return table((self.unit, self.time), (self.n_units, self.n_times), values)

    @cached_property
    def time_solver(self) -> TimeSolver:
        """Cholesky factor of the time effects' normal equations once unit effects are out."""
        if self.balanced:
            across = np.full((self.n_times, self.n_times), self.n_units / self.n_times)
        else:
            across = cross_products([self.cells], [self.cells], 1.0 / self.unit_weight)
        normal = np.diag(self.time_sums(np.ones(self.n))) - across
        n_components, labels = scipy.sparse.csgraph.connected_components(
            scipy.sparse.csr_array(across), directed=False
        )
        kept = np.setdiff1d(np.arange(self.n_times), np.unique(labels, return_index=True)[1])
        block = normal[np.ix_(kept, kept)]
        factor = scipy.linalg.cholesky(block, lower=True, check_finite=False) if kept.size else block
        return TimeSolver(kept, factor, self.n_times, int(n_components))

    def weighted(self, column: Floats) -> Floats:
        """column * weights (n,); the column itself when there are no weights."""
        return column if self.weights is None else column * self.weights

    def unit_sums(self, column: Floats | None) -> Floats:
        """Weighted sum of a column (None: of ones) in each unit."""
        values = self.weights if column is None else self.weighted(column)
        return sums(self.unit, values, self.n_units)

    def time_sums(self, column: Floats) -> Floats:
        """Weighted sum of a column in each period."""
        return sums(self.time, self.weighted(column), self.n_times)

    def residualise(self, columns: Floats) -> None:
        """Remove unit and time effects IN PLACE from columns (m, n): one variable per row of the array."""
        for column in columns if self.n else ():
            column -= column.mean()
            if self.balanced:
                grid = column.reshape(self.n_units, self.n_times)
                grid -= grid.mean(axis=1, keepdims=True)
                grid -= grid.mean(axis=0, keepdims=True)
                continue
            self._demean(column)
            column -= self.time_solver.solve(self.time_sums(column))[self.time]
            self._demean(column)

    def _demean(self, column: Floats) -> None:
        column -= (self.unit_sums(column) / self.unit_weight)[self.unit]

    def take(self, column: NDArray[np.generic]) -> Floats:
        """The rows used of an input column (n_input,), as a new float array (n,)."""
        return np.array(column[self.used] if self.n < self.n_input else column, dtype=float)

    def spread(self, values: Floats) -> Floats:
        """Back to input rows: (n,) -> (n_input,) with NaN where a row was not used."""
        if self.n == self.n_input:
            return values
        full = np.full(self.n_input, np.nan)
        full[self.used] = values
        return full


def two_way(unit: Codes, time: Codes, weights: Floats | None = None) -> TwoWay:
    """Prepare rows for regressions with unit and time effects.

    unit, time (n,) are non-negative integer codes (gaps allowed; several rows may share a unit and a
    period, as in repeated cross-sections, where `unit` is the treated group). weights (n,) non-negative
    and finite, or None. No missing values. Rows of zero weight are left out, then singletons: rows alone
    in their unit or period, again and again until none is left, as fixest 0.14 does by default (they are
    fitted exactly and carry no information). Rows sorted by unit then time in a complete unweighted panel
    take a faster path to the same numbers.

    >>> rows = two_way(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 1]))
    >>> rows.n, rows.n_units, rows.n_singletons, rows.balanced
    (4, 2, 1, True)
    """
    positive = np.ones(unit.size, dtype=bool) if weights is None else weights > 0
    used = positive
    unit_now, time_now = (unit, time) if positive.all() else (unit[positive], time[positive])
    before = _levels(unit_now), _levels(time_now)
    keep = _without_singletons(unit_now, time_now)
    if not keep.all():
        used = positive.copy()
        used[positive] = keep
        unit_now, time_now = unit_now[keep], time_now[keep]
    unit_codes, n_units = compact(unit_now)
    time_codes, n_times = compact(time_now)
    return TwoWay(
        positive=positive,
        used=used,
        unit=unit_codes,
        time=time_codes,
        n_units=n_units,
        n_times=n_times,
        weights=None if weights is None else np.asarray(weights[used], dtype=float),
        balanced=weights is None and _is_grid(unit_codes, time_codes, n_units, n_times),
        n_units_before=before[0],
        n_times_before=before[1],
    )


def sums(codes: Codes, values: Floats | None, n_levels: int) -> Floats:
    """Sum of values (None: of ones) over each code, (n_levels,)."""
    return np.asarray(np.bincount(codes, values, n_levels), dtype=float)


def table(codes: tuple[Codes, Codes], shape: tuple[int, int], values: Floats) -> scipy.sparse.csr_array:
    """Sums of values (n,) by two codes, as a sparse table."""
    pairs = (codes[0].astype(np.int32), codes[1].astype(np.int32))
    made = scipy.sparse.coo_array((values, pairs), shape=shape).tocsr()
    made.sum_duplicates()
    return made


def cross_products(
    left: Sequence[scipy.sparse.csr_array], right: Sequence[scipy.sparse.csr_array], scale: Floats
) -> Floats:
    """[left tables]' diag(scale) [right tables], dense; the tables share their (many) rows, scale (rows,)."""
    cells = scale.size * sum(part.shape[1] for part in (*left, *right))
    if sum(part.nnz for part in (*left, *right)) < DENSE_ENOUGH * cells:
        scaled = [scipy.sparse.diags_array(scale, format="csr") @ part for part in right]
        return np.block([[(one.T @ other).toarray() for other in scaled] for one in left])
    total = np.zeros((sum(part.shape[1] for part in left), sum(part.shape[1] for part in right)))
    for block in row_blocks(scale.size, sum(total.shape)):
        total += dense_rows(left, block).T @ (dense_rows(right, block) * scale[block, None])
    return total


def dense_rows(tables: Sequence[scipy.sparse.csr_array], block: slice) -> Floats:
    """Some rows of tables laid side by side, dense."""
    return np.hstack([part[block].toarray() for part in tables])


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cut `rows` so that a dense block of `columns` columns stays small."""
    step = max(1, BLOCK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _levels(codes: Codes) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _without_singletons(unit: Codes, time: Codes) -> Mask:
    """True for rows that are never alone in their unit or period while singletons are peeled off."""
    keep = np.ones(unit.size, dtype=bool)
    while True:
        alone_unit = np.bincount(unit[keep], minlength=1) == 1
        alone_time = np.bincount(time[keep], minlength=1) == 1
        if not (alone_unit.any() or alone_time.any()):
            return keep
        rows = np.flatnonzero(keep)
        keep[rows[alone_unit[unit[rows]] | alone_time[time[rows]]]] = False


def compact(codes: Codes) -> tuple[Codes, int]:
    """Codes without gaps, and how many there are; the input itself when it has no gaps."""
    present = np.bincount(codes) > 0
    if present.all():
        return codes.astype(np.intp, copy=False), int(present.size)
    return (np.cumsum(present) - 1)[codes], int(np.count_nonzero(present))


def _is_grid(unit: Codes, time: Codes, n_units: int, n_times: int) -> bool:
    if unit.size != n_units * n_times or not unit.size:
        return False
    shape = (n_units, n_times)
    return bool(
        (unit.reshape(shape) == np.arange(n_units)[:, None]).all()
        and (time.reshape(shape) == np.arange(n_times)).all()
    )
