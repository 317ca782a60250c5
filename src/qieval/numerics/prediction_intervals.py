"""Prediction intervals for a synthetic control, in the manner of scpi: uncertain weights, and noise to come.

Source: Cattaneo, Feng and Titiunik (2021), Prediction intervals for synthetic control methods, JASA 116;
Cattaneo, Feng, Palomba and Titiunik (2025), scpi, Journal of Statistical Software 113. For weights that are
not negative and add up to one, fitted to the outcomes before the start. Two parts are added up:

in sample: the fit before the start is simulated again with noise of the estimated conditional mean and
variance; each draw allows every weight vector that fits the simulated series as well as the estimate does,
and the extreme predictions among them are found exactly (`weight_range`).

out of sample: the noise after the start, from the residuals before it (`noise_bounds`).

An interval for the untreated outcome that misses with probability alpha_in + alpha_out at most, given
the model of the residuals; intervals of the effect follow by subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.noise_bounds import Noise, fitted_mean, moment_design, noise_bounds
from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Codes, Floats, Mask
from qieval.numerics.weight_range import WeightSet, extreme_predictions

NONZERO = 1e-6
MOST_RHO = 0.2


@dataclass(frozen=True, kw_only=True)
class PredictionModel:
    """What is assumed of the residuals, and how much may be missed.

    u_order, u_lags: polynomial order and lags of the donors that explain the mean of the residuals before the
    start (0 and 0: a constant); e_order, e_lags: the same for the noise after it. differenced: donors enter
    these models as first differences (for series with trends). misspecified: False sets the mean of the
    residuals to zero. rho: weights below it count as zero when the set of weights is localised and donors
    are chosen for the models; None: from the data. Defaults are those of scpi.
    """

    u_order: int = 1
    u_lags: int = 0
    e_order: int = 1
    e_lags: int = 0
    differenced: bool = True
    misspecified: bool = True
    variance: Literal["HC0", "HC1"] = "HC1"
    rho: float | None = None
    alpha_in: float = 0.05
    alpha_out: float = 0.05
    draws: int = 200
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PredictionIntervals:
    """The synthetic outcome (post,), and intervals (post, 2) for the outcome without treatment.

    in_sample covers the uncertainty of the weights only; total[method] also that of the noise, for the
    methods of `Noise`. noise[method] (post, 2) is what the noise adds. converged is False if any of the
    draws' problems was not solved to the end. simplified (in sample, out of sample): the model of the
    residuals had more terms than rows less ten and was replaced by a constant, as in scpi. loose (j,) marks
    the donors whose weights count as large.
    """

    synthetic: Floats
    in_sample: Floats
    noise: dict[Noise, Floats]
    total: dict[Noise, Floats]
    weights: Floats
    rho: float
    loose: Mask
    alpha: float
    simplified: tuple[bool, bool]
    converged: bool

    def effects(self, target: Floats, method: Noise) -> Floats:
        """Interval (post, 2) of the effect in each period after the start, for the outcomes target (t,)."""
        after = target[-self.synthetic.size :]
        return after[:, None] - self.total[method][:, ::-1]


def prediction_intervals(
    target: Floats,
    donors: Floats,
    pre: int,
    model: PredictionModel | None = None,
    scores: Floats | None = None,
) -> PredictionIntervals:
    """Intervals for the outcome that the treated unit (t,) would have had in rows `pre` and later.

    scores (draws, pre or pre less the rows lost to differences and lags): standard normal numbers to use
    instead of drawing them. Two periods before the start at least; donors without variation are fine.

    >>> rng = np.random.default_rng(1)
    >>> donors = np.cumsum(rng.normal(size=(30, 5)), axis=0)
    >>> target = donors[:, :2].mean(axis=1) + rng.normal(size=30) / 10
    >>> found = prediction_intervals(target, donors, 25)
    >>> bool((found.total["gaussian"][:, 0] < found.in_sample[:, 0]).all())
    True
    """
    model = model or PredictionModel()
    weights = simplex_least_squares(donors[:pre], target[:pre]).weights
    residual = target[:pre] - donors[:pre] @ weights
    rho = data_driven_rho(donors[:pre], residual, weights) if model.rho is None else model.rho
    loose = weights > rho
    loose[np.argmax(weights)] = True
    inside = _moments(donors[:, loose], pre, model.u_order, model.u_lags, model.differenced)
    outside = _moments(donors[:, loose], pre, model.e_order, model.e_lags, model.differenced)
    spread = _spread(residual[inside.rows], inside.old, weights, model)
    if scores is None:
        scores = np.random.default_rng(model.seed).standard_normal((model.draws, inside.rows.size))
    allowed = WeightSet(weights, np.where(loose, 0.0, weights), donors[inside.rows])
    simulated, converged = extreme_predictions(allowed, donors[pre:], scores * spread)
    tail = model.alpha_in / 2
    low, high = np.quantile(-simulated[1], tail, axis=-1), np.quantile(-simulated[0], 1 - tail, axis=-1)
    synthetic = donors[pre:] @ weights
    in_sample = synthetic[:, None] + np.stack([low, high], axis=1)
    noise = noise_bounds(outside.old, residual[outside.rows], outside.new, model.alpha_out)
    return PredictionIntervals(
        synthetic=synthetic,
        in_sample=in_sample,
        noise=noise,
        total={method: in_sample + bounds for method, bounds in noise.items()},
        weights=weights,
        rho=rho,
        loose=loose,
        alpha=model.alpha_in + model.alpha_out,
        simplified=(inside.simplified, outside.simplified),
        converged=converged,
    )


def data_driven_rho(donors: Floats, residual: Floats, weights: Floats) -> float:
    """The weight below which a donor counts as small, from donors (pre, j) and residuals (pre,); at most 0.2.

    sigma_u max_j sigma_j / min_j sigma_j^2 * sqrt(log(j) d0 log(T0) / T0) with d0 weights that are not zero
    ("type-2" of scpi); donors without variation are left out of the minimum. If that is below 0.001, the
    larger of it and of sigma_u / min_j sigma_j times the root, and 0.2 where that is below 0.05.
    """
    t, j = donors.shape
    sd = donors.std(axis=0, ddof=1)
    sd = sd[sd > 1e-12 * np.abs(donors).max()]
    if t < 2 or sd.size == 0:
        return MOST_RHO
    root = np.sqrt(np.log(j) * np.count_nonzero(weights >= NONZERO) * np.log(t) / t)
    ratio = residual.std() / sd.min()
    rho = float(ratio * sd.max() / sd.min() * root)
    if rho < 0.001:
        rho = max(rho, float(ratio * root))
        rho = MOST_RHO if rho < 0.05 else rho
    return min(rho, MOST_RHO)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Rows before the start (n,), their terms old (n, p), and the terms new (post, p) after the start."""

    rows: Codes
    old: Floats
    new: Floats
    simplified: bool


def _moments(donors: Floats, pre: int, order: int, lags: int, differenced: bool) -> _Moments:
    """The terms that explain mean and spread of residuals; a constant if there are too many for the rows."""
    rows, terms = moment_design(donors, order, lags, differenced)
    before = rows < pre
    rows, old, new = rows[before], terms[before], terms[~before]
    simplified = order + lags > 0 and old.shape[1] >= rows.size - 10
    if simplified:
        old, new = np.ones((rows.size, 1)), np.ones((new.shape[0], 1))
    return _Moments(rows, old, new, simplified)


def _spread(residual: Floats, design: Floats, weights: Floats, model: PredictionModel) -> Floats:
    """Standard deviation (n,) of the simulated noise by period: |residual - mean|, with the HC factor."""
    mean = fitted_mean(design, residual, design) if model.misspecified else np.zeros_like(residual)
    n = residual.size
    free = min(int(np.count_nonzero(weights >= NONZERO)) - 1, n - 1)
    factor = n / (n - free) if model.variance == "HC1" else 1.0
    return np.asarray(np.abs(residual - mean) * np.sqrt(factor))
