from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.adjustment import adjusted_means
from qieval.numerics.adjustment_checks import (
    calibration,
    extrapolation,
    impossible_predictions,
    influential_rows,
    overdispersion,
    shape_test,
)
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import OutcomeSpec, fit_outcome
from qieval.numerics.adjustment_weighting import doubly_robust, treatment_weights
from qieval.numerics.means import covariance


def made(n=400, seed=0, curve=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    treated = rng.random(n) < 0.5
    linear = x[:, 0] + 0.5 * x[:, 1]
    y = linear + treated * (1 + curve * linear**2) + rng.normal(0, 1 + 0.5 * np.abs(x[:, 0]), n)
    return Sample(y=y, treated=treated, x=x)


def test_linear_regression_of_a_risk_leaves_the_range():
    y, treated = np.array([0.0, 0, 1, 0, 1, 1]), np.array([1, 0, 1, 0, 1, 0], dtype=bool)
    x = np.array([[-3.0], [-3], [0], [0], [3], [3]])
    fit = fit_outcome(Sample(y=y, treated=treated, x=x))
    rates = fit.rates
    found = impossible_predictions(fit)
    assert (
        found.treated == pytest.approx(np.mean((rates[:, 0] < 0) | (rates[:, 0] > 1))) and found.treated > 0
    )
    assert (found.lowest, found.highest) == (rates.min(), rates.max())
    assert impossible_predictions(fit, -5, 5).untreated == 0


def test_leverage_and_range_against_explicit_hat_values():
    rng = np.random.default_rng(1)
    treated = np.arange(60) < 25
    x = rng.standard_normal((60, 3)) + treated[:, None] * 1.5
    found = extrapolation(Sample(y=np.zeros(60), treated=treated, x=x * [1, 1e5, 1] + [0, 7, 1e3]))
    full = np.column_stack([np.ones(60), x])
    for arm, share, outside in (
        (treated, found.treated, found.range_treated),
        (~treated, found.control, found.range_control),
    ):
        other = full[~arm]
        inverse = np.linalg.inv(other.T @ other)
        hat = np.einsum("ij,jk,ik->i", full, inverse, full)
        np.testing.assert_allclose(found.distance[arm], hat[arm] / hat[~arm].max(), rtol=1e-8)
        assert share == pytest.approx(np.mean(hat[arm] > hat[~arm].max())) and share > 0
        low, high = x[~arm].min(axis=0), x[~arm].max(axis=0)
        np.testing.assert_allclose(outside, np.mean((x[arm] < low) | (x[arm] > high), axis=0))


def test_a_level_that_only_one_arm_has_is_infinitely_far():
    rng = np.random.default_rng(1)
    treated = np.arange(60) < 30
    x = np.column_stack([rng.standard_normal(60), treated & (np.arange(60) < 6)]).astype(float)
    found = extrapolation(Sample(y=np.zeros(60), treated=treated, x=x, weights=np.arange(60) % 4 + 1.0))
    assert np.isinf(found.distance).tolist() == (np.arange(60) < 6).tolist()
    same = extrapolation(Sample(y=np.zeros(60), treated=treated, x=np.tile(x[:30], (2, 1))))
    assert (same.treated, same.control) == (0, 0)


def test_shape_test_is_the_robust_score_test_of_added_powers():
    sample = made()
    fit = fit_outcome(sample, OutcomeSpec(interacted=True))
    found = shape_test(fit, treated=True)
    own = sample.treated
    design = np.column_stack([np.ones(own.sum()), sample.x[own]])
    hat = design @ np.linalg.solve(design.T @ design, design.T)
    predicted = hat @ sample.y[own]
    powers = np.column_stack([predicted**2, predicted**3])
    each = (powers - hat @ powers) * (sample.y[own] - predicted)[:, None]
    total = each.sum(axis=0)
    assert found.statistic == pytest.approx(total @ np.linalg.solve(each.T @ each, total), rel=1e-6)
    assert found.rank == 2 and found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 2), rel=1e-9)


def test_shape_test_finds_the_arm_that_is_curved():
    for family, transform in (("gaussian", lambda y: y), ("gamma", np.exp)):
        sample = made(n=1000, seed=2, curve=0.3)
        fit = fit_outcome(replace(sample, y=transform(sample.y / 2)), OutcomeSpec(family, True))
        assert shape_test(fit, treated=True).p_value < 1e-3 < shape_test(fit, treated=False).p_value


