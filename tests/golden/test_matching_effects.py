"""Effects after matching against R: sandwich standard errors, g-computation, ratios (matching.json).

Weights and subclasses are rebuilt from the pair tables (or cut points) of the reference. Its logistic
g-computation was differentiated numerically and fitted to 1e-8, so 1e-8 relative is what can be asked for.
Not covered, because the reference lists neither pairs nor strata: full, quick and default coarsened exact
matching.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.contrasts import difference, odds_ratio, ratio
from qieval.numerics.distances import whiten
from qieval.numerics.g_computation import OutcomeModel, g_computation
from qieval.numerics.means import covariance, weighted_means
from qieval.numerics.nearest import Search, nearest
from qieval.numerics.weighted_regression import sandwich, weighted_regression

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "matching.json"
TOLERANCE = 1e-8

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_file(), reason="the shared reference numbers are not beside the repository"
)


@pytest.fixture(scope="module")
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Study:
    """Data of one reference section; x are the covariates of its outcome regression."""

    frame: pd.DataFrame
    treated: np.ndarray
    x: np.ndarray
    outcome: str
    binary: str


@pytest.fixture(scope="module")
def lalonde():
    frame = pd.read_csv(SHARED / "data" / "matching_lalonde_matchit.csv")
    frame["employed"] = (frame["re78"] > 0).astype(float)
    return Study(
        frame, frame["treat"].to_numpy() == 1, dummies(frame, LALONDE, {"race": "black"}), "re78", "employed"
    )


@pytest.fixture(scope="module")
def nhefs():
    frame = pytest.importorskip("causaldata").nhefs_complete.load_pandas().data.reset_index(drop=True)
    frame["gain5"] = (frame["wt82_71"] > 5).astype(float)
    factors = dict.fromkeys(("education", "exercise", "active"))
    return Study(frame, frame["qsmk"].to_numpy() == 1, dummies(frame, NHEFS, factors), "wt82_71", "gain5")


LALONDE = ["age", "educ", "race", "married", "nodegree", "re74", "re75"]
NHEFS = ["sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active", "wt71"]
NOT_COVARIATES = ["id", "rhc", "death30", "death180", "t30", "los", "adld3p", "urin1"]


def dummies(frame: pd.DataFrame, names: list[str], factors: dict[str, str | None]) -> np.ndarray:
    """Columns of covariates; factors as indicators without their reference (None: the first level)."""
    columns = []
    for name in names:
        values = frame[name]
        if name in factors or not pd.api.types.is_numeric_dtype(values):
            levels = sorted(values.unique())
            omitted = factors.get(name) or levels[0]
            columns += [(values == level).to_numpy(float) for level in levels if level != omitted]
        else:
            columns.append(values.to_numpy(float))
    return np.column_stack(columns)


def from_pairs(entry: dict, treated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MatchIt's weights, pair labels (-1 unmatched) and the rows that looked for a match."""
    rounds = entry["pairs_control_row1based"]
    rounds = rounds if isinstance(rounds[0], list) else [rounds]
    pairs = [
        (one - 1, other - 1)
        for column in rounds
        for one, other in zip(entry["pairs_treated_row1based"], column, strict=True)
        if other is not None
    ]
    focal, pool = np.array(pairs).T
    n = treated.size
    weights = np.bincount(pool, 1.0 / np.bincount(focal)[focal], n)
    weights *= np.count_nonzero(weights) / weights.sum()
    weights[focal] = 1.0
    labels = np.full(n, -1)
    labels[focal], labels[pool] = focal, focal
    return weights, labels, treated == treated[focal[0]]


def from_strata(strata: np.ndarray, treated: np.ndarray, estimand: str):
    """MatchIt's weights of strata (strata without both arms are dropped), labels and target rows."""
    n1, n0 = (
        np.bincount(strata[treated], minlength=strata.max() + 1),
        np.bincount(strata[~treated], minlength=strata.max() + 1),
    )
    kept = ((n1 > 0) & (n0 > 0))[strata]
    size = {"ATT": n1, "ATE": n1 + n0}[estimand]
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(treated, (size / n1)[strata], (size / n0)[strata])
    weights[~kept] = 0.0
    for arm in (treated, ~treated):
        weights[arm] *= np.count_nonzero(weights[arm]) / weights[arm].sum()
    return weights, np.where(kept, strata, -1), treated | (estimand == "ATE")


def strata_of(study: Study, name: str, score: np.ndarray) -> tuple[np.ndarray, str]:
    frame = study.frame
    if name in ("subclass6", "subclass6_ATE"):
        estimand = "ATE" if name.endswith("ATE") else "ATT"
        among = score if estimand == "ATE" else score[study.treated]
        return np.searchsorted(np.quantile(among, np.arange(1, 6) / 6), score, side="right"), estimand
    if name == "exact_cats":
        keys = frame[["race", "married", "nodegree"]]
    else:
        cuts = {
            "age": [20, 25, 30, 35, 40],
            "educ": [8.5, 11.5, 12.5],
            "re74": [0.5, 5000, 10000],
            "re75": [0.5, 5000, 10000],
        }
        binned = {one: np.searchsorted(at, frame[one], side="right") for one, at in cuts.items()}
        keys = frame[["race", "married", "nodegree"]].assign(**binned)
    return keys.groupby(list(keys)).ngroup().to_numpy(), "ATT"


