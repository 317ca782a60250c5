import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from qieval.numerics.means import covariance
from qieval.numerics.survival import curve, followed_to, survival_means


def made(seed=0, n=120, grid=4):
    rng = np.random.default_rng(seed)
    treated = rng.random(n) < 0.4
    event_time = rng.exponential(np.where(treated, 3.0, 2.0))
    censored = rng.uniform(0.5, 6, n)
    time = np.ceil(np.minimum(event_time, censored) * grid) / grid
    return time, event_time <= censored, treated, rng.uniform(0, 3, n) * (rng.random(n) > 0.15)


def slow(time, event, weights, horizon):
    """Survival and restricted mean time by loops over the times."""
    share, before, area = 1.0, 0.0, 0.0
    for at in np.unique(time[weights > 0]):
        if at > horizon:
            break
        area += share * (at - before)
        before = at
        share *= 1 - weights[(time == at) & event].sum() / weights[time >= at].sum()
    return share, area + share * (horizon - before)


@pytest.mark.parametrize("horizon", [0.1, 0.75, 1.6, 3.0])
def test_means_and_influence_against_loops_and_numerical_derivatives(horizon):
    time, event, treated, weights = made()
    found = survival_means(time, event, treated, weights, horizon)
    step = 1e-6
    for column, arm in enumerate((treated, ~treated)):
        own = np.where(arm, weights, 0.0)
        share, area = slow(time, event, own, horizon)
        risk, free = (
            [found.risk.mean1, found.risk.mean0][column],
            [found.free_time.mean1, found.free_time.mean0][column],
        )
        assert 1 - risk == pytest.approx(share, rel=1e-12) and free == pytest.approx(area, rel=1e-12)
        for row in range(0, time.size, 7):
            more, less = own.copy(), own.copy()
            more[row] *= 1 + step
            less[row] *= 1 - step
            upper, lower = slow(time, event, more, horizon), slow(time, event, less, horizon)
            slopes = (np.array(upper) - np.array(lower)) / (2 * step)
            assert -found.risk.influence[row, column] == pytest.approx(slopes[0], abs=1e-8)
            assert found.free_time.influence[row, column] == pytest.approx(slopes[1], abs=1e-8)
        assert found.at_risk[column] == pytest.approx(own[time >= horizon].sum())


def test_greenwood_is_what_equal_weights_give():
    time, event, treated, _ = made(4)
    found = survival_means(time, event, treated, np.ones(time.size), 2.0)
    variances = np.diag(covariance(found.risk))
    for arm, risk, variance in zip(
        (treated, ~treated), (found.risk.mean1, found.risk.mean0), variances, strict=True
    ):
        other = SurvfuncRight(time[arm], event[arm])
        place = np.searchsorted(other.surv_times, 2.0, side="right") - 1
        assert 1 - risk == pytest.approx(other.surv_prob[place], rel=1e-12)
        assert np.sqrt(variance) == pytest.approx(other.surv_prob_se[place], rel=1e-10)


def test_whole_curve_against_statsmodels():
    time, event, _, _ = made(5, n=200)
    found, other = curve(time, event, np.ones(time.size)), SurvfuncRight(time, event)
    places = np.searchsorted(found.times, other.surv_times)
    np.testing.assert_allclose(found.survival[places], other.surv_prob, rtol=1e-12)
    np.testing.assert_allclose(found.at_risk[places], other.n_risk)
    np.testing.assert_allclose(found.std_error[places[:-1]], other.surv_prob_se[:-1], rtol=1e-9)


def test_curve_and_means_agree_with_weights():
    time, event, treated, weights = made(6)
    found = survival_means(time, event, treated, weights, 1.5)
    whole = curve(time, event, np.where(treated, weights, 0.0))
    place = np.searchsorted(whole.times, 1.5, side="right") - 1
    assert 1 - found.risk.mean1 == pytest.approx(whole.survival[place], rel=1e-12)
    assert np.sqrt(covariance(found.risk)[0, 0]) == pytest.approx(whole.std_error[place], rel=1e-10)


def test_without_censoring_it_is_a_proportion_and_a_mean():
    time, _, treated, weights = made(7)
    found = survival_means(time, np.ones(time.size, dtype=bool), treated, weights, 1.25)
    for arm, risk, free in (
        (treated, found.risk.mean1, found.free_time.mean1),
        (~treated, found.risk.mean0, found.free_time.mean0),
    ):
        assert risk == pytest.approx(np.average(time[arm] <= 1.25, weights=weights[arm]))
        assert free == pytest.approx(np.average(np.minimum(time[arm], 1.25), weights=weights[arm]))


def test_textbook_example():
    """Remission times with 6-mercaptopurine (Freireich 1963): survival 0.6275, SE 0.1141 from week 16."""
    time = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0])
    event = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    found = curve(time, event, np.ones(21))
    place = np.searchsorted(found.times, 16)
    assert found.survival[place] == pytest.approx(0.6275, abs=5e-5)
    assert found.std_error[place] == pytest.approx(0.1141, abs=5e-5)


def test_clusters_of_identical_copies_undo_the_copying():
    time, event, treated, weights = made(8)
    once = survival_means(time, event, treated, weights, 1.5).risk
    twice = survival_means(*(np.tile(part, 2) for part in (time, event, treated, weights)), 1.5).risk
    labels = np.tile(np.arange(time.size), 2)
    np.testing.assert_allclose(covariance(twice, labels), covariance(once), rtol=1e-10)


def test_everybody_has_had_the_event():
    time, event = np.array([1.0, 2.0, 2.0, 1.0, 3.0]), np.array([1, 1, 1, 1, 0], dtype=bool)
    treated = np.array([1, 1, 1, 0, 0], dtype=bool)
    found = survival_means(time, event, treated, np.ones(5), 3.0)
    assert found.risk.mean1 == 1 and not found.risk.influence[treated, 0].any()
    assert found.free_time.mean1 == pytest.approx(5 / 3)
    assert followed_to(time, event, treated, np.ones(5)) == (np.inf, 3.0)
    assert found.at_risk == (0.0, 1.0)
    np.testing.assert_allclose(found.free_time.influence[:3, 0], (time[:3] - 5 / 3) / 3)


def test_unit_of_time_only_rescales():
    time, event, treated, weights = made(9)
    years, days = (survival_means(time * k, event, treated, weights, 2 * k) for k in (1, 365))
    assert days.risk.mean1 == years.risk.mean1
    np.testing.assert_allclose(days.free_time.influence, years.free_time.influence * 365)


def test_bad_input_is_refused():
    time, event, treated, weights = made()
    with pytest.raises(ValueError, match="beyond the follow-up"):
        survival_means(time, event, treated, weights, 50.0)
    with pytest.raises(ValueError, match="0 or more"):
        survival_means(-time, event, treated, weights, 1.0)
    with pytest.raises(ValueError, match="no row"):
        survival_means(time, event, np.ones(time.size, dtype=bool), weights, 1.0)
    with pytest.raises(ValueError, match="no row"):
        followed_to(time, event, np.ones(time.size, dtype=bool), weights)
