"""Balance of the matches under many weightings of the covariates, compiled.

One weighting is the work of one thread and sums run in a fixed order: the numbers are the same however the
weightings are shared among threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qieval.numerics.kernels.tied_search import Codes, Floats, How, Sides, matches

Flags = NDArray[np.bool_]
Out = tuple[Floats, Floats, Floats, Floats, Floats]


class Columns(NamedTuple):
    """What is to be balanced: values (n, b) in any unit.

    order (b, n) sorts each column, last (b, n) marks the ends of its ties. ks: columns whose rows are
    compared without weights. weighted: whether distances with weights are wanted.
    """

    values: Floats
    order: Codes
    last: Flags
    ks: Codes
    weighted: bool


@njit(cache=True)
def _largest_gap(steps: Floats, order: Codes, last: Flags) -> float:
    total, largest = 0.0, 0.0
    for r in range(order.size):
        total += steps[order[r]]
        if last[r]:
            size = abs(total)
            largest = size if size > largest else largest
    return largest


@njit(cache=True)
def balance(sides: Sides, columns: Columns, table: tuple[Codes, Codes], out: Out) -> None:
    """Fill out = (means (b,), variances (b,), KS of rows (b,), KS of weights (b,), [rows, people]).

    table is what `matches` gave. Means and variances are those of the paired differences, weighted.
    """
    focal, pool, _ = sides
    focal_start, focal_rows, pool_start, pool_rows = focal.start, focal.rows, pool.start, pool.rows
    start, found = table
    means, variances, ks_rows, ks_weights, sizes = out
    values = columns.values
    n, b = values.shape
    net, share = np.zeros(n), np.zeros(n)
    one, two = np.zeros(b), np.zeros(b)
    rows, people = 0, 0
    for i in range(start.size - 1):
        if start[i] == start[i + 1]:
            continue
        matched = 0
        for f in range(start[i], start[i + 1]):
            j = found[f]
            matched += pool_start[j + 1] - pool_start[j]
        weight, members = 1.0 / matched, focal_start[i + 1] - focal_start[i]
        rows, people = rows + members * matched, people + members
        for p in range(focal_start[i], focal_start[i + 1]):
            net[focal_rows[p]] += matched
            share[focal_rows[p]] += 1.0
        for f in range(start[i], start[i + 1]):
            j = found[f]
            for q in range(pool_start[j], pool_start[j + 1]):
                theirs = values[pool_rows[q]]
                net[pool_rows[q]] -= members
                share[pool_rows[q]] -= members * weight
                for p in range(focal_start[i], focal_start[i + 1]):
                    own = values[focal_rows[p]]
                    for c in range(b):
                        difference = own[c] - theirs[c]
                        one[c] += weight * difference
                        two[c] += weight * difference * difference
    sizes[0], sizes[1] = rows, people
    if people == 0:
        return
    for c in range(b):
        means[c] = one[c] / people
        variances[c] = max(two[c] / people - means[c] * means[c], 0.0)
    for c in columns.ks:
        ks_rows[c] = _largest_gap(net, columns.order[c], columns.last[c]) / rows
    if columns.weighted:
        for c in range(b):
            ks_weights[c] = _largest_gap(share, columns.order[c], columns.last[c]) / people


@njit(cache=True, nogil=True)
def evaluate(sides: Sides, columns: Columns, how: How, candidates: Floats, out: Out) -> None:
    """Balance under every row of candidates (c, k); out as in `balance` with a leading axis c."""
    means, variances, ks_rows, ks_weights, sizes = out
    for c in range(candidates.shape[0]):
        table = matches(sides, how, candidates[c])
        balance(sides, columns, table, (means[c], variances[c], ks_rows[c], ks_weights[c], sizes[c]))


@njit(cache=True)
def ks_exact(statistic: float, m: int, n: int, last: Flags) -> float:
    """P(D >= statistic) of the two-sample Kolmogorov-Smirnov statistic given the ties, by counting paths.

    m and n sample sizes, last (m + n,) whether a pooled and sorted value ends its ties. A path through the
    lattice is one order of the pooled sample; it stays inside while |i/m - j/n| is below the statistic at the
    ends of ties. Shares rather than numbers of paths are carried along (Schröer and Trenkler 1995).
    """
    edge = (0.5 + np.floor(statistic * m * n - 1e-7)) / (m * n)
    inside = np.zeros(n + 1)
    for i in range(m + 1):
        for j in range(n + 1):
            if i == 0 and j == 0:
                inside[0] = 1.0
                continue
            from_left = inside[j - 1] * j / (i + j) if j > 0 else 0.0
            from_below = inside[j] * i / (i + j) if i > 0 else 0.0
            out = abs(i / m - j / n) >= edge and last[i + j - 1]
            inside[j] = 0.0 if out else from_left + from_below
    return float(1.0 - inside[n])
