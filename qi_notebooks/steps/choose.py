"""The step in which groups are made alike: settings on one side, balance and overlap at once on the other."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from typing import Any

import qieval as qe
from qi_notebooks import live, look
from qi_notebooks.controls import label
from qi_notebooks.steps.base import Step, waiting_for
from qi_notebooks.study import WORDS

SEARCH_FIRST = "The settings have changed. Press 'Search' to see the balance that they reach."


class Choose(Step):
    """Which settings make the groups alike; the outcome stays closed."""

    name = "Choose"
    purpose = (
        "Move the settings and watch the balance. Look for small differences that leave out few people. No "
        "outcome is read here, so you may try as much as you like; what you leave set is the design."
    )

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

        self._standing, self._numbers, self._trouble = look.text(), look.text(), look.text()
        self._love, self._overlap, self._search = look.text(), look.text(), look.text()
        button = self.actions(self.button("Search", self.study.try_design, primary=True))
        settings = widgets.VBox([self.app.form.shown("choose"), *([button] if self.searches else [])])
        seen = widgets.VBox([self._trouble, self._numbers, self._love, self._overlap, self._search])
        side_by_side = widgets.Box([settings, seen])
        side_by_side.add_class("qi-choose")
        return [self._standing, side_by_side, self.app.form.folded("choose")]

    def follow(self) -> None:
        self._standing.value = self._since_locked()
        if not self.study.current:
            self._trouble.value = self._tried()
        elif self._trouble.value:
            self._trouble.value = ""
        self._numbers.value = self._drawn(live.numbers)
        self._love.value = self._drawn(live.love)
        self._overlap.value = self._drawn(live.overlap)
        self._search.value = self._drawn(live.search)

    def carry_out(self) -> None:
        self.study.try_design()

    def plain(self) -> str:
        drawn = (live.numbers, live.love, live.overlap, live.search)
        return "".join(draw(self.study.trial) for draw in drawn)

    def _tried(self) -> str:
        """Try the design as it stands; in words why that is not possible, or not done yet."""
        if self.searches and self.study.before is None:
            return look.note(SEARCH_FIRST)
        try:
            self.study.try_design()
        except qe.QievalError as problem:
            self.app.form.complain(problem)
            below = "" if self.study.trial is None else " Below is what was tried before."
            return look.problems([*problem.problems[:-1], f"{problem.problems[-1]}{below}"])
        return ""

    def _drawn(self, draw: Any) -> str:
        return "" if self.study.trial is None else str(draw(self.study.trial))

    def _since_locked(self) -> str:
        held = self.study.protocol
        if held is None:
            return ""
        changes = [item for item in held.changes(self.study.design) if item[0] not in WORDS]
        if not changes:
            return look.note("The design is locked. A change here makes the study exploratory.")
        said = "; ".join(f"{label(name)} was {old!r}, now {new!r}" for name, old, new in changes)
        return look.problems([f"Exploratory: changed since the protocol was locked: {said}."])
