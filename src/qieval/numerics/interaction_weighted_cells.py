"""Cohorts by periods of a staggered roll-out: which rows can be compared, which cells get a coefficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.absorb import Within
from qieval.numerics.roll_out_rows import RollOutRows
from qieval.numerics.two_way import Codes, Floats, Mask, compact, sums, table

NO_BASE = (
    "This cohort was never observed before its start (less anticipation) beside a comparison unit, so there "
    "is nothing to measure its change from; add earlier periods or leave the cohort out."
)
NO_COMPARISON = (
    "No comparison unit was observed in this period, so a change over time cannot be told from an effect; "
    "shorten the period studied or add units that start later or never."
)
ALL_STARTED = (
    "Every unit has started (or may already anticipate its start) by this period, so nobody is left to "
    "compare with; only earlier periods can be estimated."
)
NOT_IDENTIFIED = (
    "The rows of this cohort and period are explained by unit and period effects or covariates, so no "
    "effect is left to estimate; use fewer covariates or look for units observed only once."
)
NOBODY = (
    "No cohort can be compared with anybody: units must start in at least two different periods, or some "
    "must never start, and they must be observed before the start."
)
NO_CELL = "None of the cells this average is made of could be estimated; see the reasons given for them."


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """Cohorts by periods.

    cohorts (C,): starts of the cohorts compared; comparison: np.inf, or the start of the last cohort when
    no unit is never treated; limit: periods before it can be used. place (N,): cell of each row, cohort *
    T + time, comparison units last.
    """

    cohorts: Floats
    comparison: float
    limit: float
    place: Codes
    n_times: int

    @property
    def n_cohorts(self) -> int:
        """Cohorts, the comparison units not counted."""
        return int(self.cohorts.size)

    def counts(self, rows: Mask) -> Codes:
        """Rows in each cell (cohorts + 1, T)."""
        length = (self.n_cohorts + 1) * self.n_times
        return np.bincount(self.place[rows], minlength=length).reshape(-1, self.n_times)


@dataclass(frozen=True, eq=False, repr=False)
class Part:
    """Rows that can be compared.

    keep (N,): rows given to the regression, used (N,): rows it used; reference (C,): position of each
    cohort's reference period or -1; observed (C + 1, T): cells with rows used; base: the regression
    without its event columns, None if there are no rows.
    """

    keep: Mask
    used: Mask
    reference: Codes
    observed: Mask
    base: Within | None


@dataclass(frozen=True, eq=False, repr=False)
class Cells:
    """Cells other than references, by cohort then time.

    place (m,): cohort * T + time; base (m,): reference period or NaN; fitted (m,): cells that get a column
    in the regression; reason (m,): why the others do not; size (m,): weights of the rows used.
    """

    place: Codes
    base: Floats
    reason: tuple[str, ...]
    fitted: Mask
    size: Floats
    n_rows: Codes


def make_grid(rows: RollOutRows, anticipation: int) -> Grid:
    """Cohorts, comparison units and the periods in which there are any."""
    starts = np.unique(rows.start[rows.weight > 0])
    comparison = float(starts[-1]) if starts.size else np.inf
    cohorts = starts[:-1]
    limit = np.inf if np.isinf(comparison) else comparison - anticipation
    n_times = len(rows.times)
    place = np.minimum(np.searchsorted(cohorts, rows.start), cohorts.size) * n_times + rows.time
    return Grid(cohorts, comparison, limit, place, n_times)


def _references(observed: Mask, grid: Grid, times: NDArray[np.int64], anticipation: int) -> Codes:
    """Position of each cohort's reference period (cohorts,), -1 where there is none."""
    before = np.asarray(times) < grid.cohorts[:, None] - anticipation
    possible = observed[:-1] & before & observed[-1]
    last = grid.n_times - 1 - np.argmax(possible[:, ::-1], axis=1)
    return np.where(possible.any(axis=1), last, -1)


def _usable(observed: Mask, reference: Codes) -> Mask:
    """Cells that may take part, flat: periods with comparison units, cohorts with a reference."""
    usable = np.broadcast_to(observed[-1], observed.shape).copy()
    usable[:-1][reference < 0] = False
    return usable.ravel()


def comparable_rows(rows: RollOutRows, grid: Grid, anticipation: int) -> Part:
    """Rows that can be compared: repeated until no row is alone and every cohort has its reference."""
    keep = (rows.weight > 0) & (rows.period < grid.limit)
    while True:
        base = rows.take(keep).within() if keep.any() else None
        used = keep.copy()
        if base is not None:
            used[keep] = base.rows.used
        observed = grid.counts(used) > 0
        reference = _references(observed, grid, rows.times, anticipation)
        wrong = used & ~_usable(observed, reference)[grid.place]
        if not wrong.any():
            return Part(keep, used, reference, observed, base)
        keep = used & ~wrong


def list_cells(rows: RollOutRows, grid: Grid, part: Part) -> Cells:
    """The cells observed, less each cohort's reference, and why some of them have no column."""
    present = grid.counts(rows.weight > 0)
    listed = present[:-1] > 0
    cohort = np.arange(grid.n_cohorts)
    listed[cohort[part.reference >= 0], part.reference[part.reference >= 0]] = False
    place = np.flatnonzero(listed)
    of, at = place // grid.n_times, place % grid.n_times
    reference = part.reference[of]
    reason = np.full(place.size, "", dtype=object)
    fitted = part.observed[of, at]
    reason[~fitted] = NOT_IDENTIFIED
    reason[~part.observed[-1][at]] = NO_COMPARISON
    reason[reference < 0] = NO_BASE
    reason[rows.times[at] >= grid.limit] = ALL_STARTED
    weight = sums(grid.place[part.used], rows.weight[part.used], present.size)
    return Cells(
        place=place,
        base=np.where(reference >= 0, rows.times[reference], np.nan),
        reason=tuple(reason),
        fitted=fitted & (reason == ""),
        size=weight[place],
        n_rows=grid.counts(part.used).ravel()[place],
    )


def weights_by_cluster(rows: RollOutRows, grid: Grid, part: Part, cells: Cells) -> scipy.sparse.csr_array:
    """Sum of the weights of each cluster in each cell (G, m)."""
    column = np.full(grid.counts(part.used).size, -1, dtype=np.intp)
    column[cells.place] = np.arange(cells.place.size)
    at = column[grid.place]
    inside = part.used & (at >= 0)
    codes, n_clusters = compact(rows.cluster[inside])
    return table((codes, at[inside]), (n_clusters, cells.place.size), rows.weight[inside])
