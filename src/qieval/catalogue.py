"""The methods, one entry each: read by the verbs, the chooser, the command line, the contract tests and the
README."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from qieval.check import Assumption, Check
from qieval.design import Design
from qieval.diagnostics import (
    anticipation,
    balance,
    calibrated_choices,
    calibrated_units,
    clusters,
    composition,
    concurrent_events,
    covariate_change,
    design_data,
    donor_choices,
    donor_fit,
    donor_placebos,
    donor_weights,
    factor_choices,
    factor_model,
    factor_placebos,
    leave_one_out,
    other_choices,
    parallel_trends,
    placebo,
    power,
    prognosis,
    scale,
    search,
    selection,
    similar_people,
    unmeasured,
    weighted_changes,
)
from qieval.errors import DesignError, nearest
from qieval.methods import (
    difference_in_differences,
    generalised_synthetic_control,
    matching,
    micro_synthetic_control,
    synthetic_control,
    synthetic_did,
    weighting,
)
from qieval.plots import calibrated_units as small_units
from qieval.plots import comparison, factors, synthetic
from qieval.plots.event_study import event_study
from qieval.plots.trajectory import trajectory
from qieval.result import Result, Study

DiagnosticCheck = Callable[[Study], Check]
DesignCheck = Callable[[Any, Any], Check]

SETTLED_BEFORE = (
    similar_people.balance_reached,
    similar_people.overlap,
    similar_people.weights_spread,
    similar_people.flow,
    similar_people.left_out,
    similar_people.score_model,
    similar_people.measured_before,
)
"""Checks of a comparison that need no outcome: made before it, and shown again in the ledger."""

SEARCHED_BEFORE = tuple(check for check in SETTLED_BEFORE if check is not similar_people.score_model)

OPENED = (
    prognosis.prognostic_balance,
    unmeasured.e_values_of_the_estimate,
    unmeasured.hidden_bias,
    unmeasured.omitted_variable,
    selection.proportional_selection,
    selection.tipping_point,
    unmeasured.negative_controls,
)


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


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method: its design, how it estimates, what it takes for granted, what is checked and drawn.

    `refit` gives the overall estimate only, for loops. `parse` turns a frame into arrays; `blind` does so
    without outcomes after the start, for `design_checks`. `question` is what a user would ask; `strengths`
    and `limits` are those of Clarke et al. 2019, table 2, in our words. `assign` finds weights or partners in
    a parsed cohort; None for methods that make no groups alike.
    """

    design: type[Design]
    estimate: Callable[[Any, pd.DataFrame], Result]
    refit: Callable[[Any, pd.DataFrame], Result]
    parse: Callable[[Any, pd.DataFrame], Any]
    blind: Callable[[Any, pd.DataFrame], Any]
    assumptions: tuple[Assumption, ...]
    checks: tuple[DiagnosticCheck, ...]
    design_checks: tuple[DesignCheck, ...]
    plots: tuple[Callable[[Result], Any], ...]
    stem: str
    question: str
    strengths: str
    limits: str
    source: str
    assign: Callable[[Any, Any], Any] | None = None

    @property
    def title(self) -> str:
        """The name in words."""
        return self.design.title


