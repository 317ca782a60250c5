"""Estimates that follow what is moved beside them: the start of a series, the bandwidth around a cutoff."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from collections.abc import Callable
from typing import Any, ClassVar

import qieval as qe
from qi_notebooks import layout, live_series, look
from qi_notebooks.steps.base import since_locked
from qi_notebooks.steps.findings import Estimate

LATER = "The numbers of this design follow when you pause."
ON_DEMAND = "Press 'Estimate the effect' for the large pictures of this design."
BEFORE = "Below is what was estimated before."


class EstimateMoved(Estimate):
    """The effect, and what becomes of it at once when a setting is moved."""

    headline = False
    pictures: ClassVar[tuple[Callable[[qe.Result], str], ...]]
    """What is drawn at once, in order."""

    def settings(self) -> Any:
        """The widgets that are moved."""
        return self.app.form.fields(*layout.moved(self.study.method.design))

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        _, run, _ = super().controls()
        self._standing, self._trouble, self._sentence = look.text(), look.text(), look.text()
        self.drawn = {draw.__name__: look.text() for draw in self.pictures}
        self._seen: Any = None
        self._asked = False
        seen = widgets.VBox([self._trouble, self._sentence, *self.drawn.values()])
        self._moved = widgets.Box([self.settings(), seen])
        self._moved.add_class("qi-choose")
        self._moved.layout.display = "none"
        return [run, self._standing, self._moved, self._shown]

    def follow(self) -> None:
        begun = self.study.begun and self.study.design is not None
        self._moved.layout.display = None if begun else "none"
        if not begun:
            self._standing.value = self._shown.value = ""
            self._drawn = None
            return
        self._standing.value = since_locked(self.study)
        self._trouble.value = self._peeked()
        self._draw(self.study.glimpse)
        if self.study.result is None:
            self._drawn = None
            self._shown.value = look.note(LATER) if self.study.glimpse is not None else ""
            return
        super().follow()

    def plain(self) -> str:
        return "".join(draw(self.study.result) for draw in self.pictures) + super().plain()

    def _run(self) -> None:
        self._asked, self._drawn = True, None
        super()._run()

    def _pictures(self, result: qe.Result) -> str:
        """The large pictures when the button was pressed: drawing them would hold up who moves a slider."""
        asked, self._asked = self._asked, False
        return super()._pictures(result) if asked else look.note(ON_DEMAND)

    def _peeked(self) -> str:
        """Estimate the design as it stands; in words why that is not possible."""
        try:
            self.study.peek()
        except qe.QievalError as problem:
            self.app.form.complain(problem)
            below = "" if self._seen is None else f" {BEFORE}"
            return look.problems([*problem.problems[:-1], f"{problem.problems[-1]}{below}"])
        return ""

    def _draw(self, result: qe.Result | None) -> None:
        if result is None or result is self._seen:
            return
        self._seen = result
        self._sentence.value = qe.markup.paragraph(result.headline, "qi-headline")
        for draw in self.pictures:
            self.drawn[draw.__name__].value = draw(result)


class EstimateSeries(EstimateMoved):
    """The effect, and what becomes of it when the date is moved."""

    purpose = (
        "The effect in the units of the outcome, with its interval. Then move the start, the lag or the "
        "phase-in and watch what was expected: an answer that hangs on one date is a weak one. What was "
        "changed since the design was locked is named."
    )
    pictures: ClassVar[tuple[Callable[[qe.Result], str], ...]] = (live_series.changed, live_series.effect)
