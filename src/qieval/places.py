"""Rows of many places over the same periods, as tables of places by periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import numbers
from qieval.errors import DataError
from qieval.rows import require_columns
from qieval.series_design import SeriesDesign
from qieval.text import plural


@dataclass(frozen=True, eq=False)
class Places:
    """Where each of n rows stands: codes of its place and period; rows without a place stand nowhere.

    names (s,): the places, sorted; place, period (n,): codes, -1 for none; periods: their number T.
    """

    names: pd.Index[Any]
    place: np.ndarray
    period: np.ndarray
    periods: int

    def table(self, values: np.ndarray | None) -> np.ndarray:
        """Values of the rows (n,) as places by periods (s, T), NaN where there is no row; ones for None."""
        shape = (len(self.names), self.periods)
        if values is None:
            return np.ones(shape)
        known = (self.place >= 0) & (self.period >= 0)
        found = np.full(shape, np.nan)
        found[self.place[known], self.period[known]] = values[known]
        return found


def require_times(design: SeriesDesign, frame: pd.DataFrame) -> None:
    """DataError where a column is not there, or a row has no time."""
    require_columns(design, frame)
    if missing := int(frame[design.time].isna().sum()):
        raise DataError(
            f"time: '{design.time}' is empty in {plural(missing, 'row')}, so they have no place in time. Fill"
            " it in, or leave those rows out."
        )


def by_place(design: SeriesDesign, frame: pd.DataFrame, by: str, period: np.ndarray, periods: int) -> Places:
    """Where rows stand, given the codes of their periods (n,). DataError where a place has two rows in a
    period."""
    place, names = pd.factorize(frame[by], sort=True)
    known = (place >= 0) & (period >= 0)
    cells = place[known] * np.int64(periods) + period[known]
    if repeated := len(cells) - len(np.unique(cells)):
        raise DataError(
            f"time, by: {plural(repeated, 'row')} repeat an earlier pair of '{by}' and '{design.time}', and a"
            " series has one value a period. Aggregate first (qe.data.time_series)."
        )
    return Places(pd.Index(names), place, period, periods)


def amounts(frame: pd.DataFrame, name: str | None) -> np.ndarray | None:
    """A numeric column (n,), None where no column is named. DataError for text and infinite values."""
    if name is None:
        return None
    issues: list[str] = []
    values = numbers(frame[name], "data", name, issues)
    if issues:
        raise DataError(issues)
    return values
