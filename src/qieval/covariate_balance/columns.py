"""Characteristics of people as columns of numbers: categories become 0/1 columns, one for every level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval import columns
from qieval.errors import DataError, nearest
from qieval.numerics.balance_statistics import products
from qieval.text import Count, Counted, listed, plural

ROLE = "covariates"


@dataclass(frozen=True, eq=False)
class Characteristics:
    """Columns (n, k), their names, and the variable that each stems from.

    The last `flags` columns mark missing values.
    """

    x: np.ndarray
    names: tuple[str, ...]
    source: tuple[str, ...]
    notes: tuple[str, ...] = ()
    flags: int = 0


def treated_column(data: pd.DataFrame, name: str) -> np.ndarray:
    """Which rows are treated (n,) bool. DataError when it is not there, not 0/1, or one arm only."""
    if name not in data.columns:
        raise DataError(
            f"treated: there is no column '{name}', so nobody can be put in an arm."
            f"{nearest(name, data.columns)} Name the column that is 1 for the treated and 0 for the others."
        )
    if (times := list(data.columns).count(name)) > 1:
        raise DataError(
            f"treated: a column '{name}' occurs {times} times, so it is not clear who is treated. Keep one."
        )
    held = pd.to_numeric(data[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    other = ~np.isin(held, (0.0, 1.0))
    if other.any():
        raise DataError(
            f"treated: '{name}' must be 1 (treated) or 0, but is something else or missing in"
            f" {plural(int(other.sum()), 'row')}; these people are in neither arm. Recode or leave them out."
        )
    if held.min(initial=1.0) == held.max(initial=0.0):
        raise DataError(
            f"treated: '{name}' is the same in every row, so there is nobody to compare with. Add the other"
            " arm or check the coding."
        )
    return np.asarray(held == 1)


def characteristics(data: pd.DataFrame, names: tuple[str, ...], treated: str) -> Characteristics:
    """The covariates as numbers, then one 0/1 column "name: missing" for each that has missing values."""
    _present(data, names, treated)
    issues: list[str] = []
    made: list[tuple[str, str, np.ndarray]] = []
    absent: list[tuple[str, str, np.ndarray]] = []
    for name in names:
        made += _column(data[name], name, issues)
        missing = data[name].isna().to_numpy()
        if missing.any():
            absent.append((f"{name}: missing", name, missing.astype(float)))
    if issues:
        raise DataError(issues)
    rows = len(data)
    return _stacked(made, absent, rows)


def with_products(held: Characteristics, squares: bool, interactions: bool, both: bool) -> Characteristics:
    """The characteristics with squares and products of pairs; both: with both levels of 0/1 numbers."""
    if not (squares or interactions):
        return held
    base = range(len(held.names) - held.flags)
    sources = {name: number for number, name in enumerate(dict.fromkeys(held.source))}
    parts: list[tuple[str, int, np.ndarray]] = []
    for j in base:
        column, name, source = held.x[:, j], held.names[j], sources[held.source[j]]
        if both and name == held.source[j] and np.isin(column[~np.isnan(column)], (0, 1)).all():
            parts.append((f"{name}: 0", source, 1 - column))
            name = f"{name}: 1"
        parts.append((name, source, column))
    x = np.column_stack([column for *_, column in parts])
    labels, codes = [name for name, *_ in parts], [code for _, code, _ in parts]
    more, called = products(x, labels, codes, squares=squares, interactions=interactions)
    return Characteristics(
        np.asfortranarray(np.hstack([held.x, more])),
        held.names + tuple(called),
        held.source + tuple(called),
        held.notes,
        held.flags,
    )


def groups(data: pd.DataFrame, name: str) -> tuple[list[tuple[str, np.ndarray]], tuple[str, ...]]:
    """Rows of each level of a subgroup column, labelled "name: level", and notes on people in no subgroup."""
    if name not in data.columns:
        raise DataError(
            f"subgroups: there is no column '{name}', so nobody can be put in a subgroup."
            f"{nearest(name, data.columns)} Name a column of the data."
        )
    codes, levels = pd.factorize(data[name], sort=True)
    if len(levels) > columns.MOST_CATEGORIES:
        raise DataError(
            f"subgroups: '{name}' has {len(levels):,} different values; that many cannot be read (at"
            f" most {columns.MOST_CATEGORIES}). Group its values first."
        )
    lost = int((codes < 0).sum())
    notes = (
        (Counted(f"People in no subgroup, for want of '{name}': {{lost}}.", lost=Count(lost)),)
        if lost
        else ()
    )
    return [(f"{name}: {level}", np.flatnonzero(codes == code)) for code, level in enumerate(levels)], notes


def _present(data: pd.DataFrame, names: tuple[str, ...], treated: str) -> None:
    problems = [
        f"{ROLE}: there is no column '{name}', so its balance cannot be judged.{nearest(name, data.columns)}"
        " Correct the name or leave it out."
        for name in names
        if name not in data.columns
    ]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    twice += [name for name in dict.fromkeys(names) if list(data.columns).count(name) > 1]
    if twice:
        problems.append(f"{ROLE}: {listed(twice)} occurs twice, so it is not clear which is meant. Keep one.")
    if treated in names:
        problems.append(
            f"{ROLE}: '{treated}' says who is treated and differs between the arms anyway. Leave it out."
        )
    if not names:
        problems.append(f"{ROLE}: none are named, so there is nothing to compare. Name at least one column.")
    if problems:
        raise DataError(problems)


def _column(column: pd.Series[Any], name: str, issues: list[str]) -> list[tuple[str, str, np.ndarray]]:
    """(name, source, values) of each column made of one covariate."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return [(name, name, columns.numbers(column, ROLE, name, issues))]
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        issues.append(
            f"{ROLE}: '{name}' holds dates, whose means nobody can read. Turn it into a number, such as days"
            " before the start."
        )
        return []
    codes, levels = pd.factorize(column, sort=True)
    if len(levels) > columns.MOST_CATEGORIES:
        issues.append(
            f"{ROLE}: '{name}' is text with {len(levels):,} different values, too many to compare one by one"
            f" (at most {columns.MOST_CATEGORIES}). Group them or leave the column out."
        )
        return []
    flags = [np.where(codes < 0, np.nan, codes == code) for code in range(len(levels))]
    return [(f"{name}: {level}", name, flag) for level, flag in zip(levels, flags, strict=True)]


def _stacked(
    made: list[tuple[str, str, np.ndarray]], absent: list[tuple[str, str, np.ndarray]], rows: int
) -> Characteristics:
    parts = made + absent
    x = np.empty((rows, len(parts)), order="F")
    for j, (*_, values) in enumerate(parts):
        x[:, j] = values
    notes = tuple(
        Counted(
            f"Values of '{source}' missing: {{lost}} of {{rows}}. Its statistics use the values that are"
            f" there; '{label}' compares the arms' shares of missing values.",
            lost=Count(int(flag.sum())),
            rows=Count(rows),
        )
        for label, source, flag in absent
    )
    return Characteristics(
        x, tuple(part[0] for part in parts), tuple(part[1] for part in parts), notes, len(absent)
    )
