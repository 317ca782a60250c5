"""Who is compared with whom: the end of the design stage, settled without any outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort import Cohort
from qieval.cohort_design import CohortDesign


@dataclass(frozen=True, eq=False, kw_only=True)
class Assignment:
    """Weights and matched sets of the rows of a cohort (n,).

    weights: 0 for rows that take no part. sets: matched pair, set or stratum (-1: none); None where there are
    none, or where partners serve several people. focal: whose effect is asked for. pairs: (focal rows,
    partner rows, weight of the pair), where pairs were made. score: propensity score or its transform, None
    without one; probability: the score as a probability. inference: the standard error that suits, in words.
    estimated: what is needed to allow for the estimation of weights. again: the weights when each row counts
    some times, for a bootstrap of everything. search: what a search found. subgroups: effects in subgroups,
    once the outcome was opened. kind: in words, for sentences.
    """

    weights: np.ndarray
    focal: np.ndarray
    kind: str
    inference: str
    sets: np.ndarray | None = None
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    score: np.ndarray | None = None
    probability: np.ndarray | None = None
    estimated: Any = None
    search: Any = None
    again: Callable[[np.ndarray], np.ndarray] | None = None
    others: tuple[Assignment, ...] = ()
    subgroups: pd.DataFrame | None = None
    restarts: pd.DataFrame | None = None
    balance: Any = None
    scores: pd.DataFrame | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> np.ndarray:
        """Which rows take part (n,)."""
        return self.weights > 0

    def noted(self, note: str) -> Assignment:
        """The same with a further note."""
        return replace(self, notes=(*self.notes, note))

    def left_out(self) -> int:
        """How many people of the group whose effect is asked for take no part."""
        return int((self.focal & ~self.used).sum())


@dataclass(frozen=True, eq=False)
class Compared:
    """A cohort with its assignment: what checks of cohort designs work on."""

    design: CohortDesign
    cohort: Cohort
    found: Assignment


def focal_rows(design: CohortDesign, treated: np.ndarray) -> np.ndarray:
    """Whose effect is asked for: the treated, the comparison group, or everybody."""
    if design.estimand == "ATT":
        return treated
    return ~treated if design.estimand == "ATC" else np.ones(len(treated), dtype=bool)


def estimand_reached(design: CohortDesign, found: Assignment) -> str:
    """The estimand in words, renamed where people whose effect was asked for were left out."""
    whose = {
        "ATT": "the treated",
        "ATC": "the comparison group",
        "ATE": "everybody",
        "ATO": "people who might have been in either group (overlap)",
        "ATM": "people whom pair matching would keep",
    }[design.estimand]
    if not found.left_out():
        return f"effect in {whose} ({design.estimand})"
    return f"effect in those of {whose} who could be compared (not the {design.estimand})"
