"""Bootstraps and the jackknife against formulas of difference-in-differences, and tests before the start."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from qieval.errors import EstimationError
from qieval.numerics.factor_inference import (
    EffectInference,
    Effects,
    block_bootstrap,
    by_completion,
    by_factors,
    effects,
    jackknife,
    parametric_bootstrap,
)
from qieval.numerics.factor_least_squares import Stop
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_pretests import default_bound, placebo_panel, pre_tests
from qieval.numerics.interactive_effects import FactorModel
from qieval.numerics.resampling import Resampling

PLAIN = by_factors(FactorModel(0))


USUAL = {"treated": 1, "controls": 40, "before": 12, "r": 0, "effect": 0.0}


def simulated(seed=0, **options):
    made, rng = SimpleNamespace(**(USUAL | options)), np.random.default_rng(seed)
    n, t = made.treated + made.controls, made.before + 6
    start = np.where(np.arange(n) < made.treated, made.before, t)
    y = rng.standard_normal((n, 1)) + rng.standard_normal(t) + rng.standard_normal((n, t))
    y = y + rng.standard_normal((n, made.r)) @ rng.standard_normal((made.r, t))
    untreated = np.arange(t) < start[:, None]
    return FactorPanel(y + made.effect * ~untreated, untreated, start)


def changes(panel, before=12):
    """After minus before of every unit: difference-in-differences is a difference of their means."""
    return panel.y[:, before:].mean(axis=1) - panel.y[:, :before].mean(axis=1)


def test_effects_by_hand():
    y = np.array([[1.0, 2.0, 5.0, 7.0], [1.0, 1.0, 4.0, np.nan], [0.0, 0.0, 0.0, 0.0]])
    start = np.array([2, 1, 4])
    panel = FactorPanel(y, np.arange(4) < start[:, None], start)
    found = effects(panel, np.ones((3, 4)))
    assert found.periods.tolist() == [-2, -1, 0, 1]
    assert found.att == pytest.approx([0, (1 + 0) / 2, (4 + 0) / 2, (6 + 3) / 2])
    assert found.n_units.tolist() == [1, 2, 2, 2]
    assert found.average == pytest.approx((4 + 6 + 0 + 3) / 4)
    nothing = np.where(panel.treated_cells, np.nan, 1.0)
    with pytest.raises(EstimationError, match="too few pre-periods"):
        effects(panel, nothing)


def test_jackknife_of_difference_in_differences():
    panel = simulated(treated=6, effect=1.0)
    change, treated = changes(panel), ~panel.controls
    left_out = []
    for unit in range(46):
        kept = np.arange(46) != unit
        left_out.append(change[kept & treated].mean() - change[kept & ~treated].mean())
    se = np.sqrt(45 / 46 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    found = jackknife(panel, PLAIN, level=0.9)
    average = change[treated].mean() - change[~treated].mean()
    assert found.effects.average == pytest.approx(average)
    assert found.average_se == pytest.approx(se)
    assert found.average_high == pytest.approx(average + stats.t.ppf(0.95, 5) * se)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(average) / se, 5))
    assert found.se.shape == found.effects.att.shape and found.n_failed == 0


def test_block_bootstrap_of_difference_in_differences():
    panel = simulated(treated=20, effect=1.0)
    change, treated = changes(panel), ~panel.controls
    se = np.sqrt(change[treated].var() / 20 + change[~treated].var() / 40)
    found = block_bootstrap(panel, PLAIN, Resampling(draws=400))
    assert found.average_se == pytest.approx(se, rel=0.1)
    assert found.average_low < found.effects.average < found.average_high
    assert found.average_high - found.average_low == pytest.approx(2 * 1.96 * se, rel=0.12)
    assert found.p_value == pytest.approx(1 / 401)


def test_parametric_bootstrap_of_one_treated_unit():
    panel = simulated(seed=3, controls=60)
    found = parametric_bootstrap(panel, PLAIN, Resampling(draws=300))
    y = panel.y[panel.controls]
    since = y[:, 12:] - y[:, :12].mean(axis=1, keepdims=True)
    se = np.column_stack([since.mean(axis=1), since]).std(axis=0, ddof=1) * np.sqrt(1 + 1 / 60)
    assert found.average_se == pytest.approx(se[0], rel=0.15)
    assert found.se[found.effects.periods >= 0] == pytest.approx(se[1:], rel=0.15)
    errors = found.errors[:, 0]
    ends = np.quantile(errors, [0.975, 0.025])
    assert [found.average_low, found.average_high] == pytest.approx(list(found.effects.average - ends))
    extreme = np.sum(np.abs(errors) >= abs(found.effects.average))
    assert found.p_value == (1 + extreme) / 301


@pytest.mark.parametrize("how", [parametric_bootstrap, block_bootstrap])
def test_draws_are_seeded_and_follow_the_units_of_measurement(how):
    panel, estimate = simulated(treated=3, r=1), by_factors(FactorModel(1))
    one, again = (how(panel, estimate, Resampling(draws=30, seed=4)) for _ in range(2))
    assert np.array_equal(one.errors, again.errors)
    assert not np.array_equal(one.errors, how(panel, estimate, Resampling(draws=30, seed=5)).errors)
    scaled = how(replace(panel, y=1e4 * panel.y + 1e6), estimate, Resampling(draws=30, seed=4))
    assert scaled.errors == pytest.approx(1e4 * one.errors, abs=1e-3)
    assert scaled.p_value == one.p_value


@pytest.mark.parametrize("estimate", [by_factors(FactorModel(1, source="untreated")), by_completion(0.03)])
def test_staggered_starts_and_missing_cells(estimate):
    rng = np.random.default_rng(6)
    panel = simulated(seed=6, treated=4, controls=25, r=1, effect=3.0)
    start = panel.treated_from.copy()
    start[:2] = 10
    missing = rng.random(panel.shape) < 0.05
    earlier = (np.arange(18) >= 10) & panel.untreated & (start == 10)[:, None]
    y = np.where(missing, np.nan, panel.y + 3.0 * earlier)
    panel = FactorPanel(y, panel.untreated & (np.arange(18) < start[:, None]) & ~missing, start)
    for how in (parametric_bootstrap, block_bootstrap):
        found = how(panel, estimate, Resampling(draws=30))
        assert np.isfinite(found.errors[:, 0]).all() and found.n_failed == 0
        assert 0 < found.average_low < found.effects.average < found.average_high
        assert found.effects.periods.tolist() == list(range(-12, 8))


def test_draws_that_cannot_be_estimated_are_counted():
    panel = simulated(treated=2)
    short = panel.untreated & ((np.arange(42) > 0)[:, None] | (np.arange(18) < 1))
    found = block_bootstrap(replace(panel, untreated=short), by_factors(FactorModel(1)), Resampling(draws=60))
    assert 0 < found.n_failed < 60 and np.isnan(found.errors[:, 0]).sum() == found.n_failed
    assert np.isfinite(found.average_se)


def test_fits_that_do_not_settle_are_not_used():
    unfinished = FactorModel(2, source="untreated", stop=Stop(most=2))
    with pytest.raises(EstimationError, match="Take fewer factors"):
        parametric_bootstrap(simulated(r=2), by_factors(unfinished))


def test_what_cannot_be_told_is_said():
    few = simulated(controls=4)
    with pytest.raises(EstimationError, match="needs 5 or more"):
        parametric_bootstrap(few, PLAIN)
    for how in (block_bootstrap, jackknife):
        with pytest.raises(EstimationError, match="one treated unit"):
            how(few, PLAIN)


def test_placebo_periods_find_what_came_before_the_start():
    panel = simulated(seed=8, treated=5, effect=9.0)
    early = replace(panel, y=panel.y + 2.0 * (panel.event_time >= -3) * ~panel.controls[:, None])
    found = [
        parametric_bootstrap(placebo_panel(one, 3), PLAIN, Resampling(draws=99)) for one in (panel, early)
    ]
    assert found[0].effects.periods.tolist() == list(range(-9, 3))
    assert found[0].p_value > 0.05 and found[1].p_value < 0.02
    assert found[1].effects.average - found[0].effects.average == pytest.approx(2)
    with pytest.raises(ValueError, match="placebo"):
        placebo_panel(panel, 0)


def test_tests_before_the_start_by_hand():
    found = Effects(np.array([-2, -1, 0]), np.array([0.5, -1.0, 4.0]), np.array([3, 3, 3]), 4.0)
    errors = np.array([[0, 1.0, 0.5, 0], [0, -1.0, -0.5, 0], [0, 0.1, -2.5, 0], [0, -0.1, 2.5, 0]])
    blank = np.zeros(3)
    inference = EffectInference(
        "block bootstrap", found, blank, blank, blank, 1.0, 0.0, 0.0, 1.0, errors, n_failed=0
    )
    panel = simulated(treated=3)
    tests = pre_tests(panel, inference, bound=2.0)
    se = errors[:, 1:3].std(axis=0)
    statistic = np.sum((np.array([0.5, -1.0]) / se) ** 2)
    drawn = np.sum((errors[:, 1:3] / se) ** 2, axis=1)
    assert tests.periods.tolist() == [-2, -1]
    assert tests.statistic == pytest.approx(statistic)
    assert tests.p_joint == pytest.approx((1 + np.sum(drawn >= statistic)) / 5)
    # truths: 0.5 minus (1, -1, .1, -.1) stays within 2; -1 minus (.5, -.5, -2.5, 2.5) leaves it once
    assert tests.p_equivalence == pytest.approx([1 / 5, 2 / 5]) and tests.p_value == pytest.approx(2 / 5)
    truths = np.array([0.5, -1.0]) - errors[:, 1:3]
    assert tests.smallest_bound == pytest.approx(np.abs(np.quantile(truths, [0.05, 0.95], axis=0)).max())
    with pytest.raises(EstimationError, match="draws of a bootstrap"):
        pre_tests(panel, jackknife(panel, PLAIN))


def test_a_missed_factor_shows_before_the_start():
    panel = simulated(seed=2, treated=10, controls=50)
    trend = np.where(panel.controls, 0.0, 1.0)[:, None] * np.linspace(0, 3, 18)
    tests = []
    for one in (panel, replace(panel, y=panel.y + trend)):
        inference = parametric_bootstrap(one, PLAIN, Resampling(draws=99))
        tests.append(pre_tests(one, inference))
    assert tests[0].p_joint > 0.05 and tests[1].p_joint < 0.02
    assert tests[0].smallest_bound < tests[1].smallest_bound
    assert tests[0].bound == pytest.approx(0.36, rel=0.1)
    assert default_bound(replace(panel, y=panel.y * 100)) == pytest.approx(100 * tests[0].bound)


@pytest.mark.slow
@pytest.mark.parametrize(("treated", "before"), [(1, 10), (5, 20)])
def test_parametric_intervals_cover_and_the_joint_test_keeps_its_size(treated, before):
    repeats, hits, rejected = 150, 0, 0
    for seed in range(repeats):
        panel = simulated(seed, treated=treated, controls=30, before=before, r=2)
        found = parametric_bootstrap(panel, by_factors(FactorModel(2)), Resampling(draws=150, seed=seed))
        hits += found.average_low <= 0 <= found.average_high
        rejected += pre_tests(panel, found).p_joint <= 0.05
    allowed = 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert abs(hits / repeats - 0.95) < allowed and rejected / repeats < 0.05 + allowed
