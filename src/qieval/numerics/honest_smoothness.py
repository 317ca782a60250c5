"""What the data say about the curvature: a lower bound for the smoothness constant, so that M is plausible.

Data cannot show that a curve is smooth, but they can show that it is not: three neighbouring means that
are not on a line need a second derivative of at least a certain size (Kolesar and Rothe 2018, supplement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.honest_fit import Curvature
from qieval.numerics.honest_neighbours import Ties, neighbour_residuals
from qieval.numerics.honest_rows import HonestRows, Side, split
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class SmoothnessBound:
    """What the second derivative is at least: median-unbiased estimate and a lower confidence limit.

    bends (m,) with std_errors (m,) are the second derivatives that the triples of means need, in units of
    outcome / score^2, those on the left first (n_left of them), each side from the cutoff outwards; each
    mean is over points_per_mean scores. 0 means that straight lines fit.
    """

    estimate: float
    low: float
    bends: Floats
    std_errors: Floats
    n_left: int
    points_per_mean: int


def smoothness_bound(
    rows: HonestRows,
    points_per_mean: int | None = None,
    curvature: Curvature = "hoelder",
    *,
    multiple: bool = True,
    level: float = 0.95,
) -> SmoothnessBound:
    """Lower bound on the second derivative of the mean outcome.

    On each side, successive sets of 3 x points_per_mean support points give three means and what they need
    as a bend; the largest bend in standard errors is the statistic. Its distribution, when all bends are at
    most M, is that of max |Z_j + M / se_j| with independent normal Z_j, computed exactly (R RDHonest
    draws it, and takes |max| for max | |). Noise is the mean squared difference from the nearest
    neighbours on each side, which curvature hardly enters (RDHonest: residuals of a local line).

    points_per_mean None gives four sets on the side with fewer scores, as far as there are 12. multiple
    False uses the set next to the cutoff only. Row weights weigh the means; covariates and clusters are not
    used. EstimationError with fewer than three scores a side.

    >>> x = np.repeat(np.arange(-6.0, 6.0), 100)
    >>> y = x**2 + np.tile([-0.1, 0.1], 600)
    >>> bound = smoothness_bound(HonestRows(score=x, y=y))
    >>> bound.bends.round(6).tolist(), round(bound.low, 2)
    ([2.0, 2.0, 2.0, 2.0], 1.95)
    """
    sides = split(rows)
    fewest = min(side.first.size for side in sides.both)
    size = max(1, fewest // 12) if points_per_mean is None else points_per_mean
    if size < 1 or fewest < 3 * size:
        raise EstimationError(
            f"Three means of {size} scores each need {3 * size} different scores a side; there are {fewest}."
        )
    found = []
    for side in sides.both:
        apart = neighbour_residuals(
            side.distance, side.outcomes[:, :1], side.weights, Ties(sides.tie, near=True)
        )
        variance = float(np.mean(apart**2))
        sets = side.first.size // (3 * size) if multiple else 1
        triples = (_Means(side, 3 * size * j, size) for j in range(sets))
        found.append([_bend(means, variance, curvature) for means in triples])
    bends, std_errors = (np.array(each) / sides.scale**2 for each in zip(*(found[0] + found[1]), strict=True))
    if not np.all(std_errors > 0):
        raise EstimationError("Outcomes do not vary between neighbours, so nothing can be said about chance.")
    statistic = float(np.max(np.abs(bends) / std_errors))
    estimate, low = (_smallest(statistic, std_errors, share) for share in (0.5, level))
    return SmoothnessBound(estimate, low, bends, std_errors, len(found[0]), size)


class _Means:
    """Three groups of `size` support points from place `start`: mean distances, squares, outcomes; noise."""

    def __init__(self, side: Side, start: int, size: int) -> None:
        edges = np.append(side.first, side.distance.size)[start + size * np.arange(4)]
        weights = side.weights[edges[0] : edges[3]]
        places = edges[:3] - edges[0]
        total = np.add.reduceat(weights, places)
        distance = side.distance[edges[0] : edges[3]]

        def mean(values: Floats) -> Floats:
            return np.asarray(np.add.reduceat(weights * values, places) / total)

        self.distance, self.square = mean(distance), mean(distance**2)
        self.outcome = mean(side.outcomes[edges[0] : edges[3], 0])
        self.noise = np.add.reduceat(weights**2, places) / total**2


def _bend(means: _Means, variance: float, curvature: Curvature) -> tuple[float, float]:
    """Second derivative (in units of scale) that the three means need, and its standard error.

    The outer means interpolated at the middle minus the middle mean: 0 on a line.
    """
    share = (means.distance[2] - means.distance[1]) / (means.distance[2] - means.distance[0])
    contrast = np.array([share, -1.0, 1 - share])
    size = np.abs(contrast) if curvature == "taylor" else contrast
    reach = float(size @ means.square) / 2
    std_error = float(np.sqrt(variance * (contrast**2 @ means.noise)))
    return float(contrast @ means.outcome) / reach, std_error / reach


def _smallest(statistic: float, std_errors: Floats, share: float) -> float:
    """The smallest M at which a statistic this large is not above quantile `share` of its distribution."""

    def excess(bound: float) -> float:
        mean = bound / std_errors
        inside = scipy.special.ndtr(statistic - mean) - scipy.special.ndtr(-statistic - mean)
        return float(np.prod(inside)) - share

    if excess(0.0) <= 0:
        return 0.0
    top = (statistic + 10) * float(std_errors.max())
    return float(scipy.optimize.brentq(excess, 0.0, top, xtol=1e-14 * top))
