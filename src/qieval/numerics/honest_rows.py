"""Rows of a regression discontinuity, sorted by their distance to the cutoff, one piece for each side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qieval.errors import EstimationError
from qieval.numerics.two_way import Codes, Floats, compact

Ints = NDArray[np.int64]

ROUNDING = 32 * np.finfo(np.float64).eps
"""Scores that differ by less than this share of the largest score are one support point."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HonestRows:
    """What is known of each row: score (n,), outcome y (n,) and, where there are any, the rest.

    A row is on the right when score >= cutoff. uptake (n,) makes the design fuzzy. covariates (n, k) were
    measured before. weights (n,) > 0 are numbers of people that a row averages over. clusters (n,) are
    integer codes.
    """

    score: Floats
    y: Floats
    cutoff: float = 0.0
    uptake: Floats | None = None
    covariates: Floats | None = None
    weights: Floats | None = None
    clusters: NDArray[np.integer] | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """The rows on one side, nearest to the cutoff first.

    distance (n,) to the cutoff in a unit that puts the largest on either side between 1/2 and 1 (a power of
    two, so that no distance is rounded); outcomes (n, 1), or
    (n, 2) with uptake second; first (G,) is where each support point begins.
    """

    sign: float
    distance: Floats
    outcomes: Floats
    weights: Floats
    covariates: Floats
    clusters: Ints | None
    first: Ints

    @property
    def points(self) -> Floats:
        """Distances (G,) of the support points, ascending."""
        return self.distance[self.first]

    def counts(self) -> Ints:
        """Rows at each support point (G,)."""
        return np.diff(self.first, append=self.distance.size)


@dataclass(frozen=True, eq=False)
class Sides:
    """Left and right; `scale` is the unit of distance, `tie` the distance in it that counts as none."""

    both: tuple[Side, Side]
    scale: float
    tie: float
    n_clusters: int = 0

    @property
    def n_outcomes(self) -> int:
        """1, or 2 in a fuzzy design."""
        return int(self.both[0].outcomes.shape[1])

    def with_outcomes(self, left: Floats, right: Floats) -> Sides:
        """The same rows with other outcomes, (n_left, m) and (n_right, m)."""
        one, other = self.both
        return replace(self, both=(replace(one, outcomes=left), replace(other, outcomes=right)))

    def with_covariates(self, *, kept: bool) -> Sides:
        """The same rows with or without their covariates."""
        if kept:
            return self
        one, other = (replace(side, covariates=side.covariates[:, :0]) for side in self.both)
        return replace(self, both=(one, other))


def split(rows: HonestRows) -> Sides:
    """Sort the rows and cut them at the cutoff. Needs two different scores on each side.

    Outcomes and covariates are measured from their mean, which no jump depends on.
    """
    distance = rows.score - rows.cutoff
    largest = float(np.max(np.abs(distance), initial=0.0))
    held = (distance, rows.y, rows.uptake, rows.covariates, rows.weights)
    if not all(column is None or np.all(np.isfinite(column)) for column in held):
        raise ValueError("scores, outcomes and all other columns are finite numbers")
    if largest == 0:
        raise EstimationError("All scores equal the cutoff: there is nobody on either side to compare.")
    scale = float(2.0 ** np.ceil(np.log2(largest)))
    order = np.argsort(distance, kind="stable")
    n_left = int(np.searchsorted(distance[order], 0.0))
    tie = ROUNDING * float(np.max(np.abs(rows.score))) / scale
    ready = _Columns(rows, distance / scale, tie)
    left, right = ready.side(-1.0, order[:n_left][::-1]), ready.side(1.0, order[n_left:])
    for side, name in ((left, "below"), (right, "above")):
        if side.first.size < 2:
            raise EstimationError(
                f"There are {side.first.size} different scores {name} the cutoff; a line needs at least 2."
            )
    return Sides((left, right), scale, tie, ready.n_clusters)


class _Columns:
    """The columns in a common form, from which the rows of a side are picked."""

    def __init__(self, rows: HonestRows, distance: Floats, tie: float) -> None:
        n = distance.size
        columns = [rows.y] if rows.uptake is None else [rows.y, rows.uptake]
        self.distance, self.tie = np.abs(distance), tie
        self.outcomes = np.column_stack([column - column.mean() for column in columns])
        self.weights = np.ones(n) if rows.weights is None else np.asarray(rows.weights, dtype=np.float64)
        held = np.empty((n, 0)) if rows.covariates is None else rows.covariates
        self.covariates = held - held.mean(axis=0)
        self.clusters: Codes | None = None
        self.n_clusters = 0
        if rows.clusters is not None:
            self.clusters, self.n_clusters = compact(rows.clusters.astype(np.intp))
        if not np.all(self.weights > 0):
            raise ValueError("weights are above 0")

    def side(self, sign: float, picked: Ints) -> Side:
        """The rows `picked`, nearest first."""
        distance = self.distance[picked]
        gaps = np.diff(distance, prepend=-np.inf) > self.tie
        return Side(
            sign=sign,
            distance=distance,
            outcomes=self.outcomes[picked],
            weights=self.weights[picked],
            covariates=self.covariates[picked],
            clusters=None if self.clusters is None else self.clusters[picked],
            first=np.flatnonzero(gaps),
        )
