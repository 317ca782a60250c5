"""The dual of least squares under many units' constraints: the most even weights, and the nearest totals.

Least sum of squares: w = max(0, a'u), u the maximum of the concave, piecewise quadratic
b'u - |max(0, a'u)|^2 / 2 in as many unknowns as there are constraints, by Newton's method (Qi and Sun 1993)
with proximal steps around it (Rockafellar 1976), which keep each system regular. Nearest totals: the same
with steps that are proximal in w as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.estimated_weights import ROWS
from qieval.numerics.two_way import Codes, Floats, Mask

MET = 1e-10
"""Constraints are met when their distance, rows and totals at norm 1, is below this."""

CERTAIN = 1e-8
"""Relative precision asked of a certificate."""

STIFF = 1e-9
"""Proximal weight where constraints are met, against squares of the scaled rows (1): it and the next two
decide how many steps are needed, not what is found."""

SOFT = 1e-5
FIRM = 1e-11
"""The same in the search for the nearest totals: for rows to come near to, and for rows to meet."""

LOST = 1e6
"""Multipliers beyond this norm: most likely no weights meet the constraints."""

SHARP = 1e-12
ROUNDING = 1e-14
STEPS = 100
NEWTON = 200


@dataclass(frozen=True, eq=False)
class Solution:
    """w >= 0 (j,), multipliers (p,); good: it is what was asked for, with proof.

    face (j,): units that may have weight in some solution; gap as in CalibrationFit.
    """

    w: Floats
    multipliers: Floats
    gap: float
    iterations: int
    good: bool
    face: Mask


@dataclass(frozen=True, eq=False)
class _Proximal:
    """Minimise |max(0, anchor + a'u)|^2 / 2 - b'u + sum weight (u - centre)^2 / 2 over u (p,)."""

    a: Floats
    b: Floats
    weight: Floats
    centre: Floats
    anchor: Floats


def even(a: Floats, b: Floats, limit: float) -> Solution:
    """Least |w|^2 with a w = b, w >= 0; not good where proximal steps no longer bring a w nearer to b.

    limit: norm of the multipliers, which have no bound if no w meets b, at which the search is given up.
    """
    weight = np.full(b.size, STIFF)
    every = a @ a.T + np.diag(weight)
    u = np.asarray(scipy.linalg.solve(every, b, assume_a="pos"))
    steps, before = 0, np.inf
    for _ in range(STEPS):
        u, w, taken = _newton(_Proximal(a, b, weight, u, np.zeros(a.shape[1])), u, limit)
        steps += taken
        left = b - a @ w
        size = float(np.linalg.norm(left))
        if size <= ROUNDING or size > before / 2 or np.linalg.norm(u) > limit:
            break
        before = size
    squares = float(w @ w)
    gap = abs(float(u @ left)) / squares if squares > 0 else 0.0
    return Solution(w, u, gap, steps, size <= MET, w > 0)


def nearest(a: Floats, b: Floats, exact: Mask) -> Solution:
    """Least |a w - b|^2 over the rows that are not exact, given those that are: proximal steps in w."""
    weight = np.where(exact, FIRM, SOFT)
    u, w = np.zeros(b.size), np.zeros(a.shape[1])
    steps, longest = 0, float(np.sqrt(np.einsum("ij,ij->j", a, a).max()))
    for _ in range(STEPS):
        u, w, taken = _newton(_Proximal(a, b, weight, np.where(exact, u, 0.0), w), u, np.inf)
        steps += taken
        left = b - a @ w
        slope = SOFT * (u @ a)
        away = max(float(slope.max()), float(np.abs(slope[w > 0]).max(initial=0.0)))
        good = away <= SHARP * longest and float(np.linalg.norm(left[exact])) <= MET
        if good:
            break
    face = slope >= min(-CERTAIN * longest, float(slope.max()))
    return Solution(w, u, np.nan, steps, good, face)


def _newton(problem: _Proximal, u: Floats, limit: float) -> tuple[Floats, Floats, int]:
    """Minimiser u, w = max(0, anchor + a'u) and steps; exact once a full step leaves the active set alone."""
    a = problem.a
    z = problem.anchor + u @ a
    taken = 0
    while taken < NEWTON:
        taken += 1
        active = z > 0
        w = np.where(active, z, 0.0)
        slope = a @ w - problem.b + problem.weight * (u - problem.centre)
        reach = float(np.linalg.norm(u))
        if np.linalg.norm(slope) <= ROUNDING * (1 + reach) or reach > limit:
            break
        hessian = _gram(a, np.flatnonzero(active))
        hessian[np.diag_indices_from(hessian)] += problem.weight
        direction = -np.asarray(scipy.linalg.solve(hessian, slope, assume_a="pos"))
        along = direction @ a
        if (((z + along) > 0) == active).all():
            u = u + direction
            break
        length = _length(problem, (u, z), (direction, along), float(slope @ direction))
        u = u + length * direction
        z = problem.anchor + u @ a
    return u, np.maximum(problem.anchor + u @ a, 0.0), taken


def _length(
    problem: _Proximal, at: tuple[Floats, Floats], step: tuple[Floats, Floats], start: float
) -> float:
    """Step length along a line on which the slope, `start` < 0 at 0, rises in straight pieces.

    at and step are the multipliers and their z, and the changes of both. The full step if the slope is not
    above zero there, else a point before the minimum with at most half the slope left.
    """
    (u, z), (direction, along) = at, step
    rise = float(problem.weight @ direction**2)
    fixed = float((problem.weight * (u - problem.centre) - problem.b) @ direction)

    def slope(length: float) -> float:
        return float(along @ np.maximum(z + length * along, 0.0)) + fixed + length * rise

    low, high = 0.0, 1.0
    at_low, at_high = start, slope(1.0)
    if at_high <= 0:
        return 1.0
    for _ in range(60):
        guess = low - at_low * (high - low) / (at_high - at_low)
        middle = float(np.clip(guess, low + (high - low) / 10, high - (high - low) / 10))
        here = slope(middle)
        if start / 2 <= here <= 0:
            return middle
        if here > 0:
            high, at_high = middle, here
        else:
            low, at_low = middle, here
    return low if low > 0 else high


def _gram(a: Floats, active: Codes) -> Floats:
    """Cross-products (p, p) of the rows of a over some units, a piece of them at a time."""
    total = np.zeros((a.shape[0], a.shape[0]))
    for start in range(0, active.size, ROWS):
        piece = a[:, active[start : start + ROWS]]
        total += piece @ piece.T
    return total
