"""First guesses from the data: pilot bandwidth, noise on each side, rule of thumb for the curvature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.honest_fit import LocalFit, local_fit
from qieval.numerics.honest_rows import Side, Sides
from qieval.numerics.two_way import Floats

TRIANGULAR_CONSTANT = (4.8 / (1 / 10) ** 2) ** 0.2
"""(nu0 / mu2^2)^(1/5) of the triangular kernel at a boundary: Imbens and Kalyanaraman (2012), 3.4375."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Variance of a row about its mean (p, p) on each side, and the covariance within clusters (p, p)."""

    left: Floats
    right: Floats
    within: Floats


def pilot_noise(sides: Sides) -> Noise:
    """Mean squared residual of a triangular local linear fit at the pilot bandwidth, one for each side.

    For a fuzzy design the bandwidth is that of the outcome. With clusters, the mean product of residuals
    of two rows of a cluster goes with it (Moulton).
    """
    plain = sides.with_covariates(kept=False)
    h = max(pilot_bandwidth(plain), _smallest_window(plain))
    fit = local_fit(plain, h, "triangular")
    if fit is None:
        fit = local_fit(plain, np.inf, "uniform")
    assert fit is not None
    left, right = (one.residuals.T @ one.residuals / one.n for one in fit.both)
    return Noise(left, right, _within_clusters(fit))


def _within_clusters(fit: LocalFit) -> Floats:
    n_clusters, p = fit.sides.n_clusters, fit.jumps.size
    if not n_clusters:
        return np.zeros((p, p))
    residuals = np.vstack([one.residuals for one in fit.both])
    codes = np.concatenate([np.asarray(one.side.clusters)[: one.n] for one in fit.both])
    pairs = float(np.sum(np.bincount(codes) ** 2) - codes.size)
    if pairs == 0:
        return np.zeros((p, p))
    sums = np.column_stack([np.bincount(codes, column, n_clusters) for column in residuals.T])
    return np.asarray((sums.T @ sums - residuals.T @ residuals) / pairs)


def _smallest_window(sides: Sides) -> float:
    """Three support points and four rows on each side, as far as there are."""
    points = max(float(side.points[:3][-1]) for side in sides.both)
    return max(points, *(float(side.distance[:4][-1]) for side in sides.both))


def pilot_bandwidth(sides: Sides) -> float:
    """Bandwidth of Imbens and Kalyanaraman (2012, section 4.2) for the first outcome, in units of scale.

    Row weights are not used. Infinite where the score has too few different values for its cubic and
    quadratics.
    """
    left, right = sides.both
    n = left.distance.size + right.distance.size
    x = np.concatenate([-left.distance, right.distance])
    first = 1.84 * float(np.std(x, ddof=1)) * n**-0.2
    density = np.count_nonzero(np.abs(x) <= first) / (2 * n * first)
    window = max(first, _smallest_window(sides))
    variances = [float(np.var(side.outcomes[side.distance <= window, 0], ddof=1)) for side in sides.both]
    third = _third_derivative(sides, x)
    if not third or not density:
        return np.inf
    bends, shrink = 0.0, 0.0
    for side, variance in zip(sides.both, variances, strict=True):
        reach = (7200 * variance / (density * third**2 * side.distance.size)) ** (1 / 7)
        bend, regularisation = _second_derivative(side, reach, variance, sides.tie)
        bends += side.sign * bend
        shrink += regularisation
    with np.errstate(divide="ignore", invalid="ignore"):
        h = TRIANGULAR_CONSTANT * (np.float64(sum(variances)) / (density * n * (bends**2 + shrink))) ** 0.2
    return float(h) if h == h else np.inf


def _third_derivative(sides: Sides, x: Floats) -> float:
    """From a cubic through all rows that may jump at the cutoff; 0 if it has no unique solution."""
    design = np.column_stack([np.ones_like(x), x >= 0, x, x**2, x**3])
    design[: sides.both[0].distance.size, 1] = 0.0
    y = np.concatenate([side.outcomes[:, 0] for side in sides.both])
    solution, unique = _least_squares(design, y)
    return 6 * float(solution[4]) if unique else 0.0


def _second_derivative(side: Side, reach: float, variance: float, tie: float) -> tuple[float, float]:
    """Second derivative from a quadratic within `reach`, and the regularisation term; nan if not unique."""
    n = int(np.searchsorted(side.distance, reach + tie, side="right"))
    if np.count_nonzero(side.first < n) < 3:
        return np.nan, np.nan
    u = side.distance[:n] / side.distance[n - 1]
    solution, unique = _least_squares(np.vander(u, 3, increasing=True), side.outcomes[:n, 0])
    bend = 2 * float(solution[2]) / side.distance[n - 1] ** 2
    return (bend if unique else np.nan), 2160 * variance / (n * reach**4)


def _least_squares(design: Floats, y: Floats) -> tuple[Floats, bool]:
    """Coefficients from the normal equations of scaled columns, refined once; and if they are unique."""
    norm = np.sqrt(np.einsum("ij,ij->j", design, design))
    if np.any(norm == 0):
        return np.zeros(design.shape[1]), False
    scaled = design / norm
    gram = scaled.T @ scaled
    if np.linalg.eigvalsh(gram)[0] < 1e-13:
        return np.zeros(design.shape[1]), False
    solution = np.linalg.solve(gram, scaled.T @ y)
    solution += np.linalg.solve(gram, scaled.T @ (y - scaled @ solution))
    return solution / norm, True


def curvature_rule_of_thumb(sides: Sides) -> Floats:
    """Largest second derivative (p,) of quartics fitted to all rows on either side, in the score's own unit.

    Armstrong and Kolesar (2020, section 3.3). A guess, not a bound: it holds when the curve bends near the
    cutoff no more than the quartic does anywhere. Needs five different scores on each side.
    """
    fewest = min(side.first.size for side in sides.both)
    if fewest < 5:
        raise EstimationError(
            f"The rule of thumb for the curvature needs 5 different scores on each side; there are {fewest}. "
            "State the largest plausible second derivative instead."
        )
    bends = np.array([[_largest_bend(side, y) for y in side.outcomes.T] for side in sides.both])
    return np.asarray(bends.max(axis=0) / sides.scale**2)


def _largest_bend(side: Side, y: Floats) -> float:
    """Largest absolute second derivative of the weighted quartic between the first and last score."""
    low, high = float(side.points[0]), float(side.points[-1])
    centre, half = (low + high) / 2, (high - low) / 2
    basis = np.asarray(np.polynomial.legendre.legvander((side.distance - centre) / half, 4), dtype=float)
    root = np.sqrt(side.weights)
    solution, unique = _least_squares(basis * root[:, None], y * root)
    if not unique:
        raise EstimationError("The scores lie too unevenly for the rule of thumb; state the curvature.")
    bend = np.polynomial.Legendre(solution).deriv(2)
    turns = np.asarray(bend.deriv().roots(), dtype=np.float64)
    at = np.concatenate([[-1.0, 1.0], turns[np.abs(turns) < 1]])
    return float(np.max(np.abs(bend(at)))) / half**2
