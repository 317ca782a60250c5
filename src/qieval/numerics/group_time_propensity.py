"""The probability of being treated in one comparison, by logistic regression with Newton's method."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.group_time_cells import Floats, Mask
from qieval.numerics.group_time_design import independent, pieces

ITERATIONS = 60
STEP = 1e-8
"""Newton has arrived when the next step is this small: the error after it is about its square."""

APART = 0.1
"""Units whose linear predictor still moves by more than this when the gradient has vanished are separated."""

FLAT = 1e-12
MANY = 200_000
THIN = 1e-9
"""Covariates are collinear in a comparison if one keeps less than this share of its size beside others."""

NO_OVERLAP = (
    "Some units of the cohort have no comparable control: a combination of the covariates tells them from "
    "all controls. Use fewer or coarser covariates, or leave these units out."
)
NOT_CONVERGED = (
    "The model of who is treated did not converge. Use fewer or coarser covariates, or the regression "
    "estimator."
)


@dataclass(frozen=True, eq=False)
class Arm:
    """One side of a comparison: covariates z (K, n), the constant first; weights w (n,), 0: not used."""

    z: Floats
    w: Floats

    def gram(self) -> Floats:
        """Weighted products of the covariates (K, K)."""
        held = np.zeros((len(self.z), len(self.z)))
        for at in pieces(self.w.size):
            z = self.z[:, at]
            held += (z * self.w[at]) @ z.T
        return held

    def keep(self, rows: Mask) -> Arm:
        """With some of the covariates."""
        return self if rows.all() else replace(self, z=self.z[rows])

    def thinned(self) -> Arm:
        """Every tenth unit."""
        return Arm(np.ascontiguousarray(self.z[:, ::10]), np.ascontiguousarray(self.w[::10]))


@dataclass(frozen=True, eq=False)
class Propensity:
    """The fitted model: beta (K,), probabilities of the arms, minus the second derivative (K, K); or why not.

    Controls whom the covariates tell from every treated unit have probability 0 and no part in the second
    derivative: the limit that the maximum likelihood estimate runs to.
    """

    beta: Floats
    treated: Floats
    control: Floats
    curvature: Floats
    reason: str = ""


def propensity(treated: Arm, control: Arm, start: Floats | None = None) -> Propensity:
    """Maximum likelihood, weighted; start (K,) is a guess. The pooled design has full rank."""
    beta, step, found = _maximise(treated, control, start)
    if found == "separated":
        lost = np.abs(step @ control.z) > APART
        if _moved(treated, step):
            return _without(treated, control, NO_OVERLAP)
        return _limit(treated, Arm(control.z, np.where(lost, 0.0, control.w)), lost)
    if found:
        return _without(treated, control, NOT_CONVERGED)
    curvature = np.zeros((beta.size, beta.size))
    held = []
    for arm in (treated, control):
        p = probability(arm.z, beta)
        curvature += Arm(arm.z, arm.w * p * (1 - p)).gram()
        held.append(p)
    return Propensity(beta, held[0], held[1], curvature)


def _limit(treated: Arm, control: Arm, lost: Mask) -> Propensity:
    """The fit without controls that nobody treated resembles."""
    if not (control.w > 0).any():
        return _without(treated, control, NO_OVERLAP)
    kept = independent(treated.gram() + control.gram(), THIN)
    part = propensity(treated.keep(kept), control.keep(kept))
    if part.reason:
        return _without(treated, control, part.reason)
    beta, curvature = np.zeros(kept.size), np.zeros((kept.size, kept.size))
    beta[kept], curvature[np.ix_(kept, kept)] = part.beta, part.curvature
    return Propensity(beta, part.treated, np.where(lost, 0.0, part.control), curvature)


def _without(treated: Arm, control: Arm, reason: str) -> Propensity:
    """No fit."""
    k = len(treated.z)
    nothing = np.full(treated.w.size, np.nan), np.full(control.w.size, np.nan)
    return Propensity(np.full(k, np.nan), *nothing, np.full((k, k), np.nan), reason)


def probability(z: Floats, beta: Floats) -> Floats:
    """1 / (1 + exp(-beta z)) (n,)."""
    held: Floats = beta @ z
    np.negative(held, out=held)
    with np.errstate(over="ignore"):
        np.exp(held, out=held)
    held += 1.0
    np.reciprocal(held, out=held)
    return held


def _derivatives(treated: Arm, control: Arm, beta: Floats) -> tuple[Floats, Floats]:
    """Gradient (K,) of the log-likelihood and minus its second derivative (K, K)."""
    gradient, curvature = np.zeros(beta.size), np.zeros((beta.size, beta.size))
    for arm, outcome in ((treated, 1.0), (control, 0.0)):
        for at in pieces(arm.w.size):
            z = arm.z[:, at]
            p = probability(z, beta)
            pull = arm.w[at] * p
            gradient += z @ (arm.w[at] - pull if outcome else -pull)
            pull *= 1.0 - p
            curvature += (z * pull) @ z.T
    return gradient, curvature


def _moved(arm: Arm, step: Floats) -> bool:
    """Whether the step changes the linear predictor of a unit in use by more than `APART`."""
    return bool(((np.abs(step @ arm.z) > APART) & (arm.w > 0)).any())


def _start(treated: Arm, control: Arm) -> Floats:
    """The constant alone; with very many units the fit to a tenth of them, if there is one."""
    beta = np.zeros(len(treated.z))
    beta[0] = np.log(treated.w.sum() / control.w.sum())
    if treated.w.size + control.w.size >= MANY:
        some = treated.thinned(), control.thinned()
        if min(arm.w.sum() for arm in some) > 0:
            guess, _, failed = _maximise(*some, beta)
            return beta if failed else guess
    return beta


def _maximise(treated: Arm, control: Arm, start: Floats | None) -> tuple[Floats, Floats, str]:
    """Coefficients, the last step and '', 'separated' or 'slow'.

    A step is halved while the slope at its end points back with more than half of its first force. At a
    maximum at infinity the gradient vanishes but Newton's steps do not: each adds about 1 along the
    separating direction.
    """
    beta = _start(treated, control) if start is None else start
    enough = FLAT * (treated.w.sum() + control.w.sum())
    gradient, curvature = _derivatives(treated, control, beta)
    step = np.zeros(beta.size)
    for _ in range(ITERATIONS):
        step = np.asarray(np.linalg.lstsq(curvature, gradient, rcond=1e-15)[0], dtype=np.float64)
        if np.abs(step).max() <= STEP * (1 + np.abs(beta).max()):
            return beta + step, step, ""
        if np.abs(gradient).max() <= enough and (_moved(treated, step) or _moved(control, step)):
            return beta, step, "separated"
        force = gradient @ step
        gradient, curvature = _derivatives(treated, control, beta + step)
        for _ in range(30):
            if gradient @ step >= -0.5 * force:
                break
            step = step / 2
            force /= 2
            gradient, curvature = _derivatives(treated, control, beta + step)
        beta = beta + step
    return beta, step, "slow"
