"""Checks that need no outcome: made while the design is settled, and shown again with the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qieval.check import Check
from qieval.result import Study


def _parsed(study: Study) -> Any:
    """The data of a study as they were parsed."""
    return study.panel


def after(
    check: Callable[[Any, Any], Check], held: Callable[[Study], Any] = _parsed
) -> Callable[[Study], Check]:
    """A design check as a check of the result; held: what of a study it looks at beside the design."""

    def made(study: Study) -> Check:
        return check(study.design, held(study))

    made.__name__, made.__doc__ = check.__name__, check.__doc__
    return made
