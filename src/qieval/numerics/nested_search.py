"""The search for predictor weights of one unit: exact where the branch and bound can be finished.

`kernels/nested_tree.py` says how. Independent random starts show how rugged the problem is, and take over
where the tree meets its limit of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import scipy

from qieval.numerics.simplex import (
    SimplexFit,
    is_inside_hull,
    least_objective_in_exact_fit,
    other_weights,
    simplex_least_squares,
)
from qieval.numerics.two_way import Floats

LOW = 1e-8
"""The smallest weight of a predictor, relative to the largest (as in R MSCMT)."""

INSIDE = 1e-6
"""Standard deviations off that count as a predictor that is reproduced."""

MET = 1e-7
AGREES = 1e-6
SAME_FIT = 1e-9
RESCUE = 50
"""Starts where the tree was not finished."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Search:
    """How long to search: random starts, nodes of the tree; scale (k,) instead of the standard deviations."""

    starts: int = 8
    nodes: int = 20_000
    scale: Floats | None = None


@dataclass(frozen=True, eq=False)
class Unit:
    """A unit and its donors: d (k, j) predictors that vary, in standard deviations, less the unit's; varies
    (all,); target (p,), donors (p, j) outcomes of the fit; e (min(p, j), j) with |e w|^2 the loss."""

    d: Floats
    varies: np.ndarray
    target: Floats
    donors: Floats
    e: Floats

    def loss(self, weights: Floats) -> float:
        """Mean squared gap."""
        return float(np.mean((self.target - self.donors @ weights) ** 2))


@dataclass(frozen=True, eq=False)
class Best:
    """What a search found: v (k,), largest one, its loss, a bound for every v, v of starts that agree (a, k).

    complete: bound is the infimum over all positive v, not only what was proved before nodes ran out.
    """

    v: Floats
    loss: float
    bound: float
    nodes: int
    complete: bool
    starts: int
    agreeing: Floats


def prepare(x1: Floats, x0: Floats, target: Floats, donors: Floats, scale: Floats | None = None) -> Unit:
    """Predictors in standard deviations over all units (n - 1) or in units of scale; outcomes as they are."""
    both = np.column_stack([x1, x0]).astype(float)
    if donors.ndim != 2 or both.shape[1] != donors.shape[1] + 1 or target.shape != donors.shape[:1]:
        raise ValueError("x1 (k,), x0 (k, j), target (p,) and donors (p, j) do not fit together")
    if not all(np.isfinite(part).all() for part in (both, target, donors)):
        raise ValueError("predictors and outcomes of the fit must be finite")
    spread = both.std(axis=1, ddof=1) if scale is None else np.asarray(scale, dtype=float)
    varies = both.std(axis=1) > 1e-12 * np.abs(both).max(axis=1)
    d = (both[varies, 1:] - both[varies, :1]) / spread[varies, None]
    e = (donors - target[:, None]) / np.sqrt(target.size)
    if e.shape[0] > e.shape[1]:
        e = np.linalg.qr(e, mode="r")
    return Unit(np.ascontiguousarray(d), varies, target, donors, np.ascontiguousarray(e))


def inside(d: Floats) -> Floats | None:
    """Weights of the donors that reproduce all predictors, d w = 0; None if there are none."""
    distance, weights = (
        is_inside_hull(np.zeros(d.shape[0]), d) if d.size else (0.0, np.ones(d.shape[1]) / d.shape[1])
    )
    off = np.abs(d @ weights).max(initial=0.0)
    return weights if distance < INSIDE and off < INSIDE else None


def exact_weights(unit: Unit, d: Floats, near: Floats) -> SimplexFit:
    """The best outcome fit among weights with the d w of `near`; all weights do if d has no rows."""
    if d.shape[0] == 0:
        return simplex_least_squares(unit.donors, unit.target)
    return least_objective_in_exact_fit(d @ near, d, unit.target, unit.donors)


def optimal_weights(unit: Unit, v: Floats) -> tuple[Floats, float]:
    """Donor weights (j,) for v (k,), all positive, and their relative duality gap.

    If several weights are optimal for v, those of them that fit the outcome best.
    """
    root = np.sqrt(v / v.max())
    a, b = root[:, None] * unit.d, np.zeros(v.size)
    fit = simplex_least_squares(a, b)
    if other_weights(a, b, fit.weights) == 0:
        return fit.weights, fit.gap
    best = exact_weights(unit, unit.d, fit.weights)
    reached = float(np.sum((a @ best.weights) ** 2))
    excess = max(reached / fit.objective - 1, 0.0) if fit.objective > 0 else np.inf
    if not best.converged or excess > SAME_FIT or unit.loss(best.weights) > unit.loss(fit.weights):
        return fit.weights, fit.gap
    return best.weights, fit.gap + excess


