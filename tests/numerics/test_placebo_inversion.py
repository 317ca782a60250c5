import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.placebo_inversion import Inversion, confidence_set, tilt_to_change


def gaps_of(t, n, seed, effect=3.0, pre=10):
    gaps = np.random.default_rng(seed).standard_normal((t, n)) * np.linspace(0.5, 2, n)
    gaps[pre:, 0] += effect
    return gaps


def slow_p_value(gaps, pre, c, inversion):
    shape = {"constant": np.ones(len(gaps) - pre), "linear": 1.0 + np.arange(len(gaps) - pre)}[
        inversion.shape
    ]
    n = gaps.shape[1]
    chances = np.full(n, 1 / n) if inversion.chances is None else inversion.chances / inversion.chances.sum()
    taken = gaps[pre:].copy()
    for unit in range(n):
        if unit == 0 or inversion.subtract == "all":
            taken[:, unit] -= c * shape
    ratio = (taken**2).mean(axis=0) / (gaps[:pre] ** 2).mean(axis=0)
    return chances[ratio >= ratio[0]].sum()


@pytest.mark.parametrize("shape", ["constant", "linear"])
@pytest.mark.parametrize("subtract", ["treated", "all"])
@pytest.mark.parametrize("uneven", [False, True])
def test_set_against_the_test_on_a_grid(shape, subtract, uneven):
    gaps = gaps_of(16, 25, 3)
    chances = np.random.default_rng(1).uniform(1, 2, 25) if uneven else None
    inversion = Inversion(shape, subtract, chances)
    found = confidence_set(gaps, 0, 10, 0.8, inversion=inversion)
    for c in np.linspace(-20, 20, 801):
        inside = any(low <= c <= high for low, high in found.pieces)
        assert inside == (slow_p_value(gaps, 10, c, inversion) > 0.2)
    assert found.p_value == pytest.approx(slow_p_value(gaps, 10, 0.0, inversion))


def test_only_the_treated_is_one_interval_in_closed_form():
    gaps = gaps_of(20, 20, 7)
    found = confidence_set(gaps, 0, 10, 0.9)
    ratio = (gaps[10:] ** 2).mean(axis=0) / (gaps[:10] ** 2).mean(axis=0)
    # More than 2 of 20 must be as large: the second largest placebo ratio bounds that of the treated.
    bound = np.sort(ratio[1:])[-2] * (gaps[:10, 0] ** 2).mean()
    after = gaps[10:, 0]
    half = np.sqrt(after.mean() ** 2 - (after**2).mean() + bound)
    assert found.connected
    assert (found.low, found.high) == (pytest.approx(after.mean() - half), pytest.approx(after.mean() + half))


def test_rows_between_the_fit_and_the_start_play_no_part():
    gaps = gaps_of(20, 15, 2)
    spoiled = gaps.copy()
    spoiled[10:12] = 1e3
    one = confidence_set(np.delete(gaps, [10, 11], axis=0), 0, 10, 0.9)
    other = confidence_set(spoiled, 0, 10, 0.9, start=12)
    assert (one.low, one.high) == (other.low, other.high)


def test_the_treated_may_be_any_column_and_units_do_not_matter():
    gaps = gaps_of(18, 12, 4)
    one = confidence_set(gaps, 0, 10, 0.9)
    other = confidence_set(np.roll(gaps, 3, axis=1) * 1e-6, 3, 10, 0.9)
    assert (other.low * 1e6, other.high * 1e6) == (pytest.approx(one.low), pytest.approx(one.high))


def test_a_level_below_one_in_n_gives_everything():
    found = confidence_set(gaps_of(16, 12, 4), 0, 10, 0.95)
    assert (found.low, found.high) == (-np.inf, np.inf) and "0.917" in found.reason
    assert found.smallest_p == pytest.approx(1 / 12)
    limit = confidence_set(gaps_of(16, 20, 4), 0, 10, 0.95)
    assert np.isfinite([limit.low, limit.high]).all() and limit.reason == ""


def test_an_effect_of_another_shape_may_leave_nothing():
    gaps = gaps_of(14, 20, 1, effect=np.array([-50.0, 50, -50, 50]))
    found = confidence_set(gaps, 0, 10, 0.9)
    assert np.isnan(found.low) and found.reason.startswith("No effect of this shape")


def test_exact_fits_before_the_start_are_refused():
    gaps = gaps_of(14, 5, 1)
    gaps[:10, 2] = 0.0
    with pytest.raises(EstimationError, match="reproduced exactly"):
        confidence_set(gaps, 0, 10, 0.7)


@pytest.mark.parametrize(("k", "level"), [(1, 0.8), (2, 0.8), (3, 0.9), (7, 0.95), (2, 0.9)])
def test_tilt_brings_p_to_the_level(k, level):
    n = 20
    ratios = np.append(np.full(k, 5.0), np.linspace(0, 4, n - k))
    found = tilt_to_change(ratios, 0, level)
    times = np.exp(found.phi)
    alpha = 1 - level
    assert found.rejected == (k / n <= alpha + 1e-12) and found.times == pytest.approx(times)
    tilted = k * times / (k * times + n - k) if found.rejected else k / (k + (n - k) * times)
    assert tilted == pytest.approx(alpha)


def test_no_tilt_rejects_when_the_treated_is_last():
    found = tilt_to_change(np.array([1.0, 2, 3]), 0)
    assert found.p_value == 1 and not found.rejected and found.phi == np.inf


def test_coverage_when_treatment_is_at_random():
    rng = np.random.default_rng(0)
    repeats, held = 600, 0
    for _ in range(repeats):
        gaps = rng.standard_normal((12, 10))
        gaps[8:, 0] += 2.0
        found = confidence_set(gaps, 0, 8, 0.8)
        held += found.low <= 2.0 <= found.high
    assert abs(held / repeats - 0.8) < 3 * np.sqrt(0.8 * 0.2 / repeats)
