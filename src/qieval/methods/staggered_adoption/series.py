"""The outcome of each cohort over time, with what it would have been without the intervention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.methods.staggered_adoption.table import FEWEST_SHOWN
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout


def observed_and_expected(design: Any, rollout: Rollout, effects: Effects, sums: Sums) -> pd.DataFrame:
    """Weighted means by cohort and period, and from each start on what they would have been.

    Rates where there is an exposure. Means of fewer than ten people are left empty.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.above / sums.total
    if design.units_are == "people":
        mean = np.where(sums.rows < FEWEST_SHOWN, np.nan, mean)
    expected = _expected(rollout, effects, mean)
    axis = rollout.periods.axis()
    shown = np.flatnonzero(np.isfinite(mean).any(axis=1))
    nothing = np.full(rollout.n_periods, np.nan)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "time": axis,
                    "group": name,
                    "observed": mean[i],
                    "counterfactual": expected[i] if i < len(rollout.starts) else nothing,
                    "conf_low": np.nan,
                    "conf_high": np.nan,
                }
            )
            for i, name in enumerate(group_names(rollout))
            if i in shown
        ]
        or [pd.DataFrame(columns=["time", "group", "observed", "counterfactual", "conf_low", "conf_high"])],
        ignore_index=True,
    )


@dataclass(frozen=True, eq=False)
class Sums:
    """By cohort (never last) and period: rows, the sum of weights (times exposure), and that of weighted
    outcomes."""

    rows: np.ndarray
    total: np.ndarray
    above: np.ndarray


def sums_of(rollout: Rollout) -> Sums:
    """The sums behind the means by cohort and period."""
    if rollout.weights is None and rollout.exposure is None:
        rows, above = _sums(rollout, rollout.outcome)
        return Sums(rows, rows.astype(float), above)
    weight = np.ones(len(rollout)) if rollout.weights is None else rollout.weights
    below = weight if rollout.exposure is None else weight * rollout.exposure
    return Sums(*_sums(rollout, below, weight * rollout.outcome))


def _sums(rollout: Rollout, *held: np.ndarray) -> list[np.ndarray]:
    """Numbers of rows, and sums of what is given by row, by cohort (never last) and period."""
    groups = len(rollout.starts) + 1
    shape = (groups, rollout.n_periods)
    if rollout.began is not None and rollout.is_grid:
        n = len(rollout.units)
        place = np.searchsorted(rollout.starts, rollout.began)
        member = scipy.sparse.csr_array((np.ones(n), (place, np.arange(n))), shape=(groups, n))
        rows = np.repeat(np.bincount(place, minlength=groups)[:, None], rollout.n_periods, axis=1)
        return [rows, *(member @ part.reshape(n, -1) for part in held)]
    place = np.searchsorted(rollout.starts, rollout.first)
    cell = place * rollout.n_periods + rollout.time
    size = groups * rollout.n_periods
    return [np.bincount(cell, part, size).reshape(shape) for part in (None, *held)]


def group_names(rollout: Rollout) -> list[str]:
    """What the cohorts are called, never-treated units last."""
    return [f"began {label}" for label in rollout.labels(rollout.starts)] + ["never began"]


def _expected(rollout: Rollout, effects: Effects, mean: np.ndarray) -> np.ndarray:
    """The means less (divided by, for ratios) the effects from each start on; NaN elsewhere."""
    expected = np.full_like(mean, np.nan)
    at = np.searchsorted(rollout.starts, effects.cohort)
    when = np.searchsorted(rollout.times, effects.time)
    for i, t, effect, post in zip(at, when, effects.estimate, effects.post, strict=True):
        if post:
            expected[i, t] = mean[i, t] / np.exp(effect) if effects.ratio else mean[i, t] - effect
    return expected
