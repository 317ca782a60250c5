"""Averages over groups of rows, less a model of untreated outcomes: what each cluster contributes to them.

A weighted average of imputed effects is linear in the outcomes. Its weights on untreated rows come through
the projection on the model (Borusyak, Jaravel and Spiess 2024, equation 6), and a cluster's score is the sum
of weights times residuals over its rows (equation 8). The same sums give the standard errors of two-stage
regressions (Gardner 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.imputation_model import REASONS, Imputed
from qieval.numerics.two_way import Codes, Floats, cross_products, dense_rows, row_blocks, sums, table

DENSE = 4
"""A table of clusters and periods is summed densely up to this many cells per row."""

NOTHING = 1e-12
"""Weights that add up to less than this share of their sizes add up to nothing."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Disjoint groups of rows whose effects are averaged.

    code (N,): 0..n_groups-1, or -1 for rows in no group. label (n_groups, ...) says in numbers what each
    group is.
    """

    code: Codes
    label: Floats

    @property
    def n_groups(self) -> int:
        """How many groups."""
        return len(self.label)


@dataclass(frozen=True, eq=False)
class Averages:
    """Average effects of groups of rows.

    label (k, ...): what the groups are, as in `Groups`. estimate (k,): NaN where `reason` (k,) says in words
    why there is none, else ''. n_rows (k,) rows averaged; left_out (k, 5) rows that could not be imputed, by
    place in REASONS. scores (n_clusters, k): covariance = scores' scores; zero columns without estimate.
    alone (k,): share of the weight in centring groups of one cluster; their effects add nothing to the
    variance because nobody is there to compare with, so with a share well above 0 the standard error is too
    small.
    """

    label: Floats
    estimate: Floats
    n_rows: Codes
    left_out: Codes
    reason: tuple[str, ...]
    scores: Floats
    alone: Floats

    @property
    def covariance(self) -> Floats:
        """Covariance of the estimates (k, k), no small-sample factor."""
        return np.asarray(self.scores.T @ self.scores)

    @property
    def std_error(self) -> Floats:
        """Standard errors (k,), NaN where there is no estimate."""
        return np.where(np.isnan(self.estimate), np.nan, np.sqrt(np.sum(self.scores**2, axis=0)))


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows averaged: places, groups and weights (sum one in each group); all (rows chosen,)."""

    row: Codes
    group: Codes
    mass: Floats


@dataclass(frozen=True, eq=False)
class Residuals:
    """What chosen rows contribute for themselves, and who belongs together.

    own (rows chosen,): residual of the effect, or of the second stage. alone (rows chosen,): 1 where a
    residual is zero for want of other clusters. clusters (N,) codes; units may lie in several. squared: the
    model refitted with squared weights, if untreated rows are to be weighted twice (see `Centring`).
    """

    own: Floats
    alone: Floats
    clusters: Codes
    squared: Imputed | None = None


def choose(imputed: Imputed, groups: Groups, extra: Floats | None = None) -> Chosen:
    """The rows of the groups that can be imputed.

    Weights are those of the rows times `extra` (N,), which may be zero; a group whose weights add up to zero
    has none.
    """
    inside = groups.code >= 0
    if imputed.missing.any():
        inside &= imputed.missing == 0
    row = np.flatnonzero(inside)
    group = groups.code[row]
    weights = [one[row] for one in (imputed.rows.weights, extra) if one is not None]
    mass = np.prod(weights, axis=0) if weights else np.ones(row.size)
    total = sums(group, mass, groups.n_groups)
    size = sums(group, np.abs(mass), groups.n_groups)
    usable = np.abs(total) > NOTHING * size
    return Chosen(row, group, mass * np.divide(1.0, total, out=np.zeros(total.shape), where=usable)[group])


def gather(imputed: Imputed, groups: Groups, chosen: Chosen, residuals: Residuals) -> Averages:
    """Averages of the chosen rows' differences, with scores and reasons."""
    k = groups.n_groups
    estimate = sums(chosen.group, chosen.mass * imputed.difference[chosen.row], k)
    filled = np.abs(sums(chosen.group, chosen.mass, k)) > 0
    left_out = _left_out(imputed, groups)
    return Averages(
        label=groups.label,
        estimate=np.where(filled, estimate, np.nan),
        n_rows=np.bincount(chosen.group, minlength=k),
        left_out=left_out,
        reason=tuple("" if ok else _why(row) for ok, row in zip(filled, left_out, strict=True)),
        scores=scores(imputed, chosen, residuals, k),
        alone=sums(chosen.group, np.abs(chosen.mass) * residuals.alone, k),
    )


