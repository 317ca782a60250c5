"""The promises of the grammar that hold for charts, which follow a measure and evaluate nothing."""

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest

import qieval as qe

EVERY = pytest.mark.parametrize("design_class", [method.design for method in qe.CHARTS])
FORBIDDEN = re.compile(r"\b(effects?|impact|caused|worked|improved because)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def falls():
    return qe.example("ward_falls").frame


def stated(design_class):
    return design_class(
        outcome="falls",
        time="month",
        denominator="bed_days",
        per=1000,
        better="lower",
        events={"2022-09": "intentional rounding begins"},
        arguments={"subgroups are rational": "a month of one ward with one team"},
    )


@EVERY
def test_entry_is_complete(design_class):
    method = qe.method_of(design_class)
    assert method.track == "improvement" and method.question.endswith("?") and method.source
    assert any(not assumption.testable for assumption in method.assumptions)
    assert method not in qe.CATALOGUE


@EVERY
def test_verbs_leave_the_data_alone_and_repeat_themselves(design_class, falls):
    before = falls.copy(deep=True)
    design = stated(design_class)
    one, other = qe.estimate(design, falls), qe.estimate(design, falls.sample(frac=1, random_state=3))
    qe.diagnose(one, falls)
    qe.design_checks(design, falls)
    pd.testing.assert_frame_equal(falls, before)
    np.testing.assert_array_equal(one.estimates["estimate"], other.estimates["estimate"])
    assert one.record.fingerprint == other.record.fingerprint


@EVERY
def test_design_survives_repr_json_and_pickle(design_class):
    design = stated(design_class)
    assert eval(repr(design), {design_class.__name__: design_class}) == design
    assert design_class.from_dict(json.loads(json.dumps(design.to_dict()))) == design
    assert pickle.loads(pickle.dumps(design)) == design


@EVERY
def test_ledger_never_greens_the_untestable_and_always_says_that_a_signal_does_not_say_why(
    design_class, falls
):
    checks = qe.diagnose(qe.estimate(stated(design_class), falls), falls)
    ledger = checks.ledger.set_index("assumption")
    method = qe.method_of(design_class)
    assert list(ledger.index) == [assumption.name for assumption in method.assumptions]
    for assumption in method.assumptions:
        if not assumption.testable:
            assert ledger.loc[assumption.name, "verdict"] == "untestable"
    assert "a signal does not say why" in ledger.index


@EVERY
def test_words_speak_of_change_and_never_of_effects(design_class, falls):
    result = qe.estimate(stated(design_class), falls)
    checks = qe.diagnose(result, falls)
    said = [result.headline, *result.notes, *(check.text for check in checks)]
    assert not [text for text in said if FORBIDDEN.search(text)]
    assert "not why" in result.headline or "No signal" in result.headline


@EVERY
def test_report_is_a_chart_and_no_estimate_of_an_effect(design_class, falls):
    result = qe.estimate(stated(design_class), falls)
    checks = qe.diagnose(result, falls)
    made = qe.report(result, checks, qe.vary(stated(design_class), falls, baseline_until=["2022-08"]))
    text = re.sub(r"<[^>]+>", " ", made.html)
    assert "The chart" in text and "true effect" not in text and "p-value" not in text
    for assumption in qe.method_of(design_class).assumptions:
        assert assumption.name in made.html.lower()


@EVERY
def test_pictures_and_displays(design_class, falls):
    result = qe.estimate(stated(design_class), falls)
    for picture in qe.plots_of(result).values():
        assert picture.labels.title and picture.labels.x is not None
    for thing in (stated(design_class), result, qe.diagnose(result, falls)):
        assert "qieval-card" in thing._repr_html_()


@EVERY
def test_diagnose_refuses_other_data(design_class, falls):
    result = qe.estimate(stated(design_class), falls)
    with pytest.raises(qe.DataError, match="fingerprints differ"):
        qe.diagnose(result, falls.assign(falls=falls["falls"] + 1))
