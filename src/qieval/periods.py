"""Time columns, read once: whole numbers, dates, periods, or text in ISO form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.text import listed

ISO = re.compile(r"^\d{4}(-?Q[1-4]|-\d{2}|-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?)?$")
ADVICE = "Use whole numbers, dates, or text such as 2022, 2022Q2, 2022-04 or 2022-04-01."


@dataclass(frozen=True, eq=False)
class Periods:
    """The periods of a data set in order.

    labels (T,): Index of int, Timestamp or Period, sorted; code (n,): the position of each row's period in
    it. `kind` is 'number', 'date' or 'period'.
    """

    labels: pd.Index[Any]
    code: np.ndarray
    kind: str

    def first_at_or_after(self, moment: Any) -> int:
        """The code of the first period that begins at `moment` or later; T when none does."""
        return int(np.searchsorted(self._starts(), self._comparable(moment), side="left"))

    def last_at_or_before(self, moment: Any) -> int:
        """The code of the last period that begins at `moment` or earlier; -1 when none does."""
        return int(np.searchsorted(self._starts(), self._comparable(moment), side="right")) - 1

    def inside(self, moment: Any) -> str | None:
        """The label of the period within which `moment` lies, if it lies after that period's first day."""
        code = self.last_at_or_before(moment)
        if self.kind != "period" or code < 0:
            return None
        begins, ends = self.labels[code].start_time, self.labels[code].end_time
        return str(self.labels[code]) if begins < self._comparable(moment) <= ends else None

    def shown(self) -> list[str]:
        """The labels as text, dates without an empty time of day."""
        if self.kind == "date":
            return [
                label.strftime("%Y-%m-%d") if label == label.normalize() else str(label)
                for label in self.labels
            ]
        return [str(label) for label in self.labels]

    def axis(self) -> pd.Index[Any]:
        """The labels as a plot's axis wants them: numbers or dates."""
        return self.labels.to_timestamp() if isinstance(self.labels, pd.PeriodIndex) else self.labels

    def gaps(self) -> int:
        """How many periods are missing between the first and the last, if they follow a rhythm; else 0.

        The rhythm is the shortest distance between neighbours; dates on the same day of each month count in
        months.
        """
        steps = np.diff(self._ordinals())
        if not len(steps) or (steps % steps.min()).any():
            return 0
        return int(steps.sum() // steps.min()) - len(steps)

    def _ordinals(self) -> np.ndarray:
        """Whole numbers that count the periods: themselves, ordinals of periods, months or days."""
        if self.kind == "number":
            return self.labels.to_numpy()
        if isinstance(self.labels, pd.PeriodIndex):
            return np.array([period.ordinal for period in self.labels])
        dates = pd.DatetimeIndex(self.labels)
        if len(set(dates.day)) == 1 and pd.PeriodIndex(dates, freq="M").is_unique:
            return np.asarray(dates.year * 12 + dates.month)
        return np.asarray((dates - dates[0]) // pd.Timedelta(seconds=1))

    def _starts(self) -> Any:
        return self.axis()

    def _comparable(self, moment: Any) -> Any:
        """`moment` in the terms of the labels; ValueError says what would fit."""
        if self.kind == "number":
            if isinstance(moment, bool) or not _is_number(moment):
                raise ValueError(f"{moment!r} is not a whole number, but the time column holds whole numbers")
            return float(moment)
        if not isinstance(moment, str):
            moment = str(moment)
        if not ISO.match(moment):
            raise ValueError(
                f"{moment!r} is not a date, but the time column holds dates; write it like 2022-04-01"
            )
        try:
            return _moment(moment)
        except ValueError as cause:
            raise ValueError(f"{moment!r} is not a date that exists") from cause


def read_periods(column: pd.Series[Any]) -> Periods:
    """Read a time column without missing values. ValueError says which values cannot be read and what to
    write instead."""
    if pd.api.types.is_bool_dtype(column):
        raise ValueError(f"it holds true and false, which are not periods. {ADVICE}")
    codes, uniques = pd.factorize(column, sort=False)
    labels, kind = _labels(pd.Index(uniques))
    order = labels.argsort()
    sorted_labels = labels[order]
    if not sorted_labels.is_unique:
        raise ValueError("different spellings of the same period occur. Write each period in one way")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return Periods(sorted_labels, rank[codes], kind)


def periods_of(column: pd.Series[Any]) -> list[int | str]:
    """The periods of a time column in order, as a design's `start` states them: whole numbers, or text in
    ISO form.

    Missing values are passed over. DataError when the column cannot be read as time.

    >>> periods_of(pd.Series(["2022-05", "2022-04", "2022-05"]))
    ['2022-04', '2022-05']
    """
    try:
        found = read_periods(column.dropna())
    except ValueError as cause:
        raise DataError(
            f"time: '{column.name}' cannot be used as time: {cause}.".replace("..", ".")
        ) from cause
    return [int(label) for label in found.labels] if found.kind == "number" else list(found.shown())


def moments(stated: list[Any], dated: bool) -> list[Any]:
    """Stated moments (a start, events) as positions on a plot's axis: timestamps when it is `dated`, else
    numbers.

    >>> moments(["2022-04"], True), moments(["4"], False)
    ([Timestamp('2022-04-01 00:00:00')], [4.0])
    """
    if not dated:
        return [float(moment) for moment in stated]
    return [_moment(str(moment)) for moment in stated]


def _moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text) if "T" in text or " " in text else pd.Period(text).start_time


def _labels(uniques: pd.Index[Any]) -> tuple[pd.Index[Any], str]:
    if isinstance(uniques, pd.PeriodIndex):
        return uniques, "period"
    if isinstance(uniques, pd.DatetimeIndex):
        return uniques.tz_localize(None), "date"
    if pd.api.types.is_numeric_dtype(uniques.dtype):
        return _whole_numbers(uniques), "number"
    texts = [str(item) for item in uniques]
    if all(re.fullmatch(r"-?\d{1,3}", item) for item in texts):
        return pd.Index([int(item) for item in texts]), "number"
    unread = [item for item in texts if not ISO.match(item)]
    if unread:
        raise ValueError(f"{listed(map(repr, unread), 3)} cannot be read as a period. {ADVICE}")
    if any("T" in item or " " in item for item in texts):
        return pd.DatetimeIndex(texts), "date"
    return _iso_periods(texts)


def _whole_numbers(uniques: pd.Index[Any]) -> pd.Index[Any]:
    held = uniques.to_numpy(dtype=float)
    if not np.isfinite(held).all():
        raise ValueError(f"it holds infinite values. {ADVICE}")
    if (held != np.round(held)).any():
        raise ValueError(f"it holds fractions such as {held[held != np.round(held)][0]:g}. {ADVICE}")
    return pd.Index(held.astype(np.int64))


def _iso_periods(texts: list[str]) -> tuple[pd.Index[Any], str]:
    try:
        read = [pd.Period(item) for item in texts]
    except ValueError as cause:
        raise ValueError(f"it holds a date that does not exist ({cause}). {ADVICE}") from cause
    rhythms = sorted({period.freqstr for period in read})
    if len(rhythms) > 1:
        raise ValueError(
            f"it mixes periods of different length ({', '.join(rhythms)}). Use one length throughout"
        )
    return pd.PeriodIndex(read), "period"


def _is_number(moment: Any) -> bool:
    try:
        float(moment)
    except (TypeError, ValueError):
        return False
    return True
