"""Regression with autoregressive errors: exact maximum likelihood, restricted or not; Prais-Winsten.

The likelihood is profiled over coefficients and variance, so that only the partial autocorrelations are
searched for. Regressors are made orthonormal first: neither their scale nor a distant origin of time matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.series_autoregression import (
    Ints,
    autocorrelations,
    coefficients_from_partial,
    whiten,
)
from qieval.numerics.series_weighing import FirstOrder, Weighed, Weighing, weighing
from qieval.numerics.two_way import Floats

Likelihood = Literal["REML", "ML"]

FARTHEST = 0.9999
"""First-order autocorrelation is kept inside plus or minus this."""

LIMITS = np.array([0.999, 0.98, 0.9, 0.9])
"""The same for the partial autocorrelations of higher orders, where sums of products cancel earlier."""

GRID = np.tanh(np.linspace(-1, 1, 60) * np.arctanh(FARTHEST))
EXACT_FIT = 1e-12
STARTS = (-0.7, 0.0, 0.7)
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class ArFit:
    """A regression whose errors are autoregressive.

    coefficients (k,), covariance (k, k); df (k,) degrees of freedom for t, n - k here (`kenward_roger` has
    better ones); phi (p,) autoregressive coefficients; sigma the standard deviation of the errors, not of the
    innovations. log_likelihood is NaN for Prais-Winsten. fitted and residuals (n,) are x b and y - x b;
    innovations (n,) are the whitened residuals divided by sigma, of variance one if the model holds.
    iterations counts those of Prais-Winsten and is 0 otherwise. converged is also True at a bound of the
    partial autocorrelations (`at_bound`), where the errors look like a random walk.
    """

    coefficients: Floats
    covariance: Floats
    df: Floats
    phi: Floats
    sigma: float
    log_likelihood: float
    fitted: Floats
    residuals: Floats
    innovations: Floats
    method: str
    converged: bool
    iterations: int = 0
    at_bound: bool = False

    @property
    def std_error(self) -> Floats:
        """Square roots of the variances (k,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def first_autocorrelation(self) -> float:
        """Autocorrelation of the errors at lag 1 by the model."""
        return float(autocorrelations(self.phi, 1)[1])

    @property
    def aicc(self) -> float:
        """Akaike's criterion with the correction for few points; restricted: of the n - k error contrasts.

        Comparable between orders of autoregression with the same regressors and the same likelihood.
        """
        n, k = self.fitted.size, self.coefficients.size
        points, parameters = (n - k, 0) if self.method == "REML" else (n, k)
        parameters += self.phi.size + 1
        left = points - parameters - 1
        return -2 * self.log_likelihood + 2 * parameters * points / left if left > 0 else np.inf


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood of the partial autocorrelations, given series and regressors.

    basis (n, k) is orthonormal, upper (k, k) the triangle with x = basis @ upper; leftover (n,) is what least
    squares leaves of y, divided by its length `scale`.
    """

    basis: Floats
    upper: Floats
    scale: float
    start: Floats
    weighing: Weighing
    method: Likelihood

    @classmethod
    def of(cls, y: Floats, x: Floats, at: Ints, order: int, method: Likelihood) -> Profile:
        """Check what was handed in and prepare the sums of products."""
        n, k = x.shape
        if y.shape != (n,) or at.shape != (n,) or np.any(np.diff(at) <= 0):
            raise ValueError("y and at need one value for each row of x, and at must rise")
        if n - k < order + 2 or n < 2 * order + 2:
            raise ValueError(
                f"{n} points are too few for {k} coefficients and autoregression of order {order}"
            )
        if not (np.isfinite(y).all() and np.isfinite(x).all()):
            raise ValueError("values must be finite")
        lengths = np.linalg.norm(x, axis=0)
        if np.any(lengths == 0):
            raise ValueError("the regressors are collinear")
        basis, upper = np.linalg.qr(x / lengths)
        if np.min(np.abs(np.diag(upper))) < 1e-10:
            raise ValueError("the regressors are collinear")
        start = basis.T @ y
        leftover = y - basis @ start
        leftover -= basis @ (basis.T @ leftover)
        scale = float(np.linalg.norm(leftover))
        if scale <= EXACT_FIT * float(np.linalg.norm(y)) or scale == 0:
            raise ValueError("the regressors fit the series exactly: there are no errors to model")
        z = np.column_stack([basis, leftover / scale])
        return cls(basis, upper * lengths, scale, start, weighing(z, at, order), method)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points and of coefficients."""
        return self.basis.shape[0], self.basis.shape[1]

    @property
    def divisor(self) -> int:
        """The sum of squares is divided by this to give sigma squared."""
        n, k = self.shape
        return n - k if self.method == "REML" else n

    def __call__(self, partial: Floats) -> float:
        """Log-likelihood up to a constant."""
        products, logdet = self.weighing(partial)
        return float(self.value(products[None], np.array([logdet]))[0])

    def value(self, products: Floats, logdet: Floats) -> Floats:
        """Log-likelihood up to a constant for many weighings at once (g, k + 1, k + 1) and (g,)."""
        diagonal = np.log(np.diagonal(np.linalg.cholesky(products), axis1=-2, axis2=-1))
        out = -self.divisor * diagonal[:, -1] - logdet / 2
        if self.method == "REML":
            out = out - diagonal[:, :-1].sum(axis=1)
        return np.asarray(out)

    def with_slopes(self, partial: Floats) -> tuple[float, Floats]:
        """The same with its derivatives (p,) in the partial autocorrelations."""
        held = self.weighing.with_slopes(partial)
        value = self.value(held.products[None], np.array([held.logdet]))
        return float(value[0]), self.slopes(held)

    def slopes(self, held: Weighed) -> Floats:
        """Derivatives (p,) of the log-likelihood."""
        k = self.basis.shape[1]
        inverse = np.linalg.inv(held.products[:k, :k])
        shift = inverse @ held.products[:k, k]
        squares = held.products[k, k] - held.products[:k, k] @ shift
        direction = np.append(-shift, 1.0)
        out = -self.divisor * (held.product_slopes @ direction @ direction) / squares / 2
        out -= held.logdet_slopes / 2
        if self.method == "REML":
            out -= (held.product_slopes[:, :k, :k] * inverse).sum(axis=(1, 2)) / 2
        return np.asarray(out)

    def constant(self) -> float:
        """What to add to `__call__` for the log-likelihood of R's nlme::gls."""
        m = self.divisor
        stretch = np.log(np.abs(np.diag(self.upper))).sum() if self.method == "REML" else 0.0
        return float(-m / 2 * (np.log(2 * np.pi / m) + 1) - m * np.log(self.scale) - stretch)

    def solve(self, partial: Floats) -> tuple[Floats, Floats, float]:
        """Coefficients (k,), the inverse of x' R^(-1) x (k, k), and the sum of squares, at these values."""
        products, _ = self.weighing(partial)
        k = self.basis.shape[1]
        inverse = np.linalg.inv(products[:k, :k])
        shift = inverse @ products[:k, k]
        squares = float(products[k, k] - products[:k, k] @ shift) * self.scale**2
        back = np.linalg.inv(self.upper)
        return back @ (self.start + self.scale * shift), back @ inverse @ back.T, squares


def gls_ar(y: Floats, x: Floats, at: Ints, order: int = 1, method: Likelihood = "REML") -> ArFit:
    """Regression of y (n,) on x (n, k) with stationary autoregressive errors of this order (1 to 4).

    at (n,) are the times, whole numbers; a gap only makes neighbours less alike. Agrees with R nlme::gls with
    corAR1 or corARMA: sigma, standard errors (with n - k also under "ML") and log-likelihood. The
    restricted one contains -log det(x' R^(-1) x)/2: comparable only between fits with the same regressors in
    the same units. ValueError if there are too few points, x lacks rank, or x fits y exactly.
    """
    if not 1 <= order <= 4:
        raise ValueError("the order of autoregression is 1 to 4")
    profile = Profile.of(y, x, at, order, method)
    partial, converged = _first_order(profile) if order == 1 else _higher_order(profile, order)
    coefficients, inverse, squares = profile.solve(partial)
    n, k = profile.shape
    fitted = x @ coefficients
    sigma = float(np.sqrt(squares / profile.divisor))
    phi = coefficients_from_partial(partial)
    return ArFit(
        coefficients=coefficients,
        covariance=inverse * squares / (n - k),
        df=np.full(k, float(n - k)),
        phi=phi,
        sigma=sigma,
        log_likelihood=profile(partial) + profile.constant(),
        fitted=fitted,
        residuals=y - fitted,
        innovations=whiten(y - fitted, at, phi) / sigma,
        method=method,
        converged=converged,
        at_bound=bool(np.any(np.abs(partial) >= _limits(order) * (1 - 1e-9))),
    )


def _limits(order: int) -> Floats:
    return np.array([FARTHEST]) if order == 1 else LIMITS[:order]


def _first_order(profile: Profile) -> tuple[Floats, bool]:
    """The highest point of a grid, then the root of the derivative beside it."""
    if not isinstance(profile.weighing, FirstOrder):
        raise TypeError("the search is for order 1")
    best = int(np.argmax(profile.value(*profile.weighing.on_grid(GRID))))
    low, high = GRID[max(best - 1, 0)], GRID[min(best + 1, GRID.size - 1)]

    def slope(rho: float) -> float:
        return float(profile.slopes(profile.weighing.with_slopes(np.array([rho])))[0])

    if slope(low) > 0 > slope(high):
        found, report = scipy.optimize.brentq(slope, low, high, xtol=1e-11, full_output=True)
        return np.array([found]), bool(report.converged)
    if best in (0, GRID.size - 1) and slope(GRID[best]) * GRID[best] >= 0:
        return np.array([GRID[best]]), True

    def negative(rho: float) -> float:
        return -profile(np.array([rho]))

    report = scipy.optimize.minimize_scalar(negative, bounds=(low, high), method="bounded")
    return np.array([report.x]), bool(report.success)


def _higher_order(profile: Profile, order: int) -> tuple[Floats, bool]:
    """Quasi-Newton steps on atanh of the partial autocorrelations, from the two best of a grid."""
    limits = np.arctanh(_limits(order))

    def partial(free: Floats) -> Floats:
        return np.asarray(np.tanh(np.clip(free, -limits, limits)))

    def negative(free: Floats) -> tuple[float, Floats]:
        held = partial(free)
        value, slopes = profile.with_slopes(held)
        return -value, -slopes * (1 - held**2)

    coarse = [np.append(start, np.zeros(order - 2)) for start in product(STARTS, repeat=2)]
    coarse.sort(key=lambda start: -profile(np.tanh(start)))
    bounds = list(zip(-limits, limits, strict=True))
    runs = [
        scipy.optimize.minimize(negative, start, method="L-BFGS-B", jac=True, bounds=bounds)
        for start in coarse[:2]
    ]
    free = min(runs, key=lambda run: float(run.fun)).x
    return _polished(negative, free, limits)


def _polished(
    negative: Callable[[Floats], tuple[float, Floats]], free: Floats, limits: Floats
) -> tuple[Floats, bool]:
    """Newton steps, with differences of the gradient for the second derivatives; coordinates at a bound stay.

    Converged once a step hardly moves.
    """
    inside = np.abs(free) < limits * (1 - 1e-6)
    moves = np.eye(free.size)[inside] * STEP
    moved = np.inf
    for _ in range(8):
        if moved < 1e-8 or not inside.any():
            break
        value, gradient = negative(free)
        bends = [negative(free + move)[1][inside] - negative(free - move)[1][inside] for move in moves]
        curvature = (np.array(bends) + np.array(bends).T) / (4 * STEP)
        step = np.linalg.solve(curvature, gradient[inside])
        proposal = free - step @ moves / STEP
        moved = float(np.abs(step).max())
        if moved > 0.1 or negative(proposal)[0] > value + 1e-9:
            break
        free = proposal
    return np.tanh(free), moved < 1e-6 or not inside.any()
