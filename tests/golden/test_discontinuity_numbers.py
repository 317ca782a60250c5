"""Regression discontinuity against rdrobust (R 4.0.0 and Python 2.1.1) on the reference studies."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.discontinuity import Local, Scored, bandwidths, discontinuity, discontinuity_many

SHARED = Path(__file__).resolve().parents[3] / "shared"
FILE = SHARED / "reference" / "rdiv.json"
EXACT, CHOSEN = 1e-9, 1e-6
"""Relative, with a given and with a chosen bandwidth."""

WIDENED = 2e-5
"""Relative, between bandwidths of Python and ours: it widens the farthest pilot window by sqrt(eps)."""

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="the shared reference numbers are not beside the repository"
)
REFERENCE = (
    json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"rd": {}, "rd_falsification": {}}
)
NAMES = {
    "p": "p",
    "deriv": "deriv",
    "kernel": "kernel",
    "bwselect": "rule",
    "h": "h",
    "b": "b",
    "rho": "rho",
    "vce": "variance",
    "masspoints": "mass_points",
    "sharpbw": "sharp_bandwidth",
}
SUBSETS = {
    "povrate<0": lambda frame: frame["povrate"] < 0,
    "abs(X)>=0.3": lambda frame: frame["X"].abs() >= 0.3,
    "X>=0": lambda frame: frame["X"] >= 0,
    "(female==0)&(period==1)": lambda frame: (frame["female"] == 0) & (frame["period"] == 1),
    "abs(bweight-1500)>50": lambda frame: (frame["bweight"] - 1500).abs() > 50,
}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(SHARED / "data" / name)


def asked(call: dict) -> tuple[Scored, Local]:
    frame = read(Path(call["data"]).name)
    if "subset" in call:
        frame = frame[SUBSETS[call["subset"]](frame)]
    single = [call[key] for key in ("y", "x", "fuzzy", "weights", "cluster") if key in call]
    frame = frame.dropna(subset=[*single, *call.get("covs", [])])

    def column(key):
        return frame[call[key]].to_numpy(float) if key in call else None

    rows = Scored(
        score=column("x"),
        y=column("y"),
        cutoff=float(call["c"]),
        uptake=column("fuzzy"),
        weights=column("weights"),
        covariates=frame[call["covs"]].to_numpy(float) if "covs" in call else None,
        clusters=pd.factorize(frame[call["cluster"]])[0] if "cluster" in call else None,
    )
    return rows, Local(**{ours: call[theirs] for theirs, ours in NAMES.items() if theirs in call})


def check(found, expected: dict, tolerance: float) -> None:
    """All numbers of a block, to a relative tolerance; p-values and biases to ten times that."""
    near = {"rel": tolerance}
    assert found.estimate == pytest.approx(expected["coef"], **near)
    assert found.std_error == pytest.approx(expected["se"], **near)
    assert found.h == pytest.approx(expected["h"], **near)
    assert found.b == pytest.approx(expected["b"], **near)
    assert [found.low[2], found.high[2]] == pytest.approx(expected["ci_robust"], **near)
    assert found.p_value == pytest.approx(expected["pv"], rel=10 * tolerance, abs=1e-12)
    assert found.bias == pytest.approx(expected["bias"], rel=10 * tolerance)
    assert [*found.n, *found.n_h, *found.n_b] == [*expected["N"], *expected["N_h"], *expected["N_b"]]
    if "tau_T" in expected:
        assert found.uptake.estimate == pytest.approx(expected["tau_T"], **near)
        assert found.uptake.std_error == pytest.approx(expected["se_T"], **near)
    if len(expected.get("n_clust", [])) == 3:  # left, right, in all; R counts otherwise
        assert list(found.groups) == expected["n_clust"][:2]


@pytest.mark.parametrize("name", REFERENCE["rd"])
def test_r(name):
    """Bandwidths chosen by our rule; exact but for nearest neighbours, where R breaks ties otherwise."""
    block = REFERENCE["rd"][name]
    expected = block["R_rdrobust_4_0_0"]
    rows, local = asked(block["call"])
    found = discontinuity(rows, local)
    if found.variance == "nn":
        tolerance = float(block["tolerance"].split()[0])
        assert found.estimate == pytest.approx(expected["coef"], rel=tolerance)
        assert found.std_error == pytest.approx(expected["se"], rel=tolerance)
        assert [*found.h, *found.b] == pytest.approx([*expected["h"], *expected["b"]], rel=tolerance)
    else:
        check(found, expected, EXACT if local.h else CHOSEN)
    if local.mass_points != "off":
        assert list(found.support) == expected["M"]


@pytest.mark.parametrize("name", REFERENCE["rd"])
def test_python(name):
    """The same rule for ties: exact at its bandwidths, which differ from ours by the widened pilot window."""
    block = REFERENCE["rd"][name]
    expected = block["py_rdrobust_2_1_1"]
    rows, local = asked(block["call"])
    chosen = bandwidths(rows, local)
    assert [*chosen.h, *chosen.b] == pytest.approx([*expected["h"], *expected["b"]], rel=WIDENED)
    given = replace(local, h=tuple(expected["h"]), b=tuple(expected["b"]), rho=None)
    check(discontinuity(rows, given), expected, EXACT)


@pytest.mark.parametrize("name", ["senate_covs", "headstart_covs", "meyersson_covs"])
def test_covariate_coefficients(name):
    """rdrobust orders them by the length of their names; ours are in the caller's order."""
    block = REFERENCE["rd"][name]
    names = block["call"]["covs"]
    order = np.argsort([len(each) for each in names])
    expected = block["py_rdrobust_2_1_1"]
    rows, local = asked(block["call"])
    found = discontinuity(rows, replace(local, h=tuple(expected["h"]), b=tuple(expected["b"])))
    assert found.covariates[order, 0] == pytest.approx(np.ravel(expected["coef_covs"]), rel=1e-8)


