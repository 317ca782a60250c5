import numpy as np
import pytest
from scipy import stats

from qieval.numerics.contrasts import (
    Precision,
    all_contrasts,
    difference,
    number_needed,
    number_needed_in_words,
    odds_ratio,
    ratio,
)
from qieval.numerics.means import Means, covariance, weighted_means


def two(one, zero):
    return Means(one, zero, np.zeros((0, 2)))


def arms(a, n1, c, n0):
    """a events of n1 treated, c of n0 untreated."""
    treated = np.arange(n1 + n0) < n1
    y = np.where(treated, np.arange(n1 + n0) < a, np.arange(n1 + n0) < n1 + c).astype(float)
    means = weighted_means(y, treated, np.ones(n1 + n0))
    return means, covariance(means)


def test_a_two_by_two_table():
    """Textbook formulas: Wald difference, Katz log ratio, Woolf log odds ratio."""
    a, n1, c, n0 = 15, 100, 30, 150
    means, own = arms(a, n1, c, n0)
    risk, relative, odds, needed = all_contrasts(means, own, "risk")
    assert [value.name for value in (risk, relative, odds, needed)] == [
        "risk difference",
        "risk ratio",
        "odds ratio",
        "number needed to treat",
    ]
    p1, p0 = a / n1, c / n0
    assert risk.estimate == pytest.approx(p1 - p0)
    assert risk.std_error == pytest.approx(np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0))
    katz = np.sqrt(1 / a - 1 / n1 + 1 / c - 1 / n0)
    assert relative.estimate == pytest.approx(p1 / p0) and relative.std_error == pytest.approx(katz)
    z = stats.norm.ppf(0.975)
    assert relative.low == pytest.approx(p1 / p0 * np.exp(-z * katz))
    assert relative.high == pytest.approx(p1 / p0 * np.exp(z * katz))
    assert relative.p_value == pytest.approx(2 * stats.norm.sf(abs(np.log(p1 / p0)) / katz))
    assert odds.estimate == pytest.approx(a * (n0 - c) / (c * (n1 - a)))
    assert odds.std_error == pytest.approx(np.sqrt(1 / a + 1 / c + 1 / (n1 - a) + 1 / (n0 - c)))
    assert needed.estimate == pytest.approx(1 / (p1 - p0))


def test_t_and_level():
    means, own = two(3.0, 1.0), np.array([[1.0, 0.3], [0.3, 0.5]])
    value = difference(means, own, Precision(df=7, level=0.9))
    se = np.sqrt(1.5 - 0.6)
    assert value.std_error == pytest.approx(se)
    assert value.low == pytest.approx(2 - stats.t.ppf(0.95, 7) * se)
    assert value.p_value == pytest.approx(2 * stats.t.sf(2 / se, 7))


@pytest.mark.parametrize("contrast", [difference, ratio, odds_ratio])
def test_delta_method_against_numerical_derivatives(contrast):
    point, own = np.array([0.3, 0.2]), np.array([[4e-4, 1e-4], [1e-4, 3e-4]])

    def value(p):
        found = contrast(two(*p), own)
        return found.estimate if found.scale == "difference" else np.log(found.estimate)

    step = 1e-6
    slopes = np.array([(value(point + e) - value(point - e)) / (2 * step) for e in np.eye(2) * step])
    assert contrast(two(*point), own).std_error == pytest.approx(np.sqrt(slopes @ own @ slopes), rel=1e-7)


@pytest.mark.parametrize(
    ("one", "zero", "words"),
    [
        (0.0, 0.2, "the mean with treatment is"),
        (0.2, 0.0, "the mean without treatment is"),
        (0.0, 0.0, "both means are"),
        (-1.0, 0.2, "the mean with treatment is"),
    ],
)
def test_a_mean_of_zero_has_no_ratio(one, zero, words):
    for contrast in (ratio, odds_ratio):
        value = contrast(two(one, zero), np.eye(2))
        assert value.reason.startswith(words)
        assert np.isnan([value.estimate, value.std_error, value.low, value.high, value.p_value]).all()
    assert difference(two(one, zero), np.eye(2)).reason == ""


