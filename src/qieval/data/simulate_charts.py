"""Seeded data for improvement charts: falls with a shift, dates of rare events, and a family of measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError

FIRST = "2021-01"
FALLS_PER_1000 = 6.5
BED_DAYS = 2400
DAYS_BETWEEN = 12.0
"""Mean days between rare events before the change."""
FAMILY = (
    ("risk assessment within 6 hours", "process", 0.62, 0.88, 0),
    ("falls with harm", "outcome", 0.20, 0.13, 4),
    ("use of bed rails", "balancing", 0.30, 0.30, 0),
)
"""Measures: name, kind, proportion before and after, and months from the change until it moves."""
CASES = 150


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ChartSimulation:
    """Simulated measures of one improvement project with the truth beside them.

    - `falls`: month, falls, bed_days; the rate changes for good in one month (u chart).
    - `rare_events`: date of each event, in order; they become rarer from one day on (g and t chart).
    - `family`: month, measure, kind ("outcome", "process", "balancing"), meeting, cases. The process measure
      improves at once, the outcome measure four months later, the balancing measure does not move.
    - `truth`: "change" (the month), "falls" {"before", "after"} per 1,000 bed days, "days_between"
      {"before", "after"}, "family" {measure: (before, after, month from which it holds)}.

    Compare equal by identity.
    """

    falls: pd.DataFrame
    rare_events: pd.DataFrame
    family: pd.DataFrame
    truth: dict[str, Any]

    def __repr__(self) -> str:
        return (
            f"ChartSimulation: {len(self.falls)} months of falls, {len(self.rare_events)} rare events, "
            f"{self.family['measure'].nunique()} measures; change in {self.truth['change']}"
        )


def simulate_charts(
    months: int = 36, *, before: int = 20, ratio: float = 0.65, size: float = 400.0, seed: int = 1
) -> ChartSimulation:
    """Simulate an improvement project on a ward: falls per 1,000 bed days, rare events, a family of measures.

    before: months before the change. ratio: rate of falls and of rare events after it over that before; 1 for
    no change in any measure. size: of the negative binomial distribution of the falls (large: Poisson).
    Raises DesignError for numbers that make no project.

    >>> made = simulate_charts(seed=2)
    >>> made.truth["change"], list(made.falls), made.family["measure"].nunique()
    ('2022-09', ['month', 'falls', 'bed_days'], 3)
    """
    _refuse({"months": months, "before": before, "ratio": ratio, "size": size, "seed": seed})
    streams = np.random.default_rng(seed).spawn(3)
    calendar = pd.period_range(FIRST, periods=months, freq="M")
    labels = pd.Series(calendar.astype("str"), dtype="str")
    change = calendar[before]
    after = np.arange(months) >= before
    return ChartSimulation(
        falls=_falls(labels, np.where(after, ratio, 1.0), size, streams[0]),
        rare_events=_rare(calendar, change, ratio, streams[1]),
        family=_family(labels, before, ratio != 1, streams[2]),
        truth={
            "change": str(change),
            "falls": {"before": FALLS_PER_1000, "after": FALLS_PER_1000 * ratio},
            "days_between": {"before": DAYS_BETWEEN, "after": DAYS_BETWEEN / ratio},
            "family": {
                name: (low, high if ratio != 1 else low, str(change + delay))
                for name, _, low, high, delay in FAMILY
            },
        },
    )


def _falls(
    labels: pd.Series[str], relative: np.ndarray, size: float, rng: np.random.Generator
) -> pd.DataFrame:
    bed_days = np.round(BED_DAYS * np.exp(0.06 * rng.standard_normal(len(labels)))).astype(int)
    mean = FALLS_PER_1000 * relative * bed_days / 1000
    falls = rng.poisson(mean * rng.gamma(size, 1 / size, len(labels)))
    return pd.DataFrame({"month": labels, "falls": falls, "bed_days": bed_days})


def _rare(
    calendar: pd.PeriodIndex, change: pd.Period, ratio: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Events of each day by chance: the number of days between two of them is geometric."""
    days = pd.date_range(calendar[0].start_time, calendar[-1].end_time.normalize(), freq="D")
    chance = np.where(days < change.start_time, 1.0, ratio) / DAYS_BETWEEN
    return pd.DataFrame({"date": days[rng.random(len(days)) < chance]})


def _family(labels: pd.Series[str], before: int, changes: bool, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    at = np.arange(len(labels))
    for name, kind, low, high, delay in FAMILY:
        cases = rng.poisson(CASES, len(labels)) + 1
        share = np.where(changes & (at >= before + delay), high, low)
        meeting = rng.binomial(cases, share)
        rows.append(
            pd.DataFrame(
                {"month": labels, "measure": name, "kind": kind, "meeting": meeting, "cases": cases}
            ).astype({"measure": "str", "kind": "str"})
        )
    return pd.concat(rows, ignore_index=True)


def _refuse(arguments: dict[str, float]) -> None:
    limits: dict[str, tuple[float, float]] = {
        "months": (2, 600),
        "before": (1, arguments["months"] - 1),
        "ratio": (0.01, 5),
        "size": (0.1, 1e9),
        "seed": (0, 2**63 - 1),
    }
    found = [
        f"{name}: {arguments[name]!r} lies outside {low:g} to {high:g}, where the simulation makes sense."
        for name, (low, high) in limits.items()
        if not low <= arguments[name] <= high
    ]
    if found:
        raise DesignError(found)
