"""What the calendar puts into a period: its days, weekdays, Easter, and bank holidays.

Counts of a month differ because months do. Each function takes a PeriodIndex (day, week, month, quarter or
year; any order, gaps allowed) and gives one value a period, to be used as denominators or regressors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.text import plural

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WHOLE_DAYS = frozenset("DWMQY")
"""Rhythms whose periods consist of whole days."""
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday."""
HOLIDAYS_FROM = 1978
"""The first year in which England and Wales had today's eight bank holidays."""
MOVED = {"1995-05-01": "1995-05-08", "2002-05-27": "2002-06-04", "2012-05-28": "2012-06-04"} | {
    "2020-05-04": "2020-05-08",
    "2022-05-30": "2022-06-02",
}
"""Bank holidays that were celebrated on another day than the rule says (anniversaries and jubilees)."""
ONCE = (
    *("1981-07-29", "1999-12-31", "2002-06-03", "2011-04-29"),
    *("2012-06-05", "2022-06-03", "2022-09-19", "2023-05-08"),
)
"""Days proclaimed for one occasion: royal weddings, the millennium, jubilees, a funeral, a coronation."""


def days_in_period(labels: pd.PeriodIndex) -> np.ndarray:
    """The number of days of each period (T,), whole numbers.

    Raises DataError when `labels` is no PeriodIndex of days or longer, or has missing values.

    >>> days_in_period(pd.PeriodIndex(["2023-02", "2024-02", "2024-03"], freq="M"))
    array([28, 29, 31])
    """
    first, after = _bounds(labels)
    lengths: np.ndarray = after - first
    return lengths


def easter_days(labels: pd.PeriodIndex) -> np.ndarray:
    """The share of the four days from Good Friday to Easter Monday that lies in each period (T,), 0 to 1.

    A week (Monday to Sunday) holds three of them and the next week one; over a year the shares add up to 1.
    Western Easter. Raises DataError as `days_in_period` does.

    >>> easter_days(pd.PeriodIndex(["2024-03", "2024-04", "2024-05"], freq="M"))
    array([0.75, 0.25, 0.  ])
    """
    first, after = _bounds(labels)
    sundays = easter_sundays(_years(first, after)).astype(np.int64)
    return _held((sundays[:, None] + np.arange(-2, 2)).ravel(), first, after) / 4


def weekday_counts(labels: pd.PeriodIndex) -> pd.DataFrame:
    """How many Mondays, Tuesdays, ... each period has: one row a period, indexed by it.

    Raises DataError as `days_in_period` does.

    >>> weekday_counts(pd.PeriodIndex(["2024-02"], freq="M")).loc["2024-02"].tolist()
    [4, 4, 4, 5, 4, 4, 4]
    """
    first, after = _bounds(labels)
    offset = np.arange(7) - EPOCH_WEEKDAY
    counts = (after[:, None] - offset + 6) // 7 - (first[:, None] - offset + 6) // 7
    return pd.DataFrame(counts, index=labels, columns=list(DAY_NAMES))


def bank_holidays(labels: pd.PeriodIndex) -> np.ndarray:
    """The number of bank holidays of England and Wales in each period (T,).

    From the rules of the Banking and Financial Dealings Act 1971 as applied since 1978 (a holiday that falls
    on a weekend is held on the next free weekday), with the days moved or added by proclamation up to 2023;
    days proclaimed later are not known here. Raises DataError for periods before 1978, and as
    `days_in_period` does.

    >>> bank_holidays(pd.PeriodIndex(["2022-04", "2022-05", "2022-06"], freq="M"))
    array([2, 1, 2])
    """
    first, after = _bounds(labels)
    years = _years(first, after)
    if len(years) and years[0] < HOLIDAYS_FROM:
        raise DataError(
            f"labels: the bank holidays are known from {HOLIDAYS_FROM} on, but the periods begin in "
            f"{years[0]}. Leave the earlier periods out, or use days and weekdays only."
        )
    return _held(_bank_holidays(years).astype(np.int64), first, after)


def working_days(labels: pd.PeriodIndex) -> np.ndarray:
    """Mondays to Fridays of each period that are no bank holiday of England and Wales (T,).

    Raises DataError as `bank_holidays` does.

    >>> working_days(pd.PeriodIndex(["2024-02", "2024-12"], freq="M"))
    array([21, 20])
    """
    weekdays = weekday_counts(labels).to_numpy()[:, :5].sum(axis=1)
    return np.asarray(weekdays - bank_holidays(labels))


