"""Two-period estimators and effects from repeated cross-sections against numbers of R's DRDID and did."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.group_time_aggregate import aggregate
from qieval.numerics.group_time_cells import Rules
from qieval.numerics.group_time_rows import Rows, group_time_rows
from qieval.numerics.two_period import two_period_panel, two_period_rows, two_way_panel

SHARED = Path(__file__).resolve().parents[3] / "shared"
ESTIMATORS = {"dr": "doubly robust", "ipw": "ipw", "reg": "regression"}
PANEL = {
    "drdid_panel": "doubly robust",
    "drdid_imp_panel": "improved",
    "std_ipw_did_panel": "standardised ipw",
    "ipw_did_panel": "ipw",
    "reg_did_panel": "regression",
}
ROWS = {
    "drdid_rc": "doubly robust",
    "drdid_rc1": "doubly robust, not locally efficient",
    "drdid_imp_rc": "improved",
    "std_ipw_did_rc": "standardised ipw",
    "twfe_did_rc": "two-way",
}
CELLS = ("mpdta_cs_rcs", "sim_rcs_dr", "sim_unbal_allowed", "sim_unbal_allowed_cluster_notyet")

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in held["cases"]}


def agrees(found, expected):
    assert found.reason == "" and found.converged
    assert found.estimate == pytest.approx(expected["att"], rel=1e-7)
    assert found.std_error == pytest.approx(expected["se"], rel=1e-7)


@pytest.fixture(scope="module")
def lalonde():
    data = pd.read_csv(SHARED / "data" / "did_nsw_cps_long.csv.gz")
    y = data.pivot(index="id", columns="year", values="re").to_numpy(float)
    once = data.groupby("id").first()
    x = once[["age", "educ", "black", "married", "nodegree", "hisp", "re74"]].to_numpy(float)
    return y, (once["experimental"] == 1).to_numpy(), x


@pytest.mark.parametrize("name", PANEL)
def test_lalonde(reference, lalonde, name):
    y, treated, x = lalonde
    agrees(
        two_period_panel(y[:, 1] - y[:, 0], treated, x, kind=PANEL[name]),
        reference[f"nsw_cps_{name}"]["expected"],
    )


def test_lalonde_two_way(reference, lalonde):
    expected = reference["nsw_cps_twfe_did_panel"]["expected"]
    agrees(two_way_panel(*lalonde), expected)
    y, treated, x = lalonde
    by_unit = two_period_panel(y[:, 1] - y[:, 0], treated, x, kind="two-way")
    assert by_unit.estimate == pytest.approx(expected["att"], rel=1e-10)


@pytest.mark.parametrize("name", [name for name in PANEL if name != "ipw_did_panel"])
def test_weighted_panel(reference, name):
    data = pd.read_csv(SHARED / "data" / "did_sim_staggered.csv")
    data = data.query("year in (2013, 2014) and g in (0, 2014)")
    y = data.pivot(index="id", columns="year", values="y").to_numpy()
    once = data.groupby("id").first()
    treated, x = (once["g"] == 2014).to_numpy(), once[["x1", "x2"]].to_numpy(float)
    weights = once["pop"].to_numpy(float)
    found = two_period_panel(y[:, 1] - y[:, 0], treated, x, weights, PANEL[name])
    agrees(found, reference[f"sim_2p_w_{name}"]["expected"])


@pytest.mark.parametrize("name", ROWS)
def test_repeated_cross_sections(reference, name):
    data = pd.read_csv(SHARED / "data" / "did_sim_rc.csv")
    found = two_period_rows(
        data["y"].to_numpy(),
        data["post"].to_numpy() == 1,
        data["d"].to_numpy() == 1,
        data[["x1", "x2", "x3", "x4"]].to_numpy(),
        kind=ROWS[name],
    )
    agrees(found, reference[f"sim_rc_{name}"]["expected"])


def asked(case: dict) -> tuple[Rows, Rules, pd.Series | None]:
    """Rows, rules and the cluster of each unit of a call of att_gt."""
    call = case["inputs"]
    name, chosen = re.fullmatch(r"([^\[]+)(?:\[(.*)\])?", case["dataset"]).groups()
    data = pd.read_csv(SHARED / "data" / name)
    data = data.query(chosen) if chosen else data
    names = [name for name in re.split(r"[~+ ]+", call["xformla"]) if name not in ("", "1")]
    unit = pd.factorize(data[call["idname"]])[0] if call.get("allow_unbalanced_panel") else None
    rows = Rows(
        data[call["yname"]].to_numpy(float),
        data[call["tname"]].to_numpy(),
        data[call["gname"]].replace(0, np.inf).to_numpy(float),
        data[names].to_numpy(float),
        data[call["weightsname"]].to_numpy(float) if "weightsname" in call else None,
        unit,
    )
    controls = "never" if call["control_group"] == "nevertreated" else "not yet"
    rules = Rules(
        ESTIMATORS[call["est_method"]],
        controls,
        call.get("base_period", "varying"),
        call.get("anticipation", 0),
    )
    clusters = data.groupby(unit)[call["clustervars"]].first() if "clustervars" in call else None
    return rows, rules, clusters


@pytest.mark.parametrize("name", CELLS)
def test_effects_by_cohort_and_period(reference, name):
    rows, rules, clusters = asked(reference[name])
    expected = reference[name]["expected"]
    found = group_time_rows(rows, rules)
    close = 1e-8 if rules.estimator == "regression" or not rows.x.shape[1] else 1e-6

    def errors(influence):
        if clusters is not None:
            influence = pd.DataFrame(influence).groupby(clusters.to_numpy()).sum().to_numpy()
        return np.sqrt(np.square(influence).sum(axis=0)) / found.n

    cells = expected["att_gt"]
    assert found.n == expected["n_units"] and set(found.reason) == {""}
    assert found.cohort.tolist() == cells["group"] and found.time.tolist() == cells["time"]
    assert np.allclose(found.estimate, cells["att"], rtol=close, atol=0)
    assert np.allclose(errors(found.influence), cells["se"], rtol=close, atol=0)
    for kind in ("simple", "group", "dynamic", "calendar"):
        average = aggregate(found, rows.members(), kind)
        assert average.overall == pytest.approx(expected[kind]["overall_att"], rel=close)
        error = errors(average.overall_influence[:, None])[0]
        assert error == pytest.approx(expected[kind]["overall_se"], rel=close)
