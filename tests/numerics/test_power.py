import numpy as np
import pytest
from scipy import stats

from qieval.numerics.absorb import fit_static, two_way, within
from qieval.numerics.covariance import covariance
from qieval.numerics.power import simulate_power
from qieval.numerics.resampling import Resampling


def autocorrelated(rng, shape, rho):
    error = rng.standard_normal(shape)
    error[:, 0] /= np.sqrt(1 - rho**2)
    for t in range(1, shape[1]):
        error[:, t] += rho * error[:, t - 1]
    return error


def change(outcomes, treated, before):
    moved = outcomes[:, before:].mean(axis=1) - outcomes[:, :before].mean(axis=1)
    return moved[treated].mean() - moved[~treated].mean()


def test_independent_errors_give_the_textbook_numbers():
    rng = np.random.default_rng(1)
    treated = np.arange(200) < 80
    pre = rng.standard_normal((200, 20)) * 3 + rng.standard_normal((200, 1)) * 50 + np.arange(20) * 7
    found = simulate_power(pre, treated, np.arange(200), 10, Resampling(draws=4000, seed=1))
    sd = 3 * np.sqrt((1 / 20 + 1 / 10) * (1 / 80 + 1 / 120))
    assert found.sd == pytest.approx(sd, rel=0.06)
    assert abs(found.size - 0.05) < 4 * found.size_error
    assert found.mde == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * sd, rel=0.08)
    assert found.mde_low < found.mde < found.mde_high
    assert found.power[0] == found.size and (np.diff(found.power) > -1e-12).all() and found.power[-1] > 0.99
    assert abs(found.autocorrelation) < 0.1 and (found.n_clusters, found.n_treated_clusters) == (200, 80)


@pytest.mark.slow
@pytest.mark.parametrize("rho, before", [(0.0, 12), (0.4, 12), (0.6, 24), (0.8, 36)])
def test_autocorrelated_errors_keep_their_standard_deviation(rho, before):
    rng = np.random.default_rng(2)
    treated = np.arange(60) < 24
    truth = np.std(
        [change(autocorrelated(rng, (60, before + 12), rho), treated, before) for _ in range(2000)]
    )
    found = [
        simulate_power(
            autocorrelated(rng, (60, before), rho), treated, np.arange(60), 12, Resampling(draws=500)
        )
        for _ in range(30)
    ]
    assert np.mean([one.sd for one in found]) == pytest.approx(truth, rel=0.1)
    assert np.mean([one.autocorrelation for one in found]) == pytest.approx(rho, abs=0.04)
    assert np.mean([one.size for one in found]) == pytest.approx(0.05, abs=0.008)


def test_standard_error_is_that_of_the_two_way_fit():
    """What is simulated, difference of mean changes with scores summed by cluster, is the two-way fit."""
    rng = np.random.default_rng(3)
    units, before, after = 30, 6, 4
    treated, cluster = np.arange(units) < 12, np.arange(units) // 2
    y = rng.standard_normal((units, before + after))
    unit, time = np.repeat(np.arange(units), before + after), np.tile(np.arange(before + after), units)
    fit = fit_static(within(two_way(unit, time), y.ravel()), treated[unit] * (time >= before).astype(float))
    error = covariance(fit, "cluster", cluster[unit]).std_error[0]
    moved = y[:, before:].mean(axis=1) - y[:, :before].mean(axis=1)
    score = np.where(treated, (moved - moved[treated].mean()) / 12, -(moved - moved[~treated].mean()) / 18)
    n, k, g = y.size, 1 + before + after, 15
    by_hand = np.sqrt(g / (g - 1) * (n - 1) / (n - k) * np.sum(np.bincount(cluster, score) ** 2))
    assert error == pytest.approx(by_hand, rel=1e-10)
    assert fit.beta[0] == pytest.approx(change(y, treated, before), rel=1e-10)


def test_shocks_shared_by_a_cluster_count():
    rng = np.random.default_rng(4)
    treated, cluster = np.arange(120) < 60, np.arange(120) // 6
    shared = rng.standard_normal((20, 16))[cluster] * 2
    pre = shared + rng.standard_normal((120, 16))
    by_cluster = simulate_power(pre, treated, cluster, 8, Resampling(draws=1000))
    by_unit = simulate_power(pre, treated, np.arange(120), 8, Resampling(draws=1000))
    assert by_cluster.sd > 1.5 * by_unit.sd and by_cluster.n_clusters == 20
    sd = np.sqrt((4 + 1 / 6) * (1 / 16 + 1 / 8) * (2 / 10))
    assert by_cluster.sd == pytest.approx(sd, rel=0.15)


def test_clusters_that_hold_both_arms_cancel_their_shared_shocks():
    rng = np.random.default_rng(5)
    treated, cluster = np.arange(100) % 2 == 0, np.arange(100) // 4
    shared = rng.standard_normal((25, 12))[cluster] * 5
    found = simulate_power(
        shared + rng.standard_normal((100, 12)), treated, cluster, 12, Resampling(draws=1000)
    )
    assert found.sd == pytest.approx(np.sqrt((1 / 12 + 1 / 12) * (1 / 50 + 1 / 50)), rel=0.15)


def test_missing_outcomes_are_left_out():
    rng = np.random.default_rng(6)
    pre = rng.standard_normal((60, 12))
    pre[rng.random(pre.shape) < 0.15] = np.nan
    pre[0, 1:] = np.nan
    found = simulate_power(pre, np.arange(60) < 30, np.arange(60), 6, Resampling(draws=1000))
    assert found.reason == "" and found.n_clusters == 59
    assert found.sd == pytest.approx(np.sqrt((1 / 12 + 1 / 6) * (2 / 30)), rel=0.15)


def test_same_seed_same_answer_and_units_do_not_matter():
    pre = np.random.default_rng(7).standard_normal((40, 9))
    treated, unit = np.arange(40) < 20, np.arange(40)
    one = simulate_power(pre, treated, unit, 4, Resampling(draws=300, seed=3))
    other = simulate_power(pre * 1e6 + 5, treated, unit, 4, Resampling(draws=300, seed=3))
    assert other.mde == pytest.approx(one.mde * 1e6, rel=1e-6)
    np.testing.assert_allclose(other.power, one.power, atol=0.01)


@pytest.mark.parametrize(
    "pre, treated, reason",
    [
        (np.ones((4, 1)), [True, True, False, False], "fewer than two periods"),
        (np.ones((4, 6)), [True, True, False, False], "do not vary"),
        (np.random.default_rng(0).standard_normal((4, 6)), [True] * 4, "one arm"),
        (np.full((4, 6), np.nan), [True, True, False, False], "one arm"),
    ],
)
def test_reasons_instead_of_numbers(pre, treated, reason):
    found = simulate_power(pre, np.array(treated), np.arange(4), 3, Resampling(draws=50))
    assert (
        reason in found.reason and np.isnan([found.sd, found.size, found.mde]).all() and not found.power.size
    )


def test_two_periods_cannot_show_autocorrelation():
    pre = np.random.default_rng(8).standard_normal((40, 2))
    found = simulate_power(pre, np.arange(40) < 20, np.arange(40), 2, Resampling(draws=300))
    assert np.isnan(found.autocorrelation) and found.sd > 0
    given = simulate_power(
        pre, np.arange(40) < 20, np.arange(40), 2, Resampling(draws=300), np.array([0.0, 99.0])
    )
    assert given.power[1] == 1.0 and given.power_error[1] == 0.0
