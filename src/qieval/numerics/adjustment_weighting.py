"""Means with and without treatment by inverse probability weighting, and doubly robust (AIPW).

Weights come from `score_weights` (estimated by logistic regression) or `probability_weights` (scores known).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import OutcomeFit
from qieval.numerics.balancing_weights import score_weights
from qieval.numerics.estimated_weights import Estimand, Weights
from qieval.numerics.means import Means
from qieval.numerics.two_way import Floats, Mask

Divisor = Literal["hajek", "horvitz-thompson"]


def treatment_weights(sample: Sample, estimand: Estimand = "ATE", x: Floats | None = None) -> Weights:
    """Inverse probability weights from a logistic regression of treatment on covariates x (None: those of y).

    EstimationError in words for users where covariates tell the arms apart without error.
    """
    found = score_weights(sample.x if x is None else x, sample.treated, estimand, sample.weights)
    if found.status == "separated":
        raise EstimationError(
            "Some combination of covariates tells without error who was treated (separation), so that there "
            "is nobody to compare with. Restrict the study to people who could have been in either group, "
            "or merge rare levels of covariates."
        )
    if not found.converged:
        raise EstimationError("The regression of treatment on covariates did not converge.")
    return found


def weighted_outcomes(
    sample: Sample,
    found: Weights,
    divisor: Divisor = "hajek",
    among: Mask | None = None,
    scores_known: bool = False,
) -> Means:
    """Weighted mean outcome of each arm; with exposure weighted events over weighted exposure.

    "hajek" divides by the sum of weights of the arm, "horvitz-thompson" by the size of the population that
    the effect is about, which changes if the outcome gets another zero. Stabilised weights give the same as
    "hajek". among (n,) bool: a subgroup only. The standard error allows for the scores being estimated,
    unless scores_known (robust HC0 of a weighted regression on the treatment).
    """
    _check(sample, found)
    share = found.base if among is None else found.base * among
    own = _own(sample) * share[:, None]
    weight = own * found.weights[:, None]
    total = weight.T @ sample.y
    if divisor == "hajek":
        size = weight.T @ sample.time
        _check_arms(size)
        means = total / size
        apart = sample.y[:, None] - sample.time[:, None] * means
        influence, gradient = weight * apart / size, own * apart / size
    elif divisor == "horvitz-thompson":
        _check_arms(weight.sum(axis=0))
        target = sample.target(found.estimand, among) * sample.time
        size = target.sum()
        means = total / size
        influence = (weight * sample.y[:, None] - target[:, None] * means) / size
        gradient = own * sample.y[:, None] / size
    else:
        raise ValueError(f"divisor {divisor!r}: hajek or horvitz-thompson")
    if not scores_known:
        influence += found.correction(gradient)
    return Means(float(means[0]), float(means[1]), influence, share > 0)


def doubly_robust(
    fit: OutcomeFit, found: Weights, among: Mask | None = None, models_known: bool = False
) -> Means:
    """Augmented inverse probability weighting: mean predictions plus weighted mean residuals of each arm.

    Right if the outcome regression or the score is. For the ATT the mean of the treated is the observed one.
    The standard error stacks the equations of both models and is right if one model is wrong;
    models_known is the variance of the efficient influence function, which needs both. Source: Robins,
    Rotnitzky and Zhao (1994); for ATT and ATC Moodie, Saarela and Stephens (2018). Checked against zEpid and
    R (estimate, models_known), and against derivatives by each row's weight.
    """
    sample, design = fit.sample, fit.design
    means = augmented_means(sample, fit.rates, found, among)
    if models_known:
        return means
    target = sample.target(found.estimand, among) * sample.time
    size = target.sum()
    base = found.base if among is None else found.base * among
    slope = np.where(sample.treated, fit.slopes[:, 0], fit.slopes[:, 1]) * sample.time
    pull = _own(sample) * (base * found.weights * slope / size)[:, None]
    of_fit = design.totals_under((target / size)[:, None] * fit.slopes) - design.totals(pull)
    lever = _own(sample) * (base * (sample.y - fit.mean) / size)[:, None]
    influence = means.influence + fit.influence(of_fit) + found.correction(lever)
    return Means(means.mean1, means.mean0, influence, found.base > 0)


def augmented_means(sample: Sample, rates: Floats, found: Weights, among: Mask | None = None) -> Means:
    """The doubly robust means from predictions of any kind, which are taken as known.

    rates (n, 2) are expected outcomes as treated and as untreated, per unit of exposure.
    """
    _check(sample, found)
    target = sample.target(found.estimand, among) * sample.time
    size = target.sum()
    share = (target / size)[:, None]
    base = found.base if among is None else found.base * among
    expected = np.where(sample.treated, rates[:, 0], rates[:, 1]) * sample.time
    residual = _own(sample) * (found.weights * base * (sample.y - expected) / size)[:, None]
    means = share.T[0] @ rates + residual.sum(axis=0)
    influence = share * (rates - means) + residual
    return Means(float(means[0]), float(means[1]), influence, base > 0)


@dataclass(frozen=True)
class StabilisedWeights:
    """Weights times the share of the row's arm: their mean should be near 1, and the range not wide."""

    mean: float
    low: float
    high: float


def stabilised_range(found: Weights) -> StabilisedWeights:
    """Mean and range of stabilised weights, base weights counted."""
    base, treated = found.base, found.treated
    share = float(base[treated].sum() / base.sum())
    weights = found.weights * np.where(treated, share, 1 - share)
    used = weights[base > 0]
    return StabilisedWeights(float(np.average(weights, weights=base)), float(used.min()), float(used.max()))


def _own(sample: Sample) -> Floats:
    """1 in the column of the row's arm (n, 2)."""
    return np.column_stack([sample.treated, ~sample.treated]).astype(float)


def _check(sample: Sample, found: Weights) -> None:
    if not found.converged:
        raise EstimationError(f"The weights were not found: {found.status}.")
    if not np.array_equal(sample.treated, found.treated) or not np.array_equal(sample.weight, found.base):
        raise ValueError("the weights are not those of this sample")


def _check_arms(size: Floats) -> None:
    if not (size > 0).all():
        raise ValueError("an arm has no weight in the population that the effect is about")
