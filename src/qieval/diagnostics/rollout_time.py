"""Effects of a roll-out against time: just before the start, up to the expected lag, beyond; other events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_leads import Leads, arranged, careful_df, few, rows_by_time, since, tried
from qieval.numerics.covariance import t_interval
from qieval.numerics.joint import wald
from qieval.result import NO_FIGURES, Result, Study, figures, overall
from qieval.rollout.effects import Effects
from qieval.text import listed, number, plural

ANTICIPATION, FOLLOWED = "no anticipation", "followed long enough"
CLOSE = 2
"""Events within so many periods of a start cannot be told from it."""


def reaction_before_start(study: Study) -> Check:
    """The last periods before the start compared with the one before them, and the effect if they count as
    anticipation: one and two periods more than the design allows.
    """
    ahead = int(study.design.anticipation)
    rows: list[dict[str, Any]] = [_stated(study, ahead)]
    p_values: list[float] = []
    for more in (1, 2):
        found = tried(study, anticipation=ahead + more)
        rows += _reaction(study, found, ahead, more, p_values)
    table = pd.DataFrame(rows)
    name = "reaction before the start"
    if not p_values:
        text = "Whether anybody reacted before the start cannot be seen; the table says why."
        return Check(name=name, assumption=ANTICIPATION, verdict="information", text=text, table=table)
    smallest = min(p_values) * len(p_values)
    moved = smallest < 1 - study.design.level
    kept = table[table["kind"] == "effect"].dropna(subset=["estimate"])
    text = (
        "The last period before the start, and the last two together, compared with the period before them:"
        f" smaller p-value {number(min(p_values))}"
        if len(p_values) > 1
        else f"The last period before the start against the one before: p-value {number(p_values[0])}"
    )
    text += (
        ", more than chance alone would explain: the start may be dated too late, or people reacted early."
        if moved
        else "; that gives no sign of an early reaction."
    )
    low, high = (number(float(end)) for end in (kept["estimate"].min(), kept["estimate"].max()))
    if low != high:
        text += (
            f" With up to {plural(ahead + 2, 'period')} of anticipation allowed for, the effect is {low} to"
            f" {high}."
        )
    verdict: Verdict = "concern" if moved else "information" if few(study) else "supports"
    return Check(
        name=name, assumption=ANTICIPATION, verdict=verdict, text=text, table=table, picture="intervals"
    )


def _stated(study: Study, ahead: int) -> dict[str, Any]:
    row = study.overall
    label = f"effect, anticipation of {plural(ahead, 'period')} (as designed)"
    return {"label": label, "kind": "effect", "term": row["term"], **figures(row), "note": ""}


def _reaction(
    study: Study, found: Result | str, ahead: int, more: int, p_values: list[float]
) -> list[dict[str, Any]]:
    """The effect with more anticipation, and the earliest of the periods that then count as anticipation."""
    label = f"effect, anticipation of {plural(ahead + more, 'period')}"
    if isinstance(found, str):
        term = study.overall["term"]
        return [{"label": label, "kind": "effect", "term": term, **NO_FIGURES, "note": found}]
    row = overall(found)
    made: list[dict[str, Any]] = [
        {"label": label, "kind": "effect", "term": row["term"], **figures(row), "note": ""}
    ]
    leads = arranged(study, found.kernel)
    near = (leads.at >= -ahead - more) & (leads.at < -ahead)
    if near.any():
        covariance = leads.covariance[np.ix_(near, near)]
        test = wald(leads.estimate[near], covariance, careful_df(study, leads.df))
        p_values.append(test.p_hotelling if np.isfinite(test.df) else test.p_chi2)
        for each in rows_by_time(leads, near & (leads.at == -ahead - more), study.design.level):
            note = f"compared with {since(-ahead - more - 1)}"
            said = {"label": f"jump {each['label']}"}
            made.append({**each, **said, "kind": "reaction", "term": row["term"], "note": note})
    return made


def effects_over_time(study: Study) -> Check:
    """Effects by time since the start against the expected lag: too early, too soon, growing or fading."""
    effects: Effects = study.result.kernel
    leads, lag = arranged(study, effects), int(study.design.expected_lag)
    after = leads.at >= 0
    table = pd.DataFrame(rows_by_time(leads, after, study.design.level))
    held = {"cohorts": _cohorts(study, leads.at[after]), "reached": leads.at[after] >= lag}
    table = table.assign(**held)
    reached = int(_cohorts(study, np.array([lag]))[0])
    total = len(study.panel.starts)
    parts: list[str] = []
    if reached and not lag:
        parts.append("No time that the intervention needs to work has been stated (expected_lag).")
    elif not reached:
        longest = int(study.facts["longest time since the start"])
        parts.append(
            f"Too early to say: the intervention is expected to work from {since(lag)} the start on, and"
            f" the longest time that anybody was followed is {plural(longest, 'period')}."
        )
    else:
        parts.append(
            f"{reached:,} of {plural(total, 'cohort')} were followed to {since(lag)} the start or longer."
        )
    soon = _too_soon(study, leads, lag)
    parts += [soon] if soon else []
    course, steady = _course(study, leads, lag)
    parts += [course] if course else []
    late = int(_cohorts(study, leads.at[after][-1:])[0]) if after.any() else total
    if late < total:
        parts.append(
            f"The latest periods rest on {late:,} of {plural(total, 'cohort')}, those that began first."
        )
    good = lag > 0 and reached == total and not soon and steady
    verdict: Verdict = "concern" if not reached or soon else "supports" if good else "information"
    return Check(
        name="effects by time since the start",
        assumption=FOLLOWED,
        verdict=verdict,
        text=" ".join(parts),
        table=table,
        picture="intervals" if len(table) else None,
    )


def _cohorts(study: Study, at: np.ndarray) -> np.ndarray:
    """How many cohorts were followed that long (k,)."""
    return np.array(
        [(study.panel.starts + moment <= study.panel.times[-1]).sum() for moment in at], dtype=int
    )


def _too_soon(study: Study, leads: Leads, lag: int) -> str:
    """That there is an effect before the intervention can work, in words; empty if not."""
    early = (leads.at >= 0) & (leads.at < lag)
    if not early.any():
        return ""
    weight = early / early.sum()
    mean, p_value = _weighed(study, leads, weight)
    if not p_value < 1 - study.design.level:
        return ""
    return (
        f"There is an effect already before the intervention can work (mean {number(mean)}, p ="
        f" {number(p_value)}): another change, or a lag that is stated too long."
    )


def _course(study: Study, leads: Leads, lag: int) -> tuple[str, bool]:
    """Whether effects grow or fade from the lag on, in words, and whether they are steady."""
    later = leads.at >= lag
    if later.sum() < 3:
        return "", True
    at = leads.at[later].astype(float)
    centred = at - at.mean()
    weight = np.zeros(len(leads.at))
    weight[later] = centred / (centred @ centred)
    slope, p_value = _weighed(study, leads, weight)
    mean = float(leads.estimate[later].mean())
    if not p_value < 1 - study.design.level:
        return "Effects neither clearly grow nor fade from then on.", True
    how = "grow" if slope * mean > 0 else "fade"
    return f"Effects {how} by {number(abs(slope))} per period from then on.", how == "fade"


def _weighed(study: Study, leads: Leads, weight: np.ndarray) -> tuple[float, float]:
    """A weighted sum of the effects and its p-value."""
    value = np.array([weight @ leads.estimate])
    error = np.array([np.sqrt(max(float(weight @ leads.covariance @ weight), 0.0))])
    found = t_interval(value, error, careful_df(study, leads.df), study.design.level)
    return float(value[0]), float(found.p_value[0])


def events_beside_starts(study: Study) -> Check:
    """The register of other events beside the starts of cohorts. No data can show it is complete."""
    name, assumption, events = (
        "register of concurrent events",
        "no other change at the same time",
        study.design.events,
    )
    if not events:
        text = (
            "No other event has been entered in the register. That is a statement of the evaluator, not a"
            " finding."
        )
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    table = pd.DataFrame([_event(study, moment, what) for moment, what in events.items()])
    near = table[table["cohorts_near"] > 0]
    text = f"{plural(len(table), 'other event')} in the register."
    if len(near):
        text += (
            f" Within {plural(CLOSE, 'period')} of a start: {listed(near['what_happened'], 3)}; if that"
            " reached only those who began, it cannot be told from the effect."
        )
    if len(study.panel.starts) > 1:
        text += (
            " An event that reached everybody at the same time is also in the comparison; compare the effects"
            " by cohort, which began at different distances from it."
        )
    return Check(name=name, assumption=assumption, verdict="information", text=text, table=table)


def _event(study: Study, moment: str, what: str) -> dict[str, Any]:
    """An event with the nearest start; NaN where it lies outside the data."""
    rollout = study.panel
    said: dict[str, Any] = {"when": moment, "what_happened": what}
    try:
        code = rollout.periods.last_at_or_before(moment)
        late = rollout.periods.first_at_or_after(moment) == rollout.n_periods
        late = late and rollout.periods.inside(moment) is None
    except ValueError:
        code, late = -1, False
    if code < 0 or late:
        return {**said, "nearest_start": "outside the data", "periods_from_it": np.nan, "cohorts_near": 0}
    apart = rollout.times[code] - rollout.starts
    nearest = int(np.argmin(np.abs(apart)))
    return {
        **said,
        "nearest_start": rollout.labels(rollout.starts[nearest : nearest + 1])[0],
        "periods_from_it": float(apart[nearest]),
        "cohorts_near": int((np.abs(apart) <= CLOSE).sum()),
    }
