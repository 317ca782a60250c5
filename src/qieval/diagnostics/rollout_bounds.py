"""Honest bounds of a roll-out: how far trends may part after the start before the conclusion falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_leads import arranged, careful_df, since, tried
from qieval.numerics.trend_bounds import (
    Breakdown,
    breakdown,
    conventional_interval,
    default_magnitudes,
    trend_bounds,
)
from qieval.numerics.trend_bounds_restrictions import Restriction
from qieval.numerics.trend_bounds_study import EventStudy
from qieval.result import Result, Study
from qieval.rollout.effects import Effects
from qieval.text import number

ROBUST = "robust to some departure from parallel trends"
SIZE, CURVE = "honest bounds, size of the departure", "honest bounds, bend of the departure"
PARALLEL_TRENDS, ALLOWED = "trends parallel", "departure allowed"
MAGNITUDES = (0.5, 1.0, 1.5, 2.0)
MOST, ENOUGH, FRAGILE = 8.0, 1.0, 0.5
"""Breakdown values are searched up to the first; from the second on a conclusion counts as robust, below the
third as fragile."""
NOTHING_TO_SHAKE = (
    "the interval holds no effect even with parallel trends, so there is no conclusion to shake."
)
MOST_PERIODS = 8
"""Periods on each side of the start that bounds use, unless the design states a window."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """The event studies that bounds are computed for, by what they ask about, and what has to be said."""

    studies: dict[str, EventStudy]
    ratio: bool
    words: str


def bounds_by_size(study: Study) -> Check:
    """Intervals when a difference in trends changes after the start by up to Mbar times its largest change
    before it, from one period to the next (Rambachan and Roth 2023, relative magnitudes).

    Always from effects that are all compared with one period before the start.
    """
    asked = _asked(study)
    if isinstance(asked, str):
        return _refused(SIZE, asked)
    return _check(study, asked, SIZE, Restriction())


def bounds_by_bend(study: Study) -> Check:
    """Intervals when the slope of a difference in trends changes by up to M from one period to the next
    (Rambachan and Roth 2023, smoothness); at M = 0 any straight drift is allowed."""
    asked = _asked(study)
    if isinstance(asked, str):
        return _refused(CURVE, asked)
    return _check(study, asked, CURVE, Restriction("smoothness"))


def _refused(name: str, why: str) -> Check:
    return Check(name=name, assumption=ROBUST, verdict="information", text=why)


def _asked(study: Study) -> _Asked | str:
    found = _one_base(study)
    if isinstance(found, str):
        return found
    effects, words = found
    leads = arranged(study, effects)
    reference = -1.0 if effects.reference is None else float(effects.reference)
    lag = int(study.design.expected_lag)
    kept, cut = _window(study, leads.at, lag)
    at = leads.at[kept].astype(float)
    after = at > reference
    if not (at[after] >= 0).any() or not (~after).any():
        return (
            "Honest bounds need at least one period before the start, besides the one that all are compared"
            " with, and one from the start on; add earlier periods."
        )
    wanted = at[after] >= (lag if (at >= lag).any() else 0)
    early = "" if (at >= lag).any() else " (nobody was followed as long as the intervention needs to work)"
    first = np.arange(len(wanted)) == np.flatnonzero(wanted)[0]
    places = at[after][wanted].astype(int)
    names = [f"mean effect, {since(places[0])} to {since(places[-1])}", f"effect, {since(places[0])}"]
    df = careful_df(study, effects.df)
    studies = {
        name: EventStudy(
            leads.estimate[kept],
            leads.covariance[np.ix_(kept, kept)],
            ~after,
            weight / weight.sum(),
            at=at,
            reference=reference,
            df=df,
        )
        for name, weight in zip(names, (wanted.astype(float), first.astype(float)), strict=True)
        if weight.sum() > 1 or name == names[1]
    }
    return _Asked(studies, effects.ratio or study.design.approach == "poisson", words + cut + early)


def _window(study: Study, at: np.ndarray, lag: int) -> tuple[np.ndarray, str]:
    """Which periods since the start are used: those stated, or so many on each side."""
    if study.design.event_window:
        low, high = study.design.event_window
        return (at >= low) & (at <= max(high, 0)), ""
    last = -1 - int(study.design.anticipation)
    kept = (at >= last - MOST_PERIODS) & (at < lag + MOST_PERIODS)
    cut = f" Periods beyond {MOST_PERIODS} on either side are left out; state event_window to choose."
    return kept, "" if kept.all() else cut


def _one_base(study: Study) -> tuple[Effects, str] | str:
    """Effects that are all compared with one period before the start, and how they were made, in words."""
    design, own = study.design, study.result.kernel
    if design.approach == "group-time" and design.base_period == "universal":
        return own, ""
    if design.approach in ("interaction-weighted", "stacked", "two-way", "poisson two-way"):
        return own, ""
    if design.approach == "group-time":
        found: Result | str = tried(study, base_period="universal", inference="analytic")
        words = " Estimated again with base_period='universal', which bounds need."
    elif design.approach == "poisson":
        found, words = _logarithms(study)
    else:
        found = tried(study, approach="interaction-weighted", inference="analytic")
        words = (
            " From approach='interaction-weighted', because imputation does not compare periods before and"
            " after the start with the same one."
        )
    if isinstance(found, str):
        return f"Bounds need effects that are all compared with one period; these have no estimate: {found}"
    return found.kernel, words


def _logarithms(study: Study) -> tuple[Result | str, str]:
    """Group-time effects on the logarithm of rates, weighted by the exposure."""
    design, rollout = study.design, study.panel
    rate = rollout.outcome if rollout.exposure is None else rollout.outcome / rollout.exposure
    if not (rate > 0).all():
        return "some units have periods without any event, so logarithms of rates do not exist.", ""
    weight = np.ones(len(rate)) if rollout.weights is None else rollout.weights
    weight = weight if rollout.exposure is None else weight * rollout.exposure
    frame = study.frame.iloc[rollout.row].assign(**{design.outcome: np.log(rate), WEIGHT: weight})
    found = tried(
        study,
        frame,
        approach="group-time",
        base_period="universal",
        exposure=None,
        weights=WEIGHT,
        inference="analytic",
    )
    return found, (
        " From group-time effects on the logarithm of rates, because Poisson effects do not compare"
        " periods before and after the start with the same one."
    )


WEIGHT = "__qieval_weight__"


def _check(study: Study, asked: _Asked, name: str, restriction: Restriction) -> Check:
    level = float(study.design.level)
    parts, breaks, plain = [], [], []
    for target, event in asked.studies.items():
        usual = conventional_interval(event, level)
        if usual.reason:
            return _refused(name, usual.reason)
        smooth = restriction.kind == "smoothness"
        magnitudes = default_magnitudes(event, restriction) if smooth else MAGNITUDES
        found = trend_bounds(event, restriction, magnitudes, level=level)
        if reasons := [one.reason for one in found if one.reason and not one.method]:
            return _refused(name, reasons[0])
        falls = breakdown(event, restriction, MOST * (magnitudes[-1] if smooth else 1), level=level)
        parts += [_row(target, PARALLEL_TRENDS, 0.0, usual, falls)]
        parts += [_row(target, ALLOWED, one.magnitude, one, falls) for one in found]
        breaks.append(falls)
        plain.append(int(usual.low > 0) - int(usual.high < 0))
    table = pd.DataFrame(parts)
    if asked.ratio:
        shown = ["conf_low", "conf_high"]
        table = table.assign(**{key: np.exp(table[key]) for key in shown}, term="rate ratio")
    event = next(iter(asked.studies.values()))
    words = _bend_words if restriction.kind == "smoothness" else _size_words
    target = next(iter(asked.studies))
    if plain[0]:
        verdict, text = words(breaks[0], event)
    else:
        verdict, text = "information", NOTHING_TO_SHAKE
    headline = _side(study.overall) if np.isfinite(study.overall["conf_low"]) else plain[0]
    verdict, text = beside_headline(headline, plain[0], target, (verdict, text))
    text = f"{text[0].upper()}{text[1:]}{asked.words}"
    return Check(
        name=name, assumption=ROBUST, verdict=verdict, text=text, table=table, picture="honest bounds"
    )


def _side(row: Any) -> int:
    """1 or -1 where the interval of an estimate lies above or below no effect, 0 where it holds it."""
    none = 1.0 if str(row["term"]).endswith("ratio") else 0.0
    return int(row["conf_low"] > none) - int(row["conf_high"] < none)


def beside_headline(
    headline: int, found: int, target: str, judged: tuple[Verdict, str]
) -> tuple[Verdict, str]:
    """Verdict and text of bounds about `target`, whose interval with parallel trends lies on the side
    `found`, beside a headline that lies on the side `headline`."""
    verdict, text = judged
    if headline == found:
        return verdict, f"{text} This is about the {target}."
    other = f"These bounds are about the {target}, another average than the headline:"
    if not headline:
        return (
            "concern" if verdict == "concern" else "information",
            f"{text} {other} the interval of the headline holds no effect.",
        )
    how = "lies on the other side of no effect" if found else "holds no effect even with parallel trends"
    bounds = f" As for that mean, {text}" if found else ""
    return "concern", (
        f"it is not shown that the headline withstands any departure from parallel trends. {other} its"
        f" interval {how}, while that of the headline shows an effect.{bounds}"
    )


def _row(target: str, which: str, magnitude: float, found: Any, falls: Breakdown) -> dict[str, Any]:
    return {
        "target": target,
        "which": which,
        "magnitude": magnitude,
        "conf_low": found.low,
        "conf_high": found.high,
        "breakdown": falls.magnitude,
        "note": found.reason,
    }


def _size_words(falls: Breakdown, event: EventStudy) -> tuple[Verdict, str]:
    steps = " Over many short periods such steps add up; longer periods (quarters) say more."
    many = steps if int((~event.pre).sum()) > MOST_PERIODS // 2 else ""
    if falls.never:
        return "supports", (
            f"an effect would be found even if trends changed after the start by {MOST:g} times as much from"
            " period to period as they ever did before it."
        )
    said = (
        f"an effect is found as long as trends change from period to period by less than"
        f" {number(falls.magnitude)} times their largest change before the start (breakdown value)."
    )
    if falls.magnitude >= ENOUGH:
        return "supports", said
    return ("concern" if falls.magnitude < FRAGILE else "information"), (
        f"{said} Changes as large as those before the start would be enough to explain the effect.{many}"
    )


def _bend_words(falls: Breakdown, event: EventStudy) -> tuple[Verdict, str]:
    if falls.at_zero:
        return "information", (
            "a straight drift that went on from before the start would be enough to explain the effect."
        )
    seen = default_magnitudes(event, Restriction("smoothness"))[2] if int(event.pre.sum()) > 1 else np.nan
    said = (
        "an effect is found for every bend that was looked at."
        if falls.never
        else "an effect is found as long as the slope of a drift changes by less than"
        f" {number(falls.magnitude)} per period from one period to the next (breakdown value)."
    )
    if not np.isfinite(seen):
        return "information", f"{said} With so few periods before the start no bend was seen to compare with."
    said += f" The largest such change before the start, chance included, was {number(seen)}."
    robust = falls.never or falls.magnitude >= seen
    return "supports" if robust else "information", said
