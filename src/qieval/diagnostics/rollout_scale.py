"""Does the answer of a roll-out depend on whether changes are counted in amounts or in percent?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_leads import tried
from qieval.diagnostics.rollout_rows import (
    RATIOS,
    before_roll_out,
    cohort_codes,
    cohort_names,
    cohort_sizes,
    hidden,
    measured,
)
from qieval.result import Result, Study, overall
from qieval.text import number

NAME, ASSUMPTION = "amounts or percentages", "trends are parallel on the scale used"
ALIKE = 0.1
"""Cohorts whose levels before the roll-out differ by less than this share are parallel on both scales or on
neither."""
WEIGHT, AMOUNT = "__qieval_weight__", "__qieval_amount__"


def amounts_or_percentages(study: Study) -> Check:
    """Compare the levels of cohorts before the roll-out, and the estimate with one on the other scale.

    The other scale of amounts is the logarithm, or a ratio by Poisson regression where some outcomes are 0;
    that of ratios is the rate, weighted by the exposure. Effects in amounts are shown as shares of the
    expected level.
    """
    levels = _levels(study)
    text, gap = "", np.inf
    if len(levels) > 1:
        low, high = float(levels.min()), float(levels.max())
        gap = (high - low) / max(abs(float(levels.mean())), np.finfo(float).tiny)
        text = f"Before the roll-out the levels of the cohorts were {number(low)} to {number(high)}."
    if gap < ALIKE:
        text += (
            " With levels this close it matters little whether change is counted in amounts or in percent."
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="supports", text=text)
    found, how = _other_scale(study)
    if isinstance(found, str):
        text = f"{text} The other scale could not be compared: {found}"
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text.strip())
    return _compared(study, found, how, text)


def _levels(study: Study) -> np.ndarray:
    """The mean of each cohort before the roll-out (c,); cohorts of too few people are left out."""
    rollout = study.panel
    early = before_roll_out(study.design, rollout)[rollout.time]
    code = cohort_codes(rollout, rollout.first)[early]
    weight = np.ones(len(rollout)) if rollout.weights is None else rollout.weights
    weight = (weight if rollout.exposure is None else weight * rollout.exposure)[early]
    size = len(cohort_names(rollout))
    below = np.bincount(code, weight, size)
    above = np.bincount(code, weight * measured(rollout)[early], size)
    shown = [not hidden(study.design, int(n)) for n in cohort_sizes(rollout)]
    kept = (below > 0) & np.array(shown)
    return np.asarray(above[kept] / below[kept])


def _other_scale(study: Study) -> tuple[Result | str, str]:
    """The result on the other scale, or why there is none, and what it is called."""
    design, rollout = study.design, study.panel
    frame = study.frame.iloc[rollout.row]
    if design.approach in RATIOS:
        weight = np.ones(len(rollout)) if rollout.weights is None else rollout.weights
        weight = weight if rollout.exposure is None else weight * rollout.exposure
        frame = frame.assign(**{AMOUNT: measured(rollout), WEIGHT: weight})
        approach = "group-time" if design.approach == "poisson" else "two-way"
        changes = {"outcome": AMOUNT, "exposure": None, "weights": WEIGHT, "approach": approach}
        return tried(study, frame, **changes), "in amounts, as share of the expected level"
    if (rollout.outcome > 0).all():
        frame = frame.assign(**{AMOUNT: np.log(rollout.outcome)})
        return tried(study, frame, outcome=AMOUNT), "in percent (logarithm)"
    if (rollout.outcome < 0).any():
        return "some outcomes are below zero, so there are no percentage changes.", ""
    if design.eligible is not None:
        return "some outcomes are 0, and triple differences are not estimated as ratios.", ""
    approach = "poisson two-way" if design.approach == "two-way" else "poisson"
    return tried(study, approach=approach), "in percent (ratio of means)"


def _compared(study: Study, found: Result, how: str, text: str) -> Check:
    own = study.design.approach in RATIOS
    one = _shares(
        study.result, own, "in percent (ratio)" if own else "in amounts, as share of the expected level"
    )
    other = _shares(found, _is_ratio(found) or not own, how, logged=not own and not _is_ratio(found))
    table = pd.DataFrame([one, other])
    if not np.isfinite(table[["estimate", "conf_low"]].to_numpy(dtype=float)).all():
        text += " The expected level is not above zero, so shares of it mean nothing."
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text.strip())
    clear = [bool(row["conf_low"] * row["conf_high"] > 0) for row in (one, other)]
    turned = bool(one["estimate"] * other["estimate"] < 0)
    apart = turned or clear[0] != clear[1]
    why = "they point in different directions" if turned else "only one interval leaves no effect out"
    text += (
        f" As designed the effect is {one['estimate']:+.1%} ({one['label']}), on the other scale"
        f" {other['estimate']:+.1%} ({other['label']})"
    )
    text += (
        f": {why}, so the conclusion depends on the scale; say why one of them is right."
        if apart
        else "; both lead to the same conclusion."
    )
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="concern" if apart else "information",
        text=text.strip(),
        table=table,
        picture="intervals",
    )


def _is_ratio(result: Result) -> bool:
    return bool(result.kernel.ratio)


def _shares(result: Result, percent: bool, label: str, *, logged: bool = False) -> dict[str, Any]:
    """Estimate and interval of a result as a share of what was expected."""
    row = overall(result)
    held = {key: float(row[key]) for key in ("estimate", "conf_low", "conf_high")}
    if logged:
        return {"label": label, **{key: float(np.expm1(value)) for key, value in held.items()}}
    if percent:
        return {"label": label, **{key: value - 1 for key, value in held.items()}}
    facts = pd.Series(dtype=object) if result.facts is None else result.facts
    expected = float(facts.get("expected level without the intervention", np.nan))
    expected = expected if expected > 0 else np.nan
    return {"label": label, **{key: value / expected for key, value in held.items()}}
