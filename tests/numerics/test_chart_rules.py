from itertools import pairwise

import numpy as np
import pytest

from qieval.numerics.chart_rules import (
    PointType,
    assurance_icon,
    making_data_count,
    nelson,
    variation_icon,
    western_electric,
)


def zones(value, part=None, sigma=1.0):
    value = np.array(value, dtype=float)
    one = np.ones_like(value)
    return western_electric(value, 0 * one, -3 * sigma * one, 3 * sigma * one, sigma * one, part)


def dots(value, improvement=1, part=None, limit=3.0):
    value = np.array(value, dtype=float)
    one = np.ones_like(value)
    return making_data_count(value, 0 * one, -limit * one, limit * one, improvement, part)


def where(mark):
    return np.flatnonzero(mark).tolist()


def windows(n, width):
    return [range(start, start + width) for start in range(n - width + 1)]


def slow_zones(z):
    """Western Electric's rules, window by window, for standardised values."""
    n = len(z)
    found = {
        "beyond the limits": {i for i in range(n) if abs(z[i]) > 3},
        "2 of 3 beyond 2 sigma": set(),
        "4 of 5 beyond 1 sigma": set(),
        "8 on one side": set(),
    }
    for sign in (1, -1):
        for name, width, least, far in (
            ("2 of 3 beyond 2 sigma", 3, 2, 2),
            ("4 of 5 beyond 1 sigma", 5, 4, 1),
            ("8 on one side", 8, 8, 0),
        ):
            for window in windows(n, width):
                beyond = [i for i in window if sign * z[i] > far]
                if len(beyond) >= least:
                    found[name].update(beyond)
    return {name: sorted(points) for name, points in found.items()}


def slow_nelson(z):
    n, found = len(z), {}
    steps = [np.sign(b - a) for a, b in pairwise(z)]
    hits = {
        "6 rising or falling": [w for w in windows(n, 6) if abs(sum(steps[i] for i in w[:-1])) == 5],
        "14 alternating": [w for w in windows(n, 14) if all(steps[i] * steps[i + 1] < 0 for i in w[:-2])],
        "15 within 1 sigma": [w for w in windows(n, 15) if all(abs(z[i]) < 1 for i in w)],
        "8 beyond 1 sigma": [w for w in windows(n, 8) if all(abs(z[i]) > 1 for i in w)],
        "9 on one side": [w for w in windows(n, 9) if abs(sum(np.sign(z[i]) for i in w)) == 9],
    }
    for name, held in hits.items():
        found[name] = sorted({i for window in held for i in window})
    return found


@pytest.mark.parametrize("seed", range(6))
def test_western_electric_against_windows(seed):
    rng = np.random.default_rng(seed)
    z = np.cumsum(rng.standard_normal(80)) * 0.5
    wanted = slow_zones(z)
    assert any(wanted.values())
    assert {name: where(mark) for name, mark in zones(z).items()} == wanted


@pytest.mark.parametrize("seed", range(6))
def test_nelson_against_windows(seed):
    rng = np.random.default_rng(seed)
    quiet = rng.uniform(-0.9, 0.9, 20)
    both = rng.choice([-1.5, 1.5], 9)
    zigzag = np.tile([0.3, -0.3], 8) * rng.uniform(0.5, 1, 16)
    z = np.concatenate([quiet, both, zigzag, [1.2, 0.5, 0.2, -0.4, -1, -1.5], np.full(9, 0.1)])
    wanted = slow_nelson(z)
    assert all(wanted.values())
    found = nelson(z, np.zeros(len(z)), np.ones(len(z)))
    assert {name: where(mark) for name, mark in found.items()} == wanted


def test_two_of_three_marks_the_far_points_of_one_side():
    assert where(zones([0, 2.5, 0.1, 2.2, 0])["2 of 3 beyond 2 sigma"]) == [1, 3]
    assert where(zones([0, 2.5, 0.1, -2.2, 0])["2 of 3 beyond 2 sigma"]) == []
    assert where(zones([2.5, 2.5])["2 of 3 beyond 2 sigma"]) == []


def test_each_point_is_measured_in_its_own_sigma():
    value, sigma = np.array([2.5, 2.5, 2.5]), np.array([1.0, 2.0, 1.0])
    found = western_electric(value, 0 * sigma, -3 * sigma, 3 * sigma, sigma)
    assert where(found["2 of 3 beyond 2 sigma"]) == [0, 2]
    unknown = western_electric(value, 0 * sigma, -2 * sigma, 2 * sigma, np.full(3, np.nan))
    assert where(unknown["2 of 3 beyond 2 sigma"]) == [] and where(unknown["beyond the limits"]) == [0, 2]


def test_the_limits_drawn_decide_what_is_beyond():
    one = np.ones(3)
    found = western_electric(np.array([0.0, 7.0, 3.0]), 2 * one, 0 * one, 6 * one, one)
    assert where(found["beyond the limits"]) == [1]


