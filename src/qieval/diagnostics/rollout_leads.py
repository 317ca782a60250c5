"""What checks of trends of a roll-out share: effects by time since the start, and how drifts show there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.diagnostics.trend_test import TrendTest, slope_of_changes, slope_of_levels
from qieval.errors import QievalError
from qieval.numerics.covariance import t_interval
from qieval.numerics.few_clusters import cautious_df, reliable
from qieval.result import Result, Study
from qieval.rollout.effects import Effects
from qieval.text import plural

IMPUTING = ("imputation", "two-stage", "poisson")
"""Approaches that compare with all periods before the start, not with one."""
MOST_JACKKNIFED = 60
"""Altered designs get an interval by jackknife up to this many clusters, which takes a fit for each."""


@dataclass(frozen=True, eq=False)
class Leads:
    """Effects by time since the start, in order of time, with what a steady drift would make of them.

    at, estimate, distance, before (k,); covariance (k, k). before: which lie before the start and can be
    tested. distance: a drift of 1 per period adds this much to each. base: what periods before the start
    are compared with, in words. df: clusters less one. factor: for tests the covariance is multiplied by it.
    """

    effects: Effects
    at: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray
    before: np.ndarray
    distance: np.ndarray
    slope_weights: np.ndarray
    base: str
    df: float
    factor: float

    @property
    def test(self) -> TrendTest:
        """The test of those before the start."""
        covariance = self.covariance[np.ix_(self.before, self.before)] * self.factor
        return TrendTest.of(self.estimate[self.before], covariance, self.slope_weights, self.df)


def leads_of(study: Study) -> Leads | str:
    """The effects by time since the start of a study, or why there are none.

    Two-stage estimates draw differences before the start towards zero, so those of the imputation approach,
    which has the same effects, are used.
    """
    effects: Effects = study.result.kernel
    if study.design.approach == "two-stage":
        found = tried(study, approach="imputation")
        if isinstance(found, str):
            return f"Trends before the start are tested with approach='imputation', which failed: {found}"
        effects = found.kernel
    return arranged(study, effects)


def arranged(study: Study, effects: Effects) -> Leads:
    """Effects by time since the start in order, those without variance left out."""
    event, ahead = effects.event, int(study.design.anticipation)
    usable = np.isfinite(event.estimate) & ~event.degenerate
    kept = np.flatnonzero(usable)[np.argsort(event.at[usable])]
    at, last = event.at[kept], -1 - ahead
    before = at <= last if effects.reference is None else at < effects.reference
    distance = (at - last).astype(float)
    if study.design.approach in IMPUTING:
        distance[at >= 0] = _from_mean(study, at[at >= 0])
    if effects.reference is None:
        gaps = _gaps(effects, at[before])
        distance[before] = gaps
        weights, base = slope_of_changes(gaps), "the period before each (base_period='varying')"
    else:
        weights = slope_of_levels(at[before], effects.reference)
        base = f"the last period before the start{' and its anticipation' if ahead else ''} (universal base)"
    return Leads(
        effects=effects,
        at=at,
        estimate=event.estimate[kept],
        covariance=event.covariance[np.ix_(kept, kept)],
        before=before,
        distance=distance,
        slope_weights=weights,
        base=base,
        df=float(min(effects.df, max(effects.clusters - 1, 1))),
        factor=_factor(study, effects),
    )


def _from_mean(study: Study, at: np.ndarray) -> np.ndarray:
    """How far periods since the start lie from the mean of what is predicted from: all periods before it of
    the cohorts that are followed so long."""
    rollout = study.panel
    early = rollout.since < -int(study.design.anticipation)
    found = []
    for moment in at:
        held = early & np.isfinite(rollout.first) & (rollout.first + moment <= rollout.times[-1])
        found.append(moment - rollout.since[held].mean())
    return np.array(found)


def _gaps(effects: Effects, at: np.ndarray) -> np.ndarray:
    """The mean time between the two periods compared, for each period since the start."""
    cells = effects.cells
    if cells is None:
        return np.ones(len(at))
    known = np.isfinite(cells.estimate)
    since = cells.time - cells.cohort
    apart = (cells.time - cells.base).astype(float)
    return np.array([apart[known & (since == moment)].mean() for moment in at])


def _factor(study: Study, effects: Effects) -> float:
    """What an F test needs of a variance from influence functions that has no factor for few clusters."""
    plain = study.design.approach == "group-time" and study.design.small_sample != "clusters"
    return effects.clusters / (effects.clusters - 1) if plain and effects.clusters > 1 else 1.0


def arms(study: Study) -> tuple[int, int]:
    """The number of clusters, and of those in the smaller of the groups compared."""
    rollout = study.panel
    if study.design.unbalanced == "drop" and rollout.began is not None:
        rollout = rollout.whole()
    ever = np.isfinite(rollout.first)
    never = study.design.control_group == "never" and rollout.has_never
    others = ~ever if never else rollout.first > rollout.starts.min()
    total, *sides = (len(np.unique(rollout.cluster[rows])) for rows in (slice(None), ever, others))
    return total, min(sides)


def few(study: Study) -> bool:
    """Whether there are too few clusters for an ordinary cluster-robust test."""
    return not reliable(*arms(study))


def careful_df(study: Study, df: float) -> float:
    """Degrees of freedom of an interval that allows for few clusters in one group."""
    return float(cautious_df(df, max(arms(study)[1], 2)))


def interval_by(study: Study) -> str:
    """How intervals of altered designs are made: as designed where that is quick."""
    stated = str(study.design.inference)
    if arms(study)[0] > MOST_JACKKNIFED:
        return "analytic"
    return stated if stated in ("analytic", "cluster jackknife") else "automatic"


def tried(study: Study, frame: Any = None, **changes: Any) -> Result | str:
    """The result of an altered design, or why there is none."""
    try:
        design = replace(study.design, **{"inference": interval_by(study), **changes})
        return study.refit(design, study.frame if frame is None else frame)
    except QievalError as cause:
        return str(cause)


def rows_by_time(leads: Leads, which: np.ndarray, level: float) -> list[dict[str, Any]]:
    """Effects by time since the start as rows of a table; ratios where the approach has them."""
    error = np.sqrt(np.diag(leads.covariance)[which])
    found = t_interval(leads.estimate[which], error, leads.df, level)
    shown = np.exp if leads.effects.ratio else np.asarray
    estimate, low, high = (shown(part) for part in (leads.estimate[which], found.low, found.high))
    return [
        {
            "label": since(int(leads.at[which][i])),
            "term": term_of(leads.effects),
            "estimate": float(estimate[i]),
            "conf_low": float(low[i]),
            "conf_high": float(high[i]),
            "p_value": float(found.p_value[i]),
        }
        for i in range(int(which.sum()))
    ]


def term_of(effects: Effects) -> str:
    """What the effects are called in a table."""
    return "rate ratio" if effects.ratio else "ATT"


def since(at: int) -> str:
    """A period since the start in words."""
    if at == 0:
        return "period of the start"
    return f"{plural(abs(at), 'period')} {'after' if at > 0 else 'before'}"
