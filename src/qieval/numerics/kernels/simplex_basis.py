"""Compiled linear algebra of the simplex solver: the free weights, and least squares on their affine hull.

The free columns e_j = (u_j, scale, sqrt(ridge) at a place of its own) are kept as a QR factorisation that is
updated column by column. Steps start from the present residual, so that each corrects the rounding of the one
before. Sums are written out here, not handed to BLAS: the numbers do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

DEPENDENT = 1e-12
"""A column this close (relative) to the affine hull of the free ones does not enter."""

CANCELLED = 0.5
"""A column that loses this much of its length is made orthogonal once more."""

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
"""Sums may be taken in several lanes (the order is fixed when compiled)."""


class State(NamedTuple):
    """What the steps share. The free set is positions 0..size[0]-1 of free, weight, q and r.

    u (n, m) centred donors in rows, b (m,) centred target, half (n,) half the linear term (at least zero) or
    empty; residual (rows,) of the fit, of the sum (zero) and of the ridge; free (c,) donors; weight (c,);
    place (c,) a permutation: where the ridge of a free donor stands among the rows of Q; q (c, rows) and r
    (c, c) hold the columns of Q and R as rows; direction (c,) and column (rows,) are for passing on; scale:
    root mean square length of the donors, longest: the largest; root: sqrt(ridge).
    """

    u: Any
    b: Any
    half: Any
    residual: Any
    free: Any
    weight: Any
    place: Any
    q: Any
    r: Any
    direction: Any
    column: Any
    size: Any
    scale: float
    longest: float
    root: float


@compiled
def prepare(u: Any, b: Any, ridge: float, linear: Any, usable: Any) -> State:
    """Room for the free set, and the scales of the problem."""
    n, m = u.shape
    total, longest, count = 0.0, 0.0, 0
    for j in range(n):
        if usable[j]:
            square = 0.0
            for i in range(m):
                square += u[j, i] ** 2
            total, longest, count = total + square, max(longest, square), count + 1
    scale = np.sqrt(total / max(count, 1))
    if scale == 0.0:
        scale = np.sqrt(np.sum(b**2))
    if scale == 0.0:
        scale = 1.0
    room = count if ridge > 0 else min(count, m + 1)
    rows = m + 1 + (room if ridge > 0 else 0)
    half = np.empty(linear.size)
    if linear.size:
        least = np.inf
        for j in range(n):
            if usable[j]:
                least = min(least, linear[j])
        for j in range(n):
            half[j] = (linear[j] - least) / 2
    return State(
        u,
        b,
        half,
        np.empty(rows),
        np.empty(room, np.int64),
        np.zeros(room),
        np.arange(room),
        np.empty((room, rows)),
        np.empty((room, room)),
        np.empty(room),
        np.empty(rows),
        np.zeros(1, np.int64),
        scale,
        max(np.sqrt(longest), scale),
        np.sqrt(ridge),
    )


@compiled
def append(state: State, donor: int) -> bool:
    """Let a donor into the free set with weight zero; False if its column is dependent.

    Gram-Schmidt, once more if much of the column cancels (Daniel, Gragg, Kaufman and Stewart 1976).
    """
    p, m = state.size[0], state.b.size
    column, r, q = state.column, state.r, state.q
    length = fill(state, donor)
    if state.root > 0:
        column[m + 1 + state.place[p]] = state.root
        length = np.hypot(length, state.root)
    r[p, :p] = 0.0
    rest, before = length, np.inf
    while rest < CANCELLED * before:
        for k in range(p):
            along = 0.0
            for i in range(column.size):
                along += q[k, i] * column[i]
            r[p, k] += along
            for i in range(column.size):
                column[i] -= along * q[k, i]
        square = 0.0
        for i in range(column.size):
            square += column[i] ** 2
        before, rest = rest, np.sqrt(square)
        if rest <= DEPENDENT * length:
            return False
    r[p, p] = rest
    for i in range(column.size):
        q[p, i] = column[i] / rest
    state.free[p], state.weight[p] = donor, 0.0
    state.size[0] = p + 1
    return True


@compiled
def fill(state: State, donor: int) -> float:
    """column = that of the donor, but for the ridge; its length."""
    column, m = state.column, state.b.size
    square = state.scale**2
    for i in range(m):
        column[i] = state.u[donor, i]
        square += column[i] ** 2
    column[m] = state.scale
    column[m + 1 :] = 0.0
    return float(np.sqrt(square))


@compiled
def remove(state: State, k: int) -> None:
    """Take position k out of the free set; rotations make R triangular again."""
    p, r, q = state.size[0], state.r, state.q
    place = state.place[k]
    for i in range(k, p - 1):
        state.free[i], state.weight[i] = state.free[i + 1], state.weight[i + 1]
        state.place[i] = state.place[i + 1]
        for h in range(i + 2):
            r[i, h] = r[i + 1, h]
    state.place[p - 1] = place
    for i in range(k, p - 1):
        length = np.hypot(r[i, i], r[i, i + 1])
        c, s = r[i, i] / length, r[i, i + 1] / length
        r[i, i] = length
        for h in range(i + 1, p - 1):
            upper, lower = r[h, i], r[h, i + 1]
            r[h, i], r[h, i + 1] = c * upper + s * lower, c * lower - s * upper
        for h in range(q.shape[1]):
            upper, lower = q[i, h], q[i + 1, h]
            q[i, h], q[i + 1, h] = c * upper + s * lower, c * lower - s * upper
    state.size[0] = p - 1


@compiled
def solve_triangle(state: State) -> None:
    """direction = R^-1 direction."""
    r, x = state.r, state.direction
    for k in range(state.size[0] - 1, -1, -1):
        x[k] /= r[k, k]
        for i in range(k):
            x[i] -= x[k] * r[k, i]


@compiled
def project(state: State) -> None:
    """direction = Q'(step to the best point on the affine hull of the free donors); residual: the one there.

    With z = Q'residual + R'^-1 linear / 2 it is -z without its part along the row of Q that belongs to the
    sum of the weights. The residual is a linear function of that, free of the rounding of the weights, which
    would otherwise limit the certificate of a close fit.
    """
    p, m, q, x = state.size[0], state.b.size, state.q, state.direction
    if state.half.size:
        for k in range(p):
            x[k] = state.half[state.free[k]]
            for i in range(k):
                x[k] -= state.r[k, i] * x[i]
            x[k] /= state.r[k, k]
    else:
        x[:p] = 0.0
    for k in range(p):
        for i in range(state.residual.size):
            x[k] += q[k, i] * state.residual[i]
    along, length = 0.0, 0.0
    for k in range(p):
        along += q[k, m] * x[k]
        length += q[k, m] ** 2
    for k in range(p):
        x[k] = along / length * q[k, m] - x[k]
        for i in range(state.residual.size):
            state.residual[i] += x[k] * q[k, i]
    state.residual[m] = 0.0


@compiled
def move(state: State, longest_step: float) -> float:
    """Go along direction as far as no weight turns negative; how far.

    If that is less than the longest step, the weight that ended it is out of the free set.
    """
    step, first = longest_step, -1
    for k in range(state.size[0]):
        if state.direction[k] < 0 and state.weight[k] < -step * state.direction[k]:
            step, first = -state.weight[k] / state.direction[k], k
    if np.isfinite(step):
        for k in range(state.size[0]):
            state.weight[k] = max(state.weight[k] + step * state.direction[k], 0.0)
    if first >= 0:
        remove(state, first)
    return step


@compiled
def settle(state: State) -> float:
    """Solve on the free set, dropping donors until all its weights are positive; the objective."""
    step = 0.0
    measure(state)
    while step < 1.0:
        solve_triangle(state)
        step = move(state, 1.0)
        objective = measure(state)
    return objective


@compiled
def measure(state: State) -> float:
    """The objective (less the smallest linear term); renew the residual, and the direction of `project`."""
    residual, weight, m = state.residual, state.weight, state.b.size
    total, rest = 0.0, 0.0
    for k in range(state.size[0]):
        total += weight[k]
    residual[:m] = -state.b
    residual[m:] = 0.0
    for k in range(state.size[0]):
        weight[k] /= total
        donor = state.free[k]
        for i in range(m):
            residual[i] += weight[k] * state.u[donor, i]
        if state.root > 0:
            residual[m + 1 + state.place[k]] = state.root * weight[k]
        if state.half.size:
            rest += 2 * weight[k] * state.half[donor]
    objective = float(np.sum(residual**2)) + rest
    project(state)
    return objective
