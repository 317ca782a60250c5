"""Matching: bad input, each with a message that says what is wrong, why it matters and what to do."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe

N = 200


def people(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "id": np.arange(N),
            "age": rng.normal(70, 8, N),
            "frailty": rng.gamma(2, 1, N),
            "sex": np.where(rng.random(N) < 0.5, "female", "male"),
            "hospital": rng.integers(0, 5, N),
            "unused": np.nan,
            "start": pd.Timestamp("2022-04-01"),
            "assessed": pd.Timestamp("2022-03-01"),
        }
    )
    made["service"] = (rng.random(N) < 1 / (1 + np.exp(1.5 - 0.3 * made["frailty"]))).astype(int)
    made["y"] = 0.1 * made["age"] + made["frailty"] + made["service"] + rng.normal(0, 1, N)
    made["died"] = (rng.random(N) < 0.3).astype(int)
    return made.assign(days=rng.integers(1, 365, N).astype(float), years=lambda f: f["days"] / 365)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return people()


def design(**fields):
    return qe.Matching(
        **{"treated": "service", "covariates": ("age", "frailty", "sex"), "outcome": "y", **fields}
    )


def labelled(frame):
    return frame.assign(label=np.where(frame["service"] == 1, "a", "b"))


def first_five_empty(name):
    return lambda frame: frame.assign(**{name: frame[name].where(frame.index > 4)})


def few_others(frame):
    return pd.concat([frame[frame["service"] == 1], frame[frame["service"] == 0].head(2)])


def coded(frame):
    many = pd.concat([frame] * 50, ignore_index=True)
    return many.assign(code=[f"c{at:05d}" for at in range(len(many))])


AGE_DATED = {"measured": {"age": "assessed"}, "start": "start"}
RATES = {"outcome": "died", "person_time": "years"}

BAD = {
    "empty frame": (lambda f: f.iloc[:0], {}, "data: the table has no rows"),
    "no treated": (lambda f: f.assign(service=0), {}, "treated: Nobody is treated"),
    "all treated": (lambda f: f.assign(service=1), {}, "treated: Everybody is treated"),
    "one treated": (
        lambda f: pd.concat([f[f["service"] == 1].head(1), f[f["service"] == 0]]),
        {},
        "treated: the treated group has a single row",
    ),
    "one comparison": (
        lambda f: pd.concat([f[f["service"] == 1], f[f["service"] == 0].head(1)]),
        {},
        "treated: the comparison group has a single row",
    ),
    "treated coded 1 and 2": (
        lambda f: f.assign(service=f["service"] + 1),
        {},
        "treated: 'service' must be 1",
    ),
    "treated as words": (
        lambda f: f.assign(service=f["service"].map({1: "yes", 0: "no"})),
        {},
        "Recode it to 0 and 1",
    ),
    "more than two groups": (lambda f: f, {"treated": "hospital"}, "qe.compare_arms"),
    "NaN in the treatment": (first_five_empty("service"), {}, "treated: 'service' is empty in 5 rows"),
    "misspelt covariate": (lambda f: f, {"covariates": ("agee",)}, "Did you mean 'age'"),
    "nothing varies": (
        lambda f: f.assign(age=70.0),
        {"covariates": ("age",), "distance": "mahalanobis"},
        "covariates: none of them varies",
    ),
    "no covariates": (lambda f: f, {"covariates": ()}, "covariates: nothing is named to match on"),
    "NaN in a covariate": (first_five_empty("age"), {}, "covariates: 'age' is empty in 5 rows"),
    "NaN in the outcome": (first_five_empty("y"), {}, "outcome: 'y' is empty in 5 rows"),
    "NaN in the cluster": (
        first_five_empty("hospital"),
        {"cluster": "hospital"},
        "cluster: 'hospital' is empty",
    ),
    "infinite covariate": (
        lambda f: f.assign(age=f["age"].where(f.index > 2, np.inf)),
        {},
        "covariates: 'age' holds 3 infinite values",
    ),
    "infinite outcome": (
        lambda f: f.assign(y=f["y"].where(f.index > 2, -np.inf)),
        {},
        "outcome: 'y' holds 3 infinite values",
    ),
    "text outcome": (
        lambda f: f.assign(y=f["y"].astype(object).where(f.index > 2, "*")),
        {},
        "outcome: 'y' must hold numbers but holds text in 3 rows",
    ),
    "10,000 levels": (coded, {"covariates": ("age", "code")}, "'code' is text with 10,000 different values"),
    "a covariate that separates": (
        lambda f: f.assign(age=20.0 * f["service"] + f["frailty"] / 10),
        {},
        "who received the intervention.*told by one alone: age",
    ),
    "a level of one group only": (
        lambda f: f.assign(sex=f["sex"].where(f.index != f.index[f["service"] == 1][0], "unknown")),
        {},
        "told by one alone: sex: unknown",
    ),
    "exact leaves nobody": (labelled, {"exact": "label"}, "exact: nobody finds a partner"),
    "exact leaves nobody, full": (labelled, {"exact": "label", "method": "full"}, "exact: nobody finds"),
    "caliper leaves nobody": (
        lambda f: f,
        {"caliper": 1e-9, "caliper_in": "units of the score"},
        "caliper: nobody finds a partner",
    ),
    "limits leave nobody": (
        lambda f: f.assign(service=1 - f["service"]),
        {"method": "full", "least_ratio": 1, "most_ratio": 1},
        "least_ratio: nobody finds a partner",
    ),
    "caliper on text": (lambda f: f, {"calipers": {"sex": "1"}}, "calipers: 'sex' holds text"),
    "caliper in words": (lambda f: f, {"calipers": {"age": "wide"}}, "'wide' is not a width"),
    "caliper on an unknown column": (
        lambda f: f,
        {"calipers": {"agee": "5"}},
        "calipers: there is no column",
    ),
    "caliper on an empty column": (lambda f: f, {"calipers": {"unused": "5"}}, "calipers: 'unused' is empty"),
    "caliper without pairs": (
        lambda f: f,
        {"method": "cardinality", "caliper": 0.2},
        "caliper, method: 'cardinality' does not look at single pairs",
    ),
    "exact without pairs": (lambda f: f, {"method": "profile", "exact": "sex"}, "exact, method: 'profile'"),
    "cut points on text": (
        lambda f: f,
        {"method": "coarsened exact", "cutpoints": {"sex": "1, 2"}},
        "cutpoints: 'sex' holds categories",
    ),
    "cut points of an unknown column": (
        lambda f: f,
        {"method": "coarsened exact", "cutpoints": {"agee": "5 bins"}},
        "cutpoints: there is no column 'agee'",
    ),
    "duplicate ids": (
        lambda f: pd.concat([f, f.head(3)], ignore_index=True),
        {"person": "id"},
        "person: 3 rows repeat an earlier 'id'",
    ),
    "ratio above the pool": (
        few_others,
        {"ratio": 3, "distance": "mahalanobis"},
        "ratio: 3 partners are asked for, but the other group has only 2",
    ),
    "outcome among the covariates": (lambda f: f, {"covariates": ("age", "y")}, "'y' is the outcome"),
    "treatment among the covariates": (
        lambda f: f,
        {"covariates": ("age", "service")},
        "'service' is the treated",
    ),
    "covariate measured later": (
        lambda f: f.assign(assessed=pd.Timestamp("2022-04-02")),
        AGE_DATED,
        "covariates: 'age' was measured after 'start' in 200 rows",
    ),
    "dates without a start": (lambda f: f, {"measured": {"age": "assessed"}}, "not the index date"),
    "dates of two readings": (
        lambda f: f.assign(assessed="01/05/2022"),
        AGE_DATED,
        "measured: 'assessed' holds text that is no date as in 2022-04-01",
    ),
    "start in words": (lambda f: f.assign(start="in April"), AGE_DATED, "start: 'start' holds text"),
    "score beyond 0 to 1": (
        lambda f: f,
        {"score": "frailty"},
        "score: 'frailty' holds values outside 0 to 1",
    ),
    "score as text": (lambda f: f.assign(score="high"), {"score": "score"}, "score: 'score' holds text"),
    "horizon without times": (lambda f: f, {"outcome": "died", "horizon": 30}, "needs the time to the event"),
    "horizon beyond follow-up": (
        lambda f: f,
        {"outcome": "died", "person_time": "days", "horizon": 400},
        "horizon: nobody was followed to 400",
    ),
    "horizon with amounts": (
        lambda f: f,
        {"person_time": "days", "horizon": 100},
        "must be 1 where the time",
    ),
    "no person-time": (
        lambda f: f.assign(years=f["years"].where(f.index > 2, 0)),
        RATES,
        "person_time: 'years' is zero or less in 3 rows",
    ),
    "negative counts": (
        lambda f: f.assign(died=f["died"] - 1),
        RATES,
        "counts events, but it is negative",
    ),
    "Abadie-Imbens with rates": (
        lambda f: f,
        {**RATES, "replacement": "with"},
        "inference: the Abadie-Imbens standard error is for means and risks",
    ),
    "Abadie-Imbens without replacement": (
        lambda f: f,
        {"inference": "Abadie-Imbens"},
        "made for matching with",
    ),
    "bootstrap with replacement": (
        lambda f: f,
        {"inference": "bootstrap", "replacement": "with"},
        "bootstrap is not valid",
    ),
    "everybody by nearest": (lambda f: f, {"estimand": "ATE"}, "finds partners for one group"),
    "a list of rows": (lambda f: f.to_dict("records"), {}, "data: a pandas DataFrame"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, data):
    change, fields, words = BAD[case]
    with pytest.raises(qe.QievalError, match=words) as caught:
        qe.estimate(design(**fields), change(data))
    assert all(problem.endswith(".") and ": " in problem for problem in caught.value.problems)


def test_bad_data_are_refused_before_any_outcome_too(data):
    frame = data.drop(columns="y").assign(age=data["age"].where(data.index > 4))
    with pytest.raises(qe.DataError, match="covariates: 'age' is empty in 5 rows"):
        qe.design_checks(design(outcome=None), frame)


NOTED = {
    "constant covariate": (lambda f: f.assign(age=70.0), {}, "covariates: age has the same value"),
    "constant text": (lambda f: f.assign(sex="female"), {}, "covariates: sex has the same value"),
    "complete cases": (
        first_five_empty("age"),
        {"missing": "complete cases"},
        "5 rows were left out: missing values in 'age'",
    ),
    "unknown outcomes": (
        lambda f: f.assign(y=f["y"].where(f["service"].cumsum() > 4)),
        {"missing": "complete cases"},
        "left out: unknown outcome",
    ),
    "more partners than there are": (lambda f: f, {"ratio": 5}, "ratio: 5 each for"),
    "repeated information": (
        lambda f: f.assign(months=12 * f["age"]),
        {"covariates": ("age", "months")},
        "months follow from other covariates",
    ),
    "few clusters": (lambda f: f, {"cluster": "hospital"}, "only 5 groups of 'hospital'"),
    "no ratio of means": (lambda f: f, {"effect": "ratio"}, "effect: no ratio is made for this outcome"),
    "no odds ratio of rates": (
        lambda f: f,
        {**RATES, "effect": "odds ratio"},
        "effect: no odds ratio is made",
    ),
}


@pytest.mark.parametrize("case", NOTED)
def test_noted_and_counted(case, data):
    change, fields, words = NOTED[case]
    found = qe.estimate(design(**fields), change(data))
    assert any(words in note for note in found.notes), found.notes


def same(found, other):
    return found.estimates["estimate"].tolist() == other.estimates["estimate"].tolist()


def test_empty_cells_of_unused_columns_drop_nobody(data):
    found = qe.estimate(design(), data)
    assert same(found, qe.estimate(design(), data.drop(columns=["unused", "died"])))
    assert found.facts["treated units"] + found.facts["treated people left out"] == data["service"].sum()
    assert not found.notes


def test_unknown_outcomes_do_not_move_the_matching(data):
    frame = data.assign(y=data["y"].where(data.index > 40))
    stated = design(missing="complete cases")
    assert qe.estimate(stated, frame).weights.equals(qe.estimate(stated, data).weights)


FORMS = {
    "true and false": lambda f: f.assign(service=f["service"] == 1),
    "0 and 1 as text": lambda f: f.assign(service=f["service"].astype(str)),
    "floats": lambda f: f.assign(service=f["service"].astype(float)),
    "nullable columns": lambda f: f.convert_dtypes(),
    "categories": lambda f: f.assign(sex=f["sex"].astype("category")),
    "an unused category": lambda f: f.assign(sex=pd.Categorical(f["sex"], ["female", "male", "other"])),
    "other units": lambda f: f.assign(age=f["age"] * 1e6, frailty=f["frailty"] / 1e6),
    "other row labels": lambda f: f.set_axis([f"p{at}" for at in f.index]),
    "repeated row labels": lambda f: f.set_axis([0] * len(f)),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_data_give_the_same_answer(form, data):
    for fields in ({}, {"distance": "mahalanobis"}, {"method": "full"}):
        found, other = qe.estimate(design(**fields), FORMS[form](data)), qe.estimate(design(**fields), data)
        assert found.estimates["estimate"].to_numpy() == pytest.approx(other.estimates["estimate"].to_numpy())


def test_dates_may_be_text_in_one_reading(data):
    frame = data.assign(assessed="2022-03-01", start="2022-04-01")
    assert same(qe.estimate(design(**AGE_DATED), frame), qe.estimate(design(), data))


def test_a_score_that_is_brought_is_read_on_the_scale_that_was_asked(data):
    fitted = qe.estimate(design(distance="probit"), data)
    frame = data.assign(score=fitted.kernel.probability)
    brought = qe.estimate(design(distance="probit", score="score"), frame)
    assert brought.facts["total distance"] == pytest.approx(fitted.facts["total distance"])
    assert brought.kernel.score == pytest.approx(fitted.kernel.score)
