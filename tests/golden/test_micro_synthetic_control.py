"""`qe.MicroSyntheticControl` on the drug market intervention of Seattle, against microsynth 2.0.51.

Totals equal the certified solutions of the same constraints to 1e-6, microsynth's own to 1e-4 (it stops 6e-6
short of its constraints). Its linearised p-values are one-sided and its limits are for 90 %; those of
inference='as microsynth' are two-sided, so half of them is compared, at level 0.9. Its omnibus p-value rests
on random groups and is not compared.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

CRIMES = ("any_crime", "i_felony", "i_misdemea", "i_drugs")


@pytest.fixture(scope="module")
def reference():
    cases = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))["cases"]
    return next(case["values"] for case in cases if case["id"] == "seattle_microsynth")


@pytest.fixture(scope="module")
def seattle():
    """One row per block and quarter, and the design of the published call."""
    wide = pd.read_csv(SHARED / "data" / "scits_seattledmi_wide.csv")
    long = pd.wide_to_long(wide, list(CRIMES), i="ID", j="quarter", sep="_").reset_index()
    design = qe.MicroSyntheticControl(
        outcome="any_crime",
        unit="ID",
        time="quarter",
        treated="treated",
        start=13,
        other_outcomes=CRIMES[1:],
        match_on=tuple(wide.columns[2:11]),
        inference="as microsynth",
        level=0.9,
    )
    return design, long


@pytest.fixture(scope="module")
def result(seattle):
    return qe.estimate(*seattle)


def test_results_of_microsynth(reference, result):
    theirs = {row["outcome"]: row for row in reference["microsynth"]["results"]["16"]}
    assert list(result.estimates["term"][:4]) == [
        "total effect",
        *(f"total effect on {crime}" for crime in CRIMES[1:]),
    ]
    for place, crime in enumerate(CRIMES):
        row, other = result.estimates.loc[place], theirs[crime]
        assert row["observed"] == other["Trt"]
        assert row["expected"] == pytest.approx(other["Con"], rel=1e-4)
        assert row["percent_change"] == pytest.approx(100 * other["Pct.Chng"], rel=1e-4)
        assert row["p_value"] / 2 == pytest.approx(other["Linear.pVal"], rel=1e-4)
        assert row["percent_low"] == pytest.approx(100 * other["Linear.Lower"], rel=1e-4)
        assert row["percent_high"] == pytest.approx(100 * other["Linear.Upper"], rel=1e-4)


def test_balance_table_of_microsynth(reference, result):
    ours = result.kernel.targets.set_index("what")
    assert len(ours) == len(reference["microsynth"]["balance"]) == 58
    for row in reference["microsynth"]["balance"]:
        name = row["var"].replace(".", " in ") if row["var"] != "Intercept" else "number of units"
        assert ours.loc[name, "treated"] == row["Targets"]
        assert ours.loc[name, "weighted"] == pytest.approx(row["Weighted.Control"], rel=1e-4)
    top = {str(unit): weight for unit, weight in reference["microsynth"]["top20"].items()}
    held = result.weights.assign(row=result.weights["row"].astype(str)).set_index("row")["weight"]
    assert held[list(top)].to_numpy() == pytest.approx(list(top.values()), rel=1e-4)


@pytest.mark.parametrize(("weighting", "name"), [("minimum norm", "min_l2"), ("raking", "raking")])
def test_certified_solutions(reference, seattle, weighting, name):
    design, data = seattle
    found = qe.estimate(
        qe.MicroSyntheticControl.from_dict({**design.to_dict(), "weighting": weighting}), data
    )
    exact = reference["exact"][name]
    for place, crime in enumerate(CRIMES):
        expected = exact["control_totals_post_13_16"][crime]
        assert found.estimates.loc[place, "expected"] == pytest.approx(expected, rel=1e-6)
    assert found.facts["effective number of control units"] == pytest.approx(exact["ess"], rel=1e-6)
    assert found.facts["largest weight"] == pytest.approx(exact["max_weight"], rel=1e-6)
    assert found.facts["totals not reached"] == 0
    assert found.facts["relative duality gap of the weights"] < 1e-8


def test_our_own_interval_is_wider_than_that_of_microsynth(seattle, result):
    design, data = seattle
    own = qe.estimate(
        qe.MicroSyntheticControl.from_dict({**design.to_dict(), "inference": "automatic"}), data
    )
    assert own.facts["interval by"] == "linearised"
    assert np.array_equal(own.estimates["estimate"], result.estimates["estimate"])
    wider = (own.estimates["std_error"] / result.estimates["std_error"])[:4]
    assert (wider > 1.3).all()
