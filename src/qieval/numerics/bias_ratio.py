"""Does an instrument balance what is known about people, and would leaving it out bias the instrument less?

An imbalance by the instrument counts more than the same imbalance by treatment, because the estimate divides
it by the first stage (Brookhart and Schneeweiss 2007; Jackson and Swanson 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.instruments_compliers import Estimates, Sampling
from qieval.numerics.instruments_exclusion import instruments_vary, orthonormal, residuals_on
from qieval.numerics.means import crossproduct, rows_used
from qieval.numerics.two_way import Floats, Mask

Contrast = Literal["arms", "median", "sd"]


ROUNDING = 1e-12
"""A standard deviation below this share of the difference of means is rounding."""


@dataclass(frozen=True, eq=False)
class Imbalance:
    """Characteristics (q,) in the high and the low arm and their standardised difference.

    Difference of means over the root of the mean of both arms' variances (divisor n - 1, for 0/1
    characteristics too). Contrast "sd": no arms (means NaN), and smd is how many of its standard deviations
    a characteristic changes per standard deviation of the variable, the correlation. 0 where a
    characteristic is constant, infinite where it is so within arms only.
    """

    high: Floats
    low: Floats
    smd: Floats
    contrast: Contrast


@dataclass(frozen=True, eq=False)
class BiasRatios:
    """Bias (q,) that leaving out each characteristic would bring, per unit of its effect on the outcome.

    by_instrument: in two-stage least squares; by_treatment: in a regression on treatment. ratio is
    by_instrument / by_treatment: beyond 1 in size the instrument would be the more biased of the two. Its
    standard error is that of the delta method and says little where by_treatment is not clearly different
    from 0.
    """

    by_instrument: Estimates
    by_treatment: Estimates
    ratio: Estimates


def imbalance(
    by: Floats, profile: Floats, weights: Floats | None = None, contrast: Contrast | None = None
) -> Imbalance:
    """Characteristics (n, q) by a variable (n,): treatment, or an instrument.

    contrast "arms" is for a 0/1 variable, "median" compares rows above the median with the others, "sd" is
    per standard deviation; None means "arms" for 0/1 and "sd" otherwise. The arms of a 0/1 variable lie at
    least two of its standard deviations apart, so compare only numbers of the same contrast. Of a
    characteristic that is NaN somewhere all is NaN. EstimationError where the variable does not vary.

    >>> found = imbalance(np.array([1.0, 1, 1, 0, 0, 0]), np.array([[3.0], [4], [5], [1], [2], [3]]))
    >>> found.high, found.low, found.smd
    (array([4.]), array([2.]), array([2.]))
    """
    weight = np.ones(len(by)) if weights is None else np.asarray(weights, dtype=float)
    used = rows_used(weight)
    by, profile, weight = np.asarray(by, dtype=float)[used], profile[used], weight[used]
    if not by.size or np.ptp(by) == 0:
        raise EstimationError("the variable by which balance is judged does not vary")
    binary = bool(np.isin(by, (0.0, 1.0)).all())
    contrast = contrast or ("arms" if binary else "sd")
    if contrast == "sd":
        none = np.full(profile.shape[1], np.nan)
        return Imbalance(none, none, _correlations(by, profile, weight), contrast)
    if contrast == "arms" and not binary:
        raise ValueError("the contrast of arms is for a variable that is 0 or 1")
    above = by == 1 if contrast == "arms" else by > _median(by, weight)
    if above.all() or not above.any():
        raise EstimationError("no value lies above the median: choose another contrast")
    shift = profile[0]
    (high, spread_high), (low, spread_low) = (
        _moments(profile - shift, weight, arm) for arm in (above, ~above)
    )
    gap, divisor = high - low, np.sqrt((spread_high + spread_low) / 2)
    divisor = np.where(divisor <= ROUNDING * np.abs(gap), 0.0, divisor)
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = np.where(gap == 0, 0.0, gap / divisor)
    return Imbalance(high + shift, low + shift, smd, contrast)


def bias_ratios(
    x: Floats, z: Floats, profile: Floats, w: Floats | None = None, sampling: Sampling | None = None
) -> BiasRatios:
    """Imbalance of characteristics (n, q) by instruments z (n, k) over the first stage, and by x (n,).

    by_instrument is the two-stage least squares coefficient of x with the characteristic as the outcome: for
    one 0/1 instrument the difference of its means over the difference in uptake. by_treatment is the same by
    least squares: for a 0/1 treatment the difference of means. Given w (n, c), constant included (None: the
    constant), which should not hold the characteristic itself: its bias is then 0 either way and its ratio
    NaN. Robust standard errors with the factor G/(G-1), G the clusters or else the rows. EstimationError if
    the treatment or the instrument does not vary.
    """
    sampling = sampling or Sampling()
    weight = np.ones(len(x)) if sampling.weights is None else np.asarray(sampling.weights, dtype=float)
    used, root = rows_used(weight), np.sqrt(weight)[:, None]
    controls = np.ones((len(x), 1)) if w is None else w
    data = np.where(used[:, None], np.column_stack([x, z, profile]), 0.0) * root
    left = residuals_on(data, orthonormal(np.where(used[:, None], controls, 0.0) * root))
    k = z.shape[1]
    exposure, instruments, outcomes = left[:, 0], left[:, 1 : 1 + k], left[:, 1 + k :]
    gone = np.linalg.norm(outcomes, axis=0) <= 1e-7 * np.linalg.norm(data[:, 1 + k :], axis=0)
    outcomes = np.where(gone, 0.0, outcomes)
    instruments_vary(left[:, :1], data[:, :1], "the treatment")
    instruments_vary(instruments, data[:, 1 : 1 + k])
    span = orthonormal(instruments)
    fitted = span @ (span.T @ exposure)
    if np.linalg.norm(fitted) <= 1e-7 * np.linalg.norm(exposure):
        raise EstimationError("with the controls held fixed the treatment does not vary with the instrument")
    (iv, of_iv), (ols, of_ols) = (_slopes(outcomes, exposure, by) for by in (fitted, exposure))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = iv / ols
        of_ratio = (of_iv - ratio * of_ols) / ols

    def estimates(value: Floats, influence: Floats) -> Estimates:
        variance = np.diag(crossproduct(influence, sampling.clusters, used, adjust=True))
        return Estimates(value, np.sqrt(variance))

    return BiasRatios(estimates(iv, of_iv), estimates(ols, of_ols), estimates(ratio, of_ratio))


def _slopes(outcomes: Floats, exposure: Floats, by: Floats) -> tuple[Floats, Floats]:
    """Coefficients (q,) of exposure with instrument `by`, and what rows contribute to them (n, q)."""
    strength = float(by @ exposure)
    beta = by @ outcomes / strength
    return beta, (outcomes - np.outer(exposure, beta)) * (by / strength)[:, None]


def _moments(profile: Floats, weight: Floats, arm: Mask) -> tuple[Floats, Floats]:
    """Mean and variance (q,) in one arm: sum w (g - m)^2 / W / (1 - sum w^2 / W^2)."""
    share = weight[arm] / weight[arm].sum()
    mean = share @ profile[arm]
    free = 1.0 - float(share @ share)
    variance = share @ (profile[arm] - mean) ** 2 / free if free > 0 else np.full(mean.size, np.nan)
    return mean, variance


def _correlations(by: Floats, profile: Floats, weight: Floats) -> Floats:
    share = weight / weight.sum()
    one, many = by - share @ by, profile - share @ profile
    spread = np.sqrt((share @ one**2) * (share @ many**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.ptp(profile, axis=0) == 0, 0.0, (share * one) @ many / spread)


def _median(by: Floats, weight: Floats) -> float:
    """Smallest value up to which at least half of the weight lies."""
    order = np.argsort(by, kind="stable")
    held = np.cumsum(weight[order])
    return float(by[order][np.searchsorted(held, held[-1] / 2 * (1 - 1e-12))])
