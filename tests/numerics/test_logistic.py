import numpy as np
import pytest
from scipy.special import expit, ndtr

from qieval.numerics.logistic import crossfitted, logistic

EXACT = 1e-9


def people(n=800, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)) * [1, 10, 0.01, 1] + [0, 50, 0, 2015]
    x[:, 3] = np.round(x[:, 3])
    linear = 0.3 * x[:, 0] + 0.05 * (x[:, 1] - 50) - 20 * x[:, 2]
    return x, rng.random(n) < expit(linear)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_statsmodels(link, weighted):
    sm = pytest.importorskip("statsmodels.api")
    x, y = people()
    weights = np.random.default_rng(1).integers(0, 4, len(y)).astype(float) if weighted else None
    family = sm.families.Binomial(
        sm.families.links.Logit() if link == "logit" else sm.families.links.Probit()
    )
    # The other package loses digits with a year among the covariates, so it gets years since 2015.
    moved = np.column_stack([np.ones(len(y)), x - [0, 0, 0, 2015]])
    theirs = sm.GLM(y.astype(float), moved, family=family, freq_weights=weights)
    theirs = theirs.fit(tol=1e-13, tol_criterion="params")
    ours = logistic(x, y, weights, link=link)
    assert ours.converged and not ours.separated and not ours.aliased.any()
    np.testing.assert_allclose(ours.beta[1:], theirs.params[1:], rtol=EXACT)
    np.testing.assert_allclose(ours.covariance[1:, 1:], theirs.cov_params()[1:, 1:], rtol=1e-7, atol=1e-14)
    np.testing.assert_allclose(ours.probability, theirs.fittedvalues, rtol=EXACT)
    assert ours.log_likelihood == pytest.approx(theirs.llf, rel=1e-12)


def test_a_single_binary_covariate_gives_the_log_odds_ratio():
    x = np.repeat([0.0, 0.0, 1.0, 1.0], [10, 30, 24, 6])[:, None]
    y = np.repeat([True, False, True, False], [10, 30, 24, 6])
    fit = logistic(x, y)
    np.testing.assert_allclose(fit.beta, [np.log(10 / 30), np.log(24 * 30 / (6 * 10))], rtol=1e-12)
    assert fit.covariance[1, 1] == pytest.approx(1 / 10 + 1 / 30 + 1 / 24 + 1 / 6, rel=1e-12)
    assert logistic(x, y, link="probit").probability[0] == pytest.approx(0.25, rel=1e-12)
    assert ndtr(logistic(x, y, link="probit").beta.sum()) == pytest.approx(0.8, rel=1e-12)


def test_no_covariates_give_the_share():
    fit = logistic(np.empty((10, 0)), np.arange(10) < 3)
    np.testing.assert_allclose(fit.probability, 0.3)


def test_many_rows_start_from_a_part_of_them_and_reach_the_same_maximum(monkeypatch):
    x, y = people(5000)
    whole = logistic(x, y)
    monkeypatch.setattr("qieval.numerics.logistic.MANY", 1000)
    np.testing.assert_allclose(logistic(x, y).beta, whole.beta, rtol=1e-9)


def test_units_do_not_matter():
    x, y = people()
    factor, shift = np.array([1e-9, 3.0, 1e8, 7.0]), np.array([0.0, -5.0, 1e3, 1e4])
    one, other = logistic(x, y), logistic(x * factor + shift, y)
    np.testing.assert_allclose(other.beta[1:] * factor, one.beta[1:], rtol=1e-6)
    np.testing.assert_allclose(other.probability, one.probability, rtol=1e-9)


def test_weights_count_people():
    x, y = people(200)
    weights = np.random.default_rng(3).integers(0, 4, 200)
    repeated = logistic(np.repeat(x, weights, axis=0), np.repeat(y, weights))
    weighted = logistic(x, y, weights.astype(float))
    np.testing.assert_allclose(weighted.beta, repeated.beta, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-8)


def test_equal_rows_get_equal_scores():
    rng = np.random.default_rng(5)
    pattern = rng.standard_normal((7, 6))
    code = rng.integers(0, 7, 30_001)
    fit = logistic(pattern[code], rng.random(code.size) < 0.4)
    assert np.unique(fit.linear).size == 7


def test_aliased_columns_are_zero_and_named():
    x, y = people()
    more = np.column_stack([x[:, 0], 2 * x[:, 0] + 3, np.full(len(y), 7.0), x[:, 1], x[:, 0] - x[:, 1]])
    fit = logistic(more, y)
    assert fit.aliased.tolist() == [False, True, True, False, True]
    assert not fit.beta[1:][fit.aliased].any() and not fit.covariance[:, 1:][:, fit.aliased].any()
    np.testing.assert_allclose(fit.beta[[0, 1, 4]], logistic(x[:, :2], y).beta, rtol=1e-9)


def test_nearly_collinear_columns_are_kept():
    x, y = people()
    close = np.column_stack([x[:, 0], x[:, 0] + 1e-5 * x[:, 1]])
    fit = logistic(close, y)
    assert not fit.aliased.any() and fit.converged
    np.testing.assert_allclose(fit.probability, logistic(x[:, :2], y).probability, rtol=1e-6)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_separation_is_reported(link):
    x, y = people()
    rare = np.zeros(len(y))
    rare[np.flatnonzero(y)[:3]] = 1.0
    complete = logistic(x, x[:, 0] > 0.1, link=link)
    quasi = logistic(np.column_stack([x, rare]), y, link=link)
    assert complete.separated and not complete.converged
    assert quasi.separated and not quasi.converged
    np.testing.assert_allclose(complete.probability, x[:, 0] > 0.1, atol=1e-4)
    # What the other rows get is what they get without the rows that are predicted without error.
    rest = rare == 0
    np.testing.assert_allclose(
        quasi.probability[rest], logistic(x[rest], y[rest], link=link).probability, rtol=1e-6
    )
    rare[np.flatnonzero(~y)[0]] = 1.0
    assert logistic(np.column_stack([x, rare]), y, link=link).converged


def test_a_rare_extreme_value_is_not_separation():
    x, y = people()
    x[0, 0] = 1e4
    fit = logistic(x, y)
    assert fit.converged and not fit.separated


def test_refuses_what_it_cannot_fit():
    x, y = people(50)
    with pytest.raises(ValueError, match="vary"):
        logistic(x, np.ones(50, dtype=bool))
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        logistic(x, y)


@pytest.mark.parametrize("learner", ["logistic with penalty", "gradient boosting", "random forest"])
def test_crossfitted_scores_discriminate_and_repeat(learner):
    x, y = people(300, seed=4)
    score = crossfitted(x, y, learner, folds=2, seed=1)
    assert score.shape == (300,) and ((score >= 0) & (score <= 1)).all()
    assert score[y].mean() > score[~y].mean()
    if learner != "random forest":
        np.testing.assert_array_equal(score, crossfitted(x, y, learner, folds=2, seed=1))


def test_crossfitted_does_not_use_the_row_itself():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 3)), rng.random(400) < 0.5
    score = crossfitted(x, y, "gradient boosting", folds=4)
    assert abs(score[y].mean() - score[~y].mean()) < 0.1


def test_crossfitted_refuses_small_arms_and_unknown_learners():
    x, y = np.zeros((10, 1)), np.arange(10) < 2
    with pytest.raises(ValueError, match="fold"):
        crossfitted(x, y, "random forest", folds=3)
    with pytest.raises(ValueError, match="learner"):
        crossfitted(x, y, "oracle", folds=2)
