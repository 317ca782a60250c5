"""What regressions of staggered roll-outs share: rows with the start of their unit, effects with their
covariance, the static two-way regression, its event study, and each row's weight in an effect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.absorb import Fit, Within, fit_event, fit_static, two_way, within
from qieval.numerics.covariance import Covariance, Kind, covariance
from qieval.numerics.two_way import Codes, Floats, Mask

NO_VARIATION = (
    "The treatment does not vary once differences between units and between periods are removed, so it has "
    "no effect that could be estimated; check that some units start within the data and others start later "
    "or never."
)
NOT_SEPARATE = (
    "This effect cannot be told apart from differences between units, between periods and covariates; add "
    "units that start later or never, or leave covariates out."
)


NO_ERROR = (
    "The estimate has no standard error: too few clusters differ from each other to see how much it varies; "
    "use more clusters, or compare with what permuting the starts gives."
)


@dataclass(frozen=True, eq=False, repr=False)
class RollOutRows:
    """One row per observation of a unit in a period; balanced or not, in any order.

    times (T,) are the periods as increasing whole numbers, perhaps with gaps; unit (N,) and time (N,) are
    codes, time a position in times. first (N,) is the start of the row's unit in units of times, np.inf
    for never; everything beyond times[-1] counts as never. y (N,), x (N, k) or None, weights (N,)
    non-negative or None for ones, clusters (N,) codes or None for clusters of units. No missing values.
    """

    times: NDArray[np.int64]
    unit: Codes
    time: Codes
    first: Floats
    y: Floats
    x: Floats | None = None
    weights: Floats | None = None
    clusters: Codes | None = None

    @cached_property
    def period(self) -> NDArray[np.int64]:
        """The period of each row (N,)."""
        return np.asarray(self.times, dtype=np.int64)[self.time]

    @cached_property
    def start(self) -> Floats:
        """`first` with np.inf for starts after the last period (N,)."""
        return np.where(self.first > self.times[-1], np.inf, self.first)

    @cached_property
    def treated(self) -> Mask:
        """Rows at or after the start of their unit (N,)."""
        return np.asarray(self.period >= self.first)

    @property
    def cluster(self) -> Codes:
        """Cluster codes (N,): the ones given, else the units."""
        return self.unit if self.clusters is None else self.clusters

    @cached_property
    def weight(self) -> Floats:
        """Weights with ones where none were given (N,)."""
        return np.ones(self.y.size) if self.weights is None else np.asarray(self.weights, dtype=float)

    def take(self, rows: Mask | Codes) -> RollOutRows:
        """Some of the rows, by mask or by position (a position may come more than once)."""
        if rows.dtype == bool and rows.all():
            return self
        return RollOutRows(
            self.times,
            self.unit[rows],
            self.time[rows],
            self.first[rows],
            self.y[rows],
            None if self.x is None else self.x[rows],
            None if self.weights is None else self.weights[rows],
            None if self.clusters is None else self.clusters[rows],
        )

    def within(self) -> Within:
        """Outcome and covariates without unit and period effects."""
        return within(two_way(self.unit, self.time, self.weights), self.y, self.x)

    def covariance(self, fit: Fit, kind: Kind = "cluster") -> Covariance:
        """Covariance of a regression on these rows, with the small-sample rules of fixest."""
        return covariance(fit, kind, self.cluster if kind == "cluster" else None)


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimates with their covariance.

    at (a,): what each estimate belongs to (an event time, a cohort, a period; NaN for an overall effect).
    estimate (a,) and covariance (a, a): NaN where `reason` (a,) says in words why there is none, else ''
    (a covariance may be missing where there is an estimate). df: degrees of freedom for t. combination
    (a, m): estimate = combination @ effects of cells or events.
    """

    at: Floats
    estimate: Floats
    covariance: Floats
    df: float
    reason: tuple[str, ...]
    combination: Floats

    @property
    def std_error(self) -> Floats:
        """Square roots of the variances (a,), NaN where there is none."""
        variance = np.diag(self.covariance)
        return np.sqrt(np.where(variance > 0, variance, np.nan))


