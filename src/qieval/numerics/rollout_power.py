"""Power of a planned roll-out, stepped wedges included, by simulation from outcomes before the start only.

Estimates are weighted sums of outcomes (`rollout_weights`), so one set of simulated series
(`rollout_power_series`) tells power for every effect. Trends of single clusters and seasons longer than a
block are not in those series; power is then optimistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.permutation import TIES
from qieval.numerics.power import TARGET
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_permutation import arrangements, n_arrangements
from qieval.numerics.rollout_power_series import Source, make_source
from qieval.numerics.rollout_weights import RolloutRules, rollout_weights
from qieval.numerics.two_way import Codes, Floats

LONE = (
    "A clustered standard error needs two clusters or more for each start date; plan fewer start dates or "
    "choose the permutation test."
)
FEW = (
    "There are only {count} ways to give out these start dates, too few for a permutation test at this "
    "level; plan more start dates or clusters, or choose the clustered t test."
)
ONE_START = (
    "All clusters have the same start date, so no order can be drawn; plan several start dates, or clusters "
    "that never start."
)
TOO_EARLY = (
    "The planned periods end before the effect has begun to build up, so it cannot show; plan more periods."
)
ORDERS = 199
"""Roll-outs drawn beside the planned one, for a random order and for the permutation test."""

FAR = 1e4
"""The minimum detectable effect is searched up to this many standard deviations of the estimate."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RolloutPlan:
    """When each cluster is to start.

    first (G,): a period, 0 being the first to come, np.inf for never; periods: how many are to come. order
    "random": the dates will be drawn, within strata `within` (G,) if given; "planned": they are as stated.
    """

    first: Floats
    periods: int
    order: Literal["planned", "random"] = "planned"
    within: Codes | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutAnalysis:
    """How the data will be analysed.

    rules: the estimator. test: "clustered" (t test; variance of clusters around the mean of those with the
    same start, Satterthwaite degrees of freedom) or "permutation" of the start dates (right for any number of
    clusters to a date). build_up: share of the full effect in the first, second, ... period from the start
    on; the last stays. (0.0, 0.5, 1.0) is one period of delay and one at half strength.
    """

    rules: RolloutRules = field(default_factory=RolloutRules)
    test: Literal["clustered", "permutation"] = "clustered"
    build_up: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, kw_only=True)
class RolloutPower:
    """Simulated behaviour of a planned analysis.

    reason says in words why nothing could be simulated, '' if it could (then all else is NaN or empty). sd:
    standard deviation of the estimate without an effect. size: share of tests that reject then. share: how
    much of the full effect the estimate shows (below 1 while it builds up). effects, power (m,): full effects
    and the chance to find them, with Monte Carlo standard error power_error (m,). mde: smallest positive full
    effect found with 80% power, from mde_low to mde_high its Monte Carlo range (two standard errors); np.inf
    if no effect however large is found so often.
    """

    reason: str = ""
    sd: float = np.nan
    size: float = np.nan
    size_error: float = np.nan
    share: float = np.nan
    effects: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    power: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    power_error: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    mde: float = np.nan
    mde_low: float = np.nan
    mde_high: float = np.nan
    n_clusters: int = 0
    autocorrelation: float = np.nan


@dataclass(frozen=True, eq=False)
class _Arranged:
    """Roll-outs, the stated one first: starts (m, G), weights (m, G, T); share (m, m): how far the estimate
    for roll-out j moves with the effect of roll-out i."""

    starts: Floats
    weights: Floats
    share: Floats


@dataclass(frozen=True, eq=False)
class _Null:
    """Without an effect: own (B,) the roll-out of each draw, estimate (B,); others (B, m): estimates for all
    roll-outs (permutation test), or limit (B,): the size that an estimate must exceed (t test)."""

    own: Codes
    estimate: Floats
    others: Floats | None
    limit: Floats | None

    def found(self, effect: float, share: Floats, alpha: float) -> float:
        """Share of draws in which an effect of this size is found."""
        if self.others is None:
            moved = self.estimate + effect * np.diag(share)[self.own]
            return float(np.mean(np.abs(moved) > self.limit))
        values = np.abs(self.others + effect * share[self.own])
        observed = values[np.arange(self.own.size), self.own]
        p_value = np.mean(values >= observed[:, None] * (1 - TIES), axis=1)
        return float(np.mean(p_value <= alpha + TIES))


