"""tF interval of Lee, McCrary, Moreira and Porter (2022): t made wider by the strength of one instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

ROOT_F = 2 + np.arange(84) / 10
"""Square roots of the first-stage F at which the paper tabulates the critical value, 2.0 to 10.3."""

CRITICAL = np.array(
    [
        *(18.66, 9.74, 7.37, 6.18, 5.43, 4.92, 4.54, 4.25, 4.01, 3.82, 3.65, 3.51, 3.39, 3.29, 3.19, 3.11),
        *(3.03, 2.97, 2.91, 2.85, 2.80, 2.75, 2.71, 2.67, 2.63, 2.60, 2.57, 2.54, 2.51, 2.48, 2.46, 2.43),
        *(2.41, 2.39, 2.37, 2.35, 2.33, 2.32, 2.30, 2.29, 2.27, 2.26, 2.24, 2.23, 2.22, 2.21, 2.20, 2.19),
        *(2.17, 2.16, 2.16, 2.15, 2.14, 2.13, 2.12, 2.11, 2.10, 2.10, 2.09, 2.08, 2.08, 2.07, 2.06, 2.06),
        *(2.05, 2.04, 2.04, 2.03, 2.03, 2.02, 2.02, 2.01, 2.01, 2.00, 2.00, 1.99, 1.99, 1.99, 1.98, 1.98),
        *(1.97, 1.97, 1.97, 1.96),
    ]
)
"""Critical values for |t| at 5%, table 3 of the paper."""


@dataclass(frozen=True)
class TFInterval:
    """Interval and p-value at 95%; critical replaces 1.96, and is infinite when nothing can be said."""

    low: float
    high: float
    critical: float
    p_value: float


def tf_critical(f: float) -> float:
    """Critical value for |t| at 5% given the first-stage F, linear in its square root between table entries.

    Infinite below 4, where the table begins (the exact limit is 1.96 squared, 3.84; R's ivDiag holds on to
    the first entry, 18.66). 1.96 from 106.1 on, by the table's rounding of 104.7.

    >>> round(tf_critical(10.0), 3), tf_critical(3.9), tf_critical(200.0)
    (3.435, inf, 1.96)
    """
    if not f >= 0:
        raise ValueError("the first-stage F is a number that is not negative")
    if f < 4:
        return np.inf
    return float(np.interp(np.sqrt(f), ROOT_F, CRITICAL))


def tf_interval(estimate: float, error: float, f: float) -> TFInterval:
    """Interval of a two-stage estimate with one treatment and one instrument, at 95% only.

    error is its standard error and f the first-stage F by the same kind of covariance. The p-value is that
    of t divided by critical / 1.96, as R's ivDiag reports it: exact at 5%, a scale elsewhere.
    """
    critical = tf_critical(f)
    if not np.isfinite(critical):
        return TFInterval(-np.inf, np.inf, critical, 1.0)
    shrunk = abs(estimate / error) * 1.96 / critical
    p_value = float(2 * scipy.special.ndtr(-shrunk))
    return TFInterval(estimate - critical * error, estimate + critical * error, critical, p_value)
