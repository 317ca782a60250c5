"""The guided improvement chart: a track of its own, its kinds, signals, further views, and its words."""

import re

import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import layout, look
from qi_notebooks.app import App
from qi_notebooks.chart_form import ChartForm, chart_of, design_of
from qi_notebooks.field_controls import KINDS, RUN
from qi_notebooks.presets import CHARTS
from qi_notebooks.steps.chart_views import by_name, side_by_side
from qi_notebooks.study import replay

FORBIDDEN = re.compile(r"\b(effects?|impact|counterfactual)\b", re.IGNORECASE)
PRESET = CHARTS["ward_falls"]


@pytest.fixture(scope="module")
def data():
    return qe.example("ward_falls")


@pytest.fixture
def drive(driver, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return driver(App("control_chart", "example:ward_falls"))


def words(shown):
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", shown, flags=re.DOTALL)


def test_each_field_is_asked_for_once():
    held = [name for section in layout.sections(qe.ControlChart).values() for name in section.names]
    assert sorted([*held, "question", "arguments"]) == sorted(qe.fields_of(qe.ControlChart))


def test_every_kind_has_its_words():
    assert set(KINDS) == {*qe.fields_of(qe.ControlChart)["kind"].choices, RUN}


def test_steps_are_those_of_a_chart(drive):
    assert list(drive.states()) == [
        "measure",
        "data",
        "chart",
        "signals",
        "checks",
        "more views",
        "report",
        "code",
    ]
    for step in drive.app.steps:
        assert look.BAND in drive.shown(step.name)
        assert "qi-improvement" in step.panel._dom_classes


def test_an_evaluation_has_no_band(app):
    assert "qi-improvement" not in app.step("data").panel._dom_classes


def test_nothing_in_the_panels_speaks_of_effects(drive):
    drive.press("signals", "Read the signals")
    drive.press("checks", "Check the chart")
    for step in drive.app.steps:
        if step.name != "Checks":
            found = FORBIDDEN.search(words(drive.shown(step.name)))
            assert found is None, (step.name, found)


def test_the_chart_is_drawn_at_once_and_follows_its_settings(drive, data):
    step = drive.app.step("chart")
    assert qe.estimate(qe.ControlChart(**PRESET), data).headline in drive.shown("chart")
    before = step._picture.value
    drive.app.form.controls["baseline_until"].inner.value = "2022-08"
    frozen = qe.estimate(qe.ControlChart(**PRESET, baseline_until="2022-08"), data)
    assert qe.markup.escape(frozen.headline) in drive.shown("chart")
    assert step._picture.value != before
    before = step._picture.value
    drive.app.form.controls["kind"].inner.value = RUN
    assert step._picture.value != before
    assert isinstance(drive.app.design, qe.RunChart)


def test_a_chart_that_cannot_be_drawn_is_told_in_place(drive):
    step = drive.app.step("chart")
    drive.app.form.controls["kind"].inner.value = "p"
    before = step._picture.value
    drive.app.form.controls["denominator"].set(None)
    assert "denominator" in drive.app.form.controls["denominator"].message.value
    assert step._picture.value == before


def test_rules_follow_the_kind(data):
    form = ChartForm(qe.ControlChart, data, **PRESET)
    form.controls["rules"].set("Western Electric")
    form.controls["kind"].inner.value = RUN
    assert form.controls["rules"].inner.options == ("Anhoej", "Perla")
    assert form.design().rules == "Anhoej"
    form.controls["rules"].set("Perla")
    form.controls["kind"].inner.value = "u"
    assert "Perla" not in form.controls["rules"].inner.options
    assert isinstance(form.design(), qe.ControlChart)
    assert form.holds(form.design())


def test_a_run_chart_stays_one_when_data_are_chosen(driver, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = App("run_chart", "example:ward_falls")
    assert isinstance(app.design, qe.RunChart)
    app.take_data("example:ward_falls")
    assert isinstance(app.design, qe.RunChart)


def test_designs_are_made_from_fields():
    held = {"outcome": "y", "time": "t"}
    assert chart_of({**held, "kind": RUN, "limits_as": "3 sigma"}) == qe.RunChart(**held)
    assert design_of(qe.RunChart, {**held, "kind": "u"}) == qe.RunChart(**held)
    assert design_of(qe.ControlChart, {**held, "kind": "c"}) == qe.ControlChart(**held, kind="c")


def test_signals_are_read_without_any_lock(drive):
    assert drive.states()["checks"] == "waiting"
    drive.app.form.controls["baseline_until"].inner.value = "2022-08"
    drive.press("signals", "Read the signals")
    shown = words(drive.shown("signals"))
    assert "Something changed" in shown
    assert "not why" in shown
    assert "evaluate" in shown
    assert "protocol" not in shown.lower()
    assert drive.states()["checks"] == "open"


def test_changes_are_read_again_after_a_pause(drive):
    drive.press("signals", "Read the signals")
    first = drive.app.result
    drive.app.form.controls["baseline_until"].inner.value = "2022-08"
    assert drive.app.result is not first
    assert drive.app.result.design.baseline_until == "2022-08"


def test_the_report_follows_the_checks(drive, tmp_path):
    drive.press("signals", "Read the signals")
    drive.press("checks", "Check the chart")
    drive.press("report", "Write report")
    text = (tmp_path / "control_chart_report.html").read_text(encoding="utf-8")
    assert PRESET["question"] in text


def test_without_a_screen_a_run_chart_is_a_kind(data):
    app = App("control_chart", data, interactive=False, outcome="falls", time="month", kind=RUN)
    assert "Run chart" in app.step("signals").plain()
    assert isinstance(app.design, qe.RunChart)
    assert look.BAND in app.step("chart")._repr_mimebundle_()["text/html"]


def test_choices_are_replayed_as_the_chart_that_they_were(drive, tmp_path):
    drive.app.form.controls["kind"].inner.value = RUN
    drive.press("signals", "Read the signals")
    again = replay(drive.app.study.save_choices(tmp_path / "choices.json"))
    assert isinstance(again.design, qe.RunChart)
    assert again.result.headline == drive.app.result.headline


def test_the_code_does_the_same(drive):
    from qi_notebooks.script import script

    drive.press("signals", "Read the signals")
    held = {}
    exec(script(drive.app.study), held)
    assert held["result"].headline == drive.app.result.headline


def test_a_family_of_columns(drive):
    step = drive.app.step("more views")
    drive.press("more views", "Draw the family")
    assert "nothing is chosen" in step._said
    step._further.value = ("bed_days",)
    drive.press("more views", "Draw the family")
    assert "bed days" in step.shown["family"].value
    assert step._said == ""


def test_a_family_with_rows_of_its_own_for_each_measure():
    frame = qe.example("improvement_measures").frame
    design = qe.ControlChart(outcome="meeting", time="month", denominator="cases", target="0.9")
    designs, rows = by_name(design, frame, "measure")
    assert {held.measure for held in designs.values()} == {"outcome", "process", "balancing"}
    assert all(held.target == "" for held in designs.values())
    assert sum(len(held) for held in rows.values()) == len(frame)
    made = qe.charts.family(designs, rows)
    assert list(made.table["points"]) == ["36", "36", "36"]
    runs, _ = by_name(qe.RunChart(outcome="meeting", time="month"), frame, "measure")
    assert all(isinstance(held, qe.RunChart) for held in runs.values())
    with pytest.raises(qe.DesignError, match="nobody could follow"):
        by_name(design, frame, "month")


def test_further_columns_share_the_time_alone():
    design = qe.ControlChart(outcome="falls", time="month", denominator="bed_days", per=1000.0)
    own, other = side_by_side(design, ("bed_days",))
    assert own is design
    assert other == qe.ControlChart(outcome="bed_days", time="month")


def test_a_funnel_and_a_safety_cross(driver, quick_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
    frame = pd.DataFrame(
        {
            "day": list(days) * 6,
            "ward": [ward for ward in "ABCDEF" for _ in range(60)],
            "falls": [at % 7 == 0 for at in range(360)],
            "beds": 20,
        }
    ).astype({"falls": int})
    drive = driver(App("control_chart", frame, outcome="falls", time="day", denominator="beds", per=1000.0))
    step = drive.app.step("more views")
    drive.press("more views", "Draw the funnel")
    assert "a funnel needs the column of the organisation" in step._said
    step._unit.value = "ward"
    drive.press("more views", "Draw the funnel")
    assert "6 organisations" in step.shown["funnel"].value
    step._events.value = "falls"
    step._what.value = "Falls"
    drive.press("more views", "Draw the safety cross")
    assert step._said == ""
    assert "Falls:" in step.shown["cross"].value
