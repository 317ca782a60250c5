import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

from qieval.numerics.noise_bounds import (
    fitted_quantile,
    moment_design,
    noise_bounds,
    polynomial,
)
from qieval.numerics.prediction_intervals import PredictionModel, data_driven_rho, prediction_intervals
from qieval.numerics.weight_range import WeightSet, extreme_predictions


def panel(t, j, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    donors = 20 + np.cumsum(rng.standard_normal((t, j)), axis=0)
    weights = np.append([0.5, 0.3, 0.2], np.zeros(j - 3))
    return donors @ weights + noise * rng.standard_normal(t), donors


def slow_extreme(allowed, aim, error, sign):
    """The same problem for a general-purpose solver, from several starts."""
    j = aim.size
    rng = np.random.default_rng(0)
    shift = allowed.weights
    inside = {
        "type": "ineq",
        "fun": lambda w: error @ error - np.sum((allowed.z @ (w - shift) - error) ** 2),
        "jac": lambda w: -2 * allowed.z.T @ (allowed.z @ (w - shift) - error),
    }
    total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(j)}
    best = 0.0
    for start in range(5):
        found = optimize.minimize(
            lambda w: sign * aim @ (w - shift),
            shift if start == 0 else np.clip(shift + 0.05 * rng.standard_normal(j), allowed.floor, 1),
            jac=lambda w: sign * aim,
            bounds=[(low, 1) for low in allowed.floor],
            constraints=[inside, total],
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 400},
        )
        if found.success:
            best = min(best, found.fun)
    return sign * best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("m", "j"), [(9, 4), (6, 9)])
def test_extreme_predictions_against_a_general_solver(m, j, seed):
    rng = np.random.default_rng(seed)
    z = 5 + np.cumsum(rng.standard_normal((m, j)), axis=0)
    weights = rng.dirichlet(np.full(j, 0.5))
    floor = np.where(weights < 0.2, weights, 0.0)
    allowed = WeightSet(weights, floor, z)
    aims, errors = rng.standard_normal((2, j)), 0.4 * rng.standard_normal((2, m))
    found, converged = extreme_predictions(allowed, aims, errors)
    assert converged
    for n, draw in np.ndindex(2, 2):
        assert found[0, n, draw] == pytest.approx(slow_extreme(allowed, aims[n], errors[draw], 1), abs=2e-6)
        assert found[1, n, draw] == pytest.approx(slow_extreme(allowed, aims[n], errors[draw], -1), abs=2e-6)


def test_extremes_with_two_donors_by_hand():
    # With w = (1/2 + d, 1/2 - d) the fit moves by 2 d in one row z = (1, -1): d lies between 0 and e.
    allowed = WeightSet(np.array([0.5, 0.5]), np.zeros(2), np.array([[1.0, -1.0]]))
    found, _ = extreme_predictions(allowed, np.array([[1.0, 0.0]]), np.array([[0.3], [-0.3], [5.0]]))
    np.testing.assert_allclose(found[0, 0], [0.0, -0.3, 0.0], atol=1e-9)
    np.testing.assert_allclose(found[1, 0], [0.3, 0.0, 0.5], atol=1e-9)


def test_no_noise_leaves_only_equally_good_weights():
    z = np.array([[1.0, 1.0, 3.0], [2.0, 2.0, 0.0]])
    allowed = WeightSet(np.array([0.4, 0.4, 0.2]), np.zeros(3), z)
    found, converged = extreme_predictions(allowed, np.array([[1.0, 0.0, 0.0]]), np.zeros((1, 2)))
    assert converged
    np.testing.assert_allclose(found[:, 0, 0], [-0.4, 0.4], atol=1e-6)


def test_nothing_to_choose_with_one_donor_or_no_room():
    one = WeightSet(np.ones(1), np.zeros(1), np.ones((3, 1)))
    assert extreme_predictions(one, np.ones((2, 1)), np.ones((4, 3)))[0].shape == (2, 2, 4)
    full = WeightSet(np.array([0.5, 0.5]), np.array([0.5, 0.5]), np.eye(2))
    assert not extreme_predictions(full, np.eye(2), np.ones((1, 2)))[0].any()


@pytest.mark.parametrize("share", [0.025, 0.25, 0.6])
def test_quantile_regression_reaches_a_lower_loss_than_statsmodels(share):
    rng = np.random.default_rng(1)
    design = np.column_stack([rng.standard_normal((33, 2)), np.ones(33)])
    values = design @ np.array([1.0, -2, 3]) + rng.standard_normal(33)

    def loss(fitted):
        left = values - fitted
        return np.sum(np.where(left > 0, share, share - 1) * left)

    ours = fitted_quantile(design, values, share, design)
    theirs = sm.QuantReg(values, design).fit(q=share).predict(design)
    assert loss(ours) <= loss(theirs) + 1e-9
    assert loss(theirs) <= 1.001 * loss(ours)


