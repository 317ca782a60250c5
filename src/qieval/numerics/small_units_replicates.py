"""Effects on small units judged by what happens elsewhere: left-out groups and permuted treatment groups.

Both find the weights anew for every replicate, so that they cost as many fits. Source: Robbins, Saunders and
Kilmer (2017), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.small_units_errors import (
    Errors,
    Kind,
    SmallUnits,
    errors_from,
    limits,
    linearised,
    log_ratio,
    summed,
)
from qieval.numerics.threads import in_threads
from qieval.numerics.two_way import Codes, Floats, Mask
from qieval.progress import progress

TIES = 1e-10


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Errors of `jackknife`; groups used, and infeasible ones, whose totals no weights meet."""

    errors: Errors
    groups: int
    infeasible: int


def jackknife(
    data: SmallUnits, groups: int | None = None, *, seed: int = 0, level: float = 0.95
) -> Jackknife:
    """Delete-a-group jackknife of the effect over all periods after the start, with weights found anew.

    groups (None: as many as units of the smaller arm, 100 at most) are drawn at random, each with its share
    of both arms; the totals of the treated units kept are scaled up to all. Variance (G - 1) / G sum
    (replicate - estimate)^2 (JK1 around the estimate).
    """
    smaller = int(min(data.treated.sum(), (~data.treated).sum()))
    count = min(smaller, 100) if groups is None else groups
    if not 2 <= count <= smaller:
        raise ValueError("groups must lie between 2 and the number of units of the smaller arm")
    whole = summed(data, data.weights()[0], data.after)
    group = _groups(data.treated, count, np.random.default_rng(seed))
    plain, logs = np.empty((2, count, whole.treated.size))
    infeasible = 0
    for g in progress(range(count), "jackknife groups"):
        part = data.subset(group != g)
        weights, fit = part.weights()
        infeasible += not fit.feasible
        found = summed(part, weights, data.after)
        plain[g] = found.difference * (data.treated.sum() / part.treated.sum()) - whole.difference
        logs[g] = log_ratio(found) - log_ratio(whole)
    shrink = np.sqrt((count - 1) / count)
    return Jackknife(errors_from(whole, shrink * plain.T, shrink * logs.T, level), count, infeasible)


@dataclass(frozen=True, eq=False)
class Placebos:
    """Permuted treatment groups: p-values (q,) and of the omnibus; limits (q,) of the relative effect.

    statistics (k, q + 1) of the placebo groups that count, the omnibus last. infeasible: groups whose totals
    no weights meet, left out if those of the treated units can be met. p = (1 + as extreme) / (1 + k),
    two-sided; limits take their critical value from the |statistics|, infinite where k is too small for it.
    """

    p_value: Floats
    omnibus: float
    low: Floats
    high: Floats
    statistics: Floats
    infeasible: int


def permute(
    data: SmallUnits,
    draws: int = 250,
    *,
    kind: Kind = "calibrated",
    seed: int = 0,
    level: float = 0.95,
    threads: int = 1,
) -> Placebos:
    """Placebo groups of as many units, drawn from all units; each gets weights and statistics of its own.

    Draw k depends on (seed, k) alone: the same numbers on any number of threads. Statistics are studentised
    as in `linearised`. Valid where units are exchangeable but for the treatment; groups that lie together or
    were chosen for being alike vary more than random ones, and then these p-values are too small.
    """
    weights, fit = data.weights()
    observed = linearised(data, weights, kind, level)
    found = in_threads(lambda k: placebo(data, (seed, k), kind), range(draws), threads, "placebo groups")
    counted = [statistics for statistics, feasible in found if feasible or not fit.feasible]
    rows = np.array(counted).reshape(len(counted), observed.statistic.size + 1)
    extreme = ~(np.abs(rows) < np.abs(_statistics(observed)) * (1 - TIES))
    p = (1 + extreme.sum(axis=0)) / (1 + len(rows))
    rank = int(np.ceil(level * (1 + len(rows)) - TIES))
    ordered = np.sort(np.nan_to_num(np.abs(rows[:, :-1]), nan=np.inf), axis=0)
    critical = ordered[rank - 1] if rank <= len(rows) else np.full(p.size - 1, np.inf)
    low, high = limits(observed.log_ratio, critical * observed.log_std_error)
    return Placebos(p[:-1], float(p[-1]), low, high, rows, sum(not feasible for _, feasible in found))


def placebo(data: SmallUnits, seed: tuple[int, ...], kind: Kind = "calibrated") -> tuple[Floats, bool]:
    """Statistics (q + 1,), the omnibus last, of one random group instead of the treated; and if feasible."""
    rng = np.random.default_rng(seed)
    treated = data.treated
    while (treated == data.treated).all():
        treated = np.zeros(treated.size, bool)
        treated[rng.choice(treated.size, int(data.treated.sum()), replace=False)] = True
    instead = replace(data, treated=treated)
    weights, fit = instead.weights()
    return _statistics(linearised(instead, weights, kind)), fit.feasible


def _statistics(found: Errors) -> Floats:
    return np.append(found.statistic, found.omnibus_statistic)


def _groups(treated: Mask, count: int, rng: np.random.Generator) -> Codes:
    """Group 0..count-1 of every unit (n,), each arm spread evenly and at random."""
    group = np.empty(treated.size, dtype=np.intp)
    for arm in (np.flatnonzero(treated), np.flatnonzero(~treated)):
        group[rng.permutation(arm)] = np.arange(arm.size) % count
    return group
