"""Interaction-weighted effects of a staggered roll-out (Sun and Abraham 2021): one regression with a
coefficient per cohort and period, averaged with the shares of the cohorts.

Conventions of fixest 0.14 `sunab` (shares of rows, or of weights where there are weights, taken as fixed;
its small-sample rules), with these differences. Without never-treated units the last cohort is the
comparison group until it starts, as in the paper; fixest drops whichever columns are collinear. The
reference period is the last period before the start (less anticipation) in which the cohort was observed
beside comparison units; fixest takes event time -1 even where a gap leaves it empty. A start in a period
without data stays a start; fixest counts such units as never treated. Cells in periods without any
comparison unit are left out with the reason, where a regression would silently compare treated cohorts
with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.absorb import Fit, fit_event
from qieval.numerics.covariance import Kind
from qieval.numerics.interaction_weighted_cells import (
    NO_CELL,
    NOBODY,
    NOT_IDENTIFIED,
    Cells,
    Grid,
    comparable_rows,
    list_cells,
    make_grid,
    weights_by_cluster,
)
from qieval.numerics.roll_out_rows import NO_ERROR, Effects, RollOutRows, clean, row_weights
from qieval.numerics.two_way import Codes, Floats, Mask

By = Literal["event time", "overall", "cohort", "period"]


@dataclass(frozen=True, eq=False, repr=False)
class InteractionWeighted:
    """Effects by cohort and period, and the averages made of them.

    cohort, time, base (m,): the start, the period and the reference period, in units of times, ordered by
    cohort then time; reference cells are not listed. estimate (m,), covariance (m, m): NaN where `reason`
    (m,) says why (a covariance may be missing where there is an estimate). size (m,): sum of the weights of
    the rows used in the cell, n_rows (m,): their number. comparison: np.inf for never-treated units, else
    the start of the last cohort. used (N,): rows that took part. problem: in words, if there is no estimate
    at all, else ''. fit, kept (N,), fitted (m,): the regression, the rows it was given and the cells that
    had a column in it. by_cluster (G, m): weight of each cluster in each cell.
    """

    cohort: Floats
    time: NDArray[np.int64]
    base: Floats
    estimate: Floats
    covariance: Floats
    size: Floats
    n_rows: Codes
    reason: tuple[str, ...]
    df: float
    comparison: float
    used: Mask
    problem: str
    fit: Fit | None
    kept: Mask
    fitted: Mask
    by_cluster: scipy.sparse.csr_array

    @property
    def event_time(self) -> Floats:
        """Periods since the start (m,)."""
        return np.asarray(self.time - self.cohort)

    @cached_property
    def estimated(self) -> Mask:
        """Which cells have an estimate (m,)."""
        return np.isfinite(self.estimate)

    def aggregate(self, by: By = "event time", sampled_shares: bool = False) -> Effects:
        """Averages of the cells, each cell counting with the weight of its rows.

        'event time' uses all cells, the others those at or after the start: 'overall' is fixest's ATT,
        'cohort' its average by cohort. Cells without an estimate are left out of the averages. Shares are
        taken as fixed, as fixest does; with sampled_shares the variance of the shares (a sample of
        clusters) is added, as in the paper: a cluster adds sum_j size_j (effect_j -
        average) / size to the average's error, without a small-sample factor.
        """
        labels = {
            "event time": self.event_time,
            "overall": np.zeros(self.time.size),
            "cohort": self.cohort,
            "period": self.time.astype(float),
        }[by]
        counted = np.ones(self.time.size, dtype=bool) if by == "event time" else self.event_time >= 0
        levels = np.zeros(1) if by == "overall" else np.unique(labels[counted])
        member = (labels == levels[:, None]) & counted & self.estimated
        totals = member @ self.size
        with np.errstate(invalid="ignore"):
            combination = np.where(totals[:, None] > 0, member * self.size / totals[:, None], 0.0)
        effects = self._combined(combination, totals > 0)
        at = np.full(levels.size, np.nan) if by == "overall" else levels
        added = self._of_shares(combination, effects.estimate) if sampled_shares else 0.0
        return Effects(at, effects.estimate, effects.covariance + added, self.df, effects.reason, combination)

    def row_weights(self, combinations: Floats) -> Floats:
        """Weights (N, a) of all rows with combinations (a, m) of the cells = weights' y; zero if not used."""
        out = np.zeros((self.used.size, len(combinations)))
        if self.fit is not None:
            out[self.kept] = row_weights(self.fit, combinations[:, self.fitted])
        return out

    def _combined(self, combination: Floats, possible: Mask) -> Effects:
        beta = np.where(self.estimated, self.estimate, 0.0)
        estimate = np.where(possible, combination @ beta, np.nan)
        known = np.isfinite(np.diag(self.covariance))
        covariance = combination[:, known] @ self.covariance[np.ix_(known, known)] @ combination[:, known].T
        blind = ~possible | (combination[:, ~known] > 0).any(axis=1)
        covariance[blind] = covariance[:, blind] = np.nan
        reason = np.where(possible, np.where(blind, NO_ERROR, ""), NO_CELL)
        return Effects(estimate, estimate, covariance, self.df, tuple(map(str, reason)), combination)

    def _of_shares(self, combination: Floats, average: Floats) -> Floats:
        """Covariance (a, a) that the sampling of the shares adds."""
        beta = np.where(self.estimated, self.estimate, 0.0)
        away = np.where(combination > 0, beta - average[:, None], 0.0)
        per_size = away * np.divide(combination, self.size, out=np.zeros_like(away), where=self.size > 0)
        by_cluster = self.by_cluster @ per_size.T
        return np.asarray(by_cluster.T @ by_cluster)


