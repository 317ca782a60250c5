"""Columns of text from a CSV file: which are numbers, dates or codes. Alterations are counted in notes."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.text import plural

MISSING = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "None")
SUPPRESSED = ("*", "**", "-", "–", "—", ":", ".", "..", "#", "~", "c", "x", "z", "[c]", "[x]", "[z]", "[low]")
_LESS_THAN = r"<\s*\d+"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_THOUSANDS = r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_SIGNED = r"[-+]?[£€$]\s*[\d,.]+|[-+]?[\d,.]+\s*%"
_LEADING_ZERO = r"[-+]?0\d+"
_ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?"
_SLASH_DATE = r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)?"
_SHORT_YEAR = r"\d{1,2}[/.-](?:\d{1,2}|[A-Za-z]{3})[/.-]\d{2}"
_NAMED_DATE = r"\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4}"
MOST_DIGITS = 15
"""Longer whole numbers lose digits as floating-point numbers, so they stay text."""
_TOO_LONG = rf"[-+]?(?:\d,?){{{MOST_DIGITS + 1},}}"
NEARLY_ALL = 0.9
SERIALS = (20_000, 60_000)
"""Excel counts days from 30 December 1899; these are the years 1954 to 2064."""
EXCEL_ORIGIN = "1899-12-30"


@dataclass(frozen=True)
class Reading:
    """How the user wants columns to be read: names to keep as text, and the order of day and month."""

    text: tuple[str, ...] = ()
    day_first: bool | None = None


@dataclass(frozen=True)
class Cells:
    """The cells of one column by their different texts, since large files repeat themselves.

    texts: trimmed, missing left out. times: how often each occurs. at (rows,): the position in `texts`, -1
    where missing.
    """

    name: str
    texts: "pd.Series[str]"
    times: np.ndarray
    at: np.ndarray

    @classmethod
    def of(cls, column: "pd.Series[Any]", missing: tuple[str, ...] = ()) -> "Cells":
        """Sort out the cells of a column of text; empty ones and the words in `missing` are missing."""
        codes, raw = pd.factorize(column)
        trimmed = pd.Series(raw, dtype="str").str.strip()
        present = ~trimmed.isin(["", *missing]).to_numpy()
        place = np.append(np.where(present, np.cumsum(present) - 1, -1), -1)
        at = place[codes]
        texts = trimmed[present].reset_index(drop=True)
        return cls(str(column.name), texts, np.bincount(at[at >= 0], minlength=len(texts)), at)

    def count(self, which: "pd.Series[Any]") -> int:
        """How many cells hold one of the chosen texts."""
        return int(self.times[which.to_numpy(dtype=bool)].sum())

    def share(self, pattern: str) -> float:
        """The share of cells that match; a look at a few first."""
        if not self.texts.iloc[:3].str.fullmatch(pattern).any():
            return 0.0
        return self.count(self.texts.str.fullmatch(pattern)) / int(self.times.sum())

    def spread(self, values: "pd.Series[Any]") -> "pd.Series[Any]":
        """The column again, from one value a text."""
        return pd.Series(values.array.take(self.at, allow_fill=True), name=self.name)


def typed(column: "pd.Series[Any]", reading: Reading) -> tuple["pd.Series[Any]", list[str]]:
    """One column as numbers, dates or text, and notes on what was altered or looks odd.

    Raises DataError for dates whose order contradicts `reading.day_first`, or in which both orders occur.
    """
    whatever = Cells.of(column)
    if whatever.name in reading.text:
        return whatever.spread(whatever.texts), []
    cells = Cells.of(column, MISSING)
    values, notes = _converted(cells, reading)
    if words := whatever.count(whatever.texts.isin(MISSING)):
        notes = [
            *notes,
            f"{cells.name}: {plural(words, 'cell')} with a word such as NA or NULL became missing.",
        ]
    return values, notes


def _converted(cells: Cells, reading: Reading) -> tuple["pd.Series[Any]", list[str]]:
    if cells.texts.empty:
        return cells.spread(cells.texts), []
    if cells.share(_ISO_DATE) == 1:
        return _dates(cells, "ISO8601", [])
    if cells.share(_SLASH_DATE) == 1:
        return _slash_dates(cells, reading.day_first)
    if cells.share(_NAMED_DATE) == 1:
        return _named_dates(cells)
    return _numbers(cells)


def _numbers(cells: Cells) -> tuple["pd.Series[Any]", list[str]]:
    name, texts = cells.name, cells.texts
    suppressed = texts.isin(SUPPRESSED) | texts.str.fullmatch(_LESS_THAN)
    thousands = texts.str.fullmatch(_THOUSANDS)
    numeric = texts.str.fullmatch(_NUMBER) | thousands
    if not numeric.any() or not (numeric | suppressed).all():
        return cells.spread(texts), _why_text(cells, numeric, suppressed)
    plain = texts[numeric]
    if plain.str.fullmatch(_LEADING_ZERO).any():
        return cells.spread(texts), [f"{name}: read as text, since numbers with leading zeros are codes."]
    if plain.str.fullmatch(_TOO_LONG).any():
        return cells.spread(texts), [
            f"{name}: read as text, since its whole numbers have more than {MOST_DIGITS} digits."
        ]
    values = pd.to_numeric(plain.str.replace(",", "")).astype("float64").reindex(texts.index)
    notes = []
    if separated := cells.count(thousands):
        notes.append(f"{name}: {plural(separated, 'value')} had thousands separators (1,234).")
    if suppressed.any():
        notes.append(_suppression(cells, suppressed))
    return whole(cells.spread(values)), notes + _serials(name, values)


def _suppression(cells: Cells, suppressed: "pd.Series[Any]") -> str:
    marks = cells.texts[suppressed]
    times = cells.times[suppressed.to_numpy(dtype=bool)]
    counted = ", ".join(f"{mark!r} {count:,}" for mark, count in zip(marks, times, strict=True))
    dash = " Find out whether '-' means zero in this file." if marks.isin(["-", "–", "—"]).any() else ""
    return (
        f"{cells.name}: {plural(int(times.sum()), 'suppressed or unavailable cell')} ({counted}) became "
        "missing. They are "
        f"not zero; leaving them out favours large units.{dash}"
    )


def _why_text(cells: Cells, numeric: "pd.Series[Any]", suppressed: "pd.Series[Any]") -> list[str]:
    """Notes on a column that stays text although most of it looks like numbers or dates."""
    dates = cells.texts.str.fullmatch(f"{_ISO_DATE}|{_SLASH_DATE}|{_NAMED_DATE}")
    notes = []
    for what, fits, others in (("numbers", numeric, ~(numeric | suppressed)), ("dates", dates, ~dates)):
        fitting, failing = cells.count(fits), cells.count(others)
        if fitting >= NEARLY_ALL * (fitting + failing):
            row = int(np.isin(cells.at, np.flatnonzero(others)).argmax()) + 1
            notes.append(
                f"{cells.name}: {fitting / (fitting + failing):.0%} of its values are {what}, but "
                f"{failing:,} are not (the "
                f"first in data row {row:,}), so it stays text. Correct these cells if the column should "
                f"hold {what}."
            )
    if cells.share(_SIGNED) >= NEARLY_ALL:
        notes.append(
            f"{cells.name}: its numbers have currency or per cent signs, so it stays text. Take the signs "
            "out."
        )
    if cells.share(_SHORT_YEAR) >= NEARLY_ALL:
        notes.append(
            f"{cells.name}: looks like dates whose year has two digits; it stays text. Write years with four "
            "digits."
        )
    return notes


def _serials(name: str, values: "pd.Series[Any]") -> list[str]:
    held = values.dropna()
    dated = re.search(r"date|day|month|admi|disch|dob|birth|start|week", name, flags=re.IGNORECASE)
    if dated is None or not (held.between(*SERIALS) & (held == held.round())).all() or held.nunique() < 2:
        return []
    return [
        f"{name}: these numbers look like Excel's date serials. If they are dates, convert them: "
        f"pd.to_datetime(frame['{name}'], unit='D', origin='{EXCEL_ORIGIN}')."
    ]


def _slash_dates(cells: Cells, day_first: bool | None) -> tuple["pd.Series[Any]", list[str]]:
    name = cells.name
    parts = cells.texts.str.extract(_SLASH_DATE).astype(int)
    first, second = cells.count(parts[0] > 12), cells.count(parts[1] > 12)
    if first and second:
        raise DataError(
            f"{name}: the order of day and month differs within the column: {plural(first, 'date')} can only "
            "be day/month, "
            f"{second:,} only month/day. Guessing would shift dates by months; correct the file."
        )
    if (day_first is True and second) or (day_first is False and first):
        order, against = ("day/month", second) if day_first else ("month/day", first)
        raise DataError(
            f"{name}: day_first={day_first} asks for {order}, but {plural(against, 'date')} cannot be read "
            "so. Leave "
            "day_first out to let the dates decide."
        )
    chosen = day_first if day_first is not None else not second
    order = "day/month/year" if chosen else "month/day/year"
    if day_first is not None:
        why = "as asked by day_first"
    elif first or second:
        why = f"because {plural(max(first, second), 'date')} can be read in no other way"
    else:
        why = (
            "an assumption: no day is above 12, so the dates do not show it; British files put the day "
            "first. Pass "
            "day_first=False if this one does not"
        )
    tidy = replace(cells, texts=cells.texts.str.replace(r"[.-]", "/", regex=True))
    return _dates(tidy, "%d/%m/%Y" if chosen else "%m/%d/%Y", [f"{name}: dates read as {order} ({why})."])


def _named_dates(cells: Cells) -> tuple["pd.Series[Any]", list[str]]:
    tidy = cells.texts.str.replace(" ", "-")
    short = bool(tidy.str.fullmatch(r"\d{1,2}-[A-Za-z]{3}-\d{4}").all())
    return _dates(replace(cells, texts=tidy), "%d-%b-%Y" if short else "%d-%B-%Y", [])


def _dates(cells: Cells, layout: str, notes: list[str]) -> tuple["pd.Series[Any]", list[str]]:
    """Parse dates, with or without a time of day; those that do not exist become missing, with a note."""
    if layout == "ISO8601":
        values = pd.to_datetime(cells.texts, format=layout, errors="coerce")
    else:
        parts = cells.texts.str.partition(" ")
        values = pd.to_datetime(parts[0], format=layout, errors="coerce") + _clock(parts[2])
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    if lost := cells.count(values.isna()):
        notes = [
            *notes,
            f"{cells.name}: {plural(lost, 'date')} that cannot be (such as 31 June) became missing.",
        ]
    return cells.spread(values), notes


def _clock(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Times of day such as 9:30 or 09:30:15 as durations; none is midnight."""
    full = times.str.replace(r"^(\d{1,2}:\d{2})$", r"\1:00", regex=True).replace("", "0:00:00")
    return pd.Series(pd.to_timedelta(full))


def whole(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers as integers when all are whole and none is missing."""
    if values.isna().any() or not np.isfinite(values).all() or not (values == values.round()).all():
        return values
    return values.astype("int64")
