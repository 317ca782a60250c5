"""The base of designs for roll-outs: units begin at different times, some perhaps never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qieval.design import Design
from qieval.fields import choice, column, columns, number, value


@dataclass(frozen=True, kw_only=True, repr=False)
class RolloutDesign(Design):
    """Units observed over time that receive the intervention from different periods on.

    When a unit begins is said by `first_treated` (empty, 0 or infinite: never), or read from `treatment`, the
    column that is 1 in the periods with the intervention.
    """

    outcome: str = column("numeric", "what is measured (the number of events, with `exposure`)")
    unit: str = column("any", "who or what is followed over time")
    time: str = column("time", "when it was measured: a date, a period such as 2022-04, or a whole number")
    first_treated: str | None = column(
        "any",
        "each unit's first period with the intervention, the same in all its rows (empty, 0 or infinite:"
        " never)",
        default=None,
    )
    treatment: str | None = column(
        "binary",
        "1 in the periods in which the unit has the intervention, where the first one is not in the data",
        default=None,
    )
    units_are: str = choice(
        ("people", "organisations"),
        "whether a unit is a person or an organisation: counts of people are suppressed in reports when"
        " small",
        default="people",
        step="data",
    )
    data: str = choice(
        ("panel", "repeated cross-sections"),
        "whether the same units are followed (panel) or other people are sampled in each period",
        default="panel",
        step="data",
    )
    covariates: tuple[str, ...] = columns(
        "any", "characteristics that the trends may depend on; their value in the earlier period is used"
    )
    cluster: str | None = column(
        "any", "what the intervention was assigned to (by default the unit)", default=None
    )
    second_cluster: str | None = column(
        "any", "a second way in which outcomes hang together, such as the region", default=None
    )
    weights: str | None = column(
        "numeric", "the weight of each row, such as the number of people", default=None
    )
    exposure: str | None = column(
        "numeric",
        "what the events could happen in, such as people on the list or bed days; the effect is then a ratio"
        " of rates",
        default=None,
    )
    eligible: str | None = column(
        "binary",
        "1 for those whom the intervention is for, 0 for others in the same places whom it passes by (triple"
        " differences)",
        default=None,
    )
    neighbour: str | None = column(
        "binary",
        "1 for comparison units that the intervention of others may have reached; they are left out",
        default=None,
    )
    distance: str | None = column(
        "numeric", "how far a unit lies from the nearest one that ever gets the intervention", default=None
    )
    exclusion: float = number(
        "never-treated units nearer than this are left out (with `distance`; 0: none)",
        low=0,
        high=1e9,
        default=0,
        step="data",
    )
    rollout_randomised: str = choice(
        ("no", "yes"),
        "whether the order of the roll-out was drawn by lot, so that it can be drawn again to test the"
        " effect",
        default="no",
        step="data",
    )
    expected_lag: int = number(
        "how many periods after its start the intervention can work at the earliest",
        low=0,
        high=600,
        default=0,
        whole=True,
        step="question",
    )
    anticipation: int = number(
        "how many periods before the start may already be affected", low=0, high=120, default=0, whole=True
    )
    first_period: Any = value("the first period to use (by default all)", default=None, step="analysis")
    last_period: Any = value("the last period to use (by default all)", default=None, step="analysis")

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return (self.outcome,)

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value: not the starts, which some units do not have."""
        return tuple(name for name in self.used_columns() if name not in (self.first_treated, self.distance))

    def roles(self) -> dict[str, str]:
        """The columns by role, where a column may have one role only."""
        named = ("outcome", "unit", "time", "first_treated", "treatment", "eligible", "neighbour")
        return {role: held for role in named if (held := getattr(self, role)) is not None}

    def _contradictions(self) -> list[str]:
        roles = self.roles()
        found = [
            f"{role}, {other}: both name the column '{name}'. Each role needs a column of its own."
            for role, name in roles.items()
            for other, taken in roles.items()
            if role < other and name == taken
        ]
        found += [
            f"covariates: '{name}' is already the {role}; it cannot adjust for itself. Remove it."
            for role, name in roles.items()
            if name in self.covariates
        ]
        if (self.first_treated is None) == (self.treatment is None):
            found.append(
                "first_treated, treatment: exactly one of them says when units begin. Name the column with"
                " each unit's first period (first_treated), or the column that is 1 in periods with the"
                " intervention (treatment)."
            )
        if self.exclusion and self.distance is None:
            found.append(
                "distance: an exclusion zone is given but not the column that holds the distance. Name the"
                " column."
            )
        if self.second_cluster is not None and self.second_cluster == (self.cluster or self.unit):
            found.append("second_cluster: this is the first cluster already. Remove it, or name another.")
        if self.data == "repeated cross-sections" and self.treatment is not None:
            found.append(
                "treatment: with repeated cross-sections nobody is followed, so a start cannot be read from"
                " when treatment begins. Name the group's first period in first_treated."
            )
        return found
