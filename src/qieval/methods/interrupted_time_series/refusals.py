"""What the data of an interrupted time series cannot be asked, in words: values and regressors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qieval.errors import DataError, EstimationError
from qieval.interrupted import Interrupted
from qieval.methods.interrupted_time_series.design import COUNTS, PROPORTIONS, InterruptedTimeSeries
from qieval.text import listed, plural

if TYPE_CHECKING:
    from qieval.methods.interrupted_time_series.problem import Problem


def values_fit(design: InterruptedTimeSeries, held: Problem) -> None:
    """DataError where the values cannot be what the family says."""
    counted = held.family in COUNTS + PROPORTIONS
    if counted and not held.y[held.own].any():
        raise DataError(
            f"outcome: '{design.outcome}' is zero in every period, so no rate can be compared. Check the"
            " column and the filter that made it."
        )
    if _flat(held):
        raise DataError(
            f"outcome: '{design.outcome}' has the same value in every period, so there is nothing to"
            " explain. Check the column."
        )
    if not counted:
        return
    for role, rows in (("outcome", held.own), ("controls", ~held.own)):
        if negative := int((held.y[rows] < 0).sum()):
            raise DataError(
                f"{role}: the series holds {plural(negative, 'negative value')}, but counts cannot be"
                " negative. Correct them, or set family='gaussian' if the outcome is an amount."
            )
        whole = held.family == "quasi-poisson" or (held.y[rows] == np.round(held.y[rows])).all()
        if not whole:
            raise DataError(
                f"{role}: the series holds fractions, but a {held.family} model counts whole events. Give"
                " counts with their denominator, or choose family='quasi-poisson' or 'gaussian'."
            )
    if held.trials is not None and (held.y > held.trials).any():
        raise DataError(
            f"outcome: '{design.outcome}' exceeds its denominator in"
            f" {plural(int((held.y > held.trials).sum()), 'period')}; a binomial outcome is part of it."
            " Correct the columns, or use family='quasi-poisson' for rates."
        )


def _flat(held: Problem) -> bool:
    """Whether nothing varies from which a spread could be estimated."""
    if held.family in ("poisson", "negative binomial", "binomial"):
        return False
    per_row = (held.y, held.offset, held.trials)
    return all(each is None or np.ptp(each[held.own]) == 0 for each in per_row)


def controls_fit(design: InterruptedTimeSeries, made: Interrupted, family: str) -> None:
    """DataError where a control series cannot be one."""
    used = made.used
    y = made.series.y[used]
    for name in design.controls:
        held = made.series.others[name][used]
        known = np.isfinite(held)
        said = ""
        if not known.any():
            said = "has no value in the periods that are used"
        elif known.all() and np.array_equal(held, y):
            said = "equals the outcome in every period"
        elif family in COUNTS + PROPORTIONS and not held[known].any():
            said = "is zero in every period that is used"
        if said:
            raise DataError(
                f"controls: '{name}' {said}, so nothing can be learnt from it. Check the column, or choose"
                " another control series."
            )
    for name in design.control_denominators:
        bad = (made.series.others[name] <= 0) & used
        if bad.any():
            shown = listed([made.series.shown()[code] for code in np.flatnonzero(bad)], 4)
            raise DataError(
                f"control_denominators: '{name}' is zero or less in {plural(int(bad.sum()), 'period')}"
                f" ({shown}), so there is no rate. Correct it, or leave those periods out with the reason"
                " (left_out)."
            )


def enough_rows(held: Problem) -> None:
    """DataError where coefficients are as many as values."""
    rows, columns = held.x.shape
    if rows <= columns:
        raise DataError(
            f"data: {plural(rows, 'value')} for {plural(columns, 'coefficient')}; nothing is left to judge"
            " chance by. Use a longer series, a simpler season (harmonics=1) or trend, or fewer covariates."
        )


def told_apart(held: Problem) -> None:
    """EstimationError naming the regressors that are combinations of others in the rows that are used."""
    size = np.sqrt((held.x**2).sum(axis=0))
    if (size == 0).any():
        names = [name for name, none in zip(held.names, size == 0, strict=True) if none]
        raise EstimationError(
            f"design: {listed(names)} is zero in every period that is used, so its effect cannot be seen."
            " Check the dates, the lag and the phasing in."
        )
    kept: list[int] = []
    basis = np.empty((len(held.y), 0))
    lost = []
    for column in range(held.x.shape[1]):
        scaled = held.x[:, column] / size[column]
        rest = scaled - basis @ (basis.T @ scaled)
        rest -= basis @ (basis.T @ rest)
        length = float(np.sqrt(rest @ rest))
        if length < 1e-8:
            lost.append(held.names[column])
            continue
        kept.append(column)
        basis = np.column_stack([basis, rest / length])
    if lost:
        raise EstimationError(
            f"design: {listed(lost)} cannot be told apart from the other regressors (trend, season, changes)"
            " in the periods that are used. Leave one of them out, or use a longer series."
        )
