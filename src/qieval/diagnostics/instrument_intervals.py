"""Is the interval right for an instrument of this strength, and do estimators agree?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.instrumented import Fitted, fitted_first_stage, set_in_words
from qieval.instrumented.intervals import AR, ESTIMATORS, LEAST_SQUARES, WALD, Point, point
from qieval.instrumented.tables import interval_table
from qieval.numerics.instruments_validity import endogeneity
from qieval.result import Study
from qieval.text import number

INTERVAL = "the interval is right for an instrument of this strength"
FORM = "no single choice decides the result"
CLOSE = 0.5
"""Estimates within so many standard errors of one another count as alike."""
FEW_FOR_INTERVALS = 10
"""With fewer clusters no interval of this kind is to be relied on."""


def intervals_side_by_side(study: Study) -> Check:
    """The usual interval beside those that are right however weak the instrument."""
    name, fitted = "intervals side by side", study.result.kernel
    if fitted.inclusion is not None:
        text = (
            "Residual inclusion has the usual interval only, which is wrong with weak instruments; the linear"
            " estimators (estimator='2SLS') come with Anderson-Rubin."
        )
        verdict: Verdict = "concern" if fitted.first.weak else "information"
        return Check(name=name, assumption=INTERVAL, verdict=verdict, text=text)
    ways = {way.kind: way for way in fitted.ways}
    said = {kind: 0.0 in way.held for kind, way in ways.items()}
    verdict, text = _judged(fitted, said[WALD] == said[AR])
    text = f"Wald: {set_in_words(ways[WALD].held)}. Anderson-Rubin: {set_in_words(ways[AR].held)}. {text}"
    return Check(
        name=name,
        assumption=INTERVAL,
        verdict=verdict,
        text=text,
        table=interval_table(fitted),
        picture="instrument intervals",
    )


def _judged(fitted: Fitted, agree: bool) -> tuple[Verdict, str]:
    weak, way = fitted.first.weak, fitted.way
    if way.held.shape == "empty":
        if fitted.first.parts.k == 1:
            return (
                "concern",
                "No effect agrees with the data: the variance is degenerate, as with few clusters.",
            )
        return "concern", "An empty set says that the instruments contradict one another."
    if not way.held.bounded:
        return "concern", "The set is unbounded: the instrument is too weak to say how large the effect is."
    if not agree:
        return (
            "concern",
            "They disagree about whether an effect of zero is excluded: go by Anderson-Rubin, which is"
            " right however weak the instrument.",
        )
    if weak and way.kind == WALD:
        return "concern", "The instrument is weak and the headline has the Wald interval: use Anderson-Rubin."
    if weak:
        return (
            "information",
            f"The instrument is weak, for which the {way.kind} interval of the headline allows.",
        )
    few = 0 < fitted.made.data.n_clusters < FEW_FOR_INTERVALS
    if few:
        return "information", "They agree about whether an effect of zero is excluded; clusters are few."
    return "supports", "They agree about whether an effect of zero is excluded, and the instrument is strong."


def estimators_side_by_side(study: Study) -> Check:
    """The effect by other estimators, without covariates, and by the ordinary comparison."""
    design, fitted = study.design, study.result.kernel
    rows = [_row(design, f"{design.estimator}, as designed", Point(fitted.estimate, fitted.std_error))]
    just = fitted.first.parts.k == 1
    others = [one for one in ESTIMATORS if one != design.estimator and not (just and one in ("LIML", "GMM"))]
    rows += [_by(design, fitted, one) for one in others]
    if design.covariates:
        rows.append(_without_covariates(study))
    rows.append(_by(design, fitted, LEAST_SQUARES))
    table = pd.DataFrame(rows)
    instrumented = table.iloc[:-1].dropna(subset=["estimate"])
    far = np.abs(instrumented["estimate"] - fitted.estimate) / fitted.std_error
    signs = np.sign(instrumented["estimate"]).nunique()
    verdict: Verdict = "concern" if far.max() > 2 else "supports" if far.max() <= CLOSE else "information"
    if signs > 1 and far.max() > 1:
        verdict = "concern"
    ends = number(float(instrumented["estimate"].min())), number(float(instrumented["estimate"].max()))
    text = (
        f"Estimates by instruments run from {ends[0]} to {ends[1]}, at most {number(float(far.max()), 2)}"
        f" standard errors from the one shown; the ordinary comparison gives"
        f" {number(float(table['estimate'].iloc[-1]))}."
    )
    return Check(
        name="estimators side by side",
        assumption=FORM,
        verdict=verdict,
        text=text,
        table=table,
        picture="intervals",
    )


def _row(design: Any, label: str, found: Point) -> dict[str, Any]:
    low, high = found.ends(design.level)
    return {
        "label": label,
        "estimate": found.estimate,
        "conf_low": low,
        "conf_high": high,
        "p_value": found.p_value,
        "note": "",
    }


def _failed(label: str, cause: EstimationError) -> dict[str, Any]:
    nothing = dict.fromkeys(("estimate", "conf_low", "conf_high", "p_value"), np.nan)
    return {"label": label, **nothing, "note": str(cause)}


def _by(design: Any, fitted: Fitted, estimator: str) -> dict[str, Any]:
    try:
        return _row(design, estimator, point(design, fitted.first, estimator))
    except EstimationError as cause:
        return _failed(estimator, cause)


def _without_covariates(study: Study) -> dict[str, Any]:
    label = "2SLS without covariates"
    design, made = study.design, study.result.kernel.made
    bare = replace(made, data=replace(made.data, x=made.data.x[:, :0], x_names=()))
    try:
        first = fitted_first_stage(design, bare)
        return _row(design, label, point(design, first, "2SLS"))
    except EstimationError as cause:
        return _failed(label, cause)


def ordinary_comparison(study: Study) -> Check:
    """Whether the estimate differs from the ordinary comparison beyond chance (a test of endogeneity)."""
    design, fitted = study.design, study.result.kernel
    name = "difference from the ordinary comparison"
    found = endogeneity(fitted.first.parts, fitted.first.kind)
    test = found.wu_hausman if design.variance == "unadjusted" else found.regression
    plain = point(design, fitted.first, LEAST_SQUARES)
    if not np.isfinite(test.p_value):
        text = "Whether the estimate differs from the ordinary comparison could not be tested."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    differs = test.p_value < 1 - design.level
    text = (
        f"The ordinary comparison gives {number(plain.estimate)}, the instrument {number(fitted.estimate)}"
        f" (test that both estimate the same: p = {number(test.p_value, 2)}). "
    )
    text += (
        "If the instrument is valid, people who received it differ from the others in what was not measured."
        if differs
        else "No difference was found; that does not show that the ordinary comparison is free of bias,"
        " since such tests find little when the instrument is imprecise."
    )
    return Check(name=name, assumption=FORM, verdict="information", text=text)
