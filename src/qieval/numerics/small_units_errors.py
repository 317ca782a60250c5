"""How sure balanced weights of small units are: linearised errors, jackknife, permuted treatment groups.

Effects are totals over treated units and periods less weighted totals over control units, and their ratio.
Source: Robbins, Saunders and Kilmer (2017), section 3, and the R package microsynth 2.0.51, whose standard
errors are `linearised(..., kind="records")` (checked to 6e-6 with exact weights; it gives one-sided p-values
and 90 % limits).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.estimated_weights import standardise
from qieval.numerics.joint import wald
from qieval.numerics.small_units import CalibrationFit, minimum_norm, raking
from qieval.numerics.small_units_solver import CERTAIN
from qieval.numerics.two_way import Codes, Floats, Mask

Kind = Literal["calibrated", "units", "records"]
"""What varies: units, allowing for the calibration; units, as if weights were fixed; single records."""


@dataclass(frozen=True, eq=False)
class SmallUnits:
    """Outcomes (q, t, n) of q kinds in t periods and n units; constraints (p, n); treated (n,).

    The first `pre` periods lie before the start; t is above pre. Everything finite, treated and control units
    present. exact (p,) and method: as in `minimum_norm` and `raking`.
    """

    outcomes: Floats
    constraints: Floats
    treated: Mask
    pre: int
    exact: Mask | None = None
    method: Literal["minimum norm", "raking"] = "minimum norm"

    @property
    def after(self) -> Codes:
        """Positions of the periods from the start on."""
        return np.arange(self.pre, self.outcomes.shape[1])

    def weights(self) -> tuple[Floats, CalibrationFit]:
        """Weights of all units (n,), 1 for treated ones, and the fit of the control units."""
        solve = minimum_norm if self.method == "minimum norm" else raking
        totals = self.constraints[:, self.treated].sum(axis=1)
        fit = solve(self.constraints[:, ~self.treated], totals, self.exact)
        weights = np.ones(self.treated.size)
        weights[~self.treated] = fit.weights
        return weights, fit

    def subset(self, kept: Mask) -> SmallUnits:
        """The same for some of the units."""
        outcomes, constraints = self.outcomes[..., kept], self.constraints[:, kept]
        return replace(self, outcomes=outcomes, constraints=constraints, treated=self.treated[kept])


@dataclass(frozen=True, eq=False)
class Totals:
    """Totals of the treated and of the weighted control units, both (q, t); cumulative ones sum over periods.

    relative: difference / control, NaN where control is 0.
    """

    treated: Floats
    control: Floats

    @property
    def difference(self) -> Floats:
        """Treated less control."""
        return self.treated - self.control

    @property
    def relative(self) -> Floats:
        """Difference as a share of control."""
        return np.divide(
            self.difference, self.control, out=np.full_like(self.control, np.nan), where=self.control != 0
        )


def totals(data: SmallUnits, weights: Floats) -> Totals:
    """Totals of every period (q, t)."""
    return Totals(
        data.outcomes[..., data.treated].sum(axis=2),
        data.outcomes[..., ~data.treated] @ weights[~data.treated],
    )


def cumulative(data: SmallUnits, weights: Floats) -> Totals:
    """Running totals from the start on (q, t - pre); the last is the whole effect."""
    every = totals(data, weights)
    return Totals(
        np.cumsum(every.treated[:, data.pre :], axis=1), np.cumsum(every.control[:, data.pre :], axis=1)
    )


@dataclass(frozen=True, eq=False)
class Errors:
    """Effects over some periods with errors, each (q,), and covariance (q, q) of the differences.

    statistic = difference / std_error, p_value two-sided normal. low and high are limits of `relative` from
    those of the log ratio of the totals; NaN where a total is not positive. omnibus: p-value of no effect on
    any outcome (Wald). together: against effects of one sign (sum of the statistics, two-sided); microsynth's
    omnibus is one of these two with a jackknife in random groups for covariance.
    """

    difference: Floats
    std_error: Floats
    statistic: Floats
    p_value: Floats
    relative: Floats
    log_ratio: Floats
    log_std_error: Floats
    low: Floats
    high: Floats
    covariance: Floats
    omnibus_statistic: float
    omnibus: float
    together: float


def linearised(
    data: SmallUnits,
    weights: Floats,
    kind: Kind = "calibrated",
    level: float = 0.95,
    periods: Codes | None = None,
) -> Errors:
    """Taylor linearisation of the effect over the periods (positions; None: all after the start).

    "calibrated": a unit's part is its residual from the regression on the constraints among the units that
    the weights rest on (Deville and Saerndal 1992), since the weighted totals follow those of the treated
    whatever sample it is; control residuals are inflated for the constraints fitted. Without more weighted
    units than constraints all is NaN. "units": deviations from the arm's mean with weights taken as fixed.
    "records": as "units", but every unit and period varies by itself: microsynth. Differences between units
    last, so records understate the error of a sum over periods; fixed weights overstate it where the
    outcome's past is among the constraints.
    """
    periods = data.after if periods is None else periods
    found = summed(data, weights, periods)
    y = data.outcomes[:, periods]
    if kind == "records":
        plain, logs = _records(data, weights, y, found)
    else:
        deviations = _from_constraints if kind == "calibrated" else _from_mean
        own, fitted = deviations(data, weights, y.sum(axis=1))
        plain, logs = _parts(data.treated, weights, (own, fitted), found)
    return errors_from(found, plain, logs, level)


def summed(data: SmallUnits, weights: Floats, periods: Codes) -> Totals:
    """Totals (q,) over some periods."""
    every = totals(data, weights)
    return Totals(every.treated[:, periods].sum(axis=1), every.control[:, periods].sum(axis=1))


def log_ratio(found: Totals) -> Floats:
    """Log of treated / control, NaN where one of them is not positive."""
    fine = (found.treated > 0) & (found.control > 0)
    return np.log(np.where(fine, found.treated, np.nan) / np.where(fine, found.control, 1.0))


def limits(middle: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Limits of the relative effect from the middle and half the width of those of the log ratio."""
    return np.expm1(middle - half), np.expm1(middle + half)


