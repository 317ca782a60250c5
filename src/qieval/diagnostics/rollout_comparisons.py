"""Which comparisons an estimate of a roll-out makes, and what other ways of making them give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_rows import (
    CLEAN,
    RATIOS,
    TWO_WAY,
    altered,
    reach,
    regression_rows,
    stated,
)
from qieval.numerics.goodman_bacon import ALWAYS, EARLIER, LATER, UNTREATED, Bacon, goodman_bacon
from qieval.numerics.two_way_weights import two_way_weights
from qieval.progress import progress
from qieval.result import Study
from qieval.rollout.panel import Rollout
from qieval.text import number

FORBIDDEN = (LATER, ALWAYS)
KIND = {
    EARLIER: "earlier against later starters",
    LATER: "later against earlier starters (already treated)",
    ALWAYS: "later starters against units treated throughout",
    UNTREATED: "starters against units that never begin",
}
NEGATIVE = 1e-9


def two_by_two_comparisons(study: Study) -> Check:
    """What the two-way regression compares (Goodman-Bacon) and how it weighs effects, beside ours."""
    name, approach = "two by two comparisons", study.design.approach
    rollout: Rollout = study.panel
    own = approach in TWO_WAY
    lone = len(rollout.starts) == 1 and rollout.has_never
    opening = _opening(approach, own, lone)
    table, text = _decomposed(study)
    return Check(
        name=name,
        assumption=CLEAN,
        verdict="concern" if own and not lone else "supports",
        text=opening + text,
        table=table,
        picture=None if table is None else name,
    )


def _opening(approach: str, own: bool, lone: bool) -> str:
    if lone:
        return "All that begin do so in the same period, so they are compared with units that never begin."
    if own:
        return (
            f"approach='{approach}' also compares units with others that have begun already, whose own effect"
            " may still grow or fade."
        )
    return f"approach='{approach}' compares no unit with others that have begun."


def _decomposed(study: Study) -> tuple[pd.DataFrame | None, str]:
    """The table of comparisons and its sentences; where there is no decomposition the reason."""
    rollout: Rollout = study.panel
    if rollout.began is None:
        return None, (
            " Nobody is followed in repeated cross-sections, so the two-way regression is not taken apart."
        )
    eligible = rollout if rollout.eligible is None else rollout.where(rollout.eligible)
    whole = eligible.whole()
    if not len(whole):
        return None, " No unit is observed in every period, so the two-way regression cannot be taken apart."
    wide_weights = _unit_weights(whole)
    assert whole.began is not None
    y = regression_rows(whole).y.reshape(len(whole.units), whole.n_periods)
    found = goodman_bacon(y, whole.began, whole.times, wide_weights)
    if found.problem:
        return None, f" The two-way regression was not taken apart: {found.problem}"
    return _comparisons(whole, found), _sentences(study, eligible, whole, found)


def _unit_weights(rollout: Rollout) -> np.ndarray | None:
    """The mean weight of each unit, since the decomposition has one weight for each."""
    if rollout.weights is None:
        return None
    return np.asarray(rollout.weights.reshape(len(rollout.units), -1).mean(axis=1))


def _comparisons(rollout: Rollout, found: Bacon) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": [KIND[kind] for kind in found.kind],
            "begins": rollout.labels(found.treated),
            "compared_with": rollout.labels(found.comparison),
            "estimate": found.estimate,
            "weight": found.weight,
        }
    )


def _sentences(study: Study, eligible: Rollout, whole: Rollout, found: Bacon) -> str:
    forbidden = sum(part.weight for part in found.by_kind if part.kind in FORBIDDEN)
    of_rates = " of rates" if study.design.exposure is not None else ""
    text = f" The two-way regression{of_rates} without covariates gives {number(found.twfe)}"
    if study.design.approach not in RATIOS:
        text += f" (this analysis: {number(study.overall['estimate'])})"
    if len(whole) < len(eligible):
        text += " in units seen in every period"
    text += f"; {_share(forbidden)} of its weight lies on comparisons with units that had begun already."
    if eligible.eligible is not None:
        text += " Only eligible units are in it."
    return text + _negative(eligible)


def _share(value: float) -> str:
    return "none" if value <= 0 else "less than 1%" if value < 0.005 else f"{value:.0%}"


def _negative(rollout: Rollout) -> str:
    weights = two_way_weights(regression_rows(rollout))
    if weights.problem:
        return ""
    if weights.negative_sum > -NEGATIVE:
        return " None of its weights on effects of cohorts and periods is negative."
    return (
        f" It gives negative weight to {_share(weights.negative_share)} of the treated observations (adding"
        f" up to {number(weights.negative_sum)}): a larger effect there would lower the estimate."
    )


def other_approaches(study: Study) -> Check:
    """The overall effect by other estimators and controls, beside the one that was chosen."""
    name = "other approaches"
    ways = _ways(study)
    rows = [stated(study), *(altered(study, label, **way) for label, way in progress(ways, name))]
    table = pd.DataFrame(rows)
    other = table.iloc[1:]
    clean = other[~other["label"].str.startswith("two-way")]
    if not np.isfinite(clean["estimate"].astype(float)).any():
        text = "No other approach that makes only clean comparisons has an estimate from these data."
        text += _beside(other.drop(clean.index))
        return Check(name=name, assumption=CLEAN, verdict="information", text=text, table=table)
    return Check(
        name=name,
        assumption=CLEAN,
        verdict="information",
        text=_agreement(study, clean, other.drop(clean.index)),
        table=table.drop(columns="std_error"),
        picture="intervals",
    )


def _agreement(study: Study, clean: pd.DataFrame, two_way: pd.DataFrame) -> str:
    estimate = float(study.overall["estimate"])
    low, high = float(study.overall["conf_low"]), float(study.overall["conf_high"])
    values = clean["estimate"].to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    outside = int(((known < low) | (known > high)).sum())
    text = f"Other ways that compare only with units that have not begun give {reach(known)} (as designed:"
    text += f" {number(estimate)})"
    text += (
        f"; {outside} of {len(known)} {'lies' if outside == 1 else 'lie'} outside the interval as designed."
        " They average cohorts and periods differently, or rest on other periods before the start: see which"
        " one answers your question."
        if outside
        else "; all lie within the interval as designed."
    )
    return text + _beside(two_way)


def _beside(two_way: pd.DataFrame) -> str:
    if not np.isfinite(two_way["estimate"].astype(float)).any():
        return ""
    return f" The two-way regression, to compare with: {number(float(two_way['estimate'].iloc[0]))}."


def _ways(study: Study) -> list[tuple[str, dict[str, Any]]]:
    """Labels and changes of the designs to compare with, without the one that was chosen."""
    design, rollout = study.design, study.panel
    if design.approach in RATIOS:
        made = [("ratios by cohort and period", {"approach": "poisson"})]
        made.append(("two-way regression of ratios", {"approach": "poisson two-way"}))
    else:
        made = _by_control(design, rollout)
        crossed = rollout.began is None or design.unbalanced == "cross-sections"
        if design.eligible is None and not crossed:
            made += [(each, {"approach": each}) for each in ("interaction-weighted", "imputation")]
            made.append(("stacked (mean over periods since the start)", {"approach": "stacked"}))
            made.append(("two-way regression", {"approach": "two-way"}))
    return [way for way in made if any(getattr(design, key) != value for key, value in way[1].items())]


def _by_control(design: Any, rollout: Rollout) -> list[tuple[str, dict[str, Any]]]:
    """Group-time effects by control group, and with covariates by estimator."""
    base = {"approach": "group-time"}
    controls = ("never", "not yet") if rollout.has_never else ("not yet",)
    names = {"never": "never-treated", "not yet": "not-yet-treated"}
    made: list[tuple[str, dict[str, Any]]] = [
        (f"group-time, {names[each]} units compared", {**base, "control_group": each}) for each in controls
    ]
    if design.covariates:
        made += [
            (f"group-time, {each}", {**base, "estimator": each})
            for each in ("doubly robust", "ipw", "regression")
        ]
        made.append(("group-time without covariates", {**base, "covariates": ()}))
    return made
