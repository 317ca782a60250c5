"""Regression to the mean of counts: frequent attenders, and places chosen for many events, next year.

Each person's count is Poisson about a rate of their own. With rates that follow a gamma distribution the
expected next count lies between the own count and the mean of all (empirical Bayes: Hauer 1997). Robbins
(1956) does without the distribution of rates: those with k or more are expected to have, next time, as many
events in all as those with k + 1 or more had this time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class CountPopulation:
    """Mean and variance of everybody's counts in one period; their covariance (2, 2), None if known."""

    mean: float
    variance: float
    covariance: Floats | None = None

    def __post_init__(self) -> None:
        if not self.mean > 0 or not self.variance >= 0:
            raise ValueError("the mean count must be positive and its variance not negative")

    @property
    def kept(self) -> float:
        """Share of a distance from the mean that persists: 1 - mean / variance, 0 without overdispersion."""
        return max(0.0, 1 - self.mean / self.variance) if self.variance > 0 else 0.0


@dataclass(frozen=True)
class CountRegression:
    """Mean count of those chosen, the mean expected next time without an effect, and the difference.

    share is the part of the population chosen (NaN if not calculated); std_error is that of the change.
    """

    first: float
    second: float
    change: float
    std_error: float
    share: float


def count_population(counts: Floats) -> CountPopulation:
    """Mean and variance of everybody's counts (n,), with their covariance from third and fourth moments."""
    mean, variance = float(counts.mean()), float(counts.var(ddof=1))
    influence = np.column_stack([counts - mean, (counts - mean) ** 2 - variance])
    return CountPopulation(mean=mean, variance=variance, covariance=influence.T @ influence / counts.size**2)


def expected_counts(population: CountPopulation, least: int, period: float = 1.0) -> CountRegression:
    """Poisson-gamma population: change to expect of those with `least` events or more.

    The next period is `period` times as long as the first. Counts are negative binomial with the population's
    moments (Poisson if the variance does not exceed the mean). The error is by the delta method.

    >>> found = expected_counts(CountPopulation(mean=1.0, variance=3.0), least=5)
    >>> round(found.first, 2), round(found.second, 2), round(found.share, 4)
    (6.69, 4.79, 0.0493)
    """
    moments = np.array([population.mean, population.variance])
    first, second, share = _counts(moments, least, period)
    error = np.nan
    if population.covariance is not None:
        gradient = _gradient(moments, least, period)
        error = float(np.sqrt(gradient @ population.covariance @ gradient))
    return CountRegression(first, second, second - first, error, share)


def _counts(moments: Floats, least: int, period: float) -> tuple[float, float, float]:
    """Means now and next of those with `least` or more, and their share."""
    mean, variance = float(moments[0]), float(moments[1])
    if variance <= mean * (1 + 1e-9):
        share = float(scipy.special.pdtrc(least - 1, mean)) if least > 0 else 1.0
        above = float(scipy.special.pdtrc(least - 2, mean)) if least > 1 else 1.0
        return mean * above / share, mean * period, share
    shape, chance = mean**2 / (variance - mean), mean / variance
    share = _tail(least, shape, chance)
    # k f(k; shape) = mean f(k - 1; shape + 1), so that the truncated mean is a ratio of tails.
    first = mean * _tail(least - 1, shape + 1, chance) / share
    return first, period * (mean + (1 - mean / variance) * (first - mean)), share


def _tail(least: int, shape: float, chance: float) -> float:
    """P(K >= least) of a negative binomial with real shape."""
    return float(scipy.special.betainc(least, shape, 1 - chance)) if least > 0 else 1.0


def _gradient(moments: Floats, least: int, period: float) -> Floats:
    """Derivatives of the change by the two moments; those of the Poisson limit on its far side."""
    out = np.empty(2)
    for j in range(2):
        step = 1e-5 * moments[j]
        up, down = moments.copy(), moments.copy()
        up[j], down[j] = up[j] + step, down[j] - step
        high, low = _counts(up, least, period), _counts(down, least, period)
        out[j] = ((high[1] - high[0]) - (low[1] - low[0])) / (2 * step)
    return out


def expected_of_chosen(chosen: Floats, population: CountPopulation, period: float = 1.0) -> CountRegression:
    """Empirical Bayes: change to expect of the very people chosen, from their counts (m,).

    Each is expected to have mean + kept (count - mean), times period. The error leaves out chance in who was
    chosen.
    """
    first, mean, kept = float(np.mean(chosen)), population.mean, population.kept
    second = period * (mean + kept * (first - mean))
    error = np.nan
    if population.covariance is not None:
        gradient = np.array([1 - kept, 0.0])
        if kept > 0:
            gradient += (first - mean) * np.array([-1 / population.variance, mean / population.variance**2])
        error = period * float(np.sqrt(gradient @ population.covariance @ gradient))
    return CountRegression(first, second, second - first, error, np.nan)


def expected_by_robbins(counts: Floats, least: int, period: float = 1.0) -> CountRegression:
    """Change to expect of those with `least` events or more, for any distribution of rates (Robbins 1956).

    counts (n,) of everybody. Needs counts that are Poisson for each person; the error is that of a ratio of
    means. NaN if nobody has so many.

    >>> found = expected_by_robbins(np.array([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0]), least=2)
    >>> found.first, found.second
    (2.5, 1.5)
    """
    chosen = counts >= least
    if not chosen.any():
        return CountRegression(np.nan, np.nan, np.nan, np.nan, 0.0)
    share = float(chosen.mean())
    now = np.where(chosen, counts, 0.0)
    later = period * np.where(counts >= least + 1, counts, 0.0)
    first, second = float(now.mean()) / share, float(later.mean()) / share
    influence = (later - now - (second - first) * chosen) / share
    error = float(np.sqrt(np.mean(influence**2) / counts.size))
    return CountRegression(first, second, second - first, error, share)
