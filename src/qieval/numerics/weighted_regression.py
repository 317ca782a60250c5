"""Weighted linear, logistic and Poisson regression with robust covariance.

Weights are those of matching or weighting: they say how much a row counts, not how precise it is, so the
covariance is a sandwich, and the logistic and Poisson likelihoods are quasi-likelihoods (outcomes between 0
and 1, or not whole, are welcome). Columns are made orthonormal first, which makes answers independent of
units and the Newton steps accurate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.means import Clusters, crossproduct, rows_used
from qieval.numerics.two_way import Floats, Mask

Family = Literal["linear", "logistic", "poisson"]
Kind = Literal["HC0", "HC1", "HC3"]

ALIASED = 1e-7
"""A column of which less than this share (in length) is left after the columns before it; as R's lm."""
SAFE = 1e-3
"""Columns of which more than this share is left have a cross-product that is accurate to 1e-10."""
STEP = 1e-11
"""Newton steps stop when their root mean square on the linear predictor is below this."""
ITERATIONS = 60
FLAT = 1e-10
"""Information below this share of the largest means that a coefficient runs away (separation)."""


@dataclass(frozen=True, eq=False)
class Regression:
    """A fitted regression of n rows on k columns; rows of weight 0 are not used.

    beta (k,), 0 where aliased (k,), that is where a column is a combination of the columns before it.
    design (n, k) is the input; linear (n,) includes the offset and fitted (n,) is the mean, for all rows.
    score (n,) is weight * (y - fitted), 0 in rows not used, and leverage (n,) the diagonal of the hat matrix.
    bread (k, k) is the inverse of the information, 0 where aliased. converged is False if the Newton steps
    did not become negligible; separated if that is because fitted values run to 0 or 1 (to 0: Poisson), when
    beta is where the search stopped, fitted is close to its limit and bread leaves out the flat direction.
    slope (n,) is the derivative of fitted by linear.
    """

    beta: Floats
    aliased: Mask
    design: Floats
    linear: Floats
    fitted: Floats
    slope: Floats
    score: Floats
    leverage: Floats
    bread: Floats
    used: Mask
    converged: bool
    separated: bool

    @property
    def n_used(self) -> int:
        """Rows of positive weight."""
        return int(np.count_nonzero(self.used))

    @property
    def rank(self) -> int:
        """Columns that are not aliased."""
        return int(np.count_nonzero(~self.aliased))

    @property
    def small_sample(self) -> float:
        """(n-1)/(n-k), the part of HC1 that does not depend on clusters; NaN if no row is left over."""
        left = self.n_used - self.rank
        return (self.n_used - 1) / left if left > 0 else np.nan

    def influence(self, combinations: Floats | None = None, jackknife: bool = False) -> Floats:
        """Contribution (n, q) of each row to combinations (q, k) of beta (None: to beta itself).

        jackknife divides by 1 - leverage (HC3); a row of leverage 1 is fitted exactly and makes it NaN.
        """
        of = np.eye(self.beta.size) if combinations is None else combinations
        score = self.score
        if jackknife:
            left = 1.0 - self.leverage
            score = score / np.where(left > 1e-10, left, np.nan)
        return np.asarray((self.design @ (self.bread @ of.T)) * score[:, None])


