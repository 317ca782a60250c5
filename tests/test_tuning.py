"""Trying settings before any outcome: the same people as the estimate compares, and quickly."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe

NHEFS = {
    "treated": "qsmk",
    "covariates": ("sex", "age", "race", "education", "smokeintensity", "smokeyrs", "wt71"),
    "categories": ("education",),
}


@pytest.fixture(scope="module")
def smokers():
    return qe.example("nhefs_complete").frame


@pytest.mark.parametrize(
    "changes",
    [
        {"caliper": 0.1},
        {"ratio": 2, "order": "smallest"},
        {"replacement": "with", "caliper": 0.05},
        {"method": "full"},
        {"distance": "mahalanobis"},
        {"estimand": "ATC"},
        {"squares": ("age",)},
        {"discard": "both"},
    ],
    ids=str,
)
def test_a_trial_compares_the_people_of_the_estimate(smokers, changes):
    bench = qe.tuning(qe.Matching(**NHEFS), smokers)
    bench.try_(caliper=0.02)
    trial = bench.try_(**changes)
    settled = qe.estimate(qe.Matching(**{**NHEFS, **changes}), smokers)
    pd.testing.assert_frame_equal(trial.balance.table, settled.kernel.balance.table)
    pd.testing.assert_frame_equal(trial.scores, settled.kernel.scores)
    facts = settled.facts
    assert trial.treated == (facts["treated units"], 403)
    assert trial.comparison == (facts["comparison units"], 1163)
    assert trial.effective_comparison == pytest.approx(facts["effective size of the comparison group"])
    assert trial.estimand == facts["estimand"]
    assert trial.met == (trial.largest[0] <= 0.1)


def test_weights_and_searches_can_be_tried_too(smokers):
    weights = qe.tuning(qe.Weighting(**NHEFS), smokers)
    assert weights.try_(method="entropy balancing").largest[0] < 1e-8
    assert weights.try_(estimand="ATO").effective_treated < 403
    found = qe.tuning(qe.GeneticMatching(**NHEFS, evaluations=60, restarts=1), smokers.head(300)).try_()
    assert found.search.evaluations >= 60
    assert found.left_out == 0


def test_a_trial_follows_the_rows_and_columns_that_are_used(smokers):
    some = smokers.assign(wt71=smokers["wt71"].where(np.arange(len(smokers)) > 99))
    bench = qe.tuning(qe.Matching(**NHEFS, missing="complete cases"), some)
    assert sum((bench.try_().treated[1], bench.try_().comparison[1])) == len(smokers) - 100
    fewer = tuple(name for name in NHEFS["covariates"] if name != "wt71")
    trial = bench.try_(covariates=fewer)
    assert sum((trial.treated[1], trial.comparison[1])) == len(smokers)
    assert "wt71" not in set(trial.balance.table["characteristic"])
    with pytest.raises(qe.DataError, match="'wt71' is empty in 100 rows"):
        bench.try_(missing="refuse")


def test_no_outcome_is_read(smokers):
    nonsense = smokers.assign(gain="never to be read")
    design = qe.Matching(**NHEFS, outcome="gain", negative_controls=("ht",))
    shown = qe.tuning(design, nonsense.drop(columns="ht").assign(ht=pd.NA)).try_(caliper=0.1)
    plain = qe.tuning(qe.Matching(**NHEFS), smokers).try_(caliper=0.1)
    pd.testing.assert_frame_equal(shown.balance.table, plain.balance.table)


def test_exact_matching_without_covariates_has_no_balance_table(smokers):
    trial = qe.tuning(qe.Matching(treated="qsmk", method="exact", exact=("sex", "race")), smokers).try_()
    assert trial.balance is None
    assert trial.largest == (0.0, "")
    assert trial.scores is None


def test_only_designs_that_make_groups_alike_can_be_tried(smokers):
    other = qe.DifferenceInDifferences(outcome="y", unit="u", time="t", treated="d", start=1)
    with pytest.raises(qe.DesignError, match="makes no groups alike"):
        qe.tuning(other, smokers)
    with pytest.raises(qe.EstimationError, match="nobody finds a partner"):
        qe.tuning(qe.Matching(**NHEFS), smokers).try_(calipers={"wt71": "0.0000001"}, exact=("age", "seqn"))


def test_a_move_of_the_caliper_costs_little(smokers):
    bench = qe.tuning(qe.Matching(**NHEFS), smokers)
    bench.try_(caliper=0.5)
    took = []
    for caliper in (0.3, 0.2, 0.1):
        start = time.perf_counter()
        bench.try_(caliper=caliper)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.25


def test_the_kept_score_is_that_of_the_design(smokers):
    bench = qe.tuning(qe.Matching(**NHEFS, caliper=0.1), smokers)
    bench.try_()
    for distance in ("probit", "propensity", "logit"):
        fresh = qe.tuning(replace(bench.design, distance=distance), smokers).try_()
        kept = bench.try_(distance=distance)
        pd.testing.assert_frame_equal(kept.balance.table, fresh.balance.table)
