"""Seeded simulation of people of whom some got a community service, with the true effects known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.simulate_people import DEPRIVATION
from qieval.errors import DesignError

OUTCOMES = (
    "admissions_after",
    "admissions_per_person_year",
    "person_years",
    "died",
    "days_to_death_or_end",
    "cost",
    "elective_eye_surgery",
)
"""What the truth is given for; admissions_per_person_year is a ratio of totals, not a column."""
YEAR = 365.25
FOLLOW_UP = 365
"""Most days of follow-up."""
FIRST_DAY, LAST_DAY = np.datetime64("2022-01-01"), np.datetime64("2023-09-30")
INDEX_DAYS = 455
"""Index dates lie in so many days from the first day on."""
HOSPITALS = 12
REFERRAL_SPREAD = 0.4
"""Standard deviation of the hospitals' log odds of referring people to the service."""
ADMISSION_COST = 3200.0
OVERDISPERSION = 0.4
"""Variance of the gamma factor of a person's admission rate."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CohortSimulation:
    """Simulated people with the truth beside them.

    - `frame`: one row a person. person_id; age (years); sex ("female", "male"); imd (quintile, 1 most
      deprived); frailty (index, 0 to 1); emergency_admissions_before (in the year before); hospital (code);
      smoker (0/1); index_date; service (0/1: got it). Outcomes in up to a year from the index date:
      admissions_after (emergency), person_years at risk, died (0/1), days_to_death_or_end, cost (pounds,
      without the service), elective_eye_surgery (0/1: a negative control, never changed by the service).
    - `truth`: "rate_ratio" of admissions and "hazard_ratio" of death for any one person; "att" and "ate",
      {outcome: difference} in natural units; "att_ratio" and "ate_ratio", {outcome: ratio of means}. They
      average each drawn person's expected outcome with and without the service (over the treated, over
      everybody). admissions_per_person_year compares total admissions by total person-years.
    - `arguments`: what the simulation was asked for.

    Compare equal by identity; printing shows sizes, never rows.
    """

    frame: pd.DataFrame
    truth: dict[str, Any]
    arguments: dict[str, float]

    def __repr__(self) -> str:
        served = int(self.frame["service"].sum())
        effect = self.truth["att"]["admissions_after"]
        return (
            f"CohortSimulation: {len(self.frame):,} people, {served:,} with the service; rate ratio "
            f"{self.truth['rate_ratio']:g}, true effect {effect:.3f} emergency admissions a treated person"
        )


@dataclass(frozen=True, eq=False)
class _People:
    """Measured characteristics (n,), and `hidden`: a standard normal factor that is not handed out.

    days: length of follow-up unless the person dies.
    """

    age: np.ndarray
    man: np.ndarray
    imd: np.ndarray
    frailty: np.ndarray
    before: np.ndarray
    hospital: np.ndarray
    smoker: np.ndarray
    index: np.ndarray
    days: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True, eq=False)
class _Rates:
    """For each person (n,) without the service: admissions a year, deaths a day, cost a year besides
    admissions, probability of eye surgery."""

    admissions: np.ndarray
    death: np.ndarray
    cost: np.ndarray
    surgery: np.ndarray


def simulate_cohort(
    n: int = 2000,
    *,
    effect: float = 0.8,
    confounding: float = 1.0,
    unmeasured: float = 0.0,
    treated: float = 0.2,
    seed: int = 1,
) -> CohortSimulation:
    """Simulate people aged 50 to 95, some of whom got a community service that lowers admissions.

    effect: rate ratio of emergency admissions with the service; its square root is the hazard ratio of
    death; 1 means no effect on anything. confounding: how strongly age, frailty, earlier admissions,
    deprivation and smoking decide who gets the service; 0: only the hospital and chance do. Hospitals differ
    in how often they refer, not in outcomes. unmeasured: log odds of the service, and half of it log rate of
    every outcome, eye surgery included, per standard deviation of a factor that is in no column and unrelated
    to those that are. treated: expected share with the service. Follow-up ends at death, after a year, or
    with the data on 30 September 2023.

    The seed fixes people, who gets the service, and their luck: under another effect whoever has no service
    fares exactly as before. Raises DesignError for arguments that make no sense, or if nobody (or everybody)
    happens to get the service.

    Checked: weighting by the true propensity score recovers the truth, the crude comparison does not.

    >>> study = simulate_cohort(500, seed=2)
    >>> study.frame.shape, study.truth["rate_ratio"]
    ((500, 16), 0.8)
    >>> simulate_cohort(500, effect=1).truth["att"]["died"]
    0.0
    """
    arguments = {
        "n": n,
        "effect": effect,
        "confounding": confounding,
        "unmeasured": unmeasured,
        "treated": treated,
        "seed": seed,
    }
    _check(arguments)
    for_people, for_service, luck = np.random.SeedSequence(seed).spawn(3)
    people = _draw_people(n, np.random.default_rng(for_people))
    service = _choose(people, arguments, np.random.default_rng(for_service))
    if not 0 < service.sum() < n:
        raise DesignError(
            "treated: by chance nobody or everybody got the service. Raise n or change treated."
        )
    rates = _rates(people, unmeasured)
    happens = [_outcomes(people, rates, ratio, np.random.default_rng(luck)) for ratio in (effect, 1.0)]
    outcomes = {key: np.where(service, happens[0][key], happens[1][key]) for key in happens[0]}
    frame = _frame(people, service).assign(**outcomes)
    return CohortSimulation(frame=frame, truth=_truth(people, rates, service, effect), arguments=arguments)


def _check(arguments: dict[str, float]) -> None:
    limits = {
        "n": (50, 20_000_000),
        "effect": (0.01, 10),
        "confounding": (-5, 5),
        "unmeasured": (-5, 5),
        "treated": (0.001, 0.999),
        "seed": (0, 2**63 - 1),
    }
    found = []
    for name, (low, high) in limits.items():
        held = arguments[name]
        if isinstance(held, bool) or not isinstance(held, (int, float, np.integer, np.floating)):
            found.append(f"{name}: {held!r} is not a number. Give one from {low:g} to {high:g}.")
        elif not low <= held <= high:
            found.append(f"{name}: {held!r} lies outside {low:g} to {high:g}, where this makes sense.")
        elif name in ("n", "seed") and held != int(held):
            found.append(f"{name}: {held!r} is not a whole number.")
    if found:
        raise DesignError(found)


def _draw_people(n: int, rng: np.random.Generator) -> _People:
    age = 50 + np.floor(46 * rng.beta(1.3, 1.6, n)).astype(np.int64)
    man = rng.random(n) < 0.48
    hospital = rng.integers(HOSPITALS, size=n)
    leaning = np.linspace(-0.8, 0.8, HOSPITALS)[hospital]
    imd = np.clip(np.floor(3.5 + leaning + rng.normal(0, 1.3, n)), 1, 5).astype(np.int64)
    smoker = rng.random(n) < _expit(-1.1 - 0.25 * (imd - 3) - 0.03 * (age - 70))
    frailty = _expit(-2.0 + 0.05 * (age - 70) + 0.3 * smoker + rng.normal(0, 0.7, n))
    usual = 0.35 * np.exp(0.02 * (age - 70) + 3 * (frailty - 0.15)) * DEPRIVATION[imd - 1]
    before = rng.poisson(usual * rng.gamma(1 / OVERDISPERSION, OVERDISPERSION, n))
    index = rng.integers(INDEX_DAYS, size=n)
    return _People(
        age=age,
        man=man,
        imd=imd,
        frailty=frailty,
        before=before,
        hospital=hospital,
        smoker=smoker,
        index=index,
        days=np.minimum(FOLLOW_UP, int((LAST_DAY - FIRST_DAY).astype(int)) - index),
        hidden=rng.standard_normal(n),
    )


def _choose(people: _People, arguments: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Who gets the service; the constant is set so that the expected share is as asked for."""
    referral = rng.normal(0, REFERRAL_SPREAD, HOSPITALS)[people.hospital]
    need = (
        0.035 * (people.age - 70)
        + 3.0 * (people.frailty - 0.15)
        + 0.5 * np.log1p(people.before)
        - 0.10 * (people.imd - 3)
        + 0.2 * people.smoker
    )
    score = arguments["confounding"] * need + arguments["unmeasured"] * people.hidden + referral
    low, high = -100.0, 100.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _expit(middle + score).mean() < arguments["treated"] else (low, middle)
    return rng.random(len(score)) < _expit(low + score)


