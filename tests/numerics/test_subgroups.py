import numpy as np
import pytest
from scipy import stats

from qieval.numerics.means import covariance, weighted_means
from qieval.numerics.subgroups import Clustering, by_subgroup
from qieval.numerics.weighted_regression import sandwich, weighted_regression


def made(n=400):
    rng = np.random.default_rng(3)
    group, treated = rng.integers(0, 3, n), rng.random(n) < 0.5
    cluster = rng.integers(0, 40, n)
    y = 2 + group + treated * (1 + 0.3 * group) + rng.standard_normal(n) + rng.standard_normal(40)[cluster]
    return y, treated, rng.uniform(0.2, 2, n), group, cluster


def levels(y, treated, weights, group):
    return [weighted_means(y, treated, np.where(group == g, weights, 0.0)) for g in range(3)]


@pytest.mark.parametrize("clustered", [False, True])
def test_interaction_test_is_that_of_a_regression(clustered):
    y, treated, weights, group, cluster = made()
    codes = cluster if clustered else None
    found = by_subgroup(levels(y, treated, weights, group), clustering=Clustering(cluster=codes))
    dummies = np.eye(3)[group]
    x = np.hstack([dummies, treated[:, None], dummies[:, 1:] * treated[:, None]])
    fit = weighted_regression(x, y, weights)
    assert found.contrasts[0].estimate == pytest.approx(fit.beta[3])
    own = sandwich(fit, "HC0", codes)
    extra, inner = fit.beta[4:], own[4:, 4:]
    assert found.test.statistic == pytest.approx(extra @ np.linalg.solve(inner, extra), rel=1e-9)
    assert found.test.rank == 2
    assert found.test.p_value == pytest.approx(stats.chi2.sf(found.test.statistic, 2))
    assert found.contrasts[0].std_error == pytest.approx(np.sqrt(own[3, 3]), rel=1e-9)
    assert (found.covariance[0, 1] != 0) == clustered


def test_factors_apply_to_each_level():
    y, treated, weights, group, _ = made()
    means = levels(y, treated, weights, group)
    factors = np.array([1.1, 1.2, 1.3])
    found = by_subgroup(means, "ratio", Clustering(factors=factors))
    for value, one, factor in zip(found.contrasts, means, factors, strict=True):
        gradient = np.array([1 / one.mean1, -1 / one.mean0])
        assert value.std_error == pytest.approx(np.sqrt(factor * gradient @ covariance(one) @ gradient))
    np.testing.assert_allclose(
        np.sqrt(np.diag(found.covariance)), [value.std_error for value in found.contrasts]
    )


def test_a_level_that_cannot_be_estimated_takes_no_part():
    y, treated, weights, group, _ = made()
    binary = ((y > 3) & ~((group == 1) & ~treated)).astype(float)
    means = levels(binary, treated, weights, group)
    found = by_subgroup(means, "odds ratio")
    assert np.isnan(found.contrasts[1].estimate) and "without treatment" in found.contrasts[1].reason
    assert found.test.n_restrictions == 1 and np.isnan(found.covariance[1]).all()
    change = np.log(found.contrasts[2].estimate) - np.log(found.contrasts[0].estimate)
    expected = change**2 / (found.covariance[0, 0] + found.covariance[2, 2])
    assert found.test.statistic == pytest.approx(expected)
    assert by_subgroup(means[:2], "odds ratio").test is None
