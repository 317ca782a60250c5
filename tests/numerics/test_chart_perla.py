from itertools import combinations

import numpy as np
import pytest

from qieval.numerics.chart_perla import perla, plausible_runs


def where(mark):
    return np.flatnonzero(mark).tolist()


def all_runs(above, below):
    """Number of runs of every order of the points."""
    counts = []
    for places in combinations(range(above + below), above):
        high = np.isin(np.arange(above + below), places)
        counts.append(1 + int(np.sum(high[1:] != high[:-1])))
    return np.array(counts)


@pytest.mark.parametrize(("above", "below"), [(1, 1), (2, 5), (3, 3), (4, 5), (6, 6), (3, 9), (7, 7)])
def test_plausible_runs_against_every_order(above, below):
    counts = all_runs(above, below)
    fewest, most = plausible_runs(above, below)
    assert np.mean(counts < fewest) <= 0.025 < np.mean(counts <= fewest)
    assert np.mean(counts > most) <= 0.025 < np.mean(counts >= most)


@pytest.mark.parametrize(
    ("each", "few", "many"), [(5, 2, 10), (7, 3, 13), (10, 6, 16), (12, 7, 19), (15, 10, 22), (20, 14, 28)]
)
def test_plausible_runs_against_the_table_of_swed_and_eisenhart(each, few, many):
    assert plausible_runs(each, each) == (few + 1, many - 1)


def test_large_numbers_of_runs_follow_the_normal_approximation():
    fewest, most = plausible_runs(300, 300)
    assert abs(fewest - (301 - 1.96 * np.sqrt(150))) < 2 and abs(most - (301 + 1.96 * np.sqrt(150))) < 2


def test_shift_skips_points_on_the_median():
    value = np.array([-1.0, 1, 2, 0, 1, np.nan, 3, 1, 2, -1, 1, -2])
    found = perla(value, np.zeros(12))
    assert where(found.shift) == [1, 2, 4, 6, 7, 8] and found.signal
    assert (found.n_runs, found.useful) == (5, 10)
    assert not perla(value[:8], np.zeros(8)).shift.any()


def test_trend_passes_over_repeated_values():
    value = np.array([3.0, 1, 2, 2, np.nan, 4, 5, 6, 2])
    assert where(perla(value, np.full(9, 2.5)).trend) == [1, 2, 3, 5, 6, 7]
    assert not perla(value[:7], np.full(7, 2.5)).trend.any()
    assert where(perla(-value, np.full(9, -2.5)).trend) == [1, 2, 3, 5, 6, 7]


def test_too_few_and_too_many_runs():
    many = perla(np.tile([1.0, -1.0], 8), np.zeros(16))
    assert many.n_runs == 16 and many.too_many_runs and not many.too_few_runs and many.signal
    few = perla(np.repeat([1.0, -1, 1, -1], 4), np.zeros(16))
    assert few.n_runs == 4 and few.too_few_runs and not few.too_many_runs and few.signal
    assert not few.shift.any() and not few.trend.any()


@pytest.mark.parametrize("value", [[], [np.nan, np.nan], [2.0, 2, 2]])
def test_without_useful_points_there_is_no_signal(value):
    found = perla(np.array(value, dtype=float), np.full(len(value), 2.0))
    assert (found.n_runs, found.useful, found.signal) == (0, 0, False)


def test_one_side_only():
    found = perla(np.ones(4), np.zeros(4))
    assert (found.n_runs, found.fewest, found.most, found.signal) == (1, 1, 1, False)
