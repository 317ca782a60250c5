"""Gaussian likelihood of a differenced series: closed form given the covariance's shape, optimum, curvature.

Coefficients and scale are at their best for every shape (generalised least squares), so that only the few
parameters of the shape are searched. Covariances are banded, which makes an evaluation linear in n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_differenced import Columns, polynomial
from qieval.numerics.two_way import Floats

FLAT = 1e-10
"""Gain in log-likelihood that a Newton step may still promise at an optimum."""

NOISE = 1e-7
"""The same where no shorter step gains anything: differences of this size are rounding."""

STEP = 1e-4
"""Step of the derivatives with respect to a parameter of order one."""

NEWTON = 20


@dataclass(frozen=True, eq=False)
class Moments:
    """What the likelihood needs at one shape S: log |S|, and y'S^-1 y, x'S^-1 y (k,), x'S^-1 x (k, k).

    Missing values are integrated over: they are projected out of the products and counted in log_det.
    """

    log_det: float
    yy: float
    xy: Floats
    xx: Floats
    n: int

    def best(self) -> Floats:
        """Generalised least squares coefficients (k,)."""
        return np.asarray(np.linalg.solve(self.xx, self.xy), dtype=np.float64)

    def squares(self, coefficients: Floats) -> float:
        """Sum of squares of the whitened residuals at these coefficients."""
        return float(self.yy - 2 * coefficients @ self.xy + coefficients @ self.xx @ coefficients)

    def loss(self, coefficients: Floats | None = None) -> float:
        """Negative log-likelihood (of the scaled outcome), with the scale at its best."""
        squares = self.squares(self.best() if coefficients is None else coefficients)
        if not squares > 0:
            return np.inf
        return 0.5 * (self.n * (float(np.log(2 * np.pi * squares / self.n)) + 1) + self.log_det)

    def loss_known_scale(self, coefficients: Floats) -> float:
        """Negative log-likelihood where the shape is the covariance itself."""
        return 0.5 * (self.n * float(np.log(2 * np.pi)) + self.log_det + self.squares(coefficients))


Shape = Callable[[Floats], Moments]
Transform = Callable[[Floats], Floats]


def restrict(shape: Shape) -> Shape:
    """The restricted likelihood: regressors are integrated over with a flat density, as missing values are.

    Maximum likelihood takes what the regressors fit as if it were no noise, and so finds too little
    autocorrelation; this does not (Patterson and Thompson 1971).
    """

    def restricted(parameters: Floats) -> Moments:
        full = shape(parameters)
        none = np.empty(0)
        log_det = full.log_det + float(np.linalg.slogdet(full.xx)[1])
        return Moments(log_det, full.squares(full.best()), none, np.empty((0, 0)), full.n - full.xy.size)

    return restricted


def gram(band: Floats, stacked: Floats) -> tuple[Floats, float]:
    """Products c'S^-1 c of the columns, and log |S|, for a covariance in lower banded form (b + 1, n).

    Raises numpy's LinAlgError where S is not positive definite.
    """
    from qieval.numerics.kernels import series_arma

    product, log_det, positive = series_arma.gram(np.ascontiguousarray(band), np.ascontiguousarray(stacked))
    if not (positive and np.isfinite(log_det)):
        raise np.linalg.LinAlgError("the covariance is not positive definite")
    return product, float(log_det)


def without_gaps(product: Floats, log_det: float, n: int, n_missing: int) -> Moments:
    """`Moments` from products (1 + k + m, 1 + k + m) of n rows, the last m columns integrated over."""
    kept = product.shape[0] - n_missing
    if n_missing:
        gaps, through = product[kept:, kept:], product[kept:, :kept]
        log_det += 2 * float(np.log(np.diag(np.linalg.cholesky(gaps))).sum())
        product = product[:kept, :kept] - through.T @ np.linalg.solve(gaps, through)
    return Moments(log_det, float(product[0, 0]), product[1:, 0], product[1:, 1:], n - n_missing)


def moments(band: Floats, columns: Columns, transform: Transform | None = None) -> Moments:
    """`Moments` of columns whose covariance, after `transform`, is `band` (lower banded form).

    transform must be lower triangular with ones on the diagonal, so that leading rows stay leading rows.
    """
    stacked = transform(columns.stacked) if transform else columns.stacked
    whole = _moments(band, stacked, columns)
    if not columns.skip:
        return whole
    head = _moments(band[:, : columns.skip], stacked[: columns.skip], columns)
    return Moments(
        whole.log_det - head.log_det,
        whole.yy - head.yy,
        whole.xy - head.xy,
        whole.xx - head.xx,
        whole.n - head.n,
    )


def _moments(band: Floats, stacked: Floats, columns: Columns) -> Moments:
    """Of leading rows: missing values that do not touch them are left out."""
    kept = 1 + columns.x.shape[1]
    used = stacked.shape[1]
    if used > kept and len(stacked) < len(columns.y):
        touched = np.concatenate([np.ones(kept, bool), (stacked[:, kept:] != 0).any(axis=0)])
        stacked, used = stacked[:, touched], int(touched.sum())
    product, log_det = gram(band, stacked)
    if np.isfinite(columns.initial_variance):
        at = slice(kept, kept + columns.lost)
        mean = columns.filled[: columns.lost] / columns.scale
        product[at, at] += np.eye(columns.lost) / columns.initial_variance
        product[0, at] += mean / columns.initial_variance
        product[at, 0] += mean / columns.initial_variance
        product[0, 0] += mean @ mean / columns.initial_variance
    return without_gaps(product, log_det, len(stacked), used - kept)


@dataclass(frozen=True, eq=False)
class Optimum:
    """Parameters (r,) at the largest likelihood; converged if no Newton step promises a better one."""

    parameters: Floats
    loss: float
    converged: bool


def search(shape: Shape, starts: Floats, runs: int = 3) -> Optimum:
    """Best of several quasi-Newton runs from the most promising starts (s, r), then Newton's method.

    Derivatives are central differences, for which a likelihood in closed form is smooth enough. Parameters
    are expected in a form without bounds.
    """

    def loss(parameters: Floats) -> float:
        try:
            value = shape(parameters).loss()
        except np.linalg.LinAlgError:
            return np.inf
        return value if np.isfinite(value) else np.inf

    if starts.shape[1] == 0:
        return Optimum(starts[0], loss(starts[0]), converged=True)
    from scipy.optimize import minimize

    first = np.array([loss(start) for start in starts])
    order = [i for i in np.argsort(first, kind="stable")[:runs] if np.isfinite(first[i])]
    if not order:
        return Optimum(starts[0], np.inf, converged=False)
    slope: Transform = lambda at: gradient(loss, at)  # noqa: E731
    found = [minimize(loss, starts[i], jac=slope, method="BFGS", options={"gtol": 1e-5}).x for i in order]
    return newton(loss, min(found, key=loss))


def gradient(loss: Callable[[Floats], float], at: Floats) -> Floats:
    """Central differences (r,); zero where the function is not finite on both sides."""
    out = np.zeros(at.size)
    for i, step in enumerate(np.diag(1e-5 * np.maximum(1.0, np.abs(at)))):
        difference = loss(at + step) - loss(at - step)
        out[i] = difference / (2 * step[i]) if np.isfinite(difference) else 0.0
    return out


def curvature(loss: Callable[[Floats], float], at: Floats, steps: Floats) -> Floats:
    """Second derivatives (r, r) by central differences."""
    out = np.empty((at.size, at.size))
    moves = np.diag(steps)
    middle = loss(at)
    for i in range(at.size):
        out[i, i] = (loss(at + moves[i]) - 2 * middle + loss(at - moves[i])) / steps[i] ** 2
        for j in range(i):
            a, b = moves[i], moves[j]
            corners = loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)
            out[i, j] = out[j, i] = corners / (4 * steps[i] * steps[j])
    return out


def newton(loss: Callable[[Floats], float], at: Floats) -> Optimum:
    """Newton steps along the directions that have curvature, until none promises a gain above `FLAT`."""
    value = loss(at)
    for _ in range(NEWTON):
        slope = gradient(loss, at)
        second = curvature(loss, at, STEP * np.maximum(1.0, np.abs(at)))
        if not np.isfinite(second).all():
            return Optimum(at, value, converged=False)
        values, vectors = np.linalg.eigh(second)
        curved = np.abs(values) > 1e-6 * max(float(np.abs(values).max()), 1.0)
        along = vectors.T @ slope
        step = -vectors[:, curved] @ (along[curved] / np.abs(values[curved]))
        promised = -0.5 * float(slope @ step)
        level = bool((np.abs(along[~curved]) < 1e-4).all())
        if promised < FLAT:
            return Optimum(at, value, converged=level and bool((values[curved] > 0).all()))
        sizes = (0.5**halvings for halvings in range(12))
        better = next((at + size * step for size in sizes if loss(at + size * step) < value), None)
        if better is None:
            return Optimum(at, value, converged=level and promised < NOISE)
        at, value = better, loss(better)
    return Optimum(at, value, converged=False)


def information(shape: Shape, at: Floats, known_scale: bool = False) -> Floats:
    """Observed information (r + k, r + k) of shape parameters and coefficients of the turned regressors.

    The Hessian of the negative log-likelihood in both, at the best coefficients, with the scale at its best
    for every value (as R's `arima` does) unless known_scale. Products of the coefficients are exact, those
    of the shape are central differences; NaN where the shape does not exist on both sides of `at`.
    """
    here = shape(at)
    best = here.best()
    r = at.size
    precision = 1.0 if known_scale else here.n / here.squares(best)

    def loss(parameters: Floats) -> float:
        try:
            there = shape(parameters)
        except np.linalg.LinAlgError:
            return np.nan
        return there.loss_known_scale(best) if known_scale else there.loss(best)

    def slope(parameters: Floats) -> Floats:
        try:
            there = shape(parameters)
        except np.linalg.LinAlgError:
            return np.full(best.size, np.nan)
        return np.asarray(there.xx @ best - there.xy)

    out = np.empty((r + best.size, r + best.size))
    out[r:, r:] = precision * here.xx
    steps = 10 * STEP * np.abs(at) if known_scale else np.full(r, STEP)
    out[:r, :r] = curvature(loss, at, steps)
    for i, step in enumerate(np.diag(steps)):
        out[i, r:] = out[r:, i] = precision * (slope(at + step) - slope(at - step)) / (2 * steps[i])
    return out


def innovations(band: Floats, columns: Columns, transform: Transform) -> Floats:
    """Standardised one-step prediction errors (n,) at the best coefficients; NaN where none exists.

    transform as for `moments`. NaN for missing values and for the d values (the first, unless some of those
    are missing) with which the diffuse initial states first show. Values before the series are taken as
    unknown, whatever their variance.
    """
    fit = moments(band, columns, transform)
    best = fit.best()
    spread = np.sqrt(fit.squares(best) / fit.n)
    left = columns.y - columns.x @ best
    out = np.full(columns.observed.size, np.nan)
    if columns.n_missing:
        out[columns.observed] = _around_gaps(band, columns, left, transform) / spread
    else:
        factor = scipy.linalg.cholesky_banded(band, lower=True)
        white = scipy.linalg.solve_banded((len(band) - 1, 0), factor, transform(left[:, None])[:, 0])
        out[columns.lost :] = white / spread
    return out


def _around_gaps(band: Floats, columns: Columns, left: Floats, transform: Transform) -> Floats:
    """Innovations (observed,) for differenced residuals left (n - d,); NaN where a value starts a component.

    The precision of the observed values, missing ones integrated over, is G'G with G lower triangular, and
    row t of G times the values is the innovation of t: elimination from the last value to the first. Its
    rank is d below full: values with which a diffuse initial state first shows have no innovation.
    """
    n, lost = columns.observed.size, columns.lost
    precision, _ = gram(band, transform(np.eye(n - lost)))
    through = precision @ columns.missing
    precision -= through @ np.linalg.solve(columns.missing.T @ through, through.T)
    level = np.zeros(n)
    for t in range(lost, n):
        level[t] = left[t - lost] - columns.difference[1:] @ level[t - lost : t][::-1]
    spanned = polynomial(np.eye(n)[:, columns.observed], columns.difference)
    remaining = spanned.T @ precision @ spanned
    values = level[columns.observed]
    least = 1e-9 * np.diag(remaining)
    out = np.full(values.size, np.nan)
    for t in range(values.size - 1, -1, -1):
        if remaining[t, t] > least[t]:
            row = remaining[t, : t + 1] / np.sqrt(remaining[t, t])
            out[t] = row @ values[: t + 1]
            remaining[:t, :t] -= np.outer(row[:t], row[:t])
    return out
