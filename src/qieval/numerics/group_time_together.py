"""All averages of group-time effects with their covariance from one product of influence functions.

Every average is a fixed combination of the influence functions of the cells and of who belongs to which
cohort, so that its variance needs no influence function of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.group_time_aggregate import (
    Aggregate,
    Kind,
    Members,
    Shares,
    Window,
    aggregated,
    shares_of,
)
from qieval.numerics.group_time_cells import Floats, GroupTime
from qieval.numerics.group_time_variance import Clusters, SmallSample, influence_covariance


@dataclass(frozen=True, eq=False)
class Together:
    """Cells with the covariance of what averages are made of.

    covariance (m + c + 1, m + c + 1): of the estimates of the cells (m,), then of the weights of each
    cohort's units (c,), then of the units in none. n_clusters: None without clusters. cells, shares:
    stand-ins in which each of these is a unit of its own, so that the influence functions of an average are
    its combination.
    """

    covariance: Floats
    n_clusters: int | None
    cells: GroupTime
    shares: Shares

    @property
    def of_cells(self) -> Floats:
        """The covariance of the cells (m, m)."""
        m = len(self.cells.estimate)
        return self.covariance[:m, :m]

    def average(self, kind: Kind, window: Window | None = None) -> tuple[Aggregate, Floats]:
        """An average as `aggregate` gives it (its influence functions are combinations), and the covariance
        of the overall effect and the parts (1 + k, 1 + k)."""
        found = aggregated(self.cells, self.shares, kind, window)
        combination = np.column_stack([found.overall_influence, found.influence])
        return found, np.asarray(combination.T @ self.covariance @ combination)


def together(
    cells: GroupTime, members: Members, clusters: Clusters = None, small_sample: SmallSample = "none"
) -> Together:
    """What every average of these cells is made of; the same numbers as `aggregate` with
    `influence_covariance`, in a fraction of the time when there are many units.

    >>> influence = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, 1.5], [0.0, -2.0]])
    >>> cells = GroupTime(
    ...     cohort=np.array([2.0, 2.0]), time=np.array([2, 3]), base=np.array([1, 1]),
    ...     estimate=np.array([1.0, 3.0]), n_treated=np.array([2, 2]), n_control=np.array([2, 2]),
    ...     reason=("", ""), influence=influence,
    ... )
    >>> found = together(cells, Members(np.array([2.0, 2.0, np.inf, np.inf])))
    >>> found.average("simple")[1].round(6)
    array([[0.117188]])
    """
    shares = shares_of(cells, members)
    m, groups = len(cells.estimate), len(shares.sizes) + 1
    if clusters is None:
        matrix = _independent(cells, shares)
        factor = 1.0 if small_sample == "none" else cells.n / (cells.n - 1)
        matrix, n_clusters = matrix * factor / cells.n**2, None
    else:
        belongs = _belonging(shares, cells.n)
        found = influence_covariance(np.column_stack([cells.influence, belongs]), clusters, small_sample)
        matrix, n_clusters = found.matrix, found.n_clusters
    unit = np.arange(m + groups)
    return Together(
        covariance=matrix,
        n_clusters=n_clusters,
        cells=replace(cells, influence=np.eye(m + groups, m)),
        shares=replace(
            shares,
            cohort=np.where(unit < m, groups - 1, unit - m),
            weight=(unit >= m).astype(float),
        ),
    )


def _belonging(shares: Shares, n: int) -> Floats:
    """The weight of each unit in its cohort, the last column for units in none (n, c + 1)."""
    out = np.zeros((n, len(shares.sizes) + 1), order="F")
    out[np.arange(n), shares.cohort] = shares.weight
    return out


def _independent(cells: GroupTime, shares: Shares) -> Floats:
    """Sums of products over units."""
    m, belongs = len(cells.estimate), _belonging(shares, cells.n)
    out = np.zeros((m + belongs.shape[1],) * 2)
    out[:m, :m] = cells.influence.T @ cells.influence
    out[m:, :m] = belongs.T @ cells.influence
    out[:m, m:] = out[m:, :m].T
    out[m:, m:] = belongs.T @ belongs
    return out
