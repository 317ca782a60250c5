"""Two-stage residual inclusion: instruments for yes/no outcomes and counts.

The residual of the first stage (treatment on instruments and controls) enters the second stage as one more
column, which stands for what is not observed (Terza, Basu and Rathouz 2008). The effect is read on the
response scale, as two mean outcomes with everybody treated and untreated, with influence functions from the
stacked estimating equations of both stages (Stefanski and Boos 2002), so that standard errors allow for the
first stage, for clusters, and for covariates being a sample. Unlike two-stage least squares it leans on the
form of both stages: it is consistent only if the residual captures the unobserved part just as modelled
(Basu, Coe and Chapman 2018 show where it is not).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.logistic import logistic
from qieval.numerics.means import Clusters, Means, crossproduct, rows_used
from qieval.numerics.two_way import Floats, Mask
from qieval.numerics.weighted_regression import predicted, weighted_regression

Family = Literal["linear", "logistic", "probit", "poisson"]

EXACT = 1e-9
"""Residuals of less than this share of the treatment (in length) are rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stages:
    """The two regressions and the contrast.

    first is for the treatment ("poisson" for a treatment that is a count), second for the outcome.
    person_time (n,) > 0 is for a Poisson outcome: its logarithm is the offset of the second stage and means
    are rates. shift None compares everybody at treatment 1 with everybody at 0; a number compares everybody's
    own treatment plus shift with their own.
    """

    first: Family = "logistic"
    second: Family = "logistic"
    person_time: Floats | None = None
    shift: float | None = None


@dataclass(frozen=True, eq=False)
class Stage:
    """A fitted stage of n rows on k columns, maximum likelihood or least squares.

    beta (k,) is 0 where aliased (k,); linear, fitted, slope (n,) as in `weighted_regression.Regression`.
    score (n,) is the derivative of each row's log likelihood by the linear predictor and bend (n,) minus its
    second derivative, both times weight. bread (k, k) is the inverse of the observed information; separated:
    no finite estimate exists.
    """

    family: Family
    beta: Floats
    aliased: Mask
    design: Floats
    linear: Floats
    fitted: Floats
    slope: Floats
    score: Floats
    bend: Floats
    bread: Floats
    converged: bool
    separated: bool

    @property
    def influence(self) -> Floats:
        """Contribution (n, k) of each row to beta, as if the columns were known."""
        return np.asarray((self.design * self.score[:, None]) @ self.bread)


@dataclass(frozen=True, eq=False)
class ResidualInclusion:
    """Both stages and the two means.

    Columns of the first stage: controls, instruments; of the second: treatment, controls, residual. means
    are mean outcomes (risks, rates) at the higher and the lower treatment: `qieval.numerics.means` and
    `contrasts` turn them into differences, ratios and intervals. influence (n, k) of the second stage's
    coefficients allows for the first stage. converged: both stages did.
    """

    first: Stage
    second: Stage
    residual: Floats
    means: Means
    influence: Floats
    converged: bool

    def covariance(self, clusters: Clusters = None, adjust: bool = False) -> Floats:
        """Covariance (k, k) of the second stage's coefficients; adjust multiplies by G/(G-1)."""
        return crossproduct(self.influence, clusters, self.means.used, adjust)

    def residual_test(self, clusters: Clusters = None) -> tuple[float, float, float]:
        """Coefficient of the residual, its standard error and p-value (normal).

        Zero if treatment is as good as random given the controls: a test of that, under the model.
        """
        value = float(self.second.beta[-1])
        error = float(np.sqrt(self.covariance(clusters, adjust=True)[-1, -1]))
        return value, error, float(2 * scipy.special.ndtr(-abs(value / error)))


def residual_inclusion(
    y: Floats, x: Floats, z: Floats, w: Floats, stages: Stages | None = None, weights: Floats | None = None
) -> ResidualInclusion:
    """Outcome y (n,), treatment x (n,), instruments z (n, k), controls w (n, c) that hold the constant.

    The residual is that of the response, x minus its fitted mean. Weights (n,) count rows; rows of weight 0
    are not used. EstimationError where a stage has no finite estimate, where the instruments say nothing
    about treatment beyond the controls, or the residual nothing beyond treatment and controls. ValueError for
    outcomes that do not suit the family. Coefficients equal R's glm() of one stage after the other; its
    standard errors do not.
    """
    stages = stages or Stages()
    weight = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    used = rows_used(weight)
    y, x = np.where(used, y, 0.0), np.where(used, x, 0.0)
    z, w = np.where(used[:, None], z, 0.0), np.where(used[:, None], w, 0.0)
    time = np.ones(len(y)) if stages.person_time is None else np.where(used, stages.person_time, 1.0)
    if stages.person_time is not None and (stages.second != "poisson" or not (time > 0).all()):
        raise ValueError("person-time must be above 0 and is for a Poisson outcome")
    first = fit_stage(np.column_stack([w, z]), x, weight, stages.first)
    _usable(first, "first")
    if first.aliased[w.shape[1] :].all():
        raise EstimationError("with the controls held fixed no instrument varies")
    residual = np.where(used, x - first.fitted, 0.0)
    second = fit_stage(np.column_stack([x, w, residual]), y, weight, stages.second, np.log(time))
    _usable(second, "second")
    exact = np.linalg.norm(residual) <= EXACT * np.linalg.norm(x)
    if exact or second.aliased[0] or second.aliased[-1]:
        raise EstimationError(
            "the first stage leaves nothing to include: treatment is explained by the controls or exactly by "
            "the instrument, or the instrument does not explain it at all"
        )
    influence = second.influence + first.influence @ _passed_on(first, second).T
    found = [_mean(first, second, level, weight * time, influence) for level in _levels(x, stages.shift)]
    means = Means(
        found[0][0], found[1][0], np.column_stack([found[0][1], found[1][1]]), None if used.all() else used
    )
    return ResidualInclusion(first, second, residual, means, influence, first.converged and second.converged)


