"""Inner loops of balance statistics: weighted moments by arm, and the gap between two weighted eCDFs."""

import numpy as np
from numba import njit

from qieval.numerics.two_way import Floats

BLOCK = 8192
"""Sums are made of partial sums over this many rows, which keeps rounding small at millions of rows."""


@njit(cache=True, nogil=True)
def moments(x: Floats, arm: np.ndarray, weight: Floats) -> Floats:
    """Weighted moments of one column in each arm (2, 6), row 1 for arm == 1.

    Columns: rows with weight, sum of weights, sum of squared weights, mean, sum of weighted squared
    deviations from that mean, 1 if the rows with weight hold one single value. NaN in x is left out. Two
    passes, so that a mean far from zero costs no digits. A column of one value has exactly this mean and
    no deviation.
    """
    out = np.zeros((2, 6))
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for start in range(0, x.size, BLOCK):
        part = np.zeros((2, 3))
        for i in range(start, min(start + BLOCK, x.size)):
            value, w, g = x[i], weight[i], arm[i]
            if np.isnan(value) or w == 0:
                continue
            out[g, 0] += 1
            part[g, 0] += w
            part[g, 1] += w * w
            part[g, 2] += w * value
            low[g] = min(low[g], value)
            high[g] = max(high[g], value)
        out[:, 1:4] += part
    for g in range(2):
        out[g, 3] = out[g, 3] / out[g, 1] if out[g, 1] > 0 else np.nan
        if out[g, 0] > 0 and low[g] == high[g]:
            out[g, 3], out[g, 5] = low[g], 1.0
    if out[0, 5] == 1 and out[1, 5] == 1:
        return out
    for start in range(0, x.size, BLOCK):
        squares = np.zeros(2)
        for i in range(start, min(start + BLOCK, x.size)):
            if weight[i] != 0 and not np.isnan(x[i]):
                squares[arm[i]] += weight[i] * (x[i] - out[arm[i], 3]) ** 2
        out[:, 4] += squares
    return out


@njit(cache=True, nogil=True)
def ecdf_gap(
    order: np.ndarray, last: np.ndarray, signed: Floats, total_one: float, total_zero: float
) -> tuple[float, float]:
    """Mean over the distinct values, and maximum, of |F1 - F0| for weighted eCDFs.

    order (m,) rows by rising value; last (m,) whether the next value differs; signed (n,) weights, those of
    arm 0 negative; totals are the sums of the weights of each arm over these rows.
    """
    one, zero, total, largest, distinct = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(order.size):
        w = signed[order[i]]
        one += max(w, 0.0)
        zero -= min(w, 0.0)
        if last[i]:
            gap = abs(one / total_one - zero / total_zero)
            total += gap
            largest = max(largest, gap)
            distinct += 1
    return (total / distinct, largest) if distinct else (np.nan, np.nan)
