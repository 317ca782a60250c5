"""What the columns of the shipped examples are, so that a guided study runs on them without a choice."""

from collections.abc import Iterable
from typing import Any

import qieval as qe

CHART_FIELDS = {"better", "rebase"}
"""Fields that only charts have."""
EXAMPLE = "example:"
"""How a shipped example is named where a file's path could stand: 'example:pilot'."""

_NHEFS: dict[str, Any] = {
    "question": "How much weight do people gain by giving up smoking?",
    "treated": "qsmk",
    "covariates": (
        "sex",
        "race",
        "age",
        "education",
        "smokeintensity",
        "smokeyrs",
        "exercise",
        "active",
        "wt71",
    ),
    "categories": ("education", "exercise", "active"),
    "squares": ("age", "smokeintensity", "smokeyrs", "wt71"),
    "outcome": "wt82_71",
    "measured_in": "kg gained between 1971 and 1982",
}
_NSW: dict[str, Any] = {
    "question": "Did the offer of a job raise earnings in 1978?",
    "treated": "treat",
    "covariates": (
        "age",
        "educ",
        "black",
        "hisp",
        "marr",
        "nodegree",
        "re74",
        "re75",
        "u74",
        "u75",
    ),
    "outcome": "re78",
    "measured_in": "dollars earned in 1978",
}
_ONE_HOSPITAL: dict[str, Any] = {
    "question": "Did the discharge programme of hospital H07 reduce emergency readmissions?",
    "events": {"2017-07": "H19 introduced a new record system and has counted more readmissions since"},
    "outcome": "readmissions_per_1000",
    "unit": "hospital",
    "time": "month",
    "treated": "programme",
    "start": "2017-01",
    "measured_in": "emergency readmissions per 1,000 discharges",
    "population": "discharges",
    "per": 1000,
    "similar_intervention": "similar_programme",
    "predictors": {
        "share_over_75": "",
        "readmissions_per_1000": "; ".join(f"{year}-01 to {year}-12" for year in range(2012, 2017)),
    },
}

