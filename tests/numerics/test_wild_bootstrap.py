import itertools

import numpy as np
import pytest

from qieval.numerics.absorb import fit_event, fit_static, partial_out, two_way, within
from qieval.numerics.covariance import covariance
from qieval.numerics.resampling import Resampling
from qieval.numerics.wild_bootstrap import WEBB, wild_cluster_bootstrap


class SlowBootstrap:
    """Re-estimates every draw on the rows: y* = restricted fit + restricted residual * cluster weight."""

    def __init__(self, base, data, clusters, weights=None):
        self.base, self.y, self.clusters = base, data["y"], clusters
        self.w = np.ones(self.y.size) if weights is None else weights
        self.d, self.residual_y = partial_out(base, np.column_stack([data["d"], data["y"]])).T
        self.size = np.sum(self.w * self.d**2)

    def t(self, y, null):
        residual = partial_out(self.base, y[:, None])[:, 0]
        beta = np.sum(self.w * self.d * residual) / self.size
        scores = np.bincount(self.clusters, self.w * self.d * (residual - beta * self.d))
        return (beta - null) / np.sqrt(np.sum(scores**2) / self.size**2)

    def p_value(self, null, draws, identity):
        observed = abs(self.t(self.y, null))
        restricted = self.residual_y - null * self.d
        extreme = sum(
            abs(self.t(self.y - restricted + restricted * draw[self.clusters], null)) >= observed * (1 - 1e-9)
            for draw in draws
        )
        return (identity + extreme) / (identity + len(draws))


def prepare(random_panel, seed, by, weighted):
    data = random_panel(seed, units=21, periods=5, missing=0.1)
    w = data["weights"] if weighted else None
    base = within(two_way(data["unit"], data["time"], w), data["y"], data["x"])
    assert base.rows.used.all()
    return data, fit_static(base, data["d"]), SlowBootstrap(base, data, data[by], w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("by", ["cluster", "crossing"])
def test_enumerated_signs_equal_a_bootstrap_that_re_estimates_every_draw(random_panel, weighted, by):
    data, fit, slow = prepare(random_panel, 1, by, weighted)
    n_clusters = data[by].max() + 1
    found = wild_cluster_bootstrap(fit, data[by], Resampling(draws=2**n_clusters), weights="rademacher")
    everything = np.array(list(itertools.product([-1.0, 1.0], repeat=n_clusters)))
    assert found.enumerated and found.n_draws == len(everything)
    assert found.p_value == pytest.approx(slow.p_value(0.0, everything, 0), abs=1e-12)


def test_webb_draws_equal_a_bootstrap_that_re_estimates_every_draw(random_panel):
    data, fit, slow = prepare(random_panel, 2, "cluster", True)
    found = wild_cluster_bootstrap(fit, data["cluster"], Resampling(draws=199, seed=7))
    generator = np.random.default_rng(7)
    draws = generator.choice(np.array([-1.0, 1.0]), (199, 7))
    draws *= generator.choice(WEBB, (199, 7))
    assert (found.weights, found.enumerated, found.n_draws) == ("webb", False, 199)
    assert found.p_value == pytest.approx(slow.p_value(0.0, draws, 1), abs=1e-12)


def test_interval_ends_are_where_the_slow_p_value_crosses(random_panel):
    data, fit, slow = prepare(random_panel, 3, "crossing", False)
    everything = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    found = wild_cluster_bootstrap(
        fit, data["crossing"], Resampling(draws=256, level=0.9), weights="rademacher"
    )
    width = found.high - found.low
    for end, outwards in ((found.low, -1), (found.high, 1)):
        assert slow.p_value(end + outwards * 1e-4 * width, everything, 0) <= 0.1
        assert slow.p_value(end - outwards * 1e-4 * width, everything, 0) > 0.1
    assert found.low < fit.beta[0] < found.high and found.converged


def test_statistic_is_the_clustered_t_without_a_factor(random_panel):
    data, fit, _ = prepare(random_panel, 4, "cluster", True)
    error = covariance(fit, "cluster", data["cluster"], "none").std_error[0]
    found = wild_cluster_bootstrap(fit, data["cluster"], Resampling(draws=99))
    assert found.statistic == pytest.approx(fit.beta[0] / error, rel=1e-10)


def test_too_few_sign_patterns_give_an_unbounded_interval(random_panel):
    data = random_panel(5)
    fit = fit_static(within(two_way(data["unit"], data["time"]), data["y"]), data["d"])
    four = data["cluster"] % 4
    found = wild_cluster_bootstrap(fit, four, Resampling(draws=999), weights="rademacher")
    assert found.enumerated and (found.low, found.high) == (-np.inf, np.inf)
    assert found.p_value >= 2 / 16


def test_weights_and_seed(random_panel):
    data = random_panel(6, units=60)
    fit = fit_static(within(two_way(data["unit"], data["time"]), data["y"]), data["d"])
    many = wild_cluster_bootstrap(fit, data["unit"], Resampling(draws=299, seed=1))
    assert (many.weights, many.enumerated, many.n_clusters) == ("rademacher", False, 60)
    assert many == wild_cluster_bootstrap(fit, data["unit"], Resampling(draws=299, seed=1))
    assert many != wild_cluster_bootstrap(fit, data["unit"], Resampling(draws=299, seed=2))
    few = wild_cluster_bootstrap(fit, data["unit"] % 12, Resampling(draws=4096))
    assert (few.weights, few.enumerated) == ("rademacher", True)


def test_estimate_without_cluster_variance_has_no_answer(random_panel):
    data = random_panel(7, missing=0.0)
    fit = fit_static(within(two_way(data["unit"], data["time"]), data["y"]), data["d"])
    found = wild_cluster_bootstrap(fit, (data["unit"] % 3 == 0).astype(int), Resampling(draws=99))
    assert np.isnan([found.p_value, found.low, found.high]).all() and not found.converged


def test_only_one_treatment_column_is_accepted(random_panel):
    data = random_panel(8)
    fit = fit_event(within(two_way(data["unit"], data["time"]), data["y"]), data["code"], 6)
    with pytest.raises(ValueError, match="one treatment column"):
        wild_cluster_bootstrap(fit, data["unit"])


@pytest.mark.slow
def test_size_under_the_null_with_few_clusters_and_autocorrelation():
    """12 clusters, AR(1) errors of 0.8: 5% of tests reject, where the bare normal interval rejects often."""
    rng = np.random.default_rng(1)
    clusters, periods, repeats = 12, 10, 600
    unit, time = np.repeat(np.arange(clusters), periods), np.tile(np.arange(periods), clusters)
    d = ((unit < 6) & (time >= 5)).astype(float)
    rows = two_way(unit, time)
    rejected = naive = 0
    for repeat in range(repeats):
        error = rng.standard_normal((clusters, periods))
        for t in range(1, periods):
            error[:, t] += 0.8 * error[:, t - 1]
        fit = fit_static(within(rows, error.ravel()), d)
        rejected += wild_cluster_bootstrap(fit, unit, Resampling(draws=399, seed=repeat)).p_value <= 0.05
        naive += abs(fit.beta[0]) > 1.96 * covariance(fit, "iid").std_error[0]
    assert abs(rejected / repeats - 0.05) < 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert naive / repeats > 0.15