def weighted_regression(
    x: Floats, y: Floats, weights: Floats, family: Family = "linear", offset: Floats | None = None
) -> Regression:
    """Regression of y (n,) on the columns of x (n, k), which holds the constant if there is to be one.

    weights (n,) not negative; where they are 0, y may be NaN. offset (n,) is added to the linear predictor
    (log person-time for Poisson). Logistic: y between 0 and 1; Poisson: y not negative. ValueError without a
    used row or with y outside that range.

    >>> x = np.column_stack([np.ones(4), [0.0, 0.0, 1.0, 1.0]])
    >>> print(weighted_regression(x, np.array([1.0, 3.0, 2.0, 6.0]), np.ones(4)).beta)
    [2. 2.]
    """
    used = rows_used(weights)
    rows = slice(None) if used.all() else used
    weight, outcome, columns = weights[rows], y[rows], x[rows]
    shift = np.zeros(len(y)) if offset is None else offset
    _check(outcome, columns, shift[rows], family)
    aliased, root = _orthonormal(columns * np.sqrt(weight)[:, None])
    basis = (columns[:, ~aliased] if aliased.any() else columns) @ root
    gamma, information, converged, separated = _newton(basis, outcome, weight, family, shift[rows])
    beta = np.zeros(x.shape[1])
    beta[~aliased] = root @ gamma
    linear = x @ beta + shift
    fitted, slope = predicted(linear, family)
    score, leverage = np.zeros(len(y)), np.zeros(len(y))
    score[rows] = weight * (outcome - fitted[rows])
    inverse = np.asarray(scipy.linalg.pinvh(information))
    leverage[rows] = np.einsum("ij,ij->i", basis @ inverse, basis) * weight * slope[rows]
    bread = np.zeros((beta.size, beta.size))
    bread[np.ix_(~aliased, ~aliased)] = root @ inverse @ root.T
    return Regression(
        beta, aliased, x, linear, fitted, slope, score, leverage, bread, used, converged, separated
    )


def sandwich(fit: Regression, kind: Kind = "HC1", cluster: Clusters = None, adjust: bool = False) -> Floats:
    """Robust covariance (k, k) of beta; 0 where aliased.

    HC1 multiplies by G/(G-1) (n-1)/(n-k) with G clusters, n/(n-k) without, as sandwich::vcovCL(type = "HC1")
    and vcovHC. HC0 has no factor; with adjust G/(G-1), which is what vcovCL does to a glm if the type is not
    given. HC3 divides residuals by 1 - leverage, as vcovHC, and is for rows without clusters. NaN if no row
    is left over (HC1), or if one is fitted exactly because it alone tells a coefficient (HC3).
    """
    if kind == "HC3" and cluster is not None:
        raise ValueError("HC3 is for independent rows; use HC1 with clusters")
    factor = fit.small_sample if kind == "HC1" else 1.0
    influence = fit.influence(jackknife=kind == "HC3")
    return factor * crossproduct(influence, cluster, fit.used, adjust or kind == "HC1")


def _check(y: Floats, x: Floats, offset: Floats, family: Family) -> None:
    if not y.size:
        raise ValueError("no row has a positive weight")
    if not (np.isfinite(y).all() and np.isfinite(x).all() and np.isfinite(offset).all()):
        raise ValueError("outcome, columns and offset must be finite where the weight is positive")
    if family == "logistic" and ((y < 0) | (y > 1)).any():
        raise ValueError("a logistic regression needs outcomes between 0 and 1")
    if family == "poisson" and (y < 0).any():
        raise ValueError("a Poisson regression needs outcomes of 0 or more")


def _orthonormal(columns: Floats) -> tuple[Mask, Floats]:
    """Aliased columns (k,), and the upper triangle T (rank, rank) that makes the others orthonormal.

    The columns of R have the same dependencies as those of X = QR, so they are searched in k x k numbers.
    """
    length = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    scale = np.where(length > 0, length, 1.0)
    triangle = _triangle(columns, scale)
    aliased = np.ones(scale.size, dtype=bool)
    kept = np.zeros((len(triangle), 0))
    for j, column in enumerate(triangle.T):
        left = column - kept @ (kept.T @ column)
        left -= kept @ (kept.T @ left)
        size = float(np.linalg.norm(left))
        if length[j] > 0 and size > ALIASED:
            aliased[j] = False
            kept = np.column_stack([kept, left / size])
    upper = np.triu(kept.T @ triangle[:, ~aliased])
    root = scipy.linalg.solve_triangular(upper, np.eye(len(upper))) / scale[~aliased][:, None]
    return aliased, np.asarray(root)


