"""Synthetic control on simulated panels whose truth is known: size of tests, coverage, bias.

Factor panels with 39 donors and 5 periods after the start, as in the larger study benchmarks/
coverage_synthetic.py, whose figures stand in docs/validation.md. Bounds are three Monte Carlo standard errors
from what is expected. Seeds are fixed.
"""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import method_of
from qieval.numerics.conformal import conformal_average, conformal_intervals, conformal_p_value
from qieval.numerics.placebo_inversion import confidence_set
from qieval.numerics.placebo_units import placebo_units, ratio_ranks
from qieval.numerics.prediction_intervals import prediction_intervals
from qieval.numerics.predictor_weights import inverse_variance_v, nested
from qieval.numerics.synthetic_did import Study, fit_study
from qieval.numerics.synthetic_did_errors import bootstrap_errors, jackknife_errors, placebo_errors
from qieval.numerics.synthetic_did_weights import EXACT

UNITS, POST, NOISE, LEVEL = 40, 5, 0.5, 0.9

pytestmark = pytest.mark.slow


def panel(seed: int, pre: int, *, trend: float = 0.0, treated: str = "at random", units: int = UNITS):
    """Outcomes (t, n) without an effect, the treated unit first: level, two factors, perhaps a trend."""
    rng = np.random.default_rng([31, seed, pre, units])
    t = pre + POST
    factors = rng.standard_normal((t, 2))
    for at in range(1, t):
        factors[at] = 0.5 * factors[at - 1] + np.sqrt(0.75) * factors[at]
    factors = np.column_stack([trend * (np.arange(t) - pre), np.ones(t), factors])
    loadings = rng.standard_normal((4, units))
    if treated == "steepest of four":
        first = np.argmax(loadings[0, :4])
        loadings[:, [0, first]] = loadings[:, [first, 0]]
    elif treated == "mean of three":
        loadings[:, 0] = loadings[:, 1:4].mean(axis=1)
    return rng.standard_normal((t, 1)) + factors @ loadings + NOISE * rng.standard_normal((t, units))


def split(y):
    return np.ascontiguousarray(y[:, 0]), np.ascontiguousarray(y[:, 1:])


def study(y, pre: int, treated: int = 1) -> Study:
    first = np.where(np.arange(y.shape[1]) < treated, pre, y.shape[0])
    return Study(np.ascontiguousarray(y.T), first, optimiser=EXACT)


def gap(y, pre: int) -> float:
    return float(placebo_units(y, pre, which=[0]).gaps[pre:].mean())


def around(share: float, samples: int) -> tuple[float, float]:
    """Three Monte Carlo standard errors below and above a share."""
    wide = 3 * np.sqrt(share * (1 - share) / samples)
    return share - wide, share + wide


def is_off(values, errors: float = 3.0) -> bool:
    """Whether the mean of values lies more than some Monte Carlo errors from 0."""
    values = np.asarray(values, dtype=float)
    return bool(abs(values.mean()) > errors * values.std(ddof=1) / np.sqrt(values.size))


@pytest.mark.parametrize("pre", [5, 20])
def test_placebo_test_is_exact_where_any_unit_might_have_been_treated(pre):
    """With the treated unit in the pools all units are treated alike, however short the past."""
    samples, p_values = 400, []
    for seed in range(samples):
        units = placebo_units(panel(seed, pre), pre, include_treated_in_pools=True)
        p_values.append(ratio_ranks(units, 0).p_value)
    for size in (0.05, 0.1, 0.5):
        low, high = around(size, samples)
        assert low <= np.mean(np.array(p_values) <= size + 1e-9) <= high, size


def test_placebo_test_rejects_too_often_where_the_treated_unit_fits_better_than_others():
    """A known weakness: donors that others cannot follow have ratios near one, and a good fit has not."""
    samples, p_values = 250, []
    for seed in range(samples):
        units = placebo_units(panel(seed, 20, treated="mean of three"), 20, exclude=[0])
        p_values.append(ratio_ranks(units, 0).p_value)
    assert np.mean(np.array(p_values) <= 0.1 + 1e-9) > around(0.1, samples)[1]


def test_placebo_intervals_cover():
    """Pools without the treated unit, as by default."""
    samples, covered = 300, []
    for seed in range(samples):
        gaps = placebo_units(panel(seed, 20), 20, exclude=[0]).gaps
        pieces = confidence_set(gaps, 0, 20, LEVEL).pieces
        covered.append(bool(np.any((pieces[:, 0] <= 0) & (pieces[:, 1] >= 0))))
    low, high = around(LEVEL, samples)
    assert low <= np.mean(covered) <= high, np.mean(covered)


@pytest.mark.parametrize("treated", ["at random", "mean of three"])
def test_conformal_test_keeps_its_size(treated):
    samples = 400
    p_values = [
        conformal_p_value(*split(panel(seed, 20, treated=treated)), 20).p_value for seed in range(samples)
    ]
    assert np.mean(np.array(p_values) <= 0.1) <= around(0.1, samples)[1]
    assert np.mean(np.array(p_values) <= 0.5) >= 0.3


def test_sdid_placebo_intervals_cover():
    samples, covered, normal = 120, [], []
    for seed in range(samples):
        given = study(panel(seed, 20), 20)
        found = placebo_errors(given, fit_study(given), level=LEVEL)
        covered.append(found.interval[0] <= 0 <= found.interval[1])
        normal.append(found.normal_interval[0] <= 0 <= found.normal_interval[1])
    assert np.mean(covered) >= around(LEVEL, samples)[0], np.mean(covered)
    assert np.mean(normal) >= around(LEVEL, samples)[0], np.mean(normal)


