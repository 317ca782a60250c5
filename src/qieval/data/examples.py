"""Example data sets: simulated, from an installed package, or public files that are fetched once."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pandas as pd

from qieval.data.example_catalogue import EXAMPLES, Example
from qieval.data.extract import Extract
from qieval.data.remote import fetched, fingerprint
from qieval.data.rhc import WHERE
from qieval.errors import DataError, DependencyError, nearest


def examples() -> pd.DataFrame:
    """The example data sets: name, what it is, rows, columns, source, licence, the methods it suits, and
    whether it is fetched at its first use.

    >>> examples().set_index("name").loc["organ_donations", "rows"]
    np.int64(162)
    """
    listed = [
        {
            "name": name,
            "what": held.what,
            "rows": held.rows,
            "columns": held.columns,
            "source": held.source,
            "licence": held.licence,
            "suits": held.suits,
            "fetched": held.remote is not None,
        }
        for name, held in EXAMPLES.items()
    ]
    return pd.DataFrame(listed)


def example(name: str, *, directory: str | Path | None = None) -> Extract:
    """One example data set by its name; `examples()` lists them.

    Simulated ones are made; others are read where they lie in the installed package causaldata or
    linearmodels, which is not imported (it would load statsmodels). Public files (`fetched` in `examples()`)
    are fetched at the first use, verified and kept: in `directory`, else in the folder that the variable
    QIEVAL_DATA of the environment names, else in the user's cache; a file that lies there already needs no
    network. Categories that are numbers become numbers; nothing else is altered, except as `what` says.

    Raises DataError for an unknown name or a file with other content, and DependencyError when the package is
    not installed or a file cannot be fetched.

    >>> example("organ_donations").frame["california"].sum()
    np.int64(6)
    """
    if name not in EXAMPLES:
        known = ", ".join(EXAMPLES)
        hint = " " + WHERE if name == "rhc" else nearest(name, EXAMPLES)
        raise DataError(f"name: there is no example '{name}'. There are {known}.{hint}")
    held = EXAMPLES[name]
    if held.made is not None:
        frame, sha256 = held.made(), None
    elif held.remote is not None:
        path = fetched(held.remote, directory)
        frame, sha256 = pd.read_csv(path, low_memory=False), fingerprint(path.read_bytes())
    else:
        folder = _package_folder(name, held.package)
        paths = [folder / file for file in (held.file, *held.more)]
        read = [_numbers_for_categories(_read(path, held.package)) for path in paths]
        frame = pd.concat(read, ignore_index=True)
        sha256 = hashlib.sha256(paths[0].read_bytes()).hexdigest() if len(paths) == 1 else None
    if held.prepared is not None:
        frame = held.prepared(frame)
    notes = (held.what, f"Licence: {held.licence}.", *_whence(held))
    return Extract(frame=frame, source=held.source, notes=notes, sha256=sha256)


def _whence(held: Example) -> tuple[str, ...]:
    return () if held.remote is None else (f"Fetched from {held.remote.address}.",)


def _package_folder(name: str, package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"The example '{name}' lies in the Python package {package}, which is not installed. Install it"
            f" with 'pip install {package}', or use the example 'pilot', which needs nothing."
        )
    return Path(spec.submodule_search_locations[0])


def _read(path: Path, package: str) -> pd.DataFrame:
    if not path.is_file():
        raise DependencyError(
            f"The installed package {package} has no file {path.parent.name}/{path.name}. Install its latest"
            f" version: 'pip install --upgrade {package}'."
        )
    return pd.read_stata(path) if path.suffix == ".dta" else pd.read_csv(path)


def _numbers_for_categories(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.assign(**{name: pd.to_numeric(frame[name].astype("str")) for name in grouped})
