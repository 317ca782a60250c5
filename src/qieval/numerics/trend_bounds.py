"""Honest bounds: intervals for an effect when trends would not have been parallel, and where they break down.

Source: Rambachan and Roth (2023), "A More Credible Approach to Parallel Trends", Review of Economic
Studies 90(5). Checked against the R package HonestDiD 0.2.6, which draws its critical values and tests on
a grid of null values; here both are (nearly) exact, so bounds differ by up to 3% of the interval's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.trend_bounds_conditional import FLAT, Accepted, HybridTest, Vertices
from qieval.numerics.trend_bounds_fixed_length import fixed_length
from qieval.numerics.trend_bounds_rays import TooManyRaysError, extreme_rays
from qieval.numerics.trend_bounds_restrictions import (
    Polyhedra,
    Restriction,
    polyhedra,
    restriction_problem,
)
from qieval.numerics.trend_bounds_study import EventStudy, SortedStudy, sorted_study, study_problem
from qieval.numerics.two_way import Floats

Method = Literal["auto", "fixed length", "conditional"]

CHECKED = 401
"""Null values between the ends at which the set is examined for gaps."""

TOO_MANY = (
    "With this many periods after the start, this restriction of sign or shape and these weights, there are "
    "too many cases to go through; ask about fewer periods, or leave the restriction out."
)


@dataclass(frozen=True)
class TrendBounds:
    """What can be said about the target if trends differ as the restriction allows with this magnitude.

    low, high: confidence interval of the true effect; plug_in_low, plug_in_high: the effects that the
    estimates themselves would allow, without sampling error (NaN if none). method: "fixed length" or
    "conditional". connected is False where the confidence set has a gap and low, high are its hull.
    reason says why low and high are NaN, as a sentence; empty if they are not.
    """

    magnitude: float
    low: float = np.nan
    high: float = np.nan
    plug_in_low: float = np.nan
    plug_in_high: float = np.nan
    method: str = ""
    connected: bool = True
    reason: str = ""

    def contains(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Breakdown:
    """The smallest magnitude whose interval contains the null value.

    magnitude is 0 with `at_zero` if even M = 0 does, inf with `never` if none up to `searched_to` does, NaN
    with a reason if there are no bounds.
    """

    magnitude: float
    searched_to: float
    at_zero: bool = False
    never: bool = False
    method: str = ""
    reason: str = ""


def conventional_interval(study: EventStudy, level: float = 0.95) -> TrendBounds:
    """The interval that takes trends as parallel: estimate -+ quantile x standard error (magnitude NaN)."""
    reason = study_problem(study)
    if reason:
        return TrendBounds(np.nan, method="conventional", reason=reason)
    held = sorted_study(study, level)
    half = float(scipy.special.ndtri((1 + level) / 2)) * held.standard_error
    return TrendBounds(np.nan, held.value - half, held.value + half, held.value, held.value, "conventional")


def trend_bounds(
    study: EventStudy,
    restriction: Restriction,
    magnitudes: Sequence[float] | Floats,
    method: Method = "auto",
    level: float = 0.95,
) -> tuple[TrendBounds, ...]:
    """Bounds for each magnitude M.

    "auto" takes the fixed-length interval for smoothness without restrictions of sign or shape, the
    conditional least-favourable hybrid otherwise (the authors' recommendation). Deterministic.

    >>> study = EventStudy(np.array([0.1, 1.0]), 0.01 * np.eye(2), np.array([True, False]), np.ones(1))
    >>> [round(b.low, 2) for b in trend_bounds(study, Restriction(), [0.0, 1.0])]
    [0.8, 0.66]
    """
    problem = _prepare(study, restriction, method, level)
    return tuple(problem.bounds(float(m)) for m in magnitudes)


def breakdown(
    study: EventStudy,
    restriction: Restriction,
    most: float,
    null: float = 0.0,
    method: Method = "auto",
    level: float = 0.95,
) -> Breakdown:
    """The smallest magnitude up to `most` whose interval contains `null`, by root finding.

    Magnitudes are doubled from most / 1024 on until the interval contains null, and the end of the
    interval is then solved for between the last two, to 1e-9 of the magnitude. Intervals of the
    conditional method need not be nested; this is the first crossing found on that way.
    """
    problem = _prepare(study, restriction, method, level)
    if not 0 < most < np.inf:
        return Breakdown(np.nan, most, reason="The largest magnitude to look at has to be a number above 0.")
    previous = 0.0
    for magnitude in [0.0, *(most / 2.0 ** np.arange(10, -1, -1))]:
        here = problem.bounds(float(magnitude))
        if here.reason and not here.method:
            return Breakdown(np.nan, most, reason=here.reason)
        if here.contains(null):
            break
        previous = float(magnitude)
    else:
        return Breakdown(np.inf, most, never=True, method=here.method)
    if magnitude == 0:
        return Breakdown(0.0, most, at_zero=True, method=here.method)

    def gap(m: float) -> float:
        bounds = problem.bounds(m)
        distance = max(bounds.low - null, null - bounds.high)
        return problem.study.standard_error if np.isnan(distance) else distance

    root = float(scipy.optimize.brentq(gap, previous, magnitude, xtol=1e-12 * most, rtol=1e-9))
    return Breakdown(root, most, method=here.method)


def default_magnitudes(study: EventStudy, restriction: Restriction) -> tuple[float, ...]:
    """Magnitudes worth looking at, with M = 0 first; empty if the study cannot be used.

    Relative restrictions: 0.5, 1, 1.5 and 2 times the largest change before the start. Smoothness: 0.5, 1
    and 2 times the largest change of slope before the start, where there are two periods before the
    reference; a quarter, half and all of the target's standard error otherwise.
    """
    if study_problem(study):
        return ()
    if restriction.kind != "smoothness":
        return (0.0, 0.5, 1.0, 1.5, 2.0)
    held = sorted_study(study)
    seen = np.abs(held.bends[: held.n_pre - 1] @ held.estimate)
    if seen.size and seen.max() > 0:
        return tuple(float(share * seen.max()) for share in (0.0, 0.5, 1.0, 2.0))
    error = np.sqrt(study.target @ study.covariance[np.ix_(~study.pre, ~study.pre)] @ study.target)
    return tuple(float(share * error) for share in (0.0, 0.25, 0.5, 1.0))


@dataclass(frozen=True, eq=False)
class _Problem:
    """A study and a restriction, ready for any magnitude; `reason` says why there is none."""

    study: SortedStudy
    sets: Polyhedra = field(repr=False)
    rays: Floats = field(repr=False)
    fixed: bool
    level: float
    reason: str = ""

    def bounds(self, magnitude: float) -> TrendBounds:
        """The bounds for one magnitude."""
        reason = self.reason
        if not reason and not (np.isfinite(magnitude) and magnitude >= 0):
            reason = "The magnitude of the difference in trends has to be a number of at least 0."
        if reason:
            return TrendBounds(magnitude, reason=reason)
        return self._fixed(magnitude) if self.fixed else self._conditional(magnitude)

    def _fixed(self, magnitude: float) -> TrendBounds:
        found = fixed_length(self.study, magnitude, self.level)
        plug_in = [test.within(0.0) for test in self._tests(magnitude, critical=False)]
        low, high = found.estimate - found.half_length, found.estimate + found.half_length
        return TrendBounds(magnitude, low, high, *_hull(plug_in), "fixed length")

    def _conditional(self, magnitude: float) -> TrendBounds:
        tests = self._tests(magnitude)
        held = [found for test in tests if not (found := test.confidence_set()).empty]
        if not held:
            return TrendBounds(magnitude, method="conditional", reason=_EMPTY)
        low, high = min(found.low for found in held), max(found.high for found in held)
        plug_in = _hull([(found.plug_in_low, found.plug_in_high) for found in held])
        connected = _connected(tests, held, low, high)
        return TrendBounds(magnitude, low, high, *plug_in, "conditional", connected)

    def _tests(self, magnitude: float, critical: bool = True) -> list[HybridTest]:
        """One test for each polyhedron (without its critical value if that is not needed)."""
        size = 1 - self.level
        found = [self._vertices(load, magnitude) for load in self.sets.loads]
        if magnitude == 0:
            found = found[:1]  # relative restrictions then do not depend on which change is largest
        return [HybridTest.of(v, size) if critical else HybridTest(v, np.inf, size) for v in found]

    def _vertices(self, load: Floats, magnitude: float) -> Vertices:
        study, target = self.study, self.study.target
        rows = self.sets.base - magnitude * load
        spread = rows @ _root(study.covariance)
        error = np.linalg.norm(spread, axis=1)
        weights = self.rays / (self.rays @ np.maximum(error, FLAT * error.max()))[:, None]
        along = self.sets.base[:, study.n_pre :] @ (target / (target @ target))
        return Vertices(
            level=weights @ (rows @ study.estimate - magnitude * self.sets.limit),
            slope=weights @ along,
            loading=weights @ spread,
        )


_EMPTY = (
    "No effect agrees with the estimates and the restriction: differences before the start contradict it. "
    "Allow a larger magnitude, or leave out the restriction of sign or shape."
)


def _prepare(study: EventStudy, restriction: Restriction, method: Method, level: float) -> _Problem:
    nothing = np.zeros((0, 0))
    none = Polyhedra(nothing, np.zeros((0, 0, 0)), np.zeros(0))
    smooth = restriction.kind == "smoothness" and restriction.plain
    fixed = method == "fixed length" or (method == "auto" and smooth)
    reason = study_problem(study)
    if fixed and not smooth:
        reason = reason or (
            "Fixed-length intervals exist for smoothness without restrictions of sign or shape only; use the "
            "conditional method."
        )
    if reason:
        empty = SortedStudy(np.zeros(0), nothing, 0, np.zeros(0), nothing, nothing, np.zeros(0))
        return _Problem(empty, none, nothing, fixed, level, reason)
    held = sorted_study(study, level)
    reason = restriction_problem(restriction, held)
    if reason:
        return _Problem(held, none, nothing, fixed, level, reason)
    sets = polyhedra(restriction, held)
    try:
        rays = extreme_rays(sets.base[:, held.n_pre :] @ _nuisance(held.target))
    except TooManyRaysError:
        return _Problem(held, none, nothing, fixed, level, TOO_MANY)
    return _Problem(held, sets, rays, fixed, level)


def _nuisance(target: Floats) -> Floats:
    """A sparse basis (n_post, n_post - 1) of the effects that leave the target as it is."""
    weighted = np.flatnonzero(target)
    basis = []
    for j in range(target.size):
        column = np.zeros(target.size)
        if target[j] == 0:
            column[j] = 1.0
        elif j != weighted[0]:
            before = weighted[weighted < j][-1]
            column[j], column[before] = 1.0, -target[j] / target[before]
        else:
            continue
        basis.append(column)
    return np.array(basis).T.reshape(target.size, len(basis))


def _root(covariance: Floats) -> Floats:
    """The symmetric square root, which is unique where the covariance lacks rank, too."""
    values, vectors = scipy.linalg.eigh(covariance)
    kept = np.where(values > 1e-14 * values.max(), values, 0.0)
    return np.asarray((vectors * np.sqrt(kept)) @ vectors.T)


def _hull(intervals: list[tuple[float, float]]) -> tuple[float, float]:
    held = [(low, high) for low, high in intervals if low <= high]
    if not held:
        return np.nan, np.nan
    return min(low for low, _ in held), max(high for _, high in held)


def _connected(tests: list[HybridTest], held: list[Accepted], low: float, high: float) -> bool:
    """Whether every null value of a grid between the ends is accepted by one of the tests."""
    inner = np.linspace(low, high, CHECKED)[1:-1]
    for found in held:
        inside = (found.plug_in_low <= inner) & (inner <= found.plug_in_high)
        inner = inner[~inside]
    for test in tests:
        inner = inner[~test.accepts(inner)] if inner.size else inner
    return inner.size == 0
