import numpy as np
import pytest

from qieval.numerics.contrasts import difference
from qieval.numerics.g_computation import OutcomeModel, g_computation
from qieval.numerics.means import covariance, weighted_means
from qieval.numerics.person_time import rates
from qieval.numerics.weighted_regression import sandwich, weighted_regression

FAMILIES = ["linear", "logistic", "poisson"]


def made(family="linear", n=250, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    treated = rng.random(n) < 1 / (1 + np.exp(-x[:, 0]))
    linear = 0.3 * x[:, 0] - 0.4 * x[:, 1] + 0.5 * treated * (1 + x[:, 1])
    if family == "logistic":
        y = (rng.random(n) < 1 / (1 + np.exp(-linear))).astype(float)
    elif family == "poisson":
        y = rng.poisson(np.exp(linear)).astype(float)
    else:
        y = linear + rng.standard_normal(n)
    return y, treated, x, rng.uniform(0.2, 2, n) * (rng.random(n) > 0.1)


def inverse_link(family, linear):
    return {"linear": linear, "logistic": 1 / (1 + np.exp(-linear)), "poisson": np.exp(linear)}[family]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("interacted", [True, False])
def test_means_and_delta_method_against_an_uncentred_regression(family, interacted):
    y, treated, x, weights = made(family)
    target = weights * treated
    found = g_computation(y, treated, x, weights, target, OutcomeModel(family=family, interacted=interacted))

    def design(arm):
        extra = [arm[:, None] * x] if interacted else []
        return np.hstack([np.ones((len(y), 1)), arm[:, None], x, *extra])

    fit = weighted_regression(design(treated.astype(float)), y, weights, family)
    share = target / target.sum()

    def means(beta):
        return np.array(
            [share @ inverse_link(family, design(np.full(len(y), arm)) @ beta) for arm in (1.0, 0.0)]
        )

    np.testing.assert_allclose([found.means.mean1, found.means.mean0], means(fit.beta), rtol=1e-8)
    step = 1e-5
    slopes = np.array(
        [(means(fit.beta + e) - means(fit.beta - e)) / (2 * step) for e in np.eye(fit.beta.size) * step]
    )
    expected = slopes.T @ sandwich(fit, "HC0") @ slopes
    np.testing.assert_allclose(covariance(found.means), expected, rtol=1e-6, atol=1e-10)
    cluster = np.arange(len(y)) // 5
    expected = slopes.T @ sandwich(fit, "HC1", cluster) @ slopes
    np.testing.assert_allclose(
        covariance(found.means, cluster, found.small_sample, adjust=True), expected, rtol=1e-6
    )
    by_gradient = found.gradient @ sandwich(found.regression, "HC0") @ found.gradient.T
    np.testing.assert_allclose(covariance(found.means), by_gradient, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_target_makes_it_the_derivative_by_each_rows_weight(family):
    y, treated, x, weights = made(family)
    model = OutcomeModel(family=family, target_random=True)
    found = g_computation(y, treated, x, weights, model=model).means
    step = 1e-5
    for row in np.flatnonzero(weights)[:8]:
        changed = []
        for sign in (1, -1):
            other = weights.copy()
            other[row] *= 1 + sign * step
            one = g_computation(y, treated, x, other, model=model).means
            changed.append([one.mean1, one.mean0])
        slopes = (np.array(changed[0]) - np.array(changed[1])) / (2 * step)
        np.testing.assert_allclose(found.influence[row], slopes, atol=1e-8)


def test_without_covariates_it_is_the_difference_of_means():
    y, treated, _, weights = made("logistic")
    none = np.zeros((len(y), 0))
    plain = weighted_means(y, treated, weights)
    for family in FAMILIES:
        found = g_computation(y, treated, none, weights, model=OutcomeModel(family=family)).means
        np.testing.assert_allclose([found.mean1, found.mean0], [plain.mean1, plain.mean0], rtol=1e-9)
        np.testing.assert_allclose(found.influence, plain.influence, atol=1e-10)


def test_rates_without_covariates_are_events_per_person_time():
    events, treated, _, weights = made("poisson")
    time = np.random.default_rng(1).uniform(0.2, 4, len(events))
    model = OutcomeModel(family="poisson", person_time=time)
    found = g_computation(events, treated, np.zeros((len(events), 0)), weights, model=model).means
    plain = rates(events, time, treated, weights).means
    np.testing.assert_allclose([found.mean1, found.mean0], [plain.mean1, plain.mean0], rtol=1e-9)
    np.testing.assert_allclose(found.influence, plain.influence, atol=1e-10)


def test_rates_with_a_covariate_by_hand():
    """Strata rates times the target's person-time in each stratum."""
    stratum = np.tile([0.0, 0.0, 1.0, 1.0], 2)
    treated = np.repeat([True, False], 4)
    time = np.array([1.0, 1, 2, 2, 3, 1, 1, 1])
    events = np.array([2.0, 0, 1, 3, 2, 2, 1, 2])
    model = OutcomeModel(family="poisson", person_time=time)
    found = g_computation(events, treated, stratum[:, None], np.ones(8), model=model).means
    assert found.mean1 == pytest.approx((6 * 2 / 2 + 6 * 4 / 4) / 12, rel=1e-10)
    assert found.mean0 == pytest.approx((6 * 4 / 4 + 6 * 3 / 2) / 12, rel=1e-10)


def test_a_covariate_that_is_constant_in_one_arm_takes_the_slope_of_the_other():
    y, treated, x, weights = made()
    only = np.where(treated, 0.7, x[:, 0])[:, None]
    found = g_computation(y, treated, only, weights)
    pooled = g_computation(y, treated, only, weights, model=OutcomeModel(interacted=False))
    assert found.regression.aliased.sum() == 1
    assert found.means.mean1 == pytest.approx(pooled.means.mean1)


def test_units_and_unused_rows_do_not_matter():
    y, treated, x, weights = made()
    unused = weights == 0
    holes, outcome = x.copy(), y.copy()
    holes[unused], outcome[unused] = np.nan, np.nan
    one = g_computation(y, treated, x, weights).means
    other = g_computation(outcome * 1e3, treated, holes * [1e6, 1e-6] + [1e7, 0], weights * 1e-5).means
    value = difference(other, covariance(other)), difference(one, covariance(one))
    assert value[0].estimate == pytest.approx(value[1].estimate * 1e3, rel=1e-8)
    assert value[0].std_error == pytest.approx(value[1].std_error * 1e3, rel=1e-8)


def test_target_rows_may_have_no_outcome():
    y, treated, x, weights = made()
    outside = weights == 0
    target = outside.astype(float)
    found = g_computation(np.where(outside, np.nan, y), treated, x, weights, target)
    assert np.isfinite(covariance(found.means)).all() and not found.means.used[outside].any()
    moving = OutcomeModel(target_random=True)
    wider = g_computation(np.where(outside, np.nan, y), treated, x, weights, target, moving)
    assert wider.means.used[outside].all()
    assert covariance(wider.means)[0, 0] > covariance(found.means)[0, 0]


def test_an_arm_or_a_target_without_rows_is_refused():
    y, treated, x, weights = made()
    with pytest.raises(ValueError, match="rows of positive weight"):
        g_computation(y, treated, x, weights * treated)
    with pytest.raises(ValueError, match="rows of positive weight"):
        g_computation(y, treated, x, weights, np.zeros(len(y)))
