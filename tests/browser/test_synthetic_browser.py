"""A synthetic control by clicking: donors ticked off, weights and gap that follow, an effect, a report."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import PRESETS

TEMPLATE = "qieval-studies/synthetic_control.ipynb"
ARTIFACTS = Path(__file__).parents[2] / "ci-artifacts"
AT_ONCE = 1.5
"""Seconds within which the weights have to follow a tick (a fit with nested weights takes part of them)."""

WATCH = """panel => {
    window.followed = {ticked: 0, drawn: 0};
    panel.addEventListener('click', () => { window.followed = {ticked: performance.now(), drawn: 0}; }, true);
    const bars = panel.querySelector('.qi-bars').closest('.widget-html');
    new MutationObserver(() => { window.followed.drawn = performance.now(); })
        .observe(bars, {childList: true, subtree: true});
}"""
DELAY = "() => window.followed.drawn ? (window.followed.drawn - window.followed.ticked) / 1000 : null"


def design(**changes):
    """The design of the example as the template makes it."""
    return qe.SyntheticControl(**{**PRESETS["one_hospital"], **changes})


def tick(lab, panel, unit):
    """Click the box of a unit and wait for the weights; the seconds from one to the other."""
    panel.get_by_label(unit, exact=True).click()
    lab.page.wait_for_function(f"() => ({DELAY})() !== null", timeout=20_000, polling=20)
    seconds = lab.page.evaluate(DELAY)
    lab.wait_idle()
    return seconds


def test_weights_and_gap_follow_the_ticked_donors_and_the_study_ends_in_a_report(lab):
    lab.page.set_viewport_size({"width": 1280, "height": 3600})
    lab.open(TEMPLATE)
    lab.run_all()
    assert lab.errors() == []
    expect(lab.step(2)).to_contain_text("2,100 rows")
    lab.picture(2, "synthetic-2-data")
    lab.press(3, "Run the design checks")
    lab.picture(3, "synthetic-3-design-checks")

    choose = lab.step(4)
    data = qe.data.example("one_hospital")
    bench = qe.tuning(design(), data)
    first = bench.try_()
    bars = choose.locator(".qi-bars")
    expect(bars).to_contain_text("H19")
    expect(choose.locator(".qi-numbers")).to_contain_text(qe.markup.words(first.missed_by))
    lab.picture(4, "synthetic-4-choose-before")
    lines = choose.locator("svg.qi-fit polyline")
    drawn = [lines.nth(at).get_attribute("points") for at in range(lines.count())]
    choose.evaluate(WATCH)
    took = [tick(lab, choose, "H19"), tick(lab, choose, "H09"), tick(lab, choose, "H09")]
    (ARTIFACTS / "synthetic-tick-seconds.json").write_text(json.dumps(took))
    assert min(took) < AT_ONCE
    untreated = sorted(set(data.frame["hospital"]) - {"H07", "H19"})
    wanted = bench.try_(donors=tuple(untreated))
    expect(bars).not_to_contain_text("H19")
    expect(bars).to_contain_text(f"{wanted.weights['weight'].iloc[0]:.3f}")
    expect(choose.locator(".qi-numbers")).to_contain_text(qe.markup.words(wanted.missed_by))
    now = [lines.nth(at).get_attribute("points") for at in range(lines.count())]
    assert len(now) == len(drawn) == 4
    assert now[-1] != drawn[-1]
    lab.picture(4, "synthetic-4-choose-after")

    choose.get_by_text("Predictors: what else").click()
    choose.get_by_role("button", name="Add a line").first.click()
    lab.wait_idle()
    choose.get_by_label("Characteristic").last.select_option("beds")
    lab.wait_idle()
    with_beds = {**PRESETS["one_hospital"]["predictors"], "beds": ""}
    shared = bench.try_(donors=tuple(untreated), predictors=with_beds).shared
    expect(choose).to_contain_text(qe.markup.words(float(shared["synthetic"].iloc[-1])))
    lab.picture(4, "synthetic-4-choose-predictors")
    choose.get_by_role("button", name="Remove").last.click()
    lab.wait_idle()

    lab.press(5, "Lock this design")
    lab.press(6, "Estimate the effect")
    result = qe.estimate(wanted.design, data)
    expect(lab.step(6).locator(".qieval-headline")).to_have_text(result.headline)
    lab.picture(6, "synthetic-6-estimate")
    lab.press(7, "Examine the assumptions")
    expect(lab.step(7)).to_contain_text(re.compile("leave one donor out", re.IGNORECASE))
    lab.picture(7, "synthetic-7-assumptions")
    lab.press(8, "Estimate under altered designs")
    lab.picture(8, "synthetic-8-sensitivity")
    lab.press(9, "Write report")
    text = (lab.folder / "qieval-studies" / "synthetic_control_report.html").read_text(encoding="utf-8")
    assert PRESETS["one_hospital"]["question"] in text
    assert "H19" in text
    assert lab.errors() == []
    assert lab.refused == []
