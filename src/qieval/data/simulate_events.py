"""Expected rates with and without the pilot, and the events drawn from them."""

from dataclasses import dataclass

import numpy as np

from qieval.data.scenario import Scenario
from qieval.data.simulate_people import Occupants, Places

ATTENDANCES_PER_ADMISSION = 3
RECODED = 0.5
"""Share of the emergency admissions without a night that a coding change records as "same day"."""
HALF_EFFECT = 0.5
"""Part of the effect, on the log scale, that is there while it is anticipated."""
JANUARY = 1
METHODS = ("emergency", "elective", "same day")


@dataclass(frozen=True)
class Plan:
    """What each practice meets each month.

    Arrays (practices, months), except `start` (practices,), -1 for never, and `arrived` (months,).
    `added` is the rate on top of the usual one, per 1,000; `factor` is what the pilot multiplies the
    emergency rate by; `recoded` says where the coding change has come; `arrived` is the share of the month's
    records that has arrived.
    """

    start: np.ndarray
    added: np.ndarray
    factor: np.ndarray
    recoded: np.ndarray
    arrived: np.ndarray


def choose_pilots(usual: np.ndarray, scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """Start position by practice, -1 for practices that never join.

    Practices with a high usual rate join more readily: the largest of `selection` x standardised rate +
    Gumbel noise, which is sampling without replacement with odds proportional to exp(selection x rate).
    """
    spread = usual.std()
    score = scenario.selection * (usual - usual.mean()) / (spread if spread > 0 else 1.0)
    ranked = np.argsort(-(score + rng.gumbel(size=len(usual))), kind="stable")
    joined = rng.permutation(ranked[: scenario.pilots])
    starts = np.array([scenario.position(month) for month in scenario.starts])
    chosen = np.full(len(usual), -1)
    chosen[joined] = starts[np.arange(len(joined)) % len(starts)]
    return chosen


def make_plan(start: np.ndarray, region: np.ndarray, scenario: Scenario, rng: np.random.Generator) -> Plan:
    """Trend, season, shocks, the pilot and the faults of recording, by practice and month."""
    t = np.arange(scenario.months)
    pilot = start >= 0
    month_of_year = np.asarray(scenario.calendar.month)
    season = scenario.season * np.cos(2 * np.pi * (month_of_year - JANUARY) / 12)
    added = scenario.trend * t + season + _shocks(len(start), scenario, rng)
    added = added + pilot[:, None] * scenario.diverging_trend * t
    coding = scenario.position(scenario.coding_month or min(scenario.starts))
    reached = {"none": np.zeros_like(pilot), "everyone": np.ones_like(pilot), "pilot": pilot}
    return Plan(
        start=start,
        added=added,
        factor=_factor(start, region, scenario),
        recoded=reached[scenario.coding_change][:, None] & (t >= coding),
        arrived=1 - scenario.late_records * 0.5 ** t[::-1],
    )


def _shocks(practices: int, scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    return ar1((practices, scenario.months), scenario.autocorrelation, rng) * scenario.shock


def ar1(shape: tuple[int, int], rho: float, rng: np.random.Generator) -> np.ndarray:
    """Stationary first-order autoregressive errors with variance 1: one series a row."""
    drawn = rng.standard_normal(shape)
    for t in range(1, shape[1]):
        drawn[:, t] = rho * drawn[:, t - 1] + np.sqrt(1 - rho**2) * drawn[:, t]
    return drawn


def _factor(start: np.ndarray, region: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Ratio of the emergency rate with the pilot to that without, by practice and month."""
    t = np.arange(scenario.months)
    pilot = (start >= 0)[:, None]
    running = pilot & (t >= start[:, None])
    awaited = pilot & ~running & (t >= start[:, None] - scenario.anticipation_months)
    nearby = np.zeros_like(running)
    for name in np.unique(region):
        here = region == name
        nearby[here] = running[here].any(axis=0)
    part = running + HALF_EFFECT * awaited + scenario.spillover * (nearby & ~pilot)
    return np.asarray(scenario.rate_ratio**part)


@dataclass(frozen=True)
class Events:
    """The events of one practice before they get dates, one value an event; its expected counts by month."""

    admissions: dict[str, np.ndarray]
    attendances: dict[str, np.ndarray] | None
    expected: dict[str, np.ndarray]


def draw_events(
    places: Places, who: Occupants, plan: Plan, row: int, attendances: bool, rng: np.random.Generator
) -> Events:
    """Draw the events of the practice in row `row` of the plan.

    Emergency admissions are Poisson with rate frailty x (usual rate + added rate) x factor, never below
    zero; electives are Poisson and know nothing of the pilot; nights are geometric. `expected` holds the
    emergency admissions and their nights by month, without and with the pilot, from the same frailties and
    shocks.
    """
    without = np.maximum(places.emergency[:, None] + plan.added[row] / 1000, 0) * places.frailty[:, None]
    rate = without * plan.factor[row]
    emergency = _admissions(rng.poisson(rate), places, who, rng)
    recoded = plan.recoded[row][emergency["month"]] & (emergency["nights"] == 0)
    recoded &= rng.random(len(recoded)) < RECODED
    emergency["method"] = np.where(recoded, METHODS.index("same day"), METHODS.index("emergency"))
    usual = np.broadcast_to((places.elective * places.frailty)[:, None], rate.shape)
    elective = _admissions(rng.poisson(usual), places, who, rng)
    elective["method"] = np.full(len(elective["nights"]), METHODS.index("elective"))
    both = {key: np.concatenate([emergency[key], elective[key]]) for key in emergency}
    kept = rng.random(len(both["month"])) < plan.arrived[both["month"]]
    attended = _spread(rng.poisson(ATTENDANCES_PER_ADMISSION * rate), who, rng) if attendances else None
    return Events(
        admissions={key: values[kept] for key, values in both.items()},
        attendances=attended,
        expected={
            "admissions_without": without.sum(axis=0),
            "admissions_with": rate.sum(axis=0),
            "bed_days_without": places.nights @ without,
            "bed_days_with": places.nights @ rate,
        },
    )


def _admissions(
    counts: np.ndarray, places: Places, who: Occupants, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    events = _spread(counts, who, rng)
    mean = places.nights[who.place[events["person"]]]
    return events | {"nights": rng.geometric(1 / (1 + mean)) - 1}


def _spread(counts: np.ndarray, who: Occupants, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One entry an event from counts (places, months): who, which month, and how far into it."""
    place, month = np.nonzero(counts)
    times = counts[place, month]
    place, month = np.repeat(place, times), np.repeat(month, times)
    return {"person": who.index[place, month], "month": month, "within": rng.random(len(month))}


def true_effects(expected: dict[str, np.ndarray], plan: Plan, list_size: np.ndarray) -> dict[str, float]:
    """Average effect on the treated: mean over pilot practices and their months from the start on."""
    t = np.arange(plan.added.shape[1])
    running = (plan.start >= 0)[:, None] & (t >= plan.start[:, None])
    admissions = expected["admissions_with"] - expected["admissions_without"]
    bed_days = expected["bed_days_with"] - expected["bed_days_without"]
    per_1000 = 1000 / list_size[:, None]
    return {
        "admissions_per_1000": float((admissions * per_1000)[running].mean()),
        "emergency_admissions": float(admissions[running].mean()),
        "bed_days": float(bed_days[running].mean()),
        "elective_admissions": 0.0,
        "deaths": 0.0,
    }
