"""The pieces of honest intervals against slow, independent versions."""

import numpy as np
import pytest
from scipy import stats

from qieval.errors import EstimationError
from qieval.numerics.honest_bandwidth import Aim, BandwidthSearch
from qieval.numerics.honest_critical import honest_critical_value, honest_largest_ratio, honest_p_value
from qieval.numerics.honest_fit import local_fit
from qieval.numerics.honest_neighbours import Ties, neighbour_residuals
from qieval.numerics.honest_pilot import curvature_rule_of_thumb, pilot_bandwidth, pilot_noise
from qieval.numerics.honest_rows import HonestRows, split

KERNELS = {
    "triangular": lambda u: np.maximum(1 - np.abs(u), 0),
    "epanechnikov": lambda u: np.maximum(1 - u**2, 0),
    "uniform": lambda u: (np.abs(u) <= 1).astype(float),
}


def made(seed=0, n=160, *, discrete=False, full=True):
    rng = np.random.default_rng(seed)
    score = rng.uniform(-3, 5, n)
    score = np.floor(score * 2) / 2 if discrete else score
    covariates = rng.standard_normal((n, 2)) + 0.3 * score[:, None]
    uptake = (rng.random(n) < np.where(score >= 1, 0.8, 0.2)).astype(float)
    y = 3 + score - 0.2 * score**2 + 2 * uptake + covariates @ [1.0, -0.5] + rng.standard_normal(n)
    clusters = rng.integers(0, 25, n)
    if not full:
        return HonestRows(score=score, y=y, cutoff=1.0)
    weights = rng.integers(1, 5, n).astype(float)
    return HonestRows(
        score=score, y=y, cutoff=1.0, uptake=uptake, covariates=covariates, weights=weights, clusters=clusters
    )


# Critical values


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_critical_value_is_the_folded_normal_quantile(level):
    ratio = np.array([0.0, 1e-6, 0.3, 1.0, 2.5, 7.0])
    expected = np.sqrt(stats.ncx2.ppf(level, 1, ratio**2 + 1e-300))
    assert honest_critical_value(ratio, level) == pytest.approx(expected, rel=1e-9)
    assert honest_critical_value(300.0, level) == pytest.approx(300 + stats.norm.ppf(level), rel=1e-12)


def test_p_value_and_critical_value_agree():
    ratio = np.linspace(0, 4, 9)
    edge = honest_critical_value(ratio, 0.9)
    assert honest_p_value(edge, ratio) == pytest.approx(np.full(9, 0.1), rel=1e-10)
    assert honest_p_value(-2.0, 0.0) == pytest.approx(2 * stats.norm.sf(2))


def test_largest_ratio_inverts_the_critical_value():
    for ratio in (0.01, 0.7, 5.0):
        assert honest_largest_ratio(-float(honest_critical_value(ratio))) == pytest.approx(ratio, rel=1e-8)
    assert honest_largest_ratio(1.9) == 0


def test_critical_value_refuses_nonsense():
    for ratio, level in ((np.nan, 0.95), (-1.0, 0.95), (1.0, 95.0)):
        with pytest.raises(ValueError):
            honest_critical_value(ratio, level)


# Neighbours


def slow_neighbours(x, values, weights, neighbours):
    out = np.empty_like(values)
    for i in range(x.size):
        others = np.delete(np.arange(x.size), i)
        apart = np.abs(x[others] - x[i])
        far = np.sort(apart)[min(neighbours, others.size) - 1]
        chosen = others[apart <= far]
        mass = weights[chosen].sum()
        out[i] = (values[i] - weights[chosen] @ values[chosen] / mass) * np.sqrt(mass / (mass + weights[i]))
    return out


@pytest.mark.parametrize("neighbours", [1, 3, 7])
@pytest.mark.parametrize("grid", [None, 1.0, 0.25])
def test_neighbours_against_a_loop(neighbours, grid):
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0, 6, 60))
    x = x if grid is None else np.floor(x / grid) * grid
    values, weights = rng.standard_normal((60, 2)), rng.uniform(0.5, 3, 60)
    found = neighbour_residuals(x, values, weights, Ties(0.0), neighbours)
    assert found == pytest.approx(slow_neighbours(x, values, weights, neighbours), rel=1e-12, abs=1e-12)


