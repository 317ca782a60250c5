"""Controls of values that are typed: a number or a date, numbers, and a choice without a default."""

# What the methods of each class promise is said once, in Control.
# ruff: noqa: D102

from typing import Any

import ipywidgets as widgets

import qieval as qe
from qi_notebooks.controls import CHOOSE, Control, label, show


class TypedControl(Control):
    """A number or a date that is known from elsewhere and typed in; empty where it is not known."""

    def __init__(self, name: str, spec: Any, like: str) -> None:
        inner = widgets.Text(description=label(name), continuous_update=False, placeholder=like)
        super().__init__(name, spec, inner)

    def get(self) -> Any:
        """A number where one is written, else the words as they are; the design's check names wrong ones."""
        said = self.inner.value.strip()
        return None if not said else _amount(said)

    def set(self, held: Any) -> None:
        self.inner.value = "" if held is None else str(held)


class NumbersControl(Control):
    """One or several numbers, separated by commas."""

    def __init__(self, name: str, spec: Any, like: str) -> None:
        inner = widgets.Text(description=label(name), continuous_update=False, placeholder=like)
        super().__init__(name, spec, inner)

    def get(self) -> Any:
        """The numbers. DesignError for what is no number."""
        parts = [part.strip() for part in self.inner.value.replace(";", ",").split(",") if part.strip()]
        found = [_amount(part) for part in parts]
        wrong = [item for item in found if isinstance(item, str)]
        if wrong:
            raise qe.DesignError(
                f"{self.name}: '{wrong[0]}' is not a number. Write numbers with commas between them."
            )
        return tuple(found)

    def set(self, held: Any) -> None:
        several = held if isinstance(held, (tuple, list)) else (held,)
        self.inner.value = ", ".join(str(item) for item in several)


class StatedChoiceControl(Control):
    """One of a few words, none of which is the usual one: nothing is chosen until the user does."""

    def __init__(self, name: str, spec: Any) -> None:
        options = [(CHOOSE, None), *((item, item) for item in spec.choices)]
        super().__init__(name, spec, widgets.Dropdown(options=options, description=label(name)))

    def set(self, held: Any) -> None:
        show(self.inner, held)


def _amount(said: str) -> int | float | str:
    """Words as a number, if they are one."""
    for kind in (int, float):
        try:
            return kind(said)
        except ValueError:
            continue
    return said
