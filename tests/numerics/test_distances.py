import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from qieval.numerics.distances import whiten


def people(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)) @ rng.standard_normal((4, 4)) * [1, 100, 0.01, 5] + [0, 7, 2, -40]
    return x, np.arange(n) % 3 == 0


def pairwise(vectors):
    return cdist(vectors, vectors, "sqeuclidean")


def pooled(x, treated):
    arms = [x[treated], x[~treated]]
    return sum((len(arm) - 1) * np.cov(arm, rowvar=False) for arm in arms) / (len(x) - 2)


def test_mahalanobis_uses_the_covariance_within_arms():
    x, treated = people()
    expected = cdist(x, x, "mahalanobis", VI=np.linalg.inv(pooled(x, treated))) ** 2
    np.testing.assert_allclose(pairwise(whiten(x, treated)), expected, rtol=1e-9, atol=1e-9)


def test_robust_mahalanobis_uses_ranks_with_the_variance_of_untied_ranks():
    x, treated = people()
    x[:, 1] = np.round(x[:, 1], -2)
    ranks = rankdata(x, axis=0)
    covariance = np.cov(ranks, rowvar=False)
    ratio = np.std(np.arange(len(x)), ddof=1) / np.sqrt(np.diag(covariance))
    inverse = np.linalg.inv(covariance * np.outer(ratio, ratio))
    expected = cdist(ranks, ranks, "mahalanobis", VI=inverse) ** 2
    np.testing.assert_allclose(
        pairwise(whiten(x, treated, "robust mahalanobis")), expected, rtol=1e-9, atol=1e-9
    )


def test_scaled_euclidean_divides_by_the_deviation_within_arms():
    x, treated = people()
    scaled = x / np.sqrt(np.diag(pooled(x, treated)))
    np.testing.assert_allclose(pairwise(whiten(x, treated, "scaled euclidean")), pairwise(scaled), rtol=1e-9)
    np.testing.assert_array_equal(whiten(x, treated, "euclidean"), x)


@pytest.mark.parametrize("kind", ["mahalanobis", "robust mahalanobis", "scaled euclidean"])
def test_units_do_not_matter(kind):
    x, treated = people()
    other = whiten(x * [1e-9, 3, 1e6, 2] + [1, 2, 3, 4], treated, kind)
    np.testing.assert_allclose(pairwise(other), pairwise(whiten(x, treated, kind)), rtol=1e-6, atol=1e-8)


def test_mahalanobis_does_not_change_when_covariates_are_mixed():
    x, treated = people()
    x = x / x.std(axis=0)
    mixed = x @ np.random.default_rng(2).standard_normal((4, 4))
    np.testing.assert_allclose(
        pairwise(whiten(mixed, treated)), pairwise(whiten(x, treated)), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", ["mahalanobis", "robust mahalanobis"])
def test_dummies_of_every_level_use_a_generalised_inverse(kind):
    x, treated = people(90, seed=1)
    level = np.random.default_rng(4).integers(0, 3, 90)
    dummies = (level[:, None] == np.arange(3)).astype(float)
    full = np.column_stack([x[:, :2], dummies])
    vectors = whiten(full, treated, kind)
    assert vectors.shape == (90, 4)
    scaled = full / full.std(axis=0) if kind == "mahalanobis" else rankdata(full, axis=0)
    within = (
        pooled(scaled, treated) if kind == "mahalanobis" else np.corrcoef(scaled, rowvar=False) * 90 * 91 / 12
    )
    expected = cdist(scaled, scaled, "mahalanobis", VI=np.linalg.pinv(within, 1e-8)) ** 2
    np.testing.assert_allclose(pairwise(vectors), expected, rtol=1e-7, atol=1e-7)


def test_constant_covariates_are_left_out():
    x, treated = people()
    more = np.column_stack([x, np.full(len(x), 3.0)])
    np.testing.assert_allclose(whiten(more, treated), whiten(x, treated))
    np.testing.assert_array_equal(whiten(np.full((5, 2), 4.0), np.arange(5) < 2), np.zeros((5, 1)))


def test_unusable_rows_do_not_decide_the_scale():
    x, treated = people()
    usable = np.arange(len(x)) >= 6
    far = x.copy()
    far[~usable] *= 50
    for kind in ("mahalanobis", "robust mahalanobis", "scaled euclidean"):
        alone = whiten(x[usable], treated[usable], kind)
        within = whiten(far, treated, kind, usable)[usable]
        np.testing.assert_allclose(pairwise(within), pairwise(alone), rtol=1e-8, atol=1e-10)


def test_equal_rows_get_equal_vectors():
    rng = np.random.default_rng(0)
    pattern, code = rng.standard_normal((5, 7)), rng.integers(0, 5, 4001)
    vectors = whiten(np.vstack([pattern[code], rng.standard_normal((50, 7))]), np.arange(4051) % 2 == 0)
    assert np.unique(vectors[:4001], axis=0).shape == (5, 7)
