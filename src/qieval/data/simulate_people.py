"""Simulated practices and the people on their lists.

A list is a fixed number of places. A place has an age band, a sex, a deprivation quintile and a frailty; its
occupant may die or move and is followed next month by somebody of the same kind. So lists keep their
make-up, and nothing but trend, season, shocks and the pilot changes a practice's expected rate: that is what
makes trends parallel.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.data.scenario import Scenario

REGIONS = (
    "East of England",
    "London",
    "Midlands",
    "North East and Yorkshire",
    "North West",
    "South East",
    "South West",
)
BAND_EDGES = np.array([0, 18, 45, 65, 75, 96])
"""Age bands 0-17, 18-44, 45-64, 65-74 and 75-95."""
BAND_SHARES = np.array([0.20, 0.35, 0.26, 0.10, 0.09])
# Per 1,000 people and month, by age band: round figures of the size of England's.
EMERGENCY = np.array([6.0, 6.0, 7.5, 13.0, 30.0])
ELECTIVE = np.array([3.0, 8.0, 16.0, 26.0, 26.0])
DEATHS = np.array([0.03, 0.06, 0.4, 1.5, 5.0])
NIGHTS = np.array([1.0, 1.5, 3.5, 6.0, 9.0])
"""Mean nights of an emergency stay by age band."""
DEPRIVATION = np.array([1.30, 1.12, 1.0, 0.90, 0.82])
"""Ratio of emergency rates by deprivation quintile, 1 the most deprived."""
MEN, WOMEN = 1.05, 0.95
FRAILTY_VARIANCE = 0.7
MOVES = 0.005
"""Share of people who move away in a month."""


@dataclass(frozen=True)
class Places:
    """The places on one practice's list: arrays of length n. Rates are per person and month."""

    band: np.ndarray
    man: np.ndarray
    imd: np.ndarray
    frailty: np.ndarray
    emergency: np.ndarray
    elective: np.ndarray
    death: np.ndarray
    nights: np.ndarray


@dataclass(frozen=True)
class Occupants:
    """Who sits where and when.

    `index` (n, months) numbers the practice's people from 0; the other arrays have one value a person.
    `left` is the position of the last month on the list, -1 for people who stay.
    """

    index: np.ndarray
    place: np.ndarray
    birth_year: np.ndarray
    joined: np.ndarray
    left: np.ndarray
    died: np.ndarray


def make_practices(scenario: Scenario, rng: np.random.Generator) -> pd.DataFrame:
    """One row a practice: its region, list size, and the hidden features `level`, `old` and `deprived`."""
    n = scenario.practices
    spread = rng.lognormal(-0.045, 0.3, n)
    width = max(2, len(str(n)))
    return pd.DataFrame(
        {
            "practice": [f"P{number:0{width}d}" for number in range(1, n + 1)],
            "region": np.array(REGIONS)[rng.integers(len(REGIONS), size=n)],
            "list_size": np.maximum(20, np.rint(scenario.people * spread)).astype(int),
            "level": rng.normal(0, 0.12, n),
            "old": rng.normal(0, 0.25, n),
            "deprived": rng.normal(0, 0.8, n),
        }
    )


def make_places(practice: pd.Series, rng: np.random.Generator) -> Places:
    """Draw the places of one practice."""
    n = int(practice["list_size"])
    shares = BAND_SHARES * np.exp(practice["old"] * np.array([-0.5, -0.5, 0.0, 1.0, 1.0]))
    band = rng.choice(5, size=n, p=shares / shares.sum())
    man = rng.random(n) < 0.5
    quintile = np.exp(practice["deprived"] * np.array([1.0, 0.5, 0.0, -0.5, -1.0]))
    imd = rng.choice(5, size=n, p=quintile / quintile.sum())
    frailty = rng.gamma(1 / FRAILTY_VARIANCE, FRAILTY_VARIANCE, n)
    sex = np.where(man, MEN, WOMEN)
    return Places(
        band=band,
        man=man,
        imd=imd + 1,
        frailty=frailty,
        emergency=EMERGENCY[band] / 1000 * DEPRIVATION[imd] * sex * np.exp(practice["level"]),
        elective=ELECTIVE[band] / 1000,
        death=np.minimum(DEATHS[band] / 1000 * np.sqrt(frailty), 0.5),
        nights=NIGHTS[band],
    )


def make_occupants(places: Places, months: int, first_year: int, rng: np.random.Generator) -> Occupants:
    """Draw who leaves when, and who follows."""
    n = len(places.band)
    drawn = rng.random((n, months))
    dies = drawn < places.death[:, None]
    leaves = drawn < places.death[:, None] + MOVES
    # A successor sits from the month after, so the last month's leavers have none.
    order = np.zeros((n, months), dtype=np.int64)
    order[:, 1:] = np.cumsum(leaves[:, :-1], axis=1)
    held = order[:, -1] + 1
    offset = np.concatenate([[0], np.cumsum(held)[:-1]])
    index = offset[:, None] + order
    place = np.repeat(np.arange(n), held)
    people = len(place)
    joined = np.zeros(people, dtype=np.int64)
    left = np.full(people, -1)
    died = np.zeros(people, dtype=bool)
    where, when = np.nonzero(leaves)
    gone = index[where, when]
    left[gone] = when
    died[gone] = dies[where, when]
    followed = when < months - 1
    joined[gone[followed] + 1] = when[followed] + 1
    low, high = BAND_EDGES[places.band[place]], BAND_EDGES[places.band[place] + 1]
    age = rng.integers(low, high)
    birth_year = first_year - age
    return Occupants(index=index, place=place, birth_year=birth_year, joined=joined, left=left, died=died)
