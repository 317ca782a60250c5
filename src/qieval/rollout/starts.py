"""When units begin, as the data say it: a column of starts, or a treatment that is switched on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import sentence
from qieval.series_calendar import calendar_of
from qieval.text import listed, plural

NEVER_IN_WORDS = ("", "0", "never", "nan", "nat", "none", "inf", "na", "n/a")


def times_of(design: Any, periods: Periods, notes: list[str]) -> tuple[np.ndarray, int]:
    """The periods as whole numbers from 0, counted in the steps of their calendar, and how many periods of
    that calendar have no rows; positions where they follow none."""
    count = np.arange(len(periods.labels))
    try:
        times = calendar_of(design, replace(periods, code=count))[1]
    except DataError:
        notes.append(
            "time: the periods follow no rhythm, so they are counted one after the other, whatever the time"
            " between them."
        )
        return count, 0
    return np.asarray(times, dtype=np.int64), int(times[-1]) + 1 - len(count) if len(count) else 0


def starts_stated(
    column: pd.Series[Any], periods: Periods, times: np.ndarray, name: str, issues: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The start of each entry of a column on the scale of `times`, infinite for never, and which entries lie
    inside a period; problems go to `issues`."""
    codes, found = pd.factorize(column, sort=False)
    moments, inside, bad = np.full(len(found) + 1, np.inf), np.zeros(len(found) + 1, dtype=bool), []
    for code, moment in enumerate(found):
        try:
            moments[code], inside[code] = _placed(moment, periods, times)
        except ValueError as cause:
            bad.append(sentence(cause))
    if bad:
        issues.append(
            f"first_treated: '{name}' holds {plural(len(bad), 'value')} that cannot be placed in time:"
            f" {bad[0]} Write each unit's first period like the time column, and leave it empty for units"
            " that"
            " never begin."
        )
    return np.asarray(moments[codes]), np.asarray(inside[codes])


def _placed(moment: Any, periods: Periods, times: np.ndarray) -> tuple[float, bool]:
    """A start on the scale of `times`, and whether it lies inside a period rather than at its beginning."""
    if isinstance(moment, str) and moment.strip().lower() in NEVER_IN_WORDS:
        return np.inf, False
    if isinstance(moment, int | float | np.number):
        if periods.kind == "number":
            return _numbered(float(moment), periods, times)
        if not np.isfinite(moment) or moment == 0:
            return np.inf, False
    if isinstance(moment, pd.Timestamp) and moment.tz is not None:
        moment = moment.tz_localize(None)
    after, before = periods.first_at_or_after(moment), periods.last_at_or_before(moment)
    if after == before:
        return float(times[after]), False
    if after == 0:
        return float(times[0]) - 1, False
    if _ends(periods):
        return (float(times[after]) if after < len(times) else np.inf), after < len(times)
    if _within_period(moment, periods, before):
        return float(times[before]), True
    return (float(times[after]) if after < len(times) else np.inf), False


def _ends(periods: Periods) -> bool:
    """Whether dates stand for the month that they end."""
    return periods.kind == "date" and bool(pd.DatetimeIndex(periods.labels).is_month_end.all())


def _within_period(moment: Any, periods: Periods, before: int) -> bool:
    """Whether a moment lies in the period that began at or before it."""
    if periods.kind == "period":
        return periods.inside(moment) is not None
    labels = pd.DatetimeIndex(periods.labels)
    if len(labels) < 2:
        return False
    return bool(pd.Timestamp(str(moment)) - labels[before] < np.diff(labels).min())


def _numbered(moment: float, periods: Periods, times: np.ndarray) -> tuple[float, bool]:
    labels = periods.labels.to_numpy(dtype=float)
    if not np.isfinite(moment) or (moment == 0 and labels[0] > 0):
        return np.inf, False
    if moment >= labels[-1] + 1:
        step = (labels[-1] - labels[0]) / times[-1] if times[-1] > 0 else 1.0
        return float(times[-1] + np.ceil((moment - labels[-1]) / step)), False
    if moment < labels[0]:
        return float(np.floor(moment - labels[0])), False
    inside = moment != np.floor(moment)
    at = np.searchsorted(labels, np.floor(moment))
    if labels[at] == np.floor(moment):
        return float(times[at]), inside
    return float(times[at]), False


def starts_from_treatment(
    held: np.ndarray, unit: np.ndarray, time: np.ndarray, n_units: int, name: str, issues: list[str]
) -> np.ndarray:
    """The code of the first period with treatment of each unit (n_units,), infinite for never.

    held (n,): 0 or 1 by row, rows sorted by unit and period. A treatment that is switched off again is a
    problem.
    """
    if not np.isin(held, (0.0, 1.0)).all():
        wrong = listed(sorted({f"{value:g}" for value in held[~np.isin(held, (0.0, 1.0))]}), 3)
        issues.append(
            f"treatment: '{name}' must be 1 in periods with the intervention and 0 in others, but holds"
            f" {wrong}."
            " Recode it to 0 and 1."
        )
        return np.full(n_units, np.inf)
    first = np.full(n_units, np.inf)
    on = held == 1
    np.minimum.at(first, unit[on], time[on].astype(float))
    off = ~on & (time > first[unit])
    if off.any():
        issues.append(
            f"treatment: '{name}' goes back to 0 in {plural(len(np.unique(unit[off])), 'unit')} after it"
            " was 1."
            " A roll-out takes it that the intervention stays once it has begun, because its effects may last"
            " after it ends. End the data of these units where it was switched off, leave them out, or count"
            " them as treated from their first start on (then the effect is that of ever having begun)."
        )
    return first


def fixed_in_units(held: np.ndarray, unit: np.ndarray, n_units: int) -> tuple[np.ndarray, int]:
    """The value of each unit (n_units,), and in how many units it changes; rows sorted by unit."""
    at = np.searchsorted(unit, np.arange(n_units))
    values = held[at]
    return values, len(np.unique(unit[held != values[unit]]))
