from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog, minimize

from qieval.numerics import trend_bounds as module
from qieval.numerics.trend_bounds import (
    EventStudy,
    Restriction,
    breakdown,
    conventional_interval,
    default_magnitudes,
    trend_bounds,
)
from qieval.numerics.trend_bounds_conditional import HybridTest, Vertices, least_favourable
from qieval.numerics.trend_bounds_fixed_length import fixed_length
from qieval.numerics.trend_bounds_rays import TooManyRaysError, extreme_rays
from qieval.numerics.trend_bounds_study import sorted_study

MAGNITUDES = Restriction()
SMOOTH = Restriction("smoothness")
KINDS = ["relative magnitudes", "smoothness", "relative smoothness"]
SHAPES = [("any", "any"), ("positive", "any"), ("negative", "decreasing"), ("any", "increasing")]


def event_study(n_pre=3, n_post=4, seed=0, target=None, effect=0.5):
    rng = np.random.default_rng(seed)
    k = n_pre + n_post
    root = rng.standard_normal((k, k + 10)) / np.sqrt(k + 10)
    covariance = 0.01 * root @ root.T
    pre = np.arange(k) < n_pre
    estimate = 0.05 * rng.standard_normal(k) + effect * ~pre
    return EventStudy(estimate, covariance, pre, np.full(n_post, 1 / n_post) if target is None else target)


def prepared(study, restriction):
    return module._prepare(study, restriction, "conditional", 0.95)


# Rays and the linear programme


def test_rays_by_hand():
    # a + b = c + d: every pair of one from each side.
    rays = extreme_rays(np.array([[1.0], [1.0], [-1.0], [-1.0]]))
    assert sorted(map(tuple, rays)) == [(0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0)]


def test_rays_against_all_supports():
    from itertools import combinations

    columns = np.random.default_rng(2).integers(-2, 3, (8, 3)).astype(float)
    held = set()
    for count in range(1, 5):
        for rows in map(list, combinations(range(8), count)):
            _, spread, axes = np.linalg.svd(columns[rows].T)
            null = axes[int(np.sum(spread > 1e-9)) :]
            if len(null) == 1 and (np.all(null > 1e-9) or np.all(null < -1e-9)):
                ray = np.zeros(8)
                ray[rows] = np.abs(null[0]) / np.abs(null).max()
                held.add(tuple(ray.round(8)))
    assert {tuple(ray.round(8)) for ray in extreme_rays(columns)} == held


def test_too_many_rays_are_refused_in_words():
    with pytest.raises(TooManyRaysError):
        extreme_rays(np.random.default_rng(0).standard_normal((40, 12)))
    study = event_study(4, 12)
    found = trend_bounds(study, Restriction("smoothness", "positive", "increasing"), [0.1])[0]
    assert np.isnan(found.low) and "fewer periods" in found.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bias", "trend"), SHAPES)
def test_largest_vertex_is_the_linear_programme(kind, bias, trend):
    study = event_study(target=np.array([0.5, 0.0, 0.2, 0.3]))
    problem = prepared(study, Restriction(kind, bias, trend))
    nuisance = module._nuisance(study.target)
    for load in problem.sets.loads[:3]:
        rows = problem.sets.base - 0.7 * load
        error = np.sqrt(np.diag(rows @ study.covariance @ rows.T))
        vertices = problem._vertices(load, 0.7)
        after = rows[:, 3:]
        for theta in (-0.4, 0.5, 1.0):
            # A post with target'post = theta: any particular one plus nuisance directions.
            y = rows @ study.estimate - 0.7 * problem.sets.limit
            y = y - after @ (study.target * theta / (study.target @ study.target))
            primal = linprog(
                [1, 0, 0, 0],
                A_ub=-np.column_stack([error, after @ nuisance]),
                b_ub=-y,
                bounds=[(None, None)] * 4,
            )
            assert (vertices.level - vertices.slope * theta).max() == pytest.approx(primal.fun, abs=1e-8)


# The hybrid test


