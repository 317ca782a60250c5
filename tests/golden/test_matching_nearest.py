"""Propensity scores and greedy matching against R's glm and MatchIt 4.7.2, pair by pair.

Not determined, and so compared by counts and score distance only: Mahalanobis distances between different
rows that are equal in exact arithmetic (one year older and one year younger), which rounding decides.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.distances import whiten
from qieval.numerics.logistic import logistic
from qieval.numerics.nearest import Search, common_support, nearest
from qieval.numerics.pairs import effective_size, labels_of_pairs, weights_of_pairs

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "matching.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "matching.json").read_text(encoding="utf-8"))


def design(frame: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Columns named as R's coefficients: "age", "I(age^2)", or a factor's name followed by its level."""
    columns = []
    for name in names:
        plain = name.removeprefix("I(").removesuffix("^2)")
        if plain in frame and frame[plain].dtype.kind in "if":
            columns.append(frame[plain].to_numpy(float) ** (2 if plain != name else 1))
            continue
        factor = max((held for held in frame if name.startswith(held)), key=len)
        columns.append((frame[factor].astype(str) == name.removeprefix(factor)).to_numpy(float))
    return np.column_stack(columns)


class Case:
    """One data set with its fitted score."""

    def __init__(self, frame, treated, model):
        self.frame, self.treated = frame, frame[treated].to_numpy() == 1
        self.names = list(model["coef"])[1:]
        self.fit = logistic(design(frame, self.names), self.treated)
        self.score, self.linear = self.fit.probability, self.fit.linear

    def column(self, name):
        return self.frame[name].to_numpy(float)

    def search(self, **fields):
        given = {"focal": self.treated, "usable": np.ones(len(self.frame), bool), "score": self.score}
        return Search(**{**given, **fields})


@pytest.fixture(scope="module")
def lalonde(reference):
    frame = pd.read_csv(SHARED / "data" / "matching_lalonde_matchit.csv")
    return Case(frame, "treat", reference["lalonde_matchit"]["ps_model"])


@pytest.fixture(scope="module")
def rhc(reference):
    frame = pd.read_csv(SHARED / "data" / "matching_rhc.csv.gz", keep_default_na=False, na_values=[""])
    return Case(frame, "rhc", reference["rhc"]["ps_model"])


@pytest.fixture(scope="module")
def nhefs(reference):
    causaldata = pytest.importorskip("causaldata", reason="the NHEFS data come with the package causaldata")
    frame = causaldata.nhefs_complete.load_pandas().data.reset_index(drop=True)
    for name in ("sex", "race"):
        frame[name] = frame[name].astype(float)
    for name in ("education", "exercise", "active"):
        frame[name] = frame[name].astype(float).astype(int).astype(str)
    return Case(frame, "qsmk", reference["nhefs"]["ps_model"])


@pytest.mark.parametrize("name", ["lalonde", "rhc", "nhefs"])
def test_propensity_model(reference, request, name):
    fit = request.getfixturevalue(name).fit
    model = reference[{"lalonde": "lalonde_matchit"}.get(name, name)]["ps_model"]
    assert fit.converged and not fit.separated and not fit.aliased.any()
    np.testing.assert_allclose(fit.beta, list(model["coef"].values()), rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), list(model["se"].values()), rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(model["loglik"], rel=1e-12)
    if "ps" in model:
        np.testing.assert_allclose(fit.probability, model["ps"], rtol=1e-9)


def expected_pairs(case):
    """Set of (focal, pool) positions; several columns are first, second, ... matches."""
    columns = case["pairs_control_row1based"]
    columns = columns if isinstance(columns[0], list) else [columns]
    return {
        (row - 1, match - 1)
        for column in columns
        for row, match in zip(case["pairs_treated_row1based"], column, strict=True)
        if match is not None
    }


def compare_sizes(case, search, pairs, treated, scale):
    """Counts, weights and total distance, which do not hang on ties."""
    n = search.focal.size
    weights = weights_of_pairs(pairs, n, search.focal)
    arms = {"treated": weights[treated], "control": weights[~treated]}
    for arm, held in arms.items():
        assert np.count_nonzero(held) == case[f"n_{arm}_used"]
        assert effective_size(held) == pytest.approx(case[f"ess_{arm}"], rel=1e-10)
    assert arms["control"].max() == pytest.approx(case["max_w_control"], rel=1e-10)
    assert np.sum(arms["control"] ** 2) == pytest.approx(case["sumsq_w_control"], rel=1e-10)
    if "n_subclasses" in case:
        assert labels_of_pairs(pairs, n).max() + 1 == case["n_subclasses"]
    if "total_abs_ps_distance" in case:
        gaps = abs(scale[pairs.focal] - scale[pairs.pool])
        assert gaps.sum() == pytest.approx(case["total_abs_ps_distance"], rel=1e-7)
        assert gaps.max() == pytest.approx(case["max_abs_ps_distance"], rel=1e-6)
        assert len(pairs) == case["n_pairs"]


def covariates(case):
    x = [case.column(name) for name in ("age", "educ", "married", "nodegree", "re74", "re75")]
    race = case.frame["race"].to_numpy()
    return np.column_stack([*x[:2], *[race == level for level in ("black", "hispan", "white")], *x[2:]])