def simulate_rollout_power(
    history: Floats,
    plan: RolloutPlan,
    analysis: RolloutAnalysis | None = None,
    clusters: Codes | None = None,
    resampling: Resampling | None = None,
    effects: Floats | None = None,
) -> RolloutPower:
    """Power of a planned roll-out.

    history (n_units, P): outcomes before the start, NaN where not observed; clusters (n_units,): codes
    0..G-1 of the clusters that start together, None where each unit is one. effects (m,) default to 0 to 5
    standard deviations of the estimate, over `share`. The analysis sees the history as well: P +
    plan.periods periods.
    """
    analysis = analysis or RolloutAnalysis()
    resampling = resampling or Resampling(draws=999)
    codes = np.arange(len(history)) if clusters is None else np.asarray(clusters)
    source = make_source(history, codes, plan.first.size)
    if isinstance(source, str):
        return RolloutPower(reason=source)
    arranged = _arranged(plan, analysis, source.units, history.shape[1], resampling)
    if isinstance(arranged, str):
        return RolloutPower(reason=arranged)
    null = _simulated(source, arranged, analysis.test, plan.order, resampling)
    found = _described(null, arranged.share, 1 - resampling.level, effects)
    rho = source.rho if history.shape[1] > 2 else np.nan
    return replace(found, n_clusters=source.units.size, autocorrelation=rho)


def compare_rollouts(
    history: Floats,
    plans: Mapping[str, RolloutPlan],
    analysis: RolloutAnalysis | None = None,
    clusters: Codes | None = None,
    resampling: Resampling | None = None,
) -> dict[str, RolloutPower]:
    """Power of several plans by name, with the same draws wherever they have as many periods."""
    return {
        name: simulate_rollout_power(history, plan, analysis, clusters, resampling)
        for name, plan in plans.items()
    }


def wave_starts(n_clusters: int, waves: int, *, start: int = 0, gap: int = 1, never: int = 0) -> Floats:
    """Starts (n_clusters,) in waves of equal size (the earlier larger by one where they cannot be), `gap`
    periods apart, the first at `start`; the last `never` clusters do not start. One wave is "all at once", as
    many waves as clusters a stepped wedge with one cluster to a step.

    >>> wave_starts(5, 2, start=1, gap=3, never=1)
    array([ 1.,  1.,  4.,  4., inf])
    """
    sizes = [len(part) for part in np.array_split(np.arange(n_clusters - never), waves)]
    starts = np.repeat(start + gap * np.arange(waves, dtype=float), sizes)
    return np.append(starts, np.full(never, np.inf))


def _arranged(
    plan: RolloutPlan, analysis: RolloutAnalysis, units: Floats, before: int, resampling: Resampling
) -> _Arranged | str:
    """The roll-outs that are looked at, or why the plan cannot be analysed."""
    first = np.where(plan.first >= plan.periods, np.inf, plan.first).astype(float)
    strata = np.zeros(first.size, dtype=np.intp)
    if plan.within is not None:
        strata = np.unique(plan.within, return_inverse=True)[1].astype(np.intp)
    times = np.arange(-before, plan.periods, dtype=float)
    weighed = rollout_weights(first, times, analysis.rules, units)
    several = plan.order == "random" or analysis.test == "permutation"
    problem = weighed.reason or _problem(first, strata, several, analysis.test, 1 - resampling.level)
    if problem:
        return problem
    drawn = arrangements(first, strata, Resampling(draws=ORDERS, seed=resampling.seed)) if several else ()
    starts = np.array([first, *(one for one in drawn if not np.array_equal(one, first))])
    weights = _weights(starts, times, analysis.rules, units)
    strength = np.append(0.0, analysis.build_up)
    step = np.clip(times - starts[:, :, None] + 1, 0, len(analysis.build_up)).astype(np.intp)
    share = strength[step].reshape(len(starts), -1) @ weights.reshape(len(starts), -1).T
    return _Arranged(starts, weights, share) if share[0, 0] > TIES else TOO_EARLY


