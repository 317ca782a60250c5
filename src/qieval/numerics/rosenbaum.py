"""Rosenbaum bounds: how much hidden bias within matched sets would overturn a finding.

Gamma is the most by which the odds of treatment may differ between two people of a set. All p-values are
one-sided, for the alternative that treatment raises the outcome; change signs (or exchange counts) for the
other side. Rosenbaum, Observational Studies (2002), chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from qieval.errors import EstimationError

Floats: TypeAlias = npt.NDArray[np.float64]
Zeros = Literal["drop", "rank"]

HIGHEST_GAMMA = 1e6


@dataclass(frozen=True, eq=False)
class Bounds:
    """The smallest and largest p-value or estimate that hidden bias up to each Gamma can give (g,)."""

    gamma: Floats
    low: Floats
    high: Floats


def binary_bounds(treated_only: int, control_only: int, gammas: Any) -> Bounds:
    """Bounds of the p-value of McNemar's exact test, from pairs in which only one person has the event.

    P(Bin(D, p) >= treated_only), D discordant pairs, p = Gamma / (1 + Gamma) and 1 / (1 + Gamma); Rosenbaum
    (2002), section 4.3.2. Exact; rbounds' binarysens 2.2 rounds to 5 digits and leaves out the probability of
    the count observed itself, P(Bin > treated_only).

    >>> binary_bounds(447, 347, [1.0, 1.1]).high.round(6)
    array([0.000218, 0.01474 ])
    """
    gamma = np.atleast_1d(np.asarray(gammas, dtype=float))

    def tail(p: Floats) -> Floats:
        if treated_only == 0:
            return np.ones_like(p)
        return np.asarray(scipy.special.betainc(treated_only, control_only + 1.0, p))

    return Bounds(gamma, tail(1 / (1 + gamma)), tail(gamma / (1 + gamma)))


def signed_rank_bounds(differences: Floats, gammas: Any, zeros: Zeros = "drop") -> Bounds:
    """Bounds of the p-value of Wilcoxon's signed rank test for pair differences (n,), normal approximation.

    Rosenbaum (2002), section 4.3.3; average ranks for ties, no continuity correction. Pairs without a
    difference are dropped before ranking, as in rbounds' psens 2.2 (which rounds to 4 digits), or keep their
    ranks and then count for nothing (zeros="rank", Pratt 1959). p is 1 when no pair differs.
    """
    gamma = np.atleast_1d(np.asarray(gammas, dtype=float))
    held = differences[differences != 0] if zeros == "drop" else differences
    ranks = np.where(held != 0, _average_ranks(np.abs(held)), 0.0)
    statistic, total, squares = float(ranks[held > 0].sum()), float(ranks.sum()), float(ranks @ ranks)
    if squares == 0:
        return Bounds(gamma, np.ones_like(gamma), np.ones_like(gamma))
    p = gamma / (1 + gamma)
    spread = np.sqrt(p * (1 - p) * squares)
    return Bounds(
        gamma, _tail((statistic - (1 - p) * total) / spread), _tail((statistic - p * total) / spread)
    )


def hodges_lehmann_bounds(differences: Floats, gammas: Any) -> Bounds:
    """Bounds of the Hodges-Lehmann estimate of an additive effect from pair differences (n,).

    Rosenbaum (2002), section 4.3.4: shifts at which the signed rank statistic equals its largest and
    smallest expectation. These are exact order statistics of the n (n + 1) / 2 Walsh averages (the middle of
    two where the expectation is a whole number), found without listing them: O(n log n). Pairs without a
    difference count, since a shift gives them one. rbounds' hlsens begins at an estimate without such pairs,
    walks outwards only, in steps of 0.1, and stops past the solution: its bounds are wider.

    >>> bounds = hodges_lehmann_bounds(np.array([1.0, 2.0, 4.0]), [1.0, 5.0])
    >>> bounds.low, bounds.high
    (array([2.25, 1.25]), array([2.25, 3.5 ]))
    """
    gamma = np.atleast_1d(np.asarray(gammas, dtype=float))
    ordered = np.sort(differences)
    count = ordered.size * (ordered.size + 1) // 2
    low = np.array([_solve(ordered, count * odds / (1 + odds)) for odds in gamma])
    high = np.array([_solve(ordered, count / (1 + odds)) for odds in gamma])
    return Bounds(gamma, low, high)


@dataclass(frozen=True)
class Huber:
    """Huber's score of Rosenbaum (2007): differences are divided by a quantile, cut at trim.

    inner: differences below it count for nothing. trim: from here on they count fully. quantile: of the
    absolute differences within sets, the unit. The defaults are those of sensitivitymv's senmv.
    """

    inner: float = 0.0
    trim: float = 2.5
    quantile: float = 0.5


def m_scores(outcomes: Floats, score: Huber | None = None) -> Floats:
    """Scores (n, m) of matched sets: the treated person in column 0, controls after it, NaN where fewer.

    Each person's score is the sum over the other people of the set of psi(difference / unit), divided by the
    size of the set (Rosenbaum 2007, section 2). Sets without a treated value or without a control get NaN.
    EstimationError when the quantile of differences is zero.
    """
    score = score or Huber()
    gaps = outcomes[:, :, None] - outcomes[:, None, :]
    m = outcomes.shape[1]
    gaps[:, np.arange(m), np.arange(m)] = np.nan
    usable = np.isfinite(outcomes[:, 0]) & (np.isfinite(outcomes).sum(axis=1) >= 2)
    gaps[~usable] = np.nan
    size = np.abs(gaps)
    unit = float(np.nanquantile(size, score.quantile)) if usable.any() else 0.0
    if unit == 0:
        raise EstimationError(
            f"pairs: the {score.quantile:.0%} quantile of the differences within sets is 0, so there is no"
            " unit to judge differences by. Use the signed rank test, or a higher quantile."
        )
    grown = np.maximum(size / unit - score.inner, 0)
    if np.isfinite(score.trim):
        grown = np.minimum(grown / (score.trim - score.inner), 1)
    totals = np.nansum(np.sign(gaps) * grown, axis=2)
    scores = totals / np.isfinite(outcomes).sum(axis=1, keepdims=True).clip(1)
    return np.asarray(np.where(np.isfinite(outcomes) & usable[:, None], scores, np.nan))


def m_bounds(scores: Floats, gammas: Any) -> Bounds:
    """Bounds of the p-value of the M-statistic, the sum of the treated scores (see `m_scores`).

    Rosenbaum (2007), section 4: the separable approximation of Gastwirth, Krieger and Rosenbaum (2000), which
    in each set takes the largest expectation, and among equal ones the largest variance.
    """
    gamma = np.atleast_1d(np.asarray(gammas, dtype=float))
    held = scores[np.isfinite(scores[:, 0])]
    statistic = float(held[:, 0].sum())
    low, high = np.empty(gamma.size), np.empty(gamma.size)
    for place, odds in enumerate(gamma):
        mean, variance = _extreme(held, odds)
        high[place] = _tail((statistic - mean) / np.sqrt(variance)) if variance > 0 else 1.0
        mean, variance = _extreme(-held, odds)
        low[place] = _tail((statistic + mean) / np.sqrt(variance)) if variance > 0 else 1.0
    return Bounds(gamma, low, high)


def critical_gamma(upper: Callable[[float], float], alpha: float = 0.05) -> float:
    """The Gamma at which the upper bound of the p-value reaches alpha, by root finding.

    `upper` gives the bound for a Gamma and rises with it. NaN when it is above alpha without hidden bias;
    infinity when it stays below up to a million.

    >>> round(critical_gamma(lambda odds: float(binary_bounds(447, 347, odds).high[0])), 4)
    1.1425
    """
    if not upper(1.0) <= alpha:
        return np.nan
    high = 2.0
    while upper(high) <= alpha:
        high *= 2
        if high > HIGHEST_GAMMA:
            return np.inf
    return float(scipy.optimize.brentq(lambda odds: upper(odds) - alpha, 1.0, high, xtol=1e-12, rtol=1e-14))


def _tail(z: Any) -> Any:
    return scipy.special.ndtr(-np.asarray(z))


def _average_ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place], dtype=float)


def _solve(ordered: Floats, expected: float) -> float:
    """The shift at which as many Walsh averages are larger as expected."""
    whole = min(max(round(expected), 1), ordered.size * (ordered.size + 1) // 2 - 1)
    if abs(expected - whole) > 1e-12 * max(expected, 1.0):
        return _walsh(ordered, int(np.ceil(expected)))
    return (_walsh(ordered, whole) + _walsh(ordered, whole + 1)) / 2


def _walsh(ordered: Floats, rank: int) -> float:
    """The rank-th largest average (d_i + d_j) / 2, i <= j, of sorted differences.

    `low` is reached by rank averages or more, `high` by fewer; false position and bisection by turns bring
    them together. The average looked for is the smallest that reaches `low` once exactly rank of them do.
    """
    low, high = float(ordered[0]), float(ordered[-1])
    at_low, at_high = ordered.size * (ordered.size + 1) // 2, _at_least(ordered, high)
    if at_high >= rank:
        return high
    close = 4 * np.finfo(float).eps * max(abs(low), abs(high))
    turn = 0
    while at_low > rank and high - low > close:
        turn += 1
        share = 0.5 if turn % 3 == 0 else (at_low - rank + 0.5) / (at_low - at_high)
        middle = low + (high - low) * share
        if not low < middle < high:
            break
        found = _at_least(ordered, middle)
        if found >= rank:
            low, at_low = middle, found
        else:
            high, at_high = middle, found
    return _next(ordered, low - close)


def _next(ordered: Floats, value: float) -> float:
    """The smallest Walsh average that reaches the value."""
    partner = np.searchsorted(ordered, 2 * value - ordered, side="left")
    there = partner < ordered.size
    return float(((ordered[there] + ordered[partner[there]]) / 2).min())


def _at_least(ordered: Floats, value: float) -> int:
    """How many Walsh averages reach the value."""
    partner = np.searchsorted(ordered, 2 * value - ordered, side="left")
    both = int((ordered.size - partner).sum())
    return (both + int((ordered >= value).sum())) // 2


def _extreme(scores: Floats, odds: float) -> tuple[float, float]:
    """The largest expectation of the treated scores' sum and its variance, added up over sets."""
    ordered = np.sort(scores, axis=1)
    sizes = np.isfinite(ordered).sum(axis=1)
    sums, squares = (np.nancumsum(ordered**power, axis=1) for power in (1, 2))
    best = np.full(sizes.size, -np.inf)
    spread = np.zeros(sizes.size)
    for cut in range(1, scores.shape[1]):
        share = cut + odds * (sizes - cut)
        mean = (sums[:, cut - 1] + odds * (sums[:, -1] - sums[:, cut - 1])) / share
        variance = (squares[:, cut - 1] + odds * (squares[:, -1] - squares[:, cut - 1])) / share - mean**2
        mean = np.where(cut < sizes, mean, -np.inf)
        spread = np.where(mean > best, variance, np.where(mean == best, np.maximum(spread, variance), spread))
        best = np.maximum(best, mean)
    return float(best.sum()), float(np.maximum(spread, 0).sum())
