"""Over-identified CBPS: the equations of a logistic score and of balance weighed against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.balancing_weights import by_estimand, fitted_score
from qieval.numerics.covariate_balancing import mean_difference
from qieval.numerics.estimated_weights import RANK, Block, Estimand, Standardised, Status, Weights, checked
from qieval.numerics.two_way import Floats, Mask

STATIONARY = 1e-7
POLISH = 10


@dataclass(frozen=True, eq=False)
class OverIdentified:
    """Weights, and Hansen's J of score and balance equations with its degrees of freedom.

    A large J says that no logistic score fits and balances at once (chi-squared under a correct score).
    """

    weights: Weights
    j: float
    df: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Where the weight matrix is taken: at `first` times the index of maximum likelihood, or at each trial.

    WeightIt and the CBPS package take `first` from 0.8..1.1 so as to lower an imbalance; WeightIt's depends
    on units and on which level of a factor is left out (`weightit_first`).
    """

    first: float = 1.0
    continuous: bool = False


def covariate_balance_over(
    x: Floats,
    treated: Mask,
    estimand: Estimand = "ATE",
    base: Floats | None = None,
    options: Moments | None = None,
) -> OverIdentified:
    """Over-identified CBPS (Imai and Ratkovic 2014, section 2.4) by the generalised method of moments.

    The weight matrix is the inverse covariance of the equations given x, averaged over the treatment. The
    minimum is found by Levenberg-Marquardt; `residual` is the largest element of the gradient there
    (equations in units of their standard deviation), converged below 1e-7. The means of the arms are not
    made equal: see `imbalance`. Estimating functions are those of GMM with a known weight matrix (WeightIt
    has none here and takes the weights as given).
    """
    if estimand not in ("ATE", "ATT", "ATC"):
        raise ValueError("over-identified CBPS is for ATE, ATT or ATC")
    options = options or Moments()
    x, treated, base = checked(x, treated, base)
    score = fitted_score(x, treated, base)
    if score.status != "converged":
        index = score.design.times(score.coefficients)
        weights = by_estimand(index, treated, estimand)[0]
        found = Weights(weights, treated, base, estimand, (), score.status, 0, np.nan, np.nan)
        return OverIdentified(found, np.nan, score.design.q, np.nan)
    equations = _Equations(score.design, treated, base, estimand)
    least = _minimum(equations, options.first * score.coefficients, options.continuous)
    found = _weights(equations, least)
    j, df = float(base.sum()) * least.value, score.design.q
    return OverIdentified(found, j, df, float(scipy.special.chdtrc(df, j)))


def _weights(equations: _Equations, least: _Minimum) -> Weights:
    treated, base, estimand = equations.treated, equations.base, equations.estimand
    weights, slope = by_estimand(equations.design.times(least.b), treated, estimand)
    blocks = (_block(equations, least, slope),)
    found = Weights(
        weights, treated, base, estimand, blocks, least.status, least.iterations, least.gradient, np.nan
    )
    return replace(found, imbalance=mean_difference(equations.design, found))


def weightit_first(x: Floats, treated: Mask, estimand: Estimand = "ATE", base: Floats | None = None) -> float:
    """The `first` of WeightIt: the factor in 0.8..1.1 with the smallest norm of the mean balance equations.

    The norm is taken in the standardised left singular vectors of x, so that it changes with units and with
    the coding of factors: WeightIt leaves out the last level. For reproducing its results only.
    """
    x, treated, base = checked(x, treated, base)
    score = fitted_score(x, treated, base)
    left = np.linalg.svd(x, full_matrices=False)[0]
    columns = np.column_stack([np.ones(len(x)), (left - left.mean(axis=0)) / left.std(axis=0, ddof=1)])
    index = score.design.times(score.coefficients)

    def norm(factor: float) -> float:
        return float(np.linalg.norm(columns.T @ (base * _balance(factor * index, treated, estimand)[0])))

    found = scipy.optimize.minimize_scalar(norm, bounds=(0.8, 1.1), method="bounded", options={"xatol": 1e-8})
    return float(found.x)


