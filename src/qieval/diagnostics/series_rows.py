"""What the checks of an interrupted series share: altered designs as rows of a table, and dates in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import QievalError
from qieval.interrupted import FittedSeries, Interrupted
from qieval.progress import progress
from qieval.result import NO_FIGURES, Result, Study, figures, main_estimates, overall

ENOUGH = "enough periods before and after"
FORM = "the trend and season are described well"
TIMING = "the form and time of the change were stated beforehand"
ERRORS = "neighbouring values are allowed for"
DISTRIBUTION = "the outcome varies as the model says"
NO_OTHER_CHANGE = "no other change at the same time"
NO_ANTICIPATION = "nothing changed before the start"
SAME_MEASURE = "the outcome was measured in the same way throughout"
SAME_PEOPLE = "the same kind of people throughout"
CONTROL = "the control series shares other events and not the intervention"

COUNTS = ("poisson", "quasi-poisson", "negative binomial")
PROPORTIONS = ("binomial", "quasi-binomial")
AS_DESIGNED = "as designed"
FEWEST_BEFORE = 3
"""Fewer periods on a side of a date carry no trend."""

Changes = Mapping[str, Any]


def fitted(study: Study) -> FittedSeries:
    """The fit of the result."""
    kernel: FittedSeries = study.result.kernel
    return kernel


def own_rows(kernel: FittedSeries) -> np.ndarray:
    """Which of the rows of the fit belong to the series in question rather than its control (n,)."""
    found: np.ndarray = kernel.at < kernel.made.series.n_periods
    return found


def stated(study: Study) -> dict[str, Any]:
    """The result itself as a row."""
    row = overall(study.result)
    return {"label": AS_DESIGNED, "term": row["term"], **figures(row), "note": ""}


def tried(study: Study, label: str, changes: Changes) -> dict[str, Any]:
    """The overall effect of an altered design as a row; the reason as its note where there is none."""
    try:
        row = study.again(**changes)
    except QievalError as cause:
        return {"label": label, "term": overall(study.result)["term"], **NO_FIGURES, "note": str(cause)}
    return {"label": label, "term": row["term"], **figures(row), "note": ""}


def all_tried(study: Study, ways: Mapping[str, Changes], what: str) -> pd.DataFrame:
    """The result and the overall effect of each altered design, one row each."""
    rows = [tried(study, label, changes) for label, changes in progress(ways.items(), what)]
    return pd.DataFrame([stated(study), *rows])


def no_effect(term: object) -> float:
    """The value of a term that means no effect."""
    return 1.0 if str(term).endswith("ratio") else 0.0


def verdicts(table: pd.DataFrame) -> pd.Series[Any]:
    """What each row concludes: -1 lower, 1 higher, 0 not told from no effect."""
    null = table["term"].map(no_effect).astype(float)
    above, below = table["conf_low"] > null, table["conf_high"] < null
    return above.astype(int) - below.astype(int)


def is_clear(row: Mapping[str, Any]) -> bool:
    """Whether the interval of a row leaves no effect out."""
    null = no_effect(row["term"])
    return bool(row["conf_low"] > null or row["conf_high"] < null)


def on_one_scale(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """A column of estimates on a scale where no effect is 0: logarithms of ratios."""
    held = table[column].astype(float)
    ratio = table["term"].astype(str).str.endswith("ratio")
    with np.errstate(divide="ignore", invalid="ignore"):
        return held.where(~ratio, np.log(held.where(ratio, 1.0)))


def term_of(result: Result, name: str) -> pd.Series[Any] | None:
    """The row of an overall term by its name, with or without 'ratio' behind it; None where there is none."""
    table = main_estimates(result)
    if table is None:
        return None
    found = table[table["term"].isin([name, f"{name} ratio", f"{name} odds ratio"])]
    return None if found.empty else found.iloc[0]


def counted(design: Any, made: Interrupted) -> str:
    """The family of the outcome as the time before the start shows it."""
    if design.controls and design.controlled_by == "difference of the series":
        return "gaussian"
    if design.family != "chosen from the outcome":
        return str(design.family)
    y = made.series.y[made.before]
    plain = design.scale == "as measured" and design.model == "segmented regression"
    whole = len(y) > 0 and bool((y >= 0).all() and (y == np.round(y)).all())
    return "quasi-poisson" if plain and whole else "gaussian"


def periods_away(made: Interrupted, code: int) -> str:
    """How far a period lies from the start, in words."""
    distance, word = code - made.start, made.series.rhythm
    if not distance:
        return "at the start"
    many = word if abs(distance) == 1 else f"{word}s"
    return f"{abs(distance)} {many} {'after' if distance > 0 else 'before'} the start"
