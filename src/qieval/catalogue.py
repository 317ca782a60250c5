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
    clusters,
    composition,
    concurrent_events,
    covariate_change,
    design_data,
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
)
from qieval.errors import DesignError, nearest
from qieval.methods import difference_in_differences, matching, weighting
from qieval.plots import comparison
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