def find(unit: Unit, search: Search, rng: np.random.Generator) -> Best:
    """The best v of a unit whose predictors no donor weights reproduce.

    The tree does not use rng: where it is finished, which `complete` says, only `agreeing` depends on it.
    """
    from qieval.numerics.kernels.nested_piece import improve

    found = _from_tree(unit, search.nodes)
    count = search.starts if found.complete else max(search.starts, RESCUE)
    tried = 10.0 ** (np.log10(LOW) * rng.random((count, unit.d.shape[0])))
    tried /= tried.max(axis=1, keepdims=True)
    losses = np.array([improve(_data(unit), v) for v in tried])
    v, lowest = found.v, found.loss
    if count and losses.min() < lowest * (1 - AGREES):
        v, lowest = tried[losses.argmin()], float(losses.min())
    agree = losses <= lowest * (1 + AGREES)
    return replace(
        found, v=v, loss=lowest, bound=min(found.bound, lowest), starts=count, agreeing=tried[agree]
    )


def _from_tree(unit: Unit, most: int) -> Best:
    """The best v by branch and bound with at most `most` nodes kept; loss infinite if none was met."""
    from qieval.numerics.kernels.nested_piece import improve
    from qieval.numerics.kernels.nested_tree import FIRST, FULL, LOOK, LOOKED, NODE, grow, plant

    data = _data(unit)
    tree = plant(data, most)
    v, loss, bound = np.ones(unit.d.shape[0]), np.inf, np.inf
    while (status := grow(data, tree, loss)) == LOOK:
        node = tree.count[NODE]
        if tree.count[FIRST] == tree.count[LOOKED]:
            bound = tree.bound[node]
        tree.seen[node] = True
        tried = _first_try(data, tree, node)
        reached = improve(data, tried)
        if reached < loss:
            v, loss = tried, reached
    if status == FULL:
        bound = min(bound, float(tree.bound.min()))
    bound, complete = min(bound, loss), status != FULL or tree.count[FIRST] >= 0
    return Best(
        v, float(loss), float(bound), int(tree.count[LOOKED]), bool(complete), 0, np.empty((0, v.size))
    )


def _first_try(data: Any, tree: Any, node: int) -> Floats:
    """v (k,) from the weights and the support of a node: the best of its piece, or else their ratio."""
    from qieval.numerics.kernels.nested_piece import best_in_piece

    used = tree.weight[node, : data.d.shape[1]] > 0
    met = np.abs(tree.r) < MET
    side = np.where(np.where(met, tree.support, tree.r) >= 0, 1.0, -1.0)
    v = np.ones(tree.r.size)
    if not np.isfinite(best_in_piece(data, side, used, tree.support, v)):
        v = np.clip(tree.support / np.where(met, 1.0, tree.r), LOW, None)
        v[met] = v.max()
        v = np.maximum(v / v.max(), LOW)
    return v


def ranges(unit: Unit, best: Best, weights: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest share (k,) of each predictor seen among v that reach the same loss.

    These are v of starts that agree, and the ends of the polyhedron of u = v r for which weights (j,) stay
    optimal (two linear programmes for each predictor), kept if their loss is the same.
    """
    k, j = unit.d.shape
    r = unit.d @ weights
    size, signed = np.maximum(np.abs(r), MET * LOW), np.where(r >= 0, 1.0, -1.0)[:, None] * unit.d
    used = weights > SAME_FIT
    conditions = np.column_stack([signed.T, -np.ones(j)])
    bounds = [*np.column_stack([size, size / LOW]).tolist(), (0.0, None)]
    shares = [v / v.sum() for v in (best.v, *best.agreeing)]
    for b, sign in product(range(k), (1.0, -1.0)):
        answer = scipy.optimize.linprog(
            sign * np.eye(k + 1)[b],
            A_ub=-conditions[~used] if not used.all() else None,
            b_ub=np.zeros(int((~used).sum())) if not used.all() else None,
            A_eq=conditions[used],
            b_eq=np.zeros(int(used.sum())),
            bounds=bounds,
        )
        if answer.status == 0:
            v = answer.x[:k] / size
            v = np.maximum(v / v.max(), LOW)
            root = np.sqrt(v)
            other = simplex_least_squares(root[:, None] * unit.d, np.zeros(k), start=weights)
            if unit.loss(other.weights) <= best.loss * (1 + AGREES):
                shares.append(v / v.sum())
    return np.min(shares, axis=0), np.max(shares, axis=0)


def _data(unit: Unit) -> Any:
    """The unit as the compiled code takes it."""
    from qieval.numerics.kernels.nested import Data

    ones = np.ones((unit.d.shape[1], 1))
    return Data(unit.d, np.ascontiguousarray(np.hstack([unit.d.T, ones])), unit.e, LOW)
