"""Whether there are enough people and different scores near the cutoff, and what could be found with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import ENOUGH, FEWEST_DESCRIBED, counted, fitted
from qieval.discontinuous.local import Discontinuous
from qieval.numerics.discontinuity import Discontinuity
from qieval.numerics.discontinuity_adjust import ratio_gradient
from qieval.numerics.discontinuity_power import (
    JumpVariance,
    detectable_effect,
    discontinuity_power,
    discontinuity_sample_size,
)
from qieval.numerics.local_randomisation_support import support_points
from qieval.result import Study
from qieval.text import Count, Counted, number

FEW_PEOPLE, FEW_VALUES = 30, 10
"""Below this many people or different scores within the bandwidth on a side there is little to go on."""
MANY_PEOPLE, MANY_VALUES = 100, 20
POWER = 0.8
SIZES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""True effects, as multiples of the smallest that is found with the stated power."""


def scores_on_each_side(design: Any, made: Discontinuous) -> Check:
    """People and different scores on each side before any outcome is seen."""
    found = support_points(made.s[made.kept], 0.0)
    table = _sides(
        design, made, {"people": (found.rows_left.sum(), found.rows_right.sum()), "values": found.n}
    )
    fewest = min(found.n)
    text = "There are {all} different scores, {fewest} on the side with fewer."
    if made.kept.sum() >= FEWEST_DESCRIBED * sum(found.n):
        text += f" The nearest ones on either side of the cutoff lie {number(found.gap)} apart."
    if fewest < FEW_VALUES:
        text += " With so few a line cannot be told from a curve: intervals must allow for that."
    verdict: Verdict = "concern" if fewest < FEW_VALUES else "information"
    name = "different scores on each side"
    said = Counted(text, all=Count(sum(found.n)), fewest=Count(fewest))
    return Check(name=name, assumption=ENOUGH, verdict=verdict, text=said, table=table)


def _sides(design: Any, made: Discontinuous, held: dict[str, Any]) -> pd.DataFrame:
    """People and different scores on the treated side and on the other."""
    sides = (1, 0) if made.sign > 0 else (0, 1)
    return pd.DataFrame(
        {
            "side": ["treated side", "other side"],
            "people": [counted(design, held["people"][side]) for side in sides],
            "different_scores": [counted(design, held["values"][side]) for side in sides],
        }
    )


def enough_near_the_cutoff(study: Study) -> Check:
    """People and different scores within the bandwidth, always stated."""
    design, held = study.design, fitted(study)
    found, made = held.fit, held.made
    table = _sides(design, made, {"people": found.n_h, "values": found.support_h})
    fewest, values = int(found.n_h.min()), int(found.support_h.min())
    text = "Within the bandwidth there are {left} and {right} different scores on the two sides."
    honest = held.way.kind in ("honest", "local randomisation")
    thin = fewest < FEW_PEOPLE or (values < FEW_VALUES and not honest)
    if values < FEW_VALUES:
        text += f" That is few; the interval in the headline is {held.way.kind}"
        text += ", which allows for it." if honest else ", which takes many for granted."
    text += " Fewer than thirty people lie on one side." if fewest < FEW_PEOPLE else ""
    plenty = fewest >= MANY_PEOPLE and values >= MANY_VALUES
    verdict: Verdict = "concern" if thin else "supports" if plenty else "information"
    name = "people and different scores near the cutoff"
    said = Counted(text, left=Count(int(found.support_h[0])), right=Count(int(found.support_h[1])))
    return Check(name=name, assumption=ENOUGH, verdict=verdict, text=said, table=table)


def power(study: Study) -> Check:
    """The smallest effect that these data would find, and how many people other effects need.

    Source: Cattaneo, Titiunik and Vazquez-Bare 2019.
    """
    held, design = fitted(study), study.design
    try:
        known = _precision(held.fit, design)
    except ValueError as cause:
        text = f"What these data could find is not known: {cause}."
        return Check(name="power", assumption=ENOUGH, verdict="information", text=text)
    least = detectable_effect(known, POWER, design.level).effect
    rows = []
    for size in SIZES:
        effect = size * least
        rows.append(
            {
                "effect": effect,
                "power": discontinuity_power(known, effect, design.level).power,
                "sample_size": float(discontinuity_sample_size(known, effect, POWER, design.level).n),
            }
        )
    text = (
        f"With these data a true effect of {number(least)} would be found with a chance of {POWER:.0%} (by"
        " the robust interval). A smaller one may well be missed, so no effect found is not no effect."
    )
    return Check(
        name="power",
        assumption=ENOUGH,
        verdict="information",
        text=text,
        table=pd.DataFrame(rows),
        picture="power at the cutoff",
    )


def _precision(found: Discontinuity, design: Any) -> JumpVariance:
    """What the estimate says about its own precision, side by side."""
    gradient = np.ones(1)
    if found.uptake is not None:
        gradient = ratio_gradient(float(found.sides.jump[0]), float(found.sides.jump[1]))
    robust, plain = (
        [float(gradient @ side @ gradient) for side in held]
        for held in (found.sides.robust, found.sides.variance)
    )
    pair = {name: _pair(getattr(found, attribute)) for name, attribute in PAIRS.items()}
    return JumpVariance(
        variance=_pair(robust),
        conventional=_pair(plain),
        derivative=design.derivative,
        order=int(design.order),
        **pair,
    )


PAIRS = {"n": "n", "n_window": "n_h", "h": "h", "bias": "bias"}


def _pair(held: Any) -> tuple[float, float]:
    return float(held[0]), float(held[1])