@dataclass(frozen=True, eq=False)
class _Equations:
    """Means of the 2q (score, balance) equations at coefficients b (q,), with derivative and covariance."""

    design: Standardised
    treated: Mask
    base: Floats
    estimand: Estimand

    def residuals(self, b: Floats) -> Floats:
        """Factors of the columns in the two sets of equations, base weights included (n, 2)."""
        index = self.design.times(b)
        score = self.treated - scipy.special.expit(index)
        balance = _balance(index, self.treated, self.estimand)[0]
        return np.asarray(self.base[:, None] * np.column_stack([score, balance]))

    def means(self, b: Floats) -> Floats:
        return np.asarray(self.design.totals(self.residuals(b)).T.ravel() / self.base.sum())

    def derivative(self, b: Floats) -> Floats:
        """Derivative of the means (2q, q)."""
        index = self.design.times(b)
        p = scipy.special.expit(index)
        slope = _balance(index, self.treated, self.estimand)[1]
        parts = (p * (1 - p), -slope)
        grams = [self.design.gram(self.base * part) for part in parts]
        return np.asarray(-np.vstack(grams) / self.base.sum())

    def bend(self, b: Floats, by: Floats) -> Floats:
        """Second derivative (q, q) of by'means; weights are exponential in the index where they move."""
        index = self.design.times(b)
        p = scipy.special.expit(index)
        slope = _balance(index, self.treated, self.estimand)[1]
        second = (-p * (1 - p) * (1 - 2 * p), np.where(self.treated, -slope, slope))
        along = self.design.times(by.reshape(2, -1).T)
        parts = [self.design.gram(self.base * two * along[:, m]) for m, two in enumerate(second)]
        return np.asarray((parts[0] + parts[1]) / self.base.sum())

    def covariance(self, b: Floats) -> Floats:
        """Mean conditional covariance of the equations (2q, 2q)."""
        p = scipy.special.expit(self.design.times(b))
        cross, own = {
            "ATE": (np.ones_like(p), 1 / (p * (1 - p))),
            "ATT": (p, p / (1 - p)),
            "ATC": (1 - p, (1 - p) / p),
        }[self.estimand]
        square = self.base**2 / self.base.sum()
        first, mixed, last = (self.design.gram(square * part) for part in (p * (1 - p), cross, own))
        return np.block([[first, mixed], [mixed, last]])


@dataclass(frozen=True, eq=False)
class _Minimum:
    """Where value = means' root' root means is least; root (2q, 2q) is that of the weight matrix there."""

    b: Floats
    root: Floats
    value: float
    gradient: float
    status: Status
    iterations: int


def _minimum(equations: _Equations, start: Floats, continuous: bool) -> _Minimum:
    fixed = _inverse_root(equations.covariance(start))

    def root(b: Floats) -> Floats:
        return _inverse_root(equations.covariance(b)) if continuous else fixed

    out = scipy.optimize.least_squares(
        lambda b: root(b) @ equations.means(b),
        start,
        "3-point" if continuous else lambda b: fixed @ equations.derivative(b),
        method="trf" if continuous else "lm",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-14,
    )
    best, iterations = out.x, int(out.nfev)
    if not continuous:
        best, iterations = _polished(equations, best, fixed), iterations + POLISH
        fun, slopes = fixed @ equations.means(best), fixed @ equations.derivative(best)
    else:
        fun, slopes = out.fun, out.jac
    gradient = float(np.abs(slopes.T @ fun).max())
    status: Status = "converged" if gradient <= STATIONARY else "not converged"
    return _Minimum(best, root(best), float(fun @ fun), gradient, status, iterations)


def _polished(equations: _Equations, b: Floats, root: Floats) -> Floats:
    """Newton steps while they lower the gradient, which is not flat to rounding as the value is."""
    weight = root.T @ root

    def gradient(at: Floats) -> Floats:
        return np.asarray(equations.derivative(at).T @ weight @ equations.means(at))

    now = gradient(b)
    for _ in range(POLISH):
        slopes = equations.derivative(b)
        curvature = slopes.T @ weight @ slopes + equations.bend(b, weight @ equations.means(b))
        moved = b - scipy.linalg.lstsq(curvature, now)[0]
        then = gradient(moved)
        if not np.abs(then).max() < np.abs(now).max():
            break
        b, now = moved, then
    return b


def _block(equations: _Equations, least: _Minimum, slope: Floats) -> Block:
    """psi = G'W (score, balance) of the row, G the derivative of the means and W the weight matrix."""
    q = equations.design.q
    derivative = equations.derivative(least.b)
    combine = derivative.T @ least.root.T @ least.root
    mixing = np.stack([combine[:, :q], combine[:, q:]])
    jacobian = float(equations.base.sum()) * combine @ derivative
    return Block(equations.design, least.b, equations.residuals(least.b), slope, jacobian, mixing)


def _balance(index: Floats, treated: Mask, estimand: Estimand) -> tuple[Floats, Floats]:
    """Factor of each row in the balance equations (controls negative) and its slope by the index."""
    weights, slope = by_estimand(index, treated, estimand)
    sign = np.where(treated, 1.0, -1.0)
    return sign * weights, sign * slope


def _inverse_root(matrix: Floats) -> Floats:
    """R with R'R the pseudo-inverse of a symmetric matrix."""
    values, vectors = scipy.linalg.eigh(matrix)
    kept = values > RANK * values.max()
    return np.asarray(
        vectors @ (np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)[:, None] * vectors.T)
    )
