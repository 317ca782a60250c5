"""From weights and outcomes to the effect, with the standard error that suits how the groups were made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.cohort import Cohort
from qieval.compared import Assignment
from qieval.errors import EstimationError
from qieval.methods.comparison.outcome import Effect, Outcome, outcome_of
from qieval.numerics.abadie_imbens import MatchingEffect, abadie_imbens
from qieval.numerics.contrasts import Precision, all_contrasts
from qieval.numerics.g_computation import OutcomeModel, g_computation
from qieval.numerics.means import Clusters, Means, covariance, n_clusters
from qieval.numerics.person_time import rates
from qieval.numerics.stacked_estimation import augmented
from qieval.numerics.survival import followed_to, survival_means
from qieval.numerics.tied_matches import Matches
from qieval.numerics.weighted_regression import Family
from qieval.progress import progress
from qieval.text import Count, Counted, number

FAMILY: dict[str, Family] = {"mean": "linear", "risk": "logistic", "rate": "poisson"}

LABELS = {
    "matched sets": "clustered by matched set",
    "robust": "robust to unequal variances (HC3)",
    "Abadie-Imbens": "Abadie-Imbens, for matching with replacement",
    "estimated weights": "M-estimation, allowing for the estimation of the weights",
    "bootstrap": "bootstrap",
}
FEW_CLUSTERS = 40
"""Below so many clusters the t distribution matters and is still optimistic."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What the effect is computed from: the outcome and the weights of rows whose outcome is known (n,)."""

    design: Any
    cohort: Cohort
    found: Assignment
    outcome: Outcome
    weights: np.ndarray

    @property
    def target(self) -> np.ndarray:
        """Weights of the rows that the means are about (n,)."""
        return np.asarray(self.weights * self.found.focal)


def effect(design: Any, cohort: Cohort, found: Assignment, outcome: Outcome | None = None) -> Effect:
    """The two means, their covariance and every contrast that suits the outcome.

    Rows whose outcome is unknown are left out here, after the matching. EstimationError when a group is left
    without known outcomes, or when nobody was followed to the horizon.
    """
    measured = outcome or outcome_of(design, cohort)
    sample = Sample(design, cohort, found, measured, np.where(measured.known, found.weights, 0.0))
    _require_both(sample)
    return effect_of(sample)


def effect_of(sample: Sample) -> Effect:
    """The effect in the rows of positive weight, both groups among them."""
    design, found, measured = sample.design, sample.found, sample.outcome
    wanted = design.inference if design.inference != "automatic" else found.inference
    cluster = _cluster(sample, wanted)
    jackknife = wanted == "robust" and cluster is None
    means, factor = means_of(sample, jackknife=jackknife)
    if wanted == "Abadie-Imbens":
        means, matrix = _abadie_imbens(sample)
    elif wanted == "bootstrap":
        matrix = _bootstrap(sample)
    else:
        plain = jackknife or (cluster is None and wanted == "estimated weights")
        matrix = covariance(means, cluster, 1.0 if jackknife else factor, adjust=not plain)
    groups = n_clusters(cluster, sample.weights > 0)
    precision = Precision(df=groups - 1.0, level=design.level)
    label, notes = _label(design, wanted, groups)
    return Effect(
        means=means,
        covariance=matrix,
        precision=precision,
        outcome=measured,
        label=label,
        notes=(*_lost(sample), *notes),
        contrasts=all_contrasts(means, matrix, measured.kind, precision),
    )


def means_of(sample: Sample, *, jackknife: bool = False) -> tuple[Means, float]:
    """The two means with their influence functions, and the small-sample factor of their covariance."""
    estimated = sample.found.estimated
    if estimated is None or sample.design.inference not in ("automatic", "estimated weights"):
        return _with_known_weights(sample, jackknife)
    known = estimated.multiplied((sample.weights > 0).astype(float))
    if (
        sample.design.outcome_model == "covariates"
        and sample.outcome.kind != "rate"
        and not sample.outcome.horizon
    ):
        y = np.where(sample.weights > 0, sample.outcome.y, 0.0)
        family: Any = FAMILY[sample.outcome.kind]
        return augmented(y, sample.cohort.x, known, family), 1.0
    means = _with_known_weights(sample, jackknife=False)[0]
    weight = sample.weights[:, None]
    gradient = np.where(weight > 0, means.influence / np.where(weight > 0, weight, 1.0), 0.0)
    return replace(means, influence=means.influence + known.correction(gradient)), 1.0


def _with_known_weights(sample: Sample, jackknife: bool) -> tuple[Means, float]:
    y, treated, weights = sample.outcome.y, sample.cohort.treated, sample.weights
    adjusted = sample.design.outcome_model == "covariates"
    if sample.outcome.horizon:
        return _survival(sample), 1.0
    if sample.outcome.kind == "rate" and not adjusted:
        assert sample.outcome.time is not None
        return rates(y, sample.outcome.time, treated, weights).means, 1.0
    x = sample.cohort.x if adjusted else np.empty((len(y), 0))
    family = FAMILY[sample.outcome.kind] if adjusted else "linear"
    model = OutcomeModel(family=family, person_time=sample.outcome.time, jackknife=jackknife)
    fitted = g_computation(y, treated, x, weights, sample.target if adjusted else None, model)
    return fitted.means, fitted.small_sample


