"""Seeded simulations in which a rule, an instrument or a selection decides, with the true effects known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError

MONTHS = 12
ELIGIBLE = 65 * MONTHS
"""The age in months from which people are invited to the health check."""
CARE_BELOW = 1500
"""The birth weight in grams below which newborns receive extra care."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NaturalExperiment:
    """Simulated people with the truth beside them.

    frame: one row a person. truth: the true effects, in the outcome's units, with what they are about.
    arguments: what the simulation was asked for. Printing shows sizes, never rows.
    """

    frame: pd.DataFrame
    truth: dict[str, float]
    arguments: dict[str, Any]

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {value:.4g}" for name, value in self.truth.items())
        return f"NaturalExperiment: {len(self.frame):,} people; true effects: {said}"


def simulate_cutoff(
    n: int = 12_000,
    *,
    effect: float = -0.1,
    uptake: tuple[float, float] = (0.1, 0.55),
    sorting: float = 0.0,
    seed: int = 1,
) -> NaturalExperiment:
    """Simulate people aged 60 to 70 who are invited to a health check from 65 on (a fuzzy discontinuity).

    Columns: practice (code of 80), age_months, age_years (whole), female, imd (quintile, 1 most deprived),
    conditions (number of long-term conditions), health_check (0/1: attended), admitted (0/1: emergency
    admission in the next year), cost (pounds in the next year), eye_test (0/1: a negative control). effect:
    change of the probability of an admission by the check, the same for everybody; cost changes by 4,000
    times as much. uptake: share who attend just below and just above 65; who attends depends also on a
    hidden concern about one's health, so that those who attend differ. sorting: share of those up to six
    months below 65, with most conditions, who get themselves recorded as 65. Truth: "admitted" and "cost",
    effects of attending at the cutoff. Raises DesignError for shares outside 0 to 1.

    >>> simulate_cutoff(500, seed=3).frame.columns[:3].tolist()
    ['practice', 'age_months', 'age_years']
    """
    _shares(uptake=uptake, sorting=(sorting,))
    rng = np.random.default_rng(seed)
    age = rng.integers(60 * MONTHS, 70 * MONTHS, n)
    conditions = rng.poisson(np.exp(-0.1 + 0.004 * (age - ELIGIBLE)))
    near = (age < ELIGIBLE) & (age >= ELIGIBLE - 6) & (conditions >= 2)
    age = np.where(near & (rng.random(n) < sorting), ELIGIBLE, age)
    concern = rng.normal(0, 1, n)
    low, high = uptake
    wanted = np.where(age >= ELIGIBLE, high, low) + 0.0005 * (age - ELIGIBLE)
    threshold = np.sort(concern)[np.clip(((1 - np.clip(wanted, 0, 1)) * n).astype(int), 0, n - 1)]
    attended = concern >= threshold
    practice = rng.integers(0, 80, n)
    place = rng.normal(0, 0.02, 80)[practice]
    years = (age - ELIGIBLE) / MONTHS
    risk = 0.22 + 0.01 * years + 0.0008 * years**2 + 0.05 * conditions + 0.04 * concern + place
    admitted = rng.random(n) < np.clip(risk + effect * attended, 0.01, 0.99)
    cost = 1200 + 60 * years + 400 * conditions + 300 * concern + 4000 * effect * attended
    frame = pd.DataFrame(
        {
            "practice": practice,
            "age_months": age,
            "age_years": age // MONTHS,
            "female": rng.integers(0, 2, n),
            "imd": rng.integers(1, 6, n),
            "conditions": conditions,
            "health_check": attended.astype(int),
            "admitted": admitted.astype(int),
            "cost": np.round(cost + rng.gamma(2.0, 300.0, n), 2),
            "eye_test": (rng.random(n) < 0.3 + 0.01 * years).astype(int),
        }
    )
    truth = {"admitted": effect, "cost": 4000 * effect}
    return NaturalExperiment(
        frame=frame,
        truth=truth,
        arguments={"n": n, "effect": effect, "uptake": uptake, "sorting": sorting, "seed": seed},
    )


def simulate_birth_weight(
    n: int = 20_000, *, effect: float = -0.035, heaping: float = 0.35, seed: int = 1
) -> NaturalExperiment:
    """Simulate newborns of 900 to 2,100 g who receive extra care below 1,500 g; some weights are rounded.

    Columns: hospital (code of 60), birth_weight (g), twin, gestation (weeks), mother_age, died (0/1, in the
    first year), cost (pounds). Hospitals with little staff round that share (heaping) of their weights to
    100 g, and more of their newborns die whatever the weight, so that a heap at exactly 1,500 g makes
    newborns just above the cutoff look worse than they would without the care. effect: change of the
    probability to die by the care. Truth: "died" at the cutoff. Raises DesignError for a share outside 0
    to 1.

    >>> simulate_birth_weight(500, seed=3).truth
    {'died': -0.035}
    """
    _shares(heaping=(heaping,))
    rng = np.random.default_rng(seed)
    hospital = rng.integers(0, 60, n)
    poor = hospital < 20
    weight = np.round(rng.triangular(900, 1900, 2100, n)).astype(int)
    rounded = poor & (rng.random(n) < heaping)
    weight = np.where(rounded, (np.round(weight / 100) * 100).astype(int), weight)
    care = weight < CARE_BELOW
    risk = 0.09 - 0.00009 * (weight - CARE_BELOW) + 0.1 * poor + effect * care
    died = rng.random(n) < np.clip(risk, 0.005, 0.95)
    frame = pd.DataFrame(
        {
            "hospital": hospital,
            "birth_weight": weight,
            "twin": (rng.random(n) < 0.2).astype(int),
            "gestation": np.round(29 + (weight - 900) / 220 + rng.normal(0, 1.3, n), 1),
            "mother_age": np.round(rng.normal(29, 6, n)).clip(15, 50).astype(int),
            "died": died.astype(int),
            "cost": np.round(9000 - 3 * (weight - CARE_BELOW) + 3500 * care + rng.gamma(2.0, 1500.0, n)),
        }
    )
    return NaturalExperiment(
        frame=frame,
        truth={"died": effect},
        arguments={"n": n, "effect": effect, "heaping": heaping, "seed": seed},
    )


