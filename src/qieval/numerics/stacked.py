"""Stacked difference-in-differences: one clean sub-experiment per cohort, put on top of each other.

Each cohort is compared, in a window around its start, with units that do not start within that window.
A unit may serve in several sub-experiments, so standard errors are clustered by unit (or above).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.absorb import Fit, fit_event, two_way, within
from qieval.numerics.covariance import Kind, covariance
from qieval.numerics.roll_out_rows import Effects, RollOutRows, clean, reasons, row_weights
from qieval.numerics.two_way import Codes, Floats, Mask, compact

Weighting = Literal["corrected", "regression"]
Clean = Literal["not yet", "never"]

OUTSIDE = (
    "The window around this start reaches beyond the data, so this group would count in some event times "
    "only; it was left out. A shorter window keeps it."
)
NO_CONTROLS = (
    "No unit stays untreated throughout the window around this start, so this group has no clean comparison; "
    "it was left out. A shorter window may give it one."
)
GAP = (
    "This group or its comparison units were not observed in every event time of the window that the others "
    "have, so it was left out; a shorter window or complete data keep it."
)
NOTHING = (
    "No group of units has a complete window with clean comparison units, so there is nothing to stack; "
    "shorten the window before or after the start."
)
SHORT = (
    "The window must hold at least one period before the start (less anticipation), to measure change from; "
    "lengthen the window before the start."
)


@dataclass(frozen=True)
class Window:
    """The window of each sub-experiment and what is done in it.

    before, after: event times run from -before to after, in units of times. anticipation: the reference is
    event time -1 - anticipation, and controls may start after `after` + anticipation at the earliest.
    controls: 'not yet' (untreated throughout the window, never-treated units included) or 'never'.
    weighting: 'corrected' are the corrective sample weights of Wing, Freedman and Hollingsworth (2024),
    effects of the treated group and of event time: the average then weights cohorts by their treated rows.
    'regression' is the regression of Cengiz, Dube, Lindner and Zipperer (2019), with effects of unit and of
    period for each sub-experiment, which weights cohorts by precision. fixed (N, f): characteristics of units
    that do not change; their association with the outcome may differ at each event time.
    """

    before: int
    after: int
    anticipation: int = 0
    controls: Clean = "not yet"
    weighting: Weighting = "corrected"
    fixed: Floats | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Stacked:
    """Effects by event time from the stacked regression.

    effects: by event time, the reference left out; rows at: event times. average: plain mean of the effects
    at event times 0 to `after`. cohort (c,): the starts, left_out (c,): why one was not used, else ''.
    n_treated, n_control (c,): units in each sub-experiment. row (M,): the input row of each stacked row,
    weight (M,): its weight in the regression. problem: in words, if there is no estimate, else ''.
    """

    effects: Effects
    average: Effects
    cohort: Floats
    left_out: tuple[str, ...]
    n_treated: Codes
    n_control: Codes
    row: Codes
    weight: Floats
    problem: str
    fit: Fit | None
    n_input: int

    def row_weights(self, combinations: Floats) -> Floats:
        """Weights (N, a) of the input rows with combinations (a, events) of the effects = weights' y."""
        out = np.zeros((self.n_input, len(combinations)))
        if self.fit is not None:
            np.add.at(out, self.row, row_weights(self.fit, combinations))
        return out


@dataclass(frozen=True, eq=False, repr=False)
class _Stack:
    """Stacked rows: row (M,) into the input, cohort (M,) code, at (M,) position in events, treated (M,)."""

    row: Codes
    cohort: Codes
    at: Codes
    treated: Mask
    events: NDArray[np.int64]

    @cached_property
    def cell(self) -> Codes:
        """Code of the sub-experiment and event time (M,)."""
        return self.cohort * self.events.size + self.at


