"""ARIMA with regressors by exact maximum likelihood, in the conventions of R's `arima(method = "ML")`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.series_arma import Order, band_and_filter, filtered, from_free, to_free
from qieval.numerics.series_differenced import Columns, prepare, prepare_with_initial
from qieval.numerics.series_likelihood import (
    Moments,
    Optimum,
    information,
    innovations,
    moments,
    restrict,
    search,
)
from qieval.numerics.two_way import Floats

SCATTERED = 24
SCATTER_SEED = 19700101
"""Scattered starting points and their fixed seed: the same data always give the same fit."""

RUNS = 12
"""Starting points from which the likelihood is climbed where there are several parameters."""

BOUNDARY = 0.9999
"""A partial autocorrelation beyond this counts as a unit root, where standard errors do not exist."""


@dataclass(frozen=True, eq=False)
class ArimaFit:
    """A fitted regression with ARIMA errors.

    parameters (r + k,) with names: ar, ma, sar, sma, then the regressors (x1, ..., and the intercept or
    drift last where `trend`); coefficients (k,) and covariance (k, k) are the regressors' part, and
    full_covariance (r + k, r + k) all of it, from the observed information. sigma2 is the innovations'
    variance (maximum likelihood). log_likelihood is that of the differenced series, and aic counts sigma2 as
    a parameter, as R does; aicc uses n_used = values observed less those differencing takes. residuals (n,)
    are standardised innovations, NaN for missing values and the first d. converged is False, and problem
    says why, where the optimiser stopped short or there are no standard errors (NaN) for some parameter.
    """

    order: Order
    names: tuple[str, ...]
    parameters: Floats
    coefficients: Floats
    covariance: Floats
    full_covariance: Floats
    sigma2: float
    log_likelihood: float
    aic: float
    aicc: float
    bic: float
    n_used: int
    residuals: Floats
    converged: bool
    problem: str

    @property
    def errors(self) -> Floats:
        """Standard errors (r + k,) of all parameters."""
        return np.sqrt(np.diag(self.full_covariance))


@dataclass(frozen=True, eq=False)
class ArimaShape:
    """Likelihood of prepared columns under an order, as a function of ar, ma, sar and sma."""

    columns: Columns
    order: Order

    def moments(self, parameters: Floats) -> Moments:
        """At parameters as they are printed; raises LinAlgError where the process is not stationary."""
        band, transform = self.covariance(parameters)
        return moments(band, self.columns, transform)

    def moments_free(self, free: Floats) -> Moments:
        """At parameters without bounds (`from_free`)."""
        return self.moments(from_free(self.order, free))

    def covariance(self, parameters: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Banded covariance, and the map of the differenced columns that it belongs to."""
        phi, theta = self.order.polynomials(parameters)
        band, m = band_and_filter(phi, theta, self.columns.y.size)
        return band, lambda values: filtered(values, phi, m)

    def starts(self) -> Floats:
        """Starts (s, r) without bounds: typical ones and, as optima may be several, scattered ones."""
        firsts = np.array(
            [
                [0.1, 0.0, 0.1, -0.1],
                [0.4, 0.3, 0.5, -0.5],
                [0.9, -0.6, 0.9, -0.7],
                [0.9, 0.0, 0.6, -0.3],
                [-0.5, 0.3, 0.2, -0.8],
                [0.3, -0.8, 0.3, 0.3],
                [-0.3, 0.8, -0.3, 0.1],
            ]
        )
        out = np.zeros((len(firsts), sum(self.order.counts)))
        place = 0
        for kind, count in enumerate(self.order.counts):
            if count:
                out[:, place] = np.arctanh(firsts[:, kind])
            place += count
        if out.shape[1] < 2:
            return out
        scattered = np.random.default_rng(SCATTER_SEED).normal(size=(SCATTERED, out.shape[1]))
        return np.vstack([out, scattered])


def fit_arima(
    y: Floats,
    x: Floats,
    order: tuple[int, int, int],
    seasonal: tuple[int, int, int, int] = (0, 0, 0, 0),
    trend: bool = False,
    initial_variance: float = np.inf,
) -> ArimaFit:
    """Regression of y (n,) on x (n, k) with ARIMA(p, d, q)(P, D, Q)[s] errors by exact maximum likelihood.

    y is NaN where a period has no value; x must be finite where y is, and holds the intercept where one is
    wanted. trend adds one: a constant, or a linear time trend (drift) where the series is differenced once.
    Regressors are differenced with the outcome, so that a step stays the change of level. Several starts
    and a Newton polish; standard errors from the observed information in all parameters (R's `arima` takes
    the same by finite differences of a wider step, which moves those of ar and ma by 0.1% or less, and that
    of a regressor without scaling, like time in months, by up to 2%; statsmodels by default takes another,
    the outer product of gradients).

    initial_variance: infinite is the exact likelihood of the differenced series. R gives the d values
    before a differenced series a variance of 10^6 times the innovations'; 1e6 repeats its numbers, which
    then depend on the origin of y (seat belts, (1,0,1)(0,1,1)[12]: log-likelihood 204.85038 for 204.85050).
    Raises ValueError where regressors are dependent or the series is too short. Checked against R and
    against a dense multivariate normal density.
    """
    shape = arima_order(order, seasonal)
    x, names = with_trend(x, shape, trend)
    columns = prepare(y, x, shape.difference)
    if not np.isfinite(initial_variance) or not columns.lost:
        return fit_columns(columns, shape, names)
    near = prepare_with_initial(y, x, shape.difference, initial_variance)
    fit = fit_columns(near, shape, names)
    return replace(fit, residuals=fit.residuals[columns.lost :])


