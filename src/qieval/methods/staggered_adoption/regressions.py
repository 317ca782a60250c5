"""Regressions of a roll-out: interaction-weighted, stacked, and two-way fixed effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.rows import (
    require,
    roll_out_rows,
    split_covariates,
    treated_and_control,
    used_rows,
    without_anticipation,
)
from qieval.numerics.interaction_weighted import interaction_weighted
from qieval.numerics.roll_out_rows import Effects as Found
from qieval.numerics.roll_out_rows import event_study, static_effect
from qieval.numerics.stacked import Window, stacked
from qieval.numerics.two_way_weights import TwoWayWeights, two_way_weights
from qieval.rollout.effects import Average, Effects, linear_averages
from qieval.rollout.panel import Rollout
from qieval.text import listed, number, plural

NEGATIVE = 1e-9


def interaction_weighted_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """The regression with an effect for each cohort and period (Sun and Abraham 2021)."""
    used = used_rows(design.unbalanced, rollout)
    found = interaction_weighted(roll_out_rows(used), design.anticipation)
    require(found.problem)
    sure = np.isfinite(np.diag(found.covariance))
    factor = _factor(design, used)
    covariance = np.where(np.outer(sure, sure), found.covariance, 0.0) * factor
    n_treated, n_control = treated_and_control(used, found.cohort, found.time)
    variance = np.diag(covariance)
    notes: tuple[str, ...] = ()
    if np.isfinite(found.comparison):
        notes = (
            "Nobody is never treated, so the last cohort is compared with until it begins; what happened from"
            " then on is not used.",
        )
    return Effects(
        cohort=found.cohort,
        time=found.time,
        estimate=found.estimate,
        std_error=np.sqrt(np.where(variance > 0, variance, np.nan)),
        n_treated=n_treated,
        n_control=n_control,
        reason=found.reason,
        averages=linear_averages(found.cohort, found.time, found.size, found.estimate, covariance),
        df=found.df,
        clusters=len(np.unique(used.cluster)),
        label="interaction-weighted regression (Sun and Abraham)",
        reference=-1 - design.anticipation,
        notes=notes,
        fitted=found,
    )


def _factor(design: StaggeredAdoption, rollout: Rollout) -> float:
    """What turns fixest's variance into one with another factor for few clusters."""
    if design.small_sample == "reference":
        return 1.0
    clusters = len(np.unique(rollout.cluster))
    fixest = clusters / (clusters - 1)
    return 1.0 / fixest if design.small_sample == "none" else 1.0


def stacked_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """One data set per cohort with units that are clean comparisons in its window, stacked."""
    used = used_rows(design.unbalanced, rollout)
    window = stacking_window(design, used)
    changing, fixed = split_covariates(used)
    rows = replace(roll_out_rows(used), x=changing if changing.shape[1] else None)
    found = stacked(rows, replace(window, fixed=fixed))
    require(found.problem)
    average = _as_average(design, used, found.effects, found.average)
    shown = used.labels(found.cohort)
    left_out = [f"{label}: {why}" for label, why in zip(shown, found.left_out, strict=True) if why]
    notes = [
        f"Stacked over the {plural(window.before, 'period')} before and {plural(window.after, 'period')}"
        " after"
        " each start; the headline is the plain mean of the effects in the periods from the start on."
    ]
    notes += [f"Cohorts left out of the stack: {listed(left_out, 3)}"] if left_out else []
    return Effects(
        averages={"dynamic": average},
        df=found.average.df,
        clusters=len(np.unique(used.cluster)),
        label="stacked regression with corrective weights",
        reference=-1 - design.anticipation,
        notes=tuple(notes),
        **no_cells(),
    )


def stacking_window(design: StaggeredAdoption, rollout: Rollout) -> Window:
    """The window that is stated, or the longest that every cohort has."""
    last = rollout.times[-1]
    if design.event_window:
        before, after = -int(design.event_window[0]), int(design.event_window[1])
    else:
        before = int(rollout.starts.min() - rollout.times[0])
        after = max(int(last - rollout.starts.max()), 0)
    return Window(
        before=before,
        after=after,
        anticipation=design.anticipation,
        controls="never" if design.control_group == "never" else "not yet",
    )


def two_way_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """The regression with one coefficient, and its event study: a warning where starts differ."""
    used = used_rows(design.unbalanced, rollout)
    events = event_study(roll_out_rows(used), design.anticipation)
    rows = roll_out_rows(without_anticipation(design, used))
    found, share = static_effect(rows), two_way_weights(rows)
    if np.isnan(found.estimate[0]):
        require(found.reason[0])
    return Effects(
        averages={"dynamic": _as_average(design, used, events, found)},
        df=found.df,
        clusters=len(np.unique(used.cluster)),
        label="two-way fixed effects regression",
        reference=-1 - design.anticipation,
        notes=_warning(used, share),
        weights=share,
        **no_cells(),
    )


def _as_average(design: StaggeredAdoption, rollout: Rollout, events: Found, overall: Found) -> Average:
    """An event study and its overall effect as one average."""
    known = np.isfinite(events.estimate)
    factor = _factor(design, rollout)
    covariance = np.where(np.outer(known, known), np.nan_to_num(events.covariance), 0.0) * factor
    return Average(
        at=events.at,
        estimate=events.estimate,
        covariance=covariance,
        overall=float(overall.estimate[0]),
        overall_error=float(overall.std_error[0]) * np.sqrt(factor),
    )


def no_cells() -> dict[str, Any]:
    """Approaches that do not show effects by cohort and period."""
    return {
        "cohort": np.empty(0),
        "time": np.empty(0, dtype=np.int64),
        "estimate": np.empty(0),
        "std_error": np.empty(0),
        "n_treated": np.empty(0, dtype=np.intp),
        "n_control": np.empty(0, dtype=np.intp),
        "reason": (),
    }


def _warning(rollout: Rollout, share: TwoWayWeights) -> tuple[str, ...]:
    """What is wrong with one coefficient where starts differ."""
    if len(rollout.starts) < 2:
        return ()
    said = (
        "The two-way regression also compares units with others that began earlier, so effects that grow or"
        " fade bias it; it is here to compare with."
    )
    if share.negative_sum < -NEGATIVE:
        said += (
            f" It gives negative weight to {share.negative_share:.0%} of the treated observations"
            " (weights add"
            f" up to {number(share.negative_sum)}): a larger effect there would lower the estimate."
        )
    return (said,)
