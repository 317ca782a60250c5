"""What makes a study reproducible: fingerprints of data, versions, and protocols that were locked
beforehand."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.design import Design
from qieval.errors import DataError, DesignError

PACKAGES = ("qieval", "numpy", "scipy", "pandas", "statsmodels", "linearmodels", "scikit-learn", "plotnine")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def fingerprint(frame: pd.DataFrame, columns: Iterable[str]) -> str:
    """A sha256 of the used columns that does not depend on the order of rows or columns.

    Rows are hashed one by one and the sorted hashes are hashed again: equal data give equal fingerprints,
    and no value can be read back from it.

    >>> frame = pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})
    >>> fingerprint(frame, ["a", "b"]) == fingerprint(frame.iloc[::-1], ["b", "a"])
    True
    """
    names = sorted(set(columns))
    hashes = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        bits = _bits(frame[name])
        for start in range(0, len(bits), _BLOCK):  # small enough to stay in the processor's cache
            block = hashes[start : start + _BLOCK]
            block *= np.uint64(_MULTIPLIERS[2])
            block += _mixed(bits[start : start + _BLOCK])
    hashes.sort()
    seal = hashlib.sha256("\n".join(names).encode())
    seal.update(hashes.tobytes())
    return seal.hexdigest()


_BLOCK = 16_384
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15)
"""Odd constants of the splitmix64 generator (Steele, Lea and Flood 2014)."""


def _bits(column: pd.Series[Any]) -> np.ndarray:
    """64 bits for each value, the same for equal values (n,)."""
    kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else "O"
    held = column.to_numpy() if kind in "fiubM" else None
    if held is None or held.dtype.itemsize > 8:
        plain = column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
        return pd.util.hash_array(plain, categorize=True)
    if kind == "f":
        wide = held.astype(np.float64) + 0.0  # one zero
        wide[np.isnan(wide)] = np.nan  # one kind of missing
        return wide.view(np.uint64)
    return held.astype(np.int64).view(np.uint64)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Bits scattered so that sums of them tell rows apart (splitmix64)."""
    out = bits ^ np.uint64(_MULTIPLIERS[2])
    for shift, multiplier in ((30, _MULTIPLIERS[0]), (27, _MULTIPLIERS[1])):
        out ^= out >> np.uint64(shift)
        out *= np.uint64(multiplier)
    out ^= out >> np.uint64(31)
    return np.asarray(out)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Record:
    """Where a result came from: data fingerprint, source, attrition, seed, versions and time. No rows of
    data."""

    fingerprint: str
    rows: int
    columns: tuple[str, ...]
    source: str = ""
    attrition: pd.DataFrame | None = None
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=versions)
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def to_series(self) -> pd.Series[Any]:
        """The record as a list of facts."""
        facts = {
            "data fingerprint (sha256)": self.fingerprint,
            "rows in the data": self.rows,
            "columns used": ", ".join(self.columns),
            "source": self.source or "not stated",
            "seed": self.seed,
            "made (UTC)": self.made,
        }
        return pd.Series(
            {**facts, **{f"version of {name}": held for name, held in self.versions.items()}}, dtype=object
        )

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {held}" for name, held in self.to_series().items())


@dataclass(frozen=True, kw_only=True, repr=False)
class Protocol:
    """A design that was fixed at a stated time. Its sha256 covers the design and nothing else, so the same
    design
    always has the same hash; `save` and `load` keep it in a small JSON file.

    >>> from qieval import DifferenceInDifferences
    >>> design = DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=5)
    >>> lock(design).sha256 == lock(design).sha256
    True
    """

    design: Mapping[str, Any]
    sha256: str
    locked: str
    versions: Mapping[str, str]

    def changes(self, design: Design) -> tuple[tuple[str, Any, Any], ...]:
        """Each field that differs from the locked design: (field, as locked, as now)."""
        now = design.to_dict()
        keys = dict.fromkeys([*self.design, *now])
        return tuple(
            (key, self.design.get(key), now.get(key)) for key in keys if self.design.get(key) != now.get(key)
        )

    def to_json(self) -> str:
        """The protocol as text for a file or a register."""
        stored = {
            "design": self.design,
            "sha256": self.sha256,
            "locked": self.locked,
            "versions": self.versions,
        }
        return json.dumps(stored, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, stored: str) -> Protocol:
        """Read a protocol. DesignError when it was altered after it was locked (the hash no longer fits)."""
        try:
            held = json.loads(stored)
            made = cls(**held)
        except (json.JSONDecodeError, TypeError) as cause:
            raise DesignError(
                "protocol: this is not a protocol of qieval. Give the file that `lock` saved."
            ) from cause
        if _seal(made.design) != made.sha256:
            raise DesignError(
                "protocol: the design in this file does not fit its sha256, so it was changed after it was"
                " locked. A changed protocol proves nothing; use the original file or lock a new design and"
                " say so."
            )
        return made

    def save(self, path: str | Path) -> Path:
        """Write the protocol; an existing file is never overwritten, since a protocol is made once."""
        target = Path(path)
        if target.exists():
            raise DataError(
                f"path: '{target.name}' exists already. A locked protocol is not overwritten; choose another"
                " name."
            )
        target.write_text(self.to_json(), encoding="utf-8")
        return target

    @classmethod
    def load(cls, path: str | Path) -> Protocol:
        """Read a saved protocol and verify its hash."""
        target = Path(path)
        if not target.is_file():
            raise DataError(f"path: there is no file '{target.name}'. Give the path of a saved protocol.")
        return cls.from_json(target.read_text(encoding="utf-8"))

    def __repr__(self) -> str:
        return f"Protocol locked {self.locked}, sha256 {self.sha256}"

    def _repr_html_(self) -> str:
        said = {key: held for key, held in self.design.items() if held not in (None, "", [], {})}
        rows = [(key, markup.words(held)) for key, held in said.items()]
        seal = markup.paragraph(f"Locked {self.locked}. sha256 {self.sha256}", "qieval-note")
        return markup.card("Locked protocol", seal + markup.rows_table(("field", "as locked"), rows))


def lock(design: Design) -> Protocol:
    """Fix a design before outcomes are looked at: canonical JSON, its sha256, the time and the package
    versions."""
    stored = design.to_dict()
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Protocol(design=stored, sha256=_seal(stored), locked=made, versions=versions())


def _seal(stored: Mapping[str, Any]) -> str:
    canonical = json.dumps(stored, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
