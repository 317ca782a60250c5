"""Seeded simulation of a roll-out to general practices in waves, with the true effects known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError, nearest


@dataclass(frozen=True, kw_only=True)
class RolloutScenario:
    """The arguments of a simulated roll-out; rates are admissions per 1,000 people a month.

    - `practices`, `months`, `first`: how many, and the first month ("2020-04").
    - `waves`: the months (from 1) in which a wave begins; `never`: share of practices without the service.
    - `effect`: change of the rate in the first month of the first wave; `growth`: further change in each
      month after; `fading`: how much of the effect is there in the last wave, linear between (early adopters
      gain most).
    - `by_lot`: whether the order is drawn by lot; otherwise deprived practices, whose rates rise faster,
      begin earlier, so that trends are parallel only given deprivation.
    - `seed`: the same seed and arguments give the same data.

    Raises DesignError for waves outside the months, fewer than 10 practices, and shares that are none.

    >>> RolloutScenario(waves=(8, 14)).practices
    200
    """

    practices: int = 200
    months: int = 36
    first: str = "2020-04"
    waves: tuple[int, ...] = (10, 16, 22)
    never: float = 0.25
    effect: float = -0.3
    growth: float = -0.08
    fading: float = 0.5
    by_lot: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "waves", tuple(self.waves))
        found = []
        if self.practices < 10:
            found.append(f"practices: {self.practices} is too few for waves. Give 10 or more.")
        ordered = list(self.waves) == sorted(set(self.waves))
        if not self.waves or min(self.waves) < 2 or max(self.waves) > self.months or not ordered:
            found.append(f"waves: {self.waves!r} must be different months in order, from 2 to {self.months}.")
        if not 0 <= self.never < 1:
            found.append(f"never: {self.never:g} is no share. Give a number from 0 to less than 1.")
        if found:
            raise DesignError(found)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RolloutSimulation:
    """A simulated roll-out with the truth beside it.

    frame: practice by month. truth: the average effect on the treated of admissions per 1,000 by the
    aggregations 'group', 'simple', 'dynamic' and 'calendar', and 'two_way': what the regression with
    practice and month effects and one coefficient would give without any noise. by_month: the true effect by
    months since the start. scenario: what the simulation was asked for. Printing shows sizes, never rows.
    """

    frame: pd.DataFrame
    truth: dict[str, float]
    by_month: pd.Series[float]
    scenario: RolloutScenario

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {value:.3g}" for name, value in self.truth.items())
        return f"RolloutSimulation: {self.frame['practice'].nunique():,} practices; true effects: {said}"


def simulate_rollout(scenario: RolloutScenario | None = None, **changes: Any) -> RolloutSimulation:
    """Simulate a service that is rolled out to practices in waves and is meant to lower emergency admissions.

    Give a RolloutScenario, or its arguments by name, or both (names win). Columns: practice (code), region
    (of 20), month, started (first month with the service, missing for never), service (1 in months with it),
    list_size, deprivation (score), over_75 (share), admissions (emergency admissions in the month),
    admissions_per_1000. Raises DesignError for arguments that make no sense.

    >>> study = simulate_rollout(practices=60, months=24, waves=(8, 14), seed=3)
    >>> study.frame.shape, bool(study.truth["two_way"] > study.truth["group"])
    ((1440, 10), True)
    """
    held = _changed(scenario, changes)
    rng = np.random.default_rng(held.seed)
    n, months = held.practices, held.months
    deprivation = rng.normal(25, 8, n)
    began = _starts(deprivation, held, rng)
    time = np.arange(1, months + 1)
    since = time[None, :] - began[:, None]
    tau = _strength(began, held)[:, None] * np.where(since >= 0, held.effect + held.growth * since, 0.0)
    list_size = np.round(rng.gamma(8.0, 1000.0, n)).astype(int) + 1500
    region = rng.integers(0, 20, n)
    rate = _usual_rate(deprivation, region, time, rng)
    admissions = rng.poisson(np.maximum(rate + tau, 0.2) * list_size[:, None] / 1000)
    practices = pd.DataFrame(
        {
            "practice": [f"P{code:04d}" for code in range(n)],
            "region": region,
            "began": began,
            "list_size": list_size,
            "deprivation": deprivation.round(1),
            "over_75": np.round(rng.beta(8, 90, n), 3),
        }
    )
    return RolloutSimulation(
        frame=_frame(practices, since, admissions, held),
        truth=_truth(tau, since),
        by_month=_by_month(tau, since),
        scenario=held,
    )


def _changed(scenario: RolloutScenario | None, changes: dict[str, Any]) -> RolloutScenario:
    known = [field.name for field in fields(RolloutScenario)]
    if unknown := [name for name in changes if name not in known]:
        raise DesignError(
            [
                f"{name}: simulate_rollout has no such argument. It has {', '.join(known)}."
                f"{nearest(name, known)}"
                for name in unknown
            ]
        )
    return replace(scenario or RolloutScenario(), **changes)


def _usual_rate(
    deprivation: np.ndarray, region: np.ndarray, time: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Admissions per 1,000 without the service (n, months)."""
    n, months = len(deprivation), len(time)
    place = rng.normal(0, 0.8, n)[:, None] + 0.06 * (deprivation - 25)[:, None]
    season = 0.6 * np.cos(2 * np.pi * (time - 9) / 12)
    drift = 0.02 + 0.001 * (deprivation - 25)[:, None]
    shared = rng.normal(0, 0.15, (20, months))[region]
    return np.asarray(9.0 + place + season + drift * time + shared + _wandering(rng, n, months))


