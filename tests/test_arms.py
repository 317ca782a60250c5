"""More than two arms in pairs: recoding, own populations, truth recovered, Holm, bad input."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.arms import holm

EFFECTS = {"usual": 0.0, "nurse": 2.0, "pharmacist": -1.0}


def three_arms(n=3000, seed=1):
    """Sicker people see the nurse more often; both services have constant effects on y."""
    rng = np.random.default_rng(seed)
    age, frailty = rng.normal(70, 8, n), rng.gamma(2.0, 1.0, n)
    tendency = np.column_stack([np.zeros(n), -0.5 + 0.4 * (frailty - 2), 0.05 * (age - 70) - 0.3])
    shares = np.exp(tendency) / np.exp(tendency).sum(axis=1, keepdims=True)
    arm = np.array(list(EFFECTS))[(rng.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1)]
    y = 0.1 * age + 1.5 * frailty + pd.Series(arm).map(EFFECTS).to_numpy() + rng.normal(0, 1, n)
    return pd.DataFrame({"arm": arm, "age": age, "frailty": frailty, "y": y})


@pytest.fixture(scope="module")
def people():
    return three_arms()


@pytest.fixture(scope="module")
def design():
    return qe.Weighting(treated="arm", covariates=("age", "frailty"), outcome="y", method="entropy balancing")


@pytest.fixture(scope="module")
def compared(design, people):
    return qe.compare_arms(design, people, "arm", arms=tuple(EFFECTS))


def test_every_pair_recovers_its_effect(compared, people):
    table = compared.table.set_index("label")
    assert list(table.index) == ["nurse vs usual", "pharmacist vs usual", "pharmacist vs nurse"]
    for _, row in table.iterrows():
        truth = EFFECTS[row["second"]] - EFFECTS[row["first"]]
        assert abs(row["estimate"] - truth) < 3.5 * row["std_error"] < 0.4
        assert row["largest_difference"] < 1e-8
    sizes = people["arm"].value_counts()
    assert (table["first_rows"] == table["first"].map(sizes)).all()
    assert (table["second_rows"] == table["second"].map(sizes)).all()
    crude = people.groupby("arm")["y"].mean()
    assert abs(crude["nurse"] - crude["usual"] - 2) > 0.3  # the raw difference is biased


def test_a_pair_is_the_two_arm_comparison_of_its_rows(compared, design, people):
    rows = people[people["arm"] != "nurse"].assign(
        treated=lambda held: (held["arm"] == "pharmacist").astype(int)
    )
    alone = qe.estimate(replace(design, treated="treated"), rows)
    row = compared.table.set_index("label").loc["pharmacist vs usual"]
    main = alone.estimates.iloc[0]
    assert (row["estimate"], row["conf_low"]) == (main["estimate"], main["conf_low"])
    assert row["treated_used"] == alone.facts["treated units"]


def test_each_pair_says_whom_it_speaks_for(compared, people, design):
    assert compared.table["estimand"].tolist() == [
        "effect in those with arm = nurse (ATT)",
        "effect in those with arm = pharmacist (ATT)",
        "effect in those with arm = pharmacist (ATT)",
    ]
    assert "speaks for its own people" in compared.notes[0]
    everybody = qe.compare_arms(replace(design, estimand="ATE"), people, "arm", ["usual", "nurse"])
    assert everybody.table["estimand"].tolist() == ["effect in both arms (ATE)"]
    reverse = qe.compare_arms(replace(design, estimand="ATC"), people, "arm", ["usual", "nurse"])
    assert reverse.table["estimand"].tolist() == ["effect in those with arm = usual (ATC)"]


def test_holm_by_hand_and_in_the_table(compared):
    given = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    assert holm(given)[[0, 2, 3, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert np.isnan(holm(given)[1])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    table = compared.table
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p_value"].to_numpy()).tolist())
    assert (table["p_holm"] >= table["p_value"]).all()


def test_order_of_arms_decides_who_is_compared_with_whom(design, people, compared):
    turned = qe.compare_arms(replace(design, estimand="ATC"), people, "arm", arms=["nurse", "usual"])
    assert turned.table["label"].tolist() == ["usual vs nurse"]
    assert turned.table["estimate"].iloc[0] == pytest.approx(-compared.table["estimate"].iloc[0])
    assert qe.compare_arms(design, people, "arm").table["first"].tolist() == ["nurse", "nurse", "pharmacist"]


def test_numbered_arms_and_categories(design, people):
    numbered = people.assign(arm=people["arm"].map({"usual": 0, "nurse": 1, "pharmacist": 2}))
    labels = ["1 vs 0", "2 vs 0", "2 vs 1"]
    assert qe.compare_arms(design, numbered, "arm").table["label"].tolist() == labels
    category = people.assign(arm=people["arm"].astype("category"))
    assert qe.compare_arms(design, category, "arm").table["estimate"].notna().all()


def test_a_pair_that_cannot_be_compared_keeps_its_row(people):
    design = qe.Matching(treated="arm", covariates=("age",), calipers={"age": "1"}, outcome="y", exact="area")
    rows = people.assign(area=np.where(people["arm"] == "nurse", "north", "south"))
    table = qe.compare_arms(design, rows, "arm", tuple(EFFECTS)).table.set_index("label")
    assert "nobody finds a partner" in table.loc["nurse vs usual", "note"]
    assert np.isnan(table.loc["nurse vs usual", "p_holm"])
    assert table.loc["pharmacist vs usual", "note"] == ""
    assert table.loc["pharmacist vs usual", "p_holm"] == table.loc["pharmacist vs usual", "p_value"]


def test_rows_without_an_arm_are_refused_or_counted(design, people):
    rows = people.assign(arm=people["arm"].where(people.index > 4))
    with pytest.raises(qe.DataError, match="arm: 'arm' is empty in 5 rows"):
        qe.compare_arms(design, rows, "arm")
    found = qe.compare_arms(replace(design, missing="complete cases"), rows, "arm")
    assert "5 rows were left out" in found.notes[-1]
    assert len(found.table) == 3


BAD = {
    "no such column": (lambda f: f, {"arm": "arms"}, "arm: there is no column 'arms'"),
    "one arm": (lambda f: f[f["arm"] == "nurse"], {}, "arm: 'arm' holds 1 arm"),
    "an arm that does not occur": (lambda f: f, {"arms": ["usual", "nurze"]}, "Did you mean 'nurse'"),
    "one arm named": (lambda f: f, {"arms": ["nurse"]}, "holds 1 arm|two or more"),
    "a word for a list": (lambda f: f, {"arms": "nurse"}, "arms: one arm has nothing"),
    "an identifier": (lambda f: f.assign(arm=f.index), {}, "3,000 different values"),
    "the arm is a covariate": (lambda f: f, {"arm": "age"}, "covariates: 'age' is the treated"),
    "the arm is the outcome": (lambda f: f, {"arm": "y"}, "outcome, treated: both name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, design, people):
    change, given, words = BAD[case]
    with pytest.raises(qe.QievalError, match=words):
        qe.compare_arms(design, change(people), **{"arm": "arm", **given})


def test_pairs_are_drawn(compared):
    assert set(qe.plot(compared).data["which"]) == {"within 0.1"}
    assert "Arms compared in pairs" in compared._repr_html_()
