"""Coefficient stability after Oster (2019): what selection on unobservables would do to a coefficient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qieval.numerics.omitted_variables import Triangle, fit

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Movement:
    """How the treated coefficient and R2 move when covariates enter a linear regression.

    short: without covariates, full: with them. left: share of the variance of treated that covariates leave.
    per_unit: standard deviation of treated over that of the outcome, which takes units off a coefficient.
    """

    short: float
    r2_short: float
    full: float
    r2_full: float
    left: float
    per_unit: float


def movement(triangle: Triangle) -> Movement:
    """The two regressions of Oster's method from the triangle of a data set."""
    k = triangle.n_covariates
    short, full = fit(triangle, []), fit(triangle)
    per_unit = float(triangle.lengths[k] / triangle.lengths[k + 1])
    return Movement(short.estimate, short.r2, full.estimate, full.r2, full.left, per_unit)


def delta(moved: Movement, r2_max: float, beta: float = 0.0) -> float:
    """How strong selection on unobservables must be, relative to that on covariates, for the effect `beta`.

    Oster (2019), corollary 2, as in robomit's o_delta and Stata's psacalc (which round to 6 digits); here in
    units of standard deviations, so that scales of measurement cancel. NaN if R2_max is below R2 or nothing
    pins delta down.
    """
    if not moved.r2_full <= r2_max <= 1:
        return np.nan
    above, below = _polynomials(moved, r2_max)
    at = (moved.full - beta) * moved.per_unit
    numerator, denominator = float(np.polyval(above, at)), float(np.polyval(below, at))
    return numerator / denominator if denominator != 0 else np.nan


@dataclass(frozen=True, eq=False)
class Bounded:
    """The bias-adjusted coefficient `beta` and the other real solutions, the most plausible first.

    agrees: the adjustment goes on in the direction in which the covariates moved the coefficient (assumption
    3 of the paper).
    """

    beta: float
    others: Floats
    agrees: bool


def adjusted_beta(moved: Movement, r2_max: float, delta: float = 1.0) -> Bounded:
    """The coefficient if selection on unobservables were `delta` times that on covariates.

    Oster (2019), proposition 2 (quadratic for delta = 1, else cubic). Among several real solutions the one is
    taken that lies nearest to the coefficient with covariates and on the side to which these moved it, as in
    robomit's o_beta. NaN if R2_max is below R2.
    """
    if not moved.r2_full <= r2_max <= 1:
        return Bounded(np.nan, np.empty(0), False)
    above, below = _polynomials(moved, r2_max)
    roots = _real_roots(delta * below - above)
    away = moved.full - moved.short
    solutions = moved.full - roots / moved.per_unit
    against = np.sign(solutions - moved.full) != np.sign(away)
    order = np.lexsort([np.abs(solutions - moved.full), against])
    solutions, against = solutions[order], against[order]
    if solutions.size == 0:
        return Bounded(np.nan, solutions, False)
    return Bounded(float(solutions[0]), solutions[1:], bool(not against[0]))


def _polynomials(moved: Movement, r2_max: float) -> tuple[Floats, Floats]:
    """Numerator and denominator of delta as polynomials in (full - beta), standardised; highest power first.

    The equation of corollary 2 divided by the variance of treated squared times that of the outcome.
    """
    gap = (moved.short - moved.full) * moved.per_unit
    left, gained, hidden = moved.left, moved.r2_full - moved.r2_short, r2_max - moved.r2_full
    cubic = left * (1 - left)
    above = np.array([cubic, 2 * left * gap, left * (gained + gap**2), 0.0])
    below = np.array([cubic, left * gap, hidden * (1 - left), hidden * gap])
    return above, below


def _real_roots(coefficients: Floats) -> Floats:
    """Real roots, each improved by Newton steps; a leading coefficient that is only rounding is left out."""
    largest = float(np.abs(coefficients).max(initial=0.0))
    if largest == 0:
        return np.zeros(1)
    leading = int(np.argmax(np.abs(coefficients) > 1e-14 * largest))
    coefficients = coefficients[leading:]
    found = np.roots(coefficients)
    real = np.unique(found.real[np.abs(found.imag) <= 1e-7 * np.maximum(np.abs(found), 1e-12)])
    slope = np.polyder(coefficients)
    for _ in range(3):
        rate = np.polyval(slope, real)
        step = np.divide(np.polyval(coefficients, real), rate, out=np.zeros_like(real), where=rate != 0)
        real = real - step
    return np.asarray(real)
