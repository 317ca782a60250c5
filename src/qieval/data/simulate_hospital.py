"""Seeded simulation of one hospital that starts a discharge programme, among hospitals that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.simulate_events import ar1
from qieval.errors import DesignError

FIRST = "2012-01"
"""The first month."""
USUAL = 105.0
"""Readmissions per 1,000 discharges of an average hospital in the first month."""
SEASON = 3.0
"""Height of the winter peak above the mean, per 1,000 discharges."""
DRIFTS = (0.16, 0.05, 0.0)
STEPS = (0.35, 0.3, 0.3)
"""Mean and standard deviation of the monthly change in what a standard deviation of age, deprivation and the
hidden trait adds to the rate."""
LEVELS = (6.0, 5.0, 3.0)
"""What they add in the first month."""
MIX = (0.4, 0.35, 0.25)
"""The hospital with the programme lies at this mix of three others, the last of which has a shock."""
SHOCKED = len(MIX)
OLDER, OLDER_SPREAD = 32.0, 5.0
"""Share of discharged patients aged 75 or older (per cent): mean and standard deviation over hospitals."""
BUMP = 1.0
"""Standard deviation of a hospital's monthly shocks, per 1,000 discharges."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class HospitalSimulation:
    """Simulated hospitals with the truth beside them.

    - `frame`: one row a hospital and month. hospital (code); month ("2012-01"); programme (1 for the hospital
      that starts it, in all months); discharges; readmissions (emergency, within 30 days);
      readmissions_per_1000 discharges; share_over_75 (per cent of those discharged; it decides how fast the
      rate rises); beds (has nothing to do with the rate); similar_programme (1 for a hospital that started
      one of its own half a year later).
    - `truth`: "att", the mean difference in readmissions_per_1000 that the programme made in the months from
      the start on; "rate_ratio"; "avoided", how many readmissions that were; "start"; "treated", "similar"
      and "shocked", the hospitals; "shock", {"month", "size"}: from then on the shocked hospital records so
      many more readmissions per 1,000.
    - `arguments`: what the simulation was asked for.

    Compare equal by identity; printing shows sizes, never rows.
    """

    frame: pd.DataFrame
    truth: dict[str, Any]
    arguments: dict[str, float]

    def __repr__(self) -> str:
        return (
            f"HospitalSimulation: {self.frame['hospital'].nunique()} hospitals x"
            f" {self.frame['month'].nunique()} months; rate ratio {self.truth['rate_ratio']:g}, true effect"
            f" {self.truth['att']:.1f} readmissions per 1,000 discharges"
        )


