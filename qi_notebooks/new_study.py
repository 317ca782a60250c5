"""A study notebook made from the template of a method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

import qieval as qe
from qi_notebooks import guess, headless, lab, parameters

DATA = "data"
IMPROVEMENT = "improvement_charts"
"""The one template of all charts; as a method it stands for the control chart."""


@dataclass(frozen=True)
class NewStudy:
    """What was made: the notebook, the parameters that were filled in, and the ones left for the user."""

    path: Path
    filled: dict[str, Any]
    left: tuple[str, ...]


def create(method: str, *, data: Path | None = None, out: Path | None = None) -> NewStudy:
    """Write a study notebook for a method or for improvement charts, and fill in what the data tell.

    out: the new notebook, by default named after the method, in the current folder; a file that exists is
    never overwritten. data: a file that `qe.data.read` reads; its columns are matched to the roles of the
    design. Raises QievalError for an unknown method, a file that exists, or data that cannot be read.
    """
    charts = method.lower() == IMPROVEMENT
    entry = qe.method_named("control_chart" if charts else method)
    notebook = headless.read(template(entry.stem))
    target = out if out is not None else Path(f"{IMPROVEMENT if charts else entry.stem}.ipynb")
    _refuse_bad_target(target)
    known = parameters.known(notebook)
    filled: dict[str, Any] = {}
    if data is not None:
        columns = qe.data.describe(qe.data.read(data))
        filled = {DATA: _written_path(data, target), **guess.roles(entry.design, columns)}
    if entry.design is qe.RunChart:
        filled["kind"] = "run"
    filled = {name: value for name, value in filled.items() if name in known}
    parameters.rewrite(notebook, filled)
    nbformat.write(notebook, target)
    roles = [DATA, *qe.fields_of(entry.design)]
    required = [name for name in roles if name in known and name not in filled]
    return NewStudy(target, filled, tuple(required))


def template(stem: str) -> Path:
    """The template of a method; charts share one. Raises QievalError when the method has none."""
    shared = stem in [method.stem for method in qe.CHARTS]
    path = lab.TEMPLATES / f"{IMPROVEMENT if shared else stem}.ipynb"
    if not path.is_file():
        raise qe.QievalError(
            f"method: '{stem}' has no template notebook; use it from Python (see qieval methods)."
        )
    return path


def _refuse_bad_target(target: Path) -> None:
    if target.suffix != ".ipynb":
        raise qe.QievalError(
            f"out: '{target.name}' does not end in .ipynb, so JupyterLab would not open it. Rename it."
        )
    if target.exists():
        raise qe.QievalError(
            f"out: '{target}' exists and is not overwritten. Choose another name with --out."
        )
    if not target.resolve().parent.is_dir():
        raise qe.QievalError(f"out: the folder '{target.parent}' does not exist. Make it first.")


def _written_path(data: Path, notebook: Path) -> str:
    """The data's path as the notebook writes it: relative where the data lie beside or below the notebook."""
    folder = notebook.resolve().parent
    place = data.resolve()
    return (place.relative_to(folder) if place.is_relative_to(folder) else place).as_posix()
