"""Columns as arrays, with every problem that they hold put into words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.design import PanelDesign
from qieval.text import listed, plural

MOST_CATEGORIES = 50
"""More levels than this in a covariate made of text are almost always an identifier."""


def numbers(column: pd.Series[Any], role: str, name: str, issues: list[str]) -> np.ndarray:
    """A numeric column as floats; problems are added to `issues` and the array is then not meaningful."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        held = column.to_numpy(dtype=float, na_value=np.nan)
        if np.isinf(held).any():
            issues.append(
                f"{role}: '{name}' holds {plural(int(np.isinf(held).sum()), 'infinite value')}, often from a"
                " division by zero; no mean can be taken. Correct them or set them to missing."
            )
        return held
    read = pd.to_numeric(column, errors="coerce")
    bad = column[read.isna() & column.notna()]
    if bad.empty:
        issues.append(
            f"{role}: '{name}' holds numbers stored as text. Convert it first: pd.to_numeric(data['{name}'])."
        )
    else:
        issues.append(
            f"{role}: '{name}' must hold numbers but holds text in {plural(len(bad), 'row')} (suppressed"
            " values such as '*' are a common cause). Convert the column, and decide what the text means."
        )
    return np.zeros(len(column))


def covariates(
    rows: pd.DataFrame, names: tuple[str, ...], role: str, issues: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns as floats; text and categories become one 0/1 column per level but the first."""
    columns: list[np.ndarray] = []
    made: list[str] = []
    for name in names:
        column = rows[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            columns.append(numbers(column, role, name, issues))
            made.append(name)
            continue
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
            issues.append(
                f"{role}: '{name}' holds dates or durations, which are no amounts. Turn it into a number"
                " first, such as days or an age."
            )
            continue
        codes, levels = pd.factorize(column, sort=True)
        if len(levels) > MOST_CATEGORIES:
            issues.append(
                f"{role}: '{name}' is text with {len(levels):,} different values. That many groups cannot be"
                f" adjusted for one by one (at most {MOST_CATEGORIES}). Group them, or use the column as unit"
                " or cluster."
            )
            continue
        for code in range(1, len(levels)):
            columns.append((codes == code).astype(float))
            made.append(f"{name}: {levels[code]}")
    stacked = np.column_stack(columns) if columns else np.empty((len(rows), 0))
    return stacked, tuple(made)


def treated_rows(
    design: PanelDesign, column: pd.Series[Any], unit: np.ndarray, issues: list[str], repeats: bool
) -> np.ndarray:
    """Which rows are treated; problems with the column are added to `issues`."""
    held = pd.to_numeric(column, errors="coerce")
    if held.isna().any() or not held.isin([0, 1]).all():
        found = column[~held.isin([0, 1])]
        shown = (
            listed(map(repr, found.unique()[:3].tolist()))
            if found.nunique() <= MOST_CATEGORIES
            else "many values"
        )
        issues.append(
            f"treated: '{design.treated}' must be 1 (ever receives the intervention) or 0, but holds other"
            f" values ({shown}) in {plural(len(found), 'row')}. Recode it to 0 and 1."
        )
        return np.zeros(len(column), dtype=bool)
    treated: np.ndarray = held.to_numpy(dtype=float) == 1
    if treated.all() or not treated.any():
        whose = "All units are" if treated.all() else "No unit is"
        issues.append(
            f"treated: {whose} treated ('{design.treated}'), so there is nobody to compare. "
            + (
                "Add comparison units that never receive the intervention."
                if treated.all()
                else "Check the coding."
            )
        )
    elif not repeats and (mixed := _mixed_units(unit, treated)):
        issues.append(
            f"treated: '{design.treated}' changes over time within {plural(mixed, 'unit')}. It must say who"
            " EVER receives the intervention (1 in all rows of such a unit, also before the start); `start`"
            " says from when. If units start at different times, use qe.StaggeredAdoption."
        )
    return treated


def _mixed_units(unit: np.ndarray, treated: np.ndarray) -> int:
    rows = np.bincount(unit)
    ones = np.bincount(unit, weights=treated)
    return int(((ones > 0) & (ones < rows)).sum())


def positive(held: np.ndarray, role: str, name: str, why: str, issues: list[str]) -> np.ndarray:
    """The same numbers; values of zero or less are a problem, with the reason why."""
    if bad := int((held <= 0).sum()):
        issues.append(
            f"{role}: '{name}' is zero or less in {plural(bad, 'row')}; {why}. Correct these rows or leave"
            " them out."
        )
    return held
