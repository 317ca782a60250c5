"""What checks of roll-outs share: names of assumptions, altered designs as rows of a table, cohorts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import QievalError
from qieval.numerics.roll_out_rows import RollOutRows
from qieval.result import NO_FIGURES, Study, figures, on_scale, overall
from qieval.rollout.panel import Rollout
from qieval.text import Count, number

CLEAN = "comparisons only with units that have not begun"
OVERLAP = "a comparison for every treated unit"
COMPOSITION = "stable composition"
NO_ONE_DECIDES = "no single cohort or cluster decides the result"
ENOUGH = "enough independent units for the interval"
ORDER = "who began when had other reasons than the outcome"
SPILLOVER = "no spillover"
PARALLEL = "parallel trends before the start"
ENOUGH_DATA = "enough data"

FEWEST_SHOWN = 10
"""Means and shares of fewer people could tell about one of them."""
AS_DESIGNED = "as designed"
TWO_WAY = ("two-way", "poisson two-way")
NO_CLUSTER = (
    "With repeated cross-sections this needs a column of clusters whose people all have the same start"
    " (cluster)."
)
RATIOS = ("poisson", "poisson two-way")


def people(design: Any, n: Any) -> int:
    """A number of units, as one of people where units are people."""
    return Count(int(n)) if design.units_are == "people" else int(n)


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A table of rows in which counts of people stay marked as such."""
    table = pd.DataFrame(rows)
    for name in table.columns.astype(str):
        if any(isinstance(row.get(name), Count) for row in rows):
            table[name] = pd.Series([row.get(name) for row in rows], dtype=object)
    return table


def hidden(design: Any, n: int) -> bool:
    """Whether means of so many units may not be shown."""
    return bool(design.units_are == "people" and n < FEWEST_SHOWN)


def stated(study: Study, label: str = AS_DESIGNED) -> dict[str, Any]:
    """The estimate of the study as a row of a table."""
    return _filled(label, study.overall)


def altered(study: Study, label: str, keep: np.ndarray | None = None, **changes: Any) -> dict[str, Any]:
    """The overall effect of an altered design as a row, with an analytic interval; rows at `keep` (n,) of the
    roll-out only.

    Where there is no estimate `note` says why, and the figures are missing.
    """
    try:
        design = replace(study.design, **{"inference": "analytic", **changes})
        frame = study.frame if keep is None else study.frame.iloc[np.sort(study.panel.row[keep])]
        return _filled(label, overall(study.refit(design, frame)))
    except QievalError as cause:
        return {"label": label, "term": None, **NO_FIGURES, "std_error": np.nan, "note": str(cause)}


def _filled(label: str, row: Any) -> dict[str, Any]:
    return {"label": label, "term": row["term"], **figures(row), "std_error": row["std_error"], "note": ""}


def scaled(row: Any) -> float:
    """An estimate where no effect is 0: the logarithm of a ratio; NaN where there is none."""
    return on_scale(row) if row["term"] is not None else float("nan")


def said(row: Any) -> str:
    """An estimate with its interval in words."""
    if not np.isfinite(row["estimate"]):
        return "not available"
    return f"{number(row['estimate'])} ({number(row['conf_low'])} to {number(row['conf_high'])})"


def reach(values: np.ndarray) -> str:
    """The smallest and the largest of several estimates in words."""
    known = values[np.isfinite(values)]
    low, high = number(float(known.min())), number(float(known.max()))
    return low if low == high else f"{low} to {high}"


def cohort_names(rollout: Rollout) -> list[str]:
    """What the cohorts are called, units that never begin last."""
    names = [f"began {label}" for label in rollout.labels(rollout.starts)]
    return [*names, "never began"] if rollout.has_never else names


def cohort_codes(rollout: Rollout, first: np.ndarray) -> np.ndarray:
    """The position in `cohort_names` of starts."""
    return np.searchsorted(rollout.starts, first)


def cohort_sizes(rollout: Rollout) -> np.ndarray:
    """Units of each cohort, never last; rows in repeated cross-sections."""
    first = rollout.first if rollout.began is None else rollout.began
    return np.bincount(cohort_codes(rollout, first), minlength=len(cohort_names(rollout)))


def measured(rollout: Rollout) -> np.ndarray:
    """The outcome (n,), per unit of exposure where there is one."""
    return rollout.outcome if rollout.exposure is None else rollout.outcome / rollout.exposure


def before_roll_out(design: Any, rollout: Rollout) -> np.ndarray:
    """Which periods lie before anybody can have been affected (T,)."""
    return np.asarray(rollout.times < rollout.starts.min() - design.anticipation)


@dataclass(frozen=True, eq=False)
class Groups:
    """What starts were given to: code of each row (n,), start of each group (G,), what they are called."""

    code: np.ndarray
    first: np.ndarray
    noun: str


def groups_of(design: Any, rollout: Rollout) -> Groups | str:
    """Clusters where all rows of a cluster have the same start, else the units; or why there are none."""
    named = design.cluster is not None and design.cluster != design.unit
    if rollout.began is None and not named:
        return NO_CLUSTER
    code, first = one_start(rollout.cluster, rollout.first)
    if (first[code] == rollout.first).all():
        return Groups(code, first, "cluster" if named else "unit")
    if rollout.began is None:
        return NO_CLUSTER
    return Groups(rollout.unit, rollout.began, "unit")


def one_start(cluster: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes from 0 without gaps (n,), and the earliest start of each (G,)."""
    _, code = np.unique(cluster, return_inverse=True)
    earliest = np.full(int(code.max(initial=-1)) + 1, np.inf)
    np.minimum.at(earliest, code, first)
    return code, earliest


def by_period(rollout: Rollout, code: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means of values (n,) by group and period (G, T), NaN where there are none."""
    size = int(code.max(initial=-1)) + 1
    known = np.isfinite(values)
    weight = np.where(known, 1.0 if rollout.weights is None else rollout.weights, 0.0)
    cell = code * rollout.n_periods + rollout.time
    below = np.bincount(cell, weight, size * rollout.n_periods)
    above = np.bincount(cell, weight * np.where(known, values, 0.0), size * rollout.n_periods)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((above / below).reshape(size, rollout.n_periods))


def regression_rows(rollout: Rollout) -> RollOutRows:
    """The rows as regressions read them, without covariates; rates where there is an exposure."""
    return RollOutRows(
        times=rollout.times,
        unit=rollout.unit,
        time=rollout.time,
        first=rollout.first,
        y=measured(rollout),
        weights=rollout.weights,
    )
