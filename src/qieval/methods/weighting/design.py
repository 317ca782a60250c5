"""The design of weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.cohort_design import CohortDesign
from qieval.fields import choice, column, number

WEIGHTS_OF_A_SCORE = ("propensity score", "CBPS", "over-identified CBPS", "tilting")


@dataclass(frozen=True, kw_only=True, repr=False)
class Weighting(CohortDesign):
    """Weight people so that the groups are alike in what was measured before the intervention.

    `method`: 'propensity score' weights by a logistic regression (inverse probability of treatment; 'ATO' and
    'ATM' give overlap and matching weights); 'entropy balancing' finds the most even weights that make the
    means (and with `moments` squares and cubes) equal; 'CBPS' estimates the score so that it balances,
    'over-identified CBPS' weighs balance against likelihood; 'tilting' is inverse probability tilting. All
    of them report whether they converged and what imbalance is left; weights that did not converge raise an
    EstimationError.

    `estimand`: ATT, ATC, ATE, or ATO (where the groups overlap) and ATM (as in one-to-one matching), both for
    'propensity score' only. Standard errors take the estimation of the weights into account (M-estimation)
    unless `inference` says otherwise.

    Missing values and errors as for every cohort: rows with empty covariates are refused or left out and
    counted. Sources: Lunceford and Davidian 2004; Li, Morgan and Zaslavsky 2018 (overlap); Hainmueller 2012
    (entropy balancing); Imai and Ratkovic 2014 (CBPS); Graham, Pinto and Egel 2012 (tilting). Checked
    against WeightIt 1.5.

    >>> Weighting(treated="service", covariates=("age", "frailty"), method="entropy balancing")
    Weighting(treated='service', covariates=('age', 'frailty'), method='entropy balancing')
    """

    title: ClassVar[str] = "Weighting"

    estimand: str = choice(
        ("ATT", "ATC", "ATE", "ATO", "ATM"),
        "whose effect is asked for: the treated (ATT), the comparison group (ATC), everybody (ATE), those"
        " who might have been in either group (ATO), or those whom pair matching would keep (ATM)",
        default="ATT",
        step="data",
    )
    method: str = choice(
        ("propensity score", "entropy balancing", "CBPS", "over-identified CBPS", "tilting"),
        "how the weights are found",
        default="propensity score",
        step="data",
    )
    learner: str = choice(
        ("logistic", "logistic with penalty", "gradient boosting", "random forest"),
        "how the propensity score is estimated; all but 'logistic' are cross-fitted",
        default="logistic",
    )
    score: str | None = column("numeric", "a propensity score that you bring", default=None, step="analysis")
    moments: int = number(
        "up to which power the covariates are balanced (entropy balancing)",
        low=1,
        high=3,
        default=1,
        whole=True,
    )
    stabilised: str = choice(
        ("no", "yes"), "whether weights are multiplied by the share of their group", default="no"
    )
    truncate: float = number(
        "weights above this quantile are set to it (1: none are)", low=0.5, high=1, default=1, step="data"
    )
    trim: float = number(
        "people whose score lies within this distance of 0 or 1 are left out (0: nobody)",
        low=0,
        high=0.45,
        default=0,
    )
    inference: str = choice(
        ("automatic", "estimated weights", "robust", "bootstrap"),
        "how the standard error is made: allowing for the estimation of the weights (automatic where it"
        " can be), as if they were known (robust), or by bootstrap, which estimates the weights"
        " again (a score from elsewhere is kept)",
        default="automatic",
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if not self.covariates and self.score is None:
            found.append(
                "covariates: nothing is named to balance, so the groups would be compared as they are. Name"
                " the characteristics that led people to receive the intervention and that bear on the"
                " outcome."
            )
        if self.estimand in ("ATO", "ATM") and self.method != "propensity score":
            found.append(
                f"estimand, method: {self.estimand} weights come from a propensity score; '{self.method}'"
                " does not give them. Set method='propensity score', or estimand='ATE'."
            )
        if self.moments > 1 and self.method != "entropy balancing":
            found.append(
                "moments, method: only entropy balancing balances powers by itself. Set method='entropy"
                " balancing', or name squares=..."
            )
        if (self.learner != "logistic" or self.score) and self.inference == "estimated weights":
            found.append(
                "inference, learner: the standard error for estimated weights needs the plain logistic"
                " score. Set inference='bootstrap' or 'robust'."
            )
        return found
