import numpy as np
import pytest
from scipy import stats

from qieval.numerics.pretrends import joint_power, normal_box, pretrend_power, slope_for_power


@pytest.fixture(scope="module")
def he_wang(reference):
    case = reference("hewang_pretrends_power")
    inputs = case["inputs"]
    return (
        np.array(inputs["betahat"]),
        np.array(inputs["sigma"]),
        np.array(inputs["tVec"], float),
        inputs["referencePeriod"],
        case["expected"],
    )


def test_slopes_of_he_and_wang(he_wang):
    _, sigma, periods, before, expected = he_wang
    # R finds the root on simulated probabilities (tolerance 1e-3 of the power), ours is smooth.
    assert slope_for_power(sigma, periods, before, 0.5) == pytest.approx(expected["slope_power50"], abs=1e-4)
    assert slope_for_power(sigma, periods, before, 0.8) == pytest.approx(expected["slope_power80"], abs=1e-4)


def test_power_and_bias_of_he_and_wang(he_wang):
    beta, sigma, periods, before, expected = he_wang
    delta = expected["slope_power50"] * (periods - before)
    found = pretrend_power(beta, sigma, periods < before, delta, 1.96)
    assert found.power == pytest.approx(expected["power"], abs=2e-4)
    assert found.bayes_factor == pytest.approx(expected["bayes_factor"], abs=3e-4)
    assert found.likelihood_ratio == pytest.approx(expected["likelihood_ratio"], rel=1e-10)
    table = expected["eventplot"]
    estimated = np.array(table["t"]) != before
    mean = np.array(table["mean_after_pretesting"])[estimated]
    np.testing.assert_allclose(found.mean_after_passing, mean, atol=2e-5)


def test_slope_gives_its_power(he_wang):
    beta, sigma, periods, before, _ = he_wang
    for power in (0.3, 0.9, 0.999):
        slope = slope_for_power(sigma, periods, before, power)
        found = pretrend_power(beta, sigma, periods < before, slope * (periods - before))
        assert found.power == pytest.approx(power, abs=1e-6)


def test_slope_without_work_to_do():
    assert np.isnan(slope_for_power(np.eye(2), np.array([1.0, 2.0]), 0.0))
    assert slope_for_power(np.eye(2), np.array([-2.0, 1.0]), -1.0, power=0.05) == 0.0


def test_box_of_one_dimension_is_exact():
    found = normal_box(np.array([0.4]), np.array([[4.0]]), np.array([-1.0]), np.array([3.0]))
    a, b = (-1 - 0.4) / 2, (3 - 0.4) / 2
    chance = stats.norm.cdf(b) - stats.norm.cdf(a)
    assert found.probability == pytest.approx(chance, rel=1e-12)
    assert found.mean[0] == pytest.approx(
        0.4 + 2 * (stats.norm.pdf(a) - stats.norm.pdf(b)) / chance, abs=2e-4
    )


def test_box_far_in_the_tail_keeps_its_digits():
    found = normal_box(np.array([30.0]), np.array([[1.0]]), np.array([-2.0]), np.array([2.0]))
    assert found.probability == pytest.approx(stats.norm.cdf(-28), rel=1e-10)
    assert 1.9 < found.mean[0] < 2.0


@pytest.mark.parametrize("d", [2, 5, 10])
def test_box_against_scipy_and_simulation(d):
    rng = np.random.default_rng(d)
    root = rng.standard_normal((d, d + 2))
    covariance, mean = root @ root.T, rng.standard_normal(d)
    edge = 2 * np.sqrt(np.diag(covariance))
    found = normal_box(mean, covariance, -edge, edge)
    exact = stats.multivariate_normal.cdf(edge, mean, covariance, lower_limit=-edge, rng=1, maxpts=10**6)
    assert found.probability == pytest.approx(exact, abs=2e-3) and found.error < 1e-3
    draws = rng.multivariate_normal(mean, covariance, 200_000)
    inside = draws[(np.abs(draws) <= edge).all(axis=1)]
    noise = inside.std(axis=0) / np.sqrt(len(inside))
    assert (np.abs(found.mean - inside.mean(axis=0)) < 4.5 * noise).all()


def test_mean_of_later_periods_after_passing_against_simulation():
    rng = np.random.default_rng(9)
    root = rng.standard_normal((5, 8))
    covariance = root @ root.T / 8
    pre = np.array([True, True, True, False, False])
    delta = np.array([-0.9, -0.6, -0.3, 0.3, 0.6])
    found = pretrend_power(np.zeros(5), covariance, pre, delta)
    draws = rng.multivariate_normal(delta, covariance, 400_000)
    passed = (np.abs(draws[:, pre]) <= 1.959964 * np.sqrt(np.diag(covariance)[pre])).all(axis=1)
    kept = draws[passed]
    assert found.power == pytest.approx(1 - passed.mean(), abs=0.004)
    np.testing.assert_allclose(found.mean_after_passing, kept.mean(axis=0), atol=0.006)


def test_joint_power_against_simulation_and_at_zero():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((3, 6))
    sigma, delta = root @ root.T, np.array([1.0, -1.0, 2.0])
    assert joint_power(sigma, np.zeros(3)) == pytest.approx(0.05, rel=1e-9)
    draws = rng.multivariate_normal(delta, sigma, 200_000)
    statistic = np.einsum("ij,ij->i", draws, np.linalg.solve(sigma, draws.T).T)
    assert joint_power(sigma, delta) == pytest.approx(np.mean(statistic > stats.chi2.ppf(0.95, 3)), abs=0.005)


def test_covariance_without_full_rank_still_has_an_answer():
    scores = np.random.default_rng(6).standard_normal((3, 5))
    sigma = scores.T @ scores
    periods = np.array([-6.0, -5, -4, -3, -2])
    slope = slope_for_power(sigma, periods, -1.0, 0.5)
    limit = 1.959964 * np.sqrt(np.diag(sigma))
    draws = np.random.default_rng(7).standard_normal((200_000, 3)) @ scores + slope * (periods + 1)
    assert np.mean((np.abs(draws) > limit).any(axis=1)) == pytest.approx(0.5, abs=0.01)