def fit_stage(x: Floats, y: Floats, weights: Floats, family: Family, offset: Floats | None = None) -> Stage:
    """Regression of y (n,) on the columns of x (n, k); see `weighted_regression`.

    "probit" needs a 0/1 outcome and a constant among the columns, and takes no offset.
    """
    if family == "probit":
        return _probit(x, y, weights)
    fit = weighted_regression(x, y, weights, family, offset)
    bend = weights * fit.slope
    return Stage(
        family,
        fit.beta,
        fit.aliased,
        x,
        fit.linear,
        fit.fitted,
        fit.slope,
        fit.score,
        bend,
        fit.bread,
        fit.converged,
        fit.separated,
    )


def _probit(x: Floats, y: Floats, weights: Floats) -> Stage:
    """Probit; `logistic` has its own constant, which here is the first constant column of x."""
    used = weights > 0
    if not np.isin(y[used], (0.0, 1.0)).all():
        raise ValueError("a probit regression needs outcomes of 0 or 1")
    if np.ptp(y[used]) == 0:
        raise EstimationError("a variable that a probit regression is to explain does not vary")
    constant = np.flatnonzero((np.ptp(x[used], axis=0) == 0) & (x[used][0] != 0))
    if not constant.size:
        raise ValueError("a probit regression needs a constant among its columns")
    at = int(constant[0])
    others = np.delete(np.arange(x.shape[1]), at)
    fit = logistic(x[:, others], y == 1, weights, "probit")
    beta, aliased = np.zeros(x.shape[1]), np.zeros(x.shape[1], dtype=bool)
    beta[at], beta[others], aliased[others] = fit.beta[0] / x[used][0, at], fit.beta[1:], fit.aliased
    sign = np.where(y == 1, 1.0, -1.0)
    at_outcome = sign * fit.linear
    mills = np.exp(-0.5 * (at_outcome**2 + np.log(2 * np.pi)) - scipy.special.log_ndtr(at_outcome))
    mean, slope = _predicted(fit.linear, "probit")
    bend = weights * mills * (mills + at_outcome)
    return Stage(
        "probit",
        beta,
        aliased,
        x,
        fit.linear,
        mean,
        slope,
        weights * sign * mills,
        bend,
        _inverse(x, bend, aliased),
        fit.converged,
        fit.separated,
    )


def _inverse(x: Floats, bend: Floats, aliased: Mask) -> Floats:
    """Inverse of x' diag(bend) x (k, k) on columns made orthonormal first; 0 where aliased."""
    kept = x[:, ~aliased] * np.sqrt(np.maximum(bend, 0.0))[:, None]
    scale = np.linalg.norm(kept, axis=0)
    triangle = np.linalg.qr(kept / scale, mode="r")
    root = np.asarray(scipy.linalg.solve_triangular(triangle, np.eye(len(triangle)))) / scale[:, None]
    out = np.zeros((aliased.size, aliased.size))
    out[np.ix_(~aliased, ~aliased)] = root @ root.T
    return out


def _usable(stage: Stage, name: str) -> None:
    if stage.separated:
        raise EstimationError(f"the {name} stage predicts some rows without error: it has no finite estimate")
    if not np.isfinite(stage.beta).all() or not np.isfinite(stage.bread).all():
        raise EstimationError(f"the {name} stage cannot be estimated")


def _passed_on(first: Stage, second: Stage) -> Floats:
    """Derivative (k2, k1) of the second stage's coefficients by the first's, through the residual."""
    by_residual = -second.design * (second.bend * second.beta[-1])[:, None]
    by_residual[:, -1] += second.score
    return np.asarray(second.bread @ by_residual.T @ (-first.slope[:, None] * first.design))


def _levels(x: Floats, shift: float | None) -> tuple[Floats, Floats]:
    return (np.ones(len(x)), np.zeros(len(x))) if shift is None else (x + shift, x)


def _mean(
    first: Stage, second: Stage, level: Floats, weight: Floats, influence: Floats
) -> tuple[float, Floats]:
    """Mean outcome with treatment at level (n,), per unit of person-time, and its influence (n,)."""
    design = np.column_stack([level, second.design[:, 1:]])
    prediction, slope = _predicted(design @ second.beta, second.family)
    share = weight / weight.sum()
    mean = float(share @ prediction)
    by_beta = (share * slope) @ design
    by_first = -(share * slope * second.beta[-1] * first.slope) @ first.design
    return mean, share * (prediction - mean) + influence @ by_beta + first.influence @ by_first


def _predicted(linear: Floats, family: Family) -> tuple[Floats, Floats]:
    """Mean (n,) of the outcome at a linear predictor (n,), and its derivative."""
    if family == "probit":
        return scipy.special.ndtr(linear), np.exp(-0.5 * linear**2) / np.sqrt(2 * np.pi)
    return predicted(linear, family)
