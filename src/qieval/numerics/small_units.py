"""Weights of many small control units whose weighted totals equal the totals of the treated units.

The design of Robbins, Saunders and Kilmer (2017), the R package microsynth: with thousands of blocks,
practices or wards instead of a handful of donors there are often many sets of weights that match exactly,
and the most even one is taken: least sum of squares, or greatest entropy (`tilting.tilt`). Both are solved
on the dual, which has one unknown for each constraint however many units there are.
Checked against quadratic programming (scipy SLSQP, non-negative least squares), and clarabel's and survey
raking's solutions of the Seattle example of microsynth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.estimated_weights import independent
from qieval.numerics.small_units_solver import CERTAIN, LOST, MET, ROUNDING, Solution, even, nearest
from qieval.numerics.tilting import tilt
from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class CalibrationFit:
    """Weights (j,) and what they leave: residual (p,) = totals - constraints @ weights.

    feasible: weights that meet all constraints were found; if not, missed (p,) are the constraints that stay
    away from their total. redundant (p,): rows in the span of earlier ones. gap: relative duality gap of the
    weights among all those with the same totals, the proof that no others are more even. converged: gap below
    1e-8 and, if not feasible, optimality conditions of the nearest totals met to 1e-8.
    """

    weights: Floats
    residual: Floats
    missed: Mask
    redundant: Mask
    gap: float
    iterations: int
    converged: bool
    feasible: bool

    @property
    def effective_units(self) -> float:
        """Kish's effective number of units, (sum w)^2 / sum w^2; 0 if there is no weight."""
        squares = float(np.sum(self.weights**2))
        return float(self.weights.sum()) ** 2 / squares if squares > 0 else 0.0


@dataclass(frozen=True, eq=False)
class _Problem:
    """a (p, j) with rows of norm 1 and b (p,) of norm 1: a @ (w / size) = b stands for the constraints."""

    constraints: Floats
    totals: Floats
    a: Floats
    b: Floats
    size: float
    constant: int


Solver = Callable[[Floats, Floats, float], Solution]


def minimum_norm(constraints: Floats, totals: Floats, exact: Mask | None = None) -> CalibrationFit:
    """Weights >= 0 of least sum of squares with constraints (p, j) @ weights = totals (p,).

    With a constant row these are also the weights nearest to equal ones, which is what microsynth computes
    (bounded linear calibration, its default); it stops about 6e-6 short of its constraints.

    Where no weights meet all rows (feasible is False) the totals come as near as can be, and the weights are
    the most even that give those: first the constant row, which is always met, then the rows that are `exact`
    (p,), then the others (microsynth's match.covar.min and match.out.min). exact None: all alike. Near is
    the least sum of squared distances, each in SDs of its row among the units; with a constant row the others
    are taken less their mean, so that neither units nor origins of measurement matter (microsynth divides by
    the root of the outcome's average total). Without a constant row: in root mean squares.

    A constant row whose total is not positive, arrays that do not fit or are not finite: ValueError.

    >>> fit = minimum_norm(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 5.0]]), np.array([2.0, 1.0]))
    >>> print(fit.weights.round(4), fit.feasible)
    [1.0952 0.881  0.0238] True
    >>> fit = minimum_norm(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 5.0]]), np.array([2.0, 12.0]))
    >>> print(fit.weights.round(4), fit.residual.round(4), fit.missed)
    [0. 0. 2.] [0. 2.] [False  True]
    """
    return _balanced(_scaled(constraints, totals), exact, even)


def raking(constraints: Floats, totals: Floats, exact: Mask | None = None) -> CalibrationFit:
    """Weights of greatest entropy with the totals: multiples of exp(constraints' multipliers), all positive.

    Arguments, nearest totals and result as in `minimum_norm`; where the totals can only be met with zero
    weights those units get zero. The number of treated units must be among the constraints (a constant row,
    or rows that add up to one), else ValueError. Survey raking (calfun="raking") has the same solution.

    >>> fit = raking(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 5.0]]), np.array([2.0, 1.0]))
    >>> print(fit.weights.round(4), fit.feasible)
    [1.2504 0.687  0.0626] True
    """
    problem = _scaled(constraints, totals)
    ones = _of_one(problem.a)
    return _balanced(problem, exact, lambda a, b, _: _tilted(a, b, ones))


def _balanced(problem: _Problem, exact: Mask | None, solve: Solver) -> CalibrationFit:
    """Solve for the totals themselves or, where no weights have them, for the nearest ones."""
    used, reached = np.arange(problem.a.shape[1]), problem.b
    found = solve(problem.a, reached, LOST)
    spent, proved = found.iterations, True
    if not found.good:
        point = _nearest_in_order(problem, exact)
        spent, proved = spent + point.iterations, point.good
        used, reached = np.flatnonzero(point.face), problem.a @ point.w
        if problem.constant >= 0 and reached[problem.constant] > 0:
            reached *= problem.b[problem.constant] / reached[problem.constant]
        found = solve(problem.a[:, used], reached, np.inf)
        spent += found.iterations
    w = np.zeros(problem.a.shape[1])
    w[used] = found.w
    return _fit(problem, w * problem.size, replace(found, iterations=spent), proved)


