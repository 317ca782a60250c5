"""What an entry of the catalogue holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from qieval.check import Assumption, Check
from qieval.design import Design
from qieval.result import Result, Study

DiagnosticCheck = Callable[[Study], Check]
DesignCheck = Callable[[Any, Any], Check]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method: its design, how it estimates, what it takes for granted, what is checked and drawn.

    `refit` gives the overall estimate only, for loops. `parse` turns a frame into arrays; `blind` does so
    without outcomes after the start, for `design_checks`. `question` is what a user would ask; `strengths`
    and `limits` are those of Clarke et al. 2019, table 2, in our words. `assign` finds weights or partners in
    a parsed cohort; None for methods that make no groups alike. `together`: whether a design can be estimated
    in many places at once, and how. `track`: whether it evaluates (what did the
    intervention do?) or follows a measure for improvement (did something change?).
    """

    design: type[Design]
    estimate: Callable[[Any, pd.DataFrame], Result]
    refit: Callable[[Any, pd.DataFrame], Result]
    parse: Callable[[Any, pd.DataFrame], Any]
    blind: Callable[[Any, pd.DataFrame], Any]
    assumptions: tuple[Assumption, ...]
    checks: tuple[DiagnosticCheck, ...]
    design_checks: tuple[DesignCheck, ...]
    plots: tuple[Callable[[Result], Any], ...]
    stem: str
    question: str
    strengths: str
    limits: str
    source: str
    assign: Callable[[Any, Any], Any] | None = None
    together: tuple[Callable[[Any], bool], Callable[[Any, pd.DataFrame, str], pd.DataFrame]] | None = None
    track: Literal["evaluation", "improvement"] = "evaluation"

    @property
    def title(self) -> str:
        """The name in words."""
        return self.design.title
