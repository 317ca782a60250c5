"""Series from records: complete calendars, whole periods, denominators; every number by another way too."""

import time as clock

import numpy as np
import pandas as pd
import pytest

from qieval.data import Extract
from qieval.data.time_series import time_series
from qieval.errors import DataError

LONG = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}


def days(*dates):
    return pd.to_datetime(pd.Series(dates), format="ISO8601")


@pytest.fixture
def falls():
    return pd.DataFrame(
        {
            "when": days(
                *(
                    "2022-01-31 23:59",
                    "2022-01-02",
                    "2022-04-15",
                    None,
                    "2022-06-01",
                    "2022-06-30",
                    "2022-03-09",
                )
            ),
            "ward": ["A", "A", "B", "A", "B", None, "A"],
            "harm": [1.0, np.nan, 3.0, 9.0, 0.0, 2.0, 1.0],
            "sex": ["Female", "Male", "Female", "Male", None, "Male", "Female"],
        }
    )


def test_by_hand(falls):
    wanted = {"harm": ("sum", "harm"), "mean_harm": ("mean", "harm"), "sex": ("share", "sex")}
    made = time_series(falls, "when", values=wanted)
    frame = made.frame.set_index("month")
    assert frame.index.tolist() == [f"2022-0{month}" for month in range(1, 7)]
    assert frame["events"].tolist() == [2, 0, 1, 1, 0, 2] and frame["events"].dtype == "int64"
    assert frame["harm"].tolist() == [1, 0, 1, 3, 0, 2]
    np.testing.assert_array_equal(frame["mean_harm"], [1, np.nan, 1, 3, np.nan, 1])
    np.testing.assert_array_equal(frame["sex_female"], [0.5, np.nan, 1, 1, np.nan, 0])
    np.testing.assert_array_equal(frame["sex_missing"], [0, np.nan, 0, 0, np.nan, 0.5])
    assert frame["days"].tolist() == [31, 28, 31, 30, 31, 30]
    assert made.attrition[["reason", "rows"]].values.tolist() == [
        ["read from a frame of records", 7],
        ["date is missing", 6],
        ["counted by month", 6],
    ]
    assert made.notes == (
        "Complete periods: 2022-01 to 2022-06.",
        "2 months without any record count as 0: see that none is a gap in the records.",
        "harm: its sum leaves out 1 record without a value.",
        "harm: its mean leaves out 1 record without a value.",
    )


def test_several_series_share_one_calendar(falls):
    made = time_series(falls, "when", every="quarter", by="ward")
    assert made.frame[["ward", "quarter", "events", "days"]].values.tolist() == [
        ["A", "2022Q1", 3, 90],
        ["A", "2022Q2", 0, 91],
        ["B", "2022Q1", 0, 90],
        ["B", "2022Q2", 2, 91],
    ]
    assert "ward is missing" in made.attrition["reason"].tolist()


@pytest.mark.parametrize("every", LONG)
def test_against_pandas(every):
    rng = np.random.default_rng(4)
    minutes = rng.integers(0, 3 * 365 * 24 * 60, 3000)
    records = pd.DataFrame(
        {
            "at": pd.Timestamp("2019-02-11") + pd.to_timedelta(minutes, unit="m"),
            "group": rng.choice(["x", "y", "z"], 3000),
            "stay": np.where(rng.random(3000) < 0.1, np.nan, rng.normal(3, 1, 3000)),
        }
    )
    wanted = {"total": ("sum", "stay"), "mean": ("mean", "stay"), "part": ("share", "group")}
    covers = ("2019-02-11", "2022-02-09")
    got = time_series(records, "at", every=every, by="group", values=wanted, covers=covers).frame
    period = records["at"].dt.to_period(LONG[every])
    whole = [
        label
        for label in pd.period_range("2019-01-01", "2022-12-31", freq=LONG[every])
        if label.start_time >= pd.Timestamp("2019-02-11") and label.end_time < pd.Timestamp("2022-02-10")
    ]
    grouped = records.groupby(["group", period])["stay"]
    index = pd.MultiIndex.from_product([["x", "y", "z"], whole])
    assert len(got) == len(index)
    np.testing.assert_array_equal(got["events"], grouped.size().reindex(index).fillna(0))
    np.testing.assert_allclose(got["total"], grouped.sum().reindex(index).fillna(0), atol=1e-12)
    np.testing.assert_allclose(got["mean"], grouped.mean().reindex(index), rtol=1e-12)
    np.testing.assert_array_equal(got["part_x"], np.where(got["events"] > 0, got["group"] == "x", np.nan))
    label = [str(item.start_time.date()) if every == "week" else str(item) for item in whole]
    assert got[every].tolist() == label * 3


