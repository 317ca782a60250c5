"""Effects of a roll-out by cohort and period, and their averages: what every approach gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.numerics.group_time_aggregate import Members
from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.group_time_variance import Clusters
from qieval.numerics.two_way_weights import TwoWayWeights
from qieval.result import EventStudy

AGGREGATIONS = ("group", "simple", "dynamic", "calendar")


@dataclass(frozen=True, eq=False)
class Average:
    """One way of averaging effects by cohort and period.

    at (k,): what each part is about (starts for 'group', periods since the start for 'dynamic', periods for
    'calendar'; empty for 'simple'); estimate (k,); covariance (k, k); overall and its standard error.
    influence (n, 1 + k): influence functions by unit of the overall effect and of the parts, where there are.
    """

    at: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray
    overall: float
    overall_error: float
    influence: np.ndarray | None = None

    @property
    def std_error(self) -> np.ndarray:
        """The standard error of each part (k,), NaN where there is no variance."""
        variance = np.diag(self.covariance).astype(float)
        return np.sqrt(np.where(variance > 0, variance, np.nan))


@dataclass(frozen=True, eq=False, kw_only=True)
class Effects:
    """Effects by cohort and period with their averages.

    cohort (m,), time (m,): on the scale of the roll-out's `times`; estimate (m,): NaN where `reason` says why
    there is none; std_error (m,); n_treated, n_control (m,): units compared (rows, in cross-sections).
    averages: by name of the aggregation; regressions with one coefficient have 'dynamic' alone, whose overall
    effect is that coefficient. df: degrees of freedom of t, infinite for the normal. reference: the
    period since the start that the others are compared with, None where each period before the start is
    compared with the one before. ratio: whether effects are logarithms of ratios. cells: effects with
    influence functions by unit, in the order of `units` (the labels of organisations; None for people, who
    are in the order of their sorted identifiers), where the approach has them. members,
    clusters_of_units: what averages of the cells are made with. weights: those of the two-way regression.
    overall: rows of the table of estimates beyond the averages. fitted: the regression with its rows, for a
    bootstrap; it is not kept in results. cell_names: what the cohort and the period of each cell are called.
    """

    cohort: np.ndarray
    time: np.ndarray
    estimate: np.ndarray
    std_error: np.ndarray
    n_treated: np.ndarray
    n_control: np.ndarray
    reason: tuple[str, ...]
    averages: Mapping[str, Average]
    df: float
    clusters: int
    label: str
    reference: int | None = None
    ratio: bool = False
    cells: GroupTime | None = None
    units: pd.Index[Any] | None = None
    members: Members | None = None
    clusters_of_units: Clusters = None
    weights: TwoWayWeights | None = None
    overall: pd.DataFrame | None = None
    fitted: Any = None
    cell_names: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    notes: tuple[str, ...] = ()

    def without_rows(self) -> Effects:
        """The same without anything that holds rows of data."""
        return replace(self, fitted=None)

    def chosen(self, aggregation: str) -> str:
        """The average that the headline shows: the one asked for, or the only one there is."""
        return aggregation if aggregation in self.averages else next(iter(self.averages))

    @property
    def post(self) -> np.ndarray:
        """Which cells lie at or after their cohort's start (m,)."""
        return np.asarray(self.time >= self.cohort)

    @property
    def thin(self) -> np.ndarray:
        """Which cells with an estimate have a single unit (or row) on one side (m,)."""
        return np.asarray(np.isfinite(self.estimate) & (np.minimum(self.n_treated, self.n_control) == 1))

    @property
    def event(self) -> EventStudy:
        """The effects by period since the start as tests of trends read them."""
        found = self.averages["dynamic"]
        kept = np.isfinite(found.estimate)
        if self.reference is not None:
            kept &= found.at != self.reference
        covariance = found.covariance[np.ix_(kept, kept)]
        return EventStudy(
            found.at[kept].astype(int),
            found.estimate[kept],
            covariance,
            self.df,
            -1 if self.reference is None else self.reference,
            np.diag(covariance) <= 0,
        )


def linear_averages(
    cohort: np.ndarray, time: np.ndarray, size: np.ndarray, estimate: np.ndarray, covariance: np.ndarray
) -> dict[str, Average]:
    """Averages of cells (m,) with fixed weights `size` (m,), such as the treated rows of each.

    'simple' weighs cells from the start on by size, 'group' and 'calendar' average the parts by size (group)
    or plainly (calendar), 'dynamic' plainly over the periods from the start on. Cells without an estimate
    are left out.
    """
    known = np.isfinite(estimate)
    post = known & (time >= cohort)
    filled = np.where(known, estimate, 0.0)

    def parts(key: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.unique(key[among])
        rows = (key[None, :] == at[:, None]) & among
        rows = rows * size
        return at, rows / rows.sum(axis=1, keepdims=True)

    def average(key: np.ndarray, among: np.ndarray, weigh: Any) -> Average:
        at, rows = parts(key, among)
        top = weigh(at, rows)
        whole = top @ rows
        return Average(
            at=at,
            estimate=rows @ filled,
            covariance=rows @ covariance @ rows.T,
            overall=float(whole @ filled),
            overall_error=float(np.sqrt(max(whole @ covariance @ whole, 0.0))) or np.nan,
        )

    def plainly(at: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.full(len(at), 1.0 / len(at))

    def by_size(at: np.ndarray, _: np.ndarray) -> np.ndarray:
        held = np.array([size[post & (cohort == start)].mean() for start in at])
        return np.asarray(held / held.sum())

    def since_start(at: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.asarray((at >= 0) / max((at >= 0).sum(), 1))

    simple = average(np.zeros(len(cohort)), post, plainly)
    return {
        "group": average(cohort, post, by_size),
        "simple": Average(np.empty(0), np.empty(0), np.empty((0, 0)), simple.overall, simple.overall_error),
        "dynamic": average(time - cohort, known, since_start),
        "calendar": average(time, post, plainly),
    }
