"""Which altered designs are worth a look: suggestions made from the declarations of a design's fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import qieval as qe
from qi_notebooks import alterations_natural, alterations_rollout
from qi_notebooks.controls import label
from qi_notebooks.offers import Offers

MOST_PARTS = 12
SMALL = 200
"""Whole numbers with a wider range than this are technical (seeds, numbers of draws)."""


@dataclass(frozen=True)
class Alteration:
    """One field, the values that it takes in turn, and whether it is worth doing without being asked."""

    field: str
    values: tuple[Any, ...]
    usual: bool

    @property
    def title(self) -> str:
        """The field and its values in words.

        >>> Alteration("covariates", (("age",), ()), True).title
        'Covariates: age; none'
        """
        named = [tuple(item) if isinstance(item, Mapping) else item for item in self.values]
        empty = "all untreated units" if self.field == "donors" else "none"
        shown = [qe.markup.words(item) if item not in ((), None) else empty for item in named]
        return f"{label(self.field)}: {'; '.join(shown)}"


def suggestions(design: qe.Design, offers: Offers, result: qe.Result | None = None) -> list[Alteration]:
    """What can be altered in a design: other starts, shorter windows, fewer covariates, other choices.

    Fields whose alteration would ask another question (the outcome, who is treated) are left alone.
    result: the estimate of the design, from which some suggestions start, such as multiples of a bandwidth.
    """
    if isinstance(design, (qe.RowDesign, qe.BeforeAfter, qe.RegressionAdjustment)):
        return _of_nature(design, result)
    if isinstance(design, qe.StaggeredAdoption):
        return _as_alterations(alterations_rollout.of_a_roll_out(design, offers.periods(design.time)))
    if isinstance(design, qe.CohortDesign):
        return _of_similar_people(design, offers)
    if isinstance(design, qe.DonorDesign):
        return _with_donors(design, offers)
    if isinstance(design, qe.InterruptedTimeSeries):
        return _of_one_series(design, offers)
    specs = qe.fields_of(type(design))
    time = next((name for name, spec in specs.items() if spec.role == "column" and spec.kind == "time"), None)
    periods = offers.periods(getattr(design, time)) if time is not None else []
    found = []
    for name, spec in specs.items():
        held = getattr(design, name)
        if spec.role == "value":
            found.append(Alteration(name, _periods(name, spec, held, periods), True))
        elif spec.role in ("columns", "values") and held:
            found.append(Alteration(name, _fewer(held), True))
        elif spec.role == "number" and spec.whole:
            found.append(Alteration(name, _larger(int(held), spec.low or 0, spec.high or 0), True))
        elif spec.role == "choice" and spec.step == "analysis" and name != "missing":
            found.append(Alteration(name, tuple(item for item in spec.choices if item != held), False))
    return [item for item in found if item.values]


def _of_nature(design: qe.Design, result: qe.Result | None) -> list[Alteration]:
    found: alterations_natural.Found = {}
    if isinstance(design, qe.RegressionDiscontinuity):
        found = alterations_natural.at_a_cutoff(design, result)
    elif isinstance(design, qe.InstrumentalVariables):
        found = alterations_natural.with_an_instrument(design, result)
    elif isinstance(design, qe.BeforeAfter):
        found = alterations_natural.of_a_change(design, result)
    elif isinstance(design, qe.RegressionAdjustment):
        found = alterations_natural.by_a_regression(design)
    return _as_alterations(found)


def _as_alterations(found: Mapping[str, tuple[tuple[Any, ...], bool]]) -> list[Alteration]:
    return [Alteration(name, values, usual) for name, (values, usual) in found.items() if values]


REASONABLE: Mapping[type[qe.Design], Mapping[str, tuple[Any, ...]]] = {
    qe.Matching: {
        "caliper": (0.0, 0.05, 0.1, 0.2),
        "ratio": (1, 2, 3),
        "replacement": ("without", "with"),
        "distance": ("logit", "propensity", "mahalanobis"),
        "method": ("nearest", "optimal", "full", "subclassification"),
        "order": ("largest", "smallest", "random"),
        "estimand": ("ATT", "ATC"),
    },
    qe.GeneticMatching: {
        "ratio": (1, 2),
        "loss": ("p-values", "largest difference", "largest KS"),
        "replacement": ("with", "without"),
        "estimand": ("ATT", "ATC"),
    },
    qe.Weighting: {
        "method": ("propensity score", "entropy balancing", "CBPS"),
        "truncate": (1.0, 0.99, 0.95),
        "trim": (0.0, 0.05, 0.1),
        "estimand": ("ATT", "ATE", "ATO"),
    },
}
"""What other analysts might have chosen for the same question, by field."""
USUAL = ("caliper", "ratio", "loss", "truncate", "method")
"""Fields worth altering without being asked; others take longer, or ask about other people."""
SLOWER = ("method", "ratio", "loss", "replacement")
"""Fields whose alteration takes a search of its own."""
MOST_OUTCOMES = 8


def _of_similar_people(design: qe.CohortDesign, offers: Offers) -> list[Alteration]:
    """Other ways to make the groups alike, the outcome in a regression as well, and other outcomes."""
    searches = isinstance(design, qe.GeneticMatching)
    held = {**REASONABLE[type(design)], "outcome_model": ("none", "covariates")}
    found = []
    for name, values in held.items():
        others = tuple(item for item in values if item != getattr(design, name))
        usual = name in USUAL and not (searches and name in SLOWER)
        found.append(Alteration(name, others, usual or name == "outcome_model"))
    used = {*design.used_columns(), design.treated}
    outcomes = tuple(name for name in offers.columns("numeric") if name not in used)
    if 0 < len(outcomes) <= MOST_OUTCOMES:
        found.append(Alteration("outcome", outcomes, False))
    return found


IN_SERIES: Mapping[str, tuple[Any, ...]] = {
    "change": ("level", "slope", "level and slope"),
    "phase_in": (0, 1, 3, 6),
    "lag": (0, 1, 3),
    "trend": ("none", "linear", "quadratic", "spline"),
    "seasonality": ("none", "harmonics", "one per season"),
    "harmonics": (1, 2, 3),
    "inference": ("independent errors", "Newey-West", "AR errors by REML"),
    "family": ("gaussian", "quasi-poisson", "negative binomial"),
}
"""What other analysts might have chosen for one interrupted series, by field."""
SERIES_ASKED = ("phase_in", "trend", "seasonality")
"""Fields of one interrupted series worth altering without being asked, beside its start."""
COUNTED = ("quasi-poisson", "negative binomial")
"""Families of counts; their errors are not autoregressive."""


def _of_one_series(design: qe.InterruptedTimeSeries, offers: Offers) -> list[Alteration]:
    """Other starts, forms of the change, trends and seasons; with and without control series.

    Choices that mean nothing in this design are left out: harmonics without a season of harmonics, families
    of counts for what is no count, a season where the periods have none.
    """
    periods, specs = offers.periods(design.time), qe.fields_of(type(design))
    found = [Alteration("start", _periods("start", specs["start"], design.start, periods), True)]
    for name, values in IN_SERIES.items():
        others = tuple(
            item for item in values if item != getattr(design, name) and _makes_sense(design, name, item)
        )
        found.append(Alteration(name, others, name in SERIES_ASKED))
    if design.controls:
        found.append(Alteration("controls", ((),), True))
    early = periods[: _before(design.start, periods)]
    shorter = _periods("first_period", specs["first_period"], None, early)
    found.append(Alteration("first_period", shorter, False))
    found.append(Alteration("last_period", _late(design.start, periods), False))
    return [item for item in found if item.values]


def _makes_sense(design: qe.InterruptedTimeSeries, name: str, value: Any) -> bool:
    """Whether a value of a field says anything in a design."""
    if name == "harmonics":
        return design.seasonality == "harmonics"
    if name == "seasonality":
        return value == "none" or design.seasonality != "none" or bool(design.season_length)
    if name == "inference":
        return design.family == "gaussian" or value in ("independent errors", "Newey-West")
    if name == "family":
        return design.counts and value in COUNTED
    if name == "change":
        return design.change in IN_SERIES["change"]
    return True


WITH_DONORS: Mapping[str, tuple[Any, ...]] = {
    "method": ("classic", "demeaned", "penalised", "ridge-augmented"),
    "v": ("nested", "cross-validated", "inverse variance"),
    "weighting": ("minimum norm", "raking"),
    "estimator": ("interactive fixed effects", "matrix completion"),
    "anticipation": (0, 1, 2),
    "size_ratio": (0, 2, 3),
}
"""What other analysts might have chosen for a design with donors, by field."""


def _with_donors(design: qe.DonorDesign, offers: Offers) -> list[Alteration]:
    """Other starts and shorter series, other ways to weight donors, fewer predictors, no rules of the pool.

    Leaving out donors or predictors one by one belongs to the assumptions and is not repeated without being
    asked. What stated periods of predictors would contradict is not suggested.
    """
    specs, predictors = qe.fields_of(type(design)), getattr(design, "predictors", {})
    found = _other_periods(design, specs, offers.periods(design.time), bool(predictors))
    for name, values in WITH_DONORS.items():
        if name not in specs or (name == "size_ratio" and design.size is None):
            continue
        others = tuple(
            item
            for item in values
            if item != getattr(design, name) and not (predictors and item in OUTCOMES_ONLY)
        )
        if name != "v" or predictors:
            found.append(Alteration(name, others, name in FIRST_ASKED))
    found += _emptied(design, specs)
    return [item for item in found if item.values]


def _other_periods(
    design: qe.DonorDesign, specs: Mapping[str, Any], periods: list[Any], stated: bool
) -> list[Alteration]:
    """Neighbouring starts, later ends and beginnings; with stated periods of predictors only later starts."""
    around = _periods("start", specs["start"], design.start, periods)
    later = tuple(
        item for item in around if periods.index(item) > periods.index(_like(design.start, periods))
    )
    shorter = "fit_from" if stated else "first_period"
    names = (
        (shorter, "last_period") if design.first_treated is not None else ("start", shorter, "last_period")
    )
    values = {
        "start": later if stated else around,
        shorter: _periods("first_period", specs[shorter], None, periods[: _before(design.start, periods)]),
        "last_period": _late(design.start, periods),
    }
    return [Alteration(name, values[name], name == shorter) for name in names]


def _like(held: Any, periods: list[Any]) -> Any:
    """A period as the data write it; the first of the data when they do not have it."""
    return next((item for item in periods if str(item) == str(held)), periods[0] if periods else held)


def _before(start: Any, periods: list[Any]) -> int:
    """How many periods lie before the start."""
    return periods.index(_like(start, periods)) if periods else 0


def _late(start: Any, periods: list[Any]) -> tuple[Any, ...]:
    """Ends after half and after three quarters of the time from the start on."""
    after = periods[_before(start, periods) :]
    ends = (after[len(after) // 2 - 1], after[3 * len(after) // 4 - 1]) if len(after) >= 4 else ()
    return ends


FIRST_ASKED = ("method", "weighting", "estimator")
"""Fields of designs with donors worth altering without being asked."""
OUTCOMES_ONLY = ("demeaned",)
"""Ways to weight donors that use no predictors."""
RULES = ("donors", "not_donors", "similar_intervention", "spillover")


def _emptied(design: qe.DonorDesign, specs: Mapping[str, Any]) -> list[Alteration]:
    """Without predictors (each in turn, all of them), and without each rule of the donor pool."""
    found = []
    held = dict(getattr(design, "predictors", {}))
    if held:
        fewer = [{name: said for name, said in held.items() if name != gone} for gone in held]
        several = fewer if 1 < len(held) <= MOST_PARTS else []
        found.append(Alteration("predictors", (*several, {}), False))
    for name in (*RULES, "match_on"):
        if name in specs and getattr(design, name):
            nothing: Any = None if specs[name].role == "column" else {} if specs[name].role == "texts" else ()
            found.append(Alteration(name, (nothing,), name in RULES))
    return found


def _periods(name: str, spec: Any, held: Any, periods: list[Any]) -> tuple[Any, ...]:
    """Neighbours of a required period; for the ends of the window a sixth and a third less of the data."""
    if not spec.optional:
        at = [str(item) for item in periods].index(str(held)) if str(held) in map(str, periods) else None
        around = [] if at is None else [at - 2, at - 1, at + 1, at + 2]
        return tuple(periods[i] for i in around if 0 <= i < len(periods))
    sixth = len(periods) // 6
    if not sixth:
        return ()
    return (
        (periods[sixth], periods[2 * sixth])
        if name.startswith("first")
        else (periods[-1 - sixth], periods[-1 - 2 * sixth])
    )


def _larger(held: int, low: float, high: float) -> tuple[int, ...]:
    """The next two whole numbers; none for technical numbers such as seeds."""
    return tuple(at for at in (held + 1, held + 2) if at <= high) if high - low <= SMALL else ()


def _fewer(held: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    """None at all, and without each in turn."""
    if len(held) == 1 or len(held) > MOST_PARTS:
        return ((),)
    return (*(tuple(item for item in held if item != gone) for gone in held), ())
