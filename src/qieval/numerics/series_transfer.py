"""Effects that build up or fade: a rational transfer function of an intervention, with ARIMA errors.

A step answered gradually is omega / (1 - delta B) of a step: omega at once, omega / (1 - delta) in the end.
A pulse answered so starts at omega and fades by the factor delta (Box and Tiao 1975, JASA 70: 70-79; for
health care: Schaffer, Dobbins and Pearson 2021, BMC Medical Research Methodology 21: 58).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qieval.numerics.series_arima import ArimaShape
from qieval.numerics.series_arma import Order, from_free
from qieval.numerics.series_differenced import Columns, polynomial, prepare
from qieval.numerics.series_likelihood import Moments, information, search
from qieval.numerics.two_way import Floats

Response = Literal["step", "pulse"]

NEAREST = 0.005
"""A delta nearer than this to 0 or 1 is at the end of what is possible, without a standard error."""


@dataclass(frozen=True, eq=False)
class TransferFit:
    """omega, delta and the long run with standard errors, and the rest of the regression.

    long_run is omega / (1 - delta): the final change after a step, the sum of all effects of a pulse; its
    error is by the delta method. covariance (2, 2) is of omega and delta. coefficients (k,) with errors
    (k,) are of the other regressors, parameters (r,) of the ARIMA errors, sigma2 the innovations' variance.
    deltas (g,) and profile (g,): log-likelihood at each delta with all else at its best; the deltas within
    1.92 of the largest are a 95% interval. converged is False, and problem says why, where delta is at an end
    (its error is NaN, the others' take delta as known) or the optimiser stopped short.
    """

    omega: float
    omega_error: float
    delta: float
    delta_error: float
    long_run: float
    long_run_error: float
    covariance: Floats
    coefficients: Floats
    errors: Floats
    parameters: Floats
    sigma2: float
    log_likelihood: float
    aic: float
    deltas: Floats
    profile: Floats
    converged: bool
    problem: str


def transfer_step(n: int, start: int, delta: float) -> Floats:
    """Answer (n,) to a step at position start: 1, 1 + delta, 1 + delta + delta^2, ...; zero before.

    >>> transfer_step(5, 2, 0.5).tolist()
    [0.0, 0.0, 1.0, 1.5, 1.75]
    """
    return np.cumsum(transfer_pulse(n, start, delta))


def transfer_pulse(n: int, start: int, delta: float) -> Floats:
    """Answer (n,) to a pulse at position start: 1, delta, delta^2, ...; zero before."""
    out = np.zeros(n)
    out[start:] = float(delta) ** np.arange(n - start)
    return out


@dataclass(frozen=True, eq=False)
class _Shape:
    """Likelihood as a function of ARIMA parameters and delta, around columns made with delta = around."""

    columns: Columns
    order: Order
    x: Floats
    start: int
    response: Response
    around: float

    def answer(self, delta: float) -> Floats:
        """The differenced answer to the intervention (n - d,)."""
        make = transfer_step if self.response == "step" else transfer_pulse
        whole = make(len(self.x), self.start, delta)
        return polynomial(whole[:, None], self.columns.difference)[:, 0]

    def at(self, delta: float) -> ArimaShape:
        """The ARIMA likelihood for one delta, with coefficients that mean the same for every delta."""
        change = self.answer(delta) - self.answer(self.around)
        base = self.columns
        y = base.y - change * base.start[-1] / base.scale
        x = base.x + np.outer(change, base.basis[-1])
        return ArimaShape(replace(base, y=y, x=x), self.order)

    def moments(self, values: Floats) -> Moments:
        """At ARIMA parameters and delta, as they are printed."""
        return self.at(values[-1]).moments(values[:-1])

    def moments_free(self, free: Floats) -> Moments:
        """At ARIMA parameters without bounds and the logit of delta."""
        return self.at(_share(free[-1])).moments_free(free[:-1])


def fit_transfer(
    y: Floats,
    x: Floats,
    start: int,
    order: Order,
    response: Response = "step",
    deltas: Floats | None = None,
) -> TransferFit:
    """Effect of a step or a pulse at position start that follows omega / (1 - delta B), 0 <= delta < 1.

    y (n,), NaN where missing; x (n, k) other regressors (an intercept where nothing is differenced). The
    likelihood is profiled over a grid of deltas and then maximised in all parameters at once; standard
    errors are from the joint observed information. Raises ValueError where start is outside the series
    or a fit is impossible.
    """
    if not 0 < start < len(y) - 1:
        raise ValueError("the intervention needs a period before it and two from it on")
    grid = np.round(np.arange(0.0, 0.96, 0.05), 2) if deltas is None else np.asarray(deltas, float)
    if not ((grid >= 0) & (grid < 1)).all():
        raise ValueError("delta lies between 0 and 1 (not included)")
    around = _prepared(y, x, start, order, response, 0.5)
    profile, frees = _profile(around, grid)
    top = int(np.argmax(profile))
    first = np.append(frees[top], _logit(np.clip(grid[top], 0.02, 0.98)))
    joint = search(around.moments_free, first[None, :])
    delta = _share(joint.parameters[-1])
    free, converged = joint.parameters[:-1], joint.converged
    inside = NEAREST < delta < 1 - NEAREST
    if not inside or -joint.loss < profile[top] - 1e-9:
        delta, inside, free, converged = float(grid[top]), False, frees[top], True
    shape = _prepared(y, x, start, order, response, delta)
    offset = around.columns.n_used * np.log(around.columns.scale)
    return _result(shape, from_free(order, free), (inside, converged), (grid, profile - offset))


def _prepared(y: Floats, x: Floats, start: int, order: Order, response: Response, delta: float) -> _Shape:
    make = transfer_step if response == "step" else transfer_pulse
    columns = prepare(y, np.column_stack([x, make(len(y), start, delta)]), order.difference)
    return _Shape(columns, order, x, start, response, delta)


def _profile(shape: _Shape, grid: Floats) -> tuple[Floats, list[Floats]]:
    """Log-likelihood (of the scaled outcome) and free ARIMA parameters at each delta."""
    values: list[float] = []
    frees: list[Floats] = []
    for delta in grid:
        at = shape.at(float(delta))
        starts = at.starts() if not frees else np.vstack([frees[-1], at.starts()[:1]])
        found = search(at.moments_free, starts, runs=3 if not frees else 1)
        values.append(-found.loss)
        frees.append(found.parameters)
    return np.array(values), frees


def _result(
    shape: _Shape, parameters: Floats, state: tuple[bool, bool], profile: tuple[Floats, Floats]
) -> TransferFit:
    inside, converged = state
    columns, delta = shape.columns, shape.around
    r, k = parameters.size, columns.start.size
    values = np.append(parameters, delta) if inside else parameters
    moments = shape.moments if inside else shape.at(delta).moments
    best = shape.moments(np.append(parameters, delta))
    second = information(moments, values)
    turn = np.eye(values.size + k)
    turn[values.size :, values.size :] = columns.scale * columns.basis
    problems = [] if converged else ["the likelihood was not maximised"]
    covariance = np.full(second.shape, np.nan)
    if np.isfinite(second).all() and np.linalg.eigvalsh(second).min() > 0:
        covariance = turn @ np.linalg.inv(second) @ turn.T
    else:
        problems.append("the information is not positive definite")
    both = np.full((2, 2), np.nan)
    both[0, 0] = covariance[-1, -1]
    if inside:
        both = covariance[np.ix_([-1, r], [-1, r])]
    else:
        problems.append(f"delta is at an end ({delta:g}): it has no standard error")
    coefficients = columns.coefficients(best.best())
    omega, rest = float(coefficients[-1]), 1 - delta
    slope = np.array([1 / rest, omega / rest**2]) if inside else np.array([1 / rest, 0.0])
    spread = np.where(np.isnan(both), 0.0, both) if not inside else both
    log_likelihood = -best.loss() - columns.n_used * float(np.log(columns.scale))
    return TransferFit(
        omega=omega,
        omega_error=float(np.sqrt(both[0, 0])),
        delta=delta,
        delta_error=float(np.sqrt(both[1, 1])),
        long_run=omega / rest,
        long_run_error=float(np.sqrt(slope @ spread @ slope)) if np.isfinite(both[0, 0]) else np.nan,
        covariance=both,
        coefficients=coefficients[:-1],
        errors=np.sqrt(np.diag(covariance)[values.size : -1]),
        parameters=parameters,
        sigma2=columns.scale**2 * best.squares(best.best()) / best.n,
        log_likelihood=log_likelihood,
        aic=2 * (r + k + 2) - 2 * log_likelihood,
        deltas=profile[0],
        profile=profile[1],
        converged=not problems,
        problem="; ".join(problems),
    )


def _share(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
