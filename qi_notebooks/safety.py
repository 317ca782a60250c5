"""What must not be in a notebook that leaves your hands: outputs, widget state, identifiers of people."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qieval as qe
from qi_notebooks.headless import NotebookError

BASE64 = ("image/png", "image/jpeg", "image/gif", "application/pdf")
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


@dataclass(frozen=True)
class Problem:
    """One thing that should not be there, never its value. `cell` counts from 1; None is the whole."""

    cell: int | None
    kind: str

    def __str__(self) -> str:
        where = "notebook" if self.cell is None else f"cell {self.cell}"
        return f"{where}: {self.kind}"


def check(path: Path) -> list[Problem]:
    """The problems of the notebook at `path`. Raises NotebookError when there is no notebook."""
    if not path.is_file():
        raise NotebookError(f"notebook: there is no file '{path}'. Check its name and folder.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as cause:
        raise NotebookError(
            f"notebook: '{path}' is not a Jupyter notebook (its content is not JSON)."
        ) from cause
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise NotebookError(
            f"notebook: '{path}' is not a Jupyter notebook of format 4 (it has no list of cells)."
        )
    return problems(content)


def problems(notebook: Mapping[str, Any]) -> list[Problem]:
    """The problems of a notebook given as the content of its file, in the order of its cells.

    >>> problems({"cells": [{"cell_type": "code", "source": "1 + 1", "outputs": [{}], "execution_count": 3}]})
    [Problem(cell=1, kind='output'), Problem(cell=1, kind='execution count')]
    """
    found = list(_of_notebook(notebook))
    for number, cell in enumerate(notebook["cells"], start=1):
        found += [Problem(number, kind) for kind in _of_cell(cell)]
    return found


def _of_notebook(notebook: Mapping[str, Any]) -> Iterator[Problem]:
    metadata = notebook.get("metadata", {})
    if "widgets" in metadata:
        yield Problem(None, "widget state in the metadata")
    yield from (Problem(None, f"{kind} in the metadata") for kind in _identifiers(metadata))


def _of_cell(cell: Mapping[str, Any]) -> Iterator[str]:
    outputs = cell.get("outputs", [])
    if outputs:
        yield "output"
    if cell.get("execution_count") is not None:
        yield "execution count"
    if WIDGET_STATE in cell.get("metadata", {}) or any(
        WIDGET_STATE in item.get("data", {}) for item in outputs
    ):
        yield "widget state"
    parts = {"source": cell.get("source", ""), "output": outputs, "metadata": cell.get("metadata", {})}
    for part, held in {**parts, "attachments": cell.get("attachments", {})}.items():
        yield from (f"{kind} in the {part}" for kind in _identifiers(held))


def _identifiers(held: object) -> list[str]:
    """The kinds of identifiers anywhere in a piece of a notebook."""
    return [kind for kind, count in qe.data.find_identifiers("\n".join(_texts(held))).items() if count]


def _texts(held: object) -> Iterator[str]:
    """All texts and numbers in nested JSON. Text that is stored line by line is joined; the code of pictures
    is left out, because it holds runs of digits by chance."""
    if isinstance(held, Mapping):
        for key, inner in held.items():
            yield str(key)
            if key not in BASE64:
                yield from _texts(inner)
    elif isinstance(held, list):
        if held and all(isinstance(item, str) for item in held):
            # Either the lines of one text, or separate values such as the options of a widget.
            yield "".join(held)
            yield "\n".join(held)
        else:
            for item in held:
                yield from _texts(item)
    elif held is not None and not isinstance(held, bool):
        yield str(held)
