from itertools import combinations, permutations

import numpy as np
import pytest
import scipy

from qieval.numerics import candidates as limits_of_size
from qieval.numerics import optimal
from qieval.numerics.candidates import Candidates
from qieval.numerics.optimal import optimal_pairs


def by_hand(distance, ratio):
    """(number of pairs, least total) over all ways to give each copy of a row a column or none."""
    slots = np.repeat(distance, ratio, axis=0)
    best = (0, 0.0)
    for size in range(1, min(slots.shape) + 1):
        totals = [
            slots[list(rows), list(columns)].sum()
            for rows in combinations(range(slots.shape[0]), size)
            for columns in permutations(range(slots.shape[1]), size)
        ]
        if min(totals) < np.inf:
            best = (size, min(totals))
    return best


def by_assignment(distance, ratio):
    """The same with blanks in a dense assignment problem, for larger cases."""
    slots = np.repeat(distance, ratio, axis=0)
    price = 1e4
    table = np.full((slots.shape[0], sum(slots.shape)), price)
    table[:, : slots.shape[1]] = np.where(np.isfinite(slots), slots, price)
    row, column = scipy.optimize.linear_sum_assignment(table)
    paid = table[row, column]
    return int(np.sum(paid < price)), float(paid[paid < price].sum())


def check(pairs, candidates, distance, ratio, solver=by_assignment):
    """Pairs are allowed, nobody is used too often, number and total are those of an independent solver."""
    rows, pool = np.flatnonzero(candidates.focal), np.flatnonzero(~candidates.focal)
    expected = solver(distance[np.ix_(rows, pool)], ratio)
    assert candidates.focal[pairs.focal].all() and not candidates.focal[pairs.pool].any()
    assert np.bincount(pairs.focal, minlength=1).max() <= ratio
    assert np.unique(pairs.pool).size == len(pairs)
    assert pairs.distance == pytest.approx(distance[pairs.focal, pairs.pool], abs=1e-12)
    assert len(pairs) == expected[0]
    assert pairs.total == pytest.approx(expected[1], abs=1e-8)


def random_score(rng, n):
    n = rng.integers(2, n)
    score = rng.integers(0, rng.choice([4, 15, 1000]), n) / 1.0
    focal = rng.random(n) < rng.choice([0.2, 0.5, 0.8])
    focal[:2] = [True, False]
    return score, focal


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_score_without_caliper(ratio):
    rng = np.random.default_rng(ratio)
    for _ in range(200):
        score, focal = random_score(rng, 30)
        candidates = Candidates(focal=focal, score=score)
        check(optimal_pairs(candidates, ratio), candidates, np.abs(score[:, None] - score), ratio)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_score_with_caliper(ratio):
    rng = np.random.default_rng(10 + ratio)
    for _ in range(200):
        score, focal = random_score(rng, 30)
        caliper = float(rng.choice([0, 1, 2.5, 20, 100]))
        distance = np.abs(score[:, None] - score)
        distance[distance > caliper] = np.inf
        candidates = Candidates(focal=focal, score=score, caliper=caliper)
        check(optimal_pairs(candidates, ratio), candidates, distance, ratio)


def test_tiny_cases_by_enumeration():
    rng = np.random.default_rng(20)
    for case in range(120):
        score, focal = random_score(rng, 7)
        distance = np.abs(score[:, None] - score)
        caliper = None if case % 2 else 3.0
        if caliper is not None:
            distance[distance > caliper] = np.inf
        for candidates in (
            Candidates(focal=focal, score=score, caliper=caliper),
            Candidates(focal=focal, matrix=distance[np.ix_(focal, ~focal)]),
        ):
            check(optimal_pairs(candidates, 1), candidates, distance, 1, by_hand)


@pytest.mark.parametrize("share", [0.0, 0.25, 2.0], ids=["dense", "either", "sparse"])
def test_constraints_of_every_kind(share, monkeypatch):
    monkeypatch.setattr(limits_of_size, "SPARSE_BELOW", share)
    monkeypatch.setattr(limits_of_size, "BLOCK", 40)
    rng = np.random.default_rng(30)
    for case in range(150):
        score, focal = random_score(rng, 25)
        n = score.size
        points, codes = rng.integers(0, 5, (n, 2)).astype(float), rng.integers(0, 3, n)
        strata, usable = rng.integers(0, 2, n), rng.random(n) < 0.9
        gap = np.abs(score[:, None] - score)
        distance = gap.copy() if case % 2 else scipy.spatial.distance.cdist(points, points)
        distance[gap > 6] = np.inf
        distance[codes[:, None] == codes] = np.inf
        distance[strata[:, None] != strata] = np.inf
        distance[np.abs(points[:, None, 0] - points[:, 0]) > 3] = np.inf
        distance[np.abs(points[:, None, 1] - points[:, 1]) <= 1] = np.inf
        distance[~usable], distance[:, ~usable] = np.inf, np.inf
        candidates = Candidates(
            focal=focal,
            usable=usable,
            score=score,
            vectors=None if case % 2 else points,
            caliper=6.0,
            calipers=((points[:, 0], 3.0), (points[:, 1], -1.0)),
            strata=strata,
            different=(codes,),
        )
        ratio = 1 + case % 3
        check(optimal_pairs(candidates, ratio), candidates, distance, ratio)


