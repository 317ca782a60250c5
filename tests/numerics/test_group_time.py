from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from qieval.numerics import group_time_propensity
from qieval.numerics.group_time import NO_BASE, NO_NEVER, NO_NOT_YET, NO_TREATED, group_time, propensities
from qieval.numerics.group_time_cells import Rules, WidePanel
from qieval.numerics.group_time_comparison import COLLINEAR, FEW_CONTROLS
from qieval.numerics.group_time_propensity import NO_OVERLAP

ESTIMATORS = ["doubly robust", "ipw", "regression"]


def simulated(n=240, seed=0, missing=0.0, never=True):
    """Six periods, cohorts 3, 4 and 6; starts, levels and trends depend on two characteristics."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal(n), rng.random(n) < 0.4])
    lean = x @ [0.6, -0.5] + rng.standard_normal(n)
    start = np.array([3.0, 4.0, 6.0, np.inf if never else 6.0])
    first = start[np.digitize(-lean, [-1.0, -0.4, 0.2])]
    times = np.arange(1, 7)
    y = (x @ [1.0, 2.0])[:, None] + 0.3 * times * x[:, [0]] + rng.standard_normal((n, 6))
    y += np.where(times >= first[:, None], 1.0 + times / 4, 0.0)
    y[rng.random(y.shape) < missing] = np.nan
    weights = rng.uniform(0.5, 2.0, n)
    return WidePanel(times, first, y, x, weights)


def by_hand(d, change, x, w, estimator):
    """One comparison by the formulas of the paper; the logit by a general optimiser."""
    z = np.column_stack([np.ones(len(x)), x])

    def loss(beta):
        linear = z @ beta
        p = 1 / (1 + np.exp(-linear))
        return np.sum(w * (np.logaddexp(0, linear) - d * linear)), z.T @ (w * (p - d))

    beta = minimize(loss, np.zeros(z.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    p = 1 / (1 + np.exp(-z @ beta))
    weight = np.where(p < 0.995, w * p / (1 - p), 0.0)[~d]
    root = np.sqrt(w[~d])
    outcome = z @ np.linalg.lstsq(z[~d] * root[:, None], change[~d] * root, rcond=None)[0]
    residual = change if estimator == "ipw" else change - outcome
    treated = np.average(residual[d], weights=w[d])
    return treated if estimator == "regression" else treated - np.average(residual[~d], weights=weight)


def slowly(panel, rules, cohort, time, base):
    """One cell, found from the definitions."""
    at, before = (list(panel.times).index(value) for value in (time, base))
    later = max(time, base) + rules.anticipation
    control = panel.first > (later if rules.control_group == "not yet" else panel.times[-1])
    treated = panel.first == cohort
    change = panel.y[:, at] - panel.y[:, before]
    earlier = min(at, before)
    x = panel.x[:, earlier] if panel.x.ndim == 3 else panel.x
    w = np.ones(len(change)) if panel.weights is None else panel.weights
    w = w[:, earlier] if w.ndim == 2 else w
    used = (treated | (control & ~treated)) & np.isfinite(change)
    return by_hand(treated[used], change[used], x[used], w[used], rules.estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("base", ["varying", "universal"])
@pytest.mark.parametrize(
    "controls, never, missing, anticipation",
    [("never", True, 0.0, 0), ("not yet", True, 0.1, 1), ("not yet", False, 0.0, 0), ("never", True, 0.1, 0)],
)
def test_agrees_with_the_definitions(estimator, base, controls, never, missing, anticipation):
    panel = simulated(missing=missing, never=never)
    rules = Rules(estimator, controls, base, anticipation)
    found = group_time(panel, rules)
    for cohort, time, before, estimate in zip(
        found.cohort, found.time, found.base, found.estimate, strict=True
    ):
        expected = 0.0 if time == before else slowly(panel, rules, cohort, time, before)
        assert estimate == pytest.approx(expected, abs=2e-6)
    assert set(found.reason) == {""} and len(found.reason) == len(found.estimate) > 5


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("controls, missing", [("never", 0.0), ("not yet", 0.1)])
def test_influence_is_what_leaving_out_a_unit_changes(estimator, controls, missing):
    panel, rules = simulated(800, seed=4, missing=missing), Rules(estimator, controls)
    found = group_time(panel, rules)
    n = found.n
    for unit in range(0, n, 80):
        rest = np.arange(n) != unit
        weights = panel.weights[rest]
        without = group_time(
            WidePanel(panel.times, panel.first[rest], panel.y[rest], panel.x[rest], weights), rules
        )
        change = (n - 1) * (found.estimate - without.estimate)
        used = found.influence[unit] != 0
        assert np.allclose(change[~used], 0, atol=1e-9)
        assert np.allclose(change[used], found.influence[unit, used], rtol=0.15, atol=0.15)
    assert np.allclose(found.influence.mean(axis=0), 0, atol=1e-9)


def test_means_by_hand_without_covariates():
    y = np.array([[1.0, 2.0, 9.0], [3.0, 6.0, 3.0], [2.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 5.0, np.nan]])
    first = np.array([2.0, 2.0, np.inf, np.inf, 3.0])
    panel = WidePanel(np.array([1, 2, 3]), first, y, np.zeros((5, 0)))
    found = group_time(panel, Rules())
    assert found.cohort.tolist() == [2, 2, 3, 3] and found.time.tolist() == [2, 3, 2, 3]
    assert found.base.tolist() == [1, 1, 1, 2]
    assert found.estimate[:3].tolist() == [1.5, 2.5, 4.5]
    assert found.n_treated.tolist() == [2, 2, 1, 0] and found.n_control.tolist() == [2, 2, 2, 2]
    assert np.isnan(found.estimate[3]) and found.reason == ("", "", "", NO_TREATED)
    assert not found.influence[:, 3].any()
    assert found.influence[:, 0].tolist() == [-2.5, 2.5, 1.25, -1.25, 0.0]
    not_yet = group_time(panel, Rules(control_group="not yet"))
    assert not_yet.n_control.tolist() == [3, 2, 2, 2] and abs(not_yet.estimate[0] - (2 - 6 / 3)) < 1e-12
    for estimator in ESTIMATORS[1:]:
        assert group_time(panel, Rules(estimator)).estimate[:3].tolist() == [1.5, 2.5, 4.5]


def test_cells_of_a_universal_base_and_of_anticipation():
    panel = simulated(60)
    found = group_time(panel, Rules(base_period="universal", anticipation=1))
    third = found.cohort == 4
    assert found.time[third].tolist() == [1, 2, 3, 4, 5, 6] and set(found.base[third]) == {2}
    assert found.estimate[third][1] == 0 and not found.influence[:, third][:, 1].any()
    varying = group_time(panel, Rules(anticipation=1))
    assert varying.base[varying.cohort == 6].tolist() == [1, 2, 3, 4, 4]
    soon = replace(panel, first=np.where(np.isinf(panel.first), 7.0, panel.first))
    assert set(group_time(soon, Rules(anticipation=1)).reason) == {NO_NEVER}


def test_gaps_between_periods_and_starts_within_them():
    panel = simulated(120)
    gaps = replace(
        panel, times=np.array([1, 2, 5, 7, 8, 9]), first=np.where(panel.first == 4, 6.0, panel.first + 3)
    )
    found = group_time(replace(gaps, first=np.where(np.isinf(panel.first), np.inf, gaps.first)), Rules())
    assert found.base[found.cohort == 6].tolist() == [1, 2, 5, 5, 5]
    assert set(found.cohort) == {6.0, 9.0}


def test_nobody_is_never_treated():
    panel = simulated(never=False)
    found = group_time(panel, Rules(control_group="not yet"))
    assert set(found.cohort) == {3.0, 4.0} and found.time.max() == 5
    with_never = replace(panel, first=np.where(panel.first == 6, np.inf, panel.first))
    cut = replace(with_never, times=panel.times[:5], y=panel.y[:, :5])
    expected = group_time(cut, Rules(control_group="not yet"))
    assert np.array_equal(found.estimate, expected.estimate)
    assert np.array_equal(found.influence, expected.influence)
    assert set(group_time(panel, Rules()).reason) == {NO_NEVER}
    one = replace(panel, first=np.full(len(panel.first), 3.0))
    nothing = group_time(one, Rules(control_group="not yet"))
    assert nothing.influence.shape == (240, 0) and nothing.reason == ()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_neither_order_nor_units_of_measurement_matter(estimator):
    panel, rules = simulated(missing=0.05), Rules(estimator, "not yet")
    found = group_time(panel, rules)
    order = np.random.default_rng(1).permutation(len(panel.first))
    other = group_time(
        WidePanel(
            panel.times,
            panel.first[order],
            1e6 + 1e3 * panel.y[order],
            panel.x[order] * [1e-8, 1e9] + [3e-8, -1e9],
            panel.weights[order] * 1e-7,
        ),
        rules,
    )
    assert np.allclose(other.estimate, 1e3 * found.estimate, rtol=1e-8, atol=1e-6)
    assert np.allclose(other.influence, 1e3 * found.influence[order], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_changes_over_time_comes_from_the_earlier_period(estimator):
    panel = simulated()
    rng = np.random.default_rng(2)
    x = panel.x[:, None, :] + rng.standard_normal((240, 6, 1)) * [1.0, 0.0]
    y = np.where(rng.random((240, 6)) < 0.1, np.nan, panel.y)
    x[np.isnan(y)] = np.nan
    weights = rng.uniform(0.5, 2.0, (240, 6))
    weights[np.isnan(y)] = np.nan
    moving = WidePanel(panel.times, panel.first, y, x, weights)
    rules = Rules(estimator, "not yet", "universal")
    found = group_time(moving, rules)
    for cell in range(len(found.estimate)):
        if found.time[cell] != found.base[cell]:
            expected = slowly(moving, rules, found.cohort[cell], found.time[cell], found.base[cell])
            assert found.estimate[cell] == pytest.approx(expected, abs=2e-6)


def test_covariates_that_say_nothing_new_change_nothing():
    panel = simulated(missing=0.1)
    x = np.column_stack([panel.x, panel.x @ [2.0, -1.0] + 5, np.full(240, 7.0)])
    for estimator in ESTIMATORS:
        less, more = (group_time(replace(panel, x=held), Rules(estimator)) for held in (panel.x, x))
        assert np.allclose(less.estimate, more.estimate, rtol=1e-9)
        assert np.allclose(less.influence, more.influence, atol=1e-8)
    only_late = np.where(panel.first == 6, np.arange(240) % 2, 0.0)
    some = group_time(replace(panel, x=np.column_stack([panel.x, only_late])), Rules())
    plain = group_time(panel, Rules())
    early = plain.cohort < 6
    assert np.allclose(some.estimate[early], plain.estimate[early], rtol=1e-9)
    assert set(some.take(~early).reason) == {COLLINEAR}


def test_controls_that_nobody_treated_resembles_get_no_weight():
    panel = simulated()
    apart = np.cumsum(np.isinf(panel.first)) == 1
    apart &= np.isinf(panel.first)
    with_dummy = replace(panel, x=np.column_stack([panel.x, apart]))
    rest = ~apart
    weights = panel.weights[rest]
    without = WidePanel(panel.times, panel.first[rest], panel.y[rest], panel.x[rest], weights)
    for estimator in ESTIMATORS:
        found, expected = group_time(with_dummy, Rules(estimator)), group_time(without, Rules(estimator))
        assert np.allclose(found.estimate, expected.estimate, rtol=1e-8)
        assert np.allclose(found.influence[rest] / 240, expected.influence / rest.sum(), atol=1e-7)
        assert np.allclose(found.influence[apart], 0, atol=1e-6)
    many = np.isinf(panel.first) & (np.arange(240) % 4 == 0)
    held = group_time(replace(panel, x=np.column_stack([panel.x, many])), Rules("ipw"))
    kept = WidePanel(panel.times, panel.first[~many], panel.y[~many], panel.x[~many], panel.weights[~many])
    assert np.allclose(held.estimate, group_time(kept, Rules("ipw")).estimate, rtol=1e-8)


def test_refusals_in_words():
    panel = simulated()
    treated = panel.first == 3
    only = replace(panel, x=np.column_stack([panel.x, treated & (np.arange(240) % 3 == 0)]))
    assert set(group_time(only, Rules("ipw")).reason[:5]) == {NO_OVERLAP}
    apart = replace(panel, x=np.where(treated, 5.0, -5.0)[:, None] + panel.x[:, :1] / 100)
    held = group_time(apart, Rules()).take(range(5))
    assert set(held.reason) == {NO_OVERLAP} and np.isnan(held.estimate).all() and not held.influence.any()
    few = np.isinf(panel.first) & (np.cumsum(np.isinf(panel.first)) > 2)
    small = WidePanel(panel.times, panel.first[~few], panel.y[~few], panel.x[~few])
    assert set(group_time(small, Rules("regression")).reason) == {FEW_CONTROLS}
    unseen = np.where(np.isinf(panel.first)[:, None] & (panel.times == 5), np.nan, panel.y)
    gone = group_time(replace(panel, y=unseen), Rules())
    assert {why for why, t, b in zip(gone.reason, gone.time, gone.base, strict=True) if 5 in (t, b)} == {
        NO_NEVER
    }
    last = panel.first < 6
    late = WidePanel(
        panel.times, np.where(last, 3.0, np.inf), np.where(last[:, None], panel.y, np.nan), panel.x
    )
    assert set(group_time(late, Rules(control_group="not yet")).reason) == {NO_NOT_YET}
    early = group_time(replace(panel, first=np.where(treated, 1.0, panel.first)), Rules())
    assert set(early.take(early.cohort == 1).reason) == {NO_BASE}
    assert set(early.take(early.cohort > 1).reason) == {""}


def test_trimming_and_what_propensities_say():
    rng = np.random.default_rng(5)
    n = 4000
    x = rng.standard_normal((n, 1))
    treated = rng.random(n) < 1 / (1 + np.exp(-3 * x[:, 0]))
    y = np.column_stack([np.zeros(n), x[:, 0] ** 2 + rng.standard_normal(n)])
    panel = WidePanel(np.array([0, 1]), np.where(treated, 1.0, np.inf), y, x)
    found, overlap = group_time(panel, Rules("ipw")), propensities(panel, Rules("ipw"))
    assert found.estimate[0] == pytest.approx(by_hand(treated, y[:, 1], x, np.ones(n), "ipw"), abs=1e-6)
    assert overlap.trimmed[0] > 0 and 0.995 < overlap.largest[0] < 1
    assert 1 < overlap.effective[0] < np.count_nonzero(~treated) / 3
    none = propensities(replace(panel, x=np.zeros((n, 0))), Rules())
    assert np.isnan(none.largest[0]) and none.effective[0] == pytest.approx(np.count_nonzero(~treated))


def test_very_many_units_start_from_a_tenth(monkeypatch):
    monkeypatch.setattr(group_time_propensity, "MANY", 10_000)
    rng = np.random.default_rng(6)
    n = 20_000
    x = rng.standard_normal((n, 1))
    treated = rng.random(n) < 1 / (1 + np.exp(1 - x[:, 0]))
    change = x[:, 0] + treated + rng.standard_normal(n)
    panel = WidePanel(
        np.array([0, 1]), np.where(treated, 1.0, np.inf), np.column_stack([np.zeros(n), change]), x
    )
    found = group_time(panel, Rules())
    assert found.estimate[0] == pytest.approx(
        by_hand(treated, change, x, np.ones(n), "doubly robust"), abs=1e-7
    )
