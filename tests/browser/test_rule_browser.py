"""Natural experiments by clicking: a rule with a cutoff to its report, an instrument and a before-and-after
study to their estimates."""

from playwright.sync_api import expect

import qieval as qe
from qi_notebooks.presets import PRESETS

FOLDER = "qieval-studies"
SLOW = 30_000
"""Milliseconds that an answer may take on a busy machine."""
MANY_CHECKS = 120_000
"""Milliseconds that the checks around a cutoff may take on a busy machine."""
TALL = {"width": 1280, "height": 3600}


def design(kind, example, **changes):
    """The design of an example as its template makes it."""
    return kind(**{**PRESETS[example], **changes})


def drawn(panel, style):
    """What is drawn in one style in the pictures of a step."""
    return panel.locator(f"svg.qi-fit .{style}").evaluate_all(
        "all => all.map(one => one.getAttribute('points') || one.getAttribute('cx'))"
    )


def redrawn(lab, panel, style, before):
    """The same once it differs from what it was."""
    for _ in range(200):
        now = drawn(panel, style)
        if now and now != before:
            return now
        lab.page.wait_for_timeout(100)
    raise AssertionError(f"{style} was not drawn again")


def to_the_estimate(lab, name, notebook):
    """Run a notebook, make its design checks, lock, estimate; with a picture of each step."""
    lab.page.set_viewport_size(TALL)
    lab.open(f"{FOLDER}/{notebook}.ipynb")
    lab.run_all()
    assert lab.errors() == []
    lab.picture(1, f"{name}-1-question")
    lab.picture(2, f"{name}-2-data")
    lab.press(3, "Run the design checks")
    lab.picture(3, f"{name}-3-design-checks")
    lab.press(4, "Lock this design")
    lab.picture(4, f"{name}-4-lock")
    lab.press(5, "Estimate the effect")
    lab.picture(5, f"{name}-5-estimate")
    return lab.step(5)


def test_the_lines_at_the_cutoff_follow_the_bandwidth(lab):
    estimate = to_the_estimate(lab, "rule", "regression_discontinuity")
    data = qe.example("health_check")
    stated = design(qe.RegressionDiscontinuity, "health_check")
    sentence = estimate.locator(".qi-headline")
    expect(sentence).to_have_text(qe.estimate(stated, data).headline)
    dots, lines = drawn(estimate, "qi-dot"), drawn(estimate, "qi-line-fitted")

    handle = estimate.locator(".noUi-handle").first
    handle.focus()
    for _ in range(5):
        handle.press("ArrowLeft")
    lines = redrawn(lab, estimate, "qi-line-fitted", lines)
    expect(estimate).to_contain_text(
        "Exploratory: changed since the protocol was locked: Bandwidth was empty"
    )
    lab.wait_idle()
    assert drawn(estimate, "qi-dot") == dots, "only the lines depend on the bandwidth"
    lab.picture(5, "rule-5-estimate-narrower")

    estimate.get_by_role("button", name="Bandwidth by the rule").click()
    expect(sentence).to_have_text(qe.estimate(stated, data).headline, timeout=SLOW)
    lines = redrawn(lab, estimate, "qi-line-fitted", lines)
    donut = estimate.locator(".noUi-handle").nth(1)
    donut.focus()
    donut.press("ArrowRight")
    donut.press("ArrowRight")
    width = qe.estimate(stated, data).facts["bandwidth on the other side"]
    left_out = design(qe.RegressionDiscontinuity, "health_check", donut=float(f"{0.1 * width:.4g}"))
    expect(sentence).to_have_text(qe.estimate(left_out, data).headline, timeout=SLOW)
    redrawn(lab, estimate, "qi-line-fitted", lines)
    expect(estimate).to_contain_text("Donut was 0")
    expect(estimate.locator(".qi-state")).to_have_text("✓ done", timeout=SLOW)
    lab.press(5, "Estimate the effect")
    expect(estimate.locator("img").first).to_be_visible(timeout=SLOW)

    assumptions = lab.step(6)
    assumptions.get_by_role("button", name="Examine the assumptions").click()
    expect(assumptions.locator(".qi-state")).to_have_text("✓ done", timeout=MANY_CHECKS)
    expect(assumptions).not_to_contain_text("Working", timeout=MANY_CHECKS)
    lab.wait_idle(120)
    lab.picture(6, "rule-6-assumptions")
    lab.press(7, "Estimate under altered designs")
    lab.picture(7, "rule-7-sensitivity")
    lab.press(8, "Write report")
    text = (lab.folder / FOLDER / "regression_discontinuity_report.html").read_text(encoding="utf-8")
    assert PRESETS["health_check"]["question"] in text
    assert lab.errors() == []
    assert lab.refused == []


def test_an_instrument_needs_its_argument_before_an_estimate(lab):
    estimate = to_the_estimate(lab, "instrument", "instrumental_variables")
    data = qe.example("specialist_hospital")
    stated = design(qe.InstrumentalVariables, "specialist_hospital")
    headline = estimate.locator(".qieval-headline")
    expect(headline).to_have_text(qe.estimate(stated, data).headline)
    expect(estimate).to_contain_text("reduced form: near")
    why = "Why the instrument has no other way to the outcome"
    lab.fill(why, "")
    expect(estimate).to_contain_text("no estimate is shown without it")
    expect(headline).not_to_be_visible()
    lab.picture(5, "instrument-5-without-argument")
    lab.fill(why, "Ambulances go by distance.")
    expect(headline).to_be_visible(timeout=SLOW)
    assert lab.errors() == []
    assert lab.refused == []


def test_a_change_stands_beside_what_was_to_be_expected(lab):
    estimate = to_the_estimate(lab, "change", "before_after")
    expect(estimate.locator(".qi-bars")).to_contain_text("regression to the mean")
    lab.choose("Picked for high or low values", "no")
    lab.fill("Threshold", "")
    expect(estimate).to_contain_text("is not known", timeout=SLOW)
    assert lab.errors() == []
    estimate.get_by_role("link", name="Stronger: find people who did not get it").click()
    lab.page.get_by_role("heading", name="Difference-in-differences: a guided study").wait_for()
    assert lab.refused == []
