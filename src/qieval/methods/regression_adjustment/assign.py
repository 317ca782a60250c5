"""From a design of regression adjustment to weights and scores, without any outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.adjusted import learned_scores
from qieval.cohort import Cohort
from qieval.compared import Assignment, focal_rows
from qieval.errors import DataError, EstimationError
from qieval.methods.matching.score import Score, propensity, require_overlap
from qieval.methods.regression_adjustment.design import RegressionAdjustment
from qieval.numerics.balancing_weights import probability_weights, score_weights

KINDS = {
    "g-computation": "regression of the outcome on treatment and covariates (g-computation)",
    "weighting": "inverse probability weights from a logistic score",
    "doubly robust": "an outcome regression and inverse probability weights (doubly robust)",
    "cross-fitted doubly robust": "learned outcome and score, cross-fitted (doubly robust)",
    "TMLE": "an outcome regression that inverse probability weights then correct (TMLE)",
}


TELLS_EXACTLY = 1e-10
"""Less of the variation of treatment than this left by the covariates is rounding."""


@dataclass(frozen=True)
class _Logistic:
    """What `propensity` reads of a design."""

    seed: int
    score: str | None = None
    learner: str = "logistic"


def assign(design: RegressionAdjustment, cohort: Cohort, scored: bool = True) -> Assignment:
    """Weights (one for everybody with g-computation), and the score that shows how the groups overlap.

    scored: whether g-computation gets a score, which serves its checks and pictures only. EstimationError
    when an estimator needs a score that cannot be had; g-computation then goes without.
    """
    if not cohort.x.shape[1]:
        raise DataError("covariates: none of them varies, so there is nothing to adjust for. Name others.")
    _require_unlike_treatment(design, cohort)
    if design.estimator == "g-computation":
        return _of_regression(design, cohort, _for_overlap(design, cohort) if scored else (None, ()))
    if design.estimator == "cross-fitted doubly robust":
        return _learned(design, cohort)
    score = propensity(_Logistic(design.seed), cohort)
    assert score is not None
    require_overlap(score)
    estimand: Any = design.estimand
    found = score_weights(cohort.x, cohort.treated, estimand)
    if not found.converged:
        raise EstimationError(
            "covariates: the regression of treatment on covariates did not converge. Leave out covariates"
            " that repeat each other, or group rare categories."
        )
    return Assignment(
        weights=found.total,
        focal=focal_rows(design, cohort.treated),
        kind=KINDS[design.estimator],
        inference=design.inference,
        score=score.value,
        probability=score.probability,
        facts=score.facts,
        notes=score.notes,
    )


def _require_unlike_treatment(design: RegressionAdjustment, cohort: Cohort) -> None:
    """DataError where covariates say exactly, as a sum, who was treated: nothing could be adjusted."""
    if len(cohort) <= cohort.x.shape[1] + 1:
        return
    x = cohort.x - cohort.x.mean(axis=0)
    x /= x.std(axis=0)
    treated = cohort.treated - cohort.treated.mean()
    fitted = x @ (np.linalg.pinv(x.T @ x) @ (x.T @ treated))
    if np.mean((treated - fitted) ** 2) > TELLS_EXACTLY * treated.var():
        return
    alone = np.abs(x.T @ treated) / (len(treated) * treated.std()) > 1 - TELLS_EXACTLY
    named = [name for name, tells in zip(cohort.x_names, alone, strict=True) if tells]
    which = f"'{named[0]}' tells" if named else "together they tell"
    raise DataError(
        f"covariates: {which} exactly who is treated ('{design.treated}'), so nobody is left to compare them"
        " with. Remove what only says the treatment again."
    )


def _of_regression(
    design: RegressionAdjustment, cohort: Cohort, scored: tuple[Score | None, tuple[str, ...]]
) -> Assignment:
    score, notes = scored
    return Assignment(
        weights=np.ones(len(cohort)),
        focal=focal_rows(design, cohort.treated),
        kind=KINDS[design.estimator],
        inference=design.inference,
        score=None if score is None else score.value,
        probability=None if score is None else score.probability,
        facts={} if score is None else score.facts,
        notes=notes,
    )


def _for_overlap(design: RegressionAdjustment, cohort: Cohort) -> tuple[Score | None, tuple[str, ...]]:
    """The score and what has to be said; None where it cannot be had, since the regression needs none."""
    try:
        score = propensity(_Logistic(design.seed), cohort)
    except EstimationError:
        return None, ("overlap: the propensity score did not converge, so overlap by it is not shown.",)
    if score is not None and score.separated:
        said = (
            "overlap: the covariates tell (nearly) perfectly who received the intervention, so the answer"
            " rests on the regression alone; see the checks of overlap and extrapolation."
        )
        return score, (*score.notes, said)
    return score, () if score is None else score.notes


def _learned(design: RegressionAdjustment, cohort: Cohort) -> Assignment:
    """Weights from the held-out scores of the first split."""
    probability = learned_scores(design, cohort)
    estimand: Any = design.estimand
    name = design.own_learners.get("score", design.learner)
    return Assignment(
        weights=probability_weights(probability, cohort.treated, estimand).total,
        focal=focal_rows(design, cohort.treated),
        kind=KINDS[design.estimator],
        inference=design.inference,
        score=np.log(probability / (1 - probability)),
        probability=probability,
        facts={
            "score model": f"{name}, cross-fitted in {design.folds} folds (first of {design.splits} splits)"
        },
    )
