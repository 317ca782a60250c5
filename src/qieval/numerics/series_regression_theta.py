"""Size parameter of the negative binomial by maximum likelihood, alternating with the coefficients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from qieval.numerics.series_regression_families import LARGE, Outcome, divergence, stirling_error
from qieval.numerics.series_regression_steps import Steps, iterate
from qieval.numerics.two_way import Floats

LEAST, MOST, TRIED = 1e-6, 1e10, 101
"""Values of theta tried first: from a standard deviation of 1,000 means to 1e10 times the mean, beyond which
the data are taken as Poisson."""
ROUNDS = 60
SETTLED = 1e-10
NEWTON = 20
DIGAMMA = np.array([-1 / 132, 1 / 240, -1 / 252, 1 / 120, -1 / 12])
TRIGAMMA = np.array([5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6])


def fit_theta(outcome: Outcome, q: Floats) -> tuple[Outcome, Steps, bool]:
    """The outcome with its theta, the coefficients on q (n, k) at that theta, and whether both settled.

    Starts from the Poisson fit. theta is infinite when no finite value makes the data more likely.
    """
    poisson = replace(outcome, theta=np.inf)
    steps = start = iterate(poisson, q)
    if start.separated:
        return poisson, start, False
    theta, made = np.inf, start.iterations
    for _ in range(ROUNDS):
        mean = outcome.mean(steps.linear)
        before, theta = theta, best_theta(outcome.y, mean, theta)
        if np.isinf(theta):
            return poisson, start, True
        steps = iterate(replace(outcome, theta=theta), q, steps.gamma)
        made += steps.iterations
        if abs(theta - before) <= SETTLED * theta:
            return replace(outcome, theta=theta), replace(steps, iterations=made), True
    return replace(outcome, theta=theta), replace(steps, iterations=made), False


def best_theta(y: Floats, mean: Floats, near: float = np.inf) -> float:
    """Maximum-likelihood theta of counts y (n,) with known means (n,); infinite if Poisson is as likely.

    Newton steps from a value that is nearly right, or else from the best of a grid.
    """
    if np.isfinite(near):
        found = _newton(y, mean, near)
        if not np.isnan(found):
            return found
    grid = np.geomspace(LEAST, MOST * max(1.0, float(mean.mean())), TRIED)
    gain = theta_gain(grid[:, None], y, mean)
    best = int(np.argmax(gain))
    if gain[best] <= 0 or best == grid.size - 1:
        return np.inf
    found = _newton(y, mean, float(grid[best]))
    return _climbed(y, mean, float(grid[best])) if np.isnan(found) else found


def _newton(y: Floats, mean: Floats, theta: float) -> float:
    """Newton steps on the logarithm of theta that stay beside their start; NaN if they do not settle."""
    start, before = theta, np.inf
    for _ in range(NEWTON):
        slope = theta * theta_slope(theta, y, mean)
        bend = theta**2 * theta_information(theta, y, mean) - slope
        step = slope / bend if bend > 0 else np.inf
        if abs(step) > 1 or not start / 3 < theta < 3 * start:
            return np.nan
        theta *= float(np.exp(step))
        if abs(step) < 1e-13 or before <= abs(step) < 1e-8:
            return theta
        before = abs(step)
    return np.nan


def _climbed(y: Floats, mean: Floats, theta: float) -> float:
    """The most likely theta within a factor of two, without derivatives."""
    found = scipy.optimize.minimize_scalar(
        lambda value: -float(theta_gain(np.exp(value), y, mean)),
        bounds=(np.log(theta / 2), np.log(theta * 2)),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return float(np.exp(found.x))


def theta_gain(theta: Floats | float, y: Floats, mean: Floats) -> Floats:
    """Log-likelihood at theta (..., 1) minus that of Poisson with the same means, summed over y (n,)."""
    theta = np.asarray(theta, dtype=np.float64)
    size = y + theta
    saturated = stirling_error(size) - stirling_error(theta) - np.log1p(y / theta) / 2
    return np.asarray((saturated + divergence(size, mean + theta, mean - y)).sum(axis=-1))


def theta_slope(theta: float, y: Floats, mean: Floats) -> float:
    """Derivative of the log-likelihood by theta, the means held, without cancellation."""
    rest = divergence(mean + theta, y + theta, y - mean) / (mean + theta)
    return float(np.sum(_digamma_rest(y + theta) - _digamma_rest(theta) - rest))


def theta_information(theta: float, y: Floats, mean: Floats) -> float:
    """Minus the second derivative of the log-likelihood by theta, the means held."""
    bend = ((y - mean) / (mean + theta)) ** 2 / (y + theta)
    return float(np.sum(_trigamma_rest(theta) - _trigamma_rest(y + theta) - bend))


def _digamma_rest(x: Floats | float) -> Floats:
    """digamma(x) - log(x)."""
    x = np.asarray(x, dtype=np.float64)
    far = x > LARGE
    large, small = np.where(far, x, LARGE), np.where(far, 1.0, x)
    series = np.polyval(DIGAMMA, large**-2.0) * large**-2.0 - 0.5 / large
    return np.where(far, series, scipy.special.psi(small) - np.log(small))


def _trigamma_rest(x: Floats | float) -> Floats:
    """trigamma(x) - 1 / x."""
    x = np.asarray(x, dtype=np.float64)
    far = x > LARGE
    large, small = np.where(far, x, LARGE), np.where(far, 1.0, x)
    series = np.polyval(TRIGAMMA, large**-2.0) * large**-3.0 + 0.5 * large**-2.0
    return np.where(far, series, scipy.special.polygamma(1, small) - 1 / small)
