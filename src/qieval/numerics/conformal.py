"""Conformal inference for one treated unit: p-values from shuffled residuals, intervals by inverting them.

Under the null value of the effect the treated series without its effect is known in every period, so the
weights are estimated on ALL periods and the residuals u_1..u_T should look alike before and after the start.
The statistic is S = (mean |u|^power)^(1/power) over the periods after the start; it is compared with the
same statistic after the residuals were shuffled. Source: Chernozhukov, Wuethrich and Zhu (2021), An exact and
robust conformal inference method for counterfactual and synthetic controls, JASA 116, section 2.2 and
algorithm 1. Approximate unless residuals are exchangeable (iid shuffles) or stationary and weakly dependent
(moving blocks).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.conformal_sets import Limit, accepted_on_path, accepted_on_search, residual_lines
from qieval.numerics.null_sets import EVERYTHING, NullSet
from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats
from qieval.progress import progress

Residuals = Callable[[Floats, Floats], Floats]
"""From target (t,) and donors (t, j) of all periods, effect removed, to residuals (t,)."""

Fit = Literal["simplex", "demeaned"]

TIES = 1e-10


@dataclass(frozen=True)
class Shuffles:
    """How residuals are shuffled, and the statistic's power.

    "moving block": all T cyclic shifts, which keep serial dependence. "iid": which residuals come to lie
    after the start; every choice if there are no more than `draws` of them, otherwise `draws` random ones,
    with the data itself counted as one more: p = (1 + extreme) / (1 + draws).
    """

    scheme: Literal["moving block", "iid"] = "moving block"
    power: float = 1.0
    draws: int = 9999
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ConformalTest:
    """p-value of one null value. smallest_p is the smallest p-value this scheme can give.

    statistics (n,) are those of the n shuffles (the data itself among them, unless shuffles were drawn).
    """

    p_value: float
    statistic: float
    statistics: Floats
    residuals: Floats
    enumerated: bool
    smallest_p: float


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Null values with p > 1 - level, for each period after the start by itself (post,).

    estimate is the gap of the weights fitted before the start; p_value that of no effect. low and high are
    the hull of the accepted values, connected tells whether it has no holes; an end is infinite if null
    values however far are accepted (or, for a residual function of the caller, up to the limit of the
    search). smallest_p = 1 / (pre + 1): where it exceeds 1 - level no value can be rejected, all ends are
    infinite and `reason` says so; highest_level is the highest level with a finite interval.
    """

    estimate: Floats
    p_value: Floats
    low: Floats
    high: Floats
    connected: tuple[bool, ...]
    level: float
    smallest_p: float
    highest_level: float
    reason: str


@dataclass(frozen=True, eq=False)
class ConformalAverage:
    """Constant effects with p > 1 - level when all periods after the start are tested together.

    low and high are NaN if no constant effect is accepted (then the effect is not constant, or the fit is
    poor). pieces (k, 2) are the accepted intervals; the rest as in `ConformalIntervals`.
    """

    low: float
    high: float
    pieces: Floats
    connected: bool
    p_value: float
    level: float
    smallest_p: float
    highest_level: float
    reason: str


def simplex_residuals(target: Floats, donors: Floats) -> Floats:
    """Residuals (t,) of the synthetic control fitted on all rows."""
    return np.asarray(target - donors @ simplex_least_squares(donors, target).weights)


def demeaned_residuals(target: Floats, donors: Floats) -> Floats:
    """Residuals (t,) of the synthetic control with an intercept, fitted on all rows."""
    return simplex_residuals(target - target.mean(), donors - donors.mean(axis=0))


FITS: dict[str, Residuals] = {"simplex": simplex_residuals, "demeaned": demeaned_residuals}


def conformal_p_value(
    target: Floats,
    donors: Floats,
    pre: int,
    effect: float | Floats = 0.0,
    residuals: Fit | Residuals = "simplex",
    shuffles: Shuffles | None = None,
) -> ConformalTest:
    """p-value of the null that the effect is `effect`, a number or (post,), in the periods from row `pre` on.

    residuals: "simplex", "demeaned", or a function that refits the model on all periods; it must not look at
    which periods come after the start. p = share of shuffles with a statistic at least as large; ties (to
    1e-10) count.

    >>> donors = np.array([[0.0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0.0]]).T
    >>> test = conformal_p_value(np.array([0.5, 0.5, 0.5, 0.5, 0.5, 2.0]), donors, 5)
    >>> round(test.p_value, 4), round(test.statistic, 6)
    (0.1667, 1.25)
    """
    shuffles = shuffles or Shuffles()
    t = target.size
    adjusted = np.array(target, dtype=float)
    adjusted[pre:] -= effect
    found = (FITS[residuals] if isinstance(residuals, str) else residuals)(adjusted, donors)
    powers = np.abs(found) ** shuffles.power
    own = powers[pre:].mean()
    if shuffles.scheme == "moving block":
        means, enumerated = shifted_means(powers, t - pre), True
    else:
        means, enumerated = _drawn_means(powers, t - pre, shuffles)
    extreme = int(np.count_nonzero(means >= own * (1 - TIES)))
    extra = 0 if enumerated else 1
    root = 1.0 / shuffles.power
    total = means.size + extra
    statistic = float(own) ** root
    return ConformalTest((extreme + extra) / total, statistic, means**root, found, enumerated, 1.0 / total)


