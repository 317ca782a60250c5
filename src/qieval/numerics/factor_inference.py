"""How uncertain are effects from a counterfactual panel? Parametric bootstrap, block bootstrap, jackknife.

Any estimator that turns a panel into counterfactual outcomes can be used (`by_factors`, `by_completion`).
The parametric bootstrap (Xu 2017, algorithm 2) is for few treated units; resampling or leaving out units
needs many (the manual of R gsynth says about 40 treated units).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.factor_panel import FactorPanel, Floats, Ints
from qieval.numerics.interactive_effects import FactorModel, interactive_effects
from qieval.numerics.matrix_completion import matrix_completion
from qieval.numerics.resampling import Resampling
from qieval.progress import progress

FEWEST_CONTROLS = 5
"""With fewer controls their prediction errors say next to nothing about how large errors are."""


@dataclass(frozen=True)
class Estimator:
    """A way from a panel to its counterfactual (n, t), read from untreated cells; NaN where there is none.

    per_unit is the number of coefficients that are fitted to each treated unit's own pre-periods.
    """

    predict: Callable[[FactorPanel], Floats]
    per_unit: int = 1

    def __call__(self, panel: FactorPanel) -> Floats:
        """The counterfactual of a panel."""
        return self.predict(panel)


def by_factors(model: FactorModel) -> Estimator:
    """Estimator with interactive fixed effects, the number of factors fixed."""

    def predict(panel: FactorPanel) -> Floats:
        fit = interactive_effects(panel, model)
        if not fit.converged:
            raise EstimationError(
                f"The fit with {model.factors} factors does not settle: the untreated cells do not tell so "
                "many apart. Take fewer factors."
            )
        return fit.counterfactual

    return Estimator(predict, model.per_unit)


def by_completion(penalty: float) -> Estimator:
    """Estimator with matrix completion, the penalty fixed."""

    def predict(panel: FactorPanel) -> Floats:
        fit = matrix_completion(panel.y, panel.untreated, x=panel.x, penalty=penalty)
        if not fit.converged:
            raise EstimationError(f"Matrix completion does not settle at the penalty {penalty:g}: raise it.")
        return fit.counterfactual

    return Estimator(predict)


@dataclass(frozen=True, eq=False)
class Effects:
    """Observed minus counterfactual, averaged over treated units.

    periods (k,): period minus first treated period, from the earliest to the latest with any cell; att (k,)
    and n_units (k,); negative periods are residuals of the fit. average is over all treated cells (each
    counts the same). NaN where there is no cell.
    """

    periods: Ints
    att: Floats
    n_units: Ints
    average: float


def effects(panel: FactorPanel, counterfactual: Floats) -> Effects:
    """Effects by period since start, and their average over treated cells; counterfactual (n, t)."""
    cells = (panel.treated_cells | panel.pre_cells) & np.isfinite(counterfactual)
    if not (cells & panel.treated_cells).any():
        raise EstimationError(
            "No treated outcome has a counterfactual: the treated units have too few pre-periods."
        )
    times = panel.event_time[cells]
    periods = np.arange(times.min(), times.max() + 1)
    summary = _summary(panel, counterfactual, periods)
    counts = np.bincount(times - periods[0], minlength=periods.size)
    return Effects(periods, summary[1:], counts.astype(np.intp), float(summary[0]))


@dataclass(frozen=True, eq=False)
class EffectInference:
    """Effects with standard errors and intervals.

    se, low, high (k,) belong to `effects.periods`, the others to the average. errors (draws, 1 + k) are draws
    of estimate minus truth, the average first; the bootstraps' intervals are the estimate minus
    quantiles of them, which turns an asymmetric distribution the right way round, p_value is the share of
    draws at least as far from zero as the estimate, the estimate itself counted. The jackknife's errors are
    empty, its intervals and p_value from t with one degree of freedom less than treated units. n_failed
    draws could not be estimated and are NaN.
    """

    method: str
    effects: Effects
    se: Floats
    low: Floats
    high: Floats
    average_se: float
    average_low: float
    average_high: float
    p_value: float
    errors: Floats
    n_failed: int


def parametric_bootstrap(
    panel: FactorPanel, estimate: Estimator, resampling: Resampling | None = None
) -> EffectInference:
    """Bootstrap for few treated units: refit on simulated panels without an effect.

    Simulated outcomes are the counterfactual plus errors: controls get whole series of residuals of
    controls, treated units whole series of errors of controls that were each predicted as if treated from the
    same period on, the others being the controls. Two changes to Xu's algorithm: he draws those
    predictions from resampled controls, here each control is left out once, so this part is not random; and
    the pre-period part, which is a residual, is scaled up by the square root of cells / (cells -
    coefficients). Series that miss a cell borrow it from a random control in the same period. Assumes that
    treated units' errors are like those of controls and that units are independent; dependence over time is
    kept. Raises EstimationError below 5 controls.
    """
    resampling = resampling or Resampling(draws=1000)
    base = estimate(panel)
    found = effects(panel, base)
    rng = np.random.default_rng(resampling.seed)
    controls = np.flatnonzero(panel.controls & np.isfinite(base).any(axis=1))
    if controls.size < FEWEST_CONTROLS:
        raise EstimationError(
            f"{controls.size} units stay untreated; the parametric bootstrap needs {FEWEST_CONTROLS} or more."
        )
    residual = np.where(panel.untreated, panel.y - base, np.nan)[controls]
    treated = np.flatnonzero(~panel.controls)
    starts, kind = np.unique(panel.treated_from[treated], return_inverse=True)
    predicted = _left_out_errors(panel.take(controls), estimate, starts)
    draws = np.full((resampling.draws, 1 + found.periods.size), np.nan)
    for draw in progress(range(resampling.draws), "bootstrap draws"):
        y = base.copy()
        y[controls] += _completed(residual, rng.integers(controls.size, size=controls.size), rng)
        chosen = rng.integers(controls.size, size=treated.size)
        for one in range(starts.size):
            mine = kind == one
            y[treated[mine]] += _completed(predicted[one], chosen[mine], rng)
        simulated = FactorPanel(
            np.where(np.isfinite(panel.y), y, np.nan), panel.untreated, panel.treated_from, panel.x
        )
        draws[draw] = _try(simulated, estimate, found.periods)
    return _from_draws("parametric bootstrap", found, draws, resampling.level)


def block_bootstrap(
    panel: FactorPanel, estimate: Estimator, resampling: Resampling | None = None
) -> EffectInference:
    """Bootstrap for many treated units: whole units are drawn again, treated and controls apart.

    Keeps dependence over time and differences in variance between units. With few treated units the
    intervals are too short. Raises EstimationError with fewer than two treated units.
    """
    resampling = resampling or Resampling(draws=1000)
    found = effects(panel, estimate(panel))
    groups = _several(panel)
    rng = np.random.default_rng(resampling.seed)
    draws = np.full((resampling.draws, 1 + found.periods.size), np.nan)
    for draw in progress(range(resampling.draws), "bootstrap draws"):
        units = np.concatenate([rng.choice(group, group.size) for group in groups])
        draws[draw] = _try(panel.take(units), estimate, found.periods)
    return _from_draws("block bootstrap", found, draws - _vector(found), resampling.level)


def jackknife(panel: FactorPanel, estimate: Estimator, level: float = 0.95) -> EffectInference:
    """Leave out one unit at a time: se^2 = (n - 1) / n * sum of squared deviations of the n estimates.

    A period for which a unit is the only treated one has no se, and so has everything when a fit fails.
    Raises EstimationError with fewer than two treated units.
    """
    found = effects(panel, estimate(panel))
    treated = _several(panel)[0]
    n = panel.shape[0]
    rows = []
    for unit in progress(range(n), "units left out"):
        rows.append(_try(panel.take(np.delete(np.arange(n), unit)), estimate, found.periods))
    values = np.array(rows)
    se = np.sqrt((n - 1) / n * np.sum((values - values.mean(axis=0)) ** 2, axis=0))
    df = treated.size - 1
    reach = se * float(scipy.special.stdtrit(df, (1 + level) / 2))
    centre = _vector(found)
    p_value = 2 * float(scipy.special.stdtr(df, -abs(found.average) / se[0])) if se[0] > 0 else np.nan
    bounds = (se, centre - reach, centre + reach)
    failed = int(np.isnan(values[:, 0]).sum())
    return _result("jackknife", found, bounds, p_value, np.zeros((0, centre.size)), failed)


def _left_out_errors(controls: FactorPanel, estimate: Estimator, starts: Ints) -> Floats:
    """Errors of each control predicted as if treated from each start on (starts, n, t)."""
    n, t = controls.shape
    out = np.full((starts.size, n, t), np.nan)
    for unit in progress(range(n), "controls left out"):
        for row, start in enumerate(starts.tolist()):
            from_ = np.full(n, t)
            from_[unit] = start
            known = controls.untreated[unit]
            try:
                predicted = estimate(controls.starting(from_))[unit]
            except EstimationError:
                continue
            out[row, unit, known] = (controls.y[unit] - predicted)[known]
            before = int(known[:start].sum())
            out[row, unit, :start] *= np.sqrt(before / max(before - estimate.per_unit, 1))
    if np.isnan(out).all(axis=1).any():
        raise EstimationError(
            "In some period no control can be predicted without itself: too few controls or pre-periods."
        )
    return out


def _completed(pool: Floats, chosen: Ints, rng: np.random.Generator) -> Floats:
    """Series (m, t) chosen from a pool (n, t); missing cells come from a random series with that period."""
    out = pool[chosen]
    for period in np.flatnonzero(np.isnan(out).any(axis=0)):
        known = pool[np.isfinite(pool[:, period]), period]
        missing = np.isnan(out[:, period])
        if known.size:
            out[missing, period] = rng.choice(known, int(missing.sum()))
    return out


def _summary(panel: FactorPanel, counterfactual: Floats, periods: Ints) -> Floats:
    """The average effect and the effect in each period since start (1 + k,); NaN where there is no cell."""
    gaps = panel.y - counterfactual
    known = np.isfinite(gaps)
    cells = known & (panel.treated_cells | panel.pre_cells)
    place = panel.event_time[cells] - periods[0]
    inside = (place >= 0) & (place < periods.size)
    place, values = place[inside], gaps[cells][inside]
    counts = np.bincount(place, minlength=periods.size)
    sums = np.bincount(place, values, minlength=periods.size)
    by_period = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    treated = gaps[known & panel.treated_cells]
    return np.concatenate([[treated.mean() if treated.size else np.nan], by_period])


def _try(panel: FactorPanel, estimate: Estimator, periods: Ints) -> Floats:
    """The summary, or NaN if this panel cannot be estimated."""
    try:
        return _summary(panel, estimate(panel), periods)
    except EstimationError:
        return np.full(1 + periods.size, np.nan)


def _several(panel: FactorPanel) -> tuple[Ints, Ints]:
    """Treated units and controls; raises unless there are two treated ones."""
    treated = np.flatnonzero(~panel.controls)
    if treated.size < 2:
        raise EstimationError(
            "Resampling units tells nothing about one treated unit: use the parametric bootstrap."
        )
    return treated, np.flatnonzero(panel.controls)


def _vector(found: Effects) -> Floats:
    return np.concatenate([[found.average], found.att])


def _from_draws(method: str, found: Effects, errors: Floats, level: float) -> EffectInference:
    """Standard errors and reversed quantiles of draws of the error (draws, 1 + k)."""
    used = errors[np.isfinite(errors[:, 0])]
    if len(used) < 2:
        raise EstimationError("None of the bootstrap draws could be estimated.")
    centre, some = _vector(found), np.isfinite(used).sum(axis=0) > 1
    se, low, high = (np.full(centre.size, np.nan) for _ in range(3))
    se[some] = np.nanstd(used[:, some], axis=0, ddof=1)
    ends = np.nanquantile(used[:, some], [(1 + level) / 2, (1 - level) / 2], axis=0)
    low[some], high[some] = centre[some] - ends
    extreme = np.count_nonzero(np.abs(used[:, 0]) >= abs(found.average))
    p_value = (1 + extreme) / (1 + len(used))
    return _result(method, found, (se, low, high), p_value, errors, len(errors) - len(used))


def _result(
    method: str,
    found: Effects,
    bounds: tuple[Floats, Floats, Floats],
    p_value: float,
    errors: Floats,
    failed: int,
) -> EffectInference:
    se, low, high = bounds
    return EffectInference(
        method=method,
        effects=found,
        se=se[1:],
        low=low[1:],
        high=high[1:],
        average_se=float(se[0]),
        average_low=float(low[0]),
        average_high=float(high[0]),
        p_value=float(p_value),
        errors=errors,
        n_failed=failed,
    )
