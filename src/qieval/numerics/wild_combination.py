"""Wild cluster bootstrap of an average of event coefficients: p-value and interval when clusters are few.

"The combination a'beta equals theta" is imposed on a regression with one column per event by writing it with
theta as one coefficient: with j the event of the largest |a_j|, beta_j = (theta - sum over i != j of a_i
beta_i) / a_j, so that D_j / a_j is the treatment column and D_i - (a_i / a_j) D_j the others (any j gives the
same fit). The weights a are taken as known, as fixest's `sunab` takes the shares of cohorts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.absorb import Fit, Within, fit_static, within
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats, compact
from qieval.numerics.wild_bootstrap import Weights, WildBootstrap, wild_cluster_bootstrap

NOT_IDENTIFIED = (
    "This average gives weight to a cohort and period whose effect could not be estimated; leave that cell "
    "out of the average."
)
NO_WEIGHT = "This average gives weight to no cohort and period, so there is nothing to test."
NO_VARIANCE = (
    "The estimate has no variation between clusters (too few clusters, or treatment in too few of them); "
    "permute the roll-out instead."
)


@dataclass(frozen=True, eq=False)
class WildCombination:
    """estimate a'beta and its bootstrap; reason says why there is none ('' otherwise, and then numbers)."""

    estimate: float
    bootstrap: WildBootstrap | None
    reason: str = ""


def wild_combination(
    fit: Fit,
    combination: Floats,
    clusters: Codes,
    resampling: Resampling | None = None,
    weights: Weights = "auto",
) -> WildCombination:
    """Restricted wild cluster bootstrap-t of a'beta, beta (p,) the coefficients of `fit_event`.

    combination (p,) is a; clusters (n_input,) codes. Options and conventions are those of
    `wild_cluster_bootstrap`. One dense column of n rows is made for each event. Agrees with re-estimating
    every draw on dense dummies.
    """
    if fit.events is None:
        raise ValueError("a combination needs event columns (fit_event)")
    a = np.asarray(combination, dtype=float)
    if not np.any(a):
        return WildCombination(np.nan, None, NO_WEIGHT)
    if np.any(a[fit.collinear]):
        return WildCombination(np.nan, None, NOT_IDENTIFIED)
    estimate = float(a[~fit.collinear] @ fit.beta[~fit.collinear])
    if compact(clusters[fit.base.rows.used])[1] < 2:
        return WildCombination(estimate, None, NO_VARIANCE)
    base, column = _as_static(fit, a)
    static = fit_static(base, column)
    found = wild_cluster_bootstrap(static, clusters, resampling, weights)
    reason = NO_VARIANCE if np.isnan(found.p_value) else ""
    return WildCombination(estimate, None if reason else found, reason)


def _as_static(fit: Fit, a: Floats) -> tuple[Within, Floats]:
    """The same regression with a'beta as coefficient of one column (n_input,), all else as covariates."""
    rows, code = fit.base.rows, fit.events.code  # type: ignore[union-attr]
    lead = int(np.argmax(np.abs(a)))
    lead_column = (code == lead).astype(float)
    others = [int(i) for i in np.flatnonzero(~fit.collinear) if i != lead]
    k = len(fit.base.x)
    x = np.empty((rows.n_input, k + len(others)), order="F")
    for j in range(k):
        x[:, j] = rows.spread(fit.base.x[j])
    for j, i in enumerate(others, start=k):
        x[:, j] = rows.spread((code == i) - a[i] / a[lead] * lead_column)
    base = within(rows, rows.spread(fit.base.y), x)
    return base, rows.spread(lead_column / a[lead])
