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
    "treated": ("treated", "treatment", "treat", "pilot", "intervention", "service", "exposed", "exposure"),
}
"""Usual names of the columns for a role, the most telling first."""

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
    others, since a name does not tell an outcome from a characteristic.

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
        fitting = [
            column for column, fits in zip(free["column"], free["fits"], strict=True) if field.kind in fits
        ]
        alone = free.loc[free["kind"] == field.kind, "column"].tolist() if field.kind in TELLING else []
        chosen = _by_name(NAMES.get(name, (name,)), fitting) or (alone[0] if len(alone) == 1 else None)
        if chosen is not None:
            found[name] = chosen
    if layout.makes_groups_alike(design) and (known := _beforehand(columns, tuple(found.values()))):
        found["covariates"] = known
    return found


def _beforehand(columns: pd.DataFrame, taken: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose names say that they were measured before; no identifiers, no long lists of words."""
    rows = columns[~columns["column"].isin(taken) & (columns["suspicious"] == "")]
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
