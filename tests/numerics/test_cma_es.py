import numpy as np
import pytest

from qieval.numerics.cma_es import CmaEs


def minimise(function, start, generations, seed=0, size=20, sigma=0.5):
    search = CmaEs(np.array(start, float), sigma, size, np.random.default_rng(seed))
    for _ in range(generations):
        drawn = search.ask()
        search.tell(drawn[np.argsort([function(row) for row in drawn], kind="stable")])
    return search


def test_valley_that_is_narrow_and_curved():
    found = minimise(lambda v: 100 * (v[1] - v[0] ** 2) ** 2 + (1 - v[0]) ** 2, [-1, 2], 300)
    assert found.mean == pytest.approx([1, 1], abs=1e-4)


def test_the_shape_of_the_covariance_is_learnt():
    scale = np.array([1.0, 1e2, 1e4])
    found = minimise(lambda v: float(np.sum(scale * v**2)), [3, 3, 3], 150)
    assert np.abs(found.mean).max() < 1e-5
    values = np.linalg.eigvalsh(found.covariance)
    assert values[-1] / values[0] == pytest.approx(1e4, rel=0.9)


def test_steps_grow_on_a_slope_and_shrink_at_the_bottom():
    assert minimise(lambda v: v[0], [0.0, 0.0], 20).sigma > 1
    assert minimise(lambda v: float(v @ v), [0.0, 0.0], 60).spread < 1e-3


def test_only_ranks_matter_and_the_seed_decides():
    one = minimise(lambda v: float(v @ v), [2, 1], 30, seed=4)
    other = minimise(lambda v: np.log(float(v @ v)), [2, 1], 30, seed=4)
    assert one.mean.tolist() == other.mean.tolist()
    assert minimise(lambda v: float(v @ v), [2, 1], 30, seed=5).mean.tolist() != one.mean.tolist()


def test_one_dimension():
    assert minimise(lambda v: abs(v[0] - 2), [10.0], 80).mean[0] == pytest.approx(2, abs=1e-4)
