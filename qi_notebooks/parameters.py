"""The cell tagged "parameters": what a notebook can be told before it runs."""

import ast
import json
from typing import Any

import nbformat

import qieval as qe

TAG = "parameters"
INJECTED_TAG = "injected-parameters"
PYTHON_WORDS = {"True": True, "False": False, "None": None}


def parse(setting: str) -> tuple[str, Any]:
    """Split 'NAME=VALUE'; the value is read as JSON, else as Python's True, False, None, else as text.

    Raises QievalError when there is no '=' or the name cannot be a Python name.

    >>> parse("draws=200"), parse("start=2022-04"), parse('covariates=["age"]'), parse("cluster=None")
    (('draws', 200), ('start', '2022-04'), ('covariates', ['age']), ('cluster', None))
    """
    name, equals, value = setting.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise qe.QievalError(f"parameter: '{setting}' is not NAME=VALUE. Write for example -p start=2022-04.")
    if value in PYTHON_WORDS:
        return name, PYTHON_WORDS[value]
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def position(notebook: nbformat.NotebookNode) -> int | None:
    """The index of the first code cell tagged "parameters"; None when there is none."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", []):
            return index
    return None


def known(notebook: nbformat.NotebookNode) -> dict[str, ast.expr]:
    """The names that the parameters cell sets, with the expression of each, in order.

    Empty when there is no such cell. Raises QievalError when the cell is not Python.
    """
    index = position(notebook)
    return {} if index is None else dict(_assignments(notebook.cells[index].source))


def inject(notebook: nbformat.NotebookNode, values: dict[str, Any]) -> None:
    """Insert a cell after the parameters cell that sets `values`, all of which must be names that it knows.

    Changes `notebook`. Raises QievalError for an unknown name, listing the known ones.
    """
    if not values:
        return
    refuse_unknown(list(values), list(known(notebook)))
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": [INJECTED_TAG]})
    index = position(notebook)
    assert index is not None  # refuse_unknown has seen the names of that cell
    notebook.cells.insert(index + 1, cell)


def rewrite(notebook: nbformat.NotebookNode, values: dict[str, Any]) -> None:
    """Put `values` in place of the expressions in the parameters cell; its comments and other lines stay.

    Changes `notebook`. Raises QievalError for an unknown name.
    """
    refuse_unknown(list(values), list(known(notebook)))
    index = position(notebook)
    if index is None:
        return
    cell = notebook.cells[index]
    lines = cell.source.encode().splitlines(keepends=True)
    # From the last to the first, so that the positions of those still to come stay true. They count bytes.
    for name, held in sorted(_assignments(cell.source), key=_place, reverse=True):
        if name in values:
            first, last = held.lineno - 1, (held.end_lineno or held.lineno) - 1
            before, after = lines[first][: held.col_offset], lines[last][held.end_col_offset :]
            lines[first : last + 1] = [before + repr(values[name]).encode() + after]
    cell.source = b"".join(lines).decode()


def refuse_unknown(names: list[str], allowed: list[str]) -> None:
    """Raise QievalError when a name is not among the allowed ones."""
    unknown = [name for name in names if name not in allowed]
    if unknown:
        listed = ", ".join(allowed) if allowed else "none (no cell is tagged 'parameters')"
        raise qe.QievalError(
            [f"{name}: the notebook has no such parameter. Its parameters are: {listed}." for name in unknown]
        )


def _place(assignment: tuple[str, ast.expr]) -> tuple[int, int]:
    return assignment[1].lineno, assignment[1].col_offset


def _assignments(source: str) -> list[tuple[str, ast.expr]]:
    """Name and value of every plain assignment of a cell."""
    try:
        tree = ast.parse(source)
    except SyntaxError as cause:
        raise qe.QievalError(
            f"parameters: line {cause.lineno} of the cell with that tag is not Python ({cause.msg}), so "
            "its names cannot be read. Keep only lines such as `start = None` in that cell."
        ) from cause
    found = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            found.append((target.id, value))
    return found
