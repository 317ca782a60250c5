"""Optimal and full matching, strata and subclasses against R (MatchIt, optmatch) and exact minima.

optmatch solves in integers, so its totals are upper bounds only. Which of several equally good matchings
comes back is a convention, so pairs and weights of optimal and full matching are not compared; weights from
strata have one answer. RHC's "full_exact_minimum" risk difference is not compared either: divisions of the
same least total, also without tied scores, differ in it (see `full_matching`).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.candidates import Candidates
from qieval.numerics.cardinality import Effort, cardinality, profile
from qieval.numerics.distances import whiten
from qieval.numerics.full_matching import SetLimits, full
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.pairs import effective_size
from qieval.numerics.strata import coarsened, exact_strata, subclasses, weights_of_strata

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-9

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "matching.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "matching.json").read_text(encoding="utf-8"))


def fitted(formula, frame):
    """Probabilities of R's glm with epsilon 1e-14."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    model = smf.glm(" ".join(formula.split()), frame, family=sm.families.Binomial())
    return model.fit(tol=1e-14).fittedvalues.to_numpy()


@pytest.fixture(scope="module")
def lalonde(reference):
    frame = pd.read_csv(SHARED / "data" / "matching_lalonde_matchit.csv")
    return frame, frame["treat"].to_numpy() == 1, np.array(reference["lalonde_matchit"]["ps_model"]["ps"])


@pytest.fixture(scope="module")
def nhefs(reference):
    causaldata = pytest.importorskip("causaldata")
    frame = causaldata.nhefs_complete.load_pandas().data
    for name in ("sex", "race"):
        frame[name] = frame[name].astype(float)
    formula = reference["nhefs"]["ps_model"]["formula"].replace("^", "**")
    frame["qsmk"] = frame["qsmk"].astype(float)
    return frame, frame["qsmk"].to_numpy() == 1, fitted(formula, frame)


@pytest.fixture(scope="module")
def rhc(reference):
    frame = pd.read_csv(SHARED / "data" / "matching_rhc.csv.gz", keep_default_na=False)
    for name in frame.columns:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.notna().all():
            frame[name] = numbers
    formula = reference["rhc"]["ps_model"]["formula"].replace("cat2", "C(cat2, Treatment('None'))")
    return frame, frame["rhc"].to_numpy() == 1, fitted(formula, frame)


def total_of_sets(labels, focal, score):
    """Sum over sets of the distances between the one and the others."""
    found = 0.0
    for members in np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1]):
        ones, others = members[focal[members]], members[~focal[members]]
        assert min(ones.size, others.size) == 1
        found += np.abs(score[ones][:, None] - score[others]).sum()
    return found


@pytest.mark.parametrize("scale", ["ps", "linear_logit"])
@pytest.mark.parametrize("name", ["lalonde", "nhefs", "rhc"])
def test_totals_are_the_exact_minima(name, scale, reference, request):
    _, treated, probability = request.getfixturevalue(name)
    score = probability if scale == "ps" else np.log(probability / (1 - probability))
    stored = {"lalonde": "lalonde_matchit"}.get(name, name)
    expected = reference["exact_optimum_totals"][f"{stored}|{scale}"]
    candidates = Candidates(focal=treated, score=score)
    pairs = optimal_pairs(candidates)
    assert len(pairs) == expected["n_pairs"]
    assert pairs.total == pytest.approx(expected["pair_1to1_total"], rel=EXACT)
    if "pair_2to1_total" in expected:
        two = optimal_pairs(candidates, 2)
        assert len(two) == 2 * expected["n_pairs"]
        assert two.total == pytest.approx(expected["pair_2to1_total"], rel=EXACT)
    total = total_of_sets(full(candidates), treated, score)
    assert total == pytest.approx(expected["full_unconstrained_total"], rel=EXACT)


@pytest.mark.parametrize(
    ("case", "ratio", "logit"),
    [("optimal_pair", 1, False), ("optimal_pair_linear", 1, True), ("optimal_2to1", 2, False)],
)
def test_pairs_are_no_worse_than_optmatch(case, ratio, logit, reference, lalonde):
    _, treated, score = lalonde
    expected = reference["lalonde_matchit"][case]
    score = np.log(score / (1 - score)) if logit else score
    pairs = optimal_pairs(Candidates(focal=treated, score=score), ratio)
    assert len(pairs) == expected["n_pairs"]
    assert expected["total_abs_ps_distance"] * 0.999 < pairs.total <= expected["total_abs_ps_distance"]


def test_mahalanobis_pairs_are_no_worse_than_optmatch(reference, lalonde):
    frame, treated, _ = lalonde
    expected = reference["lalonde_matchit"]["optimal_mahalanobis"]
    dummies = pd.get_dummies(frame[["age", "educ", "race", "married", "nodegree", "re74", "re75"]])
    vectors = whiten(dummies.to_numpy(dtype=float), treated)
    rows, partners = (
        np.array(expected[f"pairs_{side}_row1based"], dtype=int) - 1 for side in ("treated", "control")
    )
    theirs = np.linalg.norm(vectors[rows] - vectors[partners], axis=1).sum()
    ours = optimal_pairs(Candidates(focal=treated, vectors=vectors))
    assert len(ours) == rows.size
    assert theirs * 0.999 < ours.total <= theirs * (1 + 1e-12)


