"""Whether the order of a roll-out looks as if drawn at random: start dates against what was so before.

Ranks of the start dates are correlated with ranks of each characteristic, and p-values come from permuted
dates, so that they hold in small samples and for any distribution. One joint test asks whether all
characteristics together foretell the order; adjusted p-values (Westfall and Young 1993, single-step maximum)
say which do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy

from qieval.numerics.permutation import TIES
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_permutation import arrangements, n_arrangements
from qieval.numerics.two_way import Codes, Floats, Mask

CONSTANT = (
    "This characteristic is the same for every unit (of a stratum), so it cannot be related to the order."
)
SAME_DATE = (
    "All units (of a stratum) have the same start date, so there is no order to check; use fewer strata or "
    "include units that never start."
)
NO_CHARACTERISTIC = "No characteristic varies between units, so there is nothing to relate the order to."
TOO_MANY = (
    "There are as many characteristics as units can tell apart, so that together they would explain any "
    "order; choose fewer, or look at the p-values adjusted for their number."
)
RANK = 1e-10


@dataclass(frozen=True, eq=False)
class RolloutOrder:
    """correlation (k,): rank correlation of start and characteristic, positive where high values start later.

    p_value, p_adjusted (k,): two-sided, the second allowing for k characteristics. r_squared: share of the
    variance of start ranks that the ranks of all characteristics explain together; expected: its mean over
    permuted dates; joint_p: share of them that explain as much. n_missing (k,): units without a value, who
    count as average. reason (k,) and joint_reason: '' or why there is no number (NaN then).
    """

    correlation: Floats
    p_value: Floats
    p_adjusted: Floats
    n_missing: Codes
    reason: tuple[str, ...]
    r_squared: float
    expected: float
    joint_p: float
    n_arrangements: int
    enumerated: bool
    joint_reason: str = field(default="")


def rollout_order(
    first: Floats, baseline: Floats, resampling: Resampling | None = None, within: Codes | None = None
) -> RolloutOrder:
    """Association of start dates (n,) with baseline characteristics (n, k).

    first: np.inf for never, who rank as last (leave them out to ask about the order of adopters). baseline:
    NaN where unknown. within (n,): strata within which the dates were given out; ranks are then taken within
    them. Where clusters were given dates, give one row per cluster. p = (1 + as extreme)/(1 + draws), or
    exact where there are no more arrangements than draws.

    >>> found = rollout_order(np.array([1.0, 2, 3, 4, 5]), np.array([[1.0], [4], [9], [16], [25]]))
    >>> round(float(found.correlation[0]), 12), round(float(found.p_value[0]), 6)
    (1.0, 0.016667)
    """
    resampling = resampling or Resampling()
    first = np.asarray(first, dtype=float)
    strata = np.zeros(first.size, dtype=np.intp)
    if within is not None:
        strata = np.unique(within, return_inverse=True)[1].astype(np.intp)
    ranks = np.column_stack([_ranks(column, strata) for column in baseline.T]) if baseline.size else baseline
    size = np.sqrt(np.sum(ranks**2, axis=0))
    varies = size > 0
    order = _ranks(first, strata)
    reason = tuple("" if known else CONSTANT for known in varies)
    missing = np.count_nonzero(~np.isfinite(baseline), axis=0).astype(np.intp)
    total = n_arrangements(first, strata)
    empty = np.full(varies.size, np.nan)
    if total == 1 or not varies.any():
        reason = (SAME_DATE,) * varies.size if total == 1 else reason
        why = SAME_DATE if total == 1 else NO_CHARACTERISTIC
        nan = np.nan
        return RolloutOrder(empty, empty, empty, missing, reason, nan, nan, nan, total, True, why)
    scores, order = ranks[:, varies] / size[varies], order / np.sqrt(np.sum(order**2))
    drawn = np.array([dates @ scores for dates in arrangements(order, strata, resampling)])
    itself = 0 if total <= resampling.draws else 1
    each = _Each.of(order @ scores, drawn, itself)
    joint = _joint(order @ scores, drawn, itself, scores, first.size - np.unique(strata).size)
    return RolloutOrder(
        correlation=_spread(each.correlation, varies),
        p_value=_spread(each.p_value, varies),
        p_adjusted=_spread(each.p_adjusted, varies),
        n_missing=missing,
        reason=reason,
        r_squared=joint.r_squared,
        expected=joint.expected,
        joint_p=joint.p_value,
        n_arrangements=total,
        enumerated=not itself,
        joint_reason=joint.reason,
    )


def baseline_outcome(y: Floats, times: Floats, first: Floats) -> Floats:
    """Mean level and slope per unit of time (n, 2) of y (n, T) in the periods before anyone starts.

    NaN where a unit was not observed then, the slope also where it was observed in one period only.
    """
    before = np.asarray(times, dtype=float) < np.min(first)
    seen = np.isfinite(y[:, before])
    value = np.where(seen, y[:, before], 0.0)
    when = np.asarray(times, dtype=float)[before]
    count = seen.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = value.sum(axis=1) / count
        deviation = np.where(seen, when - ((seen * when).sum(axis=1) / count)[:, None], 0.0)
        slope = (deviation * value).sum(axis=1) / (deviation**2).sum(axis=1)
    return np.column_stack([level, slope])


@dataclass(frozen=True, eq=False)
class _Each:
    """Of each characteristic that varies (k,)."""

    correlation: Floats
    p_value: Floats
    p_adjusted: Floats

    @classmethod
    def of(cls, observed: Floats, drawn: Floats, itself: int) -> _Each:
        """observed (k,), drawn (m, k) correlations; itself: 1 if the data counts as a further draw."""
        limit = np.abs(observed) - TIES
        total = len(drawn) + itself
        single = np.count_nonzero(np.abs(drawn) >= limit, axis=0)
        largest = np.count_nonzero(np.abs(drawn).max(axis=1)[:, None] >= limit, axis=0)
        return cls(observed, (itself + single) / total, (itself + largest) / total)


@dataclass(frozen=True)
class _Joint:
    r_squared: float
    expected: float
    p_value: float
    reason: str = ""


def _joint(observed: Floats, drawn: Floats, itself: int, scores: Floats, freedom: int) -> _Joint:
    """Share of the variance of the order explained by the columns of scores (n, k), and its permutation
    test."""
    values, vectors = scipy.linalg.eigh(scores.T @ scores)
    kept = values > RANK * values.max()
    if np.count_nonzero(kept) >= freedom:
        return _Joint(np.nan, np.nan, np.nan, TOO_MANY)
    root = vectors[:, kept] / np.sqrt(values[kept])
    explained = float(np.sum((observed @ root) ** 2))
    others = np.sum((drawn @ root) ** 2, axis=1)
    extreme = itself + np.count_nonzero(others >= explained - TIES)
    return _Joint(explained, float(others.mean()), float(extreme / (others.size + itself)))


def _ranks(column: Floats, strata: Codes) -> Floats:
    """Mean ranks less their mean within each stratum (n,); 0 where not known."""
    out = np.zeros(column.size)
    for stratum in np.unique(strata):
        inside = np.flatnonzero((strata == stratum) & ~np.isnan(column))
        _, place, count = np.unique(column[inside], return_inverse=True, return_counts=True)
        rank = np.cumsum(count) - (count - 1) / 2
        out[inside] = rank[place] - (inside.size + 1) / 2
    return out


def _spread(values: Floats, varies: Mask) -> Floats:
    out = np.full(varies.size, np.nan)
    out[varies] = values
    return out
