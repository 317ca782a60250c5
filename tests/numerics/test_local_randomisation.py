"""Local randomisation: tests and sets against enumeration; large-sample errors against statsmodels."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.local_randomisation import randomisation_test
from qieval.numerics.local_randomisation_draws import Assignments, Drawing
from qieval.numerics.local_randomisation_exact import exact_difference
from qieval.numerics.local_randomisation_interval import p_values_between, randomisation_set
from qieval.numerics.local_randomisation_rows import LocalTest, Ordered, Sample

WINDOW = (-1.0, 1.0)


def sample(n=12, seed=0, digits=None, **more):
    rng = np.random.default_rng(seed)
    score = rng.uniform(-1, 1, n)
    outcome = rng.standard_normal(n) + 0.8 * (score >= 0)
    if digits is not None:
        outcome = np.round(outcome, digits)
    return Sample(score=score, outcome=outcome, cutoff=0.0, **more)


def brute(values, on_right, statistic):
    """Statistics of every assignment with as many on the right."""
    n, m = on_right.size, int(on_right.sum())
    found = []
    for chosen in combinations(range(n), m):
        right = np.zeros(n, dtype=bool)
        right[list(chosen)] = True
        found.append(statistic(values, right))
    return np.array(found)


def difference(y, right):
    return y[right].mean() - y[~right].mean()


def ks(y, right):
    return stats.ks_2samp(y[right], y[~right], method="asymp").statistic


def rank_sum(y, right):
    ranks = stats.rankdata(y)
    n, m = y.size, right.sum()
    variance = m * (n - m) / n * ranks.var(ddof=1)
    return (ranks[right].sum() - m * (n + 1) / 2) / np.sqrt(variance)


@pytest.mark.parametrize(("name", "slow"), [("difference", difference), ("ks", ks), ("rank sum", rank_sum)])
@pytest.mark.parametrize("digits", [None, 0])
def test_p_value_is_that_of_all_assignments(name, slow, digits):
    s = sample(digits=digits)
    right = s.score >= 0
    every = brute(s.outcome, right, slow)
    observed = slow(s.outcome, right)
    found = randomisation_test(s, WINDOW, LocalTest(statistic=name))
    assert found.statistic == pytest.approx(observed, abs=1e-12)
    assert found.p_value == pytest.approx(np.mean(np.abs(every) >= abs(observed) - 1e-9), abs=1e-12)
    assert found.how in ("exact", "enumerated") and found.p_error == 0
    assert found.n_assignments == every.size


def test_drawn_p_value_is_near_the_exact_one_and_repeats():
    s = sample(n=16, seed=3)
    exact = randomisation_test(s, WINDOW)
    test = LocalTest(drawing=Drawing(draws=20_000, all_up_to=0, seed=4))
    drawn = randomisation_test(s, WINDOW, test)
    assert exact.how == "enumerated" and drawn.how == "drawn"
    assert drawn.p_value == pytest.approx(exact.p_value, abs=4 * drawn.p_error)
    assert randomisation_test(s, WINDOW, test) == drawn


def test_a_null_effect_is_taken_off_the_right():
    s = sample(n=14, seed=5)
    right = s.score >= 0
    moved = randomisation_test(s, WINDOW, null=0.7)
    shifted = Sample(score=s.score, outcome=s.outcome - 0.7 * right, cutoff=0.0)
    assert moved.p_value == pytest.approx(randomisation_test(shifted, WINDOW).p_value, abs=1e-12)
    assert moved.estimate == pytest.approx(difference(s.outcome, right))


def test_bernoulli_assignments_are_weighted_by_their_chance():
    s = sample(n=9, seed=2)
    chance = np.random.default_rng(8).uniform(0.2, 0.9, 9)
    right = s.score >= 0
    observed, extreme, total = difference(s.outcome, right), 0.0, 0.0
    for pattern in product([False, True], repeat=9):
        one = np.array(pattern)
        if one.any() and not one.all():
            weight = np.where(one, chance, 1 - chance).prod()
            total += weight
            extreme += weight * (abs(difference(s.outcome, one)) >= abs(observed) - 1e-12)
    with_chance = Sample(score=s.score, outcome=s.outcome, cutoff=0.0, probability=chance)
    found = randomisation_test(with_chance, WINDOW)
    assert found.p_value == pytest.approx(extreme / total, rel=1e-10)


@pytest.mark.parametrize("bernoulli", [False, True])
def test_exact_distribution_of_counts(bernoulli):
    rng = np.random.default_rng(4)
    y = rng.poisson(2.0, 10) * 0.5 + 3
    chance = rng.uniform(0.2, 0.8, 10) if bernoulli else None
    found = exact_difference(y, 4, chance)
    blocks = Assignments(np.arange(10) < 4, chance).blocks(Drawing())
    slow: dict[float, float] = {}
    for block, weight in blocks:
        for row, w in zip(block == 1, weight, strict=True):
            if row.any() and not row.all():
                key = round(difference(y, row), 9)
                slow[key] = slow.get(key, 0.0) + w
    total = sum(slow.values())
    fast: dict[float, float] = {}
    for value, w in zip(found.values, found.weight, strict=True):
        fast[round(value, 9)] = fast.get(round(value, 9), 0.0) + w
    assert set(fast) == set(slow)
    assert all(fast[key] == pytest.approx(slow[key] / total, rel=1e-9) for key in slow)


def test_exact_distribution_of_yes_or_no_is_fishers():
    y = np.repeat([0.0, 1.0], [300, 200])
    found = exact_difference(y, 240)
    k = np.arange(241)
    chance = stats.hypergeom(500, 200, 240).pmf(k)
    assert found.weight == pytest.approx(chance[chance > 0][: found.weight.size], rel=1e-8, abs=1e-15)


def test_outcomes_without_a_step_have_no_lattice():
    assert exact_difference(np.random.default_rng(0).standard_normal(30), 15) is None


def test_ranks_with_ties():
    y = np.array([3.0, 1.0, 1.0, 2.0, 3.0, 3.0])
    assert Ordered(y).ranks == pytest.approx(stats.rankdata(y))


@pytest.mark.parametrize("vce", ["hc0", "hc1", "hc2", "hc3"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_large_sample_errors_are_those_of_weighted_least_squares(vce, order):
    import statsmodels.api as sm

    s = sample(n=80, seed=1)
    side = (s.score >= 0) * 1.0
    powers = s.score[:, None] ** np.arange(1, order + 1)
    x = np.column_stack([np.ones(80), side, powers, powers * side[:, None]])
    weights = 1 - np.abs(s.score)
    fit = sm.WLS(s.outcome, x, weights=weights).fit(cov_type=vce.upper())
    test = LocalTest(order=order, kernel="triangular", vce=vce, drawing=Drawing(draws=99))
    found = randomisation_test(s, WINDOW, test)
    assert found.estimate == pytest.approx(fit.params[1], rel=1e-9)
    assert found.statistic == pytest.approx(fit.params[1], rel=1e-9)
    assert found.std_error == pytest.approx(fit.bse[1], rel=1e-9)
    assert found.p_asymptotic == pytest.approx(fit.pvalues[1], rel=1e-7)
    assert found.trustworthy == (order == 0)


def test_fuzzy_effect_is_the_ratio_of_jumps():
    rng = np.random.default_rng(6)
    s = sample(n=60, seed=6)
    uptake = (rng.random(60) < 0.2 + 0.6 * (s.score >= 0)) * 1.0
    found = randomisation_test(
        Sample(score=s.score, outcome=s.outcome, cutoff=0.0, uptake=uptake), WINDOW, LocalTest(vce="hc0")
    )
    right = s.score >= 0
    ratio = difference(s.outcome, right) / difference(uptake, right)
    assert found.estimate == pytest.approx(ratio)
    residual = s.outcome - ratio * uptake
    residual = residual - np.where(right, residual[right].mean(), residual[~right].mean())
    variance = sum((residual[g] ** 2).sum() / g.sum() ** 2 for g in (right, ~right))
    assert found.std_error == pytest.approx(np.sqrt(variance) / abs(difference(uptake, right)))
    assert found.uptake_jump.estimate == pytest.approx(difference(uptake, right))


def test_clusters_are_assigned_as_a_whole():
    clusters = np.repeat(np.arange(6), [1, 4, 2, 3, 2, 3])
    score = np.where(clusters < 3, -0.5, 0.5)
    y = np.random.default_rng(1).standard_normal(15) + clusters
    every = []
    for chosen in combinations(range(6), 3):
        every.append(difference(y, np.isin(clusters, chosen)))
    observed = difference(y, score > 0)
    found = randomisation_test(Sample(score=score, outcome=y, cutoff=0.0, clusters=clusters), WINDOW)
    assert found.p_value == pytest.approx(np.mean(np.abs(every) >= abs(observed) - 1e-12))
    assert found.n_assignments == 20
    mixed = Sample(score=np.where(np.arange(15) % 2, 0.5, -0.5), outcome=y, cutoff=0.0, clusters=clusters)
    with pytest.raises(ValueError, match="both sides"):
        randomisation_test(mixed, WINDOW)


@pytest.mark.parametrize("fuzzy", [False, True])
def test_the_exact_set_holds_what_the_test_does_not_reject(fuzzy):
    rng = np.random.default_rng(12)
    s = sample(n=13, seed=9)
    uptake = (rng.random(13) < 0.15 + 0.7 * (s.score >= 0)) * 1.0 if fuzzy else None
    s = Sample(score=s.score, outcome=s.outcome, cutoff=0.0, uptake=uptake)
    test = LocalTest(level=0.9)
    found = randomisation_set(s, WINDOW, test)
    assert found.exact and found.how == "enumerated"
    for effect in np.linspace(-6, 6, 61) + 0.00317:
        inside = bool(np.any((found.pieces[:, 0] <= effect) & (effect <= found.pieces[:, 1])))
        assert inside == (randomisation_test(s, WINDOW, test, null=float(effect)).p_value > 0.1)


def test_sets_of_every_shape():
    one = np.ones(1)

    def between(y, t):
        return p_values_between(np.array([y]), np.array([t]), one, (1.0, 0.5))

    ends, weights = between(0.0, 0.0)
    assert ends == pytest.approx([2.0]) and weights == pytest.approx([0.0, 0.0])
    ends, weights = between(0.0, 1.0)
    assert ends == pytest.approx([-2.0, 2 / 3]) and weights == pytest.approx([1.0, 0.0, 1.0])
    ends, weights = between(2.0, 0.5)
    assert ends == pytest.approx([3.0]) and weights == pytest.approx([1.0, 0.0])
    ends, weights = between(-1.0, -0.5)
    assert ends.size == 0 and weights == pytest.approx([1.0])


def test_without_a_jump_in_uptake_the_set_is_the_whole_line():
    s = sample(n=14, seed=2)
    uptake = np.tile([0.0, 1.0], 7)
    found = randomisation_set(Sample(score=s.score, outcome=s.outcome, cutoff=0.0, uptake=uptake), WINDOW)
    assert np.isinf(found.pieces).any()


@pytest.mark.parametrize("name", ["ks", "rank sum"])
def test_a_set_on_a_grid_is_that_of_single_tests(name):
    s = sample(n=12, seed=7)
    grid = np.linspace(-3, 4, 29)
    found = randomisation_set(s, WINDOW, LocalTest(statistic=name), grid)
    accepted = [
        randomisation_test(s, WINDOW, LocalTest(statistic=name), float(e)).p_value > 0.05 for e in grid
    ]
    inside = [bool(np.any((found.pieces[:, 0] <= e) & (e <= found.pieces[:, 1]))) for e in grid]
    assert inside == accepted and not found.exact


def test_units_of_measurement_and_row_order_do_not_matter():
    s = sample(n=15, seed=11)
    order = np.random.default_rng(0).permutation(15)
    for name in ("difference", "ks", "rank sum"):
        one = randomisation_test(s, WINDOW, LocalTest(statistic=name))
        other = Sample(score=1e6 * s.score[order] + 7, outcome=1e-8 * s.outcome[order] + 3e-6, cutoff=7.0)
        two = randomisation_test(other, (7 - 1e6, 7 + 1e6), LocalTest(statistic=name))
        assert two.p_value == pytest.approx(one.p_value, abs=1e-12)
    wide, narrow = randomisation_set(other, (7 - 1e6, 7 + 1e6)), randomisation_set(s, WINDOW)
    assert wide.pieces == pytest.approx(1e-8 * narrow.pieces, rel=1e-6)


def test_power_against_half_a_standard_deviation():
    s = sample(n=100, seed=1)
    found = randomisation_test(s, WINDOW, LocalTest(drawing=Drawing(draws=99)))
    z = found.effect / found.std_error
    assert found.effect == pytest.approx(0.5 * s.outcome[s.score < 0].std(ddof=1))
    assert found.power == pytest.approx(stats.norm.sf(1.959964 - z) + stats.norm.cdf(-1.959964 - z), abs=1e-6)


def test_a_window_must_hold_both_sides():
    s = sample()
    with pytest.raises(ValueError, match="one side"):
        randomisation_test(Sample(score=np.abs(s.score), outcome=s.outcome, cutoff=0.0), WINDOW)
    with pytest.raises(ValueError, match="reach from below"):
        randomisation_test(s, (0.1, 1.0))
    with pytest.raises(ValueError, match="too few distinct"):
        randomisation_test(
            Sample(score=np.sign(s.score), outcome=s.outcome, cutoff=0.0), WINDOW, LocalTest(order=1)
        )


def test_a_constant_outcome_says_nothing():
    s = sample()
    for name in ("difference", "ks"):
        found = randomisation_test(
            Sample(score=s.score, outcome=np.full(12, 2.0), cutoff=0.0), WINDOW, LocalTest(statistic=name)
        )
        assert found.p_value == 1.0


@pytest.mark.slow
def test_the_test_keeps_its_size_and_the_set_its_coverage():
    rng = np.random.default_rng(1)
    test = LocalTest(drawing=Drawing(draws=399))
    rejected, covered, repeats = 0, 0, 400
    for _ in range(repeats):
        score = rng.uniform(-1, 1, 40)
        s = Sample(score=score, outcome=rng.exponential(1.0, 40) + 0.5 * (score >= 0), cutoff=0.0)
        rejected += randomisation_test(s, WINDOW, test, null=0.5).p_value <= 0.05
        pieces = randomisation_set(s, WINDOW, test).pieces
        covered += bool(np.any((pieces[:, 0] <= 0.5) & (pieces[:, 1] >= 0.5)))
    error = 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert rejected / repeats < 0.05 + error
    assert covered / repeats > 0.95 - error
