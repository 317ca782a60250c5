"""Compiled exact solver of least squares with weights that are not negative and add up to one.

minimise |sum_j w_j u_j - b|^2 + ridge |w|^2 + linear'w. A primal active-set method (Wolfe 1976, "Finding the
nearest point in a polytope"): the free weights are solved exactly on their affine hull (`simplex_basis`), a
weight that would turn negative ends the step and is free no longer, and the donor with the steepest descent
enters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.numerics.kernels.simplex_basis import (
    State,
    append,
    compiled,
    fill,
    move,
    prepare,
    settle,
    solve_triangle,
)
from qieval.numerics.two_way import Floats

NOISE = 1e-15
"""Rounding in an objective, relative to the size of the sum's terms: a gain below this is none."""

LEVEL = 2e-16
"""Derivatives that differ by less (relative to the size of the sum's terms) are the same."""

EXACT = 1e-27
"""An objective this small (relative to the donors' mean square) is an exact fit."""

NEGLIGIBLE = 1e-14
"""The relative gap is taken of the objective, but at least of this share of the donors' mean square."""

ENOUGH = 1e-13
"""A fit with a larger relative gap is solved once more from where it is, which removes rounding."""

GOOD = 1e-8
"""Relative gap up to which a fit counts as converged."""

BATCH = 64
"""With more donors than this only the steepest are looked at between two full passes."""


@compiled
def solve(
    a: Floats, b: Floats, ridge: float, linear: Floats, start: Floats
) -> tuple[Floats, float, int, bool]:
    """Weights (j,), relative duality gap, iterations, converged, for donors in the columns of a (m, j).

    linear (j,) or empty; start (j,) weights or empty: a guess whose positive weights are free at first.
    Centres, so that a and b may be as they are. See `solve_rows`.
    """
    m, n = a.shape
    u, target = np.empty((n, m)), np.empty(m)
    for i in range(m):
        centre = 0.0
        for j in range(n):
            centre += a[i, j]
        centre /= n
        target[i] = b[i] - centre
        for j in range(n):
            u[j, i] = a[i, j] - centre
    return solve_rows(u, target, ridge, linear, start, np.ones(n, np.bool_))


@compiled
def solve_rows(
    u: Floats, b: Floats, ridge: float, linear: Floats, start: Floats, usable: Any
) -> tuple[Floats, float, int, bool]:
    """The same for donors in the rows of u (n, m), of which only the `usable` (n,) take part.

    u and b must be centred alike on (about) the mean of the donors, so that rounding does not grow with
    their level. The gap bounds how far the objective lies above its minimum: f(w) less the dual function
    2 min_j (y'(u_j - b) + linear_j / 2) - |y|^2 at the residual y (at y = u w - b this is the Frank-Wolfe
    duality gap), or the objective itself where that is less; relative to the objective (of which the smallest
    element of `linear` is taken off).
    """
    state = prepare(u, b, ridge, linear, usable)
    _begin(state, start, usable)
    everybody = np.flatnonzero(usable)
    gradient, refused, stamp = np.empty(u.shape[0]), np.full(u.shape[0], -1), 0
    whole, polished = everybody.size <= BATCH, False
    objective = settle(state)
    batch = everybody if whole else _steepest(state, everybody, gradient)
    gap, steps = 1.0, 1
    for _ in range(100 + 10 * (u.shape[0] + u.shape[1])):
        level, exact = _slopes(state, batch, gradient), objective <= EXACT * state.scale**2
        entering = _entering(state, batch, gradient, (level, objective, refused, stamp))
        if entering >= 0 and not exact:
            steps += 1
            before = objective
            objective = settle(state) if _admit(state, entering) else objective
            if objective < before * (1 - NOISE) - NOISE * state.longest * np.sqrt(before):
                stamp, polished = stamp + 1, False
            else:
                refused[entering] = stamp
        elif batch.size < everybody.size and not exact:
            batch = _steepest(state, everybody, gradient)
            if _entering(state, batch, gradient, (level, objective, refused, stamp)) < 0:
                batch = everybody
        else:
            gap = _gap(state, everybody, gradient, (level, objective))
            if polished or gap < ENOUGH:
                break
            polished, objective = True, settle(state)
    weights = np.zeros(u.shape[0])
    for k in range(state.size[0]):
        weights[state.free[k]] = state.weight[k]
    return weights, gap, steps, gap <= GOOD


