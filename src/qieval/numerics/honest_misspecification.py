"""Interval for few support points that assumes the line is off at the cutoff by no more than nearby.

The bounded misspecification error of Kolesar and Rothe (2018, section 5.2): a line through the window on
each side misses the mean outcome at each score by some error; at the cutoff the error on a side is taken
to be no larger than the largest of these. No smoothness constant has to be stated. Uniform kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.honest_fit import SideFit, local_fit
from qieval.numerics.honest_rows import HonestRows, split
from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class BoundedMisspecification:
    """Interval for the jump; points, n: support points and rows (left, right) within h.

    errors are the estimated largest absolute errors of the line (left, right).
    """

    estimate: float
    low: float
    high: float
    errors: tuple[float, float]
    points: tuple[int, int]
    n: tuple[int, int]


def bounded_misspecification(rows: HonestRows, h: float, level: float = 0.95) -> BoundedMisspecification:
    """Jump within h of the cutoff; its interval holds for the error at any pair of scores, of either sign.

    Each score in the window needs at least two rows, so that its mean has an estimated variance
    (Eicker-Huber-White, as in R RDHonestBME but without its factor n / (n - 1)). Weights count; covariates,
    clusters and uptake are not used.

    >>> age = np.repeat(np.arange(60.0, 70.0), 3)
    >>> cost = 5 + 0.1 * (age - 65) + 2 * (age >= 65) + np.tile([-0.5, 0.0, 0.5], 10)
    >>> found = bounded_misspecification(HonestRows(score=age, y=cost, cutoff=65), h=5)
    >>> round(found.estimate, 6), found.points, found.low < 2 < found.high
    (2.0, (5, 5), True)
    """
    sides = split(replace(rows, uptake=None, covariates=None, clusters=None))
    fit = local_fit(sides, h / sides.scale, "uniform")
    if fit is None:
        raise EstimationError(f"Within {h:g} of the cutoff one side has fewer than two different scores.")
    left, right = (_misses(one) for one in fit.both)
    z = float(scipy.special.ndtri((1 + level) / 2))
    jump = float(fit.jumps[0])
    return BoundedMisspecification(
        estimate=jump,
        low=jump - _farthest(left.mirrored(), right.mirrored(), z),
        high=jump + _farthest(left, right, z),
        errors=(float(np.max(np.abs(left.shift))), float(np.max(np.abs(right.shift)))),
        points=(fit.both[0].n_points, fit.both[1].n_points),
        n=(fit.both[0].n, fit.both[1].n),
    )


@dataclass(frozen=True, eq=False)
class _Misses:
    """Errors of the line by score and sign (2 G,); variance of a side's part of the jump plus each."""

    shift: Floats
    variance: Floats

    def mirrored(self) -> _Misses:
        """The same with the errors counted downwards."""
        return replace(self, shift=-self.shift)

    def worst(self) -> _Misses:
        """Those for which no other has both a larger shift and a larger variance, largest shift first."""
        order = np.lexsort((-self.variance, -self.shift))
        variance = self.variance[order]
        above = np.maximum.accumulate(variance)
        kept = order[np.append(True, variance[1:] > above[:-1])]
        return _Misses(self.shift[kept], self.variance[kept])


def _farthest(left: _Misses, right: _Misses, z: float) -> float:
    """Largest of shift + z x standard error over all pairs of one error from either side."""
    left, right = left.worst(), right.worst()
    shift = left.shift[:, None] + right.shift
    return float(np.max(shift + z * np.sqrt(left.variance[:, None] + right.variance)))


def _misses(one: SideFit) -> _Misses:
    """Mean minus line at each score, with either sign, and variances from the rows' influence on both.

    A row adds weight x (a + b x deviation) x residual through the lines and, at its own score, weight x
    (value - mean) / total through the mean.
    """
    first = one.side.first[: one.n_points]
    counts = np.diff(first, append=one.n)
    if counts.min() < 2:
        raise EstimationError(
            f"{np.count_nonzero(counts < 2)} scores near the cutoff have a single row: their means have no "
            "standard error. Group the score, or state the curvature and use the honest interval."
        )
    weights, residual = one.weights, one.residuals[:, 0]
    total = weights.sum()
    centre = float(weights @ one.distance) / total
    deviation = one.distance - centre
    spread = float(weights @ deviation**2)
    mass = np.add.reduceat(weights, first)
    error = np.add.reduceat(weights * residual, first) / mass
    own = residual - np.repeat(error, counts)
    mean_variance = np.add.reduceat((weights * own) ** 2, first) / mass**2
    both = np.add.reduceat(weights**2 * residual * own, first) / mass
    of_line = [float(np.sum((weights * residual) ** 2 * deviation**j)) for j in range(3)]
    at = deviation[first]
    variances = []
    for sign in (1.0, -1.0):
        a = one.side.sign / total - sign / total
        b = -one.side.sign * centre / spread - sign * at / spread
        lines = a**2 * of_line[0] + 2 * a * b * of_line[1] + b**2 * of_line[2]
        variances.append(lines + 2 * sign * (a + b * at) * both + mean_variance)
    return _Misses(np.concatenate([error, -error]), np.maximum(np.concatenate(variances), 0.0))
