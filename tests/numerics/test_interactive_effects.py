"""Interactive fixed effects: exact recovery, special cases, slow versions of the same estimator."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from qieval.errors import EstimationError
from qieval.numerics.factor_least_squares import Stop
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.interactive_effects import FactorModel, choose_factors, interactive_effects

USUAL = {
    "n": 30,
    "t": 20,
    "r": 2,
    "noise": 1.0,
    "treated": 5,
    "covariates": 0,
    "missing": 0.0,
    "effects": True,
}


def simulated(seed=0, **options):
    made, rng = SimpleNamespace(**({"effects": True} | USUAL | options)), np.random.default_rng(seed)
    n, t = made.n, made.t
    factors, loadings = rng.standard_normal((t, made.r)), rng.standard_normal((n, made.r))
    common = loadings @ factors.T
    y = common + made.effects * (rng.standard_normal((n, 1)) * 2 + rng.standard_normal(t))
    x = rng.standard_normal((made.covariates, n, t)) + 0.5 * common
    y = y + np.tensordot(1.0 + np.arange(made.covariates), x, axes=1)
    y = y + made.noise * rng.standard_normal((n, t))
    start = np.full(n, t)
    start[: made.treated] = rng.integers(t // 2, t - 2, made.treated)
    untreated = (np.arange(t) < start[:, None]) & (rng.random((n, t)) >= made.missing)
    return FactorPanel(y, untreated, start, x if made.covariates else None)


@pytest.mark.parametrize("source", ["controls", "untreated"])
@pytest.mark.parametrize("covariates", [0, 2])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_noiseless_panels_are_recovered(source, covariates, missing):
    panel = simulated(noise=0, covariates=covariates, missing=missing)
    fit = interactive_effects(panel, FactorModel(2, source=source))
    assert fit.counterfactual == pytest.approx(panel.y, abs=1e-6)
    assert fit.beta == pytest.approx(1.0 + np.arange(covariates), abs=1e-6)
    assert fit.converged and fit.sigma2 < 1e-14


@pytest.mark.parametrize("force", ["none", "unit", "time", "two-way"])
def test_noiseless_panels_are_recovered_with_every_kind_of_effects(force):
    rng = np.random.default_rng(1)
    panel = simulated(noise=0, effects=False)
    y = panel.y + (force in ("unit", "two-way")) * 9 * rng.standard_normal((30, 1))
    y = y + (force in ("time", "two-way")) * 9 * rng.standard_normal(20)
    for source in ("controls", "untreated"):
        fit = interactive_effects(replace(panel, y=y), FactorModel(2, force, source))
        assert fit.counterfactual == pytest.approx(y, abs=1e-6)
        if force == "none":
            assert fit.constant == 0 and not fit.unit_effects.any() and not fit.time_effects.any()


def test_without_factors_it_is_difference_in_differences():
    y = np.array([[1.0, 2.0, 9.0, 11.0], [4.0, 5.0, 7.0, 8.0], [2.0, 3.0, 3.0, 6.0]])
    start = np.array([2, 4, 4])
    panel = FactorPanel(y, np.arange(4) < start[:, None], start)
    by_hand = (10 - 1.5) - ((7.5 + 4.5) / 2 - (4.5 + 2.5) / 2)
    for source in ("controls", "untreated"):
        fit = interactive_effects(panel, FactorModel(0, source=source))
        assert (panel.y - fit.counterfactual)[0, 2:].mean() == pytest.approx(by_hand)


@pytest.mark.parametrize("covariates", [0, 1])
def test_without_factors_it_is_imputation_from_dummies(covariates):
    panel = simulated(seed=4, n=12, t=8, covariates=covariates, missing=0.1)
    unit, time = np.divmod(np.arange(96), 8)
    columns = np.hstack([np.eye(12)[unit], np.eye(8)[time], panel.covariates.reshape(covariates, 96).T])
    used = panel.untreated.ravel()
    coefficients = np.linalg.lstsq(columns[used], panel.y.ravel()[used], rcond=None)[0]
    fit = interactive_effects(panel, FactorModel(0, source="untreated"))
    assert fit.counterfactual.ravel() == pytest.approx(columns @ coefficients, abs=1e-9)


def by_filling_in(panel, r, rounds=4000):
    """Gobillon and Magnac's algorithm: fill in, fit additive effects and factors, repeat; slow."""
    untreated, x = panel.untreated, panel.covariates
    filled, interactive = np.where(untreated, panel.y, panel.y[untreated].mean()), 0.0
    flat = x.reshape(len(x), x[0].size if len(x) else 0)
    beta = np.zeros(len(x))
    for _ in range(rounds):
        left = filled - np.tensordot(beta, x, axes=1)
        additive = left.mean(axis=1, keepdims=True) + left.mean(axis=0) - left.mean()
        u, s, v = np.linalg.svd(left - additive, full_matrices=False)
        interactive = additive + (u[:, :r] * s[:r]) @ v[:r]
        if len(x):
            beta = np.linalg.lstsq(flat.T, (filled - interactive).ravel(), rcond=None)[0]
        fitted = interactive + np.tensordot(beta, x, axes=1)
        filled = np.where(untreated, panel.y, fitted)
    return fitted, beta


