"""One treated and one control arm: effects of several periods that share units, covariates and weights.

With w the weights, z the covariates and a constant, p the propensity, b the least squares coefficients of the
controls' change and e = change - z b: treated weigh w, controls v = w p / (1 - p), and

    effect = mean_w(e of the treated) - mean_v(e of the controls).

"ipw" sets b to 0, "regression" weighs the controls' e by 0 (Sant'Anna and Zhao 2020, equations 2.2 to 2.4
with normalised weights, and section 3 for the influence functions). Two facts keep it cheap: the influence
of estimating b is e times a number that is the same for all periods, and all periods of one comparison are
rows of the same products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.group_time_cells import Estimator, Floats
from qieval.numerics.group_time_design import independent
from qieval.numerics.group_time_propensity import NO_OVERLAP, THIN, Arm, Propensity, propensity

TRIMMED = 0.995
"""Controls whose propensity is not below this get weight 0; treated units are never left out (DRDID)."""

FEW_CONTROLS = (
    "There are fewer controls than covariates plus one. Use fewer covariates, or controls that are not yet "
    "treated."
)
COLLINEAR = (
    "Among the controls some covariate is a combination of the others, so that their outcomes cannot predict "
    "those of the cohort. Leave that covariate out or use broader categories."
)


@dataclass(frozen=True, eq=False)
class Compared:
    """Effects (c,) and their influence functions.

    treated (c, n_t) and control (c, n_c): effect - truth is about the sum over all units. beta (K,): the
    propensity's coefficients, if no covariate was left out. largest: the largest propensity of a unit;
    effective: Kish's effective number of controls; trimmed: controls left out because of `TRIMMED`.
    """

    effect: Floats
    treated: Floats
    control: Floats
    beta: Floats | None = None
    reason: str = ""
    largest: float = np.nan
    effective: float = np.nan
    trimmed: int = 0


@dataclass(frozen=True, eq=False)
class _Balance:
    """Weights of the controls v / sum(v) (n_c,), their mean covariates (K,), and the propensity, if any."""

    share: Floats | None
    centre: Floats
    fit: Propensity | None
    trimmed: int = 0


def compare(
    treated: Arm, control: Arm, changes: tuple[Floats, Floats], estimator: Estimator, start: Floats | None
) -> Compared:
    """Effects of the columns of one comparison.

    changes: of the treated (c, n_t) and the controls (c, n_c), overwritten; 0 where the weight is 0.
    start: a guess of the propensity's coefficients for all covariates. Covariates that are combinations of
    others within the comparison are left out.
    """
    own = control.gram()
    kept = independent(treated.gram() + own, THIN)
    reason = _refusal(control, own[np.ix_(kept, kept)], estimator)
    treated, control = treated.keep(kept), control.keep(kept)
    start = None if start is None or not kept.all() else start
    balance = None if reason else _balance(treated, control, estimator, start)
    if balance is None or (balance.fit and balance.fit.reason):
        reason = reason or (balance.fit.reason if balance and balance.fit else "")
        return Compared(np.full(len(changes[0]), np.nan), np.zeros((0, 0)), np.zeros((0, 0)), reason=reason)
    products = None if estimator == "ipw" else own[np.ix_(kept, kept)]
    found = _effects(treated, control, changes, balance, products)
    return found if kept.all() else replace(found, beta=None)


def _refusal(control: Arm, gram: Floats, estimator: Estimator) -> str:
    """Why the controls cannot carry the model of their outcomes, or ''."""
    if estimator == "ipw" or len(gram) == 1:
        return ""
    if np.count_nonzero(control.w) < len(gram):
        return FEW_CONTROLS
    return "" if independent(gram, THIN).all() else COLLINEAR


def _balance(treated: Arm, control: Arm, estimator: Estimator, start: Floats | None) -> _Balance:
    """What the controls weigh. Without covariates all estimators compare means and need no propensity."""
    k = len(control.z)
    if k == 1:
        return _Balance(control.w / control.w.sum(), np.ones(1), None)
    if estimator == "regression":
        return _Balance(None, np.zeros(k), None)
    fit = propensity(treated, control, start)
    if fit.reason:
        return _Balance(None, np.zeros(k), fit)
    out = (fit.control >= TRIMMED) & (control.w > 0)
    share = np.where(out, 0.0, control.w * fit.control / np.where(out, 1.0, 1.0 - fit.control))
    total = share.sum()
    if not total > 0:
        lost = Propensity(fit.beta, fit.treated, fit.control, fit.curvature, NO_OVERLAP)
        return _Balance(None, np.zeros(k), lost)
    share /= total
    return _Balance(share, control.z @ share, fit, int(np.count_nonzero(out)))


def _effects(
    treated: Arm, control: Arm, changes: tuple[Floats, Floats], balance: _Balance, products: Floats | None
) -> Compared:
    """Effects and influence, given the controls' weights; products (K, K) of the controls, None for ipw."""
    of_treated, of_control = changes
    own = treated.w / treated.w.sum()
    pull = np.zeros(control.w.size)
    if products is not None:
        beta = np.linalg.solve(products, (control.z * control.w) @ of_control.T)
        of_treated -= beta.T @ treated.z
        of_control -= beta.T @ control.z
        pull = (np.linalg.solve(products, treated.z @ own - balance.centre) @ control.z) * control.w
    mean = of_treated @ own
    expected = np.zeros(mean.size) if balance.share is None else of_control @ balance.share
    push, shift = _from_propensity(control, of_control, balance, expected)
    if balance.share is not None:
        pull += balance.share
    of_control *= -pull
    of_treated -= mean[:, None]
    of_treated *= own
    if balance.share is not None:
        of_control += expected[:, None] * balance.share
    if balance.fit is not None:
        of_treated -= push.T @ (treated.z * (treated.w * (1 - balance.fit.treated)))
        of_control += push.T @ (control.z * shift)
    return Compared(mean - expected, of_treated, of_control, *_described(treated, control, balance))


def _from_propensity(
    control: Arm, residual: Floats, balance: _Balance, expected: Floats
) -> tuple[Floats, Floats]:
    """Change of the effects per unit of the propensity's score (K, c), and the controls' score (n_c,).

    The derivative of the controls' weighted mean by the coefficients, times the inverse second derivative;
    directions in which the second derivative is 0 belong to controls without weight.
    """
    if balance.fit is None or balance.share is None:
        return np.zeros((len(control.z), expected.size)), np.zeros(control.w.size)
    slope = (control.z * balance.share) @ residual.T - np.outer(balance.centre, expected)
    push = np.linalg.lstsq(balance.fit.curvature, slope, rcond=1e-13)[0]
    return np.asarray(push, dtype=np.float64), control.w * balance.fit.control


def _described(treated: Arm, control: Arm, balance: _Balance) -> tuple[Floats | None, str, float, float, int]:
    """Coefficients, no reason, largest propensity, effective controls and trimmed controls."""
    if balance.share is None:
        return None, "", float("nan"), float("nan"), 0
    effective = float(1 / np.square(balance.share).sum())
    if balance.fit is None:
        return None, "", float("nan"), effective, 0
    fit = balance.fit
    largest = max(
        float(np.max(p, where=arm.w > 0, initial=0.0))
        for p, arm in ((fit.treated, treated), (fit.control, control))
    )
    return fit.beta, "", largest, effective, balance.trimmed
