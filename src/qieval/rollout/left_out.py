"""Which rows and units of a roll-out take no part, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import numbers
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rollout.panel import Rollout
from qieval.rollout.starts import clock_of, starts_stated
from qieval.rollout_design import RolloutDesign
from qieval.rows import loss
from qieval.text import Count, Counted, listed, plural


def flags(rows: pd.DataFrame, role: str, name: str, issues: list[str]) -> np.ndarray:
    """Which rows hold 1 in a column of 0 and 1 (n,); problems go to `issues`."""
    held = pd.to_numeric(rows[name], errors="coerce")
    if not held.isin([0, 1]).all():
        issues.append(
            f"{role}: '{name}' must be 0 or 1, but holds other values in"
            f" {plural(int((~held.isin([0, 1])).sum()), 'row')}. Recode it."
        )
    return np.asarray(held == 1)


def without_neighbours(
    design: RolloutDesign,
    rows: pd.DataFrame,
    periods: Periods,
    issues: list[str],
    losses: list[dict[str, Any]],
) -> tuple[pd.DataFrame, Periods]:
    """The rows without comparison units that the intervention of others may have reached."""
    gone = np.zeros(len(rows), dtype=bool)
    reasons = []
    if design.neighbour is not None:
        gone |= flags(rows, "neighbour", design.neighbour, issues)
        reasons.append(f"'{design.neighbour}' is 1")
    if design.distance is not None and design.exclusion:
        held = numbers(rows[design.distance], "distance", design.distance, issues)
        gone |= held < design.exclusion
        reasons.append(f"nearer than {design.exclusion:g} to a unit with the intervention")
    if issues or not gone.any():
        return rows, periods
    gone &= _never(design, rows, periods)
    kept = rows[~gone]
    losses.append(loss("neighbours", f"never-treated units, {listed(reasons)}", kept, design))
    return kept, replace(periods, code=periods.code[~gone])


def _never(design: RolloutDesign, rows: pd.DataFrame, periods: Periods) -> np.ndarray:
    """Which rows are of units that never begin within the data (n,)."""
    if design.treatment is not None:
        on = pd.to_numeric(rows[design.treatment], errors="coerce") == 1
        return np.asarray(~on.groupby(rows[design.unit]).transform("any"))
    assert design.first_treated is not None
    problems: list[str] = []
    clock = clock_of(design, periods, [])
    stated, _ = starts_stated(rows[design.first_treated], clock, design.first_treated, problems)
    if problems:
        raise DataError(problems)
    return np.asarray(stated > clock.times[-1] + design.anticipation)


def _without_the_soon_treated(design: RolloutDesign, made: Rollout, losses: list[dict[str, Any]]) -> Rollout:
    """Without units that begin after the data end, but so soon that the last periods may be affected."""
    soon = np.isfinite(made.first) & (made.first > made.times[-1])
    if not soon.any():
        return made
    kept = made.where(~soon)
    counted = Count if design.units_are == "people" else int
    reason = "begin just after the data end, so that their last periods may already be affected"
    losses.append(
        {
            "step": "treated soon after",
            "reason": reason,
            "rows": Count(len(kept)),
            "units": counted(len(kept.units)),
        }
    )
    return kept


def with_a_before(
    design: RolloutDesign, made: Rollout, rows: pd.DataFrame, losses: list[dict[str, Any]], notes: list[str]
) -> Rollout:
    """Without units that had begun before there was anything to compare with."""
    made = _without_the_soon_treated(design, made, losses)
    starts = made.first if made.began is None else made.began
    if not (starts - design.anticipation <= made.times[0]).any():
        return made
    early = made.first - design.anticipation <= made.times[0]
    kept = made.where(~early)
    counted = Count if design.units_are == "people" else int
    losses.append(
        {
            "step": "always treated",
            "reason": (
                f"had the intervention at {made.periods.shown()[0]}, when the data begin, or earlier"
                + (" (less the anticipation)" if design.anticipation else "")
                + ", so there is no time before to compare with"
            ),
            "rows": Count(len(kept)),
            "units": counted(len(kept.units)),
        }
    )
    if before := len(np.unique(made.unit[made.first < made.times[0]])):
        said = (
            "first_treated: {units} units begin before the data do. If such a value stands for 'never', leave"
            " it empty."
        )
        notes.append(Counted(said, units=Count(before)))
    return kept
