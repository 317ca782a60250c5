"""Pictures of roll-outs show the numbers of the result, for few cohorts and many, effects and ratios."""

import io

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.plots import rollout, rollout_courses, rollout_parts

KINDS = ("effects over time", "cohorts over time", "effects by cohort", "effects by cohort and period")


def design(**changes):
    base = {
        "outcome": "admissions_per_1000",
        "unit": "practice",
        "time": "month",
        "first_treated": "started",
        "units_are": "organisations",
        "inference": "analytic",
    }
    return qe.StaggeredAdoption(**{**base, **changes})


@pytest.fixture(scope="module")
def data():
    return qe.simulate_rollout(practices=60, months=16, waves=(5, 9), seed=3).frame


@pytest.fixture(scope="module")
def result(data):
    return qe.estimate(design(), data)


@pytest.fixture(scope="module")
def many():
    study = qe.simulate_rollout(practices=140, months=20, waves=tuple(range(3, 18)), seed=3)
    return qe.estimate(design(base_period="universal"), study.frame)


@pytest.fixture(scope="module")
def ratios(data):
    counted = {"outcome": "admissions", "exposure": "list_size", "approach": "poisson"}
    return qe.estimate(design(**counted), data)


def drawn(picture):
    """Draw it for real: some mistakes show only then."""
    picture.save(io.BytesIO(), format="png", dpi=40, verbose=False)
    return picture


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["result", "many", "ratios"])
def test_pictures_are_labelled_and_drawn(which, kind, request):
    picture = drawn(qe.plot(request.getfixturevalue(which), kind))
    assert picture.labels.title
    assert picture.labels.caption
    assert picture.labels.x is not None
    assert picture.labels.y is not None


def test_all_pictures_belong_to_the_method(result):
    assert tuple(qe.plots_of(result)) == KINDS


def test_effects_over_time_are_those_of_the_table(result):
    table = rollout._since_start(result)
    held = result.estimates[result.estimates["term"] == "effect in period"]
    assert table["estimate"].tolist() == held["estimate"].tolist()
    assert (table["when"] == "before the start").tolist() == (held["at"] < 0).tolist()
    assert "the one before it" in qe.plot(result).labels.caption


def test_the_reference_is_marked_and_is_no_estimate(many):
    assert -1 not in set(rollout._since_start(many)["at"])
    picture = qe.plot(many)
    marks = [layer for layer in picture.layers if layer.geom.aes_params.get("shape") == "s"]
    assert [mark._data[["x", "y"]].to_numpy().tolist() for mark in marks] == [[[-1, 0.0]]]
    assert "period -1" in picture.labels.caption


def test_each_panel_begins_half_a_period_before_its_start(result):
    table, starts, left = rollout._cells(result)
    assert list(starts["cohort"]) == ["began 2020-08", "began 2020-12"]
    july, august = pd.Timestamp("2020-07-01"), pd.Timestamp("2020-08-01")
    assert starts["time"].tolist()[0] == july + (august - july) / 2
    begun = dict(zip(starts["cohort"].astype(str), starts["time"], strict=True))
    late = table[table["time"] > table["cohort"].astype(str).map(begun)]
    assert (late["at"] >= 0).all()
    assert len(late) == int((table["at"] >= 0).sum())
    assert left == ""


def test_of_many_cohorts_the_largest_have_panels(many):
    labels, left = rollout.drawn_cohorts(many)
    effects = many.kernel
    sizes = pd.Series(effects.n_treated, index=effects.cohort).groupby(level=0).max()
    assert len(sizes) == 15
    assert len(labels) == rollout.MOST_PANELS
    assert labels == sorted(labels)
    assert left == " Shown are the 12 largest of 15 cohorts."
    months = pd.period_range("2020-04", periods=20, freq="M").astype(str)
    kept = [sizes[float(at)] for at in range(20) if months[at] in labels]
    assert min(kept) >= sizes.sort_values().iloc[3]
    caption = qe.plot(many, "cohorts over time").labels.caption
    assert left.strip() in caption.replace("\n", " ")


def test_expected_is_observed_less_the_effect(result):
    names, _ = rollout_courses._shown(result)
    table = rollout_courses._courses(result, names, 1.0)
    wide = table[table["cohort"] == names[0]].pivot(index="time", columns="which", values="shown")
    gap = (wide["observed"] - wide["expected without the intervention"]).dropna()
    cells = result.estimates[result.estimates["term"] == "effect of cohort in period"]
    first = cells[(cells["cohort"] == names[0].removeprefix("began ")) & (cells["at"] >= 0)]
    assert gap.to_numpy() == pytest.approx(first["estimate"].to_numpy())
    assert wide["never began"].notna().all()


def test_rates_are_shown_per_a_readable_number(ratios):
    assert rollout_courses._per(ratios) == 1000
    assert (
        qe.plot(ratios, "cohorts over time").labels.y.replace("\n", " ") == "admissions per 1,000 list size"
    )
    table = rollout_courses._courses(ratios, ["began 2020-08"], 1000.0)
    assert 5 < table["shown"].median() < 15


def test_the_overall_effect_stands_below_the_cohorts(result):
    table, _ = rollout._by_cohort(result)
    assert table["cohort"].tolist() == ["2020-08", "2020-12", "all cohorts"]
    assert table["estimate"].iloc[-1] == result.estimates.loc[0, "estimate"]
    assert list(table["cohort"].cat.categories) == ["all cohorts", "2020-12", "2020-08"]


@pytest.mark.parametrize("approach", ["two-way", "stacked"])
def test_where_an_approach_has_no_effects_of_cohorts_it_is_said(approach, data):
    single = qe.estimate(design(approach=approach), data)
    for kind in KINDS[2:]:
        picture = drawn(qe.plot(single, kind))
        assert picture.data["said"].tolist() == [rollout.ONE_EFFECT]
    assert "Dashed" not in drawn(qe.plot(single, "cohorts over time")).labels.caption


def test_small_cohorts_of_people_are_not_drawn(data):
    few = data[data["practice"].isin(sorted(data["practice"].unique())[:14])]
    kept = qe.estimate(design(units_are="people"), few)
    picture = drawn(qe.plot(kept, "cohorts over time"))
    assert picture.data["said"].tolist() == [rollout_courses.TOO_FEW]


def test_whole_numbers_and_single_units():
    castle = qe.StaggeredAdoption(
        outcome="l_homicide", unit="sid", time="year", first_treated="since", units_are="organisations"
    )
    held = qe.estimate(castle, qe.example("castle"))
    for kind in KINDS:
        drawn(qe.plot(held, kind))
    assert "no interval could be made" in qe.plot(held, "effects by cohort").labels.caption
    starts = rollout._cells(held)[1]
    assert starts["time"].tolist() == [2005.5, 2006.5, 2007.5, 2008.5, 2009.5]


@pytest.mark.parametrize(("low", "high"), [(0.999, 1.002), (0.7, 1.1), (0.1, 30.0), (1.4, 1.5), (1e-5, 1e4)])
def test_ratios_have_a_few_round_breaks(low, high):
    found = rollout_parts.ratio_breaks((low, high))
    assert 2 <= len(found) <= 9
    assert all(low <= at <= high for at in found)
    assert (1.0 in found) == (low <= 1 <= high)
    assert np.all(np.diff(found) > 0)
