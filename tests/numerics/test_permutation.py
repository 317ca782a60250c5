import itertools
import math

import numpy as np
import pytest

from qieval.numerics.absorb import fit_static, partial_out, two_way, within
from qieval.numerics.permutation import permute_clusters
from qieval.numerics.resampling import Resampling


def prepare(random_panel, seed, weighted=False, by="cluster", n_treated=3):
    data = random_panel(seed, units=24, periods=5)
    clusters = data[by]
    treated = np.arange(clusters.max() + 1) < n_treated
    w = data["weights"] if weighted else None
    base = within(two_way(data["unit"], data["time"], w), data["y"], data["x"])
    return data, base, clusters, treated


def brute_force(data, base, clusters, assignments):
    """Coefficients of every assignment on y and on the observed treatment (the first), row by row."""
    w = np.ones(clusters.size) if base.rows.weights is None else base.rows.weights
    columns = np.array([chosen[clusters] * data["after"] for chosen in assignments]).T
    residual = partial_out(base, np.column_stack([data["y"], columns]))
    y, d = residual[:, 0], residual[:, 1:]
    size = np.sum(w[:, None] * d**2, axis=0)
    return d.T @ (w * y) / size, d.T @ (w * d[:, 0]) / size


def every_assignment(treated):
    clusters = range(treated.size)
    everything = [np.isin(clusters, chosen) for chosen in itertools.combinations(clusters, treated.sum())]
    return sorted(everything, key=lambda chosen: not (chosen == treated).all())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("by", ["cluster", "crossing"])
def test_enumeration_equals_brute_force(random_panel, weighted, by):
    data, base, clusters, treated = prepare(random_panel, 1, weighted, by)
    a, c = brute_force(data, base, clusters, every_assignment(treated))
    found = permute_clusters(base, data["after"], clusters, treated, Resampling(level=0.8))
    assert found.enumerated and found.n_assignments == math.comb(treated.size, 3) == found.coefficients.size
    assert found.estimate == pytest.approx(a[0], rel=1e-9)
    np.testing.assert_allclose(np.sort(found.coefficients), np.sort(a), atol=1e-10)

    def p_value(null):
        return np.mean(np.abs(a - c * null) >= abs(a[0] - null) * (1 - 1e-10))

    assert found.p_value == pytest.approx(p_value(0.0), abs=1e-12)
    for end, outwards in ((found.low, -1), (found.high, 1)):
        assert p_value(end + outwards * 1e-7) <= 0.2 < p_value(end - outwards * 1e-7)


def test_estimate_is_that_of_the_static_fit(random_panel):
    data, base, clusters, treated = prepare(random_panel, 2, weighted=True)
    fit = fit_static(base, treated[clusters] * data["after"])
    found = permute_clusters(base, data["after"], clusters, treated)
    assert found.estimate == pytest.approx(fit.beta[0], rel=1e-10)


def test_random_draws_leave_the_actual_assignment_out_and_count_it_once(random_panel):
    data, base, clusters, treated = prepare(random_panel, 3, by="unit", n_treated=10)
    found = permute_clusters(base, data["after"], clusters, treated, Resampling(draws=499, seed=4))
    assert not found.enumerated and found.coefficients.size == 499
    assert not np.isclose(found.coefficients, found.estimate, rtol=1e-12).any()
    extreme = np.sum(np.abs(found.coefficients) >= abs(found.estimate))
    assert found.p_value == (1 + extreme) / 500
    again = permute_clusters(base, data["after"], clusters, treated, Resampling(draws=499, seed=4))
    np.testing.assert_array_equal(found.coefficients, again.coefficients)


def test_few_assignments_are_never_drawn_twice_as_the_actual_one(random_panel):
    data, base, clusters, treated = prepare(random_panel, 4, n_treated=1)
    found = permute_clusters(base, data["after"], clusters, treated, Resampling(draws=6))
    assert found.coefficients.size == 6 and not found.enumerated
    assert not np.isclose(found.coefficients, found.estimate, rtol=1e-12).any()


def test_one_treated_cluster_of_eight_cannot_have_a_95_percent_interval(random_panel):
    data, base, clusters, treated = prepare(random_panel, 5, n_treated=1)
    found = permute_clusters(base, data["after"], clusters, treated)
    assert found.n_assignments == 8 and found.smallest_p == 1 / 8
    assert (found.low, found.high) == (-np.inf, np.inf)
    wide = permute_clusters(base, data["after"], clusters, treated, Resampling(level=0.8))
    assert np.isfinite([wide.low, wide.high]).all()


def test_half_treated_counts_the_mirror_image(random_panel):
    # Treating the other half gives minus the estimate, whatever the null value.
    data, base, clusters, treated = prepare(random_panel, 6, n_treated=4)
    found = permute_clusters(base, data["after"], clusters, treated)
    assert found.smallest_p == 2 / 70 and found.p_value >= 2 / 70
    three = clusters % 2
    pair = permute_clusters(base, data["after"], three, np.array([True, False]), Resampling(level=0.5))
    assert pair.p_value == 1.0 and (pair.low, pair.high) == (-np.inf, np.inf)


def test_interval_moves_with_a_shift_of_the_effect_and_scales(random_panel):
    data, base, clusters, treated = prepare(random_panel, 7)
    d = treated[clusters] * data["after"]
    one = permute_clusters(base, data["after"], clusters, treated)
    moved_base = within(base.rows, (data["y"] + 3 * d) * 100, data["x"])
    other = permute_clusters(moved_base, data["after"], clusters, treated)
    np.testing.assert_allclose([other.low, other.high], (np.array([one.low, one.high]) + 3) * 100, rtol=1e-9)


def test_assignments_without_a_coefficient_count_as_extreme():
    # Cluster 2 is never seen after the start: treating it alone cannot be estimated.
    unit = np.repeat(np.arange(4), 4)
    time = np.tile(np.arange(4), 4)
    keep = (unit != 2) | (time < 2)
    rng = np.random.default_rng(0)
    base = within(two_way(unit[keep], time[keep]), rng.standard_normal(keep.sum()))
    after = (time >= 2)[keep].astype(float)
    found = permute_clusters(base, after, unit[keep], np.array([True, False, False, False]))
    assert found.n_unidentified == 1 and np.isnan(found.coefficients).sum() == 1
    assert found.p_value >= 2 / 4 == found.smallest_p


@pytest.mark.slow
def test_size_is_exact_under_exchangeable_errors():
    rng = np.random.default_rng(2)
    units, periods, repeats = 15, 6, 800
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    rows, after, treated = two_way(unit, time), (time >= 3).astype(float), np.arange(units) < 2
    p_values = np.empty(repeats)
    for repeat in range(repeats):
        y = rng.standard_exponential(unit.size) + rng.standard_normal(units)[unit] * time
        p_values[repeat] = permute_clusters(within(rows, y), after, unit, treated).p_value
    for level in (0.05, 0.1, 0.2):
        exact = np.floor(level * 105 + 1e-9) / 105
        assert abs(np.mean(p_values <= level + 1e-12) - exact) < 3.5 * np.sqrt(exact * (1 - exact) / repeats)
