"""Outcomes before a roll-out that is being planned, by unit or site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import numbers, positive
from qieval.errors import DataError, nearest
from qieval.periods import Periods
from qieval.rollout.starts import clock_of, starts_stated
from qieval.rollout_design import RolloutDesign
from qieval.rows import in_window, periods_in
from qieval.text import plural

MOST_SITES = 2_000
"""More sites are not simulated: memory and time grow with them, and what they would tell does not."""


@dataclass(frozen=True, eq=False)
class History:
    """Outcomes before the roll-out: table (n, P) of units, or of sites where code is None; code (n,): the
    site of each unit."""

    sites: pd.Index[Any]
    table: np.ndarray
    code: np.ndarray | None
    periods: Periods


def history_of(design: RolloutDesign, frame: pd.DataFrame) -> History:
    """Outcomes by unit or site and period; DataError says what does not fit.

    The column of starts need not be there; where it is, it may not tell of starts within the history.
    """
    issues: list[str] = []
    site = design.cluster or design.unit
    named = {"outcome": design.outcome, "unit": design.unit, "time": design.time, "cluster": site}
    named |= {role: held for role in ("exposure", "weights") if (held := getattr(design, role)) is not None}
    issues = [
        f"{role}: there is no column '{name}' in the data.{nearest(name, frame.columns)}"
        for role, name in named.items()
        if name not in frame.columns
    ]
    if issues:
        raise DataError(issues)
    frame = frame.reset_index(drop=True)
    rows = frame[list(dict.fromkeys(named.values()))]
    empty = rows.isna().any(axis=1)
    if empty.any() and design.missing == "refuse":
        raise DataError(
            f"data: {plural(int(empty.sum()), 'row')} lack a value that is needed. Fill them in, or set"
            " missing='complete cases' to leave them out."
        )
    rows = rows[~empty]
    held = periods_in(design, rows, issues)
    if held is None:
        raise DataError(issues or ["data: no row is complete."])
    rows, held = in_window(design, rows, held, issues, [])
    if issues:
        raise DataError(issues)
    issues += _begun(design, frame.loc[rows.index], held)
    made = _table(design, rows, held, site, issues)
    if issues:
        raise DataError(issues)
    return made


def _begun(design: RolloutDesign, rows: pd.DataFrame, periods: Periods) -> list[str]:
    """That the intervention is in the history, where a column tells."""
    begun = 0
    if design.treatment is not None and design.treatment in rows:
        begun = int((pd.to_numeric(rows[design.treatment], errors="coerce") == 1).sum())
    if design.first_treated is not None and design.first_treated in rows:
        clock = clock_of(design, periods, [])
        starts, _ = starts_stated(rows[design.first_treated], clock, design.first_treated, [])
        begun = int((starts <= clock.times[-1]).sum())
    if not begun:
        return []
    return [
        f"data: {plural(begun, 'row')} are of units that begin within the history (up to"
        f" {periods.shown()[-1]}), but only time before the roll-out tells how outcomes vary without it. End"
        " the history before the first start (last_period)."
    ]


def _table(
    design: RolloutDesign, rows: pd.DataFrame, periods: Periods, site: str, issues: list[str]
) -> History:
    """Means of sites where rows weigh differently or are sampled anew, else the outcomes of units."""
    y = numbers(rows[design.outcome], "outcome", design.outcome, issues)
    weight = np.ones(len(rows))
    for role, why in (("weights", "a weight says how much a row counts"), ("exposure", "events need some")):
        if (name := getattr(design, role)) is not None:
            held = positive(numbers(rows[name], role, name, issues), role, name, why, issues)
            y = y / held if role == "exposure" else y
            weight = weight * held
    code, sites = pd.factorize(rows[site], sort=True)
    if len(sites) > MOST_SITES:
        issues.append(
            f"cluster: {len(sites):,} sites are more than a plan is simulated for ({MOST_SITES:,}). Name the"
            " column of what begins together as `cluster`."
        )
    if len(periods.labels) < 2:
        issues.append("time: the history has one period only, so variation over time cannot be seen.")
    by_site = design.data != "panel" or design.weights is not None or design.exposure is not None
    unit = code if by_site else pd.factorize(rows[design.unit], sort=True)[0]
    n, t = int(unit.max(initial=-1)) + 1, len(periods.labels)
    cell = unit * np.int64(t) + periods.code
    if not by_site and len(np.unique(cell)) < len(cell):
        issues.append("unit, time: some units have several rows in a period. Aggregate them first.")
    if issues:
        return History(pd.Index(sites), np.empty((0, t)), None, periods)
    total = np.bincount(cell, weight, n * t)
    with np.errstate(invalid="ignore"):
        table = (np.bincount(cell, weight * y, n * t) / total).reshape(n, t)
    of_unit = np.empty(n, dtype=np.intp)
    of_unit[unit] = code
    return History(pd.Index(sites), table, None if by_site else of_unit, periods)
