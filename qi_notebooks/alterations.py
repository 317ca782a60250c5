"""Which altered designs are worth a look: suggestions made from the declarations of a design's fields."""

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
