"""Windows, covariate balance, support points and hidden bias, against slow versions."""

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.local_randomisation_bounds import BiasTest, hidden_bias_bounds
from qieval.numerics.local_randomisation_draws import Drawing
from qieval.numerics.local_randomisation_support import support_points
from qieval.numerics.local_randomisation_windows import (
    BalanceTest,
    balance_p_values,
    binomial_p_value,
    choose_window,
    windows_by_count,
    windows_by_step,
    windows_by_support,
)


@pytest.mark.parametrize("symmetric", [True, False])
def test_windows_by_count_add_enough_rows_and_no_more_than_needed(symmetric):
    score = np.round(np.random.default_rng(1).normal(0.2, 3, 200), 1)
    windows = windows_by_count(score, 0.0, first=6, add=4, count=8, symmetric=symmetric)
    held = np.zeros(2, dtype=int)
    for k, (low, high) in enumerate(windows):
        inside = (score >= low - 1e-9) & (score <= high + 1e-9)
        n = np.array([np.sum(inside & (score < 0)), np.sum(inside & (score >= 0))])
        wanted = 6 if k == 0 else 4
        assert np.all(n >= held + wanted)
        smaller = (score > low + 1e-9) & (score < high - 1e-9)
        less = np.array([np.sum(smaller & (score < 0)), np.sum(smaller & (score >= 0))])
        assert np.any(less < held + wanted) if symmetric else np.all(less < held + wanted)
        held = n


def test_windows_stop_when_rows_run_out():
    assert windows_by_count(np.array([-2.0, -1.0, 1.0, 2.0, 3.0]), 0.0, first=1, add=1).tolist() == [
        [-1.0, 1.0],
        [-2.0, 2.0],
    ]
    assert windows_by_count(np.array([1.0, 2.0]), 0.0).shape == (0, 2)


def test_windows_by_support_take_one_value_more_a_side():
    found = windows_by_support(np.array([63.0, 64.0, 64.0, 65.0, 66.0, 67.0]), 65.0)
    assert found.tolist() == [[64.0, 65.0], [63.0, 66.0], [63.0, 67.0]]


def test_binomial_p_value():
    for left, right in ((9, 16), (0, 5), (7, 7), (120, 100)):
        assert binomial_p_value(left, right) == pytest.approx(stats.binomtest(left, left + right).pvalue)


def covariates(n=60, seed=0):
    rng = np.random.default_rng(seed)
    score = np.sort(rng.uniform(-1, 1, n))
    x = np.column_stack(
        [rng.random(n) < 0.4, rng.standard_normal(n), rng.poisson(2, n), np.full(n, 3.0)]
    ).astype(float)
    return score, x


@pytest.mark.parametrize("statistic", ["difference", "rank sum", "ks"])
def test_balance_p_values_agree_with_scipy_permutations(statistic):
    score, x = covariates(n=30)
    right = score >= 0
    found = balance_p_values(x, right, BalanceTest(statistic=statistic, drawing=Drawing(draws=20_000)))

    def value(a, b):
        if statistic == "ks":
            return stats.ks_2samp(a, b, method="asymp").statistic
        if statistic == "rank sum":
            return abs(stats.rankdata(np.concatenate([a, b]))[: a.size].mean() - (a.size + b.size + 1) / 2)
        return abs(a.mean() - b.mean())

    rng = np.random.default_rng(3)
    for j in range(2 if statistic == "ks" else 3):
        both, m = x[:, j], right.sum()
        observed = value(both[right], both[~right])
        repeats = 400 if statistic == "ks" else 1500
        drawn = np.array([value(p[:m], p[m:]) for p in (rng.permutation(both) for _ in range(repeats))])
        slow = np.mean(drawn >= observed - 1e-9)
        assert found[j] == pytest.approx(slow, abs=4 * np.sqrt(0.25 / repeats))
    assert np.isnan(found[3])


def test_yes_or_no_covariates_have_fishers_p_value():
    score, x = covariates()
    right = score >= 0
    found = balance_p_values(x[:, :1], right, BalanceTest())
    m, ones = right.sum(), x[:, 0].sum()
    k = np.arange(ones + 1)
    chance = stats.hypergeom(60, int(ones), int(m)).pmf(k)
    gap = np.abs(k / m - (ones - k) / (60 - m))
    assert found[0] == pytest.approx(chance[gap >= gap[int(x[right, 0].sum())] - 1e-12].sum(), rel=1e-9)


def test_hotelling_in_large_samples_and_by_assignments():
    score, x = covariates()
    x, right = x[:, :3], score >= 0
    n1, n0 = right.sum(), (~right).sum()
    gap = x[right].mean(0) - x[~right].mean(0)
    pooled = (np.cov(x[right].T) * (n1 - 1) + np.cov(x[~right].T) * (n0 - 1)) / (n1 + n0 - 2)
    t2 = n1 * n0 / (n1 + n0) * gap @ np.linalg.solve(pooled, gap)
    p = stats.f.sf((n1 + n0 - 4) / ((n1 + n0 - 2) * 3) * t2, 3, n1 + n0 - 4)
    large = balance_p_values(x, right, BalanceTest(statistic="hotelling", large_sample=True))
    assert large[0] == pytest.approx(p, rel=1e-9)
    drawn = balance_p_values(x, right, BalanceTest(statistic="hotelling", drawing=Drawing(draws=9999)))
    assert drawn[0] == pytest.approx(p, abs=0.05)


