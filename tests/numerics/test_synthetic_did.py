import itertools

import numpy as np
import pytest
from scipy import optimize

from qieval.errors import EstimationError
from qieval.numerics.kernels.synthetic_did import frank_wolfe
from qieval.numerics.synthetic_did import Study, fit_study, staggered, synthetic_did
from qieval.numerics.synthetic_did_covariates import Covariates, projected
from qieval.numerics.synthetic_did_errors import bootstrap_errors, jackknife_errors, placebo_errors
from qieval.numerics.synthetic_did_weights import AS_R, EXACT, Block, Optimiser, find_weights, penalties

BOTH = pytest.mark.parametrize("optimiser", [AS_R, EXACT], ids=["as R", "exact"])
KINDS = pytest.mark.parametrize("kind", ["sdid", "sc", "did"])


def panel(n=14, t=12, treated=2, seed=0):
    rng = np.random.default_rng(seed)
    factors, loadings = rng.standard_normal((t, 2)).cumsum(axis=0), rng.standard_normal((n, 2))
    outcomes = 50 + 5 * rng.standard_normal((n, 1)) + loadings @ factors.T + rng.standard_normal((n, t))
    return outcomes, np.arange(n) >= n - treated


def slow_frank_wolfe(a, b, zeta, start, enough, limit):
    """One step after another as in Arkhangelsky et al.'s R code: residuals and gradients anew each time."""
    w, values = start, []
    eta = len(b) * zeta**2
    while len(values) < limit and (len(values) < 2 or values[-2] - values[-1] > enough**2):
        half = (a @ w - b) @ a + eta * w
        best = int(np.argmin(half))
        move = -w.copy()
        move[best] += 1
        if np.any(move != 0):
            error = a[:, best] - a @ w
            w = w + min(1, max(0, -half @ move / (error @ error + eta * move @ move))) * move
        values.append(zeta**2 * w @ w + np.sum((a @ w - b) ** 2) / len(b))
    return w


def slow_weights(a, b, zeta, noise, intercept):
    if intercept:
        a, b = a - a.mean(axis=0), b - b.mean()
    j = a.shape[1]
    w = slow_frank_wolfe(a, b, zeta, np.full(j, 1 / j), 1e-5 * noise, 100)
    w = np.where(w <= w.max() / 4, 0, w)
    return slow_frank_wolfe(a, b, zeta, w / w.sum(), 1e-5 * noise, 10_000)


def slow_estimate(outcomes, treated, pre, kind):
    controls, target = outcomes[~treated], outcomes[treated].mean(axis=0)
    noise = np.diff(controls[:, :pre], axis=1).std(ddof=1)
    after = controls[:, pre:].mean(axis=1)
    j, cells = len(controls), treated.sum() * (outcomes.shape[1] - pre)
    if kind == "did":
        omega, time = np.full(j, 1 / j), np.full(pre, 1 / pre)
    elif kind == "sc":
        omega = slow_weights(controls[:, :pre].T, target[:pre], 1e-6 * noise, noise, False)
        time = np.zeros(pre)
    else:
        omega = slow_weights(controls[:, :pre].T, target[:pre], cells**0.25 * noise, noise, True)
        time = slow_weights(controls[:, :pre], after, 1e-6 * noise, noise, True)
    gap = target - omega @ controls
    return gap[pre:].mean() - gap[:pre] @ time, omega, time


@KINDS
@pytest.mark.parametrize("treated", [1, 3])
def test_equals_the_algorithm_written_out(kind, treated):
    outcomes, mask = panel(treated=treated, seed=treated)
    found = synthetic_did(outcomes, mask, 8, kind=kind)
    estimate, omega, time = slow_estimate(outcomes, mask, 8, kind)
    assert found.estimate == pytest.approx(estimate, abs=1e-9)
    np.testing.assert_allclose(found.unit_weights[~mask], omega, atol=1e-9)
    np.testing.assert_allclose(found.time_weights, time, atol=1e-9)
    assert not found.unit_weights[mask].any()