def _frame(
    practices: pd.DataFrame, since: np.ndarray, admissions: np.ndarray, held: RolloutScenario
) -> pd.DataFrame:
    """Practice by month."""
    calendar = pd.period_range(held.first, periods=held.months, freq="M").astype(str)
    rows = practices.loc[np.repeat(np.arange(len(practices)), held.months)].reset_index(drop=True)
    labels = {float(start): calendar[start - 1] for start in held.waves}
    rows.insert(2, "month", np.tile(calendar, len(practices)))
    rows.insert(3, "started", pd.Series([labels.get(start) for start in rows["began"]], dtype="str"))
    rows.insert(4, "service", (since >= 0).ravel().astype(int))
    rows["admissions"] = admissions.ravel()
    rows["admissions_per_1000"] = 1000 * rows["admissions"] / rows["list_size"]
    return rows.drop(columns="began")


def _starts(deprivation: np.ndarray, held: RolloutScenario, rng: np.random.Generator) -> np.ndarray:
    """The month in which each practice begins, infinite for never."""
    n = len(deprivation)
    keen = rng.normal(0, 1, n) if held.by_lot else 0.6 * deprivation / 8 + rng.normal(0, 1, n)
    order = np.argsort(-keen)
    took = round(n * (1 - held.never))
    began = np.full(n, np.inf)
    for wave, members in zip(held.waves, np.array_split(order[:took], len(held.waves)), strict=True):
        began[members] = wave
    return began


def _strength(began: np.ndarray, held: RolloutScenario) -> np.ndarray:
    """How strongly the service works in each practice: 1 in the first wave, `fading` in the last."""
    if len(held.waves) == 1:
        return np.ones(len(began))
    first, last = held.waves[0], held.waves[-1]
    share = np.where(np.isinf(began), 0.0, (np.where(np.isinf(began), first, began) - first) / (last - first))
    return np.asarray(1 - (1 - held.fading) * share)


def _wandering(rng: np.random.Generator, n: int, months: int) -> np.ndarray:
    """Monthly shocks of each practice, of which half stays from one month to the next (n, months)."""
    shock = rng.normal(0, 0.3, (n, months))
    for t in range(1, months):
        shock[:, t] += 0.5 * shock[:, t - 1]
    return shock


def _truth(tau: np.ndarray, since: np.ndarray) -> dict[str, float]:
    on = since >= 0
    ever = on.any(axis=1)
    by_practice = (tau * on).sum(axis=1)[ever] / on.sum(axis=1)[ever]
    treated_in = on.sum(axis=0)
    calendar = (tau * on).sum(axis=0)[treated_in > 0] / treated_in[treated_in > 0]
    left = on - on.mean(axis=0) - on.mean(axis=1, keepdims=True) + on.mean()
    return {
        "group": float(by_practice.mean()),
        "simple": float(tau[on].mean()),
        "dynamic": float(_by_month(tau, since).mean()),
        "calendar": float(calendar.mean()),
        "two_way": float((left * tau).sum() / (left * on).sum()),
    }


def _by_month(tau: np.ndarray, since: np.ndarray) -> pd.Series[float]:
    on = since >= 0
    return pd.Series(tau[on]).groupby(pd.Index(since[on].astype(int), name="months since the start")).mean()
