"""Doubly robust means with predictions from any scikit-learn learner, each made without the row's own fold.

Double machine learning for the interactive model (Chernozhukov et al. 2018): learners may be flexible,
because no row helps to predict itself. Answers depend on the folds that were drawn; several draws are
combined by medians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_weighting import augmented_means
from qieval.numerics.balancing_weights import probability_weights
from qieval.numerics.estimated_weights import Estimand
from qieval.numerics.means import Clusters, Means, covariance
from qieval.numerics.two_way import Codes, Floats, Mask, compact
from qieval.progress import progress


@dataclass(frozen=True, kw_only=True)
class CrossFitting:
    """Folds of each draw, number of draws, seed, and the bound that scores are kept away from 0 and 1."""

    folds: int = 5
    draws: int = 1
    seed: int = 0
    bound: float = 0.01


@dataclass(frozen=True, eq=False)
class Learners:
    """Unfitted scikit-learn estimators: a regressor or classifier of the outcome, a classifier of treatment.

    They are cloned. A classifier of the outcome needs outcomes 0 and 1, and no exposure. A random_state that
    is None is set from the seed, so that the same call gives the same answer.
    """

    outcome: Any
    score: Any


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Means of each draw of folds, with predictions of the last: rates (n, 2), score (n,), fold (n,).

    bounded is the share of rows whose score was moved to the bound, averaged over draws.
    """

    draws: tuple[Means, ...]
    rates: Floats
    score: Floats
    fold: Codes
    bounded: float


def cross_fitted(
    sample: Sample,
    learners: Learners,
    estimand: Estimand = "ATE",
    plan: CrossFitting | None = None,
    cluster: Codes | None = None,
) -> CrossFitted:
    """Cross-fitted AIPW for ATE, ATT or ATC; one Means for each draw of folds, which `combined` makes one.

    Folds hold whole clusters; without clusters they hold the same share of treated. The outcome is learned in
    each arm apart, as outcome per unit of exposure weighted by exposure. Weights need learners that take
    sample_weight. For subgroups give rates and score of the result to `augmented_means`. Checked against a
    loop over the folds. EstimationError if all but one fold lack an arm, or a class of the outcome.
    """
    plan = plan or CrossFitting()
    if not (plan.folds >= 2 and plan.draws >= 1 and 0 < plan.bound < 0.5):
        raise ValueError("two folds or more, one draw or more, and a bound between 0 and 0.5")
    rng = np.random.default_rng(plan.seed)
    held, bounded = [], 0.0
    for _ in progress(range(plan.draws), "cross-fitting"):
        fold = _folds(sample.treated, cluster, plan.folds, rng)
        rates, raw = _predictions(sample, learners, fold, rng)
        score = np.clip(raw, plan.bound, 1 - plan.bound)
        found = probability_weights(score, sample.treated, estimand, sample.weights)
        held.append(augmented_means(sample, rates, found))
        bounded += float(np.mean(score != raw)) / plan.draws
    return CrossFitted(tuple(held), rates, score, fold, bounded)


@dataclass(frozen=True, eq=False)
class Combined:
    """One pair of means and their covariance (2, 2), for `contrasts`."""

    means: Means
    covariance: Floats


