import warnings
from dataclasses import replace

import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.adjustment import adjusted_means, marginal_effect_at
from qieval.numerics.adjustment_design import Sample, arm_design
from qieval.numerics.adjustment_outcome import OutcomeSpec, fit_outcome
from qieval.numerics.contrasts import all_contrasts
from qieval.numerics.means import covariance
from qieval.numerics.subgroups import by_subgroup

FAMILIES = ["gaussian", "binomial", "poisson", "negative binomial", "gamma"]
COUNTS = ("poisson", "negative binomial")


def made(family, n=300, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(60, 10, n), rng.random(n) < 0.4, rng.normal(0, 1e-3, n)]).astype(float)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    treated = rng.random(n) < 1 / (1 + np.exp(-0.5 * z[:, 0] + 0.2))
    linear = -0.2 + 0.4 * treated + z @ [0.3, -0.2, 0.2] + 0.2 * treated * z[:, 0]
    exposure = rng.uniform(0.5, 3, n) if family in COUNTS else None
    mean = np.exp(linear) * (1 if exposure is None else exposure)
    y = {
        "gaussian": lambda: 5 + linear + rng.normal(0, 1, n),
        "binomial": lambda: rng.random(n) < 1 / (1 + np.exp(-linear)),
        "poisson": lambda: rng.poisson(mean),
        "negative binomial": lambda: rng.poisson(mean * rng.gamma(1.5, 1 / 1.5, n)),
        "gamma": lambda: mean * rng.gamma(2, 0.5, n),
    }[family]()
    weights = rng.integers(1, 4, n).astype(float) if weighted else None
    return Sample(y=y.astype(float), treated=treated, x=x, weights=weights, exposure=exposure)


def repeated(sample):
    rows = np.repeat(np.arange(sample.y.size), sample.weight.astype(int))
    exposure = None if sample.exposure is None else sample.exposure[rows]
    return Sample(y=sample.y[rows], treated=sample.treated[rows], x=sample.x[rows], exposure=exposure)


def columns(sample, interacted, arm=None):
    """Constant, treatment, covariates and products; covariates centred, for the reference software."""
    treated = sample.treated.astype(float) if arm is None else np.full(sample.y.size, arm)
    x = (sample.x - sample.x.mean(axis=0)) / sample.x.std(axis=0)
    products = [treated[:, None] * x[:, interacted]]
    return np.hstack([np.ones((sample.y.size, 1)), treated[:, None], x, *products])


