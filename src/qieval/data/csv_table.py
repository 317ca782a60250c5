"""The raw table in a CSV file: encoding, separator, header, blank lines, totals. Oddities become notes."""

import codecs
import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pandas as pd

from qieval.errors import DataError
from qieval.text import plural

CHUNK = 1 << 20
SEPARATORS = (",", "\t", ";", "|")
TOTALS = ("total", "totals", "grand total", "all", "england", "national", "sum")
FIRST_LINES = 50


@dataclass(frozen=True)
class RawTable:
    """Cells as text (missing where a row is short), how many blank lines were left out, and notes."""

    cells: pd.DataFrame
    blank: int
    notes: tuple[str, ...]


def raw_table(path: Path, skip: int) -> RawTable:
    """Read all cells as text without the first `skip` lines. DataError when the file is not one table."""
    encoding = _encoding(path)
    notes = [] if encoding == "utf-8-sig" else [f"The file is not UTF-8; it was read as {encoding}."]
    lines = _first_lines(path, encoding, skip)
    blank_top = next((at for at, line in enumerate(lines) if line.strip()), None)
    if blank_top is None:
        raise DataError(f"path: '{path.name}' is empty. Export it again.")
    if lines[blank_top].lstrip("\ufeff \t").startswith(("<", "{", "[")):
        raise DataError(
            f"path: '{path.name}' is not a table; it begins like a web page or JSON. A download may have "
            "failed: look at it."
        )
    separator = _separator(lines[blank_top])
    if separator != ",":
        notes.append(f"The columns are separated by {separator!r}, not by commas.")
    _refuse_titles(path, lines[blank_top:], separator, skip + blank_top)
    everything = _cells(path, encoding, separator, skip + blank_top)
    names, renamed = _names(everything.iloc[0])
    cells = everything.iloc[1:].set_axis(names, axis=1)
    empty = cells.isna().all(axis=1) | (cells == "").all(axis=1)
    kept, dropped = _without_empty_columns(cells[~empty].reset_index(drop=True))
    notes += renamed + dropped + _totals(kept) + _footnotes(kept)
    return RawTable(kept, int(empty.sum()), tuple(notes))


def opened(path: Path) -> IO[bytes]:
    """The file as bytes, uncompressed."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _encoding(path: Path) -> str:
    """utf-8-sig, utf-16 (by its mark) or cp1252. DataError for what is no text at all."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    unicode = True
    try:
        with opened(path) as file:
            start = file.read(2)
            if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-16"
            chunk = start + file.read(CHUNK)
            while chunk:
                if b"\0" in chunk:
                    raise DataError(
                        f"path: '{path.name}' is not text, although its name says so. Save it as CSV (an "
                        "Excel "
                        "workbook that was renamed does not become one)."
                    )
                unicode = unicode and _decodes(decoder, chunk)
                chunk = file.read(CHUNK)
    except (gzip.BadGzipFile, EOFError) as cause:
        raise DataError(f"path: '{path.name}' is not a whole gzip file ({cause}). Copy it again.") from cause
    return "utf-8-sig" if unicode else "cp1252"


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes) -> bool:
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _first_lines(path: Path, encoding: str, skip: int) -> list[str]:
    with opened(path) as file:
        reader = codecs.getreader(encoding)(file, "replace")
        return [line for line, _ in zip(reader, range(skip + FIRST_LINES), strict=False)][skip:]


def _separator(header: str) -> str:
    """The separator that the header line has most of; commas when there is none."""
    return max(SEPARATORS, key=header.count)


def _refuse_titles(path: Path, lines: list[str], separator: str, skipped: int) -> None:
    """Lines with a title above the header would make every name wrong."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in csv.reader(lines, delimiter=separator)]
    usual = Counter(count for count in filled[1:] if count > 1).most_common(1)
    if not usual or usual[0][0] < 3 or filled[0] > 1:
        return
    header = next(at for at, count in enumerate(filled) if count > max(1, usual[0][0] // 2))
    raise DataError(
        f"path: the first line of '{path.name}' fills 1 cell, later lines {usual[0][0]}: there seems to be a "
        "title "
        f"above the header. Leave the title out with skip={skipped + header}."
    )


def _cells(path: Path, encoding: str, separator: str, skip: int) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=skip,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding=encoding,
        )
    except pd.errors.ParserError as cause:
        raise DataError(
            f"path: the lines of '{path.name}' have different numbers of cells ({str(cause).strip()}). A "
            "comma inside a "
            "cell without quotation marks does this; export the file again with quotation marks."
        ) from cause
    except UnicodeDecodeError as cause:
        raise DataError(
            f"path: '{path.name}' is text neither in UTF-8 nor in cp1252 (byte {cause.start:,}). Save it as "
            "'CSV UTF-8'."
        ) from cause


def _names(header: "pd.Series[str]") -> tuple[list[str], list[str]]:
    """Names without padding, each once; and notes on those that were changed."""
    given = ["" if pd.isna(name) else str(name) for name in header]
    names: list[str] = []
    notes = []
    padded = sum(name != " ".join(name.split()) for name in given)
    if padded:
        notes.append(f"{plural(padded, 'column name')} had spaces at an end or doubled; they were taken out.")
    for at, raw in enumerate(given, start=1):
        name = " ".join(raw.split())
        if not name:
            name = f"column_{at}"
            notes.append(f"Column {at} has no name; it is called {name}.")
        if name in names:
            times = sum(name == other or other.startswith(f"{name}_") for other in names) + 1
            notes.append(f"The column name '{name}' occurs again; the later one is called {name}_{times}.")
            name = f"{name}_{times}"
        names.append(name)
    return names, notes


def _without_empty_columns(cells: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out unnamed columns without any content, which come from commas at the ends of lines."""
    empty = [
        name
        for at, name in enumerate(cells.columns, start=1)
        if name == f"column_{at}" and (cells[name].isna() | (cells[name] == "")).all()
    ]
    note = f"{plural(len(empty), 'column')} without name and content were left out."
    return cells.drop(columns=empty), [note] if empty else []


def _totals(cells: pd.DataFrame) -> list[str]:
    """Notes on rows that look like totals: counting them beside their parts would count everything twice."""
    notes = []
    for name in cells.columns:
        total = cells[name].str.strip().str.lower().isin(TOTALS)
        if total.any() and not total.all():
            notes.append(
                f"{name}: {plural(int(total.sum()), 'row')} look like totals "
                f"({_words(cells.loc[total, name])}). They "
                f"were kept; leave them out with extract.keep(extract.frame['{name}'] != ..., 'totals') if "
                "they are."
            )
    return notes


def _words(found: "pd.Series[str]") -> str:
    return ", ".join(sorted(found.str.strip().unique()))


def _footnotes(cells: pd.DataFrame) -> list[str]:
    """A note on rows at the end in which only the first cell is filled."""
    if cells.shape[1] < 3 or not len(cells):
        return []
    alone = (cells.iloc[:, 1:].fillna("") == "").all(axis=1).to_numpy()
    count = int(alone[::-1].cumprod().sum())
    if not 0 < count < len(cells):
        return []
    return [
        f"The last {plural(count, 'row')} fill only the first column, as footnotes do. They were kept; leave "
        "them out "
        "with `keep` if they are."
    ]
