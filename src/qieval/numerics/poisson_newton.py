"""Newton steps of a Poisson regression with unit and time effects.

Between steps the unit effects are set to their exact value given everything else, so that every unit's
fitted total is its observed total; a step is a weighted two-way least squares (`absorb`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.absorb import Fit, fit_event, fit_static, within
from qieval.numerics.two_way import Codes, Floats, Mask, TwoWay, sums, two_way

STEPS = 60
HALVINGS = 30
CONVERGED = 1e-9
"""Largest change of a log mean in the last Newton step; the error left is about its square."""

LOWEST = -100.0
"""A log mean below this is on its way to minus infinity: some rate is fitted as zero."""

ZERO_RATE = 1e-6
"""A fitted rate below this share of the unit's average, in a row without events, is on its way to zero."""


@dataclass(frozen=True, eq=False)
class CountRows:
    """Counts by unit and period, in long form.

    unit, time (N,) codes from 0 (several rows may share both); y (N,) counts of 0 or more (need not be
    whole); exposure (N,) positive; x (N, k) or None; weights (N,) positive or None. Finite values only.
    """

    unit: Codes
    time: Codes
    y: Floats
    exposure: Floats
    x: Floats | None = None
    weights: Floats | None = None

    def take(self, keep: Mask) -> CountRows:
        """Some of the rows."""
        return CountRows(
            self.unit[keep],
            self.time[keep],
            self.y[keep],
            self.exposure[keep],
            None if self.x is None else self.x[keep],
            None if self.weights is None else self.weights[keep],
        )

    @property
    def mass(self) -> Floats:
        """The weights, ones where there are none (N,)."""
        return np.ones(len(self.y)) if self.weights is None else self.weights


@dataclass(frozen=True, eq=False)
class Interest:
    """A treatment column (N,), or event codes as floats where n_events is given."""

    values: Floats
    n_events: int | None

    @property
    def codes(self) -> Codes:
        """Event codes, -1 for reference rows."""
        return self.values.astype(np.intp)

    @property
    def size(self) -> int:
        """Columns of interest."""
        return 1 if self.n_events is None else self.n_events

    def take(self, keep: Mask) -> Interest:
        """Some of the rows."""
        return Interest(self.values[keep], self.n_events)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Rows that carry information: compact codes, weights, and what does not change between steps."""

    rows: CountRows
    plain: TwoWay
    mass: Floats
    offset: Floats
    totals: Floats

    def to_totals(self, linear: Floats) -> Floats:
        """Log means with the unit effects at their best: fitted totals of units are the observed ones."""
        top = np.full(self.plain.n_units, -np.inf)
        np.maximum.at(top, self.plain.unit, linear)
        fitted = sums(self.plain.unit, self.mass * np.exp(linear - top[self.plain.unit]), self.plain.n_units)
        shift: Floats = np.log(self.totals / fitted) - top
        return linear + shift[self.plain.unit]

    def likelihood(self, linear: Floats) -> float:
        """Poisson log likelihood up to a constant, at fitted totals that are right."""
        return float((self.mass * self.rows.y) @ linear)

    def vanishing(self, linear: Floats) -> bool:
        """Whether some rate runs to zero: no finite estimate exists, whatever the steps end at."""
        exposure = sums(self.plain.unit, self.mass * self.rows.exposure, self.plain.n_units)
        usual = self.rows.exposure * (self.totals / exposure)[self.plain.unit]
        return bool(((self.rows.y == 0) & (np.exp(linear) < ZERO_RATE * usual)).any())

    def start(self) -> Floats:
        """Log means with the crude rate of each period."""
        time, mass, n_times = self.plain.time, self.mass, self.plain.n_times
        events = sums(time, mass * self.rows.y, n_times)
        exposure = sums(time, mass * self.rows.exposure, n_times)
        return self.to_totals(self.offset + np.log(events / exposure)[time])

    def regression(self, linear: Floats, interest: Interest) -> Fit:
        """Weighted two-way least squares of one Newton step at the given log means."""
        mean = np.exp(linear)
        weighted = replace(self.plain, weights=self.mass * mean, balanced=False)
        base = within(weighted, linear - self.offset + (self.rows.y - mean) / mean, self.rows.x)
        if interest.n_events is None:
            return fit_static(base, interest.values)
        return fit_event(base, interest.codes, interest.n_events)


@dataclass(frozen=True, eq=False)
class Search:
    """Where the Newton steps ended: the last weighted regression (None: it failed), fitted counts."""

    fit: Fit | None
    mean: Floats
    iterations: int
    converged: bool


def newton(rows: CountRows, interest: Interest) -> Search:
    """Newton steps of the likelihood in which the unit effects are at their maximum given all else."""
    plain = two_way(rows.unit, rows.time)
    mass = rows.mass
    totals = sums(plain.unit, mass * rows.y, plain.n_units)
    problem = _Problem(rows, plain, mass, np.log(rows.exposure), totals)
    linear, fit = problem.start(), None
    for step in range(1, STEPS + 1):
        try:
            fit = problem.regression(linear, interest)
        except np.linalg.LinAlgError:  # weights of rows whose rate runs to zero leave nothing to invert
            return Search(fit, np.exp(linear), step, converged=False)
        mean = np.exp(linear)
        linear, moved = _move(problem, linear, (rows.y - mean) / mean - fit.error)
        if linear.min() < LOWEST:
            break
        if moved < CONVERGED:
            return Search(fit, np.exp(linear), step, converged=not problem.vanishing(linear))
    return Search(fit, np.exp(linear), step, converged=False)


def _move(problem: _Problem, linear: Floats, change: Floats) -> tuple[Floats, float]:
    """Take a Newton step, halved until the likelihood does not fall; and the largest change of a log mean."""
    before = problem.likelihood(linear)
    allowed = 1e-10 * float(problem.totals.sum())
    for _ in range(HALVINGS):
        after = problem.to_totals(linear + change)
        if problem.likelihood(after) >= before - allowed:
            return after, float(np.abs(after - linear).max())
        change = change / 2
    return linear, np.inf
