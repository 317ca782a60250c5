"""Did the groups move in parallel before the start, and would the data have shown it if they had not?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.design import PanelDesign
from qieval.diagnostics.trend_test import GOOD_POWER, NO_PROOF, TrendTest, slope_of_levels
from qieval.numerics.covariance import t_interval
from qieval.numerics.few_clusters import reliable
from qieval.result import EventStudy, Study
from qieval.shapes import Panel
from qieval.text import number

ASSUMPTION = "parallel trends before the start"


def pre_trends(study: Study) -> Check:
    """Test that the groups moved in parallel before the start: jointly, or for a straight drift if clusters
    are few.

    The joint test is Hotelling's (the covariance is estimated from the clusters); with fewer than four
    clusters per period tested it says nothing, and the linear drift is tested instead.
    """
    event: EventStudy = study.result.kernel
    before = _testable(event)
    name = "trends before the start"
    if not before.any():
        text = "With one period before the start nothing can be said about trends before it."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    test = _pre_test(event, before)
    p_value = test.p_value()
    drift, error = test.slope
    few = not reliable(int(study.facts["clusters"]), _smaller_arm(study))
    verdict: Verdict = (
        "information"
        if few or np.isnan(p_value)
        else "concern"
        if p_value < 1 - study.design.level
        else "supports"
    )
    found = {
        "information": (
            "but with so few clusters this test cannot be relied on; the placebo dates use an interval made"
            " for few"
        ),
        "concern": "the groups were already moving apart",
        "supports": "no sign that the groups were moving apart",
    }[verdict]
    text = (
        f"{test.words}: p = {number(p_value)}, {found} (drift {number(drift)} per period, standard error"
        f" {number(error)}). {NO_PROOF}"
    )
    table = _event_table(study, before)
    return Check(
        name=name, assumption=ASSUMPTION, verdict=verdict, text=text, table=table, picture="intervals"
    )


def _smaller_arm(study: Study) -> int:
    treated = int(study.facts["treated clusters"])
    return min(treated, int(study.facts["clusters"]) - treated)


def _pre_test(event: EventStudy, before: np.ndarray) -> TrendTest:
    weights = slope_of_levels(event.at[before], event.reference)
    covariance = event.covariance[np.ix_(before, before)]
    return TrendTest.of(event.estimate[before], covariance, weights, event.df)


def pre_trend_power(study: Study) -> Check:
    """Would the test have noticed a straight drift large enough to explain the whole estimate? (Roth 2022)"""
    event: EventStudy = study.result.kernel
    before = _testable(event)
    name = "power of the test of trends"
    if not before.any():
        text = "With one period before the start a drift that explains the estimate cannot be seen at all."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    slope = _explaining_slope(study, event)
    delta = slope * (event.at[before] - event.reference)
    power = _pre_test(event, before).power(delta, 1 - study.design.level)
    table = pd.DataFrame(
        {
            "quantity": [
                "drift per period that would explain the estimate",
                "chance that the test notices it",
            ],
            "value": [slope, power],
        }
    )
    text = (
        f"A steady drift of {number(slope)} per period between the groups would explain the whole estimate. "
        f"The test of trends before the start would notice such a drift with a chance of {power:.0%}"
    )
    text += "." if power >= GOOD_POWER else ", so a quiet test says little about it."
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="supports" if power >= GOOD_POWER else "information",
        text=text,
        table=table,
    )


def trends_before(design: PanelDesign, panel: Panel) -> Check:
    """Group means in each period before the start, and the difference of the groups' slopes."""
    seen = (panel.time < panel.start) & np.isfinite(panel.outcome)
    table = _means(panel, seen)
    name = "trends before the start, without later outcomes"
    slopes, treated = _cluster_slopes(panel, seen)
    if min(treated.sum(), (~treated).sum()) < 2:
        text = (
            "The picture shows the groups before the start; with a single cluster in a group their drift has"
            " no interval."
        )
        return Check(
            name=name, assumption=ASSUMPTION, verdict="information", text=text, table=table, picture="trends"
        )
    one, other = slopes[treated], slopes[~treated]
    gap = float(one.mean() - other.mean())
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    found = t_interval(np.array([gap]), np.array([error]), min(len(one), len(other)) - 1, design.level)
    drift = bool(found.p_value[0] < 1 - design.level)
    text = (
        f"Before the start the treated drifted by {number(gap)} per period against the comparison units "
        f"({design.level:.0%} interval {number(float(found.low[0]))} to {number(float(found.high[0]))})."
    )
    text += " A drift like this is counted as an effect later." if drift else " " + NO_PROOF
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if drift else "information",
        text=text,
        table=table,
        picture="trends",
    )


def _testable(event: EventStudy) -> np.ndarray:
    """Which effects lie before the reference period and have a variance."""
    usable: np.ndarray = (event.at < event.reference) & ~event.degenerate & np.isfinite(event.estimate)
    return usable


def _event_table(study: Study, before: np.ndarray) -> pd.DataFrame:
    event: EventStudy = study.result.kernel
    if study.result.estimates is None:
        raise ValueError("the result has no estimates")
    rows = study.result.estimates.dropna(subset=["at"])
    rows = rows[rows["at"].isin(event.at[before])]
    labels = study.panel.periods.shown()
    shown = [labels[int(at) + study.panel.start] for at in rows["at"]]
    return rows.assign(label=shown)[["label", "estimate", "conf_low", "conf_high", "p_value"]].reset_index(
        drop=True
    )


def _explaining_slope(study: Study, event: EventStudy) -> float:
    """The straight drift per period under which the average effect would be all bias."""
    start, anticipation = study.panel.start, int(getattr(study.design, "anticipation", 0))
    times = np.arange(study.panel.n_periods)
    apart = times[times >= start].mean() - times[times < start - anticipation].mean()
    return float(study.overall["estimate"]) / float(apart)


def _means(panel: Panel, seen: np.ndarray) -> pd.DataFrame:
    axis = panel.periods.axis()
    parts = []
    for group, arm in (("treated", panel.treated), ("comparison", ~panel.treated)):
        rows = seen & arm
        weight = np.ones(len(panel.unit)) if panel.weights is None else panel.weights
        total = np.bincount(panel.time[rows], weight[rows], panel.start)
        sums = np.bincount(panel.time[rows], (weight * panel.outcome)[rows], panel.start)
        with np.errstate(invalid="ignore"):
            parts.append(
                pd.DataFrame({"time": axis[: panel.start], "group": group, "observed": sums / total})
            )
    return pd.concat(parts, ignore_index=True).dropna()


def _cluster_slopes(panel: Panel, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slope over time of each cluster seen in two periods or more, and which clusters are treated."""
    code, time, y = panel.cluster[seen], panel.time[seen].astype(float), panel.outcome[seen]
    count = np.maximum(np.bincount(code, minlength=panel.n_clusters), 1)
    centred = time - (np.bincount(code, time, panel.n_clusters) / count)[code]
    square = np.bincount(code, centred**2, panel.n_clusters)
    usable = square > 0
    slope = np.bincount(code, centred * y, panel.n_clusters)[usable] / square[usable]
    treated = np.bincount(code, panel.treated[seen], panel.n_clusters)[usable] > 0
    return slope, treated
