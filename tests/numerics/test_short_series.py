import numpy as np
import pytest

from qieval.numerics.short_series import (
    FactorModel,
    factor_model,
    naive_rmspe,
    simulate,
    simulated_bias,
)


def panel(t, j, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    factor = np.cumsum(0.3 + rng.standard_normal(t))
    loadings = rng.uniform(0.5, 1.5, j + 1)
    everyone = 10 + np.outer(factor, loadings) + noise * rng.standard_normal((t, j + 1))
    return everyone[:, 1:], everyone[:, 0]


def test_naive_predictions_by_hand():
    target = np.array([2.0, 4.0, 6.0, 100.0])
    donors = np.array([[0.0, 3.0], [2.0, 5.0], [1.0, 7.0], [0.0, 0.0]])
    found = naive_rmspe(target, donors, 3)
    gaps = np.array([0.5, 0.5, 2.0])
    assert found["mean of the donors"] == pytest.approx(np.sqrt(np.mean(gaps**2)))
    assert found["mean of the donors, level shifted"] == pytest.approx(np.std(gaps))
    assert found["last value"] == 2.0
    assert found["nearest donor"] == 1.0
    assert np.isnan(naive_rmspe(target, donors, 1)["last value"])


def test_one_entry_for_each_length():
    donors, target = panel(20, 8)
    found = simulated_bias(donors, target, draws=40)
    assert found.periods_before.tolist() == [5, 10, 20, 40] and found.converged
    assert all(column.shape == (4,) for column in found.columns().values())
    assert set(found.columns()) >= {"periods_before", "rmse", "rmse_before", "rmse_in_spreads", "perfect_fit"}
    np.testing.assert_allclose(found.rmse_in_spreads, found.rmse / np.std(target))
    assert simulated_bias(donors[:4], target[:4], draws=5).periods_before.tolist() == [2, 4, 8]


def test_short_series_with_many_donors_fit_too_well_and_miss_more():
    donors, target = panel(24, 40, noise=1.0)
    found = simulated_bias(donors, target, draws=120, seed=1)
    # Fitted gaps understate the noise of the shortest series and gaps after the start exceed them.
    assert found.rmse_before[0] < 0.6 * found.rmse_before[-1] < 1.1 * found.noise
    assert found.rmse[0] > 2 * found.rmse_before[0]
    assert found.rmse[0] > found.rmse[-1]


def test_two_periods_among_many_donors_are_fitted_perfectly():
    donors, target = panel(8, 40, noise=1.0)
    found = simulated_bias(donors, target, draws=60)
    assert found.periods_before[0] == 2 and found.perfect_fit[0] > 0.5 > found.perfect_fit[-1]


def test_same_seed_same_numbers_whatever_the_units():
    donors, target = panel(16, 6)
    one, again = (simulated_bias(donors, target, draws=20, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.rmse, again.rmse)
    scaled = simulated_bias(donors * 1e4, target * 1e4, draws=20, seed=7)
    np.testing.assert_allclose(scaled.rmse, one.rmse * 1e4, rtol=1e-6)
    assert not np.array_equal(simulated_bias(donors, target, draws=20, seed=8).rmse, one.rmse)


def test_the_model_recovers_its_parts():
    donors, target = panel(200, 30, seed=3)
    model = factor_model(donors, target)
    assert model.loadings.shape == (31, 1)
    np.testing.assert_allclose(model.noise, 0.5, rtol=0.2)
    assert abs(model.autocorrelation) < 0.05 and abs(model.carried[0]) < 0.2
    # The factor's drift is 0.3 a period in units in which the mean loading is about 1.
    assert abs(model.drift[0] * model.loadings.mean()) == pytest.approx(0.3, abs=0.15)


def test_simulated_series_have_the_moments_of_the_model():
    model = FactorModel(
        level=np.array([5.0, 1.0]),
        loadings=np.zeros((2, 1)),
        drift=np.zeros(1),
        step=np.eye(1),
        carried=np.zeros(1),
        noise=np.array([2.0, 0.5]),
        autocorrelation=0.6,
    )
    found = simulate(model, 40_000, slice(0, 10), np.random.default_rng(0))
    np.testing.assert_allclose(found.mean(axis=0), model.level, atol=0.08)
    np.testing.assert_allclose(found.std(axis=0), model.noise, rtol=0.03)
    centred = found - model.level
    np.testing.assert_allclose((centred[1:] * centred[:-1]).mean(axis=0) / model.noise**2, 0.6, atol=0.03)


def test_constant_donors_have_no_factor():
    model = factor_model(np.ones((10, 4)), np.arange(10.0))
    assert model.loadings.shape == (5, 0)
    assert simulate(model, 12, slice(0, 5), np.random.default_rng(0)).shape == (12, 5)
