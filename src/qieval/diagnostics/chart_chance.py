"""Checks of improvement charts by simulation: does chance vary like the points, how often does it signal?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.assumed import DISTRIBUTION, FALSE_ALARMS
from qieval.charts.compute import FEWEST, Chart, shows_signal
from qieval.charts.kinds import ABOUT, PROPORTIONS, RATES
from qieval.charts.points import Points
from qieval.check import Check, Verdict
from qieval.errors import QievalError
from qieval.numerics.chart_limits import ChartLimits
from qieval.result import Study
from qieval.text import number, plural

DRAWS = 999
CHARTS = 200
"""Simulated charts: a share of 10% is known to about 2 points."""
RARELY, OFTEN = 0.10, 0.30
UNUSUAL, RATHER = 0.01, 0.05
"""Shares of simulated series that speak against the chart, or make one wonder."""
FEW_EXPECTED = 5.0
"""Limits of counts are rough where fewer events than this are expected at a point."""
SKEWED = 1.0
MODEL_OF = {"p": "p", "p'": "p", "u": "u", "u'": "u", "c": "u", "g": "g", "t": "t"}
"""Which chance makes the points of a chart: binomial, Poisson, geometric, exponential; else normal."""


def chance_variation(study: Study) -> Check:
    """Whether the points vary as the formula of the limits supposes."""
    chart = _chart(study)
    kind = chart.points.chart
    counted = int(chart.points.counted.sum())
    name = "variation of the points"
    if kind not in MODEL_OF:
        return Check(name=name, assumption=DISTRIBUTION, verdict="information", text=_shape(chart))
    ratio, p_value = dispersion(chart, study.design.seed)
    if counted < FEWEST or not np.isfinite(ratio):
        text = "There are too few points that vary to compare them with chance."
        return Check(name=name, assumption=DISTRIBUTION, verdict="information", text=text)
    text = (
        f"The points vary {number(ratio, 2)} times as much as {_LAW[MODEL_OF[kind]]} chance would make them"
        f" within their phases; {_how_often(p_value)} of simulated series are that far from 1."
    )
    text += _advice(kind, ratio, p_value)
    few = _expected(chart) < FEW_EXPECTED
    if few and kind not in ("g", "t"):
        text += f" At some points fewer than {FEW_EXPECTED:g} events are expected: their limits are rough."
    unusual = p_value < UNUSUAL and not kind.endswith("'")
    wonder = few or p_value < RATHER or kind.endswith("'")
    verdict: Verdict = "concern" if unusual else "information" if wonder else "supports"
    return Check(name=name, assumption=DISTRIBUTION, verdict=verdict, text=text)


_LAW = {"p": "binomial", "u": "Poisson", "g": "geometric", "t": "exponential"}


def _how_often(p_value: float) -> str:
    return f"fewer than {1 / DRAWS:.1%}" if p_value <= 1 / (DRAWS + 1) else f"{p_value:.1%}"


def _advice(kind: str, ratio: float, p_value: float) -> str:
    if kind.endswith("'"):
        return (
            " The limits of this chart are scaled by the variation between neighbours, which allows for it."
        )
    if p_value >= UNUSUAL:
        return ""
    if kind in ("g", "t"):
        return " Events come in clusters, or the rate of events changed." if ratio > 1 else ""
    if ratio < 1:
        return " So little variation is suspicious: are the same people counted again, or numbers smoothed?"
    other = f'kind="{kind}\'"' if kind in ("p", "u") else "kind='i', or a denominator"
    return (
        f" The limits are too narrow if that is common to all points ({other} allows for it); a lasting"
        " change makes points vary more too."
    )


def dispersion(chart: Chart, seed: int) -> tuple[float, float]:
    """Variation within phases relative to the chart's own law of chance, and how unusual it is (two-sided).

    The statistic is the mean squared distance from the phase mean in units of the law's variance; its law
    comes from series drawn with the fitted means (999 draws).
    """
    points = chart.points
    rng = np.random.default_rng(seed)
    at = points.counted & np.isfinite(chart.limits.value)
    y = points.y[at]
    size = np.ones(int(at.sum())) if points.size is None else points.size[at]
    part = points.part[at]
    model = MODEL_OF[points.chart]
    seen = _spread(model, y[None, :], size, part)[0]
    mean = np.empty(len(y))
    for phase in np.unique(part):
        own = part == phase
        mean[own] = y[own].sum() / size[own].sum()
    if not np.isfinite(seen):
        return float("nan"), float("nan")
    drawn = _spread(model, _draw(model, rng, mean, size, DRAWS), size, part)
    drawn = drawn[np.isfinite(drawn)]
    above = (1 + int((drawn >= seen).sum())) / (len(drawn) + 1)
    below = (1 + int((drawn <= seen).sum())) / (len(drawn) + 1)
    return float(seen), float(min(1.0, 2 * min(above, below)))


def _spread(model: str, y: np.ndarray, size: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The statistic of `dispersion` for series y (s, n); NaN where nothing can vary."""
    total, free = np.zeros(len(y)), 0
    for phase in np.unique(part):
        own, n = y[:, part == phase], size[part == phase]
        centre = own.sum(axis=1, keepdims=True) / n.sum()
        variance = VARIANCES[model](centre) * n
        with np.errstate(divide="ignore", invalid="ignore"):
            total += ((own - centre * n) ** 2 / variance).sum(axis=1)
        free += len(n) - 1
    return np.where(np.isfinite(total), total, np.nan) / free if free else np.full(len(y), np.nan)


VARIANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "p": lambda mean: mean * (1 - mean),
    "u": lambda mean: mean,
    "g": lambda mean: mean * (mean + 1),
    "t": lambda mean: mean**2,
}
"""Variance of one unit of size by its mean."""


def _draw(model: str, rng: np.random.Generator, mean: np.ndarray, size: np.ndarray, draws: int) -> np.ndarray:
    """Series (draws, n) from the law of chance of a chart."""
    shape = (draws, len(mean))
    if model == "p":
        return rng.binomial(np.round(size).astype(int), np.clip(mean, 0, 1), shape).astype(float)
    if model == "u":
        return rng.poisson(mean * size, shape).astype(float)
    if model == "g":
        return (rng.geometric(1 / (1 + mean), shape) - 1).astype(float)
    return np.asarray(rng.exponential(mean, shape))


def _expected(chart: Chart) -> float:
    """The fewest events expected at a point."""
    points, limits = chart.points, chart.limits
    size = np.ones(points.n) if points.size is None else points.size
    return float(np.nanmin(limits.centre / points.multiply * size))


def _shape(chart: Chart) -> str:
    """How lopsided measurements are."""
    kind = ABOUT[chart.points.chart].title
    value = chart.limits.value[chart.points.counted & np.isfinite(chart.limits.value)]
    spread = value.std()
    if len(value) < FEWEST or not spread > 0:
        return (
            f"Limits of the {kind} come from the points themselves; there are too few to judge their shape."
        )
    skew = float((((value - value.mean()) / spread) ** 3).mean())
    said = f"Limits of the {kind} come from the points themselves; their skewness is {number(skew, 2)}."
    if abs(skew) > SKEWED:
        said += (
            " Points that lopsided cross one of the limits more often than 3 in 1,000 times; for waits"
            " between rare events choose kind='g' or 't'."
        )
    return said


def other_charts(study: Study) -> Check:
    """Whether other charts of the same data tell the same."""
    name = "the same data on other charts"
    chart = _chart(study)
    kinds = _alternatives(chart.points)
    if not kinds or study.design.chart == "run":
        return Check(
            name=name,
            assumption=DISTRIBUTION,
            verdict="information",
            text="No other chart suits these data.",
        )
    rows = [_row(ABOUT[chart.points.chart].title, chart)]
    for kind in kinds:
        try:
            other = study.refit(replace(study.design, kind=kind), study.frame).kernel
        except QievalError as cause:
            rows.append({"chart": ABOUT[kind].title, "note": str(cause)})
            continue
        rows.append(_row(ABOUT[kind].title, other))
    table = pd.DataFrame(rows)
    verdicts = {row["signals"] != "0" for row in rows if "signals" in row}
    told = "; ".join(f"{row['chart']} {row['signals']}" for row in rows if "signals" in row)
    agree = len(verdicts) == 1
    text = f"Signals by chart: {told}. " + (
        "All agree whether something changed."
        if agree
        else "They do not agree whether something changed, so the verdict hangs on the kind of chart."
    )
    return Check(
        name=name,
        assumption=DISTRIBUTION,
        verdict="information" if agree else "concern",
        text=text,
        table=table,
    )