def _require_both(sample: Sample) -> None:
    for arm, name in ((sample.cohort.treated, "treated"), (~sample.cohort.treated, "comparison")):
        if not (sample.weights[arm] > 0).any():
            raise EstimationError(
                f"outcome: nobody who is compared in the {name} group has a known '{sample.outcome.name}',"
                " so there is nothing to compare. Check the outcome column, or match with other settings."
            )


def _survival(sample: Sample) -> Means:
    time, event = sample.outcome.time, sample.outcome.y == 1
    assert time is not None
    last = min(followed_to(time, event, sample.cohort.treated, sample.weights))
    if sample.outcome.horizon > last:
        raise EstimationError(
            f"horizon: nobody was followed to {number(sample.outcome.horizon)} in one of the groups"
            f" (follow-up ends at {number(last)}), so the risk by then is unknown. Choose a horizon up to"
            f" {number(last)}."
        )
    return survival_means(time, event, sample.cohort.treated, sample.weights, sample.outcome.horizon).risk


def _cluster(sample: Sample, wanted: str) -> Clusters:
    """Matched sets, clusters such as hospitals, or both."""
    own = sample.cohort.cluster
    sets = sample.found.sets if wanted == "matched sets" else None
    if own is not None and sets is not None:
        return sets, own
    return sets if own is None else own


def _label(design: Any, wanted: str, groups: int) -> tuple[str, list[str]]:
    label = LABELS[wanted]
    if design.cluster is None:
        return label, []
    label += f"; allowing for '{design.cluster}'" if wanted != "Abadie-Imbens" else ""
    if groups >= FEW_CLUSTERS:
        return label, []
    return label, [
        f"interval: only {groups} groups of '{design.cluster}', so the interval is probably too narrow."
    ]


def _lost(sample: Sample) -> list[str]:
    """How many of those compared have no known outcome."""
    lost = int(((sample.found.weights > 0) & ~sample.outcome.known).sum())
    if not lost:
        return []
    return [
        Counted("{rows} rows of people who were compared were left out: unknown outcome.", rows=Count(lost))
    ]


def _abadie_imbens(sample: Sample) -> tuple[Means, np.ndarray]:
    """The two means of matching with replacement and their covariance.

    The variance is a quadratic form in the outcomes, so that of a * mean1 - b * mean0 follows from outcomes
    multiplied by a and b in the two groups, and three of them give the covariance of the two means (the bias
    adjustment is a regression within groups and scales along).
    """
    if sample.outcome.kind == "rate" or sample.outcome.horizon:
        raise EstimationError(
            "inference: the Abadie-Imbens standard error is for means and risks, not for rates or survival."
            " Match without replacement, or set inference='robust'."
        )
    matches = _known_matches(sample)
    y, treated = np.where(sample.weights > 0, sample.outcome.y, 0.0), sample.cohort.treated
    adjust = sample.cohort.x if sample.design.outcome_model == "covariates" else None

    def found(one: float, zero: float) -> MatchingEffect:
        return abadie_imbens(np.where(treated, one * y, zero * y), treated, matches, adjust)

    both, first, second = found(1.0, 1.0), found(1.0, 0.0), found(0.0, 1.0)
    variances = np.array([first.std_error, second.std_error]) ** 2
    across = (variances.sum() - both.std_error**2) / 2
    means = Means(first.estimate, -second.estimate, np.zeros((len(y), 2)), sample.weights > 0)
    return means, np.array([[variances[0], across], [across, variances[1]]])


def _known_matches(sample: Sample) -> Matches:
    """The pairs in which both outcomes are known; the partners that are left share the weight."""
    assert sample.found.pairs is not None
    focal, pool, weight = sample.found.pairs
    known = (sample.weights[focal] > 0) & (sample.weights[pool] > 0)
    focal, pool, weight = focal[known], pool[known], weight[known]
    return Matches(focal, pool, weight / np.bincount(focal, weight)[focal])


def with_weights(sample: Sample, weights: np.ndarray) -> Sample:
    """The sample with other weights."""
    return replace(sample, weights=weights)


def _bootstrap(sample: Sample) -> np.ndarray:
    """Covariance of the two means when matched sets (or clusters, or people) are drawn again with
    replacement."""
    n = len(sample.weights)
    group = sample.cohort.cluster if sample.cohort.cluster is not None else sample.found.sets
    code = np.arange(n) if group is None else group
    used = sample.weights > 0
    labels, code = np.unique(np.where(used, code, -1), return_inverse=True)
    first = 1 if labels[0] == -1 else 0
    again = sample.found.again
    rng = np.random.default_rng(sample.design.seed)
    drawn = []
    for _ in progress(range(sample.design.draws), "bootstrap"):
        times = np.zeros(len(labels))
        times[first:] = rng.multinomial(
            len(labels) - first, np.full(len(labels) - first, 1 / (len(labels) - first))
        )
        times_drawn = times[code]
        weights = times_drawn * sample.weights if again is None else again(times_drawn) * (sample.weights > 0)
        if (weights[sample.cohort.treated] > 0).any() and (weights[~sample.cohort.treated] > 0).any():
            means = means_of(with_weights(sample, weights))[0]
            drawn.append((means.mean1, means.mean0))
    return np.cov(np.array(drawn).T)
