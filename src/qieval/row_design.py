"""The base of designs with a row for each person, in which a rule or an instrument decides."""

from __future__ import annotations

from dataclasses import dataclass

from qieval.design import Design
from qieval.fields import choice, column, columns


@dataclass(frozen=True, kw_only=True, repr=False)
class RowDesign(Design):
    """One row for each person (or organisation), with the outcome measured afterwards."""

    outcome: str = column("numeric", "what is measured afterwards")
    covariates: tuple[str, ...] = columns("any", "characteristics measured before the intervention")
    categories: tuple[str, ...] = columns(
        "any", "covariates whose numbers are codes of categories, not amounts", step="data"
    )
    person_time: str | None = column(
        "numeric",
        "the time for which each row was observed, when the outcome counts events (gives rates)",
        default=None,
    )
    weights: str | None = column(
        "numeric", "the weight of each row, such as the number of people behind it", default=None
    )
    cluster: str | None = column(
        "any", "what rows share, such as a hospital, where outcomes hang together", default=None
    )
    negative_controls: tuple[str, ...] = columns(
        "numeric",
        "outcomes that the intervention cannot have changed; an effect on them shows bias",
        step="analysis",
    )
    units_are: str = choice(
        ("people", "organisations"),
        "whether a row is a person or an organisation: counts of people are suppressed in reports when small",
        default="people",
        step="data",
    )

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        held = (self.outcome, self.person_time, *self.negative_controls)
        return tuple(dict.fromkeys(name for name in held if name))

    def roles(self) -> dict[str, str]:
        """The columns that are no characteristics, by role; each design adds its own."""
        named = {"person_time": self.person_time, "weights": self.weights}
        return {"outcome": self.outcome} | {role: name for role, name in named.items() if name}

    def _contradictions(self) -> list[str]:
        roles = self.roles()
        names = list(roles)
        found = [
            f"{role}, {other}: both name the column '{roles[role]}'. Each role needs a column of its own."
            for at, role in enumerate(names)
            for other in names[at + 1 :]
            if roles[role] == roles[other]
        ]
        found += [
            f"covariates: '{name}' is the {role}; it cannot adjust for itself. Remove it from the covariates."
            for role, name in roles.items()
            if name in self.covariates
        ]
        found += [
            f"negative_controls: '{name}' is the {role}. Name an outcome that the intervention cannot have"
            " changed."
            for role, name in roles.items()
            if name in self.negative_controls
        ]
        found += [
            f"covariates, negative_controls: '{name}' is in both. A negative control must stay out of the"
            " adjustment."
            for name in self.covariates
            if name in self.negative_controls
        ]
        after = [name for name in (*self.outcome_columns(), self.weights) if name]
        if self.cluster in after:
            found.append(
                f"cluster: '{self.cluster}' is an outcome or a weight. Name what people share, such as a"
                " hospital."
            )
        found += [
            f"categories: '{name}' is not among the covariates. Name it as a covariate too."
            for name in self.categories
            if name not in self.covariates
        ]
        return found
