"""The ways of allowing for autocorrelation side by side, and the delta method beside simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.series_residuals import box
from qieval.diagnostics.series_rows import (
    AS_DESIGNED,
    COUNTS,
    ERRORS,
    PROPORTIONS,
    Changes,
    fitted,
    no_effect,
    term_of,
    verdicts,
)
from qieval.errors import QievalError
from qieval.numerics.residual_tests import acf
from qieval.numerics.series_regression_effects import contrast_draws
from qieval.progress import progress
from qieval.result import NO_FIGURES, Result, Study, figures, overall
from qieval.text import listed, number

FIRST_TERMS = ("level change", "temporary change", "fading change", "slope change")
DRAWS = 4000
FAR = 0.1
"""Simulated limits that differ by more than a tenth of the interval's width are worth a remark."""


def ways_of_allowing(study: Study) -> Check:
    """Level and slope with each way of allowing for autocorrelation and over-dispersion.

    A smaller standard error is not a better one: where residuals are negatively correlated, Newey-West errors
    fall below those of independent errors, and in short series they are too small anyhow.
    """
    name = "ways of allowing for autocorrelation"
    term = next((each for each in FIRST_TERMS if term_of(study.result, each) is not None), "")
    rows = [_figures(study.result, AS_DESIGNED, term)]
    for label, changes in progress(_ways(study).items(), name):
        rows.append(_tried(study, label, changes, term))
    table = pd.DataFrame(rows)
    found = table.dropna(subset=["estimate"])
    levels = _conclusions(found, "")
    slopes = _conclusions(found.dropna(subset=["slope"]), "slope_") if "slope" in found else {}
    agree = len(levels) <= 1 and len(slopes) <= 1
    text = f"{_agreement(str(found['term'].iloc[0]), levels)} {_spread(found)}"
    if slopes:
        text += f" {_agreement('slope change', slopes)}"
    text += f" {_recommendation(study)} A smaller standard error is not a better one."
    return Check(
        name=name,
        assumption=ERRORS,
        verdict="information" if agree else "concern",
        text=text,
        table=table,
        picture="intervals",
    )


def _ways(study: Study) -> dict[str, Changes]:
    """The changes of the design behind each way, by its name."""
    family = fitted(study).family
    plain: dict[str, Any] = {"model": "segmented regression"}
    if study.design.change == "any":
        plain["change"] = "level and slope"
    newey_west = {**plain, "inference": "Newey-West"}
    season = {"Newey-West (one season)": {**newey_west, "lag_rule": "one season"}}
    lagged: dict[str, Changes] = {
        "Newey-West (automatic)": {**newey_west, "lag_rule": "automatic (Andrews)"},
        "Newey-West (0.75 n^(1/3) lags)": {**newey_west, "lag_rule": "0.75 n^(1/3)"},
        **(season if study.panel.season else {}),
    }
    alone = {**plain, "inference": "independent errors"}
    if family in COUNTS:
        logged = {**plain, "family": "gaussian", "scale": "logarithm"}
        return {
            **{each: {**alone, "family": each} for each in COUNTS},
            **{label: {"family": "quasi-poisson", **changes} for label, changes in lagged.items()},
            "logarithm with AR errors": {**logged, "inference": "AR errors by REML"},
        }
    if family in PROPORTIONS:
        return {
            **{each: {**alone, "family": each} for each in PROPORTIONS},
            **{label: {"family": "quasi-binomial", **changes} for label, changes in lagged.items()},
        }
    modelled = ("Prais-Winsten", "AR errors by ML", "AR errors by REML")
    return {
        "independent errors": alone,
        **lagged,
        **{each: {**plain, "inference": each} for each in modelled},
    }


def _tried(study: Study, label: str, changes: Changes, term: str) -> dict[str, Any]:
    try:
        result = study.refit(replace(study.design, **changes), study.frame)
    except QievalError as cause:
        return {"label": label, "term": _main(study.result, term)["term"], **NO_FIGURES, "note": str(cause)}
    return _figures(result, label, term)


def _main(result: Result, term: str) -> pd.Series[Any]:
    """The row of a change by its name; the overall effect where the model has none."""
    row = term_of(result, term)
    return overall(result) if row is None else row


def _figures(result: Result, label: str, term: str) -> dict[str, Any]:
    """The row of a way; the slope only beside a change of level."""
    row, kernel = _main(result, term), result.kernel
    found = {"label": label, "term": row["term"], "std_error": row["std_error"], **figures(row)}
    slope = term_of(result, "slope change") if term == "level change" else None
    if slope is not None:
        found |= {
            "slope": slope["estimate"],
            "slope_term": slope["term"],
            "slope_std_error": slope["std_error"],
            "slope_conf_low": slope["conf_low"],
            "slope_conf_high": slope["conf_high"],
        }
    try:
        test = box(kernel)
        left = {
            "autocorrelation_lag_1": float(acf(kernel.innovations, kernel.at, 1)[0]),
            "ljung_box_p": test.p_value,
        }
    except ValueError as cause:
        return {**found, "autocorrelation_lag_1": np.nan, "ljung_box_p": np.nan, "note": str(cause)}
    return {**found, **left, "note": ""}


