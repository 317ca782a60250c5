"""Tables of values as tables of text that a person can read."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd

from qieval.reports.blocks import Facts, Grid
from qieval.text import number

MOST_ROWS = 60
MOST_UNFOLDED = 6
LEAST_P = 0.001
HEADINGS = {
    "conf_low": "interval from",
    "conf_high": "interval to",
    "band_low": "band from",
    "band_high": "band to",
    "std_error": "standard error",
    "p_value": "p-value",
    "at": "period from the start",
    "term": "quantity",
    "label": "analysis",
    "what": "shared",
}
SAME_UNITS = ("estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high")
"""Columns in the units of the outcome; they share their number of decimals."""

MIXED = (
    *("value", "treated", "comparison"),
    *("synthetic", "mean_of_donors", "lowest_donor", "highest_donor", "weight_of_predictor"),
)
"""Columns whose lines may be in different units; each cell has its own number of decimals."""

NAMES = ("label", "time", "step", "group", "term")
"""Columns that name lines, also where the names are numbers."""

COUNT_TEXT = re.compile(r"[\d,]+( to [\d,]+)?|fewer than [\d,]+|not shown|[\d.]+%")

TERMS = {"ATT": "average effect on the treated (ATT)"}


def grid(frame: pd.DataFrame, caption: str = "", *, folded: bool = False) -> Grid:
    """A table from the gate, as text. Empty columns are left out, long tables are cut and say so.

    folded: the table repeats a picture and, when it is long, is shown on demand.
    """
    frame = frame.infer_objects()
    kept = frame.loc[:, [bool((~_empty(frame[name])).any()) for name in frame.columns]]
    if len(kept) > MOST_ROWS:
        caption = f"{caption} The first {MOST_ROWS} of {len(kept):,} lines.".strip()
        kept = kept.head(MOST_ROWS)
    decimals = _shared_decimals(kept)
    columns = [_column(kept[name], str(name), decimals) for name in kept.columns]
    numeric = tuple(
        pd.api.types.is_numeric_dtype(kept[name]) or (str(name) not in NAMES and _counts_as_text(kept[name]))
        for name in kept.columns
    )
    rows = tuple(zip(*columns, strict=True)) if columns else ()
    head = tuple(heading(str(name)) for name in kept.columns)
    return Grid(head, rows, numeric, caption, folded and len(rows) > MOST_UNFOLDED)


def facts(held: dict[str, Any]) -> Facts:
    """Single values as text."""
    return Facts(tuple((heading(name), _fact(name, item)) for name, item in held.items()))


def _fact(name: str, held: Any) -> str:
    return (
        f"{held:.1%}"
        if isinstance(held, float) and " share " in name and math.isfinite(held)
        else value(held)
    )


def heading(name: str) -> str:
    """The name of a column or a fact in words.

    >>> heading("conf_low"), heading("share_observed")
    ('Interval from', 'Share observed')
    """
    words = HEADINGS.get(name, name.replace("_", " "))
    return words[:1].upper() + words[1:]


def value(held: Any) -> str:
    """A single value in words.

    >>> value(True), value(0.123456), value(2160), value(None)
    ('yes', '0.123', '2,160', '')
    """
    if held is None or held is pd.NA or held is pd.NaT:
        return ""
    if isinstance(held, (bool, np.bool_)):
        return "yes" if held else "no"
    if isinstance(held, (int, np.integer)):
        return f"{int(held):,}"
    if isinstance(held, (float, np.floating)):
        return number(float(held))
    return _moment(held) if isinstance(held, pd.Timestamp) else str(held)


def p_value(held: float) -> str:
    """A p-value with at most three decimals.

    >>> p_value(0.0316), p_value(0.00002)
    ('0.032', 'below 0.001')
    """
    if math.isnan(held):
        return ""
    return f"below {LEAST_P:g}" if held < LEAST_P else f"{held:.3f}"


def _column(column: pd.Series[Any], name: str, shared: list[int]) -> list[str]:
    if name == "term":
        return [TERMS.get(str(item), str(item)) for item in column]
    if not pd.api.types.is_float_dtype(column):
        return ["" if _blank(item) else value(item) for item in column]
    if name == "p_value":
        return [p_value(float(item)) for item in column]
    if name.startswith("share"):
        return ["" if _blank(item) else f"{item:.1%}" for item in column]
    if name == "at":
        return ["" if _blank(item) else f"{int(item):+d}" if item else "0" for item in column]
    if name in SAME_UNITS:
        return [_fixed(item, decimals) for item, decimals in zip(column, shared, strict=True)]
    decimals = None if name in MIXED else _decimals(column.to_numpy(dtype=float))
    if decimals is None:
        return ["" if _blank(item) else number(float(item)) for item in column]
    return [_fixed(item, decimals) for item in column]


def _shared_decimals(frame: pd.DataFrame) -> list[int]:
    """Decimals of each line for all columns in the units of the outcome.

    All lines share them, but those of a term that is so much smaller that its estimate would hardly be seen.
    """
    names = [name for name in SAME_UNITS if name in frame and pd.api.types.is_float_dtype(frame[name])]
    found = _decimals(frame[names].to_numpy(dtype=float).ravel()) if names else None
    shared = 2 if found is None else found
    if "term" not in frame or "estimate" not in names:
        return [shared] * len(frame)
    own = {
        term: _decimals(held.to_numpy(dtype=float)) for term, held in frame["estimate"].groupby(frame["term"])
    }
    needed = [own.get(term) or 0 for term in frame["term"]]
    return [need if need > shared + 1 else shared for need in needed]


def _decimals(values: np.ndarray) -> int | None:
    """Three meaningful digits for a value of usual size; None when there is none."""
    sizes = np.abs(values)
    usual = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not usual.size:
        return None
    return int(np.clip(2 - math.floor(math.log10(float(np.median(usual)))), 0, 8))


def _fixed(item: float, decimals: int) -> str:
    if _blank(item):
        return ""
    if math.isinf(item):
        return "no limit"
    text = f"{item:,.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def _counts_as_text(column: pd.Series[Any]) -> bool:
    shown = [str(item) for item in column if not _blank(item) and str(item)]
    return bool(shown) and all(COUNT_TEXT.fullmatch(text) for text in shown)


def _empty(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.isna() | (column.astype(str) == "")


def _blank(item: Any) -> bool:
    return item is None or bool(pd.isna(item))


def _moment(held: pd.Timestamp) -> str:
    if held != held.normalize():
        return str(held)
    return held.strftime("%b %Y") if held.day == 1 else held.strftime("%d %b %Y")
