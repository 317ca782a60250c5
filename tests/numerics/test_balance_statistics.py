import numpy as np
import pytest

from qieval.numerics import overlap
from qieval.numerics.balance_scalars import energy_distance, mahalanobis, pseudo_r_squared
from qieval.numerics.balance_statistics import (
    Ranked,
    denominators,
    distributions,
    effective_size,
    products,
    statistics,
)


def people(n=400, seed=0):
    """Columns: continuous, rounded (ties), 0/1, continuous with missing values; arms; weights with zeros."""
    rng = np.random.default_rng(seed)
    treated = rng.random(n) < 0.3
    x = np.column_stack(
        [
            rng.standard_normal(n) + treated,
            np.round(rng.exponential(3, n)),
            rng.random(n) < 0.2 + 0.3 * treated,
            np.where(rng.random(n) < 0.15, np.nan, rng.standard_normal(n)),
        ]
    )
    weights = rng.exponential(1, n) * (rng.random(n) < 0.8)
    return x, treated, weights


def slow_variance(x, w):
    if set(np.unique(x)) <= {0.0, 1.0}:
        p = np.average(x, weights=w)
        return p * (1 - p)
    share = w / w.sum()
    return np.sum(share * (x - np.sum(share * x)) ** 2) / (1 - np.sum(share**2))