def test_a_risk_of_one_has_no_odds():
    value = odds_ratio(two(1.0, 0.5), np.eye(2))
    assert np.isnan(value.estimate) and "the mean with treatment is not between 0 and 1" in value.reason
    assert ratio(two(1.0, 0.5), np.eye(2)).estimate == 2


def test_no_variation_and_negative_variance_have_no_standard_error():
    value = difference(two(1.0, 1.0), np.zeros((2, 2)))
    assert value.estimate == 0 and np.isnan(value.std_error) and "does not vary" in value.reason
    value = difference(two(2.0, 1.0), np.array([[1.0, 1.2], [1.2, 1.0]]))
    assert np.isnan(value.low) and "not positive" in value.reason
    value = difference(two(2.0, 1.0), np.ones((2, 2)))
    assert np.isnan(value.std_error) and "not positive" in value.reason
    value = difference(two(2.0, 1.0), np.full((2, 2), np.nan))
    assert np.isnan(value.std_error) and "cannot be computed" in value.reason
    value = difference(two(2.0, 1.0), np.eye(2), Precision(df=0))
    assert value.std_error > 0 and np.isnan(value.high) and "degrees of freedom" in value.reason


def test_number_needed_with_an_interval_on_one_side():
    """Altman (1998): risk difference 10% (5% to 15%) is NNT 10 (6.7 to 20)."""
    se = 0.05 / stats.norm.ppf(0.975)
    own = np.diag([se**2, 0.0])
    benefit = number_needed(two(0.1, 0.2), own)
    assert not benefit.through_infinity
    np.testing.assert_allclose([benefit.estimate, benefit.low, benefit.high], [-10, -20, -1 / 0.15])
    assert number_needed_in_words(benefit, digits=1) == "NNTB 10.0 (NNTB 6.7 to NNTB 20.0)"
    harm = number_needed(two(0.2, 0.1), own)
    np.testing.assert_allclose([harm.estimate, harm.low, harm.high], [10, 1 / 0.15, 20])
    assert number_needed_in_words(harm) == "NNTH 10 (NNTH 7 to NNTH 20)"
    assert number_needed_in_words(harm, harmful=False) == "NNTB 10 (NNTB 7 to NNTB 20)"


def test_number_needed_through_infinity():
    """Altman (1998): risk difference 10% (-5% to 25%) is NNTB 10 (NNTH 20 to infinity to NNTB 4)."""
    se = 0.15 / stats.norm.ppf(0.975)
    value = number_needed(two(0.2, 0.3), np.diag([se**2, 0.0]))
    assert value.through_infinity and value.low < 0 < value.high
    np.testing.assert_allclose([value.estimate, value.low, value.high], [-10, -4, 20])
    assert number_needed_in_words(value) == "NNTB 10 (NNTH 20 to ∞ to NNTB 4)"
    other = number_needed(two(0.3, 0.2), np.diag([se**2, 0.0]))
    assert number_needed_in_words(other) == "NNTH 10 (NNTB 20 to ∞ to NNTH 4)"
    # The estimate itself always lies in the two-part interval.
    assert value.estimate <= value.low and other.estimate >= other.high


def test_number_needed_that_cannot_be():
    equal = number_needed(two(0.2, 0.2), np.eye(2))
    assert np.isnan(equal.estimate) and number_needed_in_words(equal).startswith("the risks are equal")
    fixed = number_needed(two(0.1, 0.2), np.zeros((2, 2)))
    assert fixed.estimate == pytest.approx(-10) and np.isnan(fixed.low)
    assert number_needed_in_words(fixed) == "NNTB 10 (the outcome does not vary: no standard error)"


def test_which_contrasts_suit_which_outcome():
    own = np.diag([1e-3, 1e-3])
    assert [value.name for value in all_contrasts(two(2.0, 1.0), own)] == ["difference"]
    names = [value.name for value in all_contrasts(two(2.0, 1.0), own, "rate")]
    assert names == ["rate difference", "rate ratio"]


def test_a_ratio_does_not_depend_on_units():
    means, own = two(3.0, 2.0), np.array([[0.2, 0.05], [0.05, 0.1]])
    other = ratio(two(3e-6, 2e-6), own * 1e-12)
    assert other.std_error == pytest.approx(ratio(means, own).std_error)
    assert other.low == pytest.approx(ratio(means, own).low)
