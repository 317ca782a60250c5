import itertools
from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.distances import whiten
from qieval.numerics.nearest import Search, common_support, nearest


def table(search):
    """Distances (n, n), infinite where a pair is forbidden: the definition, pair by pair."""
    n = search.focal.size
    if search.vectors is not None:
        distance = np.sqrt(((search.vectors[:, None] - search.vectors[None]) ** 2).sum(-1))
    elif search.matrix is not None:
        distance = np.full((n, n), np.inf)
        distance[np.ix_(search.focal, ~search.focal)] = search.matrix
    else:
        distance = abs(search.score[:, None] - search.score[None])
    distance = np.where(np.isfinite(distance), distance, np.inf)
    calipers = list(search.calipers)
    if search.caliper is not None and search.score is not None:
        calipers.append((search.score, search.caliper))
    forbidden = ~np.outer(search.focal & search.usable, ~search.focal & search.usable)
    if search.caliper is not None and search.score is None:
        forbidden |= distance > search.caliper if search.caliper >= 0 else distance <= -search.caliper
    for values, width in calipers:
        gap = abs(values[:, None] - values[None])
        forbidden |= gap > width if width >= 0 else gap <= -width
    if search.strata is not None:
        forbidden |= search.strata[:, None] != search.strata[None]
    for codes in search.different:
        forbidden |= codes[:, None] == codes[None]
    return np.where(forbidden, np.inf, distance)


def slow(search):
    """Greedy matching by looking through the whole table each time (no ties, fixed ratio)."""
    distance = table(search)
    rows = np.flatnonzero(search.focal & search.usable).tolist()
    if search.replace:
        nearest_of = {i: [j for j in np.argsort(distance[i]) if distance[i, j] < np.inf] for i in rows}
        return {i: found[: int(search.ratio)] for i, found in nearest_of.items() if found}
    if search.order in ("largest", "smallest"):
        rows.sort(key=lambda i: search.score[i], reverse=search.order == "largest")
    pairs = {}
    for _ in range(int(search.ratio)):
        waiting = [i for i in rows if distance[i].min() < np.inf]
        if search.order == "farthest":
            waiting.sort(key=lambda i: -distance[i].min())
        while waiting:
            at = min(waiting, key=lambda i: distance[i].min()) if search.order == "closest" else waiting[0]
            waiting.remove(at)
            if distance[at].min() < np.inf:
                j = int(np.argmin(distance[at]))
                pairs.setdefault(at, []).append(j)
                distance[:, j] = np.inf
    return pairs


def as_dict(pairs):
    found = {}
    for i, j in zip(pairs.focal.tolist(), pairs.pool.tolist(), strict=True):
        found.setdefault(i, []).append(j)
    return found


