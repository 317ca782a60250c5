"""The density test of McCrary (2008): a histogram, smoothed by local lines on each side of the cutoff."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

RULE_OF_THUMB = 3.348
"""Constant of the rule-of-thumb bandwidth for a triangular kernel at an edge."""


@dataclass(frozen=True)
class McCrary:
    """theta is log density right minus left; p_value of z = theta / se is two-sided normal."""

    theta: float
    se: float
    z: float
    p_value: float
    bin_width: float
    bandwidth: float


def mccrary(
    score: Floats, cutoff: float = 0.0, bin_width: float | None = None, bandwidth: float | None = None
) -> McCrary:
    """McCrary's test that the density is continuous at the cutoff; score (n,) with rows on both sides.

    bin_width None is 2 sd n^(-1/2); bandwidth None is the mean over the sides of 3.348 (s^2 range / sum
    f''^2)^(1/5) from a quartic through the bins. theta, se and so on are NaN where a density is estimated to
    be zero or less. Source: McCrary (2008, J. Econometrics 142, sections 3.2 and 4). Convention of R rdd
    0.57, which it equals within 1e-9: floor(range / bin) + 2 bins count from the lowest, so that an empty bin
    may follow the highest, and empty bins pad both ends.

    >>> even = (np.arange(4000) - 1999.5) / 2000
    >>> abs(mccrary(even, bin_width=0.1, bandwidth=0.5).theta) < 1e-10
    True
    """
    x = score - cutoff
    if not (x.min() < 0 <= x.max()) or (x.max() == 0):
        raise ValueError("the cutoff does not lie inside the range of the score")
    width = float(2 * x.std(ddof=1) / np.sqrt(x.size)) if bin_width is None else bin_width
    middle, height = _histogram(x, width)
    reach = _rule_of_thumb(middle, height, x, width) if bandwidth is None else bandwidth
    if not ((-reach < x) & (x < 0)).any() or not ((x >= 0) & (x < reach)).any():
        raise ValueError("there are no rows within the bandwidth on one side of the cutoff")
    left, right = (_edge(*_padded(middle, height, width, reach), reach, side) for side in (-1, 1))
    if not (left > 0 and right > 0):
        return McCrary(np.nan, np.nan, np.nan, np.nan, width, reach)
    theta = float(np.log(right / left))
    se = float(np.sqrt(24 / 5 * (1 / left + 1 / right) / (x.size * reach)))
    return McCrary(theta, se, theta / se, float(2 * scipy.special.ndtr(-abs(theta / se))), width, reach)


def _histogram(x: Floats, width: float) -> tuple[Floats, Floats]:
    """Middle and height (share of rows per unit) of bins that start at the cutoff."""
    number = np.floor(x / width).astype(np.intp)
    lowest = int(number.min())
    bins = int(np.floor((x.max() - x.min()) / width)) + 2
    counts = np.bincount(number - lowest, minlength=bins)
    middle = (lowest + np.arange(counts.size) + 0.5) * width
    return np.asarray(middle, dtype=np.float64), np.asarray(counts / (x.size * width), dtype=np.float64)


def _rule_of_thumb(middle: Floats, height: Floats, x: Floats, width: float) -> float:
    """Mean over the sides of the bandwidth from a quartic through the bins (McCrary, section 3.2)."""
    out = []
    for side in (middle < 0, middle >= 0):
        if side.sum() <= 5:
            raise ValueError("fewer than six bins on one side of the cutoff: give a smaller bin width")
        edge = x.min() if middle[side][0] < 0 else x.max()
        span = abs(np.floor(edge / width) + 0.5) * width
        scaled = middle[side] / span
        columns = np.vander(scaled, 5, increasing=True)
        coefficients, *_ = scipy.linalg.lstsq(columns, height[side])
        error = height[side] - columns @ coefficients
        curvature = coefficients[2:] * [2, 6, 12] / span**2
        second = np.vander(scaled, 3, increasing=True) @ curvature
        bent = float(second @ second)
        if not bent > 0:
            raise ValueError("the density is straight, so that no bandwidth can be chosen: give one")
        out.append(RULE_OF_THUMB * (error @ error / (side.sum() - 5) * span / bent) ** 0.2)
    return float(np.mean(out))


def _padded(middle: Floats, height: Floats, width: float, reach: float) -> tuple[Floats, Floats]:
    extra = int(np.ceil(reach / width))
    more = np.arange(1, extra + 1) * width
    ends = np.zeros(extra)
    return np.r_[middle[0] - more, middle, middle[-1] + more], np.r_[ends, height, ends]


def _edge(middle: Floats, height: Floats, reach: float, side: int) -> float:
    """Local linear fit at the cutoff with triangular weights."""
    weights = np.clip(1 - np.abs(middle) / reach, 0, None) * (np.sign(middle) == side)
    if np.count_nonzero(weights) < 2:
        return np.nan
    s0, s1, s2 = (float(weights @ middle**k) for k in range(3))
    return float((s2 * (weights @ height) - s1 * (weights @ (middle * height))) / (s0 * s2 - s1**2))
