"""The shipped notebooks: stored clean, run from a clean kernel, and headless they end in a report."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import qieval as qe
from qi_notebooks import headless, lab, parameters, presets

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(lab.TEMPLATES.glob("*.ipynb"))
WORKED = ROOT / "notebooks" / "organ_donation_registration.ipynb"
QUICK = {"genetic_matching": {"evaluations": 300, "restarts": 2}}
"""Parameters that make a template quick enough for a test."""
UNTESTABLE = {
    "interrupted_time_series": "no other change at the same time",
    "improvement_charts": "a signal does not say why",
    "before_after": "no other change at the same time",
}
"""An assumption that no data can test, where it is not the one about spillover."""
CHART = "improvement_charts"
"""The template that all charts share."""
METHODS = [path for path in TEMPLATES if path.name != lab.START_PAGE]


@pytest.mark.parametrize("path", [*TEMPLATES, WORKED], ids=lambda path: path.stem)
def test_notebooks_are_stored_clean_with_stable_names_of_cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() for name in names)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_read_like_an_app(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.metadata.jupyter.source_hidden for cell in code)
    assert all(len(cell.source.splitlines()) <= 20 for cell in code)


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_parameters_are_fields_of_the_design_or_of_the_app(path):
    names = parameters.known(nbformat.read(path, as_version=4))
    fields = qe.fields_of(qe.method_named("control_chart" if path.stem == CHART else path.stem).design)
    assert {"data", "interactive"} <= names.keys()
    assert names.keys() - {"data", "interactive"} <= fields.keys()
    needed = {name for name, spec in fields.items() if spec.role in ("column", "value") and not spec.optional}
    assert needed <= names.keys()


def test_links_of_the_start_page_lead_somewhere():
    notebook = nbformat.read(lab.TEMPLATES / lab.START_PAGE, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    for path in METHODS:
        assert f"]({path.name})" in text
    assert f"](worked/{WORKED.name})" in text
    assert WORKED.is_file()


def test_a_chart_does_not_read_like_an_evaluation():
    text = (lab.TEMPLATES / f"{CHART}.ipynb").read_text(encoding="utf-8").lower()
    assert re.search(r"\b(effects?|impact|estimate)\b", text) is None
    assert "not say" in text or "cannot say" in text
    assert "](interrupted_time_series.ipynb)" in text
    other = (lab.TEMPLATES / "interrupted_time_series.ipynb").read_text(encoding="utf-8")
    assert f"]({CHART}.ipynb)" in other


@pytest.mark.slow
@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_templates_run_headless_to_a_report(path, tmp_path):
    study = tmp_path / "study.ipynb"
    study.write_bytes(path.read_bytes())
    example = ast.literal_eval(parameters.known(nbformat.read(path, as_version=4))["data"])
    headless.run(study, QUICK.get(path.stem, {}), tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    fields = qe.fields_of(qe.ControlChart) if path.stem == CHART else ["question"]
    assert presets.known(example, fields)["question"] in report
    withheld = path.stem == CHART and "The picture is left out because it shows counts below 10" in report
    assert withheld or 'src="data:image/png' in report or "src='data:image/png" in report
    assert UNTESTABLE.get(path.stem, "no spillover") in report.lower()
    assert study.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_parameters_take_the_place_of_clicks(tmp_path):
    study = tmp_path / "study.ipynb"
    study.write_bytes((lab.TEMPLATES / "difference_in_differences.ipynb").read_bytes())
    values = {"data": "example:organ_donations", "question": "Did registrations change?", "start": 5}
    headless.run(study, values, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Did registrations change?" in report
    assert "start=5" in report


@pytest.mark.slow
def test_the_worked_study_reproduces_the_published_comparison(tmp_path):
    notebook = nbformat.read(WORKED, as_version=4)
    found = "round(float(result.estimates.loc[0, 'estimate']), 4)"
    check = f"print({found}, type(report).__name__, result.standing[:9])"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert notebook.cells[-1].outputs[0].text == "-0.0225 Report as locked\n"
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5
