"""Heaps: found where they were put, quiet on smooth scores and on grids."""

import numpy as np
import pytest

from qieval.numerics.heaping import heaping
from qieval.numerics.heaping_cells import around, cells, expect
from qieval.numerics.heaping_rows import heapers_differ


def rounded(x, share, step, rng):
    return np.where(rng.random(x.size) < share, step * np.round(x / step), x)


SMOOTH = {
    "whole grams": (lambda rng, n: np.round(rng.normal(1500, 300, n)), 1500, 300),
    "sparse grams": (lambda rng, n: np.round(rng.normal(1500, 300, n // 8)), 1500, 300),
    "continuous": (lambda rng, n: rng.normal(0, 1, n), 0, 0.7),
    "skewed": (lambda rng, n: np.round(rng.exponential(60, n)), 30, 25),
    "years": (lambda rng, n: np.floor(rng.uniform(50, 80, n)), 65, 8),
    "months as years": (lambda rng, n: np.round(np.floor(rng.uniform(600, 960, n)) / 12, 2), 65, 5),
    "two decimals": (lambda rng, n: np.round(rng.normal(0, 1, n), 2), 0, 1),
    "waiting": (lambda rng, n: rng.gamma(3, 40, n), 120, 60),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_scores_raise_few_alarms(name):
    make, cutoff, window = SMOOTH[name]
    rng = np.random.default_rng(11)
    alarms = [heaping(make(rng, 3000), float(cutoff), float(window)).found for _ in range(30)]
    assert sum(alarms) <= 2


def test_a_regular_grid_is_not_heaping():
    found = heaping(np.tile(np.arange(1.0, 241.0), 20), 120.0, 60.0)
    assert found.grid == 1 and not found.found and found.n_values == 121
    assert not found.round_values.any() and found.donut_rows == 0
    assert found.at_cutoff.observed == 20 and found.at_cutoff.expected == pytest.approx(20)


def test_a_jump_in_the_density_is_not_a_heap():
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(135, 18, 10_000))
    moved = np.where((x >= 130) & (x < 140) & (rng.random(x.size) < 0.6), x + 10, x)
    assert not heaping(moved, 140.0, 25.0).found


def test_heaps_at_hundreds_are_found_with_their_rows():
    rng = np.random.default_rng(3)
    x = rounded(np.round(rng.normal(1500, 300, 6000)), 0.15, 100, rng)
    found = heaping(x, 1500.0, 300.0)
    step = found.steps[0]
    near = np.abs(x - 1500) <= 300
    assert step.step == 100 and step.observed.sum() == np.sum(near & (x % 100 == 0))
    assert step.observed[1] == np.sum(near & (x % 100 == 0) & (x >= 1500))
    assert (found.round_values == (x % 100 == 0)).all()
    assert found.values.tolist() == [1200, 1300, 1400, 1500, 1600, 1700, 1800]
    assert found.observed.tolist() == [np.sum(x == v) for v in found.values]
    assert found.donut_rows == step.observed.sum()
    assert found.at_cutoff.observed == np.sum(x == 1500) and found.at_cutoff.p_value < 1e-10
    again = heaping(rng.permutation(x[~np.isin(x, found.values)]), 1500.0, 300.0)
    assert not [step for step in again.steps if step.ratio > 1]


def test_heaps_within_heaps():
    rng = np.random.default_rng(4)
    x = np.round(rng.normal(135, 18, 9000))
    x = rounded(rounded(x, 0.3, 2, rng), 0.2, 10, rng)
    steps = heaping(x, 140.0, 30.0).steps
    assert [(step.step, step.within) for step in steps] == [(2, None), (10, 2)]


def test_heaps_of_a_continuous_score_and_of_whole_years():
    rng = np.random.default_rng(5)
    wait = rounded(rng.gamma(3, 40, 8000), 0.1, 30, rng)
    found = heaping(wait, 120.0, 60.0)
    assert found.steps[0].step == 30
    assert found.values.tolist() == [60, 90, 120, 150], "180 ends the window: nothing to compare it with"
    assert found.round_values.sum() == np.sum(wait % 30 == 0)
    months = rounded(np.floor(rng.uniform(600, 960, 8000)), 0.2, 12, rng)
    assert heaping(months, 780.0, 80.0).steps[0].step == 12


def test_a_heap_at_an_odd_cutoff_only():
    rng = np.random.default_rng(6)
    x = np.round(rng.normal(137, 18, 6000))
    x[rng.choice(np.flatnonzero((x >= 133) & (x < 137)), 200, replace=False)] = 137
    found = heaping(x, 137.0, 30.0)
    assert found.steps == () and found.values.tolist() == [137]
    assert found.round_values.sum() == found.donut_rows == np.sum(x == 137)


def test_expected_rows_equal_a_poisson_regression():
    import statsmodels.api as sm

    rng = np.random.default_rng(7)
    x = np.round(rng.normal(100, 20, 4000))
    near = around(x, 100.0, 30.0)
    held = cells(near, 10.0)
    found = expect(held, 100.0, held.round, ~held.round)
    for side, mine in enumerate((held.start < 100, held.start >= 100)):
        u = (held.start - 100) / 30
        design = np.c_[np.ones_like(u), u, u**2]
        used = mine & ~held.round
        fit = sm.GLM(held.counts[used], design[used], family=sm.families.Poisson()).fit(tol=1e-12)
        mean = fit.predict(design[mine & held.round])
        assert found.expected[side] == pytest.approx(mean.sum(), rel=1e-7)
        gradient = mean @ design[mine & held.round]
        scale = max(fit.pearson_chi2 / fit.df_resid, 1.0)
        error = gradient @ fit.cov_params() @ gradient
        assert found.variance[side] == pytest.approx(scale * (mean.sum() + error), rel=1e-6)


def test_rows_in_another_order_and_few_values():
    rng = np.random.default_rng(8)
    x = rounded(np.round(rng.normal(1500, 300, 3000)), 0.1, 50, rng)
    one, other = heaping(x, 1500.0), heaping(x[::-1], 1500.0)
    assert one.steps[0].p_value == other.steps[0].p_value
    assert (one.round_values == other.round_values[::-1]).all()
    few = heaping(np.repeat([63.0, 64.0, 65.0, 66.0], 30), 65.0, 2.0)
    assert not few.found and few.grid == 1 and few.n_values == 4
    with pytest.raises(ValueError, match="wider than zero"):
        heaping(x, 1500.0, 0.0)


def test_heapers_against_a_regression():
    import statsmodels.api as sm

    rng = np.random.default_rng(9)
    x = rng.integers(-50, 50, 2000).astype(float)
    heaped = x % 10 == 0
    y = 0.02 * x + (x >= 0) + 0.5 * heaped + rng.normal(size=2000) * (1 + heaped)
    design = np.c_[heaped, np.ones(2000), x, x >= 0, x * (x >= 0)].astype(float)
    used = np.abs(x) <= 40
    plain = sm.OLS(y[used], design[used]).fit(cov_type="HC1", use_t=True)
    found = heapers_differ(y, heaped, x, 0.0, 40.0)
    assert found.difference == pytest.approx(plain.params[0], rel=1e-9)
    assert (found.se, found.p_value) == pytest.approx((plain.bse[0], plain.pvalues[0]), rel=1e-8)
    groups = rng.integers(0, 30, 2000)
    held = {"groups": groups[used], "use_correction": False}
    plain = sm.OLS(y[used], design[used]).fit(cov_type="cluster", cov_kwds=held)
    found = heapers_differ(y, heaped, x, 0.0, 40.0, groups)
    assert found.se == pytest.approx(plain.bse[0] * np.sqrt(30 / 29), rel=1e-8)
    assert np.isnan(heapers_differ(y, np.zeros(2000, dtype=bool), x, 0.0, 40.0).p_value)
    assert np.isnan(heapers_differ(y, x >= 0, x, 0.0, 40.0).difference)