def reference(sample, family, interacted):
    """Coefficients of statsmodels on repeated rows, and the mean rate of everybody in both arms."""
    import statsmodels.api as sm

    if family == "negative binomial":
        model = sm.NegativeBinomial(sample.y, columns(sample, interacted), exposure=sample.exposure)
        fit = model.fit(maxiter=500, method="bfgs", disp=False, gtol=1e-9)
        beta, theta = fit.params[:-1], 1 / fit.params[-1]
    else:
        law = {
            "gaussian": sm.families.Gaussian(),
            "binomial": sm.families.Binomial(),
            "poisson": sm.families.Poisson(),
            "gamma": sm.families.Gamma(sm.families.links.Log()),
        }[family]
        model = sm.GLM(sample.y, columns(sample, interacted), law, exposure=sample.exposure)
        beta, theta = model.fit(tol=1e-12, maxiter=200).params, np.inf
    inverse = {"gaussian": lambda eta: eta, "binomial": lambda eta: 1 / (1 + np.exp(-eta))}.get(
        family, np.exp
    )
    rates = [inverse(columns(sample, interacted, arm) @ beta) for arm in (1.0, 0.0)]
    return [np.average(rate, weights=sample.time) for rate in rates], theta


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("interacted", [[False] * 3, [True, False, False], [True] * 3])
def test_weighted_means_are_those_of_statsmodels_on_repeated_rows(family, interacted):
    mask = np.array(interacted)
    sample = made(family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, theta = reference(repeated(sample), family, mask)
    fit = fit_outcome(sample, OutcomeSpec(family, mask))
    means = adjusted_means(fit)
    exact = 1e-9 if family != "negative binomial" else 1e-5
    np.testing.assert_allclose([means.mean1, means.mean0], expected, rtol=exact)
    np.testing.assert_allclose(fit.law.theta, theta, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("estimand", "part"), [("ATE", False), ("ATT", False), ("ATC", True)])
def test_influence_is_the_derivative_by_each_rows_weight(family, estimand, part):
    sample = made(family, n=120, seed=3)
    among = sample.x[:, 1] == 1 if part else None
    spec = OutcomeSpec(family, np.array([True, False, False]))
    found = adjusted_means(fit_outcome(sample, spec), estimand, among)
    step = 1e-4
    for row in range(0, 120, 24):
        values = []
        for sign in (1, -1):
            weights = sample.weight.copy()
            weights[row] *= 1 + sign * step
            other = adjusted_means(fit_outcome(replace(sample, weights=weights), spec), estimand, among)
            values.append([other.mean1, other.mean0])
        slopes = (np.array(values[0]) - np.array(values[1])) / (2 * step)
        np.testing.assert_allclose(found.influence[row], slopes, atol=2e-9)


def test_without_covariates_means_are_those_of_the_arms():
    y, treated = np.array([1.0, 3.0, 0.0, 1.0, 2.0]), np.array([True, True, False, False, False])
    means = adjusted_means(fit_outcome(Sample(y=y, treated=treated, x=np.empty((5, 0)))))
    assert (means.mean1, means.mean0) == (pytest.approx(2.0), pytest.approx(1.0))
    np.testing.assert_allclose(covariance(means), np.diag([2 / 4, 2 / 9]), atol=1e-12)
    time = np.array([1.0, 1.0, 2.0, 2.0, 2.0])
    for family in ("poisson", "negative binomial"):
        sample = Sample(y=y, treated=treated, x=np.empty((5, 0)), exposure=time)
        rates = adjusted_means(fit_outcome(sample, OutcomeSpec(family)))
        assert (rates.mean1, rates.mean0) == (pytest.approx(2.0), pytest.approx(0.5))


@pytest.mark.parametrize("family", FAMILIES)
def test_units_and_order_do_not_matter(family):
    sample = made(family, seed=5)
    spec = OutcomeSpec(family, True)
    found = adjusted_means(fit_outcome(sample, spec), "ATT")
    order = np.random.default_rng(1).permutation(sample.y.size)
    x = sample.x * [1e6, 1.0, 1e-5] + [1e4, 7.0, 0.0]
    exposure = None if sample.exposure is None else sample.exposure[order]
    other = Sample(
        y=sample.y[order], treated=sample.treated[order], x=x[order], weights=sample.weight[order] * 1e3
    )
    again = adjusted_means(fit_outcome(replace(other, exposure=exposure), spec), "ATT")
    np.testing.assert_allclose([again.mean1, again.mean0], [found.mean1, found.mean0], rtol=1e-9)
    np.testing.assert_allclose(again.influence, found.influence[order], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_of_a_cost_only_scale_the_means(scale):
    sample = made("gamma", seed=6)
    spec = OutcomeSpec("gamma")
    found = adjusted_means(fit_outcome(sample, spec))
    other = adjusted_means(fit_outcome(replace(sample, y=sample.y * scale), spec))
    np.testing.assert_allclose(other.influence, found.influence * scale, rtol=1e-7, atol=1e-13 * scale)
    some_free = replace(sample, y=np.where(np.arange(300) % 4 == 0, 0.0, sample.y))
    assert adjusted_means(fit_outcome(some_free, spec)).mean1 < found.mean1


def test_fixed_covariates_leave_the_delta_method_over_a_sandwich():
    sample = made("binomial", weighted=False)
    interacted = np.array([True, True, False])
    found = adjusted_means(fit_outcome(sample, OutcomeSpec("binomial", interacted)), covariates_random=False)
    import statsmodels.api as sm

    fit = sm.GLM(sample.y, columns(sample, interacted), sm.families.Binomial()).fit(cov_type="HC0", tol=1e-12)
    slopes = []
    for arm in (1.0, 0.0):
        design = columns(sample, interacted, arm)
        risk = 1 / (1 + np.exp(-design @ fit.params))
        slopes.append((risk * (1 - risk)) @ design / len(design))
    expected = np.array(slopes) @ fit.cov_params() @ np.array(slopes).T
    np.testing.assert_allclose(covariance(found), expected, rtol=1e-7)
    whole = covariance(adjusted_means(fit_outcome(sample, OutcomeSpec("binomial", interacted))))
    assert whole[0, 0] > expected[0, 0]


def test_coefficients_and_their_model_covariance_are_those_of_least_squares():
    sample = made("gaussian", weighted=False)
    fit = fit_outcome(sample, OutcomeSpec(interacted=np.array([False, False, True])))
    treated = sample.treated.astype(float)[:, None]
    design = np.hstack([np.ones((300, 1)), treated, sample.x, treated * sample.x[:, 2:]])
    beta, rss, *_ = np.linalg.lstsq(design, sample.y, rcond=None)
    found = fit.coefficients
    np.testing.assert_allclose(found[[0, 1, 2, 3, 4, 7]], beta, rtol=1e-8)
    assert (found[5:7] == 0).all()
    spread = fit.design.units @ fit.model_covariance() @ fit.design.units.T
    expected = rss[0] / (300 - 6) * np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(spread[np.ix_([0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 7])], expected, rtol=1e-6)


def test_effects_at_given_values_follow_from_the_coefficients():
    sample = made("gaussian", weighted=False)
    fit = fit_outcome(sample, OutcomeSpec(interacted=np.array([True, False, False])))
    at = np.array([[40.0, 0.0, 0.0], [80.0, 1.0, 0.0]])
    found = marginal_effect_at(fit, at)
    beta = fit.coefficients
    for place, age in enumerate((40.0, 80.0)):
        means = found.means[place]
        assert means.mean1 - means.mean0 == pytest.approx(beta[1] + age * beta[5], rel=1e-9)
        own = np.array([0.0, 1.0, 0, 0, 0, age, 0, 0]) @ fit.design.units
        expected = own @ fit.model_covariance() @ own
        assert np.array([1, -1]) @ found.model[place] @ [1, -1] == pytest.approx(expected, rel=1e-9)
        robust = fit.influence(own[:, None])[:, 0]
        np.testing.assert_allclose(means.influence @ [1, -1], robust, atol=1e-12)


def test_average_of_effects_at_everybodys_values_is_the_average_effect():
    sample = made("poisson", n=60, weighted=False)
    fit = fit_outcome(sample, OutcomeSpec("poisson"))
    each = marginal_effect_at(fit, sample.x).means
    expected = np.average([one.mean1 for one in each], weights=sample.time)
    assert adjusted_means(fit).mean1 == pytest.approx(expected, rel=1e-12)


def test_subgroups_average_to_the_whole():
    sample = made("binomial")
    fit = fit_outcome(sample, OutcomeSpec("binomial", True))
    groups = [sample.x[:, 1] == level for level in (0, 1)]
    parts = [adjusted_means(fit, among=group) for group in groups]
    whole = adjusted_means(fit)
    share = [sample.weight[group].sum() / sample.weight.sum() for group in groups]
    assert np.dot(share, [part.mean1 for part in parts]) == pytest.approx(whole.mean1, rel=1e-12)
    assert 0 < by_subgroup(parts).test.p_value < 1


def test_a_column_that_varies_in_one_arm_only_has_one_slope():
    rng = np.random.default_rng(2)
    treated = np.arange(40) % 2 == 0
    x = np.column_stack([np.where(treated, rng.normal(size=40), 3.0), rng.normal(size=40), np.ones(40)])
    sample = Sample(y=rng.normal(size=40), treated=treated, x=x)
    whole = fit_outcome(sample, OutcomeSpec(interacted=True))
    chosen = fit_outcome(sample, OutcomeSpec(interacted=np.array([False, True, False])))
    np.testing.assert_allclose(whole.coefficients, chosen.coefficients, atol=1e-10)
    assert whole.design.q == 5 and whole.coefficients[[4, 5]].tolist() == [0, 0]


def test_calendar_years_and_their_squares_keep_their_digits():
    rng = np.random.default_rng(3)
    year = rng.integers(2010, 2021, 500).astype(float)
    treated = rng.random(500) < 0.5
    y = 1 + treated + (year - 2015) ** 2 + rng.normal(0, 1, 500)
    found = fit_outcome(Sample(y=y, treated=treated, x=np.column_stack([year, year**2])))
    easy = fit_outcome(Sample(y=y, treated=treated, x=np.column_stack([year - 2015, (year - 2015) ** 2])))
    np.testing.assert_allclose(found.rates, easy.rates, rtol=1e-8)


def test_clusters_and_contrasts_come_from_the_shared_modules():
    sample = made("binomial", seed=8)
    means = adjusted_means(fit_outcome(sample, OutcomeSpec("binomial")))
    cluster = np.arange(300) // 10
    totals = np.array([means.influence[cluster == code].sum(axis=0) for code in range(30)])
    np.testing.assert_allclose(covariance(means, cluster, adjust=True), totals.T @ totals * 30 / 29)
    names = [one.name for one in all_contrasts(means, covariance(means, cluster), "risk")]
    assert names == ["risk difference", "risk ratio", "odds ratio", "number needed to treat"]


def test_counts_without_excess_variance_are_poisson():
    sample = made("poisson")
    sample = replace(sample, y=np.round(sample.time * 2), weights=None)
    fit = fit_outcome(sample, OutcomeSpec("negative binomial"))
    poisson = fit_outcome(sample, OutcomeSpec("poisson"))
    assert np.isinf(fit.law.theta) and fit.size is None
    np.testing.assert_allclose(fit.beta, poisson.beta)


def separated(family):
    sample = made(family, weighted=False)
    rare = np.arange(300) < 6
    y = np.where(rare, 0.0, sample.y)
    return replace(sample, y=y, x=np.column_stack([sample.x, rare]))


@pytest.mark.parametrize("family", ["binomial", "poisson", "negative binomial", "gamma"])
def test_separation_is_told_in_words(family):
    with pytest.raises(EstimationError, match=r"picks out people.*separation"):
        fit_outcome(separated(family), OutcomeSpec(family))


@pytest.mark.parametrize("family", ["binomial", "poisson", "negative binomial", "gamma"])
def test_an_arm_without_events_is_told_in_words(family):
    sample = made(family)
    with pytest.raises(EstimationError, match="untreated group has no outcome above zero"):
        fit_outcome(replace(sample, y=sample.y * sample.treated), OutcomeSpec(family))


def test_an_arm_in_which_everybody_has_the_outcome():
    sample = made("binomial")
    with pytest.raises(EstimationError, match="treated group has only outcomes of one"):
        fit_outcome(replace(sample, y=np.where(sample.treated, 1.0, sample.y)), OutcomeSpec("binomial"))


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("binomial", {"y": np.full(300, 2.0)}, "between 0 and 1"),
        ("poisson", {"y": np.full(300, -1.0)}, "not negative"),
        ("gaussian", {"exposure": np.ones(300)}, "log link"),
        ("cauchy", {}, "unknown family"),
    ],
)
def test_outcomes_that_a_family_cannot_have(family, change, message):
    sample = replace(made("binomial"), **change)
    with pytest.raises(ValueError, match=message):
        fit_outcome(sample, OutcomeSpec(family))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.full(300, np.nan)}, "finite"),
        ({"weights": np.full(300, -1.0)}, "not be negative"),
        ({"exposure": np.zeros(300)}, "positive"),
        ({"weights": np.ones(2)}, "must be"),
        ({"treated": np.zeros(300, dtype=bool)}, "each arm"),
        ({"treated": np.zeros(300)}, "boolean"),
    ],
)
def test_samples_that_cannot_be_used(change, message):
    with pytest.raises(ValueError, match=message):
        replace(made("gaussian"), **change)


def test_fewer_rows_than_coefficients():
    rng = np.random.default_rng(0)
    few = Sample(y=rng.normal(size=8), treated=np.arange(8) < 3, x=rng.normal(size=(8, 6)))
    with pytest.raises(EstimationError, match="8 rows for 8 coefficients"):
        fit_outcome(few)
    some = replace(few, x=few.x[:, :2])
    assert np.isfinite(adjusted_means(fit_outcome(some)).mean1)
    with pytest.raises(EstimationError, match="treated group has 3 rows for 3 coefficients of its own"):
        fit_outcome(some, OutcomeSpec(interacted=True))


def test_populations_and_columns_that_do_not_exist():
    sample = made("gaussian")
    with pytest.raises(ValueError, match="nobody"):
        sample.target("ATT", ~sample.treated)
    with pytest.raises(ValueError, match="estimand"):
        sample.target("ATO")
    with pytest.raises(ValueError, match="one value for each covariate"):
        arm_design(sample, np.array([True]))