def test_periods_that_are_covered_in_part_are_left_out():
    daily = pd.DataFrame({"day": pd.date_range("2022-01-17", "2022-04-28", freq="D")})
    made = time_series(daily, "day")
    assert made.frame["month"].tolist() == ["2022-02", "2022-03"]
    assert made.notes[0].startswith("2022-01: left out, since the records begin on 2022-01-17")
    assert made.notes[1].startswith("2022-04: left out, since the records end on 2022-04-28")
    lost = made.attrition.set_index("reason")["rows"]
    assert lost["in a partly covered period"] == 28 + 31
    stated = time_series(daily, "day", covers=("2022-01-17", "2022-04")).frame
    assert stated["month"].tolist() == ["2022-02", "2022-03", "2022-04"]
    assert stated["events"].tolist() == [28, 31, 28]


def test_a_quiet_end_is_no_missing_end():
    """Working days only: the last record is on Friday 29 July, and a weekend is an ordinary gap."""
    working = pd.DataFrame({"day": pd.bdate_range("2022-05-02", "2022-07-29")})
    assert time_series(working, "day").frame["month"].tolist() == ["2022-05", "2022-06", "2022-07"]


def test_records_outside_what_is_stated(falls):
    made = time_series(falls, "when", covers=("2022-03", "2022-06-29"))
    assert made.frame["month"].tolist() == ["2022-03", "2022-04", "2022-05"]
    lost = made.attrition.set_index("reason")["rows"]
    assert lost["outside the stated period"] == 3 and lost["in a partly covered period"] == 2


def test_time_zones_and_times_of_day():
    stamps = pd.to_datetime(["2022-03-31 23:30", "2022-04-01 00:30"]).tz_localize("Europe/London")
    made = time_series(pd.DataFrame({"at": stamps}), "at", covers=("2022-03", "2022-04"))
    assert made.frame["events"].tolist() == [1, 1]


def test_weeks_begin_on_monday():
    sunday_and_monday = pd.DataFrame({"day": days("2022-01-09", "2022-01-10")})
    made = time_series(sunday_and_monday, "day", every="week", covers=("2022-01-03", "2022-01-16"))
    assert made.frame[["week", "events"]].values.tolist() == [["2022-01-03", 1], ["2022-01-10", 1]]
    assert (
        "Weeks begin on Monday." in made.notes and "Complete periods: 2022-01-03 to 2022-01-10." in made.notes
    )


def test_denominators_of_the_period_or_the_year(falls):
    beds = pd.DataFrame({"month": days("2022-01-01", "2022-02-01"), "bed_days": [100, 90]})
    made = time_series(falls, "when", denominators=beds)
    np.testing.assert_array_equal(made.frame["bed_days"], [100, 90, *[np.nan] * 4])
    assert made.notes[-1] == "bed_days: unknown for 4 months of the series."
    people = pd.DataFrame({"year": [2022, 2022], "ward": ["A", "B"], "people": [10, 20]})
    made = time_series(falls, "when", by="ward", denominators=people)
    assert made.frame.groupby("ward")["people"].unique().map(list).to_dict() == {"A": [10], "B": [20]}
    assert list(made.frame) == ["ward", "month", "events", "days", "people"]