def _triangle(columns: Floats, scale: Floats) -> Floats:
    """R (k, k) of the QR decomposition of columns / scale; by Cholesky, which is faster, where that is safe.

    Rounding in it is of no consequence: it only makes the basis a little less than orthonormal.
    """
    gram = (columns.T @ columns) / np.outer(scale, scale)
    try:
        triangle = np.asarray(scipy.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        triangle = np.zeros_like(gram)
    if triangle.size and np.diag(triangle).min() > SAFE:
        return triangle
    return np.asarray(np.linalg.qr(columns / scale, mode="r"))


def predicted(linear: Floats, family: Family) -> tuple[Floats, Floats]:
    """Mean (n,) of the outcome at a linear predictor (n,), and its derivative."""
    if family == "linear":
        return linear, np.ones(linear.size)
    if family == "logistic":
        mean = np.asarray(scipy.special.expit(linear))
        return mean, mean * scipy.special.expit(-linear)
    with np.errstate(over="ignore"):
        mean = np.exp(linear)
    return mean, mean


def _loss(linear: Floats, y: Floats, weight: Floats, family: Family) -> float:
    """Minus the quasi-log-likelihood, up to a constant."""
    if family == "linear":
        return float(weight @ (y - linear) ** 2) / 2
    if family == "logistic":
        return float(weight @ (np.logaddexp(0.0, linear) - y * linear))
    with np.errstate(over="ignore"):
        return float(weight @ (np.exp(linear) - y * linear))


def _start(basis: Floats, y: Floats, weight: Floats, family: Family, offset: Floats) -> Floats:
    """First coefficients: least squares of a transformed outcome that is pulled towards its mean."""
    if family == "linear":
        target = y - offset
    elif family == "logistic":
        target = scipy.special.logit((y + 0.5) / 2) - offset
    else:
        level = float(weight @ y / (weight @ np.exp(offset)))
        target = np.log((y + level * np.exp(offset)) / 2) - offset if level > 0 else -offset
    return np.asarray(basis.T @ (weight * target))


def _newton(
    basis: Floats, y: Floats, weight: Floats, family: Family, offset: Floats
) -> tuple[Floats, Floats, bool, bool]:
    """Coefficients in the orthonormal basis, information matrix there, and the flags converged, separated."""
    gamma = _start(basis, y, weight, family, offset)
    linear = basis @ gamma + offset
    total = float(np.sqrt(weight.sum()))
    first = 0.0
    for iteration in range(ITERATIONS + 1):
        mean, slope = predicted(linear, family)
        information = basis.T @ (basis * (weight * slope)[:, None])
        least, most = _extremes(information)
        first = first or most
        if family != "linear" and (least < FLAT * most or most < FLAT * first):
            return gamma, information, False, True
        step = scipy.linalg.solve(information, basis.T @ (weight * (y - mean)), assume_a="pos")
        unit = float(np.linalg.norm(gamma)) if family == "linear" else total
        if np.linalg.norm(step) <= STEP * unit:
            return gamma, information, True, False
        if iteration < ITERATIONS:
            step *= _length(linear, basis @ step, y, weight, family)
            gamma, linear = gamma + step, linear + basis @ step
    return gamma, information, False, False


def _extremes(information: Floats) -> tuple[float, float]:
    """Smallest and largest eigenvalue: 0 in a direction in which fitted values run to their limits."""
    if not information.size:
        return 0.0, 0.0
    values = scipy.linalg.eigvalsh(information)
    return float(values[0]), float(values[-1])


def _length(linear: Floats, along: Floats, y: Floats, weight: Floats, family: Family) -> float:
    """Largest power of 1/2 for which the step does not increase the loss."""
    loss, length = _loss(linear, y, weight, family), 1.0
    while length > 1e-6 and _loss(linear + length * along, y, weight, family) > loss + 1e-12 * abs(loss):
        length /= 2
    return length
