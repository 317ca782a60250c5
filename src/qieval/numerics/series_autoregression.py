"""Autoregressive errors of order p: their correlations, with derivatives, and whitening.

Correlations hold at the true distance in time: a period without a value is integrated out, not skipped.
Coefficients phi belong to e_t = phi_1 e_(t-1) + ... + phi_p e_(t-p) + u_t.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.two_way import Floats

Ints = NDArray[np.int64]


def coefficients_from_partial(partial: Floats) -> Floats:
    """Autoregressive coefficients (p,) that have these partial autocorrelations (p,), each inside (-1, 1).

    Durbin-Levinson recursion; every stationary process is reached (Barndorff-Nielsen and Schou 1973).

    >>> coefficients_from_partial(np.array([0.5, 0.2]))
    array([0.4, 0.2])
    """
    phi: list[float] = []
    for value in partial.tolist():
        phi = [one - value * other for one, other in zip(phi, reversed(phi), strict=True)]
        phi.append(value)
    return np.array(phi)


def partial_from_coefficients(phi: Floats) -> Floats:
    """Partial autocorrelations (p,) of the autoregression with coefficients phi (p,).

    >>> partial_from_coefficients(np.array([0.4, 0.2]))
    array([0.5, 0.2])
    """
    out = np.empty(phi.size)
    for place in range(phi.size - 1, -1, -1):
        out[place] = phi[-1]
        phi = (phi[:-1] + phi[-1] * phi[:-1][::-1]) / (1 - phi[-1] ** 2)
    return out


def coefficient_slopes(partial: Floats) -> Floats:
    """First derivatives (p, p) of `coefficients_from_partial`, the coefficient last.

    Exact differences, because coefficients are linear in each partial autocorrelation.
    """
    out = np.empty((partial.size, partial.size))
    for i in range(partial.size):
        one, none = partial.copy(), partial.copy()
        one[i], none[i] = 1.0, 0.0
        out[i] = coefficients_from_partial(one) - coefficients_from_partial(none)
    return out


def coefficient_bends(partial: Floats) -> Floats:
    """Second derivatives (p, p, p) of `coefficients_from_partial`, the coefficient last; exact likewise."""
    out = np.empty((partial.size, partial.size, partial.size))
    for i in range(partial.size):
        one, none = partial.copy(), partial.copy()
        one[i], none[i] = 1.0, 0.0
        out[i] = coefficient_slopes(one) - coefficient_slopes(none)
        out[i, i] = 0.0
    return out


def innovation_share(partial: Floats) -> float:
    """Variance of the innovations as a share of the variance of the series."""
    return float(np.prod(1 - partial**2))


def autocorrelations(phi: Floats, last: int) -> Floats:
    """Autocorrelations at lags 0 to last (last + 1,) of the stationary process with coefficients phi (p,).

    >>> autocorrelations(np.array([0.5]), 3)
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    found = _yule_walker(phi, _padded(phi, last + 1))
    found[0] = 1.0
    return found


def autocorrelation_derivatives(phi: Floats, last: int) -> tuple[Floats, Floats]:
    """First (p, last + 1) and second (p, p, last + 1) derivatives of the autocorrelations in phi.

    From the Yule-Walker equations differentiated, which keep their matrix.
    """
    p = phi.size
    rho = autocorrelations(phi, last)
    lags = np.arange(last + 1)
    first = np.array([_yule_walker(phi, _shifted(rho, lags, i)) for i in range(1, p + 1)])
    second = np.empty((p, p, last + 1))
    for i in range(p):
        for j in range(i + 1):
            right = _shifted(first[i], lags, j + 1) + _shifted(first[j], lags, i + 1)
            second[i, j] = second[j, i] = _yule_walker(phi, right)
    return first, second


def _padded(phi: Floats, length: int) -> Floats:
    """0, phi_1, ..., phi_p, 0, ...: what the equations of the autocorrelations have on their right."""
    out = np.zeros(max(length, phi.size + 1))
    out[1 : phi.size + 1] = phi
    return out


def _shifted(values: Floats, lags: Ints, by: int) -> Floats:
    """values at |lag - by|, of a function symmetric in the lag."""
    out: Floats = values[np.minimum(np.abs(lags - by), lags[-1])]
    return out


def _yule_walker(phi: Floats, right: Floats) -> Floats:
    """s (m + 1,) with s_0 = 0 and s_h - sum_j phi_j s_|h-j| = right_h for h from 1 to m."""
    p, last = phi.size, right.size - 1
    lag = np.arange(1, p + 1)
    matrix = np.eye(p)
    for j in range(1, p + 1):
        for h in range(1, p + 1):
            if h != j:
                matrix[h - 1, abs(h - j) - 1] -= phi[j - 1]
    head = np.zeros(p)
    head[: min(p, last)] = right[1 : p + 1]
    out = np.zeros(max(last, p) + 1)
    out[1 : p + 1] = np.linalg.solve(matrix, head)
    for h in range(p + 1, last + 1):
        out[h] = right[h] + phi @ out[h - lag]
    return out[: last + 1]


def whiten(z: Floats, at: Ints, phi: Floats) -> Floats:
    """L^(-1) z for z (n,) or (n, m), where L L' is the correlation matrix of the errors at times at (n,).

    The result is uncorrelated with the variance that the errors had.
    """
    flat = z.ndim == 1
    columns = z[:, None] if flat else z
    if phi.size == 1:
        out = _whiten_first_order(columns, at, float(phi[0]))
    elif consecutive(at):
        out = _filtered(columns, phi)
    else:
        rho = autocorrelations(phi, int(at[-1] - at[0]))
        root = np.linalg.cholesky(rho[np.abs(np.subtract.outer(at, at))])
        out = scipy.linalg.solve_triangular(root, columns, lower=True)
    return out[:, 0] if flat else out


def consecutive(at: Ints) -> bool:
    """No period is left out."""
    return bool(at[-1] - at[0] == at.size - 1)


def _whiten_first_order(z: Floats, at: Ints, rho: float) -> Floats:
    carried = rho ** np.diff(at).astype(np.float64)
    out = z.copy()
    out[1:] -= carried[:, None] * z[:-1]
    out[1:] /= np.sqrt(1 - carried**2)[:, None]
    return out


def _filtered(z: Floats, phi: Floats) -> Floats:
    """The first p by the root of their correlations, the others by the autoregression itself."""
    p = min(phi.size, len(z))
    rho = autocorrelations(phi, max(phi.size, 1))
    share = 1 - phi @ rho[1 : phi.size + 1]
    start = np.linalg.cholesky(scipy.linalg.toeplitz(rho[:p]))
    out = z.copy()
    out[:p] = scipy.linalg.solve_triangular(start, z[:p], lower=True)
    for j, value in enumerate(phi, start=1):
        out[p:] -= value * z[p - j : len(z) - j]
    out[p:] /= np.sqrt(share)
    return out
