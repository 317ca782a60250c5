from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.series_regression import fit_series
from qieval.numerics.series_regression_effects import Contrast, contrast_draws, contrast_effects

LINKS = ("identity", "log", "logit")


def made(link, m=6, seed=0):
    """Coefficients, a covariance and a contrast: the third column is the change."""
    generator = np.random.default_rng(seed)
    factual = np.column_stack([np.ones(m), np.linspace(0, 1, m), np.ones(m), np.arange(m) / m])
    without = factual.copy()
    without[:, 2:] = 0.0
    root = generator.normal(0, 0.05, (4, 4))
    weight = generator.uniform(5, 20, m) if link == "logit" else None
    contrast = Contrast(factual, without, link, offset=generator.normal(0, 0.2, m), weight=weight)
    return np.array([2.0, 0.5, -0.3, 0.1]), root @ root.T, contrast


def quantities(coefficients, contrast):
    """Every effect by its definition: rows of (fitted, counterfactual, difference, ratio, log ratio)."""
    fitted, other = contrast.means(coefficients)
    out = {}
    for name, f, c in (("by_period", fitted, other), ("cumulative", np.cumsum(fitted), np.cumsum(other))):
        values = {
            "fitted": f,
            "counterfactual": c,
            "difference": f - c,
            "ratio": f / c,
            "log_ratio": np.log(f / c),
        }
        out |= {(name, key): value for key, value in values.items()}
    return out


@pytest.mark.parametrize("link", LINKS)
def test_values_and_errors_by_numerical_derivatives(link):
    coefficients, covariance, contrast = made(link)
    effects = contrast_effects(coefficients, covariance, contrast)
    expected = quantities(coefficients, contrast)
    step = 1e-6
    for (track, name), value in expected.items():
        found = getattr(getattr(effects, track), name)
        slopes = []
        for shift in step * np.eye(4):
            up, down = (quantities(coefficients + side * shift, contrast)[track, name] for side in (1, -1))
            slopes.append((up - down) / (2 * step))
        gradient = np.array(slopes).T
        np.testing.assert_allclose(found.value, value, rtol=1e-13, err_msg=name)
        errors = np.sqrt(((gradient @ covariance) * gradient).sum(axis=1))
        np.testing.assert_allclose(found.error, errors, rtol=1e-6, err_msg=name)
    assert effects.mean_difference.value[0] == pytest.approx(expected["by_period", "difference"].mean())
    assert effects.mean_difference.error[0] == pytest.approx(effects.cumulative.difference.error[-1] / 6)


def test_a_log_linear_level_change_has_the_error_of_its_coefficient():
    coefficients, covariance, contrast = made("log")
    level = replace(contrast, factual=contrast.factual * [1, 1, 1, 0])
    found = contrast_effects(coefficients, covariance, level)
    for track in (found.by_period, found.cumulative):
        assert track.log_ratio.value == pytest.approx(np.full(6, -0.3), rel=1e-12)
        assert track.log_ratio.error == pytest.approx(np.full(6, np.sqrt(covariance[2, 2])), rel=1e-9)


def test_fitted_total_of_counts_with_a_constant_is_the_observed_total():
    y = np.random.default_rng(2).poisson(50, 24).astype(float)
    x = np.column_stack([np.ones(24), np.arange(24), np.arange(24) >= 12])
    fit = fit_series(y, x, "poisson")
    after = x[12:]
    contrast = Contrast(after, after * [1, 1, 0], "log")
    total = contrast_effects(fit.coefficients, fit.covariance, contrast).cumulative
    assert total.fitted.value[-1] == pytest.approx(y[12:].sum(), rel=1e-12)
    assert total.fitted.error[-1] == pytest.approx(np.sqrt(y[12:].sum()), rel=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_simulation_agrees_with_the_delta_method(link):
    coefficients, covariance, contrast = made(link)
    total = contrast_effects(coefficients, covariance / 25, contrast).cumulative
    draws = contrast_draws(coefficients, covariance / 25, contrast, 40_000, np.random.default_rng(1))
    for found, values in ((total.difference, draws.difference), (total.log_ratio, draws.log_ratio)):
        assert values.std() == pytest.approx(found.error[-1], rel=0.02)
        assert values.mean() == pytest.approx(found.value[-1], abs=0.02 * found.error[-1] + 1e-3)


def test_draws_have_the_covariance_whatever_the_units():
    coefficients, covariance, contrast = made("identity")
    units = np.array([1.0, 1e-6, 1e4, 1.0])
    scaled = replace(
        contrast, factual=contrast.factual / units, counterfactual=contrast.counterfactual / units
    )
    plain, other = (
        contrast_draws(b, v, c, 3000, np.random.default_rng(4))
        for b, v, c in (
            (coefficients, covariance, contrast),
            (coefficients * units, covariance * np.outer(units, units), scaled),
        )
    )
    assert other.difference == pytest.approx(plain.difference, rel=1e-7)
    assert len(plain.fitted) == 3000


def test_draws_without_variance_are_the_estimate():
    coefficients, covariance, contrast = made("log")
    draws = contrast_draws(coefficients, 0 * covariance, contrast, 5, np.random.default_rng(0))
    assert draws.fitted == pytest.approx(np.full(5, contrast.means(coefficients)[0].sum()), rel=1e-14)


def test_ratios_need_positive_totals():
    x = np.array([[1.0, 1.0], [1.0, 1.0]])
    contrast = Contrast(x, x * [1, 0], "identity", offset=np.array([0.0, 4.0]))
    found = contrast_effects(np.array([0.0, -1.0]), np.eye(2), contrast).by_period
    assert found.difference.value == pytest.approx([-1.0, -1.0])
    assert np.isnan(found.ratio.value).tolist() == [True, False]
    assert np.isnan(found.ratio.error).tolist() == [True, False]
    assert np.isnan(found.log_ratio.value).tolist() == [True, False]
    assert np.isnan(found.log_ratio.error).tolist() == [True, False]
    assert found.log_ratio.value[1] == pytest.approx(np.log(3 / 4))
