"""What a pre-trend test can see: its power against a given trend, and the bias left after passing it.

Source: Roth (2022), "Pretest with Caution", AER: Insights 4(3); the R package `pretrends` 0.1.0 computes
the same.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.joint import wald
from qieval.numerics.two_way import Floats, Mask

PASSED = 1.959963984540054
"""A pre-period coefficient passes if |t| is no larger than this (two-sided 5%)."""

POINTS = 2**12
SHIFTS = 8
LATTICE_SEED = 20220905
RIDGE = 1e-9
"""Added to the diagonal of correlations without Cholesky factor (clustered covariances that lack rank)."""


@dataclass(frozen=True)
class Box:
    """Probability that a normal vector lies in a box, its mean given that, and the probability's error."""

    probability: float
    mean: Floats
    error: float


@dataclass(frozen=True)
class PretrendPower:
    """What happens if the true differences between the groups are `delta` (p,), one per estimated period.

    power: chance that at least one pre-period coefficient has |t| above `PASSED`; power_joint: that the
    joint Wald test rejects at 5%. mean_after_passing (p,): expected estimate in every period given that
    no pre-period |t| is too large; it minus the true effect is the bias, next to delta without the
    pre-test. bayes_factor: chance of passing under delta over chance of passing under parallel trends.
    likelihood_ratio: density of the observed pre-period coefficients under delta over that under parallel
    trends.
    """

    power: float
    power_joint: float
    mean_after_passing: Floats
    bayes_factor: float
    likelihood_ratio: float


def pretrend_power(
    estimate: Floats, covariance: Floats, pre: Mask, delta: Floats, critical: float = PASSED
) -> PretrendPower:
    """Power of pre-trend tests against delta, and the expected estimates after passing.

    estimate (p,), covariance (p, p), pre (p,) marks pre-periods (reference period left out), delta (p,)
    the assumed difference in trends at each period relative to the reference. Normal estimates,
    covariance taken as known.
    """
    sigma = covariance[np.ix_(pre, pre)]
    limit = critical * np.sqrt(np.diag(sigma))
    under_trend = normal_box(delta[pre], sigma, -limit, limit)
    under_none = normal_box(np.zeros(limit.size), sigma, -limit, limit)
    inverse = scipy.linalg.pinvh(sigma)
    moved = covariance[:, pre] @ inverse @ (under_trend.mean - delta[pre])
    mean = delta + moved
    mean[pre] = under_trend.mean
    seen = estimate[pre]
    distance = (seen - delta[pre]) @ inverse @ (seen - delta[pre]) - seen @ inverse @ seen
    return PretrendPower(
        power=1.0 - under_trend.probability,
        power_joint=joint_power(sigma, delta[pre]),
        mean_after_passing=mean,
        bayes_factor=under_trend.probability / under_none.probability,
        likelihood_ratio=float(np.exp(-distance / 2)),
    )


def joint_power(sigma: Floats, delta: Floats, level: float = 0.05) -> float:
    """Chance that a Wald test at this level rejects zero if the truth is delta (q,)."""
    test = wald(delta, sigma)
    critical = scipy.special.chdtri(test.rank, level)
    return float(1.0 - scipy.special.chndtr(critical, test.rank, test.statistic))


def slope_for_power(
    covariance: Floats, periods: Floats, reference: float, power: float = 0.5, critical: float = PASSED
) -> float:
    """Slope per period of a linear difference in trends that the pre-test would detect with this power.

    covariance (p, p) and periods (p,) of the estimates; those before `reference` are the pre-periods. The
    test is "any |t| > critical". Positive (the negative slope has the same power); 0 if chance alone
    reaches that power, NaN without pre-periods.
    """
    from scipy.optimize import brentq

    pre = periods < reference
    if not pre.any():
        return np.nan
    sigma = covariance[np.ix_(pre, pre)]
    error = np.sqrt(np.diag(sigma))
    limit = critical * error
    distance = periods[pre] - reference

    def missing(slope: float) -> float:
        return 1.0 - normal_box(slope * distance, sigma, -limit, limit).probability - power

    if missing(0.0) >= 0:
        return 0.0
    # At this slope one coefficient alone is so far out that the power exceeds any target below 1 - 1e-15.
    far = (critical + 8.0) * float(np.min(error / np.abs(distance)))
    return float(brentq(missing, 0.0, far, xtol=1e-10 * far))


def normal_box(mean: Floats, covariance: Floats, low: Floats, high: Floats) -> Box:
    """Probability that N(mean, covariance) lies in [low, high] (d,), and the mean given that.

    Genz's (1992) separation of variables on shifted Richtmyer lattices with a fixed seed: deterministic,
    smooth in the mean. The error of the probability is nil for d = 1, about 1e-5 for d = 5, 5e-4 for d =
    10 to 20.
    """
    scale = np.sqrt(np.diag(covariance))
    root = _root(covariance / np.outer(scale, scale))
    centre, bottom, top = mean / scale, low / scale, high / scale
    d = centre.size
    generator = np.random.default_rng(LATTICE_SEED)
    steps = np.sqrt(_primes(d))[:, None] * np.arange(1, POINTS + 1)
    chances, means = np.empty(SHIFTS), np.empty((SHIFTS, d))
    for s in range(SHIFTS):
        uniform = np.abs(2 * ((steps + generator.random((d, 1))) % 1.0) - 1)
        values, weight = _sequential(root, centre, bottom, top, uniform)
        chances[s] = weight.mean()
        means[s] = values @ weight / POINTS
    chance = float(chances.mean())
    error = float(chances.std(ddof=1) / np.sqrt(SHIFTS))
    conditional = means.mean(axis=0) / chance if chance > 0 else np.full(d, np.nan)
    return Box(chance, conditional * scale, error)


def _sequential(
    root: Floats, centre: Floats, bottom: Floats, top: Floats, uniform: Floats
) -> tuple[Floats, Floats]:
    """Draws inside the box, one coordinate after the other (d, points), and their weights (points,)."""
    values, normals, weight = np.empty_like(uniform), np.empty_like(uniform), np.ones(uniform.shape[1])
    for j, step in enumerate(uniform):
        known = centre[j] + root[j, :j] @ normals[:j]
        low, high = (bottom[j] - known) / root[j, j], (top[j] - known) / root[j, j]
        upper = low > 0  # work in the lower tail, where the distribution function keeps its digits
        left = scipy.special.ndtr(np.where(upper, -high, low))
        width = scipy.special.ndtr(np.where(upper, -low, high)) - left
        point = np.where(upper, 1 - step, step)
        drawn = scipy.special.ndtri(np.clip(left + point * width, 1e-300, 1 - 1e-16))
        normals[j] = np.where(upper, -drawn, drawn)
        values[j] = known + root[j, j] * normals[j]
        weight *= width
    return values, weight


def _root(correlation: Floats) -> Floats:
    try:
        return np.asarray(scipy.linalg.cholesky(correlation, lower=True))
    except scipy.linalg.LinAlgError:
        return np.asarray(scipy.linalg.cholesky(correlation + RIDGE * np.eye(len(correlation)), lower=True))


def _primes(count: int) -> Floats:
    """The first primes."""
    limit = max(16, int(2 * count * np.log(count + 2)) + 16)
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for p in range(2, int(limit**0.5) + 1):
        sieve[p * p :: p] = False
    return np.flatnonzero(sieve)[:count].astype(float)
