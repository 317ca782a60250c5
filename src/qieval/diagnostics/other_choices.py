"""Whether the answer hangs on one choice: other ways to match, ties, seeds, single characteristics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.numerics.balance_statistics import Ranked, differences
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study, figures, on_scale
from qieval.text import number, plural

ASSUMPTION = "no single choice decides the result"
TIE_SEEDS = 5
FAR = 1.0
"""Estimates that lie further than one standard error from the headline count as different."""

Changes = Mapping[str, Any]

PLAIN = {
    "method": "nearest",
    "ratio": 1,
    "replacement": "without",
    "mahalanobis_on": (),
    "distance": "logit",
    "caliper": 0.2,
    "caliper_in": "standard deviations",
    "inference": "automatic",
}


def other_ways_to_match(study: Study) -> Check:
    """The estimate by other reasonable ways to match on the same characteristics."""
    ways: dict[str, Changes] = {
        "nearest, caliper 0.2": PLAIN,
        "nearest, no caliper": {**PLAIN, "caliper": 0.0},
        "nearest, with replacement": {**PLAIN, "replacement": "with"},
        "full": {**PLAIN, "method": "full", "caliper": 0.0},
        "subclassification": {**PLAIN, "method": "subclassification", "caliper": 0.0},
    }
    return _alternatives(study, "other ways to match", ways)


def other_weights(study: Study) -> Check:
    """The estimate by other reasonable weights for the same people."""
    plain = {"truncate": 1.0, "trim": 0.0, "moments": 1, "inference": "automatic"}
    ways: dict[str, Changes] = {
        name: {**plain, "method": name} for name in ("propensity score", "entropy balancing", "CBPS")
    }
    ways["propensity score, cut at 99%"] = {**plain, "method": "propensity score", "truncate": 0.99}
    ways["propensity score, trimmed at 0.05"] = {**plain, "method": "propensity score", "trim": 0.05}
    return _alternatives(study, "other weights", ways)


def other_losses(study: Study) -> Check:
    """The estimate by searches for another kind of balance."""
    few = {"evaluations": max(study.design.evaluations // 5, 200), "restarts": 0}
    ways: dict[str, Changes] = {
        "largest difference": {**few, "loss": "largest difference"},
        "largest KS": {**few, "loss": "largest KS"},
        "another seed": {**few, "seed": study.design.seed + 1},
    }
    return _alternatives(study, "other searches", ways)


def _alternatives(study: Study, name: str, ways: Mapping[str, Changes]) -> Check:
    rows = [_stated(study)]
    rows += [_row(study, label, changes) for label, changes in progress(ways.items(), name)]
    table = pd.DataFrame(rows)
    found = table["estimate"].dropna()
    size, error = _on_scale(study, found), float(study.overall["std_error"])
    apart = bool(np.isfinite(error) and (size - size.iloc[0]).abs().max() > FAR * error)
    turned = bool((np.sign(size) != np.sign(size.iloc[0])).any())
    text = (
        f"Over {plural(len(found), 'reasonable way')} the estimate runs from {number(found.min())} to"
        f" {number(found.max())} (as designed: {number(found.iloc[0])})."
    )
    if turned:
        text += " Its direction is not the same in all of them."
    failed = len(table) - len(found)
    if failed:
        text += f" {plural(failed, 'way')} could not be carried out; the table says why."
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if apart or turned else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _on_scale(study: Study, estimates: pd.Series[Any]) -> pd.Series[Any]:
    """Estimates on the scale of their standard error: logarithms of ratios."""
    ratio = str(study.overall["term"]).endswith("ratio")
    held = estimates.astype(float)
    return pd.Series(np.log(held), index=held.index) if ratio else held


def _row(study: Study, label: str, changes: Changes) -> dict[str, Any]:
    try:
        again = study.again(**changes)
        return {"label": label, "term": again["term"], **figures(again), "note": ""}
    except QievalError as cause:
        return {"label": label, "term": study.overall["term"], **NO_FIGURES, "note": str(cause)}


def _stated(study: Study) -> dict[str, Any]:
    return {"label": "as designed", "term": study.overall["term"], **figures(study.overall), "note": ""}


def ties(study: Study) -> Check:
    """How much of the estimate hangs on whom equally close partners are."""
    name = "ties"
    if study.design.method not in ("nearest", "optimal") or study.design.method == "optimal":
        text = "Only greedy matching breaks ties between equally close partners."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    rows = [_stated(study)]
    rows += [
        _row(study, f"drawn, seed {seed}", {"ties": "random", "seed": seed})
        for seed in range(1, TIE_SEEDS + 1)
    ]
    table = pd.DataFrame(rows)
    found = table["estimate"].dropna()
    size, error = _on_scale(study, found), float(study.overall["std_error"])
    spread = float(size.max() - size.min())
    if spread <= 1e-12 * max(1.0, abs(float(found.iloc[0]))):
        text = "No partners are equally close, so the order of the rows does not matter."
        return Check(name=name, assumption=ASSUMPTION, verdict="supports", text=text)
    text = (
        f"Equally close partners were drawn by {TIE_SEEDS} seeds instead: the estimate runs from"
        f" {number(found.min())} to {number(found.max())}, by nothing but the choice among equals."
    )
    concern = np.isfinite(error) and spread > FAR * error / 2
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if concern else "information",
        text=text,
        table=table,
        picture="intervals",
    )


MOST_LEFT_OUT = 15


def without_each_characteristic(study: Study) -> Check:
    """The estimate when one characteristic at a time is not matched on."""
    name = "one characteristic left out"
    names = study.design.covariates
    if len(names) < 2:
        text = "Only one characteristic is named, so none can be left out."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    tried = _most_unlike(study, names)[:MOST_LEFT_OUT]
    rows = [_row(study, f"without {item}", _without(study.design, item)) for item in progress(tried, name)]
    table = pd.DataFrame(rows)
    found = table.dropna(subset=["estimate"])
    start, error = on_scale(study.overall), float(study.overall["std_error"])
    moved = (_on_scale(study, found["estimate"]) - start).abs()
    if found.empty:
        text = "No characteristic could be left out; the table says why."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text, table=table)
    most = found.iloc[int(moved.to_numpy().argmax())]
    text = (
        f"Leaving out one characteristic at a time, the estimate runs from {number(found['estimate'].min())}"
        f" to {number(found['estimate'].max())}; it moves most {most['label']}."
    )
    if len(names) > len(tried):
        text += f" The {len(tried)} of {len(names)} in which the groups differed most were tried."
    moves = np.isfinite(error) and moved.max() > FAR * error
    if moves:
        text += " It matters, so something like it that was not measured would matter too."
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="information" if moves else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _most_unlike(study: Study, names: tuple[str, ...]) -> list[str]:
    """The characteristics by how far the groups lay apart before, the furthest first."""
    compared = study.compared
    smd = np.abs(differences(Ranked(compared.cohort.x), compared.cohort.treated, None, "pooled"))
    apart = dict.fromkeys(names, 0.0)
    for made, size in zip(compared.cohort.x_names, smd, strict=True):
        for name in names:
            if (made == name or made.startswith(f"{name}: ")) and np.isfinite(size):
                apart[name] = max(apart[name], float(size))
    return sorted(names, key=lambda name: -apart[name])


def _without(design: Any, name: str) -> dict[str, Any]:
    """The fields of a design that change when a characteristic is left out."""
    changes: dict[str, Any] = {
        role: tuple(item for item in getattr(design, role) if item != name)
        for role in ("covariates", "categories", "squares")
    }
    changes["interactions"] = tuple(
        said for said, pair in zip(design.interactions, design.products(), strict=True) if name not in pair
    )
    changes["measured"] = {key: held for key, held in design.measured.items() if key != name}
    for role in ("mahalanobis_on", "interacted_with"):
        if hasattr(design, role):
            changes[role] = tuple(item for item in getattr(design, role) if item != name)
    if hasattr(design, "effect_at"):
        changes["effect_at"] = {}
    return changes
