import numpy as np
import pytest

from qieval.numerics.strata import (
    binned,
    coarsened,
    exact_strata,
    one_to_one,
    subclasses,
    weights_of_strata,
    with_both_groups,
)


def test_exact_strata_against_a_dictionary():
    rng = np.random.default_rng(0)
    codes, treated = rng.integers(-2, 3, (200, 3)), rng.random(200) < 0.3
    labels = exact_strata(codes, treated)
    groups = {}
    for row, key in enumerate(map(tuple, codes)):
        groups.setdefault(key, []).append(row)
    for rows in groups.values():
        both = 0 < treated[rows].sum() < len(rows)
        assert len(set(labels[rows])) == 1 and (labels[rows][0] >= 0) == both
    assert set(labels[labels >= 0]) == set(range(labels.max() + 1))
    assert len({labels[rows[0]] for rows in groups.values()} - {-1}) == labels.max() + 1


def test_strata_with_one_group_are_left_out_and_numbered_anew():
    labels = with_both_groups(np.array([3, 3, 1, -1, 0, 0]), np.array([1, 0, 1, 1, 0, 1], bool))
    assert list(labels) == [1, 1, -1, -1, 0, 0]
    assert list(with_both_groups(np.array([-1, -1]), np.array([True, False]))) == [-1, -1]


def test_bins():
    values = np.array([0.0, 1.0, 2.5, 5.0, 7.5, 10.0])
    assert list(binned(values, 4)) == [0, 0, 1, 2, 3, 3]
    assert list(binned(values, 1)) == [0] * 6
    assert list(binned(values, 0)) == [0, 1, 2, 3, 4, 5]
    assert list(binned(values, (5.0, 1.0))) == [0, 1, 1, 2, 2, 2]
    assert list(binned(values)) == list(binned(values, int(np.ceil(np.log2(6) + 1))))
    width = 3.5 * values.std(ddof=1) * 6 ** (-1 / 3)
    assert list(binned(values, "scott")) == list(binned(values, int(np.ceil(10 / width))))
    assert np.unique(binned(np.full(5, 2.0), "scott")).size == np.unique(binned(np.full(5, 2.0))).size == 1
    with pytest.raises(ValueError, match="finite"):
        binned(np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match="no rule"):
        binned(values, "freedman")
    with pytest.raises(ValueError, match="negative"):
        binned(values, -1)


def test_coarsened_does_not_depend_on_units():
    rng = np.random.default_rng(1)
    x, treated = rng.random((300, 2)), rng.random(300) < 0.4
    labels = coarsened(x, treated)
    assert (coarsened(x * 1024, treated) == labels).all()
    cells = np.column_stack([binned(x[:, 0]), binned(x[:, 1])])
    assert (exact_strata(cells, treated) == labels).all()


def test_pairs_inside_strata():
    rng = np.random.default_rng(2)
    treated, labels, x = rng.random(120) < 0.4, rng.integers(-1, 6, 120), rng.random((120, 2))
    sizes = [min((treated & (labels == s)).sum(), (~treated & (labels == s)).sum()) for s in range(6)]
    for pairs in (one_to_one(labels, treated), one_to_one(labels, treated, x)):
        assert (labels[pairs.focal] == labels[pairs.pool]).all() and (labels[pairs.focal] >= 0).all()
        assert list(np.bincount(labels[pairs.focal], minlength=6)) == sizes
        assert np.unique(pairs.focal).size == np.unique(pairs.pool).size == len(pairs)
        assert treated[pairs.focal].all() and not treated[pairs.pool].any()
    draws = [one_to_one(labels, treated, generator=np.random.default_rng(seed)).pool for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


def test_subclasses_by_hand():
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    treated = np.array([0, 1, 0, 1, 1, 0, 1, 0], bool)
    # Treated: 0.2, 0.4, 0.5, 0.7, median 0.45; everybody: 0.45; others: 0.1, 0.3, 0.6, 0.8.
    for estimand in ("ATT", "ATC", "ATE"):
        assert list(subclasses(score, treated, 2, estimand)) == [0, 0, 0, 0, 1, 1, 1, 1]
    # Thirds of the treated lie at 0.4 and 0.5: nobody of the others is in the middle, so the
    # nearest from the side with more to spare moves there.
    assert list(subclasses(score, treated, 3)) == [0, 0, 1, 1, 2, 2, 2, 2]


def test_subclasses_are_filled_until_both_groups_have_enough():
    rng = np.random.default_rng(3)
    for fewest in (1, 2, 4):
        for _ in range(100):
            treated = rng.random(60) < 0.5
            score = rng.integers(0, 30, 60) + 25.0 * treated
            if min(treated.sum(), (~treated).sum()) < 6 * fewest:
                continue
            labels = subclasses(score, treated, 6, "ATE", fewest)
            counts = [np.bincount(labels[group], minlength=labels.max() + 1) for group in (treated, ~treated)]
            assert min(map(min, counts)) >= fewest
            for group in (treated, ~treated):
                lowest = [score[group & (labels == s)].min() for s in range(labels.max() + 1)]
                assert lowest == sorted(lowest)


def test_subclasses_of_a_coarse_score_are_fewer():
    treated = np.tile([True, False], 20)
    labels = subclasses(np.repeat([0.0, 1.0], 20), treated, 5)
    assert set(labels) == {0, 1}
    assert list(subclasses(np.array([np.nan, 0.1, 0.2]), np.array([1, 1, 0], bool), 1)) == [-1, 0, 0]


def test_subclasses_that_cannot_be():
    with pytest.raises(ValueError, match="too small for 4 subclasses"):
        subclasses(np.arange(8.0), np.arange(8) < 3, 4, "ATE")
    with pytest.raises(ValueError, match="nobody"):
        subclasses(np.arange(3.0), np.zeros(3, bool), 2)


def test_weights_make_the_groups_alike_in_every_stratum():
    rng = np.random.default_rng(4)
    labels, treated = rng.integers(-1, 5, 200), rng.random(200) < 0.3
    used = with_both_groups(labels, treated) >= 0
    share = {"ATT": treated & used, "ATC": ~treated & used, "ATE": used}
    for estimand, target in share.items():
        w = weights_of_strata(labels, treated, estimand)
        assert (w[~used] == 0).all() and (w[used] > 0).all()
        wanted = np.bincount(labels[target], minlength=5) / target.sum()
        for group in (treated, ~treated):
            assert w[group].sum() == pytest.approx((used & group).sum())
            mass = np.bincount(labels[group & used], w[group & used], 5) / w[group].sum()
            assert mass == pytest.approx(wanted)
    assert set(weights_of_strata(labels, treated)[treated & used]) == {1.0}
    assert (weights_of_strata(np.full(4, -1), np.array([1, 0, 1, 0], bool)) == 0).all()
