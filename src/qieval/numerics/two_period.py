"""Difference-in-differences of two groups in two periods, doubly robust and otherwise, for panels and for
repeated cross-sections (Sant'Anna and Zhao 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.group_time_cells import Codes, Floats, Mask, WidePanel
from qieval.numerics.group_time_design import independent, sorted_panel
from qieval.numerics.group_time_propensity import THIN, Arm
from qieval.numerics.two_period_arms import Contrast, Model, contrast
from qieval.numerics.two_period_weights import Group, likely

PanelKind = Literal["doubly robust", "improved", "standardised ipw", "ipw", "regression", "two-way"]
RowsKind = Literal[PanelKind, "doubly robust, not locally efficient", "improved, not locally efficient"]

MODELS = {
    "doubly robust": Model("both", "likelihood"),
    "doubly robust, not locally efficient": Model("controls", "likelihood"),
    "improved": Model("both", "balance"),
    "improved, not locally efficient": Model("controls", "balance"),
    "standardised ipw": Model("none", "likelihood"),
    "regression": Model("controls", "none"),
}
"""Estimators for repeated cross-sections; for changes the locally efficient ones equal the others."""

EMPTY = (
    "One of the groups compared has no rows in one of the periods, so that no change can be computed. Check "
    "how groups and periods are coded."
)
UNKNOWN = (
    "Some outcome, covariate or weight is missing or not finite, or a weight is not positive. Leave these "
    "rows out."
)
NO_SLOPE = (
    "The covariates tell exactly which rows are treated in the later period, so that no effect is left to "
    "estimate. Leave the covariate out that does."
)


@dataclass(frozen=True, eq=False)
class TwoPeriod:
    """The average effect on the treated.

    influence (n,): estimate - truth is about its mean; std_error is its root sum of squares over n, without
    correction for small samples (over sqrt(n (n - 1)) for "two-way" on rows, as in DRDID). converged is False
    and `reason` says why in words where there is no estimate (NaN; influence 0). trimmed: controls left out
    because their propensity is 0.995 or more.
    """

    estimate: float
    influence: Floats
    std_error: float
    converged: bool = True
    reason: str = ""
    trimmed: int = 0


def two_period_panel(
    change: Floats, treated: Mask, x: Floats, weights: Floats | None = None, kind: PanelKind = "doubly robust"
) -> TwoPeriod:
    """Effect on the treated from the change of each unit's outcome (n,); x (n, k) without intercept.

    "doubly robust", "standardised ipw" (weights of sum 1), "ipw" (Abadie 2005, Horvitz-Thompson) and
    "regression" as drdid_panel, std_ipw_did_panel, ipw_did_panel and reg_did_panel of R's DRDID; "improved"
    (drdid_imp_panel): weights by inverse probability tilting, outcomes by weighted least squares, so that the
    influence needs no terms for either. Where DRDID falls back to a logistic regression because tilting does
    not converge there is a reason instead. "two-way": two-way fixed effects, for which covariates that do not
    change over time make no difference to the estimate. Its standard error is that of units; see
    `two_way_panel` for the one of DRDID, which takes a unit's two rows as independent.

    As in DRDID since 1.2, controls with a propensity of 0.995 or more have weight 0 in the means, not in
    the models; treated units are never left out. Influence functions were checked by the jackknife.

    >>> change, treated = np.array([3.0, 5.0, 1.0, 2.0]), np.array([True, True, False, False])
    >>> two_period_panel(change, treated, np.zeros((4, 0))).estimate
    2.5
    """
    n, treated = len(treated), np.asarray(treated, dtype=np.bool_)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    known = np.isfinite(change).all() and np.isfinite(x).all() and (np.isfinite(w) & (w > 0)).all()
    if not known:
        return _nothing(n, UNKNOWN)
    if treated.all() or not treated.any():
        return _nothing(n, EMPTY)
    z = _design(np.zeros((n, 0)) if kind == "two-way" else x)
    at = np.flatnonzero(treated), np.flatnonzero(~treated)
    ours, others = (Group(z[:, i], w[i], np.asarray(change, dtype=np.float64)[i]) for i in at)
    if kind == "ipw":
        return _spread(_horvitz_thompson(ours, others), at, n)
    model = MODELS["regression" if kind == "two-way" else kind]
    if model.outcome == "both":
        model = Model("controls", model.weighting)
    return _spread(contrast(ours, others, model), at, n)


def two_period_rows(
    y: Floats,
    after: Mask,
    treated: Mask,
    x: Floats,
    weights: Floats | None = None,
    kind: RowsKind = "doubly robust",
) -> TwoPeriod:
    """Effect on the treated from repeated cross-sections; y, after, treated (n,), x (n, k) without intercept.

    `treated` marks rows of the treated group in both periods. Who is sampled must not change between the
    periods within groups (stationarity). "doubly robust" (drdid_rc of R's DRDID) is locally efficient: it
    averages predictions over the treated of both periods; "doubly robust, not locally efficient" is
    drdid_rc1; "improved" and "improved, not locally efficient" are drdid_imp_rc and drdid_imp_rc1;
    "standardised ipw", "ipw" and "regression" std_ipw_did_rc, ipw_did_rc and reg_did_rc; "two-way"
    (twfe_did_rc) is the coefficient of treated x after beside x. Trimming as in `two_period_panel`.

    The influence functions of drdid_rc and drdid_rc1 up to DRDID 1.2.3 have a wrong sign in the part of the
    controls' outcomes before; those here agree with the jackknife (standard errors differ by 0.1 to 4%).
    Those of "improved" leave out terms that vanish if the sample is stationary and the logistic model right,
    as DRDID does. "ipw" with weights counts that their sum is estimated, which DRDID takes as known.

    >>> y = np.array([1.0, 4.0, 2.0, 3.0])
    >>> after, treated = np.array([False, True, False, True]), np.array([True, True, False, False])
    >>> two_period_rows(y, after, treated, np.zeros((4, 0))).estimate
    2.0
    """
    n, treated, after = len(treated), np.asarray(treated, dtype=np.bool_), np.asarray(after, dtype=np.bool_)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (np.isfinite(y).all() and np.isfinite(x).all() and (np.isfinite(w) & (w > 0)).all()):
        return _nothing(n, UNKNOWN)
    before = [np.flatnonzero(of & ~after) for of in (treated, ~treated)]
    later = [np.flatnonzero(of & after) for of in (treated, ~treated)]
    if min(part.size for part in before + later) == 0:
        return _nothing(n, EMPTY)
    y, z = np.asarray(y, dtype=np.float64), _design(x)
    if kind == "two-way":
        return _two_way(y, np.vstack([treated & after, treated, after, z]), w)
    at = np.concatenate([before[0], later[0]]), np.concatenate([before[1], later[1]])
    ours, others = (Group(z[:, i], w[i], y[i], part.size) for i, part in zip(at, before, strict=True))
    ht = kind == "ipw"
    found = _horvitz_thompson(ours, others) if ht else contrast(ours, others, MODELS[kind])
    return _spread(found, at, n)


def two_way_panel(y: Floats, treated: Mask, x: Floats, weights: Floats | None = None) -> TwoPeriod:
    """Two-way fixed effects from outcomes before and after, y (n, 2), as twfe_did_panel of R's DRDID.

    The estimate is that of `two_period_panel`; influence (2n,), all rows before, then all after, takes a
    unit's two rows as independent, as DRDID does: too large a standard error where the rows of a unit are
    alike beyond x.

    >>> y = np.array([[0.0, 3.0], [1.0, 6.0], [0.0, 1.0], [2.0, 4.0]])
    >>> two_way_panel(y, np.array([True, True, False, False]), np.zeros((4, 0))).estimate.__round__(6)
    2.5
    """
    after = np.repeat([False, True], len(treated))
    twice = None if weights is None else np.tile(weights, 2)
    return two_period_rows(y.T.ravel(), after, np.tile(treated, 2), np.vstack([x, x]), twice, kind="two-way")


def _nothing(n: int, reason: str) -> TwoPeriod:
    """No estimate."""
    return TwoPeriod(np.nan, np.zeros(n), np.nan, False, reason)


def _design(x: Floats) -> Floats:
    """Covariates without units of measurement, in the order of the rows, the constant first (K, n)."""
    n = len(x)
    panel = WidePanel(np.array([0]), np.zeros(n), np.zeros((n, 1)), np.asarray(x, dtype=np.float64))
    return sorted_panel(panel).design(0)[0]


def _spread(found: Contrast, at: tuple[Codes, ...], n: int) -> TwoPeriod:
    """The result for the rows in their order."""
    if found.reason:
        return _nothing(n, found.reason)
    influence = np.empty(n)
    influence[at[0]], influence[at[1]] = n * found.treated, n * found.control
    error = float(np.sqrt(np.square(influence).sum())) / n
    return TwoPeriod(found.effect, influence, error, trimmed=found.trimmed)


def _horvitz_thompson(treated: Group, control: Group) -> Contrast:
    """Weights that need not sum to 1: sum(w y) of the treated less sum(v y) of the controls, by totals.

    The total of a period is that of the treated times the period's share of all weights.
    """
    kept = independent(treated.arm.gram() + control.arm.gram(), THIN)
    treated, control = (Group(g.z[kept], g.w, g.y, g.split) for g in (treated, control))
    odds = likely(treated, control)
    size, total = treated.w.sum(), treated.w.sum() + control.w.sum()
    of_treated, of_control = np.zeros(treated.w.size), np.zeros(control.w.size)
    if odds.reason or odds.scores is None:
        return Contrast(np.nan, of_treated, of_control, odds.reason)
    effect, derivative = 0.0, np.zeros(len(treated.z))
    for (sign, t), (_, c) in zip(treated.parts, control.parts, strict=True):
        period = treated.w[t].sum() + control.w[c].sum()
        scale = sign * total / (size * period)
        adds = treated.w[t] * treated.y[t] * scale, -odds.v[c] * control.y[c] * scale
        part = float(adds[0].sum() + adds[1].sum())
        effect += part
        derivative += control.z[:, c] @ adds[1]
        of_treated += part * treated.w / total
        of_control += part * control.w / total
        of_treated[t] += adds[0] - part * treated.w[t] / period
        of_control[c] += adds[1] - part * control.w[c] / period
    pushed = odds.scores.pushed(treated, control, derivative)
    of_treated += pushed[0] - effect * treated.w / size
    of_control += pushed[1]
    return Contrast(effect, of_treated, of_control, trimmed=odds.trimmed)


def _two_way(y: Floats, z: Floats, w: Floats) -> TwoPeriod:
    """The coefficient of the first row of z (K, n) by weighted least squares, with heteroskedastic errors.

    It comes last in the regression, so that it is what is left out if the rows are not independent.
    """
    n, z = y.size, z.astype(np.float64)[::-1]
    kept = independent(Arm(z, w).gram(), THIN)
    if not kept[-1]:
        return _nothing(n, NO_SLOPE)
    z = z[kept]
    gram = Arm(z, w).gram()
    beta = np.linalg.solve(gram, z @ (w * y))
    unit = np.zeros(len(z))
    unit[-1] = 1.0
    influence = n * (np.linalg.solve(gram, unit) @ z) * w * (y - beta @ z)
    error = float(np.sqrt(np.square(influence).sum() / (n * max(n - 1, 1))))
    return TwoPeriod(float(beta[-1]), influence, error)
