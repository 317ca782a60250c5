"""Regression adjustment through the public verbs against R (lm, glm, stdReg) and zEpid.

Blocks nhefs_noint, nhefs_whatif, nhefs_death and distance_died of the shared reference numbers. Not covered
here: the Horvitz-Thompson and stabilised rows (kernel tests; stabilised weights give the same means), TMLE
(R's tmle draws folds at random), HC1 and HC3 of the plain regression, and the penalised numbers of causallib.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe

SHARED = Path(__file__).resolve().parents[3] / "shared"
NHEFS = ("sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active", "wt71")
BLOCKS = ["nhefs_noint", "nhefs_whatif", "nhefs_death", "distance_died"]
EXACT = 1e-8

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "rdiv.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "rdiv.json").read_text(encoding="utf-8"))["regression_control"]


@pytest.fixture(scope="module")
def frames():
    data = pytest.importorskip("causaldata", reason="NHEFS comes with the package causaldata").nhefs
    smokers = data.load_pandas().data
    smokers = smokers[smokers["wt82"].notna()].reset_index(drop=True)
    return smokers, pd.read_csv(SHARED / "data" / "rdiv_sim_distance.csv")


def stated(block: str) -> qe.RegressionAdjustment:
    if block == "distance_died":
        return qe.RegressionAdjustment(
            treated="specialist",
            covariates=("age", "female", "imd", "comorb", "year"),
            categories=("imd", "year"),
            outcome="died30",
            treatment_interactions="no",
        )
    own = {"interacted_with": ("smokeintensity",)} if block == "nhefs_whatif" else {}
    return qe.RegressionAdjustment(
        treated="qsmk",
        covariates=NHEFS,
        categories=("education", "exercise", "active"),
        squares=("age", "smokeintensity", "smokeyrs", "wt71"),
        outcome="death" if block == "nhefs_death" else "wt82_71",
        treatment_interactions="yes" if own else "no",
        **own,
    )


@pytest.fixture(scope="module")
def ask(frames):
    def made(block, **fields):
        frame = frames[1] if block == "distance_died" else frames[0]
        return qe.estimate(replace(stated(block), **fields), frame)

    return made


def close(found, expected, tolerance=EXACT):
    assert found == pytest.approx(expected, rel=tolerance, abs=1e-11)


def means(result):
    return [result.facts[f"outcome {part}"] for part in ("with the intervention", "expected without it")]


def check(result, expected):
    """Both means and their difference; the standard error where it is given."""
    close(means(result), [expected["EY1"], expected["EY0"]])
    close(result.estimates.iloc[0]["estimate"], expected["ate"])


@pytest.mark.parametrize("block", BLOCKS)
def test_g_computation(ask, reference, block):
    expected = reference[block]["gcomp"]
    check(ask(block), expected)
    close(ask(block, estimand="ATT").estimates.iloc[0]["estimate"], expected["att"])


@pytest.mark.parametrize("block", BLOCKS)
def test_weighting(ask, reference, block):
    expected = reference[block]["ipw_hajek"]
    check(ask(block, estimator="weighting"), expected)
    known = ask(block, estimator="weighting", inference="models known").estimates.iloc[0]
    close(known["std_error"], expected["se_hc0_ps_known"])


@pytest.mark.parametrize("block", BLOCKS)
def test_doubly_robust(ask, reference, block):
    expected, asked = reference[block]["aipw"], {"estimator": "doubly robust", "inference": "models known"}
    result = ask(block, **asked)
    check(result, expected)
    close(result.estimates.iloc[0]["std_error"], expected["se_if"])
    treated = ask(block, estimand="ATT", **asked).estimates.iloc[0]
    close([treated["estimate"], treated["std_error"]], [expected["att"], expected["att_se_if"]])


def test_standard_errors_of_std_reg(ask, reference):
    row, expected = ask("nhefs_whatif").estimates.iloc[0], reference["nhefs_whatif"]["stdReg"]
    close([row["estimate"], row["std_error"]], [expected["diff"], expected["se_diff"]])
    row = ask("nhefs_death").estimates.iloc[0]
    close(row["std_error"], reference["nhefs_death"]["stdReg"]["se_rd"], 1e-6)


def test_weighting_with_estimated_scores(ask, reference):
    row = ask("nhefs_noint", estimator="weighting").estimates.iloc[0]
    close(row["std_error"], reference["_peers"]["ipw_hajek_se_stacked_M_estimation"]["nhefs"])


def test_the_same_as_the_design_of_weighting(ask, frames):
    """Two designs that answer the same question in the same way give the same number and error."""
    one = ask("nhefs_noint", estimator="weighting").estimates.iloc[0]
    asked = stated("nhefs_noint")
    shared = {
        name: getattr(asked, name) for name in ("treated", "covariates", "categories", "squares", "outcome")
    }
    other = qe.estimate(qe.Weighting(estimand="ATE", **shared), frames[0]).estimates.iloc[0]
    close(one[["estimate", "std_error"]].tolist(), other[["estimate", "std_error"]].tolist())


def test_arms_apart(ask, reference):
    """statsmodels fits the groups apart; our factor n/(n-1) is taken out of the error."""
    row = ask("nhefs_noint", treatment_interactions="yes").estimates.iloc[0]
    estimate, error = reference["_peers"]["statsmodels_ra_separate_arms"]
    close([row["estimate"], row["std_error"] * np.sqrt(1565 / 1566)], [estimate, error])
    both = ask("nhefs_noint", treatment_interactions="yes", estimator="doubly robust").estimates.iloc[0]
    close(both["estimate"], reference["_peers"]["statsmodels_aipw_separate_arms"][0])


def test_the_coefficient_and_its_error_by_the_family(ask, reference):
    row, expected = (
        ask("nhefs_noint", inference="model").estimates.iloc[0],
        reference["nhefs_noint"]["ols_qsmk"],
    )
    close([row["estimate"], row["std_error"]], [expected["coef"], expected["se"]])


def test_effects_at_five_and_forty_cigarettes(ask, reference):
    expected = reference["nhefs_whatif"]["effect_at_smokeintensity"]
    table = ask("nhefs_whatif", effect_at={"smokeintensity": "5; 40"}, inference="model").estimates
    rows = table[table["term"] == "difference at smokeintensity"].set_index("at")
    for number in ("5", "40"):
        row = rows.loc[float(number)]
        close([row["estimate"], row["std_error"]], [expected[number]["est"], expected[number]["se"]])
    assert table["at"].isna().sum() == 1


def test_as_published(ask):
    """Hernan and Robins: standardisation 3.5, weighting 3.4 (2.4 to 4.5), 2.8 and 4.4 at 5 and 40 a day."""
    assert round(ask("nhefs_whatif").estimates.iloc[0]["estimate"], 1) == 3.5
    row = ask("nhefs_noint", estimator="weighting", inference="models known").estimates.iloc[0]
    assert [round(row[name], 1) for name in ("estimate", "conf_low", "conf_high")] == [3.4, 2.4, 4.5]
    at = ask("nhefs_whatif", effect_at={"smokeintensity": "5; 40"}).estimates
    assert at["estimate"].iloc[1:].round(1).tolist() == [2.8, 4.4]


def test_unadjusted_is_shown_beside_the_models(ask, reference, frames):
    result = ask("nhefs_noint")
    table = qe.diagnose(result, frames[0])["other models"].table.set_index("label")
    close(table.loc["for comparison: no adjustment", "estimate"], reference["nhefs_noint"]["unadjusted"])
    close(table.loc["doubly robust", "estimate"], 3.3732646319016157)
    assert table["estimate"].iloc[:-1].between(3.2, 3.7).all()
