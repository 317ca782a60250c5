"""Donor weights off the simplex or held to a bound: least squares, ridge, lasso, simplex with a cap.

The constraint sets of Cattaneo, Feng, Palomba and Titiunik (scpi 4.0.0), each solved exactly: least squares
by singular values, the L2 ball and the capped simplex by a search over their one multiplier, the L1 ball as a
simplex. Elastic net: `elastic_net.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats

Rule = Literal["scpi", "unit-free"]

SMALLEST_BOUND = 0.5
"""scpi never bounds the L2 norm of weights more tightly than this of its own accord."""

ACTIVE = 1e-8
EMPTY = 1e-12
"""Singular values below this share of the largest count as zero."""

RIDGES = (1e-13, 1e13)
"""Multipliers that are searched, relative to the donors' mean square."""


@dataclass(frozen=True, eq=False)
class Regularised:
    """Weights (j,) of the donors, in their order, and the gaps that they leave.

    intercept is added to the weighted donors (0 if none was asked for). gaps (t,) = treated - synthetic.
    bound is the largest norm allowed (infinite without one), multiplier the ridge penalty that would give
    the same weights: 0 where the bound does not bind, NaN for the L1 ball, where no ridge does. unique is
    False when other weights fit the earlier rows as well within the bound; those of least L2 norm are given
    for least squares and the L2 ball, one of many for the L1 ball. converged is False if a search stopped
    early.
    """

    weights: Floats
    intercept: float
    gaps: Floats
    bound: float
    multiplier: float
    unique: bool
    converged: bool


@dataclass(frozen=True, eq=False)
class _Rows:
    """Earlier rows of the treated unit (pre,) and the donors (pre, j), less their means with an intercept."""

    x1: Floats
    x0: Floats

    @staticmethod
    def of(target: Floats, donors: Floats, pre: int, intercept: bool) -> _Rows:
        x1, x0 = target[:pre], donors[:pre]
        return _Rows(x1 - x1.mean(), x0 - x0.mean(axis=0)) if intercept else _Rows(x1, x0)


def unconstrained(target: Floats, donors: Floats, pre: int, *, intercept: bool = False) -> Regularised:
    """Least squares on the first `pre` rows without any constraint.

    With as many donors as rows or more the fit is exact and says nothing; of all such weights those with
    the least sum of squares are given (other software gives others: their later gaps differ too).

    >>> fit = unconstrained(np.array([1.0, 2, 3]), np.array([[1.0, 1], [2, 2], [4, 4]]), 2)
    >>> fit.weights.round(12), fit.unique, fit.gaps.round(12) + 0
    (array([0.5, 0.5]), False, array([ 0.,  0., -1.]))
    """
    rows = _Rows.of(target, donors, pre, intercept)
    weights, rank = _least_squares(rows, 0.0)
    return _result(target, donors, weights, rows=pre if intercept else 0, unique=rank == donors.shape[1])


def ridge(
    target: Floats, donors: Floats, pre: int, *, bound: float | Rule = "unit-free", intercept: bool = False
) -> Regularised:
    """Least squares with the L2 norm of the weights at most `bound`: ridge regression.

    bound "unit-free" or "scpi" applies `shrinkage_bound`. Where the bound does not bind, as `unconstrained`.
    """
    rows = _Rows.of(target, donors, pre, intercept)
    limit = shrinkage_bound(rows.x1, rows.x0, bound) if isinstance(bound, str) else bound
    free, rank = _least_squares(rows, 0.0)
    if np.linalg.norm(free) <= limit:
        multiplier, solved, unique = 0.0, True, rank == donors.shape[1]
    else:
        _needs_positive(limit)
        multiplier, solved = _multiplier(lambda ridge: _least_squares(rows, ridge)[0], rows, limit)
        free, unique = _least_squares(rows, multiplier)[0], True
    found = _result(target, donors, free, rows=pre if intercept else 0, unique=unique)
    return _bounded(found, limit, multiplier, solved)


def lasso(
    target: Floats, donors: Floats, pre: int, *, bound: float = 1.0, intercept: bool = False
) -> Regularised:
    """Least squares with the sum of absolute weights at most `bound` (1 in scpi); weights may be negative.

    Solved as a simplex: weights = bound (u - v) with u, v and a slack that add up to one.
    """
    _needs_positive(bound)
    rows = _Rows.of(target, donors, pre, intercept)
    free, rank = _least_squares(rows, 0.0)
    size = donors.shape[1]
    if np.abs(free).sum() <= bound:
        found = _result(target, donors, free, rows=pre if intercept else 0, unique=bool(rank == size))
        return _bounded(found, bound, 0.0, solved=True)
    parts = np.hstack([rows.x0, -rows.x0, np.zeros((pre, 1))])
    fit = simplex_least_squares(bound * parts, rows.x1)
    weights = bound * (fit.weights[:size] - fit.weights[size:-1])
    active = rows.x0[:, weights != 0]
    full = bool(np.linalg.matrix_rank(active) == active.shape[1])
    found = _result(target, donors, weights, rows=pre if intercept else 0, unique=full)
    return _bounded(found, bound, np.nan, bool(fit.converged))