@pytest.mark.parametrize("covariates", [0, 1])
def test_all_untreated_cells_against_filling_in(covariates):
    panel = simulated(seed=2, n=16, t=12, noise=0.5, treated=6, covariates=covariates, missing=0.05)
    fit = interactive_effects(panel, FactorModel(2, source="untreated"))
    slow, beta = by_filling_in(panel, 2)
    assert fit.counterfactual == pytest.approx(slow, abs=1e-5)
    assert fit.beta == pytest.approx(beta, abs=1e-6)


def test_controls_with_a_covariate_against_a_search_over_its_coefficient():
    panel = simulated(seed=5, covariates=1)
    y, x = panel.y[panel.controls], panel.covariates[0][panel.controls]

    def left(beta):
        matrix = y - beta * x
        matrix = matrix - matrix.mean(axis=1, keepdims=True) - matrix.mean(axis=0) + matrix.mean()
        return float(np.sum(np.linalg.svd(matrix, compute_uv=False)[2:] ** 2))

    best = minimize_scalar(left, bounds=(-1, 3), method="bounded", options={"xatol": 1e-10})
    fit = interactive_effects(panel, FactorModel(2))
    assert fit.beta[0] == pytest.approx(best.x, abs=1e-6)
    n, t = y.shape
    parameters = 2 * (n + t) - 4 + 1
    assert fit.sigma2 == pytest.approx(best.fun / (n * t - parameters), rel=1e-8)
    assert fit.ic == pytest.approx(np.log(fit.sigma2) + parameters * np.log(n * t) / (n * t))


def test_treated_units_get_their_loadings_from_their_own_pre_periods():
    panel = simulated(seed=6)
    y = panel.y[panel.controls]
    within = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    factors = np.linalg.svd(within)[2][:2].T
    fit = interactive_effects(panel, FactorModel(2))
    for unit in np.flatnonzero(~panel.controls):
        pre = panel.untreated[unit]
        design = np.column_stack([np.ones(20), factors])
        left = panel.y[unit] - y.mean(axis=0)
        by_hand = y.mean(axis=0) + design @ np.linalg.lstsq(design[pre], left[pre], rcond=None)[0]
        assert fit.counterfactual[unit] == pytest.approx(by_hand, abs=1e-8)


def test_parts_add_up_and_are_normalised():
    panel = simulated(seed=7, covariates=1, missing=0.05)
    fit = interactive_effects(panel, FactorModel(2, source="untreated"))
    whole = fit.constant + fit.unit_effects[:, None] + fit.time_effects + fit.loadings @ fit.factors.T
    assert whole + fit.beta[0] * panel.covariates[0] == pytest.approx(fit.counterfactual)
    assert fit.factors.T @ fit.factors / 20 == pytest.approx(np.eye(2), abs=1e-9)
    gram = fit.loadings.T @ fit.loadings
    assert gram[0, 1] == pytest.approx(0, abs=1e-8) and gram[0, 0] > gram[1, 1]
    for part in (fit.unit_effects, fit.time_effects, fit.factors, fit.loadings):
        assert part.sum(axis=0) == pytest.approx(0, abs=1e-8)
    assert (fit.factors.max(axis=0) > -fit.factors.min(axis=0)).all()


@pytest.mark.parametrize("source", ["controls", "untreated"])
def test_units_of_measurement_and_order_do_not_matter(source):
    panel, model = simulated(seed=8, covariates=1, missing=0.05), FactorModel(2, source=source)
    fit, order = interactive_effects(panel, model), np.random.default_rng(0).permutation(30)
    scaled = replace(panel, y=panel.y * 1e-6 + 1, x=panel.covariates * 1e5)
    other = interactive_effects(scaled, model)
    assert (other.counterfactual - 1) * 1e6 == pytest.approx(fit.counterfactual, abs=1e-5)
    assert other.beta * 1e11 == pytest.approx(fit.beta, abs=1e-5)
    shuffled = interactive_effects(panel.take(order), model)
    assert shuffled.counterfactual == pytest.approx(fit.counterfactual[order], abs=1e-6)


