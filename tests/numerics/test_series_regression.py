import numpy as np
import pytest
from scipy import optimize, special, stats

from qieval.numerics.series_regression import bread, fit_series, score_contributions

COUNTS = ("poisson", "quasi-poisson", "negative binomial")


def made(seed=0, n=60, level=100.0, size=8.0):
    """Counts with more scatter than Poisson, a trend, a level change and an offset."""
    generator = np.random.default_rng(seed)
    time = np.arange(n) - n / 2
    x = np.column_stack([np.ones(n), time / 12, time >= 0, np.sin(time), np.cos(time)])
    offset = np.log(generator.uniform(0.5, 2.0, n))
    mean = np.exp(x @ [np.log(level), 0.02, -0.2, 0.1, 0.05] + offset)
    return generator.poisson(mean * generator.gamma(size, 1 / size, n)).astype(float), x, offset


def shares(seed=0, n=50):
    """Successes among trials, their columns and an offset on the logit scale."""
    generator = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), np.linspace(-1, 1, n), np.arange(n) >= n // 2])
    trials = generator.integers(1, 40, n).astype(float)
    offset = generator.normal(0, 0.3, n)
    chance = special.expit(x @ [-0.5, 0.4, 0.6] + offset)
    return generator.binomial(trials.astype(int), chance).astype(float), x, offset, trials


def log_likelihood(y, x, offset, family, trials=None):
    """Minus the log-likelihood from scipy.stats, by coefficients (and log theta)."""

    def value(parameters):
        linear = x @ parameters[: x.shape[1]] + offset
        if family == "poisson":
            return -stats.poisson.logpmf(y, np.exp(linear)).sum()
        if family == "binomial":
            return -stats.binom.logpmf(y, trials, special.expit(linear)).sum()
        theta = np.exp(parameters[-1])
        return -stats.nbinom.logpmf(y, theta, theta / (theta + np.exp(linear))).sum()

    return value


def maximised(value, start):
    for _ in range(3):
        start = optimize.minimize(value, start, method="BFGS", options={"gtol": 1e-9}).x
    return start


def test_rate_of_one_group_is_events_over_exposure():
    exposure = np.array([10.0, 20.0, 30.0])
    fit = fit_series(np.array([3.0, 4.0, 5.0]), np.ones((3, 1)), "poisson", offset=np.log(exposure))
    assert np.exp(fit.coefficients[0]) == pytest.approx(12 / 60, rel=1e-14)
    assert fit.covariance[0, 0] == pytest.approx(1 / 12, rel=1e-14)
    assert fit.deviance == pytest.approx(fit.null_deviance, rel=1e-12)
    assert fit.fitted == pytest.approx([2.0, 4.0, 6.0], rel=1e-14)
    assert fit.pearson == pytest.approx([1 / np.sqrt(2), 0, -1 / np.sqrt(6)], abs=1e-14)


def test_two_by_two_table_gives_the_odds_ratio():
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    fit = fit_series(np.array([10.0, 30.0]), x, "binomial", trials=np.array([50.0, 60.0]))
    assert np.exp(fit.coefficients) == pytest.approx([10 / 40, (30 / 30) / (10 / 40)], rel=1e-13)
    assert fit.std_error[1] == pytest.approx(np.sqrt(1 / 10 + 1 / 40 + 1 / 30 + 1 / 30), rel=1e-13)
    assert fit.deviance == pytest.approx(0, abs=1e-12)


def test_gaussian_is_least_squares():
    y, x, offset = made()
    fit = fit_series(y, x, "gaussian", offset=offset)
    beta = np.linalg.lstsq(x, y - offset, rcond=None)[0]
    rss = np.sum((y - offset - x @ beta) ** 2)
    assert fit.coefficients == pytest.approx(beta, rel=1e-12)
    assert fit.covariance == pytest.approx(rss / 55 * np.linalg.inv(x.T @ x), rel=1e-11)
    assert fit.df == 55 and fit.dispersion == pytest.approx(rss / 55, rel=1e-13)
    expected = stats.norm.logpdf(y - offset - x @ beta, scale=np.sqrt(rss / 60)).sum()
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-13)
    assert fit.aic == pytest.approx(2 * 6 - 2 * expected, rel=1e-13)


