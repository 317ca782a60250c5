"""One family of errors: every deliberate error of qieval is a `QievalError`."""

import difflib
import html
from collections.abc import Iterable, Sequence


class QievalError(Exception):
    """Base of all deliberate errors. Its text says what is wrong, why it matters and what to do.

    `problems` lists each problem on its own, so that a form can show it beside the field it concerns: a
    problem starts with the field's name and a colon.

    >>> QievalError(["start: no period lies before it.", "level: 95 is not below 1."]).problems[1]
    'level: 95 is not below 1.'
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:\n{listed}"

    def about(self, field: str) -> tuple[str, ...]:
        """The problems that concern one field of the design."""
        return tuple(problem for problem in self.problems if field in problem.split(":")[0].split(", "))

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(problem)}</li>" for problem in self.problems)
        return f"<div class='qieval-error' role='alert'><b>This needs attention</b><ul>{items}</ul></div>"


class DesignError(QievalError):
    """The design contradicts itself or a field holds a value that it may not hold."""


class DataError(QievalError):
    """The data do not fit the design."""


class EstimationError(QievalError):
    """The estimate cannot be computed from these data, although they fit the design."""


class DependencyError(QievalError):
    """An optional package is needed and is not installed."""


def nearest(name: str, known: Iterable[object]) -> str:
    """A hint at the known name that is most like `name`; empty when none is.

    >>> nearest("admision", ["admissions", "practice"])
    " Did you mean 'admissions'?"
    """
    by_lower = {str(item).lower(): str(item) for item in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[found[0]]}'?" if found else ""
