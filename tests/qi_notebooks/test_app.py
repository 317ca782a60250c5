"""The guided study without a browser: buttons are clicked from Python, and what the panels show is read."""

import pandas as pd
import pytest

import qieval as qe
from qi_notebooks.app import App


def test_steps_open_one_after_the_other_and_end_in_a_report(drive, app, tmp_path):
    report = tmp_path / "difference_in_differences_report.html"
    report.write_text("an older one")
    assert drive.states() == {
        "question": "open",
        "data": "done",
        "design checks": "open",
        "lock": "waiting",
        "estimate": "waiting",
        "assumptions": "waiting",
        "sensitivity": "waiting",
        "report": "waiting",
        "code": "open",
    }
    assert "run the design checks first" in drive.shown("lock")
    for at, (step, words) in enumerate(drive.buttons):
        assert app.step(step).state == "open", step
        drive.press(step, words)
        assert app.step(step).state == "done", step
        later = [name for name, _ in drive.buttons[at + 2 :] if name != "report"]
        assert all(app.step(name).state == "waiting" for name in later), step
    assert report.read_text(encoding="utf-8") == app.report.html
    (link,) = app.step("report")._link.outputs
    assert f"href='{report.name}'" in link["data"]["text/html"]


def test_the_estimate_is_that_of_the_grammar_and_says_so(drive, app, panel, choices):
    drive.through("estimate")
    design = qe.DifferenceInDifferences(unit="unit", time="time", treated="treated", **choices)
    assert app.design == design
    expected = qe.estimate(design, panel)
    pd.testing.assert_frame_equal(app.result.estimates, expected.estimates)
    assert expected.headline in drive.shown("estimate")
    assert "as locked" in drive.shown("estimate")
    assert drive.shown("estimate").count("<img alt=") == len(qe.plots_of(expected))


def test_the_protocol_lies_beside_the_notebook_and_keeps_its_time(drive, app, tmp_path):
    drive.through("lock")
    (path,) = tmp_path.glob("protocol-*.json")
    locked = qe.Protocol.load(path)
    assert locked.sha256 == app.study.protocol.sha256
    assert locked.sha256 in drive.shown("lock")
    app.study.lock(tmp_path)
    assert app.study.protocol.locked == locked.locked
    assert len(list(tmp_path.glob("protocol-*.json"))) == 1


def test_going_on_without_a_protocol_is_said_in_the_result(drive, app, tmp_path):
    drive.press("design checks", "Run the design checks")
    drive.press("lock", "Continue without locking")
    drive.press("estimate", "Estimate the effect")
    assert "no protocol was locked before this estimate" in drive.shown("estimate")
    assert list(tmp_path.glob("protocol-*.json")) == []


def test_a_change_after_the_estimate_estimates_again_and_is_called_exploratory(drive, app):
    drive.through("assumptions")
    before = app.result.headline
    app.form.controls["start"].inner.value = 5
    assert app.result.headline != before
    assert app.result.headline in drive.shown("estimate")
    assert "exploratory: changed since the protocol was locked" in drive.shown("estimate")
    assert "start was 4, now 5" in drive.shown("estimate")
    assert app.checks is None
    assert drive.states()["assumptions"] == "open"
    assert drive.states()["report"] == "waiting"


def test_a_change_before_the_lock_asks_for_new_design_checks(drive, app):
    drive.through("design checks")
    app.form.controls["start"].inner.value = 5
    assert app.study.before is None
    assert "The design has changed" in drive.shown("design checks")
    assert drive.states()["lock"] == "waiting"
    assert app.result is None


def test_an_argument_enters_the_ledger_without_a_new_estimate(drive, app):
    drive.through("assumptions")
    result, evidence = app.result, app.step("assumptions")._evidence.value
    app.form.controls["arguments"]._areas["no spillover"].value = "No patient is shared."
    assert "No patient is shared." in drive.shown("assumptions")
    assert app.result.estimates.equals(result.estimates)
    assert app.step("assumptions")._evidence.value == evidence
    assert "arguments" in [name for name, _, _ in app.result.changes]
    assert dict(app.checks.arguments) == {"no spillover": "No patient is shared."}


def test_an_incomplete_form_closes_the_later_steps_and_a_complete_one_opens_them(drive, app):
    drive.through("estimate")
    app.form.controls["outcome"].inner.value = None
    assert app.result is None
    assert drive.states()["estimate"] == "waiting"
    assert "nothing is given" in app.form.controls["outcome"].message.value
    app.form.controls["outcome"].inner.value = "y"
    assert app.result is not None
    assert drive.states()["estimate"] == "done"
    assert "as locked" in app.result.standing


