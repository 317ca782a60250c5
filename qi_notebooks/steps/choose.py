"""The step in which a comparison is settled: settings on one side, what they do at once on the other."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

import time
from collections.abc import Callable
from typing import Any, ClassVar

import qieval as qe
from qi_notebooks import live, live_donors, live_series, look
from qi_notebooks.steps.base import Step, since_locked, waiting_for

SEARCH_FIRST = "The settings have changed. Press 'Search' to see the balance that they reach."
SLOW = 0.3
"""Seconds from which on it is said that work is going on."""


class Choose(Step):
    """Which settings make the groups alike; the outcome stays closed."""

    name = "Choose"
    purpose = (
        "Move the settings and watch the balance. Look for small differences that leave out few people. No "
        "outcome is read here, so you may try as much as you like; what you leave set is the design."
    )
    pictures: ClassVar[tuple[Callable[[Any], str], ...]] = (
        live.numbers,
        live.love,
        live.overlap,
        live.search,
    )
    """What is drawn of a trial, in order."""

    def missing(self) -> str:
        looked = "" if self.study.looked or self.study.settled else "Waiting: run the design checks first."
        return waiting_for(self.study.design) or looked

    def done(self) -> bool:
        return bool(self.study.current)

    @property
    def searches(self) -> bool:
        """Whether trying takes a search, which is not started without being asked."""
        return "evaluations" in qe.fields_of(self.study.method.design)

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._standing, self._trouble = look.text(), look.text()
        self.drawn = {draw.__name__: look.text() for draw in self.pictures}
        self._took = 0.0
        button = self.actions(self.button("Search", self.study.try_design, primary=True))
        settings = widgets.VBox([self.app.form.shown("choose"), *([button] if self.searches else [])])
        seen = widgets.VBox([self._trouble, *self.drawn.values()])
        side_by_side = widgets.Box([settings, seen])
        side_by_side.add_class("qi-choose")
        return [self._standing, side_by_side, self.app.form.folded("choose")]

    def follow(self) -> None:
        self._standing.value = "" if self.study.protocol is None else since_locked(self.study)
        if not self.study.current:
            self._trouble.value = self._tried()
        elif self._trouble.value:
            self._trouble.value = ""
        for draw in self.pictures:
            self.drawn[draw.__name__].value = "" if self.study.trial is None else draw(self.study.trial)

    def carry_out(self) -> None:
        self.study.try_design()

    def plain(self) -> str:
        return "".join(draw(self.study.trial) for draw in self.pictures)

    def _tried(self) -> str:
        """Try the design as it stands; in words why that is not possible, or not done yet."""
        if self.searches and self.study.before is None:
            return look.note(SEARCH_FIRST)
        if self._took > SLOW:
            self._trouble.value = look.note("Fitting ...")
        begun = time.perf_counter()
        try:
            self.study.try_design()
        except qe.QievalError as problem:
            self.app.form.complain(problem)
            below = "" if self.study.trial is None else " Below is what was tried before."
            return look.problems([*problem.problems[:-1], f"{problem.problems[-1]}{below}"])
        finally:
            self._took = time.perf_counter() - begun
        return ""


class ChooseDonors(Choose):
    """Which donors and settings reproduce the treated before the start; what follows stays closed."""

    purpose = (
        "Tick the units that may be donors and watch how well they reproduce the treated unit before the "
        "start. Keep out units that had something of their own, and units that are quite unlike; keep the "
        "rest, since donors chosen by their fit alone fit by chance. No outcome from the start on is read "
        "here; what you leave set is the design."
    )
    pictures: ClassVar[tuple[Callable[[Any], str], ...]] = (
        live_donors.numbers,
        live_donors.paths,
        live_donors.gaps,
        live_donors.weights,
        live_donors.shared,
        live_donors.remarks,
    )


class ChooseSeries(Choose):
    """Which trend and season describe the series before the start; what follows stays closed."""

    purpose = (
        "Say when the change should show and in which form, and describe how the series moves by itself. "
        "Look for a line that follows the dots without chasing them, and for residuals in which nothing is "
        "left. No outcome from the start on is read here; what you leave set is the design."
    )
    pictures: ClassVar[tuple[Callable[[Any], str], ...]] = (
        live_series.numbers,
        live_series.course,
        live_series.residuals,
        live_series.autocorrelation,
        live_series.remarks,
    )
