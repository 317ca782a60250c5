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
THIN = "A single unit stands on one side, so the standard error leaves out how much such units vary."
FEWEST_SHOWN = 10
"""The effect in fewer people could tell about one of them."""


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
    if len(effects.cohort):
        names = (rollout.labels(effects.cohort), rollout.labels(effects.time))
        parts.append(cell_rows(design, effects, inference, names))
    return pd.concat([rows, *parts], ignore_index=True)


def shown_parts(design: Any, effects: Effects, term: str, at: np.ndarray) -> np.ndarray:
    """Which parts of an average may be shown: of people, only what rests on ten or more treated."""
    if design.units_are != "people" or not len(effects.cohort):
        return np.ones(len(at), dtype=bool)
    key = {SINCE: effects.time - effects.cohort, COHORT: effects.cohort, CALENDAR: effects.time}[term]
    used = np.isfinite(effects.estimate) & (effects.post | (term == SINCE))
    if term == COHORT:
        most = [effects.n_treated[used & (key == part)].max(initial=0) for part in at]
        return np.array(most) >= FEWEST_SHOWN
    everybody = sum(effects.n_treated[effects.cohort == start].max() for start in np.unique(effects.cohort))
    rests_on = [
        effects.n_treated[used & (key == part)].sum() if (key == part).any() else everybody for part in at
    ]
    return np.array(rests_on) >= FEWEST_SHOWN


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
    kept = np.isfinite(average.estimate) & shown_parts(design, effects, term, average.at)
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


def cell_rows(
    design: Any, effects: Effects, inference: Inference, names: tuple[list[str], list[str]]
) -> pd.DataFrame:
    """One row per cohort and period (names: of both); those that cannot be estimated say why in `note`. Of
    people, only cells with ten or more treated."""
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
            "cohort": names[0],
            "period": names[1],
            "note": [
                why or (THIN if few else "") for why, few in zip(effects.reason, effects.thin, strict=True)
            ],
        }
    )
    if design.units_are == "people":
        table = table[(effects.n_treated >= FEWEST_SHOWN) | ~np.isfinite(effects.estimate)]
    return _as_ratio(table) if effects.ratio else table


def _as_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """Logarithms as ratios; standard errors stay those of the logarithms."""
    held = [name for name in ("estimate", "conf_low", "conf_high", *BAND) if name in table]
    return table.assign(**{name: np.exp(table[name]) for name in held})
