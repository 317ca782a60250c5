"""People seen once, parsed from a frame into arrays and trusted afterwards; outcomes stay closed until asked
for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort_design import CohortDesign
from qieval.columns import covariates, numbers, positive
from qieval.errors import DataError, nearest
from qieval.rows import POSITION, loss, loss_notes, require_columns
from qieval.text import Count, listed, plural

FEWEST = 2
"""With fewer rows in a group nothing is known about how much people differ."""
SQUARE, PRODUCT = "²", " × "
"""How names of squares and products are written."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cohort:
    """Rows of a cohort in the order of the frame, as arrays of length n.

    treated: bool. x (n, k): covariates as numbers with `x_names`, one 0/1 column per level but the first of
    text; constant ones left out; the first `n_plain` are no squares or products. rows: the columns of the
    design except outcomes. cluster: codes of `n_clusters` clusters, or None. y, person_time (NaN where
    empty) and controls (n, m): None when the cohort is blind. row: position of each row in the frame.
    losses: rows left out, by reason.
    """

    treated: np.ndarray
    x: np.ndarray
    x_names: tuple[str, ...]
    n_plain: int
    rows: pd.DataFrame
    cluster: np.ndarray | None
    n_clusters: int
    y: np.ndarray | None
    person_time: np.ndarray | None
    controls: np.ndarray | None
    losses: pd.DataFrame
    notes: tuple[str, ...]
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.treated)

    @property
    def outcome(self) -> np.ndarray:
        """The outcome (n,), where it may be seen."""
        if self.y is None:
            raise RuntimeError("the outcome of a blind cohort was asked for")
        return self.y

    @property
    def plain(self) -> np.ndarray:
        """Which columns of x are covariates themselves, not squares or products (k,): those come first."""
        return np.arange(len(self.x_names)) < self.n_plain

    def every_level(self, names: tuple[str, ...], categories: tuple[str, ...] = ()) -> np.ndarray:
        """Columns as numbers (n, k), text and categories as one 0/1 column for each of their levels."""
        blocks = []
        for name in names:
            held = self.rows[name]
            if is_amount(held) and name not in categories:
                blocks.append(held.to_numpy(dtype=float)[:, None])
            else:
                code, levels = pd.factorize(held, sort=True)
                blocks.append((np.asarray(code)[:, None] == np.arange(len(levels))).astype(float))
        return np.hstack(blocks) if blocks else np.empty((len(self), 0))

    def codes(self, names: tuple[str, ...]) -> np.ndarray | None:
        """One code per combination of values of some columns (n,); None for no columns."""
        if not names:
            return None
        return self.rows.groupby(list(names), sort=True, observed=True).ngroup().to_numpy()


def cohort(design: CohortDesign, frame: pd.DataFrame, *, blind: bool = False) -> Cohort:
    """Parse a frame for a cohort design. DataError lists everything that does not fit, each problem with its
    column.

    blind: no outcome column is read, not even to see whether it is empty. Rows with empty cells in other used
    columns are refused or left out and counted, as the design says; empty outcomes neither move the design
    nor its matching, so they are left out only when the effect is estimated.
    """
    require_columns(design, frame)
    _require_keys(design, frame)
    issues: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows = _complete(design, frame, issues, losses)
    if issues:
        raise DataError(issues)
    treated = _treated(design, rows[design.treated], issues)
    x, names, plain = _characteristics(design, rows, issues)
    issues += _one_row_each(design, rows) + _measured_before(design, rows)
    notes = [*_constant(design, x, names), *_several_rows(design, rows)]
    varies = np.ptp(x, axis=0) > 0 if len(x) else np.ones(len(names), dtype=bool)
    outcomes = _outcomes(design, frame, rows[POSITION].to_numpy(), blind, issues)
    if issues:
        raise DataError(issues)
    cluster, n_clusters = _clusters(design, rows)
    return Cohort(
        treated=treated,
        x=x if varies.all() else x[:, varies],
        x_names=tuple(name for name, kept in zip(names, varies, strict=True) if kept),
        n_plain=int(varies[:plain].sum()),
        rows=rows.drop(columns=POSITION).reset_index(drop=True),
        cluster=cluster,
        n_clusters=n_clusters,
        losses=pd.DataFrame(losses),
        notes=(*loss_notes(losses), *notes),
        row=rows[POSITION].to_numpy(),
        **outcomes,
    )


def _require_keys(design: CohortDesign, frame: pd.DataFrame) -> None:
    """DataError where a column that is named in a mapping, such as a caliper on it, is not in the data."""
    lacking = [name for name in design.used_columns() if name not in frame.columns]
    if lacking:
        raise DataError(
            [
                f"{_role(design, name)}: there is no column '{name}' in the data."
                f"{nearest(name, frame.columns)} The columns are: {listed(frame.columns, 12)}."
                for name in lacking
            ]
        )


