"""Inference for synthetic controls against numbers of scinference and scpi, on Proposition 99."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy

from qieval.numerics.conformal import conformal_intervals, conformal_p_value, simplex_residuals
from qieval.numerics.prediction_intervals import PredictionModel, prediction_intervals

SHARED = Path(__file__).resolve().parents[3] / "shared"
PRE = 19

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))
    return {case["id"]: case["values"] for case in held["cases"]}


@pytest.fixture(scope="module")
def smoking():
    """Cigarette sales: California (t,) and the other states (t, j) in alphabetical order, 1970 to 2000."""
    frame = pd.read_csv(SHARED / "data" / "scits_prop99_smoking.csv")
    wide = frame.pivot(index="year", columns="state", values="cigsale")
    return wide["California"].to_numpy(), wide.drop(columns="California").to_numpy()


def test_conformal_p_values(reference, smoking):
    expected = reference["prop99_conformal_mb"]
    for effect, p_value in expected["H0_effect"].items():
        assert conformal_p_value(*smoking, PRE, float(effect)).p_value == pytest.approx(p_value, abs=1e-12)
    found = conformal_p_value(*smoking, PRE)
    assert found.statistic == pytest.approx(expected["stat_at_0"], rel=1e-10)


def test_conformal_estimates_are_the_gaps_of_the_fit_before(reference, smoking):
    gaps = list(reference["prop99_outcome_only"]["gaps"].values())[PRE:]
    found = conformal_intervals(*smoking, PRE, 0.95)
    np.testing.assert_allclose(found.estimate, gaps, rtol=1e-7)
    assert np.isfinite(found.low).all() and np.isfinite(found.high).all()
    for k in (0, 11):
        searched = conformal_intervals(
            np.append(smoking[0][:PRE], smoking[0][PRE + k]),
            np.vstack([smoking[1][:PRE], smoking[1][PRE + k]]),
            PRE,
            0.95,
            simplex_residuals,
        )
        assert (searched.low[0], searched.high[0]) == (
            pytest.approx(found.low[k], rel=1e-6),
            pytest.approx(found.high[k], rel=1e-6),
        )


def scores_of_the_reference(donors, weights, spread):
    """The 200 draws of numpy.random.seed(8894), which scpi makes as root(Sigma) zeta, as normal scores.

    Sigma = Z' diag(spread^2) Z / n^2, so that Z' (n-vector of noise) = n root(Sigma) zeta.
    """
    z = donors[1:PRE]
    n = len(z)
    root = scipy.linalg.sqrtm((z.T * spread**2) @ z / n**2).real
    zeta = np.random.RandomState(8894).normal(size=(donors.shape[1], 200))
    noise = np.linalg.lstsq(z.T, n * root @ zeta, rcond=None)[0].T
    return noise / spread


def test_prediction_intervals_with_the_draws_of_the_reference(reference, smoking):
    target, donors = smoking
    expected = reference["prop99_scpi"]["prop99_scpi_simplex_gaussian"]
    first = prediction_intervals(target, donors, PRE, PredictionModel(draws=1))
    changes = np.diff(donors[:, first.loose], axis=0, prepend=np.nan)[1:PRE]
    design = np.column_stack([changes, np.ones(PRE - 1)])
    residual = (target - donors @ first.weights)[1:PRE]
    left = residual - design @ np.linalg.lstsq(design, residual, rcond=None)[0]
    spread = np.abs(left) * np.sqrt(18 / (18 - 5))
    scores = scores_of_the_reference(donors, first.weights, spread)
    found = prediction_intervals(target, donors, PRE, scores=scores)
    # The reference hands its problem to ECOS in single precision, hence 0.003 on limits of about 80.
    np.testing.assert_allclose(found.in_sample, np.array(expected["CI_in_sample"])[:, :2], atol=0.003)
    np.testing.assert_allclose(
        found.total["gaussian"], np.array(expected["CI_all_gaussian"])[:, :2], atol=0.003
    )
    assert found.converged and found.rho == 0.2 and found.loose.sum() == 3


def test_prediction_intervals_with_other_draws(reference, smoking):
    expected = reference["prop99_scpi"]
    found = prediction_intervals(*smoking, PRE, PredictionModel(draws=1000))
    np.testing.assert_allclose(found.synthetic, expected["prop99_simplex"]["post_fit"], rtol=1e-5)
    ends = np.array(expected["prop99_scpi_simplex_gaussian"]["CI_all_gaussian"])
    assert np.abs(found.total["gaussian"] - ends[:, :2]).max() < 0.1 * ends[:, 2].max()
    np.testing.assert_allclose(np.diff(found.total["gaussian"])[:, 0], ends[:, 2], rtol=0.1)
