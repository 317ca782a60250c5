"""A series without the intervention, from a local level and an average over all subsets of control series.

y_t = level_t + x_t b + e_t, level_1 ~ N(y_1, s_y^2), level steps ~ N(0, s_l^2), e ~ N(0, s^2): the model
and the default priors of CausalImpact (Brodersen et al. 2015, Annals of Applied Statistics 9: 247-274;
Scott and Varian 2014), summed and integrated on a grid instead of sampled. Each control is in with the same
probability; those in have b ~ N(0, s^2 V) with V^-1 = weight / n * (X'X + diag X'X) / 2; 1 / s^2 and 1 /
s_l^2 are gamma. Given both standard deviations the model is a Bayesian linear regression with correlated
errors, which one pass of a Kalman filter makes independent. Nothing is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.evidence_subsets import Evidence, Priors, Regressions, search_grid
from qieval.numerics.series_forecast import Forecast, critical
from qieval.numerics.series_level_filter import Filtered, filter_level
from qieval.numerics.two_way import Floats, Mask

MOST_CONTROLS = 12
"""All subsets of more than this many controls (4,096) take too long to enumerate."""

ENDS = 60
"""Bisections for a limit."""


@dataclass(frozen=True, eq=False)
class AveragedForecast:
    """Forecast averaged over subsets of controls, and what was averaged.

    forecast holds mean (m,), covariance (m, m) and normal limits (m,) of the whole mixture. average_lower and
    average_upper are the mixture's own quantiles for the average of the path, which need not be normal.
    inclusion (k,) are the posterior probabilities that a control is in, coefficients (k,) their posterior
    means (zero where out) in the units of the data. subsets (s, k) with weights (s,) are those that count,
    heaviest first. residual_sd and level_sd are posterior means.
    """

    forecast: Forecast
    average_lower: float
    average_upper: float
    inclusion: Floats
    coefficients: Floats
    subsets: Mask
    weights: Floats
    residual_sd: float
    level_sd: float


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Outcome (n,) before, less its first value, and a constant, columns always in and controls (n + m, p).

    Centred and divided by mean and standard deviation in the time before: first, spread and sizes (p,).
    """

    y: Floats
    z: Floats
    first: float
    spread: float
    sizes: Floats
    always: int


def averaged_forecast(
    y: Floats,
    before: int,
    x: Floats,
    always: Floats | None = None,
    priors: Priors | None = None,
    level: float = 0.95,
) -> AveragedForecast:
    """Forecast the time after the first `before` periods from control series x (n, k) of unknown use.

    y (n,) is NaN where a value is missing; what it holds from `before` on is not looked at. always (n, a)
    are columns of every model (a season, say), with coefficients of prior standard deviation one per
    standard deviation of column and outcome. Enumerates all subsets of at most twelve controls and raises
    ValueError beyond, or where fewer than three values or a constant series come before.

    Checked against dense normal densities and R CausalImpact (which samples, and keeps an intercept beside
    the level). The default prior wants a steady level: with 70 periods before, 30 after and noise of sd 1,
    the 95% interval of the average held the truth in 97% of 150 simulated series with level steps of sd
    0.05, but in 76% with 0.2; level_df=1, level_sd=0.05 gave 100% and 96% (of 200), with wider intervals.
    """
    priors = priors or Priors()
    n, k = x.shape
    if k > MOST_CONTROLS:
        raise ValueError(f"{k} controls have too many subsets: choose at most {MOST_CONTROLS}")
    if not 0 < before < n:
        raise ValueError(f"{before} of {n} periods are before the intervention: some must be on each side")
    scaled = _scale(y[:before], before, x, np.zeros((n, 0)) if always is None else always)
    regressions = _regressions(scaled, before, priors)
    evidence = search_grid(regressions, priors)
    return _summary(scaled, before, regressions, evidence, level)


def _scale(y: Floats, before: int, x: Floats, always: Floats) -> _Scaled:
    columns = np.column_stack([always, x])
    if not np.isfinite(columns).all():
        raise ValueError("control series must have a value in every period")
    observed = np.isfinite(y)
    if observed.sum() < 3 or not np.ptp(y[observed]) > 0:
        raise ValueError("at least three values, not all the same, must come before the intervention")
    sizes = columns[:before].std(axis=0, ddof=1)
    if not (sizes > 1e-12 * np.abs(columns[:before]).max(axis=0, initial=0.0)).all():
        raise ValueError("a control series does not change before the intervention")
    first = float(y[observed][0])
    spread = float(y[observed].std(ddof=1))
    turned = (columns - columns[:before].mean(axis=0)) / sizes
    z = np.column_stack([np.ones(len(turned)), turned])
    return _Scaled((y - first) / spread, z, first, spread, sizes, 1 + always.shape[1])


def _regressions(scaled: _Scaled, before: int, priors: Priors) -> Regressions:
    """Everything that the evidence needs as a function of the two standard deviations."""
    observed = np.isfinite(scaled.y)
    start = int(np.flatnonzero(observed)[0])
    stacked = np.column_stack([np.where(observed, scaled.y, 0.0), scaled.z[:before]])
    controls = scaled.z[:, scaled.always :]
    product = controls.T @ controls / len(controls)
    slab = priors.slab_weight * (product + np.diag(np.diag(product))) / 2
    return Regressions(stacked[start:], observed[start:], slab, scaled.always)


