"""Density at the cutoff: against brute force, exact cases, and what must not matter."""

import numpy as np
import pytest
from scipy import integrate

from qieval.numerics.density_jump import DensityChoices, binomial_windows, density_jump
from qieval.numerics.density_jump_constants import constants, double_moments, moments, next_moments
from qieval.numerics.density_jump_mccrary import mccrary
from qieval.numerics.ik_bandwidth import ik_bandwidth

WEIGHT = {
    "triangular": lambda u: 1 - abs(u),
    "uniform": lambda u: 0.5 + 0 * u,
    "epanechnikov": lambda u: 0.75 * (1 - u * u),
}


def score(n=400, seed=0, digits=None):
    x = np.random.default_rng(seed).normal(0.1, 1, n)
    return x if digits is None else np.round(x, digits)


def brute(x, h, order, kernel, restricted, tied):
    """One regression on explicit columns; the jackknife row by row, as a double sum over pairs."""
    x = np.sort(x)
    n = x.size
    rank = np.array([np.sum(x <= v) - 1 if tied else i for i, v in enumerate(x)]) / (n - 1)
    inside = (-h[0] <= x) & (x <= h[1])
    x, rank = x[inside], rank[inside]
    width = np.where(x < 0, *h)
    w = WEIGHT[kernel](x / width) / width
    left, right = (x < 0).astype(float), (x >= 0).astype(float)
    if restricted:
        columns = [np.ones_like(x), left * x, right * x, *(x**k for k in range(2, order + 1))]
        slopes = [1, 2]
    else:
        columns = [side * x**k for k in range(order + 1) for side in (left, right)]
        slopes = [2, 3]
    columns = np.array(columns).T
    inverse = np.linalg.inv((columns.T * w) @ columns)
    found = inverse @ (columns.T @ (w * rank))
    meat = np.zeros_like(inverse)
    for i, v in enumerate(x):
        first = np.flatnonzero(x == v)[0] if tied else i
        tail = (w[:, None] * columns)[first + 1 :].sum(axis=0) / (n - 1)
        meat += np.outer(tail, tail)
    variance = (inverse @ meat @ inverse)[np.ix_(slopes, slopes)]
    return found[slopes], variance


@pytest.mark.parametrize("kernel", WEIGHT)
@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("digits", [None, 1])
def test_estimates_and_jackknife_equal_a_plain_regression(kernel, restricted, digits):
    x, h = score(digits=digits), (0.8, 0.8) if restricted else (0.8, 1.1)
    choices = DensityChoices(kernel=kernel, restricted=restricted)
    found = density_jump(x, 0.0, choices, h)
    density, variance = brute(x, h, 3, kernel, restricted, tied=digits is not None)
    assert (found.left, found.right) == pytest.approx(tuple(density), rel=1e-9)
    spread = [variance[0, 0], variance[1, 1], variance[0, 0] + variance[1, 1] - 2 * variance[0, 1]]
    assert found.standard_errors == pytest.approx(np.sqrt(spread), rel=1e-8)
    assert found.statistic == pytest.approx((density[1] - density[0]) / np.sqrt(spread[2]), rel=1e-8)
    assert found.n_window == (int(np.sum((x < 0) & (x >= -h[0]))), int(np.sum((x >= 0) & (x <= h[1]))))


@pytest.mark.parametrize("kernel", WEIGHT)
def test_moments_equal_integrals(kernel):
    k = WEIGHT[kernel]
    s, c, g = moments(kernel, 2), next_moments(kernel, 2), double_moments(kernel, 2)
    assert s[1, 2] == pytest.approx(integrate.quad(lambda u: k(u) * u**3, 0, 1)[0])
    assert c[1] == pytest.approx(integrate.quad(lambda u: k(u) * u**4, 0, 1)[0])
    inner = integrate.dblquad(lambda v, u: k(u) * k(v) * min(u, v) * u * v**2, 0, 1, 0, 1, epsabs=1e-9)
    assert g[1, 2] == pytest.approx(inner[0], rel=1e-6)
    row = np.linalg.inv(s)[1]
    assert constants(kernel, 2, 1) == pytest.approx((row @ g @ row, row @ c), rel=1e-9)


def test_plug_in_variance_of_a_known_density():
    x = (np.arange(4000) - 1999.5) / 2000
    found = density_jump(x, 0.0, DensityChoices(variance="plugin"), 0.5)
    expected = np.sqrt(found.left * constants("triangular", 3, 1)[0] / (4000 * 0.5))
    assert found.standard_errors[0] == pytest.approx(expected, rel=1e-12)


