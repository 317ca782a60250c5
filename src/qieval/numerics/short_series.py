"""What a synthetic control does when the time before the start is short: simulated error, and naive rivals.

Weights fitted to few periods follow the noise of the treated unit as well as what drives it, and the more so
the more donors there are (Abadie, Diamond and Hainmueller 2010, appendix B; Abadie 2021, section 4). How much
that costs is simulated here from the data at hand, without any effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.two_way import Codes, Floats

MOST_FACTORS = 4
PERSISTENT = 0.95
"""Bound of estimated autocorrelations, so that simulated series do not run away."""

BURN_IN = 20
PERFECT = 1e-6


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Outcomes = level (n,) + loadings (n, r) @ factors (r,) + noise; the treated unit is the first of n.

    Factors move by drift (r,) and steps with covariance step (r, r) and autocorrelation carried (r,); noise
    is normal with standard deviation noise (n,) and a common autocorrelation.
    """

    level: Floats
    loadings: Floats
    drift: Floats
    step: Floats
    carried: Floats
    noise: Floats
    autocorrelation: float


@dataclass(frozen=True, eq=False)
class SimulatedBias:
    """One entry for each length of the time before the start (k,), in units of the outcome.

    bias: mean gap after the start where there is no effect, bias_error its Monte Carlo standard error;
    rmse: root mean square of that gap; rmse_before: the same before the start, which is what the user sees;
    noise: the treated unit's noise, a fit below it follows noise; perfect_fit: share of draws in which
    donors reproduce the treated series exactly; rmse_in_spreads: rmse over the standard deviation of the
    treated outcome.
    """

    periods_before: Codes
    bias: Floats
    bias_error: Floats
    rmse: Floats
    rmse_before: Floats
    perfect_fit: Floats
    rmse_in_spreads: Floats
    noise: float
    factors: int
    converged: bool

    def columns(self) -> dict[str, Floats | Codes]:
        """The entries as columns of a table."""
        names = (
            "periods_before",
            "bias",
            "bias_error",
            "rmse",
            "rmse_before",
            "perfect_fit",
            "rmse_in_spreads",
        )
        return {name: getattr(self, name) for name in names}