def is_amount(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers (or true and false) rather than words or categories."""
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _complete(
    design: CohortDesign, frame: pd.DataFrame, issues: list[str], losses: list[dict[str, Any]]
) -> pd.DataFrame:
    """The used columns but the outcomes, in rows where all of them are filled in."""
    closed = set(design.outcome_columns())
    used = [name for name in design.used_columns() if name not in closed]
    rows = frame[used]
    empty = {str(name): int(count) for name, count in rows.isna().sum().items() if count}
    rows = rows.assign(**{POSITION: np.arange(len(frame))})
    if not empty:
        return rows
    if design.missing == "refuse":
        issues += [
            f"{_role(design, name)}: '{name}' is empty in {plural(count, 'row')}; a row can only be compared"
            " when all its characteristics are known. Fill them in (an 'unknown' level is often honest), or"
            " set missing='complete cases' to leave these rows out and have them counted."
            for name, count in empty.items()
        ]
        return rows
    kept = rows.dropna(subset=used)
    said = listed((f"'{name}' ({plural(count, 'row')})" for name, count in empty.items()), 8)
    losses.append(loss("complete cases", f"missing values in {said}", kept, design))
    if kept.empty:
        issues.append(
            f"data: no row is complete in all used columns; missing values in {said}. Use fewer columns."
        )
    return kept


def _role(design: CohortDesign, name: str) -> str:
    for role, spec in design._declared():
        held = getattr(design, role)
        if (spec.role == "column" and held == name) or (spec.role == "columns" and name in held):
            return role
        if spec.role == "texts" and role != "measured" and name in held:
            return role
    return "measured"


def _characteristics(
    design: CohortDesign, rows: pd.DataFrame, issues: list[str]
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Covariates, squares and products as columns of numbers, with their names and how many are plain."""
    coded = rows.astype(dict.fromkeys(design.categories, "category")) if design.categories else rows
    parts = {name: covariates(coded, (name,), "covariates", issues) for name in design.covariates}
    blocks = [part for part, _ in parts.values()]
    names = [made for _, part_names in parts.values() for made in part_names]
    plain = len(names)
    for name in design.squares:
        if name in parts:
            blocks.append(parts[name][0] ** 2)
            names += [f"{made}{SQUARE}" for made in parts[name][1]]
    for left, right in design.products():
        for first, first_name in zip(parts[left][0].T, parts[left][1], strict=True):
            for second, second_name in zip(parts[right][0].T, parts[right][1], strict=True):
                blocks.append((first * second)[:, None])
                names.append(f"{first_name}{PRODUCT}{second_name}")
    return _beside(blocks, len(rows)), tuple(names), plain


def _beside(blocks: list[np.ndarray], n: int) -> np.ndarray:
    """Blocks of columns as one table (n, k) kept by columns, as balance statistics read it."""
    table = np.empty((n, sum(block.shape[1] for block in blocks)), order="F")
    at = 0
    for block in blocks:
        table[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return table


def _treated(design: CohortDesign, column: pd.Series[Any], issues: list[str]) -> np.ndarray:
    held = pd.to_numeric(column, errors="coerce")
    if held.isna().any() or not held.isin([0, 1]).all():
        found = column[~held.isin([0, 1])]
        several = (
            " For more than two groups compare them in pairs: qe.compare_arms."
            if found.nunique() < 10
            else ""
        )
        issues.append(
            f"treated: '{design.treated}' must be 1 (received the intervention) or 0, but holds other values"
            f" in {plural(len(found), 'row')}, so it is unclear whom to compare. Recode it to 0 and"
            f" 1.{several}"
        )
        return np.zeros(len(column), dtype=bool)
    treated: np.ndarray = held.to_numpy(dtype=float) == 1
    if treated.all() or not treated.any():
        whose, missing = (
            ("Everybody is", "people without it") if treated.all() else ("Nobody is", "treated people")
        )
        issues.append(
            f"treated: {whose} treated ('{design.treated}'), so there is nobody to compare. Add {missing} to"
            " the data, or check the coding and the filters that made them."
        )
    elif min(treated.sum(), (~treated).sum()) < FEWEST:
        group = "treated" if treated.sum() < FEWEST else "comparison"
        issues.append(
            f"treated: the {group} group has a single row ('{design.treated}'), and how much people differ"
            " cannot be told from one. Add people, or check the coding and the filters."
        )
    return treated


def _constant(design: CohortDesign, x: np.ndarray, names: tuple[str, ...]) -> list[str]:
    if not len(x):
        return []
    same = [name for name, spread in zip(names, np.ptp(x, axis=0), strict=True) if spread == 0]
    same += [  # text with one level has no column
        name
        for name in design.covariates
        if name not in names and not any(made.startswith(f"{name}: ") for made in names)
    ]
    if not same:
        return []
    return [
        f"covariates: {listed(same)} {'has' if len(same) == 1 else 'have'} the same value in all rows, so"
        " there is nothing to balance; left out of the matching."
    ]


def _one_row_each(design: CohortDesign, rows: pd.DataFrame) -> list[str]:
    if design.person is None:
        return []
    apart = [design.start] if design.start else []
    key = list(dict.fromkeys([design.person, *apart, *getattr(design, "exact", ())]))
    repeated = int(rows.duplicated(key).sum())
    if not repeated:
        return []
    return [
        f"person: {plural(repeated, 'row')} repeat an earlier '{design.person}', and a person must not be"
        " matched to themselves or be counted twice. Keep one row per person (or one per person and index"
        " date, named as start, or per risk set, named under exact)."
    ]


def _several_rows(design: CohortDesign, rows: pd.DataFrame) -> list[str]:
    """That people stand in several rows, which only clusters allow for."""
    if design.person is None or design.cluster == design.person or not rows[design.person].duplicated().any():
        return []
    return [
        f"person: some people have several rows. Set cluster='{design.person}', so that the interval allows"
        " for it."
    ]


def _measured_before(design: CohortDesign, rows: pd.DataFrame) -> list[str]:
    """Problems of covariates whose date lies after the index date."""
    found = []
    for name, column in design.measured.items():
        if name not in design.covariates:
            found.append(
                f"measured: '{name}' is not among the covariates. Remove it, or name the covariate it dates."
            )
            continue
        dates = {role: _moments(rows[held]) for role, held in (("measured", column), ("start", design.start))}
        if unread := [role for role, held in dates.items() if held is None]:
            held = column if unread[0] == "measured" else design.start
            found.append(
                f"{unread[0]}: '{held}' holds text that is no date as in 2022-04-01, so nobody can tell what"
                " was measured first (01/05 is May here and January there). Convert it:"
                f" pd.to_datetime(data['{held}'], dayfirst=True)."
            )
            continue
        late = dates["measured"] > dates["start"]
        if late.any():
            found.append(
                f"covariates: '{name}' was measured after '{design.start}' in"
                f" {plural(int(late.sum()), 'row')} (its date is '{column}'). The intervention may have"
                " changed it, and adjusting for it would hide part of the effect. Use the last value before"
                " the start, or leave it out."
            )
    return found


def _moments(column: pd.Series[Any]) -> Any:
    """A column as dates, or as the numbers that it holds; None for text that is not written as 2022-04-01."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert(None)
    if is_amount(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    read = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True).dt.tz_convert(None)
    return None if (read.isna() & column.notna()).any() else read


def _outcomes(
    design: CohortDesign, frame: pd.DataFrame, position: np.ndarray, blind: bool, issues: list[str]
) -> dict[str, np.ndarray | None]:
    """Outcome, person-time and negative controls of the kept rows; None where they must not be seen."""
    held: dict[str, np.ndarray | None] = {"y": None, "person_time": None, "controls": None}
    if blind:
        return held

    def read(role: str, name: str) -> np.ndarray:
        column = frame[name].iloc[position]
        if design.missing == "refuse" and (empty := int(column.isna().sum())):
            issues.append(
                f"{role}: '{name}' is empty in {plural(empty, 'row')}, and whoever is lost may differ from"
                " the others. Find out why; then fill it in, or set missing='complete cases' to leave these"
                " rows out and have them counted."
            )
        return numbers(column, role, name, issues)

    if design.outcome is not None:
        held["y"] = read("outcome", design.outcome)
        if design.person_time is not None:
            held["person_time"] = positive(
                read("person_time", design.person_time),
                "person_time",
                design.person_time,
                "nobody can have an event in no time",
                issues,
            )
    if design.negative_controls:
        held["controls"] = np.column_stack(
            [read("negative_controls", name) for name in design.negative_controls]
        )
    return held


def _clusters(design: CohortDesign, rows: pd.DataFrame) -> tuple[np.ndarray | None, int]:
    if design.cluster is None:
        return None, 0
    code, labels = pd.factorize(rows[design.cluster], sort=True)
    return np.asarray(code), len(labels)


def people(design: CohortDesign) -> type[int]:
    """How counts of rows are kept: as counts of people, to be suppressed when small, or as plain numbers."""
    return Count if design.units_are == "people" else int
