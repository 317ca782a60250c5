"""Entropy balancing against the primal problem solved directly, and its border cases."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from qieval.numerics.entropy_balancing import Entropy, entropy_balance, powers
from qieval.numerics.tilting import tilt


def sample(seed=1, n=120, k=2):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k))
    treated = rng.random(n) < 1 / (1 + np.exp(-0.7 * x[:, 0] + 0.4 * x[:, 1] + 0.3))
    return x, treated, rng


def primal(x, target, prior, tolerance=0.0):
    """Shares closest to prior with means within tolerance of target, by sequential quadratic programming."""
    q = prior / prior.sum()
    if tolerance:
        bounds = [
            {"type": "ineq", "fun": lambda w, s=s: tolerance - s * ((w @ x) - target)} for s in (1.0, -1.0)
        ]
    else:
        bounds = [{"type": "eq", "fun": lambda w: w @ x - target}]
    out = minimize(
        lambda w: float(np.sum(w * np.log(w / q))),
        q,
        jac=lambda w: np.log(w / q) + 1,
        bounds=[(1e-12, 1)] * len(q),
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1}, *bounds],
        method="SLSQP",
        options={"ftol": 1e-11, "maxiter": 1000},
    )
    assert out.success
    return out.x


@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
def test_primal_solution(estimand):
    x, treated, rng = sample(seed=2, n=36)
    prior = rng.uniform(0.5, 2, len(x))
    found = entropy_balance(x, treated, estimand, Entropy(prior=prior))
    assert found.converged
    assert found.imbalance < 1e-10
    for rows, weighted in ((treated, estimand != "ATT"), (~treated, estimand != "ATC")):
        target = x[{"ATT": treated, "ATC": ~treated}.get(estimand, slice(None))].mean(axis=0)
        if weighted:
            share = primal(x[rows], target, prior[rows])
            np.testing.assert_allclose(found.weights[rows], share * rows.sum(), atol=2e-5)
            np.testing.assert_allclose(
                np.average(x[rows], weights=found.weights[rows], axis=0), target, atol=1e-9
            )
        else:
            assert (found.weights[rows] == 1).all()
        assert found.weights[rows].mean() == pytest.approx(1, abs=1e-12)


def test_tolerance_is_used_and_no_more():
    x, treated, _ = sample(n=36)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    found = entropy_balance(x, treated, "ATT", Entropy(tolerance=0.05))
    off = np.average(x[~treated], weights=found.weights[~treated], axis=0) - x[treated].mean(axis=0)
    np.testing.assert_allclose(np.abs(off), 0.05, atol=1e-9)
    share = primal(x[~treated], x[treated].mean(axis=0), np.ones((~treated).sum()), 0.05)
    np.testing.assert_allclose(found.weights[~treated], share * (~treated).sum(), atol=2e-5)
    assert found.blocks == ()
    loose = entropy_balance(x, treated, "ATT", Entropy(tolerance=10.0))
    np.testing.assert_allclose(loose.weights, 1.0, rtol=1e-14)


def test_sampling_weights_are_repeated_rows():
    x, treated, rng = sample()
    times = rng.integers(0, 4, len(x))
    rows = np.repeat(np.arange(len(x)), times)
    for estimand in ("ATT", "ATE"):
        weighted = entropy_balance(x, treated, estimand, Entropy(base=times.astype(float)))
        repeated = entropy_balance(x[rows], treated[rows], estimand)
        np.testing.assert_allclose(weighted.weights[rows], repeated.weights, rtol=1e-8)


def test_units_order_and_repeated_columns_do_not_matter():
    x, treated, rng = sample(k=3)
    plain = entropy_balance(x, treated)
    changed = np.column_stack(
        [1e7 * x[:, 1] + 3e9, x[:, 0], 1e-8 * x[:, 2], x[:, 0] - x[:, 1], np.ones(len(x))]
    )
    np.testing.assert_allclose(entropy_balance(changed, treated).weights, plain.weights, rtol=1e-6)
    order = rng.permutation(len(x))
    np.testing.assert_allclose(
        entropy_balance(x[order], treated[order]).weights, plain.weights[order], rtol=1e-9
    )


@pytest.mark.parametrize("case", ["beyond", "constant in the arm", "inconsistent"])
def test_impossible_balance_is_proved(case):
    x, treated, _ = sample()
    if case == "beyond":
        x[treated, 0] += 100
    elif case == "constant in the arm":
        x = np.column_stack([x, np.where(treated, x[:, 0] > 0, 0.0)])
    else:
        x = np.column_stack([x, x[:, 0] + np.where(treated, 0.5, 0.0)])
    found = entropy_balance(x, treated)
    assert found.status == "infeasible"
    assert found.imbalance > 1e-3


def test_infeasible_is_what_linear_programming_says():
    rng = np.random.default_rng(4)
    said = []
    for _ in range(150):
        c = rng.standard_normal((rng.integers(4, 12), 3)) + 0.3
        possible = linprog(
            np.zeros(len(c)), A_eq=np.vstack([c.T, np.ones(len(c))]), b_eq=[0, 0, 0, 1]
        ).success
        status = tilt(c, rng.uniform(0.2, 1, len(c))).status
        assert status == ("converged" if possible else "infeasible")
        said.append(status)
    assert 30 < said.count("infeasible") < 120


def test_a_column_without_spread_in_the_arm_can_be_balanced_already():
    x, treated, _ = sample()
    level = np.where(treated, np.where(np.cumsum(treated) % 2 == 0, 1.0, -1.0), 0.0)
    level[np.flatnonzero(treated)[0]] -= level[treated].sum()
    found = entropy_balance(np.column_stack([x, level]), treated)
    assert found.converged
    np.testing.assert_allclose(found.weights, entropy_balance(x, treated).weights, rtol=1e-9)


def test_hard_targets_are_reached():
    x = np.concatenate([np.linspace(0, 1, 50), [0.999, 0.9991]])[:, None]
    treated = np.arange(52) >= 50
    found = entropy_balance(x, treated)
    assert found.converged
    assert np.average(x[~treated, 0], weights=found.weights[~treated]) == pytest.approx(0.99905, abs=1e-11)


def test_many_rows_start_from_a_sample():
    rng = np.random.default_rng(3)
    c = rng.normal([0.3, -0.2], 1.0, (210_000, 2))
    found = tilt(c, np.ones(len(c)))
    assert found.status == "converged"
    assert found.iterations <= 3
    np.testing.assert_allclose(found.share @ c, 0, atol=1e-11)
    np.testing.assert_allclose(
        found.share, np.exp(c @ found.multipliers) / np.exp(c @ found.multipliers).sum()
    )


def test_powers_of_columns_with_more_than_two_values():
    x = np.column_stack([[0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    found = powers(x, 3)
    assert found.shape == (4, 4)
    np.testing.assert_allclose(found[:, 2], ((x[:, 1] - 2.5) / x[:, 1].std()) ** 2)
    x, treated, _ = sample(n=400)
    weights = entropy_balance(powers(x, 3), treated).weights[~treated]
    for power in (1, 2, 3):
        mean = np.average(x[~treated] ** power, weights=weights, axis=0)
        np.testing.assert_allclose(mean, (x[treated] ** power).mean(axis=0), atol=1e-9)
