"""The calendar agrees with other calendars, day by day."""

import datetime

import numpy as np
import pandas as pd
import pytest
from dateutil.easter import easter

from qieval.calendar import (
    DAY_NAMES,
    bank_holidays,
    days_in_period,
    easter_days,
    easter_sundays,
    weekday_counts,
    working_days,
)
from qieval.errors import DataError

RHYTHMS = ["D", "W-SUN", "W-WED", "M", "Q-DEC", "Q-MAR", "Y-DEC", "Y-MAR"]

PUBLISHED = """
2019-01-01 2019-04-19 2019-04-22 2019-05-06 2019-05-27 2019-08-26 2019-12-25 2019-12-26
2020-01-01 2020-04-10 2020-04-13 2020-05-08 2020-05-25 2020-08-31 2020-12-25 2020-12-28
2021-01-01 2021-04-02 2021-04-05 2021-05-03 2021-05-31 2021-08-30 2021-12-27 2021-12-28
2022-01-03 2022-04-15 2022-04-18 2022-05-02 2022-06-02 2022-06-03 2022-08-29 2022-09-19
2022-12-26 2022-12-27
2023-01-02 2023-04-07 2023-04-10 2023-05-01 2023-05-08 2023-05-29 2023-08-28 2023-12-25 2023-12-26
2024-01-01 2024-03-29 2024-04-01 2024-05-06 2024-05-27 2024-08-26 2024-12-25 2024-12-26
"""
"""The bank holidays of England and Wales from 2019 to 2024."""


def periods(rhythm: str) -> pd.PeriodIndex:
    """Twelve years in an order that is not that of time, with gaps."""
    every = pd.period_range("1966-01-01", "1977-12-31", freq=rhythm)
    return every[np.random.default_rng(1).permutation(len(every))[: 2 * len(every) // 3]]


def days_of(label: pd.Period) -> list[datetime.date]:
    return [day.date() for day in pd.date_range(label.start_time.normalize(), label.end_time, freq="D")]


def test_easter_is_that_of_dateutil():
    years = np.arange(1583, 4100)
    assert easter_sundays(years).astype(object).tolist() == [easter(int(year)) for year in years]


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_every_count_by_walking_through_the_days(rhythm):
    labels = periods(rhythm)
    good_friday_to_monday = {
        easter(year) + datetime.timedelta(days=shift)
        for year in range(1965, 1980)
        for shift in (-2, -1, 0, 1)
    }
    walked = [days_of(label) for label in labels]
    assert days_in_period(labels).tolist() == [len(days) for days in walked]
    shares = [sum(day in good_friday_to_monday for day in days) / 4 for days in walked]
    assert easter_days(labels).tolist() == shares
    counted = weekday_counts(labels)
    assert counted.columns.tolist() == list(DAY_NAMES) and counted.index.equals(labels)
    for number, name in enumerate(DAY_NAMES):
        assert counted[name].tolist() == [sum(day.weekday() == number for day in days) for days in walked]


def test_easter_between_months_weeks_and_years():
    assert easter_days(pd.period_range("2018-03", "2018-05", freq="M")).tolist() == [0.5, 0.5, 0]
    assert easter_days(pd.period_range("2018-03-26", periods=2, freq="W-SUN")).tolist() == [0.75, 0.25]
    assert easter_days(pd.period_range("1900", "2100", freq="Y")).tolist() == [1.0] * 201


def test_bank_holidays_are_those_that_were_published():
    days = pd.period_range("2019-01-01", "2024-12-31", freq="D")
    held = days[bank_holidays(days) == 1].astype(str)
    assert " ".join(held) == " ".join(PUBLISHED.split())
    assert set(bank_holidays(days)) == {0, 1}


def test_years_have_eight_bank_holidays_but_for_occasions():
    years = pd.period_range("1978", "2023", freq="Y")
    counts = dict(zip(years.year, bank_holidays(years), strict=True))
    more = dict.fromkeys((1981, 1999, 2002, 2011, 2012, 2023), 1) | {2022: 2}
    # New Year's Day of a year is never held in the year before, nor Christmas in the next.
    assert counts == {year: 8 + more.get(year, 0) for year in years.year}


def test_bank_holidays_are_weekdays_and_no_working_days():
    days = pd.period_range("1978-01-01", "2030-12-31", freq="D")
    held = bank_holidays(days) == 1
    assert (days[held].day_of_week < 5).all()
    assert (working_days(days) == ((days.day_of_week < 5) & ~held)).all()
    assert working_days(pd.PeriodIndex(["2022-06"], freq="M")).tolist() == [20]


def test_no_periods():
    none = pd.PeriodIndex([], freq="M")
    assert len(days_in_period(none)) == len(easter_days(none)) == len(bank_holidays(none)) == 0
    assert weekday_counts(none).shape == (0, 7)


@pytest.mark.parametrize("count", [days_in_period, easter_days, weekday_counts, bank_holidays, working_days])
def test_what_is_no_calendar(count):
    with pytest.raises(DataError, match="labels: a pandas PeriodIndex is needed, not Index"):
        count(pd.Index(["2022-04"]))
    with pytest.raises(DataError, match="their rhythm is 'h'"):
        count(pd.period_range("2022-04-01", periods=3, freq="h"))
    with pytest.raises(DataError, match="1 period of them missing"):
        count(pd.PeriodIndex(["2022-04", None], freq="M"))


def test_bank_holidays_before_todays_rules():
    with pytest.raises(DataError, match=r"known from 1978 on, but the periods begin in 1977"):
        bank_holidays(pd.period_range("1977-12", "1978-02", freq="M"))
