"""Fitting: from a parsed series to coefficients, the expected course, and the effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.interrupted import FittedSeries, Interrupted
from qieval.methods.interrupted_time_series.design import COUNTS, PROPORTIONS, InterruptedTimeSeries
from qieval.methods.interrupted_time_series.effects import Change, from_effects, from_path, quantile
from qieval.methods.interrupted_time_series.errors import Inferred, inferred
from qieval.methods.interrupted_time_series.problem import Problem, family_of, problem
from qieval.methods.interrupted_time_series.terms import while_it_lasts
from qieval.methods.interrupted_time_series.wandering import forecasted, wandering
from qieval.numerics.series_regression_effects import Contrast, contrast_effects
from qieval.numerics.series_regression_families import inverse_link


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """A fitted series and the effect that follows from it."""

    fitted: FittedSeries
    change: Change


def answer(design: InterruptedTimeSeries, made: Interrupted) -> Answer:
    """Fit the model of the design to a parsed series."""
    counts = family_of(design, made)[0] in COUNTS + PROPORTIONS
    if design.change == "any":
        fitted, change = forecasted_counts(design, made) if counts else forecasted(design, made)
        return Answer(fitted=fitted, change=change)
    if design.model == "segmented regression":
        return segmented(design, made)
    fitted, change = wandering(design, made)
    return Answer(fitted=fitted, change=change)


def segmented(design: InterruptedTimeSeries, made: Interrupted) -> Answer:
    """A segmented regression: a fixed trend and season, and a change of stated form."""
    everything = problem(design, made)
    held = everything.used()
    found = inferred(design, made, held)
    own = everything.where(everything.own)
    t = quantile(design.level, float(found.df.min()))
    after = made.after & while_it_lasts(design, made)
    rows = own.where(after)
    contrast = Contrast(
        factual=rows.x,
        counterfactual=rows.without,
        link=own.link,
        offset=rows.offset,
        weight=rows.trials,
    )
    change = from_effects(
        contrast_effects(found.coefficients, found.covariance, contrast),
        np.flatnonzero(after),
        rows.size,
        found.df_along((rows.x - rows.without).sum(axis=0)),
        ratios=own.link != "identity",
    )
    return Answer(fitted=_segmented_fit(made, everything, held, found, t, contrast), change=change)


def _segmented_fit(
    made: Interrupted,
    everything: Problem,
    held: Problem,
    found: Inferred,
    t: float,
    contrast: Contrast | None = None,
) -> FittedSeries:
    own = everything.where(everything.own)
    observed, fitted, expected, low, high = _course(own, found.coefficients, found.covariance, t)
    return FittedSeries(
        made=made,
        names=own.names,
        coefficients=found.coefficients,
        covariance=found.covariance,
        df=found.df,
        change=own.change,
        x=own.x,
        without=own.without,
        link=own.link,
        family=own.family,
        why=own.why,
        observed=observed,
        fitted=fitted,
        expected=expected,
        low=low,
        high=high,
        residuals=found.residuals,
        innovations=found.innovations,
        at=held.at,
        errors=found.words,
        reasons=found.reasons,
        dispersion=found.dispersion,
        log_likelihood=found.log_likelihood,
        aic=found.aic,
        more={"contrast": contrast, "problem": held, "base": found.base, "phi": found.phi},
    )


def forecasted_counts(design: InterruptedTimeSeries, made: Interrupted) -> tuple[FittedSeries, Change]:
    """Counts after the start less a forecast by the regression of the time before it.

    The error of the forecast is that of the coefficients and the scatter of the counts themselves, which are
    taken as independent given the regression.
    """
    everything = problem(design, made)
    held = everything.where(everything.keep & (everything.code < made.first.begins))
    found = inferred(design, made, held)
    t = quantile(design.level, float(found.df.min()))
    rows = everything.where(made.after)
    if not rows.y.any():
        raise EstimationError(
            "outcome: all values after the start are zero, so the change has no finite ratio. Use longer"
            " periods, such as quarters, or family='gaussian'."
        )
    top = 1.0 if rows.trials is None else rows.trials
    offset = 0.0 if rows.offset is None else rows.offset
    mean = top * inverse_link(offset + rows.x @ found.coefficients, everything.link)
    slope = mean * (1 - mean / top) if everything.link == "logit" else mean
    gradient = slope[:, None] * rows.x
    scatter = np.diag(_variance(found, mean, slope))
    covariance = gradient @ found.covariance @ gradient.T + scatter
    shared = {
        "code": np.flatnonzero(made.after),
        "size": rows.size,
        "df": float(found.df.min()),
        "ratios": True,
    }
    change = from_path(rows.y, mean, covariance, shared)
    described = _segmented_fit(made, everything, held, found, t)
    expected, low, high = described.expected.copy(), described.low.copy(), described.high.copy()
    error = np.sqrt(covariance.diagonal())
    low[made.after] = np.maximum(mean - t * error, 0.0) / rows.size
    high[made.after] = (mean + t * error) / rows.size
    words = f"forecast from before; {found.words}"
    return replace(described, expected=expected, low=low, high=high, errors=words), change


def _variance(found: Inferred, mean: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The scatter of counts around their mean (m,)."""
    if found.base.family == "negative binomial":
        return mean + mean**2 / found.base.theta
    return found.dispersion * slope


def _course(
    own: Problem, coefficients: np.ndarray, covariance: np.ndarray, t: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observed, fitted and expected values with the interval of the latter, in units as they are shown."""
    offset = 0.0 if own.offset is None else own.offset
    top = 1.0 if own.trials is None else own.trials

    def shown(linear: np.ndarray) -> np.ndarray:
        values: np.ndarray = top * inverse_link(linear, own.link) / own.size
        return values

    without = offset + own.without @ coefficients
    error = np.sqrt(np.maximum(((own.without @ covariance) * own.without).sum(axis=1), 0.0))
    logged = own.family == "gaussian" and own.link == "log"
    observed = np.exp(own.y) if logged else own.y / own.size
    return (
        observed,
        shown(offset + own.x @ coefficients),
        shown(without),
        shown(without - t * error),
        shown(without + t * error),
    )
