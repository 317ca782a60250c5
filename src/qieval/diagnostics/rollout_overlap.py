"""Is there a comparison for every treated unit? How many units effects rest on, and how alike they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_ranges import FEW_OUTSIDE, MANY_OUTSIDE, Ranges, ranges_of
from qieval.diagnostics.rollout_rows import OVERLAP, cohort_codes, cohort_names, people, table_of
from qieval.numerics.group_time import Overlap, propensities
from qieval.numerics.group_time_cells import Rules
from qieval.result import Study
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import listed, number, plural

NAME = "overlap"
FEW = 10
"""An effect that rests on fewer comparison units hangs on single ones."""
NEAR_ONE = 0.99
"""A unit with such a propensity has next to nobody like it among the comparison units."""

APART = (
    " In some comparisons the covariates tell completely who began, so that the effect there rests on"
    " extrapolation alone."
)


def overlap(study: Study) -> Check:
    """Comparison units of each cohort, by period, with propensities where covariates are adjusted for."""
    effects: Effects = study.result.kernel
    alike = _alike(study, effects)
    table = _from_cells(study, effects, alike) if len(effects.cohort) else _from_rows(study)
    fewest = float(table["effective_units_at_least" if alike else "comparison_units_at_least"].min())
    largest = float(table["largest_propensity"].max()) if alike else 0.0
    flagged = int(table["periods_without_estimate"].sum()) if "periods_without_estimate" in table else 0
    text = _text(study, effects, fewest, largest if alike else None, flagged)
    examined = alike is not None and bool(np.isfinite(alike.largest[effects.post]).all())
    apart = alike is not None and not examined
    if apart:
        text += APART
    ranges = _ranges(study) if alike is None else None
    if ranges is not None:
        table, text = _with_ranges(study, table, ranges), f"{text} {ranges.words}"
        examined, apart = ranges.known and ranges.worst <= FEW_OUTSIDE, ranges.worst > MANY_OUTSIDE
    worry = flagged > 0 or fewest < FEW or largest > NEAR_ONE or apart
    verdict: Verdict = "concern" if worry else "supports" if examined else "information"
    return Check(name=NAME, assumption=OVERLAP, verdict=verdict, text=text, table=table)


def _ranges(study: Study) -> Ranges | None:
    """Ranges of covariates, None without covariates and where there are more arms than two."""
    design, rollout = study.design, study.panel
    if not rollout.x.shape[1] or design.eligible is not None:
        return None
    whole = design.unbalanced == "drop" and rollout.began is not None
    return ranges_of(design, rollout.whole() if whole else rollout)


def _with_ranges(study: Study, table: pd.DataFrame, ranges: Ranges) -> pd.DataFrame:
    """The table with the largest share of each cohort outside a range; not for few people."""
    share = dict(zip(cohort_names(study.panel), np.where(ranges.shown, ranges.outside, np.nan), strict=False))
    named = dict(zip(cohort_names(study.panel), ranges.covariate, strict=False))
    return table.assign(
        share_outside_range=table["cohort"].map(share), widest_apart_in=table["cohort"].map(named)
    )


def _alike(study: Study, effects: Effects) -> Overlap | None:
    """Propensities in the cells of the estimate; None where there are none."""
    design, rollout = study.design, study.panel
    crossed = rollout.began is None or (design.unbalanced == "cross-sections" and not rollout.is_grid)
    modelled = design.approach == "group-time" and rollout.x.shape[1]
    if crossed or not modelled or design.eligible is not None:
        return None
    used: Rollout = rollout.whole() if design.unbalanced == "drop" else rollout
    rules = Rules(
        estimator="ipw" if design.estimator == "regression" else design.estimator,
        control_group=design.control_group,
        base_period=design.base_period,
        anticipation=design.anticipation,
    )
    found = propensities(used.wide(), rules)
    return found if len(found.largest) == len(effects.cohort) else None


def _from_cells(study: Study, effects: Effects, alike: Overlap | None) -> pd.DataFrame:
    """One row per cohort: what its effects from the start on rest on."""
    rows = []
    for start, name in zip(study.panel.starts, cohort_names(study.panel), strict=False):
        inside = effects.post & (effects.cohort == start)
        if not inside.any():
            continue
        lost = ~np.isfinite(effects.estimate[inside])
        row: dict[str, Any] = {
            "cohort": name,
            "treated_units": people(study.design, effects.n_treated[inside].max()),
            "comparison_units_at_least": people(study.design, effects.n_control[inside].min()),
        }
        if alike is not None:
            row["effective_units_at_least"] = _least(alike.effective[inside])
            row["largest_propensity"] = float(np.nanmax(np.append(alike.largest[inside], 0.0)))
        row["periods_estimated"] = int((~lost).sum())
        row["periods_without_estimate"] = int(lost.sum())
        row["reason"] = next(
            (why for why, cell in zip(effects.reason, inside, strict=True) if cell and why), ""
        )
        rows.append(row)
    return table_of(rows)


def _least(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return round(float(known.min()), 1) if known.size else float("nan")


def _from_rows(study: Study) -> pd.DataFrame:
    """One row per cohort where there are no effects by cohort: units seen, and not begun, after its start."""
    rollout: Rollout = study.panel
    names = cohort_names(rollout)
    code = cohort_codes(rollout, rollout.first)
    when = rollout.times[rollout.time]
    waiting = np.bincount(rollout.time[when < rollout.first], minlength=rollout.n_periods)
    rows = []
    for place, start in enumerate(rollout.starts):
        mine = np.bincount(rollout.time[code == place], minlength=rollout.n_periods)
        after = (rollout.times >= start) & (mine > 0)
        if after.any():
            rows.append(
                {
                    "cohort": names[place],
                    "treated_units": people(study.design, mine[after].max()),
                    "comparison_units_at_least": people(study.design, waiting[after].min()),
                }
            )
    return table_of(rows)


def _text(study: Study, effects: Effects, fewest: float, largest: float | None, flagged: int) -> str:
    what = "rows" if study.panel.began is None else "units"
    if largest is None:
        text = f"Every effect is a comparison with at least {fewest:,.0f} {what} that had not begun"
        text += "." if fewest >= FEW else ", so single ones carry much weight."
        if not study.design.covariates:
            text += " Without covariates nothing is said about how alike they are."
        elif study.design.eligible is not None:
            text += " How alike they are was not examined: there are two comparisons for each effect."
    else:
        weighed = "After weighting" if study.design.estimator != "regression" else "Weighted to be alike"
        text = (
            f"{weighed}, every effect rests on the equivalent of at least {number(fewest)} comparison"
            f" {what}; the largest propensity to begin is {number(largest)}."
            if np.isfinite(fewest)
            else "No group of those compared could be weighted to be like those that began."
        )
        if fewest < FEW:
            text += " Single comparison units carry much weight."
        if largest > NEAR_ONE:
            text += " Some units that began have next to nobody like them among those compared."
    if flagged:
        reasons = [why for why, post in zip(effects.reason, effects.post, strict=True) if post and why]
        text += (
            f" {plural(flagged, 'comparison')} from the start on could not be made:"
            f" {listed(dict.fromkeys(reasons), 2)}"
        )
    return text
