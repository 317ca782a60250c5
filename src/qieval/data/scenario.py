"""What a simulated study looks like: every argument of `simulate`, declared once and checked."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError, nearest

CODING_CHANGES = ("none", "everyone", "pilot")
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The arguments of a simulated pilot; rates are per 1,000 registered people per month.

    - `practices`, `people`, `months`, `first`: number of practices, average list size, months of follow-up
      and the first of them ("2020-10").
    - `pilots`, `start`: how many practices join, and when. One month means one common start; several months
      are dealt to the pilots in turn (staggered starts).
    - `rate_ratio`: the true effect, emergency admissions with the pilot over those without. 1 means no
      effect.
    - `selection`: how much more likely practices with a high usual rate are to join: log odds per standard
      deviation, 0 for a pilot drawn by lot. The usual rate is permanent, so there is no regression to the
      mean.
    - `trend`, `season`: rise in every practice's rate each month; height of the winter peak above the mean.
    - `shock`, `autocorrelation`: standard deviation of the monthly shocks of a practice, and the correlation
      of one month's shock with the next.
    - `diverging_trend`: extra rise each month in pilot practices. Anything but 0 breaks parallel trends.
    - `anticipation_months`: so many months before the start half of the effect (on the log scale) is there
      already.
    - `spillover`: share of the effect (on the log scale) that reaches the other practices of a region while
      a pilot runs there.
    - `coding_change`, `coding_month`: "none", "everyone" or "pilot": from that month (default: the first
      pilot month) half of the emergency admissions without a night are recorded with the method "same day".
      Being a proportion it shifts high rates more than low ones.
    - `late_records`: share of the last month's admissions that has not arrived; half of it in the month
      before, and so on.
    - `attendances`: also simulate A&E attendances. `frailty`: also hand out each person's frailty.
    - `seed`: the same seed and arguments give the same data.

    Raises DesignError with every problem found.

    >>> Scenario(practices=10, pilots=4).months
    36
    """

    practices: int = 60
    people: int = 2000
    months: int = 36
    first: str = "2020-10"
    pilots: int = 24
    start: str | tuple[str, ...] = "2022-04"
    rate_ratio: float = 0.85
    selection: float = 1.0
    trend: float = 0.05
    season: float = 0.6
    shock: float = 0.3
    autocorrelation: float = 0.5
    diverging_trend: float = 0.0
    anticipation_months: int = 0
    spillover: float = 0.0
    coding_change: str = "none"
    coding_month: str | None = None
    late_records: float = 0.0
    attendances: bool = False
    frailty: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        found = _limits(self) + _month_problems(self)
        if self.coding_change not in CODING_CHANGES:
            known = ", ".join(CODING_CHANGES)
            hint = nearest(str(self.coding_change), CODING_CHANGES)
            found.append(f"coding_change: {self.coding_change!r} is not one of {known}.{hint}")
        if found := found or _start_problems(self):
            raise DesignError(found)

    @property
    def starts(self) -> tuple[str, ...]:
        """The start months, even when there is only one."""
        return (self.start,) if isinstance(self.start, str) else tuple(self.start)

    @property
    def calendar(self) -> pd.PeriodIndex:
        """The months that are simulated."""
        return pd.period_range(self.first, periods=self.months, freq="M")

    def position(self, month: str) -> int:
        """How many months after the first one `month` lies."""
        return int(pd.Period(month, freq="M").ordinal - pd.Period(self.first, freq="M").ordinal)


def changed(scenario: Scenario | None, changes: dict[str, Any]) -> Scenario:
    """The scenario with some arguments replaced; DesignError for a name that is not an argument."""
    known = [field.name for field in dataclasses.fields(Scenario)]
    unknown = [
        f"{name}: simulate has no such argument. It has {', '.join(known)}.{nearest(name, known)}"
        for name in changes
        if name not in known
    ]
    if unknown:
        raise DesignError(unknown)
    if isinstance(changes.get("start"), list):
        changes = changes | {"start": tuple(changes["start"])}
    return dataclasses.replace(scenario or Scenario(), **changes)


_LIMITS: dict[str, tuple[float, float]] = {
    "practices": (2, 20_000),
    "people": (50, 100_000),
    "months": (2, 600),
    "rate_ratio": (0.01, 10),
    "selection": (-20, 20),
    "trend": (-0.05, 1),
    "season": (0, 2),
    "shock": (0, 2),
    "autocorrelation": (-0.99, 0.99),
    "diverging_trend": (-1, 1),
    "anticipation_months": (0, 24),
    "spillover": (0, 1),
    "late_records": (0, 1),
    "seed": (0, 2**63 - 1),
}
_WHOLE = ("practices", "people", "months", "pilots", "anticipation_months", "seed")


def _limits(scenario: Scenario) -> list[str]:
    found = []
    limits = _LIMITS | {"pilots": (1, max(1, scenario.practices - 1))}
    for name, (low, high) in limits.items():
        held = getattr(scenario, name)
        if isinstance(held, bool) or not isinstance(held, (int, float, np.integer, np.floating)):
            found.append(f"{name}: {held!r} is not a number. Give one from {low:g} to {high:g}.")
        elif not low <= held <= high:
            found.append(
                f"{name}: {held!r} lies outside {low:g} to {high:g}, where the simulation makes sense."
            )
        elif name in _WHOLE and held != int(held):
            found.append(f"{name}: {held!r} is not a whole number.")
    return found


def _month_problems(scenario: Scenario) -> list[str]:
    given = [("first", scenario.first), *(("start", month) for month in scenario.starts)]
    if scenario.coding_month is not None:
        given.append(("coding_month", scenario.coding_month))
    found = [
        f'{name}: {month!r} is not a month. Write year and month, such as "2022-04".'
        for name, month in given
        if not isinstance(month, str) or not MONTH.fullmatch(month)
    ]
    return found if scenario.starts else [*found, 'start: no month is given. Give one, such as "2022-04".']


def _start_problems(scenario: Scenario) -> list[str]:
    months = scenario.calendar
    return [
        f"start: {month} leaves no month before or after it. The simulated months allow {months[1]} to "
        f"{months[-1]}."
        for month in scenario.starts
        if not 1 <= scenario.position(month) < scenario.months
    ]
