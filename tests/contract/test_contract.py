"""Every promise of the grammar, for every method of the catalogue."""

import importlib.util
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import CATALOGUE, Method
from qieval.markup import BADGES

_spec = importlib.util.spec_from_file_location("contract_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

METHODS = [pytest.param(method, id=method.design.__name__) for method in CATALOGUE]
EVERY = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def case(method):
    return cases.CASES[method.design.__name__]()


def numbers(result: qe.Result) -> np.ndarray:
    columns = ["estimate", "std_error", "conf_low", "conf_high", "p_value"]
    return result.estimates[columns].to_numpy(dtype=float)


@EVERY
def test_has_a_case(method):
    assert method.design.__name__ in cases.CASES, "add a case to tests/contract/cases.py"


@EVERY
def test_entry_is_complete(method: Method):
    assert method.question.endswith("?")
    assert method.limits and method.strengths and method.source
    assert method.design.__doc__ and ">>>" in method.design.__doc__
    names = [assumption.name for assumption in method.assumptions]
    assert len(names) == len(set(names))
    assert any(not assumption.testable for assumption in method.assumptions)
    assert any("Clarke" in assumption.source for assumption in method.assumptions)


@EVERY
def test_input_is_not_touched(method, case):
    before = case.data.copy(deep=True)
    result = qe.estimate(case.design, case.data)
    qe.diagnose(result, case.data)
    qe.design_checks(case.design, case.data)
    pd.testing.assert_frame_equal(case.data, before)


@EVERY
def test_same_call_same_numbers(method, case):
    np.testing.assert_array_equal(
        numbers(qe.estimate(case.design, case.data)), numbers(qe.estimate(case.design, case.data))
    )


@EVERY
def test_row_order_and_index_are_irrelevant(method, case):
    shuffled = case.data.sample(frac=1, random_state=1)
    one, other = qe.estimate(case.design, case.data), qe.estimate(case.design, shuffled)
    np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-9)
    assert one.record.fingerprint == other.record.fingerprint


@EVERY
def test_relabelled_units_give_the_same_answer(method, case):
    np.testing.assert_allclose(
        numbers(qe.estimate(case.design, case.data)),
        numbers(qe.estimate(case.design, case.relabel(case.data))),
        rtol=1e-9,
    )


@EVERY
def test_shifted_dates_give_the_same_answer(method, case):
    design, data = case.shift(case.design, case.data)
    np.testing.assert_allclose(
        numbers(qe.estimate(case.design, case.data)), numbers(qe.estimate(design, data)), rtol=1e-9
    )


@EVERY
@pytest.mark.parametrize("factor", [1e-6, 1e7])
def test_scaled_outcome_scales_the_estimate(method, case, factor):
    scaled = case.data.assign(**{case.outcome: case.data[case.outcome] * factor})
    result = qe.estimate(case.design, case.data)
    one, other = numbers(result), numbers(qe.estimate(case.design, scaled))
    own = result.estimates["term"].str.startswith(case.unscaled or "\0").to_numpy()
    np.testing.assert_allclose(one[own], other[own], rtol=1e-7)
    one, other = one[~own], other[~own]
    np.testing.assert_allclose(one[:, :4] * factor, other[:, :4], rtol=1e-7)
    np.testing.assert_allclose(one[:, 4], other[:, 4], rtol=1e-7)


@EVERY
def test_unused_columns_are_irrelevant(method, case):
    wide = case.data.assign(unrelated=np.nan)
    np.testing.assert_array_equal(
        numbers(qe.estimate(case.design, case.data)), numbers(qe.estimate(case.design, wide))
    )


@EVERY
def test_tables_cannot_be_altered_through_a_result(method, case):
    result = qe.estimate(case.design, case.data)
    table = result.estimates
    table.loc[0, "estimate"] = 99.0
    assert result.estimates.loc[0, "estimate"] != 99.0
    with pytest.raises(FrozenInstanceError):
        result.headline = "all is well"


@EVERY
def test_a_result_carries_no_rows_of_data(method, case):
    marked = case.data.assign(**{case.outcome: case.data[case.outcome] + 1e-9 * np.arange(len(case.data))})
    result = qe.estimate(case.design, marked)
    carried = pickle.dumps(replace(result, kernel=None))
    rows = marked[case.outcome].to_numpy()
    if case.drawn is not None:
        rows = rows[~case.drawn]
    assert sum(value.tobytes() in carried for value in rows) == 0


