import numpy as np
import pytest

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.simplex_path import moving_target, segment, solve, whole_path


def series(t, j, seed):
    rng = np.random.default_rng(seed)
    donors = np.cumsum(rng.standard_normal((t, j)), axis=0)
    return donors[:, : min(3, j)].mean(axis=1) + rng.standard_normal(t), donors


def weights_on(path, tau):
    if tau <= path.tau[0]:
        return path.weights[0] + (tau - path.tau[0]) * path.first
    if tau >= path.tau[-1]:
        return path.weights[-1] + (tau - path.tau[-1]) * path.last
    return np.array([np.interp(tau, path.tau, column) for column in path.weights.T])


@pytest.mark.parametrize(("t", "j"), [(12, 4), (20, 1), (9, 30), (25, 12)])
def test_path_passes_through_the_fit_of_every_target(t, j):
    target, donors = series(t, j, t + j)
    last = np.eye(1, t, t - 1)[0]
    path = whole_path(moving_target(donors, target, last))
    assert path.converged
    for tau in np.concatenate([np.linspace(-60, 60, 41), [-1e5, 1e5]]):
        fitted = donors @ simplex_least_squares(donors, target - tau * last).weights
        # Fitted values are unique, weights need not be when there are more donors than periods.
        np.testing.assert_allclose(donors @ weights_on(path, tau), fitted, atol=1e-7)


def test_path_with_duplicated_donors_and_an_exact_fit():
    target, donors = series(10, 4, 3)
    donors = np.column_stack([donors, donors[:, 0], donors[:, 1]])
    target = donors[:, :2].mean(axis=1)
    last = np.eye(1, 10, 9)[0]
    path = whole_path(moving_target(donors, target, last))
    for tau in np.linspace(-5, 5, 21):
        fitted = donors @ simplex_least_squares(donors, target - tau * last).weights
        np.testing.assert_allclose(donors @ weights_on(path, tau), fitted, atol=1e-7)


def test_path_does_not_depend_on_units():
    target, donors = series(15, 6, 1)
    last = np.eye(1, 15, 14)[0]
    path, scaled = (whole_path(moving_target(donors * u, target * u, last)) for u in (1.0, 1e6))
    np.testing.assert_allclose(scaled.tau, path.tau * 1e6, rtol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.3, 0.9, 4.0])
def test_segment_by_hand(tau):
    # Donors 1 and 0, target 1 - tau in one row: the first weight falls from one to zero along 1 - tau.
    moving = moving_target(np.array([[1.0, 0.0]]), np.array([1.0]), np.array([1.0]))
    line = segment(moving, tau / moving.unit, solve(moving, tau / moving.unit))
    assert line.weights[0] == pytest.approx(max(0.0, 1 - tau))
    if 0 < tau < 1:
        assert line.slope[0] / moving.unit == pytest.approx(-1)
        assert line.low * moving.unit == pytest.approx(0.0, abs=1e-12)
        assert line.high * moving.unit == pytest.approx(1.0)
    if tau > 1:
        assert line.high == np.inf and not line.slope.any()
