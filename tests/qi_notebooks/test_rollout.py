"""Guided studies of roll-outs: the form, other averages of the same effects, what is altered."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import (
    alterations,
    alterations_rollout,
    layout,
    layout_rollout,
    live_rollout,
    presets,
    views,
)
from qi_notebooks.app import App
from qi_notebooks.form import Form
from qi_notebooks.offers import Offers
from qi_notebooks.script import script
from qi_notebooks.steps.rollout import ONLY_HERE
from qi_notebooks.study import replay

DESIGN = qe.StaggeredAdoption
EXAMPLE = "example:practice_roll_out"


def stated(**changes):
    """The design of the example without covariates, with an interval that is made at once."""
    known = presets.known(EXAMPLE, qe.fields_of(DESIGN))
    return DESIGN(**{**known, "covariates": (), "inference": "analytic", **changes})


@pytest.fixture(scope="module")
def data():
    return qe.simulate_rollout(practices=60, months=18, waves=(6, 10), seed=3).frame


@pytest.fixture(scope="module")
def result(data):
    return qe.estimate(stated(), data)


@pytest.fixture
def begun(driver, quick_pictures, tmp_path, monkeypatch, data):
    """A study up to its estimate, without the checks, which the templates make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qe, "design_checks", lambda design, data: qe.Checks((), title="Design checks"))

    def begin(**choices):
        design = stated(**choices)
        values = {name: getattr(design, name) for name in qe.fields_of(DESIGN) if name != "data"}
        drive = driver(App("staggered_adoption", data, **values))
        drive.through("estimate")
        return drive

    return begin


def test_each_field_is_asked_for_once():
    held = [name for section in layout.sections(DESIGN).values() for name in section.names]
    asked = [*held, *layout.QUESTION, *layout_rollout.WITH_THE_QUESTION]
    assert sorted(asked) == sorted(qe.fields_of(DESIGN))
    assert len(layout.sections(DESIGN)["data"].shown) <= 6


def test_the_example_fills_the_form_and_the_form_gives_it_back():
    form = Form(DESIGN, qe.example("practice_roll_out"))
    wanted = DESIGN(**presets.known(EXAMPLE, form.specs))
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted
    assert form.controls["expected_lag"].get() == 1
    assert form.controls["exclusion"].inner.description == "Exclusion"
    assert "No estimate" not in form.controls["exclusion"].help.value
    typed = form.controls["event_window"].inner
    for said, held in (("-6, 12", (-6, 12)), ("", ())):
        typed.value = said
        assert form.design().event_window == held


@pytest.mark.parametrize("example", presets.suited(DESIGN.title))
def test_each_example_that_suits_can_be_estimated(example):
    design = DESIGN(**presets.known(f"{presets.EXAMPLE}{example}", qe.fields_of(DESIGN)))
    if example in set(qe.examples().query("fetched")["name"]):
        pytest.skip("this public file is not at hand; what is known of its columns makes a design")
    assert np.isfinite(qe.estimate(design, qe.example(example)).estimates.loc[0, "estimate"])


def test_roles_are_proposed_from_names(data):
    form = Form(DESIGN, data)
    form.propose()
    assert (form.held("unit"), form.held("time"), form.held("first_treated")) == (
        "practice",
        "month",
        "started",
    )
    assert "Proposed" in form.controls["first_treated"].message.value
    assert not {"started", "month", "practice"} & set(form.controls["covariates"]._boxes)


def test_two_ways_to_say_when_units_begin_are_refused_beside_both_fields(data):
    form = Form(DESIGN, data, **presets.known(EXAMPLE, qe.fields_of(DESIGN)))
    form.set(treatment="service")
    with pytest.raises(qe.DesignError, match="exactly one of them"):
        form.design()
    for name in ("first_treated", "treatment"):
        assert "exactly one of them" in form.controls[name].message.value
    form.set(first_treated=None)
    assert form.design().treatment == "service"


def test_other_averages_come_from_the_same_effects(begun, data, monkeypatch):
    drive = begun()
    step = drive.app.step("estimate")
    monkeypatch.setattr(qe, "estimate", _refused)
    before, drawn = drive.app.result, step.drawn.value
    assert step.average.value == "group"
    assert before.headline in step._sentence.value
    step.average.value = "dynamic"
    step.window.value = (-3, 5)
    step.balanced.value = 5
    assert drive.app.result is before
    wanted = qe.aggregate(before, "dynamic", event_window=(-3, 5), balanced_to=5)
    assert wanted.headline in step._sentence.value
    assert step.drawn.value != drawn
    assert live_rollout.since_start(wanted)["at"].tolist() == list(range(-3, 6))
    monkeypatch.undo()
    assert before.headline != wanted.headline


