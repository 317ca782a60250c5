"""Trying donors before any outcome that could tell the effect: the weights of the estimate, and quickly."""

import time
from dataclasses import replace

import numpy as np
import pytest

import qieval as qe

DESIGN = qe.SyntheticControl(
    outcome="readmissions_per_1000",
    unit="hospital",
    time="month",
    treated="programme",
    start="2017-01",
)
SHARED = {"share_over_75": "", "readmissions_per_1000": "2012-01 to 2013-12; 2015-01 to 2016-12"}


@pytest.fixture(scope="module")
def hospitals():
    return qe.example("one_hospital").frame


@pytest.fixture(scope="module")
def bench(hospitals):
    return qe.tuning(DESIGN, hospitals)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"donors": ("H01", "H03", "H09", "H10")},
        {"not_donors": {"H19": "its records"}},
        {"similar_intervention": "similar_programme"},
        {"method": "demeaned"},
        {"predictors": SHARED},
        {"fit_from": "2014-01"},
        {"anticipation": 3},
    ],
    ids=str,
)
def test_a_trial_has_the_weights_of_the_estimate(hospitals, bench, changes):
    trial = bench.try_(**changes)
    result = qe.estimate(replace(DESIGN, **changes), hospitals)
    weights = trial.weights.set_index("donor")["weight"]
    used = result.weights.set_index("row")["weight"]
    assert weights[used.index].to_numpy() == pytest.approx(used.to_numpy(), abs=1e-12)
    assert trial.donors == len(weights)
    fact = result.facts["root mean squared gap before the start"]
    assert trial.missed_by == pytest.approx(fact, rel=1e-10)
    gaps = result.kernel.only[1].gaps
    assert trial.paths["gap"].to_numpy() == pytest.approx(gaps[: len(trial.paths)], abs=1e-9)


def test_no_outcome_from_the_start_on_is_read(hospitals, bench):
    after = hospitals["month"] >= "2017-01"
    other = hospitals.assign(readmissions_per_1000=hospitals["readmissions_per_1000"].mask(after, np.nan))
    blind = qe.tuning(DESIGN, other).try_()
    seen = bench.try_()
    assert blind.weights.equals(seen.weights)
    assert blind.paths.equals(seen.paths)
    assert seen.paths["period"].iloc[-1] == "2016-12"
    assert bench.try_(anticipation=2).paths["period"].iloc[-1] == "2016-10"


def test_paths_add_up(hospitals, bench):
    trial = bench.try_(fit_from="2013-01")
    table, wide = (
        trial.paths,
        hospitals.pivot_table(index="month", columns="hospital", values="readmissions_per_1000"),
    )
    before = wide.loc[:"2016-12"]
    assert table["treated"].tolist() == pytest.approx(before["H07"].tolist())
    assert table["mean_of_donors"].tolist() == pytest.approx(before.drop(columns="H07").mean(axis=1).tolist())
    weights = trial.weights.set_index("donor")["weight"]
    assert table["synthetic"].tolist() == pytest.approx((before[weights.index] @ weights).tolist())
    assert table["gap"].tolist() == pytest.approx((table["treated"] - table["synthetic"]).tolist())
    assert table["fitted"].sum() == 48
    assert table["at"].tolist() == list(range(-60, 0))
    fitted = table.loc[table["fitted"], "gap"]
    assert trial.missed_by == pytest.approx(np.sqrt((fitted**2).mean()))


def test_several_treated_units_are_averaged_by_their_share():
    design = qe.SyntheticDifferenceInDifferences(
        outcome="admissions_per_1000",
        unit="practice",
        time="month",
        treated="pilot",
        start="2022-01",
        first_treated="pilot_start",
    )
    data = qe.example("pilot_staggered")
    trial = qe.tuning(design, data).try_()
    assert trial.donors == trial.untreated == 36
    assert trial.weights["weight"].sum() == pytest.approx(1)
    assert trial.paths["period"].iloc[-1] == "2021-12"
    assert len(trial.paths) == 15
    assert abs(trial.paths["gap"].mean()) < 1e-9


def test_a_trial_says_what_it_found(bench):
    trial = bench.try_(similar_intervention="similar_programme")
    name, weight = trial.weights.iloc[0]
    assert repr(trial).startswith("23 of 24 untreated units; missed by")
    assert f"heaviest {name} ({weight:.2g})" in repr(trial)
    assert trial.effective_donors == pytest.approx(1 / (trial.weights["weight"] ** 2).sum())
    assert any("H24" in note for note in trial.notes)
    assert trial.shared is None
    assert bench.try_(predictors=SHARED).shared["what"].tolist()[0] == "share_over_75"


def test_errors_are_those_of_design_checks(bench):
    with pytest.raises(qe.DataError, match="H99"):
        bench.try_(donors=("H99",))
    with pytest.raises(qe.DataError, match="fit_from"):
        bench.try_(fit_from="2017-05")
    with pytest.raises(qe.DesignError, match="has no donors"):
        qe.tuning(
            qe.DifferenceInDifferences(outcome="y", unit="u", time="t", treated="d", start=1),
            qe.simulate_panel(),
        )


def test_totals_of_small_units_are_not_drawn_donor_by_donor():
    design = qe.MicroSyntheticControl(
        outcome="emergency_admissions", unit="practice", time="month", treated="pilot", start="2022-04"
    )
    with pytest.raises(qe.DesignError, match="cannot be drawn donor by donor"):
        qe.tuning(design, qe.example("pilot")).try_()


def test_trying_is_quick(bench):
    bench.try_(predictors=SHARED)
    begun = time.process_time()
    bench.try_(predictors=SHARED, donors=("H01", "H03", "H09", "H10", "H15", "H19", "H23"))
    assert time.process_time() - begun < 1
