"""ARIMA, structural models and forecasts against R (arima, CausalImpact 1.3.0) and statsmodels 0.15.0."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.evidence_averaging import averaged_forecast
from qieval.numerics.series_arima import fit_arima
from qieval.numerics.series_forecast import forecast_without, path_effects
from qieval.numerics.series_structural import Structure, fit_structural

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))
    return {case["id"]: case["values"] for case in held["cases"]}


def data(name):
    return pd.read_csv(SHARED / "data" / name)


def seatbelts():
    frame = data("scits_seatbelts.csv")
    law, petrol, kms = (frame[name].to_numpy(float) for name in ("law", "PetrolPrice", "kms"))
    return frame, np.log(frame["drivers"].to_numpy(float)), law, petrol, kms


def agree(fit, expected, order, narrow):
    """Bars of the reference: log-likelihood 1e-4, coefficients 1e-4, standard errors 1e-3 relative."""
    assert fit.converged, fit.problem
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-7)
    assert fit.aic == pytest.approx(expected["aic"], abs=1e-6)
    assert fit.sigma2 == pytest.approx(expected["sigma2"], rel=1e-6)
    for i, name in enumerate(order):
        assert fit.parameters[i] == pytest.approx(expected["coef"][name], rel=4e-5), name
        # R differentiates with steps of 0.001 in every parameter: too wide for a slope in months
        wide = 0.02 if name in narrow else 1.2e-3
        assert fit.errors[i] == pytest.approx(expected["se"][name], rel=wide), name


def test_month_dummies_with_ar1(reference):
    frame, y, law, petrol, kms = seatbelts()
    months = (frame["month"].to_numpy()[:, None] == np.arange(2, 13)).astype(float)
    x = np.column_stack([np.ones(192), frame["t"], law, np.log(petrol), np.log(kms), months])
    order = ["ar1", "intercept", "t", "law", "lp", "lk", *(f"fm{i}" for i in range(2, 13))]
    expected = reference["seatbelts_its"]["arima100_xreg_month_dummies"]
    agree(fit_arima(y, x, (1, 0, 0)), expected, order, {"t"})


def test_help_page_of_uk_driver_deaths(reference):
    _, y, law, petrol, _ = seatbelts()
    x = np.column_stack([np.ones(192), petrol, law])
    fit = fit_arima(y / np.log(10), x, (1, 0, 0), (1, 0, 0, 12))
    order = ["ar1", "sar1", "intercept", "PetrolPrice", "law"]
    agree(fit, reference["seatbelts_its"]["arima_R_help_example_log10"], order, set())


def test_seasonal_differences_as_r_has_them_and_exactly(reference):
    _, y, law, petrol, kms = seatbelts()
    x = np.column_stack([law, np.log(petrol), np.log(kms)])
    expected = reference["seatbelts_its"]["arima_101_011_12_xreg"]
    order = ["ar1", "ma1", "sma1", "law", "lp", "lk"]
    agree(fit_arima(y, x, (1, 0, 1), (0, 1, 1, 12), initial_variance=1e6), expected, order, set())
    exact = fit_arima(y, x, (1, 0, 1), (0, 1, 1, 12))
    assert exact.log_likelihood == pytest.approx(204.8505013, abs=1e-6)  # simple differencing, statsmodels
    for i, name in enumerate(order):
        assert exact.parameters[i] == pytest.approx(expected["coef"][name], rel=1e-3)
        assert exact.errors[i] == pytest.approx(expected["se"][name], rel=2e-3)


def test_simulated_series_with_ar1(reference):
    frame = data("scits_its_sim_ar1.csv")
    turn = 2 * np.pi * frame["t"] / 12
    parts = [np.ones(96), frame["t"], frame["post"], frame["t_after"], np.sin(turn), np.cos(turn)]
    fit = fit_arima(frame["y"].to_numpy(), np.column_stack(parts), (1, 0, 0))
    order = ["ar1", "intercept", "t", "post", "t_after", "sin1", "cos1"]
    agree(fit, reference["sim_ar1_its"]["arima100"], order, set())
    short = reference["sim_ar1_its"]["statsmodels"]["sim_sarimax_100"]["loglik"]
    assert short < fit.log_likelihood  # lbfgs stopped before the optimum


@pytest.mark.parametrize(
    ("key", "structure", "skip"),
    [
        ("seatbelts_uc_local_level_seasonal12", Structure(season=12), 0),
        ("seatbelts_uc_fixed_seasonal", Structure(season=12, season_changes=False), 0),
        ("seatbelts_uc_local_level_freq_seasonal_6", Structure(season=12, season_form="harmonic"), 1),
    ],
)
def test_structural_seat_belts(reference, key, structure, skip):
    _, y, law, petrol, kms = seatbelts()
    x = np.column_stack([law, np.log(petrol), np.log(kms)])
    fit = fit_structural(y, x, structure, skip)
    expected = reference["seatbelts_uc"][key]
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-3)
    assert fit.log_likelihood > expected["loglik"] - 1e-6
    for value, name in zip(fit.coefficients, ("law", "lp", "lk"), strict=True):
        assert value == pytest.approx(expected["params"][f"beta.{name}"], rel=1e-3), name


def impact():
    frame = data("scits_causalimpact.csv")
    return frame["y"].to_numpy(), frame[["x1", "x2", "x3"]].to_numpy()


def test_counterfactual_by_maximum_likelihood(reference):
    y, x = impact()
    found = forecast_without(y, 70, x, Structure(), restricted=False)
    expected = reference["causalimpact_a"]["statsmodels_uc_local_level"]
    np.testing.assert_allclose(found.mean, expected["pred"], atol=1e-4)
    effects = path_effects(y[70:], found)
    assert effects.average.value == pytest.approx(expected["avg_effect"], abs=1e-4)
    assert effects.cumulative.value == pytest.approx(expected["cum_effect"], abs=3e-3)
    assert effects.relative.value == pytest.approx(expected["rel"], abs=1e-6)


def test_averaged_counterfactual_agrees_with_causal_impact(reference):
    y, x = impact()
    found = averaged_forecast(y, 70, x)
    effects = path_effects(y[70:], found.forecast)
    expected = reference["causalimpact_a"]["R"]["a_niter10000"]
    average = expected["average"]
    assert effects.average.value == pytest.approx(average["AbsEffect"]["mean"], abs=0.02)
    assert effects.average.error == pytest.approx(average["AbsEffect.sd"]["mean"], abs=0.01)
    assert effects.average.lower == pytest.approx(average["AbsEffect.lower"]["mean"], abs=0.04)
    assert effects.average.upper == pytest.approx(average["AbsEffect.upper"]["mean"], abs=0.04)
    assert effects.relative.value == pytest.approx(average["RelEffect"]["mean"], abs=1e-3)
    seen = y[70:].mean()
    assert seen - found.average_upper == pytest.approx(average["AbsEffect.lower"]["mean"], abs=0.04)
    assert seen - found.average_lower == pytest.approx(average["AbsEffect.upper"]["mean"], abs=0.04)
    np.testing.assert_allclose(found.forecast.mean, expected["point_pred_mean_over_seeds"], atol=0.02)
