import numpy as np
import pytest

from qieval.numerics.means import Means, covariance, crossproduct, n_clusters, weighted_means


def made(seed=0, n=60):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 3, n) * (rng.random(n) > 0.2)
    return rng.standard_normal(n), np.arange(n) % 3 == 0, weights, rng.integers(0, 9, n)


def brute_force(influence, codes):
    total = np.zeros((influence.shape[1],) * 2)
    for code in np.unique(codes):
        group = influence[codes == code].sum(axis=0)
        total += np.outer(group, group)
    return total


def test_weighted_means_by_hand():
    y, treated = np.array([2.0, 6.0, 1.0, 3.0, np.nan]), np.array([1, 1, 0, 0, 0], dtype=bool)
    means = weighted_means(y, treated, np.array([1.0, 3.0, 1.0, 1.0, 0.0]))
    assert (means.mean1, means.mean0) == (5.0, 2.0)
    expected = [[-0.75, 0.0], [0.75, 0.0], [0.0, -0.5], [0.0, 0.5], [0.0, 0.0]]
    np.testing.assert_allclose(means.influence, expected)
    np.testing.assert_allclose(covariance(means), np.diag([1.125, 0.5]))
    assert means.used.tolist() == [True] * 4 + [False]


def test_influence_is_the_derivative_by_each_weight():
    y, treated, weights, _ = made()
    means = weighted_means(y, treated, weights)
    step = 1e-6
    for row in np.flatnonzero(weights)[:10]:
        changed = weights.copy()
        changed[row] *= 1 + step
        other = weighted_means(y, treated, changed)
        slopes = [(other.mean1 - means.mean1) / step, (other.mean0 - means.mean0) / step]
        np.testing.assert_allclose(slopes, means.influence[row], atol=1e-6)


def test_jackknife_is_leaving_one_row_out():
    """With equal weights, HC3 of a mean is the sum of squared changes when a row is left out."""
    y, treated = made()[:2]
    ones = np.ones(y.size)
    full = weighted_means(y, treated, ones, jackknife=True)
    for row in range(10):
        without = weighted_means(y, treated, np.where(np.arange(y.size) == row, 0.0, 1.0))
        change = [full.mean1 - without.mean1, full.mean0 - without.mean0]
        np.testing.assert_allclose(change, full.influence[row], atol=1e-12)


def test_clusters_one_and_two_ways_against_loops():
    y, treated, weights, cluster = made()
    other = np.random.default_rng(5).integers(0, 4, y.size) * 1000
    means = weighted_means(y, treated, weights)
    used = weights > 0
    influence, one, two = means.influence[used], cluster[used], other[used]
    np.testing.assert_allclose(covariance(means, cluster), brute_force(influence, one))
    both = np.unique(np.column_stack([one, two]), axis=0, return_inverse=True)[1].ravel()
    expected = [brute_force(influence, codes) for codes in (one, two, both)]
    np.testing.assert_allclose(covariance(means, (cluster, other)), expected[0] + expected[1] - expected[2])
    factors = [np.unique(codes).size / (np.unique(codes).size - 1) for codes in (one, two, both)]
    adjusted = sum(sign * f * part for sign, f, part in zip((1, 1, -1), factors, expected, strict=True))
    np.testing.assert_allclose(covariance(means, (cluster, other), adjust=True), adjusted)
    assert n_clusters((cluster, other), used) == np.unique(two).size
    assert n_clusters(None, used) == used.sum()


def test_two_ways_that_are_the_same_are_one_way():
    y, treated, weights, cluster = made()
    means = weighted_means(y, treated, weights)
    np.testing.assert_allclose(
        covariance(means, (cluster, cluster), adjust=True), covariance(means, cluster, adjust=True)
    )


def test_clusters_without_a_used_row_do_not_count():
    y, treated, weights, cluster = made()
    means = weighted_means(y, treated, weights)
    labels = np.where(weights > 0, cluster, np.arange(y.size) + 100)
    groups = np.unique(cluster[weights > 0]).size
    expected = covariance(means, cluster) * groups / (groups - 1)
    np.testing.assert_allclose(covariance(means, labels, adjust=True), expected)
    labels[weights == 0] = -1
    np.testing.assert_allclose(covariance(means, labels, adjust=True), expected)


def test_one_cluster_has_no_covariance_and_bad_input_is_refused():
    means = weighted_means(np.arange(4.0), np.array([1, 1, 0, 0], dtype=bool), np.ones(4))
    assert np.isnan(covariance(means, np.zeros(4, dtype=int), adjust=True)).all()
    with pytest.raises(ValueError, match="belongs to no cluster"):
        covariance(means, np.array([0, 0, 1, -1]))
    with pytest.raises(ValueError, match="no row of positive weight"):
        weighted_means(np.ones(3), np.ones(3, dtype=bool), np.ones(3))
    alone = weighted_means(np.arange(3.0), np.array([1, 0, 0], dtype=bool), np.ones(3), jackknife=True)
    assert np.isnan(covariance(alone)[0]).all() and np.isfinite(covariance(alone)[1, 1])
    assert np.isnan(crossproduct(alone.influence, np.arange(3))[0, 0])


def test_units_of_weights_do_not_matter():
    y, treated, weights, cluster = made()
    one, other = weighted_means(y, treated, weights), weighted_means(y * 1e6, treated, weights * 1e-9)
    np.testing.assert_allclose(covariance(other, cluster), covariance(one, cluster) * 1e12, rtol=1e-12)
    assert isinstance(one, Means)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="weights must be"):
        weighted_means(np.arange(3.0), np.array([1, 0, 0], dtype=bool), np.array([1.0, 1.0, bad]))
