"""The safety cross: which days had an event, which had none, which are not known."""

import pandas as pd
import pytest

from qieval.charts import safety_cross
from qieval.errors import DataError, DesignError

EVENTS = pd.DataFrame({"date": ["2024-04-03", "2024-04-03", "2024-04-19"]})


def test_rows_are_events():
    made = safety_cross(EVENTS, "date", first="2024-04-01", last="2024-04-30")
    assert len(made.days) == 30
    days = made.days.set_index("date")
    assert days.loc["2024-04-03", "events"] == 2 and days.loc["2024-04-03", "status"] == "event"
    assert days["events"].sum() == 3 and (days["status"] == "event").sum() == 2
    assert made.since_last == 11


def test_rows_are_days_and_days_without_a_row_are_not_recorded():
    days = pd.DataFrame({"date": pd.date_range("2024-04-01", periods=10), "falls": [0, 1] * 5}).drop(index=4)
    made = safety_cross(days, "date", "falls", last="2024-04-12")
    status = made.days.set_index("date")["status"]
    assert status["2024-04-05"] == status["2024-04-12"] == "not recorded"
    assert (status == "event").sum() == 5
    assert made.since_last == 0
    assert "3 days" in made.notes[0]


def test_no_event_at_all():
    made = safety_cross(EVENTS, "date", first="2024-05-01", last="2024-05-31")
    assert made.since_last is None and (made.days["status"] == "no event").all()
    assert "3 rows outside" in made.notes[0]


@pytest.mark.parametrize(
    "dates",
    [
        pd.to_datetime(["2024-04-03 10:00", "2024-04-03 23:59", "2024-04-19 00:00"]),
        pd.DatetimeIndex(["2024-04-03 10:00", "2024-04-03 23:59", "2024-04-19"]).tz_localize("Europe/London"),
        pd.PeriodIndex(["2024-04-03", "2024-04-03", "2024-04-19"], freq="D"),
    ],
)
def test_dates_of_any_type(dates):
    made = safety_cross(pd.DataFrame({"date": dates}), "date")
    assert made.days["events"].tolist() == [2, *([0] * 15), 1]


@pytest.mark.parametrize("date", ["03/04/2024", "2024-13-01", "soon", "2024-04"])
def test_other_dates_are_refused(date):
    with pytest.raises(DataError, match="cannot be read as a date"):
        safety_cross(pd.DataFrame({"date": [date]}), "date")


def test_problems_are_told():
    with pytest.raises(DataError, match="Did you mean 'date'"):
        safety_cross(EVENTS, "dates")
    with pytest.raises(DataError, match="is empty in 1 row"):
        safety_cross(pd.DataFrame({"date": ["2024-04-03", None]}), "date")
    with pytest.raises(DataError, match="holds no date"):
        safety_cross(EVENTS.head(0), "date")
    with pytest.raises(DataError, match="negative"):
        safety_cross(EVENTS.assign(n=-1), "date", "n")
    with pytest.raises(DataError, match="no row lies between"):
        safety_cross(EVENTS.assign(n=1), "date", "n", first="2025-01-01", last="2025-01-05")
    with pytest.raises(DesignError, match="lies after"):
        safety_cross(EVENTS, "date", first="2025-01-01")
    with pytest.raises(DataError, match="longer than a day"):
        safety_cross(pd.DataFrame({"date": pd.PeriodIndex(["2024-04"], freq="M")}), "date")


def test_input_is_not_touched():
    before = EVENTS.copy(deep=True)
    safety_cross(EVENTS, "date")
    pd.testing.assert_frame_equal(EVENTS, before)
