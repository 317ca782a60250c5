"""Fuzzy regression discontinuity: an interval that holds however weak the jump in uptake is."""

from __future__ import annotations

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

FLAT = 1e-14
"""A leading coefficient of the quadratic below this share of its parts counts as zero."""

Interval = tuple[float, float]


def anderson_rubin(jumps: Floats, covariance: Floats, level: float = 0.95) -> list[Interval]:
    """All effects beta for which jump in outcome - beta * jump in uptake is not too far from zero.

    jumps (2,): outcome, uptake; covariance (2, 2) of them, the robust one with bias-corrected jumps. The set
    is that of (jump_y - beta jump_t)^2 <= z^2 variance(beta), a quadratic in beta: one interval where the
    jump in uptake is clear, otherwise two rays or the whole line, as intervals with infinite ends in rising
    order. It always holds jump_y / jump_t. Only where both jumps are certain and that in uptake is zero can
    the list be empty.
    Source: Anderson and Rubin (1949); Feir, Lemieux and Marmer (2016) for this design.

    >>> anderson_rubin(np.array([2.0, 0.5]), np.diag([0.04, 0.0]))
    [(3.21601..., 4.78398...)]
    >>> anderson_rubin(np.array([2.0, 0.1]), np.diag([0.04, 0.01]))
    [(-inf, -20.63670...), (6.55943..., inf)]
    >>> anderson_rubin(np.array([0.1, 0.1]), np.diag([0.04, 0.01]))
    [(-inf, inf)]
    """
    unit = _units(jumps, covariance)
    y, t = jumps / unit
    v = covariance / np.outer(unit, unit)
    z2 = float(scipy.special.ndtri((1 - level) / 2) ** 2)
    # a beta^2 - 2 b beta + c <= 0
    a = float(t**2 - z2 * v[1, 1])
    b = float(y * t - z2 * v[0, 1])
    c = float(y**2 - z2 * v[0, 0])
    if abs(a) <= FLAT * float(t**2 + z2 * v[1, 1]):
        a = 0.0
    scale = float(unit[0] / unit[1])
    return [(low * scale, high * scale) for low, high in _at_most_zero(a, b, c)]


def _units(jumps: Floats, covariance: Floats) -> Floats:
    """The size of each jump or of its standard error, whichever is larger, so that units do not matter."""
    size = np.maximum(np.abs(jumps), np.sqrt(np.diag(covariance)))
    return np.asarray(np.where(size > 0, size, 1.0))


def _at_most_zero(a: float, b: float, c: float) -> list[Interval]:
    """Where a x^2 - 2 b x + c <= 0."""
    if a == 0.0:
        return _line(b, c)
    inside = b * b - a * c
    if inside < 0:
        return [(-np.inf, np.inf)] if a < 0 else []
    larger = b + np.copysign(np.sqrt(inside), b)
    roots = sorted((larger / a, c / larger if larger else 0.0))
    low, high = float(roots[0]), float(roots[1])
    if a > 0:
        return [(low, high)]
    return [(-np.inf, np.inf)] if low == high else [(-np.inf, low), (high, np.inf)]


def _line(b: float, c: float) -> list[Interval]:
    if b == 0.0:
        return [(-np.inf, np.inf)] if c <= 0 else []
    end = c / (2 * b)
    return [(end, np.inf)] if b > 0 else [(-np.inf, end)]