@EVERY
def test_a_missing_column_is_named_with_the_nearest(method, case):
    role = next(name for name, spec in qe.fields_of(method.design).items() if spec.role == "column")
    wrong = replace(case.design, **{role: getattr(case.design, role) + "s"})
    with pytest.raises(qe.DataError, match=f"{role}: there is no column") as caught:
        qe.estimate(wrong, case.data)
    assert "Did you mean" in str(caught.value)


@EVERY
def test_design_survives_repr_json_and_pickle(method, case):
    assert eval(repr(case.design), {method.design.__name__: method.design}) == case.design
    stored = json.loads(json.dumps(case.design.to_dict()))
    assert method.design.from_dict(stored) == case.design
    assert pickle.loads(pickle.dumps(case.design)) == case.design
    assert hash(case.design) == hash(method.design.from_dict(stored))


@EVERY
def test_ledger_holds_every_assumption_and_never_greens_the_untestable(method, case):
    checks = qe.diagnose(qe.estimate(case.design, case.data), case.data)
    ledger = checks.ledger.set_index("assumption")
    assert list(ledger.index) == [assumption.name for assumption in method.assumptions]
    for assumption in method.assumptions:
        if not assumption.testable:
            assert ledger.loc[assumption.name, "verdict"] == "untestable"
    known = set(ledger.index)
    assert {check.assumption for check in checks} <= known
    assert all(str(text).strip() for text in ledger["text"])
    for name, argument in case.design.arguments.items():
        assert ledger.loc[name, "argument"] == argument


@EVERY
def test_checks_are_sentences_without_boasting(method, case):
    checks = [
        *qe.diagnose(qe.estimate(case.design, case.data), case.data),
        *qe.design_checks(case.design, case.data),
    ]
    for check in checks:
        assert check.verdict in BADGES
        assert check.text.rstrip().endswith((".", "!", "?")), check.text
        assert "significant" not in check.text.lower()
        assert "assumption holds" not in check.text.lower()


@EVERY
def test_every_plot_has_title_axes_and_caption(method, case):
    result = qe.estimate(case.design, case.data)
    checks = qe.diagnose(result, case.data)
    variation = qe.vary(case.design, case.data, level=[0.9])
    drawn = [*qe.plots_of(result).values(), qe.plot(variation)]
    drawn += [qe.plot(check) for check in checks if check.picture]
    for picture in drawn:
        assert picture.labels.title
        assert picture.labels.x is not None and picture.labels.y is not None


@EVERY
def test_displays_in_notebook_and_terminal(method, case):
    protocol = qe.lock(case.design)
    result = qe.estimate(case.design, case.data, protocol=protocol)
    checks = qe.diagnose(result, case.data)
    variation = qe.vary(case.design, case.data, level=[0.9])
    for thing in (case.design, protocol, result, checks, checks.checks[0], variation):
        assert "qieval-card" in thing._repr_html_()
        assert repr(thing) and "object at 0x" not in repr(thing)


@EVERY
def test_estimate_says_whether_the_design_is_as_locked(method, case):
    protocol = qe.lock(case.design)
    assert "as locked" in qe.estimate(case.design, case.data, protocol=protocol).standing
    changed = qe.estimate(replace(case.design, level=0.9), case.data, protocol=protocol)
    assert changed.changes == (("level", 0.95, 0.9),)
    assert changed.standing.startswith("exploratory")


@EVERY
def test_diagnose_refuses_other_data(method, case):
    result = qe.estimate(case.design, case.data)
    other = case.data.assign(**{case.outcome: case.data[case.outcome] * 2})
    with pytest.raises(qe.DataError, match="fingerprints differ"):
        qe.diagnose(result, other)


@EVERY
def test_vary_keeps_rows_that_cannot_be_estimated(method, case):
    table = qe.vary(case.design, case.data, outcome=["y", "no such column"]).table
    terms = table[table["label"] == "as designed"]
    assert table["note"].str.contains("no column").sum() == 1
    assert table["estimate"].notna().sum() == 2 * len(terms)


@EVERY
def test_report_is_one_file_with_the_ledger(method, case, tmp_path):
    result = qe.estimate(case.design, case.data, protocol=qe.lock(case.design))
    checks = qe.diagnose(result, case.data)
    made = qe.report(result, checks, qe.vary(case.design, case.data, level=[0.9]))
    for assumption in method.assumptions:
        assert assumption.name in made.html.lower() and assumption.name in made.markdown.lower()
    path = tmp_path / "report.html"
    made.save(path)
    assert path.stat().st_size > 10_000
