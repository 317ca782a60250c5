"""Least squares with unit and time effects absorbed: a treatment column, or one column per event period.

Model: y = unit effect + time effect + interest columns * beta + covariates * gamma + error, weighted or
not. Unit effects go by demeaning, time effects by an exact solve (`two_way`), and event columns, which
are indicators, never exist as dense columns: their cross-products are sums over units and periods
(Frisch-Waugh-Lovell by blocks). Matches fixest 0.14.2 `feols(y ~ interest + x | unit + time)` including
its removal of singletons.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask, TwoWay, cross_products, sums, table, two_way

__all__ = ["Fit", "TwoWay", "Within", "fit_event", "fit_static", "partial_out", "two_way", "within"]

ABSORBED = 1e-9
"""A column whose norm falls below this share once effects are out is explained by them (rounding: 1e-14)."""

COLLINEAR = 1e-10
"""A column with 1 - R^2 below this, given earlier ones, is collinear; fixest 0.14 uses 1e-9."""


@dataclass(frozen=True, eq=False, repr=False)
class Within:
    """Outcome and covariates with unit and time effects removed; made by `within`, shared by several fits.

    y (n,), x (kept covariates, n), gram = x W x'. dropped (k,) marks covariates left out as collinear.
    """

    rows: TwoWay
    y: Floats
    x: Floats
    gram: Floats
    dropped: Mask

    @cached_property
    def gram_factor(self) -> Floats:
        """Cholesky factor (lower) of the covariates' gram matrix."""
        return scipy.linalg.cholesky(self.gram, lower=True) if self.gram.size else self.gram

    def covariate_moments(self, column: Floats) -> Floats:
        """x W column (kept covariates,)."""
        return self.x @ self.rows.weighted(column)

    def partial_out_covariates(self, column: Floats) -> None:
        """Remove the covariates IN PLACE from a column (n,) whose unit and time effects are already out."""
        if self.x.shape[0]:
            column -= (
                scipy.linalg.cho_solve((self.gram_factor, True), self.covariate_moments(column)) @ self.x
            )


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """Event columns as codes: code[row] in 0..n_events-1 where the row lies in that event, -1 elsewhere.

    to_time (n_times, n_events) are the time effects of each event column once unit effects are out, so a
    residual event column is the demeaned indicator minus these. unit_table is the weight of each unit in
    each event.
    """

    code: Codes
    n_events: int
    unit_table: scipy.sparse.csr_array
    to_time: Floats

    def sums(self, values: Floats) -> Floats:
        """Sum of values (n,) over the rows of each event (n_events,)."""
        inside = self.code >= 0
        return sums(self.code[inside], values[inside], self.n_events)

    def combine(self, beta: Floats) -> Floats:
        """Sum of the event columns times beta (n,)."""
        return np.append(beta, 0.0)[self.code]


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted two-way regression.

    beta (p,) are the coefficients of interest and gamma (k,) those of the covariates; NaN where a column
    is collinear (`collinear` (p,) for interest, `base.dropped` (k,) for covariates). A collinear column
    of interest means that its effect is not identified: covariates and effects come first. bread (q, q)
    is the inverse of the residual cross-products of the q identified columns, interest first. error (n,)
    are the residuals of the rows used.
    """

    base: Within
    beta: Floats
    gamma: Floats
    collinear: Mask
    bread: Floats
    error: Floats
    column: Floats | None
    events: Events | None

    @property
    def identified(self) -> Mask:
        """Which of (beta, gamma) were estimated (p + k,)."""
        return ~np.concatenate([self.collinear, self.base.dropped])

    @property
    def n_slopes(self) -> int:
        """Coefficients estimated, effects not counted."""
        return int(np.count_nonzero(self.identified))

    @property
    def residuals(self) -> Floats:
        """Residuals on the input rows (n_input,), NaN for rows not used (singletons, zero weights)."""
        return self.base.rows.spread(self.error)

    @property
    def sum_of_squares(self) -> float:
        """Weighted sum of squared residuals."""
        return float(self.error @ self.base.rows.weighted(self.error))


def within(rows: TwoWay, y: Floats, x: Floats | None = None) -> Within:
    """Remove unit and time effects from the outcome and the covariates, and leave out collinear covariates.

    y (n_input,), x (n_input, k) or None; finite values only. One working copy of (y, x) is made.
    A covariate is dropped if the effects explain it (a constant trait of a unit, say) or earlier
    covariates do.
    """
    outcome = rows.take(y)
    rows.residualise(outcome[None, :])
    k = 0 if x is None else x.shape[1]
    columns = np.empty((k, rows.n))
    sizes = np.empty(k)
    for j in range(k):
        columns[j] = rows.take(x[:, j])  # type: ignore[index]
        sizes[j] = _norm(rows, columns[j])
    rows.residualise(columns)
    gram = np.array([columns @ rows.weighted(column) for column in columns]).reshape(k, k)
    kept = _independent(gram, np.sqrt(np.diag(gram)) > ABSORBED * sizes)
    if not kept.all():
        columns, gram = columns[kept], gram[np.ix_(kept, kept)]
    return Within(rows, outcome, columns, gram, ~kept)


def fit_static(base: Within, d: Floats) -> Fit:
    """Coefficient of one treatment column d (n_input,) given effects and covariates.

    >>> rows = two_way(np.repeat([0, 1, 2], 2), np.tile([0, 1], 3))
    >>> base = within(rows, np.array([1.0, 2, 3, 4, 5, 9]))
    >>> fit_static(base, np.array([0.0, 0, 0, 0, 0, 1])).beta.round(12)
    array([3.])
    """
    column = base.rows.take(d)
    size = _norm(base.rows, column)
    base.rows.residualise(column[None, :])
    square = float(column @ base.rows.weighted(column))
    possible = np.array([np.sqrt(square) > ABSORBED * size])
    return _solve(base, np.array([[square]]), np.array([square]), possible, column)


def fit_event(base: Within, code: Codes, n_events: int) -> Fit:
    """Coefficients of event columns: beta[e] belongs to 1[code == e].

    code (n_input,) integers: 0..n_events-1 where a (treated) row lies in that event, -1 for reference
    periods and untreated rows. Every row lies in one event at most, so the columns stay sparse however
    many they are.
    """
    rows = base.rows
    used = code[rows.used] if rows.n < rows.n_input else code
    inside = used >= 0
    values = (np.ones(rows.n) if rows.weights is None else rows.weights)[inside]
    event = used[inside]
    unit_table = table((rows.unit[inside], event), (rows.n_units, n_events), values)
    by_time = table((rows.time[inside], event), (rows.n_times, n_events), values).toarray()
    joint = cross_products([rows.cells, unit_table], [unit_table], 1.0 / rows.unit_weight)
    across = by_time - joint[: rows.n_times]
    to_time = rows.time_solver.solve(across)
    raw = by_time.sum(axis=0)
    gram = np.diag(raw) - joint[rows.n_times :] - across.T @ to_time
    events = Events(used, n_events, unit_table, to_time)
    return _solve(base, (gram + gram.T) / 2, raw, raw > 0, events)


def partial_out(base: Within, columns: Floats) -> Floats:
    """Exact residuals of columns (n_input, m) on unit effects, time effects and the covariates of `base`.

    Returns (n, m) for the rows used; one column is worked on at a time.
    """
    out = np.empty((columns.shape[1], base.rows.n))
    for j in range(columns.shape[1]):
        out[j] = base.rows.take(columns[:, j])
        base.rows.residualise(out[j : j + 1])
        base.partial_out_covariates(out[j])
    return out.T


def _solve(base: Within, gram: Floats, raw: Floats, possible: Mask, interest: Floats | Events) -> Fit:
    """Normal equations of (covariates, interest), solved, then corrected once by their own residual.

    gram (p, p) residual cross-products of interest, raw (p,) squared sizes that make pivots scale-free.
    """
    k, p = base.x.shape[0], raw.size
    cross = _interest_moments(interest, base, base.x)
    full = np.block([[base.gram, cross.T], [cross, gram]]) if k else gram
    kept = _independent(full, np.append(np.ones(k, bool), possible), np.append(np.diag(base.gram), raw))
    kept[:k] = True
    order = np.append(np.arange(k, k + p), np.arange(k))
    order = order[kept[order]]
    matrix = full[np.ix_(order, order)]
    bread = _inverse(matrix)
    everything = np.zeros(k + p)
    error = base.y.copy()
    for _ in range(2):
        moments = np.append(base.covariate_moments(error), _interest_moments(interest, base, error[None, :]))
        step = np.zeros(k + p)
        step[order] = bread @ moments[order]
        everything += step
        error -= _fitted(interest, base.rows, step[k:])
        error -= step[:k] @ base.x
    collinear = ~kept[k:]
    gamma = np.full(base.dropped.size, np.nan)
    gamma[~base.dropped] = everything[:k]
    return Fit(
        base=base,
        beta=np.where(collinear, np.nan, everything[k:]),
        gamma=gamma,
        collinear=collinear,
        bread=bread,
        error=error,
        column=None if isinstance(interest, Events) else interest,
        events=interest if isinstance(interest, Events) else None,
    )


def _interest_moments(interest: Floats | Events, base: Within, columns: Floats) -> Floats:
    """Interest W columns' (p, m); columns (m, n) are free of unit and time effects already."""
    weighted = base.rows.weighted
    if isinstance(interest, Events):
        totals = [interest.sums(weighted(column)) for column in columns]
        return np.array(totals).reshape(len(columns), interest.n_events).T
    return np.array([columns @ weighted(interest)])


