"""Reading an extract from a file, with everything that was odd about it on record."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from qieval.data.csv_columns import Reading, typed
from qieval.data.csv_table import raw_table
from qieval.data.extract import Extract, attrition_row
from qieval.data.identifiers import find_identifiers
from qieval.errors import DataError, nearest
from qieval.text import listed, plural

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt")
ARROW = (".parquet", ".feather", ".arrow")


def read(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    person: str | None = None,
    text: Sequence[str] = (),
    day_first: bool | None = None,
    skip: int = 0,
) -> Extract:
    """Read CSV (also compressed as .gz), Parquet or Feather into an Extract.

    A CSV file is read as analysts get it: UTF-8 with or without a mark, UTF-16 or cp1252; commas, tabs,
    semicolons or bars; numbers with thousands separators; suppressed cells ("*", "-", ":", "<5", ...) in a
    numeric column become missing and are counted, never zero; dates such as 02/04/2022 with a statement in
    which order they were read; padded, repeated or absent column names; numbers with leading zeros stay
    text. Blank lines are left out with a row of attrition. Rows that look like totals or footnotes, Excel
    date serials, possible NHS numbers and postcodes are noted, not touched. All this is in `notes` of the
    Extract; read them.

    columns: the columns to keep (default: all). person: the column that tells people apart, for the
    attrition table. text: columns to leave as text. day_first: the order of day and month, if the dates do
    not show it. skip: lines above the header (CSV only). Raises DataError when the file is missing, empty,
    of another kind, or not one table.
    """
    file = _existing(Path(path))
    blank = 0
    if _suffix(file) in CSV:
        raw = raw_table(file, skip)
        chosen = _chosen(raw.cells, columns, file)
        frame, notes = _typed(chosen, Reading(tuple(text), day_first))
        blank, notes = raw.blank, [*raw.notes, *notes]
    else:
        frame = _chosen(_arrow(file), columns, file)
        notes = []
    if not frame.shape[1] or not len(frame):
        raise DataError(f"path: '{file.name}' has column names but no rows. Export it again.")
    notes += _identifier_notes(frame)
    extract = Extract(frame=frame, source=file.name, person=person, notes=tuple(notes), sha256=_sha256(file))
    return _with_blank_lines(extract, blank) if blank else extract


def _existing(path: Path) -> Path:
    """The file, or DataError with what may have been meant."""
    known = ", ".join((*CSV, *ARROW))
    if path.is_dir():
        raise DataError(f"path: '{path.name}' is a folder. Give one file of the kinds {known}.")
    if not path.is_file():
        beside = (
            [item.name for item in path.parent.iterdir() if item.is_file()] if path.parent.is_dir() else []
        )
        where = "" if path.parent.is_dir() else f" There is no folder '{path.parent.name}' either."
        raise DataError(f"path: there is no file '{path.name}'.{where}{nearest(path.name, beside)}")
    if _suffix(path) not in (*CSV, *ARROW):
        excel = (
            " Open it in Excel and save the sheet as 'CSV UTF-8'." if path.suffix.startswith(".xl") else ""
        )
        raise DataError(f"path: '{path.name}' is of a kind that is not read. There are {known}.{excel}")
    if not path.stat().st_size:
        raise DataError(f"path: '{path.name}' is empty (0 bytes). Export it again.")
    return path


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((known for known in (*CSV, *ARROW) if name.endswith(known)), path.suffix.lower())


def _arrow(path: Path) -> pd.DataFrame:
    from pyarrow import ArrowException

    reader = pd.read_parquet if _suffix(path) == ".parquet" else pd.read_feather
    try:
        return reader(path)
    except (ArrowException, OSError) as cause:
        raise DataError(f"path: '{path.name}' cannot be read as {_suffix(path)[1:]} ({cause}).") from cause


def _chosen(frame: pd.DataFrame, columns: Sequence[str] | None, path: Path) -> pd.DataFrame:
    if columns is None:
        return frame
    unknown = [name for name in columns if name not in frame.columns]
    if unknown:
        known = listed(frame.columns, 20)
        raise DataError(
            [
                f"columns: '{path.name}' has no column '{name}'.{nearest(name, frame.columns)} It has "
                f"{known}."
                for name in unknown
            ]
        )
    return frame[list(columns)]


def _typed(cells: pd.DataFrame, reading: Reading) -> tuple[pd.DataFrame, list[str]]:
    unknown = [name for name in reading.text if name not in cells.columns]
    problems = [f"text: there is no column '{name}'.{nearest(name, cells.columns)}" for name in unknown]
    read_columns: dict[str, pd.Series[Any]] = {}
    notes: list[str] = []
    for name in cells.columns:
        try:
            values, more = typed(cells[name], reading)
        except DataError as cause:
            problems += cause.problems
            continue
        read_columns[name] = values
        notes += more
    if problems:
        raise DataError(problems)
    return pd.DataFrame(read_columns), notes


def _identifier_notes(frame: pd.DataFrame) -> list[str]:
    notes = []
    for at, name in enumerate(frame.columns):
        found = find_identifiers(frame.iloc[:, at])
        if found:
            kinds = " and ".join(plural(count, f"possible {kind}") for kind, count in found.items())
            notes.append(
                f"{name}: it holds {kinds}. Pseudonymise the column, or leave it out, before going on."
            )
    return notes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_blank_lines(extract: Extract, blank: int) -> Extract:
    """The attrition begins with the lines of the file."""
    lines = len(extract.frame) + blank
    first = attrition_row(0, f"lines in {extract.source}", extract.frame, extract.person).assign(rows=lines)
    second = attrition_row(1, "line is blank", extract.frame, extract.person)
    return replace(extract, attrition=pd.concat([first, second], ignore_index=True))
