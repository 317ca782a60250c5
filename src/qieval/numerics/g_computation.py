"""Means with and without treatment from an outcome regression, averaged over a target population.

The regression predicts the outcome of every target row twice, as treated and as untreated; the averages of
the predictions are the two means (g-computation, also called standardisation or marginal effects).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.means import Means, rows_used
from qieval.numerics.two_way import Floats, Mask
from qieval.numerics.weighted_regression import Family, Regression, predicted, weighted_regression


@dataclass(frozen=True, eq=False, kw_only=True)
class OutcomeModel:
    """Which regression, and what counts as random.

    interacted: every covariate has its own slope in each arm (otherwise one slope). person_time (n,) > 0 is
    for Poisson: its logarithm is the offset and the means are rates. target_random adds the contribution of
    the target rows' covariates, which are a sample too; without it the means are about the covariates as
    they are, as marginaleffects::avg_comparisons and the delta method over the coefficients have it.
    jackknife divides residuals by 1 - leverage (HC3).
    """

    family: Family = "linear"
    interacted: bool = True
    person_time: Floats | None = None
    target_random: bool = False
    jackknife: bool = False


@dataclass(frozen=True, eq=False)
class GComputation:
    """The means and the regression behind them.

    Columns of the regression: constant, treatment, covariates (centred at the target), and with interaction
    treatment times covariates. gradient (2, k) are the derivatives of mean1 and mean0 by the coefficients:
    with any covariance V (k, k) of these, gradient V gradient' is that of the means by the delta method.
    small_sample is (n-1)/(n-k), for `covariance(..., factor, adjust=True)`.
    """

    means: Means
    regression: Regression
    gradient: Floats

    @property
    def small_sample(self) -> float:
        """(n-1)/(n-k) of the regression."""
        return self.regression.small_sample


def g_computation(
    y: Floats,
    treated: Mask,
    x: Floats,
    weights: Floats,
    target: Floats | None = None,
    model: OutcomeModel | None = None,
) -> GComputation:
    """Regress y on treatment and covariates x (n, k) with weights, average predictions over the target.

    target (n,) are the weights of the rows that the means are about: for the effect in the treated, treated
    as numbers times weights; None means weights. Rates: the average is weighted by person-time too, so that
    without covariates a mean is events per person-time. A covariate that does not vary in one arm takes the
    slope of the other arm there. y may be NaN where weights are 0, x where weights and target are. In a
    linear regression with all covariates balanced the difference is the weighted difference of means.
    ValueError if an arm has no weight or the target is empty.
    """
    model = model or OutcomeModel()
    target = weights if target is None else target
    wanted, used = rows_used(target), rows_used(weights)
    if not (wanted.any() and used[treated].any() and used[~treated].any()):
        raise ValueError("each arm and the target need rows of positive weight")
    time = np.ones(len(y)) if model.person_time is None else model.person_time
    centre = np.average(x[wanted], axis=0, weights=target[wanted])
    centred = np.where((wanted | used)[:, None], x - centre, 0.0)
    offset = None if model.person_time is None else np.log(time)
    fit = weighted_regression(
        _design(treated.astype(float), centred, model), y, weights, model.family, offset
    )
    share = np.where(wanted, target * time, 0.0)
    share /= share.sum()
    averages = [_average(fit, np.full(len(y), arm), centred, share, model) for arm in (1.0, 0.0)]
    gradient = np.array([by_beta for _, by_beta, _ in averages])
    influence = fit.influence(gradient, model.jackknife)
    if model.target_random:
        influence += np.column_stack([own for _, _, own in averages])
        used = used | wanted
    return GComputation(Means(averages[0][0], averages[1][0], influence, used), fit, gradient)


def _design(arm: Floats, x: Floats, model: OutcomeModel) -> Floats:
    parts = [np.ones((len(x), 1)), arm[:, None], x]
    if model.interacted:
        parts.append(arm[:, None] * x)
    return np.hstack(parts)


def _average(
    fit: Regression, arm: Floats, x: Floats, share: Floats, model: OutcomeModel
) -> tuple[float, Floats, Floats]:
    """Average prediction with everybody in one arm, its derivative by beta, and each row's part in averaging.

    Poisson predictions are per unit of person-time.
    """
    design = _design(arm, x, model)
    prediction, slope = predicted(design @ fit.beta, model.family)
    mean = float(share @ prediction)
    return mean, (share * slope) @ design, share * (prediction - mean)
