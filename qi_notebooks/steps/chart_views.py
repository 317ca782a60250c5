"""Further views of a measure: a family of measures, organisations in a funnel, days on a safety cross."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from collections.abc import Callable
from typing import Any, cast

import pandas as pd

import qieval as qe
from qi_notebooks import look
from qi_notebooks.chart_form import chart_of
from qi_notebooks.steps.base import Step, waiting_for

TYPES = ("outcome", "process", "balancing")
MOST_MEASURES = 12
OPTIONAL = "(none)"
OWN = ("events", "rebase", "left_out", "baseline_until", "target", "arguments", "question", "measured_in")
"""Fields that belong to one measure alone."""


class MoreViews(Step):
    """Other pictures of the same data; all may be left out."""

    name = "More views"
    purpose = (
        "Optional. A family of measures shows whether an improvement in one place costs something in "
        "another. A funnel shows whether organisations differ by more than chance. A safety cross shows days."
    )

    def missing(self) -> str:
        return waiting_for(self.study.design)

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._for: Any = None
        self.shown = {name: look.text() for name in ("family", "funnel", "cross")}
        parts = {
            "A family of measures": self._family_panel(),
            "Organisations in a funnel": self._funnel_panel(),
            "A safety cross of days": self._cross_panel(),
        }
        return [widgets.Accordion(list(parts.values()), titles=tuple(parts), selected_index=None)]

    def follow(self) -> None:
        """Offer the columns of the data, once for each data set and design."""
        if self._for == (id(self.study.data), self.study.design):
            return
        self._for = (id(self.study.data), self.study.design)
        offers = self.app.form.offers
        design = self.study.design
        if offers is None or design is None:
            return
        names = [str(name) for name in offers.described["column"]]
        taken = (design.outcome, design.time)
        others = [name for name in names if name not in (*taken, design.denominator)]
        numbers = [name for name in offers.columns("numeric") if name not in taken]
        _offer(self._further, numbers)
        _offer(self._names, [OPTIONAL, *self._naming(others)])
        _offer(self._unit, [OPTIONAL, *self._naming(others)])
        _offer(self._days, offers.columns("time"))
        _offer(self._events, [OPTIONAL, *[name for name in offers.columns("numeric") if name != design.time]])

    def _naming(self, columns: list[str]) -> list[str]:
        """Columns whose values may be names of measures or organisations: no identifiers, no long lists."""
        offers: Any = self.app.form.offers
        table: Any = offers.described.set_index("column")
        return [
            name
            for name in columns
            if not table.loc[name, "suspicious"] and 1 < int(table.loc[name, "distinct"]) <= 500
        ]

    def _family_panel(self) -> Any:
        import ipywidgets as widgets

        self._further = widgets.SelectMultiple(description="Further measures", rows=5)
        self._names = widgets.Dropdown(description="Or the column that names the measures")
        said = (
            "Choose further columns of the table (Ctrl + click for several), or, where each measure has rows "
            "of its own, the column that names them. Four to seven measures are usual."
        )
        return self._panel(said, (self._further, self._names), "Draw the family", self._family, "family")

    def _funnel_panel(self) -> Any:
        import ipywidgets as widgets

        self._unit = widgets.Dropdown(description="Organisation")
        said = "Events and denominators of each organisation, added up over the periods of the data."
        return self._panel(said, (self._unit,), "Draw the funnel", self._funnel, "funnel")

    def _cross_panel(self) -> Any:
        import ipywidgets as widgets

        self._days = widgets.Dropdown(description="Date of the event")
        self._events = widgets.Dropdown(description="Number of events on the day")
        self._what = widgets.Text("Events", description="What happened", continuous_update=False)
        said = "One row for each event, or one row for each day with the number of events."
        return self._panel(
            said, (self._days, self._events, self._what), "Draw the safety cross", self._cross, "cross"
        )

    def _panel(
        self, said: str, fields: tuple[Any, ...], words: str, action: Callable[[], Any], name: str
    ) -> Any:
        import ipywidgets as widgets

        for held in fields:
            held.add_class("qi-control")
        grid = widgets.Box(fields)
        grid.add_class("qi-fields")
        button = self.button(words, lambda: self._draw(name, action()))
        return widgets.VBox([look.text(look.note(said)), grid, self.actions(button), self.shown[name]])

    def _draw(self, name: str, made: Any) -> None:
        self.shown[name].value = made._repr_html_() + look.picture(qe.plot(made), repr(made))

    def _family(self) -> Any:
        naming = self._names.value
        if naming and naming != OPTIONAL:
            designs, frames = by_name(self.study.design, self._frame(), naming)
            return qe.charts.family(cast("dict[str, qe.ChartDesign]", designs), frames)
        if not self._further.value:
            raise qe.DesignError(
                "measures: nothing is chosen. Choose further columns, or the one that names them."
            )
        together = side_by_side(self.study.design, self._further.value)
        return qe.charts.family(cast("list[qe.ChartDesign]", together), self._frame())

    def _funnel(self) -> Any:
        design = self.study.design
        if self._unit.value in (None, OPTIONAL) or design.denominator is None:
            raise qe.DesignError(
                "organisation: a funnel needs the column of the organisation, and a denominator in step 2."
            )
        given = {"per": design.per, "better": design.better}
        return qe.charts.funnel(self._frame(), design.outcome, design.denominator, self._unit.value, **given)

    def _cross(self) -> Any:
        counts = None if self._events.value == OPTIONAL else self._events.value
        return qe.charts.safety_cross(
            self._frame(), self._days.value, counts, what=self._what.value.strip() or "Events"
        )

    def _frame(self) -> pd.DataFrame:
        data = self.study.data
        return data.frame if isinstance(data, qe.Extract) else data


def side_by_side(design: Any, further: tuple[str, ...]) -> list[qe.Design]:
    """The chart itself and one for each further column of the table, with the chart that fits it."""
    shared = {name: held for name, held in design.stated().items() if name in ("time", "rules")}
    return [design, *(qe.ControlChart(outcome=name, **shared) for name in further)]


def by_name(
    design: Any, frame: pd.DataFrame, naming: str
) -> tuple[dict[str, qe.Design], dict[str, pd.DataFrame]]:
    """A chart for each value of a column, and its rows; a column of the types of measures is found by itself.

    DesignError when there are more measures than anybody can follow.
    """
    names = sorted(frame[naming].dropna().unique().tolist(), key=str)
    if len(names) > MOST_MEASURES:
        raise qe.DesignError(
            f"measures: '{naming}' names {len(names)} measures; more than {MOST_MEASURES} are not drawn,"
            " because nobody could follow them. Choose another column, or fewer rows."
        )
    stated = {name: held for name, held in design.stated().items() if name not in (*OWN, "measure")}
    kind = {} if isinstance(design, qe.ControlChart) else {"kind": "run"}
    designs, data = {}, {}
    for name in names:
        rows = frame[frame[naming] == name]
        designs[str(name)] = chart_of({**stated, **kind, "measure": _type(rows)})
        data[str(name)] = rows
    return designs, data


def _type(rows: pd.DataFrame) -> str:
    """What kind of measure the rows say that they are."""
    for column in rows:
        said = set(rows[column].dropna().unique().tolist())
        if len(said) == 1 and (found := said & set(TYPES)):
            return str(found.pop())
    return "not stated"


def _offer(widget: Any, options: list[str]) -> None:
    """Other options; what was chosen stays where it is still among them, else the first is."""
    held = widget.value
    widget.options = options
    if isinstance(held, tuple):
        widget.value = tuple(item for item in held if item in options)
    elif options:
        widget.value = held if held in options else options[0]