def _alternatives(points: Points) -> tuple[str, ...]:
    if points.chart in (*PROPORTIONS, *RATES):
        plain = points.chart.rstrip("'")
        return tuple(kind for kind in (plain, plain + "'", "i") if kind != points.chart)
    return ("i",) if points.chart == "c" else ()


def _row(title: str, chart: Chart) -> dict[str, Any]:
    line = chart.lines().iloc[-1]
    return {
        "chart": title,
        "signals": str(len(chart.signals)),
        "centre": line["centre"],
        "lower": line["lower"],
        "upper": line["upper"],
    }


def false_alarms(study: Study) -> Check:
    """How often a stable process of the same length and size would give a signal on this chart."""
    chart = _chart(study)
    name = "signals by chance alone"
    if not chart.enough:
        text = "No rule is applied, so there are no false alarms; nor can a change be seen."
        return Check(name=name, assumption=FALSE_ALARMS, verdict="information", text=text)
    series = stable_series(chart, np.random.default_rng(study.design.seed), CHARTS)
    if series is None:
        text = "The points do not vary, so chance cannot be simulated from them."
        return Check(name=name, assumption=FALSE_ALARMS, verdict="information", text=text)
    share = signalling(study.design, chart.points, series)
    text = (
        f"Of {plural(CHARTS, 'simulated chart')} of a stable process with"
        f" {plural(chart.points.n, 'point')}, {share:.0%} show at least one signal by these rules. Looking"
        " at several charts, or at one again and again, adds to that."
    )
    verdict: Verdict = "supports" if share <= RARELY else "information" if share <= OFTEN else "concern"
    return Check(name=name, assumption=FALSE_ALARMS, verdict=verdict, text=text)


def stable_series(chart: Chart, rng: np.random.Generator, draws: int) -> np.ndarray | None:
    """Series (draws, n) of a process that stays at the mean of the chart; None where nothing varies."""
    points, limits = chart.points, chart.limits
    model = MODEL_OF.get(points.chart)
    if model is None:
        return _normal(points, limits, rng, draws)
    at = points.counted
    size = np.ones(points.n) if points.size is None else points.size
    mean = float(points.y[at].sum() / size[at].sum())
    if mean <= 0 or (model == "p" and mean >= 1):
        return None
    return _draw(model, rng, np.full(points.n, mean), size, draws)


def _normal(points: Points, limits: ChartLimits, rng: np.random.Generator, draws: int) -> np.ndarray | None:
    """Normal measurements; means of subgroups spread as their sizes say; spreads of normal subgroups."""
    if points.chart == "s":
        return _spreads(points, rng, draws)
    value = points.y[points.counted]
    spread = float(value.std())
    if not spread > 0:
        return None
    noise = rng.normal(0, 1, (draws, points.n))
    if points.chart == "xbar" and np.isfinite(limits.sigma).any():
        return np.asarray(value.mean() + np.nan_to_num(limits.sigma, nan=spread) * noise)
    return np.asarray(value.mean() + spread * noise)


def _spreads(points: Points, rng: np.random.Generator, draws: int) -> np.ndarray | None:
    """Standard deviations within subgroups of normal measurements; None where no subgroup has two."""
    if points.size is None or points.spread is None:
        return None
    free = points.size - 1
    known = (free > 0) & points.counted
    if not known.any() or not np.nansum(points.spread[known]) > 0:
        return None
    pooled = np.sqrt((free[known] * points.spread[known] ** 2).sum() / free[known].sum())
    degrees = np.maximum(free, 1)
    found = pooled * np.sqrt(rng.chisquare(degrees, (draws, points.n)) / degrees)
    return np.where(free > 0, found, np.nan)


def signalling(design: ChartDesign, points: Points, series: np.ndarray) -> float:
    """The share of series (s, n) that show a signal when drawn like the chart of `points`."""
    field = "spread" if points.chart == "s" else "y"
    drawn = (replace(points, **{field: held}) for held in series)
    return float(np.mean([shows_signal(design, simulated) for simulated in drawn]))


def _chart(study: Study) -> Chart:
    chart: Chart = study.result.kernel
    return chart
