import itertools

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_order import (
    CONSTANT,
    NO_CHARACTERISTIC,
    SAME_DATE,
    TOO_MANY,
    baseline_outcome,
    rollout_order,
)


def test_exact_p_values_against_all_orders_by_hand():
    first = np.array([1.0, 1, 2, 3, np.inf, np.inf])
    baseline = np.random.default_rng(1).standard_normal((6, 2))
    found = rollout_order(first, baseline)
    orders = np.array(sorted(set(itertools.permutations(first))))
    drawn = np.array([[stats.spearmanr(one, column).statistic for column in baseline.T] for one in orders])
    own = np.array([stats.spearmanr(first, column).statistic for column in baseline.T])
    assert found.enumerated and found.n_arrangements == len(orders) == 180
    assert found.correlation == pytest.approx(own, rel=1e-10)
    assert found.p_value == pytest.approx(np.mean(np.abs(drawn) >= np.abs(own) - 1e-9, axis=0))
    largest = np.abs(drawn).max(axis=1)
    assert found.p_adjusted == pytest.approx([np.mean(largest >= abs(r) - 1e-9) for r in own])

    def explained(order):
        x = np.column_stack([np.ones(6), *[stats.rankdata(column) for column in baseline.T]])
        ranks = stats.rankdata(order)
        error = ranks - x @ np.linalg.lstsq(x, ranks, rcond=None)[0]
        return 1 - error @ error / np.sum((ranks - ranks.mean()) ** 2)

    everything = np.array([explained(one) for one in orders])
    assert found.r_squared == pytest.approx(explained(first), rel=1e-9)
    assert found.joint_p == pytest.approx(np.mean(everything >= explained(first) - 1e-9))
    assert found.expected == pytest.approx(everything.mean(), rel=1e-9)
    assert found.expected == pytest.approx(2 / 5, rel=1e-9)


def test_strata_are_compared_within():
    rng = np.random.default_rng(2)
    strata = np.repeat([4, 9], 20)
    first = rng.integers(1, 5, 40) + 10.0 * (strata == 9)
    baseline = rng.standard_normal((40, 1)) + 30.0 * (strata == 9)[:, None]
    assert abs(rollout_order(first, baseline, within=strata).correlation[0]) < 0.4
    naive = rollout_order(first, baseline, Resampling(draws=499))
    assert naive.correlation[0] > 0.6 and naive.p_value[0] == 1 / 500
    ranks = [
        np.concatenate([stats.rankdata(v[strata == s]) - 10.5 for s in (4, 9)])
        for v in (first, baseline[:, 0])
    ]
    inside = rollout_order(first, baseline, within=strata)
    assert inside.correlation[0] == pytest.approx(stats.pearsonr(*ranks).statistic, rel=1e-10)


def test_a_planned_order_is_found_out_and_named():
    rng = np.random.default_rng(3)
    baseline = rng.standard_normal((60, 4))
    first = np.digitize(baseline[:, 2] + 0.5 * rng.standard_normal(60), [-1, 0, 1]) + 1.0
    found = rollout_order(first, baseline, Resampling(draws=999, seed=1))
    assert found.joint_p == 0.001 and found.r_squared > 3 * found.expected
    assert found.p_adjusted[2] == 0.001 and (found.p_adjusted[[0, 1, 3]] > 0.05).all()
    assert (found.p_adjusted >= found.p_value).all()


def test_monotone_changes_units_and_order_of_rows_do_not_matter():
    rng = np.random.default_rng(4)
    baseline, first = rng.standard_normal((6, 2)), np.array([1.0, 2, 3, 4, np.inf, np.inf])
    one = rollout_order(first, baseline)
    bent = rollout_order(10 * first - 3, np.column_stack([np.exp(baseline[:, 0]), 1e9 * baseline[:, 1]]))
    turned = rollout_order(first[::-1], baseline[::-1])
    for other in (bent, turned):
        assert other.p_value == pytest.approx(one.p_value) and other.joint_p == one.joint_p
        assert other.correlation == pytest.approx(one.correlation)


def test_missing_and_constant_characteristics():
    rng = np.random.default_rng(5)
    first = rng.integers(1, 5, 30).astype(float)
    baseline = np.column_stack([rng.standard_normal(30), np.full(30, 2.0), np.full(30, np.nan)])
    baseline[:4, 0] = np.nan
    found = rollout_order(first, baseline, Resampling(draws=99))
    assert found.n_missing.tolist() == [4, 0, 30] and found.reason == ("", CONSTANT, CONSTANT)
    assert np.isfinite(found.p_value[0]) and np.isnan(found.p_value[1:]).all() and np.isfinite(found.joint_p)


def test_a_repeated_characteristic_counts_once():
    rng = np.random.default_rng(6)
    first, x = rng.integers(1, 5, 20).astype(float), rng.standard_normal((20, 1))
    one, twice = [
        rollout_order(first, columns, Resampling(draws=199)) for columns in (x, np.hstack([x, 5 * x]))
    ]
    assert twice.r_squared == pytest.approx(one.r_squared, rel=1e-8) and twice.joint_p == one.joint_p
    assert (twice.p_adjusted == one.p_value[0]).all()


def test_reasons():
    rng = np.random.default_rng(7)
    assert rollout_order(np.full(5, 3.0), rng.random((5, 1))).joint_reason == SAME_DATE
    first = np.array([1.0, 2, 3, 4, 5])
    assert rollout_order(first, np.ones((5, 2))).joint_reason == NO_CHARACTERISTIC
    assert rollout_order(first, np.empty((5, 0))).joint_reason == NO_CHARACTERISTIC
    many = rollout_order(first, rng.random((5, 7)))
    assert many.joint_reason == TOO_MANY and np.isnan(many.joint_p) and np.isfinite(many.p_adjusted).all()


def test_size_when_dates_are_drawn():
    rng = np.random.default_rng(8)
    baseline = rng.standard_t(2, (14, 3)) @ rng.standard_normal((3, 3))
    dates = np.repeat([1.0, 2, 3, np.inf], [4, 4, 3, 3])
    found = [
        rollout_order(rng.permutation(dates), baseline, Resampling(draws=99, seed=s)) for s in range(400)
    ]
    for p in ([one.joint_p for one in found], [one.p_adjusted.min() for one in found]):
        assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 3 * np.sqrt(0.09 / 400)


def test_baseline_outcome():
    times = np.array([2001, 2002, 2004, 2005])
    y = np.array([[1.0, 3, 7, 100], [5, np.nan, 5, 0], [np.nan, 4, np.nan, 0], [np.nan, np.nan, np.nan, 1]])
    found = baseline_outcome(y, times, np.array([2005.0, 2006, np.inf, 2005]))
    assert found[0] == pytest.approx([11 / 3, 2.0]) and found[1] == pytest.approx([5.0, 0.0])
    assert found[2, 0] == 4 and np.isnan(found[2, 1]) and np.isnan(found[3]).all()
