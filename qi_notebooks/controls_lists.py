"""Controls of fields that hold several things: columns, words under headings, settings by column."""

# What the methods of each class promise is said once, in Control.
# ruff: noqa: D102

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

import qieval as qe
from qi_notebooks import look
from qi_notebooks.controls import CHOOSE, Control, area, label, nothing, show


class ArgumentsControl(Control):
    """Words of the user under given headings: one area for each, with what to think about."""

    wide = True

    def __init__(self, name: str, spec: Any, prompts: Mapping[str, str]) -> None:
        self._areas = {heading: area(heading.capitalize(), 3) for heading in prompts}
        for held in self._areas.values():
            held.add_class("qi-control")
        self._others: dict[str, str] = {}
        rows = [
            part
            for heading, held in self._areas.items()
            for part in (held, look.text(look.note(prompts[heading])))
        ]
        super().__init__(name, spec, widgets.VBox(rows))

    def get(self) -> Any:
        said = {heading: held.value.strip() for heading, held in self._areas.items()}
        return {heading: words for heading, words in {**self._others, **said}.items() if words}

    def set(self, held: Any) -> None:
        self._others = {heading: words for heading, words in held.items() if heading not in self._areas}
        for heading, box in self._areas.items():
            box.value = held.get(heading, "")

    def watch(self, changed: Callable[[], None]) -> None:
        for box in self._areas.values():
            box.observe(lambda _change: self._touched(changed), names="value")


@dataclass(frozen=True)
class Headings:
    """What the two parts of a line are called, what the second looks like, and whether it may be empty."""

    first: str
    second: str
    example: str
    empty: bool = False
    like: str = "2022-04"


EVENTS = Headings("When", "What happened, and to whom", "")
BY_COLUMN: Mapping[str, Headings] = {
    "calipers": Headings("Characteristic", "How far apart partners may lie", "5, or 0.25 sd"),
    "cutpoints": Headings("Characteristic", "Where it is cut", "20, 30, 40 or 5 bins"),
    "measured": Headings("Characteristic", "The column with its date", "recorded_on"),
    "predictors": Headings(
        "Characteristic",
        "Mean over which periods",
        "all before the start; or 2015 to 2018; or 2015; 2018",
        True,
    ),
    "predictor_weights": Headings("Predictor", "How much it counts", "1"),
    "effect_at": Headings("Characteristic", "At which values the effect is given", "60; 80"),
    "not_donors": Headings("Unit", "Why it is no donor", "it merged with its neighbour in 2018", empty=True),
}
"""Fields whose headings are columns of the data, or units."""
BY_PERIOD: Mapping[str, Headings] = {
    "left_out": Headings(
        "Period, or 'first to last'", "Why it is left out", "the ward was closed", empty=True
    ),
    "rebase": Headings("First period of the new lines", "Why", "a new way of counting", empty=True),
}
"""Fields whose headings are periods, each with a reason."""


BY_MODEL: Mapping[str, Headings] = {
    "own_learners": Headings(
        "Model: outcome or score",
        "Class of scikit-learn",
        "sklearn.ensemble.ExtraTreesRegressor",
        like="outcome",
    ),
}
"""Fields whose headings are models."""


class ListControl(Control):
    """Headings and words of the user, such as dates and what happened then: a list to add to.

    Words of several lines with the same heading are joined by ';'.
    """

    wide = True
    headings = EVENTS

    def __init__(self, name: str, spec: Any) -> None:
        self.headings = {**BY_PERIOD, **BY_MODEL}.get(name, self.headings)
        self._changed: Callable[[], None] = nothing
        self._rows: list[Any] = []
        self._list = widgets.VBox()
        add = widgets.Button(description="Add a line", icon="plus")
        add.on_click(lambda _button: self._add("", ""))
        title = look.text(f"<b>{qe.markup.escape(label(name))}</b>")
        super().__init__(name, spec, widgets.VBox([title, self._list, add]))

    def get(self) -> Any:
        found: dict[str, str] = {}
        for row in self._rows:
            heading, words = (row.children[0].value or "").strip(), row.children[1].value.strip()
            if heading and (words or self.headings.empty):
                found[heading] = f"{found[heading]}; {words}" if found.get(heading) else words
        return found

    def set(self, held: Any) -> None:
        self._rows = []
        self._list.children = ()
        for heading, words in held.items():
            self._add(heading, words)
        self._touched(self._changed)

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def _first(self, heading: str) -> Any:
        """The widget for a heading."""
        return widgets.Text(
            heading,
            description=self.headings.first,
            continuous_update=False,
            placeholder=self.headings.like,
        )

    def _add(self, heading: str, words: str) -> None:
        first = self._first(heading)
        second = widgets.Text(
            words,
            description=self.headings.second,
            continuous_update=False,
            placeholder=self.headings.example,
        )
        second.add_class("qi-long")
        remove = widgets.Button(description="Remove", tooltip="Remove this line")
        row = widgets.HBox([first, second, remove])
        row.add_class("qi-actions")
        for part in (first, second):
            part.add_class("qi-control")
            part.observe(lambda _change: self._touched(self._changed), names="value")
        remove.on_click(lambda _button: self._remove(row))
        self._rows.append(row)
        self._list.children = tuple(self._rows)

    def _remove(self, row: Any) -> None:
        self._rows.remove(row)
        self._list.children = tuple(self._rows)
        self._touched(self._changed)


