"""Ways of weighting that correct the synthetic control or drop the rule that weights are a mean."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.numerics import elastic_net, regularised_weights
from qieval.numerics.augmented import Augmentation, ridge_augmented
from qieval.synthetic import Fitted, Problem


def augmented(design: SyntheticControl, problem: Problem) -> Fitted:
    """Ridge-augmented synthetic control (Ben-Michael, Feller and Rothstein 2021); predictors are
    covariates."""
    target, donors, pre = _given(problem)
    covariates = None if problem.predictors is None else problem.predictors.means()
    rule: Literal["1se", "min"] = "1se" if design.penalty_rule == "one standard error" else "min"
    how = Augmentation(
        penalty=design.penalty or rule,
        fixed_effects=design.augmentation == "demeaned outcomes",
        covariates=covariates,
        residualise=design.augmentation == "predictors taken out",
    )
    try:
        found = ridge_augmented(target, donors, pre, how)
    except ValueError as cause:
        raise EstimationError(f"method: ridge augmentation is not possible: {cause}.") from cause
    if not found.converged:
        raise EstimationError(
            "method: the ridge-augmented weights were not found. Leave out duplicated donors."
        )
    raw = problem.target - problem.donors @ found.weights
    shift = float(raw[problem.fitted].mean()) if how.fixed_effects else 0.0
    return Fitted(
        weights=found.weights,
        gaps=problem.rounded(raw - shift),
        shift=shift,
        more={"penalty": found.penalty, "weights before the correction": found.base_weights},
    )


def regularised(design: SyntheticControl, problem: Problem) -> Fitted:
    """Weights that need not sum to one (Doudchenko and Imbens 2016; Cattaneo, Feng and Titiunik 2021)."""
    target, donors, pre = _given(problem)
    bound: dict[str, Any] = {"bound": design.bound} if design.bound else {}
    try:
        if design.method == "elastic net":
            found: Any = elastic_net.elastic_net(target, donors, pre, over="periods")
        elif design.method == "unconstrained":
            found = regularised_weights.unconstrained(target, donors, pre)
        elif design.method == "ridge":
            found = regularised_weights.ridge(target, donors, pre, **bound)
        elif design.method == "lasso":
            found = regularised_weights.lasso(target, donors, pre, **bound)
        else:
            found = regularised_weights.l1_l2(target, donors, pre, **bound)
    except ValueError as cause:
        raise EstimationError(f"method: '{design.method}' is not possible: {cause}.") from cause
    if not found.converged:
        raise EstimationError(f"method: the weights of '{design.method}' were not found. Use more periods.")
    shift = float(found.intercept)
    return Fitted(
        weights=found.weights,
        gaps=problem.target - problem.donors @ found.weights - shift,
        shift=shift,
        identified=bool(getattr(found, "unique", True)),
    )


def _given(problem: Problem) -> tuple[np.ndarray, np.ndarray, int]:
    """The series from the first fitted period on, and how many of its periods are fitted."""
    return problem.target[problem.begin :], problem.donors[problem.begin :], problem.stop - problem.begin
