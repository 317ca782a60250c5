"""What belongs around an instrument, against numbers of R and base-R definitions (rdiv.json, iv_extra)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.bias_ratio import imbalance
from qieval.numerics.instruments_compliers import compliers
from qieval.numerics.instruments_exclusion import exclusion
from qieval.numerics.residual_inclusion import fit_stage, residual_inclusion

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-9
COVARIATES = ["age", "female", "imd", "comorb"]

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "rdiv.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def blocks():
    return json.loads((SHARED / "reference" / "rdiv.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def distance():
    return pd.read_csv(SHARED / "data" / "rdiv_sim_distance.csv")


def columns(frame, *names):
    return frame[list(names)].to_numpy(dtype=float)


def controls(frame, *names):
    return np.column_stack([np.ones(len(frame)), columns(frame, *names)])


def agrees_with_conley(found, expected):
    union = found.union(np.array([expected["gamma_lo"]]), np.array([expected["gamma_hi"]]))
    assert (union.low, union.high) == pytest.approx(expected["uci"], rel=EXACT)
    ends = found.estimate(np.array([[expected["gamma_lo"]], [expected["gamma_hi"]]]))
    assert ends == pytest.approx([expected["est_at_lo"], expected["est_at_hi"]], rel=EXACT)
    prior = expected["ltz"]
    ltz = found.local_to_zero(np.array([prior["mu"]]), np.array([[prior["sd"] ** 2]]))
    assert (ltz.estimate, ltz.std_error) == pytest.approx((prior["est"], prior["se"]), rel=EXACT)
    assert (ltz.low, ltz.high) == pytest.approx(prior["ci"], rel=EXACT)
    assert found.slope[0] == pytest.approx(prior["A"], rel=EXACT)


def test_conley_card(blocks):
    card = pytest.importorskip("linearmodels.datasets.card")
    spec = blocks["iv"]["card_just"]["spec"]
    frame = card.load()[[spec["y"], spec["endog"], *spec["exog"], spec["instruments"]]].dropna()
    y, x = columns(frame, spec["y"], spec["endog"]).T
    found = exclusion(y, x, columns(frame, spec["instruments"]), controls(frame, *spec["exog"]))
    agrees_with_conley(found, blocks["iv_extra"]["conley_card"])


def test_conley_distance_cluster(blocks, distance):
    y, x = columns(distance, "died30", "specialist").T
    w = controls(distance, *COVARIATES, "year")
    found = exclusion(y, x, columns(distance, "diff_dist"), w, None, distance["area"].to_numpy())
    agrees_with_conley(found, blocks["iv_extra"]["conley_distance_cluster"])


def test_compliers(blocks, distance):
    expected = blocks["iv_extra"]["complier_distance_near"]
    y, x, by = columns(distance, "died30", "specialist", "diff_dist").T
    found = compliers(x, (by < 0).astype(float), columns(distance, *COVARIATES), None, y)
    single = {
        "share_compliers": found.share,
        "share_always": found.share_always,
        "share_never": found.share_never,
        "EY1_compliers": found.y1,
        "EY0_compliers": found.y0,
        "wald": found.effect,
    }
    for name, estimate in single.items():
        assert estimate.value == pytest.approx(expected[name], rel=EXACT), name
    assert found.extreme == pytest.approx((expected["p_z"], expected["p_z"]), rel=EXACT)
    many = {
        "complier_mean": found.complier,
        "overall_mean": found.overall,
        "always_mean": found.always,
        "never_mean": found.never,
        "ratio": found.ratio,
    }
    for name, estimates in many.items():
        held = [expected["covariates"][covariate][name] for covariate in COVARIATES]
        assert estimates.value == pytest.approx(held, rel=EXACT), name


@pytest.mark.parametrize("by", ["instrument", "treatment"])
def test_balance(blocks, distance, by):
    expected = blocks["iv_extra"][f"balance_by_{by}"]
    arm = distance["diff_dist"] < 0 if by == "instrument" else distance["specialist"]
    found = imbalance(arm.to_numpy(dtype=float), columns(distance, *COVARIATES))
    for name, values in (("mean1", found.high), ("mean0", found.low), ("smd", found.smd)):
        assert values == pytest.approx([expected[c][name] for c in COVARIATES], rel=EXACT), name


def test_residual_inclusion(blocks, distance):
    expected = blocks["iv_extra"]["sri_died"]
    covariates = [*COVARIATES, "year"]
    y, x = columns(distance, "died30", "specialist").T
    w = controls(distance, *covariates)
    found = residual_inclusion(y, x, columns(distance, "diff_dist"), w)
    names = ["(Intercept)", *covariates, "diff_dist"]
    assert found.first.beta == pytest.approx([expected["stage1"][name] for name in names], rel=EXACT)
    names = ["specialist", "(Intercept)", *covariates, "..r"]
    assert found.second.beta == pytest.approx([expected["stage2"][name] for name in names], rel=EXACT)
    naive = np.sqrt(np.diag(found.second.bread))
    assert naive == pytest.approx([expected["stage2_naive_se"][name] for name in names], rel=EXACT)
    assert found.means.mean1 - found.means.mean0 == pytest.approx(expected["ate_response"], rel=EXACT)
    plain = fit_stage(np.column_stack([x, w]), y, np.ones(len(y)), "logistic")
    assert plain.beta == pytest.approx([expected["no_residual"][name] for name in names[:-1]], rel=EXACT)
