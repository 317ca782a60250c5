"""Influence functions against a slow sandwich: equations stacked by hand, differentiated numerically."""

import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.balancing_weights import probability_weights, score_weights, stabilised, truncated
from qieval.numerics.covariate_balancing import covariate_balance, probability_tilt
from qieval.numerics.entropy_balancing import Entropy, entropy_balance
from qieval.numerics.means import covariance
from qieval.numerics.over_identified import covariate_balance_over
from qieval.numerics.resampling import Resampling
from qieval.numerics.stacked_estimation import augmented, bootstrap, influence_of_means


def expit(index):
    return 1 / (1 + np.exp(-index))


rng = np.random.default_rng(8)
N = 300
X = rng.standard_normal((N, 2)) * [1.0, 3.0] + [0.5, 2.0]
Z = np.column_stack([np.ones(N), X])
chance = expit(0.6 * X[:, 0] - 0.2 * X[:, 1])
A = rng.random(N) < chance
Y = X @ [1.0, -0.5] + A * (1 + X[:, 0]) + rng.standard_normal(N)
BINARY = np.greater(Y, Y.mean()).astype(float)
BASE = rng.uniform(0.5, 2.0, N)
PRIOR = rng.uniform(0.5, 2.0, N)
CLUSTER = np.arange(N) // 3


def by_score(p, estimand):
    """Weights for treated and for controls of a score."""
    return {
        "ATE": (1 / p, 1 / (1 - p)),
        "ATT": (np.ones(N), p / (1 - p)),
        "ATC": ((1 - p) / p, np.ones(N)),
        "ATO": (1 - p, p),
        "ATM": (np.minimum(p, 1 - p) / p, np.minimum(p, 1 - p) / (1 - p)),
    }[estimand]


def score_equations(estimand, kind="likelihood"):
    def equations(b):
        p = expit(Z @ b)
        one, zero = by_score(p, estimand)
        residual = A - p if kind == "likelihood" else A * one - ~A * zero
        return np.where(A, one, zero), (BASE * residual)[:, None] * Z

    return equations


def tilt_equations(estimand):
    """Entropy balancing: constants of the arms' indices included."""
    arms = {"ATT": (~A,), "ATC": (A,), "ATE": (A, ~A)}[estimand]

    def equations(b):
        weights, psi = np.ones(N), []
        for arm, own in zip(arms, np.split(b, len(arms)), strict=True):
            target = np.ones(N, bool) if estimand == "ATE" else ~arm
            tilted = PRIOR * np.exp(Z @ own)
            weights = np.where(arm, tilted, weights)
            share = BASE * target / (BASE @ target) - BASE * arm * tilted / (BASE @ arm)
            psi.append(share[:, None] * Z)
        return weights, np.hstack(psi)

    return equations


def ipt_equations(b):
    one, zero = 1 + np.exp(-(Z @ b[:3])), 1 + np.exp(Z @ b[3:])
    psi = [(BASE * (A * one - 1))[:, None] * Z, (BASE * (~A * zero - 1))[:, None] * Z]
    return np.where(A, one, zero), np.hstack(psi)


CASES = {
    **{
        f"score {e}": (lambda e=e: score_weights(X, A, e, BASE), score_equations(e))
        for e in ("ATE", "ATT", "ATC", "ATO", "ATM")
    },
    **{
        f"entropy {e}": (
            lambda e=e: entropy_balance(X, A, e, Entropy(base=BASE, prior=PRIOR)),
            tilt_equations(e),
        )
        for e in ("ATE", "ATT", "ATC")
    },
    **{
        f"cbps {e}": (lambda e=e: covariate_balance(X, A, e, BASE), score_equations(e, "balance"))
        for e in ("ATE", "ATT")
    },
    "ipt": (lambda: probability_tilt(X, A, "ATE", BASE), ipt_equations),
}


def refined(function, start):
    """The root near start, by Newton's method with numerical derivatives."""
    point = start
    for _ in range(30):
        step = np.linalg.solve(numerical(function, point), function(point))
        point = point - step
        if np.abs(step).max() < 1e-11:
            break
    assert np.abs(function(point)).max() < 1e-7
    return point


def numerical(function, point):
    columns = []
    for j in range(point.size):
        h = np.zeros(point.size)
        h[j] = 1e-5 * max(1.0, abs(point[j]))
        columns.append((function(point + h) - function(point - h)) / (2 * h[j]))
    return np.column_stack(columns)


def sandwich(psi, start):
    """Solution and covariance of stacked equations psi(theta) (n, q)."""
    theta = refined(lambda at: psi(at).sum(axis=0), start)
    bread = np.linalg.inv(numerical(lambda at: psi(at).sum(axis=0), theta))
    rows = -psi(theta) @ bread.T
    return theta, rows


def parameters(found):
    """Raw coefficients of all indices, constant first."""
    out = []
    for block in found.blocks:
        slopes = block.coefficients[1:] / block.design.scale
        out.append(np.append(block.coefficients[0] - slopes @ block.design.centre, slopes))
    return np.concatenate(out)


