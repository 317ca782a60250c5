"""What a simulated interrupted series looks like: the arguments of `simulate_series`, stated and checked."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError, nearest

FAMILIES = ("gaussian", "poisson", "negative binomial", "binomial")
BASELINE = {"gaussian": 60.0, "poisson": 120.0, "negative binomial": 120.0, "binomial": 0.8}
"""The level of the first month unless another is stated."""
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, kw_only=True)
class SeriesScenario:
    """The arguments of an interrupted series of months. Changes are in units of the outcome for "gaussian",
    on the log scale for counts, and in log odds for "binomial".

    - `family`: "gaussian", "poisson", "negative binomial", "binomial".
    - `before`, `after`, `first`: months before the start and from it on; the first month ("2018-01").
    - `baseline`: the first month's mean, expected count or proportion; by default 60, 120 and 0.8.
    - `denominator`: mean people (counts) or cases (binomial) a month, which vary from month to month; 0 for
      counts without one.
    - `trend`, `season`: change each month; height of the winter peak above the mean.
    - `level`, `slope`: the effect: change at the start, and further change each month after it.
    - `lag`, `phase_in`: months until the effect begins; months over which the change of level then grows to
      its full size in equal steps (0: at once).
    - `noise`, `autocorrelation`: standard deviation of the errors, and the autoregressive coefficients, one
      number or several.
    - `size`: of the negative binomial distribution; its variance is mean + mean^2 / size.
    - `controls`: how many control series, which share trend, season, denominator, and the shock, but not the
      effect. `shared`: part of the errors' variance that all series have in common.
    - `shock`, `shock_month`: a lasting change in all series, so many months after the start (0: at once).
    - `event`, `event_month`, `event_months`: a change in the one series only that has another cause, its
      first month counted from the start, and how many months it lasts.
    - `seed`: the same seed and arguments give the same data.

    Raises DesignError with every problem found.

    >>> SeriesScenario(before=24, after=12).calendar[24]
    Period('2020-01', 'M')
    """

    family: str = "poisson"
    before: int = 48
    after: int = 24
    first: str = "2018-01"
    baseline: float | None = None
    denominator: float = 50_000.0
    trend: float = 0.0
    season: float = 0.0
    level: float = 0.0
    slope: float = 0.0
    lag: int = 0
    phase_in: int = 0
    noise: float = 0.0
    autocorrelation: float | tuple[float, ...] = 0.0
    size: float = 30.0
    controls: int = 0
    shared: float = 0.0
    shock: float = 0.0
    shock_month: int = 0
    event: float = 0.0
    event_month: int = 0
    event_months: int = 600
    seed: int = 1

    def __post_init__(self) -> None:
        found = []
        if self.family not in FAMILIES:
            hint = nearest(str(self.family), FAMILIES)
            found.append(f"family: {self.family!r} is not one of {', '.join(FAMILIES)}.{hint}")
        if not isinstance(self.first, str) or not MONTH.fullmatch(self.first):
            found.append(f'first: {self.first!r} is not a month. Write year and month, such as "2018-01".')
        found += _limits(self) or _sense(self)
        if found:
            raise DesignError(found)

    @property
    def calendar(self) -> pd.PeriodIndex:
        """The months that are simulated."""
        return pd.period_range(self.first, periods=self.before + self.after, freq="M")

    @property
    def coefficients(self) -> np.ndarray:
        """The autoregressive coefficients (p,)."""
        return np.atleast_1d(np.asarray(self.autocorrelation, dtype=float))


def altered(scenario: SeriesScenario | None, changes: dict[str, Any]) -> SeriesScenario:
    """The scenario with some arguments replaced; DesignError for a name that is not an argument."""
    known = [field.name for field in dataclasses.fields(SeriesScenario)]
    if unknown := [name for name in changes if name not in known]:
        listed = ", ".join(known)
        raise DesignError(
            [
                f"{name}: simulate_series has no such argument. It has {listed}.{nearest(name, known)}"
                for name in unknown
            ]
        )
    return dataclasses.replace(scenario or SeriesScenario(), **changes)


_LIMITS: dict[str, tuple[float, float]] = {
    "before": (1, 5000),
    "after": (1, 5000),
    "denominator": (0, 1e9),
    "lag": (0, 600),
    "phase_in": (0, 600),
    "noise": (0, 1e6),
    "size": (0.01, 1e9),
    "controls": (0, 100),
    "shared": (0, 1),
    "shock_month": (-5000, 5000),
    "event_month": (-5000, 5000),
    "event_months": (1, 5000),
    "seed": (0, 2**63 - 1),
}
_FREE = ("trend", "season", "level", "slope", "shock", "event")
_WHOLE = (
    "before",
    "after",
    "lag",
    "phase_in",
    "controls",
    "shock_month",
    "event_month",
    "event_months",
    "seed",
)


def _limits(scenario: SeriesScenario) -> list[str]:
    found = []
    for name, (low, high) in (_LIMITS | dict.fromkeys(_FREE, (-1e6, 1e6))).items():
        held = getattr(scenario, name)
        if isinstance(held, bool) or not isinstance(held, (int, float, np.integer, np.floating)):
            found.append(f"{name}: {held!r} is not a number. Give one from {low:g} to {high:g}.")
        elif not low <= held <= high:
            found.append(f"{name}: {held!r} lies outside {low:g} to {high:g}, where it makes sense.")
        elif name in _WHOLE and held != int(held):
            found.append(f"{name}: {held!r} is not a whole number.")
    return found


def _sense(scenario: SeriesScenario) -> list[str]:
    """What single limits do not show."""
    found = []
    held = scenario.baseline
    high = 1.0 if scenario.family == "binomial" else np.inf
    if held is not None and scenario.family != "gaussian" and not 0 < held < high:
        found.append(f"baseline: {held!r} is not between 0 and {high:g}.")
    if scenario.family == "binomial" and scenario.denominator < 1:
        found.append(
            f"denominator: {scenario.denominator!r} leaves a proportion without cases. Give 1 or more."
        )
    try:
        bounded = _stationary(scenario.coefficients)
    except (TypeError, ValueError):
        given = scenario.autocorrelation
        return [*found, f"autocorrelation: {given!r} is neither a number nor several of them."]
    if not bounded:
        found.append(
            f"autocorrelation: errors with {scenario.autocorrelation!r} would grow without bound. Give "
            "smaller coefficients."
        )
    return found


def _stationary(coefficients: np.ndarray) -> bool:
    if coefficients.ndim != 1 or not len(coefficients) or not np.isfinite(coefficients).all():
        raise ValueError("one row of finite numbers is needed")
    companion = np.eye(len(coefficients), k=-1)
    companion[0] = coefficients
    return bool(np.abs(np.linalg.eigvals(companion)).max() < 1)
