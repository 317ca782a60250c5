"""Effects of cells that depend on covariates, and the influence of units on Poisson coefficients."""

from __future__ import annotations

import numpy as np
import scipy

from qieval.numerics.absorb import Fit, partial_out
from qieval.numerics.poisson_two_way import PoissonFit
from qieval.numerics.two_way import Codes, Floats, Mask, sums, table

PART = 1e-6
"""Coefficients above this make a part in a combination of indicator columns."""


def cell_columns(x: Floats, code: Codes, m: int) -> Floats:
    """Covariates (N, k) within each cell, centred there: (N, m * k), cells outermost; code -1 is no cell.

    Centring only improves the arithmetic: the cell's own effect takes up any constant.
    """
    n, k = x.shape
    columns = np.zeros((n, m, k))
    inside = np.flatnonzero(code >= 0)
    own = code[inside]
    count = np.maximum(sums(own, None, m), 1.0)
    for j in range(k):
        mean = sums(own, x[inside, j], m) / count
        columns[inside, own, j] = x[inside, j] - mean[own]
    return columns.reshape(n, m * k)


def averaged(found: PoissonFit, mass: Floats, x: Floats, code: Codes) -> tuple[Floats, Floats]:
    """Log of observed over expected events of cells (m,), and its derivative by all coefficients (p + K, m).

    mass (rows,) weights; x (rows, K): covariates, then `cell_columns`; code (rows,), all of the kept rows.
    Expected are fitted counts with the cell's effect and its covariates' effects taken away. The
    derivative follows from the score of the cell's own effect, which ties its fitted total to the count:
    the change of cohort and period effects cancels, so only slopes appear (cohort effects needed).
    """
    m = found.beta.size
    k = x.shape[1] // (m + 1)
    gamma = np.where(np.isfinite(found.gamma), found.gamma, 0.0)
    delta = np.append(np.where(np.isfinite(found.beta), found.beta, 0.0), 0.0)
    fitted = mass * found.mean
    expected = fitted * np.exp(-delta[code] - x[:, k:] @ gamma[k:])
    inside = code >= 0
    own = code[inside]
    fitted_total = sums(own, fitted[inside], m)
    expected_total = sums(own, expected[inside], m)
    some = fitted_total > 0
    turn = np.vstack([np.eye(m), np.zeros((x.shape[1], m))])
    for j in range(x.shape[1]):
        column = x[inside, j]
        turn[m + j, some] = sums(own, fitted[inside] * column, m)[some] / fitted_total[some]
        if j < k:
            turn[m + j, some] -= sums(own, expected[inside] * column, m)[some] / expected_total[some]
    ratio = np.zeros(m)
    ratio[some] = np.log(fitted_total[some] / expected_total[some])
    return ratio, turn


def parameter_influence(fit: Fit, unit: Codes, n: int) -> Floats:
    """Influence of units (n, q) on the q identified coefficients, events first; unit (rows,) codes.

    Scores of residual columns: an event's indicator less its share in the absorbed group, less the same of
    the period indicators times their coefficients. Scaled so that the sum of squares over n**2 is the
    variance with independent units.
    """
    rows, events = fit.base.rows, fit.events
    if events is None:
        raise ValueError("influence is for regressions on events")
    moment = rows.weighted(fit.error)
    inside = events.code >= 0
    by_group = table((unit, rows.unit), (n, rows.n_units), moment)
    by_group = by_group @ scipy.sparse.diags_array(1.0 / rows.unit_weight, format="csr")
    by_event = table((unit[inside], events.code[inside]), (n, events.n_events), moment[inside])
    by_time = table((unit, rows.time), (n, rows.n_times), moment)
    score = (by_event - by_group @ events.unit_table).toarray()
    score -= (by_time - by_group @ rows.cells) @ events.to_time
    slopes = [sums(unit, column * moment, n) for column in fit.base.x]
    full = np.column_stack([score[:, ~fit.collinear], *slopes])
    return np.asarray(full @ fit.bread * n)


def not_estimable(fit: Fit) -> Mask:
    """Events (p,) whose coefficient stands for a difference from an event that was left out as collinear.

    An event that is a combination of effects, covariates and other events takes the level of those others
    with it: only what has no part in the combination is estimated. Needs rows x events of memory where
    some event is collinear, nothing otherwise.
    """
    events = fit.events
    tied = np.zeros(fit.collinear.size, dtype=bool)
    if events is None or not fit.collinear.any():
        return tied
    columns = partial_out(fit.base, (events.code[:, None] == np.arange(tied.size)).astype(float))
    root = np.sqrt(fit.base.rows.weighted(np.ones(len(columns))))[:, None]
    share, *_ = np.linalg.lstsq(columns[:, ~fit.collinear] * root, columns[:, fit.collinear] * root)
    tied[~fit.collinear] = (np.abs(share) > PART).any(axis=1)
    return tied
