"""The result of a comparison of similar people: who was compared, and the effect once the outcome is
opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort import Cohort, people
from qieval.compared import Assignment, estimand_reached
from qieval.methods.comparison.effect import sample_of
from qieval.methods.comparison.outcome import Effect
from qieval.methods.comparison.subgroups import (
    in_order,
    restart_effects,
    subgroup_effects,
    worst_differences,
)
from qieval.methods.rows import row_of
from qieval.methods.words import amount, between
from qieval.numerics.contrasts import Contrast
from qieval.numerics.pairs import effective_size
from qieval.result import Result
from qieval.text import Count, Counted, number

WHOM = {
    "ATT": "the treated",
    "ATC": "the comparison group",
    "ATE": "everybody",
    "ATO": "the overlap of the groups",
    "ATM": "those whom pair matching would keep",
}


def settled(design: Any, cohort: Cohort, found: Assignment, frame: pd.DataFrame) -> Result:
    """The result of the design stage: weights and balance, no outcome."""
    facts = _facts(design, cohort, found, found.weights)
    return Result(
        design=design,
        headline=_who_was_compared(design, cohort, found, facts),
        facts=pd.Series(facts, dtype=object),
        weights=_weights(cohort, found, frame),
        notes=(*cohort.notes, *found.notes),
        kernel=found,
    )


def concluded(design: Any, cohort: Cohort, found: Assignment, made: Effect, frame: pd.DataFrame) -> Result:
    """The result with its effect, and the effects in subgroups where some are named."""
    known = sample_of(design, cohort, found, made.outcome).weights
    facts = _facts(design, cohort, found, known)
    ordered = in_order(design, made.contrasts)
    facts |= {
        "outcome with the intervention": made.means.mean1,
        "outcome expected without it": made.means.mean0,
        "standard error": made.label + ("; of ratios: of their logarithm" if len(ordered) > 1 else ""),
    }
    if made.outcome.kind == "risk":
        words = [needed_in_words(item) for item in made.contrasts if item.name == "number needed to treat"]
        facts |= {"number needed to treat": words[0]} if words else {}
    return Result(
        design=design,
        headline=_headline(design, found, made, ordered[0]),
        estimates=pd.DataFrame([row_of(item) for item in ordered]),
        facts=pd.Series(facts, dtype=object),
        weights=_weights(cohort, found, frame),
        notes=(
            *cohort.notes,
            *found.notes,
            *made.notes,
            *(item.reason for item in ordered if item.reason),
            *_other_effect(design, ordered[0]),
            *_balance_lost(design, found, known, facts),
        ),
        kernel=replace(
            found,
            subgroups=subgroup_effects(design, cohort, found, made),
            restarts=restart_effects(design, cohort, found, made),
        ),
    )


def _balance_lost(design: Any, found: Assignment, known: np.ndarray, facts: dict[str, Any]) -> list[str]:
    """That the groups are no longer alike once people without a known outcome are left out."""
    worst = facts["largest standardised difference after"]
    if worst <= design.balance_rule or (known > 0).sum() == found.used.sum():
        return []
    return [
        f"balance: among those whose outcome is known the groups differ by up to {number(worst)} standard"
        f" deviations ({facts['found in']}), more than the {design.balance_rule:g} that the design allows."
    ]


def needed_in_words(item: Contrast) -> str:
    """A number needed to treat with its interval, whether the outcome is wanted or not."""
    if item.reason:
        return item.reason

    def said(value: float) -> str:
        many = f"{abs(value):,.0f}" if np.isfinite(value) else "any number of"
        return f"one {'more' if value > 0 else 'fewer'} with the outcome for every {many} treated"

    if item.through_infinity:
        ends = f"interval from {said(item.low)}, through no difference, to {said(item.high)}"
        return f"{said(item.estimate)} ({ends})"
    near, far = sorted((abs(item.low), abs(item.high)))
    return f"{said(item.estimate)} (interval {near:,.0f} to {far:,.0f})"


def _other_effect(design: Any, shown: Contrast) -> list[str]:
    """That the effect that was asked for is not made for this outcome."""
    if design.effect == "automatic" or shown.name.endswith(design.effect):
        return []
    return [
        f"effect: no {design.effect} is made for this outcome, so the {shown.name} is given. Ratios are for"
        " risks and rates (odds ratios for risks only)."
    ]


def _facts(design: Any, cohort: Cohort, found: Assignment, weights: np.ndarray) -> dict[str, Any]:
    counted = people(design)
    treated, used = cohort.treated, weights > 0
    (before, _), after = worst_differences(design, cohort, (None, weights))
    return {
        "rows used": Count(int(used.sum())),
        "treated units": counted(int((used & treated).sum())),
        "comparison units": counted(int((used & ~treated).sum())),
        "treated people left out": counted(int((~used & treated).sum())),
        "comparison people left out": counted(int((~used & ~treated).sum())),
        "effective size of the comparison group": effective_size(weights[~treated]),
        "effective size of the treated group": effective_size(weights[treated]),
        "largest standardised difference before": before,
        "largest standardised difference after": after[0],
        "found in": after[1],
        "estimand": estimand_reached(design, found),
        "made by": found.kind,
        **found.facts,
    }


def _weights(cohort: Cohort, found: Assignment, frame: pd.DataFrame) -> pd.DataFrame:
    """The weight and the matched set of every row that takes part, by row label."""
    used = found.used
    return pd.DataFrame(
        {
            "row": frame.index[cohort.row[used]],
            "group": np.where(cohort.treated[used], "treated", "comparison"),
            "weight": found.weights[used],
            "set": -1 if found.sets is None else found.sets[used],
        }
    )


def _who_was_compared(design: Any, cohort: Cohort, found: Assignment, facts: dict[str, Any]) -> Counted:
    used, treated = found.used, cohort.treated
    worst, where = facts["largest standardised difference after"], facts["found in"]
    rule = (
        f"Every standardised difference is at most {design.balance_rule:g}, as the design asks."
        if worst <= design.balance_rule
        else f"The largest standardised difference is {number(worst)} ({where}), more than the"
        f" {design.balance_rule:g} that the design allows."
    )
    return Counted(
        "{treated} of {all_treated} treated people are compared with {others} of {all_others} others by "
        + _plain(f"{found.kind}. {rule} No outcome has been looked at."),
        treated=Count(int((used & treated).sum())),
        all_treated=Count(int(treated.sum())),
        others=Count(int((used & ~treated).sum())),
        all_others=Count(int((~treated).sum())),
    )


def _plain(words: str) -> str:
    return words.replace("{", "(").replace("}", ")")


def _headline(design: Any, found: Assignment, made: Effect, item: Contrast) -> str:
    quantity = (design.measured_in or str(design.outcome)).replace("_", " ")
    percent = made.outcome.kind == "risk"
    with_it, without = (_level(value, percent) for value in (made.means.mean1, made.means.mean0))
    whom = WHOM[design.estimand] + (" who could be compared" if found.left_out() else "")
    levels = f"Mean levels: {with_it} with the intervention, {without} expected without it."
    if item.scale == "log":
        size = f"{item.name} {number(item.estimate)} ({design.level:.0%} interval {_range(item)})"
    else:
        ends = between(item.low, item.high, percent)
        size = f"{amount(item.estimate, percent)} ({design.level:.0%} interval {ends})"
    return f"In {whom}, {quantity}: {size}. {levels}"


def _level(value: float, percent: bool) -> str:
    return f"{number(100 * value)}%" if percent else number(value)


def _range(item: Contrast) -> str:
    return f"{number(item.low)} to {number(item.high)}"
