from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_power import (
    LONE,
    ONE_START,
    TOO_EARLY,
    RolloutAnalysis,
    RolloutPlan,
    _limits,
    compare_rollouts,
    simulate_rollout_power,
    wave_starts,
)
from qieval.numerics.rollout_power_series import FLAT, TOO_SHORT, make_source
from qieval.numerics.rollout_weights import NO_EFFECT, RolloutRules, rollout_weights

PERMUTATION = RolloutAnalysis(test="permutation")


def history(units=80, periods=16, seed=0, rho=0.0):
    rng = np.random.default_rng(seed)
    error = rng.standard_normal((units, periods))
    error[:, 0] /= np.sqrt(1 - rho**2)
    for t in range(1, periods):
        error[:, t] += rho * error[:, t - 1]
    return 2 * error + 10 * rng.standard_normal((units, 1)) + np.arange(periods)


def plan(units=80, waves=4, never=20, **more):
    return RolloutPlan(first=wave_starts(units, waves, gap=2, never=never), periods=8, **more)


@pytest.mark.parametrize("estimator", ["group-time", "imputation", "two-way"])
def test_independent_errors_give_the_textbook_standard_deviation(estimator):
    rules = RolloutRules(estimator=estimator)
    found = simulate_rollout_power(
        history(), plan(), RolloutAnalysis(rules=rules), resampling=Resampling(draws=2000, seed=1)
    )
    weights = rollout_weights(plan().first, np.arange(-16.0, 8), rules).weights
    sd = 2 * np.sqrt(np.sum(weights**2))
    assert found.sd == pytest.approx(sd, rel=0.08) and found.share == pytest.approx(1, rel=1e-8)
    assert abs(found.size - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)
    needed = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found.mde == pytest.approx(needed * found.sd, rel=0.1)
    assert found.mde_low < found.mde < found.mde_high and abs(found.autocorrelation) < 0.1
    assert found.power[0] == found.size and found.power[-1] > 0.99 and found.n_clusters == 80


def test_the_minimum_detectable_effect_has_the_power_it_claims():
    for analysis in (RolloutAnalysis(), PERMUTATION):
        first = simulate_rollout_power(history(), plan(), analysis, resampling=Resampling(draws=500))
        again = simulate_rollout_power(
            history(), plan(), analysis, None, Resampling(draws=500), np.array([0.99, 1.0]) * first.mde
        )
        assert again.power[0] <= 0.8 <= again.power[1] and again.power_error[1] < 0.02


@pytest.mark.parametrize("order", ["planned", "random"])
@pytest.mark.parametrize("analysis", [RolloutAnalysis(), PERMUTATION])
def test_size_is_right(order, analysis):
    found = [
        simulate_rollout_power(
            history(24, 12, seed),
            plan(24, 3, 6, order=order),
            analysis,
            resampling=Resampling(draws=400, seed=seed),
        ).size
        for seed in range(8)
    ]
    assert abs(np.mean(found) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 3200)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_simulated_power_is_that_of_new_panels(rho):
    """What happens in fresh panels of the true process, with the same analysis by another route."""
    rng = np.random.default_rng(5)
    weights = rollout_weights(plan().first, np.arange(-24.0, 8)).weights
    fresh = [np.sum(weights * history(80, 32, int(rng.integers(2**31)), rho)) for _ in range(1500)]
    found = simulate_rollout_power(history(80, 24, 9, rho), plan(), resampling=Resampling(draws=1000))
    assert found.sd == pytest.approx(np.std(fresh), rel=0.12)
    assert found.autocorrelation == pytest.approx(rho, abs=0.08)


def test_stepped_wedge_with_one_cluster_to_a_step_needs_the_permutation_test():
    wedge = RolloutPlan(first=wave_starts(10, 10), periods=11, order="random")
    data = history(10, 12)
    assert simulate_rollout_power(data, wedge).reason == LONE
    found = simulate_rollout_power(data, wedge, PERMUTATION, resampling=Resampling(draws=1000))
    assert abs(found.size - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1000) and np.isfinite(found.mde)
    other = replace(PERMUTATION, rules=RolloutRules(estimator="two-way"))
    assert simulate_rollout_power(data, wedge, other, resampling=Resampling(draws=400)).mde < found.mde