@dataclass(frozen=True, eq=False)
class _Mixture:
    """Components of the mixture summed over subsets, at g pairs of standard deviations.

    first (g, p) and second (g, p, p) are weighted sums of the coefficients' means and mean squares; centres
    and variances (s, g) those of the average of the path.
    """

    first: Floats
    second: Floats
    centres: Floats
    variances: Floats


def _mixture(future: Floats, regressions: Regressions, evidence: Evidence, filtered: Filtered) -> _Mixture:
    ahead, p = future.shape
    noise = evidence.noise
    first, second = np.zeros((noise.size, p)), np.zeros((noise.size, p, p))
    centres, variances = np.empty(evidence.weights.shape), np.empty(evidence.weights.shape)
    own = filtered.last_variance + evidence.step**2 * _shared_steps(ahead).mean() + noise**2 / ahead
    for i, (members, weight) in enumerate(zip(evidence.subsets, evidence.weights, strict=True)):
        columns = np.flatnonzero(np.concatenate([np.ones(regressions.always, bool), members]))
        mean, covariance = regressions.posterior(filtered, noise, columns)
        at = np.ix_(np.arange(noise.size), columns, columns)
        first[:, columns] += weight[:, None] * mean
        second[at] += weight[:, None, None] * (covariance + mean[:, :, None] * mean[:, None, :])
        along = future[:, columns].mean(axis=0) - filtered.last[:, 1 + columns]
        centres[i] = filtered.last[:, 0] + (along * mean).sum(axis=1)
        variances[i] = own + np.einsum("gi,gij,gj->g", along, covariance, along)
    return _Mixture(first, second, centres, variances)


def _shared_steps(ahead: int) -> Floats:
    """Steps of the level that two periods to come have in common (m, m)."""
    at = np.arange(ahead, dtype=np.float64)
    return np.minimum.outer(at, at)


def _path(future: Floats, evidence: Evidence, filtered: Filtered, mixture: _Mixture) -> tuple[Floats, Floats]:
    """Mean (m,) and covariance (m, m) of the path to come, on the scaled outcome."""
    ahead = len(future)
    lags = _shared_steps(ahead)
    mean, square = np.zeros(ahead), np.zeros((ahead, ahead))
    for g, share in enumerate(evidence.weights.sum(axis=0)):
        along = future - filtered.last[g, 1:]
        moved = along @ mixture.first[g]
        start = filtered.last[g, 0]
        mean += share * start + moved
        square += along @ mixture.second[g] @ along.T + start * (moved[:, None] + moved[None, :])
        square += share * (start**2 + filtered.last_variance[g] + evidence.step[g] ** 2 * lags)
        square += share * evidence.noise[g] ** 2 * np.eye(ahead)
    return mean, square - np.outer(mean, mean)


def _summary(
    scaled: _Scaled, before: int, regressions: Regressions, evidence: Evidence, level: float
) -> AveragedForecast:
    """The mixture of normal paths in the units of the data."""
    future = scaled.z[before:]
    filtered = filter_level(regressions.stacked, regressions.observed, evidence.noise, evidence.step)
    mixture = _mixture(future, regressions, evidence, filtered)
    mean, covariance = _path(future, evidence, filtered, mixture)
    mean, covariance = scaled.first + scaled.spread * mean, scaled.spread**2 * covariance
    reach = critical(level, np.inf) * np.sqrt(np.diag(covariance))
    lower, upper = (
        scaled.first
        + scaled.spread * mixture_quantile(q, evidence.weights, mixture.centres, mixture.variances)
        for q in ((1 - level) / 2, (1 + level) / 2)
    )
    weights = evidence.weights.sum(axis=1)
    order = np.argsort(-weights, kind="stable")
    share = evidence.weights.sum(axis=0)
    controls = slice(scaled.always, None)
    return AveragedForecast(
        forecast=Forecast(
            mean=mean,
            covariance=covariance,
            lower=mean - reach,
            upper=mean + reach,
            level=level,
            df=np.inf,
            converged=evidence.converged,
            problem=evidence.problem,
        ),
        average_lower=lower,
        average_upper=upper,
        inclusion=weights @ evidence.subsets,
        coefficients=mixture.first.sum(axis=0)[controls] * scaled.spread / scaled.sizes[scaled.always - 1 :],
        subsets=evidence.subsets[order],
        weights=weights[order],
        residual_sd=float(share @ evidence.noise) * scaled.spread,
        level_sd=float(share @ evidence.step) * scaled.spread,
    )


def mixture_quantile(probability: float, weights: Floats, centres: Floats, variances: Floats) -> float:
    """Quantile of a mixture of normal distributions, by bisection.

    >>> one = np.ones(1)
    >>> round(mixture_quantile(0.975, one, 5 * one, 4 * one), 4)
    8.9199
    """
    spread = np.sqrt(variances)
    low, high = float((centres - 10 * spread).min()), float((centres + 10 * spread).max())
    for _ in range(ENDS):
        middle = (low + high) / 2
        below = float((weights * scipy.special.ndtr((middle - centres) / spread)).sum())
        low, high = (middle, high) if below < probability else (low, middle)
    return (low + high) / 2
