"""Compiled search for the extreme of a linear aim over simplex weights with a bounded sum of squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.numerics.kernels.simplex import solve
from qieval.numerics.kernels.simplex_basis import compiled
from qieval.numerics.two_way import Floats

BINDING = 1e-11
"""The quadratic constraint binds if its excess is below this share of the limit."""

NO_ROOM = 1e-11
"""A multiplier below this: only the best fitting weights are allowed, and the best of them is taken."""

ROUNDS = 60


@compiled
def farthest_all(a: Floats, sides: Floats, limit: float, taus: Floats, weights: Floats) -> bool:
    """Least sides (n, j) @ w among w with |a w|^2 <= limit, for each aim; True if all were found.

    taus (n,) and weights (n, j) hold a guess and become the solution. a (m, j) has rms near one, aims have
    values from 0 to 1.
    """
    found = True
    for n in range(sides.shape[0]):
        taus[n], done = _farthest(a, sides[n], limit, taus[n], weights[n])
        found = found and done
    return found


@compiled
def _farthest(a: Floats, aim: Floats, limit: float, tau: Any, weights: Floats) -> tuple[Any, bool]:
    """One aim (j,); weights (j,) are overwritten. Newton steps on the segments of the path, in brackets."""
    corner = np.argmin(aim)
    if np.sum(a[:, corner] ** 2) <= limit:
        weights[:] = 0.0
        weights[corner] = 1.0
        return tau, True
    zero = np.zeros(a.shape[0])
    low, high = 0.0, np.inf
    tau = max(tau, NO_ROOM)
    for _ in range(ROUNDS):
        weights[:] = solve(a, zero, 0.0, tau * aim, weights)[0]
        residual = a @ weights
        excess = residual @ residual - limit
        if abs(excess) <= BINDING * limit:
            return tau, True
        if excess > 0:
            high = min(high, tau)
        else:
            low = max(low, tau)
        if high <= NO_ROOM or (high < np.inf and high - low <= 1e-14 * high):
            return tau, True
        guess = tau + _step(a, aim, weights, residual, excess)
        tau = guess if low < guess < high else _middle(low, high)
    return tau, False


@compiled
def _middle(low: float, high: float) -> Any:
    """A multiplier between two."""
    if high == np.inf:
        return 4.0 * max(low, 1e-6)
    return np.sqrt(low * high) if low > 0 else max(high / 16.0, NO_ROOM)


@compiled
def _step(a: Floats, aim: Floats, weights: Floats, residual: Floats, excess: Any) -> Any:
    """Change of the multiplier after which the constraint binds, if the same weights stay positive; or NaN.

    The fit then moves by -1/2 Q R^-T g for each unit, where QR are the differences between the donors in use
    and g those between their aims.
    """
    used = np.flatnonzero(weights > 0)
    k = used.size - 1
    if k < 1 or k > a.shape[0]:
        return np.nan
    spread = np.empty((a.shape[0], k))
    for i in range(k):
        spread[:, i] = a[:, used[i + 1]] - a[:, used[0]]
    q, r = np.linalg.qr(spread)
    forward = np.empty(k)
    for i in range(k):
        total = aim[used[i + 1]] - aim[used[0]]
        for before in range(i):
            total -= r[before, i] * forward[before]
        if abs(r[i, i]) <= 1e-12:
            return np.nan
        forward[i] = total / r[i, i]
    bend = 0.25 * (forward @ forward)
    if bend <= 1e-24:
        return np.nan
    rate = 0.0
    for i in range(a.shape[0]):
        for column in range(k):
            rate -= 0.5 * residual[i] * q[i, column] * forward[column]
    under = rate * rate - bend * excess
    return (-rate + np.sqrt(under)) / bend if under > 0 else -rate / bend