STUDIES = {
    "headstart": ("rdiv_headstart.csv", "mortHS", "povrate", 0.0),
    "meyersson": ("rdiv_meyersson.csv", "Y", "X", 0.0),
    "birthweight": ("rdiv_sim_birthweight.csv", "died1y", "bweight", 1500.0),
    "fuzzyage": ("rdiv_sim_fuzzy_age.csv", "cost", "age_months", 780.0),
}


def study(name: str) -> tuple[pd.DataFrame, Scored]:
    file, y, x, cutoff = STUDIES[name]
    frame = read(file).dropna(subset=[x, y])
    uptake = frame["treated"].to_numpy(float) if name == "fuzzyage" else None
    rows = Scored(score=frame[x].to_numpy(float), y=frame[y].to_numpy(float), cutoff=cutoff, uptake=uptake)
    return frame, rows


def chosen_rows(rows: Scored, kept: np.ndarray, cutoff: float) -> Scored:
    uptake = None if rows.uptake is None else rows.uptake[kept]
    return Scored(score=rows.score[kept], y=rows.y[kept], cutoff=cutoff, uptake=uptake)


def compare(found, expected: dict, tolerance: float = CHOSEN) -> None:
    shown = [found.estimate[0], found.estimate[2], found.std_error[2], found.low[2], found.high[2]]
    wanted = [expected["tau"], expected["tau_bc"], expected["se_robust"], *expected["ci_robust"]]
    assert shown == pytest.approx(wanted, rel=tolerance, abs=tolerance * expected["se_robust"])
    assert [found.h[0], found.b[0]] == pytest.approx([expected["h"], expected["b"]], rel=tolerance)
    assert list(found.n_h) == expected["N_h"]


@pytest.mark.parametrize("name", ["headstart", "meyersson", "birthweight"])
def test_covariate_continuity(name):
    file, _, x, cutoff = STUDIES[name]
    for column, expected in REFERENCE["rd_falsification"][f"covariate_continuity_{name}_hc1"].items():
        frame = read(file).dropna(subset=[x, column])
        rows = Scored(score=frame[x].to_numpy(float), y=frame[column].to_numpy(float), cutoff=cutoff)
        compare(discontinuity(rows, Local(variance="hc1")), expected)


def test_many_outcomes_at_once_are_those_one_by_one():
    frame, rows = study("birthweight")
    names = ["twin", "gest_wk", "mother_age"]
    found = discontinuity_many(rows, frame[names].to_numpy(float), Local(variance="hc1"))
    expected = REFERENCE["rd_falsification"]["covariate_continuity_birthweight_hc1"]
    for one, name in zip(found, names, strict=True):
        compare(one, expected[name])


@pytest.mark.parametrize("name", ["meyersson"])
def test_placebo_cutoffs(name):
    _, rows = study(name)
    for text, expected in REFERENCE["rd_falsification"][f"placebo_cutoffs_{name}_hc1"].items():
        cutoff = float(text)
        kept = rows.score >= 0 if cutoff > 0 else rows.score < 0
        compare(discontinuity(chosen_rows(rows, kept, cutoff), Local(variance="hc1")), expected)


@pytest.mark.parametrize("name", ["meyersson", "birthweight"])
def test_donut(name):
    _, rows = study(name)
    for text, expected in REFERENCE["rd_falsification"][f"donut_{name}_hc1"].items():
        kept = np.abs(rows.score - rows.cutoff) >= float(text)
        compare(discontinuity(chosen_rows(rows, kept, rows.cutoff), Local(variance="hc1")), expected)


@pytest.mark.parametrize("name", ["headstart", "fuzzyage"])
def test_bandwidth_series(name):
    _, rows = study(name)
    for text, expected in REFERENCE["rd_falsification"][f"bandwidth_series_{name}_hc1"].items():
        found = discontinuity(rows, Local(variance="hc1", h=float(text)))
        compare(found, expected, EXACT)
