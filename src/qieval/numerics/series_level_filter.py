"""Kalman filter of a random-walk level plus noise, for many pairs of standard deviations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class Filtered:
    """Columns made independent by the filter, for g pairs of standard deviations.

    products (g, p, p) are c'V^-1 c of the p columns and log_det (g,) is log |V|, V being the covariance of
    noise plus a random walk from zero, at the observed periods. last (g, p) is the walk of the next period
    predicted from each column and last_variance (g,) the variance of that prediction.
    """

    products: Floats
    log_det: Floats
    last: Floats
    last_variance: Floats


def filter_level(columns: Floats, observed: Mask, noise: Floats, step: Floats) -> Filtered:
    """Filter columns (n, p), seen where observed (n,), for noise (g,) and step (g,) standard deviations.

    The walk is zero in the first period: its level is a column of ones. Linear in n.

    >>> one = filter_level(np.array([[3.0]]), np.array([True]), np.array([2.0]), np.array([1.0]))
    >>> float(one.products[0, 0, 0]), float(one.last_variance[0])
    (2.25, 1.0)
    """
    g, p = noise.size, columns.shape[1]
    products = np.zeros((g, p, p))
    log_det = np.zeros(g)
    state = np.zeros((g, p))
    variance = np.zeros(g)
    for row, seen in zip(columns, observed, strict=True):
        if seen:
            total = variance + noise**2
            error = row - state
            products += error[:, :, None] * (error / total[:, None])[:, None, :]
            log_det += np.log(total)
            state = state + (variance / total)[:, None] * error
            variance = variance * noise**2 / total
        variance = variance + step**2
    return Filtered(products, log_det, state, variance)
