"""Compiled branch and bound over predictor weights: the lowest outcome loss of any of them, with proof.

Donor weights w, with discrepancies r = d w, are optimal for some positive predictor weights v = u / r just
if there is a support u, with d_i'u = 1 for donors in use and d_i'u >= 1 for all, such that u_k r_k >= 0 (the
conditions of Karush, Kuhn and Tucker; u_k = 0 and r_k = 0 stand for v_k towards zero and infinity). So v is
not needed: the search is over w, by least squares, and u, by a linear programme, tied only by "w_i = 0 or
d_i'u = 1" and by signs.

A node of the tree decides some of these. Its loss, least squares over w alone, is a lower bound for all that
lies below it; the node with the lowest bound is split first, at what w and the nearest u contradict most. The
first node without contradiction has the lowest loss that any v approaches. All is decided by value: nothing
is random.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from qieval.numerics.kernels.nested import Data, Room, dot, loss, nonnegative, room
from qieval.numerics.kernels.nested_prices import FACE, OPEN, OUT, Tableau, prices, tableau

SIDES = 1e5
"""How much more the sign of a discrepancy counts than the outcome: it is kept to about 1e-10."""

WRONG = 1e-6
CONTRADICTION = 1e-7
BETTER = 1e-9
AFTER = 300
"""Nodes looked at after the first without contradiction, while limits on v keep its loss above the bound."""

NOW_AND_THEN = 64
LOOK, DONE, FULL = 0, 1, 2
LOOKED, USED, FIRST, NODE = 0, 1, 2, 3


class Tree(NamedTuple):
    """Nodes with their lower bound (c,), infinite when closed, sides (c, k) in -1, 0, 1, places (c, j), and
    weights (c, j + 2 k) of donors and slacks; seen (c,): whether the caller looked at it.

    count: nodes looked at, nodes used, LOOKED at the first without contradiction (or -1), the node in hand;
    r (k,) and support (k,) are those of the node in hand. columns (j + 2 k, m) of the least squares.
    """

    bound: Any
    side: Any
    place: Any
    weight: Any
    seen: Any
    count: Any
    r: Any
    support: Any
    columns: Any
    room: Room
    tableau: Tableau


@njit(cache=True, nogil=True, error_model="numpy")
def plant(data: Data, most: int) -> Tree:
    """A tree with its root. Memory: most * (j + k) * 9 bytes, of which only what is used is touched.

    Columns: outcomes, discrepancies and sum of each donor; then a slack for each side of each predictor.
    """
    d, e = data.d, data.e
    (k, j), n_e = d.shape, e.shape[0]
    m, square = n_e + k + 1, 0.0
    for i in range(j):
        for t in range(n_e):
            square += e[t, i] ** 2
    scale, columns = np.sqrt(square / e.size), np.zeros((j + 2 * k, m))
    for i in range(j):
        for t in range(n_e):
            columns[i, t] = e[t, i] / scale if scale > 0 else 0.0
        for b in range(k):
            columns[i, n_e + b] = d[b, i]
        columns[i, m - 1] = 1.0
    for b in range(k):
        columns[j + b, n_e + b], columns[j + k + b, n_e + b] = -1.0, 1.0
    tree = Tree(
        np.full(most, np.inf),
        np.empty((most, k), np.int8),
        np.empty((most, j), np.int8),
        np.empty((most, j + 2 * k)),
        np.zeros(most, np.bool_),
        np.array([0, 1, -1, 0]),
        np.empty(k),
        np.empty(k),
        columns,
        room(j + 2 * k, m),
        tableau(k, j),
    )
    for b in range(k):
        tree.side[0, b] = 0
    for i in range(j):
        tree.place[0, i] = OPEN
    for c in range(j + 2 * k):
        tree.weight[0, c] = 0.0
    _solve(data, tree, 0)
    return tree


@njit(cache=True, nogil=True, error_model="numpy")
def grow(data: Data, tree: Tree, best: float) -> int:
    """Split nodes until one is worth a look (LOOK), none is below `best` (DONE) or there is no room (FULL).

    Worth a look: without contradiction, or now and then to find a good v early. The caller looks at the node
    in hand, marks it as seen and calls again with the best loss so far.
    """
    count = tree.count
    while True:
        node = 0
        for other in range(count[USED]):
            if tree.bound[other] < tree.bound[node]:
                node = other
        count[NODE] = node
        if not tree.bound[node] < best * (1 - BETTER):
            return DONE
        if count[FIRST] >= 0 and count[LOOKED] > count[FIRST] + AFTER:
            return DONE
        if count[LOOKED] >= 4 * tree.bound.size or count[USED] >= tree.bound.size:
            return FULL
        count[LOOKED] += 1
        for b in range(tree.r.size):
            tree.r[b] = dot(data.d[b], tree.weight[node, : data.d.shape[1]])
        if not prices(tree.tableau, data.d, tree.r, tree.side[node], tree.place[node], tree.support):
            tree.bound[node] = np.inf
            continue
        which = _contradiction(data, tree, node)
        if which < 0 and count[FIRST] < 0:
            count[FIRST] = count[LOOKED]
        now_and_then = count[LOOKED] & (count[LOOKED] - 1) == 0 or count[LOOKED] % NOW_AND_THEN == 0
        if (which < 0 or now_and_then) and not tree.seen[node]:
            return LOOK
        if which < 0:
            which = _undecided(tree, node)
        if which < 0:
            tree.bound[node] = np.inf
        else:
            _split(data, tree, node, which)


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(data: Data, tree: Tree, node: int) -> None:
    """Bound and weights of a node: least squares on the donors that are not out, r_k on the side decided.

    The sides are kept by weight, not exactly: if anything that lowers the bound, so that it stays one.
    """
    held, side, weight = tree.room, tree.side[node], tree.weight[node]
    k, j = data.d.shape
    n, m = tree.columns.shape
    root, usable = np.ones(m), np.ones(n, np.bool_)
    for b in range(k):
        root[m - 1 - k + b] = SIDES if side[b] != 0 else 0.0
        usable[j + b], usable[j + k + b] = side[b] == 1, side[b] == -1
    for i in range(j):
        usable[i] = tree.place[node, i] != OUT
    held.size[0] = 0
    for c in range(n):
        if weight[c] > 0 and usable[c] and held.size[0] < m:
            held.free[held.size[0]], held.amount[held.size[0]] = c, weight[c]
            held.size[0] += 1
        weight[c] = 0.0
    nonnegative(held, tree.columns, root, usable)
    total = 0.0
    for p in range(held.size[0]):
        total += held.amount[p] if held.free[p] < j else 0.0
    tree.bound[node] = np.inf
    if total < WRONG:
        return
    for p in range(held.size[0]):
        weight[held.free[p]] = held.amount[p] / total
    for b in range(k):
        if dot(data.d[b], weight[:j]) * side[b] < -WRONG:
            return
    tree.bound[node] = loss(data.e, weight[:j])


@njit(cache=True, nogil=True, error_model="numpy")
def _contradiction(data: Data, tree: Tree, node: int) -> int:
    """What weights and support contradict most: a donor i, a predictor j + k, or -1."""
    k, j = data.d.shape
    which, worst = -1, CONTRADICTION
    for i in range(j):
        if tree.weight[node, i] > 0 and tree.place[node, i] == OPEN:
            off = tree.weight[node, i] * (dot(data.donors[i, :k], tree.support) - 1)
            if off > worst:
                which, worst = i, off
    for b in range(k):
        if tree.side[node, b] == 0 and -tree.r[b] * tree.support[b] > worst:
            which, worst = j + b, -tree.r[b] * tree.support[b]
    return which


@njit(cache=True, nogil=True, error_model="numpy")
def _undecided(tree: Tree, node: int) -> int:
    """What a node without contradiction has not decided: the heaviest donor, the widest side, or -1."""
    k, j = tree.r.size, tree.place.shape[1]
    which, most = -1, 0.0
    for i in range(j):
        if tree.place[node, i] == OPEN and tree.weight[node, i] > most:
            which, most = i, tree.weight[node, i]
    if which >= 0:
        return which
    most = -1.0
    for b in range(k):
        if tree.side[node, b] == 0 and abs(tree.r[b]) > most:
            which, most = j + b, abs(tree.r[b])
    return which


@njit(cache=True, nogil=True, error_model="numpy")
def _split(data: Data, tree: Tree, node: int, which: int) -> None:
    """Two nodes of one. One of them keeps weights and bound: the donor on the face, the side that r is on."""
    j, new = data.d.shape[1], tree.count[USED]
    tree.count[USED] += 1
    for b in range(tree.r.size):
        tree.side[new, b] = tree.side[node, b]
    for i in range(j):
        tree.place[new, i] = tree.place[node, i]
    for c in range(tree.weight.shape[1]):
        tree.weight[new, c] = tree.weight[node, c]
    if which < j:
        tree.place[new, which], tree.place[node, which] = OUT, FACE
    else:
        towards = 1 if tree.r[which - j] >= 0 else -1
        tree.side[new, which - j], tree.side[node, which - j] = -towards, towards
    _solve(data, tree, new)
