"""Weights that are not negative and add up to one: exact least squares, and what such weights can reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

PULL = 100.0
"""How much more a predictor counts than an outcome, per standard deviation, in a step of multipliers."""

MULTIPLIER_STEPS = 200
MATCHED = 1e-13
"""Predictors that are off by fewer standard deviations count as reproduced."""

SAME = 1e-9
"""Derivatives and points that differ by less, in units of the scaled problem, are the same."""

EXACT = 1e-4
"""Below this size the residual does not sharpen the comparison of derivatives any more."""

SAME_WEIGHT = 1e-6
"""A weight that cannot be made larger than this counts as zero."""


@dataclass(frozen=True, eq=False)
class SimplexFit:
    """Weights (j,) with sum one, and how good they are.

    objective is the smallest value found; gap bounds how far it lies above the minimum, relative to the
    objective (Frank-Wolfe duality gap; the objective less the smallest linear term, and at least 1e-14 of
    the donors' mean square about their mean). converged: gap at most 1e-8; usually it is below 1e-12.
    """

    weights: Floats
    objective: float
    gap: float
    iterations: int
    converged: bool


def simplex_least_squares(
    a: Floats,
    b: Floats,
    *,
    ridge: float = 0.0,
    linear: Floats | None = None,
    start: Floats | None = None,
) -> SimplexFit:
    """Minimise |a w - b|^2 + ridge |w|^2 + linear'w over weights w >= 0 with sum one. Exact (active set).

    a (m, j) donors in columns, b (m,), linear (j,), start (j,) a guess of the weights, which saves time and
    changes nothing else if the minimum is unique. Centred and scaled inside. Of donors that are duplicates
    or otherwise not identified, some are left at zero: which ones depends on their order. Finite values only.

    >>> fit = simplex_least_squares(np.array([[0.0, 4.0], [0.0, 0.0]]), np.array([1.0, 2.0]))
    >>> fit.weights, fit.objective
    (array([0.75, 0.25]), 4.0)
    """
    from qieval.numerics.kernels.simplex import solve

    a, b = np.ascontiguousarray(a, dtype=float), np.ascontiguousarray(b, dtype=float)
    nothing = np.empty(0)
    slope = nothing if linear is None else np.ascontiguousarray(linear, dtype=float)
    guess = nothing if start is None else np.ascontiguousarray(start, dtype=float)
    if a.ndim != 2 or a.shape[1] == 0 or b.shape != a.shape[:1] or ridge < 0:
        raise ValueError("a must be (m, j) with at least one column, b (m,), ridge not negative")
    if slope.size not in (0, a.shape[1]) or guess.size not in (0, a.shape[1]):
        raise ValueError("linear and start must have an element for each column of a")
    if not all(np.isfinite(part).all() for part in (a, b, slope, guess)):
        raise ValueError("simplex least squares needs finite values")
    weights, gap, iterations, converged = solve(a, b, float(ridge), slope, guess)
    used = weights > 0
    residual = (a[:, used] - b[:, None]) @ weights[used]
    objective = residual @ residual + ridge * (weights @ weights)
    if linear is not None:
        objective += slope @ weights
    return SimplexFit(weights, float(objective), float(gap), int(iterations), bool(converged))


def is_inside_hull(x1: Floats, x0: Floats) -> tuple[float, Floats]:
    """Whether weights can reproduce the treated unit exactly: distance to the donors' convex hull, weights.

    x1 (k,) predictors of the treated unit, x0 (k, j) of the donors, each first divided by its standard
    deviation over all units. The distance is the root mean square over predictors of what the nearest
    mixture of donors is off, in standard deviations; inside the hull it is rounding (below about 1e-12).

    >>> distance, weights = is_inside_hull(np.array([2.0]), np.array([[1.0, 5.0]]))
    >>> round(distance, 12), weights
    (0.0, array([0.75, 0.25]))
    """
    target, donors = _in_standard_deviations(x1, x0)
    fit = simplex_least_squares(donors, target)
    off = donors @ fit.weights - target
    return float(np.sqrt(np.mean(off**2))), fit.weights


def least_objective_in_exact_fit(x1: Floats, x0: Floats, target: Floats, donors: Floats) -> SimplexFit:
    """The weights that fit the outcome best among all that reproduce the predictors exactly.

    x1 (k,) and x0 (k, j) predictors, target (p,) and donors (p, j) outcomes of the periods to fit. objective
    is |donors w - target|^2 (divide by p for a mean). Not converged if no weights reproduce the predictors
    to 1e-8 standard deviations. Method of multipliers (Hestenes 1969): each step is one exact simplex fit in
    which the predictors have a large weight and their target is moved by what was missed so far.
    """
    goal, matched = _in_standard_deviations(x1, x0)
    centre = donors.mean(axis=1)
    scale = float(np.sqrt(np.mean((donors - centre[:, None]) ** 2))) or 1.0
    stacked = np.vstack([(donors - centre[:, None]) / scale, PULL * matched])
    outcome, moved = (target - centre) / scale, goal.copy()
    fit = simplex_least_squares(matched, goal)
    off, steps = np.inf, 0
    while off >= MATCHED and steps < MULTIPLIER_STEPS:
        fit = simplex_least_squares(stacked, np.concatenate([outcome, PULL * moved]), start=fit.weights)
        missed = goal - matched @ fit.weights
        moved += missed
        off, steps = float(np.sqrt(np.mean(missed**2))), steps + 1
    residual = (donors - target[:, None]) @ fit.weights
    exact = off < 1e-8 and fit.converged
    return SimplexFit(fit.weights, float(residual @ residual), fit.gap, steps, exact)


def other_weights(a: Floats, b: Floats, weights: Floats) -> int:
    """In how many directions optimal weights can move without changing the fit: 0 if they are unique.

    a (m, j), b (m,), weights (j,) a minimum of |a w - b|^2 on the simplex. The minima form a face: donors
    whose derivative is not above that of the donors in use, with the same a w. Which of them can have weight
    at all is found by linear programmes (scipy's HiGHS); then it is a matter of rank.

    >>> other_weights(np.array([[1.0, 3.0, 5.0]]), np.array([3.0]), np.array([0.5, 0.0, 0.5]))
    1
    """
    centred = a - a.mean(axis=1, keepdims=True)
    scale = float(np.sqrt(np.mean(np.sum(centred**2, axis=0)))) or 1.0
    columns = np.vstack([centred / scale, np.ones(a.shape[1])])
    residual = (a @ weights - b) / scale
    slope = residual @ columns[:-1]
    reach = SAME * (1 + np.linalg.norm(columns, axis=0)) * max(float(np.linalg.norm(residual)), EXACT)
    able = (slope - weights @ slope <= reach) | (weights > 0)
    used = weights > 0
    while (able & ~used).any():
        found = _most_elsewhere(columns[:, able], columns @ weights, ~used[able])
        gained = np.flatnonzero(able)[found > SAME_WEIGHT]
        gained = gained[~used[gained]]
        if gained.size == 0:
            break
        used[gained] = True
    return int(used.sum() - np.linalg.matrix_rank(columns[:, used], tol=SAME * np.sqrt(used.sum())))


def _most_elsewhere(columns: Floats, reached: Floats, elsewhere: Mask) -> Floats:
    """Weights that reach the same point with as much as possible on the donors `elsewhere`."""
    answer = scipy.optimize.linprog(-elsewhere.astype(float), A_eq=columns, b_eq=reached, bounds=(0, None))
    if answer.status != 0:
        return np.zeros(elsewhere.size)
    return np.asarray(answer.x, dtype=float)


def _in_standard_deviations(x1: Floats, x0: Floats) -> tuple[Floats, Floats]:
    """Predictors of the treated unit and of the donors, centred and divided by their spread over all."""
    both = np.column_stack([x1, x0])
    both = both - x0.mean(axis=1, keepdims=True)
    spread = both.std(axis=1, ddof=1, keepdims=True)
    both = both / np.where(spread > 0, spread, 1.0)
    return both[:, 0].copy(), np.ascontiguousarray(both[:, 1:])
