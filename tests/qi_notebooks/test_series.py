"""The guided study of one interrupted series: form, the step 'Choose', what is moved after the estimate."""

import dataclasses

import pytest

import qieval as qe
from qi_notebooks import alterations, layout
from qi_notebooks.app import App
from qi_notebooks.form import Form
from qi_notebooks.offers import HORIZONS, Offers
from qi_notebooks.presets import PRESETS
from qi_notebooks.study import replay

DESIGN = qe.InterruptedTimeSeries(**PRESETS["urgent_care_line"])
EXAMPLE = "example:urgent_care_line"


@pytest.fixture(scope="module")
def data():
    return qe.example("urgent_care_line")


def no_ledger(result, data):
    """The ledger without its checks, which take a minute; the templates run them."""
    return qe.Checks((), qe.method_of(result.design).assumptions, result.design.arguments)


@pytest.fixture
def drive(driver, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qe, "diagnose", no_ledger)
    monkeypatch.setattr(qe, "design_checks", lambda design, data: qe.Checks((), title="Design checks"))
    return driver(App("interrupted_time_series", EXAMPLE))


@pytest.fixture
def estimated(drive):
    for step, words in (
        ("design checks", "Run the design checks"),
        ("lock", "Lock this design"),
        ("estimate", "Estimate the effect"),
    ):
        drive.press(step, words)
    return drive


def picture(drive, step):
    """What a step draws, without its words."""
    return [part.value for name, part in drive.app.step(step).drawn.items() if name != "numbers"]


def test_each_field_is_asked_for_once():
    held = [name for section in layout.sections(type(DESIGN)).values() for name in section.names]
    assert sorted([*held, *layout.QUESTION]) == sorted(qe.fields_of(type(DESIGN)))
    assert all(len(section.shown) <= 6 for section in layout.sections(type(DESIGN)).values())


def test_the_form_gives_any_interrupted_series_back(data):
    wanted = dataclasses.replace(
        DESIGN,
        lag=2,
        phase_in=14,
        change="level and slope",
        trend="spline",
        trend_df=4,
        controls=("control_admissions",),
        control_denominators=("population",),
        left_out={"2020-03 to 2020-06": "the first wave"},
        further_starts=("2023-01",),
        horizons=(6, 12),
        first_period="2018-03",
    )
    form = Form(qe.InterruptedTimeSeries, data)
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted
    form.clear()
    assert form.values()["left_out"] == {}
    assert form.values()["further_starts"] == ()


def test_roles_are_proposed_from_names(data):
    frame = data.frame.rename(columns={DESIGN.denominator: "population"})
    form = Form(qe.InterruptedTimeSeries, frame)
    form.propose()
    assert form.values()["time"] == "month"
    assert form.values()["denominator"] == "population"
    assert "Proposed from the data" in form.controls["denominator"].message.value


def test_offers_depend_on_what_was_chosen(data):
    form = Form(qe.InterruptedTimeSeries, data, **PRESETS["urgent_care_line"])
    assert "control_admissions" in form.controls["controls"]._boxes
    assert DESIGN.outcome not in form.controls["controls"]._boxes
    assert DESIGN.denominator not in form.controls["controls"]._boxes
    assert tuple(form.controls["horizons"]._boxes) == HORIZONS
    assert next(iter(form.controls["further_starts"]._boxes)) == "2022-02"


def test_a_reason_has_to_be_given_for_what_is_left_out(data):
    form = Form(qe.InterruptedTimeSeries, data, **PRESETS["urgent_care_line"])
    form.controls["left_out"]._add("2020-04", "")
    with pytest.raises(qe.DesignError, match="no reason is given"):
        form.design()
    assert "no reason is given" in form.controls["left_out"].message.value


def test_the_start_goes_to_its_neighbours_and_no_further(data):
    form = Form(qe.InterruptedTimeSeries, data, **PRESETS["urgent_care_line"])
    control = form.controls["start"]
    earlier, later = control.widget.children[1].children
    later.click()
    assert form.held("start") == "2022-02"
    earlier.click()
    earlier.click()
    assert form.held("start") == "2021-12"
    control.set("2018-01")
    earlier.click()
    assert form.held("start") == "2018-01"
    control.set("2023-12")
    later.click()
    assert form.held("start") == "2023-12"


def test_before_the_estimate_only_the_time_before_is_seen(drive):
    drive.press("design checks", "Run the design checks")
    shown = drive.shown("choose")
    assert "Values from the start on stay closed" in shown
    assert "Observed and expected" not in shown
    assert drive.app.result is None
    assert drive.app.study.glimpse is None
    before = picture(drive, "choose")
    drive.app.form.controls["seasonality"].inner.value = "none"
    assert picture(drive, "choose") != before
    assert drive.app.study.glimpse is None
    assert drive.app.step("estimate")._moved.layout.display == "none"


