"""The steps of an improvement chart: what is measured, the chart, its signals, and what to know about them.

A chart compares with nothing, so nothing here says that a change worked, or why a measure moved.
"""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from typing import Any

import qieval as qe
from qi_notebooks import live_charts, look, views
from qi_notebooks.steps.base import Step, waiting_for
from qi_notebooks.steps.before import DataStep, Question
from qi_notebooks.steps.output import ReportStep

BEFORE = "Below is what was drawn before."
EVALUATE = (
    "To ask why it changed, evaluate: with many points before and after and no one to compare with, use the "
    "notebook of interrupted time series; with other places, difference-in-differences or synthetic control."
)


class Measure(Question):
    """What is followed over time."""

    name = "Measure"
    purpose = "Say in one sentence what you measure, for whom and where."

    def plain(self) -> str:
        said = getattr(self.study.design, "question", "") or "Nothing has been written."
        return qe.markup.paragraph(said)


class ChartData(DataStep):
    """Which data, and what their columns are."""

    purpose = (
        "Choose an example or a file of your own, then say what its columns are, and which direction is "
        "better for patients. Only column names, periods and totals are shown, never rows."
    )


class DrawChart(Step):
    """The chart, drawn again with every setting."""

    name = "Chart"
    purpose = (
        "The kind of chart follows from the type of the data, and the reason is said. Fix the baseline at "
        "the end of a stable stretch before you start a test of change. Give the lines a new beginning only "
        "where you know of a reason, never because the chart would look better."
    )

    def missing(self) -> str:
        return waiting_for(self.study.design)

    def done(self) -> bool:
        return self.study.glimpse is not None

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._trouble, self._sentence, self._picture = look.text(), look.text(), look.text()
        self._seen: Any = None
        seen = widgets.VBox([self._trouble, self._sentence, self._picture])
        side_by_side = widgets.Box([self.app.form.shown("choose"), seen])
        side_by_side.add_class("qi-choose")
        return [side_by_side, self.app.form.folded("choose")]

    def follow(self) -> None:
        self._trouble.value = self._drawn()
        result = self.study.glimpse
        if result is not None and result is not self._seen:
            self._seen = result
            self._sentence.value = live_charts.sentence(result)
            self._picture.value = live_charts.chart(result)

    def carry_out(self) -> None:
        self.study.peek()

    def plain(self) -> str:
        return live_charts.sentence(self.study.glimpse) + live_charts.chart(self.study.glimpse)

    def _drawn(self) -> str:
        """Draw the chart of the design as it stands; in words why that is not possible."""
        try:
            self.study.peek()
        except qe.QievalError as problem:
            self.app.form.complain(problem)
            below = "" if self._seen is None else f" {BEFORE}"
            return look.problems([*problem.problems[:-1], f"{problem.problems[-1]}{below}"])
        return ""


class Signals(Step):
    """What chance would hardly make."""

    name = "Signals"
    purpose = (
        "Which points or runs are more than chance would make. A signal is a reason to ask what happened "
        "then; no signal is no proof that nothing changed."
    )

    def missing(self) -> str:
        return waiting_for(self.study.design)

    def done(self) -> bool:
        return self.study.result is not None

    def controls(self) -> list[Any]:
        self._shown = look.text()
        self._drawn: Any = None
        return [self.actions(self.button("Read the signals", self._run, primary=True)), self._shown]

    def follow(self) -> None:
        if self._drawn is self.study.result:
            return
        self._drawn = self.study.result
        self._shown.value = "" if self._drawn is None else self.plain()

    def carry_out(self) -> None:
        self.study.estimate()

    def plain(self) -> str:
        return views.signals(self.study.result) + look.note(EVALUATE)

    def _run(self) -> None:
        self.study.estimate()


class ChartChecks(Step):
    """What the chart takes for granted."""

    name = "Checks"
    purpose = (
        "What the lines and rules take for granted: enough points, a stable baseline, points that do not "
        "hang together, one definition all the time. Where no data can speak, say what you know."
    )

    def missing(self) -> str:
        return "" if self.study.result is not None else "Waiting: read the signals first."

    def done(self) -> bool:
        return self.study.checks is not None

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._ledger, self._evidence = look.text(), look.text()
        self._drawn: Any = None
        title = "What you know that no data can show"
        return [
            self.actions(self.button("Check the chart", self._run, primary=True)),
            self._ledger,
            widgets.Accordion([self.app.form.arguments], titles=(title,), selected_index=None),
            self._evidence,
        ]

    def follow(self) -> None:
        made = self.study.checks
        if self._drawn is made:
            return
        self._drawn = made
        self._ledger.value = "" if made is None else made._repr_html_()
        self._evidence.value = "" if made is None else self._found()

    def carry_out(self) -> None:
        self._run()

    def plain(self) -> str:
        return self.study.checks._repr_html_() + self._found()

    def _found(self) -> str:
        return views.checks(self.study.checks, "Each check with what it found")

    def _run(self) -> None:
        self.study.diagnose()


class ChartReport(ReportStep):
    """One self-contained file with the chart."""

    purpose = (
        "One HTML file with the measure, the chart, its signals and what to know about them. It works "
        "without a network, and small numbers of people are suppressed in it."
    )

    def missing(self) -> str:
        return "" if self.study.checks is not None else "Waiting: check the chart first."
