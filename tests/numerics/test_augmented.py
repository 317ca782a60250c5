import numpy as np
import pytest
from scipy.optimize import nnls

from qieval.numerics.augmented import Augmentation, jackknife_plus, ridge_augmented

PRE = 12


def panel(n_donors=20, rows=18, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((rows, 3)).cumsum(axis=0)
    donors = 50 + factors @ rng.standard_normal((3, n_donors)) + 0.5 * rng.standard_normal((rows, n_donors))
    target = 52 + factors @ np.array([1.5, -1.0, 0.8]) + 0.5 * rng.standard_normal(rows)
    return target, donors


def slow_simplex(x1, x0):
    """Simplex weights by non-negative least squares of the homogenised problem."""
    differences = x0 - x1[:, None]
    differences = differences / np.sqrt(np.mean(differences**2))
    found, _ = nnls(np.vstack([differences, np.ones(x0.shape[1])]), np.append(np.zeros(len(x1)), 1.0))
    return found / found.sum()


def slow_ridge(x1, x0, penalty):
    """Ridge ASCM weights as the paper writes them."""
    base = slow_simplex(x1, x0)
    return base + (x1 - x0 @ base) @ np.linalg.inv(x0 @ x0.T + penalty * np.eye(len(x1))) @ x0


def centred(target, donors, pre=PRE):
    centre = donors.mean(axis=1)
    return (target - centre)[:pre], (donors - centre[:, None])[:pre]


def slow_errors(x1, x0, penalties):
    """Squared errors (penalties, rows - 1) from refitting without each row but the last."""
    out = np.empty((len(penalties), len(x1) - 1))
    for row in range(len(x1) - 1):
        for place, penalty in enumerate(penalties):
            weights = slow_ridge(np.delete(x1, row), np.delete(x0, row, axis=0), penalty)
            out[place, row] = (x1[row] - x0[row] @ weights) ** 2
    return out


def with_covariates(n_donors=20, seed=5):
    return np.random.default_rng(seed).standard_normal((2, n_donors + 1)) * [[3.0], [1e-3]] + 1


@pytest.mark.parametrize(("penalty", "second"), [(0.0, 1.5), (8.0, 1.25), (1e9, 1.0)])
def test_two_donors_and_one_row_by_hand(penalty, second):
    # The base puts all on the donor at 4 and misses 2; centred donors are -2 and 2, their squares 8.
    fit = ridge_augmented(np.array([6.0, 0.0]), np.array([[0.0, 4], [1, 3]]), 1, Augmentation(penalty))
    np.testing.assert_allclose(fit.base_weights, [0, 1], atol=1e-12)
    np.testing.assert_allclose(fit.weights, [1 - second, second], atol=1e-8)
    assert fit.gaps[1] == pytest.approx(-(1 - second) - 3 * second, abs=1e-7)


@pytest.mark.parametrize("n_donors", [5, 20])
def test_weights_for_a_given_penalty(n_donors):
    target, donors = panel(n_donors)
    fit = ridge_augmented(target, donors, PRE, Augmentation(7.0))
    np.testing.assert_allclose(fit.weights, slow_ridge(*centred(target, donors), 7.0), atol=1e-9)
    np.testing.assert_allclose(fit.gaps, target - donors @ fit.weights, atol=1e-10)
    assert fit.weights.sum() == pytest.approx(1, abs=1e-12)
    assert fit.penalty == 7 and fit.penalties.size == fit.cv_mean.size == 0
    assert fit.converged


@pytest.mark.parametrize("n_donors", [5, 20])
@pytest.mark.parametrize("fixed_effects", [False, True])
def test_cross_validation_against_refitting(n_donors, fixed_effects):
    target, donors = panel(n_donors)
    fit = ridge_augmented(target, donors, PRE, Augmentation("1se", fixed_effects))
    if fixed_effects:
        target, donors = target - target[:PRE].mean(), donors - donors[:PRE].mean(axis=0)
    x1, x0 = centred(target, donors)
    top = np.linalg.svd(x0)[1][0] ** 2
    np.testing.assert_allclose(fit.penalties, top * np.geomspace(1, 1e-8, 21), rtol=1e-10)
    errors = slow_errors(x1, x0, fit.penalties)
    np.testing.assert_allclose(fit.cv_mean, errors.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(fit.cv_se, errors.std(axis=1, ddof=1) / np.sqrt(PRE - 1), rtol=1e-6)
    best = fit.cv_mean.argmin()
    assert fit.penalty == fit.penalties[fit.cv_mean <= fit.cv_mean[best] + fit.cv_se[best]].max()
    smallest = ridge_augmented(*panel(n_donors), PRE, Augmentation("min", fixed_effects))
    assert smallest.penalty == fit.penalties[best] <= fit.penalty


def test_balanced_covariates_are_rows_on_the_scale_of_the_outcome():
    target, donors = panel()
    covariates = with_covariates()
    fit = ridge_augmented(target, donors, PRE, Augmentation(covariates=covariates))
    x1, x0 = centred(target, donors)
    z = covariates - covariates[:, 1:].mean(axis=1, keepdims=True)
    z *= x0.std(ddof=1) / z[:, 1:].std(axis=1, ddof=1, keepdims=True)
    x1, x0 = np.append(x1, z[:, 0]), np.vstack([x0, z[:, 1:]])
    errors = slow_errors(x1, x0, fit.penalties)
    np.testing.assert_allclose(fit.cv_mean, errors.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(fit.weights, slow_ridge(x1, x0, fit.penalty), atol=1e-8)
    plain = ridge_augmented(target, donors, PRE, Augmentation(None, covariates=covariates))
    np.testing.assert_allclose(plain.weights, slow_simplex(x1, x0), atol=1e-9)
    assert np.isnan(plain.penalty) and not plain.bias.any()


def test_residualised_covariates_are_balanced_exactly():
    target, donors = panel()
    covariates = with_covariates()
    fit = ridge_augmented(target, donors, PRE, Augmentation(5.0, covariates=covariates, residualise=True))
    np.testing.assert_allclose(covariates[:, 1:] @ fit.weights, covariates[:, 0], rtol=1e-10)
    x1, x0 = centred(target, donors)
    z = covariates - covariates[:, 1:].mean(axis=1, keepdims=True)
    slopes = np.linalg.solve(z[:, 1:] @ z[:, 1:].T, z[:, 1:] @ x0.T)
    before = slow_ridge(x1 - z[:, 0] @ slopes, x0 - slopes.T @ z[:, 1:], 5.0)
    moved = (z[:, 0] - z[:, 1:] @ before) @ np.linalg.solve(z[:, 1:] @ z[:, 1:].T, z[:, 1:])
    np.testing.assert_allclose(fit.weights, before + moved, atol=1e-8)


def test_summaries():
    target, donors = panel()
    fit = ridge_augmented(target, donors, PRE)
    base = ridge_augmented(target, donors, PRE, Augmentation(None))
    np.testing.assert_array_equal(base.weights, fit.base_weights)
    np.testing.assert_allclose(fit.bias, base.gaps[PRE:] - fit.gaps[PRE:], atol=1e-10)
    assert fit.l2_imbalance == pytest.approx(np.sqrt(np.sum(fit.gaps[:PRE] ** 2)))
    equal = np.linalg.norm((target - donors.mean(axis=1))[:PRE])
    assert fit.scaled_l2_imbalance == pytest.approx(fit.l2_imbalance / equal)
    assert fit.l2_imbalance < base.l2_imbalance


def test_the_penalty_leads_from_an_exact_fit_to_the_simplex():
    target, donors = panel()
    exact = ridge_augmented(target, donors, PRE, Augmentation(0.0))
    np.testing.assert_allclose(exact.gaps[:PRE], 0, atol=1e-9)
    stiff = ridge_augmented(target, donors, PRE, Augmentation(1e15))
    np.testing.assert_allclose(stiff.weights, stiff.base_weights, atol=1e-9)


@pytest.mark.parametrize("how", [Augmentation(), Augmentation("min", True), Augmentation(None)])
def test_units_common_shocks_and_the_order_of_donors(how):
    target, donors = panel()
    fit = ridge_augmented(target, donors, PRE, how)
    shocks = np.random.default_rng(1).standard_normal(len(target)) * 1e3
    order = np.random.default_rng(2).permutation(donors.shape[1])
    other = ridge_augmented(1e4 * target + shocks, (1e4 * donors + shocks[:, None])[:, order], PRE, how)
    np.testing.assert_allclose(other.weights, fit.weights[order], atol=1e-8)
    np.testing.assert_allclose(other.penalty, fit.penalty * 1e8, rtol=1e-8)
    np.testing.assert_allclose(other.gaps, 1e4 * fit.gaps, atol=1e-3)


def test_fixed_effects_ignore_the_level_of_units():
    target, donors = panel()
    fit = ridge_augmented(target, donors, PRE, Augmentation(fixed_effects=True))
    levels = np.random.default_rng(1).standard_normal(donors.shape[1]) * 30
    other = ridge_augmented(target + 100, donors + levels, PRE, Augmentation(fixed_effects=True))
    np.testing.assert_allclose(other.weights, fit.weights, atol=1e-8)
    np.testing.assert_allclose(other.gaps, fit.gaps, atol=1e-7)
    assert abs(fit.gaps[:PRE].mean()) < 1e-9


@pytest.mark.parametrize("residualise", [False, True])
def test_units_of_covariates_do_not_matter(residualise):
    target, donors = panel()
    covariates = with_covariates()
    fit = ridge_augmented(target, donors, PRE, Augmentation(4.0, False, covariates, residualise))
    other = ridge_augmented(
        target, donors, PRE, Augmentation(4.0, False, covariates * [[1e6], [1e-4]], residualise)
    )
    np.testing.assert_allclose(other.weights, fit.weights, atol=1e-8)


@pytest.mark.parametrize("fixed_effects", [False, True])
def test_jackknife_plus_against_refitting(fixed_effects):
    target, donors = panel()
    how = Augmentation("1se", fixed_effects)
    penalty = ridge_augmented(target, donors, PRE, how).penalty
    later = slice(PRE, None)
    predicted, errors = [], []
    for dropped in range(PRE):
        kept = np.delete(np.arange(PRE), dropped)
        y1, y0 = target.copy(), donors.copy()
        if fixed_effects:
            y1, y0 = y1 - y1[kept].mean(), y0 - y0[kept].mean(axis=0)
        weights = slow_ridge((y1 - y0.mean(axis=1))[kept], (y0 - y0.mean(axis=1)[:, None])[kept], penalty)
        errors.append(y1[dropped] - y0[dropped] @ weights)
        counterfactual = target[later] - (y1 - y0 @ weights)[later]
        predicted.append(np.append(counterfactual, counterfactual.mean()))
    margin = np.abs(errors)[:, None]
    observed = np.append(target[later], target[later].mean())
    low = observed - np.quantile(predicted + margin, 0.95, axis=0)
    high = observed - np.quantile(predicted - margin, 0.05, axis=0)
    found = jackknife_plus(target, donors, PRE, how, level=0.9)
    np.testing.assert_allclose(found.held_out, errors, atol=1e-8)
    np.testing.assert_allclose(np.append(found.low, found.average_low), low, atol=1e-8)
    np.testing.assert_allclose(np.append(found.high, found.average_high), high, atol=1e-8)
    assert found.converged


def test_what_cannot_be_fitted_is_refused():
    target, donors = panel()
    with pytest.raises(ValueError, match="do not differ"):
        ridge_augmented(target, donors[:, [0, 0]], PRE)
    with pytest.raises(ValueError, match="do not differ"):
        ridge_augmented(target, donors[:, :1], PRE)
    with pytest.raises(ValueError, match="too few rows"):
        ridge_augmented(target, donors, 2)
    constant = np.ones((1, donors.shape[1] + 1))
    with pytest.raises(ValueError, match="same value"):
        ridge_augmented(target, donors, PRE, Augmentation(covariates=constant))


def test_one_donor_without_correction_is_that_donor():
    target, donors = panel()
    fit = ridge_augmented(target, donors[:, :1], PRE, Augmentation(None))
    np.testing.assert_allclose(fit.weights, [1])
    np.testing.assert_allclose(fit.gaps, target - donors[:, 0])
