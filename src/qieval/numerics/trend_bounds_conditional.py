"""The conditional least-favourable hybrid test of moment inequalities, and its confidence set.

Source: Andrews, Roth and Pakes (2023), "Inference for Linear Conditional Moment Inequalities", Review of
Economic Studies 90(6), sections 4 to 6, with a first stage of a tenth of the size as in Rambachan and
Roth (2023). The test statistic is a linear programme in the nuisance parameters; its dual is a maximum over
the vertices of a fixed polyhedron, so that any number of null values and draws cost matrix products only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

FIRST_STAGE = 0.1
"""Share of the size that is spent on the least-favourable test."""

FLAT = 1e-7
"""A combination whose standard error is below this share of the terms' standard errors is known exactly."""

PARALLEL = 1e-9
NOTHING = 1e-8
"""A moment violated by less than this share of its terms' standard errors is not violated."""

DRAWS = 2**14
ANGLES = 2**12
CHUNKS = 8
SEED = 20230801
GRID = 200
SECTIONS = 32
ROUNDS = 9


@dataclass(frozen=True, eq=False)
class Vertices:
    """Normalised moments w = level - slope theta + loading z at every vertex, z standard normal.

    level (J,), slope (J,), loading (J, r). The inequalities hold for a null value theta if no mean of w is
    above zero. Standard errors of w are at most 1.
    """

    level: Floats
    slope: Floats
    loading: Floats


@dataclass(frozen=True)
class Accepted:
    """Ends of the accepted null values, and of those at which no inequality is violated (NaN if none)."""

    low: float
    high: float
    plug_in_low: float
    plug_in_high: float

    @property
    def empty(self) -> bool:
        """Every null value is rejected."""
        return bool(np.isnan(self.low))


def least_favourable(loading: Floats, size: float) -> float:
    """Quantile 1 - size of max_j (loading z)_j, z standard normal (r,): loading (J, r).

    The radius is integrated exactly; directions are exact for rank 1, evenly spaced for rank 2, and
    16,384 antithetic draws from a fixed seed beyond (standard error about 0.003 at size 0.005). Zero if
    nothing varies.
    """
    _, spread, axes = scipy.linalg.svd(loading, full_matrices=False)
    rank = int(np.sum(spread > FLAT * max(float(spread.max(initial=0.0)), FLAT)))
    if rank == 0:
        return 0.0
    reach = _reach(loading, axes[:rank])
    above = reach[reach > 0]

    def missing(critical: float) -> float:
        return float(scipy.special.chdtrc(rank, (critical / above) ** 2).sum()) / reach.size - size

    if missing(0.0) <= 0:
        return 0.0
    error = float(np.linalg.norm(loading, axis=1).max())
    low, high = -scipy.special.ndtri(size) * error, -scipy.special.ndtri(size / len(loading)) * error
    return float(scipy.optimize.brentq(missing, 0.9 * low, 1.1 * high, xtol=1e-12))


