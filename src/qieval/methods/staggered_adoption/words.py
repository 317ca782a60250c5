"""The sentences of a roll-out's result."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.methods.staggered_adoption.inference import Inference, Overall
from qieval.methods.staggered_adoption.table import FEWEST_SHOWN
from qieval.methods.words import amount, between
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import Count, Counted, listed, number, plural

LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""
HOW = {
    "group": "averaged over the cohorts",
    "simple": "averaged over all treated units and periods",
    "dynamic": "averaged over the periods since the start",
    "calendar": "averaged over the calendar periods",
}


def headline(design: Any, longest: int, effects: Effects, inference: Inference, expected: float) -> str:
    """One sentence with the effect and its interval in natural units."""
    chosen = effects.chosen(design.aggregation)
    first = inference.overall[chosen]
    quantity = design.measured_in or design.outcome.replace("_", " ")
    begin = f"Once the intervention had begun, {quantity} in the units that began"
    compared = "compared with what would be expected had they changed as their comparison did"
    if effects.ratio:
        return too_early(design, longest) + f"{begin}: {ratio(design, first)} {compared}."
    if not np.isfinite([first.low, first.high]).any():
        interval = f"too few clusters for a bounded {design.level:.0%} interval"
    else:
        interval = f"{design.level:.0%} interval {between(first.low, first.high)}"
    how = f"; {HOW[chosen]}" if len(effects.averages) > 1 else ""
    share = ""
    if expected > 0 and abs(first.estimate / expected) <= LARGEST_SHARE:
        way = "above" if first.estimate > 0 else "below"
        share = f" That is {abs(first.estimate / expected):.1%} {way} the expected level."
    return (
        too_early(design, longest)
        + f"{begin}: {amount(first.estimate)} ({interval}{how}), {compared}.{share}"
    )


def ratio(design: Any, found: Overall) -> str:
    """A ratio of rates in words."""
    held = np.exp([found.estimate, found.low, found.high])
    way = "higher" if held[0] > 1 else "lower"
    return (
        f"the rate was {abs(held[0] - 1):.1%} {way} (rate ratio {number(held[0])}, {design.level:.0%}"
        " interval"
        f" {number(held[1])} to {number(held[2])})"
    )


def followed(rollout: Rollout) -> int:
    """The longest time since the start in the data, in periods."""
    if rollout.began is not None and rollout.is_grid:
        return int(rollout.times[-1] - rollout.starts[0])
    return int(rollout.since[np.isfinite(rollout.since)].max(initial=-1))


def too_early(design: Any, longest: int) -> str:
    """A warning where nobody was followed as long as the intervention needs to work; longest: in periods."""
    if longest >= design.expected_lag:
        return ""
    return (
        f"Too early to say: the intervention is expected to work {plural(design.expected_lag, 'period')}"
        " after"
        f" its start, and nobody was followed for longer than {plural(longest, 'period')}. So far: "
    )


def flagged(design: Any, rollout: Rollout, effects: Effects) -> list[str]:
    """That some cohort-periods have no estimate, with the reasons."""
    missing = np.isnan(effects.estimate)
    reasons = [reason for reason, lacks in zip(effects.reason, missing, strict=True) if reason and lacks]
    if not reasons:
        return []
    kinds = list(dict.fromkeys(reasons))
    return [
        f"{plural(len(reasons), 'comparison')} of {len(effects.reason):,} by cohort and period could not be"
        f" made and are left out of every average: {listed(kinds, 3)} See the rows without an estimate."
    ]


def thin(design: Any, rollout: Rollout, effects: Effects) -> list[str]:
    """That averages rest on cells in which a single unit is left of a larger cohort."""
    lone = set(lone_starts(rollout))
    few = effects.thin & effects.post & ~np.isin(effects.cohort, list(lone))
    if not few.any():
        return []
    return [
        f"In {plural(int(few.sum()), 'comparison')} by cohort and period a single unit stands for its cohort"
        " (or for those it is compared with), because others are not observed then. It counts for all of"
        " them in the averages, and standard errors leave out how much such units vary: too narrow. End the"
        " data earlier (last_period), or use aggregation='group' on cohorts that stay."
    ]


def hidden(design: Any, effects: Effects) -> list[str]:
    """That effects of few people are not shown alone."""
    few = np.isfinite(effects.estimate) & (effects.n_treated < FEWEST_SHOWN)
    if design.units_are != "people" or not few.any():
        return []
    return [
        "Effects that rest on fewer than ten treated people are not shown on their own; they are part of the"
        " overall effect."
    ]


def lone_starts(rollout: Rollout) -> list[float]:
    """The starts of cohorts that are a single unit."""
    if rollout.began is None:
        return []
    return [float(start) for start in rollout.starts if (rollout.began == start).sum() == 1]


IGNORED = {
    "estimator": ("group-time",),
    "base_period": ("group-time",),
    "balanced_to": ("group-time",),
    "control_group": ("group-time", "stacked"),
    "aggregation": ("group-time", "interaction-weighted", "imputation", "two-stage", "poisson"),
}
"""Which approaches obey a field."""


def ignored(design: Any) -> list[str]:
    """Fields that were set away from their default and that the approach does not use."""
    stated = design.stated()
    found = [
        f"{name}={stated[name]!r}"
        for name, approaches in IGNORED.items()
        if name in stated and design.approach not in approaches
    ]
    if design.approach == "poisson" and design.unbalanced == "cross-sections":
        found.append("unbalanced='cross-sections'")
    if not found:
        return []
    return [f"approach='{design.approach}' does not use {listed(found)}; the estimate is the same without."]


def outside_window(design: Any, effects: Effects) -> list[str]:
    """That no effect lies in the window that is to be shown."""
    if not design.event_window:
        return []
    low, high = design.event_window
    at = effects.averages["dynamic"].at
    if ((at >= low) & (at <= high)).any():
        return []
    return [
        f"event_window: no effect by period since the start lies between {low:g} and {high:g}; they run from"
        f" {at.min():g} to {at.max():g}."
    ]


def lone_cohorts(design: Any, rollout: Rollout) -> list[str]:
    """That some cohorts are a single unit."""
    lone = rollout.labels(np.array(lone_starts(rollout)))
    if not lone:
        return []
    return [
        f"first_treated: {'the cohort' if len(lone) == 1 else 'cohorts'} {listed(lone)} "
        f"{'is a single unit' if len(lone) == 1 else 'are single units'}. How much a unit varies cannot be"
        " told"
        " from one, so the intervals of these cohorts are too narrow; read the overall effect, or put starts"
        " together (such as quarters in place of months)."
    ]


def _rule(design: Any) -> str:
    """What is done with units that lack periods."""
    if design.unbalanced == "drop":
        return "Only units seen in every period are used (unbalanced='drop')."
    if design.unbalanced == "cross-sections":
        return "Rows are used as if sampled anew (unbalanced='cross-sections')."
    if design.approach != "group-time":
        return "All their rows are used by the model."
    return "Each comparison uses the units seen in both its periods (unbalanced='pairs')."


def unbalanced(design: Any, rollout: Rollout) -> list[str]:
    """What is done with units that lack periods, and how many rows each rule uses."""
    if rollout.began is None or rollout.is_grid:
        return []
    seen = np.bincount(rollout.unit, minlength=len(rollout.units))
    whole = seen == rollout.n_periods
    said = (
        "{lacking} of {units} units lack periods. "
        + _rule(design)
        + " Of {rows} rows 'cross-sections' uses all, 'pairs' those of units seen at least twice ({pairs}),"
        " 'drop' those of whole units ({kept})."
    )
    rows = {
        "rows": Count(len(rollout)),
        "pairs": Count(int(seen[seen > 1].sum())),
        "kept": Count(int(seen[whole].sum())),
    }
    units = {"lacking": int((~whole).sum()), "units": len(whole)}
    if design.units_are == "people":
        return [Counted(said, **rows, **{key: Count(value) for key, value in units.items()})]
    return [said.format(**{key: f"{value:,}" for key, value in (rows | units).items()})]
