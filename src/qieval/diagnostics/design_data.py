"""What the data hold, before any outcome after the start is looked at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.design import PanelDesign
from qieval.shapes import Panel
from qieval.text import Count, Counted, plural

MUCH_MISSING = 0.05
"""More than this share missing in one arm deserves a concern (a rule of thumb of trial reporting)."""


def units_and_periods(design: PanelDesign, panel: Panel) -> Check:
    """How many units and periods there are in each arm."""
    people = Count if design.units_are == "people" else int
    treated = _arms(panel)
    table = pd.DataFrame(
        {
            "group": ["treated", "comparison"],
            "units": [people(np.unique(panel.unit[rows]).size) for rows in treated],
            "rows": [Count(rows.sum()) for rows in treated],
            "periods_before": [int(np.unique(panel.time[rows & ~panel.after]).size) for rows in treated],
            "periods_from_start": [int(np.unique(panel.time[rows & panel.after]).size) for rows in treated],
        }
    ).astype({"units": object, "rows": object})
    labels = panel.periods.shown()
    before, after = panel.start, panel.n_periods - panel.start
    text = (
        f"The data run from {labels[0]} to {labels[-1]}: {plural(before, 'period')} before the start"
        f" ({labels[panel.start]}) and {plural(after, 'period')} from it on."
    )
    if before < 3:
        text += " With fewer than three periods before the start, trends before it cannot be judged."
    return Check(
        name="units and periods",
        assumption="enough data",
        verdict="concern" if before < 3 else "information",
        text=text,
        table=table,
    )


def missing_values(design: PanelDesign, panel: Panel) -> Check:
    """Unit-period cells without a row, and empty outcomes before the start."""
    rows = []
    for group, arm in zip(("treated", "comparison"), _arms(panel), strict=True):
        units = np.unique(panel.unit[arm]).size
        cells = np.unique(panel.unit[arm] * np.int64(panel.n_periods) + panel.time[arm]).size
        before = arm & (panel.time < panel.start - int(getattr(design, "anticipation", 0)))
        empty = np.isnan(panel.outcome[before]).sum()
        rows.append(
            {
                "group": group,
                "share_of_cells_without_rows": 1 - cells / (units * panel.n_periods),
                "share_of_outcomes_empty_before": empty / max(before.sum(), 1),
            }
        )
    table = pd.DataFrame(rows)
    repeated = bool(getattr(design, "repeats", False))
    if repeated:
        table = table.drop(columns="share_of_cells_without_rows")
    worst = float(table.drop(columns="group").to_numpy().max())
    text = f"At most {worst:.1%} is missing in either group." if worst else "Nothing is missing."
    text += " Outcomes from the start on have not been looked at."
    return Check(
        name="missing values",
        assumption="enough data",
        verdict="concern" if worst > MUCH_MISSING else "supports",
        text=text,
        table=table,
    )


def attrition(design: PanelDesign, panel: Panel) -> Check:
    """Rows and units left out while reading, and units that enter late or leave early."""
    lost = panel.losses.iloc[0]["rows"] - panel.losses.iloc[-1]["rows"]
    parts: list[str] = []
    text: str = (
        "No row was left out." if not lost else "{lost} rows were left out while reading (see the table)."
    )
    verdict = "supports"
    if not getattr(design, "repeats", False):
        shares = [_staying(panel, arm) for arm in _arms(panel)]
        parts.append(
            f" Units observed in every period: {shares[0]:.0%} of the treated, {shares[1]:.0%} of the"
            " comparison units."
        )
        verdict = (
            "concern"
            if abs(shares[0] - shares[1]) > MUCH_MISSING
            else "supports"
            if min(shares) == 1
            else "information"
        )
    return Check(
        name="attrition",
        assumption="stable composition",
        verdict=verdict,  # type: ignore[arg-type]
        text=Counted(text + "".join(parts).replace("{", "(").replace("}", ")"), lost=Count(lost)),
        table=panel.losses,
    )


def _arms(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    return panel.treated, ~panel.treated


def _staying(panel: Panel, arm: np.ndarray) -> float:
    """The share of the arm's units that have a row in every period."""
    seen = np.bincount(panel.unit[arm], minlength=len(panel.units))
    return float((seen[seen > 0] == panel.n_periods).mean())
