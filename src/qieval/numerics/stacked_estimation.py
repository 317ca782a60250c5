"""Weighted means and weighted outcome regression with influence functions that allow for estimated weights.

Stacked estimating equations (M-estimation; Stefanski and Boos 2002): the weights' equations and those of
the means are solved together, and a statistic's influence is its own plus its derivative by the weights'
parameters times theirs. Clusters, ratios and odds ratios follow from the influence functions
(`qieval.numerics.means`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.estimated_weights import Standardised, Weights, standardise
from qieval.numerics.means import Means
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats
from qieval.progress import progress

Family = Literal["linear", "logistic"]

STEPS = 100
SEPARATED = 30.0
"""A fitted log odds beyond this means a probability of 0 or 1: the outcomes are separated."""


def influence_of_means(y: Floats, found: Weights, fixed: bool = False) -> Means:
    """Weighted means of y (n,) in each arm.

    fixed leaves the estimation of the weights out (robust HC0 errors of a weighted regression on the
    treatment), as happens anyway where `found` has no equations. Rows with weight 0 may have any finite y.
    WeightIt's lm_weightit (vcov "asympt", or "HC0" if fixed) has the same standard errors for a difference.

    >>> from qieval.numerics.balancing_weights import probability_weights
    >>> treated = np.array([True, True, False, False])
    >>> even = probability_weights(np.full(4, 0.5), treated)
    >>> found = influence_of_means(np.array([3.0, 1.0, 1.0, 0.0]), even)
    >>> print(found.mean1, found.mean0, found.influence[:, 0])
    2.0 0.5 [ 0.5 -0.5  0.   0. ]
    """
    y = _outcome(y, found)
    total = found.total
    means, gradient = np.zeros(2), np.zeros((y.size, 2))
    for arm, rows in enumerate((found.treated, ~found.treated)):
        weight = float(total[rows].sum())
        means[arm] = total[rows] @ y[rows] / weight
        gradient[:, arm] = np.where(rows, y - means[arm], 0.0) / weight
    influence = total[:, None] * gradient
    if not fixed:
        influence += found.correction(found.base[:, None] * gradient)
    return Means(float(means[0]), float(means[1]), influence, total > 0)


def augmented(y: Floats, x: Floats, found: Weights, family: Family = "linear", fixed: bool = False) -> Means:
    """Weighted outcome regression on x (n, k) in each arm, averaged over the target: doubly robust.

    With the canonical link weighted residuals of each arm average zero, so that the mean prediction is also
    the augmented (AIPW-type) estimate. Target rows: all for the ATE, the arm itself for ATT and ATC (by base
    weight); for ATO and ATM the weighted rows of both arms. Logistic needs y in 0..1. A column
    that is constant or in the span of earlier ones among the rows used is left out.
    """
    y = _outcome(y, found)
    total = found.total
    target, moving = _target(found)
    design = standardise(x, total)
    means, gradient = np.zeros(2), np.zeros((y.size, 2))
    influence = np.zeros((y.size, 2))
    for arm, rows in enumerate((found.treated, ~found.treated)):
        fit = _regression(y, design, np.where(rows, total, 0.0), family)
        means[arm] = target @ fit.mean / target.sum()
        across = design.totals(target * fit.slope) / target.sum()
        lever = np.where(rows, (y - fit.mean) * design.times(fit.inverse @ across), 0.0)
        of_target = (fit.mean - means[arm]) / target.sum()
        influence[:, arm] = target * of_target + total * lever
        gradient[:, arm] = found.base * (lever + (of_target if moving else 0.0))
    if not fixed:
        influence += found.correction(gradient)
    return Means(float(means[0]), float(means[1]), influence, (total > 0) | (target > 0))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Statistics (q,) of all rows and of each resample (draws, q); failed draws are NaN."""

    estimate: Floats
    draws: Floats
    failed: int

    def covariance(self) -> Floats:
        """Covariance of the statistics over the draws that worked (q, q)."""
        good = self.draws[np.isfinite(self.draws).all(axis=1)]
        return (
            np.atleast_2d(np.cov(good, rowvar=False))
            if len(good) > 1
            else np.full((self.draws.shape[1],) * 2, np.nan)
        )


