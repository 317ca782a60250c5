"""The time before the start as a linear model with autoregressive errors: what design checks work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.diagnostics.series_rows import COUNTS, PROPORTIONS, counted
from qieval.interrupted import Interrupted
from qieval.numerics import series_terms
from qieval.numerics.series_gls import ArFit, gls_ar
from qieval.numerics.series_regression import SeriesFit, fit_series


@dataclass(frozen=True, eq=False)
class Before:
    """Values before the start on the scale on which changes add up.

    at (T,): all periods; rows (n,): codes of the values before the start. z (n,): amounts (logarithms where
    changes are ratios), or the working response of counts at their fit. weight (T,): what makes the errors
    equally large (square root of the working weights; 1 for amounts), carried on from the fit after the
    start. x (T, k): constant, straight line and season as the design states them; covariates and calendar
    effects are left out. ratio: whether changes are ratios.
    """

    at: np.ndarray
    rows: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    x: np.ndarray
    ratio: bool

    def errors(self, extra: np.ndarray | None = None) -> ArFit:
        """The regression with AR(1) errors by REML, with further columns (T, m) where given. ValueError when
        there are too few values."""
        x = self.x if extra is None else np.column_stack([self.x, extra])
        weight = self.weight[self.rows]
        return gls_ar(self.z * weight, x[self.rows] * weight[:, None], self.rows, 1, "REML")


def before_start(design: Any, made: Interrupted) -> Before:
    """The time before the start of a parsed series. ValueError where it cannot be described."""
    rows = np.flatnonzero(made.before)
    x = plain_columns(design, made)
    family = counted(design, made)
    series = made.series
    if family in COUNTS + PROPORTIONS:
        return _of_counts(made, rows, x, family)
    values = series.y if series.denominator is None else series.y / series.denominator * design.per
    logged = design.scale == "logarithm"
    z = values[rows]
    if logged and (z <= 0).any():
        raise ValueError("values of zero or less have no logarithm")
    z = np.log(z) if logged else z
    return Before(series.at, rows, z, np.ones(series.n_periods), x, logged)


def _of_counts(made: Interrupted, rows: np.ndarray, x: np.ndarray, family: str) -> Before:
    """Counts linearised at their fit (McCullagh and Nelder 1989, section 2.5)."""
    series = made.series
    size = np.ones(series.n_periods) if series.denominator is None else series.denominator
    trials = size[rows] if family in PROPORTIONS else None
    offset = None if family in PROPORTIONS else np.log(size[rows])
    law = "quasi-binomial" if family in PROPORTIONS else "quasi-poisson"
    fit: SeriesFit = fit_series(series.y[rows], x[rows], law, offset=offset, trials=trials)  # type: ignore[arg-type]
    if not fit.converged:
        raise ValueError("there are too few events before the start")
    own = fit.linear - (0.0 if offset is None else offset)
    z = own + fit.residuals / np.maximum(fit.weights, 1e-300)
    with np.errstate(over="ignore"):
        mean = np.exp(np.minimum(x @ fit.coefficients, 50.0))
    known = np.where(np.isfinite(size) & (size > 0), size, np.nanmean(size[rows]))
    share = mean / (1 + mean) ** 2 if family in PROPORTIONS else mean
    return Before(series.at, rows, z, np.sqrt(known * share), x, True)


def plain_columns(design: Any, made: Interrupted) -> np.ndarray:
    """Constant, straight line and season in all periods (T, k); the season as far as the values before the
    start can carry it."""
    at = made.series.at
    columns = [np.ones(len(at)), (at - at.mean()) / max(len(at), 1)]
    if design.seasonality == "none" or made.season is None:
        return np.column_stack(columns)
    position = made.series.position(made.season)
    pairs = min(design.harmonics, int(made.season // 2))
    if design.seasonality == "one per season" and made.season == round(made.season):
        season = series_terms.one_per_position(position)
    elif design.seasonality == "spline":
        season = series_terms.cyclic_spline(position, made.season, design.season_df)
    else:
        season = series_terms.harmonics(position, made.season, pairs)
    if season.shape[1] + 4 > int(made.before.sum()):
        season = series_terms.harmonics(position, made.season, 1)
    return np.column_stack([*columns, season])
