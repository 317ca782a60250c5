"""The regression that answers the question: outcome, regressors and exposure in the rows that are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.errors import DataError
from qieval.interrupted import Interrupted
from qieval.methods.interrupted_time_series.design import (
    COUNTS,
    PROPORTIONS,
    InterruptedTimeSeries,
)
from qieval.methods.interrupted_time_series.refusals import (
    controls_fit,
    enough_rows,
    told_apart,
    values_fit,
)
from qieval.methods.interrupted_time_series.terms import Terms, days, terms
from qieval.numerics.series_regression_families import Link
from qieval.text import listed, plural

APART = 5000
"""At least that many periods from the beginning of one series to that of the next when several are modelled
together: too far for their errors to hang together."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """Rows of one or several stacked series: y (n,), x (n, k), x without the intervention (n, k), positions
    in time (n,), offset and trials (n,) or None, code of the period (n,), whether the row belongs to the
    series in question (n,), and whether it takes part in the fit: `keep` (n,).

    family and why: what the outcome is taken for, and the reason where it was chosen here. link: 'identity',
    'log' or 'logit'. size (n,): what turns fitted totals into rates as they are shown.
    """

    y: np.ndarray
    x: np.ndarray
    without: np.ndarray
    at: np.ndarray
    offset: np.ndarray | None
    trials: np.ndarray | None
    code: np.ndarray
    own: np.ndarray
    names: tuple[str, ...]
    change: np.ndarray
    family: str
    why: str
    link: Link
    size: np.ndarray

    keep: np.ndarray

    def where(self, rows: np.ndarray) -> Problem:
        """The rows at which `rows` (n,) is true."""
        by_row = ("y", "x", "without", "at", "offset", "trials", "code", "own", "size", "keep")
        cut: dict[str, Any] = {
            name: None if (held := getattr(self, name)) is None else held[rows] for name in by_row
        }
        return replace(self, **cut)

    def used(self) -> Problem:
        """The rows that take part in the fit."""
        return self.where(self.keep)


def family_of(design: InterruptedTimeSeries, made: Interrupted) -> tuple[str, str]:
    """The family of the outcome, and the reason where the design leaves the choice."""
    if difference(design):
        return "gaussian", "differences of two series are amounts"
    if design.family != "chosen from the outcome":
        return design.family, ""
    if design.model != "segmented regression":
        return "gaussian", f"a {design.model} model works with amounts"
    if design.scale == "logarithm":
        return "gaussian", "logarithms are amounts"
    y = made.series.y[made.used]
    if len(y) and (y >= 0).all() and (y == np.round(y)).all():
        return (
            "quasi-poisson",
            "whole numbers that are not negative are counts, whose spread may exceed chance",
        )
    return "gaussian", "the outcome holds fractions or negative values, so it is an amount"


def difference(design: InterruptedTimeSeries) -> bool:
    """Whether control series are subtracted."""
    return bool(design.controls) and design.controlled_by == "difference of the series"


def compared(design: InterruptedTimeSeries) -> bool:
    """Whether control series are modelled together with the one in question."""
    return bool(design.controls) and design.controlled_by == "comparative model"


def problem(design: InterruptedTimeSeries, made: Interrupted, found: Terms | None = None) -> Problem:
    """The regression of a design on parsed data. DataError and EstimationError say what stands in the way."""
    family, why = family_of(design, made)
    if design.days_in_period == "as exposure" and family not in COUNTS:
        raise DataError(
            f"days_in_period: the outcome is taken as {family}, and only counts have an exposure. Use 'as a"
            " regressor', or state the family."
        )
    controls_fit(design, made, family)
    found = terms(design, made) if found is None else found
    own = _own(design, made, _with_controls(design, made, found, family), family, why)
    if compared(design):
        own = _stacked(design, made, own, found)
    settled = replace(own, keep=_keep(made, own))
    used = settled.used()
    enough_rows(used)
    values_fit(design, used)
    told_apart(used)
    return settled


def _keep(made: Interrupted, held: Problem) -> np.ndarray:
    keep: np.ndarray = made.used[held.code] & np.isfinite(held.y) & np.isfinite(held.x).all(axis=1)
    for more in (held.offset, held.trials):
        keep = keep if more is None else keep & np.isfinite(more)
    return keep


def _with_controls(design: InterruptedTimeSeries, made: Interrupted, found: Terms, family: str) -> Terms:
    """The regressors, and the control series where they are among them."""
    if not (design.controls and design.controlled_by == "regressors"):
        return found
    extra = control_columns(design, made, family)
    return Terms(
        x=np.column_stack([found.x, extra]),
        names=(*found.names, *design.controls),
        change=np.append(found.change, np.zeros(extra.shape[1], dtype=bool)),
    )


def _own(design: InterruptedTimeSeries, made: Interrupted, found: Terms, family: str, why: str) -> Problem:
    """The series in question alone, in all periods."""
    y, size = outcome(design, made, family)
    return Problem(
        y=y,
        x=found.x,
        without=found.without,
        at=made.series.at,
        offset=_offset(design, made, made.series.denominator, family),
        trials=made.series.denominator if family in PROPORTIONS else None,
        code=made.series.at,
        own=np.ones(made.series.n_periods, dtype=bool),
        names=found.names,
        change=found.change,
        family=family,
        why=why,
        link=link_of(design, family),
        size=size,
        keep=np.ones(made.series.n_periods, dtype=bool),
    )


def link_of(design: InterruptedTimeSeries, family: str) -> Link:
    """The scale on which changes add up: 'identity', 'log' or 'logit'."""
    if family in PROPORTIONS:
        return "logit"
    ratio_of_counts = difference(design) and (design.counts or design.scale == "logarithm")
    return "log" if family in COUNTS or design.scale == "logarithm" or ratio_of_counts else "identity"


def outcome(design: InterruptedTimeSeries, made: Interrupted, family: str) -> tuple[np.ndarray, np.ndarray]:
    """The outcome as it is modelled (T,), and what divides fitted totals into rates (T,)."""
    series = made.series
    whole = np.ones(series.n_periods)
    if family in COUNTS + PROPORTIONS:
        return series.y, whole if series.denominator is None else series.denominator / design.per
    y = _rate(series.y, series.denominator, design.per)
    logged = design.scale == "logarithm" or (difference(design) and design.counts)
    if difference(design):
        pooled, bottom = pooled_control(design, made, family)
        if (bottom is None) != (series.denominator is None) and not logged:
            raise DataError(
                "control_denominators: one of the two series is a rate and the other is not, so their"
                " difference means nothing. Give both a denominator, or neither."
            )
        other = _rate(pooled, bottom, design.per)
        both = (_log(y, design.outcome, made), _log(other, listed(design.controls), made))
        return (both[0] - both[1] if logged else y - other), whole
    return (_log(y, design.outcome, made) if logged else y), whole


def _rate(y: np.ndarray, denominator: np.ndarray | None, per: float) -> np.ndarray:
    if denominator is None:
        return y
    found = np.full(len(y), np.nan)
    np.divide(y, denominator, out=found, where=denominator > 0)
    return found * per


def _log(y: np.ndarray, name: str, made: Interrupted) -> np.ndarray:
    bad = (y <= 0) & made.used
    if bad.any():
        shown = [made.series.shown()[code] for code in np.flatnonzero(bad)]
        raise DataError(
            f"scale: {name} is zero or less in {plural(int(bad.sum()), 'period')} ({listed(shown, 4)}), which"
            " has no logarithm. Model it as measured, or as counts."
        )
    found = np.full(len(y), np.nan)
    np.log(y, out=found, where=y > 0)
    return found


def pooled_control(
    design: InterruptedTimeSeries, made: Interrupted, family: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Control series taken together: the sum of counts and denominators, the mean of amounts (T,)."""
    tops = np.column_stack([made.series.others[name] for name in design.controls])
    bottoms = [made.series.others[name] for name in _bottoms(design)]
    if bottoms:
        return tops.sum(axis=1), np.column_stack(bottoms).sum(axis=1)
    return (tops.sum(axis=1) if family in COUNTS + PROPORTIONS else tops.mean(axis=1)), None