def test_outcomes_of_other_cells_are_not_read():
    panel = simulated(seed=9, missing=0.1)
    hidden = replace(panel, y=np.where(panel.untreated, panel.y, np.nan))
    for source in ("controls", "untreated"):
        fits = [interactive_effects(one, FactorModel(1, source=source)) for one in (panel, hidden)]
        assert np.array_equal(fits[0].counterfactual, fits[1].counterfactual)


def test_units_and_periods_with_too_few_cells_take_no_part():
    panel = simulated(seed=10)
    untreated = panel.untreated.copy()
    untreated[0, 2:] = untreated[6:, 4] = untreated[29, 2:] = False
    for source in ("controls", "untreated"):
        fit = interactive_effects(replace(panel, untreated=untreated), FactorModel(2, source=source))
        gone = np.isnan(fit.counterfactual)
        assert gone[[0, 29]].all() and np.isnan(fit.loadings[[0, 29]]).all()
        assert gone[1:29, 4].all() == (source == "controls") and not gone[1:29, 5].any()
        rest = replace(panel, untreated=untreated).take(np.arange(1, 29))
        alone = interactive_effects(rest, FactorModel(2, source=source)).counterfactual
        assert fit.counterfactual[1:29] == pytest.approx(alone, nan_ok=True, abs=1e-9)


def test_what_cannot_be_fitted_is_said():
    panel = simulated(n=6, t=8, treated=6)
    with pytest.raises(EstimationError, match="No unit stays untreated"):
        interactive_effects(panel, FactorModel(1))
    with pytest.raises(EstimationError, match="Take fewer factors"):
        interactive_effects(panel, FactorModel(7, source="untreated"))


def test_an_unfinished_fit_says_so():
    panel = simulated(seed=1, treated=20, noise=2)
    model = FactorModel(4, source="untreated", stop=Stop(most=3))
    assert not interactive_effects(panel, model).converged


@pytest.mark.parametrize("source", ["controls", "untreated"])
def test_cross_validation_finds_the_number_of_factors(source):
    found = [
        choose_factors(simulated(seed, n=40, t=30), FactorModel(0, source=source), range(5))
        for seed in range(5)
    ]
    assert [choice.chosen for choice in found] == [2] * 5
    assert all(choice.n_cells > 50 for choice in found)


def test_information_criterion_finds_the_number_of_factors_in_controls():
    choice = choose_factors(simulated(0, n=60, t=40, noise=0.5), FactorModel(0), range(5))
    assert choice.factors[np.argmin(choice.ic)] == 2 and choice.sigma2[2] == pytest.approx(0.25, rel=0.1)


def test_left_out_errors_equal_refitting():
    panel, model = simulated(seed=11, n=20, t=14, treated=3, covariates=1), FactorModel(2)
    found, errors = choose_factors(panel, model, [2]), []
    for unit, period in np.argwhere(panel.pre_cells):
        untreated = panel.untreated.copy()
        untreated[unit, period] = False
        fit = interactive_effects(replace(panel, untreated=untreated), model)
        errors.append(panel.y[unit, period] - fit.counterfactual[unit, period])
    assert found.mspe == pytest.approx(np.mean(np.square(errors)), rel=1e-6)
    assert found.n_cells == len(errors)


def test_folds_of_all_untreated_cells_equal_refitting():
    panel, model = simulated(seed=12, n=20, t=14, treated=3), FactorModel(1, source="untreated")
    found, errors = choose_factors(panel, model, [1], folds=4), []
    for fold in range(4):
        held = panel.pre_cells & (np.arange(14) % 4 == fold)
        fit = interactive_effects(replace(panel, untreated=panel.untreated & ~held), model)
        errors.append((panel.y - fit.counterfactual)[held])
    assert found.mspe == pytest.approx(np.mean(np.concatenate(errors) ** 2), rel=1e-4)


def test_too_many_factors_for_the_pre_periods_are_never_chosen():
    panel = simulated(seed=13, n=30, t=10)
    choice = choose_factors(panel, FactorModel(0), range(10))
    assert np.isinf(choice.mspe[-1]) and choice.chosen < 5
    short = replace(panel, untreated=panel.untreated & (panel.controls[:, None] | (np.arange(10) < 1)))
    with pytest.raises(EstimationError, match="enough pre-periods"):
        choose_factors(short, FactorModel(0), range(3))
