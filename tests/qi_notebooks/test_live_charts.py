"""An improvement chart as a light picture: what each point means, phases, events, and its words."""

import re

import numpy as np
import pytest

import qieval as qe
from qi_notebooks import live_charts as live
from qi_notebooks.presets import CHARTS

FORBIDDEN = re.compile(r"\b(effects?|impact|worked|treated|counterfactual)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def data():
    return qe.example("ward_falls")


def chart(data, **changes):
    return qe.estimate(qe.ControlChart(**{**CHARTS["ward_falls"], **changes}), data)


def words(drawn):
    return re.sub("<[^>]+>", " ", drawn)


def drawing_of(result):
    """The picture itself, without its legend."""
    return live.chart(result).split("<svg class='qi-fit'")[1]


def test_every_point_is_drawn_where_it_lies(data):
    result = chart(data)
    drawn = drawing_of(result)
    found = re.findall(r"<circle class='qi-point-common' cx='([\d.]+)' cy='([\d.]+)'", drawn)
    heights = np.array(found, dtype=float)[:, 1]
    values = result.series["observed"].to_numpy()
    assert len(found) == 36
    slope, level = np.polyfit(values, heights, 1)
    assert slope < 0
    assert np.allclose(slope * values + level, heights, atol=0.06)
    assert "No signal" in live.sentence(result)
    assert live.signals(result) == ""


def test_signals_have_a_shape_and_a_word_of_their_own(data):
    result = chart(data, baseline_until="2022-08")
    drawn = drawing_of(result)
    marked = int((result.series["signal"] != "").sum())
    assert marked
    assert drawn.count("<rect class='qi-point-better'") == marked
    assert "signal, better direction" in live.chart(result)
    worse = drawing_of(chart(data, baseline_until="2022-08", better="higher"))
    assert worse.count("<polygon class='qi-point-worse'") == marked
    neither = drawing_of(chart(data, baseline_until="2022-08", better="neither"))
    assert neither.count("<polygon class='qi-point-signal'") == marked
    assert words(live.signals(result)).count("better") == marked


def test_lines_begin_anew_where_that_was_declared(data):
    plain, moved = chart(data), chart(data, rebase={"2022-09": "non-slip socks"})
    assert drawing_of(plain).count("qi-line-centre") == 1
    assert drawing_of(moved).count("qi-line-centre") == 2
    assert words(live.lines(moved)).count("centre line") == 2
    assert "non-slip socks" in moved.notes[-1] + " ".join(moved.notes)


def test_a_run_chart_has_no_limits(data):
    design = qe.RunChart(outcome="falls", time="month", denominator="bed_days", per=1000.0)
    drawn = live.chart(qe.estimate(design, data))
    assert "qi-limit" not in drawn
    assert "limits of chance" not in drawn
    assert "qi-line-centre" in drawn


def test_target_events_and_points_left_out(data):
    result = chart(data, target="4", left_out={"2021-04": "counted twice"})
    drawn = live.chart(result)
    assert "target 4" in words(drawn)
    assert "qi-line-target" in drawn
    assert drawn.count("class='qi-flag'") == 2
    assert "1 2022-06: huddle every morning" in words(drawn)
    assert "2021-04 left out: counted twice" in words(drawn)
    assert drawing_of(result).count("qi-point-out") == 1


def test_events_outside_the_chart_are_told_but_not_drawn(data):
    early = live.chart(chart(data, events={"2019-05": "new matron", "2099-01": "a plan"}))
    assert "new matron" in early
    assert early.count("class='qi-flag'") == 1


def test_names_of_lines_keep_apart(data):
    drawn = drawing_of(chart(data, target="5.5"))
    placed = [float(y) for y in re.findall(r"<text x='538' y='([\d.]+)'", drawn)]
    assert len(placed) == 5
    assert min(np.diff(sorted(placed))) >= live.NEAREST - 0.11


def test_nothing_is_said_of_causes(data):
    result = chart(data, baseline_until="2022-08", target="4")
    said = words(live.chart(result) + live.sentence(result) + live.lines(result) + live.signals(result))
    assert FORBIDDEN.search(said) is None


def test_words_of_the_user_are_escaped(data):
    drawn = live.chart(chart(data, events={"2022-06": "<b>x</b>"}, measured_in="<i>falls</i>"))
    assert "<b>x" not in drawn
    assert "<i>falls" not in drawn
    assert "&lt;i&gt;falls" in drawn