def _conclusions(found: pd.DataFrame, prefix: str) -> dict[int, list[str]]:
    """The ways by what they conclude about a term: -1 lower, 0 not told from no effect, 1 higher."""
    if found.empty:
        return {}
    held = pd.DataFrame(
        {
            "term": found[f"{prefix}term"],
            "conf_low": found[f"{prefix}conf_low"],
            "conf_high": found[f"{prefix}conf_high"],
        }
    )
    grouped: dict[int, list[str]] = {}
    for label, verdict in zip(found["label"], verdicts(held), strict=True):
        grouped.setdefault(int(verdict), []).append(str(label))
    return grouped


def _agreement(term: str, conclusions: Mapping[int, list[str]]) -> str:
    """Whether the ways agree about a term, in a sentence."""
    words = {-1: "a decrease", 0: "no change that can be told from none", 1: "an increase"}
    if len(conclusions) == 1:
        ((verdict, labels),) = conclusions.items()
        return f"They agree: all {len(labels)} ways find {words[verdict]} ({term})."
    said = (f"{words[verdict]} by {listed(labels, 4)}" for verdict, labels in sorted(conclusions.items()))
    return f"They do not agree ({term}): {'; '.join(said)}."


def _spread(found: pd.DataFrame) -> str:
    """The smallest and the largest standard error, and a warning where the smallest comes from Newey-West."""
    others = found.iloc[1:] if len(found) > 1 else found
    size = others["std_error"].to_numpy(dtype=float)
    small, large = others.iloc[int(np.nanargmin(size))], others.iloc[int(np.nanargmax(size))]
    text = (
        f"Standard errors run from {number(float(small['std_error']), 2)} ({small['label']}) to"
        f" {number(float(large['std_error']), 2)} ({large['label']})."
    )
    if str(small["label"]).startswith("Newey-West") and small["autocorrelation_lag_1"] < 0.1:
        text += (
            " Residuals of neighbours are hardly or negatively correlated, which makes Newey-West errors"
            " small; in a short series that is not to be relied on."
        )
    return text


def _recommendation(study: Study) -> str:
    kernel = fitted(study)
    if study.design.inference != "recommended":
        return f"Used as designed: {kernel.errors}."
    return " ".join([f"Recommended and used: {kernel.errors}.", *kernel.reasons])


def delta_and_simulation(study: Study) -> Check:
    """The interval of the cumulative effect by the delta method beside that of simulated coefficients."""
    kernel, name = fitted(study), "delta method against simulation"
    contrast: Any = kernel.more.get("contrast")
    if contrast is None or kernel.link == "identity":
        text = "Effects are sums of coefficients (or of a forecast) here, so nothing is approximated."
        return Check(name=name, assumption=ERRORS, verdict="information", text=text)
    random = np.random.default_rng(study.design.seed)
    drawn = contrast_draws(kernel.coefficients, kernel.covariance, contrast, DRAWS, random).difference
    tail = (1 - study.design.level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    row = _cumulative(study.result)
    if row is None:
        text = "This model states no cumulative effect, so there is none to simulate."
        return Check(name=name, assumption=ERRORS, verdict="information", text=text)
    width = float(row["conf_high"] - row["conf_low"])
    apart = max(abs(low - row["conf_low"]), abs(high - row["conf_high"])) / width if width > 0 else np.nan
    text = (
        f"The interval of the cumulative effect is {number(float(row['conf_low']))} to"
        f" {number(float(row['conf_high']))} by the delta method and {number(low)} to {number(high)} in"
        f" {DRAWS:,} simulated sets of coefficients"
    )
    text += (
        ": they differ by more than a tenth of its width, so read the simulated one."
        if apart > FAR
        else ", which is about the same."
    )
    table = pd.DataFrame(
        {
            "label": ["delta method", "simulation"],
            "term": row["term"],
            "estimate": [float(row["estimate"]), float(np.median(drawn))],
            "conf_low": [float(row["conf_low"]), low],
            "conf_high": [float(row["conf_high"]), high],
        }
    )
    return Check(
        name=name, assumption=ERRORS, verdict="information", text=text, table=table, picture="intervals"
    )


def _cumulative(result: Result) -> pd.Series[Any] | None:
    found = term_of(result, "cumulative effect")
    return found if found is not None and no_effect(found["term"]) == 0.0 else None
