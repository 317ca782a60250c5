"""Genetic matching: bad input, and what is the same however often it is asked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe


@pytest.fixture(scope="module")
def data():
    return qe.data.simulate_cohort(240, seed=6).frame.assign(unused=np.nan)


def design(**fields):
    asked = {"treated": "service", "covariates": ("age", "frailty", "sex"), "outcome": "cost"}
    return qe.GeneticMatching(**{**asked, "evaluations": 60, "restarts": 1, **fields})


def labelled(frame):
    return frame.assign(label=np.where(frame["service"] == 1, "a", "b"))


def few_others(frame):
    return pd.concat([frame[frame["service"] == 1], frame[frame["service"] == 0].head(2)])


BAD = {
    "no treated": (lambda f: f.assign(service=0), {}, "treated: Nobody is treated"),
    "nothing varies": (lambda f: f.assign(age=70), {"covariates": ("age",)}, "none of them varies"),
    "no covariates": (lambda f: f, {"covariates": ()}, "covariates: nothing is named to match on"),
    "everybody": (lambda f: f, {"estimand": "ATE"}, "a search balances one group against the other"),
    "different": (lambda f: f, {"different": "sex"}, "different: a search does not offer this"),
    "exact leaves nobody": (labelled, {"exact": "label"}, "exact: nobody finds a partner"),
    "caliper leaves nobody": (lambda f: f, {"caliper": 1e-9}, "caliper: nobody finds a partner"),
    "caliper on text": (lambda f: f, {"calipers": {"sex": "1"}}, "'sex' is not a numeric covariate"),
    "caliper on an unknown column": (
        lambda f: f,
        {"calipers": {"agee": "5"}},
        "calipers: there is no column",
    ),
    "ratio above the pool": (few_others, {"ratio": 3}, "ratio: 3 partners are asked for"),
    "rates": (
        lambda f: f,
        {"outcome": "admissions_after", "person_time": "person_years"},
        "Abadie-Imbens standard error is for means and risks",
    ),
    "outcome among the covariates": (lambda f: f, {"covariates": ("age", "cost")}, "'cost' is the outcome"),
    "too few evaluations": (lambda f: f, {"evaluations": 5}, "evaluations: 5 lies outside 50"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, data):
    change, fields, words = BAD[case]
    with pytest.raises(qe.QievalError, match=words):
        qe.estimate(design(**fields), change(data))


def test_rates_with_the_standard_error_that_is_offered(data):
    rates = design(outcome="admissions_after", person_time="person_years", inference="robust")
    assert qe.estimate(rates, data).estimates["term"].iloc[0] == "rate difference"


def test_the_same_seed_gives_the_same_answer(data):
    first, again = qe.estimate(design(), data), qe.estimate(design(), data.drop(columns="unused"))
    assert first.weights.equals(again.weights) and not first.notes
    other = qe.estimate(design(seed=5), data)
    assert other.facts["seed of the search"] != first.facts["seed of the search"]


def test_the_outcome_takes_no_part(data):
    blind = qe.estimate(design(outcome=None), data.drop(columns="cost"))
    assert blind.weights.equals(qe.estimate(design(), data).weights)


def test_each_restart_is_shown_with_its_estimate(data):
    found = qe.estimate(design(evaluations=150, restarts=3), data)
    assert len(found.kernel.restarts) == 3
    assert np.isfinite(found.kernel.restarts["estimate"]).all()
    best = replace(design(), evaluations=150, restarts=3)
    assert qe.estimate(best, data).estimates.equals(found.estimates)
