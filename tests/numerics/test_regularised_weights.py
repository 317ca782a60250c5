import numpy as np
import pytest
from scipy.optimize import minimize

from qieval.numerics.regularised_weights import l1_l2, lasso, ridge, shrinkage_bound, unconstrained

PRE = 14


def panel(n_donors, rows=20, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((rows, 3)).cumsum(axis=0)
    donors = 8 + factors @ rng.standard_normal((3, n_donors)) + 0.5 * rng.standard_normal((rows, n_donors))
    return 9 + factors @ np.array([1.5, -1.0, 0.8]) + 0.5 * rng.standard_normal(rows), donors


def slope(fit, target, donors):
    """Gradient of the sum of squared gaps before the start in the weights."""
    return -2 * donors[:PRE].T @ fit.gaps[:PRE]


METHODS = [unconstrained, ridge, lasso, l1_l2]


@pytest.mark.parametrize("intercept", [False, True])
def test_least_squares_with_more_rows_than_donors(intercept):
    target, donors = panel(6)
    fit = unconstrained(target, donors, PRE, intercept=intercept)
    design = np.column_stack([donors[:PRE], np.ones(PRE)]) if intercept else donors[:PRE]
    expected = np.linalg.solve(design.T @ design, design.T @ target[:PRE])
    np.testing.assert_allclose(fit.weights, expected[:6], rtol=1e-8)
    assert fit.intercept == pytest.approx(expected[6] if intercept else 0.0, rel=1e-8)
    assert fit.unique and fit.bound == np.inf and fit.multiplier == 0


@pytest.mark.parametrize("intercept", [False, True])
def test_least_squares_with_more_donors_than_rows_has_the_least_norm(intercept):
    target, donors = panel(30)
    fit = unconstrained(target, donors, PRE, intercept=intercept)
    x1, x0 = target[:PRE], donors[:PRE]
    if intercept:
        x1, x0 = x1 - x1.mean(), x0 - x0.mean(axis=0)
    np.testing.assert_allclose(fit.weights, np.linalg.pinv(x0, rcond=1e-10) @ x1, atol=1e-9)
    np.testing.assert_allclose(fit.gaps[:PRE], 0, atol=1e-9)
    assert not fit.unique


@pytest.mark.parametrize("n_donors", [6, 30])
@pytest.mark.parametrize("bound", [0.05, 0.2])
def test_ridge_is_ridge_regression_at_its_multiplier(n_donors, bound):
    target, donors = panel(n_donors)
    fit = ridge(target, donors, PRE, bound=bound)
    assert np.linalg.norm(fit.weights) == pytest.approx(bound, rel=1e-12)
    gram = donors[:PRE].T @ donors[:PRE] + fit.multiplier * np.eye(n_donors)
    expected = np.linalg.solve(gram, donors[:PRE].T @ target[:PRE])
    np.testing.assert_allclose(fit.weights, expected, rtol=1e-6)
    assert fit.multiplier > 0 and fit.unique and fit.converged


def test_bounds_that_do_not_bind_leave_least_squares():
    target, donors = panel(6)
    free = unconstrained(target, donors, PRE)
    for method in (ridge, lasso):
        fit = method(target, donors, PRE, bound=50.0)
        np.testing.assert_array_equal(fit.weights, free.weights)
        assert fit.multiplier == 0 and fit.bound == 50


@pytest.mark.parametrize("n_donors", [6, 30])
@pytest.mark.parametrize("bound", [0.3, 0.8])
def test_lasso_has_no_duality_gap(n_donors, bound):
    target, donors = panel(n_donors)
    fit = lasso(target, donors, PRE, bound=bound)
    assert np.abs(fit.weights).sum() == pytest.approx(bound, rel=1e-12)
    falls = slope(fit, target, donors)
    gap = falls @ fit.weights + bound * np.abs(falls).max()
    assert abs(gap) <= 1e-9 * np.sum(target[:PRE] ** 2)
    assert fit.converged and np.isnan(fit.multiplier)


def test_lasso_of_orthogonal_donors_by_hand():
    # Least squares 3, -1, 0.5; a threshold of 1.5 leaves 1.5 of the first alone.
    donors = np.vstack([np.eye(3), np.zeros((1, 3))])
    fit = lasso(np.array([3.0, -1.0, 0.5, 4.0]), donors, 3, bound=1.5)
    np.testing.assert_allclose(fit.weights, [1.5, 0, 0], atol=1e-10)
    fit = lasso(np.array([3.0, -1.0, 0.5, 4.0]), donors, 3, bound=3.0)
    np.testing.assert_allclose(fit.weights, [2.5, -0.5, 0], atol=1e-10)
    np.testing.assert_allclose(fit.gaps, [0.5, -0.5, 0.5, 4.0], atol=1e-10)


@pytest.mark.parametrize("n_donors", [6, 30])
def test_capped_simplex_against_a_general_optimiser(n_donors):
    target, donors = panel(n_donors)
    bound = 1.2 / np.sqrt(n_donors)
    fit = l1_l2(target, donors, PRE, bound=bound)
    assert fit.weights.min() >= 0 and fit.weights.sum() == pytest.approx(1, abs=1e-12)
    assert np.linalg.norm(fit.weights) == pytest.approx(bound, rel=1e-12)
    falls = slope(fit, target, donors) + 2 * fit.multiplier * fit.weights
    assert abs(falls @ fit.weights - falls.min()) <= 1e-8 * np.abs(falls).max()
    slow = minimize(
        lambda w: np.sum((target[:PRE] - donors[:PRE] @ w) ** 2),
        np.full(n_donors, 1 / n_donors),
        jac=lambda w: -2 * donors[:PRE].T @ (target[:PRE] - donors[:PRE] @ w),
        bounds=[(0, 1)] * n_donors,
        constraints=[
            {"type": "eq", "fun": lambda w: w.sum() - 1},
            {"type": "ineq", "fun": lambda w: bound**2 - w @ w},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert np.sum(fit.gaps[:PRE] ** 2) == pytest.approx(slow.fun, rel=1e-6)


def test_capped_simplex_at_its_ends():
    target, donors = panel(9)
    equal = l1_l2(target, donors, PRE, bound=1 / 3)
    np.testing.assert_allclose(equal.weights, 1 / 9)
    free = l1_l2(target, donors, PRE, bound=1.0)
    assert free.multiplier == 0 and np.linalg.norm(free.weights) < 1
    with pytest.raises(ValueError, match="add up to one"):
        l1_l2(target, donors, PRE, bound=0.3)


@pytest.mark.parametrize("method", METHODS)
def test_an_intercept_absorbs_the_level(method):
    target, donors = panel(10)
    fit = method(target, donors, PRE, intercept=True)
    other = method(target + 500, donors - 70, PRE, intercept=True)
    np.testing.assert_allclose(other.weights, fit.weights, atol=1e-7)
    np.testing.assert_allclose(other.gaps, fit.gaps, atol=1e-6)
    assert abs(fit.gaps[:PRE].mean()) < 1e-10
    np.testing.assert_allclose(fit.gaps, target - fit.intercept - donors @ fit.weights, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_donors", [6, 30])
def test_units_and_the_order_of_donors(method, n_donors):
    target, donors = panel(n_donors)
    fit = method(target, donors, PRE)
    order = np.random.default_rng(3).permutation(n_donors)
    other = method(1e-5 * target, 1e-5 * donors[:, order], PRE)
    np.testing.assert_allclose(other.weights, fit.weights[order], atol=1e-7)
    assert other.bound == pytest.approx(fit.bound)


def test_rule_of_thumb_with_enough_rows():
    target, donors = panel(3, rows=40)
    coefficients, left, *_ = np.linalg.lstsq(donors, target, rcond=None)
    squares = coefficients @ coefficients
    penalty = left[0] / 37 * 3 / squares
    expected = np.sqrt(squares) / (1 + penalty)
    assert expected > 0.5
    assert shrinkage_bound(target, donors, "scpi") == pytest.approx(expected, rel=1e-10)
    share = penalty / np.mean(np.sum(donors**2, axis=0))
    assert shrinkage_bound(target, donors) == pytest.approx(np.sqrt(squares) / (1 + share), rel=1e-10)


def test_rule_of_thumb_with_few_rows_counts_the_heaviest_donors():
    target, donors = panel(30)
    x1, x0 = target[:PRE], donors[:PRE]
    sizes = np.abs(lasso(x1, x0, PRE).weights)
    assert np.count_nonzero(sizes > 1e-8) == 5
    heaviest = np.sort(np.argsort(-sizes)[: PRE - 10])
    coefficients, left, *_ = np.linalg.lstsq(x0[:, heaviest], x1, rcond=None)
    squares = coefficients @ coefficients
    share = left[0] / (PRE - 4) * 4 / squares / np.mean(np.sum(x0[:, heaviest] ** 2, axis=0))
    expected = np.sqrt(squares) / (1 + share)
    assert expected > 0.5
    assert shrinkage_bound(x1, x0) == pytest.approx(expected, rel=1e-8)


def test_only_the_unit_free_rule_ignores_units():
    target, donors = panel(3, rows=40)
    assert shrinkage_bound(target, donors) == pytest.approx(shrinkage_bound(1e3 * target, 1e3 * donors))
    assert shrinkage_bound(1e3 * target, 1e3 * donors, "scpi") == 0.5


@pytest.mark.parametrize("method", [ridge, lasso])
def test_a_bound_must_be_positive(method):
    target, donors = panel(6)
    with pytest.raises(ValueError, match="positive"):
        method(target, donors, PRE, bound=0.0)
