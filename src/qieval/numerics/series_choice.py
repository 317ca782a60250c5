"""Which treatment of autocorrelated errors to trust for one series, with the reasons in words and figures.

The rule is a regression with autoregressive errors by restricted maximum likelihood, with Kenward and Roger's
covariance and degrees of freedom, whether autocorrelation is found or not: a test that finds none in a short
series shows little, and the rule loses little where there is none. The order is 1 unless the innovations
say otherwise. Of the choices compared in benchmarks/type_one_series.py it keeps closest to a level of 5%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.residual_tests import ResidualTest, acf, breusch_godfrey, ljung_box
from qieval.numerics.series_autoregression import Ints
from qieval.numerics.series_gls import ArFit, gls_ar
from qieval.numerics.series_small_samples import SmallSample, kenward_roger
from qieval.numerics.two_way import Floats

LEVEL = 0.05
HIGHEST_ORDER = 4
LAGS = 10
MANY_PER_ORDER = 12
"""Points left after the coefficients for each order of autoregression that is tried."""

CLEAR = 4.0
"""By so much must the corrected Akaike criterion fall for a higher order to be taken: with less, chance finds
of order 2 cost more than they gain (in simulated series of orders 1, 2 and 3)."""

PERSISTENT = 0.9


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The choice in words, why, and its results.

    coefficients (k,), covariance (k, k), df (k,) for t, p_values (k,) of "the coefficient is zero"; order of
    the autoregression; fit is the regression itself and small_sample knows the degrees of freedom of any
    linear combination (`df_of`). adequate is False if the innovations are still autocorrelated.
    """

    choice: str
    reasons: tuple[str, ...]
    order: int
    fit: ArFit
    small_sample: SmallSample
    adequate: bool

    @property
    def coefficients(self) -> Floats:
        """Estimates (k,)."""
        return self.fit.coefficients

    @property
    def covariance(self) -> Floats:
        """Covariance (k, k) that allows for the estimated autocorrelation."""
        return self.small_sample.covariance

    @property
    def df(self) -> Floats:
        """Degrees of freedom (k,) for t."""
        return self.small_sample.df

    @property
    def p_values(self) -> Floats:
        """Two-sided, of each coefficient being zero (k,)."""
        t = np.abs(self.coefficients) / np.sqrt(np.diag(self.covariance))
        return np.asarray(2 * scipy.special.stdtr(self.df, -t))


def recommended(
    y: Floats,
    x: Floats,
    at: Ints,
    season: int | None = None,
    residuals: str = "Residuals of ordinary least squares",
) -> Recommendation:
    """Choose how to allow for autocorrelation in the regression of y (n,) on x (n, k) at times at (n,).

    season is the number of periods after which a pattern returns, so that tests of what is left look that
    far; residuals is how the reasons call what is left without autoregression. The order is raised
    while a Ljung-Box test of the innovations has p < 0.05, to at most 4 and one for every 12 points beyond
    the coefficients; the one with the lowest corrected Akaike criterion is taken if that is more than 4 below
    order 1. ValueError as `gls_ar`.
    """
    n, k = x.shape
    first = gls_ar(y, x, at)
    lags = max(min(max(LAGS, season or 0), (n - k) // 2), 2)
    tried = [(first, ljung_box(first.innovations, at, lags, fitted=1))]
    highest = min(HIGHEST_ORDER, (n - k) // MANY_PER_ORDER, lags - 1)
    for order in range(2, highest + 1):
        if tried[-1][1].p_value >= LEVEL:
            break
        fit = gls_ar(y, x, at, order)
        tried.append((fit, ljung_box(fit.innovations, at, lags, fitted=order)))
    best = min(tried, key=lambda pair: pair[0].aicc)
    fit, left = best if tried[0][0].aicc - best[0].aicc > CLEAR else tried[0]
    small_sample = kenward_roger(fit, x, at)
    order = fit.phi.size
    reasons = (
        f"{residuals} have {_least_squares(y, x, at)}",
        _estimated(fit, x),
        *_order(tried, fit, lags),
        _uncertainty(fit, small_sample),
        *_warnings(fit, left, lags),
    )
    choice = f"restricted maximum likelihood with autoregressive errors of order {order} (Kenward-Roger)"
    return Recommendation(choice, reasons, order, fit, small_sample, left.p_value >= LEVEL)


def _least_squares(y: Floats, x: Floats, at: Ints) -> str:
    basis = np.linalg.qr(x / np.linalg.norm(x, axis=0))[0]
    left = y - basis @ (basis.T @ y)
    lags = max(min(3, (y.size - x.shape[1]) // 4), 1)
    found = breusch_godfrey(left, x, at, lags)
    first = acf(left, at, 1)[0]
    return f"autocorrelation {first:.2f} at lag 1 (Breusch-Godfrey test up to lag {lags}: {_p(found)})."


def _estimated(fit: ArFit, x: Floats) -> str:
    n, k = x.shape
    return (
        f"The autocorrelation of the errors at lag 1 is estimated as {fit.first_autocorrelation:.2f} by "
        f"restricted maximum likelihood, which allows for the {k} coefficients fitted to {n} points."
    )


def _order(tried: list[tuple[ArFit, ResidualTest]], fit: ArFit, lags: int) -> tuple[str, ...]:
    first, test = tried[0]
    if test.p_value >= LEVEL:
        return (
            "Autoregression of order 1 is enough: no autocorrelation is found in its innovations (Ljung-Box "
            f"test up to lag {lags}: {_p(test)}).",
        )
    if fit is first:
        return (
            f"A Ljung-Box test of the innovations up to lag {lags} has {_p(test)}, but no order up to "
            f"{len(tried)} is clearly better by the corrected Akaike criterion.",
        )
    return (
        f"Order 1 leaves autocorrelation in its innovations (Ljung-Box test up to lag {lags}: {_p(test)}); "
        f"of orders 1 to {len(tried)}, order {fit.phi.size} has the lowest corrected Akaike criterion, "
        f"{first.aicc - fit.aicc:.1f} below order 1.",
    )


def _uncertainty(fit: ArFit, small_sample: SmallSample) -> str:
    ratio = np.diag(small_sample.covariance) / np.diag(small_sample.model_covariance)
    wider = 100 * (np.sqrt(ratio.max()) - 1)
    grown = "hardly change" if wider < 1 else f"are up to {wider:.0f}% larger"
    return (
        f"The autocorrelation is itself uncertain with {fit.fitted.size} points: standard errors {grown} for "
        f"it, and degrees of freedom for t are {small_sample.df.min():.1f} to {small_sample.df.max():.1f} "
        "(Kenward and Roger)."
    )


def _warnings(fit: ArFit, left: ResidualTest, lags: int) -> tuple[str, ...]:
    found = []
    if left.p_value < LEVEL:
        found.append(
            f"Autocorrelation is left in the innovations (Ljung-Box test up to lag {lags}: {_p(left)}): look "
            "at the trend, the season and unusual periods before relying on any standard error."
        )
    if fit.first_autocorrelation > PERSISTENT:
        found.append(
            "Errors wander almost like a random walk: a straight trend may not describe this series, and a "
            "change in slope can hardly be told from drift."
        )
    return tuple(found)


def _p(test: ResidualTest) -> str:
    return "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
