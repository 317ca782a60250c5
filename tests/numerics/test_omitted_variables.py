import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import brentq

from qieval.numerics import omitted_variables
from qieval.numerics.omitted_variables import (
    Fit,
    adjusted,
    benchmark,
    extreme_robustness_value,
    fit,
    partial_r2,
    reduce,
    robustness_value,
    without,
)


def sample(n=300, k=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k)) @ rng.normal(size=(k, k))
    d = (x[:, 0] + rng.normal(size=n) > 0).astype(float)
    y = 0.4 * d + x @ rng.normal(size=k) * 0.3 + rng.normal(size=n)
    return x, d, y


def regression(y, *columns):
    return sm.OLS(y, sm.add_constant(np.column_stack(columns))).fit()


def test_fit_is_least_squares():
    x, d, y = sample()
    held = reduce(x, d, y)
    theirs, found = regression(y, x, d), fit(held)
    assert (found.estimate, found.se) == pytest.approx((theirs.params[-1], theirs.bse[-1]), rel=1e-11)
    assert (found.df, found.r2) == (theirs.df_resid, pytest.approx(theirs.rsquared))
    assert found.left == pytest.approx(1 - regression(d, x).rsquared)
    some, theirs = fit(held, [1, 3]), regression(y, x[:, [1, 3]], d)
    assert (some.estimate, some.se) == pytest.approx((theirs.params[-1], theirs.bse[-1]), rel=1e-11)


def test_blocks_do_not_matter(monkeypatch):
    x, d, y = sample()
    whole = fit(reduce(x, d, y))
    monkeypatch.setattr(omitted_variables, "BLOCK", 17)
    assert fit(reduce(x, d, y)).t == pytest.approx(whole.t, rel=1e-12)


def test_units_and_far_away_means_do_not_matter():
    x, d, y = sample()
    one = fit(reduce(x, d, y))
    other = fit(reduce(x * [1e-6, 1, 1e3, 1e6, 1] + [0, 1e4, 0, 0, -50], d, 1e5 * y + 1e6))
    assert other.t == pytest.approx(one.t, rel=1e-8)
    assert other.estimate == pytest.approx(1e5 * one.estimate, rel=1e-8)


def test_collinear_and_constant_covariates_are_left_out():
    x, d, y = sample()
    doubled = np.column_stack([x, x[:, 0] - 2 * x[:, 1], np.full(len(x), 3.3)])
    one, other = fit(reduce(x, d, y)), fit(reduce(doubled, d, y))
    assert (other.estimate, other.se, other.df) == pytest.approx((one.estimate, one.se, one.df))
    # Without one of the three the others carry the same.
    held = reduce(doubled, d, y)
    assert fit(held, without(held, [0])).t == pytest.approx(one.t)


def test_nothing_to_compare_gives_nothing():
    x, d, y = sample()
    assert np.isnan(fit(reduce(np.column_stack([x, d]), d, y)).estimate)
    assert np.isnan(fit(reduce(x, np.ones_like(d), y)).estimate)
    assert np.isnan(fit(reduce(x[:6], d[:6], y[:6])).estimate)


def test_partial_r2_of_one_column_and_of_a_group():
    x, d, y = sample()
    held = reduce(x, d, y)
    theirs = regression(y, x, d)
    t = theirs.tvalues[2]
    assert partial_r2(held, [1], 6, [0, 2, 3, 4, 5]) == pytest.approx(t**2 / (t**2 + theirs.df_resid))
    less = regression(y, x[:, [0, 2, 4]], d)
    assert partial_r2(held, [1, 3], 6, [0, 2, 4, 5]) == pytest.approx(1 - theirs.ssr / less.ssr)
    assert partial_r2(held, [1, 3], 5, [0, 2, 4]) == pytest.approx(
        1 - regression(d, x).ssr / regression(d, x[:, [0, 2, 4]]).ssr
    )