def stacked(rows: RollOutRows, window: Window, kind: Kind = "cluster") -> Stacked:
    """Stack the sub-experiments and estimate the effect at each event time.

    Cohorts whose window is not wholly within the data are left out, so that all event times average over
    the same cohorts (the trimmed aggregate of Wing and others). Corrective weights: a control row of
    sub-experiment s at event time e counts (T_se / T_e) / (C_se / C_e) times its own weight, T and C being
    the sums of weights of treated and control rows. Weights are taken as fixed; small-sample rules are
    those of fixest. Covariates enter the stacked regression as they are. Checked against pyfixest, against
    regressions on explicit dummies, and on complete panels against the weighted mean of the cohorts'
    differences of differences.
    """
    starts = np.unique(rows.start[np.isfinite(rows.start) & (rows.weight > 0)])
    if window.before < 1 + window.anticipation or window.after < 0:
        return _without(rows, starts, tuple(SHORT for _ in starts), SHORT)
    members = [_members(rows, start, window) for start in starts]
    events = _events(rows, starts, window)
    why = [_reason(rows, *pair, events, window) for pair in zip(starts, members, strict=True)]
    if not any(one == "" for one in why):
        return _without(rows, starts, tuple(why), NOTHING)
    stack = _stack(rows, starts, members, why, events)
    weight = rows.weight[stack.row]
    if window.weighting == "corrected":
        weight = weight * _corrective(stack, weight)
    fit, effects = _regress(rows, stack, weight, window, kind)
    return Stacked(
        effects=effects,
        average=_average(effects),
        cohort=starts,
        left_out=tuple(why),
        n_treated=_units(rows, stack, stack.treated, starts.size),
        n_control=_units(rows, stack, ~stack.treated, starts.size),
        row=stack.row,
        weight=weight,
        problem="",
        fit=fit,
        n_input=rows.y.size,
    )


def _members(rows: RollOutRows, start: float, window: Window) -> Codes:
    """Rows of one sub-experiment."""
    relative = rows.period - start
    clean = np.isinf(rows.start)
    if window.controls == "not yet":
        clean = rows.start > start + window.after + window.anticipation
    inside = (relative >= -window.before) & (relative <= window.after)
    return np.flatnonzero(inside & ((rows.start == start) | clean) & (rows.weight > 0))


def _fits(rows: RollOutRows, start: float, window: Window) -> bool:
    return bool(start - window.before >= rows.times[0] and start + window.after <= rows.times[-1])


def _events(rows: RollOutRows, starts: Floats, window: Window) -> NDArray[np.int64]:
    """Event times that any whole window has, given which periods there are."""
    relative = [rows.times - start for start in starts if _fits(rows, start, window)]
    together = np.unique(np.concatenate(relative)) if relative else np.zeros(0)
    inside = together[(together >= -window.before) & (together <= window.after)]
    return np.asarray(inside[inside == np.floor(inside)], dtype=np.int64)


def _reason(
    rows: RollOutRows, start: float, members: Codes, events: NDArray[np.int64], window: Window
) -> str:
    """Why a cohort is not stacked, else ''."""
    if not _fits(rows, start, window):
        return OUTSIDE
    treated = rows.start[members] == start
    if treated.all():
        return NO_CONTROLS
    reference = -1 - window.anticipation
    relative = rows.period[members] - start
    sides = [relative[treated], relative[~treated]]
    whole = all(np.isin(events, side).all() and reference in side for side in sides)
    return "" if whole else GAP


def _stack(
    rows: RollOutRows,
    starts: Floats,
    members: list[Codes],
    why: list[str],
    events: NDArray[np.int64],
) -> _Stack:
    kept = [code for code, reason in enumerate(why) if reason == ""]
    row = np.concatenate([members[code] for code in kept])
    cohort = np.repeat(kept, [members[code].size for code in kept])
    relative = rows.period[row] - starts[cohort]
    return _Stack(row, cohort, np.searchsorted(events, relative), rows.start[row] == starts[cohort], events)


