"""The sentences, tables and refusals of the public sensitivity functions."""

import numpy as np
import pandas as pd
import pytest

from qieval import sensitivity
from qieval.errors import DataError, EstimationError
from qieval.numerics import rosenbaum


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 400
    age, group = rng.normal(60, 10, n), rng.choice(["a", "b", "c"], n)
    treated = (age / 10 + rng.normal(size=n) > 6).astype(int)
    outcome = 2.0 * treated + 0.1 * age + (group == "b") + rng.normal(size=n)
    return pd.DataFrame(
        {"y": outcome, "d": treated, "age": age, "group": group, "hole": np.where(age > 75, np.nan, 1)}
    )


def test_e_value_says_what_it_means():
    found = sensitivity.e_value(0.80, 0.71, 0.91)
    assert "risk ratio of at least 1.81 each" in found.text and "1.43 each" in found.text
    assert found.table["risk_ratio"].tolist() == [0.80, 0.91]
    assert "E-value" in repr(found) and "<table>" in found._repr_html_()
    assert "includes no effect already" in sensitivity.e_value(0.9, 0.7, 1.1).text
    assert "bring the interval" not in sensitivity.e_value(0.9).text


def test_e_value_of_other_measures():
    common = sensitivity.e_value(1.24, 1.03, 1.49, measure="odds ratio of a common outcome")
    assert common.table["e_value"][0] == pytest.approx(1.4691469212141723)
    difference = sensitivity.e_value(3.44, 3.44 - 1.029, 3.44 + 1.029, measure="difference", sd=7.88)
    assert difference.table["e_value"][0] == pytest.approx(2.3395815946691427)
    shifted = sensitivity.e_value(2, 1.6, 2.5, true=1.5)
    assert shifted.table["e_value"].tolist() == pytest.approx([2, 4 / 3])
    counts = sensitivity.e_value_from_counts(830, 2184, 1088, 3551)
    assert counts.table["e_value"][0] == pytest.approx(1.7863720238742662)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sensitivity.e_value(1.2, measure="risk ration"), "Did you mean 'risk ratio'"),
        (lambda: sensitivity.e_value(-0.2), "must be positive"),
        (lambda: sensitivity.e_value(np.nan), "must be positive"),
        (lambda: sensitivity.e_value(1.5, 1.6, 2.0), "does not lie inside"),
        (lambda: sensitivity.e_value(0.3, measure="difference"), "standard deviation of the outcome"),
        (lambda: sensitivity.e_value_from_counts(12, 10, 1, 10), "not possible"),
        (lambda: sensitivity.tipping_point(-1.0), "is no ratio"),
        (lambda: sensitivity.rosenbaum([1.0, 2.0], [1.0]), "pairs cannot be told"),
        (lambda: sensitivity.rosenbaum([1.0, np.nan], [1.0, 2.0]), "Leave those sets out"),
        (lambda: sensitivity.rosenbaum([1.0], [0.0], direction="up"), "among the choices"),
        (lambda: sensitivity.rosenbaum([1.0], [0.0], gammas=[0.5]), "at least 1"),
        (lambda: sensitivity.negative_controls([0.1, 0.2], [0.1, 0.1]), "three controls or more"),
        (lambda: sensitivity.negative_controls([0.1, 0.2, 0.3], [0.1, 0.0, 0.1]), "not positive"),
        (lambda: sensitivity.negative_controls([0.1, 0.2, 0.3], [0.1] * 3, names=["a"]), "one name for each"),
        (lambda: sensitivity.negative_controls([0.1, 0.2, 0.3], [0.1] * 3, estimate=1.0), "go together"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, said):
    with pytest.raises(DataError, match=said):
        call()


