"""Effects in subgroups, with the balance inside each of them and a test that they are all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort import Cohort
from qieval.compared import Assignment
from qieval.covariate_balance.compared import DENOMINATORS
from qieval.errors import EstimationError
from qieval.methods.comparison.effect import Sample, effect, effect_of
from qieval.methods.comparison.outcome import Effect
from qieval.numerics.balance_statistics import Ranked, denominators, differences
from qieval.numerics.contrasts import Contrast
from qieval.numerics.subgroups import Clustering, by_subgroup

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
    sample = Sample(design, cohort, found, made.outcome, np.where(made.outcome.known, found.weights, 0.0))
    rows, effects = [], []
    for level, inside in _masks(cohort.rows[name]):
        part = replace(sample, weights=sample.weights * inside)
        both = all((part.weights[arm] > 0).sum() >= FEWEST for arm in (cohort.treated, ~cohort.treated))
        row: dict[str, Any] = {
            "label": f"{name}: {level}",
            "note": "" if both else "too few people to compare",
        }
        if both:
            try:
                found_here = effect_of(part)
            except EstimationError as cause:
                rows.append(row | {"note": str(cause)})
                continue
            row |= _figures(in_order(design, found_here.contrasts)[0])
            row["largest_difference"] = worst_differences(design, cohort, (part.weights,))[0][0]
            effects.append(found_here)
        rows.append(row)
    return pd.DataFrame(rows).assign(p_equal=_equality(design, found, effects))


def _masks(column: pd.Series[Any]) -> list[tuple[str, np.ndarray]]:
    """Each level with its rows; numbers with many values are cut at their median."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_LEVELS:
        middle = float(column.median())
        low = (column <= middle).to_numpy()
        return [(f"up to {middle:g}", low), (f"above {middle:g}", ~low)]
    return [(str(level), (column == level).to_numpy()) for level in sorted(column.unique(), key=str)]


MOST_LEVELS = 10
FEWEST = 10
"""Subgroups with fewer people than this in a group are not compared: too few to learn from, and
identifiable."""


def _equality(design: Any, found: Assignment, effects: list[Effect]) -> float:
    """The p-value that all levels have the same effect; NaN with fewer than two, or without influence
    functions."""
    if len(effects) < 2 or any(not held.means.influence.any() for held in effects):
        return float("nan")
    clustering = Clustering(cluster=found.sets if found.inference == "matched sets" else None, adjust=True)
    made = by_subgroup([held.means for held in effects], _measure(design), clustering)
    return float(made.test.p_chi2) if made.test is not None else float("nan")


def _measure(design: Any) -> Any:
    return WANTED[design.effect]
