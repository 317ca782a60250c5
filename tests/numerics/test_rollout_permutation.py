import itertools

import numpy as np
import pytest

from qieval.numerics.absorb import two_way, within
from qieval.numerics.permutation import permute_clusters
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_permutation import (
    NO_ESTIMATE,
    NO_SLOPE,
    NOTHING_TO_EXCHANGE,
    adopters_only,
    arrangements,
    n_arrangements,
    permute_panel,
    permute_rollout,
    permute_rollout_linear,
)
from qieval.numerics.rollout_weights import NO_EFFECT, RolloutRules, rollout_weights

TIMES = np.arange(6.0)


def estimate(y, first):
    return float(np.sum(rollout_weights(first, TIMES).weights * y))


def simulated(first, seed=0, effect=0.0):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((first.size, 1)) + TIMES + rng.standard_normal((first.size, 6))
    return y + effect * exposure(first)


def exposure(first):
    return (first[:, None] <= TIMES).astype(float)


FIRST = np.array([2.0, 2, 3, 4, np.inf, np.inf])


def every_order(first):
    return sorted(set(itertools.permutations(first.tolist())))


def test_all_arrangements_are_used_once():
    strata = np.zeros(6, dtype=int)
    found = [tuple(one) for one in arrangements(FIRST, strata, Resampling(draws=200))]
    assert sorted(found) == every_order(FIRST) and len(found) == n_arrangements(FIRST, strata) == 180


def test_arrangements_within_strata_stay_there():
    strata = np.array([0, 1, 0, 1, 0, 1])
    found = {tuple(one) for one in arrangements(FIRST, strata, Resampling(draws=200))}
    brute = {
        order
        for order in every_order(FIRST)
        for codes in [np.array(order)]
        if all(sorted(codes[strata == s]) == sorted(FIRST[strata == s]) for s in (0, 1))
    }
    assert found == brute and n_arrangements(FIRST, strata) == len(brute)


def test_random_arrangements_are_not_the_actual_one_and_follow_the_seed():
    strata = np.zeros(6, dtype=int)
    drawn = [np.array(list(arrangements(FIRST, strata, Resampling(draws=150, seed=s)))) for s in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert (drawn[0] != FIRST).any(axis=1).all() and (np.sort(drawn[0], axis=1) == np.sort(FIRST)).all()


def test_p_value_against_a_plain_loop():
    y = simulated(FIRST, 3, effect=1.5)
    found = permute_rollout(lambda first: estimate(y, first), FIRST)
    values = np.array([estimate(y, np.array(one)) for one in every_order(FIRST)])
    assert found.enumerated and found.n_arrangements == 180 and found.reason == ""
    assert found.p_value == np.mean(np.abs(values) >= abs(estimate(y, FIRST)) - 1e-12)
    assert np.sort(found.statistics) == pytest.approx(np.sort(values), abs=1e-12)


def test_exchange_among_adopters_only():
    y = simulated(FIRST, 4)
    found = permute_rollout(lambda first: estimate(y, first), FIRST, among="adopters")
    same = permute_rollout(lambda first: estimate(y, first), FIRST, within=adopters_only(FIRST))
    kept = [one for one in every_order(FIRST) if one[4:] == (np.inf, np.inf)]
    values = np.array([estimate(y, np.array(one)) for one in kept])
    assert found.n_arrangements == len(kept) == 12
    assert found.p_value == same.p_value == np.mean(np.abs(values) >= abs(estimate(y, FIRST)) - 1e-12)


@pytest.mark.parametrize("effect", [0.0, 3.0, -40.0])
def test_interval_ends_are_where_the_slow_p_value_crosses(effect):
    y, exposed = simulated(FIRST, 5, effect), exposure(FIRST)
    found = permute_rollout_linear(estimate, y, exposed, FIRST)
    orders = [np.array(one) for one in every_order(FIRST)]

    def slow(null):
        values = np.array([estimate(y - null * exposed, one) for one in orders])
        return np.mean(np.abs(values) >= abs(estimate(y - null * exposed, FIRST)) * (1 - 1e-10))

    width = found.high - found.low
    assert np.isfinite(width) and found.low < found.estimate < found.high
    for end, outwards in ((found.low, -1), (found.high, 1)):
        assert slow(end + outwards * 1e-6 * width) <= 0.05 < slow(end - outwards * 1e-6 * width)
    assert found.p_value == slow(0.0)


def test_interval_moves_with_the_effect_and_its_units():
    y, exposed = simulated(FIRST, 6), exposure(FIRST)
    one = permute_rollout_linear(estimate, y, exposed, FIRST)
    other = permute_rollout_linear(estimate, 1e-8 * (y + 7 * exposed), exposed, FIRST)
    assert (other.low, other.high) == pytest.approx((1e-8 * (one.low + 7), 1e-8 * (one.high + 7)), rel=1e-7)


def test_an_effect_that_builds_up_is_measured_as_full_effect():
    """Exposure of one half halves what the estimate moves, so that the interval doubles."""
    y, exposed = simulated(FIRST, 7), exposure(FIRST)
    one = permute_rollout_linear(estimate, y, exposed, FIRST)
    half = permute_rollout_linear(estimate, y, exposed / 2, FIRST)
    assert (half.low, half.high) == pytest.approx((2 * one.low, 2 * one.high), rel=1e-9)


def test_one_common_start_equals_the_permutation_of_who_is_treated():
    first = np.where(np.arange(8) < 3, 4.0, np.inf)
    y, exposed = simulated(first, 8, 1.0), exposure(first)
    unit, time = np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
    base = within(two_way(unit, time), y.ravel())
    direct = permute_clusters(base, time >= 4, unit, first == 4)
    rules = RolloutRules(estimator="two-way")
    found = permute_rollout_linear(
        lambda y, first: float(np.sum(rollout_weights(first, TIMES, rules).weights * y)), y, exposed, first
    )
    assert found.estimate == pytest.approx(direct.estimate, rel=1e-10) and found.p_value == direct.p_value
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high), rel=1e-9)


