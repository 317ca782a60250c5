"""The public estimate and its checks against ivreg, ivmodel, gmm (R) and linearmodels (rdiv.json)."""

import json
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.instrumented.direct import direct_effects

SHARED = Path(__file__).resolve().parents[3] / "shared"
REFERENCE = SHARED / "reference" / "rdiv.json"
EXACT = 1e-8
"""Relative."""

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_file(), reason="the shared reference numbers are not beside the repository"
)

BLOCKS = (
    *("card_just", "card_over", "close_college", "meps_over", "meps_just", "nhefs_price", "nhefs_price_adj"),
    *("weakiv_over", "weakiv_just", "weakiv_z3", "distance_died", "distance_los_near"),
)
OVER = ("card_over", "meps_over", "weakiv_over")
CLUSTERED = ("weakiv_over", "weakiv_just", "weakiv_z3", "distance_died", "distance_los_near")
WHY = "it is a lottery for the purposes of this test"
WAYS = {
    "se_iid_df": {"variance": "unadjusted"},
    "se_iid_nodf": {"variance": "unadjusted", "small_sample": "no"},
    "se_hc0": {"small_sample": "no"},
    "se_hc1": {},
}


@cache
def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@cache
def frame(source: str) -> pd.DataFrame:
    if source.startswith("shared/"):
        data = pd.read_csv(SHARED.parent / source.split(" ")[0])
        return data.assign(near=(data.diff_dist < 0).astype(float)) if "near" in source else data
    package, name = source.split(" ")[0].rsplit(".", 1)
    if package == "linearmodels.datasets":
        data = import_module(f"{package}.{name}").load()
        return data[data.linc.notna()] if name == "meps" else data
    data = getattr(pytest.importorskip("causaldata"), name).load_pandas().data
    if name == "nhefs":
        data = data[data.wt82.notna() & data.price82.notna()]
        data = data.assign(highprice=(data.price82 >= 1.5).astype(float))
    # The reference read these from text, which holds a single-precision number by its shortest decimal.
    return data.apply(
        lambda column: column.astype(str).astype(float) if column.dtype == np.float32 else column
    )


def listed(names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) and names else tuple(names)


def stated(name: str, cluster: bool = False, **fields) -> tuple[qe.InstrumentalVariables, pd.DataFrame]:
    spec = reference()["iv"][name]["spec"]
    design = qe.InstrumentalVariables(
        outcome=spec["y"],
        received=spec["endog"],
        instruments=listed(spec["instruments"]),
        covariates=listed(spec["exog"]),
        cluster=spec["cluster"] if cluster else None,
        exclusion=WHY,
        missing="complete cases",
        **fields,
    )
    return design, frame(spec["data"])


@cache
def found(name: str, cluster: bool = False, **fields) -> qe.Result:
    return qe.estimate(*stated(name, cluster, **fields))


def rows(result) -> pd.DataFrame:
    return result.estimates.set_index("term")


def same(value, wanted):
    assert value == pytest.approx(wanted, rel=EXACT, abs=0.0)


def same_set(way, wanted):
    pieces = [tuple(float(end) for end in piece) for piece in wanted if piece[0] is not None]
    assert len(way.held.intervals) == len(pieces)
    for piece, other in zip(way.held.intervals, pieces, strict=True):
        same(piece, other)


def way(result, kind):
    return next(one for one in result.kernel.ways if one.kind == kind)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("key", WAYS)
def test_two_stage_least_squares(name, key):
    block, result = reference()["iv"][name], found(name, **WAYS[key])
    first = result.estimates.iloc[0]
    same(first["estimate"], block["tsls"]["coef"][block["spec"]["endog"]])
    same(first["std_error"], block["tsls"][key][block["spec"]["endog"]])
    assert result.facts["rows used"] == block["n"]


@pytest.mark.parametrize("name", CLUSTERED)
@pytest.mark.parametrize(("small", "key"), [("yes", "se_cluster_cr1"), ("no", "se_cluster_cr0")])
def test_clusters(name, small, key):
    block = reference()["iv"][name]
    first = found(name, True, small_sample=small).estimates.iloc[0]
    same(first["std_error"], block["tsls"][key][block["spec"]["endog"]])


@pytest.mark.parametrize("name", BLOCKS)
def test_least_squares_reduced_form_and_first_stage(name):
    block, table = reference()["iv"][name], rows(found(name))
    plain = table[table.index.str.endswith("least squares")].iloc[0]
    same((plain["estimate"], plain["std_error"]), (block["ols"]["coef"], block["ols"]["se_hc1"]))
    for instrument in listed(block["spec"]["instruments"]):
        for part, words in (("reduced_form", "reduced form"), ("first_stage", "first stage")):
            row = table.loc[f"{words}: {instrument}"]
            same(row["estimate"], block[part]["coef"][instrument])
            same(row["std_error"], block[part]["se_hc1"][instrument])


