"""Regression adjustment through the public verbs: estimators, effects, subgroups, checks, neighbours."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.methods.regression_adjustment.design import ESTIMATORS

COVARIATES = ("age", "frailty", "sex")


def people(n=600, seed=4, effect=2.0):
    """Older and frailer people get the service; the effect on y is `effect` in everybody."""
    rng = np.random.default_rng(seed)
    age, frailty = rng.normal(70, 8, n), rng.gamma(2.0, 1.0, n)
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    service = (rng.random(n) < 1 / (1 + np.exp(-(0.05 * (age - 70) + 0.4 * (frailty - 2))))).astype(int)
    y = 5 + 0.1 * age + frailty + effect * service + rng.normal(0, 1, n)
    risk = 1 / (1 + np.exp(-(-1 + 0.04 * (age - 70) + 0.3 * (frailty - 2) - 0.5 * service)))
    years = rng.uniform(0.5, 2.0, n)
    return pd.DataFrame(
        {
            "service": service,
            "age": age,
            "frailty": frailty,
            "sex": sex,
            "practice": rng.integers(0, 60, n),
            "y": y,
            "died": (rng.random(n) < risk).astype(int),
            "visits": rng.poisson(years * np.exp(0.3 * (frailty - 2) - 0.3 * service)),
            "years": years,
            "eyes": rng.normal(0, 1, n),
        }
    )


@pytest.fixture(scope="module")
def data():
    return people()


def stated(**fields):
    asked = {"treated": "service", "covariates": COVARIATES, "outcome": "y"}
    return qe.RegressionAdjustment(**{**asked, **fields})


def first(found):
    return found.estimates.iloc[0]


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_finds_the_effect(data, estimator, estimand):
    row = first(qe.estimate(stated(estimator=estimator, estimand=estimand, splits=1), data))
    assert abs(row["estimate"] - 2) < 3 * row["std_error"] and row["std_error"] < 0.3


def test_g_computation_by_hand(data):
    """Each group has a least squares fit of its own; everybody is predicted by both."""
    x = np.column_stack([np.ones(len(data)), data["age"], data["frailty"], data["sex"] == "male"]).astype(
        float
    )
    predicted = []
    for arm in (data["service"] == 1, data["service"] == 0):
        beta = np.linalg.lstsq(x[arm], data["y"].to_numpy()[arm], rcond=None)[0]
        predicted.append(x @ beta)
    treated = (data["service"] == 1).to_numpy()
    apart = predicted[0] - predicted[1]
    for estimand, rows in (("ATE", slice(None)), ("ATT", treated), ("ATC", ~treated)):
        found = first(qe.estimate(stated(estimand=estimand), data))
        assert found["estimate"] == pytest.approx(apart[rows].mean(), rel=1e-9)
    assert qe.estimate(stated(), data).facts["outcome with the intervention"] == pytest.approx(
        predicted[0].mean()
    )


def test_effects_of_risks_rates_and_ratios_of_means(data):
    risks = qe.estimate(stated(outcome="died"), data)
    one, zero = (risks.facts[f"outcome {part}"] for part in ("with the intervention", "expected without it"))
    table = risks.estimates.set_index("term")["estimate"]
    assert table["risk difference"] == pytest.approx(one - zero)
    assert table["risk ratio"] == pytest.approx(one / zero)
    assert table["odds ratio"] == pytest.approx(one / (1 - one) / (zero / (1 - zero)))
    assert "treated" in risks.facts["number needed to treat"]
    rates = qe.estimate(stated(outcome="visits", person_time="years"), data)
    assert rates.estimates["term"].tolist() == ["rate difference", "rate ratio"]
    assert rates.facts["outcome model"].startswith("Poisson regression")
    assert abs(np.log(rates.estimates["estimate"].iloc[1]) + 0.3) < 3 * rates.estimates["std_error"].iloc[1]
    counts = qe.estimate(stated(outcome="visits", outcome_model="negative binomial", effect="ratio"), data)
    assert counts.estimates["term"].tolist() == ["mean ratio", "difference"]
    assert first(counts)["estimate"] == pytest.approx(
        counts.facts["outcome with the intervention"] / counts.facts["outcome expected without it"]
    )


def test_interval_kinds(data):
    errors = {
        kind: first(qe.estimate(stated(inference=kind, draws=199), data))["std_error"]
        for kind in ("automatic", "model", "covariates fixed", "bootstrap")
    }
    assert errors["covariates fixed"] <= errors["automatic"]
    assert max(errors.values()) / min(errors.values()) < 1.25
    known = first(qe.estimate(stated(estimator="weighting", inference="models known"), data))["std_error"]
    allowed = first(qe.estimate(stated(estimator="weighting"), data))["std_error"]
    drawn = first(qe.estimate(stated(estimator="weighting", inference="bootstrap", draws=199), data))[
        "std_error"
    ]
    assert allowed < known and abs(drawn / allowed - 1) < 0.25


def test_clusters_and_their_few(data):
    found = qe.estimate(stated(cluster="practice"), data)
    assert "allowing for 'practice'" in found.facts["standard error"]
    assert first(found)["std_error"] != first(qe.estimate(stated(), data))["std_error"]
    few = qe.estimate(stated(cluster="few"), data.assign(few=data["practice"] % 8))
    assert any("only 8 groups" in note for note in few.notes)
    assert qe.diagnose(few, data.assign(few=data["practice"] % 8))["standard error"].verdict == "concern"
    repeated = pd.concat([data.assign(who=np.arange(len(data)))] * 2, ignore_index=True)
    once, twice = (
        first(qe.estimate(stated(cluster="who"), held)) for held in (repeated.iloc[: len(data)], repeated)
    )
    assert twice["std_error"] == pytest.approx(once["std_error"], rel=1e-9)


def test_cross_fitting_does_not_depend_on_the_order_of_rows(data):
    few = {"outcome": "RandomForestRegressor", "score": "RandomForestClassifier"}
    trees = {
        role: f"sklearn.ensemble.{name}(n_estimators=5, min_samples_leaf=5)" for role, name in few.items()
    }
    design = stated(estimator="cross-fitted doubly robust", own_learners=trees, splits=2, folds=3)
    small = data.head(200)
    one, other = (qe.estimate(design, held) for held in (small, small.sample(frac=1, random_state=3)))
    pd.testing.assert_frame_equal(one.estimates, other.estimates, rtol=1e-9)
    seeded = qe.estimate(replace(design, seed=5), small)
    assert first(seeded)["estimate"] != first(one)["estimate"]


def test_own_learners(data):
    own = {"outcome": "sklearn.linear_model.LinearRegression", "score": "sklearn.naive_bayes.GaussianNB"}
    design = stated(estimator="cross-fitted doubly robust", splits=2)
    same = replace(design, own_learners={"outcome": own["outcome"]})
    assert first(qe.estimate(same, data))["estimate"] == first(qe.estimate(design, data))["estimate"]
    other = qe.estimate(replace(design, own_learners=own), data)
    assert "GaussianNB" in other.facts["score model"]
    assert abs(first(other)["estimate"] - 2) < 4 * first(other)["std_error"]


def test_subgroups_share_the_models_and_are_tested(data):
    frame = data.assign(y=data["y"] + 2.0 * (data["sex"] == "male") * data["service"])
    found = qe.estimate(stated(subgroups=("sex",), subgroups_planned="yes"), frame)
    table = found.kernel.subgroups.set_index("label")
    assert (
        abs(table.loc["sex: male", "estimate"] - 4) < 0.5
        and abs(table.loc["sex: female", "estimate"] - 2) < 0.5
    )
    assert (table["p_equal"] < 0.001).all()
    share = (frame["sex"] == "male").mean()
    weighed = share * table.loc["sex: male", "estimate"] + (1 - share) * table.loc["sex: female", "estimate"]
    assert weighed == pytest.approx(first(found)["estimate"], rel=1e-9)
    assert "planned before" in qe.diagnose(found, frame)["subgroups"].text
    rare = frame.assign(sex=np.where(np.arange(len(frame)) < 5, "other", frame["sex"]))
    assert "too few people" in qe.estimate(stated(subgroups=("sex",)), rare).kernel.subgroups["note"].iloc[-1]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_subgroups_of_every_estimator(data, estimator):
    found = qe.estimate(stated(estimator=estimator, subgroups=("sex",), splits=2), data)
    table = found.kernel.subgroups
    assert (table["conf_low"] < 2.5).all() and (table["conf_high"] > 1.5).all()


def test_effect_at_values_with_squares_and_products(data):
    frame = data.assign(y=data["y"] + 0.5 * data["service"] * (data["frailty"] - 2))
    design = stated(
        squares=("frailty",),
        interactions=("age * frailty",),
        interacted_with=("frailty",),
        effect_at={"frailty": "1;5"},
    )
    table = qe.estimate(design, frame).estimates
    at = table[table["at"].notna()].set_index("at")["estimate"]
    assert at[5.0] - at[1.0] == pytest.approx(2.0, abs=0.5)
    logistic = qe.estimate(stated(outcome="died", effect_at={"age": "60; 80"}), data).estimates
    assert logistic["at"].dropna().tolist() == [60.0, 80.0]


def test_unknown_outcomes_are_left_out_and_counted(data):
    frame = data.assign(y=data["y"].where(data.index > 9))
    found = qe.estimate(stated(missing="complete cases"), frame)
    assert any("10 rows were left out: unknown outcome" in str(note) for note in found.notes)
    alone = qe.estimate(stated(), frame.dropna())
    assert first(found)["estimate"] == pytest.approx(first(alone)["estimate"], rel=1e-12)


def test_the_design_stage_reads_no_outcome(data):
    blind = stated(outcome=None)
    found = qe.estimate(blind, data)
    assert found.estimates is None and "No outcome has been looked at" in found.headline
    assert "make up for differences" in found.headline
    assert set(qe.plots_of(found)) == {"balance", "overlap"}
    weighted = qe.estimate(replace(blind, estimator="cross-fitted doubly robust", splits=2), data)
    assert weighted.facts["largest standardised difference after"] < 0.2
    again = qe.estimate(stated(estimator="cross-fitted doubly robust", splits=2), data)
    np.testing.assert_array_equal(weighted.weights["weight"], again.weights["weight"])
    for estimator in ESTIMATORS:
        checks = qe.design_checks(replace(blind, estimator=estimator, splits=1), data)
        assert checks["differences before adjustment"].verdict == "concern"
        weighted_at_all = estimator != "g-computation"
        assert checks["balance after weighting"].verdict == ("supports" if weighted_at_all else "information")


def test_a_wrong_form_is_seen(data):
    curved = data.assign(y=data["y"] + 0.05 * (data["age"] - 65) ** 2)
    checks = qe.diagnose(qe.estimate(stated(), curved), curved)
    assert checks["shape of the regression"].verdict == "concern"
    right = qe.diagnose(qe.estimate(stated(squares=("age",)), curved), curved)
    assert right["shape of the regression"].verdict == "supports"
    assert right["calibration by group"].verdict == "supports"


def test_extrapolation_and_thin_models_are_seen(data):
    apart = data.assign(age=data["age"] + 60 * data["service"])
    found = qe.estimate(stated(), apart)
    assert any("tell (nearly) perfectly" in str(note) for note in found.notes)
    checks = qe.diagnose(found, apart)
    assert (
        checks["extrapolation"].verdict == "concern"
        and "100.0% of the treated" in checks["extrapolation"].text
    )
    assert checks.ledger.set_index("assumption").loc["overlap", "verdict"] == "concern"
    few = pd.concat([data[data["service"] == 1].head(20), data[data["service"] == 0]])
    assert qe.diagnose(qe.estimate(stated(), few), few)["size of the model"].verdict == "concern"


def test_impossible_predictions_and_dispersion_are_seen(data):
    rare = data.assign(died=((data["age"] > 78) & (data["frailty"] > 1)).astype(int))
    linear = qe.diagnose(qe.estimate(stated(outcome="died", outcome_model="gaussian"), rare), rare)
    assert linear["predictions that cannot be"].verdict == "concern"
    assert "outcome_model='binomial'" in linear["predictions that cannot be"].text
    counts = data.assign(visits=3 * data["visits"])
    design = stated(outcome="visits", person_time="years", inference="model")
    assert qe.diagnose(qe.estimate(design, counts), counts)["dispersion"].verdict == "concern"
    robust = qe.diagnose(qe.estimate(replace(design, inference="automatic"), counts), counts)
    assert robust["dispersion"].verdict == "information"


def test_one_person_who_decides_is_seen(data):
    odd = data.assign(y=data["y"].where(data.index != 7, 900.0))
    checks = qe.diagnose(qe.estimate(stated(), odd), odd)
    assert checks["influence of single people"].verdict == "concern"
    assert qe.diagnose(qe.estimate(stated(), data), data)["influence of single people"].verdict == "supports"


def test_when_the_model_was_chosen(data):
    protocol = qe.lock(stated())
    locked = qe.estimate(stated(), data, protocol=protocol)
    changed = qe.estimate(stated(squares=("age",)), data, protocol=protocol)
    verdicts = [
        qe.diagnose(found, data)["locked beforehand"].verdict
        for found in (locked, changed, qe.estimate(stated(), data))
    ]
    assert verdicts == ["supports", "concern", "information"]


def test_other_models_differ_where_the_form_is_wrong():
    rng = np.random.default_rng(1)
    n = 1500
    age = rng.normal(0, 1, n)
    service = (rng.random(n) < 1 / (1 + np.exp(-1.5 * age))).astype(int)
    frame = pd.DataFrame({"service": service, "age": age, "y": np.exp(age) + rng.normal(0, 0.5, n)})
    design = stated(covariates=("age",))
    table = qe.diagnose(qe.estimate(design, frame), frame)["other models"]
    assert table.verdict == "concern"
    rows = table.table.set_index("label")["estimate"]
    assert abs(rows["as designed, with squares"]) < abs(rows["as designed"])
    assert set(rows.index) >= {"weighting", "doubly robust", "TMLE", "for comparison: no adjustment"}


LEDGERS = [
    *({"estimator": estimator} for estimator in ESTIMATORS),
    {"outcome": "died", "negative_controls": ("eyes",), "effect": "odds ratio"},
    {"outcome": "died", "estimator": ESTIMATORS[3], "effect": "odds ratio"},
    *(
        {"outcome": "visits", "person_time": "years", "cluster": "practice", "estimator": estimator}
        for estimator in ESTIMATORS[:4]
    ),
    {"outcome": "visits", "outcome_model": "negative binomial", "effect": "ratio", "estimand": "ATT"},
    {"outcome": "visits", "outcome_model": "gamma", "negative_controls": ("eyes",), "estimator": "TMLE"},
]


@pytest.mark.parametrize("fields", LEDGERS, ids=lambda held: " ".join(map(str, held.values())))
def test_the_ledger_is_made_for_every_estimator_and_outcome(data, fields):
    design = stated(splits=1, folds=2, **fields)
    checks = qe.diagnose(qe.estimate(design, data), data)
    assert len(checks) == 25
    assert all(np.isfinite(checks["other models"].table["estimate"].iloc[:3]))
    for check in checks:
        assert check.picture is None or qe.plot(check).labels.title


def test_pairs_of_arms_and_the_panel_of_ways(data):
    arms = data.assign(
        arm=np.where(data.index % 3 == 0, "usual", np.where(data["service"] == 1, "nurse", "phone"))
    )
    pairs = qe.compare_arms(stated(treated="arm"), arms, "arm")
    assert len(pairs.table) == 3 and pairs.table["estimate"].notna().all()
    asked = stated(estimator="cross-fitted doubly robust", learner="lasso", splits=1, folds=2)
    panel = qe.specifications(asked, data, ways=["inverse probability", "entropy balancing"])
    assert (panel.table["note"] == "").all()
    varied = qe.vary(stated(), data, estimator=["weighting", "doubly robust"])
    assert varied.table["estimate"].notna().all()


def test_a_bootstrap_does_not_depend_on_the_order_of_rows(data):
    design = stated(inference="bootstrap", draws=99)
    one = first(qe.estimate(design, data))
    other = first(qe.estimate(design, data.sample(frac=1, random_state=3)))
    assert one["std_error"] == pytest.approx(other["std_error"], rel=1e-9)
