import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qieval.errors import DataError
from qieval.reports.crosstab import HIDDEN, TOTAL, cell_limits, suppress_crosstab
from qieval.reports.rule import SuppressionRule

tables = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.one_of(st.integers(0, 12), st.integers(0, 200)),
        min_size=shape[0] * shape[1],
        max_size=shape[0] * shape[1],
    ).map(lambda cells: np.array(cells).reshape(shape))
)


def _full(counts: np.ndarray) -> np.ndarray:
    rows = np.vstack([counts, counts.sum(axis=0)])
    return np.hstack([rows, rows.sum(axis=1, keepdims=True)])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tables, st.sampled_from([3, 5, 10]))
def test_no_small_entry_can_be_pinned_down(counts: np.ndarray, threshold: int) -> None:
    text = suppress_crosstab(pd.DataFrame(counts), SuppressionRule(threshold=threshold)).to_numpy()
    full, hidden = _full(counts), text == HIDDEN
    for row, column in np.argwhere((full > 0) & (full < threshold)):
        assert hidden[row, column]
        low, high = cell_limits(np.where(hidden, 0, full), hidden, (row, column))
        inside = full[:-1, :-1][
            slice(None) if row == len(full) - 1 else slice(row, row + 1),
            slice(None) if column == full.shape[1] - 1 else slice(column, column + 1),
        ]
        assert low <= max(1, (inside > 0).sum())
        assert high >= threshold - 1
    shown = ~hidden
    assert (text[shown] == np.vectorize("{:,}".format, otypes=[object])(full)[shown]).all()


def test_limits_agree_with_trying_every_table() -> None:
    counts = np.array([[2, 1, 4], [3, 0, 2]])
    full = _full(counts)
    hidden = np.zeros_like(full, dtype=bool)
    hidden[0, 0] = hidden[0, 1] = hidden[1, 0] = hidden[2, 1] = True
    found = [
        cells[0]
        for cells in itertools.product(range(1, 12), repeat=3)
        if cells[0] + cells[1] + 4 == 7 and cells[2] + 0 + 2 == 5 and cells[0] + cells[2] == 5
    ]
    assert cell_limits(full, hidden, (0, 0)) == (min(found), max(found))


def test_a_second_cell_is_hidden_so_that_subtraction_fails() -> None:
    table = pd.DataFrame({"men": [4, 30], "women": [21, 40]}, index=["young", "old"])
    text = suppress_crosstab(table, SuppressionRule())
    assert (text.loc[["young", "old"], ["men", "women"]] == HIDDEN).all(axis=None)
    assert text[TOTAL].tolist() == ["25", "70", "95"]


def test_tables_without_small_counts_are_printed_in_full_with_zeros() -> None:
    text = suppress_crosstab(pd.DataFrame({"a": [0, 30], "b": [12, 1200]}), SuppressionRule())
    assert text["a"].tolist() == ["0", "30", "30"]
    assert text[TOTAL].tolist() == ["12", "1,230", "1,242"]


def test_a_table_of_one_small_cell_hides_its_totals() -> None:
    assert (suppress_crosstab(pd.DataFrame({"a": [4]}), SuppressionRule()) == HIDDEN).all(axis=None)


@pytest.mark.parametrize("cell", [-1, 2.5, float("nan"), "many"])
def test_cells_must_be_counts(cell: object) -> None:
    with pytest.raises(DataError, match="table: every cell must hold a count"):
        suppress_crosstab(pd.DataFrame({"a": [cell]}), SuppressionRule())
