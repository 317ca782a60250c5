"""Greedy matching: nearest partners along a score, in a tree or in a matrix, and the orders of choosing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qieval.numerics.kernels.nearest_tree import INNER, Found, Rules, Tree, allowed, in_tree, take

Floats = NDArray[np.float64]
Places = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Pairs = tuple[Places, Places, Floats]

LINE, TREE, MATRIX = 0, 1, 2
ROW, CODE, STEP, BELOW, ABOVE = 0, 1, 2, 3, 4
REPLACE, IN_ORDER, CLOSEST, FARTHEST = 0, 1, 2, 3
MODES = {"closest": CLOSEST, "farthest": FARTHEST}


class Line(NamedTuple):
    """All rows sorted by stratum and score, at places 1 to n; 0 and n + 1 stand for "nobody".

    at (n + 2, 5): row at a place, its stratum, its place when sorted by score alone, and links towards the
    next free pool row below and above. value (n + 2,): its score. place (n,): of each row.
    coin (n,) or empty: whether the lower of two equally distant rows is taken.
    """

    at: Places
    value: Floats
    place: Places
    coin: Bytes


class Matrix(NamedTuple):
    """Distances (focal, pool); person (n, 2): line or column of each row of data, and its stratum.

    column (pool, 2): row of data of each column, and whether it is free.
    """

    distance: Floats
    person: Places
    column: Places


class State(NamedTuple):
    """Everything a search reads and changes. bounds: distances must exceed the first, not the second."""

    kind: int
    line: Line
    tree: Tree
    matrix: Matrix
    rules: Rules
    bounds: tuple[float, float]


@njit(cache=True)
def link(free: Bytes, at: Places) -> None:
    """Point every place at the next free place on either side, or at itself if it is free; free (n + 2,)."""
    n = free.size - 2
    at[0, BELOW], at[n + 1, ABOVE] = 0, n + 1
    for q in range(1, n + 2):
        at[q, BELOW] = q if free[q] else at[q - 1, BELOW]
    for q in range(n, -1, -1):
        at[q, ABOVE] = q if free[q] else at[q + 1, ABOVE]


@njit(**INNER)
def _follow(at: Places, side: int, q: int) -> int:
    """The next free place on a side, shortening the path on the way."""
    while at[q, side] != q:
        at[q, side] = at[at[q, side], side]
        q = at[q, side]
    return q


@njit(**INNER)
def _reach(line: Line, code: int, here: float, q: int, furthest: float) -> float:
    """Distance of place q; infinite where it is nobody, of another stratum or beyond reach."""
    if q == 0 or q == line.value.size - 1 or line.at[q, CODE] != code:
        return np.inf
    gap = float(abs(line.value[q] - here))
    return gap if gap <= furthest else np.inf


@njit(**INNER)
def _lower_first(line: Line, i: int, below: int, above: int) -> bool:
    """Of two equally distant places, whether the lower one comes first, given steps to each."""
    return line.coin[i] == 1 if line.coin.size else below <= above


@njit(**INNER)
def _on_line(state: State, i: int, around: tuple[int, int], k: int, found: Found) -> int:
    """The k nearest free and allowed rows along the score.

    Places are looked at by rising distance; at equal distance the one fewer steps away first, the lower at
    equal steps. around: the steps from which the counting begins on the lower and on the upper side.
    """
    line = state.line
    q = line.place[i]
    code, here = line.at[q, CODE], line.value[q]
    least, furthest = state.bounds
    a, b = _follow(line.at, BELOW, q), _follow(line.at, ABOVE, q)
    at_a, at_b = _reach(line, code, here, a, furthest), _reach(line, code, here, b, furthest)
    count = 0
    while count < k and (at_a < np.inf or at_b < np.inf):
        lower = at_a < at_b
        if at_a == at_b:
            lower = _lower_first(line, i, around[0] - line.at[a, STEP], line.at[b, STEP] - around[1])
        chosen, distance = (a, at_a) if lower else (b, at_b)
        if distance > least and allowed(state.rules, i, line.at[chosen, ROW]):
            found[0][count], found[1][count] = line.at[chosen, ROW], distance
            count += 1
        if lower:
            a = _follow(line.at, BELOW, a - 1)
            at_a = _reach(line, code, here, a, furthest)
        else:
            b = _follow(line.at, ABOVE, b + 1)
            at_b = _reach(line, code, here, b, furthest)
    return count


@njit(**INNER)
def _in_matrix(state: State, i: int, k: int, found: Found) -> int:
    """The k nearest free and allowed rows by a given matrix; at equal distance the first column (or draw)."""
    matrix, rules = state.matrix, state.rules
    rows, distances, keys = found
    least, furthest = state.bounds
    count = 0
    for c in range(len(matrix.column)):
        d, j = matrix.distance[matrix.person[i, 0], c], matrix.column[c, 0]
        if matrix.column[c, 1] == 0 or not np.isfinite(d) or d > furthest or d <= least:
            continue
        key = rules.draw[j] if rules.draw.size else float(c)
        if count == k and (d > distances[k - 1] or (d == distances[k - 1] and key > keys[k - 1])):
            continue
        if matrix.person[i, 1] != matrix.person[j, 1] or not allowed(rules, i, j):
            continue
        a = count if count < k else k - 1
        while a > 0 and (distances[a - 1] > d or (distances[a - 1] == d and keys[a - 1] > key)):
            rows[a], distances[a], keys[a] = rows[a - 1], distances[a - 1], keys[a - 1]
            a -= 1
        rows[a], distances[a], keys[a] = j, d, key
        count = min(count + 1, k)
    return count


@njit(**INNER)
def _find(state: State, i: int, around: tuple[int, int], k: int, found: Found) -> int:
    """The k nearest free and allowed rows of row i, into found (rows, distances, keys); how many."""
    if state.kind == LINE:
        count: int = _on_line(state, i, around, k, found)
    elif state.kind == TREE:
        count = in_tree(state.tree, state.rules, i, state.bounds, k, found)
    else:
        count = _in_matrix(state, i, k, found)
    return count


@njit(**INNER)
def _take(state: State, j: int) -> None:
    """Row j is matched and no longer free."""
    if state.kind == LINE:
        q = state.line.place[j]
        state.line.at[q, BELOW], state.line.at[q, ABOVE] = q - 1, q + 1
    elif state.kind == TREE:
        take(state.tree, j)
    else:
        state.matrix.column[state.matrix.person[j, 0], 1] = 0


@njit(**INNER)
def _step(state: State, i: int) -> int:
    """Where row i stands when all rows are sorted by score; zero where there is no such order."""
    return state.line.at[state.line.place[i], STEP] if state.kind == LINE else 0


@njit(**INNER)
def _room(k: int) -> Found:
    return np.empty(k, np.int32), np.empty(k), np.empty(k)


@njit(**INNER)
def _standing(state: State, rows: Places) -> tuple[Places, Places]:
    """Where the count of steps begins on the lower and the upper side of each row."""
    lower, upper = np.empty(rows.size, np.int32), np.empty(rows.size, np.int32)
    for a in range(rows.size):
        lower[a] = upper[a] = _step(state, rows[a])
    return lower, upper


@njit(**INNER)
def _with_replacement(state: State, rows: Places, ratio: Places, size: tuple[int, int]) -> Pairs:
    """The nearest rows of everybody, each as often as wanted. size: largest ratio, and sum of ratios."""
    found = _room(size[0])
    focal, pool, distance = np.empty(size[1], np.int32), np.empty(size[1], np.int32), np.empty(size[1])
    n = 0
    for a in range(rows.size):
        here = _step(state, rows[a])
        for c in range(_find(state, rows[a], (here, here), ratio[a], found)):
            focal[n], pool[n], distance[n] = rows[a], found[0][c], found[1][c]
            n += 1
    return focal[:n], pool[:n], distance[:n]


@njit(**INNER)
def _in_order(state: State, rows: Places, ratio: Places, size: tuple[int, int]) -> Pairs:
    """One partner for each row in turn, then the second partners, and so on; no pool row twice.

    size: largest ratio, and the largest possible number of pairs.
    """
    most = size[1]
    focal, pool, distance = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most)
    lower, upper = _standing(state, rows)
    found = _room(1)
    n = 0
    for r in range(1, size[0] + 1):
        for a in range(rows.size):
            if n == most:
                break
            if ratio[a] < r:
                continue
            if _find(state, rows[a], (lower[a], upper[a]), 1, found) == 0:
                ratio[a] = 0
                continue
            focal[n], pool[n], distance[n] = rows[a], found[0][0], found[1][0]
            _take(state, pool[n])
            here = _step(state, pool[n])
            lower[a], upper[a] = min(lower[a], here), max(upper[a], here)
            n += 1
    return focal[:n], pool[:n], distance[:n]


@njit(**INNER)
def _before(keys: Floats, turns: NDArray[np.int64], a: int, b: int) -> bool:
    return bool(keys[a] < keys[b] or (keys[a] == keys[b] and turns[a] < turns[b]))


@njit(**INNER)
def _sift(heap: Places, size: int, keys: Floats, turns: NDArray[np.int64], at: int) -> None:
    """Let the entry at one place of a heap sink to where it belongs."""
    entry = heap[at]
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _before(keys, turns, heap[below + 1], heap[below]):
            below += 1
        if not _before(keys, turns, heap[below], entry):
            break
        heap[at] = heap[below]
        at = below
    heap[at] = entry


@njit(**INNER)
def _by_distance(state: State, rows: Places, ratio: Places, size: tuple[int, int], sign: float) -> Pairs:
    """As `_in_order`, but whoever has the closest (sign 1) or farthest (-1) nearest partner goes next.

    Nearest partners are found at the start of a round and again when somebody's has been taken. Somebody
    who had to look again goes before (closest) or after (farthest) others at the same distance.
    """
    m = rows.size
    most = size[1]
    focal, pool, distance = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most)
    lower, upper = _standing(state, rows)
    partner, taken = np.empty(m, np.int32), np.zeros(state.rules.values.shape[1], np.uint8)
    keys, turns, heap = np.empty(m), np.empty(m, np.int64), np.empty(m, np.int32)
    found = _room(1)
    n = 0
    for r in range(1, size[0] + 1):
        waiting, turn = 0, 0
        for a in range(m):
            if ratio[a] < r:
                continue
            if _find(state, rows[a], (lower[a], upper[a]), 1, found) == 0:
                ratio[a] = 0
                continue
            partner[a], keys[a], turns[a], heap[waiting] = found[0][0], sign * found[1][0], a, a
            waiting += 1
        for at in range(waiting // 2 - 1, -1, -1):
            _sift(heap, waiting, keys, turns, at)
        while waiting > 0 and n < most:
            a = heap[0]
            here = _step(state, partner[a])
            if taken[partner[a]] == 1:
                around = (min(lower[a], here), max(upper[a], here))
                if _find(state, rows[a], around, 1, found) == 1:
                    turn += 1
                    partner[a], keys[a] = found[0][0], sign * found[1][0]
                    turns[a] = -turn if sign > 0.0 else m + turn
                    _sift(heap, waiting, keys, turns, 0)
                    continue
                ratio[a] = 0
            else:
                focal[n], pool[n], distance[n] = rows[a], partner[a], sign * keys[a]
                _take(state, partner[a])
                taken[partner[a]] = 1
                lower[a], upper[a] = min(lower[a], here), max(upper[a], here)
                n += 1
            waiting -= 1
            heap[0] = heap[waiting]
            _sift(heap, waiting, keys, turns, 0)
    return focal[:n], pool[:n], distance[:n]


@njit(cache=True)
def match(state: State, rows: Places, ratio: Places, size: tuple[int, int], mode: int) -> Pairs:
    """Pairs in the order in which they were made: focal rows, pool rows, distances (squared in a tree).

    rows: focal rows in the order in which they choose, with the matches each wants. size: largest ratio,
    largest possible number of pairs. ratio and the links or marks of free rows in state are used up. One
    entry for all modes, because handing over the state is what takes long to compile.
    """
    if mode == REPLACE:
        pairs: Pairs = _with_replacement(state, rows, ratio, size)
    elif mode == IN_ORDER:
        pairs = _in_order(state, rows, ratio, size)
    else:
        pairs = _by_distance(state, rows, ratio, size, 1.0 if mode == CLOSEST else -1.0)
    return pairs
