"""Difference-in-differences: bad input, forms of time, anticipation, windows, few clusters, people."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe


@pytest.fixture
def data() -> pd.DataFrame:
    return qe.simulate_panel(n_units=24, n_periods=8, n_treated=10, effect=2.0, rho=0.3, seed=5)


@pytest.fixture
def design() -> qe.DifferenceInDifferences:
    return qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=4)


def att(design, data) -> float:
    return qe.estimate(design, data).estimates.loc[0, "estimate"]


def switched_on(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(treated=(frame["treated"] == 1) & (frame["time"] >= 4))


MANY = pd.Series([f"code {number:05d}" for number in range(10_000)])

BAD_DATA = {
    "empty frame": (lambda f: f.iloc[:0], {}, "data: the table has no rows"),
    "missing column": (lambda f: f.drop(columns="y"), {}, "outcome: there is no column 'y'"),
    "several missing columns": (lambda f: f[["unit", "time"]], {}, "2 problems"),
    "duplicate rows": (lambda f: pd.concat([f, f.head(3)]), {}, "unit, time: 3 rows repeat"),
    "treated not binary": (lambda f: f.assign(treated=f["treated"] + 1), {}, "treated: 'treated' must be 1"),
    "treated as text": (lambda f: f.assign(treated=np.where(f["treated"] == 1, "yes", "no")), {}, "'yes'"),
    "treated changes over time": (switched_on, {}, "treated: 'treated' changes over time within 10 units"),
    "all treated": (lambda f: f.assign(treated=1), {}, "treated: All units are treated"),
    "none treated": (lambda f: f.assign(treated=0), {}, "treated: No unit is treated"),
    "no period before": (lambda f: f, {"start": 0}, "start: no period lies before 0"),
    "no period after": (lambda f: f, {"start": 99}, "start: no period lies at or after 99"),
    "one period": (lambda f: f[f["time"] == 4], {}, "time: 'time' holds a single period"),
    "NaN in the outcome": (
        lambda f: f.assign(y=f["y"].where(f.index > 2)),
        {},
        "outcome: 'y' is empty in 3 rows",
    ),
    "inf in the outcome": (lambda f: f.assign(y=f["y"].where(f.index > 2, np.inf)), {}, "3 infinite values"),
    "text in the outcome": (
        lambda f: f.assign(y=f["y"].astype(object).where(f.index > 2, "*")),
        {},
        "outcome: 'y' must hold numbers but holds text in 3 rows",
    ),
    "numbers stored as text": (
        lambda f: f.assign(y=f["y"].astype(str)),
        {},
        "outcome: 'y' holds numbers stored as text",
    ),
    "NaN in the unit": (
        lambda f: f.assign(unit=f["unit"].where(f.index > 2)),
        {},
        "unit: 'unit' is empty in 3 rows",
    ),
    "NaN in the time": (
        lambda f: f.assign(time=f["time"].where(f.index > 2)),
        {},
        "time: 'time' is empty in 3 rows",
    ),
    "NaN in a covariate": (
        lambda f: f.assign(age=np.where(f.index > 2, 50.0, np.nan)),
        {"covariates": ("age",)},
        "covariates: 'age' is empty in 3 rows",
    ),
    "covariate with 10,000 categories": (
        lambda f: (
            pd.concat([f] * 53, keys=range(53), names=["copy", None])
            .reset_index("copy")
            .assign(unit=lambda g: g["unit"] + 100 * g["copy"])
            .head(10_000)
            .assign(code=MANY.to_numpy())
        ),
        {"covariates": ("code",)},
        "covariates: 'code' is text with 10,000 different values",
    ),
    "time as free text": (
        lambda f: f.assign(time="week " + f["time"].astype(str)),
        {},
        "time: 'time' cannot be used as time: 'week 0'",
    ),
    "time day first": (
        lambda f: f.assign(time="02/04/" + (2010 + f["time"]).astype(str)),
        {},
        "cannot be read as a period",
    ),
    "time with fractions": (lambda f: f.assign(time=f["time"] + 0.5), {}, "holds fractions"),
    "time of mixed lengths": (
        lambda f: f.assign(time=np.where(f["time"] < 4, "2022", "2022-0" + f["time"].astype(str))),
        {"start": "2022-05"},
        "mixes periods of different length",
    ),
    "every row its own moment": (
        lambda f: f.assign(time=np.arange(len(f)), unit=np.arange(len(f))),
        {"start": 50},
        "unit: no unit of 'unit' is observed in more than one period",
    ),
    "start is no number": (lambda f: f, {"start": "2022-04"}, "start: '2022-04' is not a whole number"),
    "negative weights": (
        lambda f: f.assign(people=np.where(f.index < 2, -1, 10)),
        {"weights": "people"},
        "weights: 'people' holds 2 values of zero or less",
    ),
    "unknown comparison group": (
        lambda f: f.assign(region="north"),
        {"comparison": "region", "comparison_groups": ("nroth",)},
        "Did you mean 'north'",
    ),
    "event without a date": (
        lambda f: f,
        {"events": {"spring": "a strike"}},
        "events: 'spring' is not a whole number",
    ),
    "column name twice": (
        lambda f: pd.concat([f, f[["y"]]], axis="columns"),
        {},
        "the column name 'y' occurs twice",
    ),
    "baseline covariate that moves": (
        lambda f: f.assign(age=f["time"] + f["unit"]),
        {"baseline_covariates": ("age",)},
        "baseline_covariates: 'age' changes over time in 24 units",
    ),
    "anticipation eats all periods before": (
        lambda f: f,
        {"anticipation": 4},
        "anticipation: with 4 periods",
    ),
    "window without rows": (lambda f: f, {"first_period": 50}, "first_period, last_period"),
    "permutation inside clusters": (
        lambda f: f.assign(site=f["unit"] % 3),
        {"cluster": "site", "inference": "permutation"},
        "treatment cannot be permuted",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_give_one_clear_error(name, design, data):
    spoil, changes, said = BAD_DATA[name]
    with pytest.raises(qe.DataError) as caught:
        qe.estimate(replace(design, **changes), spoil(data))
    assert said in str(caught.value)
    for problem in caught.value.problems:
        assert ":" in problem and problem.rstrip().endswith("."), problem


@pytest.mark.parametrize(
    "name",
    sorted(
        set(BAD_DATA)
        - {
            "NaN in the outcome",
            "inf in the outcome",
            "text in the outcome",
            "numbers stored as text",
            "baseline covariate that moves",
            "permutation inside clusters",
            "anticipation eats all periods before",
        }
    ),
)
def test_bad_data_are_refused_before_outcomes_too(name, design, data):
    spoil, changes, said = BAD_DATA[name]
    with pytest.raises(qe.DataError) as caught:
        qe.design_checks(replace(design, **changes), spoil(data))
    assert said in str(caught.value)


def test_all_problems_are_reported_together(design, data):
    spoiled = data.assign(y=data["y"].where(data.index > 2, np.inf), treated=data["treated"] * 2)
    with pytest.raises(qe.DataError) as caught:
        qe.estimate(replace(design, start=99), pd.concat([spoiled, spoiled.tail(2)]))
    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        "outcome",
        "treated",
        "unit, time",
        "start",
    }


BAD_DESIGNS = {
    "unknown choice": ({"inference": "wild"}, "inference: 'wild' is not one of the choices"),
    "level out of range": ({"level": 95}, "level: 95 lies outside 0.5 to 0.999"),
    "level as text": ({"level": "0.95"}, "level: '0.95' is not a number"),
    "outcome missing": ({"outcome": None}, "outcome: nothing is given"),
    "two roles for a column": ({"outcome": "unit"}, "outcome, unit: both name the column 'unit'"),
    "covariate is the outcome": ({"covariates": ("y",)}, "covariates: 'y' is already the outcome"),
    "covariate twice": ({"covariates": ("age", "age")}, "covariates: 'age' is named more than once"),
    "bootstrap of independent errors": (
        {"variance": "iid", "inference": "wild cluster bootstrap"},
        "inference, variance: 'wild cluster bootstrap' works on clusters",
    ),
    "fraction of a period": ({"anticipation": 1.5}, "anticipation: 1.5 is not a whole number"),
    "groups without their column": (
        {"comparison_groups": ("north",)},
        "comparison: comparison_groups are given",
    ),
    "arguments as text": ({"arguments": "trust me"}, "arguments: 'trust me' is not a mapping"),
}


@pytest.mark.parametrize("name", BAD_DESIGNS)
def test_bad_designs_are_refused_when_they_are_made(name, design):
    changes, said = BAD_DESIGNS[name]
    with pytest.raises(qe.DesignError) as caught:
        replace(design, **changes)
    assert said in str(caught.value)


def test_not_a_frame(design):
    with pytest.raises(qe.DataError, match="a pandas DataFrame or an Extract is needed, not list"):
        qe.estimate(design, [1, 2])


TIMES = {
    "text months": (lambda t: [f"2022-{1 + m:02d}" for m in t], "2022-05"),
    "text days": (lambda t: [f"2022-{1 + m:02d}-01" for m in t], "2022-05-01"),
    "text quarters": (lambda t: [f"{2020 + m // 4}Q{1 + m % 4}" for m in t], "2021Q1"),
    "text years": (lambda t: [str(2010 + m) for m in t], "2014"),
    "datetimes": (lambda t: pd.to_datetime([f"2022-{1 + m:02d}-01" for m in t]), "2022-05"),
    "datetimes in microseconds": (
        lambda t: pd.to_datetime([f"2022-{1 + m:02d}-01" for m in t]).as_unit("us"),
        pd.Timestamp(2022, 5, 1),
    ),
    "datetimes with a zone": (
        lambda t: pd.to_datetime([f"2022-{1 + m:02d}-01" for m in t]).tz_localize("UTC"),
        "2022-05-01",
    ),
    "periods": (lambda t: pd.PeriodIndex([f"2022-{1 + m:02d}" for m in t], freq="M"), pd.Period("2022-05")),
    "integers": (lambda t: 2015 + t, 2019),
    "nullable integers": (lambda t: pd.array(2015 + t, dtype="Int64"), 2019),
    "whole floats": (lambda t: (2015 + t).astype(float), 2019.0),
    "categories": (lambda t: pd.Categorical([f"2022-{1 + m:02d}" for m in t]), "2022-05"),
    "start between periods": (lambda t: [f"2022-{1 + m:02d}-01" for m in t], "2022-04-20"),
}


@pytest.mark.parametrize("name", TIMES)
def test_time_in_every_usual_form_gives_the_same_estimate(name, design, data):
    make, start = TIMES[name]
    altered = data.assign(time=make(data["time"].to_numpy()))
    assert att(replace(design, start=start), altered) == pytest.approx(att(design, data), rel=1e-12)


def test_many_units_as_categories_with_unused_levels(design, data):
    levels = [f"unit {number:05d}" for number in range(10_000)]
    altered = data.assign(unit=pd.Categorical([levels[u * 7] for u in data["unit"]], categories=levels))
    assert att(design, altered) == pytest.approx(att(design, data), rel=1e-12)


def test_a_start_inside_a_period_is_noted(design, data):
    months = data.assign(time=[f"2022-{1 + m:02d}" for m in data["time"]])
    result = qe.estimate(replace(design, start="2022-04-15"), months)
    assert any("lies inside the period 2022-04" in note for note in result.notes)
    assert result.facts["start"] == "2022-05"


def test_complete_cases_are_counted(design, data):
    spoiled = data.assign(y=data["y"].where(data["unit"] != 3))
    result = qe.estimate(replace(design, missing="complete cases"), spoiled)
    assert any(
        "8 rows were left out" in note and "1 units were lost entirely" in note for note in result.notes
    )
    assert att(replace(design, missing="complete cases"), spoiled) == pytest.approx(
        att(design, data[data["unit"] != 3]), rel=1e-12
    )


def test_equals_the_difference_of_four_means(design, data):
    means = data.groupby(["treated", data["time"] >= 4])["y"].mean()
    by_hand = (means[1, True] - means[1, False]) - (means[0, True] - means[0, False])
    assert att(design, data) == pytest.approx(by_hand, rel=1e-10)


def test_events_are_differences_to_the_reference_period(design, data):
    rows = qe.estimate(design, data).estimates.dropna(subset=["at"]).set_index("at")
    gap = data.groupby(["time", "treated"])["y"].mean().unstack()
    gap = gap[1] - gap[0]
    for at in rows.index:
        assert rows.loc[at, "estimate"] == pytest.approx(gap[at + 4] - gap[3], rel=1e-9)


def test_anticipation_leaves_periods_out_and_moves_the_reference(design, data):
    result = qe.estimate(replace(design, anticipation=1), data)
    kept = data[data["time"] != 3]
    assert result.estimates.loc[0, "estimate"] == pytest.approx(att(design, kept), rel=1e-10)
    assert result.facts["reference period"] == -2
    assert set(result.estimates["at"].dropna()) == {-4, -3, -1, 0, 1, 2, 3}


def test_window_and_comparison_groups(design, data):
    data = data.assign(region=np.where(data["unit"] % 2 == 0, "north", "south"))
    inside = data[data["time"].between(2, 6)]
    windowed = replace(design, first_period=2, last_period=6)
    assert att(windowed, data) == pytest.approx(att(design, inside), rel=1e-12)
    chosen = replace(design, comparison="region", comparison_groups=("north",))
    north = data[(data["treated"] == 1) | (data["region"] == "north")]
    result = qe.estimate(chosen, data)
    assert result.estimates.loc[0, "estimate"] == pytest.approx(att(design, north), rel=1e-12)
    assert any("comparison units only from region = north" in note for note in result.notes)


def test_text_covariates_become_indicators(design, data):
    data = data.assign(kind=np.array(["a", "b", "c"])[(data["unit"] + data["time"]) % 3])
    numeric = data.assign(b=(data["kind"] == "b").astype(float), c=(data["kind"] == "c").astype(float))
    assert att(replace(design, covariates=("kind",)), data) == pytest.approx(
        att(replace(design, covariates=("b", "c")), numeric), rel=1e-10
    )


def test_constant_covariate_is_left_out_with_a_note(design, data):
    result = qe.estimate(
        replace(design, covariates=("list_size",)), data.assign(list_size=data["unit"] * 3.0)
    )
    assert result.estimates.loc[0, "estimate"] == pytest.approx(att(design, data), rel=1e-12)
    assert any("'list_size' does not change within units" in note for note in result.notes)


def test_baseline_covariate_may_change_its_association(design, data):
    base = data.assign(frailty=np.sin(data["unit"]))
    drifting = base.assign(y=base["y"] + base["frailty"] * base["time"] ** 2)
    adjusted = att(replace(design, baseline_covariates=("frailty",)), drifting)
    assert adjusted == pytest.approx(att(replace(design, baseline_covariates=("frailty",)), base), rel=1e-8)
    assert att(design, drifting) != pytest.approx(adjusted, rel=1e-3)


def test_effect_that_cannot_be_told_apart_is_refused(design, data):
    twin = data.assign(exposed=((data["treated"] == 1) & (data["time"] >= 4)).astype(float))
    with pytest.raises(qe.EstimationError, match="cannot be told apart"):
        qe.estimate(replace(design, covariates=("exposed",)), twin)


def test_few_clusters_get_an_interval_made_for_them(design):
    middle = qe.simulate_panel(n_units=20, n_periods=8, n_treated=10, effect=0, seed=2)
    assert "wild cluster bootstrap" in qe.estimate(design, middle).facts["interval by"]
    one = qe.simulate_panel(n_units=27, n_periods=8, n_treated=1, effect=0, seed=2)
    assert "permutation" in qe.estimate(design, one).facts["interval by"]
    many = qe.simulate_panel(n_units=80, n_periods=8, n_treated=40, effect=0, seed=2)
    assert "cluster-robust" in qe.estimate(design, many).facts["interval by"]


def test_one_treated_of_few_has_no_bounded_interval(design):
    data = qe.simulate_panel(n_units=9, n_periods=8, n_treated=1, effect=5, seed=2)
    result = qe.estimate(design, data)
    assert np.isinf(result.estimates.loc[0, ["conf_low", "conf_high"]].astype(float)).all()
    assert "too few clusters for a bounded 95% interval" in result.headline
    assert any("More comparison clusters are needed" in note for note in result.notes)


def test_forced_analytic_interval_with_few_clusters_is_a_concern(design):
    data = qe.simulate_panel(n_units=12, n_periods=8, n_treated=6, seed=2)
    checks = qe.diagnose(qe.estimate(replace(design, inference="analytic"), data), data)
    assert checks["number of clusters"].verdict == "concern"


def test_independent_errors_on_a_panel_are_a_concern(design, data):
    checks = qe.diagnose(qe.estimate(replace(design, variance="iid"), data), data)
    assert checks["number of clusters"].verdict == "concern"
    assert "independent over time" in checks["number of clusters"].text


def test_people_sampled_in_places_keep_the_places_effects(design, data):
    people = pd.concat([data.assign(y=data["y"] + shift) for shift in (-1.0, 0.0, 1.0)], ignore_index=True)
    sampled = replace(design, data="repeated cross-sections of units")
    assert att(sampled, people) == pytest.approx(att(design, data), rel=1e-10)


def test_weights_equal_repeated_rows(design, data):
    weight = 1 + data["unit"] % 3
    repeated = data.loc[data.index.repeat(weight)]
    sampled = replace(design, data="repeated cross-sections of units")
    assert att(replace(design, weights="w"), data.assign(w=weight)) == pytest.approx(
        att(sampled, repeated), rel=1e-10
    )


def test_counts_of_people_are_marked_and_counts_of_organisations_are_not(design, data):
    from qieval.text import Count

    assert isinstance(qe.estimate(design, data).facts["treated units"], Count)
    organisations = replace(design, units_are="organisations")
    assert not isinstance(qe.estimate(organisations, data).facts["treated units"], Count)


def test_headline_has_units_interval_and_no_boast(design, data):
    said = qe.estimate(replace(design, measured_in="admissions per 1,000"), data).headline
    assert "admissions per 1,000" in said and "95% interval" in said and "significant" not in said


def test_published_organ_donation_estimate():
    """Kessler and Roth 2014: about -0.022 in the share who register, worked out by hand from four means."""
    frame = qe.example("organ_donations").frame
    cells = frame.groupby([frame["california"], frame["Quarter_Num"] >= 4])["Rate"].mean()
    by_hand = (cells[1, True] - cells[1, False]) - (cells[0, True] - cells[0, False])
    organ = qe.DifferenceInDifferences(
        outcome="Rate", unit="State", time="Quarter_Num", treated="california", start=4
    )
    assert att(organ, frame) == pytest.approx(by_hand, rel=1e-10)
    assert round(by_hand, 3) == -0.022
