"""A roll-out by clicking: from the example to its report, other averages, another approach, own columns."""

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import PRESETS

FOLDER = "qieval-studies"
SLOW = 60_000
"""Milliseconds that an estimate may take on a busy machine."""
MANY_CHECKS = 400_000
"""Milliseconds that the checks of a roll-out may take on a busy machine."""
TALL, TALLEST = {"width": 1280, "height": 4200}, {"width": 1280, "height": 15_000}
"""Windows in which a whole step fits, so that its screenshot is complete."""


def stated(**changes):
    """The design of the example as the template makes it."""
    return qe.StaggeredAdoption(**{**PRESETS["practice_roll_out"], **changes})


def finished(lab, number, button):
    """Click a button whose work takes long, and wait until all of it is shown."""
    panel = lab.step(number)
    panel.get_by_role("button", name=button, exact=True).click()
    expect(panel.locator(".qi-state")).to_have_text("✓ done", timeout=MANY_CHECKS)
    expect(panel).not_to_contain_text("Working", timeout=MANY_CHECKS)
    lab.wait_idle(MANY_CHECKS / 1000)
    return panel


def unfolded(lab, number, name):
    """A screenshot of all checks of a step with their pictures, without the tables below them."""
    panel = lab.step(number)
    lab.page.set_viewport_size(TALLEST)
    for line in panel.locator("summary:has(.qieval-badge)").all():
        line.click()
    lab.picture(number, name)
    lab.page.set_viewport_size(TALL)


def test_a_roll_out_from_the_example_to_its_report(lab):
    lab.page.set_viewport_size(TALL)
    lab.open(f"{FOLDER}/staggered_adoption.ipynb")
    lab.run_all()
    assert lab.errors() == []
    lab.picture(1, "rollout-1-question")
    lab.picture(2, "rollout-2-data")
    finished(lab, 3, "Run the design checks")
    unfolded(lab, 3, "rollout-3-design-checks")
    lab.press(4, "Lock this design")
    lab.picture(4, "rollout-4-lock")
    estimate = finished(lab, 5, "Estimate the effect")
    result = qe.estimate(stated(), qe.example("practice_roll_out"))
    expect(estimate.locator(".qieval-headline")).to_have_text(result.headline)
    lab.picture(5, "rollout-5-estimate")

    explored = estimate.locator(".qi-headline")
    lab.choose("Average", "by time since the start")
    expect(explored).to_have_text(qe.aggregate(result, "dynamic").headline, timeout=SLOW)
    followed = estimate.locator(".noUi-handle").nth(2)
    followed.focus()
    for _ in range(6):
        followed.press("ArrowRight")
    wanted = qe.aggregate(result, "dynamic", balanced_to=5)
    expect(explored).to_have_text(wanted.headline, timeout=SLOW)
    expect(estimate.locator(".qieval-headline")).to_have_text(result.headline)
    lab.picture(5, "rollout-5-estimate-averaged-otherwise")

    finished(lab, 6, "Examine the assumptions")
    unfolded(lab, 6, "rollout-6-assumptions")
    finished(lab, 7, "Estimate under altered designs")
    lab.picture(7, "rollout-7-sensitivity")
    finished(lab, 8, "Write report")
    text = (lab.folder / FOLDER / "staggered_adoption_report.html").read_text(encoding="utf-8")
    assert PRESETS["practice_roll_out"]["question"] in text
    assert lab.errors() == []
    assert lab.refused == []


def test_columns_and_the_approach_are_chosen_by_clicking(lab):
    lab.page.set_viewport_size(TALL)
    lab.open(f"{FOLDER}/staggered_adoption.ipynb")
    lab.run_all()
    data = lab.step(2)
    for title in data.locator(".jupyter-widget-Collapse-header").all():
        title.click()
    lab.wait_idle()
    lab.picture(2, "rollout-2-data-unfolded")
    lab.choose("First treated", "(none)")
    expect(data.get_by_text("exactly one of them").first).to_be_visible()
    lab.picture(2, "rollout-2-data-without-starts")
    lab.choose("Treatment", "service")
    expect(data.get_by_text("exactly one of them")).to_have_count(0)
    lab.step(2).get_by_label("deprivation", exact=True).first.uncheck()
    lab.choose("Approach", "imputation")
    finished(lab, 3, "Run the design checks")
    lab.press(4, "Lock this design")
    estimate = finished(lab, 5, "Estimate the effect")
    changes = {"first_treated": None, "treatment": "service", "covariates": ()}
    frame = qe.example("practice_roll_out")
    headline = estimate.locator(".qieval-headline")
    expect(headline).to_have_text(qe.estimate(stated(approach="imputation", **changes), frame).headline)
    expect(estimate).to_contain_text("can be looked at here with the approach 'group-time'")
    lab.choose("Approach", "two-way")
    expect(headline).to_have_text(
        qe.estimate(stated(approach="two-way", **changes), frame).headline, timeout=SLOW
    )
    expect(estimate).to_contain_text("Approach was 'imputation', now 'two-way'", ignore_case=True)
    for words in ("Drawing", "Working"):
        expect(estimate).not_to_contain_text(words, timeout=SLOW)
    lab.picture(5, "rollout-5-estimate-two-way")
    assert lab.errors() == []
    assert lab.refused == []