def static_effect(rows: RollOutRows, kind: Kind = "cluster") -> Effects:
    """The static two-way regression: one coefficient of "treated by now", units and periods absorbed.

    In a staggered roll-out it averages effects with weights that may be negative (`two_way_weights`,
    `goodman_bacon`): shown as a warning, not as an answer. As fixest `feols(y ~ treated + x | unit +
    time)`.
    """
    base = rows.within()
    if not base.rows.n:
        return _nothing(np.array([np.nan]), NO_VARIATION)
    fit = fit_static(base, rows.treated.astype(float))
    found = rows.covariance(fit, kind)
    matrix = clean(found, 1)
    reason = (NO_VARIATION,) if fit.collinear[0] else reasons(fit.collinear, matrix)
    return Effects(np.array([np.nan]), fit.beta, matrix, found.df, reason, np.ones((1, 1)))


def event_study(rows: RollOutRows, anticipation: int = 0, kind: Kind = "cluster") -> Effects:
    """The two-way event study: a coefficient per period since the start, units and periods absorbed.

    References are the last event time before the start less `anticipation` and, where no unit is never
    treated, the earliest event time as well: otherwise a trend in event time cannot be told from unit and
    period effects (Borusyak, Jaravel and Spiess 2024). Where effects differ between cohorts each
    coefficient also picks up effects at other event times (Sun and Abraham 2021);
    `interaction_weighted` does not. As fixest `feols(y ~ i(relative, ref = -1) + x | unit + time)`.
    """
    relative = np.asarray(rows.period - np.where(np.isinf(rows.start), np.nan, rows.start))
    taking_part = np.isfinite(relative) & (rows.weight > 0)
    levels = np.unique(relative[taking_part])
    references = levels[levels < -anticipation][-1:]
    if taking_part.any() and not np.isinf(rows.start[rows.weight > 0]).any():
        references = np.union1d(references, levels[:1])
    events = np.setdiff1d(levels, references)
    place = np.searchsorted(events, np.where(taking_part, relative, 0.0))
    found_at = np.append(events, np.nan)[place] == relative
    base = rows.within()
    if not base.rows.n:
        return _nothing(events.astype(float), NOT_SEPARATE)
    fit = fit_event(base, np.where(taking_part & found_at, place, -1), events.size)
    found = rows.covariance(fit, kind)
    matrix = clean(found, events.size)
    reason = reasons(fit.collinear, matrix)
    return Effects(events.astype(float), fit.beta, matrix, found.df, reason, np.eye(events.size))


def row_weights(fit: Fit, combinations: Floats) -> Floats:
    """Weights of the rows in linear combinations of the coefficients of interest: effect = weights' y.

    combinations (a, p) over fit.beta, zero on collinear ones; returns (n_input, a), zero for rows not used.
    The covariates are accounted for, so the weights are orthogonal to them and to unit and period effects.
    """
    rows, p = fit.base.rows, fit.beta.size
    padded = np.zeros((len(combinations), fit.identified.size))
    padded[:, :p] = combinations
    inside = padded[:, fit.identified] @ fit.bread
    full = np.zeros_like(padded)
    full[:, fit.identified] = inside
    kept = full[:, p:][:, ~fit.base.dropped]
    out = np.zeros((rows.n_input, len(combinations)))
    for j, along in enumerate(full[:, :p]):
        if fit.events is None:
            line = np.asarray(fit.column) * along[0]
        else:
            line = fit.events.combine(along)
            rows.residualise(line[None, :])
        out[rows.used, j] = rows.weighted(line + kept[j] @ fit.base.x)
    return out


def clean(found: Covariance, p: int) -> Floats:
    """The covariance (p, p) of the first p coefficients, NaN where it is nothing but rounding."""
    matrix = found.matrix[:p, :p].copy()
    flat = found.degenerate[:p]
    matrix[flat] = matrix[:, flat] = np.nan
    return matrix


def reasons(collinear: Mask, matrix: Floats) -> tuple[str, ...]:
    """Why coefficients have no estimate or no standard error, '' where they have both."""
    blind = ~np.isfinite(np.diag(matrix))
    return tuple(
        NOT_SEPARATE if lost else NO_ERROR if dark else ""
        for lost, dark in zip(collinear, blind, strict=True)
    )


def _nothing(at: Floats, why: str) -> Effects:
    """No estimates, because no row is left once rows alone in their unit or period are out."""
    empty = np.full(at.size, np.nan)
    return Effects(at, empty, np.full((at.size, at.size), np.nan), np.nan, (why,) * at.size, np.eye(at.size))
