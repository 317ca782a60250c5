"""Effects by cohort and period of a panel against numbers of R did and DRDID."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.group_time import group_time
from qieval.numerics.group_time_cells import Rules, WidePanel

SHARED = Path(__file__).resolve().parents[3] / "shared"
ESTIMATORS = {"dr": "doubly robust", "ipw": "ipw", "reg": "regression"}

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

CASES = (
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
    "sim_bal_dr_x",
    "sim_bal_reg_x_notyet",
    "sim_bal_ipw_x_never",
    "sim_bal_cluster",
    "sim_bal_weights_cluster",
    "sim_unbal_dropped",
    "sim_never_dropped_notyet",
    "castle_cs_never",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in held["cases"]}


def castle() -> pd.DataFrame:
    data = pd.read_stata(str(files("causaldata") / "castle" / "castle.dta"))
    # The file holds single precision; R read it through a text file, that is, as the shortest decimals.
    data = data[["sid", "year", "l_homicide", "post"]].astype(str).astype(float)
    start = data[data["post"] == 1].groupby("sid")["year"].min()
    return data.assign(lhom=data["l_homicide"], g=data["sid"].map(start).fillna(0))


def dataset(name: str) -> pd.DataFrame:
    if name == "causaldata:castle":
        return castle()
    found = re.fullmatch(r"([^\[]+)(?:\[(.*)\])?", name)
    data = pd.read_csv(SHARED / "data" / found[1])
    return data.query(found[2]) if found[2] else data


def asked(case: dict) -> tuple[WidePanel, Rules, np.ndarray | None]:
    """Panel, rules and clusters of a call of att_gt; units with missing rows are left out, as did does."""
    call = case["inputs"]
    unit, time, start = (call[key] for key in ("idname", "tname", "gname"))
    anticipation = call.get("anticipation", 0)
    data = dataset(case["dataset"])
    data = data[data.groupby(unit)[time].transform("count") == data[time].nunique()]
    data = data.assign(start=data[start].replace(0, np.inf).astype(float))
    data = data[data["start"] > data[time].min() + anticipation]
    y = data.pivot(index=unit, columns=time, values=call["yname"])
    once = data.groupby(unit).first()
    names = [name for name in re.split(r"[~+ ]+", call["xformla"]) if name not in ("", "1")]
    weights = once[call["weightsname"]].to_numpy(float) if "weightsname" in call else None
    clusters = once[call["clustervars"]].to_numpy() if "clustervars" in call else None
    panel = WidePanel(
        y.columns.to_numpy(np.int64),
        once["start"].to_numpy(),
        y.to_numpy(),
        once[names].to_numpy(float),
        weights,
    )
    controls = "never" if call["control_group"] == "nevertreated" else "not yet"
    base = call.get("base_period", "varying")
    return panel, Rules(ESTIMATORS[call["est_method"]], controls, base, anticipation), clusters


@pytest.mark.parametrize("name", CASES)
def test_effects_and_standard_errors(reference, name):
    case = reference[name]
    panel, rules, clusters = asked(case)
    found, expected = group_time(panel, rules), case["expected"]["att_gt"]
    assert found.n == case["expected"]["n_units"] and set(found.reason) == {""}
    assert found.cohort.tolist() == expected["group"] and found.time.tolist() == expected["time"]
    close = 1e-8 if rules.estimator == "regression" or not panel.x.shape[1] else 1e-6
    assert np.allclose(found.estimate, expected["att"], rtol=close, atol=0)
    sums = found.influence
    if clusters is not None:
        sums = pd.DataFrame(sums).groupby(clusters).sum().to_numpy()
    error = np.sqrt((sums**2).sum(axis=0)) / found.n
    known = np.array([value is not None for value in expected["se"]])
    assert np.allclose(error[known], np.array(expected["se"])[known].astype(float), rtol=close, atol=0)
    assert not error[~known].any()


def lalonde() -> tuple[WidePanel, float]:
    data = pd.read_csv(SHARED / "data" / "did_nsw_cps_long.csv.gz")
    y = data.pivot(index="id", columns="year", values="re")
    once = data.groupby("id").first()
    first = np.where(once["experimental"] == 1, 1978.0, np.inf)
    names = ["age", "educ", "black", "married", "nodegree", "hisp", "re74"]
    return WidePanel(np.array([1975, 1978]), first, y.to_numpy(float), once[names].to_numpy(float)), 1e-6


def weighted() -> tuple[WidePanel, float]:
    data = pd.read_csv(SHARED / "data" / "did_sim_staggered.csv").query(
        "year in (2013, 2014) and g in (0, 2014)"
    )
    y = data.pivot(index="id", columns="year", values="y")
    once = data.groupby("id").first()
    first = once["g"].replace(0, np.inf).to_numpy(float)
    x, weights = once[["x1", "x2"]].to_numpy(float), once["pop"].to_numpy(float)
    return WidePanel(np.array([2013, 2014]), first, y.to_numpy(), x, weights), 1e-6


@pytest.mark.parametrize("stem, panel", [("nsw_cps", lalonde), ("sim_2p_w", weighted)])
@pytest.mark.parametrize(
    "ending, estimator",
    [("drdid_panel", "doubly robust"), ("std_ipw_did_panel", "ipw"), ("reg_did_panel", "regression")],
)
def test_two_periods(reference, stem, panel, ending, estimator):
    expected = reference[f"{stem}_{ending}"]["expected"]
    held, close = panel()
    found = group_time(held, Rules(estimator))
    assert found.estimate[0] == pytest.approx(expected["att"], rel=close)
    error = np.sqrt(np.square(found.influence[:, 0]).sum()) / found.n
    assert error == pytest.approx(expected["se"], rel=close)
