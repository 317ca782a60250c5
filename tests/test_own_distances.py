"""Matching on a table of distances that the user brings."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe

COVARIATES = ["age", "frailty", "emergency_admissions_before"]


@pytest.fixture
def people() -> pd.DataFrame:
    return qe.example("community_service").frame.head(400)


def distances(people: pd.DataFrame) -> pd.DataFrame:
    treated, others = people[people["service"] == 1], people[people["service"] == 0]
    gap = np.abs(treated["age"].to_numpy()[:, None] - others["age"].to_numpy())
    return pd.DataFrame(gap, index=treated.index, columns=others.index)


@pytest.mark.parametrize("method", ["nearest", "optimal", "full"])
def test_the_weights_found_can_be_estimated_with(people, method):
    found = qe.match_matrix(distances(people), qe.MatrixRule(method=method))
    design = qe.Matching(
        treated="service",
        covariates=tuple(COVARIATES),
        outcome="cost",
        method="as given",
        given_weights="matching_weight",
        given_sets="matched_set",
    )
    result = qe.estimate(design, people.join(found))
    table = qe.balance(
        people, "service", ["age"], weights=found["matching_weight"].reindex(people.index)
    ).table
    assert abs(table.loc[table["sample"] == "after", "standardised_difference"].iloc[0]) < 0.05
    assert result.facts["standard error"] == "clustered by matched set"
    weight = found["matching_weight"].reindex(people.index)
    means = (
        people["cost"]
        .groupby(people["service"])
        .apply(lambda held: np.average(held, weights=weight[held.index]))
    )
    assert result.estimates.loc[0, "estimate"] == pytest.approx(means[1] - means[0], rel=1e-12)


def test_optimal_is_never_worse_than_nearest(people):
    table = distances(people)

    def total(method: str) -> float:
        found = qe.match_matrix(table, qe.MatrixRule(method=method))
        sets = found[found["matched_set"] >= 0].reset_index().groupby("matched_set")["index"].agg(list)
        return sum(table.loc[first, second] for first, second in sets)

    assert total("optimal") <= total("nearest")


def test_forbidden_pairs_are_not_made():
    table = pd.DataFrame([[np.nan, 3.0], [1.0, np.inf]], index=["a", "b"], columns=["x", "y"])
    found = qe.match_matrix(table)
    assert found.loc["a", "matched_set"] == found.loc["y", "matched_set"]
    assert found.loc["b", "matched_set"] == found.loc["x", "matched_set"]


def test_bad_tables_are_refused_in_words():
    repeated = pd.DataFrame([[1.0]], index=["a"], columns=["a"])
    with pytest.raises(qe.DataError, match="occurs twice"):
        qe.match_matrix(repeated)
    with pytest.raises(qe.DataError, match="holds text"):
        qe.match_matrix(pd.DataFrame([["near"]], index=["a"], columns=["x"]))
    with pytest.raises(qe.DesignError, match="only 1 comparison"):
        qe.match_matrix(pd.DataFrame([[1.0]], index=["a"], columns=["x"]), qe.MatrixRule(ratio=2))
    with pytest.raises(qe.DesignError, match="go together"):
        qe.Matching(treated="t", covariates=("x",), method="as given")


def test_weights_below_zero_are_refused(people):
    design = qe.Matching(
        treated="service", covariates=("age",), method="as given", given_weights="w", outcome="cost"
    )
    with pytest.raises(qe.DataError, match="given_weights: 'w' holds values below zero"):
        qe.estimate(design, people.assign(w=-1.0))