def test_rosenbaum_chooses_the_test_that_suits():
    one = np.r_[np.ones(40), np.zeros(20), np.ones(5)]
    other = np.r_[np.zeros(40), np.ones(20), np.ones(5)]
    binary = sensitivity.rosenbaum(one, other)
    assert binary.details["critical"]["test"][0] == "McNemar's test"
    np.testing.assert_allclose(
        binary.table["p_high"], rosenbaum.binary_bounds(40, 20, binary.table["gamma"]).high
    )
    turned = sensitivity.rosenbaum(other, one)
    np.testing.assert_allclose(binary.table["p_high"], turned.table["p_high"])
    assert sensitivity.rosenbaum(other, one, direction="more").text.startswith("The one-sided p-value")
    rng = np.random.default_rng(0)
    y = rng.normal(0.8, 1, 50)
    ranked = sensitivity.rosenbaum(y, np.zeros(50))
    assert "signed rank" in ranked.text
    assert (ranked.table["estimate_low"] <= ranked.table["estimate_high"] + 1e-12).all()
    several = rng.normal(size=(50, 3))
    several[:10, 2] = np.nan
    assert "M-statistic" in sensitivity.rosenbaum(y, several).text


def test_omitted_variable(data):
    found = sensitivity.omitted_variable(data, "y", "d", ["age", "group"], benchmarks=["group"])
    assert found.table["benchmark"].tolist() == ["group"] * 3
    assert found.table["multiple"].tolist() == [1, 2, 3]
    row = found.details["statistics"].iloc[0]
    assert f"{row['robustness_value']:.1%}" in found.text
    assert found.details["left out"]["left_out"].tolist() == ["age", "group"]
    assert len(found.details["contour"]) == 41 * 41
    start = found.details["contour"].iloc[0]
    assert start["estimate"] == pytest.approx(row["estimate"])
    assert sensitivity.omitted_variable(data, "y", "d", []).table.empty


def test_regressions_refuse_what_they_cannot_use(data):
    with pytest.raises(DataError, match="Did you mean 'age'"):
        sensitivity.omitted_variable(data, "y", "d", ["agee"])
    with pytest.raises(DataError, match="'hole' is empty in"):
        sensitivity.omitted_variable(data, "y", "d", ["hole"])
    with pytest.raises(DataError, match="named twice"):
        sensitivity.omitted_variable(data, "y", "d", ["y"])
    with pytest.raises(DataError, match="same in all rows"):
        sensitivity.omitted_variable(data.assign(d=1), "y", "d", ["age"])
    with pytest.raises(DataError, match="has no rows"):
        sensitivity.oster(data.iloc[:0], "y", "d", ["age"])
    with pytest.raises(EstimationError, match="combination of the covariates"):
        sensitivity.omitted_variable(data.assign(again=2 * data["d"]), "y", "d", ["again"])
    with pytest.raises(EstimationError, match="combination of the covariates"):
        sensitivity.oster(data.assign(again=2 * data["d"]), "y", "d", ["again"])
    assert sensitivity.omitted_variable(data, "y", "d", ["age"]).text  # empty cells elsewhere drop nobody


def test_oster(data):
    found = sensitivity.oster(data, "y", "d", ["age", "group"], delta=0.5)
    row = found.table.iloc[0]
    assert row["r2_max"] == pytest.approx(min(1, 1.3 * row["r2_with"]))
    assert "0.5 times as strong" in found.text
    with pytest.raises(DataError, match="must lie between the R2"):
        sensitivity.oster(data, "y", "d", ["age"], r2_max=0.01)


def test_tipping_point():
    ratios = sensitivity.tipping_point(1.2, differences=[0.5])
    assert ratios.table["association_with_outcome"][0] == pytest.approx(1.44)
    shares = sensitivity.tipping_point(1.2, differences=[0.3, 0.9], unexposed=0.2)
    assert shares.table["association_with_outcome"][0] == pytest.approx(1.769230769230769)
    assert np.isnan(shares.table["association_with_outcome"][1])
    assert sensitivity.tipping_point(0.5, differences=[-0.2], ratio=False).table.iloc[0, 1] == -2.5
    assert "No confounder" in sensitivity.tipping_point(3.0, differences=[0.1], unexposed=0.2).text


def test_negative_controls():
    rng = np.random.default_rng(0)
    found = sensitivity.negative_controls(
        rng.normal(0.3, 0.2, 12), np.full(12, 0.1), estimate=0.3, std_error=0.1
    )
    assert "12 negative controls" in found.text and "95% interval" in found.text
    assert found.details["calibrated"]["p_calibrated"][0] > found.details["calibrated"]["p"][0]
    assert len(found.table) == 12
