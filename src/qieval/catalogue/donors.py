"""Methods that compare with donors."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import DesignCheck, Method
from qieval.diagnostics import (
    both_stages,
    calibrated_choices,
    calibrated_units,
    concurrent_events,
    design_data,
    donor_choices,
    donor_fit,
    donor_placebos,
    donor_weights,
    factor_choices,
    factor_model,
    factor_placebos,
    weighted_changes,
)
from qieval.methods import (
    generalised_synthetic_control,
    micro_synthetic_control,
    synthetic_control,
    synthetic_did,
)
from qieval.plots import calibrated_units as small_units
from qieval.plots import factors, synthetic

BEFORE_THE_START = (
    donor_fit.fit_before,
    donor_fit.inside_the_donors,
    donor_fit.predictor_balance,
    donor_fit.enough_periods,
    donor_fit.pool_of_donors,
    donor_weights.donor_weights,
    donor_weights.weights_determined,
    donor_weights.interpolation,
)
"""Checks of a synthetic control that need no outcome from the start on."""

PARALLEL_BEFORE = (
    weighted_changes.parallel_before,
    weighted_changes.equal_noise,
    donor_fit.enough_periods,
    donor_fit.pool_of_donors,
    donor_weights.donor_weights,
)
"""Checks of synthetic difference-in-differences that need no outcome from the start on."""

EQUAL_BEFORE: tuple[DesignCheck, ...] = (
    calibrated_units.balance,
    calibrated_units.within_reach,
    calibrated_units.enough_periods,
    calibrated_units.weights_spread,
    donor_fit.pool_of_donors,
)
"""Checks of a micro synthetic control that need no outcome from the start on."""

FACTORS_BEFORE = (
    factor_model.number_of_factors,
    factor_model.fit_before,
    factor_model.enough_for_factors,
    factor_model.loadings_overlap,
    donor_fit.pool_of_donors,
)
"""Checks of a generalised synthetic control that need no outcome from the start on."""

DONORS: tuple[Method, ...] = (
    Method(
        design=synthetic_control.SyntheticControl,
        estimate=synthetic_control.estimate,
        refit=partial(synthetic_control.estimate, brief=True),
        parse=synthetic_control.parse,
        blind=synthetic_control.blind,
        assumptions=synthetic_control.ASSUMPTIONS,
        checks=(
            *map(both_stages.after, BEFORE_THE_START),
            donor_placebos.placebo_units,
            donor_placebos.unequal_chances,
            donor_placebos.over_time,
            donor_placebos.placebo_dates,
            donor_weights.leave_one_donor_out,
            donor_weights.donor_breaks,
            donor_choices.other_ways,
            donor_choices.without_each_predictor,
            concurrent_events.concurrent_events,
        ),
        design_checks=(
            donor_fit.on_panel(design_data.units_and_periods),
            donor_fit.on_panel(design_data.missing_values),
            *BEFORE_THE_START,
        ),
        plots=(
            synthetic.paths,
            synthetic.gaps,
            synthetic.placebo_gaps,
            synthetic.ranks,
            synthetic.weights,
        ),
        stem="synthetic_control",
        question=(
            "What would have happened in the one place (or the few) that got the intervention, judged by a"
            " mix of places that tracked it before?"
        ),
        strengths=(
            "Works with a single treated place; the mix of donors is chosen by the data and can be shown,"
            " and effects of unmeasured characteristics may change over time."
        ),
        limits=(
            "Uncertainty is hard to quantify, and estimates are biased when the time before the start is"
            " short or the donors do not reproduce the treated place."
        ),
        source=(
            "Clarke et al. 2019, BMJ 365:l2239, table 2; Abadie, Diamond and Hainmueller 2010; Abadie 2021"
        ),
    ),
    Method(
        design=synthetic_did.SyntheticDifferenceInDifferences,
        estimate=synthetic_did.estimate,
        refit=partial(synthetic_did.estimate, brief=True),
        parse=synthetic_did.parse,
        blind=synthetic_did.blind,
        assumptions=synthetic_did.ASSUMPTIONS,
        checks=(
            *map(both_stages.after, PARALLEL_BEFORE),
            weighted_changes.periods_with_weight,
            weighted_changes.special_cases,
            donor_placebos.placebo_dates,
            donor_weights.leave_one_donor_out,
            donor_weights.donor_breaks,
            concurrent_events.concurrent_events,
        ),
        design_checks=(
            donor_fit.on_panel(design_data.units_and_periods),
            donor_fit.on_panel(design_data.missing_values),
            *PARALLEL_BEFORE,
        ),
        plots=(synthetic.paths, synthetic.gaps, synthetic.weights),
        stem="synthetic_difference_in_differences",
        question=(
            "How did the treated change compared with donors, when donors and periods are weighted so that"
            " they moved in parallel before?"
        ),
        strengths=(
            "Less is asked of the donors than by a synthetic control (their level may differ) and of trends"
            " than by difference-in-differences; units may start at different times."
        ),
        limits=(
            "With few treated units uncertainty is hard to quantify, since it is judged by placebos; biased"
            " when something else moves the treated away from the weighted donors, and over a short time"
            " before the start."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Arkhangelsky et al. 2021",
    ),
    Method(
        design=generalised_synthetic_control.GeneralisedSyntheticControl,
        estimate=generalised_synthetic_control.estimate,
        refit=partial(generalised_synthetic_control.estimate, brief=True),
        parse=generalised_synthetic_control.parse,
        blind=generalised_synthetic_control.blind,
        assumptions=generalised_synthetic_control.ASSUMPTIONS,
        checks=(
            *map(both_stages.after, FACTORS_BEFORE),
            factor_placebos.tests_before,
            factor_placebos.placebo_periods,
            factor_placebos.just_before_the_start,
            factor_choices.other_models,
            factor_placebos.uncertainty,
            factor_choices.leave_one_donor_out,
            donor_weights.donor_breaks,
            concurrent_events.concurrent_events,
        ),
        design_checks=(
            donor_fit.on_panel(design_data.units_and_periods),
            donor_fit.on_panel(design_data.missing_values),
            *FACTORS_BEFORE,
        ),
        plots=(
            factors.paths,
            factors.gaps,
            factors.factors,
            factors.loadings,
            factors.weights,
            synthetic.placebo_gaps,
            synthetic.ranks,
        ),
        stem="generalised_synthetic_control",
        question=(
            "What would have happened, if places respond, each in its own measure, to unmeasured influences"
            " that all of them share?"
        ),
        strengths=(
            "Effects of unmeasured characteristics may change over time; one treated place or many, with"
            " different starts, and places unlike any single donor; intervals by simulation."
        ),
        limits=(
            "Biased when the time before the start is short, or when something that the common factors miss"
            " moves the treated; the number of factors is a choice, and with few treated places uncertainty"
            " is hard to quantify."
        ),
        source=(
            "Clarke et al. 2019, BMJ 365:l2239, table 2; Xu 2017; Athey, Bayati, Doudchenko, Imbens and"
            " Khosravi 2021; Liu, Wang and Xu 2024"
        ),
    ),
    Method(
        design=micro_synthetic_control.MicroSyntheticControl,
        estimate=micro_synthetic_control.estimate,
        refit=partial(micro_synthetic_control.estimate, brief=True),
        parse=micro_synthetic_control.parse,
        blind=micro_synthetic_control.blind,
        assumptions=micro_synthetic_control.ASSUMPTIONS,
        checks=(
            *map(both_stages.after, EQUAL_BEFORE),
            calibrated_units.backdating,
            calibrated_units.without_heaviest,
            calibrated_choices.ways_to_judge,
            calibrated_choices.several_outcomes,
            calibrated_choices.other_weights,
            calibrated_choices.without_each,
            calibrated_choices.neighbours,
            concurrent_events.concurrent_events,
        ),
        design_checks=(
            donor_fit.on_panel(design_data.units_and_periods),
            donor_fit.on_panel(design_data.missing_values),
            *EQUAL_BEFORE,
        ),
        plots=(small_units.totals, small_units.effects, small_units.outcomes),
        stem="micro_synthetic_control",
        question=(
            "How many events did the intervention prevent in many small areas or practices, judged by"
            " untreated ones whose weighted totals were the same before?"
        ),
        strengths=(
            "Totals before the start match exactly, in several outcomes and characteristics at once; effects"
            " are given in events and in per cent, and no unit has to resemble a whole region."
        ),
        limits=(
            "Uncertainty is hard to quantify when small units that lie together move together; biased over a"
            " short time before the start, and when events move to neighbouring units."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Robbins, Saunders and Kilmer 2017",
    ),
)