def test_order_of_clusters_does_not_matter():
    first = np.where(np.arange(7) < 5, np.arange(7.0) // 2 + 1, np.inf)
    y, turn = simulated(first, 9, 1.0), np.random.default_rng(0).permutation(7)
    one, other = [
        permute_rollout_linear(estimate, y[at], exposure(first[at]), first[at]) for at in (np.arange(7), turn)
    ]
    assert one.enumerated and other.p_value == one.p_value
    assert (other.low, other.high) == pytest.approx((one.low, one.high), rel=1e-9)


def test_reasons():
    y = simulated(FIRST, 10)
    alone = permute_rollout(lambda first: 1.0, FIRST, within=np.arange(6))
    assert alone.reason == NOTHING_TO_EXCHANGE and np.isnan(alone.p_value) and alone.estimate == 1.0
    assert permute_rollout(lambda first: np.nan, FIRST).reason == NO_ESTIMATE
    flat = permute_rollout_linear(estimate, y, np.zeros_like(y), FIRST)
    assert flat.reason == NO_SLOPE and np.isnan(flat.low) and np.isfinite(flat.p_value)
    few = permute_rollout(lambda first: estimate(y, first), FIRST, within=np.array([0, 0, 1, 1, 2, 3]))
    assert few.n_arrangements == 2 and few.smallest_p == 0.5 and "only 2 ways" in few.reason


def test_roll_outs_without_a_statistic_count_as_extreme():
    first = np.array([1.0, 2, 3, np.inf])
    found = permute_rollout(lambda starts: np.nan if starts[0] == 2 else float(starts[0] == 1), first)
    assert found.n_arrangements == 24 and found.n_unidentified == 6 and found.p_value == 12 / 24


def test_size_under_drawn_dates_and_unequal_clusters():
    rng = np.random.default_rng(11)
    first = np.array([1.0, 2, 3, 4, np.inf, np.inf])
    scale = np.array([4.0, 1, 1, 1, 1, 0.5])[:, None]
    orders = np.array(list(arrangements(first, np.zeros(6, dtype=int), Resampling(draws=400))))
    weights = np.array([rollout_weights(one, TIMES).weights.ravel() for one in orders])
    y = (scale * rng.standard_normal((2000, 6, 6))).reshape(2000, -1)
    values = np.abs(y @ weights.T)
    own = rng.integers(len(orders), size=2000)
    p_value = np.mean(values >= values[np.arange(2000), own][:, None] * (1 - 1e-10), axis=1)
    rejected = np.mean(p_value <= 0.05)
    assert abs(rejected - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 2000)
    y0 = y[0].reshape(6, 6)
    found = permute_rollout(lambda starts: estimate(y0, starts), orders[own[0]])
    assert found.p_value == pytest.approx(p_value[0], abs=1e-12)


@pytest.mark.parametrize(
    "rules", [None, RolloutRules(estimator="imputation"), RolloutRules(aggregation="group")]
)
def test_look_up_equals_estimating_each_arrangement(rules):
    first = np.array([2.0, 2, 3, 4, 4, 4, 9, np.inf])
    y, strata = simulated(first, 12, 1.0), np.array([0, 0, 0, 0, 1, 1, 1, 1])

    def slow(y, starts):
        return float(np.sum(rollout_weights(starts, TIMES, rules).weights * y))

    for draws in (30, 999):
        resampling = Resampling(draws=draws, seed=3)
        found = permute_panel(y, first, TIMES, rules, resampling, strata)
        other = permute_rollout_linear(slow, y, exposure(first), first, resampling, strata)
        assert found.p_value == other.p_value and found.enumerated == (draws == 999)
        assert found.statistics == pytest.approx(other.statistics, abs=1e-10)
        assert (found.low, found.high) == pytest.approx((other.low, other.high), rel=1e-9)


def test_look_up_without_controls_says_why():
    found = permute_panel(np.zeros((4, 6)), np.full(4, 2.0), TIMES)
    assert found.reason == NO_EFFECT and np.isnan(found.p_value)


def test_interval_covers_the_effect_when_dates_are_drawn():
    rng = np.random.default_rng(13)
    dates = np.array([1.0, 1, 2, 3, 4, 4, np.inf, np.inf])
    held = 0
    for seed in range(300):
        first = rng.permutation(dates)
        found = permute_panel(
            simulated(first, seed, 2.0), first, TIMES, None, Resampling(draws=99, seed=seed, level=0.9)
        )
        held += found.low <= 2.0 <= found.high
    assert abs(held / 300 - 0.9) < 3 * np.sqrt(0.09 / 300)


def test_the_data_count_as_one_of_the_draws():
    first = np.array([1.0, 1, 2, 2, 3, 3, np.inf, np.inf])
    found = permute_panel(simulated(first, 14, 50.0), first, TIMES, None, Resampling(draws=59))
    assert not found.enumerated and found.statistics.size == 59
    assert found.p_value == found.smallest_p == 1 / 60
