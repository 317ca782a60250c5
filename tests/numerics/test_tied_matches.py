import numpy as np
import pytest

from qieval.numerics.tied_matches import Matches, Rule, common_support, metric, standardised, tied_matches


def slowly(x, treated, rule, estimand="ATT"):
    """Matches by comparing everybody with everybody."""
    z, found = metric(x, rule.weight), []
    focal = treated if estimand == "ATT" else ~treated
    widths = np.full(x.shape[1], np.inf) if rule.caliper is None else rule.caliper * x.std(axis=0)
    free = ~focal
    for i in np.flatnonzero(focal):
        allowed = free & (np.abs(x - x[i]) <= widths).all(axis=1)
        if rule.strata is not None:
            allowed &= rule.strata == rule.strata[i]
        pool = np.flatnonzero(allowed)
        if pool.size < rule.ratio:
            continue
        distance = ((z[pool] - z[i]) ** 2).sum(axis=1)
        if rule.ties == "all":
            chosen = pool[distance <= np.sort(distance)[rule.ratio - 1] + rule.tolerance]
        else:
            chosen = np.sort(pool[np.argsort(distance, kind="stable")[: rule.ratio]])
        if not rule.replace:
            free[chosen] = False
        found += [(i, j, 1 / chosen.size) for j in chosen]
    return found


def people(n, seed, rounded):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal((n, 2)), rng.integers(0, 3, n), rng.random(n) < 0.4])
    return (np.round(x, 1) if rounded else x), rng.random(n) < 0.3, rng.integers(0, 3, n)


@pytest.mark.parametrize("n", [30, 400])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": 3},
        {"weight": "mahalanobis", "ratio": 2},
        {"weight": np.array([1.0, 0.0, 10.0, 300.0])},
        {"caliper": np.array([0.3, np.inf, 1.0, np.inf]), "ratio": 2},
        {"strata": True},
        {"ties": "first", "ratio": 2},
        {"ties": "first", "replace": False},
        {"ties": "first", "replace": False, "ratio": 2, "strata": True, "caliper": np.full(4, 1.5)},
        {"tolerance": 0.05},
    ],
    ids=str,
)
@pytest.mark.parametrize("rounded", [True, False])
def test_against_comparing_everybody(n, options, rounded):
    x, treated, strata = people(n, 7, rounded)
    rule = Rule(**(options | ({"strata": strata} if "strata" in options else {})))
    for estimand in ("ATT", "ATC"):
        found, expected = tied_matches(x, treated, rule, estimand), slowly(x, treated, rule, estimand)
        assert list(zip(found.focal, found.pool, strict=True)) == [(i, j) for i, j, _ in expected]
        assert found.weight == pytest.approx([w for *_, w in expected])


def test_ate_is_both_directions():
    x, treated, _ = people(60, 1, True)
    both, one, two = (tied_matches(x, treated, Rule(), kind) for kind in ("ATE", "ATT", "ATC"))
    assert both.pool.tolist() == [*one.pool, *two.pool] and both.weight.sum() == pytest.approx(60)


def test_units_and_thousands_of_ties_change_nothing():
    x, treated, _ = people(500, 2, True)
    found = tied_matches(x, treated)
    scaled = tied_matches(x * [1e-6, 1e6, 1.0, 3.0] + [0, 0, 5, 0], treated)
    assert found.pool.tolist() == scaled.pool.tolist()
    same = tied_matches(np.zeros((3000, 2)), np.arange(3000) < 2)
    assert same.pool.tolist() == [*range(2, 3000)] * 2 and same.weight.sum() == pytest.approx(2)


def test_random_ties_follow_the_seed_and_choose_among_the_nearest():
    x, treated = np.r_[0.0, 0.0, np.repeat([0.0, 1.0], 20)][:, None], np.arange(42) < 2
    chosen = [tied_matches(x, treated, Rule(ties="random", seed=s)).pool.tolist() for s in range(20)]
    assert chosen[3] == tied_matches(x, treated, Rule(ties="random", seed=3)).pool.tolist()
    assert len({tuple(pool) for pool in chosen}) > 5
    assert all(2 <= row < 22 for pool in chosen for row in pool)
    apart = tied_matches(x, treated, Rule(ties="random", replace=False, seed=1)).pool
    assert apart[0] != apart[1]


def test_who_is_not_matched():
    x, treated = np.array([[0.0], [9.0], [0.1], [0.2]]), np.array([True, True, False, False])
    found = tied_matches(x, treated, Rule(caliper=np.array([0.2])))
    assert found.unmatched(treated).tolist() == [1]
    nobody = tied_matches(x, treated, Rule(strata=np.array([0, 0, 1, 1])))
    assert nobody.focal.size == 0 and isinstance(nobody, Matches)


def test_common_support_is_the_overlap_of_the_ranges():
    score, treated = np.array([0.1, 0.4, 0.9, 0.2, 0.5, 0.95]), np.array([1, 1, 1, 0, 0, 0], bool)
    assert common_support(score, treated).tolist() == [False, True, True, True, True, False]


def test_constant_columns_have_no_distance():
    z = standardised(np.column_stack([np.full(5, 0.1), np.arange(5.0)]))
    assert not z[:, 0].any() and z[:, 1].std() == pytest.approx(1)


def test_what_cannot_be_done_is_refused():
    x, treated = np.zeros((4, 1)), np.array([True, False, False, False])
    with pytest.raises(ValueError, match="ties"):
        tied_matches(x, treated, Rule(replace=False))
    with pytest.raises(ValueError, match="4 matches"):
        tied_matches(x, treated, Rule(ratio=4))
