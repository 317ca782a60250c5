"""How the weights of the donors are found: one function for every way of weighting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.methods.synthetic_control.free_weights import augmented, regularised
from qieval.numerics import predictor_weights
from qieval.numerics.simplex import SimplexFit, simplex_least_squares
from qieval.synthetic import Fit, Fitted, Problem
from qieval.text import listed

WORST_GAP = 1e-8
"""The relative duality gap beyond which weights are not accepted as the optimum."""
HELD_OUT = 1 / 3
"""The share of the fitted periods on which a penalty is chosen."""


def fitter(design: SyntheticControl) -> Fit:
    """The function that fits a problem as the design says."""
    return partial(fit, design)


def fit(design: SyntheticControl, problem: Problem) -> Fitted:
    """The synthetic control of one series. EstimationError when no optimum was reached."""
    found = _WAYS[design.method](design, problem)
    return replace(found, gaps=problem.rounded(found.gaps))


def _classic(design: SyntheticControl, problem: Problem) -> Fitted:
    if problem.predictors is not None:
        return _by_predictors(design, problem)
    rows = problem.fitted
    return _from_simplex(problem, _solved(simplex_least_squares(problem.donors[rows], problem.target[rows])))


def _demeaned(design: SyntheticControl, problem: Problem) -> Fitted:
    rows = problem.fitted
    level, levels = problem.target[rows].mean(), problem.donors[rows].mean(axis=0)
    found = _solved(simplex_least_squares(problem.donors[rows] - levels, problem.target[rows] - level))
    return _from_simplex(problem, found, shift=float(level - levels @ found.weights))


def _by_predictors(design: SyntheticControl, problem: Problem) -> Fitted:
    """Weights that share the predictors; which predictors count how much is settled as `v` says."""
    x, kept, notes = standardised(problem)
    rows = problem.fitted
    target, donors = problem.target[rows], problem.donors[rows]
    if design.v == "nested":
        found = predictor_weights.nested(x[:, 0], x[:, 1:], target, donors, seed=design.seed)
    elif design.v == "cross-validated":
        found, kept = _cross_validated(design, problem), np.ones(len(kept), dtype=bool)
    else:
        found = predictor_weights.fixed_v(x[:, 0], x[:, 1:], _stated(design, problem, kept), target, donors)
    v = np.zeros(len(kept))
    v[kept] = found.v
    return Fitted(
        weights=found.weights,
        gaps=problem.target - problem.donors @ found.weights,
        certificate=found.gap,
        identified=found.identified,
        predictor_weights=v,
        more={"search": found},
        notes=notes,
    )


def standardised(problem: Problem) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The predictors in units of their spread over all units (k, 1 + j), which of them differ between donors,
    and notes."""
    if problem.predictors is None:
        raise ValueError("this problem has no predictors")
    means = problem.predictors.means()
    spread = means.std(axis=1, ddof=1)
    kept = np.ptp(means[:, 1:], axis=1) > 1e-12 * np.abs(means).max(axis=1)
    same = listed(
        f"'{name}'" for name, varies in zip(problem.predictors.names, kept, strict=True) if not varies
    )
    if not kept.any():
        raise EstimationError(
            f"predictors: all donors are the same in {same}, so that no donor can be told from another. Use"
            " predictors that vary."
        )
    notes = (f"predictors: all donors are the same in {same}; left out of the weights.",) if same else ()
    return means[kept] / spread[kept, None], kept, notes


def _stated(design: SyntheticControl, problem: Problem, kept: np.ndarray) -> np.ndarray:
    """The weights of the predictors by the design (k kept,)."""
    if problem.predictors is None or design.v == "inverse variance":
        return np.ones(int(kept.sum()))
    given = design.given_weights()
    names = np.array(problem.predictors.names)[kept]
    columns = np.array(problem.predictors.column)[kept]
    v = np.array(
        [given.get(name, given.get(column, 0.0)) for name, column in zip(names, columns, strict=True)]
    )
    if not v.any():
        raise EstimationError("predictor_weights: no predictor with a weight is left. Give one above zero.")
    return v


def _cross_validated(design: SyntheticControl, problem: Problem) -> predictor_weights.NestedFit:
    """What predicts the second half of the fitted time from predictors of the first half.

    The donors' weights then come from predictors of the second half (Abadie, Diamond and Hainmueller 2015).
    """
    half = (problem.begin + problem.stop) // 2
    known = problem.predictors
    early = None if known is None else known.between(0, half)
    late = None if known is None else known.between(half, problem.stop)
    if known is None or early is None or late is None or not known.names == early.names == late.names:
        raise EstimationError(
            "v: for cross-validation every predictor must be known in both halves of the fitted periods. Use"
            " windows that cover all of them, or v='nested'."
        )
    first, second = early.means(), late.means()
    later = slice(half, problem.stop)
    return predictor_weights.cross_validated(
        (first[:, 0], first[:, 1:]),
        (second[:, 0], second[:, 1:]),
        problem.target[later],
        problem.donors[later],
        seed=design.seed,
    )


def _penalised(design: SyntheticControl, problem: Problem) -> Fitted:
    """Abadie and L'Hour 2021: a donor costs its own squared distance from the treated unit."""
    penalty = design.penalty or _best_penalty(problem)
    found = _solved(_with_penalty(problem, penalty))
    fitted = _from_simplex(problem, found)
    return Fitted(
        weights=fitted.weights, gaps=fitted.gaps, certificate=fitted.certificate, more={"penalty": penalty}
    )


def _with_penalty(problem: Problem, penalty: float) -> SimplexFit:
    if problem.predictors is None:
        rows = problem.fitted
        one, others = problem.target[rows], problem.donors[rows]
    else:
        x, _, _ = standardised(problem)
        one, others = x[:, 0], x[:, 1:]
    distance = ((others - one[:, None]) ** 2).sum(axis=0)
    return simplex_least_squares(others, one, linear=penalty * distance)


def _best_penalty(problem: Problem) -> float:
    """The penalty with the smallest error in the last third of the fitted periods."""
    half = problem.stop - max(1, round(HELD_OUT * (problem.stop - problem.begin)))
    early = problem.backdated(half)
    tried = 10.0 ** np.arange(-4, 1.01, 0.5)
    if half - problem.begin < 2:
        return float(tried[0])
    held = slice(half, problem.stop)
    errors = []
    for penalty in tried:
        weights = _with_penalty(early, penalty).weights
        errors.append(((problem.target[held] - problem.donors[held] @ weights) ** 2).mean())
    return float(tried[int(np.argmin(errors))])


def _solved(found: SimplexFit) -> SimplexFit:
    if not found.gap <= WORST_GAP:
        raise EstimationError(
            f"weights: the optimum was not reached (relative duality gap {found.gap:.1e}). Look for extreme"
            " values in the outcome or predictors, or leave out duplicated donors."
        )
    return found


def _from_simplex(problem: Problem, found: SimplexFit, shift: float = 0.0) -> Fitted:
    return Fitted(
        weights=found.weights,
        gaps=problem.target - problem.donors @ found.weights - shift,
        shift=shift,
        certificate=found.gap,
    )


_WAYS: dict[str, Callable[[SyntheticControl, Problem], Fitted]] = {
    "classic": _classic,
    "demeaned": _demeaned,
    "penalised": _penalised,
    "ridge-augmented": augmented,
    "elastic net": regularised,
    "lasso": regularised,
    "ridge": regularised,
    "l1-l2": regularised,
    "unconstrained": regularised,
}
