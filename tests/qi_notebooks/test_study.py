"""A study without widgets: saved choices, the code that is shown, suggestions, runs without a screen."""

import json

import pandas as pd
import pytest

import qi_notebooks
import qieval as qe
from qi_notebooks.alterations import suggestions
from qi_notebooks.app import App
from qi_notebooks.offers import Offers
from qi_notebooks.study import Study


def test_suggestions_follow_the_declarations(panel, choices):
    design = qe.DifferenceInDifferences(
        unit="unit", time="time", treated="treated", covariates=("other",), **choices
    )
    found = {item.field: item for item in suggestions(design, Offers(panel))}
    assert found["start"].values == (2, 3, 5, 6)
    assert found["covariates"].values == ((),)
    assert found["anticipation"].values == (1, 2)
    assert not found["inference"].usual
    assert "analytic" not in found["inference"].values
    assert {"outcome", "treated", "seed", "missing", "baseline_covariates"}.isdisjoint(found)


def test_the_code_gives_the_same_numbers(drive, app, panel):
    drive.through("sensitivity")
    source = app.step("code").script()
    held = {"data": panel}
    exec(compile(source, "shown", "exec"), held)
    assert held["result"].headline == app.result.headline
    pd.testing.assert_frame_equal(held["variation"].table, app.variation.table)
    assert held["checks"].ledger.equals(app.checks.ledger)
    assert held["protocol"].sha256 == app.study.protocol.sha256
    assert "qe.read" not in source


def test_saved_choices_replay_to_the_same_numbers(drive, app, panel, tmp_path):
    drive.through("sensitivity")
    app.form.controls["start"].inner.value = 5
    drive.press("assumptions", "Examine the assumptions")
    drive.press("sensitivity", "Estimate under altered designs")
    drive.press("code", "Save my choices")
    path = tmp_path / "difference_in_differences_choices.json"
    for again in (App.replay(path, panel), qi_notebooks.replay(path, panel)):
        pd.testing.assert_frame_equal(again.result.estimates, app.result.estimates)
        assert again.result.standing == app.result.standing
        assert again.checks.ledger.equals(app.checks.ledger)
        pd.testing.assert_frame_equal(again.variation.table, app.variation.table)
        assert again.report is None
    assert str(panel["y"].iloc[0]) not in path.read_text()


def test_choices_on_a_table_need_the_table(app, tmp_path):
    path = app.study.save_choices(tmp_path / "choices.json")
    with pytest.raises(qe.DataError, match="Give it: replay"):
        qi_notebooks.replay(path)


def test_choices_of_an_example_name_it(tmp_path):
    study = Study("difference_in_differences")
    study.load("example:organ_donations")
    study.revise(qe.DifferenceInDifferences(**study.proposed({})))
    again = qi_notebooks.replay(study.save_choices(tmp_path / "choices.json"))
    assert again.source == "example:organ_donations"
    assert again.design == study.design
    assert again.result is None


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"qieval_choices": 99}'])
def test_a_file_that_holds_no_choices_is_refused(tmp_path, content):
    path = tmp_path / "choices.json"
    path.write_text(content)
    with pytest.raises(qe.DataError, match="not a file of choices"):
        qi_notebooks.replay(path)
    with pytest.raises(qe.DataError, match="there is no file"):
        qi_notebooks.replay(tmp_path / "nowhere.json")


def test_choices_are_small_and_hold_no_data(drive, app, panel):
    drive.through("estimate")
    stored = json.dumps(app.study.choices())
    assert len(stored) < 5000
    assert not any(str(value) in stored for value in panel["y"])


@pytest.mark.usefixtures("quick_pictures")
def test_without_a_screen_each_step_does_its_default(panel, tmp_path, monkeypatch, choices):
    monkeypatch.chdir(tmp_path)
    app = App("difference_in_differences", panel, interactive=False, **choices)
    for step in app.steps:
        shown = app.step(step.name)._repr_mimebundle_()
        assert step.name in shown["text/html"]
        assert "widget" not in " ".join(shown)
    assert isinstance(app.report, qe.Report)
    assert app.variation is not None
    assert len(list(tmp_path.glob("protocol-*.json"))) == 1


def test_without_a_screen_a_late_step_brings_the_earlier_ones_along(panel, tmp_path, monkeypatch, choices):
    monkeypatch.chdir(tmp_path)
    app = App("difference_in_differences", panel, interactive=False, **choices)
    app.step("estimate")
    result = app.result
    app.step("estimate")
    assert app.result is result, "what is done is not done again"
    assert app.checks is None


def test_without_a_screen_errors_are_raised(panel):
    with pytest.raises(qe.DesignError, match="start: nothing is given"):
        App("difference_in_differences", panel, interactive=False, outcome="y")
    with pytest.raises(qe.DataError, match="no data were given"):
        App("difference_in_differences", interactive=False)
