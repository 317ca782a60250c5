import numpy as np
import pytest

from qieval.numerics.pairs import Pairs, effective_size, labels_of_pairs, stable_order, weights_of_pairs


def made(*pairs):
    focal, pool = np.array(pairs, dtype=np.intp).T
    return Pairs(focal, pool, np.zeros(len(pairs)))


def test_weights_with_replacement():
    focal = np.array([True, True, True, False, False, False, False])
    pairs = made((0, 3), (0, 4), (1, 3), (2, 3), (2, 5))
    weights = weights_of_pairs(pairs, 7, focal)
    np.testing.assert_allclose(weights, [1, 1, 1, 2, 0.5, 0.5, 0])
    shares = np.array([2.0, 0.5, 0.5])
    assert weights[3:6].sum() == pytest.approx(3)
    np.testing.assert_allclose(weights[3:6] / weights[3:6].sum(), shares / shares.sum())


def test_weights_give_the_mean_of_the_differences_within_sets():
    rng = np.random.default_rng(0)
    focal = np.arange(40) < 10
    pairs = made(
        *[(i, j) for i in range(8) for j in rng.choice(np.arange(10, 40), rng.integers(1, 5), replace=False)]
    )
    y, w = rng.standard_normal(40), weights_of_pairs(pairs, 40, focal)
    within = [y[i] - y[pairs.pool[pairs.focal == i]].mean() for i in range(8)]
    difference = np.average(y[focal], weights=w[focal]) - np.average(y[~focal], weights=w[~focal])
    assert difference == pytest.approx(np.mean(within))


def test_no_pairs_have_no_weight():
    none = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    assert not weights_of_pairs(none, 3, np.array([True, False, False])).any()
    assert labels_of_pairs(none, 3).tolist() == [-1, -1, -1]
    assert len(none) == 0 and none.total == 0 and effective_size(np.zeros(3)) == 0


def test_focal_must_fit_the_pairs():
    with pytest.raises(ValueError, match="focal"):
        weights_of_pairs(made((0, 1)), 3, np.array([False, True, False]))
    with pytest.raises(ValueError, match="focal"):
        weights_of_pairs(made((0, 1)), 4, np.array([True, False, False]))


def test_labels_need_matching_without_replacement():
    assert labels_of_pairs(made((5, 1), (2, 0), (5, 3)), 6).tolist() == [0, 1, 0, 1, -1, 1]
    with pytest.raises(ValueError, match="without replacement"):
        labels_of_pairs(made((5, 1), (2, 1)), 6)


def test_stable_order_is_that_of_a_stable_sort():
    rng = np.random.default_rng(0)
    for values in (rng.random(999), rng.integers(0, 20, 5000), np.round(rng.random(3000), 2), np.zeros(4)):
        np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))
    assert stable_order(np.empty(0)).size == 0
