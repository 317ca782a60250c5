"""An instrumental variable analysis in words: headline, facts and notes."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.instrumented import Fitted, set_in_words
from qieval.instrumented.fit import OLD_RULE, FirstStage
from qieval.instrumented.intervals import AR, CLR, TF, WALD
from qieval.methods.instrumental_variables.design import InstrumentalVariables
from qieval.methods.words import amount, between
from qieval.text import Count, listed, number

SETS = {AR: "Anderson-Rubin", CLR: "the conditional likelihood ratio", TF: "tF", WALD: "Wald"}


def headline_of(design: InstrumentalVariables, fitted: Fitted) -> str:
    """Reduced form and first stage in words, then the effect with its interval."""
    return f"{_first_two(design, fitted)} {_effect(design, fitted)}"


def _first_two(design: InstrumentalVariables, fitted: Fitted) -> str:
    """What went with the instrument: the outcome, and what was received."""
    first, made = fitted.first, fitted.made
    outcome, received = _plain(design.outcome), _plain(design.received)
    if len(first.names) > 1:
        tests = [first.reduced.equation(at) for at in (0, 1)]
        said = [f"F = {number(found.f)}, p {_p(found.p_value)}" for found in tests]
        return (
            f"How {outcome} varies with the {len(first.names)} instruments together: {said[0]}; how"
            f" {received} does: {said[1]}."
        )
    changes = [float(first.reduced.equation(at).coefficients[0]) for at in (0, 1)]
    percent = (made.kind == "risk", made.binary)
    if made.one_binary:
        who = "people" if design.units_are == "people" else "organisations"
        start = f"In {who} with {first.names[0]} = 1 rather than 0"
    else:
        start = f"With each unit more of {first.names[0]}"
    given = ", given the covariates," if made.profile.shape[1] else ""
    return (
        f"{start}{given} {outcome} was {amount(changes[0], percent[0])}, and {received}"
        f" {amount(changes[1], percent[1])}."
    )


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"= {number(value, 2)}"


def _effect(design: InstrumentalVariables, fitted: Fitted) -> str:
    """The effect in natural units, with whatever shape its interval has."""
    made = fitted.made
    percent, outcome = made.kind == "risk", _plain(design.outcome)
    size = amount(fitted.estimate, percent)
    than = "with the intervention than without" if made.binary else f"with one unit more of {design.received}"
    held = _set_said(design, fitted, percent)
    who = "people" if design.units_are == "people" else "organisations"
    if fitted.inclusion is not None:
        return f"By the model {outcome} would be {size} if everybody were {_everybody(fitted)} ({held})."
    return f"If it acts only that way, in {who} whom it moved {outcome} was {size} {than} ({held})."


def _everybody(fitted: Fitted) -> str:
    if fitted.made.binary:
        return "to receive the intervention rather than nobody"
    return "to receive one unit more"


def _set_said(design: InstrumentalVariables, fitted: Fitted, percent: bool) -> str:
    way, level = fitted.way, f"{100 * design.level:.4g}%"
    if way.held.shape == "interval":
        ends = between(way.held.low, way.held.high, percent)
        return f"{level} interval {ends}; {way.words}"
    if way.held.shape == "empty" and fitted.first.parts.k == 1:
        return f"with {level} confidence no size of effect agrees with the data; {way.words}"
    if way.held.shape == "empty":
        return (
            f"with {level} confidence no size of effect agrees with all instruments, so they contradict one"
            f" another; {way.words}"
        )
    if way.held.shape == "whole line":
        return f"with {level} confidence every size of effect is compatible with the data; {way.words}"
    said = set_in_words(
        way.held, lambda value: f"a difference of {number(100 * value if percent else value)}"
    )
    unit = " (percentage points)" if percent else ""
    return f"with {level} confidence compatible with the data: {said}{unit}; {way.words}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def facts_of(design: InstrumentalVariables, fitted: Fitted) -> dict[str, Any]:
    """Named single values: sizes, strength, which effects are not excluded, and what the effect is of."""
    first, made = fitted.first, fitted.made
    counted = Count if design.units_are == "people" else int
    facts: dict[str, Any] = {}
    if made.binary:
        facts["treated units"] = counted(int(made.x.sum()))
        facts["comparison units"] = counted(int((1 - made.x).sum()))
    facts |= {
        "rows used": Count(len(made)),
        "instruments": listed(first.names, 6),
        "estimand": _estimand(design, fitted),
        "estimator": design.estimator,
        "interval": fitted.way.words,
        "variance": _variance(design),
        **strength_facts(first),
    }
    facts |= {
        f"effects not excluded by {SETS[way.kind]}": set_in_words(way.held)
        for way in fitted.ways
        if fitted.inclusion is None
    }
    if made.data.cluster is not None:
        facts["clusters"] = made.data.n_clusters
    return facts


def strength_facts(first: FirstStage) -> dict[str, float]:
    """How strongly the instruments move who received it."""
    found = first.regression
    return {
        "effective F": first.strength.f,
        "critical value of the effective F": first.critical,
        "partial F": found.f,
        "partial R2": found.partial_r2,
    }


def _estimand(design: InstrumentalVariables, fitted: Fitted) -> str:
    made = fitted.made
    if fitted.inclusion is not None:
        return "average effect in everybody, by the model"
    if made.one_binary and made.binary:
        return "average effect in people whom the instrument moved (compliers)"
    unit = "" if made.binary else f" of one unit of {design.received}"
    return f"weighted average of effects{unit} in people whom the instruments moved"


def _variance(design: InstrumentalVariables) -> str:
    if design.cluster is not None:
        kind = "allows for clusters"
    else:
        kind = "for equal variances" if design.variance == "unadjusted" else "allows for unequal variances"
    if design.estimator == "GMM":
        return f"{kind}; intervals by standard errors without a small-sample factor"
    return f"{kind}; {'with' if design.small_sample == 'yes' else 'without'} a small-sample factor"


def notes_of(design: InstrumentalVariables, fitted: Fitted) -> list[str]:
    """What deserves a warning beside the headline."""
    first, way, notes = fitted.first, fitted.way, []
    many = len(first.names) > 1
    if first.weak:
        subject = "The instruments are weak together" if many else "The instrument is weak"
        if first.strength.f >= OLD_RULE:
            subject = (
                "The instruments are not clearly strong" if many else "The instrument is not clearly strong"
            )
        notes.append(
            f"{subject}: the effective F is {number(first.strength.f)}, and {number(first.critical)} would"
            " keep the bias towards the ordinary comparison below a tenth of its worst. "
            + (
                "The interval shown allows for that; the estimate does not."
                if way.kind in (AR, CLR, TF)
                else "The interval shown does not allow for that: prefer Anderson-Rubin."
            )
        )
    if not way.held.bounded:
        notes.append(
            f"{SETS[way.kind]} excludes too little to say how large the effect is: the instrument moved too"
            " few people."
        )
    if way.held.shape == "empty":
        notes.append(
            "No size of effect agrees with all instruments: at least one of them is not valid, or effects"
            " differ between the people whom they moved."
        )
    if way.kind == CLR and design.variance == "robust":
        notes.append(
            "The conditional likelihood ratio interval takes variances as equal, whatever variance is chosen."
        )
    if not np.isfinite(fitted.std_error) or fitted.std_error == 0:
        notes.append("The standard error cannot be computed: the outcome leaves nothing unexplained.")
    return notes
