"""Series as they come: every one is estimated rightly or refused with one message that says what to do.

Warnings are errors here, so that nothing odd happens silently on the way.
"""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.errors import DataError, DesignError, EstimationError, QievalError

pytestmark = pytest.mark.filterwarnings("error")

PERIODS, HALF = 48, 24
MONTHS = pd.period_range("2019-01", periods=PERIODS, freq="M")
STATED = {"outcome": "y", "time": "month", "start": "2021-01", "inference": "independent errors"}
COUNTED = {"outcome": "events", "denominator": "people"}


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "month": MONTHS.astype(str),
            "y": 100 + draw.normal(0, 5, PERIODS).round(3),
            "events": draw.poisson(80, PERIODS),
            "people": 10_000 + 10 * np.arange(PERIODS),
            "other": 50 + draw.normal(0, 3, PERIODS).round(3),
            "others": draw.poisson(60, PERIODS),
            "residents": 8_000 - 5 * np.arange(PERIODS),
            "age": draw.normal(50, 2, PERIODS),
            "line": np.arange(PERIODS) * 3.0,
            "words": "none",
        }
    )


def stated(**fields):
    return qe.InterruptedTimeSeries(**STATED | fields)


def attempt(frame, **fields):
    """The result, with no NaN among its figures."""
    result = qe.estimate(stated(**fields), frame)
    figures = result.estimates[["estimate", "std_error", "conf_low", "conf_high"]]
    assert np.isfinite(figures.to_numpy()).all()
    return result


def refused(frame, error, *words, **fields):
    """One problem, which begins with the field it concerns and ends with what to do."""
    with pytest.raises(QievalError) as raised:
        qe.estimate(stated(**fields), frame)
    assert type(raised.value) is error, raised.value
    assert len(raised.value.problems) == 1, raised.value.problems
    problem = raised.value.problems[0]
    for each in words:
        assert each in problem, problem
    assert problem.endswith(".") and ": " in problem
    return raised.value