@pytest.mark.parametrize("family", ["poisson", "negative binomial"])
def test_counts_are_at_the_maximum_of_the_likelihood(family):
    y, x, offset = made()
    fit = fit_series(y, x, family, offset=offset)
    value = log_likelihood(y, x, offset, family)
    theta = [np.log(fit.theta)] if family == "negative binomial" else []
    start = np.r_[np.log(100.0), np.zeros(4), [1.0] * len(theta)]
    best = maximised(value, start)
    ours = np.r_[fit.coefficients, theta]
    assert fit.log_likelihood == pytest.approx(-value(ours), rel=1e-12)
    assert value(ours) <= value(best) + 1e-9
    assert ours == pytest.approx(best, rel=1e-4, abs=1e-6)
    assert fit.aic == pytest.approx(2 * value(ours) + 2 * ours.size, rel=1e-12)


def test_successes_are_at_the_maximum_of_the_likelihood():
    y, x, offset, trials = shares()
    fit = fit_series(y, x, "binomial", offset=offset, trials=trials)
    value = log_likelihood(y, x, offset, "binomial", trials)
    assert fit.log_likelihood == pytest.approx(-value(fit.coefficients), rel=1e-12)
    assert fit.coefficients == pytest.approx(maximised(value, np.zeros(3)), abs=1e-6)
    full = np.where((y == 0) | (y == trials), 0.0, stats.binom.logpmf(y, trials, y / trials)).sum()
    assert fit.deviance == pytest.approx(2 * (full - fit.log_likelihood), rel=1e-12)


def test_a_model_far_from_the_counts_still_reaches_the_maximum():
    """Counts near 1e6 beside an offset that has nothing to do with them: theta is far below one."""
    generator = np.random.default_rng(7)
    y, offset = generator.poisson(1e6, 30).astype(float), generator.normal(0, 5, 30)
    fit = fit_series(y, np.ones((30, 1)), "negative binomial", offset=offset)
    value = log_likelihood(y, np.ones((30, 1)), offset, "negative binomial")
    ours = np.r_[fit.coefficients, np.log(fit.theta)]
    assert fit.converged and fit.theta < 0.5
    assert fit.log_likelihood == pytest.approx(-value(ours), rel=1e-10)
    for shift in ([1e-3, 0], [-1e-3, 0], [0, 1e-3], [0, -1e-3]):
        assert value(ours) < value(ours + shift)


def test_theta_error_is_the_curvature_with_the_means_held():
    y, x, offset = made()
    fit = fit_series(y, x, "negative binomial", offset=offset)

    def at(theta):
        return stats.nbinom.logpmf(y, theta, theta / (theta + fit.fitted)).sum()

    step = fit.theta * 1e-3
    bend = (at(fit.theta + step) - 2 * at(fit.theta) + at(fit.theta - step)) / step**2
    assert fit.theta_error == pytest.approx((-bend) ** -0.5, rel=1e-4)
    assert at(fit.theta) >= max(at(fit.theta * 1.001), at(fit.theta * 0.999))
    assert fit.dispersion == 1 and np.isinf(fit.df)


def test_counts_no_more_scattered_than_poisson_have_infinite_theta():
    y = np.array([10.0, 11, 9, 10, 10, 12, 8, 10])
    fit, poisson = (fit_series(y, np.ones((8, 1)), family) for family in ("negative binomial", "poisson"))
    assert np.isinf(fit.theta) and np.isnan(fit.theta_error) and fit.converged
    assert fit.log_likelihood == poisson.log_likelihood
    assert np.array_equal(fit.coefficients, poisson.coefficients)
    assert fit.aic == poisson.aic + 2


