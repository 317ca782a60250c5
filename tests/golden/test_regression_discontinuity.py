"""Every block of rdrobust's numbers through `qe.estimate`: estimates, errors, intervals, bandwidths."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "rdiv.json"
if not REFERENCE.exists():
    pytest.skip("the reference numbers are not beside the checkout", allow_module_level=True)

BLOCKS = json.loads(REFERENCE.read_text())["rd"]
WAYS = ("conventional", "bias-corrected", "robust")
FIELDS = {
    "kernel": "kernel",
    "p": "order",
    "q": "bias_order",
    "bwselect": "bandwidth_rule",
    "vce": "variance",
    "cluster": "cluster",
    "weights": "weights",
    "fuzzy": "received",
    "masspoints": "mass_points",
    "rho": "bandwidth_ratio",
}
SPECIAL = ("data", "y", "x", "c", "covs", "h", "b", "deriv", "subset", "sharpbw")


def study(call: dict) -> tuple[qe.RegressionDiscontinuity, pd.DataFrame]:
    """The design and the data of a call of rdrobust."""
    unknown = set(call) - set(FIELDS) - set(SPECIAL)
    assert not unknown, f"the call has arguments that this test does not translate: {unknown}"
    data = pd.read_csv(SHARED.parent / call["data"])
    if "subset" in call:
        data = data.query(call["subset"])
    fields = {ours: call[theirs] for theirs, ours in FIELDS.items() if theirs in call}
    for name, ours in (("h", "bandwidth"), ("b", "bias_bandwidth")):
        if name in call:
            fields[ours] = tuple(np.atleast_1d(call[name]).tolist())
    if call.get("deriv"):
        fields["estimand"] = "kink"
    if call.get("sharpbw"):
        fields["bandwidth_for"] = "outcome"
    design = qe.RegressionDiscontinuity(
        outcome=call["y"],
        score=call["x"],
        cutoff=float(call["c"]),
        treated_side="at or above",
        covariates=tuple(call.get("covs", ())),
        inference="robust",
        missing="complete cases",
        **fields,
    )
    return design, data


def exact(call: dict) -> bool:
    """Whether the call leaves nothing to the data: bandwidths given, no nearest neighbours."""
    return "h" in call and ("vce" in call or "cluster" in call)


def whose(block: dict) -> str:
    """R's numbers where Python's wider pilot windows move the bandwidth (the tolerance of the block says so);
    else Python's, whose rule for tied neighbours is ours."""
    return "R_rdrobust_4_0_0" if block["tolerance"] == "1e-4" else "py_rdrobust_2_1_1"


@pytest.mark.parametrize("name", BLOCKS)
def test_estimates_are_those_of_rdrobust(name):
    block = BLOCKS[name]
    tolerance = 1e-9 if exact(block["call"]) else 1e-6
    design, data = study(block["call"])
    result = qe.estimate(design, data)
    found = result.estimates.set_index("term")
    shown = result.estimates["term"][0].replace(" ratio", " difference")
    reference = block[whose(block)]
    for at, way in enumerate(WAYS):
        row = found.loc[f"{shown}, {way}"]
        assert row["estimate"] == pytest.approx(reference["coef"][at], rel=tolerance)
        assert row["std_error"] == pytest.approx(reference["se"][at], rel=tolerance)
        assert row["p_value"] == pytest.approx(reference["pv"][at], rel=30 * tolerance)
    np.testing.assert_allclose(
        [found.loc[f"{shown}, robust", end] for end in ("conf_low", "conf_high")],
        reference["ci_robust"],
        rtol=10 * tolerance,
    )
    fit = result.kernel.fit
    np.testing.assert_allclose(fit.h, reference["h"], rtol=tolerance)
    np.testing.assert_allclose(fit.b, reference["b"], rtol=tolerance)
    np.testing.assert_array_equal(fit.n_h, reference["N_h"])
    np.testing.assert_array_equal(fit.n_b, reference["N_b"])


PARAMETRIC = json.loads(REFERENCE.read_text())["rd_falsification"]["mlda_parametric"]


@pytest.mark.parametrize("outcome", PARAMETRIC)
@pytest.mark.parametrize("order, name", [(1, "linear_interacted"), (2, "quadratic_interacted")])
def test_lines_through_all_ages_are_those_of_lm(outcome, order, name):
    """A uniform kernel over all of the data is least squares; sandwich's HC1 counts both sides together."""
    data = pd.read_csv(SHARED / "data" / "rdiv_mlda.csv").dropna(subset=[outcome])
    design = qe.RegressionDiscontinuity(
        outcome=outcome,
        score="agecell",
        cutoff=21,
        treated_side="at or above",
        kernel="uniform",
        bandwidth=(3,),
        order=order,
        variance="hc0",
        inference="robust",
    )
    row = (
        qe.estimate(design, data[["agecell", outcome]])
        .estimates.set_index("term")
        .loc["difference, conventional"]
    )
    assert row["estimate"] == pytest.approx(PARAMETRIC[outcome][name]["coef"], rel=1e-9)
    n = len(data)
    factor = np.sqrt(n / (n - 2 * (order + 1)))
    assert row["std_error"] * factor == pytest.approx(PARAMETRIC[outcome][name]["se_hc1"], rel=1e-9)
