"""Whether counts vary more than the family says, and whether single values decide the effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check
from qieval.diagnostics.series_rows import (
    COUNTS,
    DISTRIBUTION,
    PROPORTIONS,
    all_tried,
    fitted,
    is_clear,
    on_one_scale,
    own_rows,
)
from qieval.interrupted import FittedSeries
from qieval.result import Study
from qieval.text import listed, number, plural

MUCH = 1.2
"""Dispersion that matters: standard errors are then a tenth too small."""
SMALL_P = 0.05
UNEQUAL = 2.0
"""One side of the interruption that scatters that many times as much as the other is worth a look."""
EXTREMES = 3
TO_SPREAD = 1.4826
"""The standard deviation of a normal distribution over its median distance to the median."""
OUTLYING = 3.0


def over_dispersion(study: Study) -> Check:
    """Counts: the spread around the fit against that of the Poisson (binomial) distribution.

    Pearson's statistic over its degrees of freedom, with its chi-squared test (McCullagh and Nelder 1989,
    section 4.5); the same for amounts would say nothing, so both sides of the start are compared instead.
    """
    kernel = fitted(study)
    if kernel.family not in COUNTS + PROPORTIONS:
        return _equal_spread(kernel)
    pearson, df = _pearson(kernel)
    ratio, p = pearson / df, float(scipy.special.chdtrc(df, pearson))
    plain = kernel.family in ("poisson", "binomial")
    much = ratio > MUCH and p < SMALL_P
    law = "binomial" if kernel.family in PROPORTIONS else "Poisson"
    text = (
        f"Counts vary {number(ratio, 3)} times as much around the fit as under the {law} distribution (p ="
        f" {number(p, 2)})."
    )
    if plain and much:
        other = "quasi-binomial" if kernel.family == "binomial" else "quasi-poisson"
        text += (
            f" The {kernel.family} model takes none of that into account: its intervals should be"
            f" {number(float(np.sqrt(ratio)), 3)} times as wide. Use family='{other}'."
        )
    elif plain:
        text += f" That gives no reason against the {kernel.family} family."
    else:
        text += f" The {kernel.family} family allows for it."
        text += " What is left may be a season, trend or event that the model lacks." if ratio > 2 else ""
    table = pd.DataFrame(
        {
            "quantity": ["dispersion", "Pearson's statistic", "degrees of freedom", "p-value"],
            "value": [ratio, pearson, df, p],
        }
    )
    return Check(
        name="over-dispersion",
        assumption=DISTRIBUTION,
        verdict="concern" if plain and much else "supports",
        text=text,
        table=table,
    )


def _pearson(kernel: FittedSeries) -> tuple[float, float]:
    """Pearson's statistic of the fit under the Poisson (binomial) variance, and its degrees of freedom."""
    base: Any = kernel.more["base"]
    mean, y = base.fitted, base.outcome.y
    variance = mean if kernel.family in COUNTS else mean * (1 - mean / base.outcome.trials)
    return float(((y - mean) ** 2 / variance).sum()), float(len(y) - len(kernel.coefficients))


def _equal_spread(kernel: FittedSeries) -> Check:
    """For amounts: the scatter around the fit before and after the start."""
    own = own_rows(kernel)
    left, late = kernel.residuals[own], kernel.at[own] >= kernel.made.start
    if not late.any() or late.all():
        text = "The model leaves residuals on one side of the start only, so their spread cannot be compared."
        return Check(name="over-dispersion", assumption=DISTRIBUTION, verdict="information", text=text)
    spread = [float(np.sqrt((left[side] ** 2).mean())) for side in (~late, late)]
    ratio = spread[1] / spread[0] if spread[0] > 0 else float("nan")
    apart = bool(ratio > UNEQUAL or ratio < 1 / UNEQUAL)
    text = (
        f"Values scatter around the fit by {number(spread[0])} before and {number(spread[1])} after the start"
        " (root mean square)."
    )
    if apart:
        text += (
            " Intervals take the scatter to be the same throughout; such a change may be one of recording, or"
            " the form of the change may be wrong."
        )
    return Check(
        name="over-dispersion",
        assumption=DISTRIBUTION,
        verdict="concern" if apart else "supports",
        text=text,
        table=pd.DataFrame({"side": ["before the start", "after the start"], "scatter": spread}),
    )


def influential_values(study: Study) -> Check:
    """The effect without each of the periods that lie furthest from the fit, and without all of them."""
    kernel = fitted(study)
    design, shown = study.design, kernel.made.series.shown()
    own = own_rows(kernel)
    if not own.any():
        text = "The model leaves no residuals by which values could be told to be extreme."
        return Check(name="influential values", assumption=DISTRIBUTION, verdict="information", text=text)
    at, distance = kernel.at[own], standardised(kernel)[own]
    extreme = np.argsort(-np.abs(distance), kind="stable")[:EXTREMES]
    labels = [str(kernel.made.series.label(int(at[row]))) for row in extreme]
    why = "furthest from the fit"
    ways: dict[str, Any] = {
        f"without {label}": {"left_out": {**design.left_out, label: why}} for label in labels
    }
    ways[f"without all {len(labels)}"] = {"left_out": {**design.left_out, **dict.fromkeys(labels, why)}}
    table = all_tried(study, ways, "influential values")
    table["standardised_residual"] = [np.nan, *distance[extreme], np.nan]
    moved, turned = _movement(table)
    outlying = [shown[at[row]] for row in extreme if abs(distance[row]) > OUTLYING]
    if int(table["estimate"].notna().sum()) < 2:
        text = "Without the values furthest from the fit nothing could be estimated; the table says why."
        return Check(
            name="influential values", assumption=DISTRIBUTION, verdict="information", text=text, table=table
        )
    text = f"The values furthest from the fit are those of {listed([shown[at[row]] for row in extreme])}"
    text += f" ({number(float(np.abs(distance[extreme[0]])), 2)} standard deviations at most)."
    text += f" Leaving them out moves the effect by at most {moved:.0%} of the width of its interval"
    text += ", and whether the interval leaves no effect out then changes." if turned else "."
    if outlying:
        text += (
            f" {plural(len(outlying), 'period')} ({listed(outlying)}) may be errors or events of their own:"
            " ask what happened, and leave out (left_out) only with a reason."
        )
    return Check(
        name="influential values",
        assumption=DISTRIBUTION,
        verdict="concern" if turned or moved > 0.5 else "information" if outlying else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def standardised(kernel: FittedSeries) -> np.ndarray:
    """What is left of the values over its spread (n,), told from the median distance to the median."""
    left = kernel.innovations
    spread = TO_SPREAD * float(np.median(np.abs(left - np.median(left)))) or float(left.std()) or 1.0
    found: np.ndarray = left / spread
    return found


def _movement(table: pd.DataFrame) -> tuple[float, bool]:
    """The largest move of the effect as a share of the width of its interval, and whether the conclusion
    changes."""
    held = table.dropna(subset=["estimate"])
    estimate = on_one_scale(held, "estimate")
    width = (on_one_scale(held, "conf_high") - on_one_scale(held, "conf_low")).iloc[0]
    clear = [is_clear(dict(row)) for _, row in held.iterrows()]
    moved = float((estimate - estimate.iloc[0]).abs().max() / width) if width > 0 else float("nan")
    return moved, any(each != clear[0] for each in clear)
