"""Where a guided study asks for which field, and in which order: few at once, the others folded away."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import qieval as qe
from qi_notebooks import layout_natural, layout_rollout

Names = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Fields that are asked for together: `shown` at once, `folded` under titles.

    `again`: fields of an earlier section that are shown here once more, before the others.
    """

    shown: Names
    folded: Mapping[str, Names] = field(default_factory=dict)
    again: Names = ()

    @property
    def names(self) -> Names:
        """All fields of the section."""
        return (*self.shown, *(name for names in self.folded.values() for name in names))


ROLES: Names = ("treated", "units_are", "covariates")
KINDS: Names = ("categories", "squares", "interactions")
PEOPLE: Names = ("person", "cluster", "start", "measured")
FOLDED_PEOPLE: Mapping[str, Names] = {
    "Codes, squares and products of characteristics (optional)": KINDS,
    "People with several rows, hospitals, dates (optional)": PEOPLE,
}
GENERAL = "Missing values and random numbers (have defaults)"
REGRESSED: Names = ("estimand", "estimator")
FOLDED_REGRESSION: Mapping[str, Names] = {
    "The regression of the outcome, and its interval (have defaults)": (
        "outcome_model",
        "treatment_interactions",
        "interacted_with",
        "effect_at",
        "inference",
    ),
    "What learns the models when they are cross-fitted": ("learner", "own_learners", "folds", "splits"),
}
OUTCOME: Names = ("outcome", "effect", "measured_in")
MORE_ON_THE_OUTCOME = "More on the outcome and its interval (optional)"
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

SERIES: Names = ("outcome", "denominator", "per", "time", "start", "measured_in")
FOLDED_SERIES: Mapping[str, Names] = {
    "Periods to leave out, and the stretch of time (optional)": ("left_out", "first_period", "last_period"),
    "Other things that move the outcome, later interruptions (optional)": (
        "covariates",
        "days_in_period",
        "easter",
        "further_starts",
    ),
    "For the checks: when the effect is due, what cannot change, who is counted (optional)": (
        "expected_within",
        "control_outcomes",
        "composition",
    ),
}
MOVED: Mapping[str, Names] = {
    "InterruptedTimeSeries": ("start", "lag", "phase_in"),
    "RegressionDiscontinuity": ("bandwidth", "donut", "order"),
}
"""What is moved after the estimate to see how much hangs on it, by the name of the design."""
ARGUED_BY: Mapping[str, str] = {"the instrument acts only through the intervention": "exclusion"}
"""Assumptions whose argument has a field of its own."""
TRIED_IN_SERIES: Names = ("lag", "phase_in", "change", "trend", "seasonality", "controls")
FOLDED_MODEL: Mapping[str, Names] = {
    "More on trend and season": ("trend_df", "harmonics", "season_df", "season_length"),
    "More on the change": ("phase_in_as", "slope_from", "lasts", "half_life", "horizons"),
    "More on control series": ("control_denominators", "controlled_by"),
    "What kind of outcome it is": ("family", "scale"),
    "How uncertainty is found": ("inference", "lag_rule", "lags", "small_sample", "ar_order"),
    "Other models: a level that wanders by itself": ("model", "arima", "level_moves", "season_moves"),
}

MEASURE: Names = ("outcome", "denominator", "per", "time", "better", "measured_in")
FOLDED_MEASURE: Mapping[str, Names] = {
    "Target, kind of measure (optional)": ("target", "measure"),
    "Rare events, and the stretch of time (optional)": ("intervals", "first_period", "last_period"),
}
DRAWN: Names = ("kind", "rules", "baseline_until")
FOLDED_CHART: Mapping[str, Names] = {
    "Tests of change and other happenings: numbered on the chart": ("events",),
    "New lines from a declared date on": ("rebase",),
    "Points that are drawn but not used": ("left_out",),
    "How the limits are computed": ("limits_as", "screen_moving_ranges"),
}


def makes_groups_alike(design: type[qe.Design]) -> bool:
    """Whether a design compares similar people, so that its balance is settled before an outcome is seen."""
    return issubclass(design, qe.CohortDesign)


def has_donors(design: type[qe.Design]) -> bool:
    """Whether a design weights donors, so that its fit is settled before an outcome from the start on is
    seen."""
    return issubclass(design, qe.DonorDesign)


def follows_a_measure(design: type[qe.Design]) -> bool:
    """Whether a design draws a chart that says that something changed, and compares with nothing."""
    return issubclass(design, (qe.RunChart, qe.ControlChart))


def moved(design: type[qe.Design]) -> Names:
    """The fields that are moved after the estimate, for designs that are estimated in a moment."""
    return MOVED.get(design.__name__, ())


def stated(design: type[qe.Design]) -> Names:
    """The fields that have no default, so that somebody has to fill them in.

    >>> stated(qe.RegressionDiscontinuity)
    ('outcome', 'score', 'treated_side')
    """
    nothing = dataclasses.MISSING
    return tuple(
        item.name
        for item in dataclasses.fields(design)
        if item.default is nothing and item.default_factory is nothing
    )


