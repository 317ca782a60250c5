"""Before and after: the numbers, the regression to the mean, what can never be removed, and bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import qieval as qe
from qieval.data import simulate_frequent_attenders


def wide(n=200, seed=1):
    rng = np.random.default_rng(seed)
    level = rng.normal(50, 5, n)
    return pd.DataFrame(
        {
            "person": np.arange(n),
            "before": level + rng.normal(0, 3, n),
            "after": level + rng.normal(-2, 3, n),
            "ward": rng.integers(0, 45, n),
        }
    )


WIDE = qe.BeforeAfter(outcome="after", before="before")
LONG = qe.BeforeAfter(outcome="y", unit="person", time="year", start=2020)


def as_long(frame):
    sides = {2019: frame["before"], 2020: frame["after"]}
    return pd.concat(
        [pd.DataFrame({"person": frame["person"], "year": year, "y": y}) for year, y in sides.items()]
    )


def test_the_interval_is_that_of_a_paired_t_test():
    frame = wide()
    row = qe.estimate(WIDE, frame).estimates.iloc[0]
    t = scipy.stats.ttest_rel(frame["after"], frame["before"])
    ends = t.confidence_interval()
    assert row["term"] == "change"
    assert row["estimate"] == pytest.approx((frame["after"] - frame["before"]).mean(), rel=1e-12)
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((ends.low, ends.high), rel=1e-10)
    assert row["p_value"] == pytest.approx(t.pvalue, rel=1e-9)


def test_one_row_a_person_and_one_row_a_period_say_the_same():
    frame = wide()
    one, other = qe.estimate(WIDE, frame).estimates, qe.estimate(LONG, as_long(frame)).estimates
    pd.testing.assert_frame_equal(one, other)


def test_clusters_widen_the_interval_as_cluster_robust_errors_do():
    frame = wide()
    found = qe.estimate(qe.BeforeAfter(outcome="after", before="before", cluster="ward"), frame)
    change = frame["after"] - frame["before"]
    sums = (change - change.mean()).groupby(frame["ward"]).sum()
    groups = len(sums)
    by_hand = np.sqrt((sums**2).sum() * groups / (groups - 1)) / len(frame)
    assert found.estimates.loc[0, "std_error"] == pytest.approx(by_hand, rel=1e-12)


def test_risks_and_rates_have_ratios():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"before": rng.integers(0, 2, 300), "after": rng.integers(0, 2, 300)})
    terms = qe.estimate(WIDE, frame).estimates["term"].tolist()
    assert terms == ["risk change", "risk ratio"]
    frame = pd.DataFrame(
        {
            "before": rng.poisson(3, 300),
            "after": rng.poisson(2, 300),
            "t0": rng.uniform(0.5, 1, 300),
            "t1": 1.0,
        }
    )
    rates = qe.BeforeAfter(
        outcome="after", before="before", person_time="t1", person_time_before="t0", effect="ratio"
    )
    row = qe.estimate(rates, frame).estimates.iloc[0]
    assert row["term"] == "rate ratio"
    assert row["estimate"] == pytest.approx(
        frame["after"].mean() / (frame["before"].sum() / frame["t0"].sum())
    )


def test_several_periods_are_averaged():
    frame = pd.DataFrame(
        {"person": [1, 1, 1, 2, 2, 2], "year": [1, 2, 3] * 2, "y": [4.0, 6.0, 1.0, 1.0, 3.0, 5.0]}
    )
    found = qe.estimate(qe.BeforeAfter(outcome="y", unit="person", time="year", start=3), frame)
    assert found.facts["outcome before"] == pytest.approx(3.5)
    assert found.facts["outcome after"] == pytest.approx(3.0)


FREQUENT = qe.BeforeAfter(
    outcome="visits_after",
    before="visits_before",
    selected="high values",
    threshold=4,
    population_mean=0.98,
    population_sd=1.534,
)


def test_an_intervention_without_effect_is_seen_as_regression_to_the_mean():
    made = simulate_frequent_attenders(trend=1.0, seed=20)
    found = qe.estimate(FREQUENT, made.frame).estimates.set_index("term")
    assert found.loc["change", "conf_high"] < -1
    expected = found.loc["expected from regression to the mean", "estimate"]
    assert expected == pytest.approx(made.truth["regression to the mean"], abs=0.1)
    beyond = found.loc["change beyond regression to the mean"]
    assert beyond["conf_low"] < 0 < beyond["conf_high"]


def test_a_real_effect_is_left_beyond_regression_to_the_mean():
    made = simulate_frequent_attenders(rate_ratio=0.6, trend=1.0, seed=20)
    beyond = (
        qe.estimate(FREQUENT, made.frame)
        .estimates.set_index("term")
        .loc["change beyond regression to the mean"]
    )
    assert beyond["conf_low"] < made.truth["visits"] < beyond["conf_high"] < 0


@pytest.mark.parametrize(
    "design", [WIDE, qe.BeforeAfter(outcome="after", before="before", expected_change=-1.0, reliability=0.9)]
)
def test_the_two_warnings_are_concerns_whatever_is_said(design):
    frame = wide()
    ledger = qe.diagnose(qe.estimate(design, frame), frame).ledger.set_index("assumption")
    assert ledger.loc["no regression to the mean", "verdict"] == "concern"
    assert ledger.loc["no secular trend", "verdict"] == "concern"
    assert "difference-in-differences" in ledger.loc["the result is a hypothesis", "text"]


def test_the_result_is_labelled_a_hypothesis():
    frame = wide()
    result = qe.estimate(WIDE, frame)
    assert "hypothesis" in result.headline
    made = qe.report(result, qe.diagnose(result, frame))
    assert "hypothesis" in made.html


def test_a_known_trend_is_taken_off():
    found = qe.estimate(
        qe.BeforeAfter(outcome="after", before="before", expected_change=-1.0), wide()
    ).estimates
    change, beyond = found.iloc[0], found.set_index("term").loc["change beyond the expected trend"]
    assert beyond["estimate"] == pytest.approx(change["estimate"] + 1.0)


BAD = {
    "nobody after": (LONG, lambda f: as_long(f).query("year < 2020"), "start"),
    "no value before": (LONG, lambda f: as_long(f).query("year > 2019"), "start"),
    "nobody on both sides": (
        LONG,
        lambda f: as_long(f)[lambda g: (g["person"] % 2 == 0) == (g["year"] == 2020)],
        "both sides",
    ),
    "rows twice": (LONG, lambda f: pd.concat([as_long(f), as_long(f).head(3)]), "repeat an earlier pair"),
    "missing": (WIDE, lambda f: f.assign(after=f["after"].where(f.index > 2)), "empty in 3 rows"),
    "missing in long": (LONG, lambda f: as_long(f).assign(y=lambda g: g["y"].where(g["y"] > 45)), "is empty"),
    "infinite": (WIDE, lambda f: f.assign(after=f["after"].where(f.index > 2, np.inf)), "infinite"),
    "text": (WIDE, lambda f: f.assign(before=f["before"].astype(object).where(f.index > 2, "*")), "text"),
    "one person": (WIDE, lambda f: f.head(1), "1 person has"),
    "no rows": (WIDE, lambda f: f.head(0), "no rows"),
    "no such column": (WIDE, lambda f: f.drop(columns="before"), "no column 'before'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_give_one_clear_error(name):
    design, spoil, words = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(qe.DataError, match=words):
            qe.estimate(design, spoil(wide()))


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"outcome": "y"}, "nothing says which value is the one before"),
        ({"outcome": "y", "before": "y"}, "Two measurements are needed"),
        ({"outcome": "y", "before": "x", "time": "t", "start": 3}, "either one row per person"),
        ({"outcome": "y", "before": "x", "level": 95}, "level: 95"),
        ({"outcome": "y", "before": "x", "threshold": 4}, "selected"),
        ({"outcome": "y", "before": "x", "selected": "high values", "population_sd": -1.0}, "above 0"),
        ({"outcome": "y", "before": "x", "person_time": "t"}, "both sides"),
        ({"outcome": "y", "before": "x", "cluster": "y"}, "only known afterwards"),
        ({"outcome": "y", "before": "x", "selected": "high values", "selected_on": "y"}, "afterwards"),
        ({"outcome": "y", "before": "x", "population_mean": np.nan}, "is not a number"),
    ],
)
def test_contradictions_are_named(fields, words):
    with pytest.raises(qe.DesignError, match=words):
        qe.BeforeAfter(**fields)


def test_people_without_both_values_are_counted():
    frame = as_long(wide())
    result = qe.estimate(LONG, frame[(frame["person"] > 9) | (frame["year"] == 2019)])
    assert any("10 rows" in str(note) and "both sides" in str(note) for note in result.notes)
    assert qe.diagnose(result, frame[(frame["person"] > 9) | (frame["year"] == 2019)])["who was lost"].verdict


def test_people_with_a_missing_value_are_left_out_and_counted():
    frame = wide().assign(after=lambda f: f["after"].where(f.index > 4))
    result = qe.estimate(qe.BeforeAfter(outcome="after", before="before", missing="complete cases"), frame)
    assert result.facts["units seen before and after"] == 195
    assert any("5 rows were left out" in str(note) for note in result.notes)


@pytest.mark.parametrize("selected, mean", [("high values", 60.0), ("low values", 40.0)])
def test_a_selection_that_the_values_contradict_is_refused(selected, mean):
    design = qe.BeforeAfter(
        outcome="after", before="before", selected=selected, population_mean=mean, reliability=0.7
    )
    with pytest.raises(qe.EstimationError, match="does not lie"):
        qe.estimate(design, wide())


def test_one_cluster_or_no_change_at_all_is_refused():
    with pytest.raises(qe.EstimationError, match="one cluster"):
        qe.estimate(qe.BeforeAfter(outcome="after", before="before", cluster="ward"), wide().assign(ward=1))
    with pytest.raises(qe.EstimationError, match="same value before"):
        qe.estimate(WIDE, wide().assign(before=1.0, after=1.0))
