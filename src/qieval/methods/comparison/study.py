"""What every method that compares similar people does with a frame, given how it finds weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from qieval import cohort as cohorts
from qieval.cohort import Cohort
from qieval.compared import Assignment, Compared
from qieval.covariate_balance import balance_of, scores_of
from qieval.methods.comparison.effect import effect
from qieval.methods.comparison.result import concluded, settled
from qieval.result import Result

Assign = Callable[[Any, Cohort], Assignment]


def parse(design: Any, frame: pd.DataFrame) -> Cohort:
    """The data as arrays, outcomes included when the design names one."""
    return cohorts.cohort(design, frame)


def compared_blind(assign: Assign, design: Any, frame: pd.DataFrame) -> Compared:
    """The comparison, made without reading any outcome column."""
    held = cohorts.cohort(design, frame, blind=True)
    return Compared(design, held, assign(design, held))


def estimated(assign: Assign, design: Any, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Weights and balance; with an outcome the effect too. `brief` leaves out tables for pictures, for
    loops."""
    held = cohorts.cohort(design, frame)
    found = assign(design, held)
    if not brief:
        compared = Compared(design, held, found)
        found = replace(found, balance=balance_of(compared), scores=scores_of(compared))
    if design.outcome is None:
        return settled(design, held, found, frame)
    return concluded(design, held, found, effect(design, held, found), frame)
