"""A guided study on a small panel, and hands that click through it."""

import pytest

import qieval as qe
from qi_notebooks import look
from qi_notebooks.app import App

BUTTONS = (
    ("design checks", "Run the design checks"),
    ("lock", "Lock this design"),
    ("estimate", "Estimate the effect"),
    ("assumptions", "Examine the assumptions"),
    ("sensitivity", "Estimate under altered designs"),
    ("report", "Write report"),
)


class Driver:
    """Clicks buttons of an app and reads what its panels show."""

    buttons = BUTTONS

    def __init__(self, app):
        self.app = app
        for step in app.steps:
            _ = step.panel

    def press(self, step, words):
        found = [
            held for held in walk(self.app.step(step).panel) if getattr(held, "description", "") == words
        ]
        assert len(found) == 1
        found[0].click()

    def through(self, last):
        """All steps from the design checks to `last`."""
        for step, words in BUTTONS:
            self.press(step, words)
            if step == last:
                return

    def shown(self, step):
        found = walk(self.app.step(step).panel)
        return " ".join(str(held.value) for held in found if type(held).__name__ == "HTML")

    def states(self):
        return {step.name.lower(): step.state for step in self.app.steps}


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


@pytest.fixture
def quick_pictures(monkeypatch):
    """Drawing takes most of the time; the tests of the templates draw for real."""
    monkeypatch.setattr(look, "picture", lambda plot, alt: f"<img alt={alt!r}>" if plot is not None else "")


@pytest.fixture
def choices():
    return {"outcome": "y", "start": 4, "units_are": "organisations", "inference": "analytic"}


@pytest.fixture
def panel():
    return qe.simulate_panel(40, 8, 20, effect=-1.0, seed=3).assign(other=1.0)


@pytest.fixture
def app(panel, choices, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return App("difference_in_differences", panel, **choices)


@pytest.fixture
def driver():
    return Driver


@pytest.fixture
def drive(app):
    return Driver(app)
