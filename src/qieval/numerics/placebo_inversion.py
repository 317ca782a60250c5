"""Which effects a placebo test in space accepts, and how uneven treatment chances would change its verdict.

Source: Firpo and Possebom (2018), Synthetic control method: inference, sensitivity analysis and confidence
sets, Journal of Causal Inference 6(2). The statistic of a unit is its mean squared gap after the start over
that before it; p is the share of units, the treated included, whose statistic is at least that of the
treated. Exact if every unit was equally likely to be treated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.null_sets import NullSet, accepted_pieces, between, real_roots
from qieval.numerics.two_way import Floats

TIES = 1e-10


@dataclass(frozen=True, eq=False)
class Inversion:
    """What is inverted: the effect is c * shape, c unknown.

    shape: "constant" (1 in every period after the start), "linear" (1, 2, 3, ...; equation 17) or values
    (post,). subtract: from whose gaps the effect is taken. "treated": the placebos were not treated, so
    that their gaps do not depend on the effect. "all": from everyone's, equation 12 as printed; that set
    can be unbounded, since a far effect gives the treated no larger ratio than a placebo with a better fit
    before the start. chances (n,): the chance of each unit to be treated, any scale; None: equal.
    """

    shape: Literal["constant", "linear"] | Floats = "constant"
    subtract: Literal["treated", "all"] = "treated"
    chances: Floats | None = None


@dataclass(frozen=True, eq=False)
class ConfidenceSet:
    """The accepted c: closed intervals pieces (k, 2), their hull low to high, NaN if none is accepted.

    p_value is that of c = 0; smallest_p the smallest this number of units can give. reason: why an end is
    infinite or missing, else empty.
    """

    low: float
    high: float
    pieces: Floats
    connected: bool
    p_value: float
    smallest_p: float
    level: float
    reason: str


@dataclass(frozen=True)
class Tilt:
    """How uneven the chances of treatment must be to change the verdict at a level.

    p_value with equal chances; rejected tells whether it is at most 1 - level. phi: units with v = 1 are
    exp(phi) times as likely to be treated as the others, and that odds ratio is `times`. If rejected, v = 1
    for the treated and units with a statistic as large (worst case), else for all others (best case);
    infinite if no tilt changes the verdict.
    """

    p_value: float
    rejected: bool
    phi: float
    times: float


def confidence_set(
    gaps: Floats,
    treated: int,
    pre: int,
    level: float = 0.95,
    *,
    start: int | None = None,
    inversion: Inversion | None = None,
) -> ConfidenceSet:
    """All c for which the effect c * shape is not rejected: p > 1 - level (equation 14).

    gaps (t, n): outcome less synthetic outcome of every unit, the treated in column `treated`. Rows before
    `pre` were fitted, rows from `start` (default: pre) on have the effect. Every statistic is quadratic in
    c, so the set is exact; with subtract="treated" and equal chances it is one interval. Below the level 1
    / n it is everything.

    >>> gaps = np.array([[1.0, -1, 1], [-1, 1, 1], [5, 1, 2], [5, -1, 2]])
    >>> found = confidence_set(gaps, 0, 2, level=0.6)
    >>> found.low, found.high, round(found.p_value, 3)
    (3.0, 7.0, 0.333)
    """
    inversion = inversion or Inversion()
    bend, rate, base = _quadratics(gaps, treated, pre, pre if start is None else start, inversion)
    chance = _chances(inversion.chances, gaps.shape[1])
    points = _crossings(bend, rate, base, treated)

    def p_value(c: Floats) -> Floats:
        ratio = np.maximum(bend * c[:, None] ** 2 + rate * c[:, None] + base, 0.0)
        return np.asarray((ratio >= ratio[:, [treated]] * (1 - TIES)) @ chance)

    limit = 1.0 - level + 1e-9
    found = NullSet(accepted_pieces(points, p_value(points) > limit, p_value(between(points)) > limit))
    smallest = float(chance[treated])
    return ConfidenceSet(
        low=found.low,
        high=found.high,
        pieces=found.pieces,
        connected=found.connected,
        p_value=float(p_value(np.zeros(1))[0]),
        smallest_p=smallest,
        level=level,
        reason=_reason(found, smallest, level),
    )


def _quadratics(
    gaps: Floats, treated: int, pre: int, start: int, inversion: Inversion
) -> tuple[Floats, Floats, Floats]:
    """Coefficients (n,) of each unit's ratio as a function bend c^2 + rate c + base of the effect."""
    after, fitted = gaps[start:], np.mean(gaps[:pre] ** 2, axis=0)
    if not fitted.min() > 1e-20 * np.mean(gaps**2):
        raise EstimationError(
            "placebo test: a unit is reproduced exactly before the start, so that its ratio of errors after"
            " and before is not defined. Use fewer donors or more periods before the start."
        )
    shape = _shape(inversion.shape, after.shape[0])
    share = np.zeros(gaps.shape[1])
    share[treated if inversion.subtract == "treated" else slice(None)] = 1.0
    return (
        share * np.mean(shape**2) / fitted,
        -2.0 * share * (shape @ after / after.shape[0]) / fitted,
        np.mean(after**2, axis=0) / fitted,
    )


