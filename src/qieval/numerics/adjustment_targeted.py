"""Targeted maximum likelihood (TMLE): doubly robust means that stay within the range of the outcome."""

from __future__ import annotations

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.adjustment_outcome import OutcomeFit
from qieval.numerics.adjustment_weighting import augmented_means
from qieval.numerics.estimated_weights import Weights
from qieval.numerics.means import Means
from qieval.numerics.two_way import Floats

EDGE = 5e-4
"""First predictions are held this share of the range away from its ends, as R's tmle does."""
ITERATIONS = 100
STEP = 1e-12


def targeted_means(
    fit: OutcomeFit, found: Weights, low: float | None = None, high: float | None = None
) -> Means:
    """Predictions of each arm are moved on the logit scale until its weighted residuals sum to zero.

    low and high bound the outcome; without them they are 0 and 1 for a binomial outcome and the observed
    range otherwise. Weights enter as weights of a constant fluctuation (R's tmle with gwt = TRUE). Standard
    errors are those of the efficient influence function, for which both models should be right. R's tmle
    differs because it cross-validates the first predictions by default (cvQinit = TRUE) with folds drawn at
    random. Not for rates. EstimationError if all outcomes of an arm lie at one end of the range. Source: van
    der Laan and Rubin (2006); Gruber and van der Laan (2010) for bounded outcomes.
    """
    sample = fit.sample
    if sample.exposure is not None:
        raise ValueError("targeted maximum likelihood is for means, not for rates")
    low, high = _range(fit, low, high)
    share = (sample.y - low) / (high - low)
    if (share < 0).any() or (share > 1).any():
        raise ValueError("outcomes must lie within low and high")
    first = np.clip((fit.rates - low) / (high - low), EDGE, 1 - EDGE)
    rates = np.empty_like(first)
    for column, rows in enumerate(sample.arms):
        linear = np.asarray(scipy.special.logit(first[:, column]))
        moved = _move(linear[rows], share[rows], found.total[rows])
        rates[:, column] = low + (high - low) * scipy.special.expit(linear + moved)
    return augmented_means(sample, rates, found)


def _range(fit: OutcomeFit, low: float | None, high: float | None) -> tuple[float, float]:
    y = fit.sample.y[fit.sample.weight > 0]
    ends = (0.0, 1.0) if fit.law.family == "binomial" else (float(y.min()), float(y.max()))
    low, high = ends[0] if low is None else low, ends[1] if high is None else high
    if not low < high:
        raise EstimationError("The outcome does not vary: there is nothing to estimate.")
    return low, high


def _move(linear: Floats, share: Floats, weight: Floats) -> float:
    """Constant on the log odds that makes weighted residuals sum to zero, by safeguarded Newton steps."""
    level = float(weight @ share / weight.sum())
    if not 0 < level < 1:
        raise EstimationError("All outcomes of one group lie at the same end of the range.")
    moved, below, above = 0.0, -np.inf, np.inf
    for _ in range(ITERATIONS):
        mean = scipy.special.expit(linear + moved)
        excess = float(weight @ (share - mean))
        below, above = (moved, above) if excess > 0 else (below, moved)
        step = excess / float(weight @ (mean * (1 - mean)))
        after = moved + np.clip(step, -2.0, 2.0)
        if not below <= after <= above:
            after = (below + above) / 2
        if abs(after - moved) <= STEP:
            return float(after)
        moved = after
    raise EstimationError("The targeting step did not converge.")
