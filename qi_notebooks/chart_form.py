"""The form of improvement charts: one list of charts, from the run chart to the limits of each kind."""

from collections.abc import Mapping
from typing import Any

import qieval as qe
from qi_notebooks import layout, look
from qi_notebooks.field_controls import RUN
from qi_notebooks.form import Form

SAID = {
    "question": "What you measure, for whom and where, in one sentence.",
    "events": "What happened when, such as tests of change or new staff; the chart numbers them.",
    "kind": "The chart that fits the type of the data is chosen for you, with the reason beside it.",
    "measured_in": "The units of the measure, such as 'falls per 1,000 bed days'.",
}
"""What fields mean on a chart, where the words of evaluations would mislead."""
TITLES = {
    "question": "What you measure",
    "outcome": "Measure",
    "per": "Per how many",
    "better": "Better is",
    "measure": "Kind of measure",
}
"""What the fields are called on a chart."""


def chart_of(values: Mapping[str, Any]) -> qe.Design:
    """A RunChart or a ControlChart with these fields; what a run chart does not have is passed over."""
    if values.get("kind") != RUN:
        return qe.ControlChart(**values)
    known = qe.fields_of(qe.RunChart)
    return qe.RunChart(**{name: held for name, held in values.items() if name in known})


def design_of(design_class: type[qe.Design], values: Mapping[str, Any]) -> qe.Design:
    """The design of a class with these fields; for charts the kind may say that it is a run chart."""
    if not layout.follows_a_measure(design_class):
        return design_class(**values)
    return chart_of({**values, "kind": RUN} if design_class is qe.RunChart else values)


class ChartForm(Form):
    """The form of a ControlChart in which the kind can also be a run chart, with the rules of each.

    >>> form = ChartForm(qe.RunChart, qe.example("ward_falls"))
    >>> form.set(outcome="falls", time="month")
    >>> form.design()
    RunChart(outcome='falls', time='month')
    """

    def __init__(self, design_class: type[qe.Design], data: Any = None, **values: Any) -> None:
        self._kind = {"kind": RUN} if design_class is qe.RunChart else {}
        super().__init__(qe.ControlChart, data, **values)
        for name, words in SAID.items():
            self.controls[name].help.value = look.note(words)
        for name, words in TITLES.items():
            self.controls[name].inner.description = words

    def _made(self) -> qe.Design:
        return chart_of(self.values())

    def _defaults(self) -> dict[str, Any]:
        return {**super()._defaults(), **self._kind}

    def _refill(self) -> None:
        super()._refill()
        design = qe.RunChart if self.held("kind") == RUN else qe.ControlChart
        self.controls["rules"].offer(qe.fields_of(design)["rules"].choices)
