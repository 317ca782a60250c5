"""Funnel plots: how far units of different size may lie from a common value by chance alone.

Spiegelhalter (2005), Funnel plots for comparing institutional performance, Statistics in Medicine 24, with
over-dispersion after Spiegelhalter et al. (2012), JRSS A 175; transformations of the R package FunnelPlotR.

Kinds: "proportion" (y of n, binomial), "rate" (y events in n units of exposure, Poisson) and "ratio" (y
observed beside n expected events, Poisson: standardised mortality). target is the common value of y / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

How = Literal["exact", "normal", "multiplicative", "additive"]
KINDS = ("proportion", "rate", "ratio")


class Scores(NamedTuple):
    """Distance of each unit from the target on the transformed scale: value, standard error, z (s,)."""

    value: Floats
    standard_error: Floats
    z: Floats


@dataclass(frozen=True)
class Dispersion:
    """How much more units differ than chance explains.

    phi is the mean squared z after winsorising (1 = chance alone); tau2 the variance between units on the
    transformed scale, 0 if phi does not exceed what chance gives; n_units the units it was computed from.
    """

    phi: float
    tau2: float
    n_units: int


def funnel_target(y: Floats, n: Floats) -> float:
    """The common value: all events over all denominators."""
    return float(np.sum(y) / np.sum(n))


def funnel_scores(kind: str, y: Floats, n: Floats, target: float) -> Scores:
    """Units on a scale where their spread depends on size only; y and n (s,).

    Proportions: arcsine of the root, standard error 1 / (2 root n). Rates and ratios: log(y / expected),
    standard error 1 / root(expected), expected = n x target; a unit without events counts as half an event,
    since the logarithm of 0 has no value.
    """
    _check(kind, y, n, target)
    if kind == "proportion":
        value = np.arcsin(np.sqrt(y / n)) - np.arcsin(np.sqrt(target))
    else:
        value = np.log(np.where(y > 0, y, 0.5) / (n * target))
    error = _standard_error(kind, n, target)
    return Scores(value, error, value / error)


def funnel_dispersion(kind: str, y: Floats, n: Floats, target: float, winsorise: float = 0.1) -> Dispersion:
    """Over-dispersion among units; y and n (s,).

    z scores beyond the `winsorise` quantile at either end are drawn in to it, so that the few units a funnel
    is meant to find do not widen it. tau2 is DerSimonian and Laird's moment estimate on these z. Drawing in
    makes both estimates a little small: without any over-dispersion phi is about 0.7 at 10%.
    """
    if not 0 <= winsorise < 0.5:
        raise ValueError("winsorise is a share below one half")
    scores = funnel_scores(kind, y, n, target)
    low, high = np.quantile(scores.z, [winsorise, 1 - winsorise])
    count = scores.z.size
    total = float(np.sum(np.clip(scores.z, low, high) ** 2))
    precision = scores.standard_error**-2
    room = precision.sum() - (precision**2).sum() / precision.sum()
    excess = total - (count - 1)
    tau2 = excess / room if excess > 0 and room > 0 else 0.0
    return Dispersion(total / count, float(tau2), count)


def funnel_limits(
    kind: str,
    n: Floats,
    target: float,
    level: float,
    how: How = "exact",
    dispersion: Dispersion | None = None,
) -> tuple[Floats, Floats]:
    """Lower and upper limits at denominators n (m,), on the scale of y / n; level 0.95 and 0.998 are usual.

    "exact": binomial or Poisson quantiles, interpolated between counts so that the curve has no steps
    (Spiegelhalter 2005, appendix A.1.1); proportions take whole n. FunnelPlotR inverts a test instead, which
    gives other limits for small n. "normal": target plus and minus z standard errors. "multiplicative":
    standard errors grow by root(phi) where phi > 1; "additive": tau2 is added to their squares; both on the
    transformed scale of `funnel_scores`, and need `dispersion`. Limits are cut at 0, for proportions at 1.
    """
    _check(kind, np.zeros_like(n), n, target)
    if not 0 < level < 1:
        raise ValueError("level lies between 0 and 1")
    if how == "exact":
        tails = ((1 - level) / 2, (1 + level) / 2)
        lower, upper = (_exact(kind, n, target, tail) for tail in tails)
    else:
        distance = float(scipy.special.ndtri((1 + level) / 2))
        if how == "normal":
            spread = distance * np.sqrt(target * ((1 - target) if kind == "proportion" else 1.0) / n)
            lower, upper = target - spread, target + spread
        else:
            spread = distance * _widened(_standard_error(kind, n, target), how, dispersion)
            lower, upper = _back(kind, target, -spread), _back(kind, target, spread)
    top = 1.0 if kind == "proportion" else np.inf
    return np.clip(lower, 0.0, top), np.clip(upper, 0.0, top)


def _standard_error(kind: str, n: Floats, target: float) -> Floats:
    error: Floats = 1 / (2 * np.sqrt(n)) if kind == "proportion" else 1 / np.sqrt(n * target)
    return error


def _widened(error: Floats, how: How, dispersion: Dispersion | None) -> Floats:
    if dispersion is None or how not in ("multiplicative", "additive"):
        raise ValueError(f"limits {how!r} need a dispersion, or are none of those known")
    phi, tau2 = (dispersion.phi, 0.0) if how == "multiplicative" else (1.0, dispersion.tau2)
    widened: Floats = np.sqrt(error**2 * max(phi, 1.0) + tau2)
    return widened


def _back(kind: str, target: float, distance: Floats) -> Floats:
    """From the transformed scale to y / n; the arcsine scale ends at 0 and at a quarter turn."""
    if kind == "proportion":
        angle = np.clip(np.arcsin(np.sqrt(target)) + distance, 0.0, np.pi / 2)
        share: Floats = np.sin(angle) ** 2
        return share
    ratio: Floats = target * np.exp(distance)
    return ratio


def _exact(kind: str, n: Floats, target: float, tail: float) -> Floats:
    """The `tail` quantile of y / n, interpolated between counts."""
    from scipy import stats

    law = stats.binom(n, target) if kind == "proportion" else stats.poisson(n * target)
    count = law.ppf(tail)
    at, before = law.cdf(count), law.cdf(count - 1)
    quantile: Floats = (count - (at - tail) / (at - before)) / n
    return quantile


def _check(kind: str, y: Floats, n: Floats, target: float) -> None:
    if kind not in KINDS:
        raise ValueError(f"no funnel is called {kind!r}")
    if not (np.isfinite(y).all() and np.isfinite(n).all() and (n > 0).all() and (y >= 0).all()):
        raise ValueError("counts are finite and not negative, denominators finite and above 0")
    if not 0 < target < np.inf:
        raise ValueError("the target is finite and above 0")
    if kind == "proportion" and (target >= 1 or (y > n).any() or (n != np.round(n)).any()):
        raise ValueError("proportions: the target is below 1, y at most n, and n are whole numbers")
