"""The search for the date of the change that was not told the date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.series_rows import TIMING, fitted, periods_away
from qieval.errors import QievalError
from qieval.interrupted import FittedSeries
from qieval.numerics.series_gls import gls_ar
from qieval.numerics.series_regression import fit_series
from qieval.progress import progress
from qieval.result import Study
from qieval.text import number, plural

NAME = "change-point search"
LEAST = 6
"""Periods on each side of a date, where there are enough; never fewer than three."""
DROP = 7.35
"""Dates whose criterion lies within that many dispersions of the best fit about as well: -2 log(1 -
sqrt(0.95)), the 95% limit of the likelihood ratio of a date that is searched for (Hansen 2000)."""


@dataclass(frozen=True, eq=False)
class Fit:
    """How well the model fits with its change at one date: the smaller the criterion the better.

    dispersion: the unit in which differences of the criterion count; estimate: the first coefficient of the
    change.
    """

    criterion: float
    dispersion: float
    estimate: float


def change_point_search(study: Study) -> Check:
    """The fit of the same model with its change at every possible date, the stated one among them.

    The rows are those of the fit; models whose level wanders are stood in for by a regression with AR(1)
    errors. The criterion is the deviance (the sum of squares of amounts), or minus
    twice the log-likelihood where the errors are autoregressive or the family is negative binomial. Dates
    that fit about as well lie within 7.35 dispersions of the best (Hansen 2000); where errors hang together
    in a way that the criterion does not know, more dates do.
    """
    try:
        kernel = _regression(study)
    except QievalError as cause:
        text = f"Other dates could not be tried: {cause}"
        return Check(name=NAME, assumption=TIMING, verdict="information", text=text)
    codes = _admissible(study, kernel)
    phi: Any = fitted(study).more.get("phi", ())
    order = len(phi) if study.design.model == "segmented regression" else 1
    fits: dict[int, Fit] = {}
    for code in progress(codes, NAME):
        fit = _fit(kernel, int(code) - kernel.made.start, order)
        if fit is not None:
            fits[int(code)] = fit
    if kernel.made.start not in fits or len(fits) < 2:
        text = "No other date could be tried, so the stated one cannot be compared."
        return Check(name=NAME, assumption=TIMING, verdict="information", text=text)
    return _compared(kernel, fits)


def _regression(study: Study) -> FittedSeries:
    """The segmented regression whose change is moved: that of the result where it is one."""
    design = study.design
    if design.model == "segmented regression" and design.change != "any":
        return fitted(study)
    plain: dict[str, Any] = {"model": "segmented regression", "inference": "independent errors"}
    if design.change == "any":
        plain["change"] = "level and slope"
    kernel: FittedSeries = study.refit(replace(design, **plain), study.frame).kernel
    return kernel


def _admissible(study: Study, kernel: FittedSeries) -> np.ndarray:
    """Codes of periods with enough of the used periods before and after them."""
    made, design = kernel.made, study.design
    used = np.flatnonzero(made.used)
    least = LEAST if len(used) >= 4 * LEAST else 3
    settle = int(design.lag) + int(design.phase_in)
    codes = used[least : max(len(used) - least - settle + 1, least)]
    later = [item.start for item in made.interruptions[1:]]
    codes = codes[codes < min(later)] if later else codes
    return np.union1d(codes, [made.start])


def _fit(kernel: FittedSeries, by: int, order: int) -> Fit | None:
    """The model with its change moved by some periods; None where it cannot be fitted."""
    held: Any = kernel.more["problem"]
    x = moved(kernel, by)
    column = int(np.flatnonzero(kernel.change)[0])
    try:
        if order and held.family == "gaussian":
            errors = gls_ar(held.y, x, held.at, order, "ML")
            return Fit(-2 * errors.log_likelihood, 1.0, float(errors.coefficients[column]))
        found = fit_series(held.y, x, held.family, offset=held.offset, trials=held.trials)
    except ValueError:
        return None
    if not found.converged:
        return None
    estimate = float(found.coefficients[column])
    if held.family == "negative binomial":
        return Fit(-2 * found.log_likelihood, 1.0, estimate)
    left = len(held.y) - x.shape[1]
    return Fit(found.deviance, float((found.pearson**2).sum()) / left, estimate)


def moved(kernel: FittedSeries, by: int) -> np.ndarray:
    """The regressors of the fit (n, k) with those of the first interruption `by` periods later."""
    held: Any = kernel.more["problem"]
    later = tuple(item.words for item in kernel.made.interruptions[1:])
    x = held.x.copy()
    for column, name in enumerate(kernel.names):
        both = name.endswith(" in both")
        if not (kernel.change[column] or both) or name.removesuffix(" in both").endswith(later):
            continue
        values = _shifted(kernel.x[:, column], by)[held.code]
        x[:, column] = values if both else np.where(held.own, values, 0.0)
    found: np.ndarray = x
    return found


def _shifted(column: np.ndarray, by: int) -> np.ndarray:
    """A regressor of a change (T,) `by` periods later: zero before, carried on as it ended (a line, or
    fading)."""
    at = np.arange(len(column)) - by
    found = np.where(at >= 0, column[np.clip(at, 0, len(column) - 1)], 0.0)
    beyond = np.maximum(at - (len(column) - 1), 0)
    last, previous = float(column[-1]), float(column[-2])
    if 0 < last < previous:
        return np.where(beyond > 0, last * (last / previous) ** beyond, found)
    return found + beyond * (last - previous)


def _compared(kernel: FittedSeries, fits: dict[int, Fit]) -> Check:
    start, shown = kernel.made.start, kernel.made.series.shown()
    codes = np.array(sorted(fits))
    criterion = np.array([fits[int(code)].criterion for code in codes])
    best = int(codes[criterion.argmin()])
    alike = codes[criterion <= criterion.min() + DROP * fits[best].dispersion]
    fits_too = start in alike
    digits = 4 if abs(criterion.min()) < 1000 else 5
    text = f"Of {plural(len(codes), 'date')}, a change at {shown[best]} fits best"
    text += (
        ", which is the stated start."
        if best == start
        else f", {periods_away(kernel.made, best)} (criterion {number(fits[best].criterion, digits)} against"
        f" {number(fits[start].criterion, digits)} at the stated start)."
    )
    if len(alike) > 1:
        text += (
            f" {plural(len(alike), 'date')} from {shown[int(alike[0])]} to {shown[int(alike[-1])]} fit about"
            " as well."
        )
    if not fits_too:
        text += (
            " The stated start is not among them: the series moved at another time. Look for what happened"
            " then."
        )
    elif best != start:
        text += " The stated start is among them: the series by itself does not date the change exactly."
    return Check(
        name=NAME,
        assumption=TIMING,
        verdict="supports" if best == start else "information" if fits_too else "concern",
        text=text,
        table=_table(kernel, fits, best),
        picture="change point",
    )


def _table(kernel: FittedSeries, fits: dict[int, Fit], best: int) -> pd.DataFrame:
    start, shown = kernel.made.start, kernel.made.series.shown()
    name = kernel.names[int(np.flatnonzero(kernel.change)[0])]
    ratio = kernel.link != "identity"
    marks = {start: "stated start", best: "fits best"}
    if best == start:
        marks = {start: "stated start, fits best"}
    return pd.DataFrame(
        [
            {
                "label": shown[code],
                "at": code - start,
                "criterion": fit.criterion,
                "dispersion": fit.dispersion,
                "term": f"{name} ratio" if ratio else name,
                "estimate": float(np.exp(fit.estimate)) if ratio else fit.estimate,
                "which": marks.get(code, ""),
            }
            for code, fit in sorted(fits.items())
        ]
    )
