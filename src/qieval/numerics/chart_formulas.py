"""The lines of every kind of chart, for one phase of many charts at once.

Formulas: Montgomery, Introduction to Statistical Quality Control (x-bar, s, p, c, u); Laney (2002) for p' and
u'; Benneyan (2001) for g; Nelson (1994) for t. Where textbooks differ the conventions are those of the R
package qicharts2 0.8.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.two_way import Floats

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]

D4 = 3.267
"""Upper limit of a moving range, in mean moving ranges."""

ROUNDING = 1e-13
"""Differences up to this share of the largest value of a series are rounding."""

T_POWER = 3.6
"""Times between events of a Poisson process are near normal after this root (Nelson 1994)."""


class Lines(NamedTuple):
    """The lines of many charts: (s, n) each; screened (s,)."""

    value: Floats
    centre: Floats
    lower: Floats
    upper: Floats
    sigma: Floats
    screened: Integers


@dataclass(frozen=True, eq=False)
class Phase:
    """One phase of every chart: value (what is plotted), n and sd are (s, m), NaN where missing.

    base lists the points that enter the computation. per_range is 3 sigma in mean moving ranges.
    """

    value: Floats
    n: Floats
    sd: Floats
    base: Integers
    screen: bool
    per_range: float

    def of_base(self, table: Floats) -> Floats:
        """The columns that enter the computation; each row contiguous, so that one chart sums as many do."""
        return np.take(table, self.base, axis=1)


def row_means(table: Floats) -> Floats:
    """Means (s, 1) of the values that are not NaN; NaN for a row without any."""
    held = ~np.isnan(table)
    count = held.sum(axis=1, keepdims=True)
    total = np.where(held, table, 0.0).sum(axis=1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def row_medians(table: Floats) -> Floats:
    """Medians (s, 1) of the values that are not NaN; NaN for a row without any."""
    if not table.shape[1]:
        return np.full((len(table), 1), np.nan)
    ordered = np.sort(table, axis=1)
    count = (~np.isnan(table)).sum(axis=1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, table.shape[1] - 1)
    return (np.take_along_axis(ordered, low, axis=1) + np.take_along_axis(ordered, high, axis=1)) / 2


def rounded_off(difference: Floats, table: Floats) -> Floats:
    """Differences between values of `table` (s, m), 0 where they are only rounding."""
    largest = np.abs(np.nan_to_num(table)).max(axis=1, initial=0.0, keepdims=True)
    return np.where(np.abs(difference) <= ROUNDING * largest, 0.0, difference)


def _mean_moving_range(table: Floats, screen: bool) -> tuple[Floats, Integers]:
    """Mean moving ranges (s, 1), NaN where 0 or without any; number of ranges screened out (s,)."""
    ranges = np.abs(rounded_off(np.diff(table, axis=1), table))
    mean = row_means(ranges)
    wide = (ranges >= D4 * mean) & (mean > 0) & screen
    mean = row_means(np.where(wide, np.nan, ranges))
    return np.where(mean > 0, mean, np.nan), wide.sum(axis=1)


def _lines(
    phase: Phase, centre: Floats, middle: Floats, sigma: Floats, screened: Integers | int = 0
) -> Lines:
    """Limits at middle +- 3 sigma, before any cut."""
    shape = phase.value.shape
    middle, sigma = np.broadcast_to(middle, shape), np.broadcast_to(sigma, shape)
    count = np.zeros(len(phase.value), dtype=np.int64) + screened
    centre = np.broadcast_to(centre, shape)
    return Lines(phase.value, centre, middle - 3 * sigma, middle + 3 * sigma, sigma, count)


def _run(phase: Phase) -> Lines:
    centre = row_medians(phase.of_base(phase.value))
    return _lines(phase, centre, centre, np.array(np.nan))


def _individuals(phase: Phase) -> Lines:
    held = phase.of_base(phase.value)
    mean_range, screened = _mean_moving_range(held, phase.screen)
    centre = row_means(held)
    return _lines(phase, centre, centre, mean_range * phase.per_range / 3, screened)


def _moving_ranges(phase: Phase) -> Lines:
    ranges = np.full(phase.value.shape, np.nan)
    ranges[:, 1:] = np.abs(rounded_off(np.diff(phase.value, axis=1), phase.value))
    centre = row_means(phase.of_base(ranges))
    sigma = np.where(centre > 0, (D4 - 1) / 3 * centre, np.nan)
    return _cut(_lines(phase, centre, centre, sigma))._replace(value=ranges)


def _within(phase: Phase) -> Floats:
    """Standard deviation within subgroups (s, 1): the mean one, or pooled where sizes differ."""
    known = ~np.isnan(phase.n)
    largest = np.where(known, phase.n, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    smallest = np.where(known, phase.n, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    sd, n = phase.of_base(phase.sd), phase.of_base(phase.n)
    degrees = np.where(np.isnan(sd) | np.isnan(n), 0.0, n - 1)
    total = degrees.sum(axis=1, keepdims=True)
    squares = (degrees * np.nan_to_num(sd) ** 2).sum(axis=1, keepdims=True)
    pooled = np.sqrt(np.where(total > 0, squares / np.maximum(total, 1), np.nan))
    return np.where(largest > smallest, pooled, row_means(np.where(degrees > 0, sd, np.nan)))


def _c4(n: Floats) -> Floats:
    """Expected standard deviation of n standard normal values; NaN below two."""
    n = np.where(n > 1, n, np.nan)
    log_gamma = scipy.special.gammaln
    c4: Floats = np.sqrt(2 / (n - 1)) * np.exp(log_gamma(n / 2) - log_gamma((n - 1) / 2))
    return c4


def _means(phase: Phase) -> Lines:
    y, n = phase.of_base(phase.value), phase.of_base(phase.n)
    centre = _ratio(y * n, n)
    return _lines(phase, centre, centre, _within(phase) / (_c4(phase.n) * np.sqrt(phase.n)))


def _deviations(phase: Phase) -> Lines:
    centre, c4 = _within(phase), _c4(phase.n)
    return _cut(_lines(phase, centre, centre, centre * np.sqrt(1 - c4**2) / c4))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Sum of top over sum of bottom (s, 1), over entries that are not NaN; NaN without any."""
    total = np.nansum(bottom, axis=1, keepdims=True)
    ratio: Floats = np.nansum(top, axis=1, keepdims=True) / np.where(total > 0, total, np.nan)
    return ratio


