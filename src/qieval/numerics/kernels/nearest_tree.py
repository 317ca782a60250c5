"""Nearest points in several dimensions: a k-d tree whose points can be taken out, with side conditions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int32]
Found = tuple[Places, Floats, Floats]
Grown = tuple[Places, Places, Floats]

ROW, LEAF_OF, FREE = 0, 1, 2
FIRST, LAST, CHILD, PARENT, ALIVE = 0, 1, 2, 3, 4
SPOT, CODE, STEP = 0, 1, 2

INNER: Any = {"cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For functions called by compiled ones only: without an entry from Python they compile faster."""

LEAF = 24
DEPTH = 256
"""Nodes that can wait while the tree is walked: halving keeps the depth below 64."""


class Rules(NamedTuple):
    """Which pairs are allowed. values (m, n), widths (m,): below zero forbids |difference| <= |width|.

    codes (a, n): a pair must differ in each. draw (n,) is empty or decides between equal distances.
    """

    values: Floats
    widths: Floats
    codes: Places
    draw: Floats


class Tree(NamedTuple):
    """Points in the order of the leaves, boxes of the nodes, and how many points of each node are free.

    The last columns of box belong to the positive calipers of which (positions in Rules).
    spot (m, 3): row, leaf and whether free of each point; node (k, 5): first and last point, first child,
    parent, number of free points; box (k, 2, d): bounds. person (n, 3): spot, stratum and place along the
    first coordinate, which decides between equal distances. Few arrays, because each lengthens compilation.
    """

    point: Floats
    spot: Places
    node: Places
    box: Floats
    which: Places
    root: Places
    person: Places
    vectors: Floats


@njit(**INNER)
def allowed(rules: Rules, i: int, j: int) -> bool:
    """Whether rows i and j satisfy every side condition."""
    for m in range(rules.widths.size):
        gap = abs(rules.values[m, i] - rules.values[m, j])
        if rules.widths[m] >= 0.0:
            if gap > rules.widths[m]:
                return False
        elif gap <= -rules.widths[m]:
            return False
    same = 0
    for a in range(rules.codes.shape[0]):
        same += rules.codes[a, i] == rules.codes[a, j]
    return same == 0


@njit(**INNER)
def _fill_box(points: Floats, order: Places, start: int, stop: int, box: Floats) -> None:
    """Bounds of points[order[start:stop]] in every column: lower, then upper; box (2, d)."""
    for d in range(points.shape[1]):
        box[0, d] = np.inf
        box[1, d] = -np.inf
    for a in range(start, stop):
        for d in range(points.shape[1]):
            value = points[order[a], d]
            box[0, d] = min(box[0, d], value)
            box[1, d] = max(box[1, d], value)


