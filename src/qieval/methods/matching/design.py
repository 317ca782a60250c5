"""The designs of matching and of genetic matching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from qieval.cohort_design import CohortDesign
from qieval.fields import choice, column, columns, number, texts
from qieval.methods.matching.settings import Width, cut_points, width

WITHOUT_REPLACEMENT_ONLY = ("optimal", "full", "cardinality", "profile")
STRATA = ("exact", "coarsened exact", "subclassification")
NO_SCORE = ("exact", "coarsened exact", "cardinality", "profile", "as given")


@dataclass(frozen=True, kw_only=True, repr=False)
class MatchedDesign(CohortDesign):
    """What every way of matching states: who may be a partner, how many, and how the interval is made."""

    ratio: int = number(
        "how many partners each person gets", low=1, high=50, default=1, whole=True, step="data"
    )
    replacement: str = choice(
        ("without", "with"),
        "whether a person may be the partner of several others (with replacement): closer matches, fewer"
        " different partners",
        default="without",
    )
    exact: tuple[str, ...] = columns("any", "characteristics on which partners must be equal", step="data")
    different: tuple[str, ...] = columns(
        "any", "characteristics on which partners must differ, such as the hospital", step="analysis"
    )
    calipers: Mapping[str, str] = texts(
        "how far partners may lie apart on a covariate: {covariate: '5' in its units, or '0.25 sd'}",
        step="analysis",
    )
    inference: str = choice(
        (
            "automatic",
            "matched sets",
            "robust",
            "Abadie-Imbens",
            "Abadie-Imbens, equal variances",
            "bootstrap",
        ),
        "how the standard error is made; automatic chooses by the kind of matching and says so",
        default="automatic",
    )

    def widths(self) -> dict[str, Width]:
        """The calipers on covariates."""
        return {name: width(said) for name, said in self.calipers.items()}

    def used_columns(self) -> tuple[str, ...]:
        """The names of all columns that the design reads, each once."""
        return tuple(dict.fromkeys((*super().used_columns(), *self.calipers)))

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        for name, said in self.calipers.items():
            try:
                width(said)
            except ValueError as cause:
                found.append(f"calipers: '{name}': {cause}")
        closed = {self.treated, *self.outcome_columns()}
        found += [
            f"{role}: '{name}' is the treatment or an outcome, which partners cannot be chosen by. Remove it."
            for role, names in (
                ("exact", self.exact),
                ("different", self.different),
                ("calipers", self.calipers),
            )
            for name in names
            if name in closed
        ]
        found += [
            f"exact, different: '{name}' is in both, so nobody can be a partner. Keep it in one."
            for name in self.exact
            if name in self.different
        ]
        if self.inference.startswith("Abadie-Imbens") and self.replacement == "without":
            found.append(
                "inference, replacement: the Abadie-Imbens standard error is made for matching with"
                " replacement. Set replacement='with', or inference='automatic'."
            )
        if self.inference == "matched sets" and self.replacement == "with":
            found.append(
                "inference, replacement: with replacement there are no matched sets to cluster by. Set"
                " inference='Abadie-Imbens', or replacement='without'."
            )
        if self.inference == "bootstrap" and self.replacement == "with":
            found.append(
                "inference, replacement: the bootstrap is not valid for matching with replacement (Abadie"
                " and Imbens 2008). Set inference='Abadie-Imbens'."
            )
        return found


@dataclass(frozen=True, kw_only=True, repr=False)
class Matching(MatchedDesign):
    """Compare treated people with people who were alike before the intervention but did not receive it.

    `method`: 'nearest' takes for each person the closest free partner in turn (`order`); 'optimal' makes the
    sum of all distances as small as it can be; 'full' puts everybody into sets of one and several at the
    least total distance; 'exact', 'coarsened exact' and 'subclassification' compare within groups that are
    alike; 'cardinality' finds the largest pair-matched sample, 'profile' the largest comparison group, whose
    means differ by at most `tolerance`; 'genetic' is `GeneticMatching` with its defaults.

    `distance`: the logit of the propensity score, the score itself, or a Mahalanobis distance between the
    covariates; `mahalanobis_on` measures the distance on some covariates inside a caliper on the score. The
    score is a plain logistic regression (maximum likelihood, no penalty) unless `learner` names another,
    which is then cross-fitted; `score` takes one that you bring. The outcome stays closed while `outcome` is
    empty, and never moves the matching.

    Missing values: rows with empty covariates are refused or left out and counted (`missing`); empty
    outcomes are left out when the effect is estimated. Raises DesignError when fields contradict each other.
    Sources: Rosenbaum and Rubin 1983; Stuart 2010; Hansen 2004 (full); Zubizarreta et al. 2014 (cardinality).
    Checked against MatchIt 4.7 and exact minima.

    >>> Matching(treated="service", covariates=("age", "frailty"), caliper=0.2)
    Matching(treated='service', covariates=('age', 'frailty'), caliper=0.2)
    """

    title: ClassVar[str] = "Matching"

    method: str = choice(
        (
            "nearest",
            "optimal",
            "full",
            "exact",
            "coarsened exact",
            "subclassification",
            "cardinality",
            "profile",
            "genetic",
            "as given",
        ),
        "how partners are found",
        default="nearest",
        step="data",
    )
    distance: str = choice(
        ("logit", "propensity", "probit", "mahalanobis", "robust mahalanobis"),
        "what closeness means: a propensity score (as logit, probability or probit index) or the covariates"
        " themselves",
        default="logit",
        step="data",
    )
    caliper: float = number(
        "how far apart partners may lie on the score (0: any distance)",
        low=0,
        high=10,
        default=0,
        step="data",
    )
    caliper_in: str = choice(
        ("standard deviations", "units of the score"),
        "what the caliper is measured in",
        default="standard deviations",
    )
    mahalanobis_on: tuple[str, ...] = columns(
        "any", "covariates on which the distance is measured inside the caliper on the score", step="analysis"
    )
    learner: str = choice(
        ("logistic", "logistic with penalty", "gradient boosting", "random forest"),
        "how the propensity score is estimated; all but 'logistic' are cross-fitted",
        default="logistic",
    )
    score: str | None = column("numeric", "a propensity score that you bring", default=None, step="analysis")
    given_weights: str | None = column(
        "numeric",
        "weights that you bring (method 'as given'); 0 leaves a row out",
        default=None,
        step="analysis",
    )
    given_sets: str | None = column(
        "any", "the matched sets that belong to them", default=None, step="analysis"
    )
    order: str = choice(
        ("largest", "smallest", "closest", "farthest", "data", "random"),
        "who chooses first (by the score)",
        default="largest",
    )
    ties: str = choice(
        ("first", "random"),
        "among equally close partners: the first in the data, or one drawn by the seed",
        default="first",
    )
    discard: str = choice(
        ("none", "both", "treated", "comparison"),
        "who is left out for a score beyond the range of the other group",
        default="none",
    )
    groups: int = number("how many groups subclassification makes", low=2, high=100, default=6, whole=True)
    cutpoints: Mapping[str, str] = texts(
        "where coarsened exact matching cuts a covariate: {covariate: '20, 30, 40' or '5 bins'}",
        step="analysis",
    )
    one_to_one: str = choice(
        ("no", "yes"), "whether the groups of coarsened exact matching are thinned to pairs", default="no"
    )
    least_ratio: float = number(
        "the fewest comparison people per treated person in a full match (0: any)", low=0, high=100, default=0
    )
    most_ratio: float = number(
        "the most comparison people per treated person in a full match (0: any)", low=0, high=1000, default=0
    )
    tolerance: float = number(
        "the largest standardised difference that cardinality and profile matching allow",
        low=0,
        high=1,
        default=0.05,
    )

    def used_columns(self) -> tuple[str, ...]:
        """The names of all columns that the design reads, each once."""
        return tuple(dict.fromkeys((*super().used_columns(), *self.cutpoints)))

    def _ignored(self) -> list[str]:
        """Conditions on pairs that are set although the method makes no use of them."""
        if self.method == "genetic":
            plain = {
                "score": None,
                "discard": "none",
                "order": "largest",
                "learner": "logistic",
                "caliper": 0,
            }
            return [role for role, held in plain.items() if getattr(self, role) != held]
        if self.method not in ("cardinality", "profile", *STRATA):
            return []
        roles = ("caliper", "calipers", "different", "mahalanobis_on")
        held = [role for role in roles if getattr(self, role)]
        return [*held, "exact"] if self.exact and self.method in ("cardinality", "profile") else held

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.replacement == "with" and self.method in (*WITHOUT_REPLACEMENT_ONLY, *STRATA):
            found.append(
                f"method, replacement: '{self.method}' uses nobody twice as a partner. Set"
                " replacement='without', or method='nearest'."
            )
        if self.ratio > 1 and self.method in ("full", "profile", *STRATA):
            found.append(
                f"method, ratio: '{self.method}' decides by itself how many partners there are. Set ratio=1"
                + (", and least_ratio or most_ratio to bound the sets." if self.method == "full" else ".")
            )
        if self.estimand == "ATE" and self.method in ("nearest", "optimal", "cardinality", "genetic"):
            found.append(
                f"estimand, method: '{self.method}' finds partners for one group, so it speaks for that"
                " group. Use estimand='ATT' or 'ATC', or method='full' or 'subclassification' for everybody."
            )
        if self.estimand == "ATE" and self.method == "profile":
            found.append(
                "estimand, method: 'profile' matches one group to the other. Use estimand='ATT' or 'ATC'."
            )
        if not self.covariates and self.method != "as given" and not (self.method == "exact" and self.exact):
            found.append(
                "covariates: nothing is named to match on, so the groups would be compared as they are."
                " Name the characteristics that led people to receive the intervention and that bear on the"
                " outcome."
            )
        if self.method == "subclassification" and "mahalanobis" in self.distance:
            found.append(
                "method, distance: subclassification divides people by a score, and a Mahalanobis distance"
                " is none. Set distance='logit'."
            )
        if (self.method == "as given") != (self.given_weights is not None):
            found.append(
                "given_weights, method: weights that you bring and method='as given' go together. Name the"
                " column of weights, or choose another method."
            )
        found += [
            f"{role}, method: '{self.method}' does not look at single pairs, so it cannot keep '{role}'."
            " Leave it out, or use method='nearest' or 'optimal'."
            for role in self._ignored()
        ]
        if self.mahalanobis_on and self.distance in ("mahalanobis", "robust mahalanobis"):
            found.append(
                f"mahalanobis_on, distance: the distance is '{self.distance}' on all covariates already."
                " Leave mahalanobis_on empty, or choose a score as distance."
            )
        for name, said in self.cutpoints.items():
            try:
                cut_points(said)
            except ValueError as cause:
                found.append(f"cutpoints: '{name}': {cause}")
        return found


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneticMatching(MatchedDesign):
    """Match on a weighted distance whose weights are searched so that the matched groups are balanced.

    A search tries many weightings of the covariates, matches with each, and keeps the one whose worst
    balance is best (`loss`; 'p-values' compares the sorted p-values of paired t and Kolmogorov-Smirnov
    tests, lowest first, as Diamond and Sekhon 2013). Several restarts are made by default; the result shows
    how far they lie apart, since one search is one draw. Balance may be judged on more than is matched on:
    `squares` and `interactions` enter the balance only. The outcome takes no part.

    Missing values and errors as for `Matching`. Checked against Matching 4.10 (Match, GenMatch).

    >>> GeneticMatching(treated="service", covariates=("age", "frailty"), evaluations=2000)
    GeneticMatching(treated='service', covariates=('age', 'frailty'), evaluations=2000)
    """

    title: ClassVar[str] = "Genetic matching"

    replacement: str = choice(
        ("with", "without"),
        "whether a person may be the partner of several others (with replacement): closer matches, fewer"
        " different partners",
        default="with",
    )
    ties: str = choice(
        ("all", "first"),
        "whether equally close partners all count, sharing the weight, or only the first",
        default="all",
    )
    with_score: str = choice(
        ("yes", "no"), "whether the propensity score takes part as a further covariate", default="no"
    )
    loss: str = choice(
        ("p-values", "largest difference", "mean difference", "largest KS", "mixture"),
        "what the search makes as good as it can",
        default="p-values",
    )
    caliper: float = number(
        "how far apart partners may lie on every covariate, in standard deviations (0: any distance)",
        low=0,
        high=10,
        default=0,
        step="data",
    )
    evaluations: int = number(
        "how many weightings are tried in all", low=50, high=1_000_000, default=30_000, whole=True
    )
    restarts: int = number(
        "into how many searches of equal length they are divided (0: a new one begins whenever one no longer"
        " improves)",
        low=0,
        high=50,
        default=0,
        whole=True,
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.different:
            found.append(
                "different: a search does not offer this. Use Matching with method='nearest', or leave it"
                " empty."
            )
        if self.estimand == "ATE":
            found.append(
                "estimand: a search balances one group against the other. Use estimand='ATT' or 'ATC'."
            )
        if not self.covariates:
            found.append(
                "covariates: nothing is named to match on. Name the characteristics that led people to"
                " receive the intervention and that bear on the outcome."
            )
        return found