def stacked(equations, q):
    def psi(theta):
        weights, own = equations(theta[:q])
        arms = [
            (BASE * weights * rows * (Y - mean))[:, None]
            for rows, mean in ((A, theta[q]), (~A, theta[q + 1]))
        ]
        return np.hstack([own, *arms])

    return psi


@pytest.mark.parametrize("name", CASES)
def test_means_against_the_stacked_sandwich(name):
    make, equations = CASES[name]
    found = make()
    assert found.converged
    b = parameters(found) * (-1 if name == "entropy" else 1)
    if name == "ipt":
        b[:3] *= -1  # the arm's odds rise with its index: minus the score's
    if name in ("cbps ATE",):
        assert found.imbalance < 1e-9
    means = influence_of_means(Y, found)
    theta, rows = sandwich(stacked(equations, b.size), np.concatenate([b, [means.mean1, means.mean0]]))
    np.testing.assert_allclose(theta[-2:], [means.mean1, means.mean0], rtol=1e-8)
    np.testing.assert_allclose(means.influence, rows[:, -2:], atol=1e-6 * np.abs(rows[:, -2:]).max())
    total = np.add.reduceat(rows[:, -2:], np.arange(0, N, 3))
    np.testing.assert_allclose(covariance(means, CLUSTER), total.T @ total, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["score ATE", "score ATT", "score ATO", "entropy ATE", "entropy ATT", "cbps ATE"]
)
@pytest.mark.parametrize("family", ["linear", "logistic"])
def test_augmented_against_the_stacked_sandwich(name, family):
    make, equations = CASES[name]
    found = make()
    y, link = (Y, lambda index: index) if family == "linear" else (BINARY, expit)
    b = parameters(found)
    q = b.size

    def psi(theta):
        weights, own = equations(theta[:q])
        target = BASE * {"T": A, "E": np.ones(N)}.get(name[-1], weights)
        parts = [own]
        for arm, rows in enumerate((A, ~A)):
            predicted = link(Z @ theta[q + 3 * arm : q + 3 * arm + 3])
            parts.append((BASE * weights * rows * (y - predicted))[:, None] * Z)
            parts.append((target * (predicted - theta[q + 6 + arm]))[:, None])
        return np.hstack([parts[0], parts[1], parts[3], parts[2], parts[4]])

    means = augmented(y, X, found, family)
    theta, rows = sandwich(psi, np.concatenate([b, np.zeros(6), [means.mean1, means.mean0]]))
    np.testing.assert_allclose(theta[-2:], [means.mean1, means.mean0], rtol=1e-8)
    np.testing.assert_allclose(means.influence, rows[:, -2:], atol=1e-6 * np.abs(rows[:, -2:]).max())


@pytest.mark.parametrize("name", CASES)
def test_dense_pieces_agree_with_their_products(name):
    found = CASES[name][0]()
    gradient = np.random.default_rng(0).standard_normal((N, 2))
    influence = -found.psi() @ np.linalg.solve(found.jacobian().T, found.dweights().T @ gradient)
    np.testing.assert_allclose(found.correction(gradient), influence, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.psi().sum(axis=0), 0, atol=1e-7)


def test_over_identified_is_gmm_with_a_known_weight_matrix():
    found = covariate_balance_over(X, A, "ATE").weights
    np.testing.assert_allclose(found.psi().sum(axis=0), 0, atol=1e-6)
    block = found.blocks[0]
    z = block.design.dense()
    combine = np.hstack(list(block.mixing))

    def total(b):
        p = expit(z @ b)
        return combine @ np.concatenate([z.T @ (A - p), z.T @ (A / p - ~A / (1 - p))])

    np.testing.assert_allclose(block.jacobian, numerical(total, block.coefficients), rtol=1e-6, atol=1e-4)


def test_fixed_weights_are_hc0_of_a_weighted_regression():
    found = score_weights(X, A)
    means = influence_of_means(Y, found, fixed=True)
    design = np.column_stack([np.ones(N), A])
    bread = np.linalg.inv(design.T @ (found.weights[:, None] * design))
    beta = bread @ design.T @ (found.weights * Y)
    rows = design * (found.weights * (Y - design @ beta))[:, None]
    assert means.mean1 - means.mean0 == pytest.approx(beta[1], rel=1e-12)
    variance = (bread @ rows.T @ rows @ bread)[1, 1]
    assert [1, -1] @ covariance(means) @ [1, -1] == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("name", ["score", "entropy", "cbps", "ipt", "over"])
