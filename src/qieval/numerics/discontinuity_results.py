"""Regression discontinuity, what comes out: estimates in three rows, and both sides at the cutoff."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

METHODS = ("conventional", "bias-corrected", "robust")


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimates:
    """Three rows, in the order of `METHODS`; every array (3,), intervals and p-values from the normal.

    The bias-corrected row has the standard error of the conventional one; the robust row, the one to report,
    has the bias-corrected estimate with a standard error that allows for the bias being estimated.
    """

    estimate: Floats
    std_error: Floats
    statistic: Floats
    p_value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Jumps:
    """Both sides at the cutoff, before any ratio; first index: outcome, then uptake in a fuzzy design (t).

    value and corrected (t, 2): the left and right limits (of the derivative `deriv`), conventional and
    bias-corrected; variance and robust (2, t, t): their covariances on the left and on the right, which are
    independent. With covariates the limits are those of people with the average covariates within h.
    polynomials (t, 2, p + 1): the fitted coefficients of powers of score - cutoff, left and right.
    """

    value: Floats
    corrected: Floats
    variance: Floats
    robust: Floats
    polynomials: Floats

    @property
    def jump(self) -> Floats:
        """Conventional right less left (t,)."""
        return np.asarray(self.value[:, 1] - self.value[:, 0])

    @property
    def corrected_jump(self) -> Floats:
        """Bias-corrected right less left (t,)."""
        return np.asarray(self.corrected[:, 1] - self.corrected[:, 0])

    @property
    def jump_covariance(self) -> Floats:
        """Covariance (t, t) of `jump`."""
        return np.asarray(self.variance.sum(axis=0))

    @property
    def robust_covariance(self) -> Floats:
        """Covariance (t, t) of `corrected_jump`, the estimated bias allowed for."""
        return np.asarray(self.robust.sum(axis=0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Discontinuity(Estimates):
    """The estimate, right less left; in a fuzzy design the jump in outcome over the jump in uptake.

    outcome, uptake: the two jumps by themselves (uptake None in a sharp design); sides: what they are made
    of. h, b, n, n_h, n_b, support, support_h, groups, bias are (2,), left and right: bandwidths, rows, rows
    within h and b, distinct scores in all and within h, clusters within the wider of h and b (0 without
    clusters), and the estimated bias. mass_points: a fifth of the rows of a side repeats another row's score.
    covariates (k, 1 + t): their coefficients for outcome and uptake in the caller's order, NaN exactly where
    kept (k,) is False, because the polynomials and the covariates before explain that covariate.
    """

    outcome: Estimates
    uptake: Estimates | None
    sides: Jumps
    h: Floats
    b: Floats
    n: Codes
    n_h: Codes
    n_b: Codes
    support: Codes
    support_h: Codes
    groups: Codes
    bias: Floats
    mass_points: bool
    covariates: Floats
    kept: Mask
    rule: str
    variance: str

    @property
    def first_stage_f(self) -> float:
        """Effective F of a fuzzy design, the squared robust statistic of its uptake; else infinite."""
        return np.inf if self.uptake is None else float(self.uptake.statistic[2] ** 2)


def three_rows(values: tuple[float, float], variances: tuple[float, float], level: float) -> Estimates:
    """The three rows from conventional and corrected values and variances.

    Without noise the statistic is infinite and the interval a point.
    """
    estimate = np.array([values[0], values[1], values[1]])
    error = np.sqrt([variances[0], variances[0], variances[1]])
    with np.errstate(divide="ignore"):
        statistic = estimate / error
    half = -scipy.special.ndtri((1 - level) / 2) * error
    return Estimates(
        estimate=estimate,
        std_error=error,
        statistic=statistic,
        p_value=2 * scipy.special.ndtr(-np.abs(statistic)),
        low=estimate - half,
        high=estimate + half,
    )
