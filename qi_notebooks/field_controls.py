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
    TextControl,
    TicksControl,
)
from qi_notebooks.controls_lists import (
    BY_COLUMN,
    ArgumentsControl,
    ByColumnControl,
    ListControl,
    PickControl,
    ProductsControl,
)
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
TICKED = ("covariates", "baseline_covariates")
"""Fields that usually hold many columns, so that all are shown with a box each."""
SLIDERS: Mapping[str, tuple[float, float]] = {
    "caliper": (2, 0.01),
    "truncate": (1, 0.005),
    "trim": (0.3, 0.005),
}
"""Numbers that are tried out: the end of the slider and its step."""


def control(name: str, spec: Any, prompts: Mapping[str, str]) -> Control:
    """The control for a field. `prompts` are the headings that a field of words has, if they are given."""
    if prompts:
        return ArgumentsControl(name, spec, prompts)
    if name in SLIDERS:
        return SliderControl(name, spec, *SLIDERS[name])
    if name in TICKED:
        return TicksControl(name, spec)
    if name in BY_COLUMN:
        return ByColumnControl(name, spec)
    if name == "donors":
        return DonorsControl(name, spec)
    return ProductsControl(name, spec) if name == "interactions" else BY_ROLE[spec.role](name, spec)
