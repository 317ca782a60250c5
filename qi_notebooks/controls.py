"""Controls of the fields of a design: a widget each, with its help and its messages."""

# What the methods of each class promise is said once, in Control.
# ruff: noqa: D102

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

import qieval as qe
from qi_notebooks import look

SLIDER_STEPS = 200
"""Whole numbers with a wider range than this are typed."""
CHOOSE = "(choose)"
NONE = "(none)"
LABELS = {
    "v": "Weights of predictors (V)",
    "per": "Per how many people",
    "selected": "Picked for high or low values",
    "population_sd": "Standard deviation in everybody",
    "population_mean": "Mean in everybody",
}
"""Labels of fields whose names are too short to be understood."""
ARGUED = {"exclusion": "Why the instrument has no other way to the outcome"}
"""The same for fields that are written out in words."""
REMARKS = {"exclusion": " No estimate is shown without it."}
"""What is added to the help of such a field."""


class Control:
    """The control of one field. `get` and `set` speak the design's language; nothing is computed here.

    Subclasses build `inner`, the widget that is labelled with the field's name.
    """

    wide = False

    def __init__(self, name: str, spec: Any, inner: Any) -> None:
        self.name = name
        self.spec = spec
        self.inner = inner
        remark = REMARKS.get(name, "") if spec.role == "text" else ""
        self.help = look.text(look.note(sentence(spec.help) + remark))
        self.message = look.text()
        self._proposed = False
        self._quiet = False
        self._problems: tuple[str, ...] = ()
        inner.add_class("qi-control")
        self.widget = widgets.VBox([inner, self.help, self.message])
        self.widget.add_class("qi-field")
        if self.wide:
            self.widget.add_class("qi-wide")

    def get(self) -> Any:
        """The value as the design wants it."""
        return self.inner.value

    def set(self, held: Any) -> None:
        """Show a value of a design."""
        self.inner.value = held

    def offer(self, offered: Sequence[Any]) -> None:
        """Say what the data offer to choose from. Most controls do not depend on the data."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the user or a program changes the value."""
        self.inner.observe(lambda _change: self._touched(changed), names="value")

    def propose(self, held: Any) -> None:
        """Show a value that was guessed, and say so until the user changes it."""
        self.set(held)
        self._proposed = True
        self._say()

    def complain(self, problems: tuple[str, ...]) -> None:
        """Show what is wrong beside the field; an empty tuple clears it."""
        self._problems = problems
        self._say()

    def _touched(self, changed: Callable[[], None]) -> None:
        if self._quiet:
            return
        if self._proposed:
            self._proposed = False
            self._say()
        changed()

    def _say(self) -> None:
        said = look.note("Proposed from the data. Please check.") if self._proposed else ""
        self.message.value = said + look.problems(self._problems)


class ColumnControl(Control):
    """One column of the data, from those that fit."""

    def __init__(self, name: str, spec: Any) -> None:
        super().__init__(
            name, spec, widgets.Dropdown(options=self._options(spec, []), description=label(name))
        )

    def offer(self, offered: Sequence[Any]) -> None:
        """Change the options; the value stays, even when they lack it, and the form's check names it."""
        held, options = self.inner.value, self._options(self.spec, offered)
        if tuple(options) == tuple(self.inner.options):
            return
        self._quiet = True
        self.inner.options = options
        self.set(held)
        self._quiet = False

    def set(self, held: Any) -> None:
        if held not in [item for _, item in self.inner.options]:
            self.inner.options = [*self.inner.options, (str(held), held)]
        show(self.inner, held)

    @staticmethod
    def _options(spec: Any, offered: Sequence[Any]) -> list[tuple[str, Any]]:
        return [(NONE if spec.optional else CHOOSE, None), *((str(item), item) for item in offered)]


class PeriodControl(ColumnControl):
    """One of the observed periods."""

    @staticmethod
    def _options(spec: Any, offered: Sequence[Any]) -> list[tuple[str, Any]]:
        return [("(all)" if spec.optional else CHOOSE, None), *((str(item), item) for item in offered)]


class SteppedPeriodControl(PeriodControl):
    """One of the observed periods, with buttons that go to the one before and the one after."""

    def __init__(self, name: str, spec: Any) -> None:
        super().__init__(name, spec)
        buttons = []
        for words, step in (("◀ earlier", -1), ("later ▶", 1)):
            button = widgets.Button(
                description=words, tooltip=f"{label(name)}: one period {words.strip('◀▶ ')}"
            )
            button.on_click(lambda _button, step=step: self._move(step))
            buttons.append(button)
        row = widgets.HBox(buttons)
        row.add_class("qi-actions")
        self.widget.children = (self.inner, row, self.help, self.message)

    def _move(self, step: int) -> None:
        """To a neighbouring period, where there is one."""
        at = self.inner.index + step
        if 0 < at < len(self.inner.options):
            self.inner.index = at


