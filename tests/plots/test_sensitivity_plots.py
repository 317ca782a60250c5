"""What the pictures of sensitivity analyses draw: data, labels, marks; no images are compared."""

import numpy as np
import pandas as pd
import pytest

from qieval import sensitivity
from qieval.plots import sensitivity as pictures


@pytest.fixture(scope="module")
def omitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    d = (x[:, 0] + rng.normal(size=300) > 0).astype(int)
    frame = pd.DataFrame({"y": d + x.sum(axis=1) + rng.normal(size=300), "d": d, "a": x[:, 0], "b": x[:, 1]})
    return sensitivity.omitted_variable(frame, "y", "d", ["a", "b"], benchmarks=["a", "b"])


@pytest.mark.parametrize(("value", "threshold"), [("estimate", 0.0), ("t", 1.96)])
def test_contour_lines_have_the_value_they_are_labelled_with(omitted, value, threshold):
    picture = pictures.omitted_variable_contour(omitted.details["contour"], omitted.table, value, threshold)
    bold = picture.data[picture.data["kind"] == f"{value} = {threshold:g}"]
    assert len(bold)
    row = omitted.details["statistics"].iloc[0]
    bias = np.sqrt(bold["y"] * bold["x"] / (1 - bold["x"])) * row["std_error"] * np.sqrt(row["df"])
    left = row["estimate"] - bias
    if value == "t":
        left /= row["std_error"] * np.sqrt((1 - bold["y"]) / (1 - bold["x"]) * row["df"] / (row["df"] - 1))
    scale = row["estimate"] if value == "estimate" else row["t"]
    assert (np.abs(left - threshold) < 0.05 * scale).all()
    picture.draw()


def test_contour_without_benchmarks(omitted):
    pictures.omitted_variable_contour(omitted.details["contour"], omitted.table.iloc[:0]).draw()


def test_contour_labels_close_benchmarks_once():
    rows = pd.DataFrame({"benchmark": "age", "multiple": [1.0, 2, 3], "r2_treated": [0.001, 0.002, 0.003]})
    rows = rows.assign(r2_outcome=[0.001, 0.002, 0.003])
    assert pictures._benchmark_words(rows, 0.2, 0.2)["said"].tolist() == ["1 to 3 × age"]
    assert len(pictures._benchmark_words(rows, 0.002, 0.002)) == 3


@pytest.mark.parametrize("ratio", [0.8, 3.9])
def test_e_value_curve_explains_the_ratio_everywhere(ratio):
    found = sensitivity.e_value(ratio).table["e_value"][0]
    picture = pictures.e_value_curve(ratio, found)
    factor = picture.data["exposure"] * picture.data["outcome"]
    factor = factor / (picture.data["exposure"] + picture.data["outcome"] - 1)
    np.testing.assert_allclose(factor, max(ratio, 1 / ratio), rtol=1e-12)
    picture.draw()


def test_e_value_curve_needs_something_to_explain():
    with pytest.raises(ValueError, match="ratio other than 1"):
        pictures.e_value_curve(1.0, 1.0)


def test_gamma_curve_marks_the_critical_gamma():
    found = sensitivity.rosenbaum(np.r_[np.ones(40), np.zeros(15)], np.r_[np.zeros(40), np.ones(15)])
    critical = found.details["critical"]["critical_gamma"][0]
    picture = pictures.gamma_curve(found.table, critical)
    assert f"{critical:.2f}" in picture.labels.subtitle
    picture.draw()
    plain = pictures.gamma_curve(found.table, np.nan)
    assert len(plain.layers) == len(picture.layers) - 1
    plain.draw()


def test_calibration_funnel_shows_controls_limits_and_effect():
    rng = np.random.default_rng(0)
    found = sensitivity.negative_controls(
        rng.normal(0.3, 0.3, 10), np.full(10, 0.1), estimate=0.9, std_error=0.2
    )
    picture = pictures.calibration_funnel(found.table, found.details["null"], found.details["calibrated"])
    assert picture.data["what"].value_counts().to_dict() == {"negative control": 10, "effect of interest": 1}
    limits = next(
        layer._data
        for layer in picture.layers
        if isinstance(layer._data, pd.DataFrame) and "limit" in layer._data
    )
    null = found.details["null"].iloc[0]
    z = (limits["at"] - null["mean"]).abs() / np.sqrt(null["sd"] ** 2 + limits["std_error"] ** 2)
    np.testing.assert_allclose(z[limits["limit"] == "p = 0.05, calibrated"], 1.959963984540054)
    picture.draw()
    pictures.calibration_funnel(found.table, found.details["null"]).draw()
