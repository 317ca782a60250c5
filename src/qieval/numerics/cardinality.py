"""Cardinality matching: the largest sample whose group means differ by no more than stated tolerances.

Balance is a constraint here and size the aim (Zubizarreta, Paredes and Rosenbaum 2014). Rows with the same
values are one integer variable; the linear relaxation bounds the size and says which rows are worth
deciding in integers (HiGHS). Proof of the last few rows can take very long: hence a gap and a time limit.
With 15 continuous columns and a gap of 0.1 % 10,000 rows take about 2 seconds, 100,000 about half a minute.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

FREE = 200
"""Entries not fixed in the first integer problem."""

Status = Literal["optimal", "feasible", "infeasible", "nothing found"]


@dataclass(frozen=True)
class Effort:
    """When the solver may stop: after so many seconds, or once so near (relative gap) to the bound."""

    seconds: float = 60.0
    gap: float = 1e-4


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows chosen, (n,) bool, and how good they are known to be.

    status: "optimal" (no larger sample exists), "feasible" (one larger by the relative `gap` may exist:
    stopped by gap or time), "infeasible" (nobody can be chosen), "nothing found" (time ran out). bound: no
    sample has more rows (of the others where focal rows are matched). excess: the largest amount by which a
    difference of means exceeds its tolerance, in standard deviations of that column; above zero only by the
    solver's rounding (about 1e-6 / rows).
    """

    chosen: Mask
    status: Status
    gap: float
    bound: float
    excess: float

    @property
    def converged(self) -> bool:
        """The sample is proven the largest."""
        return self.status == "optimal"


def cardinality(
    x: Floats, focal: Mask, tolerance: Floats, ratio: int = 1, effort: Effort | None = None
) -> Selection:
    """Most focal rows with `ratio` times as many others, means of x (n, k) within tolerance (k,).

    Tolerances are in the units of x; zero asks for equal sums. Who is paired with whom is a second step
    (`optimal_pairs` on the rows chosen), which balance does not depend on. Finite x only.
    """
    if ratio < 1:
        raise ValueError("the ratio must be 1 or more")
    problem = _Problem.of(x, focal, tolerance, x.mean(axis=0) if x.size else np.zeros(x.shape[1]))
    side = np.where(problem.focal, float(ratio), -1.0)
    size = np.where(problem.focal, 0.0, 1.0)
    return problem.solve(side, size, side, effort or Effort())


def profile(
    x: Floats, group: Mask, target: Floats, tolerance: Floats, effort: Effort | None = None
) -> Selection:
    """Most rows of `group` (n,) whose means of x (n, k) lie within tolerance (k,) of target (k,).

    With the means of the other group as target, which then stays whole: profile matching of Cohn and
    Zubizarreta (2022). For the effect on everybody choose from each group with the means of all as target.
    Finite x only.
    """
    inside = np.flatnonzero(group)
    problem = _Problem.of(x[inside], np.zeros(inside.size, bool), tolerance, target)
    size = np.ones(problem.focal.size)
    found = problem.solve(size, size, None, effort or Effort())
    chosen = np.zeros(group.size, dtype=bool)
    chosen[inside[found.chosen]] = True
    return Selection(chosen, found.status, found.gap, found.bound, found.excess)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Rows of the same group and values as m cells: values (m, k) in SDs, count (m,); cell (n,) of rows."""

    values: Floats
    focal: Mask
    count: Codes
    cell: Codes
    tolerance: Floats

    @classmethod
    def of(cls, x: Floats, focal: Mask, tolerance: Floats, centre: Floats) -> _Problem:
        if x.ndim != 2 or tolerance.shape != (x.shape[1],) or centre.shape != (x.shape[1],):
            raise ValueError("tolerance and target must have one number for each column of x")
        if not (np.isfinite(x).all() and np.isfinite(centre).all() and (tolerance >= 0).all()):
            raise ValueError("x and target must be finite and tolerances zero or more")
        scale = x.std(axis=0) if x.size else np.ones(x.shape[1])
        scale = np.where(scale > 0, scale, np.maximum(np.abs(x - centre).max(axis=0, initial=0.0), 1e-300))
        rows = np.column_stack([focal, (x - centre) / scale])
        cells, cell, count = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        return cls(cells[:, 1:], cells[:, 0] > 0, count, cell.ravel(), tolerance / scale)

    def solve(self, side: Floats, size: Floats, equal: Floats | None, effort: Effort) -> Selection:
        """Largest size'z, z integer, with |sum side z values| <= tolerance size'z and equal'z = 0."""
        tilt = side[:, None] * self.values
        band = size[:, None] * self.tolerance
        equal = np.zeros_like(size) if equal is None else equal
        programme = _Programme(size, np.vstack([(tilt - band).T, (-tilt - band).T, equal]), self.count)
        taken, bound = programme.search(effort) if size.size else (np.zeros(0), 0.0)
        total = 0.0 if taken is None else float(size @ taken)
        if taken is None or total == 0:
            status: Status = "infeasible" if bound < 1 else "nothing found"
            return Selection(np.zeros(self.cell.size, bool), status, 0.0 if bound < 1 else np.inf, bound, 0.0)
        excess = np.abs(taken @ tilt) / total - self.tolerance
        return Selection(
            chosen=self._rows(taken),
            status="optimal" if bound < total + 1 else "feasible",
            gap=bound / total - 1,
            bound=bound,
            excess=max(float(excess.max(initial=0.0)), 0.0),
        )

    def _rows(self, taken: Floats) -> Mask:
        """Rows chosen: the first of each cell in the order of the data."""
        order = np.argsort(self.cell, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.count)[:-1]])
        place = np.empty(self.cell.size, dtype=np.intp)
        place[order] = np.arange(self.cell.size) - np.repeat(starts, self.count)
        return np.asarray(place < taken[self.cell])


