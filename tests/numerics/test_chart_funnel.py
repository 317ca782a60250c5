import math

import numpy as np
import pytest

from qieval.numerics.chart_funnel import (
    Dispersion,
    funnel_dispersion,
    funnel_limits,
    funnel_scores,
    funnel_target,
)


def slow_quantile(chances, tail):
    """Spiegelhalter's interpolated quantile: from the first k with F(k) >= tail back towards k - 1."""
    so_far = 0.0
    for count, chance in enumerate(chances):
        if so_far + chance >= tail:
            return count - (so_far + chance - tail) / chance
        so_far += chance
    raise AssertionError("the tail was not reached")


def binomial(n, target):
    return [math.comb(n, k) * target**k * (1 - target) ** (n - k) for k in range(n + 1)]


def poisson(mean):
    return [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(200)]


@pytest.mark.parametrize("level", [0.95, 0.998])
def test_exact_limits_against_sums_of_chances(level):
    tails = (1 - level) / 2, (1 + level) / 2
    n = np.array([4, 17, 60])
    wanted = [[slow_quantile(binomial(int(one), 0.23), tail) / one for one in n] for tail in tails]
    lower, upper = funnel_limits("proportion", n.astype(float), 0.23, level)
    np.testing.assert_allclose(lower, np.maximum(wanted[0], 0), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(upper, np.minimum(wanted[1], 1), rtol=1e-10)
    size = np.array([2.5, 11.0, 47.3])
    wanted = [[slow_quantile(poisson(0.9 * one), tail) / one for one in size] for tail in tails]
    for kind in ("rate", "ratio"):
        lower, upper = funnel_limits(kind, size, 0.9, level)
        np.testing.assert_allclose(lower, np.maximum(wanted[0], 0), rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(upper, wanted[1], rtol=1e-10)


def test_exact_limits_have_no_steps():
    n = np.arange(50.0, 400.0)
    lower, upper = funnel_limits("ratio", n, 1.0, 0.95)
    assert np.all(np.diff(lower) > 0) and np.all(np.diff(upper) < 0)
    normal = funnel_limits("ratio", n, 1.0, 0.95, "normal")
    np.testing.assert_allclose(upper, normal[1], atol=0.02)
    np.testing.assert_allclose(lower, normal[0], atol=0.02)


def test_normal_limits_by_hand():
    lower, upper = funnel_limits("proportion", np.array([100.0, 4]), 0.2, 0.95, "normal")
    assert (lower[0], upper[0]) == pytest.approx((0.2 - 1.959964 * 0.04, 0.2 + 1.959964 * 0.04), abs=1e-7)
    assert lower[1] == 0
    assert funnel_limits("rate", np.array([50.0]), 2.0, 0.95, "normal")[1] == pytest.approx(
        2.391993, abs=1e-6
    )


def test_dispersion_by_hand():
    observed, expected = np.array([12.0, 30, 8, 55, 0, 21]), np.array([10.0, 20, 16, 50, 2, 24])
    z = [math.sqrt(e) * math.log((o or 0.5) / e) for o, e in zip(observed, expected, strict=True)]
    ordered = sorted(z)
    low, high = 0.5 * (ordered[0] + ordered[1]), 0.5 * (ordered[4] + ordered[5])  # type 7 at 10% of 6 points
    drawn_in = [min(max(one, low), high) for one in z]
    total, sizes = sum(one**2 for one in drawn_in), expected.sum()
    tau2 = (total - 5) / (sizes - (expected**2).sum() / sizes)
    found = funnel_dispersion("ratio", observed, expected, 1.0)
    assert found == Dispersion(pytest.approx(total / 6), pytest.approx(tau2), 6) and tau2 > 0


def test_scores_of_proportions_by_hand():
    found = funnel_scores("proportion", np.array([5.0]), np.array([20.0]), 0.5)
    assert found.value[0] == pytest.approx(math.pi / 6 - math.pi / 4)
    assert found.z[0] == pytest.approx((math.pi / 6 - math.pi / 4) * 2 * math.sqrt(20))


def test_a_rate_is_a_ratio_to_its_expected_events():
    y, n = np.array([4.0, 9, 0]), np.array([100.0, 150, 30])
    one, other = funnel_scores("rate", y, n, 0.05), funnel_scores("ratio", y, n * 0.05, 1.0)
    np.testing.assert_allclose(one.z, other.z, rtol=1e-13)
    lower, upper = funnel_limits("rate", n, 0.05, 0.998)
    scaled = funnel_limits("ratio", n * 0.05, 1.0, 0.998)
    np.testing.assert_allclose(upper, scaled[1] * 0.05, rtol=1e-12)
    np.testing.assert_allclose(lower, scaled[0] * 0.05, rtol=1e-12)


def test_widened_limits_by_hand():
    n, more = np.array([25.0]), Dispersion(phi=4.0, tau2=0.05, n_units=10)
    z = 1.959963984540054
    lower, upper = funnel_limits("ratio", n, 1.0, 0.95, "additive", more)
    assert (lower[0], upper[0]) == pytest.approx((math.exp(-z * 0.3), math.exp(z * 0.3)))
    assert funnel_limits("ratio", n, 1.0, 0.95, "multiplicative", more)[1] == pytest.approx(math.exp(z * 0.4))
    angle = math.asin(math.sqrt(0.1)) + z * math.sqrt(0.01 + 0.05)
    assert funnel_limits("proportion", n, 0.1, 0.95, "additive", more)[1] == pytest.approx(
        math.sin(angle) ** 2
    )


def test_limits_stay_within_the_scale():
    wide = Dispersion(phi=30.0, tau2=2.0, n_units=10)
    for how in ("multiplicative", "additive"):
        lower, upper = funnel_limits("proportion", np.array([5.0, 50]), 0.3, 0.998, how, wide)
        assert np.all(lower == 0) and np.all(upper == 1)


def test_less_spread_than_chance_does_not_narrow_the_funnel():
    n = np.full(20, 40.0)
    calm = funnel_dispersion("proportion", np.full(20, 12.0), n, 0.3)
    assert calm.phi == pytest.approx(0, abs=1e-20) and calm.tau2 == 0
    plain = Dispersion(1.0, 0.0, 20)
    for how in ("multiplicative", "additive"):
        np.testing.assert_array_equal(
            funnel_limits("proportion", n, 0.3, 0.95, how, calm),
            funnel_limits("proportion", n, 0.3, 0.95, how, plain),
        )


def test_dispersion_in_simulations():
    rng = np.random.default_rng(4)
    n = rng.integers(200, 2000, 4000).astype(float)
    chance = funnel_dispersion("proportion", rng.binomial(n.astype(int), 0.2).astype(float), n, 0.2)
    assert chance.phi == pytest.approx(0.679, abs=0.05) and chance.tau2 == 0
    angle = np.arcsin(np.sqrt(0.2)) + rng.normal(0, 0.05, 4000)
    y = rng.binomial(n.astype(int), np.sin(angle) ** 2).astype(float)
    found = funnel_dispersion("proportion", y, n, funnel_target(y, n), winsorise=0.0)
    assert math.sqrt(found.tau2) == pytest.approx(0.05, rel=0.06)
    lower, upper = funnel_limits("proportion", n, 0.2, 0.95, "additive", found)
    assert np.mean((y / n < lower) | (y / n > upper)) == pytest.approx(0.05, abs=0.015)


def test_exact_limits_hold_their_level_in_simulations():
    rng = np.random.default_rng(6)
    n = np.full(20_000, 30.0)
    y = rng.binomial(30, 0.3, 20_000) / 30
    lower, upper = funnel_limits("proportion", n, 0.3, 0.95)
    assert 0.02 < np.mean((y < lower) | (y > upper)) < 0.06


@pytest.mark.parametrize(
    ("kind", "y", "n", "target", "words"),
    [
        ("mean", 1, 2, 0.5, "no funnel"),
        ("rate", -1, 2, 0.5, "not negative"),
        ("rate", 1, 0, 0.5, "above 0"),
        ("rate", 1, np.nan, 0.5, "finite"),
        ("ratio", 1, 2, 0.0, "target"),
        ("proportion", 3, 2, 0.5, "at most n"),
        ("proportion", 1, 2.5, 0.5, "whole"),
        ("proportion", 1, 2, 1.0, "below 1"),
    ],
)
def test_what_cannot_be_a_funnel(kind, y, n, target, words):
    with pytest.raises(ValueError, match=words):
        funnel_scores(kind, np.array([float(y)]), np.array([float(n)]), target)


def test_limits_and_dispersion_refuse_what_makes_no_sense():
    n = np.array([10.0])
    with pytest.raises(ValueError, match="level"):
        funnel_limits("ratio", n, 1.0, 95)
    with pytest.raises(ValueError, match="need a dispersion"):
        funnel_limits("ratio", n, 1.0, 0.95, "additive")
    with pytest.raises(ValueError, match="winsorise"):
        funnel_dispersion("ratio", n, n, 1.0, winsorise=0.5)
