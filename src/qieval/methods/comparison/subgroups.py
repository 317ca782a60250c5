"""Effects in subgroups, with the balance inside each of them and a test that they are all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort import Cohort
from qieval.compared import Assignment
from qieval.covariate_balance.compared import DENOMINATORS
from qieval.errors import DataError, EstimationError
from qieval.methods.comparison.effect import Sample, cluster_of, effect, effect_of, inference_of, sample_of
from qieval.methods.comparison.outcome import Effect
from qieval.numerics.balance_statistics import Ranked, denominators, differences
from qieval.numerics.contrasts import Contrast
from qieval.numerics.subgroups import Clustering, by_subgroup
from qieval.result import NO_FIGURES

WANTED = {"automatic": "difference", "difference": "difference", "ratio": "ratio", "odds ratio": "odds ratio"}


def in_order(design: Any, contrasts: tuple[Contrast, ...]) -> list[Contrast]:
    """The contrast of the headline first; numbers needed to treat are told in words."""
    shown = [item for item in contrasts if item.name != "number needed to treat"]
    wanted = WANTED[design.effect]
    return sorted(
        shown, key=lambda item: not item.name.endswith(wanted) or (wanted == "ratio" and "odds" in item.name)
    )


def worst_differences(
    design: Any, cohort: Cohort, samples: tuple[np.ndarray | None, ...]
) -> list[tuple[float, str]]:
    """For each weighting (None: all rows alike) the largest standardised difference and whose it is."""
    if not cohort.x.shape[1]:
        return [(0.0, "") for _ in samples]
    ranked, kind = Ranked(cohort.x), DENOMINATORS.get(design.estimand, "pooled")
    divisor = denominators(ranked, cohort.treated, kind)
    worst = []
    for weights in samples:
        found = np.abs(differences(ranked, cohort.treated, weights, divisor))
        size = np.where(np.isfinite(found), found, 0.0)
        worst.append((float(size.max()), cohort.x_names[int(size.argmax())]))
    return worst


def subgroup_effects(design: Any, cohort: Cohort, found: Assignment, made: Effect) -> pd.DataFrame | None:
    """One row per level of each subgroup: label, estimate, interval, largest difference inside, p of
    equality.

    None where the design names no subgroups. A level in which a group has nobody keeps its row with a note.
    """
    if not design.subgroups:
        return None
    tables = [_levels(design, cohort, found, made, name) for name in design.subgroups]
    return pd.concat(tables, ignore_index=True)


def restart_effects(design: Any, cohort: Cohort, found: Assignment, made: Effect) -> pd.DataFrame | None:
    """One row per restart of a search: label with its loss, estimate, interval; None where there was no
    search."""
    if not found.others:
        return None
    rows = []
    for at, other in enumerate(found.others, start=1):
        row: dict[str, Any] = {"label": f"restart {at} ({other.kind})"}
        item = in_order(design, effect(design, cohort, other, made.outcome).contrasts)[0]
        rows.append(row | _figures(item))
    return pd.DataFrame(rows)


def _figures(item: Contrast) -> dict[str, float]:
    return {"estimate": item.estimate, "conf_low": item.low, "conf_high": item.high, "p_value": item.p_value}


def _levels(design: Any, cohort: Cohort, found: Assignment, made: Effect, name: str) -> pd.DataFrame:
    sample = sample_of(design, cohort, found, made.outcome)
    rows, effects = [], []
    few = np.zeros(len(cohort), dtype=bool)
    for level, inside in _masks(cohort.rows[name]):
        part = replace(sample, weights=sample.weights * inside, inside=inside)
        if any((part.weights[arm] > 0).sum() < FEWEST for arm in (cohort.treated, ~cohort.treated)):
            few |= inside
            continue
        row, held = _level(f"{name}: {level}", part)
        rows.append(row)
        effects += [held] if held is not None else []
    if few.any():
        rows.append({"label": f"{name}: other levels", **NO_FIGURES, "note": "too few people to compare"})
    return pd.DataFrame(rows).assign(p_equal=_equality(sample, effects))


def _level(label: str, part: Sample) -> tuple[dict[str, Any], Effect | None]:
    """The row of one level, and its effect where there is one."""
    try:
        held = effect_of(part)
    except EstimationError as cause:
        return {"label": label, **NO_FIGURES, "note": str(cause)}, None
    worst = worst_differences(part.design, part.cohort, (part.weights,))[0][0]
    figures = _figures(in_order(part.design, held.contrasts)[0])
    return {"label": label, **figures, "note": "", "largest_difference": worst}, held


def _masks(column: pd.Series[Any]) -> list[tuple[str, np.ndarray]]:
    """Each level with its rows; numbers with many values are cut at their median. DataError for text with
    many values, which is an identifier more often than a group."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_LEVELS:
        middle = float(column.median())
        low = (column <= middle).to_numpy()
        return [(f"up to {middle:g}", low), (f"above {middle:g}", ~low)]
    if column.nunique() > MOST_TEXT_LEVELS:
        raise DataError(
            f"subgroups: '{column.name}' has {column.nunique():,} different values, too many groups to"
            f" compare in (at most {MOST_TEXT_LEVELS}). Group them first."
        )
    return [(str(level), (column == level).to_numpy()) for level in sorted(column.unique(), key=str)]


MOST_LEVELS = 10
MOST_TEXT_LEVELS = 20
FEWEST = 10
"""Subgroups with fewer people than this in a group are not compared: too few to learn from, and
identifiable."""


def _equality(sample: Sample, effects: list[Effect]) -> float:
    """The p-value that all levels have the same effect; NaN with fewer than two, or without influence
    functions (Abadie-Imbens, bootstrap)."""
    wanted = inference_of(sample)
    if len(effects) < 2 or wanted == "bootstrap" or any(not held.means.influence.any() for held in effects):
        return float("nan")
    clustering = Clustering(cluster=cluster_of(sample), adjust=wanted != "estimated weights")
    measure: Any = WANTED[sample.design.effect]
    made = by_subgroup([held.means for held in effects], measure, clustering, effects[0].precision)
    if made.test is None:
        return float("nan")
    return float(made.test.p_hotelling if np.isfinite(made.test.p_hotelling) else made.test.p_chi2)
