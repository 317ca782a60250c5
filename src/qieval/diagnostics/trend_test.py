"""The test of trends before the start, with as many restrictions as the number of clusters allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.covariance import t_interval
from qieval.numerics.joint import wald
from qieval.numerics.pretrends import joint_power

GOOD_POWER = 0.8
NO_PROOF = "Passing is no proof: trends may still have parted after the start."


@dataclass(frozen=True, eq=False)
class TrendTest:
    """A joint test of differences before the start, or of a straight drift only where clusters are few.

    estimate (k,), covariance (k, k) of the differences; slope_weights (k,): the drift per period is their
    weighted sum; df: degrees of freedom of the covariance.
    """

    joint: bool
    estimate: np.ndarray
    covariance: np.ndarray
    slope_weights: np.ndarray
    df: float

    @staticmethod
    def of(estimate: np.ndarray, covariance: np.ndarray, slope_weights: np.ndarray, df: float) -> TrendTest:
        """The joint test with four clusters or more for each difference, else that of the drift."""
        joint = wald(estimate, covariance, df).trustworthy
        return TrendTest(joint, estimate, covariance, slope_weights, df)

    @property
    def slope(self) -> tuple[float, float]:
        """The drift per period before the start and its standard error."""
        variance = self.slope_weights @ self.covariance @ self.slope_weights
        return float(self.slope_weights @ self.estimate), float(np.sqrt(variance))

    def p_value(self) -> float:
        """Hotelling's joint test, or t for the drift."""
        if self.joint:
            found = wald(self.estimate, self.covariance, self.df)
            return float(found.p_hotelling if np.isfinite(self.df) else found.p_chi2)
        drift, error = self.slope
        return float(t_interval(np.array([drift]), np.array([error]), self.df).p_value[0])

    def power(self, delta: np.ndarray, level: float) -> float:
        """The chance that the test rejects when the truth is `delta` (k,)."""
        if self.joint:
            return joint_power(self.covariance, delta, level)
        error = np.array([[self.slope[1] ** 2]])
        return joint_power(error, np.array([self.slope_weights @ delta]), level)

    @property
    def words(self) -> str:
        """What is tested."""
        if self.joint:
            return f"Joint test of {len(self.estimate):,} differences before the start"
        return "Test of a straight drift before the start"


def slope_of_levels(at: np.ndarray, reference: float) -> np.ndarray:
    """Weights (k,) of the least-squares slope of differences from the period `reference`, which counts as 0.

    >>> slope_of_levels(np.array([-3, -2]), -1).tolist()
    [-0.5, 0.0]
    """
    if not len(at):
        return np.empty(0)
    moments = np.append(at, reference).astype(float)
    centred = moments - moments.mean()
    return np.asarray((centred / (centred @ centred))[:-1])


def slope_of_changes(gaps: np.ndarray) -> np.ndarray:
    """The same for changes from each period to the next (k,), in order of time, `gaps` (k,) periods apart.

    >>> slope_of_changes(np.array([1.0, 1.0])).tolist()
    [0.5, 0.5]
    """
    if not len(gaps):
        return np.empty(0)
    moments = np.concatenate([[0.0], np.cumsum(gaps)])
    centred = moments - moments.mean()
    weights = centred / (centred @ centred)
    return np.asarray(np.cumsum(weights[::-1])[::-1][1:])