def simulate_hospital(
    donors: int = 24,
    periods: tuple[int, int] = (60, 24),
    *,
    rate_ratio: float = 0.88,
    shock: float = 20.0,
    discharges: int = 4000,
    seed: int = 1,
) -> HospitalSimulation:
    """Simulate one hospital that starts a discharge programme, beside `donors` that do not.

    Rates move with common factors that matter the more the older and the more deprived a hospital's patients
    are, so the plain mean of the other hospitals is no fair comparison while a mix of them is. periods: how
    many months before the start and from it on. rate_ratio: readmissions with the programme over those
    without. shock: by how many per 1,000 the rate of one of the hospitals in that mix rises a quarter of the
    way into the time after the start, for a reason of its own. discharges: mean number a month. Raises
    DesignError for numbers that make no study.

    Checked by a recovery test: with the true mix and without the two spoilt donors the estimate is unbiased;
    the plain mean of the donors is not.

    >>> made = simulate_hospital(seed=2)
    >>> made.frame.shape, made.truth["start"], simulate_hospital(rate_ratio=1).truth["att"]
    ((2100, 9), '2017-01', 0.0)
    """
    before, after = periods
    arguments = {
        "donors": donors,
        "before": before,
        "after": after,
        "rate_ratio": rate_ratio,
        "shock": shock,
        "discharges": discharges,
        "seed": seed,
    }
    _refuse(arguments)
    rng = np.random.default_rng(seed)
    traits = _traits(donors, rng)
    usual = _usual(traits, before + after, rng)
    special = int(1 + rng.choice(np.arange(3, donors), 1)[0])
    expected = usual.copy()
    expected[0, before:] *= rate_ratio
    expected[special, min(before + 6, before + after - 1) :] *= rate_ratio
    expected[SHOCKED, before + after // 4 :] += shock
    size = rng.lognormal(np.log(discharges), 0.35, donors + 1)
    left = np.maximum(rng.poisson(size[:, None], expected.shape), 1)
    codes = np.array([f"H{number + 1:02d}" for number in range(donors + 1)])[rng.permutation(donors + 1)]
    calendar = pd.period_range(FIRST, periods=before + after, freq="M").astype(str).to_numpy(dtype=object)
    saved = expected[0, before:] - usual[0, before:]
    truth = {
        "att": float(saved.mean()),
        "rate_ratio": rate_ratio,
        "avoided": float(-(saved * left[0, before:]).sum() / 1000),
        "start": str(calendar[before]),
        "treated": str(codes[0]),
        "similar": str(codes[special]),
        "shocked": str(codes[SHOCKED]),
        "shock": {"month": str(calendar[before + after // 4]), "size": shock},
    }
    table = _table(expected, left, traits, size, rng)
    table["similar_programme"] = (table["number"] == special).astype(int)
    return HospitalSimulation(frame=_named(table, codes, calendar), truth=truth, arguments=arguments)


def _named(table: pd.DataFrame, codes: np.ndarray, calendar: np.ndarray) -> pd.DataFrame:
    """The table with codes of hospitals and months in place of their numbers, in their order."""
    names = pd.DataFrame({"hospital": codes[table["number"]], "month": calendar[table["at"]]}, dtype="str")
    joined = pd.concat([names, table.drop(columns=["number", "at"])], axis=1)
    return joined.sort_values(["hospital", "month"], ignore_index=True)


def _traits(donors: int, rng: np.random.Generator) -> np.ndarray:
    """Age, deprivation and the hidden trait of each hospital in standard deviations (1 + donors, 3).

    The hospital with the programme is the first; the next three are older and more deprived than most, and
    it lies at their mix.
    """
    held = rng.standard_normal((donors + 1, 3))
    held[1:4] = np.array([[1.6, 0.4, -0.9], [0.5, 1.5, 0.9], [1.3, 1.1, 0.8]]) + 0.15 * held[1:4]
    held[0] = np.array(MIX) @ held[1:4]
    return held


def _usual(traits: np.ndarray, months: int, rng: np.random.Generator) -> np.ndarray:
    """The expected rate per 1,000 without any programme or shock (1 + donors, months)."""
    steps = rng.normal(DRIFTS, STEPS, (months, 3))
    slopes = np.array(LEVELS) + np.cumsum(steps, axis=0) - steps[0]
    shared = 0.08 * np.arange(months) + SEASON * np.cos(2 * np.pi * np.arange(months) / 12)
    bumps = BUMP * ar1((len(traits), months), 0.4, rng)
    rates: np.ndarray = np.maximum(USUAL + shared + traits @ slopes.T + bumps, 5.0)
    return rates


def _table(
    expected: np.ndarray, left: np.ndarray, traits: np.ndarray, size: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """One row a hospital and month; `number` and `at` say which."""
    hospitals, months = expected.shape
    back = rng.binomial(left, np.minimum(expected / 1000, 1))
    older = OLDER + OLDER_SPREAD * traits[:, [0]] + rng.normal(0, 0.6, expected.shape)
    number, at = np.divmod(np.arange(hospitals * months), months)
    return pd.DataFrame(
        {
            "number": number,
            "at": at,
            "programme": (number == 0).astype(int),
            "discharges": left.ravel(),
            "readmissions": back.ravel(),
            "readmissions_per_1000": (1000 * back / left).ravel(),
            "share_over_75": older.ravel().round(1),
            "beds": (100 + np.round(size / 8 * rng.uniform(0.8, 1.2, hospitals)).astype(int))[number],
        }
    )


_LIMITS: dict[str, tuple[float, float]] = {
    "donors": (5, 500),
    "before": (4, 600),
    "after": (4, 600),
    "rate_ratio": (0.01, 5),
    "shock": (-50, 200),
    "discharges": (50, 1_000_000),
    "seed": (0, 2**63 - 1),
}


def _refuse(arguments: dict[str, float]) -> None:
    found = [
        f"{name}: {arguments[name]!r} lies outside {low:g} to {high:g}, where the simulation makes sense."
        for name, (low, high) in _LIMITS.items()
        if not low <= arguments[name] <= high
    ]
    if found:
        raise DesignError(found)