def _reach(loading: Floats, axes: Floats) -> Floats:
    """max_j (loading u)_j for directions u in the span of axes (rank, r)."""
    rank = len(axes)
    if rank == 1:
        along = loading @ axes[0]
        return np.array([along.max(), (-along).max()])
    if rank == 2:
        angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
        flat = np.column_stack([np.cos(angle), np.sin(angle)])
        return np.asarray((flat @ (axes @ loading.T)).max(axis=1))
    # Projected, not expressed in axes, whose signs and rotation are arbitrary.
    normal = np.random.default_rng(SEED).standard_normal((DRAWS // 2, loading.shape[1]))
    out = []
    for some in np.split(normal, CHUNKS):
        along = some @ loading.T
        length = np.linalg.norm(some @ axes.T, axis=1)
        out += [along.max(axis=1) / length, -along.min(axis=1) / length]
    return np.concatenate(out)


@dataclass(frozen=True, eq=False)
class HybridTest:
    """The test of one polyhedron: `critical` is the least-favourable value, `size` that of both stages."""

    vertices: Vertices
    critical: float
    size: float

    @classmethod
    def of(cls, vertices: Vertices, size: float) -> HybridTest:
        """The test with its least-favourable critical value."""
        return cls(vertices, least_favourable(vertices.loading, FIRST_STAGE * size), size)

    def accepts(self, theta: Floats) -> Mask:
        """Whether each null value (n,) is accepted."""
        v = self.vertices
        moments = v.level - np.multiply.outer(theta, v.slope)
        largest = moments.argmax(axis=1)
        top = np.take_along_axis(moments, largest[:, None], axis=1)[:, 0]
        loading = v.loading[largest]
        error = np.linalg.norm(loading, axis=1)
        known = error <= FLAT
        safe = np.where(known, 1.0, error)
        ratio = (loading @ v.loading.T) / safe[:, None] ** 2
        room = 1.0 - ratio
        with np.errstate(divide="ignore", invalid="ignore"):
            edge = (moments - ratio * top[:, None]) / room
        low = np.where(room > PARALLEL, edge, -np.inf).max(axis=1)
        high = np.minimum(np.where(room < -PARALLEL, edge, np.inf).min(axis=1), self.critical)
        level = (1 - FIRST_STAGE) * self.size / (1 - FIRST_STAGE * self.size)
        tail = _tail(top / safe, np.minimum(low, top) / safe, np.maximum(high, top) / safe)
        outside = (top > self.critical) | known | (tail < level)
        return np.asarray((top <= NOTHING) | ~outside)

    def within(self, critical: float) -> tuple[float, float]:
        """Null values at which no moment exceeds `critical`, as an interval; the first end larger if none."""
        v = self.vertices
        slope = np.where(np.abs(v.slope) > PARALLEL * np.abs(v.slope).max(), v.slope, 0.0)
        if np.any((slope == 0) & (v.level > critical + NOTHING)):
            return np.inf, -np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            edge = (v.level - critical) / slope
        low = float(np.where(slope > 0, edge, -np.inf).max())
        high = float(np.where(slope < 0, edge, np.inf).min())
        if high < low <= high + 2 * NOTHING / np.abs(slope).max():
            low = high = (low + high) / 2  # a single value, up to rounding
        return low, high

    def confidence_set(self) -> Accepted:
        """The hull of the accepted null values.

        The set lies between the null values that pass the first stage, which are known in closed form, as
        are those at which the statistic is not above zero. Between the two it is looked for on a grid of
        200 points a side, and its ends are then located to 1e-12 of that distance.
        """
        far, near = self.within(self.critical), self.within(0.0)
        if far[0] > far[1]:
            return Accepted(np.nan, np.nan, np.nan, np.nan)
        if near[0] <= near[1]:
            left, right = np.linspace(far[0], near[0], GRID), np.linspace(far[1], near[1], GRID)
            return Accepted(self._first(left, True), self._first(right, True), *near)
        grid = np.linspace(*far, 2 * GRID)
        return Accepted(self._first(grid, False), self._first(grid[::-1], False), np.nan, np.nan)

    def _first(self, grid: Floats, last_accepted: bool) -> float:
        """The first accepted value on the way along the grid; NaN if none."""
        for _ in range(ROUNDS):
            accepted = self.accepts(grid)
            accepted[-1] |= last_accepted
            if not accepted.any():
                return np.nan
            first = int(accepted.argmax())
            if first == 0:
                break
            grid, last_accepted = np.linspace(grid[first - 1], grid[first], SECTIONS), True
        return float(grid[accepted.argmax()])


def _tail(value: Floats, low: Floats, high: Floats) -> Floats:
    """P(z > value | low <= z <= high) for standard normal z, low <= value <= high, without cancellation."""
    upper = scipy.special.log_ndtr(-np.stack([value, low, high]))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.expm1(upper[2] - upper[0])
        whole = np.expm1(upper[2] - upper[1])
        out = np.exp(upper[0] - upper[1]) * part / whole
    return np.asarray(np.where(whole < 0, out, 1.0))
