"""Balanced weights of small units against microsynth 2.0.51, clarabel and raking: 9,642 blocks of Seattle.

Exact solutions (`exact` in the reference): 1e-6. microsynth stops about 6e-6 short of its constraints (its
control weights sum to 39.00024), so that its own numbers are met to 1e-4 of a total. Its p-values are
one-sided ("lower"), its limits are for 90 %, and its variance takes every block and quarter as independent.
Its omnibus p-value rests on jackknife groups drawn at random and is not compared.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.small_units import minimum_norm, raking
from qieval.numerics.small_units_errors import SmallUnits, cumulative, linearised, totals

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

CRIMES = ("i_felony", "i_misdemea", "i_drugs", "any_crime")


@pytest.fixture(scope="module")
def reference():
    cases = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))["cases"]
    return next(case["values"] for case in cases if case["id"] == "seattle_microsynth")


@pytest.fixture(scope="module")
def seattle():
    """Names of the constraints in microsynth's order, and the data."""
    frame = pd.read_csv(SHARED / "data" / "scits_seattledmi_wide.csv")
    covariates = list(frame.columns[2:11])
    outcomes = np.array(
        [[frame[f"{crime}_{quarter}"] for quarter in range(1, 17)] for crime in CRIMES], float
    )
    before = [f"{crime}_{quarter}" for crime in CRIMES for quarter in range(12, 0, -1)]
    constraints = np.vstack([np.ones(len(frame)), frame[covariates + before].to_numpy(float).T])
    names = ["Intercept", *covariates, *(name[::-1].replace("_", ".", 1)[::-1] for name in before)]
    return names, SmallUnits(outcomes, constraints, (frame.treated == 1).to_numpy(), 12)


@pytest.fixture(scope="module")
def weighted(seattle):
    return seattle[1].weights()


def test_minimum_norm(reference, weighted, seattle):
    exact, (weights, fit) = reference["exact"]["min_l2"], weighted
    assert fit.feasible and fit.converged and fit.gap < 1e-12 and np.abs(fit.residual).max() < 1e-9
    assert np.sum(fit.weights**2) == pytest.approx(exact["sum_w2"], rel=1e-6)
    assert fit.effective_units == pytest.approx(exact["ess"], rel=1e-6)
    assert fit.weights.max() == pytest.approx(exact["max_weight"], rel=1e-6)
    assert np.count_nonzero(fit.weights > 1e-6) == exact["n_gt_1e6"]
    whole = cumulative(seattle[1], weights).control[:, -1]
    assert whole == pytest.approx(list(exact["control_totals_post_13_16"].values()), rel=1e-6)


def test_raking(reference, seattle):
    exact, (_, data) = reference["exact"]["raking"], seattle
    inside = data.constraints[:, ~data.treated]
    fit = raking(inside, data.constraints[:, data.treated].sum(axis=1))
    assert fit.feasible and fit.converged
    assert fit.weights.sum() == pytest.approx(exact["weight_sum"], rel=1e-10)
    assert fit.weights.max() == pytest.approx(exact["max_weight"], rel=1e-6)
    assert fit.effective_units == pytest.approx(exact["ess"], rel=1e-6)
    after = data.outcomes[:, 12:, ~data.treated].sum(axis=1) @ fit.weights
    assert after == pytest.approx(list(exact["control_totals_post_13_16"].values()), rel=1e-6)


def test_microsynths_balance_table(reference, weighted, seattle):
    names, data = seattle
    weights, _ = weighted
    control = data.constraints[:, ~data.treated] @ weights[~data.treated]
    everybody = data.constraints.sum(axis=1) * data.treated.mean()
    for row, name in enumerate(names):
        theirs = reference["microsynth"]["balance"][row]
        assert theirs["var"] == name
        assert data.constraints[row, data.treated].sum() == theirs["Targets"]
        assert control[row] == pytest.approx(theirs["Weighted.Control"], rel=1e-4)
        assert everybody[row] == pytest.approx(theirs["All.scaled"], rel=1e-10)


def test_microsynths_weights(reference, weighted):
    ours = np.sort(weighted[1].weights)[::-1]
    theirs = list(reference["microsynth"]["top20"].values())
    assert ours[:20] == pytest.approx(theirs, rel=1e-4)
    assert weighted[1].effective_units == pytest.approx(reference["microsynth"]["ess"], rel=1e-4)
    # Its sum of squares is below the least one possible because it misses the constraints.
    assert np.sum(ours**2) == pytest.approx(reference["microsynth"]["sum_w2"], rel=1e-4)
    assert np.sum(ours**2) > reference["microsynth"]["sum_w2"]


def test_microsynths_results(reference, weighted, seattle):
    data, (weights, _) = seattle[1], weighted
    whole, found = cumulative(data, weights), linearised(data, weights, "records", level=0.9)
    for k, crime in enumerate(CRIMES):
        theirs = reference["microsynth"]["results"]["16"][k]
        assert theirs["outcome"] == crime
        assert whole.treated[k, -1] == theirs["Trt"]
        assert whole.control[k, -1] == pytest.approx(theirs["Con"], rel=1e-4)
        assert found.relative[k] == pytest.approx(theirs["Pct.Chng"], rel=1e-4)
        one_sided = found.p_value[k] / 2 if found.difference[k] < 0 else 1 - found.p_value[k] / 2
        assert one_sided == pytest.approx(theirs["Linear.pVal"], rel=1e-4)
        assert found.low[k] == pytest.approx(theirs["Linear.Lower"], rel=1e-4)
        assert found.high[k] == pytest.approx(theirs["Linear.Upper"], rel=1e-4)


def test_errors_that_allow_for_units_are_larger_than_microsynths(weighted, seattle):
    data, (weights, _) = seattle[1], weighted
    records, calibrated = (linearised(data, weights, kind) for kind in ("records", "calibrated"))
    assert (calibrated.std_error > 1.3 * records.std_error).all()
    assert totals(data, weights).difference[:, :12] == pytest.approx(0, abs=1e-9)


def test_totals_out_of_reach(seattle):
    data = seattle[1]
    inside, wanted = data.constraints[:, ~data.treated], data.constraints[:, data.treated].sum(axis=1)
    wanted[40] = 500.0
    exact = np.arange(wanted.size) < 10
    fit = minimum_norm(inside, wanted, exact)
    assert not fit.feasible and fit.converged and fit.missed[40] and not fit.missed[:10].any()
    assert fit.residual[:10] == pytest.approx(0, abs=1e-6) and fit.weights.sum() == pytest.approx(
        39, rel=1e-12
    )