CATALOGUE: tuple[Method, ...] = (
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
        design=synthetic_control.SyntheticControl,
        estimate=synthetic_control.estimate,
        refit=partial(synthetic_control.estimate, brief=True),
        parse=synthetic_control.parse,
        blind=synthetic_control.blind,
        assumptions=synthetic_control.ASSUMPTIONS,
        checks=(
            *map(donor_fit.after, BEFORE_THE_START),
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
            *map(donor_fit.after, PARALLEL_BEFORE),
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
        design=micro_synthetic_control.MicroSyntheticControl,
        estimate=micro_synthetic_control.estimate,
        refit=partial(micro_synthetic_control.estimate, brief=True),
        parse=micro_synthetic_control.parse,
        blind=micro_synthetic_control.blind,
        assumptions=micro_synthetic_control.ASSUMPTIONS,
        checks=(
            *map(calibrated_units.after, EQUAL_BEFORE),
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
    Method(
        design=generalised_synthetic_control.GeneralisedSyntheticControl,
        estimate=generalised_synthetic_control.estimate,
        refit=partial(generalised_synthetic_control.estimate, brief=True),
        parse=generalised_synthetic_control.parse,
        blind=generalised_synthetic_control.blind,
        assumptions=generalised_synthetic_control.ASSUMPTIONS,
        checks=(
            *map(donor_fit.after, FACTORS_BEFORE),
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
        design=matching.Matching,
        estimate=matching.estimate,
        refit=partial(matching.estimate, brief=True),
        parse=matching.parse,
        blind=matching.blind,
        assign=matching.assign,
        assumptions=matching.ASSUMPTIONS,
        checks=(
            *map(similar_people.after, SETTLED_BEFORE),
            *OPENED,
            other_choices.other_ways_to_match,
            other_choices.ties,
            other_choices.without_each_characteristic,
            similar_people.interval_kind,
            similar_people.subgroups,
        ),
        design_checks=tuple(map(similar_people.before, SETTLED_BEFORE)),
        plots=(comparison.balance, comparison.overlap),
        stem="matching",
        question="How do people who got the intervention compare with similar people who did not?",
        strengths=(
            "The design is settled before any outcome is seen; who is compared with whom can be shown and"
            " checked, and the outcome needs no model."
        ),
        limits=(
            "Biased when something unmeasured led people to the intervention and bears on the outcome;"
            " people without a counterpart drop out, so the answer may be about fewer people than the"
            " question; a score model that is wrong does not balance the groups."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Stuart 2010; Rosenbaum and Rubin 1983",
    ),
    Method(
        design=matching.GeneticMatching,
        estimate=matching.estimate_genetic,
        refit=partial(matching.estimate_genetic, brief=True),
        parse=matching.parse,
        blind=matching.blind_genetic,
        assign=matching.assign_genetic,
        assumptions=matching.GENETIC_ASSUMPTIONS,
        checks=(
            *map(similar_people.after, SEARCHED_BEFORE),
            *OPENED,
            search.restarts,
            other_choices.other_losses,
            similar_people.interval_kind,
            similar_people.subgroups,
        ),
        design_checks=(*map(similar_people.before, SEARCHED_BEFORE), search.progress_of_the_search),
        plots=(comparison.balance, comparison.overlap, comparison.search_progress),
        stem="genetic_matching",
        question="Which way of matching leaves the groups most alike, and what is the effect then?",
        strengths=(
            "Balance itself is made as good as it can be, without a model of who received the intervention"
            " that has to be right; no outcome takes part in the search."
        ),
        limits=(
            "Biased when something unmeasured led people to the intervention and bears on the outcome; a"
            " search is a draw, so another one may give another answer, and balance on many characteristics"
            " needs many people."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Diamond and Sekhon 2013",
    ),
    Method(
        design=weighting.Weighting,
        estimate=weighting.estimate,
        refit=partial(weighting.estimate, brief=True),
        parse=weighting.parse,
        blind=weighting.blind,
        assign=weighting.assign,
        assumptions=weighting.ASSUMPTIONS,
        checks=(
            *map(similar_people.after, SETTLED_BEFORE),
            *OPENED,
            other_choices.other_weights,
            other_choices.without_each_characteristic,
            similar_people.interval_kind,
            similar_people.subgroups,
        ),
        design_checks=tuple(map(similar_people.before, SETTLED_BEFORE)),
        plots=(comparison.balance, comparison.overlap),
        stem="weighting",
        question="What if the groups had been alike, with everybody kept and some counting more than others?",
        strengths=(
            "Keeps everybody, reaches exact balance of means (entropy balancing), and gives effects in the"
            " treated, in everybody, or where the groups overlap."
        ),
        limits=(
            "Biased when something unmeasured led people to the intervention and bears on the outcome; a"
            " few people with extreme scores may decide the answer."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Austin and Stuart 2015; Hainmueller 2012",
    ),
)


def method_of(design: Design | type[Design]) -> Method:
    """The catalogue entry of a design."""
    wanted = design if isinstance(design, type) else type(design)
    for method in CATALOGUE:
        if method.design is wanted:
            return method
    raise DesignError(f"design: {wanted.__name__} is not a method of the catalogue. Use one of {_names()}.")


def method_named(name: str) -> Method:
    """The entry by the name of its design, its title or its stem ('difference_in_differences'); case does
    not matter."""
    wanted = name.lower().replace("-", "_").replace(" ", "_")
    for method in CATALOGUE:
        if wanted in (
            method.stem,
            method.design.__name__.lower(),
            method.title.lower().replace("-", "_").replace(" ", "_"),
        ):
            return method
    known = [method.stem for method in CATALOGUE]
    raise DesignError(
        f"method: '{name}' is not known.{nearest(wanted, known)} The methods are: {', '.join(known)}."
    )


def methods() -> pd.DataFrame:
    """The methods as a table: method, design, question, strengths, limits, source.

    >>> methods().loc[0, "design"]
    'DifferenceInDifferences'
    """
    return pd.DataFrame(
        {
            "method": method.title,
            "design": method.design.__name__,
            "question": method.question,
            "strengths": method.strengths,
            "limits": method.limits,
            "source": method.source,
        }
        for method in CATALOGUE
    )


def _names() -> str:
    return ", ".join(method.design.__name__ for method in CATALOGUE)
