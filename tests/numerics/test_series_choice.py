"""The recommended treatment of autocorrelation: what it chooses, and that its reasons say what is so."""

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.residual_tests import acf
from qieval.numerics.series_autoregression import coefficients_from_partial
from qieval.numerics.series_choice import recommended
from qieval.numerics.series_gls import gls_ar
from qieval.numerics.series_linearised import linearised, recommended_linearised
from qieval.numerics.series_regression import fit_series
from qieval.numerics.series_small_samples import kenward_roger


def regressors(n: int) -> np.ndarray:
    at = np.arange(n)
    after = (at >= n // 2).astype(float)
    return np.column_stack([np.ones(n), at, after, after * (at - n // 2)]).astype(float)


def autoregressive(n: int, partial: list[float], seed: int) -> np.ndarray:
    phi = coefficients_from_partial(np.array(partial))
    noise = np.random.default_rng(seed).standard_normal(n + 200)
    out = np.zeros(n + 200)
    for t in range(phi.size, n + 200):
        out[t] = phi @ out[t - phi.size : t][::-1] + noise[t]
    return out[200:]


def test_order_one_unless_something_is_left():
    x, at = regressors(60), np.arange(60)
    y = autoregressive(60, [0.5], seed=1)
    found = recommended(y, x, at)
    fit = gls_ar(y, x, at)
    small = kenward_roger(fit, x, at)
    assert (found.order, found.adequate) == (1, True) and "order 1" in found.choice
    np.testing.assert_array_equal(found.coefficients, fit.coefficients)
    np.testing.assert_array_equal(found.covariance, small.covariance)
    t = fit.coefficients / np.sqrt(np.diag(small.covariance))
    np.testing.assert_allclose(found.p_values, 2 * stats.t.sf(np.abs(t), small.df), rtol=1e-10)


def test_reasons_hold_the_figures():
    x, at = regressors(60), np.arange(60)
    y = autoregressive(60, [0.5], seed=1)
    found = recommended(y, x, at)
    residuals = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert f"autocorrelation {acf(residuals, at, 1)[0]:.2f} at lag 1" in found.reasons[0]
    assert f"estimated as {found.fit.phi[0]:.2f}" in found.reasons[1]
    assert "4 coefficients fitted to 60 points" in found.reasons[1]
    assert "no autocorrelation is found" in found.reasons[2]
    assert f"{found.df.min():.1f} to {found.df.max():.1f}" in found.reasons[3]
    assert len(found.reasons) == 4


def test_a_higher_order_where_the_innovations_ask_for_it():
    x, at = regressors(240), np.arange(240)
    y = autoregressive(240, [0.3, 0.5], seed=2)
    found = recommended(y, x, at)
    assert found.order >= 2 and found.fit.phi.size == found.order
    fits = [gls_ar(y, x, at, order) for order in (1, 2, 3, 4)]
    assert found.adequate and fits[0].aicc > found.fit.aicc
    drop = fits[0].aicc - found.fit.aicc
    assert f"{drop:.1f} below order 1" in found.reasons[2]


def test_a_season_left_out_is_said():
    x, at = regressors(120), np.arange(120)
    y = autoregressive(120, [0.3], seed=3) + 3 * np.cos(2 * np.pi * at / 12)
    found = recommended(y, x, at, season=12)
    assert not found.adequate and any("look at the trend, the season" in reason for reason in found.reasons)


def test_drift_is_said():
    y = np.random.default_rng(4).standard_normal(80).cumsum()
    found = recommended(y, np.ones((80, 1)), np.arange(80))
    assert any("random walk" in reason for reason in found.reasons)


def test_short_series_and_gaps():
    at = np.delete(np.arange(15), [4, 5])
    x = regressors(15)[at]
    found = recommended(autoregressive(15, [0.4], seed=5)[at], x, at)
    assert found.order == 1 and np.all(np.isfinite(found.p_values)) and np.all(found.df >= 2)
    with pytest.raises(ValueError, match="too few"):
        recommended(np.arange(6.0) ** 2, regressors(6), np.arange(6))


@pytest.mark.parametrize("family", ["poisson", "quasi-poisson", "negative binomial", "binomial", "gaussian"])
def test_linearised_regression_returns_the_fit(family):
    """Least squares of the linearised outcome gives coefficients, Pearson residuals and dispersion back."""
    n = 60
    x, rng = regressors(n), np.random.default_rng(6)
    y = rng.negative_binomial(5, 0.2, n).astype(float)
    extra = {"trials": np.full(n, 200.0)} if family == "binomial" else {}
    fit = fit_series(y, x, family, **extra)
    outcome, weighted = linearised(fit, x)
    found, *_ = np.linalg.lstsq(weighted, outcome, rcond=None)
    np.testing.assert_allclose(found, fit.coefficients, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(outcome - weighted @ found, fit.pearson, atol=1e-6 * np.abs(fit.pearson).max())


def test_counts_with_an_offset_and_no_autocorrelation_are_near_quasi_poisson():
    n = 400
    x, rng = regressors(n), np.random.default_rng(7)
    exposure = rng.uniform(50, 150, n) * 1e3
    y = rng.poisson(exposure * 2e-3).astype(float)
    fit = fit_series(y, x, "quasi-poisson", offset=np.log(exposure))
    found = recommended_linearised(fit, x, np.arange(n))
    assert "Pearson" in found.reasons[0] and found.choice.startswith("quasi-poisson")
    errors = np.sqrt(np.diag(fit.covariance))
    np.testing.assert_allclose(found.coefficients, fit.coefficients, atol=0.3 * errors.max())
    assert np.all(np.abs(found.coefficients - fit.coefficients) < 0.3 * errors)
    rho = found.fit.phi[0]
    np.testing.assert_allclose(np.diag(found.covariance), errors**2 * (1 + rho) / (1 - rho), rtol=0.1)