LALONDE = {
    "nn_default": lambda d: d.search(),
    "nn_order_data": lambda d: d.search(order="data"),
    "nn_order_smallest": lambda d: d.search(order="smallest"),
    "nn_order_closest": lambda d: d.search(order="closest"),
    "nn_order_farthest": lambda d: d.search(order="farthest"),
    "nn_linear_logit": lambda d: d.search(score=d.linear),
    "nn_caliper02": lambda d: d.search(caliper=0.2 * d.score.std(ddof=1)),
    "nn_caliper02_linear": lambda d: d.search(score=d.linear, caliper=0.2 * d.linear.std(ddof=1)),
    "nn_exact_race": lambda d: d.search(strata=np.unique(d.frame["race"], return_inverse=True)[1]),
    "nn_ratio2": lambda d: d.search(ratio=2),
    "nn_replace": lambda d: d.search(replace=True),
    "nn_replace_ratio3": lambda d: d.search(replace=True, ratio=3),
    "nn_mahalanobis": lambda d: d.search(score=None, vectors=whiten(covariates(d), d.treated), order="data"),
    "nn_robust_mahalanobis": lambda d: d.search(
        score=None, vectors=whiten(covariates(d), d.treated, "robust mahalanobis"), order="data"
    ),
    "nn_cov_caliper": lambda d: d.search(
        caliper=0.25 * d.score.std(ddof=1), calipers=((d.column("age"), 5.0),)
    ),
    "nn_discard_both": lambda d: d.search(usable=common_support(d.score, d.treated, "both")),
    "nn_ATC_replace": lambda d: d.search(focal=~d.treated, replace=True),
}


@pytest.mark.parametrize("name", LALONDE)
def test_lalonde_pair_by_pair(reference, lalonde, name):
    case, search = reference["lalonde_matchit"][name], LALONDE[name](lalonde)
    pairs = nearest(search)
    assert set(zip(pairs.focal.tolist(), pairs.pool.tolist(), strict=True)) == expected_pairs(case)
    compare_sizes(
        case, search, pairs, lalonde.treated, lalonde.score if search.score is None else search.score
    )
    weights = weights_of_pairs(pairs, len(lalonde.frame), search.focal)
    effect = case["effect_re78"]["difference"]["estimate"]
    assert difference(lalonde, "re78", weights) == pytest.approx(effect, rel=1e-9)


def difference(case, outcome, weights):
    y, t = case.column(outcome), case.treated
    return np.average(y[t], weights=weights[t]) - np.average(y[~t], weights=weights[~t])


def test_lalonde_mahalanobis_in_a_caliper(reference, lalonde):
    case = reference["lalonde_matchit"]["nn_mahvars_caliper"]
    x = np.column_stack([lalonde.column(name) for name in ("age", "educ", "re74", "re75")])
    caliper = 0.25 * lalonde.score.std(ddof=1)
    search = lalonde.search(vectors=whiten(x, lalonde.treated), caliper=caliper)
    pairs = nearest(search)
    compare_sizes(case, search, pairs, lalonde.treated, lalonde.score)
    wanted = expected_pairs(case)
    assert {j for _, j in wanted} == set(pairs.pool.tolist())
    assert len(wanted & set(zip(pairs.focal.tolist(), pairs.pool.tolist(), strict=True))) >= 112


FIVE = ("age", "surv2md1", "aps", "meanbp1", "pafi1")
RHC = {
    "nn_no_caliper": {},
    "nn_caliper02_linear": {"caliper": 0.2},
    "nn_replace_caliper02": {"caliper": 0.2, "replace": True},
    "nn_exact_cat1_caliper02": {"caliper": 0.2, "exact": "cat1"},
    "nn_mahvars_caliper02": {"caliper": 0.2, "vectors": FIVE},
}


@pytest.mark.parametrize("name", RHC)
def test_rhc_effects(reference, rhc, name):
    case, asked = reference["rhc"][name], RHC[name]
    fields = {"score": rhc.linear, "replace": asked.get("replace", False)}
    if "caliper" in asked:
        fields["caliper"] = asked["caliper"] * rhc.linear.std(ddof=1)
    if "exact" in asked:
        fields["strata"] = np.unique(rhc.frame[asked["exact"]], return_inverse=True)[1]
    if "vectors" in asked:
        x = np.column_stack([rhc.column(column) for column in asked["vectors"]])
        fields["vectors"] = whiten(x, rhc.treated)
    search = rhc.search(**fields)
    pairs = nearest(search)
    compare_sizes(case, search, pairs, rhc.treated, rhc.linear)
    weights = weights_of_pairs(pairs, len(rhc.frame), rhc.treated)
    effect = case["effect_death30"]["difference"]["estimate"]
    assert difference(rhc, "death30", weights) == pytest.approx(effect, rel=1e-9)


NHEFS = {
    "nn_caliper02_linear": lambda d: d.search(score=d.linear, caliper=0.2 * d.linear.std(ddof=1)),
    "nn_replace": lambda d: d.search(replace=True),
    "nn_exact_sex_race_caliper": lambda d: d.search(
        strata=(2 * d.column("sex") + d.column("race")).astype(int), caliper=0.2 * d.score.std(ddof=1)
    ),
}


@pytest.mark.parametrize("name", NHEFS)
def test_nhefs_pair_by_pair(reference, nhefs, name):
    case, search = reference["nhefs"]["matching"][name], NHEFS[name](nhefs)
    pairs = nearest(search)
    assert set(zip(pairs.focal.tolist(), pairs.pool.tolist(), strict=True)) == expected_pairs(case)
    compare_sizes(case, search, pairs, nhefs.treated, search.score)
    weights = weights_of_pairs(pairs, len(nhefs.frame), nhefs.treated)
    effect = case["effect"]["difference"]["estimate"]
    assert difference(nhefs, "wt82_71", weights) == pytest.approx(effect, rel=1e-9)
