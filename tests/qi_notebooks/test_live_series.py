"""One series as light pictures: lines lie where the values do, and nothing later is drawn too early."""

import dataclasses
import re

import numpy as np
import pytest

import qieval as qe
from qi_notebooks import drawing
from qi_notebooks import live_series as live
from qi_notebooks.presets import PRESETS

DESIGN = qe.InterruptedTimeSeries(**PRESETS["urgent_care_line"])


@pytest.fixture(scope="module")
def data():
    return qe.example("urgent_care_line")


@pytest.fixture(scope="module")
def bench(data):
    return qe.tuning(DESIGN, data)


def words(drawn):
    return re.sub("<[^>]+>", "", drawn)


def points(drawn, style):
    found = re.findall(rf"<polyline class='{style}' points='([^']*)'", drawn)
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in found]


def dots(drawn, style):
    found = re.findall(rf"<circle class='{style}' cx='([\d.]+)' cy='([\d.]+)'", drawn.split("<svg")[-1])
    return np.array(found, dtype=float)


def lie_on(heights, values):
    """Whether heights in a picture are a falling straight line of values."""
    slope, level = np.polyfit(values, heights, 1)
    return slope < 0 and np.allclose(slope * values + level, heights, atol=0.06)


def test_before_the_start_nothing_later_is_drawn(bench):
    trial = bench.try_()
    drawn = live.course(trial)
    before = trial.paths[trial.paths["at"] < 0]
    seen = dots(drawn, live.OBSERVED)
    assert len(seen) == len(before) == 48
    assert lie_on(seen[:, 1], before["observed"].to_numpy())
    [line] = points(drawn, live.FITTED)
    assert lie_on(np.array([y for _, y in line]), before["fitted"].to_numpy())
    start = float(re.search(r"x1='([\d.]+)' x2='\1' y1='[\d.]+' y2='[\d.]+' class='qi-start'", drawn)[1])
    assert seen[:, 0].max() < start
    assert "2022-01" in drawn


def test_later_values_change_no_picture_of_a_trial(data, bench):
    frame = data.frame.copy()
    frame.loc[frame["month"] >= "2022-01", [DESIGN.outcome]] = 9_999
    trial = qe.tuning(DESIGN, frame).try_()
    for draw in (live.numbers, live.course, live.residuals, live.autocorrelation, live.remarks):
        assert draw(trial) == draw(bench.try_())


def test_numbers_tell_what_is_left(bench):
    good = bench.try_(trend="linear", seasonality="one per season")
    shown = words(live.numbers(good))
    assert "48 months before the start, 24 after" in shown
    assert ("✓ nothing more is left" in shown) is good.met
    poor = bench.try_(seasonality="none", inference="independent errors")
    assert "✗ something is left" in live.numbers(poor)
    assert f"Ljung-Box p {poor.p_value:.2g}" in words(live.numbers(poor))
    hopeless = dataclasses.replace(poor, p_value=1e-9)
    assert "Ljung-Box p below 0.001" in words(live.numbers(hopeless))


def test_bars_of_autocorrelation_stand_on_zero(bench):
    trial = bench.try_(seasonality="none")
    drawn = live.autocorrelation(trial)
    bars = re.findall(
        r"<rect class='qi-bar-treated' x='[-\d.]+' y='([\d.]+)' width='[\d.]+' height='([\d.]+)'", drawn
    )
    values = trial.autocorrelation["value"].to_numpy()
    heights = np.array([float(high) for _, high in bars])
    assert len(bars) == len(values)
    assert np.allclose(heights, np.abs(values) * heights.max() / np.abs(values).max(), atol=0.16)
    assert drawn.count("qi-limit") == 2


def test_too_few_values_are_said(data):
    frame = data.frame[data.frame["month"] >= "2021-07"]
    short = qe.tuning(DESIGN, frame).try_(seasonality="none", trend="none")
    assert "too few values" in live.autocorrelation(short)


def test_a_result_shows_what_was_expected_from_the_start_on(data):
    result = qe.estimate(DESIGN, data)
    drawn = live.changed(result)
    late = result.series[result.series["time"] >= "2022-01"]
    [expected] = points(drawn, live.EXPECTED)
    assert lie_on(np.array([y for _, y in expected]), late["counterfactual"].to_numpy())
    assert "<polygon class='qi-ribbon'" in drawn
    assert "qi-unfitted" not in drawn
    assert drawn.count("class='qi-event'") == 1
    assert qe.markup.escape(result.headline) in drawn
    over_time = live.effect(result)
    rows = result.estimates[result.estimates["term"] == "effect in period"]
    [line] = points(over_time, live.FITTED)
    assert lie_on(np.array([y for _, y in line]), rows["estimate"].to_numpy())


def test_periods_of_phasing_in_are_shaded_and_hollow(data):
    design = qe.InterruptedTimeSeries(**{**PRESETS["urgent_care_line"], "phase_in": 4})
    drawn = live.changed(qe.estimate(design, data))
    assert drawn.count("qi-unfitted") == 1
    assert len(dots(drawn, live.HOLLOW)) == 4
    assert "left out" in drawn
    [line] = points(live.effect(qe.estimate(design, data)), live.FITTED)
    assert len(line) == 20


def test_lines_break_where_values_are_missing():
    frame = drawing.Frame(list("abcde"), np.array([1.0, np.nan, 3.0, 4.0, np.nan]), 100)
    held = np.array([1.0, np.nan, 3.0, 4.0, np.nan])
    assert len(points(frame.line(held, "x"), "x")) == 2
    assert frame.points(held, "x").count("<circle") == 3
    assert frame.ribbon(np.full(5, np.nan), held, "x") == ""
    assert frame.shade(3, 3) == ""
    level = frame.stepped(np.array([2.0, 2, 2, 2, 2]), "x")
    assert {y for _, y in points(level, "x")[0]} == {frame.y(2)}


def test_numbers_on_the_axis_stay_short():
    frame = drawing.Frame(["a", "b"], np.array([0.0, 5e12]), 100)
    assert "2e+12" in frame.picture("", "large")
