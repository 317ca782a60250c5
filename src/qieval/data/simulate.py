"""Seeded simulation of NHS-shaped routine data in which the true effect is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.scenario import Scenario, changed
from qieval.data.simulate_events import Events, Plan, choose_pilots, draw_events, make_plan, true_effects
from qieval.data.simulate_people import Occupants, Places, make_occupants, make_places, make_practices
from qieval.data.simulate_tables import (
    deaths_table,
    events_table,
    gather,
    joined_events,
    panel_table,
    people_table,
)

PROGRESS_FROM = 200
"""From so many practices on a progress bar is shown."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Simulation:
    """Simulated routine data with the truth beside it.

    - `people`: person_id, practice, birth_year, sex, imd (quintile, 1 most deprived), joined, left (missing:
      still there).
    - `practices`: practice, region, list_size, pilot (0/1), pilot_start (missing: never).
    - `admissions`: person_id, practice, admitted, method ("emergency", "elective", "same day"), nights.
    - `deaths`: person_id, practice, died. `attendances`: person_id, practice, attended; None unless asked
      for.
    - `panel`: practice x month, the frame to analyse. Counts are of recorded emergency admissions, their
      nights (`bed_days`, in the month of admission), elective admissions and deaths; `admissions_per_1000`
      is emergency admissions per 1,000 people on the list in the month.
    - `truth`: "rate_ratio"; "att", the average effect on the treated of each panel outcome in natural units
      (mean over the pilot practices' months from the start on, expected outcome with the pilot less that
      without, given the practices, people and shocks that were drawn); "start" and "pilots", {practice:
      month in which the pilot began}.
    - `scenario`: the arguments.

    Compare equal by identity; printing shows sizes, never rows.
    """

    people: pd.DataFrame
    practices: pd.DataFrame
    admissions: pd.DataFrame
    deaths: pd.DataFrame
    attendances: pd.DataFrame | None
    panel: pd.DataFrame
    truth: dict[str, Any]
    scenario: Scenario

    def __repr__(self) -> str:
        pilots, practices = len(self.truth["pilots"]), len(self.practices)
        effect = self.truth["att"]["admissions_per_1000"]
        return (
            f"Simulation: {practices:,} practices ({pilots:,} pilots) x {self.scenario.months} months, "
            f"{len(self.people):,} people, {len(self.admissions):,} admissions; rate ratio "
            f"{self.truth['rate_ratio']:g}, true effect {effect:.2f} emergency admissions per 1,000 people a "
            "month"
        )


def simulate(scenario: Scenario | None = None, **changes: Any) -> Simulation:
    """Simulate a pilot in general practices that is meant to lower emergency admissions.

    Give a Scenario, or its arguments by name, or both (names win). People with gamma frailty, age, sex and
    deprivation are followed month by month; practices with high rates are more likely to join, and all rates
    have a trend and a season, so the comparison of pilot practices before and after, and that of pilots with
    others, both mislead. Trend, season and shocks are added to the rate per 1,000 and lists keep their
    make-up, so by default trends are parallel on that scale. Age acts through the band a person is in when
    the study begins. Raises DesignError for arguments that make no sense.

    Checked by a recovery test: difference-in-differences is unbiased for `truth["att"]`, the naive
    comparisons are not.

    >>> study = simulate(practices=20, people=300, pilots=8, seed=7)
    >>> study.panel.shape, study.truth["start"], len(study.truth["pilots"])
    ((720, 14), '2022-04', 8)
    >>> simulate(practices=20, people=300, pilots=8, rate_ratio=1).truth["att"]["admissions_per_1000"]
    0.0
    """
    scenario = changed(scenario, changes)
    seed = np.random.SeedSequence(scenario.seed)
    hidden_seed, shared_seed, name_seed, *own_seeds = seed.spawn(3 + scenario.practices)
    practices = make_practices(scenario, np.random.default_rng(hidden_seed))
    own = [np.random.default_rng(item) for item in own_seeds]
    places = [make_places(row, rng) for (_, row), rng in zip(practices.iterrows(), own, strict=True)]
    usual = np.array([1000 * held.emergency.mean() for held in places])
    shared = np.random.default_rng(shared_seed)
    start = choose_pilots(usual, scenario, shared)
    plan = make_plan(start, practices["region"].to_numpy(dtype=str), scenario, shared)
    who, events = _follow(places, plan, scenario, own)
    everyone = gather(places, who, scenario, np.random.default_rng(name_seed))
    table = _practice_table(practices, start, scenario.calendar)
    names = table["practice"].to_numpy(dtype=str)
    admissions = joined_events("admissions", events, everyone)
    attendances = None
    if scenario.attendances:
        attended = joined_events("attendances", events, everyone)
        attendances = events_table(attended, everyone, names, scenario, "attended")
    return Simulation(
        people=people_table(everyone, names, scenario),
        practices=table,
        admissions=events_table(admissions, everyone, names, scenario, "admitted"),
        deaths=deaths_table(everyone, names, scenario),
        attendances=attendances,
        panel=panel_table(table, everyone, admissions, scenario),
        truth=_truth(scenario, table, plan, events),
        scenario=scenario,
    )


def _follow(
    places: list[Places], plan: Plan, scenario: Scenario, own: list[np.random.Generator]
) -> tuple[list[Occupants], list[Events]]:
    from tqdm.auto import tqdm

    who, events = [], []
    rows = tqdm(range(len(places)), desc="practices", disable=len(places) < PROGRESS_FROM, leave=False)
    for row in rows:
        sitting = make_occupants(places[row], scenario.months, scenario.calendar[0].year, own[row])
        who.append(sitting)
        events.append(draw_events(places[row], sitting, plan, row, scenario.attendances, own[row]))
    return who, events


def _practice_table(practices: pd.DataFrame, start: np.ndarray, calendar: pd.PeriodIndex) -> pd.DataFrame:
    months = calendar.astype(str).to_numpy(dtype=object)
    return practices[["practice", "region", "list_size"]].assign(
        pilot=(start >= 0).astype(int),
        pilot_start=pd.Series(np.where(start >= 0, months[np.maximum(start, 0)], None), dtype="str"),
    )


def _truth(scenario: Scenario, table: pd.DataFrame, plan: Plan, events: list[Events]) -> dict[str, Any]:
    expected = {key: np.stack([held.expected[key] for held in events]) for key in events[0].expected}
    pilots = table.loc[table["pilot"] == 1]
    return {
        "rate_ratio": scenario.rate_ratio,
        "att": true_effects(expected, plan, table["list_size"].to_numpy()),
        "start": str(pilots["pilot_start"].min()),
        "pilots": dict(zip(pilots["practice"], pilots["pilot_start"], strict=True)),
    }
