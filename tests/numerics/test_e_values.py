import numpy as np
import pytest
from scipy import stats

from qieval.numerics.e_values import (
    Risks,
    bias_factor,
    e_value,
    e_values,
    from_common_hazard_ratio,
    from_common_odds_ratio,
    from_difference,
    risk_difference_e_values,
)


@pytest.mark.parametrize("ratio", [1.2, 3.9, 0.4])
def test_a_confounder_as_strong_as_the_e_value_just_explains_the_ratio(ratio):
    found = float(e_value(ratio))
    assert float(bias_factor(found, found)) == pytest.approx(max(ratio, 1 / ratio), rel=1e-12)


def test_another_true_ratio_is_what_remains_to_be_explained():
    assert float(e_value(2.0, 1.5)) == pytest.approx(float(e_value(2.0 / 1.5)))
    assert float(e_value(1.2, 2.0)) == pytest.approx(float(e_value(2.0 / 1.2)))


def test_protective_and_harmful_ratios_are_mirror_images():
    harm, good = e_values(1.25, 1.1, 1.4), e_values(1 / 1.25, 1 / 1.4, 1 / 1.1)
    assert (harm.point, harm.limit) == pytest.approx((good.point, good.limit))


def test_an_interval_that_holds_the_true_value_gives_one():
    assert e_values(1.2, 0.9, 1.6).limit == 1
    assert e_values(0.8, 0.6, 1.0).limit == 1
    assert e_values(1.0, 0.8, 1.25).point == 1
    assert e_values(1.3, 1.2, 1.6, true=1.25).limit == 1


def test_without_limits_there_is_no_limit():
    assert np.isnan(e_values(1.2).limit)


def test_what_is_no_ratio_gives_nothing():
    assert np.isnan(e_value([0.0, -1.0])).all()
    assert np.isnan(bias_factor(0.9, 2.0))


def test_conversions():
    assert float(from_common_odds_ratio(4.0)) == 2
    hazard = 0.7
    expected = (1 - 0.5 ** np.sqrt(hazard)) / (1 - 0.5 ** np.sqrt(1 / hazard))
    assert float(from_common_hazard_ratio(hazard)) == pytest.approx(expected, rel=1e-13)
    assert from_difference(1.0, 0.1) == pytest.approx((np.exp(0.91), np.exp(0.732), np.exp(1.088)))


RISKS = Risks(830 / 2184, 1088 / 3551, 2184, 3551)


def left_by(risks, bias):
    f = risks.n_exposed / (risks.n_exposed + risks.n_unexposed)
    return (risks.exposed - risks.unexposed * bias) * (f + (1 - f) / bias)


@pytest.mark.parametrize("true", [0.0, 0.02])
def test_the_bias_factor_of_a_risk_difference_leaves_the_true_value(true):
    found = risk_difference_e_values(RISKS, true)
    assert left_by(RISKS, found.point_bias) == pytest.approx(true, abs=1e-14)
    assert found.low == pytest.approx(
        found.difference
        - stats.norm.ppf(0.975)
        * np.sqrt(RISKS.exposed * (1 - RISKS.exposed) / 2184 + RISKS.unexposed * (1 - RISKS.unexposed) / 3551)
    )


def test_the_limit_agrees_with_a_fine_grid():
    f, z = RISKS.share, stats.norm.ppf(0.975)
    bias = np.linspace(1, 2, 200_001)
    weight, gap = f + (1 - f) / bias, RISKS.exposed - RISKS.unexposed * bias
    v1 = RISKS.exposed * (1 - RISKS.exposed) / RISKS.n_exposed
    v0 = RISKS.unexposed * (1 - RISKS.unexposed) / RISKS.n_unexposed
    vf = f * (1 - f) / (RISKS.n_exposed + RISKS.n_unexposed)
    low = gap * weight - z * np.sqrt((v1 + v0 * bias**2) * weight**2 + gap**2 * (1 - 1 / bias) ** 2 * vf)
    first = bias[np.argmax(low <= 0)]
    assert first - 5.1e-6 <= risk_difference_e_values(RISKS).limit_bias <= first


def test_groups_may_be_exchanged():
    found, turned = risk_difference_e_values(RISKS), risk_difference_e_values(RISKS.swapped())
    assert (found.point, found.limit) == pytest.approx((turned.point, turned.limit))
    assert found.difference == -turned.difference


def test_risk_differences_at_the_edge():
    assert risk_difference_e_values(Risks(0.3, 0.29, 50, 50)).limit == 1
    none = risk_difference_e_values(Risks(0.3, 0.0, 100, 100))
    assert none.point == np.inf
    assert risk_difference_e_values(Risks(0.3, 0.0, 100, 100), true=0.2).point < np.inf
    assert risk_difference_e_values(Risks(0.2, 0.2, 100, 100)).point == pytest.approx(1)
