"""Covariance of two-way estimates: independent errors, HC1 and clustered (CR1), small-sample rules stated.

Sandwich = bread (sum over clusters of score score') bread * factor. With n rows used, G clusters, k
slopes, U units and T periods the factor of clustered covariances is G/(G-1) (n-1)/(n-K), and
`small_sample` says what K is:

- "fixest": K = k + U + T - 1, less U - 1 if every unit lies in one cluster, less T - 1 if every period
does. These
  are the defaults of fixest 0.14 (K.adj=TRUE, K.fixef="nonnested", G.adj=TRUE, t.df="min").
- "stata": K = k + T if units are nested in clusters, k + U + T - 1 otherwise; singletons are counted in
n, G, U and T.
  As Stata `xtreg, fe vce(cluster)` with period dummies (with `nonest` where units are not nested).
- "areg": K = k + U + T - 1 whatever is nested, singletons counted. As Stata `areg, absorb(unit)
vce(cluster)`. - "none": factor 1 (CR0, HC0); for independent errors the mean squared residual.

HC1 uses n/(n-K) and independent errors sum of squares/(n-K), both with K = k + U + T - 1. Degrees of
freedom for t: G - 1 with clusters, n - K with that full K otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.absorb import Events, Fit
from qieval.numerics.two_way import (
    Codes,
    Floats,
    Mask,
    TwoWay,
    compact,
    cross_products,
    dense_rows,
    row_blocks,
    sums,
    table,
)

Kind = Literal["iid", "hc1", "cluster"]
SmallSample = Literal["fixest", "stata", "areg", "none"]

NO_VARIANCE = 1e-18
"""A sandwich variance below this share of the independent-errors variance is rounding (1e-9 in its root)."""


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariance (p + k, p + k) of (beta, gamma), NaN rows and columns where a column is collinear.

    df are the degrees of freedom for t; factor is the small-sample factor already applied; n_parameters
    its K. n_clusters is None without clusters. unit_nested and time_nested: each unit (period) lies in
    one cluster. degenerate (p + k,) marks coefficients whose sandwich variance is zero up to rounding,
    because the scores of every cluster vanish (a treatment that varies in one cluster only is fitted
    exactly there): no inference is possible.
    """

    matrix: Floats
    df: float
    factor: float
    n_parameters: int
    n_clusters: int | None
    unit_nested: bool
    time_nested: bool
    degenerate: Mask

    @property
    def std_error(self) -> Floats:
        """Square roots of the variances (p + k,), NaN where degenerate."""
        variance = np.where(self.degenerate, np.nan, np.diag(self.matrix))
        return np.sqrt(np.where(variance > 0, variance, np.nan))


@dataclass(frozen=True)
class Interval:
    """Statistic, two-sided p-value and interval of estimates; arrays of the same shape as beta."""

    statistic: Floats
    p_value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class _Counts:
    n: int
    units: int
    times: int
    clusters: int


def covariance(
    fit: Fit, kind: Kind = "cluster", clusters: Codes | None = None, small_sample: SmallSample = "fixest"
) -> Covariance:
    """Covariance of a fit; clusters (n_input,), non-negative integer codes, are for kind "cluster" only.

    Units may lie in several clusters. With one cluster the matrix is NaN and every coefficient degenerate.
    """
    rows = fit.base.rows
    codes = None
    unit_nested = time_nested = False
    if kind == "cluster":
        if clusters is None:
            raise ValueError("kind 'cluster' needs cluster codes")
        codes = compact(clusters[rows.used])[0]
        unit_nested = _nested(rows.unit, rows.n_units, codes)
        time_nested = _nested(rows.time, rows.n_times, codes)
    counts = _counts(rows, clusters if kind == "cluster" else None, small_sample)
    parameters = _parameters(fit.n_slopes, counts, small_sample, unit_nested, time_nested)
    full = fit.n_slopes + counts.units + counts.times - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = _factor(kind, counts, parameters, small_sample)
    matrix = (
        fit.bread * fit.sum_of_squares
        if kind == "iid"
        else fit.bread @ _meat(fit, codes, unit_nested) @ fit.bread
    )
    flat = _flat(fit, matrix)
    if not np.isfinite(factor) or factor <= 0:
        matrix, flat = np.full_like(matrix, np.nan), np.ones(len(matrix), dtype=bool)
        factor = np.nan
    return Covariance(
        matrix=_spread(matrix * factor, fit.identified),
        df=float(counts.clusters - 1 if kind == "cluster" else counts.n - full),
        factor=float(factor),
        n_parameters=parameters,
        n_clusters=counts.clusters if kind == "cluster" else None,
        unit_nested=unit_nested,
        time_nested=time_nested,
        degenerate=_place(flat, fit.identified),
    )


