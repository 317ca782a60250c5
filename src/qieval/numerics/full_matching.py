"""Full matching: everybody in a set of one focal row with pool rows or one pool row with focal rows (exact).

Of all such divisions one with the least total distance between the one and the others of each set, without
rounding. Without limits that is a cheapest edge cover: on a score by dynamic programming along the line,
otherwise by reduction to an assignment problem (each row is linked to its nearest unless a pair saves more
than it costs). With limits on the size of sets it is a flow: on a score again O(n log n), otherwise an
assignment with copies of rows.

The least total can be shared by several divisions even without tied distances: where some focal rows are
followed on the score by more pool rows, the total does not depend on who shares a set with whom. Weights and
estimates do. On a score the convention is that partners are in order, so the surplus of the further rows goes
to the nearest row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy

from qieval.numerics.candidates import MOST_CELLS, Candidates, Links, allowed
from qieval.numerics.optimal import choose, paired_in_order
from qieval.numerics.two_way import Codes, Floats, Mask


@dataclass(frozen=True)
class SetLimits:
    """Fewest and most pool rows per focal row in a set; None for no limit.

    As min.controls and max.controls of R's optmatch: fewest 0.5 allows two focal rows to share one pool
    row, fewest 2 asks for two pool rows or more with each focal row.
    """

    fewest: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that no set can keep."""
        low, high = self.fewest or 0.0, math.inf if self.most is None else self.most
        if low < 0 or high <= 0 or low > high:
            raise ValueError("limits must be positive, fewest not above most")

    def degrees(self, n_focal: int, n_pool: int) -> tuple[int, int, int, int]:
        """Fewest and most partners of a focal row, and of a pool row, in a stratum of this size."""
        few, most = self.fewest or 0.0, math.inf if self.most is None else self.most
        slack = 1e-9
        return (
            max(1, math.ceil(few - slack)),
            max(1, math.floor(min(most, n_pool) + slack)),
            max(1, math.ceil(1 / most - slack)),
            max(1, math.floor(min(1 / few if few else math.inf, n_focal) + slack)),
        )


def full(candidates: Candidates, limits: SetLimits | None = None) -> Codes:
    """Number of the set of each row (n,), -1 for rows in no set.

    In no set are rows that are not usable, rows without an allowed partner and, with limits, rows of a
    stratum (not on a score alone: of a connected part of it) in which the limits cannot be kept. On a score
    1e6 rows take 1 to 2 s. Otherwise memory grows with the pairs nearer than the sum of both ends'
    nearest distances, or with limits with the square of the copies of rows: ValueError where too large.

    >>> score = np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    >>> full(Candidates(focal=np.array([True, False, False, False, True]), score=score))
    array([0, 0, 0, 1, 1])
    """
    limited = limits is not None and not (limits.fewest is None and limits.most is None)
    if candidates.on_line and not limited:
        focal, pool = _cover_on_line(candidates)
    elif candidates.on_line and candidates.caliper is None and limits is not None:
        focal, pool = _flow_on_line(candidates, limits)
    else:
        found = [
            _flow_of_group(candidates, members, limits)
            if limited and limits is not None
            else _cover_of_group(candidates, members)
            for members in candidates.groups()
        ]
        focal = np.concatenate([part[0] for part in found] or [np.zeros(0, np.intp)])
        pool = np.concatenate([part[1] for part in found] or [np.zeros(0, np.intp)])
    return _labels(focal, pool, candidates)


def _cover_on_line(candidates: Candidates) -> tuple[Codes, Codes]:
    from qieval.numerics.kernels.cover import cover_edges

    rows, starts = candidates.ordered()
    assert candidates.score is not None
    caliper = math.inf if candidates.caliper is None else candidates.caliper
    left, right = cover_edges(candidates.score[rows], candidates.focal[rows], starts, caliper)
    left, right = rows[left], rows[right]
    first = candidates.focal[left]
    return np.where(first, left, right), np.where(first, right, left)


