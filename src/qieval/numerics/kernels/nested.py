"""Compiled least squares with weights that are not negative, and donor weights for given predictor weights.

Homogenised as by Lawson and Hanson (1974, chapter 23): minimise |root * (sum_c x_c column_c - last)|^2 over
x >= 0, where `last` is the last unit vector. With ones in the last row of the donors, x divided by its sum is
least squares on the simplex; columns with a zero there (slacks) do not count in the sum, which the solver of
`kernels/simplex.py` does not know, and the factorisation and the residual stay available to the caller.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

DEPENDENT = 1e-24
"""A column enters if at least this share of its squared length lies outside the span of the others."""

EXACT = 1e-11
"""A residual this short is an exact fit."""

NOISE = 1e-14


class Data(NamedTuple):
    """One unit: d (k, j) predictors of the donors less its own; donors (j, k + 1) their transpose, ones in
    the last column; e (n, j) with |e w|^2 the loss; low the smallest v_k relative to the largest."""

    d: Any
    donors: Any
    e: Any
    low: float


class Room(NamedTuple):
    """What a solution needs and leaves: the free columns, their amounts, QR (q in rows), the residual.

    free (m + 1,), amount (m + 1,), q (m + 1, m), r (m + 1, m + 1), residual (m,) = root * (sum - last),
    with sign reversed, gradient (n,), step (m + 1,), scaled (m,); size (1,) how many columns are free.
    """

    free: Any
    amount: Any
    q: Any
    r: Any
    residual: Any
    gradient: Any
    step: Any
    scaled: Any
    size: Any


@njit(cache=True, nogil=True, error_model="numpy")
def room(n: int, m: int) -> Room:
    """Room for n columns of m elements."""
    return Room(
        np.empty(m + 1, np.int64),
        np.empty(m + 1),
        np.empty((m + 1, m)),
        np.zeros((m + 1, m + 1)),
        np.empty(m),
        np.empty(n),
        np.empty(m + 1),
        np.empty(m),
        np.zeros(1, np.int64),
    )


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def dot(x: Any, y: Any) -> float:
    """x'y."""
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _append(room: Room, column: Any, root: Any) -> bool:
    """Factorise one more column (Gram-Schmidt, twice); False if it depends on the free ones."""
    q, r, p = room.q, room.r, room.size[0]
    new, length = q[p], 0.0
    for i in range(root.size):
        new[i] = root[i] * column[i]
        length += new[i] * new[i]
    for c in range(p):
        r[c, p] = 0.0
    for _ in range(2):
        for c in range(p):
            along = dot(q[c], new)
            r[c, p] += along
            for i in range(root.size):
                new[i] -= along * q[c, i]
    rest = dot(new, new)
    if rest <= DEPENDENT * length:
        return False
    rest = np.sqrt(rest)
    r[p, p] = rest
    for i in range(root.size):
        new[i] /= rest
    room.size[0] = p + 1
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _remove(room: Room, place: int) -> None:
    """Take a column out; rotations make R triangular again."""
    q, r, size = room.q, room.r, room.size[0]
    for c in range(place, size - 1):
        room.free[c], room.amount[c] = room.free[c + 1], room.amount[c + 1]
        for i in range(c + 2):
            r[i, c] = r[i, c + 1]
    for c in range(place, size - 1):
        length = np.hypot(r[c, c], r[c + 1, c])
        one, two = r[c, c] / length, r[c + 1, c] / length
        r[c, c], r[c + 1, c] = length, 0.0
        for z in range(c + 1, size - 1):
            upper, lower = r[c, z], r[c + 1, z]
            r[c, z], r[c + 1, z] = one * upper + two * lower, one * lower - two * upper
        for i in range(q.shape[1]):
            upper, lower = q[c, i], q[c + 1, i]
            q[c, i], q[c + 1, i] = one * upper + two * lower, one * lower - two * upper
    room.size[0] = size - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _settle(room: Room) -> None:
    """Solve on the free columns; those that would turn negative leave."""
    m = room.residual.size
    while room.size[0] > 0:
        size, worst, share = room.size[0], -1, 1.0
        for p in range(size - 1, -1, -1):
            value = room.q[p, m - 1]
            for c in range(p + 1, size):
                value -= room.r[p, c] * room.step[c]
            room.step[p] = value / room.r[p, p]
        for p in range(size):
            if room.step[p] <= 0.0:
                ratio = room.amount[p] / (room.amount[p] - room.step[p]) if room.amount[p] > 0.0 else 0.0
                if ratio < share or worst < 0:
                    share, worst = ratio, p
        if worst < 0:
            for p in range(size):
                room.amount[p] = room.step[p]
            return
        for p in range(size):
            room.amount[p] += share * (room.step[p] - room.amount[p])
        room.amount[worst] = 0.0
        for p in range(size - 1, -1, -1):
            if room.amount[p] <= 0.0:
                _remove(room, p)


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(room: Room, columns: Any, root: Any) -> float:
    """Renew residual (kept orthogonal to the free columns to relative rounding) and gradient; its length."""
    residual, m = room.residual, root.size
    for i in range(m):
        residual[i] = 0.0
    residual[m - 1] = 1.0
    for _ in range(2):
        for p in range(room.size[0]):
            along = dot(room.q[p], residual)
            for i in range(m):
                residual[i] -= along * room.q[p, i]
    length = float(np.sqrt(dot(residual, residual)))
    if length > EXACT:
        for i in range(m):
            room.scaled[i] = root[i] * residual[i]
        for c in range(columns.shape[0]):
            room.gradient[c] = dot(columns[c], room.scaled)
        for p in range(room.size[0]):
            room.gradient[room.free[p]] = 0.0
    return length


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(room: Room, columns: Any, root: Any, usable: Any, least: float) -> int:
    """Let the column with the steepest gradient above `least` in; -1 if there is none."""
    while True:
        entering, best = -1, least
        for c in range(columns.shape[0]):
            if usable[c] and room.gradient[c] > best:
                best, entering = room.gradient[c], c
        if entering < 0:
            return -1
        p = room.size[0]
        if p < root.size and _append(room, columns[entering], root):
            room.free[p], room.amount[p] = entering, 0.0
            return entering
        room.gradient[entering] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def nonnegative(room: Room, columns: Any, root: Any, usable: Any) -> bool:
    """Least squares over x >= 0 (see the module); whether it ended before its limit of steps.

    columns (n, m), root (m,) with last element one, usable (n,). The free columns and amounts that `room`
    holds on entry are the start, those on exit the answer.
    """
    n, m = columns.shape
    kept, before = 0, room.size[0]
    room.size[0] = 0
    for p in range(before):
        c, amount = room.free[p], room.amount[p]
        if usable[c] and amount > 0.0 and _append(room, columns[c], root):
            room.free[kept], room.amount[kept] = c, amount
            kept += 1
    widest, entering = np.sqrt(dot(root, root)), -1
    for _ in range(20 * m + n):
        _settle(room)
        length = _measure(room, columns, root)
        if length <= EXACT:
            return True
        p = room.size[0]
        if entering >= 0 and (p == 0 or room.free[p - 1] != entering):
            room.gradient[entering] = 0.0
        entering = _enter(room, columns, root, usable, NOISE * length * widest)
        if entering < 0:
            return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(data: Data, v: Any, w: Any, u: Any) -> float:
    """Donor weights w (j,) for predictor weights v (k,), their support u (k,); returns the loss.

    u is proportional to v * (d w) and scaled such that the smallest d_i'u is one: that of donors in use.
    """
    k, j = data.d.shape
    root, usable = np.ones(k + 1), np.ones(j, np.bool_)
    for b in range(k):
        root[b] = np.sqrt(v[b])
    held = room(j, k + 1)
    nonnegative(held, data.donors, root, usable)
    total = 0.0
    for p in range(held.size[0]):
        total += held.amount[p]
    for i in range(j):
        w[i] = 0.0
    for p in range(held.size[0]):
        w[held.free[p]] = held.amount[p] / total
    for b in range(k):
        u[b] = -root[b] * held.residual[b] / max(held.residual[k], 1e-300)
    return loss(data.e, w)


@njit(cache=True, nogil=True, error_model="numpy")
def loss(e: Any, w: Any) -> float:
    """|e w|^2 for e (n, j)."""
    total = 0.0
    for i in range(e.shape[0]):
        total += dot(e[i], w) ** 2
    return total
