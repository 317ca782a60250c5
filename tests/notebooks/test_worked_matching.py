"""The worked studies of matching and weighting: stored clean, and they find what was published.

Each notebook runs once, in a kernel of its own, with short searches. Published numbers stand here; those of
other programs come from the shared reference file and are compared only where it lies beside the repository.
"""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from qi_notebooks import headless, lab, parameters

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
REFERENCE = SHARED / "reference" / "matching.json"
CATHETER_DATA = SHARED / "data" / "matching_rhc.csv.gz"
NAMES = ("job_training_genetic_matching", "right_heart_catheterisation", "smoking_cessation")

BLANK_PICTURES = """
import plotnine
from matplotlib import pyplot

plotnine.ggplot.draw = lambda self, **_: pyplot.figure(figsize=(1, 1))
"""
"""Drawing takes longer than all else; only the study of smoking draws for real."""


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def execute(name, values, expressions, folder, *, before=""):
    """Run a notebook with parameters; what some expressions are worth at its end, and its pictures."""
    held = notebook(name)
    parameters.inject(held, values)
    held.cells.insert(0, nbformat.v4.new_code_cell(before))
    asked = ", ".join(f"{label!r}: {expression}" for label, expression in expressions.items())
    held.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(held, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in held.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    warned = [output.text for output in outputs if "Warning" in output.get("text", "")]
    return json.loads(held.cells[-1].outputs[-1].text) | {"pictures": pictures, "warned": warned}


def pair(result):
    """An expression: estimate and standard error in the first row of a result."""
    return f"{result}.estimates.loc[0, ['estimate', 'std_error']].tolist()"


@pytest.fixture(scope="module")
def reference():
    if not REFERENCE.is_file():
        pytest.skip("the shared reference numbers are not beside the repository")
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    expressions = {
        "benchmark": "float(benchmark)",
        "naive": "float(earned[1] - earned[0])",
        "genetic": pair("result"),
        "worst": "float(result.facts['largest standardised difference after'])",
        "published": pair("published"),
        "misled": pair("misled"),
        "misled_worst": "float(misled.facts['largest standardised difference after'])",
        "restarts": "checks['restarts of the search'].table['estimate'].tolist()",
        "panel": "panel.table['estimate'].dropna().tolist()",
        "standing": "result.standing[:9]",
        "report": "type(report).__name__",
    }
    values = {"evaluations": 300, "restarts": 3}
    return execute(NAMES[0], values, expressions, tmp_path_factory.mktemp("jobs"), before=BLANK_PICTURES)


@pytest.fixture(scope="module")
def smoking(tmp_path_factory):
    expressions = {
        "crude": "float(crude)",
        "rows": "data.attrition['rows'].tolist()",
        "result": pair("result"),
        "errors": "intervals.table.set_index('inference')['std_error'].dropna().to_dict()",
        "panel": "panel.table.set_index('label')[['estimate', 'std_error']].T.to_dict('list')",
        "worst": "float(panel.table['largest_difference'].max())",
        "everybody": pair("everyone"),
        "lost": "[int(lost.sum()), int(lost[everybody.frame['qsmk'] == 1].sum())]",
        "needed": "float(needed)",
        "standing": "result.standing[:9]",
        "report": "type(report).__name__",
    }
    return execute(NAMES[2], {"draws": 99}, expressions, tmp_path_factory.mktemp("smoking"))


@pytest.fixture(scope="module")
def catheter(tmp_path_factory):
    if not CATHETER_DATA.is_file():
        pytest.skip("the right heart catheterisation data are in no package, and not beside the repository")
    expressions = {
        "crude": "frame.groupby('rhc')['death30'].mean().tolist()",
        "result": pair("result"),
        "used": "int(result.facts['treated units'])",
        "left_out": "int(result.facts['treated people left out'])",
        "full": pair("full"),
        "panel": "panel.table.set_index('label')['estimate'].to_dict()",
        "pairs": "[int(((pairs['treated'] == one) & (pairs['comparison'] == other)).sum())"
        " for one, other in ((1, 0), (0, 1), (1, 1), (0, 0))]",
        "gamma": "float(bounds.details['critical']['critical_gamma'].iloc[0])",
        "gammas": "bounds.table.set_index('gamma')['p_high'].to_dict()",
        "standing": "result.standing[:9]",
        "report": "type(report).__name__",
    }
    values = {"data": str(CATHETER_DATA)}
    return execute(NAMES[1], values, expressions, tmp_path_factory.mktemp("catheter"), before=BLANK_PICTURES)


@pytest.mark.parametrize("name", NAMES)
def test_worked_studies_are_stored_clean(name):
    held = notebook(name)
    nbformat.validate(held)
    assert held.metadata.kernelspec.name == "python3"
    names = [cell.id for cell in held.cells]
    assert len(set(names)) == len(names)
    assert all(label.replace("-", "").isalpha() for label in names)
    code = [cell for cell in held.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert parameters.position(held) is not None
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert str(ROOT) not in text


def test_worked_studies_are_shipped():
    shipped = {path.stem for path in lab.worked_studies().glob("*.ipynb")}
    assert set(NAMES) <= shipped


@pytest.mark.slow
@pytest.mark.parametrize("study, pictures", [("jobs", 10), ("smoking", 4), ("catheter", 5)])
def test_worked_studies_end_in_a_report_as_locked(study, pictures, request):
    found = request.getfixturevalue(study)
    assert (found["standing"], found["report"]) == ("as locked", "Report")
    assert found["pictures"] == pictures
    assert found["warned"] == []


@pytest.mark.slow
def test_the_experiment_is_missed_by_the_survey_and_found_again_by_matching(jobs):
    """Dehejia and Wahba 1999: 1,794 dollars, and -8,498 against the whole survey (rounded to dollars)."""
    assert jobs["benchmark"] == pytest.approx(1794, abs=0.5)
    assert jobs["naive"] == pytest.approx(-8498, abs=0.5)
    estimate, error = jobs["genetic"]
    assert abs(estimate - 1794) < 2 * error
    assert jobs["worst"] < 0.15
    assert all(abs(found - 1794) < 2000 for found in jobs["panel"])


@pytest.mark.slow
def test_restarts_of_a_search_differ(jobs):
    assert len(jobs["restarts"]) == 3
    assert max(jobs["restarts"]) - min(jobs["restarts"]) > 100


@pytest.mark.slow
def test_without_earlier_earnings_balance_is_good_and_the_answer_wrong(jobs):
    estimate, error = jobs["misled"]
    assert jobs["misled_worst"] < 0.1
    assert estimate + 1.96 * error < 0


@pytest.mark.slow
def test_the_published_match_on_the_score(jobs, reference):
    """Match() of the R package; the data of causaldata are rounded to single precision (relative 2e-6)."""
    held = reference["lalonde_dw_Matching"]["ps_M1"]
    assert jobs["published"] == pytest.approx([held["est"], held["se_AI"]], rel=5e-6)


@pytest.mark.slow
def test_giving_up_smoking_as_in_the_book(smoking):
    """What If, chapter 12: 2.5 kg crude, 3.4 kg weighted (robust interval 2.4 to 4.5); 63 of 1,629 lost."""
    assert smoking["crude"] == pytest.approx(2.54, abs=0.005)
    assert smoking["rows"] == [1629, 1566]
    assert smoking["lost"] == [63, 25]
    estimate = smoking["result"][0]
    assert estimate == pytest.approx(3.44, abs=0.005)
    robust = smoking["errors"]["robust"]
    assert [estimate - 1.96 * robust, estimate + 1.96 * robust] == pytest.approx([2.4, 4.5], abs=0.05)
    assert smoking["needed"] == pytest.approx(estimate / (25 / 428))


@pytest.mark.slow
def test_all_ways_to_adjust_for_giving_up_agree(smoking):
    estimates = [estimate for estimate, _ in smoking["panel"].values()]
    assert len(estimates) == 10
    assert min(estimates) > 3.2
    assert max(estimates) < 3.8
    assert smoking["worst"] < 0.1
    assert smoking["everybody"][0] == pytest.approx(3.52, abs=0.005)


@pytest.mark.slow
def test_giving_up_smoking_as_in_r(smoking, reference):
    """WeightIt and MatchIt; M-estimation to 1e-3 relative, HC3 is 0.4% above their HC0."""
    weights, matched = reference["nhefs"]["weights"], reference["nhefs"]["matching"]
    held = weights["ipw_glm_ATE"]["outcome_lm"]
    assert smoking["result"][0] == pytest.approx(held["estimate"], rel=1e-8)
    assert smoking["result"][1] == pytest.approx(held["se_M_estimation"], rel=1e-3)
    assert smoking["errors"]["robust"] == pytest.approx(held["se_HC0"], rel=6e-3)
    pairs = matched["nn_caliper02_linear"]["effect"]["difference"]
    assert smoking["panel"]["pairs in a caliper"] == pytest.approx([pairs["estimate"], pairs["se"]], rel=1e-8)
    overlap = weights["ipw_glm_ATO"]["outcome_lm"]["estimate"]
    assert smoking["panel"]["overlap weights"][0] == pytest.approx(overlap, rel=1e-8)
    balanced = weights["ebal_ATE"]["outcome_lm"]["estimate"]
    assert smoking["panel"]["entropy balancing"][0] == pytest.approx(balanced, rel=1e-4)


@pytest.mark.slow
def test_a_catheter_and_many_numbers(catheter):
    """38.0% and 30.6% died; 5.8 points among 1,719 pairs; methods from 4.4 to 8.4 points."""
    assert catheter["crude"] == pytest.approx([0.306, 0.380], abs=5e-4)
    assert (catheter["used"], catheter["left_out"]) == (1719, 465)
    assert catheter["result"][0] == pytest.approx(0.058, abs=5e-4)
    panel = [value for value in catheter["panel"].values() if value is not None]
    assert len(panel) == 15
    assert [min(panel), max(panel)] == pytest.approx([0.044, 0.084], abs=5e-4)


@pytest.mark.slow
def test_a_catheter_as_in_r(catheter, reference):
    """MatchIt, WeightIt and rbounds. Full matching to 5e-4: there are several exact minima."""
    held = reference["rhc"]
    pairs = held["nn_caliper02_linear"]["effect_death30"]["difference"]
    assert catheter["result"] == pytest.approx([pairs["estimate"], pairs["se"]], rel=1e-8)
    minimum = reference["cross_checks"]["full_exact_minimum"]
    assert catheter["full"][0] == pytest.approx(minimum, abs=5e-4)
    panel = catheter["panel"]
    loose = held["nn_no_caliper"]["effect_death30"]["difference"]["estimate"]
    assert panel["nearest, any distance"] == pytest.approx(loose, rel=1e-8)
    for label, name in (("inverse probability", "ipw_ATT"), ("overlap weights", "ipw_ATO")):
        assert panel[label] == pytest.approx(held["weights"][name]["diff"]["estimate"], rel=1e-6)
    balanced = held["weights"]["ebal_ATT"]["diff"]["estimate"]
    assert panel["entropy balancing"] == pytest.approx(balanced, rel=1e-4)


@pytest.mark.slow
def test_hidden_bias_between_pairs_as_in_r(catheter, reference):
    held = reference["rhc"]["rosenbaum_nn_caliper02_linear"]
    names = ("treated_only", "control_only", "both", "neither")
    assert catheter["pairs"] == [held[name] for name in names]
    assert 1.1 < catheter["gamma"] < 1.15
    assert catheter["gammas"]["1.0"] == pytest.approx(held["mcnemar_exact_two_sided"] / 2, rel=1e-8)


@pytest.mark.slow
def test_without_the_data_the_catheter_study_ends_in_a_sentence(tmp_path):
    held = notebook(NAMES[1])
    client = NotebookClient(
        held, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with pytest.raises(CellExecutionError):
        client.execute()
    shown = [output for cell in held.cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in shown] == ["error"]
    assert len(shown[0].traceback) == 1
    assert "there is no file 'rhc.csv'" in shown[0].traceback[0]
    assert "hbiostat.org/data" in shown[0].traceback[0]
    study = ROOT / "notebooks" / f"{NAMES[1]}.ipynb"
    with pytest.raises(headless.NotebookError, match=r"there is no file 'nowhere[.]csv'"):
        headless.run(study, {"data": "nowhere.csv"}, tmp_path / "report.html")
