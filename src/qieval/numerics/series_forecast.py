"""What a series would have been without the intervention: forecast of the whole path, and effects from it.

The errors of a forecast path are correlated, so that limits of an average or a sum do not follow from the
limits of its periods. Here the path comes with its whole covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_arima import ArimaFit, ArimaShape, fit_columns
from qieval.numerics.series_arma import Order
from qieval.numerics.series_differenced import Columns, prepare
from qieval.numerics.series_likelihood import Transform, gram
from qieval.numerics.series_structural import (
    StructuralFit,
    StructuralShape,
    Structure,
    fit_structural_columns,
)
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecast of a path: mean (m,), covariance (m, m) of the values to come, and limits (m,) of each.

    The covariance counts what is to come, the state at the end of the time before and the coefficients of
    the regressors; not that the shape of the autocorrelation (or the ratio of the variances) is estimated.
    df are the degrees of freedom of t (values less coefficients), inf for normal limits. model is the fit
    to the time before, None for a forecast that averages models.
    """

    mean: Floats
    covariance: Floats
    lower: Floats
    upper: Floats
    level: float
    df: float
    converged: bool
    problem: str
    model: ArimaFit | StructuralFit | None = None


@dataclass(frozen=True)
class Effect:
    """One number with its standard error, interval and two-sided p-value of no effect."""

    value: float
    error: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True, eq=False)
class PathEffects:
    """Observed less forecast: per period, summed up to each period (m,), and overall.

    average is per period with a value, cumulative their sum, relative the sum over the sum of the forecast
    (0.1 is ten per cent more) with its error by the delta method. Periods without a value are NaN per
    period and left out of every sum. The p-values of average and relative test the same on two scales and
    differ a little.
    """

    effect: Floats
    lower: Floats
    upper: Floats
    summed: Floats
    summed_lower: Floats
    summed_upper: Floats
    average: Effect
    cumulative: Effect
    relative: Effect


def critical(level: float, df: float) -> float:
    """Two-sided critical value of t, or of the normal distribution where df is infinite."""
    tail = (1 - level) / 2
    return float(-scipy.special.ndtri(tail) if np.isinf(df) else -scipy.special.stdtrit(df, tail))


def two_sided(statistic: float, df: float) -> float:
    """P-value of a t (or normal) statistic; NaN stays NaN."""
    size = -abs(statistic)
    return float(2 * (scipy.special.ndtr(size) if np.isinf(df) else scipy.special.stdtr(df, size)))


def forecast_without(
    y: Floats, before: int, x: Floats, model: Order | Structure, level: float = 0.95, restricted: bool = True
) -> Forecast:
    """Fit a model to the first `before` periods and forecast the rest as if nothing had happened.

    y (n,) with NaN for missing values; what it holds from `before` on is not looked at. x (n, k) are
    regressors known throughout (control series, season, calendar; an intercept for an undifferenced ARIMA),
    without the intervention. Shape parameters are by restricted maximum likelihood, which does not mistake
    regression for lack of autocorrelation (restricted False: by maximum likelihood), the scale has
    `before`'s values less coefficients as divisor, the forecast and its covariance generalised least
    squares with the future as missing values (best linear unbiased prediction: Goldberger 1962). Raises
    ValueError as the fits do.

    The shape is taken as known, which makes intervals too narrow where 70 values say little about it. With 70
    periods before, 30 after and noise of sd 1, the 95% interval of the average held the truth in 95% of 300
    simulated series with level steps of sd 0.05, in 87% with 0.2, and in 89% with AR(1) errors of 0.6.
    """
    if not 0 < before < len(y):
        raise ValueError(
            f"{before} of {len(y)} periods are before the intervention: some must be on each side"
        )
    if not np.isfinite(x[before:]).all():
        raise ValueError("a forecast needs the regressors of every period to come")
    past = prepare(y[:before], x[:before], model.difference)
    hidden = np.concatenate([y[:before], np.full(len(y) - before, np.nan)])
    path = prepare(hidden, x, model.difference)
    fit: ArimaFit | StructuralFit
    transform: Transform
    if isinstance(model, Order):
        fit = fit_columns(past, model, tuple(f"x{i + 1}" for i in range(x.shape[1])), restricted=restricted)
        band, transform = ArimaShape(path, model).covariance(fit.parameters[: len(model.names)])
    else:
        fit = fit_structural_columns(past, model, restricted)
        band, transform = StructuralShape(path, model).band(fit.shares), np.asarray
    mean, covariance, df = predict(path, band, transform, len(y) - before)
    reach = critical(level, df) * np.sqrt(np.diag(covariance))
    return Forecast(mean, covariance, mean - reach, mean + reach, level, df, fit.converged, fit.problem, fit)


def predict(path: Columns, band: Floats, transform: Transform, ahead: int) -> tuple[Floats, Floats, float]:
    """Mean (m,), covariance (m, m) and degrees of freedom of the last m = ahead values, which are missing.

    band is the covariance, up to the scale, of the differenced series after transform.
    """
    product, _ = gram(band, transform(path.stacked))
    normal, right = product[1:, 1:], product[1:, 0]
    factor = scipy.linalg.cho_factor(normal)
    found = scipy.linalg.cho_solve(factor, right)
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(normal)))[-ahead:, -ahead:]
    df = path.n_used - path.x.shape[1]
    if df < 1:
        raise ValueError("no value is left to estimate the spread from")
    spread = path.scale**2 * float(product[0, 0] - right @ found) / df
    return path.filled[-ahead:] - path.scale * found[-ahead:], spread * (inverse + inverse.T) / 2, float(df)


def path_effects(observed: Floats, forecast: Forecast, level: float = 0.95) -> PathEffects:
    """Effects per period, summed, average and relative for observed values (m,), NaN where there is none.

    Every interval and p-value uses the forecast's degrees of freedom and whole covariance. Raises
    ValueError where nothing is observed.
    """
    seen = np.isfinite(observed)
    if not seen.any():
        raise ValueError("no value was observed after the start")
    reach = critical(level, forecast.df)
    effect = observed - forecast.mean
    half = reach * np.sqrt(np.diag(forecast.covariance))
    weights = np.tril(np.ones((seen.size, seen.size))) * seen
    summed = weights @ np.where(seen, effect, 0.0)
    summed_half = reach * np.sqrt(np.einsum("ij,jk,ik->i", weights, forecast.covariance, weights))
    total, error = float(summed[-1]), float(summed_half[-1]) / reach
    expected = float(forecast.mean[seen].sum())
    ratio = float(observed[seen].sum()) / expected if expected else np.nan
    count = int(seen.sum())

    def of(value: float, spread: float) -> Effect:
        p = two_sided(value / spread, forecast.df)
        return Effect(value, spread, value - reach * spread, value + reach * spread, p)

    return PathEffects(
        effect=effect,
        lower=effect - half,
        upper=effect + half,
        summed=summed,
        summed_lower=summed - summed_half,
        summed_upper=summed + summed_half,
        average=of(total / count, error / count),
        cumulative=of(total, error),
        relative=of(ratio - 1, abs(ratio) * error / abs(expected) if expected else np.nan),
    )