def first(result):
    return result.estimates.loc[0, ["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(float)


def without(frame, column, row, value=np.nan):
    held = frame[column].astype(object if isinstance(value, str) else float)
    return frame.assign(**{column: held.where(np.arange(len(frame)) != row, value)})


def in_month(frame, labels):
    return frame.assign(month=labels)


STARTS = MONTHS.to_timestamp()
SAME_MONTHS = {
    "periods": MONTHS,
    "objects": list(MONTHS),
    "timestamps": STARTS,
    "python datetimes": [each.to_pydatetime() for each in STARTS],
    "python dates": [each.date() for each in STARTS],
    "texts of dates": STARTS.strftime("%Y-%m-%d"),
    "month ends": STARTS + pd.offsets.MonthEnd(0),
    "texts of month ends": (STARTS + pd.offsets.MonthEnd(0)).strftime("%Y-%m-%d"),
    "in the middle": STARTS + pd.Timedelta(days=14),
    "at nine o'clock": STARTS + pd.Timedelta(hours=9),
    "one time zone": STARTS.tz_localize("Europe/London"),
    "universal time": STARTS.tz_localize("UTC"),
    "category": pd.Categorical(MONTHS.astype(str)),
    "string": pd.array(MONTHS.astype(str), dtype="string"),
}


@pytest.mark.parametrize("form", SAME_MONTHS)
def test_months_in_every_form(form, data):
    result = attempt(in_month(data, SAME_MONTHS[form]), seasonality="harmonics")
    plain = attempt(data, seasonality="harmonics")
    pd.testing.assert_frame_equal(result.estimates, plain.estimates)
    assert result.facts["one period is a"] == "month" and result.notes == plain.notes


RHYTHMS = [
    ("D", "2019-01-25", "day"),
    ("h", "2019-01-02", "hour"),
    ("7D", "2019-06-18", "week"),
    ("14D", "2019-12-03", "period"),
    ("QS", "2025-01-01", "quarter"),
    ("QS-FEB", "2025-02-01", "period"),
    ("2MS", "2023-01-01", "period"),
    ("YS", "2043", "year"),
    ("YS-APR", "2043-04-01", "period"),
]


@pytest.mark.parametrize(("rhythm", "start", "word"), RHYTHMS)
def test_rhythms(rhythm, start, word, data):
    """Whatever a period is, the series and its answer are those of the same values by month."""
    dates = pd.date_range("2019-01-01", periods=PERIODS, freq=rhythm)
    result = attempt(in_month(data, dates), start=start)
    assert result.facts["one period is a"] == word
    assert result.facts["periods before"] == HALF
    np.testing.assert_allclose(first(result), first(attempt(data)), rtol=1e-9)


NUMBERS = {
    "whole": (np.arange(PERIODS), 24),
    "floats": (np.arange(1970, 1970 + PERIODS) * 1.0, 1994),
    "nullable": (pd.array(np.arange(1970, 1970 + PERIODS), dtype="Int64"), 1994),
    "negative": (np.arange(-HALF, HALF), 0),
    "every second": (np.arange(0, 2 * PERIODS, 2), 48),
    "years as text": (np.arange(1970, 1970 + PERIODS).astype(str), "1994"),
    "years as text, start a number": (np.arange(1970, 1970 + PERIODS).astype(str), 1994),
    "small numbers as text": (np.arange(PERIODS).astype(str), "24"),
}


@pytest.mark.parametrize("form", NUMBERS)
def test_numbers_as_time(form, data):
    labels, start = NUMBERS[form]
    result = attempt(in_month(data, labels), start=start)
    np.testing.assert_allclose(first(result), first(attempt(data)), rtol=1e-9)


UNREAD = {
    "day first": (STARTS.strftime("%d/%m/%Y"), "cannot be read as a period"),
    "month name": (STARTS.strftime("%b %Y"), "'Jan 2019'"),
    "slashes": (STARTS.strftime("%Y/%m"), "cannot be read as a period"),
    "digits": (STARTS.strftime("%Y%m"), "cannot be read as a period"),
    "digits as numbers": (STARTS.strftime("%Y%m").astype(int), "follow no rhythm"),
    "iso weeks": ([f"2019-W{each:02d}" for each in range(1, PERIODS + 1)], "cannot be read as a period"),
    "several time zones": (
        [
            pd.Timestamp(each, tz="UTC" if at % 2 else "Asia/Tokyo").to_pydatetime()
            for at, each in enumerate(STARTS)
        ],
        "cannot be read as a period",
    ),
    "a year among months": (["2019", *MONTHS.astype(str)[1:]], "mixes periods of different length"),
    "months and dates": (
        [str(each) if at % 2 else each.start_time.date() for at, each in enumerate(MONTHS)],
        "mixes periods of different length",
    ),
    "one day late": (
        [each + pd.Timedelta(days=int(at == 5)) for at, each in enumerate(STARTS)],
        "follow no rhythm",
    ),
    "any date": (STARTS[0] + pd.to_timedelta(np.cumsum(np.tile([3, 50, 11, 27], 12)), "D"), "no rhythm"),
    "odd hours": (STARTS + pd.to_timedelta(np.arange(PERIODS) % 3, "h"), "follow no rhythm"),
    "half hours": (pd.date_range("2019-01-01", periods=PERIODS, freq="30min"), "follow no rhythm"),
    "half years": (np.arange(1970, 1970 + PERIODS) + 0.5, "fractions such as 1970.5"),
    "infinite": (np.where(np.arange(PERIODS) == 3, np.inf, np.arange(PERIODS)), "infinite"),
    "truth": (np.arange(PERIODS) % 2 == 0, "true and false"),
    "a gap": ([None if at == 7 else str(each) for at, each in enumerate(MONTHS)], "empty in 1 row"),
    "no such date": (["2019-02-30", *STARTS.strftime("%Y-%m-%d")[1:]], "does not exist"),
}


@pytest.mark.parametrize("form", UNREAD)
def test_time_that_cannot_be_read(form, data):
    labels, words = UNREAD[form]
    problem = refused(in_month(data, labels), DataError, words).problems[0]
    assert problem.startswith("time")


def test_rows_in_any_order(data):
    mixed = data.sample(frac=1, random_state=1)
    np.testing.assert_allclose(first(attempt(mixed)), first(attempt(data)), rtol=1e-12)


def test_repeated_periods(data):
    refused(pd.concat([data, data.head(2)]), DataError, "2 periods", "several rows", "Aggregate first")


def test_missing_periods_and_empty_outcomes_are_the_same(data):
    """No row, an empty outcome and a period left out: the same estimate, and the distance is kept."""
    gone = attempt(data.drop(index=[10, 30]), inference="AR errors by REML")
    empty = attempt(without(without(data, "y", 10), "y", 30), inference="AR errors by REML")
    left = {"2019-11": "a strike", "2021-07": "a fire"}
    named = attempt(data, inference="AR errors by REML", left_out=left)
    np.testing.assert_allclose(first(gone), first(empty), rtol=1e-12)
    np.testing.assert_allclose(first(gone), first(named), rtol=1e-12)
    said = "there is no value in 2 periods (2019-11, 2021-07)"
    assert any(said in note for note in gone.notes) and any(said in note for note in empty.notes)
    assert "Left out of the computation: 2019-11 (a strike)." in named.notes
    assert named.facts["periods left out"] == 2 and gone.facts["periods left out"] == 0


def test_the_first_period_with_the_intervention_is_missing(data):
    result = attempt(data.drop(index=[HALF]))
    assert result.facts["periods before"] == HALF and result.facts["periods after"] == HALF - 1
    assert result.estimates.query("term == 'effect in period'")["at"].min() == 1


DENOMINATORS = pytest.mark.parametrize("family", ["gaussian", "poisson", "quasi-poisson", "binomial"])


@DENOMINATORS
@pytest.mark.parametrize("value", [0, -5])
@pytest.mark.parametrize("row", [10, 40])
def test_denominators_of_nobody(family, value, row, data):
    frame = without(data, "people", row, value)
    refused(frame, DataError, "zero or less in 1 period", "left_out", **COUNTED, family=family)
    left = {str(MONTHS[row]): "nobody was there"}
    named = attempt(frame, **COUNTED, family=family, left_out=left)
    gone = attempt(data.drop(index=row), **COUNTED, family=family)
    np.testing.assert_allclose(first(named), first(gone), rtol=1e-9)


@DENOMINATORS
def test_empty_denominators(family, data):
    frame = without(data, "people", 10)
    refused(frame, DataError, "'people' is empty in 1 row", **COUNTED, family=family)
    kept = attempt(frame, **COUNTED, family=family, missing="complete cases")
    gone = attempt(data.drop(index=10), **COUNTED, family=family)
    np.testing.assert_allclose(first(kept), first(gone), rtol=1e-12)


def constant(value, after=None):
    return np.where(np.arange(PERIODS) < HALF, value, value if after is None else after)


COUNTS = ("chosen from the outcome", "poisson", "quasi-poisson", "negative binomial")
ONE_SIDE = "no finite ratio"
FLAT = [
    *[({"family": family}, constant(0), DataError, "zero in every period") for family in COUNTS],
    *[({"family": family}, constant(9, 0), EstimationError, ONE_SIDE) for family in COUNTS],
    *[({"family": family}, constant(0, 9), EstimationError, ONE_SIDE) for family in COUNTS],
    ({"family": "gaussian"}, constant(0), DataError, "same value in every period"),
    ({}, constant(9), DataError, "same value in every period"),
    ({"inference": "recommended"}, constant(3.3), DataError, "same value in every period"),
    ({"change": "any"}, constant(9), DataError, "same value in every period"),
    ({"change": "any"}, constant(9, 0), EstimationError, "values after the start are zero"),
    ({"change": "any"}, constant(0, 9), EstimationError, ONE_SIDE),
    ({"change": "any"}, np.arange(PERIODS) / 2, EstimationError, "leave nothing"),
    ({"inference": "AR errors by REML"}, np.arange(PERIODS) / 2, EstimationError, "exactly"),
    ({"inference": "Prais-Winsten"}, np.arange(PERIODS) / 2, EstimationError, "Prais-Winsten"),
    ({"model": "ARIMA", "arima": "1,0,0"}, np.arange(PERIODS) / 2, EstimationError, "leave nothing"),
    ({"model": "structural time series"}, np.arange(PERIODS) / 2, EstimationError, "leave nothing"),
]


@pytest.mark.parametrize(("fields", "values", "error", "words"), FLAT)
def test_nothing_varies(fields, values, error, words, data):
    refused(data.assign(y=values), error, words, **fields)


def test_everybody_or_nobody_out_of_the_denominator(data):
    frame = data.assign(events=data["people"])
    refused(frame, EstimationError, "equal to the denominator", **COUNTED, family="binomial")


def test_counts_that_do_not_vary_can_be_compared_where_chance_is_known(data):
    """A Poisson count has a spread of its own: the error of a mean of 24 counts of 9 on each side."""
    result = attempt(data.assign(y=9), family="poisson", change="level", trend="none")
    assert result.estimates.loc[0, "estimate"] == pytest.approx(1)
    assert result.estimates.loc[0, "std_error"] == pytest.approx(np.sqrt(2 / (9 * HALF)))


STARTS_THAT_DO_NOT_FIT = [
    ("2018-01", "no period lies before 2018-01 (the data begin at 2019-01)"),
    ("2019-01", "no period lies before"),
    ("2023-01", "no period lies at or after 2023-01 (the data end at 2022-12)"),
    ("2030", "no period lies at or after"),
    ("2022-12", "1 month with a value after 2022-12; a change of slope needs at least 3"),
    ("2019-03", "2 months with a value before 2019-03"),
    ("01/02/2021", "is not a date, but the time column holds dates"),
    ("Jan 2021", "is not a date"),
    ("2021-13", "is not a date that exists"),
    (5, "is not a date"),
    (2021.5, "is not a date"),
    (True, "is not a date"),
    (float("nan"), "is not a date"),
]


@pytest.mark.parametrize(("start", "words"), STARTS_THAT_DO_NOT_FIT)
def test_starts_that_do_not_fit(start, words, data):
    assert refused(data, DataError, words, start=start).about("start")


@pytest.mark.parametrize(
    "start",
    [
        "2021-01-01",
        "2021",
        "2021Q1",
        2021,
        datetime.date(2021, 1, 1),
        datetime.datetime(2021, 1, 1),
        pd.Timestamp("2021-01-01"),
        pd.Timestamp("2021-01-01", tz="Europe/London"),
        pd.Period("2021-01", "M"),
        np.datetime64("2021-01-01"),
    ],
)
def test_starts_in_every_form(start, data):
    np.testing.assert_allclose(first(attempt(data, start=start)), first(attempt(data)), rtol=1e-12)


@pytest.mark.parametrize("start", ["2021-01-15", datetime.datetime(2021, 1, 1, 3)])
def test_a_start_inside_a_period(start, data):
    result = attempt(data, start=start)
    assert result.facts["periods before"] == HALF + 1
    assert any("lies inside the period 2021-01, which counts as before" in note for note in result.notes)
    np.testing.assert_allclose(first(result), first(attempt(data, start="2021-02")), rtol=1e-12)


@pytest.mark.parametrize("inference", ["recommended", "independent errors", "Newey-West", "Prais-Winsten"])
def test_three_periods_after(inference, data):
    """Three suffice, with intervals that show how little that is; two do not, and a level needs but one."""
    result = attempt(data.head(HALF + 3), inference=inference)
    assert result.facts["periods after"] == 3
    refused(data.head(HALF + 2), DataError, "2 months", "Wait for more data", inference=inference)
    attempt(data.head(HALF + 1), inference=inference, change="level")
    refused(data.head(HALF), DataError, "no period lies at or after", inference=inference)


def test_few_periods_before(data):
    refused(data.iloc[HALF - 2 :], DataError, "2 months with a value before", "Add earlier periods")
    attempt(data.iloc[HALF - 3 :])
    refused(data.iloc[HALF - 3 : HALF + 3], EstimationError, "too few", inference="AR errors by REML")
    few = data.iloc[HALF - 3 : HALF + 3]
    refused(few, DataError, "6 values for 8 coefficients", seasonality="harmonics")


FORMS = {
    "float64": lambda y: y.astype("Float64"),
    "objects": lambda y: y.astype(object),
    "nothing": lambda y: y.astype(object).where(y.index != 7, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_amounts_in_every_form(form, data):
    frame = data.assign(y=FORMS[form](data["y"]))
    same = without(data, "y", 7) if form == "nothing" else data
    np.testing.assert_allclose(first(attempt(frame)), first(attempt(same)), rtol=1e-12)


@pytest.mark.parametrize("kind", ["int8", "uint64", "Int64", "float32", "object"])
def test_counts_in_every_form(kind, data):
    frame = data.assign(events=data["events"].astype(kind))
    plain = attempt(data, **COUNTED)
    np.testing.assert_allclose(first(attempt(frame, **COUNTED)), first(plain), rtol=1e-9)
    if kind == "Int64":
        gap = frame.assign(events=frame["events"].where(frame.index != 7, pd.NA))
        same = attempt(data.drop(index=7), **COUNTED)
        np.testing.assert_allclose(first(attempt(gap, **COUNTED)), first(same), rtol=1e-9)


def test_truth_counts_as_one_and_nought(data):
    truth = data["events"] > data["events"].median()
    plain = attempt(data.assign(y=truth.astype(int)))
    for form in (truth, truth.astype("boolean")):
        np.testing.assert_allclose(first(attempt(data.assign(y=form))), first(plain), rtol=1e-9)


OUTCOMES_THAT_DO_NOT_FIT = [
    (lambda y: y.where(y.index != 7, np.inf), "1 infinite value"),
    (lambda y: y.astype(object).where(y.index != 7, "*"), "text in 1 row"),
    (lambda y: y.astype(str), "numbers stored as text"),
    (lambda y: [Decimal(str(each)) for each in y], "Convert it first"),
    (lambda y: y.astype("category"), "Convert it first"),
    (lambda y: pd.to_timedelta(y, "D"), "Convert it first"),
    (lambda y: y * np.nan, "0 months with a value before"),
    (lambda y: y.where(y.index >= HALF), "0 months with a value before"),
    (lambda y: y.where(y.index < HALF), "0 months with a value after"),
]


@pytest.mark.parametrize(("change", "words"), OUTCOMES_THAT_DO_NOT_FIT)
def test_outcomes_that_do_not_fit(change, words, data):
    refused(data.assign(y=change(data["y"])), DataError, words)


def test_tables_that_do_not_fit(data):
    refused(data.head(0), DataError, "no rows")
    refused(data.head(1), DataError, "no period lies at or after")
    refused(data.drop(columns="y"), DataError, "no column 'y'")
    refused(pd.concat([data, data[["y"]]], axis=1), DataError, "occurs twice")
    with pytest.raises(DataError, match="a pandas DataFrame or an Extract is needed"):
        qe.estimate(stated(), data.to_numpy())


@pytest.mark.parametrize("family", ["poisson", "quasi-poisson", "negative binomial", "binomial"])
def test_negative_counts(family, data):
    frame = without(data, "events", 5, -3)
    refused(frame, DataError, "1 negative value", "family='gaussian'", **COUNTED, family=family)


def test_a_chosen_family_says_why(data):
    negative = attempt(without(data, "events", 5, -3), outcome="events")
    assert negative.facts["family"] == "gaussian"
    assert any("fractions or negative values" in note for note in negative.notes)
    half = attempt(data.assign(events=data["events"] + 0.5), outcome="events")
    assert half.facts["family"] == "gaussian"
    assert attempt(data, outcome="events").facts["family"] == "quasi-poisson"


@pytest.mark.parametrize("family", ["poisson", "negative binomial", "binomial", "quasi-binomial"])
def test_fractions_of_events(family, data):
    frame = data.assign(events=data["events"] + 0.5)
    refused(frame, DataError, "outcome: the series holds fractions", **COUNTED, family=family)
    shared = {"controls": ("other",), "control_denominators": ("people",)}
    refused(data, DataError, "controls: the series holds fractions", **COUNTED, **shared, family=family)


@pytest.mark.parametrize("family", ["binomial", "quasi-binomial"])
def test_more_cases_than_people(family, data):
    few = data.assign(people=70)
    refused(few, DataError, "exceeds its denominator", **COUNTED, family=family)
    assert attempt(few, **COUNTED, family="quasi-poisson").facts["family"] == "quasi-poisson"


def test_huge_counts(data):
    """A million million times the events and the people: the same rate ratio."""
    frame = data.assign(events=data["events"] * 10**12, people=data["people"] * 10**12)
    for family in ("quasi-poisson", "negative binomial", "binomial"):
        found = attempt(frame, **COUNTED, family=family).estimates.loc[0]
        plain = attempt(data, **COUNTED, family=family).estimates.loc[0]
        near = 1e-2 if family == "negative binomial" else 1e-7  # its weights follow from the size of counts
        assert found["estimate"] == pytest.approx(plain["estimate"], rel=near)
        if family == "quasi-poisson":
            assert found["std_error"] == pytest.approx(plain["std_error"], rel=1e-7)


@pytest.mark.parametrize("size", [1e-12, 1e12])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"inference": "recommended"},
        {"inference": "Newey-West"},
        {"inference": "Prais-Winsten"},
        {"model": "ARIMA", "arima": "1,0,0"},
        {"model": "structural time series"},
        {"change": "any"},
    ],
    ids=lambda fields: "-".join(fields.values()),
)
def test_tiny_and_huge_amounts(size, fields, data):
    plain = first(attempt(data, family="gaussian", **fields))
    scaled = first(attempt(data.assign(y=data["y"] * size), family="gaussian", **fields))
    np.testing.assert_allclose(scaled / size, plain, rtol=1e-4)


def test_the_leap_day(data):
    days = pd.date_range("2020-02-01", periods=PERIODS, freq="D")
    result = attempt(in_month(data, days), start="2020-02-29", seasonality="one per season")
    assert (result.facts["periods before"], result.facts["one period is a"]) == (28, "day")


def test_a_year_of_53_weeks(data):
    """2020 had 53 weeks: the calendar counts on, and a season is 365.25 / 7 weeks long."""
    weeks = pd.date_range("2020-06-01", periods=PERIODS, freq="7D")
    result = attempt(in_month(data, weeks), start="2020-12-28", seasonality="harmonics", harmonics=1)
    assert (result.facts["periods before"], result.facts["one period is a"]) == (30, "week")
    assert result.kernel.made.season == 365.25 / 7
    words = "52.1786 periods has no whole number of values"
    refused(in_month(data, weeks), EstimationError, words, start="2020-12-28", seasonality="one per season")


LEFT_OUT = [
    ("2018-01", "no period of the data lies in"),
    ("2030-01 to 2031-01", "no period of the data lies in"),
    ("2018-06 to 2019-03", "begins before the data do (2019-01)"),
    ("2020-06 to 2020-03", "write the earlier one first"),
    ("nonsense", "is not a date"),
    ("2019-01 to 2022-12", "0 months with a value before"),
    ("2021-01 to 2022-12", "0 months with a value after"),
]


@pytest.mark.parametrize(("period", "words"), LEFT_OUT)
def test_periods_left_out_that_do_not_fit(period, words, data):
    refused(data, DataError, words, left_out={period: "a reason"})


@pytest.mark.parametrize(
    ("period", "before", "after"),
    [
        ("2020-03 to 2020-06", 20, 24),
        ("2020-11 to 2021-02", 22, 22),
        ("2022-10 to 2023-05", 24, 21),
        ("2020", 12, 24),
        ("2020-03; 2021-05", 23, 23),
    ],
)
def test_periods_left_out(period, before, after, data):
    result = attempt(data, left_out={period: "a reason"})
    assert (result.facts["periods before"], result.facts["periods after"]) == (before, after)
    assert result.facts["periods left out"] == PERIODS - before - after
    assert f"Left out of the computation: {period} (a reason)." in result.notes


TIMING = [
    ({"phase_in": 22}, DataError, "2 months with a value after 2021-01 and its lag and phasing in"),
    ({"phase_in": 30}, DataError, "0 months"),
    ({"lag": 23}, DataError, "1 month with a value after 2021-01 and its lag"),
    ({"lag": 24, "change": "any"}, DataError, "0 months"),
    ({"lag": 30, "change": "pulse"}, DataError, "0 months"),
    ({"further_starts": ("2020-01",)}, DataError, "follow the first one in time"),
    ({"further_starts": ("2021-01",)}, DataError, "must differ"),
    ({"further_starts": ("2022-01", "2021-06")}, DataError, "follow the first one in time"),
    ({"further_starts": ("2022-01", "2022-01")}, DataError, "must differ"),
    ({"further_starts": ("2025-01",)}, DataError, "no period lies at or after 2025-01"),
    ({"further_starts": ("soon",)}, DataError, "is not a date"),
    ({"further_starts": ("2022-12",)}, EstimationError, "slope change 2022-12 is zero in every period"),
    ({"further_starts": ("2021-02",)}, EstimationError, "cannot be told apart"),
    ({"first_period": "2021-01"}, DataError, "no period lies before"),
    ({"first_period": "2020-12"}, DataError, "1 month with a value before"),
    ({"last_period": "2020-06"}, DataError, "no period lies at or after"),
    ({"last_period": "2021-01"}, DataError, "1 month with a value after"),
    ({"first_period": "2023-01"}, DataError, "no row lies between them"),
    ({"first_period": "2022-01", "last_period": "2020-01"}, DataError, "no row lies between them"),
    ({"first_period": "early"}, DataError, "is not a date"),
]


@pytest.mark.parametrize(("fields", "error", "words"), TIMING)
def test_times_that_do_not_fit(fields, error, words, data):
    refused(data, error, words, **fields)


def test_a_window_of_periods(data):
    fields = {"first_period": "2020-01", "last_period": "2021-12"}
    cut = attempt(data.iloc[12:36])
    np.testing.assert_allclose(first(attempt(data, **fields)), first(cut), rtol=1e-12)


REGRESSORS = [
    ({"covariates": ("line",)}, EstimationError, "line cannot be told apart"),
    ({"covariates": ("flat",)}, EstimationError, "flat cannot be told apart"),
    ({"covariates": ("nought",)}, EstimationError, "nought is zero in every period"),
    ({"covariates": ("endless",)}, DataError, "infinite"),
    ({"covariates": ("gappy",)}, DataError, "'gappy' is empty in 1 row"),
    ({"controls": ("missing",)}, DataError, "no column 'missing'"),
    ({"controls": ("words",)}, DataError, "must hold numbers"),
    ({"controls": ("void",)}, DataError, "'void' has no value"),
    ({"controls": ("void",), "controlled_by": "regressors"}, DataError, "'void' has no value"),
    ({"controls": ("void",), "controlled_by": "difference of the series"}, DataError, "has no value"),
    ({"controls": ("twin",)}, DataError, "'twin' equals the outcome"),
    ({"controls": ("twin",), "controlled_by": "regressors"}, DataError, "equals the outcome"),
    ({"controls": ("twin",), "controlled_by": "difference of the series"}, DataError, "equals the outcome"),
    ({"controls": ("flat",), "controlled_by": "regressors"}, EstimationError, "cannot be told apart"),
    ({"controls": ("endless",)}, DataError, "infinite"),
    (COUNTED | {"controls": ("nought",)}, DataError, "'nought' is zero in every period"),
    (COUNTED | {"controls": ("loss",)}, DataError, "controls: the series holds 1 negative value"),
    (COUNTED | {"controls": ("once",), "controlled_by": "regressors"}, DataError, "has no logarithm"),
    (COUNTED | {"controls": ("others",), "control_denominators": ("once",)}, DataError, "'once' is zero"),
    ({"controls": ("other",), "control_denominators": ("once",)}, DataError, "'once' is zero or less"),
    (COUNTED | {"controls": ("others",), "family": "binomial"}, DataError, "needs the denominators"),
    ({"outcome": "words"}, DataError, "text in 48 rows"),
    ({"denominator": "words"}, DataError, "denominator: 'words' must hold numbers"),
    ({"composition": ("words",)}, DataError, "must hold numbers"),
    ({"control_outcomes": ("words",)}, DataError, "must hold numbers"),
    ({"scale": "logarithm", "outcome": "line"}, DataError, "has no logarithm"),
    ({"days_in_period": "as exposure"}, DataError, "only counts have an exposure"),
]


@pytest.mark.parametrize(("fields", "error", "words"), REGRESSORS)
def test_columns_that_do_not_fit(fields, error, words, data):
    frame = data.assign(
        flat=1.0,
        nought=0.0,
        void=np.nan,
        twin=data["y"],
        endless=without(data, "age", 3, np.inf)["age"],
        gappy=without(data, "age", 3)["age"],
        loss=without(data, "others", 3, -5)["others"],
        once=without(data, "others", 3, 0)["others"],
    )
    refused(frame, error, words, **fields)


def test_rows_without_a_covariate(data):
    frame = without(data, "age", 40)
    kept = attempt(frame, covariates=("age",), missing="complete cases")
    gone = attempt(data.drop(index=40), covariates=("age",))
    np.testing.assert_allclose(first(kept), first(gone), rtol=1e-12)
    ahead = attempt(frame, covariates=("age",), change="any", missing="complete cases")
    assert np.isfinite(first(ahead)).all()
    assert ahead.facts["periods after"] == kept.facts["periods after"]


def test_gaps_of_a_control_are_its_own(data):
    """A period without a value of the control keeps the outcome's."""
    result = attempt(without(data, "other", 10), controls=("other",))
    assert result.facts["periods before"] == HALF
    assert len(result.kernel.at) == 2 * PERIODS - 1


SEASONS = [
    ({"seasonality": "harmonics", "season_length": 1}, DataError, "season_length"),
    ({"seasonality": "harmonics", "season_length": 0.5}, DataError, "season_length"),
    ({"seasonality": "one per season", "season_length": 7.5}, EstimationError, "no whole number of values"),
    ({"seasonality": "one per season", "season_length": 100}, DataError, "coefficients"),
]


@pytest.mark.parametrize(("fields", "error", "words"), SEASONS)
def test_seasons_that_do_not_fit(fields, error, words, data):
    refused(data, error, words, **fields)


def test_more_waves_than_a_season_has(data):
    many = attempt(data, seasonality="harmonics", harmonics=9)
    assert any("no more than 6 pairs" in note for note in many.notes)
    months = attempt(data, seasonality="one per season")
    np.testing.assert_allclose(first(many), first(months), rtol=1e-8)


def test_whole_numbers_have_no_calendar(data):
    frame = in_month(data, np.arange(PERIODS))
    refused(frame, DataError, "Give season_length", start=24, seasonality="harmonics")
    refused(frame, DataError, "easter: the time column", start=24, easter="as a regressor")
    refused(frame, DataError, "days_in_period: the time", start=24, days_in_period="as a regressor")
    refused(
        frame, EstimationError, "how long a season is", start=24, inference="Newey-West",
        lag_rule="one season",
    )  # fmt: skip
    attempt(frame, start=24, seasonality="harmonics", season_length=12)


def test_a_bendy_trend_of_few_points(data):
    few = data.iloc[HALF - 4 : HALF + 4]
    refused(few, DataError, "8 values for 9 coefficients", trend="spline", trend_df=6)
    attempt(few, trend="spline", trend_df=2)


CONTRADICTIONS = [
    ({"start": None}, "start: nothing is given"),
    ({"outcome": "month"}, "both name the column 'month'"),
    ({"time": "y"}, "both name the column 'y'"),
    ({"denominator": "y"}, "both name the column 'y'"),
    ({"covariates": ("y",)}, "'y' is already the outcome"),
    ({"controls": ("month",)}, "'month' is already the time"),
    ({"controls": ("y",)}, "'y' is already the outcome"),
    ({"controls": ("other", "other")}, "named more than once"),
    ({"control_outcomes": ("y",)}, "'y' is already the outcome"),
    ({"control_denominators": ("people",)}, "none is named"),
    ({"controls": ("other",), "control_denominators": ("people", "residents")}, "2 are named for 1"),
    ({"controls": ("other",), "change": "any"}, "needs a form of the change"),
    ({"controls": ("other",), "model": "ARIMA"}, "models one series"),
    ({"per": 1000}, "no denominator is given"),
    ({"per": 0, "denominator": "people"}, "per: 0 lies outside"),
    ({"left_out": {"2020-03": " "}}, "no reason is given"),
    ({"left_out": {"": "a reason"}}, "names no period"),
    ({"left_out": {"each": "a reason"}}, "names no period"),
    ({"left_out": ["2020-03"]}, "not a mapping"),
    ({"left_out": {"2020-03": 5}}, "not a mapping"),
    ({"family": "weibull"}, "is not one of the choices"),
    ({"family": "binomial"}, "name its column"),
    ({"family": "poisson", "scale": "logarithm"}, "already works with ratios"),
    ({"family": "poisson", "model": "ARIMA"}, "needs amounts"),
    ({"family": "gaussian", "days_in_period": "as exposure"}, "only counts have an exposure"),
    ({"further_starts": ("2022-01",), "change": "any"}, "leaves nothing to later ones"),
    ({"change": "pulse", "phase_in": 2, "phase_in_as": "a ramp"}, "a ramp needs a change that lasts"),
    ({"change": "decay", "half_life": 0}, "half_life: 0 lies outside"),
    ({"lag": -1}, "lag: -1 lies outside"),
    ({"lag": 1.5}, "is not a whole number"),
    ({"phase_in": "3"}, "is not a number"),
    ({"season_length": -1}, "season_length: -1 lies outside"),
    ({"season_length": "12"}, "is not a number"),
    ({"trend": "cubic"}, "is not one of the choices"),
    ({"ar_order": 5}, "ar_order: 5 lies outside"),
    ({"level": 95}, "level: 95 lies outside"),
    ({"expected_within": -1}, "expected_within: -1 lies outside"),
    *[({"model": "ARIMA", "arima": said}, "is not an order") for said in ("no", "1,0", "-1,0,0", "1,0,0x")],
    *[({"horizons": (said,)}, "is not a whole number of periods") for said in ("six", 0, -3, 6.5, True)],
]


@pytest.mark.parametrize(("fields", "words"), CONTRADICTIONS)
def test_contradictions_in_the_design(fields, words):
    with pytest.raises(DesignError) as raised:
        stated(**fields)
    assert words in str(raised.value) and len(raised.value.problems) == 1, raised.value.problems


def test_horizons(data):
    """Each once, in order; those beyond the data are not stated."""
    result = attempt(data, horizons=("12", 6, 6, 1000))
    stated_at = result.estimates.query("term == 'cumulative effect by horizon'")["at"]
    assert stated_at.tolist() == [6, 12]


def test_a_single_horizon_and_a_missing_start():
    """A bare number stands for one; a missing date is no start."""
    assert qe.InterruptedTimeSeries(outcome="y", time="t", start="2020-01", horizons=6).horizons == (6,)
    with pytest.raises(qe.DesignError, match="start: nothing is given"):
        qe.InterruptedTimeSeries(outcome="y", time="t", start=pd.NaT)