def slow_gaps(x, treated, w):
    """|F1 - F0| at every distinct value, by comparing everybody with every value."""
    one, zero = w * treated, w * ~treated
    at = np.unique(x)[:, None] >= x[None, :]
    return np.abs(at @ one / one.sum() - at @ zero / zero.sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_against_a_slow_version(weighted, seed):
    x, treated, weights = people(seed=seed)
    weights = weights if weighted else np.ones(len(x))
    found = statistics(Ranked(x), treated, weights if weighted else None)
    for j in range(x.shape[1]):
        kept = ~np.isnan(x[:, j])
        v, t, w = x[kept, j], treated[kept], weights[kept]
        one, zero = np.average(v[t], weights=w[t]), np.average(v[~t], weights=w[~t])
        spread = np.sqrt(slow_variance(v[t], np.ones(t.sum())))
        gaps = slow_gaps(v, t, w) if j != 2 else np.full(2, abs(one - zero))
        ratio = slow_variance(v[t], w[t]) / slow_variance(v[~t], w[~t]) if j != 2 else np.nan
        expected = [one, zero, (one - zero) / spread, ratio, gaps.mean(), gaps.max()]
        got = [found.mean_treated, found.mean_control, found.smd, found.variance_ratio]
        got += [found.ecdf_mean, found.ecdf_max]
        np.testing.assert_allclose([value[j] for value in got], expected, rtol=1e-11, atol=1e-13)
        assert found.used_treated[j] == np.count_nonzero(w[t])
        assert found.used_control[j] == np.count_nonzero(w[~t])


def test_by_hand():
    """Treated 1, 3; control 2, 6: means 2 and 4, variances 2 and 8, gaps 1/2, 0, 1/2, 0."""
    found = statistics(Ranked(np.array([[1.0], [3], [2], [6]])), np.array([1, 1, 0, 0]))
    assert found.smd[0] == pytest.approx(-np.sqrt(2))
    assert found.variance_ratio[0] == pytest.approx(0.25)
    assert (found.ecdf_mean[0], found.ecdf_max[0]) == (pytest.approx(0.25), pytest.approx(0.5))


def test_denominators_by_hand():
    ranked, treated = Ranked(np.array([[1.0, 1], [3, 0], [2, 0], [6, 0]])), np.array([1, 1, 0, 0])
    weights = np.array([1.0, 0, 1, 0])
    expected = {"treated": [2, 0.25], "control": [8, 0.125], "pooled": [5, 0.125], "all": [14 / 3, 3 / 16]}
    for kind, variance in expected.items():
        np.testing.assert_allclose(denominators(ranked, treated, kind) ** 2, variance, err_msg=kind)
    np.testing.assert_allclose(denominators(ranked, treated, "weighted", weights) ** 2, [0.5, 0.25])
    with pytest.raises(ValueError, match="is not one of"):
        denominators(ranked, treated, "hedges")


def test_two_way_of_giving_the_denominator_agree_and_raw_leaves_proportions():
    x, treated, weights = people()
    ranked = Ranked(x)
    fixed = denominators(ranked, treated, "pooled")
    one = statistics(ranked, treated, weights, "pooled")
    np.testing.assert_array_equal(one.smd, statistics(ranked, treated, weights, fixed).smd)
    raw = statistics(ranked, treated, weights, fixed, "raw")
    assert raw.smd[2] == raw.mean_treated[2] - raw.mean_control[2]
    np.testing.assert_array_equal(raw.smd[[0, 1, 3]], one.smd[[0, 1, 3]])


def test_does_not_depend_on_units_or_on_the_scale_of_weights():
    x, treated, weights = people()
    one = statistics(Ranked(x), treated, weights)
    factor, shift = np.array([1e-9, 1e6, 1, 1e3]), np.array([0, 1e7, 0, -50])
    other = statistics(Ranked(x * factor + shift), treated, weights * 1e-6)
    for name in ("smd", "variance_ratio", "ecdf_mean", "ecdf_max"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-7, err_msg=name)


def test_a_constant_column_has_no_difference_and_a_separated_one_an_infinite_one():
    treated = np.arange(30) < 10
    x = np.column_stack([np.full(30, 0.1), np.where(treated, 0.3, 0.1)])
    found = statistics(Ranked(x), treated, np.random.default_rng(1).random(30))
    assert (found.smd[0], found.ecdf_max[0]) == (0, pytest.approx(0, abs=1e-15))
    assert found.smd[1] == np.inf and found.ecdf_max[1] == pytest.approx(1)
    assert np.isnan(found.variance_ratio).all()


def test_an_arm_without_weight_or_value_gives_nan_not_a_number():
    x, treated = np.array([[1.0, np.nan], [2, np.nan], [3, 1], [4, 2]]), np.array([1, 1, 0, 0])
    found = statistics(Ranked(x), treated, np.array([1.0, 1, 0, 0]))
    assert np.isnan(found.smd).all() and np.isnan(found.ecdf_max).all()
    assert np.isnan(statistics(Ranked(x), treated).smd[1])


def test_single_row_in_an_arm_has_a_difference_but_no_variance():
    found = statistics(Ranked(np.array([[1.0], [3], [2], [6]])), [1, 1, 0, 0], np.array([1.0, 0, 1, 1]))
    assert found.smd[0] == pytest.approx(-3 / np.sqrt(2)) and np.isnan(found.variance_ratio[0])


def test_bad_numbers_are_refused():
    ranked, treated = Ranked(np.ones((3, 1))), np.array([1, 0, 0])
    for weights in ([1, -1, 1], [1, np.nan, 1], [1, np.inf, 1]):
        with pytest.raises(ValueError, match="not negative"):
            statistics(ranked, treated, np.array(weights, dtype=float))
    with pytest.raises(ValueError, match="one entry for each row"):
        statistics(ranked, treated[:2])
    with pytest.raises(ValueError, match="infinite"):
        Ranked(np.array([[np.inf]]))


def test_sorting_is_kept():
    x, treated, _ = people()
    ranked = Ranked(x)
    statistics(ranked, treated)
    assert ranked.order(0)[0] is ranked.order(0)[0] and ranked.order(0)[0].dtype == np.uint32
    assert set(ranked._sorted) == {0, 1, 3}, "0/1 columns are not sorted"


def test_last_digits_do_not_make_two_values_of_one():
    x = np.array([0.1 + 0.2, 0.3, 0.6, 0.6 * (1 + 1e-12)])[:, None]
    assert Ranked(x).order(0)[1].tolist() == [False, True, True, True]


def test_products_skip_levels_of_one_category():
    x = np.array([[2.0, 1, 0], [3, 0, 1]])
    made, names = products(x, ["age", "f", "m"], [0, 1, 1], squares=True, interactions=True)
    assert names == ["age²", "age * f", "age * m"]
    np.testing.assert_array_equal(made, [[4, 2, 0], [9, 0, 3]])
    assert products(x, ["a", "b", "c"], squares=False, interactions=False)[0].shape == (2, 0)


def test_distributions_against_definition():
    x, treated, weights = people()
    found = distributions(Ranked(x), 3, treated, weights, np.array([0.1, 0.5, 0.9]))
    kept = ~np.isnan(x[:, 3]) & treated
    v, w = x[kept, 3], weights[kept]
    np.testing.assert_allclose(found.cdf_treated, [w[v <= at].sum() / w.sum() for at in found.points])
    slow = [min(at for at in v if w[v <= at].sum() / w.sum() >= p) for p in found.probabilities]
    np.testing.assert_array_equal(found.quantile_treated, slow)
    with pytest.raises(ValueError, match="no weighted value"):
        distributions(Ranked(x), 3, treated, np.zeros(len(x)))


def test_effective_size():
    assert effective_size(np.ones(7)) == 7 and effective_size(np.zeros(3)) == 0


def test_mahalanobis_with_redundant_levels_and_units():
    x, treated, weights = people()
    x = np.column_stack([x[:, :3], 1 - x[:, 2]])
    w = np.where(treated, 1.0, weights)
    gap = np.average(x[treated], axis=0) - np.average(x[~treated], axis=0, weights=w[~treated])
    inverse = np.linalg.inv(np.cov(x[treated, :3], rowvar=False))
    expected = np.sqrt(gap[:3] @ inverse @ gap[:3])
    assert mahalanobis(x, treated, w) == pytest.approx(expected, rel=1e-10)
    assert mahalanobis(x * [1e-6, 1e5, 1, 3], treated, w) == pytest.approx(expected, rel=1e-8)
    pooled = (np.cov(x[treated, :3], rowvar=False) + np.cov(x[~treated, :3], rowvar=False)) / 2
    expected = np.sqrt(gap[:3] @ np.linalg.inv(pooled) @ gap[:3])
    assert mahalanobis(x[:, :3], treated, w, "pooled") == pytest.approx(expected, rel=1e-10)


def test_energy_distance_against_definition():
    x, treated, weights = people(60)
    x = x[:, :3]
    p = x[:, 2].mean()
    scale = [x[:, 0].std(ddof=1), x[:, 1].std(ddof=1), np.sqrt(p * (1 - p))]
    z = x / scale
    apart = np.sqrt(((z[:, None, :] - z[None, :, :]) ** 2).sum(axis=2))
    one, zero = weights * treated, weights * ~treated
    one, zero = one / one.sum(), zero / zero.sum()
    expected = 2 * one @ apart @ zero - one @ apart @ one - zero @ apart @ zero
    assert energy_distance(x, treated, weights) == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match="each arm"):
        energy_distance(x, treated, weights * treated)


