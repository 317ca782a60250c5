from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from qieval.numerics.small_units import minimum_norm, raking
from qieval.numerics.small_units_errors import SmallUnits, cumulative, linearised, totals
from qieval.numerics.small_units_replicates import jackknife, permute, placebo


def problem(seed, units, rows, attainable=True):
    """A constant row and others on scales from 1e-4 to 1e4; totals of some weights, or random ones."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-4, 5, (rows, 1))
    constraints = np.vstack([np.ones(units), scale * rng.normal(3, 1, (rows, units))])
    if attainable:
        weights = rng.exponential(1, units) * (rng.random(units) < 0.7)
        weights[0] += 0.1
        return constraints, constraints @ weights
    far = constraints[1:].mean(axis=1) * rng.normal(3, 2, rows)
    return constraints, np.append(3.0, far)


def quadratic_program(constraints, wanted):
    scale = np.abs(constraints).max(axis=1)
    a, b = constraints / scale[:, None], wanted / scale
    meet = {"type": "eq", "fun": lambda w: a @ w - b, "jac": lambda w: a}
    start = np.full(a.shape[1], b[0] / a.shape[1])
    options = {"ftol": 1e-15, "maxiter": 500}
    found = optimize.minimize(
        lambda w: w @ w / 2, start, jac=lambda w: w, bounds=[(0, None)] * start.size, constraints=meet,
        method="SLSQP", options=options,
    )  # fmt: skip
    return found.x, np.abs(a @ found.x - b).max() < 1e-9


def distance(constraints, wanted, weights):
    """Sum of squares of the rows but the first, in SDs among units, centred by the constant row."""
    left = constraints[1:] @ weights - wanted[1:]
    return float(np.sum((left / constraints[1:].std(axis=1)) ** 2))


def nearest_by_nnls(constraints, wanted):
    """The constant row met exactly: homogenised non-negative least squares of the standardised others."""
    number = wanted[0]
    sd = constraints[1:].std(axis=1)
    apart = (constraints[1:] - wanted[1:, None] / number) / sd[:, None]
    size = np.abs(apart).max()
    u, _ = optimize.nnls(np.vstack([apart / size, np.ones(apart.shape[1])]), np.append(np.zeros(sd.size), 1))
    return number * u / u.sum()


def test_two_constraints_by_hand():
    # w = max(0, u0 + u1 x) with sum 2 and sum x w = 1.
    fit = minimum_norm(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 5.0]]), np.array([2.0, 1.0]))
    assert fit.weights == pytest.approx([23 / 21, 37 / 42, 1 / 42], abs=1e-14)
    assert fit.feasible and fit.converged and not fit.missed.any() and not fit.redundant.any()


@pytest.mark.parametrize("seed", range(25))
def test_minimum_norm_against_quadratic_programming(seed):
    constraints, wanted = problem(seed, 4 + seed % 9, 1 + seed % 4)
    fit = minimum_norm(constraints, wanted)
    other, met = quadratic_program(constraints, wanted)
    assert fit.feasible and fit.converged and (fit.weights >= 0).all()
    assert np.abs(fit.residual) == pytest.approx(0, abs=1e-11 * np.abs(wanted).max())
    assert np.sum(fit.weights**2) <= np.sum(other**2) * (1 + 1e-9) or not met
    if met:
        assert fit.weights == pytest.approx(other, abs=1e-5 * wanted[0])


def test_quadratic_programming_did_meet_most_constraints():
    assert sum(quadratic_program(*problem(seed, 4 + seed % 9, 1 + seed % 4))[1] for seed in range(25)) > 15


@pytest.mark.parametrize("seed", range(25))
def test_nearest_totals_against_nnls(seed):
    constraints, wanted = problem(seed, 3 + seed % 20, 1 + seed % 5, attainable=False)
    fit = minimum_norm(constraints, wanted)
    other = nearest_by_nnls(constraints, wanted)
    assert fit.converged and fit.weights.sum() == pytest.approx(3, rel=1e-12)
    start = distance(constraints, wanted, np.full(other.size, 3 / other.size))
    assert distance(constraints, wanted, fit.weights) <= distance(constraints, wanted, other) + 1e-11 * start
    assert np.sum(fit.weights**2) <= np.sum(other**2) + 1e-8
    assert fit.feasible == (not fit.missed.any()) == bool(distance(constraints, wanted, other) < 1e-9 * start)


def test_most_nearest_totals_were_out_of_reach():
    out = [
        not minimum_norm(*problem(seed, 3 + seed % 20, 1 + seed % 5, attainable=False)).feasible
        for seed in range(25)
    ]
    assert sum(out) > 10


@pytest.mark.parametrize("solve", [minimum_norm, raking])
def test_units_origin_and_order_do_not_matter(solve):
    for attainable in (True, False):
        constraints, wanted = problem(3, 30, 4, attainable)
        fit = solve(constraints, wanted)
        order = np.random.default_rng(1).permutation(30)
        shift, scale = np.array([0, 5.0, -100.0, 1.0, 0]), np.array([3, 1e-6, -2.0, 1e7, 1])
        moved = (constraints + shift[:, None]) * scale[:, None]
        again = solve(moved[:, order], (wanted + shift * wanted[0]) * scale)
        assert again.feasible == fit.feasible == attainable
        assert again.weights == pytest.approx(fit.weights[order], abs=1e-8)


@pytest.mark.parametrize("seed", range(10))
def test_raking_is_an_exponential_of_the_constraints(seed):
    rng = np.random.default_rng(seed)
    constraints = np.vstack([np.ones(40), rng.normal(2, 1, (3, 40))])
    wanted = constraints @ rng.exponential(1, 40)
    fit = raking(constraints, wanted)
    assert fit.feasible and fit.converged and (fit.weights > 0).all()
    assert constraints @ fit.weights == pytest.approx(wanted, rel=1e-10)
    slopes, *_ = np.linalg.lstsq(constraints.T, np.log(fit.weights), rcond=None)
    assert slopes @ constraints == pytest.approx(np.log(fit.weights), abs=1e-8)


def test_raking_needs_the_number_of_units():
    with pytest.raises(ValueError, match="constant row"):
        raking(np.array([[1.0, 2.0, 4.0]]), np.array([3.0]))
    groups = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert raking(groups, np.array([3.0, 1.0])).weights == pytest.approx([1.5, 1.5, 1.0])


def test_raking_out_of_reach_has_the_totals_of_the_nearest_weights():
    constraints, wanted = problem(5, 60, 5, attainable=False)
    even, raked = minimum_norm(constraints, wanted), raking(constraints, wanted)
    assert not raked.feasible and raked.converged and raked.missed.any()
    assert raked.residual == pytest.approx(even.residual, rel=1e-8, abs=1e-9)


def test_constraints_that_repeat_or_contradict_each_other():
    x = np.array([0.0, 1.0, 2.0, 5.0])
    rows = np.vstack([np.ones(4), x, 2 * x + 3])
    fit = minimum_norm(rows, np.array([2.0, 3.0, 12.0]))
    assert fit.feasible and list(fit.redundant) == [False, False, True]
    assert fit.weights == pytest.approx(minimum_norm(rows[:2], np.array([2.0, 3.0])).weights, abs=1e-12)
    torn = minimum_norm(rows, np.array([2.0, 3.0, 14.0]))
    assert not torn.feasible and list(torn.missed) == [False, True, True]
    assert torn.residual == pytest.approx([0.0, -0.5, 1.0], abs=1e-8)
    firm = minimum_norm(rows, np.array([2.0, 3.0, 14.0]), np.array([True, True, False]))
    assert firm.residual == pytest.approx([0.0, 0.0, 2.0], abs=1e-8) and list(firm.missed) == [
        False,
        False,
        True,
    ]


def test_a_row_of_zeros_and_one_unit():
    rows = np.array([[1.0, 1.0], [0.0, 0.0]])
    assert minimum_norm(rows, np.array([3.0, 0.0])).feasible
    none = minimum_norm(rows, np.array([3.0, 7.0]))
    assert (
        none.weights == pytest.approx([1.5, 1.5])
        and none.residual == pytest.approx([0, 7])
        and none.missed[1]
    )
    alone = minimum_norm(np.array([[1.0], [4.0]]), np.array([3.0, 12.0]))
    assert alone.weights == pytest.approx([3.0]) and alone.feasible and alone.effective_units == 1


def test_without_a_constant_row():
    x = np.array([[1.0, 2.0, 4.0]])
    assert minimum_norm(x, np.array([21.0])).weights == pytest.approx([1.0, 2.0, 4.0])
    nothing = minimum_norm(x, np.array([-1.0]))
    assert nothing.weights == pytest.approx([0, 0, 0]) and not nothing.feasible and nothing.missed[0]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (np.ones(3), np.ones(1)),
        (np.ones((1, 0)), np.ones(1)),
        (np.array([[1.0, np.nan]]), np.ones(1)),
        (np.ones((1, 2)), np.array([0.0])),
    ],
)
def test_bad_input(rows, wanted):
    with pytest.raises(ValueError, match=r"constraints|positive"):
        minimum_norm(rows, wanted)


@pytest.mark.parametrize("seed", range(8))
def test_approximate_rows_come_after_exact_ones(seed):
    rng = np.random.default_rng(seed)
    constraints = np.vstack([np.ones(25), rng.poisson(2, (5, 25))]).astype(float)
    wanted = constraints @ rng.exponential(1, 25)
    wanted[3:] *= rng.uniform(2, 4, 3)
    exact = np.arange(6) < 3
    fit = minimum_norm(constraints, wanted, exact)
    assert fit.converged and constraints[:3] @ fit.weights == pytest.approx(wanted[:3], rel=1e-9)
    sd = constraints[3:].std(axis=1)
    a, b = constraints[3:] / sd[:, None], wanted[3:] / sd
    meet = {"type": "eq", "fun": lambda w: constraints[:3] @ w - wanted[:3], "jac": lambda w: constraints[:3]}
    other = optimize.minimize(
        lambda w: np.sum((a @ w - b) ** 2), fit.weights[::-1], jac=lambda w: 2 * a.T @ (a @ w - b),
        bounds=[(0, None)] * 25, constraints=meet, method="SLSQP", options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    assert np.sum((a @ fit.weights - b) ** 2) <= other.fun * (1 + 1e-6)
    first = minimum_norm(constraints, wanted)
    assert np.abs(first.residual[1:3]).max() > 0.01, "all rows alike would miss the exact ones"


def test_many_units():
    rng = np.random.default_rng(0)
    constraints = np.vstack([np.ones(20_000), rng.poisson(1, (15, 20_000))])
    fit = minimum_norm(constraints, constraints[:, :50].sum(axis=1))
    assert fit.converged and fit.feasible and fit.gap < 1e-12


def small_data(seed=0, units=120, treated=15, method="minimum norm"):
    rng = np.random.default_rng(seed)
    level = rng.gamma(2, 2, units)
    outcomes = rng.poisson(level * rng.uniform(0.8, 1.2, (2, 8, 1))).astype(float)
    constraints = np.vstack([np.ones(units), level.round(), outcomes[:, :5].reshape(10, units)])
    chosen = np.zeros(units, bool)
    chosen[rng.choice(units, treated, replace=False)] = True
    return SmallUnits(outcomes, constraints, chosen, 5, method=method)


def test_totals_by_period_and_running():
    data = small_data()
    weights, fit = data.weights()
    every, running = totals(data, weights), cumulative(data, weights)
    assert every.difference[:, :5] == pytest.approx(0, abs=1e-8)
    assert every.treated[1, 6] == data.outcomes[1, 6, data.treated].sum()
    assert every.control[0, 7] == pytest.approx(data.outcomes[0, 7, ~data.treated] @ fit.weights)
    assert running.difference[:, -1] == pytest.approx(every.difference[:, 5:].sum(axis=1))
    nothing = totals(replace(data, outcomes=np.zeros((1, 6, 120))), weights)
    assert np.isnan(nothing.relative).all()


def test_records_are_weighted_least_squares_with_a_sandwich():
    # svyglm(y ~ treat + time - 1): every unit and period a sampling unit of its own.
    data = small_data()
    weights, _ = data.weights()
    found = linearised(data, weights, "records", level=0.9)
    y = data.outcomes[0, 5:]
    periods, units = y.shape
    x = np.column_stack([np.tile(data.treated, periods), np.repeat(np.eye(periods), units, axis=0)]).astype(
        float
    )
    w = np.tile(weights, periods)
    bread = np.linalg.inv((x * w[:, None]).T @ x)
    beta = bread @ (x * w[:, None]).T @ y.ravel()
    scores = x * (w * (y.ravel() - x @ beta))[:, None]
    covariance = bread @ scores.T @ scores @ bread * y.size / (y.size - 1)
    assert found.statistic[0] == pytest.approx(beta[0] / np.sqrt(covariance[0, 0]), rel=1e-8)
    mean = beta[1:].mean()
    slope = np.append(1 / (beta[0] + mean), np.full(periods, (1 / (beta[0] + mean) - 1 / mean) / periods))
    half = stats.norm.ppf(0.95) * np.sqrt(slope @ covariance @ slope)
    ratio = np.log((beta[0] + mean) / mean)
    assert (found.low[0], found.high[0]) == pytest.approx(
        tuple(np.expm1([ratio - half, ratio + half])), rel=1e-7
    )


def test_fixed_weights_are_the_two_sample_error_by_hand():
    outcomes = np.array([[[1.0, 3.0, 2.0, 4.0, 6.0]]])
    data = SmallUnits(outcomes, np.ones((1, 5)), np.array([True, True, False, False, False]), 0)
    weights, _ = data.weights()
    assert weights == pytest.approx([1, 1, 2 / 3, 2 / 3, 2 / 3])
    found = linearised(data, weights, "units")
    assert found.difference[0] == pytest.approx(4 - 8)
    variance = (2 + 4 / 9 * 8) * 5 / 4
    assert found.std_error[0] == pytest.approx(np.sqrt(variance))
    assert found.log_std_error[0] == pytest.approx(np.sqrt((2 / 16 + 4 / 9 * 8 / 64) * 5 / 4))
    assert (
        found.omnibus == pytest.approx(stats.chi2.sf(16 / variance, 1)) == found.p_value[0] == found.together
    )


@pytest.mark.parametrize("method", ["minimum norm", "raking"])
def test_calibrated_errors_are_residuals_left_out(method):
    data = small_data(method=method)
    weights, fit = data.weights()
    found = linearised(data, weights)
    x, y = data.constraints[:, ~data.treated], data.outcomes[0, 5:].sum(axis=0)
    by = fit.weights if method == "raking" else (fit.weights > 0).astype(float)
    root = np.sqrt(by)
    left = np.zeros(by.size)
    for i in np.flatnonzero(by):
        others = np.arange(by.size) != i
        beta = np.linalg.lstsq((x * root).T[others], (root * y[~data.treated])[others], rcond=None)[0]
        left[i] = y[~data.treated][i] - beta @ x[:, i]
    beta = np.linalg.lstsq((x * root).T, root * y[~data.treated], rcond=None)[0]
    own = y[data.treated] - beta @ data.constraints[:, data.treated]
    assert found.std_error[0] == pytest.approx(
        np.sqrt(own @ own + (fit.weights * left) @ (fit.weights * left))
    )


def test_too_few_weighted_units_give_no_calibrated_error():
    data = small_data(units=20, treated=4)
    weights, _ = data.weights()
    found = linearised(data, weights)
    assert np.isnan(found.std_error).all() and np.isnan(found.omnibus) and np.isnan(found.together)
    assert np.isfinite(linearised(data, weights, "units").std_error).all()


def test_an_outcome_that_nobody_has():
    data = small_data()
    outcomes = data.outcomes.copy()
    outcomes[1] = 0.0
    data = replace(data, outcomes=outcomes)
    weights, _ = data.weights()
    found = linearised(data, weights, "units")
    assert found.difference[1] == 0 and np.isnan([found.statistic[1], found.relative[1], found.low[1]]).all()
    assert np.isfinite([found.statistic[0], found.omnibus, found.together]).all()


def test_jackknife_with_one_constraint_by_hand():
    outcomes = np.array([[[1.0, 3.0, 2.0, 4.0]]])
    data = SmallUnits(outcomes, np.ones((1, 4)), np.array([True, True, False, False]), 0)
    found = jackknife(data, seed=4)
    # A group is one treated and one control; what is left counts twice: 2 (1 - 2), 2 (3 - 4), or crossed.
    possible = [[2 * (a - b) for a, b in pairs] for pairs in (((1, 2), (3, 4)), ((1, 4), (3, 2)))]
    variances = [np.sum((np.array(values) + 2) ** 2) / 2 for values in possible]
    assert found.groups == 2 and found.infeasible == 0
    assert np.isclose(found.errors.covariance[0, 0], variances).any()
    with pytest.raises(ValueError, match="groups"):
        jackknife(data, 3)


def test_jackknife_is_near_the_calibrated_error_and_repeats():
    data = small_data(2, units=600, treated=60)
    weights, _ = data.weights()
    found, again = jackknife(data, 30, seed=1), jackknife(data, 30, seed=1)
    assert (found.errors.std_error == again.errors.std_error).all()
    assert found.errors.std_error == pytest.approx(linearised(data, weights).std_error, rel=0.4)


def test_permutation_is_the_same_on_any_number_of_threads_and_counts_by_hand():
    data = small_data()
    one, two = permute(data, 19, seed=3), permute(data, 19, seed=3, threads=2)
    assert (one.statistics == two.statistics).all() and (one.p_value == two.p_value).all()
    weights, fit = data.weights()
    observed = linearised(data, weights)
    assert fit.feasible and one.statistics.shape == (19 - one.infeasible, 3)
    for k in range(2):
        count = np.sum(np.abs(one.statistics[:, k]) >= abs(observed.statistic[k]))
        assert one.p_value[k] == pytest.approx((1 + count) / (1 + len(one.statistics)))
    third, feasible = placebo(data, (3, 2))
    assert feasible and one.infeasible == 0 and (third == one.statistics[2]).all()
    assert np.isinf(permute(data, 5, level=0.95).high).all()
    middle = np.log1p(observed.relative)
    assert np.log1p(one.high) - middle == pytest.approx(middle - np.log1p(one.low))


def test_permutation_finds_an_effect():
    data = small_data(1, units=300, treated=30)
    outcomes = data.outcomes.copy()
    outcomes[0, 5:, data.treated] *= 3
    found = permute(replace(data, outcomes=outcomes), 39)
    assert (
        found.p_value[0] == pytest.approx(1 / 40)
        and found.omnibus == pytest.approx(1 / 40)
        and found.low[0] > 0.5
    )


@pytest.mark.slow
def test_calibrated_errors_hold_their_level():
    repeats = 200
    z = np.array(
        [
            linearised(data, data.weights()[0]).statistic
            for data in (small_data(seed, units=400, treated=40) for seed in range(repeats))
        ]
    )
    rejected = np.mean(np.abs(z) > 1.96, axis=0)
    assert (np.abs(rejected - 0.05) < 3 * np.sqrt(0.05 * 0.95 / repeats)).all()
