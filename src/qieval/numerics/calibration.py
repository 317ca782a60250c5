"""Empirical calibration: what negative controls, whose true effect is none, say about systematic error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

Floats: TypeAlias = npt.NDArray[np.float64]

GRID = np.concatenate([[0.0], np.logspace(-5, 0.5, 111)])
"""Spreads to begin with, as shares of the widest distance between controls; the likelihood may have several
peaks."""


@dataclass(frozen=True)
class Null:
    """The distribution of systematic error: normal with this mean and standard deviation, log ratios.

    n: negative controls it rests on. log_likelihood: at its maximum, with all constants. converged: the
    score is zero, or the maximum lies at a standard deviation of zero.
    """

    mean: float
    sd: float
    n: int
    log_likelihood: float
    converged: bool

    @property
    def expected_error(self) -> float:
        """The expected absolute systematic error E|N(mean, sd)| (a folded normal), in log ratios."""
        if self.sd == 0:
            return abs(self.mean)
        z = self.mean / self.sd
        spread = self.sd * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2)
        return float(spread + self.mean * scipy.special.erf(z / np.sqrt(2)))


def fit_null(estimates: Floats, std_errors: Floats) -> Null:
    """Maximum likelihood of the systematic error (mean, sd) from negative controls (n,), log ratios.

    Each estimate is normal with mean `mean` and variance sd^2 + std_error^2 (Schuemie et al. 2014, equation
    for the empirical null). The mean is profiled out, the score in sd is solved to machine precision
    around the best of a grid. R's fitNull stops its simplex search earlier: the same maximum to about 1e-4.
    Finite values, positive standard errors, n of two or more.

    >>> null = fit_null(np.array([0.1, 0.5, 0.9]), np.array([0.01, 0.01, 0.01]))
    >>> round(null.mean, 6), round(null.sd, 4)
    (0.5, 0.3264)
    """
    reach = float(np.ptp(estimates))
    tried = GRID * reach
    heights = np.array([_profile(sd, estimates, std_errors)[1] for sd in tried])
    best = int(np.argmax(heights))
    sd, converged = _polish(tried, best, estimates, std_errors)
    mean, height = _profile(sd, estimates, std_errors)
    return Null(mean, sd, estimates.size, height, converged)


def calibrated_p(null: Null, estimates: Any, std_errors: Any) -> Floats:
    """Two-sided p-values of no effect, allowing for systematic error (Schuemie et al. 2014).

    2 Phi(-|estimate - mean| / sqrt(sd^2 + se^2)); infinitely vague estimates give 1.
    """
    estimates, std_errors = np.asarray(estimates, dtype=float), np.asarray(std_errors, dtype=float)
    z = (estimates - null.mean) / np.sqrt(null.sd**2 + std_errors**2)
    return np.asarray(2 * scipy.special.ndtr(-np.abs(z)))


def plain_p(estimates: Any, std_errors: Any) -> Floats:
    """Two-sided p-values of no effect without calibration."""
    return calibrated_p(Null(0.0, 0.0, 0, 0.0, True), estimates, std_errors)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Estimates corrected for systematic error, with intervals and standard errors, log ratios (n,)."""

    estimate: Floats
    low: Floats
    high: Floats
    std_error: Floats


def calibrate(null: Null, estimates: Any, std_errors: Any, level: float = 0.95) -> Calibrated:
    """Estimates and intervals calibrated with negative controls alone: estimate - mean, variance sd^2 + se^2.

    Schuemie et al. (2018) with the error model that convertNullToErrorModel makes: the systematic error is
    taken to be the same whatever the true effect, which negative controls cannot show.
    """
    error = np.sqrt(null.sd**2 + np.asarray(std_errors, dtype=float) ** 2)
    middle = np.asarray(estimates, dtype=float) - null.mean
    half = -scipy.special.ndtri((1 - level) / 2) * error
    return Calibrated(middle, middle - half, middle + half, error)


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Each negative control judged by the others (n,): their null, its p-value and interval.

    mean, sd, expected_error: of the null that the others give. p, plain: calibrated and usual p-values of
    the control left out. low, high: its calibrated interval, which should hold 0 at the rate of its level.
    """

    mean: Floats
    sd: Floats
    expected_error: Floats
    p: Floats
    plain: Floats
    low: Floats
    high: Floats


def leave_one_out(estimates: Floats, std_errors: Floats, level: float = 0.95) -> LeaveOneOut:
    """Calibrate every negative control with the null of all others: an honest look at calibration.

    Three controls or more.
    """
    n = estimates.size
    rows = np.empty((n, 6))
    for left in range(n):
        others = np.arange(n) != left
        null = fit_null(estimates[others], std_errors[others])
        found = calibrate(null, estimates[left], std_errors[left], level)
        p = float(calibrated_p(null, estimates[left], std_errors[left]))
        rows[left] = null.mean, null.sd, null.expected_error, p, float(found.low), float(found.high)
    mean, sd, error, p_values, low, high = rows.T
    return LeaveOneOut(mean, sd, error, p_values, plain_p(estimates, std_errors), low, high)


def _profile(sd: float, estimates: Floats, std_errors: Floats) -> tuple[float, float]:
    """The best mean for a spread and the log-likelihood there."""
    variance = sd**2 + std_errors**2
    mean = float(np.sum(estimates / variance) / np.sum(1 / variance))
    terms = np.log(2 * np.pi * variance) + (estimates - mean) ** 2 / variance
    return mean, float(-terms.sum() / 2)


def _score(sd: float, estimates: Floats, std_errors: Floats) -> float:
    """The derivative of the profile log-likelihood by the variance sd^2, without units."""
    variance = sd**2 + std_errors**2
    weights = 1 / variance
    mean = np.sum(estimates * weights) / np.sum(weights)
    pulls = ((estimates - mean) ** 2 * weights - 1) * weights
    return float(np.sum(pulls) / np.sum(weights))


def _polish(tried: Floats, best: int, estimates: Floats, std_errors: Floats) -> tuple[float, bool]:
    """The zero of the score between the neighbours of the best spread tried."""
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, tried.size - 1)]
    if _score(0.0, estimates, std_errors) <= 0 and best <= 1:
        return 0.0, True
    below, above = (_score(edge, estimates, std_errors) for edge in (low, high))
    if not below > 0 > above:
        return float(tried[best]), False
    found = scipy.optimize.brentq(_score, low, high, args=(estimates, std_errors), xtol=1e-300, rtol=1e-15)
    return float(found), True
