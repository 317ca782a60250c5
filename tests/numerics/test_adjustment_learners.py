"""Learners by name, what is refused, and scores that are those of the cross-fitted estimate."""

import numpy as np
import pytest

from qieval.errors import DesignError
from qieval.numerics.adjustment_cross_fitting import CrossFitting, Learners, cross_fitted
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_learners import NAMES, held_out_scores, learner, takes_weights


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(240, 3))
    treated = rng.random(240) < 1 / (1 + np.exp(-x[:, 0]))
    return Sample(y=x @ [1.0, 0.5, 0.0] + treated + rng.normal(size=240), treated=treated, x=x)


@pytest.mark.parametrize("task", ["binary", "linear", "log"])
@pytest.mark.parametrize("name", NAMES)
def test_every_learner_does_every_task(name, task, sample):
    made = learner(name, task, 3)
    y = {"binary": sample.treated, "linear": sample.y, "log": np.exp(sample.y / 3)}[task]
    made.fit(sample.x, y)
    found = made.predict_proba(sample.x)[:, 1] if task == "binary" else made.predict(sample.x)
    assert np.isfinite(found).all() and np.corrcoef(found, y)[0, 1] > 0.3
    assert takes_weights(made)


def test_plain_regressions_have_no_penalty(sample):
    x = np.column_stack([np.ones(len(sample.y)), sample.x])
    expected = x @ np.linalg.lstsq(x, sample.y, rcond=None)[0]
    found = learner("regression", "linear", 1).fit(sample.x, sample.y).predict(sample.x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    score = learner("regression", "binary", 1).fit(sample.x, sample.treated).predict_proba(sample.x)[:, 1]
    np.testing.assert_allclose(sample.x.T @ (score - sample.treated), 0, atol=1e-2)


def test_classes_of_scikit_learn_with_plain_arguments():
    made = learner("sklearn.ensemble.ExtraTreesRegressor(n_estimators=7, min_samples_leaf=3)", "linear", 5)
    assert (made.n_estimators, made.min_samples_leaf, made.random_state) == (7, 3, 5)
    assert learner("sklearn.ensemble.ExtraTreesRegressor(random_state=9)", "linear", 5).random_state == 9
    assert not takes_weights(learner("sklearn.neighbors.KNeighborsRegressor", "linear", 1))


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("os.system('true')", "linear", "cannot be read"),
        ("os.path.Path", "linear", "not a class of scikit-learn"),
        ("sklearn.ensemble.NoSuchForest", "linear", "there is no"),
        ("sklearn.no_such_part.Forest", "linear", "there is no"),
        ("sklearn.base.clone", "linear", "is not a class"),
        ("sklearn.ensemble.ExtraTreesRegressor(depth=3)", "linear", "cannot be made"),
        ("sklearn.ensemble.ExtraTreesRegressor(__import__('os'))", "linear", "cannot be read"),
        ("sklearn.ensemble.ExtraTreesRegressor(n_estimators=open('x'))", "linear", "cannot be read"),
        ("sklearn.preprocessing.StandardScaler", "linear", "not a learner"),
        ("sklearn.svm.LinearSVC", "binary", "no probabilities"),
        ("sklearn.naive_bayes.GaussianNB", "linear", "Name a regressor"),
        ("a tree", "linear", "cannot be read"),
    ],
)
def test_anything_else_is_refused(name, task, words):
    with pytest.raises(DesignError, match=words):
        learner(name, task, 1)


@pytest.mark.parametrize("clusters", [False, True])
def test_scores_without_outcome_are_those_of_the_estimate(sample, clusters):
    plan = CrossFitting(folds=4, seed=11)
    cluster = np.arange(240) % 30 if clusters else None
    score = learner("sklearn.ensemble.RandomForestClassifier(n_estimators=5)", "binary", 1)
    learners = Learners(outcome=learner("regression", "linear", 1), score=score)
    expected = cross_fitted(sample, learners, plan=plan, cluster=cluster).score
    found = held_out_scores(sample.x, sample.treated, score, plan, cluster)
    np.testing.assert_array_equal(found, np.clip(expected, 0.01, 0.99))
