"""Simplex weights of several units at once, when the sum of their gaps counts beside each unit's own.

The quadratic program behind partially pooled synthetic controls, solved exactly: minimise
pooled |mean gap|^2 + separate sum_u |gap_u|^2 / l_u over weights of each unit on its own simplex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats
from qieval.progress import progress

TIGHT = 1e-10
"""Duality gap at which the joint problem counts as solved; its objective is 1 at separate weights."""

SWEEPS = 500
FACE_STEPS = 50
"""Steps towards the minimum for given donors before all donors are looked at again."""

EMPTY = 1e-12
"""Singular values below this share of the largest count as zero."""

ONLY_POOLED = 1e-8
"""Below this ratio to the pooled part the separate part does not steer the joint step."""


class Imbalance(NamedTuple):
    """Root mean squared gap before the start: of the average over units, and over all units' own gaps."""

    pooled: float
    separate: float

    def times(self, scale: float) -> Imbalance:
        """The same in other units."""
        return Imbalance(self.pooled * scale, self.separate * scale)


@dataclass(frozen=True, eq=False)
class PooledProblem:
    """Differences (l_u, m_u) to balance for each unit, latest row first, and what their squares count.

    The objective is pooled |mean gap|^2 + separate sum_u |gap_u|^2 / l_u, gap_u = -differences_u w_u.
    """

    differences: list[Floats]
    pooled: float
    separate: float

    def gaps(self, weights: list[Floats]) -> Floats:
        """Gaps (most rows, units), zero where a unit has fewer rows."""
        out = np.zeros((max(map(len, self.differences)), len(weights)))
        for unit, (rows, w) in enumerate(zip(self.differences, weights, strict=True)):
            out[: len(rows), unit] = -rows @ w
        return out

    def imbalance(self, weights: list[Floats]) -> Imbalance:
        """How well weights fit."""
        gaps = self.gaps(weights)
        counts = np.array([len(rows) for rows in self.differences])
        pooled = np.sqrt(np.mean(gaps.mean(axis=1) ** 2))
        return Imbalance(float(pooled), float(np.sqrt(np.mean(np.sum(gaps**2, axis=0) / counts))))

    def shares(self, unit: int) -> tuple[float, float]:
        """What a squared row of this unit counts by itself, and a squared row of the sum over units."""
        return self.separate / len(self.differences[unit]), self.pooled / len(self.differences) ** 2

    def duality_gap(self, weights: list[Floats]) -> float:
        """How far the objective lies above its minimum at most: the Frank-Wolfe gaps of all units."""
        gaps = self.gaps(weights)
        total = gaps.sum(axis=1)
        found = 0.0
        for unit, (rows, w) in enumerate(zip(self.differences, weights, strict=True)):
            own, shared = self.shares(unit)
            slope = -2 * rows.T @ (own * gaps[: len(rows), unit] + shared * total[: len(rows)])
            found += max(float(slope @ w - slope.min()), 0.0)
        return found


def solve_pooled(problem: PooledProblem, start: list[Floats]) -> tuple[list[Floats], float, int]:
    """Weights at the minimum, their duality gap (solved: at most 1e-10), and the number of sweeps.

    A sweep minimises over the weights of one unit after the other, which is a simplex problem with a shifted
    target and brings in donors; between sweeps the weights of all units move to the joint minimum for the
    donors that they have, as far as they stay positive. Both lower the objective.
    """
    weights, gap, done = [w.copy() for w in start], problem.duality_gap(start), 0
    for sweep in progress(range(SWEEPS), "partial pooling"):
        if gap <= TIGHT:
            break
        done = sweep + 1
        gaps = problem.gaps(weights)
        for unit, rows in enumerate(problem.differences):
            own, shared = problem.shares(unit)
            others = (gaps.sum(axis=1) - gaps[:, unit])[: len(rows)]
            fit = simplex_least_squares(rows, shared / (own + shared) * others, start=weights[unit])
            weights[unit] = fit.weights
            gaps[: len(rows), unit] = -rows @ weights[unit]
        for _ in range(FACE_STEPS):
            weights, whole = _face_step(problem, weights)
            if whole:
                break
        gap = problem.duality_gap(weights)
    return weights, gap, done


def _face_step(problem: PooledProblem, weights: list[Floats]) -> tuple[list[Floats], bool]:
    """Towards the minimum over the donors with weight; and whether it was reached.

    In coordinates y_u of what unit u can change (q_u orthonormal), the optimum is y_u = q_u'(gap_u + c_u m)
    with c_u = shared / own_u and m the sum of gaps after the step: one system in m, as small as the rows.
    """
    gaps, bases = problem.gaps(weights), [_basis(w) for w in weights]
    total, shared = gaps.sum(axis=1), problem.shares(0)[1]
    faces = [_face(rows @ basis, len(gaps)) for rows, basis in zip(problem.differences, bases, strict=True)]
    if problem.separate <= ONLY_POOLED * problem.pooled:
        joined = np.hstack([q * size for q, size, _ in faces])
        along = np.linalg.lstsq(joined, total, rcond=EMPTY)[0]
        parts = np.split(along, np.cumsum([size.size for _, size, _ in faces])[:-1])
        change = [b @ (turn @ part) for b, (_, _, turn), part in zip(bases, faces, parts, strict=True)]
        return _as_far_as_positive(weights, change)
    ratios = [shared / problem.shares(unit)[0] for unit in range(len(weights))]
    system, right = np.eye(len(gaps)), total.copy()
    for unit, (q, _, _) in enumerate(faces):
        system += ratios[unit] * (q @ q.T)
        right -= q @ (q.T @ gaps[:, unit])
    after = np.linalg.solve(system, right)
    change = [
        basis @ (turn @ (q.T @ (gaps[:, unit] + ratios[unit] * after) / size))
        for unit, (basis, (q, size, turn)) in enumerate(zip(bases, faces, strict=True))
    ]
    return _as_far_as_positive(weights, change)


def _face(rows: Floats, height: int) -> tuple[Floats, Floats, Floats]:
    """Singular vectors (height, r) with zeros below, values (r,), and right vectors (s - 1, r) of rows."""
    left, size, right = np.linalg.svd(rows, full_matrices=False)
    kept = size > EMPTY * max(float(size.max(initial=0.0)), np.finfo(float).tiny)
    padded = np.zeros((height, int(kept.sum())))
    padded[: len(rows)] = left[:, kept]
    return padded, size[kept], right[kept].T


def _basis(weights: Floats) -> Floats:
    """Changes (m, s - 1) that keep the sum, among the s donors with weight: to each, from the heaviest."""
    used = np.flatnonzero(weights)
    heaviest = int(np.argmax(weights))
    rest = used[used != heaviest]
    basis = np.zeros((weights.size, rest.size))
    basis[rest, np.arange(rest.size)] = 1.0
    basis[heaviest] = -1.0
    return basis


def _as_far_as_positive(weights: list[Floats], change: list[Floats]) -> tuple[list[Floats], bool]:
    w, d = np.concatenate(weights), np.concatenate(change)
    falling = d < 0
    reach = float((w[falling] / -d[falling]).min(initial=np.inf))
    moved = np.maximum(w + min(reach, 1.0) * d, 0.0)
    if reach < 1:
        moved[falling & (w + reach * d <= 1e-15)] = 0.0
    pieces = np.split(moved, np.cumsum([part.size for part in weights])[:-1])
    return [piece / piece.sum() for piece in pieces], reach >= 1
