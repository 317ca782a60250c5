"""Panel rows of matched people who began at different times, and of their comparison until its own start."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.extract import Extract, attrition_row
from qieval.errors import DataError, nearest
from qieval.periods import Periods, read_periods
from qieval.rollout.starts import Clock, clock_of, starts_stated
from qieval.rows import sentence

ROW, FIRST = "matched_row", "first_treated"


@dataclass(frozen=True)
class _Timed:
    """What says which column holds the time, as a design does."""

    time: str


def with_starts(panel: Extract, people: pd.DataFrame, unit: str, time: str) -> Extract:
    """Panel rows for each matched row, with `first_treated` empty for comparison people.

    panel: rows of the people, `unit` the person and `time` the period; people: one row for each matched row,
    indexed by person, the third column says who is treated, `first_treated` holds everybody's own start; all
    its columns go to the panel but those that are there. Comparison people keep the rows before the period
    that holds their own start. Raises DataError for periods and starts that cannot be read, and columns that
    are there already.
    """
    periods = _periods(panel.frame, time)
    clock = clock_of(_Timed(time), periods, [])
    arm = str(people.columns[2])
    own = people.assign(**{ROW: np.arange(1, len(people) + 1), "own start": _placed(people, clock)})
    wide = pd.DataFrame({unit: panel.frame[unit].to_numpy(), "row": np.arange(len(panel.frame))})
    pairs = wide.merge(own.rename_axis(unit).reset_index(), on=unit, how="inner", sort=False)
    pairs = pairs.sort_values([ROW, "row"], kind="stable", ignore_index=True)
    treated = pairs[arm].to_numpy(dtype=bool)
    made = panel.frame.iloc[pairs["row"].to_numpy()].reset_index(drop=True)
    columns: dict[str, Any] = {name: pairs[name] for name in (*people.columns[:2], ROW)}
    columns[FIRST] = pairs[FIRST].where(pd.Series(treated))
    if arm not in made.columns:
        columns[arm] = treated.astype(int)
    made = made.assign(**columns)
    before = clock.times[periods.code[pairs["row"].to_numpy()]] < pairs["own start"].to_numpy()
    return _accounted(panel, made, treated | before)


def _periods(frame: pd.DataFrame, time: str) -> Periods:
    """The periods of the panel; DataError where they cannot be read."""
    if time not in frame.columns:
        raise DataError(f"time: there is no column '{time}' in the panel.{nearest(time, frame.columns)}")
    if taken := [name for name in (ROW, FIRST) if name in frame.columns]:
        raise DataError(
            f"panel: '{taken[0]}' is there already. Rename or drop it, so that it is clear which is used."
        )
    if frame[time].isna().any():
        raise DataError(f"time: '{time}' is empty in some panel rows. Leave these rows out before.")
    try:
        return read_periods(frame[time])
    except ValueError as cause:
        raise DataError(f"time: '{time}' cannot be used as time: {sentence(cause)}") from cause


def _placed(people: pd.DataFrame, clock: Clock) -> np.ndarray:
    """The period that holds each own start, on the scale of the clock's times, infinite for never."""
    issues: list[str] = []
    placed, _ = starts_stated(people[FIRST], clock, FIRST, issues)
    if issues:
        raise DataError([issue.replace("first_treated:", "start:", 1) for issue in issues])
    return placed


def _accounted(panel: Extract, made: pd.DataFrame, keep: np.ndarray) -> Extract:
    """The rows to keep; repeated rows, and rows that are cut off, are steps of the attrition."""
    attrition = panel.attrition
    if len(made) != len(panel.frame):
        step = attrition_row(
            len(attrition), "rows of people in several matched sets, once for each", made, panel.person
        )
        attrition = pd.concat([attrition, step], ignore_index=True)
    held = dataclasses.replace(panel, frame=made, attrition=attrition)
    return held if keep.all() else held.keep(keep, "comparison people from their own start on")
