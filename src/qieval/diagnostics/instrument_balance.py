"""Are people with different values of the instrument alike, in what was measured and in other outcomes?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.instrumented import fitted_first_stage
from qieval.instrumented.fit import FirstStage, sampling_of
from qieval.instrumented.intervals import point
from qieval.numerics.bias_ratio import BiasRatios, Contrast, Imbalance, bias_ratios, imbalance
from qieval.progress import progress
from qieval.result import Study
from qieval.text import listed, number, plural

BALANCE = "balance of what was measured by instrument"
INDEPENDENCE = "the instrument shares no causes with the outcome"
UNBALANCED: dict[Contrast, float] = {"arms": 0.1, "sd": 0.05, "median": 0.1}
"""Standardised differences of means beyond 0.1 count as imbalance, and correlations beyond half of that."""
NAME = "balance by instrument"


def balance_by_instrument(design: Any, first: FirstStage) -> Check:
    """Covariates by instrument and by who received it, and the bias that each would bring if left out."""
    made = first.made
    if not made.data.x_names:
        text = (
            "No covariate is named. If the instrument is as good as by lot, what was measured before is"
            " alike at all of its values: name characteristics under covariates to see."
        )
        return Check(name=NAME, assumption=BALANCE, verdict="information", text=text)
    contrast: Contrast = "arms" if made.one_binary and made.binary else "sd"
    try:
        sides = _imbalances(first, contrast)
        ratios = bias_ratios(made.x, first.kept, made.profile, None, sampling_of(made))
    except EstimationError as cause:
        text = f"Balance could not be compared: {str(cause).rstrip('.')}."
        return Check(name=NAME, assumption=BALANCE, verdict="information", text=text)
    table = _table(first, sides, ratios)
    verdict, text = _judged(table, ratios, UNBALANCED[contrast], design.level)
    return Check(
        name=NAME,
        assumption=BALANCE,
        verdict=verdict,
        text=f"{text} Balance of what was measured says nothing about what was not.",
        table=table,
        picture="bias ratio",
    )


def _imbalances(first: FirstStage, contrast: Contrast) -> tuple[Imbalance, Imbalance]:
    """By the instruments (more is more of the intervention) and by what was received."""
    made, weights = first.made, first.made.data.weights
    by = first.arm if made.one_binary else first.push
    return (
        imbalance(by, made.profile, weights, contrast),
        imbalance(made.x, made.profile, weights, contrast),
    )


def _table(first: FirstStage, sides: tuple[Imbalance, Imbalance], ratios: BiasRatios) -> pd.DataFrame:
    """A row for each covariate; biases in its standard deviations."""
    made = first.made
    spread = made.profile.std(axis=0)
    return pd.DataFrame(
        {
            "characteristic": made.data.x_names,
            "difference_by_instrument": sides[0].smd,
            "difference_by_treatment": sides[1].smd,
            "bias_by_instrument": ratios.by_instrument.value / spread,
            "bias_by_treatment": ratios.by_treatment.value / spread,
            "bias_ratio": ratios.ratio.value,
        }
    )


def _judged(table: pd.DataFrame, ratios: BiasRatios, rule: float, level: float) -> tuple[Verdict, str]:
    """Concern where a covariate differs by instrument, or would clearly bias it more than the comparison."""
    size = table["difference_by_instrument"].abs()
    unbalanced = table[size > rule]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(ratios.by_instrument.value / ratios.by_instrument.std_error)
    tail = 2 * scipy.special.ndtr(-z)
    larger = table["bias_ratio"].abs() > 1
    clear = table[larger & (tail < (1 - level) / len(table))]
    worst = table.iloc[int(np.argmax(size.fillna(0.0)))]
    text = (
        "The largest standardised difference by instrument is"
        f" {number(abs(worst['difference_by_instrument']), 2)} ({worst['characteristic']}; by who received"
        f" it {number(abs(worst['difference_by_treatment']), 2)})."
    )
    if len(clear):
        text += (
            f" Left out, {listed(clear['characteristic'], 3)} would bias the estimate by instrument more than"
            " the ordinary comparison (bias ratio beyond 1)."
        )
    elif larger.any():
        text += (
            f" The bias ratio is beyond 1 for {listed(table['characteristic'][larger], 3)}, within what"
            " chance gives."
        )
    else:
        text += " Left out, each would bias the estimate by instrument less than the ordinary comparison."
    worry = len(unbalanced) > 0 or len(clear) > 0
    return "concern" if worry else "information" if larger.any() else "supports", text


def negative_controls(study: Study) -> Check:
    """The same instruments and outcomes that the intervention cannot have changed."""
    design, fitted, name = study.design, study.result.kernel, "negative controls"
    if not design.negative_controls:
        text = (
            "No outcome is named that the intervention cannot have changed (negative_controls); an"
            " association of the instrument with one would show another way, or a shared cause."
        )
        return Check(name=name, assumption=INDEPENDENCE, verdict="information", text=text)
    held = fitted.made.data.controls
    rows = [
        _control(study, label, held[:, j]) for j, label in enumerate(progress(design.negative_controls, name))
    ]
    table = pd.DataFrame(rows)
    found = table.dropna(subset=["p_value"])
    moved = found[found["p_value"] < (1 - design.level) / max(len(found), 1)]
    if found.empty:
        text = "None could be analysed; the table says why."
    elif len(moved):
        text = (
            f"The instrument goes with {listed(moved['label'])}, which the intervention cannot have"
            " changed: there is another way from the instrument to outcomes, or a shared cause."
        )
    else:
        text = (
            f"Of {plural(len(found), 'outcome')} that the intervention cannot have changed none goes with the"
            " instrument beyond chance; how large an association could have been missed, the table says."
        )
    return Check(
        name=name,
        assumption=INDEPENDENCE,
        verdict="concern" if len(moved) else "information",
        text=text,
        table=table,
        picture=None if found.empty else "intervals",
    )


def _control(study: Study, label: str, y: np.ndarray) -> dict[str, Any]:
    """The estimate for another outcome, and the p-value of its reduced form."""
    row: dict[str, Any] = {"label": label}
    try:
        if np.ptp(y) == 0:
            raise EstimationError("it has the same value in all rows.")
        time = study.result.kernel.made.data.person_time
        # Counts like the outcome: per person-time, as it is.
        y = y if time is None else y / time
        first = fitted_first_stage(study.design, study.result.kernel.made, y)
        found = point(study.design, first, "2SLS")
    except EstimationError as cause:
        nothing = dict.fromkeys(("estimate", "conf_low", "conf_high", "p_value"), np.nan)
        return {**row, **nothing, "note": str(cause)}
    low, high = found.ends(study.design.level)
    p_value = first.reduced.equation(0).p_value
    figures = {"estimate": found.estimate, "conf_low": low, "conf_high": high, "p_value": p_value}
    return {**row, **figures, "note": ""}