def test_an_extract_keeps_its_history_and_holds_no_person(falls):
    held = Extract(frame=falls.assign(nhs=range(7)), source="the incident system", person="nhs")
    held = held.keep(held.frame["ward"].eq("A"), "another ward")
    made = time_series(held, "when", covers=("2022-01", "2022-06"))
    assert made.attrition["rows"].tolist() == [7, 4, 3, 6] and made.person is None
    assert made.source == "the incident system" and made.check() is made
    assert list(made.frame) == ["month", "events", "days"]


def test_five_million_rows_take_seconds():
    rng = np.random.default_rng(1)
    seconds = rng.integers(0, 10 * 365 * 86400, 500_000)
    records = pd.DataFrame({"at": pd.Timestamp("2010-01-01") + pd.to_timedelta(seconds, unit="s")})
    records = records.assign(stay=rng.poisson(3.0, 500_000), sex=rng.choice(["f", "m"], 500_000))
    began = clock.process_time()
    time_series(records, "at", values={"stay": ("sum", "stay"), "sex": ("share", "sex")})
    assert clock.process_time() - began < 2  # a tenth of the rows; measured: 0.1 s


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": "wen"}, "time: the records have no column 'wen'.*Did you mean 'when'"),
        ({"time": "ward"}, "time: 'ward' holds str, but the date"),
        ({"every": "months"}, "every: 'months' is not one of day, week.*Did you mean 'month'"),
        ({"by": "war"}, "by: the records have no column 'war'"),
        ({"values": {"x": "harm"}}, r"values: x is 'harm', but a way \(sum, mean, share\)"),
        ({"values": {"x": ("median", "harm")}}, "but a way"),
        ({"values": {"x": ("sum", "sex")}}, "values: 'sex' is not numeric, so it has no sum"),
        ({"values": {"x": ("sum", "harms")}}, "values: the records have no column 'harms'"),
        ({"values": {"events": ("sum", "harm")}}, "cannot be called 'events'"),
        ({"values": {"a": ("share", "sex"), "a_male": ("sum", "harm")}}, "a_male would be made twice"),
        ({"values": {"a": ("share", "many")}}, "'many' has 40 different values, too many"),
        ({"covers": ("2022-13", "2023")}, "covers: .* is not a first and a last"),
        ({"covers": ("2023", "2022")}, "the first, 2023, lies after the last, 2022"),
        ({"covers": ("2021", "2021")}, "covers: no record lies from 2021-01-01 to 2021-12-31"),
        ({"covers": ("2022-01-02", "2022-01-31")}, "cover no whole period"),
        ({"denominators": pd.DataFrame({"week": [1]})}, "neither a column 'month' nor a column 'year'"),
        (
            {"denominators": pd.DataFrame({"year": [1], "n": ["x"]})},
            "must have numeric columns only; it has n",
        ),
        ({"denominators": pd.DataFrame({"year": [1, 1], "n": [1, 2]})}, "1 row repeat an earlier year"),
        ({"denominators": pd.DataFrame({"year": [1], "days": [1]})}, "days is also a column of the series"),
    ],
)
def test_what_does_not_fit(change, said):
    at = pd.date_range("2022-01-02", "2022-06-30", periods=40)
    records = pd.DataFrame({"when": at, "ward": "A", "harm": 1.0, "sex": "Male", "many": range(40)})
    with pytest.raises(DataError, match=said):
        time_series(records, **({"time": "when"} | change))


def test_dates_that_cannot_be():
    with pytest.raises(DataError, match="no record has a date in 'when'"):
        time_series(pd.DataFrame({"when": days(None, None)}), "when")
    wild = pd.DataFrame({"when": days("1900-01-01", "2022-01-01", "2022-02-01")})
    with pytest.raises(DataError, match=r"makes 44,\d{3} periods"):
        time_series(wild, "when", every="day")