def test_noise_bounds_with_only_a_constant_by_hand():
    residual = np.random.default_rng(0).standard_normal(41)
    ones = np.ones((41, 1))
    found = noise_bounds(ones, residual, np.ones((2, 1)), 0.1)
    mean, left = residual.mean(), residual - residual.mean()
    quartiles = [fitted_quantile(ones, left, share, ones[:1])[0] for share in (0.25, 0.75)]
    sigma = min(np.exp(np.log(left**2).mean() / 2), (quartiles[1] - quartiles[0]) / 1.34)
    half = np.sqrt(2 * np.log(20)) * sigma
    np.testing.assert_allclose(found["gaussian"], [[mean - half, mean + half]] * 2)
    inner = np.quantile(left / np.exp(np.log(left**2).mean() / 2), [0.05, 0.95])
    np.testing.assert_allclose(found["location-scale"], [mean + sigma * inner] * 2)
    np.testing.assert_allclose(found["quantile"][0], [sorted(residual)[2], sorted(residual)[38]])


def test_exact_fits_have_no_noise():
    assert not noise_bounds(np.ones((9, 1)), np.zeros(9), np.ones((1, 1)), 0.1)["gaussian"].any()


def test_terms_of_the_moments():
    donors = np.array([[1.0, 10.0], [2.0, 30.0], [4.0, 60.0], [8.0, 50.0]])
    rows, terms = moment_design(donors, 1, 1, differenced=True)
    assert rows.tolist() == [2, 3]
    np.testing.assert_array_equal(terms, [[1, 20, 2, 30, 1], [2, 30, 4, -10, 1]])
    rows, terms = moment_design(donors, 0, 0, differenced=True)
    assert rows.tolist() == [0, 1, 2, 3] and terms.tolist() == [[1.0]] * 4
    rows, terms = moment_design(donors, 2, 0, differenced=False)
    assert terms[1].tolist() == [2, 30, 4, 60, 900, 1]
    assert polynomial(donors, 0).shape == (4, 1)


def test_intervals_are_put_together_from_both_parts():
    target, donors = panel(40, 6)
    found = prediction_intervals(target, donors, 34, PredictionModel(draws=60))
    assert found.converged and found.simplified == (False, False) and found.alpha == pytest.approx(0.1)
    np.testing.assert_allclose(found.synthetic, donors[34:] @ found.weights)
    assert (found.in_sample[:, 0] <= found.synthetic).all() and (
        found.synthetic <= found.in_sample[:, 1]
    ).all()
    for method, bounds in found.total.items():
        np.testing.assert_allclose(bounds, found.in_sample + found.noise[method])
        np.testing.assert_allclose(found.effects(target, method)[:, 0], target[34:] - bounds[:, 1])


def test_same_seed_same_numbers_whatever_the_units():
    target, donors = panel(30, 5)
    model = PredictionModel(draws=30, seed=4)
    one, again = (prediction_intervals(target, donors, 25, model) for _ in range(2))
    np.testing.assert_array_equal(one.total["gaussian"], again.total["gaussian"])
    scaled = prediction_intervals(target * 1e6, donors * 1e6, 25, model)
    np.testing.assert_allclose(scaled.total["gaussian"], one.total["gaussian"] * 1e6, rtol=1e-6)
    assert scaled.rho == pytest.approx(one.rho)


def test_models_too_large_for_the_rows_become_constants():
    target, donors = panel(18, 5)
    found = prediction_intervals(target, donors, 12, PredictionModel(u_lags=1, draws=20))
    assert found.simplified == (True, True)
    plain = prediction_intervals(target, donors, 12, PredictionModel(u_order=0, e_order=0, draws=20))
    assert plain.simplified == (False, False)


def test_weights_below_rho_keep_their_floor_but_never_all():
    target, donors = panel(40, 6)
    found = prediction_intervals(target, donors, 34, PredictionModel(rho=0.99, draws=20))
    assert found.loose.sum() == 1 and found.loose[np.argmax(found.weights)]
    wide = prediction_intervals(target, donors, 34, PredictionModel(rho=0.0, draws=20))
    assert (np.diff(wide.in_sample) >= np.diff(found.in_sample) - 1e-9).all()


def test_rho_by_hand():
    donors = np.column_stack([np.arange(16.0), 2 * np.arange(16.0), np.ones(16)])
    residual = np.tile([0.001, -0.001], 8)
    sd = np.arange(16.0).std(ddof=1)
    root = np.sqrt(np.log(3) * 2 * np.log(16) / 16)
    weights = np.array([0.5, 0.5, 0.0])
    assert 0.001 * 2 / sd * root < 0.001
    assert data_driven_rho(donors, residual, weights) == 0.2
    assert data_driven_rho(donors, 100 * residual, weights) == pytest.approx(0.1 * 2 / sd * root)
    assert data_driven_rho(donors, 1e5 * residual, weights) == 0.2
    assert data_driven_rho(np.ones((16, 2)), residual, weights[:2]) == 0.2


def test_coverage_of_the_untreated_outcome():
    held = []
    for seed in range(30):
        target, donors = panel(45, 4, seed=seed)
        model = PredictionModel(draws=40, seed=seed)
        low, high = prediction_intervals(target, donors, 40, model).total["gaussian"].T
        held.append(np.mean((low <= target[40:]) & (target[40:] <= high)))
    assert np.mean(held) > 0.9 - 3 * stats.sem(held)