def test_frank_wolfe_stops_within_its_gap():
    rng = np.random.default_rng(1)
    d = rng.standard_normal((9, 20))
    gram, start = d.T @ d, np.full(20, 0.05)
    _, best, none, *_ = frank_wolfe(gram, 0.5, start, 0.0, 2_000_000)
    assert none < 1e-5 * best
    for limit in (2, 10, 100):
        weights, value, gap, steps, stopped = frank_wolfe(gram, 0.5, start, 0.0, limit)
        assert value == pytest.approx(weights @ gram @ weights + 0.5 * weights @ weights, rel=1e-12)
        assert -1e-12 <= value - best <= gap
        assert (steps, stopped) == (limit, False)
        assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    assert frank_wolfe(gram, 0.5, start, 1e9, 100)[3:] == (2, True)


def test_two_controls_and_two_periods_by_hand():
    # Unit weights (w, 1-w) of paths with slopes 2 and 6, treated slope 3: centred errors are +-(slope - 3)/2.
    outcomes = np.array([[0.0, 2, 3, 5], [4, 10, 12, 10], [7, 10, 20, 24]])
    mask = np.array([False, False, True])
    found = synthetic_did(outcomes, mask, 2, optimiser=EXACT)
    noise = np.std([2, 6], ddof=1)
    ridge = 2 * np.sqrt(2) * noise**2  # periods * (1 treated * 2 periods)^(1/2) * noise^2
    # Least value of (6 - 4w - 3)^2 / 2 + ridge (w^2 + (1-w)^2).
    w = (6 + ridge) / (8 + 2 * ridge)
    np.testing.assert_allclose(found.unit_weights, [w, 1 - w, 0], atol=1e-12)
    # Controls' means after the start 4 and 11: differences 7, 4 (period 0) and 8 (period 1); share 1/4.
    np.testing.assert_allclose(found.time_weights, [0.25, 0.75], atol=1e-9)
    gain = np.array([4 - 1.5, 11 - 8.5])
    assert found.estimate == pytest.approx(22 - 9.25 - gain @ [w, 1 - w], abs=1e-9)
    assert found.penalties.noise_level == noise


def test_difference_in_differences_is_the_two_by_two_of_means():
    outcomes, mask = panel()
    before, after = outcomes[:, :7].mean(axis=1), outcomes[:, 7:].mean(axis=1)
    expected = (after - before)[mask].mean() - (after - before)[~mask].mean()
    assert synthetic_did(outcomes, mask, 7, kind="did").estimate == pytest.approx(expected, abs=1e-12)


def test_synthetic_control_is_the_constrained_least_squares_fit():
    outcomes, mask = panel(n=7, t=20, treated=1)
    found = synthetic_did(outcomes, mask, 16, kind="sc", optimiser=EXACT)
    d = outcomes[~mask, :16].T - outcomes[mask, :16].T
    weights, _ = optimize.nnls(np.vstack([d, np.ones(6)]), np.append(np.zeros(16), 1.0))
    np.testing.assert_allclose(found.unit_weights[~mask], weights / weights.sum(), atol=1e-8)
    assert found.shift == 0
    np.testing.assert_allclose(found.synthetic, found.unit_weights @ outcomes, rtol=1e-12)


@BOTH
@KINDS
def test_paths_effects_and_estimate_belong_together(kind, optimiser):
    outcomes, mask = panel()
    found = synthetic_did(outcomes, mask, 8, kind=kind, optimiser=optimiser)
    np.testing.assert_allclose((found.treated_mean - found.synthetic)[8:], found.effect_by_period, atol=1e-12)
    assert found.effect_by_period.mean() == pytest.approx(found.estimate, abs=1e-12)
    assert found.unit_weights.sum() == pytest.approx(1) and (found.unit_weights >= 0).all()
    if kind != "sc":
        assert found.time_weights @ (found.treated_mean - found.synthetic)[:8] == pytest.approx(0, abs=1e-10)


@BOTH
@KINDS
@pytest.mark.parametrize("scale", [1e-6, 1e9])
def test_units_of_measurement_do_not_matter(kind, optimiser, scale):
    outcomes, mask = panel()
    one = synthetic_did(outcomes, mask, 8, kind=kind, optimiser=optimiser)
    other = synthetic_did(scale * outcomes - 7 * scale, mask, 8, kind=kind, optimiser=optimiser)
    assert other.estimate == pytest.approx(scale * one.estimate, rel=1e-7)
    np.testing.assert_allclose(other.unit_weights, one.unit_weights, atol=1e-7)


