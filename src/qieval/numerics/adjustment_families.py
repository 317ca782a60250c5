"""What the outcome regressions of regression adjustment assume: mean, score, curvature and loss of one row.

All are quasi-likelihoods: only the mean is taken at its word, so that shares are welcome for "binomial",
counts that are not whole for "poisson" and zeros (costs of people who had none) for "gamma".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

Family = Literal["gaussian", "binomial", "poisson", "negative binomial", "gamma"]
"""Identity link, logit link, and log links for the last three."""

FAMILIES: tuple[str, ...] = get_args(Family)
LOG_LINK = ("poisson", "negative binomial", "gamma")
FARTHEST = 500.0
"""Logarithms of a mean are held within plus and minus this, so that no product overflows."""


@dataclass(frozen=True)
class Law:
    """A family; theta is the size of the negative binomial, whose variance is mean + mean^2 / theta."""

    family: Family
    theta: float = np.inf

    def mean(self, linear: Floats) -> Floats:
        """Expected outcome at the linear predictor."""
        if self.family == "gaussian":
            return linear
        if self.family == "binomial":
            return np.asarray(scipy.special.expit(linear))
        return np.exp(np.clip(linear, -FARTHEST, FARTHEST))

    def slope(self, mean: Floats) -> Floats:
        """Derivative of the mean by the linear predictor."""
        if self.family == "gaussian":
            return np.ones(mean.shape)
        return mean * (1 - mean) if self.family == "binomial" else mean

    def score(self, y: Floats, mean: Floats) -> Floats:
        """Derivative of the log-likelihood by the linear predictor."""
        if self.family == "gamma":
            return y / mean - 1
        residual = y - mean
        return residual / (1 + mean / self.theta) if np.isfinite(self.theta) else residual

    def curvature(self, y: Floats, mean: Floats) -> Floats:
        """Minus its second derivative, as observed and not as expected; never negative."""
        if self.family == "gamma":
            return y / mean
        if np.isfinite(self.theta):
            share = self.theta / (self.theta + mean)
            return share * share * mean * (1 + y / self.theta)
        return self.slope(mean)

    def variance(self, mean: Floats) -> Floats:
        """Variance of an outcome at dispersion 1."""
        if self.family == "gamma":
            return mean * mean
        return mean + mean * mean / self.theta if np.isfinite(self.theta) else self.slope(mean)

    def loss(self, y: Floats, linear: Floats, weight: Floats) -> float:
        """Minus the weighted log-likelihood, up to a constant."""
        if self.family == "gaussian":
            return float(weight @ np.square(y - linear)) / 2
        if self.family == "binomial":
            return -float(weight @ (scipy.special.log_expit(-linear) + y * linear))
        held = np.clip(linear, -FARTHEST, FARTHEST)
        if self.family == "gamma":
            return float(weight @ (y * np.exp(-held) + held))
        if np.isfinite(self.theta):
            mean = np.exp(held)
            return float(weight @ ((y + self.theta) * np.log1p(mean / self.theta) - y * held))
        return float(weight @ (np.exp(held) - y * held))

    def start(self, y: Floats, weight: Floats, exposure: Floats) -> Floats:
        """A finite linear predictor near each outcome, pulled towards the mean of all."""
        if self.family == "gaussian":
            return y
        if self.family == "binomial":
            return np.asarray(scipy.special.logit((y + 0.5) / 2))
        level = float(weight @ y) / float(weight @ exposure)
        return np.log((y + level * exposure) / 2)


def check_outcome(y: Floats, family: Family, exposure: Floats | None) -> None:
    """ValueError for an unknown family and for outcomes that it cannot have."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: one of {', '.join(FAMILIES)}")
    if family == "binomial" and ((y < 0) | (y > 1)).any():
        raise ValueError("a binomial outcome lies between 0 and 1")
    if family in LOG_LINK and (y < 0).any():
        raise ValueError(f"a {family} outcome is not negative")
    if exposure is not None and family not in LOG_LINK:
        raise ValueError(f"exposure is for rates (log link), not for a {family} outcome")
