"""Compiled pieces of the exact likelihood of a differenced series: ARMA covariances and banded products."""

from __future__ import annotations

import numpy as np
from numba import njit

from qieval.numerics.two_way import Floats


@njit(cache=True)
def autocovariances(phi: Floats, theta: Floats, most: int) -> tuple[Floats, Floats]:
    """Autocovariances (most + 1,) for innovations of variance one, and cov(w_t, theta(B) e_(t+l)) (q + 1,).

    phi and theta are lag polynomials with 1 first.
    """
    p, q = phi.size - 1, theta.size - 1
    weights = np.zeros(q + 1)
    for j in range(q + 1):
        weights[j] = theta[j]
        for i in range(1, min(j, p) + 1):
            weights[j] -= phi[i] * weights[j - i]
    cross = np.zeros(q + 1)
    for lag in range(q + 1):
        for j in range(lag, q + 1):
            cross[lag] += theta[j] * weights[j - lag]
    system = np.zeros((p + 1, p + 1))
    right = np.zeros(p + 1)
    for row in range(p + 1):
        if row <= q:
            right[row] = cross[row]
        for lag in range(p + 1):
            system[row, abs(row - lag)] += phi[lag]
    out = np.zeros(max(most, p) + 1)
    out[: p + 1] = np.linalg.solve(system, right)
    for k in range(p + 1, most + 1):
        if k <= q:
            out[k] = cross[k]
        for i in range(1, p + 1):
            out[k] -= phi[i] * out[k - i]
    return out[: most + 1], cross


@njit(cache=True)
def band_of(phi: Floats, theta: Floats, n: int) -> tuple[Floats, int]:
    """Covariance, in lower banded form, of (w_1, ..., w_m, phi(B) w_(m+1), ...), and m = max(p, q)."""
    q = theta.size - 1
    m = min(max(phi.size - 1, q), n)
    width = min(max(m - 1, q), n - 1)
    process, cross = autocovariances(phi, theta, m)
    band = np.zeros((width + 1, n))
    for lag in range(width + 1):
        moving = 0.0
        for j in range(lag, q + 1):
            moving += theta[j] * theta[j - lag]
        for at in range(m, n):
            band[lag, at] = moving
        for at in range(m):
            if lag + at < m:
                band[lag, at] = process[lag]
            elif lag <= q:
                band[lag, at] = cross[lag]
    return band, m


@njit(cache=True)
def filtered(values: Floats, phi: Floats, m: int) -> Floats:
    """phi(B) applied to the rows (n, c) after the first m."""
    out = values.copy()
    for lag in range(1, phi.size):
        if phi[lag] != 0.0:
            for t in range(m, len(values)):
                for c in range(values.shape[1]):
                    out[t, c] += phi[lag] * values[t - lag, c]
    return out


@njit(cache=True)
def gram(band: Floats, stacked: Floats) -> tuple[Floats, float, bool]:
    """c'S^-1 c of the columns (n, c), log |S| and whether S, in lower banded form (b + 1, n), is positive.

    Cholesky factor and forward solution row by row.
    """
    n, c = stacked.shape
    width = len(band) - 1
    factor = np.zeros((n, width + 1))
    white = np.zeros((n, c))
    product = np.zeros((c, c))
    log_det = 0.0
    for i in range(n):
        first = max(0, i - width)
        for j in range(first, i + 1):
            value = band[i - j, j]
            for k in range(max(first, j - width), j):
                value -= factor[i, k - i + width] * factor[j, k - j + width]
            if j < i:
                factor[i, j - i + width] = value / factor[j, width]
            elif value > 0.0:
                factor[i, width] = np.sqrt(value)
            else:
                return product, log_det, False
        pivot = factor[i, width]
        log_det += 2 * np.log(pivot)
        for a in range(c):
            value = stacked[i, a]
            for k in range(first, i):
                value -= factor[i, k - i + width] * white[k, a]
            white[i, a] = value / pivot
        for a in range(c):
            for b in range(a + 1):
                product[a, b] += white[i, a] * white[i, b]
    for a in range(c):
        for b in range(a):
            product[b, a] = product[a, b]
    return product, log_det, True
