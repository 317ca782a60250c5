import numpy as np
import pytest

from qieval.numerics import tipping


def test_what_tips_a_ratio_leaves_no_effect():
    assert tipping.adjust_binary(1.3, tipping.tip_binary_outcome(1.3, 0.6, 0.2), 0.6, 0.2) == pytest.approx(1)
    assert tipping.adjust_binary(1.1, 2.0, tipping.tip_binary_exposed(1.1, 2.0, 0.3), 0.3) == pytest.approx(1)
    assert tipping.adjust_binary(1.1, 2.0, 0.5, tipping.tip_binary_unexposed(1.1, 2.0, 0.5)) == pytest.approx(
        1
    )
    assert tipping.adjust_continuous(0.8, tipping.tip_continuous_outcome(0.8, 0.4), 0.4) == pytest.approx(1)
    assert tipping.adjust_continuous(0.8, 1.5, tipping.tip_continuous_difference(0.8, 1.5)) == pytest.approx(
        1
    )
    assert tipping.adjust_coefficient(0.5, tipping.tip_coefficient(0.5, -0.2), -0.2) == pytest.approx(0)


def test_a_population_confounded_by_construction():
    # Risk 0.1 without and 0.1 * 3 with the confounder, no effect of exposure; prevalences 0.6 and 0.2.
    observed = (0.6 * 0.3 + 0.4 * 0.1) / (0.2 * 0.3 + 0.8 * 0.1)
    assert tipping.tip_binary_outcome(observed, 0.6, 0.2) == pytest.approx(3)
    assert tipping.adjust_binary(observed, 3.0, 0.6, 0.2) == pytest.approx(1)


def test_counting_confounders():
    one = 1.2 / tipping.adjust_binary(1.2, 1.5, 0.5, 0.3)
    assert tipping.count_binary(one**3, 1.5, 0.5, 0.3) == pytest.approx(3)
    assert tipping.count_continuous(1.5**0.8, 1.5, 0.2) == pytest.approx(4)
    assert tipping.count_coefficient(0.6, 0.2, 1.5) == pytest.approx(2)


def test_confounders_that_cannot_be():
    assert np.isnan(tipping.tip_binary_outcome(3.0, 0.5, 0.4))
    assert np.isnan(tipping.tip_binary_exposed(2.0, 1.1, 0.5))
    assert np.isnan(tipping.tip_binary_unexposed(2.0, 1.1, 0.5))
    assert np.isnan(tipping.tip_continuous_outcome(1.2, 0.0))
    assert np.isnan(tipping.tip_continuous_difference(1.2, 1.0))
    assert np.isnan(tipping.tip_coefficient(0.5, 0.0))
    assert np.isnan(tipping.count_coefficient(0.6, -0.2, 1.5))


def test_arrays_broadcast():
    found = tipping.tip_continuous_outcome([1.2, 0.8], np.array([0.5, 1.0]))
    np.testing.assert_allclose(found, [1.44, 0.8])
