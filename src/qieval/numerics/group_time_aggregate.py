"""Effects by cohort and period averaged: over all, by cohort, by time since the start, by calendar period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.group_time_cells import Codes, Floats, GroupTime, Mask

Kind = Literal["simple", "group", "dynamic", "calendar"]

NO_EFFECTS = (
    "No effect at or after a start could be estimated, so there is nothing to average. See the reasons given "
    "for each cohort and period, or widen the window of event times."
)


@dataclass(frozen=True, eq=False)
class Members:
    """Where the shares of cohorts are counted.

    first (r,): start of each row's unit, np.inf for never; weights (r,), positive, or None; unit (r,): the
    unit of each row as its position among the rows of the influence functions, or None where row i is unit
    i (a panel with one row per unit, or repeated cross-sections without units). A unit with several rows
    counts once, with the mean of their weights.
    """

    first: Floats
    weights: Floats | None = None
    unit: Codes | None = None


@dataclass(frozen=True)
class Window:
    """Which time since the start counts, in the units of `times`.

    max_event limits all averages but "calendar", min_event only "dynamic". balanced (only "dynamic"):
    cohorts observed for at least this many periods after their start, and event times up to it that all
    of them could reach: from `balanced` less the length of the panel.
    """

    min_event: float = -np.inf
    max_event: float = np.inf
    balanced: float | None = None


@dataclass(frozen=True, eq=False)
class Aggregate:
    """Averages of effects with influence functions scaled as those of the cells.

    at (k,): cohort, event time or calendar period (none for "simple"); estimate (k,), influence (n, k),
    n_cells (k,): how many cells each averages. overall is NaN, its influence zero and `reason` says why, if
    no cell at or after a start has an estimate; otherwise reason is ''.
    """

    at: Floats
    estimate: Floats
    influence: Floats
    overall: float
    overall_influence: Floats
    n_cells: Codes
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Shares:
    """Cohort shares.

    cohort (n,): position of each unit's cohort in `sizes`, len(sizes) for units in none of them; weight (n,);
    sizes (c,): mean over units of weight times membership; of_cell (m,): position of each cell's cohort.
    """

    cohort: Codes
    weight: Floats
    sizes: Floats
    of_cell: Codes


def aggregate(cells: GroupTime, members: Members, kind: Kind, *, window: Window | None = None) -> Aggregate:
    """Averages of effects by cohort and period (Callaway and Sant'Anna 2021, section 3), as R did `aggte`.

    "simple": all cells at or after the start, each with the share of its cohort; "group": mean over periods
    within cohorts, overall weighted by cohort shares; "dynamic": by event time, cohorts weighted by shares,
    overall the plain mean over event times from 0; "calendar": by period, overall the plain mean over
    periods. Cells before the start enter only "dynamic", below event time 0, also where anticipation is
    allowed for (diff-diff averages those into the overall effect). Cells without estimate are left out, so
    that an average may stand on fewer cohorts than its neighbours: see n_cells.

    Influence functions contain that cohort shares are estimated: with shares p the average
    sum(p a) / sum(p) changes by w_i (a_{G(i)} - average) / sum(p), summed over its cells of the unit's own
    cohort. Checked against R did 2.5.1 to 1e-8, windows against csdid 0.4.3, influence by the jackknife.

    >>> cells = GroupTime(
    ...     cohort=np.array([2.0, 2.0, 3.0]), time=np.array([2, 3, 3]), base=np.array([1, 1, 2]),
    ...     estimate=np.array([1.0, 3.0, 6.0]), n_treated=np.array([2, 2, 1]), n_control=np.array([1, 1, 1]),
    ...     reason=("", "", ""), influence=np.zeros((4, 3)),
    ... )
    >>> members = Members(np.array([2.0, 2.0, 3.0, np.inf]))
    >>> aggregate(cells, members, "dynamic").estimate.round(4)
    array([2.6667, 3.    ])
    """
    return aggregated(cells, shares_of(cells, members), kind, window)


def aggregated(cells: GroupTime, shares: Shares, kind: Kind, window: Window | None = None) -> Aggregate:
    """The same, with the shares of cohorts counted already."""
    window = window or Window()
    span = (
        (float(min(cells.time.min(), cells.base.min())), float(cells.time.max()))
        if cells.time.size
        else (0, 0)
    )
    known = np.isfinite(cells.estimate) & (shares.sizes[shares.of_cell] > 0)
    at, picks = _picks(cells, known, kind, window, span)
    weights, table = _weights(cells, shares, picks)
    estimate = weights.T @ np.where(known, cells.estimate, 0.0)
    influence = _influence(cells, shares, weights, table)
    if kind == "simple":
        found = (float(estimate[0]), influence[:, 0]) if picks.any() else None
        at, estimate, influence, picks = at[:0], estimate[:0], influence[:, :0], picks[:, :0]
    elif kind == "group":
        found = _by_size(at, estimate, influence, shares, np.unique(cells.cohort))
    else:
        found = _plain_mean(estimate, influence, (at >= 0) if kind == "dynamic" else np.ones(at.size, bool))
    n_cells = np.count_nonzero(picks, axis=0).astype(np.intp)
    if found is None:
        return Aggregate(at, estimate, influence, np.nan, np.zeros(cells.n), n_cells, NO_EFFECTS)
    return Aggregate(at, estimate, influence, *found, n_cells)


def shares_of(cells: GroupTime, members: Members) -> Shares:
    """Cohort and weight of each unit, and the shares of cohorts."""
    first = np.asarray(members.first, dtype=np.float64)
    weight = np.ones(first.size) if members.weights is None else members.weights
    if members.unit is not None:
        first, weight = _of_units(first, weight, members.unit, cells.n)
    if first.size != cells.n:
        raise ValueError(f"{first.size:,} members for influence functions of {cells.n:,} units")
    cohorts, of_cell = np.unique(cells.cohort, return_inverse=True)
    place = np.searchsorted(cohorts, first)
    member = place < cohorts.size
    member[member] = cohorts[place[member]] == first[member]
    code = np.where(member, place, cohorts.size)
    sizes = np.bincount(code, weight, cohorts.size + 1)[: cohorts.size] / cells.n
    return Shares(code, weight, sizes, of_cell)


def _of_units(first: Floats, weight: Floats, unit: Codes, n: int) -> tuple[Floats, Floats]:
    """Start and mean weight of each unit; units without rows are never treated and weigh nothing."""
    if unit.size and (unit.min() < 0 or unit.max() >= n):
        raise ValueError(f"unit codes must lie between 0 and {n - 1}")
    rows = np.bincount(unit, minlength=n)
    mean = np.bincount(unit, weight, n) / np.maximum(rows, 1)
    start = np.full(n, np.inf)
    start[unit] = first
    return start, mean


def _picks(
    cells: GroupTime, known: Mask, kind: Kind, window: Window, span: tuple[float, float]
) -> tuple[Floats, Mask]:
    """Where averages stand (k,), and which cells each of them takes (m, k); none is empty but "simple"."""
    event = cells.time - cells.cohort
    if kind == "simple":
        return np.zeros(1), (known & cells.post & (event <= window.max_event))[:, None]
    if kind == "group":
        held, of = known & cells.post & (event <= window.max_event), cells.cohort
    elif kind == "calendar":
        held, of = known & cells.post, cells.time.astype(np.float64)
    else:
        held, of = known & (event >= window.min_event) & (event <= window.max_event), event
        if window.balanced is not None:
            held &= span[1] - cells.cohort >= window.balanced
            held &= (event <= window.balanced) & (event >= window.balanced - (span[1] - span[0]))
    at = np.unique(of[held])
    return at, held[:, None] & (of[:, None] == at)


def _weights(cells: GroupTime, shares: Shares, picks: Mask) -> tuple[Floats, Floats]:
    """Weight of each cell in each average (m, k); and by cohort what its size does to averages (c + 1, k)."""
    weights = np.where(picks, shares.sizes[shares.of_cell][:, None], 0.0)
    total = weights.sum(axis=0)
    total[total == 0] = np.inf
    weights /= total
    estimate = np.where(picks.any(axis=1), cells.estimate, 0.0)
    table = np.zeros((shares.sizes.size + 1, picks.shape[1]))
    np.add.at(table, shares.of_cell, np.where(picks, estimate[:, None] - weights.T @ estimate, 0.0) / total)
    return weights, table


def _influence(cells: GroupTime, shares: Shares, weights: Floats, table: Floats) -> Floats:
    """Influence functions of averages (n, k), stored by average."""
    out = np.asarray(weights.T @ cells.influence.T)
    for row, by_cohort in zip(out, table.T, strict=True):
        if np.abs(by_cohort).any():
            row += shares.weight * by_cohort[shares.cohort]
    return out.T


def _by_size(
    at: Floats, estimate: Floats, influence: Floats, shares: Shares, cohorts: Floats
) -> tuple[float, Floats] | None:
    """The mean over cohorts weighted by their shares."""
    if not at.size:
        return None
    place = np.searchsorted(cohorts, at)
    sizes = shares.sizes[place]
    overall = float(sizes @ estimate / sizes.sum())
    by_cohort = np.zeros(shares.sizes.size + 1)
    by_cohort[place] = (estimate - overall) / sizes.sum()
    return overall, influence @ (sizes / sizes.sum()) + shares.weight * by_cohort[shares.cohort]


def _plain_mean(estimate: Floats, influence: Floats, held: Mask) -> tuple[float, Floats] | None:
    """The mean over the averages held."""
    if not held.any():
        return None
    share = held / np.count_nonzero(held)
    return float(share @ estimate), influence @ share
