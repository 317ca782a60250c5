"""Prais-Winsten regression: first-order autoregressive errors by iterated least squares."""

from __future__ import annotations

import numpy as np

from qieval.numerics.series_autoregression import Ints, whiten
from qieval.numerics.series_gls import FARTHEST, ArFit
from qieval.numerics.two_way import Floats


def prais_winsten(
    y: Floats, x: Floats, at: Ints | None = None, *, tol: float = 1e-12, max_iter: int = 200
) -> ArFit:
    """Regression of y (n,) on x (n, k) by Prais and Winsten (1954), with the first point kept.

    The autocorrelation is the slope of residuals on the residuals one period before, through the origin, from
    neighbours in time only; it is iterated until it moves by less than tol. Agrees with the R package prais
    (with its tol at 1e-12; `iterations` counts estimates of the autocorrelation after the first, zero).
    Where at (n,) has gaps, a pair d periods apart is transformed with the d-th power. statsmodels' GLSAR
    drops the first point (Cochrane-Orcutt) and differs. converged is False if the iteration does not settle,
    or settles at an autocorrelation of one. ValueError if no two points are neighbours or x lacks rank.
    """
    n, k = x.shape
    at = np.arange(n) if at is None else at
    if n <= k + 1 or np.linalg.matrix_rank(x / np.linalg.norm(x, axis=0)) < k:
        raise ValueError("too few points, or collinear regressors")
    later = np.flatnonzero(np.diff(at) == 1) + 1
    if later.size < 2:
        raise ValueError("too few points have a neighbour in time")
    rho, change, iterations = 0.0, np.inf, 0
    inner, coefficients, squares = _solve(y, x, at, rho)
    while change >= tol and iterations < max_iter:
        error = y - x @ coefficients
        before = error[later - 1]
        if before @ before == 0:
            raise ValueError("the regressors fit the series exactly: there are no errors to model")
        found = float(np.clip(error[later] @ before / (before @ before), -FARTHEST, FARTHEST))
        change, rho, iterations = abs(found - rho), found, iterations + 1
        inner, coefficients, squares = _solve(y, x, at, rho)
    fitted = x @ coefficients
    sigma = float(np.sqrt(squares / (n - k)))
    phi = np.array([rho])
    return ArFit(
        coefficients=coefficients,
        covariance=inner * squares / (n - k),
        df=np.full(k, float(n - k)),
        phi=phi,
        sigma=sigma,
        log_likelihood=np.nan,
        fitted=fitted,
        residuals=y - fitted,
        innovations=whiten(y - fitted, at, phi) / sigma,
        method="Prais-Winsten",
        converged=change < tol and abs(rho) < FARTHEST,
        iterations=iterations,
        at_bound=abs(rho) >= FARTHEST,
    )


def _solve(y: Floats, x: Floats, at: Ints, rho: float) -> tuple[Floats, Floats, float]:
    """Inverse of the whitened x'x (k, k), coefficients (k,), and sum of squares of whitened residuals."""
    white = whiten(np.column_stack([x, y]), at, np.array([rho]))
    basis, upper = np.linalg.qr(white[:, :-1])
    back = np.linalg.inv(upper)
    coefficients = back @ (basis.T @ white[:, -1])
    left = white[:, -1] - white[:, :-1] @ coefficients
    return back @ back.T, coefficients, float(left @ left)
