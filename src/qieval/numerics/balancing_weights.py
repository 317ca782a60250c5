"""Weights from a propensity score, and what is done to them: stabilising, truncating, trimming."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.estimated_weights import (
    Block,
    Estimand,
    Standardised,
    Status,
    Weights,
    checked,
    standardise,
)
from qieval.numerics.logistic import logistic
from qieval.numerics.two_way import Floats, Mask


def score_weights(
    x: Floats, treated: Mask, estimand: Estimand = "ATE", base: Floats | None = None
) -> Weights:
    """Inverse-probability, overlap (ATO) or matching (ATM) weights of a maximum likelihood logistic score.

    x (n, k) without constant; base (n,) sampling weights, used in the regression too. Aliased columns are
    left out, first ones kept. The weights of ATT and ATC are 1 in the group that the effect is for; ATE:
    1/p and 1/(1-p); ATO: 1-p and p (Li, Morgan and Zaslavsky 2018); ATM: min(p, 1-p) over the probability
    of the arm received (Li and Greene 2013). WeightIt's method "glm" has the same weights.

    >>> x = np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
    >>> found = score_weights(x, np.array([True, False, False, True, True, False]))
    >>> print(found.weights.round(6))
    [3.  1.5 1.5 1.5 1.5 3. ]
    """
    x, treated, base = checked(x, treated, base)
    score = fitted_score(x, treated, base)
    p = score.probability
    weights, slope = by_estimand(score.design.times(score.coefficients), treated, estimand)
    residual = base * (treated - p)
    jacobian = -score.design.gram(base * p * (1 - p))
    block = Block(score.design, score.coefficients, residual[:, None], slope, jacobian)
    largest = float(np.abs(score.design.totals(residual)).max() / base.sum())
    return Weights(weights, treated, base, estimand, (block,), score.status, 0, largest, np.nan)


@dataclass(frozen=True, eq=False)
class Score:
    """Logistic regression of the treatment in standardised columns: coefficients (q,), constant first."""

    design: Standardised
    coefficients: Floats
    probability: Floats
    status: Status


def fitted_score(x: Floats, treated: Mask, base: Floats) -> Score:
    """Maximum likelihood score of checked input; aliased columns are left out, first ones kept."""
    fit = logistic(x, treated, base)
    design = standardise(x, base, ~fit.aliased)
    beta = fit.beta[1:][design.columns]
    coefficients = np.append(fit.beta[0] + design.centre @ beta, beta * design.scale)
    status: Status = "separated" if fit.separated else "converged" if fit.converged else "not converged"
    return Score(design, coefficients, fit.probability, status)


def probability_weights(
    probability: Floats, treated: Mask, estimand: Estimand = "ATE", base: Floats | None = None
) -> Weights:
    """The same weights from a score (n,) that comes from elsewhere; its estimation cannot be allowed for.

    A score of 0 or 1 where the weight divides by it is a ValueError.
    """
    p = np.asarray(probability, dtype=float)
    _, treated, base = checked(p[:, None], treated, base)
    with np.errstate(divide="ignore"):
        weights = by_estimand(scipy.special.logit(p), treated, estimand)[0]
    if not np.isfinite(weights).all():
        raise ValueError("a score of 0 or 1 gives an infinite weight")
    return Weights(weights, treated, base, estimand, (), "converged", 0, 0.0, np.nan)


def stabilised(found: Weights) -> Weights:
    """Weights times the share of the row's arm (base-weighted), so that those of the ATE average about one.

    Differences of weighted means do not change; the share is taken as known.
    """
    share = float(found.base[found.treated].sum() / found.base.sum())
    return found.multiplied(np.where(found.treated, share, 1 - share))


def truncated(found: Weights, quantile: float = 0.99, lower: bool = False) -> Weights:
    """Weights above the quantile set to it (lower: also those below 1 - quantile).

    Quantiles are over all rows with a base weight, for ATT and ATC over the arm that is weighted; they are
    order statistics (R's type 3, as WeightIt's trim; whole base weights count as repeated rows). The cut is
    taken as known: the derivative of a weight that was cut is zero. quantile lies above 0.5 and below 1.
    """
    if not 0.5 < quantile < 1:
        raise ValueError("quantile must lie between 0.5 and 1")
    rows = {"ATT": ~found.treated, "ATC": found.treated}.get(
        found.estimand, np.ones(found.treated.size, bool)
    )
    high = _order_statistic(found.weights[rows], found.base[rows], quantile)
    low = _order_statistic(found.weights[rows], found.base[rows], 1 - quantile) if lower else -np.inf
    changed = rows & ((found.weights > high) | (found.weights < low))
    weights = np.where(rows, np.clip(found.weights, low, high), found.weights)
    blocks = tuple(replace(block, slope=np.where(changed, 0.0, block.slope)) for block in found.blocks)
    return replace(found, weights=weights, blocks=blocks)


def _order_statistic(values: Floats, base: Floats, quantile: float) -> float:
    """Value number n * quantile of n sorted ones, a half rounded to even; n is the sum of base."""
    order = np.argsort(values[base > 0], kind="stable")
    ordered, many = values[base > 0][order], base[base > 0][order]
    below = np.cumsum(many)
    position = quantile * below[-1]
    if (many == np.floor(many)).all():
        position = max(float(np.rint(position)), 1.0)
    return float(ordered[min(int(np.searchsorted(below, position)), ordered.size - 1)])


def inside(probability: Floats, low: float = 0.1, high: float | None = None) -> Mask:
    """Rows whose score lies in [low, high] (high None: 1 - low), both ends included (n,).

    The score should be estimated again among them; the effect is then one in that group only.
    """
    return np.asarray((probability >= low) & (probability <= (1 - low if high is None else high)))


def crump_bound(probability: Floats) -> float:
    """Smallest score to keep, alpha: the effect in rows with alpha <= p <= 1 - alpha has the least variance.

    The variance of Crump, Hotz, Imbens and Mitnik (2009) with a constant outcome variance, mean of 1/(p(1-p))
    over the rows kept divided by their share, is minimised over all cuts (their equation for alpha can have
    several solutions in a sample). Between the last score kept and the first one cut any alpha does; 0 if
    all rows are kept. Scores of exactly 0 or 1 are never kept.

    >>> crump_bound(np.array([0.3, 0.5, 0.6]))
    0.0
    """
    variance = np.sort(probability * (1 - probability))[::-1]
    positive = variance[variance > 0]
    criterion = np.cumsum(1 / positive) / np.arange(1, positive.size + 1) ** 2
    criterion[:-1][positive[:-1] == positive[1:]] = np.inf
    kept = int(np.argmin(criterion)) + 1
    if kept == variance.size:
        return 0.0
    return float(0.5 - np.sqrt(0.25 - (variance[kept - 1] + variance[kept]) / 2))


def by_estimand(index: Floats, treated: Mask, estimand: Estimand) -> tuple[Floats, Floats]:
    """Weights and their derivatives by the index (linear predictor) of a logistic score, (n,) each."""
    sign = np.where(treated, -1.0, 1.0)
    with np.errstate(over="ignore"):
        odds = np.exp(sign * index)
    if estimand == "ATE":
        return 1 + odds, sign * odds
    if estimand in ("ATT", "ATC"):
        weighted = treated == (estimand == "ATC")
        return np.where(weighted, odds, 1.0), np.where(weighted, sign * odds, 0.0)
    if estimand == "ATO":
        other = scipy.special.expit(sign * index)
        return other, sign * other * (1 - other)
    if estimand == "ATM":
        return np.minimum(odds, 1.0), np.where(odds < 1, sign * odds, 0.0)
    raise ValueError(f"unknown estimand {estimand!r}")