def shifted_means(values: Floats, width: int) -> Floats:
    """Mean of `width` neighbours on a circle, starting at each of the T places (..., T).

    >>> shifted_means(np.array([1.0, 2.0, 6.0]), 2)
    array([1.5, 4. , 3.5])
    """
    around = np.concatenate([values, values[..., : width - 1]], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(around, width, axis=-1)
    return np.asarray(windows.mean(axis=-1))


def _drawn_means(values: Floats, width: int, shuffles: Shuffles) -> tuple[Floats, bool]:
    """Mean of `width` values for every choice of them, or for random ones; and whether it was every one."""
    t = values.size
    if math.comb(t, width) <= shuffles.draws:
        chosen = np.array(list(itertools.combinations(range(t), width)))
        return np.asarray(values[chosen].mean(axis=1)), True
    generator = np.random.default_rng(shuffles.seed)
    means = np.empty(shuffles.draws)
    for draw in range(shuffles.draws):
        means[draw] = values[generator.permutation(t)[:width]].mean()
    return means, False


def conformal_intervals(
    target: Floats, donors: Floats, pre: int, level: float = 0.95, residuals: Fit | Residuals = "simplex"
) -> ConformalIntervals:
    """An interval for the effect in each period from row `pre` on, tested alone with the periods before it.

    Section 2.2 of the paper. Ends are exact for "simplex" and "demeaned": residuals are piecewise linear in
    the null value and the bends are known. For a residual function of the caller they come from a search
    and bisection (some 100 refits a period). The statistic of one period is |u|, whatever the power.
    """
    found, estimates, p_values = [], np.empty(target.size - pre), np.empty(target.size - pre)
    for k in progress(range(target.size - pre), "conformal intervals"):
        rows = np.append(np.arange(pre), pre + k)
        own, others = target[rows], donors[rows]
        p_values[k] = conformal_p_value(own, others, pre, 0.0, residuals).p_value
        estimates[k] = _centre(own, others, pre, residuals)
        found.append(_accepted(own, others, pre, level, residuals))
    limit = Limit(pre + 1, level)
    return ConformalIntervals(
        estimate=estimates,
        p_value=p_values,
        low=np.array([accepted.low for accepted in found]),
        high=np.array([accepted.high for accepted in found]),
        connected=tuple(accepted.connected for accepted in found),
        level=level,
        smallest_p=limit.smallest_p,
        highest_level=limit.highest_level,
        reason=limit.reason(found),
    )


def conformal_average(
    target: Floats, donors: Floats, pre: int, level: float = 0.95, residuals: Fit | Residuals = "simplex"
) -> ConformalAverage:
    """The constant effects that are not rejected when all periods from row `pre` on are tested together.

    Moving blocks, mean of |u|. p-values are multiples of 1 / T; shifts that overlap the periods after the
    start share their residuals, so the set is wide unless there are several times more periods before than
    after.
    """
    accepted = _accepted(target, donors, pre, level, residuals)
    limit = Limit(target.size, level)
    return ConformalAverage(
        low=accepted.low,
        high=accepted.high,
        pieces=accepted.pieces,
        connected=accepted.connected,
        p_value=conformal_p_value(target, donors, pre, 0.0, residuals).p_value,
        level=level,
        smallest_p=limit.smallest_p,
        highest_level=limit.highest_level,
        reason=limit.reason([accepted]),
    )


def _accepted(target: Floats, donors: Floats, pre: int, level: float, residuals: Fit | Residuals) -> NullSet:
    """Effects common to all rows from `pre` on that moving blocks do not reject."""
    allowed = Limit(target.size, level).allowed
    width = target.size - pre
    if allowed < 1:
        return EVERYTHING
    if isinstance(residuals, str):
        lines = residual_lines(target, donors, pre, residuals == "demeaned")
        return accepted_on_path(lines, lambda values: shifted_means(values, width), pre, allowed)

    def accepts(effect: float) -> bool:
        p_value = conformal_p_value(target, donors, pre, effect, residuals).p_value
        return round(p_value * target.size) > allowed

    centre = _centre(target, donors, pre, residuals)
    adjusted = np.append(target[:pre], target[pre:] - centre)
    unit = float(np.std(residuals(adjusted, donors)))
    return accepted_on_search(accepts, centre, unit or float(np.std(target)) or 1.0)


def _centre(target: Floats, donors: Floats, pre: int, residuals: Fit | Residuals) -> float:
    """The mean gap of the weights fitted before the start; for a function, that with mean residual 0."""
    if residuals == "simplex" or residuals == "demeaned":
        shift = 1.0 if residuals == "demeaned" else 0.0
        level, means = shift * target[:pre].mean(), shift * donors[:pre].mean(axis=0)
        weights = simplex_least_squares(donors[:pre] - means, target[:pre] - level).weights
        return float((target[pre:] - level - (donors[pre:] - means) @ weights).mean())

    def left(effect: float) -> float:
        return float(residuals(np.append(target[:pre], target[pre:] - effect), donors)[pre:].mean())

    old, at_old = 0.0, left(0.0)
    new = at_old
    for _ in range(12):
        at_new = left(new)
        if at_new == at_old or abs(at_new) <= 1e-8 * abs(new):
            break
        old, new, at_old = new, new - at_new * (new - old) / (at_new - at_old), at_new
    return new