def _corrective(stack: _Stack, weight: Floats) -> Floats:
    """Corrective weights (M,): 1 for treated rows."""
    n_cells = int(stack.cell.max()) + 1
    shares = []
    for side in (stack.treated, ~stack.treated):
        in_cell = np.bincount(stack.cell, weight * side, n_cells)
        in_event = np.bincount(stack.at, weight * side, stack.events.size)
        shares.append(in_cell[stack.cell] / in_event[stack.at])
    return np.where(stack.treated, 1.0, shares[0] / shares[1])


def _regress(
    rows: RollOutRows, stack: _Stack, weight: Floats, window: Window, kind: Kind
) -> tuple[Fit, Effects]:
    """The stacked regression and its coefficients by event time."""
    reference = int(np.searchsorted(stack.events, -1 - window.anticipation))
    code = np.where(stack.treated, stack.at - (stack.at > reference), -1)
    code[stack.treated & (stack.at == reference)] = -1
    if window.weighting == "corrected":
        groups, moments = stack.treated.astype(np.intp), stack.at
    else:
        many = int(rows.unit.max()) + 1
        groups, moments = compact(stack.cohort * many + rows.unit[stack.row])[0], stack.cell
    plain = rows.weights is None and window.weighting == "regression"
    x = _covariates(rows, stack, window.fixed)
    base = within(two_way(groups, moments, None if plain else weight), rows.y[stack.row], x)
    at = np.delete(stack.events, reference)
    fit = fit_event(base, code, at.size)
    found = covariance(fit, kind, rows.cluster[stack.row] if kind == "cluster" else None)
    matrix = clean(found, at.size)
    reason = reasons(fit.collinear, matrix)
    return fit, Effects(at.astype(float), fit.beta, matrix, found.df, reason, np.eye(at.size))


def _covariates(rows: RollOutRows, stack: _Stack, fixed: Floats | None) -> Floats | None:
    """Covariates of the stacked rows: as they are, and those fixed in units once for each event time."""
    columns = [] if rows.x is None else [rows.x[stack.row]]
    if fixed is not None and fixed.shape[1]:
        held = fixed[stack.row]
        columns += [held * (stack.at == at)[:, None] for at in range(stack.events.size)]
    return np.hstack(columns) if columns else None


def _average(effects: Effects) -> Effects:
    """Plain mean of the effects from the start on."""
    post = effects.at >= 0
    combination = np.where(post, 1.0 / post.sum(), 0.0)[None, :]
    reason = next((why for why, counts in zip(effects.reason, post, strict=True) if counts and why), "")
    matrix = effects.covariance[np.ix_(post, post)].mean()
    return Effects(
        at=np.array([np.nan]),
        estimate=np.array([effects.estimate[post].mean()]),
        covariance=np.array([[matrix]]),
        df=effects.df,
        reason=(reason,),
        combination=combination,
    )


def _units(rows: RollOutRows, stack: _Stack, side: Mask, n_cohorts: int) -> Codes:
    """Distinct units on one side of each sub-experiment (c,)."""
    pairs = np.unique(stack.cohort[side] * (int(rows.unit.max()) + 1) + rows.unit[stack.row[side]])
    return np.bincount(pairs // (int(rows.unit.max()) + 1), minlength=n_cohorts)


def _without(rows: RollOutRows, starts: Floats, left_out: tuple[str, ...], problem: str) -> Stacked:
    nothing, nobody = np.zeros(0), np.zeros(starts.size, dtype=np.intp)
    none = Effects(nothing, nothing, np.zeros((0, 0)), np.nan, (), np.zeros((0, 0)))
    one = Effects(
        np.array([np.nan]), np.array([np.nan]), np.full((1, 1), np.nan), np.nan, (problem,), np.zeros((1, 0))
    )
    empty = np.zeros(0, dtype=np.intp)
    return Stacked(none, one, starts, left_out, nobody, nobody, empty, nothing, problem, None, rows.y.size)
