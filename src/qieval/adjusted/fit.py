"""The models of an adjustment, fitted, and the means with and without treatment that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.numerics.adjustment import adjusted_means
from qieval.numerics.adjustment_cross_fitting import CrossFitting, Learners, cross_fitted
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import OutcomeFit, OutcomeSpec, fit_outcome
from qieval.numerics.adjustment_targeted import targeted_means
from qieval.numerics.adjustment_weighting import (
    augmented_means,
    doubly_robust,
    treatment_weights,
    weighted_outcomes,
)
from qieval.numerics.balancing_weights import probability_weights
from qieval.numerics.estimated_weights import Estimand, Weights
from qieval.numerics.means import Means
from qieval.progress import progress

CROSS_FITTED = "cross-fitted doubly robust"
WEIGHTED = "weighting"
TARGETED = "TMLE"
STANDARDISED = "g-computation"
ROBUST = "doubly robust"


@dataclass(frozen=True, eq=False, kw_only=True)
class How:
    """How to adjust. learners (outcome, score) and plans (one per split of folds): cross-fitting only."""

    estimator: str
    estimand: Estimand
    spec: OutcomeSpec
    inference: str = "automatic"
    learners: Learners | None = None
    plans: tuple[CrossFitting, ...] = ()


@dataclass(frozen=True, eq=False)
class Split:
    """Predictions of one split of folds: rates (n, 2) and weights from the held-out scores."""

    rates: np.ndarray
    weights: Weights
    bounded: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Adjusted:
    """Models fitted to the rows whose outcome is known.

    rows (m,): their positions in the cohort; cluster (m,) codes or None. fit is None for weighting and
    cross-fitting, weights for g-computation and cross-fitting; splits for cross-fitting only.
    """

    how: How
    sample: Sample
    rows: np.ndarray
    cluster: np.ndarray | None
    fit: OutcomeFit | None = None
    weights: Weights | None = None
    splits: tuple[Split, ...] = ()

    def means(self, among: np.ndarray | None = None) -> tuple[Means, ...]:
        """The two means with influence functions, of everybody or among some (m,); one per split."""
        how = self.how
        if how.estimator == CROSS_FITTED:
            return tuple(
                augmented_means(self.sample, split.rates, split.weights, among) for split in self.splits
            )
        if how.estimator == WEIGHTED:
            assert self.weights is not None
            known = how.inference == "models known"
            return (weighted_outcomes(self.sample, self.weights, "hajek", among, scores_known=known),)
        assert self.fit is not None
        if how.estimator == STANDARDISED:
            varying = how.inference not in ("covariates fixed", "model")
            return (adjusted_means(self.fit, how.estimand, among, varying),)
        assert self.weights is not None
        if how.estimator == TARGETED and among is None:
            return (targeted_means(self.fit, self.weights),)
        return (doubly_robust(self.fit, self.weights, among, models_known=how.inference == "models known"),)


def fitted(
    how: How, sample: Sample, rows: np.ndarray | None = None, cluster: np.ndarray | None = None
) -> Adjusted:
    """Fit the models of one way to adjust. EstimationError where a model has no solution."""
    places = np.arange(sample.y.size) if rows is None else rows
    shared: dict[str, Any] = {"how": how, "sample": sample, "rows": places, "cluster": cluster}
    if how.estimator == CROSS_FITTED:
        return Adjusted(**shared, splits=_splits(how, sample, cluster))
    weights = None if how.estimator == STANDARDISED else treatment_weights(sample, how.estimand)
    fit = None if how.estimator == WEIGHTED else fit_outcome(sample, how.spec)
    return Adjusted(**shared, fit=fit, weights=weights)


def _splits(how: How, sample: Sample, cluster: np.ndarray | None) -> tuple[Split, ...]:
    """Held-out predictions of each split. Rows are put into an order of their own first, so that folds and
    learners do not depend on the order of the data."""
    assert how.learners is not None
    order = own_order(sample, cluster, how.plans[0].seed)
    back = np.argsort(order, kind="stable")
    sorted_sample = taken(sample, order)
    groups = None if cluster is None else cluster[order]
    found = []
    for plan in progress(how.plans, "splits"):
        made = cross_fitted(sorted_sample, how.learners, how.estimand, plan, groups)
        score = np.clip(made.score[back], plan.bound, 1 - plan.bound)
        weights = probability_weights(score, sample.treated, how.estimand, sample.weights)
        found.append(Split(made.rates[back], weights, made.bounded))
    return tuple(found)


def own_order(sample: Sample, cluster: np.ndarray | None, seed: int) -> np.ndarray:
    """A random order (n,) that is the same for the same rows in any order; equal rows may change places."""
    keys = [sample.treated, *sample.x.T, sample.time, sample.y]
    held = np.lexsort(keys if cluster is None else [*keys, cluster])
    return np.asarray(held[np.random.default_rng(seed).permutation(held.size)])


def taken(sample: Sample, rows: np.ndarray) -> Sample:
    """Some rows of a sample."""
    return Sample(
        y=sample.y[rows],
        treated=sample.treated[rows],
        x=sample.x[rows],
        weights=None if sample.weights is None else sample.weights[rows],
        exposure=None if sample.exposure is None else sample.exposure[rows],
    )
