"""The public estimate of roll-outs against numbers of R did, DRDID, fixest, didimputation and did2s.

At the end every case of the reference file is looked for in the tests, so that none is forgotten.
"""

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import qieval as qe

SHARED = Path(__file__).resolve().parents[3] / "shared"
TESTS = Path(__file__).resolve().parents[1]
EXACT, LOGIT, IMPUTED, COUNTS = 1e-8, 1e-6, 2e-7, 1e-7
"""Relative. The file asks for 1e-8 without, 1e-6 with a logit, 1e-6 and 1e-5 for imputation, 1e-6 for
Poisson."""
ESTIMATORS = {"dr": "doubly robust", "ipw": "ipw", "reg": "regression"}
KINDS = {
    "group": "effect in cohort",
    "dynamic": "effect in period",
    "calendar": "effect in calendar period",
}
CELL = "effect of cohort in period"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def cases():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in held["cases"]}


def castle() -> pd.DataFrame:
    """The file holds single precision; R read it through a text file, that is, as the shortest decimals."""
    data = pd.read_stata(str(files("causaldata") / "castle" / "castle.dta"))
    data = data[["sid", "year", "l_homicide", "post", "popwt"]].astype(str).astype(float)
    start = data[data["post"] == 1].groupby("sid")["year"].min()
    data = data.assign(lhom=data["l_homicide"], g=data["sid"].map(start).fillna(0))
    return data.astype({"year": int, "sid": int})


def organ() -> pd.DataFrame:
    data = pd.read_csv(str(files("causaldata") / "organ_donations" / "organ_donation.csv"))
    quarters = ["Q42010", "Q12011", "Q22011", "Q32011", "Q42011", "Q12012"]
    number = data["Quarter"].map({name: place + 1 for place, name in enumerate(quarters)})
    return data.assign(number=number, g=np.where(data["State"] == "California", 4, 0))


def dataset(name: str) -> pd.DataFrame:
    if name.startswith("causaldata:"):
        return {"castle": castle, "organ_donations": organ}[name.split(":")[1]]()
    file, rows = re.fullmatch(r"([^\[]+)(?:\[(.*)\])?", name).groups()
    data = pd.read_csv(SHARED / "data" / file)
    return data.query(rows.replace("(0,2014)", "(0, 2014)")) if rows else data


def design_of(call: dict, **changes) -> qe.StaggeredAdoption:
    """What a call of att_gt asks for."""
    crossed = call.get("panel") is False
    allowed = call.get("allow_unbalanced_panel", False)
    stated = {
        "outcome": call["yname"],
        "unit": call.get("idname", "row"),
        "time": call["tname"],
        "first_treated": call["gname"],
        "covariates": tuple(name for name in re.split(r"[~+ ]+", call["xformla"]) if name not in ("", "1")),
        "estimator": ESTIMATORS[call["est_method"]],
        "control_group": "never" if call["control_group"] == "nevertreated" else "not yet",
        "base_period": call.get("base_period", "varying"),
        "anticipation": call.get("anticipation", 0),
        "weights": call.get("weightsname"),
        "cluster": call.get("clustervars"),
        "data": "repeated cross-sections" if crossed else "panel",
        "unbalanced": "cross-sections" if allowed else "drop",
        "inference": "analytic",
    }
    return qe.StaggeredAdoption(units_are="organisations", **(stated | changes))


def parts(result: qe.Result, term: str) -> pd.DataFrame:
    return result.estimates[result.estimates["term"] == term]


def agree(found, expected, tolerance) -> None:
    np.testing.assert_allclose(
        np.asarray(found, dtype=float), np.array(expected, dtype=float), rtol=tolerance, atol=1e-14
    )


