"""Which altered designs are worth a look: suggestions made from the declarations of a design's fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import qieval as qe
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
        shown = [qe.markup.words(item) if item not in ((), None) else "none" for item in self.values]
        return f"{label(self.field)}: {'; '.join(shown)}"


def suggestions(design: qe.Design, offers: Offers) -> list[Alteration]:
    """What can be altered in a design: other starts, shorter windows, fewer covariates, other choices.

    Fields whose alteration would ask another question (the outcome, who is treated) are left alone.
    """
    if isinstance(design, qe.CohortDesign):
        return _of_similar_people(design, offers)
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
