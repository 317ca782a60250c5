"""The design of regression adjustment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from qieval.cohort_design import CohortDesign
from qieval.fields import choice, columns, number, texts

ESTIMATORS = ("g-computation", "weighting", "doubly robust", "cross-fitted doubly robust", "TMLE")
NEEDS: Mapping[str, tuple[str, ...]] = {
    "model": ("g-computation",),
    "covariates fixed": ("g-computation",),
    "models known": ("weighting", "doubly robust"),
    "bootstrap": ("g-computation", "weighting", "doubly robust", "TMLE"),
}
"""Which estimators an interval is made for."""
COUNTS = ("automatic", "Poisson", "negative binomial", "gamma")


@dataclass(frozen=True, kw_only=True, repr=False)
class RegressionAdjustment(CohortDesign):
    """Adjust for measured characteristics by regression, and say what would happen to everybody both ways.

    `estimator`: 'g-computation' fits a regression of the outcome, predicts everybody with and without the
    intervention and averages; 'weighting' models who received it instead (weights that add up to one in each
    group); 'doubly robust' does both and is right if one of the two models is; 'cross-fitted doubly robust'
    leaves both to learners that never saw the row they predict, in several splits that are combined by
    medians; 'TMLE' is doubly robust within the range of the outcome. Averages are over everybody (ATE), the
    treated (ATT) or the comparison group (ATC). Yes/no outcomes give a risk difference, risk ratio, odds
    ratio and number needed to treat; counts with `person_time` a rate difference and ratio.

    Standard errors stack the equations of all models and averages, and allow for the people being a sample
    (`inference='automatic'`; R's stdReg for g-computation). Outcomes that are empty are left out and counted.
    Other missing values and errors as for every cohort. Raises EstimationError where a model has no solution.
    Sources: Robins 1986; Lunceford and Davidian 2004; Chernozhukov et al. 2018; van der Laan and Rubin 2006;
    Hernan and Robins 2020, chapters 12, 13 and 15. Checked against R (lm, glm, stdReg), zEpid, statsmodels.

    >>> RegressionAdjustment(treated="service", covariates=("age", "frailty"), estimator="doubly robust")
    RegressionAdjustment(treated='service', covariates=('age', 'frailty'), estimator='doubly robust')
    """

    title: ClassVar[str] = "Regression adjustment"

    estimand: str = choice(
        ("ATE", "ATT", "ATC"),
        "whose effect is asked for: everybody (ATE), the treated (ATT), or the comparison group (ATC)",
        default="ATE",
        step="data",
    )
    estimator: str = choice(
        ESTIMATORS,
        "what is modelled: the outcome (g-computation), who received the intervention (weighting), or both",
        default="g-computation",
        step="data",
    )
    outcome_model: str = choice(
        ("automatic", "gaussian", "binomial", "Poisson", "negative binomial", "gamma"),
        "the regression of the outcome; automatic: binomial (logistic) for 0 and 1, Poisson with person_time,"
        " gaussian (linear) otherwise",
        default="automatic",
    )
    treatment_interactions: str = choice(
        ("yes", "no"),
        "whether covariates may bear on the outcome differently in each group (the effect may then differ"
        " between people)",
        default="yes",
    )
    interacted_with: tuple[str, ...] = columns(
        "any",
        "only these covariates have a slope of their own in each group (by default all; squares and products"
        " have one slope then)",
        step="analysis",
    )
    effect_at: Mapping[str, str] = texts(
        "values of a covariate at which the effect is given too, the others at their means:"
        " {'age': '60; 80'} (g-computation)",
        step="analysis",
    )
    learner: str = choice(
        ("regression", "lasso", "gradient boosting", "random forest"),
        "what cross-fitting learns both models with",
        default="regression",
    )
    own_learners: Mapping[str, str] = texts(
        "classes of scikit-learn to learn with instead: {'outcome': 'sklearn.ensemble.ExtraTreesRegressor',"
        " 'score': 'sklearn.naive_bayes.GaussianNB'}",
        step="analysis",
    )
    folds: int = number(
        "parts that the rows are cut into for cross-fitting", low=2, high=20, default=5, whole=True
    )
    splits: int = number(
        "how many times the rows are cut anew; estimates are combined by medians",
        low=1,
        high=100,
        default=5,
        whole=True,
    )
    inference: str = choice(
        ("automatic", "model", "covariates fixed", "models known", "bootstrap"),
        "how the standard error is made: stacked equations (automatic), as if the family of the outcome were"
        " true (model), about people with exactly these covariates (covariates fixed), as if score and"
        " outcome model were known (models known), or by bootstrap of everything",
        default="automatic",
    )

    def positions(self) -> dict[str, tuple[float, ...]]:
        """The values of each covariate at which an effect is asked for; ValueError for what is no number."""
        return {name: tuple(float(part) for part in said.split(";")) for name, said in self.effect_at.items()}

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if not self.covariates:
            found.append(
                "covariates: nothing is named to adjust for, so the groups would be compared as they are."
                " Name the characteristics that led people to receive the intervention and that bear on the"
                " outcome."
            )
        if self.horizon:
            found.append(
                "horizon: regression adjustment here has no survival analysis. Use qe.Weighting or"
                " qe.Matching with a horizon, or give the outcome by that time as 0 and 1."
            )
        return [*found, *self._of_models(), *self._of_intervals(), *self._of_terms(), *self._of_learners()]

    def _of_models(self) -> list[str]:
        if not self.person_time:
            return []
        found = []
        if self.outcome_model not in COUNTS and self.estimator != "weighting":
            found.append(
                f"outcome_model, person_time: events over person-time are a rate, and a {self.outcome_model}"
                " regression has none. Set outcome_model='Poisson' or 'negative binomial'."
            )
        if self.estimator == "TMLE":
            found.append(
                "estimator, person_time: TMLE is for means and risks, not for rates."
                " Set estimator='doubly robust'."
            )
        return found

    def _of_intervals(self) -> list[str]:
        found = []
        suited = NEEDS.get(self.inference, ESTIMATORS)
        if self.estimator not in suited:
            found.append(
                f"inference, estimator: '{self.inference}' is made for {' and '.join(suited)}, not for"
                f" {self.estimator}. Set inference='automatic'."
            )
        if self.inference == "model" and self.cluster:
            found.append(
                "inference, cluster: a standard error that takes the family at its word takes rows as"
                " independent. Set inference='automatic', which allows for clusters."
            )
        return found

    def _of_terms(self) -> list[str]:
        found = [
            f"{role}: '{name}' is not among the covariates. Name it as a covariate, or remove it."
            for role, names in (("interacted_with", self.interacted_with), ("effect_at", self.effect_at))
            for name in names
            if name not in self.covariates
        ]
        if self.interacted_with and self.treatment_interactions == "no":
            found.append(
                "interacted_with, treatment_interactions: covariates are named that differ in their slopes,"
                " but none may. Set treatment_interactions='yes'."
            )
        if self.effect_at and self.estimator != "g-computation":
            found.append(
                "effect_at, estimator: the effect at given values is predicted by the outcome regression. Set"
                " estimator='g-computation', or name subgroups."
            )
        try:
            self.positions()
        except ValueError:
            found.append(
                "effect_at: values are numbers with semicolons between them, such as {'age': '60; 80'}."
            )
        return found

    def _of_learners(self) -> list[str]:
        found = [
            f"own_learners: '{role}' is learned by nobody. Name the learner of 'outcome' or 'score'."
            for role in self.own_learners
            if role not in ("outcome", "score")
        ]
        found += [
            f"own_learners: '{name}' is not a class of scikit-learn, and nothing else is imported. Write its"
            " full name, such as 'sklearn.ensemble.ExtraTreesRegressor'."
            for name in self.own_learners.values()
            if not name.strip().startswith("sklearn.")
        ]
        if self.own_learners and self.estimator != "cross-fitted doubly robust":
            found.append(
                "own_learners, estimator: only cross-fitting has learners. Set estimator='cross-fitted doubly"
                " robust'."
            )
        return found
