"""Regression adjustment: mean outcomes with and without treatment from an outcome regression (g-computation).

Everybody is predicted as treated and as untreated, and predictions are averaged over the population that the
effect is about. Standard errors stack the equations of the regression and of the averages (M-estimation;
Stefanski and Boos 2002): they hold if variances or distributions are not those of the family.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.adjustment_outcome import OutcomeFit
from qieval.numerics.estimated_weights import Estimand
from qieval.numerics.means import Means
from qieval.numerics.two_way import Floats, Mask


def adjusted_means(
    fit: OutcomeFit,
    estimand: Estimand = "ATE",
    among: Mask | None = None,
    covariates_random: bool = True,
) -> Means:
    """Average predictions of everybody (ATE), the treated (ATT) or the untreated (ATC).

    among (n,) bool averages over a subgroup only; the regression is that of all rows, so that subgroups can
    be compared by `subgroups.by_subgroup`. With exposure averages are weighted by it, and are rates.
    covariates_random: the rows' covariates are a sample too; without it the means are about people with
    exactly these covariates. No small-sample factor; R's stdReg (stdGlm) has n/(n-1), which is `adjust` of
    `means.covariance`. Negative binomial and gamma use the observed information, with theta stacked.

    >>> from qieval.numerics.adjustment_design import Sample
    >>> from qieval.numerics.adjustment_outcome import fit_outcome
    >>> age, treated = np.array([[50.0], [60.0], [60.0], [70.0]]), np.array([False, False, True, True])
    >>> means = adjusted_means(fit_outcome(Sample(y=age[:, 0] / 10 + treated, treated=treated, x=age)))
    >>> round(means.mean1, 9), round(means.mean0, 9)
    (7.0, 6.0)
    """
    share = fit.sample.target(estimand, among) * fit.sample.time
    share = share / share.sum()
    found = share @ fit.rates
    influence = fit.influence(fit.design.totals_under(share[:, None] * fit.slopes))
    if covariates_random:
        influence += share[:, None] * (fit.rates - found)
    return Means(float(found[0]), float(found[1]), influence, fit.sample.weight > 0)


@dataclass(frozen=True, eq=False)
class EffectAt:
    """Predicted means with and without treatment at m given covariate values.

    means are with influence functions (robust standard errors, clusters); model (m, 2, 2) are covariances of
    (mean1, mean0) if the family is true and rows are independent, as R's vcov(lm) and vcov(glm).
    """

    means: tuple[Means, ...]
    model: Floats


def marginal_effect_at(fit: OutcomeFit, at: Floats) -> EffectAt:
    """Means for people with covariates at (m, k), in the columns of the sample's x; rates if exposure.

    Only products of covariates with treatment, or a curved link, make differences depend on `at`.
    """
    design, used = fit.design, fit.sample.weight > 0
    columns = design.everyone.columns
    held = (np.asarray(at, dtype=float)[:, columns] - design.everyone.centre) / design.everyone.scale
    rows = np.column_stack([np.ones(len(held)), held])
    by_arm = np.stack([rows @ arm for arm in design.maps], axis=1)
    rates = fit.law.mean(by_arm @ fit.beta)
    gradient = by_arm * fit.law.slope(rates)[..., None]
    means = tuple(
        Means(float(rate[0]), float(rate[1]), fit.influence(slopes.T), used)
        for rate, slopes in zip(rates, gradient, strict=True)
    )
    return EffectAt(means, gradient @ fit.model_covariance() @ gradient.transpose(0, 2, 1))
