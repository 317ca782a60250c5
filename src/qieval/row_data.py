"""Rows of people parsed into arrays and trusted afterwards; outcomes stay closed until asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import covariates, numbers, positive
from qieval.errors import DataError
from qieval.row_design import RowDesign
from qieval.rows import POSITION, complete_rows, loss, loss_notes, require_columns
from qieval.text import listed


@dataclass(frozen=True, eq=False, kw_only=True)
class RowData:
    """Rows in the order of the frame, as arrays of length n.

    rows: the columns of the design except outcomes. x (n, k): covariates as numbers with `x_names`, one 0/1
    column per level but the first of text; constant ones left out. weights, cluster (codes): None where the
    design names none. y, person_time and controls (n, m): None when the data are blind. row: position of each
    row in the frame. losses: rows left out, by reason.
    """

    rows: pd.DataFrame
    x: np.ndarray
    x_names: tuple[str, ...]
    weights: np.ndarray | None
    cluster: np.ndarray | None
    n_clusters: int
    y: np.ndarray | None
    person_time: np.ndarray | None
    controls: np.ndarray | None
    losses: pd.DataFrame
    notes: tuple[str, ...]
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def outcome(self) -> np.ndarray:
        """The outcome (n,), where it may be seen."""
        if self.y is None:
            raise RuntimeError("the outcome of blind data was asked for")
        return self.y

    @property
    def rate(self) -> np.ndarray:
        """The outcome (n,), per person-time where that is known."""
        return self.outcome if self.person_time is None else self.outcome / self.person_time

    @property
    def row_weights(self) -> np.ndarray | None:
        """The weight of each row (n,), times its person-time for rates; None where all count the same."""
        if self.person_time is None or self.weights is None:
            return self.weights if self.person_time is None else self.person_time
        return np.asarray(self.weights * self.person_time)

    @property
    def kind(self) -> str:
        """Whether the outcome is a mean, a risk (0 and 1) or a rate."""
        if self.person_time is not None:
            return "rate"
        return "risk" if np.isin(self.outcome, (0.0, 1.0)).all() else "mean"

    def column(self, name: str) -> np.ndarray:
        """A column of numbers among the rows (n,)."""
        return self.rows[name].to_numpy(dtype=float)


def read_rows(design: RowDesign, frame: pd.DataFrame, *, blind: bool = False) -> RowData:
    """Parse a frame for a design of rows. DataError lists everything that does not fit, each with its column.

    blind: no outcome column is read, not even to see whether it is empty. Rows with empty cells in used
    columns are refused or left out and counted, as the design says.
    """
    require_columns(design, frame)
    issues: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows = complete_rows(design, frame, blind, issues, losses)
    if issues:
        raise DataError(issues)
    coded = rows.astype(dict.fromkeys(design.categories, "category")) if design.categories else rows
    x, names = covariates(coded, design.covariates, "covariates", issues)
    varies = np.ptp(x, axis=0) > 0
    outcomes = _outcomes(design, rows, blind, issues)
    weights = None
    if design.weights is not None:
        weights = positive(
            numbers(rows[design.weights], "weights", design.weights, issues),
            "weights",
            design.weights,
            "a row cannot count less than nothing",
            issues,
        )
    if issues:
        raise DataError(issues)
    cluster, n_clusters = None, 0
    if design.cluster is not None:
        code, labels = pd.factorize(rows[design.cluster], sort=True)
        cluster, n_clusters = np.asarray(code), len(labels)
    return RowData(
        rows=rows.drop(columns=[POSITION, *design.outcome_columns()]).reset_index(drop=True),
        x=x if varies.all() else x[:, varies],
        x_names=tuple(name for name, kept in zip(names, varies, strict=True) if kept),
        weights=weights,
        cluster=cluster,
        n_clusters=n_clusters,
        losses=pd.DataFrame(losses),
        notes=(*loss_notes(losses), *_constant(names, varies)),
        row=rows[POSITION].to_numpy(),
        **outcomes,
    )


def _constant(names: tuple[str, ...], varies: np.ndarray) -> list[str]:
    same = [name for name, kept in zip(names, varies, strict=True) if not kept]
    if not same:
        return []
    return [
        f"covariates: {listed(same)} {'has' if len(same) == 1 else 'have'} the same value in all rows and"
        " cannot adjust for anything; left out."
    ]


def _outcomes(
    design: RowDesign, rows: pd.DataFrame, blind: bool, issues: list[str]
) -> dict[str, np.ndarray | None]:
    held: dict[str, np.ndarray | None] = {"y": None, "person_time": None, "controls": None}
    if blind:
        return held
    y = held["y"] = numbers(rows[design.outcome], "outcome", design.outcome, issues)
    if design.person_time is not None:
        time = numbers(rows[design.person_time], "person_time", design.person_time, issues)
        held["person_time"] = positive(
            time, "person_time", design.person_time, "nobody can have an event in no time", issues
        )
        if not issues and bool((y < 0).any()):
            issues.append(
                f"outcome: with person_time '{design.outcome}' counts events, but it is negative in some"
                " rows."
                " Correct it, or leave person_time empty."
            )
    if design.negative_controls:
        held["controls"] = np.column_stack(
            [numbers(rows[name], "negative_controls", name, issues) for name in design.negative_controls]
        )
    return held
