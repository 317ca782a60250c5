"""The control that says which units may be donors: a list to tick, to be searched when it is long."""

# What the methods of each class promise is said once, in Control.
# ruff: noqa: D102

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

import qieval as qe
from qi_notebooks import look
from qi_notebooks.controls import Control, label, nothing

MOST_SHOWN = 40
"""Longer lists are searched instead of scrolled through."""


class DonorsControl(Control):
    """Some of the untreated units, all of them at first: a box for each, ticked when it may be a donor.

    All of them is the empty tuple, as in the design. `get` raises DesignError when none is ticked, which no
    design can say.
    """

    def __init__(self, name: str, spec: Any) -> None:
        self._changed: Callable[[], None] = nothing
        self._units: tuple[Any, ...] = ()
        self._named: tuple[Any, ...] | None = None
        self._boxes: dict[Any, Any] = {}
        self._find = widgets.Text(
            description="Find a unit", placeholder="part of its name", continuous_update=True
        )
        self._find.add_class("qi-control")
        self._list, self._count = widgets.Box(), look.text()
        self._list.add_class("qi-ticks")
        self._list.add_class("qi-units")
        every = widgets.Button(description="Tick all", tooltip="All units may be donors")
        none = widgets.Button(description="Tick none", tooltip="Then tick the few that may be donors")
        every.on_click(lambda _button: self._alter(self._units))
        none.on_click(lambda _button: self._alter(()))
        buttons = widgets.HBox([every, none])
        buttons.add_class("qi-actions")
        title = look.text(f"<b>{qe.markup.escape(label(name))}</b>")
        super().__init__(name, spec, widgets.VBox([title, self._find, self._list, self._count, buttons]))
        self._find.observe(lambda _change: self._show(), names="value")
        self._show()

    def get(self) -> Any:
        ticked = self._ticked()
        if self._units and not ticked:
            raise qe.DesignError(
                "donors: no unit is ticked, so there is nothing to compare with. Tick at least one."
            )
        return () if self._named is None else ticked

    def set(self, held: Any) -> None:
        wanted = (held,) if isinstance(held, str) else tuple(held)
        self._named = wanted or None
        self._list_units(self._units)

    def offer(self, offered: Sequence[Any]) -> None:
        """Change the list; units that were named stay named, even when the data lack them."""
        if tuple(offered) != self._units:
            self._list_units(tuple(offered))

    def _list_units(self, offered: tuple[Any, ...]) -> None:
        """Take over a list of units, with those that are named in the spelling of the list."""
        if self._named is not None:
            known = {str(unit): unit for unit in offered}
            self._named = tuple(known.get(str(unit), unit) for unit in self._named)
        self._units = (*offered, *(unit for unit in self._named or () if unit not in offered))
        self._show()

    def _ticked(self) -> tuple[Any, ...]:
        """The units that may be donors, in the order of the list."""
        return self._units if self._named is None else tuple(u for u in self._units if u in self._named)

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def _alter(self, ticked: tuple[Any, ...]) -> None:
        self._named = None if len(ticked) == len(self._units) else ticked
        self._show()
        self._touched(self._changed)

    def _show(self) -> None:
        """Bring the boxes up to date; those that stay are kept."""
        found, ticked = self._found(), self._ticked()
        before, self._quiet = self._boxes, True
        self._boxes = {unit: before.get(unit) or self._box(unit) for unit in found[:MOST_SHOWN]}
        for unit, box in self._boxes.items():
            box.value = unit in ticked
        shown = tuple(self._boxes.values())
        if shown != self._list.children:
            self._list.children = shown
        for unit in before.keys() - self._boxes.keys():
            before[unit].close()
        self._quiet = False
        self._find.layout.display = None if len(self._units) > MOST_SHOWN else "none"
        self._tell(len(found))

    def _found(self) -> list[Any]:
        words = self._find.value.strip().lower()
        return [unit for unit in self._units if words in str(unit).lower()]

    def _tell(self, found: int) -> None:
        if not self._units:
            self._count.value = look.note(
                "Units are listed here once unit and treated are chosen. Without a list all untreated units"
                " may be donors; the rules of step 2 keep units out."
            )
            return
        kept = len(self._ticked())
        more = f" {MOST_SHOWN} of {found} found are shown; type to find others." if found > MOST_SHOWN else ""
        self._count.value = look.note(f"{kept} of {len(self._units)} untreated units are ticked.{more}")

    def _box(self, unit: Any) -> Any:
        box = widgets.Checkbox(description=str(unit), indent=False)
        box.observe(lambda change: self._turned(unit, change["new"]), names="value")
        return box

    def _turned(self, unit: Any, on: bool) -> None:
        if not self._quiet:
            ticked = {*self._ticked(), unit} if on else {*self._ticked()} - {unit}
            self._alter(tuple(each for each in self._units if each in ticked))