@BOTH
def test_unit_effects_do_not_matter_and_period_effects_only_to_the_noise_level(optimiser):
    outcomes, mask = panel()
    rng = np.random.default_rng(4)
    one = synthetic_did(outcomes, mask, 8, optimiser=optimiser)
    level = outcomes + 100 * rng.standard_normal((14, 1))
    assert synthetic_did(level, mask, 8, optimiser=optimiser).estimate == pytest.approx(
        one.estimate, abs=1e-8
    )
    moved = level + 10 * rng.standard_normal(12)
    assert synthetic_did(moved, mask, 8).penalties.noise_level > one.penalties.noise_level
    block = Block(moved[~mask], moved[mask].mean(axis=0), 8)
    again = find_weights(block, one.penalties, "sdid", optimiser)
    np.testing.assert_allclose(again.units, one.unit_weights[~mask], atol=1e-8)


@BOTH
def test_an_effect_is_added_one_for_one(optimiser):
    outcomes, mask = panel()
    treated = outcomes.copy()
    treated[mask, 8:] += 4.25
    one, other = (synthetic_did(held, mask, 8, optimiser=optimiser) for held in (outcomes, treated))
    assert other.estimate - one.estimate == pytest.approx(4.25, abs=1e-10)


@BOTH
@KINDS
def test_the_order_of_units_does_not_matter(kind, optimiser):
    outcomes, mask = panel()
    order = np.random.default_rng(2).permutation(14)
    one = synthetic_did(outcomes, mask, 8, kind=kind, optimiser=optimiser)
    other = synthetic_did(outcomes[order], mask[order], 8, kind=kind, optimiser=optimiser)
    assert other.estimate == pytest.approx(one.estimate, abs=1e-9)
    np.testing.assert_allclose(other.unit_weights, one.unit_weights[order], atol=1e-8)


def test_the_exact_optimum_is_no_worse_and_the_gap_says_by_how_much():
    outcomes, mask = panel(n=40, t=30, treated=1, seed=3)
    found = [
        synthetic_did(outcomes, mask, 20, optimiser=each)
        for each in (AS_R, Optimiser(pre_iterations=2), EXACT)
    ]
    a = outcomes[~mask, :20].T - outcomes[mask, :20].T
    a -= a.mean(axis=0)
    losses = []
    for each in found:
        w = each.unit_weights[~mask]
        losses.append(np.sum((a @ w) ** 2) + 20 * each.penalties.zeta_omega**2 * w @ w)
        assert losses[-1] * (1 - each.unit_gap) <= losses[-1]
    assert losses[2] <= min(losses) * (1 + 1e-12)
    assert found[2].unit_gap < 1e-10 and found[2].converged
    for loss, each in zip(losses, found, strict=True):
        assert loss * (1 - each.unit_gap) <= losses[2] * (1 + 1e-12)


def test_one_cohort_is_the_block():
    outcomes, mask = panel()
    block = synthetic_did(outcomes, mask, 8)
    for never in (12, 99):
        found = staggered(outcomes, np.where(mask, 8, never))
        assert found.estimate == pytest.approx(block.estimate, abs=1e-13)
        np.testing.assert_allclose(found.event_effects, block.effect_by_period, atol=1e-13)
    assert found.shares.tolist() == [1.0] and found.starts.tolist() == [8]


def test_cohorts_are_averaged_by_treated_cells():
    outcomes, _ = panel()
    first = np.array([12] * 9 + [5, 5, 5, 9, 9])
    found = staggered(outcomes, first)
    parts = [
        synthetic_did(
            outcomes[(first == start) | (first == 12)], first[(first == start) | (first == 12)] < 12, start
        )
        for start in (5, 9)
    ]
    assert found.estimate == pytest.approx((21 * parts[0].estimate + 6 * parts[1].estimate) / 27, abs=1e-12)
    np.testing.assert_allclose(found.shares, [21 / 27, 6 / 27])
    early, late = (part.effect_by_period for part in parts)
    np.testing.assert_allclose(found.event_effects[:3], (3 * early[:3] + 2 * late) / 5, atol=1e-12)
    np.testing.assert_allclose(found.event_effects[3:], early[3:], atol=1e-12)
    assert found.event_units.tolist() == [5, 5, 5, 3, 3, 3, 3]
    assert found.event_effects @ found.event_units / 27 == pytest.approx(found.estimate, abs=1e-12)


