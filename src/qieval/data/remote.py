"""Public files that do not come with the package: fetched once, verified, and kept."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qieval.errors import DataError, DependencyError

HOST = "https://raw.githubusercontent.com"
FOLDER = "QIEVAL_DATA"
"""The environment variable that names a folder to use in place of the user's cache."""


@dataclass(frozen=True)
class RemoteFile:
    """A public file at one commit of a repository, so that it cannot change.

    `name`: what it is called in the folder where it is kept. `sha256`: of its content with line endings
    written as LF, since some programs alter them on the way (see `fingerprint`).
    """

    name: str
    repository: str
    commit: str
    path: str
    sha256: str

    @property
    def address(self) -> str:
        """Where the file can be fetched."""
        return f"{HOST}/{self.repository}/{self.commit}/{self.path}"


def fingerprint(content: bytes) -> str:
    r"""The SHA-256 of a text file's content with Windows line endings written as LF, in hexadecimal.

    >>> fingerprint(b"a,b\r\n1,2\r\n") == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    True
    """
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def fetched(remote: RemoteFile, directory: str | Path | None = None) -> Path:
    """The path of a public file on this machine; it is fetched if it is not there, and verified always.

    directory: the folder to look in and to keep it in; else that of the environment variable QIEVAL_DATA,
    else the user's cache (that of pooch for "qieval"). A file that lies there is used without any network.
    Raises DependencyError when the file cannot be fetched, with the address, the place to put it by hand and
    its SHA-256; DataError when its content is not the one expected (a file just fetched is removed).
    """
    folder = _folder(directory)
    path = folder / remote.name
    was_there = path.is_file()
    if not was_there:
        _fetch(remote, folder)
    found = fingerprint(path.read_bytes())
    if found != remote.sha256:
        _refuse(remote, path, found, was_there)
    return path


def _folder(directory: str | Path | None) -> Path:
    stated = directory if directory is not None else os.environ.get(FOLDER)
    return Path(stated).expanduser() if stated else Path(_pooch().os_cache("qieval"))


def _fetch(remote: RemoteFile, folder: Path) -> None:
    pooch = _pooch()
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(remote.address, known_hash=None, fname=remote.name, path=folder)
    except (OSError, ValueError) as cause:  # requests' own errors are OSErrors
        raise DependencyError(
            f"{remote.name}: it could not be fetched from {remote.address} ({type(cause).__name__}). Fetch "
            f"it on a machine with access to the internet and put it into the folder {folder} as "
            f"{remote.name}, or into another one that the environment variable {FOLDER} names. Its SHA-256, "
            f"with LF line endings, is {remote.sha256}."
        ) from cause


def _refuse(remote: RemoteFile, path: Path, found: str, was_there: bool) -> None:
    advice = "Move it away to fetch it again" if was_there else "It was not kept. Try again later"
    if not was_there:
        path.unlink()
    raise DataError(
        f"{remote.name}: the file {path if was_there else remote.address} is not the one that was published: "
        f"its SHA-256 is {found} and not {remote.sha256}. {advice}, or fetch it by hand from "
        f"{remote.address}."
    )


def _pooch() -> Any:
    """The package pooch, imported late: it brings requests, which is slow."""
    try:
        return importlib.import_module("pooch")
    except ImportError as cause:
        raise DependencyError(
            "Public example data are fetched with the Python package pooch, which is not installed. Install "
            f"it with 'pip install pooch', or name the folder that holds the files in {FOLDER}."
        ) from cause


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Without pooch's advice to state the hash of the bytes: the content is verified here."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
