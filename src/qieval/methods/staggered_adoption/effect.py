"""The effects of a roll-out, and everything a result says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import EstimationError
from qieval.methods.staggered_adoption import counts, group_time, imputed, regressions, words
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.inference import Inference, infer
from qieval.methods.staggered_adoption.series import Sums, observed_and_expected, sums_of
from qieval.methods.staggered_adoption.table import estimates, overall_rows
from qieval.result import Result
from qieval.rollout import read as reading
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import Count

NO_REASON = (
    " Look for a covariate that tells by itself who begins, for a window that no cohort has, and for cohorts"
    " without comparison units."
)
FITS: dict[str, Callable[[StaggeredAdoption, Rollout], Effects]] = {
    "group-time": group_time.fit,
    "interaction-weighted": regressions.interaction_weighted_fit,
    "stacked": regressions.stacked_fit,
    "two-way": regressions.two_way_fit,
    "imputation": imputed.imputation_fit,
    "two-stage": imputed.two_stage_fit,
    "poisson": counts.cells_fit,
    "poisson two-way": counts.two_way_fit,
}


def parse(design: StaggeredAdoption, frame: pd.DataFrame) -> Rollout:
    """The data as arrays."""
    return reading.read(design, frame)


def blind(design: StaggeredAdoption, frame: pd.DataFrame) -> Rollout:
    """The data without any outcome from the earliest start on."""
    return reading.blind(design, frame)


def estimate(design: StaggeredAdoption, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the effects of a roll-out; see `StaggeredAdoption`.

    `brief` gives the overall effects only, for loops.
    """
    rollout = parse(design, frame)
    effects = FITS[design.approach](design, rollout)
    if not np.isfinite(effects.averages[effects.chosen(design.aggregation)].overall):
        reasons = [reason for reason in effects.reason if reason]
        raise EstimationError(
            "data: no effect from the start on could be estimated for any cohort."
            + (f" {reasons[0]}" if reasons else NO_REASON)
        )
    inference = infer(design, rollout, effects, FITS[design.approach])
    sums = sums_of(rollout)
    expected = _expected_level(rollout, effects, sums)
    headline = words.headline(design, words.followed(rollout), effects, inference, expected)
    facts = _facts(design, rollout, effects, inference, expected)
    names = (rollout.labels(effects.cohort), rollout.labels(effects.time))
    kernel = replace(effects.without_rows(), cell_names=names)
    if brief:
        table = overall_rows(design, effects, inference)
        return Result(design=design, headline=headline, estimates=table, facts=facts, kernel=kernel)
    return Result(
        design=design,
        headline=headline,
        estimates=estimates(design, rollout, effects, inference),
        series=observed_and_expected(design, rollout, effects, sums),
        facts=facts,
        notes=(
            *rollout.notes,
            *words.unbalanced(design, rollout),
            *words.lone_cohorts(design, rollout),
            *words.flagged(design, rollout, effects),
            *words.ignored(design),
            *words.thin(design, rollout, effects),
            *words.hidden(design, effects),
            *words.outside_window(design, effects),
            *effects.notes,
            *inference.notes,
        ),
        kernel=kernel,
    )


def _expected_level(rollout: Rollout, effects: Effects, sums: Sums) -> float:
    """The mean outcome of treated rows from the start on, less the effect in them."""
    if effects.ratio:
        return float("nan")
    after = rollout.times >= rollout.starts[:, None]
    average = effects.averages[effects.chosen("simple")].overall
    return float(sums.above[:-1][after].sum() / sums.total[:-1][after].sum() - average)


def _facts(
    design: StaggeredAdoption, rollout: Rollout, effects: Effects, inference: Inference, expected: float
) -> pd.Series[Any]:
    people = Count if design.units_are == "people" else int
    labels = rollout.periods.shown()
    began = rollout.first if rollout.began is None else rollout.began
    what = "rows" if rollout.began is None else "units"
    chosen = inference.overall[effects.chosen(design.aggregation)].estimate
    facts: dict[str, Any] = {
        "rows used": Count(len(rollout)),
        f"treated {what}": people(np.isfinite(began).sum()),
        f"never-treated {what}": people(np.isinf(began).sum()),
        "cohorts": len(rollout.starts),
        "first start": rollout.labels(rollout.starts[:1])[0],
        "last start": rollout.labels(rollout.starts[-1:])[0],
        "first period": labels[0],
        "last period": labels[-1],
        "comparisons by cohort and period": int(np.isfinite(effects.estimate).sum()),
        "longest time since the start": words.followed(rollout),
        "clusters": inference.clusters,
        "treated clusters": inference.treated_clusters,
        "estimated by": effects.label,
        "interval by": inference.label,
    }
    if not effects.ratio:
        facts["expected level without the intervention"] = expected
        facts["effect as share of the expected level"] = chosen / expected if expected > 0 else np.nan
    if effects.reference is not None:
        facts["reference period"] = effects.reference
    return pd.Series(facts, dtype=object)
