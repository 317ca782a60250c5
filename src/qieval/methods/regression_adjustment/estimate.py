"""From a frame to the result: the models, the effect, and the sentence that says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from qieval import cohort as cohorts
from qieval.cohort import Cohort
from qieval.compared import Assignment, Compared
from qieval.covariate_balance import balance_of, scores_of
from qieval.methods.comparison.result import concluded, settled
from qieval.methods.comparison.subgroups import worst_differences
from qieval.methods.regression_adjustment.assign import assign
from qieval.methods.regression_adjustment.design import RegressionAdjustment
from qieval.methods.regression_adjustment.effect import (
    Found,
    effects_at,
    found_effect,
    subgroup_effects,
)
from qieval.result import Result
from qieval.text import Count, Counted, number

LOST_BALANCE = "balance: among those whose outcome is known"
WORDS = {
    "gaussian": "linear regression",
    "binomial": "logistic regression",
    "poisson": "Poisson regression",
    "negative binomial": "negative binomial regression",
    "gamma": "gamma regression with a log link",
}


def blind(design: RegressionAdjustment, frame: pd.DataFrame) -> Compared:
    """The groups, weights and scores, made without reading any outcome column."""
    held = cohorts.cohort(design, frame, blind=True)
    return Compared(design, held, assign(design, held))


def estimate(design: RegressionAdjustment, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Weights and scores; with an outcome the effect too. `brief` leaves out what only pictures need."""
    held = cohorts.cohort(design, frame)
    found = assign(design, held, scored=not brief)
    if not brief:
        # A regression leaves the groups as they are: there is a before, but no after.
        shown = _as_they_are(found) if _by_regression(design) else found
        compared = Compared(design, held, shown)
        found = replace(found, balance=balance_of(compared), scores=scores_of(compared))
    if design.outcome is None:
        made = settled(design, held, found, frame)
        return replace(made, headline=_to_bridge(design, held)) if _by_regression(design) else made
    return _opened(design, held, found, frame)


def _opened(design: RegressionAdjustment, cohort: Cohort, found: Assignment, frame: pd.DataFrame) -> Result:
    made = found_effect(design, cohort)
    found = replace(found, facts={**found.facts, **_facts(made)}, estimated=made.models)
    # Subgroups are averages of the models of everybody, not comparisons of their own.
    result = concluded(replace(design, subgroups=()), cohort, found, made.effect, frame)
    estimates: Any = result.estimates
    if design.effect_at:
        estimates = pd.concat([estimates, effects_at(design, cohort, made)], ignore_index=True)
    notes = result.notes
    if _by_regression(design):
        notes = tuple(note for note in notes if not str(note).startswith(LOST_BALANCE))
    return replace(
        result,
        design=design,
        estimates=estimates,
        notes=notes,
        kernel=replace(found, subgroups=subgroup_effects(design, cohort, made)),
    )


def _as_they_are(found: Assignment) -> Assignment:
    nothing: Any = None
    return replace(found, weights=nothing)


def _by_regression(design: RegressionAdjustment) -> bool:
    return design.estimator == "g-computation"


def _facts(made: Found) -> dict[str, Any]:
    """How the outcome was modelled, in words."""
    models = made.models
    if models.fit is not None:
        words = WORDS[models.how.spec.family]
        return {"outcome model": f"{words} with {models.fit.design.q} coefficients"}
    if models.splits:
        plan = models.how.plans[0]
        return {"outcome model": f"learned, {plan.folds} folds, {len(models.splits)} splits"}
    return {"outcome model": "none"}


def _to_bridge(design: RegressionAdjustment, cohort: Cohort) -> Counted:
    """What a regression of the outcome will have to make up for."""
    worst, where = worst_differences(design, cohort, (None,))[0]
    said = (
        f" by a regression of the outcome, which has to make up for differences of up to {number(worst, 2)}"
        f" standard deviations ({where}). No outcome has been looked at."
    )
    plain = said.replace("{", "(").replace("}", ")")
    return Counted(
        "{treated} treated people will be compared with {others} others" + plain,
        treated=Count(int(cohort.treated.sum())),
        others=Count(int((~cohort.treated).sum())),
    )
