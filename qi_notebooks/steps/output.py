"""The steps that leave something behind: the report, and the Python that does the same."""

# What the methods of each class promise is said once, in Step.
# ruff: noqa: D102

from pathlib import Path
from typing import Any

from qi_notebooks import look
from qi_notebooks.script import script
from qi_notebooks.steps.base import Step


class ReportStep(Step):
    """One self-contained file with everything."""

    name = "Report"
    purpose = (
        "One HTML file with question, design, protocol, checks, estimate, assumptions, sensitivity and what "
        "is needed to reproduce it. It works without a network, and small numbers of people are suppressed "
        "in it."
    )

    def missing(self) -> str:
        return (
            ""
            if self.study.checks is not None
            else "Waiting: examine the assumptions first; no report goes without them."
        )

    def done(self) -> bool:
        return self.study.report is not None

    def controls(self) -> list[Any]:
        self._shown, self._link = look.text(), look.link()
        return [self.actions(self.button("Write report", self._write, primary=True)), self._shown, self._link]

    def follow(self) -> None:
        if self.study.report is None:
            self._shown.value = ""
            look.show_link(self._link)

    def carry_out(self) -> None:
        self.study.write()

    def plain(self) -> str:
        return self.study.report._repr_html_()

    def _write(self) -> None:
        self.study.write()
        path = Path(f"{self.study.method.stem}_report.html")
        self.study.report.save(path)
        self._shown.value = look.good(f"The report is in the file {path.name}, beside this notebook.")
        look.show_link(self._link, path.name, "Open the report")


class Code(Step):
    """The same in Python."""

    name = "Code"
    purpose = (
        "The same in Python. Every click can be repeated: as Python, or from a small file of your choices, "
        "which qi_notebooks.replay(path) carries out without any widget."
    )

    def missing(self) -> str:
        return "" if self.study.data is not None else "Waiting: choose data first."

    def done(self) -> bool:
        return self.study.result is not None

    def controls(self) -> list[Any]:
        self._shown, self._saved = look.text(), look.text()
        return [self._shown, self.actions(self.button("Save my choices", self._save)), self._saved]

    def follow(self) -> None:
        self._shown.value = look.code(self.script())

    def plain(self) -> str:
        return look.code(self.script())

    def script(self) -> str:
        """The Python that does what was done so far."""
        return script(self.study)

    def _save(self) -> None:
        path = self.study.save_choices(Path(f"{self.study.method.stem}_choices.json"))
        self._saved.value = look.good(f"Your choices are in the file {path.name}, beside this notebook.")
