"""Placebo analyses: dates at which nothing happened, and comparison units to which nothing happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.result import NO_FIGURES, Study, figures
from qieval.shapes import Panel
from qieval.text import number, plural

MOST_PLACEBO_STARTS = 10
PLACEBO_DRAWS = 999
FEWEST_FOR_PLACEBO_GROUPS = 8
"""With fewer comparison clusters the spread of placebo estimates is not worth showing."""

TOO_WIDE = 1.5
"""Placebo estimates that vary this many times more than the standard error cast doubt on the interval."""


def placebo_starts(study: Study) -> Check:
    """Pretend the intervention began at earlier dates, using only periods before the real start."""
    last = study.panel.start - 1 - int(getattr(study.design, "anticipation", 0))
    name, assumption = "placebo start dates", "parallel trends before the start"
    if last < 1:
        text = "There is only one period before the start, so no earlier date can be tried."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    codes = np.unique(np.linspace(1, last, min(last, MOST_PLACEBO_STARTS)).round().astype(int))
    table = pd.DataFrame([_placebo_row(study, int(code), last) for code in codes])
    tried = table.dropna(subset=["p_value"])
    if tried.empty:
        text = "No earlier date could be tried; the table says why."
        return Check(name=name, assumption=assumption, verdict="information", text=text, table=table)
    smallest = float(tried["p_value"].min()) * len(tried)
    alarm = smallest < 1 - study.design.level
    text = f"At {plural(len(tried), 'earlier date')} the same analysis finds "
    text += (
        f"an effect where there was none (smallest p-value {number(smallest / len(tried))}, even allowing for"
        f" {plural(len(tried), 'try', 'tries')}): the groups were moving apart already."
        if alarm
        else "no effect beyond chance, as it should."
    )
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if alarm else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _placebo_row(study: Study, code: int, last: int) -> dict[str, Any]:
    label = f"start at {study.panel.periods.shown()[code]}"
    try:
        found = study.again(
            start=as_label(study.panel, code),
            last_period=as_label(study.panel, last),
            anticipation=0,
            events={},
        )
    except QievalError as cause:
        return {"label": label, **NO_FIGURES, "note": str(cause)}
    return {"label": label, **figures(found), "note": ""}


def placebo_groups(study: Study) -> Check:
    """Give random groups of comparison clusters a pretended intervention: how much do such estimates vary
    by chance?

    The mean change of each comparison cluster (after less before) is taken, and random groups as large as
    the treated group are compared with the rest. Their spread, rescaled to the sizes of the real groups,
    should match the standard error of the estimate.
    """
    name, assumption = "placebo groups", "enough independent units for the interval"
    change, treated = cluster_changes(study.panel)
    pool = change[~treated]
    size = int(min(treated.sum(), len(pool) // 2))
    if len(pool) < FEWEST_FOR_PLACEBO_GROUPS or not size:
        text = f"With {plural(len(pool), 'comparison cluster')} there are too few to form placebo groups."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    drawn = _random_differences(pool, size, study.design.seed)
    real = 1 / treated.sum() + 1 / len(pool)
    spread = float(drawn.std(ddof=1) * np.sqrt(real / (1 / size + 1 / (len(pool) - size))))
    stated, effect = float(study.overall["std_error"]), float(study.overall["estimate"])
    as_large = (1 + int((np.abs(drawn) >= abs(effect)).sum())) / (1 + len(drawn))
    table = pd.DataFrame(
        {
            "quantity": [
                "placebo groups drawn",
                "spread of their estimates, rescaled",
                "standard error of the estimate",
                "share of placebo estimates as large as the estimate",
            ],
            "value": [float(len(drawn)), spread, stated, as_large],
        }
    )
    adjusted = bool(
        study.panel.x.shape[1] or study.panel.baseline.shape[1] or study.panel.weights is not None
    )
    known = np.isfinite(stated) and stated > 0
    wide = known and spread > TOO_WIDE * stated and not adjusted
    text = (
        f"Random groups of comparison clusters show a difference as large as the estimate in {as_large:.1%}"
        " of draws."
    )
    if known:
        text += f" Their estimates vary {number(spread / stated, 2)} times as much as the standard error says"
        text += ", so the interval may be too narrow." if wide else " (unadjusted)." if adjusted else "."
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if wide else "information" if adjusted or not known else "supports",
        text=text,
        table=table,
    )


def cluster_changes(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Mean outcome after less before of each cluster seen in both (m,), and which are treated (m,)."""
    weight = np.ones(len(panel.unit)) if panel.weights is None else panel.weights
    cell = panel.cluster * 2 + panel.after
    total = np.bincount(cell, weight, 2 * panel.n_clusters).reshape(-1, 2)
    sums = np.bincount(cell, weight * panel.outcome, 2 * panel.n_clusters).reshape(-1, 2)
    both = (total > 0).all(axis=1)
    means = sums[both] / total[both]
    treated = np.bincount(panel.cluster, panel.treated, panel.n_clusters)[both] > 0
    return means[:, 1] - means[:, 0], treated


def _random_differences(pool: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Differences of means between random groups of `size` and the rest (draws,)."""
    random = np.random.default_rng(seed)
    total, rest = pool.sum(), len(pool) - size
    chosen = np.array(
        [pool[random.choice(len(pool), size, replace=False)].sum() for _ in range(PLACEBO_DRAWS)]
    )
    differences: np.ndarray = chosen / size - (total - chosen) / rest
    return differences


def as_label(panel: Panel, code: int) -> Any:
    """A period as a design states it: a whole number or text in ISO form."""
    return int(panel.periods.labels[code]) if panel.periods.kind == "number" else panel.periods.shown()[code]
