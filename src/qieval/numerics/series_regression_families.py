"""What the distributions of a series say: mean, variance, deviance and likelihood, for any shape of arrays.

Deviance and likelihood are written so that nothing cancels: counts of 1e9 and a theta of 1e12 keep their
digits (saddle-point form of Loader 2000: the saturated likelihood from the error of Stirling's formula, the
rest from the deviance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

Family = Literal["gaussian", "poisson", "quasi-poisson", "negative binomial", "binomial", "quasi-binomial"]
Law = Literal["gaussian", "poisson", "negative binomial", "binomial"]
Link = Literal["identity", "log", "logit"]

FAMILIES: tuple[str, ...] = get_args(Family)
FARTHEST = 300.0
"""Linear predictors are held within plus and minus this, so that no product overflows."""
NEAR = 0.05
SERIES = np.array([1 / (power + 2) for power in range(13, -1, -1)])
"""log(1 + u) is summed as a power series for |u| below NEAR: 14 terms leave 1e-18."""
STIRLING = np.array([1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12])
LARGE = 30.0
"""Stirling's error is taken from its asymptotic series above this (five terms leave 1e-18)."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Observed values with their distribution: y (..., n); offset and trials are as large, or (n,).

    y are values, counts, or numbers of successes among `trials`; theta is the size of the negative binomial
    (variance mu + mu^2 / theta). A mean is always on the scale of y: expected successes, not a share.
    """

    y: Floats
    law: Law
    offset: Floats
    trials: Floats
    theta: float = np.inf

    @property
    def link(self) -> Link:
        """Identity for gaussian, logit for binomial, log otherwise."""
        return "identity" if self.law == "gaussian" else "logit" if self.law == "binomial" else "log"

    @property
    def edge(self) -> Mask:
        """Values at the end of what is possible (no event, or all successes), where a fit can run away."""
        if self.law == "gaussian":
            return np.zeros(self.y.shape, dtype=bool)
        none: Mask = self.y == 0
        return none | np.equal(self.y, self.trials) if self.law == "binomial" else none

    @property
    def scale(self) -> Floats:
        """A typical size of the working weights of a series (...): its mean, or its mean number of trials."""
        sizes = np.broadcast_to(self.trials, self.y.shape) if self.law == "binomial" else self.y
        return np.asarray(sizes.mean(axis=-1))

    @property
    def degenerate(self) -> Mask:
        """Whether the values of a series all lie at the same end, so that no finite estimate exists (...)."""
        if self.law == "gaussian":
            return np.zeros(self.y.shape[:-1], dtype=bool)
        none = np.all(self.y == 0, axis=-1)
        full = np.all(self.y == self.trials, axis=-1)
        return np.asarray(none | full if self.law == "binomial" else none)

    def mean(self, linear: Floats) -> Floats:
        """Expected value (..., n) at the linear predictor, offset included in it."""
        mean = inverse_link(linear, self.link)
        return self.trials * mean if self.law == "binomial" else mean

    def weights(self, linear: Floats) -> Floats:
        """Working weights (d mean / d linear)^2 / variance (..., n)."""
        if self.law == "gaussian":
            return np.ones(np.broadcast_shapes(linear.shape, self.y.shape))
        mean = self.mean(linear)
        if self.law == "binomial":
            return mean * inverse_link(-linear, "logit")
        return mean / (1 + mean / self.theta)

    def score(self, linear: Floats) -> Floats:
        """Derivative of the log-likelihood (dispersion 1) by the linear predictor (..., n)."""
        mean = self.mean(linear)
        return (self.y - mean) / (1 + mean / self.theta)

    def curvature(self, linear: Floats) -> Floats:
        """Minus the second derivative of the log-likelihood by the linear predictor (..., n), not negative.

        The same as weights for all but the negative binomial, of which weights are the expectation.
        """
        if np.isinf(self.theta):
            return self.weights(linear)
        mean = self.mean(linear)
        return mean / (1 + mean / self.theta) * ((self.theta + self.y) / (self.theta + mean))

    def variance(self, linear: Floats) -> Floats:
        """Variance at dispersion 1 (..., n)."""
        if self.law == "negative binomial":
            mean = self.mean(linear)
            return mean * (1 + mean / self.theta)
        return self.weights(linear)

    def unit_deviance(self, linear: Floats) -> Floats:
        """Contributions to the deviance (..., n), never negative."""
        mean = self.mean(linear)
        away = mean - self.y
        if self.law == "gaussian":
            return np.square(away)
        if np.isfinite(self.theta):
            return np.maximum(2 * _scattered(self.y, mean, self.theta), 0.0)
        out = divergence(self.y, mean, away)
        if self.law == "binomial":
            out = out + divergence(self.trials - self.y, self.trials * inverse_link(-linear, "logit"), -away)
        return np.maximum(2 * out, 0.0)

    def saturated(self) -> Floats:
        """Log-likelihood (..., n) of a model that fits every value; not for gaussian outcomes."""
        inside = ~self.edge
        y = np.where(inside, self.y, 1.0)
        if self.law == "binomial":
            trials = np.where(inside, self.trials, 2.0)
            out = stirling_error(trials) - stirling_error(y) - stirling_error(trials - y)
            return np.where(inside, out + np.log(trials / (2 * np.pi * y * (trials - y))) / 2, 0.0)
        out = -stirling_error(y) - np.log(2 * np.pi * y) / 2
        if np.isfinite(self.theta):
            out += stirling_error(y + self.theta) - stirling_error(self.theta) - np.log1p(y / self.theta) / 2
        return np.where(inside, out, 0.0)

    def start(self) -> Floats:
        """A linear predictor (..., n) near the observed values, offset included, that is finite."""
        if self.law == "gaussian":
            return self.y
        if self.law == "binomial":
            return np.asarray(scipy.special.logit((self.y + 0.5) / (self.trials + 1)))
        return np.asarray(np.log(self.y + 0.1 * self.y.mean(axis=-1, keepdims=True)))


def outcome_of(y: Floats, family: Family, offset: Floats | None, trials: Floats | None) -> Outcome:
    """The outcome of a family as fits need it; ValueError if values are not possible for it.

    Values must be finite; counts not negative; successes between 0 and trials (1 where none are given).
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: one of {', '.join(FAMILIES)}")
    law: Law = "gaussian"
    if family in ("poisson", "quasi-poisson"):
        law = "poisson"
    elif family != "gaussian":
        law = "negative binomial" if family == "negative binomial" else "binomial"
    y = np.asarray(y, dtype=np.float64)
    shift = np.zeros(y.shape[-1]) if offset is None else np.asarray(offset, dtype=np.float64)
    out_of = np.ones(y.shape[-1]) if trials is None else np.asarray(trials, dtype=np.float64)
    for name, values in (("offset", shift), ("trials", out_of)):
        if values.shape[-1:] != y.shape[-1:] or np.broadcast_shapes(values.shape, y.shape) != y.shape:
            raise ValueError(f"{name} must have the shape of y or of one series")
    if not (np.isfinite(y).all() and np.isfinite(shift).all() and np.isfinite(out_of).all()):
        raise ValueError("y, offset and trials must be finite")
    if law != "gaussian" and (y < 0).any():
        raise ValueError("counts must not be negative")
    if law == "binomial" and ((out_of <= 0).any() or (y > out_of).any()):
        raise ValueError("trials must be positive and not below the number of successes")
    return Outcome(y, law, shift, out_of)


