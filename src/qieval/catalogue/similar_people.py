"""Methods that compare people with similar people."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import Method
from qieval.diagnostics import (
    adjustment_choices,
    adjustment_form,
    adjustment_groups,
    other_choices,
    prognosis,
    search,
    selection,
    similar_people,
    unmeasured,
)
from qieval.methods import (
    matching,
    regression_adjustment,
    weighting,
)
from qieval.plots import comparison

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

SETTLED_BEFORE_REGRESSION = (
    adjustment_groups.differences_before,
    adjustment_groups.overlap,
    adjustment_groups.extrapolated,
    adjustment_groups.size_of_the_model,
    adjustment_groups.weighted_differences,
    adjustment_groups.score_model,
    similar_people.weights_spread,
    similar_people.flow,
    similar_people.measured_before,
)

SIMILAR_PEOPLE: tuple[Method, ...] = (
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
    Method(
        design=regression_adjustment.RegressionAdjustment,
        estimate=regression_adjustment.estimate,
        refit=partial(regression_adjustment.estimate, brief=True),
        parse=regression_adjustment.parse,
        blind=regression_adjustment.blind,
        assign=regression_adjustment.assign,
        assumptions=regression_adjustment.ASSUMPTIONS,
        checks=(
            *map(similar_people.after, SETTLED_BEFORE_REGRESSION),
            adjustment_form.shape,
            adjustment_form.calibrated,
            adjustment_form.possible,
            adjustment_form.dispersed,
            unmeasured.e_values_of_the_estimate,
            unmeasured.omitted_variable,
            selection.proportional_selection,
            selection.tipping_point,
            adjustment_choices.negative_controls,
            adjustment_choices.when_chosen,
            adjustment_choices.other_models,
            adjustment_choices.splits_of_the_data,
            other_choices.without_each_characteristic,
            adjustment_choices.interval_kind,
            adjustment_choices.single_rows,
            similar_people.subgroups,
        ),
        design_checks=tuple(map(similar_people.before, SETTLED_BEFORE_REGRESSION)),
        plots=(comparison.balance, comparison.overlap),
        stem="regression_adjustment",
        question="What would happen to everybody with and without the intervention, by what was measured?",
        strengths=(
            "Uses everybody, gives risks, rates and means with and without the intervention in natural units,"
            " and with a model of who received it as well it is right if one of the two is."
        ),
        limits=(
            "Biased when something unmeasured led people to the intervention and bears on the outcome, or"
            " when the regression has the wrong form; answers by extrapolation where the groups do not"
            " overlap, without showing it; many models can be tried after the outcome was seen."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Robins 1986; Hernan and Robins 2020",
    ),
)
