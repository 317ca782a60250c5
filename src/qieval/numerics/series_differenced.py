"""A series made ready for exact Gaussian likelihood: differenced, scaled, gaps and forecasts as unknowns.

w = D(B) y with D(B) = 1 + d_1 B + ... of degree d has the density of y[d:] given y[:d], since differencing
has determinant one; R's `arima` and statsmodels count the same. A missing value is one more regressor, an
indicator of its period, integrated over with a flat density (Gomez, Maravall and Pena 1999, "Missing
observations in ARIMA models: skipping approach versus additive outlier approach"): this is exact, also under
differencing, and a forecast is nothing but a missing value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qieval.numerics.two_way import Floats, Mask

RANK = 1e-9
"""A regressor whose part not explained by the others is smaller than this share of it adds nothing."""


@dataclass(frozen=True, eq=False)
class Columns:
    """A series made ready: differenced outcome, regressors and indicators of missing values.

    y (n - d,), x (n - d, k) and missing (n - d, m) are differenced by `difference` (d + 1,). The outcome is
    what least squares leaves of it, divided by `scale`; regressors are turned by `basis` (k, k) so that
    they are orthonormal, with `start` (k,) their least squares coefficients. filled (m,) are the values
    from which scale * (coefficients of the indicators) are subtracted to give the missing values. The
    likelihood is conditional on the first `skip` rows. The first d indicators are values before the series
    where initial_variance is finite; see `prepare_with_initial`.
    """

    y: Floats
    x: Floats
    missing: Floats
    observed: Mask
    filled: Floats
    difference: Floats
    scale: float
    basis: Floats
    start: Floats
    skip: int = 0
    initial_variance: float = np.inf

    @property
    def lost(self) -> int:
        """How many values differencing uses up."""
        return self.difference.size - 1

    @property
    def n_missing(self) -> int:
        """Number of missing values (m)."""
        return int(self.missing.shape[1])

    @property
    def n_used(self) -> int:
        """Values that inform the fit: those observed less those that differencing uses up and the skipped."""
        rows = self.y.size - self.n_missing
        return rows if np.isfinite(self.initial_variance) else rows - self.skip

    @cached_property
    def stacked(self) -> Floats:
        """Outcome, regressors and indicators beside one another (n - d, 1 + k + m)."""
        return np.column_stack([self.y, self.x, self.missing])

    def coefficients(self, turned: Floats) -> Floats:
        """Coefficients of the regressors as they were given, from those of the turned ones."""
        return np.asarray(self.start + self.scale * (self.basis @ turned))

    def turned(self, coefficients: Floats) -> Floats:
        """Inverse of `coefficients`."""
        return np.asarray(np.linalg.solve(self.basis, (coefficients - self.start) / self.scale))


def polynomial(values: Floats, coefficients: Floats) -> Floats:
    """The lag polynomial applied to the rows: sum_j c_j values[t - j] for every t that has all its lags.

    >>> polynomial(np.array([[1.0], [4.0], [9.0]]), np.array([1.0, -1.0])).ravel().tolist()
    [3.0, 5.0]
    """
    degree, n = coefficients.size - 1, len(values)
    out = np.zeros((max(n - degree, 0), values.shape[1]))
    for lag in np.flatnonzero(coefficients):
        out += coefficients[lag] * values[degree - lag : n - lag]
    return out


def prepare(y: Floats, x: Floats, difference: Floats) -> Columns:
    """Difference and scale a series y (n,), NaN for periods without a value, with regressors x (n, k).

    difference (d + 1,) is the lag polynomial, 1 first. x must be finite wherever y is; elsewhere a value that
    is not finite counts as zero. Raises ValueError where too little is observed or where x, differenced and
    without the periods that are missing, has less than full rank (an intercept goes with the first
    difference, for example).
    """
    n, k = x.shape
    lost = difference.size - 1
    observed = np.isfinite(y)
    if len(y) != n:
        raise ValueError(f"the outcome has {len(y)} periods and the regressors have {n}")
    if observed.sum() < lost + k + 2:
        raise ValueError(f"{int(observed.sum())} values are too few for {lost} differences, {k} regressors")
    if not np.isfinite(x[observed]).all():
        raise ValueError("regressors must be finite wherever the outcome is")
    at = np.arange(n)
    level = np.interp(at, at[observed], y[observed])
    missing = polynomial(np.eye(n)[:, ~observed], difference)
    regressors = polynomial(np.where(np.isfinite(x), x, 0.0), difference)
    basis = _basis(regressors, missing)
    turned = regressors @ basis
    outcome = polynomial(level[:, None], difference)[:, 0]
    both = np.column_stack([turned, missing])
    first = np.linalg.lstsq(both, outcome, rcond=None)[0]
    left = outcome - both @ first
    scale = float(np.sqrt(np.mean(left**2)))
    if scale <= 1e-12 * float(np.abs(level).max()):
        raise ValueError("the regressors leave nothing of the outcome to be explained")
    filled = level[~observed] - first[k:]
    return Columns(
        left / scale, turned, missing, observed, filled, difference, scale, basis, basis @ first[:k]
    )


def prepare_with_initial(y: Floats, x: Floats, difference: Floats, initial_variance: float) -> Columns:
    """`prepare` with the d values before the series normal around zero, as R's `arima` has it.

    Their variance is initial_variance times that of the innovations (10^6 in R), and the likelihood is
    conditional on the first d values, which must be observed (ValueError). As it grows this becomes
    `prepare`; for a given variance the answer depends on the origin of y.
    """
    lost = difference.size - 1
    if not np.isfinite(y[:lost]).all():
        raise ValueError(f"a finite initial variance needs a value in each of the first {lost} periods")
    longer = np.concatenate([np.full(lost, np.nan), y])
    columns = prepare(longer, np.vstack([np.zeros((lost, x.shape[1])), x]), difference)
    return replace(columns, skip=lost, initial_variance=initial_variance)


def _basis(regressors: Floats, missing: Floats) -> Floats:
    """A matrix (k, k) that makes the regressors orthonormal; ValueError if they are linearly dependent."""
    if regressors.shape[1] == 0:
        return np.zeros((0, 0))
    size = np.linalg.norm(regressors, axis=0)
    if not (size > 0).all():
        raise ValueError("a regressor is constant after differencing, or zero: it cannot be estimated")
    scaled = regressors / size
    free = scaled - missing @ np.linalg.lstsq(missing, scaled, rcond=None)[0] if missing.size else scaled
    triangle = np.linalg.qr(free, mode="r")
    if np.linalg.svd(triangle, compute_uv=False).min() < RANK:
        raise ValueError("the regressors are linearly dependent (after differencing and without gaps)")
    return np.asarray(np.linalg.inv(triangle) / size[:, None])
