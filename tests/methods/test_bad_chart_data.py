"""Charts and data as they come: each case is right, or one clear error that says what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest

from qieval.errors import DataError, DesignError, QievalError
from qieval.methods.control_charts import ControlChart, RunChart, estimate

MONTHS = pd.period_range("2022-01", periods=24, freq="M").astype(str)
RNG = np.random.default_rng(0)
BASE = pd.DataFrame({"month": MONTHS, "y": RNG.poisson(6, 24), "n": RNG.integers(90, 110, 24)})
DAYS = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=200), "y": RNG.poisson(0.1, 200)})


@pytest.fixture(autouse=True)
def no_raw_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(frame=BASE, **fields):
    return estimate(ControlChart(**{"outcome": "y", "time": "month", **fields}), frame)


def but(row: int, **values) -> pd.DataFrame:
    """The table with other values in one row."""
    frame = BASE.astype({"y": float, "n": float})
    for name, held in values.items():
        frame.loc[row, name] = held
    return frame


DATES = "between dates of events"
WRONG_DATA = [
    pytest.param(BASE.assign(month="03/04/2022"), {}, "cannot be read as a period", id="other dates"),
    pytest.param(BASE.assign(month="2022-13"), {}, "does not exist", id="month 13"),
    pytest.param(pd.concat([BASE, BASE.head(2)]), {"kind": "c"}, "several rows", id="duplicates"),
    pytest.param(pd.concat([BASE, BASE.head(2)]), {}, "several rows", id="duplicates, chosen"),
    pytest.param(but(3, n=0), {"denominator": "n"}, "zero or less in 2022-04", id="zero denominator"),
    pytest.param(but(3, n=-5), {"denominator": "n"}, "zero or less in 2022-04", id="negative denominator"),
    pytest.param(but(3, y=500), {"denominator": "n", "kind": "p"}, "exceeds 'n' in 2022-04", id="y > n"),
    pytest.param(but(3, y=-1), {"kind": "c"}, "negative", id="negative count"),
    pytest.param(but(3, y=-1), {"kind": "t"}, "negative time", id="negative time"),
    pytest.param(but(3, y=2.5), {"kind": "c"}, "fractions", id="fraction of a count"),
    pytest.param(but(3, y=2.5), {"kind": "u", "denominator": "n"}, "fractions", id="fraction, u"),
    pytest.param(but(3, y=0), {"kind": "t"}, "needs times above zero", id="t of zero"),
    pytest.param(but(3, y=np.inf), {}, "infinite", id="infinite"),
    pytest.param(but(3, n=np.nan), {"denominator": "n"}, "is empty in 1 row", id="empty denominator"),
    pytest.param(BASE.assign(y=np.nan), {}, "empty in every row", id="all empty"),
    pytest.param(BASE.assign(y="5"), {}, "stored as text", id="text"),
    pytest.param(BASE.head(0), {}, "no rows", id="empty"),
    pytest.param(BASE.head(1), {"kind": "mr"}, "distance of two measurements", id="one moving range"),
    pytest.param(BASE, {"outcome": "yy"}, "no column 'yy'", id="column"),
    pytest.param(BASE, {"kind": "xbar"}, "several rows a period", id="no subgroups"),
    pytest.param(BASE, {"kind": "g", "intervals": DATES}, "longer than a day", id="months, no dates"),
    pytest.param(BASE, {"rebase": {"2030-01": "x"}}, "rebase: 2030-01 leaves no point", id="rebase outside"),
    pytest.param(BASE, {"rebase": {"2022-01": "x"}}, "leaves no point before", id="rebase at first"),
    pytest.param(BASE, {"rebase": {"soon": "x"}}, "rebase: 'soon' is not a date", id="rebase no date"),
    pytest.param(BASE, {"rebase": {"2022-06": "x", "2022-06-01": "y"}}, "the same phase", id="rebase twice"),
    pytest.param(BASE, {"baseline_until": "2020-01"}, "nothing would set the lines", id="baseline before"),
    pytest.param(
        BASE, {"baseline_until": "2023-01", "rebase": {"2022-06": "x"}}, "first phase", id="baseline late"
    ),
    pytest.param(BASE, {"baseline_until": "x"}, "baseline_until: 'x' is not a date", id="baseline no date"),
    pytest.param(BASE, {"left_out": {"2022-01 to 2023-12": "x"}}, "every point is left out", id="all out"),
    pytest.param(BASE, {"left_out": {"2031": "x"}}, "left_out: no period", id="left out outside"),
    pytest.param(BASE, {"events": {"yesterday": "x"}}, "events: 'yesterday' is not a date", id="event"),
    pytest.param(BASE, {"first_period": "2030-01"}, "no row lies between", id="window"),
]


@pytest.mark.parametrize(("frame", "fields", "said"), WRONG_DATA)
def test_data_that_do_not_fit_are_one_clear_error(frame, fields, said):
    with pytest.raises(DataError, match=said) as caught:
        drawn(frame, **fields)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "p"}, "denominator: a p chart"),
        ({"kind": "c", "denominator": "n"}, "does not use a denominator"),
        ({"kind": "g", "denominator": "n"}, "the intervals already"),
        ({"kind": "c", "intervals": DATES}, "g or t chart"),
        ({"target": "lots"}, "target: 'lots' is not a number"),
        ({"target": "inf"}, "target: 'inf' is not a number"),
        ({"rebase": {"2022-06": " "}}, "rebase: no reason"),
        ({"left_out": {"2022-06": ""}}, "left_out: no reason"),
        ({"kind": "q"}, "kind: 'q' is not one of the choices"),
        ({"per": 1000}, "per: rates"),
    ],
)
def test_designs_that_contradict_themselves(fields, said):
    with pytest.raises(DesignError, match=said):
        drawn(**fields)


def test_events_that_are_too_few_for_intervals():
    rare = {"outcome": "y", "time": "day", "kind": "g", "intervals": DATES}
    with pytest.raises(DataError, match="no event"):
        drawn(DAYS.assign(y=0), **rare)
    with pytest.raises(DataError, match="a single event"):
        drawn(DAYS.assign(y=(DAYS.index == 5).astype(int)), **rare)
    with pytest.raises(DataError, match="needs times above zero"):
        drawn(DAYS.assign(y=2), **{**rare, "kind": "t"})


@pytest.mark.parametrize("kind", ["c", "i", "p", "p'", "u", "u'", "g", "run"])
@pytest.mark.parametrize("value", [0, 5])
def test_points_that_do_not_vary_are_no_signal(kind, value):
    frame = BASE.assign(y=value, n=100)
    fields = {"outcome": "y", "time": "month"}
    if kind in ("p", "p'", "u", "u'"):
        fields["denominator"] = "n"
    result = estimate(RunChart(**fields) if kind == "run" else ControlChart(kind=kind, **fields), frame)
    assert result.headline.startswith("No signal: all points have the same value")
    wanted = "Every value is zero" if value == 0 else "All values are the same"
    assert any(note.startswith(wanted) for note in result.notes)


@pytest.mark.parametrize("kind", ["c", "i", "p", "u", "g", "t", "run"])
def test_one_point(kind):
    fields = {"outcome": "y", "time": "month"} | ({"denominator": "n"} if kind in "pu" else {})
    result = estimate(
        RunChart(**fields) if kind == "run" else ControlChart(kind=kind, **fields), BASE.head(1)
    )
    assert result.headline.startswith("Too few points for rules (1;")
    assert len(result.series) == 1


def test_empty_outcomes_are_counted_and_have_no_point():
    result = drawn(BASE.assign(y=BASE["y"].where(BASE.index > 3)))
    assert len(result.series) == 20
    assert any(note.startswith("4 rows have no outcome") for note in result.notes)


def test_incomplete_denominators_are_left_out_when_asked():
    result = drawn(but(3, n=np.nan), denominator="n", missing="complete cases")
    assert len(result.series) == 23 and any(note.startswith("1 rows were left out") for note in result.notes)


def test_left_out_points_may_hold_what_no_chart_can_show():
    wanted = drawn(BASE.drop(index=3), denominator="n")
    for frame in (but(3, n=0), but(3, y=500), but(3, y=-2), but(3, y=0.5)):
        result = drawn(frame, denominator="n", left_out={"2022-04": "closed"})
        pd.testing.assert_frame_equal(result.estimates, wanted.estimates)
        assert any("cannot be drawn either" in note for note in result.notes)


def test_irregular_dates_are_drawn_and_told():
    frame = DAYS.iloc[[0, 3, 4, 9, 20, 50, 51, 52, 80, 90, 100, 150]].assign(y=[4, 6, 5, 7] * 3)
    result = drawn(frame, time="day", kind="c")
    assert len(result.series) == 12
    assert any("between the first and the last have no value" in note for note in result.notes)


def test_time_zones_whole_numbers_and_booleans():
    aware = DAYS.assign(day=DAYS["day"].dt.tz_localize("Europe/London"))
    pd.testing.assert_frame_equal(drawn(aware, time="day").estimates, drawn(DAYS, time="day").estimates)
    numbered = drawn(BASE.assign(month=range(24)), rebase={"12": "a new form"})
    assert len(numbered.estimates) == 2
    assert drawn(BASE.assign(y=BASE["y"] > 5)).facts["chart"] == "C chart"


def test_every_problem_is_a_qieval_error_with_advice():
    for frame, fields in ((param.values[0], param.values[1]) for param in WRONG_DATA):
        with pytest.raises(QievalError) as caught:
            drawn(frame, **fields)
        assert str(caught.value).rstrip().endswith(".") and len(str(caught.value)) > 50
