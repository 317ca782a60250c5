import numpy as np
import pytest

from qieval.numerics.absorb import fit_static, two_way, within
from qieval.numerics.goodman_bacon import (
    ALWAYS,
    EARLIER,
    LATER,
    NOTHING,
    UNBALANCED,
    UNTREATED,
    WEIGHTS,
    goodman_bacon,
)


def panel(seed, starts, units=30, periods=7):
    rng = np.random.default_rng(seed)
    first = np.asarray(starts, dtype=float)[rng.integers(0, len(starts), units)]
    first[: len(starts)] = starts
    times = np.arange(2011, 2011 + periods)
    return rng.standard_normal((units, periods)).cumsum(axis=1), first, times


def static(y, first, times, weights=None, periods=None):
    """Coefficient and variance of the residual treatment, from the two-way regression of a sub-panel."""
    periods = np.ones(len(times), dtype=bool) if periods is None else periods
    n, t = len(y), int(periods.sum())
    d = (times[periods] >= first[:, None]).astype(float).ravel()
    w = None if weights is None else np.repeat(weights, t)
    rows = two_way(np.repeat(np.arange(n), t), np.tile(np.arange(t), n), w)
    fit = fit_static(within(rows, y[:, periods].ravel()), d)
    return float(fit.beta[0]), 1 / float(fit.bread[0, 0])


STARTS = {
    "with never treated": [2013, 2015, 2016, np.inf],
    "without": [2013, 2015, 2017],
    "with always treated": [2011, 2013, 2016, np.inf],
    "start before the data, between and after": [2005, 2013.5, 2016, 2030],
}


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_comparison_is_a_regression_on_its_own_rows(starts, weighted):
    """Brute force: estimate and weight of each comparison from the two-way regression of its sub-panel.

    Weight = share of the rows x residual variation of treatment, relative to that of the whole panel.
    """
    y, first, times = panel(1, starts)
    weights = np.random.default_rng(2).uniform(0.5, 2, len(first)) if weighted else None
    found = goodman_bacon(y, first, times, weights)
    group = np.append(times, np.inf)[np.searchsorted(times, first)]
    sizes = []
    for k, (treated, other) in enumerate(zip(found.treated, found.comparison, strict=True)):
        at = (group == treated) | (group == other)
        window = (times < other) if other > treated else (times >= other)
        part = None if weights is None else weights[at]
        before = np.where(group == treated, treated, np.inf)[at]
        estimate, size = static(y[at], before, times, part, window)
        assert found.estimate[k] == pytest.approx(estimate, abs=1e-10)
        share = window.mean() * (at.mean() if weights is None else part.sum() / weights.sum())
        sizes.append(share * size)
        kind = UNTREATED if np.isinf(other) else EARLIER if other > treated else LATER
        assert found.kind[k] == (ALWAYS if other == 2011 else kind)
    whole, square = static(y, first, times, weights)
    np.testing.assert_allclose(found.weight, np.array(sizes) / square, rtol=1e-9)
    assert found.twfe == pytest.approx(whole, abs=1e-10)
    assert sum(part.weight for part in found.by_kind) == pytest.approx(1)
    assert sum(part.weight * part.estimate for part in found.by_kind) == pytest.approx(whole)


def test_number_of_comparisons():
    y, first, times = panel(3, [2013, 2015, 2016, np.inf])
    assert len(goodman_bacon(y, first, times).kind) == 9
    assert {part.kind for part in goodman_bacon(y, first, times).by_kind} == {EARLIER, LATER, UNTREATED}


def test_a_forbidden_comparison_takes_growth_of_the_effect_for_a_negative_effect():
    """Effect 1, 2, 3, ... of the early unit, none of the late: the late unit seems to lose."""
    times = np.arange(6)
    y = np.array([np.maximum(times - 1, 0), np.zeros(6)], dtype=float)
    found = goodman_bacon(y, np.array([2.0, 4.0]), times)
    assert dict(zip(found.kind, found.estimate, strict=True)) == {EARLIER: 1.5, LATER: -2.0}


def test_neither_order_nor_level_nor_scale_matters():
    y, first, times = panel(4, [2013, 2015, 2016, np.inf])
    order = np.random.default_rng(0).permutation(len(y))
    one, other = goodman_bacon(y, first, times), goodman_bacon(1e6 * y[order] + 1e9, first[order], times)
    np.testing.assert_allclose(other.estimate, 1e6 * one.estimate, rtol=1e-8)
    np.testing.assert_array_equal(other.weight, one.weight)


def test_refusals():
    y, first, times = panel(5, [2013, 2015, np.inf])
    broken = y.copy()
    broken[3, 2] = np.nan
    assert goodman_bacon(broken, first, times).problem == UNBALANCED
    assert goodman_bacon(y, first, times, np.zeros(len(y))).problem == WEIGHTS
    assert goodman_bacon(y, first, times, np.ones(3)).problem == WEIGHTS
    for alike in ([2013], [np.inf], [2011], [2011, np.inf]):
        y, first, times = panel(6, alike)
        found = goodman_bacon(y, first, times)
        assert found.problem == NOTHING and np.isnan(found.twfe) and found.by_kind == ()