def test_units_shift_and_order_do_not_matter():
    x = score(600, digits=2)
    one = density_jump(x)
    other = density_jump(x[::-1] * 1e-6 + 3e-6, 3e-6, DensityChoices(mass_points=False))
    moved = density_jump(np.random.default_rng(0).permutation(x) * 1024 + 4096, 4096.0)
    assert moved.statistic == pytest.approx(one.statistic, rel=1e-6)
    assert moved.h == pytest.approx([1024 * h for h in one.h], rel=1e-6)
    assert moved.left * 1024 == pytest.approx(one.left, rel=1e-6)
    assert one.mass_points and not other.mass_points


def test_rules_and_minimum_widths():
    x = score(500)
    each, diff, total, comb = (
        density_jump(x, 0.0, DensityChoices(rule=rule)).h for rule in ("each", "diff", "sum", "comb")
    )
    assert comb[0] == np.median([each[0], diff[0], total[0]]) and diff[0] == diff[1]
    few = density_jump(np.round(score(3000), 1), 0.0, DensityChoices(min_values=8))
    assert min(few.h) >= 0.7 - 1e-9
    wide = density_jump(np.round(score(3000), 1), 0.0)
    assert min(wide.h) > min(few.h)


def test_a_jump_is_found_and_a_smooth_density_rejected_rarely():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 4000)
    moved = np.where((x < 0) & (x > -0.1) & (rng.random(x.size) < 0.4), -x, x)
    assert density_jump(moved).p_value < 1e-4
    rejected = [density_jump(rng.normal(0.3, 1, 1000)).p_value < 0.05 for _ in range(100)]
    assert np.mean(rejected) < 0.12


def test_too_few_values_give_nan_or_an_error():
    two = np.repeat([-2.0, -1.0, 0.0, 1.0], 50)
    found = density_jump(two)
    assert np.isnan([found.left, found.right, found.statistic, found.p_value]).all()
    with pytest.raises(ValueError, match="one side"):
        density_jump(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="one bandwidth"):
        density_jump(score(), 0.0, DensityChoices(restricted=True), (0.5, 1.0))
    with pytest.raises(ValueError, match="each"):
        DensityChoices(restricted=True, rule="each")


def test_binomial_windows_by_hand():
    x = np.r_[-np.arange(1.0, 11.0), np.arange(0.0, 20.0)]
    found = binomial_windows(x, 0.0, (8.0, 100.0), rows=3, windows=3)
    assert found.window.tolist() == [[3.0, 3.0], [5.5, 6.0], [8.0, 9.0]]
    assert found.n.tolist() == [[3, 4], [5, 7], [8, 10]]
    assert found.p_value[1] == pytest.approx(2 * sum([1, 12, 66, 220, 495, 792]) / 2**12)
    assert binomial_windows(x, 0.0, (1.0, 1.0), rows=3).n.tolist() == [[3, 4]]


def plain_mccrary(x, width, reach):
    """Weighted regression on explicit bins."""
    out = []
    for sign in (-1, 1):
        centres = sign * (np.arange(int(np.ceil(reach / width)) + 1) + 0.5) * width
        height = [np.sum(np.floor(x / width) == np.floor(c / width)) / (x.size * width) for c in centres]
        root = np.sqrt(np.clip(1 - np.abs(centres) / reach, 0, None))
        line = np.linalg.lstsq(root[:, None] * np.c_[np.ones(root.size), centres], root * height, rcond=None)
        out.append(line[0][0])
    return np.log(out[1] / out[0]), np.sqrt(24 / 5 * sum(1 / f for f in out) / (x.size * reach))


def test_mccrary_equals_a_plain_regression_on_bins():
    x = score(800, seed=4)
    found = mccrary(x)
    assert (found.theta, found.se) == pytest.approx(
        plain_mccrary(x, found.bin_width, found.bandwidth), rel=1e-9
    )
    assert found.bin_width == pytest.approx(2 * x.std(ddof=1) / np.sqrt(800))
    scaled = mccrary(x * 1000 + 50, 50.0)
    assert scaled.theta == pytest.approx(found.theta, rel=1e-6)


def test_mccrary_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="inside"):
        mccrary(np.arange(1.0, 9.0))
    with pytest.raises(ValueError, match="six bins"):
        mccrary(np.arange(-3.0, 3.0))
    with pytest.raises(ValueError, match="bandwidth"):
        mccrary(score(), bandwidth=1e-9)


def test_ik_bandwidth_depends_on_units_only_with_a_floor():
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, 500)
    y = np.exp(x) + (x >= 0) + rng.normal(0, 0.2, 500)
    plain = ik_bandwidth(x, y)
    assert ik_bandwidth(1e3 * x, 7 * y) == pytest.approx(1e3 * plain, rel=1e-9)
    assert ik_bandwidth(x, y, kernel="uniform") == pytest.approx(plain * 5.40384 / 3.43754, rel=1e-12)
    far = 0.5 * ik_bandwidth(2 * x, y, floor=500.0)
    assert abs(far - ik_bandwidth(x, y, floor=500.0)) > 0.01 * plain
    with pytest.raises(ValueError, match="does not vary"):
        ik_bandwidth(x, np.zeros(500))
