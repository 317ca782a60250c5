"""How sure the two means of an adjustment are: by influence functions, by the family, or by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qieval.adjusted.fit import CROSS_FITTED, STANDARDISED, Adjusted, fitted, own_order
from qieval.errors import EstimationError
from qieval.numerics.adjustment_cross_fitting import combined
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.means import Means, covariance, n_clusters
from qieval.progress import progress

MOST_FAILED = 0.1
"""With a larger share of bootstrap draws without an estimate their spread means little."""


@dataclass(frozen=True, eq=False)
class Estimated:
    """Means with their covariance (2, 2); failed: draws of a bootstrap that gave no estimate."""

    means: Means
    covariance: np.ndarray
    failed: int = 0


@dataclass(frozen=True)
class Draws:
    """Number of bootstrap draws and their seed."""

    draws: int
    seed: int


def estimated(held: Adjusted, draws: Draws) -> Estimated:
    """The means of everybody that the effect is about."""
    return many_estimated(held, [None], draws)[0]


def many_estimated(held: Adjusted, among: Sequence[np.ndarray | None], draws: Draws) -> tuple[Estimated, ...]:
    """The means in each of some groups (m,) of people; one bootstrap serves them all.

    G-computation has a factor n/(n-1), as R's stdReg; weighting and doubly robust none, as R's WeightIt and
    statsmodels; clusters G/(G-1).
    """
    adjust = held.cluster is not None or held.how.estimator == STANDARDISED
    found = []
    for some in among:
        every = held.means(some)
        if held.how.estimator == CROSS_FITTED:
            both = combined(every, held.cluster, adjust=adjust)
            found.append(Estimated(both.means, both.covariance))
        elif held.how.inference == "model":
            found.append(Estimated(every[0], _by_family(held, some)))
        else:
            found.append(Estimated(every[0], covariance(every[0], held.cluster, adjust=adjust)))
    if held.how.inference != "bootstrap":
        return tuple(found)
    values, failed = _drawn_again(held, among, draws)
    return tuple(Estimated(one.means, np.cov(values[:, place].T), failed) for place, one in enumerate(found))


def groups_of(held: Adjusted) -> int:
    """Clusters, or rows where there are none: one more than the degrees of freedom."""
    return n_clusters(held.cluster, held.sample.weight > 0)


def _by_family(held: Adjusted, among: np.ndarray | None) -> np.ndarray:
    """Covariance of the means if the family is true, rows are independent and covariates fixed."""
    fit, how = held.fit, held.how
    assert fit is not None
    share = fit.sample.target(how.estimand, among) * fit.sample.time
    slopes = fit.design.totals_under((share / share.sum())[:, None] * fit.slopes)
    return np.asarray(slopes.T @ fit.model_covariance() @ slopes)


def _drawn_again(held: Adjusted, among: Sequence[np.ndarray | None], plan: Draws) -> tuple[np.ndarray, int]:
    """Means (draws, groups, 2) when clusters, or people, are drawn again and every model fitted again."""
    sample = held.sample
    code = held.cluster
    if code is None:
        code = np.empty(sample.y.size, dtype=np.intp)
        code[own_order(sample, None, plan.seed)] = np.arange(sample.y.size)
    labels, code = np.unique(code, return_inverse=True)
    rng, drawn, failed = np.random.default_rng(plan.seed), [], 0
    for _ in progress(range(plan.draws), "bootstrap"):
        times = rng.multinomial(labels.size, np.full(labels.size, 1 / labels.size))[code]
        try:
            again = fitted(held.how, _weighted(sample, times.astype(float)), held.rows, held.cluster)
            means = [again.means(some)[0] for some in among]
        except (EstimationError, ValueError):
            # A draw may lack a group or be separated where the data are not; how many is told.
            failed += 1
            continue
        drawn.append([(one.mean1, one.mean0) for one in means])
    if failed > MOST_FAILED * plan.draws:
        raise EstimationError(
            f"inference: {failed} of {plan.draws} bootstrap draws gave no estimate, so their spread means"
            " little. The groups are small or nearly separated; use inference='automatic'."
        )
    return np.array(drawn), failed


def _weighted(sample: Sample, weights: np.ndarray) -> Sample:
    return Sample(y=sample.y, treated=sample.treated, x=sample.x, weights=weights, exposure=sample.exposure)
