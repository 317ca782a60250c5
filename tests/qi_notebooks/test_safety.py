"""What must not be in a notebook that is passed on."""

import json

import nbformat
import pytest

import qieval as qe
from qi_notebooks import safety

# Made up, and valid by the check digit alone: 999 numbers are never given to people.
NHS_NUMBER = "9990000042"
POSTCODE = "SW1A 1AA"
CLEAN = {
    "cells": [{"cell_type": "markdown", "source": ["# A study\n", "of 1234567890 things"], "metadata": {}}]
}


def code(**given):
    cell = {"cell_type": "code", "source": "", "outputs": [], "execution_count": None, "metadata": {}}
    return {"cells": [CLEAN["cells"][0], {**cell, **given}], "metadata": {}}


def kinds(notebook):
    return [(problem.cell, problem.kind) for problem in safety.problems(notebook)]


def test_the_made_up_number_passes_the_check():
    assert qe.data.find_identifiers(NHS_NUMBER) == {"NHS number": 1}


def test_a_clean_notebook_has_no_problems():
    assert safety.problems(CLEAN) == []
    assert safety.problems(code(source="x = 1")) == []


def test_outputs_and_counters_are_found():
    outputs = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
    assert kinds(code(outputs=outputs, execution_count=4)) == [(2, "output"), (2, "execution count")]


def test_widget_state_is_found_wherever_it_is_kept():
    state = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    whole = {**CLEAN, "metadata": {"widgets": state}}
    assert kinds(whole) == [(None, "widget state in the metadata")]
    assert (2, "widget state") in kinds(code(outputs=[{"output_type": "display_data", "data": state}]))


@pytest.mark.parametrize("value", [NHS_NUMBER, "999 000 0042", POSTCODE])
def test_identifiers_are_found_in_every_part(value):
    kind = "postcode" if value == POSTCODE else "NHS number"
    assert kinds(code(source=["x = 1\n", f"who = '{value}'"])) == [(2, f"{kind} in the source")]
    assert kinds(code(metadata={"note": [value]})) == [(2, f"{kind} in the metadata")]
    assert kinds(code(metadata={value: 1})) == [(2, f"{kind} in the metadata")]
    assert kinds({**CLEAN, "metadata": {"a": {"b": value}}}) == [(None, f"{kind} in the metadata")]
    table = [{"output_type": "display_data", "data": {"text/html": ["<td>", value, "</td>"]}}]
    assert kinds(code(outputs=table)) == [(2, "output"), (2, f"{kind} in the output")]


def test_numbers_and_separate_values_are_looked_at_one_by_one():
    assert kinds(code(metadata={"ids": [int(NHS_NUMBER)]})) == [(2, "NHS number in the metadata")]
    assert kinds(code(metadata={"options": ["77", NHS_NUMBER, "88"]})) == [(2, "NHS number in the metadata")]


def test_the_code_of_pictures_is_not_read_but_drawings_in_text_are():
    picture = [{"output_type": "display_data", "data": {"image/png": f"+{NHS_NUMBER}+"}}]
    assert kinds(code(outputs=picture)) == [(2, "output")]
    drawing = [{"output_type": "display_data", "data": {"image/svg+xml": f"<text>{NHS_NUMBER}</text>"}}]
    assert (2, "NHS number in the output") in kinds(code(outputs=drawing))


def test_a_problem_never_shows_the_value():
    notebook = code(source=f"who = '{NHS_NUMBER}'")
    assert NHS_NUMBER not in repr(safety.problems(notebook))
    assert [str(problem) for problem in safety.problems(notebook)] == ["cell 2: NHS number in the source"]


def test_files_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "study.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"'{POSTCODE}'")]), path)
    assert [problem.kind for problem in safety.check(path)] == ["postcode in the source"]


@pytest.mark.parametrize("content", ["", "not json", "[1]", json.dumps({"worksheets": []}), '{"cells": [1]}'])
def test_what_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "study.ipynb"
    path.write_text(content)
    with pytest.raises(qe.QievalError, match="is not a Jupyter notebook"):
        safety.check(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(qe.QievalError, match="there is no file"):
        safety.check(tmp_path / "nothing.ipynb")
