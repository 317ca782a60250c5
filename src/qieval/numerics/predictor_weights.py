"""Classic synthetic control: donor weights that share predictors, and how much each predictor counts.

Abadie, Diamond and Hainmueller (2010): predictors in standard deviations over all units (treated and donors,
n - 1); for predictor weights v the donor weights are W(v) = argmin sum_k v_k (x1_k - x0_k w)^2, w >= 0, sum
one; v minimises loss_v, the mean squared gap of the outcome over the periods of the fit. v_k is at least 1e-8
of the largest v, so that all predictors count (as in R MSCMT).

loss_v has many local minima in v, often at the ends of its range. Here it is minimised globally, by branch
and bound (`kernels/nested_tree.py`), with a lower bound that no positive v, however uneven, falls below.

Where v_k = 0 is allowed and ties are broken by the outcome ("corner" v) another problem is solved. A single
predictor that donors can match then leaves nearly all of w open, and the outcome fills it in. On the
Proposition 99 data 2.747371 has been reported for this; cigarette sales of 1980 alone give 2.744089, next to
the 2.743662 of outcomes without predictors. As soon as the other predictors count, however little, those
weights are not optimal (others match that predictor too and are nearer in all the rest) and are no limit of
W(v): the infimum over positive v is 3.0766634.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.nested_search import (
    Search,
    Unit,
    exact_weights,
    find,
    inside,
    optimal_weights,
    prepare,
    ranges,
)
from qieval.numerics.simplex import other_weights, simplex_least_squares
from qieval.numerics.threads import in_threads
from qieval.numerics.two_way import Codes, Floats, Mask

CERTIFIED = 1e-8
PLACEBO = Search(starts=0, nodes=5_000)


@dataclass(frozen=True, eq=False, kw_only=True)
class NestedFit:
    """Predictor weights v (k,) with sum one, for predictors in standard deviations, and donor weights (j,).

    loss_v: mean squared gap over the periods of the fit; loss_w: sum of v times squared discrepancies.
    gap: relative duality gap of the donor weights for this v, which certifies them.
    outcome_bound: loss_v of the best donor weights without regard to predictors.
    lower_bound: no positive v, however uneven, has a lower loss_v. complete: the branch and bound was
    finished, so that lower_bound is the infimum over all positive v (loss_v lies above it only because v_k
    has a least value) and the answer does not depend on the seed. nodes: how many were looked at.
    starts, agreeing: random starts of a local search, and how many reached loss_v (relative 1e-6). Few is
    usual, and of no concern if complete.
    v_low, v_high (k,): smallest and largest v_k seen among v with that loss (of agreeing starts, and the ends
    of what leaves the donor weights optimal): wide ranges show that v is not identified, although w is.
    identified: False if donors can reproduce all predictors in more than one way (the unit is inside their
    hull): w then does not depend on v; weights are those with the lowest loss_v among them, v is as given or
    equal, and nothing is searched.
    converged: gap at most 1e-8 (or predictors reproduced to 1e-8).
    """

    v: Floats
    weights: Floats
    loss_v: float
    loss_w: float
    gap: float
    outcome_bound: float
    lower_bound: float
    complete: bool
    nodes: int
    starts: int
    agreeing: int
    v_low: Floats
    v_high: Floats
    identified: bool
    converged: bool


@dataclass(frozen=True, eq=False)
class AllUnits:
    """Each of units (m,) as if it were treated: gaps (t, m) in all periods.

    loss_v (m,), lower_bound, identified, gap (the certificate) and complete are those of `NestedFit`.
    """

    units: Codes
    gaps: Floats
    loss_v: Floats
    lower_bound: Floats
    identified: Mask
    gap: Floats
    complete: Mask

    def mspe(self, rows: slice | Codes | Mask) -> Floats:
        """Mean squared gap (m,) over some rows."""
        out: Floats = np.mean(self.gaps[rows] ** 2, axis=0)
        return out


def nested(
    x1: Floats, x0: Floats, target: Floats, donors: Floats, *, seed: int, search: Search | None = None
) -> NestedFit:
    """The predictor weights whose donor weights fit the outcome best, and those donor weights.

    x1 (k,), x0 (k, j) predictors in any unit; target (p,) and donors (p, j) outcomes of the fitted periods.
    seed is only for the random starts (and what replaces an unfinished search).

    >>> x0, donors = np.array([[0.0, 2.0], [1.0, 1.0]]), np.array([[1.0, 5.0], [2.0, 4.0]])
    >>> fit = nested(np.array([1.0, 3.0]), x0, np.array([3.0, 3.0]), donors, seed=1)
    >>> fit.weights.round(9), round(fit.loss_v, 12), fit.complete
    (array([0.5, 0.5]), 0.0, True)
    """
    search = search or Search()
    unit = prepare(x1, x0, target, donors, search.scale)
    near = inside(unit.d)
    if near is not None:
        return _reproduced(unit, near, np.ones(unit.d.shape[0]))
    best = find(unit, search, np.random.default_rng(seed))
    fit = _fit(unit, best.v)
    low, high = ranges(unit, best, fit.weights)
    return replace(
        fit,
        lower_bound=min(best.bound, fit.loss_v),
        complete=best.complete,
        nodes=best.nodes,
        starts=best.starts,
        agreeing=len(best.agreeing),
        v_low=_whole(unit, low),
        v_high=_whole(unit, high),
    )


def fixed_v(x1: Floats, x0: Floats, v: Floats, target: Floats, donors: Floats) -> NestedFit:
    """Donor weights for given predictor weights v (k,), not negative, for predictors in standard deviations.

    A predictor with v_k = 0 is left out. There is no search: starts is zero, lower_bound is loss_v.
    """
    v = np.asarray(v, dtype=float)
    if v.shape != np.shape(x1) or not np.isfinite(v).all() or (v < 0).any() or not v.any():
        raise ValueError("v needs one finite weight for each predictor, none negative and one positive")
    unit = prepare(x1, x0, target, donors)
    stated = v[unit.varies]
    counts = stated > 0
    used = Unit(np.ascontiguousarray(unit.d[counts]), _counted(unit.varies, counts), target, donors, unit.e)
    near = inside(used.d)
    if near is not None:
        return _reproduced(used, near, stated[counts])
    return _fit(used, stated[counts])


def inverse_variance_v(x1: Floats, x0: Floats, target: Floats, donors: Floats) -> NestedFit:
    """Donor weights when each predictor counts by the inverse of its variance over all units.

    In standard deviations these are equal weights, so this is also "equal v"; equal weights of raw predictors
    would depend on their units of measurement.
    """
    return fixed_v(x1, x0, np.ones(np.shape(x1)), target, donors)


def cross_validated(
    training: tuple[Floats, Floats],
    validation: tuple[Floats, Floats],
    target: Floats,
    donors: Floats,
    *,
    seed: int,
    search: Search | None = None,
) -> NestedFit:
    """Predictor weights by cross-validation (Abadie, Diamond and Hainmueller 2015, section 3).

    training and validation: (x1 (k,), x0 (k, j)) of the first and second half of the time before the start;
    target (p,) and donors (p, j): outcomes of the second half. v minimises the error there of donor weights
    made from predictors of the first half; donor weights are then made with that v from predictors of the
    second. That v need not be unique (Klossner, Kaul, Pfeifer and Schieler 2018): v_low and v_high show it.
    They, lower_bound, complete, nodes, starts and agreeing are about the first step, the rest is the second.
    """
    first = nested(*training, target, donors, seed=seed, search=search)
    second = fixed_v(*validation, first.v, target, donors)
    return replace(
        second,
        lower_bound=first.lower_bound,
        complete=first.complete,
        nodes=first.nodes,
        starts=first.starts,
        agreeing=first.agreeing,
        v_low=first.v_low,
        v_high=first.v_high,
    )


def all_units(
    predictors: Floats,
    outcomes: Floats,
    fit_rows: slice | Codes | Mask,
    *,
    seed: int,
    units: Codes | None = None,
    treated: int | None = None,
) -> AllUnits:
    """Placebos: each of units in turn as if treated, with nested predictor weights and all others as donors.

    predictors (k, n), outcomes (t, n), fit_rows the rows of the fit; units: positions, all if None; treated:
    a unit that is no donor of others (None: it is one like any other). Units are shared among threads; the
    numbers do not depend on how many.
    """
    which = np.arange(outcomes.shape[1]) if units is None else np.asarray(units, dtype=np.intp)

    def one(unit: int) -> tuple[NestedFit, Floats]:
        pool = np.array([c for c in range(outcomes.shape[1]) if c not in (unit, treated)], dtype=np.intp)
        fit = _placebo(predictors, outcomes[fit_rows], unit, pool, seed)
        return fit, outcomes[:, unit] - outcomes[:, pool] @ fit.weights

    found = in_threads(one, which.tolist(), min(os.cpu_count() or 1, max(which.size, 1)), "placebo donors")
    fits = [fit for fit, _ in found]
    return AllUnits(
        units=which,
        gaps=np.column_stack([gaps for _, gaps in found]),
        loss_v=np.array([fit.loss_v for fit in fits]),
        lower_bound=np.array([fit.lower_bound for fit in fits]),
        identified=np.array([fit.identified for fit in fits]),
        gap=np.array([fit.gap for fit in fits]),
        complete=np.array([fit.complete for fit in fits]),
    )


def _placebo(predictors: Floats, fitted: Floats, unit: int, pool: Codes, seed: int) -> NestedFit:
    prepared = prepare(predictors[:, unit], predictors[:, pool], fitted[:, unit], fitted[:, pool])
    near = inside(prepared.d)
    if near is not None:
        return _reproduced(prepared, near, np.ones(prepared.d.shape[0]))
    best = find(prepared, PLACEBO, np.random.default_rng([seed, unit]))
    fit = _fit(prepared, best.v)
    return replace(fit, lower_bound=min(best.bound, fit.loss_v), complete=best.complete, nodes=best.nodes)


def _fit(unit: Unit, v: Floats) -> NestedFit:
    """Donor weights for v (k used,), all positive, of predictors that they cannot all reproduce."""
    weights, gap = optimal_weights(unit, v)
    share = v / v.sum()
    loss = unit.loss(weights)
    whole = _whole(unit, share)
    return NestedFit(
        v=whole,
        weights=weights,
        loss_v=loss,
        loss_w=float(share @ (unit.d @ weights) ** 2),
        gap=gap,
        outcome_bound=_outcome_bound(unit),
        lower_bound=loss,
        complete=True,
        nodes=0,
        starts=0,
        agreeing=0,
        v_low=whole,
        v_high=whole,
        identified=True,
        converged=gap <= CERTIFIED,
    )


def _reproduced(unit: Unit, near: Floats, v: Floats) -> NestedFit:
    """Of the donor weights that reproduce all predictors those with the lowest loss."""
    best = exact_weights(unit, unit.d, near)
    share = v / v.sum() if v.size else v
    loss = unit.loss(best.weights)
    whole = _whole(unit, share)
    return NestedFit(
        v=whole,
        weights=best.weights,
        loss_v=loss,
        loss_w=float(share @ (unit.d @ best.weights) ** 2),
        gap=best.gap,
        outcome_bound=_outcome_bound(unit),
        lower_bound=loss,
        complete=True,
        nodes=0,
        starts=0,
        agreeing=0,
        v_low=whole,
        v_high=whole,
        identified=unit.d.size > 0 and other_weights(unit.d, unit.d @ near, best.weights) == 0,
        converged=best.converged,
    )


def _outcome_bound(unit: Unit) -> float:
    return simplex_least_squares(unit.donors, unit.target).objective / unit.target.size


def _whole(unit: Unit, share: Floats) -> Floats:
    """Shares (k,) of all predictors: a predictor that does not vary, or does not count, has none."""
    whole = np.zeros(unit.varies.size)
    whole[unit.varies] = share
    return whole


def _counted(varies: Mask, counts: Mask) -> Mask:
    """Which of all predictors vary and count; counts is of those that vary."""
    both = varies.copy()
    both[varies] = counts
    return both