@pytest.mark.parametrize("name", BLOCKS)
def test_strength(name):
    block, facts = reference()["iv"][name], found(name).facts
    same(facts["partial F"], block["first_stage"]["F_hc1"])
    same(facts["partial R2"], block["first_stage"]["partial_R2"])
    same(facts["effective F"], block["effective_F"]["hc1"]["F_eff"])
    same(facts["critical value of the effective F"], block["effective_F"]["hc1"]["crit_tau10"])
    same(found(name, variance="unadjusted").facts["partial F"], block["first_stage"]["F_iid"])
    if name in CLUSTERED:
        same(found(name, True).facts["effective F"], block["effective_F"]["cluster_cr1"]["F_eff"])


@pytest.mark.parametrize("name", BLOCKS)
def test_anderson_rubin_sets(name):
    block = reference()["iv"][name]
    same_set(way(found(name), "Anderson-Rubin"), block["AR_hc1"]["set"])
    same(way(found(name), "Anderson-Rubin").p_value, block["AR_hc1"]["p_at0"])
    if name in CLUSTERED:
        same_set(way(found(name, True), "Anderson-Rubin"), block["AR_cluster_cr1"]["set"])
    equal = way(found(name, variance="unadjusted"), "Anderson-Rubin")
    same_set(equal, block["ivmodel"]["AR_ci"])


@pytest.mark.parametrize("name", OVER)
def test_other_estimators(name):
    block = reference()["iv"][name]
    equal = {"variance": "unadjusted"}
    for estimator, key in (("LIML", "LIML"), ("Fuller", "Fuller1")):
        same(
            found(name, estimator=estimator, **equal).estimates.iloc[0]["estimate"],
            block["ivmodel"][key],
        )
    liml, gmm = (block["python_linearmodels_7_1"][key] for key in ("liml", "gmm2_centerFalse"))
    first = found(name, estimator="LIML", small_sample="no").estimates.iloc[0]
    same((first["estimate"], first["std_error"]), (liml["coef"], liml["se_robust"]))
    first = found(name, estimator="GMM").estimates.iloc[0]
    same((first["estimate"], first["std_error"]), (gmm["coef"], gmm["se"]))


@pytest.mark.parametrize("name", OVER)
def test_agreement_of_the_instruments(name):
    peer = reference()["iv"][name]["python_linearmodels_7_1"]
    _, data = stated(name)
    tests = qe.diagnose(found(name), data)["agreement of the instruments"].table.set_index("test")
    for label, key in (("Sargan", "sargan"), ("Basmann", "basmann"), ("Wooldridge", "wooldridge_overid")):
        same(tests.loc[label, ["statistic", "p_value"]].tolist(), peer[key])


def test_direct_effects_with_clusters():
    wanted = reference()["iv_extra"]["conley_distance_cluster"]
    design, _ = stated("distance_died", True, direct_effect=wanted["gamma_hi"])
    held = direct_effects(design, found("distance_died", True).kernel.first)
    same((held.union.low, held.union.high), wanted["uci"])


def test_compliers_and_balance():
    extra = reference()["iv_extra"]
    names = ["age", "female", "imd", "comorb"]
    near = frame("shared/data/rdiv_sim_distance.csv (near = diff_dist<0)")
    design = qe.InstrumentalVariables(
        outcome="died30", received="specialist", instruments=("near",), covariates=tuple(names), exclusion=WHY
    )
    balance = qe.design_checks(design, near)["balance by instrument"].table.set_index("characteristic")
    for side, key in (("instrument", "balance_by_instrument"), ("treatment", "balance_by_treatment")):
        same(balance[f"difference_by_{side}"].tolist(), [extra[key][name]["smd"] for name in names])
    plain = qe.InstrumentalVariables(
        outcome="died30", received="specialist", instruments=("near",), exclusion=WHY
    )
    result = qe.estimate(plain, near)
    same(result.estimates["estimate"].iloc[0], extra["complier_distance_near"]["wald"])
    said = qe.diagnose(result, near)["compliers"].text
    assert f"{extra['complier_distance_near']['share_compliers']:.0%} were moved" in said


def test_residual_inclusion():
    result = found("distance_died", estimator="residual inclusion")
    same(result.estimates["estimate"].iloc[0], reference()["iv_extra"]["sri_died"]["ate_response"])
