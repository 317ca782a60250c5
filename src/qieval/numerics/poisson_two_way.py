"""Poisson regression of counts with unit and time effects and exposure: rate ratios of treatment or events.

Model: E(y) = exposure * exp(unit effect + time effect + interest * beta + covariates * gamma), so exp(beta)
is a rate ratio. Only the mean has to be right: counts may be over-dispersed when errors are clustered
(Wooldridge 1999).
Matches fixest 0.14.2 `fepois(y ~ interest + offset(log(exposure)) | unit + time)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.absorb import Fit
from qieval.numerics.covariance import Covariance, SmallSample, covariance
from qieval.numerics.poisson_newton import CountRows, Interest, newton
from qieval.numerics.two_way import Codes, Floats, Mask, sums, two_way

__all__ = [
    "CountRows",
    "PoissonFit",
    "poisson_covariance",
    "poisson_event",
    "poisson_static",
    "relative_codes",
]

PoissonVariance = Literal["model", "quasi", "hc1", "cluster"]


@dataclass(frozen=True, eq=False, repr=False)
class PoissonFit:
    """A fitted Poisson regression.

    beta (p,) log rate ratios and gamma (k,), NaN where not identified, with reason (p,) in words, else ''.
    kept (N,) marks input rows that took part; n_zero_rows and n_zero_units count rows and units that hold
    no information because every count of their unit, period or event is zero; n_singletons rows alone in
    their unit or period. mean (kept rows,) fitted counts; score (kept rows,) is weight * (y - mean).
    dispersion: Pearson's chi squared over its degrees of freedom (1 for Poisson counts). problem: why
    nothing could be estimated, then there is no `fit`; else ''.
    """

    beta: Floats
    gamma: Floats
    reason: tuple[str, ...]
    kept: Mask
    mean: Floats
    fit: Fit | None
    n_zero_rows: int
    n_zero_units: int
    n_singletons: int
    iterations: int
    converged: bool
    problem: str

    @property
    def score(self) -> Floats:
        """weight * (y - fitted count) of the kept rows."""
        return np.zeros(0) if self.fit is None else self.fit.base.rows.weighted(self.fit.error)

    @property
    def dispersion(self) -> float:
        """Pearson's chi squared / (rows - parameters); NaN without degrees of freedom left."""
        if self.fit is None:
            return float("nan")
        rows = self.fit.base.rows
        left = rows.n - self.fit.n_slopes - rows.n_units - rows.n_times + 1
        return self.fit.sum_of_squares / left if left > 0 else float("nan")


def poisson_static(rows: CountRows, d: Floats) -> PoissonFit:
    """Log rate ratio of one treatment column d (N,).

    >>> unit, time = np.repeat([0, 1], 2), np.tile([0, 1], 2)
    >>> rows = CountRows(unit, time, np.array([10.0, 20, 30, 30]), np.ones(4))
    >>> poisson_static(rows, np.array([0.0, 1, 0, 0])).beta.round(8) == np.log(2).round(8)
    array([ True])
    """
    if np.isin(d, (0, 1)).all():
        return _poisson(rows, Interest(np.asarray(d) - 1.0, 1))
    return _poisson(rows, Interest(np.asarray(d, dtype=float), None))


def poisson_event(rows: CountRows, code: Codes, n_events: int) -> PoissonFit:
    """Log rate ratios of events: beta[e] belongs to the rows with code e; -1 marks reference rows (N,).

    An event without a single count has no finite log rate ratio: NaN, with a reason, and its rows are left
    out, which changes nothing else. An event that others and the effects explain is left out (NaN), as in
    fixest; the events in that combination are then differences from it.
    """
    return _poisson(rows, Interest(np.asarray(code, dtype=float), n_events))


def relative_codes(relative: Floats, reference: int = -1) -> tuple[Codes, Floats]:
    """Event codes of time since start (N,), infinite for never treated; and the event times (E,).

    The reference period and rows of never-treated units get -1.

    >>> relative_codes(np.array([-2.0, -1, 0, 1, -np.inf]))
    (array([ 0, -1,  1,  2, -1]), array([-2.,  0.,  1.]))
    """
    inside = np.isfinite(relative) & (relative != reference)
    events, place = np.unique(relative[inside], return_inverse=True)
    code = np.full(relative.shape, -1, dtype=np.intp)
    code[inside] = place
    return code, events


def poisson_covariance(
    found: PoissonFit,
    kind: PoissonVariance = "cluster",
    clusters: Codes | None = None,
    small_sample: SmallSample = "fixest",
) -> Covariance:
    """Covariance (p + k, p + k) of (beta, gamma); clusters (N,) codes for kind "cluster".

    "model" takes the counts to be Poisson (variance = mean); "quasi" multiplies that by the dispersion
    (standard errors by its root); "hc1" and "cluster" are sandwiches with the small-sample rules of
    `covariance`. df of clusters is their number less one; fixest lists that too but takes p-values and
    intervals of Poisson models from the normal distribution (df infinite), which is too narrow with few
    clusters. ValueError if nothing was estimated.
    """
    if found.fit is None:
        raise ValueError(found.problem)
    codes = None if clusters is None else clusters[found.kept]
    if kind in ("hc1", "cluster"):
        return covariance(found.fit, "cluster" if kind == "cluster" else "hc1", codes, small_sample)
    if kind == "quasi":
        return covariance(found.fit, "iid", None, "fixest")
    return _model_covariance(found.fit)