def test_pseudo_r_squared_against_a_general_optimiser_and_when_separated():
    from scipy.optimize import minimize

    x, treated, weights = people()
    z, y = np.column_stack([np.ones(len(x)), x[:, :3]]), treated.astype(float)
    fit = minimize(lambda b: np.sum(weights * (np.logaddexp(0, z @ b) - y * (z @ b))), np.zeros(4), tol=1e-10)
    eta, share = z @ fit.x, weights / weights.sum()
    spread = np.sum(share * (eta - np.sum(share * eta)) ** 2)
    found = pseudo_r_squared(x[:, :3], treated, weights)
    assert found.converged and found.value == pytest.approx(spread / (spread + np.pi**2 / 3), rel=1e-5)
    assert not pseudo_r_squared(np.arange(20.0)[:, None], np.arange(20) > 9).converged


def test_c_statistic_against_all_pairs():
    x, treated, weights = people(80)
    score = x[:, 1]
    above = (score[treated][:, None] > score[~treated]) + 0.5 * (score[treated][:, None] == score[~treated])
    pairs = np.outer(weights[treated], weights[~treated])
    assert overlap.c_statistic(score, treated) == pytest.approx(above.mean(), rel=1e-12)
    expected = np.sum(above * pairs) / pairs.sum()
    assert overlap.c_statistic(score, treated, weights) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(overlap.c_statistic(score, treated, weights * treated))


def test_densities_apart_against_exact_kernels():
    x, treated, weights = people(200)
    v = x[:, 0]
    low, high = np.quantile(v[treated], [0.25, 0.75])
    width = 1.06 * min(v[treated].std(ddof=1), (high - low) / 1.34) * treated.sum() ** -0.2
    grid = np.linspace(v.min() - 4 * width, v.max() + 4 * width, 20_001)

    def density(values, w):
        return (
            np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2)
            @ (w / w.sum())
            / width
            / np.sqrt(2 * np.pi)
        )

    both = np.minimum(density(v[treated], weights[treated]), density(v[~treated], weights[~treated]))
    expected = 1 - np.trapezoid(both, grid)
    assert overlap.densities_apart(v, treated, weights) == pytest.approx(expected, abs=2e-5)
    assert overlap.densities_apart(1e6 * v - 3, treated, weights) == pytest.approx(expected, abs=2e-5)
    missing = np.append(v, np.nan)
    assert overlap.densities_apart(
        missing, np.append(treated, True), np.append(weights, 1.0)
    ) == pytest.approx(expected, abs=2e-5)
    assert overlap.densities_apart(np.where(treated, 5.0, v), treated) == 1
    assert np.isnan(overlap.densities_apart(v, treated, weights * treated))


def test_support_without_a_common_range():
    found = overlap.common_support(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    assert found.low > found.high and (found.outside_treated, found.outside_control) == (2, 2)


def test_histogram_keeps_all_weight():
    score, treated = np.array([0, 0.1, 0.5, 1.0]), np.array([0, 1, 1, 0])
    edges, one, zero = overlap.histogram(score, treated, np.array([1.0, 2, 3, 4]), bins=4)
    np.testing.assert_array_equal(edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(one, [2, 0, 3, 0])
    np.testing.assert_array_equal(zero, [1, 0, 0, 4])
