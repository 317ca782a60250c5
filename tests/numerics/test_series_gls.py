"""Autoregressive errors: every quantity against dense matrices and against a search without calculus."""

import numpy as np
import pytest
from scipy import linalg, optimize, stats

from qieval.numerics.series_autoregression import (
    autocorrelation_derivatives,
    autocorrelations,
    coefficients_from_partial,
    innovation_share,
    partial_from_coefficients,
    whiten,
)
from qieval.numerics.series_gls import LIMITS, Profile, gls_ar
from qieval.numerics.series_prais_winsten import prais_winsten
from qieval.numerics.series_small_samples import kenward_roger
from qieval.numerics.series_weighing import weighing

GAPS = np.array([0, 1, 2, 4, 5, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 30, 31, 32, 33, 35])
PARTIAL = [0.6, -0.3, 0.2, 0.4]


def regressors(at: np.ndarray, start: float = 18) -> np.ndarray:
    after = (at >= start).astype(float)
    return np.column_stack([np.ones(at.size), at, after, after * (at - start)]).astype(float)


def correlation(at: np.ndarray, partial: np.ndarray) -> np.ndarray:
    """From a long moving average, which knows nothing of Yule and Walker."""
    phi = coefficients_from_partial(partial)
    psi = np.zeros(1000)
    psi[0] = 1.0
    for t in range(1, psi.size):
        reach = min(t, phi.size)
        psi[t] = phi[:reach] @ psi[t - reach : t][::-1]
    covariance = np.array([psi[: psi.size - h] @ psi[h:] for h in range(at[-1] - at[0] + 1)])
    return (covariance / covariance[0])[np.abs(np.subtract.outer(at, at))]


def series(at: np.ndarray, partial: np.ndarray, seed: int) -> np.ndarray:
    root = np.linalg.cholesky(correlation(at, partial))
    return regressors(at) @ [3.0, 0.1, -1.0, 0.05] + root @ np.random.default_rng(seed).standard_normal(
        at.size
    )


def dense_log_likelihood(y, x, r, method) -> float:
    """Multivariate normal density with everything written out; the restricted one of error contrasts."""
    n, k = x.shape
    inverse = np.linalg.inv(r)
    inner = x.T @ inverse @ x
    error = y - x @ np.linalg.solve(inner, x.T @ inverse @ y)
    squares, m = error @ inverse @ error, n if method == "ML" else n - k
    out = -m / 2 * np.log(2 * np.pi * squares / m) - np.linalg.slogdet(r)[1] / 2 - m / 2
    return out - (np.linalg.slogdet(inner)[1] / 2 if method == "REML" else 0.0)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("at", [np.arange(30), GAPS], ids=["consecutive", "gaps"])
def test_whitening_and_sums_are_those_of_the_correlation_matrix(order, at):
    partial = np.array(PARTIAL[:order])
    r = correlation(at, partial)
    white = whiten(np.eye(at.size), at, coefficients_from_partial(partial))
    np.testing.assert_allclose(white @ r @ white.T, np.eye(at.size), atol=1e-10)
    z = np.random.default_rng(order).standard_normal((at.size, 3))
    products, logdet = weighing(z, at, order)(partial)
    np.testing.assert_allclose(products, z.T @ np.linalg.solve(r, z), rtol=1e-9)
    assert logdet == pytest.approx(np.linalg.slogdet(r)[1], rel=1e-9)


def test_innovations_have_the_share_of_variance():
    phi = coefficients_from_partial(np.array(PARTIAL))
    rho = autocorrelations(phi, 4)
    assert innovation_share(np.array(PARTIAL)) == pytest.approx(1 - phi @ rho[1:])


