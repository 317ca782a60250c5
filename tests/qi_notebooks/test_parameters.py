"""Reading, injecting and rewriting the cell tagged "parameters"."""

import nbformat
import pytest

import qieval as qe
from qi_notebooks import parameters

SOURCE = """# What the study starts with. Größe: "µ".
data = "example:pilot"  # a path
start: str = None
pair = name = 3
draws = (
    100
)
ü = "ä"; level = 0.95  # two in a line"""


@pytest.fixture
def notebook():
    cells = [
        nbformat.v4.new_markdown_cell("# title"),
        nbformat.v4.new_code_cell(SOURCE, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(data)"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("setting", "parsed"),
    [
        ("start=2022-04", ("start", "2022-04")),
        ("start=2022", ("start", 2022)),
        ("ok=true", ("ok", True)),
        ("ok=False", ("ok", False)),
        ("cluster=null", ("cluster", None)),
        ('covariates=["age", "sex"]', ("covariates", ["age", "sex"])),
        ("question=a=b", ("question", "a=b")),
        ("empty=", ("empty", "")),
    ],
)
def test_values_are_json_or_text(setting, parsed):
    assert parameters.parse(setting) == parsed


@pytest.mark.parametrize("setting", ["start", "=3", "2start=3", "a b=3"])
def test_what_is_not_name_and_value_is_refused(setting):
    with pytest.raises(qe.QievalError, match="not NAME=VALUE"):
        parameters.parse(setting)


def test_known_names_in_order(notebook):
    assert list(parameters.known(notebook)) == ["data", "start", "draws", "ü", "level"]


def test_a_notebook_without_the_cell_knows_no_names():
    assert parameters.known(nbformat.v4.new_notebook()) == {}


def test_injected_values_follow_the_cell(notebook):
    parameters.inject(notebook, {"start": "2022-04", "draws": 9})
    assert [cell.source for cell in notebook.cells[1:3]] == [SOURCE, "start = '2022-04'\ndraws = 9"]
    assert notebook.cells[2].metadata.tags == [parameters.INJECTED_TAG]


def test_nothing_to_inject_leaves_the_notebook_alone(notebook):
    parameters.inject(notebook, {})
    assert len(notebook.cells) == 3


def test_an_unknown_name_is_refused_with_the_known_ones(notebook):
    with pytest.raises(qe.QievalError, match=r"stat: .* Its parameters are: data, start, draws, ü, level"):
        parameters.inject(notebook, {"stat": 1})
    with pytest.raises(qe.QievalError, match="no cell is tagged"):
        parameters.inject(nbformat.v4.new_notebook(), {"start": 1})


def test_rewritten_values_keep_comments_and_the_other_lines(notebook):
    parameters.rewrite(notebook, {"data": "ä/x.csv", "start": 3, "draws": [1], "ü": None, "level": 0.9})
    expected = (
        SOURCE.replace('"example:pilot"', "'ä/x.csv'")
        .replace("str = None", "str = 3")
        .replace("100", "[1]")
        .replace('"ä"', "None")
        .replace("0.95", "0.9")
    )
    assert notebook.cells[1].source == expected


def test_a_cell_that_is_not_python_is_told(notebook):
    notebook.cells[1].source = "start = = 3"
    with pytest.raises(qe.QievalError, match="line 1 of the cell"):
        parameters.known(notebook)
