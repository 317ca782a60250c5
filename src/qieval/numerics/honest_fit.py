"""Local linear fit on both sides of a cutoff at one bandwidth: jumps, weights, residuals and variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.honest_neighbours import Ties, neighbour_residuals
from qieval.numerics.honest_rows import Side, Sides
from qieval.numerics.two_way import Floats

Kernel = Literal["triangular", "epanechnikov", "uniform"]
Variance = Literal["nn", "eicker-huber-white", "conventional"]
Curvature = Literal["hoelder", "taylor"]

COEFFICIENTS: dict[Kernel, tuple[float, ...]] = {
    "triangular": (1.0, -1.0),
    "epanechnikov": (1.0, 0.0, -1.0),
    "uniform": (1.0,),
}
"""Kernel at distance u (in bandwidths, at most 1) as a polynomial, up to a factor that cancels."""

ALONE = 1e-10
"""A covariate is left out when the others and the score explain all but this share of its variation."""


@dataclass(frozen=True, eq=False)
class SideFit:
    """The fit on one side. The window is the first n rows of the side.

    pull (n,) are the weights with which outcomes enter the jump (signed: they sum to 1 on the right and to
    -1 on the left); kernel (n,) are kernel times row weights; outcomes (n, p) without what covariates
    explain; residuals (n, p) from the line through these.
    """

    side: Side
    pull: Floats
    kernel: Floats
    outcomes: Floats
    residuals: Floats

    @property
    def n(self) -> int:
        """Rows in the window."""
        return self.pull.size

    @property
    def distance(self) -> Floats:
        """Distances (n,) of the rows in the window."""
        return self.side.distance[: self.n]

    @property
    def weights(self) -> Floats:
        """Row weights (n,) in the window."""
        return self.side.weights[: self.n]

    @property
    def n_points(self) -> int:
        """Support points in the window."""
        return int(np.searchsorted(self.side.first, self.n))


@dataclass(frozen=True, eq=False)
class LocalFit:
    """Both sides, and the jump of each outcome (p,): right minus left at the cutoff."""

    both: tuple[SideFit, SideFit]
    jumps: Floats
    sides: Sides

    def unit_bias(self, curvature: Curvature) -> float:
        """Largest bias of a jump when the bound on the second derivative is 1 (in the score's own unit).

        Hoelder: the second derivative is at most 1 everywhere; the worst function bends opposite ways on
        the two sides (Armstrong and Kolesar 2020, section 3). Taylor: the distance from the tangent at the
        cutoff is at most half the squared distance.
        """
        left, right = self.both
        if curvature == "taylor":
            total = sum(float(np.abs(one.pull) @ one.distance**2) for one in self.both)
        else:
            total = abs(float(left.pull @ left.distance**2) - float(right.pull @ right.distance**2))
        return 0.5 * total * self.sides.scale**2

    def covariance(self, variance: Variance, neighbours: int = 3, *, near_ties: bool = False) -> Floats:
        """Covariance (p, p) of the jumps.

        With clusters: sums of pull times residual within each cluster, without small-sample factor,
        whatever `variance` says. "nn": neighbours on the same side and inside the window (near_ties: see
        `Ties`). "conventional": one residual variance on each side, n - 2 degrees of freedom.
        """
        if self.sides.n_clusters:
            return self._clustered()
        total = np.zeros((self.jumps.size, self.jumps.size))
        for one in self.both:
            if variance == "conventional":
                total += _one_variance(one)
                continue
            noise = one.residuals
            if variance == "nn":
                ties = Ties(self.sides.tie, near_ties)
                noise = neighbour_residuals(one.distance, one.outcomes, one.weights, ties, neighbours)
            weighted = noise * one.pull[:, None]
            total += weighted.T @ weighted
        return total

    def _clustered(self) -> Floats:
        scores = np.zeros((self.sides.n_clusters, self.jumps.size))
        for one in self.both:
            assert one.side.clusters is not None
            codes = one.side.clusters[: one.n]
            for column, of_cluster in enumerate(scores.T):
                weighted = one.pull * one.residuals[:, column]
                of_cluster += np.bincount(codes, weighted, self.sides.n_clusters)
        return np.asarray(scores.T @ scores)

    def leverage(self) -> float:
        """Share of the sum of squared weights that the most influential person has."""
        largest = max(float(np.max((one.pull / one.weights) ** 2)) for one in self.both)
        return largest / self._squares()

    def effective_rows(self, flat: LocalFit) -> float:
        """People in a uniform window of the same width with the same precision; `flat` is the uniform fit."""
        people = sum(float(one.weights.sum()) for one in flat.both)
        return people * flat._squares() / self._squares()

    def _squares(self) -> float:
        return sum(float(one.pull @ (one.pull / one.weights)) for one in self.both)


def local_fit(sides: Sides, h: float, kernel: Kernel) -> LocalFit | None:
    """Local linear regression within h, in units of `sides.scale`, maybe infinite; None without a solution.

    There is none when a side has fewer than two support points with a positive kernel. Covariates enter
    with one coefficient for both sides; what the score and other covariates explain already is left out.
    """
    lines = _lines(sides, h, kernel)
    if lines is None:
        return None
    pulls = [line.side.sign * line.pull for line in lines]
    outcomes = [line.outcomes for line in lines]
    if sides.both[0].covariates.shape[1]:
        pulls, outcomes = _adjusted(lines, pulls)
    jumps = np.zeros(sides.n_outcomes)
    made = []
    for line, pull, values in zip(lines, pulls, outcomes, strict=True):
        jumps += line.side.sign * line.pull @ values
        made.append(SideFit(line.side, pull, line.kernel, values, line.residuals(values)))
    return LocalFit((made[0], made[1]), jumps, sides)


def covariate_effects(sides: Sides, h: float, kernel: Kernel) -> Floats:
    """Coefficients (k, p) of the covariates in the local linear regressions of the outcomes."""
    lines = _lines(sides, h, kernel)
    if lines is None:
        raise EstimationError("The window holds fewer than two different scores on a side.")
    return _common(lines)[1]


def kernel_window(points: Floats, h: float, kernel: Kernel, tie: float) -> int:
    """How many of the ascending distances have a positive kernel."""
    if kernel == "uniform":
        return int(np.searchsorted(points, h + tie, side="right"))
    return int(np.searchsorted(points, h - tie, side="left"))


class _Line:
    """Weighted line on one side: kernel times row weights, deviations, weights of the value at the cutoff."""

    def __init__(self, side: Side, n: int, h: float, kernel: Kernel) -> None:
        distance = side.distance[:n]
        shape = np.polynomial.polynomial.polyval(distance / h, COEFFICIENTS[kernel])
        self.side, self.kernel = side, np.asarray(side.weights[:n] * shape)
        self.total = float(self.kernel.sum())
        centre = float(self.kernel @ distance) / self.total
        self.deviation = distance - centre
        self.spread = float(self.kernel @ self.deviation**2)
        self.pull = self.kernel * (1 / self.total - self.deviation * (centre / self.spread))
        self.outcomes, self.covariates = side.outcomes[:n], side.covariates[:n]

    def residuals(self, values: Floats) -> Floats:
        """What the line leaves of values (n, p)."""
        mean = self.kernel @ values / self.total
        slope = (self.kernel * self.deviation) @ values / self.spread
        return np.asarray(values - mean - self.deviation[:, None] * slope)


Lines = tuple[_Line, _Line]


def _lines(sides: Sides, h: float, kernel: Kernel) -> Lines | None:
    """The lines on the left and right; None if a side has fewer than two support points."""
    made = []
    for side in sides.both:
        if kernel_window(side.points, h, kernel, sides.tie) < 2:
            return None
        made.append(_Line(side, kernel_window(side.distance, h, kernel, sides.tie), h, kernel))
    return made[0], made[1]


def _common(lines: Lines) -> tuple[list[Floats], Floats, Floats]:
    """Covariates less their line (n, k) on each side, coefficients (k, p), inverse of the products (k, k)."""
    free = [line.residuals(line.covariates) for line in lines]
    k, p = lines[0].covariates.shape[1], lines[0].outcomes.shape[1]
    gram, spread, product = np.zeros((k, k)), np.zeros(k), np.zeros((k, p))
    for rest, line in zip(free, lines, strict=True):
        weighted = line.kernel[:, None] * rest
        gram += rest.T @ weighted
        product += weighted.T @ line.outcomes
        spread += line.kernel @ line.covariates**2
    inverse = _inverse(gram, spread)
    return free, inverse @ product, inverse


def _inverse(gram: Floats, spread: Floats) -> Floats:
    """Inverse of the products of the covariates; covariates without variation of their own count as 0."""
    own = np.diag(gram)
    kept = np.flatnonzero(own > ALONE * spread)
    scale = 1 / np.sqrt(own[kept])
    scaled = gram[np.ix_(kept, kept)] * np.outer(scale, scale)
    whole = np.zeros_like(gram)
    part = np.linalg.pinv(scaled, rcond=ALONE, hermitian=True)
    whole[np.ix_(kept, kept)] = part * np.outer(scale, scale)
    return whole


def _adjusted(lines: Lines, pulls: list[Floats]) -> tuple[list[Floats], list[Floats]]:
    """Weights of the jump and outcomes once covariates are in the regression."""
    free, coefficients, inverse = _common(lines)
    jumps = sum(pull @ line.covariates for pull, line in zip(pulls, lines, strict=True))
    lever = inverse @ jumps
    own = [pull - line.kernel * (rest @ lever) for pull, line, rest in zip(pulls, lines, free, strict=True)]
    return own, [line.outcomes - line.covariates @ coefficients for line in lines]


def _one_variance(one: SideFit) -> Floats:
    """Contribution of a side to the covariance (p, p) when its residuals have one variance per person."""
    if one.n < 3:
        raise EstimationError("The conventional standard error needs at least 3 rows on each side.")
    spread = one.residuals.T @ (one.weights[:, None] * one.residuals) / (one.n - 2)
    return np.asarray(spread * float(one.pull @ (one.pull / one.weights)))
