import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from qieval.numerics.conformal import (
    Shuffles,
    conformal_average,
    conformal_intervals,
    conformal_p_value,
    demeaned_residuals,
    simplex_residuals,
)


def panel(t, j, seed, noise=1.0):
    rng = np.random.default_rng(seed)
    donors = np.cumsum(rng.standard_normal((t, j)), axis=0) + rng.standard_normal((t, j))
    return donors[:, : min(4, j)].mean(axis=1) + noise * rng.standard_normal(t), donors


def slow_residuals(target, donors):
    """Homogenised non-negative least squares: another exact solver."""
    shifted = donors - target[:, None]
    size = np.abs(shifted).max()
    found, _ = nnls(
        np.vstack([shifted / size, np.ones(donors.shape[1])]), np.append(np.zeros(target.size), 1)
    )
    return target - donors @ (found / found.sum())


def slow_p_value(target, donors, pre, effect, power=1.0):
    adjusted = target.copy()
    adjusted[pre:] -= effect
    u = slow_residuals(adjusted, donors)
    size = target.size
    values = [np.mean(np.abs(u[[(s + k) % size for k in range(pre, size)]]) ** power) for s in range(size)]
    return np.mean(np.array(values) >= values[0] * (1 - 1e-9))


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("effect", [0.0, 1.5, -4.0])
def test_moving_blocks_against_a_slow_version(power, effect):
    target, donors = panel(16, 6, 2)
    found = conformal_p_value(target, donors, 11, effect, shuffles=Shuffles(power=power))
    assert found.p_value == slow_p_value(target, donors, 11, effect, power)
    assert found.smallest_p == 1 / 16 and found.statistics.size == 16
    adjusted = np.append(target[:11], target[11:] - effect)
    u = np.abs(slow_residuals(adjusted, donors))[11:]
    assert found.statistic == pytest.approx(np.mean(u**power) ** (1 / power), rel=1e-9)


def test_effects_may_differ_by_period():
    target, donors = panel(14, 5, 4)
    shifted = target.copy()
    path = np.array([1.0, -2.0, 5.0])
    shifted[11:] += path
    assert (
        conformal_p_value(shifted, donors, 11, path).p_value == conformal_p_value(target, donors, 11).p_value
    )


def test_iid_shuffles_are_enumerated_when_few_and_drawn_when_many():
    target, donors = panel(10, 3, 5)
    exact = conformal_p_value(target, donors, 8, shuffles=Shuffles("iid"))
    u = np.abs(slow_residuals(target, donors))
    own = u[8:].mean()
    every = [u[list(pair)].mean() >= own - 1e-12 for pair in itertools.combinations(range(10), 2)]
    assert exact.enumerated and exact.p_value == np.mean(every) and exact.smallest_p == 1 / 45
    drawn = Shuffles("iid", draws=40, seed=3)
    one, other = (conformal_p_value(target, donors, 8, shuffles=drawn) for _ in range(2))
    assert not one.enumerated and one.p_value == other.p_value
    assert one.p_value == (1 + np.sum(one.statistics >= one.statistic * (1 - 1e-10))) / 41
    many = conformal_p_value(target, donors, 5, shuffles=Shuffles("iid", draws=200))
    exact = conformal_p_value(target, donors, 5, shuffles=Shuffles("iid", draws=1000))
    assert exact.enumerated and many.p_value == pytest.approx(exact.p_value, abs=0.12)


@pytest.mark.parametrize("fit", ["simplex", "demeaned"])
@pytest.mark.parametrize(("pre", "j"), [(19, 5), (12, 20)])
def test_exact_ends_separate_accepted_from_rejected_values(fit, pre, j):
    target, donors = panel(pre + 2, j, pre)
    level = 1 - 2 / (pre + 1)
    found = conformal_intervals(target, donors, pre, level, fit)
    width = found.high - found.low
    for k in range(2):
        rows = np.append(np.arange(pre), pre + k)

        def accepted(effect, rows=rows):
            p_value = conformal_p_value(target[rows], donors[rows], pre, effect, fit).p_value
            return round(p_value * (pre + 1)) > 2

        for side, end in ((-1, found.low[k]), (1, found.high[k])):
            assert np.isfinite(end)
            assert accepted(end - side * 1e-6 * width[k]) and not accepted(end + side * 1e-6 * width[k])
        assert not any(accepted(found.high[k] + step) for step in np.geomspace(1e-3, 1e4, 30))
        assert accepted(found.estimate[k])
        if found.connected[k]:
            assert all(accepted(value) for value in np.linspace(found.low[k], found.high[k], 23)[1:-1])


