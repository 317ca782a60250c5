"""Ridge-augmented synthetic control: simplex weights, corrected for the imbalance that they leave.

Ben-Michael, Feller and Rothstein (2021), "The augmented synthetic control method", JASA 116. A ridge
regression of the donors' later outcomes on their earlier ones predicts how much the remaining imbalance
matters; taking that off is the same as moving the weights, which then still sum to 1 but may be negative.
Conventions are those of R augsynth 0.2.0, so that the same call gives the same penalty and weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Floats
from qieval.progress import progress

N_PENALTIES = 20
SMALLEST = 1e-8
"""The grid runs in equal ratios from the largest squared singular value down to this share of it."""

EMPTY = 1e-12
"""Donors whose spread is below this share of their size count as equal."""


@dataclass(frozen=True, eq=False)
class Augmentation:
    """How weights are fitted and corrected.

    penalty is the ridge penalty (squared units of the outcome): a number, "min" (smallest error in
    cross-validation), "1se" (largest penalty within one standard error of that) or None for no correction.
    fixed_effects takes each unit's mean before the start off first (demeaned synthetic control). covariates
    (c, 1 + j), treated unit first, are balanced beside the earlier outcomes, each scaled over the donors to
    the spread of all their earlier outcomes; with residualise they are regressed out of the outcomes
    instead, and the weights then balance them exactly. The penalty is then chosen on the outcomes as they
    were: residuals say little about it (a grid of which no end is worse), and numbers of augsynth have that
    of the fit without covariates. Covariates are taken as they are, also with
    fixed_effects.
    """

    penalty: float | Literal["1se", "min"] | None = "1se"
    fixed_effects: bool = False
    covariates: Floats | None = None
    residualise: bool = False


@dataclass(frozen=True, eq=False)
class Augmented:
    """Weights (j,) that sum to 1, what they leave, and the cross-validation behind the penalty.

    base_weights (j,) lie on the simplex, before any correction. penalty is NaN without ridge correction;
    penalties, cv_mean and cv_se (21,) are empty unless it was chosen here. gaps (t,) = treated - synthetic
    (of demeaned outcomes with fixed effects). l2_imbalance is the root of the summed squared gaps before
    the start, scaled_l2_imbalance the same relative to equal weights (NaN if those fit exactly). bias
    (post,) is what the correction took off: gap with base weights - gap. converged tells whether every
    simplex problem was solved.
    """

    weights: Floats
    base_weights: Floats
    penalty: float
    penalties: Floats
    cv_mean: Floats
    cv_se: Floats
    gaps: Floats
    l2_imbalance: float
    scaled_l2_imbalance: float
    bias: Floats
    converged: bool


@dataclass(frozen=True, eq=False)
class JackknifePlus:
    """Intervals (post,) of the effect at each later period, and of their average.

    held_out (pre,) are the gaps at each earlier period when the fit does not see it.
    """

    low: Floats
    high: Floats
    average_low: float
    average_high: float
    held_out: Floats
    converged: bool


@dataclass(frozen=True, eq=False)
class _Curve:
    """Cross-validation over penalties, all arrays (21,); empty when nothing was chosen."""

    penalties: Floats
    mean: Floats
    error: Floats
    converged: bool

    def choose(self, rule: str) -> float:
        """The penalty of rule "min" or "1se"."""
        best = int(np.argmin(self.mean))
        if rule == "min":
            return float(self.penalties[best])
        return float(self.penalties[self.mean <= self.mean[best] + self.error[best]].max())


def ridge_augmented(target: Floats, donors: Floats, pre: int, how: Augmentation | None = None) -> Augmented:
    """Ridge-augmented synthetic control of target (t,) from donors (t, j), fitted on the first `pre` rows.

    Errors: ValueError if donors do not differ and a correction is asked for, a covariate is the same for
    all donors, or there are fewer than three rows to choose a penalty with.

    >>> path = np.arange(8.0)
    >>> donors = np.column_stack([path, 2 * path, 3 + np.cos(path), np.sin(path)])
    >>> fit = ridge_augmented(1 + 1.8 * path, donors, 6, Augmentation(penalty=1.0))
    >>> round(float(fit.weights.sum()), 12), bool(fit.weights.min() < 0)
    (1.0, True)
    """
    how = how or Augmentation()
    y1, y0 = (_demean(target, pre), _demean(donors, pre)) if how.fixed_effects else (target, donors)
    centre = y0.mean(axis=1)
    x1, x0 = (y1 - centre)[:pre], (y0 - centre[:, None])[:pre]
    z1, z0 = _covariates(how, donors.shape[1])
    as_they_are = x1, x0
    if z0.size:
        x1, x0 = _residuals(x1, x0, z1, z0) if how.residualise else _beside(x1, x0, z1, z0)
    if how.penalty is not None and np.abs(x0).max() <= EMPTY * np.abs(donors[:pre]).max():
        raise ValueError("donors do not differ before the start: there is nothing to regress on")
    base = simplex_least_squares(x0, x1)
    rows = as_they_are if how.residualise else (x1, x0)
    curve = _cross_validate(*rows) if isinstance(how.penalty, str) else _no_curve()
    penalty = curve.choose(how.penalty) if isinstance(how.penalty, str) else how.penalty
    weights = base.weights
    if penalty is not None:
        weights = weights + _ridge_weights(x0, x1 - x0 @ weights, penalty)
    if z0.size and how.residualise:
        weights = weights + np.linalg.lstsq(z0, z1 - z0 @ weights, rcond=None)[0]
    gaps = y1 - y0 @ weights
    imbalance, equal = float(np.linalg.norm(gaps[:pre])), float(np.linalg.norm((y1 - centre)[:pre]))
    return Augmented(
        weights=weights,
        base_weights=base.weights,
        penalty=np.nan if penalty is None else float(penalty),
        penalties=curve.penalties,
        cv_mean=curve.mean,
        cv_se=curve.error,
        gaps=gaps,
        l2_imbalance=imbalance,
        scaled_l2_imbalance=imbalance / equal if equal > 0 else np.nan,
        bias=(y0 @ (weights - base.weights))[pre:],
        converged=bool(base.converged) and curve.converged,
    )


def jackknife_plus(
    target: Floats, donors: Floats, pre: int, how: Augmentation | None = None, *, level: float = 0.95
) -> JackknifePlus:
    """Intervals from leaving out each earlier period in turn: "jackknife+ over time" of R augsynth.

    Each refit gives a prediction of every later outcome and an error r at the period left out; the interval
    runs from a low quantile of prediction - |r| to a high quantile of prediction + |r| (linear quantiles),
    turned into effects. The penalty is that of the fit to all periods. Deterministic. Refits differ from
    the fit itself and their middle need not be the estimate: the interval can leave the estimate out
    (augsynth's does too: ebenmichael/augsynth issue 59), so show both. With fewer than about 2 / (1 - level)
    earlier periods its ends lie inside the most extreme refits, and it is shorter than its level says. What
    later periods have in common, such as a shock that lasts, is not in it.
    """
    how = how or Augmentation()
    fit = ridge_augmented(target, donors, pre, how)
    if how.penalty is not None:
        how = replace(how, penalty=fit.penalty)
    later = np.arange(pre, target.size)
    predicted = np.empty((pre, later.size + 1))
    held_out = np.empty(pre)
    converged = fit.converged
    for period in progress(range(pre), "jackknife+ periods"):
        kept = np.append(np.delete(np.arange(pre), period), [*later, period])
        refit = ridge_augmented(target[kept], donors[kept], pre - 1, how)
        held_out[period] = refit.gaps[-1]
        predicted[period, :-1] = target[later] - refit.gaps[pre - 1 : -1]
        converged = converged and refit.converged
    predicted[:, -1] = predicted[:, :-1].mean(axis=1)
    observed = np.append(target[later], target[later].mean())
    tail, margin = (1 - level) / 2, np.abs(held_out)[:, None]
    low = observed - np.quantile(predicted + margin, 1 - tail, axis=0)
    high = observed - np.quantile(predicted - margin, tail, axis=0)
    return JackknifePlus(low[:-1], high[:-1], float(low[-1]), float(high[-1]), held_out, converged)


def _demean(values: Floats, pre: int) -> Floats:
    return np.asarray(values - values[:pre].mean(axis=0))


def _covariates(how: Augmentation, n_donors: int) -> tuple[Floats, Floats]:
    """Covariates of the treated unit (c,) and the donors (c, j), less the donors' means."""
    if how.covariates is None:
        return np.empty(0), np.empty((0, n_donors))
    donors = how.covariates[:, 1:]
    centre = donors.mean(axis=1)
    z1, z0 = how.covariates[:, 0] - centre, donors - centre[:, None]
    if np.any(np.abs(z0).max(axis=1) <= EMPTY * np.abs(donors).max(axis=1)):
        raise ValueError("a covariate has the same value for all donors")
    return z1, z0


def _beside(x1: Floats, x0: Floats, z1: Floats, z0: Floats) -> tuple[Floats, Floats]:
    """Earlier outcomes with covariates below them, at the spread of all earlier outcomes together."""
    scale = np.std(x0, ddof=1) / np.std(z0, axis=1, ddof=1)
    return np.append(x1, scale * z1), np.vstack([x0, scale[:, None] * z0])


def _residuals(x1: Floats, x0: Floats, z1: Floats, z0: Floats) -> tuple[Floats, Floats]:
    """Earlier outcomes less what a regression on the covariates over the donors predicts."""
    scale = np.sqrt(np.mean(z0**2, axis=1))
    slopes = np.linalg.lstsq((z0 / scale[:, None]).T, x0.T, rcond=None)[0]
    return x1 - (z1 / scale) @ slopes, x0 - slopes.T @ (z0 / scale[:, None])


def _ridge_weights(x0: Floats, missed: Floats, penalty: float) -> Floats:
    """Change of weights x0' (x0 x0' + penalty)^-1 missed; the pseudo-inverse if penalty is 0."""
    left, size, right = np.linalg.svd(x0, full_matrices=False)
    kept = size > EMPTY * size[0]
    shrunk = size[kept] / (size[kept] ** 2 + penalty)
    return np.asarray((shrunk * (missed @ left[:, kept])) @ right[kept])


def _cross_validate(x1: Floats, x0: Floats) -> _Curve:
    """Squared error at each row left out, over the grid of penalties; the last row is never left out.

    With A = x0 x0' + penalty and e the imbalance of simplex weights that do not see row v, the augmented
    error at v is (A^-1 e)_v / (A^-1)_vv: one decomposition serves all rows and penalties. That the last row
    stays in is how augsynth counts; rows are earlier outcomes, then covariates.
    """
    rows, n_donors = x0.shape
    if rows < 3:
        raise ValueError("too few rows to choose a penalty by cross-validation")
    left, size, _ = np.linalg.svd(x0, full_matrices=n_donors < rows)
    spectrum = np.zeros(rows)
    spectrum[: size.size] = size**2
    penalties = spectrum[0] * SMALLEST ** (np.arange(N_PENALTIES + 1) / N_PENALTIES)
    inverse = 1 / (spectrum + penalties[:, None])
    errors = np.empty((penalties.size, rows - 1))
    converged = True
    for row in progress(range(rows - 1), "cross-validation"):
        fit = simplex_least_squares(np.delete(x0, row, axis=0), np.delete(x1, row))
        converged = converged and bool(fit.converged)
        turned = left.T @ (x1 - x0 @ fit.weights)
        errors[:, row] = (inverse @ (left[row] * turned)) / (inverse @ left[row] ** 2)
    squared = errors**2
    spread = squared.std(axis=1, ddof=1) / np.sqrt(rows - 1)
    return _Curve(penalties, squared.mean(axis=1), spread, converged)


def _no_curve() -> _Curve:
    return _Curve(np.empty(0), np.empty(0), np.empty(0), converged=True)
