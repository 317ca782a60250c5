"""Propensity scores that balance: just-identified CBPS and inverse probability tilting (IPT).

Both keep the logistic form of the score and solve balance equations in place of those of maximum
likelihood. For ATT and ATC, just-identified CBPS, IPT and entropy balancing are one method up to the scale
of the weights (Zhao and Percival 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.balancing_weights import fitted_score, score_weights
from qieval.numerics.entropy_balancing import Arm, collected, per_base, tilt_arm
from qieval.numerics.estimated_weights import (
    Block,
    Estimand,
    Standardised,
    Status,
    Weights,
    checked,
    standardise,
)
from qieval.numerics.two_way import Floats, Mask

ACCURACY = 1e-11
STEPS = 200
HALVINGS = 40


def covariate_balance(
    x: Floats, treated: Mask, estimand: Estimand = "ATE", base: Floats | None = None
) -> Weights:
    """Just-identified CBPS: logistic scores whose weighted means are equal in both arms.

    x (n, k) without constant, base (n,) sampling weights. ATE: sum of (A/p - (1-A)/(1-p)) (1, x) = 0, so
    that the arms agree with each other, not with the sample; ATT and ATC: the weighted arm agrees with the
    other; ATO: maximum likelihood. The ATE equations are the gradient of a convex function, solved by
    Newton's method from the maximum likelihood estimate until no mean is off by more than 1e-11 SD.

    >>> x = np.array([[0.0], [1.0], [0.0], [0.0], [1.0], [1.0]])
    >>> found = covariate_balance(x, np.array([True, True, False, False, False, True]))
    >>> print(found.weights.round(6))
    [3.  1.5 1.5 1.5 3.  1.5]
    """
    x, treated, base = checked(x, treated, base)
    if estimand in ("ATT", "ATC"):
        return _tilted(x, treated, estimand, base)
    if estimand == "ATO":
        found = score_weights(x, treated, "ATO", base)
        return replace(found, imbalance=mean_difference(found.blocks[0].design, found))
    if estimand != "ATE":
        raise ValueError("CBPS is for ATE, ATT, ATC or ATO")
    return _both_arms(x, treated, base)


def probability_tilt(
    x: Floats, treated: Mask, estimand: Estimand = "ATE", base: Floats | None = None
) -> Weights:
    """Inverse probability tilting (Graham, Pinto and Egel 2012): each arm reproduces the target's means.

    ATE: a logistic score of its own for each arm, sum over the arm of (1, x)/p = sum over all of (1, x). As
    1/p = 1 + exp(-index), each arm's odds are entropy balancing weights towards the other arm. ATT and ATC
    as CBPS.

    >>> x = np.array([[0.0], [1.0], [0.0], [0.0], [1.0], [1.0]])
    >>> print(probability_tilt(x, np.array([True, True, False, False, False, True])).weights.round(6))
    [3.  1.5 1.5 1.5 3.  1.5]
    """
    x, treated, base = checked(x, treated, base)
    if estimand in ("ATT", "ATC"):
        return _tilted(x, treated, estimand, base)
    if estimand != "ATE":
        raise ValueError("inverse probability tilting is for ATE, ATT or ATC")
    design = standardise(x, base)
    arms = [tilt_arm(design, (rows, ~rows), base, base) for rows in (treated, ~treated)]
    odds = [_odds(arm, base) for arm in arms]
    blocks = tuple(
        _block(arm, base * (1 - arm.rows * (1 + own)), own, base) for arm, own in zip(arms, odds, strict=True)
    )
    return collected(
        Weights(1 + odds[0] + odds[1], treated, base, estimand, blocks, "converged", 0, 0.0, 0.0), arms
    )


def mean_difference(design: Standardised, found: Weights) -> float:
    """Largest |difference of weighted means| between the arms, in SDs of the columns over all rows."""
    shares = [found.total * rows / float(found.total[rows].sum()) for rows in (found.treated, ~found.treated)]
    return float(np.abs(design.totals(shares[0] - shares[1])[1:]).max(initial=0.0))


def _tilted(x: Floats, treated: Mask, estimand: Estimand, base: Floats) -> Weights:
    """ATT and ATC: the odds are a tilt of one arm to the means and the number of the other."""
    rows = ~treated if estimand == "ATT" else treated
    arm = tilt_arm(standardise(x, base), (rows, ~rows), base, base)
    odds = _odds(arm, base)
    block = _block(arm, base * (~rows - odds), odds, base)
    weights = np.where(rows, odds, 1.0)
    return collected(Weights(weights, treated, base, estimand, (block,), "converged", 0, 0.0, 0.0), (arm,))


def _odds(arm: Arm, base: Floats) -> Floats:
    """Weights of the arm that add up (with base) to the base weight of its target; 0 elsewhere."""
    return per_base(arm.share, base) * float(base[arm.target].sum())


def _block(arm: Arm, residual: Floats, odds: Floats, base: Floats) -> Block:
    """Equations sum of residual (1, z) = 0; the residual falls by base * odds as the arm's log odds rise."""
    total = float(base[arm.target].sum())
    coefficients = arm.coefficients(total, base)
    return Block(arm.design, coefficients, residual[:, None], odds, -total * arm.second_moments())


@dataclass(frozen=True, eq=False)
class _Point:
    """b and, by row, sign * index (n,); value is the function whose gradient the ATE equations are."""

    b: Floats
    along: Floats
    value: float


def _both_arms(x: Floats, treated: Mask, base: Floats) -> Weights:
    """ATE: minimise the mean of exp(-s index) - s index, s = 1 for treated and -1 for controls."""
    score = fitted_score(x, treated, base)
    design = score.design
    sign = np.where(treated, 1.0, -1.0)
    share = base / base.sum()

    def at(b: Floats) -> _Point:
        along = sign * design.times(b)
        with np.errstate(over="ignore"):
            return _Point(b, along, float(share @ (np.exp(-along) - along)))

    point = at(score.coefficients if score.status == "converged" else np.zeros(design.q))
    status: Status = "not converged"
    for iteration in range(STEPS + 1):
        odds = np.exp(-point.along)
        gradient = design.totals(-share * sign * (1 + odds))
        hessian = design.gram(share * odds)
        left = float(np.abs(gradient).max())
        if left <= ACCURACY or point.along.min() > 0:
            status = "converged" if left <= ACCURACY else "separated"
            break
        moved = _lower(point, np.asarray(scipy.linalg.lstsq(hessian, -gradient)[0]), gradient, at)
        if moved is None or iteration == STEPS:
            break
        point = moved
    block = Block(
        design, point.b, (base * sign * (1 + odds))[:, None], -sign * odds, -float(base.sum()) * hessian
    )
    found = Weights(1 + odds, treated, base, "ATE", (block,), status, iteration, left, np.nan)
    return replace(found, imbalance=mean_difference(design, found))


def _lower(
    point: _Point, direction: Floats, gradient: Floats, at: Callable[[Floats], _Point]
) -> _Point | None:
    """The next point that lowers the function enough (Armijo), or None."""
    promised = float(gradient @ direction)
    length = 1.0
    for _ in range(HALVINGS):
        moved = at(point.b + length * direction)
        if moved.value <= point.value + 1e-4 * length * promised + 1e-13 * max(1.0, abs(point.value)):
            return moved
        length /= 2
    return None
