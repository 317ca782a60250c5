"""Critical values and p-values for an estimate whose bias is only known to be bounded.

The statistic is normal with variance one and a mean somewhere in [-t, t], t = largest bias / standard
error. Its absolute value is then at most folded normal (Armstrong and Kolesar 2018, equation 18).
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STEPS = 60


def honest_critical_value(ratio: ArrayLike, level: float = 0.95) -> Floats:
    """Quantile `level` (at least 0.5) of |N(ratio, 1)|, for ratio >= 0 of any shape.

    The solution c of Phi(c - t) - Phi(-c - t) = level, by Newton's method in c - t, which rises steadily
    from the quantile that holds for a very large bias. Infinite where the ratio is.

    >>> honest_critical_value([0.0, 0.5, 5.0]).round(4).tolist()
    [1.96, 2.1815, 6.6449]
    """
    if not 0.5 <= level < 1:
        raise ValueError("the level of an honest interval lies between 0.5 and 1")
    t = np.asarray(ratio, dtype=np.float64)
    if np.any(np.isnan(t) | (t < 0)):
        raise ValueError("the ratio of bias to standard error is a number of at least 0")
    over = np.full(t.shape, scipy.special.ndtri(level))
    for _ in range(STEPS):
        missing = level - scipy.special.ndtr(over) + scipy.special.ndtr(-over - 2 * t)
        slope = (np.exp(-0.5 * over**2) + np.exp(-0.5 * (over + 2 * t) ** 2)) / np.sqrt(2 * np.pi)
        step = missing / slope
        over = over + step
        if np.all(np.abs(step) <= 1e-15 * (1 + np.abs(over))):
            break
    return np.asarray(t + over)


def honest_p_value(statistic: ArrayLike, ratio: ArrayLike) -> Floats:
    """Largest probability, over all biases allowed, of a statistic this far from 0 without any effect."""
    size = np.abs(np.asarray(statistic, dtype=np.float64))
    t = np.asarray(ratio, dtype=np.float64)
    return np.asarray(scipy.special.ndtr(t - size) + scipy.special.ndtr(-t - size))


def honest_largest_ratio(statistic: float, level: float = 0.95) -> float:
    """The ratio of bias to standard error at which the interval just reaches 0; 0 if it does without bias.

    The inverse of `honest_critical_value`.

    >>> round(honest_largest_ratio(float(honest_critical_value(1.3))), 9)
    1.3
    """
    size = abs(statistic)
    if size <= scipy.special.ndtri((1 + level) / 2):
        return 0.0

    def excess(t: float) -> float:
        return float(honest_p_value(size, t)) - (1 - level)

    return float(scipy.optimize.brentq(excess, 0.0, size, xtol=1e-15, rtol=1e-14))
