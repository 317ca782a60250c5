"""Regression adjustment with data and designs as they come: the right answer, or one clear error."""

import warnings

import numpy as np
import pandas as pd
import pytest

import qieval as qe

RNG = np.random.default_rng(8)
N = 160
BASE = pd.DataFrame(
    {
        "service": (np.arange(N) % 2).astype(int),
        "age": RNG.normal(70, 8, N),
        "frailty": RNG.gamma(2.0, 1.0, N),
        "sex": np.where(RNG.random(N) < 0.5, "female", "male"),
        "practice": [f"p{at % 12}" for at in range(N)],
        "y": RNG.normal(10, 2, N),
        "died": (RNG.random(N) < 0.3).astype(int),
        "visits": RNG.poisson(2.0, N),
        "years": RNG.uniform(0.5, 2.0, N),
    }
)


@pytest.fixture(autouse=True)
def no_raw_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def stated(**fields):
    asked = {"treated": "service", "covariates": ("age", "frailty", "sex"), "outcome": "y"}
    return qe.RegressionAdjustment(**{**asked, **fields})


CROSS = "cross-fitted doubly robust"
WRONG_DESIGNS = [
    pytest.param({"covariates": ()}, "nothing is named to adjust for", id="no covariates"),
    pytest.param({"horizon": 1, "person_time": "years"}, "no survival analysis", id="horizon"),
    pytest.param({"person_time": "years", "outcome_model": "binomial"}, "are a rate", id="rate, binomial"),
    pytest.param({"person_time": "years", "estimator": "TMLE"}, "not for rates", id="TMLE of rates"),
    pytest.param({"inference": "model", "estimator": "weighting"}, "made for g-computation", id="model"),
    pytest.param({"inference": "models known"}, "made for weighting and doubly robust", id="known"),
    pytest.param({"inference": "bootstrap", "estimator": CROSS}, "is made for", id="bootstrap"),
    pytest.param({"inference": "model", "cluster": "practice"}, "rows as independent", id="model, cluster"),
    pytest.param({"interacted_with": ("imd",)}, "'imd' is not among the covariates", id="interacted"),
    pytest.param(
        {"interacted_with": ("age",), "treatment_interactions": "no"}, "none may", id="interacted, none"
    ),
    pytest.param({"effect_at": {"imd": "1"}}, "effect_at: 'imd' is not among", id="at unknown"),
    pytest.param({"effect_at": {"age": "old"}}, "values are numbers", id="at words"),
    pytest.param({"effect_at": {"age": "60"}, "estimator": CROSS}, "outcome regression", id="at, learned"),
    pytest.param({"own_learners": {"outcome": "os.system"}, "estimator": CROSS}, "nothing else is", id="os"),
    pytest.param({"own_learners": {"both": "sklearn.a.B"}, "estimator": CROSS}, "by nobody", id="role"),
    pytest.param({"own_learners": {"score": "sklearn.a.B"}}, "only cross-fitting has", id="learner, plain"),
    pytest.param({"level": 95}, "For 95% write 0.95", id="level"),
    pytest.param({"estimand": "ATO"}, "not one of the choices", id="overlap"),
    pytest.param({"estimator": "AIPW"}, "not one of the choices", id="estimator"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG_DESIGNS)
def test_contradictions_are_refused(fields, words):
    with pytest.raises(qe.DesignError, match=words):
        stated(**fields)


def but(**columns):
    return BASE.assign(**columns)


some = np.arange(N) < 4
WRONG_DATA = [
    pytest.param(but(service=1), {}, "Everybody is treated", id="all treated"),
    pytest.param(but(service=0), {}, "Nobody is treated", id="none treated"),
    pytest.param(but(service=np.arange(N) % 3), {}, "must be 1", id="three groups"),
    pytest.param(but(age=70.0, frailty=1.0, sex="male"), {}, "none of them varies", id="nothing varies"),
    pytest.param(but(age=np.where(some, np.nan, 1.0)), {}, "'age' is empty in 4 rows", id="empty age"),
    pytest.param(but(age=np.where(some, np.inf, 1.0)), {}, "infinite", id="infinite age"),
    pytest.param(but(y=np.where(some, np.nan, 1.0)), {}, "'y' is empty in 4 rows", id="empty outcome"),
    pytest.param(but(y=np.where(some, np.inf, 1.0)), {}, "infinite", id="infinite outcome"),
    pytest.param(but(y="5"), {}, "outcome: 'y'", id="text outcome"),
    pytest.param(
        but(y=np.where(BASE["service"] == 1, np.nan, 1.0)),
        {"missing": "complete cases"},
        "nobody in the treated group has a known",
        id="no known outcome",
    ),
    pytest.param(BASE, {"outcome_model": "binomial"}, "values outside 0 to 1", id="binomial of amounts"),
    pytest.param(but(y=-1.0), {"outcome_model": "Poisson"}, "negative in some rows", id="negative counts"),
    pytest.param(
        but(visits=-1), {"outcome": "visits", "person_time": "years"}, "negative", id="negative events"
    ),
    pytest.param(but(years=0.0), {"outcome": "visits", "person_time": "years"}, "no time", id="no time"),
    pytest.param(but(died=0), {"outcome": "died"}, "no outcome above zero", id="no event"),
    pytest.param(
        but(died=(BASE["age"] > 70).astype(int)), {"outcome": "died"}, "no finite solution", id="separated"
    ),
    pytest.param(
        but(age=BASE["service"] * 50.0), {"estimator": "doubly robust"}, "exactly who is treated", id="told"
    ),
    pytest.param(BASE.head(8), {}, "8 rows|4 rows", id="fewer rows than terms"),
    pytest.param(
        BASE, {"estimator": CROSS, "cluster": "practice", "folds": 20}, "too few for 20 folds", id="folds"
    ),
    pytest.param(
        but(died=(np.arange(N) < 2).astype(int)),
        {"estimator": CROSS, "outcome": "died"},
        "one of its outcomes does not occur",
        id="rare",
    ),
    pytest.param(
        BASE,
        {"estimator": CROSS, "own_learners": {"score": "sklearn.linear_model.LinearRegression"}},
        "gives no probabilities",
        id="no score",
    ),
    pytest.param(
        BASE,
        {
            "estimator": CROSS,
            "outcome": "visits",
            "person_time": "years",
            "own_learners": {"outcome": "sklearn.neighbors.KNeighborsRegressor"},
        },
        "cannot weight rows",
        id="no weights",
    ),
    pytest.param(BASE, {"subgroups": ("age_band",)}, "no column 'age_band'", id="column"),
]


@pytest.mark.parametrize(("frame", "fields", "words"), WRONG_DATA)
def test_data_that_do_not_fit_are_one_clear_error(frame, fields, words):
    with pytest.raises(qe.QievalError, match=words):
        qe.estimate(stated(**fields), frame)


def test_a_constant_outcome_has_no_effect_and_no_interval():
    for estimator in ("g-computation", "weighting", "doubly robust"):
        found = qe.estimate(stated(estimator=estimator), but(y=7.0))
        row = found.estimates.iloc[0]
        assert row["estimate"] == 0 and np.isnan(row["std_error"])
        assert any("does not vary" in str(note) for note in found.notes)
        assert len(qe.diagnose(found, but(y=7.0))) == 25


def test_missing_clusters_are_refused_or_left_out():
    frame = but(practice=BASE["practice"].where(BASE.index > 2))
    with pytest.raises(qe.DataError, match="'practice' is empty in 3 rows"):
        qe.estimate(stated(cluster="practice"), frame)
    found = qe.estimate(stated(cluster="practice", missing="complete cases"), frame)
    assert found.facts["rows used"] == N - 3


@pytest.mark.parametrize("estimator", ["g-computation", "weighting", "doubly robust", "TMLE"])
def test_units_do_not_matter(estimator):
    plain = qe.estimate(stated(estimator=estimator), BASE).estimates
    other = qe.estimate(
        stated(estimator=estimator), but(age=BASE["age"] * 1e6, frailty=BASE["frailty"] / 1e4)
    )
    numbers = ["estimate", "std_error"]
    np.testing.assert_allclose(other.estimates[numbers], plain[numbers], rtol=1e-7)


def test_covariates_that_repeat_each_other_change_nothing():
    both = qe.estimate(stated(covariates=("age", "months", "frailty", "sex")), but(months=12 * BASE["age"]))
    alone = qe.estimate(stated(), BASE)
    np.testing.assert_allclose(both.estimates["estimate"], alone.estimates["estimate"], rtol=1e-8)


def test_dates_cannot_be_adjusted_for_by_mistake():
    frame = but(age=pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N), unit="D"))
    with pytest.raises(qe.QievalError, match="age"):
        qe.estimate(stated(), frame)


@pytest.mark.parametrize("covariates", [("twin",), ("age", "half", "rest")])
def test_covariates_that_say_the_treatment_again_are_refused(covariates):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"treated": rng.integers(0, 2, 200), "age": rng.normal(60, 8, 200)})
    frame["y"] = frame["treated"] + rng.normal(0, 1, 200)
    frame["twin"] = 2 * frame["treated"] + 1
    frame["half"] = rng.normal(0, 1, 200)
    frame["rest"] = frame["treated"] - frame["half"]
    design = qe.RegressionAdjustment(outcome="y", treated="treated", covariates=covariates)
    with pytest.raises(qe.DataError, match="exactly who is treated"):
        qe.estimate(design, frame)
