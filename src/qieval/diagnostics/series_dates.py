"""Dates before the start: those at which nothing happened, and the last ones, when people may react."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.series_rows import (
    NO_ANTICIPATION,
    TIMING,
    is_clear,
    stated,
    tried,
    verdicts,
)
from qieval.progress import progress
from qieval.result import Study, on_scale
from qieval.text import number, plural

LEAST = 6
"""Periods on each side of a pretended date, where there are enough; never fewer than three."""
MOST_DATES = 40
"""More dates than that are thinned evenly."""
ALLOWED = 0.10
"""More than this share of pretended dates with an effect speaks against the intervals."""
ALIKE = 0.10
"""A randomisation p-value above this says that changes like the real one are common in the series."""
EARLIER = 3
PRETENDED = "pretended start"


def placebo_dates(study: Study) -> Check:
    """Pretend each date before the start to be the start, using only what was seen before it.

    The p-value is (1 + dates whose test statistic is as large) / (1 + dates): a randomisation test that
    takes every date as equally likely to have been the start (Bulte and Onghena 2008). The real effect and
    the pretended ones rest on windows of different length, which the statistics allow for. Neighbouring
    dates share most of their values, so the p-value is a rough one.
    """
    name = "placebo dates"
    codes = _thinned(_pretended(study))
    if not len(codes):
        text = "The time before the start is too short to pretend an earlier one."
        return Check(name=name, assumption=TIMING, verdict="information", text=text)
    table = pd.DataFrame([*(_placebo(study, int(code)) for code in progress(codes, name)), _real(study)])
    found = table[table["which"] == PRETENDED].dropna(subset=["statistic"])
    if found.empty:
        text = "No earlier date could be tried; the table says why."
        return Check(name=name, assumption=TIMING, verdict="information", text=text, table=table)
    real = float(table["statistic"].iloc[-1])
    as_large = int((found["statistic"].abs() >= abs(real)).sum())
    p = (1 + as_large) / (1 + len(found))
    share = float((verdicts(found) != 0).mean())
    text = (
        f"At {share:.0%} of {plural(len(found), 'date')} before the start, at which nothing is known to have"
        f" happened, the same analysis finds a change (about {1 - study.design.level:.0%} would by chance)."
    )
    alike = as_large > 0 and p > ALIKE
    text += f" The real date gives a larger test statistic than {len(found) - as_large} of them"
    text += f" (randomisation p-value {number(p, 2)}, at best {number(1 / (1 + len(found)), 2)})."
    if share > ALLOWED:
        text += " The series moves more by itself than the intervals allow for."
    if alike and is_clear(dict(study.overall)):
        text += " A change like that at the start is nothing unusual in this series."
    return Check(
        name=name,
        assumption=TIMING,
        verdict=_verdict(share > ALLOWED, alike, is_clear(dict(study.overall))),
        text=text,
        table=table,
        picture="placebo dates",
    )


def _verdict(many: bool, alike: bool, clear: bool) -> Verdict:
    """An effect that was not told from none need not stand out among the pretended ones."""
    if many or (alike and clear):
        return "concern"
    return "information" if alike else "supports"


def _pretended(study: Study) -> np.ndarray:
    """Periods before the start that have enough periods on either side of them."""
    used = np.flatnonzero(study.panel.before)
    least = LEAST if len(used) >= 4 * LEAST else 3
    settle = int(study.design.lag) + int(study.design.phase_in)
    return used[least : max(len(used) - least - settle + 1, least)]


def _placebo(study: Study, code: int) -> dict[str, Any]:
    """The effect of a pretended start, from values before the real one."""
    series, start = study.panel.series, study.panel.start
    row = tried(
        study,
        series.shown()[code],
        {
            "start": series.label(code),
            "last_period": series.label(start - 1),
            "further_starts": (),
            "expected_within": 0,
            "horizons": (),
        },
    )
    return {**row, "which": PRETENDED, "statistic": _statistic(row)}


def _real(study: Study) -> dict[str, Any]:
    row = {**stated(study), "label": study.panel.series.shown()[study.panel.start]}
    return {**row, "which": "real start", "statistic": _statistic(row)}


def _statistic(row: Any) -> float:
    """How far an estimate lies from no effect in units of half its interval (of its error but for a
    constant)."""
    centre = on_scale(pd.Series(dict(row)))
    ratio = str(row["term"]).endswith("ratio")
    low, high = float(row["conf_low"]), float(row["conf_high"])
    if ratio:
        low, high = (float(np.log(end)) if end > 0 else float("nan") for end in (low, high))
    half = (high - low) / 2
    return centre / half if half > 0 else float("nan")


def _thinned(codes: np.ndarray) -> np.ndarray:
    """At most MOST_DATES of the codes, evenly spread."""
    if len(codes) <= MOST_DATES:
        return codes
    found: np.ndarray = codes[np.unique(np.linspace(0, len(codes) - 1, MOST_DATES).round().astype(int))]
    return found


def reaction_before(study: Study) -> Check:
    """Whether the series moved in the last periods before the start, and the effect with those periods
    counted as after or left out."""
    made, name = study.panel, "reaction before the start"
    counts = [count for count in range(1, EARLIER + 1) if made.before[: made.start - count].sum() >= 3]
    if not counts:
        text = "The time before the start is too short to look for an early reaction."
        return Check(name=name, assumption=NO_ANTICIPATION, verdict="information", text=text)
    jumps = [_jump(study, count) for count in counts]
    rows = [stated(study)]
    for count in counts:
        words = plural(count, made.series.rhythm)
        rows.append(tried(study, f"start {words} earlier", {"start": made.series.label(made.start - count)}))
        gone = {
            str(made.series.label(code)): "may show an early reaction"
            for code in range(made.start - count, made.start)
        }
        changes = {"left_out": {**study.design.left_out, **gone}}
        rows.append(tried(study, f"{words} before left out", changes))
    table = pd.DataFrame([*rows, *jumps])
    tested = [row for row in jumps if np.isfinite(row["p_value"])]
    early = [row for row in tested if row["p_value"] * len(tested) < 1 - study.design.level]
    if not tested and not any(np.isfinite(row["estimate"]) for row in rows):
        text = "Whether the series moved before the start could not be looked at; the table says why."
        return Check(name=name, assumption=NO_ANTICIPATION, verdict="information", text=text, table=table)
    text = (
        f"In the last {plural(counts[-1], made.series.rhythm)} before the start the series"
        + (" already differed from its earlier course" if early else " shows no move of its own")
        + (
            ": people may have reacted early, the start may be dated too late, or something else happened."
            if early
            else f" (smallest p-value of {plural(len(tested), 'test')}"
            f" {number(min((row['p_value'] for row in tested), default=float('nan')), 2)})."
        )
    )
    kept = table[~table["label"].str.startswith("jump")].dropna(subset=["estimate"])
    text += (
        f" Counting them as after, or leaving them out, the effect runs from {number(kept['estimate'].min())}"
        f" to {number(kept['estimate'].max())}."
    )
    clear = {is_clear(dict(row)) for _, row in kept.iterrows()}
    text += " Whether its interval leaves no effect out then changes." if len(clear) > 1 else ""
    return Check(
        name=name,
        assumption=NO_ANTICIPATION,
        verdict="concern" if early or len(clear) > 1 else "supports" if tested else "information",
        text=text,
        table=table,
        picture="intervals",
    )


def _jump(study: Study, count: int) -> dict[str, Any]:
    """The change of level in the last `count` periods before the start, from values before it."""
    series, start = study.panel.series, study.panel.start
    return tried(
        study,
        f"jump in the last {plural(count, series.rhythm)} before",
        {
            "start": series.label(start - count),
            "last_period": series.label(start - 1),
            "change": "level",
            "lag": 0,
            "phase_in": 0,
            "further_starts": (),
            "expected_within": 0,
            "horizons": (),
        },
    )