COHORTS = (
    "mpdta_cs_nevertreated_dr_none",
    "mpdta_cs_nevertreated_dr_lpop",
    "mpdta_cs_nevertreated_ipw_lpop",
    "mpdta_cs_notyettreated_dr_none",
    "mpdta_cs_notyettreated_dr_lpop",
    "mpdta_cs_notyettreated_reg_lpop",
    "mpdta_cs_universal",
    "mpdta_cs_anticip1",
    "mpdta_cs_weights",
    "mpdta_cs_balance_e1",
    "mpdta_cs_rcs",
    "sim_bal_dr_x",
    "sim_bal_reg_x_notyet",
    "sim_bal_ipw_x_never",
    "sim_bal_cluster",
    "sim_bal_weights_cluster",
    "sim_unbal_dropped",
    "sim_unbal_allowed",
    "sim_unbal_allowed_cluster_notyet",
    "sim_rcs_dr",
    "sim_never_dropped_notyet",
    "castle_cs_never",
)


@pytest.mark.parametrize("name", COHORTS)
def test_cohorts_and_averages(name, cases):
    case = cases[name]
    expected, call = case["expected"], case["inputs"]
    changes = {"balanced_to": 1, "aggregation": "dynamic"} if "balance_e1" in name else {}
    frame = dataset(case["dataset"]).reset_index(drop=True)
    result = qe.estimate(design_of(call, **changes), frame.assign(row=frame.index))
    logit = call["xformla"] != "~1" and call["est_method"] != "reg"
    tolerance = LOGIT if logit else EXACT
    cells, wanted = parts(result, CELL), expected["att_gt"]
    assert cells["cohort"].astype(int).tolist() == wanted["group"]
    assert cells["period"].astype(int).tolist() == wanted["time"]
    agree(cells["estimate"], wanted["att"], tolerance)
    agree(cells["std_error"], wanted["se"], tolerance)
    compared = [kind for kind in ("simple", *KINDS) if kind in expected]
    assert len(compared) == (1 if changes else 4)
    for kind in compared:
        check_average(result, kind, expected[kind], tolerance)


