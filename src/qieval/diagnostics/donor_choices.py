"""Other predictors and other ways of weighting donors, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.progress import progress
from qieval.result import Result, Study, overall
from qieval.text import number

ASSUMPTION = "the result does not hang on how donors are weighted"
MOST_PREDICTORS = 12


def other_ways(study: Study) -> Check:
    """The estimate by outcomes alone, with a constant distance, penalised and ridge-augmented."""
    design = study.design
    plain: dict[str, Any] = {
        "predictors": {},
        "predictor_weights": {},
        "v": "nested",
        "inference": "automatic",
    }
    ways: dict[str, dict[str, Any]] = {
        "outcomes alone": {"method": "classic", **plain},
        "demeaned": {"method": "demeaned", **plain},
        "penalised": {"method": "penalised", "penalty": 0, **plain},
        "ridge-augmented": {"method": "ridge-augmented", "penalty": 0, **plain},
    }
    if design.predictors:
        ways["predictors, inverse variance"] = {
            "v": "inverse variance",
            "predictor_weights": {},
            "method": "classic",
        }
    rows = [_stated(study)]
    for label, changes in progress(ways.items(), "other ways of weighting"):
        if any(getattr(design, name) != held for name, held in changes.items() if name != "inference"):
            rows.append(_tried(study, label, changes))
    return _judged(study, pd.DataFrame(rows), "other ways of weighting donors")


def without_each_predictor(study: Study) -> Check:
    """The estimate without each predictor in turn."""
    made, name = study.result.kernel, "without each predictor"
    problem = made.problems[0]
    if problem.predictors is None or len(problem.predictors.names) < 2:
        text = "The weights come from outcomes alone, or from one predictor; nothing can be left out."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    rows = [_stated(study)]

    for place, left in enumerate(
        progress(problem.predictors.names[:MOST_PREDICTORS], "without each predictor")
    ):
        try:
            fits = [
                made.fit(replace(held, predictors=held.predictors.without(place))) for held in made.problems
            ]
            found = float(
                made.weight @ [f.gaps[p.after].mean() for f, p in zip(fits, made.problems, strict=True)]
            )
            before = float(
                np.sqrt(np.mean([f.mspe(p.fitted) for f, p in zip(fits, made.problems, strict=True)]))
            )
            rows.append({"label": f"without {left}", "estimate": found, "gap_before": before, "note": ""})
        except QievalError as cause:
            rows.append(
                {"label": f"without {left}", "estimate": np.nan, "gap_before": np.nan, "note": str(cause)}
            )
    return _judged(study, pd.DataFrame(rows), name)


def _stated(study: Study) -> dict[str, Any]:
    row = _from(study.result)
    return {"label": "as designed", **row, "note": ""}


def _tried(study: Study, label: str, changes: dict[str, Any]) -> dict[str, Any]:

    try:
        return {
            "label": label,
            **_from(study.refit(replace(study.design, **changes), study.frame)),
            "note": "",
        }
    except QievalError as cause:
        return {"label": label, "estimate": np.nan, "note": str(cause)}


def _from(result: Result) -> dict[str, Any]:
    row, facts = overall(result), result.facts
    if facts is None:
        raise ValueError("this result has no facts")
    return {
        "estimate": float(row["estimate"]),
        "conf_low": float(row["conf_low"]),
        "conf_high": float(row["conf_high"]),
        "p_value": float(row["p_value"]),
        "gap_before": float(facts["root mean squared gap before the start"]),
        "rank": facts.get("rank among all units", np.nan),
        "units": facts.get("units ranked", np.nan),
    }


def _judged(study: Study, table: pd.DataFrame, name: str) -> Check:
    effect = float(study.overall["estimate"])
    good = table.dropna(subset=["estimate"])
    if len(good) < 2:
        text = "No other way could be carried out; the notes say why."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text, table=table)
    low, high = float(good["estimate"].min()), float(good["estimate"].max())
    turned = low < 0 < high
    halved = bool(effect and ((good["estimate"] / effect < 0.5) | (good["estimate"] / effect > 2)).any())
    text = f"The estimate runs from {number(low)} to {number(high)} (as designed: {number(effect)})"
    if turned:
        text += ": its direction depends on the choice."
    elif halved:
        text += ": its size depends on the choice."
    else:
        text += "; the choice does not decide it."
    if "rank" in good and good["rank"].nunique() > 1:
        ranked = good.dropna(subset=["rank"]).sort_values("rank", kind="stable")
        best, worst = ranked.iloc[0], ranked.iloc[-1]
        text += (
            f" The rank among all units runs from {int(best['rank'])} of {int(best['units'])}"
            f" ({best['label']}) to {int(worst['rank'])} of {int(worst['units'])} ({worst['label']})."
        )
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if turned or halved else "supports",
        text=text,
        table=table,
        picture="dots",
    )
