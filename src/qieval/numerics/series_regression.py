"""Generalised linear models for one series: normal, Poisson, negative binomial and binomial outcomes.

Estimates are those of R's glm and MASS::glm.nb, iterated to the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.series_regression_families import Family, Outcome, outcome_of
from qieval.numerics.series_regression_steps import Basis, Steps, constant_deviance, iterate, orthonormal
from qieval.numerics.series_regression_theta import fit_theta, theta_information
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class SeriesFit:
    """A fitted model of n values on k columns.

    unscaled (k, k) is (X'WX)^-1, covariance (k, k) is dispersion times unscaled. dispersion: Pearson's
    statistic over n - k for the quasi families (not kept above 1), the residual variance for gaussian, 1
    otherwise. df: n - k where the dispersion is estimated, infinite otherwise. linear (n,) includes the
    offset, fitted (n,) is on the scale of y (expected successes for binomial), weights (n,) are working
    weights. log_likelihood and aic are NaN for quasi families; aic counts the variance (gaussian) and theta.
    theta and theta_error (negative binomial only, else NaN): as MASS, theta is taken as known in covariance
    and its error takes the means as known. theta is infinite where the data are not more dispersed than
    Poisson: the fit is then the Poisson fit. residuals are y - fitted (n,).

    separated: no finite estimate exists, because some combination of columns picks out values that are all
    zero (or all successes), such as a series without any event before the start. Then converged is False,
    coefficients and covariances are NaN, and fitted and linear are where the search stopped.
    """

    family: Family
    outcome: Outcome
    coefficients: Floats
    unscaled: Floats
    dispersion: float
    df: float
    fitted: Floats
    linear: Floats
    weights: Floats
    deviance: float
    log_likelihood: float
    aic: float
    theta: float
    theta_error: float
    pearson: Floats
    deviance_residuals: Floats
    converged: bool
    separated: bool
    iterations: int

    @property
    def covariance(self) -> Floats:
        """Covariance of the coefficients (k, k) under the model."""
        return self.dispersion * self.unscaled

    @property
    def std_error(self) -> Floats:
        """Model standard errors (k,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def p_value(self) -> Floats:
        """Two-sided p-values (k,) of no difference from 0: t with df degrees of freedom, or normal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            size = -np.abs(self.coefficients / self.std_error)
        tail = scipy.special.ndtr(size) if np.isinf(self.df) else scipy.special.stdtr(self.df, size)
        return np.asarray(2 * tail)

    @property
    def residuals(self) -> Floats:
        """Response residuals (n,): observed minus fitted."""
        return self.outcome.y - self.fitted

    @property
    def null_deviance(self) -> float:
        """Deviance of a constant and the offset alone, at the same theta."""
        return constant_deviance(self.outcome)


def fit_series(
    y: Floats,
    x: Floats,
    family: Family,
    *,
    offset: Floats | None = None,
    trials: Floats | None = None,
) -> SeriesFit:
    """Fit one series y (n,) on the columns x (n, k), which include a constant where one is wanted.

    Log link for counts, logit for successes among `trials` (n,) (default 1), identity for gaussian; offset
    (n,) on the scale of the link. Counts need not be whole. ValueError for values that a family cannot have,
    values that are not finite, and columns that are linearly dependent. Source: McCullagh and Nelder (1989),
    iteratively reweighted least squares with step halving; checked against R 4.2 and MASS.

    >>> y, x = np.array([4.0, 6.0, 9.0, 11.0]), np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    >>> fit = fit_series(y, x, "poisson")
    >>> [round(float(value), 6) for value in np.exp(fit.coefficients)]
    [5.0, 2.0]
    """
    outcome = outcome_of(y, family, offset, trials)
    basis = orthonormal(x)
    if outcome.y.shape != basis.q.shape[:1]:
        raise ValueError("y and x must have the same number of rows")
    if outcome.law == "negative binomial":
        outcome, steps, settled = fit_theta(outcome, basis.q)
        return _described(family, outcome, basis, replace(steps, converged=steps.converged and settled))
    return _described(family, outcome, basis, iterate(outcome, basis.q))


def score_contributions(fit: SeriesFit, x: Floats) -> Floats:
    """Estimating functions of the rows (n, k), which sum to zero; dispersion left out.

    With bread: a sandwich covariance is bread @ meat @ bread, where meat (k, k) is a sum of products of these
    rows (Newey-West: over lags). The dispersion, by which R's estfun and bread divide and multiply, cancels.
    """
    out: Floats = x * (fit.pearson * np.sqrt(fit.weights))[:, None]
    return out


def bread(fit: SeriesFit) -> Floats:
    """The outer part (k, k) of a sandwich covariance: (X'WX)^-1, not divided or multiplied by n."""
    return fit.unscaled


def _described(family: Family, outcome: Outcome, basis: Basis, steps: Steps) -> SeriesFit:
    n, k = basis.q.shape
    nothing = steps.separated
    unscaled = np.full((k, k), np.nan)
    if not nothing:
        half = basis.back @ scipy.linalg.solve_triangular(steps.root, np.eye(k))
        unscaled = half @ half.T
    weights, fitted = outcome.weights(steps.linear), outcome.mean(steps.linear)
    pearson = (outcome.y - fitted) / np.sqrt(outcome.variance(steps.linear))
    estimated = family in ("gaussian", "quasi-poisson", "quasi-binomial")
    spread = float(pearson @ pearson) / (n - k) if n > k else np.nan
    theta, error = _theta(outcome, fitted, nothing)
    likelihood, parameters = _likelihood(family, outcome, steps.deviance, k)
    return SeriesFit(
        family=family,
        outcome=outcome,
        coefficients=np.full(k, np.nan) if nothing else basis.back @ steps.gamma,
        unscaled=unscaled,
        dispersion=spread if estimated else 1.0,
        df=float(n - k) if estimated else np.inf,
        fitted=fitted,
        linear=steps.linear,
        weights=weights,
        deviance=steps.deviance,
        log_likelihood=likelihood,
        aic=2 * (parameters - likelihood),
        theta=theta,
        theta_error=error,
        pearson=pearson,
        deviance_residuals=np.sign(outcome.y - fitted) * np.sqrt(outcome.unit_deviance(steps.linear)),
        converged=steps.converged,
        separated=steps.separated,
        iterations=steps.iterations,
    )


def _theta(outcome: Outcome, fitted: Floats, nothing: bool) -> tuple[float, float]:
    if outcome.law != "negative binomial" or nothing:
        return np.nan, np.nan
    if np.isinf(outcome.theta):
        return np.inf, np.nan
    return outcome.theta, float(theta_information(outcome.theta, outcome.y, fitted)) ** -0.5


def _likelihood(family: Family, outcome: Outcome, deviance: float, k: int) -> tuple[float, int]:
    """Log-likelihood and number of parameters."""
    if family in ("quasi-poisson", "quasi-binomial"):
        return np.nan, k
    if family == "gaussian":
        n = outcome.y.size
        with np.errstate(divide="ignore"):
            return float(-n / 2 * (np.log(2 * np.pi * deviance / n) + 1)), k + 1
    value = float(outcome.saturated().sum()) - deviance / 2
    return value, k + (family == "negative binomial")
