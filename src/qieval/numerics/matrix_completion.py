"""Counterfactual outcomes by matrix completion with a nuclear-norm penalty (Athey et al. 2021).

Minimises over L, unit effects, time effects and beta, on the untreated cells O (their equation 4.3),
    sum_O (y - L - unit effect - time effect - x beta)^2 / |O| + penalty * (sum of singular values of L).
Effects and beta are not penalised; they are solved for exactly in every step (`Additive`), what is left is
a proximal gradient step on L alone: soft-impute (Mazumder, Hastie and Tibshirani 2010) with Nesterov's
acceleration, restarted when it overshoots. The problem is convex and the duality gap is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.factor_panel import Additive, Floats, Ints, Mask
from qieval.progress import progress

PATH = 30
SMALLEST = 1e-3
"""The path has this many penalties, from the smallest one that leaves L = 0 down to this share of it."""

RISING = 4
"""The path ends once the error has been above the lowest for so many penalties in a row."""

MOST = 5000
ROUGH, FINE = 1e-4, (1e-8, 1e-10, 1e-12)
"""Steps at which to stop, of values of scale one: along the path, and for the fit that is reported."""

GAP = 1e-9
"""A fit has converged when its objective is proven to be within this share of the lowest possible."""


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """Penalties tried (k,), falling; mean squared error of left-out cells, its standard error over folds."""

    penalty: Floats
    mspe: Floats
    se: Floats


@dataclass(frozen=True, eq=False)
class CompletionFit:
    """Untreated outcomes in every cell, and what they are made of.

    counterfactual (n, t) = constant + unit_effects + time_effects + low_rank + x beta; NaN for units and
    periods without any untreated cell. rank and singular_values are those of low_rank, whose rows and
    columns sum to zero. penalty is in units of the outcome (see the module); path is None if it was given.
    gap is the relative duality gap.
    """

    counterfactual: Floats
    low_rank: Floats
    beta: Floats
    constant: float
    unit_effects: Floats
    time_effects: Floats
    penalty: float
    path: PenaltyPath | None
    rank: int
    singular_values: Floats
    gap: float
    iterations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _Solution:
    low_rank: Floats
    singular: Floats
    iterations: int
    gap: float = np.nan


def matrix_completion(
    y: Floats,
    untreated: Mask,
    *,
    x: Floats | None = None,
    folds: int = 5,
    seed: int = 0,
    penalty: float | None = None,
) -> CompletionFit:
    """Complete a panel y (n, t) from its untreated cells (n, t), with covariates x (c, n, t) if given.

    y and x are read where untreated; x also where the outcome is to be predicted. The penalty is chosen by
    cross-validation over random untreated cells (each unit spread over the folds) along a path with warm
    starts, or given in units of the outcome; 0 is not allowed, infinity leaves two-way fixed effects.
    Raises EstimationError without untreated cells. The folds depend on the seed and on the order of units,
    the fit for a given penalty does not.

    >>> trend = np.add.outer(np.arange(6.0), np.arange(5.0))
    >>> fit = matrix_completion(trend, np.arange(30).reshape(6, 5) % 7 > 0, penalty=np.inf)
    >>> bool(np.allclose(fit.counterfactual, trend)), fit.rank
    (True, 0)
    """
    if penalty is not None and not penalty > 0:
        raise ValueError("the penalty must be positive")
    units, periods = np.flatnonzero(untreated.any(axis=1)), np.flatnonzero(untreated.any(axis=0))
    if not units.size:
        raise EstimationError("No cell is untreated, so nothing tells what happens without treatment.")
    place = np.ix_(units, periods)
    used = untreated[place]
    centre = float(y[place][used].mean())
    scale = float(y[place][used].std()) or 1.0
    values = np.where(used, (y[place] - centre) / scale, 0.0)
    given = None if x is None else x[:, units][:, :, periods]
    additive = Additive(used, "two-way", given)
    path = None
    if penalty is None:
        path = _cross_validate(values, additive, _folds(used, folds, np.random.default_rng(seed)))
        penalty = float(path.penalty[np.argmin(path.mspe)]) * scale
        path = PenaltyPath(path.penalty * scale, path.mspe * scale**2, path.se * scale**2)
    fit = _solve_exactly(values, additive, penalty / scale)
    beta = additive.coefficients(values - fit.low_rank)
    unit, time = additive.effects(values - fit.low_rank - np.tensordot(beta, additive.x, axes=1))
    means = float(unit.mean()), float(time.mean())
    filled = fit.low_rank + unit[:, None] + time
    counterfactual = _spread(filled * scale + centre, y.shape, place)
    if x is not None:
        counterfactual += np.tensordot(beta * scale, x, axes=1)
    return CompletionFit(
        counterfactual=counterfactual,
        low_rank=_spread(fit.low_rank * scale, y.shape, place),
        beta=beta * scale,
        constant=sum(means) * scale + centre,
        unit_effects=_spread((unit - means[0]) * scale, y.shape[:1], units),
        time_effects=_spread((time - means[1]) * scale, y.shape[1:], periods),
        penalty=penalty,
        path=path,
        rank=fit.singular.size,
        singular_values=fit.singular * scale,
        gap=fit.gap,
        iterations=fit.iterations,
        converged=fit.gap <= GAP,
    )


def _solve(y: Floats, additive: Additive, penalty: float, start: Floats, tolerance: float) -> _Solution:
    """Proximal gradient from `start`, until fitted values of scale one change by less than the tolerance."""
    threshold = penalty * additive.weight.sum() / 2
    current, ahead, momentum, step = start, start, 1.0, 0
    singular = np.zeros(0)
    for step in range(1, MOST + 1):  # noqa: B007 (its last value is reported)
        new, singular = shrink(ahead + additive.residual(y - ahead), threshold)
        move = new - current
        if np.sum((ahead - new) * move) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * move
        current, momentum = new, following
        if np.sqrt(np.mean(move**2)) <= tolerance:
            break
    return _Solution(current, singular, step)


def _solve_exactly(y: Floats, additive: Additive, penalty: float) -> _Solution:
    """The fit with its duality gap; steps get finer until the gap is small."""
    threshold, iterations = penalty * additive.weight.sum() / 2, 0
    fit = _Solution(np.zeros(y.shape), np.zeros(0), 0)
    for tolerance in FINE:
        fit = _solve(y, additive, penalty, fit.low_rank, tolerance)
        iterations += fit.iterations
        gap = _gap(y, additive, fit.low_rank, fit.singular, threshold)
        fit = replace(fit, gap=gap, iterations=iterations)
        if gap <= GAP:
            break
    return fit


def shrink(matrix: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Singular values lowered by the threshold, at least to zero: the new matrix and its positive ones.

    >>> shrink(np.diag([3.0, 1.0]), 1.5)[0].round(6).tolist()
    [[1.5, 0.0], [0.0, 0.0]]
    """
    if matrix.shape[0] < matrix.shape[1]:
        flipped, singular = shrink(matrix.T, threshold)
        return flipped.T, singular
    if not np.isfinite(threshold):
        return np.zeros_like(matrix), np.zeros(0)
    squares, vectors = scipy.linalg.eigh(
        matrix.T @ matrix, subset_by_value=(threshold**2, np.inf), check_finite=False
    )
    if not squares.size:
        return np.zeros_like(matrix), np.zeros(0)
    singular = np.sqrt(squares)
    shrunk = np.maximum(singular - threshold, 0.0)
    return (matrix @ (vectors * (shrunk / singular))) @ vectors.T, shrunk[::-1]


