"""The base of designs for people (or organisations) that are seen once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qieval.design import Design
from qieval.fields import choice, column, columns, number, texts, values


@dataclass(frozen=True, kw_only=True, repr=False)
class CohortDesign(Design):
    """People (or organisations) seen once: some received the intervention, all have characteristics measured
    before it."""

    treated: str = column(
        "binary", "1 for those who received the intervention, 0 for those who might compare"
    )
    covariates: tuple[str, ...] = columns(
        "any", "characteristics measured before the intervention that should be alike in both groups"
    )
    categories: tuple[str, ...] = columns(
        "any", "covariates whose numbers are codes of categories, not amounts", step="data"
    )
    squares: tuple[str, ...] = columns(
        "numeric", "covariates whose squares are to be alike (and enter the score) too", step="analysis"
    )
    interactions: tuple[str, ...] = values(
        "pairs of covariates whose products are to be alike (and enter the score) too, such as 'age * sex'"
    )
    outcome: str | None = column(
        "numeric",
        "what is measured afterwards; leave it empty while the design is being settled",
        default=None,
    )
    person_time: str | None = column(
        "numeric",
        "the time for which each row was observed, when the outcome counts events (gives rates), or the"
        " time to the event or the end of follow-up (with `horizon`)",
        default=None,
    )
    horizon: float = number(
        "the time at which survival is compared; the outcome is then 1 where `person_time` ended with the"
        " event (0: no survival analysis)",
        low=0,
        high=1e6,
        default=0,
    )
    negative_controls: tuple[str, ...] = columns(
        "numeric",
        "outcomes that the intervention cannot have changed; an effect on them shows bias",
        step="analysis",
    )
    estimand: str = choice(
        ("ATT", "ATC", "ATE"),
        "whose effect is asked for: the treated (ATT), the comparison group (ATC), or everybody (ATE)",
        default="ATT",
        step="data",
    )
    cluster: str | None = column(
        "any",
        "what people share, such as a hospital, where outcomes hang together beyond the matching",
        default=None,
    )
    person: str | None = column(
        "any", "who the row is about; needed where people may have several rows", default=None
    )
    units_are: str = choice(
        ("people", "organisations"),
        "whether a row is a person or an organisation: counts of people are suppressed in reports when small",
        default="people",
        step="data",
    )
    start: str | None = column(
        "time",
        "the date from which each row's outcome counts (index date); covariates must be older",
        default=None,
    )
    measured: Mapping[str, str] = texts(
        "when covariates were measured: {covariate: the column with its date}; later than `start` is refused",
        step="analysis",
    )
    balance_rule: float = number(
        "the largest standardised difference that counts as balanced, settled before the outcome is opened",
        low=0.01,
        high=1,
        default=0.1,
    )
    effect: str = choice(
        ("automatic", "difference", "ratio", "odds ratio"),
        "the effect in the headline; automatic gives a difference (in means, risks or rates)",
        default="automatic",
    )
    outcome_model: str = choice(
        ("none", "covariates"),
        "whether the outcome is regressed on treatment and covariates as well, which removes what"
        " imbalance is left (doubly robust)",
        default="none",
    )
    subgroups: tuple[str, ...] = columns(
        "any", "characteristics in whose groups the effect is estimated too", step="analysis"
    )
    subgroups_planned: str = choice(
        ("yes", "no"), "whether the subgroups were named before any outcome was seen", default="no"
    )
    draws: int = number("random draws of a bootstrap", low=99, high=9999, default=499, whole=True)

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        held = (
            self.outcome,
            self.person_time,
            *self.negative_controls,
        )
        return tuple(dict.fromkeys(name for name in held if name))

    def products(self) -> tuple[tuple[str, str], ...]:
        """The pairs of covariates whose products enter."""
        parts = [tuple(part.strip() for part in str(said).split("*")) for said in self.interactions]
        return tuple((pair[0], pair[1]) for pair in parts if len(pair) == 2)

    def used_columns(self) -> tuple[str, ...]:
        """The names of all columns that the design reads, each once."""
        return tuple(dict.fromkeys((*super().used_columns(), *self.measured.values())))

    def _contradictions(self) -> list[str]:
        found = [
            f"covariates: '{name}' is the {role}. {why} Remove it from the covariates."
            for role, name, why in self._reserved()
            if name in self.covariates
        ]
        found += [
            f"subgroups: '{name}' is the {role}, which people cannot be grouped by. Remove it."
            for role, name, _ in self._reserved()
            if name in self.subgroups
        ]
        found += [
            f"{role}: '{name}' is not among the covariates, so there is nothing to add. Name it as a"
            " covariate."
            for role, names in (
                ("categories", self.categories),
                ("squares", self.squares),
                ("interactions", [part for pair in self.products() for part in pair]),
            )
            for name in names
            if name not in self.covariates
        ]
        found += [
            f"interactions: '{said}' is not a product of two covariates. Write it as 'age * sex'."
            for said in self.interactions
            if len(str(said).split("*")) != 2
        ]
        if self.outcome is not None and self.outcome == self.treated:
            found.append(
                f"outcome, treated: both name the column '{self.treated}'. An effect needs a treatment and an"
                " outcome measured apart."
            )
        if self.horizon and self.person_time is None:
            found.append(
                "person_time, horizon: survival to a horizon needs the time to the event or to the end of"
                " follow-up. Name that column as person_time."
            )
        if self.measured and self.start is None:
            found.append(
                "start, measured: dates of measurement are given but not the index date they must come"
                " before. Name its column as start."
            )
        return found

    def _reserved(self) -> list[tuple[str, str, str]]:
        """Columns that cannot be balanced on: role, name, why not."""
        after = "It is measured after the intervention; adjusting for it would remove or distort the effect."
        held = [("treated", self.treated, "Nothing can be compared at equal treatment.")]
        held += [("outcome", self.outcome, after)] if self.outcome else []
        held += [("person_time", self.person_time, after)] if self.person_time else []
        held += [
            ("negative control", name, "It serves to find bias and must stay out.")
            for name in self.negative_controls
        ]
        return held
