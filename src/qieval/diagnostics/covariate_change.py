"""Did the intervention change the characteristics that the estimate adjusts for?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.result import NO_FIGURES, Study, figures, overall
from qieval.text import listed

NAME, ASSUMPTION = "covariates as outcomes", "covariates are not affected by the intervention"


def covariate_change(study: Study) -> Check:
    """Estimate the effect on each numeric covariate that changes over time; there should be none."""
    design = study.design
    names = [name for name in design.covariates if pd.api.types.is_numeric_dtype(study.frame[name])]
    if not names:
        text = (
            "No numeric characteristic that changes over time is adjusted for, so none can have been changed."
        )
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text)
    rows = [_row(study, name) for name in names]
    table = pd.DataFrame(rows)
    tried = table.dropna(subset=["p_value"])
    moved = tried.loc[tried["p_value"] * len(tried) < 1 - design.level, "label"].tolist()
    if moved:
        text = (
            f"After the start these characteristics changed differently in the treated: {listed(moved)}. If"
            " the intervention changed them, adjusting for them hides part of its effect; if not, the groups"
            " changed in other ways."
        )
    else:
        text = (
            f"None of the characteristics adjusted for ({listed(names)}) changed differently in the treated."
        )
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="concern" if moved else "supports" if len(tried) else "information",
        text=text,
        table=table,
        picture="intervals" if len(tried) else None,
    )


def _row(study: Study, name: str) -> dict[str, Any]:
    altered = replace(study.design, outcome=name, covariates=(), baseline_covariates=(), events={})
    try:
        found = overall(study.refit(altered, study.frame))
    except QievalError as cause:
        return {"label": name, **NO_FIGURES, "note": str(cause)}
    return {"label": name, **figures(found), "note": ""}
