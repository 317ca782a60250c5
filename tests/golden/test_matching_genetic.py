"""Matching with ties, its standard errors and its balance against numbers of R's Matching 4.10-15."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.abadie_imbens import abadie_imbens, variance_within
from qieval.numerics.balance_loss import Evaluator
from qieval.numerics.genetic import Task, search
from qieval.numerics.paired_balance import balance_after, balance_before
from qieval.numerics.tied_matches import Rule, common_support, tied_matches

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-8

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "matching.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

NAMES = ["age", "educ", "black", "hisp", "married", "nodegr", "re74", "re75", "u74", "u75"]


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "matching.json").read_text(encoding="utf-8"))[
        "lalonde_dw_Matching"
    ]


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(SHARED / "data" / "matching_lalonde_dw.csv").astype(float)


def columns(f):
    """The columns of the reference's propensity model and balance terms."""
    return {
        "age": f.age,
        "I(age^2)": f.age**2,
        "educ": f.educ,
        "I(educ^2)": f.educ**2,
        **{name: f[name] for name in ("black", "hisp", "married", "nodegr", "re74")},
        "I(re74^2)": f.re74**2,
        "re75": f.re75,
        "I(re75^2)": f.re75**2,
        "u74": f.u74,
        "u75": f.u75,
        "(Intercept)": 1.0,
        "I(re74 * re75)": f.re74 * f.re75,
        "I(age * nodegr)": f.age * f.nodegr,
        "I(educ * re74)": f.educ * f.re74,
        "I(educ * re75)": f.educ * f.re75,
    }


def score(frame, reference):
    model, terms = reference["ps_model"], columns(frame)
    linear = sum(beta * terms[name] for name, beta in model["coef"].items())
    return 1 / (1 + np.exp(-np.asarray(linear)))


RUNS = {
    "ps_M1": ("ps", {}, "ATT"),
    "ps_ATE": ("ps", {}, "ATE"),
    "ps_ATC": ("ps", {}, "ATC"),
    "ps_M3": ("ps", {"ratio": 3}, "ATT"),
    "ps_caliper025": ("ps", {"caliper": np.array([0.25])}, "ATT"),
    "ps_common_support": ("ps", {}, "ATT"),
    "ps_biasadj": ("ps", {}, "ATT"),
    "ps_varcalc2": ("ps", {}, "ATT"),
    "x_invvar": ("x", {}, "ATT"),
    "x_mahalanobis": ("x", {"weight": "mahalanobis"}, "ATT"),
    "x_mahalanobis_biasadj_M4": ("x", {"weight": "mahalanobis", "ratio": 4}, "ATT"),
    "x_mahalanobis_ATE_varcalc1": ("x", {"weight": "mahalanobis"}, "ATE"),
    "x_exact_black_caliper": ("x", {"strata": True}, "ATT"),
}
VARIANCE = {"ps_varcalc2": 2, "x_mahalanobis_ATE_varcalc1": 1}


def estimate(name, frame, reference):
    which, options, estimand = RUNS[name]
    x = score(frame, reference)[:, None] if which == "ps" else frame[NAMES].to_numpy()
    y, treated = frame.re78.to_numpy(), frame.treat.to_numpy() == 1
    if name == "ps_common_support":
        kept = common_support(x[:, 0], treated)
        x, y, treated = x[kept], y[kept], treated[kept]
    if "strata" in options:  # exact on black and nodegr
        options = {"strata": (2 * frame.black + frame.nodegr).to_numpy().astype(int)}
    rule = Rule(**options)
    variance = variance_within(y, x, treated, VARIANCE[name], rule) if name in VARIANCE else None
    adjust = x if "biasadj" in name else None
    return abadie_imbens(y, treated, tied_matches(x, treated, rule, estimand), adjust, variance)


