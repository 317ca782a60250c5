"""Running a notebook without a screen. The shipped templates are run in test_template.py."""

import nbformat
import pytest

import qieval as qe
from qi_notebooks import headless

PARAMETERS = "interactive = True\nstart = None"


def notebook(path, *sources):
    cells = [nbformat.v4.new_markdown_cell("# A study")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    if sources and sources[0] == PARAMETERS:
        cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_parameters_reach_the_report_and_the_notebook_stays_as_it_was(tmp_path):
    (tmp_path / "beside.txt").write_text("read beside the notebook")
    study = notebook(
        tmp_path / "study.ipynb",
        PARAMETERS,
        "import qieval as qe, ipywidgets\n"
        "from tqdm.auto import tqdm\n"
        "from pathlib import Path\n"
        "display(ipywidgets.Text('seen')); list(tqdm(range(3)))\n"
        "report = qe.Report(f'{start} {interactive}', Path('beside.txt').read_text(), ())\n"
        "later = qe.Report('not this one', '', ())",
    )
    before = study.read_bytes()
    out = tmp_path / "report.html"
    headless.run(study, {"start": "2022-04"}, out)
    assert "2022-04 False" in out.read_text(encoding="utf-8")
    assert "read beside the notebook" in out.read_text(encoding="utf-8")
    assert study.read_bytes() == before


def test_a_failing_cell_is_shown_with_its_error_and_there_is_no_report(tmp_path):
    study = notebook(tmp_path / "study.ipynb", "x = 1", "y = 0\nx / y", "z = 1")
    with pytest.raises(headless.NotebookError) as caught:
        headless.run(study, {}, tmp_path / "report.html")
    text = str(caught.value)
    assert "cell 3 failed" in text
    assert "    x / y" in text
    assert "ZeroDivisionError: division by zero" in text
    assert not (tmp_path / "report.html").exists()


def test_a_notebook_that_makes_no_report_is_told_so(tmp_path):
    study = notebook(tmp_path / "study.ipynb", "x = 1")
    with pytest.raises(headless.NotebookError, match="made no report") as caught:
        headless.run(study, {}, tmp_path / "report.html")
    assert "failed" not in str(caught.value)


def test_a_kernel_that_dies_is_told(tmp_path):
    study = notebook(tmp_path / "study.ipynb", "import os; os._exit(1)")
    with pytest.raises(headless.NotebookError, match="cell 2: the Python process died"):
        headless.run(study, {}, tmp_path / "report.html")


def test_only_the_first_lines_of_a_long_cell_are_shown(tmp_path):
    study = notebook(tmp_path / "study.ipynb", "\n".join([*("x = 1" for _ in range(99)), "1 / 0"]))
    with pytest.raises(headless.NotebookError, match="and 70 more lines"):
        headless.run(study, {}, tmp_path / "report.html")


@pytest.mark.parametrize(
    ("name", "said"), [("r.pdf", "neither .html nor .md"), ("no/r.html", "does not exist")]
)
def test_a_bad_target_is_refused_before_anything_runs(tmp_path, name, said):
    study = notebook(tmp_path / "study.ipynb", "open('ran.txt', 'w').close()")
    with pytest.raises(headless.NotebookError, match=said):
        headless.run(study, {}, tmp_path / name)
    assert not (tmp_path / "ran.txt").exists()


def test_an_unknown_parameter_is_refused_with_the_known_ones(tmp_path):
    study = notebook(tmp_path / "study.ipynb", PARAMETERS)
    with pytest.raises(qe.QievalError, match="Its parameters are: interactive, start"):
        headless.run(study, {"begin": 1}, tmp_path / "report.html")


@pytest.mark.parametrize("content", ["", "text", "[1]", '{"nbformat": 4}'])
def test_what_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "study.ipynb"
    path.write_text(content)
    with pytest.raises(headless.NotebookError, match="is not a Jupyter notebook"):
        headless.read(path)
    with pytest.raises(headless.NotebookError, match="there is no file"):
        headless.read(tmp_path / "other.ipynb")


def test_the_variable_report_comes_first_then_the_last_one_made(tmp_path):
    first, last = qe.Report("first", "", ()), qe.Report("last", "", ())
    out = tmp_path / "report.md"
    headless.deliver({"report": first, "other": last}, str(out))
    assert "first" in out.read_text(encoding="utf-8")
    headless.deliver({"report": 3, "a": first, "b": last, "_c": first}, str(out))
    assert "last" in out.read_text(encoding="utf-8")