def simulated_bias(
    donors: Floats, target: Floats, *, draws: int = 200, seed: int = 0, horizon: int = 1
) -> SimulatedBias:
    """Error of the outcome-only synthetic control in series simulated like these, by time before the start.

    donors (t, j) and target (t,) before the start, t >= 4, j >= 2. Lengths t/4, t/2, t and 2 t (2 at least);
    the gap is averaged over the first `horizon` periods after the start. A treated unit that donors cannot
    reproduce has an error that more periods do not remove.
    """
    model = factor_model(donors, target)
    t = target.size
    lengths = np.unique([max(2, t // 4), max(2, t // 2), t, 2 * t])
    generator = np.random.default_rng(seed)
    after, before = np.empty((lengths.size, draws)), np.empty((lengths.size, draws))
    converged = True
    for draw in range(draws):
        series = simulate(model, 2 * t + horizon, slice(t, 2 * t), generator)
        for k, length in enumerate(lengths):
            used = series[lengths[-1] - length :]
            fit = simplex_least_squares(used[:length, 1:], used[:length, 0])
            gap = used[:, 0] - used[:, 1:] @ fit.weights
            after[k, draw], before[k, draw] = gap[length:].mean(), np.mean(gap[:length] ** 2)
            converged &= fit.converged
    rmse = np.sqrt(np.mean(after**2, axis=1))
    spread = float(np.std(target)) or 1.0
    return SimulatedBias(
        periods_before=lengths,
        bias=after.mean(axis=1),
        bias_error=after.std(axis=1, ddof=1) / np.sqrt(draws),
        rmse=rmse,
        rmse_before=np.sqrt(before.mean(axis=1)),
        perfect_fit=np.mean(np.sqrt(before) <= PERFECT * spread, axis=1),
        rmse_in_spreads=rmse / spread,
        noise=float(model.noise[0]),
        factors=model.loadings.shape[1],
        converged=converged,
    )


def factor_model(donors: Floats, target: Floats) -> FactorModel:
    """Interactive fixed effects of donors (t, j) and target (t,): principal components of the donors.

    As many factors as minimise the information criterion IC_p2 of Bai and Ng (2002), at most four, a
    quarter of the periods and of the donors; the treated unit's loadings by regression on them.
    """
    everyone = np.column_stack([target, donors])
    t = target.size
    level = everyone.mean(axis=0)
    centred = everyone - level
    left, size, _ = np.linalg.svd(centred[:, 1:], full_matrices=False)
    r = _number_of_factors(size, *donors.shape)
    paths = left[:, :r] * np.sqrt(t)
    loadings = np.linalg.lstsq(paths, centred, rcond=None)[0].T if r else np.zeros((everyone.shape[1], 0))
    residual = centred - paths @ loadings.T
    noise = np.sqrt(np.sum(residual**2, axis=0) / max(t - r - 1, 1))
    steps = np.diff(paths, axis=0)
    drift = steps.mean(axis=0)
    moves = steps - drift
    return FactorModel(
        level=level,
        loadings=loadings,
        drift=drift,
        step=np.atleast_2d(moves.T @ moves / max(t - 2, 1)).reshape(r, r),
        carried=np.array([_autocorrelation(moves[:, [k]]) for k in range(r)]),
        noise=noise,
        autocorrelation=_autocorrelation(residual / np.where(noise > 0, noise, 1.0)),
    )


def _number_of_factors(size: Floats, t: int, n: int) -> int:
    """The r with the smallest log V(r) + r (n + t) / (n t) log min(n, t), from donors' singular values."""
    total = float(np.sum(size**2))
    if total == 0:
        return 0
    most = max(1, min(MOST_FACTORS, t // 4, n // 4))
    left = np.array([max(total - float(np.sum(size[:r] ** 2)), 1e-12 * total) for r in range(most + 1)])
    penalty = (n + t) / (n * t) * np.log(min(n, t))
    return int(np.argmin(np.log(left / total) + penalty * np.arange(most + 1)))


def _autocorrelation(columns: Floats) -> float:
    """Pooled first-order autocorrelation of columns (t, n) with mean zero, at most 0.95 in size."""
    square = float(np.sum(columns[:-1] ** 2))
    if square == 0:
        return 0.0
    return float(np.clip(np.sum(columns[1:] * columns[:-1]) / square, -PERSISTENT, PERSISTENT))


def simulate(model: FactorModel, t: int, calibrated: slice, generator: np.random.Generator) -> Floats:
    """Outcomes (t, n) of one draw; over the `calibrated` rows factors have mean zero, as in the data."""
    r, n = model.drift.size, model.level.size
    values, vectors = np.linalg.eigh(model.step)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    moves = _autoregressive(generator.standard_normal((t + BURN_IN, r)) @ root.T, model.carried)
    paths = np.cumsum(model.drift + moves[BURN_IN:], axis=0)
    paths -= paths[calibrated].mean(axis=0)
    noise = _autoregressive(generator.standard_normal((t + BURN_IN, n)), np.full(n, model.autocorrelation))
    return np.asarray(model.level + paths @ model.loadings.T + noise[BURN_IN:] * model.noise)


def _autoregressive(shocks: Floats, carried: Floats) -> Floats:
    """First-order autoregression of each column, with the variance of the shocks."""
    out = np.array(shocks)
    fresh = np.sqrt(1.0 - carried**2)
    for row in range(1, out.shape[0]):
        out[row] = carried * out[row - 1] + fresh * shocks[row]
    return out


def naive_rmspe(target: Floats, donors: Floats, pre: int) -> dict[str, float]:
    """Root mean squared error before row `pre` of four predictions that a synthetic control has to beat.

    The mean of the donors; that mean moved to the level of the treated (difference-in-differences); the
    treated unit's own last value (from the second row on; NaN if there is one); the nearest single donor.

    >>> found = naive_rmspe(np.array([1.0, 2.0, 3.0]), np.array([[0.0, 2], [1, 3], [2, 4]]), 3)
    >>> found["mean of the donors"], found["last value"], found["nearest donor"]
    (0.0, 1.0, 1.0)
    """
    own, others = target[:pre], donors[:pre]
    gap = own - others.mean(axis=1)
    return {
        "mean of the donors": _root_mean_square(gap),
        "mean of the donors, level shifted": _root_mean_square(gap - gap.mean()),
        "last value": _root_mean_square(np.diff(own)) if pre > 1 else float("nan"),
        "nearest donor": float(np.sqrt(np.mean((own[:, None] - others) ** 2, axis=0).min())),
    }


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
