"""How simplex weights move while their target changes steadily: piecewise linearly, and exactly.

The problem is min |a w - (b - tau d)|^2 over w >= 0, sum w = 1. As long as the same donors have
weight the solution is linear in tau; `segment` gives that line and the range of tau in which it holds,
`whole_path` all of them. Source: parametric quadratic programming (Markowitz 1956; Best 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats

FLAT = 1e-10
"""Slopes of multipliers and weights below this, in units of the scaled problem, are zero."""

STEP = 1e-9
"""How far beyond the end of one segment the next one is looked for, relative to 1 + |tau|."""

FAR = 1e8
MOST = 100_000


@dataclass(frozen=True, eq=False)
class Moving:
    """The problem in units of its own: a (m, j) less b, with rms one, and d (m,), with rms one.

    unit: tau of the data = unit * tau of this problem.
    """

    a: Floats
    d: Floats
    unit: float


@dataclass(frozen=True, eq=False)
class Segment:
    """Weights (j,) at tau, their slope (j,), and the closed range low <= tau <= high in which both hold."""

    tau: float
    weights: Floats
    slope: Floats
    low: float
    high: float

    def at(self, tau: float) -> Floats:
        """Weights at another tau of the range."""
        return self.weights + (tau - self.tau) * self.slope


@dataclass(frozen=True, eq=False)
class Path:
    """Weights (k, j) at the bends tau (k,), linear in between; beyond the ends they move by first and last.

    converged is False if the path was cut off (more than 100,000 bends).
    """

    tau: Floats
    weights: Floats
    first: Floats
    last: Floats
    converged: bool


def moving_target(a: Floats, b: Floats, d: Floats) -> Moving:
    """The problem with donors a (m, j) and the target b - tau d (m,)."""
    centred = a - b[:, None]
    size, pace = _size(centred), _size(d)
    return Moving(centred / size, d / pace, size / pace)


def _size(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) or 1.0


def solve(moving: Moving, tau: float, start: Floats | None = None) -> Floats:
    """Weights (j,) at tau (in units of `moving`)."""
    return simplex_least_squares(moving.a, -tau * moving.d, start=start).weights


def segment(moving: Moving, tau: float, weights: Floats) -> Segment:
    """The line on which the optimal weights (j,) at tau lie, and how far it holds."""
    a = moving.a
    used = np.flatnonzero(weights > 0)
    pull = 2.0 * (moving.d @ a)
    slope = np.zeros_like(weights)
    moved = np.zeros(a.shape[0])
    if used.size > 1:
        spread = a[:, used[1:]] - a[:, used[:1]]
        inner = _least_squares_slope(spread, pull[used[1:]] - pull[used[0]])
        slope[used[1:]] = inner
        slope[used[0]] = -inner.sum()
        moved = spread @ inner
    residual = a @ weights + tau * moving.d
    both = 2.0 * (np.stack([residual, moved]) @ a)
    gradient, change = both[0], both[1] + pull
    other = weights <= 0
    margin = np.maximum(gradient[other] - weights @ gradient, 0.0)
    widening = change[other] - change[used].mean()
    values = np.concatenate([weights[used], margin])
    rates = np.concatenate([slope[used], widening])
    down, up = rates < -FLAT, rates > FLAT
    high = tau + float(np.min(values[down] / -rates[down], initial=np.inf))
    low = tau - float(np.min(values[up] / rates[up], initial=np.inf))
    return Segment(tau, weights, slope, low, high)


def _least_squares_slope(spread: Floats, pull: Floats) -> Floats:
    """-1/2 (spread'spread)^-1 pull by QR; by pseudo-inverse where the columns depend on each other."""
    if spread.shape[0] >= spread.shape[1]:
        r: Floats = np.linalg.qr(spread)[1]
        diagonal = np.abs(r.diagonal())
        if diagonal.min() > 1e-9 * diagonal.max():
            return np.asarray(-0.5 * np.linalg.solve(r, np.linalg.solve(r.T, pull)))
    return np.asarray(-0.5 * np.linalg.pinv(spread.T @ spread, rcond=1e-14, hermitian=True) @ pull)


def whole_path(moving: Moving) -> Path:
    """All bends of the path, in units of the data, from tau = minus to plus infinity.

    Between two segments the weights are continuous where they are unique, and the fitted values always;
    a segment shorter than the step (1e-9) is replaced by the straight line between its neighbours.
    """
    start = segment(moving, 0.0, solve(moving, 0.0))
    up, last, up_done = _walk(moving, start, 1.0)
    down, first, down_done = _walk(moving, start, -1.0)
    knots = [*reversed(down), *up] or [(0.0, start.weights)]
    tau = np.array([knot[0] for knot in knots]) * moving.unit
    weights = np.stack([knot[1] for knot in knots])
    ends = first / moving.unit, last / moving.unit
    return Path(tau, weights, ends[0], ends[1], up_done and down_done)


def _walk(moving: Moving, here: Segment, side: float) -> tuple[list[tuple[float, Floats]], Floats, bool]:
    """Bends from one segment outwards (side +1 or -1), and the slope of the last, endless segment."""
    knots: list[tuple[float, Floats]] = []
    step = STEP
    while len(knots) < MOST:
        end = here.high if side > 0 else here.low
        if abs(end) > FAR:
            return knots, here.slope, True
        if not knots or side * (end - knots[-1][0]) > 0:
            knots.append((end, here.at(end)))
            step = STEP
        else:
            step *= 2.0
        tau = knots[-1][0] + side * step * (1.0 + abs(knots[-1][0]))
        here = segment(moving, tau, solve(moving, tau, here.weights))
        begin = here.low if side > 0 else here.high
        if side * (begin - knots[-1][0]) > step * (1.0 + abs(begin)):
            knots.append((begin, here.at(begin)))
    return knots, here.slope, False
