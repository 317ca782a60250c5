"""Confidence sets of any shape: an interval, two rays, the whole line, nothing, or several pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

Shape = Literal["empty", "interval", "ray", "two rays", "whole line", "several pieces"]
Interval = tuple[float, float]

SINGLE: tuple[Shape, ...] = ("interval", "ray", "whole line")
"""What one piece is called, by its number of infinite ends."""


@dataclass(frozen=True)
class ConfidenceSet:
    """Closed pieces (low, high) in increasing order without overlap; an end may be infinite.

    >>> print(ConfidenceSet.of([(2.0, np.inf), (-np.inf, -1.0)]))
    (-inf, -1] or [2, inf)
    """

    intervals: tuple[Interval, ...]

    @classmethod
    def of(cls, intervals: Iterable[Interval]) -> ConfidenceSet:
        """The union of intervals, in any order; those that touch or overlap become one."""
        merged: list[Interval] = []
        for low, high in sorted(intervals):
            if not low <= high:
                raise ValueError(f"an interval runs upwards, not from {low} to {high}")
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((float(low), float(high)))
        return cls(tuple(merged))

    @property
    def shape(self) -> Shape:
        """What the set looks like, in words."""
        infinite = [int(np.isinf(low)) + int(np.isinf(high)) for low, high in self.intervals]
        if not infinite:
            return "empty"
        if len(infinite) == 1:
            return SINGLE[infinite[0]]
        if len(infinite) == 2 and np.isinf(self.low) and np.isinf(self.high):
            return "two rays"
        return "several pieces"

    @property
    def low(self) -> float:
        """The lower end of all pieces; NaN if the set is empty."""
        return self.intervals[0][0] if self.intervals else np.nan

    @property
    def high(self) -> float:
        """The upper end of all pieces; NaN if the set is empty."""
        return self.intervals[-1][1] if self.intervals else np.nan

    @property
    def bounded(self) -> bool:
        """Whether no end is infinite (an empty set is bounded)."""
        return not any(np.isinf(end) for piece in self.intervals for end in piece)

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    def scaled(self, factor: float) -> ConfidenceSet:
        """The set of factor times each value; a negative factor turns it round."""
        if factor == 0:
            raise ValueError("a set cannot be scaled by zero")
        ends = [(factor * low, factor * high) for low, high in self.intervals]
        return ConfidenceSet.of((min(pair), max(pair)) for pair in ends)

    def union(self, other: ConfidenceSet) -> ConfidenceSet:
        """Values in either set."""
        return ConfidenceSet.of((*self.intervals, *other.intervals))

    def __str__(self) -> str:
        def one(low: float, high: float) -> str:
            left = "(-inf" if np.isinf(low) else f"[{low:g}"
            return f"{left}, inf)" if np.isinf(high) else f"{left}, {high:g}]"

        return " or ".join(one(*piece) for piece in self.intervals) or "empty"


EMPTY = ConfidenceSet(())
WHOLE_LINE = ConfidenceSet(((-np.inf, np.inf),))


def quadratic_set(a: float, h: float, c: float) -> ConfidenceSet:
    """All b with a b^2 + 2 h b + c <= 0.

    >>> quadratic_set(1.0, 0.0, -4.0).intervals
    ((-2.0, 2.0),)
    """
    roots = _quadratic_roots(a, h, c)
    if a > 0:
        return ConfidenceSet.of([roots]) if roots else EMPTY
    if a < 0:
        return ConfidenceSet.of([(-np.inf, roots[0]), (roots[1], np.inf)]) if roots else WHOLE_LINE
    if h == 0:
        return WHOLE_LINE if c <= 0 else EMPTY
    end = -c / (2 * h)
    return ConfidenceSet.of([(-np.inf, end) if h > 0 else (end, np.inf)])


def _quadratic_roots(a: float, h: float, c: float) -> Interval | None:
    """Both roots of a b^2 + 2 h b + c in increasing order, without loss by cancellation; None if complex."""
    inside = h * h - a * c
    if a == 0 or inside < 0:
        return None
    far = -(h + np.copysign(np.sqrt(inside), h))
    first, second = float(far / a), float(c / far) if far else 0.0
    return min(first, second), max(first, second)


def set_between(candidates: Iterable[float], excess: Callable[[float], float]) -> ConfidenceSet:
    """All b with excess(b) <= 0, for a continuous function whose sign changes only at the candidates.

    Candidates that are no roots do no harm; roots among them may be inexact and are refined between the
    points where the sign is read off. The function needs values at every finite b.
    """
    at = np.unique([float(b) for b in candidates if np.isfinite(b)])
    if not at.size:
        return WHOLE_LINE if excess(0.0) <= 0 else EMPTY
    reach = max(1.0, float(np.abs(at).max()))
    inner = (at[:-1] + at[1:]) / 2
    points = np.concatenate([[at[0] - reach], inner, [at[-1] + reach]])
    inside = [excess(float(b)) <= 0 for b in points]
    pieces: list[Interval] = []
    start = -np.inf
    for j in range(len(points) - 1):
        if inside[j] == inside[j + 1]:
            continue
        end = _root(excess, float(points[j]), float(points[j + 1]))
        if inside[j]:
            pieces.append((start, end))
        start = end
    if inside[-1]:
        pieces.append((start, np.inf))
    return ConfidenceSet.of(pieces)


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    return float(scipy.optimize.brentq(excess, low, high, xtol=1e-18, rtol=1e-15, maxiter=500))