def errors_from(found: Totals, plain: Floats, logs: Floats, level: float) -> Errors:
    """Errors from the parts (q, m) that make up the variance of the difference and of the log ratio."""
    covariance = plain @ plain.T
    error, log_error = np.sqrt(np.diag(covariance)), np.sqrt(np.sum(logs**2, axis=1))
    statistic = np.divide(found.difference, error, out=np.full(error.size, np.nan), where=error > 0)
    middle = log_ratio(found)
    low, high = limits(middle, -scipy.special.ndtri((1 - level) / 2) * log_error)
    used = error > 0
    apart = covariance[np.ix_(used, used)] / np.outer(error[used], error[used])
    together = statistic[used].sum() / np.sqrt(apart.sum()) if apart.sum() > 0 else np.nan
    known = bool(np.isfinite(covariance).all())
    test = wald(found.difference, covariance) if known else None
    return Errors(
        difference=found.difference,
        std_error=error,
        statistic=statistic,
        p_value=_two_sided(statistic),
        relative=found.relative,
        log_ratio=middle,
        log_std_error=log_error,
        low=low,
        high=high,
        covariance=covariance,
        omnibus_statistic=test.statistic if test else np.nan,
        omnibus=test.p_chi2 if test else np.nan,
        together=float(_two_sided(np.asarray(together))),
    )


def _two_sided(statistic: Floats) -> Floats:
    return np.asarray(2 * scipy.special.ndtr(-np.abs(statistic)))


def _parts(
    treated: Mask, weights: Floats, values: tuple[Floats, Floats], found: Totals
) -> tuple[Floats, Floats]:
    """Parts (q, m) of difference and log ratio of m units or records, from values own and fitted (q, m).

    Control units have own - fitted; treated units own, and minus fitted on the side of the controls.
    """
    own, fitted = values
    plain = np.where(treated, own - fitted, -weights * (own - fitted))
    with np.errstate(divide="ignore", invalid="ignore"):
        top, bottom = own / found.treated[:, None], fitted / found.control[:, None]
        return plain, np.where(treated, top - bottom, plain / found.control[:, None])


def _from_mean(data: SmallUnits, weights: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Deviations (q, n) of y (q, n) from their arm's weighted mean, and nothing fitted."""
    own = np.empty_like(y)
    for arm in (data.treated, ~data.treated):
        own[:, arm] = y[:, arm] - (y[:, arm] @ weights[arm] / weights[arm].sum())[:, None]
    return own * np.sqrt(y.shape[1] / (y.shape[1] - 1)), np.zeros_like(y)


def _records(data: SmallUnits, weights: Floats, y: Floats, found: Totals) -> tuple[Floats, Floats]:
    """Parts of single records: residuals of y (q, s, n) from additive effects of period and treatment."""
    sizes = np.array([weights[data.treated].sum(), weights[~data.treated].sum()])
    means = np.array([found.treated, found.control]) / (sizes[:, None] * y.shape[1])
    effect = means[0] - means[1]
    period = (y @ weights - effect[:, None] * sizes[0]) / sizes.sum()
    own = (y - period[:, :, None] - effect[:, None, None] * data.treated).reshape(len(y), -1)
    own *= np.sqrt(own.shape[1] / (own.shape[1] - 1))
    treated, repeated = np.tile(data.treated, y.shape[1]), np.tile(weights, y.shape[1])
    return _parts(treated, repeated, (own, np.zeros_like(own)), found)


def _from_constraints(data: SmallUnits, weights: Floats, y: Floats) -> tuple[Floats, Floats]:
    """y (q, n) and what the constraints say of it, from a regression among the units with weight.

    Its weights are the derivatives of the weights by their index: 1, or for raking the weight itself.
    Residuals of control units are divided by 1 - leverage, as if each were left out; 0 where a constraint
    rests on that unit alone.
    """
    resting = np.where(data.treated, 0.0, weights if data.method == "raking" else weights > 0)
    design = standardise(data.constraints.T, resting)
    if np.count_nonzero(resting) <= design.q:
        return np.full_like(y, np.nan), np.full_like(y, np.nan)
    inverse = np.linalg.inv(design.gram(resting))
    fitted = design.times(inverse @ design.totals((resting * y).T)).T
    leverage = resting * np.sum(design.times(np.linalg.cholesky(inverse)) ** 2, axis=1)
    left = (resting > 0) & (leverage < 1 - CERTAIN)
    residual = np.where(left, y - fitted, 0.0) / np.where(left, 1 - leverage, 1.0)
    return np.where(data.treated, y, fitted + residual), fitted
