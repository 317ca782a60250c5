"""Why a roll-out cannot be evaluated, in words."""

from __future__ import annotations

import numpy as np

from qieval.rollout.panel import Rollout
from qieval.rollout.starts import fixed_in_units
from qieval.rollout_design import RolloutDesign
from qieval.text import listed, plural


def comparable(design: RolloutDesign, made: Rollout, notes: list[str]) -> list[str]:
    """Why nothing can be compared, in words."""
    if made.n_periods < 2:
        return [
            f"time: '{design.time}' holds a single period; a change needs a time before and a time after. Add"
            " earlier and later periods."
        ]
    if not len(made) or not len(made.starts):
        return [
            "first_treated: no unit begins after the first period of the data, so there is no change to see."
            " Check how starts are coded (like the time column; empty for never), or add earlier periods."
        ]
    against = getattr(design, "approach", "group-time") in ("group-time", "stacked")
    wants_never = against and getattr(design, "control_group", "never") == "never"
    if not made.has_never and wants_never and len(made.starts) > 1:
        return [
            "control_group: every unit begins within the data, so nobody is never treated. Use"
            " control_group='not yet' to compare with units that begin later."
            + "".join(f" ({note})" for note in notes if note.startswith("first_treated"))
            + (" Never-treated units were left out as neighbours." if _had_neighbours(design) else "")
        ]
    if not made.has_never and len(made.starts) == 1:
        return [
            "first_treated: all units begin in the same period and none never does, so there is nobody to"
            " compare with. Add units without the intervention, or use an interrupted time series."
        ]
    if design.data == "panel" and np.bincount(made.unit).max() < 2:
        return [
            f"unit: no unit of '{design.unit}' is observed in more than one period, so no change can be seen."
            " Check the unit and the time columns (exact dates must be grouped into months first), or choose"
            " data='repeated cross-sections'."
        ]
    return _eligible_in_every_arm(made)


def _had_neighbours(design: RolloutDesign) -> bool:
    return design.neighbour is not None or bool(design.exclusion)


def _eligible_in_every_arm(made: Rollout) -> list[str]:
    if made.eligible is None:
        return []
    changing = fixed_in_units(made.eligible, made.unit, len(made.units))[1]
    if changing:
        return [
            f"eligible: it changes over time within {plural(changing, 'unit')}. Split such units in two,"
            " one for"
            " the eligible and one for the others."
        ]
    treated = np.isfinite(made.first)
    lacking = [
        f"{who} people or units among {where}"
        for where, rows in (("those treated", treated), ("the comparison", ~treated))
        for who, flag in (("eligible", True), ("ineligible", False))
        if not (rows & (made.eligible == flag)).any()
    ]
    if lacking and made.has_never:
        return [f"eligible: there are no {listed(lacking)}, and a triple difference needs all four groups."]
    return []
