"""Exact simplex least squares: against every support tried, a general solver, and by its own conditions."""

from itertools import combinations

import numpy as np
import pytest
import scipy

from qieval.numerics.simplex import (
    is_inside_hull,
    least_objective_in_exact_fit,
    other_weights,
    simplex_least_squares,
)


def objective(problem, w):
    a, b, ridge, linear = problem
    return np.sum((a @ w - b) ** 2) + ridge * w @ w + (0 if linear is None else linear @ w)


def by_trying_all(problem):
    """The least objective: the equality-constrained minimum of each set of donors, if none is negative."""
    a, b, ridge, linear = problem
    j = a.shape[1]
    c = np.zeros(j) if linear is None else linear
    best = np.inf
    for size in range(1, j + 1):
        for donors in map(list, combinations(range(j), size)):
            part = a[:, donors]
            hessian = 2 * (part.T @ part + ridge * np.eye(size))
            system = np.block([[hessian, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            w = np.linalg.lstsq(system, np.append(2 * part.T @ b - c[donors], 1.0))[0][:size]
            if w.min() >= -1e-12 and abs(w.sum() - 1) < 1e-9:
                full = np.zeros(j)
                full[donors] = w
                best = min(best, objective(problem, full))
    return best


def homogenised(a, b):
    """Lawson and Hanson's solver on the differences, with a row that makes the sum one up to a factor."""
    differences = a - b[:, None]
    scale = np.sqrt(np.mean(np.sum(differences**2, axis=0)))
    rows = np.vstack([differences / scale, np.ones(a.shape[1])])
    u = scipy.optimize.nnls(rows, np.append(np.zeros(b.size), 1.0), maxiter=10_000)[0]
    return u / u.sum()


def factor_panel(periods, units, seed):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((periods, 4)).cumsum(axis=0) * 0.3
    return common @ rng.uniform(0, 1, (4, units)) + 0.5 * rng.standard_normal((periods, units)) + 10


def is_simplex(w):
    return w.min() >= 0 and abs(w.sum() - 1) < 1e-13


def test_two_donors_by_hand():
    fit = simplex_least_squares(np.array([[0.0, 4.0], [0.0, 0.0]]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(fit.weights, [0.75, 0.25], rtol=1e-15)
    assert fit.objective == pytest.approx(4.0, rel=1e-15)
    assert fit.converged and fit.gap < 1e-14


def test_ridge_and_linear_terms_by_hand():
    a, b = np.array([[1.0, -1.0]]), np.array([1.0])
    # With w = (1/2 + d, 1/2 - d) the objective (2d - 1)^2 + ridge (1/2 + 2 d^2) + c (1/2 + d) is least at
    # d = (4 - c) / (8 + 4 ridge).
    plain = simplex_least_squares(a, b, ridge=2.0)
    np.testing.assert_allclose(plain.weights, [0.75, 0.25], rtol=1e-14)
    tilted = simplex_least_squares(a, b, ridge=2.0, linear=np.array([2.0, 0.0]))
    np.testing.assert_allclose(tilted.weights, [0.625, 0.375], rtol=1e-14)
    assert tilted.objective == pytest.approx(objective((a, b, 2.0, np.array([2.0, 0.0])), tilted.weights))


@pytest.mark.parametrize("seed", range(60))
def test_as_good_as_every_set_of_donors_tried(seed):
    rng = np.random.default_rng(seed)
    m, j = int(rng.integers(1, 6)), int(rng.integers(1, 7))
    linear = rng.standard_normal(j) * 3 if seed % 3 == 0 else None
    a, b = rng.standard_normal((m, j)), rng.standard_normal(m)
    problem = (a, b, float(rng.uniform(0.1, 2)) if seed % 2 else 0.0, linear)
    fit = simplex_least_squares(a, b, ridge=problem[2], linear=linear)
    least = by_trying_all(problem)
    assert is_simplex(fit.weights) and fit.converged and fit.gap < 1e-10
    assert fit.objective == pytest.approx(objective(problem, fit.weights), rel=1e-12, abs=1e-14)
    assert fit.objective == pytest.approx(least, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("periods", "donors"), [(12, 20), (19, 38), (80, 200), (150, 2000)])
def test_agrees_with_the_homogenised_solver(periods, donors):
    y = factor_panel(periods, donors + 1, seed=donors)
    a, b = y[:, 1:], y[:, 0]
    fit = simplex_least_squares(a, b)
    reference = homogenised(a, b)
    assert is_simplex(fit.weights) and fit.converged and fit.gap < 1e-12
    assert fit.objective <= objective((a, b, 0.0, None), reference) * (1 + 1e-12)
    np.testing.assert_allclose(fit.weights, reference, atol=1e-11)


@pytest.mark.parametrize("ridge", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("tilt", [0.0, 0.1])
def test_optimality_conditions_hold_with_many_donors(ridge, tilt):
    y = factor_panel(60, 401, seed=5)
    a, b = y[:, 1:], y[:, 0]
    linear = tilt * np.sum((a - b[:, None]) ** 2, axis=0)
    fit = simplex_least_squares(a, b, ridge=ridge, linear=linear)
    slope = 2 * a.T @ (a @ fit.weights - b) + 2 * ridge * fit.weights + linear
    used = fit.weights > 0
    assert np.ptp(slope[used]) < 1e-9 * np.ptp(slope)
    assert slope.min() > slope[used].min() - 1e-9 * np.ptp(slope)
    assert fit.converged and used.sum() > 1


@pytest.mark.parametrize("seed", range(40))
def test_predictors_weighted_over_eight_orders_of_magnitude(seed):
    rng = np.random.default_rng(seed)
    root = 10.0 ** rng.uniform(-4, 0, (7, 1))
    a = rng.standard_normal((7, 38)) * root
    b = (rng.standard_normal((7, 1)) * root)[:, 0] * 0.8
    fit, reference = simplex_least_squares(a, b), homogenised(a, b)
    problem = (a, b, 0.0, None)
    assert is_simplex(fit.weights) and fit.converged and fit.gap < 1e-10
    assert fit.objective <= objective(problem, reference) * (1 + 1e-9) + 1e-24


def test_units_of_measurement_and_level_do_not_matter():
    y = factor_panel(30, 60, seed=1)
    plain = simplex_least_squares(y[:, 1:], y[:, 0])
    scaled = simplex_least_squares(1e9 * y[:, 1:], 1e9 * y[:, 0])
    small = simplex_least_squares(1e-9 * y[:, 1:], 1e-9 * y[:, 0])
    raised = simplex_least_squares(y[:, 1:] + 1e4, y[:, 0] + 1e4)
    np.testing.assert_allclose(scaled.weights, plain.weights, atol=1e-13)
    np.testing.assert_allclose(small.weights, plain.weights, atol=1e-13)
    np.testing.assert_allclose(raised.weights, plain.weights, atol=1e-9)
    assert scaled.objective == pytest.approx(1e18 * plain.objective, rel=1e-12)


def test_the_order_of_donors_and_the_guess_do_not_matter():
    y = factor_panel(30, 200, seed=2)
    a, b = y[:, 1:], y[:, 0]
    plain = simplex_least_squares(a, b)
    order = np.random.default_rng(0).permutation(199)
    shuffled = simplex_least_squares(a[:, order], b)
    np.testing.assert_allclose(shuffled.weights, plain.weights[order], atol=1e-12)
    for guess in (plain.weights, np.full(199, 1 / 199), np.eye(199)[7], np.zeros(199)):
        started = simplex_least_squares(a, b, start=guess)
        np.testing.assert_allclose(started.weights, plain.weights, atol=1e-12)
        assert started.converged
    assert simplex_least_squares(a, b, start=plain.weights).iterations < plain.iterations


def test_duplicated_donors_share_what_one_would_get():
    y = factor_panel(20, 12, seed=3)
    a, b = y[:, 1:], y[:, 0]
    alone = simplex_least_squares(a, b)
    twice = simplex_least_squares(np.hstack([a, a]), b)
    np.testing.assert_allclose(twice.weights[:11] + twice.weights[11:], alone.weights, atol=1e-12)
    assert twice.objective == pytest.approx(alone.objective, rel=1e-12)


def test_an_exact_fit_is_found_and_certified():
    rng = np.random.default_rng(4)
    a = rng.standard_normal((5, 30))
    truth = rng.dirichlet(np.ones(30))
    fit = simplex_least_squares(a, a @ truth)
    assert fit.objective < 1e-28 and fit.converged and fit.gap < 1e-12
    assert np.count_nonzero(fit.weights) <= 6


def test_a_target_far_outside_gets_the_nearest_point():
    a = np.random.default_rng(5).standard_normal((6, 20))
    b = np.full(6, 1e6)
    fit = simplex_least_squares(a, b)
    slope = a.T @ (a @ fit.weights - b)
    assert fit.converged
    assert fit.weights @ slope <= slope.min() + 1e-9 * np.ptp(slope)


def test_tiny_and_degenerate_problems():
    one = simplex_least_squares(np.array([[3.0]]), np.array([1.0]))
    assert one.weights.tolist() == [1.0] and one.objective == pytest.approx(4.0) and one.converged
    row = simplex_least_squares(np.array([[1.0, 2.0, 4.0]]), np.array([3.0]))
    assert row.objective < 1e-28 and is_simplex(row.weights)
    same = simplex_least_squares(np.ones((3, 4)), np.ones(3))
    assert same.objective == 0 and is_simplex(same.weights) and same.converged
    off = simplex_least_squares(np.ones((3, 4)), np.zeros(3))
    assert off.objective == pytest.approx(3.0) and off.converged


def test_a_linear_term_decides_between_donors_that_fit_alike():
    a = np.array([[0.0, 1.0, 2.0, 1.0]])
    fit = simplex_least_squares(a, np.array([1.0]), linear=np.array([1.0, 3.0, 1.0, 2.0]))
    np.testing.assert_allclose(fit.weights, [0.5, 0, 0.5, 0], atol=1e-14)
    assert fit.objective == pytest.approx(1.0) and fit.converged


def test_many_donors_with_ties_and_an_exact_fit():
    rng = np.random.default_rng(0)
    a, linear = rng.integers(0, 2, (40, 500)).astype(float), rng.integers(0, 3, 500).astype(float)
    fit = simplex_least_squares(a, np.full(40, 0.5), linear=linear)
    assert fit.converged and fit.objective < 1e-20
    assert linear @ fit.weights < 1e-12
    plain = simplex_least_squares(a, np.full(40, 0.5))
    assert plain.converged and plain.objective < 1e-25


def test_a_strong_linear_term_picks_the_cheapest_donor():
    y = factor_panel(20, 40, seed=6)
    linear = np.arange(39.0)[::-1] * 1e6
    fit = simplex_least_squares(y[:, 1:], y[:, 0], linear=linear)
    assert fit.weights.tolist() == np.eye(39)[38].tolist()


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        (np.ones((2, 0)), np.ones(2), {}),
        (np.ones((2, 3)), np.ones(3), {}),
        (np.ones((2, 3)), np.ones(2), {"ridge": -1.0}),
        (np.ones((2, 3)), np.ones(2), {"linear": np.ones(2)}),
        (np.ones((2, 3)), np.array([1.0, np.nan]), {}),
    ],
)
def test_what_makes_no_sense_is_refused(a, b, options):
    with pytest.raises(ValueError, match=r"must|finite"):
        simplex_least_squares(a, b, **options)


def test_inside_and_outside_of_the_hull():
    corners = np.array([[0.0, 2.0, 0.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    inside, weights = is_inside_hull(np.array([0.5, 1.5]), corners)
    assert inside < 1e-14
    np.testing.assert_allclose(corners @ weights, [0.5, 1.5], atol=1e-14)
    point = np.array([3.0, 1.0])
    outside, _ = is_inside_hull(point, corners)
    spread = np.std([3, 0, 2, 0, 2], ddof=1)
    assert outside == pytest.approx(1 / spread / np.sqrt(2), rel=1e-12)
    in_pence, _ = is_inside_hull(point * [100, 1], corners * [[100], [1]])
    assert in_pence == pytest.approx(outside, rel=1e-12)


def test_a_constant_predictor_does_not_disturb_the_hull():
    corners = np.array([[0.0, 2.0], [5.0, 5.0]])
    assert is_inside_hull(np.array([1.0, 5.0]), corners)[0] < 1e-14
    assert is_inside_hull(np.array([1.0, 6.0]), corners)[0] > 0.1


def test_the_best_outcome_fit_among_exact_matches_agrees_with_a_general_solver():
    rng = np.random.default_rng(8)
    x0, donors = rng.standard_normal((3, 12)), rng.standard_normal((9, 12))
    x1 = x0 @ rng.dirichlet(np.ones(12))
    target = donors @ rng.dirichlet(np.ones(12)) + rng.standard_normal(9)
    fit = least_objective_in_exact_fit(x1, x0, target, donors)
    assert fit.converged and is_simplex(fit.weights)
    np.testing.assert_allclose(x0 @ fit.weights, x1, atol=1e-12)
    general = scipy.optimize.minimize(
        lambda w: np.sum((donors @ w - target) ** 2),
        fit.weights * 0 + 1 / 12,
        jac=lambda w: 2 * donors.T @ (donors @ w - target),
        bounds=[(0, 1)] * 12,
        constraints=[
            {"type": "eq", "fun": lambda w: x0 @ w - x1},
            {"type": "eq", "fun": lambda w: w.sum() - 1},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert general.success
    assert fit.objective == pytest.approx(general.fun, rel=1e-7)


def test_no_exact_match_is_reported():
    x0, donors = np.array([[0.0, 1.0]]), np.eye(2)
    assert not least_objective_in_exact_fit(np.array([2.0]), x0, np.ones(2), donors).converged


def test_whether_the_weights_are_unique():
    y = factor_panel(20, 12, seed=3)
    a, b = y[:, 1:], y[:, 0]
    fit = simplex_least_squares(a, b)
    assert other_weights(a, b, fit.weights) == 0
    used = np.flatnonzero(fit.weights)
    doubled = np.column_stack([a, a[:, used[:2]]])
    again = simplex_least_squares(doubled, b)
    assert other_weights(doubled, b, again.weights) == 2
    unused = np.flatnonzero(fit.weights == 0)[0]
    idle = np.column_stack([a, a[:, unused]])
    assert other_weights(idle, b, simplex_least_squares(idle, b).weights) == 0


def test_inside_the_hull_the_weights_can_move_in_all_directions_left():
    rng = np.random.default_rng(9)
    a = rng.standard_normal((4, 15))
    b = a @ np.full(15, 1 / 15)
    fit = simplex_least_squares(a, b)
    assert other_weights(a, b, fit.weights) == 15 - 5


def test_a_corner_of_the_hull_is_reached_in_one_way_only():
    a = np.array([[0.0, 2.0, 0.0, 0.5], [0.0, 0.0, 2.0, 0.5]])
    assert other_weights(a, np.zeros(2), np.array([1.0, 0, 0, 0])) == 0