def test_nearly_poisson_counts_reach_a_large_theta():
    """Excess variance a hair above zero: theta from the moments, as the likelihood is quadratic there."""
    y = np.array([90.0, 110, 90, 110, 90, 110, 90, 110.0002])
    mean = y.mean()
    excess = np.sum((y - mean) ** 2 - y) / np.sum(mean**2 * np.ones(8))
    fit = fit_series(y, np.ones((8, 1)), "negative binomial")
    assert excess > 0 and fit.theta == pytest.approx(1 / excess, rel=0.1) and fit.theta > 1e6


@pytest.mark.parametrize("family", ["quasi-poisson", "quasi-binomial"])
def test_quasi_families_scale_the_errors_by_pearson(family):
    if family == "quasi-poisson":
        y, x, offset = made()
        plain, quasi = (fit_series(y, x, name, offset=offset) for name in ("poisson", family))
    else:
        y, x, offset, trials = shares()
        plain, quasi = (fit_series(y, x, n, offset=offset, trials=trials) for n in ("binomial", family))
    expected = np.sum(plain.pearson**2) / (y.size - x.shape[1])
    assert quasi.dispersion == pytest.approx(expected, rel=1e-13)
    assert quasi.std_error == pytest.approx(plain.std_error * np.sqrt(expected), rel=1e-12)
    assert np.isnan(quasi.log_likelihood) and np.isnan(quasi.aic) and quasi.df == y.size - x.shape[1]
    assert quasi.p_value == pytest.approx(
        2 * stats.t.sf(np.abs(quasi.coefficients / quasi.std_error), quasi.df), rel=1e-9
    )


def test_even_counts_keep_a_dispersion_below_one():
    y = np.array([10.0, 11, 9, 10, 10, 12, 8, 10])
    assert fit_series(y, np.ones((8, 1)), "quasi-poisson").dispersion == pytest.approx(10 / 10 / 7)


@pytest.mark.parametrize("family", [*COUNTS, "gaussian"])
def test_scores_sum_to_zero_and_bread_is_the_inverse_information(family):
    y, x, offset = made()
    fit = fit_series(y, x, family, offset=offset)
    scores = score_contributions(fit, x)
    assert np.abs(scores.sum(axis=0)).max() < 1e-9 * np.abs(scores).sum()
    assert bread(fit) @ (x.T * fit.weights) @ x == pytest.approx(np.eye(5), abs=1e-10)


def test_scores_are_the_derivative_of_the_likelihood():
    y, x, offset = made()
    fit = fit_series(y, x, "negative binomial", offset=offset)

    def rows(shift):
        mean = np.exp(fit.linear + x @ shift)
        return stats.nbinom.logpmf(y, fit.theta, fit.theta / (fit.theta + mean))

    for column in range(5):
        step = 1e-5 * np.eye(5)[column]
        slope = (rows(step) - rows(-step)) / 2e-5
        assert score_contributions(fit, x)[:, column] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("family", [*COUNTS, "gaussian"])
def test_long_time_scales_keep_their_digits(family):
    y, x, offset = made()
    shifted = x.copy()
    shifted[:, 1] += 1e6
    near, far = (fit_series(y, held, family, offset=offset) for held in (x, shifted))
    assert far.coefficients[1:] == pytest.approx(near.coefficients[1:], rel=1e-8)
    assert far.std_error[1:] == pytest.approx(near.std_error[1:], rel=1e-8)
    assert far.deviance == pytest.approx(near.deviance, rel=1e-10)


@pytest.mark.parametrize("family", ["quasi-poisson", "gaussian"])
def test_units_of_the_outcome_do_not_matter(family):
    y, x, _ = made()
    near, far = fit_series(y, x, family), fit_series(y * 1e-7, x, family)
    scale = 1e-7 if family == "gaussian" else 1.0
    assert far.coefficients[1:] == pytest.approx(near.coefficients[1:] * scale, rel=1e-10)
    assert far.std_error == pytest.approx(near.std_error * scale, rel=1e-10)


