"""Optimal pair matching: of all ways to form most pairs, one with the least total distance (exact).

On a score an O(n log n) algorithm; otherwise assignment problems (scipy), dense without a caliper and sparse
with one. Nothing is rounded, so totals are never above those of solvers that work with integers. When several
matchings share the least total, which one comes back depends on the order of rows; on a score pairs are in
order of the score, which also has the smallest largest distance among pairings of the same people.
"""

from __future__ import annotations

import numpy as np
import scipy

from qieval.numerics.candidates import Candidates, Links, allowed, whole
from qieval.numerics.pairs import Pairs
from qieval.numerics.two_way import Codes, Floats, Mask

MOST_TRACE = 8_000_000_000
"""Most cells of the dynamic programme for a score with a caliper, a quarter of a byte each."""


def optimal_pairs(candidates: Candidates, ratio: int = 1) -> Pairs:
    """Each focal row with up to `ratio` pool rows of its own: most pairs first, then least total distance.

    Pairs are sorted by focal row and distance. With too few pool rows, or under calipers, focal rows may
    get fewer than `ratio` or none. A score needs O(n log n), 1e6 rows under a second; with a caliper the work
    is the sum of the windows in which partners can lie, small unless focal rows crowd (ValueError above
    `MOST_TRACE` cells in overlapping windows, which take minutes). With vectors or a matrix ValueError is
    raised above `MOST_CELLS` (ratio x focal x pool rows of a stratum), under calipers above `MOST_LINKS`
    allowed pairs.
    """
    if ratio < 1:
        raise ValueError("the ratio must be 1 or more")
    if candidates.on_line:
        return _pairs_on_line(candidates, ratio)
    found = [_pairs_of_group(candidates, focal, pool, ratio) for focal, pool in candidates.groups()]
    empty = np.zeros(0, np.intp)
    focal, pool, distance = (
        (np.concatenate(part) for part in zip(*found, strict=True)) if found else (empty, empty, np.zeros(0))
    )
    return _sorted_pairs(focal, pool, distance)


def _sorted_pairs(focal: Codes, pool: Codes, distance: Floats) -> Pairs:
    order = np.lexsort((pool, distance, focal))
    return Pairs(focal=focal[order], pool=pool[order], distance=distance[order])


def _pairs_on_line(candidates: Candidates, ratio: int) -> Pairs:
    rows, starts = candidates.ordered()
    assert candidates.score is not None
    score, is_focal = candidates.score[rows], candidates.focal[rows]
    if candidates.caliper is None:
        focal, pool = _flow_pairs(score, is_focal, starts, ratio)
    else:
        focal, pool = _caliper_pairs(score, is_focal, starts, (ratio, candidates.caliper))
    return _sorted_pairs(rows[focal], rows[pool], np.abs(score[focal] - score[pool]))


def _flow_pairs(score: Floats, is_focal: Mask, starts: Codes, ratio: int) -> tuple[Codes, Codes]:
    """Positions of partners without caliper: the smaller side of each stratum is matched completely."""
    n_focal = np.add.reduceat(is_focal.astype(np.intp), starts[:-1]) if score.size else np.zeros(1, np.intp)
    n_pool = np.diff(starts) - n_focal
    enough = np.repeat(n_pool >= ratio * n_focal, np.diff(starts))
    low = np.where(is_focal, np.where(enough, ratio, 0), np.where(enough, 0, 1))
    high = np.where(is_focal, ratio, 1)
    return paired_in_order(score, is_focal, (low, high), starts)


def paired_in_order(
    score: Floats, is_focal: Mask, limits: tuple[Codes, Codes], starts: Codes
) -> tuple[Codes, Codes]:
    """Positions of partners in the cheapest matching in which each point has limits[0]..limits[1] partners.

    score sorted within strata (bounds `starts`); limits can be kept. A pair may come twice when both its
    ends have several partners and no distance.
    """
    from qieval.numerics.kernels.optimal import flow_degrees

    low, high = (np.ascontiguousarray(limit, dtype=np.int64) for limit in limits)
    degree = flow_degrees(score, is_focal, low, high, starts)
    places = np.arange(score.size)
    return np.repeat(places[is_focal], degree[is_focal]), np.repeat(places[~is_focal], degree[~is_focal])


