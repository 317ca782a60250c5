"""When units begin, as the data say it: a column of starts, or a treatment that is switched on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.periods import Periods
from qieval.rows import sentence
from qieval.text import listed, plural


def times_of(periods: Periods, notes: list[str]) -> np.ndarray:
    """The periods as whole numbers from 0, counted in the steps of their calendar; positions where they
    follow none."""
    held = np.asarray(periods._ordinals(), dtype=np.int64)
    if len(held) < 2:
        return np.zeros(len(held), dtype=np.int64)
    step = int(np.gcd.reduce(np.diff(held)))
    times = (held - held[0]) // step
    if times[-1] > 3 * len(times):
        notes.append(
            "time: the periods follow no rhythm, so they are counted one after the other, whatever the time"
            " between them."
        )
        return np.arange(len(held))
    return np.asarray(times)


def starts_stated(
    column: pd.Series[Any], periods: Periods, times: np.ndarray, name: str, issues: list[str]
) -> np.ndarray:
    """The start of each entry of a column on the scale of `times`, infinite for never; problems go to
    `issues`."""
    codes, found = pd.factorize(column, sort=False)
    moments, bad = np.full(len(found) + 1, np.inf), []
    for code, moment in enumerate(found):
        try:
            moments[code] = _placed(moment, periods, times)
        except ValueError as cause:
            bad.append(sentence(cause))
    if bad:
        issues.append(
            f"first_treated: '{name}' holds {plural(len(bad), 'value')} that cannot be placed in time:"
            f" {bad[0]}"
            " Write each unit's first period like the time column, and leave it empty for units that never"
            " begin."
        )
    return np.asarray(moments[codes])


def _placed(moment: Any, periods: Periods, times: np.ndarray) -> float:
    """A start on the scale of `times`: that of the first period that begins at the moment or later."""
    if periods.kind == "number" and isinstance(moment, int | float | np.number):
        return _numbered(float(moment), periods, times)
    if isinstance(moment, int | float | np.number) and (not np.isfinite(moment) or moment == 0):
        return np.inf
    if isinstance(moment, str) and moment.strip().lower() in ("", "0", "never", "nan", "nat", "none", "inf"):
        return np.inf
    code = periods.first_at_or_after(moment)
    return np.inf if code >= len(times) else float(times[code])


def _numbered(moment: float, periods: Periods, times: np.ndarray) -> float:
    labels = periods.labels.to_numpy(dtype=float)
    if not np.isfinite(moment) or (moment == 0 and labels[0] > 0) or moment > labels[-1]:
        return np.inf
    if moment <= labels[0]:
        return float(np.floor(moment - labels[0]))
    step = (labels[-1] - labels[0]) / times[-1] if times[-1] > 0 else 1.0
    placed = (moment - labels[0]) / step
    if np.isclose((labels - labels[0]) / step, times).all():
        return float(np.ceil(placed - 1e-9))
    return float(times[np.searchsorted(labels, moment)])


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
