"""Compiled exact solvers for people on a line (a score): degrees of a flow, and pairs within a caliper.

Both take points sorted by stratum and then score, with `starts` (g + 1,) the bounds of the strata, and solve
each stratum by itself. Single-threaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from qieval.numerics.two_way import Codes, Floats

HEAD, TAIL = 0, 1
UP, LEFT, TAKE = 0, 1, 2


@njit(cache=True)
def flow_degrees(x: Floats, source: Any, low: Codes, high: Codes, starts: Codes) -> Codes:
    """Number of partners of each point (n,) in the cheapest many-to-many matching with these limits.

    A source (focal point) sends low..high units, any other point takes low..high; a unit costs the distance
    it travels. The cost is sum |S_i| (x_{i+1} - x_i) with S_i the units under way, so the least cost as a
    function of S is convex: its slopes are kept in a sorted linked list with one cursor at S = 0, where
    distances are added, and one at the minimum, where the choice low..high inserts slopes of zero. Both
    cursors move locally: O(n) for bounded limits. The caller has checked that limits can be kept.
    """
    degree = np.zeros(x.size, np.int64)
    longest = 0
    for s in range(starts.size - 1):
        longest = max(longest, starts[s + 1] - starts[s])
    room = 4 * longest + 8
    value, count = np.empty(room), np.empty(room, np.int64)
    before, after = np.empty(room, np.int64), np.empty(room, np.int64)
    least = np.empty(longest, np.int64)
    for s in range(starts.size - 1):
        first, stop = starts[s], starts[s + 1]
        _sweep(
            x[first:stop],
            source[first:stop],
            low[first:stop],
            high[first:stop],
            least,
            (value, count, before, after),
        )
        under_way = 0
        for i in range(stop - 1, first - 1, -1):
            sign = 1 if source[i] else -1
            nearest = min(max(sign * (under_way - least[i - first]), low[i]), high[i])
            degree[i] = nearest
            under_way -= sign * nearest
    return degree


@njit(cache=True)
def _sweep(x: Any, source: Any, low: Any, high: Any, least: Any, nodes: Any) -> None:
    """Fill least[i] with the S that is cheapest just before point i. Nodes are runs (slope, length)."""
    value, count, before, after = nodes
    value[HEAD], value[TAIL] = -np.inf, np.inf
    count[HEAD] = count[TAIL] = np.int64(1) << 60
    after[HEAD], before[TAIL] = TAIL, HEAD
    zero, minimum, position, used = TAIL, TAIL, np.int64(0), 2
    for i in range(x.size):
        here = x[i] - x[0]
        # Slopes left of zero are stored plus `here`, the others minus `here`: no list is walked to add a gap.
        while position > 0 and value[before[minimum]] + here >= 0:
            minimum = before[minimum]
            position -= count[minimum]
        while position < 0 and value[minimum] - here < 0:
            position += count[minimum]
            minimum = after[minimum]
        least[i] = position
        extra = high[i] - low[i]
        move = -low[i] if source[i] else low[i]
        zero, minimum, used = _move(nodes, zero, minimum, used, move, here)
        position -= move
        if extra == 0:
            continue
        on_right = position >= 0 if source[i] else position > 0
        at_zero = minimum == zero
        value[used], count[used] = (-here if on_right else here), extra
        before[used], after[used] = before[minimum], minimum
        after[before[minimum]] = used
        before[minimum] = used
        minimum = used
        used += 1
        if on_right and at_zero:
            zero = minimum
        if source[i] and not on_right:
            zero, minimum, used = _move(nodes, zero, minimum, used, -extra, here)
        if not source[i]:
            position -= extra
            if on_right:
                zero, minimum, used = _move(nodes, zero, minimum, used, extra, here)


@njit(cache=True)
def _move(nodes: Any, zero: int, minimum: int, used: int, steps: int, here: float) -> tuple[int, int, int]:
    """Move the cursor `zero` by steps along the list; runs that it cuts are split. New cursors."""
    value, count, before, after = nodes
    left = abs(steps)
    while left > 0:
        node = zero if steps > 0 else before[zero]
        if count[node] > left:
            # The part nearer to HEAD keeps the number of the run, except that TAIL stays last.
            new, rest = used, count[node] - left
            used += 1
            value[new] = value[node]
            if node == TAIL:
                before[new], after[new] = before[TAIL], TAIL
                after[before[TAIL]] = new
                before[TAIL] = new
                count[new], count[TAIL] = left, rest
                minimum = new if minimum == TAIL else minimum
                node = new
            else:
                before[new], after[new] = node, after[node]
                before[after[node]] = new
                after[node] = new
                count[node], count[new] = (left, rest) if steps > 0 else (rest, left)
                node = node if steps > 0 else new
        value[node] += 2 * here if steps > 0 else -2 * here
        zero = after[node] if steps > 0 else node
        left -= count[node]
    return zero, minimum, used


@njit(cache=True)
def caliper_windows(
    focal: Floats, pool: Floats, focal_starts: Codes, pool_starts: Codes, caliper: float
) -> tuple[Codes, Codes, int]:
    """Positions lo..hi (inclusive) in the pool that each focal point may need, and the largest block's cells.

    In some best matching pairs are in order and nobody between two partners is free; so a partner lies no
    further than where people would stand who park one behind the other, to the right (where the pool's ties
    count as lying) or to the left.
    """
    lo, hi = np.empty(focal.size, np.int64), np.empty(focal.size, np.int64)
    largest = 0
    for s in range(focal_starts.size - 1):
        first, stop, base, end = focal_starts[s], focal_starts[s + 1], pool_starts[s], pool_starts[s + 1]
        nearest, reach, last = base, base, base - 1
        for i in range(first, stop):
            while nearest < end and pool[nearest] < focal[i]:
                nearest += 1
            while reach < end and pool[reach] - focal[i] <= caliper:
                reach += 1
            last = min(reach - 1, max(nearest, last + 1))
            hi[i] = last
        nearest, reach, last = end - 1, end - 1, end
        for i in range(stop - 1, first - 1, -1):
            while nearest >= base and pool[nearest] >= focal[i]:
                nearest -= 1
            while reach >= base and focal[i] - pool[reach] <= caliper:
                reach -= 1
            last = max(reach + 1, min(nearest, last - 1))
            lo[i] = last
        i = first
        while i < stop:
            block_end, cells = _block(lo, hi, i, stop)
            largest = max(largest, cells)
            i = block_end
    return lo, hi, largest


@njit(cache=True)
def _block(lo: Codes, hi: Codes, first: int, stop: int) -> tuple[int, int]:
    """End of the block of focal points whose windows overlap that begins at `first`, and its cells."""
    i, top, cells = first, hi[first], 0
    while i < stop and (i == first or lo[i] <= top):
        top = max(top, hi[i])
        cells += max(hi[i] - lo[i] + 1, 0)
        i += 1
    return i, cells


@njit(cache=True)
def pairs_in_windows(focal: Floats, pool: Floats, lo: Codes, hi: Codes, starts: Codes, largest: int) -> Codes:
    """Position in the pool of each focal point's partner, or -1: most pairs first, then least total distance.

    Windows as `caliper_windows` gives them. Alignment of two sorted sequences by dynamic programming over the
    cells inside the windows, block by block; a quarter of a byte for each cell of the largest block.
    """
    partner = np.full(focal.size, -1, np.int64)
    trace = np.empty(largest // 4 + 1, np.uint8)
    number, cost = np.zeros(pool.size + 1, np.int64), np.zeros(pool.size + 1)
    offset = np.zeros(focal.size + 1, np.int64)
    for s in range(starts.size - 1):
        i = starts[s]
        while i < starts[s + 1]:
            end, _ = _block(lo, hi, i, starts[s + 1])
            _align(focal, pool, lo, hi, (i, end), (trace, number, cost, offset, partner))
            i = end
    return partner


@njit(cache=True)
def _align(focal: Any, pool: Any, lo: Any, hi: Any, block: Any, work: Any) -> None:
    """Solve one block. number, cost [j + 1] are the best of the focal points so far with the pool up to j."""
    trace, number, cost, offset, partner = work
    first, end = block
    bottom = lo[first]
    top, cell = bottom - 1, 0
    number[bottom], cost[bottom] = 0, 0.0
    for i in range(first, end):
        offset[i] = cell
        while top < hi[i]:
            top += 1
            number[top + 1], cost[top + 1] = number[top], cost[top]
        diagonal, cost_diagonal = number[lo[i]], cost[lo[i]]
        for j in range(lo[i], hi[i] + 1):
            up, cost_up = number[j + 1], cost[j + 1]
            best, least, code = diagonal + 1, cost_diagonal + abs(focal[i] - pool[j]), TAKE
            if number[j] > best or (number[j] == best and cost[j] < least):
                best, least, code = number[j], cost[j], LEFT
            if up > best or (up == best and cost_up < least):
                best, least, code = up, cost_up, UP
            number[j + 1], cost[j + 1] = best, least
            shift = 2 * (cell & 3)
            trace[cell >> 2] = (trace[cell >> 2] & ~(3 << shift)) | (code << shift)
            diagonal, cost_diagonal = up, cost_up
            cell += 1
    i, j = end - 1, top
    while i >= first:
        j = min(j, hi[i])
        cell = offset[i] + j - lo[i]
        code = UP if j < lo[i] else (trace[cell >> 2] >> (2 * (cell & 3))) & 3
        if code == TAKE:
            partner[i] = j
        if code != UP:
            j -= 1
        if code != LEFT:
            i -= 1
