"""Difference of each row from its nearest neighbours in the score: the noise, free of any fitted line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.two_way import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ties:
    """Which distances are equal. Scores not more than `same` apart are one score.

    near False: neighbours are equally far if the floating-point differences are identical (the rule of R
    RDHonest; with evenly spaced scores and few rows at each, it hangs on rounding and hence on the unit).
    near True: if they differ by no more than `same`.
    """

    same: float
    near: bool = False


def neighbour_residuals(
    distance: Floats, values: Floats, weights: Floats, ties: Ties, neighbours: int = 3
) -> Floats:
    """Value minus weighted mean of the neighbours, times sqrt(J / (J + w)), (n, p).

    J is the weight of the neighbours and w the row's own; distance (n,) ascending, values (n, p), weights
    (n,). Neighbours of a row are all the others within the distance of its nearest `neighbours` rows (of
    all others where there are fewer), so rows with the same score always count together. The product of two
    columns is an unbiased estimate of their conditional covariance where the means are flat (Abadie and
    Imbens 2006, equation 14).
    """
    n = distance.size
    if n < 2:
        raise ValueError("a neighbour needs a second row")
    first = np.flatnonzero(np.diff(distance, prepend=-np.inf) > ties.same)
    of_row = np.repeat(np.arange(first.size), np.diff(first, append=n))
    points = distance[first]
    reach = _reach(distance, first, min(neighbours, n - 1))
    low, high = _window(points, reach, ties)
    mass = np.bincount(of_row, weights).astype(np.float64)
    around = _window_sums(mass, low, high)[of_row] - weights
    differences = np.empty_like(values)
    for column in range(values.shape[1]):
        value = values[:, column]
        total = _window_sums(np.bincount(of_row, weights * value).astype(np.float64), low, high)[of_row]
        differences[:, column] = value - (total - weights * value) / around
    differences *= np.sqrt(around / (around + weights))[:, None]
    return differences


def _window(points: Floats, reach: Floats, ties: Ties) -> tuple[Ints, Ints]:
    """First support point within reach of each, and the first beyond: by the differences, not by sums."""
    limit = reach + (ties.same if ties.near else 0.0)
    low = np.searchsorted(points, points - limit - ties.same)
    high = np.searchsorted(points, points + limit + ties.same, side="right")
    while np.any(outside := points - points[low] > limit):
        low = low + outside
    while np.any(outside := points[high - 1] - points > limit):
        high = high - outside
    return low, high


def _reach(distance: Floats, first: Ints, neighbours: int) -> Floats:
    """Distance (G,) from each support point to the last of its nearest `neighbours` other rows.

    The nearest J others and the row itself are J + 1 rows in a row: the shortest of the J + 1 such runs.
    """
    shortest = np.full(first.size, np.inf)
    for before in range(neighbours + 1):
        start = first - before
        fits = (start >= 0) & (start + neighbours < distance.size)
        begin = np.where(fits, start, 0)
        far = np.maximum(distance[first] - distance[begin], distance[begin + neighbours] - distance[first])
        shortest = np.where(fits, np.minimum(shortest, far), shortest)
    return shortest


def _window_sums(values: Floats, low: Ints, high: Ints) -> Floats:
    """Sums of values over [low, high), added one place at a time so that nothing cancels."""
    total = values[low].copy()
    for offset in range(1, int(np.max(high - low))):
        place = low + offset
        inside = place < high
        total[inside] += values[place[inside]]
    return total
