"""Polynomials up to an edge in a basis that keeps least squares well conditioned: Legendre on [0, 1]."""

from __future__ import annotations

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

SINGULAR = 1e-13
"""A cross product with a smaller reciprocal condition number has no inverse."""


def legendre_columns(u: Floats, order: int) -> Floats:
    """Legendre polynomials on [0, 1] at u (n,): (n, order + 1), held column by column.

    >>> legendre_columns(np.array([0.0, 0.5, 1.0]), 2).tolist()
    [[1.0, -1.0, 1.0], [1.0, 0.0, -0.5], [1.0, 1.0, 1.0]]
    """
    out = np.empty((order + 1, u.size))
    out[0] = 1.0
    if order:
        out[1] = 2 * u - 1
    for k in range(1, order):
        out[k + 1] = ((2 * k + 1) * out[1] * out[k] - k * out[k - 1]) / (k + 1)
    return out.T


def legendre_powers(order: int) -> Floats:
    """Matrix that turns coefficients of `legendre_columns` into those of 1, u, u^2, ... (order + 1 each way).

    >>> legendre_powers(1).tolist()
    [[1.0, -1.0], [0.0, 2.0]]
    """
    basis = np.zeros((order + 1, order + 1))
    for k in range(order + 1):
        basis[: k + 1, k] = (
            np.polynomial.Legendre.basis(k, domain=[0, 1]).convert(kind=np.polynomial.Polynomial).coef
        )
    return basis


def inverse_or_none(gram: Floats) -> Floats | None:
    """Inverse of a symmetric positive definite matrix, None if it is singular in double precision."""
    if not float(np.trace(gram)) > 0:
        return None
    values, vectors = scipy.linalg.eigh(gram)
    if values[0] <= SINGULAR * values[-1]:
        return None
    return np.asarray((vectors / values) @ vectors.T)
