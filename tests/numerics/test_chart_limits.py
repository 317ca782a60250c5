import math
from itertools import pairwise
from statistics import median

import numpy as np
import pytest

from qieval.numerics.chart_limits import ChartValues, chart_limits

DENOMINATORS = {"p", "p'", "u", "u'"}


def lines(kind, y, n=None, **options):
    y = np.array(y, dtype=float)
    options.setdefault("part", np.zeros(len(y), dtype=int))
    options.setdefault("used", np.ones(len(y), dtype=bool))
    multiply, sd = options.pop("multiply", 1.0), options.pop("sd", None)
    n = None if n is None else np.array(n, dtype=float)
    return chart_limits(kind, ChartValues(y, n, sd, multiply), **options)


def slow_mean_range(points, screen):
    """Mean moving range of a list with None for missing values, as a reader of the definition would do it."""
    ranges = [abs(b - a) for a, b in pairwise(points) if None not in (a, b)]
    mean = sum(ranges) / len(ranges)
    kept = [one for one in ranges if not screen or one < 3.267 * mean]
    return sum(kept) / len(kept), len(ranges) - len(kept)


def slow_lines(kind, y, n, used, screen):
    """Centre, limits and screened ranges of one phase, point by point; y and n are lists with None."""
    base = [i for i, u in enumerate(used) if u and y[i] is not None]
    value = [None if a is None else a / b for a, b in zip(y, n, strict=True)]
    screened = 0
    if kind in DENOMINATORS or kind == "c":
        centre = sum(y[i] for i in base) / sum(n[i] for i in base)
        spread = centre * (1 - centre) if kind.startswith("p") else centre
        sigma = [None if b is None else math.sqrt(spread / b) for b in n]
        if kind.endswith("'"):
            z = [None if y[i] is None else (value[i] - centre) / sigma[i] for i in range(len(y)) if used[i]]
            mean, screened = slow_mean_range(z, screen)
            sigma = [None if s is None else s * mean / 1.128 for s in sigma]
    elif kind == "g":
        centre = sum(y[i] for i in base) / len(base)
        sigma = [math.sqrt(centre * (centre + 1))] * len(y)
    else:
        held = [None if one is None else one ** (1 / 3.6) if kind == "t" else one for one in value]
        centre = sum(held[i] for i in base) / len(base)
        mean, screened = slow_mean_range([held[i] for i in range(len(y)) if used[i]], screen)
        sigma = [mean / 1.128] * len(y)
    lower = [np.nan if s is None else centre - 3 * s for s in sigma]
    upper = [np.nan if s is None else centre + 3 * s for s in sigma]
    if kind != "i":
        lower = [max(one, 0.0) if one == one else one for one in lower]
    if kind.startswith("p"):
        upper = [min(one, 1.0) if one == one else one for one in upper]
    if kind == "t":
        centre, lower, upper = centre**3.6, [a**3.6 for a in lower], [a**3.6 for a in upper]
    if kind == "g":
        centre = median(y[i] for i in base)
    return centre, lower, upper, screened


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("kind", ["i", "p", "p'", "u", "u'", "c", "g", "t"])
def test_against_a_slow_version(kind, screen):
    rng = np.random.default_rng(5)
    n = rng.integers(3, 60, 30).astype(float)
    y = rng.binomial(n.astype(int), 0.4).astype(float) + (1 if kind == "t" else 0)
    y[[3, 20]] = [np.nan, 3 if kind == "t" else n[20]]
    n[8] = np.nan if kind in DENOMINATORS else n[8]
    part = np.repeat([0, 1], [16, 14])
    used = rng.random(30) > 0.2
    with_n = kind in DENOMINATORS
    found = lines(kind, y, n if with_n else None, part=part, used=used, screen=screen)
    screened = 0
    for code in (0, 1):
        at = np.flatnonzero(part == code)
        gone = np.isnan(y[at]) | (with_n & np.isnan(n[at]))
        ys = [None if lost else value for lost, value in zip(gone, y[at], strict=True)]
        if with_n:
            ns = [None if lost else size for lost, size in zip(gone, n[at], strict=True)]
        else:
            ns = [1.0] * len(at) if kind != "c" else [None if lost else 1.0 for lost in gone]
        centre, lower, upper, left_out = slow_lines(kind, ys, ns, used[at], screen)
        np.testing.assert_allclose(found.centre[at], centre, rtol=1e-12)
        np.testing.assert_allclose(found.lower[at], lower, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(found.upper[at], upper, rtol=1e-11)
        screened += left_out
    assert found.screened == screened


def test_individuals_by_hand():
    found = lines("i", [10, 12, 11, 13])
    assert found.centre[0] == 11.5 and found.screened == 0
    assert found.upper[0] == pytest.approx(11.5 + 3 * (5 / 3) / 1.128, rel=1e-14)
    assert lines("i", [10, 12, 11, 13], constants="rounded").lower[0] == pytest.approx(11.5 - 2.66 * 5 / 3)


def test_a_single_jump_is_screened_out_of_the_moving_ranges():
    y = [10, 11] * 6 + [60] + [10, 11] * 6
    found = lines("i", y)
    assert found.screened == 2
    assert found.sigma[0] == pytest.approx(1 / 1.128, rel=1e-14)
    assert lines("i", y, screen=False).sigma[0] > 4


def test_a_point_left_out_is_bridged_and_a_missing_period_interrupts():
    y, left_out = [1.0, 2, 50, 4, 5], np.array([True, True, False, True, True])
    assert lines("i", y, used=left_out).sigma[0] == pytest.approx((1 + 2 + 1) / 3 / 1.128)
    y[2] = np.nan
    assert lines("i", y).sigma[0] == pytest.approx((1 + 1) / 2 / 1.128)


def test_lines_of_a_frozen_baseline_reach_to_the_end():
    y = [4.0, 6, 5, 5, 30, 40]
    used = np.array([True] * 4 + [False] * 2)
    found = lines("c", y, used=used)
    assert np.all(found.centre == 5) and np.all(found.upper == 5 + 3 * math.sqrt(5))


def test_moving_ranges_start_anew_in_each_phase():
    found = lines("mr", [1.0, 3, 4, 9, 9, 12], part=np.array([0, 0, 0, 1, 1, 1]))
    np.testing.assert_array_equal(found.value, [np.nan, 2, 1, np.nan, 0, 3])
    assert found.centre.tolist() == [1.5] * 6 and found.lower.tolist() == [0] * 6
    assert found.upper[0] == pytest.approx(3.267 * 1.5, rel=1e-15)


def test_subgroups_of_equal_and_unequal_size():
    sd, y = np.array([1.0, 2.0, 4.0]), [10.0, 11.0, 14.0]
    c4 = {n: math.sqrt(2 / (n - 1)) * math.gamma(n / 2) / math.gamma((n - 1) / 2) for n in (4, 6)}
    equal = lines("xbar", y, [4, 4, 4], sd=sd)
    assert equal.upper[0] == pytest.approx(35 / 3 + 3 * (7 / 3) / c4[4] / 2, rel=1e-13)
    unequal = lines("xbar", y, [4, 4, 6], sd=sd)
    pooled = math.sqrt((3 * 1 + 3 * 4 + 5 * 16) / 11)
    assert unequal.centre[0] == pytest.approx((40 + 44 + 84) / 14)
    assert unequal.sigma[2] == pytest.approx(pooled / c4[6] / math.sqrt(6), rel=1e-13)
    deviations = lines("s", y, [4, 4, 6], sd=sd)
    assert deviations.value.tolist() == [1, 2, 4] and deviations.lower[0] == 0
    wanted = pooled * (1 + 3 * math.sqrt(1 - c4[4] ** 2) / c4[4])
    assert deviations.upper[0] == pytest.approx(wanted, rel=1e-13)


def test_a_subgroup_of_one_has_a_mean_and_no_limits():
    found = lines("xbar", [10.0, 11, 14], [4, 4, 1], sd=np.array([1.0, 2, np.nan]))
    assert found.value[2] == 14 and np.isnan(found.upper[2]) and np.isfinite(found.upper[0])
    assert found.centre[0] == pytest.approx((40 + 44 + 14) / 9)


def test_tabulated_constants_of_subgroups():
    # A3, B3 and B4 as Montgomery's appendix prints them.
    for n, a3, b3, b4 in ((2, 2.659, 0, 3.267), (5, 1.427, 0, 2.089), (10, 0.975, 0.284, 1.716)):
        y, sizes, sd = [0.0, 0, 0], [n] * 3, np.ones(3)
        assert lines("xbar", y, sizes, sd=sd).upper[0] == pytest.approx(a3, abs=5.1e-4)
        found = lines("s", y, sizes, sd=sd)
        assert (found.lower[0], found.upper[0]) == pytest.approx((b3, b4), abs=5.1e-4)


def test_a_run_chart_has_a_median_and_no_limits():
    found = lines("run", [3.0, np.nan, 1, 10, 2])
    assert found.centre.tolist() == [2.5] * 5 and np.isnan(found.upper).all() and np.isnan(found.sigma).all()


def test_measurements_may_have_denominators():
    found = lines("i", [2.0, 9, 4], [1, 3, 2], multiply=100)
    assert found.value.tolist() == [200, 300, 200] and found.centre[0] == pytest.approx(700 / 3)


@pytest.mark.parametrize("kind", ["i", "mr", "p'", "u'", "t"])
@pytest.mark.parametrize("value", [1, 3])
def test_without_any_variation_there_are_no_limits(kind, value):
    n = np.array([10.0, 30, 70, 20, 110, 130])
    y = value * n / 10 if kind in DENOMINATORS else np.full(6, value * 0.1)
    found = lines(kind, y, n if kind in DENOMINATORS else None)
    assert np.isnan(found.upper).all() and np.isnan(found.lower).all()
    assert np.isfinite(found.centre).all()


def test_limits_where_nothing_happened():
    assert lines("c", [0.0, 0, 0]).upper.tolist() == [0, 0, 0]
    assert lines("p", [0.0, 0], [5, 7]).upper.tolist() == [0, 0]
    assert np.isnan(lines("p'", [0.0, 0, 0], [5, 7, 9]).upper).all()


def test_periods_without_denominator_keep_their_place():
    found = lines("u", [2.0, 0, 5, np.nan], [10, 0, 10, 10])
    np.testing.assert_array_equal(np.isnan(found.value), [False, True, False, True])
    np.testing.assert_array_equal(np.isnan(found.upper), [False, True, False, True])
    assert found.centre.tolist() == [0.35] * 4


@pytest.mark.parametrize("kind", ["run", "i", "mr", "p", "p'", "u", "c", "g", "t"])
def test_a_phase_without_points_for_the_computation_has_no_lines(kind):
    n = [9.0] * 6 if kind in DENOMINATORS else None
    part, used = np.repeat([0, 1], 3), np.repeat([True, False], 3)
    found = lines(kind, [1.0, 3, 2, 1, 4, 2], n, part=part, used=used)
    assert np.isnan(found.centre[3:]).all() and np.isnan(found.upper[3:]).all()
    assert np.isfinite(found.centre[:3]).all()


@pytest.mark.parametrize("kind", ["i", "mr", "xbar", "s"])
@pytest.mark.parametrize("factor", [1e-9, 1e12])
def test_units_do_not_matter(kind, factor):
    rng = np.random.default_rng(1)
    y, sd, n = rng.normal(5, 2, 12), rng.uniform(1, 2, 12), np.full(12, 4.0)
    groups = kind in ("xbar", "s")
    one = lines(kind, y, n if groups else None, sd=sd if groups else None)
    other = lines(kind, y * factor, n if groups else None, sd=sd * factor if groups else None)
    np.testing.assert_allclose(other.upper, one.upper * factor, rtol=1e-12)
    np.testing.assert_allclose(other.lower, one.lower * factor, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "y", "n", "words"),
    [
        ("bar", [1, 2], None, "no chart"),
        ("p", [1, 2], None, "needs denominators"),
        ("g", [1, 2], [3, 3], "has no denominators"),
        ("p", [1, 5], [3, 3], "no more than"),
        ("p", [1, 2], [3, -3], "denominators are positive"),
        ("u", [1, 2], [3, 0], "denominators are positive"),
        ("c", [1, -2], None, "not negative"),
        ("t", [1, 0], None, "above 0"),
        ("i", [1, np.inf], None, "finite"),
        ("u", [1, 2], [3, 3, 3], "shape"),
        ("xbar", [1, 2], [3, 3], "standard deviations"),
    ],
)
def test_what_cannot_be_charted(kind, y, n, words):
    with pytest.raises(ValueError, match=words):
        lines(kind, y, n)


def test_one_entry_for_each_period():
    with pytest.raises(ValueError, match="one entry for each period"):
        lines("i", [1, 2, 3], used=np.ones(2, dtype=bool))