@pytest.mark.parametrize("name", ["lalonde", "nhefs", "rhc"])
def test_full_matching_is_no_worse_than_optmatch(name, reference, request):
    _, treated, probability = request.getfixturevalue(name)
    expected = {
        "lalonde": reference["lalonde_matchit"]["full"],
        "nhefs": reference["nhefs"]["matching"]["full"],
        "rhc": reference["rhc"]["full_linear"],
    }[name]
    score = np.log(probability / (1 - probability)) if name == "rhc" else probability
    labels = full(Candidates(focal=treated, score=score))
    theirs = expected["total_abs_ps_distance_all_within_subclass_pairs"]
    assert theirs * 0.9 < total_of_sets(labels, treated, score) <= theirs
    weights = weights_of_strata(labels, treated)
    assert np.count_nonzero(weights[treated]) == expected["n_treated_used"]
    assert np.count_nonzero(weights[~treated]) == expected["n_control_used"]


def test_full_matching_with_limits(reference, lalonde):
    _, treated, score = lalonde
    expected = reference["lalonde_matchit"]["full_minmax"]
    labels = full(Candidates(focal=treated, score=score), SetLimits(0.5, 5))
    theirs = expected["total_abs_ps_distance_all_within_subclass_pairs"]
    assert theirs * 0.999 < total_of_sets(labels, treated, score) <= theirs
    weights = weights_of_strata(labels, treated)
    assert weights[~treated].max() == pytest.approx(expected["max_w_control"], rel=EXACT)
    dense = full(Candidates(focal=treated, vectors=score[:, None]), SetLimits(0.5, 5))
    assert total_of_sets(dense, treated, score) == pytest.approx(total_of_sets(labels, treated, score))


def check_strata(labels, treated, expected, estimand="ATT"):
    weights = weights_of_strata(labels, treated, estimand)
    used = weights > 0
    assert np.count_nonzero(used & treated) == expected["n_treated_used"]
    assert np.count_nonzero(used & ~treated) == expected["n_control_used"]
    assert np.unique(labels[used]).size == expected["n_subclasses"]
    found = [
        effective_size(weights[treated]),
        effective_size(weights[~treated]),
        weights[~treated].max(),
        np.sum(weights[~treated] ** 2),
    ]
    names = ("ess_treated", "ess_control", "max_w_control", "sumsq_w_control")
    assert found == pytest.approx([expected[name] for name in names], rel=EXACT)


def test_exact_and_coarsened_exact(reference, lalonde):
    frame, treated, _ = lalonde
    cases = reference["lalonde_matchit"]
    race = pd.factorize(frame["race"])[0]
    codes = np.column_stack([race, frame["married"], frame["nodegree"]])
    check_strata(exact_strata(codes, treated), treated, cases["exact_cats"])
    x = np.column_stack([race, frame[["age", "educ", "married", "nodegree", "re74", "re75"]]]).astype(float)
    check_strata(coarsened(x, treated, [0] + ["sturges"] * 6), treated, cases["cem_default"])
    earnings = (0.5, 5000, 10000)
    cutpoints = [0, (20, 25, 30, 35, 40), (8.5, 11.5, 12.5), "sturges", "sturges", earnings, earnings]
    check_strata(coarsened(x, treated, cutpoints), treated, cases["cem_cutpoints"])


def test_coarsened_exact_on_the_terms_of_a_formula(reference, nhefs):
    frame, treated, _ = nhefs
    categories = [pd.factorize(frame[name])[0] for name in ("sex", "race", "education", "exercise", "active")]
    numbers = frame[["age", "smokeintensity", "smokeyrs", "wt71"]].to_numpy(dtype=float)
    x = np.column_stack([*categories, numbers, numbers**2]).astype(float)
    labels = coarsened(x, treated, [0] * 5 + ["sturges"] * 8)
    check_strata(labels, treated, reference["nhefs"]["matching"]["cem"])


def test_subclasses(reference, lalonde, nhefs, rhc):
    cases = reference["lalonde_matchit"]
    _, treated, score = lalonde
    check_strata(subclasses(score, treated, 6), treated, cases["subclass6"])
    check_strata(subclasses(score, treated, 6, "ATE"), treated, cases["subclass6_ATE"], "ATE")
    _, treated, score = nhefs
    expected = reference["nhefs"]["matching"]["subclass5_ATE"]
    check_strata(subclasses(score, treated, 5, "ATE"), treated, expected, "ATE")
    _, treated, score = rhc
    expected = reference["rhc"]["subclass10_ATE"]
    check_strata(subclasses(score, treated, 10, "ATE"), treated, expected, "ATE")


def test_cardinality_on_lalonde_keeps_its_constraints(lalonde):
    frame, treated, _ = lalonde
    x = pd.get_dummies(frame.drop(columns=["treat", "re78"])).to_numpy(dtype=float)
    tolerance = 0.05 * x[treated].std(axis=0, ddof=1)
    pairs = cardinality(x, treated, tolerance, effort=Effort(20, 0.01))
    weights = pairs.chosen[:, None]
    gap = np.abs(x[pairs.chosen & treated].mean(axis=0) - x[pairs.chosen & ~treated].mean(axis=0))
    assert (gap <= tolerance + 1e-6 * x.std(axis=0)).all() and weights.sum() > 220
    target = x[treated].mean(axis=0)
    others = profile(x, ~treated, target, tolerance, Effort(3, 0.02))
    gap = np.abs(x[others.chosen].mean(axis=0) - target)
    assert (gap <= tolerance + 1e-6 * x.std(axis=0)).all() and others.chosen.sum() > 90
