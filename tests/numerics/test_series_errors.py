"""Newey-West and what belongs to it, against double sums and simulation."""

import numpy as np
import pytest

from qieval.numerics.series_errors import (
    bandwidth_andrews,
    bandwidth_newey_west,
    equal_weighted_cosine,
    fixed_b_critical_value,
    hac_small_sample,
    lag_rule,
    newey_west,
    pairs_apart,
)

AT = np.array([0, 1, 2, 5, 6, 8, 9, 10, 11, 12, 15, 16])


def scores(n: int = 12, k: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, k))


@pytest.mark.parametrize("lags", [0, 1, 3, 4.6, 50])
@pytest.mark.parametrize("at", [np.arange(12), AT], ids=["consecutive", "gaps"])
def test_newey_west_is_the_double_sum(at, lags):
    s, bread = scores(), np.cov(scores(20, 3, 1).T)
    weight = np.clip(1 - np.abs(np.subtract.outer(at, at)) / (lags + 1), 0, None)
    expected = bread @ (s.T @ weight @ s) @ bread
    np.testing.assert_allclose(newey_west(s, bread, at, lags, adjust=False), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(newey_west(s, bread, at, lags), expected * 12 / 9, rtol=1e-12, atol=1e-14)


def test_newey_west_refuses_what_it_cannot_do():
    s = scores()
    for at, lags in [(AT[::-1], 1), (AT[:5], 1), (AT, -1), (AT, np.nan)]:
        with pytest.raises(ValueError):
            newey_west(s, np.eye(3), at, lags)


def test_pairs_are_those_at_the_true_distance():
    for distance in (1, 2, 3, 7, 40):
        later, earlier = pairs_apart(AT, distance)
        expected = [(j, i) for i in range(12) for j in range(12) if AT[j] - AT[i] == distance]
        assert list(zip(later, earlier, strict=True)) == expected


def test_rules_for_lags():
    assert [lag_rule("cube root", n) for n in (24, 64, 100)] == [2, 3, 3]
    assert [lag_rule("rule of thumb", n) for n in (24, 100, 400)] == [2, 4, 5]
    with pytest.raises(ValueError, match="season"):
        lag_rule("season", 24)


def test_bandwidths_do_not_depend_on_units_unless_weights_are_given():
    s, stretch = scores(60, 3, 2), np.array([1.0, 1e6, 1e-3])
    for rule in (bandwidth_newey_west, bandwidth_andrews):
        assert rule(s * stretch, np.arange(60)) == pytest.approx(rule(s, np.arange(60)), rel=1e-9)
        assert rule(s, np.arange(60), np.ones(3)) != pytest.approx(rule(s, np.arange(60)), rel=1e-3)
        assert rule(np.zeros((20, 2)), np.arange(20)) == 0.0


def test_bandwidths_of_one_series_by_hand():
    s = scores(50, 1, 3).cumsum(axis=0) * 0.2 + scores(50, 1, 4)
    x, n = s[:, 0], 50
    sigma = [x[: n - j] @ x[j:] / n for j in range(4)]
    level = sigma[0] + 2 * sum(sigma[1:])
    slope = 2 * sum(j * sigma[j] for j in range(1, 4))
    expected = 1.1447 * ((slope / level) ** 2) ** (1 / 3) * n ** (1 / 3)
    assert bandwidth_newey_west(s, np.arange(50)) == pytest.approx(expected)
    rho = np.polyfit(x[:-1], x[1:], 1)[0]
    alpha = 4 * rho**2 / ((1 - rho) ** 2 * (1 + rho) ** 2)
    assert bandwidth_andrews(s, np.arange(50)) == pytest.approx(1.1447 * (n * alpha) ** (1 / 3))


def test_more_autocorrelation_asks_for_more_lags():
    found = []
    for rho in (0.1, 0.5, 0.8):
        e = np.random.default_rng(5).standard_normal(2000)
        for t in range(1, 2000):
            e[t] += rho * e[t - 1]
        found.append(
            [rule(e[:, None], np.arange(2000)) for rule in (bandwidth_newey_west, bandwidth_andrews)]
        )
    assert np.all(np.diff(found, axis=0) > 0)


def design(n: int, at: np.ndarray) -> np.ndarray:
    after = (at >= at[n // 2]).astype(float)
    return np.column_stack([np.ones(n), at, after])


@pytest.mark.parametrize("adjust", [True, False])
def test_moments_of_the_variance_estimate_under_independence(adjust):
    """Against 20,000 simulated series."""
    at = AT
    x, lags, n = design(12, AT), 3, 12
    bread = np.linalg.inv(x.T @ x)
    errors = np.random.default_rng(6).standard_normal((20_000, n))
    left = errors - errors @ x @ bread @ x.T
    weight = np.clip(1 - np.abs(np.subtract.outer(at, at)) / (lags + 1), 0, None)
    s = left[:, :, None] * x
    variances = np.einsum("kl,rnl,nm,rmj,jk->rk", bread, s, weight, s, bread, optimize=True)
    variances *= n / (n - 3) if adjust else 1.0
    found = hac_small_sample(x, at, lags, adjust=adjust)
    np.testing.assert_allclose(found.bias, variances.mean(axis=0) / np.diag(bread), rtol=0.02)
    np.testing.assert_allclose(found.df, 2 * variances.mean(axis=0) ** 2 / variances.var(axis=0), rtol=0.06)


def test_fixed_b_critical_values_against_the_mean_of_white_noise():
    """A mean of 200 normal values with Newey-West standard error, lags half of the series."""
    n, lags, repeats = 200, 99, 20_000
    e = np.random.default_rng(7).standard_normal((repeats, n))
    left = e - e.mean(axis=1, keepdims=True)
    weight = np.clip(1 - np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / (lags + 1), 0, None)
    variance = np.einsum("rn,rn->r", left @ weight, left)
    t = np.abs(e.sum(axis=1)) / np.sqrt(variance)
    for level in (0.8, 0.9, 0.95, 0.98):
        assert np.mean(t > fixed_b_critical_value(lags, n, level)) == pytest.approx(1 - level, abs=0.008)
    assert fixed_b_critical_value(0, 10**9) == pytest.approx(1.96, abs=1e-4)
    with pytest.raises(ValueError, match="levels"):
        fixed_b_critical_value(3, 50, 0.5)


def test_equal_weighted_cosine_of_a_mean_by_hand():
    n, terms = 30, 3
    e = scores(n, 1, 8)
    e -= e.mean()
    total = 0.0
    for j in range(1, terms + 1):
        total += sum(np.sqrt(2) * e[t, 0] * np.cos(np.pi * j * (t + 0.5) / n) for t in range(n)) ** 2 / terms
    found, df = equal_weighted_cosine(e, np.eye(1) / n, np.arange(n), terms)
    assert (found[0, 0], df) == (pytest.approx(total / n**2), 3)
    assert equal_weighted_cosine(e, np.eye(1), np.arange(n))[1] == 3
    gaps = np.delete(np.arange(n), [4, 17])
    zero = e.copy()
    zero[[4, 17]] = 0.0
    ours = equal_weighted_cosine(e[gaps], np.eye(1), gaps, terms)[0]
    np.testing.assert_allclose(ours, equal_weighted_cosine(zero, np.eye(1), np.arange(n), terms)[0])
    with pytest.raises(ValueError, match="terms"):
        equal_weighted_cosine(e, np.eye(1), np.arange(n), 30)
