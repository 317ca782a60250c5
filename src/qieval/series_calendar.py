"""The regular calendar behind the times of a series: months, quarters, weeks, days, hours, whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.periods import Periods
from qieval.series_design import SeriesDesign

MOST_STRETCH = 3.0
"""A calendar with more than that many times as many periods as there are rows is irregular, not gappy."""
WORDS = {"M": "month", "Q": "quarter", "Y": "year", "W": "week", "D": "day", "h": "hour"}


def calendar_of(design: SeriesDesign, periods: Periods) -> tuple[pd.Index[Any], np.ndarray, str]:
    """The regular calendar of the labels, the code of each row in it, and its rhythm."""
    labels: Any = periods.labels
    if len(labels) < 2:
        rhythm = WORDS.get(labels.freqstr[0], "period") if isinstance(labels, pd.PeriodIndex) else "period"
        return labels, periods.code, rhythm
    daily = isinstance(labels, pd.PeriodIndex) and labels.freqstr == "D"
    if daily or isinstance(labels, pd.DatetimeIndex):
        labels = _as_periods(design, pd.DatetimeIndex(periods.axis()))
    if isinstance(labels, pd.PeriodIndex):
        ordinal = np.array([period.ordinal for period in labels])
        step = int(np.gcd.reduce(np.diff(ordinal)))
        labels, step = _coarser(pd.PeriodIndex(labels), step)
        ordinal = np.array([period.ordinal for period in labels])
        whole: Any = pd.period_range(labels[0], labels[-1], freq=labels.freq)[::step]
        rhythm = WORDS.get(labels.freqstr[0], "period") if step == 1 else "period"
    else:
        ordinal = labels.to_numpy()
        step = int(np.gcd.reduce(np.diff(ordinal)))
        whole = pd.Index(np.arange(ordinal[0], ordinal[-1] + 1, step))
        rhythm = "period"
    if len(whole) > MOST_STRETCH * len(labels):
        raise DataError(
            f"time: the periods of '{design.time}' follow no rhythm: {len(labels)} values from"
            f" {periods.shown()[0]} to {periods.shown()[-1]} at distances from"
            f" {int(np.diff(ordinal).min())} to {int(np.diff(ordinal).max())}. A series needs one value a"
            " week, month or the like: aggregate first (qe.data.time_series)."
        )
    return whole, ((ordinal - ordinal[0]) // step)[periods.code], rhythm


def _as_periods(design: SeriesDesign, dates: pd.DatetimeIndex) -> pd.PeriodIndex:
    """Dates that follow a rhythm as the periods in which they lie; the same time of day in all is ignored."""
    if len(set(dates - dates.normalize())) == 1:
        dates = dates.normalize()
        days = np.diff(dates) // pd.Timedelta(days=1)
        months: Any = dates.to_period("M")
        same_day = len(set(dates.day)) == 1 or bool(dates.is_month_end.all())
        if same_day and months.is_unique:
            return pd.PeriodIndex(months)
        if (days % 7 == 0).all():
            return dates.to_period("W-" + dates[0].strftime("%a").upper()).asfreq(
                "W-" + (dates[0] + pd.Timedelta(days=6)).strftime("%a").upper()
            )
        return dates.to_period("D")
    hours = dates.floor("h")
    if hours.is_unique and (dates - hours == dates[0] - hours[0]).all():
        return hours.to_period("h")
    raise DataError(
        f"time: '{design.time}' holds moments that follow no rhythm (such as {dates[0]} and {dates[1]}). A"
        " series needs one value an hour, day, week or month: aggregate first (qe.data.time_series)."
    )


def _coarser(labels: pd.PeriodIndex, step: int) -> tuple[pd.PeriodIndex, int]:
    """Months at distances of three as quarters, of twelve as years, when they begin such periods."""
    if labels.freqstr[0] == "M" and step % 12 == 0:
        return labels.asfreq("Y") if labels[0].month == 1 else labels, 1 if labels[0].month == 1 else step
    if labels.freqstr[0] == "M" and step % 3 == 0 and labels[0].month % 3 == 1:
        return labels.asfreq("Q"), step // 3
    return labels, step