def test_robustness_value_brings_the_estimate_to_its_share():
    x, d, y = sample()
    found = fit(reduce(x, d, y))
    for q in (1.0, 0.4):
        value = robustness_value(found.t, found.df, q)
        assert adjusted(found, value, value).estimate == pytest.approx((1 - q) * found.estimate, abs=1e-12)
    extreme = extreme_robustness_value(found.t, found.df)
    assert adjusted(found, extreme, 1.0).estimate == pytest.approx(0, abs=1e-12)
    assert extreme == pytest.approx(found.partial_r2)


@pytest.mark.parametrize(("t", "df"), [(4.2, 783), (2.5, 20), (60.0, 8), (9.0, 4)])
def test_robustness_value_at_alpha_is_the_worst_confounder(t, df):
    """Search all confounders up to a bound for the smallest t, then the bound at which it is critical."""
    fitted, critical = Fit(t, 1.0, df, 0.5, 0.5), stats.t.ppf(0.975, df - 1)

    def worst(bound):
        outcome = np.concatenate([np.linspace(0, bound, 20_001), bound * (1 - np.logspace(-12, -1, 2000))])
        return float(adjusted(fitted, bound, outcome).t.min()) - critical

    expected = brentq(worst, 1e-9, 1 - 1e-9, xtol=1e-12)
    assert robustness_value(t, df, alpha=0.05) == pytest.approx(expected, abs=1e-6)


def test_an_estimate_that_is_not_told_apart_has_no_robustness():
    assert robustness_value(1.0, 100, alpha=0.05) == 0
    assert extreme_robustness_value(1.0, 100, alpha=0.05) == 0
    assert robustness_value(0.0, 100) == 0


def test_adjusted_recovers_the_regression_with_the_confounder():
    """The algebra is exact: leave a column out, feed in its partial R2, get the full regression back."""
    x, d, y = sample(seed=3)
    full = regression(y, x, d)
    short = reduce(x[:, 1:], d, y)
    with_column = reduce(x, d, y)
    r2_treated = partial_r2(with_column, [0], 5, [1, 2, 3, 4])
    r2_outcome = partial_r2(with_column, [0], 6, [1, 2, 3, 4, 5])
    found = adjusted(fit(short), r2_treated, r2_outcome)
    moved = abs(full.params[-1] - fit(short).estimate)
    assert abs(found.estimate - fit(short).estimate) == pytest.approx(moved, rel=1e-9)
    assert found.se == pytest.approx(full.bse[-1], rel=1e-9)


def test_adjusted_does_not_answer_what_cannot_be():
    found = adjusted(Fit(1.0, 0.1, 50, 0.5, 0.5), [1.0, -0.1, 0.1], [0.1, 0.1, 1.2])
    assert np.isnan(found.estimate).all()
    assert adjusted(Fit(-1.0, 0.1, 50, 0.5, 0.5), 0.1, 0.1).estimate > -1


def test_benchmarks_by_hand():
    x, d, y = sample()
    held = reduce(x, d, y)
    found = benchmark(held, [2], [1.0, 2.0], [2.0, 1.0])
    with_d = partial_r2(held, [2], 5, [0, 1, 3, 4])
    with_y = partial_r2(held, [2], 6, [0, 1, 3, 4, 5])
    for place, (kd, ky) in enumerate([(1.0, 2.0), (2.0, 1.0)]):
        shared = kd * with_d**2 / ((1 - kd * with_d) * (1 - with_d))
        strength = (np.sqrt(ky) + np.sqrt(shared)) / np.sqrt(1 - shared)
        assert found.r2_treated[place] == pytest.approx(kd * with_d / (1 - with_d))
        assert found.r2_outcome[place] == pytest.approx(strength**2 * with_y / (1 - with_y))


def test_benchmarks_that_cannot_be_say_so():
    x, d, y = sample()
    strong = np.column_stack([x, d + 0.1 * np.random.default_rng(1).normal(size=len(d))])
    found = benchmark(reduce(strong, d, y), [5], [1.0])
    assert not found.possible[0] and np.isnan(found.r2_treated[0])
    loud = np.column_stack([x, y + 0.1 * np.random.default_rng(1).normal(size=len(d))])
    found = benchmark(reduce(loud, d, y), [5], [1.0])
    assert found.capped[0] and found.r2_outcome[0] == 1