def simulate_instrument(
    n: int = 6000, *, effect: float = -0.05, strength: float = 0.8, direct: float = 0.0, seed: int = 1
) -> NaturalExperiment:
    """Simulate patients of whom those who live nearer to a specialist hospital are taken there more often.

    Columns: area (code of 150), extra_distance (km further to the specialist than to the nearest hospital),
    near (0/1: less than 10 km further), age, female, imd, conditions, specialist (0/1), died (0/1, within 30
    days), cost, cataract (0/1: a negative control). Sicker patients, by a severity that is in no column, are
    taken to the specialist more often, so that a plain comparison makes it look harmful. effect: change of
    the probability to die. strength: how much the distance matters. direct: change of that probability per
    10 km further by the distance itself (breaks the exclusion). Truth: "died", the same for everybody.

    >>> round(simulate_instrument(500, seed=3).truth["died"], 2)
    -0.05
    """
    rng = np.random.default_rng(seed)
    area = rng.integers(0, 150, n)
    further = rng.gamma(2.0, 8.0, 150)[area] + rng.normal(0, 1.0, n) ** 2
    age, imd = rng.normal(72, 9, n), rng.integers(1, 6, n)
    female, conditions = rng.integers(0, 2, n), rng.poisson(1.4, n)
    severity = rng.normal(0, 1, n)
    chance = 0.4 - strength * (further - 16) / 10 + 0.8 * severity + 0.02 * (72 - age)
    specialist = rng.random(n) < 1 / (1 + np.exp(-chance))
    risk = 0.15 + 0.004 * (age - 72) + 0.02 * (conditions - 1.4) + 0.06 * severity + direct * further / 10
    died = rng.random(n) < np.clip(risk + effect * specialist, 0.005, 0.95)
    frame = pd.DataFrame(
        {
            "area": area,
            "extra_distance": np.round(further, 2),
            "near": (further < 10).astype(int),
            "age": np.round(age).astype(int),
            "female": female,
            "imd": imd,
            "conditions": conditions,
            "specialist": specialist.astype(int),
            "died": died.astype(int),
            "cost": np.round(5000 + 1500 * specialist + 900 * severity + rng.gamma(2.0, 800.0, n)),
            "cataract": (rng.random(n) < 0.12).astype(int),
        }
    )
    return NaturalExperiment(
        frame=frame,
        truth={"died": effect},
        arguments={"n": n, "effect": effect, "strength": strength, "direct": direct, "seed": seed},
    )


def simulate_frequent_attenders(
    n: int = 20_000, *, threshold: int = 4, rate_ratio: float = 1.0, trend: float = 0.98, seed: int = 1
) -> NaturalExperiment:
    """Simulate people whose emergency visits are counted for a year; the frequent ones get a case manager.

    Columns, one row for each person with `threshold` or more visits in the year before: person_id, age,
    practice (code of 40), visits_before, visits_after. rate_ratio: what the case manager does to visits (1:
    nothing); trend: what happens to everybody's visits anyway. Truth: "visits", the mean change that the case
    manager causes in them; "regression to the mean" and "trend", the changes that come by themselves;
    "population mean", "population sd" and "reliability" of yearly visits in everybody.

    >>> simulate_frequent_attenders(2000, seed=3).truth["visits"]
    0.0
    """
    if not (threshold >= 0 and rate_ratio > 0 and trend > 0):
        raise DesignError(
            "threshold, rate_ratio, trend: a threshold of 0 or more and ratios above 0 are needed."
        )
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 1.4, n)
    before = rng.poisson(rate)
    after = rng.poisson(rate * trend * rate_ratio)
    picked = before >= threshold
    if not picked.any():
        raise DesignError(f"threshold: nobody had {threshold} visits. Simulate more people or lower it.")
    frame = pd.DataFrame(
        {
            "person_id": np.arange(n),
            "age": rng.integers(18, 95, n),
            "practice": rng.integers(0, 40, n),
            "visits_before": before,
            "visits_after": after,
        }
    )[picked].reset_index(drop=True)
    own = float(rate[picked].mean())
    truth = {
        "visits": own * trend * (rate_ratio - 1),
        "regression to the mean": own - float(before[picked].mean()),
        "trend": own * (trend - 1),
        "population mean": 0.98,
        "population sd": float(np.sqrt(0.98 + 0.98 * 1.4)),
        "reliability": 1.4 / 2.4,
    }
    return NaturalExperiment(
        frame=frame,
        truth=truth,
        arguments={"n": n, "threshold": threshold, "rate_ratio": rate_ratio, "trend": trend, "seed": seed},
    )


def _shares(**given: tuple[float, ...]) -> None:
    """DesignError for shares outside 0 to 1."""
    wrong = [name for name, held in given.items() if not all(0 <= share <= 1 for share in held)]
    if wrong:
        raise DesignError([f"{name}: {given[name]} is no share; give numbers from 0 to 1." for name in wrong])
