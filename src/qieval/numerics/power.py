"""Power of a two-group comparison, by simulation from outcomes before the start only.

What the estimate would do without an effect is simulated from the two-way residuals of the pre-period.
Clusters are drawn with replacement within their arm, and each gets a new series: first-order
autocorrelation is estimated (freed from the bias that removing means from short series causes), the
innovations are drawn in circular moving blocks (Politis and Romano 1992) of length P^(1/3) (Kunsch 1989),
scaled by (P/(P - L))^(1/2) because means were removed, and put together again with that autocorrelation
("prewhitened" block bootstrap, Davison and Hinkley 1997, section 8.2). Blocks alone would be
too short: with autocorrelation 0.6 and 12 periods they give 0.63 of the true standard deviation. Shocks
shared by a cluster's units, and different variances of clusters, survive. Trends of single clusters and
seasons longer than a block do not: power is then optimistic.
"""

from dataclasses import dataclass, field

import numpy as np
import scipy

from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats, Mask, compact, two_way

TARGET = 0.8
"""Conventional power for the minimum detectable effect."""

LEAST_PERIODS = 4
"""Clusters observed in fewer periods are left out (unless there are no more periods than that)."""

LARGEST_AUTOCORRELATION = 0.98


@dataclass(frozen=True, kw_only=True)
class Power:
    """Simulated behaviour of the estimate and its clustered t test (G - 1 degrees of freedom).

    reason says in words why nothing could be simulated, "" if it could (then all else is NaN or empty).
    sd: standard deviation of the estimate without an effect. size: share of tests that reject then.
    effects, power (m,): chance to reject each true effect, with Monte Carlo standard error power_error
    (m,). mde: smallest positive effect found with 80% power, mde_low to mde_high its Monte Carlo range
    (two standard errors). autocorrelation is that of a cluster's residuals from one period to the next,
    NaN with two periods, which cannot show it (it is then taken as 0).
    """

    reason: str = ""
    sd: float = np.nan
    size: float = np.nan
    size_error: float = np.nan
    effects: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    power: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    power_error: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    mde: float = np.nan
    mde_low: float = np.nan
    mde_high: float = np.nan
    n_clusters: int = 0
    n_treated_clusters: int = 0
    block_length: int = 0
    autocorrelation: float = np.nan


@dataclass(frozen=True, eq=False)
class _Source:
    """Innovations of clusters by arm: series (2, G, P) packed to the front, length (G,) how many.

    units (2, G) counts units; arm 0 is the comparison, 1 the treated. strata are clusters exchanged for
    each other.
    """

    series: Floats
    length: Codes
    units: Floats
    strata: tuple[Codes, ...]
    block: int
    rho: float


def simulate_power(
    outcomes: Floats,
    treated: Mask,
    clusters: Codes,
    n_post: int,
    resampling: Resampling,
    effects: Floats | None = None,
) -> Power:
    """Power of the treated-minus-others difference in mean change, from P pre-periods to n_post later ones.

    outcomes (n_units, P) before the start only, NaN where not observed (a cluster's gaps are closed up);
    treated and clusters (n_units,). Clusters may hold units of both arms. effects (m,) default to 0 to 5
    standard deviations.
    """
    source = _source(outcomes, treated, clusters)
    if isinstance(source, str):
        return Power(reason=source)
    periods = outcomes.shape[1] + n_post
    estimate, error = _null_estimates(source, periods, n_post, resampling)
    g = source.length.size
    n = float(source.units.sum()) * periods
    factor = g / (g - 1) * (n - 1) / (n - 1 - periods)
    limit = -scipy.special.stdtrit(g - 1, (1 - resampling.level) / 2) * error * np.sqrt(factor)
    sd = float(estimate.std(ddof=1))
    effects = np.linspace(0.0, 5.0 * sd, 21) if effects is None else effects
    power = np.array([np.mean(np.abs(estimate + effect) > limit) for effect in effects])
    size = float(np.mean(np.abs(estimate) > limit))
    # An effect is found from the value on at which estimate + effect exceeds the limit; the MDE is a
    # quantile of it.
    needed = np.sort(limit - estimate)
    margin = 2 * np.sqrt(TARGET * (1 - TARGET) / needed.size)
    mde, low, high = np.quantile(needed, np.clip([TARGET, TARGET - margin, TARGET + margin], 0, 1))
    return Power(
        sd=sd,
        size=size,
        size_error=float(np.sqrt(size * (1 - size) / estimate.size)),
        effects=np.asarray(effects, dtype=float),
        power=power,
        power_error=np.sqrt(power * (1 - power) / estimate.size),
        mde=float(mde),
        mde_low=float(low),
        mde_high=float(high),
        n_clusters=g,
        n_treated_clusters=int(np.count_nonzero(source.units[1])),
        block_length=source.block,
        autocorrelation=source.rho if outcomes.shape[1] > 2 else np.nan,
    )


