from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.discontinuity_power import (
    JumpVariance,
    Plan,
    detectable_effect,
    discontinuity_power,
    discontinuity_sample_size,
    shift_for_power,
    two_sided_power,
)

KNOWN = JumpVariance(
    variance=(1.2, 0.8),
    conventional=(0.9, 0.5),
    n=(600, 400),
    n_window=(150, 120),
    h=(2.0, 3.0),
    bias=(0.1, 0.2),
)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 2.5])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_power_of_a_moved_normal(shift, level):
    z = stats.norm.ppf((1 + level) / 2)
    chance = stats.norm.sf(z - shift) + stats.norm.cdf(-z - shift)
    assert two_sided_power(shift, level) == pytest.approx(chance)


@pytest.mark.parametrize("power", [0.051, 0.5, 0.8, 0.999])
def test_the_shift_has_the_power(power):
    assert two_sided_power(shift_for_power(power)) == pytest.approx(power, abs=1e-12)


@pytest.mark.parametrize(("power", "level"), [(0.05, 0.95), (1.0, 0.95), (0.8, 95.0)])
def test_impossible_powers_are_refused(power, level):
    with pytest.raises(ValueError, match="power"):
        shift_for_power(power, level)


def test_power_at_hand_uses_the_errors_as_they_are():
    found = discontinuity_power(KNOWN, 3.0)
    assert found.std_error == pytest.approx(np.sqrt(2.0))
    assert found.std_error_conventional == pytest.approx(np.sqrt(1.4))
    assert found.power == pytest.approx(two_sided_power(3 / np.sqrt(2.0)))
    assert found.power_conventional == pytest.approx(two_sided_power(3.3 / np.sqrt(1.4)))


def test_twice_the_rows_halve_the_variance():
    found = discontinuity_power(KNOWN, 3.0, plan=Plan(KNOWN.h, KNOWN.n_window, (300, 240)))
    assert found.std_error == pytest.approx(1.0)


def test_bandwidths_change_variance_and_bias():
    found = discontinuity_power(KNOWN, 3.0, plan=Plan((4.0, 3.0), (290, 120)))
    assert found.std_error == pytest.approx(np.sqrt(0.6 + 0.8))
    assert found.power_conventional == pytest.approx(two_sided_power((3 + 0.4 + 0.2) / np.sqrt(0.45 + 0.5)))
    kink = JumpVariance(variance=(8.0, 8.0), n=(9, 9), n_window=(3, 3), h=(1.0, 1.0), derivative=1)
    assert discontinuity_power(kink, 1.0, plan=Plan((2.0, 2.0), (6, 6))).std_error == pytest.approx(
        np.sqrt(2.0)
    )


def test_effect_size_and_power_agree_with_each_other():
    smallest = detectable_effect(KNOWN, power=0.9)
    assert discontinuity_power(KNOWN, smallest.effect).power == pytest.approx(0.9, abs=1e-10)
    size = discontinuity_sample_size(KNOWN, 2.0, power=0.9)
    enough, short = (two_sided_power(2.0 * np.sqrt(n) / np.sqrt(2.0 * 1000)) for n in (size.n, size.n - 1))
    assert short < 0.9 <= enough


def test_rows_in_the_window_make_up_the_sample():
    size = discontinuity_sample_size(KNOWN, 2.0, share_right=0.25)
    left, right = size.n_window
    assert right == pytest.approx(left / 3, abs=1)
    assert KNOWN.sample_for(Plan(KNOWN.h, KNOWN.n_window, (left, right))) == pytest.approx(size.n, abs=8)


def test_units_do_not_matter():
    scaled = JumpVariance(
        variance=(1.2e12, 0.8e12), n=(600, 400), n_window=(150, 120), h=(2e-5, 3e-5), bias=(1e5, 2e5)
    )
    plain = replace(KNOWN, conventional=None)
    assert discontinuity_sample_size(scaled, 2e6) == discontinuity_sample_size(plain, 2.0)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="positive"):
        JumpVariance(variance=(0.0, 1.0), n=(10, 10), n_window=(5, 5), h=(1.0, 1.0))
    with pytest.raises(ValueError, match="effect of zero"):
        discontinuity_sample_size(KNOWN, 0.0)
