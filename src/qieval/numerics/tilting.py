"""Exponential tilting: weights as close to given ones as can be whose weighted means hit a target.

The dual is convex and smooth in as many unknowns as there are columns: log sum q_i exp(z'c_i), c_i the
columns less their target (Hainmueller 2012; Zhao and Percival 2017). Newton's method with step halving;
with tolerances the dual gains tolerance'|z| and each Newton model is solved by coordinate descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.estimated_weights import ROWS, Status
from qieval.numerics.two_way import Floats

STEPS = 200
HALVINGS = 40
ROUNDING = 1e-13
SAMPLE = 50_000
"""Rows of the sample that gives starting values; used when there are at least four times as many."""

FLAT = 1e-13
"""Curvature below this share of the largest counts as none."""


@dataclass(frozen=True, eq=False)
class Tilt:
    """Shares (m,), sum 1, of the tilted rows, and the multipliers (k,): share ~ prior exp(c'multipliers).

    log_total is log sum q exp(c'multipliers), q the prior shares. mean (k,) and second (k, k) are the
    share-weighted mean of c and of its outer product. imbalance is the largest |mean|, in excess of its
    tolerance.
    """

    share: Floats
    multipliers: Floats
    log_total: float
    mean: Floats
    second: Floats
    status: Status
    iterations: int
    imbalance: float


@dataclass(frozen=True, eq=False)
class _Problem:
    c: Floats
    q: Floats
    slack: Floats


@dataclass(frozen=True, eq=False)
class _Point:
    """reach < 0: going on along the multipliers lowers the dual without bound."""

    z: Floats
    share: Floats
    value: float
    reach: float


def tilt(
    c: Floats, prior: Floats, tolerance: Floats | None = None, accuracy: float = 1e-11, most: int = STEPS
) -> Tilt:
    """Tilt of c (m, k), columns less their target in comparable units, from prior weights (m,) > 0.

    tolerance (k,): allowed |mean| of each column. "infeasible" is said on proof only: multipliers that put
    all rows on one side of the target, or a dual value below what any weights could have. Where the target
    lies on the border of what is possible some shares go to zero and the multipliers grow; that is found as
    a solution when the means agree to `accuracy`.

    >>> found = tilt(np.array([[-1.0], [0.0], [2.0]]), np.ones(3))
    >>> print(found.status, abs(found.share @ [-1.0, 0.0, 2.0]) < 1e-11)
    converged True
    """
    if not (prior > 0).all():
        raise ValueError("prior weights must be positive: leave the other rows out")
    q = prior / prior.sum()
    problem = _Problem(c, q, np.zeros(c.shape[1]) if tolerance is None else tolerance)
    point = _start(problem)
    mean, second = _moments(c, point.share)
    lowest = float(np.log(q.min()))
    iterations = 0
    while (status := _status(point, mean, problem.slack, accuracy, lowest)) is None:
        moved = _step(point, mean, second - np.outer(mean, mean), problem) if iterations < most else None
        if moved is None:
            status = "not converged"
            break
        iterations += 1
        point = moved
        mean, second = _moments(c, point.share)
    gap = float(np.maximum(np.abs(mean) - problem.slack, 0.0).max(initial=0.0))
    total = point.value - float(problem.slack @ np.abs(point.z))
    return Tilt(point.share, point.z, total, mean, second, status, iterations, gap)


def _start(problem: _Problem) -> _Point:
    """Multipliers zero or, with many rows, those of a systematic sample if they are better."""
    nowhere = _at(np.zeros(problem.c.shape[1]), problem)
    stride = problem.q.size // SAMPLE
    if stride < 4:
        return nowhere
    first = tilt(problem.c[::stride].copy(), problem.q[::stride], problem.slack, 1e-6, 20)
    there = _at(first.multipliers, problem)
    return there if first.status == "converged" and there.value < nowhere.value else nowhere


def _status(point: _Point, mean: Floats, slack: Floats, accuracy: float, lowest: float) -> Status | None:
    """Whether the search has ended. At a solution the dual is minus an entropy, hence not below log min q."""
    if _excess(mean, point.z, slack) <= accuracy:
        return "converged"
    return "infeasible" if point.reach < 0 or point.value < lowest else None


def _at(z: Floats, problem: _Problem) -> _Point:
    index = problem.c @ z
    highest = float(index.max())
    penalty = float(problem.slack @ np.abs(z))
    reach = highest + penalty + 1e-9 * (abs(highest) + abs(float(index.min())))
    index -= highest
    np.exp(index, out=index)
    index *= problem.q
    total = float(index.sum())
    index /= total
    return _Point(z, index, highest + float(np.log(total)) + penalty, reach)


def _moments(c: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Weighted mean (k,) of the rows of c and of their outer product (k, k)."""
    second = np.zeros((c.shape[1], c.shape[1]))
    for start in range(0, c.shape[0], ROWS):
        piece = c[start : start + ROWS]
        weighted = piece * share[start : start + ROWS, None]
        second += weighted.T @ piece
    return np.asarray(share @ c), second


def _step(point: _Point, mean: Floats, hessian: Floats, problem: _Problem) -> _Point | None:
    """The next point that lowers the dual enough (Armijo), or None."""
    z, slack = point.z, problem.slack
    direction = _descent(z, mean, hessian, slack) - z if slack.any() else _newton(mean, hessian)
    promised = float(mean @ direction + slack @ (np.abs(z + direction) - np.abs(z)))
    length = 1.0
    for _ in range(HALVINGS):
        moved = _at(z + length * direction, problem)
        if moved.value <= point.value + 1e-4 * length * promised + ROUNDING * max(1.0, abs(point.value)):
            return moved
        length /= 2
    return None


def _newton(gradient: Floats, hessian: Floats) -> Floats:
    """Newton's direction; where there is no curvature, descent by a step that should lower the dual by 10."""
    values, vectors = scipy.linalg.eigh(hessian)
    along = vectors.T @ gradient
    flat = values <= FLAT * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
    outside = np.where(flat, along, 0.0)
    size = float(outside @ outside)
    step = np.where(flat, 0.0, along / np.where(flat, 1.0, values))
    return np.asarray(-vectors @ (step + (10 * outside / size if size > ROUNDING**2 else 0.0)))


def _descent(z: Floats, gradient: Floats, hessian: Floats, slack: Floats) -> Floats:
    """Minimiser of the quadratic model plus slack'|z| by coordinate descent."""
    new, slope = z.copy(), gradient.copy()
    diagonal = np.diag(hessian)
    curvature = diagonal + 1e-12 * max(float(diagonal.max(initial=0.0)), 1e-300)
    for _ in range(1000):
        largest = 0.0
        for j in range(z.size):
            wanted = new[j] - slope[j] / curvature[j]
            moved = np.sign(wanted) * max(abs(wanted) - slack[j] / curvature[j], 0.0) - new[j]
            new[j] += moved
            slope += hessian[:, j] * moved
            largest = max(largest, abs(moved) * float(np.sqrt(curvature[j])))
        if largest < 1e-13:
            break
    return new


def _excess(mean: Floats, z: Floats, slack: Floats) -> float:
    """Largest violation of |mean| <= slack and, where z is not 0, of mean = -slack sign(z)."""
    at_zero = np.maximum(np.abs(mean) - slack, 0.0)
    return float(np.where(z == 0, at_zero, np.abs(mean + slack * np.sign(z))).max(initial=0.0))
