from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.roll_out_rows import NO_VARIATION, RollOutRows, static_effect
from qieval.numerics.two_way_weights import two_way_weights


def roll_out(seed, starts, missing=0.0, k=0, weighted=False):
    rng, units, periods = np.random.default_rng(seed), 30, 8
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    rows = RollOutRows(
        np.arange(1, periods + 1),
        unit,
        time,
        np.asarray(starts, dtype=float)[np.arange(units) % len(starts)][unit],
        rng.standard_normal(unit.size),
        rng.standard_normal((unit.size, k)) + 0.3 * time[:, None] * (unit % 3)[:, None] if k else None,
        rng.uniform(0.3, 3, unit.size) if weighted else None,
    )
    return rows.take(rng.permutation(np.flatnonzero(rng.random(unit.size) >= missing)))


CASES = {
    "balanced": ([3, 5, 7, np.inf], {}),
    "unbalanced": ([3, 5, 7, np.inf], {"missing": 0.25}),
    "covariates and weights": ([3, 5, 7, np.inf], {"missing": 0.2, "k": 2, "weighted": True}),
    "never and always treated": ([1, 4, 6, np.inf], {"missing": 0.1}),
    "no never treated": ([2, 5, 8], {}),
}


@pytest.mark.parametrize("starts, changes", CASES.values(), ids=CASES)
def test_weighted_sum_of_known_effects_is_the_static_coefficient(starts, changes):
    rows = roll_out(1, starts, **changes)
    rng = np.random.default_rng(7)
    effect = rng.standard_normal((40, 9))
    of_row = np.where(
        rows.treated, effect[np.where(np.isinf(rows.first), 0, rows.first).astype(int), rows.time], 0
    )
    signal = rows.unit * 0.7 + np.cos(rows.time) + of_row
    if rows.x is not None:
        signal = signal + rows.x @ np.array([2.0, -1.0])
    rows = replace(rows, y=signal)
    found = two_way_weights(rows)
    known = np.array([effect[int(c), int(t) - 1] for c, t in zip(found.cohort, found.time, strict=True)])
    assert found.weight @ known == pytest.approx(static_effect(rows).estimate[0], rel=1e-9)
    assert found.estimate == pytest.approx(static_effect(rows).estimate[0], rel=1e-12)
    assert found.weight.sum() == pytest.approx(1) and found.share.sum() == pytest.approx(1)
    assert found.rows_negative <= found.negative_sum + 1e-12


def test_weights_worked_out_by_hand():
    """Three units, three periods, starts 2, 3 and never.

    Treatment 0 1 1 / 0 0 1 / 0 0 0; without unit and period means 1/9 of -3 3 0 / 0 -3 3 / 3 0 -3; the
    residuals of the three treated cells are 1/3, 0 and 1/3.
    """
    unit, time = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    first = np.array([2.0, 3.0, np.inf])[unit]
    y = np.array([0.0, 1, 5, 0, 0, 2, 0, 0, 0])
    found = two_way_weights(RollOutRows(np.array([1, 2, 3]), unit, time, first, y))
    np.testing.assert_array_equal(found.cohort, [2, 2, 3])
    np.testing.assert_array_equal(found.time, [2, 3, 3])
    np.testing.assert_allclose(found.weight, [0.5, 0, 0.5], atol=1e-12)
    assert found.estimate == pytest.approx(1.5)
    # weight / share = 1.5, 0, 1.5: variance 0.5
    assert found.spread_to_zero == pytest.approx(1.5 / np.sqrt(0.5))


def test_negative_weights_of_an_early_cohort_late_in_time():
    rows = roll_out(2, [2, 7])
    found = two_way_weights(rows)
    early = found.weight[(found.cohort == 2) & (found.time >= 7)]
    assert (early < 0).all()
    assert found.negative_sum == pytest.approx(early.sum())
    assert found.negative_share == pytest.approx(found.share[found.weight < 0].sum())
    assert 0 < found.negative_share < 1
    assert found.rows_negative == pytest.approx(found.negative_sum)


def test_one_start_gives_every_treated_row_the_same_weight():
    found = two_way_weights(roll_out(3, [4, np.inf]))
    np.testing.assert_allclose(found.weight, found.share, rtol=1e-10)
    assert found.negative_sum == 0 and found.spread_to_zero == np.inf


def test_order_and_units_of_measurement_do_not_matter():
    rows = roll_out(4, [3, 5, 7, np.inf], missing=0.2, k=1, weighted=True)
    order = np.random.default_rng(1).permutation(rows.y.size)
    moved = rows.take(order)
    moved = replace(moved, y=moved.y * 1e7 + 1e8, x=moved.x * 1e-3 + 5, weights=moved.weights * 50)
    one, other = two_way_weights(rows), two_way_weights(moved)
    np.testing.assert_allclose(other.weight, one.weight, rtol=1e-8, atol=1e-12)
    assert other.spread_to_zero == pytest.approx(one.spread_to_zero * 1e7, rel=1e-6)


def test_no_variation_is_said():
    found = two_way_weights(roll_out(5, [4]))
    assert found.problem == NO_VARIATION and found.weight.size == 0 and np.isnan(found.estimate)
    assert np.isnan(found.spread_to_zero) and found.negative_sum == 0
