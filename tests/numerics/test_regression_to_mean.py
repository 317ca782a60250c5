"""Regression to the mean: formulas against numerical integrals, errors against simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from qieval.numerics.regression_to_mean import (
    Population,
    chosen_mask,
    expected_regression,
    population_of,
    regression_of_chosen,
    separated_effect,
)
from qieval.numerics.regression_to_mean_counts import (
    CountPopulation,
    count_population,
    expected_by_robbins,
    expected_counts,
    expected_of_chosen,
)

MEAN, SD, RELIABILITY = 140.0, 20.0, 0.6


def measurements(rng, n, times=2):
    person = MEAN + SD * np.sqrt(RELIABILITY) * rng.standard_normal(n)
    return person[:, None] + SD * np.sqrt(1 - RELIABILITY) * rng.standard_normal((n, times))


@pytest.mark.parametrize("side", ["above", "below"])
def test_one_measurement_by_numerical_integration(side):
    threshold = 165.0
    found = expected_regression(Population(mean=MEAN, sd=SD, reliability=RELIABILITY), threshold, side)
    first = stats.norm(MEAN, SD)
    ends = (threshold, MEAN + 12 * SD) if side == "above" else (MEAN - 12 * SD, threshold)
    share = quad(first.pdf, *ends, epsabs=1e-13)[0]
    mean = quad(lambda y: y * first.pdf(y), *ends, epsabs=1e-11)[0] / share
    assert found.share == pytest.approx(share, rel=1e-8) and found.first == pytest.approx(mean, rel=1e-8)
    assert found.change == pytest.approx(-(1 - RELIABILITY) * (mean - MEAN), rel=1e-7)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_several_first_measurements_by_simulation(times):
    y = measurements(np.random.default_rng(times), 400_000, times + 1)
    baseline = y[:, :times].mean(axis=1)
    chosen = baseline >= 160
    population = Population(mean=MEAN, sd=SD, reliability=RELIABILITY)
    found = expected_regression(population, 160.0, measurements=times)
    change = (y[:, times] - baseline)[chosen]
    error = change.std() / np.sqrt(change.size)
    assert found.change == pytest.approx(change.mean(), abs=4 * error)
    assert found.share == pytest.approx(chosen.mean(), abs=0.004)
    own = regression_of_chosen(baseline[chosen], population, measurements=times)
    assert own.change == pytest.approx(change.mean(), abs=4 * error)


def test_perfect_reliability_leaves_nothing_and_none_everything():
    sure = expected_regression(Population(mean=0.0, sd=1.0, reliability=1.0), 2.0)
    noise = expected_regression(Population(mean=0.0, sd=1.0, reliability=0.0), 2.0)
    assert sure.change == pytest.approx(0) and noise.second == pytest.approx(0)
    assert np.isnan(sure.std_error)


def test_far_thresholds_are_calculated():
    found = expected_regression(Population(mean=0.0, sd=1.0, reliability=0.5), 40.0)
    assert found.first == pytest.approx(40 + 1 / 40, abs=1e-4)


def test_errors_agree_with_the_spread_over_samples():
    rng = np.random.default_rng(3)
    normal, own = [], []
    for _ in range(600):
        first = measurements(rng, 400, 1)[:, 0]
        pairs = measurements(rng, 80)
        population = population_of(first, (pairs[:, 0], pairs[:, 1]))
        normal.append(expected_regression(population, 160.0))
        own.append(regression_of_chosen(np.full(5, 170.0), population))
    for found in (normal, own):
        spread = np.std([x.change for x in found])
        assert np.sqrt(np.mean([x.std_error**2 for x in found])) == pytest.approx(spread, rel=0.1)


def test_the_population_has_the_reliability_of_its_pairs():
    pairs = measurements(np.random.default_rng(1), 500)
    found = population_of(pairs[:, 0], (pairs[:, 0], pairs[:, 1]))
    assert found.reliability == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    stated = population_of(pairs[:, 0], reliability=0.7)
    assert stated.reliability == 0.7 and stated.covariance[2, 2] == 0


def test_units_do_not_matter():
    v = np.diag([0.4, 0.2, 0.001])
    s = np.array([1e6, 1e6, 1.0])
    one = expected_regression(Population(mean=MEAN, sd=SD, reliability=0.6, covariance=v), 160.0)
    two = expected_regression(
        Population(mean=1e6 * MEAN, sd=1e6 * SD, reliability=0.6, covariance=v * np.outer(s, s)), 160e6
    )
    assert (two.change, two.std_error) == pytest.approx((1e6 * one.change, 1e6 * one.std_error), rel=1e-6)


def test_separated_effect_is_a_regression_through_the_mean():
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    y = measurements(rng, 300)
    y = y[chosen_mask(y[:, 0], 150.0)]
    fit = sm.OLS(y[:, 1] - MEAN, sm.add_constant(y[:, 0] - MEAN)).fit()
    found = separated_effect(y[:, 0], y[:, 1], MEAN)
    assert found.effect == pytest.approx(fit.params[0]) and found.std_error == pytest.approx(fit.bse[0])
    assert found.p_value == pytest.approx(fit.pvalues[0]) and found.slope == pytest.approx(fit.params[1])
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]))
    assert found.change == pytest.approx(found.effect + found.regression)


@pytest.mark.parametrize("mean_error", [0.0, 2.0])
def test_separated_effect_keeps_its_coverage(mean_error):
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(600):
        y = measurements(rng, 200)
        y = y[chosen_mask(y[:, 0], 150.0)]
        known = MEAN + mean_error * rng.standard_normal()
        found = separated_effect(y[:, 0], y[:, 1] - 5.0, known, mean_error)
        covered += found.low <= -5 <= found.high
    assert covered / 600 == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 600))


def test_impossible_inputs_are_refused():
    with pytest.raises(ValueError, match="reliability"):
        Population(mean=0.0, sd=1.0, reliability=1.2)
    with pytest.raises(ValueError, match="three people"):
        separated_effect(np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0]), 0.0)
    with pytest.raises(ValueError, match="one measurement"):
        expected_regression(Population(mean=0.0, sd=1.0, reliability=0.5), 1.0, measurements=0)
    with pytest.raises(ValueError, match="mean count"):
        CountPopulation(mean=0.0, variance=1.0)


@pytest.mark.parametrize(("mean", "variance"), [(1.0, 3.0), (0.4, 0.5), (2.0, 2.0), (2.0, 1.5)])
@pytest.mark.parametrize("least", [0, 1, 4])
def test_counts_by_summing_probabilities(mean, variance, least):
    k = np.arange(400)
    over = variance > mean
    law = stats.nbinom(mean**2 / (variance - mean), mean / variance) if over else stats.poisson(mean)
    chance = law.pmf(k) * (k >= least)
    kept = 1 - mean / variance if over else 0.0
    found = expected_counts(CountPopulation(mean=mean, variance=variance), least, period=2.0)
    first = np.sum(k * chance) / chance.sum()
    assert found.share == pytest.approx(chance.sum(), rel=1e-9)
    assert found.first == pytest.approx(first, rel=1e-9)
    assert found.second == pytest.approx(2 * (mean + kept * (first - mean)), rel=1e-9)


def counts(rng, n):
    rate = rng.gamma(0.5, 2.0, n)
    return rng.poisson(rate).astype(float), rng.poisson(rate).astype(float)


def test_all_three_count_versions_foresee_the_next_year():
    now, later = counts(np.random.default_rng(0), 400_000)
    chosen = now >= 4
    change = later[chosen].mean() - now[chosen].mean()
    error = (later - now)[chosen].std() / np.sqrt(chosen.sum())
    population = count_population(now)
    assert expected_counts(population, 4).change == pytest.approx(change, abs=5 * error)
    assert expected_of_chosen(now[chosen], population).change == pytest.approx(change, abs=5 * error)
    assert expected_by_robbins(now, 4).change == pytest.approx(change, abs=5 * error)


def test_count_errors_agree_with_the_spread_over_samples():
    rng = np.random.default_rng(5)
    found = {"normal": [], "own": [], "robbins": []}
    for _ in range(500):
        now, _ = counts(rng, 1500)
        population = count_population(now)
        found["normal"].append(expected_counts(population, 4))
        found["own"].append(expected_of_chosen(np.full(9, 6.0), population))
        found["robbins"].append(expected_by_robbins(now, 4))
    for each in found.values():
        spread = np.std([x.change for x in each])
        assert np.sqrt(np.mean([x.std_error**2 for x in each])) == pytest.approx(spread, rel=0.12)


def test_nobody_chosen_gives_no_number():
    assert np.isnan(expected_by_robbins(np.array([0.0, 1.0]), 5).change)
