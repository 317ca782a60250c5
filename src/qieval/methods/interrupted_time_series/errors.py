"""How uncertainty is found: the choices of inference, and the recommended one with its reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.interrupted import Interrupted
from qieval.methods.interrupted_time_series.design import InterruptedTimeSeries
from qieval.methods.interrupted_time_series.problem import Problem
from qieval.numerics.series_choice import recommended
from qieval.numerics.series_errors import (
    LagRule,
    bandwidth_andrews,
    bandwidth_newey_west,
    hac_small_sample,
    lag_rule,
    newey_west,
)
from qieval.numerics.series_gls import ArFit, gls_ar
from qieval.numerics.series_linearised import linearised, recommended_linearised
from qieval.numerics.series_prais_winsten import prais_winsten
from qieval.numerics.series_regression import SeriesFit, bread, fit_series, score_contributions
from qieval.numerics.series_small_samples import kenward_roger
from qieval.text import number

LONG = 2000
"""Beyond that many values the corrections of Kenward and Roger need gigabytes and change nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Inferred:
    """Coefficients with what is said about their uncertainty.

    coefficients (k,), covariance (k, k), df (k,); residuals and innovations (n,) as in FittedSeries; words:
    how the errors were found, reasons: why, where it was recommended; phi (p,): autoregression of the errors,
    empty where there is none; df_of: degrees of freedom of combinations (m, k) where the method has them.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    df: np.ndarray
    residuals: np.ndarray
    innovations: np.ndarray
    words: str
    reasons: tuple[str, ...]
    dispersion: float
    log_likelihood: float
    aic: float
    phi: np.ndarray
    base: SeriesFit
    df_of: Callable[[np.ndarray], np.ndarray] | None = None

    def df_along(self, direction: np.ndarray) -> float:
        """Degrees of freedom of one combination (k,) of coefficients; the smallest of those involved unless
        known better."""
        if self.df_of is not None:
            return float(self.df_of(direction[None])[0])
        return float(self.df[direction != 0].min(initial=np.inf))


def plain_fit(held: Problem) -> SeriesFit:
    """The regression by maximum (quasi-)likelihood, as if values were independent."""
    try:
        found = fit_series(held.y, held.x, held.family, offset=held.offset, trials=held.trials)  # type: ignore[arg-type]
    except ValueError as cause:
        raise EstimationError(
            f"data: the model cannot be fitted ({cause}). Check the outcome, and leave out regressors that"
            " repeat one another."
        ) from cause
    if found.separated:
        raise EstimationError(
            "outcome: all values are zero"
            + ("" if held.trials is None else ", or all equal to the denominator,")
            + " on one side of the interruption (or in some part of the season), so the change has no finite"
            " ratio. Use longer periods, such as quarters, or family='gaussian'."
        )
    if not found.converged:
        raise EstimationError(
            "data: the iterations of the model did not settle. Use a simpler trend or season."
        )
    return found


def inferred(design: InterruptedTimeSeries, made: Interrupted, held: Problem) -> Inferred:
    """The regression with the errors that the design asks for."""
    base = plain_fit(held)
    if design.inference == "independent errors":
        return independent(held, base)
    if design.inference == "Newey-West":
        return robust(design, made, held, base)
    if design.inference == "recommended":
        return _recommended(design, made, held, base)
    return autoregressive(design, held, base, design.inference)


def _recommended(
    design: InterruptedTimeSeries, made: Interrupted, held: Problem, base: SeriesFit
) -> Inferred:
    """The treatment that keeps its level best in short series, with the reasons from the residuals."""
    if len(held.y) > LONG:
        reason = f"With more than {LONG:,} values the corrections for short series change nothing."
        found_long = autoregressive(
            replace(design, small_sample="uncorrected"), held, base, "AR errors by REML"
        )
        return replace(found_long, reasons=(reason,))
    season = None if design.seasonality == "none" or made.season is None else round(made.season)
    try:
        found = (
            recommended(held.y, held.x, held.at, season)
            if held.family == "gaussian"
            else recommended_linearised(base, held.x, held.at, season)
        )
    except ValueError as cause:
        reason = f"The series is too short or too even to estimate autocorrelation ({cause})."
        return independent(held, base, (reason,))
    small = found.small_sample
    fit = found.fit
    corrected = design.small_sample == "corrected"
    shown = ", ".join(number(value, 2) for value in fit.phi)
    return Inferred(
        coefficients=fit.coefficients,
        covariance=small.covariance if corrected else fit.covariance,
        df=small.df if corrected else fit.df,
        residuals=fit.residuals,
        innovations=fit.innovations,
        words=f"AR errors by REML, autoregression {shown}",
        reasons=found.reasons,
        dispersion=fit.sigma**2,
        log_likelihood=fit.log_likelihood if held.family == "gaussian" else float("nan"),
        aic=float("nan"),
        phi=fit.phi,
        base=base,
        df_of=small.df_of if corrected else None,
    )


def replace_small(design: InterruptedTimeSeries) -> InterruptedTimeSeries:
    """The design without corrections for a short series."""
    return replace(design, small_sample="uncorrected")


def independent(held: Problem, base: SeriesFit, reasons: tuple[str, ...] = ()) -> Inferred:
    """Errors of the regression itself."""
    shown = base.residuals if held.family == "gaussian" else base.deviance_residuals
    words = "errors taken as independent"
    if held.family in ("quasi-poisson", "quasi-binomial"):
        words += f", dispersion {number(base.dispersion)}"
    return Inferred(
        coefficients=base.coefficients,
        covariance=base.covariance,
        df=np.full(len(base.coefficients), base.df),
        residuals=shown,
        innovations=shown,
        words=words,
        reasons=reasons,
        dispersion=base.dispersion,
        log_likelihood=base.log_likelihood,
        aic=base.aic,
        phi=np.empty(0),
        base=base,
    )


def robust(design: InterruptedTimeSeries, made: Interrupted, held: Problem, base: SeriesFit) -> Inferred:
    """Errors by Newey and West (1987) from the scores of the regression."""
    scores = score_contributions(base, held.x)
    lags = _lags(design, made, held, scores)
    correct = design.small_sample == "corrected"
    covariance = newey_west(scores, bread(base), held.at, lags, adjust=correct)
    df = np.full(len(base.coefficients), float(len(held.y) - len(base.coefficients)))
    words = f"Newey-West errors, {number(lags)} lags"
    if correct:
        weighted = np.sqrt(base.weights)[:, None] * held.x
        small = hac_small_sample(weighted, held.at, lags, adjust=True)
        scale = 1 / np.sqrt(small.bias)
        covariance, df = covariance * np.outer(scale, scale), np.asarray(small.df)
    plain = independent(held, base)
    return replace(plain, covariance=covariance, df=df, words=words)


def _lags(design: InterruptedTimeSeries, made: Interrupted, held: Problem, scores: np.ndarray) -> float:
    """How far apart values may still hang together, in periods."""
    if design.lag_rule == "as given":
        return float(design.lags)
    if design.lag_rule == "automatic (Andrews)":
        return max(bandwidth_andrews(scores, held.at) - 1, 0.0)
    if design.lag_rule == "automatic (Newey and West)":
        return float(np.floor(bandwidth_newey_west(scores, held.at)))
    if design.lag_rule == "one season":
        if made.season is None:
            raise EstimationError(
                "lag_rule: the time column does not say how long a season is. Give season_length, or choose"
                " another rule."
            )
        return float(round(made.season))
    rule: LagRule = "cube root" if design.lag_rule == "0.75 n^(1/3)" else "rule of thumb"
    return float(lag_rule(rule, len(held.y)))


def autoregressive(design: InterruptedTimeSeries, held: Problem, base: SeriesFit, kind: str) -> Inferred:
    """Errors that hang on earlier errors: Prais-Winsten, or likelihood, restricted or not."""
    order = 1 if kind == "Prais-Winsten" else design.ar_order
    try:
        y, x = (held.y, held.x) if held.family == "gaussian" else linearised(base, held.x)
        fit = _ar_fit(kind, (y, x, held.at), order)
        small = None
        if kind == "AR errors by REML" and design.small_sample == "corrected":
            small = kenward_roger(fit, x, held.at)
    except ValueError as cause:
        raise EstimationError(
            f"inference: {kind} cannot be used here ({cause}). Choose another inference, such as Newey-West."
        ) from cause
    if not fit.converged:
        raise EstimationError(
            f"inference: {kind} did not settle. Choose another inference, such as Newey-West."
        )
    shown = ", ".join(number(value, 2) for value in fit.phi)
    words = f"{'Prais-Winsten' if order == 1 and kind == 'Prais-Winsten' else kind}, autoregression {shown}"
    return Inferred(
        coefficients=fit.coefficients,
        covariance=fit.covariance if small is None else small.covariance,
        df=fit.df if small is None else small.df,
        residuals=fit.residuals,
        innovations=fit.innovations,
        words=words,
        reasons=(),
        dispersion=fit.sigma**2,
        log_likelihood=fit.log_likelihood if held.family == "gaussian" else float("nan"),
        aic=float("nan"),
        phi=fit.phi,
        base=base,
        df_of=None if small is None else small.df_of,
    )


def _ar_fit(kind: str, rows: tuple[np.ndarray, np.ndarray, np.ndarray], order: int) -> ArFit:
    if kind == "Prais-Winsten":
        return prais_winsten(*rows)
    return gls_ar(*rows, order, "REML" if kind == "AR errors by REML" else "ML")
