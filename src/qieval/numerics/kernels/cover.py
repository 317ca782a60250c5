"""Compiled exact solver of full matching on a line (a score): the cheapest edge cover. Single-threaded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from qieval.numerics.two_way import Codes, Floats


@njit(cache=True)
def cover_edges(x: Floats, focal: Any, starts: Codes, caliper: float) -> tuple[Codes, Codes]:
    """Links (position, position): a cheapest set that reaches everybody who has a partner in reach.

    x (n,) and focal (n,) sorted by stratum and then score, starts (g + 1,) the bounds of the strata.

    Such an edge cover links only neighbouring runs of one group: each run splits into a front that is linked
    to the run before and a back that is linked to the run after. A back of b and a front of a, with gap g
    between the runs, cost their offsets from the gap plus (a + b - min(a, b, K)) g; K is how many can be
    linked crosswise within the caliper. Dynamic programming over the size of the front: O(n).
    """
    left, right = np.empty(x.size, np.int64), np.empty(x.size, np.int64)
    edges = 0
    for s in range(starts.size - 1):
        kept = _in_reach(x, focal, starts[s], starts[s + 1], caliper)
        if kept.size:
            edges = _cover(x, focal, kept, caliper, (left, right, edges))
    return left[:edges], right[:edges]


@njit(cache=True)
def _in_reach(x: Any, focal: Any, first: int, stop: int, caliper: float) -> Codes:
    """Positions in first..stop-1 with somebody of the other group within the caliper."""
    reached = np.zeros(stop - first, np.bool_)
    for side in (1, -1):
        last = np.array([-1, -1])
        for step in range(stop - first):
            i = first + step if side == 1 else stop - 1 - step
            other = last[0 if focal[i] else 1]
            if other >= 0 and abs(x[i] - x[other]) <= caliper:
                reached[i - first] = True
            last[1 if focal[i] else 0] = i
    return first + np.flatnonzero(reached)


@njit(cache=True)
def _runs(focal: Any, kept: Any) -> Codes:
    """Bounds (r + 1,) of the runs of one group among the kept positions."""
    bounds = [0]
    for i in range(1, kept.size):
        if focal[kept[i]] != focal[kept[i - 1]]:
            bounds.append(i)
    bounds.append(kept.size)
    return np.array(bounds)


@njit(cache=True)
def _cover(x: Any, focal: Any, kept: Any, caliper: float, out: Any) -> int:
    """Solve one stratum, append its edges to out = (left, right, number so far); the new number."""
    left, right, edges = out
    bounds = _runs(focal, kept)
    n_runs = bounds.size - 1
    at = x[kept]
    back_of = np.zeros(kept.size + n_runs, np.int64)
    crosswise = np.zeros(n_runs, np.int64)
    cost = np.full(bounds[1] + 1, np.inf)
    cost[0] = 0.0
    for r in range(n_runs - 1):
        start, middle, stop = bounds[r], bounds[r + 1], bounds[r + 2]
        crosswise[r] = _crosswise(at, start, middle, stop, caliper)
        run, back, choice = at[start:middle], at[middle:stop], back_of[middle + r + 1 : stop + r + 2]
        cost = _step(cost, run, back, caliper, crosswise[r], choice)
    front = bounds[n_runs] - bounds[n_runs - 1]
    for r in range(n_runs - 1, 0, -1):
        back = back_of[bounds[r] + r + front]
        edges = _link(kept, bounds[r], back, front, crosswise[r - 1], (left, right, edges))
        front = bounds[r] - bounds[r - 1] - back
    return int(edges)


@njit(cache=True)
def _crosswise(at: Any, start: int, middle: int, stop: int, caliper: float) -> int:
    """How many of two neighbouring runs can be paired one to one within the caliper (bisection)."""
    possible, impossible = 0, min(middle - start, stop - middle) + 1
    while impossible - possible > 1:
        size = (possible + impossible) // 2
        fits = True
        for i in range(size):
            if at[middle + i] - at[middle - size + i] > caliper:
                fits = False
                break
        possible, impossible = (size, impossible) if fits else (possible, size)
    return possible


@njit(cache=True)
def _step(cost: Any, run: Any, ahead: Any, caliper: float, crosswise: int, choice: Any) -> Floats:
    """From the least cost by front of one run to that of the next; choice[front ahead] = back of this run."""
    n, gap = run.size, ahead[0] - run[-1]
    settled, offset = np.full(n + 2, np.inf), 0.0
    first_best, last_best = np.zeros(n + 2, np.int64), np.full(n + 2, n + 1)
    for back in range(n + 1):
        if back:
            offset += run[-1] - run[n - back]
            first_best[back] = first_best[back - 1]
        if back == 0 or ahead[0] - run[n - back] <= caliper:
            settled[back] = cost[n - back] + offset
        if settled[back] < settled[first_best[back]]:
            first_best[back] = back
    for back in range(n, -1, -1):
        last_best[back] = last_best[back + 1]
        if settled[back] + back * gap <= settled[last_best[back]] + last_best[back] * gap:
            last_best[back] = back
    new, offset = np.full(ahead.size + 1, np.inf), 0.0
    for front in range(ahead.size + 1):
        if front:
            offset += ahead[front - 1] - ahead[0]
            if ahead[front - 1] - run[-1] > caliper:
                break
        shared = min(front, crosswise, n)
        few, many = first_best[shared], last_best[shared + 1]
        with_few, with_many = settled[few], settled[many] + (many - shared) * gap
        choice[front] = few if with_few <= with_many else many
        new[front] = min(with_few, with_many) + front * gap + offset
    return new


@njit(cache=True)
def _link(kept: Any, middle: int, back: int, front: int, crosswise: int, out: Any) -> int:
    """Link the last `back` before and the first `front` after the gap, in order; the rest to the nearest."""
    left, right, edges = out
    shared = min(back, front, crosswise)
    for i in range(1, max(back, front) + 1):
        if i <= shared:
            left[edges], right[edges] = kept[middle - i], kept[middle + shared - i]
            edges += 1
            continue
        if i <= back:
            left[edges], right[edges] = kept[middle - i], kept[middle]
            edges += 1
        if i <= front:
            left[edges], right[edges] = kept[middle - 1], kept[middle + i - 1]
            edges += 1
    return int(edges)
