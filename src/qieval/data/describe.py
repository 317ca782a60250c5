"""What each column of a frame holds: for forms, and for a first look that shows no row."""

from typing import Any

import numpy as np
import pandas as pd

from qieval.data.extract import Extract
from qieval.data.identifiers import find_identifiers
from qieval.periods import read_periods
from qieval.text import plural

MOST_PERIODS = 20_000
"""A text column with more different values than this is not looked at as a time column."""


def describe(data: pd.DataFrame | Extract) -> pd.DataFrame:
    """One row a column: what it may be used for, what is missing, its range, and what may identify people.

    - `column`, `dtype`;
    - `kind`, the narrowest use, and `fits`, all uses: "binary" (0/1 or true/false), "numeric", "time"
      (dates, periods, whole numbers, or text such as 2022-04), "any";
    - `missing`, `missing_share`, `distinct` (values that differ, missing not counted);
    - `low`, `high`: smallest and largest of numbers and times as text; missing for text;
    - `suspicious`: possible NHS numbers and postcodes by number of cells; empty when there are none.

    No value of a text column is shown, except the ends of a time column.

    >>> frame = pd.DataFrame({"month": ["2022-04", "2022-05"], "pilot": [0, 1], "who": ["a", "b"]})
    >>> described = describe(frame)
    >>> described["kind"].tolist(), described["high"].tolist()[:2]
    (['time', 'binary', 'any'], ['2022-05', '1'])
    """
    frame = data.frame if isinstance(data, Extract) else data
    rows = [_described(str(name), frame.iloc[:, at]) for at, name in enumerate(frame.columns)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "column",
    "dtype",
    "kind",
    "fits",
    "missing",
    "missing_share",
    "distinct",
    "low",
    "high",
    "suspicious",
)


def _described(name: str, column: "pd.Series[Any]") -> dict[str, object]:
    distinct = pd.Series(column.dropna().unique())
    fits = _fits(column, distinct)
    low, high = _range(column, distinct, fits)
    found = find_identifiers(column)
    return {
        "column": name,
        "dtype": str(column.dtype),
        "kind": fits[0],
        "fits": fits,
        "missing": int(column.isna().sum()),
        "missing_share": float(column.isna().mean()) if len(column) else 0.0,
        "distinct": len(distinct),
        "low": low,
        "high": high,
        "suspicious": ", ".join(plural(count, f"possible {kind}") for kind, count in found.items()),
    }


def _fits(column: "pd.Series[Any]", distinct: "pd.Series[Any]") -> tuple[str, ...]:
    """The kinds a column fits, the narrowest first."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return ("binary", "any")
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = distinct.to_numpy(dtype=float)
        is_whole = bool(np.isfinite(values).all() and (values == np.round(values)).all())
        found = ("numeric", "time", "any") if is_whole and len(values) else ("numeric", "any")
        return ("binary", *found) if len(values) and set(values) <= {0.0, 1.0} else found
    return ("time", "any") if _is_time(distinct) else ("any",)


def _is_time(distinct: "pd.Series[Any]") -> bool:
    if pd.api.types.is_datetime64_any_dtype(distinct.dtype) or isinstance(distinct.dtype, pd.PeriodDtype):
        return True
    if not 0 < len(distinct) <= MOST_PERIODS:
        return False
    try:
        read_periods(distinct)
    except ValueError:
        return False
    return True


def _range(
    column: "pd.Series[Any]", distinct: "pd.Series[Any]", fits: tuple[str, ...]
) -> tuple[str | None, str | None]:
    if not len(distinct) or fits == ("any",):
        return None, None
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return f"{float(column.min()):.10g}", f"{float(column.max()):.10g}"
    if pd.api.types.is_datetime64_any_dtype(distinct.dtype):
        return distinct.min().strftime("%Y-%m-%d"), distinct.max().strftime("%Y-%m-%d")
    if isinstance(distinct.dtype, pd.PeriodDtype) or pd.api.types.is_bool_dtype(distinct.dtype):
        return str(distinct.min()), str(distinct.max())
    shown = read_periods(distinct).shown()
    return shown[0], shown[-1]
