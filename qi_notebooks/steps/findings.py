"""The steps that look at outcomes: estimate, assumptions, sensitivity."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from typing import Any, ClassVar

import qieval as qe
from qi_notebooks import look, views
from qi_notebooks.alterations import Alteration, suggestions
from qi_notebooks.offers import Offers
from qi_notebooks.steps.base import Step, outcome_fields, waiting_for

EVIDENCE = "Each check with its evidence"


class Estimate(Step):
    """The effect."""

    name = "Estimate"
    headline: ClassVar[bool] = True
    """Whether the headline stands above the table."""
    purpose = (
        "The effect in the units of the outcome, with its interval. From now on every change of a field "
        "estimates again at once, and what was changed since the design was locked is named."
    )

    def missing(self) -> str:
        locked = "" if self.study.settled else "Waiting: lock the design first, or go on without locking."
        return waiting_for(self.study.design) or locked

    def done(self) -> bool:
        return self.study.result is not None

    def controls(self) -> list[Any]:
        self._shown = look.text()
        self._drawn: Any = None
        self._outcome = outcome_fields(self.app, "What is measured afterwards, and how the effect is told.")
        run = self.actions(self.button("Estimate the effect", self._run, primary=True))
        return [self._outcome, run, self._shown]

    def follow(self) -> None:
        result = self.study.result
        if self._drawn is result:
            return
        self._drawn = result
        if result is None:
            self._shown.value = ""
            return
        said = self.told(result)
        self._shown.value = said + look.note("Drawing the pictures ...")
        self._shown.value = said + self._pictures(result)

    def told(self, result: qe.Result) -> str:
        """What is said of a result, as HTML without pictures."""
        return views.estimate(result, headline=self.headline)

    def _pictures(self, result: qe.Result) -> str:
        """The large pictures, or in words why they are not drawn."""
        return views.pictures(result, self.study.few_people)

    def carry_out(self) -> None:
        self.study.estimate()

    def plain(self) -> str:
        return self.told(self.study.result) + views.pictures(self.study.result, self.study.few_people)

    def _run(self) -> None:
        self.study.estimate()


class Assumptions(Step):
    """What the estimate takes for granted, and what speaks for and against it."""

    name = "Assumptions"
    purpose = (
        "Every assumption of the method, tested or not. No data can prove an assumption: passing a check "
        "means that this check found nothing. Where no data can speak, your argument is shown as an "
        "argument."
    )

    def missing(self) -> str:
        return "" if self.study.result is not None else "Waiting: estimate the effect first."

    def done(self) -> bool:
        return self.study.checks is not None

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._ledger, self._evidence = look.text(), look.text()
        self._drawn: Any = None
        self._drawn_checks: Any = None
        title = "Your arguments for what no data can test"
        return [
            self.actions(self.button("Examine the assumptions", self._run, primary=True)),
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
        # A changed argument alters the ledger, but none of the checks and pictures.
        held = None if made is None else made.checks
        if self._drawn_checks is not held:
            self._drawn_checks = held
            self._evidence.value = "" if made is None else views.checks(made, EVIDENCE, self.study.few_people)

    def carry_out(self) -> None:
        self.study.diagnose()

    def plain(self) -> str:
        return self.study.checks._repr_html_() + views.checks(
            self.study.checks, EVIDENCE, self.study.few_people
        )

    def _run(self) -> None:
        self.study.diagnose()


class Sensitivity(Step):
    """How the estimate moves when the design is altered."""

    name = "Sensitivity"
    purpose = (
        "Does the answer hang on one choice? The estimate is made again with one field altered at a time. "
        "Tick what to alter; this step may be left out, and the report says so then."
    )

    def missing(self) -> str:
        return "" if self.study.checks is not None else "Waiting: examine the assumptions first."

    def done(self) -> bool:
        return self.study.variation is not None

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._ticks = widgets.VBox()
        self._boxes: list[tuple[Alteration, Any]] = []
        self._shown, self._beside = look.text(), look.text()
        self._drawn: Any = None
        self._drawn_panel: Any = None
        self._offered_for: Any = None
        buttons = [self.button("Estimate under altered designs", self._run, primary=True)]
        if self._has_others:
            buttons.append(self.button("Compare with other methods", self.study.compare))
        return [self._ticks, self.actions(*buttons), self._shown, self._beside]

    @property
    def _has_others(self) -> bool:
        """Whether other methods answer the same question from the same rows."""
        rollout = issubclass(self.study.method.design, qe.StaggeredAdoption)
        return rollout or ("choose" in self.app.by_name and not self.study.one_series)

    def follow(self) -> None:
        if self._offered_for != self.study.design:
            self._offered_for = self.study.design
            self._offer()
        if self._drawn is not self.study.variation:
            self._drawn = self.study.variation
            self._shown.value = "" if self._drawn is None else views.variation(self._drawn)
        if self._drawn_panel is not self.study.panel:
            self._drawn_panel = self.study.panel
            self._beside.value = "" if self._drawn_panel is None else views.side_by_side(self._drawn_panel)

    def carry_out(self) -> None:
        offers = Offers(self.study.data)
        usual = [item for item in suggestions(self.study.design, offers, self.study.result) if item.usual]
        self.study.vary({item.field: item.values for item in usual})
        if self._has_others:
            self.study.compare()

    def plain(self) -> str:
        beside = "" if self.study.panel is None else views.side_by_side(self.study.panel)
        return views.variation(self.study.variation) + beside

    def _offer(self) -> None:
        import ipywidgets as widgets

        for _, box in self._boxes:
            box.close()
        offers = self.app.form.offers
        found = suggestions(self.study.design, offers, self.study.result) if offers is not None else []
        self._boxes = [
            (
                item,
                widgets.Checkbox(
                    value=item.usual, description=item.title, indent=False, layout={"width": "auto"}
                ),
            )
            for item in found
        ]
        self._ticks.children = tuple(box for _, box in self._boxes)

    def _run(self) -> None:
        chosen = {item.field: item.values for item, box in self._boxes if box.value}
        if not chosen:
            raise qe.DesignError(
                "sensitivity: nothing is ticked, so there is nothing to alter. Tick at least one line."
            )
        self.study.vary(chosen)
