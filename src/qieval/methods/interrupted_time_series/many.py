"""The same interrupted series in many places at once: one model, thousands of series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.interrupted import Interrupted
from qieval.methods.interrupted_time_series import terms as regressors
from qieval.methods.interrupted_time_series.design import COUNTS, PROPORTIONS, InterruptedTimeSeries
from qieval.methods.interrupted_time_series.problem import family_of, link_of
from qieval.numerics.series_regression_many import ManyFits, fit_many
from qieval.places import amounts, by_place, require_times

FAILED = "no estimate: too few values, or no events on one side of the interruption"


def can_share(design: InterruptedTimeSeries) -> bool:
    """Whether all places have the same regressors, so that they can be fitted together.

    Errors are then those of each regression itself: `inference` must be 'independent errors'.
    """
    return (
        design.model == "segmented regression"
        and design.change != "any"
        and design.inference == "independent errors"
        and design.family != "negative binomial"
        and design.scale == "as measured"
        and not (design.covariates or design.controls)
        and design.days_in_period != "as exposure"
    )


def many(design: InterruptedTimeSeries, frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """One row per place and coefficient of the change: place, term, estimate, std_error, conf_low, conf_high,
    p_value, periods, note.

    frame: one row per place and period; places may lack periods. DataError as for one series, with the sums
    over all places standing for the series. A place whose own values do not fit has a note and no estimate.
    """
    require_times(design, frame)
    plain = replace(design, composition=(), control_outcomes=())
    moment = frame[design.time]
    held = {name: amounts(frame, name) for name in (design.outcome, design.denominator)}
    summed = pd.DataFrame({name: values for name, values in held.items() if name is not None})
    together = summed.set_index(frame.index).groupby(moment, sort=True).sum(min_count=1).reset_index()
    made = regressors.parse(plain, together)
    calendar = np.full(len(together), -1)
    there = made.series.row >= 0
    calendar[made.series.row[there]] = np.flatnonzero(there)
    period = calendar[pd.factorize(moment, sort=True)[0]]
    places = by_place(design, frame, by, period, made.series.n_periods)
    y, bottom = (places.table(values) for values in held.values())
    family = family_of(plain, made)[0]
    y = np.where(made.used, y, np.nan)
    notes = _reasons(plain, made, y, bottom, family)
    y = np.where((bottom > 0) & (notes == "")[:, None], y, np.nan)
    if family == "gaussian" and design.denominator is not None:
        y = y / bottom * design.per
    found = regressors.terms(plain, made)
    safe = np.where(bottom > 0, bottom, 1.0)
    fits = fit_many(
        y,
        found.x,
        family,  # type: ignore[arg-type]
        offset=np.log(safe) if family in COUNTS and design.denominator is not None else None,
        trials=safe if family in PROPORTIONS else None,
    )
    notes = np.where((notes == "") & ~fits.converged, FAILED, notes)
    labelled = _table(plain, found, fits, places.names, link_of(plain, family), by)
    return labelled.assign(note=labelled[by].map(dict(zip(places.names, notes, strict=True))))


def _reasons(
    design: InterruptedTimeSeries, made: Interrupted, y: np.ndarray, bottom: np.ndarray, family: str
) -> np.ndarray:
    """Why places cannot be estimated (s,), empty where nothing is in the way; the first reason counts."""
    known = np.isfinite(y)
    counted = family in COUNTS + PROPORTIONS
    whole = family == "poisson" or family in PROPORTIONS
    fewest = 1 if design.change in ("level", "pulse") else regressors.FEWEST_AFTER
    rate = np.divide(y, bottom, out=np.full(y.shape, np.nan), where=known & (bottom > 0))
    flat = np.where(np.isnan(rate), -np.inf, rate).max(axis=1) == np.where(np.isnan(rate), np.inf, rate).min(
        axis=1
    )
    reasons = {
        "denominators are missing": (np.isnan(bottom) & known).any(axis=1) & (design.missing == "refuse"),
        "denominators of zero or less": ((bottom <= 0) & known).any(axis=1),
        "negative counts": ((y < 0) & counted).any(axis=1),
        "fractions of events": ((y != np.round(y)) & known & whole).any(axis=1),
        "more events than the denominator": ((y > bottom) & (family in PROPORTIONS)).any(axis=1),
        "too few values before the start": (known & made.before).sum(axis=1) < regressors.FEWEST_AFTER,
        "too few values after the start": (known & made.after).sum(axis=1) < fewest,
        "no events in any period": (np.where(known, y, 0.0) == 0).all(axis=1) & counted,
        "the same value in every period": flat & (family not in ("poisson", "binomial")),
    }
    found = np.full(len(y), "", dtype=object)
    for said, applies in reasons.items():
        found[applies & (found == "")] = f"no estimate: {said}"
    return found


def _table(
    design: InterruptedTimeSeries,
    found: regressors.Terms,
    fits: ManyFits,
    places: Any,
    link: str,
    by: str,
) -> pd.DataFrame:
    suffix = {"log": " ratio", "logit": " odds ratio", "identity": ""}[link]
    tail = (1 + design.level) / 2
    reach = np.where(
        np.isinf(fits.df), scipy.special.ndtri(tail), scipy.special.stdtrit(np.minimum(fits.df, 1e9), tail)
    )
    turn = np.exp if suffix else np.asarray
    tables = []
    for column in np.flatnonzero(found.change):
        value, error = fits.coefficients[:, column], fits.std_error[:, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            size = -np.abs(value / error)
        tables.append(
            pd.DataFrame(
                {
                    by: places,
                    "term": found.names[column] + suffix,
                    "estimate": turn(value),
                    "std_error": error,
                    "conf_low": turn(value - reach * error),
                    "conf_high": turn(value + reach * error),
                    "p_value": 2 * scipy.special.stdtr(np.minimum(fits.df, 1e9), size),
                    "periods": fits.n_used,
                }
            )
        )
    return pd.concat(tables, ignore_index=True).sort_values([by, "term"], ignore_index=True)
