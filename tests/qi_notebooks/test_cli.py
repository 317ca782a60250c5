"""The command line, as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

import qieval as qe
from qi_notebooks import cli, lab, parameters

QIEVAL = Path(sys.executable).with_name("qieval")
COMMANDS = ["lab", "methods", "new", "run", "examples", "check-notebook"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder to work in, and a terminal of the usual width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def qieval(*words):
    return CliRunner().invoke(cli.app, words)


def test_help_says_what_there_is_and_what_exit_codes_mean(work):
    answer = qieval("--help")
    assert answer.exit_code == 0
    assert all(command in answer.stdout for command in COMMANDS)
    assert cli.CODES in answer.stdout
    assert "..." not in answer.stdout.split("Commands:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_fits_the_terminal(work, command):
    answer = qieval(command, "--help")
    assert answer.exit_code == 0
    assert max(len(line) for line in answer.stdout.splitlines()) <= 80


@pytest.mark.parametrize("words", [["nonsense"], ["run", "x.ipynb"], ["new"], ["lab", "--port", "many"]])
def test_wrong_use_has_exit_code_2(work, words):
    assert qieval(*words).exit_code == 2


def test_help_needs_neither_the_package_nor_jupyter():
    program = "import sys, qi_notebooks.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"qieval", "pandas", "jupyterlab", "nbclient", "rich"} & set(loaded.stdout.split())


def test_the_program_is_installed(work):
    answer = subprocess.run([QIEVAL, "new", "nothing"], capture_output=True, text=True)
    assert answer.returncode == 1
    assert "'nothing' is not known" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_methods_lists_the_catalogue(work):
    answer = qieval("methods")
    assert answer.exit_code == 0
    text = " ".join(answer.stdout.split())
    every = (*qe.CATALOGUE, *qe.CHARTS)
    assert all(method.stem in text and method.question in text for method in every)
    assert text.index("DID IT WORK?") < text.index("(NOT WHY)") < text.index("run_chart")
    assert max(len(line) for line in answer.stdout.splitlines()) <= 80


def test_examples_tells_where_they_come_from(work):
    answer = qieval("examples")
    assert answer.exit_code == 0
    text = " ".join(answer.stdout.split())
    assert all(row["name"] in text and row["source"] in text for row in qe.examples().to_dict("records"))


def test_new_fills_in_what_the_columns_tell(work):
    qe.example("pilot").frame.to_csv(work / "extract.csv", index=False)
    (work / "studies").mkdir()
    answer = qieval(
        "new", "difference_in_differences", "--data", "extract.csv", "--out", "studies/mine.ipynb"
    )
    assert answer.exit_code == 0, answer.stderr
    assert "unit = 'practice'" in answer.stdout
    notebook = nbformat.read(work / "studies" / "mine.ipynb", as_version=4)
    values = {name: getattr(held, "value", held) for name, held in parameters.known(notebook).items()}
    assert values["data"] == (work / "extract.csv").as_posix()
    assert (values["unit"], values["time"], values["treated"]) == ("practice", "month", "pilot")
    assert values["outcome"] is None
    left = answer.stdout.split("left at the template's value:")[1]
    assert "outcome" in left
    assert "start" in left
    assert "practice" not in left


def test_new_writes_a_path_relative_to_data_that_lie_beside(work):
    qe.example("pilot").frame.to_csv(work / "extract.csv", index=False)
    assert qieval("new", "difference_in_differences", "--data", "extract.csv").exit_code == 0
    notebook = nbformat.read(work / "difference_in_differences.ipynb", as_version=4)
    assert parameters.known(notebook)["data"].value == "extract.csv"


def test_new_without_data_is_the_template(work):
    answer = qieval("new", "DifferenceInDifferences", "--out", "mine.ipynb")
    assert answer.exit_code == 0
    assert "Nothing was filled in" in answer.stdout
    template = nbformat.read(lab.TEMPLATES / "difference_in_differences.ipynb", as_version=4)
    assert nbformat.read(work / "mine.ipynb", as_version=4) == template


@pytest.mark.parametrize(
    ("method", "written", "kind"),
    [
        ("interrupted_time_series", "interrupted_time_series.ipynb", None),
        ("improvement_charts", "improvement_charts.ipynb", None),
        ("control_chart", "control_chart.ipynb", None),
        ("run_chart", "run_chart.ipynb", "run"),
    ],
)
def test_new_knows_series_and_charts(work, method, written, kind):
    qe.example("ward_falls").frame.to_csv(work / "falls.csv", index=False)
    answer = qieval("new", method, "--data", "falls.csv")
    assert answer.exit_code == 0, answer.stderr
    held = parameters.known(nbformat.read(work / written, as_version=4))
    assert held["time"].value == "month"
    assert held["denominator"].value == "bed_days"
    assert method == "interrupted_time_series" or held["kind"].value == kind


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["difference_in_difference"], "Did you mean 'difference_in_differences'?"),
        (["difference_in_differences", "--data", "none.csv"], "there is no file 'none.csv'"),
        (["difference_in_differences", "--out", "mine.txt"], "does not end in .ipynb"),
        (["difference_in_differences", "--out", "none/mine.ipynb"], "does not exist"),
        (["difference_in_differences", "--out", "taken.ipynb"], "exists and is not overwritten"),
    ],
)
def test_new_refuses_in_words(work, words, said):
    (work / "taken.ipynb").write_text("mine")
    answer = qieval("new", *words)
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert [path.name for path in work.iterdir()] == ["taken.ipynb"]
    assert (work / "taken.ipynb").read_text() == "mine"


def test_run_writes_the_report_and_shows_a_failing_cell(work):
    cells = [
        nbformat.v4.new_code_cell("title = 'none'", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import qieval as qe\nreport = qe.Report(title.upper(), '', ())"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), work / "study.ipynb")
    answer = qieval("run", "study.ipynb", "-p", "title=mine", "--out", "report.md")
    assert answer.exit_code == 0, answer.stderr
    assert "MINE" in (work / "report.md").read_text(encoding="utf-8")

    answer = qieval("run", "study.ipynb", "-p", "title=3", "--out", "other.md")
    assert answer.exit_code == 1
    assert "report = qe.Report(title.upper(), '', ())" in answer.stderr
    assert "AttributeError" in answer.stderr
    assert not (work / "other.md").exists()


def test_check_notebook_names_file_cell_and_kind(work):
    clean = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    nbformat.write(clean, work / "clean.ipynb")
    assert qieval("check-notebook", "clean.ipynb").exit_code == 0
    leaking = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("'SW1A 1AA'", execution_count=1)])
    nbformat.write(leaking, work / "leaking.ipynb")
    answer = qieval("check-notebook", "clean.ipynb", "leaking.ipynb")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "leaking.ipynb: cell 1: execution count",
        "leaking.ipynb: cell 1: postcode in the source",
    ]
    (work / "broken.ipynb").write_text(json.dumps([1]))
    assert qieval("check-notebook", "broken.ipynb").exit_code == 1


@pytest.fixture
def served(monkeypatch):
    """What would have been started, instead of JupyterLab."""
    calls = []

    def serve(words, variables):
        calls.append((words, variables))
        return 3

    monkeypatch.setattr(lab, "serve", serve)
    return calls


def test_lab_copies_the_pages_and_starts_jupyterlab(work, served):
    answer = qieval("lab", "--port", "8890", "--no-browser", "--directory", "here")
    assert answer.exit_code == 3
    assert "start.ipynb" in answer.stdout
    assert (work / "here" / "qieval-studies" / "start.ipynb").is_file()
    [(words, variables)] = served
    assert {"--port=8890", "--no-browser"} <= set(words)
    assert variables["JUPYTER_CONFIG_PATH"].startswith(str(lab.JUPYTER_CONFIG))


def test_lab_listens_to_the_environment(work, served, monkeypatch):
    monkeypatch.setenv("QIEVAL_PORT", "8891")
    monkeypatch.setenv("QIEVAL_NO_BROWSER", "1")
    qieval("lab")
    assert {"--port=8891", "--no-browser"} <= set(served[0][0])


def test_a_folder_that_cannot_be_made_is_told_without_a_traceback(work, served):
    (work / "file").write_text("")
    answer = qieval("lab", "--directory", "file/inside")
    assert answer.exit_code == 1
    assert "file" in answer.stderr
    assert served == []
