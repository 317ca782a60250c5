"""Reading time columns."""

import pandas as pd
import pytest

import qieval as qe
from qieval.periods import read_periods


def periods(values, **kwargs):
    return read_periods(pd.Series(values, **kwargs))


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ([1, 2, 3, 5], 1),
        ([2010, 2015, 2020], 0),
        ([2010, 2015, 2025], 1),
        (["2022-01", "2022-02", "2022-04"], 1),
        (["2022Q1", "2022Q2", "2022Q4"], 1),
        (pd.to_datetime(["2022-01-01", "2022-02-01", "2022-03-01", "2022-05-01"]), 1),
        (pd.to_datetime(["2022-01-03", "2022-01-10", "2022-01-24"]), 1),
        (pd.to_datetime(["2022-01-03", "2022-01-10", "2022-01-15"]), 0),
        ([7], 0),
    ],
)
def test_gaps(values, missing):
    assert periods(values).gaps() == missing


def test_order_is_that_of_time_not_of_text():
    assert periods(["9", "10", "2"]).shown() == ["2", "9", "10"]
    assert periods(["2022-10", "2022-09"]).shown() == ["2022-09", "2022-10"]


def test_start_between_periods_is_the_next_one():
    found = periods(pd.to_datetime(["2022-01-01", "2022-02-01", "2022-03-01"]))
    assert found.first_at_or_after("2022-01-15") == 1
    assert found.last_at_or_before("2022-02-15") == 1
    assert periods(["2022-01", "2022-02"]).inside("2022-01-15") == "2022-01"
    assert periods(["2022-01", "2022-02"]).inside("2022-02-01") is None


def test_two_spellings_of_a_period_are_refused():
    with pytest.raises(ValueError, match="different spellings"):
        periods(["2022-Q1", "2022Q1"])


def test_impossible_dates_are_refused():
    with pytest.raises(ValueError, match="does not exist"):
        periods(["2022-13"])
    with pytest.raises(ValueError, match="exists"):
        periods(["2022-01", "2022-02"]).first_at_or_after("2022-02-31")


def test_periods_of_gives_what_a_design_takes():
    assert qe.data and qe.periods_of(pd.Series([3, 1, 2, 2])) == [1, 2, 3]
    assert qe.periods_of(pd.Series(pd.to_datetime(["2022-02-01", "2022-01-01"]))) == [
        "2022-01-01",
        "2022-02-01",
    ]
    with pytest.raises(qe.DataError, match="time: 'visit' cannot be used as time"):
        qe.periods_of(pd.Series(["first", "second"], name="visit"))