def check_average(result: qe.Result, kind: str, wanted: dict, tolerance: float) -> None:
    """Overall effect, interval, parts and critical value of a band."""
    names = ("ATT", f"ATT, {kind}")
    rows = result.estimates[result.estimates["term"].isin(names)].set_index("term")
    overall = rows.loc["ATT" if kind == result.design.aggregation else f"ATT, {kind}"]
    agree(overall[["estimate", "std_error"]], [wanted["overall_att"], wanted["overall_se"]], tolerance)
    reach = norm.ppf(0.975) * wanted["overall_se"]
    agree(overall["conf_high"] - overall["conf_low"], 2 * reach, tolerance)
    if kind == "simple":
        return
    found = parts(result, KINDS[kind])
    label = {"group": "cohort", "calendar": "period", "dynamic": "at"}[kind]
    assert found[label].astype(float).tolist() == wanted["egt"]
    agree(found["estimate"], wanted["att"], tolerance)
    agree(found["std_error"], wanted["se"], tolerance)
    if wanted.get("supt_crit_95"):
        critical = ((found["band_high"] - found["band_low"]) / (2 * found["std_error"])).dropna()
        np.testing.assert_allclose(critical, wanted["supt_crit_95"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["mpdta_boot_never", "sim_boot_cluster"])
def test_multiplier_bootstrap(name, cases):
    """Drawn errors have themselves one of 0.4% in the reference and 0.4% here: 3.5 of both may be off."""
    case = cases[name]
    design = design_of(case["inputs"], inference="multiplier bootstrap", draws=99_999)
    wanted = case["expected"]["dynamic"]
    result = qe.estimate(design, dataset(case["dataset"]))
    found = parts(result, KINDS["dynamic"])
    allowed = 3.5 * np.hypot(0.004, 0.004)
    assert found["at"].tolist() == wanted["egt"]
    agree(found["std_error"], wanted["boot_se"], allowed)
    overall = result.estimates.set_index("term").loc["ATT, dynamic", "std_error"]
    agree(overall, wanted["overall_boot_se"], allowed)
    critical = (found["band_high"] - found["band_low"]) / (2 * found["std_error"])
    agree(critical, np.full(len(found), case["expected"]["crit_dynamic_boot"]), 0.01)


def two_periods(name: str) -> tuple[qe.StaggeredAdoption, pd.DataFrame]:
    """The data of the two-period estimators of DRDID."""
    if name.startswith("nsw_cps"):
        frame = pd.read_csv(SHARED / "data" / "did_nsw_cps_long.csv.gz")
        frame["start"] = np.where(frame["experimental"] == 1, 1978, 0)
        names = ("age", "educ", "black", "married", "nodegree", "hisp", "re74")
        roles = {"outcome": "re", "unit": "id", "time": "year", "covariates": names}
    elif name.startswith("sim_2p_w"):
        frame = dataset("did_sim_staggered.csv[year in (2013, 2014) and g in (0, 2014)]")
        frame = frame.assign(start=frame["g"])
        names = ("x1", "x2")
        roles = {"outcome": "y", "unit": "id", "time": "year", "covariates": names, "weights": "pop"}
    else:
        frame = pd.read_csv(SHARED / "data" / "did_sim_rc.csv")
        frame["start"] = np.where(frame["d"] == 1, 1, np.inf)
        roles = {"outcome": "y", "unit": "id", "time": "post", "covariates": ("x1", "x2", "x3", "x4")}
        roles["data"] = "repeated cross-sections"
    return qe.StaggeredAdoption(
        first_treated="start", inference="analytic", units_are="organisations", **roles
    ), frame


@pytest.mark.parametrize(
    ("name", "estimator"),
    [
        ("nsw_cps_drdid_panel", "doubly robust"),
        ("nsw_cps_std_ipw_did_panel", "ipw"),
        ("nsw_cps_reg_did_panel", "regression"),
        ("sim_2p_w_drdid_panel", "doubly robust"),
        ("sim_2p_w_std_ipw_did_panel", "ipw"),
        ("sim_2p_w_reg_did_panel", "regression"),
        ("sim_rc_drdid_rc", "doubly robust"),
        ("sim_rc_std_ipw_did_rc", "ipw"),
    ],
)
def test_two_periods(name, estimator, cases):
    design, frame = two_periods(name)
    found = qe.estimate(replace(design, estimator=estimator), frame).estimates.iloc[0]
    expected = cases[name]["expected"]
    agree(found[["estimate", "std_error"]], [expected["att"], expected["se"]], LOGIT)


MPDTA = {"outcome": "lemp", "unit": "countyreal", "time": "year", "first_treated": "first.treat"}
SIMULATED = {"outcome": "y", "unit": "id", "time": "year", "first_treated": "g", "cluster": "region"}
STAGGERED = {
    "outcome": "y",
    "unit": "id",
    "time": "year",
    "first_treated": "year_treated",
    "covariates": ("x1",),
}
LAW = {"outcome": "lhom", "unit": "sid", "time": "year", "first_treated": "g"}
DONORS = {"outcome": "Rate", "unit": "State", "time": "number", "first_treated": "g"}
RATES = SIMULATED | {"outcome": "events", "exposure": "pop", "approach": "poisson two-way"}
TWO_WAY, SUNAB = {"approach": "two-way"}, {"approach": "interaction-weighted"}

OVERALL = {
    "mpdta_twfe_static": (MPDTA | TWO_WAY, "D"),
    "mpdta_twfe_static_lpopyear": (MPDTA | TWO_WAY | {"covariates": ("lpop",)}, "D"),
    "base_stagg_twfe": (STAGGERED | TWO_WAY, "treat_post"),
    "sim_twfe_unbal_cluster_region": (SIMULATED | TWO_WAY, "treated"),
    "sim_twfe_unbal_covs": (SIMULATED | TWO_WAY | {"covariates": ("x1",)}, "treated"),
    "sim_twfe_unbal_weighted": (SIMULATED | TWO_WAY | {"weights": "pop"}, "treated"),
    "castle_twfe": (LAW | TWO_WAY, "post"),
    "castle_twfe_w": (LAW | TWO_WAY | {"weights": "popwt"}, "post"),
    "organ_2x2": (DONORS | TWO_WAY, "did"),
    "mpdta_sunab_att": (MPDTA | SUNAB | {"aggregation": "simple"}, "ATT"),
    "base_stagg_sunab_att": (STAGGERED | SUNAB | {"aggregation": "simple"}, "ATT"),
    "sim_sunab_att": (SIMULATED | SUNAB | {"aggregation": "simple"}, "ATT"),
    "castle_sunab_att": (LAW | SUNAB | {"aggregation": "simple"}, "ATT"),
    "sim_poisson_twfe": (RATES, "treated"),
}
BY_PERIOD = {
    "mpdta_twfe_event": MPDTA | TWO_WAY,
    "sim_twfe_event": SIMULATED | TWO_WAY,
    "organ_event": DONORS | TWO_WAY,
    "mpdta_sunab_es": MPDTA | SUNAB,
    "base_stagg_sunab_es": STAGGERED | SUNAB,
    "sim_sunab_es": SIMULATED | SUNAB,
    "castle_sunab_es": LAW | SUNAB,
    "sim_poisson_event": RATES,
}


def regression(stated: dict, case: dict) -> qe.Result:
    frame = dataset(case["dataset"])
    if "year_treated" in frame:
        # fixest takes 10000 as a start after the last year, which is what it is.
        assert frame["year_treated"].max() == 10000
    return qe.estimate(qe.StaggeredAdoption(inference="analytic", units_are="organisations", **stated), frame)


def check_terms(found: pd.DataFrame, expected: dict, at: list[int], ratio: bool) -> None:
    """Estimates, errors, p-values and intervals at some positions of a fixest table (ratios: logarithms)."""
    assert len(found) == len(at)
    tolerance = COUNTS if ratio else EXACT
    back = np.log if ratio else np.asarray
    theirs = {name: np.array(expected[name], dtype=float)[at] for name in ("estimate", "se", "p_value")}
    agree(back(found["estimate"]), theirs["estimate"], tolerance)
    agree(found["std_error"], theirs["se"], tolerance)
    agree(found["p_value"], theirs["p_value"], 20 * tolerance)
    for ours, other in (("conf_low", "ci_low"), ("conf_high", "ci_high")):
        gap = (back(found[ours]) - np.array(expected[other], dtype=float)[at]) / theirs["se"]
        np.testing.assert_allclose(gap, 0, atol=10 * tolerance)


@pytest.mark.parametrize("name", OVERALL)
def test_one_coefficient(name, cases):
    stated, term = OVERALL[name]
    expected = cases[name]["expected"]
    result = regression(stated, cases[name])
    check_terms(result.estimates.iloc[:1], expected, [expected["term"].index(term)], result.kernel.ratio)


@pytest.mark.parametrize("name", BY_PERIOD)
def test_event_studies(name, cases):
    expected = cases[name]["expected"]
    result = regression(BY_PERIOD[name], cases[name])
    at = [place for place, term in enumerate(expected["term"]) if "::" in term]
    when = [int(re.search(r"::(-?\d+)", expected["term"][place])[1]) for place in at]
    found = parts(result, KINDS["dynamic"])
    when = [moment - 4 for moment in when] if name == "organ_event" else when
    assert found["at"].tolist() == when
    check_terms(found, expected, at, result.kernel.ratio)


def test_interaction_weighted_by_cohort(cases):
    expected = cases["mpdta_sunab_cohort"]["expected"]
    found = parts(regression(MPDTA | SUNAB, cases["mpdta_sunab_cohort"]), KINDS["group"])
    assert ("cohort::" + found["cohort"]).tolist() == expected["term"]
    check_terms(found, expected, [0, 1, 2], ratio=False)


def test_interaction_weighted_by_cohort_and_period(cases):
    expected = cases["mpdta_sunab_noagg"]["expected"]
    found = parts(regression(MPDTA | SUNAB, cases["mpdta_sunab_noagg"]), CELL)
    names = [
        f"year::{at:.0f}:cohort::{cohort}" for at, cohort in zip(found["at"], found["cohort"], strict=True)
    ]
    assert sorted(names) == sorted(expected["term"])
    check_terms(found, expected, [expected["term"].index(name) for name in names], ratio=False)


IMPUTATION = {"approach": "imputation", "aggregation": "simple"}
TWO_STAGE = {"approach": "two-stage", "aggregation": "simple"}


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("mpdta_bjs_static", MPDTA | IMPUTATION),
        ("sim_bjs_cluster", SIMULATED | IMPUTATION),
        ("sim_bjs_unbal_cov", SIMULATED | IMPUTATION | {"covariates": ("x1",)}),
        ("mpdta_did2s", MPDTA | TWO_STAGE),
    ],
)
def test_imputed_overall(name, stated, cases):
    expected = cases[name]["expected"]
    found = regression(stated, cases[name]).estimates.iloc[0]
    agree(found[["estimate", "std_error"]], [expected["estimate"][0], expected["se"][0]], IMPUTED)


