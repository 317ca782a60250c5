"""The table of estimates of a roll-out: overall effects, then by time since the start, cohort and period."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.methods.staggered_adoption.inference import Inference
from qieval.numerics.covariance import t_interval
from qieval.numerics.joint import sup_t
from qieval.rollout.effects import AGGREGATIONS, Effects
from qieval.rollout.panel import Rollout

SINCE, COHORT, CALENDAR, CELL = (
    "effect in period",
    "effect in cohort",
    "effect in calendar period",
    "effect of cohort in period",
)
KINDS = {SINCE: "dynamic", COHORT: "group", CALENDAR: "calendar"}
AGREED = ["term", "at", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
BAND = ["band_low", "band_high"]


def estimates(design: Any, rollout: Rollout, effects: Effects, inference: Inference) -> pd.DataFrame:
    """All rows: the headline first, the other averages, then the parts."""
    rows = overall_rows(design, effects, inference)
    if effects.overall is not None:
        rows = pd.concat([rows, effects.overall], ignore_index=True)
    parts = [
        part_rows(term, design, effects, inference, rollout)
        for term, kind in KINDS.items()
        if kind in effects.averages
    ]
    parts += [_cell_rows(design, rollout, effects, inference)] if len(effects.cohort) else []
    return pd.concat([rows, *parts], ignore_index=True)


def overall_rows(design: Any, effects: Effects, inference: Inference) -> pd.DataFrame:
    """The overall effect by each aggregation, that of the design first."""
    chosen = effects.chosen(design.aggregation)
    names = [chosen, *(name for name in AGGREGATIONS if name != chosen and name in inference.overall)]
    found = []
    for name in names:
        one = inference.overall[name]
        first = name == names[0]
        if effects.ratio:
            term = "rate ratio" if first else f"{name} rate ratio"
            values = np.exp([one.estimate, one.low, one.high]).tolist()
        else:
            term = "ATT" if first else f"ATT, {name}"
            values = [one.estimate, one.low, one.high]
        found.append([term, np.nan, values[0], one.std_error, values[1], values[2], one.p_value])
    return pd.DataFrame(found, columns=AGREED)


def part_rows(
    term: str, design: Any, effects: Effects, inference: Inference, rollout: Rollout | None
) -> pd.DataFrame:
    """One row for each part, with pointwise interval and the band over all of them; the roll-out names
    cohorts and periods."""
    kind = KINDS[term]
    average = effects.averages[kind]
    error = inference.part_error(kind, average)
    kept = np.isfinite(average.estimate)
    if term == SINCE and design.event_window:
        low, high = design.event_window
        kept &= (average.at >= low) & (average.at <= high)
    at, estimate, error = average.at[kept], average.estimate[kept], error[kept]
    found = t_interval(estimate, error, inference.df, design.level)
    critical = _critical(design, kind, average.covariance[np.ix_(kept, kept)], error, inference)
    table = pd.DataFrame(
        {
            "term": term,
            "at": at.astype(float),
            "estimate": estimate,
            "std_error": error,
            "conf_low": found.low,
            "conf_high": found.high,
            "p_value": found.p_value,
            "band_low": estimate - critical * error,
            "band_high": estimate + critical * error,
        }
    )
    if rollout is not None and term != SINCE:
        table["cohort" if term == COHORT else "period"] = rollout.labels(at)
    return _as_ratio(table) if effects.ratio else table


def _critical(
    design: Any, kind: str, covariance: np.ndarray, error: np.ndarray, inference: Inference
) -> float:
    if kind in inference.criticals:
        return inference.criticals[kind]
    known = np.isfinite(error) & (np.diag(covariance) > 0)
    if not known.any() or not inference.bands:
        return np.nan
    return float(sup_t(covariance[np.ix_(known, known)], inference.df, design.level))


def _cell_rows(design: Any, rollout: Rollout, effects: Effects, inference: Inference) -> pd.DataFrame:
    """One row per cohort and period; those that cannot be estimated say why in `note`."""
    error = inference.errors.get("cells", effects.std_error)
    found = t_interval(effects.estimate, error, inference.df, design.level)
    table = pd.DataFrame(
        {
            "term": CELL,
            "at": (effects.time - effects.cohort).astype(float),
            "estimate": effects.estimate,
            "std_error": error,
            "conf_low": found.low,
            "conf_high": found.high,
            "p_value": found.p_value,
            "cohort": rollout.labels(effects.cohort),
            "period": rollout.labels(effects.time),
            "note": list(effects.reason),
        }
    )
    return _as_ratio(table) if effects.ratio else table


def _as_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """Logarithms as ratios; standard errors stay those of the logarithms."""
    held = [name for name in ("estimate", "conf_low", "conf_high", *BAND) if name in table]
    return table.assign(**{name: np.exp(table[name]) for name in held})
