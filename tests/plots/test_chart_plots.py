"""Pictures of improvement charts show the numbers of the result, and look unlike evaluations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qieval.charts import family, funnel, safety_cross
from qieval.methods.control_charts import ControlChart, RunChart, estimate
from qieval.plots import chart_frames, chart_others, charts, theme
from qieval.plots import chart_look as look

RNG = np.random.default_rng(6)
MONTHS = pd.period_range("2022-01", periods=24, freq="M").astype(str)
DATA = pd.DataFrame(
    {
        "month": MONTHS,
        "n": RNG.integers(900, 1000, 24),
        "y": np.r_[RNG.poisson(12, 12), RNG.poisson(3, 12)],
        "stay": np.r_[[6.0, 5.5, 6.5, 6.2] * 6],
    }
)
RATE = ControlChart(
    outcome="y",
    time="month",
    denominator="n",
    per=1000,
    kind="u",
    better="lower",
    baseline_until="2022-12",
    left_out={"2022-03": "a flood"},
    events={"2023-01": "a checklist", "2022-07": "a new board"},
    target=5,
)


@pytest.fixture(scope="module")
def result():
    return estimate(RATE, DATA)


def shown(picture, column):
    return next(layer._data for layer in picture.layers if column in getattr(layer._data, "columns", ()))


def test_points_and_lines_are_those_of_the_result(result):
    points = shown(charts.chart(result), "meaning")
    np.testing.assert_allclose(points["value"], result.series["observed"])
    lines = chart_frames.lines_frame(result.kernel)
    for name, column in (("centre", "counterfactual"), ("lower", "conf_low"), ("upper", "conf_high")):
        heights = lines.loc[lines["line"] == name, "height"].to_numpy()
        np.testing.assert_allclose(heights[::2], result.series[column])
        np.testing.assert_allclose(heights[1::2], result.series[column])


def test_signals_have_shape_and_colour_and_left_out_points_are_hollow(result):
    points = shown(charts.chart(result), "meaning")
    assert points["meaning"].iloc[2] == look.OUT
    better = (points["meaning"] == look.BETTER).to_numpy()
    np.testing.assert_array_equal(better, result.kernel.way == 1)
    assert better[12:].any()
    assert len(set(look.COLOURS.values())) == len(look.COLOURS)
    told = [name for name in look.SHAPES if name != look.OUT]
    assert len({look.SHAPES[name] for name in told}) == len(told)
    assert look.FILLS[look.OUT] == look.PANEL


def test_events_have_numbers_in_order_of_time_and_a_legend_below(result):
    picture = charts.chart(result)
    marks = shown(picture, "sign")
    assert marks["sign"].tolist() == ["1", "2"] and marks["when"].tolist() == ["2022-07", "2023-01"]
    assert marks["x"].is_monotonic_increasing
    caption = picture.labels.caption
    assert "1  2022-07: a new board" in caption and "Left out 2022-03: a flood" in caption
    assert "fixed by the points up to 2022-12" in caption


def test_phases_have_letters():
    result = estimate(ControlChart(outcome="stay", time="month", rebase={"2023-01": "a new ward"}), DATA)
    marks = shown(charts.chart(result), "sign")
    assert (
        marks["sign"].tolist() == ["A"]
        and "A  2023-01: new lines: a new ward" in charts.chart(result).labels.caption
    )
    lines = chart_frames.lines_frame(result.kernel)
    assert set(lines["phase"]) == {0, 1}


def test_a_chart_cannot_be_mistaken_for_an_evaluation(result):
    picture = charts.chart(result)
    assert "not why" in look.BAND and "Improvement chart" in look.BAND
    strip = picture.theme.themeables["strip_background"].properties
    assert strip["facecolor"] == look.BAND_COLOUR
    assert "strip_background" not in theme.house_theme().themeables or look.BAND_COLOUR not in str(
        theme.house_theme().themeables["strip_background"].properties
    )
    assert picture.labels.title.endswith("U chart")
    assert "counterfactual" not in (picture.labels.subtitle + picture.labels.caption)


def drawn(picture):
    from matplotlib import pyplot

    figure = picture.draw()
    texts = [text.get_text() for text in figure.findobj(match=lambda each: hasattr(each, "get_text"))]
    pyplot.close(figure)
    return " ".join(texts)


@pytest.mark.filterwarnings("ignore::plotnine.exceptions.PlotnineWarning")
def test_pictures_are_drawn_with_their_words(result):
    words = drawn(charts.chart(result))
    assert look.BAND in words and "target 5" in words and "upper limit" in words
    icons = drawn(charts.making_data_count(result))
    assert "Variation: improvement low" in icons.replace("\n", " ")


@pytest.mark.filterwarnings("ignore::plotnine.exceptions.PlotnineWarning")
@pytest.mark.parametrize("points", [1, 2, 9])
def test_short_charts_can_be_drawn(points):
    for design in (
        ControlChart(outcome="stay", time="month"),
        RunChart(outcome="stay", time="month", target=5),
    ):
        picture = charts.chart(estimate(design, DATA.head(points)))
        assert "Too few points" in drawn(picture).replace("\n", " ")


@pytest.mark.filterwarnings("ignore::plotnine.exceptions.PlotnineWarning")
def test_waits_for_events_stand_in_order():
    days = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=300), "falls": 0})
    days.loc[::13, "falls"] = 1
    result = estimate(ControlChart(outcome="falls", time="date", events={"2024-05-01": "mats"}), days)
    points = chart_frames.points_frame(result.kernel)
    assert points["x"].tolist() == list(range(1, len(points) + 1))
    assert "days from one event to the next" in charts.chart(result).labels.y.replace("\n", " ")
    drawn(charts.chart(result))


@pytest.mark.filterwarnings("ignore::plotnine.exceptions.PlotnineWarning")
def test_the_family_is_drawn_outcome_first():
    made = family(
        {
            "Stay": ControlChart(outcome="stay", time="month", measure="balancing"),
            "Falls": replace(RATE, measure="outcome"),
        },
        DATA,
    )
    picture = chart_others.family(made)
    assert list(picture.data["measure"].cat.categories) == ["Outcome: Falls", "Balancing: Stay"]
    assert "not why" in picture.labels.subtitle and "No process" in picture.labels.caption
    drawn(picture)


def test_the_funnel_names_who_is_outside():
    n = np.arange(300, 3300, 150)
    data = pd.DataFrame({"trust": [f"T{each}" for each in range(20)], "n": n, "y": (0.1 * n).astype(int)})
    data.loc[3, "y"] = int(0.3 * data.loc[3, "n"])
    picture = chart_others.funnel(funnel(data, "y", "n", "trust", better="lower"))
    assert picture.data.set_index("unit").loc["T3", "meaning"] == look.WORSE
    assert "T3" in drawn(picture)


def test_the_safety_cross_has_a_place_for_each_day():
    events = pd.DataFrame({"date": ["2024-01-03", "2024-01-03", "2024-01-31", "2024-02-29"]})
    made = safety_cross(events, "date", what="Falls", first="2024-01-01", last="2024-02-29")
    days = chart_others.safety_cross(made).data
    for _, month in days.groupby("month", observed=True):
        assert len(set(zip(month["x"], month["y"], strict=True))) == len(month)
    assert days.loc[2, "sign"] == "2" and days.loc[30, "sign"] == "✕"
    assert "Jan 2024" in drawn(chart_others.safety_cross(made))


def test_labels_at_the_right_keep_their_distance_and_order():
    heights = np.array([1.0, 1.05, 0.98, 4.0])
    placed = look.spread(heights, 0.5)
    assert (np.diff(np.sort(placed)) >= 0.5 - 1e-9).all()
    np.testing.assert_array_equal(np.argsort(placed), np.argsort(heights))
    assert placed[3] == 4.0 and placed[:3].mean() == pytest.approx(heights[:3].mean())


def test_steps_stand_around_their_points():
    x, y = look.stepped(np.array([1.0, 2.0, 4.0]), np.array([5.0, 6.0, 7.0]))
    assert x.tolist() == [0.5, 1.5, 1.5, 3.0, 3.0, 4.5] and y.tolist() == [5, 5, 6, 6, 7, 7]
    assert look.stepped(np.array([3.0]), np.array([1.0]))[0].tolist() == [2.5, 3.5]
