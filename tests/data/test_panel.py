"""Events by unit and period: zeros, denominators, accounts; and the same panel from every engine."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from qieval.data import Extract, panel, simulate
from qieval.errors import DataError, DependencyError

BIG = ("ibis", "duckdb", "pyarrow_hotfix")
ABSENT = [package for package in BIG if importlib.util.find_spec(package) is None]
needs_big = pytest.mark.skipif(
    bool(ABSENT), reason=f"the extra 'big' is not complete: no {', '.join(ABSENT)}"
)


@pytest.fixture
def events():
    return pd.DataFrame(
        {
            "site": ["A", "A", "A", "B", None, "B", "C"],
            "day": pd.to_datetime(
                [
                    "2022-01-31",
                    "2022-01-01",
                    "2022-03-15",
                    "2022-02-28 23:59",
                    "2022-02-01",
                    None,
                    "2022-05-01",
                ],
                format="ISO8601",
            ),
            "nights": [2, 0, 5, 1, 9, 9, 3],
            "cost": [1.5, 2.25, np.nan, 4.0, 9.0, 9.0, 1.0],
        }
    )


@pytest.fixture
def people():
    return pd.DataFrame({"site": ["A", "B", "D"], "people": [1000, 500, 2000]})


def test_by_hand(events, people):
    got = panel(
        events, unit="site", time="day", population=people, values={"bed_days": "nights", "paid": "cost"}
    )
    wide = got.frame.pivot(index="site", columns="month", values="events")
    assert wide.loc["A"].to_dict() == {"2022-01": 2, "2022-02": 0, "2022-03": 1, "2022-04": 0, "2022-05": 0}
    assert wide.loc["B"].tolist() == [0, 1, 0, 0, 0]
    assert wide.loc["D"].tolist() == [0, 0, 0, 0, 0]
    row = got.frame.set_index(["site", "month"]).loc[("A", "2022-01")]
    assert row["bed_days"] == 2 and row["paid"] == 3.75 and row["people"] == 1000
    assert row["events_per_1000"] == 2.0
    assert got.frame["bed_days"].dtype == "int64"
    assert got.attrition[["reason", "rows"]].values.tolist() == [
        ["read from a frame of events", 7],
        ["unit is missing", 6],
        ["date is missing", 5],
        ["unit is not in the population", 4],
        ["counted by site and month", 15],
    ]
    assert got.notes == ("cost: 1 event without a value add nothing to its sum.",)


def test_without_a_population_only_units_that_occur_are_known(events):
    got = panel(events, unit="site", time="day").frame
    assert got["site"].unique().tolist() == ["A", "B", "C"]
    assert list(got) == ["site", "month", "events"]
    assert got["events"].sum() == 5


@pytest.mark.parametrize(
    ("every", "labels"),
    [
        ("month", ["2022-01", "2022-02", "2022-03", "2022-04", "2022-05"]),
        ("quarter", ["2022Q1", "2022Q2"]),
        ("year", ["2022"]),
    ],
)
def test_periods(events, every, labels):
    assert panel(events, unit="site", time="day", every=every).frame[every].unique().tolist() == labels


def test_weeks_are_named_by_their_monday(events):
    weeks = panel(events, unit="site", time="day", every="week").frame["week"].drop_duplicates().sort_values()
    assert weeks.iloc[0] == "2021-12-27" and weeks.iloc[-1] == "2022-04-25"
    assert (pd.to_datetime(weeks).dt.day_of_week == 0).all()
    assert len(weeks) == 18


def test_a_population_by_period_decides_the_periods(events):
    people = pd.DataFrame(
        {"site": ["A", "A", "B", "B"], "month": ["2022-01", "2022-02"] * 2, "list_size": [10, 0, 20, np.nan]}
    )
    got = panel(events, unit="site", time="day", population=people)
    assert got.frame["events"].tolist() == [2, 0, 0, 1]
    assert got.frame["events_per_1000"].isna().tolist() == [False, True, False, True]
    assert "list_size: 2 rows of the panel have no people" in got.notes[0]
    assert got.attrition["reason"].tolist()[-3:-1] == [
        "unit is not in the population",
        "period is not in the population",
    ]
    assert got.attrition["rows"].tolist() == [7, 6, 5, 4, 3, 4]


def test_the_account_of_an_extract_goes_on(events):
    extract = Extract(frame=events, source="visits.csv", notes=("nights: read.",))
    extract = extract.keep(events["nights"] < 9, "stay over eight nights")
    got = panel(extract, unit="site", time="day")
    assert got.source == "visits.csv" and got.notes == ("nights: read.",)
    assert got.attrition["reason"].tolist() == [
        "read from visits.csv",
        "stay over eight nights",
        "counted by site and month",
    ]


def test_the_simulated_admissions_make_the_simulated_panel():
    study = simulate(practices=15, people=300, pilots=5)
    emergency = study.admissions[study.admissions["method"] == "emergency"]
    people = study.panel[["practice", "month", "list_size"]]
    got = panel(
        emergency, unit="practice", time="admitted", population=people, values={"bed_days": "nights"}
    ).frame
    wanted = study.panel[
        ["practice", "month", "list_size", "emergency_admissions", "bed_days", "admissions_per_1000"]
    ]
    wanted = wanted.rename(
        columns={"emergency_admissions": "events", "admissions_per_1000": "events_per_1000"}
    )
    pd.testing.assert_frame_equal(got, wanted, check_like=True)


@needs_big
@pytest.mark.parametrize("every", ["week", "month", "quarter", "year"])
def test_duckdb_gives_the_same_panel(events, people, every, tmp_path):
    file = tmp_path / "events.parquet"
    events.to_parquet(file)
    arguments = {"unit": "site", "time": "day", "every": every, "population": people}
    sums = {"bed_days": "nights", "paid": "cost"}
    wanted, got = (panel(given, values=sums, **arguments) for given in (events, file))
    pd.testing.assert_frame_equal(got.frame, wanted.frame)
    assert got.attrition["rows"].tolist() == wanted.attrition["rows"].tolist()
    assert got.attrition["reason"].tolist()[1:] == wanted.attrition["reason"].tolist()[1:]
    assert got.notes == wanted.notes
    assert got.source == "events.parquet"


@needs_big
def test_an_ibis_table_is_counted_where_it_is(events, tmp_path):
    import ibis

    file = tmp_path / "events.parquet"
    events.to_parquet(file)
    table = ibis.duckdb.connect().read_parquet(file, table_name="visits")
    got = panel(table, unit="site", time="day")
    pd.testing.assert_frame_equal(got.frame, panel(events, unit="site", time="day").frame)
    assert got.source == "table visits"
    filtered = panel(table.filter(table.nights < 5), unit="site", time="day")
    assert filtered.frame["events"].sum() == 4
    assert filtered.source == "an ibis expression"


@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None, reason="pyspark (the extra 'spark') is not installed"
)
def test_spark_gives_the_same_panel(events, tmp_path):
    import ibis
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    events.to_parquet(tmp_path / "events.parquet", coerce_timestamps="us")
    table = ibis.pyspark.connect(session).read_parquet(tmp_path / "events.parquet")
    sums = {"bed_days": "nights", "paid": "cost"}
    got, wanted = (panel(given, unit="site", time="day", values=sums).frame for given in (table, events))
    pd.testing.assert_frame_equal(got, wanted)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": "sites"}, "unit: the events have no column 'sites'. Did you mean 'site'"),
        ({"time": "nights"}, "time: 'nights' holds int64, but the date of each event is needed"),
        ({"every": "months"}, "Did you mean 'month'"),
        ({"values": {"n": "site"}}, "values: 'site' is not numeric"),
        ({"values": {"events": "nights"}}, "cannot be called 'events'"),
        ({"population": pd.DataFrame({"ward": [1]})}, "population: it has no column 'site'"),
        ({"population": pd.DataFrame({"site": ["A"], "a": [1], "b": [1]})}, "exactly one numeric column"),
        ({"population": pd.DataFrame({"site": ["A", "A"], "n": [1, 2]})}, "1 row repeat an earlier site"),
        ({"population": pd.DataFrame({"site": ["A", None], "n": [1, 2]})}, "1 row without site"),
    ],
)
def test_what_does_not_fit(events, changes, words):
    with pytest.raises(DataError, match=words):
        panel(events, **({"unit": "site", "time": "day"} | changes))


def test_nothing_to_count(events):
    with pytest.raises(DataError, match="nothing to count"):
        panel(events.assign(day=pd.NaT), unit="site", time="day")


def test_files_that_are_not_there(tmp_path, events):
    events.to_parquet(tmp_path / "visits.parquet")
    with pytest.raises(DataError, match=r"Did you mean 'visits.parquet'"):
        panel(tmp_path / "visit.parquet", unit="site", time="day")
    with pytest.raises(DataError, match="not a Parquet file"):
        panel(tmp_path / "visits.csv", unit="site", time="day")
    with pytest.raises(DataError, match="not list"):
        panel([1, 2], unit="site", time="day")


@pytest.mark.parametrize("package", ["ibis", "duckdb"])
def test_without_the_optional_packages(monkeypatch, tmp_path, events, package):
    events.to_parquet(tmp_path / "visits.parquet")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"package {package}.*qieval\[big\]"):
        panel(tmp_path / "visits.parquet", unit="site", time="day")
