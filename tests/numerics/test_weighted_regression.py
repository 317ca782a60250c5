import numpy as np
import pytest
import statsmodels.api as sm

from qieval.numerics.weighted_regression import sandwich, weighted_regression


def made(seed=0, n=300, k=4):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.standard_normal((n, k - 1))])
    weights = rng.uniform(0.1, 4, n) * (rng.random(n) > 0.25)
    return rng, x, weights, rng.integers(0, 30, n)


OUTCOMES = {
    "linear": lambda rng, x: x @ np.arange(x.shape[1]) + rng.standard_normal(len(x)),
    "logistic": lambda rng, x: (rng.random(len(x)) < 1 / (1 + np.exp(-x[:, 1] + 0.5))).astype(float),
    "poisson": lambda rng, x: rng.poisson(np.exp(0.3 * x[:, 1] + 0.2)).astype(float),
}
FAMILIES = {
    "linear": sm.families.Gaussian,
    "logistic": sm.families.Binomial,
    "poisson": sm.families.Poisson,
}


def slow(x, y, weights, beta, family):
    """Explicit sandwich parts at given coefficients."""
    linear = x @ beta
    mean = {"linear": linear, "logistic": 1 / (1 + np.exp(-linear)), "poisson": np.exp(linear)}[family]
    slope = {"linear": np.ones(len(y)), "logistic": mean * (1 - mean), "poisson": mean}[family]
    bread = np.linalg.inv((x * (weights * slope)[:, None]).T @ x)
    hat = weights * slope * np.diag(x @ bread @ x.T)
    return bread, x * (weights * (y - mean))[:, None], hat


