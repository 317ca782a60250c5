"""Synthetic difference-in-differences against R synthdid 0.0.9 on Proposition 99."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.synthetic_did import Study, fit_study, synthetic_did
from qieval.numerics.synthetic_did_errors import placebo_errors
from qieval.numerics.synthetic_did_weights import AS_R, EXACT, Optimiser

SHARED = Path(__file__).resolve().parents[3] / "shared"
PRE = 19

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))
    return next(case["values"] for case in held["cases"] if case["id"] == "prop99_synthdid")


@pytest.fixture(scope="module")
def smoking():
    frame = pd.read_csv(SHARED / "data" / "scits_prop99_smoking.csv")
    return frame.pivot(index="state", columns="year", values="cigsale")


def fitted(smoking, kind, optimiser=AS_R):
    return synthetic_did(
        smoking.to_numpy(), smoking.index == "California", PRE, kind=kind, optimiser=optimiser
    )


def check(found, expected, smoking, tolerance):
    """The file lists weights above zero only: all others must vanish."""
    assert found.estimate == pytest.approx(expected["estimate"], abs=tolerance)
    np.testing.assert_allclose(
        found.effect_by_period, list(expected["effect_curve"].values()), atol=tolerance
    )
    units = pd.Series(found.unit_weights, smoking.index)
    listed = pd.Series(expected["omega"], dtype=float)
    np.testing.assert_allclose(units[listed.index], listed, atol=tolerance)
    assert units.drop(listed.index).max() < 1e-8
    periods = pd.Series(found.time_weights, smoking.columns[:PRE].astype(str))
    listed = pd.Series(expected["lambda"], dtype=float)
    np.testing.assert_allclose(periods[listed.index], listed, atol=tolerance)
    assert periods.drop(listed.index).max() < 1e-8 or listed.size == PRE


@pytest.mark.parametrize("kind", ["sdid", "sc", "did"])
def test_estimates_weights_and_effects(kind, reference, smoking):
    found = fitted(smoking, kind)
    check(found, reference[kind], smoking, 1e-8)
    if kind == "did":
        return
    assert found.penalties.noise_level == pytest.approx(reference["noise_level"], rel=1e-12)
    assert found.penalties.zeta_omega == pytest.approx(reference[kind]["zeta_omega"], rel=1e-12)
    assert found.penalties.zeta_lambda == pytest.approx(reference[kind]["zeta_lambda"], rel=1e-12)


def test_with_a_tight_stop(reference, smoking):
    optimiser = Optimiser(min_decrease=1e-10 / reference["noise_level"], max_iterations=1_000_000)
    check(fitted(smoking, "sdid", optimiser), reference["sdid_tight"], smoking, 1e-8)


def test_the_optimum_lies_beyond_both_stops(reference, smoking):
    """R's default stops at 10,000 steps, 0.0016 packs from the optimum, its tight one 2e-5 from it."""
    exact = fitted(smoking, "sdid", EXACT)
    assert exact.converged and max(exact.unit_gap, exact.time_gap) < 1e-10
    assert not fitted(smoking, "sdid").converged
    assert exact.estimate == pytest.approx(reference["sdid_tight"]["estimate"], abs=5e-5)
    assert abs(exact.estimate - reference["sdid"]["estimate"]) > 1e-3


def test_the_exact_synthetic_control_is_the_certified_one(smoking):
    """Outcomes before the start only: the optimum, 0.11 packs from where R's sc_estimate stops."""
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))
    case = next(case["values"] for case in held["cases"] if case["id"] == "prop99_outcome_only")
    units = pd.Series(fitted(smoking, "sc", EXACT).unit_weights, smoking.index)
    listed = pd.Series(case["weights"], dtype=float)
    np.testing.assert_allclose(units[listed.index], listed, atol=1e-8)


@pytest.mark.parametrize("kind", ["sdid", "sc", "did"])
def test_placebo_standard_error(kind, reference, smoking):
    """R draws 200 times from the same 38 placebos, of which each is used once here."""
    study = Study(smoking.to_numpy(), np.where(smoking.index == "California", PRE, 31), kind=kind)
    found = placebo_errors(study, fit_study(study))
    assert found.enumerated and found.effects.size == 38
    assert found.std_error == pytest.approx(reference["se_placebo_200_seed12345"][kind], rel=0.15)