def inverse_link(linear: Floats, link: Link) -> Floats:
    """Mean at a linear predictor: itself, its exponential, or a share between 0 and 1.

    >>> inverse_link(np.array([0.0]), "logit")
    array([0.5])
    """
    if link == "identity":
        return linear
    held = np.clip(linear, -FARTHEST, FARTHEST)
    return np.asarray(np.exp(held) if link == "log" else scipy.special.expit(held))


def log1p_rest(u: Floats) -> Floats:
    """u - log(1 + u) without cancellation, for u > -1 (0 at 0, never negative).

    >>> bool(abs(log1p_rest(np.array([1e-9]))[0] / 5e-19 - 1) < 1e-8)
    True
    """
    near = np.abs(u) < NEAR
    small = np.where(near, u, 0.0)
    large = np.where(near, 1.0, u)
    return np.where(near, small**2 * np.polyval(SERIES, -small), large - np.log1p(large))


def stirling_error(x: Floats | float) -> Floats:
    """log(Gamma(x + 1)) minus Stirling's formula (x + 1/2) log x - x + log(2 pi) / 2, for x > 0.

    >>> bool(abs(stirling_error(1.0) - (1 - np.log(2 * np.pi) / 2)) < 1e-15)
    True
    """
    x = np.asarray(x, dtype=np.float64)
    far = x > LARGE
    large, small = np.where(far, x, LARGE), np.where(far, 1.0, x)
    series = np.polyval(STIRLING, large**-2.0) / large
    direct = scipy.special.gammaln(small + 1) - (small + 0.5) * np.log(small) + small
    return np.where(far, series, direct - np.log(2 * np.pi) / 2)


def divergence(a: Floats, b: Floats, away: Floats) -> Floats:
    """a log(a / b) + b - a for a >= 0, b > 0 and away = b - a; b where a is 0."""
    held = np.where(a > 0, a, 1.0)
    u = away / held
    near = np.abs(u) < 0.5
    direct = held * np.log(held / np.where(near, held, b)) + away
    return np.where(a > 0, np.where(near, held * log1p_rest(np.where(near, u, 0.0)), direct), b)


def _scattered(y: Floats, mean: Floats, theta: float) -> Floats:
    """y log(y / mean) - (y + theta) log((y + theta) / (mean + theta)), for large and small theta alike."""
    away = y - mean
    near = np.abs(away) < 0.5 * mean
    z = theta / (y + theta) * (away / mean)
    w = away / (mean + theta)
    by_z, by_w = log1p_rest(np.where(near, z, 0.0)), log1p_rest(np.where(near, w, 0.0))
    close = z * away * (theta / (mean + theta)) - y * by_z + theta * by_w
    share = np.where(y > 0, y, 1.0) / (y + theta) * ((mean + theta) / mean)
    small = np.abs(w) < 0.5
    logs = np.where(small, np.log1p(np.where(small, w, 0.0)), np.log((y + theta) / (mean + theta)))
    return np.where(near, close, np.where(y > 0, y * np.log(share), 0.0) - theta * logs)