def _flow_on_line(candidates: Candidates, limits: SetLimits) -> tuple[Codes, Codes]:
    rows, starts = candidates.ordered()
    assert candidates.score is not None
    is_focal = candidates.focal[rows]
    low, high = np.zeros(rows.size, np.int64), np.zeros(rows.size, np.int64)
    for first, stop in pairwise(starts):
        part = is_focal[first:stop]
        n_focal = int(np.count_nonzero(part))
        n_pool = part.size - n_focal
        fewest, most, pool_fewest, pool_most = limits.degrees(n_focal, n_pool)
        if _possible((n_focal, fewest, most), (n_pool, pool_fewest, pool_most)):
            low[first:stop] = np.where(part, fewest, pool_fewest)
            high[first:stop] = np.where(part, most, pool_most)
    focal, pool = paired_in_order(candidates.score[rows], is_focal, (low, high), starts)
    return rows[focal], rows[pool]


def _possible(focal: tuple[int, int, int], pool: tuple[int, int, int]) -> bool:
    """Whether (rows, fewest, most) of both sides can be kept when every pair is allowed."""
    if not focal[0] or not pool[0]:
        return False
    enough = focal[0] * focal[1] <= pool[0] * pool[2] and pool[0] * pool[1] <= focal[0] * focal[2]
    return enough and focal[1] <= focal[2] and pool[1] <= pool[2]


def _cover_of_group(candidates: Candidates, members: tuple[Codes, Codes]) -> tuple[Codes, Codes]:
    """Cheapest edge cover of one stratum: everybody to the nearest, except where a pair saves."""
    focal, pool = members
    nearest, partner = _nearest(candidates, focal, pool)
    n_focal = focal.size
    links = allowed(candidates, focal, pool, below=nearest)
    gain = nearest[links.row] + nearest[n_focal + links.column] - links.cost
    chosen = choose(Links(links.row, links.column, -gain, links.shape), price=0.0)
    alone = np.isfinite(nearest)
    alone[links.row[chosen]] = False
    alone[n_focal + links.column[chosen]] = False
    of_focal, of_pool = np.flatnonzero(alone[:n_focal]), np.flatnonzero(alone[n_focal:])
    row = np.concatenate([links.row[chosen], of_focal, partner[n_focal + of_pool]])
    column = np.concatenate([links.column[chosen], partner[of_focal], of_pool])
    return focal[row], pool[column]


def _nearest(candidates: Candidates, focal: Codes, pool: Codes) -> tuple[Floats, Codes]:
    """Distance to the nearest allowed partner (focal + pool,), infinite without one, and its position."""
    distance = np.full(focal.size + pool.size, np.inf)
    partner = np.full(distance.size, -1, dtype=np.intp)
    for rows, columns, block in candidates.blocks(focal, pool):
        places = np.arange(focal.size)[rows], focal.size + np.arange(pool.size)[columns]
        for axis in (0, 1):
            least, closest = block.min(axis=1 - axis), block.argmin(axis=1 - axis)
            better = least < distance[places[axis]]
            distance[places[axis][better]] = least[better]
            partner[places[axis][better]] = closest[better] + (columns.start if axis == 0 else rows.start)
    return distance, partner


def _flow_of_group(
    candidates: Candidates, members: tuple[Codes, Codes], limits: SetLimits
) -> tuple[Codes, Codes]:
    """Cheapest sets within limits of one stratum, each connected part of the allowed pairs by itself."""
    focal, pool = members
    links = allowed(candidates, focal, pool)
    rows, columns = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for part in _connected(links):
        found = _flow_of_part(part, limits)
        if found is not None:
            rows.append(found[0])
            columns.append(found[1])
    return focal[np.concatenate(rows)], pool[np.concatenate(columns)]