def _weights(starts: Floats, times: Floats, rules: RolloutRules, units: Floats) -> Floats:
    """Weights (m, G, T) of the roll-outs starts (m, G); found once where clusters are equally large."""
    if units.min() == units.max():
        dates, member = np.unique(starts[0], return_index=True)
        return rollout_weights(starts[0], times, rules, units).weights[member][np.searchsorted(dates, starts)]
    return np.array([rollout_weights(one, times, rules, units).weights for one in starts])


def _problem(first: Floats, strata: Codes, several: bool, test: str, alpha: float) -> str:
    """Why the plan cannot be tested like this, or ''."""
    total = n_arrangements(first, strata)
    if several and total == 1:
        return ONE_START
    if test == "permutation" and 1 / min(total, ORDERS + 1) > alpha + TIES:
        return FEW.format(count=total)
    lone = np.unique(first, return_counts=True)[1].min() < 2
    return LONE if test == "clustered" and lone else ""


def _simulated(source: Source, arranged: _Arranged, test: str, order: str, resampling: Resampling) -> _Null:
    generator = np.random.default_rng(resampling.seed)
    m, g, periods = arranged.weights.shape
    flat = arranged.weights.reshape(m, -1)
    owns, estimates, others, limits = [], [], [], []
    for piece in resampling.pieces(resampling.draws, 4 * g * periods, "power"):
        b = piece.stop - piece.start
        y = source.draw(generator, b, periods)
        own = generator.integers(m, size=b) if order == "random" else np.zeros(b, dtype=np.intp)
        owns.append(own)
        if test == "permutation":
            others.append(y.reshape(b, -1) @ flat.T)
            estimates.append(others[-1][np.arange(b), own])
            continue
        parts = np.einsum("bgt,bgt->bg", arranged.weights[own], y)
        estimates.append(parts.sum(axis=1))
        limits.append(_limits(parts, arranged.starts[own], source.units, resampling.level))
    return _Null(
        np.concatenate(owns),
        np.concatenate(estimates),
        np.concatenate(others) if others else None,
        np.concatenate(limits) if limits else None,
    )


def _limits(parts: Floats, starts: Floats, units: Floats, level: float) -> Floats:
    """What |estimate| must exceed (b,): parts (b, G) are what clusters add to it, starts (b, G) their
    dates."""
    variance, over_df = np.zeros(len(parts)), np.zeros(len(parts))
    for start in np.unique(starts):
        inside = starts == start
        count = inside.sum(axis=1)
        mean = (parts * inside).sum(axis=1) / (units * inside).sum(axis=1)
        deviation = (parts - units * mean[:, None]) * inside
        one = np.sum(deviation**2, axis=1) * count / (count - 1)
        variance += one
        over_df += one**2 / (count - 1)
    df = variance**2 / over_df
    return np.asarray(-scipy.special.stdtrit(df, (1 - level) / 2) * np.sqrt(variance))


def _described(null: _Null, share: Floats, alpha: float, effects: Floats | None) -> RolloutPower:
    sd = float(null.estimate.std(ddof=1))
    draws, unit = null.estimate.size, sd / float(share[0, 0])
    effects = np.linspace(0.0, 5.0 * unit, 21) if effects is None else np.asarray(effects, dtype=float)
    power = np.array([null.found(effect, share, alpha) for effect in effects])
    size = null.found(0.0, share, alpha)
    margin = 2 * np.sqrt(TARGET * (1 - TARGET) / draws)
    targets = (TARGET, TARGET - margin, min(TARGET + margin, 1.0))
    mde, low, high = [_detectable(null, share, alpha, target, unit) for target in targets]
    return RolloutPower(
        sd=sd,
        size=size,
        size_error=float(np.sqrt(size * (1 - size) / draws)),
        share=float(share[0, 0]),
        effects=effects,
        power=power,
        power_error=np.sqrt(power * (1 - power) / draws),
        mde=mde,
        mde_low=low,
        mde_high=high,
    )


def _detectable(null: _Null, share: Floats, alpha: float, target: float, unit: float) -> float:
    """Smallest positive effect found in a share `target` of the draws; np.inf if there is none within
    reach."""
    outside = unit
    while null.found(outside, share, alpha) < target:
        outside *= 2
        if outside > FAR * unit:
            return np.inf
    inside = outside / 2 if outside > unit else 0.0
    while outside - inside > 1e-6 * outside:
        middle = (inside + outside) / 2
        if null.found(middle, share, alpha) >= target:
            outside = middle
        else:
            inside = middle
    return outside
