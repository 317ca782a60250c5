"""Donor weights by elastic net with an intercept, its penalties chosen by cross-validation.

Doudchenko and Imbens (2016), "Balancing, regression, difference-in-differences and synthetic control
methods: a synthesis". Weights may be negative and need not add up to one. The minimum for given penalties is
exact (feature-sign search: Lee, Battle, Raina and Ng 2006), not where a descent happens to be stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Floats
from qieval.progress import progress

MIXINGS = (0.1, 0.5, 0.9, 1.0)
SPAN = 1e-4
"""The grid of penalties runs from the one that leaves no donor down to this share of it."""

LEAST_MIXING = 1e-3
"""Without an absolute part no penalty leaves no donor: its grid is that of this mixing."""

LEAST_RIDGE = 1e-10
"""Smallest squared part of the penalty, relative to the donors' mean square: it makes the weights unique."""

TIGHT = 1e-10
MOST_STEPS = 50
"""Active-set steps for each donor and penalty, at most; a few are usual."""


@dataclass(frozen=True, eq=False)
class ElasticNet:
    """Weights (j,) and intercept at the penalties with the smallest error, and the errors of all.

    gaps (t,) = treated - synthetic. mixing is the share of the absolute part, penalty its size; mixings (a,),
    penalties (a, n) from large to small, errors (a, n) the mean squared error of prediction at each.
    converged is False if any fit on the way stopped early.
    """

    weights: Floats
    intercept: float
    gaps: Floats
    mixing: float
    penalty: float
    mixings: Floats
    penalties: Floats
    errors: Floats
    converged: bool


@dataclass(frozen=True, eq=False)
class _Problem:
    """Minimise w'gram w - 2 cross'w + penalties: means are taken off, so that the intercept is free."""

    gram: Floats
    cross: Floats
    size: float

    @staticmethod
    def of(x1: Floats, x0: Floats) -> _Problem:
        centred = x0 - x0.mean(axis=0)
        gram = centred.T @ centred
        return _Problem(gram, centred.T @ (x1 - x1.mean()), float(np.trace(gram)) / len(gram))

    def split(self, penalty: float, mixing: float) -> tuple[float, float]:
        """Absolute and squared part: penalty (mixing |w|_1 + (1 - mixing) / 2 |w|_2^2)."""
        return penalty * mixing, max(penalty * (1 - mixing) / 2, LEAST_RIDGE * self.size)


@dataclass(frozen=True, eq=False)
class _Fold:
    """Rows to fit on and rows to predict, of a unit and of its donors."""

    x1: Floats
    x0: Floats
    later1: Floats
    later0: Floats


def elastic_net(
    target: Floats,
    donors: Floats,
    pre: int,
    *,
    over: Literal["donors", "periods"] = "donors",
    mixings: Sequence[float] = MIXINGS,
    n_penalties: int = 20,
) -> ElasticNet:
    """Elastic-net weights of donors (t, j) for target (t,), fitted on the first `pre` rows.

    Minimises |x1 - m - x0 w|^2 + penalty (mixing |w|_1 + (1 - mixing) / 2 |w|_2^2). over "donors", as in the
    paper: each donor in turn as if treated, with the other donors, errors at the later rows; "periods":
    each earlier row left out in turn. One grid of penalties, set by the treated unit, serves all. Donors are
    not standardised: they are measured in the same unit. Errors: ValueError if there are too few donors
    or rows for what `over` asks, or the donors before the start say nothing about the treated unit.
    """
    problem = _Problem.of(target[:pre], donors[:pre])
    penalties = _grid(problem, mixings, n_penalties)
    n_folds = _n_folds(donors, pre, over)
    errors, rows, converged = np.zeros(penalties.shape), 0, True
    for one in progress(range(n_folds), "cross-validation"):
        fold = _donor_fold(donors, pre, one) if over == "donors" else _period_fold(target, donors, pre, one)
        paths, solved = _paths(_Problem.of(fold.x1, fold.x0), penalties, mixings)
        centre = fold.x1.mean() - paths @ fold.x0.mean(axis=0)
        missed = fold.later1 - centre[..., None] - paths @ fold.later0.T
        errors += np.sum(missed**2, axis=2)
        rows += fold.later1.size
        converged = converged and solved
    errors /= rows
    best, place = np.unravel_index(int(np.argmin(errors)), errors.shape)
    paths, solved = _paths(problem, penalties[[best], : place + 1], [mixings[int(best)]])
    weights = paths[0, -1]
    intercept = float(target[:pre].mean() - donors[:pre].mean(axis=0) @ weights)
    return ElasticNet(
        weights=weights,
        intercept=intercept,
        gaps=target - intercept - donors @ weights,
        mixing=float(mixings[int(best)]),
        penalty=float(penalties[best, place]),
        mixings=np.asarray(mixings, dtype=float),
        penalties=penalties,
        errors=errors,
        converged=converged and solved,
    )