@pytest.mark.parametrize("name", RUNS)
def test_effect_and_standard_errors(name, frame, reference):
    expected, found = reference[name], estimate(name, frame, reference)
    assert (found.n_pairs, found.n_focal) == (expected["n_matches"], expected["sum_weights"])
    assert found.estimate == pytest.approx(expected["est"], rel=EXACT)
    assert found.unadjusted == pytest.approx(expected["est_noadj"], rel=EXACT)
    assert found.std_error_pairs == pytest.approx(expected["se_standard"], rel=EXACT)
    error, drops = found.std_error, expected["ndrops"]
    if drops:  # Matching counts each of those dropped as an effect of zero
        error = np.sqrt((error * found.n_focal) ** 2 + drops * found.estimate**2) / (found.n_focal + drops)
    assert error == pytest.approx(expected["se_AI"], rel=EXACT)


@pytest.mark.parametrize(("name", "replace"), [("ps_noties", True), ("ps_noreplace", False)])
def test_ties_drawn_at_random(name, replace, frame, reference):
    # R's draws are not known: sizes agree, and its estimate lies among those of our draws.
    x, y, treated = score(frame, reference)[:, None], frame.re78.to_numpy(), frame.treat.to_numpy() == 1
    draws = []
    for seed in range(60):
        pairs = tied_matches(x, treated, Rule(ties="random", replace=replace, seed=seed))
        assert pairs.pool.size == reference[name]["n_matches"] == pairs.weight.sum()
        assert (np.unique(pairs.pool).size == 185) or replace
        draws.append(abadie_imbens(y, treated, pairs).estimate)
    assert min(draws) < reference[name]["est"] < max(draws)


NUMBERS = {
    "mean_treated": "mean_first",
    "mean_control": "mean_second",
    "std_mean_diff_pct": "smd",
    "std_mean_diff_pooled_pct": "smd_pooled",
    "var_ratio": "variance_ratio",
    "t_p": "t_p",
    "ks_D": "ks",
    "ks_p_naive": "ks_p",
    "eqq_mean": "eqq_mean",
    "eqq_med": "eqq_median",
    "eqq_max": "eqq_max",
    "raw_eqq_mean": "raw_eqq",
}


@pytest.mark.parametrize("when", ["before", "after"])
def test_matchbalance(when, frame, reference):
    table, terms = reference["matchbalance_ps_M1"], columns(frame)
    x, treated = np.column_stack([terms[name] for name in table["terms"]]), frame.treat.to_numpy() == 1
    pairs = tied_matches(score(frame, reference)[:, None], treated)
    found = balance_before(x, treated) if when == "before" else balance_after(x, pairs)
    for theirs, ours in NUMBERS.items():
        value = getattr(found, ours) * (100 if theirs.endswith("pct") else 1)
        expected = np.array(table[when][theirs], float)
        assert value == pytest.approx(expected, rel=EXACT, abs=1e-12, nan_ok=True)
    assert found.sorted_p()[0] == pytest.approx(table[f"{when}_min_p"], rel=EXACT)


@pytest.mark.parametrize("run", range(4))
def test_loss_at_given_weights(run, frame, reference):
    expected = reference["fixed_weight_matrix"][run]
    x, treated = frame[NAMES].to_numpy(), frame.treat.to_numpy() == 1
    weights = np.array(expected["Weight_matrix_diag"], float)
    task = Task(x=x, focal=treated, balance=np.column_stack([x, frame.re74 * frame.re75]))
    loss = -Evaluator(task).losses(weights[None, :])[0]
    assert loss == pytest.approx(expected["sorted_p_lexical"], abs=EXACT)
    pairs = tied_matches(x, treated, Rule(weight=weights))
    found = abadie_imbens(frame.re78.to_numpy(), treated, pairs)
    assert found.n_pairs == expected["n_matches"]
    assert (found.estimate, found.std_error) == pytest.approx((expected["est"], expected["se_AI"]), rel=EXACT)


def test_search_on_dehejia_wahba(frame):
    # GenMatch with 1000 candidates a generation: 0.32 to 0.55 in 65 to 99 s
    x = frame[NAMES].to_numpy()
    task = Task(x=x, focal=frame.treat.to_numpy() == 1, balance=np.column_stack([x, frame.re74 * frame.re75]))
    found = search(task, evaluations=6000, seed=1)
    assert found.loss[0] > 0.4
    assert len(found.restarts) > 1
    pairs = balance_after(task.balance, found.matches).sorted_p()
    assert found.loss == pytest.approx(pairs, abs=1e-10)
