"""Does the outcome regression have the right form: shape, calibration, range, dispersion?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.adjusted import Adjusted
from qieval.adjusted.fit import own_order
from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.numerics.adjustment_checks import (
    Calibration,
    calibration,
    impossible_predictions,
    overdispersion,
    shape_test,
)
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import fit_outcome
from qieval.result import Study
from qieval.text import number

FORM = "the outcome model has the right form"
GROUPS = ("treated", "comparison")
FOLDS = 5
TENTHS = 10
FEWEST = 10
"""Means of fewer people than this are not shown."""

FEW_TO_TEST = 100
"""In smaller groups a test of the form finds little."""

MISCALIBRATED = 0.2
SOME_IMPOSSIBLE = 0.01


def shape(study: Study) -> Check:
    """A score test, in each group, that powers of the prediction add nothing to the regression."""
    name, held = "shape of the regression", _models(study)
    if held.fit is None:
        return _without_regression(name, held)
    rows: list[dict[str, Any]] = []
    for group, treated in zip(GROUPS, (True, False), strict=True):
        test = shape_test(held.fit, treated, held.cluster)
        if test is not None:
            rows.append(
                {"group": group, "statistic": test.statistic, "degrees": test.rank, "p_value": test.p_chi2}
            )
    if not rows:
        text = "The covariates are too few or too simple for the form of the regression to be tested."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    table = pd.DataFrame(rows)
    p_values = table["p_value"].to_numpy(dtype=float)
    least, worst = float(p_values.min()), rows[int(p_values.argmin())]["group"]
    bad = least * len(table) < 1 - study.design.level
    small = min(held.sample.arms[0].size, held.sample.arms[1].size) < FEW_TO_TEST
    said = ", ".join(f"{row['group']} p = {number(row['p_value'], 2)}" for row in rows)
    text = f"Do powers of the prediction add anything (Ramsey's RESET as a robust score test)? {said}."
    text += (
        f" In the {worst} group they do: add squares or products, or another outcome_model."
        if bad
        else " No sign of it, but the groups are small for such a test."
        if small
        else " No sign of it. A form that is wrong in other ways is not found by this."
    )
    verdict: Verdict = "concern" if bad else "information" if small else "supports"
    return Check(name=name, assumption=FORM, verdict=verdict, text=text, table=table)


def calibrated(study: Study) -> Check:
    """Observed outcomes by predicted ones, predicted without the person's own part of the data."""
    name, held = "calibration by group", _models(study)
    if held.fit is None and not held.splits:
        return _without_regression(name, held)
    try:
        predicted = _held_out(study, held)
        slopes = [_slope(held, predicted, arm) for arm in held.sample.arms]
    except (EstimationError, ValueError) as cause:
        text = f"Predictions for people left out could not be made or compared: {str(cause).rstrip('.')}."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    table = _tenths(held, predicted)
    said = " and ".join(
        f"{number(slope.slope, 2)} in the {group} group (expected {number(slope.expected)}, observed"
        f" {number(slope.observed)})"
        for group, slope in zip(GROUPS, slopes, strict=True)
    )
    off = [_off(slope) for slope in slopes]
    text = f"Predicted for people whom the regression had not seen, the calibration slope is {said}."
    text += (
        " Predictions that are too extreme or too flat (a slope far from 1) say that the form is wrong or the"
        " model too large."
        if any(off)
        else " A slope of 1 is right."
    )
    verdict: Verdict = "concern" if any(off) else "supports" if all(map(_precise, slopes)) else "information"
    return Check(
        name=name,
        assumption=FORM,
        verdict=verdict,
        text=text,
        table=table if len(table) else None,
        picture="calibration" if len(table) else None,
    )


def _off(slope: Calibration) -> bool:
    away = abs(slope.slope - 1)
    return away > MISCALIBRATED and away > 1.96 * slope.std_error


def _precise(slope: Calibration) -> bool:
    return abs(slope.slope - 1) + 1.96 * slope.std_error <= 2 * MISCALIBRATED


def _held_out(study: Study, held: Adjusted) -> np.ndarray:
    """Expected outcomes (m,) of the observed group, from a regression without the row's fold."""
    sample = held.sample
    if held.splits:
        rates = held.splits[0].rates
    else:
        order = own_order(sample, held.cluster, study.design.seed)
        fold, rates = _folds(held, order), np.empty((sample.y.size, 2))
        for one in range(FOLDS):
            out = fold == one
            fit = fit_outcome(_without(sample, out), held.how.spec)
            rates[out] = fit.rates[out]
    return np.asarray(np.where(sample.treated, rates[:, 0], rates[:, 1]) * sample.time)


