"""Run a study notebook without a screen and write its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from tqdm.auto import tqdm

import qieval as qe
from qi_notebooks import parameters

FORMATS = (".html", ".md")
SHOWN_LINES = 30
UNREADABLE = (
    nbformat.reader.NotJSONError,
    nbformat.ValidationError,
    UnicodeDecodeError,
    AttributeError,
    KeyError,
)


class NotebookError(qe.QievalError):
    """A notebook cannot be run, or one of its cells failed."""


def run(path: Path, values: dict[str, Any], out: Path) -> None:
    """Execute the notebook at `path` with the given parameters and write the report that it makes to `out`.

    The notebook itself is not changed or saved, so neither outputs nor widget state are kept. Its cells run
    in its own folder. `interactive` is set to False where the notebook has that parameter and `values` does
    not name it. The report is HTML or Markdown by the suffix of `out`. Raises NotebookError with the failing
    cell, its error's type and message; QievalError for an unknown parameter, a wrong suffix or a missing
    folder.
    """
    _refuse_bad_target(out)
    notebook = read(path)
    numbers = {id(cell): number for number, cell in enumerate(notebook.cells, start=1)}
    if "interactive" in parameters.known(notebook):
        values = {"interactive": False, **values}
    parameters.inject(notebook, values)
    delivery = nbformat.v4.new_code_cell(
        f"from qi_notebooks.headless import deliver as _deliver\n_deliver(globals(), {str(out.resolve())!r})"
    )
    notebook.cells.append(delivery)
    _execute(notebook, path.resolve().parent, numbers)


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook. Raises NotebookError when the file is missing or is not a notebook."""
    if not path.is_file():
        raise NotebookError(f"notebook: there is no file '{path}'. Check its name and folder.")
    try:
        return nbformat.read(path, as_version=4)
    except UNREADABLE as cause:
        raise NotebookError(
            f"notebook: '{path}' is not a Jupyter notebook. Give a file that ends in .ipynb."
        ) from cause


def deliver(namespace: Mapping[str, Any], path: str) -> None:
    """Save the report that a notebook made; runs in the notebook's own kernel, after its last cell.

    The report is the variable `report`, else the one made last of the other variables (a Report, or an App
    that holds one). Raises NotebookError when there is none.
    """
    found = _report(namespace.get("report"))
    if found is None:
        made = [_report(held) for name, held in namespace.items() if not name.startswith("_")]
        found = next((report for report in reversed(made) if report is not None), None)
    if found is None:
        raise NotebookError(
            "report: the notebook ran to its end but made no report, so nothing was written. "
            "End it with `report = qe.report(result, checks)` or with an App whose report step is done."
        )
    found.save(path)


def _report(held: object) -> qe.Report | None:
    """A Report itself, or the report of one of our apps."""
    if isinstance(held, qe.Report):
        return held
    if type(held).__module__.startswith("qi_notebooks"):
        inner = getattr(held, "report", None)
        return inner if isinstance(inner, qe.Report) else None
    return None


def _refuse_bad_target(out: Path) -> None:
    if out.suffix.lower() not in FORMATS:
        raise NotebookError(
            f"out: '{out.name}' ends in neither .html nor .md, the two formats of a report. Rename it."
        )
    if not out.resolve().parent.is_dir():
        raise NotebookError(
            f"out: the folder '{out.parent}' does not exist, so no report can be written. Make it first."
        )


def _execute(notebook: nbformat.NotebookNode, folder: Path, numbers: Mapping[int, int]) -> None:
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        for index, cell in enumerate(tqdm(notebook.cells, desc="run", unit="cell", leave=False)):
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as cause:
                raise NotebookError(_failure(cell, numbers.get(id(cell)), cause)) from cause
            except DeadKernelError as cause:
                raise NotebookError(
                    f"cell {numbers.get(id(cell), 'added by qieval run')}: the Python process died while it "
                    "ran, most often because memory was used up. Use fewer rows or a larger machine."
                ) from cause


def _failure(cell: nbformat.NotebookNode, number: int | None, cause: CellExecutionError) -> str:
    """What a person needs to see of a failing cell: where, its source, the error's type and message."""
    if number is None and cause.ename == NotebookError.__name__:
        return str(cause.evalue)
    lines = cell.source.splitlines()
    shown = [f"    {line}" for line in lines[:SHOWN_LINES]]
    if len(lines) > SHOWN_LINES:
        shown.append(f"    ... and {len(lines) - SHOWN_LINES} more lines")
    where = f"cell {number}" if number is not None else "a cell added by qieval run"
    return "\n".join(
        [f"{where} failed, so there is no report.", "", *shown, "", f"{cause.ename}: {cause.evalue}"]
    )