def check(study: Study, entry: dict, matched: tuple, effect: dict, effect_binary: dict) -> None:
    """Every number of one matching."""
    weights, labels, target = matched
    used = weights > 0
    assert np.count_nonzero(used & study.treated) == entry["n_treated_used"]
    assert np.count_nonzero(used & ~study.treated) == entry["n_control_used"]
    clustered = "cluster" in effect["se_type"]
    cluster = labels if clustered else None
    check_difference(study, weights, cluster, effect["difference"])
    if "difference" in effect_binary:
        check_difference(study, weights, cluster, effect_binary["difference"], study.binary)
    check_binary(study, weights, cluster, effect_binary)
    if "gcomp_lm_interacted" not in effect:
        return
    expected = effect["gcomp_lm_interacted"]
    found = g_computation(
        study.frame[study.outcome].to_numpy(float),
        study.treated,
        study.x,
        weights,
        weights * target,
        OutcomeModel(jackknife=not clustered),
    )
    factor = found.small_sample if clustered else 1.0
    value = difference(found.means, covariance(found.means, cluster, factor, clustered))
    near([found.means.mean1, found.means.mean0], [expected["p1"], expected["p0"]])
    near([value.estimate, value.std_error], [expected["estimate"], expected["se"]])


def near(found, expected, absolute: float = 0.0) -> None:
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=absolute)


def check_difference(study: Study, weights, cluster, expected: dict, outcome: str | None = None) -> None:
    """By regression and by influence functions, which are the same thing."""
    y = study.frame[outcome or study.outcome].to_numpy(float)
    fit = weighted_regression(np.column_stack([np.ones(y.size), study.treated]), y, weights)
    se = np.sqrt(sandwich(fit, "HC3" if cluster is None else "HC1", cluster)[1, 1])
    near([fit.beta[1], se], [expected["estimate"], expected["se"]])
    near(np.sqrt(sandwich(fit, "HC1")[1, 1]), expected["se_hc1"])
    means = weighted_means(y, study.treated, weights, jackknife=cluster is None)
    own = covariance(means, cluster, 1.0 if cluster is None else fit.small_sample, cluster is not None)
    near(difference(means, own).std_error, expected["se"])


def check_binary(study: Study, weights, cluster, expected: dict) -> None:
    """vcovCL gives a glm the factor G/(G-1) only."""
    y = study.frame[study.binary].to_numpy(float)
    model = OutcomeModel(family="logistic", jackknife=cluster is None)
    means = g_computation(y, study.treated, np.zeros((y.size, 0)), weights, model=model).means
    own = covariance(means, cluster, adjust=cluster is not None)
    for key, contrast in (("binary_diff", difference), ("binary_lnrr", ratio), ("binary_lnor", odds_ratio)):
        value = contrast(means, own)
        near([means.mean1, means.mean0], [expected[key]["p1"], expected[key]["p0"]])
        estimate = value.estimate if key == "binary_diff" else np.log(value.estimate)
        near(estimate, expected[key]["estimate"], 1e-10)
        near(value.std_error, expected[key]["se"])


def test_every_lalonde_matching_with_pairs(reference, lalonde):
    entries = reference["lalonde_matchit"]
    paired = [name for name, entry in entries.items() if "pairs_treated_row1based" in entry]
    assert len(paired) == 22
    for name in paired:
        entry = entries[name]
        matched = from_pairs(entry, lalonde.treated)
        check(lalonde, entry, matched, entry["effect_re78"], entry["effect_emp78"])


@pytest.mark.parametrize("name", ["subclass6", "subclass6_ATE", "exact_cats", "cem_cutpoints"])
def test_lalonde_matchings_by_strata(name, reference, lalonde):
    entries = reference["lalonde_matchit"]
    strata, estimand = strata_of(lalonde, name, np.array(entries["ps_model"]["ps"]))
    matched = from_strata(strata, lalonde.treated, estimand)
    check(lalonde, entries[name], matched, entries[name]["effect_re78"], entries[name]["effect_emp78"])


@pytest.mark.parametrize(
    "name", ["nn_caliper02_linear", "nn_replace", "nn_exact_sex_race_caliper", "optimal"]
)
def test_nhefs_matchings(name, reference, nhefs):
    entry = reference["nhefs"]["matching"][name]
    check(nhefs, entry, from_pairs(entry, nhefs.treated), entry["effect"], entry["effect_gain5"])


def test_weighted_means_in_nhefs(reference, nhefs):
    """Hernan and Robins: 3.44 kg, robust standard error 0.525 with the weights taken as known."""
    extra = nhefs.frame[["age", "smokeintensity", "smokeyrs", "wt71"]].to_numpy(float) ** 2
    x = np.column_stack([np.ones(len(extra)), nhefs.x, extra])
    score = weighted_regression(x, nhefs.treated.astype(float), np.ones(len(x)), "logistic").fitted
    means = weighted_means(
        nhefs.frame["wt82_71"].to_numpy(), nhefs.treated, 1 / np.where(nhefs.treated, score, 1 - score)
    )
    found = difference(means, covariance(means))
    expected = reference["nhefs"]["weights"]["ipw_glm_ATE"]["outcome_lm"]
    near([found.estimate, found.std_error], [expected["estimate"], expected["se_HC0"]])


