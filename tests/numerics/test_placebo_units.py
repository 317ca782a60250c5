"""Many outcome-only synthetic controls: against one at a time, and by hand."""

import numba
import numpy as np
import pytest
import scipy

from qieval.numerics.placebo_units import (
    PlaceboUnits,
    in_time,
    leave_heaviest_out,
    leave_one_out,
    placebo_units,
    ratio_ranks,
)
from qieval.numerics.simplex import simplex_least_squares


def panel(periods=30, units=150, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((periods, 3)).cumsum(axis=0)
    loads = rng.uniform(0, 1, (3, units))
    return common @ loads + 0.3 * rng.standard_normal((periods, units)) + rng.uniform(0, 50, units) * 0.02


def one_at_a_time(y, pre, unit, donors, demeaned=False):
    a, b = y[:pre, donors], y[:pre, unit]
    if demeaned:
        a, b = a - a.mean(axis=0), b - b.mean()
    scale = np.sqrt(np.mean((a - b[:, None]) ** 2))
    rows = np.vstack([(a - b[:, None]) / scale, np.ones(len(donors))])
    u = scipy.optimize.nnls(rows, np.append(np.zeros(pre), 1.0), maxiter=10_000)[0]
    gaps = y[:, unit] - y[:, donors] @ (u / u.sum())
    return gaps - gaps[:pre].mean() if demeaned else gaps


@pytest.mark.parametrize("demeaned", [False, True])
@pytest.mark.parametrize("included", [False, True])
def test_every_unit_as_if_it_were_alone(demeaned, included):
    y, treated = panel(units=80), [3, 40]
    found = placebo_units(y, 20, exclude=treated, demeaned=demeaned, include_treated_in_pools=included)
    for unit in (0, 3, 40, 79):
        donors = [j for j in range(80) if j != unit and (included or j not in treated)]
        gaps = one_at_a_time(y, 20, unit, donors, demeaned)
        np.testing.assert_allclose(found.gaps[:, unit], gaps, atol=1e-10)
    np.testing.assert_allclose(found.mspe_pre, np.mean(found.gaps[:20] ** 2, axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.mspe_post, np.mean(found.gaps[20:] ** 2, axis=0), rtol=1e-14)
    assert found.converged.all() and found.gap_certificate.max() < 1e-11
    assert found.gaps.shape == (30, 80) and found.unit.tolist() == list(range(80))


def test_some_units_only_get_the_same_numbers():
    y = panel()
    everybody, some = placebo_units(y, 20), placebo_units(y, 20, which=[7, 149])
    np.testing.assert_array_equal(some.gaps, everybody.gaps[:, [7, 149]])
    assert some.unit.tolist() == [7, 149]
    assert placebo_units(y, 20, which=[]).gaps.shape == (30, 0)


def test_any_number_of_threads_gives_identical_numbers():
    y, before = panel(units=200), numba.get_num_threads()
    many = placebo_units(y, 20)
    numba.set_num_threads(1)
    try:
        one = placebo_units(y, 20)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(one.gaps, many.gaps)


def test_units_of_measurement_do_not_matter():
    y = panel(units=40)
    plain, scaled = placebo_units(y, 20), placebo_units(y * 1e6 + 3e6, 20)
    np.testing.assert_allclose(scaled.gaps / 1e6, plain.gaps, atol=1e-9)


def test_no_periods_after_the_start():
    found = placebo_units(panel(units=10), 30)
    assert np.isnan(found.mspe_post).all() and np.isfinite(found.mspe_pre).all()


def test_units_without_donors_and_impossible_starts_are_refused():
    with pytest.raises(ValueError, match="at least one donor"):
        placebo_units(panel(units=2), 20, exclude=[1])
    with pytest.raises(ValueError, match="before the start"):
        placebo_units(panel(units=4), 0)


@pytest.mark.parametrize("demeaned", [False, True])
def test_leaving_out_each_donor_in_use(demeaned):
    y = panel(units=30, seed=2)
    target, donors = y[:, 0], y[:, 1:]
    found = leave_one_out(target, donors, 20, demeaned=demeaned)
    level = y[:20].mean(axis=0) if demeaned else np.zeros(30)
    weights = simplex_least_squares((donors - level[1:])[:20], (target - level[0])[:20]).weights
    assert found.changed.tolist() == np.flatnonzero(weights).tolist()
    for at, donor in enumerate(found.changed):
        others = [j for j in range(1, 30) if j != donor + 1]
        np.testing.assert_allclose(found.gaps[:, at], one_at_a_time(y, 20, 0, others, demeaned), atol=1e-10)
        assert found.weights[at, donor] == 0 and found.weights[at].sum() == pytest.approx(1)
        assert found.mspe_pre[at] == pytest.approx(np.mean(found.gaps[:20, at] ** 2))
    assert found.gap_certificate.max() < 1e-11


def test_leaving_out_the_only_donor_gives_nothing():
    y = panel(units=2)
    found = leave_one_out(y[:, 0], y[:, 1:], 20)
    assert found.gaps.shape == (30, 0) and found.weights.shape == (0, 1)


def test_leaving_out_the_heaviest_one_after_the_other():
    y = panel(units=12, seed=3)
    found = leave_heaviest_out(y[:, 0], y[:, 1:], 20, 3)
    left = list(range(11))
    for at in range(3):
        weights = simplex_least_squares(y[:20, 1:][:, left], y[:20, 0]).weights
        assert found.changed[at] == left.pop(int(np.argmax(weights)))
    np.testing.assert_allclose(found.gaps[:, 2], one_at_a_time(y, 20, 0, [j + 1 for j in left]), atol=1e-10)
    assert np.all(np.diff(found.mspe_pre) > 0)
    assert leave_heaviest_out(y[:, 0], y[:, 1:], 20, 99).changed.size == 10


@pytest.mark.parametrize("demeaned", [False, True])
def test_earlier_starts(demeaned):
    y = panel(units=20, seed=4)
    found = in_time(y[:, 0], y[:, 1:], [8, 14], demeaned=demeaned)
    for at, start in enumerate((8, 14)):
        gaps = one_at_a_time(y, start, 0, list(range(1, 20)), demeaned)
        np.testing.assert_allclose(found.gaps[:, at], gaps, atol=1e-9)
        assert found.mspe_pre[at] == pytest.approx(np.mean(gaps[:start] ** 2))
    assert found.changed.tolist() == [8, 14]


def ranked(before, after):
    before, after = np.array(before, dtype=float), np.array(after, dtype=float)
    n = before.size
    gaps = np.sqrt(np.array([before, after]))
    return PlaceboUnits(gaps, before, after, np.zeros(n), np.ones(n, dtype=bool), np.arange(n))


def test_ranks_by_hand():
    found = ranked([1, 1, 4, 9, 1], [16, 25, 4, 9, 4])
    plain = ratio_ranks(found, 0)
    assert plain.ratio.tolist() == [16, 25, 1, 1, 4]
    assert (plain.rank, plain.n_units, plain.p_value) == (2, 5, 0.4)
    roots = ratio_ranks(found, 0, squared=False)
    assert roots.ratio.tolist() == [4, 5, 1, 1, 2] and roots.rank == 2


def test_units_that_fit_badly_can_be_left_out():
    found = ranked([1, 6, 4, 1], [16, 600, 4, 4])
    close = ratio_ranks(found, 0, limit=5)
    assert close.kept.tolist() == [True, False, True, True]
    assert (close.rank, close.n_units, close.p_value) == (1, 3, 1 / 3)
    assert ratio_ranks(found, 0, limit=20).rank == 2
    assert ratio_ranks(found, 0, limit=0.5).n_units == 1


def test_ties_and_ratios_without_meaning_count_against_the_treated_unit():
    tied = ratio_ranks(ranked([1, 1, 1], [4, 4, 1]), 0)
    assert (tied.rank, tied.p_value) == (2, 2 / 3)
    assert ratio_ranks(ranked([1, 0, 0], [4, 0, 1]), 0).rank == 3
    assert ratio_ranks(ranked([0, 1, 1], [0, 4, 1]), 0).rank == 3
    assert ratio_ranks(ranked([0, 1, 1], [1, 4, 1]), 0).rank == 1