def test_least_favourable_value_of_one_two_and_independent_moments():
    assert least_favourable(np.array([[2.0], [-2.0]]), 0.01) == pytest.approx(2 * stats.norm.ppf(0.995))
    assert least_favourable(np.array([[1.0]]), 0.005) == pytest.approx(stats.norm.ppf(0.995))
    two = stats.norm.ppf(0.995 ** (1 / 2))
    assert least_favourable(np.eye(2), 0.005) == pytest.approx(two, abs=1e-5)
    five = stats.norm.ppf(0.995 ** (1 / 5))
    assert least_favourable(np.eye(5), 0.005) == pytest.approx(five, abs=0.01)
    assert least_favourable(np.zeros((2, 3)), 0.005) == 0.0


def slow_accepts(vertices, theta, critical, size):
    """One null value at a time, truncation points by definition."""
    w = vertices.level - vertices.slope * theta
    j = int(np.argmax(w))
    if w[j] <= 0:
        return True
    if w[j] > critical:
        return False
    cov = vertices.loading @ vertices.loading[j]
    low, high = -np.inf, critical
    for i in range(w.size):
        rest = w[i] - cov[i] / cov[j] * w[j]
        room = 1 - cov[i] / cov[j]
        if room > 1e-9:
            low = max(low, rest / room)
        elif room < -1e-9:
            high = min(high, rest / room)
    sd = np.sqrt(cov[j])
    kappa = size / 10
    quantile = stats.truncnorm.ppf(1 - (size - kappa) / (1 - kappa), low / sd, high / sd) * sd
    return w[j] <= max(0.0, quantile)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bias", "trend"), SHAPES)
def test_the_test_against_its_definition(kind, bias, trend):
    problem = prepared(event_study(), Restriction(kind, bias, trend))
    for test in problem._tests(0.6)[:3]:
        low, high = test.within(test.critical)
        theta = np.linspace(low - 0.2, high + 0.2, 197)
        expected = [slow_accepts(test.vertices, t, test.critical, 0.05) for t in theta]
        assert test.accepts(theta).tolist() == expected
        assert any(expected) and not all(expected)


def test_the_conditional_set_is_the_hull_of_a_fine_grid():
    study = event_study(effect=0.2)
    problem = prepared(study, MAGNITUDES)
    found = trend_bounds(study, MAGNITUDES, [0.8])[0]
    theta = np.linspace(found.low - 0.3, found.high + 0.3, 20_001)
    accepted = np.any([test.accepts(theta) for test in problem._tests(0.8)], axis=0)
    step = theta[1] - theta[0]
    assert found.low == pytest.approx(theta[accepted][0], abs=step)
    assert found.high == pytest.approx(theta[accepted][-1], abs=step)


def test_a_gap_in_the_set_is_told():
    near = HybridTest(Vertices(np.array([-1.0, 0.5]), np.array([1.0, -1.0]), np.zeros((2, 1))), 0.0, 0.05)
    far = HybridTest(Vertices(np.array([3.0, -4.0]), np.array([1.0, -1.0]), np.zeros((2, 1))), 0.0, 0.05)
    held = [near.confidence_set(), far.confidence_set()]
    assert (held[0].low, held[0].high) == (-1.0, -0.5) and (held[1].low, held[1].high) == (3.0, 4.0)
    assert not module._connected([near, far], held, -1.0, 4.0)
    assert module._connected([near], held[:1], -1.0, -0.5)


# Fixed-length intervals


def slow_half_length(study, magnitude, free):
    """Half-length with these weights on the pre-periods but the last, which removes slopes."""
    weights = np.concatenate([free, [0.0], study.target])
    weights[study.n_pre - 1] = -(weights @ study.since) / study.since[study.n_pre - 1]
    # Bends are free: the largest bias by a linear programme over differences, by its dual sum of |.|.
    basis = np.linalg.pinv(study.bends)
    bias = magnitude * np.abs(weights @ basis).sum()
    error = np.sqrt(weights @ study.covariance @ weights)
    ratio = bias / error
    return error * np.sqrt(stats.ncx2.ppf(0.95, 1, ratio**2)) if ratio else error * stats.norm.ppf(0.975)