@pytest.mark.parametrize("family", COUNTS)
def test_huge_counts(family):
    """Counts of 1e9: the likelihood keeps its digits (mpmath-free check: the normal limit of Poisson)."""
    generator = np.random.default_rng(3)
    y = np.round(generator.normal(1e9, 2 * np.sqrt(1e9), 40))
    fit = fit_series(y, np.ones((40, 1)), family)
    assert fit.converged and np.exp(fit.coefficients[0]) == pytest.approx(y.mean(), rel=1e-12)
    if family == "poisson":
        expected = stats.norm.logpdf(y, y.mean(), np.sqrt(y.mean())).sum()
        assert fit.log_likelihood == pytest.approx(expected, rel=1e-5)
    if family == "negative binomial":
        excess = np.sum((y - y.mean()) ** 2 - y) / np.sum(y.mean() ** 2 * np.ones(40))
        assert 1 / fit.theta == pytest.approx(excess, rel=1e-3)


def test_null_deviance_has_the_offset_and_a_constant():
    y, x, offset = made()
    for family in ("poisson", "negative binomial", "gaussian"):
        fit = fit_series(y, x, family, offset=offset)
        assert fit.null_deviance > fit.deviance
    mean = np.exp(offset) * y.sum() / np.exp(offset).sum()
    expected = 2 * np.sum(special.xlogy(y, y / mean) - (y - mean))
    assert fit_series(y, x, "poisson", offset=offset).null_deviance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", COUNTS)
def test_no_events_before_the_start_has_no_estimate(family):
    y = np.r_[np.zeros(10), [3.0, 4, 2, 5, 3, 1, 9, 2, 4, 3]]
    x = np.column_stack([np.ones(20), np.arange(20) >= 10])
    fit = fit_series(y, x, family)
    assert fit.separated and not fit.converged
    assert np.isnan(fit.coefficients).all() and np.isnan(fit.covariance).all()
    assert fit.fitted[10:] == pytest.approx(np.full(10, 3.6), rel=1e-6)


def test_outcomes_all_at_one_end_have_no_estimate():
    x = np.column_stack([np.ones(12), np.arange(12) >= 6])
    trials = np.full(12, 5.0)
    for y, family, held in (
        (np.zeros(12), "quasi-poisson", None),
        (np.zeros(12), "negative binomial", None),
        (np.zeros(12), "binomial", trials),
        (trials, "quasi-binomial", trials),
        (np.r_[np.zeros(6), trials[6:]], "binomial", trials),
        (np.r_[trials[:6], np.full(6, 2.0)], "binomial", trials),
    ):
        fit = fit_series(y, x, family, trials=held)
        assert fit.separated and not fit.converged and np.isnan(fit.std_error).all()
        assert np.isfinite(fit.fitted).all() and np.isfinite(fit.pearson).all()


def test_a_month_without_events_does_not_disturb_a_series_that_has_an_estimate():
    y = np.r_[0.0, 1e-3, 0, 5, 0, 2, 4, 80]
    fit = fit_series(y, np.column_stack([np.ones(8), np.arange(8.0)]), "quasi-poisson")
    assert fit.converged and np.isfinite(fit.std_error).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "gamma"}, "unknown family"),
        ({"y": [-1.0, 2, 3]}, "negative"),
        ({"y": [np.nan, 2, 3]}, "finite"),
        ({"offset": np.array([0.0, -np.inf, 0])}, "finite"),
        ({"offset": np.zeros(2)}, "shape"),
        ({"family": "binomial", "trials": np.array([1.0, 2, 0])}, "trials"),
        ({"family": "binomial", "y": [2.0, 2, 3], "trials": np.array([1.0, 2, 3])}, "trials"),
        ({"x": np.ones((3, 2))}, "dependent"),
        ({"x": np.ones((3, 4))}, "dependent"),
        ({"x": np.full((3, 1), np.inf)}, "finite"),
        ({"x": np.ones((4, 1))}, "rows"),
    ],
)
def test_what_cannot_be_fitted_is_said(changes, message):
    given = {"y": [1.0, 2, 3], "x": np.ones((3, 1)), "family": "poisson"} | changes
    with pytest.raises(ValueError, match=message):
        fit_series(np.array(given.pop("y")), **given)
