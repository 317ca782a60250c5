"""The balance table and the binned scores of a comparison of similar people."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.compared import Compared
from qieval.covariate_balance.table import BalanceTable, balance, score_table
from qieval.numerics.balance_statistics import Denominator

DENOMINATORS: dict[str, Denominator] = {"ATT": "treated", "ATC": "control"}
"""Whose standard deviation measures differences; that of both groups pooled for other estimands."""


def balance_of(compared: Compared) -> BalanceTable:
    """The balance table of a comparison, before and after; squares and products that the design names
    included."""
    design, cohort = compared.design, compared.cohort
    names = list(design.covariates)
    held = cohort.rows[[design.treated, *names]].astype(dict.fromkeys(design.categories, "category"))
    extra = np.flatnonzero(~cohort.plain)
    for at in extra:
        held[cohort.x_names[at]] = cohort.x[:, at]
    denominator = DENOMINATORS.get(design.estimand, "pooled")
    every = [*names, *(cohort.x_names[at] for at in extra)]
    return balance(held, design.treated, every, compared.found.weights, denominator=denominator)


def scores_of(compared: Compared) -> pd.DataFrame | None:
    """The propensity score counted in bins by group, before and after; None without a score."""
    if compared.found.probability is None:
        return None
    return score_table(compared.found.probability, compared.cohort.treated, compared.found.weights)
