"""Did cohorts move like their comparison before they began, and would the data have shown it if not?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_leads import Leads, few, leads_of, rows_by_time
from qieval.diagnostics.rollout_rows import PARALLEL
from qieval.diagnostics.trend_test import GOOD_POWER, NO_PROOF
from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.group_time_pretest import PreTest, pretest
from qieval.numerics.group_time_variance import influence_covariance
from qieval.numerics.pretrends import pretrend_power, slope_for_power
from qieval.result import Study
from qieval.rollout.panel import Rollout
from qieval.text import number, plural

TESTED, POWER = "trends before the start", "power of the test of trends"
DECIDES = "this test alone decides"
MOST_IN_BOX = 25
"""Chances that several estimates all lie within their limits are computed for so many periods at most: the
last ones before the start."""


def trends_before_start(study: Study) -> Check:
    """Test differences before the start, averaged by time since it, jointly; with few clusters a straight
    drift.

    Group-time effects are also tested cell by cell (R did: Wpval), by Hotelling's F, which allows for the
    number of clusters. The verdict takes the smaller p-value times the number of tests made.
    """
    leads = leads_of(study)
    if isinstance(leads, str):
        return _said(TESTED, leads)
    if not leads.before.any():
        return _said(TESTED, "With one period before the start nothing can be said about trends before it.")
    test, cells = leads.test, _by_cell(study, leads)
    drift, error = test.slope
    verdict, found = _judged(study, test.p_value())
    text = (
        f"{found}. {test.words}, each compared with {leads.base}: p = {number(test.p_value())} (drift"
        f" {number(drift)} per period{' on the logarithm' if leads.effects.ratio else ''}, standard error"
        f" {number(error)}); {DECIDES if verdict != 'information' else 'it decides nothing here'}."
        f"{'' if few(study) else _cells_said(cells)} {NO_PROOF}"
    )
    table = pd.DataFrame(rows_by_time(leads, leads.before, study.design.level))
    return Check(
        name=TESTED, assumption=PARALLEL, verdict=verdict, text=text, table=table, picture="intervals"
    )


def _said(name: str, text: str) -> Check:
    return Check(name=name, assumption=PARALLEL, verdict="information", text=text)


def _by_cell(study: Study, leads: Leads) -> PreTest | None:
    """The test of all effects by cohort and period before the start, where the approach has them."""
    effects = leads.effects
    if effects.cells is None or effects.ratio:
        return None
    covariance = influence_covariance(effects.cells.influence, effects.clusters_of_units)
    return pretest(
        effects.cells,
        covariance,
        anticipation=study.design.anticipation,
        clusters=_behind(study.panel, effects.cells),
    )


def _behind(rollout: Rollout, cells: GroupTime) -> np.ndarray:
    """How many treated clusters, or treated units or controls if they are fewer, cells rest on (m,)."""
    fewest = np.minimum(cells.n_treated, cells.n_control)
    for start in np.unique(cells.cohort):
        mine = cells.cohort == start
        fewest[mine] = np.minimum(fewest[mine], len(np.unique(rollout.cluster[rollout.first == start])))
    return fewest


def _judged(study: Study, p_value: float) -> tuple[Verdict, str]:
    """The verdict, by the test of the differences by period since the start alone: that of all cells rejects
    far too often where a cohort is small."""
    if few(study) or not np.isfinite(p_value):
        return "information", (
            "There are too few clusters, in all or on one side of the comparison, to rely on a test of"
            " trends;"
            " the pretended starts use an interval made for few clusters"
        )
    if p_value < 1 - study.design.level:
        return "concern", "The groups were already moving apart"
    return "supports", "There is no sign that the groups were moving apart"


def _cells_said(cells: PreTest | None) -> str:
    if cells is None or cells.test is None:
        return ""
    if cells.reason:
        return f" A test cell by cell cannot be trusted: {cells.reason[0].lower()}{cells.reason[1:]}"
    return (
        f" All {plural(cells.test.n_restrictions, 'difference')} by cohort and period together (not part"
        " of the"
        f" verdict): W = {number(cells.test.statistic)}, p = {number(cells.test.p_hotelling)}."
    )


def power_of_test(study: Study) -> Check:
    """Would the test have noticed a steady drift large enough to matter, and what is left after passing it?
    (Roth 2022)

    Drifts are judged by the mean effect from the expected lag on. A drift is noticed by period when the
    interval of any difference before the start leaves zero out (of the last 25), and jointly when the test
    of trends is; the verdict goes by the latter. For effects that are compared with all periods before the
    start (imputation, Poisson) a drift counts from their mean.
    """
    leads = leads_of(study)
    if isinstance(leads, str):
        return _said(POWER, leads)
    if not leads.before.any():
        return _said(
            POWER,
            "With one period before the start a drift that explains the effect cannot be seen at all.",
        )
    after = _asked(leads, int(study.design.expected_lag))
    if not after.any():
        return _said(POWER, "There is no effect from the start on that a drift could explain.")
    rows = _drifts(study, leads, after)
    power, by_chance = rows[-1]["noticed_jointly"], rows[0]["noticed_by_period"]
    text = (
        f"A steady drift of {number(rows[-1]['drift'])} per period would explain the whole mean effect of"
        f" {number(float(leads.estimate[after].mean()))}{' (logarithms)' if leads.effects.ratio else ''}. The"
        f" test of trends before the start would notice it with a chance of {power:.0%}"
    )
    text += "." if power >= GOOD_POWER else ", so a quiet test says little about it."
    half = rows[1]
    if half["drift"] > 0:
        text += (
            f" A drift of {number(half['drift'])} per period makes the interval of some difference before the"
            f" start leave zero out every other time; where it does not, the mean effect is biased by"
            f" {number(half['bias_after_passing'])} ({number(half['bias'])} without looking)."
        )
    else:
        text += (
            f" Single intervals say nothing here: with so many differences before the start some leave"
            f" zero out by chance alone in {by_chance:.0%} of studies."
        )
    good = power >= GOOD_POWER and not few(study)
    return Check(
        name=POWER,
        assumption=PARALLEL,
        verdict="supports" if good else "information",
        text=text,
        table=pd.DataFrame(rows),
    )


def _drifts(study: Study, leads: Leads, after: np.ndarray) -> list[dict[str, Any]]:
    """Drifts worth knowing as rows: none, those noticed half and mostly, the one that explains the effect."""
    explaining = float(leads.estimate[after].mean() / leads.distance[after].mean())
    drifts = {"is none": 0.0}
    for chance in (0.5, GOOD_POWER):
        drifts[f"is noticed by period with a chance of {chance:.0%}"] = _slope(leads, chance)
    for chance in (0.5, GOOD_POWER):
        drifts[f"is noticed jointly with a chance of {chance:.0%}"] = _joint_slope(study, leads, chance)
    drifts["would explain the mean effect"] = explaining
    return [_row(leads, after, what, slope, study) for what, slope in drifts.items()]


def _asked(leads: Leads, lag: int) -> np.ndarray:
    """Which periods the mean effect is about: from the expected lag on, or all where nobody got so far."""
    found = leads.at >= lag
    return np.asarray(found if found.any() else leads.at >= 0)


def _near(leads: Leads) -> np.ndarray:
    """The differences before the start that chances are computed for."""
    return np.flatnonzero(leads.before)[-MOST_IN_BOX:]


def _slope(leads: Leads, chance: float) -> float:
    """The drift that is noticed by period with this chance."""
    near = _near(leads)
    covariance = leads.covariance[np.ix_(near, near)]
    return slope_for_power(covariance, -np.abs(leads.distance[near]), 0.0, chance)


def _joint_slope(study: Study, leads: Leads, chance: float) -> float:
    """The drift that the test of trends notices with this chance."""
    size = 1 - float(study.design.level)
    test, distance = leads.test, leads.distance[leads.before]
    scale = float(np.min(np.sqrt(np.diag(test.covariance)) / np.abs(distance)))

    def lacking(slope: float) -> float:
        return test.power(slope * distance, size) - chance

    far = scale
    while lacking(far) < 0:
        far *= 2
    return float(scipy.optimize.brentq(lacking, 0.0, far, xtol=1e-9 * far))


def _row(leads: Leads, after: np.ndarray, what: str, slope: float, study: Study) -> dict[str, Any]:
    near = _near(leads)
    part = np.concatenate([near, np.flatnonzero(after)])
    pre = np.arange(len(part)) < len(near)
    delta = slope * leads.distance
    found = pretrend_power(leads.estimate[part], leads.covariance[np.ix_(part, part)], pre, delta[part])
    return {
        "drift_that": what,
        "drift": slope,
        "noticed_by_period": found.power,
        "noticed_jointly": leads.test.power(delta[leads.before], 1 - study.design.level),
        "bias": float(delta[after].mean()),
        "bias_after_passing": float(found.mean_after_passing[~pre].mean()),
    }
