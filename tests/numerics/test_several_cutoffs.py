import numpy as np
import pytest
from scipy import stats

from qieval.numerics.several_cutoffs import normalised_score, rows_between, several_cutoffs


def test_the_average_is_weighted_by_rows():
    b, se, n = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.4, 1.0]), np.array([100, 300, 100])
    found = several_cutoffs(b, se, n, level=0.9)
    w = n / 500
    error = np.sqrt(np.sum(w**2 * se**2))
    assert found.estimate == pytest.approx(2.2) and found.std_error == pytest.approx(error)
    assert (found.low, found.high) == pytest.approx(tuple(2.2 + stats.norm.ppf([0.05, 0.95]) * error))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(2.2 / error))
    centre = np.sum(b / se**2) / np.sum(1 / se**2)
    q = np.sum((b - centre) ** 2 / se**2)
    assert found.q == pytest.approx(q) and found.df == 2
    assert found.p_heterogeneity == pytest.approx(stats.chi2.sf(q, 2))
    assert found.i2 == pytest.approx(max(0, 1 - 2 / q))


def test_correlated_cutoffs_need_their_covariance():
    v = np.array([[1.0, -0.3], [-0.3, 2.0]])
    found = several_cutoffs(np.array([1.0, 3.0]), np.ones(2), np.array([1, 1]), covariance=v)
    assert found.std_error == pytest.approx(np.sqrt((1 + 2 - 0.6) / 4))
    assert found.q == pytest.approx(4 / (1 + 2 + 0.6))


def test_a_cutoff_without_an_estimate_has_no_weight():
    b, se = np.array([1.0, np.nan, 5.0]), np.array([1.0, np.nan, 0.0])
    found = several_cutoffs(b, se, np.array([10, 50, 40]))
    assert found.weights.tolist() == [1.0, 0.0, 0.0] and found.estimate == 1.0
    assert np.isnan(found.q) and found.df == 0
    none = several_cutoffs(np.full(2, np.nan), np.full(2, np.nan), np.zeros(2))
    assert np.isnan(none.estimate) and not none.used.any()


def test_units_do_not_matter():
    b, se, n = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.4, 1.0]), np.array([1, 3, 1])
    one, other = several_cutoffs(b, se, n), several_cutoffs(1e-9 * b, 1e-9 * se, n)
    assert other.q == pytest.approx(one.q) and other.estimate == pytest.approx(1e-9 * one.estimate)


def test_heterogeneity_has_its_size():
    rng = np.random.default_rng(0)
    se, n = np.array([0.5, 1.0, 2.0, 1.0]), np.array([4, 3, 2, 1])
    p = [several_cutoffs(se * rng.standard_normal(4), se, n).p_heterogeneity for _ in range(2000)]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.025)


def test_rows_and_scores():
    assert normalised_score(np.array([5.0, 9.0]), np.array([4.0, 10.0])).tolist() == [1.0, -1.0]
    rows = rows_between(np.arange(10.0), np.array([2.0, 5.0, 7.0]))
    assert [np.flatnonzero(row).tolist() for row in rows] == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [5, 6, 7, 8, 9],
    ]
    with pytest.raises(ValueError, match="ascend"):
        rows_between(np.arange(3.0), np.array([2.0, 1.0]))


def test_the_average_is_that_of_rdmc():
    # rdmulti 2.0.0 (Python) on three simulated cutoffs: bias-corrected estimates and robust variances.
    b = np.array([1.50504650780627, 1.0991104690705313, 1.101768949510003])
    v = np.array([0.3989490932965802, 0.17602051164439192, 0.23984829349239997])
    found = several_cutoffs(b, np.sqrt(v), np.array([109, 174, 109]))
    assert found.estimate == pytest.approx(1.2127247613922096, rel=1e-12)
    assert found.std_error**2 == pytest.approx(0.08407140750589262, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((0.6444318352250071, 1.7810176875594121), rel=1e-9)
    assert found.p_value == pytest.approx(2.882949197124951e-05, rel=1e-9)
