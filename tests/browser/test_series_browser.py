"""An interrupted series and an improvement chart by clicking: what is moved shows at once."""

import re

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import CHARTS as CHART_PRESETS
from qi_notebooks.presets import PRESETS

SERIES = "qieval-studies/interrupted_time_series.ipynb"
CHARTS = "qieval-studies/improvement_charts.ipynb"
CHART = CHART_PRESETS["ward_falls"]
SLOW = 30_000
"""Milliseconds that an answer may take on a busy machine."""
MANY_CHECKS = 240_000
"""Milliseconds that the checks of one series, which fit it over and over, may take on a busy machine."""
TALL = {"width": 1280, "height": 3600}


def design(**changes):
    """The design of the example as the template makes it."""
    return qe.InterruptedTimeSeries(**{**PRESETS["urgent_care_line"], **changes})


def lines(panel, style):
    """The lines of one kind in the pictures of a step."""
    return panel.locator(f"svg.qi-fit .{style}").evaluate_all(
        "all => all.map(one => one.getAttribute('points') || one.getAttribute('x1'))"
    )


def moved_lines(lab, panel, style, before):
    """The lines once they differ from what they were."""
    for _ in range(100):
        now = lines(panel, style)
        if now and now != before:
            return now
        lab.page.wait_for_timeout(100)
    raise AssertionError(f"{style} did not move")


def test_the_counterfactual_follows_the_start_and_the_phase_in(lab):
    lab.page.set_viewport_size(TALL)
    lab.open(SERIES)
    lab.run_all()
    assert lab.errors() == []
    data = qe.example("urgent_care_line")
    expect(lab.step(2)).to_contain_text("72 rows")
    lab.picture(1, "series-1-question")
    lab.picture(2, "series-2-data")
    lab.press(3, "Run the design checks")
    lab.picture(3, "series-3-design-checks")

    choose = lab.step(4)
    bench = qe.tuning(design(), data)
    expect(choose.locator(".qi-numbers")).to_contain_text(f"{bench.try_().p_value:.2g}")
    lab.picture(4, "series-4-choose")
    fitted = lines(choose, "qi-line-fitted")
    choose.get_by_label("Seasonality", exact=True).select_option("none")
    without = f"Ljung-Box p {bench.try_(seasonality='none').p_value:.2g}"
    expect(choose.locator(".qi-numbers")).to_contain_text(without)
    moved_lines(lab, choose, "qi-line-fitted", fitted)
    assert "observed and expected" not in choose.inner_text().lower()
    choose.get_by_label("Seasonality", exact=True).select_option("harmonics")
    expect(choose.locator(".qi-numbers")).not_to_contain_text(without)

    lab.press(5, "Lock this design")
    lab.picture(5, "series-5-lock")
    lab.press(6, "Estimate the effect")
    estimate = lab.step(6)
    sentence = estimate.locator(".qi-headline")
    expect(sentence).to_have_text(qe.estimate(design(), data).headline)
    lab.picture(6, "series-6-estimate")
    expected, start = lines(estimate, "qi-line-expected"), lines(estimate, "qi-start")

    estimate.get_by_role("button", name="later ▶").click()
    moved = qe.estimate(design(start="2022-02"), data)
    expect(sentence).to_have_text(moved.headline, timeout=SLOW)
    expect(estimate).to_contain_text("Exploratory: changed since the protocol was locked: Start was")
    moved_lines(lab, estimate, "qi-start", start)
    expected = moved_lines(lab, estimate, "qi-line-expected", expected)

    handle = estimate.locator(".noUi-handle").last
    handle.focus()
    for _ in range(3):
        handle.press("ArrowRight")
    phased = qe.estimate(design(start="2022-02", phase_in=3), data)
    expect(sentence).to_have_text(phased.headline, timeout=SLOW)
    moved_lines(lab, estimate, "qi-line-expected", expected)
    expect(estimate.locator("svg.qi-fit .qi-unfitted").first).to_be_attached()
    lab.wait_idle()
    expect(lab.step(6).locator(".qi-state")).to_have_text("✓ done", timeout=30_000)
    lab.picture(6, "series-6-estimate-moved")
    expect(estimate).to_contain_text("for the large pictures of this design")
    lab.press(6, "Estimate the effect")
    expect(estimate.locator("img").first).to_be_visible(timeout=SLOW)
    lab.picture(6, "series-6-estimate-again")

    assumptions = lab.step(7)
    assumptions.get_by_role("button", name="Examine the assumptions").click()
    expect(assumptions.locator(".qi-state")).to_have_text("✓ done", timeout=MANY_CHECKS)
    expect(assumptions).not_to_contain_text("Working", timeout=MANY_CHECKS)
    lab.wait_idle(120)
    lab.picture(7, "series-7-assumptions")
    lab.press(8, "Estimate under altered designs")
    lab.picture(8, "series-8-sensitivity")
    lab.press(9, "Write report")
    text = (lab.folder / "qieval-studies" / "interrupted_time_series_report.html").read_text(encoding="utf-8")
    assert PRESETS["urgent_care_line"]["question"] in text
    assert re.search("start", text)
    assert lab.errors() == []
    assert lab.refused == []


def chart(**changes):
    """The chart of the example as the template makes it."""
    return qe.ControlChart(**{**CHART, **changes})


def test_the_chart_follows_its_kind_and_its_baseline(lab):
    lab.page.set_viewport_size(TALL)
    lab.open(CHARTS)
    lab.run_all()
    assert lab.errors() == []
    data = qe.example("ward_falls")
    lab.picture(1, "chart-1-measure")
    lab.picture(2, "chart-2-data")
    panel = lab.step(3)
    sentence = panel.locator(".qi-headline")
    expect(sentence).to_have_text(qe.estimate(chart(), data).headline)
    expect(panel.locator(".qi-band")).to_contain_text("it does not say why")
    lab.picture(3, "chart-3-chart")
    points = lines(panel, "qi-line-points")

    panel.get_by_label("Baseline until", exact=True).select_option("2022-08")
    frozen = qe.estimate(chart(baseline_until="2022-08"), data)
    assert frozen.headline.startswith("Something changed")
    expect(sentence).to_have_text(frozen.headline)
    points = moved_lines(lab, panel, "qi-line-points", points)
    lab.picture(3, "chart-3-chart-frozen")

    panel.get_by_label("Kind", exact=True).select_option("run: values around the median")
    expect(panel).to_contain_text("the median is its centre line")
    moved_lines(lab, panel, "qi-line-points", points)
    assert lines(panel, "qi-limit") == []
    lab.picture(3, "chart-3-chart-run")
    panel.get_by_label("Kind", exact=True).select_option("chosen from the data")
    expect(sentence).to_have_text(frozen.headline)

    lab.press(4, "Read the signals")
    lab.picture(4, "chart-4-signals")
    lab.press(5, "Check the chart")
    lab.picture(5, "chart-5-checks")
    more = lab.step(6)
    more.locator(".jupyter-widget-Collapse-header", has_text="A family of measures").click()
    more.get_by_label("Further measures", exact=True).select_option("bed_days")
    lab.wait_idle()
    more.get_by_role("button", name="Draw the family").click()
    expect(more.locator("img").first).to_be_visible(timeout=30_000)
    lab.wait_idle()
    lab.picture(6, "chart-6-more-views")
    lab.press(7, "Write report")
    lab.picture(8, "chart-8-code")
    text = (lab.folder / "qieval-studies" / "control_chart_report.html").read_text(encoding="utf-8")
    assert CHART["question"] in text
    assert lab.errors() == []
    assert lab.refused == []
