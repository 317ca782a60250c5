from dataclasses import replace

import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.adjustment import adjusted_means
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import OutcomeSpec, fit_outcome
from qieval.numerics.adjustment_targeted import targeted_means
from qieval.numerics.adjustment_weighting import (
    augmented_means,
    doubly_robust,
    stabilised_range,
    treatment_weights,
    weighted_outcomes,
)
from qieval.numerics.balancing_weights import probability_weights
from qieval.numerics.means import covariance
from qieval.numerics.stacked_estimation import influence_of_means

ESTIMANDS = ["ATE", "ATT", "ATC"]


def made(family="gaussian", n=200, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)) * [1.0, 1e4]
    treated = rng.random(n) < 1 / (1 + np.exp(-0.5 * x[:, 0]))
    linear = 0.3 * x[:, 0] + 0.3 * treated + x[:, 1] / 3e4
    exposure = rng.uniform(0.5, 2, n) if family == "poisson" else None
    y = {
        "gaussian": lambda: linear + rng.normal(0, 1, n),
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-linear))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(linear) * exposure).astype(float),
    }[family]()
    weights = rng.uniform(0.5, 2, n) if weighted else None
    return Sample(y=y, treated=treated, x=x, weights=weights, exposure=exposure)


def by_hand(sample, rates, probability, estimand):
    """AIPW means from the formulas, without weights."""
    arms = {}
    for arm in (1, 0):
        own = sample.treated == (arm == 1)
        received = probability if arm else 1 - probability
        target = {"ATE": 1.0, "ATT": probability, "ATC": 1 - probability}[estimand]
        there = {"ATE": True, "ATT": sample.treated, "ATC": ~sample.treated}[estimand]
        values = there * rates[:, 1 - arm] + own * target / received * (sample.y - rates[:, 1 - arm])
        arms[arm] = values.sum() / np.broadcast_to(there, values.shape).sum()
    return arms[1], arms[0]


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_augmented_means_by_the_formulas(estimand):
    sample = made(weighted=False)
    rng = np.random.default_rng(1)
    rates, probability = rng.normal(size=(200, 2)), rng.uniform(0.2, 0.8, 200)
    found = probability_weights(probability, sample.treated, estimand)
    means = augmented_means(sample, rates, found)
    np.testing.assert_allclose([means.mean1, means.mean0], by_hand(sample, rates, probability, estimand))
    np.testing.assert_allclose(means.influence.sum(axis=0), 0, atol=1e-14)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("part", [False, True])
def test_stacked_influence_is_the_derivative_by_each_rows_weight(family, estimand, part):
    sample = made(family)
    among = sample.x[:, 1] > 0 if part else None

    def everything(held):
        found = treatment_weights(held, estimand)
        fit = fit_outcome(held, OutcomeSpec(family, np.array([False, True])))
        return [
            weighted_outcomes(held, found, "hajek", among),
            weighted_outcomes(held, found, "horvitz-thompson", among),
            doubly_robust(fit, found, among),
        ]

    means, step = everything(sample), 1e-4
    for row in range(0, 200, 40):
        moved = []
        for sign in (1, -1):
            weights = sample.weight.copy()
            weights[row] *= 1 + sign * step
            other = everything(replace(sample, weights=weights))
            moved.append(np.array([[one.mean1, one.mean0] for one in other]))
        slopes = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose([one.influence[row] for one in means], slopes, atol=2e-9)


@pytest.mark.parametrize("known", [False, True])
def test_without_exposure_hajek_is_the_shared_weighted_mean(known):
    sample = made()
    found = treatment_weights(sample)
    means, shared = (
        weighted_outcomes(sample, found, scores_known=known),
        influence_of_means(sample.y, found, known),
    )
    assert (means.mean1, means.mean0) == (pytest.approx(shared.mean1), pytest.approx(shared.mean0))
    np.testing.assert_allclose(means.influence, shared.influence, atol=1e-15)


def test_weighted_rates_by_hand():
    y, time = np.array([2.0, 4.0, 3.0, 1.0]), np.array([1.0, 2.0, 1.0, 4.0])
    treated = np.array([True, True, False, False])
    sample = Sample(y=y, treated=treated, x=np.zeros((4, 0)), exposure=time)
    found = probability_weights(np.array([0.5, 0.25, 0.5, 0.75]), treated)
    means = weighted_outcomes(sample, found)
    assert means.mean1 == pytest.approx((2 * 2 + 4 * 4) / (2 * 1 + 4 * 2))
    assert means.mean0 == pytest.approx((2 * 3 + 4 * 1) / (2 * 1 + 4 * 4))
    total = weighted_outcomes(sample, found, "horvitz-thompson")
    assert total.mean1 == pytest.approx((2 * 2 + 4 * 4) / 8)


def test_doubly_robust_without_information_is_the_weighted_mean():
    """Constant predictions change nothing if weights are normalised: here, with the marginal score."""
    sample = made(weighted=False)
    share = sample.treated.mean()
    found = probability_weights(np.full(200, share), sample.treated)
    fit = fit_outcome(replace(sample, x=np.zeros((200, 0))))
    means = doubly_robust(fit, found, models_known=True)
    assert means.mean1 == pytest.approx(sample.y[sample.treated].mean())
    assert means.mean0 == pytest.approx(sample.y[~sample.treated].mean())


def test_mean_of_the_treated_is_the_observed_one_for_the_att():
    sample = made("binomial", weighted=False)
    means = doubly_robust(fit_outcome(sample, OutcomeSpec("binomial")), treatment_weights(sample, "ATT"))
    assert means.mean1 == pytest.approx(sample.y[sample.treated].mean())


