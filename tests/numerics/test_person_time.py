import numpy as np
import pytest

from qieval.numerics.contrasts import difference, ratio
from qieval.numerics.means import covariance
from qieval.numerics.person_time import rates
from qieval.numerics.weighted_regression import sandwich, weighted_regression


def made(n=200):
    rng = np.random.default_rng(2)
    time = rng.uniform(0.1, 3, n)
    treated = rng.random(n) < 0.4
    events = rng.poisson(time * np.where(treated, 0.5, 0.8)).astype(float)
    return events, time, treated, rng.uniform(0, 2, n) * (rng.random(n) > 0.1), rng.integers(0, 25, n)


def test_rates_by_hand():
    treated = np.array([1, 1, 0, 0], dtype=bool)
    found = rates(np.array([3.0, 0.0, 1.0, 1.0]), np.array([2.0, 4.0, 5.0, 5.0]), treated, np.ones(4))
    assert (found.means.mean1, found.means.mean0) == (0.5, 0.2)
    assert found.events == (3.0, 2.0) and found.person_time == (6.0, 10.0)
    np.testing.assert_allclose(found.means.influence[:, 0], [2 / 6, -2 / 6, 0, 0])
    value = difference(found.means, covariance(found.means))
    assert value.estimate == pytest.approx(0.3) and value.std_error == pytest.approx(np.sqrt(8) / 6)


def test_same_as_robust_poisson_regression():
    events, time, treated, weights, cluster = made()
    means = rates(events, time, treated, weights).means
    x = np.column_stack([np.ones(events.size), treated])
    fit = weighted_regression(x, events, weights, "poisson", np.log(time))
    for codes in (None, cluster):
        value = ratio(means, covariance(means, codes))
        assert np.log(value.estimate) == pytest.approx(fit.beta[1], rel=1e-10)
        assert value.std_error == pytest.approx(np.sqrt(sandwich(fit, "HC0", codes)[1, 1]), rel=1e-9)


def test_splitting_a_person_in_pieces_changes_nothing_when_clustered():
    events, time, treated, weights, cluster = made()
    whole = rates(events, time, treated, weights).means
    pieces = rates(
        np.concatenate([events, np.zeros(events.size)]),
        np.tile(time / 2, 2),
        np.tile(treated, 2),
        np.tile(weights, 2),
    ).means
    np.testing.assert_allclose(
        covariance(pieces, np.tile(cluster, 2)), covariance(whole, cluster), rtol=1e-10
    )
    assert pieces.mean1 == pytest.approx(whole.mean1, rel=1e-12)


def test_unit_of_time_only_rescales():
    events, time, treated, weights, _ = made()
    years, days = (
        rates(events, time, treated, weights).means,
        rates(events, time * 365, treated, weights).means,
    )
    assert days.mean1 * 365 == pytest.approx(years.mean1)
    found = [ratio(means, covariance(means)) for means in (years, days)]
    assert found[0].std_error == pytest.approx(found[1].std_error)


def test_no_person_time_is_refused():
    treated = np.array([True, False])
    with pytest.raises(ValueError, match="no person-time"):
        rates(np.ones(2), np.array([0.0, 1.0]), treated, np.ones(2))
    with pytest.raises(ValueError, match="0 or more"):
        rates(np.ones(2), np.array([-1.0, 1.0]), treated, np.ones(2))
    with pytest.raises(ValueError, match="finite"):
        rates(np.array([np.nan, 1.0]), np.ones(2), treated, np.ones(2))
