import pandas as pd
import pytest

from qieval.errors import DataError
from qieval.reports.disclosure import SuppressionRule, Who, suppress_frame, suppressed
from qieval.text import Count, Counted

RULE = SuppressionRule()


def test_a_count_as_text() -> None:
    assert suppressed(3) == "fewer than 10"
    assert suppressed(3, SuppressionRule(threshold=3)) == "3"


@pytest.mark.parametrize("name", ["rows", "people", "n", "treated_units", "clusters", "rows_lost", "visits"])
def test_whole_numbers_count_people_unless_their_name_says_otherwise(name: str) -> None:
    assert suppress_frame(pd.DataFrame({name: [4, 25]}), RULE)[name].tolist() == ["fewer than 10", "20 to 29"]


@pytest.mark.parametrize("name", ["at", "time", "periods_before", "rank", "df"])
def test_times_and_ranks_are_printed(name: str) -> None:
    assert suppress_frame(pd.DataFrame({name: [4, 25]}), RULE)[name].tolist() == [4, 25]


def test_marked_counts_are_hidden_whatever_the_column_is_called() -> None:
    table = pd.DataFrame({"at": pd.Series([Count(4), Count(25)], dtype=object)})
    assert suppress_frame(table, RULE)["at"].tolist() == ["fewer than 10", "20 to 29"]


def test_counts_with_gaps_are_floats_and_still_counts() -> None:
    shown = suppress_frame(pd.DataFrame({"people": [4.0, None]}), RULE)["people"].tolist()
    assert shown == ["fewer than 10", ""]


def test_estimates_shares_and_flags_are_printed() -> None:
    table = pd.DataFrame({"estimate": [4.0], "share_of_rows": [0.5], "converged": [True]})
    pd.testing.assert_frame_equal(suppress_frame(table, RULE), table)


def test_organisations_are_printed() -> None:
    table = pd.DataFrame({"units": [4], "clusters": [5], "rows": [6]})
    shown = suppress_frame(table, RULE, Who(units=False, clusters=False))
    assert shown.iloc[0].tolist() == [4, 5, "fewer than 10"]


def test_counts_in_the_cells_of_a_note_are_hidden() -> None:
    table = pd.DataFrame({"note": ["'x' is empty in 3 rows", Counted("{n} people", n=Count(2))]})
    assert suppress_frame(table, RULE)["note"].tolist() == [
        "'x' is empty in fewer than 10 rows",
        "Fewer than 10 people",
    ]


def test_attrition_tables_go_their_own_way(steps: pd.DataFrame) -> None:
    assert suppress_frame(steps, RULE)["rows lost"].tolist() == ["", "fewer than 10", "10 or more"]


@pytest.mark.parametrize("cell", [[1, 2], {"patient": 1}, pd.DataFrame()])
def test_cells_that_cannot_be_judged_are_refused(cell: object) -> None:
    with pytest.raises(DataError, match=r"what: a cell holds a \w+"):
        suppress_frame(pd.DataFrame({"what": pd.Series([cell], dtype=object)}), RULE)


def test_the_table_given_is_not_altered() -> None:
    table = pd.DataFrame({"people": [4, 25], "note": ["3 rows", ""]})
    before = table.copy()
    suppress_frame(table, RULE)
    pd.testing.assert_frame_equal(table, before)