def test_with_a_horizon_units_treated_later_are_controls():
    outcomes, _ = panel()
    first = np.array([12] * 4 + [5, 5, 9, 10, 10, 10, 9, 9, 9, 9])
    found = staggered(outcomes, first, kind="did", horizon=3)
    controls = first >= 8
    change = outcomes[:, 5:8].mean(axis=1) - outcomes[:, :5].mean(axis=1)
    expected = change[first == 5].mean() - change[controls].mean()
    assert found.cohorts[0].estimate == pytest.approx(expected, abs=1e-12)
    assert np.flatnonzero(found.cohorts[0].unit_weights).tolist() == np.flatnonzero(controls).tolist()
    assert [cohort.effect_by_period.size for cohort in found.cohorts] == [3, 3, 2]
    assert found.cohorts[1].unit_weights[first == 10].sum() == 0


def test_projected_coefficients_are_those_of_the_regression_with_dummies():
    outcomes, mask = panel()
    values = np.random.default_rng(5).standard_normal((2, 14, 12))
    untreated = np.arange(12) < np.where(mask, 8, 12)[:, None]
    unit, time = np.nonzero(untreated)
    dummies = np.hstack([np.eye(14)[unit], np.eye(12)[time]])
    design = np.hstack([values[:, untreated].T, dummies])
    expected = np.linalg.lstsq(design, outcomes[untreated], rcond=None)[0][:2]
    np.testing.assert_allclose(projected(outcomes, values, untreated), expected, atol=1e-9)
    found = synthetic_did(outcomes, mask, 8, covariates=Covariates(values))
    adjusted = outcomes - np.tensordot(expected, values, axes=1)
    assert found.estimate == pytest.approx(synthetic_did(adjusted, mask, 8).estimate, abs=1e-8)
    fixed = np.concatenate([values, np.ones((1, 14, 12))])
    again = synthetic_did(outcomes, mask, 8, covariates=Covariates(fixed))
    assert np.isnan(again.coefficients[2]) and again.estimate == pytest.approx(found.estimate, abs=1e-9)


@pytest.mark.parametrize("kind", ["sdid", "did"])
def test_optimised_coefficient_minimises_the_joint_objective(kind):
    outcomes, mask = panel()
    values = np.random.default_rng(5).standard_normal((1, 14, 12))
    outcomes = outcomes + 3 * values[0]
    found = synthetic_did(outcomes, mask, 8, covariates=Covariates(values, "optimised"), kind=kind)

    def objective(beta):
        held = outcomes - beta * values[0]
        block = Block(held[~mask], held[mask].mean(axis=0), 8)
        weights = find_weights(block, found.penalties, kind, EXACT)
        unit = weights.units @ block.controls[:, :8] - block.target[:8]
        time = block.controls[:, :8] @ weights.periods - block.controls[:, 8:].mean(axis=1)
        loss = unit.var() + time.var()
        if kind == "sdid":
            loss += found.penalties.zeta_omega**2 * weights.units @ weights.units
            loss += found.penalties.zeta_lambda**2 * weights.periods @ weights.periods
        return loss

    best = optimize.minimize_scalar(objective, bounds=(0, 6), method="bounded", options={"xatol": 1e-7})
    assert found.converged
    assert found.coefficients[0] == pytest.approx(best.x, abs=1e-4)
    assert objective(found.coefficients[0]) <= best.fun * (1 + 1e-8)


@pytest.mark.parametrize("how", ["projected", "optimised"])
def test_units_of_covariates_do_not_matter(how):
    outcomes, mask = panel()
    values = np.random.default_rng(5).standard_normal((2, 14, 12))
    scale = np.array([1e-4, 1e5])
    one = synthetic_did(outcomes, mask, 8, covariates=Covariates(values, how))
    other = synthetic_did(outcomes, mask, 8, covariates=Covariates(values * scale[:, None, None], how))
    assert other.estimate == pytest.approx(one.estimate, abs=1e-6)
    np.testing.assert_allclose(other.coefficients * scale, one.coefficients, rtol=1e-4)