def test_rows_without_base_weight_are_as_if_absent(name):
    method = {
        "score": score_weights,
        "entropy": lambda x, a, e, base: entropy_balance(x, a, e, Entropy(base=base)),
        "cbps": covariate_balance,
        "ipt": probability_tilt,
        "over": lambda *given: covariate_balance_over(*given).weights,
    }[name]
    kept = X[:, 0] < 1.2
    all_rows = method(X, A, "ATE", kept.astype(float))
    some = method(X[kept], A[kept], "ATE", np.ones(kept.sum()))
    np.testing.assert_allclose(all_rows.weights[kept], some.weights, rtol=1e-7)
    for estimate in (influence_of_means, lambda y, w: augmented(y, X if y.size == N else X[kept], w)):
        means, fewer = estimate(Y, all_rows), estimate(Y[kept], some)
        np.testing.assert_allclose(means.influence[kept], fewer.influence, rtol=1e-5, atol=1e-9)
        assert (means.influence[~kept] == 0).all()


def test_constants_of_the_weights_do_not_matter():
    plain = influence_of_means(Y, score_weights(X, A))
    np.testing.assert_allclose(
        influence_of_means(Y, stabilised(score_weights(X, A))).influence, plain.influence, atol=1e-12
    )


def test_cut_weights_move_only_where_they_were_not_cut():
    cut = truncated(score_weights(X, A), 0.9)
    limit = cut.weights.max()
    own = score_equations("ATE")

    def equations(b):
        weights, psi = own(b)
        return np.minimum(weights, limit), psi / BASE[:, None]

    means = influence_of_means(Y, cut)
    start = np.concatenate([parameters(cut), [means.mean1, means.mean0]])

    def psi(theta):
        weights, score = equations(theta[:3])
        arms = [(weights * rows * (Y - mean))[:, None] for rows, mean in ((A, theta[3]), (~A, theta[4]))]
        return np.hstack([score, *arms])

    keep = np.flatnonzero(np.abs(own(parameters(cut))[0] - limit) > 1e-3)  # not at the kink itself
    theta = refined(lambda at: psi(at).sum(axis=0), start)
    rows = -psi(theta) @ np.linalg.inv(numerical(lambda at: psi(at)[keep].sum(axis=0), theta)).T
    np.testing.assert_allclose(means.influence, rows[:, -2:], atol=0.02 * np.abs(rows[:, -2:]).max())


def test_augmented_is_exact_for_a_linear_truth_without_noise():
    y = X @ [2.0, 1.0] + A * (1 + X[:, 1])
    crude = probability_weights(np.full(N, 0.4), A)
    means = augmented(y, X, crude)
    assert means.mean1 - means.mean0 == pytest.approx((1 + X[:, 1]).mean(), rel=1e-12)


def test_failures_are_loud():
    x = np.arange(40.0)[:, None]
    apart = covariate_balance(x, x[:, 0] > 19)
    with pytest.raises(EstimationError, match="separated"):
        influence_of_means(x[:, 0], apart)
    even = probability_weights(np.full(N, 0.5), A)
    with pytest.raises(EstimationError, match="no finite solution"):
        augmented((X[:, 0] > 0.5).astype(float), X, even, "logistic")
    with pytest.raises(ValueError, match="unknown family"):
        augmented(Y, X, even, "poisson")
    with pytest.raises(ValueError, match="between 0 and 1"):
        augmented(Y, X, even, "logistic")
    with pytest.raises(ValueError, match="finite"):
        influence_of_means(np.where(Y > 1, np.nan, Y), even)


def procedure(rows):
    means = influence_of_means(Y[rows], score_weights(X[rows], A[rows]))
    return np.array([means.mean1, means.mean0])


def test_bootstrap_is_the_same_on_any_number_of_workers_and_near_the_sandwich():
    one = bootstrap(procedure, (np.arange(N), None), Resampling(draws=150, seed=5))
    two = bootstrap(procedure, (np.arange(N), None), Resampling(draws=150, seed=5), workers=2)
    np.testing.assert_array_equal(one.draws, two.draws)
    analytic = covariance(influence_of_means(Y, score_weights(X, A)))
    np.testing.assert_allclose(np.sqrt(np.diag(one.covariance()) / np.diag(analytic)), 1, atol=0.2)
    assert one.failed == 0


def test_bootstrap_draws_clusters_within_strata():
    strata = (CLUSTER % 2).astype(int)

    def count(rows):
        sizes = np.bincount(CLUSTER[rows], minlength=CLUSTER.max() + 1)
        assert (sizes % 3 == 0).all()
        return np.array([np.count_nonzero(strata[rows] == 1), sizes.max()])

    found = bootstrap(count, (CLUSTER, strata), Resampling(draws=20))
    assert (found.draws[:, 0] == np.count_nonzero(strata == 1)).all()
    assert (found.draws[:, 1] > 3).any()
    with pytest.raises(ValueError, match="several strata"):
        bootstrap(count, (CLUSTER, np.arange(N)), Resampling(draws=2))


def test_bootstrap_counts_refusals():
    def picky(rows):
        if rows[0] % 2:
            raise EstimationError("no")
        return np.array([1.0])

    found = bootstrap(picky, (np.arange(N), None), Resampling(draws=50))
    assert 0 < found.failed < 50
    assert found.covariance().tolist() == [[0.0]]