def control_rate(design: InterruptedTimeSeries, made: Interrupted, family: str) -> np.ndarray:
    """The pooled control series as it is shown (T,): a rate where it has a denominator."""
    return _rate(*pooled_control(design, made, family), design.per)


def _bottoms(design: InterruptedTimeSeries) -> tuple[str, ...]:
    """The denominator of each control series; empty where there are none."""
    named = design.control_denominators
    return named * len(design.controls) if len(named) == 1 else named


def control_columns(design: InterruptedTimeSeries, made: Interrupted, family: str) -> np.ndarray:
    """Control series as regressors (T, c): rates where they have denominators, logarithms where changes
    are ratios."""
    bottoms = _bottoms(design) or (None,) * len(design.controls)
    columns = []
    for name, bottom in zip(design.controls, bottoms, strict=True):
        held = _rate(
            made.series.others[name], None if bottom is None else made.series.others[bottom], design.per
        )
        logged = family in COUNTS + PROPORTIONS or design.scale == "logarithm"
        columns.append(_log(held, name, made) if logged else held)
    return np.column_stack(columns)


def _stacked(design: InterruptedTimeSeries, made: Interrupted, own: Problem, found: Terms) -> Problem:
    """The series in question above the pooled control: each has its own constant and trend, both share the
    season and common changes, and the difference of changes is the effect."""
    family = own.family
    pooled, bottom = pooled_control(design, made, family)
    if family in PROPORTIONS and bottom is None:
        raise DataError(
            "control_denominators: a binomial model needs the denominators of the control series."
        )
    logged = design.scale == "logarithm"
    other_y = pooled if family in COUNTS + PROPORTIONS else _rate(pooled, bottom, design.per)
    if logged:
        other_y = _log(other_y, listed(design.controls), made)
    apart = [
        column
        for column, name in enumerate(found.names)
        if found.change[column] or name == "constant" or name.startswith("trend")
    ]
    extra = found.x[:, apart]
    names = tuple(_apart_name(found.names[column]) for column in apart)
    x = np.block([[found.x, extra], [found.x, np.zeros_like(extra)]])
    change = np.append(np.zeros(len(found.names), dtype=bool), found.change[apart])
    renamed = tuple(
        f"{name} in both" if is_change else name
        for name, is_change in zip(found.names, found.change, strict=True)
    )
    both = Problem(
        y=np.concatenate([own.y, other_y]),
        x=x,
        without=np.where(change, 0.0, x),
        at=np.concatenate([own.at, own.at + max(APART, 2 * len(own.at))]),
        offset=_both(own.offset, _offset(design, made, bottom, family)),
        trials=_both(own.trials, bottom if family in PROPORTIONS else None),
        code=np.concatenate([own.code, own.code]),
        own=np.concatenate([own.own, np.zeros(len(own.y), dtype=bool)]),
        names=(*renamed, *names),
        change=change,
        family=family,
        why=own.why,
        link=own.link,
        size=np.concatenate([own.size, own.size]),
        keep=np.ones(2 * len(own.y), dtype=bool),
    )
    return both


def _apart_name(name: str) -> str:
    return name if "change" in name else f"{name}, here less control"


def _both(own: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return None if own is None or other is None else np.concatenate([own, other])


def _offset(
    design: InterruptedTimeSeries, made: Interrupted, denominator: np.ndarray | None, family: str
) -> np.ndarray | None:
    """The logarithm of the exposure of counts (T,)."""
    if family not in COUNTS:
        return None
    exposure = np.ones(made.series.n_periods) if denominator is None else denominator
    if design.days_in_period == "as exposure":
        exposure = exposure * days(made)
    if denominator is None and design.days_in_period != "as exposure":
        return np.zeros(made.series.n_periods)
    found = np.full(len(exposure), np.nan)
    np.log(exposure, out=found, where=exposure > 0)
    return found
