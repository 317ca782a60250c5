"""When units begin, as the data say it: a column of starts, or a treatment that is switched on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import sentence
from qieval.series_calendar import calendar_of
from qieval.text import listed, plural

NEVER_IN_WORDS = ("", "0", "never", "nan", "nat", "none", "inf", "na", "n/a")


@dataclass(frozen=True, eq=False)
class Clock:
    """The regular calendar behind the periods of the data.

    times (T,): the periods counted in its steps, 0 for the first. calendar: all its periods, also those
    without rows. names: what each is called. gaps: how many have no rows. Periods that follow no rhythm are
    their own calendar.
    """

    times: np.ndarray
    calendar: Periods
    names: tuple[str, ...]
    gaps: int


def clock_of(design: Any, periods: Periods, notes: list[str]) -> Clock:
    """Find the calendar; a note says where there is none."""
    count = np.arange(len(periods.labels))
    shown = periods.shown()
    try:
        whole, times, _ = calendar_of(design, replace(periods, code=count))
    except DataError:
        notes.append(
            "time: the periods follow no rhythm, so they are counted one after the other, whatever the time"
            " between them."
        )
        return Clock(count, periods, tuple(shown), 0)
    times = np.asarray(times, dtype=np.int64)
    calendar = Periods(whole, np.arange(len(whole)), "number" if periods.kind == "number" else "period")
    if not isinstance(whole, pd.PeriodIndex):
        calendar = replace(calendar, kind=periods.kind)
    names = calendar.shown()
    for time, name in zip(times.tolist(), shown, strict=True):
        names[time] = name
    return Clock(times, calendar, tuple(names), len(whole) - len(count))


def starts_stated(
    column: pd.Series[Any], clock: Clock, name: str, issues: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The start of each entry of a column on the scale of the clock's times, infinite for never (beyond the
    last period: as far as can be told), and which entries lie inside a period; problems go to `issues`."""
    codes, found = pd.factorize(column, sort=False)
    moments, inside, bad = np.full(len(found) + 1, np.inf), np.zeros(len(found) + 1, dtype=bool), []
    for code, moment in enumerate(found):
        try:
            moments[code], inside[code] = _placed(moment, clock.calendar)
        except ValueError as cause:
            bad.append(sentence(cause))
    if bad:
        issues.append(
            f"first_treated: '{name}' holds {plural(len(bad), 'value')} that cannot be placed in time:"
            f" {bad[0]} Write each unit's first period like the time column, and leave it empty for units"
            " that never begin."
        )
    return np.asarray(moments[codes]), np.asarray(inside[codes])


def _placed(moment: Any, calendar: Periods) -> tuple[float, bool]:
    """A start as a place in the calendar, and whether it lies inside a period, not at its beginning."""
    if isinstance(moment, str) and moment.strip().lower() in NEVER_IN_WORDS:
        return np.inf, False
    if isinstance(moment, int | float | np.number):
        if calendar.kind == "number":
            return _numbered(float(moment), calendar)
        if not np.isfinite(moment) or moment == 0:
            return np.inf, False
    if isinstance(moment, pd.Timestamp) and moment.tz is not None:
        moment = moment.tz_localize(None)
    after, before = calendar.first_at_or_after(moment), calendar.last_at_or_before(moment)
    if after == 0 and before < 0:
        return -1.0, False
    if after != before and calendar.inside(moment) is not None:
        return float(before), True
    return (float(after) if after < len(calendar.labels) else np.inf), False


def _numbered(moment: float, calendar: Periods) -> tuple[float, bool]:
    labels = calendar.labels.to_numpy(dtype=float)
    if not np.isfinite(moment) or (moment == 0 and labels[0] > 0):
        return np.inf, False
    step = labels[1] - labels[0] if len(labels) > 1 else 1.0
    if moment >= labels[-1] + 1:
        return float(len(labels) - 1 + np.ceil((moment - labels[-1]) / step)), False
    if moment < labels[0]:
        return float(np.floor((moment - labels[0]) / step)), False
    whole = np.floor(moment)
    return float(np.searchsorted(labels, whole)), bool(moment != whole)


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
