"""From weights and outcomes to the effect, with the standard error that suits how the groups were made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.cohort import Cohort
from qieval.compared import Assignment
from qieval.errors import EstimationError
from qieval.methods.comparison.outcome import Effect, Outcome, outcome_of
from qieval.numerics.abadie_imbens import MatchingEffect, abadie_imbens, variance_within
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
    "Abadie-Imbens, equal variances": "Abadie-Imbens, for matching with replacement, one variance for all",
    "estimated weights": "M-estimation, allowing for the estimation of the weights",
    "bootstrap": "bootstrap",
}
FEW_CLUSTERS = 40
"""Below so many clusters the t distribution matters and is still optimistic."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What the effect is computed from: the outcome, and the weights of rows whose outcome is known (n,).

    inside (n,): the people that the effect is about, where that is a subgroup.
    """

    design: Any
    cohort: Cohort
    found: Assignment
    outcome: Outcome
    weights: np.ndarray
    inside: np.ndarray | None = None

    @property
    def target(self) -> np.ndarray:
        """Weights of the rows that the means are about (n,)."""
        return np.asarray(self.weights * self.found.focal)


def effect(design: Any, cohort: Cohort, found: Assignment, outcome: Outcome | None = None) -> Effect:
    """The two means, their covariance and every contrast that suits the outcome.

    Rows whose outcome is unknown are left out here, after the matching. EstimationError when a group is left
    without known outcomes, or when nobody was followed to the horizon.
    """
    sample = sample_of(design, cohort, found, outcome or outcome_of(design, cohort))
    _require_both(sample)
    return effect_of(sample)


def sample_of(design: Any, cohort: Cohort, found: Assignment, outcome: Outcome) -> Sample:
    """The people compared whose outcome is known, weighted so that matched sets stay comparisons.

    Within a matched set the known people of each group take over the weight of the unknown ones; sets that
    are left without one of the groups are left out, and so are pairs of matching with replacement.
    """
    return Sample(design, cohort, found, outcome, _known_weights(cohort, found, outcome.known))


def _known_weights(cohort: Cohort, found: Assignment, known: np.ndarray) -> np.ndarray:
    if (known | (found.weights == 0)).all():
        return found.weights
    weights = np.where(known, found.weights, 0.0)
    if found.sets is not None:
        return _within_sets(cohort.treated, found, weights)
    if found.pairs is None:
        return weights
    focal, pool, share = found.pairs
    kept = known[focal] & known[pool]
    focal, pool, share = focal[kept], pool[kept], share[kept]
    weights = (
        np.bincount(pool, share / np.bincount(focal, share)[focal], len(known)) if len(focal) else weights * 0
    )
    weights[focal] = 1.0
    return np.asarray(weights)


def _within_sets(treated: np.ndarray, found: Assignment, weights: np.ndarray) -> np.ndarray:
    """Known weights scaled to the totals of their set and group; 0 in sets that lack a group."""
    assert found.sets is not None
    inside = (found.sets >= 0) & (found.weights > 0)
    group = np.where(inside, 2 * found.sets + treated, 0)
    size = 2 * (int(found.sets.max()) + 1)
    before = np.bincount(group[inside], found.weights[inside], size)
    after = np.bincount(group[inside], weights[inside], size)
    both = np.repeat((after.reshape(-1, 2) > 0).all(axis=1), 2)
    factor = np.divide(before, after, out=np.zeros(size), where=both)
    return np.asarray(np.where(inside, weights * factor[group], 0.0))


def effect_of(sample: Sample) -> Effect:
    """The effect in the rows of positive weight, both groups among them."""
    design, measured = sample.design, sample.outcome
    wanted = inference_of(sample)
    cluster = cluster_of(sample)
    jackknife = wanted == "robust" and cluster is None
    means, factor = means_of(sample, jackknife=jackknife)
    notes: list[str] = []
    if wanted.startswith("Abadie-Imbens"):
        means, matrix = _abadie_imbens(sample, equal=wanted != "Abadie-Imbens")
    elif wanted == "bootstrap":
        matrix = _bootstrap(sample, notes)
    else:
        plain = jackknife or (cluster is None and wanted == "estimated weights")
        matrix = covariance(means, cluster, 1.0 if jackknife else factor, adjust=not plain)
    used = sample.weights > 0
    if not measured.horizon and np.ptp(measured.y[used]) == 0 and measured.kind != "rate":
        # What is left of a constant is rounding, which would look like an effect.
        value = float(measured.y[used][0])
        means, matrix = replace(means, mean1=value, mean0=value, influence=means.influence * 0), matrix * 0
    groups = n_clusters(cluster, used)
    precision = Precision(df=groups - 1.0, level=design.level)
    label, said = _label(sample, wanted, groups)
    return Effect(
        means=means,
        covariance=matrix,
        precision=precision,
        outcome=measured,
        label=label,
        notes=(*_lost(sample), *said, *notes),
        contrasts=all_contrasts(means, matrix, measured.kind, precision),
    )


def inference_of(sample: Sample) -> str:
    """How the standard error is made. EstimationError where the groups were not made in the way it needs."""
    wanted = str(sample.design.inference)
    if wanted == "automatic":
        return sample.found.inference
    if wanted == "matched sets" and sample.found.sets is None:
        raise EstimationError(
            f"inference: {sample.found.kind} makes no matched sets to cluster by. Set inference='automatic'."
        )
    if wanted.startswith("Abadie-Imbens") and sample.found.pairs is None:
        raise EstimationError(
            f"inference: {sample.found.kind} makes no pairs, which the Abadie-Imbens standard error needs."
            " Set inference='automatic'."
        )
    return wanted


def means_of(sample: Sample, *, jackknife: bool = False) -> tuple[Means, float]:
    """The two means with their influence functions, and the small-sample factor of their covariance."""
    estimated = sample.found.estimated
    if estimated is None or sample.design.inference not in ("automatic", "estimated weights"):
        return _with_known_weights(sample, jackknife)
    known = estimated.multiplied((sample.weights > 0).astype(float))
    if sample.inside is not None:
        known = replace(known, base=known.base * sample.inside)
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
    if fitted.regression.separated or not fitted.regression.converged:
        raise EstimationError(
            f"outcome_model: the covariates tell '{sample.outcome.name}' perfectly in one of the groups, so"
            " its regression has no finite solution. Use fewer covariates, or outcome_model='none'."
        )
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


def cluster_of(sample: Sample) -> Clusters:
    """Matched sets, clusters such as hospitals, or both; None where neither is allowed for."""
    wanted = inference_of(sample)
    if wanted.startswith("Abadie-Imbens"):
        return None
    own = sample.cohort.cluster
    sets = sample.found.sets if wanted == "matched sets" else None
    if own is not None and sets is not None:
        return sets, own
    return sets if own is None else own


def _label(sample: Sample, wanted: str, groups: int) -> tuple[str, list[str]]:
    """How the standard error was made, in words, and what has to be said about it."""
    label, name = LABELS[wanted], sample.design.cluster
    if wanted == "robust" and (sample.outcome.horizon or sample.outcome.kind == "rate" or name):
        label = "robust"
    if name is None:
        return label, []
    if wanted.startswith("Abadie-Imbens"):
        said = (
            f"interval: the Abadie-Imbens standard error does not allow for '{name}'; match without"
            " replacement."
        )
        return f"{label}; not allowing for '{name}'", [said]
    label += f"; allowing for '{name}'"
    if groups >= FEW_CLUSTERS:
        return label, []
    return label, [f"interval: only {groups} groups of '{name}', so the interval is probably too narrow."]


def _lost(sample: Sample) -> list[str]:
    """How many of those compared have no known outcome."""
    lost = int(((sample.found.weights > 0) & ~sample.outcome.known).sum())
    if not lost:
        return []
    return [
        Counted("{rows} rows of people who were compared were left out: unknown outcome.", rows=Count(lost))
    ]


def _abadie_imbens(sample: Sample, *, equal: bool) -> tuple[Means, np.ndarray]:
    """The two means of matching with replacement and their covariance.

    The variance is a quadratic form in the outcomes, so that of a * mean1 - b * mean0 follows from outcomes
    multiplied by a and b in the two groups, and three of them give the covariance of the two means (the bias
    adjustment is a regression within groups and scales along). The variance of an outcome given covariates is
    that between nearest neighbours of the same group. equal: the covariance is scaled to the standard error
    of the difference under one variance for everybody (R's Match, Var.calc = 0).
    """
    if sample.outcome.kind == "rate" or sample.outcome.horizon:
        raise EstimationError(
            "inference: the Abadie-Imbens standard error is for means and risks, not for rates or survival."
            " Match without replacement, or set inference='robust'."
        )
    matches = _known_matches(sample)
    y, treated = np.where(sample.weights > 0, sample.outcome.y, 0.0), sample.cohort.treated
    adjust = sample.cohort.x if sample.design.outcome_model == "covariates" else None
    used = np.flatnonzero(sample.weights > 0)
    variance = np.zeros(len(y))
    variance[used] = variance_within(y[used], _matched_on(sample)[used], treated[used], 1)

    def found(one: float, zero: float) -> MatchingEffect:
        factor = np.where(treated, one, zero)
        return abadie_imbens(factor * y, treated, matches, adjust, factor**2 * variance)

    both, first, second = found(1.0, 1.0), found(1.0, 0.0), found(0.0, 1.0)
    variances = np.array([first.std_error, second.std_error]) ** 2
    across = (variances.sum() - both.std_error**2) / 2
    matrix = np.array([[variances[0], across], [across, variances[1]]])
    if equal and both.std_error > 0:
        matrix *= (abadie_imbens(y, treated, matches, adjust).std_error / both.std_error) ** 2
    return Means(first.estimate, -second.estimate, np.zeros((len(y), 2)), sample.weights > 0), matrix


def _matched_on(sample: Sample) -> np.ndarray:
    """What closeness was measured on: the score where there is one, otherwise the covariates."""
    on_score = getattr(sample.design, "distance", "") in ("logit", "propensity", "probit")
    if on_score and sample.found.score is not None and not getattr(sample.design, "mahalanobis_on", ()):
        return sample.found.score[:, None]
    return sample.cohort.x[:, sample.cohort.plain]


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


def _bootstrap(sample: Sample, notes: list[str]) -> np.ndarray:
    """Covariance of the two means when matched sets (or clusters, or people) are drawn again with
    replacement; weights are estimated again in each draw. Draws without an estimate are counted."""
    n = len(sample.weights)
    group = sample.cohort.cluster if sample.cohort.cluster is not None else sample.found.sets
    code = np.arange(n) if group is None else group
    used = sample.weights > 0
    labels, code = np.unique(np.where(used, code, -1), return_inverse=True)
    first = 1 if labels[0] == -1 else 0
    again, many = sample.found.again, len(labels) - first
    rng = np.random.default_rng(sample.design.seed)
    drawn = []
    for _ in progress(range(sample.design.draws), "bootstrap"):
        times = np.zeros(len(labels))
        times[first:] = rng.multinomial(many, np.full(many, 1 / many))
        try:
            weights = times[code] * sample.weights if again is None else again(times[code]) * used
            means = means_of(with_weights(sample, weights))[0]
        except (EstimationError, ValueError):
            # A draw may lack a group or be separated where the data are not; how many is told below.
            continue
        drawn.append((means.mean1, means.mean0))
    failed = sample.design.draws - len(drawn)
    if failed > MOST_FAILED * sample.design.draws:
        raise EstimationError(
            f"inference: {failed} of {sample.design.draws} bootstrap draws gave no estimate, so their spread"
            " means little. The groups are small or nearly separated; use inference='automatic'."
        )
    if failed:
        notes.append(f"bootstrap: {failed} of {sample.design.draws} draws gave no estimate and are left out.")
    return np.cov(np.array(drawn).T)


MOST_FAILED = 0.1
