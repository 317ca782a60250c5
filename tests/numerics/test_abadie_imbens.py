import numpy as np
import pytest

from qieval.numerics.abadie_imbens import abadie_imbens, variance_within
from qieval.numerics.tied_matches import Rule, tied_matches


def data(n=80, seed=3):
    rng = np.random.default_rng(seed)
    x = np.round(rng.standard_normal((n, 2)), 1)
    treated = rng.random(n) < 0.4
    return x, treated, x @ [1.0, 2.0] + treated + rng.standard_normal(n)


def slowly(y, treated, pairs, variance=None):
    """The estimate and its variance person by person, from the formulas of the paper."""
    n, effect = y.size, {}
    k, k2 = np.zeros(n), np.zeros(n)
    for i in sorted(set(pairs.focal)):
        mine = pairs.pool[pairs.focal == i]
        effect[i] = (y[i] - y[mine].mean()) * (1 if treated[i] else -1)
        for j in mine:
            k[j] += 1 / mine.size
            k2[j] += 1 / mine.size**2
    estimate, people = np.mean([*effect.values()]), len(effect)
    if variance is None:
        squares = [
            np.mean(
                [
                    ((y[i] - y[j]) * (1 if treated[i] else -1) - estimate) ** 2
                    for j in pairs.pool[pairs.focal == i]
                ]
            )
            for i in effect
        ]
        variance = np.full(n, np.mean(squares) / 2)
    total = sum((e - estimate) ** 2 for e in effect.values())
    total += sum((k[i] ** 2 + 2 * k[i] * (i in effect) - k2[i]) * variance[i] for i in range(n))
    return estimate, np.sqrt(total) / people


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
@pytest.mark.parametrize("options", [{}, {"ratio": 3}, {"caliper": np.array([0.2, 0.2])}], ids=str)
def test_against_the_formulas(estimand, options):
    x, treated, y = data()
    pairs = tied_matches(x, treated, Rule(**options), estimand)
    for variance in (None, variance_within(y, x, treated, 2)):
        found = abadie_imbens(y, treated, pairs, variance=variance)
        estimate, error = slowly(y, treated, pairs, variance)
        assert (found.estimate, found.std_error) == pytest.approx((estimate, error), rel=1e-10)
        assert found.unadjusted == found.estimate and found.n_pairs == pairs.pool.size


def test_variance_within_is_that_of_a_person_with_the_nearest():
    x, treated, y = data()
    found, z = variance_within(y, x, treated, 2), (x - x.mean(0)) / x.std(0)
    for i in range(y.size):
        same = np.flatnonzero((treated == treated[i]) & (np.arange(y.size) != i))
        distance = ((z[same] - z[i]) ** 2).sum(axis=1)
        near = same[distance <= np.sort(distance)[1] + 1e-5]
        assert found[i] == pytest.approx(np.var(y[[i, *near]], ddof=1), rel=1e-9)


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
def test_bias_adjustment_removes_what_a_line_explains(estimand):
    x, treated, _ = data()
    y = x @ [3.0, -1.0] + 2.0 * treated
    found = abadie_imbens(y, treated, tied_matches(x, treated, Rule(), estimand), adjust=x)
    assert found.estimate == pytest.approx(2.0, abs=1e-10) and abs(found.unadjusted - 2.0) > 1e-3
    moved = abadie_imbens(y, treated, tied_matches(x, treated, Rule(), estimand), adjust=x * 1e6 + 1e7)
    assert moved.estimate == pytest.approx(2.0, abs=1e-7)


def test_shifting_the_outcome_changes_nothing():
    x, treated, y = data()
    pairs = tied_matches(x, treated, Rule(caliper=np.array([0.1, 0.1])))
    one, other = abadie_imbens(y, treated, pairs), abadie_imbens(y + 1000, treated, pairs)
    assert (other.estimate, other.std_error) == pytest.approx((one.estimate, one.std_error), rel=1e-9)


def test_nobody_matched():
    x, treated, y = data()
    found = abadie_imbens(y, treated, tied_matches(x, treated, Rule(strata=treated.astype(int))))
    assert np.isnan(found.estimate) and found.n_focal == 0


def test_at_least_one_neighbour():
    x, treated, y = data()
    with pytest.raises(ValueError, match="neighbours"):
        variance_within(y, x, treated, 0)
