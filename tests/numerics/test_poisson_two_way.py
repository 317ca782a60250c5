"""Poisson regression with unit and time effects against dummies, by hand, and under changes of units."""

from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.poisson_two_way import (
    CountRows,
    poisson_covariance,
    poisson_event,
    poisson_static,
    relative_codes,
)


def make(seed=0, units=40, periods=6, missing=0.15, k=2):
    """An unbalanced panel of over-dispersed counts in shuffled order; effect -0.3 from period 3 on."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    keep = rng.permutation(np.flatnonzero(rng.random(unit.size) > missing))
    unit, time = unit[keep], time[keep]
    x = rng.standard_normal((unit.size, k))
    exposure = rng.uniform(50, 500, unit.size)
    d = ((unit % 3 == 0) & (time >= 3)).astype(float)
    rate = np.exp(-3 + 0.5 * rng.standard_normal(units)[unit] + 0.1 * time - 0.3 * d + x @ np.full(k, 0.1))
    y = rng.poisson(exposure * rate * rng.gamma(5, 0.2, unit.size)).astype(float)
    return CountRows(unit, time, y, exposure, x, rng.uniform(0.5, 2, unit.size)), d


def dummies(rows, columns):
    """A GLM with every effect as a column: coefficients, information, score by row."""
    import statsmodels.api as sm

    parts = [columns, np.eye(rows.unit.max() + 1)[rows.unit], np.eye(rows.time.max() + 1)[rows.time][:, 1:]]
    design = np.hstack(parts)
    model = sm.GLM(
        rows.y, design, sm.families.Poisson(), offset=np.log(rows.exposure), freq_weights=rows.mass
    )
    fit = model.fit(tol=1e-14, maxiter=200)
    score = design * (rows.mass * (rows.y - fit.mu))[:, None]
    information = (design * (rows.mass * fit.mu)[:, None]).T @ design
    return fit.params, np.linalg.pinv(information, hermitian=True), score, fit


@pytest.mark.parametrize("weighted", [False, True])
def test_static_equals_dummies(weighted):
    rows, d = make()
    rows = rows if weighted else replace(rows, weights=None)
    found = poisson_static(rows, d)
    beta, bread, score, fit = dummies(rows, np.column_stack([d, rows.x]))
    np.testing.assert_allclose(np.append(found.beta, found.gamma), beta[:3], rtol=1e-8)
    np.testing.assert_allclose(found.mean, fit.mu, rtol=1e-7)
    np.testing.assert_allclose(found.score, rows.mass * (rows.y - fit.mu), atol=1e-5)
    model = poisson_covariance(found, "model").matrix
    np.testing.assert_allclose(model, bread[:3, :3], rtol=1e-6)
    pearson = np.sum(rows.mass * (rows.y - fit.mu) ** 2 / fit.mu)
    n, parameters = len(rows.y), 3 + 40 + 6 - 1
    assert found.dispersion == pytest.approx(pearson / (n - parameters), rel=1e-7)
    quasi = poisson_covariance(found, "quasi").matrix
    np.testing.assert_allclose(quasi, found.dispersion * model, rtol=1e-12)
    cluster = rows.unit // 4
    totals = np.array([score[cluster == g].sum(axis=0) for g in range(10)])
    sandwich = (bread @ totals.T @ totals @ bread)[:3, :3]
    found_sandwich = poisson_covariance(found, "cluster", cluster, "none").matrix
    np.testing.assert_allclose(found_sandwich, sandwich, rtol=1e-5, atol=1e-9)


def test_events_equal_dummies_and_a_continuous_column_works():
    rows, d = make(1)
    code = np.where((rows.unit % 3 == 0) & (rows.time != 2), rows.time - (rows.time > 2), -1)
    found = poisson_event(rows, code, 5)
    columns = (code[:, None] == np.arange(5)).astype(float)
    beta = dummies(rows, np.hstack([columns, rows.x]))[0]
    np.testing.assert_allclose(np.append(found.beta, found.gamma), beta[:7], rtol=1e-7)
    assert found.reason == ("",) * 5 and found.converged and found.iterations < 10
    dose = d * (1 + rows.unit % 2)
    static = poisson_static(rows, dose)
    np.testing.assert_allclose(
        static.beta[0], dummies(rows, np.column_stack([dose, rows.x]))[0][0], rtol=1e-7
    )


def test_two_units_by_hand():
    rows = CountRows(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([8.0, 6, 20, 30]), np.ones(4))
    found = poisson_static(rows, np.array([0.0, 1, 0, 0]))
    assert found.beta[0] == pytest.approx(np.log(6 / 8 / (30 / 20)), rel=1e-10)
    error = poisson_covariance(found, "model").std_error[0]
    assert error == pytest.approx(np.sqrt(1 / 8 + 1 / 6 + 1 / 20 + 1 / 30), rel=1e-8)
    assert np.isnan(found.dispersion)


def test_units_of_exposure_weights_and_order_do_not_matter():
    rows, d = make(2)
    one = poisson_static(rows, d)
    order = np.random.default_rng(3).permutation(len(d))
    shuffled = replace(rows.take(order), exposure=rows.exposure[order] * 1e5, weights=rows.weights[order] * 7)
    other = poisson_static(shuffled, d[order])
    np.testing.assert_allclose(other.beta, one.beta, rtol=1e-9)
    clusters = rows.unit // 2
    np.testing.assert_allclose(
        poisson_covariance(other, "cluster", clusters[order]).matrix,
        poisson_covariance(one, "cluster", clusters).matrix,
        rtol=1e-7,
        atol=1e-12,
    )


def test_units_and_events_without_counts_are_left_out_and_counted():
    rows, _ = make(4, missing=0.0)
    y = np.where((rows.unit < 2) | ((rows.unit % 3 == 0) & (rows.time == 5)), 0.0, rows.y)
    code = np.where((rows.unit % 3 == 0) & (rows.time >= 3), rows.time - 3, -1)
    found = poisson_event(replace(rows, y=y), code, 3)
    n_last = np.count_nonzero((rows.unit % 3 == 0) & (rows.time == 5) & (rows.unit >= 2))
    assert found.n_zero_units == 2 and found.n_zero_rows == 12 + n_last
    assert np.isnan(found.beta[2]) and "not one event" in found.reason[2]
    inside = (rows.unit >= 2) & (code != 2)
    again = poisson_event(replace(rows, y=y).take(inside), code[inside], 2)
    np.testing.assert_allclose(found.beta[:2], again.beta, rtol=1e-10)
    np.testing.assert_array_equal(found.kept, inside)


def test_what_cannot_be_estimated_is_said_in_words():
    rows, _ = make(5)
    everywhere = poisson_static(rows, (rows.time >= 3).astype(float))
    assert np.isnan(everywhere.beta[0]) and "cannot be told apart" in everywhere.reason[0]
    none = poisson_static(replace(rows, y=np.zeros(len(rows.y))), (rows.time >= 3).astype(float))
    assert none.fit is None and "No unit has both events" in none.problem and not none.converged
    with pytest.raises(ValueError, match="No unit has both events"):
        poisson_covariance(none)
    constant = replace(rows, x=np.column_stack([rows.x, rows.unit]))
    found = poisson_static(constant, ((rows.unit % 3 == 0) & (rows.time >= 3)).astype(float))
    assert np.isnan(found.gamma[2]) and np.isfinite(found.gamma[:2]).all()


def test_separation_by_a_covariate_does_not_pass_as_an_estimate():
    rows, d = make(6, k=1)
    flag = (np.arange(len(d)) % 11 == 0).astype(float)
    found = poisson_static(replace(rows, y=np.where(flag == 1, 0.0, rows.y), x=flag[:, None]), d)
    assert not found.converged and "did not settle" in found.reason[0] and np.isnan(found.beta).all()


def test_recovers_the_rate_ratio_with_right_errors():
    estimates, errors = [], []
    for seed in range(60):
        rows, d = make(100 + seed, units=60)
        found = poisson_static(replace(rows, weights=None), d)
        estimates.append(found.beta[0])
        errors.append(poisson_covariance(found, "cluster", rows.unit).std_error[0])
    spread = np.std(estimates, ddof=1)
    assert np.mean(estimates) == pytest.approx(-0.3, abs=4 * spread / np.sqrt(60))
    assert np.mean(errors) == pytest.approx(spread, rel=0.35)


def test_codes_of_event_time():
    code, events = relative_codes(np.array([-3.0, -1, 2, np.inf, 0]), reference=-1)
    np.testing.assert_array_equal(code, [0, -1, 2, -1, 1])
    np.testing.assert_array_equal(events, [-3, 0, 2])