@pytest.mark.parametrize("n_pre", [2, 4])
@pytest.mark.parametrize("magnitude", [0.0, 0.003, 0.01, 0.05, 1.0])
def test_fixed_length_against_general_optimisation(n_pre, magnitude):
    study = sorted_study(event_study(n_pre, 3, seed=n_pre))
    found = fixed_length(study, magnitude)
    best = np.inf
    for start in np.random.default_rng(0).standard_normal((4, n_pre - 1)):
        near = minimize(
            lambda v: slow_half_length(study, magnitude, v),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000, "maxfev": 4000},
        )
        best = min(best, near.fun)
    own = slow_half_length(study, magnitude, found.weights[: n_pre - 1])
    assert own == pytest.approx(found.half_length, rel=1e-7)
    assert found.half_length <= best * (1 + 1e-7)
    assert best <= found.half_length * 1.01


def test_fixed_length_with_one_pre_period_extrapolates_its_line():
    study = event_study(1, 2, target=np.array([0.0, 1.0]))
    found = fixed_length(sorted_study(study), 0.1)
    # The second period lies two steps on: + 2 x the pre-period; bends of 0.1 add 0.1 x (2 + 1).
    assert found.weights == pytest.approx([2.0, 0.0, 1.0])
    assert found.bias == pytest.approx(0.3)
    assert found.estimate == pytest.approx(study.estimate[2] + 2 * study.estimate[0])


# Bounds


def test_plug_in_bounds_by_hand():
    estimate = np.array([0.1, 0.3, 2.0, 3.0])  # changes before: 0.2 and -0.3; bend -0.5
    study = EventStudy(estimate, 1e-4 * np.eye(4), np.arange(4) < 2, np.array([0.0, 1.0]))
    found = trend_bounds(study, MAGNITUDES, [0.5])[0]
    assert (found.plug_in_low, found.plug_in_high) == pytest.approx((3 - 0.3, 3 + 0.3))
    bend = trend_bounds(study, SMOOTH, [0.1], "conditional")[0]
    # The line goes down 0.3 a period, 0.6 in two; bends of 0.1 add at most 0.3.
    assert (bend.plug_in_low, bend.plug_in_high) == pytest.approx((3.6 - 0.3, 3.6 + 0.3))
    ratio = trend_bounds(study, Restriction("relative smoothness"), [0.2])[0]
    assert (ratio.plug_in_low, ratio.plug_in_high) == pytest.approx((3.6 - 0.3, 3.6 + 0.3))
    upward = trend_bounds(study, Restriction(bias="positive"), [0.5])[0]
    assert (upward.plug_in_low, upward.plug_in_high) == pytest.approx((2.7, 3.0))
    falling = trend_bounds(study, Restriction(trend="decreasing"), [0.5])[0]
    assert (falling.plug_in_low, falling.plug_in_high) == pytest.approx((3.0, 3.3))


@pytest.mark.parametrize("method", ["auto", "conditional"])
@pytest.mark.parametrize("restriction", [MAGNITUDES, SMOOTH])
def test_intervals_widen_with_the_magnitude(restriction, method):
    found = trend_bounds(event_study(), restriction, [0.0, 0.3, 0.6, 1.0, 2.0], method)
    assert np.all(np.diff([b.low for b in found]) < 0) and np.all(np.diff([b.high for b in found]) > 0)
    assert all(b.low < b.plug_in_low <= b.plug_in_high < b.high for b in found if b.method == "conditional")


def test_a_linear_difference_has_one_plug_in_value():
    study = event_study()
    found = trend_bounds(study, SMOOTH, [0.0], "conditional")[0]
    # The line through the last pre-period and the reference, 2.5 periods on average.
    value = study.estimate[3:].mean() + 2.5 * study.estimate[2]
    assert (found.plug_in_low, found.plug_in_high) == pytest.approx((value, value)) and found.connected


def test_parallel_trends_after_give_nearly_the_conventional_interval():
    study = event_study()
    plain, found = conventional_interval(study), trend_bounds(study, MAGNITUDES, [0.0])[0]
    assert (found.low, found.high) == pytest.approx(
        (plain.low, plain.high), abs=0.03 * (plain.high - plain.low)
    )


