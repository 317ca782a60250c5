from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.roll_out_rows import RollOutRows
from qieval.numerics.stacked import GAP, NO_CONTROLS, NOTHING, OUTSIDE, SHORT, Window, stacked

STARTS = [4, 6, 7, np.inf]


def roll_out(seed, missing=0.0, starts=STARTS, k=0, weighted=False):
    rng, units, periods = np.random.default_rng(seed), 48, 10
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    first = np.asarray(starts, dtype=float)[np.minimum(np.arange(units) % 6, len(starts) - 1)][unit]
    times = np.arange(1, periods + 1)
    rise = np.where(times[time] >= first, times[time] - np.where(np.isinf(first), 0, first) + 1, 0.0)
    rows = RollOutRows(
        times,
        unit,
        time,
        first,
        unit * 0.4 + np.sin(time) + rise + rng.standard_normal(unit.size),
        rng.standard_normal((unit.size, k)) if k else None,
        rng.uniform(0.3, 3, unit.size) if weighted else None,
        unit // 6,
    )
    return rows.take(rng.permutation(np.flatnonzero(rng.random(unit.size) >= missing)))


def stack_by_hand(rows, window, cohorts):
    """Rows of the stack, cohort by cohort: (input row, cohort, event time, treated)."""
    out = []
    for cohort in cohorts:
        for i in range(rows.y.size):
            event = rows.period[i] - cohort
            clean = rows.first[i] > cohort + window.after + window.anticipation
            if window.controls == "never":
                clean = np.isinf(rows.first[i])
            if -window.before <= event <= window.after and (rows.first[i] == cohort or clean):
                out.append((i, int(cohort), int(event), rows.first[i] == cohort))
    return [np.array(part) for part in zip(*out, strict=True)]


def corrected(rows, stack):
    """Corrective weights, row by row."""
    row, cohort, event, treated = stack
    w = rows.weight[row]
    out = w.copy()
    for k in np.flatnonzero(~treated):
        same, cell = event == event[k], (event == event[k]) & (cohort == cohort[k])
        wanted = w[cell & treated].sum() / w[same & treated].sum()
        out[k] *= wanted / (w[cell & ~treated].sum() / w[same & ~treated].sum())
    return out


def codes(*columns):
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].ravel()


@pytest.mark.parametrize("weighting", ["corrected", "regression"])
@pytest.mark.parametrize(
    "missing, weighted, k", [(0.0, False, 0), (0.15, False, 0), (0.15, True, 2)], ids=str
)
def test_against_a_regression_on_explicit_dummies(dense, weighting, missing, weighted, k):
    rows = roll_out(1, missing, k=k, weighted=weighted)
    window = Window(3, 2, weighting=weighting)
    found = stacked(rows, window)
    stack = stack_by_hand(rows, window, [4, 6, 7])
    row, cohort, event, treated = stack
    if weighting == "corrected":
        groups, moments, weight = treated.astype(int), codes(event), corrected(rows, stack)
    else:
        groups, moments, weight = codes(cohort, rows.unit[row]), codes(cohort, event), rows.weight[row]
    columns = ((event[:, None] == [-3, -2, 0, 1, 2]) & treated[:, None]).astype(float)
    x = rows.x[row] if k else np.zeros((row.size, 0))
    slow = dense(groups, moments, rows.y[row], np.hstack([columns, x]), weight)
    alone = np.bincount(groups)[groups] == 1
    assert not alone.any()
    np.testing.assert_array_equal(found.effects.at, [-3, -2, 0, 1, 2])
    np.testing.assert_allclose(found.effects.estimate, slow.beta[:5], rtol=1e-9, atol=1e-11)
    n, clusters = row.size, 8
    absorbed = moments.max() + 1 + (groups.max() if weighting == "corrected" else 0)
    factor = clusters / (clusters - 1) * (n - 1) / (n - 5 - k - absorbed)
    expected = slow.meat(rows.cluster[row])[:5, :5] * factor
    np.testing.assert_allclose(found.effects.covariance, expected, rtol=1e-7, atol=1e-11)
    contrast = np.array([0, 0, 1, 1, 1]) / 3
    assert found.average.estimate[0] == pytest.approx(contrast @ slow.beta[:5])
    assert found.average.std_error[0] == pytest.approx(np.sqrt(contrast @ expected @ contrast))
    assert found.effects.df == clusters - 1


