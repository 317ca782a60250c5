"""Roll-outs that are still to come: which site is to begin when, stated site by site or by waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from qieval.errors import DesignError, nearest
from qieval.numerics.rollout_power import wave_starts
from qieval.periods import Periods
from qieval.text import listed, plural


@dataclass(frozen=True)
class Waves:
    """How many sites begin at each start, such as Waves({"2024-04": 12, "2024-10": 12}).

    The other sites never begin. Which site is in which wave is not said: it is to be drawn by lot.
    """

    sizes: Mapping[Any, int]


@dataclass(frozen=True, kw_only=True)
class SteppedWedge:
    """Sites spread evenly over `steps` starts that lie `gap` periods apart; who begins when is drawn by lot.

    first: the start of the first step, by default the first period to come. never: sites that never begin.
    One step is "all at once".
    """

    steps: int
    gap: int = 1
    first: Any = None
    never: int = 0


Schedule: TypeAlias = Mapping[Any, Any] | pd.Series | Waves | SteppedWedge
"""When sites begin; a mapping or a Series holds starts by site. Starts after these periods are never."""


@dataclass(frozen=True, eq=False)
class Planned:
    """Starts of the sites (G,), 0 being the first period to come and infinity never; whether the order will
    be drawn by lot."""

    first: np.ndarray
    by_lot: bool


def is_schedule(held: Any) -> bool:
    """Whether something says when sites begin."""
    return isinstance(held, Mapping | pd.Series | Waves | SteppedWedge)


def coming(history: Periods, count: int) -> Periods:
    """The next `count` periods after a history of two or more, in its rhythm."""
    ordinals = np.asarray(history._ordinals(), dtype=np.int64)
    step = int(np.gcd.reduce(np.diff(ordinals)))
    last, ahead = history.labels[-1], step * np.arange(1, count + 1)
    if history.kind == "number":
        labels = pd.Index(last + ahead)
    elif isinstance(history.labels, pd.PeriodIndex):
        labels = pd.PeriodIndex([last + int(one) for one in ahead])
    elif ordinals[-1] == last.year * 12 + last.month:
        labels = pd.DatetimeIndex([last + pd.DateOffset(months=int(one)) for one in ahead])
    else:
        labels = pd.DatetimeIndex(last + pd.to_timedelta(ahead, unit="s"))
    return Periods(labels, np.empty(0, dtype=np.intp), history.kind)


def planned(schedule: Schedule, sites: pd.Index[Any], history: Periods, ahead: Periods) -> Planned:
    """The starts of sites, in the order of `sites`; DesignError says everything that does not fit."""
    issues: list[str] = []
    if isinstance(schedule, SteppedWedge):
        first = _steps(schedule, len(sites), history, ahead, issues)
    elif isinstance(schedule, Waves):
        first = _waves(schedule, len(sites), history, ahead, issues)
    else:
        first = _by_site(schedule, sites, history, ahead, issues)
    first = np.where(first >= len(ahead.labels), np.inf, first)
    if not issues and not np.isfinite(first).any():
        issues.append(
            "schedule: no site begins within the periods to come. State earlier starts, or more periods."
        )
    if issues:
        raise DesignError(issues)
    return Planned(first, isinstance(schedule, Waves | SteppedWedge))


def _steps(
    wedge: SteppedWedge, n_sites: int, history: Periods, ahead: Periods, issues: list[str]
) -> np.ndarray:
    begin = n_sites - wedge.never
    if wedge.steps < 1 or wedge.gap < 1 or wedge.never < 0 or begin < wedge.steps:
        issues.append(
            f"schedule: {plural(wedge.steps, 'step')} with a gap of {wedge.gap} and {wedge.never} sites that"
            f" never begin do not fit {plural(n_sites, 'site')}. Each step needs a site, and each gap a"
            " period."
        )
        return np.empty(0)
    start = 0.0 if wedge.first is None else _place(wedge.first, history, ahead, issues)
    if not np.isfinite(start):
        return np.full(n_sites, np.inf)
    return wave_starts(n_sites, wedge.steps, start=int(start), gap=wedge.gap, never=wedge.never)


def _waves(waves: Waves, n_sites: int, history: Periods, ahead: Periods, issues: list[str]) -> np.ndarray:
    sizes = list(waves.sizes.values())
    if any(size != int(size) or size < 1 for size in sizes) or sum(sizes) > n_sites:
        issues.append(
            f"schedule: waves of {listed(sizes)} sites do not fit {plural(n_sites, 'site')}. Give whole"
            " numbers from 1 that add up to the number of sites or fewer."
        )
        return np.empty(0)
    starts = [_place(moment, history, ahead, issues) for moment in waves.sizes]
    begin = np.repeat(starts, [int(size) for size in sizes])
    return np.concatenate([begin, np.full(n_sites - len(begin), np.inf)])


def _by_site(
    stated: Mapping[Any, Any] | pd.Series,
    sites: pd.Index[Any],
    history: Periods,
    ahead: Periods,
    issues: list[str],
) -> np.ndarray:
    held = stated.to_dict() if isinstance(stated, pd.Series) else dict(stated)
    place = {site: at for at, site in enumerate(sites)}
    if unknown := [site for site in held if site not in place]:
        issues.append(
            f"schedule: {listed(unknown)} {'is' if len(unknown) == 1 else 'are'} not in the data."
            f"{nearest(str(unknown[0]), map(str, sites))} Write sites as the data do."
        )
        return np.empty(0)
    first = np.full(len(sites), np.inf)
    for site, moment in held.items():
        first[place[site]] = _place(moment, history, ahead, issues)
    return first


def _place(moment: Any, history: Periods, ahead: Periods, issues: list[str]) -> float:
    """The first period to come that begins at a moment or later; infinite for never."""
    if _is_never(moment):
        return np.inf
    try:
        if history.first_at_or_after(moment) < len(history.labels):
            issues.append(
                f"schedule: the start {moment!r} lies within the history, which goes on to"
                f" {history.shown()[-1]}. End the history earlier (last_period), or state a later start."
            )
            return np.inf
        code = ahead.first_at_or_after(moment)
    except ValueError as cause:
        issues.append(f"schedule: {cause}.")
        return np.inf
    return float(code) if code < len(ahead.labels) else np.inf


def _is_never(moment: Any) -> bool:
    if moment is None or moment is pd.NaT:
        return True
    if isinstance(moment, str):
        return moment.strip().lower() in ("", "never")
    return isinstance(moment, float) and not np.isfinite(moment)
