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


PLACES: Names = ("outcome", "unit", "time", "treated", "start", "measured_in")
FOLDED_PLACES: Mapping[str, Names] = {
    "Rates: the people behind them (optional)": ("population", "per"),
    "Which units cannot be donors (optional)": (
        "similar_intervention",
        "spillover",
        "not_donors",
        "size",
        "size_ratio",
    ),
    "Several starts, several treated units (optional)": ("first_treated", "several"),
    "Totals that should be equal (optional)": ("other_outcomes", "match_on", "approximately"),
}
TRIED_WITH_DONORS: Mapping[str, Names] = {
    "SyntheticControl": ("donors", "method", "v", "fit_from"),
    "SyntheticDifferenceInDifferences": ("donors", "fit_from"),
    "GeneralisedSyntheticControl": ("donors", "estimator", "factors", "fit_from"),
}
"""What is tried out while the fit before the start is looked at, by the name of the design."""
FOLDED_CHOICES: Mapping[str, Names] = {
    "Predictors: what else the synthetic control should share (optional)": (
        "predictors",
        "predictor_weights",
    ),
}
MORE = "More settings (all have defaults)"


def makes_groups_alike(design: type[qe.Design]) -> bool:
    """Whether a design compares similar people, so that its balance is settled before an outcome is seen."""
    return issubclass(design, qe.CohortDesign)


def has_donors(design: type[qe.Design]) -> bool:
    """Whether a design weights donors, so that its fit is settled before an outcome from the start on is
    seen."""
    return issubclass(design, qe.DonorDesign)


def sections(design: type[qe.Design]) -> dict[str, Section]:
    """The sections of a design in which something is tried out, or that has donors: 'data', 'choose' and
    'outcome', as far as it has them. With the fields of the question they hold every field once. Empty for
    other designs.

    >>> sections(qe.Weighting)["choose"].shown
    ('method', 'estimand', 'truncate', 'trim')
    >>> list(sections(qe.SyntheticControl)), sections(qe.DifferenceInDifferences)
    (['data', 'choose'], {})
    """
    if makes_groups_alike(design):
        return _of_people(design)
    return _of_donors(design) if has_donors(design) else {}


def _of_donors(design: type[qe.Design]) -> dict[str, Section]:
    fields = qe.fields_of(design)
    tried = tuple(name for name in TRIED_WITH_DONORS.get(design.__name__, ()) if name in fields)
    data = Section(PLACES, _there(FOLDED_PLACES, fields))
    apart = _there(FOLDED_CHOICES, fields)
    taken = {*data.names, *tried, *QUESTION, *(name for names in apart.values() for name in names)}
    rest = {**apart, MORE: tuple(name for name in fields if name not in taken)}
    if tried:
        return {"data": data, "choose": Section(tried, rest)}
    return {"data": Section(PLACES, {**data.folded, **rest})}


def _there(folded: Mapping[str, Names], fields: Mapping[str, object]) -> dict[str, Names]:
    """The folded fields that a design has."""
    held = {title: tuple(name for name in names if name in fields) for title, names in folded.items()}
    return {title: names for title, names in held.items() if names}


def _of_people(design: type[qe.Design]) -> dict[str, Section]:
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
        "choose": Section(own, {MORE: special}),
        "outcome": Section(OUTCOME, {"More on the outcome and its interval (optional)": MORE_OUTCOME}),
    }
