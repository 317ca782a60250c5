"""Matching by clicking: balance that follows the caliper, a lock, an effect, a report."""

import json
import re
import statistics
from pathlib import Path

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import PRESETS

TEMPLATE = "qieval-studies/matching.ipynb"
ARTIFACTS = Path(__file__).parents[2] / "ci-artifacts"
AT_ONCE = 0.5
"""Seconds within which the love plot has to follow the caliper."""

WATCH = """panel => {
    window.followed = {moved: [], drawn: []};
    const now = kept => () => kept.push(performance.now());
    panel.querySelector('.noUi-handle').addEventListener('keydown', now(window.followed.moved), true);
    const love = panel.querySelector('.qi-love').closest('.widget-html');
    new MutationObserver(now(window.followed.drawn)).observe(love, {childList: true, subtree: true});
}"""
LAST_DELAY = """() => {
    const moved = window.followed.moved.at(-1), drawn = window.followed.drawn.find(at => at > moved);
    return drawn === undefined ? null : (drawn - moved) / 1000;
}"""


def design(**changes):
    """The design of the example as the template makes it."""
    return qe.Matching(**{**PRESETS["nhefs_complete"], "caliper": 0.2, **changes})


def follow(lab, panel, key):
    """Press a key on the slider and wait for the love plot; the seconds from one to the other."""
    panel.locator(".noUi-handle").first.press(key)
    lab.page.wait_for_function(f"() => ({LAST_DELAY})() !== null", timeout=10_000, polling=20)
    seconds = lab.page.evaluate(LAST_DELAY)
    lab.wait_idle()
    return seconds


def test_balance_follows_the_caliper_and_the_study_ends_in_a_report(lab):
    lab.page.set_viewport_size({"width": 1280, "height": 3200})
    lab.open(TEMPLATE)
    lab.run_all()
    assert lab.errors() == []
    lab.picture(2, "matching-2-data")
    lab.choose("Data set", "Example: nhefs_complete")
    expect(lab.step(2)).to_contain_text("1,566 rows")
    lab.press(3, "Run the design checks")
    lab.picture(3, "matching-3-design-checks")

    choose = lab.step(4)
    data = qe.data.example("nhefs_complete")
    bench = qe.tuning(design(), data)
    expect(choose.get_by_text("Caliper", exact=True)).to_be_visible()
    expect(choose.locator(".qi-numbers")).to_contain_text("of 403 treated people with")
    for _ in range(4):
        choose.locator(".noUi-handle").first.press("PageUp")
    lab.wait_idle()
    lab.picture(4, "matching-4-choose-before")
    choose.evaluate(WATCH)
    took = [follow(lab, choose, key) for key in ("PageDown", "PageDown", "PageDown", "ArrowLeft")]
    (ARTIFACTS / "matching-caliper-seconds.json").write_text(json.dumps(took))
    assert statistics.median(took) < AT_ONCE
    wanted = bench.try_(caliper=0.04)
    expect(choose.locator(".qi-numbers")).to_contain_text(f"{wanted.largest[0]:.3f}")
    expect(choose.locator(".qi-numbers")).to_contain_text(f"{wanted.treated[0]:,} of 403")
    shown = choose.locator(".qi-love tbody tr").first.inner_text()
    assert re.search(r"\d\.\d{3}", shown)
    lab.picture(4, "matching-4-choose")
    assert "kg" not in choose.inner_text()

    lab.press(5, "Lock this design")
    lab.picture(5, "matching-5-lock")
    lab.press(6, "Estimate the effect")
    headline = lab.step(6).locator(".qieval-headline")
    expect(headline).to_have_text(qe.estimate(design(caliper=0.04), data).headline)
    expect(lab.step(6)).to_contain_text("Protocol: as locked")
    lab.picture(6, "matching-6-estimate")
    lab.press(7, "Examine the assumptions")
    expect(lab.step(7)).to_contain_text("no unmeasured confounding")
    lab.picture(7, "matching-7-assumptions")
    lab.press(9, "Write report")
    expect(lab.step(9).get_by_role("link", name="Open the report")).to_be_visible()
    report = lab.folder / "qieval-studies" / "matching_report.html"
    assert "kg gained between 1971 and 1982" in report.read_text(encoding="utf-8")

    choose.locator(".noUi-handle").first.press("PageUp")
    expect(choose).to_contain_text("Exploratory: changed since the protocol was locked")
    expect(lab.step(6)).to_contain_text("exploratory: changed since the protocol was locked", timeout=30_000)
    lab.picture(4, "matching-4-choose-after-lock")
    assert lab.errors() == []
    lab.save()
    saved = json.loads((lab.folder / TEMPLATE).read_text(encoding="utf-8"))
    assert "widgets" not in saved["metadata"]
    assert lab.refused == []
