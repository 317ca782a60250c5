"""Randomisation inference for staggered roll-outs: the dates at which clusters start are exchanged.

Exact if the dates were drawn at random (within strata, if so drawn), however few clusters there are and with
any statistic; studentised statistics are less sensitive to clusters of different variance (MacKinnon and Webb
2020). The null hypothesis is "no effect on anyone at any time", and for the interval "the same effect on
everyone from the start on".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from qieval.numerics.permutation import TIES, _summary
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_weights import RolloutRules, rollout_weights
from qieval.numerics.two_way import Codes, Floats
from qieval.progress import progress

Among = Literal["all", "adopters"]

NOTHING_TO_EXCHANGE = (
    "All clusters that could exchange their start dates have the same one, so there is nothing to permute; "
    "use fewer strata, or exchange with clusters that never start as well."
)
NO_ESTIMATE = (
    "The estimate could not be made for the roll-out as it was, so it cannot be compared with others."
)
NO_SLOPE = "The estimate does not respond to an effect of treatment, so no interval can be found from it."
FEW = (
    "There are only {count} ways to arrange the start dates, so p cannot be below {smallest:.3g}; report it "
    "as it is, and do not read a large p as a sign of no effect."
)


@dataclass(frozen=True, eq=False)
class RolloutPermutation:
    """Statistic, two-sided p-value of "no effect on anyone" and, where asked for, interval.

    statistics (m,): those of other roll-outs, NaN where there was none (n_unidentified; counted as extreme).
    n_arrangements ways to give out the dates exist; if enumerated, all were used (the actual one among
    `statistics`), otherwise m were drawn and p = (1 + extreme)/(1 + m). smallest_p: no p-value can be less.
    low, high: NaN if no interval was asked for. reason: '' or why something is missing or not informative.
    """

    estimate: float
    p_value: float
    statistics: Floats = field(repr=False)
    n_arrangements: int
    enumerated: bool
    smallest_p: float
    n_unidentified: int
    low: float = np.nan
    high: float = np.nan
    reason: str = ""


def permute_rollout(
    statistic: Callable[[Floats], float],
    first: Floats,
    resampling: Resampling | None = None,
    within: Codes | None = None,
    among: Among = "all",
) -> RolloutPermutation:
    """Permutation test with any statistic of the roll-out, an estimate or a t statistic.

    statistic: given starts (G,) of the clusters, a number, NaN where it cannot be made. first (G,): np.inf
    for never. within (G,): dates are exchanged between clusters of equal code only. among "adopters" keeps
    the clusters that never start as they are. All arrangements are used if there are no more than draws.

    >>> y = np.array([5.0, 1, 2, 0])
    >>> found = permute_rollout(lambda first: y[first < 2].sum(), np.array([1, np.inf, np.inf, np.inf]))
    >>> found.p_value, found.n_arrangements
    (0.25, 4)
    """
    return _permuted(
        lambda starts: (statistic(starts), 0.0), first, resampling, _strata(first, within, among)
    )


def permute_rollout_linear(
    estimate: Callable[[Floats, Floats], float],
    y: Floats,
    exposed: Floats,
    first: Floats,
    resampling: Resampling | None = None,
    within: Codes | None = None,
) -> RolloutPermutation:
    """Permutation test and interval of an estimate that is linear in the outcome.

    estimate: given an outcome like y and starts (G,), a number. exposed (like y): how much of the constant
    effect each row got in fact, 1 from the start on (less while it builds up). A null value t0 is tested on y
    - t0 * exposed; as the estimate is linear that needs two estimates for each roll-out, and the interval is
    the hull of all values not rejected, without search. To exchange dates between adopters only, give
    `within` from `adopters_only`.
    """
    return _permuted(
        lambda starts: (estimate(y, starts), estimate(exposed, starts)),
        first,
        resampling,
        _strata(first, within, "all"),
        interval=True,
    )


def permute_panel(
    y: Floats,
    first: Floats,
    times: Floats,
    rules: RolloutRules | None = None,
    resampling: Resampling | None = None,
    within: Codes | None = None,
) -> RolloutPermutation:
    """Permutation test and interval of an overall effect without covariates, in a balanced panel of clusters.

    y (G, T): one row per cluster, all equally weighted, no gaps; first (G,) in the units of times (T,). The
    same as `permute_rollout_linear` with `rollout_weights`, but an arrangement costs one look-up per cluster.
    """
    first, when = np.asarray(first, dtype=float), np.asarray(times, dtype=float)
    found = rollout_weights(first, when, rules)
    strata = _strata(first, within, "all")
    if found.reason:
        total, nan = n_arrangements(first, strata), float("nan")
        return RolloutPermutation(nan, nan, np.empty(0), total, False, nan, 0, reason=found.reason)
    dates, member = np.unique(first, return_index=True)
    by_date = found.weights[member].T
    of_outcome, of_effect = y @ by_date, (when >= first[:, None]).astype(float) @ by_date
    rows = np.arange(first.size)

    def pair(starts: Floats) -> tuple[float, float]:
        at = rows, np.searchsorted(dates, starts)
        return float(of_outcome[at].sum()), float(of_effect[at].sum())

    return _permuted(pair, first, resampling, strata, interval=True)


def adopters_only(first: Floats, within: Codes | None = None) -> Codes:
    """Strata (G,) that keep clusters which never start apart from those that do."""
    return _strata(first, within, "adopters")


def n_arrangements(first: Floats, strata: Codes) -> int:
    """How many ways there are to give out the dates within strata."""
    total = 1
    for stratum in np.unique(strata):
        dates = np.unique(first[strata == stratum], return_counts=True)[1].tolist()
        total *= math.factorial(sum(dates)) // math.prod(math.factorial(count) for count in dates)
    return total


def arrangements(first: Floats, strata: Codes, resampling: Resampling) -> Iterator[Floats]:
    """Starts (G,), the same dates otherwise given out: all if no more than draws, else random ones.

    All includes the actual roll-out; random ones never are the actual one.
    """
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    if n_arrangements(first, strata) <= resampling.draws:
        for parts in itertools.product(*[_orders(first[inside]) for inside in members]):
            starts = np.empty(first.size)
            for inside, part in zip(members, parts, strict=True):
                starts[inside] = part
            yield starts
        return
    generator = np.random.default_rng(resampling.seed)
    for _ in range(resampling.draws):
        starts = first
        while np.array_equal(starts, first):
            starts = first.copy()
            for inside in members:
                starts[inside] = generator.permutation(first[inside])
        yield starts


def _orders(dates: Floats) -> list[Floats]:
    """All distinct orders of dates, some of them equal."""
    values, counts = np.unique(dates, return_counts=True)
    found: list[Floats] = []

    def fill(order: Floats, free: tuple[int, ...], level: int) -> None:
        if level == values.size:
            found.append(order)
            return
        for chosen in itertools.combinations(free, int(counts[level])):
            further = order.copy()
            further[list(chosen)] = values[level]
            fill(further, tuple(place for place in free if place not in chosen), level + 1)

    fill(np.empty(dates.size), tuple(range(dates.size)), 0)
    return found


def _strata(first: Floats, within: Codes | None, among: Among) -> Codes:
    codes = (
        np.zeros(len(first), dtype=np.intp) if within is None else np.unique(within, return_inverse=True)[1]
    )
    if among == "adopters":
        codes = 2 * codes + np.isinf(first)
    return np.asarray(codes, dtype=np.intp)


def _permuted(
    pair: Callable[[Floats], tuple[float, float]],
    first: Floats,
    resampling: Resampling | None,
    strata: Codes,
    interval: bool = False,
) -> RolloutPermutation:
    """pair: given starts, the statistic and (for an interval) how much it moves with the effect that was."""
    resampling = resampling or Resampling()
    first = np.asarray(first, dtype=float)
    total = n_arrangements(first, strata)
    estimate, slope = pair(first)
    if total == 1 or not np.isfinite(estimate):
        reason = NO_ESTIMATE if total > 1 else NOTHING_TO_EXCHANGE
        return RolloutPermutation(estimate, np.nan, np.empty(0), total, True, np.nan, 0, reason=reason)
    others = arrangements(first, strata, resampling)
    if resampling.progress:
        others = progress(others, "permuting the roll-out")
    values, slopes = np.array([pair(starts) for starts in others]).T
    values[~np.isfinite(slopes)] = np.nan
    found = _counted(estimate, values, total, resampling)
    if not interval:
        return found
    if not np.isfinite(slope) or abs(slope) <= TIES * float(np.nanmax(np.abs(slopes), initial=0.0)):
        return replace(found, reason=NO_SLOPE)
    inverted = _summary(
        estimate / slope, values / slope, slopes / slope, total, found.enumerated, resampling.level
    )
    return replace(found, low=inverted.low, high=inverted.high, smallest_p=inverted.smallest_p)


def _counted(estimate: float, values: Floats, total: int, resampling: Resampling) -> RolloutPermutation:
    enumerated = total <= resampling.draws
    itself = 0 if enumerated else 1
    missing = ~np.isfinite(values)
    extreme = np.count_nonzero(missing | (np.abs(values) >= abs(estimate) * (1 - TIES)))
    smallest = 1 / (values.size + itself)
    few = smallest > 1 - resampling.level
    return RolloutPermutation(
        estimate=estimate,
        p_value=float((itself + extreme) / (itself + values.size)),
        statistics=values,
        n_arrangements=total,
        enumerated=enumerated,
        smallest_p=smallest,
        n_unidentified=int(np.count_nonzero(missing)),
        reason=FEW.format(count=total, smallest=smallest) if few else "",
    )
