"""How much may an instrument act on the outcome directly before the conclusion changes?

Conley, Hansen and Rossi (2012): in y = x beta + z gamma + w delta + e the direct effect gamma of the
instruments is not zero but bounded (union of intervals) or uncertain (local to zero). Two-stage least squares
of y - z gamma has the estimate beta(0) - A gamma and residuals that are linear in gamma, so that its variance
is a quadratic in gamma: everything here is computed from k + 1 numbers and a (k + 1, k + 1) matrix, whatever
the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.means import crossproduct, rows_used
from qieval.numerics.two_way import Codes, Floats

RANK = 1e-7
"""A column of which less than this share (in length) is left is a combination of the others."""
SAFE = 1e-4
MOST = 16
"""Corners of a box are enumerated: at most this many instruments."""


@dataclass(frozen=True)
class Union:
    """Union of the intervals over all direct effects in a box; gamma_low, gamma_high attain its ends."""

    low: float
    high: float
    gamma_low: tuple[float, ...]
    gamma_high: tuple[float, ...]


@dataclass(frozen=True)
class LocalToZero:
    """Estimate and normal interval when the direct effect is itself a normal random quantity."""

    estimate: float
    std_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Breakdown:
    """Multiples of a direction between which the interval leaves the null value out.

    low < 0 < high are the nearest direct effects at which the interval takes the null value in, infinite if
    none does on that side. included: it is in already without any direct effect (then both are 0).
    """

    low: float
    high: float
    included: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """Estimate, standard error and interval (m,) at multiples `at` (m,) of a direction: for a plot."""

    at: Floats
    estimate: Floats
    std_error: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Exclusion:
    """The effect of x as a function of the direct effects gamma (k,) of the instruments.

    Estimate: beta - slope @ gamma, with slope (k,). Variance: (1, gamma)' form (1, gamma), form (k+1, k+1)
    positive semi-definite and with its small-sample factor. Intervals use normal quantiles.
    """

    beta: float
    slope: Floats
    form: Floats

    def estimate(self, gamma: Floats) -> Floats:
        """Estimates (m,) at direct effects gamma (m, k)."""
        return np.asarray(self.beta - _rows(gamma, self.slope.size) @ self.slope)

    def std_error(self, gamma: Floats) -> Floats:
        """Standard errors (m,) at direct effects gamma (m, k)."""
        gamma = _rows(gamma, self.slope.size)
        along = np.column_stack([np.ones(len(gamma)), gamma])
        return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", along, self.form, along), 0.0)))

    def union(self, low: Floats, high: Floats, level: float = 0.95) -> Union:
        """Union of the intervals at all gamma with low <= gamma <= high, each (k,).

        The standard error is a norm of an affine function of gamma, hence convex: the lower end of the
        interval is concave in gamma and the upper end convex, so that both are attained at corners of the
        box. Only corners are computed; a grid that holds them gives the same answer. ValueError if a bound is
        not finite, low exceeds high, or there are more than 16 instruments.
        """
        low, high = _vector(low, self.slope.size), _vector(high, self.slope.size)
        if (low > high).any():
            raise ValueError("low must not exceed high")
        if low.size > MOST:
            raise ValueError(f"a box for more than {MOST} instruments has too many corners")
        corners = np.array(list(product(*np.column_stack([low, high]))))
        centre, half = self.estimate(corners), _quantile(level) * self.std_error(corners)
        least, most = int(np.argmin(centre - half)), int(np.argmax(centre + half))
        return Union(
            low=float((centre - half)[least]),
            high=float((centre + half)[most]),
            gamma_low=tuple(corners[least].tolist()),
            gamma_high=tuple(corners[most].tolist()),
        )

    def local_to_zero(self, mean: Floats, covariance: Floats, level: float = 0.95) -> LocalToZero:
        """gamma is normal with this mean (k,) and covariance (k, k), independent of the sample.

        beta is then normal about beta(0) - A mean with variance V(0) + A covariance A'; V(0) takes the direct
        effects as small (local to zero), also where the mean is not.
        """
        mean, covariance = _vector(mean, self.slope.size), np.atleast_2d(covariance)
        if covariance.shape != (mean.size, mean.size) or not np.isfinite(covariance).all():
            raise ValueError("covariance must be a finite table (k, k)")
        added = float(self.slope @ covariance @ self.slope)
        if added < 0:
            raise ValueError("covariance must not have negative variances")
        estimate = self.beta - float(self.slope @ mean)
        std_error = float(np.sqrt(self.form[0, 0] + added))
        half = _quantile(level) * std_error
        return LocalToZero(estimate, std_error, estimate - half, estimate + half)

    def breakdown(self, direction: Floats, null: float = 0.0, level: float = 0.95) -> Breakdown:
        """How far gamma may go along a direction (k,) before the interval includes the null value.

        With one instrument and direction 1 the answers are direct effects themselves.
        """
        direction = _vector(direction, self.slope.size)
        quantile = _quantile(level) ** 2
        shift, along = self.beta - null, -float(self.slope @ direction)
        cross, square = float(self.form[0, 1:] @ direction), float(direction @ self.form[1:, 1:] @ direction)
        constant = shift**2 - quantile * self.form[0, 0]
        if constant <= 0:
            return Breakdown(0.0, 0.0, included=True)
        linear, bend = 2 * (shift * along - quantile * cross), along**2 - quantile * square
        roots = _roots(bend, linear, constant)
        low = max((root for root in roots if root < 0), default=-np.inf)
        high = min((root for root in roots if root > 0), default=np.inf)
        return Breakdown(low, high, included=False)

    def curve(self, direction: Floats, at: Floats, level: float = 0.95) -> Curve:
        """The estimate and its interval at multiples at (m,) of a direction (k,)."""
        if not np.isfinite(at).all():
            raise ValueError("a curve needs finite multiples")
        gamma = np.outer(at, _vector(direction, self.slope.size))
        centre, error = self.estimate(gamma), self.std_error(gamma)
        half = _quantile(level) * error
        return Curve(np.asarray(at, dtype=float), centre, error, centre - half, centre + half)


def exclusion(
    y: Floats, x: Floats, z: Floats, w: Floats, weights: Floats | None = None, clusters: Codes | None = None
) -> Exclusion:
    """Two-stage least squares of y on x (n,), instruments z (n, k), controls w (n, c) with the constant.

    The covariance is HC1, n/(n - c - 1), or with clusters CR1, G/(G-1) (n-1)/(n - c - 1), with c the controls
    that are not combinations of others. weights (n,) are not negative. EstimationError where the instruments
    are combinations of the controls or of one another, or where x does not vary with them at all. Equal to R:
    ivreg, vcovHC(type = "HC1") or vcovCL, refitted at every gamma.

    >>> z = np.array([[0.0], [0.0], [1.0], [1.0], [0.0], [1.0]])
    >>> x, y = np.array([0.0, 1, 1, 1, 0, 1]), np.array([1.0, 3, 2, 4, 1, 5])
    >>> found = exclusion(y, x, z, np.ones((6, 1)))
    >>> round(found.beta, 6), found.slope.round(6), found.estimate(np.array([[0.5]])).round(6)
    (3.0, array([1.5]), array([2.25]))
    """
    weight = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    used = rows_used(weight)
    if z.ndim != 2 or w.ndim != 2 or z.shape[1] == 0:
        raise ValueError("instruments and controls must be tables (n, k) and (n, c)")
    root = np.sqrt(weight)[:, None]
    data = np.column_stack([np.where(used, y, 0.0), x, z]) * root
    if not (np.isfinite(data).all() and np.isfinite(w[used]).all()):
        raise ValueError("all columns must be finite")
    basis = orthonormal(np.where(used[:, None], w, 0.0) * root)
    left = residuals_on(data, basis)
    outcome, exposure, instruments = left[:, 0], left[:, 1], left[:, 2:]
    instruments_vary(instruments, data[:, 2:])
    known = orthonormal(instruments)
    fitted = known @ (known.T @ exposure)
    strength = float(fitted @ fitted)
    if strength <= RANK**2 * float(data[:, 1] @ data[:, 1]):
        raise EstimationError("with the controls held fixed the treatment does not vary with the instrument")
    beta, slope = float(fitted @ outcome) / strength, fitted @ instruments / strength
    residuals = np.column_stack([outcome - beta * exposure, np.outer(exposure, slope) - instruments])
    influence = residuals * (fitted / strength)[:, None]
    n, parameters = int(np.count_nonzero(used)), basis.shape[1] + 1
    form = crossproduct(influence, clusters, used, adjust=True)
    if n <= parameters or not np.isfinite(form).all():
        raise EstimationError("too few rows, or fewer than two clusters, for a standard error")
    return Exclusion(beta, slope, form * (n - 1) / (n - parameters))


def orthonormal(columns: Floats) -> Floats:
    """Orthonormal columns (n, rank) that span the given ones (n, c).

    From their cross-product, and once more where the columns are so close to one another that rounding in it
    matters (error 1e-16 over the smallest eigenvalue of the correlations).
    """
    length = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    basis = columns[:, length > 0] / length[length > 0]
    for _ in range(2):
        values, vectors = scipy.linalg.eigh(basis.T @ basis) if basis.size else (np.ones(0), np.ones((0, 0)))
        kept = values > RANK**2 * values.max(initial=0.0)
        basis = basis @ (vectors[:, kept] / np.sqrt(values[kept]))
        if values.min(initial=1.0) > SAFE:
            break
    return np.asarray(basis)


def residuals_on(columns: Floats, basis: Floats) -> Floats:
    """Residuals of columns (n, m) on an orthonormal basis; taken twice, which removes rounding."""
    left = columns - basis @ (basis.T @ columns)
    return np.asarray(left - basis @ (basis.T @ left))


def instruments_vary(left: Floats, before: Floats, what: str = "an instrument") -> None:
    """EstimationError unless columns (n, k) vary beside the controls, and none is a combination of others."""
    size, whole = np.linalg.norm(left, axis=0), np.linalg.norm(before, axis=0)
    if (size <= RANK * whole).any():
        raise EstimationError(f"{what} does not vary once the controls are held fixed")
    scaled = left / size
    if scipy.linalg.eigvalsh(scaled.T @ scaled)[0] <= RANK**2 * 10:
        raise EstimationError("an instrument is a combination of the other instruments and the controls")


def _roots(bend: float, linear: float, constant: float) -> list[float]:
    """Real roots of bend t^2 + linear t + constant with constant > 0, without loss of digits."""
    inside = linear**2 - 4 * bend * constant
    if inside < 0:
        return []
    both = -(linear + np.copysign(np.sqrt(inside), linear)) / 2
    found = [both / bend] if bend != 0 else []
    return [float(root) for root in (*found, *([constant / both] if both != 0 else []))]


def _rows(gamma: Floats, k: int) -> Floats:
    table = np.asarray(gamma, dtype=float)
    if table.ndim != 2 or table.shape[1] != k:
        raise ValueError(f"gamma must be a table with {k} columns")
    return table


def _vector(values: Floats, k: int) -> Floats:
    vector = np.atleast_1d(np.asarray(values, dtype=float))
    if vector.shape != (k,) or not np.isfinite(vector).all():
        raise ValueError(f"one finite number is needed for each of the {k} instruments")
    return vector


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError("level must lie between 0 and 1")
    return float(-scipy.special.ndtri((1 - level) / 2))