def simulated(rng, effect, beta=0.0):
    """Units whose starts depend on a loading of a rising factor, which breaks parallel trends."""
    n, t = 40, 24
    loading = rng.uniform(0, 2, n)
    factor = np.linspace(0, 6, t) + rng.standard_normal(t)
    first = np.where(np.arange(n) < 6, np.where(np.arange(n) < 3, 14, 18), t)
    loading[:6] = rng.uniform(1, 2, 6)
    values = rng.standard_normal((1, n, t))
    since = np.arange(t) >= first[:, None]
    values[0] += 2 * since
    outcomes = np.outer(loading, factor) + beta * values[0] + 0.5 * rng.standard_normal((n, t))
    return outcomes + effect * since, first, values


def test_recovers_the_truth_where_trends_are_not_parallel():
    rng = np.random.default_rng(8)
    found = np.array(
        [[staggered(*held, kind=kind).estimate for kind in ("sdid", "did")] for held in
         (simulated(rng, 3.0)[:2] for _ in range(60))]
    )  # fmt: skip
    mean, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(60)
    assert abs(mean[1] - 3) > 10 * error[1]
    assert abs(mean[0] - 3) < 0.15 * abs(mean[1] - 3)


@pytest.mark.parametrize("how", ["projected", "optimised"])
def test_covariates_remove_what_they_cause(how):
    rng = np.random.default_rng(9)
    found = []
    for _ in range(8):
        outcomes, first, values = simulated(rng, 3.0, beta=1.5)
        plain = staggered(outcomes, first)
        fitted = staggered(outcomes, first, covariates=Covariates(values, how))
        found.append([plain.estimate, fitted.estimate, fitted.cohorts[0].coefficients[0]])
    plain, adjusted, beta = np.mean(found, axis=0)
    assert beta == pytest.approx(1.5, abs=0.1)
    assert abs(adjusted - 3) < 0.5 < 2 < plain - 3


def test_placebos_are_the_fits_of_each_control_in_turn():
    outcomes, mask = panel(n=12, treated=1)
    study = Study(outcomes, np.where(mask, 8, 12), optimiser=EXACT)
    fitted = fit_study(study)
    found = placebo_errors(study, fitted)
    effects = []
    for i in range(11):
        others = np.delete(np.arange(11), i)
        block = Block(outcomes[others], outcomes[i], 8)
        weights = find_weights(block, fitted.cohorts[0].penalties, "sdid", EXACT)
        gap = outcomes[i] - weights.units @ outcomes[others]
        effects.append(gap[8:].mean() - gap[:8] @ weights.periods)
    np.testing.assert_allclose(found.effects, effects, atol=1e-9)
    assert found.std_error == pytest.approx(np.std(effects), rel=1e-9)
    assert found.enumerated and found.monte_carlo == 0
    beyond = np.sum(np.abs(effects) >= abs(fitted.estimate))
    assert found.p_value == (1 + beyond) / 12 and found.smallest_p == 1 / 12
    assert np.isinf(found.interval).all()
    assert found.by_event.shape == (11, 4)
    np.testing.assert_allclose(found.by_event.mean(axis=1), found.effects, atol=1e-12)
    assert fitted.estimate - found.normal_interval[0] == pytest.approx(1.959964 * found.std_error, rel=1e-6)


def test_the_placebo_interval_holds_the_null_values_that_are_not_rejected():
    outcomes, mask = panel(n=40, treated=1, seed=6)
    study = Study(outcomes, np.where(mask, 8, 12))
    fitted = fit_study(study)
    found = placebo_errors(study, fitted, level=0.9)
    low, high = found.interval
    for null, kept in ((low + 1e-6, True), (high - 1e-6, True), (low - 1e-6, False), (high + 1e-6, False)):
        p = (1 + np.sum(np.abs(found.effects) >= abs(fitted.estimate - null))) / 40
        assert (p > 0.1) == kept
    p = (1 + np.sum(np.abs(found.by_event) >= np.abs(fitted.event_effects), axis=0)) / 40
    np.testing.assert_array_equal(found.event_p_values, p)
    low, high = found.event_intervals.T
    np.testing.assert_array_equal((low > 0) | (high < 0), p <= 0.1)


