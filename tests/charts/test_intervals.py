"""Days and cases between events, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from qieval.charts.intervals import between_events
from qieval.errors import DataError
from qieval.periods import read_periods


def table(counts, sizes=np.nan):
    return pd.DataFrame({"code": np.arange(len(counts)), "y": counts, "size": sizes})


DAYS = read_periods(pd.Series(pd.date_range("2024-02-27", periods=6)))


def test_days_between_events_over_a_leap_day():
    made, notes = between_events(table([1.0, 0, 0, 2, 0, 1]), DAYS, "days")
    assert made["y"].tolist() == [3, 0, 2]
    assert made["code"].tolist() == [3, 3, 5]
    assert len(notes) == 1


def test_the_wait_that_is_not_over_is_told():
    _, notes = between_events(table([1.0, 1, 0, 0, 0, 0]), DAYS, "days")
    assert "4 days have passed" in notes[1]


def test_cases_between_events_count_from_the_row_after_the_event():
    made, _ = between_events(table([1.0, 0, 1, 0, 0, 1], [5.0, 6, 7, 8, 9, 10]), DAYS, "cases")
    assert made["y"].tolist() == [13, 27]


def test_several_rows_on_a_day_are_added_up():
    rows = pd.DataFrame({"code": [0, 2, 2], "y": [1.0, 1, 1], "size": np.nan})
    made, _ = between_events(rows, read_periods(pd.Series([4, 9, 11])), "units of time")
    assert made["y"].tolist() == [7, 0]


def test_no_event_and_periods_longer_than_a_day_are_refused():
    with pytest.raises(DataError, match="no event"):
        between_events(table([0.0] * 6), DAYS, "days")
    months = read_periods(pd.Series(["2024-01", "2024-02", "2024-03"]))
    with pytest.raises(DataError, match="longer than a day"):
        between_events(table([1.0, 1, 1]), months, "days")
