"""Guided studies of natural experiments: forms, what is moved after the estimate, what stands beside it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import alterations, layout, layout_natural, live_change, live_cutoff, presets, views
from qi_notebooks.app import App
from qi_notebooks.form import Form
from qi_notebooks.offers import Offers
from qi_notebooks.presets import PRESETS
from qi_notebooks.script import script
from qi_notebooks.study import replay

RULE, INSTRUMENT, CHANGE, REGRESSION = (
    qe.RegressionDiscontinuity,
    qe.InstrumentalVariables,
    qe.BeforeAfter,
    qe.RegressionAdjustment,
)
EXAMPLES = {
    RULE: "health_check",
    INSTRUMENT: "specialist_hospital",
    CHANGE: "frequent_attenders",
    REGRESSION: "community_service",
}
DESIGNS = tuple(EXAMPLES)


def stated(design, **changes):
    """The design of its example."""
    known = presets.known(f"example:{EXAMPLES[design]}", qe.fields_of(design))
    return design(**{**known, **changes})


@pytest.fixture(scope="module")
def data():
    return {design: qe.example(name) for design, name in EXAMPLES.items()}


@pytest.fixture
def begun(driver, quick_pictures, tmp_path, monkeypatch):
    """A study up to its estimate, without the checks, which the templates make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qe, "design_checks", lambda design, data: qe.Checks((), title="Design checks"))

    def begin(design, last="estimate"):
        drive = driver(App(qe.method_of(design).stem, f"example:{EXAMPLES[design]}"))
        drive.through(last)
        return drive

    return begin


@pytest.mark.parametrize("design", DESIGNS)
def test_each_field_is_asked_for_once(design):
    held = [name for section in layout.sections(design).values() for name in section.names]
    fields = qe.fields_of(design)
    asked = [name for name in layout_natural.WITH_THE_QUESTION if name in fields]
    assert sorted([*held, *layout.QUESTION, *asked]) == sorted(fields)
    assert len(layout.sections(design)["data"].shown) <= 6


@pytest.mark.parametrize("design", DESIGNS)
def test_the_example_fills_the_form_and_the_form_gives_it_back(design, data):
    form = Form(design, data[design])
    wanted = stated(design)
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted
    form.clear()
    assert [name for name in layout.stated(design) if form.held(name) is not None] == []


def test_the_treated_side_has_to_be_chosen(data):
    form = Form(RULE, data[RULE], outcome="cost", score="age_months", cutoff=780)
    assert form.held("treated_side") is None
    with pytest.raises(qe.DesignError, match="treated_side: nothing is given"):
        form.design()
    assert "nothing is given" in form.controls["treated_side"].message.value
    form.controls["treated_side"].inner.value = "below"
    assert form.design().treated_side == "below"


def test_values_and_lists_are_typed(data):
    form = Form(RULE, data[RULE], outcome="cost", score="age_months", treated_side="above")
    typed = form.controls["cutoff"].inner
    for said, held in (("780", 780), ("779.5", 779.5), ("2019-04-01", "2019-04-01"), ("  ", None)):
        typed.value = said
        assert form.held("cutoff") == held
    typed.value = "780"
    wide = form.controls["bandwidth"].inner
    for said, held in (("24", (24,)), ("18, 30.5", (18, 30.5)), ("18; 30", (18, 30)), ("", ())):
        wide.value = said
        assert form.held("bandwidth") == held
    form.controls["leave_out"].inner.value = "780, about 790"
    with pytest.raises(qe.DesignError, match="leave_out: 'about 790' is not a number"):
        form.design()
    assert "about 790" in form.controls["leave_out"].message.value


def test_roles_are_proposed_from_names(data):
    frame = data[RULE].frame.rename(columns={"age_months": "score", "health_check": "attended"})
    form = Form(RULE, frame)
    form.propose()
    assert (form.held("score"), form.held("received")) == ("score", "attended")
    assert "Proposed" in form.controls["score"].message.value
    form = Form(INSTRUMENT, data[INSTRUMENT].frame.rename(columns={"specialist": "received"}))
    form.propose()
    assert (form.held("received"), form.held("instruments")) == ("received", ("extra_distance",))
    form = Form(CHANGE, data[CHANGE])
    form.propose()
    assert form.held("before") == "visits_before"


def test_instruments_and_covariates_are_not_offered_twice(data):
    form = Form(INSTRUMENT, data[INSTRUMENT], **PRESETS["specialist_hospital"])
    assert "near" not in form.controls["covariates"]._boxes
    assert "age" not in form.controls["instruments"]._boxes
    assert "specialist" not in form.controls["instruments"]._boxes


