"""Bandwidth that minimises what could go wrong at worst: mean squared error or length of the interval.

Largest bias and standard error of a local linear jump depend on the score and the noise on each side
only. Both come from sums of powers of the distance, cumulated outwards from the cutoff once, so that a
bandwidth costs a look-up whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.errors import EstimationError
from qieval.numerics.honest_critical import honest_critical_value
from qieval.numerics.honest_fit import Curvature, Kernel, local_fit
from qieval.numerics.honest_moments import Moments
from qieval.numerics.honest_pilot import Noise
from qieval.numerics.honest_rows import Sides
from qieval.numerics.two_way import Floats

Criterion = Literal["mse", "flci", "oci"]

GRID = 400
GRID_CLUSTERED = 40
SEARCHED = 1e-6
"""Relative precision of a search for a minimum: its value is flat to rounding."""

BASINS = 5
"""Local minima of the grid that are searched further."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What the bandwidth minimises: worst mean squared error, length of the two-sided interval ("flci") or
    quantile `beta` of the excess length of the one-sided interval ("oci").
    """

    criterion: Criterion = "mse"
    level: float = 0.95
    beta: float = 0.8

    def value(self, bias: Floats, std_error: Floats) -> Floats:
        """The criterion, same shape; infinite where the bias is."""
        found = np.full(bias.shape, np.inf)
        held = np.isfinite(bias)
        bias, std_error = bias[held], std_error[held]
        if self.criterion == "mse":
            found[held] = bias**2 + std_error**2
        elif self.criterion == "oci":
            quantiles = scipy.special.ndtri(self.level) + scipy.special.ndtri(self.beta)
            found[held] = 2 * bias + std_error * quantiles
        else:
            ratio = bias / np.where(std_error > 0, std_error, 1.0)
            length = honest_critical_value(ratio, self.level) * std_error
            found[held] = np.where(std_error > 0, length, bias)
        return found


class BandwidthSearch:
    """The sums that every bandwidth needs, made once for a score, a kernel and the noise."""

    def __init__(self, sides: Sides, noise: Noise, kernel: Kernel, curvature: Curvature) -> None:
        self.sides, self.noise = sides.with_covariates(kept=False), noise
        self.kernel: Kernel = kernel
        self.moments = [Moments(side, kernel, curvature, sides.tie) for side in sides.both]
        self.least = max(float(side.points[1]) for side in sides.both)
        self.most = max(float(side.points[-1]) for side in sides.both)
        if kernel != "uniform":
            self.least *= 1 + SEARCHED
            self.most = self.most if self.most > self.least else 2 * self.least

    def best(self, smoothness: float, aim: Aim) -> float:
        """The bandwidth in units of `sides.scale` for a bound on the second derivative in the score's unit.

        At least so large that two support points a side count; not above the largest distance to the cutoff
        (twice it where a side has only two support points and the kernel would drop one). The criterion may
        have several minima: it is looked at on a grid, and the lowest basins are searched; with a uniform
        kernel every support point is tried (with clusters, a narrowing grid of them).
        """

        def objective(h: Floats) -> Floats:
            return aim.value(*self.risk(h, smoothness))

        return self._best_point(objective) if self.kernel == "uniform" else self._best_between(objective)

    def risk(self, h: Floats, smoothness: float) -> tuple[Floats, Floats]:
        """Largest bias and standard error (m,) at each bandwidth h (m,); both infinite where there is no fit.

        In a fuzzy design both are those of (jump of the outcome - effect x jump of uptake), the effect in
        the standard error being the estimate at that bandwidth.
        """
        left, right = (moments.at(h) for moments in self.moments)
        fits = left.fits & right.fits
        bias = 0.5 * smoothness * self.sides.scale**2 * np.abs(left.bend + right.bend)
        contrast = _contrast(right.level - left.level, fits)
        variance = left.squares * _form(contrast, self.noise.left)
        variance += right.squares * _form(contrast, self.noise.right)
        if self.sides.n_clusters:
            variance += _form(contrast, self.noise.within) * self._pairs_in_clusters(h, fits)
        std_error = np.sqrt(np.maximum(variance, 0.0))
        return np.where(fits, bias, np.inf), np.where(fits, std_error, np.inf)

    def _pairs_in_clusters(self, h: Floats, fits: NDArray[np.bool_]) -> Floats:
        """Sum (m,) over pairs of different rows of one cluster of the product of their weights."""
        total = np.zeros(h.size)
        for place in np.flatnonzero(fits):
            fit = local_fit(self.sides, float(h[place]), self.kernel)
            assert fit is not None
            sums = np.zeros(self.sides.n_clusters)
            for one in fit.both:
                sums += np.bincount(np.asarray(one.side.clusters)[: one.n], one.pull, sums.size)
                total[place] -= float(one.pull @ one.pull)
            total[place] += float(sums @ sums)
        return total

    def _best_between(self, objective: Callable[[Floats], Floats]) -> float:
        size = GRID_CLUSTERED if self.sides.n_clusters else GRID
        ends = (self.least, self.most)
        grid = np.unique(np.concatenate([np.geomspace(*ends, size // 2), np.linspace(*ends, size // 2)]))
        grid = np.clip(grid, *ends)
        values = objective(grid)
        if not np.any(np.isfinite(values)):
            raise EstimationError("No bandwidth holds two different scores on each side.")
        padded = np.concatenate([[np.inf], values, [np.inf]])
        basins = np.flatnonzero(np.isfinite(values) & (values <= padded[:-2]) & (values <= padded[2:]))
        basins = basins[np.argsort(values[basins], kind="stable")][:BASINS]
        found = [(float(values[basins[0]]), float(grid[basins[0]]))]
        for basin in basins:
            bracket = (grid[max(basin - 1, 0)], grid[min(basin + 1, grid.size - 1)])
            found.append(_lowest(objective, *bracket))
            found += self._kinks(objective, found[-1][1])
        return min(found)[1]

    def _kinks(self, objective: Callable[[Floats], Floats], h: float) -> list[tuple[float, float]]:
        """Value and place of the support points that a numerical search cannot tell from h.

        The criterion often has its minimum, with a kink, where the next support point is about to enter;
        the bandwidth then ends just short of it, as its weight would be 0.
        """
        near = [side.points[np.abs(side.points - h) < SEARCHED * h] for side in self.sides.both]
        points = np.concatenate(near) - 4 * self.sides.tie
        return list(zip(objective(points).tolist(), points.tolist(), strict=True))

    def _best_point(self, objective: Callable[[Floats], Floats]) -> float:
        """Best of the support points of both sides; with clusters by narrowing a grid of them."""
        points = np.unique(np.concatenate([side.points for side in self.sides.both]))
        points = points[points >= self.least - self.sides.tie]
        while self.sides.n_clusters and points.size > GRID_CLUSTERED:
            picked = np.unique(np.linspace(0, points.size - 1, GRID_CLUSTERED).astype(int))
            best = int(np.argmin(objective(points[picked])))
            points = points[picked[max(best - 1, 0)] : picked[min(best + 1, picked.size - 1)] + 1]
            if points.size == picked.size:
                break
        return float(points[np.argmin(objective(points))])


def _lowest(objective: Callable[[Floats], Floats], low: float, high: float) -> tuple[float, float]:
    """Lowest value between two bandwidths, and where."""

    def one(h: float) -> float:
        return float(objective(np.array([h]))[0])

    found = scipy.optimize.minimize_scalar(
        one, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    return float(found.fun), float(found.x)


def _contrast(jumps: Floats, fits: NDArray[np.bool_]) -> Floats:
    """(1,) or (1, -effect) at each bandwidth, (m, p), from the jumps (m, p)."""
    contrast = np.ones_like(jumps)
    if jumps.shape[1] == 2:
        usable = fits & (jumps[:, 1] != 0)
        contrast[:, 1] = np.where(usable, -jumps[:, 0] / np.where(usable, jumps[:, 1], 1.0), 0.0)
    return contrast


def _form(contrast: Floats, matrix: Floats) -> Floats:
    return np.asarray(np.einsum("mp,pq,mq->m", contrast, matrix, contrast))
