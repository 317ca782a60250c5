from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qieval.errors import EstimationError
from qieval.numerics.adjustment_cross_fitting import CrossFitting, Learners, combined, cross_fitted
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.means import Means, covariance

LINEAR = Learners(LinearRegression(), LogisticRegression(C=np.inf))


def made(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    treated = rng.random(n) < 1 / (1 + np.exp(-0.5 * x[:, 0]))
    return Sample(y=treated + x @ [1.0, 0.5, 0.0] + rng.standard_normal(n), treated=treated, x=x)


@pytest.mark.parametrize("estimand", ["ATE", "ATT"])
def test_against_a_loop_over_the_folds(estimand):
    sample = made()
    found = cross_fitted(sample, LINEAR, estimand, CrossFitting(folds=3))
    y, d, n = sample.y, sample.treated, 300
    rates, score = np.empty((n, 2)), np.empty(n)
    for fold in range(3):
        out, train = found.fold == fold, found.fold != fold
        score[out] = (
            LogisticRegression(C=np.inf).fit(sample.x[train], d[train]).predict_proba(sample.x[out])[:, 1]
        )
        for column, arm in enumerate((d, ~d)):
            model = LinearRegression().fit(sample.x[train & arm], y[train & arm])
            rates[out, column] = model.predict(sample.x[out])
    np.testing.assert_allclose(found.rates, rates)
    if estimand == "ATE":
        psi = rates[:, 0] - rates[:, 1] + d * (y - rates[:, 0]) / score
        psi -= ~d * (y - rates[:, 1]) / (1 - score)
        effect, error = psi.mean(), psi.std() / np.sqrt(n)
    else:
        psi = d * (y - rates[:, 1]) - ~d * score / (1 - score) * (y - rates[:, 1])
        effect = psi.sum() / d.sum()
        error = np.sqrt(np.sum((psi - d * effect) ** 2)) / d.sum()
    means = found.draws[0]
    assert means.mean1 - means.mean0 == pytest.approx(effect, rel=1e-10)
    one = combined(found.draws)
    assert np.sqrt([1, -1] @ one.covariance @ [1, -1]) == pytest.approx(error, rel=1e-10)
    assert found.bounded == 0


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    sample = made()
    forest = Learners(RandomForestRegressor(2), RandomForestClassifier(2, min_samples_leaf=10))
    once, again, other = (
        cross_fitted(sample, forest, plan=CrossFitting(folds=2, draws=2, seed=seed)).draws
        for seed in (1, 1, 2)
    )
    assert [one.mean1 for one in once] == [one.mean1 for one in again]
    assert once[0].mean1 != once[1].mean1 != other[0].mean1
    assert forest.outcome.random_state is None


def test_clusters_stay_together_and_arms_are_shared_out():
    sample = made()
    cluster = np.arange(300) // 7
    fold = cross_fitted(sample, LINEAR, cluster=cluster).fold
    assert all(np.unique(fold[cluster == code]).size == 1 for code in np.unique(cluster))
    assert np.unique(fold).size == 5
    fold = cross_fitted(sample, LINEAR).fold
    counts = np.bincount(fold[sample.treated])
    assert counts.max() - counts.min() <= 1
    with pytest.raises(EstimationError, match="4 clusters, too few for 5 folds"):
        cross_fitted(sample, LINEAR, cluster=np.arange(300) % 4)


def test_draws_are_combined_by_medians():
    rng = np.random.default_rng(3)
    draws = tuple(Means(*rng.normal(size=2), rng.normal(size=(20, 2)) / 20) for _ in range(5))
    cluster = np.arange(20) // 4
    differences = np.array([one.mean1 - one.mean0 for one in draws])
    variances = [[1, -1] @ covariance(one, cluster, adjust=True) @ [1, -1] for one in draws]
    found = combined(draws, cluster, adjust=True)
    middle = np.median(differences)
    assert found.means.mean1 - found.means.mean0 == pytest.approx(middle)
    expected = np.median(variances + (differences - middle) ** 2)
    assert [1, -1] @ found.covariance @ [1, -1] == pytest.approx(expected)
    assert np.linalg.eigvalsh(found.covariance).min() > 0
    alone = combined(draws[:1], cluster)
    np.testing.assert_allclose(alone.covariance, covariance(draws[0], cluster))
    np.testing.assert_allclose(alone.means.influence, draws[0].influence)


def test_weights_and_exposure_reach_the_learners():
    """Weights of 2 in whole clusters are two copies of the rows, if folds are the same."""
    sample = made()
    learners = Learners(
        make_pipeline(StandardScaler(with_mean=False, with_std=False), LinearRegression()), LINEAR.score
    )
    cluster = np.arange(300) // 10
    weights = 1.0 + (cluster % 2)
    rows = np.repeat(np.arange(300), weights.astype(int))
    doubled = Sample(y=sample.y[rows], treated=sample.treated[rows], x=sample.x[rows])
    once = cross_fitted(replace(sample, weights=weights), learners, cluster=cluster).draws[0]
    twice = cross_fitted(doubled, LINEAR, cluster=cluster[rows]).draws[0]
    assert once.mean1 == pytest.approx(twice.mean1, rel=1e-5)
    np.testing.assert_allclose(covariance(once, cluster), covariance(twice, cluster[rows]), rtol=1e-4)
    time = np.random.default_rng(0).uniform(1, 2, 300)
    rates = replace(sample, y=sample.y * time, exposure=time)
    weighted = cross_fitted(replace(sample, weights=time), LINEAR)
    np.testing.assert_allclose(cross_fitted(rates, LINEAR).rates, weighted.rates)


def test_scores_near_the_ends_are_bounded_and_counted():
    sample = made()
    found = cross_fitted(sample, LINEAR, plan=CrossFitting(bound=0.4))
    assert found.score.min() == 0.4 and found.score.max() == 0.6
    assert found.bounded == np.mean((found.score == 0.4) | (found.score == 0.6))


def test_a_classifier_of_the_outcome():
    sample = made()
    binary = replace(sample, y=(sample.y > 0).astype(float))
    learners = Learners(LogisticRegression(), LogisticRegression())
    found = cross_fitted(binary, learners)
    assert found.rates.min() > 0 and found.rates.max() < 1
    assert 0 < found.draws[0].mean0 < found.draws[0].mean1 < 1
    with pytest.raises(ValueError, match="outcomes 0 and 1"):
        cross_fitted(sample, learners)
    rare = replace(binary, y=np.where(np.arange(300) == np.flatnonzero(binary.treated)[0], 1.0, 0.0))
    with pytest.raises(EstimationError, match="Without one of the folds"):
        cross_fitted(rare, learners)


@pytest.mark.parametrize("plan", [{"folds": 1}, {"draws": 0}, {"bound": 0.5}])
def test_plans_that_cannot_be_carried_out(plan):
    with pytest.raises(ValueError, match="two folds"):
        cross_fitted(made(), LINEAR, plan=CrossFitting(**plan))
