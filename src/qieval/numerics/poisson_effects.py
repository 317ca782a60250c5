"""Effects on counts over sets of cells: rate ratio, events prevented, rate difference, covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.poisson_cells import PoissonCells
from qieval.numerics.two_way import Codes, Floats, Mask, compact

By = Literal["overall", "event time", "cohort", "period"]
CellSmallSample = Literal["none", "clusters", "fixest"]


@dataclass(frozen=True, eq=False, repr=False)
class CountEffects:
    """Effects over sets of cells (s,), with influence (n, s) in the scaling of GroupTime.

    log_ratio: log of observed over expected events. prevented: expected less observed events. Both have
    influence functions; those of rate_difference and per_row are the influence of prevented divided by
    -exposure and -n_rows. Covariates and exposure of the rows are held fixed. n_cells: cells used;
    n_missing: cells of the set without an estimate, left out of every number. NaN without any cell, and
    log_ratio also without any event.
    """

    log_ratio: Floats
    prevented: Floats
    observed: Floats
    expected: Floats
    exposure: Floats
    n_rows: Floats
    n_cells: Codes
    n_missing: Codes
    log_ratio_influence: Floats
    prevented_influence: Floats

    @property
    def rate_difference(self) -> Floats:
        """Observed less expected events per unit of exposure (s,)."""
        return -self.prevented / self.exposure

    @property
    def per_row(self) -> Floats:
        """Observed less expected events per row (s,)."""
        return -self.prevented / self.n_rows


def cell_sets(cells: GroupTime, by: By) -> tuple[Floats, Mask]:
    """Labels (s,) and which cells belong to each (m, s).

    'event time' counts from the start and includes cells before it; the others take cells from the start
    on. 'overall' is labelled 0.
    """
    if by == "overall":
        return np.zeros(1), cells.post[:, None]
    key = {"event time": cells.time - cells.cohort, "cohort": cells.cohort, "period": cells.time}[by]
    inside = np.ones(key.shape, dtype=bool) if by == "event time" else cells.post
    labels = np.unique(key[inside]).astype(float)
    return labels, (key[:, None] == labels) & inside[:, None]


def count_effects(found: PoissonCells, sets: Mask) -> CountEffects:
    """Effects over sets of cells (m, s).

    The fitted total of a cell is its observed total, whose influence is the sum of its residuals; the
    expected total is that times exp(-log ratio) (delta method: the variance of the observed total as a
    model quantity counts, as with R's marginal effects).
    """
    estimated = np.isfinite(found.cells.estimate)
    inside = sets & estimated[:, None]
    ratio = np.where(estimated, np.exp(-np.where(estimated, found.cells.estimate, 0.0)), 0.0)
    total = np.where(estimated, found.observed, 0.0)
    members = inside.astype(float)
    n = found.cells.n
    of_observed = found.residual @ members * n
    of_expected = found.residual @ (members * ratio[:, None]) * n
    of_expected -= found.cells.influence @ (members * (ratio * total)[:, None])
    some = inside.any(axis=0)
    observed, expected = (np.where(some, members.T @ part, np.nan) for part in (total, ratio * total))
    safe = [np.where(some, part, 1.0) for part in (observed, expected)]
    return CountEffects(
        log_ratio=np.log(observed / expected),
        prevented=expected - observed,
        observed=observed,
        expected=expected,
        exposure=np.where(some, members.T @ found.exposure, np.nan),
        n_rows=np.where(some, members.T @ found.n_rows, np.nan),
        n_cells=inside.sum(axis=0),
        n_missing=(sets & ~estimated[:, None]).sum(axis=0),
        log_ratio_influence=of_observed / safe[0] - of_expected / safe[1],
        prevented_influence=of_expected - of_observed,
    )


def cell_covariance(
    found: PoissonCells,
    influence: Floats,
    clusters: Codes | None = None,
    small_sample: CellSmallSample = "clusters",
) -> Floats:
    """Covariance (s, s) of estimates with influence (n, s); clusters (n,) codes of units, None: units.

    small_sample 'none': factor 1; 'clusters': G/(G-1), as R's vcovCL with cadj and type HC0; 'fixest': that
    times (rows - 1)/(rows - K), K without effects nested in clusters. NaN with one cluster.
    """
    codes, n_clusters = compact(np.arange(found.cells.n) if clusters is None else clusters)
    totals = np.zeros((n_clusters, influence.shape[1]))
    np.add.at(totals, codes, influence)
    matrix: Floats = totals.T @ totals / found.cells.n**2
    if small_sample == "none":
        return matrix
    if n_clusters < 2:
        return np.full_like(matrix, np.nan)
    factor = n_clusters / (n_clusters - 1)
    if small_sample == "fixest":
        pairs = np.unique(np.stack([found.group, codes]), axis=1).shape[1]
        nested = pairs == np.unique(found.group).size
        parameters = found.n_slopes + found.n_times + (0 if nested else found.n_groups - 1)
        left = found.n_fitted - parameters
        factor *= (found.n_fitted - 1) / left if left > 0 else np.nan
    return matrix * factor
