"""What all steps of a guided study have in common: a bar with its state, a body, messages, progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import qieval as qe
from qi_notebooks import look
from qi_notebooks.controls import label
from qi_notebooks.study import WORDS

if TYPE_CHECKING:
    from qi_notebooks.app import App


class Step:
    """One step: on a screen a panel of widgets, without one its default action and HTML.

    Subclasses say what they need (`missing`), when they are done, what their panel holds (`controls`), how it
    follows the study (`follow`), and what the step does and shows without a screen (`carry_out`, `plain`).
    """

    name: ClassVar[str]
    purpose: ClassVar[str]

    def __init__(self, app: "App", number: int) -> None:
        self.app = app
        self.number = number
        self._said = ""

    @property
    def study(self) -> Any:
        """The study that all steps show."""
        return self.app.study

    def missing(self) -> str:
        """What must be done before this step can begin; empty when it is open."""
        return ""

    def done(self) -> bool:
        """Whether the step has given what the next one needs."""
        return True

    def controls(self) -> list[Any]:
        """The widgets of the body; built once."""
        return []

    def follow(self) -> None:
        """Bring the widgets up to date with the study."""

    def carry_out(self) -> None:
        """The default action, without a screen. Errors are raised."""

    def plain(self) -> str:
        """What the step has to show, as HTML without widgets."""
        return ""

    @property
    def state(self) -> str:
        """'waiting', 'open' or 'done'."""
        if self.missing():
            return "waiting"
        return "done" if self.done() else "open"

    @cached_property
    def panel(self) -> Any:
        """The step as widgets."""
        import ipywidgets as widgets

        self._head = look.text()
        self._waiting = look.text()
        self._message = look.text(self._said)
        self._busy = look.text()
        self._bars = widgets.Output()
        self._inside = widgets.VBox([look.text(look.note(self.purpose)), *self.controls()])
        body = widgets.VBox([self._waiting, self._inside, self._busy, self._bars, self._message])
        body.add_class("qi-body")
        made = widgets.VBox([self._head, body])
        made.add_class("qi-step")
        if self.study.improvement:
            made.add_class("qi-improvement")
        self._panel = made
        self._refresh()
        return made

    def refresh(self) -> None:
        """Follow the study, if the panel is on the screen at all."""
        if "panel" in self.__dict__:
            self._refresh()

    def _refresh(self) -> None:
        waiting = self.state == "waiting"
        (self._panel.add_class if waiting else self._panel.remove_class)("qi-waiting")
        self._waiting.value = look.note(f"{self.missing()}") if waiting else ""
        self._inside.layout.display = "none" if waiting else None
        if not waiting:
            self.follow()
        # Last, because a step may become done by following the study.
        self._head.value = f"<style>{look.STYLE}</style>{self._title()}"

    def _title(self) -> str:
        """The bar of the step; below it what a chart can say, and cannot."""
        band = look.band() if self.study.improvement else ""
        return look.head(self.number, self.name, self.state) + band

    def say(self, body: str) -> None:
        """Show a message under the controls; HTML that was escaped by its maker."""
        self._said = body
        if "panel" in self.__dict__:
            self._message.value = body

    @contextmanager
    def working(self) -> Iterator[None]:
        """Say that work is going on, with the progress bars of qieval shown here, until it ends.

        Whatever runs inside must deal with its own errors: an Output would swallow them.
        """
        if "panel" not in self.__dict__:
            yield
            return
        self._busy.value = look.note("Working ... To stop, choose Kernel > Interrupt Kernel.")
        with self._bars:
            yield
        self._bars.outputs = ()
        self._busy.value = ""

    def button(self, words: str, action: Callable[[], None], *, primary: bool = False, tip: str = "") -> Any:
        """A button whose action is guarded: errors become messages of this step."""
        import ipywidgets as widgets

        made = widgets.Button(
            description=words, button_style="primary" if primary else "", tooltip=tip or words
        )
        made.on_click(lambda _button: self.app.attempt(self, action))
        return made

    def actions(self, *buttons: Any) -> Any:
        """Buttons side by side."""
        import ipywidgets as widgets

        made = widgets.HBox(buttons)
        made.add_class("qi-actions")
        return made

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if self.app.interactive:
            return self.panel._repr_mimebundle_(**kwargs)
        shown = self._title() + self.plain()
        if self.study.improvement:
            shown = f"<div class='qi-improvement'>{shown}</div>"
        return {"text/html": look.styled(shown), "text/plain": f"{self.number}. {self.name}: {self.state}"}


def outcome_fields(app: "App", said: str) -> Any:
    """The fields of the outcome with a remark; nothing for designs that state it with the data."""
    import ipywidgets as widgets

    if "outcome" not in app.form.sections:
        return widgets.VBox()
    return widgets.VBox([look.text(look.note(said)), app.form.section("outcome")])


def since_locked(study: Any) -> str:
    """What was changed since the design was locked, which makes the study exploratory; HTML."""
    if study.protocol is None:
        return look.problems(["Exploratory: no protocol was locked."]) if study.open_lock else ""
    changes = [item for item in study.protocol.changes(study.design) if item[0] not in WORDS]
    if not changes:
        return look.note("The design is locked. A change here makes the study exploratory.")
    said = "; ".join(f"{label(name)} was {_told(old)}, now {_told(new)}" for name, old, new in changes)
    return look.problems([f"Exploratory: changed since the protocol was locked: {said}."])


def _told(held: Any) -> str:
    """A value of a field in words; lists and mappings spelled out."""
    return qe.markup.words(held) or "empty" if isinstance(held, (list, tuple, dict)) else repr(held)


def waiting_for(design: qe.Design | None) -> str:
    """What is said as long as there is no complete design."""
    return "" if design is not None else "Waiting: choose data and fill in the fields of step 2 first."