def _source(outcomes: Floats, treated: Mask, clusters: Codes) -> _Source | str:
    """Two-way residuals summed by cluster and arm, or the reason why there are none."""
    if outcomes.shape[1] < 2:
        return "fewer than two periods before the start: the variation over time cannot be estimated"
    residual = _residuals(outcomes)
    codes, g = compact(clusters)
    units = np.array([np.bincount(codes[treated == arm], minlength=g) for arm in (0, 1)], dtype=float)
    series, length = _cluster_series(residual, treated, codes, units)
    kept = length >= min(LEAST_PERIODS, outcomes.shape[1])
    series, length, units = series[:, kept], length[kept], units[:, kept]
    arms = units > 0
    if length.size < 2 or not arms.any(axis=1).all():
        return "fewer than two clusters, or one arm without clusters observed often enough before the start"
    if not np.abs(series).max() > 1e-12 * np.nanmax(np.abs(outcomes), initial=0.0):
        return "outcomes before the start do not vary beyond unit and period effects"
    rho = _autocorrelation(series, length)
    series, length = _innovations(series, length, rho)
    block = min(max(1, round(outcomes.shape[1] ** (1 / 3))), max(1, int(length.min()) - 1))
    series *= np.sqrt(length / np.maximum(length - block, 1))[:, None]
    strata = tuple(np.flatnonzero((arms[0] == a) & (arms[1] == b)) for a, b in ((1, 0), (0, 1), (1, 1)))
    return _Source(series, length, units, tuple(s for s in strata if s.size), block, rho)


def _cluster_series(residual: Floats, treated: Mask, codes: Codes, units: Floats) -> tuple[Floats, Codes]:
    """Residual sums (2, G, P) by arm, cluster, period, gaps closed up, zero behind; their lengths (G,)."""
    shape = (units.shape[1], residual.shape[1])
    series = np.zeros((2, *shape))
    seen = np.ones(shape, dtype=bool)
    for arm in (0, 1):
        total, count = np.zeros(shape), np.zeros(shape)
        inside = treated == arm
        np.add.at(total, codes[inside], np.nan_to_num(residual[inside]))
        np.add.at(count, codes[inside], np.isfinite(residual[inside]))
        series[arm] = units[arm][:, None] * total / np.maximum(count, 1)
        seen &= (count > 0) | (units[arm] == 0)[:, None]
    packed = np.argsort(~seen, axis=1, kind="stable")
    series = np.take_along_axis(series * seen, np.broadcast_to(packed, series.shape), axis=2)
    return series, seen.sum(axis=1)


