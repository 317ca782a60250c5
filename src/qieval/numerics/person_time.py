"""Event rates per person-time in two arms, weighted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.means import Means, rows_used
from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class Rates:
    """The two rates (events per unit of person-time) and their weighted totals (treated, untreated)."""

    means: Means
    events: tuple[float, float]
    person_time: tuple[float, float]


def rates(events: Floats, time: Floats, treated: Mask, weights: Floats) -> Rates:
    """Weighted events over weighted person-time in each arm; weights are taken as fixed.

    events (n,) are counts of 0 or more, of any number per person; time (n,) 0 or more; rows of weight 0 are
    not used and may hold NaN there. The influence function is that of a ratio of two sums, so the covariance
    holds whatever the distribution of the counts (a Poisson regression on the arm with a robust covariance
    is the same). ValueError for an arm without person-time or values out of range.

    >>> treated = np.array([True, True, False, False])
    >>> found = rates(np.array([2.0, 1.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0, 1.0]), treated, np.ones(4))
    >>> found.means.mean1, found.means.mean0
    (1.0, 0.25)
    """
    used = rows_used(weights)
    if not (np.isfinite(events[used]).all() and np.isfinite(time[used]).all()):
        raise ValueError("events and person-time must be finite where the weight is positive")
    if (events[used] < 0).any() or (time[used] < 0).any():
        raise ValueError("events and person-time must be 0 or more")
    influence = np.zeros((len(events), 2))
    counted, followed = [], []
    for column, arm in enumerate((used & treated, used & ~treated)):
        count = float(weights[arm] @ events[arm])
        total = float(weights[arm] @ time[arm])
        if not total > 0:
            raise ValueError("an arm has no person-time")
        influence[arm, column] = weights[arm] * (events[arm] - count / total * time[arm]) / total
        counted.append(count)
        followed.append(total)
    means = Means(counted[0] / followed[0], counted[1] / followed[1], influence, used)
    return Rates(means, (counted[0], counted[1]), (followed[0], followed[1]))
