"""E-values and tipping points: what is needed of them is an estimate with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from qieval.errors import DataError
from qieval.numerics import e_values, tipping
from qieval.sensitivity.base import Sensitivity, known
from qieval.text import number

Floats: TypeAlias = npt.NDArray[np.float64]

RATIOS: Mapping[str, Callable[[Any], Floats]] = {
    "risk ratio": np.asarray,
    "rate ratio": np.asarray,
    "odds ratio of a rare outcome": np.asarray,
    "odds ratio of a common outcome": e_values.from_common_odds_ratio,
    "hazard ratio of a rare outcome": np.asarray,
    "hazard ratio of a common outcome": e_values.from_common_hazard_ratio,
}
"""Measures of effect and how each becomes a risk ratio; 'common' means more than about 15% by the end."""
MEASURES = (*RATIOS, "difference")


def e_value(
    estimate: float,
    low: float = np.nan,
    high: float = np.nan,
    *,
    measure: str = "risk ratio",
    sd: float | None = None,
    true: float | None = None,
) -> Sensitivity:
    """The E-value of an estimate and of the limit of its 95% interval nearer to no effect.

    measure: one of `MEASURES`. A "difference" needs `sd`, the standard deviation of the outcome, and is only
    approximate. true: the effect to explain the estimate down to, on the scale of the measure (no effect when
    None). Source: VanderWeele and Ding (2017).

    >>> e_value(0.80, 0.71, 0.91).table["e_value"].round(3).tolist()
    [1.809, 1.429]
    """
    known("measure", measure, MEASURES)
    if np.isfinite([low, high]).all() and not low <= estimate <= high:
        raise DataError(
            f"estimate: {estimate:g} does not lie inside its interval ({low:g} to {high:g}), so one of the"
            " three was mistyped or is on another scale. Give all three on the same scale."
        )
    ratios, target = _as_ratios((estimate, low, high), measure, sd, true)
    found = e_values.e_values(float(ratios[0]), float(ratios[1]), float(ratios[2]), target)
    table = pd.DataFrame(
        {
            "quantity": ["estimate", "limit of the interval nearer to no effect"],
            "risk_ratio": [found.ratio, found.low if found.ratio > target else found.high],
            "e_value": [found.point, found.limit],
        }
    )
    return Sensitivity(name="E-value", text=_e_value_text(found.point, found.limit), table=table)


def e_value_from_counts(
    treated_events: int, treated: int, comparison_events: int, comparison: int, *, true: float = 0.0
) -> Sensitivity:
    """The E-value of a risk difference from a table: events and people in each group.

    Source: Ding and VanderWeele (2016); the limit is solved for exactly.
    """
    for role, events, people in (
        ("treated", treated_events, treated),
        ("comparison", comparison_events, comparison),
    ):
        if not 0 <= events <= people or people < 1:
            raise DataError(
                f"{role}: {events:,} events among {people:,} people is not possible, so no risk can be taken."
                " Give the number with the event first, then everybody in the group."
            )
    risks = e_values.Risks(treated_events / treated, comparison_events / comparison, treated, comparison)
    found = e_values.risk_difference_e_values(risks, true)
    table = pd.DataFrame(
        {
            "quantity": ["estimate", "limit of the interval nearer to no effect"],
            "risk_difference": [found.difference, found.low if found.difference >= true else found.high],
            "e_value": [found.point, found.limit],
        }
    )
    return Sensitivity(name="E-value", text=_e_value_text(found.point, found.limit), table=table)


def tipping_point(
    estimate: float,
    *,
    differences: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    unexposed: float | None = None,
    ratio: bool = True,
) -> Sensitivity:
    """The association with the outcome at which an unmeasured confounder tips an estimate to no effect.

    differences: how much the confounder's mean (in standard deviations) differs between the groups; with
    `unexposed`, its prevalence in the comparison group, they are differences in prevalence. ratio: whether
    the estimate is a ratio (risk, rate, odds or hazard of a rare outcome) or a coefficient. Use the limit
    nearer to no effect to tip an interval. NaN: no such confounder could. Source: Lin, Psaty and Kronmal
    (1998).
    """
    if ratio and not estimate > 0:
        raise DataError(
            f"estimate: {estimate:g} is not positive, so it is no ratio. Set ratio=False for a coefficient or"
            " a difference."
        )
    gaps = np.asarray(differences, dtype=float)
    if not ratio:
        needed = tipping.tip_coefficient(estimate, gaps)
    elif unexposed is None:
        needed = tipping.tip_continuous_outcome(estimate, gaps)
    else:
        exposed = np.where(np.abs(gaps + unexposed - 0.5) <= 0.5, gaps + unexposed, np.nan)
        needed = tipping.tip_binary_outcome(estimate, exposed, unexposed)
    table = pd.DataFrame({"difference": gaps, "association_with_outcome": np.asarray(needed)})
    possible = table.dropna()
    if possible.empty:
        text = "No confounder with such differences between the groups could explain the estimate away."
    else:
        first, last = possible.iloc[0], possible.iloc[-1]
        what = "a ratio" if ratio else "an effect"
        text = (
            f"A confounder that differs by {number(first['difference'])} between the groups would need"
            f" {what} of {number(first['association_with_outcome'])} with the outcome to explain the estimate"
            f" away; one that differs by {number(last['difference'])}, {what} of"
            f" {number(last['association_with_outcome'])}."
        )
    return Sensitivity(name="tipping point", text=text, table=table)


def _as_ratios(
    held: tuple[float, float, float], measure: str, sd: float | None, true: float | None
) -> tuple[Floats, float]:
    """Estimate, low and high as risk ratios, and the true value likewise."""
    if measure != "difference":
        if not held[0] > 0 or min(held[1:]) <= 0 or (true is not None and true <= 0):
            raise DataError(
                f"estimate: a {measure} must be positive, and one of the numbers is not. Give ratios, not"
                " their logarithms."
            )
        convert = RATIOS[measure]
        return np.asarray(convert(np.array(held))), float(convert(1.0 if true is None else true))
    if sd is None or not sd > 0:
        raise DataError(
            "sd: a difference can only be turned into a ratio with the standard deviation of the outcome."
            " Give sd, a positive number."
        )
    half = (held[2] - held[1]) / 2 / 1.959963984540054
    found = e_values.from_difference(held[0] / sd, half / sd)
    return np.array(found), e_values.from_difference((true or 0.0) / sd)[0]


def _e_value_text(point: float, limit: float) -> str:
    text = (
        "An unmeasured characteristic would have to be associated with both treatment and outcome by a risk"
        f" ratio of at least {number(point)} each, beyond the measured ones, to explain the estimate away."
    )
    if np.isnan(limit):
        return text
    if limit == 1:
        return text + " The interval includes no effect already."
    return text + f" A risk ratio of {number(limit)} each would bring the interval to no effect."
