"""The steps before any outcome after the start is looked at: question, data, design checks, lock."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from pathlib import Path
from typing import Any

import qieval as qe
from qi_notebooks import look, presets, views
from qi_notebooks.steps.base import Step, outcome_fields, waiting_for

FILES = ("*.csv", "*.csv.gz", "*.parquet", "*.feather")
MOST_FILES = 200
OUTCOME_BEFORE = (
    "Name the outcome before you lock, so that readers see that it was not chosen by its result. Its values"
    " stay closed until you estimate; an outcome that is named later is called exploratory."
)


class Question(Step):
    """What is asked, and what else happened at the time."""

    name = "Question"
    purpose = (
        "Say in one sentence what you want to know: which change, for whom, on what outcome. List other "
        "things that happened at the same time; they appear in the pictures and in the report."
    )

    def done(self) -> bool:
        return bool(self.app.form.held("question")) if self.app.interactive else True

    def controls(self) -> list[Any]:
        return [self.app.form.question]

    def plain(self) -> str:
        said = getattr(self.study.design, "question", "") or "No question has been written."
        return qe.markup.paragraph(said)


class DataStep(Step):
    """Which data, and what their columns are."""

    name = "Data"
    purpose = (
        "Choose an example or a file of your own, then say what its columns are. Only column names, periods "
        "and totals are shown, never rows. Files are read where they lie; nothing is uploaded into the "
        "notebook."
    )

    def done(self) -> bool:
        return self.study.design is not None

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._source = widgets.Dropdown(description="Data set")
        self._path = widgets.Text(
            description="Path of another file", placeholder="data/practices.csv", continuous_update=False
        )
        for part in (self._source, self._path):
            part.add_class("qi-control")
        self._offer_sources()
        self._source.observe(lambda change: self._chosen(change["new"]), names="value")
        self._path.observe(lambda change: self._chosen(change["new"]), names="value")
        again = self.button(
            "Look for files again",
            self._offer_sources,
            tip="Look again for files in the folder of this notebook",
        )
        sources = widgets.Box([self._source, self._path])
        sources.add_class("qi-fields")
        self._shown = look.text()
        self._drawn: Any = None
        return [sources, self.actions(again), self._shown, self.app.form.roles, self.app.form.options]

    def follow(self) -> None:
        if self._drawn is not self.study.data:
            self._drawn = self.study.data
            self._shown.value = views.data(self.study)
            self._offer_sources()

    def plain(self) -> str:
        return views.data(self.study) + (
            self.study.design._repr_html_() if self.study.design is not None else ""
        )

    def _offer_sources(self) -> None:
        """The examples that suit the method and the files in the folder; the source in use stays chosen."""
        fetched = set(qe.examples().query("fetched")["name"])
        options = [
            (f"Example{' (fetched once)' if name in fetched else ''}: {name}", f"{presets.EXAMPLE}{name}")
            for name in presets.suited(self.study.method.title)
        ]
        found = sorted({path.as_posix() for pattern in FILES for path in Path().glob(pattern)})[:MOST_FILES]
        options += [(f"File: {name}", name) for name in found]
        held = self.study.source
        if held and held not in [item for _, item in options]:
            options.append((f"File: {held}", held))
        if not held:
            options.insert(0, ("A table from Python" if self.study.data is not None else "(choose)", ""))
        self._quiet = True
        self._source.options = options
        self._source.value = held
        self._quiet = False

    def _chosen(self, source: str) -> None:
        if source and not self._quiet and source != self.study.source:
            self.app.attempt(self, lambda: self.app.take_data(source))


class DesignChecks(Step):
    """What can be known before outcomes after the start are read."""

    name = "Design checks"
    purpose = (
        "Is this comparison able to answer the question? These checks never read an outcome after the "
        "start, so you may change the design because of them as often as you like."
    )

    def missing(self) -> str:
        return waiting_for(self.study.design)

    def done(self) -> bool:
        return self.study.before is not None

    def controls(self) -> list[Any]:
        self._shown = look.text()
        self._drawn: Any = None
        return [self.actions(self.button("Run the design checks", self._run, primary=True)), self._shown]

    def follow(self) -> None:
        if self._drawn is not self.study.before:
            self._drawn = self.study.before
            self._shown.value = look.note(self._outdated()) if self._drawn is None else self.plain()

    def carry_out(self) -> None:
        self.study.check_design()

    def plain(self) -> str:
        return views.checks(self.study.before, self.study.before.title, self.study.few_people)

    def _run(self) -> None:
        self.study.check_design()

    def _outdated(self) -> str:
        said = "The design has changed since the checks were made."
        if "choose" in self.app.by_name and self.study.looked:
            return f"{said} They are made again when you lock it, or run them now."
        return f"{said} Run them again."


class Lock(Step):
    """The design is fixed before outcomes are seen."""

    name = "Lock"
    purpose = (
        "Fix the design before you see any result, so that readers can tell what was planned from what was "
        "found. First write down why you believe what no data can test; you can add to it later, and the "
        "report will say when."
    )

    def missing(self) -> str:
        remade = "choose" in self.app.by_name and self.study.looked
        checked = self.study.before is not None or self.study.settled or remade
        return waiting_for(self.study.design) or ("" if checked else "Waiting: run the design checks first.")

    def done(self) -> bool:
        return bool(self.study.settled)

    def controls(self) -> list[Any]:
        import ipywidgets as widgets

        self._shown = look.text()
        self._buttons = self.actions(
            self.button("Lock this design", self._lock, primary=True),
            self.button("Continue without locking", self.study.go_on_unlocked),
        )
        title = "Why you believe what no data can test"
        self._outcome = outcome_fields(self.app, OUTCOME_BEFORE)
        return [
            self._outcome,
            widgets.Accordion([self.app.form.arguments], titles=(title,), selected_index=None),
            self._buttons,
            self._shown,
        ]

    def follow(self) -> None:
        self._buttons.layout.display = "none" if self.study.protocol is not None else None
        self._outcome.layout.display = "none" if self.study.settled else None
        self._shown.value = self._standing()

    def carry_out(self) -> None:
        self._lock()

    def plain(self) -> str:
        return self._standing() + self.study.protocol._repr_html_()

    def _lock(self) -> None:
        self.study.lock(Path())

    def _standing(self) -> str:
        held = self.study.protocol
        if held is not None:
            name = self.study.protocol_file
            return look.good(
                f"Locked {held.locked}. Hash (sha256): {held.sha256}. The protocol is in the file {name}."
            )
        if self.study.open_lock:
            return look.problems(
                ["You went on without locking. Every result says that no protocol was locked."]
            )
        return ""
