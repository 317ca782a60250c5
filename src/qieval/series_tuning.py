"""Settling the model of one series before any outcome from the start on is read: how trend and season fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.interrupted import Interrupted
from qieval.methods.interrupted_time_series.design import InterruptedTimeSeries
from qieval.methods.interrupted_time_series.errors import Inferred, inferred
from qieval.methods.interrupted_time_series.problem import Problem, problem
from qieval.methods.interrupted_time_series.terms import Terms, blind, terms
from qieval.numerics.residual_tests import acf, ljung_box
from qieval.numerics.series_regression_families import inverse_link
from qieval.text import number, plural

SMALL_P = 0.05
MOST_LAGS = 24
SHORTEST = 8
"""With fewer residuals autocorrelations say nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SeriesTrial:
    """How trend and season of a design fit the time before the start. No outcome from the start on was read.

    paths: one row for each period, those from the start on with the course that is expected without the
    intervention: period (text), at (periods from the start), observed and fitted (as shown: rates where there
    is a denominator), used (whether it takes part in the fit), transition (whether it is one of phasing in
    that is left out), residual (as autocorrelation is judged). autocorrelation: lag, value and bound (95%
    limits of independent errors); empty with fewer than 8 values. p_value: of the Ljung-Box test that none is
    left up to a season; NaN where it cannot be made. errors: how uncertainty would be found, family: what the
    outcome is taken for.
    """

    design: InterruptedTimeSeries
    paths: pd.DataFrame
    autocorrelation: pd.DataFrame
    p_value: float
    family: str
    errors: str
    dispersion: float
    before: int
    after: int
    rhythm: str
    notes: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether the Ljung-Box test finds nothing left in the residuals."""
        return not self.p_value < SMALL_P

    def __repr__(self) -> str:
        return (
            f"{plural(self.before, self.rhythm)} before the start, {plural(self.after, self.rhythm)} after;"
            f" {self.family}; Ljung-Box p {number(self.p_value, 2)}"
        )


class SeriesTuning:
    """One series of which settings are tried one after the other.

    `try_` gives the SeriesTrial of a design with some fields changed; `trial` that of a whole design. Errors
    are those of `design_checks`: DesignError, DataError, EstimationError. ARIMA and structural models are
    tried as regressions: what the trial is about, trend and season, is the same.
    """

    def __init__(self, design: InterruptedTimeSeries, frame: pd.DataFrame) -> None:
        self.design = design
        self._frame = frame

    def try_(self, **changes: Any) -> SeriesTrial:
        """The trial of the design with some fields changed; the design itself stays."""
        return self.trial(replace(self.design, **changes))

    def trial(self, design: InterruptedTimeSeries) -> SeriesTrial:
        """The trial of a design."""
        made = blind(design, self._frame)
        everything = problem(design, made, _without_change(terms(design, made)))
        held = everything.used()
        found = inferred(design, made, held)
        table, p_value = _left(found, held, made.season)
        there = ~made.series.left_out & ~made.transition
        return SeriesTrial(
            design=design,
            paths=_paths(made, everything, found),
            autocorrelation=table,
            p_value=p_value,
            family=everything.family,
            errors=found.words,
            dispersion=found.dispersion,
            before=int(made.before.sum()),
            after=int(there[made.first.settled :].sum()),
            rhythm=made.series.rhythm,
            notes=made.notes,
        )


def _without_change(found: Terms) -> Terms:
    """Trend, season and covariates alone."""
    kept = ~found.change
    names = tuple(name for name, held in zip(found.names, kept, strict=True) if held)
    return Terms(x=found.x[:, kept], names=names, change=found.change[kept])


def _paths(made: Interrupted, everything: Problem, found: Inferred) -> pd.DataFrame:
    """Observed and fitted values of the series in question by period."""
    own = everything.where(everything.own)
    offset = 0.0 if own.offset is None else own.offset
    top = 1.0 if own.trials is None else own.trials
    linear = offset + own.x @ found.coefficients
    logged = own.family == "gaussian" and own.link == "log"
    residual = np.full(made.series.n_periods, np.nan)
    mine = everything.own[everything.keep]
    residual[everything.code[everything.keep][mine]] = found.innovations[mine]
    return pd.DataFrame(
        {
            "period": made.series.shown(),
            "at": made.series.at - made.start,
            "observed": np.exp(own.y) if logged else own.y / own.size,
            "fitted": top * inverse_link(linear, own.link) / own.size,
            "used": ~made.series.left_out & ~made.transition,
            "transition": made.transition,
            "residual": residual,
        }
    )


def _left(found: Inferred, held: Problem, season: float | None) -> tuple[pd.DataFrame, float]:
    """The autocorrelation of what is left once trend, season and the model of the errors are taken out."""
    mine = held.own
    residuals, at = found.innovations[mine], held.at[mine]
    empty = pd.DataFrame({"lag": [], "value": [], "bound": []})
    if len(residuals) < SHORTEST or np.ptp(residuals) == 0:
        return empty, float("nan")
    lags = int(min(max(season or 10, 10), len(residuals) // 2, MOST_LAGS))
    parameters = len(found.phi)
    bound = 1.96 / np.sqrt(len(residuals))
    table = pd.DataFrame(
        {"lag": np.arange(1, lags + 1), "value": acf(residuals, at, lags), "bound": np.full(lags, bound)}
    )
    return table, float(ljung_box(residuals, at, lags, parameters).p_value) if lags > parameters else np.nan
