"""A roll-out as arrays: who began when, and the rows or the units by periods that estimators read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.numerics.group_time_cells import WidePanel
from qieval.periods import Periods

NEVER = np.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Rollout:
    """Rows of units by periods, sorted by unit and period, as arrays of length n.

    unit, time: codes into `units` and `times`; times (T,): the periods as whole numbers counted in steps of
    the calendar, 0 for the first; names: what each period of the calendar is called, also those without rows.
    began (units,): when each unit starts, on the scale of `times`, infinite for never within the data; None
    for repeated cross-sections, where `row_began` (n,) has it. y is None where outcomes may not be seen.
    x (n, k) with `x_names`; cluster, second: codes. losses: rows left out, by
    reason. row: the position of each row in the frame it came from.
    """

    units: pd.Index[Any]
    periods: Periods
    times: np.ndarray
    names: tuple[str, ...]
    unit: np.ndarray
    time: np.ndarray
    began: np.ndarray | None
    row_began: np.ndarray | None
    y: np.ndarray | None
    x: np.ndarray
    x_names: tuple[str, ...]
    weights: np.ndarray | None
    exposure: np.ndarray | None
    eligible: np.ndarray | None
    cluster: np.ndarray
    n_clusters: int
    second: np.ndarray | None
    losses: pd.DataFrame
    notes: tuple[str, ...]
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def outcome(self) -> np.ndarray:
        """The outcome (n,), where it may be seen."""
        if self.y is None:
            raise RuntimeError("the outcome of a blind roll-out was asked for")
        return self.y

    @property
    def n_periods(self) -> int:
        """The number of periods T."""
        return len(self.times)

    @cached_property
    def first(self) -> np.ndarray:
        """The start of the unit of each row (n,)."""
        if self.began is None:
            assert self.row_began is not None
            return np.asarray(self.row_began)
        return np.asarray(self.began[self.unit])

    @cached_property
    def since(self) -> np.ndarray:
        """Periods since the start of the unit of each row (n,), minus infinity for never."""
        return np.asarray(self.times[self.time] - self.first)

    @cached_property
    def starts(self) -> np.ndarray:
        """The different starts, without never."""
        held = np.unique(self.first if self.began is None else self.began)
        return np.asarray(held[np.isfinite(held)])

    @property
    def has_never(self) -> bool:
        """Whether anybody never begins."""
        return bool(np.isinf(self.first if self.began is None else self.began).any())

    @cached_property
    def is_grid(self) -> bool:
        """Whether every unit has one row in every period."""
        n, t = len(self.units), self.n_periods
        return len(self) == n * t and bool((self.time.reshape(n, t) == np.arange(t)).all())

    def labels(self, at: np.ndarray) -> list[str]:
        """Moments on the scale of `times` as the data write them."""
        return ["never" if np.isinf(moment) else self.names[int(moment)] for moment in at]

    @cached_property
    def first_rows(self) -> np.ndarray:
        """The position of the first row of each unit (units,)."""
        if self.is_grid:
            return np.arange(len(self.units)) * self.n_periods
        return np.searchsorted(self.unit, np.arange(len(self.units)))

    def of_units(self, held: np.ndarray) -> np.ndarray:
        """The first value of each unit of something given by row."""
        return np.asarray(held[self.first_rows])

    def by_units(self, held: np.ndarray, empty: float = np.nan) -> np.ndarray:
        """Something given by row (n, ...) as units by periods (units, T, ...)."""
        shape = (len(self.units), self.n_periods, *held.shape[1:])
        if self.is_grid:
            return np.asarray(held.reshape(shape))
        table = np.full(shape, empty)
        table[self.unit, self.time] = held
        return table

    def wide(self) -> WidePanel:
        """Units by periods, for a panel."""
        assert self.began is not None
        return WidePanel(
            times=self.times,
            first=self.began,
            y=self.by_units(self.outcome),
            x=self._narrow(self.x),
            weights=None if self.weights is None else self._narrow(self.weights),
        )

    def _narrow(self, held: np.ndarray) -> np.ndarray:
        """Per unit what does not change over time, per unit and period what does (gaps filled from the
        first)."""
        fixed = self.of_units(held)
        same = (
            (held.reshape(len(self.units), self.n_periods, -1) == fixed.reshape(len(self.units), 1, -1)).all()
            if self.is_grid
            else (held == fixed[self.unit]).all()
        )
        if same:
            return fixed
        table = self.by_units(held)
        return np.where(np.isnan(table), fixed[:, None], table)

    def where(self, keep: np.ndarray) -> Rollout:
        """The rows at which `keep` (n,) is true; units without rows are gone, codes of clusters stay."""
        code, kept = pd.factorize(self.unit[keep], sort=True)
        cut: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep]
            for name in (
                *(
                    "time",
                    "row_began",
                    "y",
                    "x",
                    "weights",
                    "exposure",
                    "eligible",
                    "cluster",
                    "second",
                    "row",
                ),
            )
        }
        cut["began"] = None if self.began is None else self.began[kept]
        cut["periods"] = replace(self.periods, code=self.periods.code[keep])
        return replace(self, unit=code, units=self.units[kept], **cut)

    def whole(self) -> Rollout:
        """Only units seen in every period. DataError where there are none."""
        if self.is_grid:
            return self
        complete = np.bincount(self.unit) == self.n_periods
        if not complete.any():
            raise DataError(
                "unbalanced: no unit has a row in every period, so 'drop' leaves nothing. Use"
                " unbalanced='pairs', or shorten the time (first_period, last_period)."
            )
        return self.where(complete[self.unit])
