"""The estimates of natural experiments: around a cutoff, with an instrument, before and after."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import qieval as qe
from qi_notebooks import live_change, live_cutoff, look, views
from qi_notebooks.steps.findings import Estimate
from qi_notebooks.steps.series import EstimateMoved

SLIDERS = {
    "bandwidth": ("Bandwidth, times the one first chosen", 0.5, 2.0),
    "donut": ("Donut: left out at the cutoff, in bandwidths", 0.0, 0.5),
}
"""What is moved beside the picture: words, lowest and highest value, in bandwidths first chosen."""
STEP = 0.05
ARGUE_FIRST = (
    "Waiting: write down in step 1 why the instrument acts on the outcome only through the intervention. No "
    "data can show it, so no estimate is shown without it."
)


class EstimateCutoff(EstimateMoved):
    """The effect at a cutoff, and what becomes of it when the bandwidth is moved."""

    purpose = (
        "The effect in people at the cutoff, in the units of the outcome, with its interval. Then move the "
        "bandwidth, leave out people very near the cutoff (donut) or bend the line (order), and watch the "
        "gap: an answer that hangs on one of them is a weak one. What was changed since the design was "
        "locked is named."
    )
    pictures: ClassVar[tuple[Callable[[qe.Result], str], ...]] = (
        live_cutoff.numbers,
        live_cutoff.outcome,
        live_cutoff.uptake,
    )

    def settings(self) -> Any:
        import ipywidgets as widgets

        self._chosen = 0.0
        self._placed = {"bandwidth": 1.0, "donut": 0.0}
        self.sliders = {}
        for name, (words, least, most) in SLIDERS.items():
            made = widgets.FloatSlider(
                value=self._placed[name], min=least, max=most, step=STEP, description=words
            )
            made.add_class("qi-control")
            made.observe(lambda change, name=name: self._move(name, change["new"]), names="value")
            self.sliders[name] = made
        back = self.actions(self.button("Bandwidth by the rule", self._by_the_rule))
        return widgets.VBox([*self.sliders.values(), back, self.app.form.fields("order")])

    def follow(self) -> None:
        super().follow()
        held: Any = self.study.glimpse
        if held is None:
            return
        h = float(np.mean(held.kernel.fit.h))
        self._chosen = self._chosen or h
        for name, value in (("bandwidth", h), ("donut", held.design.donut)):
            _, least, most = SLIDERS[name]
            self._placed[name] = min(max(value / self._chosen, least), most)
            if abs(self.sliders[name].value - self._placed[name]) > STEP / 2:
                # A slider that stands where it should is left alone: the user may be moving it.
                self.sliders[name].value = self._placed[name]

    def _move(self, name: str, value: float) -> None:
        """Take over a slider that the user has moved, not one that was placed by what is estimated."""
        if self._chosen and abs(value - self._placed[name]) > STEP / 2:
            moved = float(f"{value * self._chosen:.4g}")
            self.app.form.set(**{name: (moved,) if name == "bandwidth" else moved})

    def _by_the_rule(self) -> None:
        self.app.form.set(bandwidth=())


class EstimateInstrument(Estimate):
    """The effect by an instrument: first what goes with the instrument, then what follows if it acts only
    through the intervention."""

    purpose = (
        "First what was seen: how the outcome and who received the intervention go with the instrument. "
        "Then the effect that follows if the instrument acts only through the intervention, with its "
        "interval, in the people whom it moved."
    )

    def missing(self) -> str:
        waiting = super().missing()
        argued = getattr(self.study.design, "exclusion", "").strip()
        return waiting or ("" if argued else ARGUE_FIRST)

    def told(self, result: qe.Result) -> str:
        return views.by_instrument(result)


class EstimateChange(Estimate):
    """The change of the same people, with what was to be expected anyway beside it."""

    purpose = (
        "The change of the same people, and beside it how much of it was to be expected with nothing done. "
        "It is a hypothesis: nothing here can tell the intervention from whatever else changed."
    )

    def controls(self) -> list[Any]:
        routes = []
        for path, words in live_change.ROUTES:
            place = look.link()
            look.show_link(place, path, words)
            routes.append(place)
        return [*super().controls(), *routes]

    def told(self, result: qe.Result) -> str:
        return live_change.expected(result) + super().told(result)

    def plain(self) -> str:
        return super().plain() + live_change.routes()