def test_few_assignments_are_all_used_and_many_are_drawn():
    outcomes, mask = panel(n=12, treated=2)
    study = Study(outcomes, np.where(mask, 8, 12), kind="did")
    fitted = fit_study(study)
    every = placebo_errors(study, fitted)
    change = outcomes[:, 8:].mean(axis=1) - outcomes[:, :8].mean(axis=1)
    expected = [
        change[list(pair)].mean() - np.delete(change[:10], pair).mean()
        for pair in itertools.combinations(range(10), 2)
    ]
    np.testing.assert_allclose(every.effects, expected, atol=1e-12)
    drawn = placebo_errors(study, fitted, draws=40, seed=3)
    assert not drawn.enumerated and drawn.effects.size == 40 and drawn.monte_carlo > 0
    assert set(drawn.effects.round(9)) <= set(np.round(expected, 9))
    np.testing.assert_array_equal(drawn.effects, placebo_errors(study, fitted, draws=40, seed=3).effects)
    assert np.any(drawn.effects != placebo_errors(study, fitted, draws=40, seed=4).effects)


def test_placebos_of_several_cohorts_keep_their_starts():
    outcomes, _ = panel(n=9)
    study = Study(outcomes, np.array([12] * 7 + [5, 9]), kind="did")
    found = placebo_errors(study, fit_study(study))
    expected = [
        staggered(
            outcomes[:7], np.where(np.arange(7) == i, 5, np.where(np.arange(7) == k, 9, 12)), kind="did"
        ).estimate
        for i, k in itertools.permutations(range(7), 2)
    ]
    np.testing.assert_allclose(found.effects, expected, atol=1e-12)


def test_monte_carlo_error_is_that_of_the_standard_error():
    outcomes, mask = panel(n=30, treated=4)
    study = Study(outcomes, np.where(mask, 8, 12), kind="did")
    fitted = fit_study(study)
    found = [placebo_errors(study, fitted, draws=60, seed=seed) for seed in range(40)]
    spread = np.std([each.std_error for each in found])
    assert np.mean([each.monte_carlo for each in found]) == pytest.approx(spread, rel=0.3)


@KINDS
def test_bootstrap_is_refitting_with_the_original_penalties(kind):
    outcomes, mask = panel(n=16, treated=5)
    study = Study(outcomes, np.where(mask, 8, 12), kind=kind, optimiser=EXACT)
    fitted = fit_study(study)
    found = bootstrap_errors(study, fitted, draws=12, seed=2)
    rng, effects = np.random.default_rng(2), []
    while len(effects) < 12:
        units = rng.integers(16, size=16)
        if not 0 < mask[units].sum() < 16:
            continue
        held, chosen = outcomes[units], mask[units]
        block = Block(held[~chosen], held[chosen].mean(axis=0), 8)
        weights = find_weights(block, fitted.cohorts[0].penalties, kind, EXACT)
        gap = block.target - weights.units @ block.controls
        effects.append(gap[8:].mean() - gap[:8] @ weights.periods)
    np.testing.assert_allclose(found.effects, effects, atol=1e-7)
    assert found.std_error == pytest.approx(np.std(effects), rel=1e-6)
    assert found.interval == pytest.approx(tuple(np.quantile(effects, [0.025, 0.975])), abs=1e-6)
    assert np.isnan(found.p_value)


def test_bootstrap_leaves_out_cohorts_that_are_not_drawn():
    outcomes, _ = panel(n=10)
    study = Study(outcomes, np.array([12] * 7 + [5, 9, 9]), kind="did")
    found = bootstrap_errors(study, fit_study(study), draws=60)
    assert np.isfinite(found.effects).all() and np.isfinite(found.by_event[:, :3]).all()
    assert np.isnan(found.by_event[:, 3:]).any() and np.isfinite(found.event_std_error).all()


