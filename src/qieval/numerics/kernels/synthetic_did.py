"""Frank-Wolfe steps for weights on the simplex, from the matrix of inner products of the errors."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def frank_wolfe(
    gram: Floats, ridge: float, start: Floats, enough: float, limit: int
) -> tuple[Floats, float, float, int, bool]:
    """Minimise w' gram w + ridge w'w over the simplex by Frank-Wolfe steps with exact line search.

    gram (j, j) is D'D for D = A - b 1', so that w' gram w = ||A w - b||^2 wherever the weights sum to 1;
    start (j,) lies on the simplex. Stops after the first step (but never before the second) that lowers
    the objective by `enough` or less, or after `limit` steps. Returns weights, objective, duality gap (the
    objective exceeds its minimum by no more than this), steps, and whether it stopped by itself. A step costs
    one pass over j numbers, because gram w is carried along.
    """
    weights = start.copy()
    size = weights.size
    towards = np.zeros(size)
    for j in range(size):
        if weights[j] != 0.0:
            for i in range(size):
                towards[i] += weights[j] * gram[j, i]
    steps = 0
    decrease = np.inf
    while steps < limit and (steps < 2 or decrease > enough):
        steps += 1
        best, slope, square, length = _direction(weights, towards, ridge)
        curve = gram[best, best] - 2.0 * towards[best] + square
        curve += ridge * (1.0 - 2.0 * weights[best] + length)
        step = min(1.0, max(0.0, -slope / curve)) if curve > 0.0 else 0.0
        keep = 1.0 - step
        for i in range(size):
            weights[i] *= keep
            towards[i] = keep * towards[i] + step * gram[best, i]
        weights[best] += step
        decrease = -step * (2.0 * slope + step * curve)
    _, slope, square, length = _direction(weights, towards, ridge)
    return weights, square + ridge * length, -2.0 * slope, steps, decrease <= enough


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _direction(weights: Floats, towards: Floats, ridge: float) -> tuple[int, float, float, float]:
    """The corner to go to, half the slope towards it, w' gram w and w'w."""
    best, lowest = 0, np.inf
    square = 0.0
    length = 0.0
    for i in range(weights.size):
        half = towards[i] + ridge * weights[i]
        square += weights[i] * towards[i]
        length += weights[i] * weights[i]
        if half < lowest:
            best, lowest = i, half
    return best, lowest - square - ridge * length, square, length
