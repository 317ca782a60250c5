"""Nested predictor weights: by hand, against brute force over all pieces, and what must not matter."""

from dataclasses import fields
from itertools import chain, combinations, product

import numpy as np
import pytest
from scipy.optimize import linprog, nnls

from qieval.numerics import predictor_weights
from qieval.numerics.nested_search import LOW, Search
from qieval.numerics.predictor_weights import all_units, cross_validated, fixed_v, inverse_variance_v, nested
from qieval.numerics.simplex import simplex_least_squares


def panel(k: int, j: int, periods: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictors (k, 1 + j) and outcomes (periods, 1 + j) with three shared factors; the treated is first."""
    rng = np.random.default_rng(seed)
    loading = rng.standard_normal((3, j + 1))
    loading[:, 0] *= 1.5
    outcomes = rng.standard_normal((periods, 3)) @ loading + 0.3 * rng.standard_normal((periods, j + 1))
    return rng.standard_normal((k, 3)) @ loading + 0.5 * rng.standard_normal((k, j + 1)), outcomes


def fit(x: np.ndarray, y: np.ndarray, seed: int = 1, **search: int) -> predictor_weights.NestedFit:
    return nested(x[:, 0], x[:, 1:], y[:, 0], y[:, 1:], seed=seed, search=Search(**search))


def simplex(a: np.ndarray) -> np.ndarray:
    """Weights with the smallest |a w|, by scipy."""
    found = nnls(np.vstack([a, np.ones(a.shape[1])]), np.append(np.zeros(len(a)), 1.0))[0]
    return found / found.sum()


def differences(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    d = (x[:, 1:] - x[:, :1]) / x.std(axis=1, ddof=1, keepdims=True)
    return d, (y[:, 1:] - y[:, :1]) / np.sqrt(len(y))


def infimum(x: np.ndarray, y: np.ndarray) -> float:
    """The lowest loss over all positive v: every set of donors in use with every combination of sides.

    Weights of donors in use with d w on these sides are limits of optimal ones if a support exists.
    """
    d, e = differences(x, y)
    (k, j), best = d.shape, np.inf
    sets = chain.from_iterable(combinations(range(j), size) for size in range(1, j + 1))
    for used, side in product(map(list, sets), product((-1.0, 1.0), repeat=k)):
        others = [i for i in range(j) if i not in used]
        support = linprog(
            np.zeros(k),
            A_ub=-d[:, others].T if others else None,
            b_ub=-np.ones(len(others)) if others else None,
            A_eq=d[:, used].T,
            b_eq=np.ones(len(used)),
            bounds=[(0, None) if s > 0 else (None, 0) for s in side],
        )
        if support.status != 0:
            continue
        sides = 1e5 * np.hstack([d[:, used], -np.diag(side)])
        rows = np.vstack([np.hstack([e[:, used], np.zeros((len(e), k))]), sides])
        last = np.append(np.ones(len(used)), np.zeros(k))
        found = nnls(np.vstack([rows, last]), np.append(np.zeros(len(rows)), 1.0))[0]
        w = found[: len(used)] / found[: len(used)].sum()
        if (d[:, used] @ w * side > -1e-7).all():
            best = min(best, float(np.sum((e[:, used] @ w) ** 2)))
    return best


def test_two_donors_by_hand():
    """Donors (1, 3) and (3, 1) about (0, 0): w = (0.3, 0.7) leaves (2.4, 1.6), optimal for v = 1 / that."""
    x = np.array([[0.0, 1.0, 3.0], [0.0, 3.0, 1.0]])
    y = np.array([[7.3, 10.0, 6.142857142857143], [0.3, 1.0, 0.0]])
    found = fit(x, y)
    np.testing.assert_allclose(found.weights, [0.3, 0.7], atol=1e-9)
    np.testing.assert_allclose(found.v, [0.4, 0.6], atol=1e-8)
    np.testing.assert_allclose([found.v_low, found.v_high], [[0.4, 0.6], [0.4, 0.6]], atol=1e-5)
    assert found.loss_v < 1e-15
    assert found.complete and found.identified and found.converged


def test_one_predictor_beyond_all_donors():
    """The nearest donor has all the weight, whatever the outcome."""
    found = fit(np.array([[9.0, 1.0, 5.0, 2.0]]), np.array([[1.0, 1.0, 4.0, 1.0]]))
    np.testing.assert_array_equal(found.weights, [0, 1, 0])
    assert found.loss_v == 9 and found.lower_bound == 9 and found.outcome_bound < 1e-20
    np.testing.assert_array_equal(found.v, [1])


@pytest.mark.parametrize("seed", range(4))
def test_against_all_pieces(seed):
    x, y = panel(3, 5, 6, seed)
    d, _ = differences(x, y)
    if np.abs(d @ simplex(d)).max() < 1e-6:
        pytest.fail("this seed puts the unit inside the hull: choose another")
    found = fit(x, y)
    assert found.complete
    np.testing.assert_allclose(found.lower_bound, infimum(x, y), rtol=1e-6)
    assert found.lower_bound <= found.loss_v <= found.lower_bound * (1 + 1e-4)


@pytest.mark.parametrize(("k", "j", "seed"), [(2, 12, 5), (7, 20, 1), (13, 10, 6)])
def test_no_random_v_is_better(k, j, seed):
    x, y = panel(k, j, 12, seed)
    d, e = differences(x, y)
    found = fit(x, y)
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(1500):
        w = simplex(np.sqrt(10.0 ** (-8 * rng.random(k)))[:, None] * d)
        losses.append(np.sum((e @ w) ** 2))
    assert found.identified and found.complete
    assert found.loss_v <= min(losses) * (1 + 1e-9)
    assert found.outcome_bound <= found.lower_bound * (1 + 1e-12) and found.lower_bound <= found.loss_v


@pytest.mark.parametrize(("k", "j", "seed"), [(7, 20, 1), (20, 30, 2)])
def test_weights_are_optimal_for_v(k, j, seed):
    x, y = panel(k, j, 12, seed)
    d, e = differences(x, y)
    found = fit(x, y)
    np.testing.assert_allclose(found.v.sum(), 1)
    assert found.v.min() >= LOW * found.v.max() * (1 - 1e-12)
    assert found.gap <= 1e-10 and found.converged
    np.testing.assert_allclose(
        found.weights, simplex(np.sqrt(found.v / found.v.max())[:, None] * d), atol=1e-7
    )
    np.testing.assert_allclose(found.loss_v, np.sum((e @ found.weights) ** 2))
    np.testing.assert_allclose(found.loss_w, found.v @ (d @ found.weights) ** 2)
    assert (found.v_low <= found.v).all() and (found.v <= found.v_high).all()


def test_units_of_measurement_and_order_do_not_matter():
    x, y = panel(6, 15, 10, 3)
    base = fit(x, y)
    scale = 10.0 ** np.arange(-3, 3)[:, None]
    moved = fit(x * scale + 5 * scale, y * 1e5 + 1e7)
    np.testing.assert_allclose(moved.weights, base.weights, atol=1e-9)
    np.testing.assert_allclose(moved.v, base.v, rtol=1e-5)
    np.testing.assert_allclose(moved.loss_v, base.loss_v * 1e10, rtol=1e-9)
    order = np.random.default_rng(0).permutation(15)
    turned = np.append(0, 1 + order)
    np.testing.assert_allclose(fit(x[:, turned], y[:, turned]).weights, base.weights[order], atol=1e-9)


def test_seed_changes_only_the_random_starts():
    x, y = panel(6, 15, 10, 3)
    one, two = fit(x, y, seed=1), fit(x, y, seed=2)
    again = fit(x, y, seed=1)
    for field in fields(one):
        np.testing.assert_array_equal(
            getattr(again, field.name), getattr(one, field.name), err_msg=field.name
        )
    np.testing.assert_array_equal(one.weights, two.weights)
    np.testing.assert_array_equal(one.v, two.v)
    assert one.starts == 8 and 0 <= one.agreeing <= 8
    assert fit(x, y, starts=0).starts == 0


def test_starts_agree_where_there_is_one_minimum():
    assert fit(np.array([[9.0, 1.0, 5.0, 2.0]]), np.array([[1.0, 1.0, 4.0, 1.0]])).agreeing == 8


def test_unfinished_search_says_so_and_still_bounds():
    x, y = panel(7, 20, 12, 1)
    whole, part = fit(x, y), fit(x, y, nodes=3)
    assert whole.nodes > 12 and not part.complete
    assert part.lower_bound <= whole.loss_v <= part.loss_v * (1 + 1e-9)
    assert part.starts == 50 and part.gap <= 1e-8


def test_inside_the_hull_the_outcome_decides():
    """Donors 0, 2, 4 and 6, treated 3: among all mixtures with mean 3 one fits the outcome exactly."""
    x = np.array([[3.0, 0.0, 2.0, 4.0, 6.0]])
    y = np.array([[3.0, 0.0, 2.0, 4.0, 6.0], [2.0, 4.0, 0.0, 0.0, 4.0]])
    found = fit(x, y)
    assert not found.identified and found.converged
    np.testing.assert_allclose(x[0, 1:] @ found.weights, 3, atol=1e-10)
    np.testing.assert_allclose(found.weights[[0, 3]].sum(), 0.5, atol=1e-8)
    assert found.loss_v < 1e-15 and found.loss_w < 1e-20 and found.starts == 0


def test_like_one_corner_donor_is_identified():
    x, y = np.array([[6.0, 0.0, 2.0, 6.0]]), np.array([[1.0, 1.0, 1.0, 4.0]])
    found = fit(x, y)
    assert found.identified
    np.testing.assert_allclose(found.weights, [0, 0, 1], atol=1e-12)


def test_donors_that_predictors_cannot_tell_apart():
    found = fit(np.array([[0.0, 1.0, 1.0, 5.0]]), np.array([[2.0, 0.0, 4.0, 2.0]]))
    np.testing.assert_allclose(found.weights, [0.5, 0.5, 0], atol=1e-9)
    assert found.identified and found.loss_v < 1e-15


def test_predictors_that_do_not_vary_get_no_weight():
    x, y = panel(4, 8, 10, 2)
    base = fit(x, y)
    more = fit(np.vstack([x, np.full((1, 9), 0.1)]), y)
    assert more.v[4] == 0
    np.testing.assert_array_equal(more.weights, base.weights)
    nothing = fit(np.ones((2, 9)), y)
    np.testing.assert_allclose(nothing.loss_v, nothing.outcome_bound, rtol=1e-9)
    assert not nothing.identified


def test_duplicated_donors_and_single_donor():
    x, y = panel(4, 8, 10, 2)
    base, double = fit(x, y), fit(np.hstack([x, x[:, 1:]]), np.hstack([y, y[:, 1:]]))
    assert double.complete
    np.testing.assert_allclose(double.lower_bound, base.lower_bound, rtol=1e-6)
    assert double.lower_bound <= double.loss_v
    one = fit(x[:, :2], y[:, :2])
    np.testing.assert_array_equal(one.weights, [1])
    assert one.complete and one.converged


def test_fixed_v():
    x, y = panel(4, 8, 10, 2)
    d, _ = differences(x, y)
    v = np.array([0.5, 0.0, 2.0, 1e-3])
    found = fixed_v(x[:, 0], x[:, 1:], v, y[:, 0], y[:, 1:])
    np.testing.assert_allclose(found.weights, simplex(np.sqrt(v)[:, None] * d), atol=1e-9)
    np.testing.assert_allclose(found.v, v / v.sum())
    even = inverse_variance_v(x[:, 0], x[:, 1:], y[:, 0], y[:, 1:])
    np.testing.assert_allclose(even.weights, simplex(d), atol=1e-9)


def test_input_is_checked():
    x, y = panel(4, 8, 10, 2)
    for v in (np.ones(3), np.zeros(4), np.array([1.0, -1, 0, 0]), np.array([1.0, np.nan, 0, 0])):
        with pytest.raises(ValueError, match="v needs"):
            fixed_v(x[:, 0], x[:, 1:], v, y[:, 0], y[:, 1:])
    with pytest.raises(ValueError, match="do not fit"):
        nested(x[:, 0], x[:, 1:], y[:, 0], y[:, 2:], seed=1)
    y[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit(x, y)


def test_cross_validation_takes_v_from_the_first_half():
    first, y = panel(4, 8, 10, 2)
    second = first + 0.2 * np.random.default_rng(1).standard_normal(first.shape)
    found = cross_validated(
        (first[:, 0], first[:, 1:]), (second[:, 0], second[:, 1:]), y[:, 0], y[:, 1:], seed=1
    )
    trained = fit(first, y)
    d, _ = differences(second, y)
    np.testing.assert_allclose(found.v, trained.v, rtol=1e-14)
    root = np.sqrt(trained.v / trained.v.max())
    np.testing.assert_allclose(found.weights, simplex(root[:, None] * d), atol=1e-7)
    assert found.lower_bound == trained.lower_bound and found.nodes == trained.nodes


def test_all_units_are_nested_fits_on_any_number_of_threads(monkeypatch):
    x, y = panel(3, 9, 14, 4)
    rows = slice(0, 10)
    found = all_units(x, y, rows, seed=1, treated=0)
    for unit in range(10):
        pool = [c for c in range(10) if c not in (unit, 0)]
        one = nested(x[:, unit], x[:, pool], y[rows, unit], y[rows][:, pool], seed=1)
        np.testing.assert_allclose(found.loss_v[unit], one.loss_v, rtol=1e-12)
        np.testing.assert_allclose(found.gaps[:, unit], y[:, unit] - y[:, pool] @ one.weights, atol=1e-12)
        assert found.identified[unit] == one.identified and found.complete[unit]
    np.testing.assert_allclose(found.mspe(rows), found.loss_v)
    monkeypatch.setattr(predictor_weights.os, "cpu_count", lambda: 1)
    alone = all_units(x, y, rows, seed=1, treated=0)
    np.testing.assert_array_equal(alone.gaps, found.gaps)
    some = all_units(x, y, rows, seed=1, units=np.array([3, 1]))
    np.testing.assert_array_equal(some.units, [3, 1])
    assert some.gaps.shape == (14, 2)


def test_least_squares_kernel_against_scipy():
    from qieval.numerics.kernels.nested import nonnegative, room

    rng = np.random.default_rng(0)
    for n, m in ((4, 6), (12, 5), (30, 8)):
        columns = rng.standard_normal((n, m))
        root = np.append(10.0 ** -rng.uniform(0, 4, m - 1), 1.0)
        held = room(n, m)
        assert nonnegative(held, columns, root, np.ones(n, dtype=bool))
        x = np.zeros(n)
        x[held.free[: held.size[0]]] = held.amount[: held.size[0]]
        last = np.append(np.zeros(m - 1), 1.0)
        expected = nnls((columns * root).T, last)[0]
        reached, lowest = ((columns * root).T @ np.column_stack([x, expected]) - last[:, None] ** [[1, 1]]).T
        assert reached @ reached <= lowest @ lowest * (1 + 1e-10) + 1e-20


@pytest.mark.parametrize("seed", range(5))
def test_prices_against_highs(seed):
    from qieval.numerics.kernels.nested_prices import FACE, prices, tableau

    rng = np.random.default_rng(seed)
    d, side = rng.standard_normal((4, 9)) + 0.7, np.array([0, 1, 0, -1], dtype=np.int8)
    place = np.zeros(9, dtype=np.int8)
    place[seed] = FACE if seed % 2 else 0
    r = d @ rng.dirichlet(np.ones(9))
    support = np.empty(4)
    found = prices(tableau(4, 9), d, r, side, place, support)
    size = np.where((side != 0) & (side * r < 0), 0, np.abs(r))
    towards = np.where(side != 0, side, np.where(r >= 0, 1.0, -1.0))
    signed = np.vstack([towards[:, None] * d, -towards[:, None] * d])
    on_face = place == FACE
    expected = linprog(
        np.append(size, size),
        A_ub=-signed[:, ~on_face].T,
        b_ub=-np.ones(int((~on_face).sum())),
        A_eq=signed[:, on_face].T if on_face.any() else None,
        b_eq=np.ones(int(on_face.sum())) if on_face.any() else None,
        bounds=[(0, None)] * 4 + [(0, None) if s == 0 else (0, 0) for s in side],
    )
    assert found == (expected.status == 0)
    if found:
        assert (d.T @ support >= 1 - 1e-9).all() and (support * side >= -1e-12).all()
        np.testing.assert_allclose((d.T @ support)[on_face], 1, atol=1e-9)
        np.testing.assert_allclose(np.abs(support) @ size, expected.fun, rtol=1e-6, atol=1e-8)


def test_outcome_bound_is_the_fit_of_outcomes():
    x, y = panel(4, 8, 10, 2)
    best = simplex_least_squares(y[:, 1:], y[:, 0]).objective / 10
    np.testing.assert_allclose(fit(x, y).outcome_bound, best)
