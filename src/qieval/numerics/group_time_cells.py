"""What estimators of staggered roll-outs exchange: a panel in wide form, the rules, and effects by cohort and
period with one influence function per unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Mask = NDArray[np.bool_]

Estimator = Literal["doubly robust", "ipw", "regression"]
Controls = Literal["never", "not yet"]
Base = Literal["varying", "universal"]


@dataclass(frozen=True)
class Rules:
    """How effects by cohort and period are estimated.

    estimator: 'doubly robust' (Sant'Anna and Zhao 2020), 'ipw' (normalised inverse probability weights) or
    'regression' (outcome regression). control_group: units never treated within the data, or those not yet
    treated at the later period of a comparison (less `anticipation`). base_period: 'varying' compares each
    period before the start with the one before it, 'universal' all periods with the last one before the
    start less `anticipation`.
    """

    estimator: Estimator = "doubly robust"
    control_group: Controls = "never"
    base_period: Base = "varying"
    anticipation: int = 0


@dataclass(frozen=True, eq=False)
class WidePanel:
    """Units by periods.

    times (T,): the periods as increasing whole numbers, perhaps with gaps. first (n,): when each unit starts,
    in the units of times; np.inf for never; everything beyond times[-1] by more than
    the anticipation counts as never; units that start at times[0] (less anticipation) or earlier must have
    been left out. y (n, T): NaN where a unit was not
    observed. x (n, k): fixed characteristics without an intercept, or (n, T, k) where they change over time;
    k may be 0. weights (n,) or (n, T), positive, or None.
    """

    times: NDArray[np.int64]
    first: Floats
    y: Floats
    x: Floats
    weights: Floats | None = None


@dataclass(frozen=True, eq=False)
class GroupTime:
    """Effects by cohort and period.

    cohort (m,): the start; time (m,), base (m,): the two periods compared, all in the units of `times`;
    cells are ordered by cohort, then time; with a universal base the base period itself is a cell of
    estimate 0 and influence 0. estimate (m,): NaN where `reason` says in words why there is none, else ''.
    n_treated, n_control (m,): units (or rows of repeated cross-sections) compared. influence (n, m): one
    value per unit, scaled so that the variance without clusters is the sum of squares over n**2; zero
    columns where there is no estimate. `n` is the n of that scaling.
    """

    cohort: Floats
    time: NDArray[np.int64]
    base: NDArray[np.int64]
    estimate: Floats
    n_treated: Codes
    n_control: Codes
    reason: tuple[str, ...]
    influence: Floats

    @property
    def n(self) -> int:
        """The number of units."""
        return len(self.influence)

    @property
    def post(self) -> Mask:
        """Which cells lie at or after their cohort's start (m,)."""
        return self.time >= self.cohort

    def take(self, keep: Sequence[int] | Mask | Codes) -> GroupTime:
        """Some of the cells."""
        kept = np.asarray(keep)
        at = np.arange(len(self.estimate))[kept if kept.size else kept.astype(np.intp)]
        return replace(
            self,
            reason=tuple(self.reason[i] for i in at),
            **{
                name: getattr(self, name)[at]
                for name in ("cohort", "time", "base", "estimate", "n_treated", "n_control")
            },
            influence=self.influence[:, at],
        )