def l1_l2(
    target: Floats, donors: Floats, pre: int, *, bound: float | Rule = "unit-free", intercept: bool = False
) -> Regularised:
    """Simplex weights whose L2 norm is at most `bound`: no donor may dominate ("L1-L2" of scpi).

    1 / bound^2 is the smallest number of effective donors. bound "unit-free" or "scpi" applies
    `shrinkage_bound`. ValueError if the bound is below that of equal weights, 1 / sqrt(j).
    """
    rows = _Rows.of(target, donors, pre, intercept)
    limit = shrinkage_bound(rows.x1, rows.x0, bound) if isinstance(bound, str) else bound
    equal = 1 / np.sqrt(donors.shape[1])
    if isinstance(bound, str):
        limit = max(limit, equal)
    if limit < equal * (1 - EMPTY):
        raise ValueError("weights that add up to one cannot have so small a norm with so few donors")

    def solve(ridge: float) -> Floats:
        return simplex_least_squares(rows.x0, rows.x1, ridge=ridge).weights

    fit = simplex_least_squares(rows.x0, rows.x1)
    weights, multiplier, solved = fit.weights, 0.0, bool(fit.converged)
    if limit <= equal * (1 + EMPTY):
        weights, multiplier = np.full(donors.shape[1], equal**2), np.inf
    elif np.linalg.norm(weights) > limit:
        multiplier, solved = _multiplier(solve, rows, limit)
        weights = solve(multiplier)
    found = _result(target, donors, weights, rows=pre if intercept else 0, unique=multiplier > 0)
    return _bounded(found, limit, multiplier, solved)


def shrinkage_bound(x1: Floats, x0: Floats, rule: Rule = "unit-free") -> float:
    """Bound of the L2 norm of weights from the rule of thumb for ridge penalties, at least 0.5.

    x1 (pre,), x0 (pre, j). With coefficients b of least squares on k donors and residual variance s2, the
    penalty is s2 k / |b|^2 (Hoerl, Kennard and Baldwin 1975) and the bound |b| / (1 + penalty). With fewer
    than j + 11 rows only donors with weight in the lasso of bound 1 count, the max(pre - 10, 2) largest at
    most. "scpi" is the rule of that package, which takes the penalty in squared units of the outcome: its
    bound changes if the outcome is measured in other units. "unit-free" divides the penalty by the donors'
    mean sum of squares, which is what the step from penalty to bound takes to be one.
    """
    pre, size = x0.shape
    chosen = np.arange(size)
    if pre <= size + 10:
        heaviest = np.abs(lasso(x1, x0, pre).weights)
        chosen = np.flatnonzero(heaviest > ACTIVE)
        most = max(pre - 10, 2)
        if chosen.size > most:
            chosen = np.sort(np.argsort(-heaviest, kind="stable")[:most])
    coefficients, rank = _least_squares(_Rows(x1, x0[:, chosen]), 0.0)
    squares = float(coefficients @ coefficients)
    if squares == 0 or pre <= rank:
        return SMALLEST_BOUND
    missed = x1 - x0[:, chosen] @ coefficients
    penalty = float(missed @ missed) / (pre - rank) * chosen.size / squares
    if rule == "unit-free":
        penalty /= float(np.mean(np.sum(x0[:, chosen] ** 2, axis=0)))
    return max(float(np.sqrt(squares) / (1 + penalty)), SMALLEST_BOUND)


def _least_squares(rows: _Rows, penalty: float) -> tuple[Floats, int]:
    """Weights that minimise |x1 - x0 w|^2 + penalty |w|^2, of least norm; and the rank of x0."""
    if rows.x0.shape[1] == 0:
        return np.empty(0), 0
    left, size, right = np.linalg.svd(rows.x0, full_matrices=False)
    kept = size > EMPTY * size.max(initial=0.0)
    shrunk = size[kept] / (size[kept] ** 2 + penalty)
    return (shrunk * (rows.x1 @ left[:, kept])) @ right[kept], int(np.count_nonzero(kept))


def _multiplier(solve: Callable[[float], Floats], rows: _Rows, limit: float) -> tuple[float, bool]:
    """Ridge penalty at which the L2 norm of the weights is `limit` (the norm falls with the penalty)."""
    scale = float(np.sum(rows.x0**2)) / rows.x0.shape[1]

    def excess(log: float) -> float:
        return float(np.linalg.norm(solve(scale * np.exp(log)))) - limit

    low, high = np.log(RIDGES[0]), np.log(RIDGES[1])
    if excess(low) <= 0:
        return scale * RIDGES[0], True
    if excess(high) > 0:
        return scale * RIDGES[1], False
    found, report = scipy.optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14, full_output=True)
    return scale * float(np.exp(found)), bool(report.converged)


def _needs_positive(bound: float) -> None:
    if not bound > 0:
        raise ValueError("the bound of the weights must be positive")


def _result(target: Floats, donors: Floats, weights: Floats, *, rows: int, unique: bool) -> Regularised:
    """Weights as they are, with an intercept fitted to the first `rows` rows (0 for none)."""
    gaps = target - donors @ weights
    intercept = float(gaps[:rows].mean()) if rows else 0.0
    return Regularised(weights, intercept, gaps - intercept, np.inf, 0.0, unique, converged=True)


def _bounded(found: Regularised, bound: float, multiplier: float, solved: bool) -> Regularised:
    return Regularised(
        found.weights, found.intercept, found.gaps, float(bound), float(multiplier), found.unique, solved
    )
