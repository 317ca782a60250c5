"""Newey-West covariance of coefficients, rules for its lags, and what short series need beside it.

Scores (n, k) are each point's contribution to the estimating equations (least squares: x times residual) and
bread (k, k) the inverse of minus their summed derivative (least squares: (x'x)^(-1)), so that the covariance
is bread @ meat @ bread for least squares and generalised linear models alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.series_autoregression import Ints, consecutive
from qieval.numerics.two_way import Floats

LagRule = Literal["cube root", "rule of thumb", "season"]

FIXED_B = {
    0.80: (1.2816, 1.3040, 0.5135, -0.3386),
    0.90: (1.6449, 2.1859, 0.3142, -0.3427),
    0.95: (1.9600, 2.9694, 0.4160, -0.5324),
    0.98: (2.3263, 4.1618, 0.5368, -0.9060),
}
"""Kiefer and Vogelsang (2005), table 1, Bartlett: cubic in lags/n for the two-sided confidence level."""


def pairs_apart(at: Ints, distance: int) -> tuple[Ints, Ints]:
    """Indices of the later and of the earlier point of all pairs that lie exactly this many periods apart.

    >>> pairs_apart(np.array([0, 1, 3]), 2)
    (array([2]), array([1]))
    """
    if consecutive(at):
        later = np.arange(min(distance, at.size), at.size)
        return later, later - distance
    place = np.searchsorted(at, at + distance)
    found = place < at.size
    found[found] = at[place[found]] == (at + distance)[found]
    return place[found], np.flatnonzero(found)


def newey_west(scores: Floats, bread: Floats, at: Ints, lags: float, *, adjust: bool = True) -> Floats:
    """Covariance (k, k) of coefficients that holds under heteroskedasticity and autocorrelation.

    Weights 1 - d / (lags + 1) for pairs d periods apart (Newey and West 1987); lags may be fractional (a
    bandwidth of b periods is lags = b - 1). adjust multiplies by n / (n - k). A period without a value adds
    no products but counts in the distance (Datta and Du 2012). Equals R sandwich::NeweyWest(prewhite=FALSE).
    In short series the result is too small; negative residual autocorrelation makes it smaller than the
    ordinary covariance, which is no sign of more precision.

    >>> newey_west(np.array([[1.0], [1.0], [-2.0]]), np.eye(1), np.arange(3), 1, adjust=False)
    array([[5.]])
    """
    n, k = scores.shape
    if at.shape != (n,) or bread.shape != (k, k) or np.any(np.diff(at) <= 0):
        raise ValueError("at needs a rising value for each row of scores, bread one row for each column")
    if not lags >= 0 or (adjust and n <= k):
        raise ValueError("lags must not be negative, and there must be more points than coefficients")
    meat = scores.T @ scores
    for distance in range(1, int(min(np.ceil(lags), at[-1] - at[0])) + 1):
        later, earlier = pairs_apart(at, distance)
        products = scores[later].T @ scores[earlier]
        meat += (1 - distance / (lags + 1)) * (products + products.T)
    found: Floats = bread @ meat @ bread
    return found * n / (n - k) if adjust else found


def lag_rule(name: LagRule, n: int, season: int | None = None) -> int:
    """Number of lags from the number of points: three rules in use.

    "cube root": floor(0.75 n^(1/3)) (Stock and Watson); "rule of thumb": floor(4 (n/100)^(2/9)) (Newey and
    West 1994); "season": the length of the season, which must be given.

    >>> lag_rule("cube root", 120), lag_rule("rule of thumb", 120), lag_rule("season", 120, 12)
    (3, 4, 12)
    """
    if name == "cube root":
        return int(np.floor(0.75 * n ** (1 / 3) + 1e-9))
    if name == "rule of thumb":
        return int(np.floor(4 * (n / 100) ** (2 / 9) + 1e-9))
    if season is None:
        raise ValueError("the length of the season is needed")
    return season


def bandwidth_newey_west(scores: Floats, at: Ints, weights: Floats | None = None) -> float:
    """Number of lags chosen from the series by Newey and West (1994), without prewhitening, not rounded.

    weights (k,) sum the scores to one series. None divides each by its root mean square, so that units do not
    matter; R sandwich::bwNeweyWest(prewhite=FALSE, kernel="Bartlett") takes one for all but the intercept and
    uses the whole number below as lags. 0 if the sum has no variance.
    """
    n = scores.shape[0]
    summed = scores @ _weights(scores, weights, 1)
    reach = int(np.floor(4 * (n / 100) ** (2 / 9)))
    covariances = np.array([_product(summed, at, d) for d in range(reach + 1)])
    doubled = 2 * covariances
    doubled[0] = covariances[0]
    level, slope = doubled.sum(), np.arange(reach + 1) @ doubled
    return float(1.1447 * ((slope / level) ** 2 * n) ** (1 / 3)) if level else 0.0


def bandwidth_andrews(scores: Floats, at: Ints, weights: Floats | None = None) -> float:
    """Bandwidth for the Bartlett kernel by Andrews (1991): each score as a first-order autoregression.

    Weights of `newey_west` are 1 - d / bandwidth: call it with lags = max(bandwidth - 1, 0). weights (k,) are
    those of equation 6.4; None takes inverse squared variances of the scores, so that units do not matter; R
    sandwich::bwAndrews(kernel="Bartlett", approx="AR(1)", prewhite=0) takes one for all but the intercept.
    """
    later, earlier = pairs_apart(at, 1)
    if later.size < 4:
        raise ValueError("too few points have a neighbour in time")
    before = scores[earlier] - scores[earlier].mean(axis=0)
    after = scores[later] - scores[later].mean(axis=0)
    squares = (before**2).sum(axis=0)
    rho = (before * after).sum(axis=0) / np.where(squares > 0, squares, 1.0)
    rho = np.clip(rho, -0.97, 0.97)
    variance = ((after - rho * before) ** 2).mean(axis=0)
    share = _weights(scores, weights, 4) * variance**2
    top = np.sum(share * 4 * rho**2 / ((1 - rho) ** 6 * (1 + rho) ** 2))
    bottom = np.sum(share / (1 - rho) ** 4)
    return float(1.1447 * (scores.shape[0] * top / bottom) ** (1 / 3)) if bottom else 0.0


def _weights(scores: Floats, weights: Floats | None, power: int) -> Floats:
    if weights is not None:
        return weights
    size = np.sqrt((scores**2).mean(axis=0))
    return np.asarray(np.where(size > 0, size, np.inf) ** -float(power))


def _product(values: Floats, at: Ints, distance: int) -> float:
    later, earlier = pairs_apart(at, distance)
    return float(values[later] @ values[earlier]) / values.size


@dataclass(frozen=True, eq=False)
class HacSmallSample:
    """What a Newey-West variance is under independence: mean as a share of the true one, degrees of freedom.

    Divide a variance (of the covariance with the same `adjust`) by bias (k,), and take t with df (k,).
    """

    bias: Floats
    df: Floats


def hac_small_sample(x: Floats, at: Ints, lags: float, *, adjust: bool = True) -> HacSmallSample:
    """Bias and Satterthwaite degrees of freedom of `newey_west` for least squares of this design.

    x (n, k); for generalised linear models times the root of the working weights. With independent normal
    errors the variance estimate is a quadratic form in the residuals whose first two moments are exact (Bell
    and McCaffrey 2002; Imbens and Kolesar 2016, for kernels instead of clusters); it is what fixed-b theory
    does for the mean, for this design. Level changes at the end of a series have few degrees of freedom.
    Autocorrelation, which the variance is there for, is not allowed for: rejection remains too frequent.
    """
    n, k = x.shape
    basis, upper = np.linalg.qr(x)
    back = np.linalg.inv(upper).T
    influence, variance = basis @ back, (back**2).sum(axis=0)
    distance = np.abs(np.subtract.outer(at, at))
    kernel = np.clip(1 - distance / (lags + 1), 0, None)
    bias, df = np.empty(k), np.empty(k)
    for j in range(k):
        form = kernel * np.outer(influence[:, j], influence[:, j])
        left = form - basis @ (basis.T @ form)
        left -= (left @ basis) @ basis.T
        mean = float(np.trace(left))
        bias[j] = mean / variance[j] * (n / (n - k) if adjust else 1.0)
        df[j] = mean**2 / float(np.sum(left * left.T))
    return HacSmallSample(bias, df)


def fixed_b_critical_value(lags: float, n: int, level: float = 0.95) -> float:
    """Critical value of |t| for a Newey-West standard error when lags are not few beside n points.

    From the polynomials of Kiefer and Vogelsang (2005) in the bandwidth's share of the series, for two-sided
    levels of 0.80, 0.90, 0.95 and 0.98. Made for a mean; see `hac_small_sample` for other designs.

    >>> round(fixed_b_critical_value(11, 120), 3)
    2.261
    """
    if level not in FIXED_B:
        raise ValueError(f"levels are {', '.join(map(str, FIXED_B))}")
    share = min((lags + 1) / n, 1.0)
    return float(np.polynomial.polynomial.polyval(share, FIXED_B[level]))


def equal_weighted_cosine(
    scores: Floats, bread: Floats, at: Ints, terms: int | None = None
) -> tuple[Floats, int]:
    """Covariance (k, k) from the first cosine transforms of the scores, and its degrees of freedom.

    The mean of `terms` squared transforms (floor(0.4 n^(2/3)) unless given), to be used with t and as many
    degrees of freedom (Lazarus, Lewis, Stock and Watson 2018). Periods without a value have score zero.
    """
    n = scores.shape[0]
    count = terms if terms is not None else max(int(np.floor(0.4 * n ** (2 / 3))), 1)
    span = int(at[-1] - at[0]) + 1
    if not 1 <= count < span:
        raise ValueError("terms lie between 1 and the number of periods")
    angle = np.outer(np.arange(1, count + 1), at - at[0] + 0.5) * np.pi / span
    transforms = np.sqrt(2.0) * np.cos(angle) @ scores
    found: Floats = bread @ (transforms.T @ transforms / count) @ bread
    return found, count
