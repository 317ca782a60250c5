"""Structural models, and forecasts averaged over control series, against dense normal densities."""

import itertools

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.evidence_averaging import averaged_forecast, mixture_quantile
from qieval.numerics.evidence_subsets import Priors
from qieval.numerics.series_forecast import forecast_without, path_effects
from qieval.numerics.series_structural import Structure, fit_structural


def series(n=80, seed=3, season=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).cumsum(axis=0)
    y = 20 + x @ [1.0, -0.5] + (0.3 * rng.normal(size=n)).cumsum() + rng.normal(size=n)
    if season:
        y += np.tile(rng.normal(size=season) * 3, n // season + 1)[:n]
    return y, x


def statsmodels(y, x, structure):
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    level = "deterministic constant" if structure.level == "fixed" else structure.level
    season = {}
    if structure.season and structure.season_form == "dummy":
        season = {"seasonal": structure.season, "stochastic_seasonal": structure.season_changes}
    elif structure.season:
        one = {"period": structure.season, "harmonics": structure.waves}
        season = {
            "freq_seasonal": [one],
            "stochastic_freq_seasonal": [structure.season_changes],
        }
    model = UnobservedComponents(y, level, exog=x, **season)
    model.initialize_approximate_diffuse(1e9)
    return model


@pytest.mark.parametrize(
    "structure",
    [
        Structure("fixed"),
        Structure("local level"),
        Structure("local linear trend"),
        Structure("smooth trend"),
        Structure(season=4),
        Structure(season=4, season_changes=False),
        Structure("local linear trend", season=7, season_form="harmonic"),
        Structure(season=12, season_form="harmonic", harmonics=2),
        Structure("smooth trend", season=4),
    ],
)
def test_likelihood_is_that_of_the_diffuse_filter(structure):
    y, x = series(season=structure.season)
    fit = fit_structural(y, x, structure)
    filtered = statsmodels(y, x, structure).smooth([*fit.variances, *fit.coefficients])
    assert fit.converged
    assert filtered.llf == pytest.approx(fit.log_likelihood, abs=2e-4)
    lost = structure.difference.size - 1
    np.testing.assert_allclose(
        filtered.standardized_forecasts_error[0][lost:], fit.residuals[lost:], atol=2e-3
    )


def test_no_better_likelihood_is_nearby():
    y, x = series(season=4)
    fit = fit_structural(y, x, Structure("local linear trend", season=4))
    model = statsmodels(y, x, fit.structure)
    best = np.array([*fit.variances, *fit.coefficients])
    rng = np.random.default_rng(0)
    for _ in range(40):
        other = best * np.exp(0.05 * rng.normal(size=best.size))
        other[:4] += 0.002 * rng.random(4)
        assert model.loglike(other) <= fit.log_likelihood + 2e-4


def test_gaps_agree_with_the_filter():
    y, x = series(season=4)
    y[[20, 21, 50]] = np.nan
    fit = fit_structural(y, x, Structure(season=4))
    filtered = statsmodels(y, x, fit.structure).smooth([*fit.variances, *fit.coefficients])
    assert filtered.llf == pytest.approx(fit.log_likelihood, abs=2e-4) and fit.n_used == 73


def test_a_fixed_level_is_least_squares():
    y, x = series()
    fit = fit_structural(y, x, Structure("fixed"))
    full = np.column_stack([x, np.ones(80)])
    found = np.linalg.lstsq(full, y, rcond=None)[0]
    np.testing.assert_allclose(fit.coefficients, found[:2], rtol=1e-8)
    assert fit.variances[0] == pytest.approx(np.sum((y - full @ found) ** 2) / 79)


def test_units_do_not_matter():
    y, x = series()
    fit = fit_structural(y, x)
    other = fit_structural(5000 + 100 * y, x * [0.01, 1], Structure())
    np.testing.assert_allclose(other.coefficients, fit.coefficients * [10_000, 100], rtol=1e-5)
    np.testing.assert_allclose(other.variances, fit.variances * 10_000, rtol=1e-4)
    np.testing.assert_allclose(other.errors, fit.errors * [10_000, 100], rtol=1e-4)


def test_standard_errors_with_known_variances_are_generalised_least_squares():
    y, x = series(40)
    fit = fit_structural(y, x)
    low = np.minimum.outer(np.arange(40.0), np.arange(40.0))
    full = np.column_stack([x, np.ones(40)])
    dense = fit.variances[0] * np.eye(40) + fit.variances[1] * low
    gls = np.linalg.inv(full.T @ np.linalg.inv(dense) @ full)[:2, :2]
    precision = np.linalg.inv(fit.full_covariance)[-2:, -2:]
    np.testing.assert_allclose(np.linalg.inv(precision), gls, rtol=1e-6)


def test_structures_that_do_not_exist_are_refused():
    for wrong in ({"season": 1}, {"season": 4, "harmonics": 3}, {"season": 4, "harmonics": 1}):
        with pytest.raises(ValueError, match="season"):
            Structure(**wrong)
    y, _ = series()
    with pytest.raises(ValueError, match="constant after differencing"):
        fit_structural(y, np.ones((80, 1)))
    with pytest.raises(ValueError, match="constant after differencing"):
        fit_structural(y, np.arange(80.0)[:, None], Structure("smooth trend"))


def test_forecast_path_agrees_with_the_filter():
    y, _ = series(season=4)
    y[30] = np.nan
    found = forecast_without(y, 60, np.zeros((80, 0)), Structure(season=4), restricted=False)
    filtered = statsmodels(y[:60], None, found.model.structure).smooth(found.model.variances)
    ahead = filtered.get_forecast(20)
    np.testing.assert_allclose(found.mean, ahead.predicted_mean, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), ahead.se_mean, rtol=1e-4)


