"""From arrays by practice to the tables that an analyst would get."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.data.scenario import Scenario
from qieval.data.simulate_events import METHODS, Events
from qieval.data.simulate_people import Occupants, Places

FIRST_PERSON_ID = 1_000_000
"""Pseudonyms have seven digits (eight from nine million people on), so none looks like an NHS number."""
OLD = 75


@dataclass(frozen=True)
class Everyone:
    """All people ever on a list, one value a person.

    `joined` and `left` are positions of months, -1 for people who stay; `last_day` is a day of the month
    left.
    """

    person_id: np.ndarray
    practice: np.ndarray
    birth_year: np.ndarray
    man: np.ndarray
    imd: np.ndarray
    frailty: np.ndarray
    joined: np.ndarray
    left: np.ndarray
    died: np.ndarray
    last_day: np.ndarray


def gather(
    places: list[Places], who: list[Occupants], scenario: Scenario, rng: np.random.Generator
) -> Everyone:
    """Put the people of all practices into one set of arrays and give them pseudonyms in random order."""

    def of_place(name: str) -> np.ndarray:
        pairs = zip(places, who, strict=True)
        return np.concatenate([getattr(held, name)[sitting.place] for held, sitting in pairs])

    def of_person(name: str) -> np.ndarray:
        return np.concatenate([getattr(sitting, name) for sitting in who])

    left = of_person("left")
    days = np.asarray(scenario.calendar.days_in_month)[left]
    sizes = [len(sitting.place) for sitting in who]
    return Everyone(
        person_id=FIRST_PERSON_ID + rng.permutation(len(left)),
        practice=np.repeat(np.arange(len(who)), sizes),
        birth_year=of_person("birth_year"),
        man=of_place("man"),
        imd=of_place("imd"),
        frailty=of_place("frailty"),
        joined=of_person("joined"),
        left=left,
        died=of_person("died"),
        last_day=1 + np.floor(rng.random(len(left)) * days).astype(np.int64),
    )


def people_table(everyone: Everyone, names: np.ndarray, scenario: Scenario) -> pd.DataFrame:
    """One row a person."""
    first = _first_days(scenario)
    gone = everyone.left >= 0
    month_end = _after(first, everyone.left, np.asarray(scenario.calendar.days_in_month)[everyone.left])
    last = np.where(everyone.died, _after(first, everyone.left, everyone.last_day), month_end)
    table = pd.DataFrame(
        {
            "person_id": everyone.person_id,
            "practice": names[everyone.practice],
            "birth_year": everyone.birth_year,
            "sex": np.where(everyone.man, "male", "female"),
            "imd": everyone.imd,
            "joined": first[everyone.joined],
            "left": np.where(gone, last, np.datetime64("NaT")),
        }
    )
    return table.assign(frailty=everyone.frailty) if scenario.frailty else table


def deaths_table(everyone: Everyone, names: np.ndarray, scenario: Scenario) -> pd.DataFrame:
    """One row a death."""
    died = everyone.died
    dates = _after(_first_days(scenario), everyone.left[died], everyone.last_day[died])
    return _by_date(
        {"person_id": everyone.person_id[died], "practice": names[everyone.practice[died]], "died": dates},
        "died",
    )


def joined_events(which: str, events: list[Events], everyone: Everyone) -> dict[str, np.ndarray]:
    """The admissions or attendances of all practices, `person` numbering everyone."""
    offset = np.concatenate([[0], np.cumsum(np.bincount(everyone.practice, minlength=len(events)))])
    parts = [getattr(held, which) for held in events]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    shift = np.repeat(offset[:-1], [len(part["person"]) for part in parts])
    return joined | {"person": joined["person"] + shift}


def events_table(
    events: dict[str, np.ndarray], everyone: Everyone, names: np.ndarray, scenario: Scenario, date: str
) -> pd.DataFrame:
    """One row an event, dated; in the month of a death no later than that day."""
    person, month = events["person"], events["month"]
    days = np.asarray(scenario.calendar.days_in_month)[month]
    dying = everyone.died[person] & (everyone.left[person] == month)
    days = np.where(dying, everyone.last_day[person], days)
    day = 1 + np.floor(events["within"] * days).astype(np.int64)
    columns = {
        "person_id": everyone.person_id[person],
        "practice": names[everyone.practice[person]],
        date: _after(_first_days(scenario), month, day),
    }
    if "method" in events:
        columns |= {"method": np.array(METHODS)[events["method"]], "nights": events["nights"]}
    return _by_date(columns, date)


def panel_table(
    practices: pd.DataFrame, everyone: Everyone, admissions: dict[str, np.ndarray], scenario: Scenario
) -> pd.DataFrame:
    """One row a practice and month: recorded counts, rates, and the make-up of the list that month."""
    months, n = scenario.months, len(practices)
    practice = everyone.practice[admissions["person"]]
    emergency = admissions["method"] == METHODS.index("emergency")
    elective = admissions["method"] == METHODS.index("elective")

    def counted(unit: np.ndarray, month: np.ndarray, amount: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(unit * months + month, weights=amount, minlength=n * months).astype(np.int64)

    counts = {
        "emergency_admissions": counted(practice[emergency], admissions["month"][emergency]),
        "bed_days": counted(
            practice[emergency], admissions["month"][emergency], admissions["nights"][emergency]
        ),
        "elective_admissions": counted(practice[elective], admissions["month"][elective]),
        "deaths": counted(everyone.practice[everyone.died], everyone.left[everyone.died]),
    }
    panel = practices.loc[practices.index.repeat(months)].reset_index(drop=True)
    panel.insert(2, "month", np.tile(scenario.calendar.astype(str), n))
    panel = panel.assign(
        **counts, admissions_per_1000=1000 * counts["emergency_admissions"] / panel["list_size"]
    )
    return panel.assign(**_make_up(everyone, panel["list_size"].to_numpy(), scenario))[list(PANEL_COLUMNS)]


PANEL_COLUMNS = (
    "practice",
    "region",
    "month",
    "pilot",
    "pilot_start",
    "list_size",
    "emergency_admissions",
    "admissions_per_1000",
    "bed_days",
    "elective_admissions",
    "deaths",
    "mean_age",
    "share_over_75",
    "imd",
)


def _make_up(everyone: Everyone, list_size: np.ndarray, scenario: Scenario) -> dict[str, np.ndarray]:
    """Mean age, share aged 75 or over, and mean deprivation quintile of the people on each list each month.

    Sums over people are running sums over months of what joiners bring and leavers take away.
    """
    months = scenario.months
    practices = int(everyone.practice.max()) + 1
    year = np.asarray(scenario.calendar.year)
    gone = everyone.left >= 0

    def running(amount: np.ndarray, among: np.ndarray) -> np.ndarray:
        size = practices * (months + 1)
        came = everyone.practice * (months + 1) + everyone.joined
        went = everyone.practice * (months + 1) + everyone.left + 1
        change = np.bincount(came[among], weights=amount[among], minlength=size)
        change -= np.bincount(went[among & gone], weights=amount[among & gone], minlength=size)
        return change.reshape(practices, months + 1).cumsum(axis=1)[:, :months]

    anyone = np.ones(len(gone), dtype=bool)
    ones = anyone.astype(float)
    over = np.zeros((practices, months))
    for turning in np.unique(year):
        old = everyone.birth_year <= turning - OLD
        over[:, year == turning] = running(ones, old)[:, year == turning]
    size = list_size.astype(float)
    return {
        "mean_age": np.tile(year, practices)
        - running(everyone.birth_year.astype(float), anyone).ravel() / size,
        "share_over_75": over.ravel() / size,
        "imd": running(everyone.imd.astype(float), anyone).ravel() / size,
    }


def _first_days(scenario: Scenario) -> np.ndarray:
    return np.asarray(scenario.calendar.start_time.to_numpy().astype("datetime64[D]"))


def _after(first: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    return np.asarray(first[month] + (day - 1).astype("timedelta64[D]"))


def _by_date(columns: dict[str, np.ndarray], date: str) -> pd.DataFrame:
    return pd.DataFrame(columns).sort_values([date, "person_id"], kind="stable", ignore_index=True)
