"""Weighted Kaplan-Meier: risk by a horizon, restricted mean time, curves.

The influence function of the product-limit estimate is exact: it is the derivative of the estimate by each
row's weight. With equal weights and independent rows the sum of its squares is Greenwood's variance.
Censoring is taken as independent of the event within an arm. Events come before censoring at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.means import Means, rows_used
from qieval.numerics.two_way import Codes, Floats, Mask, sums


@dataclass(frozen=True, eq=False)
class Survival:
    """Risk of the event by the horizon, and mean event-free time up to it, in both arms.

    at_risk are the (weighted) numbers still followed just before the horizon, treated and untreated.
    """

    risk: Means
    free_time: Means
    horizon: float
    at_risk: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Curve:
    """Kaplan-Meier curve at the distinct times (m,): weighted numbers at risk, events, share event-free.

    std_error is for independent rows with fixed weights, and 0 where the curve has come down to 0.
    """

    times: Floats
    at_risk: Floats
    events: Floats
    survival: Floats
    std_error: Floats


@dataclass(frozen=True, eq=False)
class _LifeTable:
    """At distinct times (m,): at_risk Y, events D, left Y - D; place (rows,) of each row among the times."""

    times: Floats
    at_risk: Floats
    events: Floats
    left: Floats
    place: Codes

    @property
    def survival(self) -> Floats:
        return np.asarray(np.cumprod(self.left / self.at_risk))

    @property
    def one_over_left(self) -> Floats:
        """1 / (Y - D), and 0 where everyone at risk had the event: the curve is 0 from there on."""
        return np.divide(1.0, self.left, out=np.zeros_like(self.left), where=self.left > 0)


def survival_means(time: Floats, event: Mask, treated: Mask, weights: Floats, horizon: float) -> Survival:
    """Risk by the horizon and restricted mean event-free time in each arm.

    time (n,) of event or censoring, 0 or more; event (n,) bool; rows of weight 0 are not used and may hold
    NaN. ValueError for an arm without rows, times that are negative or not finite, and a horizon beyond
    the end of follow-up of an arm in which somebody is still event-free (see `followed_to`).

    >>> time, event = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 2.0]), np.array([1, 0, 1, 0, 1, 0], dtype=bool)
    >>> treated = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    >>> found = survival_means(time, event, treated, np.ones(6), horizon=2)
    >>> round(found.risk.mean1, 6), round(found.risk.mean0, 6)
    (0.333333, 0.5)
    >>> round(found.free_time.mean1, 6), round(found.free_time.mean0, 6)
    (1.666667, 2.0)
    """
    used = rows_used(weights)
    risk, free = np.zeros((len(time), 2)), np.zeros((len(time), 2))
    values, remaining = [], []
    for column, arm in enumerate((used & treated, used & ~treated)):
        if not arm.any():
            raise ValueError("an arm has no row of positive weight")
        weight, happened = weights[arm], event[arm]
        table = _life_table(time[arm], happened, weight)
        if horizon > _end(table):
            raise ValueError("the horizon lies beyond the follow-up of an arm")
        value, own = _to_horizon(table, happened, weight, horizon)
        values.append(value)
        risk[arm, column], free[arm, column] = -own[0], own[1]
        later = np.searchsorted(table.times, horizon)
        remaining.append(float(table.at_risk[later]) if later < table.times.size else 0.0)
    (survival1, time1), (survival0, time0) = values
    return Survival(
        Means(1 - survival1, 1 - survival0, risk, used),
        Means(time1, time0, free, used),
        float(horizon),
        (remaining[0], remaining[1]),
    )


def followed_to(time: Floats, event: Mask, treated: Mask, weights: Floats) -> tuple[float, float]:
    """Largest horizon of the treated and the untreated: the last time, infinite if nobody is event-free."""
    used = rows_used(weights)
    ends = []
    for arm in (used & treated, used & ~treated):
        if not arm.any():
            raise ValueError("an arm has no row of positive weight")
        ends.append(_end(_life_table(time[arm], event[arm], weights[arm])))
    return ends[0], ends[1]


def curve(time: Floats, event: Mask, weights: Floats) -> Curve:
    """Kaplan-Meier curve of all rows of positive weight.

    >>> found = curve(np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, True]), np.ones(4))
    >>> print(found.survival)
    [0.75 0.5  0.  ]
    """
    used = rows_used(weights)
    weight, happened = weights[used], event[used]
    table = _life_table(time[used], happened, weight)
    inverse = table.one_over_left
    hazard = np.cumsum(table.events * inverse / table.at_risk)
    m = table.times.size
    own = np.where(happened, inverse[table.place], 0.0) - hazard[table.place]
    so_far = np.cumsum(sums(table.place, (weight * own) ** 2, m))
    squares = sums(table.place, weight**2, m)
    later = squares.sum() - np.cumsum(squares)
    share = table.survival
    error = share * np.sqrt(so_far + hazard**2 * np.maximum(later, 0.0))
    return Curve(table.times, table.at_risk, table.events, share, error)


def _life_table(time: Floats, event: Mask, weight: Floats) -> _LifeTable:
    """Sums from the end of follow-up backwards, so that nothing is lost by subtraction at the tail."""
    if not np.isfinite(time).all() or (time < 0).any():
        raise ValueError("times must be finite and 0 or more where the weight is positive")
    times, inverse = np.unique(time, return_inverse=True)
    place: Codes = inverse.astype(np.intp)
    events = sums(place, np.where(event, weight, 0.0), times.size)
    censored = sums(place, np.where(event, 0.0, weight), times.size)
    at_risk = np.cumsum((events + censored)[::-1])[::-1]
    left = censored + np.append(at_risk[1:], 0.0)
    return _LifeTable(times, left + events, events, left, place)


def _end(table: _LifeTable) -> float:
    return float(table.times[-1]) if table.left[-1] > 0 else np.inf


def _to_horizon(
    table: _LifeTable, event: Mask, weight: Floats, horizon: float
) -> tuple[tuple[float, float], tuple[Floats, Floats]]:
    """Survival and mean time at the horizon, and the contribution of each row to both."""
    m = int(np.searchsorted(table.times, horizon, side="right"))
    share = np.append(1.0, table.survival[:m])
    widths = np.diff(np.concatenate([[0.0], table.times[:m], [horizon]]))
    areas = share * widths
    inverse = table.one_over_left[:m]
    ahead = np.cumsum(areas[::-1])[::-1][1:]
    return (float(share[-1]), float(areas.sum())), (
        _martingale(table, event, weight, share[-1] * inverse),
        _martingale(table, event, weight, ahead * inverse),
    )


def _martingale(table: _LifeTable, event: Mask, weight: Floats, integrand: Floats) -> Floats:
    """-weight * integral of the integrand (m,) over dN - Y dHazard of each row, up to the m-th time."""
    m = integrand.size
    hazard = np.append(0.0, np.cumsum(integrand * table.events[:m] / table.at_risk[:m]))
    padded = np.append(integrand, np.zeros(table.times.size - m))
    jump = np.where(event, padded[table.place], 0.0)
    return np.asarray(weight * (hazard[np.minimum(table.place + 1, m)] - jump))