def _rates(phase: Phase) -> tuple[Floats, Floats]:
    n = phase.of_base(phase.n)
    centre = _ratio(phase.of_base(phase.value) * n, n)
    return centre, np.sqrt(centre / phase.n)


def _proportions(phase: Phase) -> tuple[Floats, Floats]:
    centre, _ = _rates(phase)
    return centre, np.sqrt(centre * np.clip(1 - centre, 0, 1) / phase.n)


def _prime(phase: Phase, centre: Floats, sigma: Floats) -> Lines:
    """Laney: sigma times the moving-range standard deviation of the standardised points."""
    distance = rounded_off(phase.value - centre, phase.value)
    standard = distance / np.where(sigma > 0, sigma, np.nan)
    mean_range, screened = _mean_moving_range(phase.of_base(standard), phase.screen)
    return _lines(phase, centre, centre, sigma * mean_range * phase.per_range / 3, screened)


def _cut(lines: Lines, top: float = np.inf) -> Lines:
    return lines._replace(lower=np.maximum(lines.lower, 0.0), upper=np.minimum(lines.upper, top))


def _p(phase: Phase) -> Lines:
    centre, sigma = _proportions(phase)
    return _cut(_lines(phase, centre, centre, sigma), 1.0)


def _u(phase: Phase) -> Lines:
    centre, sigma = _rates(phase)
    return _cut(_lines(phase, centre, centre, sigma))


def _g(phase: Phase) -> Lines:
    held = phase.of_base(phase.value)
    mean = row_means(held)
    return _cut(_lines(phase, row_medians(held), mean, np.sqrt(mean * (mean + 1))))


def _t(phase: Phase) -> Lines:
    root = Phase(phase.value ** (1 / T_POWER), phase.n, phase.sd, phase.base, phase.screen, phase.per_range)
    lines = _cut(_individuals(root))
    centre, lower, upper = (line**T_POWER for line in (lines.centre, lines.lower, lines.upper))
    return Lines(phase.value, centre, lower, upper, np.full(upper.shape, np.nan), lines.screened)


KINDS: dict[str, Callable[[Phase], Lines]] = {
    "run": _run,
    "i": _individuals,
    "mr": _moving_ranges,
    "xbar": _means,
    "s": _deviations,
    "p": _p,
    "p'": lambda phase: _cut(_prime(phase, *_proportions(phase)), 1.0),
    "u": _u,
    "u'": lambda phase: _cut(_prime(phase, *_rates(phase))),
    "c": _u,
    "g": _g,
    "t": _t,
}
