"""Methods that use a rule or an instrument, and the comparison of before with after."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import Method
from qieval.diagnostics import before_after as change_checks
from qieval.diagnostics import (
    both_stages,
    cutoff_alike,
    cutoff_choices,
    cutoff_density,
    cutoff_heaping,
    cutoff_intervals,
    cutoff_local,
    cutoff_placebo,
    cutoff_reach,
    cutoff_uptake,
    instrument_balance,
    instrument_exclusion,
    instrument_intervals,
    instrument_people,
    instrument_strength,
)
from qieval.methods import before_after, instrumental_variables, regression_discontinuity
from qieval.plots import before_after as change_plots
from qieval.plots import cutoff, cutoff_evidence, cutoff_people
from qieval.plots import instrument as instrument_plots

SORTED_BEFORE = (cutoff_density.density, cutoff_density.counts)
"""Checks of who lies where around a cutoff, made before any outcome is seen and shown again in the ledger."""

of_first_stage = partial(both_stages.after, held=instrument_strength.of_result)
"""A check of the first stage as a check of the result."""

NATURAL_EXPERIMENTS: tuple[Method, ...] = (
    Method(
        design=regression_discontinuity.RegressionDiscontinuity,
        estimate=regression_discontinuity.estimate,
        refit=partial(regression_discontinuity.estimate, brief=True),
        parse=regression_discontinuity.parse,
        blind=regression_discontinuity.blind,
        assumptions=regression_discontinuity.ASSUMPTIONS,
        checks=(
            cutoff_uptake.who_received,
            cutoff_uptake.moved_the_other_way,
            *map(both_stages.after, SORTED_BEFORE),
            cutoff_placebo.donut_curve,
            cutoff_heaping.heaps_within,
            cutoff_heaping.without_heaps,
            both_stages.after(cutoff_heaping.heapers),
            both_stages.after(cutoff_alike.covariates),
            cutoff_alike.placebo_outcomes,
            cutoff_alike.without_covariates,
            cutoff_intervals.hidden_bias,
            both_stages.after(cutoff_local.competing_changes),
            cutoff_placebo.placebo_cutoffs,
            cutoff_choices.bandwidths,
            cutoff_choices.orders_and_kernels,
            cutoff_choices.selectors,
            cutoff_reach.enough_near_the_cutoff,
            cutoff_reach.power,
            cutoff_local.single_clusters,
            cutoff_intervals.ways_to_say_how_sure,
            cutoff_intervals.smoothness,
            cutoff_intervals.shared_clusters,
            cutoff_local.near_and_far,
            cutoff_local.several_places,
        ),
        design_checks=(
            *SORTED_BEFORE,
            cutoff_heaping.heaps,
            cutoff_heaping.heapers,
            cutoff_alike.covariates,
            cutoff_reach.scores_on_each_side,
            cutoff_local.competing_changes,
        ),
        plots=(
            cutoff.outcome_around_the_cutoff,
            cutoff_people.people_around_the_cutoff,
            cutoff.who_received_it_around_the_cutoff,
            cutoff_evidence.bandwidth_and_the_estimate,
        ),
        stem="regression_discontinuity",
        question=(
            "Do people just on one side of a cutoff, who received it, fare better than those just beyond?"
        ),
        strengths=(
            "Near the cutoff it is nearly by lot who receives the intervention, so unmeasured"
            " characteristics are"
            " balanced too; what was measured can be checked."
        ),
        limits=(
            "Speaks only for people near the cutoff; needs many people there; fails when people can choose"
            " their"
            " side, when scores are rounded, or when something else changes at the same cutoff."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Cattaneo, Idrobo and Titiunik 2020",
    ),
    Method(
        design=instrumental_variables.InstrumentalVariables,
        estimate=instrumental_variables.estimate,
        refit=partial(instrumental_variables.estimate, brief=True),
        parse=instrumental_variables.parse,
        blind=instrumental_variables.blind,
        assumptions=instrumental_variables.ASSUMPTIONS,
        checks=(
            of_first_stage(instrument_strength.first_stage),
            of_first_stage(instrument_strength.uptake_by_instrument),
            of_first_stage(instrument_exclusion.argument_given),
            instrument_exclusion.direct_effect,
            instrument_exclusion.instruments_agree,
            instrument_balance.negative_controls,
            of_first_stage(instrument_balance.balance_by_instrument),
            of_first_stage(instrument_people.same_direction),
            instrument_people.inequalities,
            instrument_people.moved_whom,
            of_first_stage(instrument_people.complier_profile),
            of_first_stage(instrument_strength.size_of_study),
            instrument_strength.precision,
            instrument_intervals.intervals_side_by_side,
            instrument_intervals.estimators_side_by_side,
            instrument_intervals.ordinary_comparison,
        ),
        design_checks=(
            instrument_strength.first_stage,
            instrument_strength.uptake_by_instrument,
            instrument_exclusion.argument_given,
            instrument_balance.balance_by_instrument,
            instrument_people.same_direction,
            instrument_people.complier_profile,
            instrument_strength.size_of_study,
        ),
        plots=(
            instrument_plots.reduced_form_and_first_stage,
            instrument_plots.intervals_compared,
            instrument_plots.direct_effect_curve,
        ),
        stem="instrumental_variables",
        question=(
            "Do people whom distance, a clinician's habit or a lottery moved to receive it fare better for"
            " it?"
        ),
        strengths=(
            "Needs no list of everything that decides who receives the intervention: unmeasured"
            " characteristics do no harm if the instrument is as good as by lot."
        ),
        limits=(
            "Good instruments are rare; that one acts only through the intervention cannot be tested; speaks"
            " only for people whom it moved; imprecise, and misleading when it is weak."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Swanson and Hernan 2013",
    ),
    Method(
        design=before_after.BeforeAfter,
        estimate=before_after.estimate,
        refit=partial(before_after.estimate, brief=True),
        parse=before_after.parse,
        blind=before_after.blind,
        assumptions=before_after.ASSUMPTIONS,
        checks=(
            change_checks.what_it_is_for,
            change_checks.regression_to_the_mean,
            change_checks.change_by_value_before,
            both_stages.after(change_checks.secular_trend),
            change_checks.lost_people,
            change_checks.shared_places,
        ),
        design_checks=(change_checks.values_before, change_checks.secular_trend),
        plots=(change_plots.before_and_after, change_plots.change_by_value_before),
        stem="before_after",
        question="How did the same people fare after the intervention, compared with before?",
        strengths=(
            "Simple, needs nobody to compare with, and may show that something is worth a proper evaluation."
        ),
        limits=(
            "Cannot tell the intervention from anything else that changed, and people picked because they"
            " were ill"
            " are better next time whatever is done (regression to the mean): it generates hypotheses."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Barnett, van der Pols and Dobson 2005",
    ),
)
