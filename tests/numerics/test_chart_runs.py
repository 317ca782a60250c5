from itertools import groupby

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.chart_runs import Runs, runs, runs_allowed, runs_of_rows, side


def test_limits_against_the_binomial_and_the_logarithm():
    for n in [*range(1, 130), 500, 1999]:
        assert runs_allowed(n) == (round(np.log2(n)) + 3, int(stats.binom.ppf(0.05, n - 1, 0.5)))


@pytest.mark.parametrize("seed", range(8))
def test_against_counting_by_groups(seed):
    rng = np.random.default_rng(seed)
    value = rng.integers(0, 5, 40).astype(float)
    value[rng.random(40) < 0.1] = np.nan
    counted = rng.random(40) > 0.15
    signs = [np.sign(one - 2) for one, use in zip(value, counted, strict=True) if use and one == one]
    signs = [one for one in signs if one]
    lengths = [len(list(group)) for _, group in groupby(signs)]
    allowed, needed = runs_allowed(len(signs))
    signal = max(lengths) > allowed or len(lengths) - 1 < needed
    wanted = Runs(max(lengths), allowed, len(lengths) - 1, needed, len(signs), signal)
    assert runs(value, np.full(40, 2.0), counted=counted) == wanted


def test_signals_by_hand():
    every, line = np.ones(24, dtype=bool), np.zeros(24)
    alternating = np.tile([1.0, -1.0], 12)
    assert not runs(alternating, line, counted=every).signal
    shifted = np.repeat([1.0, -1.0], 12)
    assert runs(shifted, line, counted=every) == Runs(12, 8, 1, 8, 24, True)
    few_crossings = np.tile(np.repeat([1.0, -1.0], 6), 2)
    assert runs(few_crossings, line, counted=every) == Runs(6, 8, 3, 8, 24, True)


def test_nothing_to_count():
    nothing = Runs(0, 0, 0, 0, 0, False)
    assert runs(np.full(5, 3.0), np.full(5, 3.0), counted=np.ones(5, dtype=bool)) == nothing
    assert runs(np.arange(5.0), np.full(5, 2.0), counted=np.zeros(5, dtype=bool)) == nothing
    assert runs(np.full(5, np.nan), np.full(5, 2.0), counted=np.ones(5, dtype=bool)) == nothing
    assert runs(np.zeros(0), np.zeros(0), counted=np.zeros(0, dtype=bool)) == nothing


def test_a_point_on_the_line_up_to_rounding_is_on_the_line():
    value = np.array([0.1 + 0.2, 0.3, 0.4, 0.2])
    assert side(value, np.full(4, 0.3)).tolist() == [0, 0, 1, -1]
    assert side(value * 1e-200, np.full(4, 0.3e-200)).tolist() == [0, 0, 1, -1]
    assert side(np.array([np.nan, 1.0, 2.0]), np.array([1.0, np.nan, np.inf])).tolist() == [0, 0, -1]


def test_anhoej_signals_in_about_a_twentieth_of_random_charts():
    rng = np.random.default_rng(2)
    value = rng.standard_normal((5000, 24))
    found = runs_of_rows(value, np.zeros_like(value), counted=np.ones(24, dtype=bool))
    assert 0.03 < np.mean(found.signal) < 0.10