def t_interval(beta: Floats, std_error: Floats, df: float, level: float = 0.95) -> Interval:
    """t statistic, two-sided p-value and interval with df degrees of freedom (inf: normal).

    >>> print(t_interval(np.array([2.0]), np.array([1.0]), 10).low.round(6))
    [-0.228139]
    """
    statistic = np.asarray(beta) / std_error
    if df <= 0:
        nothing = np.full(statistic.shape, np.nan)
        return Interval(statistic, nothing, nothing, nothing)
    if np.isinf(df):
        p_value, critical = 2 * scipy.special.ndtr(-np.abs(statistic)), -scipy.special.ndtri((1 - level) / 2)
    else:
        p_value, critical = (
            2 * scipy.special.stdtr(df, -np.abs(statistic)),
            -scipy.special.stdtrit(df, (1 - level) / 2),
        )
    return Interval(statistic, p_value, beta - critical * std_error, beta + critical * std_error)


def _nested(codes: Codes, n_levels: int, clusters: Codes) -> bool:
    """Whether every level of a factor lies in one cluster."""
    home = np.empty(n_levels, dtype=clusters.dtype)
    home[codes] = clusters
    return bool((home[codes] == clusters).all())


def _counts(rows: TwoWay, clusters: Codes | None, small_sample: SmallSample) -> _Counts:
    """What is counted: the rows used, or with singletons under the conventions that keep them."""
    with_singletons = small_sample in ("stata", "areg")
    n_clusters = 0
    if clusters is not None:
        n_clusters = compact(clusters[rows.positive if with_singletons else rows.used])[1]
    if with_singletons:
        return _Counts(rows.n + rows.n_singletons, rows.n_units_before, rows.n_times_before, n_clusters)
    return _Counts(rows.n, rows.n_units, rows.n_times, n_clusters)


def _parameters(
    k: int, counts: _Counts, small_sample: SmallSample, unit_nested: bool, time_nested: bool
) -> int:
    total = k + counts.units + counts.times - 1
    if small_sample == "fixest":
        total -= (counts.units - 1) * unit_nested + (counts.times - 1) * time_nested
        return max(total, k + 1)
    if small_sample == "stata":
        return total - (counts.units - 1) * unit_nested
    return total


def _factor(kind: Kind, counts: _Counts, parameters: int, small_sample: SmallSample) -> float:
    n, g = counts.n, counts.clusters
    if small_sample == "none":
        return float(np.divide(1.0, n)) if kind == "iid" else 1.0
    left = np.float64(n - parameters)
    if kind == "iid":
        return float(1 / left)
    if kind == "hc1":
        return float(n / left)
    return float(np.float64(g) / np.float64(g - 1) * (n - 1) / left)


def _meat(fit: Fit, clusters: Codes | None, unit_nested: bool) -> Floats:
    """Sum of the outer products of the scores (q, q); clusters None means every row by itself (HC1)."""
    moment = fit.base.rows.weighted(fit.error)
    columns = [] if fit.column is None or fit.collinear[0] else [fit.column]
    columns.extend(fit.base.x)
    if clusters is None:
        if fit.events is not None:
            return _event_meat_by_row(fit, fit.events, moment**2)
        squares = moment**2
        return np.array([[one @ (other * squares) for other in columns] for one in columns])
    n_groups = int(clusters.max()) + 1
    totals = [sums(clusters, column * moment, n_groups) for column in columns]
    dense = np.array(totals, dtype=float).reshape(len(columns), n_groups).T
    if fit.events is None:
        return np.asarray(dense.T @ dense)
    return _event_meat(fit, fit.events, clusters, dense, None if unit_nested else moment)