def _connected(links: Links) -> list[Links]:
    """The links of each connected part; numbers of rows and columns stay those of the whole."""
    n_rows, n = links.shape[0], sum(links.shape)
    graph = scipy.sparse.coo_array(
        (np.ones(links.row.size), (links.row, n_rows + links.column)), shape=(n, n)
    )
    _, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(part[links.row], kind="stable")
    cuts = np.flatnonzero(np.diff(part[links.row][order])) + 1
    pieces = np.split(order, cuts) if order.size else []
    return [Links(links.row[piece], links.column[piece], links.cost[piece], links.shape) for piece in pieces]


def _flow_of_part(links: Links, limits: SetLimits) -> tuple[Codes, Codes] | None:
    """Rows and columns of the links used, None if the limits cannot be kept.

    Each row and column is copied as often as it may have partners; the fewest copies must find a copy of the
    other side, the others may take a blank instead. There are as many blanks as copies that are not needed by
    the side that needs more; two blanks may go together.
    """
    rows, row = np.unique(links.row, return_inverse=True)
    columns, column = np.unique(links.column, return_inverse=True)
    few, most, pool_few, pool_most = limits.degrees(rows.size, columns.size)
    if not _possible((rows.size, few, most), (columns.size, pool_few, pool_most)):
        return None
    needed = max(rows.size * few, columns.size * pool_few)
    size = rows.size * most + columns.size * pool_most - needed
    if size**2 > MOST_CELLS:
        raise ValueError(
            f"limits make {size:,} copies of rows; at most {math.isqrt(MOST_CELLS):,} are possible"
        )
    distance = np.full((rows.size, columns.size), np.inf)
    distance[row, column] = links.cost
    table = np.full((size, size), np.inf)
    n_rows, n_columns = rows.size * most, columns.size * pool_most
    table[:n_rows, :n_columns] = np.tile(distance, (most, pool_most))
    table[rows.size * few : n_rows, n_columns:] = 0.0
    table[n_rows:, columns.size * pool_few : n_columns] = 0.0
    table[n_rows:, n_columns:] = 0.0
    try:
        i, j = scipy.optimize.linear_sum_assignment(table)
    except ValueError:
        return None
    used = (i < n_rows) & (j < n_columns)
    return rows[i[used] % rows.size], columns[j[used] % columns.size]


def _labels(focal: Codes, pool: Codes, candidates: Candidates) -> Codes:
    """Number of the set of each row, in order of first rows, from links that reach everybody.

    Links that are not needed are left out.
    """
    n = candidates.focal.size
    focal, pool = np.divmod(np.unique(focal * n + pool), n)
    kept = ~_superfluous(focal, pool, candidates)
    focal, pool = focal[kept], pool[kept]
    degree = np.bincount(focal, minlength=n) + np.bincount(pool, minlength=n)
    centre = np.where(degree[focal] > 1, focal, pool)
    labels = np.full(n, -1, dtype=np.intp)
    labels[focal], labels[pool] = centre, centre
    matched = np.flatnonzero(labels >= 0)
    opens = np.full(n, n, dtype=np.intp)
    np.minimum.at(opens, labels[matched], matched)
    first = np.zeros(n, dtype=bool)
    first[opens[opens < n]] = True
    labels[matched] = (np.cumsum(first) - 1)[opens[labels[matched]]]
    return labels


def _superfluous(focal: Codes, pool: Codes, candidates: Candidates) -> Mask:
    """Links both of whose ends have another one; in a cheapest solution they have no distance."""
    n = candidates.focal.size
    degree = np.bincount(focal, minlength=n) + np.bincount(pool, minlength=n)
    dropped = np.zeros(focal.size, dtype=bool)
    for link in np.flatnonzero((degree[focal] > 1) & (degree[pool] > 1)):
        if degree[focal[link]] > 1 and degree[pool[link]] > 1:
            dropped[link] = True
            degree[focal[link]] -= 1
            degree[pool[link]] -= 1
    return dropped
