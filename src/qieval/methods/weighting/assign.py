"""From a design of weighting to weights, without any outcome."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from qieval.cohort import Cohort
from qieval.compared import Assignment, focal_rows
from qieval.errors import DataError, EstimationError
from qieval.methods.matching.score import Score, propensity, require_overlap
from qieval.methods.weighting.design import Weighting
from qieval.numerics.balancing_weights import (
    inside,
    probability_weights,
    score_weights,
    stabilised,
    truncated,
)
from qieval.numerics.covariate_balancing import covariate_balance, probability_tilt
from qieval.numerics.entropy_balancing import Entropy, entropy_balance, powers
from qieval.numerics.estimated_weights import Weights
from qieval.numerics.over_identified import covariate_balance_over
from qieval.text import Count, Counted, number

POWERS = {1: "means", 2: "means and squares", 3: "means, squares and cubes"}
FAILED = {
    "not converged": "did not converge",
    "infeasible": "cannot be found: no weights make the groups alike in these covariates",
    "separated": "cannot be found: the covariates tell perfectly who received the intervention",
}


def assign(design: Weighting, cohort: Cohort) -> Assignment:
    """Weights as the design says. EstimationError when they cannot be found, loudly, never a half-done
    answer."""
    if design.score is None and not cohort.x.shape[1]:
        raise DataError("covariates: none of them varies, so there is nothing to balance. Name others.")
    score = propensity(design, cohort)
    if score is not None and design.method == "propensity score":
        require_overlap(score)
    kept = _kept(design, cohort, score)
    found = weights(design, cohort, score, kept.astype(float))
    total = np.where(kept, found.weights, 0.0)
    facts: dict[str, Any] = {"weights converged": "yes" if found.converged else "no"}
    if np.isfinite(found.imbalance):
        facts["largest remaining imbalance"] = found.imbalance
    automatic = bool(found.blocks) and design.learner == "logistic" and design.score is None
    return Assignment(
        weights=total,
        focal=kept if design.estimand in ("ATO", "ATM") else focal_rows(design, cohort.treated),
        kind=described(design),
        inference="estimated weights" if automatic else "robust",
        score=None if score is None else score.value,
        probability=None if score is None else score.probability,
        estimated=found if automatic else None,
        again=lambda times: weights(design, cohort, score, times * kept).total,
        facts={**facts, **({} if score is None else score.facts)},
        notes=(*_notes(kept), *(() if score is None else score.notes)),
    )


def weights(design: Weighting, cohort: Cohort, score: Score | None, base: np.ndarray) -> Weights:
    """The weights of people who count `base` times each. EstimationError unless they converge."""
    found = _solved(design, cohort, score, base)
    if not found.converged:
        raise EstimationError(
            f"method: the weights of {described(design)} {FAILED[found.status]}, so no estimate is given."
            " Use fewer covariates or group rare categories, look for people without a counterpart (see the"
            " overlap check), or choose estimand='ATO' with method='propensity score'."
        )
    if design.stabilised == "yes":
        found = stabilised(found)
    return truncated(found, design.truncate) if design.truncate < 1 else found


def _solved(design: Weighting, cohort: Cohort, score: Score | None, base: np.ndarray) -> Weights:
    x, treated, whom = cohort.x, cohort.treated, cast(Any, design.estimand)
    if design.method == "entropy balancing":
        return entropy_balance(powers(x, design.moments), treated, whom, Entropy(base=base))
    if design.method == "CBPS":
        return covariate_balance(x, treated, whom, base)
    if design.method == "over-identified CBPS":
        return covariate_balance_over(x, treated, whom, base).weights
    if design.method == "tilting":
        return probability_tilt(x, treated, whom, base)
    if score is not None and (design.score is not None or design.learner != "logistic"):
        return probability_weights(score.probability, treated, whom, base)
    return score_weights(x, treated, whom, base)


def _kept(design: Weighting, cohort: Cohort, score: Score | None) -> np.ndarray:
    """Who is left after trimming by the score (n,)."""
    if not design.trim or score is None:
        return np.ones(len(cohort), dtype=bool)
    kept = inside(score.probability, design.trim)
    if not (kept & cohort.treated).any() or not (kept & ~cohort.treated).any():
        raise EstimationError(
            f"trim: nobody in one of the groups has a score between {number(design.trim)} and"
            f" {number(1 - design.trim)}. Trim less."
        )
    return kept


def _notes(kept: np.ndarray) -> tuple[str, ...]:
    gone = int((~kept).sum())
    if not gone:
        return ()
    return (Counted("{rows} rows were left out: score too close to 0 or 1 (trim).", rows=Count(gone)),)


def described(design: Weighting) -> str:
    """How the weights were found, in words."""
    words = {
        "propensity score": f"{design.estimand} weights from a propensity score",
        "entropy balancing": f"entropy balancing ({POWERS[design.moments]})",
        "CBPS": "covariate balancing propensity score weights",
        "over-identified CBPS": "over-identified covariate balancing propensity score weights",
        "tilting": "inverse probability tilting weights",
    }[design.method]
    if design.truncate < 1:
        words += f", cut at the {design.truncate:.1%} quantile"
    return words
