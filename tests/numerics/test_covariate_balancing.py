"""CBPS and tilting: their equations solved by general root finders, relations between methods, failures."""

import numpy as np
import pytest
from scipy.optimize import minimize, root

from qieval.numerics.balancing_weights import score_weights
from qieval.numerics.covariate_balancing import covariate_balance, probability_tilt
from qieval.numerics.entropy_balancing import entropy_balance
from qieval.numerics.over_identified import Moments, covariate_balance_over, weightit_first


def sample(seed=1, n=250, k=2):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k))
    treated = rng.random(n) < 1 / (1 + np.exp(-0.7 * x[:, 0] + 0.4 * x[:, 1] + 0.3))
    return x, treated, rng.uniform(0.5, 2, n)


def expit(index):
    return 1 / (1 + np.exp(-index))


def solved(equations, q):
    out = root(equations, np.zeros(q), tol=1e-13)
    assert out.success
    return out.x


def test_just_identified_ate_solves_the_equations():
    x, treated, base = sample()
    z = np.column_stack([np.ones(len(x)), x])

    def equations(b):
        p = expit(z @ b)
        return z.T @ (base * (treated / p - ~treated / (1 - p))) / len(x)

    p = expit(z @ solved(equations, 3))
    found = covariate_balance(x, treated, "ATE", base)
    np.testing.assert_allclose(found.weights, np.where(treated, 1 / p, 1 / (1 - p)), rtol=1e-9)
    assert found.converged
    assert found.imbalance < 1e-10


def test_tilting_ate_solves_the_equations():
    x, treated, base = sample()
    z = np.column_stack([np.ones(len(x)), x])
    found = probability_tilt(x, treated, "ATE", base)
    for rows, sign in ((treated, 1.0), (~treated, -1.0)):

        def equations(b, rows=rows, sign=sign):
            return z.T @ (base * (rows * (1 + np.exp(-sign * (z @ b))) - 1)) / len(x)

        own = 1 / expit(sign * (z @ solved(equations, 3)))
        np.testing.assert_allclose(found.weights[rows], own[rows], rtol=1e-9)
        np.testing.assert_allclose(z[rows].T @ (base * found.weights)[rows], z.T @ base, rtol=1e-9)


@pytest.mark.parametrize("estimand", ["ATT", "ATC"])
def test_att_is_entropy_balancing_up_to_scale(estimand):
    x, treated, _ = sample()
    rows = ~treated if estimand == "ATT" else treated
    even = entropy_balance(x, treated, estimand).weights
    for method in (covariate_balance, probability_tilt):
        found = method(x, treated, estimand).weights
        np.testing.assert_allclose(found[rows].sum(), (~rows).sum())
        np.testing.assert_allclose(found[rows] / found[rows].mean(), even[rows], rtol=1e-12)
        assert (found[~rows] == 1).all()


def test_overlap_weights_balance_by_themselves():
    x, treated, _ = sample()
    found = covariate_balance(x, treated, "ATO")
    np.testing.assert_array_equal(found.weights, score_weights(x, treated, "ATO").weights)
    assert found.imbalance < 1e-10


@pytest.mark.parametrize("estimand", ["ATE", "ATT", "ATC"])
def test_over_identified_minimum(estimand):
    x, treated, _ = sample()
    z = np.column_stack([np.ones(len(x)), x])
    n = len(x)

    def means(b):
        p = expit(z @ b)
        factor = {
            "ATE": treated / p - ~treated / (1 - p),
            "ATT": (treated - p) / (1 - p),
            "ATC": (treated - p) / p,
        }[estimand]
        return np.concatenate([z.T @ (treated - p), z.T @ factor]) / n

    def covariance(b):
        """By enumerating the two values of the treatment."""
        p = expit(z @ b)
        total = 0.0
        for a, chance in ((1, p), (0, 1 - p)):
            factor = {"ATE": a / p - (1 - a) / (1 - p), "ATT": (a - p) / (1 - p), "ATC": (a - p) / p}[
                estimand
            ]
            rows = np.column_stack([(a - p)[:, None] * z, factor[:, None] * z])
            total = total + (rows * chance[:, None]).T @ rows / n
        return total

    likelihood = solved(lambda b: z.T @ (treated - expit(z @ b)) / n, 3)
    weight = np.linalg.inv(covariance(likelihood))
    out = minimize(lambda b: means(b) @ weight @ means(b), likelihood, method="BFGS", options={"gtol": 1e-12})
    found = covariate_balance_over(x, treated, estimand)
    p = expit(z @ out.x)
    expected = {
        "ATE": np.where(treated, 1 / p, 1 / (1 - p)),
        "ATT": np.where(treated, 1, p / (1 - p)),
        "ATC": np.where(treated, (1 - p) / p, 1),
    }[estimand]
    np.testing.assert_allclose(found.weights.weights, expected, rtol=1e-5)
    assert found.j == pytest.approx(n * out.fun, rel=1e-7)
    assert found.weights.converged
    moving = covariate_balance_over(x, treated, estimand, options=Moments(continuous=True))
    trial = minimize(
        lambda b: means(b) @ np.linalg.solve(covariance(b), means(b)),
        likelihood,
        method="BFGS",
        options={"gtol": 1e-10},
    )
    assert moving.weights.converged
    assert moving.j == pytest.approx(n * trial.fun, rel=1e-6)


def test_units_do_not_matter():
    x, treated, _ = sample()
    changed = np.column_stack([x[:, 1] * 1e6 + 1e9, x[:, 0] * 1e-5, x[:, 0] + 2 * x[:, 1]])
    for method in (covariate_balance, probability_tilt, lambda *a: covariate_balance_over(*a).weights):
        np.testing.assert_allclose(method(changed, treated).weights, method(x, treated).weights, rtol=1e-6)


def test_first_step_of_weightit_lowers_its_norm():
    x, treated, _ = sample()
    assert 0.8 <= weightit_first(x, treated) <= 1.1


def test_separation_is_said():
    x = np.arange(30.0)[:, None]
    treated = x[:, 0] > 14
    assert covariate_balance(x, treated).status == "separated"
    assert covariate_balance(x, treated, "ATT").status == "infeasible"
    assert probability_tilt(x, treated).status == "infeasible"
    assert not covariate_balance_over(x, treated).weights.converged