def _caliper_pairs(
    score: Floats, is_focal: Mask, starts: Codes, limits: tuple[int, float]
) -> tuple[Codes, Codes]:
    """Positions of partners with limits = (ratio, caliper); each focal point queues `ratio` times."""
    from qieval.numerics.kernels.optimal import caliper_windows, pairs_in_windows

    ratio, caliper = limits
    focal, pool = np.repeat(np.flatnonzero(is_focal), ratio), np.flatnonzero(~is_focal)
    focal_starts, pool_starts = np.searchsorted(focal, starts), np.searchsorted(pool, starts)
    lo, hi, largest = caliper_windows(score[focal], score[pool], focal_starts, pool_starts, caliper)
    if largest > MOST_TRACE:
        raise ValueError(f"{largest:,} cells are needed for the caliper; at most {MOST_TRACE:,} are possible")
    partner = pairs_in_windows(score[focal], score[pool], lo, hi, focal_starts, largest)
    matched = partner >= 0
    return focal[matched], pool[partner[matched]]


def _pairs_of_group(
    candidates: Candidates, focal: Codes, pool: Codes, ratio: int
) -> tuple[Codes, Codes, Floats]:
    """Focal rows, pool rows and distances of one stratum by assignment; the ratio repeats focal rows."""
    if candidates.restricted:
        links = allowed(candidates, focal, pool)
        row, column, distance = _cheapest(links, ratio)
    else:
        distances = whole(candidates, focal, pool, ratio)
        row, column = scipy.optimize.linear_sum_assignment(
            np.repeat(distances, ratio, axis=0) if ratio > 1 else distances
        )
        row = row // ratio
        distance = distances[row, column]
    return focal[row], pool[column], distance


def _cheapest(links: Links, ratio: int) -> tuple[Codes, Codes, Floats]:
    """Most pairs, then least cost: a row that stays alone pays more than all pairs together could save."""
    if not links.cost.size:
        return links.row, links.column, links.cost
    shape = (links.shape[0] * ratio, links.shape[1])
    largest = float(links.cost.max()) or 1.0
    copies = [links.row * ratio + copy for copy in range(ratio)]
    repeated = Links(
        np.concatenate(copies), np.tile(links.column, ratio), np.tile(links.cost / largest, ratio), shape
    )
    chosen = choose(repeated, price=float(min(shape)) + 1.0)
    return repeated.row[chosen] // ratio, repeated.column[chosen], repeated.cost[chosen] * largest


def choose(links: Links, price: float) -> Codes:
    """Links (positions) of least cost, no row or column twice, where each row without a link pays `price`.

    All costs must lie below the price.
    """
    if links.crowded:
        matrix = links.dense(price)
        row, column = scipy.optimize.linear_sum_assignment(matrix)
        partner = np.full(links.shape[0], -1)
        partner[row] = column
        return np.flatnonzero(partner[links.row] == links.column)
    rows, row = np.unique(links.row, return_inverse=True)
    columns, column = np.unique(links.column, return_inverse=True)
    alone = np.arange(rows.size)
    # The solver takes zero for "no link": all costs are moved above it, which adds the same to each row.
    shift = price - min(float(links.cost.min(initial=price)), 0.0) + 1.0
    table = scipy.sparse.csr_array(
        (
            np.concatenate([links.cost, np.full(rows.size, price)]) + shift,
            (np.concatenate([row, alone]), np.concatenate([column, columns.size + alone])),
        ),
        shape=(rows.size, columns.size + rows.size),
    )
    of_row, of_column = scipy.sparse.csgraph.min_weight_full_bipartite_matching(table)
    partner = np.full(rows.size, -1)
    partner[of_row] = of_column
    return np.flatnonzero(partner[row] == column)