def test_derivatives_of_autocorrelations():
    phi, step = coefficients_from_partial(np.array(PARTIAL[:3])), 1e-5
    first, second = autocorrelation_derivatives(phi, 10)
    for i, move in enumerate(np.eye(3) * step):
        slope = (autocorrelations(phi + move, 10) - autocorrelations(phi - move, 10)) / (2 * step)
        np.testing.assert_allclose(first[i], slope, atol=1e-8)
        up, down = (
            autocorrelation_derivatives(phi + move, 10)[0],
            autocorrelation_derivatives(phi - move, 10)[0],
        )
        np.testing.assert_allclose(second[i], (up - down) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("at", [np.arange(36), GAPS], ids=["consecutive", "gaps"])
def test_maximum_against_a_search_of_the_dense_likelihood(at, order, method):
    y, x = series(at, np.array(PARTIAL[:order]), seed=order), regressors(at)
    fit = gls_ar(y, x, at, order, method)
    assert fit.converged

    def negative(partial: np.ndarray) -> float:
        if np.any(np.abs(partial) >= [0.999, 0.98, 0.9][:order]):
            return np.inf
        rho = autocorrelations(coefficients_from_partial(partial), at[-1])
        return -dense_log_likelihood(y, x, rho[np.abs(np.subtract.outer(at, at))], method)

    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}
    found = optimize.minimize(negative, np.zeros(order), method="Nelder-Mead", options=options)
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-8)
    np.testing.assert_allclose(fit.phi, coefficients_from_partial(found.x), atol=1e-5)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_estimates_given_the_autocorrelation(method):
    y, x = series(GAPS, np.array([0.5]), seed=4), regressors(GAPS)
    fit = gls_ar(y, x, GAPS, 1, method)
    r = linalg.toeplitz(fit.phi[0] ** np.arange(GAPS[-1] + 1.0))[np.ix_(GAPS, GAPS)]
    inverse = np.linalg.inv(r)
    inner = np.linalg.inv(x.T @ inverse @ x)
    squares = fit.residuals @ inverse @ fit.residuals
    np.testing.assert_allclose(fit.coefficients, inner @ x.T @ inverse @ y, rtol=1e-9)
    np.testing.assert_allclose(fit.covariance, inner * squares / (GAPS.size - 4), rtol=1e-9)
    assert fit.sigma**2 == pytest.approx(squares / (GAPS.size - (4 if method == "REML" else 0)))
    assert fit.innovations @ fit.innovations == pytest.approx(squares / fit.sigma**2)
    np.testing.assert_allclose(fit.std_error**2, np.diag(fit.covariance))
    penalty = 2 * 6 * 24 / (24 - 7) if method == "ML" else 2 * 2 * 20 / (20 - 3)
    assert fit.aicc == pytest.approx(penalty - 2 * fit.log_likelihood)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("at", [np.arange(36), GAPS], ids=["consecutive", "gaps"])