def test_the_window_before_the_first_imbalance_is_chosen():
    rng = np.random.default_rng(5)
    score = rng.uniform(-2, 2, 800)
    drifting = np.where(np.abs(score) > 1, 2 * np.sign(score), 0) + 0.3 * rng.standard_normal(800)
    x = np.column_stack([drifting, rng.standard_normal(800)])
    x[rng.integers(0, 800, 20), 1] = np.nan
    found = choose_window(score, x, 0.0, windows_by_step(0.0, 0.2, 0.2, 10), BalanceTest(level=0.01))
    assert found.chosen == 4 and found.window == pytest.approx((-1.0, 1.0))
    assert found.worst[5] == 0 and found.p_least[5] < 0.01
    assert found.n[-1].sum() == np.sum(np.isfinite(x[:, 1]) & (np.abs(score) <= 2))
    none = choose_window(score, score[:, None], 0.0, windows_by_step(0.0, 0.2, 0.2, 3))
    assert none.chosen == -1 and none.window is None


def test_an_empty_side_does_not_decide():
    score = np.array([-2.0, -1.5, 0.1, 0.2, 0.3])
    found = choose_window(score, np.arange(5.0)[:, None], 0.0, np.array([[-1.0, 1.0]]))
    assert np.isnan(found.p_least[0]) and found.worst[0] == -1 and found.chosen == 0


def test_support_points_of_whole_years():
    age = np.repeat([60.0, 62.0, 64.0, 65.0, 66.0, 80.0], [1, 2, 3, 4, 5, 6])
    found = support_points(age, 65.0, h=3)
    assert found.left.tolist() == [62, 64] and found.rows_right.tolist() == [4, 5]
    assert (found.gap, found.step, found.at_cutoff) == (1.0, 1.0, 4)
    assert (found.n_left_all, found.n_right_all, found.rows_per_point) == (3, 3, 3.5)
    empty = support_points(age, 90.0)
    assert np.isnan(empty.gap) and empty.n == (6, 0)
    with pytest.raises(ValueError, match="positive"):
        support_points(age, 65.0, h=0)


@pytest.mark.parametrize("statistic", ["rank sum", "difference"])
def test_hidden_bias_bounds_against_plain_loops(statistic):
    rng = np.random.default_rng(2)
    score = rng.uniform(-1, 1, 18)
    y = rng.standard_normal(18) + 1.5 * (score >= 0)
    test = BiasTest(statistic=statistic, both_directions=False, drawing=Drawing(draws=8000, seed=1))
    gammas = np.array([1.0, 2.0])
    found = hidden_bias_bounds(score, y, 0.0, np.array([[-1.0, 1.0]]), gammas, test)
    values = stats.rankdata(y) if statistic == "rank sum" else y

    def value(right):
        if statistic == "difference":
            return abs(values[right].mean() - values[~right].mean())
        m = right.sum()
        return abs(values[right].sum() - m * 19 / 2) / np.sqrt(m * (18 - m))

    def p_value(chance):
        drawn = [row for row in rng.random((1500, 18)) < chance if 0 < row.sum() < 18]
        return np.mean([value(row) >= value(score >= 0) - 1e-9 for row in drawn])

    order = np.argsort(-y)
    slow = []
    for u in range(1, 19):
        chance = np.full(18, 1 / 3)
        chance[order[:u]] = 2 / 3
        slow.append(p_value(chance))
    assert found.low[1, 0] == pytest.approx(min(slow), abs=0.03)
    assert found.high[1, 0] == pytest.approx(max(slow), abs=0.05)
    assert found.p_value[0] == pytest.approx(p_value(np.mean(score >= 0)), abs=0.03)
    assert found.low[0, 0] == found.high[0, 0]


def test_bounds_widen_with_gamma_and_do_not_know_the_sign():
    rng = np.random.default_rng(0)
    score = rng.uniform(-1, 1, 40)
    y = rng.standard_normal(40) + (score >= 0)
    windows, gammas = np.array([[-1.0, 1.0], [-0.001, 0.001]]), np.array([1.2, 1.5, 2.0, 3.0])
    found = hidden_bias_bounds(score, y, 0.0, windows, gammas)
    assert np.all(np.diff(found.high[:, 0]) > 0) and np.isnan(found.p_value[1])
    mirrored = hidden_bias_bounds(score, -y, 0.0, windows, gammas)
    assert mirrored.high[:, 0] == pytest.approx(found.high[:, 0], abs=0.08)
    with pytest.raises(ValueError, match="gamma"):
        hidden_bias_bounds(score, y, 0.0, windows, np.array([0.5]))