def interaction_weighted(
    rows: RollOutRows, anticipation: int = 0, kind: Kind = "cluster"
) -> InteractionWeighted:
    """Effects by cohort and period relative to the comparison group, from one two-way regression.

    Units treated in all periods must have been left out. The comparison group are the units that never
    start within the data; without any, the last cohort, and periods from its start (less anticipation) on
    are left out. kind: variance of `covariance`, clustered by rows.clusters or by unit. Checked against
    fixest 0.14.2 to 1e-8 (estimates, covariance, shares) and against a regression on explicit dummies.
    """
    grid = make_grid(rows, anticipation)
    part = comparable_rows(rows, grid, anticipation)
    cells = list_cells(rows, grid, part)
    if part.base is None or not cells.fitted.any():
        return _nothing(cells, rows, grid)
    code = np.full(grid.counts(part.used).size, -1, dtype=np.intp)
    code[cells.place[cells.fitted]] = np.arange(np.count_nonzero(cells.fitted))
    fit = fit_event(part.base, code[grid.place[part.keep]], int(cells.fitted.sum()))
    found = rows.take(part.keep).covariance(fit, kind)
    m, p = cells.place.size, fit.beta.size
    estimate, covariance = np.full(m, np.nan), np.full((m, m), np.nan)
    estimate[cells.fitted] = fit.beta
    covariance[np.ix_(cells.fitted, cells.fitted)] = clean(found, p)
    reason = np.array(cells.reason, dtype=object)
    reason[cells.fitted & ~np.isfinite(np.diag(covariance))] = NO_ERROR
    reason[np.flatnonzero(cells.fitted)[fit.collinear]] = NOT_IDENTIFIED
    return InteractionWeighted(
        cohort=grid.cohorts[cells.place // grid.n_times],
        time=rows.times[cells.place % grid.n_times],
        base=cells.base,
        estimate=estimate,
        covariance=covariance,
        size=cells.size,
        n_rows=cells.n_rows,
        reason=tuple(reason),
        df=found.df,
        comparison=grid.comparison,
        used=part.used,
        problem="",
        fit=fit,
        kept=part.keep,
        fitted=cells.fitted,
        by_cluster=weights_by_cluster(rows, grid, part, cells),
    )


def _nothing(cells: Cells, rows: RollOutRows, grid: Grid) -> InteractionWeighted:
    m = cells.place.size
    return InteractionWeighted(
        cohort=grid.cohorts[cells.place // grid.n_times],
        time=rows.times[cells.place % grid.n_times],
        base=cells.base,
        estimate=np.full(m, np.nan),
        covariance=np.full((m, m), np.nan),
        size=cells.size,
        n_rows=cells.n_rows,
        reason=tuple(why or NOBODY for why in cells.reason),
        df=np.nan,
        comparison=grid.comparison,
        used=np.zeros(rows.y.size, dtype=bool),
        problem=NOBODY,
        fit=None,
        kept=np.zeros(rows.y.size, dtype=bool),
        fitted=np.zeros(m, dtype=bool),
        by_cluster=scipy.sparse.csr_array((0, m)),
    )