PRESETS: dict[str, dict[str, Any]] = {
    "pilot": {
        "question": "Did the pilot in general practices reduce emergency admissions?",
        "outcome": "admissions_per_1000",
        "unit": "practice",
        "time": "month",
        "treated": "pilot",
        "start": "2022-04",
        "measured_in": "emergency admissions per 1,000 people a month",
        "units_are": "organisations",
        "population": "list_size",
        "per": 1000,
    },
    "pilot_staggered": {
        "question": "Did the pilot, which practices joined in three waves, reduce emergency admissions?",
        "outcome": "admissions_per_1000",
        "unit": "practice",
        "time": "month",
        "treated": "pilot",
        "start": "2022-01",
        "first_treated": "pilot_start",
        "measured_in": "emergency admissions per 1,000 people a month",
        "units_are": "organisations",
        "population": "list_size",
        "per": 1000,
    },
    "practice_roll_out": {
        "question": "Did the service, which practices started in three waves, reduce emergency admissions?",
        "expected_lag": 1,
        "outcome": "admissions_per_1000",
        "unit": "practice",
        "time": "month",
        "first_treated": "started",
        "measured_in": "emergency admissions per 1,000 people a month",
        "units_are": "organisations",
        "covariates": ("deprivation",),
    },
    "minimum_wage": {
        "question": "Did teenagers lose work where states raised the minimum wage?",
        "outcome": "log_employment",
        "unit": "county",
        "time": "year",
        "first_treated": "raised",
        "measured_in": "logarithm of teenagers in work",
        "units_are": "organisations",
        "covariates": ("log_population",),
    },
    "castle": {
        "question": "Did homicides change after states passed a castle-doctrine law?",
        "outcome": "l_homicide",
        "unit": "sid",
        "time": "year",
        "first_treated": "since",
        "measured_in": "logarithm of homicides per 100,000 people a year",
        "units_are": "organisations",
    },
    "one_hospital": _ONE_HOSPITAL,
    "urgent_care_line": {
        "question": "Did the urgent care line reduce emergency admissions?",
        "events": {"2021-10": "a walk-in centre nearby began to open on Sundays"},
        "outcome": "emergency_admissions",
        "denominator": "population",
        "per": 10_000,
        "time": "month",
        "start": "2022-01",
        "measured_in": "emergency admissions per 10,000 people a month",
        "change": "level",
        "seasonality": "harmonics",
    },
    "sicily": {
        "question": "Did the ban on smoking in public places reduce acute coronary events?",
        "outcome": "coronary_events",
        "denominator": "standardised_population",
        "per": 100_000,
        "time": "month",
        "start": "2005-01",
        "measured_in": "acute coronary events per 100,000 people a month",
        "change": "level",
        "seasonality": "harmonics",
    },
    "seat_belts": {
        "question": "Did the law on seat belts reduce deaths and serious injuries of drivers?",
        "outcome": "drivers_killed_or_injured",
        "time": "month",
        "start": "1983-02",
        "measured_in": "drivers killed or seriously injured a month",
        "change": "level",
        "seasonality": "one per season",
    },
    "tobacco_control": {
        "question": "Did California's tobacco control programme of 1989 reduce sales of cigarettes?",
        "outcome": "cigsale",
        "unit": "state",
        "time": "year",
        "treated": "california",
        "start": 1989,
        "measured_in": "packets per person a year",
        "units_are": "organisations",
    },
    "organ_donations": {
        "question": "Did asking for an active choice change how many people register as organ donors?",
        "outcome": "Rate",
        "unit": "State",
        "time": "Quarter_Num",
        "treated": "california",
        "start": 4,
        "measured_in": "share of people registered",
        "units_are": "organisations",
    },
    "community_service": {
        "question": "Did the community service reduce emergency admissions in the year after it began?",
        "treated": "service",
        "covariates": ("age", "sex", "imd", "frailty", "emergency_admissions_before", "smoker"),
        "outcome": "admissions_after",
        "measured_in": "emergency admissions per person in the year after",
        "negative_controls": ("elective_eye_surgery",),
        "person": "person_id",
    },
    "health_check": {
        "question": "Did the health check at 65 lower the cost of their care?",
        "outcome": "cost",
        "measured_in": "pounds per person in the year after",
        "score": "age_months",
        "cutoff": 780,
        "treated_side": "at or above",
        "received": "health_check",
        "covariates": ("female", "imd", "conditions"),
        "negative_controls": ("eye_test",),
        "cluster": "practice",
    },
    "birth_weight": {
        "question": "Does extra care for newborns below 1,500 g prevent deaths in the first year?",
        "outcome": "died",
        "measured_in": "share that died in the first year",
        "score": "birth_weight",
        "cutoff": 1500,
        "treated_side": "below",
        "covariates": ("twin", "gestation", "mother_age"),
        "cluster": "hospital",
    },
    "gov_transfers": {
        "question": "Did the cash transfer raise the support for the government that paid it?",
        "outcome": "Support",
        "measured_in": "support for the government (0 less, 0.5 as much, 1 more)",
        "score": "Income_Centered",
        "cutoff": 0,
        "treated_side": "below",
        "covariates": ("Education", "Age"),
    },
    "specialist_hospital": {
        "question": "Does care in a specialist hospital prevent deaths?",
        "outcome": "died",
        "measured_in": "share that died",
        "received": "specialist",
        "instruments": ("near",),
        "exclusion": (
            "Ambulances go by distance alone, and where somebody lives does not change the care at home."
        ),
        "covariates": ("age", "female", "imd", "conditions"),
        "negative_controls": ("cataract",),
        "cluster": "area",
    },
    "frequent_attenders": {
        "question": "Do people with many emergency visits come less often once they have a case manager?",
        "outcome": "visits_after",
        "measured_in": "emergency visits per person a year",
        "before": "visits_before",
        "selected": "high values",
        "threshold": 4,
        "population_mean": 0.98,
        "population_sd": 1.53,
    },
    "nhefs": _NHEFS,
    "nhefs_complete": _NHEFS,
    "nsw": _NSW,
    "nsw_cps": _NSW,
}

CHARTS: dict[str, dict[str, Any]] = {
    "ward_falls": {
        "question": "How many patients fall on the ward, for every 1,000 bed days?",
        "events": {"2022-06": "huddle every morning", "2022-09": "non-slip socks for everybody"},
        "outcome": "falls",
        "denominator": "bed_days",
        "per": 1000,
        "time": "month",
        "better": "lower",
        "measured_in": "falls per 1,000 bed days",
        "measure": "outcome",
    },
    "seat_belts": {
        "question": "How many drivers are killed or seriously injured a month?",
        "outcome": "drivers_killed_or_injured",
        "time": "month",
        "better": "lower",
        "measured_in": "drivers killed or seriously injured a month",
    },
}
"""The same for charts, which follow a measure and ask no question of evaluation."""


def suited(title: str) -> list[str]:
    """The names of the shipped examples that suit a method, those that name it first; what suits matching
    suits genetic matching.

    >>> suited("Genetic matching") == suited("Matching")
    True
    """
    listed = qe.data.examples()
    held = zip(listed["name"].tolist(), listed["suits"].tolist(), strict=True)
    found = [(name, suits.lower().split(", ")) for name, suits in held]
    fit = [(name, suits) for name, suits in found if any(title.lower().endswith(item) for item in suits)]
    return [name for name, suits in sorted(fit, key=lambda item: title.lower() not in item[1])]


def known(source: object, fields: Iterable[str]) -> dict[str, Any]:
    """The values known for a source, of those that a design has; none unless the source is a shipped example.

    >>> known("example:pilot", ["unit", "time"])
    {'unit': 'practice', 'time': 'month'}
    >>> known("my_file.csv", ["unit"])
    {}
    """
    if not isinstance(source, str) or not source.startswith(EXAMPLE):
        return {}
    wanted = set(fields)
    presets = CHARTS if wanted >= CHART_FIELDS else PRESETS
    held = presets.get(source.removeprefix(EXAMPLE), {})
    return {name: item for name, item in held.items() if name in wanted}