@compiled
def _begin(state: State, start: Any, usable: Any) -> None:
    """The donors of the guess, or else the one donor with the least objective."""
    total = 0.0
    for j in range(start.size):
        if start[j] > 0 and usable[j] and state.size[0] < state.free.size and append(state, j):
            state.weight[state.size[0] - 1] = start[j]
            total += start[j]
    if total > 0:
        return
    state.size[0] = 0
    best, least = -1, np.inf
    for j in range(state.u.shape[0]):
        if usable[j]:
            value = 0.0
            for i in range(state.b.size):
                value += (state.u[j, i] - state.b[i]) ** 2
            if state.half.size:
                value += 2 * state.half[j]
            if value < least:
                best, least = j, value
    append(state, best)
    state.weight[0] = 1.0


@compiled
def _slopes(state: State, donors: Any, gradient: Any) -> float:
    """Fill gradient for these donors: half the derivatives by their weights, infinite for free donors.

    The answer is the derivative that the free donors have in common (their mean, by weight).
    """
    u, residual, half = state.u, state.residual, state.half
    m = state.b.size
    for j in donors:
        slope = half[j] if half.size else 0.0
        for i in range(m):
            slope += u[j, i] * residual[i]
        gradient[j] = slope
    level = 0.0
    for k in range(state.size[0]):
        j = state.free[k]
        slope = half[j] if half.size else 0.0
        if state.root > 0:
            slope += state.root * residual[m + 1 + state.place[k]]
        for i in range(m):
            slope += u[j, i] * residual[i]
        gradient[j] = np.inf
        level += state.weight[k] * slope
    return level


@compiled
def _steepest(state: State, everybody: Any, gradient: Any) -> Any:
    """The donors worth looking at next: at most so many of those with the smallest derivatives."""
    level = _slopes(state, everybody, gradient)
    least = level
    for j in everybody:
        least = min(least, gradient[j])
    share, count = 0.0, BATCH + 1
    while count > BATCH and share < 0.999:
        share = (1 + share) / 2
        bound, count = level + share * (least - level), 0
        for j in everybody:
            count += gradient[j] < bound
    steep, count = np.empty(BATCH, np.int64), 0
    for j in everybody:
        if gradient[j] < bound and count < BATCH:
            steep[count] = j
            count += 1
    return steep[:count]


@compiled
def _entering(state: State, batch: Any, gradient: Any, now: Any) -> int:
    """The donor of the batch that lowers the objective fastest, -1 if none does beyond rounding.

    now = (derivative of the free donors, objective, refused, stamp).
    """
    level, objective, refused, stamp = now
    best, least = -1, level - LEVEL * (state.longest * np.sqrt(objective) + abs(level))
    for j in batch:
        if gradient[j] < least and refused[j] != stamp:
            best, least = j, gradient[j]
    return best


@compiled
def _gap(state: State, everybody: Any, gradient: Any, now: Any) -> float:
    """How far the objective can lie above its minimum, relative (see `solve_rows`)."""
    least, objective = now
    for j in everybody:
        least = min(least, gradient[j])
    below = 2 * least - np.sum(state.residual**2)
    for i in range(state.b.size):
        below -= 2 * state.residual[i] * state.b[i]
    possible = min(max(objective - below, 0.0), objective)
    return float(possible / max(objective, NEGLIGIBLE * state.scale**2))


@compiled
def _admit(state: State, donor: int) -> bool:
    """Let a donor enter the free set; False if it adds nothing.

    A donor on the affine hull of the free ones can only help through the linear term: then weight moves
    to it along the direction that leaves the fit as it is, until a free donor is out.
    """
    if state.size[0] < state.free.size and append(state, donor):
        return True
    if state.half.size == 0:
        return False
    fill(state, donor)
    for k in range(state.size[0]):
        state.direction[k] = 0.0
        for i in range(state.column.size):
            state.direction[k] -= state.q[k, i] * state.column[i]
    solve_triangle(state)
    step = move(state, np.inf)
    if np.isinf(step):
        return False
    if append(state, donor):
        state.weight[state.size[0] - 1] = step
    return True
