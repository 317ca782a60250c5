"""The arrays behind a greedy search: rows sorted along a score, k-d trees, side conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.kernels import nearest as kernel
from qieval.numerics.kernels import nearest_tree as tree
from qieval.numerics.kernels.nearest_tree import Rules, Tree, grow
from qieval.numerics.pairs import Floats, Rows, stable_order

if TYPE_CHECKING:
    from qieval.numerics.nearest import Search

Small = NDArray[np.int32]


def search_state(search: Search) -> kernel.State:
    """The arrays of the compiled search; parts that are not needed are empty."""
    rules = _rules(search)
    caliper = np.inf if search.caliper is None else float(search.caliper)
    on_distance = search.score is None or search.line is not None
    bounds = (-1.0, np.inf)
    if on_distance:
        bounds = (-1.0, caliper) if caliper >= 0 else (-caliper, np.inf)
    empty_line, empty_tree, empty_matrix = _no_line(), _no_tree(), _no_matrix()
    if search.line is not None:
        line = _line(search, search.line)
        return kernel.State(kernel.LINE, line, empty_tree, empty_matrix, rules, bounds)
    if search.matrix is not None:
        return kernel.State(kernel.MATRIX, empty_line, empty_tree, _matrix(search), rules, bounds)
    squared = (bounds[0] * abs(bounds[0]), bounds[1] ** 2)
    return kernel.State(kernel.TREE, empty_line, _tree(search, rules), empty_matrix, rules, squared)


def _rules(search: Search) -> Rules:
    """Side conditions; the caliper on the score is one of them unless rows are matched on the score."""
    calipers = list(search.calipers)
    if search.caliper is not None and search.score is not None and search.line is None:
        calipers.append((search.score, search.caliper))
    n = search.focal.size
    values = np.array([held for held, _ in calipers], dtype=np.float64).reshape(len(calipers), n)
    codes = np.array([_codes(held, n) for held in search.different], dtype=np.int32)
    draw = search.draw
    return Rules(
        values=values,
        widths=np.array([width for _, width in calipers], dtype=np.float64),
        codes=codes.reshape(len(search.different), n),
        draw=np.empty(0) if draw is None else draw,
    )


def _codes(held: Rows | None, n: int) -> Small:
    """Consecutive codes from 0, in the order of the values; all zero if there are none."""
    if held is None:
        return np.zeros(n, dtype=np.int32)
    least, most = int(held.min()), int(held.max())
    if most - least < 4 * n:
        here = np.zeros(most - least + 1, dtype=np.int32)
        here[held - least] = 1
        return (np.cumsum(here, dtype=np.int32) - 1)[held - least].astype(np.int32)
    return np.unique(held, return_inverse=True)[1].astype(np.int32)


def _sorted_rows(values: Floats, draw: Floats | None) -> Rows:
    """Rows by value; equal values in data order, or as drawn."""
    if draw is None:
        return stable_order(values)
    mixed = np.argsort(draw)
    return mixed[stable_order(values[mixed])]


def _by_code(code: Small) -> Rows:
    """Stable order of codes from 0; numpy sorts 16 bits by counting, much faster than by comparison."""
    if code.size and code.max() < 2**16:
        return np.argsort(code.astype(np.uint16), kind="stable")
    return stable_order(code)


def _line(search: Search, score: Floats) -> kernel.Line:
    """Rows along the score, stratum by stratum, and links to the next free row of the pool."""
    n = score.size
    rows = _sorted_rows(score, search.draw)
    step = np.arange(n, dtype=np.int32)
    code = np.zeros(n, dtype=np.int32)
    if search.strata is not None:
        code = _codes(search.strata, n)
        step = _by_code(code[rows]).astype(np.int32)
        rows = rows[step]
    free = np.zeros(n + 2, dtype=np.uint8)
    free[1:-1] = (search.usable & ~search.focal)[rows]
    at = np.empty((n + 2, 5), dtype=np.int32)
    at[1:-1, kernel.ROW], at[1:-1, kernel.CODE], at[1:-1, kernel.STEP] = rows, code[rows], step
    at[[0, -1], : kernel.BELOW] = -1
    kernel.link(free, at)
    place = np.empty(n, dtype=np.int32)
    place[rows] = np.arange(1, n + 1, dtype=np.int32)
    return kernel.Line(at, np.concatenate([[0.0], score[rows], [0.0]]), place, _coins(search))


def _coins(search: Search) -> NDArray[np.uint8]:
    if search.ties == "first":
        return np.empty(0, dtype=np.uint8)
    return np.random.default_rng([search.seed, 3]).integers(0, 2, search.focal.size, dtype=np.uint8)


def _tree(search: Search, rules: Rules) -> Tree:
    """k-d trees of the free pool, one for each stratum; calipers are further columns of the boxes."""
    if search.vectors is None:
        raise ValueError("a search in trees needs vectors")
    vectors = np.ascontiguousarray(search.vectors, dtype=np.float64)
    n = len(vectors)
    code = _codes(search.strata, n)
    which = np.flatnonzero(rules.widths >= 0).astype(np.int32)
    pool = np.flatnonzero(search.usable & ~search.focal)
    pool = pool[stable_order(code[pool])]
    points = np.hstack([vectors[pool], rules.values[which][:, pool].T])
    unit = np.concatenate([np.ones(vectors.shape[1]), np.maximum(rules.widths[which], 1e-300)])
    held, start = np.unique(code[pool], return_index=True)
    stop = np.append(start[1:], pool.size)
    order, node, box = grow(points, unit, start.astype(np.int32), stop.astype(np.int32))
    root = np.full(int(code.max()) + 1, -1, dtype=np.int32)
    root[held] = np.arange(held.size)
    row = pool[order]
    spot = np.ones((row.size, 3), dtype=np.int32)
    leaves = np.flatnonzero(node[:, tree.CHILD] < 0)
    leaves = leaves[np.argsort(node[leaves, tree.FIRST])]
    spot[:, tree.ROW], spot[:, tree.LEAF_OF] = row, np.repeat(leaves, node[leaves, tree.ALIVE])
    person = np.full((n, 3), -1, dtype=np.int32)
    person[row, tree.SPOT] = np.arange(row.size)
    person[:, tree.CODE], person[:, tree.STEP] = code, _steps(vectors[:, 0], code)
    return Tree(np.ascontiguousarray(vectors[row]), spot, node, box, which, root, person, vectors)


def _steps(values: Floats, code: Small) -> Small:
    """Place of each row when rows are sorted by stratum, value and row."""
    rows = stable_order(values)
    rows = rows[stable_order(code[rows])]
    step = np.empty(rows.size, dtype=np.int32)
    step[rows] = np.arange(rows.size, dtype=np.int32)
    return step


def _matrix(search: Search) -> kernel.Matrix:
    if search.matrix is None:
        raise ValueError("a search in a matrix needs one")
    n = search.focal.size
    person, pool = np.empty((n, 2), dtype=np.int32), ~search.focal
    for arm in (search.focal, pool):
        person[arm, 0] = np.arange(np.count_nonzero(arm))
    person[:, 1] = _codes(search.strata, n)
    column = np.column_stack([np.flatnonzero(pool), search.usable[pool]]).astype(np.int32)
    return kernel.Matrix(np.ascontiguousarray(search.matrix, dtype=np.float64), person, column)


def _no_line() -> kernel.Line:
    none = np.empty(0, dtype=np.int32)
    return kernel.Line(none.reshape(0, 5), np.empty(0), none, np.empty(0, dtype=np.uint8))


def _no_tree() -> Tree:
    none, floats = np.empty(0, dtype=np.int32), np.empty((0, 0))
    table = none.reshape(0, 5)
    return Tree(floats, table, table, np.empty((0, 2, 0)), none, none, table, floats)


def _no_matrix() -> kernel.Matrix:
    none = np.empty((0, 2), dtype=np.int32)
    return kernel.Matrix(np.empty((0, 0)), none, none)