def _folds(held: Adjusted, order: np.ndarray) -> np.ndarray:
    """A fold for each row (m,), whole clusters together, independent of the order of rows."""
    if held.cluster is not None:
        _, code = np.unique(held.cluster, return_inverse=True)
        return np.asarray(code % FOLDS)
    fold = np.empty(order.size, dtype=int)
    for arm in (held.sample.treated, ~held.sample.treated):
        rows = order[arm[order]]
        fold[rows] = np.arange(rows.size) % FOLDS
    return fold


def _without(sample: Sample, out: np.ndarray) -> Sample:
    return Sample(
        y=sample.y,
        treated=sample.treated,
        x=sample.x,
        weights=(~out).astype(float),
        exposure=sample.exposure,
    )


def _slope(held: Adjusted, predicted: np.ndarray, arm: np.ndarray) -> Calibration:
    groups = None if held.cluster is None else held.cluster[arm]
    family = held.how.spec.family
    if held.splits and family == "binomial":
        predicted = np.clip(predicted, 1e-6, 1 - 1e-6)
    return calibration(held.sample.y[arm], predicted[arm], family, None, groups)


def _tenths(held: Adjusted, predicted: np.ndarray) -> pd.DataFrame:
    """Mean predicted and observed outcome by tenth of the predictions in each group of ten people or more."""
    parts = []
    for group, arm in zip(GROUPS, held.sample.arms, strict=True):
        many = min(TENTHS, arm.size // FEWEST)
        if many < 2:
            continue
        order = np.argsort(predicted[arm], kind="stable")
        tenth = np.empty(arm.size, dtype=int)
        tenth[order] = np.arange(arm.size) * many // arm.size
        rate, expected = held.sample.y[arm] / held.sample.time[arm], predicted[arm] / held.sample.time[arm]
        frame = pd.DataFrame({"part": tenth + 1, "predicted": expected, "observed": rate})
        grouped = frame.groupby("part")
        made = grouped.mean()
        half: Any = 1.96 * grouped["observed"].std() / np.sqrt(grouped.size())
        made = made.assign(group=group, conf_low=made["observed"] - half, conf_high=made["observed"] + half)
        parts.append(made.reset_index())
    if not parts:
        return pd.DataFrame()
    order_of = ["group", "part", "predicted", "observed", "conf_low", "conf_high"]
    return pd.concat(parts, ignore_index=True)[order_of]


def possible(study: Study) -> Check:
    """Whether predictions stay within what the outcome can be."""
    name, held = "predictions that cannot be", _models(study)
    if held.fit is None:
        return _without_regression(name, held)
    y, family = held.sample.y, held.how.spec.family
    if family != "gaussian":
        text = f"A {study.facts.get('outcome model', family)} cannot predict impossible values."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    yes_no = bool(np.isin(y, (0.0, 1.0)).all())
    if not yes_no and y.min() < 0:
        text = "The outcome has no lower end that a linear regression could cross."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    found = impossible_predictions(held.fit, 0.0, 1.0 if yes_no else np.inf)
    share = max(found.treated, found.untreated)
    where = "outside 0 to 1" if yes_no else "below zero"
    text = (
        f"The linear regression predicts values {where} for {found.treated:.1%} of people with the"
        f" intervention and {found.untreated:.1%} without."
    )
    if share > SOME_IMPOSSIBLE:
        text += f" Set outcome_model='{'binomial' if yes_no else 'gamma'}', which cannot."
    verdict: Verdict = "concern" if share > SOME_IMPOSSIBLE else "information" if share else "supports"
    return Check(name=name, assumption=FORM, verdict=verdict, text=text)


def dispersed(study: Study) -> Check:
    """Whether counts vary more than the regression says."""
    name, held = "dispersion", _models(study)
    if held.fit is None or held.how.spec.family not in ("poisson", "negative binomial", "gamma"):
        text = "Not a regression of counts, so there is no dispersion to compare."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    found = overdispersion(held.fit)
    text = f"Outcomes vary {number(found.pearson)} times as much as a {held.how.spec.family} regression says"
    text += (
        " (Pearson). "
        if not np.isfinite(found.p_value)
        else f" (Pearson; test p = {number(found.p_value, 2)}). "
    )
    if study.design.inference == "model":
        text += "The standard error takes the family at its word; set inference='automatic'."
        wrong = abs(np.log(max(found.pearson, 1e-12))) > np.log(1.5)
        return Check(name=name, assumption=FORM, verdict="concern" if wrong else "information", text=text)
    text += "The standard error does not rely on it; a negative binomial regression may be more precise."
    return Check(name=name, assumption=FORM, verdict="information", text=text)


def _models(study: Study) -> Adjusted:
    held: Adjusted = study.compared.found.estimated
    return held


def _without_regression(name: str, held: Adjusted) -> Check:
    text = (
        "The outcome is learned, not a regression of a stated form; see the calibration."
        if held.splits
        else "The estimate uses no regression of the outcome."
    )
    return Check(name=name, assumption=FORM, verdict="information" if held.splits else "supports", text=text)