def _shape(shape: Literal["constant", "linear"] | Floats, post: int) -> Floats:
    if isinstance(shape, str):
        return np.ones(post) if shape == "constant" else np.arange(1.0, post + 1.0)
    return np.asarray(shape, dtype=float)


def _chances(chances: Floats | None, n: int) -> Floats:
    return np.full(n, 1.0 / n) if chances is None else np.asarray(chances / np.sum(chances), dtype=float)


def _crossings(bend: Floats, rate: Floats, base: Floats, treated: int) -> Floats:
    """Sorted values of c at which another unit's ratio equals that of the treated; 0 if there is none."""
    others = np.arange(bend.size) != treated
    a, b, c = (part[treated] - part[others] for part in (bend, rate, base))
    roots = real_roots(c, b, a)
    found = np.unique(roots[np.isfinite(roots)])
    return found if found.size else np.zeros(1)


def _reason(found: NullSet, smallest: float, level: float) -> str:
    """Why an end is infinite or missing."""
    if smallest > 1.0 - level + 1e-9:
        return (
            f"The smallest p-value that this many units can give is {smallest:.3g}, so that no effect can be"
            f" rejected at level {level:g}; the highest level with a finite interval is {1 - smallest:.3g}."
        )
    if found.unbounded:
        return "Effects however large are accepted, because other units fitted better before the start."
    return "" if len(found.pieces) else "No effect of this shape is accepted at this level."


def tilt_to_change(ratios: Floats, treated: int, level: float = 0.95) -> Tilt:
    """How uneven the chances of treatment must be for another verdict, from the statistics of the units (n,).

    Equations 8 and 9 with the worst and best case of section 3, in closed form: with k of n statistics at
    least that of the treated, p = k e^phi / (k e^phi + n - k) if rejected, k / (k + (n - k) e^phi)
    otherwise. A small phi says that the verdict rests on equal chances.

    >>> found = tilt_to_change(np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 8]), 0, level=0.8)
    >>> found.p_value, found.rejected, round(found.times, 4)
    (0.1, True, 2.25)
    """
    n = ratios.size
    k = int(np.count_nonzero(ratios >= ratios[treated] * (1 - TIES)))
    alpha = 1.0 - level
    rejected = k / n <= alpha + 1e-9
    with np.errstate(divide="ignore"):
        log_odds = float(np.log(alpha / (1 - alpha)) - np.log(k) + np.log(float(n - k)))
    phi = abs(log_odds) if n > k else math.inf
    return Tilt(k / n, rejected, phi, math.exp(min(phi, 700.0)))
