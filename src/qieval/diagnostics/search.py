"""What a search for balance found, and how far its restarts lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.compared import Compared
from qieval.result import Study
from qieval.text import number, plural

ASSUMPTION = "the search found what there is to find"
FAR = 1.0
"""Restarts whose estimates lie further apart than one standard error disagree."""


def progress_of_the_search(design: Any, compared: Compared) -> Check:
    """How the loss improved, and whether restarts agree, before any outcome."""
    found = compared.found.search
    reached = [float(run.loss[0]) for run in found.restarts]
    again = (
        "Two restarts ended in the same best loss."
        if found.converged
        else "No two restarts ended in the same loss."
    )
    text = (
        f"{found.evaluations:,} weightings were tried in {plural(len(reached), 'restart')}; the loss of the"
        f" restarts runs from {number(min(reached))} to {number(max(reached))}. {again}"
    )
    if found.stopped == "interrupted":
        text += " The search was interrupted."
    table = pd.DataFrame({"evaluations": found.trace[:, 0].astype(float), "loss": found.trace[:, 1]})
    return Check(
        name="progress of the search",
        assumption=ASSUMPTION,
        verdict="supports" if found.converged else "information",
        text=text,
        table=table,
        picture="search",
    )


def restarts(study: Study) -> Check:
    """The estimate of every restart: what another seed might have given."""
    table = study.compared.found.restarts
    assert table is not None
    found = table["estimate"].dropna()
    error = float(study.overall["std_error"])
    size = np.log(found) if str(study.overall["term"]).endswith("ratio") else found
    spread = float(size.max() - size.min())
    text = (
        f"The best matches of {plural(len(found), 'restart')} give estimates from {number(found.min())} to"
        f" {number(found.max())} (chosen by balance: {number(float(study.overall['estimate']))})."
    )
    apart = bool(np.isfinite(error) and spread > FAR * error)
    if apart:
        text += " That is more than one standard error: much of the answer is which matches were found."
    return Check(
        name="restarts of the search",
        assumption=ASSUMPTION,
        verdict="concern" if apart else "supports",
        text=text,
        table=table.assign(term=study.overall["term"]),
        picture="intervals",
    )
