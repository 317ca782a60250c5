"""From two means and their covariance to differences, ratios, odds ratios and numbers needed to treat.

Ratios are handled on the log scale by the delta method. Whatever cannot be estimated is NaN with the reason
in words: a ratio with a mean of zero has no finite logarithm, and no added half changes that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.covariance import t_interval
from qieval.numerics.means import Means
from qieval.numerics.two_way import Floats

Scale = Literal["difference", "log", "reciprocal"]
Outcome = Literal["mean", "risk", "rate"]


@dataclass(frozen=True)
class Precision:
    """How sure: degrees of freedom for t (inf: normal) and the level of the interval."""

    df: float = np.inf
    level: float = 0.95


@dataclass(frozen=True)
class Contrast:
    """One comparison of two means.

    scale says where inference happens: "difference" as it stands; "log", std_error being that of the
    logarithm, estimate and interval those of the ratio; "reciprocal" for numbers needed to treat, where
    std_error is that of the risk difference. through_infinity: the interval is everything from high up to
    infinity together with everything from minus infinity up to low (then low < 0 < high). reason says in
    words why something is NaN, empty otherwise.
    """

    name: str
    estimate: float
    std_error: float
    low: float
    high: float
    p_value: float
    scale: Scale
    through_infinity: bool = False
    reason: str = ""


NO_VARIATION = "the outcome does not vary: no standard error"
NOT_POSITIVE = "the variance is not positive: clusters agree exactly, or are too few"
NO_DF = "no degrees of freedom are left for an interval"
NOT_FINITE = "a mean or its variance cannot be computed"
ROUNDING = 1e-14
"""A variance below this share of what the two means alone would give is rounding (1e-7 in its root)."""
DEFAULT = Precision()


def difference(
    means: Means, covariance: Floats, precision: Precision = DEFAULT, name: str = "difference"
) -> Contrast:
    """mean1 - mean0; covariance (2, 2) of the two.

    >>> means = Means(0.3, 0.1, np.zeros((0, 2)))
    >>> value = difference(means, np.diag([0.0009, 0.0016]))
    >>> round(value.estimate, 3), round(value.std_error, 3), round(value.low, 3), round(value.high, 3)
    (0.2, 0.05, 0.102, 0.298)
    """
    return _contrast(name, means.mean1 - means.mean0, (1.0, -1.0), covariance, precision, "difference")


def ratio(means: Means, covariance: Floats, precision: Precision = DEFAULT, name: str = "ratio") -> Contrast:
    """mean1 / mean0, interval from the logarithm. Not estimable unless both means are above zero."""
    one, zero = means.mean1, means.mean0
    if not (one > 0 and zero > 0):
        return _not_estimable(name, "log", f"{_which(not one > 0, not zero > 0)} not above 0: no ratio")
    return _contrast(name, np.log(one) - np.log(zero), (1 / one, -1 / zero), covariance, precision, "log")


def odds_ratio(
    means: Means, covariance: Floats, precision: Precision = DEFAULT, name: str = "odds ratio"
) -> Contrast:
    """Marginal odds ratio of two risks. Not estimable unless both lie strictly between 0 and 1."""
    one, zero = means.mean1, means.mean0
    outside = [not 0 < risk < 1 for risk in (one, zero)]
    if any(outside):
        return _not_estimable(name, "log", f"{_which(*outside)} not between 0 and 1: no finite odds")
    slopes = (1 / (one * (1 - one)), -1 / (zero * (1 - zero)))
    value = np.log(one) - np.log1p(-one) - np.log(zero) + np.log1p(-zero)
    return _contrast(name, float(value), slopes, covariance, precision, "log")


def number_needed(means: Means, covariance: Floats, precision: Precision = DEFAULT) -> Contrast:
    """Number needed to treat: 1 / risk difference, signed like it (negative: fewer events with treatment).

    The interval is the reciprocal of that of the risk difference. Where that includes 0 it runs through
    infinity (Altman 1998): "more than high in one direction or more than -low in the other" are then the
    numbers that the data allow. `number_needed_in_words` says it.

    >>> value = number_needed(Means(0.1, 0.15, np.zeros((0, 2))), np.diag([0.0004, 0.0005]))
    >>> round(value.estimate), round(value.low, 1), round(value.high, 1), value.through_infinity
    (-20, -9.2, 113.7, True)
    """
    name = "number needed to treat"
    base = difference(means, covariance, precision)
    if base.estimate == 0:
        return _not_estimable(
            name, "reciprocal", "the risks are equal: no number of treatments changes one event"
        )
    through = base.low <= 0 <= base.high
    if through:
        low = 1 / base.low if base.low < 0 else -np.inf
        high = 1 / base.high if base.high > 0 else np.inf
    else:
        low, high = 1 / base.high, 1 / base.low
    estimate = 1 / base.estimate
    return Contrast(
        name, estimate, base.std_error, low, high, base.p_value, "reciprocal", through, base.reason
    )


def number_needed_in_words(value: Contrast, harmful: bool = True, digits: int = 0) -> str:
    """A number needed to treat with its interval in Altman's form; harmful: the outcome is a bad one.

    >>> value = number_needed(Means(0.1, 0.15, np.zeros((0, 2))), np.diag([0.0004, 0.0005]))
    >>> number_needed_in_words(value)
    'NNTB 20 (NNTH 114 to ∞ to NNTB 9)'
    >>> value = number_needed(Means(0.1, 0.2, np.zeros((0, 2))), np.diag([0.0001, 0.0002]))
    >>> number_needed_in_words(value)
    'NNTB 10 (NNTB 7 to NNTB 15)'
    """

    def said(number: float) -> str:
        kind = "NNTB" if (number < 0) == harmful else "NNTH"
        return "∞" if np.isinf(number) else f"{kind} {abs(number):.{digits}f}"

    if value.reason:
        return value.reason if np.isnan(value.estimate) else f"{said(value.estimate)} ({value.reason})"
    if not value.through_infinity:
        near, far = sorted((value.low, value.high), key=abs)
        return f"{said(value.estimate)} ({said(near)} to {said(far)})"
    same, other = (value.low, value.high) if value.estimate < 0 else (value.high, value.low)
    ends = [said(other), "∞", said(same)]
    return f"{said(value.estimate)} ({' to '.join(dict.fromkeys(ends))})"


def all_contrasts(
    means: Means, covariance: Floats, outcome: Outcome = "mean", precision: Precision = DEFAULT
) -> tuple[Contrast, ...]:
    """Every comparison that suits the outcome; means give a difference, rates a difference and a ratio."""
    found = [
        difference(
            means, covariance, precision, "difference" if outcome == "mean" else f"{outcome} difference"
        )
    ]
    if outcome != "mean":
        found.append(ratio(means, covariance, precision, f"{outcome} ratio"))
    if outcome == "risk":
        found.append(odds_ratio(means, covariance, precision))
        found.append(number_needed(means, covariance, precision))
    return tuple(found)


def _contrast(
    name: str,
    value: float,
    slopes: tuple[float, float],
    covariance: Floats,
    precision: Precision,
    scale: Scale,
) -> Contrast:
    """Delta method: value on its scale, slopes its derivatives by (mean1, mean0)."""
    gradient = np.array(slopes)
    variance = float(gradient @ covariance @ gradient)
    size = float(gradient**2 @ np.abs(np.diag(covariance)))
    reason = ""
    if not (np.isfinite(value) and np.isfinite(variance)):
        reason = NOT_FINITE
    elif size == 0:
        reason = NO_VARIATION
    elif variance <= ROUNDING * size:
        reason = NOT_POSITIVE
    se = np.nan if reason else float(np.sqrt(variance))
    if not reason and precision.df <= 0:
        reason = NO_DF
    interval = t_interval(np.array([value]), np.array([se]), precision.df, precision.level)
    estimate, low, high = value, float(interval.low[0]), float(interval.high[0])
    if scale == "log":
        with np.errstate(over="ignore"):
            estimate, low, high = float(np.exp(value)), float(np.exp(low)), float(np.exp(high))
    return Contrast(name, estimate, se, low, high, float(interval.p_value[0]), scale, False, reason)


def _not_estimable(name: str, scale: Scale, reason: str) -> Contrast:
    return Contrast(name, np.nan, np.nan, np.nan, np.nan, np.nan, scale, False, reason)


def _which(one: bool, zero: bool) -> str:
    """Subject and verb of a sentence about the means that are at fault."""
    if one and zero:
        return "both means are"
    return "the mean with treatment is" if one else "the mean without treatment is"