def _autocorrelation(series: Floats, length: Codes) -> float:
    """First-order autocorrelation behind demeaned series: the value whose expected ratio is the one observed.

    The ratio is sum of e[t] e[t-1] over sum of e[t]^2; with means removed from P periods its expectation
    under autocorrelation rho is that of C R(rho) C, C the centring matrix. It carries no information if P
    = 2.
    """
    periods = int(np.median(length))
    if periods < 3:
        return 0.0
    series, _ = _centred(series, length)
    observed = float((series[..., 1:] * series[..., :-1]).sum() / (series**2).sum())
    candidates = np.linspace(-LARGEST_AUTOCORRELATION, LARGEST_AUTOCORRELATION, 393)
    gap = np.abs(np.subtract.outer(np.arange(periods), np.arange(periods)))
    centring = np.eye(periods) - 1 / periods
    expected = np.empty(candidates.size)
    for i, rho in enumerate(candidates):
        centred = centring @ rho**gap @ centring
        expected[i] = np.trace(centred, offset=1) / np.trace(centred)
    return float(np.interp(observed, expected, candidates))


def _innovations(series: Floats, length: Codes, rho: float) -> tuple[Floats, Codes]:
    """Centred e[t] - rho e[t-1] (2, G, P - 1), how many there are (G,); the series themselves if rho is 0."""
    if rho:
        series, length = series[..., 1:] - rho * series[..., :-1], length - 1
    return _centred(series, length)


def _centred(series: Floats, length: Codes) -> tuple[Floats, Codes]:
    """Series minus their mean over the first `length` places, zero behind."""
    inside = np.arange(series.shape[2]) < length[:, None]
    means = (series * inside).sum(axis=2) / length
    return (series - means[..., None]) * inside, length


def _residuals(outcomes: Floats) -> Floats:
    """Residuals on unit and period effects (n_units, P), NaN where not observed or a singleton."""
    unit, time = np.nonzero(np.isfinite(outcomes))
    residual = np.full(outcomes.shape, np.nan)
    rows = two_way(unit, time)
    if rows.n:
        column = rows.take(outcomes[unit, time])
        rows.residualise(column[None, :])
        residual[unit[rows.used], time[rows.used]] = column
    return residual


def _null_estimates(
    source: _Source, periods: int, n_post: int, resampling: Resampling
) -> tuple[Floats, Floats]:
    """Estimates without an effect and their uncorrected clustered standard errors, (draws,) each."""
    generator = np.random.default_rng(resampling.seed)
    g = source.length.size
    steps = np.arange(periods)
    contrast = _weights_of_innovations(periods, n_post, source.rho)
    n_blocks = -(-periods // source.block)
    estimates, errors = [], []
    for piece in resampling.pieces(resampling.draws, 3 * g * periods, "power"):
        b = piece.stop - piece.start
        drawn = np.empty((b, g), dtype=np.intp)
        for stratum in source.strata:
            drawn[:, stratum] = generator.choice(stratum, (b, stratum.size))
        length = source.length[drawn][..., None]
        starts = (generator.random((b, g, n_blocks)) * length).astype(np.intp)
        places = (starts[..., steps // source.block] + steps % source.block) % length
        units = source.units[:, drawn]
        change = np.array([arm[drawn[..., None], places] @ contrast for arm in source.series])
        totals = units.sum(axis=2, keepdims=True)
        means = change.sum(axis=2, keepdims=True) / totals
        scores = (change - units * means) / totals
        estimates.append(means[1, :, 0] - means[0, :, 0])
        errors.append(np.sqrt(np.sum((scores[1] - scores[0]) ** 2, axis=1)))
    return np.concatenate(estimates), np.concatenate(errors)


def _weights_of_innovations(periods: int, n_post: int, rho: float) -> Floats:
    """Weights of innovations in mean after minus mean before, where e[t] = rho e[t-1] + innovation[t]."""
    before = periods - n_post
    weights = np.where(np.arange(periods) < before, -1.0 / before, 1.0 / n_post)
    for t in range(periods - 2, -1, -1):
        weights[t] += rho * weights[t + 1]
    weights[0] /= np.sqrt(1 - rho**2)
    return weights
