"""The guided study as a person meets it: the start page, and difference-in-differences by clicking."""

import json
import re

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import PRESETS

TEMPLATE = "qieval-studies/difference_in_differences.ipynb"


def expected(**changes):
    """The headline that Python gives for the example."""
    data = qe.data.example("pilot")
    known = qe.fields_of(qe.DifferenceInDifferences)
    preset = {name: held for name, held in PRESETS["pilot"].items() if name in known}
    design = qe.DifferenceInDifferences(**{**preset, **changes})
    return qe.estimate(design, data).headline


def test_start_page_opens_and_leads_to_the_template(lab):
    lab.start_page()
    lab.run_all()
    assert lab.errors() == []
    yes = lab.page.get_by_role("button", name="yes", exact=True)
    for question in lab.page.locator(".widget-toggle-buttons").filter(has=yes).all():
        question.get_by_role("button", name="yes", exact=True).click()
    lab.see(re.compile("Did the outcome of those who got the intervention"))
    lab.screenshot("start-page")
    lab.page.get_by_role("link", name="Difference-in-differences", exact=True).first.click()
    lab.page.get_by_role("heading", name="Difference-in-differences: a guided study").wait_for()
    assert lab.refused == []


def test_guided_study_from_question_to_report(lab):
    # High enough that every step fits on the screen, for the screenshots.
    lab.page.set_viewport_size({"width": 1280, "height": 3200})
    lab.open(TEMPLATE)
    lab.run_all()
    assert lab.errors() == []
    lab.picture(1, "study-1-question")
    lab.picture(2, "study-2-data")
    expect(lab.step(5)).to_contain_text("Waiting: lock the design first")

    lab.press(3, "Run the design checks")
    expect(lab.step(3)).to_contain_text("trends before the start", ignore_case=True)
    lab.step(3).locator("summary").filter(has_text="rends before the start").first.click()
    lab.picture(3, "study-3-design-checks")
    lab.press(4, "Lock this design")
    expect(lab.step(4)).to_contain_text("Locked")
    lab.picture(4, "study-4-lock")

    lab.press(5, "Estimate the effect")
    headline = lab.step(5).locator(".qieval-headline")
    expect(headline).to_have_text(expected())
    expect(lab.step(5)).to_contain_text("Protocol: as locked")
    lab.picture(5, "study-5-estimate")
    before = lab.step(5).locator("img").first.get_attribute("src")

    lab.press(6, "Examine the assumptions")
    expect(lab.step(6)).to_contain_text("no spillover")
    lab.picture(6, "study-6-assumptions")
    lab.press(7, "Estimate under altered designs")
    expect(lab.step(7)).to_contain_text("as designed")
    lab.picture(7, "study-7-sensitivity")

    lab.press(8, "Write report")
    link = lab.step(8).get_by_role("link", name="Open the report")
    expect(link).to_be_visible()
    lab.picture(8, "study-8-report")
    report = lab.folder / "qieval-studies" / "difference_in_differences_report.html"
    written = report.read_text(encoding="utf-8")
    assert written.lstrip().lower().startswith("<!doctype html>")
    assert "emergency admissions per 1,000 people a month" in written

    lab.choose("Outcome", "bed_days")
    expect(headline).to_have_text(expected(outcome="bed_days", measured_in=""))
    expect(lab.step(5)).to_contain_text("exploratory: changed since the protocol was locked")
    assert lab.step(5).locator("img").first.get_attribute("src") != before
    expect(lab.step(6)).to_contain_text("Examine the assumptions")
    lab.picture(5, "study-5-estimate-changed")
    lab.picture(9, "study-9-code")
    lab.click("Save my choices")
    assert lab.errors() == []
    lab.save()
    text = (lab.folder / TEMPLATE).read_text(encoding="utf-8")
    saved = json.loads(text)
    assert "widgets" not in saved["metadata"]
    kinds = {kind for cell in saved["cells"] for output in cell.get("outputs", []) for kind in output["data"]}
    assert kinds == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    frame = qe.data.example("pilot").frame
    assert [code for code in frame["practice"].unique() if code in text] == []
    assert [rate for rate in frame["admissions_per_1000"] if repr(rate) in text] == []
    assert lab.refused == []