@pytest.mark.parametrize(
    ("name", "stated"), [("mpdta_bjs_event", MPDTA | IMPUTATION), ("mpdta_did2s_event", MPDTA | TWO_STAGE)]
)
def test_imputed_by_period(name, stated, cases):
    expected = cases[name]["expected"]
    found = parts(regression(stated, cases[name]), KINDS["dynamic"])
    assert found["at"].tolist() == [float(term.removeprefix("rel::")) for term in expected["term"]]
    agree(found["estimate"], expected["estimate"], IMPUTED)
    agree(found["std_error"], expected["se"], IMPUTED)


def test_ratios_by_cohort_and_period(cases):
    """glm with an offset in R, sandwich with the factor G/(G-1)."""
    case = cases["sim_poisson_etwfe"]
    stated = RATES | {"approach": "poisson", "aggregation": "simple"}
    result, expected = regression(stated, case), case["expected"]
    cells = parts(result, CELL)
    cells = cells[cells["at"] >= 0]
    assert ("g" + cells["cohort"] + "_t" + cells["period"]).tolist() == expected["cells"]["term"]
    agree(np.log(cells["estimate"]), expected["cells"]["estimate"], COUNTS)
    agree(cells["std_error"], expected["cells"]["se"], COUNTS)
    rows = result.estimates.set_index("term")
    overall, prevented = rows.loc["rate ratio"], rows.loc["events prevented"]
    agree(
        [np.log(overall["estimate"]), overall["std_error"]], list(expected["log_rate_ratio"].values()), COUNTS
    )
    agree(prevented[["estimate", "std_error"]], list(expected["events_prevented"].values()), COUNTS)


