"""Roll-outs as they come: every one is estimated rightly or refused with one message that says what to do.

Warnings are errors here, so that nothing odd happens silently on the way.
"""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.errors import DataError, DesignError, EstimationError, QievalError
from qieval.numerics import joint

pytestmark = pytest.mark.filterwarnings("error")

UNITS, PERIODS = 60, 10
STATED = {"outcome": "y", "unit": "id", "time": "t", "first_treated": "g", "inference": "analytic"}
APPROACHES = (
    "group-time",
    "interaction-weighted",
    "imputation",
    "two-stage",
    "stacked",
    "two-way",
    "poisson",
    "poisson two-way",
)
COHORTS = [4, 6, 8]
MONTHS = pd.period_range("2022-01", periods=PERIODS, freq="M")
QUARTERS = pd.period_range("2020Q1", periods=PERIODS, freq="Q")
DAYS = [month.start_time for month in MONTHS]
YEARS = list(range(2001, 2001 + PERIODS))


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    """Bands are not looked at here, and a tenth of their points saves most of the time."""
    monkeypatch.setattr(joint, "SUP_T_DRAWS", 2**12)


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(1)
    start = np.repeat([0, *COHORTS], UNITS // 4)
    draw.shuffle(start)
    frame = pd.DataFrame({"id": np.repeat(np.arange(UNITS), PERIODS), "t": np.tile(np.arange(1, 11), UNITS)})
    g = start[frame["id"]]
    x, level = draw.normal(size=UNITS)[frame["id"]], draw.normal(size=UNITS)[frame["id"]]
    on = (g > 0) & (frame["t"] >= g)
    return frame.assign(
        g=g,
        x=x,
        y=level + 0.2 * frame["t"] + 0.1 * x * frame["t"] + on + draw.normal(size=len(frame)),
        moving=draw.normal(size=len(frame)),
        events=draw.poisson(20, len(frame)),
        people=draw.integers(500, 900, UNITS)[frame["id"]],
        weight=draw.uniform(0.5, 2, UNITS)[frame["id"]],
        on=on.astype(int),
        region=frame["id"] // 4,
        eligible=draw.integers(0, 2, UNITS)[frame["id"]],
    )


def stated(**fields):
    counts = {"outcome": "events"} if fields.get("approach", "").startswith("poisson") else {}
    held = STATED | counts | fields
    if "treatment" in held:
        del held["first_treated"]
    return qe.StaggeredAdoption(**held)


def attempt(frame, **fields):
    """The result, with no NaN among its overall effects."""
    result = qe.estimate(stated(**fields), frame)
    overall = result.estimates[result.estimates["at"].isna()]
    overall = overall[overall["term"] != "effect of cohort in period"]
    figures = overall[["estimate", "std_error", "conf_low", "conf_high"]].to_numpy(float)
    assert len(figures) and np.isfinite(figures).all()
    return result


def refused(frame, error, *words, **fields):
    """One problem, which begins with the field it concerns and ends a sentence."""
    with pytest.raises(QievalError) as raised:
        qe.estimate(stated(**fields), frame)
    assert type(raised.value) is error, raised.value
    assert len(raised.value.problems) == 1, raised.value.problems
    problem = raised.value.problems[0]
    for each in words:
        assert each in problem, problem
    assert problem.endswith((".", ".)")) and ": " in problem


def numbers(result):
    """All estimates, errors and places, without the labels of periods."""
    return result.estimates[["at", "estimate", "std_error", "conf_low", "conf_high"]].to_numpy(float)


def same(found, base):
    np.testing.assert_allclose(numbers(found), numbers(base), rtol=1e-9, atol=1e-12)


def said(result, words):
    return any(words in note for note in result.notes)


def dated(frame, labels, never):
    """The same frame with other names of the periods, in the time column and in the starts."""
    named = dict(enumerate(labels, start=1))
    return frame.assign(t=[named[t] for t in frame["t"]], g=[named[g] if g else never for g in frame["g"]])


# Who is compared with whom


@pytest.mark.parametrize("approach", APPROACHES)
def test_nobody_to_compare_with(data, approach):
    refused(data.assign(g=5), DataError, "first_treated", "nobody to", approach=approach)
    refused(data.assign(g=0), DataError, "first_treated", "no unit begins", approach=approach)
    nobody_never = data[data["g"] > 0]
    if approach in ("group-time", "stacked"):
        refused(nobody_never, DataError, "control_group", "control_group='not yet'", approach=approach)
    else:  # these compare with units that begin later in any case
        attempt(nobody_never, approach=approach)
    found = attempt(nobody_never, approach=approach, control_group="not yet")
    assert int(found.facts["never-treated units"]) == 0


@pytest.mark.parametrize("approach", APPROACHES)
def test_always_treated_units_are_left_out_and_counted(data, approach):
    early = data["id"] % 10 == 0
    base = attempt(data[~early], approach=approach)
    at_once = attempt(data.assign(g=data["g"].where(~early, 1)), approach=approach)
    same(at_once, base)
    assert said(at_once, "60 rows were left out: had the intervention at 1")
    assert said(at_once, "6 units were lost entirely")
    before = attempt(data.assign(g=data["g"].where(~early, -5)), approach=approach)
    same(before, base)
    assert said(before, "6 units begin before the data do")


def test_never_coded_as_a_number_below_the_first_period(data):
    refused(data.assign(g=data["g"].replace(0, -1)), DataError, "control_group", "leave it empty")


@pytest.mark.parametrize("approach", APPROACHES)
def test_a_start_after_the_data_counts_as_never(data, approach):
    late = data.assign(g=data["g"].replace(0, 99))
    same(attempt(late, approach=approach), attempt(data, approach=approach))


def test_cohort_of_one_unit_is_announced(data):
    found = attempt(data.assign(g=data["g"].where(data["id"] != 0, 3)))
    assert said(found, "the cohort 3 is a single unit") and int(found.facts["cohorts"]) == 4


def test_single_comparison_unit_is_announced(data):
    lone = data.loc[data["g"] == 0, "id"].min()
    assert said(attempt(data[(data["g"] > 0) | (data["id"] == lone)]), "the interval is worthless")


# When


@pytest.mark.parametrize("approach", APPROACHES)
def test_one_period(data, approach):
    refused(data[data["t"] == 5], DataError, "time", "single period", approach=approach)


@pytest.mark.parametrize("approach", [name for name in APPROACHES if name != "stacked"])
def test_missing_periods_are_said(data, approach):
    found = attempt(data[~data["t"].isin([3, 5])], approach=approach)
    assert said(found, "2 periods between the first and the last have no rows at all")
    assert found.facts["first start"] == "4" and found.facts["last start"] == "8"


def test_gaps_compare_with_the_last_period_seen(data):
    """Without period 3 the cohort of 4 is compared with its change since period 2."""
    frame = data[data["t"] != 3]
    rows = attempt(frame).estimates.set_index(["term", "cohort", "at"])
    y = frame.pivot(index="id", columns="t", values="y")
    start = frame.groupby("id")["g"].first()
    change = y[4] - y[2]
    by_hand = change[start == 4].mean() - change[start == 0].mean()
    assert rows.loc[("effect of cohort in period", "4", 0.0), "estimate"] == pytest.approx(by_hand)


def test_a_start_in_a_missing_period_stays_its_own(data):
    """Without period 6 the cohort of 6 is seen first a period after its start."""
    found = attempt(data[data["t"] != 6]).estimates
    cells = found[found["term"] == "effect of cohort in period"]
    assert sorted(cells.loc[cells["period"] == "7", "at"]) == [-1, 1, 3]


def test_irregular_periods_are_counted_one_after_the_other(data):
    shown = dict(zip(range(1, 11), [1, 2, 4, 7, 11, 16, 22, 290, 370, 460], strict=True))
    found = attempt(data.assign(t=data["t"].map(shown), g=data["g"].map(shown | {0: 0})))
    assert said(found, "follow no rhythm") and not said(found, "have no rows")
    same(found, attempt(data))


FORMS = {
    "periods": (list(MONTHS), pd.NaT),
    "text with nothing": ([str(month) for month in MONTHS], ""),
    "text with never": ([str(month) for month in MONTHS], "never"),
    "text with None": ([str(month) for month in MONTHS], None),
    "text with NaN": ([str(month) for month in MONTHS], np.nan),
    "text with 0": ([str(month) for month in MONTHS], "0"),
    "first days": (DAYS, pd.NaT),
    "first days as text": ([day.strftime("%Y-%m-%d") for day in DAYS], ""),
    "first days and 0": (DAYS, 0),
    "dates from a database": ([day.date() for day in DAYS], None),
    "last days": (list(pd.date_range("2022-01-31", periods=PERIODS, freq="ME")), pd.NaT),
    "weeks": (list(pd.date_range("2022-01-03", periods=PERIODS, freq="W-MON")), pd.NaT),
    "clock time": (list(pd.date_range("2022-01-01", periods=PERIODS, freq="MS", tz="Europe/London")), pd.NaT),
    "quarters": (list(QUARTERS), pd.NaT),
    "quarters as text": ([str(quarter) for quarter in QUARTERS], "never"),
    "quarters with a dash": ([f"{q.year}-Q{q.quarter}" for q in QUARTERS], ""),
    "years": (YEARS, 0),
    "years with NaN": (YEARS, np.nan),
    "years with inf": (YEARS, np.inf),
    "years with never": (YEARS, "never"),
    "years as text": ([str(year) for year in YEARS], ""),
    "every second year": (list(range(2000, 2020, 2)), 0),
    "from zero": (list(range(PERIODS)), np.nan),
    "around zero": (list(range(-5, 5)), np.nan),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_time(data, form):
    found = attempt(dated(data, *FORMS[form]))
    same(found, attempt(data))
    assert not said(found, "rhythm") and int(found.facts["never-treated units"]) == UNITS // 4


STARTS = {
    "nullable": lambda held: held.astype("Int64").where(held > 0),
    "categories": pd.Categorical,
    "text": lambda held: held.astype(str),
    "floats": lambda held: held.astype(float).replace(0, np.inf),
}


@pytest.mark.parametrize("form", STARTS)
def test_forms_of_starts(data, form):
    same(attempt(data.assign(g=STARTS[form](data["g"]))), attempt(data))


def test_starts_in_another_form_than_time(data):
    base = attempt(data)
    months = dated(data, [str(month) for month in MONTHS], None)
    same(attempt(months.assign(g=pd.to_datetime(months["g"]))), base)
    periods = dated(data, list(MONTHS), pd.NaT)
    same(attempt(periods.assign(g=periods["g"].astype(str).replace("NaT", ""))), base)


@pytest.mark.parametrize("form", ["dates", "text"])
def test_a_start_inside_a_period_counts_from_that_period(data, form):
    frame = dated(data, [str(month) for month in MONTHS], "")
    inside = [f"{month}-14" if month else "" for month in frame["g"]]
    held = pd.to_datetime(pd.Series(inside), errors="coerce") if form == "dates" else inside
    found = attempt(frame.assign(g=np.asarray(held)))
    same(found, attempt(data))
    assert said(found, "some starts lie inside a period")


def test_unreadable_times(data):
    months = dated(data, [str(month) for month in MONTHS], "soon")
    refused(months, DataError, "first_treated", "'soon' is not a date", "leave it empty")
    refused(
        dated(data, list(MONTHS), pd.NaT).assign(g=data["g"]), DataError, "first_treated", "is not a date"
    )
    refused(data.assign(t=data["t"].map("month {}".format)), DataError, "time", "cannot be read")
    refused(data.assign(t=data["t"] + 0.5), DataError, "time", "fractions")


# How starts are told


def test_starts_from_treatment(data):
    same(attempt(data, treatment="on"), attempt(data))
    same(attempt(data.assign(on=data["on"] == 1), treatment="on"), attempt(data))


TREATMENT = {
    "switched off again": (lambda f: f["on"].where(f["t"] < 9, 0), "goes back to 0 in 45 units"),
    "doses": (lambda f: 2 * f["on"], "but holds 2"),
    "text": (lambda f: f["on"].map({0: "no", 1: "yes"}), "holds text in 600 rows"),
    "empty": (lambda f: f["on"].where(f.index > 3), "is empty in 4 rows"),
}


@pytest.mark.parametrize("name", TREATMENT)
def test_unfit_treatment(data, name):
    change, words = TREATMENT[name]
    refused(data.assign(on=change(data)), DataError, "treatment: 'on'", words, treatment="on")


def test_a_start_that_changes_within_a_unit(data):
    refused(data.assign(g=data["g"].where(data["t"] < 9, 0)), DataError, "changes over time within 45 units")


# Columns


BAD_DATA = {
    "empty": (lambda f: f.iloc[:0], {}, "data: the table has no rows"),
    "column missing": (lambda f: f.drop(columns="y"), {}, "outcome: there is no column 'y'"),
    "column twice": (lambda f: pd.concat([f, f[["y"]]], axis=1), {}, "occurs twice"),
    "rows twice": (lambda f: pd.concat([f, f.head(3)]), {}, "unit, time: 3 rows repeat"),
    "outcome with text": (
        lambda f: f.assign(y=f["y"].astype(object).where(f.index > 2, "*")),
        {},
        "outcome: 'y' must hold numbers but holds text in 3 rows",
    ),
    "outcome as text": (lambda f: f.assign(y=f["y"].astype(str)), {}, "numbers stored as text"),
    "outcome infinite": (lambda f: f.assign(y=f["y"].where(f.index > 2, np.inf)), {}, "3 infinite values"),
    "outcome empty": (lambda f: f.assign(y=f["y"].where(f.index > 2)), {}, "outcome: 'y' is empty in 3"),
    "unit empty": (lambda f: f.assign(id=f["id"].where(f.index > 2)), {}, "unit: 'id' is empty in 3 rows"),
    "time empty": (lambda f: f.assign(t=f["t"].where(f.index > 2)), {}, "time: 't' is empty in 3 rows"),
    "cluster empty": (
        lambda f: f.assign(region=f["region"].where(f.index > 2)),
        {"cluster": "region"},
        "cluster: 'region' is empty in 3 rows",
    ),
    "covariate empty": (
        lambda f: f.assign(x=f["x"].where(f.index > 2)),
        {"covariates": ("x",)},
        "covariates: 'x' is empty in 3 rows",
    ),
    "covariate infinite": (
        lambda f: f.assign(x=f["x"].where(f.index > 2, np.inf)),
        {"covariates": ("x",)},
        "covariates: 'x' holds 3 infinite values",
    ),
    "covariate with a value for each unit": (
        lambda f: f.assign(x="level " + f["id"].astype(str)),
        {"covariates": ("x",)},
        "text with 60 different values",
    ),
    "covariate of dates": (
        lambda f: f.assign(x=pd.Timestamp("2020-01-01")),
        {"covariates": ("x",)},
        "dates or durations",
    ),
    "weights of zero": (
        lambda f: f.assign(weight=f["weight"].where(f.index > 2, 0)),
        {"weights": "weight"},
        "weights: 'weight' is zero or less in 3 rows",
    ),
    "weights negative": (
        lambda f: f.assign(weight=-f["weight"]),
        {"weights": "weight"},
        "zero or less in 600 rows",
    ),
    "weights of text": (lambda f: f.assign(weight="a"), {"weights": "weight"}, "weights: 'weight' must hold"),
    "exposure of zero": (
        lambda f: f.assign(people=f["people"].where(f.index > 2, 0)),
        {"exposure": "people", "approach": "poisson"},
        "exposure: 'people' is zero or less in 3 rows",
    ),
    "counts below zero": (
        lambda f: f.assign(events=f["events"].where(f.index > 2, -1)),
        {"exposure": "people", "approach": "poisson"},
        "outcome: a count cannot be negative",
    ),
    "nobody eligible in the comparison": (
        lambda f: f.assign(eligible=f["eligible"].where(f["g"] > 0, 0)),
        {"eligible": "eligible"},
        "there are no eligible people or units among the comparison",
    ),
    "all treated eligible": (
        lambda f: f.assign(eligible=f["eligible"].where(f["g"] == 0, 1)),
        {"eligible": "eligible"},
        "there are no ineligible people or units among those treated",
    ),
    "eligible changes": (
        lambda f: f.assign(eligible=(f["t"] > 4).astype(int)),
        {"eligible": "eligible"},
        "eligible: it changes over time within 60 units",
    ),
    "eligible not binary": (
        lambda f: f.assign(eligible=f["eligible"] + 1),
        {"eligible": "eligible"},
        "must be 0 or 1",
    ),
    "each unit once": (lambda f: f[f["t"] == f["id"] % 10 + 1], {}, "repeated cross-sections"),
    "window empty": (lambda f: f, {"first_period": 50}, "Widen the window"),
    "window of one period": (lambda f: f, {"first_period": 5, "last_period": 5}, "single period"),
    "anticipation longer than the data": (lambda f: f, {"anticipation": 9}, "no unit begins after"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(data, name):
    change, fields, words = BAD_DATA[name]
    refused(change(data), DataError, words, **fields)


@pytest.mark.parametrize("held", [None, {"y": [1]}])
def test_no_table(held):
    refused(held, DataError, "data: a pandas DataFrame")


@pytest.mark.parametrize("approach", APPROACHES)
def test_complete_cases(data, approach):
    name = "events" if approach.startswith("poisson") else "y"
    frame = data.assign(**{name: data[name].where(data.index > 2)})
    found = attempt(frame, approach=approach, missing="complete cases")
    assert said(found, f"3 rows were left out: missing values in '{name}' (3 rows)")
    same(found, attempt(data.iloc[3:], approach=approach))


@pytest.mark.parametrize("approach", [name for name in APPROACHES if name != "stacked"])
def test_covariates_that_say_nothing_new(data, approach):
    check_covariates(data, approach)


def check_covariates(data, approach):
    """A constant, and a second measurement of a characteristic with another unit and origin."""
    base = attempt(data, approach=approach)
    constant = attempt(data.assign(c=3.0), covariates=("c",), approach=approach)
    np.testing.assert_allclose(numbers(constant)[0, 1:3], numbers(base)[0, 1:3], rtol=1e-6)
    frame = data.assign(c=2 * data["x"] + 1)
    adjusted = attempt(frame, covariates=("x",), approach=approach)
    for names in (("c",), ("x", "c")):
        found = attempt(frame, covariates=names, approach=approach)
        np.testing.assert_allclose(numbers(found)[0, 1:3], numbers(adjusted)[0, 1:3], rtol=1e-6)


def test_text_covariate_is_the_same_as_indicators(data):
    text = data.assign(c="level " + (data["id"] % 3).astype(str))
    one, two = (data["id"] % 3 == 1).astype(int), (data["id"] % 3 == 2).astype(int)
    indicators = attempt(data.assign(one=one, two=two), covariates=("one", "two"))
    same(attempt(text, covariates=("c",)), indicators)


def test_no_overlap(data):
    far = data.assign(c=data["g"] + 0.01 * data["x"])
    refused(far, EstimationError, "no comparable control", covariates=("c",))
    refused(data.assign(c=(data["g"] > 0) * 1.0), EstimationError, "covariate", covariates=("c",))
    wide = data.assign(c="level " + (data["id"] % 30).astype(str))
    refused(wide, EstimationError, "fewer controls than covariates", covariates=("c",))


@pytest.mark.parametrize("approach", ["poisson", "poisson two-way"])
def test_no_events(data, approach):
    refused(data.assign(events=0), EstimationError, "no rate can be compared", approach=approach)


@pytest.mark.parametrize("approach", [name for name in APPROACHES if not name.startswith("poisson")])
def test_constant_outcome(data, approach):
    """The effect is zero, and that there is no standard error is said."""
    try:
        found = qe.estimate(stated(approach=approach), data.assign(y=1.0))
    except EstimationError as problem:
        assert "no standard error" in str(problem)
    else:
        assert found.estimates.loc[0, "estimate"] == pytest.approx(0, abs=1e-12)
        assert said(found, "No standard error") or said(found, "no standard error")


def test_missing_cells_of_cross_sections_are_flagged(data):
    frame = data[(data["g"] == 0) | (data["t"] != 4)].assign(id=lambda held: np.arange(len(held)))
    found = attempt(frame, data="repeated cross-sections")
    cells = found.estimates[found.estimates["term"] == "effect of cohort in period"]
    assert (cells["note"] != "").sum() == cells["estimate"].isna().sum() == 5
    assert said(found, "5 comparisons of 27 by cohort and period could not be made")


def test_cohort_without_ineligible_is_flagged(data):
    frame = data.assign(eligible=data["eligible"].where(data["g"] != 4, 1))
    found = attempt(frame, eligible="eligible")
    cells = found.estimates[found.estimates["term"] == "effect of cohort in period"]
    assert cells.loc[cells["cohort"] == "4", "note"].str.contains("ineligible").all()


# Fields


BAD_DESIGNS = {
    "no start": ({"first_treated": None}, "first_treated, treatment"),
    "two kinds of start": ({"first_treated": "g", "treatment": "on"}, "first_treated, treatment"),
    "window backwards": ({"event_window": (3, -3)}, "event_window"),
    "window of one": ({"event_window": (1,)}, "event_window"),
    "window of three": ({"event_window": (1, 2, 3)}, "event_window"),
    "window of words": ({"event_window": ("a", "b")}, "event_window"),
    "balanced below": ({"balanced_to": -2}, "balanced_to"),
    "anticipation below": ({"anticipation": -1}, "anticipation"),
    "exposure of differences": ({"exposure": "people"}, "exposure, approach"),
    "eligible in a regression": ({"eligible": "eligible", "approach": "two-way"}, "eligible, approach"),
    "regression of cross-sections": (
        {"data": "repeated cross-sections", "approach": "two-way"},
        "data, unbalanced, approach",
    ),
    "wild bootstrap": ({"inference": "wild cluster bootstrap"}, "inference, approach"),
    "multiplier of a regression": (
        {"inference": "multiplier bootstrap", "approach": "two-way"},
        "inference, approach",
    ),
    "order not drawn by lot": ({"inference": "randomisation"}, "inference, rollout_randomised"),
    "outcome adjusts": ({"covariates": ("y",)}, "covariates: 'y' is already the outcome"),
    "one column for two roles": ({"outcome": "id"}, "outcome, unit"),
    "second cluster": ({"cluster": "region", "second_cluster": "region"}, "second_cluster"),
    "second cluster is the unit": ({"second_cluster": "id"}, "second_cluster"),
    "approach": ({"approach": "grouptime"}, "Did you mean 'group-time'?"),
    "zone without distance": ({"exclusion": 5}, "distance"),
    "treatment of cross-sections": (
        {"first_treated": None, "treatment": "on", "data": "repeated cross-sections"},
        "treatment",
    ),
}


@pytest.mark.parametrize("name", BAD_DESIGNS)
def test_bad_designs(name):
    fields, words = BAD_DESIGNS[name]
    with pytest.raises(DesignError) as raised:
        qe.StaggeredAdoption(**STATED | fields)
    assert len(raised.value.problems) == 1 and words in raised.value.problems[0]


def test_stacked_window_without_a_before(data):
    for window in ((0, 3), (-3, -1), (-30, 30)):
        refused(data, EstimationError, "window", approach="stacked", event_window=window)


def test_randomisation_needs_whole_clusters(data):
    fields = {"rollout_randomised": "yes", "inference": "randomisation", "draws": 99}
    refused(data, EstimationError, "inference, cluster", "different times", cluster="region", **fields)
    refused(data, EstimationError, "not for ratios", approach="poisson", **fields)


# What would be ignored


@pytest.mark.parametrize("approach", APPROACHES)
def test_nobody_seen_in_every_period(data, approach):
    frame = data[(data["t"] + data["id"]) % 10 != 0]
    refused(frame, DataError, "unbalanced", approach=approach, unbalanced="drop")


@pytest.mark.parametrize("approach", [name for name in APPROACHES if name != "group-time"])
def test_second_cluster_is_used_or_refused(data, approach):
    frame = data.assign(other=data["id"] % 7)
    one = attempt(frame, approach=approach, cluster="region")
    try:
        two = attempt(frame, approach=approach, cluster="region", second_cluster="other")
    except DesignError as problem:
        assert "second_cluster" in str(problem)
    else:
        assert two.estimates.loc[0, "std_error"] != one.estimates.loc[0, "std_error"]


def test_units_that_change_cluster(data):
    frame = data.assign(region=data["region"] + 100 * (data["t"] > 5))
    try:
        found = attempt(frame, cluster="region")
    except DataError as problem:
        assert "cluster" in str(problem)
    else:
        assert said(found, "cluster")


@pytest.mark.parametrize("window", [(0.5, 2.5), (np.nan, 2)])
def test_window_of_fractions(window):
    with pytest.raises(DesignError, match="event_window"):
        stated(event_window=window)


def test_window_outside_the_data(data):
    try:
        found = attempt(data, event_window=(20, 30))
    except QievalError as problem:
        assert "event_window" in str(problem)
    else:
        assert said(found, "event_window")


def test_balanced_to_more_than_anybody_is_followed(data):
    refused(data, EstimationError, "balanced_to", balanced_to=50, aggregation="dynamic")
    with pytest.raises(QievalError, match="balanced_to"):
        attempt(data, balanced_to=50)


def test_no_standard_error_is_not_no_estimate(data):
    found = qe.estimate(stated(approach="interaction-weighted"), data.assign(y=1.0))
    assert not said(found, "left out of every average")


def test_covariates_that_say_nothing_new_stacked(data):
    check_covariates(data, "stacked")
