"""Models whose level moves by itself (ARIMA, structural), and forecasts from before the intervention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qieval.errors import EstimationError
from qieval.interrupted import FittedSeries, Interrupted
from qieval.methods.interrupted_time_series.design import InterruptedTimeSeries
from qieval.methods.interrupted_time_series.effects import Change, from_effects, from_path, quantile, shifted
from qieval.methods.interrupted_time_series.problem import Problem, problem
from qieval.methods.interrupted_time_series.terms import Terms, terms, while_it_lasts
from qieval.numerics.evidence_averaging import averaged_forecast
from qieval.numerics.series_arima import ArimaFit, fit_arima
from qieval.numerics.series_arima_choice import choose_arima
from qieval.numerics.series_arma import Order
from qieval.numerics.series_forecast import Forecast, forecast_without
from qieval.numerics.series_structural import StructuralFit, Structure, fit_structural

FEWEST_FOR_SEASON = 2.5
"""A moving season needs about that many seasons before the start."""


def order_of(design: InterruptedTimeSeries, made: Interrupted) -> Order | None:
    """The stated ARIMA order; None when it is to be chosen."""
    said = design.arima.replace("X", "x").strip()
    if not said:
        return None
    plain, _, seasonal = said.partition("x")
    p, d, q = (int(part) for part in plain.split(","))
    if not seasonal.strip():
        return Order(p, d, q)
    if made.season is None:
        raise EstimationError(
            "arima: the order has a seasonal part, but the time column does not say how long a season is."
            " Give season_length."
        )
    sp, sd, sq = (int(part) for part in seasonal.split(","))
    return Order(p, d, q, sp, sd, sq, round(made.season))


def regressors(design: InterruptedTimeSeries, made: Interrupted, drop: tuple[str, ...]) -> Terms:
    """The regressors without those whose names begin with one of `drop` (the model itself moves so)."""
    found = terms(design, made)
    keep = np.array([not name.startswith(drop) for name in found.names], dtype=bool)
    names = tuple(name for name, kept in zip(found.names, keep, strict=True) if kept)
    return Terms(x=found.x[:, keep], names=names, change=found.change[keep])


def dropped(design: InterruptedTimeSeries, order: Order) -> tuple[str, ...]:
    """What differencing takes out: the constant, a trend beyond a drift, a fixed season."""
    times = order.d + order.seasonal_d
    out: tuple[str, ...] = ("constant",) if times else ()
    if times > 1:
        out += ("trend",)
    return (*out, "season") if order.seasonal_d else out


def structure_of(design: InterruptedTimeSeries, made: Interrupted) -> Structure:
    """The components of the structural model."""
    level = design.level_moves
    moving = design.season_moves == "moves"
    length = made.season or 0.0
    whole = bool(length) and length == round(length)
    if design.seasonality in ("none", "spline") or not whole:
        return Structure(level=level)  # type: ignore[arg-type]
    if design.seasonality == "one per season":
        return Structure(level=level, season=round(length), season_changes=moving)  # type: ignore[arg-type]
    return Structure(
        level=level,  # type: ignore[arg-type]
        season=round(length),
        season_form="harmonic",
        season_changes=moving,
        harmonics=min(design.harmonics, round(length) // 2),
    )


def structural_drop(design: InterruptedTimeSeries, structure: Structure) -> tuple[str, ...]:
    """What the components of the model stand for already."""
    out: tuple[str, ...] = ("constant",)
    if structure.level in ("local linear trend", "smooth trend"):
        out += ("trend",)
    return (*out, "season") if structure.season else out


def wandering(design: InterruptedTimeSeries, made: Interrupted) -> tuple[FittedSeries, Change]:
    """An ARIMA or structural model of the whole series, with the change as a regressor."""
    whole, fit, words, names = _whole_model(design, made)
    if not np.isfinite(fit.covariance).all():
        raise EstimationError(
            f"model: {words} gives no standard errors ({fit.problem}). Choose a simpler order or season."
        )
    change = np.flatnonzero(whole.change)
    df = np.inf
    if design.small_sample == "corrected":
        df = float(max(fit.n_used - len(names) - _shape_parameters(fit), 1))
    after = made.after & while_it_lasts(design, made)
    effects = shifted(
        whole.y[after],
        whole.x[np.ix_(after, change)],
        fit.coefficients[change],
        fit.covariance[np.ix_(change, change)],
        whole.link,
    )
    found = from_effects(
        effects, np.flatnonzero(after), whole.size[after], df, ratios=whole.link != "identity"
    )
    base = _described(design, made, whole, words, fit)
    reach = quantile(design.level, df)
    at_after = np.flatnonzero(after)
    expected, low, high = (np.full(made.series.n_periods, np.nan) for _ in range(3))
    expected[at_after] = effects.by_period.counterfactual.value
    error = effects.by_period.counterfactual.error
    low[at_after], high[at_after] = expected[at_after] - reach * error, expected[at_after] + reach * error
    fitted = replace(
        base,
        names=names,
        coefficients=fit.coefficients,
        covariance=fit.covariance,
        df=np.full(len(names), df),
        change=whole.change,
        x=whole.x,
        without=whole.without,
        expected=expected,
        low=low,
        high=high,
    )
    return fitted, found


def forecasted(design: InterruptedTimeSeries, made: Interrupted) -> tuple[FittedSeries, Change]:
    """What was observed after the start less a forecast from before it: a change of any form."""
    if weighed(design):
        return _averaged(design, made)
    model, found, words = _forecast_model(design, made)
    whole = problem(design, made, found)
    before = made.first.begins
    y = np.where(made.used, whole.y, np.nan)
    try:
        known = np.where(whole.keep[:, None], whole.x, np.nan_to_num(whole.x))
        path = forecast_without(y, before, known, model, design.level)
    except ValueError as cause:
        raise EstimationError(
            f"model: no forecast can be made from before the start ({cause}). Use a simpler model, or a"
            " stated form of the change."
        ) from cause
    return _from_forecast(design, made, whole, path, words)


def weighed(design: InterruptedTimeSeries) -> bool:
    """Whether control series are weighed by the evidence that they help, as CausalImpact does."""
    return (
        design.model == "structural time series"
        and design.change == "any"
        and bool(design.controls)
        and design.controlled_by == "regressors"
        and design.weigh_controls == "by evidence"
    )


def _averaged(design: InterruptedTimeSeries, made: Interrupted) -> tuple[FittedSeries, Change]:
    """A forecast averaged over subsets of the control series (Brodersen et al. 2015)."""
    if design.level_moves != "local level":
        raise EstimationError(
            "weigh_controls: control series are weighed by evidence beside a local level only. Set"
            " level_moves='local level', or weigh_controls='all alike'."
        )
    whole = problem(design, made, regressors(design, made, ("constant",)))
    many = len(design.controls)
    before = made.first.begins
    y = np.where(whole.keep, whole.y, np.nan)
    try:
        found = averaged_forecast(y, before, whole.x[:, -many:], whole.x[:, :-many], level=design.level)
    except ValueError as cause:
        raise EstimationError(
            f"controls: no forecast can be made from them ({cause}). Choose other control series."
        ) from cause
    fitted, change = _from_forecast(
        design,
        made,
        whole,
        found.forecast,
        "forecast by a local level and controls weighed by evidence",
    )
    shares = dict(zip(design.controls, found.inclusion.tolist(), strict=True))
    return replace(fitted, more={**fitted.more, "inclusion": shares}), change


def _from_forecast(
    design: InterruptedTimeSeries, made: Interrupted, whole: Problem, path: Forecast, words: str
) -> tuple[FittedSeries, Change]:
    first = made.first.begins
    rows = np.flatnonzero(made.after)
    there = rows - first
    mean, covariance = path.mean[there], path.covariance[np.ix_(there, there)]
    logged = whole.link == "log"
    observed = whole.y[rows]
    if logged:
        observed, mean = np.exp(observed), np.exp(mean)
        covariance = covariance * np.outer(mean, mean)
    shared = {"code": rows, "size": whole.size[rows], "df": path.df, "ratios": logged}
    change = from_path(observed, mean, covariance, shared)
    expected, low, high = (np.full(made.series.n_periods, np.nan) for _ in range(3))
    turn = np.exp if logged else np.asarray
    expected[first:], low[first:], high[first:] = turn(path.mean), turn(path.lower), turn(path.upper)
    base = _described(design, made, whole, words, path.model)
    return replace(base, expected=expected, low=low, high=high), change


def _whole_model(
    design: InterruptedTimeSeries, made: Interrupted
) -> tuple[Problem, ArimaFit | StructuralFit, str, tuple[str, ...]]:
    """The fitted model of the whole series: its rows, the fit, its name in words, its regressors."""
    if design.model == "structural time series":
        structure = structure_of(design, made)
        whole = problem(design, made, regressors(design, made, structural_drop(design, structure)))
        y = np.where(whole.keep, whole.y, np.nan)
        fit: ArimaFit | StructuralFit = _tried(lambda: fit_structural(y, whole.x, structure), design)
        return whole, fit, f"structural time series with a {structure.level}", whole.names
    order = order_of(design, made) or _chosen(design, made)
    whole = problem(design, made, regressors(design, made, dropped(design, order)))
    y = np.where(whole.keep, whole.y, np.nan)
    stated = (order.p, order.d, order.q)
    seasonal = (order.seasonal_p, order.seasonal_d, order.seasonal_q, order.season)
    fit = _tried(lambda: fit_arima(y, whole.x, stated, seasonal), design)
    return whole, fit, arima_words(order), whole.names


def _forecast_model(design: InterruptedTimeSeries, made: Interrupted) -> tuple[Order | Structure, Terms, str]:
    if design.model == "structural time series":
        structure = structure_of(design, made)
        found = regressors(design, made, structural_drop(design, structure))
        return structure, found, f"forecast by a structural time series with a {structure.level}"
    if design.model == "ARIMA":
        order = order_of(design, made) or _chosen(design, made)
    else:
        order = Order(0 if design.inference == "independent errors" else design.ar_order)
    return order, regressors(design, made, dropped(design, order)), f"forecast by {arima_words(order)}"


def arima_words(order: Order) -> str:
    """The order in words.

    >>> arima_words(Order(1, 0, 1, 0, 1, 1, 12))
    'ARIMA(1,0,1)(0,1,1)[12]'
    """
    words = f"ARIMA({order.p},{order.d},{order.q})"
    seasonal = (order.seasonal_p, order.seasonal_d, order.seasonal_q)
    return words + (f"({','.join(map(str, seasonal))})[{order.season}]" if any(seasonal) else "")


def _tried(fit: object, design: InterruptedTimeSeries) -> ArimaFit | StructuralFit:
    try:
        found: ArimaFit | StructuralFit = fit()  # type: ignore[operator]
    except ValueError as cause:
        raise EstimationError(
            f"model: the {design.model} model cannot be fitted ({cause}). Use a simpler one, or a segmented"
            " regression."
        ) from cause
    if not found.converged and not np.isfinite(found.coefficients).all():
        raise EstimationError(f"model: the {design.model} model did not settle ({found.problem}).")
    return found


def _chosen(design: InterruptedTimeSeries, made: Interrupted) -> Order:
    """The order with the smallest AICc on the time before the start, which no effect can bend."""
    before = made.first.begins
    plain = replace(design, change="any", further_starts=(), phase_in=0)
    found = regressors(plain, made, ("constant",))
    whole = problem(plain, made)
    y = np.where(whole.keep, whole.y, np.nan)[:before]
    season = 0 if made.season is None or design.seasonality == "none" else round(made.season)
    differences = None if design.trend == "none" else (0, 0)
    try:
        return choose_arima(y, found.x[:before], season, differences).order
    except ValueError as cause:
        raise EstimationError(
            f"arima: no order can be chosen from the time before the start ({cause}). State one, such as"
            " '1,0,0'."
        ) from cause


def _shape_parameters(fit: ArimaFit | StructuralFit) -> int:
    return sum(fit.order.counts) if isinstance(fit, ArimaFit) else len(fit.components) - 1


def _described(
    design: InterruptedTimeSeries,
    made: Interrupted,
    whole: Problem,
    words: str,
    fit: ArimaFit | StructuralFit | None,
) -> FittedSeries:
    """What is known of a fit beside its coefficients and the course without the intervention."""
    periods = made.series.n_periods
    nothing = np.full(periods, np.nan)
    kept = np.flatnonzero(whole.keep)
    innovations = np.full(0, np.nan)
    at = kept[:0]
    if fit is not None:
        there = np.flatnonzero(np.isfinite(fit.residuals))
        innovations, at = fit.residuals[there], there
    observed = np.exp(whole.y) if whole.link == "log" else whole.y / whole.size
    return FittedSeries(
        made=made,
        names=(),
        coefficients=np.empty(0),
        covariance=np.empty((0, 0)),
        df=np.empty(0),
        change=np.empty(0, dtype=bool),
        x=np.empty((periods, 0)),
        without=np.empty((periods, 0)),
        link=whole.link,
        family=whole.family,
        why=whole.why,
        observed=observed,
        fitted=nothing,
        expected=nothing,
        low=nothing,
        high=nothing,
        residuals=innovations,
        innovations=innovations,
        at=at,
        errors=words,
        reasons=(),
        dispersion=np.nan,
        log_likelihood=np.nan if fit is None else fit.log_likelihood,
        aic=np.nan if fit is None else fit.aic,
        more={"problem": whole.used(), "fit": fit},
    )