def elastic_net_weights(x1: Floats, x0: Floats, penalty: float, mixing: float) -> tuple[Floats, bool]:
    """Weights (j,) of donors x0 (pre, j) for x1 (pre,) at given penalties, and whether they are exact.

    >>> weights, exact = elastic_net_weights(np.array([0.0, 2, 4]), np.array([[0.0], [1], [2]]), 4.0, 1.0)
    >>> weights.round(6), exact
    (array([1.]), True)
    """
    problem = _Problem.of(x1, x0)
    return _search(problem, *problem.split(penalty, mixing), np.zeros(x0.shape[1]))


def _grid(problem: _Problem, mixings: Sequence[float], size: int) -> Floats:
    """Penalties (a, n) in equal ratios, downwards from the smallest that leaves all weights at zero."""
    top = 2 * float(np.abs(problem.cross).max())
    if top == 0:
        raise ValueError("the donors are flat before the start, or unrelated to the treated unit")
    falling = SPAN ** np.linspace(0, 1, size)
    return np.array([top / max(mixing, LEAST_MIXING) * falling for mixing in mixings])


def _n_folds(donors: Floats, pre: int, over: str) -> int:
    if over == "donors" and (donors.shape[1] < 3 or pre >= donors.shape[0]):
        raise ValueError("cross-validation over donors needs three donors and a row after the start")
    if over == "periods" and pre < 3:
        raise ValueError("cross-validation over periods needs three rows before the start")
    return donors.shape[1] if over == "donors" else pre


def _donor_fold(donors: Floats, pre: int, unit: int) -> _Fold:
    others = np.delete(donors, unit, axis=1)
    return _Fold(donors[:pre, unit], others[:pre], donors[pre:, unit], others[pre:])


def _period_fold(target: Floats, donors: Floats, pre: int, row: int) -> _Fold:
    kept = np.delete(np.arange(pre), row)
    return _Fold(target[kept], donors[kept], target[[row]], donors[[row]])


def _paths(problem: _Problem, penalties: Floats, mixings: Sequence[float]) -> tuple[Floats, bool]:
    """Weights (a, n, j) at every penalty of each mixing, each started from the one before."""
    found = np.empty((*penalties.shape, problem.cross.size))
    solved = True
    for one, mixing in enumerate(mixings):
        weights = np.zeros(problem.cross.size)
        for place, penalty in enumerate(penalties[one]):
            weights, exact = _search(problem, *problem.split(float(penalty), mixing), weights)
            found[one, place] = weights
            solved = solved and exact
    return found, solved


def _search(problem: _Problem, absolute: float, squared: float, start: Floats) -> tuple[Floats, bool]:
    """Feature-sign search: guess the signs, solve, go to the best point on the way, let the worst donor in.

    Ends at the exact minimum: each step lowers the objective and there are finitely many patterns of signs.
    """
    weights, signs = start.copy(), np.sign(start)
    slack = TIGHT * (absolute + float(np.abs(problem.cross).max()))
    for _ in range(MOST_STEPS * (weights.size + 1)):
        slope = 2 * (problem.gram @ weights - problem.cross + squared * weights)
        settled = np.abs(slope + absolute * signs)[signs != 0].max(initial=0.0) <= slack
        if settled:
            outside = np.where(signs == 0, np.abs(slope), 0.0)
            worst = int(np.argmax(outside))
            if outside[worst] <= absolute + slack:
                return weights, True
            signs[worst] = -np.sign(slope[worst])
        weights, signs = _step(problem, absolute, squared, weights, signs)
    return weights, False


def _step(
    problem: _Problem, absolute: float, squared: float, weights: Floats, signs: Floats
) -> tuple[Floats, Floats]:
    """Minimum for these signs, or the best of the points where a weight changes sign on the way there."""
    used = np.flatnonzero(signs)
    gram = problem.gram[np.ix_(used, used)] + squared * np.eye(used.size)
    cross, before = problem.cross[used], weights[used]
    after = scipy.linalg.solve(gram, cross - absolute / 2 * signs[used], assume_a="pos")
    points = after[None]
    if np.any(after * signs[used] <= 0):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = before / (before - after)
        inside = np.flatnonzero((share > 0) & (share < 1))
        crossing = before + share[inside, None] * (after - before)
        crossing[np.arange(inside.size), inside] = 0.0
        points = np.vstack([after, crossing])
    heights = np.sum(points @ gram * points, axis=1) - 2 * points @ cross
    best = points[int(np.argmin(heights + absolute * np.abs(points).sum(axis=1)))]
    moved, now = np.zeros(weights.size), np.zeros(weights.size)
    moved[used], now[used] = best, np.sign(best)
    return moved, now