def test_patterns_stay_within_their_phase():
    value, part = np.ones(12), np.repeat([0, 1], 6)
    assert where(zones(value)["8 on one side"]) == list(range(12))
    assert where(zones(value, part)["8 on one side"]) == []
    assert where(dots(value, part=part).special_cause) == []


def test_missing_periods_neither_belong_to_a_pattern_nor_break_it():
    value = np.array([1.0] * 4 + [np.nan, np.nan] + [1.0] * 4)
    assert where(zones(value)["8 on one side"]) == [0, 1, 2, 3, 6, 7, 8, 9]
    points = dots(value)
    assert where(points.special_cause) == [0, 1, 2, 3, 6, 7, 8, 9]
    assert points.point_type[4] == PointType.COMMON_CAUSE and not points.known[4]


def test_units_do_not_matter():
    z = np.random.default_rng(3).standard_normal(50)
    one = np.full(50, 1e-8)
    tiny = western_electric(z * 1e-8, 0 * one, -3 * one, 3 * one, one)
    for name, mark in zones(z).items():
        np.testing.assert_array_equal(mark, tiny[name])


def slow_dots(y):
    """Making Data Count's rules for mean 0 and limits -3, 3, as the guidance words them."""
    n, found = len(y), {i for i in range(len(y)) if abs(y[i]) > 3}
    near = [2 < abs(one) <= 3 for one in y]
    for window in windows(n, 7):
        if abs(sum(np.sign(y[i]) for i in window)) == 7:
            found.update(window)
        if abs(sum(np.sign(y[i + 1] - y[i]) for i in window[:-1])) == 6:
            found.update(window)
    for window in windows(n, 3):
        if abs(sum(np.sign(y[i]) for i in window)) == 3 and sum(near[i] for i in window) >= 2:
            found.update(i for i in window if near[i])
    return sorted(found)


@pytest.mark.parametrize("seed", range(10))
def test_making_data_count_against_windows(seed):
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.normal(0, 1.6, 40), np.sort(rng.normal(0, 1, 8)), -np.sort(rng.normal(0, 1, 8))])
    assert where(dots(y).special_cause) == slow_dots(y)


def test_trends_both_ways():
    rise = np.array([0.5, -1.6, -1, -0.4, 0.2, 0.8, 1.4, 2.0, 0.1])
    up = dots(rise)
    assert where(up.special_cause) == list(range(1, 8)) and up.trend.tolist() == [0] + [1] * 7 + [0]
    assert up.point_type.tolist() == [0, 2, 2, 2, 1, 1, 1, 1, 0]
    down = dots(-rise, improvement=-1)
    assert down.trend.tolist() == [0] + [-1] * 7 + [0]
    np.testing.assert_array_equal(down.point_type, up.point_type)


def test_equal_neighbours_break_a_trend():
    assert where(dots([-2, -1.5, -1, -1, 0.5, 1, 1.5, 1.9]).special_cause) == []


def test_two_of_three_need_three_on_one_side():
    assert where(dots([0.5, 2.5, 0.5, 2.4, -1]).rules["two of three near a limit"]) == [1, 3]
    assert where(dots([-0.5, 2.5, -0.5, 2.4, -1]).special_cause) == []
    assert where(dots([-0.5, 2.5, 1, -2.4, -1]).special_cause) == []


def test_neutral_points_are_high_or_low():
    points = dots([4, -4, 0.1], improvement=0)
    assert points.point_type.tolist() == [PointType.NEUTRAL_HIGH, PointType.NEUTRAL_LOW, 0]
    with pytest.raises(ValueError, match="improvement"):
        dots([1, 2], improvement=2)


def test_short_phases():
    part = np.repeat([0, 1], [11, 12])
    assert dots(np.zeros(23), part=part).short_group.tolist() == [True] * 11 + [False] * 12


@pytest.mark.parametrize(
    ("last", "improvement", "icon"),
    [
        (4.0, 1, "improvement high"),
        (4.0, -1, "concern high"),
        (-4.0, 1, "concern low"),
        (-4.0, -1, "improvement low"),
        (4.0, 0, "neutral high"),
        (-4.0, 0, "neutral low"),
        (1.0, 1, "common cause"),
    ],
)
def test_variation_icons(last, improvement, icon):
    assert variation_icon(dots([0.5, -0.5, last, np.nan], improvement), improvement) == icon


def test_without_values_there_is_no_variation():
    assert variation_icon(dots([np.nan, np.nan]), 1) == "no values"


@pytest.mark.parametrize(
    ("target", "improvement", "icon"),
    [
        (5, 1, "consistent pass"),
        (5, -1, "consistent fail"),
        (15, 1, "inconsistent"),
        (20, 1, "inconsistent"),
        (25, 1, "consistent fail"),
        (25, -1, "consistent pass"),
        (25, 0, "no target"),
        (None, 1, "no target"),
        (np.nan, 1, "no target"),
    ],
)
def test_assurance_icons(target, improvement, icon):
    assert assurance_icon(10.0, 20.0, target, improvement) == icon


def test_without_limits_there_is_no_assurance():
    assert assurance_icon(np.nan, np.nan, 5.0, 1) == "no limits"