def random_search(seed, measure):
    """A search without ties and with side conditions drawn at random."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 90))
    focal = rng.random(n) < rng.uniform(0.1, 0.6)
    focal[:2] = [True, False]
    made = {"focal": focal, "usable": rng.random(n) < 0.9, "score": rng.standard_normal(n)}
    if measure == "vectors":
        made["vectors"] = rng.standard_normal((n, int(rng.integers(2, 5))))
    elif measure == "matrix":
        made["matrix"] = np.abs(rng.standard_normal((focal.sum(), (~focal).sum())))
        made["matrix"][rng.random(made["matrix"].shape) < 0.1] = rng.choice([np.inf, np.nan])
    if rng.random() < 0.4:
        made["caliper"] = rng.choice([0.1, 0.5, 1.5, -0.2])
    if rng.random() < 0.4:
        made["calipers"] = ((rng.standard_normal(n), 1.0), (rng.standard_normal(n), -0.3))[
            : rng.integers(1, 3)
        ]
    if rng.random() < 0.4:
        made["strata"] = rng.integers(0, 3, n) * 1000 - 7
    if rng.random() < 0.3:
        made["different"] = (rng.integers(0, 4, n),)
    made["order"] = rng.choice(["largest", "smallest", "data", "closest", "farthest"])
    return Search(**made, ratio=int(rng.choice([1, 2, 3])), replace=bool(rng.random() < 0.3))


@pytest.mark.parametrize("measure", ["score", "vectors", "matrix"])
def test_agrees_with_looking_through_the_whole_table(measure):
    n_pairs = 0
    for seed in range(250):
        search = random_search(seed, measure)
        found = nearest(search)
        assert as_dict(found) == slow(search), f"seed {seed}: {search}"
        np.testing.assert_allclose(found.distance, table(search)[found.focal, found.pool], rtol=1e-12)
        assert (np.diff(found.focal) >= 0).all()
        n_pairs += len(found)
    assert n_pairs > 1000


@pytest.mark.parametrize("order", ["data", "closest", "farthest"])
def test_without_a_score_the_caliper_is_one_of_the_distance(order):
    rng = np.random.default_rng(3)
    focal, vectors = rng.random(80) < 0.3, rng.standard_normal((80, 3))
    for caliper, given in itertools.product([0.8, -0.8], ["vectors", "matrix", "one column"]):
        search = Search(focal=focal, usable=np.ones(80, bool), vectors=vectors, caliper=caliper, order=order)
        if given == "one column":
            search = replace(search, vectors=vectors[:, :1])
        if given == "matrix":
            held = table(replace(search, caliper=None))[np.ix_(focal, ~focal)]
            search = replace(search, vectors=None, matrix=held)
        found = nearest(search)
        assert as_dict(found) == slow(search)
        assert ((found.distance <= 0.8) if caliper > 0 else (found.distance > 0.8)).all() and len(found) > 5


def test_a_caliper_includes_its_width():
    focal = np.array([True, False])
    search = Search(focal=focal, usable=np.ones(2, bool), score=np.array([0.25, 0.75]), caliper=0.5)
    assert len(nearest(search)) == 1
    assert len(nearest(replace(search, caliper=0.49))) == 0
    assert len(nearest(replace(search, caliper=-0.5))) == 0
    assert len(nearest(replace(search, caliper=None, calipers=((search.score, -0.49),)))) == 1


def scored(focal, score, **fields):
    focal, score = np.array(focal, dtype=bool), np.array(score, dtype=float)
    return as_dict(nearest(Search(focal=focal, usable=np.ones(focal.size, bool), score=score, **fields)))


def test_ties_on_a_score_go_to_the_row_fewest_places_away():
    # One below and one above at the same distance: equally many places away, so the lower one.
    assert scored([1, 0, 0], [0.5, 0.75, 0.25]) == {0: [2]}
    # A row in between makes the lower one further away in places, although it is no candidate.
    assert scored([1, 0, 0, 1], [0.5, 0.75, 0.25, 0.375], order="data")[0] == [1]
    # Equal scores: the first in the data among those after the focal row, the last among those before it.
    assert scored([1, 0, 0], [0.5, 0.5, 0.5]) == {0: [1]}
    assert scored([0, 0, 1], [0.5, 0.5, 0.5]) == {2: [1]}
    assert scored([0, 0, 1], [0.5, 0.5, 0.5], replace=True, ratio=2) == {2: [1, 0]}


def test_equal_focal_scores_choose_in_data_order():
    assert scored([1, 1, 0, 0], [0.5, 0.5, 0.6, 0.9], order="largest") == {0: [2], 1: [3]}
    assert scored([1, 1, 0, 0], [0.5, 0.5, 0.6, 0.9], order="smallest") == {0: [2], 1: [3]}


def test_ties_in_a_matrix_go_to_the_first_column():
    search = Search(
        focal=np.array([True, False, False, False]),
        usable=np.ones(4, bool),
        matrix=np.array([[2.0, 1.0, 1.0]]),
        order="data",
    )
    assert as_dict(nearest(search)) == {0: [2]}
    assert as_dict(nearest(replace(search, replace=True, ratio=3))) == {0: [2, 3, 1]}


@pytest.mark.parametrize("measure", ["score", "vectors", "matrix"])
def test_random_ties_change_partners_and_nothing_else(measure):
    rng = np.random.default_rng(0)
    n, focal = 60, np.arange(60) % 3 == 0
    values = rng.integers(0, 4, n).astype(float)
    given = {
        "score": {"score": values},
        "vectors": {"vectors": np.column_stack([values, values * 0])},
        "matrix": {"matrix": abs(values[focal][:, None] - values[~focal])},
    }[measure]
    search = Search(focal=focal, usable=np.ones(n, bool), order="data", ties="random", **given)
    drawn = [nearest(replace(search, seed=seed)) for seed in range(40)]
    again = nearest(replace(search, seed=0))
    np.testing.assert_array_equal(drawn[0].pool, again.pool)
    assert len({tuple(found.pool) for found in drawn}) > 30
    assert {len(found) for found in drawn} == {focal.sum()}
    # Everybody chooses in data order, so that the distances are the same whichever of equals is taken.
    one = replace(search, replace=True)
    first = nearest(replace(one, ties="first")).distance
    assert all((nearest(replace(one, seed=seed)).distance == first).all() for seed in range(5))


def test_random_ties_give_everybody_a_chance():
    counts = np.zeros(5)
    for seed in range(400):
        found = scored([0, 1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.5], ties="random", seed=seed)
        counts[found[1]] += 1
    assert counts[1] == 0 and counts[[0, 2, 3, 4]].min() > 60


def test_random_order_is_drawn_from_the_seed():
    rng = np.random.default_rng(0)
    search = Search(
        focal=rng.random(100) < 0.4, usable=np.ones(100, bool), score=rng.random(100), order="random"
    )
    draws = {tuple(nearest(replace(search, seed=seed)).pool) for seed in range(10)}
    assert len(draws) == 10 and tuple(nearest(search).pool) in draws


def test_first_matches_of_all_come_before_second_matches():
    found = scored([1, 1, 0, 0, 0], [0.5, 0.4, 0.49, 0.48, 0.1], ratio=2, order="data")
    assert found == {0: [2, 4], 1: [3]}


def test_variable_ratio_counts():
    rng = np.random.default_rng(1)
    focal = np.arange(200) < 30
    score = rng.standard_normal(200) + focal
    search = Search(focal=focal, usable=np.ones(200, bool), score=score, ratio=2.5, min_ratio=1, max_ratio=6)
    found = as_dict(nearest(search))
    sizes = np.array([len(found[i]) for i in range(30)])
    # 75 pool rows for 30: n_most = (75 - 29) // 5 = 9 with six, 20 with one, and one with the 1 left over.
    assert sizes.sum() == 75 and np.sort(sizes).tolist() == [1] * 21 + [6] * 9
    assert score[:30][sizes == 6].max() < score[:30][sizes == 1].min()


def test_variable_ratio_leaves_nobody_without():
    # 19 for 10 with 1 to 6: two would get six and one none; it gets one, taken from the next.
    focal, score = np.arange(60) < 10, np.arange(60.0)
    found = as_dict(
        nearest(Search(focal=focal, usable=np.ones(60, bool), score=-score, ratio=1.9, max_ratio=6))
    )
    assert sorted(len(held) for held in found.values()) == [1] * 8 + [5, 6]


def test_nobody_to_match_is_an_empty_result():
    focal, score = np.array([True, False, False]), np.array([0.1, 0.2, 0.3])
    assert len(nearest(Search(focal=focal, usable=np.array([False, True, True]), score=score))) == 0
    assert len(nearest(Search(focal=focal, usable=np.array([True, False, False]), score=score))) == 0
    assert len(nearest(Search(focal=focal, usable=np.ones(3, bool), score=score, caliper=0.01))) == 0


def test_unusable_rows_may_lack_values():
    focal, score = np.array([True, False, False]), np.array([0.1, 0.2, np.nan])
    usable = np.array([True, True, False])
    vectors = np.column_stack([score, score])
    for held in ({"score": score}, {"vectors": vectors, "order": "data"}):
        assert nearest(Search(focal=focal, usable=usable, **held)).pool.tolist() == [1]
        with pytest.raises(ValueError, match="finite"):
            Search(focal=focal, usable=np.ones(3, bool), **held)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "give a score"),
        ({"matrix": np.ones((2, 2))}, "one row per focal"),
        ({"matrix": np.ones((1, 2)), "vectors": np.ones((3, 1))}, "not both"),
        ({"vectors": np.ones((3, 2)), "order": "largest"}, "needs a score"),
        ({"score": np.ones(3), "ratio": 1.5}, "whole number"),
        ({"score": np.ones(3), "ratio": 2, "max_ratio": 2}, "must rise"),
    ],
)
def test_contradictions_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        Search(
            **{"focal": np.array([True, False, False]), "usable": np.ones(3, bool), "order": "data", **fields}
        )


def test_many_equal_rows_do_not_break_the_tree():
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 2, (4000, 3)).astype(float)
    focal = rng.random(4000) < 0.2
    found = nearest(Search(focal=focal, usable=np.ones(4000, bool), vectors=vectors, order="data"))
    assert len(found) == focal.sum() and len(np.unique(found.pool)) == len(found)
    assert found.total == 0


def test_larger_trees_agree_with_the_whole_table():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1500, 6))
    focal = rng.random(1500) < 0.25
    search = Search(
        focal=focal, usable=np.ones(1500, bool), vectors=whiten(x, focal), score=x[:, 0], caliper=0.3
    )
    assert as_dict(nearest(search)) == slow(search)
    search = replace(search, caliper=None, strata=rng.integers(0, 4, 1500), replace=True, ratio=4)
    assert as_dict(nearest(search)) == slow(search)


def test_common_support_keeps_the_ends():
    score = np.array([0.1, 0.3, 0.8, 0.3, 0.8, 0.9])
    treated = np.array([False, False, False, True, True, True])
    assert common_support(score, treated, "both").tolist() == [False, True, True, True, True, False]
    assert common_support(score, treated, "control").tolist() == [False, True, True, True, True, True]
    assert common_support(score, treated, "treated").tolist() == [True, True, True, True, True, False]
