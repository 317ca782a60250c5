"""Continuously updated GMM: the weight matrix moves with the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments import Partialled
from qieval.numerics.instruments_columns import inverse, product
from qieval.numerics.instruments_covariance import Kind, score_covariance
from qieval.numerics.instruments_estimators import WholeEstimate
from qieval.numerics.instruments_gmm import GMM, GMMOptions, gmm
from qieval.numerics.two_way import Floats

SETTLED = 1e-9
"""Iterations end when no coefficient moves by more than this share of its standard error."""

STEPS = 200
HALVINGS = 20


def cue(data: Partialled, kind: Kind = "hc0") -> GMM:
    """The continuously updating estimator of Hansen, Heaton and Yaron (1996); kind hc0 or cr0, not centred.

    The first-order condition weighs the moments by D S^-1, D the Jacobian less what the moments predict of
    it (Kleibergen 2005): solved for the coefficients again and again from two-step GMM, with half steps
    where the objective would rise. A flat objective (weak instruments) may have other minima.
    """
    start = gmm(data, GMMOptions(kind=kind)).whole.coefficients
    problem = _Problem.of(data, kind)
    theta = problem.inner(start)
    now = problem.at(theta)
    taken, converged = 2, False
    while not converged and taken < STEPS:
        step = now.target - theta
        moved, then = theta + step, problem.at(theta + step)
        for _ in range(HALVINGS):
            if then.j <= now.j * (1 + 1e-12):
                break
            step /= 2
            moved, then = theta + step, problem.at(theta + step)
        size = np.abs(step) / np.sqrt(np.diag(then.covariance))
        theta, now, taken = moved, then, taken + 1
        converged = float(size.max()) < SETTLED
    df = data.k - data.e
    p_value = float(scipy.special.chdtrc(df, now.j)) if df else np.nan
    return GMM(problem.outer(theta, now.covariance), now.j, df, p_value, taken, converged)


@dataclass(frozen=True, eq=False)
class _Point:
    """Objective j, the coefficients that solve the condition linearised here, and their covariance."""

    j: float
    target: Floats
    covariance: Floats


@dataclass(frozen=True, eq=False)
class _Problem:
    """Residuals y - x theta, moments m'(y - x theta); theta: scaled treatments, then orthonormal controls.

    x (n, e + c), m (n, c + k); right = m'y, left = m'x.
    """

    data: Partialled
    kind: Kind
    x: Floats
    m: Floats
    right: Floats
    left: Floats
    size: Floats

    @classmethod
    def of(cls, data: Partialled, kind: Kind) -> _Problem:
        size = np.sqrt(np.diag(data.gram)[1:])
        x = np.column_stack([data.x / size, data.controls.q])
        m = np.column_stack([data.controls.q, data.q])
        return cls(data, kind, x, m, m.T @ data.y, m.T @ x, size)

    def at(self, theta: Floats) -> _Point:
        residuals = self.data.y - product(self.x, theta[:, None])[:, 0]
        moments = self.right - self.left @ theta
        spread = self._spread(self.m * residuals[:, None])
        try:
            weight = inverse(spread)
            towards = weight @ moments
            slopes = self.x * product(self.m, towards[:, None])
            p = len(theta)
            both = self._spread(np.column_stack([slopes, self.m * residuals[:, None]]))
            jacobian = (self.left.T - both[:p, p:]) @ weight
            target = np.asarray(np.linalg.solve(jacobian @ self.left, jacobian @ self.right), dtype=float)
            covariance = inverse(self.left.T @ weight @ self.left)
        except np.linalg.LinAlgError as error:
            raise EstimationError("the moments have no full-rank covariance (too few clusters?)") from error
        return _Point(float(moments @ towards), target, covariance)

    def _spread(self, scores: Floats) -> Floats:
        return score_covariance(scores, self.data.clusters, self.kind, 0)

    def inner(self, coefficients: Floats) -> Floats:
        """From coefficients of treatments and controls to theta."""
        e = self.data.e
        beta = coefficients[:e]
        along = self.data.on_controls[:, : 1 + e]
        left = self.data.controls.r @ coefficients[e:] - along[:, 0] + along[:, 1:] @ beta
        return np.concatenate([beta * self.size, left])

    def outer(self, theta: Floats, covariance: Floats) -> WholeEstimate:
        """Back again, with the covariance."""
        e, c = self.data.e, self.data.c
        along = self.data.on_controls[:, : 1 + e]
        turn = self.data.controls.coefficients(np.eye(c))
        back = np.block([[np.eye(e), np.zeros((e, c))], [-turn @ along[:, 1:], turn]])
        back[:, :e] /= self.size
        coefficients = back @ theta
        coefficients[e:] += turn @ along[:, 0]
        return WholeEstimate(coefficients, back @ covariance @ back.T)