def _model_covariance(fit: Fit) -> Covariance:
    """Inverse information: the variance of Poisson counts."""
    identified = fit.identified
    matrix = np.full((identified.size, identified.size), np.nan)
    matrix[np.ix_(identified, identified)] = fit.bread
    rows = fit.base.rows
    return Covariance(
        matrix=matrix,
        df=np.inf,
        factor=1.0,
        n_parameters=fit.n_slopes + rows.n_units + rows.n_times - 1,
        n_clusters=None,
        unit_nested=False,
        time_nested=False,
        degenerate=~identified,
    )


@dataclass(frozen=True, eq=False)
class _Informative:
    """Which rows carry information, and how many do not."""

    kept: Mask
    zero_rows: int
    zero_units: int
    singletons: int


_NOTHING_LEFT = (
    "No unit has both events and rows in at least two periods, so that no rate can be compared over time. "
    "Use longer periods or larger units."
)
_NOT_CONVERGED = (
    "The Poisson regression did not settle: counts are so sparse that some rate ratio is zero or infinite. "
    "Use longer periods, larger units or fewer covariates."
)
_NO_COUNT = (
    "There is not one event in these rows, so the rate ratio is zero and its logarithm has no value. "
    "Use longer periods or combine cells."
)
_NOT_IDENTIFIED = (
    "This effect cannot be told apart from unit effects, time effects and covariates. "
    "Compare with units treated later or never, or leave out a covariate."
)


def _poisson(rows: CountRows, interest: Interest) -> PoissonFit:
    informative = _informative(rows, interest)
    kept = informative.kept
    p, k = interest.size, 0 if rows.x is None else rows.x.shape[1]
    search = newton(rows.take(kept), interest.take(kept)) if kept.any() else None
    fit = None if search is None else search.fit
    problem = "" if search is not None and search.converged else _NOT_CONVERGED
    if search is None:
        problem = _NOTHING_LEFT
    trusted = fit is not None and not problem
    return PoissonFit(
        beta=fit.beta if fit is not None and trusted else np.full(p, np.nan),
        gamma=fit.gamma if fit is not None and trusted else np.full(k, np.nan),
        reason=_reasons(rows, interest, fit if trusted else None, problem),
        kept=kept,
        mean=np.zeros(0) if search is None else search.mean,
        fit=fit if trusted else None,
        n_zero_rows=informative.zero_rows,
        n_zero_units=informative.zero_units,
        n_singletons=informative.singletons,
        iterations=0 if search is None else search.iterations,
        converged=trusted,
        problem=problem,
    )


def _reasons(rows: CountRows, interest: Interest, fit: Fit | None, problem: str) -> tuple[str, ...]:
    """Why each column of interest has no estimate, '' where it has one."""
    counted = np.ones(1, dtype=bool)
    if interest.n_events is not None:
        inside = interest.values >= 0
        counted = sums(interest.codes[inside], rows.y[inside], interest.n_events) > 0
    missing = np.ones(counted.size, dtype=bool) if fit is None else fit.collinear
    return tuple(
        "" if not gone else problem if problem and any_ else _NOT_IDENTIFIED if any_ else _NO_COUNT
        for gone, any_ in zip(missing, counted, strict=True)
    )


def _informative(rows: CountRows, interest: Interest) -> _Informative:
    """Peel off units, periods and events without any count, and singletons, until none is left."""
    kept = rows.mass > 0
    zero_rows = np.zeros(kept.shape, dtype=bool)
    zero_units = np.zeros(int(rows.unit.max(initial=-1)) + 1, dtype=bool)
    singletons = 0
    while kept.any():
        at = np.flatnonzero(kept)
        unit, time, y = rows.unit[at], rows.time[at], rows.y[at]
        empty_unit = (np.bincount(unit, y) == 0)[unit]
        drop = empty_unit | (np.bincount(time, y) == 0)[time]
        if interest.n_events is not None:
            shifted = interest.codes[at] + 1
            drop |= (np.bincount(shifted, y) == 0)[shifted] & (shifted > 0)
        zero_units[unit[empty_unit]] = True
        zero_rows[at[drop]] = True
        at = at[~drop]
        stays = two_way(rows.unit[at], rows.time[at]).used if at.size else np.zeros(0, dtype=bool)
        singletons += int(np.count_nonzero(~stays))
        kept = np.zeros(kept.shape, dtype=bool)
        kept[at[stays]] = True
        if not drop.any() and stays.all():
            break
    return _Informative(kept, int(zero_rows.sum()), int(zero_units.sum()), singletons)
