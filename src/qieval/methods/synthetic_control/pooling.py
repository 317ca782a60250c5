"""Several treated units whose weights are chosen together."""

from __future__ import annotations

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.numerics.partial_pooling import partially_pooled
from qieval.synthetic import Fitted, Problem


def pooled_fits(design: SyntheticControl, problems: tuple[Problem, ...]) -> tuple[Fitted, ...]:
    """Partially pooled weights (Ben-Michael, Feller and Rothstein 2022): each unit and their mean fit well.

    The donors are the same for all units: those never treated (a horizon of all rows leaves no others).
    """
    begin, never = problems[0].begin, len(problems[0].target) - problems[0].begin
    last = max(problem.stop for problem in problems)
    outcomes = np.column_stack([*(problem.target for problem in problems), problems[0].donors])[begin:last]
    outcomes = np.vstack([outcomes, np.zeros((1, outcomes.shape[1]))])
    starts = np.full(outcomes.shape[1], never)
    starts[: len(problems)] = [problem.stop - begin for problem in problems]
    demeaned = design.method == "demeaned"
    try:
        found = partially_pooled(outcomes, starts, fixed_effects=demeaned, horizon=len(outcomes))
    except ValueError as cause:
        raise EstimationError(f"several: partial pooling is not possible: {cause}.") from cause
    if not found.converged:
        raise EstimationError(
            "several: the partially pooled weights were not found. Set several='unit by unit'."
        )
    return tuple(
        _fitted(problem, found.weights[len(problems) :, place], demeaned, found.gap)
        for place, problem in enumerate(problems)
    )


def _fitted(problem: Problem, weights: np.ndarray, demeaned: bool, gap: float) -> Fitted:
    gaps = problem.target - problem.donors @ weights
    shift = float(gaps[problem.fitted].mean()) if demeaned else 0.0
    return Fitted(
        weights=weights,
        gaps=problem.rounded(gaps - shift),
        shift=shift,
        certificate=gap,
        more={"pooled": True},
    )