@dataclass(frozen=True, eq=False)
class _Programme:
    """Largest size'z with rows z <= 0 (the last row: = 0), 0 <= z <= count, z integer."""

    size: Floats
    rows: Floats
    count: Codes

    def search(self, effort: Effort) -> tuple[Floats | None, float]:
        """Best z found (None if none) and a bound on every other.

        The linear relaxation has few fractional entries and bounds the size. Entries that it values most
        clearly are fixed, the other ones solved in integers; ever fewer are fixed until the answer is within
        the gap of the bound, nothing is fixed, or time is up.
        """
        began = time.monotonic()
        relaxed = scipy.optimize.linprog(
            -self.size,
            A_ub=self.rows[:-1],
            b_ub=np.zeros(len(self.rows) - 1),
            A_eq=self.rows[-1:],
            b_eq=[0.0],
            bounds=np.column_stack([np.zeros(self.size.size), self.count]),
            method="highs-ipm",
            options={"time_limit": effort.seconds},
        )
        if relaxed.status != 0:
            return None, float(self.size @ self.count)
        value = np.abs(relaxed.lower.marginals + relaxed.upper.marginals)
        order = np.argsort(value, kind="stable")
        best, bound, free = None, np.floor(-relaxed.fun * (1 + 1e-9) + 1e-6), FREE
        while True:
            left = effort.seconds - (time.monotonic() - began)
            everything = free >= self.size.size
            if left <= 0:
                return best, float(bound)
            start = np.rint(relaxed.x)
            found, own_bound = self._integers(
                start, order[:free], (left if everything else left / 3, effort.gap)
            )
            if found is not None and (best is None or self.size @ found > self.size @ best):
                best = found
            bound = min(bound, own_bound) if everything else bound
            if everything or (best is not None and bound <= (1 + effort.gap) * (self.size @ best)):
                return best, float(bound)
            free *= 4

    def _integers(self, start: Floats, free: Codes, stop: tuple[float, float]) -> tuple[Floats | None, float]:
        """Best integers with all entries but the free ones fixed at start; and the bound of this problem."""
        low, high = start.copy(), start.copy()
        low[free], high[free] = 0, self.count[free]
        lower = np.full(len(self.rows), -np.inf)
        lower[-1] = 0.0
        result = scipy.optimize.milp(
            -self.size,
            integrality=np.ones(self.size.size),
            bounds=scipy.optimize.Bounds(low, high),
            constraints=scipy.optimize.LinearConstraint(self.rows, lower, 0),
            options={"time_limit": stop[0], "mip_rel_gap": stop[1]},
        )
        bound = np.inf if result.mip_dual_bound is None else np.floor(1e-6 - result.mip_dual_bound)
        return (None if result.x is None else np.rint(result.x)), float(bound)
