"""What a data set offers to the fields of a design: columns that fit, observed periods, names of groups."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

import qieval as qe

MOST_PERIODS = 1500
MOST_GROUPS = 100
"""Longer lists are not shown: nobody can use them, and they might not be groups at all."""


class Offers:
    """Column names, period labels and group labels of a data set; no other value ever leaves it.

    Options of widgets are stored in a notebook, so whatever is offered here must not identify anyone.
    """

    def __init__(self, data: pd.DataFrame | qe.Extract) -> None:
        self._frame = data.frame if isinstance(data, qe.Extract) else data
        self.described = qe.data.describe(self._frame)
        self._read: dict[str, list[int | str]] = {}

    def columns(self, kind: str) -> list[str]:
        """The columns that fit a kind, in the order of the data."""
        fits = zip(self.described["column"], self.described["fits"], strict=True)
        return [name for name, kinds in fits if kind in kinds]

    def periods(self, column: str | None) -> list[int | str]:
        """The observed periods in order, as a design states them: whole numbers, or ISO text.

        Empty when no time column is chosen, or when it cannot be read as time, which the design's check
        explains.
        """
        if column is None or column not in self.columns("time"):
            return []
        if column not in self._read:
            self._read[column] = self._periods(column)
        return self._read[column]

    def _periods(self, column: str) -> list[int | str]:
        found = qe.periods_of(self._frame[column])
        return found if len(found) <= MOST_PERIODS else []

    def groups(self, column: str | None, organisations: bool) -> list[Any]:
        """The labels of groups of units: only of organisations, and only as many as one can choose from."""
        if not organisations or column not in self._frame:
            return []
        found: Sequence[Any] = self._frame[column].dropna().unique().tolist()
        return sorted(found, key=str) if len(found) <= MOST_GROUPS else []