class ByColumnControl(ListControl):
    """Settings of single columns, such as a width for each: a list to add to."""

    def __init__(self, name: str, spec: Any) -> None:
        self.headings = BY_COLUMN[name]
        self._columns: tuple[Any, ...] = ()
        super().__init__(name, spec)

    def offer(self, offered: Sequence[Any]) -> None:
        """Offer these columns in every row; what was chosen stays."""
        if self._columns == tuple(offered):
            return
        self._columns = tuple(offered)
        self._quiet = True
        for row in self._rows:
            held = row.children[0].value
            row.children[0].options = self._options(held)
            show(row.children[0], held)
        self._quiet = False

    def _first(self, heading: str) -> Any:
        made = widgets.Dropdown(options=self._options(heading or None), description=self.headings.first)
        show(made, heading or None)
        return made

    def _options(self, held: Any) -> list[tuple[str, Any]]:
        more = [] if held is None or held in self._columns else [held]
        return [(CHOOSE, None), *((str(item), item) for item in (*self._columns, *more))]


class PickControl(Control):
    """Several columns out of many: each is picked from a list and can be put back."""

    def __init__(self, name: str, spec: Any) -> None:
        self._changed: Callable[[], None] = nothing
        self._offered: tuple[Any, ...] = ()
        self._picked: tuple[Any, ...] = ()
        self._pick = widgets.Dropdown(description=label(name), options=[("(add a column)", None)])
        self._pick.add_class("qi-control")
        self._list = widgets.HBox()
        self._list.add_class("qi-actions")
        super().__init__(name, spec, widgets.VBox([self._pick, self._list]))
        self._pick.observe(lambda change: self._take(change["new"]), names="value")

    def get(self) -> Any:
        return self._picked

    def set(self, held: Any) -> None:
        wanted = (held,) if isinstance(held, str) else tuple(held)
        if wanted != self._picked:
            self._picked = wanted
            self._show()

    def offer(self, offered: Sequence[Any]) -> None:
        if self._offered != tuple(offered):
            self._offered = tuple(offered)
            self._show()

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def _take(self, item: Any) -> None:
        if item is not None and not self._quiet:
            self._alter((*self._picked, item))

    def _alter(self, picked: tuple[Any, ...]) -> None:
        self._picked = picked
        self._show()
        self._touched(self._changed)

    def _show(self) -> None:
        self._quiet = True
        left = [item for item in self._offered if item not in self._picked]
        self._pick.options = [("(add a column)", None), *((str(item), item) for item in left)]
        show(self._pick, None)
        for old in self._list.children:
            old.close()
        self._list.children = tuple(self._put_back(item) for item in self._picked)
        self._quiet = False

    def _put_back(self, item: Any) -> Any:
        made = widgets.Button(description=f"{item} ✕", tooltip=f"Take {item} away")
        made.on_click(lambda _button: self._alter(tuple(other for other in self._picked if other != item)))
        return made


class ProductsControl(Control):
    """Products of columns, written as 'age * sex' and separated by commas."""

    def __init__(self, name: str, spec: Any) -> None:
        inner = widgets.Text(
            description=label(name), continuous_update=False, placeholder="age * sex, age * frailty"
        )
        super().__init__(name, spec, inner)

    def get(self) -> Any:
        parts = self.inner.value.replace(";", ",").split(",")
        return tuple(" ".join(part.split()) for part in parts if part.strip())

    def set(self, held: Any) -> None:
        self.inner.value = held if isinstance(held, str) else ", ".join(held)
