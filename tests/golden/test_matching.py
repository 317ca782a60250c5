"""Matching through the public verbs against R: MatchIt 4.7.2, optmatch 0.10.8 and exact minima.

Sizes, effective sizes, distances, effects and standard errors are compared to 1e-8. Three conventions differ:

- A risk difference has here the small-sample factor of a linear model, G/(G-1) (n-1)/(n-2) for G sets of n
  people; R's sandwich gives a logistic model G/(G-1) only.
- Which of several matchings with the same (or, for optmatch, nearly the same) total distance comes back is a
  convention: optimal and full matching and Mahalanobis matching with tied distances are compared by sizes and
  totals, and totals with the exact minima.
- MatchIt's logistic g-computation was fitted to 1e-8, its score to R's default tolerance.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.numerics.abadie_imbens import abadie_imbens
from qieval.numerics.balance_loss import Evaluator, Task
from qieval.numerics.tied_matches import tied_matches

SHARED = Path(__file__).resolve().parents[3] / "shared"

TOLERANCE = 1e-8
PROBABILITY = {"distance": "propensity"}
WITH = {"replacement": "with", "inference": "robust"}
AGE_CUTS = "20, 25, 30, 35, 40"
MONEY_CUTS = "0.5, 5000, 10000"

LALONDE = ("age", "educ", "race", "married", "nodegree", "re74", "re75")
UNIQUE = {
    "nn_default": PROBABILITY,
    "nn_order_data": {**PROBABILITY, "order": "data"},
    "nn_order_smallest": {**PROBABILITY, "order": "smallest"},
    "nn_order_closest": {**PROBABILITY, "order": "closest"},
    "nn_order_farthest": {**PROBABILITY, "order": "farthest"},
    "nn_linear_logit": {},
    "nn_caliper02": {**PROBABILITY, "caliper": 0.2},
    "nn_caliper02_linear": {"caliper": 0.2},
    "nn_exact_race": {**PROBABILITY, "exact": "race"},
    "nn_ratio2": {**PROBABILITY, "ratio": 2},
    "nn_replace": {**PROBABILITY, **WITH},
    "nn_replace_ratio3": {**PROBABILITY, **WITH, "ratio": 3},
    "nn_mahalanobis": {"distance": "mahalanobis"},
    "nn_robust_mahalanobis": {"distance": "robust mahalanobis"},
    "nn_cov_caliper": {**PROBABILITY, "caliper": 0.25, "calipers": {"age": "5"}},
    "nn_discard_both": {**PROBABILITY, "discard": "both"},
    "nn_ATC_replace": {**PROBABILITY, **WITH, "estimand": "ATC"},
    "subclass6": {**PROBABILITY, "method": "subclassification"},
    "subclass6_ATE": {**PROBABILITY, "method": "subclassification", "estimand": "ATE"},
    "cem_default": {"method": "coarsened exact"},
    "cem_cutpoints": {
        "method": "coarsened exact",
        "cutpoints": {
            "age": AGE_CUTS,
            "educ": "8.5, 11.5, 12.5",
            "re74": MONEY_CUTS,
            "re75": MONEY_CUTS,
        },
    },
    "exact_cats": {
        "method": "coarsened exact",
        "exact": ("race", "married", "nodegree"),
        "cutpoints": dict.fromkeys(("age", "educ", "re74", "re75"), "1 bins"),
    },
}
BY_TOTAL = {
    "nn_mahvars_caliper": {
        **PROBABILITY,
        "mahalanobis_on": ("age", "educ", "re74", "re75"),
        "caliper": 0.25,
    },
    "optimal_pair": {**PROBABILITY, "method": "optimal"},
    "optimal_pair_linear": {"method": "optimal"},
    "optimal_2to1": {**PROBABILITY, "method": "optimal", "ratio": 2},
    "full": {**PROBABILITY, "method": "full"},
    "full_probit": {**PROBABILITY, "method": "full", "score": "probit"},
    "full_ATE": {**PROBABILITY, "method": "full", "estimand": "ATE"},
    "full_minmax": {**PROBABILITY, "method": "full", "least_ratio": 0.5, "most_ratio": 5},
}
EXACT_MINIMA = {
    "optimal_pair": ("ps", "pair_1to1_total"),
    "optimal_pair_linear": ("linear_logit", "pair_1to1_total"),
    "optimal_2to1": ("ps", "pair_2to1_total"),
    "full": ("ps", "full_unconstrained_total"),
    "full_ATE": ("ps", "full_unconstrained_total"),
}

NHEFS = ("sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active", "wt71")
NHEFS_SQUARES = ("age", "smokeintensity", "smokeyrs", "wt71")
NHEFS_CATEGORIES = ("education", "exercise", "active")
NHEFS_UNIQUE = {
    "nn_caliper02_linear": {"caliper": 0.2},
    "nn_replace": {**PROBABILITY, **WITH},
    "nn_exact_sex_race_caliper": {**PROBABILITY, "exact": ("sex", "race"), "caliper": 0.2},
    "subclass5_ATE": {**PROBABILITY, "method": "subclassification", "groups": 5, "estimand": "ATE"},
}
NHEFS_BY_TOTAL = {
    "full": {**PROBABILITY, "method": "full"},
    "optimal": {**PROBABILITY, "method": "optimal"},
}

FIVE = ("age", "surv2md1", "aps", "meanbp1", "pafi1")
RHC_UNIQUE = {
    "nn_caliper02_linear": {"caliper": 0.2},
    "nn_no_caliper": {},
    "nn_replace_caliper02": {**WITH, "caliper": 0.2},
    "nn_exact_cat1_caliper02": {"caliper": 0.2, "exact": "cat1"},
    "nn_mahvars_caliper02": {"caliper": 0.2, "mahalanobis_on": FIVE},
    "subclass10_ATE": {**PROBABILITY, "method": "subclassification", "groups": 10, "estimand": "ATE"},
}
RHC_BY_TOTAL = {"full_linear": {"method": "full"}, "optimal_pair_linear": {"method": "optimal"}}


def near(found, expected, tolerance=TOLERANCE, absolute=0.0):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=absolute)


def check_sizes(found, entry):
    """How many take part, and for how many they count."""
    for side, group in (("treated", "treated"), ("control", "comparison")):
        assert found.facts[f"{group} units"] == entry[f"n_{side}_used"]
        near(found.facts[f"effective size of the {group} group"], entry[f"ess_{side}"])
    weights = found.weights.loc[found.weights["group"] == "comparison", "weight"]
    scaled = weights * len(weights) / weights.sum()  # as MatchIt scales them
    near(scaled.max(), entry["max_w_control"])
    near((scaled**2).sum(), entry["sumsq_w_control"])
    if "n_subclasses" in entry:
        assert found.weights["set"].max() + 1 >= found.weights["set"].nunique() == entry["n_subclasses"]


def total_distance(found):
    """Of pairs, or of all people of both groups that share a set."""
    held = found.kernel
    if held.pairs is not None:
        return np.abs(held.score[held.pairs[0]] - held.score[held.pairs[1]]).sum()
    table = found.weights.assign(score=held.score[held.used])
    treated = table["group"] == "treated"
    both = table[treated].merge(table[~treated], on="set")
    return (both["score_x"] - both["score_y"]).abs().sum()


def check_difference(found, expected, factor=1.0):
    row = found.estimates.iloc[0]
    near([row["estimate"], row["std_error"]], [expected["estimate"], expected["se"] * factor])


def check_risks(found, expected):
    """Risk difference, ratio and odds ratio of a design with a binary outcome."""
    rows = len(found.weights)
    clustered = "cluster" in expected["se_type"]
    factor = np.sqrt((rows - 1) / (rows - 2)) if clustered else 1.0
    names = {"binary_diff": "risk difference", "binary_lnrr": "risk ratio", "binary_lnor": "odds ratio"}
    table = found.estimates.set_index("term")
    for key, term in names.items():
        wanted, row = expected[key], table.loc[term]
        estimate = row["estimate"] if key == "binary_diff" else np.log(row["estimate"])
        near(estimate, wanted["estimate"], absolute=1e-9)
        near(row["std_error"], wanted["se"] * factor)
        near(
            [found.facts["outcome with the intervention"], found.facts["outcome expected without it"]],
            [wanted["p1"], wanted["p0"]],
        )
    if "difference" in expected:
        check_difference(found, expected["difference"])


def check_regression(found, expected):
    """The outcome regressed on treatment, covariates and their products, averaged over the target."""
    check_difference(found, expected)
    near(
        [found.facts["outcome with the intervention"], found.facts["outcome expected without it"]],
        [expected["p1"], expected["p0"]],
    )


def lalonde_design(**fields):
    return qe.Matching(treated="treat", covariates=LALONDE, **fields)


@pytest.mark.parametrize("name", UNIQUE)
def test_lalonde(name, matching_reference, lalonde_frame):
    entry = matching_reference["lalonde_matchit"][name]
    design = lalonde_design(outcome="re78", **UNIQUE[name])
    found = qe.estimate(design, lalonde_frame)
    check_sizes(found, entry)
    if "total_abs_ps_distance" in entry:
        near(total_distance(found), entry["total_abs_ps_distance"], 1e-7)
    check_difference(found, entry["effect_re78"]["difference"])
    regressed = qe.estimate(replace(design, outcome_model="covariates"), lalonde_frame)
    check_regression(regressed, entry["effect_re78"]["gcomp_lm_interacted"])
    check_risks(qe.estimate(replace(design, outcome="employed"), lalonde_frame), entry["effect_emp78"])


def test_exact_matching_is_coarsened_exact_matching_without_coarsening(matching_reference, lalonde_frame):
    design = qe.Matching(
        treated="treat", covariates=("race", "married", "nodegree"), outcome="re78", method="exact"
    )
    found = qe.estimate(design, lalonde_frame)
    entry = matching_reference["lalonde_matchit"]["exact_cats"]
    check_sizes(found, entry)
    check_difference(found, entry["effect_re78"]["difference"])


@pytest.mark.parametrize("name", BY_TOTAL)
def test_lalonde_by_total_distance(name, matching_reference, lalonde_frame):
    entry = matching_reference["lalonde_matchit"][name]
    frame = lalonde_frame
    if name == "full_probit":  # MatchIt measures in probabilities, our distance "probit" in the index
        probit = qe.estimate(lalonde_design(distance="probit"), frame)
        frame = frame.assign(probit=probit.kernel.probability)
    found = qe.estimate(lalonde_design(**BY_TOTAL[name]), frame)
    total = total_distance(found)
    assert found.facts["treated units"] == entry["n_treated_used"]
    assert found.facts["comparison units"] == entry["n_control_used"]
    theirs = entry.get("total_abs_ps_distance") or entry["total_abs_ps_distance_all_within_subclass_pairs"]
    if (
        name == "nn_mahvars_caliper"
    ):  # greedy on another distance: the same people, four ties paired otherwise
        near(total, theirs, 1e-7)
        partners = {row - 1 for row in entry["pairs_control_row1based"] if row is not None}
        used = found.weights
        assert set(used.loc[used["group"] == "comparison", "row"]) == partners
        return
    assert 0.98 * theirs < total <= theirs
    if name in EXACT_MINIMA:
        scale, key = EXACT_MINIMA[name]
        minima = matching_reference["exact_optimum_totals"][f"lalonde_matchit|{scale}"]
        near(total, minima[key], 1e-8)


def test_lalonde_mahalanobis_pairs_are_no_worse_than_optmatch(matching_reference, lalonde_frame):
    """The reference lists pairs, not their distance: ours is compared with that of a greedy match."""
    entry = matching_reference["lalonde_matchit"]["optimal_mahalanobis"]
    design = lalonde_design(method="optimal", distance="mahalanobis", outcome="re78")
    found = qe.estimate(design, lalonde_frame)
    greedy = qe.estimate(replace(design, method="nearest"), lalonde_frame)
    check_sizes(found, entry)
    assert found.facts["total distance"] < greedy.facts["total distance"]
    near(found.estimates["estimate"].iloc[0], entry["effect_re78"]["difference"]["estimate"])


def nhefs_design(**fields):
    return qe.Matching(
        treated="qsmk",
        covariates=NHEFS,
        squares=NHEFS_SQUARES,
        categories=NHEFS_CATEGORIES,
        **fields,
    )


@pytest.mark.parametrize("name", NHEFS_UNIQUE)
def test_nhefs(name, matching_reference, nhefs_frame):
    """The outcome regression of the reference has no squares: the score is brought along for it."""
    entry = matching_reference["nhefs"]["matching"][name]
    design = nhefs_design(outcome="wt82_71", **NHEFS_UNIQUE[name])
    found = qe.estimate(design, nhefs_frame)
    check_sizes(found, entry)
    if "total_abs_ps_distance" in entry:
        near(total_distance(found), entry["total_abs_ps_distance"], 1e-7)
    check_difference(found, entry["effect"]["difference"])
    check_risks(qe.estimate(replace(design, outcome="gain5"), nhefs_frame), entry["effect_gain5"])
    frame = nhefs_frame.assign(score=found.kernel.probability)
    plain = replace(design, squares=(), score="score", outcome_model="covariates")
    check_regression(qe.estimate(plain, frame), entry["effect"]["gcomp_lm_interacted"])


@pytest.mark.parametrize("name", NHEFS_BY_TOTAL)
def test_nhefs_by_total_distance(name, matching_reference, nhefs_frame):
    entry = matching_reference["nhefs"]["matching"][name]
    found = qe.estimate(nhefs_design(**NHEFS_BY_TOTAL[name]), nhefs_frame)
    minima = matching_reference["exact_optimum_totals"]["nhefs|ps"]
    near(
        total_distance(found), minima["pair_1to1_total" if name == "optimal" else "full_unconstrained_total"]
    )
    assert found.facts["treated units"] == entry["n_treated_used"]
    assert found.facts["comparison units"] == entry["n_control_used"]


def test_nhefs_coarsened_on_every_term(matching_reference, nhefs_frame):
    """MatchIt cuts each term of a formula, squares included."""
    squares = {f"{name}_squared": nhefs_frame[name].astype(float) ** 2 for name in NHEFS_SQUARES}
    entry = matching_reference["nhefs"]["matching"]["cem"]
    design = qe.Matching(
        treated="qsmk",
        covariates=(*NHEFS, *squares),
        categories=NHEFS_CATEGORIES,
        outcome="wt82_71",
        method="coarsened exact",
    )
    found = qe.estimate(design, nhefs_frame.assign(**squares))
    check_sizes(found, entry)
    check_difference(found, entry["effect"]["difference"])
    assert any("only 4.7%" in note for note in found.notes)


@pytest.fixture(scope="module")
def rhc_covariates(matching_reference):
    formula = matching_reference["rhc"]["ps_model"]["formula"]
    return tuple(re.split(r"\s*\+\s*", formula.split("~")[1].strip()))


@pytest.mark.parametrize("name", RHC_UNIQUE)
def test_right_heart_catheterisation(name, matching_reference, rhc_frame, rhc_covariates):
    """A score of 72 terms from 50 columns, 9 of them text, without ties."""
    entry = matching_reference["rhc"][name]
    design = qe.Matching(treated="rhc", covariates=rhc_covariates, outcome="death30", **RHC_UNIQUE[name])
    found = qe.estimate(design, rhc_frame)
    check_sizes(found, entry)
    if "total_abs_ps_distance" in entry:
        near(total_distance(found), entry["total_abs_ps_distance"], 1e-7)
    check_risks(found, entry["effect_death30"])


@pytest.mark.parametrize("name", RHC_BY_TOTAL)
def test_right_heart_catheterisation_by_total(name, matching_reference, rhc_frame, rhc_covariates):
    """Full matching: divisions of nearly the same total differ in the effect, 4.3 to 5.2 points."""
    entry = matching_reference["rhc"][name]
    design = qe.Matching(treated="rhc", covariates=rhc_covariates, outcome="death30", **RHC_BY_TOTAL[name])
    found = qe.estimate(design, rhc_frame)
    assert found.facts["treated units"] == entry["n_treated_used"]
    assert found.facts["comparison units"] == entry["n_control_used"]
    minima = matching_reference["exact_optimum_totals"]["rhc|linear_logit"]
    full = name == "full_linear"
    near(total_distance(found), minima["full_unconstrained_total" if full else "pair_1to1_total"])
    low, high = (0.043, 0.053) if full else (0.08, 0.085)
    assert low < found.estimates["estimate"].iloc[0] < high


def test_crude_risks_are_those_of_the_reference(matching_reference, rhc_frame):
    risks = rhc_frame.groupby("rhc")["death30"].mean()
    crude = matching_reference["rhc"]["crude"]
    near([risks[1], risks[0]], [crude["risk_treated"], crude["risk_control"]], 1e-12)


def test_cross_checks_with_another_package(matching_reference, rhc_frame, rhc_covariates):
    checks = matching_reference["cross_checks"]
    for name, caliper in (("nn_caliper02", 0.2), ("nn_no_caliper", 0.0)):
        design = qe.Matching(treated="rhc", covariates=rhc_covariates, outcome="death30", caliper=caliper)
        found = qe.estimate(design, rhc_frame)
        near(found.estimates["estimate"].iloc[0], checks[name])


COLUMNS = ("age", "educ", "black", "hisp", "married", "nodegr", "re74", "re75", "u74", "u75")


CONFIGURED = {
    "base": {},
    "wait10": {},
    "caliper": {"caliper": np.ones(len(COLUMNS))},
    "noreplace": {"replace": False, "ties": "first"},
}


def test_runs_of_genmatch_at_the_weights_they_found(matching_reference):
    """Loss, effect and Abadie-Imbens error of all runs of GenMatch, at the weights that they list."""
    frame = pd.read_csv(SHARED / "data" / "matching_lalonde_dw.csv")
    x, treated = frame[list(COLUMNS)].to_numpy(dtype=float), frame["treat"].to_numpy() == 1
    plain = Task(x=x, focal=treated, balance=np.column_stack([x, frame["re74"] * frame["re75"]]))
    runs = matching_reference["genmatch_lalonde_dw"]["runs"]
    assert {run["cfg"] for run in runs} == set(CONFIGURED)
    for run in runs:
        task = replace(plain, **CONFIGURED[run["cfg"]])
        weights = np.array(run["Weight_matrix_diag"], dtype=float)
        shown = 6 if task.replace else 2  # without replacement R draws among equals, which moves the others
        near(-Evaluator(task).losses(weights[None, :])[0][:shown], run["value_first6"][:shown])
        pairs = tied_matches(x, treated, replace(task.rule, weight=weights))
        found = abadie_imbens(frame["re78"].to_numpy(dtype=float), treated, pairs)
        assert (found.n_pairs, np.unique(pairs.pool).size) == (run["n_matches"], run["n_unique_controls"])
        if not task.replace:
            continue
        near(found.estimate, run["est"])
        dropped = treated.sum() - found.n_focal  # counted by R as effects of zero
        error = np.hypot(found.std_error * found.n_focal, np.sqrt(dropped) * found.estimate) / treated.sum()
        near(error, run["se_AI"])
