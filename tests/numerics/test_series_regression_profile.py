import numpy as np
import pytest
from scipy import optimize, stats

from qieval.numerics.series_regression import fit_series
from qieval.numerics.series_regression_profile import f_test, profile_interval


def made(seed=0, n=40):
    generator = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), np.linspace(0, 1, n), np.arange(n) >= n // 2])
    return generator.poisson(np.exp(x @ [2.0, 0.3, -0.2])).astype(float), x


def test_one_rate_solves_the_deviance_equation():
    """Deviance of a common rate m with mean 7.5 of 4 values: 2 (30 log(7.5 / m) - 30 + 4 m)."""
    fit = fit_series(np.array([4.0, 6, 9, 11]), np.ones((4, 1)), "poisson")
    found = profile_interval(fit, np.ones((4, 1)), 0)

    def rise(m):
        return 2 * (30 * np.log(7.5 / m) - 30 + 4 * m) - stats.chi2.ppf(0.95, 1)

    assert np.exp(found.low) == pytest.approx(optimize.brentq(rise, 2, 7.5, xtol=1e-14), rel=1e-11)
    assert np.exp(found.high) == pytest.approx(optimize.brentq(rise, 7.5, 20, xtol=1e-14), rel=1e-11)


@pytest.mark.parametrize("family", ["poisson", "quasi-poisson"])
def test_ends_by_refitting_with_the_coefficient_held(family):
    y, x = made()
    fit = fit_series(y, x, family)
    for column in range(3):
        found = profile_interval(fit, x, column, level=0.9)
        for end in (found.low, found.high):
            others = np.delete(x, column, axis=1)
            held = fit_series(y, others, family, offset=end * x[:, column])
            rise = (held.deviance - fit.deviance) / fit.dispersion
            assert rise == pytest.approx(stats.chi2.ppf(0.9, 1), rel=1e-9)
        assert found.low < fit.coefficients[column] < found.high and found.converged


def test_gaussian_with_its_degrees_of_freedom_is_the_t_interval():
    y, x = made()
    fit = fit_series(y, x, "gaussian")
    for column in range(3):
        found = profile_interval(fit, x, column, df=fit.df)
        half = stats.t.ppf(0.975, fit.df) * fit.std_error[column]
        expected = [fit.coefficients[column] - half, fit.coefficients[column] + half]
        assert [found.low, found.high] == pytest.approx(expected, rel=1e-10)


def test_time_from_a_distant_origin_gives_the_same_ends():
    y, x = made()
    far = x.copy()
    far[:, 1] = x[:, 1] * 39 + 1e6
    near_ends = profile_interval(fit_series(y, x, "poisson"), x, 1)
    far_ends = profile_interval(fit_series(y, far, "poisson"), far, 1)
    assert [far_ends.low * 39, far_ends.high * 39] == pytest.approx([near_ends.low, near_ends.high], rel=1e-7)


def test_theta_is_held():
    generator = np.random.default_rng(1)
    _, x = made()
    y = generator.negative_binomial(3, 0.2, 40).astype(float)
    fit = fit_series(y, x, "negative binomial")
    found = profile_interval(fit, x, 2)

    def likelihood(shift):
        mean = np.exp(x[:, :2] @ shift[:2] + x[:, 2] * found.high)
        return -stats.nbinom.logpmf(y, fit.theta, fit.theta / (fit.theta + mean)).sum()

    best = optimize.minimize(
        likelihood, fit.coefficients[:2], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    assert 2 * (best.fun + fit.log_likelihood) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)


def test_a_far_end_is_found():
    """A single event: 8.3 standard errors down, where the normal interval would end at 3.9."""
    y, x = np.array([5.0, 6, 4, 1]), np.column_stack([np.ones(4), [0, 0, 0, 1.0]])
    fit = fit_series(y, x, "poisson")
    ends = profile_interval(fit, x, 1, level=0.9999)

    def rise(rate):
        others = (15 + 1 - rate) / 3
        return 2 * (15 * np.log(5 / others) - np.log(rate)) - stats.chi2.ppf(0.9999, 1)

    rate = optimize.brentq(rise, 1e-9, 1, xtol=1e-20)
    assert ends.low == pytest.approx(np.log(rate / ((16 - rate) / 3)), rel=1e-9) and ends.converged
    assert ends.low < fit.coefficients[1] - 7 * fit.std_error[1]


def test_a_fit_without_estimate_has_no_interval():
    x = np.column_stack([np.ones(4), [0, 0, 1.0, 1]])
    ends = profile_interval(fit_series(np.array([0.0, 0, 3, 4]), x, "poisson"), x, 1)
    assert np.isnan(ends.low) and np.isnan(ends.high) and not ends.converged


def test_comparisons_of_nested_models():
    y, x = made()
    for family in ("gaussian", "quasi-poisson"):
        small, large = fit_series(y, x[:, :1], family), fit_series(y, x, family)
        found = f_test(small, large)
        expected = (small.deviance - large.deviance) / 2 / large.dispersion
        assert found.statistic == pytest.approx(expected, rel=1e-12) and found.kind == "F"
        assert found.p_value == pytest.approx(stats.f.sf(expected, 2, 37), rel=1e-9)
    small, large = fit_series(y, x[:, :1], "poisson"), fit_series(y, x, "poisson")
    found = f_test(small, large)
    assert found.statistic == pytest.approx(small.deviance - large.deviance, rel=1e-10)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 2), rel=1e-9)
    assert (found.kind, found.df1, found.df2) == ("chi2", 2, np.inf)


def test_one_gaussian_coefficient_gives_the_square_of_t():
    y, x = made()
    large = fit_series(y, x, "gaussian")
    found = f_test(fit_series(y, x[:, :2], "gaussian"), large)
    assert found.statistic == pytest.approx((large.coefficients[2] / large.std_error[2]) ** 2, rel=1e-9)
    assert found.p_value == pytest.approx(large.p_value[2], rel=1e-9)


def test_models_that_cannot_be_compared():
    y, x = made()
    with pytest.raises(ValueError, match="more columns"):
        f_test(fit_series(y, x, "poisson"), fit_series(y, x, "poisson"))
    with pytest.raises(ValueError, match="one family"):
        f_test(fit_series(y, x[:, :1], "poisson"), fit_series(y, x, "quasi-poisson"))
