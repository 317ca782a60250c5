"""Bounds for the noise of periods to come, from the residuals of periods past: three models of scpi."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats

Noise = Literal["gaussian", "location-scale", "quantile"]
METHODS: tuple[Noise, ...] = ("gaussian", "location-scale", "quantile")

TINY = 1e-12
"""Squared residuals below this share of their mean are set to it before logarithms are taken."""


def polynomial(columns: Floats, order: int) -> Floats:
    """All products of up to `order` columns (n, k), and a last column of ones; order 0: only ones.

    >>> polynomial(np.array([[2.0, 3.0]]), 2)
    array([[2., 3., 4., 6., 9., 1.]])
    """
    terms = [
        columns[:, list(chosen)].prod(axis=1)
        for degree in range(1, order + 1)
        for chosen in itertools.combinations_with_replacement(range(columns.shape[1]), degree)
    ]
    return np.stack([*terms, np.ones(columns.shape[0])], axis=1)


def moment_design(donors: Floats, order: int, lags: int, differenced: bool) -> tuple[Codes, Floats]:
    """Rows (n,) of donors (t, k) with all terms, and the terms (n, p): lags, powers, a constant."""
    levels = donors
    lost = lags
    if differenced and (order > 0 or lags > 0):
        levels = np.diff(donors, axis=0, prepend=np.nan)
        lost += 1
    rows = np.arange(lost, donors.shape[0])
    lagged = [levels[rows - lag] for lag in range(1, lags + 1)]
    return rows, np.hstack([*lagged, polynomial(levels[rows], order)])


def fitted_mean(design: Floats, values: Floats, new: Floats) -> Floats:
    """Least squares prediction at rows new (m, p); minimum norm where terms depend on each other."""
    return np.asarray(new @ np.linalg.lstsq(design, values, rcond=None)[0])


def fitted_quantile(design: Floats, values: Floats, share: float, new: Floats) -> Floats:
    """Linear quantile regression (Koenker and Bassett 1978), exact by linear programming, at rows new (m, p).

    >>> fitted_quantile(np.ones((5, 1)), np.array([5.0, 1, 2, 4, 9]), 0.5, np.ones((1, 1)))
    array([4.])
    """
    n, p = design.shape
    size = float(np.abs(values).max()) or 1.0
    found = scipy.optimize.linprog(
        np.concatenate([np.zeros(2 * p), np.full(n, share), np.full(n, 1.0 - share)]),
        A_eq=np.hstack([design, -design, np.eye(n), -np.eye(n)]),
        b_eq=values / size,
        method="highs",
    )
    if not found.success:
        raise ArithmeticError(f"quantile regression failed: {found.message}")
    return np.asarray(new @ (found.x[:p] - found.x[p : 2 * p])) * size


def noise_bounds(design: Floats, residual: Floats, new: Floats, alpha: float) -> dict[Noise, Floats]:
    """Bounds (m, 2) of the noise at rows new (m, p), each missed with probability alpha / 2 at most.

    gaussian: mean -+ sqrt(2 log(2 / alpha)) sigma, valid for any sub-Gaussian noise; location-scale: mean +
    sigma times quantiles of the standardised residuals; quantile: quantile regression. sigma is the smaller
    of the root of exp(fitted log squared residual) and of the fitted interquartile range / 1.34.
    """
    scale = float(np.sqrt(np.mean(residual**2)))
    if scale == 0:
        return {method: np.zeros((new.shape[0], 2)) for method in METHODS}
    u = residual / scale
    left = u - fitted_mean(design, u, design)
    mean = fitted_mean(design, u, new)
    log_square = np.log(np.maximum(left**2, TINY * np.mean(left**2) + 1e-300))
    log_new, log_old = fitted_mean(design, log_square, new), fitted_mean(design, log_square, design)
    quartiles = [fitted_quantile(design, left, share, new) for share in (0.25, 0.75)]
    sigma = np.minimum(np.exp(log_new / 2), np.abs(quartiles[1] - quartiles[0]) / 1.34)
    half = np.sqrt(2 * np.log(2 / alpha)) * sigma
    inner = np.quantile(left / np.exp(log_old / 2), [alpha / 2, 1 - alpha / 2])
    tails = [fitted_quantile(design, u, share, new) for share in (alpha / 2, 1 - alpha / 2)]
    return {
        "gaussian": np.stack([mean - half, mean + half], axis=1) * scale,
        "location-scale": (mean[:, None] + sigma[:, None] * inner) * scale,
        "quantile": np.stack(tails, axis=1) * scale,
    }