def test_triple_difference_of_two_periods(cases):
    """The coefficient of a saturated regression; its error has fixest's factor, ours is that of R did."""
    case = cases["sim_ddd_2x2x2_ols"]
    frame = dataset("did_sim_staggered.csv[year in (2013, 2014) and g in (0, 2014)]")
    design = qe.StaggeredAdoption(
        outcome="y", unit="id", time="year", first_treated="g", eligible="eligible", inference="analytic"
    )
    found, expected = qe.estimate(design, frame).estimates.iloc[0], case["expected"]
    at, units, rows = expected["term"].index("T:P:eligible"), frame["id"].nunique(), expected["nobs"]
    factor = units / (units - 1) * (rows - 1) / (rows - 8)
    agree(found["estimate"], expected["estimate"][at], EXACT)
    agree(found["std_error"] * np.sqrt(factor), expected["se"][at], EXACT)


def test_no_case_is_forgotten(cases):
    """Each id stands in a test: whole, or as `f"beginning_{name}"` beside the end in quotes."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("test_*.py"))]

    def named(case: str) -> bool:
        cuts = [place for place, letter in enumerate(case) if letter == "_"]
        ways = [(f'"{case}"',), *((f'f"{case[:cut]}_{{', f'"{case[cut + 1 :]}"') for cut in cuts)]
        return any(all(part in source for part in way) for source in sources for way in ways)

    assert len(cases) == 88
    assert [case for case in cases if not named(case)] == []