def test_sdid_with_several_treated_units():
    """Eight of 32 treated: standard errors are near the spread of the estimates."""
    samples, estimates, errors = 60, [], {"bootstrap": [], "jackknife": []}
    for seed in range(samples):
        given = study(panel(seed, 15, units=32), 15, treated=8)
        fitted = fit_study(given)
        estimates.append(fitted.estimate)
        errors["bootstrap"].append(bootstrap_errors(given, fitted, draws=60, level=LEVEL).std_error)
        errors["jackknife"].append(jackknife_errors(given, fitted, level=LEVEL).std_error)
    assert not is_off(estimates)
    spread = np.std(estimates, ddof=1)
    slack = 3 / np.sqrt(2 * samples)
    for method, found in errors.items():
        assert 1 - slack <= np.mean(found) / spread <= 1 + slack + 0.2, method


def test_prediction_intervals_are_never_too_sure_where_true_weights_exist():
    samples = 60
    covered = {"gaussian": [], "location-scale": [], "quantile": []}
    for seed in range(samples):
        target, donors = split(panel(seed, 30, treated="mean of three")[:31])
        found = prediction_intervals(target, donors, 30)
        for method, held in covered.items():
            low, high = found.effects(target, method)[0]
            held.append(low <= 0 <= high)
    for method, held in covered.items():
        assert np.mean(held) >= around(LEVEL, samples)[0], (method, np.mean(held))


def test_a_longer_past_means_less_bias_where_units_were_chosen_for_their_trend():
    """The estimate of a unit that was chosen for its trend is off upwards, the more the shorter the past."""
    samples, mean, error = 300, {}, {}
    for pre in (5, 40):
        outcomes = [panel(seed, pre, trend=0.2, treated="steepest of four") for seed in range(samples)]
        found = np.array([gap(y, pre) for y in outcomes])
        mean[pre], error[pre] = found.mean(), found.std(ddof=1) / np.sqrt(samples)
        changes = [y[pre:].mean(axis=0) - y[:pre].mean(axis=0) for y in outcomes]
        differences = np.array([change[0] - change[1:].mean() for change in changes])
        assert is_off(differences, 5.0) and differences.mean() > found.mean() > 0
    assert mean[5] > 3 * error[5], mean
    assert mean[5] - mean[40] > 3 * np.hypot(error[5], error[40]), (mean, error)


def test_nested_predictor_weights_find_the_predictors_that_matter():
    """Outcomes follow two of five predictors; the search does better than predictors that count alike."""
    rng = np.random.default_rng(5)
    better = []
    for _ in range(40):
        x = rng.standard_normal((5, 31))
        x[:2, 0] = x[:2, 1:4].mean(axis=1)
        paths = np.cumsum(rng.standard_normal((30, 2)), axis=0)
        y = paths @ x[:2] + 0.3 * rng.standard_normal((30, 31))
        data = x[:, 0], x[:, 1:], y[:20, 0], y[:20, 1:]
        searched, alike = nested(*data, seed=1), inverse_variance_v(*data)
        off = [abs(float((y[20:, 0] - y[20:, 1:] @ fit.weights).mean())) for fit in (searched, alike)]
        better.append(off[1] - off[0])
    assert is_off(better) and np.mean(better) > 0


def test_an_effect_moves_estimates_and_intervals_by_itself():
    """So simulations without an effect say how intervals fare with one."""
    effect, pre = 3.0, 20
    y = panel(4, pre)
    moved = y.copy()
    moved[pre:, 0] += effect

    def everything(outcomes):
        units = placebo_units(outcomes, pre, exclude=[0])
        placebo = confidence_set(units.gaps, 0, pre, LEVEL)
        target, donors = split(outcomes)
        average = conformal_average(target, donors, pre, LEVEL)
        first = conformal_intervals(target, donors, pre, LEVEL)
        fitted = fit_study(study(outcomes, pre))
        errors = placebo_errors(study(outcomes, pre), fitted, level=LEVEL)
        prediction = prediction_intervals(target, donors, pre).effects(target, "gaussian")
        return np.concatenate(
            [
                units.gaps[pre:, 0],
                [placebo.low, placebo.high, average.low, average.high],
                first.low,
                first.high,
                [fitted.estimate, *errors.interval, *errors.normal_interval],
                prediction.ravel(),
            ]
        )

    np.testing.assert_allclose(everything(moved), everything(y) + effect, rtol=1e-7, atol=1e-7)


def test_the_public_path_recovers_an_effect():
    """From the data frame to the interval, and the same numbers as the parts."""
    samples, pre, covered, found = 80, 20, [], []
    design = qe.SyntheticControl(
        outcome="y", unit="site", time="month", treated="pilot", start=pre, level=LEVEL
    )
    for seed in range(samples):
        y = panel(seed, pre)
        y[pre:, 0] += 2.0
        t, n = y.shape
        frame = pd.DataFrame(
            {"y": y.T.ravel(), "site": np.repeat(np.arange(n), t), "month": np.tile(np.arange(t), n)}
        ).assign(pilot=lambda held: held["site"] == 0)
        row = method_of(design).refit(design, frame).estimates.iloc[0]
        found.append(row["estimate"])
        assert row["estimate"] == pytest.approx(gap(y, pre), rel=1e-9)
        covered.append(row["conf_low"] <= 2.0 <= row["conf_high"])
    assert not is_off(np.array(found) - 2.0)
    low, high = around(LEVEL, samples)
    assert low <= np.mean(covered) <= high, np.mean(covered)