@pytest.mark.parametrize("controls", ["not yet", "never"])
def test_corrected_weights_average_cohorts_by_their_treated_units(controls):
    rows = roll_out(2)
    window = Window(2, 1, controls=controls)
    found = stacked(rows, window)

    def mean(who, time):
        return rows.y[who & (rows.period == time)].mean()

    for event, estimate in zip(found.effects.at, found.effects.estimate, strict=True):
        parts, sizes = [], []
        for cohort in (4, 6, 7):
            treated = rows.first == cohort
            clean = np.isinf(rows.first) if controls == "never" else rows.first > cohort + 1
            change = mean(treated, cohort + event) - mean(treated, cohort - 1)
            parts.append(change - mean(clean, cohort + event) + mean(clean, cohort - 1))
            sizes.append(treated.sum())
        assert estimate == pytest.approx(np.average(parts, weights=sizes), rel=1e-9)
    np.testing.assert_array_equal(found.n_treated, [8, 8, 8])
    expected = [24, 24, 24] if controls == "never" else [40, 24, 24]
    np.testing.assert_array_equal(found.n_control, expected)


def test_both_weightings_agree_for_one_cohort():
    rows = roll_out(3, starts=[5, np.inf])
    one = stacked(rows, Window(3, 3))
    other = stacked(rows, Window(3, 3, weighting="regression"))
    np.testing.assert_allclose(one.effects.estimate, other.effects.estimate, rtol=1e-9)


def test_anticipation_moves_the_reference_and_the_clean_controls():
    rows = roll_out(4)
    found = stacked(rows, Window(3, 1, anticipation=1))
    np.testing.assert_array_equal(found.effects.at, [-3, -1, 0, 1])
    # the cohorts of 6 and 7 start after 4 + 1, but not after 4 + 1 + 1 both
    np.testing.assert_array_equal(found.n_control, [32, 24, 24])


def test_row_weights_reproduce_the_effects():
    rows = roll_out(5, missing=0.1, k=1, weighted=True)
    for weighting in ("corrected", "regression"):
        found = stacked(rows, Window(2, 2, weighting=weighting))
        weights = found.row_weights(np.vstack([found.effects.combination, found.average.combination]))
        expected = np.append(found.effects.estimate, found.average.estimate)
        np.testing.assert_allclose(weights.T @ rows.y, expected, rtol=1e-8)


def test_neither_order_nor_units_of_measurement_matter():
    rows = roll_out(6, missing=0.1, weighted=True)
    order = np.random.default_rng(0).permutation(rows.y.size)
    moved = rows.take(order)
    moved = replace(moved, y=1e6 * moved.y + 1e6, weights=moved.weights * 20, unit=60 - moved.unit)
    one, other = stacked(rows, Window(2, 2)), stacked(moved, Window(2, 2))
    np.testing.assert_allclose(other.effects.estimate, 1e6 * one.effects.estimate, rtol=1e-7)
    np.testing.assert_allclose(other.average.std_error, 1e6 * one.average.std_error, rtol=1e-7)


def test_cohorts_left_out_are_named_with_the_reason():
    rows = roll_out(7)
    found = stacked(rows, Window(4, 3))
    assert found.left_out == (OUTSIDE, "", "") and found.n_treated[0] == 0
    same = stacked(rows.take(rows.first != 4), Window(4, 3))
    np.testing.assert_allclose(found.effects.estimate, same.effects.estimate, rtol=1e-10)
    nobody_never = roll_out(7, starts=[4, 6, 9])
    found = stacked(nobody_never, Window(2, 1))
    assert found.left_out == ("", "", NO_CONTROLS)


def test_a_cohort_with_a_missing_event_time_is_left_out():
    rows = roll_out(8)
    found = stacked(rows.take((rows.first != 6) | (rows.period != 5)), Window(2, 1))
    assert found.left_out == ("", GAP, "")


def test_refusals():
    rows = roll_out(9)
    for window, problem in [
        (Window(9, 9), NOTHING),
        (Window(0, 2), SHORT),
        (Window(1, 2, anticipation=1), SHORT),
        (Window(2, -1), SHORT),
    ]:
        found = stacked(rows, window)
        assert found.problem == problem and np.isnan(found.average.estimate[0])
        assert found.average.reason == (problem,) and found.row_weights(np.zeros((1, 0))).shape == (480, 1)
    never = stacked(replace(rows, first=np.full(rows.y.size, np.inf)), Window(2, 2))
    assert never.problem == NOTHING and never.cohort.size == 0
