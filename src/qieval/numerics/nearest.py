"""Greedy nearest neighbour matching on a score, on whitened covariates or on a matrix of distances.

Rows "look for" matches one after another and each takes the nearest row that is still free: what R's
MatchIt does with method "nearest". On a score the pool is sorted once and two arrays of links lead to the
next free row (union-find with path halving), so that a million people take well under a second; covariates
go into a k-d tree whose points are taken out as they are used and whose boxes also know the calipers. No
table of all distances is ever formed.

Which pair is made when distances are equal is a rule, not chance, and can matter when scores take few
values. With ties "first" it is the one of MatchIt 4.7:

- score: rows are thought of as sorted by score and row. Among equally distant rows the one fewest places
  away from the focal row wins (all rows count as places), the lower one if equally many. When somebody
  looks again, places are counted from the matches already had. So among pool rows of one score above a
  focal row the first in the data wins, among those below it the last.
- covariates: rows are thought of as sorted by the first whitened coordinate; the one most places away wins,
  the upper one if equally many.
- matrix: the first in the data.

Focal rows of equal score go in data order. With ties "random" all of this is drawn from the seed: repeated
with other seeds it shows how much of a result hangs on ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.pairs import Floats, Mask, Pairs, Rows, stable_order

Order = Literal["largest", "smallest", "data", "random", "closest", "farthest"]
Small = NDArray[np.int32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Search:
    """What is matched with what, and how; arrays run over all n rows, the pool is everybody not focal.

    focal: rows that look for matches (the treated for the effect on the treated). usable: rows not
    discarded. One measure of distance is needed: score (n,), vectors (n, p) whose Euclidean distance counts
    (see `distances.whiten`; a score beside them serves order and caliper only), or matrix (focal rows, other
    rows), both in data order, where a value that is not finite forbids a pair.

    caliper: widest allowed difference of score, inclusive, in its units; of the distance itself if there is
    no score. Negative: the difference must be larger than |caliper|. calipers: (values (n,), width) with
    widths of the same meaning. strata (n,): only rows with the same code are matched. different: codes (n,)
    that must differ within each pair.

    ratio: matches per focal row. With max_ratio it is the mean number, and each focal row gets between
    min_ratio and max_ratio by its place on the score (Ming and Rosenbaum 2000: extreme scores, where
    the pool is dense, get more); needs a score. order: who chooses first: highest score, lowest score, first
    row, chance, or whoever has the closest or farthest partner (no meaning with replacement).
    """

    focal: Mask
    usable: Mask
    score: Floats | None = None
    vectors: Floats | None = None
    matrix: Floats | None = None
    caliper: float | None = None
    calipers: tuple[tuple[Floats, float], ...] = ()
    strata: Rows | None = None
    different: tuple[Rows, ...] = ()
    ratio: float = 1
    min_ratio: int = 1
    max_ratio: int | None = None
    replace: bool = False
    order: Order = "largest"
    seed: int = 0
    ties: Literal["first", "random"] = "first"

    def __post_init__(self) -> None:
        if (self.vectors is not None) + (self.matrix is not None) > 1:
            raise ValueError("give vectors or matrix, not both")
        if self.vectors is None and self.matrix is None and self.score is None:
            raise ValueError("give a score, vectors or a matrix")
        if self.score is None and (self.order in ("largest", "smallest") or self.max_ratio is not None):
            raise ValueError("this order or a variable ratio needs a score")
        given = [self.score, self.vectors, *(values for values, _ in self.calipers)]
        if any(not np.isfinite(held[self.usable]).all() for held in given if held is not None):
            raise ValueError("score, vectors and calipers must be finite for usable rows")
        shape = (np.count_nonzero(self.focal), np.count_nonzero(~self.focal))
        if self.matrix is not None and self.matrix.shape != shape:
            raise ValueError(f"matrix must have one row per focal and one column per other row: {shape}")
        if self.max_ratio is None and (self.ratio < 1 or self.ratio != int(self.ratio)):
            raise ValueError("ratio must be a whole number from 1")
        if self.max_ratio is not None and not 1 <= self.min_ratio < self.ratio < self.max_ratio:
            raise ValueError("min_ratio, ratio and max_ratio must rise, from at least 1")

    @property
    def line(self) -> Floats | None:
        """The score on which rows are matched, if that is one number for each row."""
        if self.vectors is not None and self.vectors.shape[1] == 1 and self.score is None:
            return self.vectors[:, 0]
        return self.score if self.vectors is None and self.matrix is None else None

    @property
    def draw(self) -> Floats | None:
        """Numbers that decide ties; None unless ties are random."""
        if self.ties == "first":
            return None
        return np.random.default_rng([self.seed, 1]).permutation(self.focal.size).astype(np.float64)


def nearest(search: Search) -> Pairs:
    """Match greedily; entries are sorted by focal row, then in the order in which its matches were found.

    With ratio k everybody gets a first match before anybody gets a second. With replacement each focal row
    takes its k nearest. Focal rows without an allowed partner have no entry, those with too few have fewer.

    >>> focal, score = np.array([True, True, False, False, False]), np.array([0.5, 0.6, 0.55, 0.1, 0.9])
    >>> pairs = nearest(Search(focal=focal, usable=np.ones(5, bool), score=score))
    >>> pairs.focal.tolist(), pairs.pool.tolist()
    ([0, 1], [3, 2])
    """
    from qieval.numerics.kernels import nearest as kernel
    from qieval.numerics.kernels.nearest_state import search_state

    rows, ratio = _focal_rows(search)
    n_free = int(np.count_nonzero(search.usable & ~search.focal))
    if not rows.size or not n_free:
        return Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))
    state = search_state(search)
    ratio = np.minimum(ratio, n_free)
    most, total = int(np.max(ratio)), int(np.sum(ratio))
    mode = kernel.REPLACE if search.replace else kernel.MODES.get(search.order, kernel.IN_ORDER)
    total = total if search.replace else min(total, n_free)
    focal, pool, distance = kernel.match(state, rows, ratio, (most, total), mode)
    sorting = stable_order(focal)
    distance = distance[sorting] if state.kind != kernel.TREE else np.sqrt(distance[sorting])
    return Pairs(focal[sorting].astype(np.intp), pool[sorting].astype(np.intp), distance)


def common_support(score: Floats, treated: Mask, rule: Literal["both", "treated", "control"]) -> Mask:
    """Rows that are kept: those whose score lies within the range of the other arm, ends included.

    "both" keeps rows within the overlap of the two ranges; "treated" ("control") applies that to treated
    (untreated) rows only and keeps all others.

    >>> score, treated = np.array([0.1, 0.5, 0.9, 0.4, 0.95]), np.array([False, False, False, True, True])
    >>> common_support(score, treated, "treated").tolist(), common_support(score, treated, "both").tolist()
    ([True, True, True, True, False], [False, True, True, True, False])
    """
    low = [score[arm].min() for arm in (treated, ~treated)]
    high = [score[arm].max() for arm in (treated, ~treated)]
    if rule == "both":
        return np.asarray((score >= max(low)) & (score <= min(high)))
    arm, other = (treated, 1) if rule == "treated" else (~treated, 0)
    return np.asarray(~arm | ((score >= low[other]) & (score <= high[other])))


def _focal_rows(search: Search) -> tuple[Small, Small]:
    """The rows that look for matches in the order in which they do, and how many matches each wants."""
    rows = np.flatnonzero(search.focal & search.usable)
    if not search.replace:
        rows = _ordered(search, rows)
    if search.max_ratio is None:
        return rows.astype(np.int32), np.full(rows.size, int(search.ratio), dtype=np.int32)
    wanted = np.zeros(search.focal.size, dtype=np.int32)
    wanted[search.focal] = _variable_ratio(search, search.max_ratio)
    return rows.astype(np.int32), wanted[rows]


def _ordered(search: Search, rows: Rows) -> Rows:
    """Focal rows in the order in which they choose; for "closest" and "farthest" the order among ties."""
    if search.order == "random":
        return np.random.default_rng([search.seed, 2]).permutation(rows)
    if search.order == "data":
        return rows
    draw = search.draw
    if draw is not None:
        rows = rows[np.argsort(draw[rows])]
    if search.score is not None and search.order in ("largest", "smallest"):
        sign = -1.0 if search.order == "largest" else 1.0
        rows = rows[stable_order(sign * search.score[rows])]
    return rows


def _variable_ratio(search: Search, most: int) -> Small:
    """Matches wanted by each focal row, in data order (Ming and Rosenbaum 2000, section 3, as in MatchIt).

    All but one get min_ratio or max_ratio; the total is ratio times the number of focal rows. Those whose
    score is furthest on the side of the pool get the most.
    """
    assert search.score is not None
    score, n, least = search.score[search.focal], int(search.focal.sum()), search.min_ratio
    total = round(search.ratio * n)
    n_most = (total - least * (n - 1)) // (most - least)
    n_least = n - n_most - 1
    between = total - least * n_least - most * n_most
    wanted = np.concatenate([np.full(n_least, least), [between], np.full(n_most, most)]).astype(np.int32)
    if between == 0:
        wanted[n_least : n_least + 2] += np.array([1, -1], dtype=np.int32)
    sign = -1.0 if score.mean() > search.score[~search.focal].mean() else 1.0
    held = np.empty(n, dtype=np.int32)
    held[stable_order(sign * score)] = wanted
    return held
