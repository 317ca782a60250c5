import numpy as np
import pytest

from qieval.numerics.elastic_net import elastic_net, elastic_net_weights

PRE = 12


def panel(n_donors=8, rows=16, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((rows, 3)).cumsum(axis=0)
    donors = 8 + factors @ rng.standard_normal((3, n_donors)) + 0.5 * rng.standard_normal((rows, n_donors))
    return 9 + factors @ np.array([1.5, -1.0, 0.8]) + 0.5 * rng.standard_normal(rows), donors


@pytest.mark.parametrize(("penalty", "weight"), [(0.0, 2.0), (4.0, 1.0), (8.0, 0.0), (9.0, 0.0)])
def test_one_donor_by_hand(penalty, weight):
    # Donor -1, 0, 1; outcome twice that: 2 (2 - w) - ... : w = 2 - penalty / 4.
    found, exact = elastic_net_weights(
        np.array([3.0, 5, 7]), np.array([[-1.0], [0], [1]]), penalty, mixing=1.0
    )
    assert found[0] == pytest.approx(weight, abs=1e-8) and exact


@pytest.mark.parametrize("n_donors", [4, 25])
@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("penalty", [100.0, 1.0, 0.01])
def test_optimality_conditions(n_donors, mixing, penalty):
    target, donors = panel(n_donors)
    weights, exact = elastic_net_weights(target[:PRE], donors[:PRE], penalty, mixing)
    x1, x0 = target[:PRE] - target[:PRE].mean(), donors[:PRE] - donors[:PRE].mean(axis=0)
    slope = -2 * x0.T @ (x1 - x0 @ weights) + penalty * (1 - mixing) * weights
    size = np.abs(2 * x0.T @ x1).max()
    used = weights != 0
    np.testing.assert_allclose(slope[used], -penalty * mixing * np.sign(weights[used]), atol=1e-8 * size)
    assert np.all(np.abs(slope[~used]) <= penalty * mixing + 1e-8 * size)
    assert exact


@pytest.mark.parametrize("mixing", [0.2, 0.8])
def test_against_coordinate_descent(mixing):
    linear_model = pytest.importorskip("sklearn.linear_model")
    target, donors = panel(25)
    penalty = 5.0
    absolute, squared = penalty * mixing / (2 * PRE), penalty * (1 - mixing) / (2 * PRE)
    other = linear_model.ElasticNet(
        alpha=absolute + squared, l1_ratio=absolute / (absolute + squared), tol=1e-14, max_iter=10**6
    ).fit(donors[:PRE], target[:PRE])
    weights, _ = elastic_net_weights(target[:PRE], donors[:PRE], penalty, mixing)
    np.testing.assert_allclose(weights, other.coef_, atol=1e-8)


def slow_errors(folds, penalties, mixings):
    """Mean squared error of prediction, each fit from scratch."""
    out = np.zeros(penalties.shape)
    for one, mixing in enumerate(mixings):
        for place, penalty in enumerate(penalties[one]):
            squared = []
            for x1, x0, later1, later0 in folds:
                weights, _ = elastic_net_weights(x1, x0, penalty, mixing)
                predicted = x1.mean() + (later0 - x0.mean(axis=0)) @ weights
                squared.append((later1 - predicted) ** 2)
            out[one, place] = np.mean(np.concatenate(squared))
    return out


def test_cross_validation_over_donors():
    target, donors = panel()
    fit = elastic_net(target, donors, PRE, mixings=(0.3, 1.0), n_penalties=5)
    folds = []
    for unit in range(donors.shape[1]):
        others = np.delete(donors, unit, axis=1)
        folds.append((donors[:PRE, unit], others[:PRE], donors[PRE:, unit], others[PRE:]))
    np.testing.assert_allclose(fit.errors, slow_errors(folds, fit.penalties, (0.3, 1.0)), rtol=1e-7)
    check_choice(fit, target, donors)


def test_cross_validation_over_periods():
    target, donors = panel()
    fit = elastic_net(target, donors, PRE, over="periods", mixings=(0.0, 0.5), n_penalties=4)
    folds = []
    for row in range(PRE):
        kept = np.delete(np.arange(PRE), row)
        folds.append((target[kept], donors[kept], target[[row]], donors[[row]]))
    np.testing.assert_allclose(fit.errors, slow_errors(folds, fit.penalties, (0.0, 0.5)), rtol=1e-7)
    check_choice(fit, target, donors)


def check_choice(fit, target, donors):
    best, place = np.unravel_index(fit.errors.argmin(), fit.errors.shape)
    assert (fit.mixing, fit.penalty) == (fit.mixings[best], fit.penalties[best, place])
    expected, _ = elastic_net_weights(target[:PRE], donors[:PRE], fit.penalty, fit.mixing)
    np.testing.assert_allclose(fit.weights, expected, atol=1e-9)
    assert abs(fit.gaps[:PRE].mean()) < 1e-10
    np.testing.assert_allclose(fit.gaps, target - fit.intercept - donors @ fit.weights, atol=1e-12)
    assert fit.converged


def test_the_largest_penalty_leaves_no_donor_and_the_next_does():
    target, donors = panel()
    fit = elastic_net(target, donors, PRE, over="periods", mixings=(1.0,), n_penalties=30)
    none, _ = elastic_net_weights(target[:PRE], donors[:PRE], fit.penalties[0, 0] * (1 + 1e-9), 1.0)
    some, _ = elastic_net_weights(target[:PRE], donors[:PRE], fit.penalties[0, 1], 1.0)
    assert not none.any() and some.any()
    np.testing.assert_allclose(fit.penalties[0, -1], 1e-4 * fit.penalties[0, 0])


@pytest.mark.parametrize("over", ["donors", "periods"])
def test_units_levels_and_the_order_of_donors(over):
    target, donors = panel()
    fit = elastic_net(target, donors, PRE, over=over, n_penalties=5)
    order = np.random.default_rng(3).permutation(donors.shape[1])
    other = elastic_net(1e4 * target + 7, 1e4 * donors[:, order], PRE, over=over, n_penalties=5)
    np.testing.assert_allclose(other.weights, fit.weights[order], atol=1e-8)
    np.testing.assert_allclose(other.gaps, 1e4 * fit.gaps, atol=1e-4)


def test_what_cannot_be_fitted_is_refused():
    target, donors = panel()
    with pytest.raises(ValueError, match="three donors"):
        elastic_net(target, donors[:, :2], PRE)
    with pytest.raises(ValueError, match="row after"):
        elastic_net(target[:PRE], donors[:PRE], PRE)
    with pytest.raises(ValueError, match="three rows"):
        elastic_net(target, donors, 2, over="periods")
    with pytest.raises(ValueError, match="flat"):
        elastic_net(target, np.ones_like(donors), PRE)
