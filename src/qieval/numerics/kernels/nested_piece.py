"""Compiled: the best predictor weights while donors in use and the sides of predictors stay as they are.

With u_k = v_k r_k, r = d w, weights w are optimal for v if d_i'u is the same for all donors in use and not
less for the others. That is linear in (w, u) once it is settled which donors are in use and on which side
r_k lies, and so is low v_max <= v_k <= v_max. In such a piece the best v is one convex quadratic programme.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from qieval.numerics.kernels.nested import Data, dot, loss, nonnegative, room, weigh

SIDES = 1e6
FACE = 1e5
"""How much more the conditions count than the outcome: they hold to about the square of the inverse."""

ROUNDS = 8
PIECES = 100
TOUCHING = 1e-7
BETTER = 1e-9


@njit(cache=True, nogil=True, error_model="numpy")
def best_in_piece(data: Data, side: Any, used: Any, support: Any, v: Any) -> float:
    """Fill v (k,), largest one, with the best of the piece; the loss there, infinite if there is none.

    side (k,) of 1.0 and -1.0, used (j,), support (k,): says which donors are near the face. The others'
    conditions come in when they are broken. The variables, all not negative: weights of the donors used; p
    with u_k = side_k (side_k r_k + p_k); q with side_k r_k = low side_k u_k + q_k; the common d_i'u; and how
    far each other donor is above it.
    """
    d, low = data.d, data.low
    k, j = d.shape
    bound, u, w = _near(data, used, support), np.empty(k), np.zeros(j)
    s = 0
    for i in range(j):
        s += used[i]
    for _ in range(ROUNDS):
        columns, root, usable = _programme(data, side, used, bound)
        held = room(columns.shape[0], columns.shape[1])
        nonnegative(held, columns, root, usable)
        x, total = np.zeros(columns.shape[0]), 0.0
        for p in range(held.size[0]):
            x[held.free[p]] = held.amount[p]
            total += held.amount[p] if held.free[p] < s else 0.0
        if total < 1e-6:
            return np.inf
        for c in range(x.size):
            x[c] /= total
        z = 0
        for i in range(j):
            if used[i]:
                w[i] = x[z]
                z += 1
        for b in range(k):
            off = (low * x[s + b] + x[s + k + b]) / (1 - low)
            u[b] = side[b] * (off + x[s + b])
            v[b] = min(max(low * (off + x[s + b]) / off, low), 1.0) if off > 0 else 1.0
        broken = 0
        for i in range(j):
            if not bound[i] and dot(data.donors[i, :k], u) < x[s + 2 * k] * (1 - BETTER):
                bound[i] = True
                broken += 1
        if broken == 0:
            _largest_is_one(v, low)
            return loss(data.e, w)
    return np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_is_one(v: Any, low: float) -> None:
    top = 0.0
    for b in range(v.size):
        top = max(top, v[b])
    for b in range(v.size):
        v[b] = max(v[b] / top, low)


@njit(cache=True, nogil=True, error_model="numpy")
def _near(data: Data, used: Any, support: Any) -> Any:
    """The donors used, and of the others 2 k + 2 that are nearest to their face."""
    k, j = data.d.shape
    bound, above = used.copy(), np.empty(j)
    for i in range(j):
        above[i] = np.inf if used[i] else dot(data.donors[i, :k], support)
    for _ in range(2 * k + 2):
        nearest = 0
        for i in range(j):
            if above[i] < above[nearest]:
                nearest = i
        if above[nearest] == np.inf:
            break
        bound[nearest], above[nearest] = True, np.inf
    return bound


@njit(cache=True, nogil=True, error_model="numpy")
def _programme(data: Data, side: Any, used: Any, bound: Any) -> Any:
    """The quadratic programme as columns (n, m), root (m,) and usable (n,) of `nonnegative`."""
    donors, e, low = data.donors, data.e, data.low
    (k, j), n_e = data.d.shape, e.shape[0]
    s, c, square = 0, 0, 0.0
    for i in range(j):
        s, c = s + used[i], c + bound[i]
        for t in range(n_e):
            square += e[t, i] ** 2
    m, scale = n_e + k + c + 1, np.sqrt(square / e.size)
    columns, root = np.zeros((s + 2 * k + 1 + c, m)), np.ones(m)
    usable = np.ones(columns.shape[0], np.bool_)
    z = 0
    for i in range(j):
        if used[i]:
            for t in range(n_e):
                columns[z, t] = e[t, i] / scale if scale > 0 else 0.0
            for b in range(k):
                columns[z, n_e + b] = (1 - low) * side[b] * donors[i, b]
            columns[z, m - 1] = 1.0
            z += 1
    for b in range(k):
        columns[s + b, n_e + b], columns[s + k + b, n_e + b], root[n_e + b] = -low, -1.0, SIDES
    row, level = n_e + k, s + 2 * k
    for condition in range(j):
        if bound[condition]:
            z = 0
            for i in range(j):
                if used[i]:
                    columns[z, row] = dot(donors[condition, :k], donors[i, :k])
                    z += 1
            for b in range(k):
                columns[s + b, row] = side[b] * donors[condition, b]
            columns[level, row], columns[level + 1 + row - n_e - k, row], root[row] = -1.0, -1.0, FACE
            usable[level + 1 + row - n_e - k] = not used[condition]
            row += 1
    return columns, root, usable


@njit(cache=True, nogil=True, error_model="numpy")
def improve(data: Data, v: Any) -> float:
    """From v (k,) go to the best of its piece, from there to pieces that touch, until none is better.

    v is replaced; the loss at it. A piece touches if it also uses the donors without weight on the face.
    """
    k, j = data.d.shape
    w, u, side, used = np.empty(j), np.empty(k), np.empty(k), np.empty(j, np.bool_)
    tried, wide = np.empty(k), False
    best = weigh(data, v, w, u)
    for _ in range(PIECES):
        for b in range(k):
            side[b] = 1.0 if u[b] >= 0 else -1.0
        for i in range(j):
            used[i] = w[i] > 0 or (wide and dot(data.donors[i, :k], u) < 1 + TOUCHING)
        here = best_in_piece(data, side, used, u, tried)
        if here < np.inf:
            here = weigh(data, tried, w, u)
        if here < best * (1 - BETTER):
            best, wide = here, False
            for b in range(k):
                v[b] = tried[b]
        elif wide:
            break
        else:
            wide = True
            weigh(data, v, w, u)
    return best