def test_the_argument_for_the_exclusion_is_asked_for_in_one_place(data):
    assumptions = [item.name for item in qe.method_of(INSTRUMENT).assumptions]
    assert set(layout.ARGUED_BY) <= set(assumptions)
    form = Form(INSTRUMENT, data[INSTRUMENT])
    assert not set(layout.ARGUED_BY) & set(form.controls["arguments"]._areas)
    assert "No estimate is shown without it" in form.controls["exclusion"].help.value


def test_no_estimate_is_shown_without_the_argument(begun):
    drive = begun(INSTRUMENT)
    assert "What was seen" in drive.shown("estimate")
    drive.app.form.controls["exclusion"].inner.value = " "
    assert drive.states()["estimate"] == "waiting"
    assert "no estimate is shown without it" in drive.shown("estimate")
    assert drive.states()["assumptions"] == "waiting"


def test_what_goes_with_the_instrument_comes_first(begun):
    drive = begun(INSTRUMENT)
    shown = views.by_instrument(drive.app.result)
    first, then = shown.split("What follows if")
    assert "reduced form: near" in first
    assert "first stage: near" in first
    assert "reduced form: near" not in then
    assert "Anderson-Rubin" in then


def test_moving_the_bandwidth_estimates_again_and_is_called_exploratory(begun, data):
    drive = begun(RULE)
    step = drive.app.step("estimate")
    h = drive.app.result.facts["bandwidth on the other side"]
    assert step.sliders["bandwidth"].value == 1
    drawn = step.drawn["outcome"].value
    step.sliders["bandwidth"].value = 0.6
    wide = float(f"{0.6 * h:.4g}")
    assert drive.app.design.bandwidth == (wide,)
    moved = qe.estimate(stated(RULE, bandwidth=(wide,)), data[RULE])
    assert drive.app.result.headline == moved.headline
    assert moved.headline in drive.shown("estimate")
    assert "Exploratory: changed since the protocol was locked: Bandwidth was" in drive.shown("estimate")
    assert step.drawn["outcome"].value != drawn
    drive.press("estimate", "Bandwidth by the rule")
    assert drive.app.design.bandwidth == ()
    assert step.sliders["bandwidth"].value == 1
    step.sliders["donut"].value = 0.1
    assert drive.app.design.donut == float(f"{0.1 * h:.4g}")
    drive.app.form.controls["order"].inner.value = 2
    assert drive.app.result.design.order == 2


def test_a_typed_bandwidth_moves_its_slider_and_stays_as_typed(begun):
    drive = begun(RULE)
    drive.app.form.controls["bandwidth"].inner.value = "17"
    assert drive.app.design.bandwidth == (17,)
    h = drive.app.step("estimate")._chosen
    assert drive.app.step("estimate").sliders["bandwidth"].value == pytest.approx(17 / h)


def test_what_cannot_be_estimated_leaves_the_last_picture(begun):
    drive = begun(RULE)
    before = drive.app.step("estimate").drawn["outcome"].value
    drive.app.form.controls["donut"].inner.value = 500
    assert "nobody is left on one side" in drive.shown("estimate")
    assert "Below is what was estimated before" in drive.shown("estimate")
    assert drive.app.step("estimate").drawn["outcome"].value == before


def test_dots_are_means_of_at_least_ten_and_add_up():
    data = qe.example("birth_weight")
    made = qe.estimate(qe.RegressionDiscontinuity(**PRESETS["birth_weight"]), data).kernel.made
    for side in (0, 1):
        reach = 400.0
        s, means = live_cutoff._means(made, made.y, side, reach, 10)
        on = ((made.s >= 0) == bool(side)) & (np.abs(made.s) <= reach)
        assert 5 < len(means) <= live_cutoff.MOST_DOTS
        assert made.y[on].min() <= means.min() <= made.y[on].mean() <= means.max()
        assert ((s >= 0) == bool(side)).all()
    few = dataclasses.replace(made, s=np.r_[-np.arange(1.0, 10), made.s[9:]])
    s, _ = live_cutoff._means(few, few.y, 0, 9.5, 10)
    held = (few.s < 0) & (few.s >= -9.5)
    assert len(s) <= int(held.sum()) // 10


def test_lines_meet_the_cutoff_where_the_fit_says(begun):
    result = begun(RULE).app.result
    s, value = live_cutoff._line(result.kernel, 0, 1)
    assert s[0] == 0
    assert value[0] == pytest.approx(result.kernel.fit.sides.polynomials[0, 1, 0])
    assert "class='qi-line-fitted'" in live_cutoff.outcome(result)
    assert "health_check" in live_cutoff.uptake(result)
    assert "23.94" in live_cutoff.numbers(result)


