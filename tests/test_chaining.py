"""From matches to the next method: weights and sets by row, panels, attrition, truth and intervals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe

COVARIATES = ("age", "frailty")


def people_over_time(n=400, effect=2.0, seed=1):
    """Frailty leads to the service and to a rising outcome: trends are parallel among the equally frail."""
    rng = np.random.default_rng(seed)
    age, frailty = rng.normal(70, 8, n), rng.normal(0, 1, n)
    service = (rng.random(n) < 1 / (1 + np.exp(1.2 - frailty))).astype(int)
    people = pd.DataFrame({"id": np.arange(n), "service": service, "age": age, "frailty": frailty})
    own = rng.normal(0, 1, n)
    rows = [
        people[["id"]].assign(
            month=month,
            visits=5 + own + frailty * month + effect * service * (month >= 3) + rng.normal(0, 1, n),
        )
        for month in range(6)
    ]
    return people, pd.concat(rows, ignore_index=True)


def nearest(**fields):
    return qe.Matching(treated="service", covariates=COVARIATES, caliper=0.1, **fields)


def change(panel, **fields):
    return qe.DifferenceInDifferences(
        outcome="visits", unit="id", time="month", treated="service", start=3, **fields
    )


RUNS = 12
WEIGHTED = {"weights": "matching_weight", "cluster": "matched_set"}


@pytest.fixture(scope="module")
def study():
    people, panel = people_over_time()
    return people, panel, qe.estimate(nearest(person="id"), people)


def test_rows_weights_and_sets_are_those_of_the_result(study):
    people, _, pairs = study
    frame = qe.matched(pairs, people).frame
    held = pairs.weights.set_index("row")
    assert set(frame.index) == set(held.index) and list(frame.index) == sorted(frame.index)
    assert frame["matching_weight"].equals(held["weight"].loc[frame.index].rename("matching_weight"))
    in_sets = frame.groupby("matched_set")["service"].agg(["size", "sum"])
    assert (in_sets["size"] == 2).all() and (in_sets["sum"] == 1).all()
    assert list(people.columns) == ["id", "service", "age", "frailty"]  # the data are as they were


def test_labels_of_rows_may_be_anything(study):
    people, _, pairs = study
    named = people.set_axis([f"row {at}" for at in people["id"]])
    shuffled = named.sample(frac=1, random_state=3)
    found = qe.matched(qe.estimate(nearest(), shuffled), shuffled).frame
    assert set(found["id"]) == set(qe.matched(pairs, people).frame["id"])


def test_attrition_goes_on(study):
    people, _, _ = study
    held = qe.Extract(frame=people, source="a file", person="id").keep(people["age"] > 60, "younger than 60")
    found = qe.matched(qe.estimate(nearest(), held), held)
    assert found.attrition["reason"].tolist()[1] == "younger than 60"
    assert found.attrition["reason"].tolist()[2].startswith("not among those compared (1:1 nearest")
    assert found.attrition["people"].iloc[-1] == len(found.frame)
    found.check()


def test_who_is_not_paired_is_a_set_of_their_own(study):
    people, _, _ = study
    weighted = qe.estimate(qe.Weighting(treated="service", covariates=COVARIATES, estimand="ATE"), people)
    frame = qe.matched(weighted, people).frame
    assert frame["matched_set"].is_unique and len(frame) == len(people)
    again = qe.estimate(nearest(replacement="with"), people)
    assert qe.matched(again, people).frame["matched_set"].is_unique


def test_matched_difference_in_differences_recovers_the_truth(study):
    people, panel, pairs = study
    held = qe.matched(pairs, people, panel=panel, unit="id")
    assert {"matching_weight", "matched_set", "service"} <= set(held.frame.columns)
    assert held.frame["id"].nunique() == len(pairs.weights)
    found = qe.estimate(change(panel, **WEIGHTED), held).estimates.query("at.isna()").iloc[0]
    everybody = panel.merge(people[["id", "service"]], on="id")
    biased = qe.estimate(change(panel), everybody).estimates.query("at.isna()").iloc[0]
    assert abs(found["estimate"] - 2) < 3 * found["std_error"] < 1
    assert biased["conf_low"] > 2.5  # without matching frailty's trend counts as effect


def test_clusters_are_the_matched_sets(study):
    people, panel, pairs = study
    held = qe.matched(pairs, people, panel=panel)
    result = qe.estimate(change(panel, **WEIGHTED), held)
    assert result.facts["clusters"] == pairs.facts["pairs"]


def test_intervals_know_about_pairs():
    """Partners are alike in what drives the change, so that sets are more precise than people alone."""
    errors, held_truth = {"matched_set": [], "id": []}, 0
    for seed in range(RUNS):
        people, panel = people_over_time(n=100, seed=seed)
        pairs = qe.estimate(nearest(person="id"), people)
        held = qe.matched(pairs, people, panel=panel)
        for cluster, kept in errors.items():
            design = change(panel, weights="matching_weight", cluster=cluster, inference="analytic")
            row = qe.estimate(design, held).estimates.query("at.isna()").iloc[0]
            kept.append(row["std_error"])
            held_truth += cluster == "matched_set" and row["conf_low"] < 2 < row["conf_high"]
    assert np.mean(errors["matched_set"]) < np.mean(errors["id"])
    assert held_truth >= RUNS - 2


def test_weights_chain_too(study):
    people, panel, _ = study
    made = qe.Weighting(treated="service", covariates=COVARIATES, method="entropy balancing", person="id")
    held = qe.matched(qe.estimate(made, people), people, panel=panel)
    row = qe.estimate(change(panel, **WEIGHTED), held).estimates.query("at.isna()").iloc[0]
    assert abs(row["estimate"] - 2) < 3.5 * row["std_error"] < 2


def test_the_panel_may_name_people_otherwise(study):
    people, panel, _ = study
    other = panel.rename(columns={"id": "patient"})
    pairs = qe.estimate(nearest(person="id"), people)
    held = qe.matched(pairs, people, panel=other, unit="patient")
    assert held.frame["patient"].nunique() == len(pairs.weights) and held.person == "patient"


def test_matched_people_without_panel_rows_are_counted(study):
    people, panel, pairs = study
    gone = pairs.weights["row"].iloc[:2]
    held = qe.matched(pairs, people, panel=panel[~panel["id"].isin(gone)])
    assert held.notes[0].startswith("2 matched people have no rows in the panel, which leaves 2 matched sets")


def test_other_data_are_refused(study):
    people, _, pairs = study
    with pytest.raises(qe.DataError, match="not the data of the result"):
        qe.matched(pairs, people.assign(age=people["age"] + 1))
    with pytest.raises(qe.DataError, match="not the data of the result"):
        qe.matched(pairs, people.drop(columns="age"))


def test_repeated_row_labels_are_refused(study):
    people, _, _ = study
    doubled = people.set_axis(people.index // 2)
    with pytest.raises(qe.DataError, match="row labels repeat"):
        qe.matched(qe.estimate(nearest(), doubled), doubled)


def test_matching_twice_needs_other_names(study):
    people, panel, pairs = study
    once = qe.matched(pairs, people)
    again = qe.estimate(nearest(), once)
    with pytest.raises(qe.DataError, match="matching_weight, matched_set are there already"):
        qe.matched(again, once)
    with pytest.raises(qe.DataError, match="matched_set is there already"):
        qe.matched(pairs, people, panel=panel.assign(matched_set=1))


def test_a_panel_needs_to_know_who_is_who(study):
    people, panel, pairs = study
    unnamed = qe.estimate(nearest(), people)
    with pytest.raises(qe.DesignError, match="unit: nothing says who is who"):
        qe.matched(unnamed, people, panel=panel)
    with pytest.raises(qe.DataError, match="no column 'patient' in the panel"):
        qe.matched(pairs, people, panel=panel, unit="patient")
    with pytest.raises(qe.DataError, match="none of the matched people occurs"):
        qe.matched(pairs, people, panel=panel.assign(id=panel["id"].astype(str) + "x"))


def test_people_in_several_matched_rows_are_refused(study):
    people, panel, _ = study
    twice = pd.concat([people, people[people["service"] == 0].assign(wave=1)]).fillna({"wave": 0})
    twice = twice.reset_index(drop=True)
    pairs = qe.estimate(replace(nearest(person="id"), exact=("wave",)), twice)
    full = qe.estimate(qe.Weighting(treated="service", covariates=("age",)), twice)
    assert qe.matched(pairs, twice, panel=panel).frame["id"].nunique() == len(pairs.weights)
    with pytest.raises(qe.DataError, match="take part in several matched rows"):
        qe.matched(full, twice, panel=panel, unit="id")


def test_only_comparisons_of_people_have_weights():
    data = qe.simulate_panel(n_units=20, n_periods=6, n_treated=8, seed=1)
    design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=3)
    with pytest.raises(qe.DesignError, match="gives no weights of people"):
        qe.matched(qe.estimate(design, data), data)