def _refused(*_args, **_kwargs):
    raise AssertionError("nothing should be estimated again")


def test_an_average_is_taken_into_the_design_and_called_exploratory(begun, data):
    drive = begun()
    step = drive.app.step("estimate")
    step.average.value = "calendar"
    step.window.value = (-2, 4)
    drive.press("estimate", "Take this average into the design")
    assert drive.app.design == stated(aggregation="calendar", event_window=(-2, 4))
    fresh = qe.estimate(stated(aggregation="calendar", event_window=(-2, 4)), data)
    assert drive.app.result.headline == fresh.headline
    assert drive.app.result.changes
    assert (step.average.value, step.window.value) == ("calendar", (-2, 4))
    assert (step.window.min, step.window.max) == (-8, 12)


def test_where_effects_cannot_be_averaged_again_it_is_said(begun):
    drive = begun(approach="two-way")
    step = drive.app.step("estimate")
    assert qe.markup.escape(ONLY_HERE) in step._about.value
    assert step._panel_of_averages.layout.display == "none"
    drive.app.form.set(approach="group-time")
    assert step._panel_of_averages.layout.display is None
    assert "other averages" in step._about.value


def test_the_light_picture_has_a_dot_and_a_bar_for_each_period(result):
    shown = live_rollout.since_start(result)
    drawn = live_rollout.over_time(result)
    early = int((shown["at"] < 0).sum())
    assert drawn.count(f"class='{live_rollout.BEFORE}'") == early + 1
    assert drawn.count(f"class='{live_rollout.AFTER}'") == len(shown) - early + 1
    assert drawn.count(f"<line class='{live_rollout.BAR}' x1='") == int(shown["conf_low"].notna().sum())
    assert drawn.count("<polygon") == 2
    assert "Shaded" in drawn
    bare = dataclasses.replace(result, estimates=result.estimates.assign(band_low=np.nan, band_high=np.nan))
    assert "<polygon" not in live_rollout.over_time(bare)
    assert "Shaded" not in live_rollout.over_time(bare)
    nothing = qe.aggregate(result, event_window=(-40, -30))
    assert "No effect by period" in live_rollout.over_time(nothing)


def test_every_usual_alteration_gives_an_estimate(data):
    design = stated(covariates=("deprivation",))
    found = alterations.suggestions(design, Offers(data), None)
    assert {item.field for item in found if item.usual} >= {
        "approach",
        "control_group",
        "aggregation",
        "anticipation",
    }
    varied = qe.vary(design, data, **{item.field: item.values for item in found if item.usual})
    assert varied.table["note"].fillna("").eq("").all()
    first = views._first_term(varied).table
    assert first["label"].is_unique
    assert len(first) == 1 + sum(len(item.values) for item in found if item.usual)


@pytest.mark.parametrize(
    "changes",
    [
        {"approach": "poisson", "outcome": "admissions", "exposure": "list_size"},
        {"unbalanced": "cross-sections"},
        {"inference": "multiplier bootstrap", "draws": 199},
        {"approach": "stacked"},
    ],
)
def test_alterations_do_not_contradict_the_rest(changes, data):
    design = stated(**changes)
    found = alterations_rollout.of_a_roll_out(design, Offers(data).periods("month"))
    usual = {name: values for name, (values, asked) in found.items() if values and asked}
    varied = qe.vary(design, data, **usual)
    assert varied.table["note"].fillna("").eq("").all()


def test_choices_are_replayed_and_the_code_does_the_same(begun, tmp_path, data):
    drive = begun()
    path = drive.app.study.save_choices(tmp_path / "choices.json")
    again = replay(path, data)
    pd.testing.assert_frame_equal(again.result.estimates, drive.app.result.estimates)
    assert "qe.StaggeredAdoption" in script(drive.app.study)


def test_without_a_screen_the_steps_give_the_same(quick_pictures, tmp_path, monkeypatch, data, result):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qe, "design_checks", lambda design, data: qe.Checks((), title="Design checks"))
    values = {name: getattr(stated(), name) for name in qe.fields_of(DESIGN) if name != "data"}
    app = App("staggered_adoption", data, interactive=False, **values)
    assert qe.markup.escape(result.headline) in app.step("estimate").plain()
