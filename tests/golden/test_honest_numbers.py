"""Honest intervals against R RDHonest 1.0.1 on the shared data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.honest import HonestOptions, honest
from qieval.numerics.honest_bandwidth import Aim, BandwidthSearch
from qieval.numerics.honest_pilot import pilot_noise
from qieval.numerics.honest_rows import HonestRows, split

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "rdiv.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

NAMES = {
    "estimate": "estimate",
    "std.error": "std_error",
    "maximum.bias": "max_bias",
    "conf.low": "low",
    "conf.high": "high",
    "conf.low.onesided": "low_one_sided",
    "conf.high.onesided": "high_one_sided",
    "bandwidth": "h",
    "eff.obs": "effective_rows",
    "leverage": "leverage",
    "cv": "critical_value",
    "M": "smoothness",
    "p.value": "p_value",
    "first.stage": "first_stage",
}

CASES = {
    "headstart_M05": HonestOptions(smoothness=0.05),
    "headstart_rot": HonestOptions(),
    "headstart_h7_uni": HonestOptions(smoothness=0.05, kernel="uniform", h=7),
    "headstart_flci": HonestOptions(smoothness=0.1, criterion="flci"),
    "mlda_all_M": HonestOptions(smoothness=10),
    "fuzzyage_cost": HonestOptions(smoothness=(10, 0.01)),
    "rebp_rot": HonestOptions(),
}


def data(case: str) -> HonestRows:
    if case.startswith("headstart"):
        return rows("headstart", "povrate", "mortHS")
    if case.startswith("mlda"):
        return rows("mlda", "agecell", "all", 21.0)
    if case.startswith("fuzzyage"):
        return rows("sim_fuzzy_age", "age_years", "cost", 65.0, "treated")
    return rows("rebp", "age_months", "duration", 600.0, where="female == 0 and period == 1")


def rows(file, score, y, cutoff=0.0, uptake=None, where=None) -> HonestRows:
    frame = pd.read_csv(SHARED / "data" / f"rdiv_{file}.csv")
    frame = frame if where is None else frame.query(where)
    frame = frame.dropna(subset=[name for name in (score, y, uptake) if name])
    taken = None if uptake is None else frame[uptake].to_numpy(float)
    return HonestRows(
        score=frame[score].to_numpy(float), y=frame[y].to_numpy(float), cutoff=cutoff, uptake=taken
    )


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "rdiv.json").read_text(encoding="utf-8"))["rd_honest"]


def test_every_block_is_here(reference):
    assert set(reference) == set(CASES)


def compare(found, expected, exact):
    for theirs, ours in NAMES.items():
        if expected.get(theirs) is not None:
            allowed = pytest.approx(expected[theirs], rel=exact, abs=1e-12)
            assert getattr(found, ours) == allowed, theirs


@pytest.mark.parametrize("case", list(CASES))
def test_with_the_bandwidth_of_the_reference(case, reference):
    expected = reference[case]["R"]
    compare(honest(data(case), replace(CASES[case], h=expected["bandwidth"])), expected, 1e-10)


@pytest.mark.parametrize("case", list(CASES))
def test_with_our_own_bandwidth(case, reference):
    compare(honest(data(case), CASES[case]), reference[case]["R"], 1e-6)


@pytest.mark.parametrize("case", [case for case, options in CASES.items() if options.h is None])
def test_our_bandwidth_is_no_worse(case, reference):
    # R's search stops within about 1e-7 of the minimum; up to rounding ours is at least as low.
    sides, options = split(data(case)), CASES[case]
    search = BandwidthSearch(sides, pilot_noise(sides), options.kernel, options.curvature)
    found = honest(data(case), options)
    h = np.array([found.h, reference[case]["R"]["bandwidth"]]) / sides.scale
    ours, theirs = Aim(criterion=options.criterion).value(*search.risk(h, float(found.smoothness_of[0])))
    assert ours <= theirs * (1 + 1e-13)