@pytest.fixture(scope="module")
def rhc():
    frame = pd.read_csv(SHARED / "data" / "matching_rhc.csv.gz", keep_default_na=False, na_values=["", "NA"])
    names = [name for name in frame if name not in NOT_COVARIATES]
    x = dummies(frame, names, {"cat2": "None"})
    return Study(frame, frame["rhc"].to_numpy() == 1, x, "death30", "death30")


@pytest.fixture(scope="module")
def rhc_score(rhc):
    x = np.column_stack([np.ones(len(rhc.x)), rhc.x])
    fit = weighted_regression(x, rhc.treated.astype(float), np.ones(len(x)), "logistic")
    return fit.linear


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nn_caliper02_linear", {"caliper": True}),
        ("nn_no_caliper", {}),
        ("nn_replace_caliper02", {"caliper": True, "replace": True}),
        ("nn_exact_cat1_caliper02", {"caliper": True, "exact": "cat1"}),
        (
            "nn_mahvars_caliper02",
            {"caliper": True, "covariates": ["age", "surv2md1", "aps", "meanbp1", "pafi1"]},
        ),
    ],
)
def test_right_heart_catheterisation_matchings(name, settings, reference, rhc, rhc_score):
    """Scores without ties: the pairs, and so the effects, are determined by the settings."""
    exact = settings.get("exact")
    covariates = settings.get("covariates")
    pairs = nearest(
        Search(
            focal=rhc.treated,
            usable=np.ones(rhc.treated.size, dtype=bool),
            score=rhc_score,
            caliper=0.2 * rhc_score.std(ddof=1) if "caliper" in settings else None,
            strata=rhc.frame.groupby(exact).ngroup().to_numpy() if exact else None,
            vectors=whiten(rhc.frame[covariates].to_numpy(float), rhc.treated) if covariates else None,
            replace=settings.get("replace", False),
        )
    )
    listed = {
        "pairs_treated_row1based": pairs.focal + 1,
        "pairs_control_row1based": (pairs.pool + 1).tolist(),
    }
    entry = reference["rhc"][name]
    effect = entry["effect_death30"]
    check(rhc, entry, from_pairs(listed, rhc.treated), effect, effect)


def test_right_heart_catheterisation_by_strata(reference, rhc, rhc_score):
    score = 1 / (1 + np.exp(-rhc_score))
    strata = np.searchsorted(np.quantile(score, np.arange(1, 10) / 10), score, side="right")
    entry = reference["rhc"]["subclass10_ATE"]
    matched = from_strata(strata, rhc.treated, "ATE")
    check(rhc, entry, matched, entry["effect_death30"], entry["effect_death30"])


def test_outcome_regression_of_right_heart_catheterisation(reference, rhc):
    expected = reference["rhc"]["outcome_regression"]
    y, treated, x = rhc.frame["death30"].to_numpy(float), rhc.treated, rhc.x
    ones = np.ones(y.size)
    raw = weighted_means(y, treated, ones)
    near(odds_ratio(raw, covariance(raw)).estimate, expected["or_unadjusted"])
    assert x.shape[1] + 1 == reference["rhc"]["ps_model"]["k"]
    found = g_computation(y, treated, x, ones, model=OutcomeModel(family="logistic", interacted=False))
    near(np.exp(found.regression.beta[1]), expected["or_adjusted"])
    near([found.means.mean1, found.means.mean0], [expected["gcomp_ate_rd"][key] for key in ("p1", "p0")])
    model_based = information_as_in_r(found.regression.design, y)
    near(np.sqrt(model_based[1, 1]), expected["logor_se"])
    own = found.gradient @ model_based @ found.gradient.T
    near(difference(found.means, own).std_error, expected["gcomp_ate_rd"]["se"])
    near(ratio(found.means, own).std_error, expected["gcomp_ate_lnrr"]["se"])
    near(difference(found.means, own).estimate, expected["gcomp_ate_rd"]["estimate"])
    assert np.sqrt(found.regression.bread[1, 1]) == pytest.approx(expected["logor_se"], rel=2e-5)


def information_as_in_r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Inverse information of R's glm, from the working weights one step before its last coefficients.

    R stops when the deviance changes by less than 1e-8; its standard errors are 1e-5 from converged ones.
    """
    linear, before = np.log((y + 0.5) / (1.5 - y)), np.inf
    while True:
        mean = 1 / (1 + np.exp(-linear))
        weight = mean * (1 - mean)
        inverse = np.linalg.inv(x.T @ (x * weight[:, None]))
        linear = x @ (inverse @ (x.T @ (weight * linear + y - mean)))
        deviance = 2 * np.sum(np.logaddexp(0, linear) - y * linear)
        if abs(deviance - before) < 1e-8 * (deviance + 0.1):
            return inverse
        before = deviance
