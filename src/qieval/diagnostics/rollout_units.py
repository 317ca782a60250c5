"""Are the same units, and the same cohorts, observed throughout a roll-out?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_rows import (
    COMPOSITION,
    altered,
    scaled,
    stated,
    table_of,
)
from qieval.result import Study
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import Count, number, plural

RULES = {
    "pairs": "units seen in both periods of each comparison",
    "drop": "only units seen in every period",
    "cross-sections": "all rows, as if sampled anew",
}


def composition(study: Study) -> Check:
    """For panels with gaps: the estimate by each rule for units that lack periods, and the rows it uses."""
    name = "composition"
    rollout: Rollout = study.panel
    if rollout.began is None:
        text = (
            "Other people are sampled in each period; whether they are alike can only be judged by their"
            " characteristics. Add them as covariates, and the check of covariates shows whether they"
            " shifted."
        )
        return Check(name=name, assumption=COMPOSITION, verdict="information", text=text)
    if rollout.is_grid:
        text = "Every unit is observed in every period."
        return Check(name=name, assumption=COMPOSITION, verdict="supports", text=text)
    table = table_of([_by_rule(study, rule) for rule in RULES])
    return Check(
        name=name,
        assumption=COMPOSITION,
        verdict="concern" if _moved(study, table) else "information",
        text=_gaps(study) + _rules_said(study, table),
        table=table.drop(columns="std_error"),
        picture="intervals" if table["estimate"].notna().any() else None,
    )


def rows_used(rollout: Rollout, rule: str) -> int:
    """How many rows a rule for units that lack periods leaves."""
    seen = np.bincount(rollout.unit, minlength=len(rollout.units))
    fewest = {"cross-sections": 1, "pairs": 2, "drop": rollout.n_periods}[rule]
    return int(seen[seen >= fewest].sum())


def _by_rule(study: Study, rule: str) -> dict[str, Any]:
    used = rows_used(study.panel, rule)
    label = f"{rule}: {RULES[rule]}"
    row = stated(study, label) if study.design.unbalanced == rule else altered(study, label, unbalanced=rule)
    return {**row, "rows_used": Count(used), "share_lost": 1 - used / len(study.panel)}


def _moved(study: Study, table: pd.DataFrame) -> bool:
    moves = np.array([scaled(row) for _, row in table.iterrows()]) - scaled(study.overall)
    return bool((np.abs(moves) > float(study.overall["std_error"])).any())


def _gaps(study: Study) -> str:
    rollout: Rollout = study.panel
    seen = np.bincount(rollout.unit, minlength=len(rollout.units))
    first = np.full(len(seen), rollout.n_periods)
    last = np.zeros(len(seen), dtype=int)
    np.minimum.at(first, rollout.unit, rollout.time)
    np.maximum.at(last, rollout.unit, rollout.time)
    late, early = (first > 0).mean(), (last < rollout.n_periods - 1).mean()
    lacking = (seen < rollout.n_periods).mean()
    return (
        f"{lacking:.1%} of the units lack periods ({late:.1%} appear after the first period, {early:.1%} are"
        " gone before the last). "
    )


def _rules_said(study: Study, table: pd.DataFrame) -> str:
    found = table[table["estimate"].notna()]
    values = "; ".join(
        f"{row['label'].split(':')[0]} {number(row['estimate'])} ({row['share_lost']:.1%} of the rows not"
        " used)"
        for _, row in found.iterrows()
    )
    if len(found) < 2:
        return (
            f"Only one rule for them gives an estimate, so it cannot be seen whether this matters: {values}."
        )
    text = f"The estimate by rule for them: {values}"
    if _moved(study, table):
        return text + ", a move of more than one standard error: who is counted matters."
    return text + "; they agree to within one standard error."


def same_cohorts_throughout(study: Study) -> Check:
    """Effects by time since the start, from all cohorts and from those followed long enough for all of it."""
    name = "same cohorts throughout"
    effects: Effects = study.result.kernel
    if not len(effects.cohort):
        text = (
            "This approach has no effects by cohort, so it cannot be seen whether effects by time since the"
            " start come from the same cohorts; approach='group-time' shows it."
        )
        return Check(name=name, assumption=COMPOSITION, verdict="information", text=text)
    horizon, followed = _horizon(study.panel)
    if followed.all():
        text = (
            "All cohorts are followed equally long, so effects by time since the start mix the same cohorts."
        )
        return Check(name=name, assumption=COMPOSITION, verdict="supports", text=text)
    table = _profiles(study.panel, effects, horizon, followed)
    if table["same_cohorts"].notna().sum() < 2:
        text = "Too few effects by cohort can be estimated to compare cohorts followed for a longer time."
        return Check(name=name, assumption=COMPOSITION, verdict="information", text=text)
    verdict, text = _profiles_said(effects, table, int(followed.sum()))
    if effects.ratio:
        table = table.assign(**{key: np.exp(table[key]) for key in ("all_cohorts", "same_cohorts")})
    return Check(name=name, assumption=COMPOSITION, verdict=verdict, text=text, table=table, picture=name)


def _horizon(rollout: Rollout) -> tuple[int, np.ndarray]:
    """The follow-up that at least half of the treated units have (the second shortest, if they have only the
    shortest), and which cohorts have it (starts,)."""
    length = (rollout.times[-1] - rollout.starts).astype(int)
    first = rollout.first if rollout.began is None else rollout.began
    size = np.array([(first == start).sum() for start in rollout.starts])
    order = np.argsort(-length, kind="stable")
    place = order[np.searchsorted(np.cumsum(size[order]), size.sum() / 2)]
    horizon = max(int(length[place]), int(np.unique(length)[:2].max()))
    return horizon, length >= horizon


def _profiles(rollout: Rollout, effects: Effects, horizon: int, followed: np.ndarray) -> pd.DataFrame:
    """Effects by time since the start up to the horizon, cohorts weighted by their treated units."""
    since = effects.time - effects.cohort
    known = np.isfinite(effects.estimate)
    long = np.isin(effects.cohort, rollout.starts[followed])
    rows = []
    for at in range(horizon + 1):
        every = known & (since == at)
        if every.any():
            rows.append(
                {
                    "periods_since_start": float(at),
                    "all_cohorts": _mean(effects, every),
                    "same_cohorts": _mean(effects, every & long),
                    "cohorts_by_period": int(every.sum()),
                }
            )
    return pd.DataFrame(rows)


def _mean(effects: Effects, cells: np.ndarray) -> float:
    return (
        float(np.average(effects.estimate[cells], weights=effects.n_treated[cells]))
        if cells.any()
        else np.nan
    )


def _profiles_said(effects: Effects, table: pd.DataFrame, n_followed: int) -> tuple[Verdict, str]:
    held = table.dropna()
    first, last = held.iloc[0], held.iloc[-1]
    grown = {key: float(last[key] - first[key]) for key in ("all_cohorts", "same_cohorts")}
    shown = np.exp if effects.ratio else np.asarray
    dynamic = effects.averages["dynamic"]
    error = dynamic.std_error[dynamic.at == last["periods_since_start"]]
    apart = abs(grown["all_cohorts"] - grown["same_cohorts"])
    matters = bool(error.size and np.isfinite(error[0]) and apart > error[0])
    text = (
        f"From the start to {plural(int(last['periods_since_start']), 'period')} after it the effect goes"
        f" from {number(float(shown(first['all_cohorts'])))} to {number(float(shown(last['all_cohorts'])))}"
        f" in all cohorts, and from {number(float(shown(first['same_cohorts'])))} to"
        f" {number(float(shown(last['same_cohorts'])))} in the {plural(n_followed, 'cohort')} followed for so"
        " long"
    )
    if matters:
        return "concern", text + (
            ": part of the change over time is a change of cohorts. Read effects by time since the start with"
            " balanced_to."
        )
    return "supports", text + ": a change of cohorts is not what makes the effect change over time."
