"""Density tests, IK bandwidth and binned picture against R (rddensity 3.0, rdd 0.57, rdrobust 4.0)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.binned import BinChoices, binned
from qieval.numerics.density_jump import DensityChoices, binomial_windows, density_jump
from qieval.numerics.density_jump_mccrary import mccrary
from qieval.numerics.heaping import heaping
from qieval.numerics.heaping_rows import heapers_differ
from qieval.numerics.ik_bandwidth import ik_bandwidth

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-8
"""Relative; R and the Python version of rddensity themselves agree to this (integrals by quadrature)."""

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "rdiv.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "rdiv.json").read_text(encoding="utf-8"))


def columns(name, *wanted):
    frame = pd.read_csv(SHARED / "data" / f"rdiv_{name}.csv")
    if name == "rebp":
        frame = frame[(frame["female"] == 0) & (frame["period"] == 1)]
    return frame[list(wanted)].dropna().to_numpy(dtype=float).T


CASES = {
    "senate": ("senate", "demmv", 0, None, None),
    "senate_restricted": ("senate", "demmv", 0, DensityChoices(restricted=True, variance="plugin"), None),
    "senate_h10_20": ("senate", "demmv", 0, None, (10.0, 20.0)),
    "headstart": ("headstart", "povrate", 0, None, None),
    "meyersson": ("meyersson", "X", 0, None, None),
    "birthweight": ("sim_birthweight", "bweight", 1500, None, None),
    "birthweight_massoff": ("sim_birthweight", "bweight", 1500, DensityChoices(mass_points=False), None),
    "fuzzyage_months": ("sim_fuzzy_age", "age_months", 780, None, None),
    "rebp": ("rebp", "age_months", 600, None, None),
}


@pytest.mark.parametrize("case", CASES)
def test_density_jump(reference, case):
    data, column, cutoff, choices, h = CASES[case]
    (score,) = columns(data, column)
    block = reference["rd_density"][case]
    expected = block["R"]
    found = density_jump(score, float(cutoff), choices, h)
    assert found.h == pytest.approx(expected["h"], rel=EXACT)
    assert [found.left, found.right, found.difference] == pytest.approx(expected["hat"], rel=EXACT)
    assert (list(found.n), list(found.n_window)) == (expected["N"], expected["N_h"])
    if expected["T_jk"] is None:
        test = block["python_peer"]["test"]
        assert found.statistic == pytest.approx(test["t_asy"][0], rel=EXACT)
        assert found.p_value == pytest.approx(test["p_asy"][0], rel=EXACT)
    else:
        assert found.standard_errors == pytest.approx(expected["sd_jk"], rel=EXACT)
        assert found.statistic == pytest.approx(expected["T_jk"], rel=EXACT)
        assert found.p_value == pytest.approx(expected["p_jk"], rel=EXACT)
    windows = binomial_windows(score, float(cutoff), found.h)
    assert windows.p_value == pytest.approx(expected["binom_p"], rel=1e-12)
    assert windows.window[:, 0] == pytest.approx(expected["binom_window"], rel=1e-12)
    assert windows.n.T.tolist() == [expected["binom_LeftN"], expected["binom_RightN"]]


@pytest.mark.parametrize(
    ("name", "column"), [("senate", "demmv"), ("headstart", "povrate"), ("meyersson", "X")]
)
def test_mccrary(reference, name, column):
    expected = reference["rd_falsification"]["mccrary"][name]
    found = mccrary(columns(name, column)[0])
    named = {"theta": found.theta, "se": found.se, "z": found.z, "p": found.p_value}
    named |= {"binsize": found.bin_width, "bw": found.bandwidth}
    assert named == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "score", "outcome"), [("senate", "demmv", "demvoteshfor2"), ("headstart", "povrate", "mortHS")]
)
def test_ik_bandwidth(reference, name, score, outcome):
    expected = reference["rd_falsification"]["IK_bandwidth"][name]
    assert ik_bandwidth(*columns(name, score, outcome), floor=0.01) == pytest.approx(expected, rel=1e-10)


PICTURES = {
    "senate_esmv": ("senate", "demmv", "demvoteshfor2", 0, BinChoices()),
    "headstart_qsmv": ("headstart", "povrate", "mortHS", 0, BinChoices("qsmv")),
    "birthweight_qs": ("sim_birthweight", "bweight", "died1y", 1500, BinChoices("qs", p=2)),
}


@pytest.mark.parametrize("case", PICTURES)
def test_binned(reference, case):
    data, score, outcome, cutoff, choices = PICTURES[case]
    expected = reference["rd_plot_bins"][case]["R"]
    found = binned(*columns(data, score, outcome), float(cutoff), choices)
    assert list(found.count) == expected["J"]
    assert (list(found.count_imse), list(found.count_mimicking)) == (expected["J_IMSE"], expected["J_MV"])
    assert found.coefficients == pytest.approx(np.array(expected["coef"]), rel=1e-8)
    assert found.x == pytest.approx(expected["bin_mean_x"], rel=1e-10)
    assert found.y == pytest.approx(expected["bin_mean_y"], rel=1e-10)
    assert found.n.tolist() == expected["bin_n"]


def test_heaps_of_birth_weights():
    weight, died, age = columns("sim_birthweight", "bweight", "died1y", "mother_age")
    found = heaping(weight, 1500.0, 300.0)
    assert [step.step for step in found.steps] == [100] and found.grid == 1
    assert found.values.tolist() == [1200, 1300, 1400, 1500, 1600, 1700, 1800]
    assert found.at_cutoff.observed == np.sum(weight == 1500) and found.at_cutoff.p_value < 1e-50
    assert heapers_differ(died, found.round_values, weight, 1500.0, 300.0).p_value < 1e-6
    assert heapers_differ(age, found.round_values, weight, 1500.0, 300.0).p_value > 0.01


@pytest.mark.parametrize(
    ("name", "column", "cutoff", "window"),
    [
        ("senate", "demmv", 0, 20),
        ("headstart", "povrate", 0, 10),
        ("meyersson", "X", 0, 30),
        ("sim_fuzzy_age", "age_months", 780, 60),
        ("sim_fuzzy_age", "age_years", 65, 5),
        ("rebp", "age_months", 600, 40),
    ],
)
def test_other_scores_do_not_heap(name, column, cutoff, window):
    assert not heaping(columns(name, column)[0], float(cutoff), float(window)).found
