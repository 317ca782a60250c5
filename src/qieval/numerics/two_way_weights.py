"""Weights that the static two-way regression gives to the effects of cohorts and periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.absorb import fit_static
from qieval.numerics.roll_out_rows import NO_VARIATION, RollOutRows
from qieval.numerics.two_way import Floats, sums


@dataclass(frozen=True, eq=False)
class TwoWayWeights:
    """The static coefficient as a weighted sum of effects: under parallel trends its expectation is the sum
    of weight * effect over treated cells.

    cohort, time (m,): the treated cells in units of times. weight (m,) sums to 1. share (m,): the cell's
    share of treated rows (of their weights), what an average over the treated would use. estimate: the
    static coefficient. problem: in words, if there is none, else ''.
    rows_negative: sum of the weights below zero of single rows. It differs from `negative_sum` only where
    rows of a cell have different weights (unbalanced panels, covariates): then effects must be alike
    within cells for the cells' weights to say everything.
    """

    cohort: Floats
    time: NDArray[np.int64]
    weight: Floats
    share: Floats
    estimate: float
    rows_negative: float
    problem: str = ""

    @property
    def negative_sum(self) -> float:
        """Sum of the weights below zero."""
        return float(self.weight[self.weight < 0].sum())

    @property
    def negative_share(self) -> float:
        """Share of the treated rows that lie in cells with a weight below zero."""
        return float(self.share[self.weight < 0].sum())

    @property
    def spread_to_zero(self) -> float:
        """Smallest standard deviation of the cells' effects at which their average could be zero.

        Compatible with the static coefficient: |estimate| / sd(weight / share). Small values are a warning.
        np.inf when all weights equal the shares. de Chaisemartin and D'Haultfoeuille (2020), corollary 1.
        """
        ratio = self.weight / self.share
        spread = float(np.sqrt(self.share @ (ratio - 1) ** 2)) if ratio.size else np.nan
        return float(np.inf if spread <= 1e-10 else abs(self.estimate) / spread)


def two_way_weights(rows: RollOutRows) -> TwoWayWeights:
    """Weight of each treated cell (cohort, period) in the static two-way regression.

    The weight of a treated row is its residual treatment (unit and period effects and covariates removed)
    times its weight, over the sum of these; a cell's weight is the sum over its rows. Balanced or not.
    Units treated throughout take part, as they do in the regression. Source: de Chaisemartin and
    D'Haultfoeuille (2020), theorem 1. Checked: the
    weighted sum of known effects is the coefficient on data without noise.
    """
    treated = rows.treated & (rows.weight > 0)
    fit = fit_static(rows.within(), rows.treated.astype(float))
    if fit.collinear[0] or fit.column is None:
        nothing = np.zeros(0)
        return TwoWayWeights(
            nothing, np.zeros(0, dtype=np.int64), nothing, nothing, np.nan, np.nan, NO_VARIATION
        )
    column = fit.column.copy()
    fit.base.partial_out_covariates(column)
    used = fit.base.rows.used
    weight = fit.base.rows.weighted(column)
    treated = treated[used]
    of_row = weight[treated] / weight[treated].sum()
    starts, cohort = np.unique(rows.first[used][treated], return_inverse=True)
    cells, code = np.unique(cohort * len(rows.times) + rows.time[used][treated], return_inverse=True)
    share = sums(code, rows.weight[used][treated], cells.size)
    return TwoWayWeights(
        cohort=starts[cells // len(rows.times)],
        time=np.asarray(rows.times)[cells % len(rows.times)],
        weight=sums(code, of_row, cells.size),
        share=share / share.sum(),
        estimate=float(fit.beta[0]),
        rows_negative=float(of_row[of_row < 0].sum()),
    )
