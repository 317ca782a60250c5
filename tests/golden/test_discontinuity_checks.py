"""The checks of a regression discontinuity against rdrobust, rddensity, RDHonest, rdlocrand and rdpower."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.discontinuous.local import fit
from qieval.methods.regression_discontinuity import parse

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "rdiv.json"
if not REFERENCE.exists():
    pytest.skip("the reference numbers are not beside the checkout", allow_module_level=True)

ALL = json.loads(REFERENCE.read_text())
FALSIFIED = ALL["rd_falsification"]
FIELDS = {"treated_side": "at or above", "inference": "robust", "missing": "complete cases"}
SENATE = qe.RegressionDiscontinuity(outcome="demvoteshfor2", score="demmv", cutoff=0, **FIELDS)
HEADSTART = qe.RegressionDiscontinuity(outcome="mortHS", score="povrate", cutoff=0, **FIELDS)
MEYERSSON = qe.RegressionDiscontinuity(outcome="Y", score="X", cutoff=0, **FIELDS)
BIRTHWEIGHT = qe.RegressionDiscontinuity(outcome="died1y", score="bweight", cutoff=1500, **FIELDS)
MONTHS = qe.RegressionDiscontinuity(
    outcome="cost", score="age_months", cutoff=780, received="treated", **FIELDS
)
DESIGNS = {"senate": SENATE, "headstart": HEADSTART, "meyersson": MEYERSSON, "birthweight": BIRTHWEIGHT}
FILES = {
    "demmv": "senate",
    "povrate": "headstart",
    "X": "meyersson",
    "bweight": "sim_birthweight",
    "age_months": "sim_fuzzy_age",
}


def data_of(design: qe.RegressionDiscontinuity) -> pd.DataFrame:
    return pd.read_csv(SHARED / "data" / f"rdiv_{FILES[design.score]}.csv")


def matches(row, reference, rel=1e-6):
    assert row["estimate"] == pytest.approx(reference["tau_bc"], rel=rel)
    assert row["p_value"] == pytest.approx(reference["p_robust"], rel=30 * rel)
    np.testing.assert_allclose([row["conf_low"], row["conf_high"]], reference["ci_robust"], rtol=30 * rel)


@pytest.mark.parametrize("name", ["headstart", "meyersson", "birthweight"])
def test_covariates_at_the_cutoff(name):
    blocks = FALSIFIED[f"covariate_continuity_{name}_hc1"]
    for covariate, reference in blocks.items():
        design = replace(DESIGNS[name], variance="hc1", covariates=(covariate,))
        table = qe.design_checks(design, data_of(design))["covariates at the cutoff"].table
        matches(table.iloc[0], reference)
        assert table["bandwidth"][0] == pytest.approx(reference["h"], rel=1e-6)


@pytest.mark.parametrize("place", FALSIFIED["placebo_cutoffs_meyersson_hc1"])
def test_placebo_cutoffs_use_one_side(place):
    reference = FALSIFIED["placebo_cutoffs_meyersson_hc1"][place]
    design, at = replace(MEYERSSON, variance="hc1"), float(place)
    made = parse(design, data_of(design))
    found = fit(design, made, rows=made.s >= 0 if at > 0 else made.s < 0, cutoff=at)
    assert found.estimate[0] == pytest.approx(reference["tau"], rel=1e-6)
    assert found.std_error[2] == pytest.approx(reference["se_robust"], rel=1e-6)
    assert list(found.n_h) == reference["N_h"]


@pytest.mark.parametrize("name", ["meyersson", "birthweight"])
def test_donuts(name):
    design = replace(DESIGNS[name], variance="hc1")
    for hole, reference in FALSIFIED[f"donut_{name}_hc1"].items():
        result = qe.estimate(replace(design, donut=float(hole)), data_of(design))
        table = result.estimates.set_index("term")
        matches(
            table.loc["difference, robust" if name == "meyersson" else "risk difference, robust"], reference
        )


@pytest.mark.parametrize(("name", "design"), [("headstart", HEADSTART), ("fuzzyage", MONTHS)])
def test_bandwidth_series(name, design):
    data = data_of(design)
    for width, reference in FALSIFIED[f"bandwidth_series_{name}_hc1"].items():
        wide = qe.estimate(replace(design, variance="hc1", bandwidth=(float(width),)), data)
        matches(wide.estimates.set_index("term").loc["difference, robust"], reference, rel=1e-9)


def test_the_bandwidth_check_scales_the_bandwidth_and_that_for_the_bias():
    data = data_of(HEADSTART)
    design = replace(HEADSTART, variance="hc1", bandwidth=(6.0,))
    table = qe.diagnose(qe.estimate(design, data), data)["bandwidth"].table.set_index("times")
    matches(table.loc[0.5], FALSIFIED["bandwidth_series_headstart_hc1"]["3"], rel=1e-9)


@pytest.mark.parametrize("block", ["senate", "headstart", "meyersson", "birthweight"])
def test_density_at_the_cutoff(block):
    reference = ALL["rd_density"][block]["R"]
    check = qe.design_checks(DESIGNS[block], data_of(DESIGNS[block]))["density at the cutoff"]
    row = check.table.iloc[0]
    np.testing.assert_allclose(
        row[["density_below", "density_above", "difference"]].astype(float), reference["hat"], rtol=1e-6
    )
    np.testing.assert_allclose(
        row[["bandwidth_below", "bandwidth_above"]].astype(float), reference["h"], 1e-6
    )
    assert row["p_value"] == pytest.approx(reference["p_jk"], rel=1e-6)
    assert list(row[["people_below", "people_above"]]) == reference["N_h"]


def test_density_without_allowing_for_repeated_scores():
    reference = ALL["rd_density"]["birthweight_massoff"]["R"]
    table = qe.design_checks(BIRTHWEIGHT, data_of(BIRTHWEIGHT))["density at the cutoff"].table
    assert table["p_value"][1] == pytest.approx(reference["p_jk"], rel=1e-5)


@pytest.mark.parametrize("name", ["senate", "headstart", "meyersson"])
def test_counts_beside_the_cutoff(name):
    reference = ALL["rd_density"][name]["R"]
    table = qe.design_checks(DESIGNS[name], data_of(DESIGNS[name]))["counts beside the cutoff"].table
    assert table["people_below"].tolist() == reference["binom_LeftN"]
    assert table["people_above"].tolist() == reference["binom_RightN"]
    np.testing.assert_allclose(table["p_value"], reference["binom_p"], rtol=1e-9)


@pytest.mark.parametrize("block", ["headstart_M05", "headstart_rot"])
def test_honest_interval_beside_the_robust_one(block):
    reference = ALL["rd_honest"][block]["R"]
    data = data_of(HEADSTART)
    design = replace(HEADSTART, smoothness=0.05 if block == "headstart_M05" else 0)
    checks = qe.diagnose(qe.estimate(design, data), data)
    row = checks["ways to say how sure"].table.set_index("label").loc["honest"]
    assert row["estimate"] == pytest.approx(reference["estimate"], rel=1e-4)
    np.testing.assert_allclose(
        [row["conf_low"], row["conf_high"]], [reference["conf.low"], reference["conf.high"]], rtol=1e-3
    )
    curve = checks["how much the outcome may bend"].table.set_index("label")
    assert curve.loc["1 times", "at"] == pytest.approx(reference["M"], rel=1e-6)
    assert curve.loc["1 times", "largest_bias"] == pytest.approx(reference["maximum.bias"], rel=1e-3)


@pytest.mark.parametrize(
    ("block", "design", "window"), [("senate_wl_wr", SENATE, 2.5), ("headstart", HEADSTART, 1.1)]
)
def test_local_randomisation(block, design, window):
    reference = ALL["rd_local_randomisation"][block]["R"]
    data = data_of(design)
    result = qe.estimate(replace(design, inference="local randomisation", window=window), data)
    row = result.estimates.iloc[0]
    assert row["estimate"] == pytest.approx(reference["obs_stat"], rel=1e-9)
    assert row["p_value"] == pytest.approx(reference["p_value"], abs=0.006)
    held = result.kernel.way.held
    assert held.p_asymptotic == pytest.approx(reference["asy_pvalue"], rel=1e-9)
    assert [held.left.n_window, held.right.n_window] == reference["sumstats"][1]


def test_smallest_detectable_effect():
    reference = ALL["rd_power"]["rdmde_senate"]["R"]
    data = data_of(SENATE)
    table = qe.diagnose(qe.estimate(SENATE, data), data)["power"].table.set_index("power")
    found = table.iloc[int(np.abs(table.index - 0.8).argmin())]
    assert found["effect"] == pytest.approx(reference["mde"], rel=1e-5)


def test_heaped_birth_weights_raise_a_concern_and_the_donut_tells_the_truth():
    """True jump +0.035 above 1,500 g; with everybody the estimate is twice that."""
    data = data_of(BIRTHWEIGHT)
    design = replace(BIRTHWEIGHT, treated_side="below")
    checks = qe.diagnose(qe.estimate(design, data), data)
    assert checks["heaping of the score"].verdict == "concern"
    check = checks["estimate without heaped scores"]
    assert check.verdict == "concern"
    rows = check.table.set_index("label")
    assert rows.loc["as designed", "estimate"] == pytest.approx(-0.0711, abs=5e-4)
    assert rows.loc["without those at 1,500", "conventional"] == pytest.approx(-0.028, abs=2e-3)
    assert rows.loc["without heaped scores", "estimate"] == pytest.approx(-0.035, abs=5e-3)
    ledger = checks.ledger.set_index("assumption")
    assert ledger.loc["scores are not rounded in a way that matters", "verdict"] == "concern"