def combined(
    draws: tuple[Means, ...], cluster: Clusters = None, factor: float = 1.0, adjust: bool = False
) -> Combined:
    """Medians over draws of folds; variances have the distance of each draw from the median added first.

    Medians are of the mean without treatment and of the difference, so that the difference and its standard
    error are those of Chernozhukov et al. (2018, definition 3.3) and of DoubleML for one effect: the median
    of the estimates, and the root of the median of (standard error^2 + distance^2). The correlation is the
    median one. influence is averaged, without the variation between draws.

    >>> one = Means(2.0, 1.0, np.array([[0.1, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1]]))
    >>> print(combined((one,)).covariance.round(6))
    [[0.02 0.  ]
     [0.   0.02]]
    """
    turn = np.array([[0.0, 1.0], [1.0, -1.0]])
    values = np.array([turn @ [one.mean1, one.mean0] for one in draws])
    middle = np.median(values, axis=0)
    spread = []
    for value, one in zip(values, draws, strict=True):
        apart = value - middle
        spread.append(turn @ covariance(one, cluster, factor, adjust) @ turn.T + np.outer(apart, apart))
    variance = np.array([np.diag(one) for one in spread])
    size = np.sqrt(np.median(variance, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        related = np.array([one[0, 1] for one in spread]) / np.sqrt(variance.prod(axis=1))
    between = float(np.median(np.where(np.isfinite(related), related, 0.0))) * size[0] * size[1]
    back = np.linalg.inv(turn)
    influence = np.mean([one.influence for one in draws], axis=0)
    means = Means(float(middle.sum()), float(middle[0]), influence, draws[0].used)
    inner = np.array([[size[0] ** 2, between], [between, size[1] ** 2]])
    return Combined(means, back @ inner @ back.T)


def _folds(treated: Mask, cluster: Codes | None, folds: int, rng: np.random.Generator) -> Codes:
    """Fold of each row (n,), of equal size in rows of each arm, or in clusters."""
    out = np.empty(treated.size, dtype=np.intp)
    if cluster is not None:
        codes, groups = compact(cluster)
        if groups < folds:
            raise EstimationError(f"There are {groups} clusters, too few for {folds} folds.")
        return np.asarray(_dealt(groups, folds, rng)[codes])
    for arm in (treated, ~treated):
        out[arm] = _dealt(int(arm.sum()), folds, rng)
    return out


def _dealt(n: int, folds: int, rng: np.random.Generator) -> Codes:
    return np.asarray(rng.permutation(np.arange(n) % folds))


def _predictions(
    sample: Sample, learners: Learners, fold: Codes, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Expected outcomes (n, 2) per unit of exposure and scores (n,), for each row without its fold."""
    rates, score = np.empty((sample.y.size, 2)), np.empty(sample.y.size)
    treated, rate = sample.treated.astype(float), sample.y / sample.time
    weight = None if sample.weights is None else sample.weight
    both = weight if sample.exposure is None else sample.weight * sample.time
    for one in np.unique(fold):
        out, train = fold == one, fold != one
        score[out] = _learned(learners.score, _Task(sample.x, treated, weight, train), out, rng)
        for column, arm in enumerate((sample.treated, ~sample.treated)):
            task = _Task(sample.x, rate, both, train & arm)
            rates[out, column] = _learned(learners.outcome, task, out, rng)
    return rates, score


@dataclass(frozen=True, eq=False)
class _Task:
    """What is learned from which rows."""

    x: Floats
    y: Floats
    weights: Floats | None
    rows: Mask


def _learned(learner: Any, task: _Task, out: Mask, rng: np.random.Generator) -> Floats:
    """Predictions for the rows out of a learner that saw the rows of the task."""
    from sklearn.base import clone, is_classifier

    rows = task.rows if task.weights is None else task.rows & (task.weights > 0)
    classes = np.unique(task.y[rows])
    choosing = is_classifier(learner)
    if choosing and not np.isin(classes, (0.0, 1.0)).all():
        raise ValueError("a classifier of the outcome needs outcomes 0 and 1, without exposure")
    if not classes.size or (choosing and classes.size < 2):
        raise EstimationError(
            "Without one of the folds an arm is empty, or one of its outcomes does not occur. Use fewer "
            "folds, or a simpler method than cross-fitting."
        )
    model = clone(learner)
    open_seeds = [name for name, value in model.get_params().items() if _is_seed(name) and value is None]
    if open_seeds:
        model.set_params(**{name: int(rng.integers(2**31)) for name in open_seeds})
    given = {} if task.weights is None else {_weight_name(model): task.weights[rows]}
    model.fit(task.x[rows], task.y[rows], **given)
    if not choosing:
        return np.asarray(model.predict(task.x[out]), dtype=float)
    return np.asarray(model.predict_proba(task.x[out])[:, 1], dtype=float)


def _is_seed(name: str) -> bool:
    return name == "random_state" or name.endswith("__random_state")


def _weight_name(model: Any) -> str:
    """Name of the argument of fit that takes weights: that of the last step of a pipeline."""
    steps = getattr(model, "steps", None)
    return f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
