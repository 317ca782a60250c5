from itertools import product

import numpy as np
import pytest
import scipy

from qieval.numerics.candidates import Candidates
from qieval.numerics.full_matching import SetLimits, full


def total(labels, focal, distance):
    """Sum of distances between the one and the others of each set; fails where a set is no star."""
    found = 0.0
    for label in range(labels.max(initial=-1) + 1):
        members = labels == label
        ones, others = np.flatnonzero(members & focal), np.flatnonzero(members & ~focal)
        assert min(ones.size, others.size) == 1
        found += distance[np.ix_(ones, others)].sum()
    return found


def cheapest_cover(distance, focal):
    """Least total of links that reach everybody with an allowed partner, by dynamic programming over sets."""
    rows, pool = np.flatnonzero(focal), np.flatnonzero(~focal)
    links = [(1 << i | 1 << j, distance[i, j]) for i, j in product(rows, pool) if distance[i, j] < np.inf]
    best = {0: 0.0}
    for reached, cost in links:
        for old, paid in list(best.items()):
            if paid + cost < best.get(old | reached, np.inf):
                best[old | reached] = paid + cost
    everybody = 0
    for reached, _ in links:
        everybody |= reached
    return best[everybody], everybody


def cheapest_flow(distance, focal, degrees):
    """Least total with limits on the partners of each side, as a linear programme; None if impossible."""
    rows, pool = np.flatnonzero(focal), np.flatnonzero(~focal)
    cost = distance[np.ix_(rows, pool)]
    allowed = np.isfinite(cost).ravel()
    sides = np.vstack(
        [np.kron(np.eye(rows.size), np.ones(pool.size)), np.kron(np.ones(rows.size), np.eye(pool.size))]
    )
    low = np.repeat([degrees[0], degrees[2]], [rows.size, pool.size])
    high = np.repeat([degrees[1], degrees[3]], [rows.size, pool.size])
    solved = scipy.optimize.linprog(
        np.where(allowed, cost.ravel(), 0),
        A_ub=np.vstack([sides, -sides]),
        b_ub=np.concatenate([high, -low]),
        bounds=[(0, 1 if free else 0) for free in allowed],
    )
    return solved.fun if solved.status == 0 else None


def random_case(rng, n=10):
    n = rng.integers(2, n)
    scale = rng.choice([3, 12, 1000])
    score = rng.integers(0, scale, n) / 1.0
    caliper = None if rng.random() < 0.5 else float(rng.integers(0, scale)) / 2
    focal = rng.random(n) < rng.choice([0.2, 0.5, 0.8])
    distance = np.abs(score[:, None] - score)
    if caliper is not None:
        distance[distance > caliper] = np.inf
    return score, focal, caliper, distance


def check_cover(labels, focal, distance):
    best, everybody = cheapest_cover(distance, focal)
    assert [bool(everybody >> i & 1) for i in range(focal.size)] == list(labels >= 0)
    assert total(labels, focal, distance) == pytest.approx(best, abs=1e-9)


def test_score_against_all_covers():
    rng = np.random.default_rng(1)
    for _ in range(400):
        score, focal, caliper, distance = random_case(rng)
        check_cover(full(Candidates(focal=focal, score=score, caliper=caliper)), focal, distance)


def test_vectors_matrix_and_constraints_against_all_covers():
    rng = np.random.default_rng(2)
    for case in range(300):
        score, focal, caliper, distance = random_case(rng)
        codes = rng.integers(0, 2, score.size)
        if case % 3 == 0:
            points = rng.integers(0, 4, (score.size, 2)).astype(float)
            near = np.isfinite(distance)
            distance = np.where(near, scipy.spatial.distance.cdist(points, points), np.inf)
            candidates = Candidates(focal=focal, score=score, vectors=points, caliper=caliper)
        elif case % 3 == 1:
            candidates = Candidates(focal=focal, matrix=distance[np.ix_(focal, ~focal)])
        else:
            distance[codes[:, None] == codes] = np.inf
            candidates = Candidates(focal=focal, score=score, caliper=caliper, different=(codes,))
        check_cover(full(candidates), focal, distance)


def test_strata_are_solved_one_by_one_and_unusable_rows_stay_out():
    rng = np.random.default_rng(3)
    score, focal, strata = rng.random(60), rng.random(60) < 0.4, rng.integers(0, 5, 60)
    usable = rng.random(60) < 0.8
    labels = full(Candidates(focal=focal, score=score, strata=strata, usable=usable))
    assert (labels[~usable] == -1).all()
    distance, apart = np.abs(score[:, None] - score), 0.0
    for code in range(5):
        inside = np.flatnonzero((strata == code) & usable)
        own = full(Candidates(focal=focal[inside], score=score[inside]))
        apart += total(own, focal[inside], distance[np.ix_(inside, inside)])
        assert len(set(labels[inside])) == own.max() + 1
    assert total(labels, focal, distance) == pytest.approx(apart)