def brute_average(y, before, x, priors):
    """Average of the future, its error and inclusion: a wide grid, dense densities, subset by subset."""
    n, k = x.shape
    seen = np.flatnonzero(np.isfinite(y[:before]))
    first, spread = y[seen[0]], y[seen].std(ddof=1)
    scaled = (y - first) / spread
    z = (x - x[:before].mean(axis=0)) / x[:before].std(axis=0, ddof=1)
    product = z.T @ z / n
    slab = priors.slab_weight * (product + np.diag(np.diag(product))) / 2
    steps = np.minimum.outer(np.arange(n), np.arange(n))
    chance = priors.inclusion(k)
    ahead = np.arange(before, n)
    total = []
    for sd in np.exp(np.linspace(-1.7, 0.1, 22)):
        for step in np.exp(np.linspace(-5.6, -2.8, 22)):
            prior = 0.0
            for value, df, guess in (
                (sd, priors.residual_df, 1 - priors.expected_r2),
                (step, priors.level_df, priors.level_sd**2),
            ):
                density = stats.gamma.logpdf(1 / value**2, df / 2, scale=2 / (df * guess))
                prior += density - 2 * np.log(value)  # the grid is even in the logarithm
            for inside in itertools.product([False, True], repeat=k):
                chosen = np.flatnonzero(inside)
                cov = np.ones((n, n)) + step**2 * steps + sd**2 * np.eye(n)
                if chosen.size:
                    block = np.linalg.inv(slab[np.ix_(chosen, chosen)])
                    cov = cov + sd**2 * z[:, chosen] @ block @ z[:, chosen].T
                own = cov[np.ix_(seen, seen)]
                weight = prior + chosen.size * np.log(chance) + (k - chosen.size) * np.log(1 - chance)
                inverse = np.linalg.inv(own)
                weight -= (np.linalg.slogdet(own)[1] + scaled[seen] @ inverse @ scaled[seen]) / 2
                gain = cov[np.ix_(ahead, seen)] @ inverse
                mean = (gain @ scaled[seen]).mean()
                rest = cov[np.ix_(ahead, ahead)] - gain @ cov[np.ix_(seen, ahead)]
                total.append((weight, mean, rest.mean(), *inside))
    table = np.array(total)
    w = np.exp(table[:, 0] - table[:, 0].max())
    w /= w.sum()
    mean = w @ table[:, 1]
    variance = w @ (table[:, 2] + table[:, 1] ** 2) - mean**2
    return first + spread * mean, spread * np.sqrt(variance), w @ table[:, 3:]


def test_averaging_agrees_with_dense_densities():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(24, 2)).cumsum(axis=0)
    y = 5 + x[:, 0] + rng.normal(size=24)
    y[[0, 7]] = np.nan
    priors = Priors(expected_size=1.5)
    found = averaged_forecast(y, 18, x, priors=priors)
    mean, error, inclusion = brute_average(y, 18, x, priors)
    assert found.forecast.converged
    assert found.forecast.mean.mean() == pytest.approx(mean, abs=2e-4)
    assert np.sqrt(found.forecast.covariance.mean()) == pytest.approx(error, rel=2e-3)
    np.testing.assert_allclose(found.inclusion, inclusion, atol=2e-3)
    assert found.weights.sum() == pytest.approx(1) and found.subsets.shape[1] == 2


def test_averaging_does_not_depend_on_units_or_the_future_outcome():
    y, x = series()
    one = averaged_forecast(y, 60, x)
    changed = 3 + 50 * y
    changed[60:] = np.nan
    other = averaged_forecast(changed, 60, 7 - 0.01 * x)
    np.testing.assert_allclose(other.forecast.mean, 3 + 50 * one.forecast.mean, rtol=1e-8)
    np.testing.assert_allclose(other.coefficients, -5000 * one.coefficients, rtol=1e-7)
    assert other.average_upper == pytest.approx(3 + 50 * one.average_upper)
    assert other.residual_sd == pytest.approx(50 * one.residual_sd)


def test_noise_is_left_out_and_columns_always_in_are_used():
    rng = np.random.default_rng(9)
    y, x = series(100)
    wave = np.sin(np.arange(100) * np.pi / 6)[:, None]
    noise = rng.normal(size=(100, 4))
    with_wave = y + 6 * wave[:, 0]
    found = averaged_forecast(with_wave, 70, np.column_stack([x, noise]), wave)
    assert (found.inclusion[:2] > 0.6).all() and (found.inclusion[2:] < 0.2).all()
    effects = path_effects(with_wave[70:] + 5, found.forecast)
    assert effects.average.lower < 5 < effects.average.upper
    assert averaged_forecast(y, 70, np.zeros((100, 0))).inclusion.size == 0


def test_controls_that_cannot_be_used_are_refused():
    y, x = series()
    with pytest.raises(ValueError, match="at most 12"):
        averaged_forecast(y, 60, np.random.default_rng(0).normal(size=(80, 13)))
    with pytest.raises(ValueError, match="does not change"):
        averaged_forecast(y, 60, np.ones((80, 1)))
    with pytest.raises(ValueError, match="every period"):
        averaged_forecast(y, 60, np.where(np.arange(80)[:, None] == 5, np.nan, x))
    with pytest.raises(ValueError, match="at least three"):
        averaged_forecast(np.ones(80), 60, x)


def test_quantile_of_two_far_normals():
    weights, centres = np.array([0.5, 0.5]), np.array([0.0, 100.0])
    assert mixture_quantile(0.25, weights, centres, np.ones(2)) == pytest.approx(0, abs=1e-9)
    assert mixture_quantile(0.75, weights, centres, np.ones(2)) == pytest.approx(100, abs=1e-9)