@njit(**INNER)
def _halve(points: Floats, order: Places, start: int, stop: int, middle: int, d: int) -> None:
    """Rearrange order[start:stop] so that nothing before `middle` is above anything after it in column d."""
    a, b = start, stop - 1
    while a < b:
        pivot = points[order[(a + b) // 2], d]
        up, down = a, b
        while up <= down:
            while points[order[up], d] < pivot:
                up += 1
            while points[order[down], d] > pivot:
                down -= 1
            if up <= down:
                order[up], order[down] = order[down], order[up]
                up += 1
                down -= 1
        if middle <= down:
            b = down
        elif middle >= up:
            a = up
        else:
            return


@njit(cache=True)
def grow(points: Floats, unit: Floats, start: Places, stop: Places) -> Grown:
    """Order (m,) of the points in leaves, the nodes (k, 5) and their boxes (k, 2, d).

    One root for each range start to stop (the points of one stratum, never empty); the roots are the
    first nodes. unit (d,) is the length that counts as one in the choice of the column to split.
    """
    m, n_roots = points.shape[0], start.size
    most = 2 * n_roots + 4 * (m // LEAF + 1)
    nodes, boxes = np.empty((most, 5), np.int32), np.empty((most, 2, points.shape[1]))
    order = np.empty(m, np.int32)
    for a in range(m):
        order[a] = a
    for r in range(n_roots):
        nodes[r, FIRST], nodes[r, LAST], nodes[r, PARENT] = start[r], stop[r], -1
    used, node = n_roots, 0
    while node < used:
        a, b = nodes[node, FIRST], nodes[node, LAST]
        nodes[node, CHILD], nodes[node, ALIVE] = -1, b - a
        _fill_box(points, order, a, b, boxes[node])
        widest, spread = 0, 0.0
        for d in range(unit.size):
            here = (boxes[node, 1, d] - boxes[node, 0, d]) / unit[d]
            if here > spread:
                widest, spread = d, here
        if b - a > LEAF and spread > 0.0:
            middle = (a + b) // 2
            _halve(points, order, a, b, middle, widest)
            nodes[node, CHILD] = used
            nodes[used, FIRST], nodes[used, LAST], nodes[used, PARENT] = a, middle, node
            nodes[used + 1, FIRST], nodes[used + 1, LAST], nodes[used + 1, PARENT] = middle, b, node
            used += 2
        node += 1
    return order, nodes[:used].copy(), boxes[:used].copy()


@njit(**INNER)
def take(tree: Tree, row: int) -> None:
    """Take one point out."""
    at = tree.person[row, SPOT]
    tree.spot[at, FREE] = 0
    node = tree.spot[at, LEAF_OF]
    while node >= 0:
        tree.node[node, ALIVE] -= 1
        node = tree.node[node, PARENT]


@njit(**INNER)
def _least(tree: Tree, rules: Rules, node: int, i: int, worst: float) -> float:
    """Least squared distance to the box of a node; infinite where a caliper or `worst` excludes all of it.

    Summed like the distance itself, so that rounding never puts it above the distance of a point inside.
    """
    if tree.node[node, ALIVE] == 0:
        return np.inf
    n_vectors = tree.vectors.shape[1]
    for c in range(tree.which.size):
        m = tree.which[c]
        value, d = rules.values[m, i], n_vectors + c
        if tree.box[node, 0, d] - value > rules.widths[m] or value - tree.box[node, 1, d] > rules.widths[m]:
            return np.inf
    total = 0.0
    for d in range(n_vectors):
        value = tree.vectors[i, d]
        gap = max(max(tree.box[node, 0, d] - value, value - tree.box[node, 1, d]), 0.0)
        total += gap * gap
        if total > worst:
            return np.inf
    return total


@njit(**INNER)
def _latest(tree: Tree, rules: Rules, i: int, j: int) -> float:
    """Among equally distant points the one with the largest value wins (see `qieval.numerics.nearest`)."""
    if rules.draw.size:
        return float(rules.draw[j])
    away = tree.person[j, STEP] - tree.person[i, STEP]
    return float(2 * away if away > 0 else -2 * away - 1)


@njit(**INNER)
def _insert(k: int, count: int, found: Found, j: int, d: float, key: float) -> int:
    """Put a point into the k best so far, ordered by distance, then by falling key; the new count."""
    rows, distances, keys = found
    if count == k:
        if d == distances[k - 1] and key < keys[k - 1]:
            return count
        count -= 1
    a = count
    while a > 0 and (distances[a - 1] > d or (distances[a - 1] == d and keys[a - 1] < key)):
        rows[a], distances[a], keys[a] = rows[a - 1], distances[a - 1], keys[a - 1]
        a -= 1
    rows[a], distances[a], keys[a] = j, d, key
    return count + 1


@njit(**INNER)
def _scan(
    known: tuple[Tree, Rules],
    node: int,
    i: int,
    bounds: tuple[float, float],
    k: int,
    found: tuple[Found, int],
) -> int:
    """Compare row i with every free point of a leaf; found so far, and how many. The new count."""
    tree, rules = known
    best, count = found
    for a in range(tree.node[node, FIRST], tree.node[node, LAST]):
        if tree.spot[a, FREE] == 0:
            continue
        limit = best[1][k - 1] if count == k else bounds[1]
        total = 0.0
        for d in range(tree.point.shape[1]):
            gap = tree.point[a, d] - tree.vectors[i, d]
            total += gap * gap
            if total > limit:
                break
        if total > limit or total <= bounds[0]:
            continue
        j = tree.spot[a, ROW]
        if allowed(rules, i, j):
            count = _insert(k, count, best, j, total, _latest(tree, rules, i, j))
    return count


@njit(**INNER)
def in_tree(
    tree: Tree,
    rules: Rules,
    i: int,
    bounds: tuple[float, float],
    k: int,
    found: Found,
) -> int:
    """The k nearest free and allowed points of row i, into found (rows, squared distances, keys); how many.

    bounds: squared distances must be above the first and not above the second.
    """
    root = tree.root[tree.person[i, CODE]]
    if root < 0:
        return 0
    waiting, at_least = np.empty(DEPTH, np.int32), np.empty(DEPTH)
    waiting[0], at_least[0] = root, _least(tree, rules, root, i, bounds[1])
    depth, count = 1, 0
    while depth > 0:
        depth -= 1
        node = waiting[depth]
        limit = found[1][k - 1] if count == k else bounds[1]
        if at_least[depth] == np.inf or at_least[depth] > limit:
            continue
        if tree.node[node, CHILD] < 0:
            count = _scan((tree, rules), node, i, bounds, k, (found, count))
            continue
        a, b = tree.node[node, CHILD], tree.node[node, CHILD] + 1
        at_a, at_b = _least(tree, rules, a, i, limit), _least(tree, rules, b, i, limit)
        if at_a < at_b:
            a, b, at_a, at_b = b, a, at_b, at_a
        waiting[depth], at_least[depth] = a, at_a
        waiting[depth + 1], at_least[depth + 1] = b, at_b
        depth += 2
    return count
