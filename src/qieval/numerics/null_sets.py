"""Sets of null values that a test accepts, read off between the values where its verdict can change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class NullSet:
    """Accepted null values: closed intervals pieces (k, 2) in rising order; k = 0 if none is accepted.

    limited: an end is infinite because a search ended there, not because it was followed to infinity.
    """

    pieces: Floats
    limited: bool = False

    @property
    def low(self) -> float:
        """Smallest accepted value; NaN if none."""
        return float(self.pieces[0, 0]) if len(self.pieces) else np.nan

    @property
    def high(self) -> float:
        """Largest accepted value; NaN if none."""
        return float(self.pieces[-1, 1]) if len(self.pieces) else np.nan

    @property
    def connected(self) -> bool:
        """No rejected value lies between accepted ones."""
        return len(self.pieces) <= 1

    @property
    def unbounded(self) -> bool:
        """Values however far are accepted on a side."""
        return bool(np.isinf(self.pieces).any())


EVERYTHING = NullSet(np.array([[-np.inf, np.inf]]))


def between(points: Floats) -> Floats:
    """A value before, between and after sorted points (m,): (m + 1,).

    >>> between(np.array([0.0, 2.0]))
    array([-3.,  1.,  7.])
    """
    margin = 1.0 + np.abs(points[[0, -1]]) + np.ptp(points)
    inner = (points[1:] + points[:-1]) / 2
    return np.concatenate([[points[0] - margin[0]], inner, [points[-1] + margin[1]]])


def accepted_pieces(points: Floats, at: Mask, around: Mask) -> Floats:
    """Closed accepted intervals (k, 2), from verdicts at points (m,) and in the gaps around them (m + 1,).

    >>> accepted_pieces(np.array([0.0, 1.0]), np.array([True, False]), np.array([False, False, True]))
    array([[ 0.,  0.],
           [ 1., inf]])
    """
    marks = np.empty(2 * points.size + 1, dtype=bool)
    marks[0::2] = around
    marks[1::2] = at | around[:-1] | around[1:]
    change = np.diff(np.concatenate([[False], marks, [False]]).astype(int))
    begin, stop = np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1
    low = np.append(-np.inf, points)[(begin + 1) // 2]
    high = np.append(points, np.inf)[stop // 2]
    return np.stack([low, high], axis=1) if begin.size else np.empty((0, 2))


def real_roots(level: Floats, rate: Floats, bend: Floats) -> Floats:
    """Roots of level + rate x + bend x^2 (2, ...), any shape; NaN or infinite where there is none.

    >>> real_roots(np.array([2.0]), np.array([-3.0]), np.array([1.0])).T
    array([[2., 1.]])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = -0.5 * (rate + np.copysign(np.sqrt(rate**2 - 4 * bend * level), rate))
        return np.stack([inner / bend, level / inner])
