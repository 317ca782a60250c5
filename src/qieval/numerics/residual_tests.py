"""Are residuals of a series still correlated in time, or more scattered than the model says?

A period without a value is left out of every sum but counts in the distance between its neighbours. All
tests take residuals (n,) at times at (n,) that rise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_autoregression import Ints
from qieval.numerics.series_errors import newey_west, pairs_apart
from qieval.numerics.two_way import Floats

POSITIVE = 0.05
"""A covariance whose least eigenvalue is below this share of the sum of squares is not trusted."""


@dataclass(frozen=True)
class ResidualTest:
    """A test of the residuals: statistic, degrees of freedom of chi-squared (NaN for other laws), p-value."""

    statistic: float
    df: float
    p_value: float


@dataclass(frozen=True)
class Dispersion:
    """Scatter of counts beside that of a Poisson model with the same means.

    pearson is Pearson's statistic, ratio the same per degree of freedom (1 for Poisson counts) and p_pearson
    its upper tail of chi-squared; score is standard normal for Poisson counts and large where the variance
    grows beyond the mean in proportion to the squared mean, p_score its upper tail.
    """

    pearson: float
    ratio: float
    p_pearson: float
    score: float
    p_score: float


def acf(residuals: Floats, at: Ints, lags: int) -> Floats:
    """Autocorrelations (lags,) at lags 1 to `lags` about the mean, as R's acf; gaps as na.action=na.pass.

    A lag without any pair is NaN. ValueError if residuals do not vary.
    """
    centred, pairs = _centred(residuals, at, lags)
    total = float(centred @ centred) / centred.size
    sums = np.array([centred[later] @ centred[earlier] for later, earlier in pairs])
    counts = _counts(pairs)
    return np.where(counts > 0, sums / (counts + np.arange(1, lags + 1)) / total, np.nan)


def pacf(residuals: Floats, at: Ints, lags: int) -> Floats:
    """Partial autocorrelations at lags 1 to `lags` (lags,) by Durbin's recursion on `acf`, as R's pacf."""
    rho = acf(residuals, at, lags)
    phi, out = np.zeros(0), np.empty(lags)
    for h in range(lags):
        out[h] = (rho[h] - phi @ rho[:h][::-1]) / (1 - phi @ rho[:h])
        phi = np.append(phi - out[h] * phi[::-1], out[h])
    return out


def ljung_box(residuals: Floats, at: Ints, lags: int, fitted: int = 0) -> ResidualTest:
    """Ljung-Box test that no autocorrelation up to this lag is left; fitted counts estimated ARMA parameters.

    As R's Box.test(type="Ljung-Box", fitdf=fitted). Each squared autocorrelation is divided by the variance
    that it has with the pairs that there are.
    """
    if lags <= fitted:
        raise ValueError("more lags are needed than parameters fitted")
    rho = acf(residuals, at, lags)
    counts = _counts(_centred(residuals, at, lags)[1])
    full = counts + np.arange(1, lags + 1)
    known = counts > 0
    statistic = float(np.sum((rho**2 * full * (full + 2))[known] / counts[known]))
    return _chi_squared(statistic, int(known.sum()) - fitted)


def breusch_godfrey(residuals: Floats, x: Floats, at: Ints, order: int) -> ResidualTest:
    """Breusch-Godfrey test of least-squares residuals against autocorrelation up to this order.

    n R^2 of the regression of residuals on x (n, k) and on earlier residuals, zero where there are none, as
    R's lmtest::bgtest(fill=0, type="Chisq").
    """
    regressors = np.column_stack(
        [x / np.linalg.norm(x, axis=0), _earlier(residuals, at, range(1, order + 1))]
    )
    found = np.linalg.lstsq(regressors, residuals, rcond=None)[0]
    explained = regressors @ found
    total = float(residuals @ residuals)
    if total == 0:
        raise ValueError("the residuals are all zero")
    return _chi_squared(residuals.size * float(explained @ explained) / total, order)


def cumby_huizinga(residuals: Floats, x: Floats, at: Ints, lags: int, after: int = 0) -> ResidualTest:
    """Cumby-Huizinga (1992) test: no autocorrelation at lags after + 1 to after + lags.

    Errors may be heteroskedastic and, under the null, correlated up to lag `after` (with after = 3, lags = 1
    it asks about the fourth lag only). x (n, k) is taken as fixed beforehand: the products of residuals are
    corrected for the coefficients estimated, and their covariance has full weight up to lag `after`, as the
    null says; should that not be positive definite, it is Newey-West's with 2 * after lags.
    """
    before = _earlier(residuals, at, range(after + 1, after + lags + 1))
    basis = np.linalg.qr(x)[0]
    products = residuals[:, None] * (before - basis @ (basis.T @ before))
    sums = products.sum(axis=0)
    if np.any((products**2).sum(axis=0) == 0):
        raise ValueError("a lag has no pairs of residuals")
    meat = products.T @ products
    for distance in range(1, after + 1):
        later, earlier = pairs_apart(at, distance)
        crossed = products[later].T @ products[earlier]
        meat += crossed + crossed.T
    if np.linalg.eigvalsh(meat)[0] <= POSITIVE * np.trace(products.T @ products):
        meat = newey_west(products, np.eye(lags), at, 2 * after, adjust=False)
    return _chi_squared(float(sums @ np.linalg.solve(meat, sums)), lags)


def durbin_watson(residuals: Floats, x: Floats, at: Ints) -> ResidualTest:
    """Durbin-Watson statistic of least-squares residuals; p-value against positive autocorrelation.

    Squared differences of neighbours in time over the sum of squares: near 2 without autocorrelation, smaller
    with it (with gaps multiplied by (n - 1) / pairs). The p-value is exact for normal errors and this x
    (n, k), by Imhof's (1961) integral, and agrees with R's lmtest::dwtest(exact=TRUE).
    """
    n = residuals.size
    later, earlier = pairs_apart(at, 1)
    if later.size == 0:
        raise ValueError("no two points are neighbours in time")
    differences = np.zeros((later.size, n))
    rows = np.arange(later.size)
    differences[rows, later], differences[rows, earlier] = 1.0, -1.0
    steps = differences @ residuals
    factor = (n - 1) / later.size
    raw = float(steps @ steps) / float(residuals @ residuals)
    basis = np.linalg.qr(x, mode="complete")[0][:, x.shape[1] :]
    half = differences @ basis
    values = np.linalg.eigvalsh(half.T @ half)
    return ResidualTest(raw * factor, np.nan, probability_negative(values - raw))


def probability_negative(weights: Floats) -> float:
    """P(sum of weights (m,) times independent chi-squared variables with 1 df <= 0), by Imhof's integral.

    >>> round(probability_negative(np.array([1.0, -1.0])), 6)
    0.5
    """
    from scipy.integrate import quad

    scaled = weights / np.abs(weights).max()

    def integrand(u: float) -> float:
        if u == 0:
            return float(scaled.sum() / 2)
        angle = np.arctan(scaled * u).sum() / 2
        return float(np.sin(angle) / u * np.exp(-np.log1p((scaled * u) ** 2).sum() / 4))

    found = quad(lambda v: integrand(v / (1 - v)) / (1 - v) ** 2, 0, 1, limit=400, epsabs=1e-11, epsrel=1e-10)
    return float(np.clip(0.5 - found[0] / np.pi, 0, 1))


def over_dispersion(y: Floats, fitted: Floats, coefficients: int) -> Dispersion:
    """Are counts y (n,) more scattered than Poisson counts with means fitted (n,)?

    coefficients were estimated. The score is that of Dean and Lawless (1989) against a negative binomial.
    """
    if np.any(fitted <= 0) or y.size <= coefficients:
        raise ValueError("means must be positive, and points more than coefficients")
    df = y.size - coefficients
    pearson = float(np.sum((y - fitted) ** 2 / fitted))
    score = float(np.sum((y - fitted) ** 2 - y) / np.sqrt(2 * np.sum(fitted**2)))
    return Dispersion(
        pearson=pearson,
        ratio=pearson / df,
        p_pearson=float(scipy.special.chdtrc(df, pearson)),
        score=score,
        p_score=float(scipy.special.ndtr(-score)),
    )


def _chi_squared(statistic: float, df: int) -> ResidualTest:
    return ResidualTest(statistic, float(df), float(scipy.special.chdtrc(df, statistic)))


def _centred(residuals: Floats, at: Ints, lags: int) -> tuple[Floats, list[tuple[Ints, Ints]]]:
    """Residuals about their mean, and the pairs at each lag."""
    if not 1 <= lags < at[-1] - at[0] + 1:
        raise ValueError("lags lie between 1 and the number of periods less one")
    centred = residuals - residuals.mean()
    if float(centred @ centred) <= 1e-24 * float(residuals @ residuals):
        raise ValueError("the residuals do not vary")
    return centred, [pairs_apart(at, d) for d in range(1, lags + 1)]


def _counts(pairs: list[tuple[Ints, Ints]]) -> Floats:
    return np.array([float(later.size) for later, _ in pairs])


def _earlier(residuals: Floats, at: Ints, lags: range) -> Floats:
    """Residuals so many periods before (n, lags), zero where there is none."""
    out = np.zeros((residuals.size, len(lags)))
    for column, distance in enumerate(lags):
        later, earlier = pairs_apart(at, distance)
        out[later, column] = residuals[earlier]
    return out
