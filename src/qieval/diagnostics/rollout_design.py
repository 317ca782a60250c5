"""What a roll-out looks like before any outcome from its earliest start on is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_rows import (
    COMPOSITION,
    ENOUGH_DATA,
    before_roll_out,
    cohort_codes,
    cohort_names,
    cohort_sizes,
    hidden,
    people,
)
from qieval.diagnostics.rollout_units import RULES, rows_used
from qieval.rollout.panel import Rollout
from qieval.text import Count, Counted, listed, plural

MUCH_MISSING = 0.05
"""More than this share missing in a cohort deserves a concern (a rule of thumb of trial reporting)."""
FEW_PERIODS = 3


def cohorts_and_periods(design: Any, rollout: Rollout) -> Check:
    """Units by start, with the periods before and after; the picture is the roll-out itself."""
    table = _cohorts(design, rollout)
    before = int(before_roll_out(design, rollout).sum())
    labels = rollout.periods.shown()
    starts = rollout.labels(rollout.starts)
    when = (
        f"at {len(starts)} moments, from {starts[0]} to {starts[-1]}"
        if len(starts) > 1
        else f"in {starts[0]}"
    )
    text = (
        f"The data run from {labels[0]} to {labels[-1]}. Units begin {when}; {plural(before, 'period')}"
        " before anybody could be affected. "
    )
    text += "Some never begin." if rollout.has_never else "All begin within the data."
    lone = [name for name, n in zip(table["cohort"], cohort_sizes(rollout), strict=True) if n == 1]
    if lone and design.units_are == "organisations":
        text += f" Cohorts of one: {listed(lone, 4)}; consider putting starts together, such as quarters."
    if before < FEW_PERIODS:
        text += " With fewer than three periods before the roll-out, trends before it cannot be judged."
    return Check(
        name="cohorts and periods",
        assumption=ENOUGH_DATA,
        verdict="concern" if before < FEW_PERIODS else "information",
        text=text,
        table=table,
        picture="roll-out",
    )


def _cohorts(design: Any, rollout: Rollout) -> pd.DataFrame:
    """One row per cohort: when it begins, how many there are, and the periods on either side."""
    axis = rollout.periods.axis()
    size = cohort_sizes(rollout)
    never = np.full(int(rollout.has_never), np.inf)
    starts = np.append(rollout.starts, never)
    place = np.searchsorted(rollout.times, starts)
    rows = len(axis)
    return pd.DataFrame(
        {
            "cohort": cohort_names(rollout),
            "rows" if rollout.began is None else "units": pd.Series(
                [people(design, n) for n in size], dtype=object
            ),
            "share_of_all": [np.nan if hidden(design, int(n)) else n / size.sum() for n in size],
            "periods_before": [int(min(at, rows)) for at in place],
            "periods_from_start": [int(rows - min(at, rows)) for at in place],
            "first_period": axis[0],
            "start": [axis[at] if at < rows else pd.NaT if _dated(axis) else np.nan for at in place],
            "last_period": axis[-1],
        }
    )


def _dated(axis: pd.Index[Any]) -> bool:
    return isinstance(axis, pd.DatetimeIndex)


def missing_values(design: Any, rollout: Rollout) -> Check:
    """Unit-period cells without a row, and empty outcomes before the roll-out, by cohort."""
    names = cohort_names(rollout)
    code = cohort_codes(rollout, rollout.first)
    early = before_roll_out(design, rollout)[rollout.time]
    empty = early & np.isnan(rollout.outcome)
    rows = np.bincount(code, minlength=len(names))
    held = np.bincount(code[early], minlength=len(names))
    table = pd.DataFrame({"cohort": names})
    if rollout.began is not None:
        cells = cohort_sizes(rollout) * rollout.n_periods
        table["share_of_cells_without_rows"] = 1 - rows / cells
    table["share_of_outcomes_empty_before"] = np.bincount(code[empty], minlength=len(names)) / np.maximum(
        held, 1
    )
    worst = float(table.drop(columns="cohort").to_numpy().max())
    text = f"At most {worst:.1%} is missing in any cohort." if worst else "Nothing is missing."
    text += " Outcomes from the earliest start on have not been looked at."
    return Check(
        name="missing values",
        assumption=ENOUGH_DATA,
        verdict="concern" if worst > MUCH_MISSING else "supports",
        text=text,
        table=table,
    )


def rows_left_out(design: Any, rollout: Rollout) -> Check:
    """Rows and units left out while reading, and what each rule for units with gaps would use."""
    lost = rollout.losses.iloc[0]["rows"] - rollout.losses.iloc[-1]["rows"]
    text = "No row was left out." if not lost else "{lost} rows were left out while reading (see the table)."
    gaps = not (rollout.began is None or rollout.is_grid)
    if gaps:
        shares = [
            f"'{rule}' ({RULES[rule]}) {rows_used(rollout, rule) / len(rollout):.1%}"
            for rule in ("cross-sections", "pairs", "drop")
        ]
        text += " Some units lack periods. Share of the rows that each rule for them uses (unbalanced): "
        text += f"{listed(shares)}. The estimates may differ, so choose before you see them."
    return Check(
        name="rows left out",
        assumption=COMPOSITION,
        verdict="information" if gaps or lost else "supports",
        text=Counted(text, lost=Count(lost)),
        table=rollout.losses,
    )
