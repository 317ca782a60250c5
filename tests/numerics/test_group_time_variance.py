from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.group_time_pretest import NO_CELLS, ONE_CLUSTER, pretest
from qieval.numerics.group_time_variance import influence_covariance


@pytest.fixture
def influence():
    return np.random.default_rng(0).standard_normal((40, 3)) @ np.array([[1, 0.5, 0], [0, 1, 2], [0, 0, 1.0]])


def brute(influence, *ways):
    """Sum of products of all pairs of units that share a cluster in any of the ways."""
    n, k = influence.shape
    total = np.zeros((k, k))
    for i in range(n):
        for j in range(n):
            if any(way[i] == way[j] for way in ways):
                total += np.outer(influence[i], influence[j])
    return total / n**2


def test_without_clusters(influence):
    found = influence_covariance(influence)
    assert np.allclose(found.matrix, brute(influence, np.arange(40))) and found.n_clusters is None
    assert found.df == 39 and np.allclose(found.std_error, np.sqrt((influence**2).mean(axis=0) / 40))


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_one_way_of_clusters(influence, layout):
    codes = np.random.default_rng(1).choice([3, 5, 11, 20], 40)
    found = influence_covariance(layout(influence), codes)
    assert np.allclose(found.matrix, brute(influence, codes)) and (found.n_clusters, found.df) == (4, 3)
    larger = influence_covariance(influence, codes, "clusters")
    assert np.allclose(larger.matrix, found.matrix * 4 / 3) and larger.factor == pytest.approx(4 / 3)


def test_two_ways_of_clusters(influence):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 20, 40), rng.integers(5, 20, 40)
    expected = brute(influence, *codes)
    assert np.linalg.eigvalsh(expected)[0] > 0
    found = influence_covariance(influence, codes)
    assert np.allclose(found.matrix, expected) and not found.repaired
    fewer = min(len(np.unique(one)) for one in codes)
    assert found.n_clusters == fewer
    corrected = influence_covariance(influence, codes, "clusters")
    assert np.allclose(corrected.matrix, expected * fewer / (fewer - 1))


