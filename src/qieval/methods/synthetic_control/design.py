"""The design of the synthetic control method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from qieval.donor_design import DonorDesign
from qieval.fields import choice, number, texts

OUTCOMES_ONLY = ("demeaned", "elastic net", "lasso", "ridge", "l1-l2", "unconstrained")
"""Ways of weighting that look at outcomes before the start and at nothing else."""


PENALISED, BOUNDED = ("penalised", "ridge-augmented"), ("lasso", "ridge", "l1-l2")


@dataclass(frozen=True, kw_only=True, repr=False)
class SyntheticControl(DonorDesign):
    """Compare a treated unit with a weighted mean of donors that tracked it before the start.

    Without `predictors` the weights reproduce the outcome in every fitted period. With predictors ({column:
    periods}) they reproduce the means of those columns, and `v` says how much each predictor counts: 'nested'
    searches the whole space for the weights of the predictors with which the outcome is fitted best; the
    inner problem is solved exactly. The periods of a predictor are words: '1980 to 1988' is one mean, '1975;
    1980' two predictors, '1961, 1963' one mean of two periods, 'each' every period, nothing all before the
    start; the outcome may be named too. `v` may also be a mapping {predictor: weight}.

    `method` 'demeaned' lets a constant distance remain; 'penalised' prefers donors that are alike one by one;
    'ridge-augmented' removes what is left of the distance by a ridge regression; the others drop the rule
    that weights are positive and sum to one.

    Several treated units: 'average' treats their mean as one series; 'unit by unit' and 'partially pooled'
    fit each with its own start (`first_treated`); 'automatic' averages units that start together. Every unit
    counts the same in the effect; with `population` a row says how many events it amounts to.

    Intervals: 'placebo' inverts the permutation test of ratios of squared gaps after and before the start
    (every donor in turn as if treated; groups of donors for several treated units), 'conformal' the test of
    Chernozhukov, Wüthrich and Zhu, 'prediction' gives prediction intervals from a model of the noise.
    'automatic' takes placebos where they can reach the level, else the conformal test. Estimates have no
    standard error.

    Missing values: outcomes must be complete in the periods used; with missing='complete cases' donors with
    gaps leave the pool and are counted. A mean of a predictor leaves out its missing periods; donors without
    any value of it are refused or leave the pool likewise.

    Raises DesignError when fields contradict each other.
    Source: Abadie, Diamond and Hainmueller 2010; Abadie 2021; checked against Synth, MSCMT, augsynth and
    scpi.

    >>> SyntheticControl(outcome="sales", unit="state", time="year", treated="california", start=1989)
    SyntheticControl(outcome='sales', unit='state', time='year', treated='california', start=1989)
    """

    title: ClassVar[str] = "Synthetic control"

    predictors: Mapping[str, str] = texts(
        "what the synthetic control should share with the treated unit: {column: periods}, such as"
        " {'beer': '1984 to 1988'}",
        step="data",
    )
    v: str = choice(
        ("nested", "cross-validated", "inverse variance", "as given"),
        "how much each predictor counts: as fits the outcome best (nested), as predicts the second half of"
        " the time before the start best (cross-validated), or all alike in units of their spread (inverse"
        " variance)",
        default="nested",
    )
    predictor_weights: Mapping[str, str] = texts(
        "how much each predictor counts, with v='as given': {predictor: weight}", step="analysis"
    )
    method: str = choice(
        (
            "classic",
            "demeaned",
            "penalised",
            "ridge-augmented",
            "elastic net",
            "lasso",
            "ridge",
            "l1-l2",
            "unconstrained",
        ),
        "how donors are weighted",
        default="classic",
    )
    penalty: float = number(
        "how strongly 'penalised' or 'ridge-augmented' penalise (0: chosen by prediction of periods left"
        " out)",
        low=0,
        high=1e12,
        default=0,
    )
    penalty_rule: str = choice(
        ("one standard error", "smallest error"),
        "how 'ridge-augmented' chooses its penalty: the largest within one standard error of the smallest"
        " error of prediction, or that of the smallest error",
        default="one standard error",
    )
    augmentation: str = choice(
        ("outcomes as they are", "demeaned outcomes", "predictors taken out"),
        "what 'ridge-augmented' works on: outcomes, outcomes less each unit's mean, or what the predictors"
        " leave of them (else predictors are balanced beside the outcomes)",
        default="outcomes as they are",
    )
    bound: float = number(
        "how large the weights of 'lasso' (sum of sizes), 'ridge' or 'l1-l2' (root of the sum of squares)"
        " may be (0: by the rules of scpi)",
        low=0,
        high=1e6,
        default=0,
    )
    several: str = choice(
        ("automatic", "average", "unit by unit", "partially pooled"),
        "with several treated units: fit their mean, each on its own, or in between; automatic fits their"
        " mean if they start together",
        default="automatic",
    )
    inference: str = choice(
        ("automatic", "placebo", "conformal", "prediction"),
        "how intervals are made",
        default="automatic",
    )
    treated_in_placebos: str = choice(
        ("no", "yes"), "whether treated units may be donors of placebos", default="no"
    )
    draws: int = number(
        "random draws of prediction intervals, and of placebo groups with several treated units",
        low=99,
        high=99999,
        default=999,
        whole=True,
    )

    def __post_init__(self) -> None:
        if isinstance(self.v, Mapping):
            object.__setattr__(
                self, "predictor_weights", {str(key): str(held) for key, held in self.v.items()}
            )
            object.__setattr__(self, "v", "as given")
        super().__post_init__()

    @property
    def levels_may_differ(self) -> bool:
        """Whether a constant distance between the treated and their comparison may remain."""
        return self.method == "demeaned" or self.augmentation == "demeaned outcomes"

    def used_columns(self) -> tuple[str, ...]:
        """The names of all columns that the design reads, each once."""
        return tuple(dict.fromkeys((*super().used_columns(), *self.predictors)))

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value: not those that are predictors alone."""
        elsewhere = super().used_columns()
        return tuple(name for name in super().required_columns() if name in elsewhere)

    def given_weights(self) -> dict[str, float]:
        """The weights of predictors as numbers."""
        return {name: float(held) for name, held in self.predictor_weights.items()}

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        found += self._predictor_problems()
        if self.penalty and self.method not in PENALISED:
            found.append(
                f"penalty: '{self.method}' has no penalty. Remove it, or choose one of"
                f" {', '.join(PENALISED)}."
            )
        found += self._augmentation_problems()
        if self.bound and self.method not in BOUNDED:
            found.append(
                f"bound: '{self.method}' has no bound. Remove it, or choose one of {', '.join(BOUNDED)}."
            )
        if self.several == "partially pooled" and (
            self.predictors or self.method not in ("classic", "demeaned")
        ):
            found.append(
                "several, method: partial pooling is worked out for outcomes before the start, as 'classic'"
                " or 'demeaned' without predictors. Remove the predictors or set several='unit by unit'."
            )
        return found

    def _augmentation_problems(self) -> list[str]:
        plain = self.augmentation == "outcomes as they are"
        found = []
        if self.method != "ridge-augmented" and not (plain and self.penalty_rule == "one standard error"):
            found.append(
                "augmentation, penalty_rule: these say how method='ridge-augmented' works, but method is"
                f" '{self.method}'. Choose that method or remove them."
            )
        if self.augmentation == "predictors taken out" and not self.predictors:
            found.append("augmentation: there are no predictors to take out. Name some, or work on outcomes.")
        return found

    def _predictor_problems(self) -> list[str]:
        roles = {"unit": self.unit, "time": self.time, "treated": self.treated}
        found = [
            f"predictors: '{name}' is already the {role}; it says nothing about what the units are like."
            " Remove it."
            for role, name in roles.items()
            if name in self.predictors
        ]
        if self.predictor_weights and not self.predictors:
            found.append(
                "predictor_weights: there are no predictors that the weights could belong to. Name them in"
                " predictors."
            )
        if self.predictors and self.method in OUTCOMES_ONLY:
            found.append(
                f"predictors, method: '{self.method}' fits the outcome before the start and uses no"
                " predictors. Remove them, or choose method='classic', 'penalised' or 'ridge-augmented'."
            )
        if (self.v == "as given") != bool(self.predictor_weights):
            found.append(
                "v, predictor_weights: weights of predictors go together with v='as given'. Give both or"
                " neither."
            )
        for name, held in self.predictor_weights.items():
            if not _positive(held):
                found.append(
                    f"predictor_weights: {held!r} of '{name}' is not a number of zero or more. It says how"
                    " much this predictor counts."
                )
        if self.predictor_weights and not found and not sum(self.given_weights().values()):
            found.append(
                "predictor_weights: all are zero, so nothing would count. Give at least one above zero."
            )
        return found


def _positive(held: Any) -> bool:
    try:
        return 0 <= float(held) < float("inf")
    except ValueError:
        return False
