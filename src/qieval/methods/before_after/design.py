"""The design of a before-and-after study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from qieval.design import Design
from qieval.fields import choice, column, number, value


@dataclass(frozen=True, kw_only=True, repr=False)
class BeforeAfter(Design):
    """The same people (or organisations) once before and once after an intervention, and nobody to compare.

    The weakest design of all: whatever else changed between the two measurements is counted as an effect, and
    people who were picked because they were ill tend to be better next time whatever is done. It is offered
    because it is asked for, is labelled as a source of hypotheses, and shows beside the change how much of it
    regression to the mean alone would be expected to bring.

    The data have one row per person with `before` and `outcome` (the value after), or one row per `unit` and
    `time` with `start`; several periods on a side are averaged (events and `person_time` are summed). Who
    lacks one of the sides is left out and counted. `selected`: whether people were picked because
    `selected_on` (by default the value before) was high or low, with the `threshold` if there was one;
    `population_mean`, `population_sd` and `reliability` (the correlation between two measurements of the same
    person when nothing is done) then give the regression to the mean that is to be expected.
    `expected_change` is what would have changed anyway (the secular trend), if it is known from elsewhere.

    Missing values are refused or left out and counted. A DataError says when fewer than two people have both
    values. Sources: Clarke et al. 2019, table 2; Barnett, van der Pols and Dobson 2005; Morton and
    Torgerson 2003. The interval of the change is that of a paired t test.

    >>> BeforeAfter(outcome="visits_after", before="visits_before", selected="high values")
    BeforeAfter(outcome='visits_after', before='visits_before', selected='high values')
    """

    title: ClassVar[str] = "Before and after"

    outcome: str = column("numeric", "what is measured (the value after, where `before` names a column)")
    before: str | None = column(
        "numeric", "the value before, when the data have one row per person", default=None
    )
    unit: str | None = column(
        "any", "who is measured, when the data have one row per person and period", default=None
    )
    time: str | None = column(
        "time", "when it was measured, when the data have one row per person and period", default=None
    )
    start: Any = value("the first period with the intervention", default=None)
    person_time: str | None = column(
        "numeric", "the time for which each row was observed, when the outcome counts events", default=None
    )
    person_time_before: str | None = column(
        "numeric", "the same for the time before, when the data have one row per person", default=None
    )
    cluster: str | None = column(
        "any", "what people share, such as a hospital, where outcomes hang together", default=None
    )
    units_are: str = choice(
        ("people", "organisations"),
        "whether a unit is a person or an organisation: counts of people are suppressed in reports when"
        " small",
        default="people",
        step="data",
    )
    selected: str = choice(
        ("no", "high values", "low values"),
        "whether people were picked because an earlier measurement was high (or low)",
        default="no",
        step="data",
    )
    selected_on: str | None = column(
        "numeric", "the measurement that people were picked by (by default the value before)", default=None
    )
    threshold: Any = value(
        "the value that the measurement had to exceed (or stay below) to be picked", default=None
    )
    population_mean: Any = value("the mean of that measurement in everybody", default=None, step="analysis")
    population_sd: Any = value(
        "the standard deviation of that measurement in everybody", default=None, step="analysis"
    )
    reliability: float = number(
        "the correlation of two measurements of the same person when nothing is done (0: estimated from"
        " several periods before, where there are some)",
        low=0,
        high=1,
        default=0,
    )
    expected_change: float = number(
        "the change to be expected without the intervention (secular trend), known from elsewhere",
        low=-1e12,
        high=1e12,
        default=0,
    )
    effect: str = choice(
        ("automatic", "difference", "ratio"),
        "the change in the headline; automatic gives a difference",
        default="automatic",
    )

    @property
    def wide(self) -> bool:
        """Whether the data have one row per person."""
        return self.before is not None

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return tuple(name for name in (self.outcome, self.person_time) if name)

    def _contradictions(self) -> list[str]:
        found = []
        long = {"unit": self.unit, "time": self.time, "start": self.start}
        if self.wide and any(held is not None for held in (self.time, self.start)):
            found.append(
                "before, time, start: the data have either one row per person (name `before`) or one row per"
                " person and period (name unit, time and start). Remove one of the two."
            )
        if not self.wide and (lacking := [name for name, held in long.items() if held is None]):
            found.append(
                f"before, {', '.join(lacking)}: nothing says which value is the one before. Name the column"
                " `before` (one row per person), or unit, time and start (one row per person and period)."
            )
        after = self.outcome_columns()
        for role in ("cluster", "selected_on", "person_time_before", "unit", "time"):
            if getattr(self, role) in after:
                found.append(
                    f"{role}: '{getattr(self, role)}' is only known afterwards (outcome, person_time). Name a"
                    " column of its own."
                )
        if self.before == self.outcome:
            found.append(
                f"before, outcome: both name the column '{self.outcome}'. Two measurements are needed."
            )
        if self.wide and (self.person_time is None) != (self.person_time_before is None):
            found.append(
                "person_time, person_time_before: rates need the time at risk on both sides. Name both."
            )
        if not self.wide and self.person_time_before is not None:
            found.append(
                "person_time_before: is for one row per person. Here person_time says it for every row."
            )
        for name in ("threshold", "population_mean", "population_sd"):
            held = getattr(self, name)
            amount = isinstance(held, (int, float)) and not isinstance(held, bool)
            if held is not None and not (amount and math.isfinite(held)):
                found.append(f"{name}: {held!r} is not a number. Give a number or leave it empty.")
        if isinstance(self.population_sd, (int, float)) and self.population_sd <= 0:
            found.append("population_sd: a standard deviation is above 0.")
        if self.selected == "no" and (self.threshold is not None or self.selected_on is not None):
            found.append(
                "selected, threshold: a threshold or a measurement to pick by is given, but selected='no'."
                " Say"
                " whether high or low values were picked."
            )
        return found
