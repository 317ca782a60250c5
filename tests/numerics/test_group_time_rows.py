from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.group_time import NO_BASE, group_time
from qieval.numerics.group_time_aggregate import Members, aggregate
from qieval.numerics.group_time_cells import Rules, WidePanel
from qieval.numerics.group_time_rows import NO_NEVER, NO_NOT_YET, NO_TREATED, Rows, group_time_rows
from qieval.numerics.two_period import two_period_rows

ESTIMATORS = {"doubly robust": "doubly robust", "ipw": "standardised ipw", "regression": "regression"}


def simulated(n=140, seed=0, never=True, lost=0.15):
    """Six periods, cohorts 3, 4 and 6; trends depend on two characteristics; some rows are lost."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal(n), rng.random(n) < 0.4])
    lean = x @ [0.6, -0.5] + rng.standard_normal(n)
    first = np.array([3.0, 4.0, 6.0, np.inf if never else 6.0])[np.digitize(-lean, [-1.0, -0.4, 0.2])]
    unit, time = np.repeat(np.arange(n), 6), np.tile(np.arange(1, 7), n)
    y = (x @ [1.0, 2.0])[unit] + 0.3 * time * x[unit, 0] + rng.standard_normal(6 * n)
    y += np.where(time >= first[unit], 1.0 + time / 4, 0.0)
    kept = rng.permutation(6 * n)[: int(6 * n * (1 - lost))]
    return Rows(
        y[kept], time[kept], first[unit][kept], x[unit][kept], rng.uniform(0.5, 2, len(kept)), unit[kept]
    )


def slowly(rows, rules, cohort, time, base):
    """One cell from its definition, and which rows it compares."""
    later = max(time, base) + rules.anticipation
    last = rows.time.max() + rules.anticipation
    control = rows.first > (later if rules.control_group == "not yet" else last)
    treated = rows.first == cohort
    used = np.flatnonzero((treated | control) & np.isin(rows.time, [time, base]))
    found = two_period_rows(
        rows.y[used],
        rows.time[used] == time,
        treated[used],
        rows.x[used],
        rows.weights[used],
        ESTIMATORS[rules.estimator],
    )
    influence = np.zeros(rows.n)
    np.add.at(influence, rows.unit[used], found.influence * rows.n / len(used))
    return found.estimate, influence, treated[used].sum(), (~treated[used]).sum()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "base, controls, never, anticipation",
    [("varying", "never", True, 0), ("universal", "not yet", True, 1), ("varying", "not yet", False, 0)],
)
def test_agrees_with_two_periods_at_a_time(estimator, base, controls, never, anticipation):
    rows, rules = simulated(never=never), Rules(estimator, controls, base, anticipation)
    found = group_time_rows(rows, rules)
    assert set(found.reason) == {""} and len(found.estimate) > 5
    for at, (cohort, time, before) in enumerate(zip(found.cohort, found.time, found.base, strict=True)):
        if time == before:
            assert found.estimate[at] == 0 and not found.influence[:, at].any()
            continue
        estimate, influence, n_treated, n_control = slowly(rows, rules, cohort, time, before)
        assert found.estimate[at] == pytest.approx(estimate, rel=1e-8, abs=1e-10)
        assert np.allclose(found.influence[:, at], influence, rtol=1e-7, atol=1e-8)
        assert (found.n_treated[at], found.n_control[at]) == (n_treated, n_control)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_influence_is_the_derivative_by_the_share_of_a_unit(estimator):
    rows, rules, step = simulated(), Rules(estimator, "not yet"), 1e-4
    found = group_time_rows(rows, rules)
    for unit in range(0, rows.n, 20):
        more = np.where(rows.unit == unit, step, 0.0)
        up, down = (
            group_time_rows(replace(rows, weights=rows.weights * (1 + sign * more)), rules).estimate
            for sign in (1, -1)
        )
        assert np.allclose(rows.n * (up - down) / (2 * step), found.influence[unit], atol=1e-4)
    assert np.allclose(found.influence.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_balanced_panel_without_covariates_gives_what_the_panel_gives(estimator):
    rows = simulated(lost=0.0)
    order = np.lexsort((rows.time, rows.unit))
    n = rows.n
    y, first = rows.y[order].reshape(n, 6), rows.first[order].reshape(n, 6)[:, 0]
    panel = group_time(WidePanel(np.arange(1, 7), first, y, np.zeros((n, 0))), Rules(estimator))
    plain = replace(rows, x=np.zeros((6 * n, 0)), weights=None)
    found = group_time_rows(plain, Rules(estimator))
    assert np.allclose(found.estimate, panel.estimate, atol=1e-12)
    assert np.allclose(found.influence, panel.influence, atol=1e-10)
    for kind in ("simple", "group", "dynamic", "calendar"):
        of_rows, of_panel = aggregate(found, plain.members(), kind), aggregate(panel, Members(first), kind)
        assert of_rows.overall == pytest.approx(of_panel.overall, rel=1e-12)
        assert np.allclose(of_rows.overall_influence, of_panel.overall_influence, atol=1e-10)


def test_by_hand():
    y = np.array([1.0, 4.0, 6.0, 2.0, 3.0, 3.5])
    time = np.array([1, 2, 2, 1, 2, 2])
    first = np.array([2.0, 2.0, 2.0, np.inf, np.inf, np.inf])
    found = group_time_rows(Rows(y, time, first, np.zeros((6, 0))), Rules())
    assert found.estimate.tolist() == [4.0 - 1.25] and found.n == 6
    assert found.influence[:, 0].tolist() == pytest.approx([0, -3, 3, 0, 0.75, -0.75])
    assert (found.n_treated[0], found.n_control[0]) == (3, 3)
    assert (found.cohort[0], found.time[0], found.base[0]) == (2, 2, 1)


def test_rows_without_units_count_for_themselves():
    rows, rules = simulated(), Rules()
    apart = group_time_rows(replace(rows, unit=None), rules)
    found = group_time_rows(rows, rules)
    assert apart.n == len(rows.y) and found.n == 140
    summed = np.zeros_like(found.influence)
    np.add.at(summed, rows.unit, apart.influence)
    assert np.allclose(apart.estimate, found.estimate, rtol=1e-12)
    assert np.allclose(found.influence, summed * found.n / apart.n, atol=1e-9)


def test_order_and_units_of_measurement_do_not_matter():
    rows = simulated()
    found = group_time_rows(rows, Rules())
    order = np.random.default_rng(1).permutation(len(rows.y))
    other = Rows(
        1e3 * rows.y[order],
        rows.time[order],
        rows.first[order],
        1e5 * rows.x[order] - 7,
        1e-3 * rows.weights[order],
        rows.unit[order],
    )
    again = group_time_rows(other, Rules())
    assert np.allclose(again.estimate, 1e3 * found.estimate, rtol=1e-9)
    assert np.allclose(again.influence, 1e3 * found.influence, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["y", "x", "weights"])
def test_rows_with_missing_values_take_no_part(name):
    rows = simulated()
    gone = np.arange(len(rows.y)) % 9 == 0
    values = getattr(rows, name).copy()
    values[gone] = np.nan
    holed = replace(rows, **{name: values})
    fields = ("y", "time", "first", "x", "weights", "unit")
    short = Rows(*(getattr(rows, field)[~gone] for field in fields))
    found, expected = group_time_rows(holed, Rules()), group_time_rows(short, Rules())
    assert np.allclose(found.estimate, expected.estimate, rtol=1e-12)
    for kind in ("simple", "group"):
        mine, other = aggregate(found, holed.members(), kind), aggregate(expected, short.members(), kind)
        assert mine.overall == pytest.approx(other.overall, rel=1e-12)
        assert np.allclose(mine.overall_influence, other.overall_influence)


def test_what_cannot_be_estimated_says_why():
    rows = simulated()
    lost = (rows.first == 4) & (rows.time == 5)
    fields = ("y", "time", "first", "x", "weights", "unit")
    part = Rows(*(getattr(rows, field)[~lost] for field in fields))
    found = group_time_rows(part, Rules())
    at = (found.cohort == 4) & (found.time == 5)
    assert np.flatnonzero([bool(reason) for reason in found.reason]).tolist() == np.flatnonzero(at).tolist()
    assert found.reason[int(np.flatnonzero(at)[0])] == NO_TREATED
    assert np.isnan(found.estimate[at]).all() and not found.influence[:, at].any()
    assert set(group_time_rows(simulated(never=False), Rules()).reason) == {NO_NEVER}
    early = replace(rows, first=np.where(rows.first == 3, 1.0, rows.first))
    found = group_time_rows(early, Rules())
    assert set(np.array(found.reason)[found.cohort == 1]) == {NO_BASE}
    gap = ~np.isinf(rows.first) | (rows.time != 6)
    part = Rows(*(getattr(rows, field)[gap] for field in fields))
    assert NO_NOT_YET in group_time_rows(part, Rules(control_group="not yet")).reason


def test_no_rows_give_no_cells():
    rows = Rows(np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2)))
    found = group_time_rows(rows, Rules())
    assert found.estimate.shape == (0,) and found.influence.shape == (0, 0)