class TicksControl(Control):
    """Several of what the data offer: a list of boxes to tick."""

    wide = True

    def __init__(self, name: str, spec: Any) -> None:
        self._changed: Callable[[], None] = nothing
        self._boxes: dict[Any, Any] = {}
        self._list = widgets.Box()
        self._list.add_class("qi-ticks")
        title = look.text(f"<b>{qe.markup.escape(label(name))}</b>")
        super().__init__(name, spec, widgets.VBox([title, self._list]))
        self.offer(())

    def get(self) -> Any:
        return tuple(item for item, box in self._boxes.items() if box.value)

    def set(self, held: Any) -> None:
        wanted = (held,) if isinstance(held, str) else tuple(held)
        self._build([*self._boxes, *(item for item in wanted if item not in self._boxes)])
        for item, box in self._boxes.items():
            box.value = item in wanted

    def offer(self, offered: Sequence[Any]) -> None:
        """Change the boxes; what is ticked stays, even when the data lack it."""
        ticked = self.get()
        self._build([*offered, *(item for item in ticked if item not in offered)])

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def propose(self, held: Any) -> None:
        self._quiet = True
        super().propose(held)
        self._quiet = False

    def _build(self, items: Sequence[Any]) -> None:
        before = self._boxes
        self._boxes = {item: before.get(item) or self._box(item) for item in items}
        nothing = look.text(look.note("There is nothing to choose from."))
        self._list.children = tuple(self._boxes.values()) or (nothing,)
        for item in before.keys() - self._boxes.keys():
            before[item].close()

    def _box(self, item: Any) -> Any:
        box = widgets.Checkbox(description=str(item), indent=False)
        box.observe(lambda _change: self._touched(self._changed), names="value")
        return box


class ChoiceControl(Control):
    """One of a few words."""

    def __init__(self, name: str, spec: Any) -> None:
        super().__init__(name, spec, widgets.Dropdown(options=spec.choices, description=label(name)))

    def offer(self, offered: Sequence[Any]) -> None:
        """Change the words; a value that is no longer among them becomes the first."""
        if tuple(offered) == tuple(self.inner.options):
            return
        held = self.inner.value
        self._quiet = True
        self.inner.options = tuple(offered)
        self.inner.value = held if held in offered else offered[0]
        self._quiet = False


class WordedChoiceControl(Control):
    """One of a few things that are told in more words than a design uses for them."""

    def __init__(self, name: str, spec: Any, words: Mapping[str, str]) -> None:
        options = [(said, held) for held, said in words.items()]
        super().__init__(name, spec, widgets.Dropdown(options=options, description=label(name)))


class NumberControl(Control):
    """A number within limits: a slider for short ranges of whole numbers, else a box to type in."""

    def __init__(self, name: str, spec: Any) -> None:
        limits = {"min": spec.low, "max": spec.high, "description": label(name)}
        if spec.whole and spec.high - spec.low <= SLIDER_STEPS:
            inner = widgets.IntSlider(**limits, continuous_update=False)
        elif spec.whole:
            inner = widgets.BoundedIntText(**limits)
        else:
            inner = widgets.BoundedFloatText(**limits, step=0.01)
        super().__init__(name, spec, inner)


class SliderControl(Control):
    """A number that is tried out rather than known: a slider that reports while it is moved.

    It reaches from the lowest value to `most`, further only where a design holds more.
    """

    def __init__(self, name: str, spec: Any, most: float, step: float) -> None:
        inner = widgets.FloatSlider(
            min=spec.low, max=most, step=step, readout_format=".3f", description=label(name)
        )
        super().__init__(name, spec, inner)

    def set(self, held: Any) -> None:
        self.inner.max = max(self.inner.max, held)
        self.inner.value = held


class WholeSliderControl(Control):
    """A whole number that is tried out: a slider that reports while it is moved, up to `most` or to what a
    design holds."""

    def __init__(self, name: str, spec: Any, most: int) -> None:
        super().__init__(name, spec, widgets.IntSlider(min=int(spec.low), max=most, description=label(name)))

    def set(self, held: Any) -> None:
        self.inner.max = max(self.inner.max, int(held))
        self.inner.value = int(held)


class TextControl(Control):
    """Words of the user."""

    wide = True

    def __init__(self, name: str, spec: Any) -> None:
        super().__init__(name, spec, area(ARGUED.get(name) or label(name), 2))

    def get(self) -> Any:
        return self.inner.value.strip()


def label(name: str) -> str:
    """A field's name as words.

    >>> label("first_period"), label("v")
    ('First period', 'Weights of predictors (V)')
    """
    return LABELS.get(name) or name.replace("_", " ").capitalize()


def sentence(words: str) -> str:
    """A declaration's help as a sentence, without how it is written in Python.

    >>> sentence("what happened: {date: words}")
    'What happened.'
    """
    words = words.split(": {")[0].replace("`", "")
    return f"{words[:1].upper()}{words[1:]}."


def show(dropdown: Any, held: Any) -> None:
    """Choose an option of a dropdown; None is the first one, which an empty value would not show."""
    if held is None:
        dropdown.index = 0
    else:
        dropdown.value = held


def area(words: str, rows: int) -> Any:
    """A box for several lines of text."""
    return widgets.Textarea(description=words, rows=rows, continuous_update=False)


def nothing() -> None:
    """What happens on a change as long as nobody listens."""