def _rates(people: _People, unmeasured: float) -> _Rates:
    hidden = 0.5 * unmeasured * people.hidden
    old = people.age - 70
    frail = people.frailty - 0.15
    log_before = np.log1p(people.before)
    poor = 3 - people.imd
    death = 0.05 * np.exp(0.07 * old + 3.0 * frail + 0.2 * log_before + 0.3 * people.smoker + hidden)
    return _Rates(
        admissions=0.30
        * np.exp(0.025 * old + 2.5 * frail + 0.6 * log_before + 0.08 * poor + 0.2 * people.smoker + hidden),
        death=np.minimum(death, 5.0) / YEAR,
        cost=1400 * np.exp(0.015 * old + 2.0 * frail + 0.2 * log_before + hidden),
        surgery=_expit(-3.0 + 0.05 * old + 1.0 * frail + 0.05 * people.imd + hidden),
    )


def _frame(people: _People, service: np.ndarray) -> pd.DataFrame:
    n = len(service)
    codes = np.array([f"H{number:02d}" for number in range(1, HOSPITALS + 1)])
    return pd.DataFrame(
        {
            "person_id": np.arange(1, n + 1),
            "age": people.age,
            "sex": np.where(people.man, "male", "female"),
            "imd": people.imd,
            "frailty": people.frailty,
            "emergency_admissions_before": people.before,
            "hospital": codes[people.hospital],
            "smoker": people.smoker.astype(np.int64),
            "index_date": FIRST_DAY + people.index,
            "service": service.astype(np.int64),
        }
    )


