"""Honest intervals: what they must not depend on, few scores, errors, and that they hold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qieval.errors import EstimationError
from qieval.numerics.honest import HonestOptions, honest, honest_breakdown, honest_over
from qieval.numerics.honest_misspecification import bounded_misspecification
from qieval.numerics.honest_rows import HonestRows
from qieval.numerics.honest_smoothness import smoothness_bound

FIELDS = ("estimate", "std_error", "max_bias", "low", "high", "low_one_sided", "high_one_sided", "p_value")


def made(seed=0, n=300, points=11, jump=1.0):
    rng = np.random.default_rng(seed)
    score = rng.integers(-points, points, n).astype(float)
    return HonestRows(score=score, y=jump * (score >= 0) + 0.02 * score**2 + rng.standard_normal(n))


def numbers(found):
    return np.array([getattr(found, name) for name in FIELDS])


def test_by_hand():
    # Two scores a side, two rows at each: lines through the means, 0 on the left and 3 on the right.
    score = np.repeat([-2.0, -1.0, 0.0, 1.0], 2)
    y = np.repeat([2.0, 1.0, 3.0, 4.0], 2) + np.tile([-1.0, 1.0], 4)
    found = honest(HonestRows(score=score, y=y), HonestOptions(smoothness=0.5, h=2.0, kernel="uniform"))
    assert found.estimate == pytest.approx(3.0)
    # Means weigh (-1, 2) on the left and (1, 0) on the right: 0.5 / 2 x (2 x 1 - 4) in absolute value.
    assert found.max_bias == pytest.approx(0.5)
    means = HonestOptions(smoothness=0.5, h=2.0, kernel="uniform", neighbours=1)
    # Each mean of two rows has variance 2 / 2 = 1 from neighbours at the same score: (1 + 4 + 1) x 1.
    assert honest(HonestRows(score=score, y=y), means).std_error == pytest.approx(np.sqrt(6))
    ratio = 0.5 / np.sqrt(6)
    wide = honest(HonestRows(score=score, y=y), means)
    assert wide.critical_value == pytest.approx(np.sqrt(stats.ncx2.ppf(0.95, 1, ratio**2)))
    assert wide.low_one_sided == pytest.approx(3 - 0.5 - stats.norm.ppf(0.95) * np.sqrt(6))
    assert (wide.points, wide.n, wide.from_data) == ((2, 2), (4, 4), False)


@pytest.mark.parametrize("kernel", ["triangular", "uniform", "epanechnikov"])
@pytest.mark.parametrize("points", [2, 3, 5, 11])
def test_few_scores(kernel, points):
    found = honest(made(points=points), HonestOptions(smoothness=0.04, kernel=kernel))
    assert np.all(np.isfinite(numbers(found))) and min(found.points) >= 2
    assert found.low < 1 < found.high


def test_units_and_order_do_not_matter():
    rows = made(1, points=12)
    rows = replace(rows, covariates=np.random.default_rng(2).standard_normal((300, 2)))
    base = honest(rows)
    shuffled = np.random.default_rng(3).permutation(300)
    other = HonestRows(
        score=(rows.score[shuffled] + 65) * 12,
        y=rows.y[shuffled] * 1e6 - 5e8,
        cutoff=780.0,
        covariates=rows.covariates[shuffled] * [1e-5, 1e4] + 7,
    )
    found = honest(other)
    scale = np.array([1e6] * 7 + [1.0])
    assert numbers(found) / scale == pytest.approx(numbers(base), rel=1e-6)
    assert found.h == pytest.approx(12 * base.h, rel=1e-6)
    assert found.smoothness == pytest.approx(base.smoothness * 1e6 / 144, rel=1e-8)


def test_bandwidth_that_just_takes_in_the_second_score():
    # Noise so small that the least bias is best: the weight of the second score is all but 0.
    rows = replace(made(1, points=12), y=made(1, points=12).y * 1e-3)
    found = honest(rows, HonestOptions(smoothness=10.0))
    assert found.h == pytest.approx(2.0, rel=1e-5)
    means = {value: rows.y[rows.score == value].mean() for value in (-2, -1, 0)}
    assert found.estimate == pytest.approx(means[0] - (2 * means[-1] - means[-2]), abs=1e-6)


def test_weights_stand_for_repeated_rows():
    rows = made(4, n=120)
    times = np.random.default_rng(5).integers(1, 4, 120)
    options = HonestOptions(smoothness=0.1, h=6.5, variance="eicker-huber-white")
    weighted = honest(replace(rows, weights=times.astype(float)), options)
    repeated = HonestRows(score=np.repeat(rows.score, times), y=np.repeat(rows.y, times))
    repeated = honest(repeated, options)
    assert weighted.estimate == pytest.approx(repeated.estimate, rel=1e-12)
    assert weighted.max_bias == pytest.approx(repeated.max_bias, rel=1e-12)
    assert weighted.effective_rows == pytest.approx(repeated.effective_rows, rel=1e-12)
    assert weighted.leverage == pytest.approx(repeated.leverage, rel=1e-12)
    singles = HonestRows(score=rows.score, y=rows.y, clusters=np.arange(120))
    assert numbers(honest(singles, options)) == pytest.approx(numbers(honest(rows, options)), rel=1e-12)


def test_full_uptake_is_the_sharp_design():
    rows = made(6)
    sharp = honest(rows, HonestOptions(smoothness=0.05))
    fuzzy = honest(
        replace(rows, uptake=(rows.score >= 0).astype(float)), HonestOptions(smoothness=(0.05, 0.0))
    )
    assert numbers(fuzzy) == pytest.approx(numbers(sharp), rel=1e-6)
    assert fuzzy.first_stage == pytest.approx(1) and np.isnan(sharp.first_stage)


def test_fuzzy_standard_error_is_that_of_the_contrast():
    rng = np.random.default_rng(7)
    rows = made(7, n=2000)
    uptake = (rng.random(2000) < np.where(rows.score >= 0, 0.7, 0.1)).astype(float)
    options = HonestOptions(smoothness=(0.05, 0.001), h=8.0)
    found = honest(replace(rows, uptake=uptake), options)
    contrast = HonestRows(score=rows.score, y=rows.y - found.estimate * uptake)
    sharp = honest(contrast, replace(options, smoothness=0.05 + abs(found.estimate) * 0.001))
    assert sharp.estimate == pytest.approx(0, abs=1e-10)
    assert found.std_error == pytest.approx(sharp.std_error / found.first_stage, rel=1e-10)
    assert found.max_bias == pytest.approx(sharp.max_bias / found.first_stage, rel=1e-10)


def test_many_bounds_are_single_ones():
    rows, grid = made(8), np.array([0.0, 0.01, 0.3])
    several = honest_over(rows, grid)
    for bound, found in zip(grid, several, strict=True):
        single = honest(rows, HonestOptions(smoothness=float(bound)))
        assert numbers(found) == pytest.approx(numbers(single), rel=1e-12)
    assert several[0].max_bias == 0 and several[0].h > several[-1].h


@pytest.mark.parametrize("h", [None, 6.0])
def test_breakdown_is_where_the_interval_reaches_zero(h):
    rows = made(9, n=3000, jump=1.5)
    (edge,) = honest_breakdown(rows, HonestOptions(h=h))
    below, above = (honest(rows, HonestOptions(smoothness=edge * f, h=h)) for f in (0.999, 1.001))
    assert below.low > 0 > above.low
    assert honest_breakdown(made(9, jump=0.0), HonestOptions(h=h))[0] == 0


def test_breakdown_of_a_fuzzy_design_keeps_the_proportion():
    rows = made(10, n=3000, jump=2.0)
    rows = replace(rows, uptake=np.where(rows.score >= 0, 0.9, 0.1))
    options = HonestOptions(smoothness=(0.05, 0.01), h=6.0)
    edge = honest_breakdown(rows, options)
    assert edge[1] / edge[0] == pytest.approx(0.2)
    assert honest(rows, replace(options, smoothness=tuple(edge))).p_value == pytest.approx(0.05, rel=1e-6)


def test_errors_in_plain_words():
    rows = made(11)
    with pytest.raises(EstimationError, match="fewer than two different scores"):
        honest(rows, HonestOptions(smoothness=0.1, h=1.5))
    with pytest.raises(EstimationError, match="1 different scores below"):
        honest(HonestRows(score=np.array([-1.0, -1.0, 0.0, 1.0]), y=np.arange(4.0)))
    with pytest.raises(EstimationError, match="0 different scores below"):
        honest(HonestRows(score=np.arange(4.0), y=np.arange(4.0)))
    with pytest.raises(EstimationError, match="do not vary"):
        honest(replace(rows, y=np.full(300, 7.0)), HonestOptions(smoothness=0.1))
    with pytest.raises(EstimationError, match="does not jump"):
        honest(replace(rows, uptake=np.ones(300)), HonestOptions(smoothness=(0.1, 0.1)))
    with pytest.raises(EstimationError, match="rule of thumb"):
        honest(made(points=4))
    with pytest.raises(ValueError, match="finite"):
        honest(replace(rows, y=np.where(rows.score > 3, np.nan, rows.y)), HonestOptions(smoothness=0.1))
    for bad in (-1.0, np.nan, (1.0, 1.0)):
        with pytest.raises(ValueError, match="smoothness"):
            honest(rows, HonestOptions(smoothness=bad))


@pytest.mark.slow
@pytest.mark.parametrize("points", [11, None])
def test_intervals_hold_for_the_worst_curve(points):
    rng = np.random.default_rng(12)
    inside = one_sided = 0
    for _ in range(300):
        score = rng.uniform(-1, 1, 400)
        score = score if points is None else np.floor(score * points) / points
        y = 1.5 * score**2 * np.sign(score) + 0.3 * rng.standard_normal(400)
        found = honest(HonestRows(score=score, y=y), HonestOptions(smoothness=3.0))
        inside += found.low <= 0 <= found.high
        one_sided += found.high_one_sided >= 0
    assert inside / 300 > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)
    assert one_sided / 300 > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)


# The lower bound on the smoothness


def test_bends_are_second_derivatives():
    rng = np.random.default_rng(13)
    score = rng.uniform(-2, 2, 3000)
    bound = smoothness_bound(HonestRows(score=score, y=1.5 * score**2 + 1e-3 * rng.standard_normal(3000)))
    assert bound.bends[: bound.n_left] == pytest.approx(3.0, abs=0.05)
    assert bound.low < 3.05 and bound.low > 2.9 and bound.low < bound.estimate


def test_bound_is_the_quantile_of_the_largest_statistic():
    rng = np.random.default_rng(14)
    score = np.repeat(np.arange(-9.0, 9.0), 30)
    y = 0.5 * score**2 + rng.standard_normal(score.size)
    bound = smoothness_bound(HonestRows(score=score, y=y), 1)
    statistic = np.max(np.abs(bound.bends) / bound.std_errors)
    draws = np.random.default_rng(0).standard_normal((200_000, bound.bends.size))
    for value, share in ((bound.low, 0.95), (bound.estimate, 0.5)):
        largest = np.abs(draws + value / bound.std_errors).max(axis=1)
        assert np.mean(largest <= statistic) == pytest.approx(share, abs=0.005)
    assert bound.bends.size == 6 and bound.n_left == 3 and bound.low > 0


def test_straight_lines_need_no_curvature():
    rng = np.random.default_rng(15)
    score = np.repeat(np.arange(-6.0, 6.0), 20)
    low = [
        smoothness_bound(HonestRows(score=score, y=score + rng.standard_normal(240)), multiple=False).low
        for _ in range(200)
    ]
    assert np.mean(np.array(low) > 0) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    with pytest.raises(EstimationError, match="12 different scores"):
        smoothness_bound(HonestRows(score=score, y=score + rng.standard_normal(240)), 4)


# Bounded misspecification


def slow_bounded(score, y, h, level):
    """Matrices of both regressions, and a loop over every pair of scores and signs."""
    inside = np.abs(score) <= h
    x, y = score[inside], y[inside]
    points = np.unique(x)
    line = np.column_stack([x >= 0, np.ones_like(x), x, x * (x >= 0)]).astype(float)
    dummies = (x[:, None] == points).astype(float)
    theta, mu = (np.linalg.lstsq(each, y, rcond=None)[0] for each in (line, dummies))
    scores = np.hstack(
        [
            (y - each @ beta)[:, None] * (each @ np.linalg.inv(each.T @ each))
            for each, beta in ((line, theta), (dummies, mu))
        ]
    )
    at = np.column_stack([points >= 0, np.ones_like(points), points, points * (points >= 0)]).astype(float)
    change = np.vstack([np.hstack([-at, np.eye(points.size)]), np.eye(1, 4 + points.size)])
    covariance = change @ scores.T @ scores @ change.T
    ends, z = [], stats.norm.ppf((1 + level) / 2)
    for left in np.flatnonzero(points < 0):
        for right in np.flatnonzero(points >= 0):
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                pick = np.zeros(points.size + 1)
                pick[[left, right]], pick[-1] = signs, 1
                shift = theta[0] + pick[:-1] @ (mu - at @ theta)
                ends += [shift - z * np.sqrt(pick @ covariance @ pick)]
                ends += [shift + z * np.sqrt(pick @ covariance @ pick)]
    return min(ends), max(ends)


@pytest.mark.parametrize("h", [2.0, 4.0, 11.0])
def test_bounded_misspecification_against_all_pairs(h):
    rows = made(16)
    found = bounded_misspecification(rows, h, 0.9)
    assert (found.low, found.high) == pytest.approx(slow_bounded(rows.score, rows.y, h, 0.9), rel=1e-10)
    plain = honest(rows, HonestOptions(smoothness=0.0, h=h, kernel="uniform"))
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-12)


def test_bounded_misspecification_needs_repeated_scores():
    rng = np.random.default_rng(17)
    with pytest.raises(EstimationError, match="have a single row"):
        bounded_misspecification(HonestRows(score=rng.uniform(-1, 1, 50), y=rng.standard_normal(50)), 0.5)
