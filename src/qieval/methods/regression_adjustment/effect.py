"""From the models to the effect: means with and without the intervention, contrasts, subgroups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.adjusted import Adjusted, Estimated, estimated, fitted, how_to_adjust, many_estimated, sample_of
from qieval.adjusted.inference import Draws, groups_of
from qieval.cohort import Cohort
from qieval.methods.comparison.outcome import Effect, outcome_of
from qieval.methods.comparison.subgroups import FEWEST, WANTED, _masks, in_order, worst_differences
from qieval.methods.regression_adjustment.design import RegressionAdjustment
from qieval.numerics.adjustment import marginal_effect_at
from qieval.numerics.adjustment_families import LOG_LINK
from qieval.numerics.contrasts import Contrast, Precision, all_contrasts, difference, ratio
from qieval.numerics.means import covariance
from qieval.numerics.subgroups import Clustering, by_subgroup
from qieval.result import NO_FIGURES
from qieval.text import Count, Counted

FEW_CLUSTERS = 40
STACKED = "stacked equations (M-estimation)"
LABELS = {
    "g-computation": f"{STACKED}, allowing for the estimation of the regression",
    "weighting": f"{STACKED}, allowing for the estimation of the score",
    "doubly robust": f"{STACKED}, allowing for the estimation of both models",
    "cross-fitted doubly robust": "influence function, with the variation between splits",
    "TMLE": "influence function",
}
OTHERS = {
    "model": "as if the family of the outcome were true",
    "covariates fixed": "robust, about people with exactly these covariates",
    "models known": "robust, as if the models were known",
    "bootstrap": "bootstrap",
}


@dataclass(frozen=True, eq=False)
class Found:
    """The effect with the models behind it."""

    effect: Effect
    models: Adjusted


def found_effect(design: RegressionAdjustment, cohort: Cohort) -> Found:
    """Fit the models to the rows with a known outcome and compare the two means.

    EstimationError where an outcome does not fit its model, or a model has no solution.
    """
    outcome = outcome_of(design, cohort)
    how = how_to_adjust(design, cohort, outcome.kind)
    sample, rows = sample_of(cohort, outcome.y, outcome.time, how.spec.family, design)
    models = fitted(how, sample, rows, None if cohort.cluster is None else cohort.cluster[rows])
    found = estimated(models, _draws(design))
    if np.ptp(sample.y) == 0 and outcome.kind != "rate":
        # What is left of a constant is rounding, which would look like an effect.
        value = float(sample.y[0])
        still = replace(found.means, mean1=value, mean0=value, influence=found.means.influence * 0)
        found = Estimated(still, found.covariance * 0, found.failed)
    groups = groups_of(models)
    precision = Precision(df=groups - 1.0, level=design.level)
    contrasts = all_contrasts(found.means, found.covariance, outcome.kind, precision)
    if outcome.kind == "mean" and how.spec.family in LOG_LINK:
        contrasts = (*contrasts, ratio(found.means, found.covariance, precision, "mean ratio"))
    effect = Effect(
        means=found.means,
        covariance=found.covariance,
        precision=precision,
        outcome=outcome,
        label=_label(design),
        notes=_notes(design, models, found, len(cohort), groups),
        contrasts=contrasts,
    )
    return Found(effect, models)


def _draws(design: RegressionAdjustment) -> Draws:
    return Draws(int(design.draws), int(design.seed))


def _label(design: RegressionAdjustment) -> str:
    label = OTHERS.get(design.inference, LABELS[design.estimator])
    return label if design.cluster is None else f"{label}; allowing for '{design.cluster}'"


def _notes(
    design: RegressionAdjustment, models: Adjusted, found: Estimated, n: int, groups: int
) -> tuple[str, ...]:
    notes: list[str] = []
    if lost := n - len(models.rows):
        notes.append(Counted("{rows} rows were left out: unknown outcome.", rows=Count(lost)))
    if design.cluster is not None and groups < FEW_CLUSTERS:
        notes.append(
            f"interval: only {groups} groups of '{design.cluster}', so the interval is probably too narrow."
        )
    if found.failed:
        notes.append(f"bootstrap: {found.failed} of {design.draws} draws gave no estimate and are left out.")
    if models.splits and (bounded := float(np.mean([split.bounded for split in models.splits]))) > 0:
        notes.append(f"score: {bounded:.1%} of the learned scores were moved to 0.01 or 0.99.")
    if design.estimator == "TMLE" and design.subgroups:
        notes.append("subgroups: their effects are doubly robust ones (AIPW), without targeting.")
    return tuple(notes)


def effects_at(design: RegressionAdjustment, cohort: Cohort, found: Found) -> pd.DataFrame:
    """Rows of estimates at the values that `effect_at` names, the other covariates at their means."""
    fit, precision = found.models.fit, found.effect.precision
    rows: list[dict[str, Any]] = []
    for name, values in design.positions().items():
        assert fit is not None
        at = _at(cohort, fit.sample.x, name, values)
        made = marginal_effect_at(fit, at)
        for place, value in enumerate(values):
            matrix = (
                made.model[place]
                if design.inference == "model"
                else covariance(made.means[place], found.models.cluster, adjust=True)
            )
            item = difference(made.means[place], matrix, precision)
            rows.append(estimate_row(item, f"difference at {name}", value))
    return pd.DataFrame(rows)


def _at(cohort: Cohort, x: np.ndarray, name: str, values: tuple[float, ...]) -> np.ndarray:
    """Covariates at their means, one of them (with its square and products) at the values (m, k)."""
    means = dict(zip(cohort.x_names, x.mean(axis=0), strict=True))
    at = np.tile(x.mean(axis=0), (len(values), 1))
    held = np.array(values)
    for column, made in enumerate(cohort.x_names):
        if made == name:
            at[:, column] = held
        elif made == f"{name}²":
            at[:, column] = held**2
        elif " × " in made and name in (parts := made.split(" × ")):
            other = parts[1] if parts[0] == name else parts[0]
            at[:, column] = held * means.get(other, 0.0)
    return at


def estimate_row(item: Contrast, term: str, at: float) -> dict[str, Any]:
    """A contrast as a row of estimates."""
    return {
        "term": term,
        "at": at,
        "estimate": item.estimate,
        "std_error": item.std_error,
        "conf_low": item.low,
        "conf_high": item.high,
        "p_value": item.p_value,
    }


def subgroup_effects(design: RegressionAdjustment, cohort: Cohort, found: Found) -> pd.DataFrame | None:
    """One row per level of each subgroup: label, estimate, interval, largest difference inside, p of
    equality; None where the design names no subgroups.

    The models are those of everybody; their predictions are averaged within the level.
    """
    if not design.subgroups:
        return None
    tables = [_levels(design, cohort, found, name) for name in design.subgroups]
    return pd.concat(tables, ignore_index=True)


def _levels(design: RegressionAdjustment, cohort: Cohort, found: Found, name: str) -> pd.DataFrame:
    models, rows, labels, inside = found.models, [], [], []
    treated, few = models.sample.treated, False
    for level, mask in _masks(cohort.rows[name]):
        some = mask[models.rows]
        if min((some & treated).sum(), (some & ~treated).sum()) < FEWEST:
            few |= bool(some.any())
            continue
        labels.append(f"{name}: {level}")
        inside.append(some)
    effects = many_estimated(models, inside, _draws(design)) if inside else ()
    for label, some, one in zip(labels, inside, effects, strict=True):
        rows.append(_level(design, cohort, found, label, some, one))
    if few:
        rows.append({"label": f"{name}: other levels", **NO_FIGURES, "note": "too few people to compare"})
    return pd.DataFrame(rows).assign(p_equal=_equality(design, found, effects))


def _level(
    design: RegressionAdjustment,
    cohort: Cohort,
    found: Found,
    label: str,
    some: np.ndarray,
    one: Estimated,
) -> dict[str, Any]:
    effect = found.effect
    item = in_order(design, all_contrasts(one.means, one.covariance, effect.outcome.kind, effect.precision))[
        0
    ]
    weights = np.zeros(len(cohort))
    weights[found.models.rows] = some
    return {
        "label": label,
        "estimate": item.estimate,
        "conf_low": item.low,
        "conf_high": item.high,
        "p_value": item.p_value,
        "note": item.reason,
        "largest_difference": worst_differences(design, cohort, (weights,))[0][0],
    }


def _equality(design: RegressionAdjustment, found: Found, effects: tuple[Estimated, ...]) -> float:
    """The p-value that all levels have the same effect; NaN with fewer than two, and for intervals without
    influence functions."""
    if len(effects) < 2 or design.inference in ("bootstrap", "model"):
        return float("nan")
    clustering = Clustering(cluster=found.models.cluster, adjust=True)
    measure: Any = WANTED[design.effect]
    made = by_subgroup([one.means for one in effects], measure, clustering, found.effect.precision)
    if made.test is None:
        return float("nan")
    return float(made.test.p_hotelling if np.isfinite(made.test.p_hotelling) else made.test.p_chi2)
