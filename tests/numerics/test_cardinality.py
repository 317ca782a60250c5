from itertools import product

import numpy as np
import pytest

from qieval.numerics import cardinality as module
from qieval.numerics.cardinality import Effort, cardinality, profile

EXACT = Effort(seconds=30, gap=0.0)


def subsets(n):
    return (np.array(kept, bool) for kept in product([False, True], repeat=n))


def largest_pairs(x, focal, tolerance, ratio):
    """Most others kept, over all subsets."""
    best = 0
    for kept in subsets(focal.size):
        first, second = x[kept & focal], x[kept & ~focal]
        if len(first) and len(second) == ratio * len(first):
            gap = np.abs(first.mean(axis=0) - second.mean(axis=0))
            best = max(best, len(second)) if (gap <= tolerance + 1e-9).all() else best
    return best


def largest_profile(x, group, target, tolerance):
    best = 0
    for kept in subsets(int(group.sum())):
        if kept.any() and (np.abs(x[group][kept].mean(axis=0) - target) <= tolerance + 1e-9).all():
            best = max(best, int(kept.sum()))
    return best


@pytest.mark.parametrize("free", [3, 200])
@pytest.mark.parametrize("ratio", [1, 2])
def test_pairs_against_all_subsets(ratio, free, monkeypatch):
    monkeypatch.setattr(module, "FREE", free)
    rng = np.random.default_rng(ratio)
    statuses = set()
    for case in range(12):
        n = 10
        x = rng.integers(0, 3, (n, 2)) * 1.0 if case % 2 else rng.random((n, 2))
        focal = np.arange(n) < 4
        tolerance = np.array([0.0, 0.3]) if case % 3 == 0 else np.array([0.1, 0.2])
        found = cardinality(x, focal, tolerance, ratio, EXACT)
        statuses.add(found.status)
        assert (found.chosen & ~focal).sum() == largest_pairs(x, focal, tolerance, ratio)
        assert (found.chosen & ~focal).sum() == ratio * (found.chosen & focal).sum()
        assert found.excess < 1e-7
        assert found.converged == (found.status == "optimal")
    assert statuses == {"optimal", "infeasible"}


def test_profile_against_all_subsets():
    rng = np.random.default_rng(3)
    for case in range(12):
        x = rng.integers(0, 4, (13, 2)) * 1.0 if case % 2 else rng.random((13, 2))
        group = np.arange(13) >= 3
        target, tolerance = x[~group].mean(axis=0), np.array([0.15, 0.3])
        found = profile(x, group, target, tolerance, EXACT)
        assert found.chosen.sum() == largest_profile(x, group, target, tolerance)
        assert not found.chosen[~group].any()


def test_larger_sample_keeps_the_balance_it_promises():
    rng = np.random.default_rng(4)
    focal = rng.random(600) < 0.3
    x = np.column_stack([rng.standard_normal(600), rng.integers(0, 2, 600)]) + 0.5 * focal[:, None]
    tolerance = np.array([0.02, 0.01])
    found = cardinality(x, focal, tolerance, effort=Effort(20, 0.01))
    gap = np.abs(x[found.chosen & focal].mean(axis=0) - x[found.chosen & ~focal].mean(axis=0))
    assert (gap <= tolerance + 1e-7).all()
    assert (found.chosen & focal).sum() == (found.chosen & ~focal).sum() > 100
    assert found.bound >= (found.chosen & ~focal).sum() and found.gap <= 0.011


def test_units_and_origin_do_not_matter():
    rng = np.random.default_rng(5)
    x, focal = rng.integers(0, 6, (60, 2)) * 1.0, rng.random(60) < 0.4
    tolerance, scale = np.array([0.1, 0.2]), np.array([1e-6, 1e6])
    found = [
        cardinality(x, focal, tolerance, effort=EXACT),
        cardinality(x * scale + scale, focal, tolerance * scale, effort=EXACT),
    ]
    assert found[0].chosen.sum() == found[1].chosen.sum() > 0


def test_nobody_and_constant_columns():
    focal = np.array([True, True, False, False])
    constant = np.column_stack([np.ones(4), [0.0, 0.0, 1.0, 1.0]])
    apart = cardinality(constant, focal, np.array([0.0, 0.5]))
    assert apart.status == "infeasible" and not apart.chosen.any()
    assert cardinality(constant, focal, np.array([0.0, 1.0])).chosen.all()
    beyond = profile(constant, focal, np.array([2.0, 0.0]), np.array([0.5, 0.0]))
    assert beyond.status == "infeasible"
    assert profile(constant, np.zeros(4, bool), np.zeros(2), np.ones(2)).status == "infeasible"


def test_time_that_runs_out_is_reported():
    rng = np.random.default_rng(6)
    focal = rng.random(3000) < 0.5
    x = rng.standard_normal((3000, 6)) + 0.3 * focal[:, None]
    found = cardinality(x, focal, np.full(6, 1e-4), effort=Effort(seconds=0.05, gap=0.0))
    assert found.status in ("feasible", "nothing found") and not found.converged


@pytest.mark.parametrize(
    ("x", "tolerance", "message"),
    [
        (np.ones((2, 1)), np.ones(2), "one number for each column"),
        (np.array([[np.nan], [1.0]]), np.ones(1), "finite"),
        (np.ones((2, 1)), -np.ones(1), "zero or more"),
    ],
)
def test_nonsense_is_refused(x, tolerance, message):
    with pytest.raises(ValueError, match=message):
        cardinality(x, np.array([True, False]), tolerance)
    with pytest.raises(ValueError, match="ratio"):
        cardinality(np.ones((2, 1)), np.array([True, False]), np.ones(1), 0)