def easter_sundays(years: np.ndarray) -> np.ndarray:
    """The dates of Western Easter in `years` (from 1583 on), as datetime64[D].

    The anonymous Gregorian computus (Nature, 20 April 1876; Butcher 1877; Meeus, Astronomical Algorithms,
    chapter 8). Checked against dateutil for 1583 to 4099.

    >>> easter_sundays(np.array([2024, 2025]))
    array(['2024-03-31', '2025-04-20'], dtype='datetime64[D]')
    """
    century, in_century = np.divmod(years, 100)
    golden = years % 19
    epact = century - century // 4 - (century - (century + 8) // 25 + 1) // 3
    moon = (19 * golden + epact + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (in_century // 4) - moon - in_century % 4) % 7
    late = (golden + 11 * moon + 22 * to_sunday) // 451
    since_march = moon + to_sunday - 7 * late + 21
    return np.asarray(_date(years, 3, 1) + since_march)


def _bounds(labels: pd.PeriodIndex) -> tuple[np.ndarray, np.ndarray]:
    """The first day of each period and the day after its last, in days since 1970."""
    if not isinstance(labels, pd.PeriodIndex):
        raise DataError(
            f"labels: a pandas PeriodIndex is needed, not {type(labels).__name__}. Make one, such as with "
            "pd.PeriodIndex(values, freq='M')."
        )
    if labels.freqstr.split("-")[0] not in WHOLE_DAYS:
        raise DataError(
            f"labels: their rhythm is '{labels.freqstr}', but days, weeks, months, quarters or years are "
            "needed. Change it with labels.asfreq."
        )
    if missing := int(np.sum(labels.isna())):
        raise DataError(
            f"labels: {plural(missing, 'period')} of them missing, so nothing can be counted there. "
            "Leave them out."
        )
    return _ordinals(labels.asfreq("D", how="START")), _ordinals(labels.asfreq("D", how="END")) + 1


def _ordinals(days: Any) -> np.ndarray:
    return np.asarray(days.asi8, dtype=np.int64)


def _years(first: np.ndarray, after: np.ndarray) -> np.ndarray:
    """All calendar years that the periods touch, in order."""
    if not len(first):
        return np.array([], dtype=np.int64)
    ends = np.array([first.min(), after.max() - 1]).astype("datetime64[D]")
    low, high = ends.astype("datetime64[Y]").astype(np.int64) + 1970
    return np.arange(low, high + 1)


def _held(days: np.ndarray, first: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How many of `days` (since 1970, ascending) lie in each period."""
    return np.searchsorted(days, after) - np.searchsorted(days, first)


def _date(years: np.ndarray, month: int, day: int) -> np.ndarray:
    months = (years - 1970) * 12 + month - 1
    return np.asarray(months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1))


def _bank_holidays(years: np.ndarray) -> np.ndarray:
    easter = easter_sundays(years)
    day = np.timedelta64(1, "D")
    christmas, boxing = _christmas(years)
    by_rule = [easter - 2 * day, easter + day, _weekday_from(_date(years, 1, 1)), christmas, boxing]
    by_rule += [_monday_from(_date(years, 5, 1)), _monday_from(_date(years, 5, 25))]
    by_rule += [_monday_from(_date(years, 8, 25))]
    usual = np.concatenate(by_rule)
    moved = np.array([MOVED.get(str(date), str(date)) for date in usual], dtype="datetime64[D]")
    once = np.array(ONCE, dtype="datetime64[D]")
    return np.sort(np.concatenate([moved, once]))


def _christmas(years: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The days on which Christmas Day and Boxing Day are bank holidays: weekdays, never the same one."""
    christmas = _date(years, 12, 25)
    weekday = _weekday(christmas)
    day = np.timedelta64(1, "D")
    held = christmas + np.where(weekday >= 5, 2, 0) * day
    boxing = christmas + day + np.where((weekday == 4) | (weekday == 5), 2, 0) * day
    return held, boxing


def _weekday(dates: np.ndarray) -> np.ndarray:
    """0 for Monday to 6 for Sunday."""
    return np.asarray((dates.astype(np.int64) + EPOCH_WEEKDAY) % 7)


def _weekday_from(dates: np.ndarray) -> np.ndarray:
    """The dates themselves, or the Monday after when they fall on a weekend."""
    return np.where(_weekday(dates) >= 5, _monday_from(dates), dates)


def _monday_from(dates: np.ndarray) -> np.ndarray:
    """The first Monday on or after each date."""
    return np.asarray(dates + (-_weekday(dates)) % 7)
