"""Do both arms hold people alike: preference score, common support, C-statistic, overlap of densities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

MOST_POINTS = 1 << 16
"""Points of the finest grid of a density; usually 1024 do."""


def preference_score(score: Floats, prevalence: float) -> Floats:
    """The propensity score freed of how common the treatment is: logit(preference) = logit(score) - logit(p).

    score (n,) strictly between 0 and 1; prevalence: share treated. 0.5 means that a person was as likely
    treated as the average person. Source: Walker et al. (2013), Comparative Effectiveness Research 3:11.

    >>> preference_score(np.array([0.2, 0.5]), 0.2).round(3)
    array([0.5, 0.8])
    """
    odds = scipy.special.logit(score) - scipy.special.logit(prevalence)
    return np.asarray(scipy.special.expit(odds))


@dataclass(frozen=True)
class Equipoise:
    """Share of people whose preference score lies between the limits: of everybody, of treated, of control.

    Walker et al. call two treatments in empirical equipoise when at least half of both arms lie there.
    """

    share: float
    treated: float
    control: float


def equipoise(preference: Floats, treated: np.ndarray, low: float = 0.3, high: float = 0.7) -> Equipoise:
    """Share in equipoise; limits belong to the interval.

    >>> equipoise(np.array([0.1, 0.4, 0.5, 0.6]), np.array([0, 0, 1, 1]))
    Equipoise(share=0.75, treated=1.0, control=0.5)
    """
    inside = (preference >= low) & (preference <= high)
    one = np.asarray(treated) == 1
    return Equipoise(float(inside.mean()), float(inside[one].mean()), float(inside[~one].mean()))


@dataclass(frozen=True)
class Support:
    """Range of the score in which both arms have people, ends included, and how many lie outside.

    low is above high when the ranges do not meet; then everybody is outside.
    """

    low: float
    high: float
    outside_treated: int
    outside_control: int


def common_support(score: Floats, treated: np.ndarray) -> Support:
    """Common support by the extremes of both arms (rule "both" of MatchIt's discard).

    >>> common_support(np.array([0.1, 0.3, 0.6, 0.2, 0.5, 0.9]), np.array([0, 0, 0, 1, 1, 1]))
    Support(low=0.2, high=0.6, outside_treated=1, outside_control=1)
    """
    one = np.asarray(treated) == 1
    low = max(float(score[one].min()), float(score[~one].min()))
    high = min(float(score[one].max()), float(score[~one].max()))
    out = (score < low) | (score > high)
    return Support(low, high, int(out[one].sum()), int(out[~one].sum()))


def c_statistic(score: Floats, treated: np.ndarray, weights: Floats | None = None) -> float:
    """Chance that a treated person has a higher score than a control, ties counting half.

    0.5: the score cannot tell the arms apart. After weighting, values near 0.5 are wanted. NaN where an arm
    has no weight.

    >>> c_statistic(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    w = np.ones(len(score)) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(score)
    last = np.append(np.diff(score[order]) != 0, True)
    one = np.where(np.asarray(treated)[order] == 1, w[order], 0.0)
    upto_one, upto_zero = np.cumsum(one)[last], np.cumsum(w[order] - one)[last]
    total = upto_one[-1] * upto_zero[-1]
    here, zero = np.diff(upto_one, prepend=0.0), np.diff(upto_zero, prepend=0.0)
    return float(np.sum(here * (upto_zero - zero / 2)) / total) if total > 0 else float("nan")


def densities_apart(x: Floats, treated: np.ndarray, weights: Floats | None = None) -> float:
    """1 minus the area under both kernel densities: 0 where the arms have the same distribution, 1 if apart.

    x (n,), NaN left out. Gaussian kernel, bandwidth by Scott's rule for the unweighted smaller arm (R's
    bw.nrd), the same for both arms; |difference in proportions| for 0/1 columns. It is cobalt's "ovl",
    here to about 1e-5. cobalt differs by up to 0.002 under R before 4.4, whose density() returns a slightly
    stretched curve (area above 1). NaN if an arm has no weighted value.
    """
    kept = ~np.isnan(x)
    x, one = x[kept], (np.asarray(treated) == 1)[kept]
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)[kept]
    totals = w[one].sum(), w[~one].sum()
    if min(totals) == 0:
        return float("nan")
    share = np.where(one, w / totals[0], -w / totals[1])
    if np.all((x == 0) | (x == 1)):
        return float(abs(np.sum(share * x)))
    if x[one].min() > x[~one].max() or x[one].max() < x[~one].min():
        return 1.0
    width = _bandwidth(x[one] if one.sum() < (~one).sum() else x[~one])
    width = width if width > 0 else _bandwidth(x)
    low, high = float(x.min()) - 4 * width, float(x.max()) + 4 * width
    points = int(min(MOST_POINTS, 2 ** np.ceil(np.log2(max(1024.0, 32 * (high - low) / width)))))
    curves = [_density(x[arm], np.abs(share[arm]), (low, high, points), width) for arm in (one, ~one)]
    area = float(np.sum(np.minimum(*curves)) * (high - low) / (points - 1))
    return min(max(1 - area, 0.0), 1.0)


def _bandwidth(x: Floats) -> float:
    """Scott's rule of thumb; the standard deviation alone where the quartiles coincide."""
    spread = float(np.std(x, ddof=1)) if x.size > 1 else 0.0
    quartile = float(np.subtract(*np.quantile(x, [0.75, 0.25]))) / 1.34
    return float(1.06 * (min(spread, quartile) if quartile > 0 else spread) * x.size**-0.2)


def _density(x: Floats, share: Floats, grid: tuple[float, float, int], width: float) -> Floats:
    """Gaussian kernel density at the points of a grid (low, high, points): linear binning, then Fourier."""
    low, high, points = grid
    step = (high - low) / (points - 1)
    place = (x - low) / step
    left = np.minimum(place.astype(np.int64), points - 2)
    right = place - left
    mass = np.bincount(left, share * (1 - right), points) + np.bincount(left + 1, share * right, points)
    frequency = 2 * np.pi * np.fft.rfftfreq(2 * points, step)
    smooth = np.fft.irfft(np.fft.rfft(mass, 2 * points) * np.exp(-0.5 * (frequency * width) ** 2))
    return np.asarray(np.maximum(smooth[:points], 0.0) / step)


def histogram(
    score: Floats, treated: np.ndarray, weights: Floats | None = None, bins: int = 40
) -> tuple[Floats, Floats, Floats]:
    """Edges (bins + 1,) over 0 to 1, and the sum of weights of treated and of control in each bin (bins,)."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip((np.asarray(score) * bins).astype(np.int64), 0, bins - 1)
    w = np.ones(len(place)) if weights is None else np.asarray(weights, dtype=float)
    one = np.asarray(treated) == 1
    held = [np.bincount(place[arm], w[arm], bins).astype(float) for arm in (one, ~one)]
    return edges, held[0], held[1]