def test_shape_test_has_the_right_size():
    rejected = 0
    for seed in range(200):
        sample = made(n=300, seed=seed)
        rejected += shape_test(fit_outcome(sample), treated=bool(seed % 2)).p_value < 0.1
    assert 10 <= rejected <= 30


def test_nothing_to_test_with_one_binary_covariate():
    sample = replace(made(), x=(made().x[:, :1] > 0).astype(float))
    assert shape_test(fit_outcome(sample, OutcomeSpec(interacted=True)), treated=True) is None
    assert shape_test(fit_outcome(replace(sample, x=np.empty((400, 0)))), treated=False) is None


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_calibration_slope_is_one_for_own_rows_and_half_for_predictions_twice_as_extreme(family):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(500)
    mean = {"gaussian": x, "binomial": 1 / (1 + np.exp(-x)), "poisson": np.exp(x)}[family]
    draw = {"gaussian": lambda: mean + rng.normal(size=500), "binomial": lambda: rng.random(500) < mean}
    y = draw.get(family, lambda: rng.poisson(mean))().astype(float)
    sample = Sample(y=y, treated=np.arange(500) % 2 == 0, x=x[:, None])
    own = fit_outcome(sample, OutcomeSpec(family, True))
    found = calibration(y[sample.treated], own.mean[sample.treated], family)
    assert found.slope == pytest.approx(1, abs=1e-8) and found.observed == pytest.approx(found.expected)
    twice = {"gaussian": 2 * x, "binomial": 1 / (1 + np.exp(-2 * x)), "poisson": np.exp(2 * x)}[family]
    halved = calibration(y, twice, family, cluster=np.arange(500) // 5)
    assert abs(halved.slope - 0.5) < 3 * halved.std_error < 0.3


def test_calibration_needs_predictions_with_a_finite_link():
    with pytest.raises(ValueError, match="finite link"):
        calibration(np.array([0.0, 1.0]), np.array([0.0, 0.5]), "binomial")
    with pytest.raises(ValueError, match="must differ"):
        calibration(np.array([0.0, 1.0]), np.array([0.5, 0.5]), "gaussian")


def test_overdispersion_by_the_regression_of_cameron_and_trivedi():
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    x, treated = rng.standard_normal((800, 1)), rng.random(800) < 0.5
    mean = np.exp(0.5 + 0.3 * x[:, 0])
    sample = Sample(y=rng.poisson(mean * rng.gamma(2, 0.5, 800)).astype(float), treated=treated, x=x)
    fit = fit_outcome(sample, OutcomeSpec("poisson"))
    found = overdispersion(fit)
    left = ((sample.y - fit.mean) ** 2 - sample.y) / fit.mean
    auxiliary = sm.OLS(left, fit.mean).fit(cov_type="HC0")
    assert found.excess == pytest.approx(auxiliary.params[0], rel=1e-8)
    assert found.std_error == pytest.approx(auxiliary.bse[0], rel=1e-8)
    assert found.p_value == pytest.approx(stats.norm.sf(auxiliary.tvalues[0]), rel=1e-6)
    assert abs(found.excess - 0.5) < 3 * found.std_error and found.pearson > 1.3
    true = overdispersion(fit_outcome(sample, OutcomeSpec("negative binomial")))
    assert true.pearson == pytest.approx(1, abs=0.15) and np.isnan(true.excess)


def test_leaving_an_influential_row_out_changes_the_effect_as_foretold():
    sample = made(n=300)
    y = sample.y.copy()
    y[7] += 40
    sample = replace(sample, y=y)

    def effect(rows):
        part = Sample(y=sample.y[rows], treated=sample.treated[rows], x=sample.x[rows])
        return [adjusted_means(fit_outcome(part)), doubly_robust(fit_outcome(part), treatment_weights(part))]

    everyone = np.arange(300)
    for whole, without in zip(effect(everyone), effect(everyone[everyone != 7]), strict=True):
        found = influential_rows(whole, 5)
        assert found.rows[0] == 7
        change = (without.mean1 - without.mean0) - (whole.mean1 - whole.mean0)
        assert found.change[0] == pytest.approx(change, rel=0.06)
        error = np.sqrt(np.array([1, -1]) @ covariance(whole) @ [1, -1])
        np.testing.assert_allclose(found.in_errors, found.change / error)
        own = np.sort(np.square(whole.influence @ [1, -1]))[::-1]
        assert found.top_share == pytest.approx(own[:3].sum() / own.sum()) and found.top_share > 0.5
