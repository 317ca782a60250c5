from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.paired_balance import balance_after, balance_before, ks_limit_p_value, ks_test
from qieval.numerics.tied_matches import Matches


def data(n=60, seed=5):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal(n), rng.integers(0, 4, n), rng.random(n) < 0.5]).astype(float)
    return x, rng.random(n) < 0.4


def test_before_is_welch_and_two_samples():
    x, treated = data(400)
    found = balance_before(x, treated)
    a, b = x[treated], x[~treated]
    assert found.t_p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-10)
    assert found.variance_ratio == pytest.approx(a.var(0, ddof=1) / b.var(0, ddof=1))
    assert found.smd == pytest.approx((a.mean(0) - b.mean(0)) / a.std(0, ddof=1))
    assert found.ks[:2] == pytest.approx([stats.ks_2samp(a[:, c], b[:, c]).statistic for c in (0, 1)])
    assert np.isnan(found.ks[2]) and np.isnan(found.ks_p[2])


def test_after_with_weights_by_hand():
    x = np.array([[1.0], [4.0], [0.0], [2.0], [3.0]])
    found = balance_after(x, Matches(np.array([0, 0, 1]), np.array([2, 3, 4]), np.array([0.5, 0.5, 1.0])))
    # differences 1, -1 (half each) and 1: mean 1/2, variance 3/4 over 2 people, so t = 0.5 / sqrt(3/8)
    assert found.t_p[0] == pytest.approx(2 * stats.t.sf(0.5 / np.sqrt(3 / 8), 1))
    assert (found.mean_first[0], found.mean_second[0]) == (2.5, 2.0)
    # rows without weights: 1 1 4 against 0 2 3, farthest apart below 1 (1/3) and below 4 (1/3)
    assert found.ks[0] == pytest.approx(1 / 3) and found.eqq_max[0] == found.ks[0]
    assert found.raw_eqq[0] == pytest.approx((1 + 1 + 1) / 3)


def test_pairs_that_agree_have_p_value_one():
    x = np.array([[1.0, 5.0], [2.0, 6.0], [1.0, 4.0], [2.0, 5.0]])
    found = balance_after(x, Matches(np.array([0, 1]), np.array([2, 3]), np.ones(2)))
    assert found.t_p.tolist() == [1.0, 0.0] and found.sorted_p()[0] == 0.0


@pytest.mark.parametrize("tied", [False, True])
def test_exact_p_value_against_all_orders(tied):
    rng = np.random.default_rng(11)
    a, b = rng.standard_normal(4), rng.standard_normal(5) + 0.8
    if tied:
        a, b = np.round(a), np.round(b)
    pooled, observed, extreme, total = np.concatenate([a, b]), ks_test(a, b)[0], 0, 0
    for rows in combinations(range(9), 4):
        chosen = np.isin(np.arange(9), rows)
        extreme += stats.ks_2samp(pooled[chosen], pooled[~chosen]).statistic >= observed - 1e-12
        total += 1
    assert ks_test(a, b)[1] == pytest.approx(extreme / total, abs=1e-12)


def test_exact_p_value_against_scipy_and_the_rule():
    rng = np.random.default_rng(12)
    a, b = rng.standard_normal(80), rng.standard_normal(110) + 0.3
    assert ks_test(a, b)[1] == pytest.approx(stats.ks_2samp(a, b, method="exact").pvalue, abs=1e-10)
    b = rng.standard_normal(125) + 0.3  # 80 * 125 is no longer below 10,000
    statistic, p = ks_test(a, b)
    assert p == pytest.approx(stats.kstwobign.sf(statistic * np.sqrt(80 * 125 / 205)), abs=1e-5)


def test_limit_p_value():
    x = np.linspace(0.2, 3, 300)
    assert ks_limit_p_value(x) == pytest.approx(stats.kstwobign.sf(x), abs=4e-5)
    low = x[x < 0.8]  # one term of the series: the next is sqrt(2 pi) / x exp(-9 pi^2 / 8 x^2) < 1e-7
    assert ks_limit_p_value(low) == pytest.approx(stats.kstwobign.sf(low), abs=1e-7)
    assert ks_limit_p_value(np.array([0.0, 50.0])).tolist() == [1.0, 0.0]


def test_units_change_nothing():
    x, treated = data()
    scale = np.array([1e-5, 1e4, 7.0])
    one, other = balance_before(x, treated), balance_before(x * scale, treated)
    for name in ("smd", "smd_pooled", "variance_ratio", "t_p", "eqq_mean", "eqq_median"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
