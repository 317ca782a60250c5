"""Rows with an instrument, parsed once: outcome, what was received, instruments and covariates as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import MOST_CATEGORIES, covariates, numbers
from qieval.errors import DataError
from qieval.row_data import RowData, read_rows
from qieval.text import listed

WHAT_HELPS = {
    "received": "Everybody received the same, so there is no contrast to learn from; look at the filters"
    " that made these data.",
    "instruments": "It cannot have moved anybody; look at the filters that made these data, or name another.",
    "outcome": "There is nothing to explain; check the column and the filters that made these data.",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Instrumented:
    """Rows with who received the intervention and what moved them.

    x (n,): what was received. z (n, k): instruments with `names`, text as one 0/1 column per value but the
    first. profile (n, q): covariates as numbers.
    """

    data: RowData
    x: np.ndarray
    z: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def profile(self) -> np.ndarray:
        """Covariates (n, q) as numbers; their names are `data.x_names`."""
        return self.data.x

    @property
    def controls(self) -> np.ndarray:
        """The constant and the covariates about their means (n, 1 + q), which changes no slope."""
        return np.column_stack([np.ones(len(self)), self.profile - self.profile.mean(axis=0)])

    @property
    def binary(self) -> bool:
        """Whether what was received is 0 or 1."""
        return bool(np.isin(self.x, (0.0, 1.0)).all())

    @property
    def one_binary(self) -> bool:
        """Whether there is one instrument, and it is 0 or 1."""
        return self.z.shape[1] == 1 and bool(np.isin(self.z, (0.0, 1.0)).all())

    @property
    def y(self) -> np.ndarray:
        """The outcome (n,), per person-time where that is known."""
        return self.data.rate

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each row in regressions (n,), times its person-time for rates; None: all the same."""
        return self.data.row_weights

    @property
    def kind(self) -> str:
        """Whether the outcome is a mean, a risk (0 and 1) or a rate."""
        return self.data.kind


def read(design: Any, frame: pd.DataFrame, *, blind: bool = False) -> Instrumented:
    """Parse a frame for instrumental variables. DataError lists everything that does not fit."""
    data = read_rows(design, frame, blind=blind)
    issues: list[str] = []
    x = numbers(data.rows[design.received], "received", design.received, issues)
    z, names = _instruments(design, data, issues)
    if issues:
        raise DataError(issues)
    _vary(x[:, None], "received", (design.received,), issues)
    issues += _constant_text(design, data)
    _vary(z, "instruments", names, issues)
    if not blind:
        _vary(data.outcome[:, None], "outcome", (design.outcome,), issues)
    issues += _same_as_others(design, data, x, z, names) if not issues else []
    if issues:
        raise DataError(issues)
    return Instrumented(data=data, x=x, z=z, names=names, notes=data.notes)


def _instruments(design: Any, data: RowData, issues: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Instruments as numbers, unless one is text with so many values that each would hardly be shared."""
    for name in design.instruments:
        column: pd.Series[Any] = data.rows[name]
        held = column.nunique() if _is_text(column) else 0
        if held > MOST_CATEGORIES:
            issues.append(
                f"instruments: '{name}' is text with {held:,} different values, and each would be an"
                f" instrument of its own (at most {MOST_CATEGORIES}). So many weak instruments pull the"
                " estimate to the ordinary comparison. Turn it into a number, such as the share of a"
                " clinician's other people who received the intervention."
            )
    return (
        (np.empty((len(data), 0)), ())
        if issues
        else covariates(data.rows, design.instruments, "instruments", issues)
    )


def _is_text(column: pd.Series[Any]) -> bool:
    plain = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
    return not (plain or pd.api.types.is_datetime64_any_dtype(column))


def _constant_text(design: Any, data: RowData) -> list[str]:
    """The problem of text with a single value, which leaves no column."""
    text = [name for name in design.instruments if _is_text(data.rows[name])]
    flat = [name for name in text if data.rows[name].nunique() == 1]
    return [_flat("instruments", name) for name in flat]


def _vary(held: np.ndarray, role: str, names: tuple[str, ...], issues: list[str]) -> None:
    """Add the problem of columns (n, m) with the same value in all rows."""
    flat = np.ptp(held, axis=0) == 0 if len(held) else np.zeros(held.shape[1], dtype=bool)
    issues += [_flat(role, name) for name, same in zip(names, flat, strict=True) if same]


def _flat(role: str, name: str) -> str:
    return f"{role}: '{name}' has the same value in all rows. {WHAT_HELPS[role]}"


def _same_as_others(
    design: Any, data: RowData, x: np.ndarray, z: np.ndarray, names: tuple[str, ...]
) -> list[str]:
    """Instruments that hold the same as a covariate or as what was received."""
    found = []
    for j, name in enumerate(names):
        if np.array_equal(z[:, j], x):
            found.append(
                f"instruments, received: '{name}' is the same as '{design.received}' in every row, so nothing"
                " separates the instrument from the intervention. Name what moved people, or use"
                " RegressionAdjustment."
            )
        twins = [other for i, other in enumerate(data.x_names) if np.array_equal(z[:, j], data.x[:, i])]
        if twins:
            found.append(
                f"instruments, covariates: '{name}' is the same as the covariate {listed(map(repr, twins))}"
                " in every row; what is adjusted for cannot also move people. Keep it in one place."
            )
    return found