def test_without_uptake_there_is_one_picture():
    result = qe.estimate(qe.RegressionDiscontinuity(**PRESETS["birth_weight"]), qe.example("birth_weight"))
    assert live_cutoff.uptake(result) == ""


def test_a_change_stands_beside_what_was_to_be_expected(begun):
    drive = begun(CHANGE)
    shown = drive.shown("estimate")
    assert "-1.846" in shown
    assert "expected with nothing done: regression to the mean" in shown
    places = [place.outputs[0]["data"]["text/html"] for place in _outputs(drive)]
    assert [path in said for (path, _), said in zip(live_change.ROUTES, places, strict=True)] == [True, True]
    drive.app.form.set(selected="no", threshold=None)
    assert "is not known" in drive.shown("estimate")


def _outputs(drive):
    panel = drive.app.step("estimate")._inside
    return [held for held in panel.children if type(held).__name__ == "Output"]


def test_of_a_change_the_part_beyond_the_trend_is_compared(data):
    varied = qe.vary(stated(CHANGE), data[CHANGE], expected_change=[-1.0])
    table = views._first_term(varied).table
    assert table["term"].tolist() == ["change", views.BEYOND_THE_TREND]
    assert table["estimate"].diff()[1] == pytest.approx(1.0)
    assert "<th>effect" not in views.variation(varied)


def test_every_altered_design_is_shown_whatever_its_interval_is_called(data):
    varied = qe.vary(stated(RULE), data[RULE], bandwidth=[12, 48], order=[0])
    table = views._first_term(varied).table
    assert table["label"].tolist() == ["as designed", "bandwidth = 12", "bandwidth = 48", "order = 0"]
    assert table["term"].nunique() == 2
    assert table["estimate"].notna().all()


@pytest.mark.parametrize("design", DESIGNS)
def test_every_usual_alteration_gives_an_estimate(design, data):
    made = stated(design)
    result = qe.estimate(made, data[design])
    found = alterations.suggestions(made, Offers(data[design]), result)
    assert any(item.usual for item in found)
    varied = qe.vary(made, data[design], **{item.field: item.values for item in found if item.usual}).table
    assert varied["note"].fillna("").eq("").all()


def test_bandwidths_are_tried_around_the_chosen_one(data):
    result = qe.estimate(stated(RULE), data[RULE])
    found = {item.field: item for item in alterations.suggestions(stated(RULE), Offers(data[RULE]), result)}
    assert found["bandwidth"].values == ((12.0,), (18.0,), (35.9,), (47.9,))
    assert found["donut"].values == (1.2, 2.39, 4.79)
    assert found["order"].values == (0, 2)
    two = stated(RULE, bandwidth=(10, 20))
    found = {item.field: item for item in alterations.suggestions(two, Offers(data[RULE]))}
    assert found["bandwidth"].values[0] == (5.0, 10.0)
    assert not {"bandwidth_rule", "inference"} & found.keys()
    honest = stated(RULE, bandwidth=(10,), inference="honest")
    found = {item.field: item for item in alterations.suggestions(honest, Offers(data[RULE]))}
    assert found["bandwidth"].values[0] == (5.0,)
    assert "order" not in found


def test_an_interval_that_is_shown_already_is_not_suggested(data):
    result = qe.estimate(stated(INSTRUMENT), data[INSTRUMENT])
    found = {
        item.field: item
        for item in alterations.suggestions(stated(INSTRUMENT), Offers(data[INSTRUMENT]), result)
    }
    assert found["interval"].values == ("Wald", "tF")
    several = stated(INSTRUMENT, instruments=("near", "extra_distance"))
    found = {item.field: item for item in alterations.suggestions(several, Offers(data[INSTRUMENT]))}
    assert found["instruments"].values == (("near",), ("extra_distance",))
    assert "tF" not in found["interval"].values


@pytest.mark.parametrize("design", DESIGNS)
def test_choices_are_replayed_and_the_code_does_the_same(design, begun, tmp_path):
    drive = begun(design)
    path = drive.app.study.save_choices(tmp_path / "choices.json")
    again = replay(path)
    pd.testing.assert_frame_equal(again.result.estimates, drive.app.result.estimates)
    held = {}
    exec(script(drive.app.study), held)
    pd.testing.assert_frame_equal(held["result"].estimates, drive.app.result.estimates)


@pytest.mark.parametrize("design", DESIGNS)
def test_without_a_screen_the_steps_give_the_same(design, quick_pictures, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qe, "design_checks", lambda design, data: qe.Checks((), title="Design checks"))
    app = App(qe.method_of(design).stem, f"example:{EXAMPLES[design]}", interactive=False)
    step = app.step("estimate")
    expected = qe.estimate(stated(design), data[design]).headline
    assert qe.markup.escape(expected) in step.plain()
