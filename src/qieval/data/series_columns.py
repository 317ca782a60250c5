"""Sums, means and shares of records by the cell that they fall into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.text import plural

MOST_CATEGORIES = 30


def columns_of(
    frame: pd.DataFrame, cell: np.ndarray, events: np.ndarray, wanted: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted columns (cells,) by name, and notes about missing values.

    cell (n,): the cell of each row of `frame`; events (cells,): how many rows each has. wanted: {new column:
    (way, column)}, ways "sum", "mean" and "share". Raises DataError for a share of too many categories or of
    two categories that would have the same name.
    """
    made: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for new, (way, old) in wanted.items():
        found = _shares(frame[old], cell, events, new) if way == "share" else None
        if found is None:
            amount, missing = _amount(frame[old], cell, len(events), way)
            found = {new: amount}
            if missing:
                notes.append(f"{old}: its {way} leaves out {plural(missing, 'record')} without a value.")
        if clash := set(found) & set(made):
            raise DataError(f"values: {', '.join(sorted(clash))} would be made twice. Rename one of them.")
        made |= found
    return made, notes


def _amount(column: pd.Series[Any], cell: np.ndarray, cells: int, way: str) -> tuple[np.ndarray, int]:
    """The sum, or the mean of the known values (missing where there is none), of each cell."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    known = ~np.isnan(values)
    missing = int((~known).sum())
    if missing:
        values, cell = values[known], cell[known]
    total = np.bincount(cell, weights=values, minlength=cells)
    if way == "sum":
        return (total.astype(np.int64) if bool((total == np.round(total)).all()) else total), missing
    count = np.bincount(cell, minlength=cells)
    return np.divide(total, count, out=np.full(cells, np.nan), where=count > 0), missing


def _shares(column: pd.Series[Any], cell: np.ndarray, events: np.ndarray, new: str) -> dict[str, np.ndarray]:
    """The share of each category among the rows of each cell, missing values being one more category."""
    code, names = pd.factorize(column, sort=True, use_na_sentinel=True)
    if len(names) > MOST_CATEGORIES:
        raise DataError(
            f"values: '{column.name}' has {len(names):,} different values, too many for shares. Group them "
            f"into {MOST_CATEGORIES} at most."
        )
    unknown = bool((code < 0).any())
    code = np.where(code < 0, len(names), code)
    width = len(names) + unknown
    counts = np.bincount(cell * width + code, minlength=len(events) * width).reshape(-1, width)
    share = np.divide(counts, events[:, None], out=np.full(counts.shape, np.nan), where=events[:, None] > 0)
    titles = [f"{new}_{_name(name)}" for name in names] + [f"{new}_missing"] * unknown
    if len(set(titles)) < len(titles):
        raise DataError(f"values: categories of '{column.name}' have the same name. Rename them.")
    return {title: share[:, at] for at, title in enumerate(titles)}


def _name(category: object) -> str:
    """A category as part of a column's name."""
    text = str(int(category)) if isinstance(category, float) and category.is_integer() else str(category)
    return "_".join(text.lower().split())
