"""What a way of estimating a roll-out rests on: rows, units compared with, negative weights."""

from __future__ import annotations

import numpy as np

from qieval.methods.staggered_adoption import StaggeredAdoption
from qieval.methods.staggered_adoption.regressions import stacking_window
from qieval.methods.staggered_adoption.rows import roll_out_rows, used_rows
from qieval.numerics.stacked import stacked
from qieval.result import Result
from qieval.rollout.panel import Rollout

WARNINGS = ("two-way", "poisson two-way")
"""Approaches that also compare with units that have begun."""


def share_negative(design: StaggeredAdoption, found: Result) -> float:
    """The share of treated observations that a way gives a negative weight; NaN where it is not known.

    Averages of effects by cohort and period have none.
    """
    if design.approach not in WARNINGS:
        return 0.0
    weights = found.kernel.weights
    return np.nan if weights is None or weights.problem else float(weights.negative_share)


def reach(design: StaggeredAdoption, rollout: Rollout) -> tuple[int, int]:
    """Rows that can enter the estimate, and units (rows, in cross-sections) that are a comparison in it.

    Left out are units that the rule for lacking periods leaves out, units seen once where a change is needed,
    and, where everybody begins, periods in which nobody is left to compare with.
    """
    used = used_rows(design.unbalanced, rollout)
    if design.approach == "stacked":
        return _stacked(design, used)
    crossed = used.began is None or (design.unbalanced == "cross-sections" and not used.is_grid)
    keep = np.ones(len(used), dtype=bool)
    if not crossed and design.approach != "poisson":
        keep = np.bincount(used.unit)[used.unit] > 1  # a change needs two periods
    if not used.has_never and design.approach not in WARNINGS:
        keep &= used.times[used.time] < used.starts.max() - design.anticipation
    compared = keep & _comparison(design, used)
    return int(keep.sum()), int(compared.sum()) if used.began is None else len(np.unique(used.unit[compared]))


def _comparison(design: StaggeredAdoption, used: Rollout) -> np.ndarray:
    """Rows of units that others are compared with at some time (n,)."""
    never: np.ndarray = np.isinf(used.first)
    if design.approach in WARNINGS:
        return np.full(len(used), fill_value=True) if len(used.starts) > 1 else never
    if design.approach == "interaction-weighted":
        return never if used.has_never else np.asarray(used.first == used.starts.max())
    if design.approach == "group-time" and design.control_group == "never" and used.has_never:
        return never
    return np.asarray(used.first > used.starts.min() + design.anticipation)


def _stacked(design: StaggeredAdoption, used: Rollout) -> tuple[int, int]:
    """Rows in any of the stacked data sets, and units that are a comparison in one."""
    window = stacking_window(design, used)
    found = stacked(roll_out_rows(used), window)
    inside = np.zeros(len(used), dtype=bool)
    inside[found.row] = True
    earliest = min(
        (start for start, why in zip(found.cohort, found.left_out, strict=True) if not why), default=np.inf
    )
    clean = np.isinf(used.first)
    if window.controls == "not yet":
        clean |= used.first > earliest + window.after + window.anticipation
    return int(inside.sum()), len(np.unique(used.unit[inside & clean]))
