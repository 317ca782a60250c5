"""Tables with totals: small cells are hidden, and others, so that no small cell can be worked out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.reports.rule import SuppressionRule

TOTAL = "Total"
HIDDEN = "hidden"


def suppress_crosstab(table: pd.DataFrame, rule: SuppressionRule) -> pd.DataFrame:
    """A table of counts with its totals, as text, in which no small count can be worked out from the others.

    table: counts of people, without totals, rows x columns. Row, column and grand totals are added. Counts
    and totals from 1 to threshold - 1 are hidden; then, one at a time, the smallest count above zero that
    would narrow a small one. All hidden entries look the same ('hidden'). Zeros are printed.

    Guarantee: from everything printed, with hidden entries known to be whole numbers of at least 1, each
    small cell can still be 1 and can still be threshold - 1 or more; each small total can still be as low as
    the number of its cells above zero (or 1, if that is more) and can still be threshold - 1 or more. Limits
    come from linear programs, which are exact here because the constraints of a two-way table with totals are
    totally unimodular. The table is looked at on its own: print no second table of the same people in other
    groups.

    Raises DataError for values that are missing, negative or not whole.

    >>> table = pd.DataFrame({"men": [4, 30], "women": [21, 40]}, index=["under 65", "65 and over"])
    >>> suppress_crosstab(table, SuppressionRule())
                    men   women Total
    under 65     hidden  hidden    25
    65 and over  hidden  hidden    70
    Total            34      61    95
    """
    full = _with_totals(_counts(table))
    hidden = np.vectorize(rule.hides, otypes=[bool])(full)
    small = np.argwhere(hidden)
    while (exposed := _first_exposed(full, hidden, small, rule)) is not None:
        hidden[_next_to_hide(full, hidden, exposed)] = True
    text = np.where(hidden, HIDDEN, np.vectorize("{:,}".format, otypes=[object])(full))
    return pd.DataFrame(text, index=[*table.index, TOTAL], columns=[*table.columns, TOTAL])


def cell_limits(full: np.ndarray, hidden: np.ndarray, cell: tuple[int, int]) -> tuple[float, float]:
    """The smallest and largest value of a hidden entry that the printed entries leave possible.

    full (r + 1, c + 1): counts with totals in the last row and column; hidden: which of them are not printed.
    The values of hidden entries are not used.
    """
    from scipy.optimize import linprog

    equations, right = _equations(full, hidden)
    unknown = np.flatnonzero(hidden.ravel())
    goal = (unknown == np.ravel_multi_index(cell, full.shape)).astype(float)
    found = []
    for sign in (1.0, -1.0):
        solved = linprog(sign * goal, A_eq=equations, b_eq=right, bounds=(1, None), method="highs")
        if solved.status == 3:  # unbounded
            found.append(-sign * np.inf)
        elif solved.status == 0:
            found.append(float(np.round(sign * solved.fun)))
        else:
            raise RuntimeError(f"the limits of a table that exists were not found: {solved.message}")
    return found[0], found[1]


def _counts(table: pd.DataFrame) -> np.ndarray:
    held = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if not held.size or not np.isfinite(held).all() or (held < 0).any() or (held != np.round(held)).any():
        raise DataError(
            "table: every cell must hold a count (a whole number of zero or more), otherwise it is unclear"
            " what may be printed. Count first, for example with pd.crosstab(..., margins=False)."
        )
    counts: np.ndarray = held.astype(np.int64)
    return counts


def _with_totals(counts: np.ndarray) -> np.ndarray:
    rows = np.vstack([counts, counts.sum(axis=0, keepdims=True)])
    return np.hstack([rows, rows.sum(axis=1, keepdims=True)])


def _equations(full: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row and column adds up to its total: coefficients of the hidden entries, and the printed rest."""
    known = np.where(hidden, 0, full)
    coefficients, right = [], []
    for line in _lines(full.shape):
        sign = np.zeros(full.shape)
        sign[line] = 1.0
        sign[line[0][-1], line[1][-1]] = -1.0
        coefficients.append(sign[hidden])
        right.append(-float((sign * known).sum()))
    return np.array(coefficients), np.array(right)


def _lines(shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The positions of every row and of every column, the total last."""
    rows, columns = np.indices(shape)
    yield from zip(rows, columns, strict=True)
    yield from zip(rows.T, columns.T, strict=True)


def _first_exposed(
    full: np.ndarray, hidden: np.ndarray, small: np.ndarray, rule: SuppressionRule
) -> tuple[int, int] | None:
    for row, column in small:
        low, high = cell_limits(full, hidden, (row, column))
        if high < rule.threshold - 1 or low > _least(full, row, column):
            return int(row), int(column)
    return None


def _least(full: np.ndarray, row: int, column: int) -> int:
    """The smallest value that is possible for anyone who sees which cells are zero."""
    rows = slice(None, -1) if row == full.shape[0] - 1 else slice(row, row + 1)
    columns = slice(None, -1) if column == full.shape[1] - 1 else slice(column, column + 1)
    return max(1, int((full[rows, columns] > 0).sum()))


def _next_to_hide(full: np.ndarray, hidden: np.ndarray, exposed: tuple[int, int]) -> tuple[int, int]:
    """The smallest printed count above zero: in line with the exposed one, else any cell, else a total."""
    free = ~hidden & (full > 0)
    cells = np.zeros_like(free)
    cells[:-1, :-1] = True
    in_line = np.zeros_like(free)
    in_line[exposed[0], :] = in_line[:, exposed[1]] = True
    pool = next(pool for pool in (free & cells & in_line, free & cells, free) if pool.any())
    smallest = np.argwhere(pool)[np.argmin(full[pool])]
    return int(smallest[0]), int(smallest[1])