@pytest.mark.parametrize("family", OUTCOMES)
def test_coefficients_and_every_sandwich(family):
    rng, x, weights, cluster = made()
    y = OUTCOMES[family](rng, x)
    used = weights > 0
    fit = weighted_regression(x, np.where(used, y, np.nan), weights, family)
    other = sm.GLM(y[used], x[used], FAMILIES[family](), freq_weights=weights[used]).fit(tol=1e-13)
    np.testing.assert_allclose(fit.beta, other.params, rtol=1e-8, atol=1e-10)
    assert fit.converged and not fit.separated and fit.rank == 4
    bread, scores, hat = slow(x[used], y[used], weights[used], fit.beta, family)
    np.testing.assert_allclose(fit.bread, bread, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.leverage[used], hat, rtol=1e-9)
    np.testing.assert_allclose(fit.influence()[used], scores @ bread, atol=1e-10)
    n, k = used.sum(), 4
    plain = bread @ scores.T @ scores @ bread
    np.testing.assert_allclose(sandwich(fit, "HC0"), plain, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(sandwich(fit, "HC1"), plain * n / (n - k), rtol=1e-8, atol=1e-12)
    left = scores / (1 - hat)[:, None]
    np.testing.assert_allclose(sandwich(fit, "HC3"), bread @ left.T @ left @ bread, rtol=1e-8, atol=1e-12)
    groups = np.unique(cluster[used])
    totals = np.array([scores[cluster[used] == group].sum(axis=0) for group in groups])
    clustered = bread @ totals.T @ totals @ bread * groups.size / (groups.size - 1)
    np.testing.assert_allclose(sandwich(fit, "HC0", cluster, adjust=True), clustered, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        sandwich(fit, "HC1", cluster), clustered * (n - 1) / (n - k), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("family", OUTCOMES)
def test_units_do_not_matter(family):
    rng, x, weights, _ = made(3)
    y = OUTCOMES[family](rng, x)
    scale, shift = np.array([1.0, 1e-6, 1e5, 1.0]), np.array([0.0, 0.0, 0.0, 1e4])
    one = weighted_regression(x, y, weights, family)
    other = weighted_regression(x * scale + shift, y, weights * 1e8, family)
    np.testing.assert_allclose(other.fitted, one.fitted, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(other.beta[1:] * scale[1:], one.beta[1:], rtol=1e-6)
    ratio = np.diag(sandwich(other))[1:] * scale[1:] ** 2 / np.diag(sandwich(one))[1:]
    np.testing.assert_allclose(ratio, 1, rtol=1e-6)


def test_offset_makes_rates():
    events, time = np.array([2.0, 1.0, 4.0, 6.0]), np.array([1.0, 2.0, 10.0, 10.0])
    x = np.column_stack([np.ones(4), [0, 0, 1, 1]])
    fit = weighted_regression(x, events, np.ones(4), "poisson", np.log(time))
    np.testing.assert_allclose(np.exp([fit.beta[0], fit.beta.sum()]), [1.0, 0.5], rtol=1e-12)


def test_later_columns_that_repeat_earlier_ones_are_aliased():
    rng, x, weights, _ = made()
    y = OUTCOMES["linear"](rng, x)
    wide = np.column_stack([x[:, :2], np.full(len(x), 7.0), x[:, 1] * 2 - 3, x[:, 2:], x[:, 2] + x[:, 3]])
    fit = weighted_regression(wide, y, weights)
    plain = weighted_regression(x, y, weights)
    assert fit.aliased.tolist() == [False, False, True, True, False, False, True] and fit.rank == 4
    np.testing.assert_allclose(fit.beta[~fit.aliased], plain.beta, rtol=1e-10)
    assert not fit.beta[fit.aliased].any()
    np.testing.assert_allclose(sandwich(fit)[np.ix_(~fit.aliased, ~fit.aliased)], sandwich(plain), rtol=1e-8)


def test_a_column_that_varies_only_in_unused_rows_is_aliased():
    _, x, weights, _ = made()
    column = np.where(weights > 0, 0.0, 5.0)
    assert weighted_regression(np.column_stack([x, column]), x[:, 1], weights).aliased[-1]


def test_separation_is_flagged_and_the_rest_still_fits():
    rng = np.random.default_rng(1)
    group = np.repeat([0.0, 1.0], 50)
    y = np.where(group == 1, 1.0, rng.random(100) < 0.4).astype(float)
    fit = weighted_regression(np.column_stack([np.ones(100), group]), y, np.ones(100), "logistic")
    assert fit.separated and not fit.converged
    np.testing.assert_allclose(fit.fitted[:50], y[:50].mean(), atol=1e-6)
    assert (fit.fitted[50:] > 1 - 1e-6).all() and np.isfinite(sandwich(fit)).all()


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_outcomes_that_are_all_zero_are_separated(family):
    x = np.column_stack([np.ones(20), np.arange(20.0)])
    fit = weighted_regression(x, np.zeros(20), np.ones(20), family)
    assert fit.separated and not fit.converged and (fit.fitted < 1e-6).all()


def test_rare_events_are_not_taken_for_separation():
    y = np.zeros(200_000)
    y[:3] = y[100_000:100_006] = 1
    group = np.repeat([0.0, 1.0], 100_000)
    fit = weighted_regression(np.column_stack([np.ones(y.size), group]), y, np.ones(y.size), "logistic")
    assert fit.converged and not fit.separated
    assert fit.beta[1] == pytest.approx(np.log(6 / 99_994) - np.log(3 / 99_997), abs=1e-8)


def test_input_that_makes_no_sense_is_refused():
    x, ones = np.ones((3, 1)), np.ones(3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        weighted_regression(x, np.array([0.0, 1.0, 2.0]), ones, "logistic")
    with pytest.raises(ValueError, match="0 or more"):
        weighted_regression(x, np.array([0.0, 1.0, -2.0]), ones, "poisson")
    with pytest.raises(ValueError, match="finite"):
        weighted_regression(x, np.array([0.0, np.nan, 1.0]), ones)
    with pytest.raises(ValueError, match="no row"):
        weighted_regression(x, ones, np.zeros(3))
    fit = weighted_regression(x, np.arange(3.0), ones)
    with pytest.raises(ValueError, match="HC3"):
        sandwich(fit, "HC3", np.arange(3))


def test_no_rows_left_over_gives_no_covariance():
    exact = weighted_regression(np.eye(2), np.array([1.0, 2.0]), np.ones(2))
    assert np.isnan(sandwich(exact, "HC1")).all() and np.isnan(sandwich(exact, "HC3")).all()
