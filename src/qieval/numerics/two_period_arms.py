"""Treated and controls of one comparison of two periods: the effect and each row's influence on it.

A comparison is a sum over periods s (sign -1 before, +1 after; of changes in a panel there is only +1). With
w the weights, z the covariates and a constant, d the treated of all periods, t and c the treated and controls
of period s, b_t and b_c their least squares coefficients, and v = w p / (1 - p) the odds weights of the
controls, a period adds, for the estimators of Sant'Anna and Zhao (2020, sections 2 and 3),

    doubly robust         mean_t(y - z b_t) + mean_d(z b_t - z b_c) - mean_v(y - z b_c)   locally efficient
                          mean_t(y - z b_c) - mean_v(y - z b_c)                           not so
    weighting             mean_t(y) - mean_v(y)
    outcome regression    mean_t(y) - mean_d(z b_c)

For changes the first two are the same. The influence functions are the derivatives of these means by the
weights of the rows, through the coefficients and through p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qieval.numerics.group_time_cells import Floats
from qieval.numerics.group_time_comparison import COLLINEAR, FEW_CONTROLS
from qieval.numerics.group_time_design import independent
from qieval.numerics.group_time_propensity import NO_OVERLAP, THIN, Arm
from qieval.numerics.two_period_weights import Group, Odds, likely, tilted

FEW_TREATED = (
    "One of the two periods has fewer treated rows than covariates plus one. Use fewer covariates, or the "
    "regression or weighting estimator."
)
COLLINEAR_TREATED = (
    "Among the treated of one period some covariate is a combination of the others, so that their outcomes "
    "cannot be predicted. Leave that covariate out or use broader categories."
)
TOO_ALIKE = (
    "The controls that resemble the treated are too few or too alike to predict outcomes from all "
    "covariates. Use fewer or coarser covariates, or the doubly robust estimator that is not improved."
)


@dataclass(frozen=True)
class Model:
    """Whose outcomes are regressed on covariates ("both": locally efficient), and how controls are weighted.

    "likelihood": odds of a logistic regression; "balance": odds of the logistic model that gives controls the
    covariate means of the treated (inverse probability tilting; Graham, Pinto and Egel 2012), with outcome
    coefficients of least squares weighted by them.
    """

    outcome: Literal["none", "controls", "both"]
    weighting: Literal["none", "likelihood", "balance"]

    @property
    def pooled(self) -> bool:
        """Whether predictions are averaged over the treated of all periods."""
        return self.outcome == "both" or self.weighting == "none"


@dataclass(frozen=True, eq=False)
class Contrast:
    """The effect; effect - truth is about the sum of treated (n_t,) and control (n_c,) over all rows.

    beta (K,): coefficients of the logistic model, if no covariate was left out; trimmed: controls left out
    because of their propensity.
    """

    effect: float
    treated: Floats
    control: Floats
    reason: str = ""
    beta: Floats | None = None
    trimmed: int = 0


@dataclass(frozen=True, eq=False)
class _Fit:
    """Least squares: coefficients (K,), residuals and weights (n,), and products of the design (K, K)."""

    beta: Floats
    residual: Floats
    weights: Floats
    gram: Floats

    def pull(self, z: Floats, by: Floats) -> Floats:
        """Influence of the rows z (K, n) on by @ beta."""
        found: Floats = (np.linalg.solve(self.gram, by) @ z) * self.weights * self.residual
        return found


def contrast(treated: Group, control: Group, model: Model, start: Floats | None = None) -> Contrast:
    """Effect and influence. All weights positive; start (K,): a guess of the logistic model's coefficients.

    Covariates that are combinations of others among the rows compared are left out.
    """
    kept = independent(treated.arm.gram() + control.arm.gram(), THIN)
    whole = bool(kept.all())
    if not whole:
        treated, control = replace(treated, z=treated.z[kept]), replace(control, z=control.z[kept])
    reason = _refusal(treated, control, model)
    odds = _weights(treated, control, model, start if whole else None) if not reason else None
    reason = reason or (odds.reason if odds else "")
    if odds is None or reason:
        return Contrast(np.nan, np.zeros(treated.w.size), np.zeros(control.w.size), reason)
    found = _summed(treated, control, model, odds)
    return found if whole else replace(found, beta=None)


def _refusal(treated: Group, control: Group, model: Model) -> str:
    """Why the outcomes cannot be regressed on the covariates, or ''."""
    asked = []
    if model.outcome != "none":
        asked.append((control, FEW_CONTROLS, COLLINEAR))
    if model.outcome == "both":
        asked.append((treated, FEW_TREATED, COLLINEAR_TREATED))
    for group, few, collinear in asked:
        for _, rows in group.parts:
            part = group.part(rows)
            if part.w.size < len(part.z):
                return few
            if not independent(part.arm.gram(), THIN).all():
                return collinear
    return ""


def _weights(treated: Group, control: Group, model: Model, start: Floats | None) -> Odds:
    """What the controls weigh."""
    if model.weighting == "none":
        return Odds(np.zeros(control.w.size))
    if len(control.z) == 1:
        return Odds(control.w)
    odds = tilted(treated, control) if model.weighting == "balance" else likely(treated, control, start)
    if odds.reason:
        return odds
    for _, rows in control.parts:
        if not odds.v[rows].any():
            return replace(odds, reason=NO_OVERLAP)
        gram = Arm(control.z[:, rows], odds.v[rows]).gram()
        if model.weighting == "balance" and not independent(gram, THIN).all():
            return replace(odds, reason=TOO_ALIKE)
    return odds


def _fit(group: Group, weights: Floats) -> _Fit:
    """Weighted least squares of the outcomes on the covariates."""
    gram = Arm(group.z, weights).gram()
    beta = np.asarray(np.linalg.solve(gram, group.z @ (weights * group.y)), dtype=np.float64)
    return _Fit(beta, group.y - beta @ group.z, weights, gram)


@dataclass(eq=False)
class _Sums:
    """What periods add up to.

    The effect, the influence of the rows, the slope (K,) of what is averaged over all treated, and the
    derivative (K,) of the effect by the coefficients of the logistic model.
    """

    effect: float
    treated: Floats
    control: Floats
    slope: Floats
    derivative: Floats


def _summed(treated: Group, control: Group, model: Model, odds: Odds) -> Contrast:
    """Effect and influence, given the weights."""
    k = len(treated.z)
    sums = _Sums(0.0, np.zeros(treated.w.size), np.zeros(control.w.size), np.zeros(k), np.zeros(k))
    share = treated.w / treated.w.sum()
    centre = treated.z @ share
    for (sign, t), (_, c) in zip(treated.parts, control.parts, strict=True):
        adds = _period(treated.part(t), control.part(c), model, odds.v[c], centre)
        sums.effect += sign * adds.effect
        sums.treated[t] += sign * adds.treated
        sums.control[c] += sign * adds.control
        sums.slope += sign * adds.slope
        sums.derivative += sign * adds.derivative
    if model.pooled:
        sums.effect += float(centre @ sums.slope)
        sums.treated += share * (sums.slope @ (treated.z - centre[:, None]))
    if odds.scores is not None:
        of_treated, of_control = odds.scores.pushed(treated, control, sums.derivative)
        sums.treated += of_treated
        sums.control += of_control
    beta = None if odds.scores is None else odds.scores.beta
    return Contrast(sums.effect, sums.treated, sums.control, "", beta, odds.trimmed)


def _period(treated: Group, control: Group, model: Model, v: Floats, centre: Floats) -> _Sums:
    """One period without its part of the mean over all treated, whose covariates have mean centre (K,)."""
    k = len(centre)
    own = treated.w / treated.w.sum()
    here = treated.z @ own
    share = v / v.sum() if v.any() else v
    fit, rest = None, control.y
    if model.outcome != "none":
        fit = _fit(control, v if model.weighting == "balance" else control.w)
        rest = fit.residual
    at = float(share @ rest)
    of_control = -share * (rest - at)
    derivative = control.z @ of_control
    of_treated, mean, slope = _of_treated(treated, own, model, fit, centre - here)
    if fit is not None and model.weighting != "balance":
        by = (centre if model.pooled else here) - control.z @ share
        of_control -= fit.pull(control.z, by)
    return _Sums(mean - at, of_treated, of_control, slope if model.pooled else np.zeros(k), derivative)


def _of_treated(
    treated: Group, own: Floats, model: Model, fit: _Fit | None, shift: Floats
) -> tuple[Floats, float, Floats]:
    """Influence of the treated of a period, their mean residual, and the slope of the mean over all treated.

    shift (K,): how far the covariates of all treated lie from those of the period.
    """
    slope = np.zeros(len(shift)) if fit is None else -fit.beta
    residual, pull = treated.y, np.zeros(own.size)
    if model.outcome == "both":
        theirs = _fit(treated, treated.w)
        slope, residual = slope + theirs.beta, theirs.residual
        if model.weighting != "balance":
            pull = theirs.pull(treated.z, shift)
    elif not model.pooled and fit is not None:
        residual = treated.y - fit.beta @ treated.z
    mean = float(own @ residual)
    return own * (residual - mean) + pull, mean, slope