def bootstrap(
    procedure: Callable[[Codes], Floats],
    groups: tuple[Codes, Codes | None],
    resampling: Resampling,
    workers: int = 1,
) -> Bootstrap:
    """Run the whole procedure, estimation of weights included, on resampled rows.

    procedure takes row positions (with repeats) and returns statistics (q,). groups: codes (n,) of the
    clusters that are drawn with replacement (rows 0..n-1 for rows by themselves) and codes (n,) of strata
    within which they are drawn, or None; a cluster lies in one stratum. Each draw has its own seed, spawned
    from the first, so that the result does not depend on the number of workers (threads). A resample that
    the procedure refuses with an EstimationError, or whose statistics are not finite, counts as failed.
    """
    clusters, strata = groups
    members, sampling = _members(clusters, strata)
    estimate = np.atleast_1d(np.asarray(procedure(np.arange(clusters.size)), dtype=float))
    seeds = np.random.SeedSequence(resampling.seed).spawn(resampling.draws)

    def draw(seed: np.random.SeedSequence) -> Floats:
        rng = np.random.default_rng(seed)
        chosen = np.concatenate([pool[rng.integers(0, pool.size, pool.size)] for pool in sampling])
        try:
            return np.atleast_1d(
                np.asarray(procedure(np.concatenate([members[c] for c in chosen])), dtype=float)
            )
        except EstimationError:
            return np.full(estimate.size, np.nan)

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            results = list(progress(pool.map(draw, seeds), "bootstrap"))
    else:
        results = [draw(seed) for seed in progress(seeds, "bootstrap")]
    draws = np.array(results).reshape(resampling.draws, estimate.size)
    return Bootstrap(estimate, draws, int(np.count_nonzero(~np.isfinite(draws).all(axis=1))))


def _members(clusters: Codes, strata: Codes | None) -> tuple[list[Codes], list[Codes]]:
    """Rows of each cluster, and the clusters of each stratum."""
    codes = np.unique(clusters, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    if strata is None:
        return members, [np.arange(len(members))]
    of_cluster = np.array([strata[rows[0]] for rows in members])
    if any((strata[rows] != strata[rows[0]]).any() for rows in members):
        raise ValueError("a cluster lies in several strata")
    return members, [np.flatnonzero(of_cluster == stratum) for stratum in np.unique(of_cluster)]


def _outcome(y: Floats, found: Weights) -> Floats:
    if not found.converged:
        raise EstimationError(f"The weights were not found: {found.status}.")
    y = np.asarray(y, dtype=float)
    if y.shape != found.treated.shape or not np.isfinite(y).all():
        raise ValueError("the outcome must be finite, one value for each row")
    for rows in (found.treated, ~found.treated):
        if not found.total[rows].sum() > 0:
            raise ValueError("an arm has no weight")
    return y


def _target(found: Weights) -> tuple[Floats, bool]:
    """Weights of the population to average over, and whether they are the estimated weights themselves."""
    if found.estimand in ("ATT", "ATC"):
        return found.base * (found.treated == (found.estimand == "ATT")), False
    if found.estimand == "ATE":
        return found.base, False
    return found.total, True


@dataclass(frozen=True, eq=False)
class _Fit:
    """Predictions of all rows (n,), their slope by the linear predictor, the inverse information (q, q)."""

    mean: Floats
    slope: Floats
    inverse: Floats


def _regression(y: Floats, design: Standardised, weight: Floats, family: Family) -> _Fit:
    if family == "linear":
        inverse = _inverse(design.gram(weight))
        return _Fit(design.times(inverse @ design.totals(weight * y)), np.ones(y.size), inverse)
    if family != "logistic":
        raise ValueError(f"unknown family {family!r}: linear or logistic")
    if y[weight > 0].min() < 0 or y[weight > 0].max() > 1:
        raise ValueError("a logistic outcome regression needs outcomes between 0 and 1")
    b = np.zeros(design.q)
    share = weight / weight.sum()
    for _ in range(STEPS):
        index = design.times(b)
        mean = scipy.special.expit(index)
        gradient = design.totals(share * (y - mean))
        if np.abs(index[weight > 0]).max() > SEPARATED:
            break
        if np.abs(gradient).max() < 1e-12:
            inverse = _inverse(design.gram(weight * mean * (1 - mean)))
            return _Fit(mean, mean * (1 - mean), inverse)
        b = _rise(b, _inverse(design.gram(share * mean * (1 - mean))) @ gradient, (y, design, share))
    raise EstimationError(
        "The logistic outcome regression has no finite solution: covariates separate the outcomes of an arm."
    )


def _rise(b: Floats, step: Floats, data: tuple[Floats, Standardised, Floats]) -> Floats:
    """b plus the step, halved until the log-likelihood does not fall."""
    y, design, share = data

    def log_likelihood(at: Floats) -> float:
        index = design.times(at)
        return float(share @ (y * index - np.logaddexp(0, index)))

    now = log_likelihood(b)
    for _ in range(40):
        if log_likelihood(b + step) >= now - 1e-14:
            break
        step = step / 2
    return b + step


def _inverse(gram: Floats) -> Floats:
    return np.asarray(scipy.linalg.pinvh(gram, rtol=1e-12))
