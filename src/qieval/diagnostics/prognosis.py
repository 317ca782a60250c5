"""Whether the groups are alike in what the characteristics say about the outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics.balance_statistics import Ranked, statistics
from qieval.numerics.weighted_regression import weighted_regression
from qieval.result import Study
from qieval.text import number

ASSUMPTION = "balance on what was measured"


def prognostic_balance(study: Study) -> Check:
    """Balance of the prognostic score: the outcome that the comparison group's regression expects for
    everybody.

    Differences count only as far as they bear on the outcome, and this adds them up (Stuart, Lee and Leacy
    2013; Hansen 2008). Only outcomes of the comparison group are used.
    """
    name = "prognostic score"
    compared = study.compared
    cohort, others = compared.cohort, ~compared.cohort.treated & np.isfinite(compared.cohort.outcome)
    if cohort.person_time is not None or others.sum() < cohort.x.shape[1] + 10 or not cohort.x.shape[1]:
        text = "Not made for rates and survival, or where the comparison group is too small for a regression."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    y = np.where(others, cohort.outcome, 0.0)
    design = np.column_stack([np.ones(len(y)), cohort.x])
    fit = weighted_regression(design, y, others.astype(float), "linear")
    score = (design @ np.where(fit.aliased, 0.0, fit.beta))[:, None]
    if np.ptp(score) <= 1e-12 * max(1.0, float(np.abs(score).max())):
        text = "The characteristics say nothing about the outcome in the comparison group."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    ranked = Ranked(score)
    apart = {
        sample: float(statistics(ranked, cohort.treated, weights, "pooled").smd[0])
        for sample, weights in (("before", None), ("after", compared.found.weights))
    }
    text = (
        "In the outcome that their characteristics lead to expect the groups differ by"
        f" {number(abs(apart['before']), 2)} standard deviations before and {number(abs(apart['after']), 2)}"
        " after."
    )
    left = abs(apart["after"])
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="supports" if left <= study.design.balance_rule else "concern",
        text=text,
        table=pd.DataFrame({"sample": list(apart), "standardised_difference": list(apart.values())}),
    )