@pytest.mark.parametrize("method", ["auto", "conditional"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-7, -1.0, 1e8])
def test_units_do_not_matter(kind, method, scale):
    study = event_study()
    other = replace(study, estimate=study.estimate * scale, covariance=study.covariance * scale**2)
    factor = abs(scale) if kind == "smoothness" else 1.0
    one = trend_bounds(study, Restriction(kind), [0.4], method)[0]
    two = trend_bounds(other, Restriction(kind), [0.4 * factor], method)[0]
    ends = sorted([one.low * scale, one.high * scale])
    assert [two.low, two.high] == pytest.approx(ends, rel=1e-6)
    assert one.connected == two.connected


def test_order_of_periods_does_not_matter():
    study = event_study(target=np.array([0.1, 0.2, 0.3, 0.4]))
    at = np.array([-4.0, -3.0, -2.0, 0.0, 1.0, 2.0, 3.0])
    order = np.array([5, 0, 3, 2, 6, 1, 4])
    other = EventStudy(
        study.estimate[order],
        study.covariance[np.ix_(order, order)],
        study.pre[order],
        study.target[[2, 0, 3, 1]],
        at[order],
    )
    one, two = (trend_bounds(s, MAGNITUDES, [1.0])[0] for s in (study, other))
    assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=1e-9)


def test_gaps_between_periods_count_as_time():
    # Differences 0.1 per unit of time throughout: no bend, whatever the gaps.
    at = np.array([-5.0, -2.0, 1.0, 4.0])
    study = EventStudy(0.1 * (at + 1), 1e-6 * np.eye(4), at < -1, np.array([0.0, 1.0]), at)
    line = trend_bounds(study, SMOOTH, [0.0], "conditional")[0]
    assert (line.plug_in_low, line.plug_in_high) == pytest.approx((0.0, 0.0), abs=1e-9)
    change = trend_bounds(study, MAGNITUDES, [1.0])[0]
    assert (change.plug_in_low, change.plug_in_high) == pytest.approx((0.0, 1.0), abs=1e-9)


def test_degrees_of_freedom_scale_the_errors():
    study = event_study()
    few = conventional_interval(replace(study, df=9))
    post = study.covariance[3:, 3:]
    half = stats.t.ppf(0.975, 9) * np.sqrt(study.target @ post @ study.target)
    assert few.high - few.low == pytest.approx(2 * half)
    wide, narrow = (trend_bounds(s, MAGNITUDES, [1.0])[0] for s in (replace(study, df=9), study))
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.parametrize("kind", KINDS)
def test_a_covariance_without_full_rank_is_used(kind):
    scores = np.random.default_rng(4).standard_normal((3, 7)) * 0.05
    study = replace(event_study(), covariance=scores.T @ scores)
    for found in trend_bounds(study, Restriction(kind), [0.2, 1.0]):
        assert np.isfinite([found.low, found.high]).all() and found.low < found.high


def test_one_period_before_and_one_after():
    study = event_study(1, 1)
    for restriction, method in ((MAGNITUDES, "auto"), (SMOOTH, "auto"), (SMOOTH, "conditional")):
        found = trend_bounds(study, restriction, [0.5], method)[0]
        assert not found.reason and found.low < found.high
    assert "at least two periods" in trend_bounds(study, Restriction("relative smoothness"), [1])[0].reason
    assert len(default_magnitudes(study, SMOOTH)) == 4


def test_ten_periods_before_and_after():
    study = event_study(10, 10)
    for kind in KINDS:
        found = trend_bounds(study, Restriction(kind), [0.5, 1.0])
        assert found[0].high - found[0].low < found[1].high - found[1].low


def test_default_magnitudes_of_smoothness():
    study = EventStudy(np.array([0.1, 0.3, 2.0]), np.eye(3), np.arange(3) < 2, np.ones(1))
    assert default_magnitudes(study, SMOOTH) == pytest.approx((0, 0.25, 0.5, 1.0))  # -0.3 - 0.2
    assert default_magnitudes(study, MAGNITUDES) == (0.0, 0.5, 1.0, 1.5, 2.0)


