"""Can the order of a roll-out be foretold from what was so before it?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_rows import (
    ORDER,
    Groups,
    before_roll_out,
    by_period,
    groups_of,
    measured,
)
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_order import RolloutOrder, baseline_outcome, rollout_order
from qieval.result import Study
from qieval.rollout.panel import Rollout
from qieval.text import listed, number, plural

NAME = "order of the roll-out"
DRAWS = 999
BEFORE = " before the roll-out"
"""What the names of the outcome's characteristics end with."""
MOST_GROUPS = 5_000
FEW_GROUPS = 20
"""With fewer clusters or units a test sees only very strong relations."""


def order_of_the_roll_out(study: Study) -> Check:
    """Start dates against covariates and the level and trend of the outcome before the roll-out."""
    return _check(study.design, study.panel)


def order_before(design: Any, rollout: Rollout) -> Check:
    """The same before any outcome from the earliest start on is seen: it reads none of them anyway."""
    return _check(design, rollout)


def _check(design: Any, rollout: Rollout) -> Check:
    groups = groups_of(design, rollout)
    if isinstance(groups, str):
        return Check(name=NAME, assumption=ORDER, verdict="information", text=groups)
    names, baseline = _characteristics(design, rollout, groups)
    kept = _kept(len(groups.first), design.seed)
    known = np.isfinite(baseline[kept]).any(axis=0)
    names = [name for name, some in zip(names, known, strict=True) if some]
    found = rollout_order(
        groups.first[kept],
        baseline[kept][:, known],
        Resampling(draws=DRAWS, seed=design.seed, level=design.level),
    )
    table = _table(names, found)
    verdict, text = _judged(design, groups, names, found)
    if len(kept) < len(groups.first):
        text += f" ({len(kept):,} {groups.noun}s drawn by lot were looked at.)"
    return Check(
        name=NAME,
        assumption=ORDER,
        verdict=verdict,
        text=text,
        table=table,
        picture=NAME if table["rank_correlation"].notna().any() else None,
    )


def _kept(n: int, seed: int) -> np.ndarray:
    if n <= MOST_GROUPS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_GROUPS, replace=False))


def _characteristics(design: Any, rollout: Rollout, groups: Groups) -> tuple[list[str], np.ndarray]:
    """Means of covariates before the roll-out, and level and trend of the outcome then (G, k)."""
    early = before_roll_out(design, rollout)
    times = rollout.times.astype(float)
    columns = [_early_mean(by_period(rollout, groups.code, column), early) for column in rollout.x.T]
    seen = np.where(early[rollout.time], measured(rollout), np.nan)
    series = by_period(rollout, groups.code, seen)
    first = np.array([times[early][-1] + 1.0]) if early.any() else times[:1]
    outcome = baseline_outcome(series, times, first)
    what = "rate" if design.exposure is not None else "outcome"
    names = [*rollout.x_names, f"level of the {what}{BEFORE}", f"trend of the {what}{BEFORE}"]
    return names, np.column_stack([*columns, outcome])


def _early_mean(series: np.ndarray, early: np.ndarray) -> np.ndarray:
    held = series[:, early]
    count = np.isfinite(held).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nansum(held, axis=1) / count)


def _table(names: list[str], found: RolloutOrder) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "characteristic": names,
            "rank_correlation": found.correlation,
            "p_value": found.p_value,
            "p_value_all_together": found.p_adjusted,
            "note": list(found.reason),
        }
    )


def _judged(design: Any, groups: Groups, names: list[str], found: RolloutOrder) -> tuple[Verdict, str]:
    level = 1 - design.level
    if not np.isfinite(found.p_value).any():
        return "information", found.joint_reason or "Nothing varies that the order could be related to."
    related = [name for i, name in enumerate(names) if found.p_adjusted[i] < level]
    together = _together(found)
    if related or found.joint_p < level:
        text = f"When {groups.noun}s began is related to {_named(names, found, related)}.{together}"
        if design.rollout_randomised == "yes":
            return "concern", text + " The order is said to have been drawn by lot; ask how."
        if any(name.endswith(BEFORE) for name in related) or not related:
            return "concern", text + (
                " Those that begin early may have developed differently in any case; look at the trends, and"
                " adjust for what explains them."
            )
        return "information", text + " The estimate adjusts for it."
    text = f"No characteristic known before the roll-out foretells when {groups.noun}s began.{together}"
    n = len(groups.first)
    if n < FEW_GROUPS:
        return "information", text + f" With {plural(n, groups.noun)} only strong relations could be seen."
    return "supports", text + " Nothing here speaks about what was not measured."


def _named(names: list[str], found: RolloutOrder, related: list[str]) -> str:
    """The characteristics that foretell the order, with the direction."""
    held = dict(zip(names, found.correlation, strict=True))
    told = [f"{name} ({'later' if held[name] > 0 else 'earlier'} where it is high)" for name in related]
    return listed(told) if told else "what was so before, though to nothing in particular"


def _together(found: RolloutOrder) -> str:
    if not np.isfinite(found.joint_p):
        return f" {found.joint_reason}"
    return (
        f" Together they explain {found.r_squared:.0%} of the order ({_share(found.expected)} would be"
        f" chance, p = {number(found.joint_p, 2)})."
    )


def _share(value: float) -> str:
    return "less than 1%" if 0 < value < 0.005 else f"{value:.0%}"
