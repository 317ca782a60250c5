"""Which column plays which role: a guess from names and kinds, to be looked at by the user."""

import re
from typing import Any

import pandas as pd

import qieval as qe
from qi_notebooks import layout

NAMES: dict[str, tuple[str, ...]] = {
    "outcome": ("outcome", "y"),
    "unit": (
        "unit",
        "practice",
        "provider",
        "organisation",
        "hospital",
        "trust",
        "site",
        "ward",
        "region",
        "area",
        "state",
        "person_id",
        "patient_id",
        "id",
    ),
    "time": ("time", "month", "quarter", "week", "year", "date", "period"),
    "treated": (
        "treated",
        "treatment",
        "treat",
        "pilot",
        "programme",
        "intervention",
        "service",
        "exposed",
        "exposure",
    ),
    "score": ("score", "running_variable", "running", "risk_score", "forcing"),
    "received": ("received", "attended", "uptake", "treated", "treatment", "got"),
}
"""Usual names of the columns for a role, the most telling first."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    "similar_intervention": ("similar_intervention", "similar", "own_programme"),
    "spillover": ("spillover", "neighbour", "neighbours", "neighbouring", "contaminated"),
    "denominator": (
        "denominator",
        "bed_days",
        "population",
        "list_size",
        "attendances",
        "discharges",
        "admissions",
        "cases",
        "exposure",
        "total",
    ),
    "received": ("received", "attended", "uptake"),
    "instruments": (
        "instrument",
        "distance",
        "encouragement",
        "encouraged",
        "lottery",
        "offer",
        "preference",
    ),
    "before": ("before", "baseline", "pre", "earlier"),
    "first_treated": (
        "first_treated",
        "first.treat",
        "pilot_start",
        "treated_from",
        "adopted",
        "adoption",
        "since",
        "started",
        "began",
    ),
}
"""The same for roles that are worth a look even though they may stay empty."""

ALSO: dict[str, tuple[str, ...]] = {
    "RegressionDiscontinuity": ("received",),
    "InstrumentalVariables": ("instruments",),
    "BeforeAfter": ("before",),
    "StaggeredAdoption": ("first_treated",),
}
"""Which of them a design has, by its name."""

BEFOREHAND = (
    "age",
    "sex",
    "gender",
    "ethnicity",
    "imd",
    "deprivation",
    "frailty",
    "comorbidity",
    "comorbidities",
    "charlson",
    "smoker",
    "before",
    "prior",
    "previous",
    "baseline",
)
"""Words in names of columns that are known, or say of themselves, to be measured before an intervention."""
MOST_LEVELS = 20
"""Text with more different values than this is not proposed as a characteristic."""

TELLING = ("binary", "time")
"""Kinds so narrow that the only column of such a kind is a good guess whatever its name."""


def roles(design: type, columns: pd.DataFrame) -> dict[str, Any]:
    """Guess the columns for the roles that a design must have; roles without a good guess are absent.

    Designs that make groups alike also get the covariates whose names say that they were measured before; no
    others, since a name does not tell an outcome from a characteristic. Designs with donors also get columns
    that mark units unfit as donors.

    columns: the table of `qe.data.describe`. A column is chosen when it has a usual name and fits the role,
    or when it is the only 0/1 or time column where one is wanted. A column gets one role at most.

    >>> frame = pd.DataFrame({"GP practice": ["a"], "month": ["2022-04"], "new_care": [1], "cost": [2.5]})
    >>> roles(qe.DifferenceInDifferences, qe.data.describe(frame))
    {'unit': 'GP practice', 'time': 'month', 'treated': 'new_care'}
    """
    found: dict[str, Any] = {}
    for name, field in qe.fields_of(design).items():
        if field.role != "column" or field.optional:
            continue
        free = columns[~columns["column"].isin(list(found.values()))]
        fitting = _fitting(design, name, free)
        alone = free.loc[free["kind"] == field.kind, "column"].tolist() if field.kind in TELLING else []
        chosen = _by_name(NAMES.get(name, (name,)), fitting) or (alone[0] if len(alone) == 1 else None)
        if chosen is not None:
            found[name] = chosen
    free = columns[~columns["column"].isin(list(found.values()))]
    if layout.makes_groups_alike(design) and (known := _beforehand(free)):
        found["covariates"] = known
    for name in also(design):
        if name in OPTIONAL and (named := _by_name(OPTIONAL[name], _fitting(design, name, free))):
            found[name] = (named,) if name == "instruments" else named
    return found


def also(design: type[qe.Design]) -> tuple[str, ...]:
    """The fields that are guessed although a design could do without them.

    Several starts are proposed only where a method takes them as they come.
    """
    if layout.makes_groups_alike(design):
        return ("covariates",)
    if design.__name__ in ALSO:
        return ALSO[design.__name__]
    if issubclass(design, qe.SeriesDesign):
        return ("denominator",)
    names = qe.fields_of(design)
    starts = () if "several" in names or "match_on" in names else ("first_treated",)
    flags = ("similar_intervention", "spillover", *starts)
    return flags if layout.has_donors(design) else ()


def _fitting(design: type, name: str, columns: pd.DataFrame) -> list[str]:
    """The columns of the kind that a field wants."""
    kind = qe.fields_of(design)[name].kind
    return [column for column, fits in zip(columns["column"], columns["fits"], strict=True) if kind in fits]


def _beforehand(columns: pd.DataFrame) -> tuple[str, ...]:
    """The columns whose names say that they were measured before; no identifiers, no long lists of words."""
    rows = columns[columns["suspicious"] == ""]
    held = zip(rows["column"].tolist(), rows["fits"].tolist(), rows["distinct"].tolist(), strict=True)
    return tuple(
        name
        for name, fits, distinct in held
        if set(re.split(r"[^a-z0-9]+", name.lower())) & set(BEFOREHAND)
        and ("numeric" in fits or (fits == ("any",) and distinct <= MOST_LEVELS))
    )


def _by_name(usual: tuple[str, ...], columns: list[str]) -> str | None:
    """The column with a usual name: the same name first, then a name that has it as one of its words."""
    for name in usual:
        for column in columns:
            if column.lower() == name:
                return column
    for name in usual:
        for column in columns:
            if name in re.split(r"[^a-z0-9]+", column.lower()):
                return column
    return None
