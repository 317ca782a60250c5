"""The guided study of designs with donors: forms, the donor picker, the step 'Choose', lock, replay."""

import contextlib
import functools
import io

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import alterations, guess, layout, presets, views
from qi_notebooks.app import App
from qi_notebooks.controls_units import MOST_SHOWN, DonorsControl
from qi_notebooks.form import Form
from qi_notebooks.offers import MOST_UNITS, Offers
from qi_notebooks.study import replay

DESIGNS = [method.design for method in qe.CATALOGUE if issubclass(method.design, qe.DonorDesign)]
TRIED = [design for design in DESIGNS if "choose" in layout.sections(design)]
STEMS = [qe.method_of(design).stem for design in DESIGNS]


@pytest.fixture(scope="module")
def hospitals():
    return qe.data.simulate_hospital(8, (24, 8), seed=3)


@pytest.fixture
def frame(hospitals):
    return hospitals.frame


@pytest.fixture
def chosen(hospitals):
    return {"outcome": "readmissions_per_1000", "start": hospitals.truth["start"]}


@pytest.fixture
def form(frame, chosen):
    made = Form(qe.SyntheticControl, frame, **chosen)
    made.propose()
    return made


@pytest.fixture
def drive(driver, frame, chosen, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return driver(App("synthetic_control", frame, **chosen))


def donors_of(hospitals):
    return sorted(set(hospitals.frame["hospital"]) - {hospitals.truth["treated"]})


@pytest.mark.parametrize("design", DESIGNS)
def test_each_field_is_asked_for_once(design):
    held = [name for section in layout.sections(design).values() for name in section.names]
    assert sorted([*held, *layout.QUESTION]) == sorted(qe.fields_of(design))
    assert layout.sections(design)["data"].shown[0] == "outcome"


@pytest.mark.parametrize("design", TRIED)
def test_the_donors_are_chosen_where_the_fit_is_seen(design):
    assert layout.sections(design)["choose"].shown[0] == "donors"


def test_the_form_gives_any_synthetic_control_back(frame, hospitals, chosen):
    names = donors_of(hospitals)
    wanted = qe.SyntheticControl(
        **chosen,
        unit="hospital",
        time="month",
        treated="programme",
        donors=tuple(names[1:6]),
        not_donors={names[1]: "it merged", names[2]: ""},
        similar_intervention="similar_programme",
        size="beds",
        size_ratio=3.0,
        population="discharges",
        per=1000.0,
        predictors={"share_over_75": "", "readmissions_per_1000": "2012-01 to 2012-06; 2013-01"},
        v="as given",
        predictor_weights={"share_over_75": "2", "readmissions_per_1000": "1"},
        fit_from="2012-03",
        events={"2013-05": "a strike"},
        question="Did it help?",
    )
    form = Form(qe.SyntheticControl, frame)
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted
    form.clear()
    assert form.values()["predictors"] == {}
    assert form.values()["donors"] == ()


def test_all_ticked_is_the_design_without_a_list(form, hospitals):
    picker = form.controls["donors"]
    names = donors_of(hospitals)
    assert list(picker._boxes) == names
    assert form.design().donors == ()
    picker._boxes[names[0]].value = False
    assert form.design().donors == tuple(names[1:])
    assert f"7 of {len(names)} untreated units" in picker._count.value
    picker._boxes[names[0]].value = True
    assert form.design().donors == ()


def test_none_ticked_is_told_beside_the_list(form, hospitals):
    picker = form.controls["donors"]
    every, none = picker.inner.children[-1].children
    none.click()
    assert not any(box.value for box in picker._boxes.values())
    with pytest.raises(qe.DesignError, match="no unit is ticked"):
        form.design()
    assert "no unit is ticked" in picker.message.value
    picker._boxes[donors_of(hospitals)[2]].value = True
    assert form.design().donors == (donors_of(hospitals)[2],)
    assert picker.message.value == ""
    every.click()
    assert form.design().donors == ()


def test_a_list_that_was_set_first_waits_for_its_units(frame, chosen, hospitals):
    names = donors_of(hospitals)
    form = Form(qe.SyntheticControl)
    form.set(**chosen, unit="hospital", time="month", treated="programme", donors=(names[3], "H99"))
    form.offer(frame)
    picker = form.controls["donors"]
    assert set(picker._boxes) == {*names, "H99"}
    assert form.design().donors == (names[3], "H99")
    picker._boxes["H99"].value = False
    assert form.design().donors == (names[3],)


def test_long_lists_are_searched():
    picker = DonorsControl("donors", qe.fields_of(qe.SyntheticControl)["donors"])
    assert picker._find.layout.display == "none"
    units = [f"Ward {number:03d}" for number in range(150)]
    picker.offer(units)
    assert picker._find.layout.display is None
    assert len(picker._boxes) == MOST_SHOWN
    assert "40 of 150 found are shown" in picker._count.value
    picker._find.value = "ward 14"
    assert list(picker._boxes) == [f"Ward 14{digit}" for digit in range(10)]
    kept = picker._boxes["Ward 140"]
    kept.value = False
    picker._find.value = ""
    assert "149 of 150" in picker._count.value
    assert "Ward 140" not in picker.get()
    assert len(picker.get()) == 149
    picker._find.value = "140"
    assert picker._boxes["Ward 140"].value is False


def test_changes_of_a_search_or_by_a_program_call_nobody(form, hospitals):
    seen = []
    picker = form.controls["donors"]
    form.observe(lambda: seen.append(1), ["donors"])
    picker._find.value = "H0"
    picker.offer(donors_of(hospitals))
    assert seen == []
    picker._boxes[donors_of(hospitals)[0]].value = False
    assert seen == [1]


def test_numbers_stay_numbers():
    picker = DonorsControl("donors", qe.fields_of(qe.SyntheticControl)["donors"])
    picker.offer([1, 2, 3])
    picker.set(("2", 3))
    assert picker.get() == (2, 3)


def test_only_untreated_units_are_offered_and_no_identifiers_of_people(frame, hospitals):
    assert Offers(frame).untreated("hospital", "programme") == donors_of(hospitals)
    assert Offers(frame).untreated("hospital", "month") == []
    assert Offers(frame).untreated(None, "programme") == []
    people = frame.assign(hospital="943 476 5919")
    assert Offers(people).untreated("hospital", "programme") == []
    many = pd.DataFrame({"u": range(MOST_UNITS + 1), "d": [1] + [0] * MOST_UNITS, "t": 1})
    assert Offers(many).untreated("u", "d") == []


def test_predictors_are_a_column_and_its_periods_line_by_line(form):
    held = form.controls["predictors"]
    held._add("", "")
    column, periods, remove = held._rows[0].children
    assert form.design().predictors == {}
    options = [name for name, _ in column.options]
    assert {"share_over_75", "beds", "readmissions_per_1000"} <= set(options)
    assert not {"hospital", "month", "programme"} & set(options)
    column.value = "share_over_75"
    assert form.design().predictors == {"share_over_75": ""}
    periods.value = "2012-01 to 2012-12"
    held._add("share_over_75", "2013-01")
    held._touched(held._changed)
    assert form.design().predictors == {"share_over_75": "2012-01 to 2012-12; 2013-01"}
    weights = form.controls["predictor_weights"]
    weights._add("", "")
    assert [value for _, value in weights._rows[0].children[0].options] == [None, "share_over_75"]
    remove.click()
    assert form.design().predictors == {"share_over_75": "2013-01"}


def test_units_are_kept_out_with_a_reason(form, hospitals):
    held = form.controls["not_donors"]
    held._add("", "")
    unit, why, _ = held._rows[0].children
    assert [value for _, value in unit.options] == [None, *donors_of(hospitals)]
    unit.value, why.value = donors_of(hospitals)[1], "it merged in 2012"
    assert form.design().not_donors == {donors_of(hospitals)[1]: "it merged in 2012"}


def test_what_makes_a_unit_unfit_is_proposed(frame):
    described = qe.data.describe(frame.assign(neighbour=0, pilot_start="2014-01"))
    found = guess.roles(qe.SyntheticControl, described)
    assert found == {
        "unit": "hospital",
        "time": "month",
        "treated": "programme",
        "similar_intervention": "similar_programme",
        "spillover": "neighbour",
    }
    assert guess.roles(qe.SyntheticDifferenceInDifferences, described)["first_treated"] == "pilot_start"
    assert "spillover" not in guess.roles(qe.DifferenceInDifferences, described)
    form = Form(qe.SyntheticControl, frame)
    form.propose()
    assert "Proposed from the data" in form.controls["similar_intervention"].message.value


@pytest.mark.parametrize("stem", STEMS)
def test_examples_need_no_choice(stem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    title = qe.method_named(stem).title
    listed = qe.examples().set_index("name")
    names = [name for name in presets.suited(title) if not listed.loc[name, "fetched"]]
    names = [name for name in names if name != "organ_donations"]
    assert "one_hospital" in names or stem == "micro_synthetic_control"
    for name in names:
        app = App(stem, f"example:{name}")
        assert app.design.question
        assert app.study.source == f"example:{name}"
        qe.method_of(app.design).blind(app.design, app.study.data.frame)


def test_steps_open_in_order_and_choose_comes_before_the_lock(drive):
    assert list(drive.states())[2:5] == ["design checks", "choose", "lock"]
    assert drive.states()["choose"] == "waiting"
    drive.press("design checks", "Run the design checks")
    assert drive.states()["choose"] == "done"
    assert "Weights of the donors" in drive.shown("choose")
    assert "The gap before the start" in drive.shown("choose")


def test_weights_and_gap_follow_a_tick(drive, frame):
    drive.press("design checks", "Run the design checks")
    step = drive.app.step("choose")
    before = {name: held.value for name, held in step.drawn.items()}
    heaviest = drive.app.study.trial.weights["donor"].iloc[0]
    drive.app.form.controls["donors"]._boxes[heaviest].value = False
    wanted = qe.tuning(drive.app.design, frame).try_()
    assert heaviest not in drive.app.design.donors
    assert f"{wanted.weights['weight'].iloc[0]:.3f}" in step.drawn["weights"].value
    assert f"<th scope='row'>{heaviest}</th>" not in step.drawn["weights"].value
    assert all(step.drawn[name].value != before[name] for name in ("numbers", "paths", "gaps", "weights"))
    assert f"<b>{qe.markup.words(wanted.missed_by)}</b>" in step.drawn["numbers"].value
    assert drive.states()["choose"] == "done"
    assert drive.states()["lock"] == "open"


def test_nothing_after_the_start_is_shown(driver, frame, chosen, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    closed = frame["month"] >= chosen["start"]
    shown = []
    for outcome in (frame["readmissions_per_1000"], frame["readmissions_per_1000"].mask(closed, -1e6)):
        held = driver(App("synthetic_control", frame.assign(readmissions_per_1000=outcome), **chosen))
        held.press("design checks", "Run the design checks")
        shown.append({name: text.value for name, text in held.app.step("choose").drawn.items()})
    assert shown[0] == shown[1]


def test_what_cannot_be_fitted_is_told_and_the_last_picture_stays(drive, chosen):
    drive.press("design checks", "Run the design checks")
    before = drive.app.step("choose").drawn["paths"].value
    drive.app.form.controls["fit_from"].set(chosen["start"])
    assert "nothing can be fitted" in drive.shown("choose")
    assert "what was tried before" in drive.shown("choose")
    assert drive.app.step("choose").drawn["paths"].value == before
    assert drive.states()["choose"] == "open"
    drive.app.form.controls["fit_from"].set(None)
    assert "nothing can be fitted" not in drive.shown("choose")


def test_a_slow_fit_says_so(drive):
    drive.press("design checks", "Run the design checks")
    step, said = drive.app.step("choose"), []
    step._took = 1.0
    step._trouble.observe(lambda change: said.append(change["new"]), names="value")
    drive.app.form.controls["method"].inner.value = "demeaned"
    assert "Fitting ..." in said[0]
    assert said[-1] == ""


def test_the_interval_does_not_change_the_fit(drive):
    drive.press("design checks", "Run the design checks")
    tried = drive.app.study.trial
    drive.app.form.controls["inference"].inner.value = "conformal"
    assert drive.app.study.trial is tried
    assert drive.states()["choose"] == "done"


def test_donors_changed_after_the_lock_are_named(drive, hospitals):
    drive.press("design checks", "Run the design checks")
    drive.press("lock", "Lock this design")
    assert "A change here makes the study exploratory" in drive.shown("choose")
    drive.app.form.controls["donors"]._boxes[donors_of(hospitals)[0]].value = False
    said = (
        f"changed since the protocol was locked: Donors was empty, now {', '.join(donors_of(hospitals)[1:])}."
    )
    assert said in drive.shown("choose")
    drive.press("estimate", "Estimate the effect")
    assert "exploratory" in drive.shown("estimate")


@pytest.mark.parametrize("design", DESIGNS)
def test_suggestions_can_be_carried_out(design, frame, chosen):
    more = {"unit": "hospital", "time": "month", "treated": "programme"}
    more |= {"similar_intervention": "similar_programme"}
    if design is qe.SyntheticControl:
        more |= {"predictors": {"share_over_75": "", "beds": "2012-01 to 2012-12"}}
    made = design(**chosen, **more, draws=99)
    found = {item.field: item for item in alterations.suggestions(made, Offers(frame))}
    assert found["similar_intervention"].values == (None,)
    assert any(item.usual for item in found.values())
    assert "outcome" not in found
    for item in found.values():
        for value in item.values:
            qe.fields_of(design)[item.field]
            changed = made.to_dict() | {item.field: value}
            design(**{name: held for name, held in changed.items() if name in qe.fields_of(design)})
    if design is qe.SyntheticControl:
        assert "demeaned" not in found["method"].values
        assert found["predictors"].title == "Predictors: beds; share_over_75; none"
        assert all(start > chosen["start"] for start in found["start"].values)


def test_altered_designs_give_estimates(frame, chosen, hospitals):
    rows = {"unit": "hospital", "time": "month", "treated": "programme"}
    made = qe.SyntheticControl(**chosen, **rows, donors=tuple(donors_of(hospitals)[:4]))
    usual = {item.field: item.values for item in alterations.suggestions(made, Offers(frame)) if item.usual}
    assert {"first_period", "method", "donors"} <= usual.keys()
    assert "v" not in usual
    varied = qe.vary(made, frame, **usual)
    assert varied.table["estimate"].notna().all()


def test_long_labels_are_broken_in_pictures(frame, chosen, monkeypatch):
    drawn = []
    monkeypatch.setattr(qe, "plot", lambda made: drawn.append(made.table))
    long = "predictors = " + "; ".join(f"201{year}-01 to 201{year}-12" for year in range(2, 8))
    rows = {"term": "ATT", "conf_low": -2.0, "conf_high": 0.0, "note": ""}
    table = pd.DataFrame([{"label": label, "estimate": -1.0, **rows} for label in ("as designed", long)])
    design = qe.SyntheticControl(**chosen, unit="hospital", time="month", treated="programme")
    monkeypatch.setattr(views.look, "picture", lambda *_given: "")
    assert long in views.variation(qe.Variation(design, table))
    assert max(len(line) for line in drawn[0]["label"].iloc[1].splitlines()) <= views.LABEL_WIDTH


def test_other_ways_are_beside_with_their_rank_and_fit(drive, monkeypatch):
    for step, words in drive.buttons[:4]:
        drive.press(step, words)
    few = functools.partial(qe.specifications, ways=["demeaned", "penalised"])
    monkeypatch.setattr(qe, "specifications", few)
    drive.press("sensitivity", "Compare with other methods")
    assert "penalised" in drive.shown("sensitivity")
    assert "root mean squared gap before" in drive.shown("sensitivity")
    assert "among units" in drive.shown("sensitivity")


def test_events_do_not_stand_among_rates_in_the_joined_table(
    driver, frame, chosen, quick_pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    few = functools.partial(qe.specifications, ways=["demeaned"])
    monkeypatch.setattr(qe, "specifications", few)
    drive = driver(App("synthetic_control", frame, **chosen, population="discharges", per=1000.0))
    for step, words in drive.buttons[:4]:
        drive.press(step, words)
    drive.app.study.vary({"method": ("penalised",), "fit_from": ("2019-01",)})
    drive.app.study.compare()
    assert "events in all" in set(drive.app.variation.table["term"])
    reported = []
    monkeypatch.setattr(qe, "report", lambda *given, **_named: reported.append(given[2]))
    drive.app.study.write()
    labels = reported[0].table["label"].tolist()
    assert labels == ["as designed", "demeaned", "method = penalised", "fit_from = 2019-01"]
    assert reported[0].table["estimate"].abs().max() < 100
    assert "table['term'] == table['term'][0]" in drive.app.step("code").script()


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
def test_headless_code_and_replay_give_the_same_numbers(
    stem, frame, chosen, quick_pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    few = functools.partial(qe.specifications, ways=["demeaned"])
    monkeypatch.setattr(qe, "specifications", few)
    frame.to_csv("hospitals.csv", index=False)
    own = {**chosen, "draws": 99}
    if stem == "synthetic_control":
        own["predictors"] = {
            "share_over_75": "2012-01 to 2013-06",
            "readmissions_per_1000": "2012-01; 2013-12",
        }
    app = App(stem, "hospitals.csv", interactive=False, **own)
    assert app.step("sensitivity").state == "done"
    if "choose" in app.by_name:
        assert "The gap before the start" in app.step("choose").plain()
    again = replay(app.study.save_choices(tmp_path / "choices.json"))
    pd.testing.assert_frame_equal(again.result.estimates, app.result.estimates)
    held = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec(app.step("code").script(), held)
    pd.testing.assert_frame_equal(held["result"].estimates, app.result.estimates)
    if "choose" in app.by_name:
        assert np.array_equal(held["trial"].paths["gap"], app.study.trial.paths["gap"])
