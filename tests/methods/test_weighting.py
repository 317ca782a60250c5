"""Weighting: bad input, and weights that cannot be found, which fail loudly."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe

METHODS = ("propensity score", "entropy balancing", "CBPS", "over-identified CBPS", "tilting")


@pytest.fixture(scope="module")
def data():
    return qe.data.simulate_cohort(300, seed=6).frame.assign(unused=np.nan)


def design(**fields):
    asked = {"treated": "service", "covariates": ("age", "frailty", "sex"), "outcome": "cost"}
    return qe.Weighting(**{**asked, **fields})


def separated(frame):
    return frame.assign(age=20 * frame["service"] + frame["frailty"])


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_cannot_be_found_raise(method, data):
    with pytest.raises(qe.EstimationError, match=r"perfectly who received|cannot be found") as caught:
        qe.estimate(design(method=method), separated(data))
    assert "group rare categories" in str(caught.value)


def test_means_beyond_the_reach_of_weights_raise(data):
    """Scores overlap, but no comparison person is as old as the treated are on average."""
    old = data["service"] == 1
    frame = data.assign(age=np.where(old, 95.0 + data["frailty"], data["age"]))
    frame.loc[frame.index[old][:2], "age"] = 60.0
    with pytest.raises(qe.EstimationError, match="no weights make the groups alike"):
        qe.estimate(design(method="entropy balancing"), frame)


BAD = {
    "no treated": (lambda f: f.assign(service=0), {}, "treated: Nobody is treated"),
    "all treated": (lambda f: f.assign(service=1), {}, "treated: Everybody is treated"),
    "nothing varies": (lambda f: f.assign(age=70), {"covariates": ("age",)}, "none of them varies"),
    "no covariates": (lambda f: f, {"covariates": ()}, "covariates: nothing is named to balance"),
    "NaN in a covariate": (
        lambda f: f.assign(age=f["age"].where(f.index > 4)),
        {},
        "covariates: 'age' is empty in 5 rows",
    ),
    "overlap by entropy": (
        lambda f: f,
        {"estimand": "ATO", "method": "entropy balancing"},
        "ATO weights come from a propensity score",
    ),
    "powers of a score": (lambda f: f, {"moments": 2}, "only entropy balancing balances powers"),
    "M-estimation of a forest": (
        lambda f: f,
        {"learner": "random forest", "inference": "estimated weights"},
        "needs the plain logistic",
    ),
    "score beyond 0 to 1": (lambda f: f.assign(s=f["age"]), {"score": "s"}, "values outside 0 to 1"),
    "score as text": (lambda f: f, {"score": "sex"}, "score: 'sex' holds text"),
    "nobody between": (
        lambda f: f.assign(s=np.where(f["service"] == 1, 0.9, 0.2)),
        {"score": "s", "trim": 0.15},
        "trim: nobody in one of the groups has a score between",
    ),
    "horizon beyond follow-up": (
        lambda f: f,
        {"outcome": "died", "person_time": "days_to_death_or_end", "horizon": 4000},
        "horizon: nobody was followed to 4,000",
    ),
    "outcome among the covariates": (lambda f: f, {"covariates": ("age", "cost")}, "'cost' is the outcome"),
    "infinite values": (
        lambda f: f.assign(frailty=f["frailty"].where(f.index > 2, np.inf)),
        {},
        "'frailty' holds 3 infinite values",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, data):
    change, fields, words = BAD[case]
    with pytest.raises(qe.QievalError, match=words):
        qe.estimate(design(**fields), change(data))


@pytest.mark.parametrize("method", METHODS)
def test_units_and_forms_do_not_matter(method, data):
    plain = qe.estimate(design(method=method), data).estimates["estimate"]
    other = data.assign(
        age=data["age"] * 1e6, frailty=data["frailty"] / 1e3, sex=data["sex"].astype("category")
    )
    found = qe.estimate(design(method=method), other).estimates["estimate"]
    assert found.to_numpy() == pytest.approx(plain.to_numpy(), rel=1e-6)


def test_empty_cells_of_unused_columns_drop_nobody(data):
    found = qe.estimate(design(), data)
    assert found.facts["rows used"] == len(data)


def test_repeated_information_is_noted_and_changes_nothing(data):
    frame = data.assign(months=12.0 * data["age"])
    both = qe.estimate(
        design(covariates=("age", "months", "frailty", "sex"), method="entropy balancing"), frame
    )
    alone = qe.estimate(design(method="entropy balancing"), data)
    assert any("months follow from other covariates" in note for note in both.notes)
    pd.testing.assert_series_equal(both.estimates["estimate"], alone.estimates["estimate"], rtol=1e-8)
