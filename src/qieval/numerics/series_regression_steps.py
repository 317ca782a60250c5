"""Iteratively reweighted least squares on orthonormal columns, for one series.

Columns are centred (where there is a constant), scaled and made orthonormal first, so that time may count
1, 2, 3 or 1000001, 1000002.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_regression_families import FARTHEST, Outcome
from qieval.numerics.two_way import Floats

RANK = 1e-10
"""A column of which the columns before it leave less than this share (in length) is taken as redundant."""
ITERATIONS = 100
STEP = 1e-13
"""Steps end when no linear predictor moves by more than this (relative to the largest, or to 1)."""
HALVINGS = 40
LONGEST = 5.0
"""Largest move of a logarithm or log odds in one step."""
RUNAWAY = 1e-14
"""Working weight of a zero, relative to the mean, below which its fitted value is on its way to nothing."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal columns q (n, k) of a design; coefficients of the design are back (k, k) @ those of q."""

    q: Floats
    back: Floats


@dataclass(frozen=True, eq=False)
class Steps:
    """Where iterations ended: coefficients of the basis (k,), linear predictor (n,), root of the information.

    root (k, k) is upper triangular with root' root = q' W q. separated: a fitted value runs to the end of
    what is possible, so that no finite estimate exists; converged is then False.
    """

    gamma: Floats
    linear: Floats
    root: Floats
    deviance: float
    converged: bool
    separated: bool
    iterations: int


def orthonormal(x: Floats) -> Basis:
    """Orthonormal columns that span those of x (n, k); ValueError if x is not finite or lacks full rank.

    Where a column of x is constant the others are centred first, which keeps the digits of long time scales.
    """
    x = np.asarray(x, dtype=np.float64)
    n, k = x.shape
    if not np.isfinite(x).all():
        raise ValueError("regressors must be finite")
    if n < k:
        raise ValueError("regressors are linearly dependent: more columns than rows")
    if k == 0:
        return Basis(np.empty((n, 0)), np.empty((0, 0)))
    centred, change = _centred(x)
    size = np.sqrt((centred**2).sum(axis=0))
    if (size <= 1e-14 * np.sqrt((x**2).sum(axis=0))).any():
        raise ValueError("regressors are linearly dependent")
    q, r, order = scipy.linalg.qr(centred / size, mode="economic", pivoting=True)
    if np.abs(r[-1, -1]) < RANK:
        raise ValueError("regressors are linearly dependent")
    return Basis(q, (change / size)[:, order] @ scipy.linalg.solve_triangular(r, np.eye(k)))


def iterate(outcome: Outcome, q: Floats, gamma: Floats | None = None) -> Steps:
    """Maximum likelihood on orthonormal columns q (n, k) at a given theta, from gamma (k,) if given."""
    if outcome.degenerate:
        return _nowhere(outcome, q)
    gamma = _start(outcome, q) if gamma is None else gamma
    linear = outcome.offset + q @ gamma
    deviance = float(outcome.unit_deviance(linear).sum())
    edge, level = outcome.edge, RUNAWAY * outcome.scale
    for iteration in range(1, ITERATIONS + 1):
        weights = outcome.weights(linear)
        root = _root(weights, q)
        if (weights[edge] < level).any():
            return Steps(gamma, linear, root, deviance, False, True, iteration)
        bend = root if np.isinf(outcome.theta) else _root(outcome.curvature(linear), q)
        move = _solve(bend, q.T @ outcome.score(linear))
        share, after, reached = _halved(outcome, outcome.offset + q @ gamma, q @ move, deviance)
        if not share:
            break
        change = float(np.abs(after - linear).max(initial=0.0))
        gamma, linear, deviance = gamma + share * move, after, reached
        if share == 1 and change <= STEP * max(1.0, float(np.abs(linear).max())):
            root = _root(outcome.weights(linear), q)
            return Steps(gamma, linear, root, deviance, True, False, iteration)
    return Steps(gamma, linear, _root(outcome.weights(linear), q), deviance, False, False, iteration)


def first_share(outcome: Outcome, move: Floats) -> Floats:
    """Share of a step (...,) that no linear predictor (..., n) moves too far; all of it where gaussian."""
    furthest = np.abs(move).max(axis=-1, initial=0.0)
    if outcome.law == "gaussian":
        return np.ones(furthest.shape)
    return np.asarray(LONGEST / np.maximum(furthest, LONGEST))


def constant_deviance(outcome: Outcome) -> float:
    """Deviance of the model with a constant and the offset alone (0 without events: it fits in the limit)."""
    return iterate(outcome, np.full((outcome.y.size, 1), outcome.y.size**-0.5)).deviance


def _centred(x: Floats) -> tuple[Floats, Floats]:
    """Columns less their means if one of them is constant, and the matrix (k, k) that makes them from x."""
    change = np.eye(x.shape[1])
    constant = np.flatnonzero((x == x[:1]).all(axis=0) & (x[0] != 0))
    if not constant.size:
        return x, change
    means = x.mean(axis=0)
    means[constant[0]] = 0.0
    change[constant[0]] -= means / x[0, constant[0]]
    return x - means, change


def _start(outcome: Outcome, q: Floats) -> Floats:
    """Weighted least squares of the transformed values."""
    linear = outcome.start()
    weights = outcome.weights(linear)
    return _solve(_root(weights, q), q.T @ (weights * (linear - outcome.offset)))


def _nowhere(outcome: Outcome, q: Floats) -> Steps:
    """The limit of a series without any event, or without any failure."""
    linear = np.full(outcome.y.shape, -FARTHEST if outcome.y[0] == 0 else FARTHEST)
    return Steps(np.zeros(q.shape[1]), linear, np.zeros((q.shape[1],) * 2), 0.0, False, True, 0)


def _halved(outcome: Outcome, linear: Floats, move: Floats, deviance: float) -> tuple[float, Floats, float]:
    """Share of a step (0: none) after which the deviance has not grown; linear predictor and deviance."""
    room = 1e-10 * deviance + 1e-14 * float(np.abs(outcome.y).sum())
    share = float(first_share(outcome, move))
    for _ in range(HALVINGS):
        after = linear + share * move
        reached = float(outcome.unit_deviance(after).sum())
        if reached <= deviance + room:
            return share, after, reached
        share /= 2
    return 0.0, linear, deviance


def _root(weights: Floats, q: Floats) -> Floats:
    return np.asarray(np.linalg.qr(np.sqrt(weights)[:, None] * q, mode="r"))


def _solve(root: Floats, right: Floats) -> Floats:
    """(root' root)^-1 right."""
    return np.linalg.solve(root, np.linalg.solve(root.T, right))
