"""The result of a chart: lines by phase, the points with their signals, facts and notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.compute import ENOUGH, FEWEST, Chart, make_chart
from qieval.charts.kinds import ABOUT, CHOSEN
from qieval.charts.points import Points, read_points
from qieval.methods.control_charts.words import described, headline, rules_in_words
from qieval.result import Result
from qieval.text import plural


def parse(design: ChartDesign, frame: pd.DataFrame) -> Points:
    """The data as points of a chart."""
    return read_points(design, frame)


def estimate(design: ChartDesign, frame: pd.DataFrame) -> Result:
    """Compute the chart of a design; see `RunChart` and `ControlChart`.

    estimates: one row per phase, 'centre line', with lower_limit and upper_limit of its last point; a chart
    has no standard error and no interval. series: one row per point, with counterfactual = centre line and
    conf_low, conf_high = limits, and with label, phase, used, left_out (why), signal (the rules broken) and
    way (+1 the better direction, -1 the worse).
    """
    chart = make_chart(design, frame)
    return Result(
        design=design,
        headline=headline(chart),
        estimates=_estimates(chart),
        series=_series(design, chart),
        facts=pd.Series(_facts(design, chart), dtype=object),
        notes=_notes(design, chart),
        kernel=chart,
    )


def _estimates(chart: Chart) -> pd.DataFrame:
    lines = chart.lines()
    several = len(lines) > 1
    terms = [f"centre line {phase}" if several else "centre line" for phase in lines["phase"]]
    table = pd.DataFrame({"term": terms, "at": np.nan, "estimate": lines["centre"]})
    for name in ("std_error", "conf_low", "conf_high", "p_value"):
        table[name] = np.nan
    table["lower_limit"] = lines["lower"]
    table["upper_limit"] = lines["upper"]
    table["points"] = lines["points"].astype(str)
    table["signals"] = [
        str(sum(signal.phase == phase for signal in chart.signals)) for phase in range(len(lines))
    ]
    return table


def _series(design: ChartDesign, chart: Chart) -> pd.DataFrame:
    points, limits = chart.points, chart.limits
    broken = np.full(points.n, "", dtype=object)
    for signal in chart.signals:
        for at in range(signal.first, signal.last + 1):
            if chart.flagged[at]:
                broken[at] = "; ".join(filter(None, (broken[at], signal.rule)))
    return pd.DataFrame(
        {
            "time": points.time,
            "group": design.outcome,
            "observed": limits.value,
            "counterfactual": limits.centre,
            "conf_low": limits.lower,
            "conf_high": limits.upper,
            "label": points.labels,
            "phase": [points.phases[part][0] for part in points.part],
            "used": points.used,
            "left_out": points.reason,
            "signal": broken,
            "way": chart.way,
        }
    )


def _facts(design: ChartDesign, chart: Chart) -> dict[str, Any]:
    points = chart.points
    facts: dict[str, Any] = {
        "chart": ABOUT[points.chart].title,
        "why this chart": points.why,
        "rules": rules_in_words(design.signal_rules, points.chart)
        if chart.enough
        else "none: too few points",
        "points": int(points.counted.sum()),
    }
    if left := int((~points.counted).sum()):
        facts["points left out"] = left
    facts["signals"] = len(chart.signals)
    if chart.signals:
        facts["what changed"] = "; ".join(described(chart, signal) for signal in chart.signals)
    facts |= _run_facts(chart)
    last = np.flatnonzero(np.isfinite(chart.limits.value))
    facts["last point"] = points.labels[last[-1]]
    facts |= _verdicts(chart)
    if points.smallest is not None:
        facts["smallest count above zero"] = points.smallest
    return facts


def _run_facts(chart: Chart) -> dict[str, Any]:
    """Runs of the last phase that has enough points."""
    if not chart.runs:
        return {}
    phase = max(chart.runs)
    found = chart.runs[phase]
    whose = f" {chart.points.phases[phase][0]}" if len(chart.points.phases) > 1 else ""
    return {
        f"longest run{whose}": found.longest,
        f"longest run that chance allows{whose}": found.longest_allowed,
        f"crossings of the centre line{whose}": found.crossings,
        f"fewest crossings that chance allows{whose}": found.crossings_needed,
    }


def _verdicts(chart: Chart) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if chart.variation:
        facts["variation (Making Data Count)"] = chart.variation
    if chart.target is not None:
        facts["target"] = chart.target
        if chart.assurance:
            facts["assurance (Making Data Count)"] = chart.assurance
    return facts


def _notes(design: ChartDesign, chart: Chart) -> tuple[str, ...]:
    points = chart.points
    notes = [points.why] if design.chart == CHOSEN else []
    many = np.bincount(points.part[points.counted], minlength=len(points.phases))
    used = np.bincount(points.part[points.used], minlength=len(points.phases))
    for (label, why), counted, setting in zip(points.phases, many, used, strict=True):
        whose = f" in the phase {label}" if len(points.phases) > 1 else ""
        if counted < FEWEST:
            notes.append(
                f"Too few points{whose} ({counted}; {FEWEST} are needed): drawn without rules, and the lines"
                " are provisional."
            )
        elif setting < ENOUGH:
            notes.append(f"The lines{whose} rest on {setting} points; below {ENOUGH} they are provisional.")
        if why:
            notes.append(f"New lines {label}: {why}")
    notes += [f"Left out of the computation: {said} ({why})." for said, why in design.left_out.items()]
    if chart.limits.screened:
        notes.append(
            f"{plural(chart.limits.screened, 'extreme moving range')} did not widen the limits"
            " (screen_moving_ranges)."
        )
    return (*notes, *_flat(chart), *points.notes)


def _flat(chart: Chart) -> list[str]:
    """Notes on points that do not vary."""
    value = chart.limits.value[chart.points.counted]
    value = value[np.isfinite(value)]
    if chart.varies or len(value) < 2:
        return []
    if value[0] == 0:
        return [
            "Every value is zero. Check that events are recorded at all; if they are rare, days between"
            " events tell more (qe.charts.safety_cross, kind='g')."
        ]
    return ["All values are the same, so the chart has no variation to judge. Check how they are recorded."]