def scores(imputed: Imputed, chosen: Chosen, residuals: Residuals, n_groups: int) -> Floats:
    """Contribution of each cluster to each group's average (n_clusters, n_groups)."""
    clusters = residuals.clusters
    shape = (int(clusters.max(initial=-1)) + 1, n_groups)
    out = _dense_table(clusters[chosen.row], chosen.group, chosen.mass * residuals.own, shape)
    error = imputed.model.weighted(imputed.difference[imputed.untreated])
    if residuals.squared is not None and imputed.rows.weights is not None:
        chosen = replace(chosen, mass=chosen.mass * imputed.rows.weights[chosen.row])
        imputed = residuals.squared
    _subtract_projection(out, imputed, chosen, clusters[imputed.untreated], error)
    return out


def _subtract_projection(out: Floats, imputed: Imputed, chosen: Chosen, home: Codes, error: Floats) -> None:
    """Take what comes through the model from the scores IN PLACE: error (n untreated,) times its weights."""
    model, n_groups = imputed.model, out.shape[1]
    row, at, mass = chosen.row, chosen.group, chosen.mass
    by_unit = table((imputed.unit[row], at), (model.n_units, n_groups), mass)
    by_time = _dense_table(imputed.time[row], at, mass, (model.n_times, n_groups))
    across = cross_products([model.cells], [by_unit], 1.0 / model.unit_weight)
    change = model.time_solver.solve(by_time - across)
    _subtract(out, home, model.time, error, change)
    _subtract_covariates(out, imputed, chosen, home, error)
    if not _nested(model.unit, model.n_units, home):
        _subtract_levels(out, imputed, (by_unit, change), home, error)


def lonely(codes: Codes, clusters: Codes, n_levels: int) -> Floats:
    """1.0 for levels whose rows all lie in one cluster (n_levels,)."""
    one = np.empty(n_levels, dtype=clusters.dtype)
    one[codes] = clusters
    return np.asarray(np.bincount(codes[one[codes] != clusters], minlength=n_levels) == 0, dtype=float)


def _dense_table(row: Codes, column: Codes, values: Floats, shape: tuple[int, int]) -> Floats:
    place = row * shape[1] + column
    return np.asarray(np.bincount(place, values, shape[0] * shape[1]), dtype=float).reshape(shape)


def _subtract(out: Floats, home: Codes, time: Codes, error: Floats, change: Floats) -> None:
    """Take the part of the period effects from the scores IN PLACE, a block of clusters at a time."""
    shape = (out.shape[0], change.shape[0])
    if shape[0] * shape[1] <= DENSE * error.size:
        held = _dense_table(home, time, error, shape)
        for block in row_blocks(shape[0], sum(change.shape)):
            out[block] -= held[block] @ change
        return
    sparse = table((home, time), shape, error)
    for block in row_blocks(shape[0], sum(change.shape)):
        out[block] -= dense_rows([sparse], block) @ change


def _subtract_covariates(out: Floats, imputed: Imputed, chosen: Chosen, home: Codes, error: Floats) -> None:
    """Take the part of the covariates' coefficients from the scores IN PLACE."""
    if imputed.base is None or not imputed.x.shape[0]:
        return
    moments = np.array(
        [sums(chosen.group, chosen.mass * line[chosen.row], out.shape[1]) for line in imputed.x]
    )
    slopes = scipy.linalg.cho_solve((imputed.base.gram_factor, True), moments)
    for line, slope in zip(imputed.base.x, slopes, strict=True):
        out -= np.outer(sums(home, error * line, out.shape[0]), slope)


def _nested(unit: Codes, n_units: int, home: Codes) -> bool:
    """Whether the untreated rows of every unit lie in one cluster: then their residuals sum to zero there."""
    one = np.empty(n_units, dtype=home.dtype)
    one[unit] = home
    return bool((one[unit] == home).all())


def _subtract_levels(
    out: Floats,
    imputed: Imputed,
    solved: tuple[scipy.sparse.csr_array, Floats],
    home: Codes,
    error: Floats,
) -> None:
    """Take the part of the unit effects, D^-1 (S - C change), from the scores IN PLACE."""
    model = imputed.model
    by_unit, change = solved
    shares = table((model.unit, home), (model.n_units, out.shape[0]), error)
    scale = 1.0 / model.unit_weight
    out -= cross_products([shares], [by_unit], scale)
    out += cross_products([shares], [model.cells], scale) @ change


def _left_out(imputed: Imputed, groups: Groups) -> Codes:
    """Rows of each group that could not be imputed, by reason (k, 5)."""
    lost = np.flatnonzero((groups.code >= 0) & (imputed.missing > 0))
    place = groups.code[lost] * len(REASONS) + imputed.missing[lost]
    return np.bincount(place, minlength=groups.n_groups * len(REASONS)).reshape(-1, len(REASONS))


def _why(left_out: NDArray[np.intp]) -> str:
    """Why a group has no estimate, in a sentence."""
    if not left_out.any():
        return "No treated row counts here; check the starts, and that the weights do not add up to nothing."
    return f"No row of this group can be imputed: {REASONS[int(left_out.argmax())]}."
