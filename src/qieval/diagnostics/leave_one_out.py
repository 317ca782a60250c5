"""Does the estimate hang on a single cluster?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study, figures, overall
from qieval.text import number

NAME, ASSUMPTION = "leave one out", "no single unit decides the result"
MOST_LEFT_OUT = 100
LARGE_DATA = 200_000
MOST_LEFT_OUT_LARGE = 20
SHOWN = 12


def leave_one_out(study: Study) -> Check:
    """Estimate again without each cluster; in large data without those whose change is most unusual."""
    panel, design = study.panel, study.design
    treated = np.bincount(panel.cluster, panel.treated, panel.n_clusters) > 0
    if treated.sum() == 1:
        text = (
            "The treated group is a single cluster, so the estimate rests on it entirely and nothing can be"
            " left out."
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="concern", text=text)
    most = MOST_LEFT_OUT_LARGE if len(panel.unit) > LARGE_DATA else MOST_LEFT_OUT
    candidates = np.argsort(-_unusual(study), kind="stable")[:most]
    quick = replace(design, inference="analytic") if hasattr(design, "inference") else design
    rows = [_row(study, quick, int(code)) for code in progress(candidates, "leave one out")]
    table = pd.DataFrame(rows)
    table = table.iloc[(table["estimate"] - study.overall["estimate"]).abs().argsort()[::-1]].head(SHOWN)
    return _judged(study, pd.DataFrame(rows), table, len(candidates))


def _judged(study: Study, every: pd.DataFrame, shown: pd.DataFrame, tried: int) -> Check:
    estimate, error = float(study.overall["estimate"]), float(study.overall["std_error"])
    low, high = float(every["estimate"].min()), float(every["estimate"].max())
    turned = low * estimate <= 0 or high * estimate <= 0
    shift = (every["estimate"] - estimate).abs() / every["std_error"].clip(upper=error)
    moved = bool((shift > 1).any())
    which = (
        "each cluster" if tried == study.panel.n_clusters else f"each of the {tried} most unusual clusters"
    )
    text = (
        f"Without {which} in turn the estimate runs from {number(low)} to {number(high)} (all:"
        f" {number(estimate)})"
    )
    if turned and estimate:
        text += ": leaving out one cluster is enough to change its direction."
    elif moved:
        text += ": one cluster moves it by more than a standard error."
    else:
        text += "; no cluster decides the result."
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="concern" if moved or (turned and estimate) else "supports",
        text=text,
        table=shown.drop(columns="std_error").reset_index(drop=True),
        picture="intervals",
    )


def _unusual(study: Study) -> np.ndarray:
    """How far the change of each cluster lies from the mean change of its arm, times its share of rows
    (clusters,)."""
    panel = study.panel
    weight = np.ones(len(panel.unit)) if panel.weights is None else panel.weights
    side = np.where(panel.after, 1.0, -1.0) * weight
    total = np.bincount(panel.cluster, weight, panel.n_clusters)
    centred = panel.outcome - np.average(panel.outcome, weights=weight)
    change: np.ndarray = np.bincount(panel.cluster, side * centred, panel.n_clusters)
    treated = np.bincount(panel.cluster, panel.treated, panel.n_clusters) > 0
    for arm in (treated, ~treated):
        change[arm] -= total[arm] * change[arm].sum() / total[arm].sum()
        change[arm] /= total[arm].sum()
    unusual: np.ndarray = np.abs(change)
    return unusual


def _row(study: Study, design: Any, code: int) -> dict[str, Any]:
    rows = study.panel.row[study.panel.cluster != code]
    label = _label(study, code)
    try:
        found = overall(study.refit(design, study.frame.iloc[np.sort(rows)]))
    except QievalError as cause:
        return {"label": label, **NO_FIGURES, "std_error": np.nan, "note": str(cause)}
    return {"label": label, **figures(found), "std_error": found["std_error"], "note": ""}


def _label(study: Study, code: int) -> str:
    """The name of an organisation, or a number in place of a person."""
    if study.design.units_are == "people":
        return f"without cluster {code + 1}"
    first = study.panel.row[np.argmax(study.panel.cluster == code)]
    return f"without {study.frame[study.design.cluster or study.design.unit].iloc[first]}"
