"""One design in every place: the same as place by place, with q-values, and a row for every place."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.errors import DataError, QievalError

pytestmark = pytest.mark.filterwarnings("error")

PERIODS, HALF, PLACES = 48, 24, 12
MONTHS = pd.period_range("2019-01", periods=PERIODS, freq="M").astype(str)
STATED = {"outcome": "events", "denominator": "people", "time": "month", "start": "2021-01"}
TOGETHER = {"inference": "independent errors"}


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(17)
    place = np.repeat([f"P{each:02d}" for each in range(PLACES)], PERIODS)
    size = np.repeat(draw.integers(1_000, 20_000, PLACES), PERIODS)
    people = size + draw.integers(0, 50, size.size)
    after = np.tile(np.arange(PERIODS) >= HALF, PLACES)
    effect = np.repeat(np.where(np.arange(PLACES) < 4, -0.5, 0.0), PERIODS)
    return pd.DataFrame(
        {
            "gp": place,
            "month": np.tile(MONTHS, PLACES),
            "events": draw.poisson(people * 0.02 * np.exp(effect * after)),
            "people": people,
            "y": draw.normal(50, 3, size.size).round(3),
        }
    )


def stated(**fields):
    return qe.InterruptedTimeSeries(**STATED | TOGETHER | fields)


def one_by_one(design, data):
    """Estimates of each place by itself, by place and term."""
    rows = []
    for place, part in data.groupby("gp"):
        found = qe.estimate(design, part.drop(columns="gp")).estimates
        rows.append(found[found["at"].isna()].assign(gp=place))
    return pd.concat(rows).set_index(["gp", "term"])


DESIGNS = [
    {},
    {"family": "poisson"},
    {"family": "binomial"},
    {"family": "quasi-binomial", "seasonality": "harmonics"},
    {"seasonality": "one per season", "change": "level"},
    {"outcome": "y", "denominator": None},
    {"outcome": "y"},
    {"phase_in": 3, "left_out": {"2020-04 to 2020-06": "the pandemic"}, "lag": 1},
    {"change": "pulse", "lasts": 6, "trend": "quadratic"},
    {"inference": "Newey-West"},
    {"family": "negative binomial"},
    {"outcome": "y", "denominator": None, "inference": "AR errors by REML"},
]


@pytest.mark.parametrize("fields", DESIGNS, ids=lambda fields: "-".join(map(str, fields.values())) or "plain")
def test_as_place_by_place(fields, data):
    some = data[data["gp"].isin(["P00", "P05", "P11"])]
    design = stated(**fields)
    table = qe.each(design, some, by="gp").table
    expected = one_by_one(design, some)
    assert len(table) and (table["note"] == "").all()
    for _, row in table.iterrows():
        wanted = expected.loc[(row["gp"], row["term"])]
        for name in ("estimate", "std_error", "conf_low", "conf_high", "p_value"):
            assert row[name] == pytest.approx(wanted[name], rel=1e-6), (row["gp"], row["term"], name)


def test_gaps_of_a_place_are_its_own(data):
    """Rows that are not there and empty outcomes, in some places and in any order."""
    holes = data.drop(index=[3, 4, 60, 61, 62]).sample(frac=1, random_state=2)
    holes["events"] = holes["events"].astype(float).where(holes.index != 100)
    table = qe.each(stated(), holes, by="gp").table.set_index(["gp", "term"])
    expected = one_by_one(stated(), holes)
    for place in ("P00", "P01", "P02", "P07"):
        row = table.loc[(place, "level change ratio")]
        assert row["estimate"] == pytest.approx(expected.loc[(place, "level change ratio"), "estimate"])
    assert table.loc[("P01", "level change ratio"), "periods"] == PERIODS - 3
    assert table.loc[("P02", "level change ratio"), "periods"] == PERIODS - 1


def test_q_values_by_hand(data):
    """Benjamini and Hochberg: the least of p m / rank over the same and larger p-values, within a term."""
    table = qe.each(stated(), data, by="gp").table
    for _, part in table.groupby("term"):
        p, q = part["p_value"].to_numpy(), part["q_value"].to_numpy()
        for value, found in zip(p, q, strict=True):
            above = [min(1.0, other * len(p) / (p <= other).sum()) for other in p if other >= value]
            assert found == pytest.approx(min(above), rel=1e-12)


def test_summary_and_words(data):
    found = qe.each(stated(change="level"), data, by="gp")
    summary = found.summary.set_index("term").loc["level change ratio"]
    table = found.table
    assert summary["places"] == PLACES
    assert summary["median"] == pytest.approx(table["estimate"].median())
    assert summary["interval_below"] == pytest.approx((table["conf_high"] < 1).mean())
    assert summary["interval_above"] == pytest.approx((table["conf_low"] > 1).mean())
    assert summary["q_below_0.05"] == (table["q_value"] < 0.05).sum() >= 4
    assert repr(found).startswith("12 places by 'gp'; 0 rows without an estimate.")


def changed(data, column, value, rows):
    held = data[column].astype(float)
    return data.assign(**{column: held.where(~(data["gp"] == "P03") | ~rows, value)})


AFTER = np.tile(np.arange(PERIODS) >= HALF, PLACES)
FIFTH = np.tile(np.arange(PERIODS) == 5, PLACES)
TROUBLE = [
    ({"family": "quasi-poisson"}, ("events", -3.0, FIFTH), "negative counts"),
    ({}, ("people", 0.0, FIFTH), "denominators of zero or less"),
    ({}, ("people", np.nan, FIFTH), "denominators are missing"),
    ({}, ("events", 0.0, AFTER), "no events on one side"),
    ({}, ("events", 0.0, FIFTH | True), "no events in any period"),
    ({}, ("events", np.nan, AFTER), "too few values after the start"),
    ({}, ("events", np.nan, ~AFTER), "too few values before the start"),
    ({"family": "binomial"}, ("people", 1.0, FIFTH), "more events than the denominator"),
    ({"family": "poisson"}, ("events", 2.5, FIFTH), "fractions of events"),
    ({"denominator": None}, ("events", 7.0, FIFTH | True), "the same value in every period"),
    ({"outcome": "y", "denominator": None}, ("y", 7.5, FIFTH | True), "the same value in every period"),
    ({"family": "negative binomial"}, ("events", -3.0, FIFTH), "negative"),
    ({"inference": "recommended", "outcome": "y"}, ("y", np.nan, AFTER), "0 months with a value after"),
]


@pytest.mark.parametrize(("fields", "trouble", "words"), TROUBLE)
def test_a_place_in_trouble_keeps_its_row(fields, trouble, words, data):
    """The place that cannot be estimated says why, as it is refused by itself; others are as without it."""
    few = data["gp"].isin(["P02", "P03", "P04"])
    frame = changed(data, *trouble)[few]
    with pytest.raises(QievalError):
        qe.estimate(stated(**fields), frame[frame["gp"] == "P03"].drop(columns="gp"))
    table = qe.each(stated(**fields), frame, by="gp").table
    lost = table[table["gp"] == "P03"]
    assert len(lost) and lost["estimate"].isna().all() and lost["p_value"].isna().all()
    assert lost["q_value"].isna().all() and lost["note"].str.contains(words).all(), lost["note"].tolist()
    others = table[table["gp"] != "P03"].drop(columns="q_value").reset_index(drop=True)
    plain = qe.each(stated(**fields), frame[frame["gp"] != "P03"], by="gp").table
    pd.testing.assert_frame_equal(others, plain.drop(columns="q_value"), rtol=1e-6, check_dtype=False)
    assert (others["note"] == "").all()


REFUSED = [
    (lambda data: data.drop(columns="gp"), "there is no column 'gp'"),
    (lambda data: data.drop(columns="events"), "there is no column 'events'"),
    (lambda data: data.head(0), "no rows"),
    (lambda data: pd.concat([data, data.head(1)]), "1 row repeat an earlier pair of 'gp' and 'month'"),
    (lambda data: data.assign(events=data["events"].astype(object).where(data.index != 3, "*")), "text in 1"),
    (lambda data: data.assign(events=data["events"].where(data.index != 3, np.inf)), "1 infinite value"),
    (lambda data: data.assign(month=data["month"].str.replace("-", "/")), "cannot be read as a period"),
    (lambda data: data[data["month"] < "2021"], "no period lies at or after"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_tables_that_do_not_fit(change, words, data):
    with pytest.raises(DataError) as raised:
        qe.each(stated(), change(data), by="gp")
    assert words in str(raised.value)


def test_rows_without_a_place_are_left_out(data):
    frame = data.assign(gp=data["gp"].where(data["gp"] != "P03"))
    table = qe.each(stated(), frame, by="gp").table
    assert sorted(table["gp"].unique()) == sorted(set(data["gp"]) - {"P03"})


def test_charts_name_a_missing_column_and_take_rates_on_run_charts():
    """A column that is not there is named; a rate is the same as on a single chart."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "ward": np.repeat(["A", "B"], 24),
            "month": np.tile(pd.period_range("2021-01", periods=24, freq="M").astype(str), 2),
            "falls": rng.poisson(12, 48),
            "beds": rng.integers(900, 1500, 48),
        }
    )
    for design in (
        qe.RunChart(outcome="falls", time="month", denominator="beds", per=1000),
        qe.ControlChart(outcome="falls", time="month", denominator="beds", per=1000, kind="i"),
        qe.ControlChart(outcome="falls", time="month", denominator="beds", per=1000, kind="u"),
        qe.ControlChart(outcome="falls", time="month", denominator="beds", per=100, kind="p"),
        qe.ControlChart(outcome="falls", time="month", kind="c", baseline_until="2021-12"),
    ):
        table = qe.each(design, frame, by="ward").table.set_index("ward")
        for ward, part in frame.groupby("ward"):
            alone = qe.estimate(design, part)
            assert table.loc[ward, "estimate"] == pytest.approx(alone.estimates["estimate"].iloc[0])
            assert table.loc[ward, "points"] == int(alone.facts["points"])
            assert bool(table.loc[ward, "signal"]) is (int(alone.facts["signals"]) > 0)
    with pytest.raises(qe.DataError, match="outcome: there is no column 'fall'"):
        qe.each(qe.ControlChart(outcome="fall", time="month", kind="c"), frame, by="ward")
    bad = frame.assign(falls=frame["falls"].where(frame.index != 3, -1))
    rows = qe.each(qe.ControlChart(outcome="falls", time="month", kind="c"), bad, by="ward").table
    assert rows.set_index("ward").loc["A", "note"].startswith("no chart")
    assert rows.set_index("ward").loc["B", "note"] == ""
