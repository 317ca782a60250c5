"""How large must the effect of this very roll-out be to be seen? Judged before its outcomes are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_rows import ENOUGH_DATA, before_roll_out, by_period, groups_of, measured
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_power import RolloutAnalysis, RolloutPlan, RolloutPower, simulate_rollout_power
from qieval.numerics.rollout_weights import RolloutRules
from qieval.rollout.panel import Rollout
from qieval.text import number, plural

NAME = "minimum detectable effect"
DRAWS = 499
MOST_GROUPS = 1_000
"""Beyond this many clusters a random part of each cohort is simulated and the result scaled."""


def minimum_detectable_effect(design: Any, rollout: Rollout) -> Check:
    """Simulate this roll-out from the periods before it; find the effect that 80% of such studies see.

    Without covariates. Approaches that are not linear in
    the outcome are stood in for by group-time effects (of rates, where there is an exposure).
    """
    made = _plan(design, rollout)
    if isinstance(made, str):
        return _cannot(made)
    history, first = made
    kept, share = _sampled(first, design.seed)
    periods = int((~before_roll_out(design, rollout)).sum())
    found = simulate_rollout_power(
        history[kept],
        RolloutPlan(first=first[kept], periods=periods),
        RolloutAnalysis(rules=_rules(design, rollout)),
        resampling=Resampling(draws=DRAWS, seed=design.seed, level=design.level),
    )
    if found.reason:
        return _cannot(found.reason)
    if not np.isfinite(found.mde):
        return _cannot("No effect, however large, would be found in 80% of studies like this one.")
    scale = float(np.sqrt(share))
    return Check(
        name=NAME,
        assumption=ENOUGH_DATA,
        verdict="information",
        text=_text(design, found, scale, float(np.nanmean(history))),
        table=pd.DataFrame(
            {"effect": found.effects * scale, "power": found.power, "monte_carlo_error": found.power_error}
        ),
        picture="power",
    )


def _cannot(why: str) -> Check:
    text = f"It cannot be computed before the start: {why}"
    return Check(name=NAME, assumption=ENOUGH_DATA, verdict="information", text=text)


def _plan(design: Any, rollout: Rollout) -> tuple[np.ndarray, np.ndarray] | str:
    """Means of clusters (or units) before the roll-out (G, P), NaN where not observed, and starts counted
    from its first period (G,); or why there is no plan."""
    groups = groups_of(design, rollout)
    if isinstance(groups, str):
        return groups
    early = before_roll_out(design, rollout)
    seen = np.where(early[rollout.time], measured(rollout), np.nan)
    place = np.searchsorted(rollout.times, groups.first) - int(early.sum())
    first = np.where(np.isinf(groups.first), np.inf, place.astype(float))
    return by_period(rollout, groups.code, seen)[:, early], first


def _rules(design: Any, rollout: Rollout) -> RolloutRules:
    if design.approach in ("imputation", "two-stage"):
        return RolloutRules(estimator="imputation", anticipation=design.anticipation)
    if design.approach in ("two-way", "poisson two-way"):
        return RolloutRules(estimator="two-way")
    never = design.control_group == "never" and rollout.has_never
    return RolloutRules(
        control_group="never" if never else "not yet",
        aggregation=design.aggregation,
        anticipation=design.anticipation,
    )


def _sampled(first: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Which clusters to simulate, and the share of all that they stand for (the same in each cohort)."""
    if len(first) <= MOST_GROUPS:
        return np.arange(len(first)), 1.0
    random = np.random.default_rng(seed)
    share = MOST_GROUPS / len(first)
    chosen = [
        random.choice(
            np.flatnonzero(first == start), max(2, round(share * (first == start).sum())), replace=False
        )
        for start in np.unique(first)
        if (first == start).sum() > 1
    ]
    return np.sort(np.concatenate(chosen)), share


def _text(design: Any, found: RolloutPower, scale: float, level: float) -> str:
    text = (
        f"With this roll-out to {plural(round(found.n_clusters / scale**2), 'cluster')} an effect of"
        f" {number(found.mde * scale, 2)} would be seen in 80% of studies like this one"
    )
    text += f" ({found.mde * scale / level:.0%} of the level before the roll-out)." if level > 0 else "."
    if design.covariates:
        text += " Covariates are not in this simulation."
    return (
        text
        + " A smaller true effect will often be missed: a wide interval around zero is no proof of no effect."
    )
