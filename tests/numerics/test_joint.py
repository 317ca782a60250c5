import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from qieval.numerics.joint import sup_t, wald


def correlated(q, seed=0):
    root = np.random.default_rng(seed).standard_normal((q, q + 3))
    return root @ root.T


def test_wald_with_full_rank():
    covariance, estimate = correlated(4), np.array([1.0, -2.0, 0.5, 3.0])
    found = wald(estimate, covariance, df=37)
    statistic = estimate @ np.linalg.solve(covariance, estimate)
    assert found.statistic == pytest.approx(statistic, rel=1e-10)
    assert (found.rank, found.n_restrictions, found.outside) == (4, 4, False)
    assert found.p_chi2 == pytest.approx(stats.chi2.sf(statistic, 4), rel=1e-10)
    assert found.p_value == pytest.approx(stats.f.sf(statistic / 4, 4, 37), rel=1e-10)
    assert found.p_hotelling == pytest.approx(stats.f.sf(statistic / 4 * 34 / 37, 4, 34), rel=1e-10)
    assert found.p_chi2 < found.p_value < found.p_hotelling


def test_wald_without_df_is_chi_squared():
    found = wald(np.array([2.0]), np.array([[1.0]]))
    assert found.p_value == found.p_chi2 == pytest.approx(stats.chi2.sf(4, 1))
    assert np.isnan(found.p_hotelling) and found.trustworthy


def test_wald_does_not_depend_on_units():
    covariance, estimate = correlated(3), np.array([1.0, 2.0, 3.0])
    scale = np.array([1e-7, 1.0, 1e9])
    one, other = wald(estimate, covariance), wald(estimate * scale, covariance * np.outer(scale, scale))
    assert other.statistic == pytest.approx(one.statistic, rel=1e-8) and other.rank == 3


def test_wald_with_fewer_clusters_than_coefficients_says_so():
    scores = np.random.default_rng(1).standard_normal((4, 6))
    covariance = scores.T @ scores
    inside, outside = scores.T @ np.array([1.0, 2.0, 0.0, 1.0]), np.eye(6)[0]
    found = wald(inside, covariance, df=3)
    assert (found.rank, found.n_restrictions, found.outside) == (4, 6, False)
    assert found.statistic == pytest.approx(inside @ np.linalg.pinv(covariance) @ inside, rel=1e-8)
    assert np.isnan(found.p_hotelling) and not found.trustworthy
    assert wald(outside, covariance, df=3).outside
    assert np.isnan(wald(np.zeros(2), np.zeros((2, 2))).f)


@pytest.mark.slow
def test_hotelling_keeps_its_size_where_chi_squared_does_not():
    rng = np.random.default_rng(3)
    clusters, q, repeats = 20, 6, 2000
    rejected = np.zeros(2)
    for _ in range(repeats):
        scores = rng.standard_normal((clusters, q))
        covariance = np.cov(scores.T) / clusters
        found = wald(scores.mean(axis=0), covariance, df=clusters - 1)
        rejected += [found.p_hotelling < 0.05, found.p_chi2 < 0.05]
    assert abs(rejected[0] / repeats - 0.05) < 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert rejected[1] / repeats > 0.2


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_sup_t_of_one_coefficient_is_exact(level):
    assert sup_t(np.array([[7.0]]), level=level) == pytest.approx(stats.norm.ppf((1 + level) / 2), abs=1e-9)
    assert sup_t(np.array([[7.0]]), 9, level) == pytest.approx(stats.t.ppf((1 + level) / 2, 9), abs=1e-8)


@pytest.mark.parametrize("q", [2, 5, 12, 40])
def test_sup_t_of_independent_coefficients(q):
    exact = stats.norm.ppf((1 + 0.95 ** (1 / q)) / 2)
    assert sup_t(np.diag(np.arange(1.0, q + 1))) == pytest.approx(exact, abs=0.008)


def test_sup_t_of_equally_correlated_coefficients():
    # Given the common factor z the coefficients are independent: one integral over z.
    q, rho = 6, 0.7

    def inside(z, c):
        upper, lower = [(edge - np.sqrt(rho) * z) / np.sqrt(1 - rho) for edge in (c, -c)]
        return stats.norm.pdf(z) * (stats.norm.cdf(upper) - stats.norm.cdf(lower)) ** q

    found = sup_t(np.full((q, q), rho) + (1 - rho) * np.eye(q))
    assert quad(inside, -8, 8, args=(found,))[0] == pytest.approx(0.95, abs=0.001)


def test_sup_t_of_repeated_coefficients_counts_them_once():
    covariance = np.ones((3, 3))
    assert sup_t(covariance) == pytest.approx(1.959964, abs=1e-6)


def test_sup_t_is_deterministic_and_scale_free():
    covariance, scale = correlated(5), np.array([1e-6, 1.0, 10.0, 1e3, 1e8])
    assert sup_t(covariance) == sup_t(covariance.copy())
    assert sup_t(covariance * np.outer(scale, scale)) == pytest.approx(sup_t(covariance), abs=1e-6)


def test_sup_t_lies_between_the_pointwise_and_the_bonferroni_value():
    for df in (6, 40, np.inf):
        found = sup_t(correlated(8), df)
        tail = stats.norm if np.isinf(df) else stats.t(df)
        assert tail.ppf(0.975) < found < tail.ppf(1 - 0.025 / 8)
    assert sup_t(correlated(8), 6) > sup_t(correlated(8), 40) > sup_t(correlated(8))


def test_sup_t_with_df_against_plain_simulation():
    covariance, df = correlated(4, seed=5), 12
    rng = np.random.default_rng(0)
    normal = rng.multivariate_normal(np.zeros(4), covariance, 400_000) / np.sqrt(np.diag(covariance))
    largest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(df, 400_000) / df)
    assert sup_t(covariance, df) == pytest.approx(np.quantile(largest, 0.95), abs=0.02)
