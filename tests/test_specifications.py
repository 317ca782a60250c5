"""The specification panel: rows, reasons, the question that is kept, balance, notes and picture."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.plots import variation
from qieval.specifications import COLUMNS

COVARIATES = ("age", "sex", "frailty", "emergency_admissions_before")


@pytest.fixture(scope="module")
def people():
    return qe.data.simulate_cohort(900, seed=3).frame


@pytest.fixture(scope="module")
def design():
    return qe.Matching(treated="service", covariates=COVARIATES, outcome="cost", caliper=0.2)


@pytest.fixture(scope="module")
def panel(design, people):
    return qe.specifications(design, people)


def test_every_way_answers_with_its_balance(panel, design):
    table = panel.table
    assert tuple(table.columns) == COLUMNS
    assert table["label"].iloc[0] == "as designed"
    # the design is one of the ways, so that way is not repeated
    assert len(table) == len(qe.ways_of(design))
    assert "nearest, caliper 0.2 SD" not in set(table["label"])
    assert (table["note"] == "").all()
    numbers = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "largest_difference"]
    assert np.isfinite(table[numbers].to_numpy(dtype=float)).all()
    assert (table["conf_low"] < table["estimate"]).all() and (table["estimate"] < table["conf_high"]).all()


def test_each_row_is_what_estimate_gives(panel, design, people):
    rows = panel.table.set_index("label")
    own = {
        "as designed": design,
        "full matching": replace(design, method="full", caliper=0),
        "entropy balancing": qe.Weighting(
            treated="service", covariates=COVARIATES, outcome="cost", method="entropy balancing"
        ),
        "regression after nearest": replace(design, outcome_model="covariates"),
    }
    for label, stated in own.items():
        found = qe.estimate(stated, people)
        row = rows.loc[label]
        main = found.estimates.iloc[0]
        assert (row["estimate"], row["std_error"]) == (main["estimate"], main["std_error"])
        assert row["largest_difference"] == found.facts["largest standardised difference after"]
        assert row["treated_used"] == found.facts["treated units"]
        assert row["comparison_effective"] == found.facts["effective size of the comparison group"]
        assert row["estimand"] == found.facts["estimand"]


def test_notes_say_the_range_and_who_balances(panel):
    table = panel.table
    low, high = table["estimate"].min(), table["estimate"].max()
    assert f"{round(low)}" in panel.notes[0].replace(",", "") and "15 ways" in panel.notes[0]
    assert low < high
    balanced = (table["largest_difference"] <= 0.1).sum()
    assert panel.notes[1].startswith(f"{balanced} of 15 ways")
    assert any("do not all speak for the same people" in note for note in panel.notes)
    assert panel.notes[0] in repr(panel) and "largest difference" in panel._repr_html_()


def test_some_ways_by_label_and_ways_of_your_own(design, people):
    some = qe.specifications(design, people, ways="full matching")
    assert some.table["label"].tolist() == ["as designed", "full matching"]
    own = qe.specifications(design, people, ways={"2 SD": replace(design, caliper=2)})
    assert own.table["label"].tolist() == ["as designed", "2 SD"]
    with pytest.raises(qe.DesignError, match=r"ways: 'full match' is not one of them. Did you mean"):
        qe.specifications(design, people, ways=["full match"])


def test_a_way_that_fails_keeps_its_row_with_the_reason(design, people):
    everybody = replace(design, estimand="ATE", method="full", caliper=0)
    panel = qe.specifications(everybody, people, ways=["optimal pairs", "inverse probability"])
    failed = panel.table.set_index("label").loc["optimal pairs"]
    assert np.isnan(failed["estimate"]) and "finds partners for one group" in failed["note"]
    assert "No answer from: optimal pairs. The note says why." in panel.notes
    assert panel.table["note"].iloc[[0, 2]].tolist() == ["", ""]


def test_a_design_that_leaves_nobody_does_not_stop_the_others(design, people):
    alone = replace(design, caliper=1e-9, caliper_in="units of the score")
    table = qe.specifications(alone, people, ways=["full matching"]).table
    assert "nobody finds a partner" in table["note"].iloc[0]
    assert table["note"].iloc[1] == ""


def test_a_problem_of_the_data_is_raised_at_once(design, people):
    with pytest.raises(qe.DataError, match="covariates: 'age' is empty in 3 rows"):
        qe.specifications(design, people.assign(age=people["age"].where(people.index > 2)))


@pytest.mark.parametrize("kind", ["weighting", "genetic"])
def test_any_comparison_of_people_can_be_asked(kind, people):
    made = qe.Weighting if kind == "weighting" else qe.GeneticMatching
    fields = {} if kind == "weighting" else {"evaluations": 100, "restarts": 1, "exact": "sex"}
    design = made(treated="service", covariates=COVARIATES, outcome="died", **fields)
    ways = ["nearest with replacement", "overlap weights"]
    table = qe.specifications(design, people, ways).table
    assert (table["note"] == "").all() and (table["term"] == "risk difference").all()
    assert "overlap" in table["estimand"].iloc[2]


def test_exact_characteristics_stay_exact_or_become_covariates(people):
    design = qe.Matching(treated="service", covariates=("age",), exact="sex", outcome="cost")
    ways = qe.ways_of(design)
    assert ways["full matching"][1]["exact"] == ("sex",)
    assert ways["entropy balancing"][1]["covariates"] == ("age", "sex")


def test_rates_do_not_ask_for_abadie_imbens(people):
    design = qe.Matching(
        treated="service", covariates=COVARIATES, outcome="admissions_after", person_time="person_years"
    )
    table = qe.specifications(design, people, ["nearest with replacement", "regression with weights"]).table
    assert (table["note"] == "").all()
    assert (table["term"] == "rate difference").all()


def test_without_an_outcome_only_balance_is_compared(design, people):
    blind = replace(design, outcome=None)
    panel = qe.specifications(blind, people.drop(columns="cost"), ["full matching", "CBPS"])
    assert panel.table["estimate"].isna().all() and panel.table["term"].isna().all()
    assert (panel.table["largest_difference"] < 0.3).all()
    assert not any("estimate runs" in note for note in panel.notes)
    with pytest.raises(qe.EstimationError, match="no estimate to draw"):
        qe.plot(panel)


def test_many_characteristics_of_many_people_get_no_short_search(people):
    wide = people.assign(**{f"x{i}": np.random.default_rng(i).normal(size=len(people)) for i in range(80)})
    design = qe.Matching(treated="service", covariates=tuple(f"x{i}" for i in range(80)), outcome="cost")
    note = qe.specifications(design, wide, ["genetic matching, short search"]).table["note"].iloc[1]
    assert "none was made" in note and "GeneticMatching" in note


def test_other_methods_have_no_such_panel():
    data = qe.simulate_panel(n_units=20, n_periods=6, n_treated=8, seed=1)
    design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=3)
    with pytest.raises(qe.DesignError, match=r"use qe\.vary"):
        qe.specifications(design, data)


def test_the_picture_shows_balance(panel, tmp_path):
    picture = qe.plot(panel)
    assert set(picture.data["which"]) <= {"within 0.1", "0.1 to 0.25", "above 0.25"}
    picture.save(tmp_path / "panel.png", verbose=False)
    assert (tmp_path / "panel.png").stat().st_size > 10_000


@pytest.mark.parametrize(("effect", "nothing"), [("ratio", 1.0), ("difference", 0.0)])
def test_the_line_of_no_effect(effect, nothing, design, people):
    panel = qe.specifications(replace(design, outcome="died", effect=effect), people, ["CBPS"])
    assert panel.table["term"].eq(f"risk {effect}").all()
    assert variation.no_effect(panel.table) == nothing


def test_a_report_takes_the_panel_as_sensitivity_analysis():
    people = qe.data.simulate_cohort(250, seed=3).frame
    design = qe.Weighting(treated="service", covariates=("age", "frailty"), outcome="cost")
    result = qe.estimate(design, people)
    panel = qe.specifications(design, people, ["full matching", "CBPS"])
    made = qe.report(result, qe.diagnose(result, people), variation=panel)
    assert "Over 3 designs the estimate runs" in made.html


def test_the_table_is_a_plain_frame(panel):
    assert isinstance(panel.table, pd.DataFrame) and isinstance(panel, qe.Variation)
