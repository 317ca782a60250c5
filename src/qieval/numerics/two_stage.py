"""Two-stage difference-in-differences: averages of residuals, with standard errors for both stages.

Source: Gardner (2021), "Two-stage differences in differences". Standard errors come from the joint moment
conditions of the two stages, summed by cluster, without a small-sample factor, as R did2s 1.2.1. Estimates
for treated rows are those of the imputation estimator; its variance centres effects by cohort and period,
this one by the group that is averaged, so that effects that differ within it make the interval wider here.
"""

from __future__ import annotations

import numpy as np

from qieval.numerics.imputation_model import ImputationRows, Imputed
from qieval.numerics.imputation_scores import Averages, Groups, Residuals, choose, gather, lonely
from qieval.numerics.two_way import Codes, sums


def two_stage(imputed: Imputed, groups: Groups, clusters: Codes | None = None) -> Averages:
    """Second stage: a regression of the residuals on one indicator per group, without an intercept.

    groups may hold untreated rows (periods before the start): their mean residual is a look at earlier paths
    that includes the periods the model was fitted to, so it is drawn towards zero; `pretrends` is the test.
    clusters (N,) non-negative codes, None for units.
    """
    home = imputed.rows.unit if clusters is None else clusters
    chosen = choose(imputed, groups)
    difference = imputed.difference[chosen.row]
    mean = sums(chosen.group, chosen.mass * difference, groups.n_groups)
    alone = lonely(chosen.group, home[chosen.row], groups.n_groups)
    own = difference - mean[chosen.group]
    return gather(imputed, groups, chosen, Residuals(own, alone[chosen.group], home))


def by_event_time(rows: ImputationRows) -> Groups:
    """One group per period since the start, before it too; units never treated in none. label (k,)."""
    ever = np.flatnonzero(np.isfinite(rows.first))
    label, place = np.unique(rows.when[ever] - rows.first[ever], return_inverse=True)
    code = np.full(rows.time.size, -1, dtype=np.intp)
    code[ever] = place
    return Groups(code, label)