def _outcomes(
    people: _People, rates: _Rates, ratio: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What happens to everybody under a rate ratio."""
    n = len(people.age)
    day_of_death = np.ceil(rng.standard_exponential(n) / (rates.death * np.sqrt(ratio)))
    luck = rng.gamma(1 / OVERDISPERSION, OVERDISPERSION, n)
    spending = np.exp(rng.normal(-0.125, 0.5, n))
    surgery = rng.random(n) < rates.surgery
    days = np.minimum(day_of_death, people.days).astype(np.int64)
    admissions = rng.poisson(rates.admissions * ratio * luck * days / YEAR)
    for_admissions = rng.gamma(2.0 * admissions, ADMISSION_COST / 2)
    return {
        "admissions_after": admissions,
        "person_years": days / YEAR,
        "died": (day_of_death <= people.days).astype(np.int64),
        "days_to_death_or_end": days,
        "cost": rates.cost * spending * days / YEAR + for_admissions,
        "elective_eye_surgery": surgery.astype(np.int64),
    }


def _expected(people: _People, rates: _Rates, ratio: float) -> dict[str, np.ndarray]:
    """Each person's expected outcomes under a rate ratio.

    Death comes on day k with probability exp(-h(k - 1)) - exp(-hk), so the expected number of days of c is
    (1 - exp(-hc)) / (1 - exp(-h)).
    """
    hazard = rates.death * np.sqrt(ratio)
    died = -np.expm1(-hazard * people.days)
    days = died / -np.expm1(-hazard)
    years = days / YEAR
    admissions = rates.admissions * ratio * years
    return {
        "admissions_after": admissions,
        "person_years": years,
        "died": died,
        "days_to_death_or_end": days,
        "cost": rates.cost * years + ADMISSION_COST * admissions,
        "elective_eye_surgery": rates.surgery,
    }


def _truth(people: _People, rates: _Rates, service: np.ndarray, effect: float) -> dict[str, Any]:
    truth: dict[str, Any] = {"rate_ratio": float(effect), "hazard_ratio": float(np.sqrt(effect))}
    potential = [_expected(people, rates, ratio) for ratio in (effect, 1.0)]
    for name, who in (("att", service), ("ate", np.ones_like(service))):
        mean = [{key: float(values[who].mean()) for key, values in held.items()} for held in potential]
        for held in mean:
            held["admissions_per_person_year"] = held["admissions_after"] / held["person_years"]
        with_service, without = mean
        truth[name] = {key: with_service[key] - without[key] for key in OUTCOMES}
        truth[f"{name}_ratio"] = {key: with_service[key] / without[key] for key in OUTCOMES}
    return truth


def _expit(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))
