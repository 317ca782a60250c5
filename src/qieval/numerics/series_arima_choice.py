"""Order of an ARIMA model: differences by tests, the rest by the corrected AIC over a small grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from qieval.numerics.series_arima import ArimaFit, fit_columns, with_trend
from qieval.numerics.series_arma import Order
from qieval.numerics.series_differenced import prepare
from qieval.numerics.two_way import Floats
from qieval.progress import progress

KPSS = 0.463
"""Five per cent point of the KPSS statistic of level stationarity."""

SEASONAL = 0.64
"""Strength of seasonality from which a seasonal difference is taken (as R's `forecast::nsdiffs`)."""


@dataclass(frozen=True)
class Tried:
    """One order of the grid. aicc is inf, and problem says why, where no fit exists."""

    order: Order
    aicc: float
    log_likelihood: float
    problem: str


@dataclass(frozen=True, eq=False)
class ArimaChoice:
    """The order with the smallest AICc among those without a problem, its fit, and all that was tried.

    tried is sorted by AICc. kpss holds the statistic before each ordinary difference considered (a
    difference is taken above 0.463), seasonal_strength is between 0 and 1 (a seasonal difference above
    0.64; NaN where the season is too long or was not asked for); both are empty or NaN if differences were
    given.
    """

    order: Order
    fit: ArimaFit
    tried: tuple[Tried, ...]
    kpss: tuple[float, ...]
    seasonal_strength: float


def choose_arima(
    y: Floats,
    x: Floats,
    season: int = 0,
    differences: tuple[int, int] | None = None,
    most: tuple[int, int, int, int] = (2, 2, 1, 1),
) -> ArimaChoice:
    """Try every (p, q)(P, Q) up to most = (p, q, P, Q) and keep the smallest AICc.

    y (n,) with NaN for missing values; x (n, k) without an intercept: a constant, or a drift where the
    series is differenced once, is added. differences (d, D) cannot be chosen by AICc (the data differ);
    where not given, D is 1 for strong seasonality and d is 0 or 1 by the KPSS test, both on least squares
    residuals, so that a step in x is not mistaken for a unit root. Hyndman and Khandakar (2008) walk
    through the orders; here the grid is small enough to try all of it. Raises ValueError where no order can
    be fitted.
    """
    strength, kpss = float("nan"), []
    if differences is None:
        strength = seasonal_strength(_residuals(y, x), season)
        seasonal = int(strength > SEASONAL)
        rest = _residuals(y, x)
        rest = rest[season:] - rest[:-season] if seasonal else rest
        kpss = [kpss_statistic(rest)]
        differences = (int(kpss[0] > KPSS), seasonal)
    d, seasonal_d = differences
    base = Order(0, d, 0, 0, seasonal_d, 0, season)
    full, names = with_trend(x, base, trend=d + seasonal_d < 2)
    columns = prepare(y, full, base.difference)
    grid = [range(top + 1) if i < 2 or season > 1 else range(1) for i, top in enumerate(most)]
    tried = []
    for p, q, seasonal_p, seasonal_q in progress(list(itertools.product(*grid)), "trying ARIMA orders"):
        order = Order(p, d, q, seasonal_p, seasonal_d, seasonal_q, season)
        try:
            fit = fit_columns(columns, order, names, runs=2)
        except ValueError as error:
            tried.append(Tried(order, np.inf, -np.inf, str(error)))
            continue
        tried.append(Tried(order, fit.aicc, fit.log_likelihood, fit.problem))
    tried.sort(key=lambda one: one.aicc)
    good = [one for one in tried if np.isfinite(one.aicc) and not one.problem]
    good = good or [one for one in tried if np.isfinite(one.aicc)]
    if not good:
        raise ValueError(f"no ARIMA model can be fitted: {tried[0].problem}")
    best = good[0].order
    return ArimaChoice(best, fit_columns(columns, best, names), tuple(tried), tuple(kpss), strength)


def _residuals(y: Floats, x: Floats) -> Floats:
    """Least squares residuals (n,) on x and a constant, gaps filled by a straight line."""
    seen = np.isfinite(y)
    design = np.column_stack([np.ones(len(y)), np.where(np.isfinite(x), x, 0.0)])
    fit = np.linalg.lstsq(design[seen], y[seen], rcond=None)[0]
    at = np.arange(len(y))
    return np.asarray(np.interp(at, at[seen], (y - design @ fit)[seen]))


def kpss_statistic(values: Floats) -> float:
    """KPSS statistic of level stationarity, with Bartlett weights up to lag 3 sqrt(n) / 13.

    Kwiatkowski, Phillips, Schmidt and Shin (1992). Zero for a constant series.
    """
    n = values.size
    error = values - values.mean()
    lags = np.arange(1, int(3 * np.sqrt(n) / 13) + 1)
    variance = error @ error / n
    variance += sum(2 * (1 - lag / (lags.size + 1)) * (error[lag:] @ error[:-lag]) / n for lag in lags)
    total = float((np.cumsum(error) ** 2).sum()) / n**2
    return total / float(variance) if variance > 0 else 0.0


def seasonal_strength(values: Floats, season: int) -> float:
    """1 - var(remainder) / var(detrended), at least 0, after a classical decomposition.

    Wang, Smith and Hyndman (2006). NaN without a season or with fewer than three whole ones.
    """
    if season < 2 or values.size < 3 * season:
        return float("nan")
    window = np.ones(season) / season
    if season % 2 == 0:
        window = np.convolve(window, [0.5, 0.5])
    half = window.size // 2
    detrended = values[half : values.size - half] - np.convolve(values, window, mode="valid")
    phase = np.arange(detrended.size) % season
    means = np.array([detrended[phase == i].mean() for i in range(season)])
    spread = float(detrended.var())
    return max(0.0, 1 - float((detrended - means[phase]).var()) / spread) if spread > 0 else 0.0
