"""Does the instrument act only through the intervention? What data can add to the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.instrumented.direct import DirectEffects, direct_effects
from qieval.instrumented.fit import FirstStage
from qieval.numerics.instruments_estimators import tsls
from qieval.numerics.instruments_validity import over_identification
from qieval.result import Study
from qieval.text import number

EXCLUSION = "the instrument acts only through the intervention"


def argument_given(design: Any, first: FirstStage) -> Check:
    """Whether the exclusion argument has been written down; without it no estimate is made."""
    said = design.argued().get(EXCLUSION, "").strip()
    text = (
        f'The argument given: "{said.rstrip(".")}". It is reasoning, not evidence.'
        if said
        else "No argument has been given yet, and without one no estimate is made: write under exclusion"
        " why the instrument has no other way to the outcome."
    )
    verdict: Verdict = "information" if said else "concern"
    return Check(name="exclusion argument", assumption=EXCLUSION, verdict=verdict, text=text)


def direct_effect(study: Study) -> Check:
    """How large a direct effect of the instrument would make the interval include zero."""
    name, design, fitted = "direct effect that would matter", study.design, study.result.kernel
    try:
        found = direct_effects(design, fitted.first)
    except EstimationError as cause:
        text = f"The sensitivity to a direct effect could not be computed: {str(cause).rstrip('.')}."
        return Check(name=name, assumption=EXCLUSION, verdict="information", text=text)
    text = _breakdown_said(fitted.first, found)
    verdict: Verdict = "information"
    if found.union is not None:
        covers = found.union.low <= 0 <= found.union.high
        text += (
            f" With direct effects of up to {number(design.direct_effect)} either way the intervals"
            f" together run from {number(found.union.low)} to {number(found.union.high)}."
        )
        verdict = "concern" if covers and not found.breakdowns[0].included else "information"
    return Check(
        name=name,
        assumption=EXCLUSION,
        verdict=verdict,
        text=f"{text} Made with 2SLS and Wald intervals (Conley, Hansen and Rossi 2012).",
        table=found.curve,
        picture="direct effect",
    )


def _breakdown_said(first: FirstStage, found: DirectEffects) -> str:
    """The nearest direct effect that takes zero into the interval."""
    if found.breakdowns[0].included:
        return "The interval includes zero even if the instrument has no direct effect on the outcome."
    nearest = [min((one.low, one.high), key=abs) for one in found.breakdowns]
    j = int(np.argmin(np.abs(nearest)))
    if not np.isfinite(nearest[j]):
        return "No direct effect of a single instrument would bring zero into the interval."
    total = float(first.reduced.equation(0).coefficients[j])
    share = f" ({abs(nearest[j] / total):.0%} of its whole association with it)" if total else ""
    which = "one unit of the instrument" if len(found.names) == 1 else f"one unit of '{found.names[j]}'"
    return (
        f"The interval would include zero if {which} changed the outcome by {number(nearest[j])} in"
        f" another way{share}."
    )


def instruments_agree(study: Study) -> Check:
    """Whether several instruments lead to the same effect (Sargan, Wooldridge, Hansen); never support."""
    name, design, fitted = "agreement of the instruments", study.design, study.result.kernel
    first = fitted.first
    if first.parts.k == 1:
        text = "With one instrument no data can test whether it acts only through the intervention."
        return Check(name=name, assumption=EXCLUSION, verdict="information", text=text)
    try:
        found = over_identification(
            first.parts, tsls(first.parts, first.kind), "hc0" if design.cluster is None else "cr0"
        )
    except EstimationError as cause:
        text = f"Agreement could not be tested: {str(cause).rstrip('.')}."
        return Check(name=name, assumption=EXCLUSION, verdict="information", text=text)
    tests = {"Sargan": found.sargan, "Basmann": found.basmann, "Wooldridge": found.score}
    tests["Hansen, centred"] = found.hansen_centred
    shown = found.sargan if design.variance == "unadjusted" else found.score
    differ = shown.p_value < 1 - design.level
    text = (
        f"The {first.parts.k} instruments lead to different effects beyond chance (p ="
        f" {number(shown.p_value, 2)}): at least one has another way to the outcome, or they move people"
        " whose effects differ."
        if differ
        else f"The {first.parts.k} instruments do not contradict one another (p ="
        f" {number(shown.p_value, 2)}). That is no evidence that they are valid: all may share the"
        " same other way."
    )
    rows = [
        {"test": label, "statistic": one.statistic, "df": one.df, "p_value": one.p_value}
        for label, one in tests.items()
    ]
    return Check(
        name=name,
        assumption=EXCLUSION,
        verdict="concern" if differ else "information",
        text=text,
        table=pd.DataFrame(rows),
    )
