"""From a design of regression adjustment and a cohort to the models: family, terms, learners, rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.adjusted.fit import CROSS_FITTED, How, own_order
from qieval.cohort import Cohort
from qieval.errors import EstimationError
from qieval.numerics.adjustment_cross_fitting import CrossFitting, Learners
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_families import LOG_LINK, Family
from qieval.numerics.adjustment_learners import Task, held_out_scores, learner, takes_weights
from qieval.numerics.adjustment_outcome import OutcomeSpec

FAMILIES: dict[str, Family] = {
    "gaussian": "gaussian",
    "binomial": "binomial",
    "Poisson": "poisson",
    "negative binomial": "negative binomial",
    "gamma": "gamma",
}
AUTOMATIC: dict[str, Family] = {"risk": "binomial", "rate": "poisson", "mean": "gaussian"}
BOUND = 0.01
"""Learned scores are kept this far from 0 and 1."""


def how_to_adjust(design: Any, cohort: Cohort, kind: str) -> How:
    """The way that a design asks for, for an outcome that is a 'mean', 'risk' or 'rate'."""
    family = AUTOMATIC[kind] if design.outcome_model == "automatic" else FAMILIES[design.outcome_model]
    spec = OutcomeSpec(family, interacted(design, cohort))
    learned = design.estimator == CROSS_FITTED
    return How(
        estimator=design.estimator,
        estimand=design.estimand,
        spec=spec,
        inference=design.inference,
        learners=_learners(design, kind, family) if learned else None,
        plans=cross_fitting(design) if learned else (),
    )


def interacted(design: Any, cohort: Cohort) -> bool | np.ndarray:
    """Which columns of the cohort have a slope of their own in each group: all, none, or a mask (k,)."""
    if not design.interacted_with:
        return bool(design.treatment_interactions == "yes")
    chosen = [
        bool(plain) and any(made == name or made.startswith(f"{name}: ") for name in design.interacted_with)
        for made, plain in zip(cohort.x_names, cohort.plain, strict=True)
    ]
    return np.array(chosen, dtype=bool)


def cross_fitting(design: Any) -> tuple[CrossFitting, ...]:
    """A plan of folds for each split, with seeds from that of the design."""
    seeds = np.random.SeedSequence(design.seed).generate_state(int(design.splits))
    return tuple(CrossFitting(folds=int(design.folds), seed=int(seed), bound=BOUND) for seed in seeds)


def learned_scores(design: Any, cohort: Cohort) -> np.ndarray:
    """Held-out scores (n,) of the first split, made without any outcome."""
    sample = Sample(y=np.zeros(len(cohort)), treated=cohort.treated, x=cohort.x)
    plan = cross_fitting(design)[0]
    order = own_order(sample, cohort.cluster, plan.seed)
    groups = None if cohort.cluster is None else cohort.cluster[order]
    made = _score_learner(design)
    score = np.empty(len(cohort))
    score[order] = held_out_scores(cohort.x[order], cohort.treated[order], made, plan, groups)
    return score


def sample_of(
    cohort: Cohort, y: np.ndarray, time: np.ndarray | None, family: Family, design: Any
) -> tuple[Sample, np.ndarray]:
    """The rows with a known outcome, and their positions. EstimationError for outcomes that do not fit."""
    known = np.isfinite(y) & (True if time is None else np.isfinite(time))
    for arm, name in ((cohort.treated, "treated"), (~cohort.treated, "comparison")):
        if not known[arm].any():
            raise EstimationError(
                f"outcome: nobody in the {name} group has a known '{design.outcome}', so there is nothing to"
                " compare. Check the outcome column."
            )
    rows = np.flatnonzero(known)
    if design.estimator != "weighting":
        _check_family(y[rows], family, design)
    held = Sample(
        y=y[rows].astype(float),
        treated=cohort.treated[rows],
        x=cohort.x[rows],
        exposure=None if time is None else time[rows].astype(float),
    )
    return held, rows


def _check_family(y: np.ndarray, family: Family, design: Any) -> None:
    said = f"outcome_model: '{design.outcome}'"
    if family == "binomial" and ((y < 0) | (y > 1)).any():
        raise EstimationError(
            f"{said} holds values outside 0 to 1, and a binomial regression is of yes (1) and no (0), or of"
            " shares. Recode it, or set outcome_model='gaussian'."
        )
    if family in LOG_LINK and (y < 0).any():
        raise EstimationError(
            f"{said} is negative in some rows, and a {design.outcome_model} regression is of values from 0"
            " up. Set outcome_model='gaussian', or correct the values."
        )


def _learners(design: Any, kind: str, family: Family) -> Learners:
    task: Task = (
        "log" if family in LOG_LINK else "binary" if kind == "risk" and family == "binomial" else "linear"
    )
    made = learner(design.own_learners.get("outcome", design.learner), task, design.seed)
    if kind == "rate" and not takes_weights(made):
        raise EstimationError(
            "own_learners: the learner of the outcome cannot weight rows by their person-time, which rates"
            " need. Name another one."
        )
    return Learners(outcome=made, score=_score_learner(design))


def _score_learner(design: Any) -> Any:
    name = design.own_learners.get("score", design.learner)
    made = learner(name, "binary", design.seed)
    if not hasattr(made, "predict_proba"):
        raise EstimationError(
            f"own_learners: '{name}' gives no probabilities (predict_proba), so it is no propensity score."
            " Name a classifier."
        )
    return made