def _fitted(interest: Floats | Events, rows: TwoWay, beta: Floats) -> Floats:
    if not isinstance(interest, Events):
        return np.asarray(interest * beta[0])
    line = interest.combine(beta)
    rows.residualise(line[None, :])
    return line


def _independent(gram: Floats, possible: Mask, sizes: Floats | None = None) -> Mask:
    """Which columns are not explained by earlier ones: pivots of an in-order Cholesky over `sizes`."""
    sizes = np.diag(gram) if sizes is None else sizes
    scale = np.where(possible & (sizes > 0), sizes, 1.0)
    rest = gram / np.sqrt(np.outer(scale, scale))
    kept = possible & (sizes > 0)
    for j in np.flatnonzero(kept):
        pivot = rest[j, j]
        kept[j] = pivot > COLLINEAR
        if kept[j]:
            rest[j + 1 :, j + 1 :] -= np.outer(rest[j + 1 :, j] / pivot, rest[j, j + 1 :])
    return kept


def _inverse(matrix: Floats) -> Floats:
    """Inverse of a symmetric positive definite matrix, after scaling to unit diagonal."""
    if not matrix.size:
        return matrix
    scale = 1.0 / np.sqrt(np.diag(matrix))
    factor = scipy.linalg.cholesky(matrix * np.outer(scale, scale), lower=True)
    inverse = scipy.linalg.cho_solve((factor, True), np.eye(len(matrix)))
    return np.asarray((inverse + inverse.T) / 2 * np.outer(scale, scale))


def _norm(rows: TwoWay, column: Floats) -> float:
    return float(np.sqrt(column @ rows.weighted(column)))