def test_near_ties_do_not_hang_on_rounding():
    rng = np.random.default_rng(5)
    whole = np.arange(40.0)
    values, ones = rng.standard_normal((40, 1)), np.ones(40)
    expected = slow_neighbours(whole, values, ones, 3)
    tenths = whole * 0.1
    found = neighbour_residuals(tenths, values, ones, Ties(1e-13, near=True), 3)
    assert found == pytest.approx(expected, rel=1e-12)
    exact = neighbour_residuals(tenths, values, ones, Ties(1e-13), 3)
    assert exact == pytest.approx(slow_neighbours(tenths, values, ones, 3), rel=1e-12)
    assert not np.allclose(exact, expected)


def test_two_rows_are_each_others_neighbour():
    found = neighbour_residuals(np.array([0.0, 1.0]), np.array([[1.0], [4.0]]), np.ones(2), Ties(0.0), 3)
    assert found[:, 0] == pytest.approx([-3 / np.sqrt(2), 3 / np.sqrt(2)])


# The fit


def regression(rows, h, kernel):
    """Design, kernel x weights and coefficients of one regression with everything in it."""
    x = rows.score - rows.cutoff
    right = (x >= 0).astype(float)
    w = KERNELS[kernel](x / h) * (1 if rows.weights is None else rows.weights)
    design = np.column_stack([right, np.ones_like(x), x, right * x])
    if rows.covariates is not None:
        design = np.column_stack([design, rows.covariates])
    outcomes = np.column_stack([rows.y] + ([] if rows.uptake is None else [rows.uptake]))
    pull = (np.linalg.pinv(design.T @ (w[:, None] * design)) @ (w[:, None] * design).T)[0]
    root = np.sqrt(w)
    coefficients = np.linalg.lstsq(design * root[:, None], outcomes * root[:, None], rcond=None)[0]
    return x, pull, outcomes - design @ coefficients, coefficients


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("discrete", [False, True])
def test_fit_is_one_weighted_regression(kernel, discrete):
    rows, h = made(discrete=discrete), 2.1
    sides = split(rows)
    fit = local_fit(sides, h / sides.scale, kernel)
    x, pull, residuals, coefficients = regression(rows, h, kernel)
    assert fit.jumps == pytest.approx(coefficients[0], rel=1e-10)
    scores = pull[:, None] * residuals
    by_cluster = np.array([scores[rows.clusters == code].sum(axis=0) for code in range(25)])
    assert fit.covariance("nn") == pytest.approx(by_cluster.T @ by_cluster, rel=1e-9)
    bend = abs(pull[x < 0] @ x[x < 0] ** 2 - pull[x >= 0] @ x[x >= 0] ** 2) / 2
    assert fit.unit_bias("hoelder") == pytest.approx(bend, rel=1e-10)
    assert fit.unit_bias("taylor") == pytest.approx(np.abs(pull) @ x**2 / 2, rel=1e-10)
    one = pull / rows.weights
    assert fit.leverage() == pytest.approx(np.max(one**2) / np.sum(pull * one), rel=1e-10)


def test_variances_without_clusters():
    rows = made(1, full=False)
    sides = split(rows)
    fit = local_fit(sides, 2 / sides.scale, "triangular")
    x, pull, residuals, _ = regression(rows, 2.0, "triangular")
    assert fit.covariance("eicker-huber-white")[0, 0] == pytest.approx(float(pull**2 @ residuals[:, 0] ** 2))
    expected_nn = expected_same = 0.0
    for side in (x < 0, x >= 0):
        inside = side & (np.abs(x) < 2)
        near = slow_neighbours(np.abs(x[inside]), rows.y[inside, None], np.ones(inside.sum()), 3)
        expected_nn += pull[inside] ** 2 @ near[:, 0] ** 2
        expected_same += (pull[inside] ** 2).sum() * (residuals[inside] ** 2).sum() / (inside.sum() - 2)
    assert fit.covariance("nn")[0, 0] == pytest.approx(expected_nn, rel=1e-10)
    assert fit.covariance("conventional")[0, 0] == pytest.approx(expected_same, rel=1e-10)


def test_collinear_covariates_change_nothing():
    rows = made(2)
    twice = np.column_stack([rows.covariates, rows.covariates.sum(axis=1), rows.score, np.ones(rows.y.size)])
    with_more = HonestRows(**{**rows.__dict__, "covariates": twice})
    one, other = (local_fit(split(each), 0.5, "triangular") for each in (rows, with_more))
    assert other.jumps == pytest.approx(one.jumps, rel=1e-9)
    assert other.covariance("nn") == pytest.approx(one.covariance("nn"), rel=1e-8)


# Pilots and bandwidth


