"""How much stronger than the measured characteristics unmeasured ones would have to be, and what would tip
it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics import omitted_variables as omitted
from qieval.numerics.oster import delta, movement
from qieval.numerics.tipping import tip_binary_outcome, tip_coefficient
from qieval.result import Study
from qieval.text import number

ASSUMPTION = "no unmeasured confounding"
RATIOS = ("risk ratio", "rate ratio", "mean ratio")
LARGEST_R2 = 1.3
"""Oster (2019) takes 1.3 times the R2 with all covariates as the largest that could be reached."""

SHARES = ((0.25, 0.2), (0.3, 0.2), (0.4, 0.2), (0.6, 0.2))
"""How common an unmeasured characteristic may be among the treated and in the comparison group."""

DIFFERENCES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""By how many standard deviations an unmeasured characteristic may differ between the groups."""


def proportional_selection(study: Study) -> Check:
    """Oster's delta: selection on what was not measured, relative to that on what was."""
    name = "selection on the unmeasured"
    cohort = study.compared.cohort
    kept = np.isfinite(cohort.outcome)
    if cohort.person_time is not None or kept.sum() < cohort.x.shape[1] + 3 or not cohort.x.shape[1]:
        text = "Not made for rates, survival, or without enough people."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    if np.ptp(cohort.outcome[kept]) == 0:
        text = "The outcome does not vary."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    moved = movement(omitted.reduce(cohort.x[kept], cohort.treated[kept].astype(float), cohort.outcome[kept]))
    largest = min(1.0, LARGEST_R2 * moved.r2_full)
    found = delta(moved, largest)
    table = pd.DataFrame(
        [
            {"regression": "treatment alone", "estimate": moved.short, "r_squared": moved.r2_short},
            {"regression": "with all covariates", "estimate": moved.full, "r_squared": moved.r2_full},
        ]
    )
    if not np.isfinite(found):
        text = (
            "Selection on what was not measured cannot be compared with that on what was (no Oster's delta)."
        )
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text, table=table)
    text = (
        f"Taking the covariates in moves a plain regression from {number(moved.short)} to"
        f" {number(moved.full)}. What was not measured would have to be {number(found)} times as strongly"
        f" selected as what was to bring that to zero (Oster's delta, largest R-squared {number(largest)})."
    )
    if found < 0:
        text += " Negative: taking in more that acts like what was measured would move it away from zero."
    weak = 0 < found < 1
    return Check(
        name=name, assumption=ASSUMPTION, verdict="concern" if weak else "information", text=text, table=table
    )


def tipping_point(study: Study) -> Check:
    """The unmeasured characteristic that would just explain the estimate away."""
    name = "tipping point"
    table = study.result.estimates
    ratios = table[table["term"].isin(RATIOS)] if table is not None else None
    if ratios is not None and len(ratios) and np.isfinite(ratios.iloc[0]["estimate"]):
        value = float(ratios.iloc[0]["estimate"])
        swapped = value < 1
        rows = [
            {
                "share_among_treated": zero if swapped else one,
                "share_in_comparison": one if swapped else zero,
                "ratio_with_outcome": float(tip_binary_outcome(max(value, 1 / value), one, zero)),
            }
            for one, zero in SHARES
        ]
        shown = pd.DataFrame(rows)
        first = shown.dropna().head(1)
        text = _ratio_text(value, first)
    else:
        value = float(study.overall["estimate"])
        shown = pd.DataFrame(
            [
                {"difference_between_groups": gap, "effect_on_outcome": float(tip_coefficient(value, gap))}
                for gap in DIFFERENCES
            ]
        )
        text = (
            "Something unmeasured that differs by 0.2 standard deviations between the groups would have to"
            f" move the outcome by {number(abs(value) / 0.2)} per standard deviation to explain the estimate"
            " away."
        )
    return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text, table=shown)


def _ratio_text(value: float, first: pd.DataFrame) -> str:
    if first.empty:
        return (
            f"No single characteristic with the prevalences tried could explain a ratio of {number(value)}"
            " away; the table shows them."
        )
    row = first.iloc[0]
    return (
        f"Something unmeasured that {row['share_among_treated']:.0%} of the treated and"
        f" {row['share_in_comparison']:.0%} of the comparison group have would need a ratio of"
        f" {number(row['ratio_with_outcome'])} with the outcome to explain the estimate away."
    )