def arima_order(order: tuple[int, int, int], seasonal: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Order:
    """`Order` from (p, d, q) and (P, D, Q, s)."""
    return Order(*order, *seasonal)


def with_trend(x: Floats, order: Order, trend: bool) -> tuple[Floats, tuple[str, ...]]:
    """Regressors with the constant or the drift that `trend` asks for, and their names."""
    names = tuple(f"x{i + 1}" for i in range(x.shape[1]))
    if not trend:
        return x, names
    differences = order.d + order.seasonal_d
    if differences > 1:
        raise ValueError("a trend can be added only to a series differenced at most once")
    column = np.arange(1.0, len(x) + 1) if differences else np.ones(len(x))
    return np.column_stack([x, column]), (*names, "drift" if differences else "intercept")


def fit_columns(
    columns: Columns, order: Order, names: tuple[str, ...], runs: int = RUNS, restricted: bool = False
) -> ArimaFit:
    """`fit_arima` of columns that are ready; restricted: ar and ma by restricted likelihood."""
    if columns.n_used < sum(order.counts) + len(names) + 2:
        raise ValueError(
            f"{columns.n_used} values are too few for {sum(order.counts) + len(names)} parameters"
        )
    shape = ArimaShape(columns, order)
    searched = restrict(shape.moments_free) if restricted else shape.moments_free
    optimum = search(searched, shape.starts(), runs)
    parameters = from_free(order, optimum.parameters)
    covariance, problem = _covariance(shape, parameters, optimum)
    best = shape.moments(parameters)
    turned = best.best()
    r, k, n = parameters.size, turned.size, columns.n_used
    log_likelihood = -best.loss() - n * np.log(columns.scale)
    counted = r + k + 1
    penalty = 2 * counted * (counted + 1) / (n - counted - 1) if n > counted + 1 else np.inf
    band, transform = shape.covariance(parameters)
    coefficients = columns.coefficients(turned)
    return ArimaFit(
        order=order,
        names=order.names + names,
        parameters=np.concatenate([parameters, coefficients]),
        coefficients=coefficients,
        covariance=covariance[r:, r:],
        full_covariance=covariance,
        sigma2=columns.scale**2 * best.squares(turned) / n,
        log_likelihood=log_likelihood,
        aic=2 * counted - 2 * log_likelihood,
        aicc=2 * counted - 2 * log_likelihood + penalty,
        bic=counted * np.log(n) - 2 * log_likelihood,
        n_used=n,
        residuals=innovations(band, columns, transform),
        converged=not problem,
        problem=problem,
    )


def _covariance(shape: ArimaShape, parameters: Floats, optimum: Optimum) -> tuple[Floats, str]:
    """Covariance of all parameters in the units of the data, and what is wrong with it.

    Parameters at a unit root are taken as known: their rows are NaN, the rest is conditional on them.
    """
    columns, r = shape.columns, parameters.size
    k = columns.basis.shape[0]
    partial = np.tanh(to_free(shape.order, parameters))
    inside = np.abs(partial) < BOUNDARY
    free = np.concatenate([inside, np.ones(k, bool)])

    def part(values: Floats) -> Moments:
        whole = parameters.copy()
        whole[inside] = values
        return shape.moments(whole)

    second = information(part, parameters[inside])
    turn = np.eye(r + k)[np.ix_(free, free)]
    turn[inside.sum() :, inside.sum() :] = columns.scale * columns.basis
    out = np.full((r + k, r + k), np.nan)
    problems = [] if optimum.converged else ["the likelihood was not maximised"]
    if not inside.all():
        at = ", ".join(name for name, good in zip(shape.order.names, inside, strict=True) if not good)
        problems.append(f"unit root: no standard error for {at}")
    if np.isfinite(second).all() and np.linalg.eigvalsh(second).min() > 0:
        out[np.ix_(free, free)] = turn @ np.linalg.inv(second) @ turn.T
    else:
        problems.append("the information is not positive definite")
    return out, "; ".join(problems)