def _gap(y: Floats, additive: Additive, low_rank: Floats, singular: Floats, threshold: float) -> float:
    """Objective minus a lower bound of it, as a share of the objective.

    Residuals without effects and covariates are a feasible point of the dual problem once their largest
    singular value is brought down to the threshold.
    """
    residual = additive.residual(y - low_rank)
    objective = float(np.sum(residual**2)) / 2 + (threshold * float(singular.sum()) if singular.size else 0.0)
    largest = float(np.linalg.norm(residual, 2))
    dual = residual * min(1.0, threshold / largest) if largest > 0 else residual
    bound = float(np.sum(dual * y) - np.sum(dual**2) / 2)
    null = float(np.sum(additive.residual(y) ** 2)) / 2
    return max(objective - bound, 0.0) / objective if objective > 1e-14 * max(null, 1e-14) else 0.0


def _cross_validate(y: Floats, additive: Additive, held: list[Mask]) -> PenaltyPath:
    """Errors of left-out cells along the path, all folds side by side so that the path can end early."""
    within, x = additive.residual(y), additive.x
    largest = 2 * float(np.linalg.norm(within, 2)) / additive.weight.sum()
    penalties = np.geomspace(1.0, SMALLEST, PATH) * max(largest, np.finfo(float).tiny)
    trained = [Additive(additive.mask & ~fold, "two-way", x) for fold in held]
    fits, rows = [np.zeros(y.shape) for _ in held], []
    for penalty in progress(penalties, "penalties"):
        errors = []
        for place, (fold, training) in enumerate(zip(held, trained, strict=True)):
            fits[place] = _solve(y, training, float(penalty), fits[place], ROUGH).low_rank
            errors.append(np.mean(_errors(y, x, training, fits[place])[fold] ** 2))
        rows.append((penalty, np.mean(errors), np.std(errors, ddof=1) / np.sqrt(len(errors))))
        if len(rows) - 1 - int(np.argmin([row[1] for row in rows])) >= RISING:
            break
    table = np.array(rows)
    return PenaltyPath(table[:, 0], table[:, 1], table[:, 2])


def _errors(y: Floats, x: Floats, additive: Additive, low_rank: Floats) -> Floats:
    """y minus prediction where y and x are known, effects and beta from the cells of the mask alone."""
    beta = additive.coefficients(y - low_rank)
    left = y - low_rank - np.tensordot(beta, x, axes=1)
    unit, time = additive.effects(left)
    return left - unit[:, None] - time


def _folds(used: Mask, folds: int, generator: np.random.Generator) -> list[Mask]:
    """Random folds of the cells (n, t); a unit's cells are spread evenly, its only cell is never left out."""
    keys = np.where(used, generator.random(used.shape), 2.0)
    ranks = keys.argsort(axis=1).argsort(axis=1)
    number = (ranks + generator.integers(folds, size=(len(used), 1))) % folds
    several = used & (used.sum(axis=1, keepdims=True) > 1)
    return [fold for fold in (several & (number == one) for one in range(folds)) if fold.any()]


def _spread(values: Floats, shape: tuple[int, ...], place: Ints | tuple[Ints, ...]) -> Floats:
    full = np.full(shape, np.nan)
    full[place] = values
    return full