# Breakdown


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", ["auto", "conditional"])
@pytest.mark.parametrize("restriction", [MAGNITUDES, SMOOTH])
def test_breakdown_is_where_the_interval_reaches_the_null(restriction, method, sign):
    study = event_study(effect=1.0)
    study = replace(study, estimate=sign * study.estimate)
    found = breakdown(study, restriction, 20.0, 0.1 * sign, method)
    below, at, above = trend_bounds(study, restriction, found.magnitude * np.array([0.99, 1, 1.01]), method)
    assert (at.low if sign > 0 else at.high) == pytest.approx(0.1 * sign, abs=1e-7)
    assert not below.contains(0.1 * sign) and above.contains(0.1 * sign)


def test_breakdown_at_zero_and_never():
    assert breakdown(event_study(effect=0.0), MAGNITUDES, 5).at_zero
    found = breakdown(event_study(effect=50.0), MAGNITUDES, 2)
    assert found.never and found.magnitude == np.inf and found.searched_to == 2
    assert "above 0" in breakdown(event_study(), MAGNITUDES, 0).reason


# What cannot be done is said


def problems():
    study = event_study()
    nothing = np.zeros((7, 7))
    at = np.arange(7.0)
    yield "before the start", replace(study, pre=np.zeros(7, dtype=bool), target=np.ones(7))
    yield "matching lengths", replace(study, covariance=np.eye(3))
    yield "is missing", replace(study, estimate=np.full(7, np.nan))
    yield "weights of the target", replace(study, target=np.zeros(4))
    yield "no standard error", replace(study, covariance=nothing)
    yield "not symmetric", replace(study, covariance=np.tril(study.covariance))
    yield "negative variances", replace(study, covariance=study.covariance - np.diag([1.0, *[0] * 6]))
    yield "degrees of freedom", replace(study, df=0)
    yield "event time", replace(study, at=np.full(7, np.nan))
    yield "same event time", replace(study, at=np.zeros(7))
    yield "reference period has to lie", replace(study, at=at)


@pytest.mark.parametrize(("words", "study"), list(problems()))
def test_problems_are_told_in_words(words, study):
    found = trend_bounds(study, MAGNITUDES, [1.0])[0]
    assert words in found.reason and np.isnan(found.low)
    assert words in conventional_interval(study).reason and words in breakdown(study, MAGNITUDES, 1).reason
    assert default_magnitudes(study, SMOOTH) == ()


def test_a_restriction_that_the_data_contradict_leaves_nothing():
    # Pre-periods fall steadily and exactly; a difference that only rises after with bends below 0.01 cannot.
    estimate = np.array([2.0, 1.0, 0.0, 0.0])
    study = EventStudy(estimate, 1e-8 * np.eye(4), np.arange(4) < 2, np.array([0.0, 1.0]))
    found = trend_bounds(study, Restriction("smoothness", trend="increasing"), [0.01])[0]
    assert np.isnan(found.low) and "contradict" in found.reason


def test_wrong_methods_and_magnitudes():
    study = event_study()
    assert "smoothness" in trend_bounds(study, MAGNITUDES, [1.0], "fixed length")[0].reason
    for bad in (-1.0, np.nan, np.inf):
        assert "at least 0" in trend_bounds(study, SMOOTH, [bad])[0].reason


# Coverage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("restriction", "method"), [(MAGNITUDES, "auto"), (SMOOTH, "auto"), (SMOOTH, "conditional")]
)
def test_coverage_at_the_violation_allowed(restriction, method):
    covariance = event_study().covariance
    relative = np.array([-0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4])  # slope as large after as before
    bent = np.array([0, 0, 0, 0.05, 0.15, 0.3, 0.5])
    trend, magnitude = (relative, 1.0) if restriction is MAGNITUDES else (bent, 0.05)
    draws = np.random.default_rng(1).multivariate_normal(trend, covariance, 150)
    pre, target = np.arange(7) < 3, np.full(4, 0.25)
    covered = [
        trend_bounds(EventStudy(y, covariance, pre, target), restriction, [magnitude], method)[0].contains(0)
        for y in draws
    ]
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 150)
