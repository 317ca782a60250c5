"""Checks of improvement charts: points, baseline, independence, moved lines, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.assumed import (
    ENOUGH_POINTS,
    INDEPENDENT,
    REBASING,
    STABLE_BASELINE,
    SUBGROUPS_RATIONAL,
)
from qieval.charts.compute import ENOUGH, FEWEST, Chart
from qieval.charts.kinds import PROPORTIONS, RATES, SUBGROUPS
from qieval.charts.points import Points
from qieval.check import Check, Verdict
from qieval.numerics.chart_patterns import side
from qieval.numerics.chart_runs import runs
from qieval.result import Study
from qieval.text import listed, number, plural

TWO_SIDES = 1.96
"""A correlation of neighbours is taken for real beyond that many standard errors 1 / sqrt(pairs)."""
UNEVEN = 4.0
"""Sizes of points that differ by more than this factor deserve a look."""


def enough_points(study: Study) -> Check:
    """Whether each phase has enough points for lines and rules."""
    return points_before(study.design, _chart(study).points)


def points_before(design: ChartDesign, points: Points) -> Check:
    """Whether each phase has enough points for lines and rules, known from the dates alone."""
    counted = np.bincount(points.part[points.counted], minlength=len(points.phases))
    setting = np.bincount(points.part[points.used], minlength=len(points.phases))
    table = pd.DataFrame(
        {
            "phase": [label for label, _ in points.phases],
            "points": counted.astype(str),
            "points_that_set_the_lines": setting.astype(str),
        }
    )
    fewest = int(min(counted.min(), setting.min()))
    verdict: Verdict = "concern" if fewest < FEWEST else "information" if fewest < ENOUGH else "supports"
    said = {
        "concern": f"below {FEWEST} no rule is applied, or lines rest on too little",
        "information": f"lines from fewer than {ENOUGH} points are provisional and should be computed again",
        "supports": "lines and rules have something to rest on",
    }
    where = "the chart" if len(points.phases) == 1 else "the shortest phase"
    return Check(
        name="number of points",
        assumption=ENOUGH_POINTS,
        verdict=verdict,
        text=f"The lines of {where} rest on {plural(fewest, 'point')}: {said[verdict]}.",
        table=table,
    )


def baseline_stable(study: Study) -> Check:
    """Whether the points that set the lines show signals themselves."""
    chart = _chart(study)
    rows = [_own_signals(chart, phase) for phase in range(len(chart.points.phases))]
    table = pd.DataFrame(rows)
    judged = table[table["judged"]]
    troubled = judged[judged["signal"] != ""]
    frozen = study.design.baseline_until is not None
    if judged.empty:
        verdict: Verdict = "information"
        text = f"No phase has {FEWEST} points that set its lines, so their stability cannot be judged."
    elif troubled.empty:
        verdict, text = "supports", "The points that set the lines show no signal among themselves."
    else:
        verdict = "concern"
        text = (
            f"The points that set the lines show signals themselves ({listed(troubled['signal'], 2)}), so the"
            " lines describe a mixture of before and after."
        )
        text += (
            " Choose a baseline without signals."
            if frozen
            else " Fix the lines at a stable baseline (baseline_until), or begin new ones where a change was"
            " declared (rebase)."
        )
    return Check(
        name="signals in the baseline",
        assumption=STABLE_BASELINE,
        verdict=verdict,
        text=text,
        table=table.drop(columns="judged"),
    )


def _own_signals(chart: Chart, phase: int) -> dict[str, object]:
    """Signals among the points that set the lines of a phase."""
    points, limits = chart.points, chart.limits
    at = points.used & (points.part == phase)
    judged = int(at.sum()) >= FEWEST
    found = []
    if judged:
        outside = (side(limits.value, limits.upper) > 0) | (side(limits.value, limits.lower) < 0)
        if beyond := int((outside & at).sum()):
            found.append(f"{plural(beyond, 'point')} outside the limits")
        seen = runs(limits.value, limits.centre, counted=at)
        if points.chart != "mr" and seen.longest > seen.longest_allowed:
            found.append(f"{seen.longest} points in a row on one side")
        if points.chart != "mr" and seen.crossings < seen.crossings_needed:
            found.append(f"only {plural(seen.crossings, 'crossing')} of the centre line")
    label = points.phases[phase][0]
    return {"phase": label, "points": str(int(at.sum())), "signal": "; ".join(found), "judged": judged}


def independent_points(study: Study) -> Check:
    """Whether neighbours resemble one another, which makes limits too narrow and runs too long."""
    chart = _chart(study)
    if chart.points.chart == "mr":
        return Check(
            name="likeness of neighbours",
            assumption=INDEPENDENT,
            verdict="information",
            text="Neighbouring moving ranges share a measurement, so they resemble one another by design.",
        )
    r, pairs = neighbour_correlation(chart)
    if pairs < FEWEST or not np.isfinite(r):
        return Check(
            name="likeness of neighbours",
            assumption=INDEPENDENT,
            verdict="information",
            text=f"There are only {plural(pairs, 'pair')} of neighbours that vary, too few to judge.",
        )
    limit = TWO_SIDES / np.sqrt(pairs)
    text = (
        f"The correlation of neighbouring points is {number(r, 2)}; chance alone keeps it mostly between"
        f" {number(-limit, 2)} and {number(limit, 2)}."
    )
    if r > limit:
        narrow = 1 - np.sqrt(1 - min(r, 0.99))
        text += (
            f" If that is how the process is, limits from neighbouring points are about {narrow:.0%} too"
            " narrow and runs come by themselves. A lasting change without new lines makes neighbours"
            " alike too."
        )
    return Check(
        name="likeness of neighbours",
        assumption=INDEPENDENT,
        verdict="concern" if r > limit else "supports",
        text=text,
    )


def neighbour_correlation(chart: Chart) -> tuple[float, int]:
    """Lag-1 correlation of the distances from the centre line within phases, and the number of pairs."""
    points, limits = chart.points, chart.limits
    sigma = np.where(limits.sigma > 0, limits.sigma, np.nan)
    scale = sigma if np.isfinite(sigma).any() else np.ones(points.n)
    z = np.where(points.counted, (limits.value - limits.centre) / scale, np.nan)
    for phase in np.unique(points.part):
        at = points.part == phase
        if np.isfinite(z[at]).any():
            z[at] -= np.nanmean(z[at])
    pair = np.isfinite(z[1:]) & np.isfinite(z[:-1]) & (points.part[1:] == points.part[:-1])
    total = float(np.nansum(z**2))
    if not pair.any() or total <= 0:
        return float("nan"), int(pair.sum())
    spread = total / int(np.isfinite(z).sum())
    return float((z[1:][pair] * z[:-1][pair]).mean() / spread), int(pair.sum())


def moved_lines(study: Study) -> Check:
    """Whether lines were moved, why, and whether the chart had a signal without that."""
    design, chart = study.design, _chart(study)
    name = "moved lines"
    if not design.rebase:
        return Check(
            name=name, assumption=REBASING, verdict="supports", text="The lines were not moved anywhere."
        )
    unmoved: Chart = study.refit(replace(design, rebase={}), study.frame).kernel
    lines = chart.lines()
    table = lines[["phase", "reason", "points", "centre"]].assign(points=lines["points"].astype(str))
    times = {1: "once", 2: "twice"}.get(len(design.rebase), f"{len(design.rebase)} times")
    text = f"New lines begin {times}, with a stated reason."
    if not unmoved.enough or unmoved.signals:
        text += " Without them the chart shows signals too." if unmoved.signals else ""
        text += " Whether the dates were fixed before the points were seen, no data can tell."
        return Check(name=name, assumption=REBASING, verdict="information", text=text, table=table)
    text += (
        " Without them the chart shows no signal at all, so they were moved without need, or to suit what was"
        " seen."
    )
    return Check(name=name, assumption=REBASING, verdict="concern", text=text, table=table)


def sizes(study: Study) -> Check:
    """What lies behind each point: denominators, subgroups, and the distances between periods."""
    return sizes_before(study.design, _chart(study).points)


def sizes_before(design: ChartDesign, points: Points) -> Check:
    """How even the points are, in size and in time."""
    said, uneven = [], False
    if points.size is not None and points.chart in (*PROPORTIONS, *RATES, *SUBGROUPS):
        low, high = float(np.min(points.size)), float(np.max(points.size))
        uneven = high > UNEVEN * low
        what = "rows a period" if points.chart in SUBGROUPS else str(design.denominator).replace("_", " ")
        span = number(low) if low == high else f"{number(low)} to {number(high)}"
        said.append(f"each point rests on {span} {what}")
    missing = 0 if points.by_order else points.periods.gaps()
    if missing:
        said.append(f"{plural(missing, 'period')} between the points have no value")
    told = "; ".join(said) if said else "every point stands for one period, and none is missing"
    text = f"{told[:1].upper()}{told[1:]}."
    if uneven:
        text += " Very uneven points may mix different kinds of weeks or wards."
    return Check(
        name="what lies behind a point", assumption=SUBGROUPS_RATIONAL, verdict="information", text=text
    )


def _chart(study: Study) -> Chart:
    chart: Chart = study.result.kernel
    return chart