@pytest.mark.parametrize("fit", [simplex_residuals, demeaned_residuals])
def test_search_finds_the_exact_ends(fit):
    target, donors = panel(17, 5, 8)
    name = "simplex" if fit is simplex_residuals else "demeaned"
    exact, searched = (conformal_intervals(target, donors, 15, 0.8, how) for how in (name, fit))
    np.testing.assert_allclose(searched.low, exact.low, rtol=1e-6)
    np.testing.assert_allclose(searched.high, exact.high, rtol=1e-6)
    np.testing.assert_allclose(searched.estimate, exact.estimate, rtol=1e-6)
    np.testing.assert_array_equal(searched.p_value, exact.p_value)


def test_average_effect_pieces_match_the_test_everywhere():
    target, donors = panel(24, 6, 11)
    target[18:] += 3.0
    found = conformal_average(target, donors, 18, 0.8)
    span = found.high - found.low
    for effect in np.linspace(found.low - span, found.high + span, 152):
        inside = any(low <= effect <= high for low, high in found.pieces)
        p_value = conformal_p_value(target, donors, 18, effect).p_value
        assert inside == (round(p_value * 24) > int(0.2 * 24 + 1e-9))
    assert found.p_value == conformal_p_value(target, donors, 18).p_value


def test_a_level_out_of_reach_gives_no_limits_and_says_why():
    target, donors = panel(12, 4, 1)
    found = conformal_intervals(target, donors, 9, 0.95)
    assert np.isneginf(found.low).all() and np.isposinf(found.high).all()
    assert found.smallest_p == 0.1 and found.highest_level == 0.9 and "0.9" in found.reason
    reachable = conformal_intervals(target, donors, 9, 0.9)
    assert np.isfinite(reachable.low).all() and np.isfinite(reachable.high).all() and reachable.reason == ""
    assert conformal_average(target, donors, 9, 0.95).low == -np.inf


def test_with_an_intercept_and_few_periods_before_every_average_effect_is_accepted():
    # The intercept takes up most of a long shift: residuals before the start grow faster than those after.
    target, donors = panel(12, 3, 6)
    found = conformal_average(target, donors, 3, 0.6, "demeaned")
    assert found.low == -np.inf and found.high == np.inf and "however large" in found.reason
    searched = conformal_average(target, donors, 3, 0.6, demeaned_residuals)
    assert searched.high == np.inf and "search ended" in searched.reason


def test_no_constant_effect_may_be_accepted():
    # One donor, an exact fit before, and an effect that rises from -10 to 10: no constant explains it.
    donors = np.zeros((30, 1))
    target = np.append(np.tile([0.1, -0.1], 13), [-10.0, -5.0, 5.0, 10.0])
    found = conformal_average(target, donors, 26, 0.8)
    assert np.isnan(found.low) and np.isnan(found.high) and len(found.pieces) == 0
    assert found.reason.startswith("No constant effect")


def test_one_donor_by_hand():
    # Residuals are target - donor - effect: the interval is +- the second largest residual before the start.
    donors = np.zeros((10, 1))
    target = np.array([1.0, -2, 3, -4, 5, -6, 7, -8, 9, 20])
    found = conformal_intervals(target, donors, 9, 0.8)
    assert (found.low[0], found.high[0]) == (pytest.approx(20 - 8), pytest.approx(20 + 8)) or (
        found.low[0],
        found.high[0],
    ) == (pytest.approx(20 - 9), pytest.approx(20 + 9))
    assert found.estimate[0] == 20 and found.p_value[0] == 0.1


def test_units_and_order_of_donors_do_not_matter():
    target, donors = panel(21, 7, 13)
    one = conformal_intervals(target, donors, 19, 0.9)
    other = conformal_intervals(target * 1e5, donors[:, ::-1] * 1e5, 19, 0.9)
    np.testing.assert_allclose(other.low, one.low * 1e5, rtol=1e-7)
    np.testing.assert_allclose(other.high, one.high * 1e5, rtol=1e-7)


def test_size_with_exchangeable_noise():
    # iid noise around donors with constant levels: the moving-block test of one period is then near exact.
    rng = np.random.default_rng(5)
    rejected = 0
    repeats = 400
    for _ in range(repeats):
        donors = rng.standard_normal((20, 3))
        target = donors @ np.array([0.5, 0.3, 0.2]) + rng.standard_normal(20)
        rejected += conformal_p_value(target, donors, 19).p_value <= 0.1
    assert abs(rejected / repeats - 0.1) < 3 * np.sqrt(0.1 * 0.9 / repeats)