def test_what_cannot_be_fitted_is_told_in_place_and_the_last_picture_stays(drive):
    drive.press("design checks", "Run the design checks")
    before = picture(drive, "choose")
    drive.app.form.controls["start"].inner.value = "2018-02"
    assert "before 2018-02" in drive.shown("choose")
    assert "Below is what was tried before" in drive.shown("choose")
    assert picture(drive, "choose") == before
    drive.app.form.controls["start"].inner.value = "2022-01"
    assert "Below is what was tried before" not in drive.shown("choose")


def test_moving_the_start_and_the_phase_in_moves_the_counterfactual(estimated):
    result = estimated.app.result
    assert result.headline in estimated.shown("estimate")
    assert "The design is locked" in estimated.shown("estimate")
    before = picture(estimated, "estimate")
    estimated.app.form.controls["start"].inner.value = "2022-03"
    moved = qe.estimate(dataclasses.replace(DESIGN, start="2022-03"), estimated.app.study.data)
    assert moved.headline in estimated.shown("estimate")
    assert "Exploratory: changed since the protocol was locked: Start was" in estimated.shown("estimate")
    second = picture(estimated, "estimate")
    assert second != before
    estimated.app.form.controls["phase_in"].inner.value = 3
    assert picture(estimated, "estimate") != second
    assert "Phase in was 0, now 3" in estimated.shown("estimate")
    assert estimated.app.result.changes


def test_large_pictures_are_drawn_when_they_are_asked_for(estimated):
    assert "<img" in estimated.shown("estimate")
    estimated.app.form.controls["lag"].inner.value = 1
    assert "<img" not in estimated.shown("estimate")
    assert "for the large pictures" in estimated.shown("estimate")
    estimated.press("estimate", "Estimate the effect")
    assert "<img" in estimated.shown("estimate")


def test_a_start_that_cannot_be_estimated_leaves_the_last_picture(estimated):
    before = picture(estimated, "estimate")
    estimated.app.form.controls["start"].inner.value = "2018-02"
    assert "Below is what was estimated before" in estimated.shown("estimate")
    assert picture(estimated, "estimate") == before
    assert estimated.app.result is None


def test_moving_does_not_repeat_the_design_checks_but_the_report_has_them(estimated, monkeypatch):
    made = []
    check = qe.design_checks
    monkeypatch.setattr(qe, "design_checks", lambda *given: made.append(1) or check(*given))
    estimated.app.form.controls["lag"].inner.value = 1
    estimated.app.form.controls["lag"].inner.value = 2
    assert estimated.app.result is not None
    assert made == []
    estimated.press("assumptions", "Examine the assumptions")
    estimated.press("report", "Write report")
    assert made == [1]


def test_an_unlocked_study_is_exploratory(drive):
    drive.press("design checks", "Run the design checks")
    drive.press("lock", "Continue without locking")
    drive.press("estimate", "Estimate the effect")
    assert "Exploratory: no protocol was locked" in drive.shown("estimate")


def test_alterations_fit_the_design(data):
    found = {item.field: item for item in alterations.suggestions(DESIGN, Offers(data))}
    assert found["start"].values == ("2021-11", "2021-12", "2022-02", "2022-03")
    assert found["phase_in"].values == (1, 3, 6)
    assert "harmonics" in found
    assert "controls" not in found
    assert "family" not in found
    assert all(found[name].usual for name in alterations.SERIES_ASKED)
    plain = dataclasses.replace(
        DESIGN, seasonality="none", controls=("control_admissions",), family="poisson", change="pulse"
    )
    others = {item.field: item for item in alterations.suggestions(plain, Offers(data))}
    assert "harmonics" not in others
    assert "change" not in others
    assert others["controls"].values == ((),)
    assert set(others["family"].values) <= {"quasi-poisson", "negative binomial"}


def test_every_alteration_gives_an_estimate(data):
    found = alterations.suggestions(DESIGN, Offers(data))
    varied = qe.vary(DESIGN, data, **{item.field: item.values for item in found}).table
    assert varied["note"].fillna("").eq("").all()


def test_the_sensitivity_shows_the_first_effect_of_each_design(estimated):
    estimated.press("assumptions", "Examine the assumptions")
    estimated.press("sensitivity", "Estimate under altered designs")
    shown = estimated.shown("sensitivity")
    assert shown.count("start = 2022-02") == 1
    assert "rate difference" not in shown


def test_choices_are_replayed(estimated, tmp_path):
    path = estimated.app.study.save_choices(tmp_path / "choices.json")
    again = replay(path)
    assert again.result.headline == estimated.app.result.headline


def test_the_code_does_the_same(estimated):
    from qi_notebooks.script import script

    held = {}
    exec(script(estimated.app.study), held)
    assert held["result"].headline == estimated.app.result.headline
    assert held["trial"].before == 48


def test_what_is_changed_while_something_is_done_is_shown_afterwards(estimated):
    app = estimated.app

    def meanwhile():
        app.form.controls["phase_in"].inner.value = 3

    app.attempt(app.step("report"), meanwhile)
    moved = qe.estimate(dataclasses.replace(DESIGN, phase_in=3), app.study.data)
    assert moved.headline in estimated.shown("estimate")
    assert app.result.headline == moved.headline
    assert "Phase in was 0, now 3" in estimated.shown("estimate")
