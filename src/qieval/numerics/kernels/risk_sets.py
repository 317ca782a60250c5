"""Inner loops of risk-set sampling: draw controls who are at risk on a date, and add up events in windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Pool(NamedTuple):
    """People who can serve as controls, grouped by stratum.

    member[start[s]:start[s + 1]] are the people of stratum s, in any order. entry, leave: a person p is at
    risk on day t if entry[p] <= t < leave[p]. near (p, k): values that must lie within `within` (k,) of the
    case's; k may be 0.
    """

    member: np.ndarray
    start: np.ndarray
    entry: np.ndarray
    leave: np.ndarray
    near: np.ndarray
    within: np.ndarray


class Cases(NamedTuple):
    """Treated people in the order in which they choose: person, index day, stratum (-1: none), each (m,)."""

    person: np.ndarray
    day: np.ndarray
    stratum: np.ndarray


@njit(cache=True, nogil=True)
def _eligible(pool: Pool, p: int, case: int, day: int) -> bool:
    if pool.entry[p] > day or pool.leave[p] <= day:
        return False
    near = True
    for j in range(pool.within.size):
        near &= abs(pool.near[p, j] - pool.near[case, j]) <= pool.within[j]
    return near


@njit(cache=True, nogil=True)
def count_eligible(pool: Pool, cases: Cases) -> np.ndarray:
    """How many people could be a control of each case (m,)."""
    found = np.zeros(cases.day.size, dtype=np.int64)
    for i in range(cases.day.size):
        s = cases.stratum[i]
        if s < 0:
            continue
        for at in range(pool.start[s], pool.start[s + 1]):
            p = pool.member[at]
            if p != cases.person[i] and _eligible(pool, p, cases.person[i], cases.day[i]):
                found[i] += 1
    return found


@njit(cache=True, nogil=True)
def draw_controls(
    pool: Pool, cases: Cases, most: np.ndarray, reuse: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simple random samples without replacement of up to most[i] people eligible for case i.

    Returns the people drawn, those of case i from sum(most[:i]) on, and how many they are (m,). The stratum
    is visited in random order (Fisher and Yates, started afresh for each case) until enough are found, so
    every set of eligible people is as likely as any other. reuse False: whoever was drawn is not drawn again.
    """
    order = pool.member.copy()
    used = np.zeros(pool.entry.size, dtype=np.bool_)
    drawn = np.empty(most.sum(), dtype=np.int64)
    held = np.zeros(cases.day.size, dtype=np.int64)
    offset = 0
    for i in range(cases.day.size):
        s = cases.stratum[i]
        first, last = (pool.start[s], pool.start[s + 1]) if s >= 0 else (0, 0)
        for at in range(first, last):
            if held[i] == most[i]:
                break
            other = at + int(rng.random() * (last - at))
            p = order[other]
            order[other], order[at] = order[at], p
            if p == cases.person[i] or used[p] or not _eligible(pool, p, cases.person[i], cases.day[i]):
                continue
            drawn[offset + held[i]] = p
            held[i] += 1
            used[p] = not reuse
        offset += most[i]
    return drawn, held


@njit(cache=True, nogil=True)
def window_sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """values[first[i]:last[i]].sum() for each i, added up one by one; 0 for an empty window."""
    out = np.zeros(first.size)
    for i in range(first.size):
        for at in range(first[i], last[i]):
            out[i] += values[at]
    return out
