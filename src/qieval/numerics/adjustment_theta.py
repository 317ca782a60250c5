"""Size of the negative binomial by weighted maximum likelihood, the means taken as known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

LEAST = 1e-6
MOST = 1e6
"""A theta beyond this multiple of the mean (or of 1) is taken as infinite: the variance is Poisson's."""


@dataclass(frozen=True, eq=False)
class Size:
    """Estimating equation of log(theta), for standard errors that allow for theta being estimated.

    psi (n,) are the weighted scores of the rows; cross (n,) the derivative of each row's score of the linear
    predictor by log(theta), weighted; information minus the derivative of the summed psi.
    """

    psi: Floats
    cross: Floats
    information: float


def weighted_theta(y: Floats, mean: Floats, weight: Floats) -> float:
    """Most likely theta of counts y (n,) with known means (n,); infinite if they vary no more than Poisson.

    The likelihood rises from Poisson into the negative binomial if the weighted sum of (y - mean)^2 - y is
    positive. Then the slope by log(theta) changes its sign, and is bisected.
    """
    if weight @ (np.square(y - mean) - y) <= 0:
        return np.inf
    slope = _slope(y, mean, weight)
    low, high = np.log(LEAST), np.log(MOST * max(1.0, float(weight @ mean / weight.sum())))
    if slope(high) >= 0:
        return np.inf
    if slope(low) <= 0:
        return LEAST
    return float(np.exp(scipy.optimize.brentq(slope, low, high, xtol=1e-12)))


def size_equation(y: Floats, mean: Floats, weight: Floats, theta: float) -> Size:
    """The estimating equation at its solution theta."""
    whole = theta + mean
    change = (mean - y) / whole
    psi = scipy.special.psi(y + theta) - scipy.special.psi(theta) - np.log1p(mean / theta) + change
    bend = scipy.special.polygamma(1, y + theta) - scipy.special.polygamma(1, theta)
    bend += mean / (theta * whole) - change / whole
    cross = -theta * change * mean / whole
    return Size(weight * theta * psi, weight * cross, -(theta**2) * float(weight @ bend))


def _slope(y: Floats, mean: Floats, weight: Floats) -> Callable[[float], float]:
    """Derivative of the weighted log-likelihood by log(theta); counts that occur often are taken once."""
    values, place = np.unique(y, return_inverse=True)
    many = np.bincount(place, weight, values.size)
    total = float(weight.sum())

    def slope(logarithm: float) -> float:
        theta = float(np.exp(logarithm))
        gammas = many @ scipy.special.psi(values + theta) - total * scipy.special.psi(theta)
        rest = weight @ ((mean - y) / (theta + mean) - np.log1p(mean / theta))
        return theta * float(gammas + rest)

    return slope