@KINDS
def test_jackknife_is_leaving_one_out_with_fixed_weights(kind):
    outcomes, mask = panel(n=12, treated=3)
    study = Study(outcomes, np.where(mask, 8, 12), kind=kind)
    fitted = fit_study(study)
    found, one = jackknife_errors(study, fitted), fitted.cohorts[0]
    effects = []
    for i in range(12):
        held, w = np.delete(outcomes, i, axis=0), np.delete(one.unit_weights, i)
        gap = held[np.delete(mask, i)].mean(axis=0) - w / w.sum() @ held
        effects.append(gap[8:].mean() - gap[:8] @ one.time_weights)
    np.testing.assert_allclose(found.effects, effects, atol=1e-11)
    assert found.std_error == pytest.approx(
        np.sqrt(11 / 12 * np.sum((effects - np.mean(effects)) ** 2)), rel=1e-9
    )


def test_jackknife_of_cohorts_weighs_them_anew():
    outcomes, _ = panel(n=12)
    first = np.array([12] * 7 + [5, 5, 5, 9, 9])
    study = Study(outcomes, first, kind="did")
    found = jackknife_errors(study, fit_study(study))
    expected = [staggered(np.delete(outcomes, i, axis=0), np.delete(first, i), kind="did") for i in range(12)]
    np.testing.assert_allclose(found.effects, [each.estimate for each in expected], atol=1e-11)
    np.testing.assert_allclose(found.by_event, [each.event_effects for each in expected], atol=1e-11)


@pytest.mark.slow
def test_coverage_without_an_effect():
    rng, inside = np.random.default_rng(12), []
    for _ in range(120):
        outcomes = rng.standard_normal((24, 1)) + rng.standard_normal(12) + rng.standard_normal((24, 12))
        study = Study(outcomes, np.where(np.arange(24) >= 20, 8, 12), optimiser=EXACT)
        fitted = fit_study(study)
        found = [
            placebo_errors(study, fitted, draws=60, level=0.9),
            bootstrap_errors(study, fitted, draws=60, level=0.9),
            jackknife_errors(study, fitted, level=0.9),
        ]
        inside.append([low <= 0 <= high for low, high in (each.interval for each in found)])
    share, error = np.mean(inside, axis=0), np.sqrt(0.9 * 0.1 / 120)
    assert abs(share[0] - 0.9) < 3 * error
    # Four treated units: the bootstrap and the jackknife see little of their spread, and miss more often.
    assert (share[1:] > 0.75).all()


def test_what_cannot_be_estimated_is_refused():
    outcomes, mask = panel(n=6, treated=1)
    one = Study(outcomes, np.where(mask, 8, 12))
    for method in (bootstrap_errors, jackknife_errors):
        with pytest.raises(EstimationError, match="one treated unit"):
            method(one, fit_study(one))
    many = Study(outcomes, np.where(np.arange(6) < 3, 8, 12))
    with pytest.raises(EstimationError, match="placebos need more units"):
        placebo_errors(many, fit_study(many))
    alone = Study(outcomes, np.array([12, 8, 8, 8, 8, 8]))
    with pytest.raises(EstimationError, match="only control with weight"):
        jackknife_errors(alone, fit_study(alone))
    with pytest.raises(EstimationError, match="no unit is treated"):
        staggered(outcomes, np.full(6, 12))
    with pytest.raises(EstimationError, match="from the first period on"):
        staggered(outcomes, np.array([0, 12, 12, 12, 12, 12]))
    with pytest.raises(EstimationError, match="no control is left"):
        staggered(outcomes, np.array([8, 8, 8, 9, 9, 9]))
    with pytest.raises(EstimationError, match="fewer than two such changes"):
        synthetic_did(outcomes, mask, 1)
    assert synthetic_did(outcomes, mask, 1, kind="did").time_weights.tolist() == [1.0]
    assert np.isnan(penalties(outcomes, 1, 1, "did").noise_level)


@BOTH
def test_controls_without_noise(optimiser):
    outcomes = np.add.outer(np.arange(5.0), np.arange(6.0))
    outcomes[4, 4:] += 2
    found = synthetic_did(outcomes, np.arange(5) == 4, 4, optimiser=optimiser)
    assert found.estimate == pytest.approx(2, abs=1e-9)