@pytest.mark.parametrize("method", ["ML", "REML"])
def test_slopes_of_the_profile(order, at, method):
    profile = Profile.of(series(at, np.array([0.5]), seed=1), regressors(at), at, order, method)
    for partial in (np.zeros(order), np.array(PARTIAL[:order]), -0.8 * np.ones(order)):
        slopes = [(profile(partial + h) - profile(partial - h)) / 2e-6 for h in 1e-6 * np.eye(order)]
        value, found = profile.with_slopes(partial)
        np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-5)
        assert value == pytest.approx(profile(partial), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_units_and_the_origin_of_time_do_not_matter(order):
    at = np.arange(40)
    y, x = series(at, np.array(PARTIAL[:order]), seed=6), regressors(at)
    stretch = np.array([1e-6, 1e8, 1.0, 1e3])
    one, other = gls_ar(y, x, at, order), gls_ar(y * 1e9, x * stretch, at + 1_000_000, order)
    np.testing.assert_allclose(other.phi, one.phi, rtol=1e-6)
    np.testing.assert_allclose(other.coefficients * stretch / 1e9, one.coefficients, rtol=1e-6)
    np.testing.assert_allclose(other.std_error * stretch / 1e9, one.std_error, rtol=1e-6)
    shifted = x.copy()
    shifted[:, 1] += 1e6
    np.testing.assert_allclose(
        gls_ar(y, shifted, at, order).coefficients[2:], one.coefficients[2:], rtol=1e-5
    )


def test_a_random_walk_ends_at_the_bound():
    y = np.random.default_rng(3).standard_normal(48).cumsum()
    fit = gls_ar(y, regressors(np.arange(48), 24), np.arange(48))
    assert fit.at_bound and fit.converged and np.isfinite(fit.std_error).all()
    steady = np.tile([1.0, -1.0], 24) + 1e-3 * np.random.default_rng(3).standard_normal(48)
    swinging = gls_ar(steady, regressors(np.arange(48), 24), np.arange(48))
    assert swinging.phi[0] < -0.99
    cycle = gls_ar(np.sin(np.arange(48.0)), regressors(np.arange(48), 24), np.arange(48), 4)
    assert np.isfinite(cycle.log_likelihood) and cycle.at_bound
    assert np.abs(cycle.phi).max() < 10 and LIMITS.size == 4


def test_what_cannot_be_fitted_is_refused():
    at, x = np.arange(12), regressors(np.arange(12), 6)
    y = np.random.default_rng(0).standard_normal(12)
    for wrong, said in [
        ((np.ones(12), x, at), "exactly"),
        ((x @ [1.0, 2.0, 3.0, 4.0], x, at), "exactly"),
        ((y, np.column_stack([x, x[:, 1]]), at), "collinear"),
        ((y, np.column_stack([x, np.zeros(12)]), at), "collinear"),
        ((y[:6], x[:6, :3], at[:6]), "collinear"),
        ((y[:5], regressors(np.arange(5), 2), at[:5]), "too few"),
        ((y, x, at[::-1]), "rise"),
        ((np.full(12, np.nan), x, at), "finite"),
    ]:
        with pytest.raises(ValueError, match=said):
            gls_ar(*wrong)
    with pytest.raises(ValueError, match="order"):
        gls_ar(y, x, at, 5)
    with pytest.raises(ValueError, match="REML"):
        kenward_roger(gls_ar(y, x, at, 1, "ML"), x, at)


def test_prais_winsten_is_a_fixed_point():
    """At the answer, least squares of transformed data gives the coefficients whose residuals give rho."""
    at = np.arange(36)
    y, x = series(at, np.array([0.5]), seed=8), regressors(at)
    fit = prais_winsten(y, x)
    rho = fit.phi[0]

    def moved(z: np.ndarray) -> np.ndarray:
        return np.concatenate([np.sqrt(1 - rho**2) * z[:1], z[1:] - rho * z[:-1]])

    found = np.linalg.lstsq(moved(x), moved(y), rcond=None)[0]
    np.testing.assert_allclose(fit.coefficients, found, rtol=1e-9)
    error = y - x @ found
    assert rho == pytest.approx(error[1:] @ error[:-1] / (error[:-1] @ error[:-1]), rel=1e-9)
    left = moved(y) - moved(x) @ found
    covariance = np.linalg.inv(moved(x).T @ moved(x)) * (left @ left) / 32
    np.testing.assert_allclose(fit.std_error, np.sqrt(np.diag(covariance)), rtol=1e-9)
    assert fit.converged and not prais_winsten(y, x, max_iter=1).converged
    with pytest.raises(ValueError, match="neighbour"):
        prais_winsten(y, x, 2 * at)
    with pytest.raises(ValueError, match="collinear"):
        prais_winsten(y, np.column_stack([x, x[:, 0]]))


def kenward_roger_written_out(x, r_of, theta, step=1e-4):
    """The formulas of Kenward and Roger (1997) with derivatives by differences and no shortcut."""
    q = theta.size
    unit = np.eye(q) * step * np.maximum(np.abs(theta), 0.1)
    size = unit.sum(axis=0)
    s, n = r_of(theta), x.shape[0]
    first = [(r_of(theta + u) - r_of(theta - u)) / (2 * h) for u, h in zip(unit, size, strict=True)]
    second = [
        [
            (r_of(theta + u + v) - r_of(theta + u - v) - r_of(theta - u + v) + r_of(theta - u - v))
            / (4 * h * g)
            for v, g in zip(unit, size, strict=True)
        ]
        for u, h in zip(unit, size, strict=True)
    ]
    inverse = np.linalg.inv(s)
    phi = np.linalg.inv(x.T @ inverse @ x)
    projection = inverse - inverse @ x @ phi @ x.T @ inverse
    information = np.array([[np.trace(projection @ a @ projection @ b) / 2 for b in first] for a in first])
    w = np.linalg.inv(information)
    p = [-x.T @ inverse @ a @ inverse @ x for a in first]
    total = np.zeros_like(phi)
    for i in range(q):
        for j in range(q):
            middle = x.T @ inverse @ first[i] @ inverse @ first[j] @ inverse @ x
            bend = x.T @ inverse @ second[i][j] @ inverse @ x
            total += w[i, j] * (middle - p[i] @ phi @ p[j] - bend / 4)
    gradient = np.array([-np.diag(phi @ a @ phi) for a in p])
    df = 2 * np.diag(phi) ** 2 / np.einsum("qk,qr,rk->k", gradient, w, gradient)
    assert n > q
    return phi + 2 * phi @ total @ phi, df


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("at", [np.arange(30), GAPS], ids=["consecutive", "gaps"])
def test_kenward_roger_against_the_formulas_written_out(at, order):
    y, x = series(at, np.array([0.4, -0.3][:order]), seed=11), regressors(at)
    fit = gls_ar(y, x, at, order)
    found = kenward_roger(fit, x, at)
    distance = np.abs(np.subtract.outer(at, at))

    def covariance(theta: np.ndarray) -> np.ndarray:
        phi = coefficients_from_partial(np.tanh(theta[1:]))
        return np.exp(theta[0]) * autocorrelations(phi, int(distance.max()))[distance]

    theta = np.append(np.log(fit.sigma**2), np.arctanh(partial_from_coefficients(fit.phi)))
    expected, df = kenward_roger_written_out(x, covariance, theta)
    assert np.all(linalg.eigvalsh(expected, fit.covariance) < 3)
    factors, vectors = linalg.eigh(expected, fit.covariance)
    back = np.linalg.inv(vectors)
    np.testing.assert_allclose(found.covariance, back.T * np.maximum(factors, 1) @ back, rtol=1e-4)
    np.testing.assert_allclose(found.model_covariance, fit.covariance, rtol=1e-8)
    np.testing.assert_allclose(found.df, np.maximum(df, 2), rtol=1e-4)
    np.testing.assert_allclose(found.df_of(2.5 * np.eye(4)), found.df)


def test_kenward_roger_stays_in_bounds_at_a_random_walk():
    y, x, at = (
        np.random.default_rng(3).standard_normal(24).cumsum(),
        regressors(np.arange(24), 12),
        np.arange(24),
    )
    fit = gls_ar(y, x, at)
    found = kenward_roger(fit, x, at)
    factors = linalg.eigvalsh(found.covariance, fit.covariance)
    assert fit.phi[0] > 0.9 and np.all((factors > 1 - 1e-6) & (factors < 3 + 1e-6))
    assert np.all((found.df >= 2) & (found.df <= 20))


def test_kenward_roger_without_autocorrelation_in_sight_is_near_least_squares():
    """With many points and none of it, the covariance hardly moves and t is nearly normal."""
    at = np.arange(600)
    y = np.random.default_rng(1).standard_normal(600)
    x = np.column_stack([np.ones(600), (at >= 300).astype(float)])
    found = kenward_roger(gls_ar(y, x, at), x, at)
    np.testing.assert_allclose(found.covariance, found.model_covariance, rtol=0.03)
    assert np.all(found.df > 100) and np.all(found.df <= 598)


@pytest.mark.slow
def test_kenward_roger_holds_its_level_where_the_normal_does_not():
    rng, at = np.random.default_rng(5), np.arange(30)
    x = regressors(at, 15)
    root = np.linalg.cholesky(correlation(at, np.array([0.5])))
    rejected = np.zeros((2, 2))
    repeats = 400
    for _ in range(repeats):
        y = root @ rng.standard_normal(30)
        fit = gls_ar(y, x, at)
        better = kenward_roger(fit, x, at)
        normal = 2 * stats.norm.sf(np.abs(fit.coefficients / fit.std_error))
        t = fit.coefficients / np.sqrt(np.diag(better.covariance))
        rejected += [(normal < 0.05)[2:], (2 * stats.t.sf(np.abs(t), better.df) < 0.05)[2:]]
    share = rejected / repeats
    assert np.all(share[1] < 0.08) and np.all(share[0] > share[1] + 0.03)
