"""Methods that compare changes of groups."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import Method
from qieval.diagnostics import (
    anticipation,
    balance,
    clusters,
    composition,
    concurrent_events,
    covariate_change,
    design_data,
    leave_one_out,
    parallel_trends,
    placebo,
    power,
    scale,
)
from qieval.methods import (
    difference_in_differences,
)
from qieval.plots.event_study import event_study
from qieval.plots.trajectory import trajectory

PANELS: tuple[Method, ...] = (
    Method(
        design=difference_in_differences.DifferenceInDifferences,
        estimate=difference_in_differences.estimate,
        refit=partial(difference_in_differences.estimate, brief=True),
        parse=difference_in_differences.parse,
        blind=difference_in_differences.blind,
        assumptions=difference_in_differences.ASSUMPTIONS,
        checks=(
            parallel_trends.pre_trends,
            parallel_trends.pre_trend_power,
            placebo.placebo_starts,
            placebo.placebo_groups,
            anticipation.anticipation,
            composition.composition,
            covariate_change.covariate_change,
            leave_one_out.leave_one_out,
            clusters.enough_clusters,
            scale.scale,
            concurrent_events.concurrent_events,
        ),
        design_checks=(
            design_data.units_and_periods,
            design_data.missing_values,
            design_data.attrition,
            balance.balance_before,
            parallel_trends.trends_before,
            clusters.clusters_by_arm,
            power.minimum_detectable_effect,
        ),
        plots=(trajectory, event_study),
        stem="difference_in_differences",
        question=(
            "Did the outcome of those who got the intervention change differently from that of a comparison"
            " group?"
        ),
        strengths=(
            "Simple to carry out and to explain; differences between the groups that stay constant do no"
            " harm."
        ),
        limits=(
            "Biased when unobserved differences between the groups change over time (trends not parallel)."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Angrist and Pischke 2009, chapter 5",
    ),
)
