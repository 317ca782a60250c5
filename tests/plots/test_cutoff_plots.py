"""The pictures of a regression discontinuity show what data and fit hold, and nobody in particular."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.data.simulate_natural import simulate_cutoff
from qieval.diagnostics import (
    cutoff_alike,
    cutoff_choices,
    cutoff_intervals,
    cutoff_placebo,
    cutoff_reach,
)
from qieval.diagnostics.both_stages import after
from qieval.methods.regression_discontinuity import estimate, parse
from qieval.plots import cutoff
from qieval.plots.cutoff_around import OTHER, TREATED
from qieval.result import Study

DESIGN = qe.RegressionDiscontinuity(
    outcome="cost",
    score="age_months",
    cutoff=780,
    treated_side="at or above",
    received="health_check",
    inference="robust",
    draws=99,
)
SHARP = replace(DESIGN, received=None)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return simulate_cutoff(3000, seed=3).frame


@pytest.fixture(scope="module")
def result(people) -> qe.Result:
    return qe.estimate(DESIGN, people)


def layer(picture, kind: str, at: int = 0) -> pd.DataFrame:
    """The data of the nth layer of a kind as they are drawn."""
    found = [each for each in picture.layers if type(each.geom).__name__ == kind]
    return picture.data if found[at]._data is None else found[at]._data


@pytest.mark.parametrize(
    "kind", ["outcome around the cutoff", "people around the cutoff", "who received it around the cutoff"]
)
def test_pictures_are_labelled_and_drawn(result, kind):
    picture = qe.plot(result, kind)
    picture.draw()
    assert picture.labels.title and picture.labels.x == "age months" and picture.labels.caption


def test_the_lines_end_at_the_fitted_limits(result):
    lines = layer(qe.plot(result), "geom_line")
    value = result.kernel.fit.sides.value[0]
    for side, limit in ((OTHER, value[0]), (TREATED, value[1])):
        held = lines[lines["side"] == side]
        at = held.iloc[(held["score"] - 780).abs().to_numpy().argmin()]
        assert at["score"] == 780 and at["value"] == pytest.approx(limit, rel=1e-9)


def test_dots_are_means_of_ten_people_or_more(people, result):
    dots = qe.plot(result).data
    width = result.kernel.fit.h[0]
    near = people[(people["age_months"] - 780).abs() <= 2.5 * width]
    by = near.groupby("age_months")["cost"].agg(["mean", "size"])
    assert by["size"].min() >= 10
    np.testing.assert_allclose(dots.sort_values("score")["value"], by["mean"], rtol=1e-9)
    few = people.iloc[:600]
    thin = qe.plot(qe.estimate(SHARP, few)).data
    most = len(few[(few["age_months"] - 780).abs() <= 1e9]) / 10
    assert len(thin) <= most
    assert (thin["side"] == TREATED).sum() == (thin["score"] >= 780).sum()


def test_groups_hold_at_least_as_many_as_asked():
    rng = np.random.default_rng(1)
    for s in (rng.integers(-30, 30, 300).astype(float), rng.uniform(-1, 1, 300), np.arange(-5.0, 4.0)):
        for right in (False, True):
            code = cutoff._joined(s, right, (20, 10))
            assert (code[(s >= 0) != right] == -1).all()
            sizes = np.bincount(code[code >= 0])
            assert sizes.min() >= min(10, (code >= 0).sum())
            order = np.argsort(np.abs(s[code >= 0]), kind="stable")
            assert (np.diff(code[code >= 0][order]) >= 0).all()


def test_bars_do_not_reach_across_the_cutoff_and_count_everybody(people, result):
    bars = qe.plot(result, "people around the cutoff").data
    age = people["age_months"]
    near = (age - 780).abs() <= 2.5 * result.kernel.fit.h[0]
    assert bars["people"].sum() == near.sum()
    width = float(np.diff(np.sort(bars["score"])).min())
    for row in bars.itertuples():
        inside = (age >= row.score - width / 2) & (age < row.score + width / 2)
        assert (inside & near).sum() == row.people
        assert (row.side == TREATED) == (row.score > 780)


def test_bars_of_few_people_are_left_out(people):
    few = people[(people["age_months"] < 760) | (np.arange(len(people)) % 3 == 0)]
    bars = qe.plot(qe.estimate(replace(SHARP, bandwidth=(30,)), few.iloc[:700]), "people around the cutoff")
    assert bars.data["people"].min() >= 10
    assert "left out" in bars.labels.caption


def test_the_treated_side_is_named_whichever_it_is(people):
    picture = qe.plot(qe.estimate(replace(SHARP, treated_side="at or below", cutoff=779), people))
    dots = picture.data
    assert (dots.loc[dots["side"] == TREATED, "score"] <= 779).all()
    assert (dots.loc[dots["side"] == OTHER, "score"] > 779).all()


def test_without_the_column_the_rule_is_drawn(people):
    lines = layer(qe.plot(qe.estimate(SHARP, people), "who received it around the cutoff"), "geom_line")
    assert set(lines["value"]) == {0.0, 1.0}


def test_dates_are_dates_on_the_axis(people):
    day = pd.Timestamp("2015-01-01") + pd.to_timedelta(people["age_months"] - 720, unit="D")
    dated = replace(SHARP, score="day", cutoff="2015-03-02")
    result = qe.estimate(dated, people.assign(day=day))
    for kind in ("outcome around the cutoff", "people around the cutoff"):
        picture = qe.plot(result, kind)
        assert pd.api.types.is_datetime64_any_dtype(picture.data["score"])
        picture.draw()


def test_several_cutoffs_are_shown_by_the_distance(people):
    data = people.assign(own=780 + 20 * (people["practice"] % 2))
    data["age_months"] += 20 * (people["practice"] % 2)
    design = replace(SHARP, cutoff=None, cutoff_column="own")
    picture = qe.plot(qe.estimate(design, data))
    assert "distance" in picture.labels.x
    assert picture.data["score"].between(-70, 70).all()


def test_organisations_are_shown_one_by_one(people):
    design = replace(SHARP, units_are="organisations", bandwidth=(20,))
    places = people.drop_duplicates("age_months")
    dots = qe.plot(qe.estimate(design, places)).data
    assert len(dots) == ((places["age_months"] - 780).abs() <= 50).sum()


def test_bandwidth_picture_passes_through_the_estimate(result):
    picture = qe.plot(result, "bandwidth and the estimate")
    at = picture.data.set_index("at").loc[1.0]
    row = result.estimates.set_index("term").loc["difference, robust"]
    assert at["estimate"] == pytest.approx(row["estimate"], rel=1e-9)
    assert at["conf_low"] == pytest.approx(row["conf_low"], rel=1e-9)


OWN = {
    "donut": cutoff_placebo.donut_curve,
    "bandwidths": cutoff_choices.bandwidths,
    "smoothness": cutoff_intervals.smoothness,
    "jumps of covariates": after(cutoff_alike.covariates),
    "power at the cutoff": cutoff_reach.power,
    "hidden differences": cutoff_intervals.hidden_bias,
}


@pytest.mark.parametrize("name", OWN)
def test_checks_are_drawn(people, name):
    design = replace(SHARP, covariates=("female",), window=4.0)
    study = Study(qe.estimate(design, people), people, parse(design, people), estimate)
    check = OWN[name](study)
    assert check.picture == name
    picture = qe.plot(check)
    picture.draw()
    assert picture.labels.title and picture.labels.caption
    drawn = picture.data
    assert len(drawn) == len(check.table.dropna())
