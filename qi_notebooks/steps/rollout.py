"""The estimate of a roll-out, and what other averages of the same effects say."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from typing import Any

import qieval as qe
from qi_notebooks import live_rollout, look
from qi_notebooks.later import Later
from qi_notebooks.steps.findings import Estimate

WORDS = {
    "by cohort, then over cohorts": "group",
    "all treated units and periods alike": "simple",
    "by time since the start": "dynamic",
    "by calendar period": "calendar",
}
"""The averages in words."""
EXPLORED = (
    "Nothing is estimated again: these are other averages of the effects above, with analytic intervals. The"
    " study and its report keep the design until you take an average over into it."
)
ONLY_HERE = "Other averages can be looked at here with the approach 'group-time'."
WAIT = 0.15
"""Seconds of quiet after which a moved slider is followed."""


class EstimateRollout(Estimate):
    """The effect, and other averages of the same effects by cohort and period."""

    purpose = (
        "The effect in the units of the outcome, with its interval. Below it you can average the effects of"
        " cohorts and periods in other ways. From now on every change of a field estimates again at once, and"
        " what was changed since the design was locked is named."
    )

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        held = super().controls()
        self.average = widgets.Dropdown(options=list(WORDS.items()), description="Average")
        self.window = widgets.IntRangeSlider(min=-1, max=1, value=(-1, 1), description="Periods shown")
        self.balanced = widgets.IntSlider(
            min=-1, max=0, value=-1, description="Only cohorts followed for (-1: all)"
        )
        self._follows = Later(self._average_again, WAIT)
        for control in (self.average, self.window, self.balanced):
            control.add_class("qi-control")
            control.observe(lambda _change: self._moved(), names="value")
        self._placing = False
        self._explored: qe.Result | None = None
        self._sentence, self.drawn = look.text(), look.text()
        # Not guarded as other buttons are: the form itself starts the estimate once it has changed.
        take = widgets.Button(description="Take this average into the design")
        take.on_click(lambda _button: self.app.form.set(**self._settings()))
        sliders = widgets.VBox([self.average, self.window, self.balanced, self.actions(take)])
        seen = widgets.VBox([self._sentence, self.drawn])
        self._panel_of_averages = widgets.Box([sliders, seen])
        self._panel_of_averages.add_class("qi-choose")
        self._about = look.text()
        self._panel_of_averages.layout.display = "none"
        return [*held, self._about, self._panel_of_averages]

    def follow(self) -> None:
        before = self._drawn
        super().follow()
        result = self.study.result
        if result is before:
            return
        whole = None if result is None else _all_periods(result)
        self._panel_of_averages.layout.display = "none" if whole is None else None
        self._about.value = "" if result is None else _heading(EXPLORED if whole is not None else ONLY_HERE)
        if whole is not None:
            self._place(result, live_rollout.since_start(whole)["at"].astype(int).tolist())
            self._explore(result)

    def _place(self, result: qe.Result, periods: list[int]) -> None:
        """Put the sliders where the design has them. periods: all since the start that have an effect."""
        design: Any = result.design
        low, high = min(periods), max(periods)
        first, last = design.event_window or (low, high)
        self._placing = True
        self.average.value = design.aggregation
        # The ends move apart before they move together: a slider refuses ends in the wrong order.
        self.window.min, self.window.max = min(self.window.min, low), max(self.window.max, high)
        self.window.value = (max(int(first), low), min(int(last), high))
        self.window.min, self.window.max = low, high
        self.balanced.max = max(live_rollout.longest(result), 0)
        self.balanced.value = min(design.balanced_to, self.balanced.max)
        self._placing = False

    def _moved(self) -> None:
        if not self._placing and self.study.result is not None:
            self._follows()

    def _average_again(self) -> None:
        self.app.attempt(self, self._average, quick=True)

    def _average(self) -> None:
        result = self.study.result
        if result is not None:
            self._explore(qe.aggregate(result, **self._settings()))

    def _settings(self) -> dict[str, Any]:
        """What the sliders say, as fields of the design; the whole window as none."""
        whole = (self.window.min, self.window.max)
        return {
            "aggregation": self.average.value,
            "event_window": () if self.window.value == whole else tuple(self.window.value),
            "balanced_to": self.balanced.value,
        }

    def _explore(self, result: qe.Result) -> None:
        self._explored = result
        self._sentence.value = qe.markup.paragraph(result.headline, "qi-headline")
        self.drawn.value = live_rollout.over_time(result)


def _all_periods(result: qe.Result) -> qe.Result | None:
    """The same result with every period since the start; None where it cannot be averaged again."""
    try:
        return qe.aggregate(result, event_window=(), balanced_to=-1)
    except qe.DesignError:
        return None


def _heading(said: str) -> str:
    return f"<p><b>Other averages of the same effects</b></p>{look.note(said)}"
