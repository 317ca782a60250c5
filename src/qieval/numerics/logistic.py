"""Logistic and probit regression by plain maximum likelihood: the propensity score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.pairs import Floats, Mask

Link = Literal["logit", "probit"]
Learner = Literal["logistic with penalty", "gradient boosting", "random forest"]
Parts = tuple[Floats, Floats, Floats]

BLOCK = 4096
"""Rows handled at once, so that they stay in cache."""

MANY = 200_000
ITERATIONS = 60
GRADIENT = 1e-12
"""Largest mean gradient per person, for covariates in standard deviations."""

ALIASED = 1e-7
"""A column is aliased if earlier ones leave less than this share of its standard deviation."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted model; the constant comes first in beta (k + 1,) and covariance (k + 1, k + 1).

    linear (n,) is the linear predictor, probability (n,) the score; rows with equal covariates have exactly
    equal values. converged: the gradient is zero up to rounding. separated: some combination of covariates
    predicts the outcome without error for some rows, so that no finite estimate exists; estimates are then
    where the search stopped (scores of those rows are 0 or 1) and converged is False. aliased (k,): columns
    that are constant or a combination of earlier ones; their coefficients and covariances are 0 (R: NA).
    """

    beta: Floats
    covariance: Floats
    linear: Floats
    probability: Floats
    log_likelihood: float
    converged: bool
    separated: bool
    aliased: Mask


@dataclass(frozen=True, eq=False)
class _Problem:
    """Standardised covariates after the constant (n, k + 1), outcome as a sign (n,), weights (n,), link."""

    z: Floats
    sign: Floats
    weights: Floats
    link: Link

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Rows in pieces that stay in cache."""
        for start in range(0, len(self.z), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self.z[rows]

    def derivatives(self, beta: Floats) -> tuple[float, Floats, Floats]:
        """Log-likelihood, its gradient and minus its second derivative."""
        parts = _logit if self.link == "logit" else _probit
        total, gradient, curvature = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
        for at, z in self.blocks():
            sign, weights = self.sign[at], self.weights[at]
            value, slope, bend = parts(sign * (z @ beta))
            total += float(weights @ value)
            gradient += z.T @ (weights * sign * slope)
            curvature += (z * (weights * bend)[:, None]).T @ z
        return total, gradient, curvature

    def information(self, beta: Floats) -> Floats:
        """Minus the expected second derivative of the probit; for the logit it is the observed one."""
        held = np.zeros((beta.size, beta.size))
        for at, z in self.blocks():
            linear = z @ beta
            expected = _probit(linear)[1] * _probit(-linear)[1]
            held += (z * (self.weights[at] * expected)[:, None]).T @ z
        return held

    def linear(self, beta: Floats) -> Floats:
        """Linear predictor, summed column by column: a matrix product may round equal rows differently."""
        held = np.empty(len(self.z))
        for at, z in self.blocks():
            here = np.full(len(z), beta[0])
            for column in range(1, beta.size):
                here += z[:, column] * beta[column]
            held[at] = here
        return held


def _logit(u: Floats) -> Parts:
    """log F, its slope and minus its bend at u, F the logistic distribution."""
    slope = scipy.special.expit(-u)
    return scipy.special.log_expit(u), slope, slope * (1 - slope)


def _probit(u: Floats) -> Parts:
    """As `_logit` for the normal distribution: slope is the inverse Mills ratio."""
    value = scipy.special.log_ndtr(u)
    slope = np.exp(-0.5 * (u * u + np.log(2 * np.pi)) - value)
    return value, slope, slope * (slope + u)


def logistic(x: Floats, y: Mask, weights: Floats | None = None, link: Link = "logit") -> Logistic:
    """Maximum likelihood of P(y) = F(constant + x beta); x (n, k) without constant, y (n,), weights (n,).

    Newton's method with step halving on standardised covariates, until the gradient is zero up to rounding;
    answers do not depend on units. The covariance is the inverse of the expected information (R's glm). k
    may be 0. Missing values and outcomes without variation are the caller's to refuse (ValueError). Checked
    against statsmodels and R's glm.

    >>> x, y = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), np.array([True, False, True, True, False])
    >>> logistic(x, y).beta.round(6) + 0
    array([0.      , 0.693147])
    """
    x = np.asarray(x, dtype=np.float64)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    used = w > 0
    if not np.isfinite(x).all() or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("covariates and weights must be finite, weights not negative")
    if y[used].all() or not y[used].any():
        raise ValueError("the outcome does not vary")
    z, mean, scale = _standardised(x, w)
    aliased = _aliased(z, w)
    kept = ~aliased
    columns = np.concatenate([[True], kept])
    problem = _Problem(z if kept.all() else z[:, columns], np.where(y, 1.0, -1.0), w, link)
    beta, converged, separated = _maximise(problem)
    linear = problem.linear(beta)
    likelihood, _, curvature = problem.derivatives(beta)
    information = curvature if link == "logit" else problem.information(beta)
    inverse = np.linalg.pinv(information, 1e-14, hermitian=True)
    turn = np.diag(np.concatenate([[1.0], 1 / scale[kept]]))
    turn[0, 1:] = -mean[kept] / scale[kept]
    place = np.concatenate([[0], 1 + np.flatnonzero(kept)])
    held, spread = np.zeros(aliased.size + 1), np.zeros((aliased.size + 1, aliased.size + 1))
    held[place] = turn @ beta
    spread[np.ix_(place, place)] = turn @ inverse @ turn.T
    cdf = scipy.special.expit if link == "logit" else scipy.special.ndtr
    return Logistic(held, spread, linear, cdf(linear), likelihood, converged, separated, aliased)


def _standardised(x: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Constant and standardised columns (n, k + 1), weighted means and standard deviations (k,).

    Constant columns become 0 and get standard deviation 1.
    """
    z = np.ones((len(x), x.shape[1] + 1))
    share = weights / weights.sum()
    mean = share @ x
    np.subtract(x, mean, out=z[:, 1:])
    scale = np.sqrt(np.einsum("i,ij,ij->j", share, z, z)[1:])
    constant = scale <= 1e-13 * np.abs(mean)
    z[:, 1:][:, constant] = 0.0
    scale[constant] = 1.0
    z[:, 1:] /= scale
    return z, mean, scale


def _aliased(z: Floats, weights: Floats) -> Mask:
    """Which covariates are constant or a combination of earlier ones; from the rows where in doubt."""
    products = np.zeros((z.shape[1], z.shape[1]))
    for start in range(0, len(z), BLOCK):
        block = z[start : start + BLOCK]
        products += (block * weights[start : start + BLOCK, None]).T @ block
    products /= weights.sum()
    held = [0]
    for column in range(1, z.shape[1]):
        cross = products[held, column]
        slope = np.linalg.lstsq(products[np.ix_(held, held)], cross, rcond=1e-15)[0]
        left = float(products[column, column] - slope @ cross)
        if products[column, column] > 0 and left < 1e-9:
            root = np.sqrt(weights / weights.sum())
            triangle = np.asarray(np.linalg.qr(z[:, [*held, column]] * root[:, None], mode="r"))
            left = float(triangle[-1, -1] ** 2)
        if left >= ALIASED**2:
            held.append(column)
    return ~np.isin(np.arange(1, z.shape[1]), held)


def _maximise(problem: _Problem) -> tuple[Floats, bool, bool]:
    """Coefficients of the standardised covariates; whether they converged; whether rows are separated.

    Where the maximum lies at infinity the gradient vanishes but Newton's steps do not: along a direction in
    which the likelihood has a factor 1 - exp(-t), every step adds about 1 to t.
    """
    beta = _start(problem)
    enough = GRADIENT * problem.weights.sum()
    value, gradient, curvature = problem.derivatives(beta)
    for _ in range(ITERATIONS):
        step: Floats = np.asarray(np.linalg.lstsq(curvature, gradient, rcond=1e-15)[0], dtype=np.float64)
        flat = np.abs(gradient).max() <= enough
        if flat and np.abs(step).max() <= 1e-6 * (1 + np.abs(beta).max()):
            return beta + step, True, False
        if flat and _furthest(problem, step) > 0.1:
            return beta, False, True
        beta, (value, gradient, curvature) = _halved(problem.derivatives, beta, step, value)
    return beta, False, _furthest(problem, step) > 0.1


def _start(problem: _Problem) -> Floats:
    """Zero; with very many rows the fit to a regular tenth of them, if that has one."""
    if len(problem.z) >= MANY:
        some = slice(None, None, 10)
        part = replace(problem, z=problem.z[some], sign=problem.sign[some], weights=problem.weights[some])
        beta, converged, _ = _maximise(part)
        if converged:
            return beta
    return np.zeros(problem.z.shape[1])


def _halved(
    derivatives: Callable[[Floats], tuple[float, Floats, Floats]], beta: Floats, step: Floats, value: float
) -> tuple[Floats, tuple[float, Floats, Floats]]:
    """One step, halved while it makes the likelihood worse by more than rounding."""
    for _ in range(30):
        held = derivatives(beta + step)
        if held[0] >= value - 1e-12 * abs(value):
            break
        step = step / 2
    return beta + step, held


def _furthest(problem: _Problem, step: Floats) -> float:
    """Largest change of a linear predictor."""
    return max(float(np.abs(z @ step).max()) for _, z in problem.blocks())


def crossfitted(x: Floats, y: Mask, learner: Learner, folds: int = 5, seed: int = 0) -> Floats:
    """Probability of y for each row from a model fitted without its fold; x (n, k), y (n,).

    Folds are stratified by y and drawn from seed. "logistic with penalty": ridge on standardised covariates,
    its strength chosen by cross-validated likelihood; "gradient boosting": 200 small trees by histogram;
    "random forest": 200 trees with at least 10 rows in a leaf (may give exactly 0 or 1: no finite logit).
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    if folds < 2 or min(np.count_nonzero(y), np.count_nonzero(~y)) < folds:
        raise ValueError("cross-fitting needs at least two folds and a row of each arm for every fold")
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = _learner(learner, seed)
    held: Floats = cross_val_predict(model, x, y, cv=split, method="predict_proba")[:, 1]
    return held


def _learner(learner: Learner, seed: int) -> object:
    """The scikit-learn classifier of that name."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if learner == "gradient boosting":
        return HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.05, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
    if learner == "random forest":
        return RandomForestClassifier(200, min_samples_leaf=10, random_state=seed)
    if learner == "logistic with penalty":
        strengths = {"C": list(np.logspace(-4, 4, 10))}
        penalised = GridSearchCV(LogisticRegression(max_iter=1000), strengths, scoring="neg_log_loss", cv=5)
        return make_pipeline(StandardScaler(), penalised)
    raise ValueError(f"no learner is called {learner!r}")