def test_clusters_of_units():
    """Forty units in ten equal clusters that share a shock: power is that of the cluster means."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(10), 4)
    data = history(40, 14, 3) + 3 * rng.standard_normal((10, 14))[codes]
    means = np.array([data[codes == g].mean(axis=0) for g in range(10)])
    planned = plan(10, 2, 4)
    one = simulate_rollout_power(data, planned, None, codes, Resampling(draws=300))
    other = simulate_rollout_power(means, planned, None, None, Resampling(draws=300))
    assert one.sd == pytest.approx(other.sd, rel=1e-9) and one.mde == pytest.approx(other.mde, rel=1e-5)
    unequal = simulate_rollout_power(data[2:], planned, PERMUTATION, codes[2:], Resampling(draws=300))
    assert unequal.reason == "" and unequal.sd == pytest.approx(one.sd, rel=0.25)


def test_an_effect_that_builds_up_needs_a_larger_full_effect():
    steps = RolloutAnalysis(build_up=(0.0, 0.5, 1.0))
    one, slow = [
        simulate_rollout_power(history(), plan(), a, resampling=Resampling(draws=300)) for a in (None, steps)
    ]
    weights = rollout_weights(plan().first, np.arange(-16.0, 8)).weights
    since = np.arange(-16, 8) - plan().first[:, None]
    strength = np.select([since >= 2, since == 1], [1.0, 0.5], 0.0)
    assert slow.share == pytest.approx(np.sum(weights * strength), rel=1e-10) and 0.3 < slow.share < 0.8
    assert slow.mde == pytest.approx(one.mde / slow.share, rel=1e-4) and slow.sd == one.sd
    never = RolloutAnalysis(build_up=(0.0,) * 20)
    assert simulate_rollout_power(history(), plan(), never).reason == TOO_EARLY


def test_units_of_measurement_and_seed():
    one = simulate_rollout_power(history(), plan(), PERMUTATION, resampling=Resampling(draws=200))
    same = simulate_rollout_power(1e6 * history() - 5, plan(), PERMUTATION, resampling=Resampling(draws=200))
    assert same.mde == pytest.approx(1e6 * one.mde, rel=1e-4) and same.size == one.size
    other = simulate_rollout_power(history(), plan(), PERMUTATION, resampling=Resampling(draws=200, seed=1))
    assert other.sd != one.sd


def test_more_clusters_never_treated_or_smaller_noise_compare_as_they_should():
    plans = {"waves": plan(), "no one left": plan(never=0), "late": replace(plan(), first=plan().first + 1)}
    found = compare_rollouts(history(), plans, resampling=Resampling(draws=300))
    assert list(found) == list(plans) and all(one.reason == "" for one in found.values())
    assert found["no one left"].mde > found["waves"].mde
    half = simulate_rollout_power(history() / 2, plan(), resampling=Resampling(draws=300))
    assert half.mde == pytest.approx(found["waves"].mde / 2, rel=1e-5)


def test_missing_history_is_closed_up():
    data = history(60, 16)
    data[np.random.default_rng(0).random(data.shape) < 0.1] = np.nan
    data[0] = np.nan
    full = simulate_rollout_power(history(60, 16), plan(60), resampling=Resampling(draws=500))
    found = simulate_rollout_power(data, plan(60), resampling=Resampling(draws=500))
    assert found.sd == pytest.approx(full.sd, rel=0.15)


def test_reasons():
    assert simulate_rollout_power(history(80, 1), plan()).reason == TOO_SHORT
    assert simulate_rollout_power(np.zeros((80, 9)) + np.arange(9), plan()).reason == FLAT
    at_once = RolloutPlan(first=np.zeros(80), periods=4)
    assert simulate_rollout_power(history(), at_once).reason == NO_EFFECT
    strata = plan(within=np.repeat(np.arange(4), 20))
    alone = replace(strata, order="random", first=np.where(strata.within < 2, 0.0, np.inf))
    assert simulate_rollout_power(history(), alone).reason == ONE_START
    two = RolloutPlan(first=np.array([0.0, np.inf, np.inf, np.inf]), periods=4)
    assert "only 4 ways" in simulate_rollout_power(history(4), two, PERMUTATION).reason


def test_wave_starts():
    assert wave_starts(7, 3, start=2, gap=4).tolist() == [2, 2, 2, 6, 6, 10, 10]
    assert wave_starts(3, 1, never=1).tolist() == [0, 0, np.inf]


def test_clustered_limit_of_two_groups_is_that_of_welch():
    rng = np.random.default_rng(0)
    change = np.concatenate([rng.standard_normal((50, 5)), 3 * rng.standard_normal((50, 9))], axis=1)
    parts = change / np.where(np.arange(14) < 5, 5, -9)
    starts = np.where(np.arange(14) < 5, 0.0, np.inf)
    limit = _limits(parts, np.tile(starts, (50, 1)), np.ones(14), 0.95)
    welch = stats.ttest_ind(change[:, :5], change[:, 5:], axis=1, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert limit == pytest.approx((interval.high - interval.low) / 2, rel=1e-8)


def test_few_clusters_do_not_make_the_noise_look_small():
    first = np.array([0.0, 2, 4, np.inf, np.inf, np.inf])
    weights = rollout_weights(first, np.arange(-24.0, 6), RolloutRules(estimator="two-way")).weights
    variance = []
    for seed in range(60):
        source = make_source(history(6, 24, seed), np.arange(6), 6)
        drawn = source.draw(np.random.default_rng(seed), 300, 30)
        variance.append(np.var(np.tensordot(drawn, weights, 2)))
    assert np.sqrt(np.mean(variance)) == pytest.approx(2 * np.sqrt(np.sum(weights**2)), rel=0.04)


def test_series_are_as_variable_in_their_first_period_as_later():
    source = make_source(history(60, 40, 1, 0.8), np.arange(60), 60)
    drawn = source.draw(np.random.default_rng(0), 200, 20)
    assert np.std(drawn[..., 0]) == pytest.approx(np.std(drawn[..., -1]), rel=0.05)
    assert np.std(drawn[..., -1]) == pytest.approx(2 / np.sqrt(1 - 0.64), rel=0.12)
