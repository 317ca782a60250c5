"""Does the answer depend on whether changes are counted in absolute or in relative terms?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.balance import unit_means
from qieval.result import Study, overall
from qieval.text import number

NAME, ASSUMPTION = "absolute or relative change", "trends are parallel on the scale used"
ALIKE = 0.1
"""Groups whose levels before the start differ by less than this share are parallel on both scales or on
neither."""


def scale(study: Study) -> Check:
    """Compare the groups' levels before the start, and the estimate with one on the logarithm of the
    outcome."""
    panel = study.panel
    means, treated = unit_means(panel, panel.outcome, ~panel.after)
    levels = means[treated].mean(), means[~treated].mean()
    gap = abs(levels[0] - levels[1]) / max(abs(levels[1]), np.finfo(float).tiny)
    text = (
        f"Before the start the level of the treated was {number(levels[0])}, of the comparison units"
        f" {number(levels[1])}."
    )
    if gap < ALIKE:
        text += (
            " With levels this close it matters little whether change is counted in amounts or in percent."
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="supports", text=text)
    if not (panel.outcome > 0).all():
        text += " The outcome is not always above zero, so percentage changes could not be compared."
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text)
    return _logarithm(study, text)


def _logarithm(study: Study, text: str) -> Check:
    name = study.design.outcome
    logged = study.frame.assign(
        **{name: np.log(pd.to_numeric(study.frame[name]).where(lambda held: held > 0))}
    )
    found = overall(study.refit(replace(study.design, events={}), logged))
    expected = float(study.facts["expected level without the intervention"])
    rows: list[dict[str, Any]] = [
        {"label": "in amounts, as share of the expected level", **_shares(study.overall, expected)},
        {
            "label": "in percent (logarithm)",
            **{key: float(np.expm1(found[key])) for key in ("estimate", "conf_low", "conf_high")},
        },
    ]
    table = pd.DataFrame(rows)
    one, other = table.iloc[0], table.iloc[1]
    clear = [bool(row["conf_low"] * row["conf_high"] > 0) for row in rows]
    apart = bool(one["estimate"] * other["estimate"] < 0 or clear[0] != clear[1])
    text += (
        f" Counted in amounts the effect is {one['estimate']:.1%} of the expected level, counted in percent"
        f" {other['estimate']:.1%}"
    )
    text += (
        ": the conclusion depends on the scale, so say why one of them is right."
        if apart
        else "; both lead to the same conclusion."
    )
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="concern" if apart else "information",
        text=text,
        table=table,
        picture="intervals",
    )


def _shares(row: pd.Series[Any], expected: float) -> dict[str, float]:
    return {key: float(row[key]) / expected for key in ("estimate", "conf_low", "conf_high")}