def test_two_ways_that_are_nested_are_the_coarser_one(influence):
    coarse = np.arange(40) // 8
    found = influence_covariance(influence, (coarse, np.arange(40) // 2))
    assert np.allclose(found.matrix, influence_covariance(influence, coarse).matrix) and not found.repaired


def test_two_ways_not_positive_semidefinite_are_repaired():
    # A 2 x 2 layout with sums that vanish within rows and columns: V1 + V2 - V12 = -V12.
    influence = np.array([[1.0, 3.0], [-1.0, -3.0], [-1.0, -3.0], [1.0, 3.0]])
    codes = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    found = influence_covariance(influence, codes)
    assert found.repaired and np.allclose(found.matrix, 0, atol=1e-12)
    rng = np.random.default_rng(0)
    influence = np.column_stack([influence[:, 0], rng.standard_normal(4)])
    plain = brute(influence, *codes)
    values = np.linalg.eigvalsh(plain)
    repaired = influence_covariance(influence, codes)
    assert values[0] < 0 < values[1] and repaired.repaired
    assert np.allclose(np.linalg.eigvalsh(repaired.matrix), [0, values[1]], atol=1e-12)


def test_columns_without_variance_have_no_standard_error(influence):
    influence[:, 1] = 0
    for clusters in (None, np.arange(40) % 7, (np.arange(40) % 7, np.arange(40) // 7)):
        assert np.isnan(influence_covariance(influence, clusters).std_error).tolist() == [False, True, False]
    assert influence_covariance(influence[:, :0], (np.arange(40), np.arange(40))).matrix.shape == (0, 0)


@pytest.mark.parametrize("small_sample", ["none", "clusters"])
def test_a_single_cluster_has_no_variance(influence, small_sample):
    one = np.zeros(40, dtype=int)
    for clusters in (one, (one, np.arange(40))):
        found = influence_covariance(influence, clusters, small_sample)
        assert np.isnan(found.matrix).all() and np.isnan(found.std_error).all()
    cells = cells_of(influence, [1.0, 1.0, 1.0], [1, 2, 3])
    assert pretest(cells, influence_covariance(influence, one)).reason == ONE_CLUSTER


def test_sums_of_clusters_that_vanish_up_to_rounding_are_no_variance(influence):
    codes = np.arange(40) // 20
    influence[:, 0] = np.concatenate([part - part.mean() for part in np.split(influence[:, 0] * 1e3, 2)])
    found = influence_covariance(influence, codes)
    assert np.isnan(found.std_error).tolist() == [True, False, False] and not found.matrix[0].any()


def cells_of(scores, estimate, time, base=None, cohort=9.0):
    m = len(estimate)
    return GroupTime(
        np.broadcast_to(cohort, m),
        np.asarray(time),
        np.asarray(time) - 1 if base is None else np.asarray(base),
        np.asarray(estimate, dtype=float),
        np.full(m, 100),
        np.full(m, 100),
        ("",) * m,
        scores,
    )


def test_the_pre_test_takes_cells_before_the_start():
    scores = np.random.default_rng(5).standard_normal((200, 6))
    scores[:, 1] = 0
    cells = cells_of(scores, [0.2, 0.0, -0.1, np.nan, 0.3, 5.0], [4, 5, 6, 7, 8, 9], [5, 5, 5, 5, 5, 5])
    covariance = influence_covariance(scores)
    found = pretest(cells, covariance)
    used = [0, 2, 4]
    assert np.flatnonzero(found.tested).tolist() == used
    b, v = cells.estimate[used], covariance.matrix[np.ix_(used, used)]
    statistic = b @ np.linalg.solve(v, b)
    assert found.test.statistic == pytest.approx(statistic, rel=1e-10)
    assert found.test.p_chi2 == pytest.approx(stats.chi2.sf(statistic, 3), rel=1e-9)
    assert found.test.p_hotelling == pytest.approx(
        stats.f.sf(statistic * 199 / 200 * 197 / (199 * 3), 3, 197), rel=1e-9
    )
    assert not found.singular and found.reason == ""
    later = pretest(cells, covariance, anticipation=1)
    assert np.flatnonzero(later.tested).tolist() == [0, 2]


def test_the_pre_test_says_when_it_cannot_be_used():
    scores = np.random.default_rng(6).standard_normal((200, 8))
    cells = cells_of(scores, np.full(8, 0.01), np.arange(1, 9))
    few = pretest(cells, influence_covariance(scores, np.arange(200) % 20))
    assert few.test.rank == 8 and not few.singular
    assert few.reason.startswith("8 effects before the start are to be tested with 20 clusters. A joint test")
    singular = pretest(cells, influence_covariance(scores, np.arange(200) % 5))
    assert singular.singular and "their covariance is singular" in singular.reason
    none = pretest(cells_of(scores, np.full(8, 0.01), np.arange(9, 17)), influence_covariance(scores))
    assert none.test is None and none.reason == NO_CELLS and not none.tested.any()


def test_a_small_cohort_makes_the_pre_test_unusable():
    scores = np.random.default_rng(7).standard_normal((200, 5))
    cells = cells_of(scores, np.full(5, 0.01), [1, 2, 1, 2, 3], cohort=np.array([3.0, 3, 4, 4, 4]))
    covariance = influence_covariance(scores)
    enough = np.array([8, 8, 12, 12, 12])
    assert pretest(cells, covariance, clusters=enough).reason == ""
    assert "Some cohort has fewer than four units" in pretest(cells, covariance, clusters=enough - 1).reason
    alone = pretest(replace(cells, n_control=np.array([8, 8, 12, 12, 11])), covariance)
    assert alone.reason and alone.test is not None
    with_clusters = influence_covariance(scores, np.arange(200))
    assert "four clusters" in pretest(cells, with_clusters, clusters=enough - 1).reason


@pytest.mark.slow
def test_hotelling_holds_its_size_with_thirty_clusters_and_thirteen_cells():
    rng, rejected = np.random.default_rng(8), np.zeros(2)
    codes, repeats = np.repeat(np.arange(30), 5), 2000
    for _ in range(repeats):
        data = rng.standard_normal((30, 13))[codes] + rng.standard_normal((150, 13))
        scores = data - data.mean(axis=0)
        found = pretest(
            cells_of(scores, data.mean(axis=0), np.arange(13), cohort=13.0),
            influence_covariance(scores, codes),
        ).test
        rejected += [found.p_hotelling < 0.05, found.p_chi2 < 0.05]
    assert abs(rejected[0] / repeats - 0.05) < 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert rejected[1] / repeats > 0.4