def test_matrix_vectors_and_score_agree():
    rng = np.random.default_rng(40)
    score, focal = rng.standard_normal(300), rng.random(300) < 0.3
    distance = np.abs(score[:, None] - score)
    usable = rng.random(300) < 0.8
    ways = [
        Candidates(focal=focal, usable=usable, score=score),
        Candidates(focal=focal, usable=usable, vectors=score[:, None]),
        Candidates(focal=focal, usable=usable, matrix=distance[np.ix_(focal, ~focal)]),
        Candidates(focal=focal, usable=usable, score=score, caliper=100.0),
    ]
    totals = [optimal_pairs(way, 2).total for way in ways]
    assert totals == pytest.approx([totals[0]] * 4, rel=1e-12)


def test_caliper_of_the_distance_where_there_is_no_score():
    points = np.array([[0.0], [1.0], [3.0], [0.5]])
    focal = np.array([True, True, False, False])
    pairs = optimal_pairs(Candidates(focal=focal, vectors=points, caliper=1.0))
    assert (list(pairs.focal), list(pairs.pool)) in [([0], [3]), ([1], [3])]


def test_caliper_may_force_longer_pairs():
    # Without the caliper the total is 1.1; within 1.0 both can be matched only at a total of 2.
    score, focal = np.array([0.0, 1.0, 1.0, -1.1, 2.0]), np.array([True, True, False, False, False])
    assert optimal_pairs(Candidates(focal=focal, score=score)).total == pytest.approx(1.1)
    pairs = optimal_pairs(Candidates(focal=focal, score=score, caliper=1.0))
    assert (list(pairs.pool), pairs.total) == ([2, 4], 2.0)


def test_pairs_are_sorted_and_units_do_not_matter():
    rng = np.random.default_rng(50)
    score, focal = rng.random(200), rng.random(200) < 0.3
    for caliper in (None, 0.02):
        pairs = optimal_pairs(Candidates(focal=focal, score=score, caliper=caliper), 2)
        order = np.lexsort((pairs.distance, pairs.focal))
        assert (order == np.arange(len(pairs))).all()
        scaled = Candidates(focal=focal, score=score * 2.0**30, caliper=caliper and caliper * 2.0**30)
        assert (optimal_pairs(scaled, 2).pool == pairs.pool).all()


def test_nobody_to_match():
    for focal in (np.zeros(3, bool), np.ones(3, bool)):
        for candidates in (
            Candidates(focal=focal, score=np.arange(3.0)),
            Candidates(focal=focal, score=np.arange(3.0), caliper=1.0),
            Candidates(focal=focal, vectors=np.eye(3)),
        ):
            assert len(optimal_pairs(candidates)) == 0
    nobody = Candidates(focal=np.array([True, False]), score=np.zeros(2), usable=np.zeros(2, bool))
    assert len(optimal_pairs(nobody)) == 0


def test_too_large_problems_are_refused_with_their_size(monkeypatch):
    rng = np.random.default_rng(60)
    focal, score = np.arange(60) < 30, rng.random(60)
    monkeypatch.setattr(limits_of_size, "MOST_CELLS", 100)
    monkeypatch.setattr(limits_of_size, "MOST_LINKS", 10)
    monkeypatch.setattr(optimal, "MOST_TRACE", 10)
    with pytest.raises(ValueError, match="900 distances"):
        optimal_pairs(Candidates(focal=focal, vectors=score[:, None]))
    with pytest.raises(ValueError, match="more than 10 pairs"):
        optimal_pairs(Candidates(focal=focal, vectors=score[:, None], score=score, caliper=0.9))
    with pytest.raises(ValueError, match="cells"):
        optimal_pairs(Candidates(focal=focal, score=score, caliper=0.9))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "a score, vectors or a matrix"),
        ({"vectors": np.eye(2), "matrix": np.eye(1)}, "not both"),
        ({"score": np.array([np.nan, 1.0])}, "finite"),
        ({"matrix": np.eye(2)}, "shape"),
        ({"matrix": np.array([[-1.0]])}, "negative"),
    ],
)
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Candidates(focal=np.array([True, False]), **wrong)
    with pytest.raises(ValueError, match="ratio"):
        optimal_pairs(Candidates(focal=np.array([True, False]), score=np.zeros(2)), 0)