def test_one_wrong_model_is_forgiven():
    rng = np.random.default_rng(4)
    n = 20_000
    x = rng.standard_normal((n, 1))
    treated = rng.random(n) < 1 / (1 + np.exp(-x[:, 0]))
    y = 1.0 * treated + 2 * x[:, 0] + rng.standard_normal(n)
    right, none = Sample(y=y, treated=treated, x=x), Sample(y=y, treated=treated, x=np.empty((n, 0)))
    weights = {True: treatment_weights(right), False: treatment_weights(none)}
    fits = {True: fit_outcome(right), False: fit_outcome(none)}
    effects = {}
    for outcome in (True, False):
        for score in (True, False):
            means = doubly_robust(fits[outcome], weights[score])
            effects[outcome, score] = means.mean1 - means.mean0
    for case in ((True, True), (True, False), (False, True)):
        assert effects[case] == pytest.approx(1.0, abs=0.1)
    assert effects[False, False] > 2


def test_stabilised_weights_average_about_one():
    sample = made(weighted=False)
    found = stabilised_range(treatment_weights(sample))
    assert found.mean == pytest.approx(1, abs=0.05) and found.low < 1 < found.high


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_targeted_means_against_a_logistic_regression_with_offset(family, estimand):
    import statsmodels.api as sm

    sample = made(family)
    fit, found = fit_outcome(sample, OutcomeSpec(family)), treatment_weights(sample, estimand)
    low, high = (0.0, 1.0) if family == "binomial" else (sample.y.min(), sample.y.max())
    means = targeted_means(fit, found)
    for column, (own, value) in enumerate(((sample.treated, means.mean1), (~sample.treated, means.mean0))):
        first = np.clip((fit.rates[:, column] - low) / (high - low), 5e-4, 1 - 5e-4)
        offset = np.log(first / (1 - first))
        share = (sample.y - low) / (high - low)
        moved = sm.GLM(
            share[own], np.ones(own.sum()), sm.families.Binomial(), offset=offset[own],
            freq_weights=found.total[own],
        ).fit(tol=1e-14)  # fmt: skip
        new = low + (high - low) / (1 + np.exp(-offset - moved.params[0]))
        assert value == pytest.approx(np.average(new, weights=sample.target(estimand)), rel=1e-9)
    assert low < means.mean0 < high


def test_targeted_and_augmented_agree_when_both_models_are_right():
    sample = made("binomial", n=5000, weighted=False)
    fit, found = fit_outcome(sample, OutcomeSpec("binomial")), treatment_weights(sample)
    one, two = targeted_means(fit, found), doubly_robust(fit, found, models_known=True)
    error = np.sqrt(covariance(two)[0, 0])
    assert abs(one.mean1 - two.mean1) < 0.1 * error
    np.testing.assert_allclose(covariance(one), covariance(two), rtol=0.01)


def test_targeted_means_refuse_what_they_cannot_do():
    rates = made("poisson")
    fit = fit_outcome(rates, OutcomeSpec("poisson"))
    with pytest.raises(ValueError, match="not for rates"):
        targeted_means(fit, treatment_weights(rates))
    sample = made(weighted=False)
    found = treatment_weights(sample)
    with pytest.raises(ValueError, match="within low and high"):
        targeted_means(fit_outcome(sample), found, 0.0, 0.1)
    constant = fit_outcome(replace(sample, y=np.ones(200)))
    with pytest.raises(EstimationError, match="does not vary"):
        targeted_means(constant, found)
    at_the_end = fit_outcome(replace(sample, y=sample.treated.astype(float)))
    with pytest.raises(EstimationError, match="same end"):
        targeted_means(at_the_end, found)


def test_scores_that_tell_the_arms_apart():
    sample = made()
    with pytest.raises(EstimationError, match="tells without error who was treated"):
        treatment_weights(sample, x=np.column_stack([sample.x[:, 0], sample.treated]))


def test_weights_of_another_sample_are_refused():
    sample = made()
    with pytest.raises(ValueError, match="not those of this sample"):
        weighted_outcomes(replace(sample, weights=None), treatment_weights(sample))
    with pytest.raises(ValueError, match="divisor"):
        weighted_outcomes(sample, treatment_weights(sample), "mean")
    unfinished = replace(treatment_weights(sample), status="not converged")
    with pytest.raises(EstimationError, match="not converged"):
        weighted_outcomes(sample, unfinished)


@pytest.mark.parametrize("divisor", ["hajek", "horvitz-thompson"])
def test_a_subgroup_without_one_arm(divisor):
    sample = made()
    with pytest.raises(ValueError, match="an arm has no weight"):
        weighted_outcomes(sample, treatment_weights(sample), divisor, among=sample.treated)


def test_g_computation_and_weighting_agree_for_a_saturated_model():
    rng = np.random.default_rng(7)
    x = (rng.random((400, 1)) < 0.4).astype(float)
    treated = rng.random(400) < 0.3 + 0.4 * x[:, 0]
    sample = Sample(y=rng.normal(size=400) + x[:, 0], treated=treated, x=x)
    fit, found = fit_outcome(sample, OutcomeSpec(interacted=True)), treatment_weights(sample)
    three = [adjusted_means(fit), weighted_outcomes(sample, found), doubly_robust(fit, found)]
    for means in three[1:]:
        assert means.mean1 == pytest.approx(three[0].mean1, rel=1e-10)
        np.testing.assert_allclose(means.influence, three[0].influence, atol=1e-12)