def _fit(problem: _Problem, weights: Floats, found: Solution, proved: bool) -> CalibrationFit:
    left = np.abs(problem.b - problem.a @ (weights / problem.size))
    feasible = bool(np.linalg.norm(left) <= MET)
    return CalibrationFit(
        weights=weights,
        residual=problem.totals - problem.constraints @ weights,
        missed=np.zeros(left.size, bool) if feasible else left > MET,
        redundant=~independent(problem.a @ problem.a.T),
        gap=found.gap,
        iterations=found.iterations,
        converged=proved and found.good and found.gap <= CERTAIN,
        feasible=feasible,
    )


def _scaled(constraints: Floats, totals: Floats) -> _Problem:
    """Rows centred by the first constant row, if there is one, and everything at norm 1."""
    constraints, totals = np.asarray(constraints, dtype=float), np.asarray(totals, dtype=float)
    if constraints.ndim != 2 or totals.shape != constraints.shape[:1] or not constraints.size:
        raise ValueError("constraints must be (p, j) and totals (p,), with one row and one unit at least")
    if not (np.isfinite(constraints).all() and np.isfinite(totals).all()):
        raise ValueError("constraints and totals must be finite")
    a, b = constraints.copy(), totals.copy()
    mean, spread = a.mean(axis=1), np.ptp(a, axis=1)
    flat = spread <= 1e-12 * np.abs(mean)
    constant = np.flatnonzero(flat & (mean != 0))[:1]
    if constant.size:
        if totals[constant[0]] / mean[constant[0]] <= 0:
            raise ValueError("the number of treated units must be positive")
        others = np.arange(b.size) != constant[0]
        b[others] -= mean[others] * (b[constant[0]] / mean[constant[0]])
        a[others] -= mean[others, None]
        a[others & flat] = 0.0
    norm = np.sqrt(np.einsum("ij,ij->i", a, a))
    b[np.abs(b) <= ROUNDING * np.abs(totals)] = 0.0
    scale = np.where(norm > 0, norm, np.where(b != 0, np.abs(totals), 1.0))
    a, b = a / scale[:, None], b / scale
    size = float(np.linalg.norm(b))
    size = size if size > 0 else 1.0
    return _Problem(constraints, totals, a, b / size, size, int(constant[0]) if constant.size else -1)


def _nearest_in_order(problem: _Problem, exact: Mask | None) -> Solution:
    """A point as near as can be: in the constant row first, then the exact rows, then the others."""
    number = np.arange(problem.b.size) == problem.constant
    firm = number if exact is None else number | exact
    b = problem.b.copy()
    good, spent = True, 0
    if not firm.all() and firm.any() and not (alone := even(problem.a[firm], b[firm], LOST)).good:
        point = nearest(problem.a[firm], b[firm], number[firm])
        b[firm] = problem.a[firm] @ point.w
        good, spent = point.good, point.iterations + alone.iterations
    found = nearest(problem.a, b, number if firm.all() else firm)
    return replace(found, good=found.good and good, iterations=found.iterations + spent)


def _of_one(a: Floats) -> Floats:
    """Coefficients (p,) of the rows whose combination is one for every unit; ValueError if there are none."""
    found = np.asarray(scipy.linalg.lstsq(a @ a.T, a.sum(axis=1), cond=1e-12)[0])
    if np.abs(found @ a - 1).max() > CERTAIN:
        raise ValueError("raking needs a constant row: the number of treated units is a constraint")
    return found


def _tilted(a: Floats, b: Floats, ones: Floats) -> Solution:
    """Greatest entropy with a w = b, from equal weights."""
    number = float(ones @ b)
    if number <= 0:
        nothing = np.zeros(a.shape[1])
        return Solution(nothing, np.zeros(b.size), np.nan, 0, False, nothing > 0)
    c = (a - b[:, None] / number) * np.sqrt(a.shape[1])
    spread = np.einsum("ij,ij->i", c, c) / a.shape[1]
    rows = independent(c @ c.T / a.shape[1]) if spread.any() else spread > 0
    found = tilt(np.ascontiguousarray(c[rows].T), np.ones(a.shape[1]))
    w = number * found.share
    multipliers = np.zeros(b.size)
    multipliers[rows] = found.multipliers
    good = found.status == "converged" and float(np.linalg.norm(b - a @ w)) <= MET
    gap = abs(float(found.multipliers @ found.mean))
    return Solution(w, multipliers, gap, found.iterations, good, w > 0)
