"""Where a guided study asks for which field, and in which order: few at once, the others folded away."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import qieval as qe

Names = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Fields that are asked for together: `shown` at once, `folded` under titles."""

    shown: Names
    folded: Mapping[str, Names] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        """All fields of the section."""
        return (*self.shown, *(name for names in self.folded.values() for name in names))


ROLES: Names = ("treated", "units_are", "covariates")
KINDS: Names = ("categories", "squares", "interactions")
PEOPLE: Names = ("person", "cluster", "start", "measured")
OUTCOME: Names = ("outcome", "effect", "measured_in")
MORE_OUTCOME: Names = (
    "person_time",
    "horizon",
    "negative_controls",
    "outcome_model",
    "inference",
    "subgroups",
    "subgroups_planned",
    "level",
    "draws",
)
TRIED: Mapping[type[qe.Design], Names] = {
    qe.Matching: (
        "method",
        "caliper",
        "ratio",
        "distance",
        "replacement",
        "estimand",
        "order",
        "discard",
    ),
    qe.GeneticMatching: ("loss", "evaluations", "restarts", "caliper", "ratio", "replacement", "estimand"),
    qe.Weighting: ("method", "estimand", "truncate", "trim"),
}
"""What is tried out while balance is looked at, before any outcome."""
QUESTION: Names = ("question", "events", "arguments")


def makes_groups_alike(design: type[qe.Design]) -> bool:
    """Whether a design compares similar people, so that its balance is settled before an outcome is seen."""
    return issubclass(design, qe.CohortDesign)


def sections(design: type[qe.Design]) -> dict[str, Section]:
    """The sections 'data', 'choose' and 'outcome' of a design that makes groups alike; with those of the
    question they hold every field once.

    >>> sections(qe.Weighting)["choose"].shown
    ('method', 'estimand', 'truncate', 'trim')
    """
    own = TRIED[design]
    taken = (*ROLES, *KINDS, *PEOPLE, *OUTCOME, *MORE_OUTCOME, *own, *QUESTION)
    shared = qe.fields_of(qe.CohortDesign)
    left = [name for name in qe.fields_of(design) if name not in taken]
    special = tuple(name for name in left if name not in shared or name == "balance_rule")
    general = tuple(name for name in left if name not in special)
    return {
        "data": Section(
            ROLES,
            {
                "Codes, squares and products of characteristics (optional)": KINDS,
                "People with several rows, hospitals, dates (optional)": PEOPLE,
                "Missing values and random numbers (have defaults)": general,
            },
        ),
        "choose": Section(own, {"More settings (all have defaults)": special}),
        "outcome": Section(OUTCOME, {"More on the outcome and its interval (optional)": MORE_OUTCOME}),
    }
