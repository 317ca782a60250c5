"""Which control a field of a design gets."""

from collections.abc import Callable, Mapping
from typing import Any

from qi_notebooks.controls import (
    ChoiceControl,
    ColumnControl,
    Control,
    NumberControl,
    PeriodControl,
    SliderControl,
    SteppedPeriodControl,
    TextControl,
    TicksControl,
    WholeSliderControl,
    WordedChoiceControl,
)
from qi_notebooks.controls_lists import (
    BY_COLUMN,
    ArgumentsControl,
    ByColumnControl,
    ListControl,
    PickControl,
    ProductsControl,
)
from qi_notebooks.controls_typed import NumbersControl, StatedChoiceControl, TypedControl
from qi_notebooks.controls_units import DonorsControl

BY_ROLE: dict[str, Callable[[str, Any], Control]] = {
    "column": ColumnControl,
    "columns": PickControl,
    "choice": ChoiceControl,
    "number": NumberControl,
    "value": PeriodControl,
    "values": TicksControl,
    "text": TextControl,
    "texts": ListControl,
}
TICKED = ("covariates", "baseline_covariates", "controls", "instruments")
"""Fields that usually hold many columns, so that all are shown with a box each."""
SLIDERS: Mapping[str, tuple[float, float]] = {
    "caliper": (2, 0.01),
    "truncate": (1, 0.005),
    "trim": (0.3, 0.005),
}
"""Numbers that are tried out: the end of the slider and its step."""


WHOLE_SLIDERS: Mapping[str, int] = {"lag": 12, "phase_in": 12}
"""The same for whole numbers: the end of the slider."""


TYPED: Mapping[str, str] = {
    "cutoff": "780, or 2019-04-01",
    "threshold": "4",
    "population_mean": "0.98",
    "population_sd": "1.53",
}
"""Single values that no column of the data holds, with what they look like."""
NUMBERS: Mapping[str, str] = {
    "bandwidth": "by the rule; or 24; or 18, 30",
    "bias_bandwidth": "by the rule; or 36",
    "leave_out": "1500, 1600",
    "event_window": "all; or -6, 12",
}
"""Lists of such values."""


RUN = "run"
"""How the run chart, which is a design of its own, is called among the kinds of charts."""
KINDS: Mapping[str, str] = {
    "chosen from the data": "chosen from the data",
    RUN: "run: values around the median",
    "i": "I: one measurement a period",
    "mr": "MR: change to the next one",
    "xbar": "X-bar: means of several a period",
    "s": "S: spread of several a period",
    "p": "P: how many out of a number",
    "p'": "P': same, thousands (Laney)",
    "u": "U: events per exposure",
    "u'": "U': same, thousands (Laney)",
    "c": "C: counts, equal exposures",
    "g": "G: days between rare events",
    "t": "T: time between rare events",
}
"""The charts in words, by what a design calls them."""


def control(name: str, spec: Any, prompts: Mapping[str, str], *, how: str = "") -> Control:
    """The control for a field. `prompts` are the headings that a field of words has, if they are given.

    how: 'stepped' for a period that can be moved one by one, 'stated' for a choice without a default.
    """
    if prompts:
        return ArgumentsControl(name, spec, prompts)
    if name in TYPED:
        return TypedControl(name, spec, TYPED[name])
    if name in NUMBERS:
        return NumbersControl(name, spec, NUMBERS[name])
    if name in SLIDERS:
        return SliderControl(name, spec, *SLIDERS[name])
    if name in WHOLE_SLIDERS:
        return WholeSliderControl(name, spec, WHOLE_SLIDERS[name])
    if name == "kind":
        return WordedChoiceControl(name, spec, KINDS)
    if how == "stated" and spec.role == "choice":
        return StatedChoiceControl(name, spec)
    if how == "stepped":
        return SteppedPeriodControl(name, spec)
    if name in TICKED:
        return TicksControl(name, spec)
    if name in BY_COLUMN:
        return ByColumnControl(name, spec)
    if name == "donors":
        return DonorsControl(name, spec)
    return ProductsControl(name, spec) if name == "interactions" else BY_ROLE[spec.role](name, spec)
