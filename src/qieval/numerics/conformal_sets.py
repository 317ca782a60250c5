"""Which null values a conformal test accepts: exact where residuals are piecewise linear, else searched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.null_sets import NullSet, accepted_pieces, between, real_roots
from qieval.numerics.simplex_path import moving_target, whole_path
from qieval.numerics.two_way import Floats, Mask

TIES = 1e-10
REACH = 1e4
"""A search ends this many residual standard deviations from the estimate."""


@dataclass(frozen=True)
class Limit:
    """What n equally likely shuffles can tell at a level."""

    n: int
    level: float

    @property
    def smallest_p(self) -> float:
        """The smallest p-value."""
        return 1.0 / self.n

    @property
    def highest_level(self) -> float:
        """The highest level at which anything can be rejected."""
        return 1.0 - 1.0 / self.n

    @property
    def allowed(self) -> int:
        """The largest number of extreme shuffles with p <= 1 - level."""
        return math.floor((1.0 - self.level) * self.n + 1e-9)

    def reason(self, found: Sequence[NullSet]) -> str:
        """Why ends are infinite or missing; empty if none is."""
        if self.allowed < 1:
            return (
                f"{self.n} shuffles give p-values of {self.smallest_p:.3g} and more, so that nothing can be"
                f" rejected at level {self.level:g}; the highest level with a finite interval is"
                f" {self.highest_level:.3g}."
            )
        if any(accepted.limited for accepted in found):
            return "Effects were still accepted where the search ended; that end is given as infinite."
        if any(accepted.unbounded for accepted in found):
            return "Effects however large are accepted: the refit absorbs them in periods before the start."
        if any(not len(accepted.pieces) for accepted in found):
            return "No constant effect is accepted at this level."
        return ""


@dataclass(frozen=True, eq=False)
class Lines:
    """Residuals (k, t) at the bends tau (k,), linear in between, with slopes first and last (t,) beyond."""

    tau: Floats
    values: Floats
    first: Floats
    last: Floats

    @cached_property
    def slopes(self) -> Floats:
        """Slope (k + 1, t) before each bend, and after the last."""
        between = np.diff(self.values, axis=0) / np.diff(self.tau)[:, None]
        return np.concatenate([self.first[None], between, self.last[None]])

    def at(self, tau: Floats) -> Floats:
        """Residuals (m, t) at tau (m,)."""
        place = np.searchsorted(self.tau, tau)
        anchor = np.maximum(place - 1, 0)
        return np.asarray(self.values[anchor] + (tau - self.tau[anchor])[:, None] * self.slopes[place])

    def zeros(self) -> Floats:
        """Every tau at which a residual changes sign."""
        anchor = np.maximum(np.arange(self.tau.size + 1) - 1, 0)
        start = np.append(-np.inf, self.tau)[:, None]
        end = np.append(self.tau, np.inf)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.tau[anchor][:, None] - self.values[anchor] / self.slopes
        return np.asarray(found[(found > start) & (found < end)])


def residual_lines(target: Floats, donors: Floats, pre: int, demeaned: bool) -> Lines:
    """Residuals (k, t) of every refit as the null value of a common effect goes from -inf to inf."""
    after = np.zeros_like(target)
    after[pre:] = 1.0
    if demeaned:
        target, donors, after = (part - part.mean(axis=0) for part in (target, donors, after))
    path = whole_path(moving_target(donors, target, after))
    if not path.converged:
        raise EstimationError("conformal intervals: the weights change more often than can be followed.")
    kept = np.append(True, np.diff(path.tau) > 0)
    tau, weights = path.tau[kept], path.weights[kept]
    values = target - tau[:, None] * after - weights @ donors.T
    return Lines(tau, values, -after - donors @ path.first, -after - donors @ path.last)


Means = Callable[[Floats], Floats]
"""From values (m, t) to the mean after the start for each of n shuffles (m, n)."""


def accepted_on_path(lines: Lines, means: Means, pre: int, allowed: int, power: int = 1) -> NullSet:
    """Null values at which more than `allowed` shuffles have a statistic as large as that of the data.

    Between bends and changes of sign, every statistic (power 1 or 2) is a linear or quadratic function of the
    null value: the values where two of them cross are known, and the verdict is read off between them.
    """
    if power not in (1, 2):
        raise ValueError("exact sets are for power 1 or 2")
    parts = np.unique(np.concatenate([lines.tau, lines.zeros()]))
    crossings = _crossings(lines, means, pre, parts, power)
    points = np.unique(np.concatenate([parts, crossings]))
    points = points[np.append(True, np.diff(points) > 1e-12 * (np.ptp(points) or 1.0))]
    around = between(points)

    def verdict(tau: Floats) -> Mask:
        powers = np.abs(lines.at(tau)) ** power
        own = powers[:, pre:].mean(axis=1, keepdims=True)
        extreme = np.count_nonzero(means(powers) >= own * (1 - TIES), axis=1)
        return np.asarray(extreme > allowed)

    return NullSet(accepted_pieces(points, verdict(points), verdict(around)))


def _crossings(lines: Lines, means: Means, pre: int, parts: Floats, power: int) -> Floats:
    """Null values at which a shuffle's statistic equals the data's, in each interval between `parts`."""
    middle = between(parts)
    start, end = np.append(-np.inf, parts)[:, None], np.append(parts, np.inf)[:, None]
    value = lines.at(middle)
    slope = lines.slopes[np.searchsorted(lines.tau, middle)]
    sign = np.sign(value)
    terms = (sign * value, sign * slope) if power == 1 else (value**2, 2 * value * slope, slope**2)
    level, rate, *bend = (means(term) - term[:, pre:].mean(axis=1, keepdims=True) for term in terms)
    roots = real_roots(level, rate, bend[0] if bend else np.zeros_like(level)) + middle[:, None]
    return np.asarray(roots[(roots > start) & (roots < end)])


def accepted_on_search(accepts: Callable[[float], bool], centre: float, unit: float) -> NullSet:
    """Null values accepted, found on a grid around `centre` in steps of unit / 4 that widen, and bisection.

    Holes narrower than the grid are not seen. An end is infinite, and `limited` set, if values are still
    accepted 10,000 units from the centre.
    """
    above = _one_side(accepts, centre, unit)
    below = _one_side(accepts, centre, -unit)
    points = np.concatenate([below[0][::-1], [centre], above[0]])
    accepted = np.concatenate([below[1][::-1], [accepts(centre)], above[1]])
    pieces = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], accepted, [False]]).astype(int)))
    for begin, stop in zip(edges[0::2], edges[1::2] - 1, strict=True):
        low = -np.inf if begin == 0 else _edge(accepts, points[begin], points[begin - 1])
        high = np.inf if stop == points.size - 1 else _edge(accepts, points[stop], points[stop + 1])
        pieces.append((low, high))
    found = np.array(pieces).reshape(-1, 2)
    return NullSet(found, limited=bool(np.isinf(found).any()))


def _one_side(accepts: Callable[[float], bool], centre: float, unit: float) -> tuple[Floats, Mask]:
    """Values tried outwards and their verdicts: close steps until twelve are rejected, then far ones."""
    tried: list[float] = []
    verdicts: list[bool] = []
    for step in np.arange(0.25, 12, 0.25):
        tried.append(centre + unit * step)
        verdicts.append(accepts(tried[-1]))
        if len(verdicts) >= 12 and not any(verdicts[-12:]):
            break
    for step in np.geomspace(12, REACH, 28):
        tried.append(centre + unit * step)
        verdicts.append(accepts(tried[-1]))
    return np.array(tried), np.array(verdicts)


def _edge(accepts: Callable[[float], bool], inside: float, outside: float) -> float:
    """The border between an accepted and a rejected value."""
    tolerance = 1e-9 * abs(outside - inside)
    while abs(outside - inside) > tolerance:
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        inside, outside = (middle, outside) if accepts(middle) else (inside, middle)
    return float(inside)