def test_rule_of_thumb_is_the_largest_bend_of_quartics():
    rows = made(3, full=False)
    x, expected = rows.score - rows.cutoff, []
    for side in (x < 0, x >= 0):
        bend = np.polynomial.Polynomial.fit(x[side], rows.y[side], 4).deriv(2)
        expected.append(np.abs(bend(np.linspace(x[side].min(), x[side].max(), 200_001))).max())
    assert curvature_rule_of_thumb(split(rows)) == pytest.approx([max(expected)], rel=1e-6)


def test_rule_of_thumb_needs_five_scores():
    score = np.repeat(np.arange(-4.0, 4.0), 5)
    with pytest.raises(EstimationError, match="5 different scores on each side; there are 4"):
        curvature_rule_of_thumb(split(HonestRows(score=score, y=score**2)))


def slow_pilot(x, y):
    """Imbens and Kalyanaraman 2012, section 4.2, word for word."""
    n, right = x.size, x >= 0
    h1 = 1.84 * x.std(ddof=1) * n**-0.2
    density = (np.abs(x) <= h1).mean() / (2 * h1)
    variances = [y[side & (np.abs(x) <= h1)].var(ddof=1) for side in (~right, right)]
    cubic = np.column_stack([np.ones(n), right, x, x**2, x**3])
    third = 6 * np.linalg.lstsq(cubic, y, rcond=None)[0][4]
    bends, shrink = [], 0.0
    for side, variance in zip((~right, right), variances, strict=True):
        h2 = 7200 ** (1 / 7) * (variance / (density * third**2 * side.sum())) ** (1 / 7)
        inside = side & (np.abs(x) <= h2)
        bends.append(2 * np.polyfit(x[inside], y[inside], 2)[0])
        shrink += 2160 * variance / (inside.sum() * h2**4)
    ratio = sum(variances) / (density * n * ((bends[1] - bends[0]) ** 2 + shrink))
    return 3.4375441 * ratio**0.2


def test_pilot_bandwidth_and_noise():
    rows = made(6, 400, full=False)
    sides, x = split(rows), rows.score - rows.cutoff
    h = slow_pilot(x, rows.y)
    assert pilot_bandwidth(sides) * sides.scale == pytest.approx(h, rel=1e-6)
    _, _, residuals, _ = regression(rows, pilot_bandwidth(sides) * sides.scale, "triangular")
    noise = pilot_noise(sides)
    for side, found in ((x < 0, noise.left), (x >= 0, noise.right)):
        inside = side & (np.abs(x) < pilot_bandwidth(sides) * sides.scale)
        assert found == pytest.approx(np.mean(residuals[inside] ** 2), rel=1e-9)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("curvature", ["hoelder", "taylor"])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_risk_from_sums_is_that_of_the_fit(kernel, curvature, discrete, full):
    rows = made(7, discrete=discrete, full=full)
    sides = split(rows).with_covariates(kept=False)
    noise = pilot_noise(sides)
    h = np.array([0.3, 0.8, 1.5, 2.0, 3.7]) / sides.scale
    bias, std_error = BandwidthSearch(sides, noise, kernel, curvature).risk(h, 0.7)
    for place, each in enumerate(h):
        fit = local_fit(sides, each, kernel)
        if fit is None:
            assert np.isinf(bias[place]) and np.isinf(std_error[place])
            continue
        assert bias[place] == pytest.approx(0.7 * fit.unit_bias(curvature), rel=1e-9)
        contrast = np.array([1.0, -fit.jumps[0] / fit.jumps[-1]])[: fit.jumps.size]
        left, right = fit.both
        total = noise.left * (left.pull @ left.pull) + noise.right * (right.pull @ right.pull)
        if full:
            pulls = np.concatenate([left.pull, right.pull])
            codes = np.concatenate([one.side.clusters[: one.n] for one in fit.both])
            pairs = np.sum(np.bincount(codes, pulls) ** 2) - pulls @ pulls
            total = total + noise.within * pairs
        assert std_error[place] ** 2 == pytest.approx(contrast @ total @ contrast, rel=1e-8)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("criterion", ["mse", "flci", "oci"])
@pytest.mark.parametrize("discrete", [True, False])
def test_no_other_bandwidth_is_better(kernel, criterion, discrete):
    sides = split(made(8, discrete=discrete, full=False))
    search, aim = BandwidthSearch(sides, pilot_noise(sides), kernel, "hoelder"), Aim(criterion=criterion)
    for smoothness in (0.0, 0.05, 1.0, 30.0):
        h = search.best(smoothness, aim)
        at = aim.value(*search.risk(np.array([h]), smoothness))[0]
        grid = np.linspace(search.least, search.most, 20_001)
        assert at <= aim.value(*search.risk(grid, smoothness)).min() * (1 + 1e-6)