def handled(design: type[qe.Design], name: str) -> str:
    """How a field is filled in: 'stepped' for a period that is moved one by one, 'stated' where there is no
    default."""
    if name == "start" and issubclass(design, qe.InterruptedTimeSeries):
        return "stepped"
    return "stated" if name in stated(design) else ""


def sections(design: type[qe.Design]) -> dict[str, Section]:
    """The sections of a design in which something is tried out, or that has donors: 'data', 'choose' and
    'outcome', as far as it has them. With the fields of the question they hold every field once; a chart has
    its events in the section 'choose'. Empty for other designs.

    >>> sections(qe.Weighting)["choose"].shown
    ('method', 'estimand', 'truncate', 'trim')
    >>> list(sections(qe.SyntheticControl)), sections(qe.DifferenceInDifferences)
    (['data', 'choose'], {})
    """
    if makes_groups_alike(design):
        return _of_people(design)
    if follows_a_measure(design):
        return _of_one(design, Section(MEASURE, FOLDED_MEASURE), Section(DRAWN, FOLDED_CHART))
    if issubclass(design, qe.SeriesDesign):
        tried = Section(TRIED_IN_SERIES, FOLDED_MODEL, again=("start",))
        return _of_one(design, Section(SERIES, FOLDED_SERIES), tried)
    if design.__name__ in layout_natural.SHOWN:
        return _of_nature(design)
    if issubclass(design, qe.RolloutDesign):
        known = Section(layout_rollout.SHOWN, layout_rollout.FOLDED)
        return _all_with_the_data(design, known, layout_rollout.WITH_THE_QUESTION)
    return _of_donors(design) if has_donors(design) else {}


def _of_nature(design: type[qe.Design]) -> dict[str, Section]:
    """The one section of a design with a rule or an instrument, or of one group before and after."""
    name = design.__name__
    known = Section(layout_natural.SHOWN[name], layout_natural.FOLDED[name])
    return _all_with_the_data(design, known, layout_natural.WITH_THE_QUESTION)


def _all_with_the_data(design: type[qe.Design], data: Section, asked: Names) -> dict[str, Section]:
    """One section with every field that is not asked for with the question."""
    taken = {*data.names, *QUESTION, *asked}
    rest = tuple(held for held in qe.fields_of(design) if held not in taken)
    return {"data": Section(data.shown, {**data.folded, MORE: rest})}


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


def _of_one(design: type[qe.Design], data: Section, tried: Section) -> dict[str, Section]:
    """The sections of one series: what is measured, and what is tried out; the rest is folded away."""
    fields = qe.fields_of(design)
    known = Section(data.shown, _there(data.folded, fields))
    apart = _there(tried.folded, fields)
    taken = {*known.names, *tried.names, *QUESTION}
    rest = {**apart, MORE: tuple(name for name in fields if name not in taken)}
    return {"data": known, "choose": Section(tried.shown, rest, tried.again)}


def _there(folded: Mapping[str, Names], fields: Mapping[str, object]) -> dict[str, Names]:
    """The folded fields that a design has."""
    held = {title: tuple(name for name in names if name in fields) for title, names in folded.items()}
    return {title: names for title, names in held.items() if names}


def _of_people(design: type[qe.Design]) -> dict[str, Section]:
    if design not in TRIED:
        return _of_a_regression(design)
    own = TRIED[design]
    taken = (*ROLES, *KINDS, *PEOPLE, *OUTCOME, *MORE_OUTCOME, *own, *QUESTION)
    shared = qe.fields_of(qe.CohortDesign)
    left = [name for name in qe.fields_of(design) if name not in taken]
    special = tuple(name for name in left if name not in shared or name == "balance_rule")
    general = tuple(name for name in left if name not in special)
    return {
        "data": Section(ROLES, {**FOLDED_PEOPLE, GENERAL: general}),
        "choose": Section(own, {MORE: special}),
        "outcome": Section(OUTCOME, {MORE_ON_THE_OUTCOME: MORE_OUTCOME}),
    }


def _of_a_regression(design: type[qe.Design]) -> dict[str, Section]:
    """The sections of a design that adjusts by a regression: nothing is tried out before the outcome."""
    fields = qe.fields_of(design)
    folded = {**_there(FOLDED_REGRESSION, fields), **FOLDED_PEOPLE}
    known = tuple(name for names in FOLDED_REGRESSION.values() for name in names)
    more = tuple(name for name in MORE_OUTCOME if name not in known)
    taken = (
        *ROLES,
        *REGRESSED,
        *OUTCOME,
        *more,
        *QUESTION,
        *(item for held in folded.values() for item in held),
    )
    general = tuple(name for name in fields if name not in taken)
    roles = (*ROLES[:-1], *REGRESSED, *ROLES[-1:])
    return {
        "data": Section(roles, {**folded, GENERAL: general}),
        "outcome": Section(OUTCOME, {MORE_ON_THE_OUTCOME: more}),
    }
