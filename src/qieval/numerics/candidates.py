"""Who may be matched with whom in optimal and full matching, and how far apart they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

MOST_CELLS = 400_000_000
"""Most cells of a dense problem: 3.2 GB of distances (10,000 focal with 40,000 pool rows)."""

MOST_LINKS = 100_000_000
"""Most allowed pairs of a sparse problem (about 3 GB)."""

BLOCK = 4_000_000
SPARSE_BELOW = 0.25
"""Share of allowed pairs below which the sparse solver is used."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """Who may be matched with whom, and how far apart they are. Arrays are over all n rows.

    focal (n,) True for rows that look for partners among the others (the pool); usable (n,) False for rows
    left out. The distance is matrix (n_focal, n_pool; rows and columns in row order, a value that is
    not finite forbids the pair) if
    given, else Euclidean between vectors (n, p) if given, else |difference| of score (n,). caliper is the
    widest allowed difference of score, inclusive, or of the distance itself if there is no score; calipers
    are further (values (n,), width). A negative width asks for a difference above |width|. strata (n,):
    partners have the same code; different: columns of codes in which partners differ. The names and their
    meaning are those of `nearest.Search`. ValueError unless score, vectors and values of usable rows are
    finite.
    """

    focal: Mask
    usable: Mask | None = None
    score: Floats | None = None
    vectors: Floats | None = None
    matrix: Floats | None = None
    caliper: float | None = None
    calipers: tuple[tuple[Floats, float], ...] = ()
    strata: Codes | None = None
    different: tuple[Codes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the algorithms would silently turn into nonsense."""
        if self.score is None and self.matrix is None and self.vectors is None:
            raise ValueError("give a score, vectors or a matrix")
        if self.vectors is not None and self.matrix is not None:
            raise ValueError("give vectors or matrix, not both")
        columns = [self.score, self.vectors, *(values for values, _ in self.calipers)]
        if not all(np.isfinite(column[self.rows]).all() for column in columns if column is not None):
            raise ValueError("score, vectors and calipers must be finite for usable rows")
        shape = (np.count_nonzero(self.focal), np.count_nonzero(~self.focal))
        if self.matrix is not None and (self.matrix.shape != shape or self.matrix.min(initial=0.0) < 0):
            raise ValueError(f"the matrix must have shape {shape} and no negative distance")

    @property
    def rows(self) -> Codes:
        """Positions of usable rows."""
        return np.arange(self.focal.size) if self.usable is None else np.flatnonzero(self.usable)

    @property
    def on_line(self) -> bool:
        """Only one score matters: the problem is one of points on a line."""
        inside = self.caliper is None or self.caliper >= 0
        return (
            self.matrix is None
            and self.vectors is None
            and inside
            and not self.calipers
            and not self.different
        )

    @cached_property
    def restricted(self) -> bool:
        """Some pairs inside a stratum may be forbidden."""
        forbidden = self.matrix is not None and not np.isfinite(self.matrix).all()
        return self.caliper is not None or bool(self.calipers) or bool(self.different) or forbidden

    @cached_property
    def _place(self) -> Codes:
        """Row or column of the matrix that belongs to each row."""
        return np.where(self.focal, np.cumsum(self.focal), np.cumsum(~self.focal)) - 1

    def ordered(self) -> tuple[Codes, Codes]:
        """Usable rows by stratum, score and position, and the bounds (g + 1,) of the strata."""
        rows = self.rows
        key = np.zeros(rows.size) if self.score is None else self.score[rows]
        if self.strata is None:
            return rows[np.argsort(key, kind="stable")], np.array([0, rows.size])
        rows = rows[np.lexsort((key, self.strata[rows]))]
        changes = np.flatnonzero(np.diff(self.strata[rows])) + 1
        return rows, np.concatenate([[0], changes, [rows.size]])

    def groups(self) -> Iterator[tuple[Codes, Codes]]:
        """Focal rows and pool rows of each stratum that has both, by score."""
        rows, starts = self.ordered()
        for first, stop in pairwise(starts):
            members = rows[first:stop]
            focal = self.focal[members]
            if focal.any() and not focal.all():
                yield members[focal], members[~focal]

    def blocks(self, focal: Codes, pool: Codes) -> Iterator[tuple[slice, slice, Floats]]:
        """Distances of focal with pool rows (both of `groups`) in blocks, infinite where forbidden.

        Slices of focal and of pool with the block (rows, columns); blocks outside the caliper are left out.
        """
        step = max(1, BLOCK // pool.size)
        for first in range(0, focal.size, step):
            part = slice(first, min(first + step, focal.size))
            columns = self._within_reach(focal[part], pool)
            if columns.stop > columns.start:
                yield part, columns, self._distances(focal[part], pool[columns])

    def _within_reach(self, focal: Codes, pool: Codes) -> slice:
        if self.caliper is None or self.caliper < 0 or self.score is None:
            return slice(0, pool.size)
        near, far = self.score[focal[0]] - self.caliper, self.score[focal[-1]] + self.caliper
        slack = 1e-9 * (abs(near) + abs(far))
        first = np.searchsorted(self.score[pool], near - slack, side="left")
        return slice(int(first), int(np.searchsorted(self.score[pool], far + slack, side="right")))

    def _distances(self, focal: Codes, pool: Codes) -> Floats:
        """Distances (focal, pool), infinite where forbidden."""
        found: Floats
        if self.matrix is not None:
            found = self.matrix[np.ix_(self._place[focal], self._place[pool])].astype(float)
            found[~np.isfinite(found)] = np.inf
        elif self.vectors is not None:
            found = scipy.spatial.distance.cdist(self.vectors[focal], self.vectors[pool])
        else:
            assert self.score is not None
            found = np.abs(self.score[focal][:, None] - self.score[pool])
        if self.caliper is not None and self.score is None:
            found[_outside(found, self.caliper)] = np.inf
        own = [] if self.caliper is None or self.score is None else [(self.score, self.caliper)]
        for values, width in (*own, *self.calipers):
            found[_outside(np.abs(values[focal][:, None] - values[pool]), width)] = np.inf
        for codes in self.different:
            found[codes[focal][:, None] == codes[pool]] = np.inf
        return found


def _outside(gap: Floats, width: float) -> Mask:
    return gap > width if width >= 0 else gap <= -width


@dataclass(frozen=True, eq=False)
class Links:
    """Allowed pairs (row, column) of one problem with their costs; shape is (rows, columns)."""

    row: Codes
    column: Codes
    cost: Floats
    shape: tuple[int, int]

    @property
    def crowded(self) -> bool:
        """So many that a dense matrix is the better form."""
        cells = self.shape[0] * self.shape[1]
        return cells <= MOST_CELLS and self.cost.size > SPARSE_BELOW * cells

    def dense(self, price: float) -> Floats:
        """Costs (rows, columns), `price` where there is no link."""
        matrix = np.full(self.shape, price)
        matrix[self.row, self.column] = self.cost
        return matrix


def whole(candidates: Candidates, focal: Codes, pool: Codes, ratio: int) -> Floats:
    """All distances of one stratum; ValueError if they are too many."""
    cells = ratio * focal.size * pool.size
    if cells > MOST_CELLS:
        size = f"{focal.size:,} x {pool.size:,} rows with ratio {ratio}"
        raise ValueError(
            f"{size} make {cells:,} distances; at most {MOST_CELLS:,} are possible without a caliper"
        )
    found = np.empty((focal.size, pool.size))
    for rows, columns, block in candidates.blocks(focal, pool):
        found[rows, columns] = block
    return found


def allowed(candidates: Candidates, focal: Codes, pool: Codes, below: Floats | None = None) -> Links:
    """Allowed pairs of one stratum; ValueError above `MOST_LINKS`.

    With below = potentials (focal + pool,) only pairs nearer than the sum of the potentials of both ends.
    """
    parts, total = [], 0
    for rows, columns, block in candidates.blocks(focal, pool):
        keep = np.isfinite(block)
        if below is not None:
            keep &= block < below[: focal.size][rows, None] + below[focal.size :][columns]
        i, j = np.nonzero(keep)
        total += i.size
        if total > MOST_LINKS:
            raise ValueError(f"more than {MOST_LINKS:,} pairs are allowed; narrower calipers are needed")
        parts.append((i + rows.start, j + columns.start, block[keep]))
    shape = (focal.size, pool.size)
    if not parts:
        return Links(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), shape)
    row, column, cost = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Links(row, column, cost, shape)
