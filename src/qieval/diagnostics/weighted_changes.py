"""Checks of synthetic difference-in-differences: parallel before the start, special cases, equal noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics.synthetic_did import Study as Waves
from qieval.numerics.synthetic_did import fit_study
from qieval.numerics.synthetic_did_weights import AS_R, EXACT, Kind
from qieval.result import Study
from qieval.synthetic import Problem, Synthetic
from qieval.text import number, plural

PARALLEL, NOISE = (
    "the weighted donors moved in parallel before the start",
    "the treated are as variable as the donors",
)
DRIFT = 2.0
"""A gap whose slope before the start is this many standard errors from none is a drift."""
NOISIER = 1.5
"""Treated units this many times more variable than the donors make placebo intervals too narrow."""
KINDS: dict[str, Kind] = {
    "synthetic difference-in-differences": "sdid",
    "synthetic control (unit weights alone)": "sc",
    "difference-in-differences (no weights)": "did",
}


def parallel_before(design: Any, made: Synthetic) -> Check:
    """Do the treated and the weighted donors keep their distance before the start?"""
    rows = []
    for problem, fit in zip(made.problems, made.fits, strict=True):
        gap = fit.gaps[problem.fitted]
        plain = problem.target[problem.fitted] - problem.donors[problem.fitted].mean(axis=1)
        slope, error = _slope(gap)
        rows.append(
            {
                "label": problem.label,
                "spread_of_the_gap": float(gap.std()),
                "spread_without_weights": float(plain.std()),
                "drift_per_period": slope,
                "drift_in_standard_errors": slope / error if error > 0 else np.nan,
            }
        )
    table = pd.DataFrame(rows)
    first = table.iloc[0]
    drifts = table["drift_in_standard_errors"].abs() > DRIFT
    text = (
        f"Before the start the distance between the treated and the weighted donors varies by"
        f" {number(float(first['spread_of_the_gap']))} (without weights"
        f" {number(float(first['spread_without_weights']))})"
    )
    text += (
        f" and drifts by {number(float(first['drift_per_period']))} a period, more than chance would explain."
        if drifts.iloc[0]
        else "; no drift is seen."
    )
    if len(table) > 1:
        text += f" That is the first of {len(table)} waves; there is a drift in {int(drifts.sum())} of them."
    return Check(
        name="parallel before the start",
        assumption=PARALLEL,
        verdict="concern" if drifts.any() else "supports",
        text=text,
        table=table,
    )


def _slope(gap: np.ndarray) -> tuple[float, float]:
    """Least-squares slope of a gap on time, with its standard error."""
    at = np.arange(len(gap)) - (len(gap) - 1) / 2
    if len(gap) < 3:
        return 0.0, 0.0
    slope = float(at @ gap / (at @ at))
    left = gap - gap.mean() - slope * at
    return slope, float(np.sqrt(left @ left / (len(gap) - 2) / (at @ at)))


def special_cases(study: Study) -> Check:
    """The same data without time weights (synthetic control) and without any weights (difference-in-
    differences)."""
    made: Synthetic = study.result.kernel
    optimiser = AS_R if study.design.optimiser == "as R synthdid" else EXACT
    found = {
        label: float(
            made.weight
            @ [
                fit_study(replace(_waves(held), kind=kind, optimiser=optimiser)).estimate
                for held in made.problems
            ]
        )
        for label, kind in KINDS.items()
    }
    table = pd.DataFrame({"label": list(found), "estimate": list(found.values())})
    values = table["estimate"]
    turned = bool(values.min() < 0 < values.max())
    text = (
        f"Without time weights the estimate is {number(values[1])} (synthetic control), without any weights"
        f" {number(values[2])} (difference-in-differences); with both it is {number(values[0])}."
    )
    if turned:
        text += " They differ in direction."
    return Check(
        name="special cases side by side",
        assumption="the result does not hang on how donors are weighted",
        verdict="concern" if turned else "information",
        text=text,
        table=table,
        picture="dots",
    )


def _waves(problem: Problem) -> Waves:
    columns = np.r_[problem.begin : problem.stop, problem.start : len(problem.target)]
    outcomes = np.column_stack([problem.donors, *([problem.target] * problem.units)])[columns].T
    first = np.full(len(outcomes), outcomes.shape[1])
    first[len(problem.names) :] = problem.stop - problem.begin
    return Waves(np.ascontiguousarray(outcomes), first)


def equal_noise(design: Any, made: Synthetic) -> Check:
    """Do the treated vary from period to period as the donors do? Placebos assume it."""
    pool = made.pool
    steps = np.diff(pool.y[:, pool.begin : pool.stop], axis=1)
    if steps.shape[1] < 2:
        text = "There are too few periods before the start to compare how variable the units are."
        return Check(name="noise of treated and donors", assumption=NOISE, verdict="information", text=text)
    treated, donors = float(steps[pool.treated].std()), float(steps[~pool.treated].std())
    noisy = treated > NOISIER * donors
    text = (
        f"From period to period the treated change by {number(treated)} (standard deviation), the donors by"
        f" {number(donors)}."
    )
    text += (
        " Placebo intervals are too narrow then; use the bootstrap if there are several treated units."
        if noisy
        else ""
    )
    return Check(
        name="noise of treated and donors",
        assumption=NOISE,
        verdict="concern" if noisy else "supports",
        text=text,
    )


def periods_with_weight(study: Study) -> Check:
    """Which periods before the start the comparison rests on."""
    made: Synthetic = study.result.kernel
    problem, fit = made.only
    weights = np.asarray(fit.more["time weights"])
    labels = made.pool.labels[problem.begin : problem.stop]
    table = pd.DataFrame({"period": labels, "weight": weights})
    table = table[table["weight"] > 1e-6].reset_index(drop=True)
    effective = float(1 / (weights**2).sum())
    text = (
        f"{plural(len(table), 'period')} of {len(weights)} before the start have weight; they amount to"
        f" {number(effective, 2)} equally weighted periods."
    )
    alone = effective < 1.5 and len(weights) > 3
    if alone:
        text += " The comparison rests on about one period, so an oddity of it becomes part of the effect."
    return Check(
        name="periods with weight",
        assumption="enough periods before the start",
        verdict="concern" if alone else "information",
        text=text,
        table=table,
    )