def _event_meat(fit: Fit, events: Events, clusters: Codes, dense: Floats, moment: Floats | None) -> Floats:
    """Outer products of cluster scores; indicators stay sparse until a block of clusters is taken.

    dense (G, k) are the scores of the covariates. If units lie in several clusters (moment given), the
    residuals of a unit do not sum to zero within a cluster, and each cluster's share of the unit's
    demeaning is subtracted.
    """
    rows = fit.base.rows
    values = rows.weighted(fit.error) if moment is None else moment
    inside = events.code >= 0
    by_unit = np.array_equal(clusters, rows.unit)
    scores = [
        rows.unit_by_time(values)
        if by_unit
        else table((clusters, rows.time), (len(dense), rows.n_times), values),
        table((clusters[inside], events.code[inside]), (len(dense), events.n_events), values[inside]),
    ]
    if moment is not None:
        per_unit = table((clusters, rows.unit), (len(dense), rows.n_units), values)
        per_unit = per_unit @ scipy.sparse.diags_array(1.0 / rows.unit_weight, format="csr")
        scores = [
            scipy.sparse.csr_array(score - per_unit @ members)
            for score, members in zip(scores, (rows.cells, events.unit_table), strict=True)
        ]
    to_events = _to_events(fit, events)
    meat = np.zeros_like(fit.bread)
    for block in row_blocks(len(dense), sum(to_events.shape)):
        full = np.hstack([dense_rows(scores, block) @ to_events, dense[block]])
        meat += full.T @ full
    return meat


def _event_meat_by_row(fit: Fit, events: Events, squares: Floats) -> Floats:
    """The same with every row its own cluster: sum of squares * (z - z of the unit)(z - z of the unit)'.

    z are time and event indicators, so every sum is a table; squares (n,) are squared weighted residuals.
    """
    rows, x = fit.base.rows, fit.base.x
    inside = events.code >= 0
    t, e = rows.n_times, events.n_events
    own = np.diag(np.append(sums(rows.time, squares, t), events.sums(squares)))
    own[:t, t:] = table((rows.time[inside], events.code[inside]), (t, e), squares[inside]).toarray()
    own[t:, :t] = own[:t, t:].T
    members = [rows.cells, events.unit_table]
    squared = [
        rows.unit_by_time(squares),
        table((rows.unit[inside], events.code[inside]), (rows.n_units, e), squares[inside]),
    ]
    per_unit = sums(rows.unit, squares, rows.n_units) / rows.unit_weight
    mixed = cross_products(squared, members, 1.0 / rows.unit_weight)
    indicators = own - mixed - mixed.T + cross_products(members, members, per_unit / rows.unit_weight)
    to_events = _to_events(fit, events)
    beside = np.empty((t + e, len(x)))
    for j, column in enumerate(x):
        values = column * squares
        share = sums(rows.unit, values, rows.n_units) / rows.unit_weight
        beside[:, j] = np.append(sums(rows.time, values, t), events.sums(values))
        beside[:, j] -= np.concatenate([part.T @ share for part in members])
    cross = to_events.T @ beside
    plain = np.array([x @ (column * squares) for column in x]).reshape(len(x), len(x))
    return np.block([[to_events.T @ indicators @ to_events, cross], [cross.T, plain]])


def _to_events(fit: Fit, events: Events) -> Floats:
    """From time and event indicators to the identified residual event columns, (T + E, identified events)."""
    return np.vstack([-events.to_time, np.eye(events.n_events)])[:, ~fit.collinear]


def _flat(fit: Fit, matrix: Floats) -> Mask:
    """Coefficients whose variance is nothing but rounding, next to that of independent errors."""
    outcome = float(fit.base.y @ fit.base.rows.weighted(fit.base.y))
    plain = np.diag(fit.bread) * fit.sum_of_squares / max(fit.base.rows.n, 1)
    exact_fit = fit.sum_of_squares <= 1e-26 * outcome
    return (np.diag(matrix) <= NO_VARIANCE * plain) | exact_fit


def _spread(matrix: Floats, identified: Mask) -> Floats:
    full = np.full((identified.size, identified.size), np.nan)
    full[np.ix_(identified, identified)] = matrix
    return full


def _place(flags: Mask, identified: Mask) -> Mask:
    full = np.ones(identified.size, dtype=bool)
    full[identified] = flags
    return full
