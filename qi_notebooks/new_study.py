"""A study notebook made from the template of a method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

import qieval as qe
from qi_notebooks import guess, headless, lab, parameters

DATA = "data"


@dataclass(frozen=True)
class NewStudy:
    """What was made: the notebook, the parameters that were filled in, and the ones left for the user."""

    path: Path
    filled: dict[str, Any]
    left: tuple[str, ...]


def create(method: str, *, data: Path | None = None, out: Path | None = None) -> NewStudy:
    """Write a study notebook for a method of the catalogue and fill in what can be told from the data.

    out: the new notebook, by default named after the method, in the current folder; a file that exists is
    never overwritten. data: a file that `qe.data.read` reads; its columns are matched to the roles of the
    design. Raises QievalError for an unknown method, a file that exists, or data that cannot be read.
    """
    entry = qe.method_named(method)
    notebook = headless.read(template(entry.stem))
    target = out if out is not None else Path(f"{entry.stem}.ipynb")
    _refuse_bad_target(target)
    known = parameters.known(notebook)
    filled: dict[str, Any] = {}
    if data is not None:
        columns = qe.data.describe(qe.data.read(data))
        filled = {DATA: _written_path(data, target), **guess.roles(entry.design, columns)}
    filled = {name: value for name, value in filled.items() if name in known}
    parameters.rewrite(notebook, filled)
    nbformat.write(notebook, target)
    roles = [DATA, *qe.fields_of(entry.design)]
    required = [name for name in roles if name in known and name not in filled]
    return NewStudy(target, filled, tuple(required))


def template(stem: str) -> Path:
    """The template of a method. Raises QievalError when the method has none."""
    path = lab.TEMPLATES / f"{stem}.ipynb"
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
