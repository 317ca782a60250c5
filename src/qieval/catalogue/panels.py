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
    rollout_before,
    rollout_bounds,
    rollout_clusters,
    rollout_comparisons,
    rollout_design,
    rollout_detectable,
    rollout_leave_out,
    rollout_overlap,
    rollout_placebo,
    rollout_scale,
    rollout_spillover,
    rollout_time,
    rollout_timing,
    rollout_trends,
    rollout_units,
    scale,
)
from qieval.methods import difference_in_differences, staggered_adoption
from qieval.plots.event_study import event_study
from qieval.plots.rollout import effects_by_cohort, effects_by_cohort_and_period, effects_over_time
from qieval.plots.rollout_courses import cohorts_over_time
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
    Method(
        design=staggered_adoption.StaggeredAdoption,
        estimate=staggered_adoption.estimate,
        refit=partial(staggered_adoption.estimate, brief=True),
        parse=staggered_adoption.parse,
        blind=staggered_adoption.blind,
        assumptions=staggered_adoption.ASSUMPTIONS,
        checks=(
            rollout_trends.trends_before_start,
            rollout_trends.power_of_test,
            rollout_placebo.pretended_starts,
            rollout_bounds.bounds_by_size,
            rollout_bounds.bounds_by_bend,
            rollout_timing.order_of_the_roll_out,
            rollout_time.reaction_before_start,
            rollout_time.effects_over_time,
            rollout_comparisons.two_by_two_comparisons,
            rollout_comparisons.other_approaches,
            rollout_spillover.spillover_zones,
            rollout_units.composition,
            rollout_units.same_cohorts_throughout,
            rollout_spillover.covariates_as_outcomes,
            rollout_overlap.overlap,
            rollout_leave_out.leave_one_cohort_out,
            rollout_leave_out.leave_one_cluster_out,
            rollout_clusters.enough_clusters,
            rollout_scale.amounts_or_percentages,
            rollout_time.events_beside_starts,
        ),
        design_checks=(
            rollout_design.cohorts_and_periods,
            rollout_design.missing_values,
            rollout_design.rows_left_out,
            rollout_before.balance_before,
            rollout_before.trends_before,
            rollout_timing.order_before,
            rollout_clusters.clusters_by_cohort,
            rollout_detectable.minimum_detectable_effect,
        ),
        plots=(effects_over_time, cohorts_over_time, effects_by_cohort, effects_by_cohort_and_period),
        stem="staggered_adoption",
        question=(
            "Did the outcome of units that began at different times change differently from that of units"
            " that had not begun?"
        ),
        strengths=(
            "Each start is compared only with units that have not begun, so effects may differ between units"
            " and grow over time; constant differences do no harm."
        ),
        limits=(
            "Biased when unobserved differences between the groups change over time (trends not parallel);"
            " early and late starters may differ, and late periods rest on few comparison units."
        ),
        source=(
            "Clarke et al. 2019, BMJ 365:l2239, table 2; Callaway and Sant'Anna 2021, Journal of Econometrics"
            " 225"
        ),
    ),
)