LIMITS = [
    SetLimits(0.5, 3),
    SetLimits(0.34, 1),
    SetLimits(None, 2),
    SetLimits(0.5, None),
    SetLimits(2, 3),
    SetLimits(1, 1),
    SetLimits(0.25, 0.5),
]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_limits_against_a_linear_programme(limits):
    rng = np.random.default_rng(4)
    solved = 0
    for _ in range(60):
        score, focal, _, _ = random_case(rng, 14)
        distance = np.abs(score[:, None] - score)
        degrees = limits.degrees(int(focal.sum()), int((~focal).sum()))
        best = cheapest_flow(distance, focal, degrees) if 0 < focal.sum() < focal.size else None
        for candidates in (
            Candidates(focal=focal, score=score),
            Candidates(focal=focal, matrix=np.abs(score[focal][:, None] - score[~focal])),
        ):
            labels = full(candidates, limits)
            assert (labels == -1).all() if best is None else (labels >= 0).all()
            if best is None:
                continue
            solved += 1
            assert total(labels, focal, distance) == pytest.approx(best, abs=1e-9)
            check_limits(labels, focal, limits)
    assert solved > 10


def check_limits(labels, focal, limits):
    n_focal = np.bincount(labels[(labels >= 0) & focal])
    ratio = np.bincount(labels[(labels >= 0) & ~focal]) / n_focal
    assert (ratio >= (limits.fewest or 0) - 1e-12).all()
    assert (ratio <= (np.inf if limits.most is None else limits.most) + 1e-12).all()


def test_limits_under_a_caliper_against_a_linear_programme():
    rng = np.random.default_rng(5)
    limits, solved = SetLimits(0.5, 2), 0
    while solved < 40:
        score, focal, caliper, distance = random_case(rng, 9)
        reached = np.isfinite(np.where(focal[:, None] != focal, distance, np.inf)).any(axis=1)
        if caliper is None or not reached.any():
            continue
        inside = np.flatnonzero(reached)
        part = distance[np.ix_(inside, inside)]
        best = cheapest_flow(part, focal[inside], (1, 2, 1, 2))
        labels = full(Candidates(focal=focal, score=score, caliper=caliper), limits)
        if best is not None:
            solved += 1
            assert (labels[inside] >= 0).all()
            assert total(labels, focal, distance) == pytest.approx(best, abs=1e-9)
        check_limits(labels, focal, limits)


def test_large_score_problem_against_the_assignment_reduction():
    rng = np.random.default_rng(6)
    score, focal = rng.standard_normal(800), rng.random(800) < 0.3
    distance = np.abs(score[:, None] - score)
    by_line, by_matrix = (
        full(Candidates(focal=focal, score=score)),
        full(Candidates(focal=focal, vectors=score[:, None])),
    )
    assert total(by_line, focal, distance) == pytest.approx(total(by_matrix, focal, distance), rel=1e-12)


def test_one_sided_limits_on_a_long_line():
    rng = np.random.default_rng(7)
    score, focal = np.sort(rng.standard_normal(150)), rng.random(150) < 0.3
    distance = np.abs(score[:, None] - score)
    for limits in (SetLimits(None, 4), SetLimits(0.5, None)):
        degrees = limits.degrees(int(focal.sum()), int((~focal).sum()))
        labels = full(Candidates(focal=focal, score=score), limits)
        check_limits(labels, focal, limits)
        assert total(labels, focal, distance) == pytest.approx(cheapest_flow(distance, focal, degrees))


def test_partners_on_a_score_are_in_order():
    # Any three of the pool rows may share the set of 0.4: the convention is that the far ones do.
    score = np.array([0.3, 0.4, 1.0, 1.1, 1.2, 1.3])
    labels = full(Candidates(focal=score < 0.5, score=score))
    assert list(labels) == [0, 1, 0, 1, 1, 1]


def test_units_do_not_matter():
    rng = np.random.default_rng(8)
    score, focal = rng.random(50), rng.random(50) < 0.5
    for limits in (None, SetLimits(0.5, 4)):
        reference = full(Candidates(focal=focal, score=score), limits)
        assert (full(Candidates(focal=focal, score=score * 2.0**40), limits) == reference).all()
        assert (full(Candidates(focal=focal, score=score * 2.0**-40), limits) == reference).all()


def test_one_group_only_gives_no_sets():
    for focal in (np.zeros(3, bool), np.ones(3, bool)):
        for limits in (None, SetLimits(0.5, 2)):
            assert (full(Candidates(focal=focal, score=np.arange(3.0)), limits) == -1).all()
            assert (full(Candidates(focal=focal, vectors=np.eye(3)), limits) == -1).all()


def test_limits_that_contradict_themselves():
    with pytest.raises(ValueError, match="fewest not above most"):
        SetLimits(3, 2)
