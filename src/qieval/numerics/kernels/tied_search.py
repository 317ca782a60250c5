"""Nearest neighbours with ties, compiled: for one weighting of the covariates.

The pool is cut into leaves (`cut`) with the smallest box around each: for one focal pattern only leaves whose
box is near enough are looked into. The cut decides how fast an answer comes, never which: distances are
summed in one order and matches are handed over by rank.

People with identical covariates and stratum form a pattern, which is searched for once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

LEAF = 32
"""Most patterns in a leaf."""

SLACK = 1e-12
"""Boxes are taken to be this much nearer (relative), so that rounding never hides a match."""


class Side(NamedTuple):
    """Patterns of one group in the order that the search uses.

    raw and z are covariates and the same in standard deviations, (m, k) for the focal and (k, m) for the pool
    group; rows[start[i]:start[i + 1]] are the people of pattern i, ascending; stratum (m,) codes; rank (m,):
    of two equally distant patterns the one with the lower rank comes first.
    """

    raw: Floats
    z: Floats
    start: Codes
    rows: Codes
    stratum: Codes
    rank: Codes


class Leaves(NamedTuple):
    """Leaf l holds the pool patterns start[l] to start[l + 1]; low and high (k, L) are its box in z."""

    start: Codes
    low: Floats
    high: Floats
    stratum: Codes


class How(NamedTuple):
    """ratio matches each, tolerance on squared distances, all ties or the first ones; widths (k,) raw."""

    ratio: int
    tolerance: float
    ties: bool
    replace: bool
    limited: bool
    widths: Floats


Sides = tuple[Side, Side, Leaves]


@njit(cache=True)
def _median(points: Floats, dimension: int, order: Codes, low: int, high: int) -> int:
    """Reorder order[low:high] so that the middle one is where sorting by the dimension would put it."""
    middle = (low + high) // 2
    left, right = low, high - 1
    while left < right:
        pivot = points[dimension, order[(left + right) // 2]]
        i, j = left, right
        while i <= j:
            while points[dimension, order[i]] < pivot:
                i += 1
            while pivot < points[dimension, order[j]]:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            break
    return middle


@njit(cache=True)
def cut(points: Floats, order: Codes, low: int, high: int) -> Codes:
    """Reorder order[low:high] into leaves by halving along the widest side; the ends of the leaves."""
    ends = [high]
    ends.pop()
    stack = [(low, high)]
    while len(stack):
        low, high = stack.pop()
        widest, side = -1, 0.0
        for d in range(points.shape[0]):
            least = most = points[d, order[low]]
            for j in range(low + 1, high):
                value = points[d, order[j]]
                least, most = min(least, value), max(most, value)
            if most - least > side:
                widest, side = d, most - least
        if high - low <= LEAF or widest < 0:
            ends.append(high)
            continue
        middle = _median(points, widest, order, low, high)
        stack.append((middle, high))
        stack.append((low, middle))
    return np.array(ends)


@njit(cache=True)
def boxes(points: Floats, start: Codes) -> tuple[Floats, Floats]:
    """Least and largest coordinate in every leaf, (k, L) each."""
    k, n = points.shape[0], start.size - 1
    low, high = np.empty((k, n)), np.empty((k, n))
    for d in range(k):
        for leaf in range(n):
            least = most = points[d, start[leaf]]
            for j in range(start[leaf] + 1, start[leaf + 1]):
                least, most = min(least, points[d, j]), max(most, points[d, j])
            low[d, leaf], high[d, leaf] = least, most
    return low, high


@njit(cache=True)
def _scaled(matrix: Floats, roots: Floats) -> Floats:
    out = np.empty(matrix.shape)
    for d in range(roots.size):
        for j in range(matrix.shape[1]):
            out[d, j] = matrix[d, j] * roots[d]
    return out


@njit(cache=True)
def _gaps(point: Floats, low: Floats, high: Floats, gap: Floats) -> None:
    """Squared distance from a point to every box."""
    for leaf in range(gap.size):
        gap[leaf] = 0.0
    for d in range(point.size):
        p, left, right = point[d], low[d], high[d]
        for leaf in range(gap.size):
            below, above = left[leaf] - p, p - right[leaf]
            outside = below if below > above else above
            outside = outside if outside > 0.0 else 0.0
            gap[leaf] += outside * outside


@njit(cache=True)
def _squared(point: Floats, z: Floats, low: int, near: Floats) -> None:
    """Squared distances from a point to the patterns that begin at low."""
    for j in range(near.size):
        near[j] = 0.0
    for d in range(point.size):
        p, along = point[d], z[d][low : low + near.size]
        for j in range(near.size):
            difference = along[j] - p
            near[j] += difference * difference


@njit(cache=True, fastmath={"nnan", "nsz"})
def _least(near: Floats) -> float:
    least = np.inf
    for j in range(near.size):
        least = near[j] if near[j] < least else least
    return least


@njit(cache=True)
def _within(one: Floats, raw: Floats, j: int, widths: Floats) -> bool:
    for d in range(widths.size):  # noqa: SIM110 - numba compiles no generators
        if abs(one[d] - raw[d, j]) > widths[d]:
            return False
    return True


@njit(cache=True)
def _keep_best(best: Floats, distance: float, times: int) -> None:
    """Insert a distance that occurs `times` times into the ascending smallest distances."""
    last = best.size - 1
    for _ in range(min(times, best.size)):
        if distance >= best[last]:
            return
        place = last
        while place > 0 and best[place - 1] > distance:
            best[place] = best[place - 1]
            place -= 1
        best[place] = distance


@njit(cache=True)
def _sort(found: Codes, keys: Floats, n: int, rank: Codes) -> None:
    """Sort the first n of found, and keys along with them, by keys, then by rank[found] (Shell's gaps)."""
    step = 1
    while step < n // 3:
        step = 3 * step + 1
    while step > 0:
        for j in range(step, n):
            one, key, place = found[j], keys[j], j
            while place >= step and (
                keys[place - step] > key
                or (keys[place - step] == key and rank[found[place - step]] > rank[one])
            ):
                found[place], keys[place] = found[place - step], keys[place - step]
                place -= step
            found[place], keys[place] = one, key
        step //= 3


@njit(cache=True)
def _longer(array: Codes, size: int) -> Codes:
    longer = np.empty(size, np.int64)
    for j in range(array.size):
        longer[j] = array[j]
    return longer


@njit(cache=True)
def matches(sides: Sides, how: How, weights: Floats) -> tuple[Codes, Codes]:
    """Pool patterns matched to each focal pattern: start (m + 1,), found[start[i]:start[i + 1]].

    Found are `how.ratio` nearest people and everybody tied with the last of them; nobody if fewer than that
    lie inside the calipers and the stratum. Without ties: the nearest, then those of lower rank. Without
    replacement focal patterns choose in their order. Without ties or replacement a pattern is one person.
    """
    focal, pool, leaves = sides
    one_z, one_raw, one_stratum = focal.z, focal.raw, focal.stratum
    pool_start, pool_raw, leaf_start, leaf_stratum = pool.start, pool.raw, leaves.start, leaves.stratum
    roots = np.sqrt(weights)
    z, low, high = _scaled(pool.z, roots), _scaled(leaves.low, roots), _scaled(leaves.high, roots)
    n_focal, n_leaves, n_pool = one_z.shape[0], leaf_stratum.size, z.shape[1]
    gap, best, free = np.empty(n_leaves), np.empty(how.ratio), np.ones(n_pool, np.bool_)
    near, found, keys = np.empty(n_pool), np.empty(n_pool, np.int64), np.empty(n_pool)
    point = np.empty(roots.size)
    start, table = np.zeros(n_focal + 1, np.int64), np.empty(4 * n_focal * how.ratio, np.int64)
    plain = how.ratio == 1 and how.replace and not how.limited
    last, tolerance, widths = how.ratio - 1, how.tolerance, how.widths
    for i in range(n_focal):
        for d in range(roots.size):
            point[d] = one_z[i, d] * roots[d]
        _gaps(point, low, high, gap)
        first, least, count = -1, np.inf, 0
        for leaf in range(n_leaves):
            if leaf_stratum[leaf] == one_stratum[i] and gap[leaf] < least:
                first, least = leaf, gap[leaf]
        for j in range(how.ratio):
            best[j] = np.inf
        for turn in range(-1, n_leaves):
            leaf = first if turn < 0 else turn
            if first < 0 or turn == first or leaf_stratum[leaf] != one_stratum[i]:
                continue
            if gap[leaf] * (1 - SLACK) > best[last] + tolerance:
                continue
            begin = leaf_start[leaf]
            here = near[: leaf_start[leaf + 1] - begin]
            _squared(point, z, begin, here)
            if plain:
                best[0] = min(best[0], _least(here))
            bound = best[last] + tolerance
            for j in range(here.size):
                if here[j] > bound:
                    continue
                if not free[begin + j] or (
                    how.limited and not _within(one_raw[i], pool_raw, begin + j, widths)
                ):
                    continue
                found[count], keys[count] = begin + j, here[j]
                count += 1
                _keep_best(best, here[j], pool_start[begin + j + 1] - pool_start[begin + j])
                bound = best[last] + tolerance
        kept = _select(found, keys, count, pool.rank, (best[last], tolerance, how.ratio, how.ties))
        start[i + 1] = start[i] + kept
        if start[i + 1] > table.size:
            table = _longer(table, 2 * start[i + 1])
        for j in range(kept):
            table[start[i] + j] = found[j]
            free[found[j]] = how.replace
    return start, table[: start[n_focal]]


@njit(cache=True)
def _select(
    found: Codes, keys: Floats, count: int, rank: Codes, limit: tuple[float, float, int, bool]
) -> int:
    """Move the matches to the front, by rank; limit = (furthest, tolerance, ratio, ties)."""
    furthest, tolerance, ratio, ties = limit
    if furthest == np.inf:
        return 0
    kept = 0
    for j in range(count):
        if keys[j] <= furthest + tolerance:
            found[kept], keys[kept] = found[j], keys[j]
            kept += 1
    if not ties and kept > ratio:
        _sort(found, keys, kept, rank)
        kept = ratio
    for j in range(kept):
        keys[j] = 0.0
    _sort(found, keys, kept, rank)
    return kept
