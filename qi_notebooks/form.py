"""Any design class as a form: one control for each declared field, filled with what the data offer."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd

import qieval as qe
from qi_notebooks import guess, layout, look
from qi_notebooks.controls import Control
from qi_notebooks.field_controls import control
from qi_notebooks.later import Later
from qi_notebooks.offers import FieldOffers, Offers

WAIT = 0.4
"""Seconds of quiet after which a change counts as made: not every step of a slider is worth a fit."""


class Form:
    """Widgets for a design, made from the declarations of its fields.

    `design()` gives the design or raises a DesignError, shown beside the fields that it is about. `set(...)`
    fills fields; `propose()` fills empty ones with guesses, marked as such; `observe(callback)` calls back
    once the user has paused. Options of the widgets are names of columns, periods and groups, never values of
    people.

    >>> form = Form(qe.DifferenceInDifferences, qe.simulate_panel(6, 6, 3), outcome="y", start=3)
    >>> form.propose()
    >>> form.design()
    DifferenceInDifferences(outcome='y', unit='unit', time='time', treated='treated', start=3)
    """

    def __init__(
        self, design_class: type[qe.Design], data: pd.DataFrame | qe.Extract | None = None, **values: Any
    ) -> None:
        self.design_class = design_class
        self.specs = qe.fields_of(design_class)
        untestable = [
            item
            for item in qe.method_of(design_class).assumptions
            if not item.testable and layout.ARGUED_BY.get(item.name) not in self.specs
        ]
        prompts = {"arguments": {item.name: item.prompt for item in untestable}}
        self.controls: dict[str, Control] = {
            name: control(name, spec, prompts.get(name, {}), how=layout.handled(design_class, name))
            for name, spec in self.specs.items()
        }
        self.offers: Offers | None = None
        self._quiet = False
        self._observers: list[tuple[frozenset[str], Later]] = []
        self.set(**self._defaults())
        for name, held in self.controls.items():
            held.watch(partial(self._changed, name))
        self.sections = layout.sections(design_class)
        if data is not None:
            self.offer(data)
        self.set(**values)

    def offer(self, data: pd.DataFrame | qe.Extract) -> None:
        """Fill the options from a data set. Values that the data lack stay, and the checks name them."""
        self.offers = Offers(data)
        self._refill()

    def set(self, **values: Any) -> None:
        """Fill fields. DesignError for a name that the design does not have."""
        if unknown := [name for name in values if name not in self.controls]:
            known = ", ".join(self.controls)
            raise qe.DesignError(
                [
                    f"{name}: {self.design_class.__name__} has no such field. It has: {known}."
                    for name in unknown
                ]
            )
        if "outcome" in values and values["outcome"] != self.held("outcome"):
            values = {"measured_in": "", **values}
        self._quiet = True
        try:
            for name, held in values.items():
                self.controls[name].set(held)
        finally:
            self._quiet = False
        self._refill()
        self._schedule(values)

    def clear(self) -> None:
        """Back to the defaults, as if nothing had been filled in."""
        self.set(**{**dict.fromkeys(self._required()), **self._defaults()})

    def propose(self) -> None:
        """Fill required fields that are empty with guesses from names and kinds, marked as guesses."""
        if self.offers is None:
            return
        empty = [name for name in self._required() if self.controls[name].get() is None]
        empty += [name for name in guess.also(self.design_class) if not self.held(name)]
        taken = {held for name in self._required() if isinstance(held := self.controls[name].get(), str)}
        taken |= {held for name in guess.also(self.design_class) if isinstance(held := self.held(name), str)}
        free = self.offers.described[~self.offers.described["column"].isin(taken)]
        guessed = guess.roles(self.design_class, free)
        self._quiet = True
        for name in empty:
            if name in guessed:
                self.controls[name].propose(guessed[name])
        self._quiet = False
        self._refill()
        self._schedule(self.controls)

    def values(self) -> dict[str, Any]:
        """What the form holds, by field."""
        return {name: held.get() for name, held in self.controls.items()}

    def held(self, name: str) -> Any:
        """What the form holds for one field; None for a field that the design does not have."""
        return self.controls[name].get() if name in self.controls else None

    def design(self) -> qe.Design:
        """The design. DesignError, shown beside the fields too, when they are empty or contradict others."""
        try:
            made = self._made()
            self._require_columns(made)
        except qe.QievalError as problem:
            self.complain(problem)
            raise
        self.complain(None)
        return made

    def _made(self) -> qe.Design:
        """The design as the fields say, whatever columns the data have."""
        return self.design_class(**self.values())

    def holds(self, design: qe.Design) -> bool:
        """Whether the form says just what a design says."""
        try:
            return self._made() == design
        except qe.QievalError:
            return False

    def complain(self, problem: qe.QievalError | None) -> tuple[str, ...]:
        """Show each problem beside the fields that it is about; return those that are about none of them."""
        told: set[str] = set()
        for name, held in self.controls.items():
            about = problem.about(name) if problem is not None else ()
            told.update(about)
            held.complain(about)
        return tuple(item for item in problem.problems if item not in told) if problem is not None else ()

    def observe(
        self, callback: Callable[[], None], names: Iterable[str] | None = None, wait: float = WAIT
    ) -> None:
        """Call `callback` after one of the fields (by default any) has changed and the user has paused.

        wait: seconds of quiet that count as a pause.
        """
        watched = frozenset(self.controls if names is None else names)
        self._observers.append((watched, Later(callback, wait)))

    @property
    def question(self) -> Any:
        """The fields that belong to the question, without the arguments."""
        later = (*self.sections["choose"].names,) if "choose" in self.sections else ()
        return _grid([held for held in self._of_step("question", skip="arguments") if held.name not in later])

    @property
    def arguments(self) -> Any:
        """The words for the assumptions that no data can test."""
        return _grid([self.controls["arguments"]])

    def section(self, name: str) -> Any:
        """The fields of a section of the layout: some shown, the others folded."""
        return widgets.VBox([self.shown(name), self.folded(name)])

    def shown(self, name: str) -> Any:
        """The fields of a section that are shown at once."""
        section = self.sections[name]
        return self.fields(*section.again, *section.shown)

    def fields(self, *names: str) -> Any:
        """Some fields side by side; a field may be shown in several places."""
        return self._grid_of(names)

    def folded(self, name: str) -> Any:
        """The fields of a section that are folded away, under their titles."""
        held = self.sections[name].folded.items()
        return widgets.VBox([_folded(title, self._grid_of(names)) for title, names in held])

    def _grid_of(self, names: Iterable[str]) -> Any:
        return _grid([self.controls[name] for name in names])

    @property
    def roles(self) -> Any:
        """The fields that say what the columns of the data are; optional ones folded away."""
        if self.sections:
            return self.section("data")
        here = self._of_step("data")
        optional = [held for held in here if held.spec.role in ("column", "columns") and held.spec.optional]
        needed = [held for held in here if held not in optional]
        needed.sort(key=lambda held: (held.wide, held.name not in self._required()))
        return widgets.VBox(
            [_grid(needed), _folded("Adjustment, clusters and weights (optional)", _grid(optional))]
        )

    @property
    def options(self) -> Any:
        """The options of the analysis, folded away: all have defaults. Empty where sections hold them."""
        if self.sections:
            return widgets.VBox()
        return _folded("Options of the analysis (all have defaults)", _grid(self._of_step("analysis")))

    @property
    def widget(self) -> Any:
        """The whole form."""
        return widgets.VBox(
            [
                look.text(f"<style>{look.STYLE}</style>"),
                self.question,
                self.roles,
                self.options,
                *(self.section(name) for name in self.sections if name != "data"),
                self.arguments,
            ]
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs)

    def _of_step(self, step: str, skip: str = "") -> list[Control]:
        return [held for name, held in self.controls.items() if held.spec.step == step and name != skip]

    def _required(self) -> list[str]:
        return list(layout.stated(self.design_class))

    def _defaults(self) -> dict[str, Any]:
        """The default of each field that has one."""
        found: dict[str, Any] = {}
        for item in dataclasses.fields(self.design_class):
            if item.default_factory is not dataclasses.MISSING:
                found[item.name] = item.default_factory()
            elif item.default is not dataclasses.MISSING:
                found[item.name] = item.default
        return found

    def _refill(self) -> None:
        """Offer the columns, and what depends on chosen columns: periods and groups."""
        if self.offers is None:
            return
        roles = FieldOffers(self.offers, self.specs, self.held, self._required())
        for name, control_ in self.controls.items():
            offered = roles.of(name)
            if offered is not None:
                control_.offer(offered)

    def _require_columns(self, design: qe.Design) -> None:
        """Values left over from another data set are named, with the nearest column that there is."""
        if self.offers is None:
            return
        known = list(self.offers.described["column"])
        lacking = [
            f"{name}: the data have no column '{held}'. Choose one of the columns."
            for name, spec in self.specs.items()
            if spec.role in ("column", "columns")
            for held in _as_list(getattr(design, name))
            if held not in known
        ]
        if lacking:
            raise qe.DesignError(lacking)

    def _changed(self, name: str) -> None:
        if self._quiet:
            return
        if self.specs[name].role in ("column", "columns", "choice") or name == "predictors":
            self._quiet = True
            self._refill()
            if name == "outcome":
                # The units that were stated are those of the outcome before.
                self.controls["measured_in"].set("")
            self._quiet = False
        self._schedule([name])

    def _schedule(self, changed: Iterable[str]) -> None:
        names = set(changed)
        for watched, later in self._observers:
            if watched & names:
                later()


def _grid(controls: list[Control]) -> Any:
    made = widgets.Box([held.widget for held in controls])
    made.add_class("qi-fields")
    return made


def _folded(title: str, inside: Any) -> Any:
    return widgets.Accordion([inside], titles=(title,), selected_index=None)


def _as_list(held: Any) -> list[Any]:
    if held is None:
        return []
    return list(held) if isinstance(held, (tuple, Mapping)) else [held]
