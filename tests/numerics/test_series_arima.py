"""ARIMA with regressors, transfer functions, choice of order, and forecasts from them."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from qieval.numerics.series_arima import fit_arima
from qieval.numerics.series_arima_choice import choose_arima, kpss_statistic, seasonal_strength
from qieval.numerics.series_arma import Order, from_free, to_free
from qieval.numerics.series_differenced import polynomial
from qieval.numerics.series_forecast import forecast_without, path_effects
from qieval.numerics.series_transfer import fit_transfer, transfer_pulse, transfer_step

LONG = 4000


def autocovariance(order, parameters, n, variance=1.0):
    """Slow and independent: weights of the infinite moving average, cut off far out."""
    phi, theta = order.polynomials(parameters)
    weights = np.zeros(LONG)
    for j in range(LONG):
        weights[j] = theta[j] if j < theta.size else 0.0
        for i in range(1, min(j, phi.size - 1) + 1):
            weights[j] -= phi[i] * weights[j - i]
    first = np.array([weights[: LONG - lag] @ weights[lag:] for lag in range(n)])
    at = np.arange(n)
    return variance * first[np.abs(at[:, None] - at)]


def simulated(n=90, seed=1):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=n + 50)
    error = np.zeros(n + 50)
    for t in range(1, n + 50):
        error[t] = 0.6 * error[t - 1] + noise[t] + 0.3 * noise[t - 1]
    step = (np.arange(n) >= 60).astype(float)
    x = np.column_stack([np.ones(n), np.arange(n), step])
    return x @ [50.0, 0.1, -4.0] + error[50:], x


@pytest.mark.parametrize("seasonal", [(0, 0, 0, 0), (1, 0, 0, 4), (0, 1, 1, 4)])
def test_likelihood_is_the_normal_density_of_the_differenced_series(seasonal):
    y, x = simulated(seed=2)
    x = x[:, 2:] if seasonal[1] else x
    fit = fit_arima(y, x, (1, 0, 1), seasonal)
    w = polynomial(np.column_stack([y, x]), fit.order.difference)
    r = len(fit.order.names)
    dense = autocovariance(fit.order, fit.parameters[:r], len(w), fit.sigma2)
    density = multivariate_normal(w[:, 1:] @ fit.coefficients, dense)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(density.logpdf(w[:, 0]), abs=1e-8)
    white = np.linalg.solve(np.linalg.cholesky(dense), w[:, 0] - w[:, 1:] @ fit.coefficients)
    np.testing.assert_allclose(fit.residuals[fit.order.difference.size - 1 :], white, atol=1e-7)


@pytest.mark.parametrize("seed", [4, 5, 8])
def test_a_larger_model_is_never_less_likely(seed):
    y, x = simulated(seed=seed)
    small, large = fit_arima(y, x, (1, 0, 1)), fit_arima(y, x, (2, 0, 2))
    assert large.log_likelihood >= small.log_likelihood - 1e-6


def test_missing_values_are_left_out_of_the_density():
    y, x = simulated()
    y[[0, 20, 21, 70]] = np.nan
    seen = np.isfinite(y)
    fit = fit_arima(y, x, (1, 0, 1))
    dense = autocovariance(fit.order, fit.parameters[:2], len(y), fit.sigma2)[np.ix_(seen, seen)]
    left = (y - x @ fit.coefficients)[seen]
    assert fit.log_likelihood == pytest.approx(multivariate_normal(cov=dense).logpdf(left), abs=1e-8)
    np.testing.assert_allclose(
        fit.residuals[seen], np.linalg.solve(np.linalg.cholesky(dense), left), atol=1e-7
    )
    assert fit.n_used == 86 and np.isnan(fit.residuals[~seen]).all()


def test_gaps_in_a_differenced_series_agree_with_a_diffuse_filter():
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    y, x = simulated()
    y[[2, 30, 31, 89]] = np.nan
    step = x[:, 2:]
    fit = fit_arima(y, step, (1, 1, 1), (0, 1, 1, 4))
    model = SARIMAX(y, exog=step, order=(1, 1, 1), seasonal_order=(0, 1, 1, 4), initial_variance=1e9)
    filtered = model.smooth([*fit.coefficients, *fit.parameters[:3], fit.sigma2])
    proper = np.isfinite(fit.residuals)
    assert proper.sum() == fit.n_used
    assert filtered.llf_obs[proper].sum() == pytest.approx(fit.log_likelihood, abs=1e-4)
    np.testing.assert_allclose(
        filtered.standardized_forecasts_error[0][proper], fit.residuals[proper], atol=1e-4
    )


def test_information_is_the_hessian_of_the_density():
    y, x = simulated(60)
    fit = fit_arima(y, x[:, :1], (1, 0, 0))

    def loss(values):
        phi, mean = values
        error = y - mean
        scaled = np.append(error[0] * np.sqrt(1 - phi**2), error[1:] - phi * error[:-1])
        return 0.5 * y.size * np.log(np.mean(scaled**2)) - 0.5 * np.log(1 - phi**2)

    h = np.array([1e-4, 1e-3])
    at = fit.parameters
    hessian = np.empty((2, 2))
    for i, a in enumerate(np.diag(h)):
        for j, b in enumerate(np.diag(h)):
            corners = loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)
            hessian[i, j] = corners / (4 * h[i] * h[j])
    np.testing.assert_allclose(fit.full_covariance, np.linalg.inv(hessian), rtol=1e-4)


def test_units_and_origin_do_not_matter():
    y, x = simulated()
    fit = fit_arima(y, x, (1, 0, 1))
    other = fit_arima(1e6 + 1000 * y, x * [1, 1, 0.001], (1, 0, 1))
    np.testing.assert_allclose(other.parameters[:2], fit.parameters[:2], rtol=1e-5)
    assert other.coefficients[2] == pytest.approx(1e6 * fit.coefficients[2], rel=1e-6)
    assert other.errors[-1] == pytest.approx(1e6 * fit.errors[-1], rel=1e-5)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood - 90 * np.log(1000), abs=1e-6)


def test_white_noise_is_least_squares_and_the_drift_is_the_mean_step():
    y, x = simulated()
    fit = fit_arima(y, x, (0, 0, 0))
    ols, squares, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(fit.coefficients, ols, rtol=1e-9)
    np.testing.assert_allclose(fit.covariance, squares / 90 * np.linalg.inv(x.T @ x), rtol=1e-7)
    walk = fit_arima(y, np.zeros((90, 0)), (0, 1, 0), trend=True)
    assert walk.names == ("drift",)
    assert walk.coefficients[0] == pytest.approx((y[-1] - y[0]) / 89)


def test_a_large_initial_variance_is_the_differenced_likelihood():
    y, _ = simulated()
    none = np.zeros((90, 0))
    exact = fit_arima(y, none, (0, 1, 1), (0, 1, 1, 4))
    near = fit_arima(y, none, (0, 1, 1), (0, 1, 1, 4), initial_variance=1e9)
    assert near.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-4)
    assert near.n_used == exact.n_used and near.residuals.size == 90
    y[2] = np.nan
    with pytest.raises(ValueError, match="first 5 periods"):
        fit_arima(y, none, (0, 1, 1), (0, 1, 1, 4), initial_variance=1e6)


def test_parameters_without_bounds_go_both_ways():
    order = Order(2, 0, 3, 1, 0, 1, 12)
    free = np.random.default_rng(0).normal(size=7)
    parameters = from_free(order, free)
    np.testing.assert_allclose(to_free(order, parameters), free)
    phi, theta = order.polynomials(parameters)
    assert phi.size == 15 and theta.size == 16
    assert (np.abs(np.roots(phi)) < 1).all() and (np.abs(np.roots(theta)) < 1).all()


def test_a_unit_root_has_no_standard_error_and_is_said():
    rng = np.random.default_rng(5)
    y = np.arange(60) * 0.3 + rng.normal(size=60)
    fit = fit_arima(y, np.zeros((60, 0)), (0, 1, 1), trend=True)
    assert fit.parameters[0] == pytest.approx(-1, abs=1e-3)
    assert not fit.converged and "unit root" in fit.problem and "ma1" in fit.problem
    assert np.isnan(fit.errors[0]) and fit.coefficients[0] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((30, 2)), "linearly dependent"),
        (np.full((30, 1), np.nan), "finite wherever"),
        (np.zeros((30, 1)), "cannot be estimated"),
        (np.ones((29, 1)), "29"),
    ],
)
def test_impossible_regressors_are_refused(x, message):
    y = np.random.default_rng(0).normal(size=30)
    with pytest.raises(ValueError, match=message):
        fit_arima(y, x, (1, 0, 0))


def test_impossible_series_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit_arima(np.arange(6.0), np.zeros((6, 0)), (0, 1, 0), (0, 1, 0, 4))
    with pytest.raises(ValueError, match="leave nothing"):
        fit_arima(np.full(30, 4.0), np.ones((30, 1)), (1, 0, 0))
    with pytest.raises(ValueError, match="constant after differencing"):
        fit_arima(np.random.default_rng(0).normal(size=30), np.ones((30, 1)), (0, 1, 0))


def test_the_order_is_found_and_every_trial_listed():
    y, x = simulated(140, seed=4)
    found = choose_arima(y, x[:, 2:], differences=(1, 0), most=(1, 1, 0, 0))
    assert len(found.tried) == 4 and found.kpss == () and found.fit.names[-1] == "drift"
    found = choose_arima(y - x @ [50.0, 0.1, -4.0], np.zeros((140, 0)), most=(2, 1, 0, 0))
    assert len(found.tried) == 6
    assert [one.aicc for one in found.tried] == sorted(one.aicc for one in found.tried)
    assert (found.order.d, found.order.p) == (0, 1)
    assert found.fit.aicc == pytest.approx(min(one.aicc for one in found.tried if not one.problem), abs=1e-6)


def test_differences_are_chosen_by_their_tests():
    rng = np.random.default_rng(2)
    assert kpss_statistic(rng.normal(size=200)) < 0.463 < kpss_statistic(rng.normal(size=200).cumsum())
    assert kpss_statistic(np.ones(10)) == 0
    month = np.tile([3.0, 0, -3, 0], 20)
    assert seasonal_strength(month, 4) == pytest.approx(1)
    assert seasonal_strength(rng.normal(size=80), 4) < 0.4
    assert np.isnan(seasonal_strength(month[:9], 4))


def test_answers_of_a_transfer_function():
    np.testing.assert_allclose(transfer_step(6, 2, 0.5), [0, 0, 1, 1.5, 1.75, 1.875])
    np.testing.assert_allclose(transfer_pulse(5, 1, 0.5), [0, 1, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(transfer_step(4, 1, 0.0), [0, 1, 1, 1])


@pytest.mark.parametrize("response", ["step", "pulse"])
def test_a_gradual_effect_is_recovered_at_the_largest_likelihood(response):
    y, x = simulated(120, seed=8)
    make = transfer_step if response == "step" else transfer_pulse
    y = y - x @ [0, 0.1, -4.0] + 6 * make(120, 60, 0.7)
    fit = fit_transfer(y, x[:, :1], 60, Order(1, 0, 1), response, np.array([0.0, 0.5, 0.7]))
    assert fit.converged and abs(fit.delta - 0.7) < 3 * fit.delta_error
    assert abs(fit.omega - 6) < 3 * fit.omega_error
    assert fit.long_run == pytest.approx(fit.omega / (1 - fit.delta))
    near = [
        fit_arima(y, np.column_stack([x[:, 0], make(120, 60, fit.delta + move)]), (1, 0, 1))
        for move in (-0.01, 0.0, 0.01)
    ]
    assert near[1].log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-7)
    assert near[1].log_likelihood > max(near[0].log_likelihood, near[2].log_likelihood)
    assert near[1].coefficients[1] == pytest.approx(fit.omega, rel=1e-4)
    bend = near[0].log_likelihood + near[2].log_likelihood - 2 * near[1].log_likelihood
    assert fit.delta_error == pytest.approx(np.sqrt(-(0.01**2) / bend), rel=0.02)
    assert fit.profile.max() <= fit.log_likelihood + 1e-8


def test_an_abrupt_effect_has_delta_at_its_end():
    y, x = simulated(seed=11)
    fit = fit_transfer(y + 8 * x[:, 2], x[:, :2], 60, Order(1, 0, 1), deltas=np.array([0.0, 0.4]))
    if fit.delta == 0.0:
        assert "delta is at an end" in fit.problem and np.isnan(fit.delta_error)
        assert fit.long_run == fit.omega and fit.long_run_error == pytest.approx(fit.omega_error)
    else:
        assert fit.delta < 3 * fit.delta_error
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_transfer(y, x[:, :1], 60, Order(1), deltas=np.array([1.0]))


def test_forecast_is_the_conditional_normal_with_the_coefficients_error():
    y, x = simulated()
    x = x[:, :2]
    gap = y.copy()
    gap[[10, 59]] = np.nan
    found = forecast_without(gap, 60, x, Order(1, 0, 1))
    past = np.flatnonzero(np.isfinite(gap[:60]))
    dense = autocovariance(found.model.order, found.model.parameters[:2], 90)
    own, cross, ahead = dense[np.ix_(past, past)], dense[60:, past], dense[60:, 60:]
    inverse = np.linalg.inv(own)
    bread = np.linalg.inv(x[past].T @ inverse @ x[past])
    b = bread @ x[past].T @ inverse @ gap[past]
    left = gap[past] - x[past] @ b
    scale = left @ inverse @ left / (past.size - 2)
    weights = cross @ inverse
    open_ = x[60:] - weights @ x[past]
    np.testing.assert_allclose(found.mean, x[60:] @ b + weights @ left, rtol=1e-8)
    np.testing.assert_allclose(
        found.covariance, scale * (ahead - weights @ cross.T + open_ @ bread @ open_.T), rtol=1e-6, atol=1e-9
    )
    assert found.df == 56


def test_effects_add_up_with_the_whole_covariance():
    y, x = simulated()
    found = forecast_without(y, 60, x[:, :2], Order(1, 0, 1))
    seen = y[60:].copy()
    seen[3] = np.nan
    effects = path_effects(seen, found, 0.9)
    w = np.isfinite(seen).astype(float)
    total = np.nansum(seen - found.mean)
    error = np.sqrt(w @ found.covariance @ w)
    assert effects.cumulative.value == pytest.approx(total)
    assert effects.cumulative.error == pytest.approx(error)
    assert effects.average.value == pytest.approx(total / 29)
    assert effects.average.error == pytest.approx(error / 29)
    assert effects.summed[-1] == pytest.approx(total) and np.isnan(effects.effect[3])
    from scipy import stats

    assert effects.average.upper == pytest.approx(total / 29 + stats.t.ppf(0.95, 58) * error / 29)
    assert effects.average.p_value == pytest.approx(2 * stats.t.sf(abs(total / error), 58))
    expected = found.mean @ w
    assert effects.relative.value == pytest.approx(total / expected)
    assert effects.relative.error == pytest.approx((total + expected) * error / expected**2)
    with pytest.raises(ValueError, match="no value"):
        path_effects(np.full(30, np.nan), found)


def test_a_forecast_needs_both_sides_and_its_regressors():
    y, x = simulated()
    with pytest.raises(ValueError, match="on each side"):
        forecast_without(y, 90, x, Order(1))
    x[80] = np.nan
    with pytest.raises(ValueError, match="every period to come"):
        forecast_without(y, 60, x, Order(1))
