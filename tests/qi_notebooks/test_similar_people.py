"""The guided study of designs that make groups alike: forms, the step 'Choose', lock, outcome, replay."""

import asyncio
import contextlib
import functools
import io
import time

import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import alterations, guess, layout, presets, views
from qi_notebooks.app import App
from qi_notebooks.form import Form
from qi_notebooks.offers import Offers
from qi_notebooks.study import replay

DESIGNS = (qe.Matching, qe.GeneticMatching, qe.Weighting)
QUICK = {"evaluations": 60, "restarts": 1}


@pytest.fixture(scope="module")
def people():
    return qe.data.simulate_cohort(500, seed=6).frame


@pytest.fixture
def chosen():
    return {
        "treated": "service",
        "covariates": ("age", "sex", "frailty"),
        "outcome": "cost",
        "caliper": 0.2,
    }


@pytest.fixture
def drive(driver, people, chosen, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return driver(App("matching", people, **chosen))


def pressed_to_lock(drive):
    drive.press("design checks", "Run the design checks")
    drive.press("lock", "Lock this design")


@pytest.mark.parametrize("design", DESIGNS)
def test_each_field_is_asked_for_once(design):
    held = [name for section in layout.sections(design).values() for name in section.names]
    named = [*held, *layout.QUESTION]
    assert sorted(named) == sorted(qe.fields_of(design))
    assert layout.sections(design)["data"].shown == ("treated", "units_are", "covariates")


def test_the_form_gives_any_matching_back(people):
    wanted = qe.Matching(
        treated="service",
        covariates=("age", "imd", "frailty"),
        categories=("imd",),
        squares=("age",),
        interactions=("age * frailty", "age * imd"),
        exact=("sex",),
        calipers={"age": "5", "frailty": "0.25 sd"},
        cutpoints={"age": "60, 70"},
        measured={"age": "index_date"},
        start="index_date",
        subgroups=("smoker", "sex"),
        outcome="cost",
        negative_controls=("elective_eye_surgery",),
        caliper=3.5,
        question="Did it help?",
    )
    form = Form(qe.Matching, people)
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted
    form.clear()
    assert form.values()["calipers"] == {}
    assert form.values()["exact"] == ()


def test_columns_are_picked_and_put_back(people):
    form = Form(qe.Matching, people, treated="service", covariates=("age",))
    exact = form.controls["exact"]
    assert exact._pick.label == "(add a column)"
    exact._pick.value = "sex"
    exact._pick.value = "hospital"
    assert form.design().exact == ("sex", "hospital")
    assert exact._pick.label == "(add a column)"
    exact._list.children[0].click()
    assert form.design().exact == ("hospital",)
    assert [name for name, _ in form.controls["squares"]._pick.options] == ["(add a column)", "age"]
    assert "service" not in [name for name, _ in exact._pick.options]


def test_settings_of_columns_are_added_line_by_line(people):
    form = Form(qe.Matching, people, treated="service", covariates=("age",))
    form.controls["calipers"]._add("", "")
    first, second, _ = form.controls["calipers"]._rows[0].children
    assert form.design().calipers == {}
    first.value, second.value = "age", "wide"
    with pytest.raises(qe.DesignError):
        form.design()
    assert "wide" in form.controls["calipers"].message.value
    second.value = "0.2 sd"
    assert form.design().calipers == {"age": "0.2 sd"}


def test_only_what_names_itself_as_earlier_is_proposed_as_a_characteristic(people):
    found = guess.roles(qe.Matching, qe.data.describe(people))
    assert found["treated"] == "service"
    assert found["covariates"] == ("age", "sex", "imd", "frailty", "emergency_admissions_before", "smoker")
    unclear = people.rename(columns={"age": "score_1", "sex": "score_2"})
    assert "score_1" not in guess.roles(qe.Matching, qe.data.describe(unclear))["covariates"]
    assert "covariates" not in guess.roles(qe.DifferenceInDifferences, qe.data.describe(people))
    form = Form(qe.Matching, people)
    form.propose()
    assert form.design().covariates == found["covariates"]
    assert "Proposed from the data" in form.controls["covariates"].message.value


@pytest.mark.parametrize("name", ["community_service", "nhefs_complete", "nsw"])
@pytest.mark.parametrize("stem", ["matching", "genetic_matching", "weighting"])
def test_examples_need_no_choice(stem, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = App(stem, f"example:{name}")
    assert app.design.covariates
    assert app.design.question
    assert app.design.outcome not in (None, *app.design.covariates)
    assert app.study.source == f"example:{name}"
    assert name in presets.suited(app.study.method.title)


def test_steps_open_in_order_and_choose_comes_before_the_lock(drive):
    assert list(drive.states()) == [
        *("question", "data", "design checks", "choose", "lock", "estimate"),
        *("assumptions", "sensitivity", "report", "code"),
    ]
    assert drive.states()["choose"] == "waiting"
    drive.press("design checks", "Run the design checks")
    assert drive.states()["choose"] == "done"
    assert drive.states()["lock"] == "open"
    assert "Standardised differences" in drive.shown("choose")


def test_balance_follows_the_settings_without_an_outcome(drive, people, chosen):
    drive.press("design checks", "Run the design checks")
    drive.app.form.controls["outcome"].inner.value = None
    drive.app.form.controls["caliper"].inner.value = 0.05
    design = qe.Matching(**{**chosen, "outcome": None, "caliper": 0.05})
    assert drive.app.design == design
    wanted = qe.tuning(design, people).try_()
    assert f"<b>{wanted.largest[0]:.3f}</b>" in drive.shown("choose")
    assert f"<b>{wanted.treated[0]}</b> of {wanted.treated[1]}" in drive.shown("choose")
    assert drive.states()["choose"] == "done"
    assert drive.app.study.before is None
    assert drive.states()["lock"] == "open"


def test_nothing_is_sent_when_nothing_has_changed(drive):
    drive.press("design checks", "Run the design checks")
    step, sent = drive.app.step("choose"), []
    for held in (step.drawn["love"], step.drawn["overlap"]):
        held.observe(lambda change: sent.append(change["name"]), names="value")
    drive.app.form.controls["question"].inner.value = "Did it help?"
    drive.app.form.controls["order"].inner.value = "largest"
    assert sent == []
    drive.app.form.controls["caliper"].inner.value = 0.01
    assert sent == ["value", "value"]


def test_what_cannot_be_made_is_told_and_the_last_picture_stays(drive):
    drive.press("design checks", "Run the design checks")
    before = drive.app.step("choose").drawn["love"].value
    drive.app.form.controls["calipers"].set({"frailty": "0.0000000001"})
    assert "nobody finds a partner" in drive.shown("choose")
    assert "what was tried before" in drive.shown("choose")
    assert drive.app.step("choose").drawn["love"].value == before
    assert drive.states()["choose"] == "open"
    drive.app.form.controls["calipers"].set({})
    assert "nobody finds a partner" not in drive.shown("choose")


def test_locking_makes_the_checks_of_the_chosen_design(drive):
    drive.press("design checks", "Run the design checks")
    drive.app.form.controls["caliper"].inner.value = 0.03
    assert "made again when you lock" in drive.shown("design checks")
    drive.press("lock", "Lock this design")
    assert drive.app.study.before is not None
    assert drive.app.study.protocol.design["caliper"] == 0.03
    assert "A change here makes the study exploratory" in drive.shown("choose")
    drive.app.form.controls["caliper"].inner.value = 0.3
    assert "Exploratory: changed since the protocol was locked: Caliper was 0.03, now 0.3" in drive.shown(
        "choose"
    )
    drive.press("estimate", "Estimate the effect")
    assert "exploratory" in drive.shown("estimate")


def test_the_outcome_may_be_named_after_the_lock_and_that_is_said(drive):
    drive.app.form.controls["outcome"].inner.value = None
    pressed_to_lock(drive)
    drive.press("estimate", "Estimate the effect")
    assert "no outcome has been named" in drive.shown("estimate")
    drive.app.form.controls["outcome"].inner.value = "cost"
    drive.press("estimate", "Estimate the effect")
    assert "outcome was None, now &#x27;cost&#x27;" in drive.shown("estimate")
    assert drive.app.result.headline.split(";")[0] in drive.shown("estimate").replace("&#x27;", "'")


def test_a_tried_setting_estimates_again_once_something_was_estimated(drive, people, chosen):
    pressed_to_lock(drive)
    drive.press("estimate", "Estimate the effect")
    first = drive.app.result.headline
    drive.app.form.controls["caliper"].inner.value = 0.02
    assert drive.app.result.headline != first
    assert (
        drive.app.result.headline == qe.estimate(qe.Matching(**{**chosen, "caliper": 0.02}), people).headline
    )


def test_a_slider_is_followed_while_it_is_moved(
    people, chosen, driver, tmp_path, monkeypatch, quick_pictures
):
    monkeypatch.chdir(tmp_path)

    async def moved():
        drive = driver(App("matching", people, **chosen))
        await asyncio.sleep(0.5)
        drive.press("design checks", "Run the design checks")
        step = drive.app.step("choose")
        before, start = step.drawn["love"].value, time.perf_counter()
        for caliper in (0.15, 0.1, 0.01):
            drive.app.form.controls["caliper"].inner.value = caliper
        assert step.drawn["love"].value == before
        while step.drawn["love"].value == before and time.perf_counter() - start < 5:
            await asyncio.sleep(0.01)
        return time.perf_counter() - start, drive.app.design.caliper

    took, caliper = asyncio.run(moved())
    assert caliper == 0.01
    assert 0.1 <= took < 0.5


def test_a_search_waits_until_it_is_asked_for(driver, people, chosen, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drive = driver(App("genetic_matching", people, **{**chosen, "caliper": 0.0}, **QUICK))
    drive.press("design checks", "Run the design checks")
    assert drive.states()["choose"] == "done"
    searched = drive.app.study.trial
    drive.app.form.controls["loss"].inner.value = "largest difference"
    assert drive.app.study.trial is searched
    assert "Press &#x27;Search&#x27;" in drive.shown("choose")
    drive.press("choose", "Search")
    assert drive.app.study.trial is not searched
    assert drive.states()["choose"] == "done"
    drive.press("lock", "Lock this design")
    drive.press("estimate", "Estimate the effect")
    assert "The estimate of every restart" in drive.shown("estimate")


@pytest.mark.parametrize("design", DESIGNS)
def test_suggestions_make_sense_for_the_method(design, people):
    more = QUICK if design is qe.GeneticMatching else {}
    made = design(treated="service", covariates=("age", "frailty"), outcome="cost", **more)
    found = alterations.suggestions(made, Offers(people.drop(columns=["died", "imd", "person_years"])))
    fields = {item.field: item for item in found}
    assert {"estimand", "outcome_model", "outcome"} <= fields.keys()
    assert not fields["outcome"].usual
    assert "cost" not in fields["outcome"].values
    usual = {item.field: item.values for item in found if item.usual}
    varied = qe.vary(made, people, **usual)
    assert varied.table["estimate"].notna().sum() >= 2


def test_other_methods_are_beside_and_enter_the_report_with_altered_designs(drive, monkeypatch):
    for step, words in drive.buttons[:4]:
        drive.press(step, words)
    step = drive.app.step("sensitivity")
    for item, box in step._boxes:
        box.value = item.field == "caliper"
    drive.press("sensitivity", "Estimate under altered designs")
    drive.press("sensitivity", "Compare with other methods")
    assert "entropy balancing" in drive.shown("sensitivity")
    assert "speaks for" in drive.shown("sensitivity")
    reported = []
    monkeypatch.setattr(qe, "report", lambda *given, **_named: reported.append(given[2]))
    drive.app.study.write()
    labels = reported[0].table["label"].tolist()
    assert {"entropy balancing", "caliper = 0.05"} <= set(labels)
    assert labels.count("as designed") == 1


def test_other_outcomes_stay_out_of_the_picture(drive, monkeypatch):
    drawn = []
    monkeypatch.setattr(qe, "plot", lambda made: drawn.append(made.table))
    varied = qe.vary(drive.app.design, drive.app.study.data, outcome=["died"], caliper=[0.1])
    shown = views.variation(varied)
    assert drawn[0]["label"].tolist() == ["as designed", "caliper = 0.1"]
    assert "outcome = died" in shown


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["matching", "weighting", "genetic_matching"])
def test_headless_code_and_replay_give_the_same_numbers(
    stem, people, chosen, quick_pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    few = functools.partial(qe.specifications, ways=["entropy balancing", "2:1 nearest"])
    monkeypatch.setattr(qe, "specifications", few)
    people.to_csv("people.csv", index=False)
    own = {**chosen, "caliper": 0.2 if stem == "matching" else 0.0, **(QUICK if "gen" in stem else {})}
    own = {name: held for name, held in own.items() if name in qe.fields_of(qe.method_named(stem).design)}
    app = App(stem, "people.csv", interactive=False, **own)
    assert app.step("sensitivity").state == "done"
    assert "Standardised differences" in app.step("choose").plain()
    again = replay(app.study.save_choices(tmp_path / "choices.json"))
    pd.testing.assert_frame_equal(again.result.estimates, app.result.estimates)
    pd.testing.assert_frame_equal(again.panel.table, app.study.panel.table)
    held = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec(app.step("code").script(), held)
    pd.testing.assert_frame_equal(held["result"].estimates, app.result.estimates)
    assert held["trial"].largest == app.study.trial.largest
