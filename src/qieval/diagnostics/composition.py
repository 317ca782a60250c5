"""Are the same units observed before and after, in both groups?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.result import Study, overall
from qieval.text import number

NAME, ASSUMPTION = "composition", "stable composition"


def composition(study: Study) -> Check:
    """The share of unit-period cells observed by group and time, and the estimate from units that are always
    observed."""
    if getattr(study.design, "repeats", False):
        text = (
            "Other people are sampled in each period; whether they are alike can only be judged by their"
            " characteristics. Add them as covariates, and the check of covariates shows whether they"
            " shifted."
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text)
    panel = study.panel
    rows = np.bincount(panel.unit, minlength=len(panel.units))
    complete = rows == panel.n_periods
    if complete[rows > 0].all():
        text = "Every unit is observed in every period."
        return Check(name=NAME, assumption=ASSUMPTION, verdict="supports", text=text, table=_coverage(study))
    return _compared(study, complete[panel.unit])


def _compared(study: Study, keep: np.ndarray) -> Check:
    table = _coverage(study)
    try:
        found = overall(study.refit(study.design, study.frame.iloc[np.sort(study.panel.row[keep])]))
    except QievalError as cause:
        text = (
            f"Units come and go, and the units observed throughout give no estimate to compare with: {cause}"
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="concern", text=text, table=table)
    moved = float(found["estimate"] - study.overall["estimate"])
    large = abs(moved) > float(study.overall["std_error"])
    text = (
        "Some units are not observed in every period. With only those that are, the estimate is"
        f" {number(found['estimate'])} instead of {number(study.overall['estimate'])}"
    )
    text += ", a move of more than one standard error: who is observed matters." if large else "."
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="concern" if large else "information",
        text=text,
        table=table,
    )


def _coverage(study: Study) -> pd.DataFrame:
    panel = study.panel
    rows = []
    for group, arm in (("treated", panel.treated), ("comparison", ~panel.treated)):
        units = np.unique(panel.unit[arm]).size
        for when, part, periods in (
            ("before", ~panel.after, panel.start),
            ("from the start on", panel.after, panel.n_periods - panel.start),
        ):
            share = (arm & part).sum() / (units * periods)
            rows.append({"group": group, "when": when, "share_observed": float(share)})
    return pd.DataFrame(rows)
