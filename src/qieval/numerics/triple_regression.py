"""Triple differences as regressions: several sets of effects absorbed, and the 2 x 2 x 2 table.

The regression with unit, place-by-period and eligibility-by-period effects estimates one number. If starts
are staggered and effects change over time it weighs them like any two-way regression (some weights may be
negative); `triple_difference` does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qieval.numerics.two_way import Codes, Floats, Mask, compact, sums
from qieval.numerics.weighted_regression import Regression, sandwich, weighted_regression

TOLERANCE = 1e-13
"""Effects are out when their normal equations hold to this share of where they started."""

ITERATIONS = 20_000
ABSORBED = 1e-9
"""A column of which the effects leave less than this share is explained by them."""


@dataclass(frozen=True, eq=False, repr=False)
class AbsorbedFit:
    """Least squares with any sets of effects absorbed.

    beta, std_error (k,) and covariance (k, k): NaN where the effects or earlier columns explain a column
    (`collinear`). used (N,) marks input rows; the others are alone in one of their effects. df: degrees of
    freedom for t, clusters - 1. n_parameters: K of the small-sample factor G/(G-1) (n-1)/(n-K), in which
    effects nested in clusters do not count (fixest's default). converged: the effects are out.
    """

    beta: Floats
    covariance: Floats
    collinear: Mask
    used: Mask
    n_clusters: int
    n_parameters: int
    df: float
    converged: bool

    @property
    def std_error(self) -> Floats:
        """Square roots of the variances (k,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def n_singletons(self) -> int:
        """Rows left out."""
        return int(np.count_nonzero(~self.used))


def absorbed_regression(
    y: Floats, x: Floats, effects: Sequence[Codes], clusters: Codes, weights: Floats | None = None
) -> AbsorbedFit:
    """Regression of y (N,) on x (N, k) with all `effects` (codes (N,) each) absorbed, clustered errors.

    weights (N,) positive or None. The first set of effects should be the one with most levels. Matches
    fixest 0.14.2 `feols(y ~ x | effects, cluster)`.

    >>> unit, time = np.repeat([0, 1, 2, 3], 2), np.tile([0, 1], 4)
    >>> y = np.array([1.0, 2, 3, 5, 2, 2, 4, 9])
    >>> d = ((unit == 3) & (time == 1)).astype(float)
    >>> fit = absorbed_regression(y, d[:, None], [unit, 2 * (unit // 2) + time], unit)
    >>> fit.beta.round(10)
    array([5.])
    """
    used = _not_alone(effects)
    groups = [compact(np.asarray(codes)[used]) for codes in effects]
    mass = np.ones(int(used.sum())) if weights is None else weights[used]
    columns = np.vstack([y[used], x[used].T])
    size = np.sqrt((columns**2) @ mass)
    equations = _Equations(groups, mass)
    left = [_residual(column, equations) for column in columns]
    columns = np.array([column for column, _ in left])
    possible = np.sqrt((columns**2) @ mass) > ABSORBED * size
    columns[1:][~possible[1:]] = 0.0
    fit = weighted_regression(columns[1:].T, columns[0], mass)
    kept = possible[1:] & ~fit.aliased
    codes, n_clusters = compact(np.asarray(clusters)[used])
    parameters = int(kept.sum()) + _effects_counted(groups, codes)
    factor = _factor(n_clusters, mass.size, parameters)
    covariance = sandwich(fit, "HC0", codes) * factor
    covariance[~kept] = covariance[:, ~kept] = np.nan
    return AbsorbedFit(
        beta=np.where(kept, fit.beta, np.nan),
        covariance=covariance,
        collinear=~kept,
        used=used,
        n_clusters=n_clusters,
        n_parameters=parameters,
        df=float(n_clusters - 1),
        converged=all(good for _, good in left),
    )


def triple_table(
    y: Floats, arms: tuple[Mask, Mask, Mask], weights: Floats | None = None, clusters: Codes | None = None
) -> tuple[Regression, Floats]:
    """Least squares of the 2 x 2 x 2 table and its covariance (8, 8): the last coefficient is the effect.

    arms: treated place, after the start, eligible (N,) each. Columns: constant, treated, after, eligible,
    treated:after, treated:eligible, after:eligible, treated:after:eligible. Covariance HC1, with clusters
    times G/(G-1) (n-1)/(n-8), as fixest and sandwich.
    """
    t, p, e = (np.asarray(arm, dtype=float) for arm in arms)
    design = np.column_stack([np.ones(len(y)), t, p, e, t * p, t * e, p * e, t * p * e])
    fit = weighted_regression(design, y, np.ones(len(y)) if weights is None else weights)
    return fit, sandwich(fit, "HC1", clusters)


def _not_alone(effects: Sequence[Codes]) -> Mask:
    """Rows that share every one of their effects with another row, others peeled off again and again."""
    keep = np.ones(len(effects[0]), dtype=bool)
    while True:
        alone = np.zeros(keep.shape, dtype=bool)
        for codes in effects:
            alone |= (np.bincount(codes[keep], minlength=int(codes.max(initial=0)) + 1) == 1)[codes]
        if not (alone & keep).any():
            return keep
        keep &= ~alone


@dataclass(frozen=True, eq=False)
class _Equations:
    """Normal equations of all effects, scaled by the root of their weight; mass (n,)."""

    groups: list[tuple[Codes, int]]
    mass: Floats

    @cached_property
    def scale(self) -> list[Floats]:
        """One over the root of the weight of each effect."""
        return [1.0 / np.sqrt(sums(codes, self.mass, size)) for codes, size in self.groups]

    def collect(self, values: Floats) -> Floats:
        """Scaled weighted sums of values (n,) over all effects."""
        weighted = self.mass * values
        parts = zip(self.groups, self.scale, strict=True)
        return np.concatenate([sums(codes, weighted, size) * root for (codes, size), root in parts])

    def spread(self, effects: Floats) -> Floats:
        """Sum of the effects of each row (n,)."""
        total = np.zeros(self.mass.size)
        start = 0
        for (codes, size), root in zip(self.groups, self.scale, strict=True):
            total += (effects[start : start + size] * root)[codes]
            start += size
        return total


def _residual(column: Floats, equations: _Equations) -> tuple[Floats, bool]:
    """Column (n,) without the effects, and whether the normal equations hold.

    Conjugate gradients; the equations are singular (each set of effects sums to the constant) but
    consistent, which conjugate gradients tolerate. A second round starts from the true residual and clears
    what rounding left.
    """
    rest = column - np.average(column, weights=equations.mass)
    goal = TOLERANCE * float(np.linalg.norm(equations.collect(rest)))
    for _ in range(2):
        rest = _conjugate_gradients(rest, equations, goal)
    size = float(np.linalg.norm(np.sqrt(equations.mass) * rest))
    return rest, bool(np.linalg.norm(equations.collect(rest)) <= 1e3 * max(goal, TOLERANCE * size))


def _conjugate_gradients(rest: Floats, equations: _Equations, goal: float) -> Floats:
    """Residual after steps until the normal equations hold to `goal`."""
    gap = equations.collect(rest)
    direction, square = gap, float(gap @ gap)
    for _ in range(ITERATIONS):
        if np.sqrt(square) <= goal:
            break
        line = equations.spread(direction)
        pull = equations.collect(line)
        length = square / float(direction @ pull)
        rest = rest - length * line
        gap = gap - length * pull
        before, square = square, float(gap @ gap)
        direction = gap + square / before * direction
    return rest


def _effects_counted(groups: list[tuple[Codes, int]], clusters: Codes) -> int:
    """Effects that are parameters: levels less one for each set but one, sets nested in clusters left out."""
    total = sum(size for _, size in groups) - len(groups) + 1
    for codes, size in groups:
        home = np.empty(size, dtype=clusters.dtype)
        home[codes] = clusters
        if (home[codes] == clusters).all():
            total -= size - 1
    return total


def _factor(n_clusters: int, n: int, parameters: int) -> float:
    if n_clusters < 2 or n <= parameters:
        return float("nan")
    return n_clusters / (n_clusters - 1) * (n - 1) / (n - parameters)