def test_a_problem_of_the_data_is_told_in_the_step_and_beside_the_field(drive, app):
    drive.through("estimate")
    app.form.controls["start"].inner.value = 0
    assert "role='alert'" in drive.shown("estimate")
    assert "start" in app.step("estimate")._message.value
    assert "role='alert'" in app.form.controls["start"].message.value
    assert "Traceback" not in drive.shown("estimate")
    app.form.controls["start"].inner.value = 4
    assert app.step("estimate")._message.value == ""
    assert app.form.controls["start"].message.value == ""
    assert app.result is not None


def test_anything_unexpected_is_a_box_with_details_and_without_values(drive, app, monkeypatch):
    def broken(*_args, **_named):
        raise KeyError("CANARY-8841")

    monkeypatch.setattr(qe, "design_checks", broken)
    drive.press("design checks", "Run the design checks")
    assert "Something unexpected went wrong" in drive.shown("design checks")
    assert "KeyError" in drive.shown("design checks")
    assert "test_app.py" in drive.shown("design checks")
    assert "CANARY" not in drive.shown("design checks")
    assert not app.busy


def test_an_interruption_is_no_error(drive, app, monkeypatch):
    def stopped(*_args, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(qe, "design_checks", stopped)
    drive.press("design checks", "Run the design checks")
    assert "Stopped." in drive.shown("design checks")
    assert not app.busy


def test_other_data_begin_the_study_anew(drive, app, panel, tmp_path):
    drive.through("estimate")
    panel.rename(columns={"y": "rate"}).to_csv(tmp_path / "mine.csv", index=False)
    drive.press("data", "Look for files again")
    source = app.step("data")._source
    assert ("File: mine.csv", "mine.csv") in source.options
    source.value = "mine.csv"
    assert app.study.source == "mine.csv"
    assert app.study.protocol is None
    assert app.result is None
    assert app.form.values()["unit"] == "unit"
    assert app.form.values()["start"] is None
    assert "320 rows and 5 columns, from mine.csv" in drive.shown("data")


def test_a_missing_file_is_told(drive, app):
    app.step("data")._path.value = "nowhere.csv"
    assert "nowhere.csv" in app.step("data")._message.value
    assert "role='alert'" in app.step("data")._message.value


def test_the_app_begins_with_a_message_when_its_file_is_missing(driver, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drive = driver(App("difference_in_differences", "nowhere.csv"))
    assert "there is no file" in drive.shown("data")
    assert drive.states()["data"] == "open"


def test_examples_need_no_choice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = qe.data.examples()
    listed = listed[~listed["fetched"]]
    suited = listed.loc[["difference-in-differences" in suits for suits in listed["suits"]], "name"]
    assert len(suited) >= 2
    for name in suited:
        app = App("difference_in_differences", f"example:{name}")
        assert app.design is not None, name
        assert app.design.question


def test_sensitivity_varies_what_is_ticked(drive, app):
    drive.through("assumptions")
    step = app.step("sensitivity")
    _ = step.panel
    for item, box in step._boxes:
        box.value = item.field == "start"
    drive.press("sensitivity", "Estimate under altered designs")
    assert list(app.study.altered) == ["start"]
    assert app.variation.table["label"].tolist() == ["as designed", *(f"start = {at}" for at in (2, 3, 5, 6))]
    for _, box in step._boxes:
        box.value = False
    drive.press("sensitivity", "Estimate under altered designs")
    assert "nothing is ticked" in drive.shown("sensitivity")


def test_an_unknown_step_is_named(app):
    with pytest.raises(qe.QievalError, match="there is no step 'lok'"):
        app.step("lok")


def test_the_app_shows_all_steps(app):
    shown = app._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown


@pytest.mark.parametrize(("units_are", "drawn"), [("people", 0), ("organisations", 2)])
@pytest.mark.usefixtures("quick_pictures")
def test_means_of_few_people_are_not_drawn(driver, tmp_path, monkeypatch, choices, units_are, drawn):
    monkeypatch.chdir(tmp_path)
    few = qe.simulate_panel(30, 8, 6, seed=3)
    drive = driver(App("difference_in_differences", few, **{**choices, "units_are": units_are}))
    drive.through("estimate")
    assert drive.shown("estimate").count("<img") == drawn
    assert ("fewer than 10 people" in drive.shown("estimate")) is (units_are == "people")
    assert ("fewer than 10 people" in drive.shown("design checks")) is (units_are == "people")
